//! DescribeGroups · key 15 · v0–6
//!
//! v3: what the client may do.  v4: static members.  v5: flexible.  v6: GROUP_ID_NOT_FOUND instead
//! of the state Dead (rule 74).

use ringlog_wire::api::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup,
};
use ringlog_wire::error::ErrorCode;

use super::coordinators::{IDS_MAX, each_once};
use super::{Outcome, Request, operations};
use crate::coordinator::{Answer, Ask, Kind};
use crate::group::{Event, Response};
use crate::shell::{ShardCore, Shell};

/// Answers a DescribeGroups request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match DescribeGroupsRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    if view.groups.len() > IDS_MAX {
        return Outcome::Close(format!("DescribeGroups names more than {IDS_MAX} groups"));
    }
    let to = request.reply_to();
    let version = request.version;
    let with_operations = view.include_authorized_operations;
    let ids = each_once(view.groups);
    let asks = ids.clone().into_iter().map(|id| {
        let asked = id.clone();
        let event = move |to| Event::Describe { to, version, group_id: id };
        (asked, Ask::Group(Box::new(event)))
    });
    let asks = asks.collect();
    let finish = move |shell: &mut Shell, core: &mut ShardCore, answers: Vec<_>| {
        let each = ids.into_iter().zip(answers).map(|(id, answer)| match answer {
            Ok(Answer::Group(Response::Describe(told))) => told,
            Ok(_) => unreachable!("a coordinator answers what it is asked"),
            Err(code) => refused(id, code),
        });
        let mut groups: Vec<DescribedGroup> = each.collect();
        if with_operations {
            let known = groups.iter_mut().filter(|group| group.error_code.is_none());
            known.for_each(|group| group.authorized_operations = operations::GROUP);
        }
        to.send(shell, core, &DescribeGroupsResponse { throttle_time_ms: 0, groups });
    };
    shell.coordinate_large(core, Kind::Groups, asks, Box::new(finish));
    Outcome::Parked
}

/// One without a coordinator.
fn refused(group_id: String, error_code: ErrorCode) -> DescribedGroup {
    DescribedGroup { group_id, error_code, ..DescribedGroup::default() }
}
