//! ConsumerGroupHeartbeat · key 68 · v0–1
//!
//! v1: regular expressions; member ids made by clients (KIP-848, KIP-1082; rule 75).

use ringlog_wire::api::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
};

use super::{Outcome, Request};
use crate::group::{Event, Response};
use crate::shell::{ShardCore, Shell};

/// Answers a ConsumerGroupHeartbeat request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match ConsumerGroupHeartbeatRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let id = view.group_id.clone();
    let (client, version) = (shell.client_of(request), request.version);
    let event = move |to| Event::ConsumerHeartbeat { to, client, version, request: view };
    shell.ask_group(core, request, &id, event, |answer| match answer {
        Ok(Response::ConsumerHeartbeat(response)) => response,
        Ok(_) => unreachable!("a coordinator answers what it is asked"),
        Err(error_code) => ConsumerGroupHeartbeatResponse { error_code, ..Default::default() },
    })
}
