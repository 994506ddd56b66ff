//! Broker settings: Kafka 4.3's names, defaults and checks, for all that has a meaning here, and
//! two of ours (`ringlog.durability`, `ringlog.validation`).
//!
//! Source: `KafkaConfig` and `DynamicBrokerConfig` of Kafka 4.3.1, asked while they ran. Ours are
//! narrower where one node cannot follow (replication factors of 1), and `max.connections`,
//! listeners and everything of TLS and SASL are fixed while the broker runs. What Kafka has and
//! this broker has no use for is in [`super::unused_config`].
//!
//! Invariant: the names that stand behind a topic's setting are all here.

use std::collections::BTreeMap;

use super::config_value::{
    CODECS, DURABILITIES, INT_MAX, Kind, LONG_MAX, LONG_MAX_TEXT, POLICIES, TIMESTAMPS,
    VALIDATIONS, VALUE_BYTES_MAX, check_value, trim,
};
use super::unused_config;

/// When a setting can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// At the start only.
    Static,
    /// While the broker runs: for one broker or for all.
    Dynamic,
}

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BrokerSetting {
    /// Kafka's name.
    pub name: &'static str,
    /// What it must be.
    pub kind: Kind,
    /// Its value where nobody set one; `None` for those without.
    pub default: Option<&'static str>,
    /// When it can be changed.
    pub mode: Mode,
}

/// Longest name of a setting that is not Kafka's, bytes.
pub const NAME_BYTES_MAX: usize = 1000;
/// Most such settings of one broker, or of all together: everyone keeps them for ever.
pub const UNKNOWN_MAX: usize = 1000;

const NONE: &str = "\0";
const NOTHING: &[&str] = &[""];
const PLAINTEXT: &[&str] = &["PLAINTEXT"];

macro_rules! settings {
    ($($name:literal, $kind:expr, $default:expr, $mode:ident;)*) => {
        &[$(BrokerSetting {
            name: $name,
            kind: $kind,
            default: match $default.as_bytes() {
                [0] => None,
                _ => Some($default),
            },
            mode: Mode::$mode,
        }),*]
    };
}

use Kind::*;

/// Every broker setting that means something here, ascending by name.
#[rustfmt::skip]
pub const SETTINGS: &[BrokerSetting] = settings! {
    "advertised.listeners", List, NONE, Static;
    "authorizer.class.name", Word(NOTHING), "", Static;
    "auto.create.topics.enable", Boolean, "true", Static;
    "broker.id", Int(i32::MIN, INT_MAX), "-1", Static;
    "broker.rack", Text, NONE, Static;
    "compression.gzip.level", GzipLevel, "-1", Dynamic;
    "compression.lz4.level", Int(1, 17), "9", Dynamic;
    "compression.type", Word(CODECS), "producer", Dynamic;
    "compression.zstd.level", Int(-131_072, 22), "3", Dynamic;
    "connections.max.idle.ms", Long(-1, LONG_MAX), "600000", Static;
    "controlled.shutdown.enable", Boolean, "true", Static;
    "default.replication.factor", Int(1, 1), "1", Static;
    "delete.topic.enable", Boolean, "true", Static;
    "fetch.max.bytes", Int(1024, INT_MAX), "57671680", Static;
    "listener.security.protocol.map", Text,
        "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", Static;
    "listeners", List, NONE, Static;
    "log.cleaner.delete.retention.ms", Long(0, LONG_MAX), "86400000", Dynamic;
    "log.cleaner.max.compaction.lag.ms", Long(1, LONG_MAX), LONG_MAX_TEXT, Dynamic;
    "log.cleaner.min.cleanable.ratio", Ratio, "0.5", Dynamic;
    "log.cleaner.min.compaction.lag.ms", Long(0, LONG_MAX), "0", Dynamic;
    "log.cleanup.policy", Words(POLICIES), "delete", Dynamic;
    "log.dir", List, NONE, Static;
    "log.dirs", List, NONE, Static;
    "log.flush.interval.messages", Long(1, LONG_MAX), LONG_MAX_TEXT, Dynamic;
    "log.flush.interval.ms", Long(i64::MIN, LONG_MAX), NONE, Dynamic;
    "log.flush.offset.checkpoint.interval.ms", Int(100, INT_MAX), "60000", Static;
    "log.flush.scheduler.interval.ms", Long(i64::MIN, LONG_MAX), LONG_MAX_TEXT, Static;
    "log.index.interval.bytes", Int(0, INT_MAX), "4096", Dynamic;
    "log.index.size.max.bytes", Int(4, INT_MAX), "10485760", Dynamic;
    "log.local.retention.bytes", Long(-2, LONG_MAX), "-2", Dynamic;
    "log.local.retention.ms", Long(-2, LONG_MAX), "-2", Dynamic;
    "log.message.timestamp.after.max.ms", Long(0, LONG_MAX), "3600000", Dynamic;
    "log.message.timestamp.before.max.ms", Long(0, LONG_MAX), LONG_MAX_TEXT, Dynamic;
    "log.message.timestamp.type", Word(TIMESTAMPS), "CreateTime", Dynamic;
    "log.preallocate", Boolean, "false", Dynamic;
    "log.retention.bytes", Long(i64::MIN, LONG_MAX), "-1", Dynamic;
    "log.retention.hours", Int(i32::MIN, INT_MAX), "168", Static;
    "log.retention.minutes", Int(i32::MIN, INT_MAX), NONE, Static;
    "log.retention.ms", Long(i64::MIN, LONG_MAX), NONE, Dynamic;
    "log.roll.hours", Int(1, INT_MAX), "168", Static;
    "log.roll.jitter.hours", Int(0, INT_MAX), "0", Static;
    "log.roll.jitter.ms", Long(0, LONG_MAX), NONE, Dynamic;
    "log.roll.ms", Long(1, LONG_MAX), NONE, Dynamic;
    "log.segment.bytes", Int(1_048_576, INT_MAX), "1073741824", Dynamic;
    "log.segment.delete.delay.ms", Long(0, LONG_MAX), "60000", Dynamic;
    "max.connections", Int(1, 1_000_000), "16384", Static;
    "max.connections.per.ip", Int(0, INT_MAX), "2147483647", Static;
    "max.incremental.fetch.session.cache.slots", Int(0, INT_MAX), "1000", Static;
    "message.max.bytes", Int(0, INT_MAX), "1048588", Dynamic;
    "min.insync.replicas", Int(1, INT_MAX), "1", Dynamic;
    "node.id", Int(0, INT_MAX), NONE, Static;
    "num.partitions", Int(1, INT_MAX), "1", Static;
    "offsets.topic.num.partitions", Int(1, INT_MAX), "50", Static;
    "offsets.topic.replication.factor", Int(1, 1), "1", Static;
    "process.roles", List, NONE, Static;
    "producer.id.expiration.ms", Int(1, INT_MAX), "86400000", Dynamic;
    "ringlog.durability", Word(DURABILITIES), "written", Dynamic;
    "ringlog.validation", Word(VALIDATIONS), "records", Dynamic;
    "security.inter.broker.protocol", Word(PLAINTEXT), "PLAINTEXT", Static;
    "socket.request.max.bytes", Int(1024, INT_MAX), "104857600", Static;
    "transaction.partition.verification.enable", Boolean, "true", Dynamic;
    "transaction.state.log.min.isr", Int(1, 1), "1", Static;
    "transaction.state.log.num.partitions", Int(1, INT_MAX), "50", Static;
    "transaction.state.log.replication.factor", Int(1, 1), "1", Static;
    "unclean.leader.election.enable", Boolean, "false", Dynamic;
};

/// Settings that stand for each other, strongest first: who asks for one of a group is told of all
/// (Kafka's `brokerConfigSynonyms`).
const GROUPS: &[&[&str]] = &[
    &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
    &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
    &["log.roll.jitter.ms", "log.roll.jitter.hours"],
    &["log.roll.ms", "log.roll.hours"],
];

/// Those of the settings that mean something here.
pub fn known(configs: &BTreeMap<String, String>) -> BTreeMap<&'static str, String> {
    let known = configs.iter().filter_map(|(name, value)| Some((find(name)?.name, value.clone())));
    known.collect()
}

/// The setting of that name.
pub fn find(name: &str) -> Option<&'static BrokerSetting> {
    let at = SETTINGS.binary_search_by(|setting| setting.name.cmp(name)).ok()?;
    SETTINGS.get(at)
}

/// What a value of that name must be, served or unused; `None` for names that are not Kafka's.
pub fn kind_of(name: &str) -> Option<Kind> {
    find(name).map(|setting| setting.kind).or_else(|| unused_config::dynamic(name))
}

/// The names that stand for `name`, itself included, strongest first.
pub fn synonyms_of(name: &str) -> Vec<&str> {
    let group = GROUPS.iter().find(|group| group.contains(&name));
    match group {
        // The flush timer has a name of its own; only asking for the interval tells of both.
        Some(group) if name != "log.flush.scheduler.interval.ms" => group.to_vec(),
        _ => vec![name],
    }
}

/// True for settings that the broker reads at its start only.
pub fn is_static(name: &str) -> bool {
    match find(name) {
        Some(setting) => setting.mode == Mode::Static,
        None => unused_config::is_static(name) || is_of_a_listener(name),
    }
}

/// Kafka's form for one listener's own settings; listeners are fixed here.
fn is_of_a_listener(name: &str) -> bool {
    name.starts_with("listener.name.")
}

/// Ok for settings that a broker, or all of them, may have while running; the error is for the
/// user.
pub fn check(configs: &BTreeMap<&str, &str>, asked: &[&str]) -> Result<(), String> {
    let fixed: Vec<&str> = asked.iter().copied().filter(|name| is_static(name)).collect();
    if !fixed.is_empty() {
        return Err(format!("Cannot update these configs dynamically: [{}]", fixed.join(", ")));
    }
    check_unknown(configs, asked)?;
    for (name, value) in configs {
        if value.len() > VALUE_BYTES_MAX {
            return Err(format!(
                "The configuration value cannot be added because it exceeds the maximum value \
                 size of {VALUE_BYTES_MAX} bytes."
            ));
        }
        check_one(name, value)?;
    }
    Ok(())
}

/// What an old log holds may be more; it can be deleted, but does not grow.
fn check_unknown(configs: &BTreeMap<&str, &str>, asked: &[&str]) -> Result<(), String> {
    let is_unknown = |name: &&str| kind_of(name).is_none();
    let Some(longest) = asked.iter().copied().filter(is_unknown).map(str::len).max() else {
        return Ok(());
    };
    if longest > NAME_BYTES_MAX {
        return Err(format!("The name of a config is longer than {NAME_BYTES_MAX} bytes."));
    }
    match configs.keys().copied().filter(is_unknown).count() {
        ..=UNKNOWN_MAX => Ok(()),
        _ => Err(format!("There are more than {UNKNOWN_MAX} configs that no broker knows.")),
    }
}

/// Ok for a value of that setting; names that are not Kafka's may have any.
pub fn check_one(name: &str, value: &str) -> Result<(), String> {
    let Some(kind) = kind_of(name) else { return Ok(()) };
    let number = trim(value).parse::<i64>();
    let required = match (name, number) {
        // Kafka takes less than -1 for "for ever".
        ("log.retention.ms" | "log.retention.minutes" | "log.retention.hours", Ok(0)) => {
            Some("unlimited (-1) or, greater than or equal to 1")
        }
        ("log.roll.ms", Ok(n)) if n < 1 => Some("greater than or equal to 1"),
        ("log.roll.jitter.ms", Ok(n)) if n < 0 => Some("greater than or equal to 0"),
        _ => None,
    };
    match required {
        Some(bound) => Err(format!("requirement failed: {name} must be {bound}")),
        None => check_value(name, kind, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_broker_knows_is_bounded() {
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        assert_eq!(check(&[(&long[1..], "1")].into(), &[&long[1..]]), Ok(()));
        assert!(check(&[(long.as_str(), "1")].into(), &[&long]).is_err());
        // Whoever has it already may still set others.
        assert_eq!(check(&[(long.as_str(), "1")].into(), &["log.preallocate"]), Ok(()));

        let names: Vec<String> = (0..=UNKNOWN_MAX).map(|number| format!("x{number}")).collect();
        let configs: BTreeMap<&str, &str> = names.iter().map(|name| (name.as_str(), "1")).collect();
        assert!(check(&configs, &["x0"]).is_err());
        assert_eq!(check(&configs, &[]), Ok(()));
        let fewer = configs.into_iter().skip(1).collect();
        assert_eq!(check(&fewer, &["x1"]), Ok(()));
    }
}
