//! What the transaction coordinators write to `__transaction_state`; see [`super::coordinator`] for
//! the framing.

use super::coordinator::coordinator_records;
use crate::message::messages;

/// As a transaction's status: none has begun since the last ended and was forgotten.
pub const STATUS_EMPTY: i8 = 0;
/// As a transaction's status: it is open.
pub const STATUS_ONGOING: i8 = 1;
/// As a transaction's status: it will be committed; its markers are being written.
pub const STATUS_PREPARE_COMMIT: i8 = 2;
/// As a transaction's status: it will be aborted; its markers are being written.
pub const STATUS_PREPARE_ABORT: i8 = 3;
/// As a transaction's status: it is committed, and every marker is written.
pub const STATUS_COMPLETE_COMMIT: i8 = 4;
/// As a transaction's status: it is aborted, and every marker is written.
pub const STATUS_COMPLETE_ABORT: i8 = 5;
/// As a transaction's status: the id has expired and is about to be forgotten.
pub const STATUS_DEAD: i8 = 6;
/// As a transaction's status: its producer is being fenced.
pub const STATUS_PREPARE_EPOCH_FENCE: i8 = 7;

coordinator_records! {
    /// One record of `__transaction_state`.
    TransactionRecord {
        /// A transactional id's state.
        0 TransactionLog(TransactionLogKey, TransactionLogValue) 0-1, written |_| 1;
    }
}

messages! {
    /// Which transactional id.
    TransactionLogKey, flexible 32767 {
        /// The id.
        transactional_id: String => 0+;
    }

    /// A transactional id's state. v1: flexible, with what KIP-890 needs.
    TransactionLogValue, flexible 1 {
        /// The producer.
        producer_id: i64 => 0+;
        /// Its epoch.
        producer_epoch: i16 => 0+;
        /// After how many milliseconds an open transaction is given up.
        transaction_timeout_ms: i32 => 0+;
        /// One of the constants above.
        transaction_status: i8 => 0+;
        /// What the transaction has written to; Kafka writes null when the status is
        /// [`STATUS_EMPTY`].
        transaction_partitions: Option<Vec<PartitionsSchema>> => 0+, null 0+;
        /// When the state last changed, in milliseconds since 1970.
        transaction_last_update_timestamp_ms: i64 => 0+;
        /// When the transaction began, in milliseconds since 1970, or -1.
        transaction_start_timestamp_ms: i64 => 0+;
        /// The producer before an epoch ran out, or -1.
        previous_producer_id: i64 => 1+, tag 0, default -1;
        /// The producer of the next transaction, where the epoch runs out, or -1.
        next_producer_id: i64 => 1+, tag 1, default -1;
        /// The transaction's version as its client speaks it; 2 grows the epoch each time.
        client_transaction_version: i16 => 1+, tag 2;
        /// The epoch of the next transaction, or -1.
        next_producer_epoch: i16 => 1+, tag 3, default -1;
    }

    /// A topic written to.
    PartitionsSchema, flexible 1 {
        /// Its name.
        topic: String => 0+;
        /// Its partitions.
        partition_ids: Vec<i32> => 0+;
    }
}
