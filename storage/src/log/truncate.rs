//! Cutting the log back to an offset, as a follower does when its history has diverged.
//!
//! It blocks, and it is a reopening: everything goes to the disk, files are cut there, and the log
//! is built anew from them by the same code that recovers one. So there is no second way to get
//! memory, indexes, epochs and producers into agreement.

use super::Log;
use super::open::{OpenError, RecoveryHint, RecoveryReport, at, flushed, remove_if_there};
use super::scan::{ScanFrom, Scanner};
use crate::ops::{Disk, Memory};
use crate::segment::{SEGMENT_SUFFIXES, file_name};

impl<M: Memory> Log<M> {
    /// Drops every batch that holds `offset` or more. No op may be in flight. Slices handed out
    /// before stay valid; plans do not. The caller replaces `recovery-point-offset-checkpoint`
    /// before it appends anything.
    pub fn truncate_to(
        &mut self,
        disk: &mut dyn Disk,
        offset: i64,
    ) -> Result<RecoveryReport, OpenError> {
        assert!(offset >= self.log_start, "what is before the start is gone already");
        assert!(self.failure.is_none(), "a failed log is reopened first");
        if offset >= self.end {
            return Ok(RecoveryReport::default());
        }
        let written = self.write_out(disk);
        at(&self.dir, written)?;
        let index = self.segment_for(offset);
        let (end, position) = self.batch_start(disk, index, offset)?;
        for segment in self.segments.iter().skip(index + 1).rev() {
            for suffix in SEGMENT_SUFFIXES {
                let path = self.dir.join(file_name(segment.base_offset, suffix));
                at(&path, remove_if_there(disk, &path))?;
            }
        }
        let segment = &mut self.segments[index];
        let base = segment.base_offset;
        let path = self.dir.join(file_name(base, "log"));
        at(&path, disk.truncate(&path, position))?;
        flushed(&path, disk.sync(&path))?;
        if segment.loaded().is_some() {
            let indexes = segment.indexes_mut();
            indexes.truncate_to(end);
            let files = [("index", indexes.offset.encode()), ("timeindex", indexes.time.encode())];
            for (suffix, bytes) in files {
                let path = self.dir.join(file_name(base, suffix));
                at(&path, disk.replace(&path, &bytes))?;
            }
        }
        at(&self.dir, disk.sync_dir(&self.dir))?;
        let dir = self.dir.to_str().expect("it came as text").to_owned();
        let recovery_point = self.recovery_point.min(end);
        let hint = RecoveryHint { clean: false, recovery_point, log_start: self.log_start };
        let (mut log, report) = Log::open(disk, &dir, self.config.clone(), hint, self.topic_id)?;
        // Ids go on, so that a handle or plan from before the cut never names another file.
        log.next_id = self.next_id;
        log.next_file += self.next_file;
        for segment in &mut log.segments {
            segment.file.0 += self.next_file;
        }
        *self = log;
        Ok(report)
    }

    /// Where the batch that holds `offset` begins: the new end, and its position.
    fn batch_start(
        &self,
        disk: &mut dyn Disk,
        index: usize,
        offset: i64,
    ) -> Result<(i64, u64), OpenError> {
        let segment = &self.segments[index];
        let position = segment.loaded().map_or(0, |i| u64::from(i.offset.lookup(offset).position));
        let from = ScanFrom {
            base_offset: segment.base_offset,
            position,
            size: segment.size,
            expected: None,
            gaps_below: i64::MAX,
            epoch: -1,
            #[cfg(test)]
            skip_crc: false,
        };
        let path = self.dir.join(segment.log_name());
        let mut start = None;
        let mut scanner = Scanner::new(disk);
        let scanned = scanner.scan(&path, from, |header, at, _| {
            if header.last_offset() >= offset && start.is_none() {
                start = Some((header.base_offset, at));
            }
        });
        let ended = at(&path, scanned)?;
        Ok(start.unwrap_or((ended.next.unwrap_or(offset), ended.position)))
    }
}
