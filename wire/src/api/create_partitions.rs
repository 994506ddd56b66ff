//! CreatePartitions · key 37 · v0–3
//!
//! v2: flexible.  v3: THROTTLING_QUOTA_EXCEEDED.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 37, name: "CreatePartitions", min: 0, max: 3, advertised_min: 0, flexible_from: 2 };

messages! {
    /// Asks for more partitions.
    CreatePartitionsRequest, flexible 2 {
        /// The topics that are to grow.
        topics: Vec<CreatePartitionsTopic> => 0+;
        /// How long the answer may take.
        timeout_ms: i32 => 0+;
        /// Only check whether it could be done.
        validate_only: bool => 0+;
    }

    /// A topic that is to grow.
    CreatePartitionsTopic, flexible 2 {
        /// Its name.
        name: String => 0+;
        /// How many partitions it is to have in the end.
        count: i32 => 0+;
        /// Where the new partitions' replicas are to be; null leaves it to the broker.
        assignments: Option<Vec<CreatePartitionsAssignment>> => 0+, null 0+;
    }

    /// Where a new partition's replicas are to be.
    CreatePartitionsAssignment, flexible 2 {
        /// The brokers.
        broker_ids: Vec<i32> => 0+;
    }

    /// What became of them.
    CreatePartitionsResponse, flexible 2 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// Topic by topic.
        results: Vec<CreatePartitionsTopicResult> => 0+;
    }

    /// What became of a topic.
    CreatePartitionsTopicResult, flexible 2 {
        /// Its name.
        name: String => 0+;
        /// The topic's error.
        error_code: ErrorCode => 0+;
        /// The error in words.
        error_message: Option<String> => 0+, null 0+;
    }
}
