//! `cargo perf exactly-once`: applications that rely on transactions and groups, unmodified, while
//! they and the broker are killed.
//!
//! | part | what it does |
//! |--|--|
//! | `streams` | Kafka Streams counts words under `exactly_once_v2` |
//! | `connect` | Kafka Connect copies a file through a topic into a file |
//! | `transfer` | processors of two client libraries move money between accounts |
//! | `rebalance` | how long a large group takes to settle; nobody is killed |
//!
//! Input is known beforehand, made from one seed; output is read by consumers that see what is
//! committed, of other client libraries than wrote it, during the kills and afterwards. Apache
//! Kafka, under the same kills, is the oracle of the experiment itself. One broken promise fails
//! the run.

mod broker;
mod client;
mod connect;
mod connectors;
mod follower;
mod ledger;
mod programs;
mod rebalance;
mod rest;
mod streams;
mod transfer;
mod words;

use clap::ValueEnum;

use crate::Failure;
use crate::broker::{Brokers, Kind};
use crate::kafka::Kafka;
use crate::machine::Machine;
use crate::place::Place;
use crate::process::TemporaryFolder;
use crate::promises::Promises;
use crate::random::Random;

use programs::Programs;

/// Which parts, on what, and how hard.
#[derive(clap::Args)]
pub struct Arguments {
    /// A few minutes in all, for every change; the numbers are not to be quoted
    #[arg(long)]
    quick: bool,
    /// Parts to run
    #[arg(long, value_delimiter = ',', default_value = "streams,connect,transfer,rebalance")]
    parts: Vec<String>,
    /// Which broker; rebalance times are taken of Apache Kafka as well
    #[arg(long, value_enum, default_value_t = ServerName::Ringlog)]
    server: ServerName,
    /// Shards of the broker
    #[arg(long, default_value_t = 2)]
    shards: u16,
    /// node or shard
    #[arg(long, default_value = "shard")]
    advertise: String,
    /// How often the broker is killed under transfers [default: 100; quick: 10; Apache Kafka: 3]
    #[arg(long)]
    kills: Option<u32>,
    /// Decides the input and the moments of the kills
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// A broker to experiment with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ServerName {
    Ringlog,
    Kafka,
}

/// The counts of one kind of run.
#[derive(Clone, Copy, Debug)]
struct Pace {
    is_quick: bool,
    /// Kills of the broker under transfers, each tenth with a processor.
    transfer_kills: u32,
    /// Kills under Kafka Streams: of an instance, and each third of the broker.
    streams_kills: u32,
    /// Kills under Kafka Connect: of a worker, and each third of the broker.
    connect_kills: u32,
    members: u32,
    partitions: u32,
}

/// What the parts share.
struct Ground<'a> {
    place: &'a Place,
    brokers: &'a Brokers<'a>,
    kind: Kind,
    programs: Programs,
    pace: Pace,
    random: Random,
    promises: Promises,
}

type Part = fn(&mut Ground<'_>) -> Result<(), Failure>;

const PARTS: [(&str, Part); 4] = [
    ("streams", streams::run),
    ("connect", connect::run),
    ("transfer", transfer::run),
    ("rebalance", rebalance::run),
];

/// Runs the parts; an error when a promise was broken.
pub fn run(place: &Place, arguments: &Arguments) -> Result<(), Failure> {
    let kind = match arguments.server {
        ServerName::Kafka => Kind::Kafka,
        ServerName::Ringlog => {
            Kind::Ringlog { shards: arguments.shards, advertise: arguments.advertise.clone() }
        }
    };
    let is_compared = arguments.parts.iter().any(|part| part == "rebalance");
    let is_kafka_needed = kind == Kind::Kafka || is_compared;
    let kafka = if is_kafka_needed { Kafka::fetch(place)? } else { Kafka::absent() };
    let brokers = Brokers::build(place, &kafka, std::slice::from_ref(&kind))?;
    let pace = pace(arguments);
    let mut ground = Ground {
        place,
        brokers: &brokers,
        kind,
        programs: Programs::install(place)?,
        pace,
        random: Random::new(arguments.seed),
        promises: Promises::default(),
    };
    for name in &arguments.parts {
        let part = PARTS.iter().find(|(known, _)| known == name);
        let (name, part) = part.ok_or_else(|| format!("--parts: there is no {name:?}"))?;
        println!("{name} on {}:", ground.kind);
        ground.promises.part = name;
        part(&mut ground).map_err(|failure| format!("{name}: {failure}"))?;
    }
    let Ground { promises, kind, .. } = ground;
    let experiment = if kind == Kind::Kafka { "exactly-once-kafka" } else { "exactly-once" };
    promises.report(place, &Machine::read(place)?, pace.is_quick, experiment)
}

fn pace(arguments: &Arguments) -> Pace {
    // A JVM broker takes seconds to come back, and it is here to prove the experiment.
    let is_short = arguments.quick || arguments.server == ServerName::Kafka;
    let transfer_kills = match (arguments.server, arguments.quick) {
        (ServerName::Kafka, _) => 3,
        (ServerName::Ringlog, true) => 10,
        (ServerName::Ringlog, false) => 100,
    };
    Pace {
        is_quick: arguments.quick,
        transfer_kills: arguments.kills.unwrap_or(transfer_kills),
        streams_kills: if is_short { 6 } else { 30 },
        connect_kills: if is_short { 3 } else { 9 },
        members: 100,
        partitions: 1000,
    }
}

impl Ground<'_> {
    fn folder(&self) -> Result<TemporaryFolder, Failure> {
        let name = format!("exactly-once-{}", self.promises.part);
        TemporaryFolder::new(self.place.work(), &name)
    }

    fn chance(&mut self, milliseconds: u64) -> std::time::Duration {
        std::time::Duration::from_millis(self.random.below(milliseconds))
    }
}
