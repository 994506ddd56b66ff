//! The records inside an uncompressed batch.
//!
//! ```text
//! varint length of what follows | attributes i8 | varlong timestamp delta | varint offset delta |
//! varint key length, key | varint value length, value | varint header count |
//! per header: varint key length, key | varint value length, value          length -1 is null
//! ```
//!
//! Invariants: varints are zigzag; a header's key is never null; a record ends where its length
//! says. Walking allocates nothing. Sums of timestamps wrap, as Kafka's do.

use super::{BatchError, BatchHeader, Compression};

/// Reads inside one record. `None` is "not framed as the format says", whatever the reason.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// At the start of these bytes.
    #[inline(always)]
    pub fn new(rest: &'a [u8]) -> Cursor<'a> {
        Cursor { rest }
    }

    /// Bytes not read yet.
    #[inline(always)]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// A zigzag varint of 32 bits; one and two bytes are the common widths.
    #[inline(always)]
    pub fn varint(&mut self) -> Option<i32> {
        let raw = match *self.rest {
            [a, ref rest @ ..] if a < 0x80 => {
                self.rest = rest;
                u32::from(a)
            }
            [a, b, ref rest @ ..] if b < 0x80 => {
                self.rest = rest;
                u32::from(a & 0x7f) | u32::from(b) << 7
            }
            _ => u32::try_from(self.varlong_raw(5)?).ok()?,
        };
        Some((raw >> 1) as i32 ^ -((raw & 1) as i32))
    }

    /// A zigzag varint of 64 bits.
    #[inline(always)]
    pub fn varlong(&mut self) -> Option<i64> {
        let raw = match *self.rest {
            [a, ref rest @ ..] if a < 0x80 => {
                self.rest = rest;
                u64::from(a)
            }
            _ => self.varlong_raw(10)?,
        };
        Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    #[cold]
    fn varlong_raw(&mut self, bytes_max: usize) -> Option<u64> {
        let mut value = 0u64;
        for place in 0..bytes_max {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if place == 9 && bits > 1 {
                return None;
            }
            value |= bits << (7 * place);
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    #[inline(always)]
    fn take(&mut self, length: i32) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(head)
    }

    /// Bytes with a length before them: outside `None` is malformed, inside `None` is null.
    #[inline(always)]
    fn bytes(&mut self) -> Option<Option<&'a [u8]>> {
        match self.varint()? {
            -1 => Some(None),
            length => self.take(length).map(Some),
        }
    }
}

/// What a walk over a batch's records has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkSummary {
    /// How many records there are.
    pub records: u32,
    /// The smallest of the records' timestamps; the header's base timestamp when there is no
    /// record.
    pub min_timestamp: i64,
    /// The largest of the records' timestamps; the header's base timestamp when there is no record.
    pub max_timestamp: i64,
    /// The offset delta of the first record with the largest timestamp.
    pub max_timestamp_delta: u32,
    /// How many records have no key.
    pub null_keys: u32,
}

/// See [`super::Batch::walk`].
#[inline]
pub(super) fn walk_records(header: &BatchHeader, body: &[u8]) -> Result<WalkSummary, BatchError> {
    if header.compression()? != Compression::None {
        return Err(BatchError::Compressed);
    }
    let count = u32::try_from(header.records_count)
        .map_err(|_| BatchError::RecordsCount(header.records_count))?;
    let mut body = Cursor { rest: body };
    let mut tally = Tally::default();
    for index in 0..count {
        let length = body.varint().ok_or(BatchError::Record(index))?;
        let mut record = Cursor { rest: body.take(length).ok_or(BatchError::Record(index))? };
        let facts = walk_record(&mut record).ok_or(BatchError::Record(index))?;
        if facts.offset_delta as u32 != index {
            return Err(BatchError::OffsetDelta(index));
        }
        tally.add(index, &facts);
    }
    if !body.rest.is_empty() {
        return Err(BatchError::Trailing(body.rest.len()));
    }
    Ok(tally.summary(header, count))
}

/// A summary in the making.
pub(super) struct Tally {
    delta_min: i64,
    delta_max: i64,
    delta_max_index: u32,
    null_keys: u32,
}

impl Default for Tally {
    #[inline(always)]
    fn default() -> Tally {
        Tally { delta_min: i64::MAX, delta_max: i64::MIN, delta_max_index: 0, null_keys: 0 }
    }
}

impl Tally {
    #[inline(always)]
    pub fn add(&mut self, index: u32, facts: &RecordFacts) {
        self.null_keys += u32::from(facts.key_is_null);
        self.delta_min = self.delta_min.min(facts.timestamp_delta);
        if facts.timestamp_delta > self.delta_max {
            (self.delta_max, self.delta_max_index) = (facts.timestamp_delta, index);
        }
    }

    #[inline(always)]
    pub fn summary(self, header: &BatchHeader, count: u32) -> WalkSummary {
        let deltas = if count == 0 { (0, 0) } else { (self.delta_min, self.delta_max) };
        WalkSummary {
            records: count,
            min_timestamp: header.base_timestamp.wrapping_add(deltas.0),
            max_timestamp: header.base_timestamp.wrapping_add(deltas.1),
            max_timestamp_delta: self.delta_max_index,
            null_keys: self.null_keys,
        }
    }
}

/// What a walk wants to know of a record.
pub(super) struct RecordFacts {
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    pub key_is_null: bool,
}

/// One record, without its length. `None`: it is not framed as the format says.
#[inline(always)]
pub(super) fn walk_record(record: &mut Cursor<'_>) -> Option<RecordFacts> {
    record.take(1)?;
    let timestamp_delta = record.varlong()?;
    let offset_delta = record.varint()?;
    let key_is_null = record.bytes()?.is_none();
    record.bytes()?;
    let headers = record.varint()?;
    if headers != 0 {
        walk_headers(record, headers)?;
    }
    if !record.rest.is_empty() {
        return None;
    }
    Some(RecordFacts { timestamp_delta, offset_delta, key_is_null })
}

fn walk_headers(record: &mut Cursor<'_>, count: i32) -> Option<()> {
    for _ in 0..u32::try_from(count).ok()? {
        record.bytes()??;
        record.bytes()?;
    }
    Some(())
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Added to the batch's base offset.
    pub offset_delta: i32,
    /// Added to the batch's base timestamp.
    pub timestamp_delta: i64,
    /// What compaction and partitioning go by.
    pub key: Option<&'a [u8]>,
    /// The content; null is a tombstone.
    pub value: Option<&'a [u8]>,
    /// How many headers there are.
    pub headers_count: u32,
    /// The headers' bytes, after their count.
    pub headers: &'a [u8],
}

impl<'a> Record<'a> {
    /// The headers' keys and values.
    pub fn headers(&self) -> RecordHeaderIter<'a> {
        RecordHeaderIter { cursor: Cursor { rest: self.headers }, left: self.headers_count }
    }
}

/// Goes through a record's headers.
#[derive(Clone)]
pub struct RecordHeaderIter<'a> {
    cursor: Cursor<'a>,
    left: u32,
}

impl<'a> Iterator for RecordHeaderIter<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let key = self.cursor.bytes()??;
        Some((key, self.cursor.bytes()?))
    }
}

/// Goes through a batch's records. After an error it ends.
#[derive(Clone)]
pub struct RecordIter<'a> {
    cursor: Cursor<'a>,
    index: u32,
    count: u32,
    refused: Option<BatchError>,
}

impl<'a> RecordIter<'a> {
    pub(super) fn new(header: &BatchHeader, body: &'a [u8]) -> RecordIter<'a> {
        let refused = match (header.compression(), header.records_count) {
            (Err(error), _) => Some(error),
            (Ok(Compression::None), 0..) => None,
            (Ok(Compression::None), count) => Some(BatchError::RecordsCount(count)),
            (Ok(_), _) => Some(BatchError::Compressed),
        };
        let count = header.records_count.max(0) as u32;
        RecordIter { cursor: Cursor { rest: body }, index: 0, count, refused }
    }

    fn record(&mut self) -> Option<Record<'a>> {
        let length = self.cursor.varint()?;
        let mut record = Cursor { rest: self.cursor.take(length)? };
        record.take(1)?;
        let timestamp_delta = record.varlong()?;
        let offset_delta = record.varint()?;
        let (key, value) = (record.bytes()?, record.bytes()?);
        let headers_count = u32::try_from(record.varint()?).ok()?;
        let headers = record.rest;
        walk_headers(&mut record, headers_count as i32)?;
        if !record.rest.is_empty() {
            return None;
        }
        Some(Record { offset_delta, timestamp_delta, key, value, headers_count, headers })
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.refused.take() {
            self.count = 0;
            return Some(Err(error));
        }
        if self.index == self.count {
            return None;
        }
        let index = self.index;
        match self.record() {
            Some(record) => {
                self.index += 1;
                Some(Ok(record))
            }
            None => {
                self.count = index;
                Some(Err(BatchError::Record(index)))
            }
        }
    }
}
