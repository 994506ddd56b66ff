//! Checks of librdkafka's admin calls, as far as the crate has them.

use std::collections::BTreeMap;

use rdkafka::admin::{
    AlterConfig, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::broker::{Broker, WAIT_MAX, eventually, options, wait};
use crate::records::{TIME_FIRST, numbered, offset_at, timed};
use crate::{Answer, Check, Failure};

pub const CHECKS: &[Check] = &[
    Check { name: "admin/create", run: create },
    Check { name: "admin/describe", run: describe },
    Check { name: "admin/configs", run: configs },
    Check { name: "admin/partitions", run: partitions },
    Check { name: "admin/offsets", run: offsets },
    Check { name: "admin/delete-records", run: delete_records },
    Check { name: "admin/delete", run: delete },
    Check { name: "admin/cluster", run: cluster },
];

/// How many partitions the broker shows of a topic.
fn partitions_shown(broker: &Broker, topic: &str) -> Answer {
    let metadata = broker.reader.fetch_metadata(Some(topic), WAIT_MAX)?;
    let count = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    Ok(count.to_string())
}

fn create(broker: &Broker) -> Answer {
    let name = format!("{}-create", broker.prefix);
    let defaults = format!("{name}-defaults");
    let topic = NewTopic::new(&name, 3, TopicReplication::Fixed(1)).set("retention.ms", "123456");
    let dry = wait(broker.admin.create_topics([&topic], &options().validate_only(true)))?;
    if let Some(Err((_, code))) = dry.first() {
        return Err(format!("validate: {code:?}").into());
    }
    broker.create(&topic)?;
    broker.create(&NewTopic::new(&defaults, -1, TopicReplication::Fixed(-1)))?;
    let seen = eventually("3", || partitions_shown(broker, &name))?;
    let retention = described(broker, &name)?.remove("retention.ms");
    Ok(format!("partitions {seen}, retention.ms={}", retention.unwrap_or_default()))
}

fn describe(broker: &Broker) -> Answer {
    let name = broker.topic("describe", 5, &[])?;
    let metadata = broker.reader.fetch_metadata(Some(&name), WAIT_MAX)?;
    let brokers: Vec<i32> = metadata.brokers().iter().map(|broker| broker.id()).collect();
    let topic = metadata.topics().first().ok_or("no topic")?;
    let mut lines = Vec::new();
    for partition in topic.partitions() {
        let leader = partition.leader();
        if !brokers.contains(&leader) || partition.replicas() != [leader] {
            return Err(format!("leader {leader}, replicas {:?}", partition.replicas()).into());
        }
        let (id, error) = (partition.id(), partition.error());
        lines.push(format!("{id}: error {error:?}, {} in sync", partition.isr().len()));
    }
    lines.sort();
    let all = broker.reader.fetch_metadata(None, WAIT_MAX)?;
    let is_listed = all.topics().iter().any(|topic| topic.name() == name);
    Ok(format!("listed {is_listed}, error {:?}, {}", topic.error(), lines.join("; ")))
}

fn source(source: &ConfigSource) -> &'static str {
    match source {
        ConfigSource::Unknown => "unknown",
        ConfigSource::DynamicTopic => "topic",
        ConfigSource::DynamicBroker => "broker",
        ConfigSource::DynamicDefaultBroker => "all brokers",
        ConfigSource::StaticBroker => "static",
        ConfigSource::Default => "default",
    }
}

/// Each setting of a topic with its value and source; without those that only Ringlog has.
fn described(broker: &Broker, topic: &str) -> Result<BTreeMap<String, String>, Failure> {
    let asked = ResourceSpecifier::Topic(topic);
    let answers = wait(broker.admin.describe_configs([&asked], &options()))?;
    let resource = answers.into_iter().next().ok_or("no answer")?;
    let resource = resource.map_err(KafkaError::AdminOp)?;
    let mut all = BTreeMap::new();
    for entry in resource.entries.iter().filter(|entry| !entry.name.starts_with("ringlog.")) {
        let value = entry.value.as_deref().unwrap_or("null");
        let flags = match (entry.is_default, entry.is_read_only, entry.is_sensitive) {
            (true, false, false) => "",
            (false, false, false) => ", no default",
            _ => ", read-only or sensitive",
        };
        all.insert(entry.name.clone(), format!("{value} ({}{flags})", source(&entry.source)));
    }
    Ok(all)
}

fn joined(all: &BTreeMap<String, String>) -> String {
    let lines: Vec<String> = all.iter().map(|(name, text)| format!("{name}={text}")).collect();
    lines.join("; ")
}

/// The crate has AlterConfigs, which states all settings of a topic.
fn configs(broker: &Broker) -> Answer {
    let topic = broker.topic("configs", 1, &[("retention.ms", "7200000")])?;
    let before = described(broker, &topic)?;
    let change = AlterConfig::new(ResourceSpecifier::Topic(&topic))
        .set("compression.type", "gzip")
        .set("cleanup.policy", "compact,delete");
    let answers = wait(broker.admin.alter_configs([&change], &options()))?;
    if let Some(Err((_, code))) = answers.first() {
        return Err(format!("alter: {code:?}").into());
    }
    let mut after = BTreeMap::new();
    eventually("gzip (topic, no default)", || {
        after = described(broker, &topic)?;
        Ok(after.get("compression.type").cloned().unwrap_or_default())
    })?;
    after.retain(|name, text| before.get(name) != Some(text));
    Ok(format!("before: {} | after: {}", joined(&before), joined(&after)))
}

fn partitions(broker: &Broker) -> Answer {
    let topic = broker.topic("partitions", 2, &[])?;
    let more = NewPartitions::new(&topic, 7);
    let answers = wait(broker.admin.create_partitions([&more], &options()))?;
    if let Some(Err((_, code))) = answers.first() {
        return Err(format!("grow: {code:?}").into());
    }
    let seen = eventually("7", || partitions_shown(broker, &topic))?;
    broker.produce_all(&topic, &numbered(7, 70), &[])?;
    let got = broker.consume_all(&topic, 7, 70)?;
    let last = got.iter().filter(|message| message.offset() == 9).count();
    Ok(format!("{seen} partitions, {} records, {last} at offset 9", got.len()))
}

fn place(topic: &str, offset: Offset) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, offset)?;
    Ok(list)
}

fn offsets(broker: &Broker) -> Answer {
    let topic = timed(broker, "offsets")?;
    wait(broker.admin.delete_records(&place(&topic, Offset::Offset(7))?, &options()))?;
    let (low, high) = broker.reader.fetch_watermarks(&topic, 0, WAIT_MAX)?;
    let mut lines = vec![format!("earliest {low}, latest {high}")];
    for after in [0, 42_000, 42_001, 99_000, 99_001] {
        let found = offset_at(broker, &topic, TIME_FIRST + after)?;
        lines.push(format!("from {after}: {found:?}"));
    }
    Ok(lines.join("; "))
}

fn delete_records(broker: &Broker) -> Answer {
    let topic = timed(broker, "delete-records")?;
    let mut lines = Vec::new();
    for before in [Offset::Offset(0), Offset::Offset(33), Offset::Offset(20), Offset::End] {
        let asked = place(&topic, before)?;
        let answer = wait(broker.admin.delete_records(&asked, &options()))?;
        let element = answer.find_partition(&topic, 0).ok_or("no answer for the partition")?;
        element.error()?;
        let (low, _) = broker.reader.fetch_watermarks(&topic, 0, WAIT_MAX)?;
        lines.push(format!("{before:?}: {:?}, start {low}", element.offset()));
    }
    Ok(lines.join("; "))
}

fn delete(broker: &Broker) -> Answer {
    let topic = broker.topic("delete", 3, &[])?;
    broker.produce_all(&topic, &numbered(3, 30), &[])?;
    let answers = wait(broker.admin.delete_topics(&[&topic], &options()))?;
    if let Some(Err((_, code))) = answers.first() {
        return Err(format!("delete: {code:?}").into());
    }
    let gone = eventually("0", || partitions_shown(broker, &topic))?;
    broker.create(&NewTopic::new(&topic, 1, TopicReplication::Fixed(1)))?;
    // One that does not remember the topic as gone.
    let reader = Broker::reader(&broker.bootstrap)?;
    let mut ends = (-1, -1);
    eventually("true", || {
        let got = reader.fetch_watermarks(&topic, 0, WAIT_MAX);
        ends = got.as_ref().map_or(ends, |ends| *ends);
        Ok(got.is_ok().to_string())
    })?;
    let (low, high) = ends;
    Ok(format!("partitions left {gone}; made again: {low} to {high}"))
}

fn cluster(broker: &Broker) -> Answer {
    let metadata = broker.reader.fetch_metadata(None, WAIT_MAX)?;
    let has_address = |port: i32, host: &str| port > 0 && !host.is_empty();
    let is_whole = metadata.brokers().iter().all(|b| has_address(b.port(), b.host()));
    let id = broker.reader.client().fetch_cluster_id(WAIT_MAX);
    let is_found = metadata.brokers().iter().any(|b| b.id() == metadata.orig_broker_id());
    let has_id = id.is_some_and(|id| !id.is_empty());
    Ok(format!("id {has_id}, addresses {is_whole}, the one asked is listed {is_found}"))
}
