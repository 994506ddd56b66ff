//! The coordinator's settings, by Kafka's names, and its limits.

/// Partitions of one transaction, at most.
pub const PARTITIONS_PER_TRANSACTION_MAX: usize = 50_000;
/// Bytes of one transaction's record, at most: its topics and partitions are in it.
pub const RECORD_BYTES_MAX: usize = 384 * 1024;
/// Bytes of the records that one pass of the timer makes, roughly: they are one batch, which must
/// stay below `max.message.bytes`.
pub const TIMER_BYTES_MAX: usize = 512 * 1024;
/// Transactional ids that one pass of the timer looks at.
pub const TIMER_IDS_MAX: usize = 1024;
/// Produce requests that wait for one transaction's markers, at most.
pub const PARKED_PER_TRANSACTION_MAX: usize = 64;
/// A marker that could not be written is tried again after this, in milliseconds.
pub const MARKER_RETRY_MS: i64 = 50;
/// A timed-out transaction whose abort needs a producer id that is not there waits this long, in
/// milliseconds.
pub const PRODUCER_ID_RETRY_MS: i64 = 100;
/// What a transactional id costs beside its name and partitions, roughly, in bytes.
pub(super) const ENTRY_BYTES: usize = 320;
/// What a topic of a transaction costs beside its name, roughly, in bytes.
pub(super) const TOPIC_BYTES: usize = 96;
/// What a partition of a transaction costs, roughly, in bytes.
pub(super) const PARTITION_BYTES: usize = 16;

// Four bytes a partition leave room for the topics' names.
const _: () = assert!(8 * PARTITIONS_PER_TRANSACTION_MAX < 2 * RECORD_BYTES_MAX);
// One record more than the bytes of a pass must still fit Kafka's default max.message.bytes.
const _: () = assert!(RECORD_BYTES_MAX + TIMER_BYTES_MAX < 1_000_000);

/// Settings. Times are in milliseconds and at least 1.
#[derive(Clone, Debug)]
pub struct TxnConfig {
    /// `transaction.max.timeout.ms`: a producer may not ask for more.
    pub transaction_max_timeout_ms: i32,
    /// `transactional.id.expiration.ms`: an id that is idle for so long is forgotten.
    pub transactional_id_expiration_ms: i64,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`: timed-out transactions are
    /// aborted at multiples of this.
    pub transaction_abort_timed_out_transaction_cleanup_interval_ms: i64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`: idle ids are forgotten at
    /// multiples of this.
    pub transaction_remove_expired_transaction_cleanup_interval_ms: i64,
    /// `add.partitions.to.txn.retry.backoff.max.ms`: how long a produce request that adds its
    /// partition waits for the markers of the transaction before.
    pub add_partitions_to_txn_retry_backoff_max_ms: i64,
    /// The finalized level of the feature `transaction.version`, 0 to 2. It decides what the
    /// coordinator's own aborts do; a client's requests decide for themselves by their versions.
    pub transaction_version: i16,
    /// Transactional ids of one partition, at most. A new one beyond gets
    /// COORDINATOR_NOT_AVAILABLE until others expire.
    pub transactional_ids_max: usize,
    /// Bytes of one partition's state, at most, roughly. What would grow it beyond gets
    /// COORDINATOR_NOT_AVAILABLE. The runtime moves it with what other partitions leave
    /// ([`super::Transactions::limit_bytes`]).
    pub state_bytes_max: usize,
}

impl Default for TxnConfig {
    fn default() -> TxnConfig {
        TxnConfig {
            transaction_max_timeout_ms: 15 * 60 * 1000,
            transactional_id_expiration_ms: 7 * 24 * 60 * 60 * 1000,
            transaction_abort_timed_out_transaction_cleanup_interval_ms: 10_000,
            transaction_remove_expired_transaction_cleanup_interval_ms: 60 * 60 * 1000,
            add_partitions_to_txn_retry_backoff_max_ms: 100,
            transaction_version: 2,
            transactional_ids_max: 100_000,
            state_bytes_max: 64 * 1024 * 1024,
        }
    }
}
