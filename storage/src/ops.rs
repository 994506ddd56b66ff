//! The seams of the log: where its memory comes from, what it asks of the disk, and how it opens.
//!
//! A running log is a state machine. It hands out [`DiskOp`]s and is told of each one's end by a
//! [`DiskDone`]; it never waits. Opening, clean closing and truncation may block: they run on a
//! helper thread over the [`Disk`] trait. The simulated disk implements both sides, so what the
//! crash tests run is what production runs.
//!
//! Rules that whoever runs the ops may rely on, and that the simulator checks:
//! - nothing for a file is handed out before its `Create` is done, and nothing after its `Close`;
//! - two `Write`s in flight never touch the same [`BLOCK_BYTES`] block;
//! - a `Write` never runs past the size that `Create` and `Allocate` have set;
//! - a `Write` over a block that was written before is one block long and its own op;
//! - ids are never used twice in one log, and every op handed out must be answered once.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Unit of writing: writes start and end at multiples of it, and no two in flight share one.
pub const BLOCK_BYTES: u64 = 4096;

/// The sizes a log asks of its [`Memory`]; they grow while the log is busy.
pub const CHUNK_SIZES: [usize; 4] = [16 << 10, 64 << 10, 256 << 10, 1 << 20];

const _: () = assert!((CHUNK_SIZES[0] as u64).is_multiple_of(BLOCK_BYTES));
const _: () = assert!((CHUNK_SIZES[1] as u64).is_multiple_of(BLOCK_BYTES));
const _: () = assert!((CHUNK_SIZES[2] as u64).is_multiple_of(BLOCK_BYTES));
const _: () = assert!((CHUNK_SIZES[3] as u64).is_multiple_of(BLOCK_BYTES));

/// Where a log gets its chunks.
pub trait Memory {
    /// What it hands out.
    type Chunk: Chunk;

    /// A fresh, empty chunk of exactly `bytes` (one of [`CHUNK_SIZES`]), or `None` when the
    /// budget is exhausted.
    fn take(&mut self, bytes: usize) -> Option<Self::Chunk>;
}

/// An append-only, block-aligned piece of memory.
///
/// Bytes below `len()` are frozen; slices of them are counted references and outlive the log.
pub trait Chunk: Send {
    /// A counted reference to frozen bytes.
    type Slice: Clone + AsRef<[u8]> + Send;
    /// A block-aligned range on its way to the disk; keeps the memory alive.
    type Write: Send;

    /// How many bytes fit.
    fn capacity(&self) -> usize;
    /// How many bytes are there.
    fn len(&self) -> usize;
    /// True before the first append.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Adds bytes at the end. Panics past the capacity.
    fn append(&mut self, bytes: &[u8]);
    /// Frozen bytes; `range.end <= len()`.
    fn slice(&self, range: Range<usize>) -> Self::Slice;
    /// A range to write, block-aligned at both ends. It may run past `len()` to the end of that
    /// block; those bytes are zeroed now.
    fn write(&mut self, range: Range<usize>) -> Self::Write;
}

/// Names one segment's file; unique in one log for as long as the log is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// One piece of work for the disk.
#[derive(Debug)]
pub struct DiskOp<W> {
    /// Comes back in the [`DiskDone`].
    pub id: u64,
    /// The segment it belongs to.
    pub file: FileId,
    /// What to do.
    pub kind: DiskKind<W>,
}

/// What there is to do. Paths are relative to the partition's directory.
#[derive(Debug)]
pub enum DiskKind<W> {
    /// Open for writing, creating the file when absent, never cutting it; make its size at least
    /// `size` with the space allocated. When it is done the directory entry is durable.
    Create {
        /// The file.
        path: PathBuf,
        /// Its size afterwards, at least.
        size: u64,
    },
    /// Extend the file, size and space, ahead of the writer.
    Allocate {
        /// The size it has.
        from: u64,
        /// The size it shall have.
        to: u64,
    },
    /// Write a block-aligned range.
    Write {
        /// Where in the file.
        at: u64,
        /// What.
        data: W,
    },
    /// Make every write that is done durable (fdatasync).
    Sync,
    /// Cut the file.
    Truncate {
        /// The size it shall have.
        size: u64,
    },
    /// Nothing more will be asked of this file's handle.
    Close,
    /// Put a small file in place, atomically and durably: temporary file, fsync, rename, fsync of
    /// the directory.
    Replace {
        /// The file.
        path: PathBuf,
        /// All of its content.
        bytes: Vec<u8>,
    },
    /// Remove a file. A file that is not there is success.
    Remove {
        /// The file.
        path: PathBuf,
    },
    /// Remove a closed segment's files, one after the other, then make the directory durable. A
    /// file that is not there is success.
    Retire {
        /// The files, in the order in which they go.
        paths: Vec<PathBuf>,
    },
}

/// The end of a [`DiskOp`].
#[derive(Clone, Debug)]
pub struct DiskDone {
    /// The op's id.
    pub id: u64,
    /// How it went. A short write is an error.
    pub result: Result<(), DiskError>,
}

/// What kind of trouble the disk reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskErrorKind {
    /// No such file or directory.
    NotFound,
    /// Already there.
    Exists,
    /// No space, or over quota.
    NoSpace,
    /// Not permitted, or a read-only file system.
    Denied,
    /// The medium failed (EIO and whatever else has no better name).
    Io,
}

/// An error of the disk: its kind, and the system's number where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskError {
    /// What it means for us.
    pub kind: DiskErrorKind,
    /// The system's error number.
    pub os_code: Option<i32>,
}

impl DiskError {
    /// An error without a system number.
    pub const fn new(kind: DiskErrorKind) -> DiskError {
        DiskError { kind, os_code: None }
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.kind {
            DiskErrorKind::NotFound => "no such file",
            DiskErrorKind::Exists => "already exists",
            DiskErrorKind::NoSpace => {
                "no room for it (a full disk, a quota, or a limit of file sizes)"
            }
            DiskErrorKind::Denied => "not permitted",
            DiskErrorKind::Io => "input/output error",
        };
        match self.os_code {
            Some(code) => write!(out, "{text} (os error {code})"),
            None => out.write_str(text),
        }
    }
}

impl std::error::Error for DiskError {}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name, without the directory.
    pub name: String,
    /// Whether it is a directory itself.
    pub is_dir: bool,
    /// A file's size.
    pub size: u64,
}

/// The blocking seam: used by open, recovery, clean close and truncation only.
///
/// Paths are relative to the data directory. Only `replace`, `sync` and `sync_dir` promise that
/// something survives a loss of power.
pub trait Disk {
    /// What is in a directory, in any order. `NotFound` when it is absent.
    fn list(&mut self, dir: &Path) -> Result<Vec<DirEntry>, DiskError>;
    /// A file's size.
    fn size(&mut self, path: &Path) -> Result<u64, DiskError>;
    /// Fills `into` from position `at`; returns fewer bytes only at the end of the file.
    fn read_at(&mut self, path: &Path, at: u64, into: &mut [u8]) -> Result<usize, DiskError>;
    /// The whole of a small file.
    fn read_file(&mut self, path: &Path) -> Result<Vec<u8>, DiskError> {
        let size = self.size(path)?;
        let mut bytes = vec![0; usize::try_from(size).expect("64-bit")];
        let read = self.read_at(path, 0, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    }
    /// Writes at a position, creating the file when absent and extending it when needed.
    fn write_at(&mut self, path: &Path, at: u64, bytes: &[u8]) -> Result<(), DiskError>;
    /// Forgets what the system keeps of a file in memory and takes for written: what is read from
    /// here on is what the disk holds. What is yet to be written stays.
    fn forget(&mut self, _path: &Path) -> Result<(), DiskError> {
        // Nothing to do for a disk that keeps nothing.
        Ok(())
    }
    /// Makes a file's content and size durable.
    fn sync(&mut self, path: &Path) -> Result<(), DiskError>;
    /// Cuts a file.
    fn truncate(&mut self, path: &Path, size: u64) -> Result<(), DiskError>;
    /// Puts a small file in place atomically and durably.
    fn replace(&mut self, path: &Path, bytes: &[u8]) -> Result<(), DiskError>;
    /// Renames within the data directory.
    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), DiskError>;
    /// Removes a file. `NotFound` when it is absent.
    fn remove(&mut self, path: &Path) -> Result<(), DiskError>;
    /// Creates a directory; one that is there already is success.
    fn create_dir(&mut self, dir: &Path) -> Result<(), DiskError>;
    /// Makes a directory's entries durable.
    fn sync_dir(&mut self, dir: &Path) -> Result<(), DiskError>;
}
