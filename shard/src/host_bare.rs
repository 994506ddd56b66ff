//! The loop on a plain thread.
//!
//! Invariant: an idle shard sleeps in the kernel and costs nothing.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Instant;

use crate::service::Service;
use crate::turn::{Shard, Turn};
use crate::uring::Wait;

/// Looks at the clock once in so many spins.
const SPINS_PER_LOOK: u32 = 32;

/// Runs until the shard stops.
pub(crate) fn run<S: Service>(shard: &mut Shard<S>) -> io::Result<()> {
    shard.core.ring.poll(shard.core.mailbox.bell.as_raw_fd());
    loop {
        match shard.turn()? {
            Turn::Busy => continue,
            Turn::Stop => return Ok(()),
            Turn::Idle => {}
        }
        if spin(shard) || !shard.fall_asleep() {
            continue;
        }
        let wait = shard.patience().map_or(Wait::Forever, Wait::AtMost);
        let slept = shard.core.ring.submit(wait);
        shard.wake_up();
        slept?;
    }
}

/// Looks for work for a while. `true`: there is some.
pub(crate) fn spin<S: Service>(shard: &mut Shard<S>) -> bool {
    let mut limit = shard.spin();
    if let Some(patience) = shard.patience() {
        if patience.is_zero() {
            return true;
        }
        limit = limit.min(patience);
    }
    let begun = Instant::now();
    loop {
        for _ in 0..SPINS_PER_LOOK {
            if shard.has_work() {
                return true;
            }
            std::hint::spin_loop();
        }
        if begun.elapsed() >= limit {
            return false;
        }
    }
}
