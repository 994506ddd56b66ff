//! Heartbeat · key 12 · v0–4
//!
//! v1: throttle time.  v2: the broker answers before it is held back.  v3: static members.
//! v4: flexible.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 12, name: "Heartbeat", min: 0, max: 4, advertised_min: 0, flexible_from: 4 };

messages! {
    /// Says that the member lives.
    HeartbeatRequest, flexible 4 {
        /// The group.
        group_id: String => 0+;
        /// The generation.
        generation_id: i32 => 0+;
        /// The member.
        member_id: String => 0+;
        /// The static member's name, or null.
        group_instance_id: Option<String> => 3+, null 3+;
    }

    /// Whether the generation still holds.
    HeartbeatResponse, flexible 4 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 1+ ignorable;
        /// The error.
        error_code: ErrorCode => 0+;
    }
}
