//! UpdateFeatures: other feature levels, within what this build can work at. Codes, words and order
//! of the checks are those of Kafka 4.3.1's controller, seen on a running one.
//!
//! Invariants: all updates of a request are made, or none; a level is always one that this build
//! supports, so the broker can start on what it has written; `metadata.version` never falls (Kafka
//! refuses that too wherever records would be lost), and the quorum's own `kraft.version` never
//! changes: this build needs 1.

use std::collections::BTreeMap;

use ringlog_wire::ErrorCode;
use ringlog_wire::api::update_features::{
    UpdatableFeatureResult, UpdateFeaturesRequest, UpdateFeaturesResponse,
};
use ringlog_wire::records::{ConfigRecord, FeatureLevelRecord, MetadataRecord};

use super::command::{Command, Reply};
use super::controller::Controller;
use super::features::{ELR_VERSION, KRAFT_VERSION, METADATA_VERSION, SUPPORTED};
use super::image::{Image, RESOURCE_BROKER};
use super::topic_config::MIN_INSYNC_REPLICAS;

/// The lowest metadata.version whose records can tell eligible leader replicas (4.0-IV1).
const ELR_METADATA_VERSION: i16 = 23;

/// What a request allows a level to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    DownWithoutLoss,
    DownWithLoss,
    Unknown,
}

impl Controller {
    /// Sets feature levels, as the request of that version says it. `token` comes back with the
    /// reply.
    pub fn update_features(
        &mut self,
        now_ms: i64,
        token: u64,
        version: i16,
        request: &UpdateFeaturesRequest,
    ) -> Vec<Command> {
        let mut out = Vec::new();
        if let Some(code) = self.refusal() {
            let response = refused(code, code.name().to_string());
            return vec![Command::Reply(token, Reply::UpdateFeatures(response))];
        }
        let response = match self.plan_features(version, request) {
            Err(why) => refused(
                ErrorCode::InvalidUpdateVersion,
                format!(
                    "The update failed for all features since the following feature had an \
                     error: {why}"
                ),
            ),
            Ok(records) => {
                let done = request.validate_only
                    || records.is_empty()
                    || self.append_atomic(now_ms, records, &mut out).is_ok();
                assert!(done, "there are fewer features than records in a batch");
                updated(version, request)
            }
        };
        self.reply(token, Reply::UpdateFeatures(response), &mut out);
        out
    }

    /// The records that bring every feature to its level, or why one cannot go there.
    fn plan_features(
        &self,
        version: i16,
        request: &UpdateFeaturesRequest,
    ) -> Result<Vec<MetadataRecord>, String> {
        let image = self.staged.staged();
        // Of a feature that is named twice the last one counts, as in Kafka.
        let updates: BTreeMap<&str, (i16, Direction)> = request
            .feature_updates
            .iter()
            .map(|update| {
                let direction = match (version, update.allow_downgrade, update.upgrade_type) {
                    (0, true, _) => Direction::DownWithLoss,
                    (0, false, _) | (_, _, 1) => Direction::Up,
                    (_, _, 2) => Direction::DownWithoutLoss,
                    (_, _, 3) => Direction::DownWithLoss,
                    _ => Direction::Unknown,
                };
                (update.feature.as_str(), (update.max_version_level, direction))
            })
            .collect();
        let mut records = Vec::new();
        for (&feature, &(level, direction)) in &updates {
            let current = level_of(image, feature);
            check_level(self.node.id, feature, level)?;
            check_direction(feature, current, level, direction)?;
            let metadata_version = match updates.get(METADATA_VERSION) {
                Some((level, _)) => *level,
                None => level_of(image, METADATA_VERSION),
            };
            if feature == ELR_VERSION && level > 0 && metadata_version < ELR_METADATA_VERSION {
                return Err(format!(
                    "{feature} could not be set to {level} because it depends on \
                     {METADATA_VERSION} level {ELR_METADATA_VERSION}"
                ));
            }
            if level == current {
                continue;
            }
            if feature == ELR_VERSION && level > 0 {
                self.settle_min_insync(image, &mut records);
            }
            let name = feature.to_string();
            let record = FeatureLevelRecord { name, feature_level: level };
            records.push(MetadataRecord::FeatureLevel(record));
        }
        Ok(records)
    }

    /// Eligible leader replicas need `min.insync.replicas` in the log, one for the whole cluster.
    fn settle_min_insync(&self, image: &Image, records: &mut Vec<MetadataRecord>) {
        let setting = |resource_name: &str, value: Option<String>| {
            MetadataRecord::Config(ConfigRecord {
                resource_type: RESOURCE_BROKER,
                resource_name: resource_name.to_string(),
                name: MIN_INSYNC_REPLICAS.into(),
                value,
            })
        };
        if image.cluster_config(MIN_INSYNC_REPLICAS).is_none() {
            let value = self.settings.statics.get(MIN_INSYNC_REPLICAS);
            records.push(setting("", Some(value.map_or("1".to_string(), String::clone))));
        }
        for ((kind, name), settings) in &image.configs {
            let own = *kind == RESOURCE_BROKER && !name.is_empty();
            if own && settings.contains_key(MIN_INSYNC_REPLICAS) {
                records.push(setting(name, None));
            }
        }
    }
}

fn level_of(image: &Image, feature: &str) -> i16 {
    match feature {
        KRAFT_VERSION => image.quorum.kraft_version.unwrap_or(0),
        _ => image.features.get(feature).copied().unwrap_or(0),
    }
}

fn invalid(feature: &str, level: i16, why: &str) -> Result<(), String> {
    Err(format!("Invalid update version {level} for feature {feature}. {why}"))
}

fn check_level(node_id: i32, feature: &str, level: i16) -> Result<(), String> {
    if level < 0 {
        return invalid(feature, level, "A feature version cannot be less than 0.");
    }
    match SUPPORTED.iter().find(|(name, _, _)| *name == feature) {
        Some((_, min, max)) if (*min..=*max).contains(&level) => Ok(()),
        Some((_, min, max)) => {
            let why = format!("Local controller {node_id} only supports versions {min}-{max}");
            invalid(feature, level, &why)
        }
        None if level == 0 => invalid(feature, level, &format!("Feature {feature} not found.")),
        None => {
            let why = format!("Local controller {node_id} does not support this feature.");
            invalid(feature, level, &why)
        }
    }
}

fn check_direction(
    feature: &str,
    current: i16,
    level: i16,
    direction: Direction,
) -> Result<(), String> {
    if direction == Direction::Unknown {
        return invalid(feature, level, "The controller does not support the given upgrade type.");
    }
    if level > current && direction != Direction::Up {
        return invalid(feature, level, "Can't downgrade to a newer version.");
    }
    if level >= current {
        return Ok(());
    }
    let why = match (feature, direction) {
        (_, Direction::Up) => {
            return invalid(
                feature,
                level,
                "Can't downgrade the version of this feature without setting the upgrade type to \
                 either safe or unsafe downgrade.",
            );
        }
        (METADATA_VERSION, Direction::DownWithoutLoss) => {
            "Refusing to perform the requested downgrade because it might delete metadata \
             information."
        }
        (METADATA_VERSION, _) => "Unsafe metadata downgrade is not supported in this version.",
        (KRAFT_VERSION, _) => {
            return invalid(feature, level, "Can't downgrade the version of this feature.");
        }
        _ => return Ok(()),
    };
    Err(format!("Unsupported {METADATA_VERSION} downgrade from {current} to {level}. {why}"))
}

fn refused(error_code: ErrorCode, text: String) -> UpdateFeaturesResponse {
    let error_message = Some(text);
    UpdateFeaturesResponse { error_code, error_message, ..UpdateFeaturesResponse::default() }
}

/// Up to v1 every feature is told by itself, with Kafka's name of "no error" for words.
fn updated(version: i16, request: &UpdateFeaturesRequest) -> UpdateFeaturesResponse {
    let result = |feature: &str| UpdatableFeatureResult {
        feature: feature.to_string(),
        error_code: ErrorCode::None,
        error_message: Some(ErrorCode::None.name().into()),
    };
    let told = request.feature_updates.iter().filter(|_| version < 2);
    UpdateFeaturesResponse {
        error_message: None,
        results: told.map(|update| result(&update.feature)).collect(),
        ..UpdateFeaturesResponse::default()
    }
}
