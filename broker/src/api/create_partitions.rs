//! CreatePartitions · key 37 · v0–3.  v3: quota errors (never given).
//!
//! The controller decides ([`crate::metadata`]); the answer leaves when every shard has its new
//! partitions open. Broker ids in manual assignments are translated as in CreateTopics.

use ringlog_wire::api::create_partitions::CreatePartitionsRequest;

use super::{Outcome, PendingControl, Request};
use crate::shell::{ControlAsk, ShardCore, Shell};

/// Passes a CreatePartitions request to the controller.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let mut view = match CreatePartitionsRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let Some(bytes) = request.bytes_with(elements(&view)) else {
        return Outcome::too_many_elements(request.api);
    };
    let assignments = view.topics.iter_mut().filter_map(|topic| topic.assignments.as_mut());
    for assignment in assignments.flatten() {
        shell.make_inside_ids(&mut assignment.broker_ids);
    }
    let names = view.topics.iter().map(|topic| topic.name.clone()).collect();
    let key = shell.controls.insert(PendingControl::CreatePartitions(request.reply_to(), names));
    shell.ask_controller(core, key, ControlAsk::CreatePartitions(view), bytes);
    Outcome::Parked
}

fn elements(view: &CreatePartitionsRequest) -> usize {
    let assignments = view.topics.iter().flat_map(|topic| topic.assignments.iter().flatten());
    view.topics.len() + assignments.map(|one| 1 + one.broker_ids.len()).sum::<usize>()
}
