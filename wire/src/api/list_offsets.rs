//! ListOffsets · key 2 · v1–11
//!
//! v2: isolation level, throttle time.  v4: leader epochs.  v6: flexible.  v7: [`MAX_TIMESTAMP`].
//! v8: [`EARLIEST_LOCAL`].  v9: [`LATEST_TIERED`].  v10: timeout, for reads from tiered storage.
//! v11: [`EARLIEST_PENDING_UPLOAD`].

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 2, name: "ListOffsets", min: 1, max: 11, advertised_min: 1, flexible_from: 6 };

/// As a timestamp: the high watermark, or the last stable offset.
pub const LATEST: i64 = -1;
/// As a timestamp: the first offset.
pub const EARLIEST: i64 = -2;
/// As a timestamp: the record with the largest timestamp; v7.
pub const MAX_TIMESTAMP: i64 = -3;
/// As a timestamp: the first offset that is kept here; v8.
pub const EARLIEST_LOCAL: i64 = -4;
/// As a timestamp: the last offset in tiered storage; v9.
pub const LATEST_TIERED: i64 = -5;
/// As a timestamp: the first offset not yet in tiered storage; v11.
pub const EARLIEST_PENDING_UPLOAD: i64 = -6;

messages! {
    /// Asks for offsets by time.
    ListOffsetsRequest, flexible 6 {
        /// The asking broker; -1 for clients, -2 for tools.
        replica_id: i32 => 0+;
        /// 0 read uncommitted, 1 read committed.
        isolation_level: i8 => 2+;
        /// The topics.
        topics: Vec<ListOffsetsTopic> => 0+;
        /// How long tiered storage may take.
        timeout_ms: i32 => 10+ ignorable;
    }

    /// A topic asked about.
    ListOffsetsTopic, flexible 6 {
        /// Its name.
        name: String => 0+;
        /// Its partitions.
        partitions: Vec<ListOffsetsPartition> => 0+;
    }

    /// A partition asked about.
    ListOffsetsPartition, flexible 6 {
        /// Its number.
        partition_index: i32 => 0+;
        /// The leader's epoch as the client knows it, or -1.
        current_leader_epoch: i32 => 4+ ignorable, default -1;
        /// A time, or one of the constants above.
        timestamp: i64 => 0+;
    }

    /// The offsets.
    ListOffsetsResponse, flexible 6 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 2+ ignorable;
        /// The topics.
        topics: Vec<ListOffsetsTopicResponse> => 0+;
    }

    /// A topic's offsets.
    ListOffsetsTopicResponse, flexible 6 {
        /// Its name.
        name: String => 0+;
        /// Its partitions.
        partitions: Vec<ListOffsetsPartitionResponse> => 0+;
    }

    /// A partition's offset.
    ListOffsetsPartitionResponse, flexible 6 {
        /// Its number.
        partition_index: i32 => 0+;
        /// The partition's error.
        error_code: ErrorCode => 0+;
        /// The found record's, or -1.
        timestamp: i64 => 1+, default -1;
        /// The offset, or -1.
        offset: i64 => 1+, default -1;
        /// The epoch in which the found record was appended, or -1.
        leader_epoch: i32 => 4+, default -1;
    }
}
