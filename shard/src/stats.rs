//! What a shard's loop counts about itself: plain numbers, touched by its thread alone, copied out
//! when somebody asks.

use std::time::Duration;

/// Counts since the shard started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Turns of the loop.
    pub(crate) turns: u64,
    /// Turns that found something to do.
    pub(crate) turns_busy: u64,
    /// Messages taken from other shards, from outside, and from its own helper.
    pub(crate) messages: u64,
    /// Connections that were accepted and turned away before the service heard of them.
    pub(crate) connections_refused: u64,
}

/// A shard's figures, as [`crate::Core::stats`] gives them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreStats {
    /// Processor time that the shard's thread has used.
    pub cpu: Duration,
    /// Turns of the loop.
    pub turns: u64,
    /// Turns that found something to do.
    pub turns_busy: u64,
    /// System calls that handed work to the ring or waited for it.
    pub submissions: u64,
    /// Messages taken from other shards, from outside, and from its own helper.
    pub messages: u64,
    /// Messages of other shards that wait to be taken.
    pub messages_waiting: usize,
    /// Connections, with those still being taken down.
    pub connections: usize,
    /// Connections that were accepted and turned away before the service heard of them.
    pub connections_refused: u64,
}

/// Processor time of the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let (secs, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(secs.unwrap_or(0), nanos.unwrap_or(0))
}
