//! A simulated disk, and the simulator that drives the log over it.
//!
//! [`SimDisk`] stands on both sides of the log's seam: it is the blocking [`Disk`](crate::Disk) of
//! open, close and truncation, and it runs the [`DiskOp`](crate::DiskOp)s of a running log,
//! completing those in flight in an order drawn from a seed. It remembers what has been synced and
//! what has not, so that a crash can be drawn from the same seed: [`Crash::Process`] keeps what was
//! completed (what Kafka's page cache gives), [`Crash::Power`] keeps what was synced, and of the
//! rest any part, torn at sectors of 512 bytes. It can fail any operation, stop at any operation,
//! fill fresh space with stale batches, and it checks the rules that the log promises for its ops.
//!
//! The simulator itself (`world`) exists in tests only: one seed decides settings, workload, faults
//! and crashes.
//! `RINGLOG_SEED=n cargo test -p ringlog-storage sim::` replays one, `RINGLOG_SEEDS=n` sets how
//! many are run.
//!
//! Absent on purpose: bit rot of synced data and misdirected writes (no single copy of a log
//! survives those), and time (an op takes as long as the seed leaves it in the queue).

mod crash;
mod disk;
mod memory;
mod queue;
mod random;

pub use crash::Crash;
pub use disk::{Fault, FaultPoint, SECTOR_BYTES, SimDisk};
pub use memory::{SimChunk, SimMemory, SimWrite};
pub use random::Random;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
