//! The transactions of one connection: what its coordinator is asked, and when.
//!
//! A transaction takes so many requests. Before version 2 of Kafka's transactions a partition is
//! added by the coordinator before the first request to it; from then on the request itself adds
//! it, and every transaction has an epoch of its own (KIP-890).
//!
//! Invariant: the coordinator is asked one thing at a time, and a transaction is ended only when
//! every request of it was acknowledged. No clock, no socket: the engine has them.

use std::collections::BTreeSet;

use ringlog_wire::api::{add_partitions_to_txn as add, end_txn as end};
use ringlog_wire::message::Message;
use ringlog_wire::{ErrorCode, client, header};

use crate::control::CLIENT_ID;
use crate::error::Error;

/// The version of `transaction.version` from which Produce adds partitions itself.
pub const FEATURE_IMPLICIT: i16 = 2;
/// The version of Produce that does.
pub const PRODUCE_IMPLICIT: i16 = 12;

/// The versions that the coordinator speaks.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// Of AddPartitionsToTxn.
    pub add: i16,
    /// Of EndTxn.
    pub end: i16,
    /// Whether Produce adds partitions itself.
    pub is_implicit: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Question {
    Add(Vec<i32>),
    End,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// The partitions are in.
    Added,
    /// The transaction is committed; the producer's id and epoch of the next one, where these
    /// change.
    Committed(Option<(i64, i16)>),
    /// To be asked again after a pause.
    Again(ErrorCode),
    /// To be asked again, of another broker perhaps.
    Elsewhere(ErrorCode),
}

/// The transactions of one producer.
#[derive(Debug)]
pub struct Transactions {
    id: String,
    topic: String,
    dialect: Dialect,
    requests: u64,
    left: u64,
    added: BTreeSet<i32>,
    question: Option<Question>,
    is_asked: bool,
    correlation_id: i32,
}

impl Transactions {
    /// Each takes `requests` requests.
    pub fn new(id: String, topic: String, dialect: Dialect, requests: u64) -> Transactions {
        Transactions {
            id,
            topic,
            dialect,
            requests,
            left: requests,
            added: BTreeSet::new(),
            question: None,
            is_asked: false,
            correlation_id: 0,
        }
    }

    /// The transactional id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether a request to these partitions may be begun now.
    pub fn allows(&self, mut partitions: impl Iterator<Item = i32>) -> bool {
        let is_added = |partition| self.dialect.is_implicit || self.added.contains(&partition);
        self.question.is_none() && self.left > 0 && partitions.all(is_added)
    }

    /// A request was begun.
    pub fn begun(&mut self) {
        assert!(self.left > 0 && self.question.is_none(), "the engine has asked `allows`");
        self.left -= 1;
    }

    /// Whether there is something to commit, or to be told by the coordinator.
    pub fn is_open(&self) -> bool {
        self.question.is_some() || self.left < self.requests || !self.added.is_empty()
    }

    /// Whether the coordinator owes an answer.
    pub fn is_asked(&self) -> bool {
        self.is_asked
    }

    /// What to ask next, if anything. `is_idle`: every request was acknowledged; `is_last`: no
    /// other will be begun; `next`: the partitions of the next request.
    pub fn wonder(&mut self, is_idle: bool, is_last: bool, next: impl Iterator<Item = i32>) {
        if self.question.is_some() {
            return;
        }
        let is_over = self.left == 0 || is_last;
        if is_over && is_idle && self.is_open() {
            self.question = Some(Question::End);
        } else if !is_over && !self.dialect.is_implicit {
            let missing: Vec<i32> = next.filter(|one| !self.added.contains(one)).collect();
            self.question = (!missing.is_empty()).then_some(Question::Add(missing));
        }
    }

    /// The request to send, if one is due.
    pub fn ask(&mut self, producer_id: i64, producer_epoch: i16, out: &mut Vec<u8>) {
        if self.is_asked || self.question.is_none() {
            return;
        }
        self.is_asked = true;
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let id = self.correlation_id;
        let transactional_id = self.id.clone();
        match &self.question {
            Some(Question::Add(partitions)) => {
                let request = add::AddPartitionsToTxnRequest {
                    v3_and_below_transactional_id: transactional_id,
                    v3_and_below_producer_id: producer_id,
                    v3_and_below_producer_epoch: producer_epoch,
                    v3_and_below_topics: vec![add::AddPartitionsToTxnTopic {
                        name: self.topic.clone(),
                        partitions: partitions.clone(),
                    }],
                    ..Default::default()
                };
                let version = self.dialect.add;
                client::encode_request_into(&add::API, version, id, Some(CLIENT_ID), out, |out| {
                    request.write(version, out);
                });
            }
            _ => {
                let committed = true;
                let request =
                    end::EndTxnRequest { transactional_id, producer_id, producer_epoch, committed };
                let version = self.dialect.end;
                client::encode_request_into(&end::API, version, id, Some(CLIENT_ID), out, |out| {
                    request.write(version, out);
                });
            }
        }
    }

    /// The connection to the coordinator is gone: the question will be asked again.
    pub fn lost(&mut self) {
        self.is_asked = false;
    }

    /// One frame arrived from the coordinator, without its size. An error ends the run.
    pub fn answer(&mut self, content: &[u8]) -> Result<Answered, Error> {
        if !std::mem::take(&mut self.is_asked) {
            return Err(Error::protocol("the coordinator answers what it was not asked"));
        }
        match &self.question {
            Some(Question::Add(_)) => self.is_added(content),
            _ => self.is_ended(content),
        }
    }

    fn is_added(&mut self, content: &[u8]) -> Result<Answered, Error> {
        let version = self.dialect.add;
        let answer: add::AddPartitionsToTxnResponse = self.read(&add::API, version, content)?;
        let topics = &answer.results_by_topic_v3_and_below;
        let partitions = topics.iter().flat_map(|topic| &topic.results_by_partition);
        let codes = partitions.map(|partition| partition.partition_error_code);
        // Those that were fine are not attempted beside one that was not, which tells why.
        let failed = codes
            .filter(|code| !code.is_none())
            .min_by_key(|code| (*code == ErrorCode::OperationNotAttempted, judge(*code).is_some()));
        if let Some(code) = failed {
            return self.refused("AddPartitionsToTxn", code);
        }
        if let Some(Question::Add(partitions)) = self.question.take() {
            self.added.extend(partitions);
        }
        Ok(Answered::Added)
    }

    fn is_ended(&mut self, content: &[u8]) -> Result<Answered, Error> {
        let version = self.dialect.end;
        let answer: end::EndTxnResponse = self.read(&end::API, version, content)?;
        if !answer.error_code.is_none() {
            return self.refused("EndTxn", answer.error_code);
        }
        self.question = None;
        self.left = self.requests;
        self.added.clear();
        let is_told = version >= end::VERSION_OF_EPOCHS_MIN && answer.producer_id >= 0;
        Ok(Answered::Committed(is_told.then_some((answer.producer_id, answer.producer_epoch))))
    }

    fn read<Answer: Message>(
        &self,
        api: &ringlog_wire::api::Api,
        version: i16,
        content: &[u8],
    ) -> Result<Answer, Error> {
        let unreadable = |error| Error::protocol(format!("{} v{version}: {error}", api.name));
        let (found, body) = header::parse_response(api, version, content).map_err(unreadable)?;
        if found != self.correlation_id {
            return Err(Error::protocol(format!(
                "{} v{version}: expected the answer to request {}, found {found}",
                api.name, self.correlation_id
            )));
        }
        Answer::read(version, body).map_err(unreadable)
    }

    fn refused(&self, what: &str, code: ErrorCode) -> Result<Answered, Error> {
        judge(code).ok_or_else(|| {
            Error::Broker(format!("{what} of {}: the coordinator answered {code}", self.id))
        })
    }
}

/// Which errors pass. `None`: the producer cannot go on.
fn judge(code: ErrorCode) -> Option<Answered> {
    match code {
        ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
            Some(Answered::Elsewhere(code))
        }
        ErrorCode::ConcurrentTransactions
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::OperationNotAttempted => Some(Answered::Again(code)),
        code if crate::is_retriable(code) => Some(Answered::Again(code)),
        _ => None,
    }
}

#[cfg(test)]
#[path = "transactions_test.rs"]
mod transactions_test;
