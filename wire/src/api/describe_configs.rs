//! DescribeConfigs · key 32 · v1–4
//!
//! v1: sources and synonyms.  v3: types and documentation.  v4: flexible.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 32, name: "DescribeConfigs", min: 1, max: 4, advertised_min: 1, flexible_from: 4 };

messages! {
    /// Asks what settings hold.
    DescribeConfigsRequest, flexible 4 {
        /// Whose settings.
        resources: Vec<DescribeConfigsResource> => 0+;
        /// Tell every place that has a value, strongest first.
        include_synonyms: bool => 1+;
        /// Tell what each setting is for.
        include_documentation: bool => 3+;
    }

    /// Whose settings, and which.
    DescribeConfigsResource, flexible 4 {
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8 => 0+;
        /// Its name.
        resource_name: String => 0+;
        /// The settings asked for; null or none is all.
        configuration_keys: Option<Vec<String>> => 0+, null 0+, default Some(Vec::new());
    }

    /// The settings.
    DescribeConfigsResponse, flexible 4 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// Resource by resource.
        results: Vec<DescribeConfigsResult> => 0+;
    }

    /// One resource's settings.
    DescribeConfigsResult, flexible 4 {
        /// The resource's error.
        error_code: ErrorCode => 0+;
        /// The error in words.
        error_message: Option<String> => 0+, null 0+, default Some(String::new());
        /// As in the request.
        resource_type: i8 => 0+;
        /// As in the request.
        resource_name: String => 0+;
        /// The settings.
        configs: Vec<DescribeConfigsResourceResult> => 0+;
    }

    /// One setting in force.
    DescribeConfigsResourceResult, flexible 4 {
        /// Its name.
        name: String => 0+;
        /// Its value; null when nobody set one, or when it is secret.
        value: Option<String> => 0+, null 0+, default Some(String::new());
        /// It cannot be changed while the broker runs.
        read_only: bool => 0+;
        /// Whence the value: 1 topic, 2 broker, 3 all brokers, 4 static, 5 default, 6 logger, 7
        /// client metrics, 8 group.
        config_source: i8 => 1+ ignorable, default -1;
        /// Its value is not told.
        is_sensitive: bool => 0+;
        /// Every place that has a value, strongest first.
        synonyms: Vec<DescribeConfigsSynonym> => 1+ ignorable;
        /// 0 unknown, 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9
        /// password.
        config_type: i8 => 3+ ignorable;
        /// What it is for.
        documentation: Option<String> => 3+ ignorable, null 0+, default Some(String::new());
    }

    /// A place that has a value.
    DescribeConfigsSynonym, flexible 4 {
        /// The setting's name there.
        name: String => 1+;
        /// The value there.
        value: Option<String> => 1+, null 0+, default Some(String::new());
        /// As `config_source`.
        source: i8 => 1+;
    }
}
