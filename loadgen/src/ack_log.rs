//! The log of acknowledgements: what a producer was promised, so that a reader can hold the broker
//! to it after a crash.
//!
//! One line for each acknowledged request and partition, written when the acknowledgement came:
//! `producer(hex) partition first_sequence last_sequence base_offset`. The base offset is -1 when
//! the broker called the batch a duplicate without saying where it is. A last line without its
//! newline was cut off by the end of the producer and promises nothing.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::checker::{Checker, Verdict};
use crate::error::Error;

/// One acknowledged run of sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The connection of the run that produced it.
    pub producer: u64,
    /// Its partition.
    pub partition: i32,
    /// The first sequence of the batch.
    pub first: u64,
    /// The last sequence of the batch.
    pub last: u64,
    /// The offset of the first message, or -1 when the broker did not say.
    pub base_offset: i64,
}

/// Appends acknowledgements to a file, a whole number of lines at a time.
#[derive(Debug)]
pub struct AckLog {
    path: PathBuf,
    file: File,
    pending: String,
}

impl AckLog {
    /// Opens the file to append to it.
    pub fn open(path: &Path) -> Result<AckLog, Error> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|error| Error::io(format!("open {}", path.display()), error))?;
        Ok(AckLog { path: path.to_owned(), file, pending: String::new() })
    }

    /// Remembers one acknowledgement until the next `flush`.
    pub fn push(&mut self, acknowledged: &Acknowledged) {
        let Acknowledged { producer, partition, first, last, base_offset } = acknowledged;
        self.pending += &format!("{producer:x} {partition} {first} {last} {base_offset}\n");
    }

    /// Hands what is pending to the operating system: it outlives this process, not the machine.
    pub fn flush(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(self.pending.as_bytes());
        self.pending.clear();
        written.map_err(|error| Error::io(format!("write {}", self.path.display()), error))
    }
}

/// Holds what is read against what was acknowledged.
#[derive(Debug)]
pub struct AckCheck {
    /// Of each partition: the ranges in the order of their offsets, how much of each was read, and
    /// the first that may still be read.
    partitions: Vec<Expected>,
    unplaced: Vec<Acknowledged>,
}

#[derive(Debug, Default)]
struct Expected {
    ranges: Vec<(Acknowledged, u64)>,
    cursor: usize,
}

impl AckCheck {
    /// Reads the file. Its lines may come from several runs, in any order.
    pub fn read(path: &Path) -> Result<AckCheck, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::io(format!("read {}", path.display()), error))?;
        let mut lines = Vec::new();
        for (number, line) in text.split_inclusive('\n').enumerate() {
            let Some(line) = line.strip_suffix('\n') else { break };
            let parsed = parse_line(line).ok_or_else(|| {
                Error::Usage(format!(
                    "{} line {}: expected `producer partition first last base_offset` as written \
                     by produce --ack-log, found {line:?}",
                    path.display(),
                    number + 1
                ))
            })?;
            lines.push(parsed);
        }
        Ok(AckCheck::new(lines))
    }

    fn new(lines: Vec<Acknowledged>) -> AckCheck {
        let mut check = AckCheck { partitions: Vec::new(), unplaced: Vec::new() };
        for line in lines {
            if line.base_offset < 0 {
                check.unplaced.push(line);
                continue;
            }
            let partition = line.partition as usize;
            if check.partitions.len() <= partition {
                check.partitions.resize_with(partition + 1, Expected::default);
            }
            check.partitions[partition].ranges.push((line, 0));
        }
        for expected in &mut check.partitions {
            expected.ranges.sort_by_key(|(range, _)| (range.base_offset, range.first));
        }
        check
    }

    /// One message that was read, in the order of offsets.
    pub fn message(&mut self, partition: i32, offset: i64, producer: u64, sequence: u64) {
        let Some(expected) = self.partitions.get_mut(partition as usize) else { return };
        while let Some((range, seen)) = expected.ranges.get_mut(expected.cursor) {
            let end = range.base_offset + (range.last - range.first) as i64 + 1;
            if offset >= end {
                expected.cursor += 1;
                continue;
            }
            if offset >= range.base_offset {
                let place = range.first + (offset - range.base_offset) as u64;
                *seen += u64::from(producer == range.producer && sequence == place);
            }
            return;
        }
    }

    /// Adds to the verdict what was acknowledged and what of it is missing.
    pub fn finish(self, checker: &Checker, verdict: &mut Verdict) {
        for (range, seen) in self.partitions.iter().flat_map(|expected| &expected.ranges) {
            let missing = range.last - range.first + 1 - seen;
            add(verdict, range, *seen, missing, "not read at that offset");
        }
        for range in &self.unplaced {
            let seen = (range.first..=range.last)
                .filter(|&sequence| {
                    checker.was_read(range.producer, range.partition as u32, sequence)
                })
                .count() as u64;
            add(verdict, range, seen, range.last - range.first + 1 - seen, "not read");
        }
    }
}

fn add(verdict: &mut Verdict, range: &Acknowledged, seen: u64, missing: u64, what: &str) {
    verdict.acknowledged += seen;
    verdict.acknowledged_missing += missing;
    if missing > 0 {
        let Acknowledged { producer, partition, first, last, base_offset } = range;
        verdict.offender(|| {
            format!(
                "partition {partition} offset {base_offset} producer {producer:x}: acknowledged \
                 sequences {first} to {last}, {missing} of them {what}"
            )
        });
    }
}

fn parse_line(line: &str) -> Option<Acknowledged> {
    let mut words = line.split(' ');
    let producer = u64::from_str_radix(words.next()?, 16).ok()?;
    let partition: i32 = words.next()?.parse().ok().filter(|partition| *partition >= 0)?;
    let first: u64 = words.next()?.parse().ok()?;
    let last: u64 = words.next()?.parse().ok().filter(|last| *last >= first)?;
    let base_offset = words.next()?.parse().ok()?;
    let whole = words.next().is_none();
    whole.then_some(Acknowledged { producer, partition, first, last, base_offset })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Stamp;

    fn line(partition: i32, first: u64, last: u64, base_offset: i64) -> Acknowledged {
        Acknowledged { producer: 0xa1, partition, first, last, base_offset }
    }

    /// Reads `sequences` of partition 0 at offsets from 0 and returns found and missing.
    fn check(lines: Vec<Acknowledged>, sequences: &[u64]) -> (u64, u64) {
        let mut check = AckCheck::new(lines);
        let mut checker = Checker::new(true);
        for (offset, &sequence) in sequences.iter().enumerate() {
            let stamp = Stamp { producer: 0xa1, sequence, timestamp_ns: 0, partition: 0 };
            checker.message(0, offset as i64, Ok(stamp));
            check.message(0, offset as i64, 0xa1, sequence);
        }
        let mut verdict = Verdict::default();
        check.finish(&checker, &mut verdict);
        assert_eq!(verdict.offenders.is_empty(), verdict.acknowledged_missing == 0);
        (verdict.acknowledged, verdict.acknowledged_missing)
    }

    #[test]
    fn every_acknowledged_message_must_be_at_its_offset() {
        let both = || vec![line(0, 0, 1, 0), line(0, 2, 3, 2)];
        assert_eq!(check(both(), &[0, 1, 2, 3]), (4, 0));
        assert_eq!(check(both(), &[0, 1, 2]), (3, 1));
        assert_eq!(check(both(), &[0, 1]), (2, 2));
        assert_eq!(check(both(), &[0, 2, 1, 3]), (2, 2));
        assert_eq!(check(vec![line(0, 0, 1, 1)], &[9, 0, 1]), (2, 0));
        assert_eq!(check(vec![line(1, 0, 1, 0)], &[0, 1]), (0, 2));
        // The broker did not say where: it is enough that it was read.
        assert_eq!(check(vec![line(0, 1, 2, -1)], &[0, 1, 2]), (2, 0));
        assert_eq!(check(vec![line(0, 1, 2, -1)], &[0, 1]), (1, 1));
    }

    #[test]
    fn the_file_is_read_back_and_a_torn_last_line_is_dropped() {
        let path = std::env::temp_dir().join(format!("ringlog-ack-log-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut log = AckLog::open(&path).unwrap();
        log.push(&line(0, 0, 9, 0));
        log.push(&line(2, 0, 9, -1));
        log.flush().unwrap();
        drop(log);
        let mut text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "a1 0 0 9 0\na1 2 0 9 -1\n");
        text += "a1 0 10 1";
        std::fs::write(&path, &text).unwrap();
        let check = AckCheck::read(&path).unwrap();
        assert_eq!(check.partitions[0].ranges, [(line(0, 0, 9, 0), 0)]);
        assert_eq!(check.unplaced, [line(2, 0, 9, -1)]);
        text += "\n";
        std::fs::write(&path, &text).unwrap();
        let error = AckCheck::read(&path).unwrap_err().to_string();
        assert!(error.contains("line 3: expected"), "{error}");
        std::fs::remove_file(&path).unwrap();
    }
}
