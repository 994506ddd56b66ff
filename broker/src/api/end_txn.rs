//! EndTxn · key 26 · v0–5.  v2: PRODUCER_FENCED.  v3: flexible.  v5: every transaction has an epoch
//! of its own, which the answer tells (KIP-890).
//!
//! Answered when the decision is durable, before the markers are written (rule 34).

use ringlog_wire::api::end_txn::{EndTxnRequest, EndTxnResponse};

use super::{Outcome, Request};
use crate::shell::{ShardCore, Shell};
use crate::txn::{Event, Response};

/// Answers an EndTxn request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match EndTxnRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let (id, version) = (view.transactional_id.clone(), request.version);
    let event = move |to| Event::EndTxn { to, version, request: view };
    shell.ask_transaction(core, request, &id, event, |answer| match answer {
        Ok(Response::EndTxn(response)) => response,
        Ok(_) => unreachable!("a coordinator answers what it is asked"),
        Err(error_code) => EndTxnResponse { error_code, ..EndTxnResponse::default() },
    })
}
