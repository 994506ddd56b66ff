//! Bad input: whatever comes, the broker answers with an error or closes the connection, goes on
//! serving everyone else, and holds no more memory than before.
//!
//! `RINGLOG_HOSTILE_FRAMES=1000000 cargo test --test hostile` for the long run.
#![allow(clippy::disallowed_methods, reason = "a test looks at its process from outside")]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::client::{Client, Topic, fetch_request, offsets_request, produce_request};
use common::records::{self, batch, batch_of_size, idempotent};
use common::{Broker, Options, eventually};
use ringlog_broker::config::Advertise;
use ringlog_wire::api::api_versions::ApiVersionsRequest;
use ringlog_wire::api::create_topics::{CreatableTopic, CreateTopicsRequest};
use ringlog_wire::api::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ringlog_wire::api::fetch::FetchResponse;
use ringlog_wire::api::init_producer_id::InitProducerIdRequest;
use ringlog_wire::api::metadata::{MetadataRequest, MetadataRequestTopic};
use ringlog_wire::api::{self, Api, fetch, produce};
use ringlog_wire::client::encode_request;
use ringlog_wire::message::Message;
use ringlog_wire::{ErrorCode, Uuid};

/// Memory that the process may take beyond what it had, whatever was thrown at it: the log's own
/// cache (a quarter of 64 MiB), buffers that stay warm, and the allocator's habits.
const GROWTH_BYTES_MAX: u64 = 40 << 20;

/// Resident memory of this process, bytes.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm.split(' ').nth(1).expect("a second field").parse().expect("pages");
    pages * 4096
}

/// The broker's own threads in this process; the kernel's workers for its rings come and go.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
    tasks.flatten().filter_map(name).filter(|name| name.starts_with("ringlog-")).count()
}

/// The tests of this file run one after the other, for they look at the whole process's memory.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// splitmix64: one seed, one sequence.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// A good client's round trip.
fn check_service(client: &mut Client, topic: &Topic) {
    let offset = client.append(topic, 0, batch(&[b"good"]));
    let data = client.fetch(topic, 0, offset);
    assert_eq!(records::values(&data.records.unwrap()), [b"good"]);
}

fn frame_of<Q: Message>(api: &Api, version: i16, request: &Q) -> Vec<u8> {
    encode_request(api, version, 1, Some("hostile"), |out| request.write(version, out))
}

/// A request of an API that the frames above do not fill in: everything in it is empty.
fn empty_frame(api: &Api, version: i16) -> Vec<u8> {
    macro_rules! empty {
        ($($module:ident $request:ident)*) => {
            match api.key {
                $(key if key == api::$module::API.key => {
                    frame_of(api, version, &api::$module::$request::default())
                })*
                key => panic!("API {key} wants a case here"),
            }
        };
    }
    empty! {
        find_coordinator FindCoordinatorRequest
        delete_records DeleteRecordsRequest
        offset_for_leader_epoch OffsetForLeaderEpochRequest
        describe_configs DescribeConfigsRequest
        alter_configs AlterConfigsRequest
        alter_replica_log_dirs AlterReplicaLogDirsRequest
        describe_log_dirs DescribeLogDirsRequest
        create_partitions CreatePartitionsRequest
        elect_leaders ElectLeadersRequest
        incremental_alter_configs IncrementalAlterConfigsRequest
        alter_partition_reassignments AlterPartitionReassignmentsRequest
        list_partition_reassignments ListPartitionReassignmentsRequest
        describe_quorum DescribeQuorumRequest
        update_features UpdateFeaturesRequest
        describe_cluster DescribeClusterRequest
        describe_producers DescribeProducersRequest
        list_config_resources ListConfigResourcesRequest
        describe_topic_partitions DescribeTopicPartitionsRequest
        offset_commit OffsetCommitRequest
        offset_fetch OffsetFetchRequest
        join_group JoinGroupRequest
        heartbeat HeartbeatRequest
        leave_group LeaveGroupRequest
        sync_group SyncGroupRequest
        describe_groups DescribeGroupsRequest
        list_groups ListGroupsRequest
        add_partitions_to_txn AddPartitionsToTxnRequest
        add_offsets_to_txn AddOffsetsToTxnRequest
        end_txn EndTxnRequest
        write_txn_markers WriteTxnMarkersRequest
        txn_offset_commit TxnOffsetCommitRequest
        delete_groups DeleteGroupsRequest
        offset_delete OffsetDeleteRequest
        describe_transactions DescribeTransactionsRequest
        list_transactions ListTransactionsRequest
        consumer_group_heartbeat ConsumerGroupHeartbeatRequest
        consumer_group_describe ConsumerGroupDescribeRequest
    }
}

/// Good requests of every API and version. None of them changes which topics there are.
fn good_frames(topic: &Topic) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let software = ApiVersionsRequest {
        client_software_name: "hostile".into(),
        client_software_version: "1".into(),
    };
    let named = MetadataRequestTopic { name: Some(topic.name.clone()), topic_id: Uuid::ZERO };
    let metadata = MetadataRequest { topics: Some(vec![named]), ..MetadataRequest::default() };
    let new = CreatableTopic {
        name: "checked".into(),
        num_partitions: 3,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let create = CreateTopicsRequest {
        topics: vec![new],
        validate_only: true,
        ..CreateTopicsRequest::default()
    };
    let delete = DeleteTopicsRequest {
        topics: vec![DeleteTopicState { name: Some("nope".into()), topic_id: Uuid::ZERO }],
        topic_names: vec!["nope".into()],
        timeout_ms: 1000,
    };
    let producer =
        InitProducerIdRequest { transactional_id: None, ..InitProducerIdRequest::default() };
    let produce = produce_request(1, topic, 0, batch(&[b"one", b"two"]));
    let fetch = fetch_request(topic, &[(0, 0), (1, 0)]);
    let offsets = offsets_request(topic, &[(0, -1), (1, 1000)]);
    for api in api::API_LIST {
        for version in api.versions() {
            frames.push(match api.key {
                0 => frame_of(api, version, &produce),
                1 => frame_of(api, version, &fetch),
                2 => frame_of(api, version, &offsets),
                3 => frame_of(api, version, &metadata),
                18 => frame_of(api, version, &software),
                19 => frame_of(api, version, &create),
                20 => frame_of(api, version, &delete),
                22 => frame_of(api, version, &producer),
                _ => empty_frame(api, version),
            });
        }
    }
    frames
}

/// Makes a frame bad, its size prefix right or wrong.
fn mutate(frame: &mut Vec<u8>, random: &mut Random) {
    match random.below(16) {
        // Nothing but noise.
        0 => {
            let bytes = random.below(200);
            frame.splice(4.., std::iter::repeat_with(|| random.next() as u8).take(bytes));
        }
        1 | 2 => frame.truncate(4 + random.below(frame.len() - 4)),
        3 => frame.extend(std::iter::repeat_n(random.next() as u8, random.below(100))),
        // Numbers that are counts, lengths or offsets somewhere.
        4..=7 => {
            const NUMBERS: [u32; 8] =
                [0, 1, u32::MAX, 1 << 31, i32::MAX as u32, 0x7fff_fff0, 0xffff, 0x7fff_0000];
            let at = 4 + random.below(frame.len() - 8);
            let number = NUMBERS[random.below(NUMBERS.len())];
            frame[at..at + 4].copy_from_slice(&number.to_be_bytes());
        }
        // A piece twice, or missing.
        8 | 9 => {
            let (at, to) = (4 + random.below(frame.len() - 4), 4 + random.below(frame.len() - 4));
            let piece = frame[at.min(to)..at.max(to)].to_vec();
            match random.below(2) {
                0 => frame.splice(at..at, piece).for_each(drop),
                _ => frame.drain(at.min(to)..at.max(to)).for_each(drop),
            }
        }
        _ => {
            for _ in 0..1 + random.below(4) {
                let at = 4 + random.below(frame.len() - 4);
                frame[at] ^= 1 << random.below(8);
            }
        }
    }
    let size = frame.len() as i32 - 4;
    let told = match random.below(64) {
        0 => -1,
        1 => i32::MAX,
        2 => size + 1,
        3 => size - 1,
        _ => size,
    };
    frame[..4].copy_from_slice(&told.to_be_bytes());
}

/// A Produce whose batch is changed anywhere, with a CRC that is right nevertheless.
fn sealed_frame(topic: &Topic, random: &mut Random) -> Vec<u8> {
    let mut bytes = batch(&[b"one", b"two", b"three"]);
    for _ in 0..1 + random.below(3) {
        let at = random.below(bytes.len());
        match random.below(3) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            _ => bytes[at] = 0xff,
        }
    }
    records::seal(&mut bytes);
    let version = 3 + random.below(11) as i16;
    frame_of(&produce::API, version, &produce_request(1, topic, 0, bytes))
}

/// Sends a bad frame and a good one; whether the connection is still good for another.
fn throw(stream: &mut TcpStream, frame: &[u8], id: i32, read: &mut Vec<u8>) -> bool {
    let api = &api::api_versions::API;
    let ping = encode_request(api, 0, id, None, |_| {});
    if stream.write_all(&[frame, &ping].concat()).is_err() {
        return false;
    }
    loop {
        let mut size = [0; 4];
        if stream.read_exact(&mut size).is_err() {
            return false;
        }
        read.resize(i32::from_be_bytes(size) as usize, 0);
        if stream.read_exact(read).is_err() {
            return false;
        }
        if read[..4] == id.to_be_bytes() {
            return true;
        }
    }
}

fn open(broker: &Broker) -> TcpStream {
    let stream = TcpStream::connect(broker.address(0)).expect("it listens");
    // A frame may say that it is longer than it is, or that its fetch waits: then this ends it.
    stream.set_read_timeout(Some(std::time::Duration::from_millis(20))).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    stream
}

#[test]
fn malformed_frames_do_no_harm() {
    let _alone = alone();
    let frames_max: u64 = std::env::var("RINGLOG_HOSTILE_FRAMES")
        .map_or(20_000, |text| text.parse().expect("a number of frames"));
    let options = Options {
        set: vec!["auto.create.topics.enable=false"],
        ..Options::two_shards(Advertise::Node)
    };
    let broker = Broker::start_with(options);
    let mut good = broker.client();
    let topic = good.create("t", 2);
    check_service(&mut good, &topic);
    let frames = good_frames(&topic);
    let mut random = Random(20_261_121);
    let (mut stream, mut refused, mut read) = (open(&broker), 0, Vec::new());
    let (mut before, mut threads_before) = (0, 0);
    for n in 0..frames_max {
        if n == frames_max / 10 {
            (before, threads_before) = (resident_bytes(), threads());
        }
        let frame = match random.below(16) {
            0 => sealed_frame(&topic, &mut random),
            _ => {
                let mut frame = frames[random.below(frames.len())].clone();
                mutate(&mut frame, &mut random);
                frame
            }
        };
        if !throw(&mut stream, &frame, 1_000_000_000 + n as i32, &mut read) {
            refused += 1;
            stream = open(&broker);
        }
        if n % 1000 == 0 {
            check_service(&mut good, &topic);
        }
    }
    check_service(&mut good, &topic);
    let grown = resident_bytes().saturating_sub(before);
    println!("{frames_max} frames, {refused} connections ended, memory grew by {grown} bytes");
    assert!(grown < GROWTH_BYTES_MAX, "memory grew by {grown} bytes");
    assert!(threads_before >= 2, "two shards at least");
    assert_eq!(threads(), threads_before, "no thread died");
    assert!(refused > frames_max / 10, "the frames were bad indeed");
}

#[test]
fn rule_12_impossible_sizes_end_the_connection() {
    let _alone = alone();
    let broker = Broker::start();
    for size in [-1, i32::MIN, i32::MAX, (100 << 20) + 1, 0, 1, 7] {
        let mut client = broker.client();
        client.stream.write_all(&i32::to_be_bytes(size)).unwrap();
        // A frame too short for a header is seen when it is there.
        client.stream.write_all(&[0; 7]).unwrap_or(());
        assert!(client.is_closed(), "size {size}");
    }
    broker.client().create("t", 1);
}

#[test]
fn rule_12_counts_are_believed_only_with_their_bytes() {
    let _alone = alone();
    let broker = Broker::start();
    let before = resident_bytes();
    for api in api::API_LIST {
        for version in api.versions() {
            for fill in [0xff, 0x7f, 0xfe] {
                let frame = encode_request(api, version, 1, None, |out| out.extend([fill; 200]));
                let mut client = broker.client();
                client.stream.write_all(&frame).unwrap();
                client.stream.shutdown(Shutdown::Write).unwrap();
                // An answer or an end; not a wait.
                let _ = client.frame();
            }
        }
    }
    broker.client().create("t", 1);
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "memory grew by {grown} bytes");
}

#[test]
fn rule_12_promises_of_large_frames_cost_nothing() {
    let _alone = alone();
    let broker = Broker::start();
    let before = resident_bytes();
    let mut held = Vec::new();
    for _ in 0..300 {
        let mut client = broker.client();
        client.stream.write_all(&i32::to_be_bytes(100 << 20)).unwrap();
        client.stream.write_all(&[0; 100]).unwrap();
        held.push(client);
    }
    let mut good = broker.client();
    let topic = good.create("t", 1);
    check_service(&mut good, &topic);
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "memory grew by {grown} bytes");
}

#[test]
fn unfinished_frames_are_bounded_together() {
    let _alone = alone();
    let broker = Broker::start();
    let before = resident_bytes();
    // 40 connections of 4 MiB each of frames that never end: an eighth of 64 MiB is allowed.
    let mut held = Vec::new();
    let mut ended = 0;
    for _ in 0..40 {
        let mut client = broker.client();
        client.stream.write_all(&i32::to_be_bytes(90 << 20)).unwrap();
        if client.stream.write_all(&vec![0; 4 << 20]).is_err() {
            ended += 1;
        }
        held.push(client);
    }
    let mut good = broker.client();
    let topic = good.create("t", 1);
    check_service(&mut good, &topic);
    let grown = resident_bytes().saturating_sub(before);
    println!("{ended} connections ended, memory grew by {grown} bytes");
    assert!(grown < GROWTH_BYTES_MAX, "memory grew by {grown} bytes, {ended} were ended");
}

/// Whether the broker has closed the connection; what it has answered is not looked at.
fn has_ended(client: &Client) -> bool {
    client.stream.set_nonblocking(true).unwrap();
    let ended = match client.stream.peek(&mut [0]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    };
    client.stream.set_nonblocking(false).unwrap();
    ended
}

#[test]
fn requests_wait_for_memory_and_slow_ones_give_it_up() {
    let _alone = alone();
    let broker = Broker::start();
    let mut good = broker.client();
    let topic = good.create("t", 1);
    let request = produce_request(1, &topic, 0, batch_of_size(1_000_000));
    let frame = frame_of(&produce::API, 13, &request);
    let (begin, end) = frame.split_at(600_000);
    // Unfinished requests may take an eighth of 64 MiB, and what waits as much again.
    let begun = |count: usize| -> Vec<Client> {
        let client = |_| {
            let mut client = broker.client();
            client.stream.write_all(begin).unwrap();
            client
        };
        (0..count).map(client).collect()
    };
    let mut clients = begun(16);
    check_service(&mut good, &topic);
    for client in &mut clients {
        client.stream.write_all(end).expect("nobody is refused");
    }
    for client in &mut clients {
        assert!(!client.is_closed(), "each is answered");
    }
    let silent = begun(20);
    good.append(&topic, 0, batch_of_size(1_000_000));
    good.append(&topic, 0, batch_of_size(1_000_000));
    eventually("somebody who had the time is refused", || silent.iter().find(|it| has_ended(it)));
}

#[test]
fn connections_that_break_off_are_forgotten() {
    let _alone = alone();
    let broker = Broker::start();
    let mut good = broker.client();
    let topic = good.create("t", 1);
    let frame = frame_of(&produce::API, 9, &produce_request(1, &topic, 0, batch(&[b"v"])));
    for cut in (0..frame.len()).step_by(3) {
        let mut client = broker.client();
        client.stream.write_all(&frame[..cut]).unwrap();
        match cut % 2 {
            // Closed, or closed in one direction: the broker has nothing to say.
            0 => drop(client),
            _ => {
                client.stream.shutdown(Shutdown::Write).unwrap();
                assert!(client.is_closed());
            }
        }
    }
    assert_eq!(good.offset_as(4, &topic, 0, -1).offset, 0, "half a request is none");
    // Answers that nobody reads any more.
    for _ in 0..20 {
        let mut client = broker.client();
        let waits = fetch::FetchRequest { max_wait_ms: 200, ..fetch_request(&topic, &[(0, 0)]) };
        client.send(&fetch::API, 12, &waits);
        client.send(&produce::API, 9, &produce_request(-1, &topic, 0, batch(&[b"v"])));
    }
    eventually("the requests before the end are done", || {
        (good.offset_as(4, &topic, 0, -1).offset == 20).then_some(())
    });
    check_service(&mut good, &topic);
}

#[test]
fn requests_may_come_in_any_pieces() {
    let _alone = alone();
    let broker = Broker::start();
    let mut client = broker.client();
    let topic = client.create("t", 1);
    let request = |n: i32| {
        let request = produce_request(-1, &topic, 0, idempotent(1, 0, n, 1));
        encode_request(&produce::API, 9, n, None, |out| request.write(9, out))
    };
    let receive = |client: &mut Client, n: i32| {
        let answer: produce::ProduceResponse = client.receive(&produce::API, 9, n);
        let data = &answer.responses[0].partition_responses[0];
        assert_eq!((data.error_code, data.base_offset), (ErrorCode::None, i64::from(n)));
    };
    for byte in request(0) {
        client.stream.write_all(&[byte]).unwrap();
    }
    receive(&mut client, 0);
    // Three requests, cut in two at every place.
    let mut n = 1;
    for cut in 0..3 * request(1).len() {
        let three = [request(n), request(n + 1), request(n + 2)].concat();
        let (head, tail) = three.split_at(cut);
        client.stream.write_all(head).unwrap();
        client.stream.write_all(tail).unwrap();
        for _ in 0..3 {
            receive(&mut client, n);
            n += 1;
        }
    }
}

/// Far more at once than one connection's share of a turn.
#[test]
fn pipelined_requests_are_answered_in_order_beside_others() {
    let _alone = alone();
    let broker = Broker::start();
    let (mut good, mut greedy) = (broker.client(), broker.client());
    let topic = good.create("t", 1);
    let mut writer = greedy.stream.try_clone().unwrap();
    let requests = 10_000;
    let writing = std::thread::spawn(move || {
        let question = |n| encode_request(&api::api_versions::API, 0, n, None, |_| {});
        let all: Vec<u8> = (0..requests).flat_map(question).collect();
        writer.write_all(&all).unwrap();
    });
    for n in 0..requests {
        let answer = greedy.frame().expect("an answer to each");
        assert_eq!(answer[..4], n.to_be_bytes(), "in the order of the requests");
        if n % 1_000 == 0 {
            check_service(&mut good, &topic);
        }
    }
    writing.join().unwrap();
}

/// A producer that wants no answer may leave as soon as all is sent: nothing of it is dropped, even
/// what waits for further turns.
#[test]
fn pipelined_requests_are_handled_though_their_client_leaves() {
    let _alone = alone();
    let broker = Broker::start();
    let mut good = broker.client();
    let topic = good.create("t", 1);
    for round in 1..=5 {
        let mut hasty = broker.client();
        let request = produce_request(0, &topic, 0, batch(&[b"unanswered"]));
        let one = encode_request(&produce::API, 9, 1, None, |out| request.write(9, out));
        hasty.stream.write_all(&one.repeat(2_000)).unwrap();
        drop(hasty);
        eventually("all of it is in the log", || {
            let end = good.offset_as(5, &topic, 0, -1);
            (end.offset == round * 2_000).then_some(())
        });
    }
}

#[test]
fn a_client_that_does_not_read_holds_nobody_up() {
    let _alone = alone();
    let broker = Broker::start();
    let (mut good, mut lazy) = (broker.client(), broker.client());
    let topic = good.create("t", 1);
    good.append(&topic, 0, batch_of_size(1_000_000));
    let before = resident_bytes();
    let request = fetch_request(&topic, &[(0, 0)]);
    let ids: Vec<i32> = (0..150).map(|_| lazy.send(&fetch::API, 12, &request)).collect();
    for _ in 0..10 {
        check_service(&mut good, &topic);
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "memory grew by {grown} bytes");
    for id in ids {
        let response: FetchResponse = lazy.receive(&fetch::API, 12, id);
        let bytes = response.responses[0].partitions[0].records.as_ref().unwrap().len();
        assert!(bytes >= 1_000_000);
    }
}

#[test]
fn connections_are_bounded() {
    let _alone = alone();
    let broker =
        Broker::start_with(Options { set: vec!["max.connections=8"], ..Options::default() });
    let mut held: Vec<Client> = (0..8).map(|_| broker.client()).collect();
    let topic = held[0].create("t", 1);
    for client in &mut held {
        check_service(client, &topic);
    }
    let mut one_more = broker.client();
    let _ = one_more.stream.write_all(&[0; 4]);
    assert!(one_more.is_closed(), "the ninth is refused");
    check_service(&mut held[7], &topic);
    held.truncate(4);
    eventually("there is room again", || {
        let mut client = broker.client();
        client
            .stream
            .write_all(&frame_of(&api::api_versions::API, 0, &ApiVersionsRequest::default()))
            .ok()?;
        client.frame()
    });
}
