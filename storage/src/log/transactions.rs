//! Transactions in the log: their markers, how far everything is decided, and which of them were
//! aborted.
//!
//! A transaction is *open* from its first batch to its marker ([`crate::producer`] knows), and
//! *unstable* until the marker is replicated too: a reader of committed records who met it before
//! could see it again, otherwise ended, under another leader (rule 38).
//!
//! Invariant: what was aborted is named by the index of the segment in which the marker lies. That
//! of an open segment is in memory; of the closed ones, those looked at last are.

use std::path::PathBuf;

use ringlog_wire::batch::Batch;

use super::Log;
use super::append::{AppendError, Appended};
use super::read::{ReadError, SEALED_INDEXES_MAX};
use crate::ops::{FileId, Memory};
use crate::segment::{AbortedIndex, Segment, file_name};
use crate::transaction::{AbortedTxn, Completed, Marker, decode_index};

/// A transaction whose marker is in the log, but perhaps not on every replica.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decided {
    first_offset: i64,
    marker_offset: i64,
}

/// A search for the aborted transactions that a reader of a range meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbortedSearch {
    from: i64,
    upto: i64,
    /// Segments that begin before it have been looked at.
    next: Option<i64>,
    found: Vec<AbortedTxn>,
}

impl AbortedSearch {
    /// For the records in `from..upto`.
    pub fn new(from: i64, upto: i64) -> AbortedSearch {
        AbortedSearch { from, upto, next: None, found: Vec::new() }
    }

    /// What was found, in the order of the markers; all of it once the search has ended.
    pub fn found(self) -> Vec<AbortedTxn> {
        self.found
    }

    /// Takes in a segment's index, and says whether that was the last one that matters.
    pub(super) fn take(&mut self, base_offset: i64, aborted: &[AbortedTxn]) -> bool {
        self.next = Some(base_offset + 1);
        let first = aborted.partition_point(|txn| txn.last_offset < self.from);
        for txn in &aborted[first..] {
            if txn.overlaps(self.from, self.upto) {
                self.found.push(*txn);
            }
            if txn.last_stable_offset >= self.upto {
                return true;
            }
        }
        false
    }
}

/// An index of aborted transactions to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbortedPlan {
    /// The segment.
    pub file: FileId,
    /// Its `.txnindex`, relative to the partition's directory.
    pub path: PathBuf,
}

impl<M: Memory> Log<M> {
    /// Appends the marker that ends a producer's transaction here, on behalf of a coordinator of
    /// this transaction version (rule 35). One for which nothing is open is appended as well, as
    /// Kafka does: it may be sent again. After an error nothing has changed.
    pub fn append_marker(
        &mut self,
        now_ms: i64,
        memory: &mut impl Memory<Chunk = M::Chunk>,
        marker: &Marker,
        version: i8,
        leader_epoch: i32,
    ) -> Result<Appended, AppendError> {
        if marker.producer_id < 0 || marker.producer_epoch < 0 {
            return Err(AppendError::Malformed);
        }
        let bytes = marker.encode(now_ms);
        let (batch, _) = Batch::parse(&bytes).expect("it was just built");
        self.check_batch(batch.header(), leader_epoch)?;
        self.producers.check_marker(marker, version).map_err(AppendError::Producer)?;
        self.append_checked(now_ms, memory, &batch, leader_epoch, Some(marker))
    }

    /// A marker has been appended.
    pub(super) fn completed(&mut self, completed: Completed) {
        let Completed { txn, committed } = completed;
        if !committed {
            self.active_mut().aborted_mut().push(txn);
        }
        let (first_offset, marker_offset) = (txn.first_offset, txn.last_offset);
        self.decided.push_back(Decided { first_offset, marker_offset });
    }

    /// Everything below it is decided, and so for good on every replica when `high_watermark` is
    /// the offset below which they hold everything. Never above that, nor below the log's start.
    pub fn last_stable_offset(&self, high_watermark: i64) -> i64 {
        #[cfg(test)]
        let high_watermark_seen = match self.config.planted(crate::Planted::StableBeforeReplicated)
        {
            true => i64::MAX,
            false => high_watermark,
        };
        #[cfg(not(test))]
        let high_watermark_seen = high_watermark;
        let ending = self.decided.iter().filter(|txn| txn.marker_offset >= high_watermark_seen);
        let ending = ending.map(|txn| txn.first_offset).min();
        let unstable = ending.into_iter().chain(self.producers.first_unstable_offset()).min();
        unstable.map_or(high_watermark, |first| first.max(self.log_start).min(high_watermark))
    }

    /// The high watermark has come to this offset: markers below it need not be remembered.
    pub fn replicated(&mut self, high_watermark: i64) {
        while self.decided.front().is_some_and(|txn| txn.marker_offset < high_watermark) {
            self.decided.pop_front();
        }
    }

    /// Where the open transaction of that producer begins, if it has one here.
    pub fn open_transaction(&self, producer_id: i64) -> Option<i64> {
        self.producers.get(producer_id)?.transaction_first_offset
    }

    /// Whether that producer has a transaction open here under that epoch: its coordinator knows of
    /// this partition.
    pub fn has_open_transaction(&self, producer_id: i64, epoch: i16) -> bool {
        let entry = self.producers.get(producer_id);
        entry.is_some_and(|it| it.epoch == epoch && it.transaction_first_offset.is_some())
    }

    /// Goes on with a search as far as memory knows. `None`: it has ended. Else read this, and tell
    /// it to [`Log::load_aborted`].
    ///
    /// # Errors
    /// The log starts behind the range by now: what was read of it must not be told, for nothing
    /// says any more what was aborted.
    pub fn find_aborted(
        &self,
        search: &mut AbortedSearch,
    ) -> Result<Option<AbortedPlan>, ReadError> {
        if search.from < self.log_start {
            return Err(ReadError::OutOfRange { log_start: self.log_start, end: self.end });
        }
        let first = match search.next {
            None => self.segment_for(search.from),
            Some(next) => self.segments.partition_point(|segment| segment.base_offset < next),
        };
        for segment in self.segments.range(first..) {
            match &segment.aborted {
                AbortedIndex::OnDisk => {
                    let path = file_name(segment.base_offset, "txnindex");
                    return Ok(Some(AbortedPlan { file: segment.file, path }));
                }
                AbortedIndex::Loaded(aborted) => {
                    if search.take(segment.base_offset, aborted) {
                        break;
                    }
                }
            }
        }
        Ok(None)
    }

    /// Takes the index that an [`AbortedPlan`] asked for. Says whether the search has ended; if
    /// not, [`Log::find_aborted`] goes on.
    ///
    /// # Errors
    /// The file cannot be believed, or its segment is gone: what was read must not be told.
    pub fn load_aborted(
        &mut self,
        search: &mut AbortedSearch,
        plan: &AbortedPlan,
        bytes: &[u8],
    ) -> Result<bool, ReadError> {
        let index = self.segment_index(plan.file).ok_or(ReadError::Stale)?;
        let segment = &mut self.segments[index];
        let base_offset = segment.base_offset;
        let Ok(aborted) = decode_index(base_offset, bytes) else {
            return Err(ReadError::Corrupt { base_offset, position: 0 });
        };
        let has_ended = search.take(base_offset, &aborted);
        if matches!(segment.aborted, AbortedIndex::OnDisk) {
            segment.aborted = AbortedIndex::Loaded(aborted);
            self.keep_aborted(plan.file);
        }
        Ok(has_ended)
    }

    /// Drops the aborted transactions of other closed segments, oldest first, past
    /// [`SEALED_INDEXES_MAX`].
    pub(super) fn keep_aborted(&mut self, file: FileId) {
        let is_kept = |segment: &Segment<M::Chunk>| {
            let is_loaded =
                matches!(&segment.aborted, AbortedIndex::Loaded(aborted) if !aborted.is_empty());
            segment.writer.is_none() && is_loaded
        };
        let mut count = self.segments.iter().filter(|segment| is_kept(segment)).count();
        for segment in &mut self.segments {
            if count > SEALED_INDEXES_MAX && is_kept(segment) && segment.file != file {
                segment.aborted = AbortedIndex::OnDisk;
                count -= 1;
            }
        }
    }
}
