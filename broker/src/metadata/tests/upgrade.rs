//! UpdateFeatures: each check with the code and words that Kafka 4.3.1 answered, and what is
//! written. Each log that comes of it can be started on.

use super::*;
use ringlog_wire::ErrorCode;
use ringlog_wire::api::update_features::{
    FeatureUpdateKey, UpdateFeaturesRequest, UpdateFeaturesResponse,
};
use ringlog_wire::records::FeatureLevelRecord;

const UP: i8 = 1;
const SAFE: i8 = 2;
const UNSAFE: i8 = 3;

fn request(updates: &[(&str, i16, i8)]) -> UpdateFeaturesRequest {
    let update = |&(feature, max_version_level, upgrade_type): &(&str, i16, i8)| FeatureUpdateKey {
        feature: feature.into(),
        max_version_level,
        allow_downgrade: false,
        upgrade_type,
    };
    UpdateFeaturesRequest {
        feature_updates: updates.iter().map(update).collect(),
        ..Default::default()
    }
}

/// The answer, and what was written.
fn update_as(
    controller: &mut Controller,
    version: i16,
    request: &UpdateFeaturesRequest,
) -> (UpdateFeaturesResponse, Vec<String>) {
    let mut commands = controller.update_features(NOW_MS, 1, version, request);
    let log = dump(&bytes_of(&commands));
    if !log.is_empty() {
        assert!(replies(commands.clone()).is_empty(), "an answer waits for its records");
        commands = controller.committed(end_of(&commands));
    }
    let [(1, Reply::UpdateFeatures(response))] = &replies(commands)[..] else { panic!() };
    (response.clone(), log)
}

#[test]
fn refusals() {
    let down = "Can't downgrade the version of this feature without setting the upgrade type to \
                either safe or unsafe downgrade.";
    let newer = "Can't downgrade to a newer version.";
    let kind = "The controller does not support the given upgrade type.";
    let negative = "A feature version cannot be less than 0.";
    let range = |range: &str| format!("Local controller 1 only supports versions {range}");
    for (feature, level, direction, why) in [
        ("metadata.version", 6, UP, range("7-30")),
        ("metadata.version", 31, UP, range("7-30")),
        ("metadata.version", 0, UNSAFE, range("7-30")),
        ("metadata.version", 29, UP, down.into()),
        ("metadata.version", -1, UP, negative.into()),
        ("transaction.version", 3, UP, range("0-2")),
        ("transaction.version", 1, UP, down.into()),
        ("transaction.version", -1, UNSAFE, negative.into()),
        ("group.version", 2, SAFE, range("0-1")),
        ("group.version", 0, UP, down.into()),
        ("group.version", 0, 0, kind.into()),
        ("group.version", 9, 4, kind.into()),
        ("eligible.leader.replicas.version", 2, UP, range("0-1")),
        ("kraft.version", 2, UP, range("0-1")),
        ("kraft.version", 0, UP, down.into()),
        ("kraft.version", 0, SAFE, "Can't downgrade the version of this feature.".into()),
        ("kraft.version", 0, UNSAFE, "Can't downgrade the version of this feature.".into()),
        ("nope", 0, UP, "Feature nope not found.".into()),
        ("nope", 1, UP, "Local controller 1 does not support this feature.".into()),
        ("share.version", 1, UP, "Local controller 1 does not support this feature.".into()),
    ] {
        let (mut controller, _) = serving();
        let (told, log) = update_as(&mut controller, 2, &request(&[(feature, level, direction)]));
        assert_eq!(told.error_code, ErrorCode::InvalidUpdateVersion);
        let words = format!(
            "The update failed for all features since the following feature had an error: Invalid \
             update version {level} for feature {feature}. {why}"
        );
        assert_eq!(told.error_message, Some(words));
        assert!(log.is_empty() && told.results.is_empty());
    }
    let (mut controller, _) = serving();
    update_as(&mut controller, 2, &request(&[("group.version", 0, SAFE)]));
    let (told, _) = update_as(&mut controller, 2, &request(&[("group.version", 1, SAFE)]));
    assert!(told.error_message.is_some_and(|words| words.ends_with(newer)));
    for (direction, why) in [
        (SAFE, "Refusing to perform the requested downgrade because it might delete metadata"),
        (UNSAFE, "Unsafe metadata downgrade is not supported in this version."),
    ] {
        let (told, log) =
            update_as(&mut controller, 2, &request(&[("metadata.version", 29, direction)]));
        assert_eq!(told.error_code, ErrorCode::InvalidUpdateVersion);
        let words = told.error_message.expect("words");
        let head = "Unsupported metadata.version downgrade from 30 to 29. ";
        assert!(words.contains(&format!("{head}{why}")), "{words}");
        assert!(log.is_empty());
    }
}

#[test]
fn all_or_nothing() {
    let (mut controller, mut bytes) = serving();
    let both = request(&[("group.version", 0, SAFE), ("nope", 1, UP)]);
    let (told, log) = update_as(&mut controller, 2, &both);
    assert_eq!((told.error_code, log.len()), (ErrorCode::InvalidUpdateVersion, 0));
    let both = request(&[("transaction.version", 1, SAFE), ("group.version", 0, UNSAFE)]);
    let check = UpdateFeaturesRequest { validate_only: true, ..both.clone() };
    let (told, log) = update_as(&mut controller, 2, &check);
    assert_eq!((told.error_code, told.error_message, log.len()), (ErrorCode::None, None, 0));
    let commands = controller.update_features(NOW_MS, 1, 2, &both);
    bytes.extend(bytes_of(&commands));
    controller.committed(end_of(&commands));
    let features = &controller.staged.staged().features;
    assert_eq!(features.get("transaction.version"), Some(&1));
    assert_eq!(features.get("group.version"), None, "level 0 is not told");
    // What is so already is no change.
    let (told, log) = update_as(&mut controller, 2, &request(&[("transaction.version", 1, UP)]));
    assert_eq!((told.error_code, log.len()), (ErrorCode::None, 0));
    let (again, _) = start(&bytes, 2);
    assert_eq!(again.staged.staged().features.get("transaction.version"), Some(&1));
}

#[test]
fn every_version_says_it_in_its_own_way() {
    let (mut controller, _) = serving();
    let mut down = request(&[("group.version", 0, SAFE)]);
    let (told, _) = update_as(&mut controller, 0, &down);
    assert_eq!(told.error_code, ErrorCode::InvalidUpdateVersion, "v0 knows no kinds");
    down.feature_updates[0].allow_downgrade = true;
    let (told, log) = update_as(&mut controller, 0, &down);
    assert_eq!((told.error_code, log.len()), (ErrorCode::None, 2));
    assert_eq!(told.results[0].error_message.as_deref(), Some("NONE"));
    let (told, log) = update_as(&mut controller, 1, &request(&[("group.version", 1, UP)]));
    assert_eq!((told.results[0].feature.as_str(), log.len()), ("group.version", 2));
    let (told, _) = update_as(&mut controller, 2, &request(&[("group.version", 1, UP)]));
    assert!(told.results.is_empty());
}

#[test]
fn eligible_leaders_need_their_metadata_version_and_a_setting() {
    let (mut controller, mut bytes) = serving();
    let off = request(&[("eligible.leader.replicas.version", 0, SAFE)]);
    let commands = controller.update_features(NOW_MS, 1, 2, &off);
    bytes.extend(bytes_of(&commands));
    controller.committed(end_of(&commands));
    // A cluster of an older level, whose operator has taken the setting away.
    let level = FeatureLevelRecord { name: "metadata.version".into(), feature_level: 20 };
    let records = [MetadataRecord::from(level), setting("", None), setting("1", Some("2"))];
    let at = crate::metadata::batches::Stamp {
        base_offset: end_of(&commands),
        epoch: 1,
        now_ms: NOW_MS,
    };
    bytes.extend(crate::metadata::batches::data_batch(at, &records));
    let (mut controller, commands) = start(&bytes, 2);
    controller.committed(end_of(&commands));
    let on = ("eligible.leader.replicas.version", 1, UP);
    let (told, log) = update_as(&mut controller, 2, &request(&[on]));
    let words = told.error_message.expect("words");
    assert!(words.ends_with("because it depends on metadata.version level 23"), "{words}");
    assert!(log.is_empty());
    let both = request(&[on, ("metadata.version", 30, UP)]);
    let (told, log) = update_as(&mut controller, 2, &both);
    assert_eq!(told.error_code, ErrorCode::None);
    let written: Vec<_> = log.iter().filter_map(|line| line.split_once("v0 ")).collect();
    let written: Vec<_> = written.into_iter().map(|(_, record)| record).collect();
    let expected = [
        "Config 4: min.insync.replicas=Some(\"1\")",
        "Config 4:1 min.insync.replicas=None",
        "FeatureLevel eligible.leader.replicas.version 1",
        "FeatureLevel metadata.version 30",
    ];
    assert_eq!(written, expected);
}

fn setting(resource_name: &str, value: Option<&str>) -> MetadataRecord {
    MetadataRecord::from(ringlog_wire::records::ConfigRecord {
        resource_type: 4,
        resource_name: resource_name.into(),
        name: "min.insync.replicas".into(),
        value: value.map(str::to_string),
    })
}
