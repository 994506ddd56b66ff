//! What the log should be: the batches that were appended, byte for byte, and what follows from
//! them.

use std::collections::BTreeMap;

use ringlog_wire::batch::{Batch, BatchHeader, encode_offset_and_epoch};

use crate::index::SegmentIndexes;
use crate::producer::sequence_after;
use crate::transaction::{AbortedTxn, Marker};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub epoch: i16,
    pub coordinator_epoch: i32,
    /// Where its open transaction begins.
    pub open: Option<i64>,
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
    /// The coordinator that wrote it is not the newest.
    CoordinatorFenced,
    OutsideTransaction,
}

/// What follows from batches for their producers and transactions.
#[derive(Clone, Debug, Default)]
pub struct Producers {
    pub known: BTreeMap<i64, Known>,
    /// In the order of their markers.
    pub aborted: Vec<AbortedTxn>,
    /// (first offset, marker) of what has ended since the log was opened.
    pub decided: Vec<(i64, i64)>,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub batches: Vec<Kept>,
    pub producers: Producers,
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

    /// The answer to a client's batch.
    pub fn expected(&self, header: &BatchHeader) -> Expected {
        let Some(known) = self.producers.known.get(&header.producer_id) else {
            return Expected::Append;
        };
        let (epoch, first) = (header.producer_epoch, header.base_sequence);
        let last = sequence_after(first, header.last_offset_delta);
        let same = |s: &Sent| s.epoch == epoch && s.first == first && s.last == last;
        let place = known.window.iter().rev().position(same);
        if let Some(place) = place {
            let sent = known.window[known.window.len() - 1 - place];
            let is_sure = place < known.sure;
            let unsure = Expected::DuplicateOrRefused(sent);
            return if is_sure { Expected::Duplicate(sent) } else { unsure };
        }
        let next = match known.window.last() {
            Some(newest) if epoch == known.epoch => sequence_after(newest.last, 1),
            _ => 0,
        };
        match self.expected_of_coordinator(header) {
            Expected::Fenced => Expected::Fenced,
            _ if first != next => Expected::OutOfOrder,
            other => other,
        }
    }

    /// The answer to a coordinator's batch.
    pub fn expected_of_coordinator(&self, header: &BatchHeader) -> Expected {
        match self.producers.known.get(&header.producer_id) {
            Some(known) if header.producer_epoch < known.epoch => Expected::Fenced,
            Some(known) if known.open.is_some() && !header.is_transactional() => {
                Expected::OutsideTransaction
            }
            _ => Expected::Append,
        }
    }

    /// The answer to a marker.
    pub fn expected_of_marker(&self, marker: &Marker, version: i8) -> Expected {
        let Some(known) = self.producers.known.get(&marker.producer_id) else {
            return Expected::Append;
        };
        let bumped = marker.producer_epoch > known.epoch;
        let same = marker.producer_epoch == known.epoch;
        match (version, known.open) {
            (2, Some(_)) if !bumped => Expected::Fenced,
            _ if !bumped && !same => Expected::Fenced,
            _ if marker.coordinator_epoch < known.coordinator_epoch => Expected::CoordinatorFenced,
            _ => Expected::Append,
        }
    }

    /// Below it everything is decided, and the markers are below `high_watermark`.
    pub fn last_stable(&self, high_watermark: i64) -> i64 {
        let decided = self.producers.decided.iter();
        let ending =
            decided.filter(|(_, marker)| *marker >= high_watermark).map(|(first, _)| *first);
        let open = self.producers.known.values().filter_map(|known| known.open);
        let first = ending.chain(open).min().unwrap_or(high_watermark);
        first.max(self.log_start).min(high_watermark)
    }

    /// A batch was appended at the end.
    pub fn append(&mut self, bytes: &[u8], leader_epoch: i32) -> &Kept {
        let end = self.end();
        let mut bytes = bytes.to_vec();
        let stamped = bytes.first_chunk_mut().expect("a batch has a header");
        encode_offset_and_epoch(stamped, end, leader_epoch);
        let header = BatchHeader::parse(&bytes).expect("the simulator builds good batches");
        let kept = Kept { header, bytes };
        self.producers.note(&kept);
        self.batches.push(kept);
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
        self.producers = Producers::default();
        for kept in &self.batches {
            self.producers.note(kept);
        }
        self.producers.decided.clear();
        for known in self.producers.known.values_mut() {
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

    /// The producers below `offset`.
    pub fn producers_at(&self, offset: i64) -> BTreeMap<i64, Known> {
        let mut producers = Producers::default();
        for kept in self.batches.iter().take_while(|kept| kept.header.base_offset < offset) {
            producers.note(kept);
        }
        producers.known
    }
}

fn next(kept: &Kept) -> i64 {
    kept.header.next_offset()
}

impl Producers {
    fn note(&mut self, kept: &Kept) {
        let header = &kept.header;
        if header.producer_id < 0 {
            return;
        }
        let nothing = Known {
            epoch: header.producer_epoch,
            coordinator_epoch: -1,
            open: None,
            window: Vec::new(),
            sure: 0,
        };
        let known = self.known.entry(header.producer_id).or_insert(nothing);
        if known.epoch != header.producer_epoch {
            (known.epoch, known.window, known.sure) = (header.producer_epoch, Vec::new(), 0);
        }
        if header.is_control() {
            return self.note_marker(kept);
        }
        if header.is_transactional() && known.open.is_none() {
            known.open = Some(header.base_offset);
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

    fn note_marker(&mut self, kept: &Kept) {
        let (batch, _) = Batch::parse(&kept.bytes).expect("the simulator builds good batches");
        let marker = Marker::decode(&batch).expect("the simulator builds good markers");
        let at = kept.header.base_offset;
        let known = self.known.get_mut(&marker.producer_id).expect("it was just noted");
        known.coordinator_epoch = marker.coordinator_epoch;
        let Some(first_offset) = known.open.take() else { return };
        self.decided.push((first_offset, at));
        if !marker.committed {
            let open = self.known.values().filter_map(|known| known.open).min();
            self.aborted.push(AbortedTxn {
                producer_id: marker.producer_id,
                first_offset,
                last_offset: at,
                last_stable_offset: open.unwrap_or(at + 1),
            });
        }
    }
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
