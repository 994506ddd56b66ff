//! ListGroups · key 16 · v0–5.  v3: flexible.  v4: filtered by state.  v5: filtered by type.
//!
//! Tells the groups whose coordinators clients find at this broker (rule 74).

use std::sync::Arc;

use ringlog_wire::api::list_groups::{ListGroupsRequest, ListGroupsResponse};

use super::{Outcome, Request};
use crate::coordinator::{Answer, Ask, Kind};
use crate::group::{Event, Filters, Response};
use crate::shell::{ShardCore, Shell};

/// Answers a ListGroups request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match ListGroupsRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let to = request.reply_to();
    // All coordinators share one: a client may name as many states as fit into a request.
    let filters = Arc::new(Filters::of(&view));
    let ask = move || {
        let filters = Arc::clone(&filters);
        Ask::Group(Box::new(move |to| Event::List { to, filters }))
    };
    let finish = move |shell: &mut Shell, core: &mut ShardCore, answers: Vec<_>| {
        let mut all = ListGroupsResponse::default();
        for answer in answers {
            match answer {
                Ok(Answer::Group(Response::List(mut some))) => {
                    all.groups.append(&mut some.groups);
                    if all.error_code.is_none() {
                        all.error_code = some.error_code;
                    }
                }
                Ok(_) => unreachable!("a coordinator answers what it is asked"),
                Err(code) => {
                    all = ListGroupsResponse { error_code: code, ..ListGroupsResponse::default() };
                    break;
                }
            }
        }
        to.send(shell, core, &all);
    };
    shell.coordinate_each(core, Kind::Groups, ask, Box::new(finish));
    Outcome::Parked
}
