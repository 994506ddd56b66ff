//! `cargo perf`: experiments that run brokers as processes and look at them from outside.
//!
//! | command | what it does |
//! |--|--|
//! | `run`, `first`, `goals`, `matrix`, `quick` | experiments from files, with Apache Kafka |
//! | `report`, `compare` | their results once more, and what changed between two |
//! | `crash` | `kill -9` at random moments under producers; nothing acknowledged may miss |
//! | `hostile` | clients that mean harm, or too much, with well-behaved ones beside them |
//! | `exactly-once` | transactions, Kafka Streams and Kafka Connect on a broker that is killed |
//! | `record` | a proxy that keeps clients' frames as seeds for the fuzz targets |
//! | `clients` | foreign clients and Kafka's own file checker against each way of running Ringlog |
//!
//! Everything here is a client: no Ringlog code is linked in but the load generator's.

#![forbid(unsafe_code)]
// An experiment lives in real time, on real files and sockets: it is the world that the product's
// state machines take as arguments.
#![allow(clippy::disallowed_methods)]

mod bench;
mod broker;
mod clients;
mod crash;
mod dump;
mod exactly_once;
mod hostile;
mod kafka;
mod kcat;
mod load;
mod machine;
mod place;
mod process;
mod promises;
mod random;
mod record;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What stops an experiment: always a sentence for a person.
pub type Failure = Box<dyn std::error::Error>;

/// Experiments with Ringlog and its peers.
#[derive(Parser)]
#[command(name = "perf", version)]
struct Arguments {
    /// Folder for data directories [default: target/perf]
    #[arg(long, global = true)]
    work: Option<PathBuf>,
    /// Folder with `ringlog` and its companions, to be used as they are [default: build them]
    #[arg(long, global = true)]
    binaries: Option<PathBuf>,
    #[command(subcommand)]
    experiment: Experiment,
}

#[derive(Subcommand)]
enum Experiment {
    /// Experiments from files in perf/experiments
    Run(bench::RunArguments),
    /// Ringlog, Apache Kafka and the ceiling of this machine in one table
    First(bench::Options),
    /// Every goal, each with what was measured of it
    Goals(bench::GoalArguments),
    /// Every option of the broker, in slices
    Matrix(bench::MatrixArguments),
    /// Within three minutes: how many messages a second, at which p99.9, against Apache Kafka
    Quick(bench::Options),
    /// Make the reports of a folder of results once more
    Report(bench::ReportArguments),
    /// What changed between two folders of results, and whether it is more than noise
    Compare(bench::compare::Arguments),
    /// Kill the broker at random moments under producers; nothing acknowledged may miss
    Crash(crash::Arguments),
    /// Foreign clients and Kafka's file checker against each way of running Ringlog
    Clients(clients::Arguments),
    /// Clients that mean harm, or simply too much, with well-behaved ones beside them
    Hostile(hostile::Arguments),
    /// Transactions, Kafka Streams and Kafka Connect on a broker that is killed; rebalance times
    ExactlyOnce(exactly_once::Arguments),
    /// Keep what clients and a broker say to each other, as seeds for the fuzz targets
    Record(record::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = place::Place::find(arguments.work, arguments.binaries).and_then(|place| {
        match arguments.experiment {
            Experiment::Run(arguments) => bench::run(&place, &arguments),
            Experiment::First(options) => bench::run_named(&place, "first", &options),
            Experiment::Goals(arguments) => bench::run_goals(&place, &arguments),
            Experiment::Matrix(arguments) => bench::run_matrix(&place, &arguments),
            Experiment::Quick(options) => bench::run_quick(&place, &options),
            Experiment::Report(arguments) => bench::run_report(&arguments),
            Experiment::Compare(arguments) => bench::compare::run(&place, &arguments),
            Experiment::Crash(arguments) => crash::run(&place, &arguments),
            Experiment::Clients(arguments) => clients::run(&place, &arguments),
            Experiment::Hostile(arguments) => hostile::run(&place, &arguments),
            Experiment::ExactlyOnce(arguments) => exactly_once::run(&place, &arguments),
            Experiment::Record(arguments) => record::run(&arguments),
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("perf: {failure}");
            ExitCode::FAILURE
        }
    }
}
