//! ListTransactions · key 66 · v0–2.  v1: by duration.  v2: by a regular expression over the
//! transactional id (KIP-994, KIP-1152).
//!
//! Tells the transactions whose coordinators clients find at this broker (rule 43).

use std::sync::Arc;

use regex::RegexBuilder;
use ringlog_wire::api::list_transactions::{ListTransactionsRequest, ListTransactionsResponse};
use ringlog_wire::error::ErrorCode;

use super::{Outcome, Request};
use crate::coordinator::{Answer, Ask, Kind};
use crate::shell::{ShardCore, Shell};
use crate::txn::{self, Event, Filters, IdFilter, Response};

/// A pattern may take as much memory, bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Answers a ListTransactions request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match ListTransactionsRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let to = request.reply_to();
    let (filters, unknown) = match filters(view) {
        Ok((filters, unknown)) => (Arc::new(filters), unknown),
        Err(error_code) => {
            let response = ListTransactionsResponse { error_code, ..Default::default() };
            return Outcome::Reply(to.answer(&response));
        }
    };
    // All coordinators share one: a client may name as many of each as fit into a request.
    let ask = move || {
        let filters = Arc::clone(&filters);
        Ask::Transaction(Box::new(move |to| Event::List { to, filters }))
    };
    let finish = move |shell: &mut Shell, core: &mut ShardCore, answers: Vec<_>| {
        to.send(shell, core, &together(answers, unknown));
    };
    shell.coordinate_each(core, Kind::Transactions, ask, Box::new(finish));
    Outcome::Parked
}

/// What is asked for, and the names of states that there are not.
fn filters(request: ListTransactionsRequest) -> Result<(Filters, Vec<String>), ErrorCode> {
    let pattern = request.transactional_id_pattern.filter(|pattern| !pattern.is_empty());
    let id = pattern.map(|pattern| {
        // The whole id must match, as in Kafka.
        let built = RegexBuilder::new(&format!("^(?:{pattern})$"))
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_BYTES_MAX)
            .build();
        let regex = built.map_err(|_| ErrorCode::InvalidRegularExpression)?;
        Ok(IdFilter(Arc::new(move |id| regex.is_match(id))))
    });
    let (states, unknown) = txn::states_named(request.state_filters);
    let filters = Filters {
        states,
        producer_ids: request.producer_id_filters.into_iter().collect(),
        duration_ms: (request.duration_filter >= 0).then_some(request.duration_filter),
        id: id.transpose()?,
    };
    Ok((filters, unknown))
}

/// What every coordinator told, and once what none had to be asked for.
fn together(
    answers: Vec<Result<Answer, ErrorCode>>,
    unknown_state_filters: Vec<String>,
) -> ListTransactionsResponse {
    let mut all = ListTransactionsResponse { unknown_state_filters, ..Default::default() };
    for answer in answers {
        match answer {
            Ok(Answer::Transaction(Response::List(mut some))) => {
                all.transaction_states.append(&mut some.transaction_states);
            }
            Ok(_) => unreachable!("a coordinator answers what it is asked"),
            Err(error_code) => {
                return ListTransactionsResponse { error_code, ..Default::default() };
            }
        }
    }
    all
}
