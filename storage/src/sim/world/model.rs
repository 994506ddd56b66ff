//! What the log should be: the batches that were appended, byte for byte, and what follows from
//! them.

use std::collections::BTreeMap;

use ringlog_wire::batch::{Batch, BatchHeader, encode_offset_and_epoch};

use crate::index::SegmentIndexes;
use crate::producer::sequence_after;

/// A batch as the log holds it.
#[derive(Clone, Debug)]
pub struct Kept {
    pub header: BatchHeader,
    pub bytes: Vec<u8>,
}

/// One batch of an idempotent producer, as sent and as placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub epoch: i16,
    pub first: i32,
    pub last: i32,
    pub base_offset: i64,
    pub last_offset: i64,
}

/// What a producer's batches in the log say of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The batches of the newest epoch, oldest first, five at most.
    pub window: Vec<Sent>,
    /// How many of them, from the newest, are surely remembered: a snapshot keeps only one.
    pub sure: usize,
}

/// What the log has to answer to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Append,
    Duplicate(Sent),
    /// Remembered, or refused as out of order when the state came from a snapshot.
    DuplicateOrRefused(Sent),
    OutOfOrder,
    Fenced,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub batches: Vec<Kept>,
    pub producers: BTreeMap<i64, Known>,
    /// Where the log begins, and ends while it is empty.
    pub base: i64,
    pub log_start: i64,
    /// Segments wholly below it may be gone: the largest start that the log was told.
    pub retired: i64,
    pub epoch: i32,
    /// Below this the log has said "written", "flushed".
    pub written: i64,
    pub flushed: i64,
}

impl Model {
    pub fn end(&self) -> i64 {
        self.batches.last().map_or(self.base, next)
    }

    pub fn expected(&self, id: i64, epoch: i16, first: i32, offset_delta: i32) -> Expected {
        let Some(known) = self.producers.get(&id) else { return Expected::Append };
        let newest = *known.window.last().expect("a known producer has a batch");
        let last = sequence_after(first, offset_delta);
        let same = |s: &Sent| s.epoch == epoch && s.first == first && s.last == last;
        let place = known.window.iter().rev().position(same);
        if let Some(place) = place {
            let sent = known.window[known.window.len() - 1 - place];
            let is_sure = place < known.sure;
            let unsure = Expected::DuplicateOrRefused(sent);
            return if is_sure { Expected::Duplicate(sent) } else { unsure };
        }
        if epoch < newest.epoch {
            return Expected::Fenced;
        }
        let next = if epoch == newest.epoch { sequence_after(newest.last, 1) } else { 0 };
        if first == next { Expected::Append } else { Expected::OutOfOrder }
    }

    /// A batch was appended at the end.
    pub fn append(&mut self, bytes: &[u8], leader_epoch: i32) -> &Kept {
        let end = self.end();
        let mut bytes = bytes.to_vec();
        let stamped = bytes.first_chunk_mut().expect("a batch has a header");
        encode_offset_and_epoch(stamped, end, leader_epoch);
        let header = BatchHeader::parse(&bytes).expect("the simulator builds good batches");
        note(&mut self.producers, &header);
        self.batches.push(Kept { header, bytes });
        self.batches.last().expect("just pushed")
    }

    /// The log ends at `end` now: the state is rebuilt from what is left.
    pub fn cut(&mut self, end: i64) {
        let keep = self.batches.partition_point(|kept| kept.header.next_offset() <= end);
        self.batches.truncate(keep);
        self.written = self.written.min(end);
        self.flushed = self.flushed.min(end);
    }

    /// Everything was deleted up to `start`, and what came after is lost: the log begins anew
    /// there.
    pub fn begin_anew(&mut self, start: i64) {
        self.batches.clear();
        self.base = start;
        self.written = self.written.min(start);
        self.flushed = self.flushed.min(start);
    }

    /// The producers are what the batches say, of which a snapshot may have kept only the last.
    pub fn reopened(&mut self) {
        self.producers.clear();
        for kept in &self.batches {
            note(&mut self.producers, &kept.header);
        }
        for known in self.producers.values_mut() {
            known.sure = 1;
        }
    }

    /// Offset and timestamp of the first record at or after both.
    pub fn first_since(&self, timestamp: i64, offset: i64) -> Option<(i64, i64)> {
        let young = self.batches.iter().filter(|b| b.header.max_timestamp >= timestamp);
        for Kept { header, bytes } in young.filter(|b| b.header.last_offset() >= offset) {
            let (batch, _) = Batch::parse(bytes).expect("the simulator builds good batches");
            for record in batch.records() {
                let record = record.expect("the simulator builds good batches");
                let at = header.base_offset + i64::from(record.offset_delta);
                let time = header.base_timestamp + record.timestamp_delta;
                if at >= offset && time >= timestamp {
                    return Some((at, time));
                }
            }
        }
        None
    }

    /// Whether a batch ends here.
    pub fn is_boundary(&self, offset: i64) -> bool {
        offset == self.base || self.batches.iter().any(|kept| kept.header.next_offset() == offset)
    }

    /// The batches of the segment with this base, up to `next_base`.
    pub fn between(&self, base: i64, next_base: i64) -> &[Kept] {
        let from = self.batches.partition_point(|kept| kept.header.base_offset < base);
        let upto = self.batches.partition_point(|kept| kept.header.base_offset < next_base);
        &self.batches[from..upto.max(from)]
    }

    /// The last batch of each producer below `offset`.
    pub fn producers_at(&self, offset: i64) -> BTreeMap<i64, Sent> {
        let mut producers = BTreeMap::new();
        for kept in self.batches.iter().take_while(|kept| kept.header.base_offset < offset) {
            note(&mut producers, &kept.header);
        }
        let last = |(id, known): (i64, Known)| (id, *known.window.last().expect("not empty"));
        producers.into_iter().map(last).collect()
    }
}

fn next(kept: &Kept) -> i64 {
    kept.header.next_offset()
}

fn note(producers: &mut BTreeMap<i64, Known>, header: &BatchHeader) {
    if header.producer_id < 0 {
        return;
    }
    let known = producers.entry(header.producer_id).or_default();
    if known.window.last().is_some_and(|sent| sent.epoch != header.producer_epoch) {
        *known = Known::default();
    }
    if known.window.len() == 5 {
        known.window.remove(0);
    }
    known.sure = (known.sure + 1).min(5);
    known.window.push(Sent {
        epoch: header.producer_epoch,
        first: header.base_sequence,
        last: sequence_after(header.base_sequence, header.last_offset_delta),
        base_offset: header.base_offset,
        last_offset: header.last_offset(),
    });
}

/// The indexes that a segment of these batches has, before it is closed.
pub fn rebuilt(base: i64, batches: &[Kept], interval: u64, bytes_max: u64) -> SegmentIndexes {
    let mut indexes = SegmentIndexes::new(base, bytes_max as usize);
    let mut position = 0;
    for Kept { header, bytes } in batches {
        let full =
            indexes.batch(position, header.last_offset(), header.max_timestamp, interval as u32);
        full.expect("the log rolls before an index is full");
        position += bytes.len() as u32;
    }
    indexes
}
