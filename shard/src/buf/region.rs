//! One span of memory from the system, block-aligned, taken lazily page by page, never moved.
//!
//! Invariant: a [`Region`] hands out raw pointers only; who may touch which bytes is decided by
//! the types built on it.

use std::io;
use std::ptr::NonNull;

use super::BLOCK_BYTES;

/// A span of zeroed memory.
#[derive(Debug)]
pub struct Region {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a Region is an address and a length; it reads and writes nothing itself until it is
// dropped, when by the contract of its users nothing points into it any more.
unsafe impl Send for Region {}
// SAFETY: as above: `&Region` gives out addresses only.
unsafe impl Sync for Region {}

impl Region {
    /// Takes `bytes` (a multiple of the block size) of address space.
    #[cfg(not(miri))]
    pub fn new(bytes: usize) -> io::Result<Region> {
        assert!(bytes > 0 && bytes.is_multiple_of(BLOCK_BYTES), "a region is whole blocks");
        // SAFETY: an anonymous private mapping at an address of the kernel's choice touches no
        // memory of ours; the result is checked.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: the range is the mapping made above. Advice may fail: it only costs speed.
        unsafe { libc::madvise(base.as_ptr().cast(), bytes, libc::MADV_DONTFORK) };
        Ok(Region { base, bytes })
    }

    /// Takes `bytes` of memory from the allocator: miri knows nothing of mappings.
    #[cfg(miri)]
    pub fn new(bytes: usize) -> io::Result<Region> {
        assert!(bytes > 0 && bytes.is_multiple_of(BLOCK_BYTES), "a region is whole blocks");
        let layout = std::alloc::Layout::from_size_align(bytes, BLOCK_BYTES).expect("a layout");
        // SAFETY: the layout has a size above zero.
        let base = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) });
        Ok(Region { base: base.ok_or(io::ErrorKind::OutOfMemory)?, bytes })
    }

    /// The address of a byte of the region.
    pub fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset <= self.bytes, "within the region");
        // SAFETY: `offset` is within (or one past) the one allocation that starts at `base`.
        unsafe { self.base.add(offset) }
    }

    /// Bytes of the region.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Region {
    #[cfg(not(miri))]
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`, and nothing points into it any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }

    #[cfg(miri)]
    fn drop(&mut self) {
        let layout = std::alloc::Layout::from_size_align(self.bytes, BLOCK_BYTES);
        // SAFETY: the layout with which `new` allocated.
        unsafe { std::alloc::dealloc(self.base.as_ptr(), layout.expect("a layout")) };
    }
}
