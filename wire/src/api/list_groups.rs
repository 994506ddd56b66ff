//! ListGroups · key 16 · v0–5
//!
//! v1: throttle time.  v2: the broker answers before it is held back.  v3: flexible.
//! v4: states (KIP-518).  v5: types (KIP-848).

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 16, name: "ListGroups", min: 0, max: 5, advertised_min: 0, flexible_from: 3 };

messages! {
    /// Asks what groups there are.
    ListGroupsRequest, flexible 3 {
        /// The states wanted; empty for all.
        states_filter: Vec<String> => 4+;
        /// The types wanted; empty for all.
        types_filter: Vec<String> => 5+;
    }

    /// The groups.
    ListGroupsResponse, flexible 3 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 1+ ignorable;
        /// The error.
        error_code: ErrorCode => 0+;
        /// The groups that this broker coordinates.
        groups: Vec<ListedGroup> => 0+;
    }

    /// A group.
    ListedGroup, flexible 3 {
        /// Its id.
        group_id: String => 0+;
        /// What kind of group it is; empty without members.
        protocol_type: String => 0+;
        /// Its state's name.
        group_state: String => 4+ ignorable;
        /// Its type's name.
        group_type: String => 5+ ignorable;
    }
}
