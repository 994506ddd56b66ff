//! ListPartitionReassignments · key 46 · v0: nothing moves on one node (rule 65).

use ringlog_wire::api::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use super::{Outcome, Request};

/// Answers a ListPartitionReassignments request. As in Kafka, topics that do not exist are not told
/// either.
pub fn handle(request: &Request<'_>) -> Outcome {
    if let Err(error) = ListPartitionReassignmentsRequest::decode(request.version, request.body) {
        return Outcome::malformed(request.api, error);
    }
    let response = ListPartitionReassignmentsResponse {
        error_message: None,
        ..ListPartitionReassignmentsResponse::default()
    };
    Outcome::Reply(request.reply_to().answer(&response))
}
