//! OffsetCommit · key 8 · v2–10
//!
//! v3: throttle time.  v4: the broker answers before it is held back.  v5: no retention time any
//! more.  v6: leader epochs.  v7: static members.  v8: flexible.
//! v9: member epochs of the new consumer protocol (KIP-848).  v10: topic ids in place of names.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;
use crate::uuid::Uuid;

/// Numbers.
pub const API: Api =
    Api { key: 8, name: "OffsetCommit", min: 2, max: 10, advertised_min: 2, flexible_from: 8 };

messages! {
    /// Says up to where a group has read.
    OffsetCommitRequest, flexible 8 {
        /// The group.
        group_id: String => 0+;
        /// The generation or the member's epoch; -1 from who is no member.
        generation_id_or_member_epoch: i32 => 1+ ignorable, default -1;
        /// The member, or empty.
        member_id: String => 1+ ignorable;
        /// The static member's name, or null.
        group_instance_id: Option<String> => 7+, null 7+;
        /// For how long the offsets are kept, in milliseconds; -1 leaves it to the broker.
        retention_time_ms: i64 => 2-4 ignorable, default -1;
        /// The topics.
        topics: Vec<OffsetCommitRequestTopic> => 0+;
    }

    /// A topic read from.
    OffsetCommitRequestTopic, flexible 8 {
        /// Its name.
        name: String => 0-9 ignorable;
        /// Its id.
        topic_id: Uuid => 10+ ignorable;
        /// Its partitions.
        partitions: Vec<OffsetCommitRequestPartition> => 0+;
    }

    /// A partition read from.
    OffsetCommitRequestPartition, flexible 8 {
        /// Its number.
        partition_index: i32 => 0+;
        /// The offset of the next record to read.
        committed_offset: i64 => 0+;
        /// The leader's epoch of the last record read, or -1.
        committed_leader_epoch: i32 => 6+ ignorable, default -1;
        /// Whatever the client wants to remember with it.
        committed_metadata: Option<String> => 0+, null 0+, default Some(String::new());
    }

    /// What became of it.
    OffsetCommitResponse, flexible 8 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 3+ ignorable;
        /// Topic by topic.
        topics: Vec<OffsetCommitResponseTopic> => 0+;
    }

    /// What became of a topic's.
    OffsetCommitResponseTopic, flexible 8 {
        /// Its name.
        name: String => 0-9 ignorable;
        /// Its id.
        topic_id: Uuid => 10+ ignorable;
        /// Its partitions.
        partitions: Vec<OffsetCommitResponsePartition> => 0+;
    }

    /// What became of a partition's.
    OffsetCommitResponsePartition, flexible 8 {
        /// Its number.
        partition_index: i32 => 0+;
        /// The partition's error.
        error_code: ErrorCode => 0+;
    }
}
