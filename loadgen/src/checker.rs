//! Tells lost, duplicated, reordered and corrupt messages apart while a topic is read.
//!
//! Invariants: every sequence below a track's `next` was either seen once or lies in one of its
//! holes; a hole that is filled later was reordered, a hole left at the end was lost. Memory grows
//! with the damage, not with the messages, and is bounded: past `HOLES_MAX` holes count as lost.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::payload::{PayloadError, Stamp};

/// How many offenders are described one by one.
pub const OFFENDERS_MAX: usize = 20;
/// How many separate holes one producer and partition may have before they count as lost at once.
pub const HOLES_MAX: usize = 65_536;

/// What checking found, over all producers and partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Messages that were read and belong where they were.
    pub verified: u64,
    /// Sequences that were never read although later ones of their producer were.
    pub lost: u64,
    /// Messages read again.
    pub duplicated: u64,
    /// Messages read after a later one of their producer.
    pub reordered: u64,
    /// Messages or batches whose bytes do not fit their checksum, or lie in the wrong partition.
    pub corrupt: u64,
    /// Places where offsets were not dense.
    pub offset_gaps: u64,
    /// Acknowledged messages that were checked against the log of acknowledgements.
    pub acknowledged: u64,
    /// Acknowledged messages that were not read at their offset.
    pub acknowledged_missing: u64,
    /// Pairs of producer and partition seen.
    pub streams: u64,
    /// The first offenders in words.
    pub offenders: Vec<String>,
}

impl Verdict {
    /// Whether nothing at all was wrong.
    pub fn is_clean(&self) -> bool {
        self.lost
            + self.duplicated
            + self.reordered
            + self.corrupt
            + self.offset_gaps
            + self.acknowledged_missing
            == 0
    }

    /// Adds what was found elsewhere.
    pub fn add(&mut self, other: Verdict) {
        self.verified += other.verified;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.corrupt += other.corrupt;
        self.offset_gaps += other.offset_gaps;
        self.acknowledged += other.acknowledged;
        self.acknowledged_missing += other.acknowledged_missing;
        self.streams += other.streams;
        other.offenders.into_iter().for_each(|offender| self.offender(|| offender));
    }

    /// Describes one more offender, if there is still room for it.
    pub fn offender(&mut self, describe: impl FnOnce() -> String) {
        if self.offenders.len() < OFFENDERS_MAX {
            self.offenders.push(describe());
        }
    }

    /// The one line that says it, followed by the offenders.
    pub fn lines(&self) -> String {
        let mut text = format!(
            "verified {} messages, lost {}, duplicated {}, reordered {}, corrupt {}",
            self.verified, self.lost, self.duplicated, self.reordered, self.corrupt
        );
        if self.offset_gaps > 0 {
            text += &format!(", offset gaps {}", self.offset_gaps);
        }
        if self.acknowledged + self.acknowledged_missing > 0 {
            text += &format!(
                "; acknowledged {}, of them missing {}",
                self.acknowledged + self.acknowledged_missing,
                self.acknowledged_missing
            );
        }
        for offender in &self.offenders {
            text += "\n  ";
            text += offender;
        }
        text
    }
}

/// What was seen of one producer in one partition.
#[derive(Debug)]
struct Track {
    producer: u64,
    partition: u32,
    next: u64,
    holes: BTreeMap<u64, u64>,
}

/// Checks stamps in the order in which they are read.
#[derive(Debug, Default)]
pub struct Checker {
    verdict: Verdict,
    tracks: Vec<Track>,
    by_stream: HashMap<(u64, u32), usize>,
    last: usize,
    baseline: bool,
}

impl Checker {
    /// `from_the_start`: the reading begins where the topic begins, so that a producer's first
    /// message must have sequence 0. Otherwise the first one seen is taken as its beginning.
    pub fn new(from_the_start: bool) -> Checker {
        Checker { baseline: !from_the_start, ..Checker::default() }
    }

    /// One message, read from `partition` at `offset`.
    pub fn message(&mut self, partition: i32, offset: i64, read: Result<Stamp, PayloadError>) {
        let stamp = match read {
            Ok(stamp) => stamp,
            Err(error) => {
                self.corrupt(|| format!("partition {partition} offset {offset}: {error}"));
                return;
            }
        };
        if i64::from(stamp.partition) != i64::from(partition) {
            self.corrupt(|| {
                format!(
                    "partition {partition} offset {offset}: was sent to partition {}",
                    stamp.partition
                )
            });
            return;
        }
        let at = self.track(&stamp);
        let track = &mut self.tracks[at];
        if stamp.sequence == track.next {
            track.next += 1;
            self.verdict.verified += 1;
        } else if stamp.sequence > track.next {
            self.hole(at, &stamp, offset);
        } else {
            self.late(at, &stamp, offset);
        }
    }

    /// Counts something whose bytes are wrong.
    pub fn corrupt(&mut self, describe: impl FnOnce() -> String) {
        self.verdict.corrupt += 1;
        self.verdict.offender(describe);
    }

    /// A batch began at `found` where `expected` was the next offset.
    pub fn offset_gap(&mut self, partition: i32, expected: i64, found: i64) {
        self.verdict.offset_gaps += 1;
        self.verdict.offender(|| {
            format!("partition {partition}: offset {expected} expected next, found {found}")
        });
    }

    /// Whether this message was read (wherever it was).
    pub fn was_read(&self, producer: u64, partition: u32, sequence: u64) -> bool {
        let Some(&at) = self.by_stream.get(&(producer, partition)) else { return false };
        let track = &self.tracks[at];
        sequence < track.next && hole_of(track, sequence).is_none()
    }

    /// The verdict so far; holes are not yet lost.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The final verdict: what is still a hole was lost.
    pub fn finish(self) -> Verdict {
        let mut verdict = self.verdict;
        verdict.streams = self.tracks.len() as u64;
        for track in &self.tracks {
            for (start, end) in &track.holes {
                verdict.lost += end - start;
                verdict.offender(|| {
                    format!(
                        "partition {} producer {:x}: sequences {start} to {} lost",
                        track.partition,
                        track.producer,
                        end - 1
                    )
                });
            }
        }
        verdict
    }

    fn track(&mut self, stamp: &Stamp) -> usize {
        if let Some(track) = self.tracks.get(self.last)
            && track.producer == stamp.producer
            && track.partition == stamp.partition
        {
            return self.last;
        }
        let tracks = &mut self.tracks;
        let baseline = self.baseline;
        self.last = *self.by_stream.entry((stamp.producer, stamp.partition)).or_insert_with(|| {
            let next = if baseline { stamp.sequence } else { 0 };
            let (producer, partition) = (stamp.producer, stamp.partition);
            tracks.push(Track { producer, partition, next, holes: BTreeMap::new() });
            tracks.len() - 1
        });
        self.last
    }

    fn hole(&mut self, at: usize, stamp: &Stamp, offset: i64) {
        let track = &mut self.tracks[at];
        let (start, end) = (track.next, stamp.sequence);
        track.next = stamp.sequence + 1;
        self.verdict.verified += 1;
        if track.holes.len() < HOLES_MAX {
            track.holes.insert(start, end);
            return;
        }
        self.verdict.lost += end - start;
        self.verdict.offender(|| {
            format!(
                "partition {} offset {offset} producer {:x}: sequences {start} to {} lost",
                stamp.partition,
                stamp.producer,
                end - 1
            )
        });
    }

    fn late(&mut self, at: usize, stamp: &Stamp, offset: i64) {
        let track = &mut self.tracks[at];
        let (expected, sequence) = (track.next, stamp.sequence);
        let what = if let Some((start, end)) = hole_of(track, sequence) {
            track.holes.remove(&start);
            if start < sequence {
                track.holes.insert(start, sequence);
            }
            if sequence + 1 < end {
                track.holes.insert(sequence + 1, end);
            }
            self.verdict.verified += 1;
            self.verdict.reordered += 1;
            "reordered"
        } else {
            self.verdict.duplicated += 1;
            "duplicated"
        };
        self.verdict.offender(|| {
            format!(
                "partition {} offset {offset} producer {:x}: sequence {sequence} {what} \
                 (expected {expected})",
                stamp.partition, stamp.producer
            )
        });
    }
}

fn hole_of(track: &Track, sequence: u64) -> Option<(u64, u64)> {
    let (&start, &end) = track.holes.range(..=sequence).next_back()?;
    (sequence < end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload;

    fn check(from_the_start: bool, sequences: &[u64]) -> Verdict {
        let mut checker = Checker::new(from_the_start);
        for (offset, &sequence) in sequences.iter().enumerate() {
            let stamp = Stamp { producer: 9, sequence, timestamp_ns: 0, partition: 1 };
            checker.message(1, offset as i64, Ok(stamp));
        }
        checker.finish()
    }

    fn counts(verdict: &Verdict) -> [u64; 5] {
        let Verdict { verified, lost, duplicated, reordered, corrupt, .. } = *verdict;
        [verified, lost, duplicated, reordered, corrupt]
    }

    #[test]
    fn a_clean_stream_passes() {
        let verdict = check(true, &[0, 1, 2, 3]);
        assert_eq!(counts(&verdict), [4, 0, 0, 0, 0]);
        assert!(verdict.is_clean());
        assert_eq!(
            verdict.lines(),
            "verified 4 messages, lost 0, duplicated 0, reordered 0, corrupt 0"
        );
    }

    #[test]
    fn each_kind_of_damage_is_named() {
        // sequences read, from the start               verified, lost, dup, reordered, corrupt
        let cases: [(&[u64], bool, [u64; 5]); 8] = [
            (&[0, 1, 3, 4], true, [4, 1, 0, 0, 0]),
            (&[2, 3], true, [2, 2, 0, 0, 0]),
            (&[2, 3], false, [2, 0, 0, 0, 0]),
            (&[0, 1, 1, 2], true, [3, 0, 1, 0, 0]),
            (&[0, 2, 1, 3], true, [4, 0, 0, 1, 0]),
            (&[0, 5, 3, 6], true, [4, 3, 0, 1, 0]),
            (&[0, 5, 3, 3, 6], true, [4, 3, 1, 1, 0]),
            (&[0, 4, 1, 2, 3, 5], true, [6, 0, 0, 3, 0]),
        ];
        for (sequences, from_the_start, expected) in cases {
            let verdict = check(from_the_start, sequences);
            assert_eq!(counts(&verdict), expected, "{sequences:?}");
            let clean = expected[1..] == [0; 4];
            assert_eq!(verdict.is_clean(), clean, "{sequences:?}");
            assert_eq!(verdict.offenders.is_empty(), clean, "{sequences:?}");
        }
    }

    #[test]
    fn damaged_and_misplaced_messages_are_corrupt() {
        let stamp = Stamp { producer: 9, sequence: 0, timestamp_ns: 0, partition: 1 };
        let mut value = payload::fill(50);
        payload::write(&mut value, &stamp);
        let mut checker = Checker::new(true);
        checker.message(2, 7, payload::read(&value));
        value[49] ^= 1;
        checker.message(1, 8, payload::read(&value));
        assert_eq!(checker.verdict().corrupt, 2);
        let lines = checker.finish().lines();
        assert!(lines.contains("partition 2 offset 7: was sent to partition 1"), "{lines}");
        assert!(lines.contains("partition 1 offset 8: checksum"), "{lines}");
    }

    #[test]
    fn what_was_read_is_known() {
        let mut checker = Checker::new(true);
        for sequence in [0, 1, 4] {
            let stamp = Stamp { producer: 9, sequence, timestamp_ns: 0, partition: 1 };
            checker.message(1, sequence as i64, Ok(stamp));
        }
        let read: Vec<bool> = (0..6).map(|sequence| checker.was_read(9, 1, sequence)).collect();
        assert_eq!(read, [true, true, false, false, true, false]);
        assert!(!checker.was_read(9, 2, 0));
    }

    #[test]
    fn offenders_are_bounded() {
        let mut checker = Checker::new(true);
        for gap in 0..100 {
            checker.offset_gap(0, gap, gap + 1);
        }
        let verdict = checker.finish();
        assert_eq!(verdict.offset_gaps, 100);
        assert_eq!(verdict.offenders.len(), OFFENDERS_MAX);
    }
}
