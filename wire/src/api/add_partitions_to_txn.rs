//! AddPartitionsToTxn · key 24 · v0–5
//!
//! v1: the broker answers before it is held back.  v2: PRODUCER_FENCED.  v3: flexible.
//! v4: many transactions at once, and only a check, both for brokers (KIP-890).
//! v5: TRANSACTION_ABORTABLE.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api = Api {
    key: 24,
    name: "AddPartitionsToTxn",
    min: 0,
    max: 5,
    advertised_min: 0,
    flexible_from: 3,
};

/// The last version that clients speak: one transaction, in the request's own fields.
pub const VERSION_OF_CLIENTS_MAX: i16 = 3;

messages! {
    /// Says that transactions will write to partitions.
    AddPartitionsToTxnRequest, flexible 3 {
        /// The transactions.
        transactions: Vec<AddPartitionsToTxnTransaction> => 4+;
        /// The transactional id.
        v3_and_below_transactional_id: String => 0-3;
        /// The producer.
        v3_and_below_producer_id: i64 => 0-3;
        /// Its epoch.
        v3_and_below_producer_epoch: i16 => 0-3;
        /// The topics.
        v3_and_below_topics: Vec<AddPartitionsToTxnTopic> => 0-3;
    }

    /// A transaction.
    AddPartitionsToTxnTransaction, flexible 3 {
        /// The transactional id.
        transactional_id: String => 4+;
        /// The producer.
        producer_id: i64 => 4+;
        /// Its epoch.
        producer_epoch: i16 => 4+;
        /// Nothing is added: asks whether the partitions are in the transaction.
        verify_only: bool => 4+;
        /// The topics.
        topics: Vec<AddPartitionsToTxnTopic> => 4+;
    }

    /// A topic.
    AddPartitionsToTxnTopic, flexible 3 {
        /// Its name.
        name: String => 0+;
        /// Its partitions.
        partitions: Vec<i32> => 0+;
    }

    /// What became of it.
    AddPartitionsToTxnResponse, flexible 3 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// The whole request's error.
        error_code: ErrorCode => 4+ ignorable;
        /// Transaction by transaction.
        results_by_transaction: Vec<AddPartitionsToTxnResult> => 4+;
        /// Topic by topic.
        results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult> => 0-3;
    }

    /// What became of a transaction's.
    AddPartitionsToTxnResult, flexible 3 {
        /// The transactional id.
        transactional_id: String => 4+;
        /// Topic by topic.
        topic_results: Vec<AddPartitionsToTxnTopicResult> => 4+;
    }

    /// What became of a topic's.
    AddPartitionsToTxnTopicResult, flexible 3 {
        /// Its name.
        name: String => 0+;
        /// Partition by partition.
        results_by_partition: Vec<AddPartitionsToTxnPartitionResult> => 0+;
    }

    /// What became of a partition.
    AddPartitionsToTxnPartitionResult, flexible 3 {
        /// Its number.
        partition_index: i32 => 0+;
        /// The partition's error.
        partition_error_code: ErrorCode => 0+;
    }
}
