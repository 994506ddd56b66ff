//! Checks of what the client says when the broker refuses.

use rdkafka::admin::{NewPartitions, NewTopic, TopicReplication, TopicResult};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use crate::broker::{Broker, Record, WAIT_MAX, name, options, wait};
use crate::records::numbered;
use crate::{Answer, Check};

pub const CHECKS: &[Check] = &[
    Check { name: "errors/unknown-topic", run: unknown_topic },
    Check { name: "errors/too-large", run: too_large },
    Check { name: "errors/invalid-name", run: invalid_name },
    Check { name: "errors/exists", run: exists },
    Check { name: "errors/out-of-range", run: out_of_range },
    Check { name: "errors/bad-config", run: bad_config },
    Check { name: "errors/bad-partitions", run: bad_partitions },
];

/// What was tried and the name of the error that came.
#[derive(Default)]
struct Answers(Vec<String>);

impl Answers {
    fn add<T>(&mut self, what: &str, result: Result<T, KafkaError>) {
        let answer = result.err().map_or("none".to_string(), |error| name(&error));
        self.0.push(format!("{what}: {answer}"));
    }

    /// For what answers a list of one.
    fn add_first(&mut self, what: &str, results: Result<Vec<TopicResult>, KafkaError>) {
        let first = results.and_then(|all| match all.into_iter().next() {
            Some(Err((_, code))) => Err(KafkaError::AdminOp(code)),
            _ => Ok(()),
        });
        self.add(what, first);
    }

    /// That something went well is an error.
    fn all(self) -> Answer {
        let text = self.0.join("; ");
        if text.contains(": none") {
            return Err(format!("no error: {text}").into());
        }
        Ok(text)
    }
}

/// A producer of librdkafka lets the broker make topics, so this one only asks and changes.
fn unknown_topic(broker: &Broker) -> Answer {
    let topic = format!("{}-never-made", broker.prefix);
    let mut answers = Answers::default();
    let metadata = broker.reader.fetch_metadata(Some(&topic), WAIT_MAX)?;
    let error = metadata.topics().first().and_then(|topic| topic.error());
    answers.add("metadata", error.map_or(Ok(()), |e| Err(KafkaError::MetadataFetch(e.into()))));
    answers.add("offsets", broker.reader.fetch_watermarks(&topic, 0, WAIT_MAX));
    answers.add_first("delete", wait(broker.admin.delete_topics(&[&topic], &options())));
    let more = NewPartitions::new(&topic, 2);
    answers.add_first("grow", wait(broker.admin.create_partitions([&more], &options())));
    answers.all()
}

fn too_large(broker: &Broker) -> Answer {
    let topic = broker.topic("too-large", 1, &[])?;
    let small = broker.topic("too-large-small", 1, &[("max.message.bytes", "1000")])?;
    let limit = [("message.max.bytes", "8388608")];
    let record = |size: usize| Record { value: Some(vec![0; size]), ..Record::default() };
    let mut answers = Answers::default();
    for (what, topic, size) in [("2 MiB", &topic, 2 << 20), ("1000 of 1000", &small, 1000)] {
        let delivery = broker.produce(topic, &[record(size)], &limit)?.pop();
        answers.add(what, delivery.ok_or("no delivery report")?);
    }
    broker.produce_all(&small, &[record(900)], &limit)?;
    answers.all()
}

fn create(broker: &Broker, name: &str, partitions: i32, replicas: i32) -> Result<(), KafkaError> {
    broker.create(&NewTopic::new(name, partitions, TopicReplication::Fixed(replicas)))
}

/// The empty name is left out: librdkafka refuses it itself.
fn invalid_name(broker: &Broker) -> Answer {
    let mut answers = Answers::default();
    let prefix = &broker.prefix;
    for (what, name) in [
        ("space", format!("{prefix} bad")),
        ("slash", format!("{prefix}/bad")),
        ("letter", format!("{prefix}-ü")),
        ("dot", ".".to_string()),
        ("dots", "..".to_string()),
        ("250 letters", "a".repeat(250)),
    ] {
        answers.add(what, create(broker, &name, 1, 1));
    }
    answers.all()
}

fn exists(broker: &Broker) -> Answer {
    let topic = broker.topic("exists", 1, &[])?;
    let dotted = broker.topic("exists.collides", 1, &[])?;
    let mut answers = Answers::default();
    answers.add("again", create(broker, &topic, 1, 1));
    answers.add("other partitions", create(broker, &topic, 2, 1));
    answers.add("collision", create(broker, &dotted.replace('.', "_"), 1, 1));
    answers.all()
}

/// With auto.offset.reset=error the consumer tells of it.
fn out_of_range(broker: &Broker) -> Answer {
    let topic = broker.topic("out-of-range", 1, &[])?;
    broker.produce_all(&topic, &numbered(1, 10), &[])?;
    let mut answers = Answers::default();
    let consumed = broker.consume(&topic, &[(0, Offset::Offset(1000))], 1);
    answers.0.push(match consumed.map_err(|failure| failure.downcast::<KafkaError>()) {
        Err(Ok(error)) => format!("consume at 1000: {}", name(&error)),
        other => format!("consume at 1000: {other:?}"),
    });
    let mut beyond = TopicPartitionList::new();
    beyond.add_partition_offset(&topic, 0, Offset::Offset(11))?;
    let deleted = wait(broker.admin.delete_records(&beyond, &options()))
        .and_then(|list| list.find_partition(&topic, 0).map_or(Ok(()), |element| element.error()));
    answers.add("delete records before 11", deleted);
    answers.all()
}

/// The crate drops the errors of single resources, so only creation is tried; the same is why
/// `unknown_topic` describes no configurations.
fn bad_config(broker: &Broker) -> Answer {
    let name = format!("{}-bad-config-new", broker.prefix);
    let mut answers = Answers::default();
    for (key, value) in [
        ("no.such.setting", "1"),
        ("retention.ms", "soon"),
        ("retention.ms", "-2"),
        ("cleanup.policy", "burn"),
        ("compression.type", "brotli"),
        ("segment.bytes", "1"),
        ("min.insync.replicas", "0"),
        ("message.timestamp.type", "Never"),
    ] {
        let new = NewTopic::new(&name, 1, TopicReplication::Fixed(1)).set(key, value);
        answers.add(&format!("create {key}={value}"), broker.create(&new));
    }
    answers.all()
}

/// librdkafka refuses a number of replicas out of -1 to its own maximum itself.
fn bad_partitions(broker: &Broker) -> Answer {
    let topic = broker.topic("bad-partitions", 3, &[])?;
    let name = format!("{}-bad-partitions-new", broker.prefix);
    let mut answers = Answers::default();
    answers.add("create 0", create(broker, &name, 0, 1));
    answers.add("replicas 0", create(broker, &name, 1, 0));
    answers.add("replicas 30", create(broker, &name, 1, 30));
    for count in [2, 3] {
        let change = NewPartitions::new(&topic, count);
        let grown = wait(broker.admin.create_partitions([&change], &options()));
        answers.add_first(&format!("grow 3 to {count}"), grown);
    }
    answers.all()
}
