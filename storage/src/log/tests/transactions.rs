//! Transactions in the log: what is stable, what was aborted, and the files that say so.

use super::*;
use crate::producer::ProducerError;
use crate::transaction::{ABORTED_PER_SEGMENT_MAX, AbortedTxn, Marker};
use crate::{AbortedPlan, AbortedSearch};

impl Bench {
    /// A batch of one record in a transaction; its offset.
    fn write(&mut self, producer_id: i64, sequence: i32, value_bytes: usize) -> i64 {
        let options = BatchOptions { transactional: true, ..producer(producer_id, 0, sequence) };
        let bytes = batch(options, 1, value_bytes, 1000);
        self.append_bytes(&bytes, 0).expect("appended").base_offset
    }

    fn end(&mut self, producer_id: i64, committed: bool) -> Result<i64, AppendError> {
        let marker = Marker { producer_id, producer_epoch: 0, committed, coordinator_epoch: 0 };
        let log = self.log.as_mut().expect("the log is open");
        let appended = log.append_marker(self.now_ms, &mut self.memory, &marker, 1, 0)?;
        assert_eq!(appended.base_offset, appended.last_offset);
        Ok(appended.base_offset)
    }

    fn stable(&mut self, high_watermark: i64) -> i64 {
        self.log().last_stable_offset(high_watermark)
    }

    /// (producer, first, marker, last stable) of those that the reader of a range meets, and how
    /// many files were read for it.
    fn aborted(&mut self, from: i64, upto: i64) -> (Vec<[i64; 4]>, usize) {
        let (mut search, mut files) = (AbortedSearch::new(from, upto), 0);
        while let Some(plan) = self.log().find_aborted(&mut search).expect("it is there") {
            files += 1;
            let bytes = self.file(&plan.path);
            if self.log().load_aborted(&mut search, &plan, &bytes).expect("an index") {
                break;
            }
        }
        let fields = |txn: AbortedTxn| {
            [txn.producer_id, txn.first_offset, txn.last_offset, txn.last_stable_offset]
        };
        (search.found().into_iter().map(fields).collect(), files)
    }
}

#[test]
fn rule_38_stable_is_what_is_decided_on_every_replica() {
    let mut bench = Bench::new(config());
    assert_eq!(bench.stable(0), 0);
    bench.append(1, 10);
    assert_eq!(bench.stable(1), 1, "nothing is in a transaction");
    assert_eq!((bench.write(7, 0, 10), bench.write(8, 0, 10)), (1, 2));
    assert_eq!((bench.stable(3), bench.stable(2), bench.stable(1), bench.stable(0)), (1, 1, 1, 0));
    assert_eq!(bench.log().open_transaction(7), Some(1));
    assert!(bench.log().has_open_transaction(8, 0) && !bench.log().has_open_transaction(8, 1));
    assert_eq!(bench.end(7, true), Ok(3));
    assert_eq!((bench.stable(4), bench.stable(3)), (2, 1), "its marker has to be below as well");
    assert_eq!(bench.end(8, false), Ok(4));
    assert_eq!((bench.stable(5), bench.stable(4), bench.stable(3)), (5, 2, 1));
    bench.log().replicated(4);
    assert_eq!((bench.stable(5), bench.stable(4)), (5, 2));
    bench.log().replicated(5);
    assert_eq!(bench.stable(5), 5);
    assert_eq!(bench.log().open_transaction(7), None);
}

#[test]
fn deleted_records_are_decided() {
    let mut bench = Bench::new(config());
    bench.write(7, 0, 10);
    bench.append(3, 10);
    bench.settle();
    bench.log().advance_log_start(2);
    assert_eq!((bench.stable(4), bench.stable(1)), (2, 1));
    let mut search = AbortedSearch::new(1, 4);
    let gone = ReadError::OutOfRange { log_start: 2, end: 4 };
    assert_eq!(bench.log().find_aborted(&mut search), Err(gone));
}

#[test]
fn rule_39_a_reader_is_told_of_what_it_meets() {
    let mut bench = Bench::new(config());
    for (id, sequence) in [(7, 0), (8, 0), (7, 1)] {
        bench.write(id, sequence, 10);
    }
    assert_eq!(bench.end(8, false), Ok(3));
    bench.append(2, 10);
    assert_eq!(bench.end(7, false), Ok(6));
    bench.write(9, 0, 10);
    assert_eq!(bench.end(9, true), Ok(8));
    assert_eq!(bench.end(9, false), Ok(9), "with nothing open it aborts nothing");
    let (eight, seven) = ([8, 1, 3, 0], [7, 0, 6, 7]);
    for (from, upto, wanted) in [
        (0, 10, vec![eight, seven]),
        (0, 1, vec![seven]),
        (1, 2, vec![eight, seven]),
        (3, 4, vec![eight, seven]),
        (4, 5, vec![seven]),
        (6, 7, vec![seven]),
        (7, 10, vec![]),
        (0, 0, vec![]),
    ] {
        assert_eq!(bench.aborted(from, upto), (wanted, 0), "{from}..{upto}");
    }
}

#[test]
fn a_search_ends_where_everything_was_decided() {
    let txn = |first_offset, last_offset, last_stable_offset| AbortedTxn {
        producer_id: 1,
        first_offset,
        last_offset,
        last_stable_offset,
    };
    let all = [txn(1, 5, 3), txn(3, 7, 8), txn(9, 12, 13)];
    let search = |from, upto| {
        let mut search = AbortedSearch::new(from, upto);
        let has_ended = search.take(0, &all);
        (search.found().len(), has_ended)
    };
    assert_eq!(search(0, 3), (1, true));
    assert_eq!(search(0, 8), (2, true));
    assert_eq!(search(6, 8), (1, true));
    assert_eq!(search(0, 13), (3, true));
    assert_eq!(search(0, 14), (3, false), "a later segment may say more");
    assert_eq!(search(13, 14), (0, false));
}

#[test]
fn a_markers_errors_are_told_and_change_nothing() {
    let mut bench = Bench::new(config());
    bench.write(7, 0, 10);
    let mut write = |producer_id, producer_epoch, version| {
        let marker = Marker { producer_id, producer_epoch, committed: true, coordinator_epoch: 0 };
        let log = bench.log.as_mut().expect("the log is open");
        log.append_marker(1000, &mut bench.memory, &marker, version, 0)
    };
    let fenced = ProducerError::InvalidEpoch { current: 0, found: 0 };
    assert_eq!(write(7, 0, 2), Err(AppendError::Producer(fenced)));
    assert_eq!(write(-1, 0, 1), Err(AppendError::Malformed));
    assert_eq!(write(7, -1, 1), Err(AppendError::Malformed));
    assert_eq!(bench.log().end_offset(), 1);
    assert_eq!(bench.log().open_transaction(7), Some(0));
}

/// The sizes of the indexes of aborted transactions, by name.
fn indexes(bench: &Bench) -> Vec<String> {
    bench.files().into_iter().filter(|name| name.contains("txnindex")).collect()
}

#[test]
fn the_index_lies_beside_its_segment_from_the_roll_on() {
    let mut bench = Bench::new(LogConfig { segment_bytes: 16 << 10, ..config() });
    // Three aborted transactions; a segment holds two, and the second's marker falls behind.
    for (id, bytes) in [(7, 4000), (8, 12_100), (9, 100)] {
        bench.write(id, 0, bytes);
        bench.end(id, false).expect("appended");
        bench.settle();
    }
    assert_eq!(bench.log().segments_count(), 2);
    assert_eq!(indexes(&bench), [".txnindex 34"]);
    let all = vec![[7, 0, 1, 2], [8, 2, 3, 4], [9, 4, 5, 6]];
    assert_eq!(bench.aborted(0, 6), (all.clone(), 0));
    bench.close();
    assert_eq!(indexes(&bench), [".txnindex 34", "3.txnindex 68"]);
    bench.open(config(), CLEAN).expect("it opens");
    assert!(bench.report.clean);
    assert_eq!(bench.aborted(0, 6), (all.clone(), 1), "that of the closed segment is read");
    assert_eq!(bench.aborted(0, 6), (all, 0), "once");
    assert_eq!(bench.aborted(0, 2), (vec![[7, 0, 1, 2]], 0));
    // Nothing has changed: nothing is written.
    bench.close();
    assert_eq!(indexes(&bench), [".txnindex 34", "3.txnindex 68"]);
}

#[test]
fn a_recovery_point_takes_the_index_along() {
    let mut bench = Bench::new(config());
    bench.write(7, 0, 10);
    bench.end(7, false).expect("appended");
    bench.settle();
    assert!(indexes(&bench).is_empty());
    bench.log().checkpoint();
    bench.settle();
    assert_eq!(indexes(&bench), [".txnindex 34"]);
    // After a crash: what is below it is in the file, what is above in the batches.
    bench.write(8, 0, 10);
    bench.end(8, false).expect("appended");
    bench.write(9, 0, 10);
    bench.settle();
    let recovery_point = bench.log().recovery_point();
    assert_eq!(recovery_point, 2);
    bench.log = None;
    bench.open(config(), RecoveryHint { recovery_point, ..CRASHED }).expect("it opens");
    assert_eq!(bench.report.snapshot, Some(2));
    assert_eq!(bench.aborted(0, 5), (vec![[7, 0, 1, 2], [8, 2, 3, 4]], 0));
    assert_eq!((bench.stable(5), bench.log().open_transaction(9)), (4, Some(4)));
    assert_eq!(indexes(&bench), [".txnindex 68"]);
}

#[test]
fn entries_that_outlived_their_markers_are_dropped() {
    let mut bench = Bench::new(config());
    bench.write(7, 0, 10);
    bench.end(7, false).expect("appended");
    bench.settle();
    bench.log().checkpoint();
    bench.settle();
    let log = bench.log.as_mut().expect("the log is open");
    log.truncate_to(&mut bench.disk, 1).expect("it is cut");
    assert_eq!(bench.aborted(0, 1), (vec![], 0));
    assert_eq!((bench.stable(1), indexes(&bench)), (0, vec![]));
    assert_eq!(bench.end(7, true), Ok(1));
    assert_eq!(bench.stable(2), 2);
}

#[test]
fn an_index_that_is_none_is_made_anew_from_the_log() {
    let mut bench = Bench::new(LogConfig { segment_bytes: 16 << 10, ..config() });
    for sequence in 0..20 {
        bench.write(7, sequence, 4000);
        bench.end(7, false).expect("appended");
    }
    bench.close();
    let first = Path::new(DIR).join("00000000000000000000.txnindex");
    let good = bench.disk.read_file(&first).expect("it is there");
    for bad in [&good[1..], &[0; 34][..], &[&good[..], &[0; 34]].concat()] {
        bench.disk.replace(&first, bad).expect("replaced");
        bench.open(config(), CLEAN).expect("it opens");
        let (found, _) = bench.aborted(0, 40);
        assert_eq!(found.len(), 20);
        assert!(found.iter().zip(0..).all(|(txn, n)| txn[1..] == [2 * n, 2 * n + 1, 2 * n + 2]));
        assert_eq!(bench.disk.read_file(&first), Ok(good.clone()));
        bench.close();
    }
    // Its last entry is good, one before is not: who needs it hears of it.
    let mut bad = good.clone();
    bad[9] ^= 1;
    bad[17] = 0xff;
    bench.disk.replace(&first, &bad).expect("replaced");
    bench.open(config(), CLEAN).expect("it opens");
    let mut search = AbortedSearch::new(0, 2);
    let plan = bench.log().find_aborted(&mut search).expect("it is there").expect("a file");
    let corrupt = ReadError::Corrupt { base_offset: 0, position: 0 };
    assert_eq!(bench.log().load_aborted(&mut search, &plan, &bad), Err(corrupt));
    let gone = AbortedPlan { file: crate::FileId(999), ..plan };
    assert_eq!(bench.log().load_aborted(&mut search, &gone, &good), Err(ReadError::Stale));
}

#[test]
fn a_segment_rolls_before_its_index_is_too_large_to_hold() {
    let mut bench = Bench::new(LogConfig { segment_bytes: 64 << 20, ..config() });
    let aborted = bench.log().active_mut().aborted_mut();
    let txn = |n| AbortedTxn {
        producer_id: 1,
        first_offset: n,
        last_offset: n + 1,
        last_stable_offset: n + 2,
    };
    aborted.extend((0..ABORTED_PER_SEGMENT_MAX as i64 - 1).map(txn));
    bench.write(7, 0, 10);
    bench.end(7, false).expect("appended");
    assert_eq!(bench.log().segments_count(), 1);
    bench.append(1, 10);
    assert_eq!(bench.log().segments_count(), 2);
}

#[test]
fn the_index_outlives_its_segment() {
    let mut bench = Bench::new(LogConfig { segment_bytes: 16 << 10, ..config() });
    for (id, bytes) in [(7, 4000), (8, 12_100)] {
        bench.write(id, 0, bytes);
        bench.end(id, false).expect("appended");
        bench.settle();
    }
    bench.log().advance_log_start(3);
    // Should the log not go, what it says was aborted is still known.
    let [removal] = bench.ops().try_into().expect("one op");
    let (id, what) = removal.split_once(' ').expect("a number and an op");
    assert_eq!(what, "retire .index .timeindex .log");
    bench.done(id.parse().expect("a number"));
    bench.settle();
    assert!(indexes(&bench).is_empty());
}
