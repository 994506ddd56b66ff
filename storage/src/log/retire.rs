//! The start of the log moves up (DeleteRecords, retention), and segments that lie wholly below it
//! leave the disk.
//!
//! One segment at a time, the oldest first, each durably gone before the next: whatever a crash
//! takes back, what is left is dense, and opening takes it up again. The active segment stays
//! always, so that the log's end is never forgotten. Readers of a segment that goes are told
//! [`ReadError::Stale`](super::ReadError::Stale), then that its offsets are out of range; handles
//! they have open still read.
//!
//! The offset itself belongs into `log-start-offset-checkpoint`: until it is there, a crash brings
//! back what was not removed yet, as in Kafka. For that the leader epochs are kept from the first
//! segment on, and looked up as if they began where the log does.

use super::write::WriteOf;
use super::{Log, Purpose};
use crate::ops::{DiskKind, DiskOp, FileId, Memory};
use crate::segment::{FileState, SEGMENT_SUFFIXES, file_name};

/// What goes when the log is surely gone: until then recovery begins with the snapshot at its base,
/// and what the segment says was aborted is nowhere else.
const AFTER_LOG: [&str; 2] = ["txnindex", "snapshot"];

impl<M: Memory> Log<M> {
    /// Moves the start of the log up to `offset`, which everything durable may reach; never back.
    /// Producers are remembered whatever goes (rule 29).
    pub fn advance_log_start(&mut self, offset: i64) {
        assert!(offset <= self.end, "the log starts at or before its end");
        if offset <= self.log_start {
            return;
        }
        self.log_start = offset;
        self.as_closed = false;
    }

    /// Whether a segment that was planned to be read is gone, or on its way out: a plan made now
    /// does not lead to it.
    pub fn is_retired(&self, file: FileId) -> bool {
        match self.segment_index(file) {
            Some(index) => self.segment_end(index) <= self.log_start,
            None => true,
        }
    }

    /// Hands out the removal of the oldest segment, if the log starts behind it.
    pub(super) fn take_retirement(&mut self, out: &mut Vec<DiskOp<WriteOf<M>>>) {
        if !self.may_retire() {
            return;
        }
        let base = self.segments[0].base_offset;
        // The log goes after the files that help it: they are rebuilt, a log is not.
        let suffixes = SEGMENT_SUFFIXES.into_iter().filter(|suffix| !AFTER_LOG.contains(suffix));
        let paths = suffixes.map(|suffix| file_name(base, suffix)).collect();
        self.hand_out(0, Purpose::Retire, DiskKind::Retire { paths }, out);
    }

    fn may_retire(&self) -> bool {
        let (Some(first), Some(second)) = (self.segments.front(), self.segments.get(1)) else {
            return false;
        };
        // What comes after a crash begins at the second segment: it has to be there.
        let is_there = match &second.writer {
            Some(writer) => writer.state == FileState::Open || writer.written > 0,
            None => true,
        };
        let busy = self.pending.iter().any(|pending| pending.file == first.file);
        // Nor may what only the first segment knows of the producers be lost with it.
        let is_known = self.segments.iter().skip(1).any(|segment| segment.has_snapshot);
        #[cfg(test)]
        if self.config.planted(crate::Planted::RetireAtStart) {
            return first.base_offset < self.log_start && first.writer.is_none() && !busy;
        }
        let is_below = second.base_offset <= self.log_start && first.writer.is_none();
        is_below && is_there && is_known && !busy
    }

    /// The oldest segment is gone from the disk.
    pub(super) fn retired(&mut self, index: usize) {
        assert!(index == 0, "the oldest segment goes first");
        let gone = self.segments.pop_front().expect("the removal was of a segment");
        self.removals.extend(AFTER_LOG.map(|suffix| file_name(gone.base_offset, suffix)));
        self.mid_snapshots.retain(|&offset| offset != gone.base_offset);
        let first = self.segments.front().expect("the active segment stays").base_offset;
        self.epochs_dirty |= self.epochs.truncate_from_start(first);
    }
}
