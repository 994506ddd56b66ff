//! Transactional batches that begin something in their partition: they wait until the
//! transaction's coordinator has said that the partition is part of it (rules 33 and 34).
//!
//! Invariants: batches of one producer for one partition are appended in the order in which they
//! came, for those that come later wait for the same answer; what waits is bounded by
//! [`VERIFYING_BYTES_MAX`]; every batch that waits is answered once.

use std::sync::Arc;

use ringlog_wire::batch::{BatchHeader, INFLATED_BYTES_MAX};
use ringlog_wire::error::ErrorCode;

use super::Terms;
use crate::coordinator::{Answer, Ask, Kind};
use crate::message::{Message, ProduceFor, Produced, TopicPartition};
use crate::partition::{Acks, Guard, Waiter};
use crate::shell::{ShardCore, Shell};
use crate::slab::Key;
use crate::topics::Place;
use crate::txn;
use crate::validate::Refusal;

/// Most bytes of records of one shard that wait for coordinators.
pub const VERIFYING_BYTES_MAX: usize = 32 << 20;
/// The first Produce version whose transactions are of version 2 (KIP-890).
pub(super) const VERSION_2_FROM: i16 = 12;
/// The first Produce version whose clients know TRANSACTION_ABORTABLE.
const ABORTABLE_FROM: i16 = 11;

/// What a transaction's coordinator is asked before records are appended. The answer is given to
/// [`Shell::transaction_verified`]: a code for each partition, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionAsk {
    /// The transactional id.
    pub transactional_id: Arc<str>,
    /// Its producer's id.
    pub producer_id: i64,
    /// And epoch.
    pub producer_epoch: i16,
    /// Version 2: partitions that are not in the transaction are added to it. Else they have to be
    /// in it already.
    pub adds: bool,
    /// The partitions that get their first records.
    pub partitions: Vec<TopicPartition>,
}

/// A batch that waits.
#[derive(Debug)]
pub(super) struct Unverified {
    pub slot: Key,
    pub of: TopicPartition,
    pub waiter: Waiter,
    pub guard: Guard,
    pub producer: (i64, i16),
    pub records: Vec<u8>,
}

/// A question on its way, and what waits for its answer.
#[derive(Debug)]
pub struct PendingVerification {
    transactional_id: Arc<str>,
    asked: Vec<TopicPartition>,
    waiting: Vec<(Unverified, Owner)>,
}

/// Of which request a batch that waits is.
#[derive(Clone, Copy, Debug)]
struct Owner {
    on_behalf: ProduceFor,
    version: i16,
}

/// The transactional producers that a request's records name: the first, and whether there is
/// another one.
pub(super) fn producers_of<'a>(
    records: impl Iterator<Item = Option<&'a [u8]>>,
) -> (bool, Option<(i64, i16)>, bool) {
    const ATTRIBUTES_AT: usize = 22;
    const TRANSACTIONAL: u8 = 0x10;
    let (mut is_transactional, mut first, mut several) = (false, None, false);
    for records in records.flatten() {
        if records.get(ATTRIBUTES_AT).is_none_or(|low| low & TRANSACTIONAL == 0) {
            continue;
        }
        let Ok(header) = BatchHeader::parse(records) else { continue };
        is_transactional = true;
        if header.has_producer_id() {
            let producer = (header.producer_id, header.producer_epoch);
            several |= *first.get_or_insert(producer) != producer;
        }
    }
    (is_transactional, first, several)
}

/// What a producer is told when its transaction was not verified. Clients of before KIP-890 know
/// few codes; of these NOT_ENOUGH_REPLICAS makes them try again, without asking who leads.
fn refusal_of(code: ErrorCode, version: i16) -> Refusal {
    use ErrorCode::*;
    match code {
        NetworkException | CoordinatorLoadInProgress | CoordinatorNotAvailable | NotCoordinator => {
            (NotEnoughReplicas, "The transaction could not be verified yet.").into()
        }
        // Clients of version 2 meet it often, while the transaction before is being ended.
        ConcurrentTransactions if version < VERSION_2_FROM => {
            (NotEnoughReplicas, "The transaction before is being ended.").into()
        }
        ProducerFenced => (InvalidProducerEpoch, "The producer is fenced.").into(),
        TransactionAbortable if version < ABORTABLE_FROM => {
            (InvalidTxnState, "The transaction must be aborted.").into()
        }
        InvalidTxnState => {
            (InvalidTxnState, "The partition is not part of the transaction.").into()
        }
        code => (code, "The transaction was not verified.").into(),
    }
}

impl Shell {
    /// A batch waits for its coordinator, if there is room for it.
    pub(super) fn park_unverified(
        &mut self,
        terms: &mut Terms,
        batch: Unverified,
    ) -> Result<(), Refusal> {
        if self.verifying_bytes + batch.records.len() > VERIFYING_BYTES_MAX {
            let why = "Too much waits for transactions' coordinators.";
            return Err((ErrorCode::NotEnoughReplicas, why).into());
        }
        self.verifying_bytes += batch.records.len();
        terms.unverified.push(batch);
        Ok(())
    }

    /// Asks the coordinator of those batches of a request that wait for it. Which of their
    /// partitions it is being asked about already are not asked about again.
    pub(super) fn verify(
        &mut self,
        core: &mut ShardCore,
        on_behalf: ProduceFor,
        terms: &mut Terms,
    ) {
        let owner = Owner { on_behalf, version: terms.version };
        let Some(transactional_id) = terms.transactional_id.clone() else { return };
        let key = self.verifications.next_key();
        let (mut asked, mut waiting) = (Vec::new(), Vec::new());
        let mut producer = None;
        for batch in terms.unverified.drain(..) {
            let (id, epoch) = batch.producer;
            let known = self.logs.get(batch.slot).and_then(|it| it.partition.verifying(id, epoch));
            if let Some(earlier) = known.filter(|other| *other != key)
                && let Some(pending) = self.verifications.get_mut(earlier)
                && pending.transactional_id == transactional_id
            {
                pending.waiting.push((batch, owner));
                continue;
            }
            if let Some(hosted) = self.logs.get_mut(batch.slot) {
                hosted.partition.set_verifying(id, batch.guard, Some(key));
            }
            if !asked.contains(&batch.of) {
                asked.push(batch.of);
            }
            producer = Some(batch.producer);
            waiting.push((batch, owner));
        }
        let Some((producer_id, producer_epoch)) = producer else { return };
        let ask = TransactionAsk {
            transactional_id: Arc::clone(&transactional_id),
            producer_id,
            producer_epoch,
            adds: owner.version >= VERSION_2_FROM,
            partitions: asked.clone(),
        };
        let inserted =
            self.verifications.insert(PendingVerification { transactional_id, asked, waiting });
        assert!(inserted == key, "nothing else was asked meanwhile");
        self.ask_coordinator_of_transaction(core, key, ask);
    }

    /// Takes the question to the coordinator of the transactional id, which answers with
    /// [`Shell::transaction_verified`]. Where there is none, that is the answer.
    fn ask_coordinator_of_transaction(
        &mut self,
        core: &mut ShardCore,
        key: Key,
        ask: TransactionAsk,
    ) {
        let TransactionAsk { transactional_id, producer_id, producer_epoch, adds, partitions } = ask;
        let count = partitions.len();
        let named = |of: &TopicPartition| {
            let topic = self.topics.with_id(of.topic);
            (topic.map_or_else(String::new, |topic| topic.name.name.to_string()), of.index)
        };
        let partitions = partitions.iter().map(named).collect();
        let id = transactional_id.to_string();
        let event = move |to| txn::Event::Verify {
            to,
            transactional_id: id,
            producer_id,
            producer_epoch,
            partitions,
            add: adds,
        };
        let finish = move |shell: &mut Shell, core: &mut ShardCore, answer: Result<Answer, _>| {
            let answers = match answer.map(Answer::into_transaction) {
                Ok(txn::Response::Verify(told)) => told.into_iter().map(|(_, _, code)| code).collect(),
                Ok(_) => unreachable!("a coordinator answers what it is asked"),
                Err(code) => vec![code; count],
            };
            shell.transaction_verified(core, key, &answers);
        };
        self.coordinate_inside(
            core,
            Kind::Transactions,
            &transactional_id,
            Ask::Transaction(Box::new(event)),
            Box::new(finish),
        );
    }

    /// A coordinator has answered, partition by partition: what waits is appended or refused.
    pub(crate) fn transaction_verified(
        &mut self,
        core: &mut ShardCore,
        key: Key,
        answers: &[ErrorCode],
    ) {
        let Some(pending) = self.verifications.remove(key) else { return };
        assert!(answers.len() == pending.asked.len(), "a code for each partition");
        for (batch, owner) in pending.waiting {
            self.verifying_bytes -= batch.records.len();
            let place = pending.asked.iter().position(|of| *of == batch.of);
            let code = answers[place.expect("it was asked about")];
            if let Some(hosted) = self.logs.get_mut(batch.slot) {
                hosted.partition.set_verifying(batch.producer.0, batch.guard, None);
            }
            let appended = match code {
                ErrorCode::None => {
                    let id = Some(Arc::clone(&pending.transactional_id));
                    let acks = acks_of(owner.on_behalf);
                    let mut terms = Terms::new(acks, owner.version, id);
                    self.codecs.allow(INFLATED_BYTES_MAX);
                    let records = Some(&batch.records[..]);
                    let verified = Some(batch.guard);
                    self.append(core, batch.slot, &mut terms, records, batch.waiter, verified)
                }
                code => Err(refusal_of(code, owner.version)),
            };
            if let Err(refusal) = appended {
                self.refuse_unverified(core, &batch, owner, refusal);
            }
        }
    }

    fn refuse_unverified(
        &mut self,
        core: &mut ShardCore,
        batch: &Unverified,
        owner: Owner,
        refusal: Refusal,
    ) {
        self.topic_counts(Place::Open(batch.slot), batch.of.topic).refused();
        let Waiter { shard, entry, .. } = batch.waiter;
        let error = refusal.code;
        let is_here = shard == self.shard;
        match owner.on_behalf {
            ProduceFor::Request(request, _) => {
                let results = vec![Produced::failed(entry, error, Some(Box::new(refusal)))];
                match is_here {
                    true => self.produced(core, request, results),
                    false => self.post(core, shard, Message::Produced { request, results }),
                }
            }
            ProduceFor::Nobody(conn) if is_here => self.produce_unheard(core, conn, error),
            ProduceFor::Nobody(conn) => self.post(core, shard, Message::Unheard { conn, error }),
        }
    }
}

fn acks_of(on_behalf: ProduceFor) -> Acks {
    match on_behalf {
        ProduceFor::Request(_, acks) => acks,
        ProduceFor::Nobody(_) => Acks::None,
    }
}

#[cfg(test)]
mod tests {
    use ringlog_wire::batch::{BatchBuilder, BatchOptions};

    use super::*;

    #[test]
    fn rule_33_what_a_coordinator_says_is_told_in_words_that_clients_know() {
        use ErrorCode::*;
        let cases = [
            (InvalidTxnState, 11, InvalidTxnState),
            (ConcurrentTransactions, 11, NotEnoughReplicas),
            (ConcurrentTransactions, 12, ConcurrentTransactions),
            (NetworkException, 12, NotEnoughReplicas),
            (CoordinatorLoadInProgress, 9, NotEnoughReplicas),
            (CoordinatorNotAvailable, 9, NotEnoughReplicas),
            (NotCoordinator, 9, NotEnoughReplicas),
            (ProducerFenced, 12, InvalidProducerEpoch),
            (InvalidProducerEpoch, 12, InvalidProducerEpoch),
            (TransactionAbortable, 10, InvalidTxnState),
            (TransactionAbortable, 11, TransactionAbortable),
            (InvalidProducerIdMapping, 12, InvalidProducerIdMapping),
        ];
        for (code, version, told) in cases {
            assert_eq!(refusal_of(code, version).code, told, "{code} to v{version}");
        }
    }

    #[test]
    fn the_producers_of_a_request_are_seen_in_its_headers() {
        let batch = |producer_id, producer_epoch, transactional| {
            let options = BatchOptions {
                producer_id,
                producer_epoch,
                base_sequence: 0,
                transactional,
                ..BatchOptions::default()
            };
            let mut builder = BatchBuilder::new(options);
            builder.push(1, None, Some(b"v"), &[]);
            builder.finish()
        };
        let check = |batches: &[&[u8]], expected| {
            assert_eq!(producers_of(batches.iter().map(|bytes| Some(*bytes))), expected);
        };
        let (a, b, c) = (batch(1, 0, true), batch(2, 0, true), batch(1, 1, true));
        let (plain, nobody) = (batch(1, 0, false), batch(-1, -1, true));
        check(&[], (false, None, false));
        check(&[&plain, &[], &[0; 30]], (false, None, false));
        check(&[&a, &plain, &a], (true, Some((1, 0)), false));
        check(&[&a, &b], (true, Some((1, 0)), true));
        check(&[&a, &c], (true, Some((1, 0)), true));
        check(&[&nobody], (true, None, false));
    }
}
