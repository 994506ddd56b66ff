//! AddPartitionsToTxn, AddOffsetsToTxn, and the question that a partition's leader asks at Produce.
//!
//! Under the first transaction version a client adds its partitions by request and the leader only
//! looks whether it did (rule 33); under the second, the leader adds them (rule 34).

use std::sync::Arc;

use ringlog_wire::api::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use ringlog_wire::api::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
    AddPartitionsToTxnTransaction,
};
use ringlog_wire::error::ErrorCode;

use super::command::{Output, Response};
use super::config::{PARTITIONS_PER_TRANSACTION_MAX, RECORD_BYTES_MAX};
use super::event::{Event, Refused};
use super::fenced_since;
use super::machine::{Transactions, partitions_bytes};
use super::markers::Parked;
use super::state::{State, TopicPartitions, Transaction, by_topic};
use crate::coordinator::Ticket;

/// The topic that a group's offsets are in.
const CONSUMER_OFFSETS: &str = "__consumer_offsets";
/// A record beside its topics and partitions, and a topic beside its name: bytes, at most.
const RECORD_OVERHEAD: usize = 128;

/// Who says that it is the producer of a transactional id.
#[derive(Clone, Copy)]
pub(super) struct Claim<'a> {
    pub(super) transactional_id: &'a str,
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
}

impl Transactions {
    pub(super) fn add_partitions(
        &mut self,
        now_ms: i64,
        to: Ticket,
        version: i16,
        transaction: AddPartitionsToTxnTransaction,
        refused: Refused,
        out: &mut Output,
    ) {
        let claim = Claim {
            transactional_id: &transaction.transactional_id,
            producer_id: transaction.producer_id,
            producer_epoch: transaction.producer_epoch,
        };
        let mut wanted = TopicPartitions::new();
        for topic in transaction.topics.iter().filter(|topic| !topic.partitions.is_empty()) {
            wanted.entry(topic.name.clone()).or_default().extend(&topic.partitions);
        }
        let topic_results = if !refused.is_empty() {
            let code = |topic: &str, index: i32| {
                let code = refused.get(topic).and_then(|indexes| indexes.get(&index));
                code.copied().unwrap_or(ErrorCode::OperationNotAttempted)
            };
            results(&wanted, code)
        } else if transaction.verify_only {
            let added = self.added(claim);
            results(&wanted, |topic, index| is_added(&added, topic, index))
        } else {
            let transaction_version = if version >= 4 { 2 } else { 0 };
            let code = self.add(now_ms, claim, &wanted, transaction_version, out);
            let code = fenced_since(2, version, code.err().unwrap_or(ErrorCode::None));
            results(&wanted, |_, _| code)
        };
        let transactional_id = transaction.transactional_id;
        let result = AddPartitionsToTxnResult { transactional_id, topic_results };
        out.reply(to, Response::AddPartitions(result));
    }

    pub(super) fn add_offsets(
        &mut self,
        now_ms: i64,
        to: Ticket,
        version: i16,
        request: AddOffsetsToTxnRequest,
        offsets_partition: i32,
        out: &mut Output,
    ) {
        let claim = Claim {
            transactional_id: &request.transactional_id,
            producer_id: request.producer_id,
            producer_epoch: request.producer_epoch,
        };
        let wanted = by_topic([(CONSUMER_OFFSETS.to_owned(), offsets_partition)]);
        // Only clients of the first transaction version ask for it.
        let added = self.add(now_ms, claim, &wanted, 0, out);
        let error_code = fenced_since(2, version, added.err().unwrap_or(ErrorCode::None));
        let response = AddOffsetsToTxnResponse { throttle_time_ms: 0, error_code };
        out.reply(to, Response::AddOffsets(response));
    }

    pub(super) fn verify(&mut self, now_ms: i64, event: Event, out: &mut Output) {
        let Event::Verify { to, transactional_id, producer_id, producer_epoch, partitions, add } =
            event
        else {
            unreachable!("step() sends only these here");
        };
        let claim = Claim { transactional_id: &transactional_id, producer_id, producer_epoch };
        if !add {
            let added = self.added(claim);
            let code = |(topic, index): (String, i32)| {
                let code = is_added(&added, &topic, index);
                (topic, index, code)
            };
            let verified = partitions.into_iter().map(code).collect();
            return out.reply(to, Response::Verify(verified));
        }
        let config = &self.config;
        let wait_ms = config.add_partitions_to_txn_retry_backoff_max_ms;
        let until_ms = now_ms.saturating_add(wait_ms);
        let parked = Parked { to, producer_id, producer_epoch, partitions, until_ms };
        match self.claimed(claim) {
            Err(ErrorCode::ConcurrentTransactions) => {
                self.park(now_ms, &transactional_id, parked, out);
            }
            _ => self.add_for(now_ms, &transactional_id, parked, out),
        }
    }

    /// Adds what a partition's leader asked for, and answers it.
    pub(super) fn add_for(&mut self, now_ms: i64, id: &str, parked: Parked, out: &mut Output) {
        let Parked { to, producer_id, producer_epoch, partitions, .. } = parked;
        let claim = Claim { transactional_id: id, producer_id, producer_epoch };
        let wanted = by_topic(partitions.iter().cloned());
        let added = self.add(now_ms, claim, &wanted, 2, out);
        let code = added.err().unwrap_or(ErrorCode::None);
        let told = partitions.into_iter().map(|(topic, index)| (topic, index, code)).collect();
        out.reply(to, Response::Verify(told));
    }

    /// The transactional id's state, if it is the producer who asks and the markers of the
    /// transaction before are written.
    fn claimed(&self, claim: Claim<'_>) -> Result<(Arc<str>, &Transaction), ErrorCode> {
        if claim.transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let (id, transaction) =
            self.find(claim.transactional_id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        let claimed = (claim.producer_id, claim.producer_epoch);
        if transaction.state.is_prepared() && claimed == transaction.identity_after() {
            // It may have a new producer id already, which is not the markers'.
            return Err(ErrorCode::ConcurrentTransactions);
        }
        if transaction.producer_id != claim.producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if transaction.producer_epoch != claim.producer_epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        if transaction.state.is_prepared() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        Ok((id, transaction))
    }

    fn added(&self, claim: Claim<'_>) -> Result<&TopicPartitions, ErrorCode> {
        self.claimed(claim).map(|(_, transaction)| &transaction.partitions)
    }

    /// Adds partitions, all or none.
    fn add(
        &mut self,
        now_ms: i64,
        claim: Claim<'_>,
        wanted: &TopicPartitions,
        version: i16,
        out: &mut Output,
    ) -> Result<(), ErrorCode> {
        let (id, before) = self.claimed(claim)?;
        let there = |topic: &String, index: &i32| {
            before.partitions.get(topic).is_some_and(|indexes| indexes.contains(index))
        };
        let mut pairs = wanted.iter().flat_map(|(topic, all)| all.iter().map(move |i| (topic, i)));
        if before.state == State::Ongoing && pairs.all(|(topic, index)| there(topic, index)) {
            return Ok(());
        }
        let after = before.with_partitions(wanted, version, now_ms);
        if after.partition_count() > PARTITIONS_PER_TRANSACTION_MAX
            || record_bytes(&id, &after.partitions) > RECORD_BYTES_MAX
        {
            // Kafka's log refuses such a record, and its clients of the first version are told so.
            // Those of the second can at least give this transaction up and go on.
            return Err(match version {
                0 => ErrorCode::UnknownServerError,
                _ => ErrorCode::TransactionAbortable,
            });
        }
        let grows = partitions_bytes(&after.partitions) - partitions_bytes(&before.partitions);
        if !self.has_room(grows) {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        self.change(now_ms, &id, after, out);
        Ok(())
    }
}

fn is_added(added: &Result<&TopicPartitions, ErrorCode>, topic: &str, index: i32) -> ErrorCode {
    match added {
        Err(code) => *code,
        Ok(added) if added.get(topic).is_some_and(|all| all.contains(&index)) => ErrorCode::None,
        Ok(_) => ErrorCode::TransactionAbortable,
    }
}

fn results(
    wanted: &TopicPartitions,
    code: impl Fn(&str, i32) -> ErrorCode,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let mut results = Vec::with_capacity(wanted.len());
    for (topic, indexes) in wanted {
        let result = |&partition_index: &i32| AddPartitionsToTxnPartitionResult {
            partition_index,
            partition_error_code: code(topic, partition_index),
        };
        let results_by_partition = indexes.iter().map(result).collect();
        results.push(AddPartitionsToTxnTopicResult { name: topic.clone(), results_by_partition });
    }
    results
}

fn record_bytes(id: &str, partitions: &TopicPartitions) -> usize {
    let of_topic = |topic: &String| topic.len() + 16;
    let topics: usize = partitions.keys().map(of_topic).sum();
    let indexes: usize = partitions.values().map(|indexes| 4 * indexes.len()).sum();
    RECORD_OVERHEAD + id.len() + topics + indexes
}
