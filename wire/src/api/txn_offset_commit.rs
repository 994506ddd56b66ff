//! TxnOffsetCommit · key 28 · v0–6
//!
//! v1: the broker answers before it is held back.  v2: leader epochs.
//! v3: flexible; the member, so that its group fences it (KIP-447).  v4: TRANSACTION_ABORTABLE.
//! v5: the commit itself adds the group to the transaction (KIP-890).
//! v6: topic ids in place of names.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;
use crate::uuid::Uuid;

/// Numbers.
pub const API: Api =
    Api { key: 28, name: "TxnOffsetCommit", min: 0, max: 6, advertised_min: 0, flexible_from: 3 };

/// From this version on no AddOffsetsToTxn comes before it.
pub const VERSION_THAT_ADDS_MIN: i16 = 5;

messages! {
    /// Says up to where a group will have read once the transaction commits.
    TxnOffsetCommitRequest, flexible 3 {
        /// The transactional id.
        transactional_id: String => 0+;
        /// The group.
        group_id: String => 0+;
        /// The producer.
        producer_id: i64 => 0+;
        /// Its epoch.
        producer_epoch: i16 => 0+;
        /// The generation or the member's epoch, or -1.
        generation_id_or_member_epoch: i32 => 3+, default -1;
        /// The member, or empty.
        member_id: String => 3+;
        /// The static member's name, or null.
        group_instance_id: Option<String> => 3+, null 3+;
        /// The topics.
        topics: Vec<TxnOffsetCommitRequestTopic> => 0+;
    }

    /// A topic read from.
    TxnOffsetCommitRequestTopic, flexible 3 {
        /// Its name.
        name: String => 0-5 ignorable;
        /// Its id.
        topic_id: Uuid => 6+ ignorable;
        /// Its partitions.
        partitions: Vec<TxnOffsetCommitRequestPartition> => 0+;
    }

    /// A partition read from.
    TxnOffsetCommitRequestPartition, flexible 3 {
        /// Its number.
        partition_index: i32 => 0+;
        /// The offset of the next record to read.
        committed_offset: i64 => 0+;
        /// The leader's epoch of the last record read, or -1.
        committed_leader_epoch: i32 => 2+ ignorable, default -1;
        /// Whatever the client wants to remember with it.
        committed_metadata: Option<String> => 0+, null 0+, default Some(String::new());
    }

    /// What became of it.
    TxnOffsetCommitResponse, flexible 3 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// Topic by topic.
        topics: Vec<TxnOffsetCommitResponseTopic> => 0+;
    }

    /// What became of a topic's.
    TxnOffsetCommitResponseTopic, flexible 3 {
        /// Its name.
        name: String => 0-5 ignorable;
        /// Its id.
        topic_id: Uuid => 6+ ignorable;
        /// Its partitions.
        partitions: Vec<TxnOffsetCommitResponsePartition> => 0+;
    }

    /// What became of a partition's.
    TxnOffsetCommitResponsePartition, flexible 3 {
        /// Its number.
        partition_index: i32 => 0+;
        /// The partition's error.
        error_code: ErrorCode => 0+;
    }
}
