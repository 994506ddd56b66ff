//! What a snapshot of the producers leaves out: Kafka's format names the last batch of each, but
//! a producer may have five in flight. A crash between their writes and their answers makes it
//! send all of them again, and each must be recognised.
//!
//! So the batches before a loaded snapshot are read again, a bounded way back, and complete what
//! is remembered of each producer. They decide nothing else: what does not read well is left out.

use super::append::note_producer;
use super::open::{OpenError, at};
use super::recover::Attempt;
use super::scan::ScanFrom;
use crate::producer::ProducerTable;
use crate::segment::file_name;
use crate::transaction::Marker;
use ringlog_wire::batch::BatchHeader;

/// How far back is read before a snapshot, bytes.
const LOOK_BACK_BYTES: u64 = 32 << 20;
/// And through how many segments: they may be tiny.
const LOOK_BACK_SEGMENTS: usize = 64;
/// Past the last index entry below the snapshot lie at most one interval and one batch.
const PAST_INDEX_BYTES: u64 = 2 << 20;

/// A part of a segment that is read again.
struct Part {
    base_offset: i64,
    /// Bytes from the segment's start.
    from: u64,
    upto: u64,
}

impl Attempt<'_> {
    /// Completes the producers that came from a snapshot with the batches before it.
    pub(super) fn look_back(&mut self) -> Result<(), OpenError> {
        if self.report.snapshot.is_none() || self.producers.count() == 0 {
            return Ok(());
        }
        let upto = self.producers_from;
        let mut earlier = ProducerTable::new(self.config.producers_max);
        let counted = (self.scanner.scanned_bytes, self.scanner.scanned_batches);
        for part in self.parts_before(upto)?.into_iter().rev() {
            let from = ScanFrom {
                base_offset: part.base_offset,
                position: part.from,
                size: part.upto,
                expected: None,
                gaps_below: i64::MAX,
                epoch: -1,
                #[cfg(test)]
                skip_crc: false,
            };
            let found = |header: &BatchHeader, _, marker: Option<&Marker>| {
                if header.base_offset < upto {
                    note_producer(&mut earlier, header, marker);
                }
            };
            let path = self.dir.join(file_name(part.base_offset, "log"));
            at(&path, self.scanner.scan(&path, from, found))?;
        }
        // The report counts what recovery had to check, and this it did not.
        (self.scanner.scanned_bytes, self.scanner.scanned_batches) = counted;
        self.producers.extend_back(&earlier);
        Ok(())
    }

    /// What is to be read again before `upto`, the newest first.
    fn parts_before(&mut self, upto: i64) -> Result<Vec<Part>, OpenError> {
        let mut left = LOOK_BACK_BYTES;
        let mut parts = Vec::new();
        let listing = self.listing;
        let before = listing.segments.iter().rev().filter(|files| files.base_offset < upto);
        for files in before.take(LOOK_BACK_SEGMENTS) {
            let (from, end) = match self.restore(files, upto)? {
                Some((indexes, last)) => {
                    let from = u32::try_from(last.saturating_sub(left)).unwrap_or(0);
                    let from = u64::from(indexes.offset.lookup_position(from).position);
                    (from, files.size.min(last + PAST_INDEX_BYTES))
                }
                // Without an index there is no way in but the start.
                None if files.size <= left => (0, files.size),
                None => break,
            };
            parts.push(Part { base_offset: files.base_offset, from, upto: end });
            left = left.saturating_sub(end - from);
            if left == 0 {
                break;
            }
        }
        Ok(parts)
    }
}
