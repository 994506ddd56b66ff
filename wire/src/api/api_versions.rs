//! ApiVersions · key 18 · v0–4
//!
//! v1: throttle time.  v3: flexible; the client's software; features as tagged fields.
//! v4: a feature whose smallest version is 0 may be listed.
//!
//! The response's header is v0 in every version. A request of any other version is answered in
//! version 0 with UNSUPPORTED_VERSION and the entry for key 18 alone; its body is not read.
//! Not done: v5 (cluster id and node id, for clients that reconnect elsewhere).

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 18, name: "ApiVersions", min: 0, max: 4, advertised_min: 0, flexible_from: 3 };

messages! {
    /// Asks what the broker speaks.
    ApiVersionsRequest, flexible 3 {
        /// The client library.
        client_software_name: String => 3+ ignorable;
        /// Its version.
        client_software_version: String => 3+ ignorable;
    }

    /// What the broker speaks.
    ApiVersionsResponse, flexible 3 {
        /// UNSUPPORTED_VERSION, INVALID_REQUEST or none.
        error_code: ErrorCode => 0+;
        /// The APIs.
        api_keys: Vec<ApiVersion> => 0+;
        /// For how long the client is held back.
        throttle_time_ms: i32 => 1+ ignorable;
        /// Features that the broker could run.
        supported_features: Vec<SupportedFeature> => 3+ ignorable, tag 0;
        /// Grows with each change of the finalized features; -1 is unknown.
        finalized_features_epoch: i64 => 3+ ignorable, tag 1, default -1;
        /// Features that the cluster runs.
        finalized_features: Vec<FinalizedFeature> => 3+ ignorable, tag 2;
        /// A leftover of ZooKeeper.
        zk_migration_ready: bool => 3+ ignorable, tag 3;
    }

    /// One API's versions.
    ApiVersion, flexible 3 {
        /// The API.
        api_key: i16 => 0+;
        /// The first version.
        min_version: i16 => 0+;
        /// The last version.
        max_version: i16 => 0+;
    }

    /// A feature that the broker could run.
    SupportedFeature, flexible 3 {
        /// Its name.
        name: String => 3+;
        /// The smallest level.
        min_version: i16 => 3+;
        /// The largest level.
        max_version: i16 => 3+;
    }

    /// A feature that the cluster runs.
    FinalizedFeature, flexible 3 {
        /// Its name.
        name: String => 3+;
        /// The largest level in force.
        max_version_level: i16 => 3+;
        /// The smallest level in force.
        min_version_level: i16 => 3+;
    }
}

/// The entries that are advertised for everything in [`super::API_LIST`].
pub fn advertised() -> Vec<ApiVersion> {
    let entry = |api: &Api| ApiVersion {
        api_key: api.key,
        min_version: api.advertised_min,
        max_version: api.max,
    };
    super::API_LIST.iter().map(entry).collect()
}
