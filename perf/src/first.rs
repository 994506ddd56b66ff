//! `cargo perf first`: Ringlog, Apache Kafka and the ceiling of the machine in one table.
//!
//! The server has core 0 and the load core 1. Rounds alternate: each one measures every system, in
//! an order that turns around from round to round, so that what drifts drifts for all. Kafka is one
//! process, warmed until its rate stops rising; Ringlog and the ceiling start afresh for each row.
//! What a row wrote is deleted, and the disk is given peace, before the next one begins.

mod bench;
mod report;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::Failure;
use crate::kafka::Kafka;
use crate::machine::Machine;
use crate::place::Place;
use crate::process;
use bench::Bench;

/// How long and how often.
#[derive(clap::Args)]
pub struct Arguments {
    /// Two short rounds: to see that everything runs, not to quote
    #[arg(long)]
    quick: bool,
    /// How many rounds [default: 5, quick: 2]
    #[arg(long)]
    runs: Option<u32>,
    /// Leave Apache Kafka out
    #[arg(long)]
    without_kafka: bool,
    /// Leave Ringlog and the ceiling out (to try the experiment itself)
    #[arg(long)]
    only_kafka: bool,
}

/// Whom a sample was taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum System {
    Kafka,
    Ringlog,
    Ceiling,
}

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Work {
    /// 640 × 100 B in each request, 160 for each of 4 partitions.
    Produce,
    /// One message in each request, one request under way.
    Single,
    /// 1 MiB fetches of what was just written.
    Fetch,
    /// Two shards, one broker to the outside: half of each request crosses the bus.
    ProduceWrongShard,
    /// Two shards, each a broker of its own: no request crosses.
    ProduceRightShard,
    /// Nothing.
    Idle,
    /// From the spawn to the first accepted connection.
    Start,
}

/// One measurement: figures by name, and the load generator's own report.
#[derive(Clone, Debug, Serialize)]
struct Sample {
    round: u32,
    system: System,
    work: Work,
    figures: BTreeMap<&'static str, f64>,
    report: Value,
}

/// The durations of one kind of run.
#[derive(Clone, Copy, Debug, Serialize)]
struct Pace {
    rounds: u32,
    warmup_seconds: f64,
    seconds: f64,
    idle_seconds: f64,
    fetch_messages: u64,
    kafka_starts: u32,
    kafka_windows_max: u32,
}

const THOROUGH: Pace = Pace {
    rounds: 5,
    warmup_seconds: 3.0,
    seconds: 5.0,
    idle_seconds: 5.0,
    fetch_messages: 1_000_000,
    kafka_starts: 5,
    kafka_windows_max: 14,
};
const QUICK: Pace = Pace {
    rounds: 2,
    warmup_seconds: 1.0,
    seconds: 1.5,
    idle_seconds: 1.0,
    fetch_messages: 1_000_000,
    kafka_starts: 1,
    kafka_windows_max: 3,
};
/// Between rows: the disk's own queue empties, a JVM's collectors settle.
const PEACE: Duration = Duration::from_millis(500);

/// Runs the experiment, prints the table, and keeps the raw rows.
pub fn run(place: &Place, arguments: &Arguments) -> Result<(), Failure> {
    let mut pace = if arguments.quick { QUICK } else { THOROUGH };
    pace.rounds = arguments.runs.unwrap_or(pace.rounds).max(1);
    let machine = Machine::read(place)?;
    if machine.cores < 2 {
        return Err("expected two cores, one for the server and one for the load".into());
    }
    let kafka = if arguments.without_kafka { Kafka::absent() } else { Kafka::fetch(place)? };
    place.build(&[("ringlog-loadgen", "ringlog-loadgen")])?;
    if !arguments.only_kafka {
        place.build(&[("ringlog", "ringlog"), ("ringlog-shard", "ceiling")])?;
    }
    let mut bench = Bench::new(place, &kafka, pace)?;
    if !arguments.without_kafka {
        bench.start_kafka()?;
        bench.warm_kafka()?;
    }
    for round in 1..=pace.rounds {
        println!("round {round} of {}", pace.rounds);
        let mut systems = [System::Kafka, System::Ringlog, System::Ceiling];
        if round % 2 == 0 {
            systems.reverse();
        }
        for system in systems {
            let is_left_out = match system {
                System::Kafka => arguments.without_kafka,
                _ => arguments.only_kafka,
            };
            if !is_left_out {
                bench.measure(system, round)?;
            }
        }
    }
    let text = report::text(&machine, pace, &bench.samples);
    println!("\n{text}");
    let folder = results_folder(place, &machine, arguments.quick, "first");
    keep(&folder, &text, &bench.samples)?;
    println!("raw rows: {}", folder.display());
    Ok(())
}

/// `perf/results/DATE-EXPERIMENT`, or the next free one; a quick run leaves nothing in the
/// repository.
pub fn results_folder(
    place: &Place,
    machine: &Machine,
    is_quick: bool,
    experiment: &str,
) -> PathBuf {
    if is_quick {
        return place.work().join(format!("quick-{experiment}"));
    }
    let results = place.root().join("perf/results");
    let name = format!("{}-{experiment}", machine.date);
    let numbered = (2..).map(|number| results.join(format!("{name}-{number}")));
    std::iter::once(results.join(&name))
        .chain(numbered)
        .find(|folder| !folder.exists())
        .expect("numbers do not run out")
}

fn keep(folder: &std::path::Path, text: &str, samples: &[Sample]) -> Result<(), Failure> {
    fs::create_dir_all(folder)?;
    let mut lines = String::new();
    for sample in samples {
        lines.push_str(&serde_json::to_string(sample)?);
        lines.push('\n');
    }
    process::write_file(&folder.join("rows.jsonl"), lines.as_bytes())?;
    process::write_file(&folder.join("README.md"), text.as_bytes())
}

/// Writes out what is dirty, so that one row's writes do not slow the next.
fn settle() -> Result<(), Failure> {
    process::run::<&str>("sync", [])?;
    sleep(PEACE);
    Ok(())
}
