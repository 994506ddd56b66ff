//! Broker defaults under Kafka's names: what `--set KEY=VALUE` and the file's `[kafka]` table may
//! say.
//!
//! Source: Kafka 4.3's `KafkaConfig` and `ServerLogConfigs`; names, units and defaults are Kafka's.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use crate::connections;

/// The broker settings that this release acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerDefaults {
    /// `num.partitions`: of a topic that does not say how many, 1 or more.
    pub num_partitions: i32,
    /// `default.replication.factor`: on one node, 1.
    pub default_replication_factor: i16,
    /// `auto.create.topics.enable`.
    pub auto_create_topics_enable: bool,
    /// `log.segment.bytes`: a segment is rolled before it grows past this, bytes.
    pub log_segment_bytes: i32,
    /// `log.roll.ms`: a segment is rolled when its records span more than this, milliseconds.
    pub log_roll_ms: i64,
    /// `log.index.interval.bytes`: bytes of log per entry of the sparse index.
    pub log_index_interval_bytes: i32,
    /// `message.max.bytes`: largest record batch, bytes.
    pub message_max_bytes: i32,
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
    /// `producer.id.expiration.ms`: how long an idle producer is remembered, milliseconds.
    pub producer_id_expiration_ms: i64,
    /// `log.flush.offset.checkpoint.interval.ms`: how often recovery points are written,
    /// milliseconds.
    pub log_flush_offset_checkpoint_interval_ms: i64,
    /// `fetch.max.bytes`: most bytes of one fetch answer, whatever the client asks.
    pub fetch_max_bytes: i32,
}

impl Default for BrokerDefaults {
    fn default() -> BrokerDefaults {
        BrokerDefaults {
            num_partitions: 1,
            default_replication_factor: 1,
            auto_create_topics_enable: true,
            log_segment_bytes: 1 << 30,
            log_roll_ms: 7 * 24 * 3_600_000,
            log_index_interval_bytes: 4096,
            message_max_bytes: 1_048_588,
            socket_request_max_bytes: 100 << 20,
            max_connections: 16_384,
            max_connections_per_ip: i32::MAX,
            max_connections_per_ip_overrides: HashMap::new(),
            connections_max_idle_ms: 600_000,
            producer_id_expiration_ms: 86_400_000,
            log_flush_offset_checkpoint_interval_ms: 60_000,
            fetch_max_bytes: 55 << 20,
        }
    }
}

impl BrokerDefaults {
    /// Reads the file's table, then the file's `set` lines, then the flags', later over earlier.
    ///
    /// # Errors
    /// Names the key and what it expects.
    pub fn parse(
        table: &BTreeMap<String, toml::Value>,
        flags: &[String],
        file: &[String],
    ) -> Result<BrokerDefaults, String> {
        let mut defaults = BrokerDefaults::default();
        for (key, value) in table {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            defaults.set(key, &text)?;
        }
        for line in file.iter().chain(flags) {
            let (key, value) = line
                .split_once('=')
                .ok_or_else(|| format!("--set: expected KEY=VALUE, found {line:?}"))?;
            defaults.set(key.trim(), value.trim())?;
        }
        Ok(defaults)
    }

    /// The settings under their names, as far as topics take their defaults from them.
    pub fn statics(&self) -> BTreeMap<String, String> {
        let pairs = [
            ("log.segment.bytes", self.log_segment_bytes.to_string()),
            ("log.roll.ms", self.log_roll_ms.to_string()),
            ("log.index.interval.bytes", self.log_index_interval_bytes.to_string()),
            ("message.max.bytes", self.message_max_bytes.to_string()),
        ];
        let fresh = BrokerDefaults::default();
        let defaults = [
            fresh.log_segment_bytes.to_string(),
            fresh.log_roll_ms.to_string(),
            fresh.log_index_interval_bytes.to_string(),
            fresh.message_max_bytes.to_string(),
        ];
        let set = pairs.into_iter().zip(defaults).filter(|((_, now), default)| now != default);
        set.map(|((name, now), _)| (name.to_string(), now)).collect()
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let i32_max = i64::from(i32::MAX);
        match key {
            "num.partitions" => self.num_partitions = number(key, value, 1, i32_max)? as i32,
            "default.replication.factor" => {
                self.default_replication_factor = number(key, value, 1, 1)? as i16;
            }
            "auto.create.topics.enable" => self.auto_create_topics_enable = boolean(key, value)?,
            "log.segment.bytes" => {
                self.log_segment_bytes = number(key, value, 1 << 20, i32_max)? as i32;
            }
            "log.roll.ms" => self.log_roll_ms = number(key, value, 1, i64::MAX)?,
            "log.index.interval.bytes" => {
                self.log_index_interval_bytes = number(key, value, 0, i32_max)? as i32;
            }
            "message.max.bytes" => self.message_max_bytes = number(key, value, 0, i32_max)? as i32,
            "socket.request.max.bytes" => {
                self.socket_request_max_bytes = number(key, value, 1024, i32_max)? as i32;
            }
            "max.connections" => self.max_connections = number(key, value, 1, 1_000_000)? as i32,
            "max.connections.per.ip" => {
                self.max_connections_per_ip = number(key, value, 0, i32_max)? as i32;
            }
            "max.connections.per.ip.overrides" => {
                self.max_connections_per_ip_overrides =
                    connections::parse_overrides(value).map_err(|why| format!("{key}: {why}"))?;
            }
            "connections.max.idle.ms" => {
                self.connections_max_idle_ms = number(key, value, -1, i64::MAX)?;
            }
            "producer.id.expiration.ms" => {
                self.producer_id_expiration_ms = number(key, value, 1, i32_max)?;
            }
            "log.flush.offset.checkpoint.interval.ms" => {
                self.log_flush_offset_checkpoint_interval_ms = number(key, value, 100, i32_max)?;
            }
            "fetch.max.bytes" => self.fetch_max_bytes = number(key, value, 1024, i32_max)? as i32,
            _ => {
                return Err(format!(
                    "--set: {key:?} is not a setting that this release acts on; see README.md"
                ));
            }
        }
        Ok(())
    }
}

fn number(key: &str, value: &str, low: i64, high: i64) -> Result<i64, String> {
    match value.parse::<i64>() {
        Ok(n) if (low..=high).contains(&n) => Ok(n),
        _ => Err(format!("{key}: expected a number from {low} to {high}, found {value:?}")),
    }
}

fn boolean(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{key}: expected true or false, found {value:?}")),
    }
}
