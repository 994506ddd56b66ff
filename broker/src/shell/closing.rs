//! Storage's blocking seam while the logs of a shard are closed: ten thousand logs with six flushes
//! each take minutes, so the volume is flushed as a whole instead.
//!
//! Invariant: a file gets its name only when what it says, and all that it vouches for, is durable.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringlog_shard::fs::{DataDir, REPLACEMENT_SUFFIX, Volume};
use ringlog_storage::{DirEntry, Disk, DiskError, DiskErrorKind};

use super::files::{BlockingDisk, disk_error};

/// See the module's head. What was closed through it counts when [`ClosingDisk::finish`] says so.
pub(super) struct ClosingDisk {
    disk: BlockingDisk,
    volume: Arc<Volume>,
    replaced: Vec<PathBuf>,
    removed: Vec<PathBuf>,
    /// Nothing has been asked of it.
    is_untouched: bool,
}

impl ClosingDisk {
    /// Begins. What the volume did not write since it was opened is told at the end.
    pub fn new(data: DataDir, volume: Arc<Volume>) -> ClosingDisk {
        let disk = BlockingDisk(data);
        let (replaced, removed) = (Vec::new(), Vec::new());
        ClosingDisk { disk, volume, replaced, removed, is_untouched: true }
    }

    /// Makes all of it durable.
    pub fn finish(mut self) -> Result<(), DiskError> {
        if self.is_untouched {
            return Ok(());
        }
        self.volume.sync().map_err(|error| disk_error(&error))?;
        // Recovery begins with a snapshot: the indexes before it are there by then.
        let is_snapshot = |path: &PathBuf| path.extension().is_some_and(|it| it == "snapshot");
        let replaced = std::mem::take(&mut self.replaced);
        let (snapshots, others): (Vec<_>, Vec<_>) = replaced.into_iter().partition(is_snapshot);
        for paths in [others, snapshots] {
            for path in &paths {
                self.disk.rename(&replacement(path), path)?;
            }
            self.volume.sync().map_err(|error| disk_error(&error))?;
        }
        // Should a crash bring them back, they are still true.
        for path in &self.removed {
            match self.disk.remove(path) {
                Err(error) if error.kind != DiskErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

fn replacement(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(REPLACEMENT_SUFFIX);
    name.into()
}

impl Disk for ClosingDisk {
    fn list(&mut self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        self.disk.list(dir)
    }

    fn size(&mut self, path: &Path) -> Result<u64, DiskError> {
        self.disk.size(path)
    }

    fn read_at(&mut self, path: &Path, at: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        self.disk.read_at(path, at, into)
    }

    fn write_at(&mut self, path: &Path, at: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.is_untouched = false;
        self.disk.write_at(path, at, bytes)
    }

    fn sync(&mut self, _path: &Path) -> Result<(), DiskError> {
        self.is_untouched = false;
        Ok(())
    }

    fn truncate(&mut self, path: &Path, size: u64) -> Result<(), DiskError> {
        self.disk.truncate(path, size)
    }

    fn replace(&mut self, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
        self.is_untouched = false;
        let replacement = replacement(path);
        self.disk.write_at(&replacement, 0, bytes)?;
        self.disk.truncate(&replacement, bytes.len() as u64)?;
        self.replaced.push(path.to_owned());
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.disk.rename(from, to)
    }

    fn remove(&mut self, path: &Path) -> Result<(), DiskError> {
        self.is_untouched = false;
        self.disk.size(path)?;
        self.removed.push(path.to_owned());
        Ok(())
    }

    fn create_dir(&mut self, dir: &Path) -> Result<(), DiskError> {
        self.disk.create_dir(dir)
    }

    fn sync_dir(&mut self, _dir: &Path) -> Result<(), DiskError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> DataDir {
        let path =
            std::env::temp_dir().join(format!("ringlog-closing-{name}-{}", std::process::id()));
        DataDir::create(path).expect("a folder")
    }

    /// What a log that stops asks for: a snapshot in place of another, and one that goes.
    fn ask(data: &DataDir) -> ClosingDisk {
        data.replace("5.snapshot", b"before").expect("written");
        data.replace("4.snapshot", b"old").expect("written");
        let volume = Arc::new(data.volume().expect("a volume"));
        let mut disk = ClosingDisk::new(data.clone(), volume);
        disk.replace(Path::new("5.snapshot"), b"after").expect("asked");
        disk.remove(Path::new("4.snapshot")).expect("asked");
        assert!(disk.remove(Path::new("3.snapshot")).is_err(), "there is none");
        disk
    }

    fn found(data: &DataDir) -> (Vec<String>, Vec<u8>) {
        let names = data.list("").expect("listed").into_iter().map(|entry| entry.name);
        (names.collect(), data.read_file("5.snapshot").expect("read"))
    }

    #[test]
    fn what_a_stop_asks_for_is_there_when_all_of_it_is() {
        let data = folder("whole");
        let disk = ask(&data);
        assert_eq!(found(&data).1, b"before", "nothing has its name yet");
        disk.finish().expect("flushed");
        assert_eq!(found(&data), (vec!["5.snapshot".to_owned()], b"after".to_vec()));
        std::fs::remove_dir_all(data.root()).expect("removed");
    }

    #[test]
    fn a_stop_that_is_cut_short_leaves_what_was_there() {
        let data = folder("cut");
        drop(ask(&data));
        let names = ["4.snapshot", "5.snapshot", "5.snapshot.tmp"].map(str::to_owned);
        assert_eq!(found(&data), (names.to_vec(), b"before".to_vec()));
        std::fs::remove_dir_all(data.root()).expect("removed");
    }
}
