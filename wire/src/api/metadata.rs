//! Metadata · key 3 · v0–13
//!
//! v1: null means all topics; controller, rack, internal topics.  v2: cluster id.
//! v3: throttle time.  v4: automatic creation may be declined.  v5: offline replicas.
//! v7: leader epoch.  v8: authorized operations.  v9: flexible.  v10: topic ids.
//! v11: no cluster operations.  v12: topics asked for by id.  v13: an error for the whole answer.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;
use crate::uuid::Uuid;

/// Numbers.
pub const API: Api =
    Api { key: 3, name: "Metadata", min: 0, max: 13, advertised_min: 0, flexible_from: 9 };

/// "Authorized operations were not asked for."
pub const OPERATIONS_UNKNOWN: i32 = i32::MIN;

messages! {
    /// Asks who leads what.
    MetadataRequest, flexible 9 {
        /// The topics; null is all of them (in v0, none is all of them).
        topics: Option<Vec<MetadataRequestTopic>> => 0+, null 1+, default Some(Vec::new());
        /// Whether topics may come into being by being asked for.
        allow_auto_topic_creation: bool => 4+, default true;
        /// Whether to tell what the client may do with the cluster.
        include_cluster_authorized_operations: bool => 8-10;
        /// Whether to tell what the client may do with the topics.
        include_topic_authorized_operations: bool => 8+;
    }

    /// A topic asked for, by name or by id.
    MetadataRequestTopic, flexible 9 {
        /// Zero when asked for by name.
        topic_id: Uuid => 10+ ignorable;
        /// Null when asked for by id.
        name: Option<String> => 0+, null 10+, default Some(String::new());
    }

    /// Who leads what.
    MetadataResponse, flexible 9 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 3+ ignorable;
        /// Every broker alive.
        brokers: Vec<MetadataResponseBroker> => 0+;
        /// The cluster's id.
        cluster_id: Option<String> => 2+ ignorable, null 2+;
        /// Where to send what only the controller does.
        controller_id: i32 => 1+ ignorable, default -1;
        /// The topics.
        topics: Vec<MetadataResponseTopic> => 0+;
        /// What the client may do with the cluster, as bits.
        cluster_authorized_operations: i32 => 8-10, default OPERATIONS_UNKNOWN;
        /// The whole answer's error.
        error_code: ErrorCode => 13+ ignorable;
    }

    /// A broker.
    MetadataResponseBroker, flexible 9 {
        /// Its number.
        node_id: i32 => 0+;
        /// Where clients reach it.
        host: String => 0+;
        /// Where clients reach it.
        port: i32 => 0+;
        /// Where it stands.
        rack: Option<String> => 1+ ignorable, null 1+;
    }

    /// A topic.
    MetadataResponseTopic, flexible 9 {
        /// The topic's error.
        error_code: ErrorCode => 0+;
        /// Its name; null when an unknown id was asked for.
        name: Option<String> => 0+, null 12+, default Some(String::new());
        /// Its id.
        topic_id: Uuid => 10+ ignorable;
        /// True for the coordinators' own topics.
        is_internal: bool => 1+ ignorable;
        /// Its partitions.
        partitions: Vec<MetadataResponsePartition> => 0+;
        /// What the client may do with it, as bits.
        topic_authorized_operations: i32 => 8+, default OPERATIONS_UNKNOWN;
    }

    /// A partition.
    MetadataResponsePartition, flexible 9 {
        /// The partition's error.
        error_code: ErrorCode => 0+;
        /// Its number.
        partition_index: i32 => 0+;
        /// Its leader, or -1.
        leader_id: i32 => 0+;
        /// The leader's epoch.
        leader_epoch: i32 => 7+ ignorable, default -1;
        /// The brokers that keep it.
        replica_nodes: Vec<i32> => 0+;
        /// Those in sync with the leader.
        isr_nodes: Vec<i32> => 0+;
        /// Those that are not there.
        offline_replicas: Vec<i32> => 5+ ignorable;
    }
}
