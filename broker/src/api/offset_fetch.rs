//! OffsetFetch · key 9 · v1–10.  v2: null = all topics; the group's error.  v5: leader epochs.
//! v6: flexible.  v7: only stable offsets (KIP-447).  v8: many groups at once.  v9: member epochs
//! (KIP-848).  v10: topic ids.
//!
//! Offsets that are not known are -1 without an error (rule 73).

use ringlog_wire::api::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use ringlog_wire::error::ErrorCode;

use super::coordinators::IDS_MAX;
use super::{Outcome, PARTITIONS_MAX, Request};
use crate::coordinator::{Answer, Ask, Kind};
use crate::group::{Event, Response};
use crate::shell::{ShardCore, Shell};

/// Answers an OffsetFetch request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match OffsetFetchRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    if view.groups.len() > IDS_MAX {
        return Outcome::Close(format!("OffsetFetch names more than {IDS_MAX} groups"));
    }
    let (to, version, require_stable) = (request.reply_to(), request.version, view.require_stable);
    let groups = match version {
        ..8 => vec![only_group(view)],
        _ => view.groups,
    };
    let topics = groups.iter().flat_map(|group| group.topics.iter().flatten());
    if topics.map(|topic| topic.partition_indexes.len()).sum::<usize>() > PARTITIONS_MAX {
        return Outcome::too_many_partitions(request.api);
    }
    let unheard = groups.clone();
    let asks = groups.into_iter().map(|group| {
        let id = group.group_id.clone();
        let event = move |to| Event::Fetch { to, version, require_stable, group };
        (id, Ask::Group(Box::new(event)))
    });
    let finish = move |shell: &mut Shell, core: &mut ShardCore, answers: Vec<_>| {
        let groups = unheard.into_iter().zip(answers).map(|(group, answer)| match answer {
            // Without a code for the group, each partition has it.
            Ok(Answer::Group(Response::Fetch(told))) if version == 1 => match told.error_code {
                ErrorCode::None => told,
                code => refused(version, group, code),
            },
            Ok(Answer::Group(Response::Fetch(told))) => told,
            Ok(_) => unreachable!("a coordinator answers what it is asked"),
            Err(code) => refused(version, group, code),
        });
        to.send(shell, core, &response(version, groups.collect()));
    };
    let asks = asks.collect();
    shell.coordinate_large(core, Kind::Groups, asks, Box::new(finish));
    Outcome::Parked
}

/// Up to version 7 a request has one group, in fields of its own.
fn only_group(request: OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let topics = request.topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.name,
            partition_indexes: topic.partition_indexes,
            ..OffsetFetchRequestTopics::default()
        });
        topics.collect()
    });
    OffsetFetchRequestGroup { group_id: request.group_id, topics, ..Default::default() }
}

/// A group without a coordinator. Before version 2 only partitions have codes.
fn refused(
    version: i16,
    group: OffsetFetchRequestGroup,
    code: ErrorCode,
) -> OffsetFetchResponseGroup {
    let topics = match version {
        1 => group.topics.unwrap_or_default(),
        _ => Vec::new(),
    };
    let topics = topics.into_iter().map(|topic| OffsetFetchResponseTopics {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: topic
            .partition_indexes
            .into_iter()
            .map(|partition_index| OffsetFetchResponsePartitions {
                partition_index,
                committed_offset: -1,
                error_code: code,
                ..OffsetFetchResponsePartitions::default()
            })
            .collect(),
    });
    OffsetFetchResponseGroup {
        topics: topics.collect(),
        group_id: group.group_id,
        error_code: code,
    }
}

fn response(version: i16, mut groups: Vec<OffsetFetchResponseGroup>) -> OffsetFetchResponse {
    if version >= 8 {
        return OffsetFetchResponse { groups, ..OffsetFetchResponse::default() };
    }
    let group = groups.pop().unwrap_or_default();
    let topics = group.topics.into_iter().map(|topic| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic
            .partitions
            .into_iter()
            .map(|partition| OffsetFetchResponsePartition {
                partition_index: partition.partition_index,
                committed_offset: partition.committed_offset,
                committed_leader_epoch: partition.committed_leader_epoch,
                metadata: partition.metadata,
                // Version 1 has no code for the group.
                error_code: match (version, partition.error_code) {
                    (1, ErrorCode::None) => group.error_code,
                    (_, code) => code,
                },
            })
            .collect(),
    });
    OffsetFetchResponse {
        topics: topics.collect(),
        error_code: group.error_code,
        ..OffsetFetchResponse::default()
    }
}
