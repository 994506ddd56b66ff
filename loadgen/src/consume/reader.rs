//! One partition as a consumer reads it: where it is, and what the batches it gets say.
//!
//! Without checks only the batch headers are looked at. With checks every batch's CRC, every
//! message's stamp and the density of the offsets are.

use std::time::Instant;

use ringlog_wire::batch::{Batch, BatchError};

use crate::ack_log::AckCheck;
use crate::checker::Checker;
use crate::meter::WallClock;
use crate::payload;

/// What all readers of a run feed.
#[derive(Debug)]
pub struct Checks {
    /// Sequences and checksums.
    pub checker: Checker,
    /// Acknowledgements to hold against what is read.
    pub acks: Option<AckCheck>,
    /// Set when the messages' stamps tell when they were sent: latencies go here.
    pub latencies: Option<(WallClock, hdrhistogram::Histogram<u64>)>,
}

/// What one answer brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Messages at or after the position.
    pub messages: u64,
    /// Bytes of their batches.
    pub bytes: u64,
    /// Bytes that followed the last whole batch, or came before the position.
    pub left: u64,
}

impl Taken {
    /// Adds what another partition of the same answer brought.
    pub fn add(&mut self, other: Taken) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.left += other.left;
    }
}

/// One partition's position.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The partition.
    pub partition: i32,
    /// Where reading began.
    pub start: i64,
    /// The next offset to read.
    pub position: i64,
    /// Where reading ends, when it does.
    pub end: Option<i64>,
}

impl Reader {
    /// Whether all that is to be read was read.
    pub fn is_done(&self) -> bool {
        self.end.is_some_and(|end| self.position >= end)
    }

    /// Takes the batches of one answer. The last one may be cut off: it comes again. An error is a
    /// batch that cannot be passed over.
    pub fn take(
        &mut self,
        records: &[u8],
        now: Instant,
        mut checks: Option<&mut Checks>,
    ) -> Result<Taken, BatchError> {
        let mut taken = Taken::default();
        let mut rest = records;
        while !rest.is_empty() {
            let (batch, after) = match Batch::parse(rest) {
                Ok(parsed) => parsed,
                Err(BatchError::Truncated { .. }) => break,
                Err(error) => {
                    if let Some(checks) = checks {
                        self.corrupt(checks, &error);
                    }
                    return Err(error);
                }
            };
            rest = after;
            let header = batch.header();
            let next = header.next_offset();
            if next <= self.position {
                continue;
            }
            let skipped = (self.position - header.base_offset).max(0) as u64;
            taken.messages += (header.records_count.max(0) as u64).saturating_sub(skipped);
            taken.bytes += batch.header().size() as u64;
            if let Some(checks) = &mut checks {
                self.check(&batch, now, checks);
            }
            self.position = next;
        }
        taken.left = records.len() as u64 - taken.bytes;
        Ok(taken)
    }

    fn corrupt(&self, checks: &mut Checks, error: &BatchError) {
        let (partition, position) = (self.partition, self.position);
        checks.checker.corrupt(|| format!("partition {partition} offset {position}: {error}"));
    }

    fn check(&self, batch: &Batch<'_>, now: Instant, checks: &mut Checks) {
        let header = batch.header();
        let partition = self.partition;
        // Only the first batch may begin before the position.
        if header.base_offset > self.position
            || header.base_offset < self.position && self.position != self.start
        {
            checks.checker.offset_gap(partition, self.position, header.base_offset);
        }
        if let Err(error) = batch.verify_crc() {
            self.corrupt(checks, &error);
            return;
        }
        if header.is_control() {
            return;
        }
        let mut measured = None;
        for record in batch.records() {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    self.corrupt(checks, &error);
                    return;
                }
            };
            let offset = header.base_offset + i64::from(record.offset_delta);
            if offset < self.position {
                continue;
            }
            let read = payload::read(record.value.unwrap_or_default());
            if let Ok(stamp) = &read {
                if let Some(acks) = &mut checks.acks {
                    acks.message(partition, offset, stamp.producer, stamp.sequence);
                }
                if let Some((clock, _)) = &checks.latencies {
                    let (nanos, count) = measured.get_or_insert((0, 0));
                    *count += 1;
                    *nanos = clock.nanos(now).saturating_sub(stamp.timestamp_ns);
                }
            }
            checks.checker.message(partition, offset, read);
        }
        // All messages of a batch carry the same time.
        if let (Some((nanos, count)), Some((_, latencies))) = (measured, &mut checks.latencies) {
            latencies.saturating_record(nanos);
            latencies.saturating_record_n(nanos, count - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use ringlog_wire::batch;

    use super::*;
    use crate::payload::Stamp;
    use crate::produce::frames::{BatchStamp, Pattern};

    fn stamped(base_offset: i64, first: u64) -> Vec<u8> {
        let pattern = Pattern::new(4, 40, 0);
        let mut bytes = pattern.bytes().to_vec();
        let messages = Stamp { producer: 5, sequence: first, timestamp_ns: 1, partition: 0 };
        let stamp = BatchStamp { timestamp_ms: 0, producer: None, messages: Some(messages) };
        pattern.stamp(&mut bytes, &stamp);
        let head: &mut [u8; 16] = bytes.first_chunk_mut().unwrap();
        batch::encode_offset_and_epoch(head, base_offset, 0);
        bytes
    }

    fn read(start: i64, answers: &[&[u8]]) -> (Reader, Taken, crate::checker::Verdict) {
        let mut reader = Reader { partition: 0, start, position: start, end: None };
        let mut checks = Checks { checker: Checker::new(start == 0), acks: None, latencies: None };
        let mut sum = Taken::default();
        for answer in answers {
            if let Ok(taken) = reader.take(answer, Instant::now(), Some(&mut checks)) {
                sum.add(taken);
            }
        }
        (reader, sum, checks.checker.finish())
    }

    #[test]
    fn whole_batches_are_taken_and_a_cut_one_is_left() {
        let bytes = [stamped(0, 0), stamped(4, 4), stamped(8, 8)].concat();
        let cut = bytes.len() - 1;
        let (reader, taken, verdict) = read(0, &[&bytes[..cut]]);
        assert_eq!((reader.position, taken.messages, verdict.verified), (8, 8, 8));
        assert!(verdict.is_clean(), "{verdict:?}");
        let (reader, taken, verdict) = read(0, &[&bytes[..cut], &bytes[2 * bytes.len() / 3..]]);
        assert_eq!((reader.position, taken.messages, verdict.verified), (12, 12, 12));
        assert!(verdict.is_clean(), "{verdict:?}");
    }

    #[test]
    fn reading_may_begin_inside_a_batch() {
        let bytes = [stamped(0, 0), stamped(4, 4)].concat();
        let (reader, taken, verdict) = read(2, &[&bytes]);
        assert_eq!((reader.position, taken.messages, verdict.verified), (8, 6, 6));
        assert!(verdict.is_clean(), "{verdict:?}");
    }

    #[test]
    fn damage_is_found() {
        let gap = [stamped(0, 0), stamped(5, 4)].concat();
        assert_eq!(read(0, &[&gap]).2.offset_gaps, 1);
        let again = [stamped(0, 0), stamped(4, 0)].concat();
        assert_eq!(read(0, &[&again]).2.duplicated, 4);
        let lost = [stamped(0, 0), stamped(4, 8)].concat();
        assert_eq!(read(0, &[&lost]).2.lost, 4);
        let swapped = [stamped(0, 4), stamped(4, 0)].concat();
        assert_eq!(read(0, &[&swapped]).2.reordered, 4);
        let mut flipped = stamped(0, 0);
        *flipped.last_mut().unwrap() ^= 1;
        assert_eq!(read(0, &[&flipped]).2.corrupt, 1);
        flipped[16] = 1;
        assert_eq!(read(0, &[&flipped]).2.corrupt, 1);
    }
}
