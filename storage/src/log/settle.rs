//! What the end of an op means.
//!
//! Invariant: offsets move only here and in `append`. The first error latches: from then on ends
//! of ops are only counted, for what they say about the disk can no longer be trusted.

use super::{Failure, Log, Pending, Purpose};
use crate::ops::{DiskDone, DiskError, DiskErrorKind, FileId, Memory};
use crate::segment::{FileState, SealStep, Writer};

impl<M: Memory> Log<M> {
    /// An op that [`Log::take_ops`] handed out has ended. Ask for more afterwards.
    pub fn done(&mut self, done: DiskDone) {
        let at = self.pending.iter().position(|pending| pending.id == done.id);
        let at = at.expect("every op is answered once");
        let Pending { id, file, purpose } = self.pending.swap_remove(at);
        if self.failure.is_some() {
            return;
        }
        // Segments leave only in `truncate`, `close` and `retire`, which want no op in flight.
        let index = self.segment_index(file).expect("an op's segment is still there");
        match done.result {
            #[cfg(test)]
            Err(_) if self.retry_is_planted(index, purpose) => {}
            Err(error) if !is_harmless(purpose, error) && !self.error_is_ignored(purpose) => {
                self.fail(index, purpose, error);
            }
            _ => self.succeeded(index, id, purpose),
        }
    }

    /// The system says, beside any op, that it cannot write what it has cached of a segment: as bad
    /// as a failed flush, which may not tell of it again.
    pub fn write_back_failed(&mut self, file: FileId, error: DiskError) {
        if let (None, Some(index)) = (&self.failure, self.segment_index(file)) {
            let base_offset = self.segments[index].base_offset;
            self.failure = Some(Failure { what: super::A_FLUSH, base_offset, error });
        }
    }

    fn succeeded(&mut self, index: usize, id: u64, purpose: Purpose) {
        match purpose {
            Purpose::Create => self.writer_mut(index).state = FileState::Open,
            Purpose::Allocate { to } => {
                let writer = self.writer_mut(index);
                (writer.allocating, writer.allocated) = (false, to);
            }
            Purpose::Write => self.writer_mut(index).landed(id),
            Purpose::Sync { mark } => {
                let writer = self.writer_mut(index);
                writer.syncing = false;
                assert!(mark.position >= writer.synced_mark.position, "flushes do not go back");
                writer.synced_mark = mark;
            }
            Purpose::SealTruncate => self.set_seal_step(index, SealStep::Truncated),
            Purpose::SealSync => {
                let writer = self.writer_mut(index);
                writer.synced_mark = writer.written_mark;
                self.set_seal_step(index, SealStep::Synced);
            }
            Purpose::SealFile => self.sealed_file(index),
            Purpose::SealClose => {
                self.segments[index].writer = None;
                let file = self.segments[index].file;
                self.keep_index(file);
                self.keep_aborted(file);
            }
            Purpose::CheckpointFile => self.checkpointed_file(index),
            Purpose::Epochs => self.epochs_in_flight = false,
            Purpose::Remove => {}
            Purpose::Retire => self.retired(index),
        }
        self.settle_offsets();
    }

    fn sealed_file(&mut self, index: usize) {
        let seal = self.writer_mut(index).seal.as_mut().expect("it is being sealed");
        let SealStep::Files(left) = &mut seal.step else { panic!("files were on their way") };
        *left -= 1;
        if *left > 0 {
            return;
        }
        if !seal.snapshot.is_empty() {
            seal.step = SealStep::Indexed;
        } else {
            seal.step = SealStep::Filed;
            let next_base = seal.next_base;
            self.recovery_point = self.recovery_point.max(next_base);
            self.segments[index + 1].has_snapshot = true;
        }
    }

    fn checkpointed_file(&mut self, index: usize) {
        let writer = self.writer_mut(index);
        let checkpoint = writer.checkpoint.as_mut().expect("a recovery point is being made");
        let left = checkpoint.files.as_mut().expect("files were on their way");
        *left -= 1;
        if *left == 0 && checkpoint.snapshot.is_empty() {
            let offset = checkpoint.at.offset;
            writer.checkpoint = None;
            self.recovery_point = self.recovery_point.max(offset);
            self.keep_snapshot(offset);
        }
    }

    fn set_seal_step(&mut self, index: usize, step: SealStep) {
        self.writer_mut(index).seal.as_mut().expect("it is being sealed").step = step;
    }

    /// Written and flushed reach as far as they do without a hole, over all open segments.
    pub(super) fn settle_offsets(&mut self) {
        let written = self.contiguous(|writer| writer.written_mark.offset);
        let flushed = self.contiguous(|writer| writer.synced_mark.offset);
        assert!(written >= self.written, "the written offset does not go back");
        assert!(flushed >= self.flushed, "the flushed offset does not go back");
        assert!(flushed <= written, "only what is written is flushed");
        assert!(written <= self.end, "only what is appended is written");
        (self.written, self.flushed) = (written, flushed);
    }

    fn contiguous(&self, reached: impl Fn(&Writer) -> i64) -> i64 {
        for index in self.first_open()..self.segments.len() {
            let writer = self.segments[index].writer.as_ref().expect("an open segment");
            let reached = reached(writer);
            if reached < self.segment_end(index) {
                return reached;
            }
        }
        self.end
    }

    fn fail(&mut self, index: usize, purpose: Purpose, error: DiskError) {
        let what = match purpose {
            Purpose::Create => "creating the file",
            Purpose::Allocate { .. } => "allocating space",
            Purpose::Write => "a write",
            Purpose::Sync { .. } | Purpose::SealSync => super::A_FLUSH,
            Purpose::SealTruncate => "cutting the file",
            Purpose::SealFile | Purpose::CheckpointFile => "replacing an index or snapshot",
            Purpose::SealClose => "closing the file",
            Purpose::Epochs => "replacing leader-epoch-checkpoint",
            Purpose::Remove => "removing a snapshot",
            Purpose::Retire => "removing the files",
        };
        let base_offset = self.segments[index].base_offset;
        self.failure = Some(Failure { what, base_offset, error });
    }

    #[cfg(test)]
    fn error_is_ignored(&self, purpose: Purpose) -> bool {
        self.config.planted(crate::Planted::IgnoreWriteError) && purpose == Purpose::Write
    }

    #[cfg(test)]
    fn retry_is_planted(&mut self, index: usize, purpose: Purpose) -> bool {
        let planted = self.config.planted(crate::Planted::RetryFailedSync);
        match purpose {
            Purpose::Sync { .. } if planted => self.writer_mut(index).syncing = false,
            Purpose::SealSync if planted => self.set_seal_step(index, SealStep::Truncated),
            _ => return false,
        }
        true
    }

    #[cfg(not(test))]
    fn error_is_ignored(&self, _purpose: Purpose) -> bool {
        false
    }
}

/// A snapshot that is not there need not be removed.
fn is_harmless(purpose: Purpose, error: DiskError) -> bool {
    purpose == Purpose::Remove && error.kind == DiskErrorKind::NotFound
}
