//! When a fetch need not wait for more (rules 45 and 46).

use ringlog_wire::batch::OVERHEAD_BYTES;

use crate::message::{FetchAsk, Fetched};
use crate::partition::Isolation;

/// | 0 base offset i64 | 8 length of what follows i32 | … | 23 last offset delta i32 | of a batch.
const BASE_OFFSET_AT: usize = 0;
const LENGTH_AT: usize = BASE_OFFSET_AT + size_of::<i64>();
const LAST_OFFSET_DELTA_AT: usize = 23;
const LOOKED_AT_BYTES: usize = LAST_OFFSET_DELTA_AT + size_of::<i32>();
const _: () = assert!(LENGTH_AT + size_of::<i32>() == OVERHEAD_BYTES);

/// Bytes that count towards `min_bytes`, of a partition that has brought `fetched`: what there is,
/// up to the most that is wanted of it. Only whole batches are brought, so that may be more: a
/// reader whose limit is full does not wait for what it cannot be given.
pub(super) fn bytes_available(ask: &FetchAsk, fetched: &Fetched, isolation: Isolation) -> usize {
    let bytes = fetched.bytes();
    let upto = end_of(fetched).unwrap_or(ask.offset);
    match fetched.error.is_none() && upto < fetched.readable(isolation) {
        true => bytes.max(ask.bytes_max),
        false => bytes,
    }
}

/// The offset behind the last batch that was fetched.
pub(super) fn end_of(fetched: &Fetched) -> Option<i64> {
    end_offset(fetched.slices.iter().map(|slice| &slice[..]))
}

/// The offset behind the last of these batches, of which any may lie across two slices.
fn end_offset<'a>(slices: impl Iterator<Item = &'a [u8]>) -> Option<i64> {
    let (mut end, mut header, mut have, mut skip) = (None, [0; LOOKED_AT_BYTES], 0, 0);
    for mut rest in slices {
        while !rest.is_empty() {
            let skipped = skip.min(rest.len());
            (rest, skip) = (&rest[skipped..], skip - skipped);
            let taken = (header.len() - have).min(rest.len());
            header[have..have + taken].copy_from_slice(&rest[..taken]);
            (rest, have) = (&rest[taken..], have + taken);
            if have == header.len() {
                let i32_at = |at: usize| {
                    i32::from_be_bytes(header[at..at + 4].try_into().expect("four bytes"))
                };
                let base = header[..LENGTH_AT].try_into().expect("eight bytes");
                end = Some(i64::from_be_bytes(base) + i64::from(i32_at(LAST_OFFSET_DELTA_AT)) + 1);
                skip = OVERHEAD_BYTES + i32_at(LENGTH_AT) as usize - LOOKED_AT_BYTES;
                have = 0;
            }
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use ringlog_wire::batch::{BatchBuilder, BatchOptions};

    use super::*;

    #[test]
    fn the_end_is_found_however_batches_lie() {
        let batch = |base_offset, count| {
            let options = BatchOptions { base_offset, ..BatchOptions::default() };
            let mut builder = BatchBuilder::new(options);
            (0..count).for_each(|_| builder.push(1, None, Some(b"value"), &[]));
            builder.finish()
        };
        let bytes = [batch(5, 3), batch(8, 1), batch(90, 10)].concat();
        assert_eq!(end_offset([].into_iter()), None);
        for at in 0..=bytes.len() {
            let (front, back) = bytes.split_at(at);
            assert_eq!(end_offset([front, back].into_iter()), Some(100), "cut at {at}");
        }
        assert_eq!(end_offset(bytes.chunks(1)), Some(100));
    }
}
