//! EndTxn · key 26 · v0–5
//!
//! v1: the broker answers before it is held back.  v2: PRODUCER_FENCED.  v3: flexible.
//! v4: TRANSACTION_ABORTABLE.  v5: each transaction has an epoch of its own (KIP-890).

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 26, name: "EndTxn", min: 0, max: 5, advertised_min: 0, flexible_from: 3 };

/// From this version on the producer's epoch grows with each transaction.
pub const VERSION_OF_EPOCHS_MIN: i16 = 5;

messages! {
    /// Ends a transaction.
    EndTxnRequest, flexible 3 {
        /// The transactional id.
        transactional_id: String => 0+;
        /// The producer.
        producer_id: i64 => 0+;
        /// Its epoch.
        producer_epoch: i16 => 0+;
        /// True commits, false aborts.
        committed: bool => 0+;
    }

    /// What became of it.
    EndTxnResponse, flexible 3 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// The error.
        error_code: ErrorCode => 0+;
        /// The producer of the next transaction, or -1 on an error.
        producer_id: i64 => 5+ ignorable, default -1;
        /// Its epoch, or -1 on an error.
        producer_epoch: i16 => 5+ ignorable, default -1;
    }
}
