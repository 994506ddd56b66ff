//! A librdkafka client that checks a broker: `client-rdkafka BOOTSTRAP TOPIC CODEC [MESSAGES]`.
//!
//! It produces with idempotence and acks=all, with keys and headers, to `PARTITIONS` partitions,
//! waits for every delivery report, then consumes all of it from assigned partitions (no group,
//! nothing committed) and checks counts, offsets, order and contents. Anything else than what was
//! sent is an error and exit status 1.

#![forbid(unsafe_code)]
// A program that runs in real time, unlike the state machines this lint is for.
#![allow(clippy::disallowed_methods)]

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PARTITIONS: i32 = 4;
const MESSAGES_DEFAULT: u64 = 100_000;
const DEADLINE: Duration = Duration::from_secs(60);
/// How much of a payload repeats, so that codecs have something to compress.
const PAYLOAD_REPEATS: usize = 12;

type Failure = Box<dyn std::error::Error>;

#[derive(Default)]
struct Counts {
    delivered: AtomicU64,
    failed: AtomicU64,
}

struct Reports(Arc<Counts>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        match result {
            Ok(_) => self.0.delivered.fetch_add(1, Ordering::SeqCst),
            Err((error, _)) => {
                eprintln!("delivery failed: {error}");
                self.0.failed.fetch_add(1, Ordering::SeqCst)
            }
        };
    }
}

fn payload(index: u64) -> String {
    format!("message {index} ").repeat(PAYLOAD_REPEATS)
}

/// Message `index` goes to partition `index % PARTITIONS`, so partition p holds p, p + 4, p + 8,
/// ...
fn produce(bootstrap: &str, topic: &str, codec: &str, messages: u64) -> Result<(), Failure> {
    let counts = Arc::new(Counts::default());
    let producer: ThreadedProducer<Reports> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", codec)
        .set("linger.ms", "5")
        .set("delivery.timeout.ms", "30000")
        .create_with_context(Reports(counts.clone()))?;
    let deadline = Instant::now() + DEADLINE;
    for index in 0..messages {
        let text = payload(index);
        let key = format!("key {index}");
        let number = index.to_string();
        let headers = OwnedHeaders::new()
            .insert(Header { key: "index", value: Some(&number) })
            .insert(Header::<&str> { key: "nothing", value: None });
        let mut record = BaseRecord::to(topic)
            .partition((index % PARTITIONS as u64) as i32)
            .key(&key)
            .payload(&text)
            .headers(headers);
        loop {
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if Instant::now() < deadline =>
                {
                    record = back;
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }
    producer.flush(DEADLINE)?;
    let delivered = counts.delivered.load(Ordering::SeqCst);
    let failed = counts.failed.load(Ordering::SeqCst);
    if delivered != messages || failed != 0 {
        return Err(format!("{delivered} of {messages} delivered, {failed} failed").into());
    }
    Ok(())
}

fn check(message: &BorrowedMessage<'_>, expected: u64) -> Result<(), Failure> {
    let place = format!("partition {} offset {}", message.partition(), message.offset());
    let index = message.offset() as u64 * PARTITIONS as u64 + message.partition() as u64;
    if index != expected {
        return Err(format!("{place}: expected message {expected}, offset says {index}").into());
    }
    if message.key() != Some(format!("key {index}").as_bytes()) {
        return Err(format!("{place}: wrong key {:?}", message.key()).into());
    }
    if message.payload() != Some(payload(index).as_bytes()) {
        return Err(format!("{place}: wrong payload").into());
    }
    let headers = message.headers().ok_or_else(|| format!("{place}: no headers"))?;
    let number = index.to_string();
    let first = headers.count() == 2
        && headers.get(0) == Header { key: "index", value: Some(number.as_bytes()) };
    if !first || headers.get(1) != (Header { key: "nothing", value: None }) {
        return Err(format!("{place}: wrong headers").into());
    }
    Ok(())
}

fn consume(bootstrap: &str, topic: &str, messages: u64) -> Result<(), Failure> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "unused: partitions are assigned")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        .set("enable.partition.eof", "true")
        // Questions wait on the broker's connection while a fetch waits for more.
        .set("fetch.wait.max.ms", "50")
        .create()?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    let deadline = Instant::now() + DEADLINE;
    let mut next: Vec<u64> = (0..PARTITIONS as u64).collect();
    let mut ended = vec![false; PARTITIONS as usize];
    let mut seen = 0;
    while seen < messages || ended.contains(&false) {
        if Instant::now() > deadline {
            return Err(format!("{seen} of {messages} consumed within {DEADLINE:?}").into());
        }
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(partition))) => ended[partition as usize] = true,
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(message)) => {
                let expected = &mut next[message.partition() as usize];
                check(&message, *expected)?;
                *expected += PARTITIONS as u64;
                seen += 1;
                ended[message.partition() as usize] = false;
            }
        }
    }
    for partition in 0..PARTITIONS {
        let held = (messages + PARTITIONS as u64 - 1 - partition as u64) / PARTITIONS as u64;
        let (low, high) = consumer.fetch_watermarks(topic, partition, Duration::from_secs(10))?;
        if (low, high) != (0, held as i64) {
            return Err(format!("partition {partition}: watermarks {low}..{high}").into());
        }
    }
    Ok(())
}

fn run(arguments: &[String]) -> Result<(), Failure> {
    let [_, bootstrap, topic, codec, rest @ ..] = arguments else {
        return Err("usage: client-rdkafka BOOTSTRAP TOPIC CODEC [MESSAGES]".into());
    };
    let messages = match rest.first() {
        Some(text) => text.parse()?,
        None => MESSAGES_DEFAULT,
    };
    let started = Instant::now();
    produce(bootstrap, topic, codec, messages)?;
    let produced = started.elapsed();
    consume(bootstrap, topic, messages)?;
    let consumed = started.elapsed() - produced;
    println!("{messages} messages, {codec}: produced in {produced:?}, consumed in {consumed:?}");
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("client-rdkafka: {error}");
            ExitCode::FAILURE
        }
    }
}
