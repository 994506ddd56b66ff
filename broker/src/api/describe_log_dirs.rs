//! DescribeLogDirs · key 35 · v1–5.  v2: flexible.  v3: a top error.  v4: the volume.  v5: cordons.
//!
//! There is one data directory, and nothing moves between directories, so no partition is ever
//! behind or in the future, and the directory is never cordoned. A partition's size is that of its
//! batches: space that is allocated ahead of the writer does not count. Partitions that are not
//! here are left out without an error, as in Kafka, and so is the metadata log.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringlog_wire::api::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};
use ringlog_wire::error::ErrorCode;

use super::asks::{Answer, Answered, Answers, Question};
use super::{Outcome, PARTITIONS_MAX, Request};
use crate::message::Message;
use crate::partition::TopicName;
use crate::shell::{ShardCore, Shell};

/// A partition that is asked for.
type Asked = (Arc<TopicName>, i32);

/// Answers a DescribeLogDirs request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match DescribeLogDirsRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let asked: Vec<Asked> = match &view.topics {
        Some(topics)
            if topics.iter().map(|t| t.partitions.len()).sum::<usize>() > PARTITIONS_MAX =>
        {
            return Outcome::too_many_partitions(request.api);
        }
        Some(topics) => {
            // What is not here is not told, so its name need not be kept.
            let here = topics.iter().filter_map(|asked| {
                Some((&shell.topics.named(&asked.topic)?.name, &asked.partitions))
            });
            let all = here.flat_map(|(name, indexes)| {
                indexes.iter().map(move |index| (Arc::clone(name), *index))
            });
            all.collect()
        }
        None => {
            let topics = shell.topics.ids().filter_map(|id| shell.topics.with_id(id));
            let all = topics.flat_map(|topic| {
                let indexes = 0..topic.places.len() as i32;
                indexes.map(|index| (Arc::clone(&topic.name), index))
            });
            all.collect()
        }
    };
    let questions = asked.iter().map(|(name, index)| {
        shell.placed(&name.name, *index).map(|(of, place)| (of, place, Question::Size))
    });
    let questions: Vec<_> = questions.collect();
    let to = request.reply_to();
    let dir = shell.shared.data.root().display().to_string();
    let entry = questions.len() as u32;
    let finish = move |shell: &mut Shell, core: &mut ShardCore, answers| {
        let response = response(dir, asked, answers);
        to.send(shell, core, &response);
    };
    let key = shell.ask_and_wait(core, questions, Box::new(finish));
    let data = shell.shared.data.clone();
    core.blocking(Box::new(move || {
        let space = data.space().map(|space| Answer::Volume(space.total, space.usable));
        let result = space.map_err(|error| {
            tracing::error!(%error, "the data directory's volume does not say its size");
            ErrorCode::KafkaStorageError
        });
        Message::Answers { request: key, answers: vec![Answered { entry, result }] }
    }));
    Outcome::Parked
}

fn response(dir: String, asked: Vec<Asked>, answers: Answers) -> DescribeLogDirsResponse {
    let mut topics: BTreeMap<Box<str>, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    let mut volume = (-1, -1);
    let mut answers = answers.into_iter();
    for ((name, partition_index), answer) in asked.into_iter().zip(answers.by_ref()) {
        let Ok(Answer::Size(bytes)) = answer else { continue };
        let partition = DescribeLogDirsPartition {
            partition_index,
            partition_size: i64::try_from(bytes).unwrap_or(i64::MAX),
            offset_lag: 0,
            is_future_key: false,
        };
        match topics.get_mut(&name.name) {
            Some(partitions) => partitions.push(partition),
            None => {
                topics.insert(name.name.clone(), vec![partition]);
            }
        }
    }
    if let Some(Ok(Answer::Volume(total, usable))) = answers.next() {
        let bytes = |count| i64::try_from(count).unwrap_or(i64::MAX);
        volume = (bytes(total), bytes(usable));
    }
    let topics = topics.into_iter().map(|(name, mut partitions)| {
        partitions.sort_unstable_by_key(|partition| partition.partition_index);
        partitions.dedup_by_key(|partition| partition.partition_index);
        DescribeLogDirsTopic { name: name.into(), partitions }
    });
    let result = DescribeLogDirsResult {
        error_code: ErrorCode::None,
        log_dir: dir,
        topics: topics.collect(),
        total_bytes: volume.0,
        usable_bytes: volume.1,
        is_cordoned: false,
    };
    DescribeLogDirsResponse {
        throttle_time_ms: 0,
        error_code: ErrorCode::None,
        results: vec![result],
    }
}
