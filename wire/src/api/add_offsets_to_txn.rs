//! AddOffsetsToTxn · key 25 · v0–4
//!
//! v1: the broker answers before it is held back.  v2: PRODUCER_FENCED.  v3: flexible.
//! v4: TRANSACTION_ABORTABLE.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 25, name: "AddOffsetsToTxn", min: 0, max: 4, advertised_min: 0, flexible_from: 3 };

messages! {
    /// Says that a transaction will commit a group's offsets.
    AddOffsetsToTxnRequest, flexible 3 {
        /// The transactional id.
        transactional_id: String => 0+;
        /// The producer.
        producer_id: i64 => 0+;
        /// Its epoch.
        producer_epoch: i16 => 0+;
        /// The group.
        group_id: String => 0+;
    }

    /// What became of it.
    AddOffsetsToTxnResponse, flexible 3 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// The error.
        error_code: ErrorCode => 0+;
    }
}
