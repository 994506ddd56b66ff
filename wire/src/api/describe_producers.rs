//! DescribeProducers · key 61 · v0

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 61, name: "DescribeProducers", min: 0, max: 0, advertised_min: 0, flexible_from: 0 };

messages! {
    /// Asks who produces idempotently.
    DescribeProducersRequest, flexible 0 {
        /// The topics.
        topics: Vec<TopicRequest> => 0+;
    }

    /// A topic asked about.
    TopicRequest, flexible 0 {
        /// Its name.
        name: String => 0+;
        /// Its partitions.
        partition_indexes: Vec<i32> => 0+;
    }

    /// Who it is.
    DescribeProducersResponse, flexible 0 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// The topics.
        topics: Vec<TopicResponse> => 0+;
    }

    /// A topic's producers.
    TopicResponse, flexible 0 {
        /// Its name.
        name: String => 0+;
        /// Its partitions.
        partitions: Vec<PartitionResponse> => 0+;
    }

    /// A partition's producers.
    PartitionResponse, flexible 0 {
        /// Its number.
        partition_index: i32 => 0+;
        /// The partition's error.
        error_code: ErrorCode => 0+;
        /// The error in words.
        error_message: Option<String> => 0+, null 0+;
        /// The producers.
        active_producers: Vec<ProducerState> => 0+;
    }

    /// What a partition knows of a producer.
    ProducerState, flexible 0 {
        /// Its id.
        producer_id: i64 => 0+;
        /// Its epoch.
        producer_epoch: i32 => 0+;
        /// The sequence of its last record, or -1.
        last_sequence: i32 => 0+, default -1;
        /// The time of its last batch, or -1.
        last_timestamp: i64 => 0+, default -1;
        /// The epoch of its transactions' coordinator, or -1.
        coordinator_epoch: i32 => 0+;
        /// The first offset of its open transaction, or -1.
        current_txn_start_offset: i64 => 0+, default -1;
    }
}
