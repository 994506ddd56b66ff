//! DescribeConfigs · key 32 · v1–4.  v1: sources and synonyms.  v3: types and documentation.
//!
//! Any shard answers, from its image and the configuration. With `advertise = shard` the id of
//! every shard is this broker's. Broker loggers: `root` is what `RINGLOG_LOG` chose at the start.
//! Client metrics and groups have no settings here, so none are told.

use std::collections::{BTreeMap, HashMap, HashSet};

use ringlog_wire::api::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResult, DescribeConfigsSynonym,
};
use ringlog_wire::codec::Writer;
use ringlog_wire::error::ErrorCode;
use ringlog_wire::message::{Form, Message, Wire};

use super::{ELEMENTS_MAX, Outcome, Request};
use crate::metadata::alter::{RESOURCE_BROKER_LOGGER, RESOURCE_CLIENT_METRICS, RESOURCE_GROUP};
use crate::metadata::describe::{Entry, Wanted};
use crate::metadata::image::{RESOURCE_BROKER, RESOURCE_TOPIC};
use crate::metadata::names;
use crate::metadata::topic_config::{Source, Surroundings};
use crate::session::Reply;
use crate::shell::{ShardCore, Shell, topology};

/// Most bytes of an answer: a small request can ask for much, and the shard does nothing else
/// meanwhile. A topic is 2.2 KB with synonyms, 4.8 KB with documentation too.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// `ConfigSource` of a broker logger's level.
const SOURCE_LOGGER: i8 = 6;

type Refusal = (ErrorCode, String);
/// What the configuration says, by shard, once it was needed.
type Statics = HashMap<usize, BTreeMap<String, String>>;

/// Answers a DescribeConfigs request.
pub fn handle(shell: &mut Shell, _core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match DescribeConfigsRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let version = request.version;
    let flexible = version >= DescribeConfigsRequest::FLEXIBLE_FROM;
    let form = Form { version, flexible, nullable: false };
    if view.resources.len() > ELEMENTS_MAX {
        return Outcome::too_many_elements(request.api);
    }
    // What is asked for twice is told once, as topics are by Metadata.
    let mut seen = HashSet::new();
    let asked = view.resources.iter().filter(|resource| {
        seen.insert((resource.resource_type, &resource.resource_name, &resource.configuration_keys))
    });
    let asked: Vec<&DescribeConfigsResource> = asked.collect();
    let mut statics = Statics::new();
    let (mut body, mut errors) = (Vec::new(), Vec::new());
    // Resource by resource, so that an answer that grows too large is noticed in time.
    body.put_i32(0);
    body.put_count(flexible, Some(asked.len()));
    for resource in &asked {
        let told = describe(shell, &view, resource, &mut statics);
        told.visit_errors(&mut |code| errors.push(code));
        Wire::encode(&told, form, &mut body);
        if body.len() > ANSWER_BYTES_MAX {
            let count = asked.len();
            return Outcome::Close(format!(
                "DescribeConfigs of {count} resources: the answer is larger than {} MiB",
                ANSWER_BYTES_MAX >> 20
            ));
        }
    }
    if flexible {
        body.put_uvarint(0);
    }
    let bytes = request.reply_to().frame(|out| out.extend_from_slice(&body));
    Outcome::Reply(Reply { errors, ..Reply::from(bytes) })
}

fn describe(
    shell: &Shell,
    view: &DescribeConfigsRequest,
    resource: &DescribeConfigsResource,
    statics: &mut Statics,
) -> DescribeConfigsResult {
    let (error_code, error_message, configs) = match entries_of(shell, resource, statics) {
        Ok(entries) => (ErrorCode::None, String::new(), entries),
        Err((code, text)) => (code, text, Vec::new()),
    };
    DescribeConfigsResult {
        error_code,
        error_message: Some(error_message),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        configs: configs.into_iter().map(|entry| told(view, resource, entry)).collect(),
    }
}

fn entries_of(
    shell: &Shell,
    resource: &DescribeConfigsResource,
    statics: &mut Statics,
) -> Result<Vec<Entry>, Refusal> {
    let name = resource.resource_name.as_str();
    let wanted = Wanted::new(resource.configuration_keys.as_deref());
    let invalid = |text: String| (ErrorCode::InvalidRequest, text);
    match resource.resource_type {
        RESOURCE_TOPIC => {
            names::check_topic_name(name)
                .map_err(|error| (ErrorCode::InvalidTopicException, error.to_string()))?;
            if shell.image.topic_named(name).is_none() {
                return Err((ErrorCode::UnknownTopicOrPartition, String::new()));
            }
            Ok(shell.surroundings().describe_topic(name, &wanted))
        }
        RESOURCE_BROKER if name.is_empty() => Ok(shell.surroundings().describe_brokers(&wanted)),
        RESOURCE_BROKER => {
            let own = shell.broker_of_shard(shell.shard);
            let shard = this_node(shell, name, |id| {
                format!("Unexpected broker id, expected {own} or empty string, but received {id}")
            })
            .map_err(invalid)?;
            let made = || topology::statics(&shell.shared.config, shard);
            let statics = statics.entry(shard).or_insert_with(made);
            let around = Surroundings { statics, ..shell.surroundings() };
            Ok(around.describe_broker(&wanted))
        }
        RESOURCE_BROKER_LOGGER if name.is_empty() => {
            Err(invalid("Broker id must not be empty".into()))
        }
        RESOURCE_BROKER_LOGGER => {
            let own = shell.broker_of_shard(shell.shard);
            this_node(shell, name, |id| {
                format!("Unexpected broker id, expected {own} but received {id}")
            })
            .map_err(invalid)?;
            Ok(wanted.has("root").then(root_logger).into_iter().collect())
        }
        RESOURCE_CLIENT_METRICS if name.is_empty() => {
            Err(invalid("Client metrics subscription name must not be empty".into()))
        }
        RESOURCE_GROUP if name.is_empty() => Err(invalid("Group name must not be empty".into())),
        RESOURCE_CLIENT_METRICS | RESOURCE_GROUP => Ok(Vec::new()),
        kind => Err(invalid(format!("Unknown resource type {kind}"))),
    }
}

/// The shard of this node that clients know as broker `name`; the error is for the user.
fn this_node(
    shell: &Shell,
    name: &str,
    unexpected: impl Fn(i32) -> String,
) -> Result<usize, String> {
    let not_a_number = || format!("Broker id must be an integer, but it is: {name}");
    let id = name.parse::<i32>().map_err(|_| not_a_number())?;
    topology::shard_of_broker(&shell.shared.config, id).ok_or_else(|| unexpected(id))
}

fn told(
    view: &DescribeConfigsRequest,
    resource: &DescribeConfigsResource,
    entry: Entry,
) -> DescribeConfigsResourceResult {
    let synonyms = entry.synonyms.into_iter().map(|synonym| DescribeConfigsSynonym {
        name: synonym.name,
        value: synonym.value,
        source: synonym.source as i8,
    });
    DescribeConfigsResourceResult {
        name: entry.name,
        value: entry.value,
        read_only: entry.read_only,
        config_source: match resource.resource_type {
            RESOURCE_BROKER_LOGGER => SOURCE_LOGGER,
            _ => entry.source as i8,
        },
        is_sensitive: entry.is_sensitive,
        synonyms: if view.include_synonyms { synonyms.collect() } else { Vec::new() },
        config_type: entry.config_type,
        documentation: match view.include_documentation {
            true => Some(entry.documentation.unwrap_or_default()),
            false => None,
        },
    }
}

/// The level of this process's log, as Kafka's root logger.
fn root_logger() -> Entry {
    let level = tracing::level_filters::LevelFilter::current().into_level();
    Entry {
        name: "root".into(),
        value: Some(level.map_or("FATAL", |level| level.as_str()).into()),
        read_only: true,
        source: Source::Static,
        is_sensitive: false,
        synonyms: Vec::new(),
        config_type: 0,
        documentation: None,
    }
}
