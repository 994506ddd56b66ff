//! ListGroups · key 16 · v0–5.  v3: flexible.  v4: filtered by state.  v5: filtered by type.
//!
//! Tells the groups whose coordinators clients find at this broker (rule 74).

use std::sync::Arc;

use ringlog_wire::api::list_groups::{ListGroupsRequest, ListGroupsResponse};
use ringlog_wire::error::ErrorCode;

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
        to.send(shell, core, &together(answers));
    };
    shell.coordinate_each(core, Kind::Groups, ask, Box::new(finish));
    Outcome::Parked
}

/// All lists as one; or one's error, for a list that lacks groups without saying so misleads.
fn together(answers: Vec<Result<Answer, ErrorCode>>) -> ListGroupsResponse {
    let mut all = ListGroupsResponse::default();
    for answer in answers {
        match answer {
            Ok(Answer::Group(Response::List(mut some))) => all.groups.append(&mut some.groups),
            Ok(_) => unreachable!("a coordinator answers what it is asked"),
            // It has moved, or its log has failed, which is the same to Kafka: nobody is the
            // coordinator of its groups. The others are to be seen nevertheless.
            Err(ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) => {}
            Err(error_code) => return ListGroupsResponse { error_code, ..Default::default() },
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use ringlog_wire::api::list_groups::ListedGroup;

    use super::*;

    fn list(group_id: &str) -> Result<Answer, ErrorCode> {
        let group = ListedGroup { group_id: group_id.to_owned(), ..Default::default() };
        let groups = vec![group];
        Ok(Answer::Group(Response::List(ListGroupsResponse { groups, ..Default::default() })))
    }

    fn told(answers: Vec<Result<Answer, ErrorCode>>) -> (ErrorCode, Vec<String>) {
        let told = together(answers);
        (told.error_code, told.groups.into_iter().map(|group| group.group_id).collect())
    }

    #[test]
    fn rule_74_a_log_that_failed_hides_only_its_own_groups() {
        for code in [ErrorCode::NotCoordinator, ErrorCode::CoordinatorNotAvailable] {
            let answers = vec![list("a"), Err(code), list("b")];
            assert_eq!(told(answers), (ErrorCode::None, vec!["a".to_owned(), "b".to_owned()]));
        }
    }

    #[test]
    fn rule_74_while_one_is_loading_the_client_is_to_ask_again() {
        let code = ErrorCode::CoordinatorLoadInProgress;
        assert_eq!(told(vec![list("a"), Err(code), list("b")]), (code, Vec::new()));
    }
}
