//! Bytes that the classes of Kafka 4.3.1 have written: the records of the coordinators' topics,
//! transaction markers, the consumer protocol, and versions of APIs that the oracle does not know.
//! Each must be read as what it is and, where this build writes that version, be written so.

use std::fmt::Debug;

use super::arbitrary::{self, Rng};
use super::golden::hex;
use crate::api::{offset_commit, offset_fetch, write_txn_markers};
use crate::batch::{Batch, BatchBuilder, BatchOptions, TransactionEnd};
use crate::codec::{DecodeError, Writer};
use crate::consumer_protocol;
use crate::error::ErrorCode;
use crate::message::Message;
use crate::records::group::*;
use crate::records::txn::*;
use crate::uuid::Uuid;

const ID: Uuid = Uuid(*b"0123456789abcdef");

fn text(text: &str) -> String {
    text.to_owned()
}

fn check<M: Message + Debug + PartialEq>(version: i16, message: M, written: &str) {
    let mut bytes = Vec::new();
    message.write(version, &mut bytes);
    assert_eq!(bytes, hex(written), "{message:?}");
    assert_eq!(M::read(version, &bytes), Ok(message));
}

#[test]
fn offset_commit_version_10() {
    use offset_commit::*;
    let partition = OffsetCommitRequestPartition {
        partition_index: 3,
        committed_offset: 258,
        committed_leader_epoch: 7,
        committed_metadata: Some(text("x")),
    };
    let topic =
        OffsetCommitRequestTopic { name: text(""), topic_id: ID, partitions: vec![partition] };
    let request = OffsetCommitRequest {
        group_id: text("g"),
        generation_id_or_member_epoch: 5,
        member_id: text("m"),
        group_instance_id: Some(text("i")),
        retention_time_ms: -1,
        topics: vec![topic],
    };
    check(
        10,
        request,
        "026700000005026d02690230313233343536373839616263646566\
         02000000030000000000000102000000070278000000",
    );
    let partition = OffsetCommitResponsePartition {
        partition_index: 3,
        error_code: ErrorCode::StaleMemberEpoch,
    };
    let topic =
        OffsetCommitResponseTopic { name: text(""), topic_id: ID, partitions: vec![partition] };
    let response = OffsetCommitResponse { throttle_time_ms: 5, topics: vec![topic] };
    check(10, response, "00000005023031323334353637383961626364656602000000030071000000");
}

#[test]
fn offset_fetch_version_10() {
    use offset_fetch::*;
    let topic =
        OffsetFetchRequestTopics { name: text(""), topic_id: ID, partition_indexes: vec![3] };
    let one = OffsetFetchRequestGroup {
        group_id: text("g"),
        member_id: Some(text("m")),
        member_epoch: 5,
        topics: Some(vec![topic]),
    };
    let all = OffsetFetchRequestGroup {
        group_id: text("h"),
        topics: None,
        ..OffsetFetchRequestGroup::default()
    };
    let request = OffsetFetchRequest {
        groups: vec![one, all],
        require_stable: true,
        ..OffsetFetchRequest::default()
    };
    check(
        10,
        request,
        "030267026d000000050230313233343536373839616263646566\
         02000000030000026800ffffffff00000100",
    );
    let partition = OffsetFetchResponsePartitions {
        partition_index: 3,
        committed_offset: 258,
        committed_leader_epoch: 7,
        metadata: Some(text("x")),
        error_code: ErrorCode::UnstableOffsetCommit,
    };
    let topic =
        OffsetFetchResponseTopics { name: text(""), topic_id: ID, partitions: vec![partition] };
    let group = OffsetFetchResponseGroup {
        group_id: text("g"),
        topics: vec![topic],
        error_code: ErrorCode::NotCoordinator,
    };
    let response = OffsetFetchResponse {
        throttle_time_ms: 5,
        groups: vec![group],
        ..OffsetFetchResponse::default()
    };
    check(
        10,
        response,
        "000000050202670230313233343536373839616263646566\
         020000000300000000000001020000000702780058000000100000",
    );
}

#[test]
fn write_txn_markers_version_2() {
    use write_txn_markers::*;
    let topic = WritableTxnMarkerTopic { name: text("t"), partition_indexes: vec![3] };
    let marker = WritableTxnMarker {
        producer_id: 258,
        producer_epoch: 3,
        transaction_result: true,
        topics: vec![topic],
        coordinator_epoch: 9,
        transaction_version: 2,
    };
    let request = WriteTxnMarkersRequest { markers: vec![marker] };
    check(2, request, "02000000000000010200030102027402000000030000000009020000");
    let partition = WritableTxnMarkerPartitionResult {
        partition_index: 3,
        error_code: ErrorCode::InvalidProducerEpoch,
    };
    let topic = WritableTxnMarkerTopicResult { name: text("t"), partitions: vec![partition] };
    let marker = WritableTxnMarkerResult { producer_id: 258, topics: vec![topic] };
    let response = WriteTxnMarkersResponse { markers: vec![marker] };
    check(2, response, "0200000000000001020202740200000003002f00000000");
}

/// Reads and writes a record that this build writes as Kafka does; its value is "-" when it has
/// none.
fn check_group(record: GroupRecord, key: &str, value: &str) {
    let read = GroupRecord::decode(&hex(key), (value != "-").then(|| hex(value)).as_deref());
    assert_eq!(read, Ok(record.clone()));
    let (mut key_bytes, mut value_bytes) = (Vec::new(), Vec::new());
    let there = record.encode(&mut key_bytes, &mut value_bytes);
    assert_eq!(key_bytes, hex(key), "{record:?}");
    assert_eq!(there, value != "-");
    assert_eq!(value_bytes, if there { hex(value) } else { Vec::new() }, "{record:?}");
}

fn commit_key() -> OffsetCommitKey {
    OffsetCommitKey { group: text("g"), topic: text("t"), partition: 3 }
}

fn commit_value() -> OffsetCommitValue {
    OffsetCommitValue {
        offset: 258,
        leader_epoch: 7,
        metadata: text("m"),
        commit_timestamp: 1000,
        expire_timestamp: NO_EXPIRE_TIMESTAMP,
        topic_id: ID,
    }
}

const COMMIT_KEY: &str = "000100016700017400000003";

#[test]
fn committed_offsets() {
    let record = |value| GroupRecord::OffsetCommit { key: commit_key(), value };
    check_group(
        record(Some(commit_value())),
        COMMIT_KEY,
        "0004000000000000010200000007026d00000000000003e8\
         01001030313233343536373839616263646566",
    );
    let bare = OffsetCommitValue {
        leader_epoch: -1,
        metadata: text(""),
        topic_id: Uuid::ZERO,
        ..commit_value()
    };
    check_group(record(Some(bare)), COMMIT_KEY, "00040000000000000102ffffffff0100000000000003e800");
    check_group(record(None), COMMIT_KEY, "-");
    let expiring = OffsetCommitValue {
        leader_epoch: -1,
        expire_timestamp: 2000,
        topic_id: Uuid::ZERO,
        ..commit_value()
    };
    check_group(
        record(Some(expiring)),
        COMMIT_KEY,
        "0001000000000000010200016d00000000000003e800000000000007d0",
    );
    let plain = OffsetCommitValue { leader_epoch: -1, topic_id: Uuid::ZERO, ..commit_value() };
    check_group(
        GroupRecord::LegacyOffsetCommit { key: commit_key(), value: Some(plain.clone()) },
        "000000016700017400000003",
        "0000000000000000010200016d00000000000003e8",
    );
    // Older versions, which are read only.
    let with_epoch = OffsetCommitValue { leader_epoch: 7, ..plain.clone() };
    let old = [
        ("0000000000000000010200016d00000000000003e8", plain.clone()),
        ("0002000000000000010200016d00000000000003e8", plain),
        ("000300000000000001020000000700016d00000000000003e8", with_epoch),
    ];
    for (bytes, value) in old {
        let read = GroupRecord::decode(&hex(COMMIT_KEY), Some(&hex(bytes)));
        assert_eq!(read, Ok(record(Some(value))));
    }
}

#[test]
fn classic_groups() {
    let record = |value| GroupRecord::GroupMetadata {
        key: GroupMetadataKey { group: text("g") },
        value: Some(value),
    };
    let member = MemberMetadata {
        member_id: text("a"),
        group_instance_id: Some(text("i")),
        client_id: text("c"),
        client_host: text("/h"),
        rebalance_timeout: 300_000,
        session_timeout: 45_000,
        subscription: vec![1, 2],
        assignment: vec![3],
    };
    let value = |member: MemberMetadata, current_state_timestamp| GroupMetadataValue {
        protocol_type: text("consumer"),
        generation: 5,
        protocol: Some(text("range")),
        leader: Some(text("a")),
        current_state_timestamp,
        members: vec![member],
    };
    let newest = value(member.clone(), 1000);
    check_group(
        record(newest.clone()),
        "0002000167",
        "00030008636f6e73756d657200000005000572616e676500016100000000000003e80000000100016100016900\
         016300022f68000493e00000afc80000000201020000000103",
    );
    let empty =
        GroupMetadataValue { current_state_timestamp: 1000, ..GroupMetadataValue::default() };
    check_group(record(empty), "0002000167", "0003000000000000ffffffff00000000000003e800000000");
    // Other versions, which are read only.
    let dynamic = MemberMetadata { group_instance_id: None, ..member };
    let oldest = MemberMetadata { rebalance_timeout: -1, ..dynamic.clone() };
    let others = [
        (
            "00000008636f6e73756d657200000005000572616e67650001610000000100016100016300022f680000af\
             c80000000201020000000103",
            value(oldest, -1),
        ),
        (
            "00010008636f6e73756d657200000005000572616e67650001610000000100016100016300022f68000493\
             e00000afc80000000201020000000103",
            value(dynamic.clone(), -1),
        ),
        (
            "00020008636f6e73756d657200000005000572616e676500016100000000000003e8000000010001610001\
             6300022f68000493e00000afc80000000201020000000103",
            value(dynamic, 1000),
        ),
        (
            "000409636f6e73756d6572000000050672616e6765026100000000000003e802026102690263032f680004\
             93e00000afc803010202030000",
            newest,
        ),
    ];
    for (bytes, value) in others {
        assert_eq!(GroupRecord::decode(&hex("0002000167"), Some(&hex(bytes))), Ok(record(value)));
    }
}

#[test]
fn consumer_groups() {
    let group_id = text("g");
    let epoch = |metadata_hash| GroupRecord::ConsumerGroupMetadata {
        key: ConsumerGroupMetadataKey { group_id: text("g") },
        value: Some(ConsumerGroupMetadataValue { epoch: 9, metadata_hash }),
    };
    check_group(epoch(258), "0003000167", "0000000000090100080000000000000102");
    check_group(epoch(0), "0003000167", "00000000000900");
    let partition = PartitionMetadata { partition: 1, racks: vec![text("r")] };
    let topic = TopicMetadata {
        topic_id: ID,
        topic_name: text("t"),
        num_partitions: 2,
        partition_metadata: vec![partition],
    };
    let partitions = GroupRecord::ConsumerGroupPartitionMetadata {
        key: ConsumerGroupPartitionMetadataKey { group_id: group_id.clone() },
        value: Some(ConsumerGroupPartitionMetadataValue { topics: vec![topic] }),
    };
    check_group(
        partitions,
        "0004000167",
        "0000023031323334353637383961626364656602740000000202000000010202720000\
         00",
    );
    let target = GroupRecord::ConsumerGroupTargetAssignmentMetadata {
        key: ConsumerGroupTargetAssignmentMetadataKey { group_id: group_id.clone() },
        value: Some(ConsumerGroupTargetAssignmentMetadataValue {
            assignment_epoch: 9,
            assignment_timestamp: 1000,
        }),
    };
    check_group(target, "0006000167", "00000000000901000800000000000003e8");
    let regex = GroupRecord::ConsumerGroupRegularExpression {
        key: ConsumerGroupRegularExpressionKey { group_id, regular_expression: text("t.*") },
        value: Some(ConsumerGroupRegularExpressionValue {
            topics: vec![text("t")],
            version: 17,
            timestamp: 1000,
        }),
    };
    check_group(regex, "00100001670003742e2a", "0000020274000000000000001100000000000003e800");
}

#[test]
fn consumer_group_members() {
    let record = |value| GroupRecord::ConsumerGroupMemberMetadata {
        key: ConsumerGroupMemberMetadataKey { group_id: text("g"), member_id: text("m") },
        value: Some(value),
    };
    let member = ConsumerGroupMemberMetadataValue {
        rack_id: Some(text("r")),
        client_id: text("c"),
        client_host: text("/h"),
        subscribed_topic_names: vec![text("t"), text("u")],
        rebalance_timeout_ms: 300_000,
        server_assignor: Some(text("uniform")),
        ..ConsumerGroupMemberMetadataValue::default()
    };
    check_group(
        record(member),
        "000500016700016d",
        "00000002720263032f68030274027500000493e008756e69666f726d00",
    );
    let protocol = ClassicProtocol { name: text("range"), metadata: vec![1, 2] };
    let classic =
        ClassicMemberMetadata { session_timeout_ms: 45_000, supported_protocols: vec![protocol] };
    let member = ConsumerGroupMemberMetadataValue {
        instance_id: Some(text("i")),
        client_id: text("c"),
        client_host: text("/h"),
        subscribed_topic_regex: Some(text("t.*")),
        classic_member_metadata: Some(classic),
        ..ConsumerGroupMemberMetadataValue::default()
    };
    check_group(
        record(member),
        "000500016700016d",
        "00000269000263032f680104742e2affffffff00010011010000afc8020672616e67650301020000",
    );
}

#[test]
fn consumer_group_assignments() {
    let (group_id, member_id) = (text("g"), text("m"));
    let topic = TopicPartition { topic_id: ID, partitions: vec![0, 258] };
    let target = GroupRecord::ConsumerGroupTargetAssignmentMember {
        key: ConsumerGroupTargetAssignmentMemberKey {
            group_id: group_id.clone(),
            member_id: member_id.clone(),
        },
        value: Some(ConsumerGroupTargetAssignmentMemberValue { topic_partitions: vec![topic] }),
    };
    check_group(
        target,
        "000700016700016d",
        "000002303132333435363738396162636465660300000000000001020000",
    );
    let assigned = TopicPartitions {
        topic_id: ID,
        partitions: vec![0, 258],
        assignment_epochs: Some(vec![7, 9]),
    };
    let pending = TopicPartitions { topic_id: ID, partitions: vec![1], assignment_epochs: None };
    let current = GroupRecord::ConsumerGroupCurrentMemberAssignment {
        key: ConsumerGroupCurrentMemberAssignmentKey { group_id, member_id },
        value: Some(ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: 9,
            previous_member_epoch: 8,
            state: MEMBER_STABLE,
            assigned_partitions: vec![assigned],
            partitions_pending_revocation: vec![pending],
        }),
    };
    check_group(
        current,
        "000800016700016d",
        "000000000009000000080002303132333435363738396162636465660300000000000001020100090300000007\
         00000009023031323334353637383961626364656602000000010000",
    );
}

#[test]
fn transactional_ids() {
    let key = TransactionLogKey { transactional_id: text("x") };
    let topic = PartitionsSchema { topic: text("t"), partition_ids: vec![0, 2] };
    let old = TransactionLogValue {
        producer_id: 258,
        producer_epoch: 3,
        transaction_timeout_ms: 60_000,
        transaction_status: STATUS_ONGOING,
        transaction_partitions: Some(vec![topic]),
        transaction_last_update_timestamp_ms: 2000,
        transaction_start_timestamp_ms: 1000,
        ..TransactionLogValue::default()
    };
    let new = TransactionLogValue {
        previous_producer_id: 257,
        next_producer_id: 259,
        client_transaction_version: 2,
        next_producer_epoch: 4,
        ..old.clone()
    };
    let empty = TransactionLogValue {
        transaction_status: STATUS_EMPTY,
        transaction_partitions: None,
        transaction_start_timestamp_ms: -1,
        ..old.clone()
    };
    let record = |value| TransactionRecord::TransactionLog { key: key.clone(), value: Some(value) };
    let key_bytes = hex("0000000178");
    let bytes_of_old = "0000000000000000010200030000ea60010000000100017400000002000000000000000200\
                        000000000007d000000000000003e8";
    let read = TransactionRecord::decode(&key_bytes, Some(&hex(bytes_of_old)));
    assert_eq!(read, Ok(record(old)));
    let written = [
        (
            new,
            "0001000000000000010200030000ea60010202740300000000000000020000000000000007d00000000000\
             0003e80400080000000000000101010800000000000001030202000203020004",
        ),
        (empty, "0001000000000000010200030000ea60000000000000000007d0ffffffffffffffff00"),
    ];
    for (value, bytes) in written {
        let read = TransactionRecord::decode(&key_bytes, Some(&hex(bytes)));
        assert_eq!(read, Ok(record(value.clone())));
        let (mut key_out, mut value_out) = (Vec::new(), Vec::new());
        assert!(record(value).encode(&mut key_out, &mut value_out));
        assert_eq!((key_out, value_out), (key_bytes.clone(), hex(bytes)));
    }
}

#[test]
fn transaction_markers() {
    let end = TransactionEnd {
        producer_id: 257,
        producer_epoch: 3,
        committed: true,
        coordinator_epoch: 258,
        timestamp: 1000,
    };
    let commit = "000000000000000000000042ffffffff023e95d43100300000000000000000000003e80000000000\
                  0003e800000000000001010003ffffffff000000012000000008000000010c00000000010200";
    let abort = "000000000000000000000042ffffffff02caab027900300000000000000000000003e8000000000000\
                 03e800000000000001010003ffffffff000000012000000008000000000c00000000010200";
    for (end, bytes) in [(end, commit), (TransactionEnd { committed: false, ..end }, abort)] {
        let batch = end.to_batch();
        assert_eq!(batch, hex(bytes));
        let (batch, rest) = Batch::parse(&batch).expect("good");
        assert!(rest.is_empty());
        assert_eq!(batch.verify_crc(), Ok(()));
        assert_eq!(TransactionEnd::of_batch(&batch), Ok(Some(end)));
    }
}

#[test]
fn what_is_no_marker() {
    let check = |control, key: Option<&[u8]>, value: Option<&[u8]>, expected| {
        let options = BatchOptions { control, ..BatchOptions::transactional(1, 2, -1) };
        let mut builder = BatchBuilder::new(options);
        builder.push(7, key, value, &[]);
        let bytes = builder.finish();
        let (batch, _) = Batch::parse(&bytes).expect("good");
        assert_eq!(TransactionEnd::of_batch(&batch), expected);
    };
    let marker: Option<&[u8]> = Some(&[0, 0, 0, 0, 1, 2]);
    // Records, another control record, and one of a type that comes later.
    check(false, Some(&[0, 0, 0, 1]), marker, Ok(None));
    check(true, Some(&[0, 0, 0, 2]), marker, Ok(None));
    check(true, Some(&[0, 9, 0, 99]), None, Ok(None));
    // A later format of a marker is read as far as it is known.
    let end = TransactionEnd {
        producer_id: 1,
        producer_epoch: 2,
        committed: true,
        coordinator_epoch: 258,
        timestamp: 7,
    };
    check(true, Some(&[0, 1, 0, 1]), Some(&[0, 1, 0, 0, 1, 2, 9]), Ok(Some(end)));
    // What cannot be read.
    check(true, None, marker, Err(DecodeError::Null));
    check(true, Some(&[0, 0, 0]), marker, Err(DecodeError::Truncated));
    check(true, Some(&[0, 0, 0, 1]), None, Err(DecodeError::Null));
    check(true, Some(&[0, 0, 0, 1]), Some(&[0, 0, 0, 0, 1]), Err(DecodeError::Truncated));
    let unknown = DecodeError::Unknown { key: 1, version: -1 };
    check(true, Some(&[0xff, 0xff, 0, 1]), marker, Err(unknown));
    check(true, Some(&[0, 0, 0, 1]), Some(&[0xff, 0xff, 0, 0, 1, 2]), Err(unknown));
    // What compaction leaves when the record is gone.
    let options = BatchOptions { control: true, ..BatchOptions::transactional(1, 2, -1) };
    let bytes = BatchBuilder::new(options).finish();
    let (batch, _) = Batch::parse(&bytes).expect("good");
    assert_eq!(TransactionEnd::of_batch(&batch), Ok(None));
}

#[test]
fn a_transactional_batch_says_so() {
    let mut builder = BatchBuilder::new(BatchOptions::transactional(257, 3, 40));
    builder.push(7, None, Some(b"v"), &[]);
    let bytes = builder.finish();
    let (batch, _) = Batch::parse(&bytes).expect("good");
    let header = batch.header();
    assert!(header.is_transactional() && !header.is_control());
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (257, 3, 40));
    assert_eq!(TransactionEnd::of_batch(&batch), Ok(None));
}

#[test]
fn the_consumer_protocol() {
    use consumer_protocol::*;
    let owned = TopicPartition { topic: text("t"), partitions: vec![1] };
    let newest = ConsumerProtocolSubscription {
        topics: vec![text("t")],
        user_data: Some(vec![1, 2]),
        owned_partitions: vec![owned.clone()],
        generation_id: 5,
        rack_id: Some(text("r")),
    };
    let second = ConsumerProtocolSubscription { rack_id: None, ..newest.clone() };
    let first = ConsumerProtocolSubscription { generation_id: -1, ..second.clone() };
    let oldest = ConsumerProtocolSubscription { owned_partitions: Vec::new(), ..first.clone() };
    let subscriptions = [
        (oldest, "000000000001000174000000020102"),
        (first, "000100000001000174000000020102000000010001740000000100000001"),
        (second, "00020000000100017400000002010200000001000174000000010000000100000005"),
        (
            newest.clone(),
            "00030000000100017400000002010200000001000174000000010000000100000005000172",
        ),
    ];
    for (version, (subscription, bytes)) in subscriptions.into_iter().enumerate() {
        assert_eq!(newest.to_bytes(version as i16), hex(bytes));
        assert_eq!(ConsumerProtocolSubscription::from_bytes(&hex(bytes)), Ok(subscription));
        assert_eq!(read_version(&hex(bytes)), Ok(version as i16));
        let assignment = ConsumerProtocolAssignment {
            assigned_partitions: vec![owned.clone()],
            user_data: None,
        };
        let bytes = hex(&format!(
            "000{version}0000000100017400000001\
                                  00000001ffffffff"
        ));
        assert_eq!(assignment.to_bytes(version as i16), bytes);
        assert_eq!(ConsumerProtocolAssignment::from_bytes(&bytes), Ok(assignment));
    }
    // A later version, with what this build does not know at its end.
    let later = [&[0, 9], &newest.to_bytes(9)[2..], &[1, 2, 3]].concat();
    assert_eq!(ConsumerProtocolSubscription::from_bytes(&later), Ok(newest));
    assert_eq!(read_version(&later), Ok(VERSION_MAX));
    let unknown = Err(DecodeError::Unknown { key: 0, version: -1 });
    assert_eq!(ConsumerProtocolSubscription::from_bytes(&[0xff, 0xff, 0, 0]), unknown);
    assert_eq!(read_version(&[0]), Err(DecodeError::Truncated));
}

/// A value in any of its versions, through the record and back, and through what is written of it.
fn round<V: Message + arbitrary::Arbitrary>(
    version: i16,
    rng: &mut Rng,
    key: impl FnOnce(&mut Vec<u8>),
) {
    let mut key_bytes = Vec::new();
    key(&mut key_bytes);
    let mut value = Vec::new();
    value.put_i16(version);
    arbitrary::message::<V>(version, rng).write(version, &mut value);
    let record = GroupRecord::decode(&key_bytes, Some(&value)).expect("what we wrote");
    assert!(!matches!(record, GroupRecord::Unknown { .. }));
    let (mut key_again, mut value_again) = (Vec::new(), Vec::new());
    assert!(record.encode(&mut key_again, &mut value_again));
    assert_eq!(key_again, key_bytes);
    assert_eq!(GroupRecord::decode(&key_again, Some(&value_again)), Ok(record));
}

#[test]
fn every_group_record_survives_in_every_version() {
    macro_rules! each {
        ($($kind:literal $key:ident $value:ident;)*) => {
            let kinds = [$($kind),*];
            assert_eq!(GroupRecord::TYPES.len(), kinds.len());
            $(
                let found = GroupRecord::TYPES.iter().find(|(kind, ..)| *kind == $kind);
                let (_, _, max) = *found.expect("a type of the list");
                for seed in 0..1000u64 {
                    let mut rng = Rng(seed);
                    let key: $key = arbitrary::message(0, &mut rng);
                    round::<$value>((seed % (max as u64 + 1)) as i16, &mut rng, |out| {
                        out.put_i16($kind);
                        key.encode(0, out);
                    });
                }
            )*
        };
    }
    each! {
        0 OffsetCommitKey OffsetCommitValue;
        1 OffsetCommitKey OffsetCommitValue;
        2 GroupMetadataKey GroupMetadataValue;
        3 ConsumerGroupMetadataKey ConsumerGroupMetadataValue;
        4 ConsumerGroupPartitionMetadataKey ConsumerGroupPartitionMetadataValue;
        5 ConsumerGroupMemberMetadataKey ConsumerGroupMemberMetadataValue;
        6 ConsumerGroupTargetAssignmentMetadataKey ConsumerGroupTargetAssignmentMetadataValue;
        7 ConsumerGroupTargetAssignmentMemberKey ConsumerGroupTargetAssignmentMemberValue;
        8 ConsumerGroupCurrentMemberAssignmentKey ConsumerGroupCurrentMemberAssignmentValue;
        16 ConsumerGroupRegularExpressionKey ConsumerGroupRegularExpressionValue;
    }
}

#[test]
fn records_of_other_kinds_are_kept() {
    // A share group's epoch, a streams group's, its end, and a type that nobody has yet.
    let others: [(&[u8], Option<&[u8]>); 4] = [
        (&[0, 11, 0, 1, b'g'], Some(&[0, 0, 0, 0, 0, 9, 0])),
        (&[0, 17, 0, 1, b'g'], Some(&[])),
        (&[0, 17, 0, 1, b'g'], None),
        (&[0xff, 0xff], Some(&[1])),
    ];
    for (key, value) in others {
        let record = GroupRecord::decode(key, value).expect("kept");
        let kept = GroupRecord::Unknown { key: key.to_vec(), value: value.map(<[u8]>::to_vec) };
        assert_eq!(record, kept);
        let (mut key_again, mut value_again) = (Vec::new(), Vec::new());
        assert_eq!(record.encode(&mut key_again, &mut value_again), value.is_some());
        assert_eq!((key_again.as_slice(), value_again.as_slice()), (key, value.unwrap_or(&[])));
    }
    let txn = TransactionRecord::decode(&[0, 1], None);
    assert_eq!(txn, Ok(TransactionRecord::Unknown { key: vec![0, 1], value: None }));
}

#[test]
fn records_that_are_not_what_they_say_are_refused() {
    let check = |key: &[u8], value: Option<&[u8]>, error| {
        assert_eq!(GroupRecord::decode(key, value), Err(error));
    };
    check(&[], None, DecodeError::Truncated);
    check(&[0], None, DecodeError::Truncated);
    check(&[0, 2, 0, 9, b'g'], None, DecodeError::Truncated);
    check(&[0, 2, 0xff, 0xff], None, DecodeError::Null);
    check(&[0, 2, 0, 1, b'g'], Some(&[]), DecodeError::Truncated);
    check(&[0, 2, 0, 1, b'g'], Some(&[0, 3, 0]), DecodeError::Truncated);
    let unknown = |key, version| DecodeError::Unknown { key, version };
    check(&[0, 2, 0, 1, b'g'], Some(&[0, 5, 0]), unknown(2, 5));
    check(&[0, 2, 0, 1, b'g'], Some(&[0xff, 0xff, 0]), unknown(2, -1));
    check(&[0, 0, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 3], Some(&[0, 1]), unknown(0, 1));
    let later = TransactionRecord::decode(&[0, 0, 0, 1, b'x'], Some(&[0, 2]));
    assert_eq!(later, Err(unknown(0, 2)));
}
