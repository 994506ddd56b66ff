//! What other people's tools print.

use super::*;

fn figures(pairs: &[(&str, f64)]) -> Figures {
    pairs.iter().map(|(name, value)| ((*name).to_string(), *value)).collect()
}

#[test]
fn the_producer_tool() {
    let text = "\
401 records sent, 80.2 records/sec (0.01 MB/sec), 1.0 ms avg latency, 12.0 ms max latency.
3000000 records sent, 680272.1 records/sec (64.88 MB/sec), 12.34 ms avg latency, 200.00 ms max \
latency, 5 ms 50th, 20 ms 95th, 30 ms 99th, 41 ms 99.9th.
";
    let (found, messages) = producer_performance(text).unwrap();
    assert_eq!(messages, 3e6);
    let expected = figures(&[
        ("messages_per_second", 680_272.1),
        ("megabytes_per_second", 64.88 * 1.048_576),
        ("mean_us", 12_340.0),
        ("max_us", 200_000.0),
        ("p50_us", 5_000.0),
        ("p99_us", 30_000.0),
        ("p999_us", 41_000.0),
    ]);
    assert_eq!(found, expected);
    assert!(producer_performance("org.apache.kafka.common.errors.TimeoutException").is_none());
}

#[test]
fn the_consumer_tool() {
    let text = "\
start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, \
rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec
2026-11-21 10:00:00:000, 2026-11-21 10:00:04:000, 190.7349, 47.6, 2000000, 500000.0, 3000, 1000, \
190.7349, 2000000.0
";
    let (found, messages) = consumer_performance(text).unwrap();
    assert_eq!(messages, 2e6);
    assert_eq!(found["messages_per_second"], 2e6);
    assert!((found["megabytes_per_second"] - 200.0).abs() < 0.01);
    assert!(consumer_performance("start.time, end.time\n").is_none());
}

#[test]
fn the_latency_tool() {
    let text = "Avg latency: 0.7123 ms\n\nPercentiles: 50th = 0, 99th = 5, 99.9th = 17\n";
    let expected =
        [("mean_us", 712.3), ("p50_us", 0.0), ("p99_us", 5_000.0), ("p999_us", 17_000.0)];
    let found = end_to_end_latency(text).unwrap();
    for (name, value) in expected {
        assert!((found[name] - value).abs() < 1e-6, "{name}");
    }
    assert!(end_to_end_latency("Percentiles: 50th = 0").is_none());
}

#[test]
fn a_tool_is_busy_while_it_sends() {
    let outcome =
        of_tool(figures(&[("messages_per_second", 500.0)]), 1000.0, 100.0, &Process::new("x"));
    assert_eq!(outcome.busy, Some(2.0));
    let moved = Moved { messages: 1000.0, bytes: 1e5, written: 1e5, requests: 0.0 };
    assert_eq!(outcome.moved, Some(moved));
}

#[test]
fn commands_are_shown_as_they_are_typed() {
    let mut command = pinned("1", true);
    command.args(["ringlog-loadgen", "produce"]);
    assert_eq!(shown(&command), "taskset -c 1 chrt --idle 0 ringlog-loadgen produce");
    assert_eq!(option("--a 1 --record-size 100 --b", "--record-size"), Some(100.0));
    assert_eq!(option("--record-size", "--record-size"), None);
}
