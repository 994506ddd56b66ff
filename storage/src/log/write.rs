//! What to ask of the disk next: group commit, allocation, flushes, recovery points, sealing.
//!
//! Group commit: while nothing is in flight for a segment, all of it that is dirty goes at once,
//! with the unfinished last block padded; while something is in flight, arrivals gather, and only
//! whole blocks join, once there are `gather_bytes` of them. So a lone batch waits for nobody, and
//! under load writes grow to what the device takes.
//!
//! A block that was written unfinished is rewritten as an op of its own, and if its earlier write
//! is still with the disk the rewrite waits for that, while the fresh blocks behind it go ahead.

use std::path::PathBuf;

use super::{EPOCHS_NAME, Log, MID_SNAPSHOTS_MAX, Pending, Purpose};
use crate::config::{Durability, LogConfig};
use crate::ops::{BLOCK_BYTES, Chunk, DiskKind, DiskOp, Memory};
use crate::segment::{
    Checkpoint, FileState, Flight, FlightState, SealStep, Segment, Writer, file_name,
};
use crate::tail::{BatchAt, block_ceil, block_floor};

pub(super) type WriteOf<M> = <<M as Memory>::Chunk as Chunk>::Write;

/// An op before it has a number.
type Wanted<C> = (Purpose, DiskKind<<C as Chunk>::Write>);

impl<M: Memory> Log<M> {
    /// Everything that may be asked of the disk now. Call it after appends and after [`Log::done`],
    /// once per turn: what gathers in between goes together.
    pub fn take_ops(&mut self, out: &mut Vec<DiskOp<WriteOf<M>>>) {
        if self.failure.is_some() {
            return;
        }
        if self.epochs_dirty && !self.epochs_in_flight {
            (self.epochs_dirty, self.epochs_in_flight) = (false, true);
            let bytes = self.epochs.render().into_bytes();
            let kind = DiskKind::Replace { path: PathBuf::from(EPOCHS_NAME), bytes };
            self.hand_out(self.segments.len() - 1, Purpose::Epochs, kind, out);
        }
        let first_open = self.first_open();
        for index in first_open..self.segments.len() {
            self.begin_checkpoint(index);
            let oldest = index == first_open;
            self.take_segment_ops(index, oldest, out);
        }
        for path in std::mem::take(&mut self.removals) {
            let kind = DiskKind::Remove { path };
            self.hand_out(self.segments.len() - 1, Purpose::Remove, kind, out);
        }
        self.take_retirement(out);
    }

    fn take_segment_ops(&mut self, index: usize, oldest: bool, out: &mut Vec<DiskOp<WriteOf<M>>>) {
        // Files appear in order: a crash never leaves a segment without the one before it.
        let before = index.checked_sub(1).and_then(|at| self.segments[at].writer.as_ref());
        let follows = before.is_none_or(|before| before.state == FileState::Open);
        let size_before = index.checked_sub(1).map_or(0, |at| self.segments[at].size);
        let segment = &mut self.segments[index];
        let writer = segment.writer.as_mut().expect("an open segment has a writer");
        if writer.state == FileState::Absent && !follows {
            return;
        }
        if segment.size == 0 || (writer.state == FileState::Absent && !is_wanted(writer)) {
            return;
        }
        if writer.state == FileState::Absent {
            writer.state = FileState::Opening;
            let size = allocation_for(&self.config, segment.size, size_before);
            writer.allocated = size;
            let kind = DiskKind::Create { path: segment.log_name(), size };
            return self.hand_out(index, Purpose::Create, kind, out);
        }
        if writer.state == FileState::Opening {
            return;
        }
        if let Some(to) = next_allocation(&self.config, segment.size, writer) {
            writer.allocating = true;
            let kind = DiskKind::Allocate { from: writer.allocated, to };
            self.hand_out(index, Purpose::Allocate { to }, kind, out);
        }
        self.take_writes(index, out);
        self.take_sync(index, out);
        self.take_checkpoint_files(index, oldest, out);
        self.take_seal_step(index, oldest, out);
    }

    fn take_writes(&mut self, index: usize, out: &mut Vec<DiskOp<WriteOf<M>>>) {
        let mut id = self.next_id;
        let segment = &mut self.segments[index];
        let mut wanted = Vec::new();
        take_waiting(segment, &mut id, &mut wanted);
        plan_fresh(&self.config, segment, &mut id, &mut wanted);
        #[cfg(test)]
        if self.config.planted(crate::Planted::AckBeforeWrite) {
            let writer = segment.writer.as_mut().expect("an open segment has a writer");
            let submitted = writer.submitted;
            writer.settle_marks(submitted);
            self.settle_offsets();
        }
        for (purpose, kind) in wanted {
            self.hand_out(index, purpose, kind, out);
        }
        assert!(self.next_id == id, "writes were numbered as they were handed out");
    }

    fn take_sync(&mut self, index: usize, out: &mut Vec<DiskOp<WriteOf<M>>>) {
        let durability = self.config.durability;
        let writer = self.writer_mut(index);
        let behind = writer.synced_mark.position < writer.written_mark.position;
        let checkpoint_waits = writer.checkpoint.as_ref().is_some_and(|checkpoint| {
            checkpoint.files.is_none()
                && checkpoint.at.position <= writer.written_mark.position
                && checkpoint.at.position > writer.synced_mark.position
        });
        let wanted = checkpoint_waits || (durability == Durability::Synced && behind);
        // Once the segment is being cut, sealing brings its own flush.
        let cutting = writer.seal.as_ref().is_some_and(|seal| seal.step != SealStep::Draining);
        if writer.syncing || cutting || !wanted {
            return;
        }
        let mark = writer.written_mark;
        #[cfg(test)]
        if self.plant_sync(index, mark, checkpoint_waits) {
            return;
        }
        self.writer_mut(index).syncing = true;
        self.hand_out(index, Purpose::Sync { mark }, DiskKind::Sync, out);
    }

    /// The log is flushed up to a recovery point: its files follow.
    fn take_checkpoint_files(
        &mut self,
        index: usize,
        oldest: bool,
        out: &mut Vec<DiskOp<WriteOf<M>>>,
    ) {
        let epochs_are_on_disk = !self.epochs_dirty && !self.epochs_in_flight;
        let segment = &mut self.segments[index];
        let writer = segment.writer.as_mut().expect("an open segment has a writer");
        let synced = writer.synced_mark.position;
        let Some(checkpoint) = writer.checkpoint.as_mut() else { return };
        let flushed = checkpoint.at.position <= synced;
        let files = match checkpoint.files {
            None if flushed && oldest && epochs_are_on_disk => segment.index_files(),
            // If the log rolls right here, recovery may begin with this snapshot: what was
            // aborted before it is on disk by now.
            Some(0) => {
                let snapshot = std::mem::take(&mut checkpoint.snapshot);
                vec![(file_name(checkpoint.at.offset, "snapshot"), snapshot)]
            }
            _ => return,
        };
        #[cfg(test)]
        let files = forget_aborted(&self.config, files);
        let checkpoint = self.writer_mut(index).checkpoint.as_mut();
        checkpoint.expect("it was there").files = Some(files.len());
        for (path, bytes) in files {
            let kind = DiskKind::Replace { path, bytes };
            self.hand_out(index, Purpose::CheckpointFile, kind, out);
        }
    }

    fn take_seal_step(&mut self, index: usize, oldest: bool, out: &mut Vec<DiskOp<WriteOf<M>>>) {
        let segment = &mut self.segments[index];
        let size = segment.size;
        let writer = segment.writer.as_mut().expect("an open segment has a writer");
        let is_idle = writer.written == size
            && writer.flights.is_empty()
            && !writer.allocating
            && !writer.syncing
            && writer.checkpoint.is_none();
        let Some(seal) = writer.seal.as_mut() else { return };
        match seal.step {
            SealStep::Draining if is_idle => {
                seal.step = SealStep::Truncating;
                self.hand_out(index, Purpose::SealTruncate, DiskKind::Truncate { size }, out);
            }
            SealStep::Truncated => {
                seal.step = SealStep::Syncing;
                self.hand_out(index, Purpose::SealSync, DiskKind::Sync, out);
            }
            // Oldest first: a recovery point behind this segment vouches for all before it.
            SealStep::Synced if oldest && !self.epochs_dirty && !self.epochs_in_flight => {
                let files = segment.index_files();
                #[cfg(test)]
                let files = forget_aborted(&self.config, files);
                self.hand_out_seal_files(index, files, out);
            }
            // A recovery that begins with the snapshot finds what was aborted before it.
            SealStep::Indexed => {
                let snapshot = std::mem::take(&mut seal.snapshot);
                let files = vec![(file_name(seal.next_base, "snapshot"), snapshot)];
                self.hand_out_seal_files(index, files, out);
            }
            SealStep::Filed => {
                seal.step = SealStep::Closing;
                self.hand_out(index, Purpose::SealClose, DiskKind::Close, out);
            }
            _ => {}
        }
    }

    fn hand_out_seal_files(
        &mut self,
        index: usize,
        files: Vec<(PathBuf, Vec<u8>)>,
        out: &mut Vec<DiskOp<WriteOf<M>>>,
    ) {
        let seal = self.writer_mut(index).seal.as_mut().expect("it is being sealed");
        seal.step = SealStep::Files(files.len());
        for (path, bytes) in files {
            let kind = DiskKind::Replace { path, bytes };
            self.hand_out(index, Purpose::SealFile, kind, out);
        }
    }

    /// Wants a recovery point at the end of the log as it is now (the 60 s timer of
    /// `log.flush.offset.checkpoint.interval.ms`). It shows in [`Log::recovery_point`] later.
    pub fn checkpoint(&mut self) {
        self.checkpoint_asked = self.recovery_point < self.end && self.failure.is_none();
    }

    /// Notes where a recovery point shall be: the producers' state has to be taken now.
    fn begin_checkpoint(&mut self, index: usize) {
        if index + 1 != self.segments.len() {
            return;
        }
        let at = BatchAt { offset: self.end, position: self.active().size };
        let checkpoint_bytes = self.config.checkpoint_bytes;
        let asked = self.checkpoint_asked;
        let writer = self.writer_mut(index);
        let due = at.position - writer.checkpointed >= checkpoint_bytes;
        if at.position == writer.checkpointed {
            self.checkpoint_asked = false;
            return;
        }
        if !(asked || due) || writer.checkpoint.is_some() {
            return;
        }
        self.checkpoint_asked = false;
        let snapshot = self.producers.encode_snapshot();
        let writer = self.writer_mut(index);
        writer.checkpointed = at.position;
        writer.checkpoint = Some(Checkpoint { at, snapshot, files: None });
    }

    /// The newest mid-segment snapshot is durable; the ones that nobody needs any more go.
    pub(super) fn keep_snapshot(&mut self, offset: i64) {
        if self.mid_snapshots.back() != Some(&offset) {
            self.mid_snapshots.push_back(offset);
        }
        while self.mid_snapshots.len() > MID_SNAPSHOTS_MAX
            && let Some(old) = self.mid_snapshots.pop_front()
        {
            self.remove_snapshot(old);
        }
    }

    /// Removes a snapshot unless a segment starts there.
    pub(super) fn remove_snapshot(&mut self, offset: i64) {
        if !self.segments.iter().any(|segment| segment.base_offset == offset) {
            self.removals.push(file_name(offset, "snapshot"));
        }
    }

    pub(super) fn writer_mut(&mut self, index: usize) -> &mut Writer {
        self.segments[index].writer.as_mut().expect("an open segment has a writer")
    }

    pub(super) fn hand_out(
        &mut self,
        index: usize,
        purpose: Purpose,
        kind: DiskKind<WriteOf<M>>,
        out: &mut Vec<DiskOp<WriteOf<M>>>,
    ) {
        let (id, file) = (self.next_id, self.segments[index].file);
        self.next_id += 1;
        self.pending.push(Pending { id, file, purpose });
        out.push(DiskOp { id, file, kind });
    }
}

/// Whether there is anything to open the file for.
fn is_wanted(writer: &Writer) -> bool {
    !writer.marks.is_empty() || writer.seal.is_some() || writer.checkpoint.is_some()
}

/// The file's largest size: what a full segment's last block needs.
fn size_max(config: &LogConfig) -> u64 {
    block_ceil(config.segment_bytes)
}

/// The piece of space that a segment of `size` bytes is given next: as much as it has, so that ten
/// thousand partitions of a few records each do not fill the disk.
fn piece_for(config: &LogConfig, size: u64) -> u64 {
    let first = config.allocate_first_bytes.min(config.allocate_bytes);
    block_ceil(size).clamp(first, config.allocate_bytes)
}

/// The space that a segment of `size` bytes starts with, when the one before it came to
/// `size_before`: it is likely to come to the same.
fn allocation_for(config: &LogConfig, size: u64, size_before: u64) -> u64 {
    let pieces = (size + 1).next_multiple_of(piece_for(config, size.max(size_before)));
    pieces.min(size_max(config).max(block_ceil(size)))
}

/// The next piece of space, when the writer is past the middle of the last one.
fn next_allocation(config: &LogConfig, size: u64, writer: &Writer) -> Option<u64> {
    // A log whose `segment.bytes` shrank has to write all of a segment that is larger.
    let size_max = size_max(config).max(block_ceil(size));
    let piece = piece_for(config, writer.allocated);
    let past_middle = size > writer.allocated.saturating_sub(piece / 2);
    if writer.allocating || writer.seal.is_some() && size <= writer.allocated {
        return None;
    }
    if !past_middle || writer.allocated >= size_max {
        return None;
    }
    let needed = size.next_multiple_of(piece);
    Some((writer.allocated + piece).max(needed).min(size_max))
}

/// Rewrites of the tail block whose earlier write is done by now.
fn take_waiting<C: Chunk>(segment: &mut Segment<C>, id: &mut u64, wanted: &mut Vec<Wanted<C>>) {
    let writer = segment.writer.as_mut().expect("an open segment has a writer");
    for at in 0..writer.flights.len() {
        let Flight { start, state, .. } = writer.flights[at];
        if state != FlightState::Waiting || writer.block_is_in_flight(start) {
            continue;
        }
        writer.flights[at].state = FlightState::InFlight(*id);
        *id += 1;
        let data = segment.tail.write(start..start + BLOCK_BYTES);
        wanted.push((Purpose::Write, DiskKind::Write { at: start, data }));
    }
}

/// Writes of what was not handed out before.
fn plan_fresh<C: Chunk>(
    config: &LogConfig,
    segment: &mut Segment<C>,
    id: &mut u64,
    wanted: &mut Vec<Wanted<C>>,
) {
    let writer = segment.writer.as_mut().expect("an open segment has a writer");
    let busy = !writer.flights.is_empty();
    let fresh_from = block_ceil(writer.submitted);
    let mut upto = if busy { block_floor(segment.size) } else { segment.size };
    if busy && upto < fresh_from + config.gather_bytes {
        return;
    }
    upto = upto.min(allocation_limit(config, writer));
    #[cfg(test)]
    if config.planted(crate::Planted::ForgetTailOnRoll) && writer.seal.is_some() {
        upto = upto.min(block_floor(segment.size));
        if upto <= writer.submitted {
            let size = segment.size;
            (writer.submitted, writer.written) = (size, size);
            writer.settle_marks(size);
            return;
        }
    }
    let has_tail = writer.submitted < fresh_from;
    if writer.submitted >= upto || writer.flights.len() + usize::from(has_tail) > places(config) {
        return;
    }
    if has_tail {
        let start = block_floor(writer.submitted);
        let waits = writer.block_is_in_flight(start) && !overlap_is_planted(config);
        let state = if waits { FlightState::Waiting } else { FlightState::InFlight(*id) };
        writer.flights.push_back(Flight { start, end: upto.min(fresh_from), state });
        writer.submitted = upto.min(fresh_from);
        if !waits {
            *id += 1;
            let data = segment.tail.write(start..start + BLOCK_BYTES);
            wanted.push((Purpose::Write, DiskKind::Write { at: start, data }));
        }
    }
    while writer.submitted < upto && writer.flights.len() < config.inflight_writes_max {
        let start = writer.submitted;
        let chunk_end = segment.tail.chunk_full_at(start);
        let end = upto.min(start + config.write_bytes_max).min(chunk_end);
        let data = segment.tail.write(start..block_ceil(end));
        writer.flights.push_back(Flight { start, end, state: FlightState::InFlight(*id) });
        writer.submitted = end;
        *id += 1;
        wanted.push((Purpose::Write, DiskKind::Write { at: start, data }));
    }
}

/// Flights that may be under way when another one, the rewrite excluded, joins them.
fn places(config: &LogConfig) -> usize {
    config.inflight_writes_max - 1
}

#[cfg(test)]
fn forget_aborted(
    config: &LogConfig,
    mut files: Vec<(PathBuf, Vec<u8>)>,
) -> Vec<(PathBuf, Vec<u8>)> {
    if config.planted(crate::Planted::ForgetAborted) {
        files.retain(|(name, _)| name.extension().is_none_or(|suffix| suffix != "txnindex"));
    }
    files
}

#[cfg(test)]
fn overlap_is_planted(config: &LogConfig) -> bool {
    config.planted(crate::Planted::OverlapTailBlock)
}

#[cfg(not(test))]
fn overlap_is_planted(_config: &LogConfig) -> bool {
    false
}

#[cfg(test)]
fn allocation_limit(config: &LogConfig, writer: &Writer) -> u64 {
    let planted = config.planted(crate::Planted::WritePastAllocation);
    if planted { u64::MAX } else { writer.allocated }
}

#[cfg(not(test))]
fn allocation_limit(_config: &LogConfig, writer: &Writer) -> u64 {
    writer.allocated
}

#[cfg(test)]
impl<M: Memory> Log<M> {
    /// Bugs that leave a flush out; says whether one did.
    fn plant_sync(&mut self, index: usize, mark: BatchAt, checkpoint_waits: bool) -> bool {
        use crate::Planted::{AckBeforeSync, ForgetSyncBeforeRecoveryPoint};
        let forgotten = self.config.planted(ForgetSyncBeforeRecoveryPoint) && checkpoint_waits
            || self.config.planted(AckBeforeSync);
        if forgotten {
            self.writer_mut(index).synced_mark = mark;
            self.settle_offsets();
        }
        forgotten
    }
}
