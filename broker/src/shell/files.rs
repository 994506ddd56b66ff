//! Storage's blocking seam put on the shard's blocking file functions: used when logs are opened,
//! closed and removed, on helper threads, never on a shard's own.

use std::io;
use std::path::Path;

use ringlog_shard::fs::DataDir;
use ringlog_storage::{DirEntry, Disk, DiskError, DiskErrorKind};

/// The data directory as storage sees it.
#[derive(Clone, Debug)]
pub struct BlockingDisk(pub DataDir);

/// The system's error in storage's words.
pub fn disk_error(error: &io::Error) -> DiskError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => DiskErrorKind::NotFound,
        io::ErrorKind::AlreadyExists => DiskErrorKind::Exists,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            DiskErrorKind::NoSpace
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            DiskErrorKind::Denied
        }
        _ => DiskErrorKind::Io,
    };
    DiskError { kind, os_code: error.raw_os_error() }
}

fn told<T>(result: io::Result<T>) -> Result<T, DiskError> {
    result.map_err(|error| disk_error(&error))
}

impl Disk for BlockingDisk {
    fn list(&mut self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        let entries = told(self.0.list(dir))?;
        let entry = |e: ringlog_shard::fs::Entry| DirEntry {
            name: e.name,
            is_dir: e.is_dir,
            size: e.bytes,
        };
        Ok(entries.into_iter().map(entry).collect())
    }

    fn size(&mut self, path: &Path) -> Result<u64, DiskError> {
        told(self.0.size(path))
    }

    fn read_at(&mut self, path: &Path, at: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        told(self.0.read_at(path, at, into))
    }

    fn read_file(&mut self, path: &Path) -> Result<Vec<u8>, DiskError> {
        told(self.0.read_file(path))
    }

    fn write_at(&mut self, path: &Path, at: u64, bytes: &[u8]) -> Result<(), DiskError> {
        told(self.0.write_at(path, at, bytes))
    }

    fn forget(&mut self, path: &Path) -> Result<(), DiskError> {
        told(self.0.forget(path))
    }

    fn sync(&mut self, path: &Path) -> Result<(), DiskError> {
        told(self.0.sync_file(path))
    }

    fn truncate(&mut self, path: &Path, size: u64) -> Result<(), DiskError> {
        told(self.0.truncate(path, size))
    }

    fn replace(&mut self, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
        told(self.0.replace(path, bytes))
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), DiskError> {
        told(self.0.rename(from, to))
    }

    fn remove(&mut self, path: &Path) -> Result<(), DiskError> {
        told(self.0.remove(path))
    }

    fn create_dir(&mut self, dir: &Path) -> Result<(), DiskError> {
        match self.0.create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            created => told(created),
        }
    }

    fn sync_dir(&mut self, dir: &Path) -> Result<(), DiskError> {
        told(self.0.sync_dir(dir))
    }
}
