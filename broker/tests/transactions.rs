//! Transactions of a real broker, by raw frames: both versions of them (KIP-890).

mod common;

use common::client::{Topic, fetch_request, produce_request};
use common::records::{build, values};
use common::{Broker, Client, Options, eventually, now_ms};
use ringlog_broker::config::Advertise;
use ringlog_wire::api::add_partitions_to_txn::{
    self, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddPartitionsToTxnTopic,
};
use ringlog_wire::api::end_txn::{self, EndTxnRequest, EndTxnResponse};
use ringlog_wire::api::fetch::{self, FetchRequest, FetchResponse};
use ringlog_wire::api::find_coordinator::{
    self, FindCoordinatorRequest, FindCoordinatorResponse, KEY_TRANSACTION,
};
use ringlog_wire::api::init_producer_id::{
    self, InitProducerIdRequest, InitProducerIdResponse,
};
use ringlog_wire::api::produce::{self, ProduceResponse};
use ringlog_wire::batch::BatchOptions;
use ringlog_wire::error::ErrorCode;

const COMMITTED: i8 = 1;

/// A producer with its transactional id.
struct Producer {
    id: String,
    producer_id: i64,
    epoch: i16,
    sequence: i32,
}

fn coordinator(broker: &Broker, id: &str) -> Client {
    let request = FindCoordinatorRequest {
        key_type: KEY_TRANSACTION,
        coordinator_keys: vec![id.into()],
        ..FindCoordinatorRequest::default()
    };
    let found = eventually("a coordinator", || {
        let told: FindCoordinatorResponse =
            broker.client().call(&find_coordinator::API, 4, &request);
        told.coordinators.into_iter().find(|found| found.error_code.is_none())
    });
    let address = format!("{}:{}", found.host, found.port);
    Client::connect(address.parse().expect("an address"))
}

fn init(broker: &Broker, id: &str) -> Producer {
    let request = InitProducerIdRequest {
        transactional_id: Some(id.into()),
        transaction_timeout_ms: 60_000,
        ..InitProducerIdRequest::default()
    };
    let mut client = coordinator(broker, id);
    let told = eventually("a producer id", || {
        let told: InitProducerIdResponse = client.call(&init_producer_id::API, 4, &request);
        match told.error_code {
            ErrorCode::CoordinatorLoadInProgress | ErrorCode::ConcurrentTransactions => None,
            _ => Some(told),
        }
    });
    assert_eq!(told.error_code, ErrorCode::None);
    let (producer_id, epoch) = (told.producer_id, told.producer_epoch);
    Producer { id: id.into(), producer_id, epoch, sequence: 0 }
}

/// The client of the shard that has that partition.
fn leader(broker: &Broker, topic: &Topic, index: i32) -> Client {
    let shards = match broker.options.advertise {
        Advertise::Node => 1,
        Advertise::Shard => broker.options.shards,
    };
    let mut clients = (0..shards).map(|shard| Client::connect(broker.address(shard)));
    clients
        .find_map(|mut client| {
            let found = client.offset_as(7, topic, index, -1);
            found.error_code.is_none().then_some(client)
        })
        .expect("a leader")
}

impl Producer {
    fn add(&self, broker: &Broker, topic: &Topic, index: i32) -> ErrorCode {
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.id.clone(),
            v3_and_below_producer_id: self.producer_id,
            v3_and_below_producer_epoch: self.epoch,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                name: topic.name.clone(),
                partitions: vec![index],
            }],
            ..AddPartitionsToTxnRequest::default()
        };
        let mut client = coordinator(broker, &self.id);
        eventually("an answer", || {
            let told: AddPartitionsToTxnResponse =
                client.call(&add_partitions_to_txn::API, 3, &request);
            let result = &told.results_by_topic_v3_and_below[0].results_by_partition[0];
            let code = result.partition_error_code;
            (code != ErrorCode::ConcurrentTransactions).then_some(code)
        })
    }

    fn produce(
        &mut self,
        broker: &Broker,
        version: i16,
        topic: &Topic,
        index: i32,
        value: &str,
    ) -> ErrorCode {
        let options = BatchOptions {
            producer_id: self.producer_id,
            producer_epoch: self.epoch,
            base_sequence: self.sequence,
            transactional: true,
            ..BatchOptions::default()
        };
        // Old records and new markers would not share a segment.
        let records = build(options, now_ms(), &[value.as_bytes()]);
        let mut request = produce_request(-1, topic, index, records);
        request.transactional_id = Some(self.id.clone());
        let mut client = leader(broker, topic, index);
        let told: ProduceResponse = client.call(&produce::API, version, &request);
        let code = told.responses[0].partition_responses[0].error_code;
        self.sequence += i32::from(code.is_none());
        code
    }

    fn end(&mut self, broker: &Broker, version: i16, committed: bool) -> ErrorCode {
        let request = EndTxnRequest {
            transactional_id: self.id.clone(),
            producer_id: self.producer_id,
            producer_epoch: self.epoch,
            committed,
        };
        let mut client = coordinator(broker, &self.id);
        let told: EndTxnResponse = client.call(&end_txn::API, version, &request);
        if version >= 5 && told.error_code.is_none() {
            assert_eq!((told.producer_id, told.producer_epoch), (self.producer_id, self.epoch + 1));
            (self.epoch, self.sequence) = (told.producer_epoch, 0);
        }
        told.error_code
    }
}

/// What a reader of committed records may see and is told of aborted transactions.
fn committed(broker: &Broker, topic: &Topic, index: i32) -> (Vec<String>, i64, usize) {
    let mut client = leader(broker, topic, index);
    let ask = fetch_request(topic, &[(index, 0)]);
    let request = FetchRequest { isolation_level: COMMITTED, ..ask };
    let mut told: FetchResponse = client.call(&fetch::API, 12, &request);
    let told = told.responses.remove(0).partitions.remove(0);
    assert_eq!(told.error_code, ErrorCode::None);
    let records = told.records.unwrap_or_default();
    let aborted = told.aborted_transactions.expect("never null for readers of committed records");
    let seen = values(&records).into_iter().filter_map(|value| String::from_utf8(value).ok());
    let seen = seen.filter(|value| value.starts_with("v")).collect();
    (seen, told.last_stable_offset, aborted.len())
}

/// Once the markers are written.
fn settled(broker: &Broker, topic: &Topic, index: i32, end: i64) -> (Vec<String>, usize) {
    eventually("the last stable offset", || {
        let (values, stable, aborted) = committed(broker, topic, index);
        (stable == end).then_some((values, aborted))
    })
}

fn brokers() -> impl Iterator<Item = Broker> {
    [(1, Advertise::Node), (2, Advertise::Node), (2, Advertise::Shard)]
        .into_iter()
        .map(|(shards, advertise)| {
            Broker::start_with(Options { shards, advertise, ..Options::default() })
        })
}

#[test]
fn rule_33_version_1_of_transactions_adds_partitions_first() {
    for broker in brokers() {
        let topic = broker.client().create("t", 3);
        let mut producer = init(&broker, "one");
        assert_eq!(producer.produce(&broker, 10, &topic, 0, "v0"), ErrorCode::InvalidTxnState);
        assert_eq!(producer.produce(&broker, 11, &topic, 0, "v0"), ErrorCode::TransactionAbortable);
        for index in 0..3 {
            assert_eq!(producer.add(&broker, &topic, index), ErrorCode::None);
        }
        for index in 0..3 {
            producer.sequence = 0;
            assert_eq!(producer.produce(&broker, 11, &topic, index, "v1"), ErrorCode::None);
            assert_eq!(committed(&broker, &topic, index), (vec![], 0, 0));
        }
        assert_eq!(producer.end(&broker, 4, true), ErrorCode::None);
        for index in 0..3 {
            assert_eq!(settled(&broker, &topic, index, 2), (vec!["v1".into()], 0));
        }
        // The same producer again, and this time it thinks better of it.
        assert_eq!(producer.add(&broker, &topic, 1), ErrorCode::None);
        assert_eq!(producer.produce(&broker, 11, &topic, 1, "v2"), ErrorCode::None);
        assert_eq!(producer.end(&broker, 4, false), ErrorCode::None);
        assert_eq!(settled(&broker, &topic, 1, 4).1, 1, "the aborted one is told");
    }
}

#[test]
fn rule_34_version_2_of_transactions_adds_partitions_by_itself() {
    for broker in brokers() {
        let topic = broker.client().create("t", 2);
        let mut producer = init(&broker, "two");
        for round in 0..3 {
            for index in 0..2 {
                producer.sequence = 0;
                let code = producer.produce(&broker, 12, &topic, index, "v");
                assert_eq!(code, ErrorCode::None, "round {round}");
            }
            assert_eq!(producer.end(&broker, 5, round != 1), ErrorCode::None);
            for index in 0..2 {
                settled(&broker, &topic, index, 2 * (round + 1));
            }
        }
        // An abort where nothing is open is fine.
        assert_eq!(producer.end(&broker, 5, false), ErrorCode::None);
    }
}

#[test]
fn rule_32_a_newer_producer_fences_the_older_and_aborts_its_transaction() {
    for broker in brokers() {
        let topic = broker.client().create("t", 1);
        let mut zombie = init(&broker, "z");
        assert_eq!(zombie.produce(&broker, 12, &topic, 0, "v-lost"), ErrorCode::None);
        let mut heir = init(&broker, "z");
        assert!(heir.epoch > zombie.epoch && heir.producer_id == zombie.producer_id);
        assert_eq!(settled(&broker, &topic, 0, 2).1, 1);
        assert_eq!(zombie.produce(&broker, 12, &topic, 0, "v"), ErrorCode::InvalidProducerEpoch);
        assert_eq!(zombie.end(&broker, 4, true), ErrorCode::ProducerFenced);
        assert_eq!(heir.produce(&broker, 12, &topic, 0, "v-kept"), ErrorCode::None);
        assert_eq!(heir.end(&broker, 5, true), ErrorCode::None);
        let (seen, aborted) = settled(&broker, &topic, 0, 4);
        assert_eq!((seen, aborted), (vec!["v-lost".to_string(), "v-kept".to_string()], 1));
    }
}

#[test]
fn rule_76_a_transaction_outlives_a_restart() {
    for advertise in [Advertise::Node, Advertise::Shard] {
        let options = Options { shards: 2, advertise, ..Options::default() };
        let broker = Broker::start_with(options);
        let topic = broker.client().create("t", 1);
        let mut producer = init(&broker, "r");
        assert_eq!(producer.produce(&broker, 12, &topic, 0, "v1"), ErrorCode::None);
        let broker = broker.restart();
        assert_eq!(committed(&broker, &topic, 0), (vec![], 0, 0));
        let code = eventually("the coordinator", || {
            let code = producer.produce(&broker, 12, &topic, 0, "v2");
            (code != ErrorCode::NotEnoughReplicas).then_some(code)
        });
        assert_eq!(code, ErrorCode::None);
        assert_eq!(producer.end(&broker, 5, true), ErrorCode::None);
        let seen = settled(&broker, &topic, 0, 3);
        assert_eq!(seen, (vec!["v1".to_string(), "v2".to_string()], 0));
        let broker = broker.restart();
        assert_eq!(settled(&broker, &topic, 0, 3), seen);
    }
}
