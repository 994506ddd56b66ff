//! DescribeQuorum · key 55 · v0–2.  v1: times.  v2: errors in words, directories, endpoints.
//!
//! The controller answers ([`crate::metadata`]): it alone knows the end of the metadata log.

use ringlog_wire::api::describe_quorum::DescribeQuorumRequest;

use super::{Outcome, PARTITIONS_MAX, PendingControl, Request};
use crate::shell::{ControlAsk, ShardCore, Shell};

/// Passes a DescribeQuorum request to the controller.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match DescribeQuorumRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    if view.topics.iter().map(|topic| topic.partitions.len()).sum::<usize>() > PARTITIONS_MAX {
        let why = format!("DescribeQuorum names more than {PARTITIONS_MAX} partitions");
        return Outcome::Close(why);
    }
    let key = shell.controls.insert(PendingControl::DescribeQuorum(request.reply_to()));
    shell.ask_controller(core, key, ControlAsk::DescribeQuorum(view));
    Outcome::Parked
}
