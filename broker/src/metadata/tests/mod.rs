//! Tests of the metadata, and what they share: one node, its clock, its ids.

mod alter;
mod controller;
mod create;
mod delete;
mod describe;
mod fold;
mod golden;
mod grow;
mod quorum;
mod settings;
mod upgrade;

use std::collections::BTreeMap;

use ringlog_wire::Uuid;
use ringlog_wire::batch::Batch;
use ringlog_wire::records::{ControlRecord, MetadataRecord};

use super::bootstrap::Node;
use super::command::{Append, Command, Reply, Settings};
use super::controller::Controller;
use super::fold::Fold;
use super::image::{Endpoint, Image};

/// The wall clock of every test.
pub const NOW_MS: i64 = 1_800_000_000_000;
/// The node's directory.
pub const DIRECTORY: Uuid = id(0xd1);

/// An id that Kafka does not reserve.
pub const fn id(number: u128) -> Uuid {
    Uuid((1u128 << 64 | number).to_be_bytes())
}

/// Ids from `id(first)` on.
pub fn ids(first: u128) -> impl FnMut() -> Uuid {
    let mut next = first;
    move || {
        next += 1;
        id(next - 1)
    }
}

pub fn node() -> Node {
    let endpoint = |name: &str, port| Endpoint {
        name: name.into(),
        host: "127.0.0.1".into(),
        port,
        security_protocol: 0,
    };
    Node {
        id: 1,
        directory: DIRECTORY,
        incarnation: id(0xb1),
        controller_incarnation: id(0xc1),
        endpoints: vec![endpoint("PLAINTEXT", 9092)],
        controller_endpoint: endpoint("CONTROLLER", 9093),
        rack: None,
    }
}

pub fn settings() -> Settings {
    Settings {
        num_partitions: 3,
        replication_factor: 1,
        delete_topic_enable: true,
        statics: BTreeMap::new(),
    }
}

/// A controller on a log of those bytes, and what it asks for first.
pub fn start(log: &[u8], epoch: i32) -> (Controller, Vec<Command>) {
    let mut fold = Fold::new(Image::new("cluster"));
    fold.apply_batches(log).expect("the log folds");
    Controller::start(NOW_MS, node(), settings(), fold, epoch).expect("the log is ours")
}

/// A controller of a fresh log, all of its first records durable, and the log.
pub fn serving() -> (Controller, Vec<u8>) {
    let (mut controller, commands) = start(&[], 1);
    let log = bytes_of(&commands);
    controller.committed(end_of(&commands));
    assert!(controller.is_serving());
    (controller, log)
}

pub fn appends(commands: &[Command]) -> impl Iterator<Item = &Append> {
    commands.iter().filter_map(|command| match command {
        Command::Append(append) => Some(append),
        _ => None,
    })
}

pub fn bytes_of(commands: &[Command]) -> Vec<u8> {
    appends(commands).flat_map(|append| append.batch.clone()).collect()
}

/// Where the log ends after those commands.
pub fn end_of(commands: &[Command]) -> i64 {
    appends(commands).last().expect("something is appended").next_offset
}

pub fn replies(commands: Vec<Command>) -> Vec<(u64, Reply)> {
    let reply = |command| match command {
        Command::Reply(token, reply) => Some((token, reply)),
        _ => None,
    };
    commands.into_iter().filter_map(reply).collect()
}

/// One line a record, `|` between batches: `offset version record`.
pub fn dump(mut log: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    while !log.is_empty() {
        let (batch, rest) = Batch::parse(log).expect("a batch");
        batch.verify_crc().expect("its CRC is right");
        log = rest;
        let header = *batch.header();
        for record in batch.records().map(|record| record.expect("a record")) {
            let offset = header.base_offset + i64::from(record.offset_delta);
            let value = record.value.expect("a value");
            lines.push(if header.is_control() {
                let key = record.key.expect("a key");
                let record = ControlRecord::decode(key, value).expect("a control record");
                format!("{offset} control {:?}", record.key())
            } else {
                let (record, version) = MetadataRecord::decode_value(value).expect("known");
                format!("{offset} v{version} {}", brief(&record))
            });
        }
        lines.push(format!("| epoch {}", header.partition_leader_epoch));
    }
    lines
}

fn brief(record: &MetadataRecord) -> String {
    let debug = format!("{record:?}");
    let open = debug.find('(').expect("a variant has a record");
    match record {
        MetadataRecord::FeatureLevel(feature) => {
            format!("FeatureLevel {} {}", feature.name, feature.feature_level)
        }
        MetadataRecord::Config(config) => format!(
            "Config {}:{} {}={:?}",
            config.resource_type, config.resource_name, config.name, config.value
        ),
        MetadataRecord::Topic(topic) => format!("Topic {}", topic.name),
        MetadataRecord::Partition(partition) => format!(
            "Partition {} replicas {:?} leader {} epoch {}",
            partition.partition_id, partition.replicas, partition.leader, partition.leader_epoch
        ),
        MetadataRecord::PartitionChange(change) => format!(
            "PartitionChange {} leader {} isr {:?} elr {:?} {:?}",
            change.partition_id,
            change.leader,
            change.isr,
            change.eligible_leader_replicas,
            change.last_known_elr
        ),
        MetadataRecord::RegisterBroker(broker) => {
            format!("RegisterBroker epoch {} fenced {}", broker.broker_epoch, broker.fenced)
        }
        MetadataRecord::BrokerRegistrationChange(change) => format!(
            "BrokerRegistrationChange epoch {} fenced {} stopping {}",
            change.broker_epoch, change.fenced, change.in_controlled_shutdown
        ),
        MetadataRecord::ProducerIds(ids) => format!("ProducerIds {}", ids.next_producer_id),
        _ => debug[..open].to_string(),
    }
}
