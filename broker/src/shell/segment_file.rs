//! The handles of an open segment, and which way a log's writes go: past the page cache or
//! through it.
//!
//! A direct write costs least per byte, but each waits for the disk, and a log of small records
//! rewrites its last block with every one of them. A write through the page cache is answered from
//! memory (all that `written` promises is to outlive the process), but costs more per byte, and
//! once the kernel writes back as fast as a shard writes, both wait for each other. So with
//! `--io auto` writes go through the page cache while they are small, nothing else of their log is
//! in flight, and the shard is slow; every other write goes past it. ARCHITECTURE.md has the
//! figures ("Measured decisions").
//!
//! Both ways may meet in one file: before a direct read or write of a range the kernel writes back
//! what it has cached of it, and two writes in flight never share a block (see
//! [`ringlog_storage::DiskOp`]).

use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use ringlog_shard::fs::{self, DataDir, File, OpenMode};
use ringlog_storage::{DiskKind, DiskOp, Durability};

use crate::config::Io;
use crate::memory::LogWrite;

/// All that a log writes at a time is small up to here: a batch of a few KiB and the block that it
/// begins in.
const SMALL_WRITE_BYTES: usize = 16 << 10;
/// How long a shard's bytes are counted before the count is looked at.
const WINDOW: Duration = Duration::from_millis(50);
/// A shard whose logs take more than this in a [`WINDOW`] (64 MB/s) is fast.
const FAST_WINDOW_BYTES: u64 = 3_200_000;

/// What a log may write through the page cache before the kernel is told to begin writing back: a
/// flush that finds more holds up the writes behind it, and a disk that fails is noticed late.
const WRITE_BACK_BYTES: u64 = 1 << 20;
/// The same for all logs of a shard together.
const WRITE_BACK_ALL_BYTES: u64 = 64 << 20;
/// A shard that has more logs opens no second handles: each takes a file descriptor.
const CACHED_LOGS_MAX: usize = 1024;

/// An open segment.
#[derive(Clone, Debug)]
pub struct SegmentFile {
    /// For everything.
    pub main: File,
    /// For writes through the page cache, where the other is direct and these are wanted.
    cached: Option<File>,
    /// Everything before it that went through the page cache has reached the disk, or is on its
    /// way there from the second of these on.
    written_back: (u64, u64),
}

impl SegmentFile {
    /// Opens the file, or makes it, for a log to write.
    pub(super) fn create(data: &DataDir, path: &Path, io: Io) -> io::Result<SegmentFile> {
        let main = open_segment(data, path, io, OpenMode::Create)?;
        // Where a page is more than a block, writes of two blocks could meet in one.
        let wanted = io == Io::Auto && main.is_direct() && fs::pages_are_blocks();
        // Without it (too many open files) all writes are direct.
        let cached = wanted.then(|| data.open_buffered(path, OpenMode::Write).ok()).flatten();
        Ok(SegmentFile { main, cached, written_back: (0, 0) })
    }

    /// Where a write goes.
    pub(super) fn for_write(&self, way: Way) -> &File {
        match (way, &self.cached) {
            (Way::Cached, Some(cached)) => cached,
            _ => &self.main,
        }
    }

    /// What the kernel shall write back when a write at `at` goes that way, on a shard of so many
    /// logs: the last step once more, to learn how it went, and all that came since.
    pub(super) fn take_write_back(&mut self, way: Way, at: u64, logs: usize) -> Option<Range<u64>> {
        if way == Way::Main || self.cached.is_none() {
            return None;
        }
        let (before, last) = self.written_back;
        let step = WRITE_BACK_BYTES.min(WRITE_BACK_ALL_BYTES / logs.max(1) as u64);
        if at.saturating_sub(last) < step {
            return None;
        }
        self.written_back = (last, at);
        Some(before..at)
    }
}

/// How a segment is opened on a shard of so many logs.
pub(super) fn io_with(io: Io, logs: usize) -> Io {
    if io == Io::Auto && logs > CACHED_LOGS_MAX { Io::Direct } else { io }
}

/// Opens a segment as the configuration says.
pub(crate) fn open_segment(
    data: &DataDir,
    path: &Path,
    io: Io,
    mode: OpenMode,
) -> io::Result<File> {
    match io {
        Io::Auto | Io::Direct => data.open_direct(path, mode),
        Io::Buffered => data.open_buffered(path, mode),
    }
}

/// Which way writes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As the segment was opened: past the page cache where there is a choice.
    Main,
    /// Through the page cache.
    Cached,
}

impl Way {
    /// The way of all that a log asks for at once, when it had `in_flight` operations before.
    pub(super) fn of(
        ops: &[DiskOp<LogWrite>],
        in_flight: usize,
        durability: Durability,
        shard_is_fast: bool,
    ) -> Way {
        let bytes = |op: &DiskOp<LogWrite>| match &op.kind {
            DiskKind::Write { data, .. } => data.0.len(),
            _ => 0,
        };
        let small = ops.iter().map(bytes).sum::<usize>() <= SMALL_WRITE_BYTES;
        // A flush follows each write of a synced log: it would wait for the disk twice.
        let alone = in_flight == 0 && durability != Durability::Synced;
        if small && alone && !shard_is_fast { Way::Cached } else { Way::Main }
    }
}

/// How much a shard's logs take, as far as the way of their writes depends on it.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    since: Option<Instant>,
    bytes: u64,
    fast: bool,
}

impl Pace {
    /// Records of `bytes` were appended.
    pub fn appended(&mut self, bytes: usize, now: Instant) {
        self.roll(now);
        self.bytes += bytes as u64;
        self.fast |= self.bytes > FAST_WINDOW_BYTES;
    }

    /// Whether much comes: from the moment at which it is much until a window in which it is not.
    pub fn is_fast(&mut self, now: Instant) -> bool {
        self.roll(now);
        self.fast
    }

    fn roll(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since);
        if passed >= WINDOW {
            self.fast = self.bytes > FAST_WINDOW_BYTES && passed < 2 * WINDOW;
            (self.since, self.bytes) = (Some(now), 0);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test has a clock")]
mod tests {
    use super::*;

    fn at(base: Instant, ms: u64) -> Instant {
        base + Duration::from_millis(ms)
    }

    #[test]
    fn a_shard_is_fast_from_the_byte_that_makes_it_so_until_a_slow_window() {
        let base = Instant::now();
        let mut pace = Pace::default();
        assert!(!pace.is_fast(base), "nothing came");
        pace.appended(3_200_000, at(base, 10));
        assert!(!pace.is_fast(at(base, 10)), "just the limit");
        pace.appended(1, at(base, 20));
        assert!(pace.is_fast(at(base, 20)), "above the limit at once");
        assert!(pace.is_fast(at(base, 55)), "the next window begins as the last one was");
        pace.appended(1_000_000, at(base, 70));
        assert!(!pace.is_fast(at(base, 110)), "a window in which little came");
    }

    #[test]
    fn a_pause_ends_it() {
        let base = Instant::now();
        let mut pace = Pace::default();
        pace.appended(10_000_000, base);
        assert!(pace.is_fast(at(base, 40)));
        assert!(!pace.is_fast(at(base, 1000)), "what came a second ago says nothing of now");
    }
}
