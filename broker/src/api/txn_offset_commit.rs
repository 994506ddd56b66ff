//! TxnOffsetCommit · key 28 · v0–6
//!
//! v2: leader epochs.  v3: flexible; the group's member and generation (KIP-447).  v5: the group's
//! partition joins the transaction by itself (KIP-890).  v6: topic ids.
//!
//! The offsets count when the transaction's marker says so (rules 40, 41).

use ringlog_wire::api::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use ringlog_wire::error::ErrorCode;

use super::{Outcome, Request};
use crate::group::{Event, Response};
use crate::shell::{ShardCore, Shell};

/// Answers a request of this kind.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match TxnOffsetCommitRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let version = request.version;
    let (id, unheard) = (view.group_id.clone(), view.clone());
    let event = move |to| Event::TxnCommit { to, version, request: view };
    shell.ask_group(core, request, &id, event, move |answer| match answer {
        Ok(Response::TxnCommit(response)) => response,
        Ok(_) => unreachable!("a coordinator answers what it is asked"),
        Err(code) => refused(unheard, version, code),
    })
}

/// Every partition has the same code.
fn refused(request: TxnOffsetCommitRequest, version: i16, code: ErrorCode) -> TxnOffsetCommitResponse {
    let code = for_version(version, code);
    let topics = request.topics.into_iter().map(|topic| TxnOffsetCommitResponseTopic {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| TxnOffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: code,
            })
            .collect(),
    });
    TxnOffsetCommitResponse { throttle_time_ms: 0, topics: topics.collect() }
}
