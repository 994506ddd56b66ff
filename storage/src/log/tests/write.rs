//! Group commit, allocation, flushes and sealing: state, event, exact ops.

use super::*;
use crate::Durability;

/// A log with one batch of one record of 5000 bytes written, so that the tail block is unfinished.
fn started(config: LogConfig) -> Bench {
    let segment_bytes = config.segment_bytes;
    let mut bench = Bench::new(config);
    bench.append(1, 5000);
    assert_eq!(
        bench.ops(),
        [
            "1 replace leader-epoch-checkpoint 8".to_owned(),
            format!("2 create .log {}", 262_144.min(segment_bytes))
        ]
    );
    assert_eq!(bench.ops(), [""; 0], "nothing before the file is there");
    bench.done(1);
    bench.done(2);
    assert_eq!(bench.ops(), ["3 write 0+8192"]);
    assert_eq!(bench.log().written_offset(), 0);
    bench.done(3);
    assert_eq!(bench.log().written_offset(), 1);
    bench
}

#[test]
fn a_lone_batch_goes_at_once() {
    started(config());
}

#[test]
fn the_tail_block_is_rewritten_alone_and_fresh_blocks_go_beside_it() {
    let mut bench = started(config());
    bench.append(1, 6000);
    assert_eq!(bench.ops(), ["4 write 4096+4096", "5 write 8192+4096"]);
    bench.done(5);
    assert_eq!(bench.log().written_offset(), 1, "there is a hole before it");
    bench.done(4);
    assert_eq!(bench.log().written_offset(), 2);
}

#[test]
fn arrivals_gather_while_a_write_is_in_flight() {
    let mut bench = started(config());
    bench.append(1, 100);
    assert_eq!(bench.ops(), ["4 write 4096+4096"]);
    bench.append(3, 100);
    assert_eq!(bench.ops(), [""; 0]);
    bench.done(4);
    assert_eq!(bench.log().written_offset(), 2);
    assert_eq!(bench.ops(), ["5 write 4096+4096"]);
}

#[test]
fn whole_blocks_join_once_enough_gathered_and_the_tail_block_waits_its_turn() {
    let mut bench = started(config());
    bench.append(1, 100);
    assert_eq!(bench.ops(), ["4 write 4096+4096"]);
    bench.append(1, 30_000);
    assert_eq!(bench.ops(), ["5 write 8192+8192", "6 write 16384+16384"]);
    bench.done(5);
    bench.done(6);
    assert_eq!(bench.log().written_offset(), 1);
    assert_eq!(bench.ops(), [""; 0]);
    bench.done(4);
    assert_eq!(bench.log().written_offset(), 2);
    assert_eq!(bench.ops(), ["7 write 4096+4096"]);
    bench.done(7);
    assert_eq!(bench.log().written_offset(), 2, "the batch ends in the unfinished block");
    assert_eq!(bench.ops(), ["8 write 32768+4096"]);
    bench.done(8);
    assert_eq!(bench.log().written_offset(), 3);
}

#[test]
fn space_is_allocated_ahead_and_writes_wait_for_it() {
    let mut bench = started(config());
    bench.append(2, 150_000);
    assert_eq!(
        bench.ops(),
        [
            "4 allocate 262144..524288",
            "5 write 4096+4096",
            "6 write 8192+8192",
            "7 write 16384+65536",
            "8 write 81920+65536"
        ]
    );
    for id in 5..=8 {
        bench.done(id);
    }
    assert_eq!(
        bench.ops(),
        ["9 write 147456+65536", "10 write 212992+49152"],
        "up to the size that the file has"
    );
    bench.done(4);
    bench.done(9);
    bench.done(10);
    assert_eq!(bench.ops(), ["11 write 262144+16384", "12 write 278528+28672"], "chunk by chunk");
}

#[test]
fn one_flush_covers_all_that_is_written_when_it_is_asked_for() {
    let mut bench = started(LogConfig { durability: Durability::Synced, ..config() });
    assert_eq!(bench.ops(), ["4 sync"]);
    bench.append(1, 100);
    assert_eq!(bench.ops(), ["5 write 4096+4096"]);
    bench.done(5);
    bench.append(1, 100);
    assert_eq!(bench.ops(), ["6 write 4096+4096"], "one flush at a time");
    bench.done(4);
    assert_eq!((bench.log().flushed_offset(), bench.log().durable_offset()), (1, 1));
    assert_eq!(bench.ops(), ["7 sync"]);
    bench.done(6);
    bench.done(7);
    assert_eq!(bench.log().flushed_offset(), 2);
    assert_eq!(bench.ops(), ["8 sync"]);
    bench.done(8);
    assert_eq!(bench.log().flushed_offset(), 3);
}

#[test]
fn a_recovery_point_is_flushed_before_it_is_told() {
    let mut bench = started(config());
    bench.append(1, 10_000);
    bench.log().checkpoint();
    assert_eq!(bench.ops(), ["4 write 4096+4096", "5 write 8192+8192"]);
    bench.done(4);
    bench.done(5);
    assert_eq!(bench.ops(), ["6 sync"]);
    bench.done(6);
    assert_eq!(bench.ops(), ["7 replace .index 8", "8 replace .timeindex 12"]);
    bench.done(8);
    assert_eq!(bench.ops(), [""; 0]);
    bench.done(7);
    assert_eq!(bench.ops(), ["9 replace 2.snapshot 10"]);
    assert_eq!(bench.log().recovery_point(), 0);
    bench.done(9);
    assert_eq!(bench.log().recovery_point(), 2);
    assert_eq!(bench.ops(), [""; 0]);
}

#[test]
fn sealing_cuts_flushes_and_files_while_the_next_segment_is_written() {
    let mut bench = started(LogConfig { segment_bytes: 16 << 10, ..config() });
    bench.append(1, 15_000);
    assert_eq!(bench.ops(), ["4 truncate 5070", "5 create 1.log 16384"]);
    bench.done(5);
    assert_eq!(bench.ops(), ["6 write 0+16384"]);
    bench.done(6);
    assert_eq!(bench.log().written_offset(), 2, "the first segment is written");
    bench.done(4);
    assert_eq!(bench.ops(), ["7 sync"]);
    bench.done(7);
    assert_eq!(bench.log().flushed_offset(), 1);
    assert_eq!(
        bench.ops(),
        ["8 replace .index 0", "9 replace .timeindex 12"],
        "the snapshot comes after what names the aborted transactions before it"
    );
    bench.done(9);
    assert_eq!(bench.ops(), [""; 0]);
    bench.done(8);
    assert_eq!(bench.ops(), ["10 replace 1.snapshot 10"]);
    assert_eq!(bench.log().recovery_point(), 0);
    bench.done(10);
    assert_eq!(bench.log().recovery_point(), 1);
    assert_eq!(bench.ops(), ["11 close"]);
    bench.done(11);
    assert_eq!(bench.ops(), [""; 0]);
}

#[test]
fn the_first_error_latches() {
    let mut bench = started(config());
    bench.append(1, 100);
    assert_eq!(bench.ops(), ["4 write 4096+4096"]);
    bench.failed(4);
    let failure = bench.log().failure().copied().expect("failed");
    assert_eq!(
        failure.to_string(),
        "a write of segment 00000000000000000000 failed: input/output error"
    );
    let bytes = batch(BatchOptions::default(), 1, 10, 5);
    assert_eq!(bench.append_bytes(&bytes, 0), Err(AppendError::Failed));
    assert_eq!(bench.ops(), [""; 0]);
    assert_eq!(bench.log().written_offset(), 1);
    assert_eq!(bench.read(0, 1, 1 << 20, true).expect("readable").len(), 5070);
    let log = bench.log.take().expect("open");
    assert!(log.close(&mut bench.disk).is_err());
}

#[test]
fn a_log_takes_new_settings_in_mid_life() {
    let small = LogConfig { segment_bytes: 8192, ..config() };
    let mut bench = Bench::new(config());
    bench.append(1, 20_000);
    assert_eq!(bench.log().segments_count(), 1);
    // The segment is larger than the new limit already: it is written whole, and the next append
    // rolls.
    bench.log().reconfigure(small.clone());
    bench.settle();
    assert_eq!(bench.log().written_offset(), 1);
    let large = batch(BatchOptions::default(), 1, 9000, 5);
    let refused = Err(AppendError::TooLarge { segment_bytes: 8192 });
    assert_eq!(bench.append_bytes(&large, 0), refused);
    bench.append(1, 100);
    assert_eq!(bench.log().segments_count(), 2);
    // A stronger durability asks for the flush of what was written under the weaker one.
    bench.settle();
    assert_eq!((bench.log().durable_offset(), bench.log().written_offset()), (2, 2));
    bench.log().reconfigure(LogConfig { durability: Durability::Synced, ..small.clone() });
    bench.settle();
    assert_eq!((bench.log().durable_offset(), bench.log().flushed_offset()), (2, 2));
    // A larger segment grows past its old limit.
    bench.log().reconfigure(config());
    bench.append(1, 50_000);
    bench.settle();
    assert_eq!((bench.log().segments_count(), bench.log().written_offset()), (2, 3));
    assert_eq!(bench.read_all(0, 1 << 20).len() as u64, bench.log().size_bytes());
    // What files depend on stays as it was opened.
    let allocate_bytes = config().allocate_bytes * 2;
    bench.log().reconfigure(LogConfig { allocate_bytes, ..config() });
    assert_eq!(bench.log().config().allocate_bytes, config().allocate_bytes);
    bench.close();
}
