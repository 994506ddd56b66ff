//! One partition as a consumer reads it: where it is, and what the batches it gets say.
//!
//! Without checks only the batch headers are looked at. With checks every batch's CRC, every
//! message's stamp and the density of the offsets are.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use ringlog_wire::api::fetch::AbortedTransaction;
use ringlog_wire::batch::{Batch, BatchError, BatchHeader, Codecs, Compression};

use crate::ack_log::AckCheck;
use crate::arrivals::{Arrivals, Read};
use crate::checker::Checker;
use crate::payload;

/// What one consumer's messages are checked with.
#[derive(Debug)]
pub struct Checks {
    /// Sequences and checksums.
    pub checker: Checker,
    /// Acknowledgements to hold against what is read.
    pub acks: Option<AckCheck>,
}

/// What all readers of a run feed.
#[derive(Default)]
pub struct Watch {
    /// Of each consumer; none when nothing is checked.
    pub checks: Vec<Checks>,
    /// Where the producers of this process say what they sent.
    pub arrivals: Option<Rc<RefCell<Arrivals>>>,
    codecs: Codecs,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("checks", &self.checks).finish_non_exhaustive()
    }
}

impl Watch {
    /// Checks with these.
    pub fn new(checks: Vec<Checks>, arrivals: Option<Rc<RefCell<Arrivals>>>) -> Watch {
        Watch { checks, arrivals, codecs: Codecs::new() }
    }
}

/// The batch without its compression.
pub fn opened<'a>(batch: &Batch<'a>, codecs: &'a mut Codecs) -> Result<Batch<'a>, BatchError> {
    if batch.header().compression()? == Compression::None {
        return Ok(*batch);
    }
    let (_, header) = batch.recompress(codecs, Compression::None, 0, usize::MAX)?;
    Ok(Batch::from_parts(header, codecs.body()))
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
    /// Which of the consumers it belongs to.
    pub consumer: usize,
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

    /// Takes the batches of one answer. The last one may be cut off: it comes again. Those of
    /// `aborted` transactions are passed over. An error is a batch that cannot be.
    pub fn take(
        &mut self,
        records: &[u8],
        aborted: &[AbortedTransaction],
        now: Instant,
        watch: &mut Watch,
    ) -> Result<Taken, BatchError> {
        let mut taken = Taken::default();
        let mut aborted = aborted.to_vec();
        let mut rest = records;
        while !rest.is_empty() {
            let (batch, after) = match Batch::parse(rest) {
                Ok(parsed) => parsed,
                Err(BatchError::Truncated { .. }) => break,
                Err(error) => {
                    if let Some(checks) = watch.checks.get_mut(self.consumer) {
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
            let messages = (header.records_count.max(0) as u64).saturating_sub(skipped);
            let bytes = header.size() as u64;
            taken.bytes += bytes;
            if !aborted.is_empty() && is_aborted(header, &mut aborted) {
                self.position = next;
                continue;
            }
            if !header.is_control() {
                taken.messages += messages;
                if let Some(arrivals) = &watch.arrivals {
                    let read = Read { at: now, messages, bytes };
                    arrivals.borrow_mut().read(self.partition, header.base_offset, read);
                }
            }
            if let Some(checks) = watch.checks.get_mut(self.consumer) {
                self.check(&batch, checks, &mut watch.codecs);
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

    fn check(&self, batch: &Batch<'_>, checks: &mut Checks, codecs: &mut Codecs) {
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
        let batch = match opened(batch, codecs) {
            Ok(batch) => batch,
            Err(error) => {
                self.corrupt(checks, &error);
                return;
            }
        };
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
            if let (Ok(stamp), Some(acks)) = (&read, &mut checks.acks) {
                acks.message(partition, offset, stamp.producer, stamp.sequence);
            }
            checks.checker.message(partition, offset, read);
        }
    }
}

/// Whether a batch belongs to one of these transactions. The marker of one ends it.
fn is_aborted(header: &BatchHeader, aborted: &mut Vec<AbortedTransaction>) -> bool {
    let offset = header.base_offset;
    let is_it = |transaction: &AbortedTransaction| {
        transaction.producer_id == header.producer_id && transaction.first_offset <= offset
    };
    if header.is_control() {
        aborted.retain(|transaction| !is_it(transaction));
        return false;
    }
    header.is_transactional() && aborted.iter().any(is_it)
}

#[cfg(test)]
mod tests {
    use ringlog_wire::batch::{self, BatchBuilder, BatchOptions};

    use super::*;
    use crate::keys::Keys;
    use crate::meter::WallClock;
    use crate::payload::Stamp;
    use crate::produce::records::{Maker, Order, Recipe};

    fn stamped(base_offset: i64, first: u64) -> Vec<u8> {
        made(Compression::None, base_offset, first)
    }

    fn made(compression: Compression, base_offset: i64, first: u64) -> Vec<u8> {
        let clock = WallClock::start();
        let recipe = Recipe { message_bytes: 40, keys: Keys::None, compression, clock };
        let stamp = Stamp { producer: 5, sequence: first, timestamp_ns: 1, partition: 0 };
        let order = Order { stamp: Some(stamp), ..Order::plain(4, Instant::now()) };
        let mut bytes = Maker::new(recipe).batch(&order);
        let head: &mut [u8; 16] = bytes.first_chunk_mut().unwrap();
        batch::encode_offset_and_epoch(head, base_offset, 0);
        bytes
    }

    fn read(start: i64, answers: &[&[u8]]) -> (Reader, Taken, crate::checker::Verdict) {
        let mut reader = Reader { consumer: 0, partition: 0, start, position: start, end: None };
        let checks = Checks { checker: Checker::new(start == 0), acks: None };
        let mut watch = Watch::new(vec![checks], None);
        let mut sum = Taken::default();
        for answer in answers {
            if let Ok(taken) = reader.take(answer, &[], Instant::now(), &mut watch) {
                sum.add(taken);
            }
        }
        (reader, sum, watch.checks.remove(0).checker.finish())
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
    fn aborted_transactions_are_passed_over_up_to_their_markers() {
        let batch = |base_offset, producer_id, control| {
            let options = BatchOptions {
                control,
                base_offset,
                ..BatchOptions::transactional(producer_id, 0, 0)
            };
            let mut builder = BatchBuilder::new(options);
            builder.push(0, None, Some(b"value"), &[]);
            builder.finish()
        };
        let records = [
            batch(0, 7, false),
            batch(1, 8, false),
            batch(2, 7, true),
            batch(3, 7, false),
            batch(4, 7, true),
            batch(5, 8, true),
        ]
        .concat();
        let aborted = [AbortedTransaction { producer_id: 7, first_offset: 0 }];
        let mut reader = Reader { consumer: 0, partition: 0, start: 0, position: 0, end: None };
        let taken = reader.take(&records, &aborted, Instant::now(), &mut Watch::default()).unwrap();
        assert_eq!((reader.position, taken.messages), (6, 2));
    }

    #[test]
    fn compressed_messages_are_checked_like_others() {
        let batch = |base_offset, first| made(Compression::Lz4, base_offset, first);
        let (reader, taken, verdict) = read(0, &[&[batch(0, 0), batch(4, 4)].concat()]);
        assert_eq!((reader.position, taken.messages, verdict.verified), (8, 8, 8));
        assert!(verdict.is_clean(), "{verdict:?}");
        assert_eq!(read(0, &[&[batch(0, 0), batch(4, 8)].concat()]).2.lost, 4);
        let mut flipped = batch(0, 0);
        *flipped.last_mut().unwrap() ^= 1;
        assert_eq!(read(0, &[&flipped]).2.corrupt, 1);
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
