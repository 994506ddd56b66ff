//! One partition's log: what is in it, and how far each part of it has come.
//!
//! ```text
//! append ──► memory chunks ──► Write ops ──► written ──► Sync ──► flushed
//!            end_offset                      written_offset       flushed_offset
//! ```
//!
//! One file per verb: [`append`](append), [`roll`](roll), [`write`](write) (group commit),
//! [`settle`](settle) (what an op's end means), [`read`](read), [`time`](time),
//! [`transactions`](transactions), [`open`](open) and [`scan`](scan) (recovery), [`close`](close),
//! [`truncate`](truncate) (the end), [`retire`](retire) (the start).
//!
//! Invariants: there is always a last segment, the active one, and it alone is appended to;
//! segments are dense: each ends where the next begins (a compacted log may have gaps); segments
//! with a [`Writer`](crate::segment::Writer) are the newest ones, and all but the active one are
//! being sealed.

mod append;
mod close;
mod look_back;
mod open;
mod read;
mod recover;
mod retire;
mod roll;
mod scan;
mod settle;
mod time;
mod transactions;
mod truncate;
mod walk;
mod write;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

pub use append::{AppendError, Appended};
pub use open::{Cut, CutReason, OpenError, RecoveryHint, RecoveryReport};
pub use read::{DiskPlan, IndexPlan, ReadError, ReadPlan, SEALED_INDEXES_MAX};
pub use time::{OpenBatch, TimeAnswer, TimePlan, TimeStep};
pub use transactions::{AbortedPlan, AbortedSearch};

use crate::config::{Durability, LogConfig};
use crate::epochs::{EpochCache, EpochEnd};
use crate::ops::{DiskError, FileId, Memory};
use crate::producer::ProducerTable;
use crate::segment::Segment;
use ringlog_wire::Uuid;
use transactions::Decided;

/// Mid-segment producer snapshots kept: the newest, and the one that the recovery point on disk
/// may still name.
const MID_SNAPSHOTS_MAX: usize = 2;

/// The name of the leader epochs' file.
pub(crate) const EPOCHS_NAME: &str = "leader-epoch-checkpoint";

/// What an op in flight was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Create,
    Allocate { to: u64 },
    Write,
    Sync { mark: crate::tail::BatchAt },
    SealTruncate,
    SealSync,
    SealFile,
    SealClose,
    CheckpointFile,
    Epochs,
    Remove,
    Retire,
}

/// An op that was handed out and is not answered yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub id: u64,
    pub file: FileId,
    pub purpose: Purpose,
}

/// Why the log takes nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was being done.
    pub what: &'static str,
    /// The segment it was done to.
    pub base_offset: i64,
    /// What the disk said.
    pub error: DiskError,
}

/// What a failed flush was doing.
pub(crate) const A_FLUSH: &str = "a flush";

impl Failure {
    /// Whether it was a flush: what was written before it may be gone without another error.
    pub fn is_flush(&self) -> bool {
        self.what == A_FLUSH
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Failure { what, base_offset, error } = self;
        write!(out, "{what} of segment {base_offset:020} failed: {error}")
    }
}

/// One partition's log. See the module.
pub struct Log<M: Memory> {
    config: LogConfig,
    dir: PathBuf,
    topic_id: Uuid,
    segments: VecDeque<Segment<M::Chunk>>,
    epochs: EpochCache,
    epochs_dirty: bool,
    epochs_in_flight: bool,
    producers: ProducerTable,
    /// In the order of their markers.
    decided: VecDeque<Decided>,
    log_start: i64,
    end: i64,
    written: i64,
    flushed: i64,
    /// The files are as a clean stop leaves them.
    as_closed: bool,
    recovery_point: i64,
    checkpoint_asked: bool,
    /// Offsets of producer snapshots that are not segment bases, oldest first.
    mid_snapshots: VecDeque<i64>,
    /// Files to remove.
    removals: Vec<PathBuf>,
    pending: Vec<Pending>,
    next_id: u64,
    next_file: u32,
    failure: Option<Failure>,
}

impl<M: Memory> Log<M> {
    /// The first offset that can be read.
    pub fn log_start_offset(&self) -> i64 {
        self.log_start
    }

    /// The offset that the next record gets.
    pub fn end_offset(&self) -> i64 {
        self.end
    }

    /// Everything below it has been written: it survives the death of the process.
    pub fn written_offset(&self) -> i64 {
        self.written
    }

    /// Everything below it has been flushed: it survives the loss of power.
    pub fn flushed_offset(&self) -> i64 {
        self.flushed
    }

    /// Everything below it is durable in the configured sense: what may be acknowledged.
    pub fn durable_offset(&self) -> i64 {
        match self.config.durability {
            Durability::Memory => self.end,
            Durability::Written => self.written,
            Durability::Synced => self.flushed,
        }
    }

    /// Everything below it need not be scanned after an unclean stop: what belongs into
    /// `recovery-point-offset-checkpoint`.
    pub fn recovery_point(&self) -> i64 {
        self.recovery_point
    }

    /// Whether an operation failed: the log takes and writes nothing more, but answers reads.
    pub fn is_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// What failed.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// The topic's identity, as in `partition.metadata`.
    pub fn topic_id(&self) -> Uuid {
        self.topic_id
    }

    /// The partition's directory, relative to the data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The settings.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// The base offset of the first segment: at or before the log's start.
    pub fn first_segment_offset(&self) -> i64 {
        self.segments.front().map_or(self.log_start, |first| first.base_offset)
    }

    /// New settings from now on: for the next append, roll, flush and index entry. What the log was
    /// opened with stays for the rest ([`LogConfig::taking`]). With a stronger durability
    /// [`Log::durable_offset`] may go back: what was acknowledged under the old one is not taken
    /// back by whoever acknowledged it.
    pub fn reconfigure(&mut self, config: LogConfig) {
        let config = self.config.taking(config);
        config.assert_valid();
        self.config = config;
    }

    /// Bytes of all batches, on disk and in memory.
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    /// The number of segments.
    pub fn segments_count(&self) -> usize {
        self.segments.len()
    }

    /// Ops handed out and not answered yet. [`Log::close`] wants none.
    pub fn ops_in_flight(&self) -> usize {
        self.pending.len()
    }

    /// The leader epochs.
    pub fn epochs(&self) -> &EpochCache {
        &self.epochs
    }

    /// A new leader epoch begins at the end of the log, even if it never gets a batch.
    pub fn begin_epoch(&mut self, epoch: i32) {
        if self.epochs.latest().is_none_or(|latest| latest.epoch < epoch) {
            self.epochs_dirty |= self.epochs.assign(epoch, self.end);
            self.as_closed = false;
        }
    }

    /// Where the largest known epoch at or below `epoch` ends (OffsetForLeaderEpoch).
    pub fn end_offset_for_epoch(&self, epoch: i32) -> Option<EpochEnd> {
        // Epochs that end before the log starts are as unknown as those before the first.
        match self.epochs.epoch_for_offset(self.log_start) {
            Some(first) if (0..first).contains(&epoch) => {
                Some(EpochEnd { epoch, end_offset: self.log_start })
            }
            _ => self.epochs.end_offset_for_epoch(epoch, self.end),
        }
    }

    /// What is known of the producers.
    pub fn producers(&self) -> &ProducerTable {
        &self.producers
    }

    /// Forgets producers silent for `producer.id.expiration.ms`; says how many.
    pub fn expire_producers(&mut self, now_ms: i64) -> usize {
        self.producers.expire(now_ms, self.config.producer_expiration_ms)
    }

    /// Cached bytes that [`Log::evict`] could free now.
    pub fn clean_bytes(&self) -> u64 {
        let clean =
            |segment: &Segment<M::Chunk>| segment.tail.clean_bytes(segment.clean_position());
        self.segments.iter().map(clean).sum()
    }

    /// Drops cached chunks, oldest first, until `bytes` are freed or nothing clean is left. Says
    /// how much it freed. Slices handed out before keep their memory alive on their own.
    pub fn evict(&mut self, bytes: u64) -> u64 {
        let mut freed = 0;
        for segment in &mut self.segments {
            let (clean, may_grow) = (segment.clean_position(), segment.writer.is_some());
            while freed < bytes
                && let Some(chunk) = segment.tail.evict(clean, may_grow)
            {
                freed += chunk;
            }
        }
        freed
    }

    fn active(&self) -> &Segment<M::Chunk> {
        self.segments.back().expect("there is always an active segment")
    }

    fn active_mut(&mut self) -> &mut Segment<M::Chunk> {
        self.segments.back_mut().expect("there is always an active segment")
    }

    /// The first segment that is still open for writing.
    fn first_open(&self) -> usize {
        let closed = self.segments.iter().rev().take_while(|s| s.writer.is_some()).count();
        self.segments.len() - closed
    }

    fn segment_index(&self, file: FileId) -> Option<usize> {
        self.segments.iter().rposition(|segment| segment.file == file)
    }

    /// The offset after a segment's last batch.
    fn segment_end(&self, index: usize) -> i64 {
        self.segments.get(index + 1).map_or(self.end, |next| next.base_offset)
    }

    fn new_file(&mut self) -> FileId {
        self.next_file += 1;
        FileId(self.next_file)
    }
}
