//! The transactional ids of one partition, and what is due when.
//!
//! Invariants: an id is in `deadlines` exactly when its entry has a deadline, and with that one.
//! `bytes` is the sum over the entries. Markers exist exactly while an id is PREPARE_*.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringlog_wire::records::TransactionRecord;

use super::ProducerIds;
use super::command::Output;
use super::config::{
    ENTRY_BYTES, PARTITION_BYTES, PRODUCER_ID_RETRY_MS, TIMER_BYTES_MAX, TIMER_IDS_MAX,
    TOPIC_BYTES, TxnConfig,
};
use super::event::Event;
use super::markers::Markers;
use super::record::{ReplayError, record_of, tombstone, transaction_of};
use super::state::{Ending, State, TopicPartitions, Transaction};
use crate::coordinator::Ticket;

/// The coordinator of one partition of `__transaction_state`.
#[derive(Debug)]
pub struct Transactions {
    pub(super) config: TxnConfig,
    /// That of the partition's leader: newer ones shut older ones' markers out.
    pub(super) coordinator_epoch: i32,
    pub(super) entries: BTreeMap<Arc<str>, Entry>,
    deadlines: BTreeSet<(i64, Arc<str>)>,
    bytes: usize,
}

/// One transactional id.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) transaction: Transaction,
    /// While PREPARE_*: who still needs a marker, and who waits for them.
    pub(super) markers: Option<Markers>,
    deadline_ms: Option<i64>,
    bytes: usize,
}

impl Transactions {
    /// A coordinator that knows nothing yet.
    pub fn new(config: TxnConfig) -> Transactions {
        Transactions {
            config,
            coordinator_epoch: 0,
            entries: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            bytes: 0,
        }
    }

    /// Takes in the next record of the log. Records that a key's later one replaces may be missing.
    ///
    /// # Errors
    ///
    /// The record says what cannot be. It has changed nothing; the partition should not be served.
    pub fn replay(&mut self, record: TransactionRecord) -> Result<(), ReplayError> {
        // What later versions may keep here, under keys of their own, is not about ids.
        let TransactionRecord::TransactionLog { key, value } = record else { return Ok(()) };
        let id = key.transactional_id;
        match value {
            Some(value) => self.put(&Arc::from(&*id), transaction_of(&id, &value)?, None),
            None => self.forget(&id),
        }
        Ok(())
    }

    /// The log is read: deadlines count from now on, and decided transactions get their markers
    /// again. `coordinator_epoch` is the leader epoch of the partition.
    pub fn loaded(&mut self, now_ms: i64, coordinator_epoch: i32) -> Output {
        self.coordinator_epoch = coordinator_epoch;
        let mut out = Output::default();
        let ids: Vec<Arc<str>> = self.entries.keys().cloned().collect();
        for id in ids {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            if entry.transaction.state.is_prepared() {
                entry.markers = Some(Markers::of(&entry.transaction));
                self.send_markers(&id, None, &mut out);
            }
            self.set_deadline(&id, now_ms);
        }
        out
    }

    /// Something happens.
    pub fn step(&mut self, now_ms: i64, event: Event, ids: ProducerIds<'_>) -> Output {
        let mut out = Output::default();
        match event {
            Event::InitProducerId { to, version, request } => {
                self.init_producer_id(now_ms, to, version, request, ids, &mut out);
            }
            Event::AddPartitions { to, version, transaction, refused } => {
                self.add_partitions(now_ms, to, version, transaction, refused, &mut out);
            }
            Event::AddOffsets { to, version, request, offsets_partition } => {
                self.add_offsets(now_ms, to, version, request, offsets_partition, &mut out);
            }
            Event::EndTxn { to, version, request } => {
                self.end_txn(now_ms, to, version, request, ids, &mut out);
            }
            event @ Event::Verify { .. } => self.verify(now_ms, event, &mut out),
            event @ Event::MarkerWritten { .. } => self.marker_written(now_ms, event, &mut out),
            Event::Describe { to, transactional_id } => {
                self.describe(to, transactional_id, &mut out);
            }
            Event::List { to, filters } => self.list(now_ms, to, &filters, &mut out),
            Event::TopicsDeleted { topics } => self.topics_deleted(now_ms, &topics, &mut out),
        }
        out
    }

    /// Does what is due, a bounded part of it: while more is, [`Transactions::next_deadline_ms`] is
    /// past.
    pub fn timer(&mut self, now_ms: i64, producer_ids: ProducerIds<'_>) -> Output {
        let mut out = Output::default();
        let mut bytes = 0;
        for _ in 0..TIMER_IDS_MAX {
            let Some((due_ms, id)) = self.deadlines.first().cloned() else { break };
            if due_ms > now_ms || bytes >= TIMER_BYTES_MAX {
                break;
            }
            // A record is not larger than its entry's state, but for a few bytes that are counted.
            bytes += self.entries[&id].bytes;
            self.due(now_ms, &id, producer_ids, &mut out);
        }
        out
    }

    fn due(&mut self, now_ms: i64, id: &Arc<str>, ids: ProducerIds<'_>, out: &mut Output) {
        match self.entries[id].transaction.state {
            State::Ongoing => {
                let version = self.config.transaction_version;
                let end = Ending { committed: false, version, fence: true };
                if self.end(now_ms, id, end, ids, out).is_err() {
                    self.move_deadline(id, Some(now_ms.saturating_add(PRODUCER_ID_RETRY_MS)));
                }
            }
            State::PrepareCommit | State::PrepareAbort => self.markers_due(now_ms, id, out),
            _ => {
                out.records.push(tombstone(id));
                self.forget(id);
            }
        }
    }

    /// When [`Transactions::timer`] has something to do, in the milliseconds of the events.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.deadlines.first().map(|(due_ms, _)| *due_ms)
    }

    /// Forgets everything. Whoever still waits here is returned, to be told NOT_COORDINATOR.
    pub fn unload(&mut self) -> Vec<Ticket> {
        let entries = std::mem::take(&mut self.entries);
        self.deadlines.clear();
        self.bytes = 0;
        let waiting = |entry: Entry| entry.markers.into_iter().flat_map(Markers::into_tickets);
        entries.into_values().flat_map(waiting).collect()
    }

    /// How many transactional ids there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every transactional id with what is known of it, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Transaction)> {
        self.entries.iter().map(|(id, entry)| (&**id, &entry.transaction))
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// From now on it may take so many ([`TxnConfig::state_bytes_max`]).
    pub fn limit_bytes(&mut self, bytes_max: usize) {
        self.config.state_bytes_max = bytes_max;
    }

    /// True when the state may grow by so much.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.bytes.saturating_add(bytes) <= self.config.state_bytes_max
    }

    /// A transactional id's name as it is kept, and what is known of it.
    pub(super) fn find(&self, id: &str) -> Option<(Arc<str>, &Transaction)> {
        let (id, entry) = self.entries.get_key_value(id)?;
        Some((id.clone(), &entry.transaction))
    }

    /// Makes a change: it is written down, and so from now on.
    pub(super) fn change(
        &mut self,
        now_ms: i64,
        id: &Arc<str>,
        transaction: Transaction,
        out: &mut Output,
    ) {
        out.records.push(record_of(id, &transaction));
        let markers = transaction.state.is_prepared().then(|| Markers::of(&transaction));
        self.put(id, transaction, markers);
        self.set_deadline(id, now_ms);
    }

    fn put(&mut self, id: &Arc<str>, transaction: Transaction, markers: Option<Markers>) {
        let bytes = entry_bytes(id, &transaction.partitions);
        let entry = Entry { transaction, markers, deadline_ms: None, bytes };
        self.forget(id);
        self.bytes += bytes;
        self.entries.insert(id.clone(), entry);
    }

    fn forget(&mut self, id: &str) {
        let Some((id, entry)) = self.entries.remove_entry(id) else { return };
        self.bytes -= entry.bytes;
        if let Some(due_ms) = entry.deadline_ms {
            self.deadlines.remove(&(due_ms, id));
        }
    }

    /// An id's next deadline, as its state has it.
    pub(super) fn set_deadline(&mut self, id: &Arc<str>, now_ms: i64) {
        let config = &self.config;
        let Some(entry) = self.entries.get(id) else { return };
        let transaction = &entry.transaction;
        let due_ms = match transaction.state {
            State::Ongoing => {
                let late = transaction.start_ms.saturating_add(i64::from(transaction.timeout_ms));
                let pass = config.transaction_abort_timed_out_transaction_cleanup_interval_ms;
                Some(next_pass(late.saturating_add(1), pass))
            }
            State::PrepareCommit | State::PrepareAbort => {
                entry.markers.as_ref().and_then(|markers| markers.deadline_ms(now_ms))
            }
            _ => {
                let idle = config.transactional_id_expiration_ms;
                let late = transaction.update_ms.saturating_add(idle);
                let pass = config.transaction_remove_expired_transaction_cleanup_interval_ms;
                Some(next_pass(late, pass))
            }
        };
        self.move_deadline(id, due_ms);
    }

    fn move_deadline(&mut self, id: &Arc<str>, due_ms: Option<i64>) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        if let Some(before_ms) = std::mem::replace(&mut entry.deadline_ms, due_ms) {
            self.deadlines.remove(&(before_ms, id.clone()));
        }
        if let Some(due_ms) = due_ms {
            self.deadlines.insert((due_ms, id.clone()));
        }
    }
}

/// What an id costs in memory, roughly. Its record is smaller.
pub(super) fn entry_bytes(id: &str, partitions: &TopicPartitions) -> usize {
    ENTRY_BYTES + 2 * id.len() + partitions_bytes(partitions)
}

/// What partitions cost in memory, roughly. Their share of the record is smaller.
pub(super) fn partitions_bytes(partitions: &TopicPartitions) -> usize {
    let of_topic = |(topic, indexes): (&String, &BTreeSet<i32>)| {
        TOPIC_BYTES + topic.len() + PARTITION_BYTES * indexes.len()
    };
    partitions.iter().map(of_topic).sum()
}

/// The first pass at or after a time, when passes are at multiples of an interval.
fn next_pass(at_ms: i64, interval_ms: i64) -> i64 {
    let interval_ms = interval_ms.max(1);
    let over_ms = at_ms.rem_euclid(interval_ms);
    if over_ms == 0 { at_ms } else { at_ms.saturating_add(interval_ms - over_ms) }
}
