//! Fetch sessions over the wire (rule 49, KIP-227): epochs and ids, what is told and what is not,
//! who wakes a wait. The codes and what is left out are Apache Kafka 4.3.1's.

mod common;

use std::time::Duration;

use common::client::{Client, Topic, fetch_request};
use common::records::{self, batch, batch_of_size};
use common::{Broker, Options, now_ms};
use ringlog_wire::api::delete_records::{
    self, DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use ringlog_wire::api::fetch::{
    self, FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic,
};
use ringlog_wire::{ErrorCode, Uuid};

/// A wait that no test sits through.
const LONG_MS: i32 = 8000;
/// Longest that an answer may take that does not have to wait, milliseconds.
const SOON_MS: i64 = 4000;

/// One shard, and three with the bus: the session is on one of them, its partitions on all.
fn brokers() -> Vec<Broker> {
    let three = Options { shards: 3, memory: "128M", ..Options::default() };
    vec![Broker::start(), Broker::start_with(three)]
}

/// A reader with its session.
struct Reader {
    client: Client,
    version: i16,
    id: i32,
    epoch: i32,
}

impl Reader {
    /// Begins a session with these partitions; the first answer says all of them.
    fn begin(mut client: Client, version: i16, topic: &Topic, from: &[(i32, i64)]) -> Reader {
        let request = FetchRequest { session_epoch: 0, ..fetch_request(topic, from) };
        let response: FetchResponse = client.call(&fetch::API, version, &request);
        assert_eq!(response.error_code, ErrorCode::None);
        assert_eq!(told(&response).len(), from.len(), "a first answer says all (rule 49b)");
        assert!(response.session_id > 0, "there is room for a session");
        Reader { client, version, id: response.session_id, epoch: 1 }
    }

    fn request(&mut self, topic: &Topic, changed: &[(i32, i64)], wait_ms: i32) -> FetchRequest {
        let mut request = fetch_request(topic, changed);
        if changed.is_empty() {
            request.topics.clear();
        }
        (request.session_id, request.session_epoch) = (self.id, self.epoch);
        request.max_wait_ms = wait_ms;
        self.epoch += 1;
        request
    }

    fn next(&mut self, topic: &Topic, changed: &[(i32, i64)], wait_ms: i32) -> FetchResponse {
        let request = self.request(topic, changed, wait_ms);
        self.ask(&request)
    }

    fn ask(&mut self, request: &FetchRequest) -> FetchResponse {
        let response: FetchResponse = self.client.call(&fetch::API, self.version, request);
        let is_open = response.error_code.is_none() && response.session_id != 0;
        assert!(!is_open || response.session_id == self.id);
        response
    }
}

/// Of each partition told: (number, code, records).
fn told(response: &FetchResponse) -> Vec<(i32, ErrorCode, usize)> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    let told = partitions.map(|data| {
        let bytes = data.records.as_ref().expect("rule 44");
        (data.partition_index, data.error_code, records::read(bytes).len())
    });
    told.collect()
}

const NONE: ErrorCode = ErrorCode::None;

#[test]
fn rule_49_only_what_has_changed_is_told() {
    for broker in brokers() {
        for version in [7, 11, 12, 13, 15, 16, 17, 18] {
            let mut writer = broker.client();
            let topic = writer.create(&format!("t{version}"), 6);
            let all: Vec<_> = (0..6).map(|index| (index, 0)).collect();
            let mut reader = Reader::begin(broker.client(), version, &topic, &all);
            assert_eq!(told(&reader.next(&topic, &[], 0)), [], "nothing has changed");
            writer.append(&topic, 4, batch(&[b"a", b"b"]));
            // Records are told again until the reader goes on behind them.
            for _ in 0..2 {
                assert_eq!(told(&reader.next(&topic, &[], 0)), [(4, NONE, 2)]);
            }
            assert_eq!(told(&reader.next(&topic, &[(4, 2)], 0)), []);
            // The log's start is news, and so is an error; when it is gone that is news as well.
            delete(&mut writer, &topic, 4, 2);
            let response = reader.next(&topic, &[], 0);
            assert_eq!(told(&response), [(4, NONE, 0)]);
            assert_eq!(response.responses[0].partitions[0].log_start_offset, 2);
            let out = ErrorCode::OffsetOutOfRange;
            assert_eq!(told(&reader.next(&topic, &[(4, 9)], LONG_MS)), [(4, out, 0)]);
            assert_eq!(told(&reader.next(&topic, &[], LONG_MS)), [(4, out, 0)]);
            assert_eq!(told(&reader.next(&topic, &[(4, 2)], 0)), [(4, NONE, 0)]);
            assert_eq!(told(&reader.next(&topic, &[], 0)), []);
        }
    }
}

/// On another connection, to another shard, that does not wait.
#[test]
fn what_was_acknowledged_is_found_at_once() {
    for broker in brokers() {
        let mut writer = broker.client();
        let topic = writer.create("t", 6);
        let all: Vec<_> = (0..6).map(|index| (index, 0)).collect();
        let mut reader = Reader::begin(broker.client(), 13, &topic, &all);
        let mut behind = Vec::new();
        for n in 0..2000 {
            let (index, offset) = ((n % 6) as i32, n / 6);
            writer.append(&topic, index, batch(&[b"a"]));
            let found = told(&reader.next(&topic, &behind, 0));
            assert_eq!(found, [(index, NONE, 1)], "after {n} others");
            behind = vec![(index, offset + 1)];
        }
    }
}

fn delete(client: &mut Client, topic: &Topic, index: i32, before: i64) {
    let partitions = vec![DeleteRecordsPartition { partition_index: index, offset: before }];
    let topics = vec![DeleteRecordsTopic { name: topic.name.clone(), partitions }];
    let request = DeleteRecordsRequest { topics, timeout_ms: 1000 };
    let response: DeleteRecordsResponse = client.call(&delete_records::API, 2, &request);
    assert_eq!(response.topics[0].partitions[0].error_code, NONE);
}

#[test]
fn rule_49_ids_and_epochs() {
    let broker = Broker::start();
    let topic = broker.client().create("t", 2);
    let mut reader = Reader::begin(broker.client(), 12, &topic, &[(0, 0), (1, 0)]);
    let code = |change: &dyn Fn(&mut FetchRequest), reader: &mut Reader| {
        let mut request = reader.request(&topic, &[], 0);
        reader.epoch -= 1;
        change(&mut request);
        let response = reader.ask(&request);
        (response.error_code, response.session_id)
    };
    let wrong = (ErrorCode::InvalidFetchSessionEpoch, 0);
    assert_eq!(code(&|r| r.session_epoch = 2, &mut reader), wrong);
    assert_eq!(code(&|r| r.session_epoch = i32::MAX, &mut reader), wrong);
    assert_eq!(code(&|r| r.session_epoch = -2, &mut reader), wrong);
    let unknown = (ErrorCode::FetchSessionIdNotFound, 0);
    assert_eq!(code(&|r| r.session_id += 1, &mut reader), unknown);
    assert_eq!(code(&|r| r.session_id = 0, &mut reader), unknown);
    reader.version = 13;
    let by_id = (ErrorCode::FetchSessionTopicIdError, 0);
    assert_eq!(code(&|_| (), &mut reader), by_id);
    reader.version = 12;
    assert_eq!(code(&|_| (), &mut reader), (NONE, reader.id), "errors leave the session as it is");
    reader.epoch += 1;
    // The last epoch closes it and is answered in full; a closed one is unknown.
    let mut request = fetch_request(&topic, &[(1, 0)]);
    (request.session_id, request.session_epoch) = (reader.id, -1);
    let response = reader.ask(&request);
    assert_eq!((told(&response), response.session_id), (vec![(1, NONE, 0)], 0));
    assert_eq!(code(&|_| (), &mut reader), unknown);
    // A new one closes the old.
    let mut reader = Reader::begin(reader.client, 12, &topic, &[(0, 0)]);
    let mut request = fetch_request(&topic, &[(1, 0)]);
    (request.session_id, request.session_epoch) = (reader.id, 0);
    let response: FetchResponse = reader.client.call(&fetch::API, 12, &request);
    assert!(response.session_id > 0 && response.session_id != reader.id);
    assert_eq!(code(&|_| (), &mut reader), unknown);
}

#[test]
fn rule_49_partitions_join_and_are_forgotten() {
    for broker in brokers() {
        for version in [12, 18] {
            let mut writer = broker.client();
            let topic = writer.create(&format!("t{version}"), 4);
            for index in 0..4 {
                writer.append(&topic, index, batch(&[b"a"]));
            }
            let mut reader = Reader::begin(broker.client(), version, &topic, &[(0, 1)]);
            assert_eq!(told(&reader.next(&topic, &[(3, 0), (1, 1)], 0)).len(), 2, "new ones");
            assert_eq!(told(&reader.next(&topic, &[], 0)), [(3, NONE, 1)]);
            let forget = |partitions: Vec<i32>| {
                let (topic, topic_id) = (topic.name.clone(), topic.id);
                vec![ForgottenTopic { topic, topic_id, partitions }]
            };
            let mut request = reader.request(&topic, &[(1, 0)], 0);
            request.forgotten_topics_data = forget(vec![3, 2]);
            assert_eq!(told(&reader.ask(&request)), [(1, NONE, 1)]);
            // One that has lost its last partition is over.
            let mut request = reader.request(&topic, &[], 0);
            request.forgotten_topics_data = forget(vec![0, 1]);
            let response = reader.ask(&request);
            assert_eq!((told(&response), response.session_id), (vec![], 0));
            let code = reader.next(&topic, &[], 0).error_code;
            assert_eq!(code, ErrorCode::FetchSessionIdNotFound);
        }
    }
}

#[test]
fn rule_45_a_session_waits_and_any_of_its_partitions_wakes_it() {
    for broker in brokers() {
        let mut writer = broker.client();
        let topic = writer.create("t", 9);
        let all: Vec<_> = (0..9).map(|index| (index, 0)).collect();
        let mut reader = Reader::begin(broker.client(), 12, &topic, &all);
        let mut read: Vec<(i32, i64)> = Vec::new();
        for round in 0..27 {
            let index = round * 2 % 9;
            let request = reader.request(&topic, &read, LONG_MS);
            let begun = now_ms();
            let id = reader.client.send(&fetch::API, 12, &request);
            // Sometimes it waits already, sometimes the records are there first.
            std::thread::sleep(Duration::from_millis([0, 0, 20][round as usize % 3]));
            let offset = writer.append(&topic, index, batch(&[b"woken"]));
            let response: FetchResponse = reader.client.receive(&fetch::API, 12, id);
            assert!(now_ms() - begun < SOON_MS, "round {round}: woken, not timed out");
            assert_eq!(told(&response), [(index, NONE, 1)], "round {round}");
            read = vec![(index, offset + 1)];
        }
        // A wait without anything ends with nothing.
        let begun = now_ms();
        assert_eq!(told(&reader.next(&topic, &read, 200)), []);
        assert!((190..SOON_MS).contains(&(now_ms() - begun)));
    }
}

#[test]
fn rule_45_a_session_waits_for_its_min_bytes() {
    for broker in brokers() {
        let mut writer = broker.client();
        let topic = writer.create("t", 3);
        let mut reader = Reader::begin(broker.client(), 12, &topic, &[(0, 0), (1, 0), (2, 0)]);
        let one = batch_of_size(1000);
        let mut request = reader.request(&topic, &[], LONG_MS);
        request.min_bytes = 3 * one.len() as i32;
        let id = reader.client.send(&fetch::API, 12, &request);
        for index in [2, 0] {
            writer.append(&topic, index, one.clone());
            reader.client.stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            assert!(reader.client.stream.peek(&mut [0]).is_err(), "not before min_bytes");
        }
        reader.client.stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
        writer.append(&topic, 2, one.clone());
        let response: FetchResponse = reader.client.receive(&fetch::API, 12, id);
        let mut told = told(&response);
        told.sort();
        assert_eq!(told, [(0, NONE, 1), (2, NONE, 2)]);
    }
}

/// What has had its turn goes to the end, so that a reader of little gets something of each.
#[test]
fn rule_49_partitions_take_turns() {
    let broker = Broker::start();
    let mut writer = broker.client();
    let topic = writer.create("t", 3);
    let one = batch_of_size(1000);
    for index in 0..3 {
        for _ in 0..3 {
            writer.append(&topic, index, one.clone());
        }
    }
    let all = [(0, 3), (1, 3), (2, 3)];
    let mut reader = Reader::begin(broker.client(), 12, &topic, &all);
    let mut order = Vec::new();
    let mut from = [0, 0, 0];
    let mut changed: Vec<_> = (0..3).map(|index| (index, 0)).collect();
    for _ in 0..9 {
        let mut request = reader.request(&topic, &changed, 0);
        request.max_bytes = one.len() as i32;
        let response = reader.ask(&request);
        let with: Vec<_> = told(&response).into_iter().filter(|(_, _, n)| *n > 0).collect();
        assert_eq!(with.len(), 1, "one batch fits");
        let index = with[0].0;
        from[index as usize] += 1;
        order.push(index);
        changed = vec![(index, from[index as usize])];
    }
    assert_eq!(order, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

#[test]
fn rule_49_topics_go_and_come() {
    let broker = Broker::start();
    let mut admin = broker.client();
    for (version, unknown) in
        [(12, ErrorCode::UnknownTopicOrPartition), (13, ErrorCode::UnknownTopicId)]
    {
        let topic = admin.create("t", 1);
        admin.append(&topic, 0, batch(&[b"a"]));
        let mut reader = Reader::begin(broker.client(), version, &topic, &[(0, 1)]);
        assert_eq!(told(&reader.next(&topic, &[], 0)), []);
        // A wait ends when the topic does, and nothing else is told of it from then on.
        let request = reader.request(&topic, &[], LONG_MS);
        let begun = now_ms();
        let id = reader.client.send(&fetch::API, version, &request);
        std::thread::sleep(Duration::from_millis(50));
        admin.delete("t");
        let response: FetchResponse = reader.client.receive(&fetch::API, version, id);
        assert_eq!(told(&response), [(0, unknown, 0)]);
        assert!(now_ms() - begun < SOON_MS);
        let again = admin.create("t", 1);
        assert_ne!(again.id, topic.id);
        let expected = match version {
            // By name it is the new one, which is shorter.
            12 => ErrorCode::OffsetOutOfRange,
            _ => unknown,
        };
        assert_eq!(told(&reader.next(&topic, &[], 0)), [(0, expected, 0)]);
        admin.delete("t");
    }
}

/// A reader that asks again without waiting is answered in order, one question after the other; one
/// that asks again elsewhere, or goes, leaves nothing.
#[test]
fn a_session_outlives_its_requests_and_their_connections() {
    let broker = Broker::start();
    let mut writer = broker.client();
    let topic = writer.create("t", 2);
    let mut reader = Reader::begin(broker.client(), 12, &topic, &[(0, 0), (1, 0)]);
    let begun = now_ms();
    let ids: Vec<i32> = (0..5)
        .map(|_| {
            let request = reader.request(&topic, &[], LONG_MS);
            reader.client.send(&fetch::API, 12, &request)
        })
        .collect();
    std::thread::sleep(Duration::from_millis(50));
    writer.append(&topic, 1, batch(&[b"a"]));
    for (at, id) in ids.into_iter().enumerate() {
        let response: FetchResponse = reader.client.receive(&fetch::API, 12, id);
        assert_eq!(response.error_code, NONE);
        assert_eq!(told(&response), [(1, NONE, 1)], "request {at}");
    }
    // Asked again on another connection, the first is not kept waiting.
    let request = reader.request(&topic, &[(1, 1)], LONG_MS);
    let mut first = std::mem::replace(&mut reader.client, broker.client());
    let id = first.send(&fetch::API, 12, &request);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(told(&reader.next(&topic, &[], 0)), []);
    let response: FetchResponse = first.receive(&fetch::API, 12, id);
    assert_eq!((response.error_code, told(&response)), (NONE, vec![]));
    assert!(now_ms() - begun < SOON_MS);
    // Another connection goes on with it; the first is closed in the middle of a wait.
    let request = reader.request(&topic, &[], LONG_MS);
    reader.client.send(&fetch::API, 12, &request);
    reader.client = broker.client();
    writer.append(&topic, 0, batch(&[b"b"]));
    assert_eq!(told(&reader.next(&topic, &[], LONG_MS)), [(0, NONE, 1)]);
}

#[test]
fn rule_49_a_session_by_id_of_topics_nobody_knows() {
    let broker = Broker::start();
    let nobody = Topic { name: "nobody".into(), id: Uuid([9; 16]) };
    for (version, code) in
        [(7, ErrorCode::UnknownTopicOrPartition), (18, ErrorCode::UnknownTopicId)]
    {
        let mut reader = Reader::begin(broker.client(), version, &nobody, &[(0, 0)]);
        let response = reader.next(&nobody, &[], LONG_MS);
        assert_eq!(told(&response), [(0, code, 0)]);
    }
    // Versions without sessions know nothing of them.
    let topic = broker.client().create("t", 1);
    let request = FetchRequest { session_epoch: -1, ..fetch_request(&topic, &[(0, 0)]) };
    let response: FetchResponse = broker.client().call(&fetch::API, 6, &request);
    assert_eq!(response.session_id, 0);
}

/// One message names a partition and forgets it: as in Kafka, it is forgotten.
#[test]
fn rule_49_what_is_named_and_forgotten_at_once_is_forgotten() {
    let broker = Broker::start();
    let topic = broker.client().create("t", 2);
    let mut reader = Reader::begin(broker.client(), 12, &topic, &[(0, 0)]);
    let partition = FetchPartition { partition: 1, ..FetchPartition::default() };
    let named =
        FetchTopic { topic: "t".into(), partitions: vec![partition], ..FetchTopic::default() };
    let gone = ForgottenTopic { topic: "t".into(), partitions: vec![1], ..Default::default() };
    let mut request = reader.request(&topic, &[], 0);
    (request.topics, request.forgotten_topics_data) = (vec![named], vec![gone]);
    assert_eq!(told(&reader.ask(&request)), []);
}

/// A session would remember it for as long as it lives.
#[test]
fn there_is_no_session_for_names_that_no_topic_has() {
    let broker = Broker::start();
    let mut client = broker.client();
    let topic = client.create("t", 1);
    for (bytes, has_session) in [(249, true), (250, false)] {
        let odd = Topic { name: "x".repeat(bytes), id: Uuid::ZERO };
        let mut request = fetch_request(&topic, &[(0, 0)]);
        request.session_epoch = 0;
        request.topics.extend(fetch_request(&odd, &[(0, 0)]).topics);
        let response: FetchResponse = client.call(&fetch::API, 12, &request);
        assert_eq!(response.session_id > 0, has_session, "{bytes} bytes");
        assert_eq!(told(&response)[1].1, ErrorCode::UnknownTopicOrPartition);
        // One that there is ends with it.
        let mut reader = Reader::begin(broker.client(), 12, &topic, &[(0, 0)]);
        let response = reader.next(&odd, &[(0, 0)], 0);
        assert_eq!((response.error_code, response.session_id > 0), (NONE, has_session));
        let known = if has_session { NONE } else { ErrorCode::FetchSessionIdNotFound };
        assert_eq!(reader.next(&topic, &[], 0).error_code, known);
    }
}
