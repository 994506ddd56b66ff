//! The pool: one region cut into megabytes, each megabyte cut into pieces of one size.
//!
//! Invariant: a megabyte serves one size from its first taken piece to its last returned one, so
//! memory of every size comes back together and a budget is never lost to splinters.

use std::io;
use std::sync::Arc;

use super::chunk::Piece;
use super::region::Region;
use super::returns::Returns;
use super::{AppendChunk, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, CHUNK_SIZES, ReadBuf};

/// What pieces share with their pool, and keep alive after it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) region: Region,
    pub(super) returns: Returns,
}

/// One megabyte of the region.
#[derive(Clone, Copy, Debug, Default)]
struct Super {
    /// A bit for each free piece; meaningless while `class` is `None`.
    free: u64,
    /// A bit for each piece that was taken for reading.
    reading: u64,
    /// Index into `CHUNK_SIZES` of the size it serves now.
    class: Option<u8>,
    /// For each size, whether this megabyte stands in that size's list (perhaps out of date).
    listed: [bool; CHUNK_SIZES.len()],
}

/// Chunk memory of one owner, with a budget and a name.
#[derive(Debug)]
pub struct Pool {
    name: &'static str,
    shared: Arc<Shared>,
    supers: Vec<Super>,
    empty: Vec<u32>,
    partial: [Vec<u32>; CHUNK_SIZES.len()],
    used_bytes: usize,
    reading_bytes: usize,
}

/// Which of [`CHUNK_SIZES`] that is.
fn class_of(bytes: usize) -> usize {
    let class = CHUNK_SIZES.iter().position(|size| *size == bytes);
    class.expect("a chunk has one of the chunk sizes")
}

/// How many pieces of a size make a megabyte.
fn pieces(class: usize) -> u32 {
    (CHUNK_BYTES_MAX / CHUNK_SIZES[class]) as u32
}

/// All pieces of a size free.
fn all_free(class: usize) -> u64 {
    u64::MAX >> (64 - pieces(class))
}

impl Pool {
    /// A pool of at most `budget` bytes, rounded up to a megabyte. The system gives the memory
    /// when it is first used.
    pub fn new(name: &'static str, budget: usize) -> io::Result<Pool> {
        let count = budget.div_ceil(CHUNK_BYTES_MAX).max(1);
        let units = count * (CHUNK_BYTES_MAX / CHUNK_BYTES_MIN);
        let units = u32::try_from(units)
            .ok()
            .filter(|units| *units < u32::MAX)
            .ok_or_else(|| io::Error::other(format!("pool {name}: {budget} bytes is too much")))?;
        let shared =
            Shared { region: Region::new(count * CHUNK_BYTES_MAX)?, returns: Returns::new(units) };
        Ok(Pool {
            name,
            shared: Arc::new(shared),
            supers: vec![Super::default(); count],
            empty: (0..count as u32).rev().collect(),
            partial: Default::default(),
            used_bytes: 0,
            reading_bytes: 0,
        })
    }

    /// The name given at the start.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Bytes that may be in use at once.
    pub fn budget_bytes(&self) -> usize {
        self.shared.region.bytes()
    }

    /// Bytes in use now.
    pub fn used_bytes(&mut self) -> usize {
        self.reclaim();
        self.used_bytes
    }

    /// Those of them that were taken for reading, until the last reader of them is done.
    pub fn reading_bytes(&mut self) -> usize {
        self.reclaim();
        self.reading_bytes
    }

    /// Bytes that can still be taken, if taken in the size that suits the pool.
    pub fn free_bytes(&mut self) -> usize {
        self.budget_bytes() - self.used_bytes()
    }

    /// Takes an empty chunk of exactly `bytes`, one of [`CHUNK_SIZES`]. `None`: the budget is
    /// used up.
    pub fn take(&mut self, bytes: usize) -> Option<AppendChunk> {
        self.take_piece(class_of(bytes), false).map(AppendChunk::new)
    }

    /// The same, counted among what was taken for reading.
    pub fn take_for_reading(&mut self, bytes: usize) -> Option<AppendChunk> {
        self.take_piece(class_of(bytes), true).map(AppendChunk::new)
    }

    /// Takes a buffer for reading at least `bytes` (at most [`CHUNK_BYTES_MAX`]).
    pub fn read_buf(&mut self, bytes: usize) -> Option<ReadBuf> {
        let class = CHUNK_SIZES.iter().position(|size| *size >= bytes);
        let class = class.expect("a read fits the largest chunk");
        self.take_piece(class, true).map(ReadBuf::new)
    }

    /// The memory of the whole pool, for registration with a ring: address, bytes, and the handle
    /// that keeps it mapped.
    pub(crate) fn span(&self) -> (*mut u8, usize, PoolMemory) {
        let region = &self.shared.region;
        (region.at(0).as_ptr(), region.bytes(), PoolMemory(self.shared.clone()))
    }

    fn take_piece(&mut self, class: usize, reading: bool) -> Option<Piece> {
        self.reclaim();
        let at = self.find_super(class)?;
        let slot = self.supers[at as usize].free.trailing_zeros();
        assert!(slot < pieces(class), "a listed megabyte has a free piece");
        self.supers[at as usize].free &= !(1 << slot);
        self.used_bytes += CHUNK_SIZES[class];
        if reading {
            self.supers[at as usize].reading |= 1 << slot;
            self.reading_bytes += CHUNK_SIZES[class];
        }
        let offset = at as usize * CHUNK_BYTES_MAX + slot as usize * CHUNK_SIZES[class];
        Some(Piece::new(self.shared.clone(), offset, CHUNK_SIZES[class]))
    }

    /// A megabyte that serves `class` and has a piece free.
    fn find_super(&mut self, class: usize) -> Option<u32> {
        while let Some(at) = self.partial[class].last().copied() {
            let entry = &mut self.supers[at as usize];
            if entry.class == Some(class as u8) && entry.free != 0 {
                return Some(at);
            }
            entry.listed[class] = false;
            self.partial[class].pop();
        }
        let at = self.empty.pop()?;
        let entry = &mut self.supers[at as usize];
        assert!(entry.class.is_none(), "an empty megabyte serves no size");
        entry.class = Some(class as u8);
        entry.free = all_free(class);
        self.list(at, class);
        Some(at)
    }

    fn list(&mut self, at: u32, class: usize) {
        let entry = &mut self.supers[at as usize];
        if !entry.listed[class] {
            entry.listed[class] = true;
            self.partial[class].push(at);
        }
    }

    /// Takes back what was dropped since the last time.
    fn reclaim(&mut self) {
        let shared = self.shared.clone();
        shared.returns.take_all(|unit| self.put_back(unit));
    }

    fn put_back(&mut self, unit: u32) {
        let offset = unit as usize * CHUNK_BYTES_MIN;
        let at = (offset / CHUNK_BYTES_MAX) as u32;
        let entry = &mut self.supers[at as usize];
        let class = usize::from(entry.class.expect("a returned piece was taken"));
        let slot = (offset % CHUNK_BYTES_MAX) / CHUNK_SIZES[class];
        assert!(entry.free & 1 << slot == 0, "a piece returns once");
        entry.free |= 1 << slot;
        self.used_bytes -= CHUNK_SIZES[class];
        if entry.reading & 1 << slot != 0 {
            entry.reading &= !(1 << slot);
            self.reading_bytes -= CHUNK_SIZES[class];
        }
        if entry.free == all_free(class) {
            entry.class = None;
            self.empty.push(at);
        } else {
            self.list(at, class);
        }
    }
}

/// Keeps the memory of a pool mapped.
#[derive(Clone, Debug)]
pub(crate) struct PoolMemory(#[allow(dead_code)] Arc<Shared>);
