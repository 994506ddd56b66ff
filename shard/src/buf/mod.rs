//! Chunk memory: one budget per pool, block-aligned pieces in four sizes, reference counted.
//!
//! ```text
//! Pool ─ take ─▶ AppendChunk ─ slice ─▶ Slice (Send, Clone)     bytes below len: frozen
//!    │                │──────── write ─▶ WriteRange (kernel)     whole blocks, padded with zeros
//!    └── read_buf ─▶ ReadBuf ── freeze ─▶ Slice
//!    ▲ returns: a lock-free list ◀─────── the last reference, dropped on any thread
//! ```
//!
//! Invariants:
//! - Bytes below an [`AppendChunk`]'s `len` are never written again, so slices of them are plain
//!   `&[u8]`, on any thread, for as long as they live.
//! - A [`WriteRange`] may run past `len`; it is only ever turned into a pointer for the kernel,
//!   never into a reference.
//! - A piece returns to its pool when the last of its handles is dropped, and not before: that
//!   includes the handles that the ring holds for the kernel.

mod chunk;
mod pool;
mod region;
mod returns;

pub use chunk::{AppendChunk, ReadBuf, Slice, WriteRange};
pub use pool::Pool;
pub(crate) use pool::PoolMemory;
pub use region::Region;

/// The unit of direct I/O: addresses, lengths and file offsets are multiples of it.
pub const BLOCK_BYTES: usize = 4096;

/// The sizes of pieces, each four times the one before.
pub const CHUNK_SIZES: [usize; 4] = [16 << 10, 64 << 10, 256 << 10, 1 << 20];

/// The smallest piece.
pub const CHUNK_BYTES_MIN: usize = CHUNK_SIZES[0];

/// The largest piece.
pub const CHUNK_BYTES_MAX: usize = CHUNK_SIZES[3];

const _: () = assert!(CHUNK_BYTES_MIN.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(CHUNK_BYTES_MAX == 64 * CHUNK_BYTES_MIN, "a u64 maps a largest piece");

#[cfg(test)]
mod tests;
