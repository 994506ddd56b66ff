//! The coordinators' settings, from Kafka's names.

use crate::defaults::BrokerDefaults;
use crate::group::GroupConfig;
use crate::group::assignor::Assignor;
use crate::group::consumer::{ConsumerGroupConfig, MigrationPolicy};
use crate::txn::TxnConfig;

/// What groups live by.
pub fn group_config(defaults: &BrokerDefaults) -> GroupConfig {
    let int = |name| i32::try_from(defaults.number(name)).unwrap_or(i32::MAX);
    let size = |name| usize::try_from(defaults.number(name)).unwrap_or(0);
    GroupConfig {
        session_timeout_ms_min: int("group.min.session.timeout.ms"),
        session_timeout_ms_max: int("group.max.session.timeout.ms"),
        initial_rebalance_delay_ms: int("group.initial.rebalance.delay.ms"),
        members_max: size("group.max.size"),
        offset_metadata_max: size("offset.metadata.max.bytes"),
        offsets_retention_ms: defaults.number("offsets.retention.minutes") * 60_000,
        offsets_retention_check_ms: defaults.number("offsets.retention.check.interval.ms"),
        consumer: consumer_config(defaults),
        ..GroupConfig::default()
    }
}

/// What consumer groups live by. The session's and the heartbeats' bounds are those of groups that
/// have settings of their own.
fn consumer_config(defaults: &BrokerDefaults) -> ConsumerGroupConfig {
    let int = |name| i32::try_from(defaults.number(name)).unwrap_or(i32::MAX);
    let size = |name| usize::try_from(defaults.number(name)).unwrap_or(0);
    let policy = defaults.text("group.consumer.migration.policy");
    let assignors = defaults.text("group.consumer.assignors");
    let assignors = assignors.split(',').filter_map(|name| Assignor::named(name.trim()));
    ConsumerGroupConfig {
        session_timeout_ms: int("group.consumer.session.timeout.ms"),
        heartbeat_interval_ms: int("group.consumer.heartbeat.interval.ms"),
        members_max: size("group.consumer.max.size"),
        classic_members_max: size("group.max.size"),
        assignors: assignors.collect(),
        migration_policy: MigrationPolicy::named(&policy).expect("it was checked"),
        ..ConsumerGroupConfig::default()
    }
}

/// What transactions live by.
pub fn transaction_config(defaults: &BrokerDefaults) -> TxnConfig {
    let int = |name| i32::try_from(defaults.number(name)).unwrap_or(i32::MAX);
    TxnConfig {
        transaction_max_timeout_ms: int("transaction.max.timeout.ms"),
        transactional_id_expiration_ms: defaults.number("transactional.id.expiration.ms"),
        transaction_abort_timed_out_transaction_cleanup_interval_ms: defaults
            .number("transaction.abort.timed.out.transaction.cleanup.interval.ms"),
        transaction_remove_expired_transaction_cleanup_interval_ms: defaults
            .number("transaction.remove.expired.transaction.cleanup.interval.ms"),
        ..TxnConfig::default()
    }
}
