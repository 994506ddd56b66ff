//! What operators see: figures that are right, health that tells the truth, limits that hold.
#![allow(clippy::disallowed_methods, reason = "a test stands outside: it has a clock and sockets")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use common::client::Client;
use common::exposition::{Page, exchange, get, scrape, scrape_anew};
use common::records::{batch, batch_of_size};
use common::{Broker, Options, PATIENCE, eventually};
use ringlog_broker::config::Advertise;
use ringlog_wire::ErrorCode;
use ringlog_wire::api::delete_topics::{self, DeleteTopicsRequest, DeleteTopicsResponse};

const ANY: &str = "127.0.0.1:0";

fn options(shards: usize) -> Options {
    Options { http: ANY, ..Options { shards, ..Options::default() } }
}

const IN: &str = "kafka_server_brokertopicmetrics_messagesin_total";
const BYTES_IN: &str = "kafka_server_brokertopicmetrics_bytesin_total";
const BYTES_OUT: &str = "kafka_server_brokertopicmetrics_bytesout_total";
const REQUESTS: &str = "kafka_network_requestmetrics_requests_total";

#[test]
fn the_figures_are_those_of_what_was_done() {
    for shards in [1, 2] {
        let broker = Broker::start_with(options(shards));
        let mut client = broker.client();
        let topic = client.create("counted", 4);
        let before = scrape(&broker);
        assert_eq!(before.get(IN, &[("topic", "counted")]), Some(0.0));
        let records = vec![b"0123456789".as_slice(); 10];
        let sent = batch(&records);
        for n in 0..100 {
            client.append(&topic, n % 4, sent.clone());
        }
        let mut fetched = 0;
        for index in 0..4 {
            for _ in 0..2 {
                fetched += client.fetch(&topic, index, 0).records.expect("records").len();
            }
        }
        let after = scrape_anew(&broker);
        before.check_monotonic(&after);
        let bytes = 100 * sent.len();
        assert_eq!(fetched, 2 * bytes);
        for labels in [&[("topic", "counted")][..], &[]] {
            assert_eq!(after.get(IN, labels), Some(1000.0));
            assert_eq!(after.get(BYTES_IN, labels), Some(bytes as f64));
            assert_eq!(after.get(BYTES_OUT, labels), Some(fetched as f64));
        }
        for (api, version, count) in [("Produce", "10", 100.0), ("Fetch", "12", 8.0)] {
            let labels = [("request", api), ("version", version)];
            assert_eq!(after.get(REQUESTS, &labels), Some(count), "{api}");
            let timed = after
                .get("kafka_network_requestmetrics_totaltime_seconds_count", &[("request", api)]);
            assert_eq!(timed, Some(count), "{api}");
        }
        for index in ["0", "1", "2", "3"] {
            let of = [("topic", "counted"), ("partition", index)];
            assert_eq!(after.get("kafka_log_log_logendoffset", &of), Some(250.0));
            assert_eq!(after.get("kafka_log_log_logstartoffset", &of), Some(0.0));
            let size = after.get("kafka_log_log_size", &of);
            assert_eq!(size, Some(25.0 * sent.len() as f64));
        }
        check_the_rest(&after, shards, bytes);
    }
}

fn check_the_rest(page: &Page, shards: usize, bytes: usize) {
    let one = |name| page.get(name, &[]);
    assert_eq!(one("kafka_server_replicamanager_leadercount"), Some(4.0));
    assert_eq!(one("kafka_server_replicamanager_partitioncount"), Some(4.0));
    assert_eq!(one("kafka_server_replicamanager_offlinereplicacount"), Some(0.0));
    assert_eq!(one("kafka_controller_kafkacontroller_activecontrollercount"), Some(1.0));
    assert_eq!(one("kafka_controller_kafkacontroller_globalpartitioncount"), Some(4.0));
    assert_eq!(page.sum("kafka_server_socketservermetrics_connection_count", &[]), 1.0);
    let written = |name| ["write", "write_cached"].map(|op| page.sum(name, &[("op", op)]));
    assert!(written("ringlog_disk_bytes_total").iter().sum::<f64>() >= bytes as f64);
    assert!(written("ringlog_disk_operations_total").iter().sum::<f64>() >= 1.0);
    for shard in 0..shards {
        let shard = shard.to_string();
        let of = [("shard", &*shard)];
        assert!(page.get("ringlog_shard_cpu_seconds_total", &of) > Some(0.0));
        assert!(page.get("ringlog_shard_turns_total", &of) > Some(0.0));
        assert!(page.get("ringlog_shard_submissions_total", &of) > Some(0.0));
        for name in ["frames", "chunks", "tail_cache", "reads", "bus"] {
            let of = [("shard", &*shard), ("use", name)];
            let (used, budget) = (
                page.get("ringlog_memory_used_bytes", &of),
                page.get("ringlog_memory_budget_bytes", &of),
            );
            assert!(used.is_some() && used <= budget, "{name}: {used:?} of {budget:?}");
        }
    }
    assert!(one("process_resident_memory_bytes") > Some(1e6));
    assert!(one("process_open_fds") > Some(3.0));
    assert_eq!(page.sum("ringlog_build_info", &[]), 1.0);
}

#[test]
fn errors_are_counted_under_kafkas_names() {
    let broker = Broker::start_with(options(1));
    let mut client = broker.client();
    let topic = client.create("strict", 1);
    let refused = client.produce(&topic, 0, vec![0; 100]);
    assert_ne!(refused.error_code, ErrorCode::None);
    assert_eq!(client.fetch(&topic, 0, 77).error_code, ErrorCode::OffsetOutOfRange);
    let request = DeleteTopicsRequest {
        topic_names: vec!["no".into(), "nor".into()],
        timeout_ms: 5000,
        ..DeleteTopicsRequest::default()
    };
    // Whatever answers, its errors are counted, each as often as it was said.
    let unknown: DeleteTopicsResponse = client.call(&delete_topics::API, 5, &request);
    assert_eq!(unknown.responses.len(), 2);
    let page = scrape_anew(&broker);
    let errors = "kafka_network_requestmetrics_errors_total";
    let of = |request, code: ErrorCode| {
        page.get(errors, &[("request", request), ("error", code.name())])
    };
    assert_eq!(of("Produce", refused.error_code), Some(1.0));
    assert_eq!(of("Fetch", ErrorCode::OffsetOutOfRange), Some(1.0));
    assert_eq!(of("DeleteTopics", ErrorCode::UnknownTopicOrPartition), Some(2.0));
    for name in [
        "kafka_server_brokertopicmetrics_failedproducerequests_total",
        "kafka_server_brokertopicmetrics_failedfetchrequests_total",
    ] {
        assert_eq!(page.get(name, &[("topic", "strict")]), Some(1.0), "{name}");
    }
}

#[test]
fn a_topic_that_goes_takes_its_series_but_not_the_sums() {
    let broker = Broker::start_with(options(2));
    let mut client = broker.client();
    let topic = client.create("brief", 2);
    for index in 0..2 {
        client.append(&topic, index, batch(&[b"a", b"b"]));
        client.fetch(&topic, index, 0);
    }
    let before = scrape(&broker);
    client.delete("brief");
    let after = scrape_anew(&broker);
    assert_eq!(after.get(IN, &[("topic", "brief")]), None);
    for name in [IN, BYTES_IN, BYTES_OUT] {
        assert_eq!(after.get(name, &[]), before.get(name, &[]), "{name}");
    }
    assert_eq!(after.sum("kafka_log_log_size", &[]), 0.0);
}

#[test]
fn health_and_readiness_answer_with_a_line_of_json() {
    let broker = Broker::start_with(options(2));
    for (path, word) in [("/health", "healthy"), ("/ready", "ready")] {
        let (status, body) = get(&broker, path);
        assert_eq!(status, 200, "{body}");
        let json: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((json["status"].as_str(), json["shards"].as_u64()), (Some(word), Some(2)));
        assert_eq!(body.lines().count(), 1);
    }
    assert_eq!(get(&broker, "/").0, 404);
}

#[test]
fn bad_http_hurts_nobody() {
    let broker = Broker::start_with(options(1));
    let mut client = broker.client();
    let topic = client.create("served", 1);
    let cases: [(&[u8], &str); 5] = [
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "405"),
        (b"GET /nothing HTTP/1.1\r\n\r\n", "404"),
        (b"\x00\x00\x00\x12\x00\x12\x00\x03\r\n\r\n", "400"),
        (b"GET  HTTP/9.9\r\n\r\n", "400"),
        (&[b'G'; 20_000], "431"),
    ];
    for (request, status) in cases {
        let (head, _) = exchange(broker.http(), request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    // Connections that say nothing, or half of it, make way for one that does.
    let idle: Vec<TcpStream> = (0..100)
        .map(|n| {
            let mut stream = TcpStream::connect(broker.http()).expect("it listens");
            let half = b"GET /metrics HTTP/1.1\r\nHost: ";
            stream.write_all(&half[..n % half.len()]).expect("it is taken in");
            stream
        })
        .collect();
    let begun = Instant::now();
    assert_eq!(get(&broker, "/health").0, 200);
    assert!(begun.elapsed() < Duration::from_millis(1500), "the oldest gives way at once");
    // They end by themselves.
    for mut stream in idle {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{ended:?}");
    }
    client.append(&topic, 0, batch_of_size(1000));
}

#[test]
fn an_address_that_was_asked_for_and_is_taken_is_an_error() {
    let taken = std::net::TcpListener::bind(ANY).expect("a port");
    let address: &'static str = taken.local_addr().expect("bound").to_string().leak();
    let why = Broker::refusal_of(&Options { http: address, ..Options::default() });
    assert!(why.contains("--http-listen") && why.contains(address), "{why}");
}

/// Whether the broker serves a new connection.
fn is_served(to: SocketAddr) -> Option<Client> {
    let mut stream = TcpStream::connect(to).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // ApiVersions v0, correlation id 7.
    let request = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 255, 255];
    stream.write_all(&request).ok()?;
    let mut size = [0; 4];
    stream.read_exact(&mut size).ok()?;
    let mut body = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut body).ok()?;
    Some(Client::of(stream))
}

#[test]
fn connections_of_one_address_are_limited_over_all_shards() {
    let limits = vec!["max.connections.per.ip=3", "max.connections.per.ip.overrides=127.0.0.2:1"];
    let advertise = Advertise::Node;
    let broker = Broker::start_with(Options { set: limits, advertise, ..options(2) });
    let mut held: Vec<Client> = (0..3).filter_map(|_| is_served(broker.address(0))).collect();
    assert_eq!(held.len(), 3);
    for _ in 0..4 {
        assert!(is_served(broker.address(0)).is_none(), "one too many");
    }
    let page = scrape_anew(&broker);
    let refused =
        page.get("ringlog_connections_refused_total", &[("reason", "max.connections.per.ip")]);
    assert_eq!(refused, Some(4.0));
    assert_eq!(page.sum("kafka_server_socketservermetrics_connection_count", &[]), 3.0);
    held.pop();
    let again = eventually("room", || is_served(broker.address(0)));
    held.push(again);
}

#[test]
fn connections_are_limited_over_all_shards() {
    let broker = Broker::start_with(Options { set: vec!["max.connections=5"], ..options(2) });
    let held: Vec<Client> = (0..5).filter_map(|_| is_served(broker.address(0))).collect();
    assert_eq!(held.len(), 5);
    assert!(is_served(broker.address(0)).is_none(), "one too many");
    let page = scrape_anew(&broker);
    let refused = [("reason", "max.connections")];
    assert_eq!(page.get("ringlog_connections_refused_total", &refused), Some(1.0));
}

#[test]
fn a_silent_connection_is_closed_after_connections_max_idle_ms() {
    let set = vec!["connections.max.idle.ms=300"];
    let broker = Broker::start_with(Options { set, ..options(1) });
    let mut idle = is_served(broker.address(0)).expect("it is served");
    assert!(idle.is_closed());
    let page = scrape_anew(&broker);
    let killed = "kafka_server_socketservermetrics_expired_connections_killed_count";
    assert_eq!(page.sum(killed, &[]), 1.0);
    assert_eq!(page.sum("kafka_server_socketservermetrics_connection_count", &[]), 0.0);
}
