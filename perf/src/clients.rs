//! `cargo perf clients`: every Kafka client against each way of running Ringlog.
//!
//! For each combination a fresh broker is started; the client programs play one scenario against
//! it, two at a time (but those that change the broker's own settings), each under topics of its
//! own; then it is stopped cleanly, and Kafka's file checker reads what they left. The scenario is
//! trusted because Apache Kafka passes it (`--server kafka`), and what Kafka answered is what
//! Ringlog must answer, but for the differences that are listed with their reasons.

mod answers;
pub mod install;
mod kcat;
mod kcat_group;
mod program;
mod report;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use clap::ValueEnum;

use crate::Failure;
use crate::broker::{Brokers, Kind, Setup};
use crate::dump;
use crate::kafka::Kafka;
use crate::kcat::{CODECS, MESSAGES};
use crate::place::Place;
use crate::process::{self, TemporaryFolder};
use program::{Line, Outcome, Program, Said, Visit};
use report::Results;

const PARTITIONS: &str = "num.partitions=4";
/// Small segments, so that files are rolled, indexed and snapshotted; the largest record fits.
const SEGMENT: &str = "log.segment.bytes=2097152";
const PERF_RECORDS: u64 = 200_000;
const PERF_RECORD_BYTES: u64 = 100;
/// So that groups and transactions need not wait as long as they do by default.
const PACE: [&str; 4] = [
    "group.initial.rebalance.delay.ms=300",
    "group.consumer.min.heartbeat.interval.ms=300",
    "group.consumer.heartbeat.interval.ms=300",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms=500",
];
/// How many client programs talk to a broker at a time.
const PROGRAMS_AT_ONCE: usize = 2;
/// Topics of which it is known how many records must lie in their files.
const COUNTED: [&str; 2] = ["kcat-codec-", "perf-"];

/// What to run against.
#[derive(clap::Args)]
pub struct Arguments {
    /// Numbers of shards
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    shards: Vec<u16>,
    /// Ways of showing itself: node, shard
    #[arg(long, value_delimiter = ',', default_value = "node,shard")]
    advertise: Vec<String>,
    /// The broker to test; with `kafka` its answers are kept as what is right
    #[arg(long, default_value = "ringlog")]
    server: ServerName,
    /// Only these clients
    #[arg(long, value_delimiter = ',')]
    client: Vec<String>,
    /// Only these checks, or families of checks
    #[arg(long, value_delimiter = ',')]
    check: Vec<String>,
    /// Keep the results, and make the README's table from them
    #[arg(long, conflicts_with_all = ["client", "check"])]
    write_readme: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ServerName {
    Ringlog,
    Kafka,
}

impl Arguments {
    /// Whether every client plays every check, so that what is missing is missing.
    fn is_whole(&self) -> bool {
        self.client.is_empty() && self.check.is_empty()
    }
}

/// What one combination showed.
struct Shown {
    said: BTreeMap<String, Said>,
    /// What went wrong with the broker itself or its files.
    complaints: Vec<String>,
}

struct Clients<'a> {
    kafka: &'a Kafka,
    programs: Vec<Program>,
    only: Vec<String>,
}

/// Runs the matrix; an error when anything failed.
pub fn run(place: &Place, arguments: &Arguments) -> Result<(), Failure> {
    let only = program::named(&arguments.check)?;
    let kinds = kinds_of(arguments);
    let kafka = Kafka::fetch(place)?;
    let brokers = Brokers::build(place, &kafka, &kinds)?;
    let programs = install::programs(place, &kafka, &arguments.client)?;
    let clients = Clients { kafka: &kafka, programs, only };
    let mut complaints = Vec::new();
    let mut runs = Vec::new();
    for kind in &kinds {
        println!("{kind}:");
        let shown = clients.combination(place, &brokers, kind)?;
        let of_kind = |text: &String| format!("{kind}: {text}");
        complaints.extend(shown.complaints.iter().map(of_kind));
        runs.push(shown.said);
    }
    match arguments.server {
        ServerName::Kafka => answers::keep(place, &runs[0], arguments.check.is_empty())?,
        ServerName::Ringlog => complaints.extend(compared(place, arguments, &kinds, &runs)?),
    }
    let names = kinds.iter().map(ToString::to_string).collect();
    let results = Results::of(&clients.programs, names, &runs);
    println!("\n{}", results.markdown());
    match (arguments.server, arguments.write_readme) {
        (ServerName::Kafka, _) => complaints.extend(results.regressions(&Results::default())),
        (ServerName::Ringlog, true) => results.write(place)?,
        (ServerName::Ringlog, false) => {
            complaints.extend(results.regressions(&Results::listed(place)?));
        }
    }
    if complaints.is_empty() {
        return Ok(());
    }
    Err(format!("{} complaints:\n  {}", complaints.len(), complaints.join("\n  ")).into())
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

fn settings() -> Vec<&'static str> {
    let mut settings = vec![PARTITIONS, SEGMENT];
    settings.extend(PACE);
    settings
}

/// Complaints about answers that are not Kafka's.
fn compared(
    place: &Place,
    arguments: &Arguments,
    kinds: &[Kind],
    runs: &[BTreeMap<String, Said>],
) -> Result<Vec<String>, Failure> {
    let of_kafka = answers::of_kafka(place)?;
    let listed = answers::differences(place)?;
    let mut is_seen = vec![false; listed.len()];
    let mut complaints = Vec::new();
    for (kind, said) in kinds.iter().zip(runs) {
        let has_all = arguments.check.is_empty();
        let found = answers::compare(&of_kafka, &listed, &mut is_seen, said, has_all);
        complaints.extend(found.iter().map(|text| format!("{kind}: {text}")));
    }
    if arguments.is_whole() {
        complaints.extend(answers::stale(&listed, &is_seen));
    }
    Ok(complaints)
}

impl Clients<'_> {
    /// Everything against one broker. Only a broker that does not start, or does not live to the
    /// end, is an error of its own.
    fn combination(
        &self,
        place: &Place,
        brokers: &Brokers<'_>,
        kind: &Kind,
    ) -> Result<Shown, Failure> {
        let folder = TemporaryFolder::new(place.work(), "clients")?;
        let setup = Setup {
            kind: kind.clone(),
            folder: folder.path(),
            port: process::free_ports(8)?,
            cpus: "",
            settings: &settings(),
            arguments: &[],
        };
        let mut server = brokers.start(&setup)?;
        let mut complaints = Vec::new();
        let mut note = |name: &str, result: Result<String, Failure>| match result {
            Ok(detail) => println!("  pass  {name}: {detail}"),
            Err(failure) => {
                println!("  FAIL  {name}: {failure}");
                complaints.push(format!("{name}: {failure}"));
            }
        };
        let visit = Visit { address: setup.address(), folder: folder.path(), only: &self.only };
        let mut said = self.all_said(&visit);
        server.check_alive()?;
        note("kcat -L", brokers_shown(kind, &setup));
        let mut sent = said.get(kcat::PREFIX).map_or(0, sent_by_kcat);
        if let Some(tools) = self.tools_of(&mut said) {
            tell(tools, "kafka-producer-perf-test/many", self.producer_perf(&setup));
            tell(tools, "kafka-get-offsets/many", self.offsets(&setup));
            sent += PERF_RECORDS;
        }
        server.check_alive()?;
        let log = server.log.clone();
        note("clean stop", setup.stop(server).map(|()| "done".to_string()));
        if let Some(tools) = self.tools_of(&mut said) {
            for name in dump::CHECK_NAMES {
                let expected = (name == "log").then_some(sent);
                let check = format!("kafka-dump-log/{}", name.replace(' ', "-"));
                tell(tools, &check, self.dump(&setup.data(), name, expected));
            }
        }
        if !complaints.is_empty() || said.values().flat_map(Said::values).any(is_failed) {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            println!("  the end of the broker's log:\n{}", process::tail(&text));
        }
        Ok(Shown { said, complaints })
    }

    /// Where to tell of Kafka's tools that are called from here; `None` when nobody asked.
    fn tools_of<'b>(&self, said: &'b mut BTreeMap<String, Said>) -> Option<&'b mut Said> {
        said.get_mut(install::KAFKA_CLI).filter(|_| self.only.is_empty())
    }

    /// All client programs: some at a time, then those that need the broker for themselves.
    fn all_said(&self, visit: &Visit<'_>) -> BTreeMap<String, Said> {
        let all = Mutex::new(BTreeMap::new());
        for (is_alone, at_once) in [(false, PROGRAMS_AT_ONCE), (true, 1)] {
            let these = self.programs.iter().filter(|program| program.is_alone == is_alone);
            let waiting: Mutex<VecDeque<&Program>> = Mutex::new(these.collect());
            let next = || waiting.lock().expect("no thread panicked").pop_front();
            let work = || {
                while let Some(program) = next() {
                    let said = self.played(program, visit);
                    all.lock().expect("no thread panicked").insert(program.name.to_string(), said);
                }
            };
            std::thread::scope(|scope| {
                for _ in 0..at_once {
                    scope.spawn(work);
                }
            });
        }
        all.into_inner().expect("no thread panicked")
    }

    fn played(&self, program: &Program, visit: &Visit<'_>) -> Said {
        let began = Instant::now();
        let said = match program.command.is_empty() {
            true => kcat::run(self.kafka, visit),
            false => program::run(program, visit),
        };
        let count = |outcome| said.values().filter(|line| line.result == outcome).count();
        let (passed, absent) = (count(Outcome::Pass), count(Outcome::Absent));
        let mut text = format!("  {}: {passed} pass, {absent} absent", program.name);
        text += &format!(" ({:.1} s)", began.elapsed().as_secs_f64());
        for line in said.values().filter(|line| is_failed(line)) {
            text += &format!("\n  FAIL  {} {}: {}", program.name, line.check, line.detail);
        }
        println!("{text}");
        said
    }

    fn producer_perf(&self, setup: &Setup<'_>) -> Result<String, Failure> {
        let mut command = self.kafka.tool("org.apache.kafka.tools.ProducerPerformance");
        command.args(["--bootstrap-server", &setup.address().to_string(), "--topic", "perf"]);
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
    fn offsets(&self, setup: &Setup<'_>) -> Result<String, Failure> {
        let mut command = self.kafka.tool("org.apache.kafka.tools.GetOffsetShell");
        command.args(["--bootstrap-server", &setup.address().to_string(), "--topic", "perf"]);
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
        let dumped = dump::check(self.kafka, data, name, &COUNTED)?;
        match records {
            Some(sent) if sent != dumped.records => {
                Err(format!("{} records on disk, sent were {sent}", dumped.records).into())
            }
            Some(sent) => Ok(format!("{} files, {sent} records counted", dumped.files)),
            None => Ok(format!("{} files", dumped.files)),
        }
    }
}

/// Tells of a command line class; what two right brokers share is only that it went well.
fn tell(said: &mut Said, name: &str, result: Result<String, Failure>) {
    let check = format!("{}{name}", program::TOOLS);
    let line = match result {
        Ok(detail) => {
            println!("  pass  {name}: {detail}");
            Line { check: check.clone(), result: Outcome::Pass, detail, answer: "well".to_string() }
        }
        Err(failure) => {
            println!("  FAIL  {name}: {failure}");
            program::failed(&check, &failure.to_string())
        }
    };
    said.insert(check, line);
}

fn is_failed(line: &Line) -> bool {
    line.result == Outcome::Fail
}

/// How many records kcat's codec checks have left, as far as they passed.
fn sent_by_kcat(said: &Said) -> u64 {
    let is_sent = |codec: &&&str| {
        said.get(&format!("codec/{codec}")).is_some_and(|line| line.result == Outcome::Pass)
    };
    CODECS.iter().filter(is_sent).count() as u64 * MESSAGES
}

fn brokers_shown(kind: &Kind, setup: &Setup<'_>) -> Result<String, Failure> {
    let shown = crate::kcat::list(setup.address())?;
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
