//! What a shard answers when it is asked how it is: a plain copy of its figures.

use std::collections::HashMap;
use std::sync::Arc;

use ringlog_shard::CoreStats;
use ringlog_wire::error::ErrorCode;

use super::TopicCounters;
use super::counters::{ApiCounters, Closed, DiskCounters};
use crate::partition::TopicName;

/// How much is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Whether it is well.
    Health,
    /// All figures, of at most so many partitions one by one.
    All {
        /// Partitions of this shard that are told one by one.
        partitions_max: usize,
    },
}

/// A share of the shard's memory, with its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// What it is for.
    pub name: &'static str,
    /// Bytes in use.
    pub used: u64,
    /// Bytes that it may come to.
    pub budget: u64,
}

/// What one topic of one shard has counted.
#[derive(Clone, Debug)]
pub struct TopicFigures {
    /// Its names.
    pub name: Arc<TopicName>,
    /// What went through it.
    pub counters: TopicCounters,
}

/// One partition's log.
#[derive(Clone, Debug)]
pub struct PartitionFigures {
    /// Its topic.
    pub topic: Arc<TopicName>,
    /// Its number.
    pub index: i32,
    /// The offset of the next record.
    pub end_offset: i64,
    /// The first offset.
    pub start_offset: i64,
    /// Bytes of all batches.
    pub size_bytes: u64,
    /// Segments.
    pub segments: usize,
}

/// All figures of a shard.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The loop's.
    pub core: CoreStats,
    /// By API key.
    pub apis: Box<[ApiCounters]>,
    /// Errors that were answered, by API key and code.
    pub errors: HashMap<(i16, ErrorCode), u64>,
    /// By kind.
    pub disk: Vec<DiskCounters>,
    /// Connections that were taken in.
    pub connections_opened: u64,
    /// Connections that have ended.
    pub connections_closed: Closed,
    /// By [`super::Refused`].
    pub connections_refused: Vec<u64>,
    /// Connections whose next request waits.
    pub connections_stalled: usize,
    /// Requests that wait for their answer.
    pub requests_waiting: usize,
    /// Messages for other shards that found their lane full.
    pub messages_held: usize,
    /// The shard's memory by name.
    pub memory: Vec<MemoryUse>,
    /// Logs that failed, or could not be opened, since the start.
    pub log_failures: u64,
    /// Partitions that are led here and can be used.
    pub partitions_online: usize,
    /// Partitions of this shard that cannot be used.
    pub partitions_offline: usize,
    /// Partitions that ask for more replicas in sync than there are.
    pub partitions_under_min_insync: usize,
    /// By topic.
    pub topics: Vec<TopicFigures>,
    /// What went through topics that are gone or never were.
    pub gone: TopicCounters,
    /// The first partitions by topic and number, as many as were wanted.
    pub partitions: Vec<PartitionFigures>,
}

/// The controller's shard adds this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControllerFigures {
    /// The broker is registered, and topics can change.
    pub is_serving: bool,
    /// The metadata log failed.
    pub is_failed: bool,
    /// Topics of the cluster.
    pub topics: usize,
    /// Partitions of the cluster.
    pub partitions: usize,
}

/// See the module's head.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Whose.
    pub shard: usize,
    /// It is about to stop.
    pub stopping: bool,
    /// Logs that are being opened.
    pub logs_opening: usize,
    /// Logs that the disk refuses.
    pub logs_failed: usize,
    /// On shard 0.
    pub controller: Option<ControllerFigures>,
    /// If they were asked for.
    pub figures: Option<Box<Figures>>,
}
