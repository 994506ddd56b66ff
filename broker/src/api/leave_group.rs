//! LeaveGroup · key 13 · v0–5
//!
//! v3: several members, static ones by their names (rule 71).  v4: flexible.  v5: reason.

use ringlog_wire::api::leave_group::{LeaveGroupRequest, LeaveGroupResponse};

use super::{Outcome, Request};
use crate::group::{Event, Response};
use crate::shell::{ShardCore, Shell};

/// Answers a LeaveGroup request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match LeaveGroupRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let id = view.group_id.clone();
    let version = request.version;
    let event = move |to| Event::Leave { to, version, request: view };
    shell.ask_group(core, request, &id, event, |answer| match answer {
        Ok(Response::Leave(response)) => response,
        Ok(_) => unreachable!("a coordinator answers what it is asked"),
        Err(error_code) => LeaveGroupResponse { error_code, ..Default::default() },
    })
}
