//! AlterPartitionReassignments · key 45 · v0–1
//!
//! v1: a change of the number of replicas can be forbidden.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api = Api {
    key: 45,
    name: "AlterPartitionReassignments",
    min: 0,
    max: 1,
    advertised_min: 0,
    flexible_from: 0,
};

messages! {
    /// Asks for partitions to move.
    AlterPartitionReassignmentsRequest, flexible 0 {
        /// How long the answer may take.
        timeout_ms: i32 => 0+, default 60_000;
        /// Whether a partition may get more or fewer replicas than it has.
        allow_replication_factor_change: bool => 1+, default true;
        /// Topic by topic.
        topics: Vec<ReassignableTopic> => 0+;
    }

    /// A topic.
    ReassignableTopic, flexible 0 {
        /// Its name.
        name: String => 0+;
        /// Partition by partition.
        partitions: Vec<ReassignablePartition> => 0+;
    }

    /// A partition.
    ReassignablePartition, flexible 0 {
        /// Its number.
        partition_index: i32 => 0+;
        /// The brokers that are to keep it; null ends the move that is under way.
        replicas: Option<Vec<i32>> => 0+, null 0+;
    }

    /// What became of them.
    AlterPartitionReassignmentsResponse, flexible 0 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// As in the request.
        allow_replication_factor_change: bool => 1+ ignorable, default true;
        /// The whole answer's error.
        error_code: ErrorCode => 0+;
        /// The error in words.
        error_message: Option<String> => 0+, null 0+, default Some(String::new());
        /// Topic by topic.
        responses: Vec<ReassignableTopicResponse> => 0+;
    }

    /// What became of a topic.
    ReassignableTopicResponse, flexible 0 {
        /// Its name.
        name: String => 0+;
        /// Partition by partition.
        partitions: Vec<ReassignablePartitionResponse> => 0+;
    }

    /// What became of a partition.
    ReassignablePartitionResponse, flexible 0 {
        /// Its number.
        partition_index: i32 => 0+;
        /// Why it does not move.
        error_code: ErrorCode => 0+;
        /// The error in words.
        error_message: Option<String> => 0+, null 0+, default Some(String::new());
    }
}
