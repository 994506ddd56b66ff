//! OffsetCommit · key 8 · v2–10
//!
//! v3: throttle time.  v5: no retention time any more.  v6: leader epochs.  v7: static members.
//! v8: flexible.  v9: member epochs of consumer groups (KIP-848).  v10: topic ids.
//!
//! Answered when the offsets are durable (rules 70, 73).

use ringlog_wire::api::offset_commit::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use ringlog_wire::error::ErrorCode;

use super::{Outcome, Request};
use crate::group::{Event, Response};
use crate::shell::{ShardCore, Shell};

/// Answers a request of this kind.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match OffsetCommitRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let version = request.version;
    let (id, unheard) = (view.group_id.clone(), view.clone());
    let event = move |to| Event::Commit { to, version, request: view };
    shell.ask_group(core, request, &id, event, move |answer| match answer {
        Ok(Response::Commit(response)) => response,
        Ok(_) => unreachable!("a coordinator answers what it is asked"),
        Err(code) => refused(unheard, code),
    })
}

/// Every partition has the same code.
fn refused(request: OffsetCommitRequest, code: ErrorCode) -> OffsetCommitResponse {
    let topics = request.topics.into_iter().map(|topic| OffsetCommitResponseTopic {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: code,
            })
            .collect(),
    });
    OffsetCommitResponse { throttle_time_ms: 0, topics: topics.collect() }
}
