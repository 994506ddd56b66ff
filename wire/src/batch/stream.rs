//! Walking the records of a compressed batch, as they are opened.
//!
//! Invariants: the same is checked as in an uncompressed batch (`record.rs`), in one pass; a record
//! that fits the window is looked at as a whole, a larger one field by field, its key and value
//! passed over. The work is bounded by the header's count of records and by what the stream may
//! open to, whichever ends first.

use super::inflate::{Stream, Tee};
use super::record::{Cursor, RecordFacts, Tally, walk_record};
use super::{BatchError, BatchHeader, WalkSummary};

/// The longest varint, bytes.
const VARINT_BYTES_MAX: usize = 10;

/// What is seen of a record while walking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its place in the batch.
    pub index: u32,
    /// Added to the batch's base offset.
    pub offset_delta: i32,
    /// Its time, whatever the batch's timestamp type says.
    pub timestamp: i64,
    /// Whether it has a key.
    pub has_key: bool,
}

/// How a walk ended.
pub(super) enum Walked {
    /// Every record was seen.
    Whole(WalkSummary),
    /// The walk was ended at this record.
    At(Seen),
}

/// Walks until `until` says so, or to the end. With `dense`, a record's offset delta must be its
/// index: true of what producers send, not of what compaction leaves.
pub(super) fn walk_stream(
    header: &BatchHeader,
    stream: &mut Stream<'_>,
    dense: bool,
    tee: &mut Tee<'_>,
    mut until: impl FnMut(&Seen) -> bool,
) -> Result<Walked, BatchError> {
    let count = u32::try_from(header.records_count)
        .map_err(|_| BatchError::RecordsCount(header.records_count))?;
    let mut tally = Tally::default();
    for index in 0..count {
        let facts = match one_record(stream, tee)? {
            Some(facts) => facts,
            None => return Err(BatchError::Record(index)),
        };
        if dense && facts.offset_delta as u32 != index {
            return Err(BatchError::OffsetDelta(index));
        }
        let seen = Seen {
            index,
            offset_delta: facts.offset_delta,
            timestamp: header.base_timestamp.wrapping_add(facts.timestamp_delta),
            has_key: !facts.key_is_null,
        };
        if until(&seen) {
            return Ok(Walked::At(seen));
        }
        tally.add(index, &facts);
    }
    if stream.wants(1, tee)? {
        return Err(BatchError::Trailing(stream.rest().len()));
    }
    Ok(Walked::Whole(tally.summary(header, count)))
}

/// `None`: not framed as the format says, or the stream ended.
#[inline(always)]
fn one_record(
    stream: &mut Stream<'_>,
    tee: &mut Tee<'_>,
) -> Result<Option<RecordFacts>, BatchError> {
    let Some(length) = varint(stream, &mut { usize::MAX }, tee)? else { return Ok(None) };
    let Ok(length) = usize::try_from(length) else { return Ok(None) };
    if length > stream.window_bytes() {
        return large_record(stream, length, tee);
    }
    if !stream.wants(length, tee)? {
        return Ok(None);
    }
    let facts = walk_record(&mut Cursor::new(&stream.rest()[..length]));
    stream.pass(length);
    Ok(facts)
}

/// A record that the window does not hold.
#[cold]
fn large_record(
    stream: &mut Stream<'_>,
    length: usize,
    tee: &mut Tee<'_>,
) -> Result<Option<RecordFacts>, BatchError> {
    let mut left = length;
    macro_rules! take {
        ($read:expr) => {
            match $read? {
                Some(value) => value,
                None => return Ok(None),
            }
        };
    }
    take!(skip(stream, 1, &mut left, tee));
    let timestamp_delta = take!(varlong(stream, &mut left, tee));
    let offset_delta = take!(varint(stream, &mut left, tee));
    let key_is_null = take!(bytes(stream, &mut left, tee)).is_none();
    take!(bytes(stream, &mut left, tee));
    let Ok(headers) = u32::try_from(take!(varint(stream, &mut left, tee))) else {
        return Ok(None);
    };
    for _ in 0..headers {
        if take!(bytes(stream, &mut left, tee)).is_none() {
            return Ok(None);
        }
        take!(bytes(stream, &mut left, tee));
    }
    let facts = RecordFacts { timestamp_delta, offset_delta, key_is_null };
    Ok((left == 0).then_some(facts))
}

#[inline(always)]
fn varint(
    stream: &mut Stream<'_>,
    left: &mut usize,
    tee: &mut Tee<'_>,
) -> Result<Option<i32>, BatchError> {
    number(stream, left, tee, |cursor| cursor.varint())
}

fn varlong(
    stream: &mut Stream<'_>,
    left: &mut usize,
    tee: &mut Tee<'_>,
) -> Result<Option<i64>, BatchError> {
    number(stream, left, tee, |cursor| cursor.varlong())
}

#[inline(always)]
fn number<T>(
    stream: &mut Stream<'_>,
    left: &mut usize,
    tee: &mut Tee<'_>,
    read: impl FnOnce(&mut Cursor<'_>) -> Option<T>,
) -> Result<Option<T>, BatchError> {
    // At the end of the stream fewer are there, and enough.
    stream.wants(VARINT_BYTES_MAX, tee)?;
    let rest = stream.rest();
    let rest = &rest[..rest.len().min(*left)];
    let mut cursor = Cursor::new(rest);
    let Some(value) = read(&mut cursor) else { return Ok(None) };
    let used = rest.len() - cursor.remaining();
    stream.pass(used);
    *left -= used;
    Ok(Some(value))
}

/// Passes over bytes with a length before them; the inner `None` is null.
#[allow(clippy::option_option)]
fn bytes(
    stream: &mut Stream<'_>,
    left: &mut usize,
    tee: &mut Tee<'_>,
) -> Result<Option<Option<()>>, BatchError> {
    match varint(stream, left, tee)? {
        None => Ok(None),
        Some(-1) => Ok(Some(None)),
        Some(length) => match usize::try_from(length) {
            Ok(length) => Ok(skip(stream, length, left, tee)?.map(Some)),
            Err(_) => Ok(None),
        },
    }
}

fn skip(
    stream: &mut Stream<'_>,
    bytes: usize,
    left: &mut usize,
    tee: &mut Tee<'_>,
) -> Result<Option<()>, BatchError> {
    if bytes > *left {
        return Ok(None);
    }
    *left -= bytes;
    let mut missing = bytes;
    while missing > 0 {
        if !stream.wants(1, tee)? {
            return Ok(None);
        }
        let now = missing.min(stream.rest().len());
        stream.pass(now);
        missing -= now;
    }
    Ok(Some(()))
}
