//! DescribeTransactions · key 65 · v0
//!
//! KIP-664.

use ringlog_wire::api::describe_transactions::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, TransactionState,
};
use ringlog_wire::error::ErrorCode;

use super::coordinators::{IDS_MAX, each_once};
use super::{Outcome, Request};
use crate::coordinator::{Answer, Ask, Kind};
use crate::shell::{ShardCore, Shell};
use crate::txn::{Event, Response};

/// Answers a DescribeTransactions request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match DescribeTransactionsRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    if view.transactional_ids.len() > IDS_MAX {
        return Outcome::Close(format!(
            "DescribeTransactions names more than {IDS_MAX} transactional ids"
        ));
    }
    let to = request.reply_to();
    let ids = each_once(view.transactional_ids);
    let asks = ids.clone().into_iter().map(|id| {
        let asked = id.clone();
        let event = move |to| Event::Describe { to, transactional_id: id };
        (asked, Ask::Transaction(Box::new(event)))
    });
    let asks = asks.collect();
    let finish = move |shell: &mut Shell, core: &mut ShardCore, answers: Vec<_>| {
        let each = ids.into_iter().zip(answers).map(|(id, answer)| match answer {
            Ok(Answer::Transaction(Response::Describe(told))) => told,
            Ok(_) => unreachable!("a coordinator answers what it is asked"),
            Err(code) => refused(id, code),
        });
        let transaction_states = each.collect();
        to.send(
            shell,
            core,
            &DescribeTransactionsResponse { throttle_time_ms: 0, transaction_states },
        );
    };
    shell.coordinate_large(core, Kind::Transactions, asks, Box::new(finish));
    Outcome::Parked
}

/// One without a coordinator.
fn refused(transactional_id: String, error_code: ErrorCode) -> TransactionState {
    TransactionState { transactional_id, error_code, ..TransactionState::default() }
}
