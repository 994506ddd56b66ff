//! CreatePartitions: each check with the code and words that Kafka 4.3.1 answered (one broker; `pa`
//! of two partitions there), and what is written.

use super::*;
use ringlog_wire::api::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
};
use ringlog_wire::api::create_topics::{CreatableTopic, CreateTopicsRequest};

fn with_topics() -> Controller {
    let (mut controller, _) = serving();
    let topic = |(name, num_partitions): (&str, i32)| CreatableTopic {
        name: name.into(),
        num_partitions,
        replication_factor: 1,
        ..Default::default()
    };
    let topics = [("pa", 2), ("pb", 3)].map(topic).to_vec();
    let request = CreateTopicsRequest { topics, ..Default::default() };
    let commands = controller.create_topics(NOW_MS, 0, &request, &mut ids(1));
    controller.committed(end_of(&commands));
    controller
}

fn topic(name: &str, count: i32) -> CreatePartitionsTopic {
    CreatePartitionsTopic { name: name.into(), count, assignments: None }
}

fn assigned(count: i32, assignments: &[&[i32]]) -> CreatePartitionsTopic {
    let one = |brokers: &&[i32]| CreatePartitionsAssignment { broker_ids: brokers.to_vec() };
    CreatePartitionsTopic {
        assignments: Some(assignments.iter().map(one).collect()),
        ..topic("pa", count)
    }
}

/// Each topic's `name code words`, and what was written.
fn grow(
    controller: &mut Controller,
    request: &CreatePartitionsRequest,
) -> (Vec<String>, Vec<String>) {
    let mut commands = controller.create_partitions(NOW_MS, 1, request);
    let log = dump(&bytes_of(&commands));
    if !log.is_empty() {
        assert!(replies(commands.clone()).is_empty(), "an answer waits for its records");
        commands = controller.committed(end_of(&commands));
    }
    let [(1, Reply::CreatePartitions(response))] = &replies(commands)[..] else { panic!() };
    let line = |told: &ringlog_wire::api::create_partitions::CreatePartitionsTopicResult| {
        let words = told.error_message.as_deref().unwrap_or("");
        format!("{} {} {words}", told.name, told.error_code).trim_end().to_string()
    };
    (response.results.iter().map(line).collect(), log)
}

fn request(topics: Vec<CreatePartitionsTopic>) -> CreatePartitionsRequest {
    CreatePartitionsRequest { topics, ..Default::default() }
}

#[test]
fn refusals() {
    const HEAD: &str = "The manual partition assignment includes";
    let unknown = |id: i32| format!("{HEAD} broker {id}, but no such broker is registered.");
    let no_increase = |count: i32| {
        format!("The topic pa currently has 2 partition(s); {count} would not be an increase.")
    };
    let wrong_count = |added: i32, given: i32| {
        format!(
            "Attempted to add {added} additional partition(s), but only {given} assignment(s) \
             were specified."
        )
    };
    let large = "Excessively large number of partitions per request.".to_string();
    let same = "Topic already has 2 partition(s).".to_string();
    for (topic, code, words) in [
        (topic("pa", 1), "INVALID_PARTITIONS", no_increase(1)),
        (topic("pa", 0), "INVALID_PARTITIONS", no_increase(0)),
        (topic("pa", -1), "INVALID_PARTITIONS", no_increase(-1)),
        (topic("pa", i32::MIN), "INVALID_PARTITIONS", no_increase(i32::MIN)),
        (topic("pa", 2), "INVALID_PARTITIONS", same.clone()),
        (assigned(2, &[&[1]]), "INVALID_PARTITIONS", same),
        (topic("nope", 3), "UNKNOWN_TOPIC_OR_PARTITION", String::new()),
        (topic("", 3), "UNKNOWN_TOPIC_OR_PARTITION", String::new()),
        (assigned(4, &[&[1]]), "INVALID_REPLICA_ASSIGNMENT", wrong_count(2, 1)),
        (assigned(3, &[]), "INVALID_REPLICA_ASSIGNMENT", wrong_count(1, 0)),
        (assigned(3, &[&[1], &[1]]), "INVALID_REPLICA_ASSIGNMENT", wrong_count(1, 2)),
        (assigned(3, &[&[1, 99]]), "INVALID_REPLICA_ASSIGNMENT", unknown(99)),
        (assigned(3, &[&[-1]]), "INVALID_REPLICA_ASSIGNMENT", unknown(-1)),
        (
            assigned(3, &[&[]]),
            "INVALID_REPLICA_ASSIGNMENT",
            format!("{HEAD} an empty replica list."),
        ),
        (
            assigned(3, &[&[1, 1]]),
            "INVALID_REPLICA_ASSIGNMENT",
            format!("{HEAD} the broker 1 more than once."),
        ),
        (topic("pa", 10_003), "POLICY_VIOLATION", large.clone()),
        (topic("pa", i32::MAX), "POLICY_VIOLATION", large),
    ] {
        let name = topic.name.clone();
        let (told, log) = grow(&mut with_topics(), &request(vec![topic]));
        assert_eq!(told, [format!("{name} {code} {words}").trim_end()]);
        assert!(log.is_empty());
    }
}

#[test]
fn the_first_partitions_keep_their_numbers() {
    let mut controller = with_topics();
    let topics = vec![topic("pa", 4), topic("pb", 2), topic("nope", 9)];
    let (told, log) = grow(&mut controller, &request(topics));
    let expected = [
        "pa NONE",
        "pb INVALID_PARTITIONS The topic pb currently has 3 partition(s); 2 would not be an \
         increase.",
        "nope UNKNOWN_TOPIC_OR_PARTITION",
    ];
    assert_eq!(told, expected);
    assert_eq!(log.len(), 3, "two partitions, one batch: {log:?}");
    let image = controller.staged.staged();
    let partitions = &image.topic_named("pa").expect("it is there").partitions;
    assert_eq!(partitions.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(partitions.values().all(|one| one.leader == 1 && one.directories == [DIRECTORY]));
    let (told, log) = grow(&mut controller, &request(vec![assigned(5, &[&[1]])]));
    assert_eq!((told, log.len()), (vec!["pa NONE".to_string()], 2));
}

#[test]
fn names_that_stand_there_twice_come_first() {
    let topics = vec![topic("pb", 4), topic("pa", 3), topic("pa", 4)];
    let (told, log) = grow(&mut with_topics(), &request(topics));
    assert_eq!(told, ["pa INVALID_REQUEST Duplicate topic name.", "pb NONE"]);
    assert_eq!(log.len(), 2);
}

#[test]
fn only_checked_is_not_written() {
    let mut controller = with_topics();
    let check = CreatePartitionsRequest {
        validate_only: true,
        ..request(vec![topic("pa", 3), topic("pb", 3)])
    };
    let (told, log) = grow(&mut controller, &check);
    assert_eq!(told, ["pa NONE", "pb INVALID_PARTITIONS Topic already has 3 partition(s)."]);
    assert!(log.is_empty());
    assert_eq!(controller.staged.staged().partition_count(), 5);
    // As many as one batch holds.
    let (told, log) = grow(&mut controller, &request(vec![topic("pa", 10_002)]));
    assert_eq!((told, log.len()), (vec!["pa NONE".to_string()], 10_001));
}
