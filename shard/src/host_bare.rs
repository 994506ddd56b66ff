//! The loop on a plain thread.

use std::io;

use crate::idle::{Looks, rest};
use crate::service::Service;
use crate::turn::{Shard, Turn};

/// Runs until the shard stops.
pub(crate) fn run<S: Service>(shard: &mut Shard<S>) -> io::Result<()> {
    let mut looks = Looks::default();
    shard.watch_mailbox();
    loop {
        match shard.turn()? {
            Turn::Busy => {}
            Turn::Stop => return Ok(()),
            Turn::Idle => rest(shard, &mut looks)?,
        }
    }
}
