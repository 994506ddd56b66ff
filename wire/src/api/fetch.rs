//! Fetch · key 1 · v4–18
//!
//! v4: isolation level.  v5: log start offset.  v7: sessions.  v9: leader epoch.  v10: zstd.
//! v11: rack, preferred read replica.  v12: flexible; diverging epochs.  v13: topics by id.
//! v15: replica state as a tagged field.  v16: endpoints of the leaders named.  v17: directory ids.
//! v18: the follower's high watermark.
//!
//! Two forms: owned structs for clients and tests, and for the data path [`RequestView`],
//! [`ResponseWriter`] and [`ResponseView`], which borrow, and allocate nothing per partition.

use super::Api;
pub use super::leader::{LeaderIdAndEpoch, NodeEndpoint};
use crate::error::ErrorCode;
use crate::message::messages;
use crate::uuid::Uuid;

mod response_view;
mod view;
mod write;

pub use response_view::{PartitionDataIter, PartitionDataView, ResponseTopicIter};
pub use response_view::{ResponseTopicView, ResponseView};
pub use view::{ForgottenIter, ForgottenView, IndexIter, PartitionIter, PartitionView};
pub use view::{RequestView, TopicIter, TopicView};
pub use write::{PartitionResult, ResponseWriter};

/// Numbers.
pub const API: Api =
    Api { key: 1, name: "Fetch", min: 4, max: 18, advertised_min: 4, flexible_from: 12 };

messages! {
    /// Asks for records.
    FetchRequest, flexible 12 {
        /// The cluster's id, for controllers.
        cluster_id: Option<String> => 12+ ignorable, null 12+, tag 0;
        /// The follower, or -1 for consumers; from v15 in the replica state.
        replica_id: i32 => 0-14, default -1;
        /// The follower's identity.
        replica_state: ReplicaState => 15+, tag 1, default ReplicaState::default();
        /// How long the answer may take.
        max_wait_ms: i32 => 0+;
        /// How many bytes are worth an answer.
        min_bytes: i32 => 0+;
        /// How many bytes the answer may have.
        max_bytes: i32 => 3+ ignorable, default i32::MAX;
        /// 0 read uncommitted, 1 read committed.
        isolation_level: i8 => 4+ ignorable;
        /// The session, or 0.
        session_id: i32 => 7+ ignorable;
        /// Its epoch; 0 begins one, -1 is none.
        session_epoch: i32 => 7+ ignorable, default -1;
        /// The topics.
        topics: Vec<FetchTopic> => 0+;
        /// What the session forgets.
        forgotten_topics_data: Vec<ForgottenTopic> => 7+;
        /// Where the consumer stands.
        rack_id: String => 11+ ignorable;
    }

    /// A follower's identity.
    ReplicaState, flexible 12 {
        /// The broker, or -1.
        replica_id: i32 => 15+, default -1;
        /// Its broker epoch, or -1.
        replica_epoch: i64 => 15+, default -1;
    }

    /// A topic to read.
    FetchTopic, flexible 12 {
        /// Its name.
        topic: String => 0-12 ignorable;
        /// Its id.
        topic_id: Uuid => 13+ ignorable;
        /// Its partitions.
        partitions: Vec<FetchPartition> => 0+;
    }

    /// A partition to read.
    FetchPartition, flexible 12 {
        /// Its number.
        partition: i32 => 0+;
        /// The leader's epoch as the reader knows it, or -1.
        current_leader_epoch: i32 => 9+ ignorable, default -1;
        /// The first offset wanted.
        fetch_offset: i64 => 0+;
        /// The epoch of the last record read, or -1.
        last_fetched_epoch: i32 => 12+, default -1;
        /// The follower's first offset, or -1.
        log_start_offset: i64 => 5+ ignorable, default -1;
        /// How many bytes of it.
        partition_max_bytes: i32 => 0+;
        /// The follower's directory.
        replica_directory_id: Uuid => 17+ ignorable, tag 0;
        /// The high watermark that the follower knows.
        high_watermark: i64 => 18+ ignorable, tag 1, default i64::MAX;
    }

    /// A topic that the session forgets.
    ForgottenTopic, flexible 12 {
        /// Its name.
        topic: String => 7-12 ignorable;
        /// Its id.
        topic_id: Uuid => 13+ ignorable;
        /// Its partitions.
        partitions: Vec<i32> => 7+;
    }

    /// The records.
    FetchResponse, flexible 12 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 1+ ignorable;
        /// The whole answer's error.
        error_code: ErrorCode => 7+ ignorable;
        /// The session, or 0.
        session_id: i32 => 7+;
        /// The topics.
        responses: Vec<FetchableTopicResponse> => 0+;
        /// Where the leaders that are named can be reached.
        node_endpoints: Vec<NodeEndpoint> => 16+, tag 0;
    }

    /// A topic's records.
    FetchableTopicResponse, flexible 12 {
        /// Its name.
        topic: String => 0-12 ignorable;
        /// Its id.
        topic_id: Uuid => 13+ ignorable;
        /// Its partitions.
        partitions: Vec<PartitionData> => 0+;
    }

    /// A partition's records.
    PartitionData, flexible 12 {
        /// Its number.
        partition_index: i32 => 0+;
        /// The partition's error.
        error_code: ErrorCode => 0+;
        /// The high watermark.
        high_watermark: i64 => 0+;
        /// Below it no transaction is open.
        last_stable_offset: i64 => 4+ ignorable, default -1;
        /// The log's first offset.
        log_start_offset: i64 => 5+ ignorable, default -1;
        /// Where the reader's log and the leader's part.
        diverging_epoch: EpochEndOffset => 12+, tag 0, default EpochEndOffset::default();
        /// Who leads, when it is not us.
        current_leader: LeaderIdAndEpoch => 12+, tag 1, default LeaderIdAndEpoch::default();
        /// The snapshot to fetch instead.
        snapshot_id: SnapshotId => 12+, tag 2, default SnapshotId::default();
        /// Transactions to skip; null when uncommitted records were asked for.
        aborted_transactions: Option<Vec<AbortedTransaction>> => 4+ ignorable, null 4+,
            default Some(Vec::new());
        /// Where to read instead, or -1.
        preferred_read_replica: i32 => 11+, default -1;
        /// Whole record batches.
        records: Option<Vec<u8>> => 0+, null 0+, default Some(Vec::new());
    }

    /// Where an epoch ended.
    EpochEndOffset, flexible 12 {
        /// The epoch, or -1.
        epoch: i32 => 12+, default -1;
        /// The offset after it, or -1.
        end_offset: i64 => 12+, default -1;
    }

    /// A snapshot's name.
    SnapshotId, flexible 12 {
        /// The offset after what it holds, or -1.
        end_offset: i64 => 0+, default -1;
        /// Its epoch, or -1.
        epoch: i32 => 0+, default -1;
    }

    /// A transaction to skip.
    AbortedTransaction, flexible 12 {
        /// Its producer.
        producer_id: i64 => 4+;
        /// Its first offset.
        first_offset: i64 => 4+;
    }
}
