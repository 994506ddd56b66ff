//! DescribeTopicPartitions · key 75 · v0: topics page by page (KIP-966).

use super::Api;
use super::metadata::OPERATIONS_UNKNOWN;
use crate::error::ErrorCode;
use crate::message::{messages, nullable_struct};
use crate::uuid::Uuid;

/// Numbers.
pub const API: Api = Api {
    key: 75,
    name: "DescribeTopicPartitions",
    min: 0,
    max: 0,
    advertised_min: 0,
    flexible_from: 0,
};

messages! {
    /// Asks for a page.
    DescribeTopicPartitionsRequest, flexible 0 {
        /// The topics; none is all of them.
        topics: Vec<TopicRequest> => 0+;
        /// Most partitions in the answer.
        response_partition_limit: i32 => 0+, default 2000;
        /// Where to begin.
        cursor: Option<Cursor> => 0+, null 0+;
    }

    /// A topic asked for.
    TopicRequest, flexible 0 {
        /// Its name.
        name: String => 0+;
    }

    /// The first partition of a page.
    Cursor, flexible 0 {
        /// Its topic.
        topic_name: String => 0+;
        /// Its number.
        partition_index: i32 => 0+;
    }

    /// A page.
    DescribeTopicPartitionsResponse, flexible 0 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+ ignorable;
        /// The topics, ascending by name.
        topics: Vec<DescribeTopicPartitionsResponseTopic> => 0+;
        /// Where the next page begins, if there is one.
        next_cursor: Option<Cursor> => 0+, null 0+;
    }

    /// A topic, or a part of it.
    DescribeTopicPartitionsResponseTopic, flexible 0 {
        /// The topic's error.
        error_code: ErrorCode => 0+;
        /// Its name.
        name: Option<String> => 0+, null 0+, default Some(String::new());
        /// Its id.
        topic_id: Uuid => 0+ ignorable;
        /// True for the coordinators' own topics.
        is_internal: bool => 0+ ignorable;
        /// Its partitions on this page.
        partitions: Vec<DescribeTopicPartitionsResponsePartition> => 0+;
        /// What the client may do with it, as bits.
        topic_authorized_operations: i32 => 0+, default OPERATIONS_UNKNOWN;
    }

    /// A partition.
    DescribeTopicPartitionsResponsePartition, flexible 0 {
        /// The partition's error.
        error_code: ErrorCode => 0+;
        /// Its number.
        partition_index: i32 => 0+;
        /// Its leader, or -1.
        leader_id: i32 => 0+;
        /// The leader's epoch.
        leader_epoch: i32 => 0+ ignorable, default -1;
        /// The brokers that keep it.
        replica_nodes: Vec<i32> => 0+;
        /// Those in sync with the leader.
        isr_nodes: Vec<i32> => 0+;
        /// Those out of sync that may lead all the same.
        eligible_leader_replicas: Option<Vec<i32>> => 0+, null 0+;
        /// Those that were eligible at the last unclean stop.
        last_known_elr: Option<Vec<i32>> => 0+, null 0+;
        /// Those that are not there.
        offline_replicas: Vec<i32> => 0+ ignorable;
    }
}

nullable_struct!(Cursor);
