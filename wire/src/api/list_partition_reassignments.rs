//! ListPartitionReassignments · key 46 · v0

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api = Api {
    key: 46,
    name: "ListPartitionReassignments",
    min: 0,
    max: 0,
    advertised_min: 0,
    flexible_from: 0,
};

messages! {
    /// Asks what moves.
    ListPartitionReassignmentsRequest, flexible 0 {
        /// How long the answer may take.
        timeout_ms: i32 => 0+, default 60_000;
        /// Of which topics; null is all of them.
        topics: Option<Vec<ListPartitionReassignmentsTopics>> => 0+, null 0+;
    }

    /// Partitions of a topic.
    ListPartitionReassignmentsTopics, flexible 0 {
        /// The topic's name.
        name: String => 0+;
        /// The partitions' numbers.
        partition_indexes: Vec<i32> => 0+;
    }

    /// What moves.
    ListPartitionReassignmentsResponse, flexible 0 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// The whole answer's error.
        error_code: ErrorCode => 0+;
        /// The error in words.
        error_message: Option<String> => 0+, null 0+, default Some(String::new());
        /// Topic by topic.
        topics: Vec<OngoingTopicReassignment> => 0+;
    }

    /// A topic with partitions that move.
    OngoingTopicReassignment, flexible 0 {
        /// Its name.
        name: String => 0+;
        /// Partition by partition.
        partitions: Vec<OngoingPartitionReassignment> => 0+;
    }

    /// A partition that moves.
    OngoingPartitionReassignment, flexible 0 {
        /// Its number.
        partition_index: i32 => 0+;
        /// The brokers that keep it now.
        replicas: Vec<i32> => 0+;
        /// Those that are coming.
        adding_replicas: Vec<i32> => 0+;
        /// Those that are going.
        removing_replicas: Vec<i32> => 0+;
    }
}
