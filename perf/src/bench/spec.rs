//! What an experiment file says, read, completed and checked.
//!
//! ```toml
//! about = "One line for the report."
//! rounds = 5                      # each round runs every broker, in an order that turns around
//! warmup = 3.0                    # seconds of each run before it is measured
//! seconds = 5.0                   # seconds measured
//! server-cpus = "0"               # as taskset takes them; "": anywhere
//! load-cpus = "1"
//! brokers = ["ringlog", "kafka"]  # of brokers.toml, or of a [[broker]] below
//!
//! [[broker]]
//! name = "ringlog-synced"
//! kind = "ringlog"                # ringlog, kafka, ceiling, disk, address
//! flags = ["--shards", "1", "--durability", "synced"]
//!
//! [[workload]]
//! name = "produce-{bytes}"
//! command = "produce"             # of ringlog-loadgen, or one of `Command`
//! options = "--message-bytes {bytes}"
//! each = [{ bytes = 10 }, { bytes = 100 }]
//!
//! [[goal]]
//! text = "≥ 12 × Kafka"
//! workloads = ["produce-100"]
//! figure = "messages_per_second"
//! against = "kafka"
//! at-least = 12.0
//! ```
//!
//! Invariant: an [`Experiment`] is complete. Names are unique, every workload names brokers that
//! are there, every goal names workloads and figures that are there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::figures;
use crate::Failure;

/// The brokers that every experiment may name.
const BROKERS: &str = include_str!("../../experiments/brokers.toml");
const ROUNDS: u32 = 5;
const WARMUP_SECONDS: f64 = 3.0;
const SECONDS: f64 = 5.0;

/// What a broker is, and so how it is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `ringlog`, started afresh for each run.
    Ringlog,
    /// Apache Kafka: one process, warmed up, kept from run to run.
    Kafka,
    /// The bare server; it takes `produce` only.
    Ceiling,
    /// No server: bare direct reads or durable writes of the same disk.
    Disk,
    /// Whatever listens at an address.
    Address,
}

/// A broker and how it is to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Broker {
    /// What workloads and goals call it.
    pub name: String,
    /// What reports call it; empty: its name.
    #[serde(default)]
    pub title: String,
    /// What it is.
    pub kind: Kind,
    /// Further arguments of the program.
    #[serde(default)]
    pub flags: Vec<String>,
    /// Broker settings by Kafka's names, as `key=value`.
    #[serde(default)]
    pub settings: Vec<String>,
    /// Cores to pin it to; absent: the experiment's.
    #[serde(default)]
    pub cpus: Option<String>,
    /// Cores for the load against it; absent: the experiment's.
    #[serde(default)]
    pub load_cpus: Option<String>,
    /// Another build of the program than the one beside `perf`.
    #[serde(default)]
    pub program: Option<PathBuf>,
    /// Where it listens; of kind `address` only.
    #[serde(default)]
    pub address: Option<SocketAddr>,
}

/// Who makes the load, and what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// `ringlog-loadgen produce`.
    Produce,
    /// `ringlog-loadgen consume`.
    Consume,
    /// `ringlog-loadgen end-to-end`.
    EndToEnd,
    /// `ringlog-loadgen mix`: producers and consumers in one run.
    Mix,
    /// `ringlog-loadgen sweep`: rising rates until the knee.
    Sweep,
    /// A clean stop, a start and rest: no load.
    Rest,
    /// Kafka's `kafka-producer-perf-test`.
    JavaProducer,
    /// Kafka's `kafka-consumer-perf-test`.
    JavaConsumer,
    /// Kafka's EndToEndLatency.
    JavaEndToEnd,
    /// librdkafka's producer, through the client of `perf/clients/rdkafka`.
    RdkafkaProducer,
}

impl Command {
    /// The subcommand of `ringlog-loadgen`, for those that are one.
    pub fn loadgen(self) -> Option<&'static str> {
        match self {
            Command::Produce => Some("produce"),
            Command::Consume => Some("consume"),
            Command::EndToEnd => Some("end-to-end"),
            Command::Mix => Some("mix"),
            Command::Sweep => Some("sweep"),
            _ => None,
        }
    }
}

/// What the disk alone is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DiskWork {
    /// Reads, durable writes, or writes with one flush behind each `depth` of them.
    pub operation: DiskOperation,
    /// Bytes of each, a multiple of 4096.
    pub block_bytes: usize,
    /// How many at a time; 1 for paced writes.
    pub depth: usize,
    /// Paced writes a second.
    #[serde(default)]
    pub rate: f64,
}

/// One kind of disk work, always O_DIRECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskOperation {
    /// Sequential reads.
    Read,
    /// Writes that are durable when they complete (O_DSYNC), into written space.
    WriteThrough,
    /// Writes, `depth` at a time, then fdatasync.
    WriteFlush,
    /// Single writes into written space at a fixed rate, each with its latency from the time that
    /// it was meant to begin: what any broker on this disk adds to.
    WritePaced,
}

/// Something that is done to each of its brokers, again in each round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Workload {
    /// What goals and rows call it.
    pub name: String,
    /// What reports call it; empty: its name.
    #[serde(default)]
    pub title: String,
    /// The heading it stands under; filled in from the file.
    #[serde(default)]
    pub section: String,
    /// Who makes the load.
    pub command: Command,
    /// Arguments for it.
    #[serde(default)]
    pub options: String,
    /// Arguments of a `ringlog-loadgen produce` that fills the topic before.
    #[serde(default)]
    pub prepare: String,
    /// Partitions of the topic; 0: the load generator makes its topic itself.
    #[serde(default)]
    pub partitions: u32,
    /// A line of `ringlog-loadgen` that runs beside it at idle priority, on the same topic unless
    /// it names one.
    #[serde(default)]
    pub beside: String,
    /// After `prepare`: the broker is started again and the page cache dropped.
    #[serde(default)]
    pub cold: bool,
    /// The broker is stopped by SIGSTOP for this long in the middle of the measured part; 0: not.
    #[serde(default)]
    pub stall_ms: u64,
    /// What a broker of kind `disk` does instead.
    #[serde(default)]
    pub disk: Option<DiskWork>,
    /// Names; empty: the experiment's.
    #[serde(default)]
    pub brokers: Vec<String>,
    /// 0: the experiment's.
    #[serde(default)]
    pub rounds: u32,
    /// Seconds; 0: the experiment's.
    #[serde(default)]
    pub warmup: f64,
    /// Seconds; 0: the experiment's.
    #[serde(default)]
    pub seconds: f64,
    /// Words to put in for `{name}`, one workload for each entry; empty: this one alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<BTreeMap<String, toml::Value>>,
}

impl Workload {
    /// Whether load comes at a fixed rate, so that latency and not throughput is the result.
    pub fn is_open_loop(&self) -> bool {
        self.options.split_whitespace().any(|word| word == "--rate")
    }
}

/// What was promised of some workloads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Goal {
    /// As people say it.
    pub text: String,
    /// The heading it stands under; filled in from the file.
    #[serde(default)]
    pub section: String,
    /// Names of workloads, each of which must meet it.
    pub workloads: Vec<String>,
    /// Which figure.
    pub figure: String,
    /// Whose.
    #[serde(default = "ringlog")]
    pub broker: String,
    /// Divided by this broker's; absent, with no `against-workload` either: taken as it is.
    #[serde(default)]
    pub against: Option<String>,
    /// Divided by the figure of this workload; absent: of the same one.
    #[serde(default)]
    pub against_workload: Option<String>,
    /// The least that meets it.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// The most that meets it.
    #[serde(default)]
    pub at_most: Option<f64>,
}

fn ringlog() -> String {
    "ringlog".to_string()
}

/// A file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    about: String,
    #[serde(default)]
    rounds: u32,
    #[serde(default)]
    warmup: f64,
    #[serde(default)]
    seconds: f64,
    #[serde(default = "first_core")]
    server_cpus: String,
    #[serde(default = "second_core")]
    load_cpus: String,
    #[serde(default)]
    brokers: Vec<String>,
    #[serde(default)]
    broker: Vec<Broker>,
    #[serde(default)]
    workload: Vec<Workload>,
    #[serde(default)]
    goal: Vec<Goal>,
}

fn first_core() -> String {
    "0".to_string()
}

fn second_core() -> String {
    "1".to_string()
}

/// An experiment, complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// Its file's name; results lie in `DATE-NAME`.
    pub name: String,
    /// One line for the report.
    pub about: String,
    /// Those that some workload names.
    pub brokers: Vec<Broker>,
    /// In the order in which they run.
    pub workloads: Vec<Workload>,
    /// What was promised of them.
    pub goals: Vec<Goal>,
}

impl Experiment {
    /// Reads a file, or `perf/experiments/NAME.toml` of the repository at `root`.
    ///
    /// # Errors
    /// One sentence that names the file and what is wrong in it.
    pub fn read(root: &Path, name: &str) -> Result<Self, Failure> {
        let folder = root.join("perf/experiments");
        let given = PathBuf::from(name);
        let path = if name.ends_with(".toml") && given.is_file() {
            given
        } else {
            folder.join(format!("{}.toml", name.trim_end_matches(".toml")))
        };
        let text = fs::read_to_string(&path).map_err(|error| {
            let known = names(&folder).join(", ");
            format!("{}: {error}; there are {known}", path.display())
        })?;
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        Self::parse(&stem.unwrap_or_default(), &text)
            .map_err(|error| format!("{}: {error}", path.display()).into())
    }

    /// Reads the text of a file.
    pub fn parse(name: &str, text: &str) -> Result<Self, Failure> {
        let file: File = toml::from_str(text)?;
        let known: File = toml::from_str(BROKERS)?;
        let mut brokers = file.broker;
        for broker in known.broker {
            if !brokers.iter().any(|own| own.name == broker.name) {
                brokers.push(broker);
            }
        }
        for broker in &mut brokers {
            broker.cpus.get_or_insert_with(|| file.server_cpus.clone());
            broker.load_cpus.get_or_insert_with(|| file.load_cpus.clone());
            if broker.title.is_empty() {
                broker.title.clone_from(&broker.name);
            }
        }
        let mut workloads = Vec::new();
        for mut workload in file.workload {
            if workload.brokers.is_empty() {
                workload.brokers.clone_from(&file.brokers);
            }
            workload.rounds = or(workload.rounds, or(file.rounds, ROUNDS));
            workload.warmup = or(workload.warmup, or(file.warmup, WARMUP_SECONDS));
            workload.seconds = or(workload.seconds, or(file.seconds, SECONDS));
            workload.section.clone_from(&file.about);
            workloads.extend(expanded(&workload)?);
        }
        let mut goals = file.goal;
        for goal in &mut goals {
            goal.section.clone_from(&file.about);
        }
        let about = file.about;
        let mut experiment = Self { name: name.to_string(), about, brokers, workloads, goals };
        experiment.drop_unused_brokers();
        experiment.check()?;
        Ok(experiment)
    }

    /// Several experiments as one: a broker that stays warm stays so for all of them.
    pub fn merged(name: &str, about: &str, parts: Vec<Self>) -> Result<Self, Failure> {
        let (name, about) = (name.to_string(), about.to_string());
        let (brokers, workloads, goals) = (Vec::new(), Vec::new(), Vec::new());
        let mut all = Self { name, about, brokers, workloads, goals };
        for part in parts {
            for broker in part.brokers {
                match all.brokers.iter().find(|known| known.name == broker.name) {
                    None => all.brokers.push(broker),
                    Some(known) if *known == broker => {}
                    Some(_) => {
                        let (name, part) = (&broker.name, &part.name);
                        return Err(format!("{part}: another broker is called {name}").into());
                    }
                }
            }
            all.workloads.extend(part.workloads);
            all.goals.extend(part.goals);
        }
        all.check()?;
        Ok(all)
    }

    /// Leaves out workloads and brokers that were not asked for (`None`: keep all), and what then
    /// has nothing to run on.
    pub fn keep(
        &mut self,
        keeps_workload: impl Fn(&str) -> bool,
        keeps_broker: impl Fn(&Broker) -> bool,
    ) {
        let kept = self.brokers.iter().filter(|broker| keeps_broker(broker));
        let kept: BTreeSet<String> = kept.map(|broker| broker.name.clone()).collect();
        self.workloads.retain_mut(|workload| {
            workload.brokers.retain(|name| kept.contains(name));
            keeps_workload(&workload.name) && !workload.brokers.is_empty()
        });
        self.drop_unused_brokers();
        let names: BTreeSet<&str> = self.workloads.iter().map(|w| w.name.as_str()).collect();
        self.goals.retain_mut(|goal| {
            goal.workloads.retain(|name| names.contains(name.as_str()));
            let is_there = |name: &String| names.contains(name.as_str());
            !goal.workloads.is_empty() && goal.against_workload.as_ref().is_none_or(is_there)
        });
    }

    /// The broker of that name.
    pub fn broker(&self, name: &str) -> Result<&Broker, Failure> {
        let found = self.brokers.iter().find(|broker| broker.name == name);
        found.ok_or_else(|| format!("no broker is called {name}").into())
    }

    fn drop_unused_brokers(&mut self) {
        let used: BTreeSet<&String> = self.workloads.iter().flat_map(|w| &w.brokers).collect();
        self.brokers.retain(|broker| used.contains(&broker.name));
    }

    fn check(&self) -> Result<(), Failure> {
        let mut seen = BTreeSet::new();
        for workload in &self.workloads {
            let name = &workload.name;
            if !seen.insert(name) {
                return Err(format!("two workloads are called {name}").into());
            }
            if workload.brokers.is_empty() {
                return Err(format!("workload {name} has no brokers").into());
            }
            for broker in &workload.brokers {
                self.check_fit(workload, self.broker(broker)?)?;
            }
        }
        for goal in &self.goals {
            let named = goal.workloads.iter().chain(&goal.against_workload);
            if let Some(missing) = named.into_iter().find(|name| !seen.contains(name)) {
                return Err(format!("goal {:?}: no workload {missing}", goal.text).into());
            }
            if !figures::is_known(&goal.figure) {
                return Err(format!("goal {:?}: no figure {}", goal.text, goal.figure).into());
            }
            if goal.at_least.is_some() == goal.at_most.is_some() {
                return Err(format!("goal {:?}: expected at-least or at-most", goal.text).into());
            }
        }
        Ok(())
    }

    fn check_fit(&self, workload: &Workload, broker: &Broker) -> Result<(), Failure> {
        let name = &workload.name;
        let misfit = match broker.kind {
            Kind::Disk if workload.disk.is_none() => "says nothing of `disk`",
            Kind::Ceiling if workload.command != Command::Produce => "is no `produce`",
            Kind::Address if broker.address.is_none() => "needs the broker's `address`",
            Kind::Address if workload.command == Command::Rest => "cannot stop that broker",
            Kind::Address if workload.stall_ms > 0 || workload.cold => "cannot stop that broker",
            _ => return Ok(()),
        };
        Err(format!("workload {name} on broker {}: it {misfit}", broker.name).into())
    }
}

/// The names of the experiments in a folder, in order.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".toml").map(String::from))
        .filter(|name| name != "brokers")
        .collect();
    names.sort();
    names
}

/// `value`, unless it is nothing.
fn or<T: Default + PartialEq>(value: T, other: T) -> T {
    if value == T::default() { other } else { value }
}

/// One workload for each entry of `each`.
fn expanded(workload: &Workload) -> Result<Vec<Workload>, Failure> {
    let single = [BTreeMap::new()];
    let entries = if workload.each.is_empty() { &single[..] } else { &workload.each[..] };
    let mut all = Vec::new();
    for entry in entries {
        let mut one = workload.clone();
        one.each = Vec::new();
        if one.title.is_empty() {
            one.title.clone_from(&one.name);
        }
        let fields =
            [&mut one.name, &mut one.title, &mut one.options, &mut one.prepare, &mut one.beside];
        for text in fields {
            for (word, value) in entry {
                let value = value.as_str().map_or_else(|| value.to_string(), String::from);
                *text = text.replace(&format!("{{{word}}}"), &value);
            }
            if text.contains('{') {
                return Err(format!("workload {}: nothing fills {text:?}", workload.name).into());
            }
        }
        all.push(one);
    }
    Ok(all)
}

#[cfg(test)]
#[path = "spec_test.rs"]
mod spec_test;
