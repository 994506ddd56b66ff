//! Every API in every version, and the quorum's control records, against `kafka-protocol`: ours is
//! written, read there, compared field by field, written there, compared byte by byte, and read
//! here again.
//!
//! `kafka-protocol` trusts its input, so it is given nothing but our own well-formed bytes.

use std::fmt::Debug;

use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable};

use super::arbitrary::{self, Arbitrary, Rng};
use super::tree::tree;
use crate::api::*;
use crate::message::Message;
use crate::records::control;

const ROUNDS: u64 = 300;

fn check<Ours, Theirs>(version: i16)
where
    Ours: Message + Arbitrary + Debug + PartialEq,
    Theirs: Decodable + Encodable + Debug,
{
    check_with::<Ours, Theirs>(version, |_| {});
}

fn check_with<Ours, Theirs>(version: i16, prepare: impl Fn(&mut Ours))
where
    Ours: Message + Arbitrary + Debug + PartialEq,
    Theirs: Decodable + Encodable + Debug,
{
    for seed in 0..ROUNDS {
        let mut ours: Ours = arbitrary::message(version, &mut Rng(seed << 16 | version as u64));
        prepare(&mut ours);
        let mut bytes = Vec::new();
        ours.write(version, &mut bytes);

        let mut rest = bytes.as_slice();
        let read = Theirs::decode(&mut rest, version).expect("the oracle reads what we write");
        assert!(rest.is_empty(), "the oracle reads all of it");
        let (their_tree, mut our_tree) = (tree(&read), tree(&ours));
        our_tree.leave_out_newer_than(&their_tree);
        assert_eq!(their_tree, our_tree, "v{version} seed {seed}");

        let mut written = Vec::new();
        read.encode(&mut written, version).expect("the oracle writes what it has read");
        assert_eq!(written, bytes, "v{version} seed {seed}: {ours:?}");
        assert_eq!(Ours::read(version, &written), Ok(ours), "v{version} seed {seed}");
    }
}

macro_rules! apis {
    ($($test:ident: $module:ident $request:ident $response:ident $versions:expr;)*) => {$(
        #[test]
        fn $test() {
            for version in $versions {
                assert!($module::API.serves(version));
                check::<$module::$request, theirs::$request>(version);
                check::<$module::$response, theirs::$response>(version);
            }
        }
    )*};
}

apis! {
    produce_agrees: produce ProduceRequest ProduceResponse produce::API.versions();
    fetch_agrees: fetch FetchRequest FetchResponse fetch::API.versions();
    // The oracle's schemas end at 10; version 11 is in `golden`.
    list_offsets_agrees: list_offsets ListOffsetsRequest ListOffsetsResponse 1..=10;
    metadata_agrees: metadata MetadataRequest MetadataResponse metadata::API.versions();
    api_versions_agrees: api_versions ApiVersionsRequest ApiVersionsResponse
        api_versions::API.versions();
    create_topics_agrees: create_topics CreateTopicsRequest CreateTopicsResponse
        create_topics::API.versions();
    delete_topics_agrees: delete_topics DeleteTopicsRequest DeleteTopicsResponse
        delete_topics::API.versions();
    init_producer_id_agrees: init_producer_id InitProducerIdRequest InitProducerIdResponse
        init_producer_id::API.versions();
    describe_configs_agrees: describe_configs DescribeConfigsRequest DescribeConfigsResponse
        describe_configs::API.versions();
    alter_configs_agrees: alter_configs AlterConfigsRequest AlterConfigsResponse
        alter_configs::API.versions();
    incremental_alter_configs_agrees: incremental_alter_configs IncrementalAlterConfigsRequest
        IncrementalAlterConfigsResponse incremental_alter_configs::API.versions();
    list_config_resources_agrees: list_config_resources ListConfigResourcesRequest
        ListConfigResourcesResponse list_config_resources::API.versions();
    describe_cluster_agrees: describe_cluster DescribeClusterRequest DescribeClusterResponse
        describe_cluster::API.versions();
    create_partitions_agrees: create_partitions CreatePartitionsRequest CreatePartitionsResponse
        create_partitions::API.versions();
    describe_topic_partitions_agrees: describe_topic_partitions
        DescribeTopicPartitionsRequest
        DescribeTopicPartitionsResponse
        describe_topic_partitions::API.versions();
    find_coordinator_agrees: find_coordinator FindCoordinatorRequest FindCoordinatorResponse
        find_coordinator::API.versions();
    describe_quorum_agrees: describe_quorum DescribeQuorumRequest DescribeQuorumResponse
        describe_quorum::API.versions();
    update_features_agrees: update_features UpdateFeaturesRequest UpdateFeaturesResponse
        update_features::API.versions();
    elect_leaders_agrees: elect_leaders ElectLeadersRequest ElectLeadersResponse
        elect_leaders::API.versions();
    alter_partition_reassignments_agrees: alter_partition_reassignments
        AlterPartitionReassignmentsRequest
        AlterPartitionReassignmentsResponse
        alter_partition_reassignments::API.versions();
    list_partition_reassignments_agrees: list_partition_reassignments
        ListPartitionReassignmentsRequest
        ListPartitionReassignmentsResponse
        list_partition_reassignments::API.versions();
    alter_replica_log_dirs_agrees: alter_replica_log_dirs
        AlterReplicaLogDirsRequest
        AlterReplicaLogDirsResponse
        alter_replica_log_dirs::API.versions();
    delete_records_agrees: delete_records DeleteRecordsRequest DeleteRecordsResponse
        delete_records::API.versions();
    offset_for_leader_epoch_agrees: offset_for_leader_epoch OffsetForLeaderEpochRequest
        OffsetForLeaderEpochResponse offset_for_leader_epoch::API.versions();
    // The oracle's schemas end at 4; version 5 is in `golden`.
    describe_log_dirs_agrees: describe_log_dirs DescribeLogDirsRequest DescribeLogDirsResponse
        1..=4;
    describe_producers_agrees: describe_producers DescribeProducersRequest
        DescribeProducersResponse describe_producers::API.versions();
    join_group_agrees: join_group JoinGroupRequest JoinGroupResponse join_group::API.versions();
    sync_group_agrees: sync_group SyncGroupRequest SyncGroupResponse sync_group::API.versions();
    heartbeat_agrees: heartbeat HeartbeatRequest HeartbeatResponse heartbeat::API.versions();
    leave_group_agrees: leave_group LeaveGroupRequest LeaveGroupResponse
        leave_group::API.versions();
    list_groups_agrees: list_groups ListGroupsRequest ListGroupsResponse
        list_groups::API.versions();
    describe_groups_agrees: describe_groups DescribeGroupsRequest DescribeGroupsResponse
        describe_groups::API.versions();
    offset_delete_agrees: offset_delete OffsetDeleteRequest OffsetDeleteResponse
        offset_delete::API.versions();
    consumer_group_heartbeat_agrees: consumer_group_heartbeat ConsumerGroupHeartbeatRequest
        ConsumerGroupHeartbeatResponse consumer_group_heartbeat::API.versions();
    consumer_group_describe_agrees: consumer_group_describe ConsumerGroupDescribeRequest
        ConsumerGroupDescribeResponse consumer_group_describe::API.versions();
    add_partitions_to_txn_agrees: add_partitions_to_txn AddPartitionsToTxnRequest
        AddPartitionsToTxnResponse add_partitions_to_txn::API.versions();
    add_offsets_to_txn_agrees: add_offsets_to_txn AddOffsetsToTxnRequest AddOffsetsToTxnResponse
        add_offsets_to_txn::API.versions();
    end_txn_agrees: end_txn EndTxnRequest EndTxnResponse end_txn::API.versions();
    describe_transactions_agrees: describe_transactions DescribeTransactionsRequest
        DescribeTransactionsResponse describe_transactions::API.versions();
    list_transactions_agrees: list_transactions ListTransactionsRequest ListTransactionsResponse
        list_transactions::API.versions();
    // The oracle's schemas end here; the versions after them are in `kafka` and `golden`.
    offset_commit_agrees: offset_commit OffsetCommitRequest OffsetCommitResponse 2..=9;
    offset_fetch_agrees: offset_fetch OffsetFetchRequest OffsetFetchResponse 1..=9;
    delete_groups_agrees: delete_groups DeleteGroupsRequest DeleteGroupsResponse 0..=2;
    write_txn_markers_agrees: write_txn_markers WriteTxnMarkersRequest WriteTxnMarkersResponse
        1..=1;
    txn_offset_commit_agrees: txn_offset_commit TxnOffsetCommitRequest TxnOffsetCommitResponse
        0..=5;
}

#[test]
fn the_consumer_protocol_agrees() {
    use crate::consumer_protocol::*;
    for version in 0..=VERSION_MAX {
        check::<ConsumerProtocolSubscription, theirs::ConsumerProtocolSubscription>(version);
        check::<ConsumerProtocolAssignment, theirs::ConsumerProtocolAssignment>(version);
    }
}

#[test]
fn control_records_agree() {
    // The oracle reads voters in the version that the message's own field names.
    for version in 0..=1 {
        check_with::<control::LeaderChangeMessage, theirs::LeaderChangeMessage>(version, |ours| {
            ours.version = version;
        });
    }
    check::<control::SnapshotHeaderRecord, theirs::SnapshotHeaderRecord>(0);
    check::<control::SnapshotFooterRecord, theirs::SnapshotFooterRecord>(0);
    check::<control::KRaftVersionRecord, theirs::KRaftVersionRecord>(0);
    check_with::<control::VotersRecord, theirs::VotersRecord>(0, |ours| ours.version = 0);
}

#[test]
fn headers_agree() {
    use crate::header::{RequestHeader, begin_response};
    for api in API_LIST {
        for version in api.versions() {
            let flexible = api.is_flexible(version);
            let header = RequestHeader {
                key: api.key,
                version,
                correlation_id: -7,
                client_id: Some("client").filter(|_| version != api.min),
            };
            let mut bytes = Vec::new();
            header.encode(flexible, &mut bytes);
            let mut rest = bytes.as_slice();
            let read = theirs::RequestHeader::decode(&mut rest, 1 + i16::from(flexible));
            let read = read.expect("the oracle reads our header");
            assert!(rest.is_empty());
            assert_eq!(read.request_api_key, api.key);
            assert_eq!(read.request_api_version, version);
            assert_eq!(read.correlation_id, -7);
            assert_eq!(read.client_id.as_deref(), header.client_id);
            bytes.push(99);
            assert_eq!(RequestHeader::parse(api, &bytes), Ok((header, &[99][..])));

            let key = theirs::ApiKey::try_from(api.key).expect("a key of Kafka's");
            assert_eq!(key.request_header_version(version), 1 + i16::from(flexible));
            let mut bytes = Vec::new();
            begin_response(api, version, 5, &mut bytes);
            let mut rest = &bytes[4..];
            let form = key.response_header_version(version);
            let read = theirs::ResponseHeader::decode(&mut rest, form).expect("our header");
            assert!(rest.is_empty());
            assert_eq!(read.correlation_id, 5);
        }
    }
}
