//! A data directory: small blocking operations by paths relative to it.

use std::fs;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

use rustix::fs::{Advice, FlockOperation};

use super::{File, OpenMode};

/// Added to the name of a file that is about to replace another.
pub const REPLACEMENT_SUFFIX: &str = ".tmp";

/// One thing found in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name, without the directory.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Bytes of a file.
    pub bytes: u64,
}

/// How large a volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it, bytes.
    pub total: u64,
    /// What this process may still fill, bytes.
    pub usable: u64,
}

/// The file system that holds a directory.
#[derive(Debug)]
pub struct Volume {
    dir: fs::File,
    /// A flush has failed.
    failed: Mutex<bool>,
}

impl Volume {
    /// Makes everything on it durable that was written before, by whomever.
    ///
    /// # Errors
    /// The system's, for any write that failed since [`DataDir::volume`] was called (Linux 5.8). It
    /// tells each error once; whoever asks later learns that there was one.
    pub fn sync(&self) -> io::Result<()> {
        let mut failed = self.failed.lock().expect("nobody panics while holding this");
        if *failed {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        rustix::fs::syncfs(&self.dir).inspect_err(|_| *failed = true)?;
        Ok(())
    }
}

/// A write lock on a whole file, held until dropped. Another process that asks is refused.
#[derive(Debug)]
pub struct Lock {
    _file: fs::File,
}

/// A directory, in which all paths are relative and stay inside.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// Names a directory and makes it, with its parents, where it is missing.
    pub fn create(path: impl Into<PathBuf>) -> io::Result<DataDir> {
        let path = path.into();
        fs::create_dir_all(&path)?;
        Ok(DataDir(path))
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// The size of the volume that holds the directory.
    ///
    /// # Errors
    /// The system's.
    pub fn space(&self) -> io::Result<Space> {
        let volume = rustix::fs::statvfs(&self.0)?;
        let bytes = |blocks: u64| blocks.saturating_mul(volume.f_frsize);
        Ok(Space { total: bytes(volume.f_blocks), usable: bytes(volume.f_bavail) })
    }

    /// The volume that holds the directory.
    ///
    /// # Errors
    /// The system's.
    pub fn volume(&self) -> io::Result<Volume> {
        Ok(Volume { dir: fs::File::open(&self.0)?, failed: Mutex::new(false) })
    }

    /// The full path of something inside; "" is the directory itself.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        let relative = relative.as_ref();
        let inside = relative
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        assert!(inside, "{} stays inside the data directory", relative.display());
        if relative.as_os_str().is_empty() { self.0.clone() } else { self.0.join(relative) }
    }

    /// What is in a directory, sorted by name. Names that are not UTF-8 are passed over.
    pub fn list(&self, dir: impl AsRef<Path>) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.path(dir))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // What vanishes between the two calls is not there.
            let Ok(found) = fs::metadata(entry.path()) else { continue };
            entries.push(Entry { name, is_dir: found.is_dir(), bytes: found.len() });
        }
        entries.sort();
        Ok(entries)
    }

    /// Whether there is a file or directory of this name.
    pub fn exists(&self, path: impl AsRef<Path>) -> io::Result<bool> {
        self.path(path).try_exists()
    }

    /// Bytes of a file.
    pub fn size(&self, path: impl AsRef<Path>) -> io::Result<u64> {
        Ok(fs::metadata(self.path(path))?.len())
    }

    /// All of a file.
    pub fn read_file(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        fs::read(self.path(path))
    }

    /// Part of a file; fewer bytes than asked for only at its end.
    pub fn read_at(&self, path: impl AsRef<Path>, at: u64, bytes: &mut [u8]) -> io::Result<usize> {
        File::open_buffered(&self.path(path), OpenMode::Read)?.read_at(at, bytes)
    }

    /// Drops what the page cache holds of a file and takes for written, so that what is read next
    /// comes from the disk. What is yet to be written stays.
    pub fn forget(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let file = File::open_buffered(&self.path(path), OpenMode::Read)?;
        Ok(rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?)
    }

    /// Writes into a file (made if missing) and does not flush it.
    pub fn write_at(&self, path: impl AsRef<Path>, at: u64, bytes: &[u8]) -> io::Result<()> {
        File::open_buffered(&self.path(path), OpenMode::Create)?.write_at(at, bytes)
    }

    /// Puts a whole new file in the place of what is there: after a crash it has either the old
    /// bytes or the new ones.
    pub fn replace(&self, path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(path);
        let mut replacement = path.clone().into_os_string();
        replacement.push(REPLACEMENT_SUFFIX);
        let mut file = fs::File::create(&replacement)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&replacement, &path)?;
        sync_dir(path.parent().unwrap_or(&self.0))
    }

    /// Cuts or extends a file.
    pub fn truncate(&self, path: impl AsRef<Path>, bytes: u64) -> io::Result<()> {
        File::open_buffered(&self.path(path), OpenMode::Write)?.set_size(bytes)
    }

    /// Flushes a file's bytes.
    pub fn sync_file(&self, path: impl AsRef<Path>) -> io::Result<()> {
        File::open_buffered(&self.path(path), OpenMode::Read)?.sync_data()
    }

    /// Flushes a directory: the names in it.
    pub fn sync_dir(&self, dir: impl AsRef<Path>) -> io::Result<()> {
        sync_dir(&self.path(dir))
    }

    /// Removes a file.
    pub fn remove(&self, path: impl AsRef<Path>) -> io::Result<()> {
        fs::remove_file(self.path(path))
    }

    /// Removes a directory and all in it.
    pub fn remove_dir_all(&self, dir: impl AsRef<Path>) -> io::Result<()> {
        let path = self.path(dir);
        assert!(path != self.0, "the data directory itself is never removed");
        fs::remove_dir_all(path)
    }

    /// Gives a file or directory another name.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    /// Makes a directory, with its parents; one that is there is left as it is.
    pub fn create_dir(&self, dir: impl AsRef<Path>) -> io::Result<()> {
        fs::create_dir_all(self.path(dir))
    }

    /// Opens a file for direct I/O; see [`File::open_direct`].
    pub fn open_direct(&self, path: impl AsRef<Path>, mode: OpenMode) -> io::Result<File> {
        File::open_direct(&self.path(path), mode)
    }

    /// Opens a file for I/O through the page cache.
    pub fn open_buffered(&self, path: impl AsRef<Path>, mode: OpenMode) -> io::Result<File> {
        File::open_buffered(&self.path(path), mode)
    }

    /// Locks a file (made if missing) against other processes. `None`: another one has it.
    /// The lock is of the kind that Java's `FileChannel.lock` takes, which belongs to the
    /// process: closing the file anywhere in this process lets go of it.
    pub fn lock(&self, path: impl AsRef<Path>) -> io::Result<Option<Lock>> {
        let path = self.path(path);
        let mut options = fs::OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(rustix::io::Errno::ACCESS | rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn sync_dir(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}
