//! Reading whole batches, as plans: from memory at once, from the disk in two steps.
//!
//! [`Log::read`] answers slices when the first batch wanted begins in memory. Otherwise it gives a
//! [`DiskPlan`]: the shell reads that range and [`Log::finish_read`] finds the whole batches in
//! it, or asks for another range. A segment's indexes that are not in memory are one more step
//! ([`IndexPlan`], [`Log::load_index`]). One plan never crosses a segment's end.
//!
//! Invariant: what is only in memory is read from memory; a disk plan ends at the last batch that
//! is written, so it never shows what a write is just changing.

use std::ops::Range;
use std::path::PathBuf;

use super::Log;
use super::walk::{Found, TailWalk, look};
use crate::index::SegmentIndexes;
use crate::ops::{Chunk, FileId, Memory};
use crate::segment::{Indexes, Segment, decode_indexes, file_name};
use crate::tail::{block_ceil, block_floor};

/// Closed segments of one log whose indexes stay in memory (up to 6 MiB each at the defaults).
pub const SEALED_INDEXES_MAX: usize = 2;

/// How to get at batches.
#[derive(Clone, Debug)]
pub enum ReadPlan<S> {
    /// Nothing to read below the bound, or not within the bytes allowed.
    Empty,
    /// Whole batches. The first may begin before the offset asked for.
    Memory {
        /// In order; a batch may lie across two.
        slices: Vec<S>,
        /// Their sum.
        bytes: usize,
    },
    /// Read this, then [`Log::finish_read`].
    Disk(DiskPlan),
    /// Read these, then [`Log::load_index`], then ask again.
    Index(IndexPlan),
}

/// A range of a segment to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskPlan {
    /// The segment.
    pub file: FileId,
    /// Its file, relative to the partition's directory.
    pub path: PathBuf,
    /// Where to read, a multiple of the block size.
    pub at: u64,
    /// How much, a multiple of the block size; the file may end sooner.
    pub bytes: usize,
    /// How far into it the first batch begins.
    pub skip: usize,
    /// The position past the last batch that may be looked at.
    pub end_position: u64,
    /// The offset after that batch.
    pub end_offset: i64,
}

/// A segment's index files to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexPlan {
    /// The segment.
    pub file: FileId,
    /// Its `.index`, relative to the partition's directory.
    pub index: PathBuf,
    /// Its `.timeindex`.
    pub timeindex: PathBuf,
}

/// Why there is nothing to answer yet, or at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The offset is before the start or past the end.
    OutOfRange {
        /// The log's first offset.
        log_start: i64,
        /// The log's end.
        end: i64,
    },
    /// The bytes do not hold what is wanted: read this instead.
    NeedMore(DiskPlan),
    /// Nothing at or after the offset in this segment (compaction): read again from this offset.
    Continue {
        /// Where the next segment begins.
        from: i64,
    },
    /// No batch begins where one should.
    Corrupt {
        /// The segment.
        base_offset: i64,
        /// Where in its file.
        position: u64,
    },
    /// The segment was removed or cut since the plan was made: ask again.
    Stale,
}

impl DiskPlan {
    /// The same, beginning with the batch at `position` and reaching `bytes` past that.
    fn moved(&self, position: u64, bytes: u64) -> DiskPlan {
        let at = block_floor(position);
        let end = (position + bytes).min(self.end_position);
        let bytes = (block_ceil(end) - at) as usize;
        DiskPlan { at, bytes, skip: (position - at) as usize, ..self.clone() }
    }

    /// The part of what was read that may be looked at.
    pub(super) fn usable<'a>(&self, raw: &'a [u8]) -> &'a [u8] {
        let end = self.end_position.saturating_sub(self.at);
        &raw[..raw.len().min(usize::try_from(end).unwrap_or(usize::MAX))]
    }

    /// What to do when a batch at `at` in the bytes is not whole, and `need` bytes of it are
    /// wanted: another range, unless the file cannot hold it.
    pub(super) fn more(&self, at: usize, need: usize, base_offset: i64) -> ReadError {
        let position = self.at + at as u64;
        if position + need as u64 > self.end_position {
            return ReadError::Corrupt { base_offset, position };
        }
        ReadError::NeedMore(self.moved(position, (need as u64).max(self.bytes as u64)))
    }
}

/// Most bytes read before the batch that is wanted, whatever lies between two index entries.
const INDEX_SLACK_MAX: u64 = 1 << 20;

impl<M: Memory> Log<M> {
    /// Whole batches from the one that holds `from` on, all below `upto`, at most `bytes_max` of
    /// them; with `min_one` at least one batch, however large.
    pub fn read(
        &self,
        from: i64,
        upto: i64,
        bytes_max: usize,
        min_one: bool,
    ) -> Result<ReadPlan<<M::Chunk as Chunk>::Slice>, ReadError> {
        if from < self.log_start || from > self.end {
            return Err(ReadError::OutOfRange { log_start: self.log_start, end: self.end });
        }
        let upto = upto.min(self.end);
        if from >= upto {
            return Ok(ReadPlan::Empty);
        }
        let index = self.segment_for(from);
        let segment = &self.segments[index];
        if segment.tail.first_batch().is_some_and(|first| first.offset <= from) {
            let end_offset = self.segment_end(index);
            return Ok(read_memory(segment, from, upto, end_offset, bytes_max, min_one));
        }
        Ok(match segment.loaded() {
            Some(indexes) => {
                let position = u64::from(indexes.offset.lookup(from).position);
                // What is missing is asked for again.
                let slack = self.config.index_interval_bytes.min(INDEX_SLACK_MAX);
                ReadPlan::Disk(self.disk_plan(index, position, slack + bytes_max as u64))
            }
            None => ReadPlan::Index(index_plan(segment)),
        })
    }

    /// The whole batches in what a plan's range held: the range of `raw` to send. The other
    /// arguments are those of [`Log::read`].
    pub fn finish_read(
        &self,
        plan: &DiskPlan,
        from: i64,
        upto: i64,
        bytes_max: usize,
        min_one: bool,
        raw: &[u8],
    ) -> Result<Range<usize>, ReadError> {
        let Some(index) = self.segment_index(plan.file) else { return Err(ReadError::Stale) };
        let base_offset = self.segments[index].base_offset;
        let raw = plan.usable(raw);
        let upto = upto.min(plan.end_offset);
        let mut at = plan.skip;
        let first = loop {
            if plan.at + at as u64 >= plan.end_position {
                let behind = plan.end_offset > from;
                let go_on = ReadError::Continue { from: plan.end_offset };
                return Err(if behind { go_on } else { ReadError::Stale });
            }
            match look(raw, at) {
                Found::Batch(header) if header.last_offset() < from => at += header.size(),
                Found::Part(header) if header.last_offset() < from => at += header.size(),
                Found::Batch(header) | Found::Part(header) => break header,
                Found::Short(need) => return Err(plan.more(at, need, base_offset)),
                Found::Corrupt => {
                    let position = plan.at + at as u64;
                    return Err(ReadError::Corrupt { base_offset, position });
                }
            }
        };
        if first.last_offset() >= upto || (first.size() > bytes_max && !min_one) {
            return Ok(at..at);
        }
        if at + first.size() > raw.len() {
            return Err(plan.more(at, first.size(), base_offset));
        }
        let mut end = at + first.size();
        while let Found::Batch(header) = look(raw, end)
            && header.last_offset() < upto
            && end + header.size() - at <= bytes_max
        {
            end += header.size();
        }
        Ok(at..end)
    }

    /// Takes the index files that an [`IndexPlan`] asked for; a file that is missing is given
    /// empty. What cannot be trusted is replaced by empty indexes: lookups then scan.
    pub fn load_index(&mut self, file: FileId, index: &[u8], timeindex: &[u8]) {
        let Some(at) = self.segment_index(file) else { return };
        let bytes_max = self.config.segment_index_bytes;
        let end_offset = self.segment_end(at);
        let segment = &mut self.segments[at];
        if segment.loaded().is_some() {
            return;
        }
        let (base, size) = (segment.base_offset, segment.size);
        let indexes = decode_indexes(base, (index, timeindex), bytes_max, end_offset, size);
        let indexes = indexes.unwrap_or_else(|_| SegmentIndexes::new(base, bytes_max as usize));
        segment.indexes = Indexes::Loaded(Box::new(indexes));
        self.keep_index(file);
    }

    /// Drops the indexes of other closed segments, oldest first, past [`SEALED_INDEXES_MAX`].
    pub(super) fn keep_index(&mut self, file: FileId) {
        let closed = |s: &Segment<M::Chunk>| s.writer.is_none() && s.loaded().is_some();
        let mut count = self.segments.iter().filter(|segment| closed(segment)).count();
        for segment in &mut self.segments {
            if count > SEALED_INDEXES_MAX && closed(segment) && segment.file != file {
                segment.indexes = Indexes::OnDisk;
                count -= 1;
            }
        }
    }

    /// The segment that holds an offset at or after the first base.
    pub(super) fn segment_for(&self, offset: i64) -> usize {
        self.segments.partition_point(|segment| segment.base_offset <= offset).saturating_sub(1)
    }

    /// A plan for the batch at `position` and `bytes` from there.
    pub(super) fn disk_plan(&self, index: usize, position: u64, bytes: u64) -> DiskPlan {
        let segment = &self.segments[index];
        let (end_position, end_offset) = match &segment.writer {
            Some(writer) => (writer.written_mark.position, writer.written_mark.offset),
            None => (segment.size, self.segment_end(index)),
        };
        let whole = DiskPlan {
            file: segment.file,
            path: segment.log_name(),
            at: 0,
            bytes: 0,
            skip: 0,
            end_position,
            end_offset,
        };
        whole.moved(position, bytes)
    }
}

/// The step before a disk plan when the indexes are not in memory.
pub(super) fn index_plan<C: Chunk>(segment: &Segment<C>) -> IndexPlan {
    IndexPlan {
        file: segment.file,
        index: file_name(segment.base_offset, "index"),
        timeindex: file_name(segment.base_offset, "timeindex"),
    }
}

/// Where to begin walking towards `offset` in memory: the nearest batch start that is known.
pub(super) fn memory_start<C: Chunk>(segment: &Segment<C>, offset: i64) -> u64 {
    let known = segment.tail.batch_before(offset).expect("the batch begins in memory").position;
    let entry = segment.loaded().map(|indexes| u64::from(indexes.offset.lookup(offset).position));
    known.max(entry.unwrap_or(0))
}

fn read_memory<C: Chunk>(
    segment: &Segment<C>,
    from: i64,
    upto: i64,
    end_offset: i64,
    bytes_max: usize,
    min_one: bool,
) -> ReadPlan<C::Slice> {
    let mut walk = TailWalk::new(&segment.tail);
    let mut start = memory_start(segment, from);
    let first = loop {
        assert!(start < segment.size, "appended offsets are dense");
        let header = walk.header(start);
        if header.last_offset() >= from {
            break header;
        }
        start += header.size() as u64;
    };
    if first.last_offset() >= upto || (first.size() > bytes_max && !min_one) {
        return ReadPlan::Empty;
    }
    let mut end = start + first.size() as u64;
    let limit = start + bytes_max as u64;
    if upto >= end_offset && segment.size <= limit {
        end = segment.size;
    } else {
        end = end.max(last_start_before(segment, upto, limit));
        while end < segment.size {
            let header = walk.header(end);
            if header.last_offset() >= upto || end + header.size() as u64 > limit {
                break;
            }
            end += header.size() as u64;
        }
    }
    let slices = segment.tail.slices(start..end);
    ReadPlan::Memory { slices, bytes: (end - start) as usize }
}

/// A batch start near the end of what may be answered: below `upto`, at or before `limit`.
fn last_start_before<C: Chunk>(segment: &Segment<C>, upto: i64, limit: u64) -> u64 {
    let Some(indexes) = segment.loaded() else { return 0 };
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let by_bytes = indexes.offset.lookup_position(limit).position;
    let by_offset = indexes.offset.lookup(upto - 1).position;
    u64::from(by_bytes.min(by_offset))
}
