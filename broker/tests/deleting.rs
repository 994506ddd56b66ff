//! DeleteRecords, OffsetForLeaderEpoch, DescribeProducers and DescribeLogDirs over the wire. The
//! codes are those that Apache Kafka 4.3.1 answered to the same questions.

mod common;

use std::path::Path;
use std::process::Command;

use common::client::{Client, Topic, fetch_request, offsets_request};
use common::records::{self, batch, batch_of_size, idempotent};
use common::{Broker, Dir, Options, eventually, now_ms};
use ringlog_broker::config::Advertise;
use ringlog_wire::ErrorCode;
use ringlog_wire::api::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use ringlog_wire::api::delete_records::{
    self, DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
    HIGH_WATERMARK,
};
use ringlog_wire::api::describe_log_dirs::{
    self, DescribableLogDirTopic, DescribeLogDirsRequest, DescribeLogDirsResponse,
};
use ringlog_wire::api::describe_producers::{
    self, DescribeProducersRequest, DescribeProducersResponse, TopicRequest,
};
use ringlog_wire::api::fetch::{self, FetchRequest, FetchResponse};
use ringlog_wire::api::list_offsets::{EARLIEST, LATEST};
use ringlog_wire::api::offset_for_leader_epoch::{
    self, EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use ringlog_wire::api::{self};

/// One shard, and two in both ways of telling clients of them; the topic's partitions are on all.
fn brokers() -> Vec<Broker> {
    let two = |advertise| Broker::start_with(Options::two_shards(advertise));
    vec![Broker::start(), two(Advertise::Node)]
}

fn delete_as(
    client: &mut Client,
    version: i16,
    topic: &str,
    asks: &[(i32, i64)],
) -> Vec<(i32, i64, ErrorCode)> {
    let partition = |&(partition_index, offset): &(i32, i64)| DeleteRecordsPartition {
        partition_index,
        offset,
    };
    let request = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: topic.into(),
            partitions: asks.iter().map(partition).collect(),
        }],
        timeout_ms: 1000,
    };
    let response: DeleteRecordsResponse = client.call(&delete_records::API, version, &request);
    assert_eq!(response.topics.len(), 1);
    assert_eq!(response.topics[0].name, topic);
    let told = response.topics[0].partitions.iter();
    told.map(|p| (p.partition_index, p.low_watermark, p.error_code)).collect()
}

fn delete(client: &mut Client, topic: &Topic, index: i32, before: i64) -> (i64, ErrorCode) {
    let told = delete_as(client, 2, &topic.name, &[(index, before)]);
    (told[0].1, told[0].2)
}

fn create_with(client: &mut Client, name: &str, configs: &[(&str, &str)]) -> Topic {
    let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
        name: name.to_string(),
        value: Some(value.to_string()),
    };
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: 1,
        replication_factor: -1,
        configs: configs.iter().map(config).collect(),
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
    let response: CreateTopicsResponse = client.call(&api::create_topics::API, 7, &request);
    assert_eq!(response.topics[0].error_code, ErrorCode::None, "{response:?}");
    Topic { name: name.into(), id: response.topics[0].topic_id }
}

#[test]
fn rule_64_delete_records() {
    for broker in brokers() {
        let mut client = broker.client();
        let topic = client.create("t", 3);
        for index in 0..3 {
            client.append(&topic, index, batch(&[b"a", b"b", b"c"]));
            client.append(&topic, index, batch(&[b"d"]));
        }
        let none = ErrorCode::None;
        let out = ErrorCode::OffsetOutOfRange;
        // In order, with partial errors; 9 does not exist.
        let asks = [(2, 2), (9, 1), (0, 5), (1, HIGH_WATERMARK), (0, 0), (2, -2)];
        let told = [
            (2, 2, none),
            (9, -1, ErrorCode::UnknownTopicOrPartition),
            (0, -1, out),
            (1, 4, none),
            (0, 0, none),
            (2, -1, out),
        ];
        for version in 0..=2 {
            assert_eq!(delete_as(&mut client, version, "t", &asks), told, "v{version}");
        }
        assert_eq!(
            delete_as(&mut client, 2, "nobody", &[(0, 0)]),
            [(0, -1, ErrorCode::UnknownTopicOrPartition)]
        );
        // The start never goes back, and is what everybody sees.
        assert_eq!(delete(&mut client, &topic, 2, 1), (2, none));
        assert_eq!(client.offset_as(4, &topic, 2, EARLIEST).offset, 2);
        assert_eq!(client.offset_as(4, &topic, 1, EARLIEST).offset, 4);
        assert_eq!(client.offset_as(4, &topic, 1, LATEST).offset, 4);
        let data = client.fetch(&topic, 2, 1);
        assert_eq!((data.error_code, data.log_start_offset), (out, -1));
        let data = client.fetch(&topic, 2, 2);
        assert_eq!((data.error_code, data.log_start_offset), (none, 2));
        // The batch that holds the start is whole; a consumer passes over what is before.
        let offsets: Vec<_> =
            records::read(&data.records.unwrap()).iter().map(|r| r.offset).collect();
        assert_eq!(offsets, [0, 1, 2, 3]);
        assert_eq!(client.append(&topic, 1, batch(&[b"e"])), 4, "offsets go on");
    }
}

#[test]
fn rule_64_policies() {
    let broker = Broker::start();
    let mut client = broker.client();
    let policies = [
        ("compact", ErrorCode::PolicyViolation),
        ("compact,delete", ErrorCode::None),
        ("delete", ErrorCode::None),
    ];
    for (at, (policy, code)) in policies.into_iter().enumerate() {
        let topic = create_with(&mut client, &format!("p{at}"), &[("cleanup.policy", policy)]);
        assert_eq!(delete(&mut client, &topic, 0, HIGH_WATERMARK).1, code, "{policy}");
    }
}

/// The bases of a partition's segments, by the files that are there.
fn bases(root: &Path, dir: &str) -> Vec<i64> {
    let mut found: Vec<i64> = std::fs::read_dir(root.join(dir))
        .expect("the partition's directory")
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            name.strip_suffix(".log")?.parse().ok()
        })
        .collect();
    found.sort();
    found
}

#[test]
fn rule_64_segments_below_the_start_leave_the_disk_and_it_survives_a_restart() {
    let broker = Broker::start();
    let mut client = broker.client();
    let topic = create_with(&mut client, "t", &[("segment.bytes", "1048576")]);
    for _ in 0..50 {
        client.append(&topic, 0, batch_of_size(100_000));
    }
    let before = bases(broker.dir().path(), "t-0");
    assert!(before.len() >= 4, "{before:?}");
    // A reader of what is going away has it open, or gets an error that says what to do.
    assert_eq!(client.fetch(&topic, 0, 3).error_code, ErrorCode::None);
    let start = before[2] + 3;
    assert_eq!(delete(&mut client, &topic, 0, start), (start, ErrorCode::None));
    assert_eq!(client.fetch(&topic, 0, 3).error_code, ErrorCode::OffsetOutOfRange);
    eventually("the removal of two segments", || {
        let files = broker.dir().files();
        let gone = before[..2].iter().map(|base| format!("t-0/{base:020}"));
        let left = gone.filter(|gone| files.iter().any(|(name, _)| name.starts_with(gone)));
        (left.count() == 0).then_some(())
    });
    assert_eq!(bases(broker.dir().path(), "t-0"), before[2..]);
    for offset in [start, 49] {
        let data = client.fetch(&topic, 0, offset);
        assert_eq!(data.error_code, ErrorCode::None);
        let read = records::read(&data.records.unwrap());
        assert_eq!(read[0].offset, offset);
    }
    // A time whose record is gone is answered by the first that is left.
    assert_eq!(client.offset_as(4, &topic, 0, 1000).offset, start);
    let broker = broker.restart();
    let checkpoint = broker.dir().path().join("log-start-offset-checkpoint");
    let text = std::fs::read_to_string(checkpoint).expect("a checkpoint");
    assert_eq!(text, format!("0\n1\nt 0 {start}\n"));
    let mut client = broker.client();
    assert_eq!(client.offset_as(4, &topic, 0, EARLIEST).offset, start);
    assert_eq!(client.fetch(&topic, 0, start - 1).error_code, ErrorCode::OffsetOutOfRange);
    assert_eq!(client.append(&topic, 0, batch(&[b"on"])), 50);
    // Everything up to the end: the active segment stays, and with it the offset.
    assert_eq!(delete(&mut client, &topic, 0, HIGH_WATERMARK), (51, ErrorCode::None));
    let broker = broker.restart();
    let mut client = broker.client();
    assert_eq!(client.offset_as(4, &topic, 0, EARLIEST).offset, 51);
    assert_eq!(client.append(&topic, 0, batch(&[b"on"])), 51);
}

/// Rule 45: a wait ends when its offset is gone.
/// The files of a broker that runs, as a crash would leave them.
fn crashed(broker: &Broker) -> Dir {
    let copy = Dir::fresh();
    let root = broker.dir().path();
    let done = Command::new("cp").args(["-a", "-T"]).arg(root).arg(copy.path()).status();
    assert!(done.expect("cp runs").success());
    copy
}

#[test]
fn where_a_deleted_topic_began_is_nothing_to_the_next_of_its_name() {
    for broker in brokers() {
        let mut client = broker.client();
        let topic = client.create("t", 4);
        let checkpoint = broker.dir().path().join("log-start-offset-checkpoint");
        let says = |line: &str| {
            let text = std::fs::read_to_string(&checkpoint).unwrap_or_default();
            text.lines().any(|it| it == line)
        };
        for index in 0..4 {
            client.append(&topic, index, batch(&[b"a".as_slice(); 10]));
            assert_eq!(delete(&mut client, &topic, index, 8), (8, ErrorCode::None));
        }
        eventually("the starts are written", || {
            (0..4).all(|index| says(&format!("t {index} 8"))).then_some(())
        });
        client.delete("t");
        assert!(!(0..4).any(|index| says(&format!("t {index} 8"))), "gone with the topic");
        let topic = client.create("t", 4);
        (0..4).for_each(|index| {
            assert_eq!(client.append(&topic, index, batch(&[b"b".as_slice(); 3])), 0)
        });
        let dir = crashed(&broker);
        drop(broker);
        let broker = Broker::start_on(dir, Options::default());
        let mut client = broker.client();
        for index in 0..4 {
            let ends = [-2, -1].map(|at| client.offset_as(4, &topic, index, at).offset);
            assert_eq!(ends, [0, 3], "what was acknowledged is there");
        }
    }
}

#[test]
fn rule_45_a_deletion_ends_the_wait_of_those_below() {
    for broker in brokers() {
        let (mut reader, mut admin) = (broker.client(), broker.client());
        let topic = admin.create("t", 2);
        for index in 0..2 {
            admin.append(&topic, index, batch(&[b"a"]));
            let request = fetch_request(&topic, &[(index, 0)]);
            let request = FetchRequest { min_bytes: 1 << 20, max_wait_ms: 8000, ..request };
            let begun = now_ms();
            let id = reader.send(&fetch::API, 12, &request);
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert_eq!(delete(&mut admin, &topic, index, 1), (1, ErrorCode::None));
            let response: FetchResponse = reader.receive(&fetch::API, 12, id);
            let code = response.responses[0].partitions[0].error_code;
            assert_eq!(code, ErrorCode::OffsetOutOfRange);
            assert!(now_ms() - begun < 4000);
        }
    }
}

fn epoch_end(
    client: &mut Client,
    version: i16,
    topic: &str,
    (index, current, epoch): (i32, i32, i32),
) -> EpochEndOffset {
    let partition = OffsetForLeaderPartition {
        partition: index,
        current_leader_epoch: current,
        leader_epoch: epoch,
    };
    let request = OffsetForLeaderEpochRequest {
        replica_id: -2,
        topics: vec![OffsetForLeaderTopic { topic: topic.into(), partitions: vec![partition] }],
    };
    let mut response: OffsetForLeaderEpochResponse =
        client.call(&offset_for_leader_epoch::API, version, &request);
    response.topics.remove(0).partitions.remove(0)
}

#[test]
fn rules_51_and_52_offset_for_leader_epoch() {
    for broker in brokers() {
        let mut client = broker.client();
        let topic = client.create("t", 2);
        for index in 0..2 {
            let none = ErrorCode::None;
            let cases = |end| {
                [
                    // (current epoch, epoch, (error, epoch, end))
                    (-1, 0, (none, 0, end)),
                    (0, 0, (none, 0, end)),
                    (-1, 1, (none, -1, -1)),
                    (-1, -1, (none, -1, -1)),
                    (-1, i32::MAX, (none, -1, -1)),
                    (1, 0, (ErrorCode::UnknownLeaderEpoch, -1, -1)),
                ]
            };
            for end in [0, 3] {
                for (current, epoch, told) in cases(end) {
                    for version in 2..=4 {
                        let found = epoch_end(&mut client, version, "t", (index, current, epoch));
                        assert_eq!(found.partition, index);
                        let found = (found.error_code, found.leader_epoch, found.end_offset);
                        assert_eq!(found, told, "v{version} {current} {epoch}");
                    }
                }
                client.append(&topic, index, batch(&[b"a", b"b", b"c"]));
            }
        }
        for (name, index) in [("t", 2), ("t", -1), ("nobody", 0)] {
            let code = epoch_end(&mut client, 4, name, (index, -1, 0)).error_code;
            assert_eq!(code, ErrorCode::UnknownTopicOrPartition, "{name} {index}");
        }
    }
}

#[test]
fn describe_producers_tells_who_writes() {
    for broker in brokers() {
        let mut client = broker.client();
        let topic = client.create("t", 2);
        for index in 0..2 {
            client.append(&topic, index, batch(&[b"of nobody"]));
            client.append(&topic, index, idempotent(7, 0, 0, 3));
            client.append(&topic, index, idempotent(7, 0, 3, 2));
            client.append(&topic, index, idempotent(5, 2, 0, 1));
        }
        let ask = |name: &str, partition_indexes: &[i32]| TopicRequest {
            name: name.into(),
            partition_indexes: partition_indexes.to_vec(),
        };
        let topics = vec![ask("t", &[1, 0, 9]), ask("nobody", &[0]), ask("a b", &[0])];
        let request = DescribeProducersRequest { topics };
        let response: DescribeProducersResponse =
            client.call(&describe_producers::API, 0, &request);
        let codes: Vec<_> = response
            .topics
            .iter()
            .map(|topic| topic.partitions.iter().map(|p| p.error_code).collect::<Vec<_>>())
            .collect();
        let unknown = ErrorCode::UnknownTopicOrPartition;
        let none = ErrorCode::None;
        assert_eq!(codes[0], [none, none, unknown]);
        assert_eq!(codes[1..], [vec![unknown], vec![ErrorCode::InvalidTopicException]]);
        for partition in &response.topics[0].partitions[..2] {
            let told: Vec<_> = partition
                .active_producers
                .iter()
                .map(|p| (p.producer_id, p.producer_epoch, p.last_sequence, p.coordinator_epoch))
                .collect();
            assert_eq!(told, [(5, 2, 0, -1), (7, 0, 4, -1)]);
            let open = |p: &describe_producers::ProducerState| p.current_txn_start_offset != -1;
            assert!(!partition.active_producers.iter().any(open));
        }
    }
}

fn log_dirs(
    client: &mut Client,
    version: i16,
    topics: Option<&[(&str, &[i32])]>,
) -> DescribeLogDirsResponse {
    let topic = |(name, partitions): &(&str, &[i32])| DescribableLogDirTopic {
        topic: name.to_string(),
        partitions: partitions.to_vec(),
    };
    let topics = topics.map(|topics| topics.iter().map(topic).collect());
    client.call(&describe_log_dirs::API, version, &DescribeLogDirsRequest { topics })
}

#[test]
fn log_dirs_say_what_is_where() {
    for broker in brokers() {
        let mut client = broker.client();
        let topic = client.create("t", 3);
        client.create("u", 1);
        let records = batch_of_size(1000);
        client.append(&topic, 1, records.clone());
        let size = records.len() as i64;
        let all: &[(&str, &[(i32, i64)])] =
            &[("t", &[(0, 0), (1, size), (2, 0)]), ("u", &[(0, 0)])];
        let some: &[(&str, &[(i32, i64)])] = &[("t", &[(1, size)])];
        for version in 1..=5 {
            let asked: &[(&str, &[i32])] = &[("t", &[1, 9]), ("nobody", &[0])];
            let cases = [(None, all), (Some(asked), some), (Some(&[][..]), &[][..])];
            for (ask, told) in cases {
                let response = log_dirs(&mut client, version, ask);
                assert_eq!(response.error_code, ErrorCode::None);
                assert_eq!(response.results.len(), 1);
                let result = &response.results[0];
                assert_eq!(Path::new(&result.log_dir), broker.dir().path());
                let found: Vec<(&str, Vec<(i32, i64)>)> = result
                    .topics
                    .iter()
                    .map(|topic| {
                        let sizes = topic.partitions.iter();
                        let sizes = sizes.map(|p| (p.partition_index, p.partition_size));
                        (&*topic.name, sizes.collect())
                    })
                    .collect();
                let told: Vec<_> = told.iter().map(|(name, p)| (*name, p.to_vec())).collect();
                assert_eq!(found, told, "v{version}");
                match version {
                    4.. => assert!(
                        0 < result.usable_bytes && result.usable_bytes <= result.total_bytes
                    ),
                    _ => assert_eq!((result.total_bytes, result.usable_bytes), (-1, -1)),
                }
            }
        }
    }
}

/// With a port for each shard, each tells of its own.
#[test]
fn with_a_port_for_each_shard_partitions_of_another_are_not_led_here() {
    let broker = Broker::start_with(Options::two_shards(Advertise::Shard));
    let topic = broker.client().create("t", 8);
    let mut owners = vec![Vec::new(); 8];
    for shard in 0..2 {
        let mut client = Client::connect(broker.address(shard));
        let asks: Vec<_> = (0..8).map(|index| (index, 0)).collect();
        for (index, _, code) in delete_as(&mut client, 2, "t", &asks) {
            match code {
                ErrorCode::None => owners[index as usize].push(shard),
                code => assert_eq!(code, ErrorCode::NotLeaderOrFollower),
            }
        }
        let response = log_dirs(&mut client, 5, None);
        let own = &response.results[0].topics[0].partitions;
        assert!(own.iter().all(|p| owners[p.partition_index as usize].last() == Some(&shard)));
    }
    assert!(owners.iter().all(|of| of.len() == 1), "{owners:?}");
    let request = offsets_request(&topic, &[(0, EARLIEST)]);
    assert_eq!(request.topics.len(), 1);
}
