//! ListTransactions · key 66 · v0–2
//!
//! v1: by duration (KIP-994).  v2: by a pattern of the transactional id (KIP-1152).

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 66, name: "ListTransactions", min: 0, max: 2, advertised_min: 0, flexible_from: 0 };

messages! {
    /// Asks what transactional ids there are.
    ListTransactionsRequest, flexible 0 {
        /// The states wanted; empty for all.
        state_filters: Vec<String> => 0+;
        /// The producers wanted; empty for all.
        producer_id_filters: Vec<i64> => 0+;
        /// Only transactions open for longer than this, in milliseconds; negative for all.
        duration_filter: i64 => 1+, default -1;
        /// The regular expression of the transactional ids wanted; null or empty for all.
        transactional_id_pattern: Option<String> => 2+, null 2+;
    }

    /// The transactional ids.
    ListTransactionsResponse, flexible 0 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// The error.
        error_code: ErrorCode => 0+;
        /// The states asked for that there are not.
        unknown_state_filters: Vec<String> => 0+;
        /// The ids that this broker coordinates.
        transaction_states: Vec<TransactionState> => 0+;
    }

    /// A transactional id.
    TransactionState, flexible 0 {
        /// The id.
        transactional_id: String => 0+;
        /// The producer.
        producer_id: i64 => 0+;
        /// Its state's name.
        transaction_state: String => 0+;
    }
}
