//! The loop as one task inside a glommio executor, which is all of glommio that we use.
//!
//! While the shard is busy the task calls its own ring directly and lets the executor run now and
//! then. When a turn and a spin found nothing, the ring's bell (an eventfd) is switched on, the
//! task looks into ring and lanes once more, and awaits the bell. It is the bell of the shard's
//! mailbox too: were that one polled by the ring, the kernel would have to signal one eventfd
//! from within the signal of another, and wake-ups get lost. (Polling the ring itself does not do
//! either: with deferred task work it wakes nobody.)
//!
//! Invariant: what the last look does not see rings the bell: it is switched on before the look.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::Poll;

use glommio::io::{PollState, PollableFd};
use glommio::timer::Timer;
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};

use crate::host_bare::spin;
use crate::service::Service;
use crate::turn::{Shard, Turn};
use crate::uring::Wait;

/// Turns after which a busy shard lets the executor look around.
const TURNS_PER_YIELD: u32 = 16;

/// What glommio locks in memory for its rings, by its documentation.
pub(crate) const MEMLOCK_BYTES_MIN: u64 = 512 << 10;

/// Makes the executor of this thread; why it cannot, and what to do, is in the error.
pub(crate) fn make() -> Result<LocalExecutor, String> {
    LocalExecutorBuilder::new(Placement::Unbound).name("shard").io_memory(64 << 10).make().map_err(
        |error| {
            format!(
                "glommio cannot start ({error}); it needs {} KiB of locked memory per shard: \
                 raise `ulimit -l` (LimitMEMLOCK= under systemd)",
                MEMLOCK_BYTES_MIN >> 10
            )
        },
    )
}

/// Runs until the shard stops.
pub(crate) fn run<S: Service>(executor: &LocalExecutor, shard: &mut Shard<S>) -> io::Result<()> {
    executor.run(drive(shard))
}

async fn drive<S: Service>(shard: &mut Shard<S>) -> io::Result<()> {
    let mailbox = shard.core.mailbox.clone();
    shard.core.ring.attach_bell(&mailbox.bell)?;
    let bell = PollableFd::new(mailbox.bell.as_raw_fd()).map_err(io::Error::other)?;
    let mut registration = PollState::new();
    let mut turns = 0_u32;
    loop {
        match shard.turn()? {
            Turn::Busy => {
                turns = turns.wrapping_add(1);
                if turns.is_multiple_of(TURNS_PER_YIELD) {
                    glommio::yield_if_needed().await;
                }
                continue;
            }
            Turn::Stop => return Ok(()),
            Turn::Idle => {}
        }
        if !spin(shard) {
            sleep(shard, &bell, &mut registration).await?;
        }
    }
}

/// Sleeps until the ring or the clock has something. What is registered with glommio outlives a
/// wait that the clock ended, and serves the next one.
async fn sleep<S: Service>(
    shard: &mut Shard<S>,
    bell: &PollableFd<RawFd>,
    registration: &mut PollState,
) -> io::Result<()> {
    shard.core.ring.set_bell(true);
    // Runs deferred work that came while the bell was off: it would keep it silent.
    shard.core.ring.submit(Wait::No)?;
    if shard.fall_asleep() {
        let mut timer = shard.patience().map(Timer::new);
        // The bell first: each look at a timer that is not over adds an entry to glommio's wheel,
        // and only the last one is taken out with the timer.
        let woken = poll_fn(|cx| match bell.poll_readable(cx, registration) {
            Poll::Pending => match timer.as_mut().map(|timer| Pin::new(timer).poll(cx)) {
                Some(Poll::Ready(_)) => Poll::Ready(Ok(false)),
                Some(Poll::Pending) | None => Poll::Pending,
            },
            rung => rung.map_ok(|()| true),
        });
        let woken = woken.await;
        shard.wake_up();
        if woken.map_err(|error| io::Error::other(error.to_string()))? {
            shard.core.mailbox.bell.clear();
        }
    }
    shard.core.ring.set_bell(false);
    Ok(())
}
