//! Puts batches together: the client's, and the broker's own (control records, the metadata log).
//!
//! Invariant: what [`BatchBuilder::finish`] gives passes [`super::Batch::walk`] and
//! [`super::Batch::verify_crc`].

use super::{ATTRIBUTES_AT, BatchHeader, CONTROL, CRC_AT, HEADER_BYTES, LOG_APPEND_TIME};
use super::{MAGIC, NO_PRODUCER_ID, OVERHEAD_BYTES, TRANSACTIONAL, TimestampType};
use crate::codec::Writer;

/// What a batch says of itself, beside its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// The first record's offset; 0 from a producer.
    pub base_offset: i64,
    /// The appending leader's epoch; -1 from a producer.
    pub partition_leader_epoch: i32,
    /// The idempotent producer, or -1.
    pub producer_id: i64,
    /// Its epoch, or -1.
    pub producer_epoch: i16,
    /// The first record's sequence number, or -1.
    pub base_sequence: i32,
    /// Whose clock the timestamps are from.
    pub timestamp_type: TimestampType,
    /// Part of a transaction.
    pub transactional: bool,
    /// The broker's own.
    pub control: bool,
}

impl Default for BatchOptions {
    fn default() -> BatchOptions {
        BatchOptions {
            base_offset: 0,
            partition_leader_epoch: -1,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: -1,
            base_sequence: -1,
            timestamp_type: TimestampType::CreateTime,
            transactional: false,
            control: false,
        }
    }
}

impl BatchOptions {
    /// For records of a transaction. `base_sequence` is -1 where a coordinator writes for the
    /// producer.
    pub fn transactional(
        producer_id: i64,
        producer_epoch: i16,
        base_sequence: i32,
    ) -> BatchOptions {
        BatchOptions {
            producer_id,
            producer_epoch,
            base_sequence,
            transactional: true,
            ..BatchOptions::default()
        }
    }
}

/// Builds one uncompressed batch, record by record.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    options: BatchOptions,
    bytes: Vec<u8>,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new(options: BatchOptions) -> BatchBuilder {
        BatchBuilder::with_capacity(options, HEADER_BYTES)
    }

    /// An empty batch that has room for so many bytes, the header's included.
    pub fn with_capacity(options: BatchOptions, bytes_expected: usize) -> BatchBuilder {
        let mut bytes = Vec::with_capacity(bytes_expected.max(HEADER_BYTES));
        bytes.resize(HEADER_BYTES, 0);
        BatchBuilder { options, bytes, count: 0, base_timestamp: -1, max_timestamp: -1 }
    }

    /// How many records there are.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// The batch's bytes so far, header included.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a record. The first one's timestamp is the batch's base timestamp.
    pub fn push(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        if self.count == 0 {
            (self.base_timestamp, self.max_timestamp) = (timestamp, timestamp);
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let delta = timestamp.wrapping_sub(self.base_timestamp);
        let headers_bytes: usize = headers
            .iter()
            .map(|(name, value)| bytes_length(Some(name.as_bytes())) + bytes_length(*value))
            .sum();
        let record_bytes = size_of::<i8>()
            + varint_length(delta)
            + varint_length(self.count.into())
            + bytes_length(key)
            + bytes_length(value)
            + varint_length(length(headers.len()).into())
            + headers_bytes;
        let out = &mut self.bytes;
        out.put_varint(length(record_bytes));
        let start = out.len();
        out.put_i8(0);
        out.put_varlong(delta);
        out.put_varint(self.count);
        put_bytes(out, key);
        put_bytes(out, value);
        out.put_varint(length(headers.len()));
        for (name, value) in headers {
            put_bytes(out, Some(name.as_bytes()));
            put_bytes(out, *value);
        }
        assert!(out.len() - start == record_bytes, "a record is as long as it was said to be");
        self.count += 1;
    }

    /// The whole batch, CRC included.
    pub fn finish(mut self) -> Vec<u8> {
        let options = &self.options;
        let flag = |set: bool, bit: i16| if set { bit } else { 0 };
        let log_append_time = options.timestamp_type == TimestampType::LogAppendTime;
        let header = BatchHeader {
            base_offset: options.base_offset,
            batch_length: length(self.bytes.len() - OVERHEAD_BYTES),
            partition_leader_epoch: options.partition_leader_epoch,
            magic: MAGIC,
            crc: 0,
            attributes: flag(log_append_time, LOG_APPEND_TIME)
                | flag(options.transactional, TRANSACTIONAL)
                | flag(options.control, CONTROL),
            last_offset_delta: (self.count - 1).max(0),
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: options.producer_id,
            producer_epoch: options.producer_epoch,
            base_sequence: options.base_sequence,
            records_count: self.count,
        };
        self.bytes[..HEADER_BYTES].copy_from_slice(&header.encode());
        let crc = crc32c::crc32c(&self.bytes[ATTRIBUTES_AT..]);
        self.bytes[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
        self.bytes
    }
}

fn length(length: usize) -> i32 {
    i32::try_from(length).expect("a batch is limited below 2 GiB")
}

/// The bytes of a number as a varint.
#[inline]
fn varint_length(number: i64) -> usize {
    let zigzag = (number << 1 ^ number >> 63) as u64;
    (u64::BITS - (zigzag | 1).leading_zeros()).div_ceil(7) as usize
}

/// What [`put_bytes`] puts.
#[inline]
fn bytes_length(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint_length(length(bytes.len()).into()) + bytes.len())
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => out.put_varint(-1),
        Some(bytes) => {
            out.put_varint(length(bytes.len()));
            out.put(bytes);
        }
    }
}
