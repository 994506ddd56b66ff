//! Transactions in the log, over the wire: what ends them, what readers of committed records see,
//! and what is left of them after a restart (rules 24, 26, 33, 35, 36, 38, 39, 43, 49b, 55).
//!
//! The brokers do not ask transactions' coordinators (`transaction.partition.verification.enable`),
//! and markers come in by WriteTxnMarkers, as `kafka-transactions abort` sends them.
#![allow(clippy::disallowed_methods, reason = "a test stands outside: it has a clock and files")]

mod common;

use std::time::{Duration, Instant};

use common::client::{Client, Topic, fetch_request, offsets_request, produce_request};
use common::records::{self, batch_at, build};
use common::{Broker, Options, now_ms};
use ringlog_broker::config::Advertise;
use ringlog_wire::ErrorCode;
use ringlog_wire::api::delete_records::{
    self, DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use ringlog_wire::api::describe_producers::{
    self, DescribeProducersRequest, DescribeProducersResponse, ProducerState, TopicRequest,
};
use ringlog_wire::api::fetch::{self, FetchRequest, FetchResponse, PartitionData};
use ringlog_wire::api::list_offsets::{self, LATEST, ListOffsetsRequest, ListOffsetsResponse};
use ringlog_wire::api::produce::{self, ProduceRequest, ProduceResponse};
use ringlog_wire::api::write_txn_markers::{
    self, WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
};
use ringlog_wire::batch::{Batch, BatchOptions};

/// A wait that no test sits through.
const LONG_MS: i32 = 8000;
/// Longest that an answer may take that does not have to wait.
const AT_ONCE: Duration = Duration::from_secs(4);
const UNVERIFIED: &str = "transaction.partition.verification.enable=false";

fn unverified(shards: usize, advertise: Advertise) -> Options {
    let set = vec![UNVERIFIED, "log.segment.bytes=1048576"];
    Options { shards, advertise, memory: "128M", set, ..Options::default() }
}

/// One shard, and three with the bus between the connection and the partitions.
fn brokers() -> Vec<Broker> {
    let options = [unverified(1, Advertise::Node), unverified(3, Advertise::Node)];
    options.into_iter().map(Broker::start_with).collect()
}

fn transactional(producer: (i64, i16), sequence: i32, values: &[&[u8]]) -> Vec<u8> {
    let options = BatchOptions {
        producer_id: producer.0,
        producer_epoch: producer.1,
        base_sequence: sequence,
        transactional: true,
        ..BatchOptions::default()
    };
    // Markers carry the broker's time: from another one, they would begin a segment.
    build(options, now_ms(), values)
}

/// A batch in no transaction.
fn plain(values: &[&[u8]]) -> Vec<u8> {
    batch_at(now_ms(), values)
}

fn in_transaction(topic: &Topic, index: i32, records: Vec<u8>) -> ProduceRequest {
    let id = Some("the transaction".into());
    ProduceRequest { transactional_id: id, ..produce_request(-1, topic, index, records) }
}

/// Produces in a transaction; the first offset, or why not.
fn produce(
    client: &mut Client,
    topic: &Topic,
    index: i32,
    records: Vec<u8>,
) -> Result<i64, ErrorCode> {
    let request = in_transaction(topic, index, records);
    let response: ProduceResponse = client.call(&produce::API, 11, &request);
    let data = &response.responses[0].partition_responses[0];
    if data.error_code.is_none() { Ok(data.base_offset) } else { Err(data.error_code) }
}

/// A marker as its coordinator sends it.
#[derive(Clone, Copy)]
struct End {
    producer: (i64, i16),
    committed: bool,
    coordinator_epoch: i32,
    version: i8,
}

impl End {
    fn abort(producer: (i64, i16)) -> End {
        End { producer, committed: false, coordinator_epoch: 0, version: 1 }
    }

    fn commit(producer: (i64, i16)) -> End {
        End { committed: true, ..End::abort(producer) }
    }

    fn write(self, client: &mut Client, topic: &Topic, indexes: &[i32]) -> Vec<ErrorCode> {
        let request = WriteTxnMarkersRequest { markers: vec![self.marker(topic, indexes)] };
        let response: WriteTxnMarkersResponse = client.call(&write_txn_markers::API, 2, &request);
        codes(&response)
    }

    fn marker(self, topic: &Topic, indexes: &[i32]) -> WritableTxnMarker {
        let name = topic.name.clone();
        WritableTxnMarker {
            producer_id: self.producer.0,
            producer_epoch: self.producer.1,
            transaction_result: self.committed,
            topics: vec![WritableTxnMarkerTopic { name, partition_indexes: indexes.to_vec() }],
            coordinator_epoch: self.coordinator_epoch,
            transaction_version: self.version,
        }
    }
}

fn codes(response: &WriteTxnMarkersResponse) -> Vec<ErrorCode> {
    let topics = response.markers.iter().flat_map(|marker| &marker.topics);
    topics.flat_map(|topic| &topic.partitions).map(|partition| partition.error_code).collect()
}

fn committed(topic: &Topic, index: i32, from: i64) -> FetchRequest {
    FetchRequest { isolation_level: 1, ..fetch_request(topic, &[(index, from)]) }
}

fn read_committed(client: &mut Client, topic: &Topic, index: i32, from: i64) -> PartitionData {
    client.fetch_as(12, &committed(topic, index, from))
}

/// The values that a consumer of committed records would hand on: it skips what the list names,
/// until that producer's next marker.
fn visible(data: &PartitionData) -> Vec<(i64, Vec<u8>)> {
    let mut aborted = data.aborted_transactions.clone().expect("a list (rule 49b)");
    aborted.sort_by_key(|txn| txn.first_offset);
    let mut skipping = Vec::new();
    let (mut found, mut rest) = (Vec::new(), &data.records.as_ref().expect("rule 44")[..]);
    while !rest.is_empty() {
        let (batch, after) = Batch::parse(rest).expect("whole batches");
        let header = batch.header();
        while aborted.first().is_some_and(|txn| txn.first_offset <= header.last_offset()) {
            skipping.push(aborted.remove(0).producer_id);
        }
        if header.is_control() {
            skipping.retain(|id| *id != header.producer_id);
        } else if !(header.is_transactional() && skipping.contains(&header.producer_id)) {
            let bytes = &rest[..header.size()];
            found.extend(records::read(bytes).into_iter().map(|read| (read.offset, read.value)));
        }
        rest = after;
    }
    found
}

/// Where each batch ends.
fn ends(data: &PartitionData) -> Vec<i64> {
    let (mut found, mut rest) = (Vec::new(), &data.records.as_ref().expect("rule 44")[..]);
    while !rest.is_empty() {
        let (batch, after) = Batch::parse(rest).expect("whole batches");
        batch.verify_crc().expect("a good batch");
        found.push(batch.header().next_offset());
        rest = after;
    }
    found
}

fn values(data: &PartitionData) -> Vec<Vec<u8>> {
    visible(data).into_iter().map(|(_, value)| value).collect()
}

fn marks(data: &PartitionData) -> (i64, i64) {
    (data.last_stable_offset, data.high_watermark)
}

fn latest(client: &mut Client, topic: &Topic, index: i32, isolation_level: i8) -> i64 {
    let request =
        ListOffsetsRequest { isolation_level, ..offsets_request(topic, &[(index, LATEST)]) };
    let response: ListOffsetsResponse = client.call(&list_offsets::API, 7, &request);
    response.topics[0].partitions[0].offset
}

fn producers(client: &mut Client, topic: &Topic, index: i32) -> Vec<ProducerState> {
    let name = topic.name.clone();
    let topics = vec![TopicRequest { name, partition_indexes: vec![index] }];
    let request = DescribeProducersRequest { topics };
    let mut response: DescribeProducersResponse =
        client.call(&describe_producers::API, 0, &request);
    response.topics.remove(0).partitions.remove(0).active_producers
}

const A: (i64, i16) = (1001, 0);
const B: (i64, i16) = (1002, 3);

#[test]
fn rule_38_and_39_readers_of_committed_records_see_what_is_decided() {
    for broker in brokers() {
        let mut client = broker.client();
        let topic = client.create("t", 3);
        for index in 0..3 {
            let send = |client: &mut Client, of, sequence, values: &[&[u8]]| {
                produce(client, &topic, index, transactional(of, sequence, values)).unwrap()
            };
            assert_eq!(send(&mut client, A, 0, &[b"a0", b"a1", b"a2"]), 0);
            assert_eq!(client.append(&topic, index, plain(&[b"plain"])), 3);
            assert_eq!(send(&mut client, B, 0, &[b"b0"]), 4);
            let nothing = read_committed(&mut client, &topic, index, 0);
            assert_eq!((marks(&nothing), values(&nothing).len()), ((0, 5), 0));
            assert_eq!(nothing.aborted_transactions, Some(vec![]));
            assert_eq!(End::commit(B).write(&mut client, &topic, &[index]), [ErrorCode::None]);
            // What B committed waits for A.
            let nothing = read_committed(&mut client, &topic, index, 0);
            assert_eq!((marks(&nothing), values(&nothing).len()), ((0, 6), 0));
            let latest_of = [0, 1].map(|level| latest(&mut client, &topic, index, level));
            assert_eq!(latest_of, [6, 0], "rule 55");
            assert_eq!(End::abort(A).write(&mut client, &topic, &[index]), [ErrorCode::None]);
            let all = read_committed(&mut client, &topic, index, 0);
            assert_eq!(marks(&all), (7, 7));
            assert_eq!(values(&all), [&b"plain"[..], b"b0"]);
            let list = all.aborted_transactions.unwrap();
            let list: Vec<_> = list.iter().map(|txn| (txn.producer_id, txn.first_offset)).collect();
            assert_eq!(list, [(A.0, 0)]);
            // Behind what A wrote, nothing is aborted; its marker comes with the rest.
            let rest = read_committed(&mut client, &topic, index, 6);
            assert_eq!(rest.aborted_transactions.as_ref().unwrap().len(), 1);
            let plain = client.fetch(&topic, index, 0);
            assert_eq!((plain.aborted_transactions.as_ref(), marks(&plain)), (None, (7, 7)));
            assert_eq!(ends(&plain), [3, 4, 5, 6, 7], "control batches too");
            let latest_of = [0, 1].map(|level| latest(&mut client, &topic, index, level));
            assert_eq!(latest_of, [7, 7]);
        }
    }
}

#[test]
fn rule_38_the_bound_is_exclusive_and_cuts_a_fetch() {
    let broker = Broker::start_with(unverified(1, Advertise::Node));
    let mut client = broker.client();
    let topic = client.create("t", 1);
    client.append(&topic, 0, plain(&[b"0", b"1"]));
    produce(&mut client, &topic, 0, transactional(A, 0, &[b"2"])).unwrap();
    client.append(&topic, 0, plain(&[b"3"]));
    let cut = read_committed(&mut client, &topic, 0, 0);
    assert_eq!((marks(&cut), values(&cut)), ((2, 4), vec![b"0".to_vec(), b"1".to_vec()]));
    assert_eq!(values(&read_committed(&mut client, &topic, 0, 2)).len(), 0);
    assert_eq!(read_committed(&mut client, &topic, 0, 4).error_code, ErrorCode::None);
    let beyond = read_committed(&mut client, &topic, 0, 5).error_code;
    assert_eq!(beyond, ErrorCode::OffsetOutOfRange);
    // Records are deleted past where the transaction begins: the log's start is decided.
    let name = topic.name.clone();
    let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset: 3 }];
    let topics = vec![DeleteRecordsTopic { name, partitions }];
    let request = DeleteRecordsRequest { topics, timeout_ms: 5000 };
    let response: DeleteRecordsResponse = client.call(&delete_records::API, 2, &request);
    assert_eq!(response.topics[0].partitions[0].low_watermark, 3);
    assert_eq!(marks(&read_committed(&mut client, &topic, 0, 3)), (3, 4));
}

#[test]
fn rule_45_a_reader_of_committed_records_waits_for_the_marker() {
    for broker in brokers() {
        let (mut reader, mut writer) = (broker.client(), broker.client());
        let topic = writer.create("t", 3);
        for index in 0..3 {
            produce(&mut writer, &topic, index, transactional(A, 0, &[b"first"])).unwrap();
            // More than is wanted is there, but may not be told: the wait is whole.
            let begun = Instant::now();
            let request = FetchRequest { max_wait_ms: 300, ..committed(&topic, index, 0) };
            assert_eq!(values(&reader.fetch_as(12, &request)).len(), 0);
            assert!(begun.elapsed() >= Duration::from_millis(290), "it has not waited");
            let begun = Instant::now();
            let request = FetchRequest { max_wait_ms: LONG_MS, ..committed(&topic, index, 0) };
            let id = reader.send(&fetch::API, 12, &request);
            std::thread::sleep(Duration::from_millis(50));
            produce(&mut writer, &topic, index, transactional(A, 1, &[b"second"])).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            assert_eq!(End::commit(A).write(&mut writer, &topic, &[index]), [ErrorCode::None]);
            let response: FetchResponse = reader.receive(&fetch::API, 12, id);
            assert!(begun.elapsed() < AT_ONCE, "the marker wakes it");
            let data = &response.responses[0].partitions[0];
            assert_eq!(values(data), [&b"first"[..], b"second"]);
        }
    }
}

#[test]
fn rule_49_a_session_of_committed_records_is_woken_by_the_marker() {
    for broker in brokers() {
        let (mut reader, mut writer) = (broker.client(), broker.client());
        let topic = writer.create("t", 3);
        let all = [(0, 0), (1, 0), (2, 0)];
        let first =
            FetchRequest { session_epoch: 0, isolation_level: 1, ..fetch_request(&topic, &all) };
        let response: FetchResponse = reader.call(&fetch::API, 12, &first);
        let session_id = response.session_id;
        assert!(session_id > 0);
        let mut session_epoch = 0;
        let mut request = |topics: FetchRequest, max_wait_ms| {
            session_epoch += 1;
            FetchRequest { session_id, session_epoch, isolation_level: 1, max_wait_ms, ..topics }
        };
        for index in [2, 0, 1] {
            produce(&mut writer, &topic, index, transactional(A, 0, &[b"gone"])).unwrap();
            let begun = Instant::now();
            let nothing_new = FetchRequest { topics: Vec::new(), ..fetch_request(&topic, &[]) };
            let id = reader.send(&fetch::API, 12, &request(nothing_new, LONG_MS));
            std::thread::sleep(Duration::from_millis(100));
            assert_eq!(End::abort(A).write(&mut writer, &topic, &[index]), [ErrorCode::None]);
            let response: FetchResponse = reader.receive(&fetch::API, 12, id);
            assert!(begun.elapsed() < AT_ONCE, "the marker wakes it");
            let told = response.responses.iter().flat_map(|topic| &topic.partitions);
            let told: Vec<_> = told.filter(|it| !it.records.as_ref().unwrap().is_empty()).collect();
            let [data] = told[..] else { panic!("one partition has moved: {response:?}") };
            assert_eq!((data.partition_index, values(data).len()), (index, 0));
            assert_eq!(data.aborted_transactions.as_ref().unwrap()[0].producer_id, A.0);
            let behind = request(fetch_request(&topic, &[(index, 2)]), 0);
            let _: FetchResponse = reader.call(&fetch::API, 12, &behind);
        }
    }
}

#[test]
fn rule_35_and_36_what_does_not_fit_is_refused() {
    for broker in brokers() {
        let mut client = broker.client();
        let topic = client.create("t", 2);
        let index = 1;
        let old = (B.0, B.1 - 1);
        produce(&mut client, &topic, index, transactional(B, 0, &[b"v"])).unwrap();
        let options = BatchOptions {
            producer_id: B.0,
            producer_epoch: B.1,
            base_sequence: 1,
            ..BatchOptions::default()
        };
        let outside = client.produce(&topic, index, build(options, 1000, &[b"outside"])).error_code;
        assert_eq!(outside, ErrorCode::InvalidTxnState);
        let gap = produce(&mut client, &topic, index, transactional(B, 2, &[b"v"]));
        assert_eq!(gap, Err(ErrorCode::OutOfOrderSequenceNumber));
        let zombie = produce(&mut client, &topic, index, transactional(old, 0, &[b"v"]));
        assert_eq!(zombie, Err(ErrorCode::InvalidProducerEpoch));
        let mut write = |end: End| End::write(end, &mut client, &topic, &[index])[0];
        assert_eq!(write(End::abort(old)), ErrorCode::InvalidProducerEpoch);
        let second = End { version: 2, ..End::commit(B) };
        assert_eq!(write(second), ErrorCode::InvalidProducerEpoch, "version 2 bumps the epoch");
        let next = (B.0, B.1 + 1);
        let second = End { producer: next, coordinator_epoch: 5, ..second };
        assert_eq!(write(second), ErrorCode::None);
        assert_eq!(write(second), ErrorCode::None, "the same marker again");
        let fenced = End { coordinator_epoch: 4, ..second };
        assert_eq!(write(fenced), ErrorCode::TransactionCoordinatorFenced);
        let late = produce(&mut client, &topic, index, transactional(B, 1, &[b"v"]));
        assert_eq!(late, Err(ErrorCode::InvalidProducerEpoch));
        let anew = produce(&mut client, &topic, index, transactional(next, 0, &[b"next"]));
        assert_eq!(anew, Ok(3), "one batch, the marker, and the marker again");
        let unknown = Topic { name: "nothing".into(), ..topic.clone() };
        let nowhere = End::abort(A).write(&mut client, &unknown, &[0]);
        assert_eq!(nowhere, [ErrorCode::UnknownTopicOrPartition]);
        let both = End::abort(A).write(&mut client, &topic, &[0, 1, 2]);
        let missing = ErrorCode::UnknownTopicOrPartition;
        assert_eq!(both, [ErrorCode::None, ErrorCode::None, missing]);
        let negative = End::abort((-1, 0)).write(&mut client, &topic, &[0]);
        assert_eq!(negative, [ErrorCode::InvalidRecord]);
    }
}

#[test]
fn one_request_ends_transactions_of_many_partitions() {
    let broker = Broker::start_with(unverified(3, Advertise::Node));
    let mut client = broker.client();
    let topic = client.create("t", 12);
    let all: Vec<i32> = (0..12).collect();
    for index in &all {
        for of in [A, B] {
            produce(&mut client, &topic, *index, transactional(of, 0, &[b"v"])).unwrap();
        }
    }
    let markers = vec![End::abort(A).marker(&topic, &all), End::commit(B).marker(&topic, &all)];
    let request = WriteTxnMarkersRequest { markers };
    let response: WriteTxnMarkersResponse = client.call(&write_txn_markers::API, 1, &request);
    assert_eq!(codes(&response), vec![ErrorCode::None; 24]);
    assert_eq!(response.markers.iter().map(|it| it.producer_id).collect::<Vec<_>>(), [A.0, B.0]);
    for index in all {
        let data = read_committed(&mut client, &topic, index, 0);
        assert_eq!((marks(&data), visible(&data)), ((4, 4), vec![(1, b"v".to_vec())]));
    }
    let none = WriteTxnMarkersRequest::default();
    let response: WriteTxnMarkersResponse = client.call(&write_txn_markers::API, 2, &none);
    assert_eq!(response.markers.len(), 0);
}

#[test]
fn what_a_request_with_transactional_records_must_have() {
    for broker in brokers() {
        let mut client = broker.client();
        let topic = client.create("t", 3);
        for index in 0..3 {
            let nameless = client.produce(&topic, index, transactional(A, 0, &[b"v"]));
            assert_eq!(nameless.error_code, ErrorCode::TransactionalIdAuthorizationFailed);
        }
        let mut two = in_transaction(&topic, 0, transactional(A, 0, &[b"v"]));
        let other = in_transaction(&topic, 1, transactional(B, 0, &[b"v"]));
        let other = other.topic_data.into_iter().flat_map(|data| data.partition_data);
        two.topic_data[0].partition_data.extend(other);
        let response: ProduceResponse = client.call(&produce::API, 11, &two);
        for data in &response.responses[0].partition_responses {
            assert_eq!(data.error_code, ErrorCode::InvalidProducerIdMapping);
        }
        // Kafka leaves acks to the client; and an id without a transaction means nothing.
        for (acks, sequence) in [(1, 0), (-1, 1)] {
            let records = transactional(A, sequence, &[b"v"]);
            let request = ProduceRequest { acks, ..in_transaction(&topic, 2, records) };
            let response: ProduceResponse = client.call(&produce::API, 11, &request);
            assert_eq!(response.responses[0].partition_responses[0].error_code, ErrorCode::None);
        }
        assert_eq!(produce(&mut client, &topic, 1, plain(&[b"plain"])), Ok(0));
    }
}

#[test]
fn rule_33_nothing_is_appended_that_no_coordinator_knows_of() {
    for options in [Options::default(), Options::two_shards(Advertise::Node)] {
        let broker = Broker::start_with(options);
        let mut client = broker.client();
        let topic = client.create("t", 4);
        for index in 0..4 {
            for version in [11, 12] {
                let request = in_transaction(&topic, index, transactional(A, 0, &[b"v"]));
                let response: ProduceResponse = client.call(&produce::API, version, &request);
                let code = response.responses[0].partition_responses[0].error_code;
                assert_ne!(code, ErrorCode::None);
            }
            let request = ProduceRequest {
                acks: 0,
                ..in_transaction(&topic, index, transactional(A, 0, &[b"v"]))
            };
            let mut silent = broker.client();
            silent.send(&produce::API, 11, &request);
            assert!(silent.is_closed(), "acks = 0 is told by the end of the connection");
            assert_eq!(latest(&mut client, &topic, index, 0), 0);
            // What is in no transaction goes on.
            assert_eq!(client.append(&topic, index, plain(&[b"plain"])), 0);
        }
    }
}

#[test]
fn rule_43_producers_are_described_with_their_transactions() {
    for broker in brokers() {
        let mut client = broker.client();
        let topic = client.create("t", 2);
        client.append(&topic, 1, plain(&[b"plain"]));
        produce(&mut client, &topic, 1, transactional(A, 0, &[b"v", b"w"])).unwrap();
        let state = |client: &mut Client| {
            let found = producers(client, &topic, 1);
            let [state] = &found[..] else { panic!("one producer: {found:?}") };
            let ids = (state.producer_id, state.producer_epoch, state.coordinator_epoch);
            (ids, state.last_sequence, state.current_txn_start_offset)
        };
        assert_eq!(state(&mut client), ((A.0, 0, -1), 1, 1));
        let end = End { coordinator_epoch: 7, ..End::abort(A) };
        end.write(&mut client, &topic, &[1]);
        assert_eq!(state(&mut client), ((A.0, 0, 7), 1, -1));
        let end = End { producer: (A.0, 1), coordinator_epoch: 8, version: 2, ..end };
        end.write(&mut client, &topic, &[1]);
        assert_eq!(state(&mut client), ((A.0, 1, 8), -1, -1), "a new epoch has no sequence");
    }
}

/// Transactions of 8 KiB, the odd ones aborted, up to the third segment; one is left open.
fn fill(client: &mut Client, topic: &Topic) -> i64 {
    let value = vec![b'x'; 8000];
    for n in 0..300 {
        produce(client, topic, 0, transactional(A, n, &[&value])).unwrap();
        let end = if n % 2 == 1 { End::abort(A) } else { End::commit(A) };
        assert_eq!(end.write(client, topic, &[0]), [ErrorCode::None]);
    }
    let open = produce(client, topic, 0, transactional(B, 0, &[b"open"])).unwrap();
    assert_eq!(open, 600);
    open
}

/// Reads all that is committed, fetch by fetch: the offsets of what a consumer hands on.
fn drain(client: &mut Client, topic: &Topic) -> Vec<i64> {
    let (mut from, mut found) = (0, Vec::new());
    loop {
        let data = read_committed(client, topic, 0, from);
        assert_eq!(data.error_code, ErrorCode::None);
        let Some(end) = ends(&data).pop() else { return found };
        found.extend(visible(&data).into_iter().map(|(offset, _)| offset));
        from = end;
    }
}

#[test]
fn what_was_aborted_is_known_after_a_restart_and_read_from_files() {
    let broker = Broker::start_with(unverified(1, Advertise::Node));
    let mut client = broker.client();
    let topic = client.create("t", 1);
    fill(&mut client, &topic);
    let wanted: Vec<i64> = (0..150).map(|n| 4 * n).collect();
    assert_eq!(drain(&mut client, &topic), wanted, "while it is written");
    drop(client);
    let mut broker = broker.restart();
    for _ in 0..2 {
        let files = broker.dir().files();
        let indexes: Vec<_> =
            files.iter().filter(|(name, _)| name.ends_with(".txnindex")).collect();
        let entries: u64 = indexes.iter().map(|(_, bytes)| bytes / 34).sum();
        assert_eq!((indexes.len(), entries), (3, 150), "{files:?}");
        let mut client = broker.client();
        assert_eq!(drain(&mut client, &topic), wanted, "after a restart");
        let data = read_committed(&mut client, &topic, 0, 598);
        assert_eq!(marks(&data), (600, 601), "what was open is open");
        drop(client);
        broker = broker.restart();
    }
    let mut client = broker.client();
    assert_eq!(End::commit(B).write(&mut client, &topic, &[0]), [ErrorCode::None]);
    assert_eq!(drain(&mut client, &topic), [&wanted[..], &[600]].concat());
}

#[test]
fn a_broken_index_is_rebuilt_from_the_log() {
    let broker = Broker::start_with(unverified(1, Advertise::Node));
    let mut client = broker.client();
    let topic = client.create("t", 1);
    fill(&mut client, &topic);
    drop(client);
    let (options, dir) = (broker.options.clone(), broker.stop());
    let files = dir.files();
    let mut indexes = files.iter().filter(|(name, _)| name.ends_with(".txnindex"));
    let path = dir.path().join(&indexes.next().expect("an index").0);
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, &good[..good.len() - 1]).unwrap();
    let broker = Broker::start_on(dir, options);
    assert_eq!(std::fs::read(&path).unwrap(), good);
    let mut client = broker.client();
    assert_eq!(drain(&mut client, &topic), (0..150).map(|n| 4 * n).collect::<Vec<i64>>());
}
