//! Bytes that mean harm: random ones, and good messages mutated and cut, through every decoder.
//! Nothing panics; the reader's allowance bounds what is allocated (asserted where it is spent: see
//! `codec::Reader::charge`, which every allocation passes first).
//!
//! `WIRE_HOSTILE_ROUNDS` sets the rounds per API and decoder; by default they are few.

use super::arbitrary::{self, Arbitrary, Rng};
use crate::api::*;
use crate::batch::{Batch, TransactionEnd};
use crate::client;
use crate::codec::{DecodeError, Writer};
use crate::consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use crate::frame;
use crate::header::{self, RequestHeader};
use crate::message::Message;
use crate::records::control::ControlRecord;
use crate::records::{self, GroupRecord, MetadataRecord, TransactionRecord};

const ROUNDS: usize = 20_000;

fn rounds() -> usize {
    std::env::var("WIRE_HOSTILE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}

/// Bytes made from a good message, or from nothing.
fn harm(good: &[u8], rng: &mut Rng) -> Vec<u8> {
    if good.is_empty() || rng.below(8) == 0 {
        return (0..rng.below(64)).map(|_| rng.next() as u8).collect();
    }
    let mut bytes = good.to_vec();
    for _ in 0..rng.below(4) {
        let at = rng.below(bytes.len());
        match rng.below(4) {
            // Lengths and counts: the largest, the smallest, one off.
            0 => bytes[at] = [0xff, 0x7f, 0x80, 0][rng.below(4)],
            1 => bytes[at] = bytes[at].wrapping_add(1),
            2 => bytes[at] = rng.next() as u8,
            _ => bytes[at..].iter_mut().take(4).for_each(|byte| *byte = 0xff),
        }
    }
    if rng.below(2) == 0 {
        bytes.truncate(rng.below(bytes.len() + 1));
    }
    bytes
}

/// Feeds a decoder of owned messages, and one of borrowed ones.
fn check<M: Message + Arbitrary>(api: &Api, also: impl Fn(i16, &[u8])) {
    let mut rng = Rng(api.key as u64);
    let mut good = Vec::new();
    let mut accepted = 0;
    for round in 0..rounds() {
        let version = api.min + rng.below((api.max - api.min) as usize + 1) as i16;
        if round % 4 == 0 {
            good.clear();
            arbitrary::message::<M>(version, &mut rng).write(version, &mut good);
        }
        let bytes = harm(&good, &mut rng);
        accepted += usize::from(M::read(version, &bytes).is_ok());
        also(version, &bytes);
        let _ = header::parse_prefix(&bytes);
        let _ = header::parse_response(api, version, &bytes);
    }
    assert!(accepted > 0, "some of it is good enough to be read");
}

fn nothing(_version: i16, _bytes: &[u8]) {}

macro_rules! apis {
    ($($test:ident: $module:ident $request:ident $response:ident;)*) => {$(
        #[test]
        fn $test() {
            check::<$module::$request>(&$module::API, nothing);
            check::<$module::$response>(&$module::API, nothing);
        }
    )*};
}

apis! {
    list_offsets: list_offsets ListOffsetsRequest ListOffsetsResponse;
    metadata: metadata MetadataRequest MetadataResponse;
    api_versions: api_versions ApiVersionsRequest ApiVersionsResponse;
    create_topics: create_topics CreateTopicsRequest CreateTopicsResponse;
    delete_topics: delete_topics DeleteTopicsRequest DeleteTopicsResponse;
    init_producer_id: init_producer_id InitProducerIdRequest InitProducerIdResponse;
    describe_cluster: describe_cluster DescribeClusterRequest DescribeClusterResponse;
    create_partitions: create_partitions CreatePartitionsRequest CreatePartitionsResponse;
    describe_topic_partitions: describe_topic_partitions
        DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse;
    find_coordinator: find_coordinator FindCoordinatorRequest FindCoordinatorResponse;
    describe_quorum: describe_quorum DescribeQuorumRequest DescribeQuorumResponse;
    update_features: update_features UpdateFeaturesRequest UpdateFeaturesResponse;
    elect_leaders: elect_leaders ElectLeadersRequest ElectLeadersResponse;
    alter_partition_reassignments: alter_partition_reassignments
        AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse;
    list_partition_reassignments: list_partition_reassignments
        ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse;
    alter_replica_log_dirs: alter_replica_log_dirs
        AlterReplicaLogDirsRequest AlterReplicaLogDirsResponse;
    delete_records: delete_records DeleteRecordsRequest DeleteRecordsResponse;
    offset_for_leader_epoch: offset_for_leader_epoch OffsetForLeaderEpochRequest
        OffsetForLeaderEpochResponse;
    describe_log_dirs: describe_log_dirs DescribeLogDirsRequest DescribeLogDirsResponse;
    describe_producers: describe_producers DescribeProducersRequest DescribeProducersResponse;
    join_group: join_group JoinGroupRequest JoinGroupResponse;
    sync_group: sync_group SyncGroupRequest SyncGroupResponse;
    heartbeat: heartbeat HeartbeatRequest HeartbeatResponse;
    leave_group: leave_group LeaveGroupRequest LeaveGroupResponse;
    offset_commit: offset_commit OffsetCommitRequest OffsetCommitResponse;
    offset_fetch: offset_fetch OffsetFetchRequest OffsetFetchResponse;
    list_groups: list_groups ListGroupsRequest ListGroupsResponse;
    describe_groups: describe_groups DescribeGroupsRequest DescribeGroupsResponse;
    delete_groups: delete_groups DeleteGroupsRequest DeleteGroupsResponse;
    offset_delete: offset_delete OffsetDeleteRequest OffsetDeleteResponse;
    consumer_group_heartbeat: consumer_group_heartbeat
        ConsumerGroupHeartbeatRequest ConsumerGroupHeartbeatResponse;
    consumer_group_describe: consumer_group_describe
        ConsumerGroupDescribeRequest ConsumerGroupDescribeResponse;
    add_partitions_to_txn: add_partitions_to_txn
        AddPartitionsToTxnRequest AddPartitionsToTxnResponse;
    add_offsets_to_txn: add_offsets_to_txn AddOffsetsToTxnRequest AddOffsetsToTxnResponse;
    end_txn: end_txn EndTxnRequest EndTxnResponse;
    write_txn_markers: write_txn_markers WriteTxnMarkersRequest WriteTxnMarkersResponse;
    txn_offset_commit: txn_offset_commit TxnOffsetCommitRequest TxnOffsetCommitResponse;
    describe_transactions: describe_transactions
        DescribeTransactionsRequest DescribeTransactionsResponse;
    list_transactions: list_transactions ListTransactionsRequest ListTransactionsResponse;
}

/// The owned and the borrowed form take and refuse the same bytes, and what is taken can be gone
/// through.
#[test]
fn produce() {
    use produce::*;
    check::<ProduceRequest>(&API, |version, bytes| {
        let view = RequestView::parse(version, bytes);
        assert_eq!(view.is_ok(), ProduceRequest::decode(version, bytes).is_ok());
        let view = view.into_iter().flat_map(|view| view.topics());
        let _ = view.flat_map(|topic| topic.partitions()).count();
    });
    check::<ProduceResponse>(&API, |version, bytes| {
        let view = ResponseView::parse(version, bytes).into_iter();
        let _ = view.flat_map(|view| view.topics()).flat_map(|topic| topic.partitions()).count();
    });
}

#[test]
fn fetch() {
    use fetch::*;
    check::<FetchRequest>(&API, |version, bytes| {
        let view = RequestView::parse(version, bytes);
        assert_eq!(view.is_ok(), FetchRequest::decode(version, bytes).is_ok());
        let Ok(view) = view else { return };
        let _ = view.topics().flat_map(|topic| topic.partitions()).count();
        let _ = view.forgotten_topics().flat_map(|topic| topic.partitions()).count();
    });
    check::<FetchResponse>(&API, |version, bytes| {
        let view = ResponseView::parse(version, bytes).into_iter();
        let _ = view.flat_map(|view| view.topics()).flat_map(|topic| topic.partitions()).count();
    });
}

#[test]
fn request_headers() {
    let mut rng = Rng(1);
    for _ in 0..rounds() {
        let api = &API_LIST[rng.below(API_LIST.len())];
        let version = api.min + rng.below((api.max - api.min) as usize + 1) as i16;
        let good = client::encode_request(api, version, 7, Some("client"), |_| {});
        let mut bytes = harm(&good[4..], &mut rng);
        if bytes.len() >= 2 {
            bytes[..2].copy_from_slice(&api.key.to_be_bytes());
        }
        let _ = RequestHeader::parse(api, &bytes);
        let _ = frame::frame_size(&bytes, frame::FRAME_BYTES_MAX);
    }
}

#[test]
fn metadata_log() {
    let mut rng = Rng(2);
    let mut good = Vec::new();
    for round in 0..rounds() {
        if round % 4 == 0 {
            let partition: records::PartitionChangeRecord = arbitrary::message(2, &mut rng);
            let broker: records::RegisterBrokerRecord = arbitrary::message(4, &mut rng);
            let record: MetadataRecord =
                if rng.below(2) == 0 { partition.into() } else { broker.into() };
            good.clear();
            record.encode_value(record.version_max(), &mut good);
        }
        let mut bytes = harm(&good, &mut rng);
        if rng.below(2) == 0 && bytes.len() >= 3 {
            // Any type, read as what it is not.
            let types = MetadataRecord::TYPES;
            bytes[1] = types[rng.below(types.len())].0 as u8;
            bytes[2] = rng.below(3) as u8;
        }
        let _ = MetadataRecord::decode_value(&bytes);
        let _ = ControlRecord::decode(&[0, 0, 0, rng.below(8) as u8], &bytes);
    }
}

#[test]
fn coordinators_topics() {
    let mut rng = Rng(4);
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let mut accepted = 0;
    for round in 0..rounds() {
        if round % 4 == 0 {
            key.clear();
            value.clear();
            let member = GroupRecord::ConsumerGroupMemberMetadata {
                key: arbitrary::message(0, &mut rng),
                value: Some(arbitrary::message(0, &mut rng)),
            };
            let group = GroupRecord::GroupMetadata {
                key: arbitrary::message(0, &mut rng),
                value: Some(arbitrary::message(3, &mut rng)),
            };
            let record = if rng.below(2) == 0 { member } else { group };
            record.encode(&mut key, &mut value);
        }
        let bad_key = if rng.below(2) == 0 { key.clone() } else { harm(&key, &mut rng) };
        let mut bad_value = harm(&value, &mut rng);
        if rng.below(2) == 0 && bad_value.len() >= 2 {
            // Any version, read as what it is not.
            bad_value[..2].copy_from_slice(&[0, rng.below(6) as u8]);
        }
        accepted += usize::from(GroupRecord::decode(&bad_key, Some(&bad_value)).is_ok());
        let _ = TransactionRecord::decode(&[0, 0, 0, 1, b'x'], Some(&bad_value));
        let _ = ConsumerProtocolSubscription::from_bytes(&bad_value);
        let _ = ConsumerProtocolAssignment::from_bytes(&bad_value);
    }
    assert!(accepted > 0, "some of it is good enough to be read");
}

#[test]
fn batches() {
    let mut rng = Rng(3);
    let good = super::batches::sample(20, 40);
    for _ in 0..rounds() {
        let mut bytes = harm(&good, &mut rng);
        if bytes.len() > 16 && rng.below(2) == 0 {
            // As long as its header says, so that the records are reached.
            let length = bytes.len() as i32 - 12;
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            bytes[16] = 2;
        }
        let Ok((batch, _)) = Batch::parse(&bytes) else { continue };
        let _ = batch.verify_crc();
        let _ = TransactionEnd::of_batch(&batch);
        let walked = batch.walk().map(|summary| summary.records as usize);
        let count = batch.records().take_while(Result::is_ok).count();
        if let Ok(records) = walked {
            assert_eq!(records, count, "what can be walked can be read");
        }
        let headers = batch.records().flatten().flat_map(|record| record.headers());
        assert!(headers.count() <= bytes.len());
    }
}

#[test]
fn floods_of_small_elements_are_refused() {
    // A million topics with empty names: 24 MB of memory for 1 MB of bytes.
    let mut bytes = Vec::new();
    bytes.put_count(true, Some(1_000_000));
    bytes.resize(bytes.len() + 1_000_000, 1);
    bytes.put_i32(0);
    bytes.put_uvarint(0);
    let refused = delete_topics::DeleteTopicsRequest::decode(5, &bytes);
    assert_eq!(refused, Err(DecodeError::Allowance));
    // The largest count of the largest elements, in the smallest frame.
    let refused = metadata::MetadataResponse::decode(1, &[0x7f, 0xff, 0xff, 0xff]);
    assert_eq!(refused, Err(DecodeError::Count { count: 0x7fff_ffff, remaining: 0 }));
}
