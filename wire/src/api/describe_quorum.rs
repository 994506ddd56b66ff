//! DescribeQuorum · key 55 · v0–2
//!
//! v1: when each replica last fetched and was caught up.  v2: errors in words, directories, the
//! voters' endpoints (KIP-853).

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;
use crate::uuid::Uuid;

/// Numbers.
pub const API: Api =
    Api { key: 55, name: "DescribeQuorum", min: 0, max: 2, advertised_min: 0, flexible_from: 0 };

messages! {
    /// Asks how the quorum of a partition stands.
    DescribeQuorumRequest, flexible 0 {
        /// The topics: the metadata log's alone has a quorum.
        topics: Vec<TopicAsked> => 0+;
    }

    /// A topic asked for.
    TopicAsked, flexible 0 {
        /// Its name.
        topic_name: String => 0+;
        /// Its partitions.
        partitions: Vec<PartitionAsked> => 0+;
    }

    /// A partition asked for.
    PartitionAsked, flexible 0 {
        /// Its number.
        partition_index: i32 => 0+;
    }

    /// How the quorum stands.
    DescribeQuorumResponse, flexible 0 {
        /// The whole answer's error.
        error_code: ErrorCode => 0+;
        /// The error in words.
        error_message: Option<String> => 2+ ignorable, null 2+, default Some(String::new());
        /// Topic by topic.
        topics: Vec<TopicData> => 0+;
        /// Where the voters are reached.
        nodes: Vec<Node> => 2+;
    }

    /// A topic.
    TopicData, flexible 0 {
        /// Its name.
        topic_name: String => 0+;
        /// Partition by partition.
        partitions: Vec<PartitionData> => 0+;
    }

    /// A partition.
    PartitionData, flexible 0 {
        /// Its number.
        partition_index: i32 => 0+;
        /// The partition's error.
        error_code: ErrorCode => 0+;
        /// The error in words.
        error_message: Option<String> => 2+ ignorable, null 2+, default Some(String::new());
        /// The leader, or -1.
        leader_id: i32 => 0+;
        /// Its epoch.
        leader_epoch: i32 => 0+;
        /// What is committed, or -1.
        high_watermark: i64 => 0+;
        /// The voters.
        current_voters: Vec<ReplicaState> => 0+;
        /// Those who only follow.
        observers: Vec<ReplicaState> => 0+;
    }

    /// How far a replica is.
    ReplicaState, flexible 0 {
        /// The replica.
        replica_id: i32 => 0+;
        /// Its directory.
        replica_directory_id: Uuid => 2+;
        /// The end of its log, or -1.
        log_end_offset: i64 => 0+;
        /// When it last fetched, by the leader's clock in milliseconds, or -1.
        last_fetch_timestamp: i64 => 1+ ignorable, default -1;
        /// When it last had everything, by the leader's clock in milliseconds, or -1.
        last_caught_up_timestamp: i64 => 1+ ignorable, default -1;
    }

    /// A voter.
    Node, flexible 0 {
        /// Its number.
        node_id: i32 => 2+;
        /// Where it is reached.
        listeners: Vec<Listener> => 2+;
    }

    /// An address of a voter.
    Listener, flexible 0 {
        /// The listener's name.
        name: String => 2+;
        /// Host or address.
        host: String => 2+;
        /// Port.
        port: u16 => 2+;
    }
}
