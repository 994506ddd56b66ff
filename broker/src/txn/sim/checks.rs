//! Crashes of the coordinator, and the invariants.

use std::collections::{BTreeMap, BTreeSet};

use ringlog_wire::error::ErrorCode;
use ringlog_wire::records::TransactionRecord;
use ringlog_wire::records::txn::TransactionLogKey;

use super::world::World;
use crate::coordinator::Ticket;
use crate::txn::state::{NO_PRODUCER_EPOCH, Transaction};
use crate::txn::{Command, Transactions};

impl World {
    pub(super) fn crash(&mut self) {
        let unflushed = self.log.len() - self.durable;
        let lost = self.rng.below(unflushed + 1);
        self.figures.crashes += 1;
        self.figures.lost_batches += lost;
        self.log.truncate(self.log.len() - lost);
        self.durable = self.log.len();
        let parked = self.machine.unload();
        let dropped = std::mem::take(&mut self.pending).into_iter().flat_map(|(_, all)| all);
        let waiting = dropped.filter_map(|command| match command {
            Command::Reply { to, .. } => Some(to),
            Command::WriteMarkers { .. } => None,
        });
        let waiting: Vec<Ticket> = waiting.chain(parked).collect();
        waiting.into_iter().for_each(|to| self.answer(to, ErrorCode::NotCoordinator, None));
        let forgotten = self.asked.iter().find(|asked| asked.stepped && !asked.answered);
        assert!(forgotten.is_none(), "a ticket is forgotten");
        self.load();
    }

    pub(super) fn load(&mut self) {
        self.machine = self.replayed(self.log.iter().flatten());
        self.coordinator_epoch += 1;
        let output = self.machine.loaded(self.now_ms, self.coordinator_epoch);
        self.put(output);
    }

    fn replayed<'a>(&self, log: impl Iterator<Item = &'a TransactionRecord>) -> Transactions {
        let mut machine = Transactions::new(self.config.clone());
        for record in log {
            let (mut key, mut value) = (Vec::new(), Vec::new());
            let has_value = record.encode(&mut key, &mut value);
            let read = TransactionRecord::decode(&key, has_value.then_some(&value));
            machine.replay(read.expect("our own record")).expect("a state");
        }
        machine
    }

    pub(super) fn compare_replayed(&self) {
        let live = states(&self.machine);
        assert_eq!(states(&self.replayed(self.log.iter().flatten())), live, "replayed");
        let last: BTreeMap<&str, &TransactionRecord> =
            self.log.iter().flatten().map(|record| (key_of(record), record)).collect();
        assert_eq!(states(&self.replayed(last.into_values())), live, "compacted");
    }

    /// The producers are gone; what they left is brought to its end.
    pub(super) fn drain(&mut self) {
        self.producers.iter_mut().for_each(|producer| producer.dead = true);
        for _ in 0..200_000 {
            let idle = self.requests.is_empty() && self.markers.is_empty();
            let idle = idle && self.results.is_empty() && self.pending.is_empty();
            let open = |(_, at): (&str, &Transaction)| !at.partitions.is_empty();
            if idle && !self.machine.iter().any(open) {
                return;
            }
            self.request_arrives();
            self.marker_arrives();
            self.result_arrives();
            self.flush();
            self.time_passes();
        }
        panic!("a transaction never ends: {:?}", states(&self.machine));
    }

    pub(super) fn check(&mut self) {
        self.compare_replayed();
        let forgotten = self.asked.iter().find(|asked| !asked.answered);
        assert!(forgotten.is_none(), "a ticket is never answered");
        let mut decisions: BTreeMap<usize, BTreeSet<bool>> = BTreeMap::new();
        for partition in self.partitions.iter().filter(|partition| !partition.deleted) {
            for (&txn, decided) in &partition.decided {
                let decided = decided.unwrap_or_else(|| panic!("half visible: {txn} is open"));
                decisions.entry(txn).or_default().insert(decided);
            }
        }
        for (txn, decided) in decisions {
            assert_eq!(decided.len(), 1, "half visible: {txn}");
            let promised = self.promised.get(&txn);
            assert!(promised.is_none_or(|promised| decided.contains(promised)), "broken: {txn}");
        }
    }
}

fn key_of(record: &TransactionRecord) -> &str {
    match record {
        TransactionRecord::TransactionLog {
            key: TransactionLogKey { transactional_id }, ..
        } => transactional_id,
        TransactionRecord::Unknown { .. } => unreachable!("nothing else is written"),
    }
}

/// What the log keeps of a machine's state.
fn states(machine: &Transactions) -> BTreeMap<String, Transaction> {
    let kept =
        |at: &Transaction| Transaction { last_producer_epoch: NO_PRODUCER_EPOCH, ..at.clone() };
    machine.iter().map(|(id, at)| (id.to_owned(), kept(at))).collect()
}
