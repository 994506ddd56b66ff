//! `cargo perf clients`: foreign clients against each way of running Ringlog.
//!
//! For each combination a fresh broker is started; kcat, librdkafka and Kafka's own tools produce
//! to it and read it; then it is stopped cleanly, and Kafka's file checker reads what it left. The
//! matrix itself is trusted because Apache Kafka passes it (`--server kafka`).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::Failure;
use crate::broker::{Brokers, Kind, Setup};
use crate::dump;
use crate::kafka::Kafka;
use crate::kcat::{self, CODECS};
use crate::place::Place;
use crate::process::{self, TemporaryFolder};
use crate::table::Table;

const PARTITIONS: &str = "num.partitions=4";
/// Small segments, so that every file has been rolled, indexed and snapshotted some times.
const SEGMENT: &str = "log.segment.bytes=1048576";
const PERF_RECORDS: u64 = 200_000;
const PERF_RECORD_BYTES: u64 = 100;
const RDKAFKA_RECORDS: u64 = 20_000;

/// What to run against.
#[derive(clap::Args)]
pub struct Arguments {
    /// Numbers of shards
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    shards: Vec<u16>,
    /// Ways of showing itself: node, shard
    #[arg(long, value_delimiter = ',', default_value = "node,shard")]
    advertise: Vec<String>,
    /// The broker to test
    #[arg(long, default_value = "ringlog")]
    server: ServerName,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ServerName {
    Ringlog,
    Kafka,
}

/// One client's result: its name, and what it said.
type Outcome = (String, Result<String, Failure>);

struct Clients<'a> {
    kafka: &'a Kafka,
    rdkafka: PathBuf,
}

/// Runs the matrix; an error when anything failed.
pub fn run(place: &Place, arguments: &Arguments) -> Result<(), Failure> {
    let kinds = kinds_of(arguments);
    let kafka = Kafka::fetch(place)?;
    let brokers = Brokers::build(place, &kafka, &kinds)?;
    let clients = Clients { kafka: &kafka, rdkafka: place.build_rdkafka_client()? };
    let mut columns = Vec::new();
    for kind in &kinds {
        println!("{kind}:");
        columns.push(clients.combination(place, &brokers, kind)?);
    }
    report(&kinds, &columns)
}

fn kinds_of(arguments: &Arguments) -> Vec<Kind> {
    if arguments.server == ServerName::Kafka {
        return vec![Kind::Kafka];
    }
    let mut kinds = Vec::new();
    for &shards in &arguments.shards {
        for advertise in &arguments.advertise {
            kinds.push(Kind::Ringlog { shards, advertise: advertise.clone() });
        }
    }
    kinds
}

impl Clients<'_> {
    /// Everything against one broker. Only a broker that does not start, or does not live to the
    /// end, is an error of its own.
    fn combination(
        &self,
        place: &Place,
        brokers: &Brokers<'_>,
        kind: &Kind,
    ) -> Result<Vec<Outcome>, Failure> {
        let folder = TemporaryFolder::new(place.work(), "clients")?;
        let setup = Setup {
            kind: kind.clone(),
            folder: folder.path(),
            port: process::free_ports(8)?,
            cpus: "",
            settings: &[PARTITIONS, SEGMENT],
            arguments: &[],
        };
        let mut server = brokers.start(&setup)?;
        let mut outcomes = Vec::new();
        let mut note = |name: &str, result: Result<String, Failure>| {
            match &result {
                Ok(detail) => println!("  pass  {name}: {detail}"),
                Err(failure) => println!("  FAIL  {name}: {failure}"),
            }
            outcomes.push((name.to_string(), result));
        };
        let address = setup.address();
        let sent = self.talk(kind, address, folder.path(), &mut note);
        server.check_alive()?;
        let log = server.log.clone();
        note("clean stop", setup.stop(server).map(|()| "done".to_string()));
        for name in dump::CHECK_NAMES {
            let expected = (name == "log").then_some(sent);
            note(&format!("dump-log: {name}"), self.dump(&setup.data(), name, expected));
        }
        if outcomes.iter().any(|(_, result)| result.is_err()) {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            println!("  the end of the broker's log:\n{}", process::tail(&text));
        }
        Ok(outcomes)
    }

    /// All clients in turn. Returns how many messages they sent that stay.
    fn talk(
        &self,
        kind: &Kind,
        address: SocketAddr,
        folder: &Path,
        note: &mut dyn FnMut(&str, Result<String, Failure>),
    ) -> u64 {
        let mut sent = 0;
        note("kcat -L", brokers_shown(kind, address));
        for codec in CODECS {
            let result = kcat::round_trip(address, &format!("kcat-{codec}"), codec, folder);
            let detail = format!("{} messages compared", kcat::MESSAGES);
            note(&format!("kcat {codec}"), result.map(|()| detail));
            sent += kcat::MESSAGES;
        }
        for codec in CODECS {
            note(&format!("librdkafka idempotent {codec}"), self.rdkafka(address, codec));
            sent += RDKAFKA_RECORDS;
        }
        note("kafka-topics", self.topics(address));
        note("kafka-producer-perf-test", self.producer_perf(address));
        sent += PERF_RECORDS;
        note("kafka-get-offsets", self.offsets(address));
        sent
    }

    fn rdkafka(&self, address: SocketAddr, codec: &str) -> Result<String, Failure> {
        let (topic, count) = (format!("rdkafka-{codec}"), RDKAFKA_RECORDS.to_string());
        let program = self.rdkafka.display().to_string();
        let text = process::run(&program, [&address.to_string(), &topic, codec, &count])?;
        Ok(text.trim().to_string())
    }

    fn topics(&self, address: SocketAddr) -> Result<String, Failure> {
        let topics = |arguments: &[&str]| {
            let mut command = self.kafka.tool("org.apache.kafka.tools.TopicCommand");
            command.args(["--bootstrap-server", &address.to_string()]).args(arguments);
            process::output_of(&mut command)
        };
        let sizes = ["--partitions", "3", "--replication-factor", "1"];
        topics(&[&["--create", "--topic", "by-tool"], &sizes[..]].concat())?;
        if !topics(&["--list"])?.lines().any(|line| line == "by-tool") {
            return Err("the created topic is not listed".into());
        }
        topics(&["--delete", "--topic", "by-tool"])?;
        if topics(&["--list"])?.lines().any(|line| line == "by-tool") {
            return Err("the deleted topic is listed".into());
        }
        Ok("created, listed, deleted".to_string())
    }

    fn producer_perf(&self, address: SocketAddr) -> Result<String, Failure> {
        let mut command = self.kafka.tool("org.apache.kafka.tools.ProducerPerformance");
        command.args(["--bootstrap-server", &address.to_string(), "--topic", "perf"]);
        command.args(["--num-records", &PERF_RECORDS.to_string(), "--throughput", "-1"]);
        command.args(["--record-size", &PERF_RECORD_BYTES.to_string()]);
        command.args(["--command-property", "acks=all"]);
        let (is_success, text) = process::everything_of(&mut command)?;
        let summary = text.lines().rfind(|line| line.contains(" records sent, "));
        let wanted = format!("{PERF_RECORDS} records sent, ");
        match summary {
            Some(line) if is_success && line.starts_with(&wanted) && !has_trouble(&text) => {
                Ok(line.to_string())
            }
            _ => Err(format!("unexpected output:\n{}", process::tail(&text)).into()),
        }
    }

    /// The offsets that the broker lists must add up to what the performance test sent.
    fn offsets(&self, address: SocketAddr) -> Result<String, Failure> {
        let mut command = self.kafka.tool("org.apache.kafka.tools.GetOffsetShell");
        command.args(["--bootstrap-server", &address.to_string(), "--topic", "perf"]);
        let text = process::output_of(&mut command)?;
        let end_of = |line: &str| line.rsplit(':').next().and_then(|end| end.parse::<u64>().ok());
        let sum: u64 = text.lines().filter_map(end_of).sum();
        if sum == PERF_RECORDS {
            Ok(format!("end offsets add up to {sum}"))
        } else {
            Err(format!("end offsets add up to {sum}, sent were {PERF_RECORDS}:\n{text}").into())
        }
    }

    fn dump(&self, data: &Path, name: &str, records: Option<u64>) -> Result<String, Failure> {
        let dumped = dump::check(self.kafka, data, name)?;
        match records {
            Some(sent) if sent != dumped.records => {
                Err(format!("{} records on disk, sent were {sent}", dumped.records).into())
            }
            Some(sent) => Ok(format!("{} files, {sent} records", dumped.files)),
            None => Ok(format!("{} files", dumped.files)),
        }
    }
}

fn brokers_shown(kind: &Kind, address: SocketAddr) -> Result<String, Failure> {
    let shown = kcat::list(address)?;
    let expected = match kind {
        Kind::Ringlog { shards, advertise } if advertise == "shard" => usize::from(*shards),
        _ => 1,
    };
    if shown == expected {
        Ok(format!("brokers shown: {shown}"))
    } else {
        Err(format!("brokers shown: {shown}, expected: {expected}").into())
    }
}

/// Kafka's tools print what went wrong in a callback and end well all the same. That a topic is
/// made at its first use is no trouble: they warn of it and ask again.
fn has_trouble(text: &str) -> bool {
    let is_trouble = |line: &str| ["Exception", "ERROR", "WARN"].iter().any(|w| line.contains(w));
    text.lines().any(|line| is_trouble(line) && !line.contains("reported a recoverable issue"))
}

fn report(kinds: &[Kind], columns: &[Vec<Outcome>]) -> Result<(), Failure> {
    let names: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    let mut heading = vec!["client"];
    heading.extend(names.iter().map(String::as_str));
    let mut table = Table::new(&heading);
    let mut failures = 0;
    let mut passes = 0;
    for (row, (name, _)) in columns[0].iter().enumerate() {
        let mut cells = vec![name.clone()];
        for column in columns {
            let is_pass = column[row].1.is_ok();
            passes += usize::from(is_pass);
            failures += usize::from(!is_pass);
            cells.push(if is_pass { "pass" } else { "FAIL" }.to_string());
        }
        table.push(cells);
    }
    println!("\n{}\n{passes} passed, {failures} failed", table.text());
    if failures == 0 { Ok(()) } else { Err(format!("{failures} of the matrix failed").into()) }
}
