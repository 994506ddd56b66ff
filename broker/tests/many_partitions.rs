//! Requests that name many partitions of many shards: each partition is answered once, in the order
//! asked, and what is wrong with one is no matter of the others.
//!
//! `RINGLOG_PARTITIONS=10000` is what the long run names; figures are printed with `--nocapture`.
#![allow(clippy::disallowed_methods, reason = "these tests measure how long an answer takes")]

mod common;

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use common::client::{Client, Topic, fetch_request, offsets_request, produce_request};
use common::records::{self, batch};
use common::{Broker, Dir, Options};
use ringlog_broker::config::Advertise;
use ringlog_wire::Uuid;
use ringlog_wire::api::create_partitions::{
    self, CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
};
use ringlog_wire::api::delete_records::{
    self, DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use ringlog_wire::api::fetch::{self, FetchRequest, FetchResponse};
use ringlog_wire::api::list_offsets::{self, ListOffsetsResponse};
use ringlog_wire::api::metadata::{self, MetadataRequest, MetadataResponse};
use ringlog_wire::api::offset_for_leader_epoch::{
    self, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderTopic,
};
use ringlog_wire::api::produce::{self, PartitionProduceData, ProduceResponse};

/// The id of shard 0 where each shard is a broker of its own.
const FIRST_ID: i32 = 1024;
/// Kafka creates no more in one request, for it writes them as one batch.
const CREATED_MAX: usize = 9000;
const OK: i16 = 0;
const OUT_OF_RANGE: i16 = 1;
const CORRUPT: i16 = 2;
const UNKNOWN_PARTITION: i16 = 3;
const NOT_LEADER: i16 = 6;
const UNKNOWN_EPOCH: i16 = 75;
const UNKNOWN_ID: i16 = 100;

/// A broker, a topic of many partitions, and what is known of it.
struct Bench {
    client: Client,
    topic: Topic,
    /// Whether the shard that is asked answers for the partition.
    is_ours: Vec<bool>,
    /// Each partition's end.
    ends: Vec<i64>,
}

fn grow(client: &mut Client, name: &str, count: i32) {
    let topic = CreatePartitionsTopic { name: name.into(), count, assignments: None };
    let request = CreatePartitionsRequest {
        topics: vec![topic],
        timeout_ms: 10_000,
        ..CreatePartitionsRequest::default()
    };
    let response: CreatePartitionsResponse = client.call(&create_partitions::API, 3, &request);
    assert_eq!(response.results[0].error_code.code(), OK, "{response:?}");
}

/// How long something took, where somebody reads it.
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = work();
    println!("{what}: {:.1} ms", begun.elapsed().as_secs_f64() * 1000.0);
    result
}

/// 0 to `count` - 1 in an order of no use to anybody, each once; among them numbers of partitions
/// that there are not.
fn asked(count: usize, there_are: usize) -> Vec<i32> {
    // No step below divides a power of 10.
    let mixed = (0..count).map(|n| (n * 7919 + 3) % count);
    let mut indexes = Vec::new();
    for (n, index) in mixed.enumerate() {
        indexes.push(index as i32);
        match n % 50 {
            0 => indexes.push((there_are + n) as i32),
            25 => indexes.push(-1 - n as i32),
            _ => {}
        }
    }
    assert_eq!(indexes.iter().collect::<HashSet<_>>().len(), indexes.len());
    indexes
}

impl Bench {
    fn new(broker: &Broker, partitions: usize) -> Bench {
        let mut client = broker.client();
        let name = format!("many-{partitions}");
        let topic = timed("create", || client.create(&name, partitions.min(CREATED_MAX) as i32));
        if partitions > CREATED_MAX {
            timed("grow", || grow(&mut client, &name, partitions as i32));
        }
        let all = MetadataRequest { topics: None, ..MetadataRequest::default() };
        let told: MetadataResponse = timed("metadata", || client.call(&metadata::API, 12, &all));
        let told = told.topics.iter().find(|told| told.topic_id == topic.id).expect("told");
        let indexes = told.partitions.iter().map(|partition| partition.partition_index);
        assert!(indexes.eq(0..partitions as i32), "each once, in order");
        let us = match broker.options.advertise {
            Advertise::Node => 1,
            Advertise::Shard => FIRST_ID,
        };
        let is_ours: Vec<_> = told.partitions.iter().map(|p| p.leader_id == us).collect();
        let ours = is_ours.iter().filter(|ours| **ours).count();
        match broker.options.advertise {
            Advertise::Node => assert_eq!(ours, partitions),
            Advertise::Shard => assert!(ours >= partitions / broker.options.shards / 2),
        }
        Bench { client, topic, is_ours, ends: vec![0; partitions] }
    }

    /// What a partition is answered with, if nothing else is wrong.
    fn code(&self, index: i32) -> i16 {
        match usize::try_from(index).ok().and_then(|index| self.is_ours.get(index)) {
            Some(true) => OK,
            Some(false) => NOT_LEADER,
            None => UNKNOWN_PARTITION,
        }
    }

    fn code_or(&self, index: i32, wrong: Option<i16>) -> i16 {
        match (self.code(index), wrong) {
            (OK, Some(code)) => code,
            (code, _) => code,
        }
    }

    /// Produces to all of these, some of it spoilt.
    fn produce(&mut self, version: i16, indexes: &[i32]) {
        let is_spoilt = |index: i32| index % 7 == 3;
        let mut request = produce_request(-1, &self.topic, 0, Vec::new());
        let data = |index: &i32| {
            let mut records = batch(&[index.to_string().as_bytes()]);
            if is_spoilt(*index) {
                *records.last_mut().expect("bytes") ^= 1;
            }
            PartitionProduceData { index: *index, records: Some(records) }
        };
        request.topic_data[0].partition_data = indexes.iter().map(data).collect();
        let absent = produce::TopicProduceData {
            name: "absent".into(),
            topic_id: Uuid([7; 16]),
            partition_data: request.topic_data[0].partition_data[..1].to_vec(),
        };
        request.topic_data.insert(0, absent.clone());
        request.topic_data.push(absent);
        request.timeout_ms = 10_000;
        let what = format!("produce v{version} to {}", indexes.len());
        let response: ProduceResponse =
            timed(&what, || self.client.call(&produce::API, version, &request));
        let [before, told, after] = &response.responses[..] else { panic!("three topics") };
        for absent in [before, after] {
            let code = absent.partition_responses[0].error_code.code();
            assert_eq!(code, if version >= 13 { UNKNOWN_ID } else { UNKNOWN_PARTITION });
            assert_eq!(absent.partition_responses.len(), 1);
        }
        let told: Vec<_> = told
            .partition_responses
            .iter()
            .map(|told| (told.index, told.error_code.code(), told.base_offset))
            .collect();
        let mut expected = Vec::new();
        for &index in indexes {
            let code = self.code_or(index, is_spoilt(index).then_some(CORRUPT));
            let mut offset = -1;
            if code == OK {
                offset = self.ends[index as usize];
                self.ends[index as usize] += 1;
            }
            expected.push((index, code, offset));
        }
        assert_eq!(told, expected);
    }

    /// Fetches all of these in full, some of it out of range or of an epoch that nobody knows.
    fn fetch(&mut self, version: i16, indexes: &[i32]) {
        let far = |index: i32| index % 5 == 4;
        let new = |index: i32| index % 5 == 3;
        let from = |index: &i32| (*index, if far(*index) { 99 } else { 0 });
        let mut request = fetch_request(&self.topic, &indexes.iter().map(from).collect::<Vec<_>>());
        for partition in &mut request.topics[0].partitions {
            partition.current_leader_epoch = i32::from(new(partition.partition));
        }
        let absent = fetch::FetchTopic {
            topic: "absent".into(),
            topic_id: Uuid([7; 16]),
            partitions: request.topics[0].partitions[..1].to_vec(),
        };
        request.topics.insert(0, absent);
        let what = format!("fetch v{version} of {}", indexes.len());
        let response: FetchResponse =
            timed(&what, || self.client.call(&fetch::API, version, &request));
        let [absent, told] = &response.responses[..] else { panic!("two topics") };
        let code = absent.partitions[0].error_code.code();
        assert_eq!(code, if version >= 13 { UNKNOWN_ID } else { UNKNOWN_PARTITION });
        assert_eq!(told.partitions.len(), indexes.len());
        for (told, &index) in told.partitions.iter().zip(indexes) {
            let wrong = match index {
                _ if new(index) => Some(UNKNOWN_EPOCH),
                _ if far(index) => Some(OUT_OF_RANGE),
                _ => None,
            };
            let code = self.code_or(index, wrong);
            assert_eq!((told.partition_index, told.error_code.code()), (index, code));
            let values = records::values(told.records.as_ref().expect("rule 44"));
            let end = if code == OK { self.ends[index as usize] } else { -1 };
            assert_eq!(told.high_watermark, end, "partition {index}");
            let expected = vec![index.to_string().into_bytes(); end.max(0) as usize];
            assert_eq!(values, expected, "partition {index}");
        }
    }

    fn incremental(&mut self, what: &str, request: &FetchRequest) -> Vec<(i32, i16, usize)> {
        let what = format!("{what} of {}", self.ends.len());
        let response: FetchResponse = timed(&what, || self.client.call(&fetch::API, 12, request));
        assert_eq!((response.error_code.code(), response.session_id), (OK, request.session_id));
        let told = response.responses.iter().flat_map(|topic| &topic.partitions);
        let told = told.map(|data| {
            let bytes = data.records.as_ref().expect("rule 44").len();
            (data.partition_index, data.error_code.code(), bytes)
        });
        told.collect()
    }

    /// A session over all of these, in which a few move.
    fn session(&mut self, indexes: &[i32]) {
        let at_end = |&index: &i32| {
            let end = usize::try_from(index).ok().and_then(|index| self.ends.get(index));
            (index, end.copied().unwrap_or(0))
        };
        let from: Vec<_> = indexes.iter().map(at_end).collect();
        let mut request = fetch_request(&self.topic, &from);
        (request.session_id, request.session_epoch) = (0, 0);
        let what = format!("fetch that begins a session of {}", indexes.len());
        let response: FetchResponse = timed(&what, || self.client.call(&fetch::API, 12, &request));
        assert!(response.session_id > 0, "there is room for a session");
        let told: Vec<_> = response.responses[0]
            .partitions
            .iter()
            .map(|told| (told.partition_index, told.error_code.code()))
            .collect();
        let expected: Vec<_> = indexes.iter().map(|index| (*index, self.code(*index))).collect();
        assert_eq!(told, expected);
        let mut request = fetch_request(&self.topic, &[]);
        (request.session_id, request.session_epoch) = (response.session_id, 1);
        // What is wrong is told again and again, and nothing else.
        let mut expected = expected;
        expected.retain(|(_, code)| *code != OK);
        let wrong: Vec<_> = expected.into_iter().map(|(index, code)| (index, code, 0)).collect();
        assert_eq!(self.incremental("first incremental fetch", &request), wrong);
        request.session_epoch += 1;
        assert_eq!(self.incremental("idle incremental fetch", &request), wrong);
        let moving: Vec<_> = [0, indexes.len() / 2, indexes.len() - 1]
            .map(|at| indexes[at])
            .into_iter()
            .filter(|index| self.code(*index) == OK)
            .collect::<HashSet<_>>()
            .into_iter()
            .collect();
        let size = |index: i32| batch(&[index.to_string().as_bytes()]).len();
        for index in &moving {
            let offset =
                self.client.append(&self.topic, *index, batch(&[index.to_string().as_bytes()]));
            assert_eq!(offset, self.ends[*index as usize]);
            self.ends[*index as usize] += 1;
        }
        request.session_epoch += 1;
        let mut told = self.incremental("incremental fetch with news", &request);
        let mut expected: Vec<_> = wrong.clone();
        expected.extend(moving.iter().map(|index| (*index, OK, size(*index))));
        expected.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, expected);
    }

    fn offsets(&mut self, indexes: &[i32]) {
        let new = |index: i32| index % 5 == 3;
        let asks: Vec<_> = indexes.iter().map(|index| (*index, -1)).collect();
        let mut request = offsets_request(&self.topic, &asks);
        for partition in &mut request.topics[0].partitions {
            partition.current_leader_epoch = i32::from(new(partition.partition_index));
        }
        let what = format!("list offsets of {}", indexes.len());
        let response: ListOffsetsResponse =
            timed(&what, || self.client.call(&list_offsets::API, 7, &request));
        let told = response.topics[0].partitions.iter();
        let told: Vec<_> =
            told.map(|told| (told.partition_index, told.error_code.code(), told.offset)).collect();
        assert_eq!(told, self.expected_ends(indexes, new));
    }

    /// Each with its end, but for those of which an epoch is named that is not there yet.
    fn expected_ends(&self, asked: &[i32], new: impl Fn(i32) -> bool) -> Vec<(i32, i16, i64)> {
        let expected = asked.iter().map(|&index| {
            let code = self.code_or(index, new(index).then_some(UNKNOWN_EPOCH));
            let offset = if code == OK { self.ends[index as usize] } else { -1 };
            (index, code, offset)
        });
        expected.collect()
    }

    fn epochs(&mut self, indexes: &[i32]) {
        let new = |index: i32| index % 5 == 3;
        let partition = |&partition: &i32| OffsetForLeaderPartition {
            partition,
            current_leader_epoch: i32::from(new(partition)),
            leader_epoch: 0,
        };
        let partitions = indexes.iter().map(partition).collect();
        let topics = vec![OffsetForLeaderTopic { topic: self.topic.name.clone(), partitions }];
        let request = OffsetForLeaderEpochRequest { replica_id: -2, topics };
        let what = format!("epochs of {}", indexes.len());
        let response: OffsetForLeaderEpochResponse =
            timed(&what, || self.client.call(&offset_for_leader_epoch::API, 4, &request));
        let told = response.topics[0].partitions.iter();
        let told: Vec<_> =
            told.map(|told| (told.partition, told.error_code.code(), told.end_offset)).collect();
        assert_eq!(told, self.expected_ends(indexes, new));
    }

    /// Deletes nothing (to 0), or more than there is.
    fn delete(&mut self, indexes: &[i32]) {
        let far = |index: i32| index % 5 == 4;
        let partition = |&partition_index: &i32| DeleteRecordsPartition {
            partition_index,
            offset: if far(partition_index) { 99 } else { 0 },
        };
        let partitions = indexes.iter().map(partition).collect();
        let topics = vec![DeleteRecordsTopic { name: self.topic.name.clone(), partitions }];
        let request = DeleteRecordsRequest { topics, timeout_ms: 1000 };
        let what = format!("delete records of {}", indexes.len());
        let response: DeleteRecordsResponse =
            timed(&what, || self.client.call(&delete_records::API, 2, &request));
        let told = response.topics[0].partitions.iter();
        let told: Vec<_> = told
            .map(|told| (told.partition_index, told.error_code.code(), told.low_watermark))
            .collect();
        let expected: Vec<_> = indexes
            .iter()
            .map(|&index| {
                let code = self.code_or(index, far(index).then_some(OUT_OF_RANGE));
                (index, code, if code == OK { 0 } else { -1 })
            })
            .collect();
        assert_eq!(told, expected);
    }

    fn all(&mut self, count: usize) {
        let indexes = asked(count, self.ends.len());
        for version in [9, 13] {
            self.produce(version, &indexes);
        }
        for version in [12, 13, 18] {
            self.fetch(version, &indexes);
        }
        self.session(&indexes);
        self.offsets(&indexes);
        self.epochs(&indexes);
        self.delete(&indexes);
    }
}

/// In memory, where there is such a place: on a disk, a partition costs milliseconds of flushes
/// when it is made, which is not what is tested here.
fn dir(name: &str) -> Dir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => Dir::at(memory.join(format!("ringlog-test-{name}-{}", std::process::id()))),
        false => Dir::fresh(),
    }
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm.split(' ').nth(1).expect("a second field").parse().expect("pages");
    pages * 4096
}

#[test]
fn every_partition_is_answered_once_in_the_order_asked() {
    for shards in [1, 2, 4] {
        for advertise in [Advertise::Node, Advertise::Shard] {
            let options = Options { shards, advertise, memory: "256M", ..Options::default() };
            println!("{shards} shards, {advertise:?}");
            let broker = Broker::start_on(dir("many"), options);
            let mut bench = Bench::new(&broker, 1000);
            for count in [1, 100, 1000] {
                bench.all(count);
            }
        }
    }
}

/// A fetch of so many does not look at all of them whenever one moves; it is woken all the same.
fn wakes_though_it_rests(reader: &mut Client, bench: &mut Bench) {
    for round in 0..3 {
        let from: Vec<_> = (0..).zip(bench.ends.iter().copied()).collect();
        let count = from.len() as i32;
        let mut request = fetch_request(&bench.topic, &from);
        // Some are not enough, and the last one is.
        (request.max_wait_ms, request.min_bytes) = (8000, 300);
        let begun = Instant::now();
        let id = reader.send(&fetch::API, 12, &request);
        for index in [7, 3000, 9999, 5000].map(|index| index % count) {
            bench.client.append(&bench.topic, index, batch(&[&[round; 100]]));
            bench.ends[index as usize] += 1;
        }
        let response: FetchResponse = reader.receive(&fetch::API, 12, id);
        let told = response.responses[0].partitions.iter();
        let bytes: usize = told.filter_map(|it| it.records.as_ref()).map(Vec::len).sum();
        assert!(bytes >= 300, "{bytes}");
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}

#[test]
fn ten_thousand_partitions_in_one_request() {
    let count = std::env::var("RINGLOG_PARTITIONS").map_or(10_000, |text| text.parse().unwrap());
    let options = Options { memory: "256M", ..Options::two_shards(Advertise::Node) };
    let broker = Broker::start_on(dir("ten-thousand"), options);
    let before = resident_bytes();
    let mut bench = Bench::new(&broker, count);
    let created = resident_bytes();
    let per = |after: u64, before: u64| after.saturating_sub(before) / count as u64;
    println!("{} bytes of memory a partition", per(created, before));
    let begun = Instant::now();
    bench.all(count);
    println!("{} bytes of memory a partition with records", per(resident_bytes(), before));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    timed("wake", || wakes_though_it_rests(&mut broker.client(), &mut bench));
    timed("stop", || broker.stop());
}
