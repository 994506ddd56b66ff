//! AlterConfigs · key 33 · v0–2
//!
//! v2: flexible.  Replaces all the settings of a resource; IncrementalAlterConfigs changes some.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 33, name: "AlterConfigs", min: 0, max: 2, advertised_min: 0, flexible_from: 2 };

messages! {
    /// Asks for settings to be replaced.
    AlterConfigsRequest, flexible 2 {
        /// Whose settings, and what they are to be.
        resources: Vec<AlterConfigsResource> => 0+;
        /// Only check whether it could be done.
        validate_only: bool => 0+;
    }

    /// One resource's new settings.
    AlterConfigsResource, flexible 2 {
        /// 2 topic, 4 broker.
        resource_type: i8 => 0+;
        /// Its name.
        resource_name: String => 0+;
        /// All of its settings; what is not here is forgotten.
        configs: Vec<AlterableConfig> => 0+;
    }

    /// One setting.
    AlterableConfig, flexible 2 {
        /// Its name.
        name: String => 0+;
        /// Its value.
        value: Option<String> => 0+, null 0+, default Some(String::new());
    }

    /// What became of it.
    AlterConfigsResponse, flexible 2 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// Resource by resource.
        responses: Vec<AlterConfigsResourceResponse> => 0+;
    }

    /// What became of a resource.
    AlterConfigsResourceResponse, flexible 2 {
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
