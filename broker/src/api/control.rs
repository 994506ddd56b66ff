//! The controller's answers on their way back to the requests that wait for them.

use ringlog_wire::api::create_partitions::{CreatePartitionsResponse, CreatePartitionsTopicResult};
use ringlog_wire::api::create_topics::CreateTopicsResponse;
use ringlog_wire::api::delete_topics::{DeletableTopicResult, DeleteTopicsResponse};
use ringlog_wire::api::describe_quorum::DescribeQuorumResponse;
use ringlog_wire::api::update_features::UpdateFeaturesResponse;
use ringlog_wire::error::ErrorCode;

use super::{PendingControl, alter_configs, find_coordinator, init_producer_id, metadata};
use crate::metadata::alter::Refusal;
use crate::metadata::{ProducerIds, Reply};
use crate::shell::{ControlAnswer, ShardCore, Shell};
use crate::slab::Key;

impl Shell {
    /// The controller has answered request `key` of this shard.
    pub(crate) fn controlled(&mut self, core: &mut ShardCore, key: Key, answer: ControlAnswer) {
        match self.controls.remove(key) {
            None => {}
            Some(PendingControl::Metadata(to, view)) => {
                metadata::created(self, core, to, &view, answer);
            }
            // Where there is no topic still, there is no coordinator: the answer says so.
            Some(PendingControl::FindCoordinator(to, request)) => {
                find_coordinator::created(self, core, to, request);
            }
            Some(PendingControl::ProducerIds) => {
                init_producer_id::ids_came(self, core, answer.and_then(ids_of));
            }
            Some(PendingControl::CreateTopics(to, names)) => {
                let response = match answer {
                    Ok(Reply::CreateTopics(response)) => response,
                    Ok(_) => refused_creation(names, ErrorCode::UnknownServerError),
                    Err(code) => refused_creation(names, code),
                };
                to.send(self, core, &response);
            }
            Some(PendingControl::CreatePartitions(to, names)) => {
                let response = match answer {
                    Ok(Reply::CreatePartitions(response)) => response,
                    Ok(_) => refused_growth(names, ErrorCode::UnknownServerError),
                    Err(code) => refused_growth(names, code),
                };
                to.send(self, core, &response);
            }
            Some(PendingControl::DescribeQuorum(to)) => {
                let response = match answer {
                    Ok(Reply::DescribeQuorum(response)) => response,
                    other => DescribeQuorumResponse {
                        error_code: other.err().unwrap_or(ErrorCode::UnknownServerError),
                        ..DescribeQuorumResponse::default()
                    },
                };
                to.send(self, core, &response);
            }
            Some(PendingControl::UpdateFeatures(to)) => {
                let response = match answer {
                    Ok(Reply::UpdateFeatures(response)) => response,
                    other => UpdateFeaturesResponse {
                        error_code: other.err().unwrap_or(ErrorCode::UnknownServerError),
                        ..UpdateFeaturesResponse::default()
                    },
                };
                to.send(self, core, &response);
            }
            Some(PendingControl::AlterConfigs(to, named)) => {
                let results = match answer {
                    Ok(Reply::AlterConfigs(results)) => results,
                    Ok(_) => refused_changes(&named, ErrorCode::UnknownServerError),
                    Err(code) => refused_changes(&named, code),
                };
                alter_configs::answered(self, core, to, named, results);
            }
            Some(PendingControl::DeleteTopics(to, targets)) => {
                let response = match answer {
                    Ok(Reply::DeleteTopics(response)) => response,
                    Ok(_) => refused_deletion(targets, ErrorCode::UnknownServerError),
                    Err(code) => refused_deletion(targets, code),
                };
                to.send(self, core, &response);
            }
        }
    }
}

fn ids_of(reply: Reply) -> Result<ProducerIds, ErrorCode> {
    match reply {
        Reply::ProducerIds(ids) => ids,
        _ => Err(ErrorCode::UnknownServerError),
    }
}

fn refused_changes(named: &[alter_configs::Resource], code: ErrorCode) -> Vec<Result<(), Refusal>> {
    named.iter().map(|_| Err((code, code.name().to_string()))).collect()
}

fn refused_creation(names: Vec<String>, code: ErrorCode) -> CreateTopicsResponse {
    use ringlog_wire::api::create_topics::CreatableTopicResult;
    let topic = |name| CreatableTopicResult { name, error_code: code, ..Default::default() };
    CreateTopicsResponse { throttle_time_ms: 0, topics: names.into_iter().map(topic).collect() }
}

fn refused_growth(names: Vec<String>, code: ErrorCode) -> CreatePartitionsResponse {
    let topic = |name| CreatePartitionsTopicResult { name, error_code: code, error_message: None };
    CreatePartitionsResponse {
        throttle_time_ms: 0,
        results: names.into_iter().map(topic).collect(),
    }
}

fn refused_deletion(
    targets: Vec<(Option<String>, ringlog_wire::Uuid)>,
    code: ErrorCode,
) -> DeleteTopicsResponse {
    let one = |(name, topic_id)| DeletableTopicResult {
        name,
        topic_id,
        error_code: code,
        ..Default::default()
    };
    let responses = targets.into_iter().map(one).collect();
    DeleteTopicsResponse { throttle_time_ms: 0, responses }
}
