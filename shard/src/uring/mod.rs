//! A safe face on io_uring: operations go in with everything the kernel will touch, completions
//! come out with it again.
//!
//! Invariants:
//! - Memory and files of an operation are owned by the [`Ring`] from its submission to its last
//!   completion. A ring that cannot be drained when it is dropped leaks them instead.
//! - No operation is ever dropped: a full submission queue is submitted, then filled again.
//! - A ring is used by the thread that made it (SINGLE_ISSUER); it is not `Send`.

mod receive;
mod registered;
mod send;
mod setup;
mod sys;

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use io_uring::types::{CancelBuilder, Fd, FsyncFlags};
use io_uring::{IoUring, cqueue, opcode, squeue};

use crate::buf::{BLOCK_BYTES, ReadBuf, WriteRange};
use crate::fs::File;

pub use receive::Received;
pub use registered::Registered;
pub use send::{OutPiece, SendBatch};
pub use setup::{RingConfig, try_out, unsupported};
pub use sys::EventFd;

use receive::BufferGroup;

/// How long a dropped ring waits for the kernel to let go of its memory.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// The kind of an operation, in the top byte of its user data; the rest names which one.
const KIND_SHIFT: u32 = 56;
const ACCEPT: u64 = 1;
const RECEIVE: u64 = 2;
const OPERATION: u64 = 3;
const POLL: u64 = 4;
const DOORBELL: u64 = 5;
const IGNORED: u64 = 6;
const PAYLOAD_MASK: u64 = (1 << KIND_SHIFT) - 1;

/// Which receive buffers a connection draws from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Many, small: connections that send little.
    Small = 0,
    /// Few, large: busy connections.
    Large = 1,
}

/// How long to wait for a completion when submitting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    No,
    /// Until there is one.
    Forever,
    /// Until there is one or this time is over.
    AtMost(Duration),
}

/// What came out of the ring.
#[derive(Debug)]
pub enum Completion {
    /// A connection arrived, or accepting failed.
    Accepted {
        /// The key given to [`Ring::accept`].
        listener: usize,
        /// The connection.
        result: io::Result<OwnedFd>,
    },
    /// Bytes of a connection; an empty `Ok` is its end. Without `more` the receive must be
    /// armed again.
    Received {
        /// The key given to [`Ring::receive`].
        conn: u64,
        /// The bytes, to be given back by [`Ring::recycle`].
        result: io::Result<Option<Received>>,
        /// The receive is still armed.
        more: bool,
    },
    /// A send has ended.
    Sent {
        /// The key given to [`Ring::send`].
        conn: u64,
        /// Bytes sent.
        result: io::Result<usize>,
        /// What was sent; `None` while the kernel still needs it.
        batch: Option<Box<SendBatch>>,
    },
    /// A connection was made, or not.
    Connected {
        /// The key given to [`Ring::connect`].
        conn: u64,
        /// Whether it was.
        result: io::Result<()>,
    },
    /// A file operation has ended.
    Disk {
        /// The token given with it.
        token: u64,
        /// Bytes written or read.
        result: io::Result<u32>,
        /// The buffer of a read.
        read: Option<ReadBuf>,
    },
    /// The polled descriptor is readable.
    Readable {
        /// The poll is still armed.
        more: bool,
    },
    /// Another ring rang.
    Doorbell,
}

/// An operation in flight, with all that the kernel uses.
#[derive(Debug)]
enum Op {
    Send {
        conn: u64,
        fd: RawFd,
        batch: Box<SendBatch>,
        zero_copy: bool,
    },
    /// A zero-copy send that was reported already; its memory waits for the kernel.
    SendTail {
        _batch: Box<SendBatch>,
    },
    Connect {
        conn: u64,
        _address: Box<socket2::SockAddr>,
    },
    Write {
        token: u64,
        file: File,
        at: u64,
        range: WriteRange,
        written: u32,
    },
    Read {
        token: u64,
        file: File,
        at: u64,
        buf: ReadBuf,
        wanted: usize,
        filled: usize,
    },
    Plain {
        token: u64,
        _file: File,
    },
}

/// One io_uring instance.
pub struct Ring {
    io: IoUring,
    ops: Vec<Option<Op>>,
    ops_free: Vec<u32>,
    groups: [BufferGroup; 2],
    registered: Registered,
    /// Submissions whose last completion has not come.
    outstanding: usize,
    /// System calls that submitted or waited.
    submissions: u64,
    /// A ring belongs to its thread.
    _here: std::marker::PhantomData<*const ()>,
}

impl Ring {
    /// Submits what was queued, and perhaps waits. Being interrupted or short of memory for a
    /// moment is no error: what was not submitted stays queued.
    pub fn submit(&mut self, wait: Wait) -> io::Result<()> {
        let queued = {
            let mut queue = self.io.submission();
            queue.sync();
            queue.len() as u32
        };
        self.submissions += 1;
        sys::enter(&self.io, queued, wait)
    }

    /// How often [`Ring::submit`] was called.
    pub fn submissions(&self) -> u64 {
        self.submissions
    }

    /// Whether there is something to reap, seen without a system call.
    pub fn has_completions(&mut self) -> bool {
        let deferred = {
            let queue = self.io.submission();
            queue.taskrun() || queue.cq_overflow()
        };
        deferred || !self.io.completion().is_empty()
    }

    /// Whether something is queued or the kernel has work to do on this thread.
    pub fn needs_submit(&mut self) -> bool {
        let queue = self.io.submission();
        !queue.is_empty() || queue.taskrun() || queue.cq_overflow()
    }

    /// The same ring under another number, which stays valid when this one is closed.
    pub fn duplicate_descriptor(&self) -> io::Result<OwnedFd> {
        // SAFETY: the descriptor is open as long as `self.io`, and borrowed for this call.
        unsafe { BorrowedFd::borrow_raw(self.io.as_raw_fd()) }.try_clone_to_owned()
    }

    /// Moves what has completed into `out`.
    pub fn reap(&mut self, raw: &mut Vec<RawCompletion>) {
        raw.extend(self.io.completion().map(RawCompletion));
    }

    /// Accepts one connection of a listening socket. Not as many as come: whoever connects faster
    /// than they are taken in would have the kernel do nothing else for milliseconds.
    pub fn accept(&mut self, listener: usize, fd: RawFd) {
        let no_address = std::ptr::null_mut();
        let entry =
            opcode::Accept::new(Fd(fd), no_address, std::ptr::null_mut()).flags(libc::SOCK_CLOEXEC);
        self.push(entry.build().user_data(user_data(ACCEPT, listener as u64)));
    }

    /// Receives from a connection into buffers of a group until told otherwise.
    pub fn receive(&mut self, conn: u64, fd: RawFd, group: Group) {
        let entry = opcode::RecvMulti::new(Fd(fd), group as u16).build();
        self.push(entry.user_data(user_data(RECEIVE, conn)));
    }

    /// Ends the receive of a connection; its last completion says so.
    pub fn cancel_receive(&mut self, conn: u64) {
        let entry = opcode::AsyncCancel::new(user_data(RECEIVE, conn)).build();
        self.push(entry.user_data(user_data(IGNORED, 0)));
    }

    /// Ends everything in flight on a descriptor; each operation still completes.
    pub fn cancel_all_of(&mut self, fd: RawFd) {
        let entry = opcode::AsyncCancel2::new(CancelBuilder::fd(Fd(fd)).all()).build();
        self.push(entry.user_data(user_data(IGNORED, 0)));
    }

    /// Gives a receive buffer back to the kernel.
    pub fn recycle(&mut self, buffer: Received) {
        self.groups[buffer.group() as usize].recycle(buffer);
    }

    /// Sends a batch. With `zero_copy` the kernel sends from its memory in place.
    pub fn send(&mut self, conn: u64, fd: RawFd, batch: Box<SendBatch>, zero_copy: bool) {
        let slot = self.reserve();
        let entry = batch.entry(fd, zero_copy).user_data(user_data(OPERATION, slot));
        self.ops[slot as usize] = Some(Op::Send { conn, fd, batch, zero_copy });
        self.push(entry);
    }

    /// Connects a socket.
    pub fn connect(&mut self, conn: u64, fd: RawFd, to: SocketAddr) {
        let slot = self.reserve();
        let address = Box::new(socket2::SockAddr::from(to));
        let entry = opcode::Connect::new(Fd(fd), address.as_ptr().cast(), address.len()).build();
        self.ops[slot as usize] = Some(Op::Connect { conn, _address: address });
        self.push(entry.user_data(user_data(OPERATION, slot)));
    }

    /// Writes a range to a file. A partial write is continued.
    pub fn write(&mut self, file: File, at: u64, range: WriteRange, token: u64) {
        self.start_write(Op::Write { token, file, at, range, written: 0 });
    }

    /// Reads `bytes` into the start of a buffer; fewer come only at the end of the file.
    pub fn read(&mut self, file: File, at: u64, buf: ReadBuf, bytes: usize, token: u64) {
        assert!(bytes <= buf.capacity(), "a read fits its buffer");
        self.start_read(Op::Read { token, file, at, buf, wanted: bytes, filled: 0 });
    }

    /// Flushes the data of a file.
    pub fn sync(&mut self, file: File, token: u64) {
        let entry = opcode::Fsync::new(Fd(file.as_raw_fd())).flags(FsyncFlags::DATASYNC).build();
        self.start_plain(entry, file, token);
    }

    /// Waits for what of `range` is being written back, tells whether that failed, and begins to
    /// write back the rest.
    pub fn write_back(&mut self, file: File, range: Range<u64>, token: u64) {
        assert!(range.start < range.end, "a range has bytes");
        // More than the field takes: to the end of the file.
        let bytes = u32::try_from(range.end - range.start).unwrap_or(0);
        let entry = opcode::SyncFileRange::new(Fd(file.as_raw_fd()), bytes)
            .offset(range.start)
            .flags(libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE)
            .build();
        self.start_plain(entry, file, token);
    }

    /// Allocates `from..to` of a file, extending its size.
    pub fn allocate(&mut self, file: File, from: u64, to: u64, token: u64) {
        assert!(from < to, "an allocation has bytes");
        let entry = opcode::Fallocate::new(Fd(file.as_raw_fd()), to - from).offset(from).build();
        self.start_plain(entry, file, token);
    }

    /// Watches a descriptor until it is told otherwise.
    pub fn poll(&mut self, fd: RawFd) {
        let entry = opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32).multi(true).build();
        self.push(entry.user_data(user_data(POLL, 0)));
    }

    /// Puts a [`Completion::Doorbell`] into another ring.
    pub fn ring_doorbell(&mut self, ring: RawFd) {
        let entry = opcode::MsgRingData::new(Fd(ring), 0, user_data(DOORBELL, 0), None).build();
        self.push(entry.user_data(user_data(IGNORED, 0)));
    }

    /// Registers the memory of a pool, piece by piece as it is used, up to `bytes_max`.
    pub fn register_pool(&mut self, pool: &crate::buf::Pool, bytes_max: usize) {
        self.registered = Registered::new(&self.io, pool, bytes_max);
    }

    /// Turns what the kernel said into what it means. `None`: nothing to tell.
    pub fn interpret(&mut self, raw: RawCompletion) -> Option<Completion> {
        let RawCompletion(entry) = raw;
        let (kind, payload) = (entry.user_data() >> KIND_SHIFT, entry.user_data() & PAYLOAD_MASK);
        let more = cqueue::more(entry.flags());
        if !more && kind != DOORBELL {
            assert!(self.outstanding > 0, "a completion belongs to a submission");
            self.outstanding -= 1;
        }
        let result = outcome(entry.result());
        match kind {
            ACCEPT => {
                // SAFETY: a successful accept hands over a new descriptor that nobody else owns.
                let result = result.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) });
                Some(Completion::Accepted { listener: payload as usize, result })
            }
            RECEIVE => {
                let result = match (result, cqueue::buffer_select(entry.flags())) {
                    (Ok(bytes), Some(id)) => Ok(self.buffer(id, bytes as usize)),
                    (Ok(_), None) => Ok(None),
                    (Err(error), _) => Err(error),
                };
                Some(Completion::Received { conn: payload, result, more })
            }
            OPERATION => self.operation_done(payload, result, &entry),
            POLL => Some(Completion::Readable { more }),
            DOORBELL => Some(Completion::Doorbell),
            IGNORED => None,
            _ => unreachable!("a completion of a kind we never submitted"),
        }
    }
}

/// What the kernel said, not yet interpreted.
#[derive(Debug)]
pub struct RawCompletion(cqueue::Entry);

fn user_data(kind: u64, payload: u64) -> u64 {
    assert!(payload <= PAYLOAD_MASK, "a payload fits its bits");
    kind << KIND_SHIFT | payload
}

fn outcome(result: i32) -> io::Result<u32> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(result as u32) }
}

impl Ring {
    fn push(&mut self, entry: squeue::Entry) {
        self.outstanding += 1;
        loop {
            // SAFETY: every caller has put what the entry points to into `ops` (which keeps it
            // until the completion), or the entry points to nothing of ours. Receive entries
            // name a buffer group, whose memory lives as long as the ring.
            if unsafe { self.io.submission().push(&entry) }.is_ok() {
                return;
            }
            // Full: hand it to the kernel and go on. An error here is one of the ring itself.
            if let Err(error) = self.submit(Wait::No) {
                panic!("io_uring_enter failed: {error}");
            }
        }
    }

    fn reserve(&mut self) -> u64 {
        if let Some(slot) = self.ops_free.pop() {
            return u64::from(slot);
        }
        self.ops.push(None);
        (self.ops.len() - 1) as u64
    }

    fn release(&mut self, slot: u64) -> Op {
        self.ops_free.push(slot as u32);
        self.ops[slot as usize].take().expect("an operation completes once")
    }

    fn start_plain(&mut self, entry: squeue::Entry, file: File, token: u64) {
        let slot = self.reserve();
        self.ops[slot as usize] = Some(Op::Plain { token, _file: file });
        self.push(entry.user_data(user_data(OPERATION, slot)));
    }

    fn start_write(&mut self, op: Op) {
        let Op::Write { ref file, at, ref range, .. } = op else { unreachable!("a write") };
        let len = range.len() as u32;
        let entry = self.registered.write(&self.io, file.as_raw_fd(), range.address(), len, at);
        let slot = self.reserve();
        self.ops[slot as usize] = Some(op);
        self.push(entry.user_data(user_data(OPERATION, slot)));
    }

    fn start_read(&mut self, mut op: Op) {
        let Op::Read { ref file, at, ref mut buf, wanted, filled, .. } = op else {
            unreachable!("a read")
        };
        let (to, len) = (buf.address_at(filled), (wanted - filled) as u32);
        let entry = self.registered.read(file.as_raw_fd(), to, len, at + filled as u64);
        let slot = self.reserve();
        self.ops[slot as usize] = Some(op);
        self.push(entry.user_data(user_data(OPERATION, slot)));
    }

    fn buffer(&mut self, id: u16, bytes: usize) -> Option<Received> {
        // A completion does not name the group; the ids of the large one follow the small ones.
        let group = if id >= self.groups[1].first_id() { 1 } else { 0 };
        let buffer = self.groups[group].filled(id, bytes);
        if bytes == 0 {
            self.groups[group].recycle(buffer);
            return None;
        }
        Some(buffer)
    }

    fn operation_done(
        &mut self,
        slot: u64,
        result: io::Result<u32>,
        entry: &cqueue::Entry,
    ) -> Option<Completion> {
        if cqueue::more(entry.flags()) {
            return self.zero_copy_reported(slot, result);
        }
        match self.release(slot) {
            Op::Send { conn, mut batch, zero_copy, .. } => {
                let notified = cqueue::notif(entry.flags());
                assert!(!notified || zero_copy, "only zero-copy sends notify");
                let result = if notified { Ok(batch.reported as u32) } else { result };
                batch.reported = 0;
                let result = result.map(|bytes| bytes as usize);
                Some(Completion::Sent { conn, result, batch: Some(batch) })
            }
            Op::SendTail { .. } => None,
            Op::Connect { conn, .. } => {
                Some(Completion::Connected { conn, result: result.map(drop) })
            }
            Op::Write { token, file, at, range, written } => {
                self.write_done(token, file, at, range, written, result)
            }
            Op::Read { token, file, at, buf, wanted, filled } => {
                self.read_done(token, file, at, buf, wanted, filled, result)
            }
            Op::Plain { token, .. } => Some(Completion::Disk { token, result, read: None }),
        }
    }

    /// A zero-copy send has been accepted by the network; its memory is still in use. What was
    /// sent whole is reported now, what was not is reported when the memory is free.
    fn zero_copy_reported(&mut self, slot: u64, result: io::Result<u32>) -> Option<Completion> {
        let op = self.ops[slot as usize].take().expect("an operation completes once");
        let Op::Send { conn, fd, mut batch, zero_copy } = op else {
            unreachable!("only sends complete in two steps")
        };
        let bytes = result.as_ref().map_or(0, |bytes| *bytes as usize);
        if bytes == batch.bytes() {
            self.ops[slot as usize] = Some(Op::SendTail { _batch: batch });
            return Some(Completion::Sent { conn, result: Ok(bytes), batch: None });
        }
        batch.reported = bytes;
        self.ops[slot as usize] = Some(Op::Send { conn, fd, batch, zero_copy });
        None
    }

    fn write_done(
        &mut self,
        token: u64,
        file: File,
        at: u64,
        mut range: WriteRange,
        mut written: u32,
        result: io::Result<u32>,
    ) -> Option<Completion> {
        let result = match result {
            Ok(bytes) if (bytes as usize) < range.len() => {
                let whole = bytes as usize - bytes as usize % BLOCK_BYTES;
                if whole > 0 {
                    range.advance(whole);
                    written += whole as u32;
                    let at = at + whole as u64;
                    self.start_write(Op::Write { token, file, at, range, written });
                    return None;
                }
                Err(io::Error::from(io::ErrorKind::WriteZero))
            }
            Ok(bytes) => Ok(written + bytes),
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {
                self.start_write(Op::Write { token, file, at, range, written });
                return None;
            }
            Err(error) => Err(error),
        };
        Some(Completion::Disk { token, result, read: None })
    }

    #[allow(clippy::too_many_arguments)]
    fn read_done(
        &mut self,
        token: u64,
        file: File,
        at: u64,
        mut buf: ReadBuf,
        wanted: usize,
        mut filled: usize,
        result: io::Result<u32>,
    ) -> Option<Completion> {
        let result = match result {
            Ok(bytes) => {
                filled += bytes as usize;
                assert!(filled <= wanted, "the kernel reads no more than was asked for");
                // A part that ends within a block ends at the end of the file.
                let goes_on = bytes > 0 && filled < wanted && filled.is_multiple_of(BLOCK_BYTES);
                if goes_on {
                    self.start_read(Op::Read { token, file, at, buf, wanted, filled });
                    return None;
                }
                // SAFETY: the kernel has filled that many bytes, in one or more reads that are
                // all over.
                unsafe { buf.set_len(filled) };
                Ok(filled as u32)
            }
            Err(error) => Err(error),
        };
        Some(Completion::Disk { token, result, read: Some(buf) })
    }

    /// Cancels what can be cancelled and waits until the kernel has let go of all memory.
    /// File writes run to their end.
    pub fn drain(&mut self, patience: Duration) -> bool {
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::any()).build();
        self.push(cancel.user_data(user_data(IGNORED, 0)));
        let until = Instant::now() + patience;
        let mut raw = Vec::new();
        while self.outstanding > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.submit(Wait::AtMost(left)).is_err() {
                return false;
            }
            self.reap(&mut raw);
            for entry in raw.drain(..) {
                match self.interpret(entry) {
                    Some(Completion::Received { result: Ok(Some(buffer)), .. }) => {
                        self.recycle(buffer);
                    }
                    other => drop(other),
                }
            }
        }
        true
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.outstanding > 0 && !self.drain(DRAIN_PATIENCE) {
            tracing::error!(
                operations = self.outstanding,
                "the kernel did not end its operations in {DRAIN_PATIENCE:?}; their memory is kept"
            );
            std::mem::forget(std::mem::take(&mut self.ops));
            self.groups.iter_mut().for_each(BufferGroup::leak);
        }
    }
}
