//! DeleteRecords · key 21 · v0–2.  v2: flexible.
//!
//! The log's start moves at once, what lies in segments wholly below it leaves the disk soon after
//! (Kafka: at its next look for retention); the answer is the first offset that is left (rule 64).
//! With one replica there is nobody to wait for, so the timeout is of no use.

use ringlog_wire::api::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};
use ringlog_wire::error::ErrorCode;

use super::asks::{Answer, Answers, Question};
use super::{Outcome, Request};
use crate::metadata::names::is_internal;
use crate::shell::{ShardCore, Shell};

/// Deletes the oldest records of partitions.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match DeleteRecordsRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let mut questions = Vec::new();
    for topic in &view.topics {
        for partition in &topic.partitions {
            let question = Question::DeleteRecords { before: partition.offset };
            let placed = shell.placed(&topic.name, partition.partition_index);
            questions.push(match placed {
                Ok(_) if is_internal(&topic.name) => Err(ErrorCode::InvalidTopicException),
                placed => placed.map(|(of, place)| (of, place, question)),
            });
        }
    }
    shell.ask_for(core, request, questions, move |answers| response(&view, answers))
}

fn response(request: &DeleteRecordsRequest, answers: Answers) -> DeleteRecordsResponse {
    let mut answers = answers.into_iter();
    let topics = request.topics.iter().map(|topic| DeleteRecordsTopicResult {
        name: topic.name.clone(),
        partitions: topic
            .partitions
            .iter()
            .zip(answers.by_ref())
            .map(|(asked, answer)| low_watermark(asked.partition_index, answer))
            .collect(),
    });
    DeleteRecordsResponse { throttle_time_ms: 0, topics: topics.collect() }
}

fn low_watermark(
    partition_index: i32,
    answer: Result<Answer, ErrorCode>,
) -> DeleteRecordsPartitionResult {
    let (low_watermark, error_code) = match answer {
        Ok(Answer::LowWatermark(low)) => (low, ErrorCode::None),
        Ok(_) => panic!("a deletion is answered with a low watermark"),
        Err(code) => (-1, code),
    };
    DeleteRecordsPartitionResult { partition_index, low_watermark, error_code }
}
