//! Settings over the wire: described, changed, kept over a restart, and at work at once on open
//! partitions. Codes, words and flags are those of Kafka 4.3.1.

mod common;

use common::client::Topic;
use common::records::{batch, batch_of_size, read};
use common::{Broker, Client, Options, eventually};
use ringlog_broker::config::Advertise;
use ringlog_wire::ErrorCode;
use ringlog_wire::api::alter_configs as replaced;
use ringlog_wire::api::create_topics::{
    self, CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
    CreateTopicsResponse,
};
use ringlog_wire::api::describe_configs::{
    self, DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult,
};
use ringlog_wire::api::incremental_alter_configs::{
    self, AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};
use ringlog_wire::api::list_config_resources::{
    self, ListConfigResourcesRequest, ListConfigResourcesResponse,
};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Sets each `name=value`, deletes each `-name`; the code and words.
fn alter(
    client: &mut Client,
    kind: i8,
    name: &str,
    changes: &[&str],
) -> (ErrorCode, Option<String>) {
    let config = |text: &&str| match text.split_once('=') {
        Some((name, value)) => {
            AlterableConfig { name: name.into(), config_operation: 0, value: Some(value.into()) }
        }
        None => AlterableConfig {
            name: text.trim_start_matches('-').into(),
            config_operation: 1,
            value: None,
        },
    };
    let resource = AlterConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configs: changes.iter().map(config).collect(),
    };
    let request =
        IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let mut response: IncrementalAlterConfigsResponse =
        client.call(&incremental_alter_configs::API, 1, &request);
    let response = response.responses.remove(0);
    assert_eq!((response.resource_type, response.resource_name.as_str()), (kind, name));
    (response.error_code, response.error_message)
}

fn set(client: &mut Client, kind: i8, name: &str, changes: &[&str]) {
    assert_eq!(alter(client, kind, name, changes), (ErrorCode::None, None), "{changes:?}");
}

fn describe(
    client: &mut Client,
    version: i16,
    kind: i8,
    name: &str,
    keys: Option<&[&str]>,
) -> DescribeConfigsResult {
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configuration_keys: keys.map(|keys| keys.iter().map(|key| key.to_string()).collect()),
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        include_documentation: version >= 3,
    };
    let mut response: DescribeConfigsResponse =
        client.call(&describe_configs::API, version, &request);
    response.results.remove(0)
}

fn one(client: &mut Client, kind: i8, name: &str, key: &str) -> DescribeConfigsResourceResult {
    let mut result = describe(client, 4, kind, name, Some(&[key]));
    assert_eq!(result.error_code, ErrorCode::None);
    result.configs.remove(0)
}

/// The value and the number of its source.
fn value(client: &mut Client, kind: i8, name: &str, key: &str) -> (String, i8) {
    let entry = one(client, kind, name, key);
    (entry.value.unwrap_or("null".into()), entry.config_source)
}

#[test]
fn rule_63_described_in_every_version() {
    let broker = Broker::start();
    let mut client = broker.client();
    client.create("t", 1);
    set(&mut client, TOPIC, "t", &["retention.ms=5"]);
    for version in describe_configs::API.versions() {
        let result = describe(&mut client, version, TOPIC, "t", None);
        assert_eq!((result.error_code, result.configs.len()), (ErrorCode::None, 35));
        assert_eq!(result.error_message.as_deref(), Some(""));
        let found = result.configs.iter().find(|entry| entry.name == "retention.ms");
        let found = found.expect("every setting is told");
        assert_eq!((found.value.as_deref(), found.config_source), (Some("5"), 1));
        assert_eq!((found.read_only, found.is_sensitive), (false, false));
        assert_eq!(found.synonyms.len(), 1);
        assert_eq!(found.config_type, if version >= 3 { 5 } else { 0 });
        let documentation = found.documentation.as_deref().unwrap_or_default();
        assert_eq!(documentation.contains("milliseconds"), version >= 3);
    }
    // No keys are all keys; unknown ones are passed over.
    assert_eq!(describe(&mut client, 4, TOPIC, "t", Some(&[])).configs.len(), 35);
    assert_eq!(describe(&mut client, 4, TOPIC, "t", Some(&["nope"])).configs.len(), 0);
}

#[test]
fn rule_63_what_is_not_there_is_not_described() {
    let broker = Broker::start();
    let mut client = broker.client();
    use ErrorCode::{InvalidRequest, InvalidTopicException, UnknownTopicOrPartition};
    for (kind, name, code, text) in [
        (TOPIC, "no", UnknownTopicOrPartition, ""),
        (TOPIC, "", InvalidTopicException, "the empty string is not allowed"),
        (TOPIC, "a/b", InvalidTopicException, "'a/b' contains"),
        (TOPIC, "__cluster_metadata", UnknownTopicOrPartition, ""),
        (BROKER, "7", InvalidRequest, "expected 1 or empty string, but received 7"),
        (BROKER, "abc", InvalidRequest, "Broker id must be an integer, but it is: abc"),
        (8, "2", InvalidRequest, "expected 1 but received 2"),
        (8, "", InvalidRequest, "Broker id must not be empty"),
        (16, "", InvalidRequest, "Client metrics subscription name must not be empty"),
        (32, "", InvalidRequest, "Group name must not be empty"),
        (99, "x", InvalidRequest, "Unknown resource type 99"),
    ] {
        let result = describe(&mut client, 4, kind, name, None);
        assert_eq!(result.error_code, code, "{kind} {name}");
        assert!(result.error_message.is_some_and(|message| message.contains(text)), "{name}");
        assert!(result.configs.is_empty());
    }
    for (kind, name, count) in [(8, "1", 1), (16, "x", 0), (32, "x", 0), (BROKER, "01", 65)] {
        let result = describe(&mut client, 4, kind, name, None);
        assert_eq!(
            (result.error_code, result.configs.len()),
            (ErrorCode::None, count),
            "{kind} {name}"
        );
    }
    let refused: &[(i8, &str, &[&str], ErrorCode, &str)] = &[
        (BROKER, "7", &["log.roll.ms=1"], InvalidRequest, "expected 1, but received 7"),
        (BROKER, "x", &["log.roll.ms=1"], InvalidRequest, "Node id must be an integer"),
        (8, "2", &["root=INFO"], InvalidRequest, "Expected 1, but received 2"),
        (8, "1", &["root=INFO"], InvalidRequest, "RINGLOG_LOG"),
        (16, "x", &["interval.ms=1000"], InvalidRequest, "no subscriptions"),
        (32, "x", &["consumer.session.timeout.ms=1"], InvalidRequest, "no settings"),
        (TOPIC, "no", &["retention.ms=1"], UnknownTopicOrPartition, "does not exist"),
    ];
    for (kind, name, changes, code, text) in refused {
        let (found, message) = alter(&mut client, *kind, name, changes);
        assert_eq!(found, *code, "{kind} {name}");
        assert!(message.is_some_and(|message| message.contains(text)), "{kind} {name}");
    }
}

#[test]
fn rule_63_settings_are_replaced_in_every_version() {
    let broker = Broker::start();
    let mut client = broker.client();
    client.create("t", 1);
    set(&mut client, TOPIC, "t", &["retention.ms=5"]);
    for version in replaced::API.versions() {
        let config = replaced::AlterableConfig {
            name: "segment.ms".into(),
            value: Some(format!("{}", 100 + version)),
        };
        let request = replaced::AlterConfigsRequest {
            resources: vec![replaced::AlterConfigsResource {
                resource_type: TOPIC,
                resource_name: "t".into(),
                configs: vec![config],
            }],
            validate_only: false,
        };
        let response: replaced::AlterConfigsResponse =
            client.call(&replaced::API, version, &request);
        assert_eq!(response.responses[0].error_code, ErrorCode::None);
        let expected = (format!("{}", 100 + version), 1);
        assert_eq!(value(&mut client, TOPIC, "t", "segment.ms"), expected);
        assert_eq!(value(&mut client, TOPIC, "t", "retention.ms").1, 5, "forgotten");
    }
    for version in incremental_alter_configs::API.versions() {
        let request = IncrementalAlterConfigsRequest::default();
        let response: IncrementalAlterConfigsResponse =
            client.call(&incremental_alter_configs::API, version, &request);
        assert!(response.responses.is_empty());
    }
}

#[test]
fn what_has_settings_is_listed() {
    let broker = Broker::start_with(Options::two_shards(Advertise::Shard));
    let mut client = broker.client();
    client.create("a", 1);
    let mut list = |version, types: &[i8]| {
        let request = ListConfigResourcesRequest { resource_types: types.to_vec() };
        let response: ListConfigResourcesResponse =
            client.call(&list_config_resources::API, version, &request);
        let resources = response.config_resources.into_iter();
        let named =
            resources.map(|found| format!("{}:{}", found.resource_type, found.resource_name));
        (response.error_code, named.collect::<Vec<_>>().join(" "))
    };
    let all = "8:1024 8:1025 4:1024 4:1025 2:a";
    assert_eq!(list(1, &[]), (ErrorCode::None, all.into()));
    assert_eq!(list(1, &[2, 2, 32]), (ErrorCode::None, "2:a".into()));
    assert_eq!(list(1, &[2, 99]), (ErrorCode::UnsupportedVersion, String::new()));
    assert_eq!(list(0, &[]), (ErrorCode::None, String::new()));
}

#[test]
fn every_shard_is_this_broker() {
    let broker = Broker::start_with(Options::two_shards(Advertise::Shard));
    let mut client = broker.client();
    client.create("t", 2);
    set(&mut client, BROKER, "1025", &["log.roll.ms=7000"]);
    for id in ["1024", "1025"] {
        assert_eq!(value(&mut client, BROKER, id, "log.roll.ms"), ("7000".into(), 2));
        assert_eq!(value(&mut client, BROKER, id, "node.id"), (id.into(), 4));
        let listeners = value(&mut client, BROKER, id, "listeners").0;
        let shard = usize::from(id == "1025");
        assert!(listeners.ends_with(&broker.address(shard).to_string()), "{listeners}");
    }
    assert_eq!(value(&mut client, TOPIC, "t", "segment.ms"), ("7000".into(), 2));
    let (code, message) = alter(&mut client, BROKER, "1", &["log.roll.ms=1"]);
    assert_eq!(code, ErrorCode::InvalidRequest);
    assert_eq!(message.as_deref(), Some("Unexpected broker id, expected 1024, but received 1"));
}

/// Largest batch, from the strongest place on: topic, broker, cluster, `--set`, default.
#[test]
fn the_strongest_place_wins_at_once() {
    let broker = Broker::start_with(Options {
        set: vec!["message.max.bytes=5000"],
        ..Options::two_shards(Advertise::Node)
    });
    let mut client = broker.client();
    let topic = client.create("t", 4);
    let fits = |client: &mut Client, bytes: usize| -> bool {
        // Every partition, so both shards.
        let codes =
            (0..4).map(|index| client.produce(&topic, index, batch_of_size(bytes)).error_code);
        let codes: Vec<ErrorCode> = codes.collect();
        assert!(codes.iter().all(|code| *code == codes[0]), "{codes:?}");
        assert!(matches!(codes[0], ErrorCode::None | ErrorCode::MessageTooLarge), "{codes:?}");
        codes[0] == ErrorCode::None
    };
    let steps: &[(i8, &str, &str, usize, i8)] = &[
        (TOPIC, "t", "-max.message.bytes", 5000, 4),
        (BROKER, "", "message.max.bytes=6000", 6000, 3),
        (BROKER, "1", "message.max.bytes=7000", 7000, 2),
        (TOPIC, "t", "max.message.bytes=3000", 3000, 1),
        (TOPIC, "t", "-max.message.bytes", 7000, 2),
        (BROKER, "1", "-message.max.bytes", 6000, 3),
        (BROKER, "", "-message.max.bytes", 5000, 4),
    ];
    for (kind, name, change, bytes_max, source) in steps {
        set(&mut client, *kind, name, &[change]);
        let expected = (bytes_max.to_string(), *source);
        assert_eq!(value(&mut client, TOPIC, "t", "max.message.bytes"), expected);
        assert!(fits(&mut client, bytes_max - 200), "{change}");
        assert!(!fits(&mut client, *bytes_max), "{change}");
    }
}

#[test]
fn settings_outlive_a_restart() {
    let broker = Broker::start();
    let mut client = broker.client();
    let topic = client.create("t", 1);
    set(&mut client, TOPIC, "t", &["max.message.bytes=300", "retention.ms=77"]);
    set(&mut client, BROKER, "1", &["log.retention.bytes=99"]);
    set(&mut client, BROKER, "", &["min.insync.replicas=2"]);
    let broker = broker.restart();
    let mut client = broker.client();
    assert_eq!(value(&mut client, TOPIC, "t", "retention.ms"), ("77".into(), 1));
    assert_eq!(value(&mut client, BROKER, "1", "log.retention.bytes"), ("99".into(), 2));
    assert_eq!(value(&mut client, TOPIC, "t", "min.insync.replicas"), ("2".into(), 3));
    let refused = client.produce(&topic, 0, batch(&[b"a"])).error_code;
    assert_eq!(refused, ErrorCode::NotEnoughReplicas);
    set(&mut client, TOPIC, "t", &["min.insync.replicas=1"]);
    let refused = client.produce(&topic, 0, batch_of_size(400)).error_code;
    assert_eq!(refused, ErrorCode::MessageTooLarge);
    client.append(&topic, 0, batch(&[b"a"]));
}

/// `.log` files of partition 0.
fn segments(broker: &Broker, topic: &Topic) -> usize {
    let dir = format!("{}-0/", topic.name);
    let files = broker.dir().files();
    files.iter().filter(|(name, _)| name.contains(&dir) && name.ends_with(".log")).count()
}

#[test]
fn an_open_log_takes_other_settings() {
    let broker = Broker::start();
    let mut client = broker.client();
    let topic = client.create("t", 1);
    let mut sent = 0i64;
    let mut send = |client: &mut Client, count: i64| {
        for _ in 0..count {
            assert_eq!(client.append(&topic, 0, batch_of_size(300_000)), sent);
            sent += 1;
        }
    };
    send(&mut client, 5);
    assert_eq!(segments(&broker, &topic), 1);
    set(&mut client, TOPIC, "t", &["segment.bytes=1048576"]);
    send(&mut client, 4);
    let rolled = eventually("a roll", || Some(segments(&broker, &topic)).filter(|n| *n > 1));
    assert_eq!(rolled, 3, "5, then 3 of 300,000 bytes, then 1");
    for durability in ["synced", "memory", "synced", "written"] {
        set(&mut client, TOPIC, "t", &[&format!("ringlog.durability={durability}")]);
        send(&mut client, 2);
    }
    let count = (0..sent).filter(|offset| {
        let fetched = client.fetch(&topic, 0, *offset);
        let records = read(&fetched.records.unwrap_or_default());
        records.first().is_some_and(|record| record.offset == *offset)
    });
    assert_eq!(count.count() as i64, sent);
}

#[test]
fn a_small_request_gets_no_huge_answer() {
    let broker = Broker::start();
    let mut client = broker.client();
    client.create("t", 1);
    let resource = |resource_type, resource_name| DescribeConfigsResource {
        resource_type,
        resource_name,
        configuration_keys: None,
    };
    let request = |resources| DescribeConfigsRequest {
        resources,
        include_synonyms: true,
        include_documentation: true,
    };
    let often = request(vec![resource(TOPIC, "t".into()); 100_000]);
    let told: DescribeConfigsResponse = client.call(&describe_configs::API, 4, &often);
    assert_eq!(told.results.len(), 1, "what is asked for twice is told once");
    // The same broker under names that differ.
    let names = (0..3000).map(|zeros| format!("{}1", "0".repeat(zeros)));
    let brokers = names.map(|name| resource(BROKER, name)).collect();
    client.send(&describe_configs::API, 4, &request(brokers));
    assert!(client.is_closed());
    assert_eq!(value(&mut broker.client(), TOPIC, "t", "retention.ms").1, 5, "and it serves on");
}

#[test]
fn rule_62_what_kafka_refuses_to_create() {
    let broker = Broker::start();
    let mut client = broker.client();
    client.create("t1", 1);
    client.create("d.e", 1);
    use ErrorCode::{
        InvalidPartitions, InvalidReplicationFactor, InvalidRequest, InvalidTopicException,
        PolicyViolation, TopicAlreadyExists,
    };
    let long = "a".repeat(250);
    let counts: &[(&str, i32, i16, ErrorCode, &str)] = &[
        ("a", 0, 1, InvalidPartitions, "invalid non-positive value"),
        ("a", -2, 1, InvalidPartitions, "invalid non-positive value"),
        ("a", 1, 0, InvalidReplicationFactor, "must be larger than 0"),
        ("a", 1, -2, InvalidReplicationFactor, "must be larger than 0"),
        ("a", 1, 2, InvalidReplicationFactor, "cannot be reached"),
        ("a", 10_001, 1, PolicyViolation, "Excessively large number of partitions"),
        ("a", i32::MAX, 1, PolicyViolation, "Excessively large number of partitions"),
        (".", 1, 1, InvalidTopicException, "'.' is not allowed"),
        ("..", 1, 1, InvalidTopicException, "'..' is not allowed"),
        ("", 1, 1, InvalidTopicException, "the empty string is not allowed"),
        (&long, 1, 1, InvalidTopicException, "the length of"),
        ("a/b", 1, 1, InvalidTopicException, "'a/b' contains one or more characters"),
        ("a b", 1, 1, InvalidTopicException, "'a b' contains one or more characters"),
        ("d_e", 1, 1, InvalidTopicException, "collides with existing topic: d.e"),
        ("__cluster_metadata", 1, 1, InvalidRequest, "prohibited"),
        ("t1", 1, 1, TopicAlreadyExists, "already exists"),
    ];
    for (name, partitions, replicas, code, text) in counts {
        refuse(&mut client, topic(name, *partitions, *replicas, &[]), *code, text);
    }
}

#[test]
fn rule_63_settings_that_kafka_refuses_to_create_with() {
    let broker = Broker::start();
    let mut client = broker.client();
    for (config, text) in [
        ("nope=1", "Unknown topic config name: nope"),
        ("retention.ms=x", "Not a number of type LONG"),
        ("retention.ms=-2", "Value must be at least -1"),
        ("segment.bytes=100", "Value must be at least 1048576"),
        ("segment.ms=0", "Value must be at least 1"),
        ("cleanup.policy=x", "String must be one of: compact, delete"),
        ("cleanup.policy=delete,,compact", "values must not be empty"),
        ("compression.type=none", "String must be one of: uncompressed"),
        ("message.timestamp.type=x", "String must be one of: CreateTime"),
        ("min.insync.replicas=0", "Value must be at least 1"),
        ("min.cleanable.dirty.ratio=2", "Invalid value 2.0"),
        ("max.message.bytes=-1", "Value must be at least 0"),
        ("preallocate=x", "either true or false"),
        ("remote.storage.enable=true", "Tiered Storage functionality is disabled"),
        ("flush.messages=0", "Value must be at least 1"),
        ("index.interval.bytes=-1", "Value must be at least 0"),
        ("leader.replication.throttled.replicas=x", "must be the literal '*'"),
        ("compression.gzip.level=10", "between 1 and 9 or equal to -1"),
        ("segment.index.bytes=3", "Value must be at least 4"),
    ] {
        refuse(&mut client, topic("a", 1, 1, &[config]), ErrorCode::InvalidConfig, text);
    }
}

#[test]
fn rule_62_assignments_that_kafka_refuses() {
    use ErrorCode::{InvalidReplicaAssignment, InvalidRequest};
    let broker = Broker::start();
    let mut client = broker.client();
    for (partitions, replicas, assignments, code, text) in [
        (-1, 1, vec![(0, vec![1])], InvalidRequest, "replication factor was not set to -1"),
        (1, -1, vec![(0, vec![1])], InvalidRequest, "numPartitions was not set to -1"),
        (-1, -1, vec![(0, vec![7])], InvalidReplicaAssignment, "no such broker is registered"),
        (-1, -1, vec![(1, vec![1])], InvalidReplicaAssignment, "consecutive 0-based"),
        (-1, -1, vec![(0, vec![1, 1])], InvalidReplicaAssignment, "more than once"),
        (-1, -1, vec![(0, vec![])], InvalidReplicaAssignment, "an empty replica list"),
    ] {
        let assignment = |(partition_index, broker_ids)| CreatableReplicaAssignment {
            partition_index,
            broker_ids,
        };
        let assignments = assignments.into_iter().map(assignment).collect();
        let topic = CreatableTopic { assignments, ..topic("a", partitions, replicas, &[]) };
        refuse(&mut client, topic, code, text);
    }
}

fn topic(name: &str, partitions: i32, replicas: i16, configs: &[&str]) -> CreatableTopic {
    let config = |text: &&str| {
        let (name, value) = text.split_once('=').expect("name=value");
        CreatableTopicConfig { name: name.into(), value: Some(value.into()) }
    };
    CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: replicas,
        configs: configs.iter().map(config).collect(),
        ..CreatableTopic::default()
    }
}

fn refuse(client: &mut Client, topic: CreatableTopic, code: ErrorCode, text: &str) {
    let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
    let mut response: CreateTopicsResponse = client.call(&create_topics::API, 7, &request);
    let result = response.topics.remove(0);
    assert_eq!(result.error_code, code, "{text}");
    let message = result.error_message.unwrap_or_default();
    assert!(message.contains(text), "{text}: {message}");
}
