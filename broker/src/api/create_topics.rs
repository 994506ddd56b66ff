//! CreateTopics · key 19 · v2–7.  v4: -1 for the broker's defaults (KIP-464).  v5: the answer
//! describes the topic. v6: quota errors (never given).  v7: topic ids.
//!
//! The controller decides ([`crate::metadata`]); this file carries the request there and the answer
//! back. The broker ids of manual assignments are the outside's, those of the metadata log are
//! nodes: translated here.

use ringlog_wire::api::create_topics::CreateTopicsRequest;

use super::{Outcome, PendingControl, Request};
use crate::shell::{ControlAsk, ShardCore, Shell};

/// Passes a CreateTopics request to the controller.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let mut view = match CreateTopicsRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let Some(bytes) = request.bytes_with(elements(&view)) else {
        return Outcome::too_many_elements(request.api);
    };
    for assignment in view.topics.iter_mut().flat_map(|topic| &mut topic.assignments) {
        shell.make_inside_ids(&mut assignment.broker_ids);
    }
    let names = view.topics.iter().map(|topic| topic.name.clone()).collect();
    let key = shell.controls.insert(PendingControl::CreateTopics(request.reply_to(), names));
    shell.ask_controller(core, key, ControlAsk::CreateTopics(view), bytes);
    Outcome::Parked
}

fn elements(view: &CreateTopicsRequest) -> usize {
    let assignments = view.topics.iter().flat_map(|topic| &topic.assignments);
    let assigned = assignments.map(|one| 1 + one.broker_ids.len()).sum::<usize>();
    view.topics.iter().map(|topic| 1 + topic.configs.len()).sum::<usize>() + assigned
}
