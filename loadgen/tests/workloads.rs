//! Every kind of work against a broker in this process, which is strict and can be stalled.

// This test is a client of sockets and files.
#![allow(clippy::disallowed_methods)]

use std::time::Duration;

use clap::{Args, Parser};
use ringlog_loadgen::options::{
    ConsumeOptions, EndToEndOptions, MixOptions, ProduceOptions, SweepOptions,
};
use ringlog_loadgen::report::Report;
use ringlog_loadgen::{Error, consume, end_to_end, mix, produce, sweep};

mod broker;

use broker::Broker;

#[derive(Parser)]
struct Line<T: Args> {
    #[command(flatten)]
    options: T,
}

fn options<T: Args>(broker: &Broker, line: &str) -> T {
    let address = broker.address.to_string();
    let words = ["test", "--json", "--bootstrap", &address].into_iter().chain(line.split(' '));
    Line::<T>::parse_from(words.filter(|word| !word.is_empty())).options
}

fn whole<O: serde::Serialize>(report: Result<Report<O>, Error>) -> Report<O> {
    let report = report.unwrap();
    assert!(report.is_success(), "{}", report.text());
    report
}

fn produce(broker: &Broker, line: &str) -> Report<ProduceOptions> {
    whole(produce::run(&options(broker, line)))
}

fn consume(broker: &Broker, line: &str) -> Report<ConsumeOptions> {
    whole(consume::run(&options(broker, line)))
}

#[test]
fn what_is_made_in_any_way_is_read_and_checked() {
    let cases = [
        ("", 0),
        ("--keys uniform:1000", 0),
        ("--keys zipf:100000,1.1 --fresh", 0),
        ("--compression gzip", 1),
        ("--compression snappy --keys zipf:50", 2),
        ("--compression lz4 --idempotent", 3),
        ("--compression zstd --partitions-per-request 3 --fresh --idempotent", 4),
    ];
    for (line, compression) in cases {
        let broker = Broker::start(3, 2);
        let line = format!("--verify --messages 6000 --batch-messages 50 --connections 2 {line}");
        let produced = produce(&broker, &line);
        assert_eq!(produced.messages % 50, 0, "{line}");
        assert_eq!(broker.state().compressions, [compression].into(), "{line}");
        let read = consume(&broker, "--verify");
        let verdict = read.verification.unwrap();
        assert_eq!(verdict.verified, produced.messages, "{line}: {verdict:?}");
    }
}

#[test]
fn prebuilt_requests_have_many_keys_and_are_compressed_beforehand() {
    let broker = Broker::start(2, 2);
    let produced = produce(
        &broker,
        "--messages 20000 --batch-messages 100 --keys uniform:1000000 --compression lz4",
    );
    assert_eq!(broker.state().compressions, [3].into());
    let per_message = produced.bytes as f64 / produced.messages as f64;
    assert!(per_message < 100.0, "compressed: {per_message} bytes a message");
    assert_eq!(consume(&broker, "--consumers 3 --connections 2").messages, 3 * produced.messages);
}

#[test]
fn an_open_loop_counts_what_a_stalled_broker_delays() {
    let broker = Broker::start(2, 2);
    let stalled = broker.clone();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(700));
        stalled.stall(Duration::from_millis(500));
    });
    let line = "--rate 200 --batch-messages 1 --duration 2 --connections 2 --inflight 2";
    let report = produce(&broker, line);
    stopper.join().unwrap();
    let latency = report.latency.unwrap();
    // Each of the requests that were due meanwhile is late, not only the four that were under way.
    assert!((350..=401).contains(&latency.count), "{}", latency.count);
    let (_, at_85) = latency.percentiles.iter().copied().find(|(at, _)| *at >= 85.0).unwrap();
    assert!(at_85 > 80_000.0, "a fifth of two seconds was delayed: {at_85} µs");
    assert!(latency.p999_us > 400_000.0 && latency.max_us > 450_000.0, "{latency:?}");
}

#[test]
fn a_lingering_producer_batches_what_arrives_and_counts_each_message() {
    let broker = Broker::start(1, 2);
    let line = "--fresh --rate 2000 --linger-ms 40 --batch-messages 1000 --duration 1 \
                --connections 1 --warmup 0.2";
    let report = produce(&broker, line);
    let latency = report.latency.unwrap();
    assert_eq!(latency.count, report.messages, "each message is a latency of its own");
    let mut batches = broker.state().batches.clone();
    batches.sort_unstable();
    let median = batches[batches.len() / 2];
    assert!((60..200).contains(&median), "80 messages arrive in 40 ms: {batches:?}");
    assert!(latency.max_us >= 39_000.0, "the first waits the longest: {latency:?}");
    assert!(latency.percentiles[0].1 < 30_000.0, "the last does not wait: {latency:?}");
    // A full batch does not wait.
    let broker = Broker::start(1, 2);
    produce(&broker, &line.replace("messages 1000", "messages 10"));
    assert!(broker.state().batches.iter().all(|messages| *messages <= 10));
}

#[test]
fn transactions_are_committed_and_read() {
    for (transaction_version, produce_version, adds) in [(1, 11, true), (2, 13, false)] {
        let broker = Broker::start(4, transaction_version);
        let line = "--transactional 5 --verify --messages 4000 --batch-messages 20 --inflight 3 \
                    --partitions-per-request 2 --connections 3";
        let report = produce(&broker, line);
        let commits = report.transactions.unwrap();
        let versions = broker.state().versions.clone();
        assert!(versions.contains(&("Produce", produce_version)), "{versions:?}");
        assert_eq!(versions.contains(&("AddPartitionsToTxn", 3)), adds, "{versions:?}");
        // 100 requests by five, and one of each connection that was begun and not full.
        assert!((20..=23).contains(&broker.state().commits), "{}", broker.state().commits);
        assert_eq!(commits.committed, broker.state().commits);
        assert_eq!(commits.latency.unwrap().count, commits.committed);
        for isolation in ["read_committed", "read_uncommitted"] {
            let read = consume(&broker, &format!("--verify --isolation {isolation}"));
            assert_eq!(read.messages, report.messages, "markers are no messages");
            assert_eq!(read.verification.unwrap().verified, report.messages);
        }
    }
}

#[test]
fn a_mix_counts_each_kind_of_work() {
    let broker = Broker::start(4, 2);
    let old = produce(&broker, "--messages 4000 --batch-messages 20");
    let path = std::env::temp_dir().join(format!("ringlog-mix-{}", std::process::id()));
    let line = format!(
        "--producers 2 --consumers 3 --readers 2 --readers-from earliest --verify --rate 20000 \
         --batch-messages 10 --duration 1.2 --max-wait-ms 50 --partition-max-bytes 4096 \
         --hdr-log {}",
        path.display()
    );
    let report = whole(mix::run(&options::<MixOptions>(&broker, &line)));
    let (fetch, catch_up) = (report.fetch.unwrap(), report.catch_up.unwrap());
    let end_to_end = report.end_to_end.unwrap();
    assert_eq!(fetch.messages, 3 * report.messages);
    assert_eq!(report.produce.unwrap().messages, report.messages);
    assert_eq!(end_to_end.messages, 3 * report.messages);
    assert_eq!(end_to_end.latency.unwrap().count, 3 * report.messages);
    assert_eq!(report.verification.unwrap().verified, 3 * report.messages);
    assert!(catch_up.messages > 2 * old.messages, "again and again: {}", catch_up.messages);
    let log = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    for tag in ["produce", "fetch", "end-to-end", "catch-up"] {
        assert!(log.contains(&format!("\nTag={tag},")), "{tag}");
    }
}

#[test]
fn end_to_end_waits_for_commits_and_for_lingering_producers() {
    for line in [
        "--transactional 2 --isolation read_committed",
        "--fresh --linger-ms 5 --rate 4000",
        "--compression zstd --keys uniform:10",
    ] {
        let broker = Broker::start(2, 2);
        let line = format!("--messages 2000 --batch-messages 10 --max-wait-ms 20 {line}");
        let report = whole(end_to_end::run(&options::<EndToEndOptions>(&broker, &line)));
        assert_eq!(report.verification.unwrap().verified, report.messages, "{line}");
        assert_eq!(report.end_to_end_latency.unwrap().count, report.messages, "{line}");
    }
}

#[test]
fn a_sweep_finds_the_highest_rate_that_is_held() {
    let broker = Broker::start(2, 2);
    let line = "--from-rate 500 --to-rate 1000 --batch-messages 5 --duration 0.4 --warmup 0.1 \
                --p99-max-ms 5000";
    let found = sweep::run(&options::<SweepOptions>(&broker, line)).unwrap();
    let rates: Vec<f64> = found.steps.iter().map(|step| step.rate).collect();
    assert!(found.is_success() && found.steps[0].is_held, "{}", found.text());
    assert_eq!((rates[0], rates[1]), (500.0, 1000.0));
    assert!(found.text().contains("the knee: "), "{}", found.text());
    // A bound that nothing can keep.
    let line = line.replace("5000", "0.000001");
    let found = sweep::run(&options::<SweepOptions>(&broker, &line)).unwrap();
    assert_eq!((found.steps.len(), found.knee), (1, None));
    assert!(found.text().contains("  too slow"), "{}", found.text());
}

fn refused<T: Args, O>(line: &str, run: impl FnOnce(&T) -> Result<O, Error>) -> String {
    let words = ["test"].into_iter().chain(line.split(' ')).filter(|word| !word.is_empty());
    match run(&Line::<T>::parse_from(words).options) {
        Err(Error::Usage(text)) => text,
        Err(error) => panic!("{line}: {error}"),
        Ok(_) => panic!("{line}: was accepted"),
    }
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    for (line, expected) in [
        ("--linger-ms 5 --rate 10", "--linger-ms needs --fresh"),
        ("--linger-ms 5 --fresh", "--linger-ms needs --rate"),
        ("--linger-ms 99999 --fresh --rate 1", "--linger-ms: expected 0 to"),
        ("--transactional 0", "--transactional: expected at least 1"),
        ("--transactional 1 --acks 1", "--transactional needs --acks all"),
        ("--transactional 1 --inflight 6", "--transactional allows at most 5"),
        ("--transactional 1 --verify --ack-log x", "--ack-log goes with no --transactional"),
        ("--transactional 1 --bare", "--bare goes with neither"),
        ("--compression lz4 --bare", "--bare goes with no --compression"),
    ] {
        let line = format!("--duration 1 {line}");
        let text = refused::<ProduceOptions, _>(&line, produce::run);
        assert!(text.contains(expected), "{line}: {text}");
    }
    for (line, expected) in [
        ("--consumers 0", "--consumers: expected 1 to"),
        ("--verify --consumers 2 --check-acks x", "--check-acks goes with one of --consumers"),
    ] {
        let text = refused::<ConsumeOptions, _>(line, consume::run);
        assert!(text.contains(expected), "{line}: {text}");
    }
    for (line, expected) in [
        ("", "expected --duration SECONDS or --messages COUNT"),
        ("--duration 1 --producers 0", "--producers: expected 1 to"),
        ("--duration 1 --readers-from latest", "--readers-from: expected earliest or an offset"),
        ("--duration 1 --readers 0 --readers-topic x", "need --readers of at least 1"),
        ("--duration 1 --acks 0", "mix with --consumers needs --acks 1 or all"),
        ("--duration 1 --consumers 0 --verify", "--verify needs --consumers"),
    ] {
        let text = refused::<MixOptions, _>(line, mix::run);
        assert!(text.contains(expected), "{line}: {text}");
    }
    for (line, expected) in [
        ("--rate 5", "sweep goes with neither --rate nor --messages"),
        ("--messages 5", "sweep goes with neither --rate nor --messages"),
        ("--from-rate 0", "--rate: expected"),
        ("--growth 1", "--growth: expected more than 1"),
        ("--to-rate 5", "--to-rate: expected more than 10000"),
        ("--p99-max-ms 0", "--p99-max-ms: expected more than 0"),
    ] {
        let text = refused::<SweepOptions, _>(line, sweep::run);
        assert!(text.contains(expected), "{line}: {text}");
    }
}
