//! DescribeTopicPartitions · key 75 · v0 (KIP-966, rule 66).
//!
//! Topics ascend by name, each once; a page ends after so many partitions and says where the next
//! begins. A topic that does not exist costs the page nothing. Operations are always told.
//!
//! Unlike Kafka, the empty name is an invalid topic's; Kafka fails on it with UNKNOWN_SERVER_ERROR
//! for the whole request.

use std::collections::BTreeSet;
use std::ops::Bound;

use ringlog_wire::api::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use ringlog_wire::error::ErrorCode;

use super::{Outcome, Request, operations};
use crate::metadata::{PartitionImage, TopicImage, names, placement};
use crate::shell::Shell;

/// Most partitions of one page (Kafka's `max.request.partition.size.limit`).
const PARTITIONS_PER_PAGE_MAX: i32 = 2000;

/// Answers a DescribeTopicPartitions request.
pub fn handle(shell: &Shell, request: &Request<'_>) -> Outcome {
    let view = match DescribeTopicPartitionsRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let response = match is_cursor_sound(&view) {
        true => page(shell, &view),
        false => refused(&view),
    };
    Outcome::Reply(request.reply_to().answer(&response))
}

/// A page may begin at a topic that is asked for, at a partition that could be.
fn is_cursor_sound(view: &DescribeTopicPartitionsRequest) -> bool {
    let Some(cursor) = &view.cursor else { return true };
    let asked = view.topics.is_empty() || view.topics.iter().any(|t| t.name == cursor.topic_name);
    cursor.partition_index >= 0 && asked
}

fn refused(view: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let topic = |name: &str| DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::InvalidRequest,
        name: Some(name.to_string()),
        ..DescribeTopicPartitionsResponseTopic::default()
    };
    let names: BTreeSet<&str> = view.topics.iter().map(|topic| topic.name.as_str()).collect();
    DescribeTopicPartitionsResponse {
        topics: names.into_iter().map(topic).collect(),
        ..DescribeTopicPartitionsResponse::default()
    }
}

/// Partitions of a page, whatever its reader wants.
fn page_size(wanted: i32) -> usize {
    wanted.clamp(1, PARTITIONS_PER_PAGE_MAX) as usize
}

fn page(shell: &Shell, view: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let begin = view.cursor.as_ref().map_or("", |cursor| cursor.topic_name.as_str());
    let asked: BTreeSet<&str> = view.topics.iter().map(|topic| topic.name.as_str()).collect();
    // Of all topics, a page looks at its own alone.
    let from = (Bound::Included(begin), Bound::Unbounded);
    let all = view.topics.is_empty().then(|| shell.image.topic_ids.range::<str, _>(from));
    let names = all.into_iter().flatten().map(|(name, _)| &**name);
    let names = names.chain(asked.range(begin..).copied());
    let mut left = page_size(view.response_partition_limit);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names {
        let at = |partition_index| Cursor { topic_name: name.to_string(), partition_index };
        if left == 0 {
            response.next_cursor = Some(at(0));
            break;
        }
        let Some(topic) = shell.image.topic_named(name) else {
            response.topics.push(unknown(name));
            continue;
        };
        let cursor = view.cursor.as_ref().filter(|cursor| cursor.topic_name == name);
        let first = cursor.map_or(0, |cursor| cursor.partition_index);
        let mut partitions = topic.partitions.range(first..);
        let told = partitions.by_ref().take(left);
        let told: Vec<_> =
            told.map(|(index, partition)| describe(shell, topic, *index, partition)).collect();
        left -= told.len();
        response.topics.push(topic_of(topic, told));
        if let Some((next, _)) = partitions.next() {
            response.next_cursor = Some(at(*next));
            break;
        }
    }
    response
}

fn unknown(name: &str) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: match names::check_topic_name(name) {
            Ok(()) => ErrorCode::UnknownTopicOrPartition,
            Err(_) => ErrorCode::InvalidTopicException,
        },
        name: Some(name.to_string()),
        is_internal: names::is_internal(name),
        topic_authorized_operations: operations::TOPIC,
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn topic_of(
    topic: &TopicImage,
    partitions: Vec<DescribeTopicPartitionsResponsePartition>,
) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::None,
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        is_internal: names::is_internal(&topic.name),
        partitions,
        topic_authorized_operations: operations::TOPIC,
    }
}

fn describe(
    shell: &Shell,
    topic: &TopicImage,
    index: i32,
    partition: &PartitionImage,
) -> DescribeTopicPartitionsResponsePartition {
    let home = placement::shard_of(topic.id, index, shell.shared.config.shards);
    let leader_id = shell.outside_leader(home, partition);
    DescribeTopicPartitionsResponsePartition {
        error_code: match leader_id {
            -1 => ErrorCode::LeaderNotAvailable,
            _ => ErrorCode::None,
        },
        partition_index: index,
        leader_id,
        leader_epoch: partition.leader_epoch,
        replica_nodes: shell.outside_ids(home, &partition.replicas),
        isr_nodes: shell.outside_ids(home, &partition.isr),
        eligible_leader_replicas: Some(shell.outside_ids(home, &partition.elr)),
        last_known_elr: Some(shell.outside_ids(home, &partition.last_known_elr)),
        offline_replicas: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::page_size;

    #[test]
    fn a_page_has_one_to_2000_partitions() {
        for (wanted, size) in
            [(i32::MIN, 1), (-1, 1), (0, 1), (1, 1), (2000, 2000), (2001, 2000), (i32::MAX, 2000)]
        {
            assert_eq!(page_size(wanted), size, "{wanted}");
        }
    }
}
