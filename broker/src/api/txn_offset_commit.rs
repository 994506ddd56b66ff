//! TxnOffsetCommit · key 28 · v0–6.  v2: leader epochs.  v3: flexible; the group's member and
//! generation (KIP-447).  v5: the group's partition joins the transaction by itself (KIP-890).
//! v6: topic ids.
//!
//! The group's shard asks the transaction's coordinator first whether the transaction has the
//! group's partition (`shell/coordinators/offsets.rs`), then the group's coordinator takes the
//! offsets. They count when the transaction's marker says so (rules 40, 41).

use ringlog_wire::api::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
};
use ringlog_wire::error::ErrorCode;

use super::{Outcome, Request};
use crate::coordinator::{Answer, Ask, Kind};
use crate::group::{Event, Response};
use crate::shell::{ShardCore, Shell};

/// Answers a TxnOffsetCommit request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match TxnOffsetCommitRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let to = request.reply_to();
    let (id, unheard, version) = (view.group_id.clone(), view.clone(), to.version);
    let ask = Ask::Group(Box::new(move |to| Event::TxnCommit { to, version, request: view }));
    shell.coordinate(
        core,
        Kind::Groups,
        &id,
        ask,
        Box::new(move |shell, core, answer| {
            let response = match answer.map(Answer::into_group) {
                Ok(Response::TxnCommit(response)) => response,
                Ok(_) => unreachable!("a coordinator answers what it is asked"),
                Err(code) => refused(unheard, version, code),
            };
            to.send(shell, core, &response);
        }),
    );
    Outcome::Parked
}

/// Every partition has the same code.
fn refused(
    request: TxnOffsetCommitRequest,
    version: i16,
    code: ErrorCode,
) -> TxnOffsetCommitResponse {
    // Clients before version 2 do not know it.
    let code = match code {
        ErrorCode::CoordinatorLoadInProgress if version < 2 => ErrorCode::CoordinatorNotAvailable,
        code => code,
    };
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
