//! The markers of a decided transaction: sent, tried again, written.
//!
//! Every partition gets the marker, or is known to be gone, before COMPLETE_* is written. What
//! failed is gathered and tried again after a pause, for as long as it takes.

use std::collections::VecDeque;
use std::sync::Arc;

use ringlog_wire::error::ErrorCode;

use super::command::{Command, Output, Response};
use super::config::{MARKER_RETRY_MS, PARKED_PER_TRANSACTION_MAX};
use super::event::Event;
use super::machine::Transactions;
use super::state::{State, TopicPartitions, Transaction, pairs, take};
use crate::coordinator::Ticket;

/// What is left to do for a decided transaction.
#[derive(Debug, Default)]
pub(super) struct Markers {
    /// Partitions that have no marker yet.
    pub(super) left: TopicPartitions,
    /// Those of them that are to be tried again.
    failed: TopicPartitions,
    /// Those that were not there when they were tried last. Twice in a row, and they are gone: the
    /// first time may be a shard that does not know of them yet.
    unknown: TopicPartitions,
    retry_at_ms: Option<i64>,
    /// Who waits for the end, the longest first.
    parked: VecDeque<Parked>,
}

/// A partition's leader that waits for the markers, to add its partitions to the next transaction.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) to: Ticket,
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) partitions: Vec<(String, i32)>,
    pub(super) until_ms: i64,
}

impl Markers {
    pub(super) fn of(transaction: &Transaction) -> Markers {
        Markers { left: transaction.partitions.clone(), ..Markers::default() }
    }

    pub(super) fn into_tickets(self) -> impl Iterator<Item = Ticket> {
        self.parked.into_iter().map(|parked| parked.to)
    }

    pub(super) fn deadline_ms(&self, now_ms: i64) -> Option<i64> {
        if self.left.is_empty() {
            return Some(now_ms);
        }
        let waits_until_ms = self.parked.front().map(|parked| parked.until_ms);
        [self.retry_at_ms, waits_until_ms].into_iter().flatten().min()
    }

    fn done(&mut self, topic: &str, partition: i32) {
        for set in [&mut self.left, &mut self.failed, &mut self.unknown] {
            take(set, topic, partition);
        }
    }
}

fn insert(partitions: &mut TopicPartitions, topic: &str, partition: i32) -> bool {
    partitions.entry(topic.to_owned()).or_default().insert(partition)
}

impl Transactions {
    /// Sends the markers of these partitions, or of all that have none.
    pub(super) fn send_markers(
        &mut self,
        id: &Arc<str>,
        only: Option<&TopicPartitions>,
        out: &mut Output,
    ) {
        let Some(entry) = self.entries.get(id) else { return };
        let Some(markers) = &entry.markers else { return };
        let partitions = pairs(only.unwrap_or(&markers.left));
        if partitions.is_empty() {
            return;
        }
        out.commands.push(Command::WriteMarkers {
            transactional_id: id.to_string(),
            producer_id: entry.transaction.producer_id,
            producer_epoch: entry.transaction.producer_epoch,
            coordinator_epoch: self.coordinator_epoch,
            committed: entry.transaction.state == State::PrepareCommit,
            transaction_version: entry.transaction.client_version as i8,
            partitions,
        });
    }

    pub(super) fn marker_written(&mut self, now_ms: i64, event: Event, out: &mut Output) {
        let Event::MarkerWritten {
            transactional_id,
            producer_id,
            producer_epoch,
            coordinator_epoch,
            topic,
            partition,
            result,
        } = event
        else {
            unreachable!("step() sends only these here");
        };
        let Some((id, transaction)) = self.find(&transactional_id) else { return };
        if (transaction.producer_id, transaction.producer_epoch) != (producer_id, producer_epoch) {
            // Of a transaction that is over.
            return;
        }
        if coordinator_epoch != self.coordinator_epoch {
            return;
        }
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(markers) = &mut entry.markers else { return };
        if !markers.left.get(&topic).is_some_and(|indexes| indexes.contains(&partition)) {
            return;
        }
        match result {
            // The partition has it; or has gone beyond this epoch, so that nothing of the
            // transaction is open there; or never could have had a transaction.
            ErrorCode::None
            | ErrorCode::InvalidProducerEpoch
            | ErrorCode::UnsupportedForMessageFormat
            | ErrorCode::UnsupportedVersion => markers.done(&topic, partition),
            ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId
                if !insert(&mut markers.unknown, &topic, partition) =>
            {
                markers.done(&topic, partition);
            }
            error => {
                if !matches!(error, ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId)
                {
                    take(&mut markers.unknown, &topic, partition);
                }
                insert(&mut markers.failed, &topic, partition);
                markers.retry_at_ms.get_or_insert(now_ms.saturating_add(MARKER_RETRY_MS));
            }
        }
        self.after_markers(now_ms, &id, out);
    }

    pub(super) fn topics_deleted(&mut self, now_ms: i64, topics: &[String], out: &mut Output) {
        let mut touched = Vec::new();
        for (id, entry) in &mut self.entries {
            let Some(markers) = &mut entry.markers else { continue };
            let before = markers.left.len();
            for topic in topics {
                markers.left.remove(topic);
                markers.failed.remove(topic);
                markers.unknown.remove(topic);
            }
            if markers.left.len() != before {
                touched.push(id.clone());
            }
        }
        for id in touched {
            self.after_markers(now_ms, &id, out);
        }
    }

    fn after_markers(&mut self, now_ms: i64, id: &Arc<str>, out: &mut Output) {
        let markers = self.entries.get(id).and_then(|entry| entry.markers.as_ref());
        match markers.is_some_and(|markers| markers.left.is_empty()) {
            true => self.complete(now_ms, id, out),
            false => self.set_deadline(id, now_ms),
        }
    }

    /// A deadline of a PREPARE_* id has come.
    pub(super) fn markers_due(&mut self, now_ms: i64, id: &Arc<str>, out: &mut Output) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let Some(markers) = &mut entry.markers else { return };
        if markers.left.is_empty() {
            return self.complete(now_ms, id, out);
        }
        while markers.parked.front().is_some_and(|parked| parked.until_ms <= now_ms) {
            refuse(markers.parked.pop_front(), out);
        }
        if markers.retry_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            markers.retry_at_ms = None;
            let failed = std::mem::take(&mut markers.failed);
            // Nothing may have failed that is not done since.
            self.send_markers(id, Some(&failed), out);
        }
        self.set_deadline(id, now_ms);
    }

    /// Every marker is written: COMPLETE_*, and who waited goes on.
    pub(super) fn complete(&mut self, now_ms: i64, id: &Arc<str>, out: &mut Output) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let parked = entry.markers.take().map(|markers| markers.parked).unwrap_or_default();
        let completed = entry.transaction.completed(now_ms);
        self.change(now_ms, id, completed, out);
        for parked in parked {
            self.add_for(now_ms, id, parked, out);
        }
    }

    /// Lets a partition's leader wait for the markers.
    pub(super) fn park(&mut self, now_ms: i64, id: &str, parked: Parked, out: &mut Output) {
        let entry = self.entries.get_key_value(id).map(|(id, _)| id.clone());
        let id = entry.expect("only who waits for a transaction is parked");
        let markers = self.entries.get_mut(&id).and_then(|entry| entry.markers.as_mut());
        let markers = markers.expect("a decided transaction has markers");
        if markers.parked.len() >= PARKED_PER_TRANSACTION_MAX || parked.until_ms <= now_ms {
            return refuse(Some(parked), out);
        }
        markers.parked.push_back(parked);
        self.set_deadline(&id, now_ms);
    }
}

/// It has waited long enough, or too many do: the client tries again.
fn refuse(parked: Option<Parked>, out: &mut Output) {
    let Some(Parked { to, partitions, .. }) = parked else { return };
    let code = ErrorCode::ConcurrentTransactions;
    let told = partitions.into_iter().map(|(topic, index)| (topic, index, code)).collect();
    out.reply(to, Response::Verify(told));
}
