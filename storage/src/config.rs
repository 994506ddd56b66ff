//! What a log can be told. Kafka's names where Kafka has the setting.

use crate::ops::BLOCK_BYTES;

/// When a batch counts as durable (architecture §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// As soon as it is in the log's buffers.
    Memory,
    /// When its write completed: survives the death of the process.
    #[default]
    Written,
    /// When it was flushed as well: survives the loss of power.
    Synced,
}

/// Settings of one log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// `segment.bytes`: the log rolls before a segment would grow past it.
    pub segment_bytes: u64,
    /// `segment.ms`: the log rolls when a batch is this much younger than the segment's first.
    pub segment_ms: i64,
    /// `index.interval.bytes`: bytes between two index entries.
    pub index_interval_bytes: u64,
    /// `segment.index.bytes`: the log rolls when an index would grow past it.
    pub segment_index_bytes: u64,
    /// Space is allocated ahead of the writer in pieces of at most this size: each of what there is
    /// already.
    pub allocate_bytes: u64,
    /// The first piece.
    pub allocate_first_bytes: u64,
    /// When a batch counts as durable.
    pub durability: Durability,
    /// Writes in flight for one segment at a time.
    pub inflight_writes_max: usize,
    /// Bytes of one write.
    pub write_bytes_max: u64,
    /// While writes are in flight, this much has to gather before another one joins them.
    pub gather_bytes: u64,
    /// The recovery point moves after this many bytes.
    pub checkpoint_bytes: u64,
    /// `producer.id.expiration.ms`.
    pub producer_expiration_ms: i64,
    /// Producers remembered by one log.
    pub producers_max: usize,
    /// Offsets may have gaps above the recovery point (`cleanup.policy` contains `compact`).
    pub compacted: bool,
    /// A bug planted on purpose; the simulator must find it.
    #[cfg(test)]
    pub planted: Option<Planted>,
}

/// `segment.bytes`, Kafka's default.
pub const SEGMENT_BYTES_DEFAULT: u64 = 1 << 30;
/// The largest `segment.bytes`: positions in an index are signed 32-bit numbers.
pub const SEGMENT_BYTES_MAX: u64 = i32::MAX as u64;
/// The smallest segment the allocation arithmetic is written for.
pub const SEGMENT_BYTES_MIN: u64 = BLOCK_BYTES;

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            segment_ms: 7 * 24 * 3600 * 1000,
            index_interval_bytes: 4096,
            segment_index_bytes: 10 << 20,
            allocate_bytes: 64 << 20,
            allocate_first_bytes: 64 << 10,
            durability: Durability::Written,
            inflight_writes_max: 4,
            write_bytes_max: 1 << 20,
            gather_bytes: 256 << 10,
            checkpoint_bytes: 128 << 20,
            producer_expiration_ms: 24 * 3600 * 1000,
            producers_max: 100_000,
            compacted: false,
            #[cfg(test)]
            planted: None,
        }
    }
}

impl LogConfig {
    /// The settings of a log that is told of `new` ones while it is open: those that files already
    /// depend on stay.
    pub(crate) fn taking(&self, new: LogConfig) -> LogConfig {
        LogConfig {
            segment_bytes: new.segment_bytes,
            segment_ms: new.segment_ms,
            index_interval_bytes: new.index_interval_bytes,
            durability: new.durability,
            checkpoint_bytes: new.checkpoint_bytes,
            producer_expiration_ms: new.producer_expiration_ms,
            compacted: new.compacted,
            ..self.clone()
        }
    }

    /// Panics on settings that cannot work; whoever reads them from a user checks them first.
    pub(crate) fn assert_valid(&self) {
        assert!(self.segment_bytes >= SEGMENT_BYTES_MIN, "segment.bytes is too small");
        assert!(self.segment_bytes <= SEGMENT_BYTES_MAX, "segment.bytes is too large");
        assert!(self.allocate_bytes >= BLOCK_BYTES, "allocate_bytes is too small");
        assert!(self.allocate_bytes.is_multiple_of(BLOCK_BYTES), "allocation is in blocks");
        assert!(self.allocate_first_bytes >= BLOCK_BYTES, "allocate_first_bytes is too small");
        assert!(self.allocate_first_bytes.is_multiple_of(BLOCK_BYTES), "allocation is in blocks");
        assert!(self.write_bytes_max >= BLOCK_BYTES, "write_bytes_max is too small");
        assert!(self.write_bytes_max.is_multiple_of(BLOCK_BYTES), "writes are in blocks");
        assert!(self.gather_bytes >= BLOCK_BYTES, "gather_bytes is too small");
        assert!(self.inflight_writes_max >= 2, "a tail rewrite needs a place of its own");
        assert!(self.segment_index_bytes >= 64, "an index holds a few entries at least");
    }

    /// Whether a bug is planted. Always false outside this crate's own tests.
    #[cfg(test)]
    pub(crate) fn planted(&self, bug: Planted) -> bool {
        self.planted == Some(bug)
    }
}

/// Bugs that the simulator must find (style §14).
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// The written offset moves when a write is handed out, not when it is done.
    AckBeforeWrite,
    /// The tail block is written again while a write of it is in flight.
    OverlapTailBlock,
    /// Recovery believes a batch without checking its CRC.
    SkipCrcOnRecovery,
    /// The recovery point moves without a flush.
    ForgetSyncBeforeRecoveryPoint,
    /// The flushed offset moves without a flush.
    AckBeforeSync,
    /// Recovery starts with an empty producer table where it should load a snapshot.
    DropProducerSnapshot,
    /// A failed write counts as done.
    IgnoreWriteError,
    /// Recovery goes on behind a gap in the offsets.
    RecoverPastGap,
    /// The tail block is written without what it held when the log was opened.
    ForgetTailOnOpen,
    /// A write runs past the allocated size.
    WritePastAllocation,
    /// What is handed out when the log rolls leaves out the old segment's last bytes.
    ForgetTailOnRoll,
    /// A failed flush is tried again as if it could succeed.
    RetryFailedSync,
    /// A segment is removed when the log starts inside it.
    RetireAtStart,
    /// The index of aborted transactions is not written with the other indexes.
    ForgetAborted,
    /// Recovery takes every transaction's end for a commit.
    ForgetAborts,
    /// A marker decides its transaction before it is replicated.
    StableBeforeReplicated,
}
