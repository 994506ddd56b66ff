//! TxnOffsetCommit · key 28 · v0–6.  v2: leader epochs.  v3: flexible; the group's member and
//! generation (KIP-447).  v5: the group's partition joins the transaction by itself (KIP-890).
//! v6: topic ids.
//!
//! The transaction's coordinator says first whether the transaction has the group's partition, then
//! the group's coordinator takes the offsets. They count when the transaction's marker says so
//! (rules 40, 41).

use ringlog_wire::api::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
};
use ringlog_wire::error::ErrorCode;

use super::{Outcome, ReplyTo, Request};
use crate::coordinator::{Answer, Ask, Kind};
use crate::group::{Event, Response};
use crate::shell::{ShardCore, Shell};
use crate::txn;

/// From this version on the group's partition joins the transaction by itself.
const ADDS_SINCE: i16 = 5;

/// Answers a TxnOffsetCommit request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match TxnOffsetCommitRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let to = request.reply_to();
    let transactional_id = view.transactional_id.clone();
    let partition = (Kind::Groups.topic().to_string(), shell.offsets_partition_of(&view.group_id));
    let (producer_id, producer_epoch) = (view.producer_id, view.producer_epoch);
    let verify = {
        let transactional_id = transactional_id.clone();
        let add = to.version >= ADDS_SINCE;
        let partitions = vec![partition];
        move |to| txn::Event::Verify {
            to,
            transactional_id,
            producer_id,
            producer_epoch,
            partitions,
            add,
        }
    };
    shell.coordinate_inside(
        core,
        Kind::Transactions,
        &transactional_id,
        Ask::Transaction(Box::new(verify)),
        Box::new(move |shell, core, answer| match verified(answer) {
            Ok(()) => commit(shell, core, to, view),
            Err(code) => to.send(shell, core, &refused(view, to.version, code)),
        }),
    );
    Outcome::Parked
}

/// What the transaction's coordinator says, in codes that clients of groups know.
fn verified(answer: Result<Answer, ErrorCode>) -> Result<(), ErrorCode> {
    let answer = answer.map(Answer::into_transaction);
    let code = match answer {
        Ok(txn::Response::Verify(partitions)) => {
            partitions.first().map_or(ErrorCode::None, |(_, _, code)| *code)
        }
        Ok(_) => unreachable!("a coordinator answers what it is asked"),
        Err(code) => code,
    };
    match code {
        ErrorCode::None => Ok(()),
        // This one is of transactions: the client would look for the group's anew.
        ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
            Err(ErrorCode::CoordinatorLoadInProgress)
        }
        code => Err(code),
    }
}

fn commit(shell: &mut Shell, core: &mut ShardCore, to: ReplyTo, view: TxnOffsetCommitRequest) {
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
