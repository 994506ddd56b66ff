//! OffsetFetch · key 9 · v1–10
//!
//! v2: null topics for all; the group's error.  v3: throttle time.  v5: leader epochs.
//! v6: flexible.  v7: only what no open transaction may change.  v8: many groups at once.
//! v9: the member, of the new consumer protocol (KIP-848).  v10: topic ids in place of names.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;
use crate::uuid::Uuid;

/// Numbers.
pub const API: Api =
    Api { key: 9, name: "OffsetFetch", min: 1, max: 10, advertised_min: 1, flexible_from: 6 };

messages! {
    /// Asks up to where groups have read.
    OffsetFetchRequest, flexible 6 {
        /// The group.
        group_id: String => 0-7;
        /// The topics, or null for all.
        topics: Option<Vec<OffsetFetchRequestTopic>> => 0-7, null 2+, default Some(Vec::new());
        /// The groups.
        groups: Vec<OffsetFetchRequestGroup> => 8+;
        /// UNSTABLE_OFFSET_COMMIT while a transaction has an offset of the partition open.
        require_stable: bool => 7+;
    }

    /// A topic asked about.
    OffsetFetchRequestTopic, flexible 6 {
        /// Its name.
        name: String => 0-7;
        /// Its partitions.
        partition_indexes: Vec<i32> => 0-7;
    }

    /// A group asked about.
    OffsetFetchRequestGroup, flexible 6 {
        /// Its id.
        group_id: String => 8+;
        /// The member that asks, or null.
        member_id: Option<String> => 9+ ignorable, null 9+;
        /// Its epoch, or -1.
        member_epoch: i32 => 9+ ignorable, default -1;
        /// The topics, or null for all.
        topics: Option<Vec<OffsetFetchRequestTopics>> => 8+, null 8+, default Some(Vec::new());
    }

    /// A topic asked about for a group.
    OffsetFetchRequestTopics, flexible 6 {
        /// Its name.
        name: String => 8-9 ignorable;
        /// Its id.
        topic_id: Uuid => 10+ ignorable;
        /// Its partitions.
        partition_indexes: Vec<i32> => 8+;
    }

    /// Up to where they have read.
    OffsetFetchResponse, flexible 6 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 3+ ignorable;
        /// Topic by topic.
        topics: Vec<OffsetFetchResponseTopic> => 0-7;
        /// The group's error.
        error_code: ErrorCode => 2-7 ignorable;
        /// Group by group.
        groups: Vec<OffsetFetchResponseGroup> => 8+;
    }

    /// A topic's offsets.
    OffsetFetchResponseTopic, flexible 6 {
        /// Its name.
        name: String => 0-7;
        /// Its partitions.
        partitions: Vec<OffsetFetchResponsePartition> => 0-7;
    }

    /// A partition's offset.
    OffsetFetchResponsePartition, flexible 6 {
        /// Its number.
        partition_index: i32 => 0-7;
        /// The offset of the next record to read, or -1.
        committed_offset: i64 => 0-7;
        /// The leader's epoch of the last record read, or -1.
        committed_leader_epoch: i32 => 5-7 ignorable, default -1;
        /// What the client wanted to remember with it.
        metadata: Option<String> => 0-7, null 0+, default Some(String::new());
        /// The partition's error.
        error_code: ErrorCode => 0-7;
    }

    /// A group's offsets.
    OffsetFetchResponseGroup, flexible 6 {
        /// Its id.
        group_id: String => 8+;
        /// Topic by topic.
        topics: Vec<OffsetFetchResponseTopics> => 8+;
        /// The group's error.
        error_code: ErrorCode => 8+;
    }

    /// A topic's offsets of a group.
    OffsetFetchResponseTopics, flexible 6 {
        /// Its name.
        name: String => 8-9 ignorable;
        /// Its id.
        topic_id: Uuid => 10+ ignorable;
        /// Its partitions.
        partitions: Vec<OffsetFetchResponsePartitions> => 8+;
    }

    /// A partition's offset of a group.
    OffsetFetchResponsePartitions, flexible 6 {
        /// Its number.
        partition_index: i32 => 8+;
        /// The offset of the next record to read, or -1.
        committed_offset: i64 => 8+;
        /// The leader's epoch of the last record read, or -1.
        committed_leader_epoch: i32 => 8+ ignorable, default -1;
        /// What the client wanted to remember with it.
        metadata: Option<String> => 8+, null 8+, default Some(String::new());
        /// The partition's error.
        error_code: ErrorCode => 8+;
    }
}
