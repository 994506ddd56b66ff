//! Recovery's reading: from batch to batch through one segment, in large reads.
//!
//! Invariant: nothing that a file says is believed before it is checked, and what is allocated
//! does not depend on it: a batch larger than the buffer is checked piece by piece. A batch counts
//! when its header is sane, its CRC is right, its offset follows the one before, and its leader
//! epoch does not go back.

use std::path::Path;

use ringlog_wire::batch::{Batch, BatchHeader, HEADER_BYTES};

use crate::ops::{Disk, DiskError};
use crate::tail::block_floor;
use crate::transaction::{MARKER_BYTES_MAX, Marker};

/// Bytes of one read.
const SCAN_BYTES: usize = 1 << 20;
/// Where a batch's CRC begins to cover it: after the CRC itself.
const CRC_FROM: usize = 21;

/// Why a scan ended before the end of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutReason {
    /// Zeros: space that was allocated and not written.
    Unwritten,
    /// The file ends inside a batch.
    Partial,
    /// No batch header.
    Header,
    /// The bytes are not those that were appended.
    Crc,
    /// The offsets do not follow on.
    Gap {
        /// The offset that should come.
        expected: i64,
        /// The one that is there.
        found: i64,
    },
    /// The leader epoch is older than the one before.
    Epoch {
        /// The epoch before.
        latest: i32,
        /// The one that is there.
        found: i32,
    },
}

/// What is known before a scan, and what counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScanFrom {
    pub base_offset: i64,
    pub position: u64,
    /// The file's length.
    pub size: u64,
    /// The offset that must come first, when it is known.
    pub expected: Option<i64>,
    /// Gaps in the offsets are allowed before this offset.
    pub gaps_below: i64,
    /// The epoch before.
    pub epoch: i32,
    #[cfg(test)]
    pub skip_crc: bool,
}

/// Where a scan ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ScanEnd {
    pub position: u64,
    pub next: Option<i64>,
    pub cut: Option<CutReason>,
}

/// A window over a file.
pub(super) struct Scanner<'a> {
    disk: &'a mut dyn Disk,
    buffer: Vec<u8>,
    start: u64,
    pub scanned_bytes: u64,
    pub scanned_batches: u64,
}

impl<'a> Scanner<'a> {
    pub fn new(disk: &'a mut dyn Disk) -> Scanner<'a> {
        Scanner { disk, buffer: Vec::new(), start: 0, scanned_bytes: 0, scanned_batches: 0 }
    }

    pub fn disk(&mut self) -> &mut dyn Disk {
        self.disk
    }

    /// Goes from batch to batch, handing each good one and its position to `found`, with what it
    /// says if it is a transaction's marker.
    pub fn scan(
        &mut self,
        path: &Path,
        from: ScanFrom,
        mut found: impl FnMut(&BatchHeader, u64, Option<&Marker>),
    ) -> Result<ScanEnd, DiskError> {
        self.buffer.clear();
        self.start = 0;
        let mut at = ScanEnd { position: from.position, next: from.expected, cut: None };
        let mut epoch = from.epoch;
        while at.position < from.size {
            let header = match self.header(path, &from, at.position, at.next, epoch)? {
                Ok(header) => header,
                Err(cut) => {
                    at.cut = Some(cut);
                    break;
                }
            };
            if !self.crc_is_right(path, &from, at.position, &header)? {
                at.cut = Some(CutReason::Crc);
                break;
            }
            let marker = self.marker(path, &from, at.position, &header)?;
            found(&header, at.position, marker.as_ref());
            self.scanned_batches += 1;
            epoch = epoch.max(header.partition_leader_epoch);
            at.next = Some(header.next_offset());
            at.position += header.size() as u64;
        }
        self.scanned_bytes += at.position - from.position;
        Ok(at)
    }

    fn header(
        &mut self,
        path: &Path,
        from: &ScanFrom,
        position: u64,
        next: Option<i64>,
        epoch: i32,
    ) -> Result<Result<BatchHeader, CutReason>, DiskError> {
        if position + HEADER_BYTES as u64 > from.size {
            let rest = self.window(path, from.size, position, (from.size - position) as usize)?;
            let zeros = rest.iter().all(|&byte| byte == 0);
            return Ok(Err(if zeros { CutReason::Unwritten } else { CutReason::Partial }));
        }
        let head = self.window(path, from.size, position, HEADER_BYTES)?;
        if head.len() < HEADER_BYTES {
            return Ok(Err(CutReason::Partial));
        }
        if head.iter().all(|&byte| byte == 0) {
            return Ok(Err(CutReason::Unwritten));
        }
        Ok(match BatchHeader::parse(head) {
            Err(_) => Err(CutReason::Header),
            Ok(header) => check(&header, from, position, next, epoch).map(|()| header),
        })
    }

    fn crc_is_right(
        &mut self,
        path: &Path,
        from: &ScanFrom,
        position: u64,
        header: &BatchHeader,
    ) -> Result<bool, DiskError> {
        #[cfg(test)]
        if from.skip_crc {
            return Ok(true);
        }
        let end = position + header.size() as u64;
        let mut at = position + CRC_FROM as u64;
        let mut crc = 0;
        while at < end {
            let held = (self.start + self.buffer.len() as u64).saturating_sub(at);
            let piece = if held > 0 { held } else { SCAN_BYTES as u64 / 2 };
            let wanted = (end - at).min(piece) as usize;
            let bytes = self.window(path, from.size, at, wanted)?;
            if bytes.len() < wanted {
                return Ok(false);
            }
            crc = crc32c::crc32c_append(crc, bytes);
            at += wanted as u64;
        }
        Ok(crc == header.crc)
    }

    /// What a control batch of a producer says.
    fn marker(
        &mut self,
        path: &Path,
        from: &ScanFrom,
        position: u64,
        header: &BatchHeader,
    ) -> Result<Option<Marker>, DiskError> {
        let is_marker = header.is_control() && header.has_producer_id();
        if !is_marker || header.size() > MARKER_BYTES_MAX {
            return Ok(None);
        }
        let bytes = self.window(path, from.size, position, header.size())?;
        Ok(Batch::parse(bytes).ok().and_then(|(batch, _)| Marker::decode(&batch)))
    }

    /// `wanted` bytes at `position`; fewer only where the file ends before it should.
    fn window(
        &mut self,
        path: &Path,
        size: u64,
        position: u64,
        wanted: usize,
    ) -> Result<&[u8], DiskError> {
        assert!(wanted <= SCAN_BYTES, "a window is at most the buffer");
        let held = self.start + self.buffer.len() as u64;
        if self.buffer.is_empty() || position < self.start || position + wanted as u64 > held {
            let start = block_floor(position);
            let bytes = (size - start).min(SCAN_BYTES as u64) as usize;
            self.buffer.resize(bytes, 0);
            let read = self.disk.read_at(path, start, &mut self.buffer)?;
            self.buffer.truncate(read);
            self.start = start;
        }
        let from = ((position - self.start) as usize).min(self.buffer.len());
        let to = (from + wanted).min(self.buffer.len());
        Ok(&self.buffer[from..to])
    }
}

/// Everything about a header except its CRC.
fn check(
    header: &BatchHeader,
    from: &ScanFrom,
    position: u64,
    next: Option<i64>,
    epoch: i32,
) -> Result<(), CutReason> {
    let base = header.base_offset;
    let last = base.checked_add(i64::from(header.last_offset_delta));
    let in_segment = last.and_then(|last| last.checked_sub(from.base_offset));
    let fits = in_segment.is_some_and(|distance| (0..=i64::from(i32::MAX)).contains(&distance));
    if !fits || header.last_offset_delta < 0 || base < from.base_offset {
        return Err(CutReason::Header);
    }
    if position + header.size() as u64 > from.size {
        return Err(CutReason::Partial);
    }
    if let Some(expected) = next {
        let gap = base > expected && base >= from.gaps_below;
        if base < expected || gap {
            return Err(CutReason::Gap { expected, found: base });
        }
    }
    if (0..epoch).contains(&header.partition_leader_epoch) {
        return Err(CutReason::Epoch { latest: epoch, found: header.partition_leader_epoch });
    }
    Ok(())
}
