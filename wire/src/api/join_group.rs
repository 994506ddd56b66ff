//! JoinGroup · key 11 · v0–9
//!
//! v1: rebalance timeout.  v2: throttle time.  v3: the broker answers before it is held back.
//! v4: MEMBER_ID_REQUIRED, a member id before the first join.  v5: static members (KIP-345).
//! v6: flexible.  v7: the answer tells protocol type, and no protocol as null.  v8: a reason.
//! v9: a leader that need not assign (KIP-814).

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 11, name: "JoinGroup", min: 0, max: 9, advertised_min: 0, flexible_from: 6 };

messages! {
    /// Asks to be a member, or to stay one in the next generation.
    JoinGroupRequest, flexible 6 {
        /// The group.
        group_id: String => 0+;
        /// After how many milliseconds without a heartbeat the member is dead.
        session_timeout_ms: i32 => 0+;
        /// How many milliseconds the member has to join again in a rebalance; -1 is the session
        /// timeout.
        rebalance_timeout_ms: i32 => 1+ ignorable, default -1;
        /// The member, or empty at the first join.
        member_id: String => 0+;
        /// The static member's name, or null.
        group_instance_id: Option<String> => 5+, null 5+;
        /// What kind of group it is: "consumer", "connect".
        protocol_type: String => 0+;
        /// The protocols that the member can, the preferred first.
        protocols: Vec<JoinGroupRequestProtocol> => 0+;
        /// Why the member joins, in words.
        reason: Option<String> => 8+ ignorable, null 8+;
    }

    /// A protocol that a member can.
    JoinGroupRequestProtocol, flexible 6 {
        /// Its name.
        name: String => 0+;
        /// What the member tells the leader in it.
        metadata: Vec<u8> => 0+;
    }

    /// The generation.
    JoinGroupResponse, flexible 6 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 2+ ignorable;
        /// The error.
        error_code: ErrorCode => 0+;
        /// The generation's number.
        generation_id: i32 => 0+, default -1;
        /// What kind of group it is.
        protocol_type: Option<String> => 7+ ignorable, null 7+;
        /// The protocol that was chosen.
        protocol_name: Option<String> => 0+, null 7+, default Some(String::new());
        /// The member that assigns.
        leader: String => 0+;
        /// The leader keeps the assignment as it is.
        skip_assignment: bool => 9+;
        /// The member.
        member_id: String => 0+;
        /// All members, for the leader only.
        members: Vec<JoinGroupResponseMember> => 0+;
    }

    /// A member, as the leader sees it.
    JoinGroupResponseMember, flexible 6 {
        /// Its id.
        member_id: String => 0+;
        /// The static member's name, or null.
        group_instance_id: Option<String> => 5+ ignorable, null 5+;
        /// What it says in the chosen protocol.
        metadata: Vec<u8> => 0+;
    }
}
