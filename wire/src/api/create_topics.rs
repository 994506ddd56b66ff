//! CreateTopics · key 19 · v2–7
//!
//! v4: -1 partitions or replicas are the broker's defaults.
//! v5: flexible; the answer tells partitions, replicas and configuration.
//! v6: THROTTLING_QUOTA_EXCEEDED.  v7: topic ids.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;
use crate::uuid::Uuid;

/// Numbers.
pub const API: Api =
    Api { key: 19, name: "CreateTopics", min: 2, max: 7, advertised_min: 2, flexible_from: 5 };

messages! {
    /// Asks for topics.
    CreateTopicsRequest, flexible 5 {
        /// The topics.
        topics: Vec<CreatableTopic> => 0+;
        /// How long the answer may take.
        timeout_ms: i32 => 0+, default 60_000;
        /// Only check whether it could be done.
        validate_only: bool => 1+;
    }

    /// A topic to create.
    CreatableTopic, flexible 5 {
        /// Its name.
        name: String => 0+;
        /// How many partitions, or -1.
        num_partitions: i32 => 0+;
        /// How many replicas, or -1.
        replication_factor: i16 => 0+;
        /// Where the replicas are to be; empty leaves it to the broker.
        assignments: Vec<CreatableReplicaAssignment> => 0+;
        /// Its configuration.
        configs: Vec<CreatableTopicConfig> => 0+;
    }

    /// Where a partition's replicas are to be.
    CreatableReplicaAssignment, flexible 5 {
        /// The partition.
        partition_index: i32 => 0+;
        /// The brokers.
        broker_ids: Vec<i32> => 0+;
    }

    /// One setting.
    CreatableTopicConfig, flexible 5 {
        /// Its name.
        name: String => 0+;
        /// Its value.
        value: Option<String> => 0+, null 0+, default Some(String::new());
    }

    /// What became of them.
    CreateTopicsResponse, flexible 5 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 2+ ignorable;
        /// Topic by topic.
        topics: Vec<CreatableTopicResult> => 0+;
    }

    /// What became of a topic.
    CreatableTopicResult, flexible 5 {
        /// Its name.
        name: String => 0+;
        /// Its id.
        topic_id: Uuid => 7+ ignorable;
        /// The topic's error.
        error_code: ErrorCode => 0+;
        /// The error in words.
        error_message: Option<String> => 1+ ignorable, null 0+, default Some(String::new());
        /// Why the configuration is not told.
        topic_config_error_code: ErrorCode => 5+ ignorable, tag 0;
        /// How many partitions.
        num_partitions: i32 => 5+ ignorable, default -1;
        /// How many replicas.
        replication_factor: i16 => 5+ ignorable, default -1;
        /// The configuration in force.
        configs: Option<Vec<CreatableTopicConfigs>> => 5+ ignorable, null 5+,
            default Some(Vec::new());
    }

    /// One setting in force.
    CreatableTopicConfigs, flexible 5 {
        /// Its name.
        name: String => 5+;
        /// Its value.
        value: Option<String> => 5+, null 5+, default Some(String::new());
        /// It cannot be changed.
        read_only: bool => 5+;
        /// Whence the value: 1 topic, 2 dynamic broker, 4 static broker, 5 default.
        config_source: i8 => 5+ ignorable, default -1;
        /// Its value is not told.
        is_sensitive: bool => 5+;
    }
}
