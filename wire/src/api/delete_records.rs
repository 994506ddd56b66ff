//! DeleteRecords · key 21 · v0–2
//!
//! v2: flexible.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 21, name: "DeleteRecords", min: 0, max: 2, advertised_min: 0, flexible_from: 2 };

/// As an offset: everything up to the high watermark.
pub const HIGH_WATERMARK: i64 = -1;

messages! {
    /// Asks to delete the oldest records.
    DeleteRecordsRequest, flexible 2 {
        /// The topics.
        topics: Vec<DeleteRecordsTopic> => 0+;
        /// How long the answer may take, milliseconds.
        timeout_ms: i32 => 0+;
    }

    /// A topic to cut.
    DeleteRecordsTopic, flexible 2 {
        /// Its name.
        name: String => 0+;
        /// Its partitions.
        partitions: Vec<DeleteRecordsPartition> => 0+;
    }

    /// A partition to cut.
    DeleteRecordsPartition, flexible 2 {
        /// Its number.
        partition_index: i32 => 0+;
        /// The first offset that stays, or [`HIGH_WATERMARK`].
        offset: i64 => 0+;
    }

    /// What became of it.
    DeleteRecordsResponse, flexible 2 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// The topics.
        topics: Vec<DeleteRecordsTopicResult> => 0+;
    }

    /// What became of a topic.
    DeleteRecordsTopicResult, flexible 2 {
        /// Its name.
        name: String => 0+;
        /// Its partitions.
        partitions: Vec<DeleteRecordsPartitionResult> => 0+;
    }

    /// What became of a partition.
    DeleteRecordsPartitionResult, flexible 2 {
        /// Its number.
        partition_index: i32 => 0+;
        /// The smallest first offset of all its replicas, or -1.
        low_watermark: i64 => 0+;
        /// The partition's error.
        error_code: ErrorCode => 0+;
    }
}
