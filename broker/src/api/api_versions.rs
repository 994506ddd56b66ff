//! ApiVersions · key 18 · v0–4.  v3: flexible, features, the client's software name.  v4: features
//! with minimum 0.
//!
//! Any version is answered (rule 1); the answer's header is always v0 (rule 2). Features are the
//! metadata log's (rule 6). Not done: v5's cluster and node check (KIP-1242).

use ringlog_wire::api::API_LIST;
use ringlog_wire::api::api_versions::{
    API, ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeature, SupportedFeature,
};
use ringlog_wire::error::ErrorCode;

use super::{Outcome, Request, frame_reply};
use crate::metadata::features;
use crate::shell::Shell;

/// Answers an ApiVersions request.
pub fn handle(shell: &Shell, request: &Request<'_>) -> Outcome {
    let view = match ApiVersionsRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let valid = request.version < 3
        || (is_software_name(&view.client_software_name)
            && is_software_name(&view.client_software_version));
    let response = match valid {
        true => answer(shell, request.version),
        false => ApiVersionsResponse {
            error_code: ErrorCode::InvalidRequest,
            ..ApiVersionsResponse::default()
        },
    };
    Outcome::Reply(request.reply_to().answer(&response))
}

/// The whole answer to a version that is not served: version 0, the code, and this API's own range.
pub fn unsupported_version(correlation_id: i32) -> Vec<u8> {
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion,
        api_keys: API_LIST.iter().filter(|api| api.key == API.key).map(range).collect(),
        ..ApiVersionsResponse::default()
    };
    let api = ringlog_wire::api::find(API.key).expect("ApiVersions is in the list");
    frame_reply(api, 0, correlation_id, |out| response.encode(0, out))
}

fn range(api: &'static ringlog_wire::api::Api) -> ApiVersion {
    ApiVersion { api_key: api.key, min_version: api.advertised_min, max_version: api.max }
}

fn answer(shell: &Shell, version: i16) -> ApiVersionsResponse {
    let supported = features::SUPPORTED.iter().filter(|(_, min, _)| version >= 4 || *min > 0);
    // The quorum's own level stands in control records.
    let quorum = shell.image.quorum.kraft_version.filter(|level| *level > 0);
    let quorum = quorum.map(|level| (features::KRAFT_VERSION, level));
    let levels = shell.image.features.iter().map(|(name, level)| (name.as_str(), *level));
    let finalized = levels.chain(quorum).map(|(name, level)| FinalizedFeature {
        name: name.into(),
        max_version_level: level,
        min_version_level: level,
    });
    ApiVersionsResponse {
        error_code: ErrorCode::None,
        api_keys: API_LIST.iter().map(range).collect(),
        throttle_time_ms: 0,
        supported_features: supported
            .map(|(name, min, max)| SupportedFeature {
                name: (*name).into(),
                min_version: *min,
                max_version: *max,
            })
            .collect(),
        finalized_features_epoch: shell.image.applied.offset.max(0),
        finalized_features: finalized.collect(),
        zk_migration_ready: false,
    }
}

/// Kafka's pattern for the names of client software: letters and digits, with dots and hyphens
/// inside (rule 3).
fn is_software_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.iter().all(inner) && ends(bytes.first()) && ends(bytes.last())
}

#[cfg(test)]
mod tests {
    use super::is_software_name;

    #[test]
    fn software_names_are_kafkas() {
        for (name, valid) in [
            ("apache-kafka-java", true),
            ("4.3.1", true),
            ("a", true),
            ("", false),
            ("-a", false),
            ("a-", false),
            ("a b", false),
            ("ä", false),
        ] {
            assert_eq!(is_software_name(name), valid, "{name:?}");
        }
    }
}
