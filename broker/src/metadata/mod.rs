//! The node's metadata: a fold over Kafka's metadata log, and the controller of a quorum of one
//! that writes it.
//!
//! ```text
//! log bytes ──replay──▶ Fold ──▶ Arc<Image> ──▶ every shard (read only, replaced whole)
//! request ──▶ Controller ──▶ Append ──▶ log ──committed(offset)──▶ Controller ──▶ Publish, Reply
//! ```
//!
//! Invariants:
//! - Everything here is pure: time and random ids are arguments; what is to be done comes back as
//!   [`Command`]s.
//! - An [`Image`] is the fold of the log's records up to its position, and of nothing else. What
//!   the log does not say (which shard owns a partition) is computed ([`placement`]).
//! - A request is answered after its records are durable and folded, never before.

mod apply;
pub mod batches;
pub mod bootstrap;
pub mod command;
pub mod controller;
mod create;
mod delete;
pub mod features;
pub mod fold;
pub mod format;
mod grow;
pub mod ids;
pub mod image;
pub mod names;
pub mod placement;
mod quorum;
pub mod reassign;
pub mod topic_config;
mod upgrade;

pub use bootstrap::Node;
pub use command::{Append, Command, ProducerIds, Reply, Settings, StartError};
pub use controller::Controller;
pub use fold::{Fold, FoldError};
pub use image::{BrokerImage, Endpoint, Image, PartitionImage, Position, TopicImage};

#[cfg(test)]
mod tests;
