//! The numbers that groups live by: Kafka's names, Kafka's defaults.

use super::consumer::ConsumerGroupConfig;

/// Settings of all groups of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`.
    pub session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_ms_max: i32,
    /// `group.initial.rebalance.delay.ms`: how long an empty group waits for more members.
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`: members of a classic group.
    pub members_max: usize,
    /// `offset.metadata.max.bytes`: what a commit may say, in UTF-16 units, as Kafka counts.
    pub offset_metadata_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_ms: i64,
    /// What a batch of the offsets topic may have (`max.message.bytes`). A commit or an assignment
    /// that would not fit is refused, because a decision cannot be taken back.
    pub batch_bytes_max: usize,
    /// What the groups and offsets of one partition may take in memory, in about bytes. Beyond
    /// three quarters of it nothing new is taken (COORDINATOR_NOT_AVAILABLE); what is there goes
    /// on. The runtime moves it with what other partitions leave ([`super::Groups::limit_bytes`]).
    pub memory_bytes_max: usize,
    /// Settings of consumer groups.
    pub consumer: ConsumerGroupConfig,
}

impl Default for GroupConfig {
    fn default() -> GroupConfig {
        GroupConfig {
            session_timeout_ms_min: 6_000,
            session_timeout_ms_max: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            members_max: i32::MAX as usize,
            offset_metadata_max: 4_096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1_000,
            offsets_retention_check_ms: 600_000,
            batch_bytes_max: 1_048_588,
            memory_bytes_max: 32 << 20,
            consumer: ConsumerGroupConfig::default(),
        }
    }
}

impl GroupConfig {
    /// How long a member that has no heartbeats yet waits for its first rebalance.
    pub const NEW_MEMBER_TIMEOUT_MS: i64 = 5 * 60 * 1_000;

    /// Where new groups, members and offsets are refused.
    pub fn memory_bytes_for_new(&self) -> usize {
        self.memory_bytes_max / 4 * 3
    }
}
