//! Pool memory registered with the ring, so that writes need not pin their pages each time.
//!
//! Invariant: registered memory stays mapped as long as the ring: `_memory` holds it.

use std::os::fd::RawFd;

use io_uring::types::Fd;
use io_uring::{IoUring, opcode, squeue};

use crate::buf::PoolMemory;
use crate::buf::{CHUNK_BYTES_MAX, Pool};

/// Which megabytes of a pool are registered.
#[derive(Debug)]
pub struct Registered {
    base: usize,
    /// For each megabyte of the pool, whether it is registered, as the buffer of its number.
    done: Vec<bool>,
    left_bytes: usize,
    _memory: Option<PoolMemory>,
}

impl Registered {
    /// Nothing is registered.
    pub(super) fn none() -> Registered {
        Registered { base: 0, done: Vec::new(), left_bytes: 0, _memory: None }
    }

    /// Prepares a table for the pool; megabytes are registered when first written from.
    pub(super) fn new(io: &IoUring, pool: &Pool, bytes_max: usize) -> Registered {
        let (base, bytes, memory) = pool.span();
        let count = bytes / CHUNK_BYTES_MAX;
        if bytes_max < CHUNK_BYTES_MAX || count > usize::from(u16::MAX) {
            return Registered::none();
        }
        if let Err(error) = io.submitter().register_buffers_sparse(count as u32) {
            tracing::warn!(%error, "writes go without registered buffers");
            return Registered::none();
        }
        let done = vec![false; count];
        let base = base as usize;
        Registered { base, done, left_bytes: bytes_max, _memory: Some(memory) }
    }

    /// A write, from registered memory where possible.
    pub(super) fn write(
        &mut self,
        io: &IoUring,
        fd: RawFd,
        from: *const u8,
        len: u32,
        at: u64,
    ) -> squeue::Entry {
        match self.index(io, from as usize) {
            Some(index) => opcode::WriteFixed::new(Fd(fd), from, len, index).offset(at).build(),
            None => opcode::Write::new(Fd(fd), from, len).offset(at).build(),
        }
    }

    /// A read, into registered memory where it is registered already.
    pub(super) fn read(&self, fd: RawFd, to: *mut u8, len: u32, at: u64) -> squeue::Entry {
        match self.place(to as usize) {
            Some(index) if self.done[index] => {
                opcode::ReadFixed::new(Fd(fd), to, len, index as u16).offset(at).build()
            }
            _ => opcode::Read::new(Fd(fd), to, len).offset(at).build(),
        }
    }

    fn place(&self, address: usize) -> Option<usize> {
        let index = address.checked_sub(self.base)? / CHUNK_BYTES_MAX;
        (index < self.done.len()).then_some(index)
    }

    fn index(&mut self, io: &IoUring, address: usize) -> Option<u16> {
        let index = self.place(address)?;
        if !self.done[index] && !self.register(io, index) {
            return None;
        }
        Some(index as u16)
    }

    fn register(&mut self, io: &IoUring, index: usize) -> bool {
        if self.left_bytes < CHUNK_BYTES_MAX {
            return false;
        }
        let iov_base = (self.base + index * CHUNK_BYTES_MAX) as *mut libc::c_void;
        let buffer = [libc::iovec { iov_base, iov_len: CHUNK_BYTES_MAX }];
        // SAFETY: the megabyte is part of the pool's region, which `_memory` keeps mapped.
        let done = unsafe { io.submitter().register_buffers_update(index as u32, &buffer, None) };
        match done {
            Ok(()) => {
                self.left_bytes -= CHUNK_BYTES_MAX;
                self.done[index] = true;
                true
            }
            Err(error) => {
                let registered = self.done.iter().filter(|done| **done).count();
                tracing::info!(
                    %error,
                    registered_mib = registered,
                    "no more memory can be registered (memlock limit); the rest is used as it is"
                );
                self.left_bytes = 0;
                false
            }
        }
    }
}
