//! DescribeQuorum · key 55 · v0–2.  v1: times.  v2: errors in words, directories, endpoints.
//!
//! The controller answers ([`crate::metadata`]): it alone knows the end of the metadata log.

use ringlog_wire::api::describe_quorum::DescribeQuorumRequest;

use super::{Outcome, PendingControl, Request};
use crate::shell::{ControlAsk, ShardCore, Shell};

/// Passes a DescribeQuorum request to the controller.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match DescribeQuorumRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let partitions = view.topics.iter().map(|topic| topic.partitions.len()).sum::<usize>();
    let Some(bytes) = request.bytes_with(view.topics.len() + partitions) else {
        return Outcome::too_many_elements(request.api);
    };
    let key = shell.controls.insert(PendingControl::DescribeQuorum(request.reply_to()));
    shell.ask_controller(core, key, ControlAsk::DescribeQuorum(view), bytes);
    Outcome::Parked
}
