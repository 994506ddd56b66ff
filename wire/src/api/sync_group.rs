//! SyncGroup · key 14 · v0–5
//!
//! v1: throttle time.  v2: the broker answers before it is held back.  v3: static members.
//! v4: flexible.  v5: protocol type and name, checked against the group's.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 14, name: "SyncGroup", min: 0, max: 5, advertised_min: 0, flexible_from: 4 };

messages! {
    /// Asks for the member's part; the leader brings everyone's.
    SyncGroupRequest, flexible 4 {
        /// The group.
        group_id: String => 0+;
        /// The generation.
        generation_id: i32 => 0+;
        /// The member.
        member_id: String => 0+;
        /// The static member's name, or null.
        group_instance_id: Option<String> => 3+, null 3+;
        /// What kind of group it is, or null.
        protocol_type: Option<String> => 5+ ignorable, null 5+;
        /// The protocol that was chosen, or null.
        protocol_name: Option<String> => 5+ ignorable, null 5+;
        /// Everyone's part, from the leader only.
        assignments: Vec<SyncGroupRequestAssignment> => 0+;
    }

    /// A member's part, as the leader decided.
    SyncGroupRequestAssignment, flexible 4 {
        /// The member.
        member_id: String => 0+;
        /// Its part.
        assignment: Vec<u8> => 0+;
    }

    /// The member's part.
    SyncGroupResponse, flexible 4 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 1+ ignorable;
        /// The error.
        error_code: ErrorCode => 0+;
        /// What kind of group it is.
        protocol_type: Option<String> => 5+ ignorable, null 5+;
        /// The protocol that was chosen.
        protocol_name: Option<String> => 5+ ignorable, null 5+;
        /// The part.
        assignment: Vec<u8> => 0+;
    }
}
