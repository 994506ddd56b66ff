//! Reading: from memory, from disk, across the edge, by time.

use super::*;
use crate::{TimeAnswer, TimePlan, TimeStep};

#[test]
fn memory_and_disk_give_the_same_bytes() {
    let mut bench = Bench::new(config());
    for value_bytes in [10, 100, 3000, 70, 9000, 20_000, 1, 150_000, 40] {
        bench.append(20, value_bytes);
        bench.settle();
    }
    assert!(bench.log().segments_count() > 2);
    for bytes_max in [1, 100, 5000, 50_000, 1 << 20] {
        let hot = bench.read_all(0, bytes_max);
        let mut cold = Bench::new(config());
        std::mem::swap(&mut cold, &mut bench);
        cold.log().evict(u64::MAX);
        assert_eq!(cold.log().clean_bytes(), 0);
        assert!(cold.read_all(0, bytes_max) == hot, "at most {bytes_max} bytes");
        std::mem::swap(&mut cold, &mut bench);
    }
}

#[test]
fn bounds_are_kafkas() {
    let mut bench = Bench::new(config());
    bench.append(10, 1000);
    let size = 1070;
    let out_of_range = Err(ReadError::OutOfRange { log_start: 0, end: 10 });
    assert_eq!(bench.read(11, 10, 1 << 20, true), out_of_range);
    assert_eq!(bench.read(10, 10, 1 << 20, true).map(|b| b.len()), Ok(0));
    assert_eq!(bench.read(5, 3, 1 << 20, true).map(|b| b.len()), Ok(0));
    let first = bench.read(0, 10, size - 1, false).map(|b| b.len());
    assert_eq!(first, Ok(0), "no batch fits");
    let one = bench.read(0, 10, 1, true).expect("one at least").len();
    assert_eq!(bench.read(0, 10, one, false).map(|b| b.len()), Ok(one));
    assert_eq!(bench.read(0, 10, 2 * one - 1, false).map(|b| b.len()), Ok(one));
    assert_eq!(bench.read(2, 7, 1 << 20, false).map(|b| b.len()), Ok(5 * one));
}

#[test]
fn the_first_batch_may_begin_before_the_offset() {
    let mut bench = Bench::new(config());
    let bytes = batch(BatchOptions::default(), 10, 10, 0);
    bench.append_bytes(&bytes, 0).expect("appended");
    assert_eq!(bench.read(7, 10, 1 << 20, true).map(|b| b.len()), Ok(bytes.len()));
    bench.settle();
    bench.log().evict(u64::MAX);
    assert_eq!(bench.read(7, 10, 1 << 20, true).map(|b| b.len()), Ok(bytes.len()));
}

#[test]
fn a_slice_outlives_the_chunk() {
    let mut bench = Bench::new(config());
    bench.append(1, 100);
    let ReadPlan::Memory { slices, .. } = bench.log().read(0, 1, 1 << 20, true).expect("hot")
    else {
        panic!("it is in memory");
    };
    bench.settle();
    bench.log().evict(u64::MAX);
    bench.log = None;
    assert!(Batch::parse(slices[0].as_ref()).is_ok());
}

fn find(bench: &mut Bench, target: i64) -> Option<TimeAnswer> {
    let (mut from, upto) = (0, bench.log().end_offset());
    let mut plan = bench.log().offset_for_timestamp(target, from, upto);
    loop {
        match plan {
            TimePlan::Found(answer) => return Some(answer),
            TimePlan::NotFound => return None,
            TimePlan::Open(_) => panic!("nothing here is compressed"),
            TimePlan::Index(files) => {
                let (index, time) = (bench.file(&files.index), bench.file(&files.timeindex));
                bench.log().load_index(files.file, &index, &time);
                plan = bench.log().offset_for_timestamp(target, from, upto);
            }
            TimePlan::Disk(disk) => {
                let mut raw = vec![0; disk.bytes];
                let path = Path::new(DIR).join(&disk.path);
                let read = bench.disk.read_at(&path, disk.at, &mut raw).expect("read");
                let log = bench.log.as_ref().expect("the log is open");
                let step = log.finish_offset_for_timestamp(&disk, target, from, upto, &raw[..read]);
                match step {
                    Ok(TimeStep::Found(answer)) => return Some(answer),
                    Ok(TimeStep::NotFound) => return None,
                    Ok(TimeStep::Open(_)) => panic!("nothing here is compressed"),
                    Ok(TimeStep::Continue { from: next }) => {
                        assert!(next > from, "the search goes on");
                        from = next;
                        plan = log.offset_for_timestamp(target, from, upto);
                    }
                    Err(ReadError::NeedMore(more)) => plan = TimePlan::Disk(more),
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
    }
}

#[test]
fn the_first_record_by_time_is_found_hot_and_cold() {
    let mut bench = Bench::new(config());
    let mut stamps: Vec<i64> = Vec::new();
    for number in 0..700i64 {
        // Mostly rising, with batches that come late.
        let timestamp = if number % 7 == 3 { number * 10 - 500 } else { number * 10 }.max(0);
        let bytes = batch(BatchOptions::default(), 3, 900, timestamp);
        bench.append_bytes(&bytes, 2).expect("appended");
        stamps.extend([timestamp, timestamp + 1, timestamp + 2]);
    }
    bench.settle();
    assert!(bench.log().segments_count() > 1);
    // The end is not the high watermark, nor the beginning the log's start.
    for upto in (2000..=2100).filter(|upto| upto % 3 == 0) {
        for from in [0, 300, 1000, upto - 12, upto - 3, upto] {
            let from = from / 3 * 3;
            let expected = stamps[from..upto].iter().max().copied();
            let found = bench.log().max_timestamp(from as i64, upto as i64);
            assert_eq!(found, expected, "{from}..{upto}");
        }
    }
    for round in 0..2 {
        for target in (0..7100).step_by(93).chain([0, 1, 6992, 6993]) {
            let expected = stamps.iter().position(|&timestamp| timestamp >= target);
            let found = find(&mut bench, target);
            assert_eq!(found.map(|f| f.offset as usize), expected, "{target} in round {round}");
            assert_eq!(found.map(|f| f.timestamp), expected.map(|at| stamps[at]));
            assert!(found.is_none_or(|found| found.leader_epoch == 2));
        }
        bench.log().evict(u64::MAX);
    }
    assert_eq!(bench.log().max_timestamp(0, i64::MAX), Some(6992));
}
