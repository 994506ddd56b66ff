//! DescribeCluster · key 60 · v0–2
//!
//! v1: brokers or controllers.  v2: brokers that are fenced.

use super::Api;
use super::metadata::OPERATIONS_UNKNOWN;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 60, name: "DescribeCluster", min: 0, max: 2, advertised_min: 0, flexible_from: 0 };

/// The endpoints of brokers.
pub const ENDPOINTS_BROKERS: i8 = 1;
/// The endpoints of controllers.
pub const ENDPOINTS_CONTROLLERS: i8 = 2;

messages! {
    /// Asks who the cluster is.
    DescribeClusterRequest, flexible 0 {
        /// Whether to tell what the client may do with the cluster.
        include_cluster_authorized_operations: bool => 0+;
        /// Whose endpoints: 1 brokers, 2 controllers.
        endpoint_type: i8 => 1+, default ENDPOINTS_BROKERS;
        /// Whether fenced brokers are told too.
        include_fenced_brokers: bool => 2+;
    }

    /// Who the cluster is.
    DescribeClusterResponse, flexible 0 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// The whole answer's error.
        error_code: ErrorCode => 0+;
        /// The error in words.
        error_message: Option<String> => 0+, null 0+;
        /// Whose endpoints these are: 1 brokers, 2 controllers.
        endpoint_type: i8 => 1+, default ENDPOINTS_BROKERS;
        /// The cluster's id.
        cluster_id: String => 0+;
        /// Where to send what only the controller does, or -1.
        controller_id: i32 => 0+, default -1;
        /// The nodes.
        brokers: Vec<DescribeClusterBroker> => 0+;
        /// What the client may do with the cluster, as bits.
        cluster_authorized_operations: i32 => 0+, default OPERATIONS_UNKNOWN;
    }

    /// A node.
    DescribeClusterBroker, flexible 0 {
        /// Its number.
        broker_id: i32 => 0+;
        /// Where it is reached.
        host: String => 0+;
        /// Where it is reached.
        port: i32 => 0+;
        /// Where it stands.
        rack: Option<String> => 0+, null 0+;
        /// Whether it is fenced.
        is_fenced: bool => 2+;
    }
}
