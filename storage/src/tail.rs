//! The part of a segment that is in memory: chunks over contiguous file positions.
//!
//! ```text
//! file    0            start()                                            end()
//!         |  on disk   | chunk | chunk    | chunk ........ room left ......|
//!                      ^ a multiple of the block        ^ partly filled
//! ```
//!
//! Invariants: a chunk starts at a block's start, exactly where the one before it is full; only
//! the last chunk has room; while there is no chunk, `head` holds the bytes of the unfinished
//! block (after a reopen, or when an idle log was evicted), so that the first chunk can begin with
//! them. Every chunk knows the first batch that starts in it: whatever begins at or after the
//! first of these can be read from memory.

use std::collections::VecDeque;
use std::ops::Range;

use crate::ops::{BLOCK_BYTES, CHUNK_SIZES, Chunk, Memory};

/// A chunk that was full sooner than this is followed by a larger one.
const CHUNK_FULL_MS_BUSY: i64 = 100;
/// A chunk that took longer than this is followed by a smaller one.
const CHUNK_FULL_MS_IDLE: i64 = 1000;

/// Where a batch starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchAt {
    pub offset: i64,
    pub position: u64,
}

struct Placed<C> {
    at: u64,
    chunk: C,
    first_batch: Option<BatchAt>,
    taken_ms: i64,
}

impl<C: Chunk> Placed<C> {
    fn full_at(&self) -> u64 {
        self.at + self.chunk.capacity() as u64
    }
}

/// Chunks taken for one append, not yet part of the log.
pub(crate) struct Reserved<C>(Vec<C>);

/// See the module.
pub(crate) struct Tail<C> {
    chunks: VecDeque<Placed<C>>,
    head: Vec<u8>,
    end: u64,
}

pub(crate) fn block_floor(position: u64) -> u64 {
    position - position % BLOCK_BYTES
}

pub(crate) fn block_ceil(position: u64) -> u64 {
    position.next_multiple_of(BLOCK_BYTES)
}

impl<C: Chunk> Tail<C> {
    /// Nothing in memory yet; `head` is what the unfinished block before `end` holds.
    pub fn new(end: u64, head: Vec<u8>) -> Tail<C> {
        assert!(head.len() as u64 == end % BLOCK_BYTES, "the head is the unfinished block");
        Tail { chunks: VecDeque::new(), head, end }
    }

    /// The tail of a segment that is not appended to: nothing in memory.
    pub fn closed(end: u64) -> Tail<C> {
        Tail { chunks: VecDeque::new(), head: Vec::new(), end }
    }

    /// The first position in memory.
    pub fn start(&self) -> u64 {
        match self.chunks.front() {
            Some(first) => first.at,
            None => self.end - self.head.len() as u64,
        }
    }

    /// Where the next append goes.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The first batch that begins in memory.
    pub fn first_batch(&self) -> Option<BatchAt> {
        self.chunks.iter().find_map(|placed| placed.first_batch)
    }

    /// A batch that begins in memory at or before the one that holds `offset`.
    pub fn batch_before(&self, offset: i64) -> Option<BatchAt> {
        let known = self.chunks.iter().rev().filter_map(|placed| placed.first_batch);
        known.into_iter().find(|first| first.offset <= offset)
    }

    /// All that is in memory from `position` to the end of its chunk.
    pub fn slice_from(&self, position: u64) -> C::Slice {
        let placed = &self.chunks[self.chunk_index(position)];
        placed.chunk.slice((position - placed.at) as usize..placed.chunk.len())
    }

    /// Chunks for `bytes` more, or `None` (and nothing kept) when the memory is exhausted.
    pub fn reserve<M>(&self, memory: &mut M, bytes: usize, now_ms: i64) -> Option<Reserved<C>>
    where
        M: Memory<Chunk = C>,
    {
        let (room, mut class) = match self.chunks.back() {
            Some(last) => {
                let room = last.chunk.capacity() - last.chunk.len();
                (room, class_after(last.chunk.capacity(), now_ms - last.taken_ms))
            }
            None => (0, 0),
        };
        let mut missing = bytes.saturating_sub(room);
        if missing > 0 && self.chunks.is_empty() {
            missing += self.head.len();
        }
        let mut taken = Vec::new();
        while missing > 0 {
            while class + 1 < CHUNK_SIZES.len() && CHUNK_SIZES[class] < missing {
                class += 1;
            }
            let chunk = loop {
                if let Some(chunk) = memory.take(CHUNK_SIZES[class]) {
                    break chunk;
                }
                class = class.checked_sub(1)?;
            };
            assert!(chunk.capacity() == CHUNK_SIZES[class], "a chunk has the size asked for");
            assert!(chunk.is_empty(), "a chunk starts empty");
            missing = missing.saturating_sub(chunk.capacity());
            taken.push(chunk);
        }
        Some(Reserved(taken))
    }

    /// Adds one batch, in pieces, into room that was reserved for it.
    pub fn append(&mut self, reserved: Reserved<C>, offset: i64, parts: [&[u8]; 2], now_ms: i64) {
        self.place(reserved, now_ms);
        let first = BatchAt { offset, position: self.end };
        let placed = self.placed_mut(self.end);
        placed.first_batch.get_or_insert(first);
        for part in parts {
            let mut rest = part;
            while !rest.is_empty() {
                let placed = self.placed_mut(self.end);
                let room = placed.chunk.capacity() - placed.chunk.len();
                let (now, later) = rest.split_at(room.min(rest.len()));
                placed.chunk.append(now);
                self.end += now.len() as u64;
                rest = later;
            }
        }
    }

    fn place(&mut self, reserved: Reserved<C>, now_ms: i64) {
        for mut chunk in reserved.0 {
            let at = match self.chunks.back() {
                Some(last) => last.full_at(),
                None => {
                    chunk.append(&self.head);
                    self.end - self.head.len() as u64
                }
            };
            assert!(at.is_multiple_of(BLOCK_BYTES), "a chunk starts at a block");
            self.head.clear();
            self.chunks.push_back(Placed { at, chunk, first_batch: None, taken_ms: now_ms });
        }
    }

    fn chunk_index(&self, position: u64) -> usize {
        assert!(position >= self.start(), "the position is in memory");
        let after = self.chunks.partition_point(|placed| placed.at <= position);
        after.checked_sub(1).expect("a chunk holds every position in memory")
    }

    fn placed_mut(&mut self, position: u64) -> &mut Placed<C> {
        let index = self.chunk_index(position);
        &mut self.chunks[index]
    }

    /// Where the chunk that holds `position` is full.
    pub fn chunk_full_at(&self, position: u64) -> u64 {
        self.chunks[self.chunk_index(position)].full_at()
    }

    /// A block-aligned range inside one chunk, to be written. While there is no chunk this is not
    /// asked: what is not in a chunk is on the disk.
    pub fn write(&mut self, range: Range<u64>) -> C::Write {
        let placed = self.placed_mut(range.start);
        let from = (range.start - placed.at) as usize;
        let to = (range.end - placed.at) as usize;
        placed.chunk.write(from..to)
    }

    /// References to `range`, in order.
    pub fn slices(&self, range: Range<u64>) -> Vec<C::Slice> {
        assert!(range.end <= self.end, "only appended bytes are read");
        let mut out = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let placed = &self.chunks[self.chunk_index(at)];
            let to = range.end.min(placed.full_at());
            out.push(placed.chunk.slice((at - placed.at) as usize..(to - placed.at) as usize));
            at = to;
        }
        out
    }

    /// Copies bytes out, across chunks.
    pub fn gather(&self, at: u64, into: &mut [u8]) {
        let mut filled = 0;
        for slice in self.slices(at..at + into.len() as u64) {
            let bytes = slice.as_ref();
            into[filled..filled + bytes.len()].copy_from_slice(bytes);
            filled += bytes.len();
        }
        assert!(filled == into.len(), "slices cover the range");
    }

    /// Bytes of memory that [`Tail::evict`] could give back when all below `clean` is on disk.
    pub fn clean_bytes(&self, clean: u64) -> u64 {
        let clean_chunks = self.chunks.iter().take_while(|placed| self.is_clean(placed, clean));
        clean_chunks.map(|placed| placed.chunk.capacity() as u64).sum()
    }

    /// Gives up the oldest chunk if all it holds is below `clean`; says how much that freed. The
    /// unfinished block stays if the segment may still grow.
    pub fn evict(&mut self, clean: u64, may_grow: bool) -> Option<u64> {
        let first = self.chunks.front()?;
        if !self.is_clean(first, clean) {
            return None;
        }
        if self.chunks.len() == 1 && may_grow {
            let mut head = vec![0; (self.end % BLOCK_BYTES) as usize];
            self.gather(block_floor(self.end), &mut head);
            self.head = head;
        }
        self.chunks.pop_front().map(|placed| placed.chunk.capacity() as u64)
    }

    fn is_clean(&self, placed: &Placed<C>, clean: u64) -> bool {
        placed.full_at().min(self.end) <= clean
    }
}

/// The next chunk's size class: a log that fills chunks quickly gets larger ones.
fn class_after(capacity: usize, full_ms: i64) -> usize {
    let class = CHUNK_SIZES.iter().position(|&size| size == capacity);
    let class = class.expect("chunks have one of the named sizes");
    if full_ms < CHUNK_FULL_MS_BUSY {
        (class + 1).min(CHUNK_SIZES.len() - 1)
    } else if full_ms > CHUNK_FULL_MS_IDLE {
        class.saturating_sub(1)
    } else {
        class
    }
}
