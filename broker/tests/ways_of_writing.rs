//! `io = auto`: small writes go through the page cache and large ones past it, in one file, and
//! what is read back is what was written.
#![allow(clippy::disallowed_methods, reason = "a test stands outside: it has a clock and files")]

mod common;

use std::time::Duration;

use common::client::{Client, Topic, fetch_request};
use common::exposition::scrape_anew;
use common::records::{self, batch};
use common::{Broker, Options};
use ringlog_broker::config::Executor;

/// A record of the busy phases: a few of them make a shard fast.
const LARGE_BYTES: usize = 900_000;

/// Record `n`, recognisable from its first byte to its last.
fn value(n: i64, bytes: usize) -> Vec<u8> {
    let mut value: Vec<u8> = (0..bytes).map(|at| (at as i64 * 31 + n * 7) as u8).collect();
    value[..8].copy_from_slice(&n.to_be_bytes());
    value
}

/// How large record `n` is: runs of small ones, of all sizes around a block, between large ones.
fn size_of(n: i64) -> usize {
    match n % 40 {
        0..=9 => LARGE_BYTES,
        small => 10 + 397 * small as usize,
    }
}

fn append(client: &mut Client, topic: &Topic, range: std::ops::Range<i64>) {
    for n in range {
        if n % 40 == 10 {
            // The busy phase is over.
            std::thread::sleep(Duration::from_millis(120));
        }
        assert_eq!(client.append(topic, 0, batch(&[&value(n, size_of(n))])), n);
    }
}

fn check(client: &mut Client, topic: &Topic, end: i64) {
    let mut next = 0;
    while next < end {
        let data = client.fetch_as(12, &fetch_request(topic, &[(0, next)]));
        assert!(data.error_code.is_none(), "offset {next}: {:?}", data.error_code);
        let read = records::read(&data.records.unwrap());
        assert!(!read.is_empty(), "offset {next} of {end} is lost");
        for record in read {
            assert_eq!(record.offset, next);
            assert!(record.value == value(next, size_of(next)), "record {next} is not as it was");
            next += 1;
        }
    }
}

/// Bytes written past the page cache, and through it.
fn written(broker: &Broker) -> (f64, f64) {
    let page = scrape_anew(broker);
    let of = |op| page.sum("ringlog_disk_bytes_total", &[("op", op)]);
    (of("write"), of("write_cached"))
}

#[test]
fn small_and_large_writes_meet_in_one_file() {
    for executor in [Executor::Bare, Executor::Glommio] {
        // Segments of 8 MiB: rolled in all phases.
        let set = vec!["log.segment.bytes=8388608"];
        let options = Options { executor, set, http: "127.0.0.1:0", ..Options::default() };
        let mut broker = Broker::start_with(options);
        let mut client = broker.client();
        let topic = client.create("t", 1);
        append(&mut client, &topic, 0..130);
        let (direct, cached) = written(&broker);
        assert!(direct > 20e6, "the large ones go past the page cache: {direct}");
        assert!(cached > 100e3, "small ones go through it: {cached}");
        assert!(cached < 10e6, "and no large ones: {cached}");
        check(&mut client, &topic, 130);
        for end in [150, 170] {
            // What was in memory is read from the disk now.
            broker = broker.restart();
            client = broker.client();
            check(&mut client, &topic, end - 20);
            append(&mut client, &topic, end - 20..end);
            check(&mut client, &topic, end);
        }
    }
}
