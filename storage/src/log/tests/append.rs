//! What an append says, and what it leaves unchanged.

use super::*;
use crate::producer::ProducerError;

#[test]
fn offsets_are_dense_and_stamped() {
    let mut bench = Bench::new(config());
    let bytes = batch(BatchOptions::default(), 3, 10, 5);
    let first = bench.append_bytes(&bytes, 4).expect("appended");
    let second = bench.append_bytes(&bytes, 4).expect("appended");
    assert_eq!((first.base_offset, first.last_offset, first.duplicate), (0, 2, false));
    assert_eq!((second.base_offset, second.last_offset), (3, 5));
    let stored = bench.read_all(0, 1 << 20);
    let (_, rest) = Batch::parse(&stored).expect("whole");
    let (stored, _) = Batch::parse(rest).expect("whole");
    assert_eq!(stored.header().base_offset, 3);
    assert_eq!(stored.header().partition_leader_epoch, 4);
    assert_eq!(stored.body(), Batch::parse(&bytes).expect("whole").0.body());
}

#[test]
fn a_repeated_batch_is_answered_and_not_appended() {
    let mut bench = Bench::new(config());
    let bytes = batch(producer(9, 0, 0), 2, 10, 5);
    bench.append(3, 10);
    let first = bench.append_bytes(&bytes, 0).expect("appended");
    let again = bench.append_bytes(&bytes, 0).expect("known");
    let stored = Appended { duplicate: true, log_append_time: 6, ..first };
    assert_eq!(again, stored, "the original's timestamp, as Kafka tells it");
    assert_eq!(bench.log().end_offset(), 5);
    let gap = batch(producer(9, 0, 3), 1, 10, 5);
    let expected = ProducerError::OutOfOrderSequence { expected: 2, found: 3 };
    assert_eq!(bench.append_bytes(&gap, 0), Err(AppendError::Producer(expected)));
}

#[test]
fn refusals_change_nothing() {
    let mut bench = Bench::new(config());
    bench.append(1, 10);
    bench.log().begin_epoch(7);
    let bytes = batch(BatchOptions::default(), 1, 10, 5);
    assert_eq!(bench.append_bytes(&bytes, 6), Err(AppendError::StaleEpoch { latest: 7 }));
    let large = batch(BatchOptions::default(), 1, 1 << 20, 5);
    let refused = Err(AppendError::TooLarge { segment_bytes: 1 << 20 });
    assert_eq!(bench.append_bytes(&large, 7), refused);
    assert_eq!(bench.log().end_offset(), 1);
}

#[test]
fn without_memory_nothing_changes_and_later_it_goes_on() {
    let mut bench = Bench::new(config());
    bench.memory = SimMemory::new(16 << 10);
    bench.append(1, 10_000);
    let bytes = batch(producer(9, 0, 0), 1, 10_000, 5);
    assert_eq!(bench.append_bytes(&bytes, 0), Err(AppendError::NoMemory));
    assert_eq!(bench.log().producers().count(), 0);
    bench.settle();
    assert_eq!(bench.log().evict(u64::MAX), 16 << 10);
    assert_eq!(bench.append_bytes(&bytes, 0).expect("appended").base_offset, 1);
    bench.settle();
    assert_eq!(bench.read_all(0, 1 << 20).len(), 20_144);
}

#[test]
fn a_batch_that_does_not_fit_rolls() {
    let mut bench = Bench::new(config());
    for _ in 0..3 {
        bench.append(1, 500_000);
    }
    assert_eq!(bench.log().segments_count(), 2);
    bench.settle();
    assert_eq!(bench.log().recovery_point(), 2);
    let files = bench.files();
    assert!(files.contains(&"2.snapshot 10".to_owned()), "{files:?}");
    assert!(files.contains(&".log 1000144".to_owned()), "{files:?}");
}

#[test]
fn a_segment_rolls_when_its_batches_are_old() {
    let mut bench = Bench::new(LogConfig { segment_ms: 100, ..config() });
    for timestamp in [1000, 1100, 1101, 1150] {
        let bytes = batch(BatchOptions::default(), 1, 10, timestamp);
        bench.append_bytes(&bytes, 0).expect("appended");
    }
    let bases: Vec<_> = bench.log().segments.iter().map(|s| s.base_offset).collect();
    assert_eq!(bases, [0, 2]);
}
