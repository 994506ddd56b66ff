//! Transactions of a real broker, by raw frames: both versions of them (KIP-890).

mod common;

use common::client::{Topic, fetch_request, produce_request};
use common::records::{build, values};
use common::{Broker, Client, Options, eventually, now_ms};
use ringlog_broker::config::Advertise;
use ringlog_wire::Uuid;
use ringlog_wire::api::add_offsets_to_txn::{
    self, AddOffsetsToTxnRequest, AddOffsetsToTxnResponse,
};
use ringlog_wire::api::add_partitions_to_txn::{
    self, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddPartitionsToTxnTopic,
};
use ringlog_wire::api::end_txn::{self, EndTxnRequest, EndTxnResponse};
use ringlog_wire::api::fetch::{self, FetchRequest, FetchResponse};
use ringlog_wire::api::find_coordinator::{
    self, FindCoordinatorRequest, FindCoordinatorResponse, KEY_GROUP, KEY_TRANSACTION,
};
use ringlog_wire::api::init_producer_id::{self, InitProducerIdRequest, InitProducerIdResponse};
use ringlog_wire::api::offset_commit::{
    self, OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    OffsetCommitResponse,
};
use ringlog_wire::api::offset_fetch::{
    self, OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
    OffsetFetchResponse,
};
use ringlog_wire::api::produce::{self, ProduceResponse};
use ringlog_wire::api::txn_offset_commit::{
    self, TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
};
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
    coordinator_of(broker, KEY_TRANSACTION, id)
}

fn coordinator_of(broker: &Broker, key_type: i8, id: &str) -> Client {
    let request = FindCoordinatorRequest {
        key_type,
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
    [(1, Advertise::Node), (2, Advertise::Node), (2, Advertise::Shard)].into_iter().map(
        |(shards, advertise)| {
            Broker::start_with(Options { shards, advertise, ..Options::default() })
        },
    )
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

/// Commits an offset of group `g` in the producer's transaction.
fn commit_offset(
    broker: &Broker,
    producer: &Producer,
    version: i16,
    topic: &Topic,
    offset: i64,
) -> ErrorCode {
    eventually("an answer", || {
        let code = try_to_commit_offset(broker, producer, version, topic, offset);
        (code != ErrorCode::CoordinatorLoadInProgress).then_some(code)
    })
}

fn try_to_commit_offset(
    broker: &Broker,
    producer: &Producer,
    version: i16,
    topic: &Topic,
    offset: i64,
) -> ErrorCode {
    let request = TxnOffsetCommitRequest {
        transactional_id: producer.id.clone(),
        group_id: "g".into(),
        producer_id: producer.producer_id,
        producer_epoch: producer.epoch,
        topics: vec![TxnOffsetCommitRequestTopic {
            name: topic.name.clone(),
            partitions: vec![TxnOffsetCommitRequestPartition {
                partition_index: 0,
                committed_offset: offset,
                ..TxnOffsetCommitRequestPartition::default()
            }],
            ..TxnOffsetCommitRequestTopic::default()
        }],
        ..TxnOffsetCommitRequest::default()
    };
    let mut client = coordinator_of(broker, KEY_GROUP, "g");
    let told: TxnOffsetCommitResponse = client.call(&txn_offset_commit::API, version, &request);
    told.topics[0].partitions[0].error_code
}

/// The group's offset, for those that only want decided ones.
fn stable_offset(broker: &Broker, topic: &Topic) -> Result<i64, ErrorCode> {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: "g".into(),
            topics: Some(vec![OffsetFetchRequestTopics {
                name: topic.name.clone(),
                partition_indexes: vec![0],
                ..OffsetFetchRequestTopics::default()
            }]),
            ..OffsetFetchRequestGroup::default()
        }],
        require_stable: true,
        ..OffsetFetchRequest::default()
    };
    let mut client = coordinator_of(broker, KEY_GROUP, "g");
    let told: OffsetFetchResponse = client.call(&offset_fetch::API, 8, &request);
    let group = &told.groups[0];
    let Some(topic) = group.topics.first() else { return Err(group.error_code) };
    let partition = &topic.partitions[0];
    match partition.error_code {
        ErrorCode::None => Ok(partition.committed_offset),
        code => Err(code),
    }
}

#[test]
fn rule_40_offsets_in_a_transaction_count_when_it_is_committed() {
    for (broker, version) in brokers().zip([0, 3, 3]).chain(brokers().zip([5, 5, 5])) {
        let topic = broker.client().create("t", 1);
        let mut producer = init(&broker, "offsets");
        let is_second = version >= 5;
        let begin = |producer: &Producer| {
            if !is_second {
                let request = AddOffsetsToTxnRequest {
                    transactional_id: producer.id.clone(),
                    producer_id: producer.producer_id,
                    producer_epoch: producer.epoch,
                    group_id: "g".into(),
                };
                let mut client = coordinator(&broker, &producer.id);
                eventually("the partition added", || {
                    let told: AddOffsetsToTxnResponse =
                        client.call(&add_offsets_to_txn::API, 3, &request);
                    told.error_code.is_none().then_some(())
                });
            }
        };
        let end_version = if is_second { 5 } else { 1 };
        for (round, committed) in [true, false, true].into_iter().enumerate() {
            let before = if round == 0 { -1 } else { 10 };
            begin(&producer);
            let offset = 10 * (round as i64 + 1);
            let code = commit_offset(&broker, &producer, version, &topic, offset);
            assert_eq!(code, ErrorCode::None, "version {version}");
            assert_eq!(stable_offset(&broker, &topic), Err(ErrorCode::UnstableOffsetCommit));
            assert_eq!(producer.end(&broker, end_version, committed), ErrorCode::None);
            let expected = if committed { offset } else { before };
            let what = format!("the offset {expected}, version {version}, round {round}");
            eventually(&what, || (stable_offset(&broker, &topic) == Ok(expected)).then_some(()));
        }
        let broker = broker.restart();
        eventually("the offset", || (stable_offset(&broker, &topic) == Ok(30)).then_some(()));
    }
}

/// Commits 800 KB of offsets outside of transactions.
fn commit_much(client: &mut Client) {
    let partition = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_metadata: Some("x".repeat(4000)),
        ..OffsetCommitRequestPartition::default()
    };
    let request = OffsetCommitRequest {
        group_id: "much".into(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: "wide".into(),
            partitions: (0..200).map(partition).collect(),
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    };
    let told: OffsetCommitResponse = client.call(&offset_commit::API, 7, &request);
    assert!(told.topics[0].partitions.iter().all(|partition| partition.error_code.is_none()));
}

/// A transaction that stays open keeps what is before it in the log; others may not take turns at
/// that for ever.
#[test]
fn a_coordinators_log_becomes_short_whatever_transactions_do() {
    let set = vec!["offsets.topic.num.partitions=1"];
    let broker = Broker::start_with(Options { set, ..Options::default() });
    let topic = broker.client().create("t", 1);
    broker.client().create("wide", 200);
    let mut stays = init(&broker, "stays");
    assert_eq!(commit_offset(&broker, &stays, 5, &topic, 1), ErrorCode::None);
    let mut client = coordinator_of(&broker, KEY_GROUP, "much");
    for _ in 0..(256 << 20) / 800_000 + 10 {
        commit_much(&mut client);
    }
    let offsets = Topic { name: "__consumer_offsets".into(), id: Uuid::ZERO };
    let start = |client: &mut Client| client.offset_as(7, &offsets, 0, -2).offset;
    assert_eq!(start(&mut client), 0);
    let comes = init(&broker, "comes");
    let code = try_to_commit_offset(&broker, &comes, 5, &topic, 2);
    assert_eq!(code, ErrorCode::CoordinatorLoadInProgress, "it has to be tried again");
    assert_eq!(commit_offset(&broker, &stays, 5, &topic, 3), ErrorCode::None, "that is open");
    assert_eq!(stays.end(&broker, 5, true), ErrorCode::None);
    eventually("the log is short", || (start(&mut client) > 0).then_some(()));
    assert_eq!(commit_offset(&broker, &comes, 5, &topic, 4), ErrorCode::None);
}
