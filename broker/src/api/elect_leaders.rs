//! ElectLeaders · key 43 · v0–2.  v1: unclean elections; an error for the whole answer.
//!
//! One node leads all that it keeps, so no election is ever needed (rule 65). As in Kafka, who asks
//! for all partitions is told of none that needs none, and who names some is told of each.

use ringlog_wire::api::elect_leaders::{
    ELECTION_PREFERRED, ELECTION_UNCLEAN, ElectLeadersRequest, ElectLeadersResponse,
    PartitionResult, ReplicaElectionResult, TopicPartitions,
};
use ringlog_wire::error::ErrorCode;

use super::{Outcome, PARTITIONS_MAX, Request};
use crate::metadata::{Image, PartitionImage, image::NO_LEADER, names};
use crate::shell::Shell;

/// Answers an ElectLeaders request.
pub fn handle(shell: &Shell, request: &Request<'_>) -> Outcome {
    let view = match ElectLeadersRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let named = view.topic_partitions.iter().flatten();
    if named.map(|topic| topic.partitions.len()).sum::<usize>() > PARTITIONS_MAX {
        let why = format!("ElectLeaders names more than {PARTITIONS_MAX} partitions");
        return Outcome::Close(why);
    }
    let response = answer(&shell.image, &view);
    Outcome::Reply(request.reply_to().answer(&response))
}

fn answer(image: &Image, view: &ElectLeadersRequest) -> ElectLeadersResponse {
    let kind = view.election_type;
    let known = matches!(kind, ELECTION_PREFERRED | ELECTION_UNCLEAN);
    let results = match &view.topic_partitions {
        Some(topics) if known => topics.iter().map(|topic| named(image, kind, topic)).collect(),
        Some(topics) => topics.iter().map(|topic| unknown_kind(kind, topic)).collect(),
        None if known => image.topics_by_name().map(|topic| all_of(topic, kind)).collect(),
        None => Vec::new(),
    };
    let asked = view.topic_partitions.as_ref().is_none_or(|topics| !topics.is_empty());
    ElectLeadersResponse {
        throttle_time_ms: 0,
        error_code: match known || !asked {
            true => ErrorCode::None,
            false => ErrorCode::InvalidRequest,
        },
        replica_election_results: results,
    }
}

fn result(partition_id: i32, error_code: ErrorCode, text: String) -> PartitionResult {
    PartitionResult { partition_id, error_code, error_message: Some(text) }
}

fn unknown_kind(kind: i8, topic: &TopicPartitions) -> ReplicaElectionResult {
    let text = format!("Unknown election type {kind}");
    let one = |index: &i32| result(*index, ErrorCode::InvalidRequest, text.clone());
    let partition_result = topic.partitions.iter().map(one).collect();
    ReplicaElectionResult { topic: topic.topic.clone(), partition_result }
}

fn named(image: &Image, kind: i8, asked: &TopicPartitions) -> ReplicaElectionResult {
    let topic = image.topic_named(&asked.topic);
    let name = names::shown(&asked.topic);
    let one = |&index: &i32| {
        let unknown = |text| result(index, ErrorCode::UnknownTopicOrPartition, text);
        let Some(topic) = topic else { return unknown(format!("No such topic as {name}")) };
        match topic.partitions.get(&index) {
            None => unknown(format!("No such partition as {name}-{index}")),
            Some(partition) => elect(index, kind, partition),
        }
    };
    let partition_result = asked.partitions.iter().map(one).collect();
    ReplicaElectionResult { topic: asked.topic.clone(), partition_result }
}

fn all_of(topic: &crate::metadata::TopicImage, kind: i8) -> ReplicaElectionResult {
    let each = topic.partitions.iter();
    let results = each.map(|(index, partition)| elect(*index, kind, partition));
    let needed = results.filter(|result| result.error_code != ErrorCode::ElectionNotNeeded);
    ReplicaElectionResult { topic: topic.name.to_string(), partition_result: needed.collect() }
}

/// What an election of one partition comes to: it has the leader it can have.
fn elect(index: i32, kind: i8, partition: &PartitionImage) -> PartitionResult {
    let preferred = partition.replicas.first() == Some(&partition.leader);
    let (code, text) = match kind {
        ELECTION_PREFERRED if !preferred => {
            (ErrorCode::PreferredLeaderNotAvailable, "The preferred leader was not available.")
        }
        ELECTION_UNCLEAN if partition.leader == NO_LEADER => (
            ErrorCode::EligibleLeadersNotAvailable,
            "Eligible topic partition leaders are not available.",
        ),
        _ => (ErrorCode::ElectionNotNeeded, "Leader election not needed for topic partition."),
    };
    result(index, code, text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_not_repeated_for_each_partition() {
        let asked = TopicPartitions { topic: "x".repeat(32_767), partitions: vec![0; 100_000] };
        let result = named(&Image::new("cluster"), ELECTION_PREFERRED, &asked);
        let texts = result.partition_result.iter().filter_map(|one| one.error_message.as_ref());
        let bytes = texts.map(String::len).sum::<usize>();
        assert!(bytes < 32 << 20, "{bytes} bytes");
    }
}
