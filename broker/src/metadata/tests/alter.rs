//! AlterConfigs and IncrementalAlterConfigs: each check with the code and words that Kafka 4.3.1
//! answered (one broker with id 1, topics `t1` and `t2` there).

use super::*;
use crate::metadata::alter::{AlterAsk, Change, Op, ResourceChange};
use crate::metadata::image::{RESOURCE_BROKER, RESOURCE_TOPIC};
use ringlog_wire::ErrorCode;
use ringlog_wire::api::create_topics::{CreatableTopic, CreateTopicsRequest};

/// A controller with the topics `t1` and `t2`.
fn with_topics() -> Controller {
    let (mut controller, _) = serving();
    let topic = |name: &str| CreatableTopic {
        name: name.into(),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    };
    let topics = vec![topic("t1"), topic("t2")];
    let request = CreateTopicsRequest { topics, ..Default::default() };
    let commands = controller.create_topics(NOW_MS, 0, &request, &mut ids(1));
    controller.committed(end_of(&commands));
    controller
}

/// `retention.ms=5` sets, `-x` deletes, `x+=a` appends, `x-=a` takes out, `x=~` sets null.
fn change(text: &str) -> Change {
    if let Some(name) = text.strip_prefix('-') {
        return (name.into(), Op::Delete, None);
    }
    let (left, value) = text.split_once('=').expect("name=value");
    let value = (value != "~").then(|| value.to_string());
    match left.chars().last() {
        Some('+') => (left.trim_end_matches('+').into(), Op::Append, value),
        Some('-') => (left.trim_end_matches('-').into(), Op::Subtract, value),
        _ => (left.into(), Op::Set, value),
    }
}

fn resource(kind: i8, name: &str, changes: &[&str]) -> ResourceChange {
    ResourceChange {
        kind,
        name: Ok(name.into()),
        changes: changes.iter().map(|text| change(text)).collect(),
    }
}

type Results = Vec<Result<(), (ErrorCode, String)>>;

/// The results, and what was written.
fn alter(controller: &mut Controller, ask: &AlterAsk) -> (Results, Vec<String>) {
    let mut commands = controller.alter_configs(NOW_MS, 1, ask);
    let log = dump(&bytes_of(&commands));
    if !log.is_empty() {
        commands = controller.committed(end_of(&commands));
    }
    let [(1, Reply::AlterConfigs(results))] = &replies(commands)[..] else { panic!() };
    (results.clone(), log)
}

fn ask(resources: Vec<ResourceChange>) -> AlterAsk {
    AlterAsk { resources, ..Default::default() }
}

/// One resource changed; the records written, without offsets.
fn changed(controller: &mut Controller, kind: i8, name: &str, changes: &[&str]) -> Vec<String> {
    let (results, log) = alter(controller, &ask(vec![resource(kind, name, changes)]));
    assert_eq!(results, [Ok(())], "{changes:?}");
    let records = log.iter().filter(|line| !line.starts_with('|'));
    records.map(|line| line.split_once(' ').expect("an offset").1.to_string()).collect()
}

/// One resource refused: nothing is written.
fn refused(kind: i8, name: &str, changes: &[&str], code: ErrorCode, message: &str) {
    let request = ask(vec![resource(kind, name, changes)]);
    let (results, log) = alter(&mut with_topics(), &request);
    assert_eq!(results, [Err((code, message.to_string()))], "{changes:?}");
    assert!(log.is_empty());
}

#[test]
fn rule_63_what_is_refused_for_topics() {
    use ErrorCode::*;
    let cases: &[(&str, &[&str], ErrorCode, &str)] = &[
        ("", &["retention.ms=1"], InvalidRequest, "Default topic resources are not allowed."),
        (
            "bad/name",
            &["retention.ms=1"],
            InvalidTopicException,
            "Topic name is invalid: 'bad/name' contains one or more characters other than ASCII \
             alphanumerics, '.', '_' and '-'",
        ),
        ("no", &["retention.ms=1"], UnknownTopicOrPartition, "The topic 'no' does not exist."),
        // Settings are looked at before the topic is.
        ("no", &["nope=1"], InvalidConfig, "Unknown topic config name: nope"),
        ("t1", &["nope=1"], InvalidConfig, "Unknown topic config name: nope"),
        ("t1", &["=1"], InvalidConfig, "Unknown topic config name: "),
        (
            "t1",
            &["retention.ms=1", "segment.bytes=abc"],
            InvalidConfig,
            "Invalid value abc for configuration segment.bytes: Not a number of type INT",
        ),
        (
            "t1",
            &["retention.ms=-77"],
            InvalidConfig,
            "Invalid value -77 for configuration retention.ms: Value must be at least -1",
        ),
        (
            "t1",
            &["min.cleanable.dirty.ratio=2"],
            InvalidConfig,
            "Invalid value 2.0 for configuration min.cleanable.dirty.ratio: Value must be no more \
             than 1",
        ),
    ];
    for (name, changes, code, message) in cases {
        refused(RESOURCE_TOPIC, name, changes, *code, message);
    }
    for kind in [-1, 0, 1, 3, 99] {
        let text = format!("Unknown resource type {kind}");
        refused(kind, "t1", &["retention.ms=1"], InvalidRequest, &text);
    }
}

#[test]
fn rule_63_changes_that_are_refused_for_topics() {
    use ErrorCode::*;
    let cases: &[(&str, &[&str], ErrorCode, &str)] = &[
        (
            "t1",
            &["retention.ms=~", "segment.ms=~"],
            InvalidRequest,
            "Null value not supported for : retention.ms, segment.ms",
        ),
        (
            "t1",
            &["retention.ms=5", "-retention.ms"],
            InvalidRequest,
            "Error due to duplicate config keys",
        ),
        (
            "t1",
            &["retention.ms+=5"],
            InvalidConfig,
            "Can't APPEND to key retention.ms because its type is not LIST.",
        ),
        (
            "t1",
            &["nope-=5"],
            InvalidConfig,
            "Can't SUBTRACT to key nope because its type is not LIST.",
        ),
        (
            "t1",
            &["min.compaction.lag.ms=10", "max.compaction.lag.ms=5"],
            InvalidConfig,
            "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)",
        ),
        (
            "t1",
            &["cleanup.policy+=foo"],
            InvalidConfig,
            "Invalid value foo for configuration cleanup.policy: String must be one of: compact, \
             delete",
        ),
    ];
    for (name, changes, code, message) in cases {
        refused(RESOURCE_TOPIC, name, changes, *code, message);
    }
}

#[test]
fn what_is_refused_for_brokers() {
    use ErrorCode::*;
    let cases: &[(&str, &[&str], ErrorCode, &str)] = &[
        (
            "1",
            &["num.partitions=9", "auto.create.topics.enable=false", "log.retention.ms=9"],
            InvalidRequest,
            "Cannot update these configs dynamically: [num.partitions, auto.create.topics.enable]",
        ),
        (
            "",
            &["num.partitions=9"],
            InvalidRequest,
            "Cannot update these configs dynamically: [num.partitions]",
        ),
        (
            "1",
            &["log.cleaner.enable=false"],
            InvalidRequest,
            "Cannot update these configs dynamically: [log.cleaner.enable]",
        ),
        (
            "1",
            &["log.retention.ms=x"],
            InvalidRequest,
            "Invalid value x for configuration log.retention.ms: Not a number of type LONG",
        ),
        (
            "1",
            &["log.retention.ms=0"],
            InvalidRequest,
            "requirement failed: log.retention.ms must be unlimited (-1) or, greater than or \
             equal to 1",
        ),
        (
            "1",
            &["log.roll.jitter.ms=-1"],
            InvalidRequest,
            "requirement failed: log.roll.jitter.ms must be greater than or equal to 0",
        ),
        (
            "1",
            &["log.retention.ms+=5"],
            InvalidConfig,
            "Config value append is not allowed for config key: log.retention.ms",
        ),
    ];
    for (name, changes, code, message) in cases {
        refused(RESOURCE_BROKER, name, changes, *code, message);
    }
    let mut other = resource(RESOURCE_BROKER, "7", &["log.retention.ms=1"]);
    let why = "Unexpected broker id, expected 1, but received 7";
    other.name = Err(why.into());
    let (results, _) = alter(&mut with_topics(), &ask(vec![other]));
    assert_eq!(results, [Err((InvalidRequest, why.into()))]);
}

#[test]
fn the_least_in_sync_replicas_are_refused_for_brokers_as_kafka_does() {
    use ErrorCode::*;
    let cases: &[(&str, &[&str], ErrorCode, &str)] = &[
        (
            "1",
            &["min.insync.replicas=2"],
            InvalidConfig,
            "Broker-level min.insync.replicas cannot be altered while ELR is enabled.",
        ),
        (
            "",
            &["-min.insync.replicas"],
            InvalidConfig,
            "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.",
        ),
        (
            "",
            &["min.insync.replicas=0"],
            InvalidRequest,
            "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1",
        ),
    ];
    for (name, changes, code, message) in cases {
        refused(RESOURCE_BROKER, name, changes, *code, message);
    }
}

#[test]
fn operations_change_what_they_name() {
    let mut controller = with_topics();
    let mut step = |changes: &[&str]| changed(&mut controller, RESOURCE_TOPIC, "t1", changes);
    let config = |text: &str| vec![format!("v0 Config 2:t1 {text}")];
    assert_eq!(step(&["retention.ms=5"]), config("retention.ms=Some(\"5\")"));
    assert!(step(&["retention.ms=5"]).is_empty(), "nothing differs");
    // Lists begin with Kafka's default.
    assert_eq!(
        step(&["cleanup.policy+=compact"]),
        config("cleanup.policy=Some(\"delete,compact\")")
    );
    assert!(step(&["cleanup.policy+=compact"]).is_empty());
    assert_eq!(step(&["cleanup.policy-=delete,x"]), config("cleanup.policy=Some(\"compact\")"));
    assert_eq!(step(&["cleanup.policy-=compact"]), config("cleanup.policy=Some(\"\")"));
    assert_eq!(step(&["-cleanup.policy"]), config("cleanup.policy=None"));
    assert!(step(&["-cleanup.policy", "-nope"]).is_empty(), "what is not there can be deleted");
    assert!(step(&[]).is_empty());
    // Another min.insync.replicas: who was eligible is so no more.
    assert_eq!(
        step(&["min.insync.replicas=2"]),
        ["v0 Config 2:t1 min.insync.replicas=Some(\"2\")", "v0 ClearElr"]
    );
    // Unknown names may be set on brokers, as in Kafka.
    let broker = changed(&mut controller, RESOURCE_BROKER, "", &["nope=1", "num.io.threads=2"]);
    assert_eq!(broker.len(), 2);
}

#[test]
fn alter_configs_replaces_all() {
    let mut controller = with_topics();
    changed(&mut controller, RESOURCE_TOPIC, "t1", &["retention.ms=5", "segment.ms=6"]);
    let replace = |kind, name: &str, changes: &[&str]| AlterAsk {
        replace: true,
        ..ask(vec![resource(kind, name, changes)])
    };
    let (results, log) = alter(&mut controller, &replace(RESOURCE_TOPIC, "t1", &["segment.ms=7"]));
    assert_eq!(results, [Ok(())]);
    assert!(log[0].ends_with("retention.ms=None"), "{log:?}");
    assert!(log[1].ends_with("segment.ms=Some(\"7\")"), "{log:?}");
    // The cluster's min.insync.replicas would be forgotten.
    let text = "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.";
    let (results, _) = alter(&mut controller, &replace(RESOURCE_BROKER, "", &["log.roll.ms=7"]));
    assert_eq!(results, [Err((ErrorCode::InvalidConfig, text.into()))]);
    let text = "Unknown resource type 8";
    let (results, _) = alter(&mut controller, &replace(8, "1", &["root=INFO"]));
    assert_eq!(results, [Err((ErrorCode::InvalidRequest, text.into()))]);
}

#[test]
fn resources_are_independent_and_stand_once() {
    let mut controller = with_topics();
    let request = ask(vec![
        resource(RESOURCE_TOPIC, "t1", &["retention.ms=1"]),
        resource(RESOURCE_TOPIC, "t2", &["retention.ms=x"]),
        resource(RESOURCE_TOPIC, "no", &["retention.ms=1"]),
    ]);
    let only_checked = AlterAsk { validate_only: true, ..request.clone() };
    let (checked, log) = alter(&mut controller, &only_checked);
    assert!(log.is_empty());
    let (results, log) = alter(&mut controller, &request);
    assert_eq!((results.len(), log.len()), (3, 2));
    assert_eq!(checked, results);
    let codes: Vec<_> = results.into_iter().map(|result| result.err().map(|err| err.0)).collect();
    let unknown = ErrorCode::UnknownTopicOrPartition;
    assert_eq!(codes, [None, Some(ErrorCode::InvalidConfig), Some(unknown)]);
    let twice = resource(RESOURCE_TOPIC, "t1", &["retention.ms=1"]);
    let (results, _) = alter(&mut controller, &ask(vec![twice.clone(), twice]));
    let text = "Each resource must appear at most once.";
    let once = || Err((ErrorCode::InvalidRequest, text.to_string()));
    assert_eq!(results, [once(), once()]);
}

#[test]
fn a_lag_is_checked_against_what_the_broker_says() {
    let mut controller = with_topics();
    changed(&mut controller, RESOURCE_BROKER, "1", &["log.cleaner.min.compaction.lag.ms=100"]);
    let request = ask(vec![resource(RESOURCE_TOPIC, "t1", &["max.compaction.lag.ms=50"])]);
    let (results, _) = alter(&mut controller, &request);
    let text =
        "conflict topic config setting min.compaction.lag.ms (100) > max.compaction.lag.ms (50)";
    assert_eq!(results, [Err((ErrorCode::InvalidConfig, text.into()))]);
}

#[test]
fn too_much_at_once_changes_nothing() {
    let mut controller = with_topics();
    let names: Vec<String> = (0..1001).map(|number| format!("own.{number}=1")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let code =
        |result: &Result<(), (ErrorCode, String)>| result.as_ref().map_err(|err| err.0).err();
    let (results, log) = alter(&mut controller, &ask(vec![resource(RESOURCE_BROKER, "1", &names)]));
    assert_eq!(code(&results[0]), Some(ErrorCode::InvalidRequest));
    assert!(log.is_empty());
    let brokers = (1..=11).map(|id| resource(RESOURCE_BROKER, &id.to_string(), &names[1..]));
    let (results, log) = alter(&mut controller, &ask(brokers.collect()));
    assert!(results.iter().all(|result| code(result) == Some(ErrorCode::PolicyViolation)));
    assert!(log.is_empty());
    // A controller that has failed says so.
    controller.failed();
    let commands = controller.alter_configs(NOW_MS, 1, &ask(vec![resource(2, "t1", &[])]));
    let [(1, Reply::AlterConfigs(results))] = &replies(commands)[..] else { panic!() };
    assert_eq!(results[0].as_ref().map_err(|err| err.0), Err(ErrorCode::KafkaStorageError));
}
