//! Checks of transactions. kcat tells of everything to the end that it is shown.

use std::collections::BTreeMap;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use crate::broker::{Broker, Record, Reports, WAIT_MAX, eventually, name, poll, send};
use crate::flow::{Flow, PARTITIONS};
use crate::{Answer, Check, Failure, expect};

pub const CHECKS: &[Check] = &[
    Check { name: "transactions/commit", run: commit },
    Check { name: "transactions/abort", run: abort },
    Check { name: "transactions/offsets", run: offsets },
    Check { name: "transactions/fencing", run: fencing },
    Check { name: "transactions/timeout", run: timeout },
];

const COMMITTED: &str = "read_committed";
const UNCOMMITTED: &str = "read_uncommitted";
const DEADLINE: Duration = Duration::from_secs(15);
const INTERVAL: Duration = Duration::from_millis(20);
/// How many messages one transaction takes at most.
const BATCH: usize = 7;

/// A producer of transactions.
struct Transactional {
    producer: ThreadedProducer<Reports>,
    reports: Reports,
}

impl Transactional {
    fn new(broker: &Broker, name: &str, settings: &[(&str, &str)]) -> Result<Self, Failure> {
        let name = format!("{}-{name}", broker.prefix);
        let settings = [settings, &[("transactional.id", name.as_str())]].concat();
        let (producer, reports) = broker.producer(&settings)?;
        producer.init_transactions(WAIT_MAX)?;
        Ok(Self { producer, reports })
    }

    /// Sends to partition 0 and waits until all are acknowledged.
    fn send(&self, topic: &str, values: &[String]) -> Result<(), KafkaError> {
        for value in values {
            let value = Some(value.clone().into_bytes());
            send(&self.producer, topic, &Record { value, ..Record::default() })?;
        }
        self.producer.flush(WAIT_MAX)?;
        self.reports.taken().into_iter().try_for_each(|delivery| delivery.map(drop))
    }

    /// A whole transaction.
    fn committed(&self, topic: &str, values: &[&str]) -> Result<(), KafkaError> {
        self.begun(topic, values)?;
        self.producer.commit_transaction(WAIT_MAX)
    }

    fn begun(&self, topic: &str, values: &[&str]) -> Result<(), KafkaError> {
        self.producer.begin_transaction()?;
        self.send(topic, &values.iter().map(ToString::to_string).collect::<Vec<_>>())
    }
}

/// What kcat reads of a topic to the end that it is shown, in a form of its language.
fn kcat(broker: &Broker, topic: &str, isolation: &str, form: &str) -> Answer {
    let mut command = Command::new("kcat");
    command.args(["-C", "-b", &broker.bootstrap, "-t", topic, "-o", "beginning", "-e", "-q"]);
    command.args(["-f", form, "-X", &format!("isolation.level={isolation}")]);
    let output = command.args(["-X", "fetch.wait.max.ms=50"]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim_end().to_string())
}

/// A coordinator may answer before all partitions have its decision.
fn until_shown(broker: &Broker, topic: &str, wanted: &str) -> Answer {
    expect(eventually(wanted, || kcat(broker, topic, COMMITTED, "%o:%s "))?, wanted)
}

/// The client reads the same as kcat.
fn shown(broker: &Broker, topic: &str, isolation: &str) -> Answer {
    let wanted = kcat(broker, topic, isolation, "%o:%s ")?;
    let mut config = Broker::config(&broker.bootstrap);
    config.set("group.id", "unused: partitions are assigned").set("isolation.level", isolation);
    let consumer: BaseConsumer = config.set("fetch.wait.max.ms", "50").create()?;
    let mut place = TopicPartitionList::new();
    place.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&place)?;
    let mut found = Vec::new();
    for message in poll(&consumer, wanted.split_whitespace().count())? {
        let value = String::from_utf8_lossy(message.payload().unwrap_or_default());
        found.push(format!("{}:{value}", message.offset()));
    }
    expect(found.join(" "), &wanted)
}

fn commit(broker: &Broker) -> Answer {
    let topic = broker.topic("transactions-commit", 1, &[])?;
    let one = Transactional::new(broker, "transactions-commit", &[])?;
    one.begun(&topic, &["a", "b"])?;
    let open = [shown(broker, &topic, COMMITTED)?, shown(broker, &topic, UNCOMMITTED)?];
    one.producer.commit_transaction(WAIT_MAX)?;
    one.committed(&topic, &["c"])?;
    until_shown(broker, &topic, "0:a 1:b 3:c")?;
    let both = [shown(broker, &topic, COMMITTED)?, shown(broker, &topic, UNCOMMITTED)?];
    Ok(format!("open: {open:?}, then {both:?}"))
}

fn abort(broker: &Broker) -> Answer {
    let topic = broker.topic("transactions-abort", 1, &[])?;
    let one = Transactional::new(broker, "transactions-abort", &[])?;
    for (aborted, kept) in [("a", "b"), ("c", "d")] {
        one.begun(&topic, &[aborted, aborted])?;
        one.producer.abort_transaction(WAIT_MAX)?;
        one.committed(&topic, &[kept, kept])?;
    }
    until_shown(broker, &topic, "3:b 4:b 9:d 10:d")?;
    let both = [shown(broker, &topic, COMMITTED)?, shown(broker, &topic, UNCOMMITTED)?];
    Ok(format!("{} of {}", both[0], both[1]))
}

/// Consume, transform, produce: every third transaction is aborted and done anew.
fn offsets(broker: &Broker) -> Answer {
    let output = broker.topic("transactions-offsets-output", 1, &[])?;
    let mut flow = Flow::new(broker, "transactions-offsets", 1)?;
    let mut wanted = Vec::new();
    for number in 0..10 {
        flow.send()?;
        wanted.extend((0..PARTITIONS).map(|partition| format!("{partition}-{number}")));
    }
    transform(broker, &flow, &output, wanted.len())?;
    wanted.sort();
    let found = || {
        let text = kcat(broker, &output, COMMITTED, "%s ")?;
        let mut values: Vec<&str> = text.split_whitespace().collect();
        values.sort_unstable();
        Ok(values.join(" "))
    };
    expect(eventually(&wanted.join(" "), found)?, &wanted.join(" "))?;
    expect(format!("{:?}", flow.committed()?), &format!("{:?}", [Some(10); 6]))
}

fn transform(broker: &Broker, flow: &Flow<'_>, output: &str, count: usize) -> Result<(), Failure> {
    let consumer: BaseConsumer = flow.config(&[("isolation.level", COMMITTED)]).create()?;
    consumer.subscribe(&[&flow.topics[0]])?;
    let one = Transactional::new(broker, "transactions-offsets", &[])?;
    let (mut done, mut rounds) = (0, 0);
    let deadline = Instant::now() + DEADLINE;
    while done < count {
        if Instant::now() > deadline {
            return Err(format!("{done} of {count} in {rounds} rounds").into());
        }
        let (mut starts, mut ends) = (BTreeMap::new(), TopicPartitionList::new());
        let (mut values, mut latest) = (Vec::new(), BTreeMap::new());
        while values.len() < BATCH {
            let Some(message) = consumer.poll(INTERVAL) else { break };
            let message = message?;
            let value = String::from_utf8_lossy(message.payload().unwrap_or_default());
            values.push(format!("{}-{value}", message.partition()));
            starts.entry(message.partition()).or_insert(message.offset());
            latest.insert(message.partition(), message.offset());
        }
        if values.is_empty() {
            continue;
        }
        for (partition, offset) in latest {
            ends.add_partition_offset(&flow.topics[0], partition, Offset::Offset(offset + 1))?;
        }
        rounds += 1;
        one.producer.begin_transaction()?;
        one.send(output, &values)?;
        let metadata = consumer.group_metadata().ok_or("no group metadata")?;
        one.producer.send_offsets_to_transaction(&ends, &metadata, WAIT_MAX)?;
        if rounds % 3 == 0 {
            one.producer.abort_transaction(WAIT_MAX)?;
            for (partition, offset) in starts {
                consumer.seek(&flow.topics[0], partition, Offset::Offset(offset), WAIT_MAX)?;
            }
        } else {
            one.producer.commit_transaction(WAIT_MAX)?;
            done += values.len();
        }
    }
    Ok(())
}

/// The name of the error with which this must fail.
fn refused(result: Result<(), KafkaError>) -> Answer {
    match result {
        Err(KafkaError::Transaction(error)) => Ok(format!("{:?}", error.code())),
        Err(error) => Ok(name(&error)),
        Ok(()) => Err("not refused".into()),
    }
}

fn fencing(broker: &Broker) -> Answer {
    let topic = broker.topic("transactions-fencing", 1, &[])?;
    let old = Transactional::new(broker, "transactions-fencing", &[])?;
    old.begun(&topic, &["a"])?;
    let late = Transactional::new(broker, "transactions-fencing", &[])?;
    let sent = refused(old.send(&topic, &["b".to_string()]))?;
    let ended = refused(old.producer.commit_transaction(WAIT_MAX))?;
    late.committed(&topic, &["c"])?;
    let shown = until_shown(broker, &topic, "2:c")?;
    Ok(format!("send: {sent}, commit: {ended}; then {shown}"))
}

fn timeout(broker: &Broker) -> Answer {
    let topic = broker.topic("transactions-timeout", 1, &[])?;
    let settings = [("transaction.timeout.ms", "1000"), ("delivery.timeout.ms", "1000")];
    let late = Transactional::new(broker, "transactions-timeout", &settings)?;
    late.begun(&topic, &["a"])?;
    // The marker of its end stands behind, once the broker has aborted it.
    let deadline = Instant::now() + DEADLINE;
    while broker.reader.fetch_watermarks(&topic, 0, WAIT_MAX)?.1 < 2 {
        if Instant::now() > deadline {
            return Err("the broker does not abort it".into());
        }
        thread::sleep(INTERVAL);
    }
    let ended = refused(late.producer.commit_transaction(WAIT_MAX))?;
    let next = Transactional::new(broker, "transactions-timeout", &[])?;
    next.committed(&topic, &["b"])?;
    let shown = until_shown(broker, &topic, "2:b")?;
    Ok(format!("commit: {ended}; then {shown}"))
}
