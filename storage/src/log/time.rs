//! ListOffsets by timestamp: the first record at or after a time (not the first batch).
//!
//! The time index narrows it to a place in a segment; from there headers are walked until a batch
//! reaches the time, in memory or in ranges read from disk. Each step is a plan; the search goes
//! on with [`TimeStep::Continue`]. A compressed batch that may hold the record is handed out
//! ([`OpenBatch`]), to be opened where that delays nobody.

use ringlog_wire::batch::{Batch, BatchError, BatchHeader, Codecs, Compression, TimestampType};

use super::Log;
use super::read::{DiskPlan, IndexPlan, ReadError, index_plan, memory_start};
use super::walk::{Found, TailWalk, look};
use crate::index::TimeEntry;
use crate::ops::{Chunk, Memory};
use crate::segment::Segment;

/// Bytes read at a time while walking on disk.
const WALK_BYTES: u64 = 256 << 10;

/// A record found by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeAnswer {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp.
    pub timestamp: i64,
    /// The epoch its batch was written in.
    pub leader_epoch: i32,
}

/// A compressed batch that may hold the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenBatch {
    bytes: Vec<u8>,
    target: i64,
    from: i64,
}

impl OpenBatch {
    /// Looks through the records. Without an answer, the search goes on from the offset in `Err`.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn search(&self, codecs: &mut Codecs) -> Result<Result<TimeAnswer, i64>, BatchError> {
        let (batch, _) = Batch::parse(&self.bytes)?;
        let header = *batch.header();
        let offset = |delta: i32| header.base_offset + i64::from(delta);
        let found = batch.find(codecs, |seen| {
            seen.timestamp >= self.target && offset(seen.offset_delta) >= self.from
        })?;
        Ok(match found {
            None => Err(header.next_offset()),
            Some(seen) => Ok(TimeAnswer {
                offset: offset(seen.offset_delta),
                timestamp: seen.timestamp,
                leader_epoch: header.partition_leader_epoch,
            }),
        })
    }
}

/// What one batch says.
enum InBatch {
    Found(TimeAnswer),
    Open(OpenBatch),
}

/// How to find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimePlan {
    /// Here it is.
    Found(TimeAnswer),
    /// Open this and search it. An answer at or after the bound is none; without one, ask again
    /// from where it says.
    Open(OpenBatch),
    /// No record below the bound is that young.
    NotFound,
    /// Read this, then [`Log::finish_offset_for_timestamp`].
    Disk(DiskPlan),
    /// Read these, then [`Log::load_index`], then ask again.
    Index(IndexPlan),
}

/// What a range read from disk says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeStep {
    /// Here it is.
    Found(TimeAnswer),
    /// As [`TimePlan::Open`].
    Open(OpenBatch),
    /// No record below the bound is that young.
    NotFound,
    /// Not in this range: ask [`Log::offset_for_timestamp`] again from this offset.
    Continue {
        /// Where to go on.
        from: i64,
    },
}

impl<M: Memory> Log<M> {
    /// The first record with a timestamp of at least `target`, at or after `from` and below
    /// `upto`. Begin with `from` = [`Log::log_start_offset`].
    pub fn offset_for_timestamp(&self, target: i64, from: i64, upto: i64) -> TimePlan {
        let from = from.max(self.log_start);
        let upto = upto.min(self.end);
        if from >= upto {
            return TimePlan::NotFound;
        }
        for index in self.segment_for(from)..self.segments.len() {
            let segment = &self.segments[index];
            let is_old = segment.max_timestamp.timestamp < target || segment.size == 0;
            if is_old || segment.base_offset >= upto {
                continue;
            }
            let Some(indexes) = segment.loaded() else {
                return TimePlan::Index(index_plan(segment));
            };
            let start = from.max(indexes.time.lookup(target).offset).max(segment.base_offset);
            if segment.tail.first_batch().is_none_or(|first| first.offset > start) {
                let position = u64::from(indexes.offset.lookup(start).position);
                return TimePlan::Disk(self.disk_plan(index, position, WALK_BYTES));
            }
            match find_in_memory(segment, start, from, upto, target) {
                Some(InBatch::Found(answer)) if answer.offset < upto => {
                    return TimePlan::Found(answer);
                }
                Some(InBatch::Found(_)) => return TimePlan::NotFound,
                Some(InBatch::Open(open)) => return TimePlan::Open(open),
                None => {}
            }
        }
        TimePlan::NotFound
    }

    /// Looks through what a plan's range held.
    pub fn finish_offset_for_timestamp(
        &self,
        plan: &DiskPlan,
        target: i64,
        from: i64,
        upto: i64,
        raw: &[u8],
    ) -> Result<TimeStep, ReadError> {
        let Some(index) = self.segment_index(plan.file) else { return Err(ReadError::Stale) };
        let base_offset = self.segments[index].base_offset;
        let raw = plan.usable(raw);
        let (mut at, mut next) = (plan.skip, None);
        loop {
            let position = plan.at + at as u64;
            if position >= plan.end_position {
                return Ok(TimeStep::Continue { from: plan.end_offset.max(from + 1) });
            }
            match (look(raw, at), next) {
                (Found::Batch(header), _) => {
                    let bytes = &raw[at..at + header.size()];
                    if header.base_offset >= upto {
                        return Ok(TimeStep::NotFound);
                    }
                    match find_in_batch(&header, bytes, from, target) {
                        Some(InBatch::Found(answer)) if answer.offset < upto => {
                            return Ok(TimeStep::Found(answer));
                        }
                        Some(InBatch::Found(_)) => return Ok(TimeStep::NotFound),
                        Some(InBatch::Open(open)) => return Ok(TimeStep::Open(open)),
                        None => {}
                    }
                    at += header.size();
                    next = Some(header.next_offset());
                }
                (Found::Part(_) | Found::Short(_), Some(next)) if next > from => {
                    return Ok(TimeStep::Continue { from: next });
                }
                (Found::Part(header), _) => return Err(plan.more(at, header.size(), base_offset)),
                (Found::Short(need), _) => return Err(plan.more(at, need, base_offset)),
                (Found::Corrupt, _) => return Err(ReadError::Corrupt { base_offset, position }),
            }
        }
    }

    /// The largest timestamp of the batches at or after `from` and below `upto`;
    /// [`Log::offset_for_timestamp`] finds its record. No file is read for it: of a segment whose
    /// largest lies outside, what is neither indexed nor in memory is not looked at.
    pub fn max_timestamp(&self, from: i64, upto: i64) -> Option<i64> {
        let known = self.segments.iter().filter(|it| it.size > 0 && it.base_offset < upto);
        let max = known.filter_map(|segment| max_within(segment, from, upto)).max();
        max.filter(|timestamp| *timestamp >= 0)
    }
}

fn max_within<C: Chunk>(segment: &Segment<C>, from: i64, upto: i64) -> Option<i64> {
    let is_within = |entry: &TimeEntry| (from..upto).contains(&entry.offset);
    if is_within(&segment.max_timestamp) {
        return Some(segment.max_timestamp.timestamp);
    }
    // An entry is the largest up to its offset: what rises above it comes behind it.
    let entry = segment.loaded().and_then(|it| it.time.iter().filter(is_within).last());
    let mut max = entry.map(|entry| entry.timestamp);
    let Some(first) = segment.tail.first_batch() else { return max };
    let start = entry.map_or(from, |entry| entry.offset).max(first.offset);
    let mut walk = TailWalk::new(&segment.tail);
    let mut at = memory_start(segment, start);
    while at < segment.size {
        let header = walk.header(at);
        if header.last_offset() >= upto {
            break;
        }
        if header.base_offset >= from {
            max = max.max(Some(header.max_timestamp));
        }
        at += header.size() as u64;
    }
    max
}

fn find_in_memory<C: Chunk>(
    segment: &Segment<C>,
    start: i64,
    from: i64,
    upto: i64,
    target: i64,
) -> Option<InBatch> {
    let mut walk = TailWalk::new(&segment.tail);
    let mut at = memory_start(segment, start);
    while at < segment.size {
        let header = walk.header(at);
        if header.base_offset >= upto {
            return None;
        }
        if header.max_timestamp >= target && header.last_offset() >= from {
            let mut bytes = vec![0; header.size()];
            segment.tail.gather(at, &mut bytes);
            if let Some(found) = find_in_batch(&header, &bytes, from, target) {
                return Some(found);
            }
        }
        at += header.size() as u64;
    }
    None
}

/// The first record of a batch that is at or after both bounds.
fn find_in_batch(header: &BatchHeader, bytes: &[u8], from: i64, target: i64) -> Option<InBatch> {
    if header.max_timestamp < target || header.last_offset() < from {
        return None;
    }
    let answer = |offset: i64, timestamp: i64| {
        let leader_epoch = header.partition_leader_epoch;
        InBatch::Found(TimeAnswer { offset, timestamp, leader_epoch })
    };
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return Some(answer(header.base_offset.max(from), header.max_timestamp));
    }
    if header.compression() != Ok(Compression::None) {
        return Some(InBatch::Open(OpenBatch { bytes: bytes.to_vec(), target, from }));
    }
    let (batch, _) = Batch::parse(bytes).ok()?;
    for record in batch.records() {
        let record = record.ok()?;
        let offset = header.base_offset + i64::from(record.offset_delta);
        let timestamp = header.base_timestamp.wrapping_add(record.timestamp_delta);
        if timestamp >= target && offset >= from {
            return Some(answer(offset, timestamp));
        }
    }
    None
}
