//! One open file, shared by whoever writes, reads and syncs it.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, FallocateFlags, OFlags, StatxFlags};

use crate::buf::BLOCK_BYTES;

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// It exists; for reading.
    Read,
    /// It exists; for reading and writing.
    Write,
    /// For reading and writing, made if it is not there.
    Create,
    /// For reading and writing, and it must not be there yet.
    CreateNew,
}

/// What direct I/O on a file asks of addresses and offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectAlignment {
    /// Of memory, in bytes.
    pub memory: u32,
    /// Of file offsets and lengths, in bytes.
    pub offset: u32,
}

/// An open file. Clones are the same file; it is closed with the last of them, and the ring
/// holds one for each operation in flight.
#[derive(Clone, Debug)]
pub struct File {
    inner: Arc<std::fs::File>,
    direct: bool,
}

impl File {
    /// Opens for direct I/O. Where the file system refuses it, or asks for more than
    /// [`BLOCK_BYTES`] of alignment, the file is opened buffered: see [`File::is_direct`].
    pub fn open_direct(path: &Path, mode: OpenMode) -> io::Result<File> {
        match open(path, mode, OFlags::DIRECT.bits() as i32) {
            Ok(inner) => {
                let file = File { inner: Arc::new(inner), direct: true };
                let suits = file.alignment()?.is_none_or(|found| {
                    let block = BLOCK_BYTES as u32;
                    found.memory <= block && found.offset <= block
                });
                if suits { Ok(file) } else { File::open_buffered(path, after_first(mode)) }
            }
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                File::open_buffered(path, after_first(mode))
            }
            Err(error) => Err(error),
        }
    }

    /// Opens for I/O through the page cache.
    pub fn open_buffered(path: &Path, mode: OpenMode) -> io::Result<File> {
        Ok(File { inner: Arc::new(open(path, mode, 0)?), direct: false })
    }

    /// Whether I/O goes past the page cache.
    pub fn is_direct(&self) -> bool {
        self.direct
    }

    /// What direct I/O asks for here, where the kernel says so. `None`: it does not say.
    pub fn alignment(&self) -> io::Result<Option<DirectAlignment>> {
        let found = rustix::fs::statx(&*self.inner, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN);
        let found = match found {
            Ok(found) => found,
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let told = found.stx_mask & StatxFlags::DIOALIGN.bits() != 0;
        let (memory, offset) = (found.stx_dio_mem_align, found.stx_dio_offset_align);
        Ok((told && memory > 0 && offset > 0).then_some(DirectAlignment { memory, offset }))
    }

    /// Bytes of the file.
    pub fn size(&self) -> io::Result<u64> {
        Ok(self.inner.metadata()?.len())
    }

    /// Allocates `from..to` on the disk and makes the file that large if it is smaller. Where
    /// the file system cannot allocate, only the size is set.
    pub fn allocate(&self, from: u64, to: u64) -> io::Result<()> {
        assert!(from < to, "an allocation has bytes");
        match rustix::fs::fallocate(&*self.inner, FallocateFlags::empty(), from, to - from) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP) => {
                if self.size()? < to {
                    self.set_size(to)
                } else {
                    Ok(())
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Cuts or extends the file.
    pub fn set_size(&self, bytes: u64) -> io::Result<()> {
        self.inner.set_len(bytes)
    }

    /// Flushes the file's bytes, and as much of its metadata as is needed to read them.
    pub fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    /// Reads up to `bytes.len()` bytes; fewer only at the end of the file.
    pub fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.inner.read_at(&mut bytes[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Writes all of `bytes`.
    pub fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all_at(bytes, at)
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

/// Whether a page of the page cache is one of our blocks: then direct and buffered writes of
/// different blocks never meet.
pub fn pages_are_blocks() -> bool {
    rustix::param::page_size() == BLOCK_BYTES
}

/// Whether an error of writing back means that something was not written, and not that the kernel
/// or the file system does not write back on demand.
pub fn is_lost_write(error: &io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), QuotaExceeded | ReadOnlyFilesystem | StorageFull)
        || matches!(error.raw_os_error(), Some(libc::EIO | libc::EUCLEAN))
}

/// The mode for a second try: the first may have made the file.
fn after_first(mode: OpenMode) -> OpenMode {
    if mode == OpenMode::CreateNew { OpenMode::Create } else { mode }
}

fn open(path: &Path, mode: OpenMode, flags: i32) -> io::Result<std::fs::File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags);
    match mode {
        OpenMode::Read => {}
        OpenMode::Write => _ = options.write(true),
        OpenMode::Create => _ = options.write(true).create(true).truncate(false),
        OpenMode::CreateNew => _ = options.write(true).create_new(true),
    }
    options.open(path)
}
