//! The APIs that are served: one module each, and the list of them.
//!
//! Invariant: [`API_LIST`] is what ApiVersions advertises and what a request's prefix is checked
//! against. The two differ in one place: Produce is advertised from version 0, because librdkafka
//! switches compression off otherwise, and served from 3.

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod alter_configs;
pub mod alter_partition_reassignments;
pub mod alter_replica_log_dirs;
pub mod api_versions;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod describe_transactions;
pub mod elect_leaders;
pub mod elements;
pub mod end_txn;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leader;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod list_transactions;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod sync_group;
pub mod txn_offset_commit;
pub mod update_features;
pub mod write_txn_markers;

/// As [`Api::flexible_from`]: no version has compact lengths and tagged fields.
pub const NEVER_FLEXIBLE: i16 = i16::MAX;

/// One API: its number and its versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    /// Kafka's number for it.
    pub key: i16,
    /// Kafka's name for it.
    pub name: &'static str,
    /// The first version served.
    pub min: i16,
    /// The last version served.
    pub max: i16,
    /// The first version that ApiVersions mentions.
    pub advertised_min: i16,
    /// The first version with compact lengths and tagged fields, or [`NEVER_FLEXIBLE`].
    pub flexible_from: i16,
}

impl Api {
    /// True for the versions that are served.
    #[inline]
    pub const fn serves(&self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// True for versions with compact lengths and tagged fields.
    #[inline]
    pub const fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
    }

    /// The served versions, ascending.
    pub fn versions(&self) -> std::ops::RangeInclusive<i16> {
        self.min..=self.max
    }
}

/// Every API that is served, ascending by key.
pub const API_LIST: &[Api] = &[
    produce::API,
    fetch::API,
    list_offsets::API,
    metadata::API,
    offset_commit::API,
    offset_fetch::API,
    find_coordinator::API,
    join_group::API,
    heartbeat::API,
    leave_group::API,
    sync_group::API,
    describe_groups::API,
    list_groups::API,
    api_versions::API,
    create_topics::API,
    delete_topics::API,
    delete_records::API,
    init_producer_id::API,
    offset_for_leader_epoch::API,
    add_partitions_to_txn::API,
    add_offsets_to_txn::API,
    end_txn::API,
    write_txn_markers::API,
    txn_offset_commit::API,
    describe_configs::API,
    alter_configs::API,
    alter_replica_log_dirs::API,
    describe_log_dirs::API,
    create_partitions::API,
    delete_groups::API,
    elect_leaders::API,
    incremental_alter_configs::API,
    alter_partition_reassignments::API,
    list_partition_reassignments::API,
    offset_delete::API,
    describe_quorum::API,
    update_features::API,
    describe_cluster::API,
    describe_producers::API,
    describe_transactions::API,
    list_transactions::API,
    consumer_group_heartbeat::API,
    consumer_group_describe::API,
    list_config_resources::API,
    describe_topic_partitions::API,
];

/// The API of a key, if it is served.
#[inline]
pub fn find(key: i16) -> Option<&'static Api> {
    API_LIST.iter().find(|api| api.key == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_its_ranges_are_sound() {
        assert!(API_LIST.is_sorted_by(|a, b| a.key < b.key));
        for api in API_LIST {
            assert!(api.advertised_min <= api.min && api.min <= api.max, "{}", api.name);
            let never = api.flexible_from == NEVER_FLEXIBLE;
            assert!(never || api.flexible_from <= api.max, "{}", api.name);
            assert_eq!(find(api.key), Some(api));
        }
        assert_eq!(find(4), None);
        assert_eq!(find(-1), None);
    }
}
