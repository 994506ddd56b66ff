//! ElectLeaders · key 43 · v0–2
//!
//! v1: unclean elections; an error for the whole answer.  v2: flexible.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 43, name: "ElectLeaders", min: 0, max: 2, advertised_min: 0, flexible_from: 2 };

/// The first replica is to lead.
pub const ELECTION_PREFERRED: i8 = 0;
/// Any replica may lead, even one that lacks records.
pub const ELECTION_UNCLEAN: i8 = 1;

messages! {
    /// Asks for elections.
    ElectLeadersRequest, flexible 2 {
        /// 0 preferred, 1 unclean.
        election_type: i8 => 1+;
        /// Of which partitions; null is all of them.
        topic_partitions: Option<Vec<TopicPartitions>> => 0+, null 0+, default Some(Vec::new());
        /// How long the answer may take.
        timeout_ms: i32 => 0+, default 60_000;
    }

    /// Partitions of a topic.
    TopicPartitions, flexible 2 {
        /// The topic's name.
        topic: String => 0+;
        /// The partitions' numbers.
        partitions: Vec<i32> => 0+;
    }

    /// What became of them.
    ElectLeadersResponse, flexible 2 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// The whole answer's error.
        error_code: ErrorCode => 1+;
        /// Topic by topic.
        replica_election_results: Vec<ReplicaElectionResult> => 0+;
    }

    /// What became of a topic.
    ReplicaElectionResult, flexible 2 {
        /// Its name.
        topic: String => 0+;
        /// Partition by partition.
        partition_result: Vec<PartitionResult> => 0+;
    }

    /// What became of a partition.
    PartitionResult, flexible 2 {
        /// Its number.
        partition_id: i32 => 0+;
        /// Why there was no election.
        error_code: ErrorCode => 0+;
        /// The error in words.
        error_message: Option<String> => 0+, null 0+, default Some(String::new());
    }
}
