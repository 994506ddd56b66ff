//! The commands of `ringlog topic`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use ringlog_wire::Uuid;
use ringlog_wire::api::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
};
use ringlog_wire::api::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use ringlog_wire::api::delete_topics::{
    DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use ringlog_wire::api::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic,
};
use ringlog_wire::api::{create_partitions, create_topics, delete_topics, metadata};
use ringlog_wire::error::ErrorCode;

use super::client::{Client, refusal};
use super::settings::{self, setting};
use super::table;

/// How long the broker may take over a change, milliseconds.
const TIMEOUT_MS: i32 = 30_000;

/// Which broker, and what to do.
#[derive(Args, Clone, Debug)]
pub struct TopicArgs {
    /// A broker, or several with commas between them; the first that answers is asked
    #[arg(
        long,
        visible_alias = "bootstrap",
        env = "RINGLOG_BOOTSTRAP_SERVER",
        default_value = "127.0.0.1:9092",
        global = true
    )]
    pub bootstrap_server: String,
    /// What to do
    #[command(subcommand)]
    pub command: TopicCommand,
}

/// See the module's head.
#[derive(Subcommand, Clone, Debug)]
pub enum TopicCommand {
    /// Make a topic
    Create(CreateArgs),
    /// Name all topics
    List {
        /// Leave out Kafka's own
        #[arg(long)]
        exclude_internal: bool,
    },
    /// Say where a topic's partitions are; all topics' if none is named
    Describe {
        /// The topic; may be repeated
        #[arg(long)]
        topic: Vec<String>,
    },
    /// Give a topic more partitions, or other settings
    Alter(AlterArgs),
    /// Remove a topic and all that is in it
    Delete {
        /// The topic; may be repeated
        #[arg(long, required = true)]
        topic: Vec<String>,
        /// A topic that does not exist is no error
        #[arg(long)]
        if_exists: bool,
    },
}

/// Of `ringlog topic create`.
#[derive(Args, Clone, Debug)]
pub struct CreateArgs {
    /// The topic
    #[arg(long)]
    pub topic: String,
    /// How many partitions [default: the broker's num.partitions]
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: Option<i32>,
    /// How many replicas of each [default: the broker's default.replication.factor]
    #[arg(long, value_parser = clap::value_parser!(i16).range(1..))]
    pub replication_factor: Option<i16>,
    /// A setting of the topic, as retention.ms=60000; may be repeated
    #[arg(id = "setting", long = "config", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// A topic that exists is no error
    #[arg(long)]
    pub if_not_exists: bool,
}

/// Of `ringlog topic alter`.
#[derive(Args, Clone, Debug)]
pub struct AlterArgs {
    /// The topic
    #[arg(long)]
    pub topic: String,
    /// How many partitions it has then: more than now
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: Option<i32>,
    /// A setting to make, as retention.ms=60000; may be repeated
    #[arg(id = "setting", long = "config", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// A setting to take away, so that the broker's is used; may be repeated
    #[arg(long, value_name = "KEY")]
    pub delete_config: Vec<String>,
}

/// Runs a command; what it did and found goes to `out`, also when not all could be done.
///
/// # Errors
/// One sentence that says what is wrong, and what to do where that is known.
pub fn run(args: &TopicArgs, out: &mut String) -> Result<(), String> {
    let mut client = Client::connect(&args.bootstrap_server)?;
    match &args.command {
        TopicCommand::Create(args) => create(&mut client, args, out),
        TopicCommand::List { exclude_internal } => list(&mut client, !exclude_internal, out),
        TopicCommand::Describe { topic } => describe(&mut client, topic, out),
        TopicCommand::Alter(args) => alter(&mut client, args, out),
        TopicCommand::Delete { topic, if_exists } => delete(&mut client, topic, *if_exists, out),
    }
}

fn create(client: &mut Client, args: &CreateArgs, out: &mut String) -> Result<(), String> {
    let settings: BTreeMap<_, _> =
        args.settings.iter().map(|text| setting(text)).collect::<Result<_, _>>()?;
    let configs = settings
        .into_iter()
        .map(|(name, value)| CreatableTopicConfig { name, value: Some(value) })
        .collect();
    let topic = CreatableTopic {
        name: args.topic.clone(),
        num_partitions: args.partitions.unwrap_or(-1),
        replication_factor: args.replication_factor.unwrap_or(-1),
        assignments: Vec::new(),
        configs,
    };
    let request =
        CreateTopicsRequest { topics: vec![topic], timeout_ms: TIMEOUT_MS, validate_only: false };
    let answer: CreateTopicsResponse = client.call(&create_topics::API, &request)?;
    let name = &args.topic;
    let result = answer.topics.first().ok_or("the broker's answer names no topic")?;
    match result.error_code {
        ErrorCode::None if result.num_partitions > 0 => out.push_str(&format!(
            "created topic {name} with {} partitions of {} replicas\n",
            result.num_partitions, result.replication_factor
        )),
        ErrorCode::None => out.push_str(&format!("created topic {name}\n")),
        ErrorCode::TopicAlreadyExists if args.if_not_exists => {
            out.push_str(&format!("topic {name} exists already\n"));
        }
        code => {
            let why = refusal(code, result.error_message.as_deref());
            return Err(format!("topic {name} was not created: {why}"));
        }
    }
    Ok(())
}

/// What Metadata says of `names`, or of all topics if there are none; sorted by name.
fn metadata_of(
    client: &mut Client,
    names: &[String],
) -> Result<(MetadataResponse, Vec<MetadataResponseTopic>), String> {
    let named =
        |name: &String| MetadataRequestTopic { topic_id: Uuid::ZERO, name: Some(name.clone()) };
    let topics = (!names.is_empty()).then(|| names.iter().map(named).collect());
    let request =
        MetadataRequest { topics, allow_auto_topic_creation: false, ..MetadataRequest::default() };
    let mut answer: MetadataResponse = client.call(&metadata::API, &request)?;
    if !answer.error_code.is_none() {
        return Err(format!("no topics are told: {}", answer.error_code.name()));
    }
    let mut topics = std::mem::take(&mut answer.topics);
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((answer, topics))
}

fn list(client: &mut Client, with_internal: bool, out: &mut String) -> Result<(), String> {
    let (_, topics) = metadata_of(client, &[])?;
    let wanted = topics.iter().filter(|topic| with_internal || !topic.is_internal);
    for name in wanted.filter_map(|topic| topic.name.as_ref()) {
        out.push_str(&format!("{name}\n"));
    }
    Ok(())
}

fn numbers(numbers: &[i32]) -> String {
    let words: Vec<String> = numbers.iter().map(i32::to_string).collect();
    words.join(",")
}

fn describe(client: &mut Client, names: &[String], out: &mut String) -> Result<(), String> {
    let (cluster, topics) = metadata_of(client, names)?;
    for topic in &topics {
        let name = topic.name.as_deref().unwrap_or("?");
        if !topic.error_code.is_none() {
            return Err(missing(name, topic.error_code));
        }
        let replicas =
            topic.partitions.first().map_or(0, |partition| partition.replica_nodes.len());
        out.push_str(&format!(
            "topic {name}  id {}  partitions {}  replicas {replicas}\n",
            topic.topic_id,
            topic.partitions.len(),
        ));
        for (key, value) in settings::own(client, name)? {
            out.push_str(&format!("  {key}={value}\n"));
        }
        let mut partitions: Vec<_> = topic.partitions.iter().collect();
        partitions.sort_by_key(|partition| partition.partition_index);
        let address = |id: i32| {
            let broker = cluster.brokers.iter().find(|broker| broker.node_id == id);
            broker.map_or("none".to_string(), |broker| format!("{}:{}", broker.host, broker.port))
        };
        let rows: Vec<Vec<String>> = partitions
            .into_iter()
            .map(|partition| {
                vec![
                    partition.partition_index.to_string(),
                    partition.leader_id.to_string(),
                    address(partition.leader_id),
                    numbers(&partition.replica_nodes),
                    numbers(&partition.isr_nodes),
                    numbers(&partition.offline_replicas),
                ]
            })
            .collect();
        let head = ["PARTITION", "LEADER", "ADDRESS", "REPLICAS", "IN SYNC", "OFFLINE"];
        for line in table::render(&head, &rows).lines() {
            out.push_str(&format!("  {line}\n"));
        }
    }
    Ok(())
}

fn missing(name: &str, code: ErrorCode) -> String {
    match code {
        ErrorCode::UnknownTopicOrPartition => {
            format!("topic {name} does not exist; `ringlog topic list` names those that do")
        }
        code => format!("topic {name}: {}", code.name()),
    }
}

fn alter(client: &mut Client, args: &AlterArgs, out: &mut String) -> Result<(), String> {
    let AlterArgs { topic, partitions, settings, delete_config } = args;
    if partitions.is_none() && settings.is_empty() && delete_config.is_empty() {
        return Err("nothing to alter: say --partitions, --config or --delete-config".into());
    }
    if let Some(count) = partitions {
        grow(client, topic, *count, out)?;
    }
    if !settings.is_empty() || !delete_config.is_empty() {
        let set = settings.iter().map(|text| setting(text)).collect::<Result<_, _>>()?;
        settings::change(client, topic, set, delete_config)?;
        out.push_str(&format!("topic {topic} has its settings\n"));
    }
    Ok(())
}

fn grow(client: &mut Client, name: &str, count: i32, out: &mut String) -> Result<(), String> {
    let topic = CreatePartitionsTopic { name: name.into(), count, assignments: None };
    let request = CreatePartitionsRequest {
        topics: vec![topic],
        timeout_ms: TIMEOUT_MS,
        validate_only: false,
    };
    let answer: CreatePartitionsResponse = client.call(&create_partitions::API, &request)?;
    let result = answer.results.first().ok_or("the broker's answer names no topic")?;
    match result.error_code {
        ErrorCode::None => {
            out.push_str(&format!("topic {name} has {count} partitions\n"));
            Ok(())
        }
        code @ ErrorCode::UnknownTopicOrPartition => Err(missing(name, code)),
        code => Err(format!(
            "topic {name} was not altered: {}",
            refusal(code, result.error_message.as_deref())
        )),
    }
}

fn delete(
    client: &mut Client,
    names: &[String],
    if_exists: bool,
    out: &mut String,
) -> Result<(), String> {
    let state = |name: &String| DeleteTopicState { name: Some(name.clone()), topic_id: Uuid::ZERO };
    let request = DeleteTopicsRequest {
        topics: names.iter().map(state).collect(),
        topic_names: names.to_vec(),
        timeout_ms: TIMEOUT_MS,
    };
    let answer: DeleteTopicsResponse = client.call(&delete_topics::API, &request)?;
    let mut refused = Vec::new();
    for result in &answer.responses {
        let name = result.name.as_deref().unwrap_or("?");
        match result.error_code {
            ErrorCode::None => out.push_str(&format!("deleted topic {name}\n")),
            ErrorCode::UnknownTopicOrPartition if if_exists => {
                out.push_str(&format!("topic {name} does not exist\n"));
            }
            code @ ErrorCode::UnknownTopicOrPartition => refused.push(missing(name, code)),
            code => refused.push(format!(
                "topic {name} was not deleted: {}",
                refusal(code, result.error_message.as_deref())
            )),
        }
    }
    match refused.is_empty() {
        true => Ok(()),
        false => Err(refused.join("; ")),
    }
}
