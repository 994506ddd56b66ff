//! The least that a broker does to a batch: check its CRC, step over its records.
//!
//! ```text
//! | 0 base_offset i64 | 8 length i32 | 12 epoch i32 | 16 magic i8 | 17 crc u32 | 21 attributes i16
//! | 23 last_offset_delta i32 | .. | 57 count i32 | 61 records |
//! record: length, attributes i8, timestamp delta, offset delta, key, value, headers (all varints)
//! ```

/// Where things are in a batch.
const LENGTH_AT: usize = 8;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const COUNT_AT: usize = 57;
const RECORDS_AT: usize = 61;

/// Bytes before what `length` counts.
const LENGTH_FROM: usize = LENGTH_AT + 4;

/// Bytes of the batch at the start of `bytes`, if it is whole.
pub fn batch_bytes(bytes: &[u8]) -> Option<usize> {
    let length = i32_at(bytes, LENGTH_AT)?;
    let size = LENGTH_FROM + usize::try_from(length).ok()?;
    (size > RECORDS_AT && size <= bytes.len()).then_some(size)
}

/// Whether a whole batch is sound.
pub fn check(batch: &[u8]) -> Option<()> {
    let stored = i32_at(batch, CRC_AT)? as u32;
    if crc32c::crc32c(batch.get(ATTRIBUTES_AT..)?) != stored {
        return None;
    }
    let count = i32_at(batch, COUNT_AT)?;
    let mut rest = batch.get(RECORDS_AT..)?;
    for expected in 0..count {
        rest = record(rest, expected)?;
    }
    rest.is_empty().then_some(())
}

/// Steps over one record.
#[inline]
fn record(bytes: &[u8], expected: i32) -> Option<&[u8]> {
    let (length, rest) = varint(bytes)?;
    let (body, next) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    let (_, body) = varint(body.get(1..)?)?;
    let (delta, body) = varint(body)?;
    let body = skip_bytes(skip_bytes(body)?)?;
    let (headers, body) = varint(body)?;
    let plain = headers == 0 && body.is_empty();
    (delta == i64::from(expected) && (plain || headers > 0)).then_some(next)
}

/// Steps over a key or a value; a length of -1 is a null.
#[inline]
fn skip_bytes(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = varint(bytes)?;
    rest.get(length.max(0) as usize..)
}

/// A zigzag varint and what follows it. Nearly all of them have one or two bytes.
#[inline(always)]
fn varint(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (value, rest) = match bytes {
        [first, rest @ ..] if *first < 0x80 => (u64::from(*first), rest),
        [first, second, rest @ ..] if *second < 0x80 => {
            (u64::from(first & 0x7F) | u64::from(*second) << 7, rest)
        }
        _ => long_varint(bytes)?,
    };
    Some(((value >> 1) as i64 ^ -((value & 1) as i64), rest))
}

#[cold]
fn long_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (mut value, mut shift) = (0_u64, 0);
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
        shift += 7;
    }
    None
}

/// A big-endian i32.
pub fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..at + 4)?.try_into().ok().map(i32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(values: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![0; RECORDS_AT];
        for (at, value) in values.iter().enumerate() {
            let mut body = vec![0, 0, (at * 2) as u8, 1, (value.len() * 2) as u8];
            body.extend_from_slice(value);
            body.push(0);
            bytes.push((body.len() * 2) as u8);
            bytes.extend(body);
        }
        let length = (bytes.len() - LENGTH_FROM) as i32;
        bytes[LENGTH_AT..LENGTH_FROM].copy_from_slice(&length.to_be_bytes());
        bytes[COUNT_AT..RECORDS_AT].copy_from_slice(&(values.len() as i32).to_be_bytes());
        let crc = crc32c::crc32c(&bytes[ATTRIBUTES_AT..]);
        bytes[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    #[test]
    fn sound_batches_pass_and_others_do_not() {
        let good = batch(&[b"one", b"", b"three"]);
        assert_eq!(batch_bytes(&good), Some(good.len()));
        assert_eq!(batch_bytes(&good[..good.len() - 1]), None);
        assert_eq!(check(&good), Some(()));
        for at in ATTRIBUTES_AT..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(check(&bad), None);
        }
    }
}
