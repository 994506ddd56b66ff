//! The settings that consumer groups obey, Kafka's names and defaults.

use crate::group::assignor::Assignor;

/// `group.consumer.migration.policy`: what kind of group may become the other kind while members
/// are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// Both ways. Kafka's default.
    Bidirectional,
    /// Classic groups may become consumer groups.
    Upgrade,
    /// Consumer groups may become classic groups.
    Downgrade,
    /// Neither.
    Disabled,
}

impl MigrationPolicy {
    /// The policy of that name, whatever its case.
    pub fn named(name: &str) -> Option<MigrationPolicy> {
        match name.to_ascii_lowercase().as_str() {
            "bidirectional" => Some(MigrationPolicy::Bidirectional),
            "upgrade" => Some(MigrationPolicy::Upgrade),
            "downgrade" => Some(MigrationPolicy::Downgrade),
            "disabled" => Some(MigrationPolicy::Disabled),
            _ => None,
        }
    }

    /// Whether a classic group may become a consumer group.
    pub fn allows_upgrade(self) -> bool {
        matches!(self, MigrationPolicy::Bidirectional | MigrationPolicy::Upgrade)
    }

    /// Whether a consumer group may become a classic group.
    pub fn allows_downgrade(self) -> bool {
        matches!(self, MigrationPolicy::Bidirectional | MigrationPolicy::Downgrade)
    }
}

/// See the module's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupConfig {
    /// `group.consumer.session.timeout.ms`, or the group's `consumer.session.timeout.ms`.
    pub session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`, or the group's `consumer.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: i32,
    /// `group.consumer.max.size`: members of a group.
    pub members_max: usize,
    /// `group.consumer.assignors`, the default first; at least one.
    pub assignors: Vec<Assignor>,
    /// `group.consumer.migration.policy`.
    pub migration_policy: MigrationPolicy,
    /// `group.consumer.assignment.interval.ms`: at most one target in that time. 0 is no limit.
    pub assignment_interval_ms: i32,
    /// `group.consumer.regex.refresh.interval.ms`: after this time expressions are resolved again,
    /// even if no topic was created.
    pub regex_refresh_interval_ms: i64,
    /// What a batch of the offsets topic may have in bytes (`max.message.bytes`).
    pub batch_bytes_max: usize,
    /// `group.max.size`: a group with more members does not become a classic group.
    pub classic_members_max: usize,
}

impl Default for ConsumerGroupConfig {
    fn default() -> ConsumerGroupConfig {
        ConsumerGroupConfig {
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 5_000,
            members_max: i32::MAX as usize,
            assignors: Assignor::ALL.to_vec(),
            migration_policy: MigrationPolicy::Bidirectional,
            assignment_interval_ms: 1_000,
            regex_refresh_interval_ms: 10 * 60 * 1_000,
            batch_bytes_max: 1_048_588,
            classic_members_max: i32::MAX as usize,
        }
    }
}
