//! OffsetDelete · key 47 · v0
//!
//! Deletes committed offsets of partitions that no member of the group reads (KIP-496).

use ringlog_wire::api::offset_delete::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::{Outcome, Request};
use crate::group::{Event, Response};
use crate::shell::{ShardCore, Shell};

/// Answers an OffsetDelete request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match OffsetDeleteRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let id = view.group_id.clone();
    let event = move |to| Event::DeleteOffsets { to, request: view };
    shell.ask_group(core, request, &id, event, |answer| match answer {
        Ok(Response::DeleteOffsets(response)) => response,
        Ok(_) => unreachable!("a coordinator answers what it is asked"),
        Err(error_code) => OffsetDeleteResponse { error_code, ..Default::default() },
    })
}
