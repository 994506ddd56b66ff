//! What operators see: counters kept by each shard, copied out when somebody asks, and put into
//! Prometheus' words on the control thread.
//!
//! ```text
//! shard: Counters ──Message::Snapshot──► Snapshot ──► control thread: report ──► text
//! ```
//!
//! Invariants: a counter is a plain number that its shard alone touches; a request costs a few
//! additions and no clock call (latencies are taken from the turn's clock, so what begins and
//! ends within one turn counts as nothing); the number of series is bounded by named limits.

pub mod counters;
pub mod histogram;
pub mod report;
pub mod snapshot;
pub mod text;

pub use counters::{Closed, Counters, DiskBegun, DiskKindOf, Refused, TopicCounters};
pub use histogram::Histogram;
pub use snapshot::{Detail, PartitionFigures, Snapshot, TopicFigures};
