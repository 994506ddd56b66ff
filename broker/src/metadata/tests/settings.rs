//! Topic settings against what Kafka 4.3.1's `LogConfig.validate` said to the same values.

use std::collections::BTreeMap;

use crate::metadata::image::Image;
use crate::metadata::topic_config::{self, SETTINGS, Surroundings, find};

fn check(configs: &BTreeMap<&str, &str>) -> Result<(), String> {
    let (image, statics) = (Image::new("cluster"), BTreeMap::new());
    topic_config::check(Surroundings { image: &image, statics: &statics, node_id: 1 }, configs)
}

fn one(name: &str, value: &str) -> Result<(), String> {
    check(&[(name, value)].into())
}

#[test]
fn the_table_is_in_order_and_its_defaults_hold() {
    assert!(SETTINGS.is_sorted_by(|left, right| left.name < right.name));
    for setting in SETTINGS {
        assert_eq!(one(setting.name, setting.default), Ok(()), "{}", setting.name);
        assert_eq!(find(setting.name), Some(setting));
    }
    assert_eq!(SETTINGS.len(), 35);
}

#[test]
fn what_kafka_takes() {
    for (name, value) in [
        ("cleanup.policy", ""),
        ("cleanup.policy", " "),
        ("cleanup.policy", "delete, compact"),
        ("cleanup.policy", "delete,delete"),
        ("preallocate", "TRUE"),
        ("segment.bytes", " 1048576 "),
        ("retention.ms", "+5"),
        ("retention.bytes", "-7"),
        ("leader.replication.throttled.replicas", " *"),
        ("leader.replication.throttled.replicas", ""),
        ("leader.replication.throttled.replicas", "1:1, 2:3"),
        ("leader.replication.throttled.replicas", "1:1,"),
        ("ringlog.durability", "synced"),
    ] {
        assert_eq!(one(name, value), Ok(()), "{name}={value}");
    }
}

#[test]
fn what_kafka_refuses() {
    let number = |kind: &str| format!("Not a number of type {kind}");
    for (name, value, why) in [
        ("retention.ms", "abc", number("LONG")),
        ("flush.ms", "", number("LONG")),
        ("segment.bytes", "99999999999", number("INT")),
        ("segment.bytes", "0x10", number("INT")),
        ("segment.bytes", "1_000_000", number("INT")),
        ("min.cleanable.dirty.ratio", "x", number("DOUBLE")),
        ("retention.ms", "-2", "Value must be at least -1".into()),
        ("segment.bytes", "1", "Value must be at least 1048576".into()),
        ("min.insync.replicas", "0", "Value must be at least 1".into()),
        ("min.cleanable.dirty.ratio", "-0.1", "Value must be at least 0".into()),
        ("min.cleanable.dirty.ratio", "1.5", "Value must be no more than 1".into()),
        ("compression.zstd.level", "23", "Value must be no more than 22".into()),
        ("compression.gzip.level", "0", "Value must be between 1 and 9 or equal to -1".into()),
        ("preallocate", "maybe", "Expected value to be either true or false".into()),
        ("cleanup.policy", "foo", "String must be one of: compact, delete".into()),
        (
            "message.timestamp.type",
            "createtime",
            "String must be one of: CreateTime, LogAppendTime".into(),
        ),
        ("ringlog.durability", "never", "String must be one of: memory, written, synced".into()),
    ] {
        let text = format!("Invalid value {value} for configuration {name}: {why}");
        assert_eq!(one(name, value), Err(text));
    }
    let text = "Configuration 'cleanup.policy' values must not be empty.";
    for value in ["delete,", ",delete", "delete,,compact"] {
        assert_eq!(one("cleanup.policy", value), Err(text.into()), "{value}");
    }
    let name = "leader.replication.throttled.replicas";
    let form = "must be the literal '*' or a list of replicas in the following format: \
                [partitionId]:[brokerId],[partitionId]:[brokerId],...";
    for (value, list) in
        [("x", "[x]"), ("1:1,2", "[1:1, 2]"), ("*,1:1", "[*, 1:1]"), ("a:1", "[a:1]")]
    {
        let text = format!("Invalid value {list} for configuration {name}: {name} {form}");
        assert_eq!(one(name, value), Err(text));
    }
    let long = "9".repeat(32_768);
    assert!(one("retention.ms", &long).is_err_and(|text| text.contains("32767 bytes")));
}

#[test]
fn settings_that_depend_on_each_other() {
    let text =
        "conflict topic config setting min.compaction.lag.ms (9) > max.compaction.lag.ms (5)";
    let both = [("min.compaction.lag.ms", "9"), ("max.compaction.lag.ms", "5")].into();
    assert_eq!(check(&both), Err(text.into()));
    let text = "Tiered Storage functionality is disabled in the broker. Topic cannot be \
                configured with remote log storage.";
    assert_eq!(one("remote.storage.enable", "true"), Err(text.into()));
    assert_eq!(
        check(&[("zzz", "1"), ("aaa", "1")].into()),
        Err("Unknown topic config name: aaa".into())
    );
}
