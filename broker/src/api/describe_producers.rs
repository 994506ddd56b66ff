//! DescribeProducers · key 61 · v0.
//!
//! Who has produced idempotently, as the partition's table of producers remembers it (rule 43). An
//! owner tells [`super::asks::PRODUCERS_TOLD_MAX`] of them at most: the partitions beyond that get
//! UNKNOWN_SERVER_ERROR, and are to be asked about apart.

use ringlog_wire::api::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, TopicResponse,
};
use ringlog_wire::error::ErrorCode;

use super::asks::{Answer, Answers, Question};
use super::{Outcome, Request};
use crate::metadata::names::check_topic_name;
use crate::shell::{ShardCore, Shell};

/// Answers a DescribeProducers request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match DescribeProducersRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let mut questions = Vec::new();
    for topic in &view.topics {
        let is_name = check_topic_name(&topic.name).is_ok();
        for index in &topic.partition_indexes {
            questions.push(match is_name {
                true => shell
                    .placed(&topic.name, *index)
                    .map(|(of, place)| (of, place, Question::Producers)),
                false => Err(ErrorCode::InvalidTopicException),
            });
        }
    }
    shell.ask_for(core, request, questions, move |answers| response(&view, answers))
}

fn response(request: &DescribeProducersRequest, answers: Answers) -> DescribeProducersResponse {
    let mut answers = answers.into_iter();
    let topics = request.topics.iter().map(|topic| TopicResponse {
        name: topic.name.clone(),
        partitions: topic
            .partition_indexes
            .iter()
            .zip(answers.by_ref())
            .map(|(index, answer)| producers(*index, answer))
            .collect(),
    });
    DescribeProducersResponse { throttle_time_ms: 0, topics: topics.collect() }
}

fn producers(partition_index: i32, answer: Result<Answer, ErrorCode>) -> PartitionResponse {
    let none = PartitionResponse { partition_index, ..PartitionResponse::default() };
    match answer {
        Ok(Answer::Producers(found)) => PartitionResponse { active_producers: found, ..none },
        Ok(_) => panic!("a question for producers is answered with them"),
        Err(error_code) => PartitionResponse { error_code, ..none },
    }
}
