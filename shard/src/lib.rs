//! A core: its thread, io_uring ring, sockets, files, clock, buffers, and the bus between cores.
//! It knows nothing of Kafka: a [`Service`] is handed bytes, completions and messages, and
//! answers through its [`Core`].
//!
//! Invariants:
//! - A shard is one thread; everything a [`Core`] owns is touched by that thread alone.
//! - One turn of the loop is *take messages → reap completions → call the service → `turn_end` →
//!   submit once*.
//! - Memory that the kernel may touch is owned by the ring until the kernel has said it is done.
//! - `unsafe` lives in `uring`, `ring` and `buf` only.

// This crate is where the clock, files and sockets come from; see clippy.toml.
#![allow(clippy::disallowed_methods)]
#![deny(unsafe_code)]

#[allow(unsafe_code)]
pub mod buf;
pub mod bus;
mod config;
mod conn;
mod core;
pub mod fs;
mod helper;
mod host_bare;
mod host_glommio;
mod idle;
pub mod net;
mod output;
pub mod probe;
pub mod process;
#[allow(unsafe_code)]
pub mod ring;
mod service;
mod start;
mod stats;
mod turn;
#[allow(unsafe_code)]
pub mod uring;

pub use config::{Host, ListenOn, ListenerConfig, ShardConfig};
pub use core::Core;
pub use service::{CloseReason, ConnId, Service, ShardId};
pub use start::{Handle, Remote, StartError, run};
pub use stats::CoreStats;
