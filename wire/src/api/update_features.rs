//! UpdateFeatures · key 57 · v0–2
//!
//! v1: only checking; the kind of change.  v2: one error for all.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 57, name: "UpdateFeatures", min: 0, max: 2, advertised_min: 0, flexible_from: 0 };

messages! {
    /// Asks for other feature levels.
    UpdateFeaturesRequest, flexible 0 {
        /// How long the answer may take.
        timeout_ms: i32 => 0+, default 60_000;
        /// Feature by feature.
        feature_updates: Vec<FeatureUpdateKey> => 0+;
        /// Only check whether it could be done.
        validate_only: bool => 1+;
    }

    /// A level for a feature.
    FeatureUpdateKey, flexible 0 {
        /// The feature.
        feature: String => 0+;
        /// The level; below 1 the feature is to go.
        max_version_level: i16 => 0+;
        /// Whether the level may fall.
        allow_downgrade: bool => 0-0;
        /// 1: only up; 2: down without loss too; 3: down with loss too.
        upgrade_type: i8 => 1+, default 1;
    }

    /// What became of it.
    UpdateFeaturesResponse, flexible 0 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// The whole answer's error.
        error_code: ErrorCode => 0+;
        /// The error in words.
        error_message: Option<String> => 0+, null 0+, default Some(String::new());
        /// Feature by feature, up to v1.
        results: Vec<UpdatableFeatureResult> => 0-1 ignorable;
    }

    /// What became of a feature.
    UpdatableFeatureResult, flexible 0 {
        /// The feature.
        feature: String => 0+;
        /// Its error.
        error_code: ErrorCode => 0+;
        /// The error in words.
        error_message: Option<String> => 0+, null 0+, default Some(String::new());
    }
}
