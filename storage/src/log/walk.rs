//! From batch header to batch header: in memory, where a header may lie across two chunks, and in
//! bytes read from a file.

use ringlog_wire::batch::{BatchHeader, HEADER_BYTES};

use crate::ops::Chunk;
use crate::tail::Tail;

/// Reads headers out of a tail, holding on to one chunk's slice at a time.
pub(super) struct TailWalk<'a, C: Chunk> {
    tail: &'a Tail<C>,
    slice: Option<(u64, C::Slice)>,
}

impl<'a, C: Chunk> TailWalk<'a, C> {
    pub fn new(tail: &'a Tail<C>) -> TailWalk<'a, C> {
        TailWalk { tail, slice: None }
    }

    /// The header of the batch that begins at `position`, which is in memory.
    pub fn header(&mut self, position: u64) -> BatchHeader {
        if !self.holds(position) {
            self.slice = Some((position, self.tail.slice_from(position)));
        }
        let (start, slice) = self.slice.as_ref().expect("it was just set");
        let from = (position - start) as usize;
        if let Some(head) = slice.as_ref().get(from..from + HEADER_BYTES) {
            return parse_own(head);
        }
        let mut head = [0; HEADER_BYTES];
        self.tail.gather(position, &mut head);
        parse_own(&head)
    }

    fn holds(&self, position: u64) -> bool {
        self.slice.as_ref().is_some_and(|(start, slice)| {
            *start <= position && position < start + slice.as_ref().len() as u64
        })
    }
}

fn parse_own(head: &[u8]) -> BatchHeader {
    BatchHeader::parse(head).expect("what was appended has a header that parses")
}

/// What is at some place in bytes read from a file.
pub(super) enum Found {
    /// A whole batch.
    Batch(BatchHeader),
    /// A batch that ends past the bytes; it begins like this.
    Part(BatchHeader),
    /// Not even a header; this many bytes from the place on would hold one.
    Short(usize),
    /// No batch begins here.
    Corrupt,
}

/// Looks at `bytes[at..]`.
pub(super) fn look(bytes: &[u8], at: usize) -> Found {
    let Some(rest) = bytes.get(at..) else { return Found::Short(HEADER_BYTES) };
    if rest.len() < HEADER_BYTES {
        return Found::Short(HEADER_BYTES);
    }
    match BatchHeader::parse(rest) {
        Err(_) => Found::Corrupt,
        Ok(header) if header.last_offset_delta < 0 || header.base_offset < 0 => Found::Corrupt,
        Ok(header) if header.size() <= rest.len() => Found::Batch(header),
        Ok(header) => Found::Part(header),
    }
}
