//! OffsetDelete · key 47 · v0, never flexible

use super::{Api, NEVER_FLEXIBLE};
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api = Api {
    key: 47,
    name: "OffsetDelete",
    min: 0,
    max: 0,
    advertised_min: 0,
    flexible_from: NEVER_FLEXIBLE,
};

messages! {
    /// Asks that a group forget offsets.
    OffsetDeleteRequest, flexible 32767 {
        /// The group.
        group_id: String => 0+;
        /// The topics.
        topics: Vec<OffsetDeleteRequestTopic> => 0+;
    }

    /// A topic.
    OffsetDeleteRequestTopic, flexible 32767 {
        /// Its name.
        name: String => 0+;
        /// Its partitions.
        partitions: Vec<OffsetDeleteRequestPartition> => 0+;
    }

    /// A partition.
    OffsetDeleteRequestPartition, flexible 32767 {
        /// Its number.
        partition_index: i32 => 0+;
    }

    /// What became of them.
    OffsetDeleteResponse, flexible 32767 {
        /// The group's error.
        error_code: ErrorCode => 0+;
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+ ignorable;
        /// Topic by topic.
        topics: Vec<OffsetDeleteResponseTopic> => 0+;
    }

    /// What became of a topic's.
    OffsetDeleteResponseTopic, flexible 32767 {
        /// Its name.
        name: String => 0+;
        /// Its partitions.
        partitions: Vec<OffsetDeleteResponsePartition> => 0+;
    }

    /// What became of a partition's.
    OffsetDeleteResponsePartition, flexible 32767 {
        /// Its number.
        partition_index: i32 => 0+;
        /// The partition's error.
        error_code: ErrorCode => 0+;
    }
}
