//! Opening: from what a directory holds to a log, after a clean stop or a crash.
//!
//! After a clean stop the last batches are checked and the rest is believed: indexes stay on disk
//! until they are needed. After a crash everything from the recovery point on is scanned, and what
//! follows the last whole batch is cut. Below the recovery point indexes and the newest producer
//! snapshot are believed, unless they do not decode.
//!
//! Invariants: an attempt changes nothing on disk; when one has succeeded, first the cut is made,
//! then the data is flushed, then the files that vouch for it are replaced. So a crash while
//! opening leaves something that opens again, and the recovery point is true once this returns.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use ringlog_wire::Uuid;

use super::recover::{Attempt, Outcome};
pub use super::scan::CutReason;
use super::{EPOCHS_NAME, Log};
use crate::checkpoint::partition::{PARTITION_METADATA, PartitionMetadata};
use crate::config::LogConfig;
use crate::epochs::EpochCache;
use crate::ops::{Disk, DiskError, DiskErrorKind, FileId, Memory};
use crate::segment::{Indexes, SEGMENT_SUFFIXES, Segment, Writer, file_name, parse_name};
use crate::tail::Tail;
use crate::transaction::encode_index;

/// What the files at the root of the data directory say about this log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveryHint {
    /// The marker of a clean stop was there.
    pub clean: bool,
    /// From `recovery-point-offset-checkpoint`; 0 when absent.
    pub recovery_point: i64,
    /// From `log-start-offset-checkpoint`; 0 when absent.
    pub log_start: i64,
}

/// What was cut off a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The log ends here now.
    pub offset: i64,
    /// The segment that was cut.
    pub base_offset: i64,
    /// Its length now.
    pub position: u64,
    /// Bytes cut off it.
    pub bytes: u64,
    /// What was found there.
    pub reason: CutReason,
}

/// What opening found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The marker was there and everything fitted it.
    pub clean: bool,
    /// Bytes of batches that were read and checked.
    pub scanned_bytes: u64,
    /// Batches that were checked.
    pub scanned_batches: u64,
    /// Where the last segment was cut. [`CutReason::Unwritten`] loses nothing.
    pub cut: Option<Cut>,
    /// Segments removed because they lay behind a cut.
    pub removed_segments: Vec<i64>,
    /// The log ends below its recovery point: what had been flushed is gone.
    pub lost_below_recovery_point: bool,
    /// Segments whose indexes were rebuilt.
    pub rebuilt_indexes: Vec<i64>,
    /// The producer snapshot that was loaded.
    pub snapshot: Option<i64>,
    /// `leader-epoch-checkpoint` was rebuilt from the batches.
    pub epochs_rebuilt: bool,
}

impl RecoveryReport {
    /// Whether something is gone that had been appended, as far as one can tell.
    pub fn is_loss(&self) -> bool {
        let torn = self.cut.is_some_and(|cut| cut.reason != CutReason::Unwritten);
        torn || self.lost_below_recovery_point || !self.removed_segments.is_empty()
    }
}

/// Why a log cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The disk failed.
    Disk {
        /// What was being touched.
        path: PathBuf,
        /// What it said.
        error: DiskError,
    },
    /// A flush failed: what was written before it may be gone without another error, and a second
    /// one would succeed without it. Only a new process looks again.
    Flush {
        /// What was flushed.
        path: PathBuf,
        /// What the disk said.
        error: DiskError,
    },
    /// `partition.metadata` names another topic.
    TopicId {
        /// The one that was expected.
        expected: Uuid,
        /// What the file holds.
        found: String,
    },
    /// There is data, but no readable `partition.metadata`.
    NoTopicId,
    /// Files of an interrupted compaction: start and stop the Apache Kafka that wrote them once.
    Swap {
        /// One of them.
        name: String,
    },
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OpenError::Disk { path, error } => write!(out, "{}: {error}", path.display()),
            OpenError::Flush { path, error } => {
                write!(out, "{}: a flush failed: {error}", path.display())
            }
            OpenError::TopicId { expected, found } => {
                write!(out, "{PARTITION_METADATA} says {found}, expected topic id {expected}")
            }
            OpenError::NoTopicId => {
                write!(out, "there are segments but no readable {PARTITION_METADATA}")
            }
            OpenError::Swap { name } => write!(
                out,
                "{name} is left from an interrupted compaction; \
                 start and stop the Kafka that wrote it once, then try again"
            ),
        }
    }
}

impl std::error::Error for OpenError {}

/// Says which file an error is about.
pub(super) fn at<T>(path: &Path, result: Result<T, DiskError>) -> Result<T, OpenError> {
    result.map_err(|error| OpenError::Disk { path: path.to_owned(), error })
}

/// Says which file could not be flushed.
pub(super) fn flushed(path: &Path, result: Result<(), DiskError>) -> Result<(), OpenError> {
    result.map_err(|error| OpenError::Flush { path: path.to_owned(), error })
}

/// After a crash, what was never flushed is read from the disk and not from memory: of a write that
/// failed, memory keeps what should have been written, and the next flush says nothing of it.
fn forget_unflushed(
    disk: &mut dyn Disk,
    dir: &Path,
    listing: &Listing,
    recovery_point: i64,
) -> Result<(), OpenError> {
    for (index, files) in listing.segments.iter().enumerate() {
        let next = listing.segments.get(index + 1);
        if next.is_none_or(|next| next.base_offset > recovery_point) {
            let path = dir.join(file_name(files.base_offset, "log"));
            at(&path, disk.forget(&path))?;
        }
    }
    Ok(())
}

/// A segment's files as listed.
#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentFiles {
    pub base_offset: i64,
    pub size: u64,
    pub index_size: Option<u64>,
    pub timeindex_size: Option<u64>,
    pub txnindex_size: Option<u64>,
}

/// A partition directory as listed.
pub(super) struct Listing {
    /// Oldest first.
    pub segments: Vec<SegmentFiles>,
    /// Offsets of producer snapshots, oldest first.
    pub snapshots: Vec<i64>,
    /// Files that serve nothing any more.
    pub strays: Vec<String>,
}

impl<M: Memory> Log<M> {
    /// Opens the log in `dir`, creating it when absent. Blocks; takes no chunk memory.
    pub fn open(
        disk: &mut dyn Disk,
        dir: &str,
        config: LogConfig,
        hint: RecoveryHint,
        topic_id: Uuid,
    ) -> Result<(Log<M>, RecoveryReport), OpenError> {
        config.assert_valid();
        let dir = PathBuf::from(dir);
        let listing = list_or_create(disk, &dir, topic_id)?;
        if !hint.clean {
            forget_unflushed(disk, &dir, &listing, hint.recovery_point)?;
        }
        let outcome = Attempt::settle(disk, &dir, &config, hint, &listing)?;
        outcome.make_cut(disk, &dir, &listing)?;
        let (log, report) = Log::assemble(disk, dir, config, hint, topic_id, outcome)?;
        for name in &listing.strays {
            let path = log.dir.join(name);
            // A half-written file of a crash is gone when its file was written anew.
            at(&path, remove_if_there(disk, &path))?;
        }
        Ok((log, report))
    }

    fn assemble(
        disk: &mut dyn Disk,
        dir: PathBuf,
        config: LogConfig,
        hint: RecoveryHint,
        topic_id: Uuid,
        outcome: Outcome<M::Chunk>,
    ) -> Result<(Log<M>, RecoveryReport), OpenError> {
        let first_base = outcome.segments.front().map_or(0, |first| first.base_offset);
        let mut log = Log {
            config,
            dir,
            topic_id,
            segments: outcome.segments,
            epochs: outcome.epochs,
            epochs_dirty: false,
            epochs_in_flight: false,
            producers: outcome.producers,
            decided: VecDeque::new(),
            log_start: hint.log_start.max(first_base),
            end: outcome.end,
            written: outcome.end,
            flushed: outcome.end,
            as_closed: !outcome.dirty,
            recovery_point: outcome.end,
            checkpoint_asked: false,
            mid_snapshots: outcome.kept_snapshots,
            removals: Vec::new(),
            pending: Vec::new(),
            next_id: 1,
            next_file: outcome.files,
            failure: None,
        };
        log.as_closed &= !log.segments.is_empty();
        log.begin_active(disk, &outcome.snapshots)?;
        let first = log.first_segment_offset();
        log.epochs_dirty = log.epochs.truncate_from_start(first);
        log.as_closed &= !log.epochs_dirty;
        log.load_tail(disk)?;
        let report = outcome.report;
        if outcome.dirty {
            log.write_aborted(disk, &outcome.aborted_changed)?;
            log.write_base_snapshots(disk, outcome.base_snapshots)?;
            log.write_trusted(disk, &report, outcome.epochs_changed)?;
        }
        log.sort_snapshots(disk, &outcome.snapshots)?;
        let active = log.active().file;
        log.keep_aborted(active);
        Ok((log, report))
    }

    /// The aborted transactions of those segments that are still there.
    fn write_aborted(&mut self, disk: &mut dyn Disk, changed: &[i64]) -> Result<(), OpenError> {
        for base in changed {
            let Ok(index) = self.segments.binary_search_by_key(base, |s| s.base_offset) else {
                continue;
            };
            let path = self.dir.join(file_name(*base, "txnindex"));
            let written = match self.segments[index].aborted() {
                None | Some([]) => remove_if_there(disk, &path),
                Some(aborted) => disk.replace(&path, &encode_index(aborted)),
            };
            at(&path, written)?;
        }
        Ok(())
    }

    /// There is always a last segment. A log that ends before its start was deleted up to there
    /// and then lost what came after: it begins anew at its start.
    fn begin_active(&mut self, disk: &mut dyn Disk, snapshots: &[i64]) -> Result<(), OpenError> {
        if self.segments.is_empty() || self.end < self.log_start {
            self.end = self.log_start;
            self.producers.clear();
            self.mid_snapshots.clear();
            for &offset in snapshots {
                let path = self.dir.join(file_name(offset, "snapshot"));
                at(&path, remove_if_there(disk, &path))?;
            }
            if !self.epochs.entries().is_empty() {
                self.epochs = EpochCache::new();
                let path = self.dir.join(EPOCHS_NAME);
                at(&path, disk.replace(&path, self.epochs.render().as_bytes()))?;
            }
            self.producers.clear();
            self.mid_snapshots.clear();
            while let Some(old) = self.segments.pop_back() {
                for suffix in SEGMENT_SUFFIXES {
                    let path = self.dir.join(file_name(old.base_offset, suffix));
                    at(&path, remove_if_there(disk, &path))?;
                }
            }
            let file = self.new_file();
            let index_bytes = self.config.segment_index_bytes;
            self.segments.push_back(Segment::empty(file, self.end, index_bytes));
        }
        let end = self.end;
        (self.written, self.flushed, self.recovery_point) = (end, end, end);
        let active = self.active_mut();
        active.writer = Some(Writer::new(active.size, end));
        Ok(())
    }

    /// Reads the active segment's unfinished block, which the first append continues.
    fn load_tail(&mut self, disk: &mut dyn Disk) -> Result<(), OpenError> {
        let path = self.dir.join(self.active().log_name());
        let size = self.active().size;
        let mut head = vec![0; (size % crate::ops::BLOCK_BYTES) as usize];
        if !head.is_empty() {
            let from = size - head.len() as u64;
            let read = at(&path, disk.read_at(&path, from, &mut head))?;
            if read < head.len() {
                let error = DiskError::new(DiskErrorKind::Io);
                return Err(OpenError::Disk { path, error });
            }
        }
        #[cfg(test)]
        if self.config.planted(crate::Planted::ForgetTailOnOpen) {
            head.fill(0);
        }
        self.active_mut().tail = Tail::new(size, head);
        Ok(())
    }

    /// The files that let the next opening believe what this one has checked.
    pub(super) fn write_trusted(
        &mut self,
        disk: &mut dyn Disk,
        report: &RecoveryReport,
        epochs_changed: bool,
    ) -> Result<(), OpenError> {
        for index in 0..self.segments.len() {
            let is_last = index + 1 == self.segments.len();
            let segment = &mut self.segments[index];
            let base = segment.base_offset;
            if segment.size == 0 || !report.rebuilt_indexes.contains(&base) {
                continue;
            }
            let mut indexes = segment.indexes_mut().clone();
            if !is_last {
                indexes.close();
            }
            let files = [("index", indexes.offset.encode()), ("timeindex", indexes.time.encode())];
            for (suffix, bytes) in files {
                let path = self.dir.join(file_name(base, suffix));
                at(&path, disk.replace(&path, &bytes))?;
            }
            if !is_last {
                segment.indexes = Indexes::OnDisk;
            }
        }
        if epochs_changed {
            let path = self.dir.join(EPOCHS_NAME);
            at(&path, disk.replace(&path, self.epochs.render().as_bytes()))?;
        }
        if self.size_bytes() > 0 {
            let path = self.dir.join(file_name(self.end, "snapshot"));
            at(&path, disk.replace(&path, &self.producers.encode_snapshot()))?;
        }
        Ok(())
    }

    /// The producers at the bases of those segments that are still there.
    fn write_base_snapshots(
        &mut self,
        disk: &mut dyn Disk,
        snapshots: VecDeque<(i64, Vec<u8>)>,
    ) -> Result<(), OpenError> {
        for (base, bytes) in snapshots {
            let Ok(index) = self.segments.binary_search_by_key(&base, |s| s.base_offset) else {
                continue;
            };
            let path = self.dir.join(file_name(base, "snapshot"));
            at(&path, disk.replace(&path, &bytes))?;
            self.segments[index].has_snapshot = true;
        }
        Ok(())
    }

    /// Snapshots at segment bases stay, as do the one that was loaded and the one at the end.
    fn sort_snapshots(&mut self, disk: &mut dyn Disk, found: &[i64]) -> Result<(), OpenError> {
        let is_base = |offset: i64| self.segments.iter().any(|s| s.base_offset == offset);
        for &offset in found {
            let kept = self.mid_snapshots.contains(&offset) || offset == self.end;
            if is_base(offset) || kept {
                continue;
            }
            let path = self.dir.join(file_name(offset, "snapshot"));
            at(&path, remove_if_there(disk, &path))?;
        }
        let end = self.end;
        if self.mid_snapshots.back() != Some(&end) {
            self.mid_snapshots.push_back(end);
        }
        self.mid_snapshots.retain(|&offset| !self.segments.iter().any(|s| s.base_offset == offset));
        Ok(())
    }
}

/// Removes a file that may be gone already.
pub(super) fn remove_if_there(disk: &mut dyn Disk, path: &Path) -> Result<(), DiskError> {
    match disk.remove(path) {
        Err(DiskError { kind: DiskErrorKind::NotFound, .. }) => Ok(()),
        removed => removed,
    }
}

/// A new segment's number.
pub(super) fn next_file(files: &mut u32) -> FileId {
    *files += 1;
    FileId(*files)
}

fn list_or_create(disk: &mut dyn Disk, dir: &Path, topic_id: Uuid) -> Result<Listing, OpenError> {
    let entries = match disk.list(dir) {
        Err(DiskError { kind: DiskErrorKind::NotFound, .. }) => {
            at(dir, disk.create_dir(dir))?;
            let parent = dir.parent().unwrap_or(Path::new(""));
            at(parent, disk.sync_dir(parent))?;
            Vec::new()
        }
        listed => at(dir, listed)?,
    };
    let names = |suffix: &str| -> Vec<(i64, u64)> {
        let files = entries.iter().filter(|entry| !entry.is_dir);
        let mut named: Vec<_> = files
            .filter_map(|entry| Some((parse_name(&entry.name, suffix)?, entry.size)))
            .collect();
        named.sort_unstable();
        named
    };
    let find = |list: &[(i64, u64)], base: i64| {
        list.binary_search_by_key(&base, |&(offset, _)| offset).ok().map(|at| list[at].1)
    };
    let (indexes, timeindexes) = (names("index"), names("timeindex"));
    let txnindexes = names("txnindex");
    let logs = names("log");
    let segments = logs.iter().map(|&(base_offset, size)| SegmentFiles {
        base_offset,
        size,
        index_size: find(&indexes, base_offset),
        timeindex_size: find(&timeindexes, base_offset),
        txnindex_size: find(&txnindexes, base_offset),
    });
    let segments: Vec<_> = segments.collect();
    let mut strays = Vec::new();
    for entry in entries.iter().filter(|entry| !entry.is_dir) {
        let name = &entry.name;
        if name.ends_with(".swap") {
            return Err(OpenError::Swap { name: name.clone() });
        }
        let gone = [".deleted", ".cleaned", ".tmp"].iter().any(|suffix| name.ends_with(suffix));
        let orphan = ["index", "timeindex", "txnindex"]
            .iter()
            .any(|suffix| parse_name(name, suffix).is_some_and(|base| find(&logs, base).is_none()));
        if gone || orphan {
            strays.push(name.clone());
        }
    }
    check_metadata(disk, dir, topic_id, segments.is_empty())?;
    let snapshots = names("snapshot").into_iter().map(|(offset, _)| offset).collect();
    Ok(Listing { segments, snapshots, strays })
}

fn check_metadata(
    disk: &mut dyn Disk,
    dir: &Path,
    topic_id: Uuid,
    is_empty: bool,
) -> Result<(), OpenError> {
    let path = dir.join(PARTITION_METADATA);
    let own = PartitionMetadata { topic_id: topic_id.to_string() };
    let found = match disk.read_file(&path) {
        Ok(bytes) => PartitionMetadata::parse(&bytes).ok(),
        Err(DiskError { kind: DiskErrorKind::NotFound, .. }) => None,
        Err(error) => return Err(OpenError::Disk { path, error }),
    };
    match found {
        Some(found) if found == own => Ok(()),
        Some(found) => Err(OpenError::TopicId { expected: topic_id, found: found.topic_id }),
        None if !is_empty => Err(OpenError::NoTopicId),
        None => at(&path, disk.replace(&path, own.render().as_bytes())),
    }
}
