//! DeleteTopics · key 20 · v1–6.  v5: error messages.  v6: topics by id.
//!
//! The controller decides ([`crate::metadata`]); the answer leaves when the logs are gone from
//! every shard.

use ringlog_wire::Uuid;
use ringlog_wire::api::delete_topics::DeleteTopicsRequest;

use super::{Outcome, PendingControl, Request};
use crate::shell::{ControlAsk, ShardCore, Shell};

/// Passes a DeleteTopics request to the controller.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match DeleteTopicsRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let Some(bytes) = request.bytes_with(view.topics.len() + view.topic_names.len()) else {
        return Outcome::too_many_elements(request.api);
    };
    let by_name = view.topic_names.iter().map(|name| (Some(name.clone()), Uuid::ZERO));
    let by_state = view.topics.iter().map(|topic| (topic.name.clone(), topic.topic_id));
    let targets = by_name.chain(by_state).collect();
    let key = shell.controls.insert(PendingControl::DeleteTopics(request.reply_to(), targets));
    shell.ask_controller(core, key, ControlAsk::DeleteTopics(view), bytes);
    Outcome::Parked
}
