//! The data directory: whose it is, what a stop leaves in it, and what a start finds there.
#![allow(clippy::disallowed_methods, reason = "a test looks at files from outside")]

mod common;

use std::collections::BTreeMap;
use std::process::Command;

use common::client::fetch_request;
use common::records::{self, batch, idempotent};
use common::{Broker, Dir, Options};
use ringlog_broker::config::Advertise;
use ringlog_wire::api::metadata::{self, MetadataRequest, MetadataResponse};
use ringlog_wire::batch::{Batch, Compression};
use ringlog_wire::{ErrorCode, Uuid};

/// Every file's content, by path.
fn contents(dir: &Dir) -> BTreeMap<String, Vec<u8>> {
    let read = |name: &String| std::fs::read(dir.path().join(name)).expect("a file");
    dir.files().iter().map(|(name, _)| (name.clone(), read(name))).collect()
}

#[test]
fn a_second_broker_is_refused() {
    let broker = Broker::start();
    let path = broker.dir().path().display().to_string();
    // A process of its own: Kafka's kind of lock is held by a process.
    let second = Command::new(env!("CARGO_BIN_EXE_ringlog"))
        .args(["--data-dir", &path, "--listen", "127.0.0.1:0", "--shards", "1"])
        .args(["--memory", "64M", "--advertise", "node"])
        .output()
        .expect("it runs, and ends by itself");
    assert!(!second.status.success());
    let why = String::from_utf8(second.stderr).unwrap();
    assert!(why.contains("another broker") && why.contains(&path), "{why}");
    // The first is not disturbed.
    let mut client = broker.client();
    let topic = client.create("t", 1);
    assert_eq!(client.append(&topic, 0, batch(&[b"v"])), 0);
}

/// Names and contents.
type Files<'a> = &'a [(&'a str, &'a str)];

#[test]
fn directories_of_others_are_refused_untouched() {
    let kafka = "version=1\ncluster.id=4L6g3nShT-eMCtK--X86sw\nnode.id=1\n";
    // (files, words of the refusal)
    let cases: [(Files, &[&str]); 5] = [
        (&[("holiday.txt", "photos")], &["holiday.txt", "Nothing was touched"]),
        (&[("t-0/00000000000000000000.log", "")], &["t-0", "Nothing was touched"]),
        (&[("meta.properties", kafka)], &["Apache Kafka", "Nothing was touched"]),
        (
            &[("meta.properties", kafka), ("t-0/00000000000000000000.log", ""), (".lock", "")],
            &["Apache Kafka", "--data-dir"],
        ),
        (&[("ringlog.properties", "format.version=99\nstate=ready\n")], &["99", "version"]),
    ];
    for (files, words) in cases {
        let dir = Dir::fresh();
        for (name, content) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let before = contents(&dir);
        let why = Broker::refusal(dir.path());
        for word in words {
            assert!(why.contains(word), "{files:?}: expected {word:?} in {why:?}");
        }
        assert_eq!(contents(&dir), before, "{files:?}");
    }
}

#[test]
fn what_is_no_directory_is_refused() {
    let dir = Dir::fresh();
    std::fs::write(dir.path(), "a file").unwrap();
    let why = Broker::refusal(dir.path());
    assert!(why.contains("--data-dir"), "{why}");
    std::fs::remove_file(dir.path()).unwrap();
}

#[test]
fn another_nodes_directory_is_refused() {
    let dir = Broker::start().stop();
    let path = dir.path().join("meta.properties");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("node.id=1", "node.id=8")).unwrap();
    let why = Broker::refusal(dir.path());
    assert!(why.contains("node.id 8"), "{why}");
}

/// What stays as it is over a restart.
fn shape(response: &MetadataResponse) -> Vec<(Option<&str>, Uuid, usize)> {
    let topics = response.topics.iter();
    topics.map(|t| (t.name.as_deref(), t.topic_id, t.partitions.len())).collect()
}

#[test]
fn a_restart_finds_everything() {
    for shards in [1, 2] {
        let options = Options { shards, advertise: Advertise::Node, ..Options::default() };
        let broker = Broker::start_with(options);
        let mut client = broker.client();
        let topic = client.create("kept", 4);
        let empty = client.create("empty", 2);
        for index in 0..4 {
            for n in 0..3 {
                let value = format!("{index} {n}").into_bytes();
                client.append(&topic, index, batch(&[&value, b"more"]));
            }
            client.append(&topic, index, idempotent(4711, 3, 0, 2));
        }
        let all = MetadataRequest { topics: None, ..MetadataRequest::default() };
        let before: MetadataResponse = client.call(&metadata::API, 12, &all);
        let broker = broker.restart();
        let mut client = broker.client();
        let after: MetadataResponse = client.call(&metadata::API, 12, &all);
        assert_eq!(after.cluster_id, before.cluster_id);
        assert_eq!(shape(&after), shape(&before), "names, ids, partitions");
        for partition in after.topics.iter().flat_map(|topic| &topic.partitions) {
            assert_eq!((partition.leader_id, &partition.isr_nodes), (1, &vec![1]));
            assert_eq!(partition.leader_epoch, 2, "Kafka's stop and start are an epoch each");
        }
        for index in 0..4 {
            assert_eq!(client.offset_as(4, &topic, index, -1).offset, 8);
            let data = client.fetch_as(13, &fetch_request(&topic, &[(index, 0)]));
            let read = records::read(&data.records.unwrap());
            assert!(read.iter().map(|record| record.offset).eq(0..8));
            assert_eq!(read[4].value, format!("{index} 2").into_bytes());
            // The producer's state: a duplicate, the next, a gap, an old epoch.
            for (epoch, sequence, code, offset) in
                [(3, 0, 0, 6), (3, 2, 0, 8), (3, 9, 45, -1), (2, 0, 47, -1)]
            {
                let records = idempotent(4711, epoch, sequence, 2);
                let answer = client.produce(&topic, index, records);
                assert_eq!((answer.error_code.code(), answer.base_offset), (code, offset));
            }
        }
        assert_eq!(client.append(&empty, 1, batch(&[b"first"])), 0);
    }
}

#[test]
fn shards_may_come_and_go_between_starts() {
    let mut dir = Dir::fresh();
    for (written, shards) in (0..).zip([1, 2, 3, 1]) {
        let options =
            Options { shards, advertise: Advertise::Node, memory: "96M", ..Options::default() };
        let broker = Broker::start_on(dir, options);
        let mut client = broker.client();
        let topic = match written {
            0 => client.create("t", 5),
            _ => common::client::Topic { name: "t".into(), id: Uuid::ZERO },
        };
        for index in 0..5 {
            assert_eq!(client.append(&topic, index, batch(&[b"v"])), written);
            assert_eq!(client.fetch(&topic, index, 0).high_watermark, written + 1);
        }
        dir = broker.stop();
    }
}

#[test]
fn a_name_may_be_used_again() {
    let mut broker = Broker::start();
    let mut ids = Vec::new();
    for round in 0..6 {
        let mut client = broker.client();
        let topic = client.create("again", 2);
        assert!(!ids.contains(&topic.id), "rule 61: each has an id of its own");
        ids.push(topic.id);
        // Nothing of the last one is left.
        let data = client.fetch(&topic, 0, 0);
        assert_eq!((data.error_code, data.high_watermark), (ErrorCode::None, 0));
        for sequence in 0..3 {
            let records = idempotent(1, 0, sequence, 1);
            assert_eq!(client.append(&topic, 0, records), i64::from(sequence));
        }
        // Deleted at once, after a restart, or before one.
        if round % 3 == 1 {
            broker = broker.restart();
        }
        broker.client().delete("again");
        if round % 3 == 2 {
            broker = broker.restart();
        }
    }
    let dir = broker.stop();
    let left: Vec<_> =
        dir.files().into_iter().filter(|(name, _)| name.starts_with("again")).collect();
    assert_eq!(left, [], "deleted partitions leave nothing");
}

#[test]
fn a_clean_stop_leaves_what_kafka_understands() {
    let options = Options { set: vec!["log.segment.bytes=1048576"], ..Options::default() };
    let broker = Broker::start_with(options);
    let mut client = broker.client();
    let topic = client.create("t", 1);
    client.create("empty", 1);
    for _ in 0..3 {
        client.append(&topic, 0, records::batch_of_size(600_000));
    }
    client.append(&topic, 0, idempotent(9, 0, 0, 1));
    let running = broker.dir().files();
    assert!(!running.iter().any(|(name, _)| name == ".kafka_cleanshutdown"), "not while it runs");
    let dir = broker.stop();
    let root = [
        ".kafka_cleanshutdown",
        ".lock",
        "bootstrap.checkpoint",
        "log-start-offset-checkpoint",
        "meta.properties",
        "recovery-point-offset-checkpoint",
        "replication-offset-checkpoint",
        "ringlog.properties",
    ];
    let partition = ["leader-epoch-checkpoint", "partition.metadata"];
    let endings = [".log", ".index", ".timeindex", ".snapshot", ".checkpoint"];
    for (name, size) in dir.files() {
        let known = match name.split_once('/') {
            None => root.contains(&name.as_str()),
            Some(("__cluster_metadata-0", "quorum-state")) => true,
            Some((_, file)) => {
                partition.contains(&file) || endings.iter().any(|end| file.ends_with(end))
            }
        };
        assert!(known, "{name} is no file of Kafka's");
        // Files have their true length: no space is taken ahead.
        assert!(size < 1_300_000, "{name} has {size} bytes");
    }
    let logs: u64 = dir
        .files()
        .iter()
        .filter(|(name, _)| name.starts_with("t-0/") && name.ends_with(".log"))
        .map(|(_, size)| size)
        .sum();
    let batches = 3 * records::batch_of_size(600_000).len() + idempotent(9, 0, 0, 1).len();
    assert_eq!(logs, batches as u64, "batches and nothing else");
    let recovery = std::fs::read_to_string(dir.path().join("recovery-point-offset-checkpoint"));
    assert_eq!(recovery.unwrap(), "0\n2\nempty 0 0\nt 0 4\n");
    let epochs = std::fs::read_to_string(dir.path().join("t-0/leader-epoch-checkpoint"));
    assert_eq!(epochs.unwrap(), "0\n1\n0 0\n");
}

#[test]
fn a_start_after_an_unclean_end_recovers() {
    let mut broker = Broker::start();
    let mut client = broker.client();
    let topic = client.create("t", 1);
    for n in 0..10 {
        assert_eq!(client.append(&topic, 0, idempotent(5, 0, n, 1)), i64::from(n));
    }
    let size = idempotent(5, 0, 0, 1).len();
    // As a crash leaves them: no marker, a torn tail or space behind the records, no snapshot.
    let tails: [(&[u8], i64); 4] =
        [(&[0; 5000], 10), (&[7; 100], 10), (&batch(&[b"torn"])[..70], 10), (&[], 10)];
    for (tail, end) in tails {
        let dir = broker.stop();
        std::fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
        let log = dir.path().join("t-0/00000000000000000000.log");
        let mut bytes = std::fs::read(&log).unwrap();
        assert_eq!(bytes.len(), size * end as usize);
        bytes.extend_from_slice(tail);
        std::fs::write(&log, bytes).unwrap();
        broker = Broker::start_on(dir, Options::default());
        let mut client = broker.client();
        assert_eq!(client.offset_as(4, &topic, 0, -1).offset, end);
        let again = client.produce(&topic, 0, idempotent(5, 0, 9, 1));
        assert_eq!((again.error_code, again.base_offset), (ErrorCode::None, 9), "a duplicate");
    }
}

/// `kill -9` while a file is replaced leaves the new one under its other name.
#[test]
fn half_written_files_of_a_crash_are_no_obstacle() {
    let broker = Broker::start();
    let mut client = broker.client();
    let topic = client.create("t", 1);
    client.append(&topic, 0, idempotent(5, 0, 0, 3));
    let dir = broker.stop();
    std::fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
    for partition in ["t-0", "__cluster_metadata-0"] {
        for name in ["00000000000000000000.index", "leader-epoch-checkpoint", "partition.metadata"]
        {
            std::fs::write(dir.path().join(partition).join(format!("{name}.tmp")), b"half")
                .unwrap();
        }
    }
    let broker = Broker::start_on(dir, Options::default());
    assert_eq!(broker.client().offset_as(4, &topic, 0, -1).offset, 3, "served at once");
    let left = broker.dir().files();
    assert!(!left.iter().any(|(name, _)| name.ends_with(".tmp")), "{left:?}");
}

#[test]
fn rule_58_gaps_in_a_log_that_was_compacted_are_normal() {
    let broker = Broker::start();
    let mut client = broker.client();
    let topic = client.create("t", 1);
    let sent = [(2, 1000), (3, 2000), (3, 3000)].map(|(count, time)| {
        let batch = records::batch_at(time, &vec![b"v".as_slice(); count]);
        client.append(&topic, 0, batch.clone());
        batch.len()
    });
    // As compaction leaves it: the second batch is gone, and the middle of the third.
    let dir = broker.stop();
    let log = dir.path().join("t-0/00000000000000000000.log");
    let bytes = std::fs::read(&log).unwrap();
    let (first, third) = (&bytes[..sent[0]], &bytes[sent[0] + sent[1]..]);
    let (parsed, _) = Batch::parse(third).unwrap();
    let record = parsed.body().len() / 3;
    let body = [&parsed.body()[..record], &parsed.body()[2 * record..]].concat();
    let third = records::rebodied(third, Compression::None, &body);
    let third = records::reheaded(&third, |header| header.records_count = 2);
    std::fs::write(&log, [first, &third].concat()).unwrap();
    for file in ["index", "timeindex"] {
        let _ = std::fs::remove_file(log.with_extension(file));
    }
    let recovery = dir.path().join("recovery-point-offset-checkpoint");
    assert_eq!(std::fs::read_to_string(&recovery).unwrap(), "0\n1\nt 0 8\n");
    let broker = Broker::start_on(dir, Options::default());
    let mut client = broker.client();
    assert_eq!(client.offset_as(4, &topic, 0, -1).offset, 8, "the end is where it was");
    for (from, expected) in
        [(0, &[0, 1, 5, 7][..]), (2, &[5, 7]), (4, &[5, 7]), (6, &[5, 7]), (8, &[])]
    {
        let data = client.fetch(&topic, 0, from);
        assert_eq!((data.error_code, data.high_watermark), (ErrorCode::None, 8), "from {from}");
        let read = records::read(&data.records.unwrap());
        assert!(read.iter().map(|record| &record.offset).eq(expected), "from {from}: {read:?}");
    }
    for (time, offset) in [(1001, 1), (1002, 5), (3001, 7), (3003, -1)] {
        assert_eq!(client.offset_as(7, &topic, 0, time).offset, offset, "at {time}");
    }
    assert_eq!(client.append(&topic, 0, batch(&[b"next"])), 8);
}
