//! InitProducerId · key 22 · v0–5.  v3: the producer's id and epoch (KIP-360).
//!
//! Without a transactional id: a new id and epoch 0, always (rule 30). Ids come in blocks from the
//! controller, so a block that was begun before a crash is never given out again. With a
//! transactional id: its coordinator decides (rule 32).

use ringlog_shard::buf::Slice;
use ringlog_wire::api::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ringlog_wire::error::ErrorCode;

use super::{Outcome, PendingControl, ReplyTo, Request};
use crate::metadata::ProducerIds;
use crate::session::Reply;
use crate::shell::{ControlAsk, ShardCore, Shell};
use crate::txn::{Event, Response};

/// Answers an InitProducerId request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match InitProducerIdRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let to = request.reply_to();
    if (view.producer_id == -1) != (view.producer_epoch == -1) {
        // No producer has one without the other.
        return Outcome::Reply(answer(to, Err(ErrorCode::InvalidRequest)));
    }
    match view.transactional_id.clone() {
        None => {}
        Some(id) if id.is_empty() => {
            return Outcome::Reply(answer(to, Err(ErrorCode::InvalidRequest)));
        }
        Some(id) => {
            let version = request.version;
            let event = move |to| Event::InitProducerId { to, version, request: view };
            return shell.ask_transaction(core, request, &id, event, |answer| match answer {
                Ok(Response::InitProducerId(response)) => response,
                Ok(_) => unreachable!("a coordinator answers what it is asked"),
                Err(code) => response(Err(code)),
            });
        }
    }
    if let Some(id) = shell.producer_ids.next() {
        return Outcome::Reply(answer(to, Ok(id)));
    }
    shell.waiting_for_ids.push(to);
    ask_for_ids(shell, core);
    Outcome::Parked
}

fn answer(to: ReplyTo, id: Result<i64, ErrorCode>) -> Reply<Slice> {
    to.answer(&response(id))
}

fn response(id: Result<i64, ErrorCode>) -> InitProducerIdResponse {
    InitProducerIdResponse {
        throttle_time_ms: 0,
        error_code: id.err().unwrap_or(ErrorCode::None),
        producer_id: id.unwrap_or(-1),
        producer_epoch: if id.is_ok() { 0 } else { -1 },
    }
}

/// Asks the controller for a block, unless one was asked for already.
pub(crate) fn ask_for_ids(shell: &mut Shell, core: &mut ShardCore) {
    if !std::mem::replace(&mut shell.asked_for_ids, true) {
        let key = shell.controls.insert(PendingControl::ProducerIds);
        shell.ask_controller(core, key, ControlAsk::ProducerIds, 0);
    }
}

/// A block has come, or not.
pub fn ids_came(shell: &mut Shell, core: &mut ShardCore, ids: Result<ProducerIds, ErrorCode>) {
    shell.asked_for_ids = false;
    if let Ok(ids) = ids {
        shell.producer_ids = ids.first..ids.first + ids.count;
    }
    let waiting = std::mem::take(&mut shell.waiting_for_ids);
    for to in waiting {
        let id = match (ids, shell.producer_ids.next()) {
            (Err(code), _) => Err(code),
            (Ok(_), Some(id)) => Ok(id),
            (Ok(_), None) => {
                // More waited than a block holds.
                shell.waiting_for_ids.push(to);
                continue;
            }
        };
        let reply = answer(to, id);
        shell.reply(core, to.conn, to.sequence, Some(reply));
    }
    if !shell.waiting_for_ids.is_empty() {
        ask_for_ids(shell, core);
    }
}
