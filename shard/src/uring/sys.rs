//! The few system calls that no safe crate of ours wraps.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring};

use super::Wait;

/// Enters the kernel: submits, runs deferred work, and waits if asked to.
pub(super) fn enter(ring: &IoUring, queued: u32, wait: Wait) -> io::Result<()> {
    let submitter = ring.submitter();
    let flags = EnterFlags::GETEVENTS.bits();
    let entered = match wait {
        // SAFETY: no argument is passed, and the ring is alive for the call.
        Wait::No => unsafe { submitter.enter::<libc::sigset_t>(queued, 0, flags, None) },
        // SAFETY: as above.
        Wait::Forever => unsafe { submitter.enter::<libc::sigset_t>(queued, 1, flags, None) },
        Wait::AtMost(time) => {
            let time = Timespec::from(time.max(Duration::from_nanos(1)));
            let args = SubmitArgs::new().timespec(&time);
            let flags = flags | EnterFlags::EXT_ARG.bits();
            // SAFETY: `args` is the structure that EXT_ARG asks for, and it and the time it
            // points to live until the call returns.
            unsafe { submitter.enter(queued, 1, flags, Some(&args)) }
        }
    };
    match entered {
        Ok(_) => Ok(()),
        Err(error) => match error.raw_os_error() {
            Some(libc::EINTR | libc::ETIME | libc::EBUSY | libc::EAGAIN) => Ok(()),
            _ => Err(error),
        },
    }
}

/// A counter that wakes whoever polls it.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// A counter at zero.
    pub fn new() -> io::Result<EventFd> {
        // SAFETY: takes no pointers; the result is checked.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else owns.
        Ok(EventFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Counts one.
    pub fn signal(&self) {
        // The counter cannot overflow in practice, and a full one wakes just as well.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Sets the counter back to zero.
    pub fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
