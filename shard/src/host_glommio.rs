//! The loop as one task inside a glommio executor.
//!
//! The task calls its own ring directly, sleeps in it, and lets the executor run now and then
//! while it is busy. It does not wait in glommio's rings, which cost a quarter of all CPU at low
//! rates (ARCHITECTURE.md, "Measured decisions"), and need not: this task is the only one. Another
//! task of the executor would have to be asked for before the shard sleeps.

use std::io;

use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};

use crate::idle::{Looks, rest};
use crate::service::Service;
use crate::turn::{Shard, Turn};

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
    let mut looks = Looks::default();
    shard.watch_mailbox();
    let mut turns = 0_u32;
    loop {
        match shard.turn()? {
            Turn::Busy => {
                turns = turns.wrapping_add(1);
                if turns.is_multiple_of(TURNS_PER_YIELD) {
                    glommio::yield_if_needed().await;
                }
            }
            Turn::Stop => return Ok(()),
            Turn::Idle => rest(shard, &mut looks)?,
        }
    }
}
