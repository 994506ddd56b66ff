//! What a topic's settings mean to its partitions: the effective values, read once per change of
//! the metadata, so that the data path compares numbers.
//!
//! Values in the image were checked when they were set ([`topic_config::check`]); one that an older
//! or foreign log holds and that cannot be read counts as the default.

use ringlog_storage::{Durability, LogConfig};
use ringlog_wire::batch::{Compression, TimestampType};

use crate::defaults::BrokerDefaults;
use crate::metadata::config_value::trim;
use crate::metadata::topic_config::{self, Surroundings};

/// What becomes of the compression of a produced batch (`compression.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recompress {
    /// `producer`: the batch is stored as it was sent.
    Never,
    /// The batch is stored with this compression, at this level; rewritten if it came otherwise.
    To(Compression, i32),
}

/// How far a compressed batch is looked into before it is taken (`ringlog.validation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// Every record, as Kafka does.
    Records,
    /// The header and the CRC only: for producers that are trusted not to lie in their batches.
    Header,
}

/// The rules for a partition's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicRules {
    /// `max.message.bytes`: largest batch as sent, bytes.
    pub message_bytes_max: usize,
    /// `min.insync.replicas`: fewer in-sync replicas refuse acks = all.
    pub min_insync_replicas: i32,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far a record's time may lie in the past.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far it may lie in the future.
    pub timestamp_after_max_ms: i64,
    /// `compression.type` and its level.
    pub recompress: Recompress,
    /// `cleanup.policy` contains `compact`: every record needs a key.
    pub compacted: bool,
    /// `cleanup.policy` contains `delete` (or nothing).
    pub deletes: bool,
    /// `ringlog.validation`.
    pub validation: Validation,
    /// The broker's `transaction.partition.verification.enable`: a transaction's coordinator is
    /// asked before its first batch is appended.
    pub verifies_transactions: bool,
}

impl Default for TopicRules {
    /// No limit that a record could meet: for logs of our own.
    fn default() -> TopicRules {
        TopicRules {
            message_bytes_max: usize::MAX,
            min_insync_replicas: 1,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: i64::MAX,
            recompress: Recompress::Never,
            compacted: false,
            deletes: true,
            validation: Validation::Records,
            verifies_transactions: true,
        }
    }
}

/// One topic's settings, as they hold.
struct Values<'a> {
    around: Surroundings<'a>,
    topic: &'a str,
}

impl Values<'_> {
    fn text(&self, name: &str) -> String {
        let setting = topic_config::find(name).expect("named in this file");
        let own = self.around.image.configs_of(crate::metadata::image::RESOURCE_TOPIC, self.topic);
        trim(&self.around.effective(own.map(|own| &**own), setting).value).to_string()
    }

    fn number(&self, name: &str) -> i64 {
        let default = || topic_config::find(name).and_then(|s| s.default.parse().ok());
        self.text(name).parse().ok().or_else(default).unwrap_or(0)
    }

    fn recompress(&self) -> Recompress {
        let level = |name: &str| i32::try_from(self.number(name)).unwrap_or(0);
        match self.text("compression.type").as_str() {
            "uncompressed" => Recompress::To(Compression::None, 0),
            "gzip" => Recompress::To(Compression::Gzip, level("compression.gzip.level")),
            "snappy" => Recompress::To(Compression::Snappy, 0),
            "lz4" => Recompress::To(Compression::Lz4, level("compression.lz4.level")),
            "zstd" => Recompress::To(Compression::Zstd, level("compression.zstd.level")),
            _ => Recompress::Never,
        }
    }

    fn durability(&self) -> Durability {
        match self.text(topic_config::DURABILITY).as_str() {
            "memory" => Durability::Memory,
            "synced" => Durability::Synced,
            _ => Durability::Written,
        }
    }
}

impl TopicRules {
    /// The rules of `topic`.
    pub fn of(around: Surroundings<'_>, topic: &str) -> TopicRules {
        let values = Values { around, topic };
        let policy = values.text("cleanup.policy");
        let has = |word: &str| policy.split(',').any(|part| trim(part) == word);
        TopicRules {
            message_bytes_max: usize::try_from(values.number("max.message.bytes")).unwrap_or(0),
            min_insync_replicas: i32::try_from(values.number("min.insync.replicas"))
                .unwrap_or(i32::MAX),
            timestamp_type: match values.text("message.timestamp.type").as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_max_ms: values.number("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: values.number("message.timestamp.after.max.ms"),
            recompress: values.recompress(),
            compacted: has("compact"),
            deletes: has("delete") || !has("compact"),
            validation: match values.text(topic_config::VALIDATION).as_str() {
                "header" => Validation::Header,
                _ => Validation::Records,
            },
            verifies_transactions: around
                .broker_value("transaction.partition.verification.enable")
                .is_none_or(|value| trim(value).eq_ignore_ascii_case("true")),
        }
    }
}

/// The settings of a log of `topic`.
pub fn log_config(around: Surroundings<'_>, defaults: &BrokerDefaults, topic: &str) -> LogConfig {
    let values = Values { around, topic };
    let at_least = |name: &str, low: i64| values.number(name).max(low) as u64;
    LogConfig {
        segment_bytes: at_least("segment.bytes", 4096),
        segment_ms: values.number("segment.ms"),
        index_interval_bytes: at_least("index.interval.bytes", 0),
        durability: values.durability(),
        producer_expiration_ms: around
            .broker_value("producer.id.expiration.ms")
            .and_then(|value| trim(value).parse().ok())
            .unwrap_or(defaults.producer_id_expiration_ms),
        ..LogConfig::default()
    }
}
