//! Append: check, place, copy once. Nothing here touches a disk.

use ringlog_wire::batch::{Batch, BatchHeader, TimestampType};

use super::Log;
use crate::index::NO_TIMESTAMP;
use crate::ops::Memory;
use crate::producer::{Origin, ProducerBatch, ProducerError, ProducerTable, Verdict};
use crate::tail::BatchAt;
use crate::transaction::{Completed, Marker};

/// Where a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The first record's offset.
    pub base_offset: i64,
    /// The last record's offset.
    pub last_offset: i64,
    /// The broker's timestamp when the batch carries it, else -1; a duplicate's is that of the
    /// original batch, whoever's clock it is from (as in Kafka).
    pub log_append_time: i64,
    /// The batch was in the log already: nothing was appended, answer with these offsets.
    pub duplicate: bool,
}

/// Why a batch was not appended. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// The producer's sequence or epoch does not fit.
    Producer(ProducerError),
    /// The batch's leader epoch is older than the log's.
    StaleEpoch {
        /// The newest epoch in the log.
        latest: i32,
    },
    /// The batch is larger than a segment may be.
    TooLarge {
        /// `segment.bytes`.
        segment_bytes: u64,
    },
    /// The header is impossible: a negative count or delta, an offset past the last one.
    Malformed,
    /// No chunk memory is left; try again when some was given back.
    NoMemory,
    /// An operation failed; see [`Log::failure`].
    Failed,
}

impl std::fmt::Display for AppendError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AppendError::Producer(error) => error.fmt(out),
            AppendError::StaleEpoch { latest } => {
                write!(out, "the leader epoch is older than the log's, {latest}")
            }
            AppendError::TooLarge { segment_bytes } => {
                write!(out, "the batch is larger than segment.bytes = {segment_bytes}")
            }
            AppendError::Malformed => out.write_str("the batch's header is impossible"),
            AppendError::NoMemory => out.write_str("the memory for log chunks is exhausted"),
            AppendError::Failed => out.write_str("the log failed and must be reopened"),
        }
    }
}

impl std::error::Error for AppendError {}

/// What the producer table wants to know of a batch.
pub(crate) fn producer_batch(header: &BatchHeader, base_offset: i64) -> ProducerBatch {
    ProducerBatch {
        producer_id: header.producer_id,
        epoch: header.producer_epoch,
        first_sequence: header.base_sequence,
        offset_delta: header.last_offset_delta,
        base_offset,
        timestamp: header.max_timestamp,
        transactional: header.is_transactional(),
    }
}

/// Notes a batch that is in the log, with what it says if it is a transaction's marker; gives back
/// the transaction that this has ended.
pub(crate) fn note_producer(
    table: &mut ProducerTable,
    header: &BatchHeader,
    marker: Option<&Marker>,
) -> Option<Completed> {
    if header.producer_id < 0 || header.producer_epoch < 0 || header.last_offset_delta < 0 {
        return None;
    }
    if header.is_control() {
        return table.update_marker(marker?, header.base_offset, header.max_timestamp);
    }
    // Coordinators number nothing, but their records may be part of a transaction.
    if header.base_sequence >= 0 || header.is_transactional() {
        table.update(&producer_batch(header, header.base_offset));
    }
    None
}

impl<M: Memory> Log<M> {
    /// Appends one batch whose CRC and records the caller has checked. Its bytes are copied once,
    /// with the base offset and `leader_epoch` stamped in. After an error nothing has changed.
    pub fn append(
        &mut self,
        now_ms: i64,
        memory: &mut impl Memory<Chunk = M::Chunk>,
        batch: &Batch<'_>,
        leader_epoch: i32,
    ) -> Result<Appended, AppendError> {
        self.append_from(Origin::Client, now_ms, memory, batch, leader_epoch)
    }

    /// The same for a batch of this origin. Whether a batch may begin a transaction is the caller's
    /// to know: only the transaction's coordinator can say it.
    pub fn append_from(
        &mut self,
        origin: Origin,
        now_ms: i64,
        memory: &mut impl Memory<Chunk = M::Chunk>,
        batch: &Batch<'_>,
        leader_epoch: i32,
    ) -> Result<Appended, AppendError> {
        let header = *batch.header();
        self.check_batch(&header, leader_epoch)?;
        assert!(!header.is_control() || !header.has_producer_id(), "markers have their own way in");
        if header.has_producer_id() {
            if header.base_sequence < 0 && origin != Origin::Coordinator {
                return Err(AppendError::Malformed);
            }
            let known = producer_batch(&header, self.end);
            match self.producers.check(&known, origin).map_err(AppendError::Producer)? {
                Verdict::Append => {}
                Verdict::Duplicate(entry) => {
                    return Ok(Appended {
                        base_offset: entry.base_offset(),
                        last_offset: entry.last_offset,
                        log_append_time: entry.timestamp,
                        duplicate: true,
                    });
                }
            }
        }
        self.append_checked(now_ms, memory, batch, leader_epoch, None)
    }

    /// Appends what has been checked.
    pub(super) fn append_checked(
        &mut self,
        now_ms: i64,
        memory: &mut impl Memory<Chunk = M::Chunk>,
        batch: &Batch<'_>,
        leader_epoch: i32,
        marker: Option<&Marker>,
    ) -> Result<Appended, AppendError> {
        let header = *batch.header();
        let bytes = header.size();
        let reserved = if self.must_roll(&header, now_ms) {
            let next = crate::tail::Tail::new(0, Vec::new());
            let reserved = next.reserve(memory, bytes, now_ms).ok_or(AppendError::NoMemory)?;
            self.roll();
            reserved
        } else {
            let tail = &self.active().tail;
            tail.reserve(memory, bytes, now_ms).ok_or(AppendError::NoMemory)?
        };
        let header = BatchHeader { base_offset: self.end, ..header };
        self.place(now_ms, reserved, batch, &header, leader_epoch);
        if let Some(completed) = note_producer(&mut self.producers, &header, marker) {
            self.completed(completed);
        }
        Ok(Appended {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            log_append_time: append_time(&header, header.max_timestamp),
            duplicate: false,
        })
    }

    pub(super) fn check_batch(
        &self,
        header: &BatchHeader,
        leader_epoch: i32,
    ) -> Result<(), AppendError> {
        if self.failure.is_some() {
            return Err(AppendError::Failed);
        }
        if header.last_offset_delta < 0 || header.producer_id < -1 {
            return Err(AppendError::Malformed);
        }
        if self.end.checked_add(i64::from(header.last_offset_delta) + 1).is_none() {
            return Err(AppendError::Malformed);
        }
        if header.size() as u64 > self.config.segment_bytes {
            return Err(AppendError::TooLarge { segment_bytes: self.config.segment_bytes });
        }
        match self.epochs.latest() {
            Some(latest) if leader_epoch < latest.epoch => {
                Err(AppendError::StaleEpoch { latest: latest.epoch })
            }
            _ => Ok(()),
        }
    }

    fn place(
        &mut self,
        now_ms: i64,
        reserved: crate::tail::Reserved<<M as Memory>::Chunk>,
        batch: &Batch<'_>,
        header: &BatchHeader,
        leader_epoch: i32,
    ) {
        // Both are outside the CRC.
        let head = BatchHeader { partition_leader_epoch: leader_epoch, ..*header }.encode();
        let index_interval_bytes = self.config.index_interval_bytes;
        let segment = self.active_mut();
        assert!(segment.tail.end() == segment.size, "the tail ends where the segment does");
        let parts = [&head[..], batch.body()];
        segment.tail.append(reserved, header.base_offset, parts, now_ms);
        segment.note(header, index_interval_bytes);
        assert!(segment.tail.end() == segment.size, "the tail ends where the segment does");
        segment.created_ms.get_or_insert(now_ms);
        let mark = BatchAt { offset: header.next_offset(), position: segment.size };
        let writer = segment.writer.as_mut().expect("the active segment has a writer");
        writer.marks.push_back(mark);
        if leader_epoch >= 0 && self.epochs.latest().is_none_or(|e| e.epoch < leader_epoch) {
            self.epochs_dirty |= self.epochs.assign(leader_epoch, header.base_offset);
        }
        self.end = header.next_offset();
        self.as_closed = false;
    }
}

fn append_time(header: &BatchHeader, timestamp: i64) -> i64 {
    match header.timestamp_type() {
        TimestampType::LogAppendTime => timestamp,
        TimestampType::CreateTime => NO_TIMESTAMP,
    }
}
