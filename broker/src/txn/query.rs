//! DescribeTransactions and ListTransactions, for one partition's transactional ids (rule 43).

use ringlog_wire::api::describe_transactions::{TopicData, TransactionState};
use ringlog_wire::api::list_transactions;
use ringlog_wire::api::list_transactions::ListTransactionsResponse;
use ringlog_wire::error::ErrorCode;

use super::command::{Output, Response};
use super::event::Filters;
use super::machine::{Entry, Transactions};
use super::state::Transaction;
use crate::coordinator::Ticket;

impl Transactions {
    pub(super) fn describe(&self, to: Ticket, transactional_id: String, out: &mut Output) {
        let failed = |error_code, transactional_id| TransactionState {
            error_code,
            transactional_id,
            ..TransactionState::default()
        };
        let described = match self.entries.get(&*transactional_id) {
            _ if transactional_id.is_empty() => failed(ErrorCode::InvalidRequest, transactional_id),
            None => failed(ErrorCode::TransactionalIdNotFound, transactional_id),
            Some(entry) => described(transactional_id, entry),
        };
        out.reply(to, Response::Describe(described));
    }

    pub(super) fn list(&self, now_ms: i64, to: Ticket, filters: &Filters, out: &mut Output) {
        let passes = |id: &str, transaction: &Transaction| {
            let age_ms = now_ms.saturating_sub(transaction.start_ms);
            (filters.producer_ids.is_empty()
                || filters.producer_ids.contains(&transaction.producer_id))
                && filters.states.as_ref().is_none_or(|all| all.contains(&transaction.state))
                && filters.duration_ms.is_none_or(|least_ms| least_ms < 0 || age_ms > least_ms)
                && filters.id.as_ref().is_none_or(|filter| (filter.0)(id))
        };
        let listed = self.iter().filter(|(id, transaction)| passes(id, transaction));
        let shown = |(id, transaction): (&str, &Transaction)| list_transactions::TransactionState {
            transactional_id: id.to_owned(),
            producer_id: transaction.producer_id,
            transaction_state: transaction.state.name().to_owned(),
        };
        let response = ListTransactionsResponse {
            throttle_time_ms: 0,
            error_code: ErrorCode::None,
            // Who asks all coordinators says it once.
            unknown_state_filters: Vec::new(),
            transaction_states: listed.map(shown).collect(),
        };
        out.reply(to, Response::List(response));
    }
}

fn described(transactional_id: String, entry: &Entry) -> TransactionState {
    let transaction = &entry.transaction;
    // Of a decided transaction, the partitions that still need a marker.
    let partitions = match &entry.markers {
        Some(markers) => &markers.left,
        None => &transaction.partitions,
    };
    let topics = partitions.iter().map(|(topic, indexes)| TopicData {
        topic: topic.clone(),
        partitions: indexes.iter().copied().collect(),
    });
    TransactionState {
        error_code: ErrorCode::None,
        transactional_id,
        transaction_state: transaction.state.name().to_owned(),
        transaction_timeout_ms: transaction.timeout_ms,
        transaction_start_time_ms: transaction.start_ms,
        producer_id: transaction.producer_id,
        producer_epoch: transaction.producer_epoch,
        topics: topics.collect(),
    }
}
