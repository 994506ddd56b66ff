//! OffsetForLeaderEpoch · key 23 · v2–4
//!
//! v2: the leader's epoch as the client knows it.  v3: replica id, -2 for debugging.  v4: flexible.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api = Api {
    key: 23,
    name: "OffsetForLeaderEpoch",
    min: 2,
    max: 4,
    advertised_min: 2,
    flexible_from: 4,
};

messages! {
    /// Asks where leader epochs end.
    OffsetForLeaderEpochRequest, flexible 4 {
        /// The follower, -1 for consumers, -2 for whoever is debugging.
        replica_id: i32 => 3+ ignorable, default -2;
        /// The topics.
        topics: Vec<OffsetForLeaderTopic> => 0+;
    }

    /// A topic asked about.
    OffsetForLeaderTopic, flexible 4 {
        /// Its name.
        topic: String => 0+;
        /// Its partitions.
        partitions: Vec<OffsetForLeaderPartition> => 0+;
    }

    /// A partition asked about.
    OffsetForLeaderPartition, flexible 4 {
        /// Its number.
        partition: i32 => 0+;
        /// The leader's epoch as the client knows it, or -1.
        current_leader_epoch: i32 => 2+ ignorable, default -1;
        /// The epoch whose end is wanted.
        leader_epoch: i32 => 0+;
    }

    /// The ends.
    OffsetForLeaderEpochResponse, flexible 4 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 2+ ignorable;
        /// The topics.
        topics: Vec<OffsetForLeaderTopicResult> => 0+;
    }

    /// A topic's ends.
    OffsetForLeaderTopicResult, flexible 4 {
        /// Its name.
        topic: String => 0+;
        /// Its partitions.
        partitions: Vec<EpochEndOffset> => 0+;
    }

    /// Where an epoch ends in a partition.
    EpochEndOffset, flexible 4 {
        /// The partition's error.
        error_code: ErrorCode => 0+;
        /// Its number.
        partition: i32 => 0+;
        /// The largest epoch at or below the one asked for, or -1.
        leader_epoch: i32 => 1+ ignorable, default -1;
        /// The offset after its last record, or -1.
        end_offset: i64 => 0+, default -1;
    }
}
