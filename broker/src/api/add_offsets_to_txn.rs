//! AddOffsetsToTxn · key 25 · v0–4.  v2: PRODUCER_FENCED.  v3: flexible.
//!
//! The partition in which a group's offsets are kept becomes part of a transaction.

use ringlog_wire::api::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::{Outcome, Request};
use crate::coordinator::{Kind, partition_of};
use crate::shell::{ShardCore, Shell};
use crate::txn::{Event, Response};

/// Answers an AddOffsetsToTxn request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match AddOffsetsToTxnRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let (id, version) = (view.transactional_id.clone(), request.version);
    let offsets_partition = shell.offsets_partition_of(&view.group_id);
    let event = move |to| Event::AddOffsets { to, version, request: view, offsets_partition };
    shell.ask_transaction(core, request, &id, event, |answer| match answer {
        Ok(Response::AddOffsets(response)) => response,
        Ok(_) => unreachable!("a coordinator answers what it is asked"),
        Err(error_code) => {
            AddOffsetsToTxnResponse { error_code, ..AddOffsetsToTxnResponse::default() }
        }
    })
}

impl Shell {
    /// The partition of the offsets topic that a group belongs to, now or when it is created.
    pub(crate) fn offsets_partition_of(&self, group: &str) -> i32 {
        let there_are = self.topics.named(Kind::Groups.topic()).map(|topic| topic.places.len());
        let will_be = || self.shared.config.defaults.number("offsets.topic.num.partitions");
        let partitions = there_are.map_or_else(will_be, |count| count as i64);
        partition_of(group, i32::try_from(partitions).unwrap_or(i32::MAX).max(1))
    }
}
