//! One partition as a state machine: its log, its leader epoch, its high watermark and who waits
//! for them.
//!
//! Invariants: touched by its shard alone; the high watermark is kept apart from the log's end and
//! never goes back; an acknowledgement is given only when the offset it stands for is durable (acks
//! = 1) or below the high watermark (acks = all). With one replica the two move together; the seam
//! between them is [`Partition::advance`].

mod verification;

use std::collections::VecDeque;
use std::sync::Arc;

use ringlog_storage::epochs::EpochEnd;
use ringlog_storage::producer::{Origin, ProducerError};
use ringlog_storage::transaction::Marker;
use ringlog_storage::{AppendError, Appended, Chunk, Log, LogConfig, Memory, ReadError, ReadPlan};
use ringlog_wire::Uuid;
use ringlog_wire::api::delete_records::HIGH_WATERMARK;
use ringlog_wire::batch::{Batch, BatchHeader};
use ringlog_wire::error::ErrorCode;

use crate::rules::TopicRules;
use crate::slab::Key;

pub use verification::{Guard, VERIFICATIONS_MAX, Verifications};

/// A topic's two names.
#[derive(Debug, PartialEq, Eq)]
pub struct TopicName {
    /// Its name.
    pub name: Box<str>,
    /// Its id (KIP-516).
    pub id: Uuid,
}

/// Which acknowledgement a producer asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// 0: none.
    None,
    /// 1: the leader's.
    Leader,
    /// -1: every in-sync replica's.
    All,
}

/// Which records a reader wants to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Everything that is replicated.
    #[default]
    Uncommitted,
    /// What is decided, and with it which transactions were aborted.
    Committed,
}

impl Isolation {
    /// What a request's level means: 1 is committed.
    pub fn of(level: i8) -> Isolation {
        if level == 1 { Isolation::Committed } else { Isolation::Uncommitted }
    }
}

/// What someone who waits has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// A part of a Produce request.
    Produce,
    /// A question of this very shard ([`crate::api::asks`]), about a marker.
    Marker,
}

/// Someone on some shard who waits for an offset; given back when it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// What for.
    pub what: WaitsFor,
    /// The shard on which the request waits.
    pub shard: usize,
    /// The request there.
    pub request: Key,
    /// The partition's place in that request.
    pub entry: u32,
    /// The first offset of what it wrote.
    pub base_offset: i64,
    /// The broker's time of it, where the topic takes that, else -1.
    pub log_append_time: i64,
}

/// A fetch on some shard that wants to know when the high watermark moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// The shard on which the fetch waits.
    pub shard: usize,
    /// The fetch there.
    pub request: Key,
}

/// A place in a fetch session on some shard, to be looked at when the partition moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionWatcher {
    /// The shard that has the session.
    pub shard: usize,
    /// The session there.
    pub session: Key,
    /// The partition's place in it.
    pub place: u32,
}

/// Events that [`Partition::advance`] found.
#[derive(Debug, Default)]
pub struct Advanced {
    /// Waiters whose offset is reached, or which fail with the code.
    pub acknowledged: Vec<(Waiter, ErrorCode)>,
    /// Watchers to wake.
    pub woken: Vec<Watcher>,
    /// Places in sessions to look at.
    pub moved: Vec<SessionWatcher>,
    /// Transactions that have just been ended here, in the order of the log, each with its marker's
    /// offset: a coordinator whose log this is hears of them before anything else is appended.
    pub ended: Vec<(Marker, i64)>,
}

/// See the module's head.
pub struct Partition<M: Memory> {
    /// Whose partition.
    pub topic: Arc<TopicName>,
    /// Which one.
    pub index: i32,
    /// The leader epoch under which this broker leads it.
    pub leader_epoch: i32,
    /// Its topic's rules.
    pub rules: TopicRules,
    /// Its records.
    pub log: Log<M>,
    high_watermark: i64,
    /// (exclusive end offset, who), ascending.
    leader_waiters: VecDeque<(i64, Waiter)>,
    all_waiters: VecDeque<(i64, Waiter)>,
    watchers: Vec<Watcher>,
    session_watchers: Vec<SessionWatcher>,
    verifications: Verifications,
}

type SliceOf<M> = <<M as Memory>::Chunk as Chunk>::Slice;

impl<M: Memory> Partition<M> {
    /// A partition whose log is open; all that the log holds is replicated, for there is one
    /// replica.
    pub fn new(
        topic: Arc<TopicName>,
        index: i32,
        leader_epoch: i32,
        rules: TopicRules,
        log: Log<M>,
    ) -> Partition<M> {
        let high_watermark = log.durable_offset();
        Partition {
            topic,
            index,
            leader_epoch,
            rules,
            log,
            high_watermark,
            leader_waiters: VecDeque::new(),
            all_waiters: VecDeque::new(),
            watchers: Vec::new(),
            session_watchers: Vec::new(),
            verifications: Verifications::default(),
        }
    }

    /// The topic's rules, the log's settings or the leader epoch have changed.
    pub fn reconfigure(&mut self, leader_epoch: i32, rules: TopicRules, config: LogConfig) {
        self.leader_epoch = leader_epoch;
        self.rules = rules;
        self.log.reconfigure(config);
    }

    /// The offset below which every in-sync replica holds everything.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// The offset below which everything is decided: what a reader of committed records may see.
    pub fn last_stable_offset(&self) -> i64 {
        self.log.last_stable_offset(self.high_watermark)
    }

    /// The offset below which a reader may see everything.
    pub fn readable_offset(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::Uncommitted => self.high_watermark,
            Isolation::Committed => self.last_stable_offset(),
        }
    }

    /// Whether a batch may be appended without asking its transaction's coordinator: it is in none,
    /// or that is open here already, or the topic does not ask (rule 33).
    pub fn transaction_is_verified(&self, header: &BatchHeader) -> bool {
        !header.is_transactional()
            || !header.has_producer_id()
            || !self.rules.verifies_transactions
            || self.log.has_open_transaction(header.producer_id, header.producer_epoch)
    }

    /// A batch's transaction is to be verified: under this guard.
    ///
    /// # Errors
    /// NOT_ENOUGH_REPLICAS when too many are: the client tries again.
    pub fn begin_verification(&mut self, header: &BatchHeader) -> Result<Guard, ErrorCode> {
        self.verifications.begin(header).ok_or(ErrorCode::NotEnoughReplicas)
    }

    /// The question that is on its way for that producer's transaction.
    pub fn verifying(&self, producer_id: i64, epoch: i16) -> Option<Key> {
        self.verifications.asked(producer_id, epoch)
    }

    /// The question under that guard is on its way, or answered.
    pub fn set_verifying(&mut self, producer_id: i64, guard: Guard, asked: Option<Key>) {
        self.verifications.set_asked(producer_id, guard, asked);
    }

    /// Appends a client's checked batch under the present leader epoch.
    ///
    /// # Errors
    /// Kafka's code; nothing was appended. INVALID_TXN_STATE for a batch whose transaction is to be
    /// verified first.
    pub fn append(
        &mut self,
        now_ms: i64,
        memory: &mut impl Memory<Chunk = M::Chunk>,
        batch: &Batch<'_>,
    ) -> Result<Appended, ErrorCode> {
        if !self.transaction_is_verified(batch.header()) {
            return Err(ErrorCode::InvalidTxnState);
        }
        self.append_from(Origin::Client, now_ms, memory, batch)
    }

    /// The same for a batch whose coordinator has answered, under that guard, that the partition is
    /// part of the transaction; `origin` says of which version.
    ///
    /// # Errors
    /// Kafka's code; nothing was appended.
    pub fn append_verified(
        &mut self,
        (guard, origin): (Guard, Origin),
        now_ms: i64,
        memory: &mut impl Memory<Chunk = M::Chunk>,
        batch: &Batch<'_>,
    ) -> Result<Appended, ErrorCode> {
        if !self.transaction_is_verified(batch.header()) {
            self.verifications.check(batch.header(), guard)?;
        }
        self.append_from(origin, now_ms, memory, batch)
    }

    /// Appends a checked batch of whatever origin; whether it may begin a transaction is the
    /// caller's to know.
    ///
    /// # Errors
    /// Kafka's code; nothing was appended.
    pub fn append_from(
        &mut self,
        origin: Origin,
        now_ms: i64,
        memory: &mut impl Memory<Chunk = M::Chunk>,
        batch: &Batch<'_>,
    ) -> Result<Appended, ErrorCode> {
        let appended = self.log.append_from(origin, now_ms, memory, batch, self.leader_epoch);
        let appended = appended.map_err(append_error)?;
        if batch.header().is_transactional() && !appended.duplicate {
            self.verifications.end(batch.header().producer_id);
        }
        Ok(appended)
    }

    /// Appends a decision of a coordinator of this broker; a transaction that it is part of was
    /// verified ([`Partition::begin_own`]).
    ///
    /// # Errors
    /// Kafka's code; nothing was appended.
    pub fn append_own(
        &mut self,
        now_ms: i64,
        memory: &mut impl Memory<Chunk = M::Chunk>,
        batch: &Batch<'_>,
    ) -> Result<Appended, ErrorCode> {
        self.append_from(Origin::Coordinator, now_ms, memory, batch)
    }

    /// Whether [`Partition::append_own`] takes this producer's transactional records. With a guard:
    /// when the transaction's coordinator has answered under it ([`Partition::check_own`]).
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH for one that is fenced here, COORDINATOR_LOAD_IN_PROGRESS when too
    /// many are being verified.
    pub fn begin_own(
        &mut self,
        producer_id: i64,
        producer_epoch: i16,
    ) -> Result<Option<Guard>, ErrorCode> {
        self.check_producer_epoch(producer_id, producer_epoch)?;
        if self.log.has_open_transaction(producer_id, producer_epoch) {
            return Ok(None);
        }
        if !self.log.producers().may_take(producer_id) {
            return Err(ErrorCode::CoordinatorLoadInProgress);
        }
        let guard = self.verifications.begin_own(producer_id, producer_epoch);
        guard.map(Some).ok_or(ErrorCode::CoordinatorLoadInProgress)
    }

    /// Whether it takes them now that the transaction's coordinator has said yes under that guard.
    ///
    /// # Errors
    /// INVALID_TXN_STATE when the transaction has ended since: nobody would end what came now.
    /// INVALID_PRODUCER_EPOCH for one that is fenced here.
    pub fn check_own(
        &self,
        producer_id: i64,
        producer_epoch: i16,
        guard: Guard,
    ) -> Result<(), ErrorCode> {
        self.check_producer_epoch(producer_id, producer_epoch)?;
        match self.log.has_open_transaction(producer_id, producer_epoch) {
            true => Ok(()),
            false => self.verifications.check_own(producer_id, guard),
        }
    }

    fn check_producer_epoch(&self, producer_id: i64, producer_epoch: i16) -> Result<(), ErrorCode> {
        let known = self.log.producers().get(producer_id);
        match known.is_some_and(|known| known.epoch > producer_epoch) {
            true => Err(ErrorCode::InvalidProducerEpoch),
            false => Ok(()),
        }
    }

    /// Ends a producer's transaction here, for a coordinator of that transaction version (rule 35).
    ///
    /// # Errors
    /// Kafka's code; nothing was appended.
    pub fn append_marker(
        &mut self,
        now_ms: i64,
        memory: &mut impl Memory<Chunk = M::Chunk>,
        marker: &Marker,
        version: i8,
        out: &mut Advanced,
    ) -> Result<Appended, ErrorCode> {
        let appended = self.log.append_marker(now_ms, memory, marker, version, self.leader_epoch);
        let appended = appended.map_err(append_error)?;
        self.verifications.end(marker.producer_id);
        out.ended.push((*marker, appended.base_offset));
        Ok(appended)
    }

    /// `waiter` is given back by [`Partition::advance`] once everything below `end` is
    /// acknowledged.
    pub fn wait(&mut self, acks: Acks, end: i64, waiter: Waiter) {
        let queue = match acks {
            Acks::None => return,
            Acks::Leader => &mut self.leader_waiters,
            Acks::All => &mut self.all_waiters,
        };
        // A duplicate waits for an offset that others already passed: keep the queue in order.
        let at = queue.partition_point(|(other, _)| *other <= end);
        queue.insert(at, (end, waiter));
    }

    /// `watcher` is given back by [`Partition::advance`] when the high watermark next moves.
    pub fn watch(&mut self, watcher: Watcher) {
        // A fetch that took the place of an earlier one takes over what that one left behind.
        let same = |other: &&mut Watcher| {
            other.shard == watcher.shard && other.request.place() == watcher.request.place()
        };
        match self.watchers.iter_mut().find(same) {
            Some(other) => *other = watcher,
            None => self.watchers.push(watcher),
        }
    }

    /// The same for a place in a session. Nobody takes it back: a session that is gone does not
    /// hear of it, and the one that takes its place in the table takes this over.
    pub fn watch_session(&mut self, watcher: SessionWatcher) {
        let same = |other: &&mut SessionWatcher| {
            other.shard == watcher.shard && other.session.place() == watcher.session.place()
        };
        match self.session_watchers.iter_mut().find(same) {
            Some(other) => *other = watcher,
            None => self.session_watchers.push(watcher),
        }
    }

    fn wake_all(&mut self, out: &mut Advanced) {
        out.woken.append(&mut self.watchers);
        out.moved.append(&mut self.session_watchers);
    }

    /// `watcher` no longer cares.
    pub fn unwatch(&mut self, watcher: Watcher) {
        self.watchers.retain(|other| *other != watcher);
    }

    /// Takes note of what the log has made durable, and says who is served by it.
    pub fn advance(&mut self, out: &mut Advanced) {
        if self.log.is_failed() {
            return self.fail(ErrorCode::KafkaStorageError, out);
        }
        let durable = self.log.durable_offset();
        // The in-sync set is this broker: what it holds durably, every replica holds. What was
        // given out under a weaker durability than the topic has now stays given out.
        let high_watermark = durable.max(self.high_watermark);
        release(&mut self.leader_waiters, durable, out);
        release(&mut self.all_waiters, high_watermark, out);
        if high_watermark > self.high_watermark {
            self.high_watermark = high_watermark;
            self.log.replicated(high_watermark);
            self.wake_all(out);
        }
    }

    /// Everyone who waits is told `code`.
    pub fn fail(&mut self, code: ErrorCode, out: &mut Advanced) {
        for (_, waiter) in self.leader_waiters.drain(..).chain(self.all_waiters.drain(..)) {
            out.acknowledged.push((waiter, code));
        }
        self.wake_all(out);
    }

    /// What a fetch of `from` may be given now: whole batches below what it may see.
    ///
    /// # Errors
    /// Kafka's code (rule 48).
    pub fn read(
        &self,
        from: i64,
        isolation: Isolation,
        bytes_max: usize,
        min_one: bool,
    ) -> Result<ReadPlan<SliceOf<M>>, ErrorCode> {
        if self.log.is_failed() {
            return Err(ErrorCode::KafkaStorageError);
        }
        if from > self.log.end_offset() || from < self.log.log_start_offset() {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        let upto = self.readable_offset(isolation);
        if from >= upto {
            return Ok(ReadPlan::Empty);
        }
        self.log.read(from, upto, bytes_max, min_one).map_err(read_error)
    }

    /// Deletes every record before `before`, -1 = the high watermark; gives back the first offset
    /// that is left. Whoever waits for more is woken: its offset may be gone (rule 64).
    ///
    /// # Errors
    /// POLICY_VIOLATION for a log that is compacted only, OFFSET_OUT_OF_RANGE above the high
    /// watermark, KAFKA_STORAGE_ERROR for a log that failed.
    pub fn delete_records(&mut self, before: i64, out: &mut Advanced) -> Result<i64, ErrorCode> {
        if self.log.is_failed() {
            return Err(ErrorCode::KafkaStorageError);
        }
        if self.rules.compacted && !self.rules.deletes {
            return Err(ErrorCode::PolicyViolation);
        }
        let before = match before {
            HIGH_WATERMARK => self.high_watermark,
            before => before,
        };
        if before < 0 || before > self.high_watermark {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        if before > self.log.log_start_offset() {
            self.log.advance_log_start(before);
            self.wake_all(out);
        }
        Ok(self.log.log_start_offset())
    }

    /// Deletes what lies before `offset`, which has been written again behind it.
    pub fn drop_before(&mut self, offset: i64, out: &mut Advanced) {
        if !self.log.is_failed() && offset > self.log.log_start_offset() {
            assert!(offset <= self.high_watermark, "only what is durable stands for what was");
            self.log.advance_log_start(offset);
            self.wake_all(out);
        }
    }

    /// Where a follower whose last record is of `epoch` must cut its log before it fetches `offset`
    /// (KIP-595): (epoch, end offset). -1 is not checked.
    pub fn diverging(&self, epoch: i32, offset: i64) -> Option<(i32, i64)> {
        if epoch < 0 {
            return None;
        }
        let end = self.end_of_epoch(epoch)?;
        (end.epoch < epoch || end.end_offset < offset).then_some((end.epoch, end.end_offset))
    }

    /// Where the largest epoch at or below `epoch` ends; `None` when there is none, or none that
    /// new (rule 52). The present epoch is known from its first moment, before its first batch.
    pub fn end_of_epoch(&self, epoch: i32) -> Option<EpochEnd> {
        let end_offset = self.log.end_offset();
        let written = self.log.epochs().latest().map_or(-1, |latest| latest.epoch);
        match epoch {
            e if e == self.leader_epoch => Some(EpochEnd { epoch, end_offset }),
            // The present one has no batch yet: the one before it ends where the log does.
            e if (written + 1..self.leader_epoch).contains(&e) => {
                Some(EpochEnd { epoch: if written < 0 { e } else { written }, end_offset })
            }
            e => self.log.end_offset_for_epoch(e),
        }
    }

    /// Checks the leader epoch that a client believes in (KIP-320); -1 is not checked (rule 51).
    pub fn check_epoch(&self, epoch: i32) -> Result<(), ErrorCode> {
        match epoch {
            -1 => Ok(()),
            e if e < self.leader_epoch => Err(ErrorCode::FencedLeaderEpoch),
            e if e > self.leader_epoch => Err(ErrorCode::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }
}

fn release(queue: &mut VecDeque<(i64, Waiter)>, reached: i64, out: &mut Advanced) {
    while queue.front().is_some_and(|(end, _)| *end <= reached) {
        let (_, waiter) = queue.pop_front().expect("just seen");
        out.acknowledged.push((waiter, ErrorCode::None));
    }
}

/// The place where the log's errors get their Kafka codes.
fn append_error(error: AppendError) -> ErrorCode {
    match error {
        AppendError::Producer(ProducerError::OutOfOrderSequence { .. }) => {
            ErrorCode::OutOfOrderSequenceNumber
        }
        AppendError::Producer(ProducerError::InvalidEpoch { .. }) => {
            ErrorCode::InvalidProducerEpoch
        }
        AppendError::Producer(ProducerError::InvalidTxnState) => ErrorCode::InvalidTxnState,
        AppendError::Producer(ProducerError::CoordinatorFenced { .. }) => {
            ErrorCode::TransactionCoordinatorFenced
        }
        AppendError::TooLarge { .. } => ErrorCode::RecordListTooLarge,
        AppendError::Malformed => ErrorCode::InvalidRecord,
        // Nothing was appended: retriable, and no metadata refresh would help.
        AppendError::NoMemory => ErrorCode::RequestTimedOut,
        _ => ErrorCode::KafkaStorageError,
    }
}

/// The place where the log's read errors get their Kafka codes.
pub fn read_error(error: ReadError) -> ErrorCode {
    match error {
        ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        _ => ErrorCode::KafkaStorageError,
    }
}

#[cfg(test)]
mod tests {
    use ringlog_storage::sim::{Fault, FaultPoint, SimDisk, SimMemory};
    use ringlog_storage::{DiskErrorKind, Durability, LogConfig, RecoveryHint};
    use ringlog_wire::batch::{BatchBuilder, BatchOptions};

    use super::*;

    /// A partition, its disk, and what the disk has not done yet.
    struct Bench {
        disk: SimDisk,
        memory: SimMemory,
        partition: Partition<SimMemory>,
    }

    impl Bench {
        fn new(durability: Durability) -> Bench {
            let mut disk = SimDisk::new(1);
            let config = LogConfig {
                segment_bytes: 1 << 20,
                allocate_bytes: 64 << 10,
                durability,
                ..LogConfig::default()
            };
            let hint = RecoveryHint { clean: false, recovery_point: 0, log_start: 0 };
            let id = Uuid([1; 16]);
            let (log, _) = Log::open(&mut disk, "t-0", config, hint, id).expect("a new log");
            disk.attach(log.dir());
            let name = Arc::new(TopicName { name: "t".into(), id });
            let partition = Partition::new(name, 0, 3, TopicRules::default(), log);
            Bench { disk, memory: SimMemory::new(1 << 20), partition }
        }

        /// Appends `count` records of an idempotent producer.
        fn append(&mut self, sequence: i32, count: i32) -> Result<Appended, ErrorCode> {
            let mut builder = BatchBuilder::new(BatchOptions {
                producer_id: 9,
                producer_epoch: 1,
                base_sequence: sequence,
                ..BatchOptions::default()
            });
            (0..count).for_each(|_| builder.push(1000, None, Some(b"v"), &[]));
            let bytes = builder.finish();
            let (batch, _) = Batch::parse(&bytes).expect("a good batch");
            self.partition.append(1000, &mut self.memory, &batch)
        }

        /// The disk does all that it is asked.
        fn settle(&mut self) {
            loop {
                let mut ops = Vec::new();
                self.partition.log.take_ops(&mut ops);
                ops.into_iter().for_each(|op| self.disk.submit(op));
                match self.disk.step() {
                    Some(done) => self.partition.log.done(done),
                    None => return,
                }
            }
        }

        fn advance(&mut self) -> (Vec<(u32, ErrorCode)>, usize) {
            let mut out = Advanced::default();
            self.partition.advance(&mut out);
            let told = out.acknowledged.iter().map(|(waiter, code)| (waiter.entry, *code));
            (told.collect(), out.woken.len())
        }
    }

    fn waiter(entry: u32) -> Waiter {
        Waiter {
            what: WaitsFor::Produce,
            shard: 0,
            request: Key::from_u64(1),
            entry,
            base_offset: 0,
            log_append_time: -1,
        }
    }

    fn watcher(request: u64) -> Watcher {
        Watcher { shard: 0, request: Key::from_u64(request) }
    }

    /// A batch of one record of producer 9 in a transaction.
    fn transactional(sequence: i32) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchOptions {
            producer_id: 9,
            producer_epoch: 1,
            base_sequence: sequence,
            transactional: true,
            ..BatchOptions::default()
        });
        builder.push(1000, None, Some(b"v"), &[]);
        builder.finish()
    }

    #[test]
    fn rule_33_a_transaction_begins_when_its_coordinator_knows_of_it() {
        let mut bench = Bench::new(Durability::Written);
        let (first, second) = (transactional(0), transactional(1));
        let parse = |bytes| Batch::parse(bytes).expect("a good batch").0;
        let (first, second) = (parse(&first), parse(&second));
        let Bench { memory, partition, .. } = &mut bench;
        let refused = partition.append(1, memory, &first);
        assert_eq!(refused, Err(ErrorCode::InvalidTxnState));
        let guard = partition.begin_verification(first.header()).expect("room");
        let verified = (guard, Origin::ClientOfVersion2);
        let early = partition.append_verified(verified, 1, memory, &second);
        assert_eq!(early, Err(ErrorCode::OutOfOrderSequenceNumber));
        assert!(partition.append_verified(verified, 1, memory, &first).is_ok());
        assert!(partition.transaction_is_verified(second.header()), "it is open now");
        assert!(partition.append(1, memory, &second).is_ok());
        // It ends: what was verified is over, and with it the guard.
        let marker =
            Marker { producer_id: 9, producer_epoch: 1, committed: true, coordinator_epoch: 0 };
        let mut out = Advanced::default();
        partition.append_marker(1, memory, &marker, 1, &mut out).expect("appended");
        assert_eq!(out.ended, [(marker, 2)]);
        let third = transactional(2);
        let late = partition.append_verified(verified, 1, memory, &parse(&third));
        assert_eq!(late, Err(ErrorCode::InvalidTxnState));
        partition.rules.verifies_transactions = false;
        assert!(partition.append(1, memory, &parse(&third)).is_ok(), "nobody asks");
    }

    #[test]
    fn rule_33_offsets_of_a_transaction_that_has_ended_meanwhile_open_no_other() {
        let mut bench = Bench::new(Durability::Written);
        let Bench { memory, partition, .. } = &mut bench;
        let guard = partition.begin_own(9, 1).expect("it may").expect("nothing is open");
        assert_eq!(partition.check_own(9, 1, guard), Ok(()));
        // Its coordinator says yes; before that is heard, it ends under the same epoch.
        let marker =
            Marker { producer_id: 9, producer_epoch: 1, committed: false, coordinator_epoch: 0 };
        let mut out = Advanced::default();
        partition.append_marker(1, memory, &marker, 1, &mut out).expect("appended");
        assert_eq!(partition.check_own(9, 1, guard), Err(ErrorCode::InvalidTxnState));
        // The next one is asked about anew, and not once it is open.
        let guard = partition.begin_own(9, 1).expect("it may").expect("nothing is open");
        assert_eq!(partition.check_own(9, 1, guard), Ok(()));
        let bytes = transactional(0);
        let (batch, _) = Batch::parse(&bytes).expect("a good batch");
        partition.append_own(1, memory, &batch).expect("appended");
        assert_eq!(partition.begin_own(9, 1), Ok(None));
        assert_eq!(partition.check_own(9, 1, guard), Ok(()));
        assert_eq!(partition.begin_own(9, 0), Err(ErrorCode::InvalidProducerEpoch));
    }

    #[test]
    fn rule_38_committed_readers_stop_where_something_is_undecided() {
        let mut bench = Bench::new(Durability::Written);
        bench.partition.rules.verifies_transactions = false;
        let bytes = transactional(0);
        let (batch, _) = Batch::parse(&bytes).expect("a good batch");
        bench.partition.append(1000, &mut bench.memory, &batch).expect("appended");
        bench.settle();
        bench.advance();
        let both = [Isolation::Uncommitted, Isolation::Committed];
        assert_eq!(both.map(|it| bench.partition.readable_offset(it)), [1, 0]);
        let read = bench.partition.read(0, Isolation::Committed, 1000, true);
        assert!(matches!(read, Ok(ReadPlan::Empty)));
        let marker =
            Marker { producer_id: 9, producer_epoch: 1, committed: false, coordinator_epoch: 0 };
        let memory = &mut bench.memory;
        let out = &mut Advanced::default();
        bench.partition.append_marker(1, memory, &marker, 1, out).expect("appended");
        assert_eq!(bench.partition.last_stable_offset(), 0, "the marker may still be lost");
        bench.partition.watch(watcher(1));
        bench.settle();
        assert_eq!(bench.advance(), (vec![], 1), "its reader is woken");
        assert_eq!(both.map(|it| bench.partition.readable_offset(it)), [2, 2]);
    }

    #[test]
    fn acknowledged_when_written_and_not_before() {
        for acks in [Acks::Leader, Acks::All] {
            let mut bench = Bench::new(Durability::Written);
            let appended = bench.append(0, 2).expect("appended");
            assert_eq!((appended.base_offset, appended.last_offset), (0, 1));
            bench.partition.wait(acks, 2, waiter(0));
            bench.partition.watch(watcher(1));
            assert_eq!(bench.advance(), (vec![], 0));
            assert_eq!(bench.partition.high_watermark(), 0);
            assert!(matches!(
                bench.partition.read(0, Isolation::Uncommitted, 1000, true),
                Ok(ReadPlan::Empty)
            ));
            bench.settle();
            assert_eq!(bench.advance(), (vec![(0, ErrorCode::None)], 1), "{acks:?}");
            assert_eq!(bench.partition.high_watermark(), 2);
            assert!(matches!(
                bench.partition.read(0, Isolation::Uncommitted, 1000, true),
                Ok(ReadPlan::Memory { .. })
            ));
            // Everyone is told once.
            assert_eq!(bench.advance(), (vec![], 0));
        }
    }

    #[test]
    fn memory_durability_acknowledges_at_once_and_acks_0_never() {
        let mut bench = Bench::new(Durability::Memory);
        bench.append(0, 1).expect("appended");
        bench.partition.wait(Acks::None, 1, waiter(0));
        bench.partition.wait(Acks::All, 1, waiter(1));
        assert_eq!(bench.advance(), (vec![(1, ErrorCode::None)], 0));
    }

    #[test]
    fn waiters_are_told_in_the_order_of_their_offsets() {
        let mut bench = Bench::new(Durability::Written);
        bench.append(0, 1).expect("appended");
        bench.append(1, 1).expect("appended");
        bench.partition.wait(Acks::All, 1, waiter(0));
        bench.partition.wait(Acks::All, 2, waiter(1));
        // A duplicate of the first comes while both wait: it waits for the first's offset.
        let again = bench.append(0, 1).expect("a duplicate");
        assert_eq!((again.base_offset, again.duplicate), (0, true));
        bench.partition.wait(Acks::All, again.last_offset + 1, waiter(2));
        bench.settle();
        let none = ErrorCode::None;
        assert_eq!(bench.advance().0, [(0, none), (2, none), (1, none)]);
        // One that comes later still is acknowledged at the next look.
        bench.partition.wait(Acks::Leader, 1, waiter(3));
        assert_eq!(bench.advance().0, [(3, none)]);
    }

    #[test]
    fn a_watcher_is_woken_once_and_may_leave() {
        let mut bench = Bench::new(Durability::Written);
        for request in [1, 1, 2, 3] {
            bench.partition.watch(watcher(request));
        }
        bench.partition.unwatch(watcher(2));
        assert_eq!(bench.advance().1, 0, "nothing moved");
        bench.append(0, 1).expect("appended");
        bench.settle();
        assert_eq!(bench.advance().1, 2);
        bench.append(1, 1).expect("appended");
        bench.settle();
        assert_eq!(bench.advance().1, 0);
    }

    #[test]
    fn a_failed_write_is_told_to_all_and_latches() {
        let mut bench = Bench::new(Durability::Written);
        bench.append(0, 1).expect("appended");
        bench.settle();
        bench.advance();
        let next = bench.disk.ops_count();
        (next..next + 9).for_each(|op| {
            bench.disk.inject(FaultPoint::Op(op), Fault::Fail(DiskErrorKind::NoSpace));
        });
        bench.append(1, 1).expect("appended");
        bench.partition.wait(Acks::Leader, 2, waiter(0));
        bench.partition.wait(Acks::All, 2, waiter(1));
        bench.partition.watch(watcher(1));
        bench.settle();
        let failed = ErrorCode::KafkaStorageError;
        assert_eq!(bench.advance(), (vec![(0, failed), (1, failed)], 1));
        assert_eq!(bench.partition.high_watermark(), 1, "what was acknowledged stays");
        assert_eq!(bench.append(2, 1).err(), Some(failed));
        assert_eq!(bench.partition.read(0, Isolation::Uncommitted, 1000, true).err(), Some(failed));
    }

    #[test]
    fn producers_are_refused_with_kafkas_codes() {
        let mut bench = Bench::new(Durability::Memory);
        assert_eq!(bench.append(0, 1).map(|a| a.base_offset), Ok(0));
        assert_eq!(bench.append(2, 1).err(), Some(ErrorCode::OutOfOrderSequenceNumber));
        assert_eq!(bench.append(1, 1).map(|a| a.base_offset), Ok(1));
    }

    #[test]
    fn offsets_and_epochs_have_bounds() {
        let mut bench = Bench::new(Durability::Memory);
        bench.append(0, 2).expect("appended");
        bench.advance();
        let cases = [(-1, true), (0, false), (2, false), (3, true)];
        for (from, out_of_range) in cases {
            let refused = bench.partition.read(from, Isolation::Uncommitted, 1000, true).err();
            assert_eq!(refused, out_of_range.then_some(ErrorCode::OffsetOutOfRange), "{from}");
        }
        let check = |epoch| bench.partition.check_epoch(epoch);
        assert_eq!(check(-1), Ok(()));
        assert_eq!(check(3), Ok(()));
        assert_eq!(check(2), Err(ErrorCode::FencedLeaderEpoch));
        assert_eq!(check(4), Err(ErrorCode::UnknownLeaderEpoch));
    }
}
