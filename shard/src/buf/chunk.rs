//! Pieces of a pool as their users see them.
//!
//! Invariant: one piece belongs to one [`AppendChunk`] or one [`ReadBuf`] (the writer), and to
//! any number of [`Slice`]s and [`WriteRange`]s. The writer writes only at or above its `len`;
//! slices read only below it.

use std::fmt;
use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::sync::Arc;

use super::pool::Shared;
use super::{BLOCK_BYTES, CHUNK_BYTES_MIN};

/// A piece of a pool's region; it returns to the pool when dropped.
#[derive(Debug)]
pub(super) struct Piece {
    shared: Arc<Shared>,
    offset: usize,
    bytes: usize,
}

impl Piece {
    pub(super) fn new(shared: Arc<Shared>, offset: usize, bytes: usize) -> Piece {
        assert!(offset.is_multiple_of(bytes) && offset + bytes <= shared.region.bytes());
        Piece { shared, offset, bytes }
    }

    fn at(&self, position: usize) -> NonNull<u8> {
        assert!(position <= self.bytes, "within the piece");
        self.shared.region.at(self.offset + position)
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.shared.returns.push((self.offset / CHUNK_BYTES_MIN) as u32);
    }
}

/// An append-only, block-aligned piece of memory.
pub struct AppendChunk {
    piece: Arc<Piece>,
    len: usize,
    /// Bytes in `len..zeroed` are zero.
    zeroed: usize,
}

impl AppendChunk {
    pub(super) fn new(piece: Piece) -> AppendChunk {
        AppendChunk { piece: Arc::new(piece), len: 0, zeroed: 0 }
    }

    /// Bytes the chunk can hold.
    pub fn capacity(&self) -> usize {
        self.piece.bytes
    }

    /// Bytes appended so far; all of them are frozen.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Nothing has been appended.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that still fit.
    pub fn room(&self) -> usize {
        self.capacity() - self.len
    }

    /// Appends; what does not fit is the caller's mistake.
    pub fn append(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.room(), "an append fits the chunk");
        // SAFETY: `len..len + bytes.len()` is within the piece (asserted). Those bytes are at or
        // above `len`, so no Slice covers them; `&mut self` excludes another append. `bytes`
        // cannot overlap them, since nothing hands out a reference to bytes above `len`.
        unsafe {
            let to = self.piece.at(self.len).as_ptr();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
        self.len += bytes.len();
    }

    /// A reference to frozen bytes.
    pub fn slice(&self, range: Range<usize>) -> Slice {
        assert!(range.start <= range.end && range.end <= self.len, "a slice is of frozen bytes");
        Slice { piece: self.piece.clone(), start: range.start as u32, end: range.end as u32 }
    }

    /// The frozen bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: bytes below `len` are initialised and never written again.
        unsafe { std::slice::from_raw_parts(self.piece.at(0).as_ptr(), self.len) }
    }

    /// Whole blocks for the kernel to write to a file. The range may run past `len` to the end
    /// of the block in which `len` lies; those bytes are zeroed now. What is appended while the
    /// kernel reads may or may not be among what it writes: such a block is written again.
    pub fn write(&mut self, range: Range<usize>) -> WriteRange {
        assert!(range.start < range.end && range.end <= self.capacity(), "within the chunk");
        assert!(range.start.is_multiple_of(BLOCK_BYTES), "a write starts at a block");
        assert!(range.end.is_multiple_of(BLOCK_BYTES), "a write ends at a block");
        assert!(range.end <= self.len.next_multiple_of(BLOCK_BYTES), "a write has frozen bytes");
        let from = self.len.max(self.zeroed);
        if range.end > from {
            // SAFETY: `from..range.end` is within the piece and at or above `len`, so no Slice
            // covers it, and `&mut self` excludes an append.
            unsafe { std::ptr::write_bytes(self.piece.at(from).as_ptr(), 0, range.end - from) };
            self.zeroed = range.end;
        }
        WriteRange { piece: self.piece.clone(), start: range.start as u32, end: range.end as u32 }
    }
}

impl fmt::Debug for AppendChunk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "AppendChunk({} of {})", self.len, self.capacity())
    }
}

/// Frozen bytes, reference counted; they outlive the chunk and the pool they came from.
#[derive(Clone)]
pub struct Slice {
    piece: Arc<Piece>,
    start: u32,
    end: u32,
}

impl Slice {
    /// A part of this slice.
    pub fn slice(&self, range: Range<usize>) -> Slice {
        assert!(range.start <= range.end && range.end <= self.len(), "within the slice");
        let start = self.start + range.start as u32;
        Slice { piece: self.piece.clone(), start, end: self.start + range.end as u32 }
    }
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let len = (self.end - self.start) as usize;
        // SAFETY: a Slice is made only of bytes below the `len` of its chunk or read buffer:
        // initialised, never written again, and kept mapped by `piece`.
        unsafe { std::slice::from_raw_parts(self.piece.at(self.start as usize).as_ptr(), len) }
    }
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Slice({} bytes)", self.len())
    }
}

/// Whole blocks of a chunk on their way to a file. It gives an address, never a reference: the
/// chunk may be appended to meanwhile.
pub struct WriteRange {
    piece: Arc<Piece>,
    start: u32,
    end: u32,
}

impl WriteRange {
    /// Bytes to write, a multiple of the block size.
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Never: a range has at least one block.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Where the bytes are, for the kernel; valid as long as the range lives.
    pub(crate) fn address(&self) -> *const u8 {
        self.piece.at(self.start as usize).as_ptr()
    }

    /// Cuts the first `bytes` (whole blocks) off, after a write that wrote only part.
    pub(crate) fn advance(&mut self, bytes: usize) {
        assert!(bytes < self.len() && bytes.is_multiple_of(BLOCK_BYTES));
        self.start += bytes as u32;
    }
}

impl fmt::Debug for WriteRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "WriteRange({}..{})", self.start, self.end)
    }
}

/// Memory for a read: the kernel fills it while the ring holds it, then it is read or frozen.
pub struct ReadBuf {
    piece: Piece,
    len: usize,
}

impl ReadBuf {
    pub(super) fn new(piece: Piece) -> ReadBuf {
        ReadBuf { piece, len: 0 }
    }

    /// Bytes it can take.
    pub fn capacity(&self) -> usize {
        self.piece.bytes
    }

    /// Bytes read into it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Nothing was read into it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes the bytes shareable without a copy.
    pub fn freeze(self) -> Slice {
        let end = self.len as u32;
        Slice { piece: Arc::new(self.piece), start: 0, end }
    }

    /// Where the kernel is to put bytes from this position on.
    pub(crate) fn address_at(&mut self, position: usize) -> *mut u8 {
        self.piece.at(position).as_ptr()
    }

    /// Says how many bytes the kernel has put there.
    ///
    /// # Safety
    ///
    /// The first `len` bytes at `address()` have been written, and nobody writes them any more.
    pub(crate) unsafe fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity(), "a read fits its buffer");
        self.len = len;
    }
}

impl Deref for ReadBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the first `len` bytes were filled by a read that has ended (`set_len`).
        unsafe { std::slice::from_raw_parts(self.piece.at(0).as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for ReadBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for ReadBuf {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ReadBuf({} of {})", self.len, self.capacity())
    }
}
