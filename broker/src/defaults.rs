//! Broker settings under Kafka's names, as they are given at the start: what `--set KEY=VALUE` and
//! the file's `[kafka]` table may say.
//!
//! Every name of Kafka 4.3 is known: [`broker_config`] has those that mean something here, with
//! their kinds and defaults, [`unused_config`] those that do not, which are taken with a warning.
//! What would be dangerous to pass over (TLS, SASL, authorization) and what has a flag of its own
//! is refused.
//!
//! Invariant: the numbers here are those of `set`, or the table's defaults.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use crate::connections;
use crate::group::assignor::Assignor;
use crate::metadata::{broker_config, unused_config};

const ASSIGNORS: &str = "group.consumer.assignors";
const OVERRIDES: &str = "max.connections.per.ip.overrides";

/// Settings that have a flag.
const FLAGS: &[(&str, &str)] = &[
    ("advertised.listeners", "--advertised-host"),
    ("broker.id", "--node-id"),
    ("listeners", "--listen"),
    ("log.dir", "--data-dir"),
    ("log.dirs", "--data-dir"),
    ("node.id", "--node-id"),
];

/// Settings that would promise what is not kept.
const DANGEROUS: &[&str] = &[
    "authorizer.class.name",
    "early.start.listeners",
    "listener.name.",
    "listener.security.protocol.map",
    "principal.builder.class",
    "sasl.",
    "security.",
    "ssl.",
];

/// The broker settings that are read at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerDefaults {
    /// `num.partitions`: of a topic that does not say how many, 1 or more.
    pub num_partitions: i32,
    /// `default.replication.factor`: on one node, 1.
    pub default_replication_factor: i16,
    /// `auto.create.topics.enable`.
    pub auto_create_topics_enable: bool,
    /// `delete.topic.enable`.
    pub delete_topic_enable: bool,
    /// `socket.request.max.bytes`: largest request, bytes.
    pub socket_request_max_bytes: i32,
    /// `max.connections`: of the whole process.
    pub max_connections: i32,
    /// `max.connections.per.ip`: from one address, unless the overrides say otherwise.
    pub max_connections_per_ip: i32,
    /// `max.connections.per.ip.overrides`: by address.
    pub max_connections_per_ip_overrides: HashMap<IpAddr, usize>,
    /// `connections.max.idle.ms`: an idle connection is closed after this, milliseconds; -1 =
    /// never.
    pub connections_max_idle_ms: i64,
    /// `producer.id.expiration.ms`: how long an idle producer is remembered, milliseconds, unless
    /// it is changed while the broker runs.
    pub producer_id_expiration_ms: i64,
    /// `log.flush.offset.checkpoint.interval.ms`: how often recovery points are written,
    /// milliseconds.
    pub log_flush_offset_checkpoint_interval_ms: i64,
    /// `fetch.max.bytes`: most bytes of one fetch answer, whatever the client asks.
    pub fetch_max_bytes: i32,
    /// What the user set, by name.
    pub set: BTreeMap<String, String>,
    /// Names that the user set and that mean nothing here.
    pub unused: Vec<String>,
}

impl Default for BrokerDefaults {
    fn default() -> BrokerDefaults {
        BrokerDefaults::of(BTreeMap::new(), HashMap::new(), Vec::new())
    }
}

impl BrokerDefaults {
    /// The value of a numeric setting that is read at the start.
    pub fn number(&self, name: &str) -> i64 {
        self.text(name).parse().expect("it was checked")
    }

    /// The value of a setting that is read at the start.
    pub fn text(&self, name: &str) -> String {
        text(&self.set, name)
    }

    /// Reads the file's table, then the file's `set` lines, then the flags', later over earlier.
    ///
    /// # Errors
    /// Names the key and what it expects.
    pub fn parse(
        table: &BTreeMap<String, toml::Value>,
        flags: &[String],
        file: &[String],
    ) -> Result<BrokerDefaults, String> {
        let mut pairs = Vec::new();
        for (key, value) in table {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            pairs.push((key.clone(), text));
        }
        for line in file.iter().chain(flags) {
            let (key, value) = line
                .split_once('=')
                .ok_or_else(|| format!("--set: expected KEY=VALUE, found {line:?}"))?;
            pairs.push((key.trim().to_string(), value.trim().to_string()));
        }
        let (mut set, mut overrides, mut unused) = (BTreeMap::new(), HashMap::new(), Vec::new());
        for (key, value) in pairs {
            if key == OVERRIDES {
                overrides =
                    connections::parse_overrides(&value).map_err(|why| format!("{key}: {why}"))?;
            } else if check(&key, &value)? {
                set.insert(key, value);
            } else {
                unused.push(key);
            }
        }
        Ok(BrokerDefaults::of(set, overrides, unused))
    }

    fn of(
        set: BTreeMap<String, String>,
        max_connections_per_ip_overrides: HashMap<IpAddr, usize>,
        unused: Vec<String>,
    ) -> BrokerDefaults {
        let text = |name: &str| text(&set, name);
        let long = |name: &str| text(name).parse::<i64>().expect("it was checked");
        let int = |name: &str| i32::try_from(long(name)).expect("it was checked");
        BrokerDefaults {
            num_partitions: int("num.partitions"),
            default_replication_factor: i16::try_from(int("default.replication.factor"))
                .expect("it was checked"),
            auto_create_topics_enable: text("auto.create.topics.enable") == "true",
            delete_topic_enable: text("delete.topic.enable") == "true",
            socket_request_max_bytes: int("socket.request.max.bytes"),
            max_connections: int("max.connections"),
            max_connections_per_ip: int("max.connections.per.ip"),
            max_connections_per_ip_overrides,
            connections_max_idle_ms: long("connections.max.idle.ms"),
            producer_id_expiration_ms: long("producer.id.expiration.ms"),
            log_flush_offset_checkpoint_interval_ms: long(
                "log.flush.offset.checkpoint.interval.ms",
            ),
            fetch_max_bytes: int("fetch.max.bytes"),
            set,
            unused,
        }
    }
}

fn text(set: &BTreeMap<String, String>, name: &str) -> String {
    let setting = broker_config::find(name).expect("the table has all that is read");
    let value = set.get(name).map(String::as_str).or(setting.default);
    setting.kind.normal(value.expect("what is read at the start has a default"))
}

/// Whether a setting means something here; the error is for the user.
fn check(key: &str, value: &str) -> Result<bool, String> {
    if let Some((_, flag)) = FLAGS.iter().find(|(name, _)| *name == key) {
        return Err(format!("--set: {key} is said with {flag}"));
    }
    if DANGEROUS.iter().any(|name| key == *name || name.ends_with('.') && key.starts_with(name)) {
        return Err(format!(
            "--set: {key}: TLS, SASL and authorization are not served; run without it"
        ));
    }
    if broker_config::find(key).is_some() {
        broker_config::check_one(key, value).map_err(|why| format!("--set: {why}"))?;
        if key == ASSIGNORS {
            check_assignors(value)?;
        }
        return Ok(true);
    }
    match unused_config::is_static(key) || unused_config::dynamic(key).is_some() {
        true => Ok(false),
        false => Err(format!("--set: {key:?} is not a broker setting of Kafka 4.3")),
    }
}

/// Consumer groups are assigned by what is built in.
fn check_assignors(value: &str) -> Result<(), String> {
    let mut names = value.split(',').map(str::trim);
    match names.find(|name| Assignor::named(name).is_none()) {
        Some(name) => Err(format!("--set: {ASSIGNORS}: {name:?} is not one of uniform, range")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<BrokerDefaults, String> {
        BrokerDefaults::parse(&BTreeMap::new(), &[line.to_string()], &[])
    }

    #[test]
    fn defaults_are_the_tables() {
        let defaults = BrokerDefaults::default();
        assert_eq!(defaults.num_partitions, 1);
        assert_eq!(defaults.max_connections, 16_384);
        assert_eq!(defaults.socket_request_max_bytes, 100 << 20);
        assert_eq!(defaults.fetch_max_bytes, 55 << 20);
        assert!(defaults.auto_create_topics_enable);
        assert!(defaults.set.is_empty());
    }

    #[test]
    fn what_stands_behind_a_topics_setting_is_taken() {
        for setting in crate::metadata::topic_config::SETTINGS {
            for (name, _) in setting.brokers {
                let kind = broker_config::find(name).map(|found| found.kind);
                assert!(kind.is_some(), "{name} of {}", setting.name);
                let value = broker_config::find(name).and_then(|found| found.default);
                let line = format!("{name}={}", value.unwrap_or("7"));
                let defaults = parse(&line).expect(&line);
                assert!(defaults.set.contains_key(*name), "{name}");
            }
        }
    }

    #[test]
    fn what_means_nothing_here_is_taken_and_told() {
        for line in ["num.io.threads=8", "zookeeper.connect=x", "replica.lag.time.max.ms=1"] {
            let name = line.split('=').next().unwrap_or_default();
            match parse(line) {
                Ok(defaults) => {
                    assert_eq!((defaults.unused, defaults.set.len()), (vec![name.into()], 0))
                }
                // Kafka 4 has no ZooKeeper either.
                Err(why) => {
                    assert_eq!((name, why.contains("Kafka 4.3")), ("zookeeper.connect", true))
                }
            }
        }
    }

    #[test]
    fn refusals_say_why() {
        for (line, why) in [
            ("num.partitions", "KEY=VALUE"),
            ("num.partitions=0", "num.partitions: Value must be at least 1"),
            ("log.roll.ms=x", "Not a number of type LONG"),
            ("log.retention.ms=0", "log.retention.ms must be unlimited"),
            ("log.cleanup.policy=foo", "String must be one of: compact, delete"),
            ("default.replication.factor=3", "Value must be no more than 1"),
            ("auto.create.topics.enable=maybe", "true or false"),
            ("node.id=3", "--node-id"),
            ("log.dirs=/x", "--data-dir"),
            ("ssl.keystore.location=/x", "not served"),
            ("authorizer.class.name=x", "not served"),
            ("no.such.thing=1", "not a broker setting of Kafka 4.3"),
        ] {
            let refused = parse(line).expect_err(line);
            assert!(refused.contains(why), "{line}: {refused}");
        }
    }
}
