//! Buffers that the kernel picks from when bytes arrive (a provided-buffer ring).
//!
//! Invariant: a buffer belongs to the kernel from [`BufferGroup::recycle`] to the completion that
//! names it, and to its [`Received`] from then until it is recycled: never to both.

use std::io;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

use super::Group;
use crate::buf::{BLOCK_BYTES, Region};

/// A buffer that the kernel has filled.
#[derive(Debug)]
pub struct Received {
    memory: Rc<Region>,
    offset: usize,
    len: usize,
    id: u16,
    group: Group,
}

impl Received {
    /// Where it came from.
    pub fn group(&self) -> Group {
        self.group
    }
}

impl Deref for Received {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the kernel has written these bytes and, until this value is recycled (which
        // consumes it), does not touch the buffer again; `memory` keeps it mapped.
        unsafe { std::slice::from_raw_parts(self.memory.at(self.offset).as_ptr(), self.len) }
    }
}

/// The buffers of one group.
#[derive(Debug)]
pub(super) struct BufferGroup {
    group: Group,
    first_id: u16,
    count: u16,
    bytes: usize,
    entries: Region,
    memory: Rc<Region>,
    tail: u16,
}

impl BufferGroup {
    /// Makes `count` buffers (a power of two) of `bytes` and gives all of them to the kernel.
    /// Their ids start at `first_id`.
    pub(super) fn new(
        io: &IoUring,
        group: Group,
        first_id: u16,
        count: u16,
        bytes: usize,
    ) -> io::Result<BufferGroup> {
        assert!(count.is_power_of_two(), "a buffer ring has a power of two of entries");
        let entry_bytes = usize::from(count) * size_of::<BufRingEntry>();
        let entries = Region::new(entry_bytes.next_multiple_of(BLOCK_BYTES))?;
        let memory = Region::new((usize::from(count) * bytes).next_multiple_of(BLOCK_BYTES))?;
        // SAFETY: `entries` is zeroed, page-aligned, has room for `count` entries, and lives (or
        // is leaked) until the ring is closed: the fields of `Ring` are dropped after it drained.
        unsafe {
            io.submitter().register_buf_ring_with_flags(
                entries.at(0).as_ptr() as u64,
                count,
                group as u16,
                0,
            )?;
        }
        let memory = Rc::new(memory);
        let mut made = BufferGroup { group, first_id, count, bytes, entries, memory, tail: 0 };
        (0..count).for_each(|index| made.offer(index));
        made.publish();
        Ok(made)
    }

    pub(super) fn first_id(&self) -> u16 {
        self.first_id
    }

    /// The buffer that a completion names.
    pub(super) fn filled(&mut self, id: u16, len: usize) -> Received {
        assert!(id >= self.first_id && id - self.first_id < self.count, "an id of this group");
        assert!(len <= self.bytes, "the kernel fills no more than the buffer");
        let offset = usize::from(id - self.first_id) * self.bytes;
        Received { memory: self.memory.clone(), offset, len, id, group: self.group }
    }

    /// Gives a buffer to the kernel again.
    pub(super) fn recycle(&mut self, buffer: Received) {
        assert!(buffer.group == self.group, "a buffer returns to its group");
        self.offer(buffer.id - self.first_id);
        self.publish();
    }

    /// Lets the memory stay for ever: the kernel may still write into it.
    pub(super) fn leak(&mut self) {
        std::mem::forget(self.memory.clone());
    }

    fn offer(&mut self, index: u16) {
        let slot = usize::from(self.tail & (self.count - 1));
        let base = self.entries.at(0).as_ptr().cast::<BufRingEntry>();
        // SAFETY: `slot < count`, so the entry is within `entries`; the kernel reads it only
        // after `publish` has moved the tail past it.
        let entry = unsafe { &mut *base.add(slot) };
        entry.set_addr(self.memory.at(usize::from(index) * self.bytes).as_ptr() as u64);
        entry.set_len(self.bytes as u32);
        entry.set_bid(self.first_id + index);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&mut self) {
        let base = self.entries.at(0).as_ptr().cast::<BufRingEntry>();
        // SAFETY: the tail lies in the unused field of the first entry, aligned for u16, and is
        // only ever accessed through this atomic and by the kernel.
        let tail = unsafe { &*BufRingEntry::tail(base).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }
}
