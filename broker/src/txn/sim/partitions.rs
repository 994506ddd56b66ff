//! The partitions that transactions write to, by Kafka's rules, in memory.

use std::collections::BTreeMap;

use ringlog_wire::error::ErrorCode;

/// Topic and number of each partition.
pub(super) const PARTITIONS: [(&str, i32); 5] =
    [("a", 0), ("a", 1), ("b", 0), ("__consumer_offsets", 3), ("gone", 0)];
/// The one whose topic may be deleted.
pub(super) const DELETED: usize = 4;
/// The one that is a group's offsets.
pub(super) const OFFSETS: usize = 3;

/// A record that a producer wants written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write {
    pub(super) partition: usize,
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    /// The transaction, counted over all producers.
    pub(super) txn: usize,
    pub(super) second: bool,
    /// Markers of the producer when the verification began: one since then makes it void.
    pub(super) guard: usize,
}

/// What a partition knows of a producer id.
#[derive(Default)]
struct ProducerState {
    epoch: i16,
    coordinator_epoch: i32,
    markers: usize,
    open: Option<usize>,
}

#[derive(Default)]
pub(super) struct Partition {
    producers: BTreeMap<i64, ProducerState>,
    /// By transaction: how it was decided here; nothing yet while it is open.
    pub(super) decided: BTreeMap<usize, Option<bool>>,
    pub(super) deleted: bool,
}

/// A marker on its way.
#[derive(Clone, Debug)]
pub(super) struct Marker {
    pub(super) transactional_id: String,
    pub(super) partition: usize,
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) coordinator_epoch: i32,
    pub(super) committed: bool,
    pub(super) transaction_version: i8,
}

impl Partition {
    /// True when the producer's transaction is open here, so that nobody needs to be asked.
    pub(super) fn is_open_for(&self, write: &Write) -> bool {
        let state = self.producers.get(&write.producer_id);
        state.is_some_and(|state| state.open.is_some() && state.epoch == write.producer_epoch)
    }

    pub(super) fn markers(&self, producer_id: i64) -> usize {
        self.producers.get(&producer_id).map_or(0, |state| state.markers)
    }

    pub(super) fn append(&mut self, write: &Write) -> ErrorCode {
        if self.deleted {
            return ErrorCode::UnknownTopicOrPartition;
        }
        let new = ProducerState { epoch: write.producer_epoch, ..ProducerState::default() };
        let state = self.producers.entry(write.producer_id).or_insert(new);
        if write.producer_epoch < state.epoch {
            return ErrorCode::InvalidProducerEpoch;
        }
        match state.open {
            None if write.guard != state.markers => return ErrorCode::InvalidTxnState,
            None => {
                let before = self.decided.insert(write.txn, None);
                assert_eq!(before, None, "half visible: {} begins again here", write.txn);
                state.open = Some(write.txn);
            }
            Some(open) => assert_eq!(open, write.txn, "half visible: two transactions are one"),
        }
        state.epoch = write.producer_epoch;
        ErrorCode::None
    }

    pub(super) fn mark(&mut self, marker: &Marker) -> ErrorCode {
        if self.deleted {
            return ErrorCode::UnknownTopicOrPartition;
        }
        let new = ProducerState { epoch: -1, ..ProducerState::default() };
        let state = self.producers.entry(marker.producer_id).or_insert(new);
        if marker.coordinator_epoch < state.coordinator_epoch {
            return ErrorCode::TransactionCoordinatorFenced;
        }
        let retried = marker.producer_epoch == state.epoch && state.open.is_none();
        let fits = match marker.transaction_version {
            2 => marker.producer_epoch > state.epoch || retried,
            _ => marker.producer_epoch >= state.epoch,
        };
        if !fits {
            return ErrorCode::InvalidProducerEpoch;
        }
        state.epoch = marker.producer_epoch;
        state.coordinator_epoch = marker.coordinator_epoch;
        state.markers += 1;
        if let Some(txn) = state.open.take() {
            self.decided.insert(txn, Some(marker.committed));
        }
        ErrorCode::None
    }
}
