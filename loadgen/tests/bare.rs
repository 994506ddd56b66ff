//! The whole producing path against the sink: sockets, frames, rates, reports.

// This test is a client of a socket.
#![allow(clippy::disallowed_methods)]

use std::time::Instant;

use clap::Parser;
use ringlog_loadgen::options::ProduceOptions;
use ringlog_loadgen::produce;
use ringlog_loadgen::report::Report;
use ringlog_loadgen::sink::Sink;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: ProduceOptions,
}

fn produce(sink: &Sink, line: &str) -> Report<ProduceOptions> {
    let address = sink.address().to_string();
    let words = ["test", "--bare", "--bootstrap", &address].into_iter().chain(line.split(' '));
    produce::run(&Line::parse_from(words).options).unwrap()
}

fn sink() -> Sink {
    Sink::start("127.0.0.1:0".parse().unwrap(), None).unwrap()
}

#[test]
fn every_message_is_sent_and_acknowledged_once() {
    let sink = sink();
    let line = "--messages 100000 --batch-messages 50 --partitions-per-request 4 --inflight 3";
    let report = produce(&sink, line);
    assert!(report.is_success(), "{}", report.text());
    assert_eq!((report.messages, report.requests), (100_000, 500));
    assert_eq!(report.latency.as_ref().unwrap().count, 500);
    // What left is the batches and a head of eight bytes for each request.
    assert_eq!(sink.stop(), report.bytes + 8 * report.requests);
}

#[test]
fn large_requests_pass_in_pieces() {
    let sink = sink();
    let line = "--messages 200 --batch-messages 10 --message-bytes 1000000 --inflight 2";
    let report = produce(&sink, line);
    assert!(report.is_success(), "{}", report.text());
    assert_eq!(report.requests, 20);
    assert_eq!(sink.stop(), report.bytes + 8 * report.requests);
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let sink = sink();
    let began = Instant::now();
    let report =
        produce(&sink, "--rate 20000 --batch-messages 10 --messages 10000 --connections 3");
    let seconds = began.elapsed().as_secs_f64();
    assert!(report.is_success(), "{}", report.text());
    assert_eq!(report.messages, 10_000);
    assert!(seconds > 0.45, "10,000 messages at 20,000 a second took {seconds} s");
    assert!(report.messages_per_second < 21_000.0, "{}", report.text());
}

#[test]
fn a_sink_that_goes_away_is_an_error_after_the_timeout() {
    let sink = sink();
    let address = sink.address().to_string();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        sink.stop();
    });
    let words = ["test", "--bare", "--bootstrap", &address, "--duration", "30", "--timeout", "1"];
    let report = produce::run(&Line::parse_from(words).options).unwrap();
    stopper.join().unwrap();
    assert!(!report.is_success(), "{}", report.text());
    let failure = report.failure.unwrap();
    // Whichever is seen first: some answer may or may not have been on its way.
    let known = ["messages were not acknowledged within 1 s", "made again within 1 s"];
    assert!(known.iter().any(|it| failure.contains(it)), "{failure}");
    assert!(report.errors["reconnection failed"] > 0);
}

#[test]
fn options_that_make_no_sense_are_refused_with_a_reason() {
    let cases = [
        ("--duration 1 --message-bytes 20 --verify", "expected 36 to"),
        ("--duration 1 --idempotent --inflight 6", "at most 5"),
        ("--duration 1 --connections 0", "--connections: expected 1 to"),
        ("--connections 1", "expected --duration SECONDS or --messages COUNT"),
        ("--duration 1 --acks 1 --idempotent", "--idempotent needs --acks all"),
        ("--duration 1 --ack-log x", "--ack-log needs --verify"),
        ("--duration 1 --rate 0", "--rate: expected"),
    ];
    for (line, expected) in cases {
        let words = ["test"].into_iter().chain(line.split(' '));
        let error = produce::run(&Line::parse_from(words).options).unwrap_err().to_string();
        assert!(error.contains(expected), "{line}: {error}");
    }
}
