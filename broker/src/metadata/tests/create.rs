//! CreateTopics: each check with the code and words that Kafka 4.3.1 answered (one broker, `first`
//! and `d.e` there).

use super::*;
use crate::metadata::topic_config;
use ringlog_wire::ErrorCode;
use ringlog_wire::api::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreatableTopicResult,
    CreateTopicsRequest,
};

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic { name: name.into(), num_partitions, replication_factor, ..Default::default() }
}

fn configured(name: &str, configs: &[(&str, Option<&str>)]) -> CreatableTopic {
    let config = |(name, value): &(&str, Option<&str>)| CreatableTopicConfig {
        name: name.to_string(),
        value: value.map(str::to_string),
    };
    CreatableTopic { configs: configs.iter().map(config).collect(), ..topic(name, 1, 1) }
}

fn assigned(name: &str, assignments: &[(i32, &[i32])]) -> CreatableTopic {
    let assignment = |(partition, brokers): &(i32, &[i32])| CreatableReplicaAssignment {
        partition_index: *partition,
        broker_ids: brokers.to_vec(),
    };
    let assignments = assignments.iter().map(assignment).collect();
    CreatableTopic { assignments, ..topic(name, -1, -1) }
}

fn request(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    CreateTopicsRequest { topics, ..Default::default() }
}

/// The results, and what was written.
fn create(
    controller: &mut Controller,
    request: &CreateTopicsRequest,
) -> (Vec<CreatableTopicResult>, Vec<String>) {
    let mut commands = controller.create_topics(NOW_MS, 1, request, &mut ids(1000));
    let log = dump(&bytes_of(&commands));
    if !log.is_empty() {
        commands = controller.committed(end_of(&commands));
    }
    let [(1, Reply::CreateTopics(response))] = &replies(commands)[..] else { panic!() };
    (response.topics.clone(), log)
}

fn with_topics() -> Controller {
    let (mut controller, _) = serving();
    let request = request(vec![topic("first", 1, 1), topic("d.e", 1, 1)]);
    let commands = controller.create_topics(NOW_MS, 0, &request, &mut ids(1));
    controller.committed(end_of(&commands));
    controller
}

/// One topic, refused: nothing is written.
fn check(topic: CreatableTopic, code: ErrorCode, message: &str) {
    let (results, log) = create(&mut with_topics(), &request(vec![topic]));
    let [result] = &results[..] else { panic!("{results:?}") };
    assert_eq!((result.error_code, result.error_message.as_deref()), (code, Some(message)));
    assert_eq!((result.num_partitions, result.topic_id), (-1, Uuid::ZERO));
    assert!(log.is_empty());
}

#[test]
fn names() {
    use ErrorCode::*;
    check(topic("first", 1, 1), TopicAlreadyExists, "Topic 'first' already exists.");
    check(
        topic("d_e", 1, 1),
        InvalidTopicException,
        "Topic 'd_e' collides with existing topic: d.e",
    );
    let text = "Topic name is invalid: the empty string is not allowed";
    check(topic("", 1, 1), InvalidTopicException, text);
    let text = "Creation of internal topic __cluster_metadata is prohibited.";
    check(topic("__cluster_metadata", 1, 1), InvalidRequest, text);
    // An existing topic is told so whatever else is wrong.
    let existing = configured("first", &[("nope", Some("x"))]);
    check(existing, TopicAlreadyExists, "Topic 'first' already exists.");
}

#[test]
fn counts() {
    use ErrorCode::*;
    let text = "Number of partitions was set to an invalid non-positive value.";
    check(topic("a", 0, 1), InvalidPartitions, text);
    check(topic("a", -2, 1), InvalidPartitions, text);
    let text = "Replication factor must be larger than 0, or -1 to use the default value.";
    check(topic("a", 1, 0), InvalidReplicationFactor, text);
    check(topic("a", 0, -2), InvalidReplicationFactor, text);
    let text = "Unable to replicate the partition 2 time(s): The target replication factor of 2 \
                cannot be reached because only 1 broker(s) are registered or some brokers have \
                all their log directories cordoned.";
    check(topic("a", 1, 2), InvalidReplicationFactor, text);
    let text = "Excessively large number of partitions per request.";
    check(topic("a", 10_001, 1), PolicyViolation, text);
    check(topic("a", i32::MAX, 1), PolicyViolation, text);
    // 10,000 partitions and their topic are one record too many for one batch.
    let text = "Unable to perform excessively large batch operation.";
    check(topic("a", 10_000, 1), PolicyViolation, text);
}

#[test]
fn assignments() {
    use ErrorCode::*;
    let head = "The manual partition assignment includes";
    let check_assigned = |assignments: &[(i32, &[i32])], text: &str| {
        check(assigned("a", assignments), InvalidReplicaAssignment, text);
    };
    let none = format!("{head} broker 2, but no such broker is registered.");
    check_assigned(&[(0, &[2])], &none);
    check_assigned(&[(0, &[1]), (1, &[1, 2])], &none);
    let none = format!("{head} broker -1, but no such broker is registered.");
    check_assigned(&[(0, &[-1])], &none);
    check_assigned(&[(0, &[1, 1])], &format!("{head} the broker 1 more than once."));
    check_assigned(&[(0, &[])], &format!("{head} an empty replica list."));
    let gap = "partitions should be a consecutive 0-based integer sequence";
    check_assigned(&[(1, &[1])], gap);
    check_assigned(&[(0, &[1]), (2, &[1])], gap);
    check_assigned(&[(-1, &[1])], gap);
    let twice = "Found multiple manual partition assignments for partition 0";
    check_assigned(&[(0, &[1]), (0, &[1])], twice);
    let both = CreatableTopic { num_partitions: 1, ..assigned("a", &[(0, &[1])]) };
    let text = "A manual partition assignment was specified, but numPartitions was not set to -1.";
    check(both, InvalidRequest, text);
    let both = CreatableTopic { replication_factor: 1, ..assigned("a", &[(0, &[1])]) };
    let text =
        "A manual partition assignment was specified, but replication factor was not set to -1.";
    check(both, InvalidRequest, text);

    let (results, log) =
        create(&mut with_topics(), &request(vec![assigned("a", &[(1, &[1]), (0, &[1])])]));
    assert_eq!((results[0].num_partitions, results[0].replication_factor), (2, 1));
    assert_eq!(log.len(), 4);
}

#[test]
fn settings_of_topics() {
    let check_config = |configs: &[(&str, Option<&str>)], text: &str| {
        check(configured("a", configs), ErrorCode::InvalidConfig, text);
    };
    check_config(&[("nope", Some("1"))], "Unknown topic config name: nope");
    let text = "Null value not supported for topic configs: retention.ms";
    check_config(&[("retention.ms", None)], text);
    let text = "Invalid value abc for configuration retention.ms: Not a number of type LONG";
    check_config(&[("retention.ms", Some("abc"))], text);
}

#[test]
fn one_request_is_one_batch() {
    let mut controller = with_topics();
    let configs = [
        ("retention.ms", Some("60000")),
        ("min.insync.replicas", Some("1")),
        ("ringlog.durability", Some("synced")),
    ];
    let topics = vec![
        topic("a", 2, 1),
        topic("first", 1, 1),
        configured("b", &configs),
        topic("twice", 1, 1),
        topic("twice", 2, 1),
        topic("f.g", 1, 1),
        topic("f_g", 1, 1),
    ];
    let (results, log) = create(&mut controller, &request(topics));
    let line = |result: &CreatableTopicResult| format!("{} {}", result.name, result.error_code);
    assert_eq!(
        results.iter().map(line).collect::<Vec<_>>(),
        [
            "a NONE",
            "first TOPIC_ALREADY_EXISTS",
            "b NONE",
            "twice INVALID_REQUEST",
            "f.g NONE",
            "f_g NONE",
        ]
    );
    assert_eq!(
        log,
        [
            "17 v0 Topic a",
            "18 v2 Partition 0 replicas [1] leader 1 epoch 0",
            "19 v2 Partition 1 replicas [1] leader 1 epoch 0",
            "20 v0 Topic b",
            "21 v0 Config 2:b min.insync.replicas=Some(\"1\")",
            "22 v0 Config 2:b retention.ms=Some(\"60000\")",
            "23 v0 Config 2:b ringlog.durability=Some(\"synced\")",
            "24 v0 ClearElr",
            "25 v2 Partition 0 replicas [1] leader 1 epoch 0",
            "26 v0 Topic f.g",
            "27 v2 Partition 0 replicas [1] leader 1 epoch 0",
            "28 v0 Topic f_g",
            "29 v2 Partition 0 replicas [1] leader 1 epoch 0",
            "| epoch 1",
        ]
    );
    let image = controller.staged.staged();
    assert_eq!(image.topic_config("b", "retention.ms"), Some("60000"));
    let partition = image.partition(id(1000), 1).expect("it is there");
    assert_eq!((&partition.directories[..], &partition.isr[..]), (&[DIRECTORY][..], &[1][..]));
}

#[test]
fn defaults_and_descriptions() {
    let mut controller = with_topics();
    controller.settings.statics.insert("log.retention.hours".into(), "2".into());
    let (results, _) = create(&mut controller, &request(vec![topic("a", -1, -1)]));
    let result = &results[0];
    assert_eq!((result.num_partitions, result.replication_factor), (3, 1));
    assert_eq!((result.error_message.as_deref(), result.topic_id), (None, id(1000)));
    let configs = result.configs.as_ref().expect("described");
    assert_eq!(configs.len(), topic_config::SETTINGS.len());
    let told = |name: &str| {
        let config = configs.iter().find(|config| config.name == name).expect(name);
        (config.value.as_deref().expect("told").to_string(), config.config_source)
    };
    assert_eq!(told("retention.ms"), ("7200000".into(), 4));
    assert_eq!(told("min.insync.replicas"), ("1".into(), 3));
    assert_eq!(told("cleanup.policy"), ("delete".into(), 5));
}

#[test]
fn validate_only_answers_the_same_and_writes_nothing() {
    let mut controller = with_topics();
    let before = controller.staged.clone();
    let mut request = request(vec![topic("a", 2, 1), topic("first", 1, 1)]);
    request.validate_only = true;
    let (results, log) = create(&mut controller, &request);
    assert!(log.is_empty());
    assert_eq!(results[0].num_partitions, 2);
    assert_eq!(results[1].error_code, ErrorCode::TopicAlreadyExists);
    assert_eq!(controller.staged, before);
    request.topics = vec![topic("a", 10_000, 1)];
    let (results, _) = create(&mut controller, &request);
    assert_eq!(results[0].error_code, ErrorCode::PolicyViolation);
}

#[test]
fn ids_that_are_taken_or_reserved_are_drawn_again() {
    let mut controller = with_topics();
    let mut draws = [Uuid::ZERO, Uuid::METADATA_TOPIC, id(1), id(5)].into_iter();
    let mut ids = || draws.next().expect("no more is drawn");
    controller.create_topics(NOW_MS, 1, &request(vec![topic("a", 1, 1)]), &mut ids);
    assert_eq!(controller.staged.staged().topic_named("a").expect("created").id, id(5));
}
