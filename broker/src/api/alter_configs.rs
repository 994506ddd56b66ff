//! AlterConfigs · key 33 · v0–2, and IncrementalAlterConfigs · key 44 · v0–1.  Flexible from v2 and
//! v1 on; nothing else was added.
//!
//! AlterConfigs replaces all the settings of a resource, IncrementalAlterConfigs changes some. The
//! controller decides ([`crate::metadata`]); the answer leaves when every shard works by the new
//! settings. The broker ids of requests are the outside's, those of the metadata log are nodes:
//! translated here.

use ringlog_wire::api::alter_configs::{
    AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse,
};
use ringlog_wire::api::incremental_alter_configs::IncrementalAlterConfigsRequest;
use ringlog_wire::error::ErrorCode;
use ringlog_wire::message::Message as _;

use super::{Outcome, PendingControl, ReplyTo, Request};
use crate::metadata::alter::{AlterAsk, Op, RESOURCE_BROKER_LOGGER, Refusal, ResourceChange};
use crate::metadata::image::RESOURCE_BROKER;
use crate::session::Reply;
use crate::shell::{ControlAsk, ShardCore, Shell, topology};

/// A resource of a request: kind and name, as the client gave them.
pub type Resource = (i8, String);

/// Passes an AlterConfigs request to the controller.
pub fn replace(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match AlterConfigsRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let elements = view.resources.iter().map(|resource| 1 + resource.configs.len()).sum();
    let Some(bytes) = request.bytes_with(elements) else {
        return Outcome::too_many_elements(request.api);
    };
    let mut ask =
        AlterAsk { replace: true, validate_only: view.validate_only, ..Default::default() };
    let mut named = Vec::with_capacity(view.resources.len());
    for resource in view.resources {
        let configs = resource.configs.into_iter();
        let changes = configs.map(|config| (config.name, Op::Set, config.value)).collect();
        ask.resources.push(ResourceChange {
            kind: resource.resource_type,
            name: name_inside(shell, resource.resource_type, &resource.resource_name),
            changes,
        });
        named.push((resource.resource_type, resource.resource_name));
    }
    pass_on(shell, core, request, ask, named, bytes)
}

/// Passes an IncrementalAlterConfigs request to the controller.
pub fn change(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match IncrementalAlterConfigsRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let elements = view.resources.iter().map(|resource| 1 + resource.configs.len()).sum();
    let Some(bytes) = request.bytes_with(elements) else {
        return Outcome::too_many_elements(request.api);
    };
    let mut ask = AlterAsk { validate_only: view.validate_only, ..Default::default() };
    let mut named = Vec::with_capacity(view.resources.len());
    for resource in view.resources {
        let changes = resource
            .configs
            .into_iter()
            .map(|config| (config.name, Op::from_code(config.config_operation), config.value));
        ask.resources.push(ResourceChange {
            kind: resource.resource_type,
            name: name_inside(shell, resource.resource_type, &resource.resource_name),
            changes: changes.collect(),
        });
        named.push((resource.resource_type, resource.resource_name));
    }
    pass_on(shell, core, request, ask, named, bytes)
}

fn pass_on(
    shell: &mut Shell,
    core: &mut ShardCore,
    request: &Request<'_>,
    ask: AlterAsk,
    named: Vec<Resource>,
    bytes: usize,
) -> Outcome {
    let key = shell.controls.insert(PendingControl::AlterConfigs(request.reply_to(), named));
    shell.ask_controller(core, key, ControlAsk::AlterConfigs(ask), bytes);
    Outcome::Parked
}

/// The controller has changed what a request asked for, or refused to.
pub fn answered(
    shell: &mut Shell,
    core: &mut ShardCore,
    to: ReplyTo,
    named: Vec<Resource>,
    results: Vec<Result<(), Refusal>>,
) {
    assert!(named.len() == results.len(), "a result for each resource");
    let responses = named.into_iter().zip(results).map(|((kind, name), result)| {
        let (error_code, error_message) = match result {
            Ok(()) => (ErrorCode::None, None),
            Err((code, text)) => (code, Some(text)),
        };
        AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: kind,
            resource_name: name,
        }
    });
    // The two APIs' answers are the same but for where they become flexible.
    let response = AlterConfigsResponse { throttle_time_ms: 0, responses: responses.collect() };
    let flexible = to.api.is_flexible(to.version);
    let version = if flexible { 2 } else { 1 };
    let bytes = to.frame(|out| response.encode(version, out));
    let reply = Reply { errors: response.errors(), ..Reply::from(bytes) };
    shell.reply(core, to.conn, to.sequence, Some(reply));
}

/// A resource's name in the metadata log; the error says why it cannot be meant.
fn name_inside(shell: &Shell, kind: i8, name: &str) -> Result<String, String> {
    let is_of_node = kind == RESOURCE_BROKER || kind == RESOURCE_BROKER_LOGGER;
    if !is_of_node || (name.is_empty() && kind == RESOURCE_BROKER) {
        return Ok(name.to_string());
    }
    let Ok(id) = name.parse::<i32>() else {
        return Err(format!("Node id must be an integer, but it is: {name}"));
    };
    let config = &shell.shared.config;
    if topology::shard_of_broker(config, id).is_some() {
        return Ok(config.node_id.to_string());
    }
    let own = shell.broker_of_shard(shell.shard);
    Err(match kind {
        RESOURCE_BROKER => format!("Unexpected broker id, expected {own}, but received {id}"),
        _ => format!("Unexpected node id. Expected {own}, but received {id}"),
    })
}
