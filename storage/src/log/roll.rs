//! When a segment is full, and what happens then.
//!
//! The roll itself is an instant: a new active segment whose base is the log's end. Sealing the
//! old one is a chain of ops that [`write`](super::write) hands out one after the other: its last
//! writes, the cut to its true length, a flush, its index files and the producer snapshot at the
//! next base, and the end of its handle. Appends go on meanwhile.

use ringlog_wire::batch::BatchHeader;

use super::Log;
use crate::ops::Memory;
use crate::segment::{Seal, SealStep, Segment};
use crate::transaction::ABORTED_PER_SEGMENT_MAX;

impl<M: Memory> Log<M> {
    /// Kafka's rule (`LogSegment.shouldRoll`): too large, too old by the batches' own time, an
    /// index full, or an offset that would not fit a 32-bit distance from the base. And ours: as
    /// many aborted transactions as are held in memory.
    pub(super) fn must_roll(&self, header: &BatchHeader, now_ms: i64) -> bool {
        let segment = self.active();
        if segment.size == 0 {
            return false;
        }
        if segment.size + header.size() as u64 > self.config.segment_bytes {
            return true;
        }
        let last_offset = self.end + i64::from(header.last_offset_delta);
        if last_offset - segment.base_offset > i64::from(i32::MAX) {
            return true;
        }
        let waited_ms = if segment.first_timestamp >= 0 && header.max_timestamp >= 0 {
            header.max_timestamp.saturating_sub(segment.first_timestamp)
        } else {
            segment.created_ms.map_or(0, |created| now_ms.saturating_sub(created))
        };
        waited_ms > self.config.segment_ms
            || segment.loaded().is_some_and(|indexes| indexes.is_full())
            || segment.aborted().is_some_and(|aborted| aborted.len() >= ABORTED_PER_SEGMENT_MAX)
    }

    pub(super) fn roll(&mut self) {
        let next_base = self.end;
        let snapshot = self.producers.encode_snapshot();
        let file = self.new_file();
        let index_bytes = self.config.segment_index_bytes;
        let segment = self.active_mut();
        assert!(segment.size > 0, "an empty segment never rolls");
        segment.indexes_mut().close();
        let writer = segment.writer.as_mut().expect("the active segment has a writer");
        // A recovery point inside the segment is overtaken by the one that sealing gives.
        if writer.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.files.is_none()) {
            writer.checkpoint = None;
        }
        writer.seal = Some(Seal { next_base, snapshot, step: SealStep::Draining });
        self.segments.push_back(Segment::empty(file, next_base, index_bytes));
        self.checkpoint_asked = false;
    }
}
