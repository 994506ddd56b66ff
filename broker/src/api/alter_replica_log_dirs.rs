//! AlterReplicaLogDirs · key 34 · v1–2.
//!
//! There is one directory: a partition may be told to be in it, and any other is not found. As in
//! Kafka, of a partition that is named under two directories the last one counts.

use std::collections::BTreeMap;
use std::path::Path;

use ringlog_wire::api::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};
use ringlog_wire::error::ErrorCode;

use super::{Outcome, PARTITIONS_MAX, Request};
use crate::shell::Shell;

/// Answers an AlterReplicaLogDirs request.
pub fn handle(shell: &Shell, request: &Request<'_>) -> Outcome {
    let view = match AlterReplicaLogDirsRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let topics = view.dirs.iter().flat_map(|dir| &dir.topics);
    if topics.map(|topic| topic.partitions.len()).sum::<usize>() > PARTITIONS_MAX {
        let name = request.api.name;
        return Outcome::Close(format!("{name} names more than {PARTITIONS_MAX} partitions"));
    }
    let response = answer(shell, &view);
    Outcome::Reply(request.reply_to().answer(&response))
}

fn answer(shell: &Shell, view: &AlterReplicaLogDirsRequest) -> AlterReplicaLogDirsResponse {
    let own = std::path::absolute(&shell.shared.config.data_dir);
    let mut found = BTreeMap::<&str, BTreeMap<i32, bool>>::new();
    for dir in &view.dirs {
        let is_own = own.as_ref().is_ok_and(|own| own == Path::new(&dir.path));
        for topic in &dir.topics {
            let of_topic = found.entry(&topic.name).or_default();
            of_topic.extend(topic.partitions.iter().map(|index| (*index, is_own)));
        }
    }
    let results = found.into_iter().map(|(name, partitions)| {
        let topic = shell.image.topic_named(name);
        let one = |(partition_index, is_own): (i32, bool)| AlterReplicaLogDirPartitionResult {
            partition_index,
            error_code: match topic.is_some_and(|t| t.partitions.contains_key(&partition_index)) {
                _ if !is_own => ErrorCode::LogDirNotFound,
                true => ErrorCode::None,
                false => ErrorCode::UnknownTopicOrPartition,
            },
        };
        let partitions = partitions.into_iter().map(one).collect();
        AlterReplicaLogDirTopicResult { topic_name: name.to_string(), partitions }
    });
    AlterReplicaLogDirsResponse { throttle_time_ms: 0, results: results.collect() }
}
