//! OffsetForLeaderEpoch · key 23 · v2–4.  v3: replica id.  v4: flexible.
//!
//! The end of the largest known epoch at or below the one asked for; of the present one that is the
//! log's end, whoever asks. No such epoch: (-1, -1) without an error (rule 52). The leader's epoch
//! is checked first (rule 51). The replica id decides nothing: there is nobody to be let in or kept
//! out yet.

use ringlog_wire::api::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderTopicResult,
};
use ringlog_wire::error::ErrorCode;

use super::asks::{Answer, Answers, Question};
use super::{Outcome, Request};
use crate::shell::{ShardCore, Shell};

/// Answers an OffsetForLeaderEpoch request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match OffsetForLeaderEpochRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let mut questions = Vec::new();
    for topic in &view.topics {
        for partition in &topic.partitions {
            let question = Question::EpochEnd {
                current_epoch: partition.current_leader_epoch,
                epoch: partition.leader_epoch,
            };
            let placed = shell.placed(&topic.topic, partition.partition);
            questions.push(placed.map(|(of, place)| (of, place, question)));
        }
    }
    shell.ask_for(core, request, questions, move |answers| response(&view, answers))
}

fn response(
    request: &OffsetForLeaderEpochRequest,
    answers: Answers,
) -> OffsetForLeaderEpochResponse {
    let mut answers = answers.into_iter();
    let topics = request.topics.iter().map(|topic| OffsetForLeaderTopicResult {
        topic: topic.topic.clone(),
        partitions: topic
            .partitions
            .iter()
            .zip(answers.by_ref())
            .map(|(asked, answer)| epoch_end(asked.partition, answer))
            .collect(),
    });
    OffsetForLeaderEpochResponse { throttle_time_ms: 0, topics: topics.collect() }
}

fn epoch_end(partition: i32, answer: Result<Answer, ErrorCode>) -> EpochEndOffset {
    let none = EpochEndOffset { partition, ..EpochEndOffset::default() };
    match answer {
        Ok(Answer::EpochEnd(Some(end))) => {
            EpochEndOffset { leader_epoch: end.epoch, end_offset: end.end_offset, ..none }
        }
        Ok(Answer::EpochEnd(None)) => none,
        Ok(_) => panic!("a question for an epoch's end is answered with one"),
        Err(error_code) => EpochEndOffset { error_code, ..none },
    }
}
