//! WriteTxnMarkers · key 27 · v1–2.  v2: the transaction's version (KIP-1228).
//!
//! Ends transactions in partitions: asked by their coordinators, and by administrators who abort
//! what no coordinator knows of (`kafka-transactions abort`, rule 43). Answered when every marker
//! is on all replicas, marker by marker as they were asked (Kafka puts together what names the same
//! producer twice).

use ringlog_storage::transaction::Marker;
use ringlog_wire::api::write_txn_markers::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use ringlog_wire::error::ErrorCode;

use super::asks::{Answers, Question};
use super::{Outcome, Request};
use crate::shell::{ShardCore, Shell};

/// Answers a WriteTxnMarkers request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match WriteTxnMarkersRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let mut questions = Vec::new();
    for ending in &view.markers {
        let marker = Marker {
            producer_id: ending.producer_id,
            producer_epoch: ending.producer_epoch,
            committed: ending.transaction_result,
            coordinator_epoch: ending.coordinator_epoch,
        };
        let version = ending.transaction_version;
        let question = Question::WriteMarker { marker, version, is_own: false };
        for topic in &ending.topics {
            questions.extend(topic.partition_indexes.iter().map(|index| {
                shell.placed(&topic.name, *index).map(|(of, place)| (of, place, question))
            }));
        }
    }
    shell.ask_for(core, request, questions, move |answers| response(&view, answers))
}

fn response(request: &WriteTxnMarkersRequest, answers: Answers) -> WriteTxnMarkersResponse {
    let mut codes = answers.into_iter().map(|answer| answer.err().unwrap_or(ErrorCode::None));
    let markers = request.markers.iter().map(|ending| WritableTxnMarkerResult {
        producer_id: ending.producer_id,
        topics: ending
            .topics
            .iter()
            .map(|topic| WritableTxnMarkerTopicResult {
                name: topic.name.clone(),
                partitions: topic
                    .partition_indexes
                    .iter()
                    .zip(codes.by_ref())
                    .map(|(index, error_code)| WritableTxnMarkerPartitionResult {
                        partition_index: *index,
                        error_code,
                    })
                    .collect(),
            })
            .collect(),
    });
    WriteTxnMarkersResponse { markers: markers.collect() }
}
