//! The logs of one shard, run on its ring: what each log asks of the disk is submitted at the
//! turn's end, what has ended is told to it, and whoever waited for that is answered.
//!
//! Invariants: every operation that a log hands out is answered exactly once; a log that failed is
//! left alone until all its operations have ended, then opened anew and checked; other logs never
//! notice.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringlog_shard::fs::{self, DataDir, File};
use ringlog_storage::{DiskDone, DiskError, DiskKind, DiskOp, FileId, RecoveryHint};
use ringlog_wire::error::ErrorCode;

use super::files::disk_error;
use super::segment_file::{self, SegmentFile, Way};
use super::{DiskWork, Seat, ShardCore, Shell};
use crate::api::asks::{Answer, Answered};
use crate::config::Io;
use crate::memory::{LogMemory, LogWrite};
use crate::message::{Message, Produced, TopicPartition};
use crate::metrics::{DiskKindOf, TopicCounters};
use crate::partition::{Advanced, Partition, SessionWatcher, Waiter, WaitsFor, Watcher};
use crate::slab::Key;
use crate::topics::Place;

/// A partition and the handles of its open segments.
pub struct Hosted {
    /// The partition.
    pub partition: Partition<LogMemory>,
    /// Which one it is.
    pub of: TopicPartition,
    files: Vec<(FileId, SegmentFile)>,
    /// Handles of sealed segments, for readers, oldest first.
    read_files: Vec<(FileId, File)>,
    /// Whether it stands in the list of logs to look at.
    listed: bool,
    /// Its topic was deleted: its directory goes when nothing is in flight.
    pub(crate) doomed: bool,
    /// When it failed, on the shard's clock, milliseconds.
    failed_ms: Option<i64>,
    /// What went through it since it was opened.
    pub(crate) counts: TopicCounters,
    /// The recovery point that shard 0 was last told.
    pub(super) told_recovery_point: i64,
    /// And the log start.
    pub(super) told_log_start: i64,
}

/// The part of a shard's memory that chunks may fill which are written already: one in this many.
const TAIL_CACHE_SHARE: usize = 4;
/// And no more than this: a tenth of a second of a shard at full speed, for consumers at the tail.
/// Those further behind read from the disk.
const TAIL_CACHE_BYTES_MAX: usize = 128 << 20;
/// Least bytes given up at a time when the cache is over its share.
const EVICT_BYTES_MIN: usize = 1 << 20;

/// After a walk over all logs that freed nothing.
const EVICT_REST: Duration = Duration::from_millis(1);

/// How long a failed log rests before it is opened anew.
const REOPEN_AFTER_MS: i64 = 1000;

impl Hosted {
    pub(super) fn new(of: TopicPartition, partition: Partition<LogMemory>) -> Hosted {
        Hosted {
            partition,
            of,
            files: Vec::new(),
            read_files: Vec::new(),
            listed: false,
            doomed: false,
            failed_ms: None,
            counts: TopicCounters::default(),
            told_recovery_point: 0,
            told_log_start: 0,
        }
    }

    fn file(&self, id: FileId) -> Option<&SegmentFile> {
        self.files.iter().find(|(other, _)| *other == id).map(|(_, file)| file)
    }

    fn file_mut(&mut self, id: FileId) -> Option<&mut SegmentFile> {
        self.files.iter_mut().find(|(other, _)| *other == id).map(|(_, file)| file)
    }

    /// A handle for reading that segment, if one is open.
    pub(super) fn read_file(&self, id: FileId) -> Option<File> {
        let kept = self.read_files.iter().find(|(other, _)| *other == id).map(|(_, file)| file);
        self.file(id).map(|file| &file.main).or(kept).cloned()
    }

    /// Keeps a handle for reading, at most `count_max` of them.
    pub(super) fn keep_read_file(&mut self, id: FileId, file: File, count_max: usize) {
        if self.read_files.len() >= count_max {
            self.read_files.remove(0);
        }
        self.read_files.push((id, file));
    }
}

impl Shell {
    /// The log under `slot` has something to write or to tell.
    pub(crate) fn touch(&mut self, slot: Key) {
        if let Some(hosted) = self.logs.get_mut(slot)
            && !hosted.listed
        {
            hosted.listed = true;
            self.dirty.push(slot);
        }
    }

    /// Looks at every touched log: answers those whom its progress serves, submits what it asks of
    /// the disk.
    pub(super) fn commit(&mut self, core: &mut ShardCore) {
        while let Some(slot) = self.dirty.pop() {
            let Some(hosted) = self.logs.get_mut(slot) else { continue };
            hosted.listed = false;
            let mut advanced = std::mem::take(&mut self.advanced);
            hosted.partition.advance(&mut advanced);
            self.tell(core, slot, &mut advanced);
            self.advanced = advanced;
            self.coordinator_progress(core, slot);
            self.submit(core, slot);
            self.after_commit(core, slot);
        }
    }

    /// Tells waiters and watchers what [`Partition::advance`] found.
    pub(crate) fn tell(&mut self, core: &mut ShardCore, slot: Key, advanced: &mut Advanced) {
        let is_controller = self.seat.as_ref().is_some_and(|seat| seat.slot() == slot);
        if is_controller {
            advanced.acknowledged.clear();
            advanced.ended.clear();
            return self.controller_progress(core);
        }
        for (marker, _) in advanced.ended.drain(..) {
            self.coordinator_marked(core, slot, &marker);
        }
        // Readers first: who has been told that a record is there finds it, on any connection.
        for Watcher { shard, request } in advanced.woken.drain(..) {
            match shard == self.shard {
                true => self.wake_fetch(core, request),
                false => self.post(core, shard, Message::Wake { request }),
            }
        }
        for SessionWatcher { shard, session, place } in advanced.moved.drain(..) {
            match shard == self.shard {
                true => self.session_moved(core, session, &[place]),
                false => {
                    let places = vec![place];
                    self.post(core, shard, Message::Moved { session, places });
                }
            }
        }
        let log_start = match self.logs.get(slot) {
            Some(hosted) => hosted.partition.log.log_start_offset(),
            None => -1,
        };
        for (waiter, error) in advanced.acknowledged.drain(..) {
            let Waiter { what, shard, request, entry, base_offset, log_append_time } = waiter;
            if what == WaitsFor::Marker {
                let result = if error.is_none() { Ok(Answer::Written) } else { Err(error) };
                self.answered(core, request, vec![Answered { entry, result }]);
                continue;
            }
            let result = match error.is_none() {
                true => Produced {
                    entry,
                    error,
                    refusal: None,
                    base_offset,
                    log_append_time,
                    log_start,
                },
                false => Produced::failed(entry, error, None),
            };
            match shard == self.shard {
                true => self.produced(core, request, [result]),
                false => {
                    self.post(core, shard, Message::Produced { request, results: vec![result] })
                }
            }
        }
    }

    /// Submits what the log asks of the disk.
    fn submit(&mut self, core: &mut ShardCore, slot: Key) {
        let Some(hosted) = self.logs.get_mut(slot) else { return };
        let log = &mut hosted.partition.log;
        let in_flight = log.ops_in_flight();
        let mut ops = Vec::new();
        log.take_ops(&mut ops);
        let durability = log.config().durability;
        let way = match self.shared.config.io {
            Io::Auto => Way::of(&ops, in_flight, durability, self.pace.is_fast(core.now())),
            Io::Direct | Io::Buffered => Way::Main,
        };
        for op in ops {
            self.submit_op(core, slot, op, way);
        }
    }

    fn submit_op(&mut self, core: &mut ShardCore, slot: Key, op: DiskOp<LogWrite>, way: Way) {
        let logs = self.logs.len();
        let Some(hosted) = self.logs.get_mut(slot) else { return };
        let begun = self.counters.disk_begun(kind_of(&op.kind, way), core.now());
        let work = self.disk_works.insert(DiskWork::Log { slot, id: op.id, file: op.file, begun });
        let token = work.to_u64();
        let file = hosted.file_mut(op.file);
        match (op.kind, file) {
            (DiskKind::Write { at, data }, Some(file)) => {
                core.write(file.for_write(way), at, data.0, token);
                if let Some(range) = file.take_write_back(way, at, logs) {
                    let token = self
                        .disk_works
                        .insert(DiskWork::WriteBack { slot, file: op.file })
                        .to_u64();
                    core.write_back(&file.main, range, token);
                }
            }
            (DiskKind::Sync, Some(file)) => core.sync(&file.main, token),
            (DiskKind::Allocate { from, to }, Some(file)) if self.shared.allocates => {
                core.allocate(&file.main, from, to, token);
            }
            (DiskKind::Allocate { from, to }, Some(file)) => {
                // A file system without fallocate gets its sizes set instead.
                let file = file.main.clone();
                core.blocking(Box::new(move || Message::DiskDone {
                    token,
                    result: file
                        .allocate(from, to)
                        .map(|()| None)
                        .map_err(|error| disk_error(&error)),
                }));
            }
            (
                DiskKind::Write { .. }
                | DiskKind::Sync
                | DiskKind::Allocate { .. }
                | DiskKind::Truncate { .. },
                None,
            ) => {
                panic!("the log asks for work on a segment that is not open");
            }
            (DiskKind::Truncate { size }, Some(file)) => {
                let file = file.main.clone();
                core.blocking(Box::new(move || Message::DiskDone {
                    token,
                    result: file.set_size(size).map(|()| None).map_err(|error| disk_error(&error)),
                }));
            }
            (kind, _) => {
                match kind {
                    DiskKind::Close => hosted.files.retain(|(other, _)| *other != op.file),
                    // Its space is free again when the last reader's handle goes.
                    DiskKind::Retire { .. } => {
                        hosted.read_files.retain(|(other, _)| *other != op.file);
                    }
                    _ => {}
                }
                let dir = hosted.partition.log.dir().to_path_buf();
                let data = self.shared.data.clone();
                let io = segment_file::io_with(self.shared.config.io, logs);
                core.blocking(Box::new(move || Message::DiskDone {
                    token,
                    result: run_blocking(&data, &dir, io, kind).map_err(|error| disk_error(&error)),
                }));
            }
        }
    }

    /// An operation on the ring has ended.
    pub(super) fn log_done(&mut self, slot: Key, id: u64, result: io::Result<u32>) {
        let result = result.map(|_| ()).map_err(|error| disk_error(&error));
        self.log_settled(slot, DiskDone { id, result });
    }

    /// An operation on the helper thread has ended.
    pub(super) fn blocking_done(
        &mut self,
        core: &mut ShardCore,
        token: u64,
        result: Result<Option<SegmentFile>, DiskError>,
    ) {
        let work = self.disk_works.remove(Key::from_u64(token));
        let Some(DiskWork::Log { slot, id, file: segment, begun }) = work else {
            return tracing::error!(token, "a blocking operation ended that nobody began");
        };
        self.count_disk_end(core, begun, result.as_ref().ok().map(|_| 0));
        if let (Ok(Some(file)), Some(hosted)) = (&result, self.logs.get_mut(slot)) {
            hosted.files.push((segment, file.clone()));
        }
        self.log_settled(slot, DiskDone { id, result: result.map(|_| ()) });
    }

    /// The kernel has begun to write back, or says that it cannot.
    pub(super) fn write_back_done(&mut self, slot: Key, file: FileId, result: io::Result<u32>) {
        if let Err(error) = result
            && fs::is_lost_write(&error)
            && let Some(hosted) = self.logs.get_mut(slot)
        {
            hosted.partition.log.write_back_failed(file, disk_error(&error));
            self.touch(slot);
        }
    }

    fn log_settled(&mut self, slot: Key, done: DiskDone) {
        if let Some(hosted) = self.logs.get_mut(slot) {
            hosted.partition.log.done(done);
            self.touch(slot);
        }
    }

    /// What to do with a log beside its work: say that it failed, remove it.
    fn after_commit(&mut self, core: &mut ShardCore, slot: Key) {
        let now_ms = core.steady_ms();
        let Some(hosted) = self.logs.get_mut(slot) else { return };
        let quiet = hosted.partition.log.ops_in_flight() == 0;
        if let (Some(failure), None) = (hosted.partition.log.failure(), hosted.failed_ms) {
            let dir = hosted.partition.log.dir().display();
            tracing::error!(partition = %dir, %failure, "the log stops until it is opened anew");
            hosted.failed_ms = Some(now_ms);
            self.counters.log_failures += 1;
            self.lose_coordinator(core, slot);
        }
        let Some(hosted) = self.logs.get_mut(slot) else { return };
        if hosted.doomed && quiet {
            self.remove_log(core, slot);
        }
    }

    /// Opens logs anew that failed a while ago, once nothing of theirs is in flight.
    pub(super) fn reopen_failed_logs(&mut self, core: &mut ShardCore) {
        let before = core.steady_ms() - REOPEN_AFTER_MS;
        let controller = self.seat.as_ref().map(Seat::slot);
        let due = |hosted: &Hosted| {
            hosted.failed_ms.is_some_and(|at| at <= before)
                && hosted.partition.log.ops_in_flight() == 0
                && !hosted.doomed
                // A flush that failed is not tried again as if it could succeed: the kernel may
                // have dropped what it could not write. Only a new process looks again.
                && !hosted.partition.log.failure().is_some_and(|failure| failure.is_flush())
        };
        let slots: Vec<Key> = self.logs.keys().collect();
        for slot in slots {
            // The metadata log is not reopened under a running controller: its memory and the disk
            // could differ.
            if Some(slot) == controller || !self.logs.get(slot).is_some_and(due) {
                continue;
            }
            let Some(mut hosted) = self.logs.remove(slot) else { continue };
            let mut advanced = Advanced::default();
            hosted.partition.fail(ErrorCode::KafkaStorageError, &mut advanced);
            self.counters.apart.entry(hosted.of.topic).or_default().add(&hosted.counts);
            self.tell(core, slot, &mut advanced);
            self.set_place(hosted.of, Place::Opening);
            let log = &hosted.partition.log;
            let hint = RecoveryHint {
                clean: false,
                recovery_point: log.recovery_point(),
                log_start: log.log_start_offset(),
            };
            self.open_log(core, hosted.of, hint, false);
        }
        self.open_failed_again(core, before);
    }

    /// Whether a log waits for time to pass.
    pub(super) fn logs_need_tick(&self) -> bool {
        // Recovery points move with time as long as there are logs; a tick costs microseconds.
        let any = !self.logs.is_empty() || !self.opening.is_empty();
        any && !self.stopping
    }

    /// Makes at least `bytes` of chunk memory free, giving up cached chunks, oldest partitions
    /// first. Says whether there is enough now.
    pub(crate) fn make_room(&mut self, core: &mut ShardCore, bytes: usize) -> bool {
        let free = core.pool().free_bytes();
        if free >= bytes {
            return true;
        }
        self.evict_again = self.evict_after.is_some_and(|at| core.now() < at);
        // Free more than is asked for, so that the next requests need not come here.
        let some = core.pool().budget_bytes() / 16;
        self.evict(core, (bytes - free).max(some));
        core.pool().free_bytes() >= bytes
    }

    /// Keeps the cache within its share: memory that was used before is warm, and the system has
    /// given it already; fresh memory costs page faults (a third of a produce profile before this).
    pub(super) fn trim_cache(&mut self, core: &mut ShardCore) {
        let allowed = tail_cache_bytes_max(core);
        let used = core.pool().used_bytes();
        if used > allowed {
            self.evict(core, (used - allowed).max(EVICT_BYTES_MIN));
        }
    }

    /// Gives up about `bytes` of cached chunks, in turn from every log.
    fn evict(&mut self, core: &mut ShardCore, bytes: usize) {
        if self.evict_after.is_some_and(|at| core.now() < at) {
            return;
        }
        let share = (core.pool().budget_bytes() / 16).min(bytes);
        let mut missing = bytes as u64;
        let slots: Vec<Key> = self.logs.keys().collect();
        let from = self.evict_from % slots.len().max(1);
        for slot in slots[from..].iter().chain(&slots[..from]) {
            let Some(hosted) = self.logs.get_mut(*slot) else { continue };
            let fair = missing.min(share as u64);
            missing = missing.saturating_sub(hosted.partition.log.evict(fair));
            self.evict_from = self.evict_from.wrapping_add(1);
            if missing == 0 {
                break;
            }
        }
        let nothing = missing == bytes as u64;
        self.evict_after = nothing.then(|| core.now() + EVICT_REST);
    }

    /// Every log's recovery point moves up, and the root's checkpoint says how far each has come.
    pub(super) fn checkpoint_logs(&mut self, core: &mut ShardCore) {
        let slots: Vec<Key> = self.logs.keys().collect();
        let now_ms = core.wall_ms();
        for slot in slots {
            if let Some(hosted) = self.logs.get_mut(slot) {
                hosted.partition.log.expire_producers(now_ms);
                hosted.partition.log.checkpoint();
                self.touch(slot);
            }
        }
    }

    /// Where this partition is, from now on.
    pub(crate) fn set_place(&mut self, of: TopicPartition, place: Place) {
        if let Some(topic) = self.topics.with_id_mut(of.topic)
            && let Ok(index) = usize::try_from(of.index)
            && let Some(entry) = topic.places.get_mut(index)
        {
            *entry = place;
        }
    }
}

/// Bytes that cached chunks may take.
pub(super) fn tail_cache_bytes_max(core: &mut ShardCore) -> usize {
    (core.pool().budget_bytes() / TAIL_CACHE_SHARE).min(TAIL_CACHE_BYTES_MAX)
}

fn kind_of(kind: &DiskKind<LogWrite>, way: Way) -> DiskKindOf {
    match kind {
        DiskKind::Write { .. } if way == Way::Cached => DiskKindOf::WriteCached,
        DiskKind::Write { .. } => DiskKindOf::Write,
        DiskKind::Sync => DiskKindOf::Flush,
        _ => DiskKindOf::Other,
    }
}

/// Runs on the shard's helper thread.
fn run_blocking(
    data: &DataDir,
    dir: &Path,
    io: Io,
    kind: DiskKind<LogWrite>,
) -> io::Result<Option<SegmentFile>> {
    let path = |name: &PathBuf| dir.join(name);
    match kind {
        DiskKind::Create { path: name, size } => {
            let file = SegmentFile::create(data, &path(&name), io)?;
            let now = file.main.size()?;
            if now < size {
                file.main.allocate(now, size)?;
            }
            data.sync_dir(dir)?;
            Ok(Some(file))
        }
        DiskKind::Replace { path: name, bytes } => data.replace(path(&name), &bytes).map(|()| None),
        DiskKind::Remove { path: name } => remove_if_there(data, &path(&name)).map(|()| None),
        DiskKind::Retire { paths } => {
            for name in &paths {
                remove_if_there(data, &path(name))?;
            }
            data.sync_dir(dir).map(|()| None)
        }
        DiskKind::Close => Ok(None),
        DiskKind::Write { .. }
        | DiskKind::Sync
        | DiskKind::Allocate { .. }
        | DiskKind::Truncate { .. } => unreachable!("these have the segment's own handle"),
    }
}

fn remove_if_there(data: &DataDir, path: &Path) -> io::Result<()> {
    match data.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
