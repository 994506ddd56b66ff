//! AlterPartitionReassignments · key 45 · v0–1.  v1: a change of the number of replicas can be
//! forbidden.
//!
//! One node keeps every replica and nothing moves (rule 65): a partition can be told to stay, there
//! is never a move to end, and replicas elsewhere are refused. With `advertise = shard` a partition
//! stays on its shard too.

use std::sync::Arc;

use ringlog_wire::api::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignablePartitionResponse, ReassignableTopic, ReassignableTopicResponse,
};
use ringlog_wire::error::ErrorCode;

use super::{Outcome, PARTITIONS_MAX, Request};
use crate::metadata::{TopicImage, names, placement, reassign};
use crate::shell::Shell;

/// Why a partition does not move, with the words that Kafka has for it, if any.
type Reason = (ErrorCode, Option<String>);

/// Answers an AlterPartitionReassignments request.
pub fn handle(shell: &Shell, request: &Request<'_>) -> Outcome {
    let view = match AlterPartitionReassignmentsRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    if view.topics.iter().map(|topic| topic.partitions.len()).sum::<usize>() > PARTITIONS_MAX {
        let name = request.api.name;
        return Outcome::Close(format!("{name} names more than {PARTITIONS_MAX} partitions"));
    }
    let may_change = view.allow_replication_factor_change;
    let response = AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: may_change || view.topics.is_empty(),
        // Kafka answers a request for nothing before it looks at it.
        error_message: view.topics.is_empty().then(String::new),
        responses: view.topics.iter().map(|topic| of_topic(shell, topic, may_change)).collect(),
        ..AlterPartitionReassignmentsResponse::default()
    };
    Outcome::Reply(request.reply_to().answer(&response))
}

fn of_topic(
    shell: &Shell,
    asked: &ReassignableTopic,
    may_change: bool,
) -> ReassignableTopicResponse {
    let topic = shell.image.topic_named(&asked.name);
    let one = |partition: &ReassignablePartition| {
        let unknown = || unknown_topic(&asked.name);
        let stays = topic.ok_or_else(unknown).and_then(|t| check(shell, t, partition, may_change));
        let (error_code, error_message) = stays.err().unwrap_or_default();
        let partition_index = partition.partition_index;
        ReassignablePartitionResponse { partition_index, error_code, error_message }
    };
    let partitions = asked.partitions.iter().map(one).collect();
    ReassignableTopicResponse { name: asked.name.clone(), partitions }
}

/// The name once for each partition: of one that is too long, as much as a topic can have.
fn unknown_topic(name: &str) -> Reason {
    let text = format!("Unable to find a topic named {}.", names::shown(name));
    (ErrorCode::UnknownTopicOrPartition, Some(text))
}

/// Ok for a partition that is to stay where it is.
fn check(
    shell: &Shell,
    topic: &Arc<TopicImage>,
    asked: &ReassignablePartition,
    may_change: bool,
) -> Result<(), Reason> {
    let index = asked.partition_index;
    let Some(partition) = topic.partitions.get(&index) else {
        let text = format!("Unable to find partition {}:{index}.", topic.name);
        return Err((ErrorCode::UnknownTopicOrPartition, Some(text)));
    };
    let Some(outside) = &asked.replicas else {
        return Err((ErrorCode::NoReassignmentInProgress, None));
    };
    let told = |(code, text)| (code, Some(text));
    let mut inside = outside.clone();
    shell.make_inside_ids(&mut inside);
    reassign::check_move(&shell.image, index, partition, &inside, may_change).map_err(told)?;
    let home = placement::shard_of(topic.id, index, shell.shared.config.shards);
    match shell.outside_ids(home, &partition.replicas) == *outside {
        true => Ok(()),
        false => Err(told(reassign::stays())),
    }
}

#[cfg(test)]
mod tests {
    use super::unknown_topic;

    #[test]
    fn a_long_name_is_not_repeated_for_each_partition() {
        let (_, text) = unknown_topic(&"x".repeat(32_767));
        assert!(text.is_some_and(|text| text.len() < 300));
        let (_, text) = unknown_topic("nope");
        assert_eq!(text.as_deref(), Some("Unable to find a topic named nope."));
    }
}
