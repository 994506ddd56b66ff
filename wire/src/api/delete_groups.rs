//! DeleteGroups · key 42 · v0–3
//!
//! v1: the broker answers before it is held back.  v2: flexible.  v3: the error in words.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 42, name: "DeleteGroups", min: 0, max: 3, advertised_min: 0, flexible_from: 2 };

messages! {
    /// Asks that groups go.
    DeleteGroupsRequest, flexible 2 {
        /// The groups.
        groups_names: Vec<String> => 0+;
    }

    /// What became of them.
    DeleteGroupsResponse, flexible 2 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// Group by group.
        results: Vec<DeletableGroupResult> => 0+;
    }

    /// What became of a group.
    DeletableGroupResult, flexible 2 {
        /// Its id.
        group_id: String => 0+;
        /// The group's error.
        error_code: ErrorCode => 0+;
        /// The error in words.
        error_message: Option<String> => 3+ ignorable, null 3+;
    }
}
