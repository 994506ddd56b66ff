//! Rounds: each one runs a workload on every broker, in an order that turns around from round to
//! round, so that what drifts drifts for all.
//!
//! All rounds of one workload follow each other: a pair is minutes apart at most. Before them,
//! Apache Kafka is run until it is no longer getting faster, and one short run of each broker is
//! spent on counting its system calls.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::clients::{Clients, Outcome, Pace, Target, words_of};
use super::counters::{self, Counters, SyscallCount};
use super::disk;
use super::figures::Figures;
use super::fleet::{Fleet, Served, drop_page_cache, settle};
use super::results::{Results, Row};
use super::spec::{Broker, Command, Kind, Workload};
use crate::Failure;
use crate::load::Running;
use crate::process;

/// A score that is at most this much above the last window's no longer rises.
const RISE_MAX: f64 = 1.03;
const WINDOWS_MIN: u32 = 3;
const COUNTING: Pace = Pace { warmup: 0.2, seconds: 1.5 };
/// A freshly started broker that rests may still be tidying up.
const REST_WAIT: Duration = Duration::from_secs(1);

/// How an experiment is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// At most so many warm-up windows of each workload for Kafka.
    pub windows_max: u32,
    /// One of them.
    pub window: Pace,
    /// Whether system calls are counted.
    pub counts_syscalls: bool,
    /// No round and no workload but the first begins after this.
    pub time_max: Option<Duration>,
}

/// The state of an experiment that runs.
pub struct Runner<'a> {
    fleet: Fleet<'a>,
    clients: Clients<'a>,
    manner: Manner,
    folder: &'a Path,
    topics: u32,
    begun: Instant,
    /// What was measured so far.
    pub results: Results,
}

impl<'a> Runner<'a> {
    /// The programs are built already; rows go to `folder`.
    pub fn new(
        fleet: Fleet<'a>,
        clients: Clients<'a>,
        manner: Manner,
        folder: &'a Path,
        results: Results,
    ) -> Self {
        Self { fleet, clients, manner, folder, topics: 0, begun: Instant::now(), results }
    }

    /// Runs it all. A workload that fails is left at that, and the next one begins.
    ///
    /// # Errors
    /// When a broker or a client failed; what was measured is in the folder.
    pub fn run(&mut self) -> Result<(), Failure> {
        self.results.write_head(self.folder)?;
        let mut failures = String::new();
        let workloads = self.results.head.experiment.workloads.clone();
        for (index, workload) in workloads.iter().enumerate() {
            if index > 0 && self.is_out_of_time() {
                eprintln!("no time is left for {}", workload.title);
                continue;
            }
            eprintln!("{} of {}: {}", index + 1, workloads.len(), workload.title);
            if let Err(failure) = self.run_workload(workload) {
                eprintln!("  it failed: {failure}");
                failures.push_str(&format!("\n{}: {failure}", workload.name));
            }
            self.results.write_head(self.folder)?;
        }
        if failures.is_empty() { Ok(()) } else { Err(format!("some failed:{failures}").into()) }
    }

    fn run_workload(&mut self, workload: &Workload) -> Result<(), Failure> {
        self.fleet.keep_only(&workload.brokers)?;
        let mut brokers = Vec::new();
        for name in &workload.brokers {
            brokers.push(self.results.head.experiment.broker(name)?.clone());
        }
        self.prepare_rounds(workload, &brokers)?;
        for round in 1..=workload.rounds {
            if round > 1 && self.is_out_of_time() {
                eprintln!("  the time is over after {} rounds", round - 1);
                break;
            }
            for broker in in_turn(&brokers, round) {
                self.measure(workload, broker, round)?;
            }
        }
        Ok(())
    }

    fn is_out_of_time(&self) -> bool {
        self.manner.time_max.is_some_and(|time_max| self.begun.elapsed() > time_max)
    }

    /// What comes before the first round: warmth and counts.
    fn prepare_rounds(&mut self, workload: &Workload, brokers: &[Broker]) -> Result<(), Failure> {
        for broker in brokers {
            if broker.kind == Kind::Kafka {
                self.warm_up(workload, broker)?;
            }
        }
        for broker in brokers {
            if is_countable(workload, broker) && self.manner.counts_syscalls {
                self.count(workload, broker)?;
            }
        }
        Ok(())
    }

    fn warm_up(&mut self, workload: &Workload, broker: &Broker) -> Result<(), Failure> {
        let windows_max = match workload.command {
            Command::Rest => 0,
            Command::JavaEndToEnd | Command::JavaConsumer | Command::Sweep => 1,
            _ => self.manner.windows_max,
        };
        let mut last = 0.0;
        for window in 1..=windows_max {
            let plain = Workload { stall_ms: 0, beside: String::new(), ..workload.clone() };
            let (figures, _) = self.sample(&plain, broker, self.manner.window, false)?;
            let score = score(workload, &figures);
            eprintln!("  {} warms up: {}", broker.title, line(&figures));
            if window >= WINDOWS_MIN && score <= last * RISE_MAX {
                break;
            }
            last = score;
        }
        Ok(())
    }

    fn count(&mut self, workload: &Workload, broker: &Broker) -> Result<(), Failure> {
        let plain = Workload { stall_ms: 0, beside: String::new(), ..workload.clone() };
        let (mut figures, _) = self.sample(&plain, broker, COUNTING, true)?;
        figures.retain(|name, _| name.starts_with("syscalls_"));
        if figures.is_empty() {
            eprintln!("  system calls cannot be counted here; their columns stay out");
            self.manner.counts_syscalls = false;
            return Ok(());
        }
        self.keep(workload, broker, 0, figures, Outcome::default())
    }

    fn measure(&mut self, workload: &Workload, broker: &Broker, round: u32) -> Result<(), Failure> {
        let pace = Pace { warmup: workload.warmup, seconds: workload.seconds };
        let (figures, outcome) = match (broker.kind, workload.disk, workload.command) {
            (Kind::Disk, Some(work), _) => {
                let duration = Duration::from_secs_f64(pace.seconds);
                let figures = disk::run(self.fleet.folder(), work, duration)?;
                settle()?;
                (figures, Outcome::default())
            }
            (_, _, Command::Rest) => (self.rest(workload, broker, pace)?, Outcome::default()),
            _ => self.sample(workload, broker, pace, false)?,
        };
        eprintln!("  {round} {}: {}", broker.title, line(&figures));
        self.keep(workload, broker, round, figures, outcome)
    }

    fn keep(
        &mut self,
        workload: &Workload,
        broker: &Broker,
        round: u32,
        figures: Figures,
        outcome: Outcome,
    ) -> Result<(), Failure> {
        let (workload, broker) = (workload.name.clone(), broker.name.clone());
        if !outcome.command.is_empty() {
            let name = format!("{broker} · {workload}");
            self.results.head.commands.entry(name).or_insert(outcome.command);
        }
        let row = Row { workload, broker, round, figures, report: outcome.report };
        self.results.push(self.folder, row)
    }

    fn obtain(&mut self, broker: &Broker) -> Result<Served, Failure> {
        let served = self.fleet.obtain(broker)?;
        let commands = &mut self.results.head.commands;
        commands.entry(broker.name.clone()).or_insert_with(|| served.command.clone());
        Ok(served)
    }

    /// One run on one broker, from its start (or from its being kept) to its end.
    fn sample(
        &mut self,
        workload: &Workload,
        broker: &Broker,
        pace: Pace,
        is_counted: bool,
    ) -> Result<(Figures, Outcome), Failure> {
        self.topics += 1;
        let topic = format!("perf-{}", self.topics);
        let mut served = self.obtain(broker)?;
        let cpus = broker.load_cpus.clone().unwrap_or_default();
        let target = Target { address: served.address, topic: &topic, cpus: &cpus };
        if workload.partitions > 0 {
            self.fleet.create_topic(served.address, &topic, workload.partitions)?;
        }
        if !workload.prepare.is_empty() {
            self.clients.loadgen("produce", &words_of(&workload.prepare), &target)?;
            settle()?;
        }
        if workload.cold {
            // Ringlog's own memory is a cache, too; Kafka has none.
            if broker.kind == Kind::Ringlog {
                served = self.fleet.restart(broker, served)?;
            }
            drop_page_cache()?;
        }
        let counting = match &served.server {
            Some(server) if is_counted => SyscallCount::start(server, self.fleet.folder()),
            _ => None,
        };
        let beside = match workload.beside.as_str() {
            "" => None,
            line => Some(self.clients.start_beside(line, &target, pace)?),
        };
        let before = served.server.as_ref().map(Counters::read).transpose()?;
        let stall = stalled(workload, &served, pace);
        let outcome = self.clients.run(broker, workload, &target, pace);
        if let Some(stall) = stall {
            stall.join().map_err(|_| "the thread that stalls the broker died")??;
        }
        if let (Err(_), Some(server)) = (&outcome, &mut served.server) {
            server.check_alive()?;
        }
        let mut outcome = outcome?;
        let mut figures = std::mem::take(&mut outcome.figures);
        if let (Some(server), Some(before)) = (&served.server, before) {
            let produces = !matches!(workload.command, Command::Consume | Command::JavaConsumer);
            let after = Counters::read(server)?;
            figures.extend(after.since(&before, outcome.moved, produces, outcome.busy));
            figures.insert("resident_mib".into(), counters::resident_mib(server)?);
        }
        if let (Some(count), Some(moved)) = (counting.and_then(SyscallCount::finish), outcome.moved)
        {
            figures.extend(counters::of_syscalls(count, moved));
        }
        if let Some(rate) = beside.map(beside_rate).transpose()?.flatten() {
            figures.insert("beside_megabytes_per_second".into(), rate);
        }
        self.fleet.give_back(broker, served, &topic)?;
        Ok((figures, outcome))
    }

    /// A clean stop of a filled broker, a start, and rest.
    fn rest(
        &mut self,
        workload: &Workload,
        broker: &Broker,
        pace: Pace,
    ) -> Result<Figures, Failure> {
        let mut served = self.obtain(broker)?;
        if !workload.prepare.is_empty() {
            let cpus = broker.load_cpus.clone().unwrap_or_default();
            let target = Target { address: served.address, topic: "perf-rest", cpus: &cpus };
            self.clients.loadgen("produce", &words_of(&workload.prepare), &target)?;
            settle()?;
        }
        served = self.fleet.restart(broker, served)?;
        let Some(server) = &served.server else { return Err("nobody rests".into()) };
        thread::sleep(REST_WAIT);
        let before = server.running_time()?;
        thread::sleep(Duration::from_secs_f64(pace.seconds));
        let used = server.running_time()?.saturating_sub(before).as_secs_f64();
        let figures = Figures::from([
            ("start_ms".to_string(), server.start_time.as_secs_f64() * 1e3),
            ("idle_percent".to_string(), used / pace.seconds * 100.0),
            ("resident_mib".to_string(), counters::resident_mib(server)?),
        ]);
        self.fleet.end(served)?;
        Ok(figures)
    }
}

/// The brokers in the order of a round: forwards in odd ones, backwards in even ones.
fn in_turn(brokers: &[Broker], round: u32) -> Vec<&Broker> {
    let mut order: Vec<&Broker> = brokers.iter().collect();
    if round.is_multiple_of(2) {
        order.reverse();
    }
    order
}

fn is_countable(workload: &Workload, broker: &Broker) -> bool {
    let is_ours = matches!(broker.kind, Kind::Ringlog | Kind::Kafka | Kind::Ceiling);
    let is_timed = matches!(
        workload.command,
        Command::Produce | Command::Consume | Command::EndToEnd | Command::Mix
    );
    is_ours && is_timed && !workload.cold
}

/// What rises while a broker warms up: its rate, or, where that is given, its speed of answering.
fn score(workload: &Workload, figures: &Figures) -> f64 {
    let figure = |name: &str| figures.get(name).copied();
    let rate = figure("messages_per_second").or(figure("knee_messages_per_second"));
    match figure("p99_us").filter(|_| workload.is_open_loop()) {
        Some(p99) if p99 > 0.0 => 1.0 / p99,
        _ => rate.unwrap_or(0.0),
    }
}

/// The figures a person waits for.
fn line(figures: &Figures) -> String {
    let mut words = Vec::new();
    for name in
        ["messages_per_second", "megabytes_per_second", "cpu_seconds_per_gb", "p99_us", "start_ms"]
    {
        if let (Some(value), Some(figure)) = (figures.get(name), super::figures::find(name)) {
            let value = crate::table::significant(value * figure.scale);
            words.push(format!("{value} {}", figure.title));
        }
    }
    words.join(", ")
}

/// Stops the broker's process for a while in the middle of the measured part.
fn stalled(
    workload: &Workload,
    served: &Served,
    pace: Pace,
) -> Option<thread::JoinHandle<Result<(), String>>> {
    let server = served.server.as_ref().filter(|_| workload.stall_ms > 0)?;
    let process = server.id().to_string();
    let wait = Duration::from_secs_f64(pace.warmup + pace.seconds / 2.0);
    let stall = Duration::from_millis(workload.stall_ms);
    Some(thread::spawn(move || {
        let signal = |name: &str| process::run("kill", [name, &process]);
        thread::sleep(wait);
        let stopped = signal("-STOP");
        thread::sleep(stall);
        // Whatever happened to the first one.
        signal("-CONT").and(stopped).map(|_| ()).map_err(|failure| failure.to_string())
    }))
}

fn beside_rate(running: Running) -> Result<Option<f64>, Failure> {
    Ok(running.finish()?.map(|report| report.megabytes_per_second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::spec::Experiment;

    #[test]
    fn rounds_turn_around() {
        let text = "brokers = ['ringlog', 'kafka', 'ceiling']\n\
                    [[workload]]\nname = 'a'\ncommand = 'produce'\n";
        let experiment = Experiment::parse("trial", text).unwrap();
        let names = |round| -> Vec<String> {
            in_turn(&experiment.brokers, round).iter().map(|broker| broker.name.clone()).collect()
        };
        assert_eq!(names(1), ["ringlog", "kafka", "ceiling"]);
        assert_eq!(names(2), ["ceiling", "kafka", "ringlog"]);
        assert_eq!(names(3), names(1));
    }

    #[test]
    fn warmth_is_a_rate_or_a_short_answer() {
        let text = "brokers = ['kafka']\n\
                    [[workload]]\nname = 'closed'\ncommand = 'produce'\n\
                    [[workload]]\nname = 'open'\ncommand = 'produce'\noptions = '--rate 10'\n";
        let experiment = Experiment::parse("trial", text).unwrap();
        let figures = [("messages_per_second", 10.0), ("p99_us", 50.0)];
        let figures: Figures = figures.map(|(name, value)| (name.to_string(), value)).into();
        assert_eq!(score(&experiment.workloads[0], &figures), 10.0);
        assert_eq!(score(&experiment.workloads[1], &figures), 0.02);
        assert_eq!(score(&experiment.workloads[1], &Figures::new()), 0.0);
    }
}
