//! `cargo perf hostile`: clients that mean harm or simply too much, and well-behaved ones beside
//! them.
//!
//! The broker has core 0 and all load core 1; attackers run at idle priority, so that what a good
//! client sees is the broker's doing and not the attackers' hunger. Each part starts a broker of
//! its own, prints its rows, and says of each whether the promise was kept; one broken promise
//! fails the run. Where a good client's latency is compared, its records are acknowledged from
//! memory: a disk shared with strangers stalls for longer than what is looked for.

mod fairness;
mod idle;
mod malformed;
mod mutate;
mod overload;
mod slow;
mod socket;

use std::fmt;
use std::thread::sleep;
use std::time::Duration;

use crate::Failure;
use crate::broker::{Brokers, Kind, Setup};
use crate::kafka::Kafka;
use crate::load::{Loadgen, Report};
use crate::machine::Machine;
use crate::place::Place;
use crate::process::{self, Server, TemporaryFolder};
use crate::promises::Promises;

const SERVER_CPU: &str = "0";
const LOAD_CPU: usize = 1;
const MIB: f64 = 1024.0 * 1024.0;
/// Percentiles below this are told apart by the scheduler only: the good client shares its core
/// with the load, and a tick is 4,000, microseconds.
const NOISE_US: f64 = 5_000.0;
/// In a quick run, which finds what waits for a timeout and no more, microseconds.
const NOISE_QUICK_US: f64 = 100_000.0;

/// Which parts, and how long.
#[derive(clap::Args)]
pub struct Arguments {
    /// About a minute in all, for every change; the numbers are not to be quoted
    #[arg(long)]
    quick: bool,
    /// Parts to run
    #[arg(long, value_delimiter = ',', default_value = "malformed,idle,fairness,overload,slow")]
    parts: Vec<String>,
    /// Malformed frames for each API [default: 1,000,000; quick: 3,000]
    #[arg(long)]
    frames: Option<u64>,
    /// Decides what is malformed
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The durations and counts of one kind of run.
#[derive(Clone, Copy, Debug)]
struct Pace {
    is_quick: bool,
    frames: u64,
    seconds: f64,
    good_runs: usize,
    idle_connections: usize,
    active_connections: usize,
    slow_connections: usize,
    overload_seconds: f64,
}

/// What the parts share.
struct Ground<'a> {
    place: &'a Place,
    brokers: Brokers<'a>,
    loadgen: Loadgen,
    pace: Pace,
    seed: u64,
    promises: Promises,
}

/// 99th percentiles of several runs, microseconds, in order.
pub(crate) struct P99s(Vec<f64>);

impl P99s {
    /// # Errors
    /// There is none.
    fn new(mut runs: Vec<f64>) -> Result<Self, Failure> {
        runs.sort_by(f64::total_cmp);
        if runs.is_empty() { Err("no run".into()) } else { Ok(Self(runs)) }
    }

    fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }
}

impl fmt::Display for P99s {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (self.0[0], self.0[self.0.len() - 1]);
        write!(out, "{:.0} µs ({least:.0} to {most:.0})", self.median())
    }
}

type Part = fn(&mut Ground<'_>) -> Result<(), Failure>;

const PARTS: [(&str, Part); 5] = [
    ("malformed", malformed::run),
    ("idle", idle::run),
    ("fairness", fairness::run),
    ("overload", overload::run),
    ("slow", slow::run),
];

/// Runs the parts; an error when a promise was broken.
pub fn run(place: &Place, arguments: &Arguments) -> Result<(), Failure> {
    let pace = pace(arguments);
    let machine = Machine::read(place)?;
    if machine.cores < 2 {
        return Err("expected two cores, one for the broker and one for the load".into());
    }
    socket::allow_many()?;
    socket::pin_to(LOAD_CPU)?;
    place.build(&[("ringlog-loadgen", "ringlog-loadgen"), ("ringlog", "ringlog")])?;
    let kafka = Kafka::absent();
    let mut ground = Ground {
        place,
        brokers: Brokers { kafka: &kafka, binaries: place.binaries() },
        loadgen: Loadgen::new(place.binaries(), Some(LOAD_CPU)),
        pace,
        seed: arguments.seed,
        promises: Promises::default(),
    };
    for name in &arguments.parts {
        let part = PARTS.iter().find(|(known, _)| known == name);
        let (name, part) = part.ok_or_else(|| format!("--parts: there is no {name:?}"))?;
        println!("{name}:");
        ground.promises.part = name;
        part(&mut ground).map_err(|failure| format!("{name}: {failure}"))?;
    }
    ground.promises.report(place, &machine, pace.is_quick, "hostile")
}

fn pace(arguments: &Arguments) -> Pace {
    let is_quick = arguments.quick;
    let or = |quick: f64, full: f64| if is_quick { quick } else { full };
    Pace {
        is_quick,
        frames: arguments.frames.unwrap_or(or(3e3, 1e6) as u64),
        seconds: or(3.0, 25.0),
        good_runs: or(3.0, 5.0) as usize,
        idle_connections: or(2e3, 1e4) as usize,
        active_connections: or(1e3, 2e3) as usize,
        slow_connections: or(200.0, 500.0) as usize,
        overload_seconds: or(6.0, 30.0),
    }
}

impl<'a> Ground<'a> {
    fn folder(&self) -> Result<TemporaryFolder, Failure> {
        TemporaryFolder::new(self.place.work(), &format!("hostile-{}", self.promises.part))
    }

    fn setup<'s>(
        &self,
        folder: &'s TemporaryFolder,
        arguments: &'s [&'s str],
        settings: &'s [&'s str],
    ) -> Result<Setup<'s>, Failure> {
        Ok(Setup {
            kind: Kind::Ringlog { shards: 1, advertise: "node".into() },
            folder: folder.path(),
            port: process::free_ports(2)?,
            cpus: SERVER_CPU,
            settings,
            arguments,
        })
    }

    /// A well-behaved producer: one small request at a time, at a fixed rate, in several runs.
    fn good_client(&self, setup: &Setup<'_>) -> Result<P99s, Failure> {
        let runs = (0..self.pace.good_runs).map(|_| {
            let report = self.good_run(setup)?;
            Ok(report.latency.map_or(f64::INFINITY, |it| it.p99_us))
        });
        P99s::new(runs.collect::<Result<_, Failure>>()?)
    }

    fn good_run(&self, setup: &Setup<'_>) -> Result<Report, Failure> {
        let seconds = (self.pace.seconds / self.pace.good_runs as f64).to_string();
        let arguments = [
            "--topic",
            "good",
            "--partitions",
            "1",
            "--connections",
            "1",
            "--inflight",
            "1",
            "--message-bytes",
            "100",
            "--batch-messages",
            "1",
            "--rate",
            "500",
            "--duration",
            &seconds,
            "--warmup",
            "0.5",
        ];
        self.loadgen.run("produce", setup.address(), &arguments)
    }

    /// The 99th percentile of a good client's latency beside something, which may be at most twice
    /// what it is alone. Medians of the runs: a disk shared with strangers stalls now and then.
    fn compare_p99(&mut self, what: &str, alone: &P99s, beside: &P99s) {
        // A quick run is for machines that do other things as well.
        let noise = if self.pace.is_quick { NOISE_QUICK_US } else { NOISE_US };
        let limit = (2.0 * alone.median()).max(noise);
        let is_kept = beside.median() <= limit;
        self.promises.row(what, beside.to_string(), format!("≤ {limit:.0} µs"), is_kept);
        self.promises.note(&format!("{what}, alone"), alone.to_string());
    }
}

/// Resident memory, once what is being taken down is gone.
fn settled_resident(server: &Server) -> Result<f64, Failure> {
    sleep(Duration::from_millis(500));
    Ok(server.resident_bytes()? as f64)
}
