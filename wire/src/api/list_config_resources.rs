//! ListConfigResources · key 74 · v0–1
//!
//! v0: client metrics subscriptions only, as ListClientMetricsResources.  v1: every kind.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api = Api {
    key: 74,
    name: "ListConfigResources",
    min: 0,
    max: 1,
    advertised_min: 0,
    flexible_from: 0,
};

messages! {
    /// Asks what has settings.
    ListConfigResourcesRequest, flexible 0 {
        /// The kinds asked for; none is all.
        resource_types: Vec<i8> => 1+;
    }

    /// What has settings.
    ListConfigResourcesResponse, flexible 0 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// The request's error.
        error_code: ErrorCode => 0+;
        /// The resources.
        config_resources: Vec<ConfigResource> => 0+;
    }

    /// What has settings.
    ConfigResource, flexible 0 {
        /// Its name.
        resource_name: String => 0+;
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8 => 1+ ignorable, default 16;
    }
}
