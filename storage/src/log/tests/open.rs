//! Opening after a clean stop, after a crash, and over what should not be there.

use super::*;
use crate::CutReason;

fn reopened(bench: &mut Bench, hint: RecoveryHint) {
    bench.log = None;
    bench.open(config(), hint).expect("opens");
}

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

const LOG: &str = "00000000000000000000.log";

#[test]
fn an_empty_log_leaves_what_kafka_leaves() {
    let mut bench = Bench::new(config());
    bench.close();
    assert_eq!(
        bench.files(),
        [
            ".index 0",
            ".log 0",
            ".timeindex 0",
            "leader-epoch-checkpoint 4",
            "partition.metadata 43"
        ]
    );
    reopened(&mut bench, CLEAN);
    assert_eq!(bench.log().end_offset(), 0);
    assert!(bench.report.clean);
}

#[test]
fn a_clean_stop_opens_without_a_scan() {
    let mut bench = Bench::new(config());
    bench.append_bytes(&batch(producer(5, 1, 0), 4, 100, 7), 3).expect("appended");
    bench.append_bytes(&batch(BatchOptions::default(), 400, 1500, 7), 3).expect("appended");
    for _ in 0..900 {
        bench.append_bytes(&batch(BatchOptions::default(), 1, 1500, 7), 3).expect("appended");
    }
    let before = bench.read_all(0, 1 << 20);
    bench.close();
    let files = bench.files();
    reopened(&mut bench, RecoveryHint { recovery_point: 1304, ..CLEAN });
    assert_eq!(bench.log().end_offset(), 1304);
    assert!(bench.report.clean && bench.report.rebuilt_indexes.is_empty());
    assert!(bench.report.scanned_bytes < 8192, "{:?}", bench.report);
    assert!(bench.read_all(0, 1 << 20) == before);
    assert_eq!(bench.log().producers().count(), 1);
    assert_eq!(bench.log().epochs().latest().map(|e| e.epoch), Some(3));
    bench.close();
    assert_eq!(bench.files(), files, "opening and closing changes nothing");
}

#[test]
fn five_batches_in_flight_are_recognised_after_any_reopen() {
    // In one segment, and three to a segment.
    for value_bytes in [100, 150_000] {
        recognises_five_batches(value_bytes);
    }
}

fn recognises_five_batches(value_bytes: usize) {
    let mut bench = Bench::new(config());
    let sent: Vec<_> = (0..7).map(|n| batch(producer(5, 1, n * 2), 2, value_bytes, 7)).collect();
    for bytes in &sent {
        bench.append_bytes(bytes, 0).expect("appended");
    }
    bench.settle();
    // A crash, another one at once (the first recovery left a snapshot at the end), a clean stop.
    for hint in [CRASHED, RecoveryHint { recovery_point: 14, ..CRASHED }, CLEAN] {
        if hint.clean {
            bench.close();
        }
        reopened(&mut bench, hint);
        for (n, bytes) in sent.iter().enumerate() {
            let again = bench.append_bytes(bytes, 0);
            match n {
                0 | 1 => assert!(matches!(again, Err(AppendError::Producer(_))), "{n}"),
                _ => {
                    let again = again.expect("recognised");
                    assert!(again.duplicate, "{n} after {hint:?}");
                    assert_eq!(again.base_offset, n as i64 * 2);
                }
            }
        }
    }
    assert_eq!(bench.log().end_offset(), 14);
}

#[test]
fn after_a_reopen_the_tail_block_goes_on() {
    let mut bench = Bench::new(config());
    for round in 0..30 {
        bench.append(1 + round % 3, 700 * (round as usize % 4));
        bench.close();
        reopened(&mut bench, CLEAN);
    }
    let end = bench.log().end_offset();
    bench.append(3, 5000);
    bench.settle();
    bench.log().evict(u64::MAX);
    bench.read_all(0, 9000);
    assert_eq!(bench.log().end_offset(), end + 3);
}

#[test]
fn a_crash_keeps_what_was_written_and_cuts_the_rest() {
    let mut bench = Bench::new(config());
    bench.append(50, 1000);
    bench.settle();
    let written = bench.read_all(0, 1 << 20);
    reopened(&mut bench, CRASHED);
    assert_eq!(bench.log().end_offset(), 50);
    let cut = bench.report.cut.expect("the allocated space is cut");
    assert_eq!((cut.offset, cut.reason), (50, CutReason::Unwritten));
    assert!(!bench.report.is_loss());
    assert!(bench.read_all(0, 1 << 20) == written);
    assert_eq!(bench.log().recovery_point(), 50);
    reopened(&mut bench, RecoveryHint { recovery_point: 50, ..CRASHED });
    assert!(bench.report.scanned_bytes < 8192, "{:?}", bench.report);
    assert_eq!(bench.report.snapshot, Some(50));
}

#[test]
fn a_bad_batch_ends_the_log_and_is_reported() {
    let mut bench = Bench::new(config());
    bench.append(50, 1000);
    bench.settle();
    let size = bench.read(0, 1, 1, true).expect("hot").len() as u64;
    bench.disk.write_at(&path(LOG), 20 * size + 500, b"not what it was").expect("written");
    reopened(&mut bench, CRASHED);
    let cut = bench.report.cut.expect("cut");
    assert_eq!((cut.offset, cut.position, cut.reason), (20, 20 * size, CutReason::Crc));
    assert!(bench.report.is_loss());
    assert_eq!(bench.log().end_offset(), 20);
    bench.append(1, 10);
    bench.settle();
    bench.read_all(0, 1 << 20);
}

#[test]
fn a_bad_batch_in_an_older_segment_removes_the_later_ones() {
    let mut bench = Bench::new(config());
    bench.append(3, 500_000);
    bench.settle();
    bench.disk.write_at(&path(LOG), 700_000, b"not what it was").expect("written");
    reopened(&mut bench, CRASHED);
    assert_eq!(bench.log().end_offset(), 1);
    assert_eq!(bench.report.removed_segments, [2]);
    assert!(!bench.files().iter().any(|file| file.starts_with("2.")), "{:?}", bench.files());
}

#[test]
fn a_marker_over_a_bad_tail_is_not_believed() {
    let mut bench = Bench::new(config());
    bench.append(50, 1000);
    bench.close();
    let size = bench.disk.size(&path(LOG)).expect("there");
    bench.disk.write_at(&path(LOG), size, &[0; 4096]).expect("written");
    reopened(&mut bench, RecoveryHint { recovery_point: 50, ..CLEAN });
    assert!(!bench.report.clean);
    assert_eq!(bench.log().end_offset(), 50);
    assert_eq!(bench.disk.size(&path(LOG)), Ok(size));
}

#[test]
fn missing_files_are_rebuilt() {
    let mut bench = Bench::new(config());
    bench.append_bytes(&batch(producer(5, 1, 0), 4, 100, 7), 3).expect("appended");
    for _ in 0..1200 {
        bench.append_bytes(&batch(BatchOptions::default(), 1, 1500, 7), 3).expect("appended");
    }
    bench.close();
    let files = bench.files();
    for (file, _) in bench.disk.files() {
        let name = file.file_name().and_then(|name| name.to_str()).expect("text");
        if !name.ends_with(".log") && name != "partition.metadata" {
            bench.disk.remove(&file).expect("removed");
        }
    }
    reopened(&mut bench, CLEAN);
    assert_eq!(bench.log().producers().count(), 1, "replayed from the first batch");
    assert_eq!(bench.log().epochs().latest().map(|e| e.epoch), Some(3));
    bench.read_all(0, 1 << 20);
    bench.close();
    let at_bases = |name: &String| !name.ends_with(".snapshot 56") || name.starts_with("1204");
    let expected: Vec<_> = files.into_iter().filter(at_bases).collect();
    assert_eq!(bench.files(), expected);
}

#[test]
fn another_topics_directory_is_refused() {
    let mut bench = Bench::new(config());
    let opened: Result<(Log<SimMemory>, _), _> =
        Log::open(&mut bench.disk, DIR, config(), CLEAN, Uuid([8; 16]));
    assert!(matches!(opened, Err(OpenError::TopicId { .. })));
}

#[test]
fn truncation_takes_whole_batches_and_all_that_knew_of_them() {
    let mut bench = Bench::new(config());
    bench.append(100, 1000);
    bench.append_bytes(&batch(producer(5, 1, 0), 4, 100, 7), 3).expect("appended");
    bench.append_bytes(&batch(BatchOptions::default(), 1, 10, 7), 3).expect("appended");
    bench.settle();
    let whole = bench.read_all(0, 1 << 20);
    let mut log = bench.log.take().expect("open");
    bench.disk.attach(Path::new(DIR));
    let report = log.truncate_to(&mut bench.disk, 102).expect("truncated");
    assert!(!report.is_loss());
    bench.log = Some(log);
    assert_eq!(bench.log().end_offset(), 100, "the batch that holds it goes");
    assert_eq!(bench.log().epochs().latest().map(|e| e.epoch), Some(0));
    assert_eq!(bench.log().producers().count(), 0);
    let rest = bench.read_all(0, 1 << 20);
    assert!(whole.starts_with(&rest));
    bench.append(5, 100);
    bench.settle();
    bench.read_all(0, 1 << 20);
}
