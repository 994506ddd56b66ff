//! ListConfigResources · key 74 · v0–1.  v1: the kinds asked for; v0 lists client metrics
//! subscriptions, of which there are none.
//!
//! Every topic and every broker has settings, so each of them is told.

use ringlog_wire::api::list_config_resources::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};
use ringlog_wire::error::ErrorCode;

use super::{Outcome, Request};
use crate::metadata::alter::{RESOURCE_BROKER_LOGGER, RESOURCE_CLIENT_METRICS, RESOURCE_GROUP};
use crate::metadata::image::{RESOURCE_BROKER, RESOURCE_TOPIC};
use crate::shell::{ShardCore, Shell, topology};

/// The kinds of resources, in the order in which Kafka tells them.
const KINDS: [i8; 5] = [
    RESOURCE_GROUP,
    RESOURCE_CLIENT_METRICS,
    RESOURCE_BROKER_LOGGER,
    RESOURCE_BROKER,
    RESOURCE_TOPIC,
];

/// Answers a ListConfigResources request.
pub fn handle(shell: &mut Shell, _core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match ListConfigResourcesRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let asked = match request.version {
        0 => vec![RESOURCE_CLIENT_METRICS],
        _ => view.resource_types,
    };
    let mut response = ListConfigResourcesResponse::default();
    if asked.iter().any(|kind| !KINDS.contains(kind)) {
        response.error_code = ErrorCode::UnsupportedVersion;
    } else {
        let wanted = KINDS.iter().filter(|kind| asked.is_empty() || asked.contains(kind));
        response.config_resources = wanted.flat_map(|kind| resources(shell, *kind)).collect();
    }
    let to = request.reply_to();
    Outcome::Reply(to.answer(&response))
}

fn resources(shell: &Shell, kind: i8) -> Vec<ConfigResource> {
    let names: Vec<String> = match kind {
        RESOURCE_TOPIC => {
            shell.image.topics_by_name().map(|topic| topic.name.to_string()).collect()
        }
        RESOURCE_BROKER | RESOURCE_BROKER_LOGGER => {
            let brokers = topology::brokers(&shell.shared.config);
            brokers.into_iter().map(|broker| broker.node_id.to_string()).collect()
        }
        _ => Vec::new(),
    };
    let resource = |resource_name| ConfigResource { resource_name, resource_type: kind };
    names.into_iter().map(resource).collect()
}
