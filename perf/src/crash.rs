//! `cargo perf crash`: `kill -9` of the broker at random moments under three idempotent producers.
//!
//! Each producer is a process that stamps its messages and logs every acknowledgement. After each
//! kill the broker is started again on the same data and must answer for every partition. At the
//! end one reader goes through all of it: what was acknowledged must lie at its offset, and nothing
//! may be lost, repeated, reordered or damaged. One seed decides the moments; the rest is real
//! time.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Parser;
use ringlog_loadgen::cluster::Cluster;
use ringlog_loadgen::options::Common;
use serde_json::Value;

use crate::Failure;
use crate::broker::{Brokers, Kind, Setup};
use crate::kafka::Kafka;
use crate::load::{Loadgen, Report, Running};
use crate::place::Place;
use crate::process::{self, Server, TemporaryFolder};
use crate::random::Random;
use crate::table::{Spread, Table, significant};

const PRODUCERS: usize = 3;
const TOPIC: &str = "crash";
const PARTITIONS: usize = 6;
/// A producer's life; the next one takes over with a new id, so that ids are handed out under fire.
const PRODUCER_SECONDS: u64 = 10;
/// From serving again to the next kill.
const UPTIME_MS_MIN: u64 = 50;
const UPTIME_MS_MAX: u64 = 900;
const SERVE_WAIT_MAX: Duration = Duration::from_secs(60);
const ASK_INTERVAL: Duration = Duration::from_millis(2);
/// What the issue promises.
const SERVING_PROMISE: Duration = Duration::from_secs(1);
/// `ListOffsets` understands this as the end of the log.
const LATEST: i64 = -1;

/// How hard to try.
#[derive(clap::Args)]
pub struct Arguments {
    /// How many times the broker is killed
    #[arg(long, default_value_t = 50)]
    kills: u32,
    /// Decides the moments of the kills
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Shards of the broker
    #[arg(long, default_value_t = 2)]
    shards: u16,
    /// node or shard
    #[arg(long, default_value = "shard")]
    advertise: String,
    /// Kill Apache Kafka instead (slow; to check the experiment itself)
    #[arg(long)]
    kafka: bool,
}

/// One producer place: the process that fills it now, and the log its processes share.
struct Producer {
    running: Option<Running>,
    log: PathBuf,
    reports: Vec<Report>,
}

struct Crash<'a> {
    brokers: &'a Brokers<'a>,
    setup: Setup<'a>,
    loadgen: Loadgen,
    producers: Vec<Producer>,
    serving: Vec<Duration>,
}

/// Runs the experiment; an error when a promise was broken.
pub fn run(place: &Place, arguments: &Arguments) -> Result<(), Failure> {
    let kind = match arguments.kafka {
        true => Kind::Kafka,
        false => Kind::Ringlog { shards: arguments.shards, advertise: arguments.advertise.clone() },
    };
    let kafka = if arguments.kafka { Kafka::fetch(place)? } else { Kafka::absent() };
    let brokers = Brokers::build(place, &kafka, std::slice::from_ref(&kind))?;
    place.build(&[("ringlog-loadgen", "ringlog-loadgen")])?;
    let folder = TemporaryFolder::new(place.work(), "crash")?;
    let producer = |index: usize| Producer {
        running: None,
        log: folder.path().join(format!("acknowledged-{index}.txt")),
        reports: Vec::new(),
    };
    let mut crash = Crash {
        brokers: &brokers,
        setup: Setup {
            kind,
            folder: folder.path(),
            port: process::free_ports(8)?,
            cpus: "",
            settings: &[],
            arguments: &[],
        },
        loadgen: Loadgen::new(place.binaries(), None),
        producers: (0..PRODUCERS).map(producer).collect(),
        serving: Vec::new(),
    };
    crash.kill_and_restart(arguments)
}

impl Crash<'_> {
    fn kill_and_restart(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let mut random = Random::new(arguments.seed);
        let mut server = self.brokers.start(&self.setup)?;
        self.await_serving(&mut server)?;
        for kill in 1..=arguments.kills {
            let uptime = UPTIME_MS_MIN + random.below(UPTIME_MS_MAX - UPTIME_MS_MIN);
            self.keep_producing(Duration::from_millis(uptime))?;
            server.check_alive()?;
            server.kill()?;
            let started = Instant::now();
            server = self.brokers.start(&self.setup)?;
            self.await_serving(&mut server)?;
            self.serving.push(started.elapsed());
            println!("kill {kill}: up {uptime} ms, serving after {:.0?}", started.elapsed());
        }
        for producer in &mut self.producers {
            if let Some(running) = producer.running.take() {
                producer.reports.extend(running.finish()?);
            }
        }
        server.check_alive()?;
        let (is_clean, read) = self.check()?;
        let log = server.log.clone();
        self.setup.stop(server)?;
        self.report(is_clean, &read, arguments, &log)
    }

    /// Lets time pass while every place is filled with a live producer.
    fn keep_producing(&mut self, time: Duration) -> Result<(), Failure> {
        let until = Instant::now() + time;
        loop {
            for producer in &mut self.producers {
                let is_over = producer.running.as_mut().map_or(Ok(true), Running::is_over)?;
                if !is_over {
                    continue;
                }
                if let Some(running) = producer.running.take() {
                    producer.reports.extend(running.finish()?);
                }
                let log = producer.log.display().to_string();
                let (seconds, partitions) = (PRODUCER_SECONDS.to_string(), PARTITIONS.to_string());
                let mut command = self.loadgen.command(
                    "produce",
                    self.setup.address(),
                    &[
                        "--topic",
                        TOPIC,
                        "--partitions",
                        &partitions,
                        "--connections",
                        "2",
                        "--inflight",
                        "5",
                        "--message-bytes",
                        "200",
                        "--batch-messages",
                        "5",
                        "--partitions-per-request",
                        "2",
                        "--acks",
                        "all",
                        "--idempotent",
                        "--verify",
                        "--ack-log",
                        &log,
                        "--duration",
                        &seconds,
                        "--rate",
                        "20000",
                    ],
                );
                producer.running = Some(Running::start(&mut command)?);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            sleep(left.min(Duration::from_millis(20)));
        }
    }

    /// Serving means: each partition's leader tells where its log ends.
    fn await_serving(&self, server: &mut Server) -> Result<(), Failure> {
        let common = common_options(&self.setup.address().to_string())?;
        let started = Instant::now();
        loop {
            let Err(why) = ask_all(&common) else { return Ok(()) };
            server.check_alive()?;
            if started.elapsed() > SERVE_WAIT_MAX {
                let what = format!("does not serve after {SERVE_WAIT_MAX:?}: {why}");
                return Err(server.failure(&what));
            }
            sleep(ASK_INTERVAL);
        }
    }

    /// Reads everything and holds it against the three logs of acknowledgements.
    fn check(&self) -> Result<(bool, Report), Failure> {
        let mut lines = String::new();
        for producer in &self.producers {
            lines.push_str(&fs::read_to_string(&producer.log)?);
        }
        let all = self.setup.folder.join("acknowledged.txt");
        process::write_file(&all, lines.as_bytes())?;
        let all = all.display().to_string();
        let arguments = ["--topic", TOPIC, "--verify", "--check-acks", &all];
        self.loadgen.run_checked("consume", self.setup.address(), &arguments)
    }

    fn report(
        &self,
        is_clean: bool,
        read: &Report,
        arguments: &Arguments,
        log: &std::path::Path,
    ) -> Result<(), Failure> {
        let nothing = Value::Null;
        let verdict = read.verification.as_ref().unwrap_or(&nothing);
        let count = |name: &str| verdict[name].as_u64();
        let sum = |field: fn(&Report) -> u64| -> u64 {
            self.producers.iter().flat_map(|producer| &producer.reports).map(field).sum()
        };
        let mut table = Table::new(&["what", "count"]);
        let mut row = |name: &str, value: String| table.push(vec![name.into(), value]);
        row("broker", self.setup.kind.to_string());
        row("kills", self.serving.len().to_string());
        row("messages acknowledged", sum(|report| report.messages_total).to_string());
        row("requests sent again", sum(|report| report.retries).to_string());
        row("reconnections", sum(|report| report.reconnections).to_string());
        row("messages read", read.messages.to_string());
        for name in [
            "acknowledged",
            "acknowledged_missing",
            "lost",
            "duplicated",
            "reordered",
            "corrupt",
            "offset_gaps",
        ] {
            let value = count(name).map_or("?".to_string(), |value| value.to_string());
            row(&name.replace('_', " "), value);
        }
        if let Some(spread) = Spread::of(self.serving.iter().map(Duration::as_secs_f64)) {
            row("serving after, s", spread.text());
        }
        println!("\n{}", table.text());
        let slow = self.serving.iter().filter(|time| **time > SERVING_PROMISE).count();
        if !is_clean || count("acknowledged").unwrap_or(0) == 0 {
            let kept = std::env::temp_dir().join("perf-crash-broker.log");
            fs::copy(log, &kept)?;
            let offenders = serde_json::to_string_pretty(&verdict["offenders"])?;
            let kept = kept.display();
            return Err(format!("a promise was broken (broker's log: {kept}):\n{offenders}").into());
        }
        if slow > 0 && !arguments.kafka {
            let seconds = significant(SERVING_PROMISE.as_secs_f64());
            return Err(format!("{slow} restarts took more than {seconds} s").into());
        }
        Ok(())
    }
}

#[derive(Parser)]
struct CommonOptions {
    #[command(flatten)]
    common: Common,
}

fn common_options(bootstrap: &str) -> Result<Common, Failure> {
    let partitions = PARTITIONS.to_string();
    let arguments = ["perf", "--bootstrap", bootstrap, "--topic", TOPIC, "--partitions"];
    let arguments = arguments.into_iter().chain([partitions.as_str()]);
    Ok(CommonOptions::try_parse_from(arguments)?.common)
}

fn ask_all(common: &Common) -> Result<(), Failure> {
    let cluster = Cluster::open(common)?;
    for (leader, partitions) in cluster.by_leader() {
        let ends = cluster.connect(leader)?.list_offsets(TOPIC, &partitions, LATEST)?;
        if ends.len() != partitions.len() {
            return Err(format!("broker {leader} told {} ends", ends.len()).into());
        }
    }
    Ok(())
}
