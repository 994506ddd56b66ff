//! Limits, and records that are not ours.

use ringlog_wire::records::txn::TransactionLogKey;

use super::super::ReplayError;
use super::super::config::{PARKED_PER_TRANSACTION_MAX, PARTITIONS_PER_TRANSACTION_MAX};
use super::*;

#[test]
fn a_coordinator_that_is_full_takes_no_new_id() {
    let full = "InitProducerId COORDINATOR_NOT_AVAILABLE -1/-1";
    let config = TxnConfig { transactional_ids_max: 1, ..TxnConfig::default() };
    let mut desk = Desk::with(config);
    desk.know("other", at(State::Empty));
    assert_eq!(desk.init(5, None), full);
    assert_eq!(desk.ids.len(), 20, "no producer id was spent");
    let other = Event::InitProducerId {
        to: TICKET,
        version: 5,
        request: InitProducerIdRequest {
            transactional_id: Some("other".to_owned()),
            transaction_timeout_ms: 1,
            ..InitProducerIdRequest::default()
        },
    };
    assert_eq!(desk.step(other), "other: Empty 100/6 [] v0; InitProducerId NONE 100/6");
    // Once an id has expired, there is room again.
    assert_eq!(desk.ring(), "other: gone");
    assert_eq!(desk.init(5, None), "t: Empty 200/0 [] v0; InitProducerId NONE 200/0");
}

#[test]
fn the_bytes_of_the_state_are_bounded() {
    let mut desk = Desk::with(TxnConfig { state_bytes_max: 2000, ..TxnConfig::default() });
    desk.know("t", at(State::Empty));
    let long = "x".repeat(2000);
    let told = desk.add(3, (PID, 5), &[(&long, 0)]);
    assert!(told.ends_with("-0:COORDINATOR_NOT_AVAILABLE"), "{told}");
    assert_eq!(
        desk.add(3, (PID, 5), &[("b", 0)]),
        "t: Ongoing 100/5 [b-0] v0; AddPartitions b-0:NONE"
    );
    for id in 0..100 {
        let request = InitProducerIdRequest {
            transactional_id: Some(format!("new{id}")),
            transaction_timeout_ms: 1,
            ..InitProducerIdRequest::default()
        };
        desk.step(Event::InitProducerId { to: TICKET, version: 5, request });
    }
    assert_eq!(desk.machine.len(), 5, "as many as 2000 bytes have room for");
}

#[test]
fn a_transaction_has_so_many_partitions_and_no_more() {
    let wanted: Vec<(&str, i32)> =
        (0..=PARTITIONS_PER_TRANSACTION_MAX as i32).map(|index| ("a", index)).collect();
    let mut desk = Desk::of(at(State::Empty));
    let told = desk.verify((PID, 5), &wanted, true);
    assert!(told.starts_with("Verify a-0:TRANSACTION_ABORTABLE a-1:TRANSACTION_ABORTABLE"));
    let told = desk.add(3, (PID, 5), &wanted);
    assert!(told.starts_with("AddPartitions a-0:UNKNOWN_SERVER_ERROR"));
    let told = desk.add(3, (PID, 5), &wanted[1..]);
    assert!(told.ends_with("a-50000:NONE"));
    assert_eq!(desk.add_offsets(3, (PID, 5)), "AddOffsets UNKNOWN_SERVER_ERROR");
}

#[test]
fn so_many_wait_for_the_markers_and_no_more() {
    let mut desk = Desk::of(second(State::PrepareCommit));
    for _ in 0..PARKED_PER_TRANSACTION_MAX {
        assert_eq!(desk.verify((PID, 5), &[("a", 0)], true), "");
    }
    let told = desk.verify((PID, 5), &[("a", 0)], true);
    assert_eq!(told, "Verify a-0:CONCURRENT_TRANSACTIONS");
    assert_eq!(desk.machine.unload().len(), PARKED_PER_TRANSACTION_MAX);
}

#[test]
fn records_that_cannot_be_are_refused_and_strange_ones_read_over() {
    let mut desk = Desk::of(at(State::Ongoing));
    let TransactionRecord::TransactionLog { key, value: Some(mut value) } =
        record_of("t", &at(State::Ongoing))
    else {
        unreachable!("it is one")
    };
    value.transaction_status = 8;
    let record = TransactionRecord::TransactionLog { key, value: Some(value) };
    let error = desk.machine.replay(record).expect_err("there is no such state");
    let unknown = ReplayError::UnknownState { transactional_id: "t".to_owned(), id: 8 };
    assert_eq!(error, unknown);
    assert_eq!(error.to_string(), "transactional id \"t\" has the unknown state 8");
    desk.check_replayed();
    let strange = TransactionRecord::Unknown { key: vec![0, 9, 9], value: None };
    assert_eq!(desk.machine.replay(strange), Ok(()));
    let key = TransactionLogKey { transactional_id: "never seen".to_owned() };
    let gone = TransactionRecord::TransactionLog { key, value: None };
    assert_eq!(desk.machine.replay(gone), Ok(()));
    desk.check_replayed();
}

/// What Kafka 4.3 writes, byte by byte.
#[test]
fn records_are_kafkas_bytes() {
    let ongoing = Transaction { start_ms: 2, update_ms: 3, ..second(State::Ongoing) };
    let prepared = Transaction {
        state: State::PrepareCommit,
        previous_producer_id: PID,
        next_producer_id: 200,
        ..ongoing
    };
    let (mut key, mut value) = (Vec::new(), Vec::new());
    assert!(record_of("t", &prepared).encode(&mut key, &mut value));
    assert_eq!(key, b"\0\0\0\x01t");
    let mut expected = b"\0\x01".to_vec();
    expected.extend(100i64.to_be_bytes());
    expected.extend(5i16.to_be_bytes());
    expected.extend(60_000i32.to_be_bytes());
    expected.push(2);
    expected.extend(b"\x02\x02a\x02\0\0\0\0\0");
    expected.extend(3i64.to_be_bytes());
    expected.extend(2i64.to_be_bytes());
    // Tags: previous id, next id, client's version.
    expected.extend(b"\x03\x00\x08");
    expected.extend(100i64.to_be_bytes());
    expected.extend(b"\x01\x08");
    expected.extend(200i64.to_be_bytes());
    expected.extend(b"\x02\x02\0\x02");
    assert_eq!(value, expected);
    // Before the first transaction the partitions are null; after one, a list.
    for (state, partitions) in [(State::Empty, 0), (State::CompleteAbort, 1)] {
        value.clear();
        record_of("t", &at(state)).encode(&mut Vec::new(), &mut value);
        assert_eq!(value[17], partitions, "{state:?}");
    }
}
