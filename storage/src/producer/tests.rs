use super::*;

fn batch(producer_id: i64, epoch: i16, first_sequence: i32, records: i32) -> ProducerBatch {
    ProducerBatch {
        producer_id,
        epoch,
        first_sequence,
        offset_delta: records - 1,
        base_offset: 0,
        timestamp: 0,
        transactional: false,
    }
}

/// Checks and, if it is new, appends at `base_offset`.
fn offer(table: &mut ProducerTable, b: ProducerBatch, base_offset: i64) -> String {
    match table.check(&b, Origin::Client) {
        Ok(Verdict::Append) => {
            table.update(&ProducerBatch { base_offset, timestamp: base_offset, ..b });
            "append".into()
        }
        Ok(Verdict::Duplicate(known)) => format!("{}..{}", known.base_offset(), known.last_offset),
        Err(ProducerError::OutOfOrderSequence { expected, .. }) => format!("want {expected}"),
        Err(ProducerError::InvalidEpoch { current, .. }) => format!("epoch {current}"),
        Err(ProducerError::TableFull) => "full".into(),
        Err(ProducerError::InvalidTxnState) => "outside".into(),
        Err(ProducerError::CoordinatorFenced { .. }) => panic!("no marker"),
    }
}

fn marker(producer_id: i64, producer_epoch: i16, coordinator_epoch: i32) -> Marker {
    Marker { producer_id, producer_epoch, committed: false, coordinator_epoch }
}

/// (epoch, first sequence, records) → what happens, in order; new batches get the next offsets.
fn check(steps: &[(i16, i32, i32, &str)]) {
    let mut table = ProducerTable::new(10);
    let mut end = 100;
    for &(epoch, first, records, expected) in steps {
        let found = offer(&mut table, batch(7, epoch, first, records), end);
        assert_eq!(found, expected, "epoch {epoch}, first sequence {first}, {records} records");
        if found == "append" {
            end += i64::from(records);
        }
    }
}

#[test]
fn sequences_follow_each_other() {
    check(&[
        (0, 0, 3, "append"),
        (0, 3, 1, "append"),
        (0, 5, 1, "want 4"),
        (0, 2, 1, "want 4"),
        (0, 4, 1, "append"),
    ]);
}

#[test]
fn an_unknown_producer_may_begin_anywhere() {
    check(&[(3, 77, 1, "append"), (3, 78, 1, "append")]);
}

#[test]
fn the_last_five_are_answered_with_their_offsets() {
    check(&[
        (0, 0, 10, "append"),
        (0, 10, 1, "append"),
        (0, 11, 1, "append"),
        (0, 12, 1, "append"),
        (0, 13, 2, "append"),
        (0, 0, 10, "100..109"),
        (0, 13, 2, "113..114"),
        (0, 13, 1, "want 15"),
        (0, 0, 9, "want 15"),
        (0, 15, 1, "append"),
        (0, 0, 10, "want 16"),
        (0, 10, 1, "110..110"),
    ]);
}

#[test]
fn the_sequence_wraps_to_zero() {
    const MAX: i32 = i32::MAX;
    check(&[
        (0, MAX - 1, 1, "append"),
        (0, MAX, 1, "append"),
        (0, i32::MIN, 1, "want 0"),
        (0, 0, 1, "append"),
        (0, MAX, 1, "101..101"),
    ]);
    check(&[(0, MAX - 1, 4, "append"), (0, MAX - 1, 4, "100..103"), (0, 2, 1, "append")]);
    assert_eq!(sequence_after(MAX, 1), 0);
    assert_eq!(sequence_before(0, 1), MAX);
    assert_eq!(sequence_before(2, 5), MAX - 2);
}

#[test]
fn a_new_epoch_begins_at_zero_and_fences_the_old() {
    check(&[
        (0, 0, 1, "append"),
        (1, 1, 1, "want 0"),
        (1, 0, 1, "append"),
        (0, 1, 1, "epoch 1"),
        (0, 0, 1, "epoch 1"),
        (1, 0, 1, "101..101"),
        (1, 1, 1, "append"),
    ]);
}

#[test]
fn silent_producers_expire_but_not_open_transactions() {
    let mut table = ProducerTable::new(10);
    table.update(&ProducerBatch { timestamp: 1000, ..batch(1, 0, 0, 1) });
    table.update(&ProducerBatch { timestamp: 2000, ..batch(2, 0, 0, 1) });
    let open =
        ProducerBatch { timestamp: 1000, transactional: true, base_offset: 9, ..batch(3, 0, 0, 1) };
    table.update(&open);
    assert_eq!(table.first_unstable_offset(), Some(9));
    assert_eq!(table.expire(1999, 1000), 0);
    assert_eq!(table.expire(2000, 1000), 1);
    assert!(table.get(1).is_none() && table.get(2).is_some() && table.get(3).is_some());
    table.update_marker(&marker(3, 0, 4), 10, 1000);
    assert_eq!((table.first_unstable_offset(), table.expire(2000, 1000)), (None, 1));
}

#[test]
fn a_full_table_forgets_the_longest_silent() {
    let mut table = ProducerTable::new(3);
    for id in 0..10 {
        assert_eq!(offer(&mut table, batch(id, 0, 0, 1), 100 + id), "append");
        assert!(table.count() <= 3);
    }
    assert!(table.get(9).is_some() && table.get(8).is_some() && table.get(7).is_some());
    let mut table = ProducerTable::new(1);
    table.update(&ProducerBatch { transactional: true, ..batch(1, 0, 0, 1) });
    assert_eq!(table.check(&batch(2, 0, 0, 1), Origin::Client), Err(ProducerError::TableFull));
    table.update_marker(&marker(2, 0, 0), 7, 0);
    assert_eq!((table.count(), table.first_unstable_offset()), (2, Some(0)), "one marker more");
    assert_eq!(offer(&mut table, batch(3, 0, 0, 1), 9), "append");
    assert_eq!(
        (table.count(), table.first_unstable_offset()),
        (2, Some(0)),
        "and no open one less"
    );
}

#[test]
fn a_marker_that_bumps_the_epoch_forgets_the_batches() {
    let mut table = ProducerTable::new(3);
    table.update(&batch(1, 0, 0, 5));
    assert_eq!(table.update_marker(&marker(1, 0, 2), 5, 50), None);
    assert_eq!(table.get(1).unwrap().batches().len(), 1);
    table.update_marker(&marker(1, 1, 3), 6, 60);
    let entry = table.get(1).unwrap();
    assert_eq!((entry.epoch, entry.coordinator_epoch, entry.batches().len()), (1, 3, 0));
    assert_eq!(offer(&mut table, batch(1, 1, 5, 1), 0), "want 0");
    assert_eq!(offer(&mut table, batch(1, 1, 0, 1), 0), "append");
}

fn transactional(producer_id: i64, epoch: i16, first_sequence: i32) -> ProducerBatch {
    ProducerBatch { transactional: true, ..batch(producer_id, epoch, first_sequence, 1) }
}

#[test]
fn rule_26_version_2_begins_what_nobody_knows_at_zero() {
    let mut table = ProducerTable::new(3);
    let verdict = |table: &ProducerTable, b: ProducerBatch, origin| match table.check(&b, origin) {
        Ok(Verdict::Append) => "append".to_owned(),
        Err(ProducerError::OutOfOrderSequence { expected, .. }) => format!("want {expected}"),
        other => panic!("{other:?}"),
    };
    let (first, second) = (Origin::Client, Origin::ClientOfVersion2);
    assert_eq!(verdict(&table, transactional(1, 0, 5), first), "append");
    assert_eq!(verdict(&table, transactional(1, 0, 5), second), "want 0");
    assert_eq!(verdict(&table, transactional(1, 0, 0), second), "append");
    assert_eq!(verdict(&table, batch(1, 0, 5, 1), second), "append", "not in a transaction");
    table.update(&transactional(1, 0, 0));
    assert_eq!(verdict(&table, transactional(1, 0, 1), second), "append", "now it is known");
}

#[test]
fn rule_36_nothing_outside_of_an_open_transaction() {
    let mut table = ProducerTable::new(3);
    table.update(&transactional(1, 0, 0));
    assert_eq!(offer(&mut table, batch(1, 0, 1, 1), 5), "outside");
    assert_eq!(offer(&mut table, batch(1, 1, 0, 1), 5), "outside", "nor under a new epoch");
    assert_eq!(offer(&mut table, batch(1, 0, 2, 1), 5), "want 1", "sequences first, as in Kafka");
    assert_eq!(offer(&mut table, transactional(1, 0, 1), 5), "append");
    table.update_marker(&marker(1, 0, 0), 6, 0);
    assert_eq!(offer(&mut table, batch(1, 0, 2, 1), 7), "append");
}

#[test]
fn a_coordinators_records_have_an_epoch_and_no_sequence() {
    let mut table = ProducerTable::new(3);
    for base_offset in 0..3 {
        let b = ProducerBatch { base_offset, ..transactional(1, 4, 0) };
        assert_eq!(table.check(&b, Origin::Coordinator), Ok(Verdict::Append));
        table.update(&b);
    }
    let old = table.check(&transactional(1, 3, 0), Origin::Coordinator);
    assert_eq!(old, Err(ProducerError::InvalidEpoch { current: 4, found: 3 }));
    let outside = table.check(&batch(1, 4, 0, 1), Origin::Coordinator);
    assert_eq!(outside, Err(ProducerError::InvalidTxnState));
}

/// Epoch 5 of producer 1 with a transaction open or not, whose last marker was of coordinator
/// epoch 3; a marker; what becomes of it.
#[test]
fn rule_35_markers_are_fenced_by_version() {
    use ProducerError::{CoordinatorFenced, InvalidEpoch};
    let fenced = |found| Err(InvalidEpoch { current: 5, found });
    let zombie = Err(CoordinatorFenced { current: 3, found: 2 });
    let cases = [
        (true, 1, marker(1, 5, 3), Ok(())),
        (true, 1, marker(1, 6, 3), Ok(())),
        (true, 1, marker(1, 4, 3), fenced(4)),
        (true, 1, marker(1, 5, 2), zombie),
        (true, 0, marker(1, 5, 4), Ok(())),
        (false, 1, marker(1, 5, 3), Ok(())),
        (true, 2, marker(1, 6, 3), Ok(())),
        (true, 2, marker(1, 9, 3), Ok(())),
        (true, 2, marker(1, 5, 3), fenced(5)),
        (true, 2, marker(1, 4, 3), fenced(4)),
        (true, 2, marker(1, 5, 2), fenced(5)),
        (true, 2, marker(1, 6, 2), zombie),
        (false, 2, marker(1, 5, 3), Ok(())),
        (false, 2, marker(1, 5, 2), zombie),
        (false, 2, marker(1, 4, 3), fenced(4)),
        (true, 2, marker(2, 0, 0), Ok(())),
    ];
    for (is_open, version, marker, expected) in cases {
        let mut table = ProducerTable::new(3);
        table.update_marker(&Marker { coordinator_epoch: 3, ..marker_of(1, 5) }, 0, 0);
        if is_open {
            table.update(&ProducerBatch { base_offset: 1, ..transactional(1, 5, 0) });
        }
        let found = table.check_marker(&marker, version);
        assert_eq!(found, expected, "open {is_open}, version {version}, {marker:?}");
    }
}

fn marker_of(producer_id: i64, producer_epoch: i16) -> Marker {
    marker(producer_id, producer_epoch, 0)
}

#[test]
fn a_marker_ends_what_is_open_and_says_what_is_stable() {
    let mut table = ProducerTable::new(3);
    for (id, base_offset) in [(1, 10), (2, 20)] {
        table.update(&ProducerBatch { base_offset, ..transactional(id, 0, 0) });
    }
    assert_eq!(table.open_transactions().collect::<Vec<_>>(), [(10, 1), (20, 2)]);
    let txn = |producer_id, first_offset, last_offset, last_stable_offset| AbortedTxn {
        producer_id,
        first_offset,
        last_offset,
        last_stable_offset,
    };
    let ended = table.update_marker(&marker_of(2, 1), 30, 0);
    assert_eq!(ended, Some(Completed { txn: txn(2, 20, 30, 10), committed: false }));
    assert_eq!(table.first_unstable_offset(), Some(10));
    assert_eq!(table.update_marker(&marker_of(2, 1), 31, 0), None, "written again");
    let commit = Marker { committed: true, ..marker_of(1, 1) };
    let ended = table.update_marker(&commit, 32, 0);
    assert_eq!(ended, Some(Completed { txn: txn(1, 10, 32, 33), committed: true }));
    assert_eq!(table.first_unstable_offset(), None);
    // A snapshot carries what is open.
    table.update(&ProducerBatch { base_offset: 40, ..transactional(1, 1, 0) });
    let read = ProducerTable::decode_snapshot(&table.encode_snapshot(), 3).unwrap();
    assert_eq!(read.open_transactions().collect::<Vec<_>>(), [(40, 1)]);
}

fn sample() -> ProducerTable {
    let mut table = ProducerTable::new(100);
    for id in 0..20i64 {
        for n in 0..7 {
            table.update(&ProducerBatch {
                base_offset: 1000 + id * 100 + i64::from(n),
                timestamp: 5000 + id,
                transactional: id % 3 == 0,
                ..batch(id, (id % 4) as i16, n, 1)
            });
        }
    }
    table.update_marker(&marker(19, 9, 2), 9000, 7000);
    table
}

#[test]
fn a_snapshot_keeps_the_last_batch_of_each() {
    let table = sample();
    let bytes = table.encode_snapshot();
    assert_eq!(bytes.len(), ENTRIES_AT + 20 * ENTRY_BYTES);
    let read = ProducerTable::decode_snapshot(&bytes, 100).unwrap();
    assert_eq!(read.count(), 20);
    for (id, entry) in table.iter() {
        let found = read.get(id).unwrap();
        assert_eq!(found.last(), entry.last());
        assert_eq!(found.batches().len(), entry.batches().len().min(1));
        assert_eq!(found.transaction_first_offset, entry.transaction_first_offset);
        assert_eq!((found.epoch, found.timestamp), (entry.epoch, entry.timestamp));
    }
    assert_eq!(read.encode_snapshot(), bytes);
}

#[test]
fn an_empty_snapshot_is_ten_bytes() {
    let bytes = ProducerTable::new(1).encode_snapshot();
    let crc = crc32c::crc32c(&[0; 4]).to_be_bytes();
    assert_eq!(bytes, [&[0, 1][..], &crc, &[0; 4]].concat());
    assert_eq!(ProducerTable::decode_snapshot(&bytes, 1).unwrap().count(), 0);
}

/// The bytes with the checksum made right again.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&bytes[COUNT_AT..]).to_be_bytes();
    bytes[CRC_AT..COUNT_AT].copy_from_slice(&crc);
    bytes
}

#[test]
fn broken_snapshots_are_refused_with_the_reason() {
    let good = sample().encode_snapshot();
    let decode = |bytes: &[u8]| ProducerTable::decode_snapshot(bytes, 20).map(|t| t.count());
    for cut in 0..good.len() {
        assert!(decode(&good[..cut]).is_err(), "cut at {cut}");
    }
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&bytes).is_err(), "bit {bit}");
    }
    let mut huge = good.clone();
    huge[COUNT_AT..ENTRIES_AT].copy_from_slice(&[0xff; 4]);
    assert_eq!(decode(&sealed(huge)), Err(SnapshotError::Size { bytes: good.len() }));
    let mut twice = good.clone();
    twice.copy_within(ENTRIES_AT..ENTRIES_AT + ENTRY_BYTES, ENTRIES_AT + ENTRY_BYTES);
    assert_eq!(decode(&sealed(twice)), Err(SnapshotError::Entry { at: 1 }));
    let mut negative = good.clone();
    negative[ENTRIES_AT] = 0x80;
    assert_eq!(decode(&sealed(negative)), Err(SnapshotError::Entry { at: 0 }));
    let too_many = ProducerTable::decode_snapshot(&good, 19).map(|t| t.count());
    assert_eq!(too_many, Err(SnapshotError::TooMany { count: 20 }));
}
