//! What a set of shards is told at its start.

use std::net::SocketAddr;
use std::time::Duration;

use crate::service::ShardId;

/// Most shards of one process.
pub const SHARDS_MAX: usize = 256;

/// What the loop of a shard runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// A task of a pinned glommio executor. Falls back to [`Host::Bare`], with one line in the
    /// log, where glommio cannot start.
    Glommio,
    /// A plain thread.
    Bare,
}

/// Which shards accept the connections of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenOn {
    /// One shard.
    Shard(ShardId),
    /// Every shard, each with its own socket of the same address (SO_REUSEPORT).
    EveryShard,
}

/// One address to listen on.
#[derive(Clone, Copy, Debug)]
pub struct ListenerConfig {
    /// The address; port 0 takes a free one, told by [`crate::Handle::local_addrs`].
    pub addr: SocketAddr,
    /// Who accepts.
    pub on: ListenOn,
}

/// What a set of shards is told at its start.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// How many shards.
    pub shards: usize,
    /// The cpus to pin shards to, in rotation; `None` pins nothing.
    pub cpus: Option<Vec<usize>>,
    /// Where to listen. [`crate::Service::accepted`] is told the index in this list.
    pub listeners: Vec<ListenerConfig>,
    /// How long an idle shard looks for work before it sleeps.
    pub spin: Duration,
    /// Bytes of chunk memory of each shard ([`crate::Core::pool`]); taken from the system as used.
    pub memory: usize,
    /// Receive buffers of each shard for busy connections.
    pub receive_buffers: u16,
    /// Bytes of each of them.
    pub receive_buffer_bytes: usize,
    /// Receive buffers of each shard for connections that send little.
    pub receive_small_buffers: u16,
    /// Bytes of each of them.
    pub receive_small_buffer_bytes: usize,
    /// Entries of the ring's submission queue (a power of two); the completion queue has eight
    /// times as many.
    pub ring_entries: u32,
    /// What the loop runs on.
    pub host: Host,
    /// Send slices without copying them into the kernel (for real network cards; slower on
    /// loopback).
    pub send_zero_copy: bool,
    /// Connections of one shard at most; more are accepted and closed at once.
    pub connections_max: usize,
    /// Messages that fit into one lane between two shards.
    pub lane_messages: usize,
    /// Chunk memory of each shard that may be registered with the ring, which spares the kernel
    /// the pinning of pages at every write. 0 switches it off.
    pub registered_bytes_max: usize,
}

impl Default for ShardConfig {
    fn default() -> Self {
        ShardConfig {
            shards: 1,
            cpus: None,
            listeners: Vec::new(),
            spin: Duration::from_micros(30),
            memory: 256 << 20,
            receive_buffers: 8,
            receive_buffer_bytes: 256 << 10,
            receive_small_buffers: 256,
            receive_small_buffer_bytes: 16 << 10,
            ring_entries: 1024,
            host: Host::Glommio,
            send_zero_copy: false,
            connections_max: 16_384,
            lane_messages: 1024,
            registered_bytes_max: 64 << 20,
        }
    }
}
