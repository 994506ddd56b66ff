//! Chunks over shared vectors, within a budget.
//!
//! A write reads its memory late, as a device does: what is appended to a block while a write of
//! that block is on its way may or may not be in what is written.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ops::{BLOCK_BYTES, Chunk, Memory};

/// A budget of chunks.
#[derive(Clone, Debug)]
pub struct SimMemory {
    used: Arc<AtomicUsize>,
    bytes_max: usize,
}

impl SimMemory {
    /// A budget of `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { used: Arc::default(), bytes_max }
    }

    /// Bytes handed out and still held by a chunk.
    pub fn used_bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Memory for SimMemory {
    type Chunk = SimChunk;

    fn take(&mut self, bytes: usize) -> Option<SimChunk> {
        if self.used_bytes() + bytes > self.bytes_max {
            return None;
        }
        self.used.fetch_add(bytes, Ordering::Relaxed);
        let bytes = Arc::new(Mutex::new(vec![0xA5; bytes]));
        Some(SimChunk { bytes, len: 0, used: Arc::clone(&self.used) })
    }
}

/// A chunk. Fresh memory is not zeroed, as a pool's is not.
#[derive(Debug)]
pub struct SimChunk {
    bytes: Arc<Mutex<Vec<u8>>>,
    len: usize,
    used: Arc<AtomicUsize>,
}

impl Drop for SimChunk {
    fn drop(&mut self) {
        self.used.fetch_sub(self.capacity(), Ordering::Relaxed);
    }
}

impl SimChunk {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Chunk for SimChunk {
    type Slice = Arc<[u8]>;
    type Write = SimWrite;

    fn capacity(&self) -> usize {
        self.lock().len()
    }

    fn len(&self) -> usize {
        self.len
    }

    fn append(&mut self, bytes: &[u8]) {
        self.lock()[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn slice(&self, range: Range<usize>) -> Arc<[u8]> {
        assert!(range.end <= self.len, "only frozen bytes are shared");
        self.lock()[range].into()
    }

    fn write(&mut self, range: Range<usize>) -> SimWrite {
        let block = BLOCK_BYTES as usize;
        assert!(range.start.is_multiple_of(block), "a write begins at a block");
        assert!(range.end.is_multiple_of(block), "a write ends at a block");
        assert!(range.start < self.len, "a write holds something");
        assert!(
            range.end <= self.len.next_multiple_of(block),
            "a write ends with its data's block"
        );
        let from = self.len.min(range.end);
        let mut bytes = self.lock();
        bytes[from..range.end].fill(0);
        let now = bytes[range.clone()].to_vec();
        drop(bytes);
        SimWrite { memory: Arc::clone(&self.bytes), range, now }
    }
}

/// A range on its way to the disk.
#[derive(Clone, Debug)]
pub struct SimWrite {
    memory: Arc<Mutex<Vec<u8>>>,
    range: Range<usize>,
    now: Vec<u8>,
}

impl SimWrite {
    /// How many bytes it writes.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// A write is never empty.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// What the memory held when the write was made.
    pub fn early(&self) -> &[u8] {
        &self.now
    }

    /// What it holds now.
    pub fn late(&self) -> Vec<u8> {
        let bytes = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        bytes[self.range.clone()].to_vec()
    }
}
