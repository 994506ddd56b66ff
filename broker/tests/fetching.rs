//! Fetch beyond the round trip: waiting, bounds, epochs, cold data, and partitions of other shards.
#![allow(clippy::disallowed_methods, reason = "these tests measure how long an answer takes")]

mod common;

use std::time::{Duration, Instant};

use common::client::{Client, Topic, fetch_request, produce_request};
use common::records::{self, batch, batch_of_size};
use common::{Broker, Options, eventually};
use ringlog_broker::config::Advertise;
use ringlog_wire::ErrorCode;
use ringlog_wire::api::fetch::{self, FetchRequest, FetchResponse};
use ringlog_wire::api::list_offsets::ListOffsetsResponse;
use ringlog_wire::api::metadata::{self, MetadataRequest, MetadataResponse};
use ringlog_wire::api::produce::{self, ProduceResponse};

/// A wait that no test sits through.
const LONG_MS: i32 = 8000;
/// Longest that an answer may take that does not have to wait.
const SOON: Duration = Duration::from_secs(2);

fn waiting(topic: &Topic, from: &[(i32, i64)], bytes_min: i32, wait_ms: i32) -> FetchRequest {
    let request = fetch_request(topic, from);
    FetchRequest { min_bytes: bytes_min, max_wait_ms: wait_ms, ..request }
}

/// The sizes of all partitions' records in an answer.
fn sizes(response: &FetchResponse) -> Vec<usize> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|data| data.records.as_ref().expect("rule 44").len()).collect()
}

// --- Waiting ---------------------------------------------------------------------------------

/// One shard, two with the bus, and both executors' timers are the same to a waiting client.
fn brokers() -> Vec<Broker> {
    vec![Broker::start(), Broker::start_with(Options::two_shards(Advertise::Node))]
}

#[test]
fn rule_45_a_fetch_that_waits_is_woken_by_a_produce() {
    for broker in brokers() {
        let (mut reader, mut writer) = (broker.client(), broker.client());
        let topic = writer.create("t", 2);
        for index in 0..2 {
            let begun = Instant::now();
            let request = waiting(&topic, &[(0, 0), (1, 0)], 1, LONG_MS);
            let request = match index {
                0 => request,
                _ => waiting(&topic, &[(0, 1), (1, 0)], 1, LONG_MS),
            };
            let id = reader.send(&fetch::API, 12, &request);
            std::thread::sleep(Duration::from_millis(100));
            writer.append(&topic, index, batch(&[b"woken"]));
            let response: FetchResponse = reader.receive(&fetch::API, 12, id);
            assert!(begun.elapsed() < SOON, "woken, not timed out");
            let data = &response.responses[0].partitions[index as usize];
            assert_eq!(records::values(data.records.as_ref().unwrap()), [b"woken"]);
        }
    }
}

#[test]
fn rule_45_a_fetch_waits_for_its_min_bytes() {
    for broker in brokers() {
        let (mut reader, mut writer) = (broker.client(), broker.client());
        let topic = writer.create("t", 2);
        let one = batch_of_size(1000);
        let request = waiting(&topic, &[(0, 0), (1, 0)], 3 * one.len() as i32, LONG_MS);
        let begun = Instant::now();
        let id = reader.send(&fetch::API, 12, &request);
        for index in [0, 1] {
            writer.append(&topic, index, one.clone());
            reader.stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            let early = reader.stream.peek(&mut [0]);
            assert!(early.is_err(), "not before min_bytes");
        }
        reader.stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
        writer.append(&topic, 0, one.clone());
        let response: FetchResponse = reader.receive(&fetch::API, 12, id);
        assert!(begun.elapsed() < SOON);
        assert_eq!(sizes(&response), [2 * one.len(), one.len()]);
    }
}

#[test]
fn rule_45_a_wait_ends_with_what_there_is() {
    for broker in brokers() {
        let mut client = broker.client();
        let topic = client.create("t", 2);
        let one = batch(&[b"little"]);
        client.append(&topic, 1, one.clone());
        // (min bytes, from, what comes)
        let cases = [(1, 1, 0), (1_000_000, 0, one.len())];
        for (bytes_min, from, bytes) in cases {
            let begun = Instant::now();
            let request = waiting(&topic, &[(0, 0), (1, from)], bytes_min, 300);
            let response: FetchResponse = client.call(&fetch::API, 12, &request);
            let took = begun.elapsed();
            assert!((Duration::from_millis(290)..SOON).contains(&took), "{took:?}");
            assert_eq!(sizes(&response), [0, bytes]);
        }
        // An error is told at once (rule 45), and so is everything when there is no wait.
        for request in [
            waiting(&topic, &[(0, 0), (0, 99)], 1, LONG_MS),
            waiting(&topic, &[(0, 0), (7, 0)], 1, LONG_MS),
            waiting(&topic, &[], 1, LONG_MS),
            waiting(&topic, &[(0, 0)], 1, 0),
            waiting(&topic, &[(0, 0)], 1, -5),
            waiting(&topic, &[(0, 0)], 0, LONG_MS),
        ] {
            let begun = Instant::now();
            let _: FetchResponse = client.call(&fetch::API, 12, &request);
            assert!(begun.elapsed() < SOON, "{request:?}");
        }
    }
}

#[test]
fn rule_45_a_deleted_topic_ends_the_wait() {
    let broker = Broker::start();
    let (mut reader, mut admin) = (broker.client(), broker.client());
    let topic = admin.create("t", 1);
    let id = reader.send(&fetch::API, 12, &waiting(&topic, &[(0, 0)], 1, LONG_MS));
    std::thread::sleep(Duration::from_millis(50));
    let begun = Instant::now();
    admin.delete("t");
    let response: FetchResponse = reader.receive(&fetch::API, 12, id);
    assert!(begun.elapsed() < SOON);
    let code = response.responses[0].partitions[0].error_code;
    assert!(!code.is_none(), "there is nothing to read any more");
}

#[test]
fn a_waiting_fetch_does_not_delay_a_stop() {
    let broker = Broker::start();
    let mut client = broker.client();
    let topic = client.create("t", 1);
    client.send(&fetch::API, 12, &waiting(&topic, &[(0, 0)], 1, LONG_MS));
    std::thread::sleep(Duration::from_millis(50));
    let begun = Instant::now();
    broker.stop();
    assert!(begun.elapsed() < SOON);
}

#[test]
fn rule_46_a_reader_whose_limits_are_full_does_not_wait() {
    for broker in brokers() {
        let mut client = broker.client();
        let topic = client.create("t", 2);
        let one = batch_of_size(1000);
        let size = one.len() as i32;
        for index in [0, 1] {
            for _ in 0..10 {
                client.append(&topic, index, one.clone());
            }
        }
        let both = [(0, 0), (1, 0)];
        let end = [(0, 10), (1, 8)];
        // (from, min bytes, max bytes, partition max bytes, whether it waits, batches)
        let cases = [
            // min_bytes is no more than max_bytes, which whole batches do not fill exactly.
            (both, i32::MAX, 5 * size + 1, 1 << 20, false, 5),
            (both, i32::MAX, size / 2, 1 << 20, false, 1),
            // Of a partition counts what is wanted of it.
            (both, 5 * size, 1 << 20, 2 * size + size / 2, false, 4),
            (both, 5 * size + 1, 1 << 20, 2 * size + size / 2, true, 4),
            (both, 10 * size, 1 << 20, 5 * size, false, 10),
            (both, 10 * size + 1, 1 << 20, 5 * size, true, 10),
            // What is there and no more.
            (end, 2 * size, 1 << 20, 5 * size, false, 2),
            (end, 2 * size + 1, 1 << 20, 5 * size, true, 2),
        ];
        for (at, (from, bytes_min, bytes_max, partition_bytes_max, waits, batches)) in
            cases.into_iter().enumerate()
        {
            let mut request = waiting(&topic, &from, bytes_min, 400);
            request.max_bytes = bytes_max;
            for partition in &mut request.topics[0].partitions {
                partition.partition_max_bytes = partition_bytes_max;
            }
            let begun = Instant::now();
            let response: FetchResponse = client.call(&fetch::API, 12, &request);
            let took = begun.elapsed();
            assert_eq!(took > Duration::from_millis(350), waits, "case {at}: {took:?}");
            let bytes: usize = sizes(&response).into_iter().sum();
            assert_eq!(bytes as i32, batches * size, "case {at}");
        }
    }
}

// --- Bounds ----------------------------------------------------------------------------------

#[test]
fn rule_47_bytes_are_bounded_but_the_first_batch_always_comes() {
    for broker in brokers() {
        let mut client = broker.client();
        let topic = client.create("t", 3);
        let one = batch_of_size(1000);
        let size = one.len();
        for index in [1, 2] {
            for _ in 0..3 {
                client.append(&topic, index, one.clone());
            }
        }
        let all = [(0, 0), (1, 0), (2, 0)];
        // (max bytes, partition max bytes, sizes): rule 47.
        let cases = [
            (i32::MAX, i32::MAX, [0, 3 * size, 3 * size]),
            (1, i32::MAX, [0, size, 0]),
            (i32::MAX, 1, [0, size, 0]),
            (i32::MAX, 2 * size as i32, [0, 2 * size, 2 * size]),
            (3 * size as i32, i32::MAX, [0, 3 * size, 0]),
        ];
        for (bytes_max, partition_bytes_max, expected) in cases {
            let mut request = fetch_request(&topic, &all);
            request.max_bytes = bytes_max;
            for partition in &mut request.topics[0].partitions {
                partition.partition_max_bytes = partition_bytes_max;
            }
            let response: FetchResponse = client.call(&fetch::API, 12, &request);
            let told = sizes(&response);
            assert_eq!(told, expected, "{bytes_max} {partition_bytes_max}");
        }
    }
}

#[test]
fn rule_48_whole_batches_come_and_offsets_have_bounds() {
    let broker = Broker::start();
    let mut client = broker.client();
    let topic = client.create("t", 1);
    client.append(&topic, 0, batch(&[b"0", b"1", b"2"]));
    // (from, code, first offset that comes): rule 48.
    let cases = [(0, 0, Some(0)), (2, 0, Some(0)), (3, 0, None), (4, 1, None), (-1, 1, None)];
    for (from, code, first) in cases {
        let data = client.fetch(&topic, 0, from);
        assert_eq!(data.error_code.code(), code, "from {from}");
        let read = records::read(&data.records.unwrap());
        assert_eq!(read.first().map(|record| record.offset), first, "from {from}");
    }
}

#[test]
fn rule_51_leader_epochs_are_checked() {
    let broker = Broker::start();
    let mut client = broker.client();
    let topic = client.create("t", 1);
    client.append(&topic, 0, batch(&[b"v"]));
    // Rule 51; the epoch of a new partition is 0.
    for (epoch, code) in [(-1, 0), (0, 0), (1, 75), (i32::MAX, 75), (-2, 74)] {
        let mut request = fetch_request(&topic, &[(0, 0)]);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let data = client.fetch_as(12, &request);
        assert_eq!(data.error_code.code(), code, "epoch {epoch}");
    }
    // The last record fetched is of an epoch that the log ended before.
    let mut request = fetch_request(&topic, &[(0, 1)]);
    request.topics[0].partitions[0].last_fetched_epoch = 0;
    let data = client.fetch_as(12, &request);
    assert_eq!((data.diverging_epoch.epoch, data.diverging_epoch.end_offset), (-1, -1));
}

// --- Cold data -------------------------------------------------------------------------------

/// Reads a partition from its start to its end, `bytes_max` a time.
fn read_all(client: &mut Client, topic: &Topic, index: i32, bytes_max: i32) -> Vec<records::Read> {
    let mut found: Vec<records::Read> = Vec::new();
    loop {
        let next = found.last().map_or(0, |record| record.offset + 1);
        let mut request = fetch_request(topic, &[(index, next)]);
        request.topics[0].partitions[0].partition_max_bytes = bytes_max;
        let data = client.fetch_as(12, &request);
        assert_eq!(data.error_code, ErrorCode::None, "{data:?}");
        if next >= data.high_watermark {
            return found;
        }
        let read = records::read(&data.records.unwrap());
        assert!(!read.is_empty(), "there is more at {next}");
        found.extend(read.into_iter().filter(|record| record.offset >= next));
    }
}

#[test]
fn cold_records_are_those_that_were_produced() {
    let options =
        Options { memory: "32M", set: vec!["log.segment.bytes=1048576"], ..Options::default() };
    let mut broker = Broker::start_with(options);
    let topic = broker.client().create("t", 1);
    // About 6 MiB in segments of 1 MiB, in batches of many sizes, twice over restarts.
    let mut expected: Vec<Vec<u8>> = Vec::new();
    for round in 0..2 {
        let mut client = broker.client();
        for n in 0..60 {
            let size = [10, 3000, 60_000, 150_000][n % 4];
            let value = format!("{round} {n} ").into_bytes().repeat(size / 5);
            let count = 1 + n % 3;
            expected.extend(std::iter::repeat_n(value.clone(), count));
            client.append(&topic, 0, batch(&vec![value.as_slice(); count]));
        }
        broker = broker.restart();
        let mut client = broker.client();
        for bytes_max in [1, 100_000, 1 << 20, 8 << 20] {
            let read = read_all(&mut client, &topic, 0, bytes_max);
            let offsets: Vec<_> = read.iter().map(|record| record.offset).collect();
            assert!(offsets.iter().copied().eq(0..expected.len() as i64));
            assert!(read.iter().map(|record| &record.value).eq(&expected), "{bytes_max}");
        }
    }
    let segments = broker
        .dir()
        .files()
        .into_iter()
        .filter(|(name, _)| name.starts_with("t-0/") && name.ends_with(".log"));
    assert!(segments.count() >= 6, "the log rolled");
}

#[test]
fn cold_offsets_are_found_by_time() {
    let options = Options { set: vec!["log.segment.bytes=1048576"], ..Options::default() };
    let broker = Broker::start_with(options);
    let mut client = broker.client();
    let topic = client.create("t", 1);
    let value = vec![b'x'; 50_000];
    for n in 0..100 {
        client.append(&topic, 0, records::batch_at(n * 10, &[&value, &value]));
    }
    let broker = broker.restart();
    let mut client = broker.client();
    for (timestamp, expected) in [
        (0, (0, 0)),
        (1, (1, 1)),
        (2, (2, 10)),
        (505, (102, 510)),
        (991, (199, 991)),
        (992, (-1, -1)),
    ] {
        let found = client.offset_as(7, &topic, 0, timestamp);
        assert_eq!((found.offset, found.timestamp), expected, "at {timestamp}");
    }
    let largest = client.offset_as(7, &topic, 0, -3);
    assert_eq!((largest.offset, largest.timestamp), (199, 991));
}

#[test]
fn a_search_by_time_ends_though_batches_lie() {
    let options = Options { set: vec!["log.segment.bytes=1048576"], ..Options::default() };
    let broker = Broker::start_with(options);
    let mut client = broker.client();
    let topic = client.create("t", 1);
    // Eight segments; every batch says that it has a record at 9000, and none has.
    for _ in 0..16 {
        let mut bytes = batch_of_size(600_000);
        bytes[35..43].copy_from_slice(&9000i64.to_be_bytes());
        records::seal(&mut bytes);
        client.append(&topic, 0, bytes);
    }
    assert_eq!(client.offset_as(7, &topic, 0, 5000).offset, -1, "in memory");
    let broker = broker.restart();
    assert_eq!(broker.client().offset_as(7, &topic, 0, 5000).offset, -1, "from files");
}

#[test]
fn eviction_under_small_memory_loses_nothing() {
    let options =
        Options { memory: "32M", set: vec!["log.segment.bytes=4194304"], ..Options::default() };
    let broker = Broker::start_with(options);
    let mut client = broker.client();
    let topic = client.create("t", 4);
    // 48 MiB through 32 MiB of memory, pipelined.
    let mut ids = Vec::new();
    for n in 0..64 {
        let value = format!("{n:04}").into_bytes().repeat(192 << 10);
        let request = produce_request(1, &topic, n % 4, batch(&[&value]));
        ids.push(client.send(&produce::API, 9, &request));
    }
    for id in ids {
        let response: ProduceResponse = client.receive(&produce::API, 9, id);
        let data = &response.responses[0].partition_responses[0];
        assert_eq!(data.error_code, ErrorCode::None);
    }
    for index in 0..4 {
        let read = read_all(&mut client, &topic, index, 1 << 20);
        let told: Vec<_> = read.iter().map(|record| &record.value[..4]).collect();
        let expected: Vec<_> = (0..16).map(|n| format!("{:04}", n * 4 + index)).collect();
        assert!(told.iter().copied().eq(expected.iter().map(|text| text.as_bytes())));
    }
}

// --- Two shards ------------------------------------------------------------------------------

#[test]
fn advertise_node_answers_for_every_partition() {
    let broker = Broker::start_with(Options::two_shards(Advertise::Node));
    let mut client = broker.client();
    let topic = client.create("t", 4);
    for index in 0..4 {
        let value = [b'0' + index as u8];
        assert_eq!(client.append(&topic, index, batch(&[&value])), 0);
    }
    let request = fetch_request(&topic, &[(3, 0), (0, 0), (2, 0), (1, 0)]);
    for version in fetch::API.versions() {
        let response: FetchResponse = client.call(&fetch::API, version, &request);
        let told: Vec<_> = response.responses[0]
            .partitions
            .iter()
            .map(|data| (data.partition_index, records::values(data.records.as_ref().unwrap())))
            .collect();
        let expected: Vec<_> = [3, 0, 2, 1].map(|n| (n, vec![vec![b'0' + n as u8]])).into();
        assert_eq!(told, expected, "v{version}");
    }
    let request = common::client::offsets_request(&topic, &[(3, -1), (0, -1), (2, 1000), (1, -2)]);
    let response: ListOffsetsResponse =
        client.call(&ringlog_wire::api::list_offsets::API, 7, &request);
    let told: Vec<_> = response.topics[0].partitions.iter().map(|p| p.offset).collect();
    assert_eq!(told, [1, 1, 0, 0]);
    // One request, all partitions, one of them bad.
    let mut request = produce_request(-1, &topic, 0, Vec::new());
    let data = |(index, records)| produce::PartitionProduceData { index, records: Some(records) };
    let good = || batch(&[b"v"]);
    let parts = [(0, good()), (1, vec![1, 2, 3]), (2, good()), (3, vec![1, 2, 3])];
    request.topic_data[0].partition_data = parts.map(data).into();
    let response: ProduceResponse = client.call(&produce::API, 9, &request);
    let told: Vec<_> = response.responses[0]
        .partition_responses
        .iter()
        .map(|p| (p.index, p.error_code.is_none(), p.base_offset))
        .collect();
    assert_eq!(told, [(0, true, 1), (1, false, -1), (2, true, 1), (3, false, -1)]);
}

#[test]
fn rule_22_who_leads_instead_is_told() {
    let broker = Broker::start_with(Options::two_shards(Advertise::Shard));
    let mut clients = [0, 1].map(|shard| Client::connect(broker.address(shard)));
    let topic = clients[0].create("t", 2);
    let request = MetadataRequest { topics: None, ..MetadataRequest::default() };
    let told: MetadataResponse = clients[1].call(&metadata::API, 12, &request);
    let ids = [1024, 1025];
    let brokers: Vec<_> = told.brokers.iter().map(|b| (b.node_id, b.port)).collect();
    let ports = [0, 1].map(|shard| i32::from(broker.address(shard).port()));
    assert_eq!(brokers, [(ids[0], ports[0]), (ids[1], ports[1])]);
    for partition in &told.topics[0].partitions {
        let index = partition.partition_index;
        let owner = ids.iter().position(|id| *id == partition.leader_id).expect("a shard");
        let other = 1 - owner;
        assert_eq!(clients[owner].append(&topic, index, batch(&[b"v"])), 0);
        assert_eq!(clients[owner].fetch(&topic, index, 0).high_watermark, 1);
        let endpoint = (ids[owner], ports[owner]);
        refused_by(&mut clients[other], &topic, index, endpoint);
    }
}

/// A shard that does not own the partition says so, and from v10 and v16 on who does (rule 22).
fn refused_by(client: &mut Client, topic: &Topic, index: i32, owner: (i32, i32)) {
    for version in produce::API.versions() {
        let request = produce_request(-1, topic, index, batch(&[b"v"]));
        let response: ProduceResponse = client.call(&produce::API, version, &request);
        let data = &response.responses[0].partition_responses[0];
        assert_eq!(data.error_code, ErrorCode::NotLeaderOrFollower);
        let (leader, epoch) = (data.current_leader.leader_id, data.current_leader.leader_epoch);
        let endpoints: Vec<_> =
            response.node_endpoints.iter().map(|node| (node.node_id, node.port)).collect();
        match version {
            10.. => assert_eq!((leader, epoch, endpoints), (owner.0, 0, vec![owner])),
            _ => assert_eq!((leader, epoch, endpoints), (-1, -1, vec![])),
        }
    }
    for version in fetch::API.versions() {
        let request = waiting(topic, &[(index, 0)], 1, LONG_MS);
        let response: FetchResponse = client.call(&fetch::API, version, &request);
        let data = &response.responses[0].partitions[0];
        assert_eq!(data.error_code, ErrorCode::NotLeaderOrFollower);
        let leader = data.current_leader.leader_id;
        assert_eq!(leader, if version >= 12 { owner.0 } else { -1 });
        let endpoints: Vec<_> =
            response.node_endpoints.iter().map(|node| (node.node_id, node.port)).collect();
        assert_eq!(endpoints, if version >= 16 { vec![owner] } else { vec![] });
    }
    let code = client.offset_as(7, topic, index, -1).error_code;
    assert_eq!(code, ErrorCode::NotLeaderOrFollower);
}

#[test]
fn many_readers_and_writers_over_the_bus() {
    let broker = Broker::start_with(Options::two_shards(Advertise::Node));
    let topic = broker.client().create("t", 4);
    std::thread::scope(|scope| {
        for index in 0..4 {
            let (topic, broker) = (&topic, &broker);
            scope.spawn(move || {
                let mut client = broker.client();
                for n in 0..200 {
                    assert_eq!(client.append(topic, index, batch(&[b"v"])), n);
                }
            });
            scope.spawn(move || {
                let mut client = broker.client();
                let mut next = 0;
                eventually("everything is read", || {
                    let request = waiting(topic, &[(index, next)], 1, 500);
                    let read = records::read(&client.fetch_as(12, &request).records.unwrap());
                    assert!(read.iter().map(|r| r.offset).eq(next..next + read.len() as i64));
                    next += read.len() as i64;
                    (next == 200).then_some(())
                });
            });
        }
    });
}

/// As in Kafka, which handles one request of a connection at a time: what is behind a fetch that
/// waits could not be answered before it, and would hold memory.
#[test]
fn a_fetch_that_waits_holds_back_what_is_behind_it() {
    for broker in brokers() {
        let (mut reader, mut writer) = (broker.client(), broker.client());
        let topic = writer.create("t", 2);
        let end = |writer: &mut Client| writer.offset_as(5, &topic, 1, -1).offset;
        for round in 0..3 {
            let begun = Instant::now();
            let wait = reader.send(&fetch::API, 12, &waiting(&topic, &[(0, round)], 1, LONG_MS));
            let request = produce_request(-1, &topic, 1, batch(&[b"behind"]));
            let behind: Vec<i32> =
                (0..100).map(|_| reader.send(&produce::API, 9, &request)).collect();
            std::thread::sleep(Duration::from_millis(100));
            assert_eq!(end(&mut writer), round * 100, "nothing behind it is looked at");
            writer.append(&topic, 0, batch(&[b"woken"]));
            let response: FetchResponse = reader.receive(&fetch::API, 12, wait);
            assert!(sizes(&response)[0] > 0);
            for id in behind {
                let _: ProduceResponse = reader.receive(&produce::API, 9, id);
            }
            assert_eq!(end(&mut writer), round * 100 + 100);
            assert!(begun.elapsed() < SOON, "all go on at once");
        }
    }
}

#[test]
fn what_is_named_twice_is_told_once_as_it_was_named_last() {
    for broker in brokers() {
        let mut client = broker.client();
        let topic = client.create("t", 40);
        client.append(&topic, 0, batch(&[b"first"]));
        for count in [2, 40] {
            let once: Vec<_> = (0..count).map(|index| (index, 9)).collect();
            let again: Vec<_> = (0..count).map(|index| (index, 0)).collect();
            let mut request = fetch_request(&topic, &[once, again.clone()].concat());
            // In another place of the request too, and with nothing.
            request.topics.extend(fetch_request(&topic, &again).topics);
            request.topics.extend(fetch_request(&topic, &[]).topics);
            for version in [12, 13] {
                let response: FetchResponse = client.call(&fetch::API, version, &request);
                assert_eq!(response.responses.len(), 1);
                let told = response.responses[0].partitions.iter();
                let told: Vec<_> =
                    told.map(|data| (data.partition_index, data.error_code)).collect();
                let expected: Vec<_> = (0..count).map(|index| (index, ErrorCode::None)).collect();
                assert_eq!(told, expected);
                assert!(sizes(&response)[0] > 0);
            }
        }
    }
}

#[test]
fn topics_without_partitions_count_as_well() {
    let broker = Broker::start();
    let topic = broker.client().create("t", 1);
    let none = fetch_request(&topic, &[]).topics.remove(0);
    for (count, is_closed) in [(99_999, false), (100_000, true)] {
        let mut client = broker.client();
        let mut request = fetch_request(&topic, &[(0, 0)]);
        request.topics[0].partitions.clear();
        request.topics.extend(vec![none.clone(); count]);
        client.send(&fetch::API, 13, &request);
        assert_eq!(client.is_closed(), is_closed, "{count} topics to fetch");
        let mut client = broker.client();
        let mut request = produce_request(-1, &topic, 0, batch(&[b"one"]));
        request.topic_data[0].partition_data.clear();
        let none = request.topic_data[0].clone();
        request.topic_data.extend(vec![none; count]);
        client.send(&produce::API, 13, &request);
        assert_eq!(client.is_closed(), is_closed, "{count} topics to produce to");
    }
}
