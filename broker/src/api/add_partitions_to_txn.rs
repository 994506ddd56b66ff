//! AddPartitionsToTxn · key 24 · v0–5.  v2: PRODUCER_FENCED.  v3: flexible; the last for clients.
//! v4: several transactions, for brokers that verify them.
//!
//! All of a transaction's partitions or none (rule 37).

use std::collections::BTreeMap;

use ringlog_wire::api::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult, AddPartitionsToTxnTransaction,
    VERSION_OF_CLIENTS_MAX,
};
use ringlog_wire::error::ErrorCode;

use super::coordinators::IDS_MAX;
use super::{Outcome, PARTITIONS_MAX, Request};
use crate::coordinator::{Answer, Ask, Kind};
use crate::shell::{ShardCore, Shell};
use crate::txn::{Event, Refused, Response};

/// Answers an AddPartitionsToTxn request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match AddPartitionsToTxnRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let (to, version) = (request.reply_to(), request.version);
    let transactions = transactions(version, view);
    let topics = transactions.iter().flat_map(|transaction| &transaction.topics);
    let partitions: usize = topics.map(|topic| topic.partitions.len()).sum();
    if transactions.len() > IDS_MAX || partitions > PARTITIONS_MAX {
        return Outcome::too_many_partitions(request.api);
    }
    let unheard = transactions.clone();
    let asks = transactions.into_iter().map(|transaction| {
        let (id, refused) = (transaction.transactional_id.clone(), unknown(shell, &transaction));
        let event = move |to| Event::AddPartitions { to, version, transaction, refused };
        (id, Ask::Transaction(Box::new(event)))
    });
    let asks = asks.collect();
    let finish = move |shell: &mut Shell, core: &mut ShardCore, answers: Vec<_>| {
        let results = unheard.into_iter().zip(answers).map(|(asked, answer)| match answer {
            Ok(Answer::Transaction(Response::AddPartitions(result))) => result,
            Ok(_) => unreachable!("a coordinator answers what it is asked"),
            Err(code) => refused(asked, code),
        });
        to.send(shell, core, &response(version, results.collect()));
    };
    shell.coordinate_all(core, Kind::Transactions, asks, Box::new(finish));
    Outcome::Parked
}

/// Up to version 3 a request has one transaction, in fields of its own.
fn transactions(
    version: i16,
    request: AddPartitionsToTxnRequest,
) -> Vec<AddPartitionsToTxnTransaction> {
    if version > VERSION_OF_CLIENTS_MAX {
        return request.transactions;
    }
    vec![AddPartitionsToTxnTransaction {
        transactional_id: request.v3_and_below_transactional_id,
        producer_id: request.v3_and_below_producer_id,
        producer_epoch: request.v3_and_below_producer_epoch,
        verify_only: false,
        topics: request.v3_and_below_topics,
    }]
}

/// Partitions that there are not.
fn unknown(shell: &Shell, transaction: &AddPartitionsToTxnTransaction) -> Refused {
    let mut unknown = Refused::new();
    for topic in &transaction.topics {
        let known = shell.topics.named(&topic.name);
        let is_unknown = |index: &i32| known.and_then(|known| known.place(*index)).is_none();
        let mut indexes = topic.partitions.iter().copied().filter(is_unknown).peekable();
        if indexes.peek().is_some() {
            let code = ErrorCode::UnknownTopicOrPartition;
            let refused = unknown.entry(topic.name.clone()).or_default();
            refused.extend(indexes.map(|index| (index, code)));
        }
    }
    unknown
}

/// A transaction without a coordinator.
fn refused(asked: AddPartitionsToTxnTransaction, code: ErrorCode) -> AddPartitionsToTxnResult {
    let result = |partition_index| AddPartitionsToTxnPartitionResult {
        partition_index,
        partition_error_code: code,
    };
    let mut topics: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for topic in asked.topics {
        topics.entry(topic.name).or_default().extend(topic.partitions.into_iter().map(result));
    }
    let topic =
        |(name, results_by_partition)| AddPartitionsToTxnTopicResult { name, results_by_partition };
    AddPartitionsToTxnResult {
        transactional_id: asked.transactional_id,
        topic_results: topics.into_iter().map(topic).collect(),
    }
}

fn response(version: i16, results: Vec<AddPartitionsToTxnResult>) -> AddPartitionsToTxnResponse {
    if version > VERSION_OF_CLIENTS_MAX {
        let results_by_transaction = results;
        return AddPartitionsToTxnResponse { results_by_transaction, ..Default::default() };
    }
    let only = results.into_iter().next().unwrap_or_default();
    let results_by_topic_v3_and_below = only.topic_results;
    AddPartitionsToTxnResponse { results_by_topic_v3_and_below, ..Default::default() }
}
