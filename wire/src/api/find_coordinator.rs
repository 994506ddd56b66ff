//! FindCoordinator · key 10 · v0–6
//!
//! v1: transactions; throttle time; the error in words.  v3: flexible.  v4: many keys at once
//! (KIP-699).  v5: TRANSACTION_ABORTABLE.  v6: share groups (KIP-932).

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 10, name: "FindCoordinator", min: 0, max: 6, advertised_min: 0, flexible_from: 3 };

/// A consumer group's coordinator.
pub const KEY_GROUP: i8 = 0;
/// A transactional id's coordinator.
pub const KEY_TRANSACTION: i8 = 1;
/// A share group's coordinator.
pub const KEY_SHARE: i8 = 2;

messages! {
    /// Asks who coordinates.
    FindCoordinatorRequest, flexible 3 {
        /// The group or transactional id.
        key: String => 0-3;
        /// What the keys are: 0 groups, 1 transactional ids, 2 share partitions.
        key_type: i8 => 1+;
        /// The keys.
        coordinator_keys: Vec<String> => 4+;
    }

    /// Who coordinates.
    FindCoordinatorResponse, flexible 3 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 1+ ignorable;
        /// Why there is none.
        error_code: ErrorCode => 0-3;
        /// The error in words.
        error_message: Option<String> => 1-3 ignorable, null 1+, default Some(String::new());
        /// The coordinator.
        node_id: i32 => 0-3;
        /// Where it is reached.
        host: String => 0-3;
        /// Where it is reached.
        port: i32 => 0-3;
        /// Key by key.
        coordinators: Vec<Coordinator> => 4+;
    }

    /// Who coordinates one key.
    Coordinator, flexible 3 {
        /// The key.
        key: String => 4+;
        /// The coordinator, or -1.
        node_id: i32 => 4+;
        /// Where it is reached.
        host: String => 4+;
        /// Where it is reached, or -1.
        port: i32 => 4+;
        /// Why there is none.
        error_code: ErrorCode => 4+;
        /// The error in words.
        error_message: Option<String> => 4+ ignorable, null 4+, default Some(String::new());
    }
}
