//! What the shards of one process say to each other over the bus.
//!
//! Invariant: every question that is sent is answered exactly once, with the key it came with; a
//! key that no longer names anything makes the answer void. Questions in flight are bounded by
//! connections × requests in flight.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};

use ringlog_shard::ConnId;
use ringlog_shard::buf::Slice;
use ringlog_storage::transaction::AbortedTxn;
use ringlog_storage::{DiskError, Log, OpenError, RecoveryReport};
use ringlog_wire::Uuid;
use ringlog_wire::error::ErrorCode;

use crate::api::asks::{Answered, Ask};
use crate::coordinator;
use crate::datadir::PartitionEnd;
use crate::memory::LogMemory;
use crate::metadata::Image;
use crate::metrics::{Detail, Snapshot};
use crate::partition::{Acks, Isolation};
use crate::shell::{BlockingRead, ColdRead, ControlAnswer, ControlAsk, SegmentFile};
use crate::slab::Key;
use crate::validate::Refusal;

/// One partition of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicPartition {
    /// The topic's id.
    pub topic: Uuid,
    /// The partition's index.
    pub index: i32,
}

/// Who waits for the parts of a produce request.
#[derive(Clone, Copy, Debug)]
pub enum ProduceFor {
    /// The request under this key, with acks = 1 or all.
    Request(Key, Acks),
    /// Nobody, but this connection ends if any part is refused: acks = 0 (rule 11).
    Nobody(ConnId),
}

/// One partition's part of a produce request, on its way to the owner.
#[derive(Debug)]
pub struct ProducePart {
    /// Its place in the request.
    pub entry: u32,
    /// Where it goes.
    pub to: TopicPartition,
    /// The records as the client sent them.
    pub records: Vec<u8>,
}

/// What became of one partition's part of a produce request.
#[derive(Clone, Debug)]
pub struct Produced {
    /// Its place in the request.
    pub entry: u32,
    /// None, or why not.
    pub error: ErrorCode,
    /// What goes with an error; its records are bounded.
    pub refusal: Option<Box<Refusal>>,
    /// The first record's offset, -1 on error.
    pub base_offset: i64,
    /// The broker's time, where the topic takes it, else -1.
    pub log_append_time: i64,
    /// The log's first offset, -1 on error.
    pub log_start: i64,
}

impl Produced {
    /// It was not appended, or is not known to be.
    pub fn failed(entry: u32, error: ErrorCode, refusal: Option<Box<Refusal>>) -> Produced {
        let none = -1;
        Produced {
            entry,
            error,
            refusal,
            base_offset: none,
            log_append_time: none,
            log_start: none,
        }
    }
}

/// What a fetch asks of one partition.
#[derive(Clone, Copy, Debug)]
pub struct FetchAsk {
    /// Its place in the request.
    pub entry: u32,
    /// From where.
    pub from: TopicPartition,
    /// The leader epoch that the client believes in, -1 = none.
    pub leader_epoch: i32,
    /// The first offset wanted.
    pub offset: i64,
    /// The epoch of the last record fetched, -1 = none.
    pub last_fetched_epoch: i32,
    /// Most bytes of this partition.
    pub bytes_max: usize,
    /// Its place in the reader's session, if it has one.
    pub place: u32,
}

/// A shard's part of a fetch that another shard serves.
#[derive(Debug)]
pub struct FetchPart {
    /// The fetch on the asking shard.
    pub request: Key,
    /// Its pass: an answer to an earlier one is void.
    pub pass: u32,
    /// Most bytes of all asks together.
    pub bytes_max: usize,
    /// Which records its reader wants to see.
    pub isolation: Isolation,
    /// The session of the reader: whatever moves is told under its place there, once. Without one,
    /// the fetch is told once when there is more.
    pub session: Option<Key>,
    /// What it wants.
    pub asks: Vec<FetchAsk>,
}

/// What one partition gives to a fetch.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Its place in the request.
    pub entry: u32,
    /// The partition's index.
    pub index: i32,
    /// None, or why not.
    pub error: ErrorCode,
    /// The high watermark, -1 on error.
    pub high_watermark: i64,
    /// Everything below it is decided; -1 on error.
    pub last_stable: i64,
    /// The log's first offset, -1 on error.
    pub log_start: i64,
    /// Where the client's log leaves this one: (epoch, end offset) (KIP-595).
    pub diverging: Option<(i32, i64)>,
    /// Whole batches.
    pub slices: Vec<Slice>,
    /// For readers of committed records: the aborted transactions that these meet.
    pub aborted: Vec<AbortedTxn>,
}

impl Fetched {
    /// An answer without records.
    pub fn error(ask: &FetchAsk, error: ErrorCode) -> Fetched {
        Fetched {
            entry: ask.entry,
            index: ask.from.index,
            error,
            high_watermark: -1,
            last_stable: -1,
            log_start: -1,
            diverging: None,
            slices: Vec::new(),
            aborted: Vec::new(),
        }
    }

    /// The log's marks as they were: (high watermark, log start).
    pub fn marks(&self) -> (i64, i64) {
        (self.high_watermark, self.log_start)
    }

    /// The offset below which such a reader may see everything.
    pub fn readable(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::Uncommitted => self.high_watermark,
            Isolation::Committed => self.last_stable,
        }
    }

    /// No records after all.
    pub fn clear(&mut self) {
        self.slices.clear();
        self.aborted.clear();
    }

    /// Bytes of records.
    pub fn bytes(&self) -> usize {
        self.slices.iter().map(|slice| slice.len()).sum()
    }
}

/// What ListOffsets asks of one partition.
#[derive(Clone, Copy, Debug)]
pub struct OffsetAsk {
    /// Its place in the request.
    pub entry: u32,
    /// Of which partition.
    pub of: TopicPartition,
    /// The leader epoch that the client believes in, -1 = none.
    pub leader_epoch: i32,
    /// A time in milliseconds, or one of Kafka's special values below 0.
    pub timestamp: i64,
    /// Which records it may be answered with.
    pub isolation: Isolation,
}

/// What ListOffsets is told of one partition.
#[derive(Clone, Copy, Debug)]
pub struct OffsetFound {
    /// Its place in the request.
    pub entry: u32,
    /// None, or why not.
    pub error: ErrorCode,
    /// The offset, -1 = none.
    pub offset: i64,
    /// Its record's time, -1 = none.
    pub timestamp: i64,
    /// The leader epoch of that offset, -1 = none.
    pub leader_epoch: i32,
}

impl Message {
    /// Bytes of records that the message owns.
    pub fn records_bytes(&self) -> usize {
        match self {
            Message::Produce { parts, .. } => parts.iter().map(|part| part.records.len()).sum(),
            _ => 0,
        }
    }
}

/// The end of an attempt to open a partition's log.
pub type Opened = Result<(Log<LogMemory>, RecoveryReport), OpenError>;

/// See the module's head.
#[allow(missing_docs, reason = "each variant says what its fields are for")]
pub enum Message {
    /// Append these; answer with [`Message::Produced`] as each is acknowledged, or say with
    /// [`Message::Unheard`] that one is refused.
    Produce {
        on_behalf: ProduceFor,
        version: i16,
        transactional_id: Option<Arc<str>>,
        parts: Vec<ProducePart>,
    },
    /// A part of a produce request with acks = 0 of this connection was refused.
    Unheard { conn: ConnId, error: ErrorCode },
    /// Answers to [`Message::Produce`].
    Produced { request: Key, results: Vec<Produced> },
    /// Read these; answer with [`Message::Fetched`], then say once with [`Message::Wake`] or
    /// [`Message::Moved`] when any of them has more.
    Fetch(FetchPart),
    /// The answer to [`Message::Fetch`].
    Fetched { request: Key, pass: u32, results: Vec<Fetched> },
    /// A fetch's partitions have more.
    Wake { request: Key },
    /// These places of a fetch session have moved.
    Moved { session: Key, places: Vec<u32> },
    /// Find these offsets, for as long as somebody holds `wanted`.
    Offsets { request: Key, asks: Vec<OffsetAsk>, wanted: Weak<()> },
    /// The answer to [`Message::Offsets`].
    OffsetsFound { request: Key, results: Vec<OffsetFound> },
    /// Answer these questions about partitions.
    Ask { request: Key, asks: Vec<Ask> },
    /// The answers to [`Message::Ask`], in any order.
    Answers { request: Key, answers: Vec<Answered> },
    /// For the coordinator of that partition; answer with [`Message::Coordinated`].
    Coordinate { request: Key, of: TopicPartition, ask: coordinator::Ask },
    /// The coordinator's answer.
    Coordinated { request: Key, answer: Result<coordinator::Answer, ErrorCode> },
    /// For the controller on shard 0.
    Control { request: Key, ask: ControlAsk, bytes: usize },
    /// The controller's answer.
    Controlled { request: Key, answer: ControlAnswer },
    /// The cluster's metadata has changed.
    Image(Arc<Image>),
    /// The sender's partitions are as the image of this offset says.
    Applied { offset: i64 },
    /// A blocking disk operation of the log in this place has ended; a segment that was created
    /// comes open.
    DiskDone { token: u64, result: Result<Option<SegmentFile>, DiskError> },
    /// A step of a cold read that took the helper thread has ended.
    BlockingRead { read: Box<ColdRead>, result: BlockingRead },
    /// A partition's log has been opened, or not.
    LogOpened { of: TopicPartition, opened: Box<Opened> },
    /// A deleted partition's directory is gone.
    LogRemoved,
    /// Recovery points have moved.
    RecoveryPoints(Vec<(TopicPartition, PartitionEnd)>),
    /// The checkpoint files are written.
    CheckpointsWritten { done: bool },
    /// Say how you are; the answer leaves the shards' world.
    Snapshot { detail: Detail, to: Sender<Snapshot> },
    /// Give up the rest of this process's life in order: write what is dirty, close the logs, stop.
    Stop,
}
