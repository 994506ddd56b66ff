//! Where the broker is, an admin client to it, and what most checks do with it.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use crate::Failure;

/// How long anything may take.
pub const WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a broker may take to show what its controller has done.
const SHOWN_MAX: Duration = Duration::from_secs(3);
const SHOWN_INTERVAL: Duration = Duration::from_millis(20);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

pub struct Broker {
    pub bootstrap: String,
    pub prefix: String,
    pub admin: AdminClient<DefaultClientContext>,
    /// For questions about metadata and offsets, and for reading: to close a consumer takes
    /// librdkafka most of a second, so that all checks use this one.
    pub reader: BaseConsumer,
}

/// A record to send.
#[derive(Clone, Default)]
pub struct Record {
    pub partition: i32,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub timestamp: Option<i64>,
    pub headers: Option<OwnedHeaders>,
}

/// Where a record went, or why it went nowhere.
pub type Delivery = Result<(i32, i64), KafkaError>;

/// Collects the delivery reports.
#[derive(Clone, Default)]
pub struct Reports(Arc<Mutex<Vec<Delivery>>>);

impl Reports {
    /// What was reported since the last time.
    pub fn taken(&self) -> Vec<Delivery> {
        std::mem::take(&mut self.0.lock().expect("no panic holds it"))
    }
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let delivery = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.clone()),
        };
        self.0.lock().expect("no panic holds it").push(delivery);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for an answer of the admin client, which has a thread of its own.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park_timeout(WAIT_MAX),
        }
    }
}

pub fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(WAIT_MAX)).operation_timeout(Some(WAIT_MAX))
}

/// Asks until the answer is the wanted one; what was said last is returned.
pub fn eventually(
    wanted: &str,
    mut ask: impl FnMut() -> Result<String, Failure>,
) -> Result<String, Failure> {
    let deadline = Instant::now() + SHOWN_MAX;
    loop {
        let answer = ask()?;
        if answer == wanted || Instant::now() > deadline {
            return Ok(answer);
        }
        thread::sleep(SHOWN_INTERVAL);
    }
}

/// The client's name of an error.
pub fn name(error: &KafkaError) -> String {
    match error {
        KafkaError::AdminOp(code) => format!("{code:?}"),
        _ => match error.rdkafka_error_code() {
            Some(code) => format!("{code:?}"),
            None => error.to_string(),
        },
    }
}

impl Broker {
    pub fn new(bootstrap: String, prefix: String) -> Result<Self, KafkaError> {
        let config = Self::config(&bootstrap);
        let admin = config.create()?;
        let reader = Self::reader(&bootstrap)?;
        Ok(Self { bootstrap, prefix, admin, reader })
    }

    /// What every client here starts from.
    pub fn config(bootstrap: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap);
        config.set("topic.metadata.refresh.fast.interval.ms", "20");
        config.set("log_level", "0");
        config
    }

    /// Another consumer, which knows nothing yet.
    pub fn reader(bootstrap: &str) -> Result<BaseConsumer, KafkaError> {
        Self::config(bootstrap)
            .set("group.id", "unused: partitions are assigned")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("check.crcs", "true")
            // Questions wait on the broker's connection while a fetch waits for more.
            .set("fetch.wait.max.ms", "50")
            .create()
    }

    /// Makes a topic of this check, and waits until every partition's leader answers: a batch may
    /// otherwise be taken where the one before it was refused.
    pub fn topic(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> Result<String, Failure> {
        let name = format!("{}-{name}", self.prefix);
        let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        self.create(&topic).map_err(|error| format!("create {name}: {error}"))?;
        eventually("true", || Ok(self.is_ready(&name, partitions).to_string()))?;
        Ok(name)
    }

    /// Whether every partition's leader answers. The metadata is asked for at each try: otherwise
    /// librdkafka waits for the leader that it has been told of.
    fn is_ready(&self, topic: &str, partitions: i32) -> bool {
        let answers = |partition| {
            let ends = self.reader.fetch_watermarks(topic, partition, SHOWN_MAX / 4);
            ends.is_ok()
        };
        self.reader.fetch_metadata(Some(topic), WAIT_MAX).is_ok() && (0..partitions).all(answers)
    }

    pub fn create(&self, topic: &NewTopic<'_>) -> Result<(), KafkaError> {
        let results = wait(self.admin.create_topics([topic], &options()))?;
        match results.into_iter().next() {
            Some(Err((_, code))) => Err(KafkaError::AdminOp(code)),
            _ => Ok(()),
        }
    }

    pub fn producer(
        &self,
        settings: &[(&str, &str)],
    ) -> Result<(ThreadedProducer<Reports>, Reports), KafkaError> {
        let reports = Reports::default();
        let mut config = Self::config(&self.bootstrap);
        config.set("linger.ms", "5").set("delivery.timeout.ms", "10000");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        Ok((config.create_with_context(reports.clone())?, reports))
    }

    /// Sends the records with a producer of its own; what became of each, in no order.
    pub fn produce(
        &self,
        topic: &str,
        records: &[Record],
        settings: &[(&str, &str)],
    ) -> Result<Vec<Delivery>, KafkaError> {
        let (producer, reports) = self.producer(settings)?;
        for record in records {
            send(&producer, topic, record)?;
        }
        producer.flush(WAIT_MAX)?;
        Ok(reports.taken())
    }

    /// Like [`Self::produce`], but the first failure is an error.
    pub fn produce_all(
        &self,
        topic: &str,
        records: &[Record],
        settings: &[(&str, &str)],
    ) -> Result<(), Failure> {
        let deliveries = self.produce(topic, records, settings)?;
        if deliveries.len() != records.len() {
            return Err(format!("{} of {} reported", deliveries.len(), records.len()).into());
        }
        for delivery in deliveries {
            delivery?;
        }
        Ok(())
    }

    /// Reads `count` messages of one topic, from these places of its partitions on.
    pub fn consume(
        &self,
        topic: &str,
        places: &[(i32, Offset)],
        count: usize,
    ) -> Result<Vec<OwnedMessage>, Failure> {
        self.assign(topic, places)?;
        let got = poll(&self.reader, count);
        self.reader.unassign()?;
        got
    }

    pub fn assign(&self, topic: &str, places: &[(i32, Offset)]) -> Result<(), KafkaError> {
        let mut assignment = TopicPartitionList::new();
        for (partition, offset) in places {
            assignment.add_partition_offset(topic, *partition, *offset)?;
        }
        self.reader.assign(&assignment)
    }

    /// All partitions from their beginning.
    pub fn consume_all(
        &self,
        topic: &str,
        partitions: i32,
        count: usize,
    ) -> Result<Vec<OwnedMessage>, Failure> {
        let places: Vec<_> = (0..partitions).map(|at| (at, Offset::Beginning)).collect();
        self.consume(topic, &places, count)
    }
}

/// Hands a record over, once there is room.
pub fn send(
    producer: &ThreadedProducer<Reports>,
    topic: &str,
    record: &Record,
) -> Result<(), KafkaError> {
    let mut next = BaseRecord::<[u8], [u8]>::to(topic).partition(record.partition);
    if let Some(key) = &record.key {
        next = next.key(key);
    }
    if let Some(value) = &record.value {
        next = next.payload(value);
    }
    if let Some(timestamp) = record.timestamp {
        next = next.timestamp(timestamp);
    }
    if let Some(headers) = &record.headers {
        next = next.headers(headers.clone());
    }
    loop {
        match producer.send(next) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                next = back;
                thread::sleep(SHOWN_INTERVAL);
            }
            Err((error, _)) => return Err(error),
        }
    }
}

/// The next `count` messages; the ends of partitions are no matter.
pub fn poll(consumer: &BaseConsumer, count: usize) -> Result<Vec<OwnedMessage>, Failure> {
    let deadline = Instant::now() + WAIT_MAX;
    let mut messages = Vec::new();
    while messages.len() < count {
        match consumer.poll(POLL_INTERVAL) {
            Some(Ok(message)) => messages.push(message.detach()),
            Some(Err(KafkaError::PartitionEOF(_))) | None if Instant::now() < deadline => {}
            Some(Err(KafkaError::PartitionEOF(_))) | None => {
                return Err(format!("{} of {count} consumed", messages.len()).into());
            }
            Some(Err(error)) => return Err(error.into()),
        }
    }
    Ok(messages)
}

/// Waits until the consumer stands at the end of a partition, and has met nothing on the way.
pub fn poll_end(consumer: &BaseConsumer) -> Result<(), Failure> {
    let deadline = Instant::now() + WAIT_MAX;
    while Instant::now() < deadline {
        match consumer.poll(POLL_INTERVAL) {
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(message)) => return Err(format!("offset {}", message.offset()).into()),
            None => {}
        }
    }
    Err("no end of the partition".into())
}
