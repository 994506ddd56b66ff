//! Heartbeat · key 12 · v0–4
//!
//! v3: static members.  v4: flexible (rule 70).

use ringlog_wire::api::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use super::{Outcome, Request};
use crate::group::{Event, Response};
use crate::shell::{ShardCore, Shell};

/// Answers a Heartbeat request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match HeartbeatRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let id = view.group_id.clone();
    let event = move |to| Event::Heartbeat { to, request: view };
    shell.ask_group(core, request, &id, event, |answer| match answer {
        Ok(Response::Heartbeat(response)) => response,
        Ok(_) => unreachable!("a coordinator answers what it is asked"),
        Err(error_code) => HeartbeatResponse { error_code, ..Default::default() },
    })
}
