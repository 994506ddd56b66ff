//! Metadata · key 3 · v0–13.  v4: automatic creation can be declined.  v10–12: topics by id
//! (KIP-516).
//!
//! With `advertise = shard` every shard is listed as a broker. A topic that may be created
//! automatically is created before the answer, so the client finds it at once. Nobody is refused
//! anything yet: who asks for its operations is told all of them (v8, [`operations`]).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ringlog_wire::Uuid;
use ringlog_wire::api::create_topics::{CreatableTopic, CreateTopicsRequest};
use ringlog_wire::api::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use ringlog_wire::error::ErrorCode;

use super::{Outcome, PendingControl, Request, operations};
use crate::metadata::{Reply as ControlReply, TopicImage, names, placement};
use crate::shell::{ControlAnswer, ControlAsk, ShardCore, Shell, topology};

/// Most topics that one request may create by asking for them; the rest are unknown until it asks
/// again.
const CREATED_PER_REQUEST_MAX: usize = 1000;

/// Answers a Metadata request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match MetadataRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let to = request.reply_to();
    if is_contradictory(request.version, &view) {
        let response = refused(request.version, &view);
        return Outcome::Reply(to.answer(&response));
    }
    let missing = to_create(shell, request.version, &view);
    if missing.is_empty() {
        let response = answer(shell, request.version, &view, &HashMap::new());
        return Outcome::Reply(to.answer(&response));
    }
    let topics = missing.into_iter().map(|name| CreatableTopic {
        name,
        num_partitions: -1,
        replication_factor: -1,
        ..CreatableTopic::default()
    });
    let create = CreateTopicsRequest { topics: topics.collect(), ..CreateTopicsRequest::default() };
    let key = shell.controls.insert(PendingControl::Metadata(to, view));
    shell.ask_controller(core, key, ControlAsk::CreateTopics(create), request.body.len());
    Outcome::Parked
}

/// True when fields say what the version does not allow (rule 59): v10 and v11 carry ids and null
/// names that mean nothing yet, and later ones need either an id or a name.
fn is_contradictory(version: i16, view: &MetadataRequest) -> bool {
    let named_by = |topic: &MetadataRequestTopic| match version {
        ..12 => topic.name.is_some() && topic.topic_id.is_zero(),
        _ => topic.name.is_some() || !topic.topic_id.is_zero(),
    };
    !view.topics.iter().flatten().all(named_by)
}

/// Kafka's answer to a request that it cannot understand: no brokers, and every topic refused.
/// Where a null name has no id, Kafka itself fails (UNKNOWN_SERVER_ERROR); here it is the same.
fn refused(version: i16, view: &MetadataRequest) -> MetadataResponse {
    let mut seen = HashSet::new();
    let fresh = view.topics.iter().flatten().filter(|t| seen.insert((&t.name, t.topic_id)));
    let topics = fresh.map(|topic| MetadataResponseTopic {
        error_code: ErrorCode::InvalidRequest,
        name: Some(topic.name.clone().unwrap_or_default()),
        topic_id: topic.topic_id,
        ..MetadataResponseTopic::default()
    });
    let error_code = if version >= 13 { ErrorCode::InvalidRequest } else { ErrorCode::None };
    MetadataResponse { topics: topics.collect(), error_code, ..MetadataResponse::default() }
}

/// Names that are asked for, unknown, and may be created.
fn to_create(shell: &Shell, version: i16, view: &MetadataRequest) -> Vec<String> {
    let allowed = (version < 4 || view.allow_auto_topic_creation)
        && shell.shared.config.defaults.auto_create_topics_enable
        && !shell.stopping;
    if !allowed {
        return Vec::new();
    }
    let mut missing: Vec<String> = view
        .topics
        .iter()
        .flatten()
        .filter(|topic| topic.topic_id.is_zero())
        .filter_map(|topic| topic.name.clone())
        .filter(|name| shell.image.topic_named(name).is_none())
        .filter(|name| names::check_topic_name(name).is_ok())
        .collect();
    missing.sort_unstable();
    missing.dedup();
    missing.truncate(CREATED_PER_REQUEST_MAX);
    missing
}

/// The controller has created what a request asked for, or refused to.
pub fn created(
    shell: &mut Shell,
    core: &mut ShardCore,
    to: super::ReplyTo,
    view: &MetadataRequest,
    answered: ControlAnswer,
) {
    // What could not be created is unknown, with the controller's reason where it is the client's
    // to know.
    let mut refused = HashMap::new();
    if let Ok(ControlReply::CreateTopics(response)) = answered {
        for topic in response.topics {
            match topic.error_code {
                ErrorCode::None | ErrorCode::TopicAlreadyExists => {}
                code => {
                    refused.insert(topic.name, code);
                }
            }
        }
    }
    let response = answer(shell, to.version, view, &refused);
    to.send(shell, core, &response);
}

fn answer(
    shell: &Shell,
    version: i16,
    view: &MetadataRequest,
    refused: &HashMap<String, ErrorCode>,
) -> MetadataResponse {
    let brokers: Vec<_> = topology::brokers(&shell.shared.config)
        .into_iter()
        .map(|broker| MetadataResponseBroker {
            node_id: broker.node_id,
            host: broker.host,
            port: broker.port,
            rack: broker.rack,
        })
        .collect();
    let all = match &view.topics {
        None => true,
        Some(topics) => version == 0 && topics.is_empty(),
    };
    let mut topics: Vec<_> = match (&view.topics, all) {
        (Some(topics), false) => {
            // Each topic once, however often it is asked for: a small request gets no huge answer.
            let mut seen = HashSet::new();
            let fresh = topics.iter().filter(|asked| seen.insert((&asked.name, asked.topic_id)));
            fresh.map(|asked| one(shell, asked, refused)).collect()
        }
        _ => shell.image.topics_by_name().map(|topic| describe(shell, topic)).collect(),
    };
    if view.include_topic_authorized_operations {
        // Of a name that is not there too, as in Kafka: it may be created.
        for topic in topics.iter_mut().filter(|t| t.error_code != ErrorCode::UnknownTopicId) {
            topic.topic_authorized_operations = operations::TOPIC;
        }
    }
    // Any broker will do: requests for the controller are passed on inside.
    let controller_id = shell.broker_of_shard(0);
    MetadataResponse {
        brokers,
        cluster_id: Some(shell.image.cluster_id.to_string()),
        controller_id,
        topics,
        cluster_authorized_operations: match view.include_cluster_authorized_operations {
            true => operations::CLUSTER,
            false => operations::UNKNOWN,
        },
        ..MetadataResponse::default()
    }
}

fn one(
    shell: &Shell,
    asked: &MetadataRequestTopic,
    refused: &HashMap<String, ErrorCode>,
) -> MetadataResponseTopic {
    let unknown = |error_code| MetadataResponseTopic {
        error_code,
        name: asked.name.clone(),
        topic_id: asked.topic_id,
        is_internal: asked.name.as_deref().is_some_and(names::is_internal),
        ..MetadataResponseTopic::default()
    };
    if !asked.topic_id.is_zero() {
        return match shell.image.topic(asked.topic_id) {
            Some(topic) => describe(shell, topic),
            None => MetadataResponseTopic { name: None, ..unknown(ErrorCode::UnknownTopicId) },
        };
    }
    let name = asked.name.as_deref().unwrap_or_default();
    match shell.image.topic_named(name) {
        Some(topic) => describe(shell, topic),
        None if names::check_topic_name(name).is_err() => unknown(ErrorCode::InvalidTopicException),
        None => unknown(refused.get(name).copied().unwrap_or(ErrorCode::UnknownTopicOrPartition)),
    }
}

fn describe(shell: &Shell, topic: &Arc<TopicImage>) -> MetadataResponseTopic {
    let shards = shell.shared.config.shards;
    let partitions = topic.partitions.iter().map(|(index, partition)| {
        let home = placement::shard_of(topic.id, *index, shards);
        let leader_id = shell.outside_leader(home, partition);
        MetadataResponsePartition {
            error_code: match leader_id {
                -1 => ErrorCode::LeaderNotAvailable,
                _ => ErrorCode::None,
            },
            partition_index: *index,
            leader_id,
            leader_epoch: partition.leader_epoch,
            replica_nodes: shell.outside_ids(home, &partition.replicas),
            isr_nodes: shell.outside_ids(home, &partition.isr),
            offline_replicas: Vec::new(),
        }
    });
    let id: Uuid = topic.id;
    MetadataResponseTopic {
        error_code: ErrorCode::None,
        name: Some(topic.name.to_string()),
        topic_id: id,
        is_internal: names::is_internal(&topic.name),
        partitions: partitions.collect(),
        ..MetadataResponseTopic::default()
    }
}
