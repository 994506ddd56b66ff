//! IncrementalAlterConfigs · key 44 · v0–1
//!
//! v1: flexible.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api = Api {
    key: 44,
    name: "IncrementalAlterConfigs",
    min: 0,
    max: 1,
    advertised_min: 0,
    flexible_from: 1,
};

messages! {
    /// Asks for settings to be changed.
    IncrementalAlterConfigsRequest, flexible 1 {
        /// Whose settings, and what is to become of them.
        resources: Vec<AlterConfigsResource> => 0+;
        /// Only check whether it could be done.
        validate_only: bool => 0+;
    }

    /// One resource's changes.
    AlterConfigsResource, flexible 1 {
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8 => 0+;
        /// Its name.
        resource_name: String => 0+;
        /// The changes.
        configs: Vec<AlterableConfig> => 0+;
    }

    /// One change.
    AlterableConfig, flexible 1 {
        /// The setting.
        name: String => 0+;
        /// 0 set, 1 delete, 2 append to the list, 3 take out of the list.
        config_operation: i8 => 0+;
        /// The value, or the words to append or take out.
        value: Option<String> => 0+, null 0+, default Some(String::new());
    }

    /// What became of it.
    IncrementalAlterConfigsResponse, flexible 1 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// Resource by resource.
        responses: Vec<AlterConfigsResourceResponse> => 0+;
    }

    /// What became of a resource.
    AlterConfigsResourceResponse, flexible 1 {
        /// The resource's error.
        error_code: ErrorCode => 0+;
        /// The error in words.
        error_message: Option<String> => 0+, null 0+, default Some(String::new());
        /// As in the request.
        resource_type: i8 => 0+;
        /// As in the request.
        resource_name: String => 0+;
    }
}
