//! From the shards' figures to the page that Prometheus reads.
//!
//! Names are those that the Prometheus JMX exporter's usual rules make of Kafka's MBeans (lower
//! case, `PerSec` counters as `_total`), so that dashboards made for Kafka work; what Kafka does
//! not have begins with `ringlog_`. As in Kafka, each `brokertopicmetrics` family holds the sum of
//! all topics without a label, beside one sample for each topic.

use std::collections::BTreeMap;

use ringlog_shard::process::ProcessStats;
use ringlog_wire::api;
use ringlog_wire::error::ErrorCode;

use super::counters::{ApiCounters, DiskCounters, TopicCounters};
use super::snapshot::{ControllerFigures, Figures, PartitionFigures};
use super::text::{Kind, Text};
use super::{DiskKindOf, Histogram, Refused, Snapshot};

/// Topics that are told one by one; those that come later by name are added up as [`OTHER`].
pub const TOPICS_MAX: usize = 10_000;
/// Partitions that are told one by one, the first by topic and number.
pub const PARTITIONS_MAX: usize = 10_000;
/// The topic that stands for all beyond [`TOPICS_MAX`]; no topic can be named so.
pub const OTHER: &str = "(other)";

/// What is known beside the shards' figures.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The process, as the kernel sees it.
    pub process: ProcessStats,
    /// When it started, seconds since 1970.
    pub started_seconds: f64,
    /// The broker's id.
    pub node_id: i32,
}

/// The page; `snapshots` are those of the shards that answered.
pub fn page(snapshots: &[Snapshot], around: &Surroundings) -> String {
    let mut text = Text::default();
    let shards: Vec<Shard<'_>> = snapshots
        .iter()
        .filter_map(|snapshot| {
            let figures = snapshot.figures.as_deref()?;
            Some(Shard { name: snapshot.shard.to_string(), figures })
        })
        .collect();
    topics(&mut text, &shards);
    requests(&mut text, &shards);
    connections(&mut text, &shards);
    partitions(&mut text, &shards);
    let controller = snapshots.iter().find_map(|snapshot| snapshot.controller);
    replicas(&mut text, &shards, controller);
    loops(&mut text, &shards);
    disks(&mut text, &shards);
    process(&mut text, around);
    text.finish()
}

/// A family: its name, what it is, what it means, and how to read it.
type Row<T> = (&'static str, Kind, &'static str, fn(&T) -> u64);

/// One shard's figures, and its number as a label.
struct Shard<'a> {
    name: String,
    figures: &'a Figures,
}

fn total(shards: &[Shard<'_>], figure: impl Fn(&Figures) -> u64) -> u64 {
    shards.iter().map(|shard| figure(shard.figures)).sum()
}

fn topics(text: &mut Text, shards: &[Shard<'_>]) {
    let mut all = TopicCounters::default();
    let mut by_name: BTreeMap<&str, TopicCounters> = BTreeMap::new();
    for shard in shards {
        all.add(&shard.figures.gone);
        for topic in &shard.figures.topics {
            all.add(&topic.counters);
            by_name.entry(&topic.name.name).or_default().add(&topic.counters);
        }
    }
    let mut named: Vec<(&str, TopicCounters)> = by_name.into_iter().collect();
    if named.len() > TOPICS_MAX {
        let mut other = TopicCounters::default();
        named.drain(TOPICS_MAX..).for_each(|(_, counters)| other.add(&counters));
        named.push((OTHER, other));
    }
    type Figure = fn(&TopicCounters) -> u64;
    let families: [(&'static str, &'static str, Figure); 7] = [
        ("kafka_server_brokertopicmetrics_messagesin_total", "Records appended.", |counters| {
            counters.messages_in
        }),
        (
            "kafka_server_brokertopicmetrics_bytesin_total",
            "Bytes of record batches appended.",
            |counters| counters.bytes_in,
        ),
        (
            "kafka_server_brokertopicmetrics_bytesout_total",
            "Bytes of record batches sent to consumers.",
            |counters| counters.bytes_out,
        ),
        (
            "kafka_server_brokertopicmetrics_totalproducerequests_total",
            "Partitions written by produce requests.",
            |counters| counters.produce_requests,
        ),
        (
            "kafka_server_brokertopicmetrics_failedproducerequests_total",
            "Partitions refused in produce requests.",
            |counters| counters.produce_failed,
        ),
        (
            "kafka_server_brokertopicmetrics_totalfetchrequests_total",
            "Partitions read by fetch requests.",
            |counters| counters.fetch_requests,
        ),
        (
            "kafka_server_brokertopicmetrics_failedfetchrequests_total",
            "Partitions answered with an error in fetch requests.",
            |counters| counters.fetch_failed,
        ),
    ];
    for (name, help, figure) in families {
        text.single(name, Kind::Counter, help, figure(&all));
        for (topic, counters) in &named {
            text.sample(&[("topic", topic)], figure(counters));
        }
    }
}

fn requests(text: &mut Text, shards: &[Shard<'_>]) {
    let of_api = |key: i16| {
        let mut sum = ApiCounters::default();
        for shard in shards {
            let Some(counters) = shard.figures.apis.get(key as usize) else { continue };
            sum.latency.add(&counters.latency);
            for (into, from) in sum.requests.iter_mut().zip(&counters.requests) {
                *into += from;
            }
        }
        sum
    };
    let apis: Vec<_> = api::API_LIST.iter().map(|api| (api, of_api(api.key))).collect();
    text.family(
        "kafka_network_requestmetrics_requests_total",
        Kind::Counter,
        "Requests read, by API and version.",
    );
    for (api, counters) in &apis {
        for (version, count) in counters.requests.iter().enumerate().filter(|(_, n)| **n > 0) {
            text.sample(&[("request", api.name), ("version", &version.to_string())], count);
        }
    }
    let mut errors: BTreeMap<(i16, ErrorCode), u64> = BTreeMap::new();
    for (key, count) in shards.iter().flat_map(|shard| &shard.figures.errors) {
        *errors.entry(*key).or_default() += count;
    }
    text.family(
        "kafka_network_requestmetrics_errors_total",
        Kind::Counter,
        "Errors answered, by API and Kafka's name for the error.",
    );
    for ((key, code), count) in errors {
        let name = api::find(key).map_or("unknown", |api| api.name);
        text.sample(&[("request", name), ("error", code.name())], count);
    }
    text.family(
        "kafka_network_requestmetrics_totaltime_seconds",
        Kind::Histogram,
        "From the turn that reads a request to the turn that answers it.",
    );
    for (api, counters) in apis.iter().filter(|(_, counters)| counters.latency.count() > 0) {
        text.histogram(&[("request", api.name)], &counters.latency);
    }
    text.single(
        "ringlog_requests_waiting",
        Kind::Gauge,
        "Requests whose answer waits for a disk, another shard or more records.",
        total(shards, |figures| figures.requests_waiting as u64),
    );
}

fn connections(text: &mut Text, shards: &[Shard<'_>]) {
    let each: [Row<Figures>; 5] = [
        (
            "kafka_server_socketservermetrics_connection_count",
            Kind::Gauge,
            "Connections, by the shard that serves them.",
            |figures| figures.connections_opened - figures.connections_closed.all,
        ),
        (
            "kafka_server_socketservermetrics_connection_creation_total",
            Kind::Counter,
            "Connections taken in.",
            |figures| figures.connections_opened,
        ),
        (
            "kafka_server_socketservermetrics_connection_close_total",
            Kind::Counter,
            "Connections that have ended.",
            |figures| figures.connections_closed.all,
        ),
        (
            "kafka_server_socketservermetrics_expired_connections_killed_count",
            Kind::Counter,
            "Connections closed for being silent for connections.max.idle.ms.",
            |figures| figures.connections_closed.idle,
        ),
        (
            "ringlog_connections_stalled",
            Kind::Gauge,
            "Connections whose next request waits for memory or for their turn.",
            |figures| figures.connections_stalled as u64,
        ),
    ];
    for (name, kind, help, figure) in each {
        text.family(name, kind, help);
        for shard in shards {
            let labels = [("listener", "PLAINTEXT"), ("networkprocessor", &*shard.name)];
            text.sample(&labels, figure(shard.figures));
        }
    }
    text.family(
        "ringlog_connections_refused_total",
        Kind::Counter,
        "Connections turned away or ended by the broker, by reason.",
    );
    for (at, why) in Refused::ALL.into_iter().enumerate() {
        let count = total(shards, |figures| figures.connections_refused[at]);
        text.sample(&[("reason", why.name())], count);
    }
    let count = total(shards, |figures| figures.core.connections_refused);
    text.sample(&[("reason", "resources")], count);
}

fn partitions(text: &mut Text, shards: &[Shard<'_>]) {
    let mut all: Vec<&PartitionFigures> =
        shards.iter().flat_map(|shard| &shard.figures.partitions).collect();
    all.sort_by(|a, b| (&a.topic.name, a.index).cmp(&(&b.topic.name, b.index)));
    all.truncate(PARTITIONS_MAX);
    let online = total(shards, |figures| figures.partitions_online as u64);
    type Figure = fn(&PartitionFigures) -> i64;
    let families: [(&'static str, &'static str, Figure); 4] = [
        ("kafka_log_log_logendoffset", "The offset of the next record.", |p| p.end_offset),
        ("kafka_log_log_logstartoffset", "The first offset.", |p| p.start_offset),
        ("kafka_log_log_size", "Bytes of all batches.", |p| p.size_bytes as i64),
        ("kafka_log_log_numlogsegments", "Segments.", |p| p.segments as i64),
    ];
    for (name, help, figure) in families {
        text.family(name, Kind::Gauge, help);
        for partition in &all {
            let index = partition.index.to_string();
            let labels = [("topic", &*partition.topic.name), ("partition", &*index)];
            text.sample(&labels, figure(partition));
        }
    }
    text.single(
        "ringlog_partitions_not_listed",
        Kind::Gauge,
        "Partitions without figures of their own, for there are too many.",
        online.saturating_sub(all.len() as u64),
    );
}

fn replicas(text: &mut Text, shards: &[Shard<'_>], controller: Option<ControllerFigures>) {
    let online = total(shards, |figures| figures.partitions_online as u64);
    let offline = total(shards, |figures| figures.partitions_offline as u64);
    let short = total(shards, |figures| figures.partitions_under_min_insync as u64);
    let mut gauge = |name, help, value: u64| text.single(name, Kind::Gauge, help, value);
    gauge("kafka_server_replicamanager_leadercount", "Partitions led here.", online);
    gauge(
        "kafka_server_replicamanager_partitioncount",
        "Partitions that have a replica here.",
        online + offline,
    );
    gauge(
        "kafka_server_replicamanager_offlinereplicacount",
        "Replicas here whose log cannot be used.",
        offline,
    );
    gauge(
        "kafka_server_replicamanager_underreplicatedpartitions",
        "Partitions led here with fewer replicas in sync than they have; one node has none.",
        0,
    );
    gauge(
        "kafka_server_replicamanager_underminisrpartitioncount",
        "Partitions led here with fewer replicas in sync than min.insync.replicas.",
        short,
    );
    if let Some(controller) = controller {
        let active = u64::from(controller.is_serving && !controller.is_failed);
        gauge(
            "kafka_controller_kafkacontroller_activecontrollercount",
            "1 where the active controller is.",
            active,
        );
        gauge(
            "kafka_controller_kafkacontroller_globaltopiccount",
            "Topics of the cluster.",
            controller.topics as u64,
        );
        gauge(
            "kafka_controller_kafkacontroller_globalpartitioncount",
            "Partitions of the cluster.",
            controller.partitions as u64,
        );
        gauge(
            "kafka_controller_kafkacontroller_offlinepartitionscount",
            "Partitions without a leader that can be used.",
            offline,
        );
    }
    let failures = total(shards, |figures| figures.log_failures);
    let help = "Logs that failed, or could not be opened.";
    text.single("ringlog_log_failures_total", Kind::Counter, help, failures);
}

fn loops(text: &mut Text, shards: &[Shard<'_>]) {
    text.family(
        "ringlog_shard_cpu_seconds_total",
        Kind::Counter,
        "Processor time of the shard's thread.",
    );
    for shard in shards {
        text.sample(&[("shard", &shard.name)], shard.figures.core.cpu.as_secs_f64());
    }
    let each: [Row<Figures>; 6] = [
        ("ringlog_shard_turns_total", Kind::Counter, "Turns of the shard's loop.", |f| {
            f.core.turns
        }),
        (
            "ringlog_shard_turns_busy_total",
            Kind::Counter,
            "Turns that found something to do.",
            |figures| figures.core.turns_busy,
        ),
        (
            "ringlog_shard_submissions_total",
            Kind::Counter,
            "System calls that gave work to the ring or waited for it.",
            |figures| figures.core.submissions,
        ),
        (
            "ringlog_shard_bus_messages_total",
            Kind::Counter,
            "Messages from other shards and from outside.",
            |figures| figures.core.messages,
        ),
        (
            "ringlog_shard_bus_waiting",
            Kind::Gauge,
            "Messages of other shards that wait to be taken.",
            |figures| figures.core.messages_waiting as u64,
        ),
        (
            "ringlog_shard_bus_held",
            Kind::Gauge,
            "Messages for other shards that found their lane full.",
            |figures| figures.messages_held as u64,
        ),
    ];
    for (name, kind, help, figure) in each {
        text.family(name, kind, help);
        for shard in shards {
            text.sample(&[("shard", &shard.name)], figure(shard.figures));
        }
    }
    for (name, help) in [
        ("ringlog_memory_used_bytes", "Memory of a shard in use, by what it is for."),
        ("ringlog_memory_budget_bytes", "What that may come to."),
    ] {
        text.family(name, Kind::Gauge, help);
        for shard in shards {
            for share in &shard.figures.memory {
                let is_used = name == "ringlog_memory_used_bytes";
                let value = if is_used { share.used } else { share.budget };
                text.sample(&[("shard", &shard.name), ("use", share.name)], value);
            }
        }
    }
}

fn disks(text: &mut Text, shards: &[Shard<'_>]) {
    let families: [Row<DiskCounters>; 4] = [
        ("ringlog_disk_operations_total", Kind::Counter, "Disk operations ended.", |disk| {
            disk.latency.count()
        }),
        (
            "ringlog_disk_operations_failed_total",
            Kind::Counter,
            "Disk operations that ended with an error.",
            |disk| disk.failed,
        ),
        ("ringlog_disk_bytes_total", Kind::Counter, "Bytes read or written.", |disk| disk.bytes),
        (
            "ringlog_disk_operations_in_flight",
            Kind::Gauge,
            "Disk operations handed out and not ended.",
            |disk| disk.begun.saturating_sub(disk.latency.count()),
        ),
    ];
    for (name, kind, help, figure) in families {
        text.family(name, kind, help);
        for shard in shards {
            for (of, disk) in DiskKindOf::ALL.into_iter().zip(&shard.figures.disk) {
                text.sample(&[("shard", &shard.name), ("op", of.name())], figure(disk));
            }
        }
    }
    text.family(
        "ringlog_disk_latency_seconds",
        Kind::Histogram,
        "From the turn that hands out a disk operation to the turn that hears of its end.",
    );
    for (at, of) in DiskKindOf::ALL.into_iter().enumerate() {
        let mut sum = Histogram::default();
        shards.iter().for_each(|shard| sum.add(&shard.figures.disk[at].latency));
        text.histogram(&[("op", of.name())], &sum);
    }
}

fn process(text: &mut Text, around: &Surroundings) {
    let process = &around.process;
    let mut gauge = |name, help, value: Option<u64>| {
        if let Some(value) = value {
            text.single(name, Kind::Gauge, help, value);
        }
    };
    gauge("process_resident_memory_bytes", "Resident memory.", process.resident_bytes);
    gauge("process_virtual_memory_bytes", "Virtual memory.", process.virtual_bytes);
    gauge("process_open_fds", "Open file descriptors.", process.open_files);
    gauge("process_max_fds", "Most file descriptors.", process.open_files_max);
    gauge("process_threads", "Threads.", process.threads);
    if let Some(seconds) = process.cpu_seconds {
        let help = "Processor time of all threads.";
        text.single("process_cpu_seconds_total", Kind::Counter, help, seconds);
    }
    let help = "When the process started, seconds since 1970.";
    text.single("process_start_time_seconds", Kind::Gauge, help, around.started_seconds);
    text.family("ringlog_build_info", Kind::Gauge, "1, with what was built as labels.");
    let node = around.node_id.to_string();
    text.sample(&[("version", env!("CARGO_PKG_VERSION")), ("node_id", &node)], 1);
}
