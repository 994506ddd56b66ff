//! A full disk: the partition says so, others are served, what was acknowledged stays, and writing
//! goes on once there is room. A disk that fails after the page cache has taken what it shall
//! write: the partition stops, and what is served later is what the disk has.
//!
//! Needs root and a loop device for small file systems of its own; without them the tests say so
//! and pass.
#![allow(clippy::disallowed_methods, reason = "a test stands outside: it has a clock and files")]

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::client::{Client, Topic, fetch_request};
use common::records::{self, batch};
use common::{Broker, Dir, Options};
use ringlog_wire::ErrorCode;
use ringlog_wire::api::create_topics::{
    self, CreatableTopic, CreateTopicsRequest, CreateTopicsResponse,
};

/// Within this after there is room again, writes are taken.
const RESUMED_WITHIN: Duration = Duration::from_secs(5);
/// The disk stays full for this long.
const FULL_FOR: Duration = Duration::from_secs(3);
/// Records of the first topic are this large, so that few requests fill the disk.
const VALUE_BYTES: usize = 200_000;

/// A small file system, unmounted at the end.
struct Mount {
    image: PathBuf,
    at: PathBuf,
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output =
        Command::new(program).args(args).output().map_err(|e| format!("{program}: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

impl Mount {
    /// A file system of that many MiB, made with `more` options, in a sparse file in `folder`, or
    /// why there is none.
    fn make(name: &str, folder: &Path, mebibytes: usize, more: &[&str]) -> Result<Mount, String> {
        let name = format!("ringlog-{name}-{}", std::process::id());
        let at = std::env::temp_dir().join(&name);
        let image = folder.join(format!("{name}.img"));
        std::fs::create_dir_all(&at).map_err(|error| error.to_string())?;
        let mount = Mount { image, at };
        let (image, at) = (mount.image.display().to_string(), mount.at.display().to_string());
        run("truncate", &["-s", &format!("{mebibytes}M"), &image])?;
        run("mkfs.ext4", &[&["-q", "-F", "-m", "0"], more, &[&image]].concat())?;
        run("mount", &["-o", "loop", &image, &at])?;
        Ok(mount)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = run("umount", &[&self.at.display().to_string()]);
        let _ = std::fs::remove_dir(&self.at);
        let _ = std::fs::remove_file(&self.image);
    }
}

/// Fills the disk but for `left` bytes.
fn fill(path: &Path, left: u64) {
    let target = path.display().to_string();
    let mut bytes = 256 << 20;
    // fallocate says no without taking what there is: come down to what fits.
    while run("fallocate", &["-l", &bytes.to_string(), &target]).is_err() {
        let _ = std::fs::remove_file(path);
        bytes -= 1 << 20;
    }
    std::fs::remove_file(path).expect("it was made");
    run("fallocate", &["-l", &(bytes - left).to_string(), &target]).expect("it fitted before");
}

/// Takes the last free block.
fn fill_up(path: &Path) {
    let mut file = std::fs::File::create(path).expect("an inode");
    for bytes in [1 << 20, 4096] {
        while file.write_all(&vec![0; bytes]).is_ok() {}
    }
}

fn value(n: i64) -> Vec<u8> {
    let mut value = vec![b'x'; VALUE_BYTES];
    value[..8].copy_from_slice(&n.to_be_bytes());
    value
}

/// Produces from `first` on until the disk is full; the first offset that was not acknowledged.
fn produce_until_full(client: &mut Client, topic: &Topic, first: i64) -> i64 {
    for n in first..1000 {
        let answer = client.produce(topic, 0, batch(&[&value(n)]));
        if !answer.error_code.is_none() {
            assert_eq!(answer.error_code, ErrorCode::KafkaStorageError, "{answer:?}");
            return n;
        }
        assert_eq!(answer.base_offset, n);
    }
    panic!("the disk is never full");
}

/// All that was acknowledged is there, in its order.
fn check_all(client: &mut Client, topic: &Topic, acknowledged: i64) {
    let mut next = 0;
    while next < acknowledged {
        let data = client.fetch_as(12, &fetch_request(topic, &[(0, next)]));
        assert_eq!(data.error_code, ErrorCode::None, "offset {next} of {acknowledged}");
        let read = records::read(&data.records.unwrap());
        assert!(!read.is_empty(), "offset {next} of {acknowledged} is lost");
        for record in read {
            assert_eq!(record.offset, next);
            // Behind that is what was tried later.
            let is_acknowledged = next < acknowledged;
            assert!(!is_acknowledged || record.value[..8] == next.to_be_bytes(), "at {next}");
            next += 1;
        }
    }
}

/// The first offset of what is taken, within [`RESUMED_WITHIN`].
fn resumed(client: &mut Client, topic: &Topic, begun: Instant) -> i64 {
    loop {
        let answer = client.produce(topic, 0, batch(&[&value(-1)]));
        if answer.error_code.is_none() {
            return answer.base_offset;
        }
        assert!(begun.elapsed() < RESUMED_WITHIN, "{}: {answer:?}", topic.name);
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Creates a topic, if the disk lets it.
fn create(client: &mut Client, name: &str) -> Option<Topic> {
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: 1,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
    let response: CreateTopicsResponse = client.call(&create_topics::API, 7, &request);
    let told = &response.topics[0];
    println!("creating {name}: {:?}", told.error_code);
    told.error_code.is_none().then(|| Topic { name: name.into(), id: told.topic_id })
}

#[test]
fn a_full_disk_stops_a_partition_and_nothing_else() {
    let mount = match Mount::make("disk", &std::env::temp_dir(), 192, &[]) {
        Ok(mount) => mount,
        Err(why) => return println!("skipped: no file system of our own: {why}"),
    };
    let filler = mount.at.join("filler");
    let options = Options { set: vec!["log.segment.bytes=4194304"], ..Options::default() };
    let broker = Broker::start_on(Dir::at(mount.at.join("data")), options);
    let mut client = broker.client();
    let (other, topic) = (client.create("other", 1), client.create("full", 1));
    client.append(&other, 0, batch(&[b"kept"]));
    client.append(&topic, 0, batch(&[&value(0)]));
    fill(&filler, 12 << 20);
    let acknowledged = produce_until_full(&mut client, &topic, 1);
    fill_up(&mount.at.join("last"));
    // It stays full for a while: the broker tries again and again. What is there can be read, here
    // and elsewhere.
    let begun = Instant::now();
    while begun.elapsed() < FULL_FOR {
        let answer = client.produce(&topic, 0, batch(&[&value(-1)]));
        assert!(!answer.error_code.is_none(), "there is no room for {answer:?}");
        let data = client.fetch(&other, 0, 0);
        assert_eq!(records::values(&data.records.unwrap()), [b"kept"]);
        std::thread::sleep(Duration::from_millis(100));
    }
    let late = create(&mut client, "late");
    // There is room again: writing goes on by itself.
    std::fs::remove_file(&filler).expect("the filler");
    std::fs::remove_file(mount.at.join("last")).expect("the rest");
    let begun = Instant::now();
    let next = resumed(&mut client, &topic, begun);
    println!("{acknowledged} acknowledged, writing again after {:?}", begun.elapsed());
    assert!(next >= acknowledged, "nothing acknowledged is overwritten: {next}");
    check_all(&mut client, &topic, acknowledged);
    client.append(&other, 0, batch(&[b"and more"]));
    // A topic that was made, or refused, while there was no room can be used now.
    let late = late.unwrap_or_else(|| create(&mut client, "late").expect("there is room"));
    resumed(&mut client, &late, begun);
    let broker = broker.restart();
    check_all(&mut broker.client(), &topic, acknowledged);
    // The directory goes before the file system does.
    drop(broker);
    drop(mount);
}

/// Records of a broker that has little to do, so that they go through the page cache.
const SMALL_BYTES: usize = 4000;
/// What is acknowledged at most after the disk has begun to fail.
const UNNOTICED_BYTES: usize = 8 << 20;

fn small(n: i64) -> Vec<u8> {
    let mut value: Vec<u8> = (0..SMALL_BYTES).map(|at| (at as i64 * 13 + n) as u8).collect();
    value[..8].copy_from_slice(&n.to_be_bytes());
    value
}

/// Appends until the log stops, or `count_max` are there; how many are.
fn append_until_it_stops(client: &mut Client, topic: &Topic, count_max: i64) -> i64 {
    for n in 0..count_max {
        let answer = client.produce(topic, 0, batch(&[&small(n)]));
        if !answer.error_code.is_none() {
            assert_eq!(answer.error_code, ErrorCode::KafkaStorageError, "{answer:?}");
            return n;
        }
        assert_eq!(answer.base_offset, n);
    }
    count_max
}

/// All that is served is as it was sent; how much that is.
fn check_prefix(client: &mut Client, topic: &Topic) -> i64 {
    let mut next = 0;
    loop {
        let data = client.fetch_as(12, &fetch_request(topic, &[(0, next)]));
        assert_eq!(data.error_code, ErrorCode::None, "offset {next}");
        let read = records::read(&data.records.unwrap_or_default());
        if read.is_empty() {
            assert_eq!(next, data.high_watermark, "everything below the high watermark is there");
            return next;
        }
        for record in read {
            assert_eq!(record.offset, next);
            assert!(record.value == small(next), "record {next} is not as it was sent");
            next += 1;
        }
    }
}

#[test]
fn a_disk_that_fails_late_stops_the_partition_and_nobody_believes_the_page_cache() {
    // It promises 400 MiB, and has 64: the rest is an error once the page cache is written back.
    // What the file system writes for itself has its place already.
    let bare = ["-O", "^has_journal", "-E", "lazy_itable_init=0"];
    let thin = Mount::make("outer", &std::env::temp_dir(), 64, &bare)
        .and_then(|outer| Ok((Mount::make("inner", &outer.at, 400, &bare)?, outer)));
    let (inner, outer) = match thin {
        Ok(mounts) => mounts,
        Err(why) => return println!("skipped: no file system of our own: {why}"),
    };
    let filler = outer.at.join("filler");
    fill(&filler, 16 << 20);
    let broker = Broker::start_on(Dir::at(inner.at.join("data")), Options::default());
    let mut client = broker.client();
    let topic = client.create("late", 1);
    let acknowledged = append_until_it_stops(&mut client, &topic, 16_000);
    println!("{acknowledged} acknowledged");
    let bytes = acknowledged as usize * SMALL_BYTES;
    assert!(bytes < (16 << 20) + UNNOTICED_BYTES, "noticed late: after {bytes} bytes");
    let stopped = client.produce(&topic, 0, batch(&[&small(-1)]));
    assert_eq!(stopped.error_code, ErrorCode::KafkaStorageError, "it stays stopped: {stopped:?}");
    std::fs::remove_file(&filler).expect("the filler");
    let mut broker = broker.restart();
    let mut end = check_prefix(&mut broker.client(), &topic);
    println!("{end} on the disk");
    assert!(end <= acknowledged);
    for _ in 0..2 {
        let mut client = broker.client();
        for n in end..end + 100 {
            assert_eq!(client.append(&topic, 0, batch(&[&small(n)])), n);
        }
        broker = broker.restart();
        assert_eq!(check_prefix(&mut broker.client(), &topic), end + 100);
        end += 100;
    }
    // The directory goes before the file systems do.
    drop(broker);
    drop(inner);
    drop(outer);
}
