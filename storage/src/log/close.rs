//! The clean stop: what a stopped Kafka leaves behind, and nothing else.
//!
//! Order: data to the disk, the file cut to its true length and flushed, then the files that vouch
//! for it, then the names. The marker of the whole data directory is the caller's, last.

use super::open::remove_if_there;
use super::{EPOCHS_NAME, Log};
use crate::ops::{Disk, DiskError, Memory};
use crate::segment::file_name;

/// Bytes of one write.
const CLOSE_WRITE_BYTES: u64 = 1 << 20;

impl<M: Memory> Log<M> {
    /// Stops cleanly; blocks. No op may be in flight; what is dirty is written here. A log that
    /// has failed is left as it is: the directory must then not be marked as cleanly stopped.
    pub fn close(mut self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        if let Some(failure) = self.failure {
            return Err(failure.error);
        }
        if self.as_closed {
            return Ok(());
        }
        self.write_out(disk)?;
        if self.size_bytes() > 0 {
            let path = self.dir.join(file_name(self.end, "snapshot"));
            disk.replace(&path, &self.producers.encode_snapshot())?;
        }
        disk.replace(&self.dir.join(EPOCHS_NAME), self.epochs.render().as_bytes())?;
        self.mid_snapshots.retain(|&offset| offset != self.end);
        while let Some(offset) = self.mid_snapshots.pop_front() {
            self.remove_snapshot(offset);
        }
        for path in std::mem::take(&mut self.removals) {
            remove_if_there(disk, &self.dir.join(path))?;
        }
        disk.sync_dir(&self.dir)
    }

    /// Everything in memory to the disk, flushed, with true lengths and with its indexes.
    pub(super) fn write_out(&mut self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        assert!(self.pending.is_empty(), "ops in flight are answered before a blocking operation");
        for index in self.first_open()..self.segments.len() {
            let segment = &mut self.segments[index];
            let path = self.dir.join(segment.log_name());
            let writer = segment.writer.as_mut().expect("an open segment has a writer");
            let mut at = writer.written;
            if segment.size == 0 {
                disk.write_at(&path, 0, &[])?; // Kafka has the file from the first moment
            }
            while at < segment.size {
                let bytes = (segment.size - at).min(CLOSE_WRITE_BYTES);
                let mut piece = vec![0; bytes as usize];
                segment.tail.gather(at, &mut piece);
                disk.write_at(&path, at, &piece)?;
                at += bytes;
            }
            disk.truncate(&path, segment.size)?;
            disk.sync(&path)?;
            let seal = writer.seal.take();
            segment.indexes_mut().close();
            for (name, bytes) in segment.index_files() {
                disk.replace(&self.dir.join(name), &bytes)?;
            }
            if let Some(seal) = seal
                && !seal.snapshot.is_empty()
            {
                let path = self.dir.join(file_name(seal.next_base, "snapshot"));
                disk.replace(&path, &seal.snapshot)?;
            }
        }
        Ok(())
    }
}
