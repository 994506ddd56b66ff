//! Experiments from files: brokers, workloads, alternating runs, results, reports.
//!
//! | command | what it does |
//! |--|--|
//! | `run NAME…` | the experiments of those files, as one |
//! | `first` | `run first`: one table against Apache Kafka and the ceiling |
//! | `goals` | every row of the goals, each saying whether it was met |
//! | `matrix` | every option of the broker, in slices |
//! | `quick` | the shortest answer to "how fast is it here?" |
//! | `report FOLDER` | the reports once more, from the rows |
//! | `compare A B` | what changed between two results |

pub mod charts;
pub mod clients;
pub mod compare;
pub mod counters;
pub mod disk;
pub mod figures;
pub mod fleet;
pub mod goals;
pub mod plot;
pub mod report;
pub mod results;
pub mod runner;
pub mod spec;
pub mod stats;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::Failure;
use crate::kafka::{self, Kafka};
use crate::machine::Machine;
use crate::place::Place;
use crate::process;
use clients::{Clients, Pace};
use fleet::Fleet;
use results::{Head, Results};
use runner::{Manner, Runner};
use spec::{Experiment, Kind};

const QUICK: &str = "quick";
const WINDOWS_MAX: u32 = 14;
const WINDOW: Pace = Pace { warmup: 1.0, seconds: 3.0 };
const QUICK_WINDOWS_MAX: u32 = 3;
const QUICK_WINDOW: Pace = Pace { warmup: 1.0, seconds: 2.0 };
const QUICK_ROUNDS: u32 = 2;
const QUICK_WARMUP: f64 = 1.0;
const QUICK_SECONDS: f64 = 1.5;
/// After this `cargo perf quick` begins nothing that it need not, so that it ends within three
/// minutes.
const QUICK_TIME_MAX: Duration = Duration::from_secs(110);

/// What every command that measures takes.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Options {
    /// Two short rounds: to see that everything runs, not to quote
    #[arg(long)]
    pub quick: bool,
    /// How many rounds, instead of the files' own
    #[arg(long, visible_alias = "runs")]
    pub rounds: Option<u32>,
    /// Seconds measured in each run, instead of the files' own
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Seconds before that, instead of the files' own
    #[arg(long)]
    pub warmup: Option<f64>,
    /// Only these workloads
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub only: Vec<String>,
    /// Only these brokers
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub brokers: Vec<String>,
    /// Leave Apache Kafka out
    #[arg(long)]
    pub without_kafka: bool,
    /// Count no system calls
    #[arg(long)]
    pub without_syscalls: bool,
    /// The brokers on the load's core and the load on theirs: for a machine whose disk interrupts
    /// the load's core, which then pays for what the brokers write (see /proc/interrupts)
    #[arg(long)]
    pub swap_cores: bool,
    /// Another build of a broker, as ringlog=/tmp/other/ringlog; may be repeated
    #[arg(long, value_name = "BROKER=PROGRAM")]
    pub program: Vec<String>,
    /// Where the results go [default: perf/results/DATE-NAME]
    #[arg(long, value_name = "FOLDER")]
    pub into: Option<PathBuf>,
    /// Say what would be run, and run nothing
    #[arg(long)]
    pub list: bool,
}

/// `cargo perf run`.
#[derive(clap::Args)]
pub struct RunArguments {
    /// Files, or names of files in perf/experiments
    #[arg(required = true)]
    experiments: Vec<String>,
    #[command(flatten)]
    options: Options,
}

/// `cargo perf goals`.
#[derive(clap::Args)]
pub struct GoalArguments {
    /// Only these rows: perf/experiments/goal-ROW.toml
    #[arg(long, value_delimiter = ',', value_name = "ROW")]
    rows: Vec<String>,
    #[command(flatten)]
    options: Options,
}

/// `cargo perf matrix`.
#[derive(clap::Args)]
pub struct MatrixArguments {
    /// Only these slices: perf/experiments/matrix-SLICE.toml
    slices: Vec<String>,
    #[command(flatten)]
    options: Options,
}

/// `cargo perf report`.
#[derive(clap::Args)]
pub struct ReportArguments {
    /// A folder of results
    folder: PathBuf,
}

/// Runs some files as one experiment.
pub fn run(place: &Place, arguments: &RunArguments) -> Result<(), Failure> {
    let experiment = match &arguments.experiments[..] {
        [single] => Experiment::read(place.root(), single)?,
        several => all_of(place, "run", "Several experiments.", several)?,
    };
    carry_out(place, experiment, &arguments.options)
}

/// Runs one file.
pub fn run_named(place: &Place, name: &str, options: &Options) -> Result<(), Failure> {
    carry_out(place, Experiment::read(place.root(), name)?, options)
}

/// Runs the rows of the goals.
pub fn run_goals(place: &Place, arguments: &GoalArguments) -> Result<(), Failure> {
    let about = "The goals, each with what was measured of it.";
    let experiment = family(place, "goal", "goals", about, &arguments.rows)?;
    carry_out(place, experiment, &arguments.options)
}

/// Runs the slices of the matrix.
pub fn run_matrix(place: &Place, arguments: &MatrixArguments) -> Result<(), Failure> {
    let about = "Every option of the broker, one at a time.";
    let experiment = family(place, "matrix", "matrix", about, &arguments.slices)?;
    carry_out(place, experiment, &arguments.options)
}

/// The shortest answer to "how fast is it here?".
pub fn run_quick(place: &Place, options: &Options) -> Result<(), Failure> {
    let mut options = Options { quick: true, without_syscalls: true, ..options.clone() };
    if !options.without_kafka {
        let java = process::run("java", ["-version"]);
        if let Err(failure) = java.and_then(|_| Kafka::fetch(place).map(|_| ())) {
            eprintln!("without Apache Kafka, which needs Java and Maven here: {failure}");
            options.without_kafka = true;
        }
    }
    run_named(place, QUICK, &options)
}

/// Makes a folder's reports once more.
pub fn run_report(arguments: &ReportArguments) -> Result<(), Failure> {
    let results = Results::read(&arguments.folder)?;
    report::write(&arguments.folder, &results)?;
    println!("{}", arguments.folder.join("report.html").display());
    Ok(())
}

fn family(
    place: &Place,
    prefix: &str,
    name: &str,
    about: &str,
    wanted: &[String],
) -> Result<Experiment, Failure> {
    let known = spec::names(&place.root().join("perf/experiments"));
    let start = format!("{prefix}-");
    let names: Vec<String> = if wanted.is_empty() {
        known.into_iter().filter(|name| name.starts_with(&start)).collect()
    } else {
        wanted.iter().map(|row| format!("{start}{row}")).collect()
    };
    let name = match wanted {
        [single] => format!("{name}-{single}"),
        _ => name.to_string(),
    };
    all_of(place, &name, about, &names)
}

fn all_of(place: &Place, name: &str, about: &str, names: &[String]) -> Result<Experiment, Failure> {
    let parts = names.iter().map(|name| Experiment::read(place.root(), name));
    Experiment::merged(name, about, parts.collect::<Result<_, _>>()?)
}

/// Narrows an experiment to what was asked for.
fn narrowed(mut experiment: Experiment, options: &Options) -> Result<Experiment, Failure> {
    for name in &options.brokers {
        experiment.broker(name)?;
    }
    if let Some(name) = options
        .only
        .iter()
        .find(|name| !experiment.workloads.iter().any(|workload| workload.name == **name))
    {
        return Err(format!("no workload is called {name}").into());
    }
    let is_asked =
        |asked: &[String], name: &str| asked.is_empty() || asked.iter().any(|n| n == name);
    experiment.keep(
        |name| is_asked(&options.only, name),
        |broker| {
            let is_wanted = is_asked(&options.brokers, &broker.name);
            is_wanted && !(options.without_kafka && broker.kind == Kind::Kafka)
        },
    );
    for text in &options.program {
        let (name, program) = text.split_once('=').ok_or("expected --program BROKER=PROGRAM")?;
        let found = experiment.brokers.iter_mut().find(|broker| broker.name == name);
        let broker = found.ok_or_else(|| format!("no broker is called {name}"))?;
        broker.program = Some(PathBuf::from(program).canonicalize()?);
    }
    if options.swap_cores {
        for broker in &mut experiment.brokers {
            let is_pinned = |cpus: &Option<String>| cpus.as_ref().is_some_and(|it| !it.is_empty());
            if is_pinned(&broker.cpus) && is_pinned(&broker.load_cpus) {
                std::mem::swap(&mut broker.cpus, &mut broker.load_cpus);
            }
        }
    }
    // That one is as short as it should be.
    let is_quick = options.quick && experiment.name != QUICK;
    for workload in &mut experiment.workloads {
        let quick = |value: f64, quick: f64| if is_quick { value.min(quick) } else { value };
        workload.seconds = options.seconds.unwrap_or(quick(workload.seconds, QUICK_SECONDS));
        workload.warmup = options.warmup.unwrap_or(quick(workload.warmup, QUICK_WARMUP));
        let rounds = if is_quick { workload.rounds.min(QUICK_ROUNDS) } else { workload.rounds };
        workload.rounds = options.rounds.unwrap_or(rounds).max(1);
    }
    Ok(experiment)
}

/// Runs an experiment, keeps its rows, writes and prints its reports.
fn carry_out(place: &Place, experiment: Experiment, options: &Options) -> Result<(), Failure> {
    let experiment = narrowed(experiment, options)?;
    if options.list {
        println!("{}", toml::to_string(&experiment)?);
        return Ok(());
    }
    if experiment.workloads.is_empty() {
        return Err("nothing is left to run".into());
    }
    let machine = Machine::read(place)?;
    let has = |kind: Kind| experiment.brokers.iter().any(|broker| broker.kind == kind);
    // Topics are made and deleted with our own tool, whatever the broker.
    let mut programs = vec![("ringlog-loadgen", "ringlog-loadgen"), ("ringlog", "ringlog")];
    if has(Kind::Ceiling) {
        programs.push(("ringlog-shard", "ceiling"));
    }
    place.build(&programs)?;
    let begun = std::time::Instant::now();
    let kafka = if needs_kafka(&experiment) { Kafka::fetch(place)? } else { Kafka::absent() };
    let folder = match &options.into {
        Some(folder) => folder.clone(),
        None => results::folder(place, &machine, options.quick, &experiment.name)?,
    };
    let head = Head {
        machine,
        command: std::env::args().skip(1).fold("perf".into(), |text, word| text + " " + &word),
        kafka: has(Kind::Kafka).then(|| kafka::VERSION.to_string()),
        commands: BTreeMap::new(),
        experiment,
    };
    let is_short = options.quick && head.experiment.name == QUICK;
    let manner = Manner {
        windows_max: if options.quick { QUICK_WINDOWS_MAX } else { WINDOWS_MAX },
        window: if options.quick { QUICK_WINDOW } else { WINDOW },
        counts_syscalls: !options.without_syscalls,
        time_max: is_short.then(|| QUICK_TIME_MAX.saturating_sub(begun.elapsed())),
    };
    let fleet = Fleet::new(place, &kafka)?;
    let clients = Clients { place, kafka: &kafka };
    let results = Results { head, rows: Vec::new() };
    let mut runner = Runner::new(fleet, clients, manner, &folder, results);
    let outcome = runner.run();
    let results = runner.results;
    if results.rows.is_empty() {
        return outcome;
    }
    report::write(&folder, &results)?;
    if let Some(line) = report::headline(&results) {
        println!("{line}\n");
    }
    println!("{}\n{}", report::summary(&results), folder.join("report.html").display());
    outcome
}

fn needs_kafka(experiment: &Experiment) -> bool {
    use spec::Command::{JavaConsumer, JavaEndToEnd, JavaProducer};
    let is_java = |workload: &spec::Workload| {
        matches!(workload.command, JavaProducer | JavaConsumer | JavaEndToEnd)
    };
    experiment.brokers.iter().any(|broker| broker.kind == Kind::Kafka)
        || experiment.workloads.iter().any(is_java)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_run_is_shorter_and_options_go_first() {
        let text = "brokers = ['ringlog', 'kafka']\nrounds = 9\n\
                    [[workload]]\nname = 'a'\ncommand = 'produce'\n\
                    [[workload]]\nname = 'b'\ncommand = 'produce'\nbrokers = ['kafka']\n";
        let experiment = || Experiment::parse("trial", text).unwrap();
        let quick = Options { quick: true, ..Options::default() };
        let short = narrowed(experiment(), &quick).unwrap();
        assert_eq!((short.workloads[0].rounds, short.workloads[0].seconds), (2, 1.5));
        let own = Options { rounds: Some(4), seconds: Some(0.5), ..quick };
        let own = narrowed(experiment(), &own).unwrap();
        assert_eq!((own.workloads[0].rounds, own.workloads[0].seconds), (4, 0.5));
        let swapped = Options { swap_cores: true, ..Options::default() };
        let swapped = narrowed(experiment(), &swapped).unwrap();
        let cores = (&swapped.brokers[0].cpus, &swapped.brokers[0].load_cpus);
        assert_eq!(cores, (&Some("1".to_string()), &Some("0".to_string())));
        let alone = Options { without_kafka: true, ..Options::default() };
        let alone = narrowed(experiment(), &alone).unwrap();
        assert_eq!((alone.workloads.len(), alone.brokers.len()), (1, 1));
        for wrong in [
            Options { only: vec!["c".into()], ..Options::default() },
            Options { brokers: vec!["c".into()], ..Options::default() },
            Options { program: vec!["ringlog".into()], ..Options::default() },
        ] {
            assert!(narrowed(experiment(), &wrong).is_err());
        }
    }
}
