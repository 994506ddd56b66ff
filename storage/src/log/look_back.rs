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
use ringlog_wire::batch::BatchHeader;

/// How far back is read before a snapshot, bytes.
const LOOK_BACK_BYTES: u64 = 32 << 20;
/// Past the last index entry below the snapshot lie at most one interval and one batch.
const PAST_INDEX_BYTES: u64 = 2 << 20;

impl Attempt<'_> {
    /// Completes the producers that came from a snapshot with the batches before it.
    pub(super) fn look_back(&mut self) -> Result<(), OpenError> {
        if self.report.snapshot.is_none() || self.producers.count() == 0 {
            return Ok(());
        }
        let upto = self.producers_from;
        let before = self.listing.segments.iter().rfind(|files| files.base_offset < upto);
        let Some(files) = before.copied() else { return Ok(()) };
        let (first, last) = match self.restore(&files, upto)? {
            Some((indexes, last)) => {
                let first = u32::try_from(last.saturating_sub(LOOK_BACK_BYTES)).unwrap_or(0);
                (u64::from(indexes.offset.lookup_position(first).position), last)
            }
            // Without an index there is no way in but the start.
            None if files.size <= LOOK_BACK_BYTES => (0, files.size),
            None => return Ok(()),
        };
        let from = ScanFrom {
            base_offset: files.base_offset,
            position: first,
            size: files.size.min(last + PAST_INDEX_BYTES),
            expected: None,
            gaps_below: i64::MAX,
            epoch: -1,
            #[cfg(test)]
            skip_crc: false,
        };
        let mut earlier = ProducerTable::new(self.config.producers_max);
        let path = self.dir.join(file_name(files.base_offset, "log"));
        let found = |header: &BatchHeader, _| {
            if header.base_offset < upto {
                note_producer(&mut earlier, header, header.base_offset);
            }
        };
        let counted = (self.scanner.scanned_bytes, self.scanner.scanned_batches);
        at(&path, self.scanner.scan(&path, from, found))?;
        // The report counts what recovery had to check, and this it did not.
        (self.scanner.scanned_bytes, self.scanner.scanned_batches) = counted;
        self.producers.extend_back(&earlier);
        Ok(())
    }
}
