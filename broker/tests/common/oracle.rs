//! The same questions to a broker of ours and to Apache Kafka: with `RINGLOG_ORACLE=HOST:PORT` in
//! the environment a test speaks to that broker instead of starting one.
//!
//! Expectations are what Apache Kafka 4.3.1 said; where Ringlog differs on purpose, a case says so.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use ringlog_wire::ErrorCode;
use ringlog_wire::api::create_topics::{
    self, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use ringlog_wire::api::produce::PartitionProduceResponse;

use super::client::{Client, Topic};
use super::{Broker, Options, eventually, now_ms};

/// Who is asked.
pub struct Target {
    broker: Option<Broker>,
    address: SocketAddr,
}

impl Target {
    /// The oracle, if there is one, else a broker of one shard.
    pub fn start() -> Target {
        Target::start_with(Options::default())
    }

    /// The same; a broker of ours is started like this.
    pub fn start_with(options: Options) -> Target {
        match std::env::var("RINGLOG_ORACLE") {
            Ok(address) => Target { broker: None, address: address.parse().expect("an address") },
            Err(_) => {
                let broker = Broker::start_with(options);
                let address = broker.address(0);
                Target { broker: Some(broker), address }
            }
        }
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Whether Apache Kafka answers.
    pub fn is_kafka(&self) -> bool {
        self.broker.is_none()
    }

    /// A new topic of one partition with these settings, once it can be written to.
    pub fn topic(&self, settings: &[(&str, &str)]) -> Topic {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("t-{}-{}-{count}", now_ms(), std::process::id());
        let mut client = self.client();
        let configs = settings.iter().map(|(name, value)| CreatableTopicConfig {
            name: (*name).into(),
            value: Some((*value).into()),
        });
        let topic = CreatableTopic {
            name: name.clone(),
            num_partitions: 1,
            replication_factor: 1,
            configs: configs.collect(),
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: 10_000,
            ..CreateTopicsRequest::default()
        };
        let response: CreateTopicsResponse = client.call(&create_topics::API, 7, &request);
        assert_eq!(response.topics[0].error_code, ErrorCode::None, "{response:?}");
        let topic = Topic { name, id: response.topics[0].topic_id };
        eventually("the topic is served", || {
            (client.offset_as(4, &topic, 0, -1).error_code == ErrorCode::None).then_some(())
        });
        topic
    }
}

/// One batch to one partition, and what becomes of it.
pub struct Case {
    pub what: &'static str,
    pub version: i16,
    pub records: Vec<u8>,
    /// See [`told`].
    pub expected: &'static str,
    /// What Kafka says, where Ringlog says something else on purpose.
    pub kafka: Option<&'static str>,
}

/// A case in Produce v9 in which both agree.
pub fn case(what: &'static str, records: Vec<u8>, expected: &'static str) -> Case {
    Case { what, version: 9, records, expected, kafka: None }
}

impl Case {
    pub fn version(self, version: i16) -> Case {
        Case { version, ..self }
    }

    pub fn but_kafka_says(self, kafka: &'static str) -> Case {
        Case { kafka: Some(kafka), ..self }
    }
}

/// An answer in short: the code; `@offset` if the batch is not at `end`, the end of the log;
/// `+time` if it has a time; the records that were the reason.
pub fn told(answer: &PartitionProduceResponse, end: i64) -> String {
    let mut text = answer.error_code.code().to_string();
    let expected = if answer.error_code == ErrorCode::None { end } else { -1 };
    if answer.base_offset != expected {
        text += &format!(" @{}", answer.base_offset);
    }
    if answer.log_append_time_ms >= 0 {
        text += " +time";
    }
    if !answer.record_errors.is_empty() {
        let records: Vec<_> = answer.record_errors.iter().map(|it| it.batch_index).collect();
        text += &format!(" {records:?}");
    }
    text
}

/// Produces each batch in turn with acks = all, and compares.
pub fn check(target: &Target, topic: &Topic, cases: Vec<Case>) {
    let mut client = target.client();
    let mut wrong = Vec::new();
    for Case { what, version, records, expected, kafka } in cases {
        let end = client.offset_as(4, topic, 0, -1).offset;
        let answer = client.produce_as(version, -1, topic, 0, records);
        let expected = kafka.filter(|_| target.is_kafka()).unwrap_or(expected);
        let found = told(&answer, end);
        // Kafka has words for few of them.
        let says_why =
            version < 8 || answer.error_code == ErrorCode::None || answer.error_message.is_some();
        assert!(says_why || target.is_kafka(), "{what}: refused without a word");
        if found != expected {
            let why = answer.error_message.unwrap_or_default();
            wrong.push(format!("{what}: {found}, expected {expected}; {why}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
