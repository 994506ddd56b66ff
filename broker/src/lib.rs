//! The broker: Kafka's rules as state machines, and the shell that runs them on shards.
//!
//! ```text
//! main → serve → shard::run ─┬─ shell/    events in, commands out: all that touches a Core
//!                            ├─ api/      one file per Kafka API: parse → place → reply or park
//!                            ├─ session   one connection: frames in, replies out in order
//!                            ├─ partition one partition: log, high watermark, who waits
//!                            └─ metadata/ the fold over Kafka's metadata log, and its controller
//!                    └ http ─── metrics/  the control thread: /metrics, /health, /ready
//! ```
#![forbid(unsafe_code)]

pub mod api;
pub mod check;
pub mod config;
pub mod connections;
pub mod coordinator;
pub mod datadir;
pub mod defaults;
pub mod fair;
pub mod fetch_session;
pub mod group;
pub mod http;
pub mod limiter;
pub mod memory;
pub mod message;
pub mod metadata;
pub mod metrics;
pub mod partition;
pub mod rules;
pub mod serve;
pub mod session;
pub mod shell;
pub mod slab;
pub mod tool;
pub mod topics;
pub mod validate;
