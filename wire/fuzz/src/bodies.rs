//! The bodies of every API by its number: each line of [`bodies!`] is an API.
//!
//! Invariant: every API of `api::API_LIST` and `api::SOON` has a line (`tests/corpus.rs` compares).

use ringlog_wire::DecodeError;
use ringlog_wire::api;
use ringlog_wire::message::Message;

/// Who sends the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Request,
    /// The broker.
    Response,
}

macro_rules! bodies {
    ($($module:ident $request:ident $response:ident;)*) => {
        /// The APIs that have a line.
        pub const KEYS: &[i16] = &[$(api::$module::API.key),*];

        /// Reads a body, writes it, reads that, and compares. Returns what was written.
        pub fn recode(
            side: Side,
            key: i16,
            version: i16,
            body: &[u8],
        ) -> Result<Vec<u8>, DecodeError> {
            match side {
                $(Side::Request if key == api::$module::API.key => {
                    again::<api::$module::$request>(version, body)
                })*
                $(Side::Response if key == api::$module::API.key => {
                    again::<api::$module::$response>(version, body)
                })*
                _ => panic!("API {key} has no line in {}", file!()),
            }
        }

        /// The same in another version, as far as that has the fields; without a body, the one in
        /// which every field is as if it were not there.
        pub fn convert(side: Side, key: i16, from: Option<(i16, &[u8])>, to: i16) -> Vec<u8> {
            match side {
                $(Side::Request if key == api::$module::API.key => {
                    other::<api::$module::$request>(from, to)
                })*
                $(Side::Response if key == api::$module::API.key => {
                    other::<api::$module::$response>(from, to)
                })*
                _ => panic!("API {key} has no line in {}", file!()),
            }
        }
    };
}

bodies! {
    produce ProduceRequest ProduceResponse;
    fetch FetchRequest FetchResponse;
    list_offsets ListOffsetsRequest ListOffsetsResponse;
    metadata MetadataRequest MetadataResponse;
    find_coordinator FindCoordinatorRequest FindCoordinatorResponse;
    api_versions ApiVersionsRequest ApiVersionsResponse;
    create_topics CreateTopicsRequest CreateTopicsResponse;
    delete_topics DeleteTopicsRequest DeleteTopicsResponse;
    delete_records DeleteRecordsRequest DeleteRecordsResponse;
    init_producer_id InitProducerIdRequest InitProducerIdResponse;
    offset_for_leader_epoch OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse;
    alter_replica_log_dirs AlterReplicaLogDirsRequest AlterReplicaLogDirsResponse;
    describe_log_dirs DescribeLogDirsRequest DescribeLogDirsResponse;
    create_partitions CreatePartitionsRequest CreatePartitionsResponse;
    elect_leaders ElectLeadersRequest ElectLeadersResponse;
    alter_partition_reassignments
        AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse;
    list_partition_reassignments
        ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse;
    describe_quorum DescribeQuorumRequest DescribeQuorumResponse;
    update_features UpdateFeaturesRequest UpdateFeaturesResponse;
    describe_cluster DescribeClusterRequest DescribeClusterResponse;
    describe_configs DescribeConfigsRequest DescribeConfigsResponse;
    alter_configs AlterConfigsRequest AlterConfigsResponse;
    incremental_alter_configs IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse;
    list_config_resources ListConfigResourcesRequest ListConfigResourcesResponse;
    describe_producers DescribeProducersRequest DescribeProducersResponse;
    describe_topic_partitions DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse;
    offset_commit OffsetCommitRequest OffsetCommitResponse;
    offset_fetch OffsetFetchRequest OffsetFetchResponse;
    join_group JoinGroupRequest JoinGroupResponse;
    heartbeat HeartbeatRequest HeartbeatResponse;
    leave_group LeaveGroupRequest LeaveGroupResponse;
    sync_group SyncGroupRequest SyncGroupResponse;
    describe_groups DescribeGroupsRequest DescribeGroupsResponse;
    list_groups ListGroupsRequest ListGroupsResponse;
    add_partitions_to_txn AddPartitionsToTxnRequest AddPartitionsToTxnResponse;
    add_offsets_to_txn AddOffsetsToTxnRequest AddOffsetsToTxnResponse;
    end_txn EndTxnRequest EndTxnResponse;
    write_txn_markers WriteTxnMarkersRequest WriteTxnMarkersResponse;
    txn_offset_commit TxnOffsetCommitRequest TxnOffsetCommitResponse;
    delete_groups DeleteGroupsRequest DeleteGroupsResponse;
    offset_delete OffsetDeleteRequest OffsetDeleteResponse;
    describe_transactions DescribeTransactionsRequest DescribeTransactionsResponse;
    list_transactions ListTransactionsRequest ListTransactionsResponse;
    consumer_group_heartbeat ConsumerGroupHeartbeatRequest ConsumerGroupHeartbeatResponse;
    consumer_group_describe ConsumerGroupDescribeRequest ConsumerGroupDescribeResponse;
}

fn again<M: Message + PartialEq + std::fmt::Debug>(
    version: i16,
    body: &[u8],
) -> Result<Vec<u8>, DecodeError> {
    let message = M::read(version, body)?;
    assert!(message.fits(version), "what a version can say fits it");
    let mut out = Vec::new();
    message.write(version, &mut out);
    match M::read(version, &out) {
        Ok(again) => assert_eq!(again, message),
        // What was ignored (bytes after the body, unknown tags) counted for the allowance.
        Err(error) => assert_eq!(error, DecodeError::Allowance),
    }
    Ok(out)
}

fn other<M: Message>(from: Option<(i16, &[u8])>, to: i16) -> Vec<u8> {
    let read = from.and_then(|(version, body)| M::read(version, body).ok());
    let mut out = Vec::new();
    read.unwrap_or_default().write(to, &mut out);
    out
}
