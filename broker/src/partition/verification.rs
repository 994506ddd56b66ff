//! Transactions of which a log knows nothing yet. Their coordinator is asked before their first
//! batch is appended (rules 33 and 34): what it does not know of, it would never end.
//!
//! Invariant: an answer counts only under the guard with which it was asked for. When the
//! transaction has got its first batch, or has ended, the guard is gone: an answer that is late
//! opens nothing.

use std::collections::HashMap;

use ringlog_wire::batch::BatchHeader;
use ringlog_wire::error::ErrorCode;

use crate::slab::Key;

/// Most transactions of one partition whose coordinators are being asked, or have said no.
pub const VERIFICATIONS_MAX: usize = 10_000;

/// Of records that this broker writes: they have none.
const OWN_SEQUENCE: i32 = -1;

/// What a coordinator is asked under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard(u64);

#[derive(Clone, Copy, Debug)]
struct Verification {
    guard: Guard,
    epoch: i16,
    /// Of the batches that have asked: when one of them is refused and tried again, none behind it
    /// may be appended first.
    sequence_min: i32,
    /// The question on its way.
    asked: Option<Key>,
}

/// The verifications of one partition, by producer.
#[derive(Debug, Default)]
pub struct Verifications {
    by_producer: HashMap<i64, Verification>,
    guards: u64,
}

impl Verifications {
    /// A batch needs its transaction verified: under this guard. `None` when too many do.
    pub fn begin(&mut self, header: &BatchHeader) -> Option<Guard> {
        self.begin_at(header.producer_id, header.producer_epoch, header.base_sequence)
    }

    /// The same for records that this broker writes on behalf of a producer.
    pub fn begin_own(&mut self, producer_id: i64, epoch: i16) -> Option<Guard> {
        self.begin_at(producer_id, epoch, OWN_SEQUENCE)
    }

    fn begin_at(&mut self, producer_id: i64, epoch: i16, sequence: i32) -> Option<Guard> {
        if let Some(known) = self.by_producer.get_mut(&producer_id) {
            if epoch > known.epoch {
                (known.epoch, known.sequence_min, known.asked) = (epoch, sequence, None);
            } else if epoch == known.epoch {
                known.sequence_min = known.sequence_min.min(sequence);
            }
            return Some(known.guard);
        }
        if self.by_producer.len() >= VERIFICATIONS_MAX {
            // Those whose coordinators have said no wait for a client that may never come back.
            self.by_producer.retain(|_, known| known.asked.is_some());
        }
        if self.by_producer.len() >= VERIFICATIONS_MAX {
            return None;
        }
        self.guards += 1;
        let guard = Guard(self.guards);
        let known = Verification { guard, epoch, sequence_min: sequence, asked: None };
        self.by_producer.insert(producer_id, known);
        Some(guard)
    }

    /// The question that is on its way for that producer's transaction.
    pub fn asked(&self, producer_id: i64, epoch: i16) -> Option<Key> {
        self.by_producer.get(&producer_id).filter(|known| known.epoch == epoch)?.asked
    }

    /// The question is on its way, or answered.
    pub fn set_asked(&mut self, producer_id: i64, guard: Guard, asked: Option<Key>) {
        if let Some(known) = self.by_producer.get_mut(&producer_id)
            && known.guard == guard
        {
            known.asked = asked;
        }
    }

    /// Whether a batch may be appended on an answer that was asked for under `guard`.
    ///
    /// # Errors
    /// INVALID_TXN_STATE when the guard is gone, OUT_OF_ORDER_SEQUENCE_NUMBER when one before it
    /// still has to come.
    pub fn check(&self, header: &BatchHeader, guard: Guard) -> Result<(), ErrorCode> {
        self.check_at(header.producer_id, header.base_sequence, guard)
    }

    /// The same for records that this broker writes on behalf of a producer.
    ///
    /// # Errors
    /// INVALID_TXN_STATE when the guard is gone.
    pub fn check_own(&self, producer_id: i64, guard: Guard) -> Result<(), ErrorCode> {
        self.check_at(producer_id, OWN_SEQUENCE, guard)
    }

    fn check_at(&self, producer_id: i64, sequence: i32, guard: Guard) -> Result<(), ErrorCode> {
        match self.by_producer.get(&producer_id) {
            Some(known) if known.guard != guard => Err(ErrorCode::InvalidTxnState),
            None => Err(ErrorCode::InvalidTxnState),
            Some(known) if sequence > known.sequence_min => {
                Err(ErrorCode::OutOfOrderSequenceNumber)
            }
            Some(_) => Ok(()),
        }
    }

    /// The transaction has a batch in the log, or has ended.
    pub fn end(&mut self, producer_id: i64) {
        if !self.by_producer.is_empty() {
            self.by_producer.remove(&producer_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use ringlog_wire::batch::{BatchBuilder, BatchOptions};

    use super::*;

    fn header(producer_id: i64, producer_epoch: i16, base_sequence: i32) -> BatchHeader {
        let options = BatchOptions {
            producer_id,
            producer_epoch,
            base_sequence,
            transactional: true,
            ..BatchOptions::default()
        };
        let mut builder = BatchBuilder::new(options);
        builder.push(1, None, None, &[]);
        BatchHeader::parse(&builder.finish()).expect("a header")
    }

    #[test]
    fn rule_33_an_answer_counts_under_its_guard_alone() {
        let mut table = Verifications::default();
        let first = table.begin(&header(1, 0, 0)).expect("room");
        assert_eq!(table.begin(&header(1, 0, 1)), Some(first), "the same transaction");
        assert_eq!(table.check(&header(1, 0, 0), first), Ok(()));
        let late = Err(ErrorCode::OutOfOrderSequenceNumber);
        assert_eq!(table.check(&header(1, 0, 1), first), late, "the first has to come first");
        table.end(1);
        let gone = Err(ErrorCode::InvalidTxnState);
        assert_eq!(table.check(&header(1, 0, 0), first), gone);
        let second = table.begin(&header(1, 0, 0)).expect("room");
        assert_ne!(first, second);
        assert_eq!(table.check(&header(1, 0, 0), first), gone, "of a transaction before");
        assert_eq!(table.check(&header(1, 0, 0), second), Ok(()));
    }

    #[test]
    fn a_new_epoch_begins_its_sequences_anew_and_asks_anew() {
        let mut table = Verifications::default();
        let guard = table.begin(&header(1, 0, 7)).expect("room");
        let key = Key::from_u64(3);
        table.set_asked(1, guard, Some(key));
        assert_eq!((table.asked(1, 0), table.asked(1, 1)), (Some(key), None));
        table.begin(&header(1, 0, 5));
        assert_eq!(table.check(&header(1, 0, 5), guard), Ok(()));
        table.begin(&header(1, 1, 9));
        assert_eq!((table.asked(1, 0), table.asked(1, 1)), (None, None));
        assert_eq!(table.check(&header(1, 1, 9), guard), Ok(()));
    }

    #[test]
    fn there_are_at_most_so_many() {
        let mut table = Verifications::default();
        let key = Some(Key::from_u64(1));
        for id in 0..VERIFICATIONS_MAX as i64 {
            let guard = table.begin(&header(id, 0, 0)).expect("room");
            table.set_asked(id, guard, key.filter(|_| id != 9));
        }
        let guard = table.begin(&header(1 << 40, 0, 0)).expect("9 was not being asked");
        table.set_asked(1 << 40, guard, key);
        assert_eq!(table.begin(&header(1 << 41, 0, 0)), None);
        assert!(table.begin(&header(8, 0, 0)).is_some(), "it is there already");
    }
}
