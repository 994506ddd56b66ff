//! JoinGroup · key 11 · v0–9
//!
//! v1: rebalance timeout.  v4: MEMBER_ID_REQUIRED (KIP-394).  v5: static members (KIP-345).
//! v6: flexible.  v7: protocol type and name.  v8: reason.  v9: the leader may skip assigning
//! (KIP-814).
//!
//! Answered when the group has its next generation (rules 68, 69, 71).

use ringlog_wire::api::join_group::{JoinGroupRequest, JoinGroupResponse};

use super::{Outcome, Request};
use crate::group::{Event, Response};
use crate::shell::{ShardCore, Shell};

/// Answers a JoinGroup request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match JoinGroupRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let (id, member_id) = (view.group_id.clone(), view.member_id.clone());
    let (client, version) = (shell.client_of(request), request.version);
    let event = move |to| Event::Join { to, client, version, request: view };
    shell.ask_group(core, request, &id, event, move |answer| match answer {
        Ok(Response::Join(response)) => response,
        Ok(_) => unreachable!("a coordinator answers what it is asked"),
        Err(error_code) => JoinGroupResponse { error_code, member_id, ..Default::default() },
    })
}
