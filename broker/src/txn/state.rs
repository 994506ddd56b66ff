//! One transactional id: what the log says of it, and the ways it may change.
//!
//! ```text
//! EMPTY ──add──▶ ONGOING ──end──▶ PREPARE_COMMIT ──markers──▶ COMPLETE_COMMIT ─┐
//!   ▲  ▲            ▲  └──end, fence, timeout──▶ PREPARE_ABORT ──▶ COMPLETE_ABORT ─┤
//!   └──┴──init──────┴──add──────────────────────────────────────────────────────┘
//! ```
//!
//! Invariants: a change is a whole new [`Transaction`]; nothing is changed in place. Partitions
//! are only there while ONGOING or PREPARE_*. An epoch never goes back under one producer id.

use std::collections::{BTreeMap, BTreeSet};

/// No producer id.
pub const NO_PRODUCER_ID: i64 = -1;
/// No epoch.
pub const NO_PRODUCER_EPOCH: i16 = -1;
/// From this epoch on, a producer gets a new id: the last epoch is kept for fencing.
pub const EPOCH_EXHAUSTED: i16 = i16::MAX - 1;
/// From this transaction version on, each transaction has an epoch of its own (KIP-890).
pub const EPOCH_BUMP_SINCE: i16 = 2;

/// Partitions by topic.
pub type TopicPartitions = BTreeMap<String, BTreeSet<i32>>;

/// A transaction's state. The numbers are those of Kafka's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i8)]
pub enum State {
    /// There was no transaction yet under this producer.
    Empty = 0,
    /// It is open.
    Ongoing = 1,
    /// It is committed; the markers are being written.
    PrepareCommit = 2,
    /// It is aborted; the markers are being written.
    PrepareAbort = 3,
    /// It is committed everywhere.
    CompleteCommit = 4,
    /// It is aborted everywhere.
    CompleteAbort = 5,
    /// The id is being forgotten. Never kept: here that is one step.
    Dead = 6,
    /// The producer is being fenced. Never kept: here that is one step.
    PrepareEpochFence = 7,
}

impl State {
    /// Every state.
    pub const ALL: [State; 8] = [
        State::Empty,
        State::Ongoing,
        State::PrepareCommit,
        State::PrepareAbort,
        State::CompleteCommit,
        State::CompleteAbort,
        State::Dead,
        State::PrepareEpochFence,
    ];

    /// The state with a number.
    pub fn from_id(id: i8) -> Option<State> {
        State::ALL.into_iter().find(|&state| state as i8 == id)
    }

    /// The state with a name, as tools write it.
    pub fn from_name(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.name() == name)
    }

    /// The name that tools show.
    pub const fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::Ongoing => "Ongoing",
            State::PrepareCommit => "PrepareCommit",
            State::PrepareAbort => "PrepareAbort",
            State::CompleteCommit => "CompleteCommit",
            State::CompleteAbort => "CompleteAbort",
            State::Dead => "Dead",
            State::PrepareEpochFence => "PrepareEpochFence",
        }
    }

    /// True while markers are being written.
    pub const fn is_prepared(self) -> bool {
        matches!(self, State::PrepareCommit | State::PrepareAbort)
    }
}

/// What is known of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Where it stands.
    pub state: State,
    /// The producer's id.
    pub producer_id: i64,
    /// The id that the producer had before the last change; the same one mostly, -1 at first.
    pub previous_producer_id: i64,
    /// The id that the producer gets when the markers are written; -1 when it keeps its own.
    pub next_producer_id: i64,
    /// The producer's epoch; while PREPARE_*, that of the markers. -1 before the first answer.
    pub producer_epoch: i16,
    /// The epoch before, when its holder may still ask for the next one; -1 otherwise. As in
    /// Kafka it is not in the log, so a retry that spans a restart is fenced.
    pub last_producer_epoch: i16,
    /// `transaction.timeout.ms` of the producer.
    pub timeout_ms: i32,
    /// The partitions of the transaction.
    pub partitions: TopicPartitions,
    /// When the transaction began, -1 before the first one.
    pub start_ms: i64,
    /// When the id changed last.
    pub update_ms: i64,
    /// The transaction version of the last change of a transaction, 0 or 2.
    pub client_version: i16,
}

impl Transaction {
    /// A transactional id that was never seen.
    pub fn new(producer_id: i64, timeout_ms: i32, now_ms: i64) -> Transaction {
        Transaction {
            state: State::Empty,
            producer_id,
            previous_producer_id: NO_PRODUCER_ID,
            next_producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            last_producer_epoch: NO_PRODUCER_EPOCH,
            timeout_ms,
            partitions: TopicPartitions::new(),
            start_ms: -1,
            update_ms: now_ms,
            client_version: 0,
        }
    }

    /// True when the producer must get a new id for its next epoch.
    pub fn is_exhausted(&self) -> bool {
        self.producer_epoch >= EPOCH_EXHAUSTED
    }

    /// How many partitions it has.
    pub fn partition_count(&self) -> usize {
        self.partitions.values().map(BTreeSet::len).sum()
    }

    fn moved(&self, state: State, now_ms: i64) -> Transaction {
        let previous_producer_id = self.producer_id;
        Transaction { state, previous_producer_id, update_ms: now_ms, ..self.clone() }
    }

    /// The producer begins anew under an id and epoch.
    pub(super) fn initialized(&self, given: Given, timeout_ms: i32, now_ms: i64) -> Transaction {
        Transaction {
            producer_id: given.producer_id,
            producer_epoch: given.producer_epoch,
            last_producer_epoch: given.last_producer_epoch,
            timeout_ms,
            partitions: TopicPartitions::new(),
            start_ms: -1,
            ..self.moved(State::Empty, now_ms)
        }
    }

    /// Partitions are added; the first ones begin a transaction.
    pub(super) fn with_partitions(
        &self,
        added: &TopicPartitions,
        version: i16,
        now_ms: i64,
    ) -> Transaction {
        let mut new = self.moved(State::Ongoing, now_ms);
        if self.state != State::Ongoing {
            new.start_ms = now_ms;
        }
        new.client_version = version;
        for (topic, indexes) in added {
            new.partitions.entry(topic.clone()).or_default().extend(indexes);
        }
        new
    }

    /// The transaction is decided. `next_producer_id` is -1 unless the epochs are used up.
    pub(super) fn prepared(&self, end: Ending, next_producer_id: i64, now_ms: i64) -> Transaction {
        let state = if end.committed { State::PrepareCommit } else { State::PrepareAbort };
        let mut new = self.moved(state, now_ms);
        if end.version >= EPOCH_BUMP_SINCE {
            new.last_producer_epoch = self.producer_epoch;
            new.producer_epoch = self.producer_epoch.saturating_add(1);
        } else if end.fence {
            new.last_producer_epoch = NO_PRODUCER_EPOCH;
            new.producer_epoch = self.producer_epoch.saturating_add(1);
        }
        if self.state != State::Ongoing {
            // An abort of nothing: it needs a beginning all the same.
            new.start_ms = now_ms;
        }
        new.next_producer_id = next_producer_id;
        new.client_version = if end.version >= EPOCH_BUMP_SINCE { end.version } else { 0 };
        new
    }

    /// Every marker is written.
    pub(super) fn completed(&self, now_ms: i64) -> Transaction {
        assert!(self.state.is_prepared(), "only a decided transaction completes");
        let state = match self.state {
            State::PrepareCommit => State::CompleteCommit,
            _ => State::CompleteAbort,
        };
        let mut new = self.moved(state, now_ms);
        (new.producer_id, new.producer_epoch) = self.identity_after();
        new.next_producer_id = NO_PRODUCER_ID;
        new.partitions = TopicPartitions::new();
        new
    }

    /// The producer id and epoch that the producer has once the markers are written.
    pub(super) fn identity_after(&self) -> (i64, i16) {
        if self.client_version >= EPOCH_BUMP_SINCE && self.next_producer_id != NO_PRODUCER_ID {
            (self.next_producer_id, 0)
        } else {
            (self.producer_id, self.producer_epoch)
        }
    }
}

/// What InitProducerId gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) last_producer_epoch: i16,
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) committed: bool,
    /// The transaction version: from 2 on, each transaction has an epoch of its own.
    pub(super) version: i16,
    /// The coordinator's own doing: the producer is shut out, whatever the version.
    pub(super) fence: bool,
}

/// Partitions as pairs, in order.
pub fn pairs(partitions: &TopicPartitions) -> Vec<(String, i32)> {
    let of_topic = |(topic, indexes): (&String, &BTreeSet<i32>)| {
        indexes.iter().map(|&index| (topic.clone(), index)).collect::<Vec<_>>()
    };
    partitions.iter().flat_map(of_topic).collect()
}

/// Pairs by topic.
pub fn by_topic(pairs: impl IntoIterator<Item = (String, i32)>) -> TopicPartitions {
    let mut partitions = TopicPartitions::new();
    for (topic, index) in pairs {
        partitions.entry(topic).or_default().insert(index);
    }
    partitions
}

/// Takes one partition out. True when it was there.
pub(super) fn take(partitions: &mut TopicPartitions, topic: &str, index: i32) -> bool {
    let Some(indexes) = partitions.get_mut(topic) else { return false };
    let was_there = indexes.remove(&index);
    if indexes.is_empty() {
        partitions.remove(topic);
    }
    was_there
}
