//! Topic settings: Kafka 4.3's names, defaults and checks, and one of ours (`ringlog.durability`).
//!
//! Source: `LogConfig` of Kafka 4.3.1, printed from the running class; the words of every refusal
//! are its own. Invariant: a value in the metadata image has passed [`check`], so reading one back
//! cannot fail for its form.
//!
//! Left out on purpose: `internal.segment.bytes` (for Kafka's own tests).

use super::config_value::{
    CODECS, DURABILITIES, INT_MAX, Kind, LONG_MAX, LONG_MAX_TEXT, POLICIES, TIMESTAMPS,
    VALIDATIONS, VALUE_BYTES_MAX, check_value, is_true, trim,
};
use super::image::Image;
use std::collections::BTreeMap;

/// The setting that chooses when a record of the topic counts as acknowledged.
pub const DURABILITY: &str = "ringlog.durability";
/// The setting that says how far compressed batches are looked into.
pub const VALIDATION: &str = "ringlog.validation";
/// The setting whose topic-level change clears eligible leader replicas.
pub const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// Kafka's name of it on a topic.
    pub name: &'static str,
    /// What it must be.
    pub kind: Kind,
    /// Its value where nobody set one.
    pub default: &'static str,
    /// The broker settings that stand for it, strongest first, each with what one unit of it is
    /// worth here.
    pub brokers: &'static [(&'static str, i64)],
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

macro_rules! settings {
    ($($name:literal, $kind:expr, $default:expr, [$($broker:literal * $unit:expr),*];)*) => {
        &[$(Setting {
            name: $name,
            kind: $kind,
            default: $default,
            brokers: &[$(($broker, $unit)),*],
        }),*]
    };
}

use Kind::*;

/// Every topic setting, ascending by name.
#[rustfmt::skip]
pub const SETTINGS: &[Setting] = settings! {
    "cleanup.policy", Words(POLICIES), "delete", ["log.cleanup.policy" * 1];
    "compression.gzip.level", GzipLevel, "-1", ["compression.gzip.level" * 1];
    "compression.lz4.level", Int(1, 17), "9", ["compression.lz4.level" * 1];
    "compression.type", Word(CODECS), "producer", ["compression.type" * 1];
    "compression.zstd.level", Int(-131_072, 22), "3", ["compression.zstd.level" * 1];
    "delete.retention.ms", Long(0, LONG_MAX), "86400000", ["log.cleaner.delete.retention.ms" * 1];
    "file.delete.delay.ms", Long(0, LONG_MAX), "60000", ["log.segment.delete.delay.ms" * 1];
    "flush.messages", Long(1, LONG_MAX), LONG_MAX_TEXT, ["log.flush.interval.messages" * 1];
    "flush.ms", Long(0, LONG_MAX), LONG_MAX_TEXT,
        ["log.flush.interval.ms" * 1, "log.flush.scheduler.interval.ms" * 1];
    "follower.replication.throttled.replicas", ThrottledReplicas, "", [];
    "index.interval.bytes", Int(0, INT_MAX), "4096", ["log.index.interval.bytes" * 1];
    "leader.replication.throttled.replicas", ThrottledReplicas, "", [];
    "local.retention.bytes", Long(-2, LONG_MAX), "-2", ["log.local.retention.bytes" * 1];
    "local.retention.ms", Long(-2, LONG_MAX), "-2", ["log.local.retention.ms" * 1];
    "max.compaction.lag.ms", Long(1, LONG_MAX), LONG_MAX_TEXT,
        ["log.cleaner.max.compaction.lag.ms" * 1];
    "max.message.bytes", Int(0, INT_MAX), "1048588", ["message.max.bytes" * 1];
    "message.timestamp.after.max.ms", Long(0, LONG_MAX), "3600000",
        ["log.message.timestamp.after.max.ms" * 1];
    "message.timestamp.before.max.ms", Long(0, LONG_MAX), LONG_MAX_TEXT,
        ["log.message.timestamp.before.max.ms" * 1];
    "message.timestamp.type", Word(TIMESTAMPS), "CreateTime", ["log.message.timestamp.type" * 1];
    "min.cleanable.dirty.ratio", Ratio, "0.5", ["log.cleaner.min.cleanable.ratio" * 1];
    "min.compaction.lag.ms", Long(0, LONG_MAX), "0", ["log.cleaner.min.compaction.lag.ms" * 1];
    "min.insync.replicas", Int(1, INT_MAX), "1", ["min.insync.replicas" * 1];
    "preallocate", Boolean, "false", ["log.preallocate" * 1];
    "remote.log.copy.disable", Boolean, "false", [];
    "remote.log.delete.on.disable", Boolean, "false", [];
    "remote.storage.enable", Boolean, "false", [];
    "retention.bytes", Long(i64::MIN, LONG_MAX), "-1", ["log.retention.bytes" * 1];
    "retention.ms", Long(-1, LONG_MAX), "604800000",
        ["log.retention.ms" * 1, "log.retention.minutes" * MINUTE_MS,
         "log.retention.hours" * HOUR_MS];
    "ringlog.durability", Word(DURABILITIES), "written", ["ringlog.durability" * 1];
    "ringlog.validation", Word(VALIDATIONS), "records", ["ringlog.validation" * 1];
    "segment.bytes", Int(1 << 20, INT_MAX), "1073741824", ["log.segment.bytes" * 1];
    "segment.index.bytes", Int(4, INT_MAX), "10485760", ["log.index.size.max.bytes" * 1];
    "segment.jitter.ms", Long(0, LONG_MAX), "0",
        ["log.roll.jitter.ms" * 1, "log.roll.jitter.hours" * HOUR_MS];
    "segment.ms", Long(1, LONG_MAX), "604800000", ["log.roll.ms" * 1, "log.roll.hours" * HOUR_MS];
    "unclean.leader.election.enable", Boolean, "false", ["unclean.leader.election.enable" * 1];
};

/// Where a value comes from, under Kafka's numbers (`ConfigSource` of DescribeConfigs and
/// CreateTopics).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Source {
    /// A Config record of the topic.
    Topic = 1,
    /// A Config record of this broker.
    Broker = 2,
    /// A Config record of the whole cluster.
    Cluster = 3,
    /// The broker's own configuration.
    Static = 4,
    /// Nobody set it.
    Default = 5,
}

/// A setting with the value that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The setting.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Who set it.
    pub source: Source,
}

/// The setting of that name.
pub fn find(name: &str) -> Option<&'static Setting> {
    let at = SETTINGS.binary_search_by(|setting| setting.name.cmp(name)).ok()?;
    SETTINGS.get(at)
}

/// Ok for settings that a topic may have among those around it; the error is for the user.
pub fn check(around: Surroundings<'_>, configs: &BTreeMap<&str, &str>) -> Result<(), String> {
    if let Some(name) = configs.keys().find(|name| find(name).is_none()) {
        return Err(format!("Unknown topic config name: {name}"));
    }
    for (name, value) in configs {
        let setting = find(name).expect("looked up above");
        if value.len() > VALUE_BYTES_MAX {
            return Err(format!(
                "The configuration value cannot be added because it exceeds the maximum value \
                 size of {VALUE_BYTES_MAX} bytes."
            ));
        }
        check_value(name, setting.kind, value)?;
    }
    check_together(around, configs)
}

/// Rules that tie settings to each other, and what this broker does not do.
fn check_together(around: Surroundings<'_>, configs: &BTreeMap<&str, &str>) -> Result<(), String> {
    let long = |name: &str| {
        let outside = || find(name).map(|setting| around.effective(None, setting).value);
        let text = configs.get(name).map(|text| text.to_string()).or_else(outside);
        text.and_then(|text| trim(&text).parse::<i64>().ok())
    };
    if let (Some(low), Some(high)) = (long("min.compaction.lag.ms"), long("max.compaction.lag.ms"))
        && low > high
    {
        return Err(format!(
            "conflict topic config setting min.compaction.lag.ms ({low}) > max.compaction.lag.ms \
             ({high})"
        ));
    }
    if configs.get("remote.storage.enable").is_some_and(|value| is_true(value)) {
        return Err("Tiered Storage functionality is disabled in the broker. Topic cannot be \
                    configured with remote log storage."
            .into());
    }
    Ok(())
}

/// What is set outside of the topic itself.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The cluster's and the broker's Config records.
    pub image: &'a Image,
    /// The broker's own configuration, under the broker's names.
    pub statics: &'a BTreeMap<String, String>,
    /// Whose broker settings count.
    pub node_id: i32,
}

impl Surroundings<'_> {
    /// The value of a setting that holds for a topic with those settings of its own, and who set
    /// it: the topic, this broker, the cluster, the broker's own configuration, nobody.
    pub fn effective(
        &self,
        topic: Option<&BTreeMap<String, String>>,
        setting: &Setting,
    ) -> Effective {
        let name = setting.name;
        if let Some(value) = topic.and_then(|topic| topic.get(name)) {
            return Effective { name, value: value.clone(), source: Source::Topic };
        }
        for (broker_name, unit) in setting.brokers {
            let found = [
                (self.image.broker_config(self.node_id, broker_name), Source::Broker),
                (self.image.cluster_config(broker_name), Source::Cluster),
                (self.statics.get(*broker_name).map(String::as_str), Source::Static),
            ];
            let set = found.into_iter().find_map(|(value, source)| value.zip(Some(source)));
            if let Some((value, source)) = set {
                return Effective { name, value: in_units(value, *unit), source };
            }
        }
        Effective { name, value: setting.default.to_string(), source: Source::Default }
    }

    /// Every setting of a topic, ascending by name: what CreateTopics (v5+) answers.
    pub fn effective_all(&self, topic: Option<&BTreeMap<String, String>>) -> Vec<Effective> {
        SETTINGS.iter().map(|setting| self.effective(topic, setting)).collect()
    }
}

/// A broker's hours or minutes as the topic's milliseconds; what is no number is kept as it stands.
fn in_units(value: &str, unit: i64) -> String {
    match trim(value).parse::<i64>() {
        Ok(number) if unit > 1 && number >= 0 => number.saturating_mul(unit).to_string(),
        _ => value.to_string(),
    }
}
