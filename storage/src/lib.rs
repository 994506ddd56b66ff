//! The log as decisions: segments, indexes, append, roll, recovery, producer state.
//!
//! A partition's directory holds what Kafka's holds (`kraft.md` A3), and nothing else:
//!
//! ```text
//! partition.metadata            topic id
//! leader-epoch-checkpoint       text: epoch, start offset
//! 00000000000000000000.log      record batches v2, dense, exactly as on the wire
//! 00000000000000000000.index    8 bytes an entry:  last offset - base i32 | position i32
//! 00000000000000000000.timeindex  12 bytes:        timestamp i64 | last offset - base i32
//! 00000000000000000000.txnindex 34 bytes:  an aborted transaction; absent where there is none
//! 00000000000000118202.log      the next segment; its name is its base offset
//! 00000000000000118202.snapshot producer state before that offset
//! ```
//!
//! Invariants of the whole crate:
//! - No I/O, no clock, no lock. What the log wants done it asks for ([`DiskOp`]); time is an
//!   argument; [`Disk`] is a parameter of the operations that may block.
//! - Order is fixed at append, never at completion.
//! - `log_start <= flushed <= written <= end`, and each only grows between truncations.
//! - After the first failed operation the log takes and writes nothing more until it is reopened.
#![forbid(unsafe_code)]

pub mod checkpoint;
mod config;
pub mod epochs;
pub mod index;
mod log;
mod ops;
pub mod producer;
mod segment;
pub mod sim;
mod tail;
pub mod transaction;

#[cfg(test)]
pub use config::Planted;
pub use config::{Durability, LogConfig, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MAX};
pub use log::{
    AbortedPlan, AbortedSearch, AppendError, Appended, Cut, CutReason, DiskPlan, Failure,
    IndexPlan, Log, OpenBatch, OpenError, ReadError, ReadPlan, RecoveryHint, RecoveryReport,
    SEALED_INDEXES_MAX, TimeAnswer, TimePlan, TimeStep,
};
pub use ops::*;
