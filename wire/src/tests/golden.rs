//! Bytes worked out from the schemas by hand, for what the oracle does not know: ListOffsets v11,
//! DescribeLogDirs v5, TxnOffsetCommit v6, DeleteGroups v3, and the metadata log's records. Each
//! must be written so, and read back.

use std::fmt::Debug;

use super::arbitrary::{self, Rng};
use crate::api::delete_groups::*;
use crate::api::describe_log_dirs::*;
use crate::api::list_offsets::*;
use crate::api::txn_offset_commit::*;
use crate::error::ErrorCode;
use crate::message::Message;
use crate::records::control::{ControlKey, ControlRecord, EndTxnMarker, LeaderChangeMessage};
use crate::records::control::{KRaftVersionRecord, LeaderChangeVoter};
use crate::records::*;
use crate::uuid::Uuid;

/// The bytes of hexadecimal digits.
pub fn hex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2), "two digits a byte");
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn check<M: Message + Debug + PartialEq>(version: i16, message: M, parts: &[&[u8]]) {
    let mut bytes = Vec::new();
    message.write(version, &mut bytes);
    assert_eq!(bytes, parts.concat(), "{message:?}");
    assert_eq!(M::read(version, &bytes), Ok(message));
}

#[test]
fn list_offsets_version_11() {
    let partition = ListOffsetsPartition {
        partition_index: 3,
        current_leader_epoch: 9,
        timestamp: EARLIEST_PENDING_UPLOAD,
    };
    let topic = ListOffsetsTopic { name: "ab".to_owned(), partitions: vec![partition] };
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level: 1,
        topics: vec![topic],
        timeout_ms: 258,
    };
    let parts: [&[u8]; 4] = [
        &[0xff, 0xff, 0xff, 0xff, 1, 2, 3, b'a', b'b', 2],
        &[0, 0, 0, 3, 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfa, 0],
        &[0, 0, 0, 1, 2],
        &[0],
    ];
    check(11, request, &parts);

    let partition = ListOffsetsPartitionResponse {
        partition_index: 3,
        error_code: ErrorCode::OffsetNotAvailable,
        timestamp: 7,
        offset: 8,
        leader_epoch: 9,
    };
    let topic = ListOffsetsTopicResponse { name: "ab".to_owned(), partitions: vec![partition] };
    let response = ListOffsetsResponse { throttle_time_ms: 5, topics: vec![topic] };
    let parts: [&[u8]; 3] = [
        &[0, 0, 0, 5, 2, 3, b'a', b'b', 2],
        &[0, 0, 0, 3, 0, 78, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 9, 0],
        &[0, 0],
    ];
    check(11, response, &parts);
}

#[test]
fn describe_log_dirs_version_5() {
    check(5, DescribeLogDirsRequest { topics: None }, &[&[0, 0]]);
    let partition = DescribeLogDirsPartition {
        partition_index: 1,
        partition_size: 2,
        offset_lag: 3,
        is_future_key: false,
    };
    let topic = DescribeLogDirsTopic { name: "t".to_owned(), partitions: vec![partition] };
    let result = DescribeLogDirsResult {
        error_code: ErrorCode::None,
        log_dir: "/d".to_owned(),
        topics: vec![topic],
        total_bytes: 5,
        usable_bytes: 4,
        is_cordoned: true,
    };
    let response = DescribeLogDirsResponse {
        throttle_time_ms: 0,
        error_code: ErrorCode::None,
        results: vec![result],
    };
    let parts: [&[u8]; 5] = [
        &[0, 0, 0, 0, 0, 0, 2, 0, 0, 3, b'/', b'd', 2, 2, b't', 2],
        &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0],
        &[0],
        &[0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 4, 1],
        &[0, 0],
    ];
    check(5, response, &parts);
}

#[test]
fn txn_offset_commit_version_6() {
    let id = Uuid(*b"0123456789abcdef");
    let partition = TxnOffsetCommitRequestPartition {
        partition_index: 3,
        committed_offset: 258,
        committed_leader_epoch: 7,
        committed_metadata: None,
    };
    let topic = TxnOffsetCommitRequestTopic {
        name: String::new(),
        topic_id: id,
        partitions: vec![partition],
    };
    let request = TxnOffsetCommitRequest {
        transactional_id: "x".to_owned(),
        group_id: "g".to_owned(),
        producer_id: 258,
        producer_epoch: 3,
        generation_id_or_member_epoch: 5,
        member_id: "m".to_owned(),
        group_instance_id: None,
        topics: vec![topic],
    };
    let parts: [&[u8]; 5] = [
        &[2, b'x', 2, b'g', 0, 0, 0, 0, 0, 0, 1, 2, 0, 3, 0, 0, 0, 5, 2, b'm', 0, 2],
        &id.0,
        &[2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 7, 0, 0],
        &[0],
        &[0],
    ];
    check(6, request, &parts);
    let partition =
        TxnOffsetCommitResponsePartition { partition_index: 3, error_code: ErrorCode::None };
    let topic = TxnOffsetCommitResponseTopic {
        name: String::new(),
        topic_id: id,
        partitions: vec![partition],
    };
    let response = TxnOffsetCommitResponse { throttle_time_ms: 5, topics: vec![topic] };
    let parts: [&[u8]; 3] = [&[0, 0, 0, 5, 2], &id.0, &[2, 0, 0, 0, 3, 0, 0, 0, 0, 0]];
    check(6, response, &parts);
}

#[test]
fn delete_groups_version_3() {
    check(3, DeleteGroupsRequest { groups_names: vec!["g".to_owned()] }, &[&[2, 2, b'g', 0]]);
    let result = DeletableGroupResult {
        group_id: "g".to_owned(),
        error_code: ErrorCode::NonEmptyGroup,
        error_message: Some("no".to_owned()),
    };
    let response = DeleteGroupsResponse { throttle_time_ms: 5, results: vec![result] };
    check(3, response, &[&[0, 0, 0, 5, 2, 2, b'g', 0, 68, 3, b'n', b'o', 0, 0]]);
}

fn check_record(record: impl Into<MetadataRecord>, version: i16, parts: &[&[u8]]) {
    let record = record.into();
    let mut value = Vec::new();
    record.encode_value(version, &mut value);
    assert_eq!(value, parts.concat(), "{record:?}");
    assert_eq!(MetadataRecord::decode_value(&value), Ok((record, version)));
}

#[test]
fn metadata_records() {
    let id = Uuid(*b"0123456789abcdef");
    check_record(
        TopicRecord { name: "t".to_owned(), topic_id: id },
        0,
        &[&[1, 2, 0, 2, b't'], &id.0, &[0]],
    );
    let partition = PartitionRecord {
        partition_id: 1,
        topic_id: id,
        replicas: vec![2],
        isr: vec![2],
        leader: 2,
        leader_epoch: 0,
        partition_epoch: 0,
        directories: vec![id],
        ..PartitionRecord::default()
    };
    check_record(
        partition,
        1,
        &[
            &[1, 3, 1, 0, 0, 0, 1],
            &id.0,
            &[2, 0, 0, 0, 2, 2, 0, 0, 0, 2, 1, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 2],
            &id.0,
            &[0],
        ],
    );
    let change = PartitionChangeRecord {
        partition_id: 1,
        topic_id: id,
        isr: Some(vec![]),
        leader: -1,
        eligible_leader_replicas: Some(vec![2]),
        ..PartitionChangeRecord::default()
    };
    check_record(
        change,
        2,
        &[
            &[1, 5, 2, 0, 0, 0, 1],
            &id.0,
            &[3, 0, 1, 1, 1, 4, 0xff, 0xff, 0xff, 0xff, 6, 5, 2, 0, 0, 0, 2],
        ],
    );
    let begin = BeginTransactionRecord { name: Some("Bootstrap records".to_owned()) };
    check_record(begin, 0, &[&[1, 23, 0, 1, 0, 18, 18], b"Bootstrap records"]);
    check_record(EndTransactionRecord::default(), 0, &[&[1, 24, 0, 0]]);
    let config = ConfigRecord {
        resource_type: 4,
        resource_name: String::new(),
        name: "min.insync.replicas".to_owned(),
        value: Some("1".to_owned()),
    };
    check_record(config, 0, &[&[1, 4, 0, 4, 1, 20], b"min.insync.replicas", &[2, b'1', 0]]);
}

#[test]
fn every_metadata_record_survives_in_every_version() {
    fn round<M>(key: u32, version: i16, seed: u64)
    where
        M: Message + arbitrary::Arbitrary + Into<MetadataRecord>,
    {
        let record: MetadataRecord = arbitrary::message::<M>(version, &mut Rng(seed)).into();
        assert_eq!(record.key(), key);
        assert!(record.fits(version) && record.version_lowest() <= version);
        let mut value = Vec::new();
        record.encode_value(version, &mut value);
        assert_eq!(MetadataRecord::decode_value(&value), Ok((record.clone(), version)));
        let lowest = record.version_lowest();
        value.clear();
        record.encode_value(lowest, &mut value);
        assert_eq!(MetadataRecord::decode_value(&value), Ok((record, lowest)));
    }
    macro_rules! each {
        ($($name:ident)*) => {$(
            let (key, _, max) = *MetadataRecord::TYPES
                .iter()
                .find(|(_, name, _)| *name == stringify!($name))
                .expect("a type of the list");
            for seed in 0..1000 {
                round::<$name>(key, (seed % (max as u64 + 1)) as i16, seed);
            }
        )*};
    }
    each! {
        RegisterBrokerRecord UnregisterBrokerRecord TopicRecord PartitionRecord ConfigRecord
        PartitionChangeRecord FenceBrokerRecord UnfenceBrokerRecord RemoveTopicRecord
        DelegationTokenRecord UserScramCredentialRecord FeatureLevelRecord ClientQuotaRecord
        ProducerIdsRecord BrokerRegistrationChangeRecord AccessControlEntryRecord
        RemoveAccessControlEntryRecord NoOpRecord ZkMigrationStateRecord
        RemoveUserScramCredentialRecord BeginTransactionRecord EndTransactionRecord
        AbortTransactionRecord RemoveDelegationTokenRecord RegisterControllerRecord ClearElrRecord
        UnregisterControllerRecord
    }
    assert_eq!(MetadataRecord::TYPES.len(), 27);
}

#[test]
fn control_records() {
    let check = |record: ControlRecord, key: [u8; 4], value: &[u8]| {
        let mut bytes = Vec::new();
        record.encode_value(&mut bytes);
        assert_eq!((record.key().encode(), bytes.as_slice()), (key, value));
        assert_eq!(ControlRecord::decode(&key, value), Ok(record));
    };
    let voters = vec![LeaderChangeVoter { voter_id: 1, voter_directory_id: Uuid::ZERO }];
    let change = LeaderChangeMessage {
        version: 0,
        leader_id: 1,
        voters: voters.clone(),
        granting_voters: voters,
    };
    let value = [0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, 0, 2, 0, 0, 0, 1, 0, 0];
    check(ControlRecord::LeaderChange(change), [0, 0, 0, 2], &value);
    let level = KRaftVersionRecord { version: 0, kraft_version: 1 };
    check(ControlRecord::KRaftVersion(level), [0, 0, 0, 5], &[0, 0, 0, 1, 0]);
    let marker = EndTxnMarker { version: 0, coordinator_epoch: 258 };
    check(ControlRecord::Commit(marker.clone()), [0, 0, 0, 1], &[0, 0, 0, 0, 1, 2]);
    check(ControlRecord::Abort(marker), [0, 0, 0, 0], &[0, 0, 0, 0, 1, 2]);
    assert!(ControlKey::decode(&[0, 0, 0, 7]).is_err());
    assert!(ControlRecord::decode(&[0, 0, 0, 2], &[0xff, 0xff]).is_err());
}
