//! Producers: instances of transactional ids, which do what Kafka's client does.

use ringlog_wire::api::add_offsets_to_txn::AddOffsetsToTxnRequest;
use ringlog_wire::api::add_partitions_to_txn::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use ringlog_wire::api::end_txn::EndTxnRequest;
use ringlog_wire::api::init_producer_id::InitProducerIdRequest;
use ringlog_wire::error::ErrorCode;

use super::Random;
use super::partitions::{OFFSETS, PARTITIONS, Write};
use crate::coordinator::Ticket;
use crate::txn::Event;

/// After how long a transaction is given up, in milliseconds.
pub(super) const TIMEOUT_MS: i32 = 400;

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// An id and epoch; `recovers` when the producer has one and goes on with it.
    Init {
        recovers: bool,
    },
    Add {
        partition: usize,
    },
    Write(Write),
    End {
        txn: usize,
        committed: bool,
    },
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Add(usize),
    Write(usize),
}

#[derive(Clone, Debug)]
struct Txn {
    number: usize,
    steps: Vec<Step>,
    at: usize,
    committed: bool,
}

/// One instance.
pub(super) struct Producer {
    pub(super) id: usize,
    /// It speaks the second transaction version.
    pub(super) second: bool,
    pub(super) waits_for: Option<Ticket>,
    pub(super) dead: bool,
    has_identity: bool,
    recovers: bool,
    producer_id: i64,
    producer_epoch: i16,
    txn: Option<Txn>,
}

pub(super) fn id_name(id: usize) -> String {
    format!("t{id}")
}

impl Producer {
    pub(super) fn new(id: usize, second: bool) -> Producer {
        Producer {
            id,
            second,
            waits_for: None,
            dead: false,
            has_identity: false,
            recovers: false,
            producer_id: -1,
            producer_epoch: -1,
            txn: None,
        }
    }

    /// What it asks for next.
    pub(super) fn next(&mut self, rng: &mut Random, txns: &mut usize) -> What {
        if !self.has_identity {
            return What::Init { recovers: self.recovers };
        }
        let second = self.second;
        let txn = self.txn.get_or_insert_with(|| {
            *txns += 1;
            let mut steps = Vec::new();
            for _ in 0..1 + rng.below(4) {
                let partition = rng.below(PARTITIONS.len());
                if !second {
                    steps.push(Step::Add(partition));
                }
                steps.push(Step::Write(partition));
            }
            Txn { number: *txns, steps, at: 0, committed: !rng.once_in(4) }
        });
        match txn.steps.get(txn.at) {
            None => What::End { txn: txn.number, committed: txn.committed },
            Some(&Step::Add(partition)) => What::Add { partition },
            Some(&Step::Write(partition)) => What::Write(Write {
                partition,
                producer_id: self.producer_id,
                producer_epoch: self.producer_epoch,
                txn: txn.number,
                second,
                guard: 0,
            }),
        }
    }

    /// The request to the coordinator.
    pub(super) fn event(&self, to: Ticket, what: What) -> Event {
        let transactional_id = id_name(self.id);
        let (producer_id, producer_epoch) = (self.producer_id, self.producer_epoch);
        match what {
            What::Init { recovers } => {
                let none = (-1, -1);
                let (producer_id, producer_epoch) =
                    if recovers { (producer_id, producer_epoch) } else { none };
                let request = InitProducerIdRequest {
                    transactional_id: Some(transactional_id),
                    transaction_timeout_ms: TIMEOUT_MS,
                    producer_id,
                    producer_epoch,
                };
                Event::InitProducerId { to, version: 5, request }
            }
            What::Add { partition: OFFSETS } => Event::AddOffsets {
                to,
                version: 3,
                request: AddOffsetsToTxnRequest {
                    transactional_id,
                    producer_id,
                    producer_epoch,
                    group_id: "g".to_owned(),
                },
                offsets_partition: PARTITIONS[OFFSETS].1,
            },
            What::Add { partition } => {
                let (name, index) = PARTITIONS[partition];
                let topic =
                    AddPartitionsToTxnTopic { name: name.to_owned(), partitions: vec![index] };
                let transaction = AddPartitionsToTxnTransaction {
                    transactional_id,
                    producer_id,
                    producer_epoch,
                    verify_only: false,
                    topics: vec![topic],
                };
                Event::AddPartitions { to, version: 3, transaction, refused: Default::default() }
            }
            What::Write(write) => {
                let (topic, index) = PARTITIONS[write.partition];
                Event::Verify {
                    to,
                    transactional_id,
                    producer_id: write.producer_id,
                    producer_epoch: write.producer_epoch,
                    partitions: vec![(topic.to_owned(), index)],
                    add: write.second,
                }
            }
            What::End { committed, .. } => {
                let version = if self.second { 5 } else { 4 };
                let request =
                    EndTxnRequest { transactional_id, producer_id, producer_epoch, committed };
                Event::EndTxn { to, version, request }
            }
        }
    }

    /// The answer has come.
    pub(super) fn told(
        &mut self,
        rng: &mut Random,
        what: What,
        code: ErrorCode,
        identity: Option<(i64, i16)>,
    ) {
        self.waits_for = None;
        match (code, what) {
            (ErrorCode::None, What::Init { .. }) => {
                (self.producer_id, self.producer_epoch) = identity.expect("an id is given");
                (self.has_identity, self.txn) = (true, None);
            }
            (ErrorCode::None, What::End { .. }) => {
                if let Some((producer_id, producer_epoch)) = identity.filter(|_| self.second) {
                    (self.producer_id, self.producer_epoch) = (producer_id, producer_epoch);
                }
                self.txn = None;
            }
            (ErrorCode::None, _) => {
                if let Some(txn) = &mut self.txn {
                    txn.at += 1;
                }
            }
            (
                ErrorCode::ConcurrentTransactions
                | ErrorCode::CoordinatorLoadInProgress
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::NotCoordinator,
                _,
            ) => {}
            (
                ErrorCode::TransactionAbortable
                | ErrorCode::InvalidTxnState
                | ErrorCode::UnknownTopicOrPartition,
                What::Add { .. } | What::Write(_),
            ) => {
                if let Some(txn) = &mut self.txn {
                    (txn.at, txn.committed) = (txn.steps.len(), false);
                }
            }
            // Fenced, it seems; an instance may ask whether it may go on, once.
            (_, What::Init { .. }) => self.dead = true,
            _ if rng.once_in(2) => (self.has_identity, self.recovers) = (false, true),
            _ => self.dead = true,
        }
    }
}
