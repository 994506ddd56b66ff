//! DeleteGroups · key 42 · v0–3
//!
//! v2: flexible.  v3: the error in words.
//!
//! Only groups without members go (NON_EMPTY_GROUP).

use ringlog_wire::api::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};
use ringlog_wire::error::ErrorCode;

use super::coordinators::{IDS_MAX, each_once};
use super::{Outcome, Request};
use crate::coordinator::{Answer, Ask, Kind};
use crate::group::{Event, Response};
use crate::shell::{ShardCore, Shell};

/// Answers a DeleteGroups request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match DeleteGroupsRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    if view.groups_names.len() > IDS_MAX {
        return Outcome::Close(format!("DeleteGroups names more than {IDS_MAX} groups"));
    }
    let to = request.reply_to();
    let ids = each_once(view.groups_names);
    let asks = ids.clone().into_iter().map(|id| {
        let asked = id.clone();
        let event = move |to| Event::Delete { to, group_id: id };
        (asked, Ask::Group(Box::new(event)))
    });
    let asks = asks.collect();
    let finish = move |shell: &mut Shell, core: &mut ShardCore, answers: Vec<_>| {
        let each = ids.into_iter().zip(answers).map(|(id, answer)| match answer {
            Ok(Answer::Group(Response::Delete(told))) => told,
            Ok(_) => unreachable!("a coordinator answers what it is asked"),
            Err(code) => refused(id, code),
        });
        let results = each.collect();
        to.send(shell, core, &DeleteGroupsResponse { throttle_time_ms: 0, results });
    };
    shell.coordinate_all(core, Kind::Groups, asks, Box::new(finish));
    Outcome::Parked
}

/// One without a coordinator.
fn refused(group_id: String, error_code: ErrorCode) -> DeletableGroupResult {
    DeletableGroupResult { group_id, error_code, ..DeletableGroupResult::default() }
}
