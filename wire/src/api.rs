//! The APIs that are served: one module each, and the list of them.
//!
//! Invariant: [`API_LIST`] is what ApiVersions advertises and what a request's prefix is checked
//! against. The two differ in one place: Produce is advertised from version 0, because librdkafka
//! switches compression off otherwise, and served from 3.

pub mod alter_partition_reassignments;
pub mod alter_replica_log_dirs;
pub mod api_versions;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod elect_leaders;
pub mod elements;
pub mod fetch;
pub mod find_coordinator;
pub mod init_producer_id;
pub mod leader;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod metadata;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod update_features;

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
    /// The first version with compact lengths and tagged fields.
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
    find_coordinator::API,
    api_versions::API,
    create_topics::API,
    delete_topics::API,
    delete_records::API,
    init_producer_id::API,
    offset_for_leader_epoch::API,
    alter_replica_log_dirs::API,
    describe_log_dirs::API,
    create_partitions::API,
    elect_leaders::API,
    alter_partition_reassignments::API,
    list_partition_reassignments::API,
    describe_quorum::API,
    update_features::API,
    describe_cluster::API,
    describe_producers::API,
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
            assert!(api.flexible_from <= api.max, "{}", api.name);
            assert_eq!(find(api.key), Some(api));
        }
        assert_eq!(find(4), None);
        assert_eq!(find(-1), None);
    }
}
