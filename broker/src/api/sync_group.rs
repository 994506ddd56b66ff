//! SyncGroup · key 14 · v0–5
//!
//! v3: static members.  v4: flexible.  v5: protocol type and name are checked (rule 69).
//!
//! Answered when the group's leader has said who does what.

use ringlog_wire::api::sync_group::{SyncGroupRequest, SyncGroupResponse};

use super::{Outcome, Request};
use crate::group::{Event, Response};
use crate::shell::{ShardCore, Shell};

/// Answers a SyncGroup request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match SyncGroupRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let id = view.group_id.clone();
    let event = move |to| Event::Sync { to, request: view };
    shell.ask_group(core, request, &id, event, |answer| match answer {
        Ok(Response::Sync(response)) => response,
        Ok(_) => unreachable!("a coordinator answers what it is asked"),
        Err(error_code) => SyncGroupResponse { error_code, ..Default::default() },
    })
}
