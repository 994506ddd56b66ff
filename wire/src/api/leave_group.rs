//! LeaveGroup · key 13 · v0–5
//!
//! v1: throttle time.  v2: the broker answers before it is held back.
//! v3: many members at once, by id or by static name (KIP-345).  v4: flexible.  v5: a reason.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 13, name: "LeaveGroup", min: 0, max: 5, advertised_min: 0, flexible_from: 4 };

messages! {
    /// Says that members are gone.
    LeaveGroupRequest, flexible 4 {
        /// The group.
        group_id: String => 0+;
        /// The member.
        member_id: String => 0-2;
        /// The members.
        members: Vec<MemberIdentity> => 3+;
    }

    /// A member that leaves.
    MemberIdentity, flexible 4 {
        /// Its id; empty where only the static name is known.
        member_id: String => 3+;
        /// The static member's name, or null.
        group_instance_id: Option<String> => 3+, null 3+;
        /// Why it leaves, in words.
        reason: Option<String> => 5+ ignorable, null 5+;
    }

    /// What became of them.
    LeaveGroupResponse, flexible 4 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 1+ ignorable;
        /// The error; before v3 the member's.
        error_code: ErrorCode => 0+;
        /// Member by member.
        members: Vec<MemberResponse> => 3+;
    }

    /// What became of a member.
    MemberResponse, flexible 4 {
        /// Its id.
        member_id: String => 3+;
        /// The static member's name, or null.
        group_instance_id: Option<String> => 3+, null 3+, default Some(String::new());
        /// The member's error.
        error_code: ErrorCode => 3+;
    }
}
