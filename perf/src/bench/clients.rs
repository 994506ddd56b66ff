//! Who makes the load: our load generator, Kafka's own tools, librdkafka.

use std::net::SocketAddr;
use std::process::{Command as Process, Stdio};

use serde_json::Value;

use super::figures::{self, Figures, Moved};
use super::spec::{Broker, Command, Kind, Workload};
use crate::Failure;
use crate::kafka::Kafka;
use crate::load::Running;
use crate::place::Place;
use crate::process;

/// What a client found.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Its figures.
    pub figures: Figures,
    /// What it moved, where it says so.
    pub moved: Option<Moved>,
    /// Seconds under load, of clients that take long to start.
    pub busy: Option<f64>,
    /// Its own report; null of those that print text.
    pub report: Value,
    /// How it was started.
    pub command: String,
}

/// How long a run is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Seconds before it is measured.
    pub warmup: f64,
    /// Seconds measured.
    pub seconds: f64,
}

/// Where a client is to go.
pub struct Target<'a> {
    /// The broker.
    pub address: SocketAddr,
    /// The topic.
    pub topic: &'a str,
    /// Cores of the client, as `taskset -c` takes them; empty: any.
    pub cpus: &'a str,
}

/// The clients, built.
pub struct Clients<'a> {
    /// Where programs are.
    pub place: &'a Place,
    /// Whose tools are run.
    pub kafka: &'a Kafka,
}

impl Clients<'_> {
    /// Runs a workload to its end.
    pub fn run(
        &self,
        broker: &Broker,
        workload: &Workload,
        target: &Target<'_>,
        pace: Pace,
    ) -> Result<Outcome, Failure> {
        if let Some(name) = workload.command.loadgen() {
            let mut words = words_of(&workload.options);
            // A sweep has its own times for each step; a count of messages is an end as well.
            let is_counted = words.iter().any(|word| word == "--messages");
            if workload.command != Command::Sweep && !is_counted {
                words.extend(timed(pace));
            }
            if broker.kind == Kind::Ceiling {
                words.push("--bare".into());
            }
            return self.loadgen(name, &words, target);
        }
        match workload.command {
            Command::JavaProducer => self.java_producer(workload, target),
            Command::JavaConsumer => self.java_consumer(workload, target),
            Command::JavaEndToEnd => self.java_end_to_end(workload, target),
            Command::RdkafkaProducer => self.rdkafka(workload, target, pace),
            other => Err(format!("{other:?} is no client").into()),
        }
    }

    /// Runs the load generator.
    pub fn loadgen(
        &self,
        name: &str,
        words: &[String],
        target: &Target<'_>,
    ) -> Result<Outcome, Failure> {
        let mut command = self.loadgen_command(name, words, target, false);
        let text = process::output_of(&mut command)?;
        let unreadable = |error| format!("the load generator's JSON: {error}\n{text}");
        let report: Value = serde_json::from_str(text.trim()).map_err(unreadable)?;
        let moved = Moved::of_loadgen(&report);
        if moved.is_none() && report.get("steps").is_none() {
            return Err(format!("{} moved nothing:\n{text}", shown(&command)).into());
        }
        let figures = figures::of_loadgen(&report);
        Ok(Outcome { figures, moved, busy: None, report, command: shown(&command) })
    }

    /// Starts what runs beside a workload, for a little longer than that takes. To be called from
    /// the main thread only, see [`process`].
    pub fn start_beside(
        &self,
        line: &str,
        target: &Target<'_>,
        pace: Pace,
    ) -> Result<Running, Failure> {
        let mut words = words_of(line);
        if words.is_empty() {
            return Err("expected a workload of the load generator".into());
        }
        let name = words.remove(0);
        words.extend(timed(Pace { warmup: 0.0, seconds: pace.warmup + pace.seconds }));
        Running::start(&mut self.loadgen_command(&name, &words, target, true))
    }

    fn loadgen_command(
        &self,
        name: &str,
        words: &[String],
        target: &Target<'_>,
        is_idle: bool,
    ) -> Process {
        let program = self.place.binaries().join("ringlog-loadgen");
        let mut command = pinned(target.cpus, is_idle);
        command.arg(program).arg(name).args(["--bootstrap", &target.address.to_string(), "--json"]);
        if !words.iter().any(|word| word == "--topic") {
            command.args(["--topic", target.topic]);
        }
        command.args(words);
        command
    }

    fn java(&self, class: &str, cpus: &str) -> Process {
        let mut command = pinned(cpus, false);
        command.arg("java").args(self.kafka.performance_tool(class));
        command
    }

    fn java_producer(&self, workload: &Workload, target: &Target<'_>) -> Result<Outcome, Failure> {
        let mut command = self.java("org.apache.kafka.tools.ProducerPerformance", target.cpus);
        command.args(["--bootstrap-server", &target.address.to_string()]);
        command.args(["--topic", target.topic]).args(words_of(&workload.options));
        let text = process::output_of(&mut command)?;
        let (figures, messages) = producer_performance(&text)
            .ok_or_else(|| format!("kafka-producer-perf-test said:\n{}", process::tail(&text)))?;
        let record_bytes = option(&workload.options, "--record-size").unwrap_or(0.0);
        Ok(of_tool(figures, messages, record_bytes, &command))
    }

    fn java_consumer(&self, workload: &Workload, target: &Target<'_>) -> Result<Outcome, Failure> {
        let mut command = self.java("org.apache.kafka.tools.ConsumerPerformance", target.cpus);
        command.args(["--bootstrap-server", &target.address.to_string()]);
        command.args(["--topic", target.topic]).args(words_of(&workload.options));
        let text = process::output_of(&mut command)?;
        let (figures, messages) = consumer_performance(&text)
            .ok_or_else(|| format!("kafka-consumer-perf-test said:\n{}", process::tail(&text)))?;
        let rate = figures.get("messages_per_second").copied().unwrap_or(0.0);
        let bytes = figures.get("megabytes_per_second").map_or(0.0, |mb| mb * 1e6 / rate);
        Ok(of_tool(figures, messages, bytes, &command))
    }

    fn java_end_to_end(
        &self,
        workload: &Workload,
        target: &Target<'_>,
    ) -> Result<Outcome, Failure> {
        let mut command = self.java("org.apache.kafka.tools.EndToEndLatency", target.cpus);
        command.args([&target.address.to_string(), target.topic]);
        command.args(words_of(&workload.options));
        let text = process::output_of(&mut command)?;
        let figures = end_to_end_latency(&text)
            .ok_or_else(|| format!("EndToEndLatency said:\n{}", process::tail(&text)))?;
        let command = shown(&command);
        Ok(Outcome { figures, command, ..Outcome::default() })
    }

    fn rdkafka(
        &self,
        workload: &Workload,
        target: &Target<'_>,
        pace: Pace,
    ) -> Result<Outcome, Failure> {
        let mut command = pinned(target.cpus, false);
        command.arg(self.place.build_rdkafka_client()?);
        command.args(["--bootstrap", &target.address.to_string(), "--prefix", target.topic]);
        command.args(["--bench", &(pace.warmup + pace.seconds).to_string()]);
        command.args(words_of(&workload.options));
        let text = process::output_of(&mut command)?;
        let unreadable = |error| format!("the librdkafka client's JSON: {error}\n{text}");
        let report: Value = serde_json::from_str(text.trim()).map_err(unreadable)?;
        let mut outcome = Outcome { figures: figures::of_loadgen(&report), ..Outcome::default() };
        outcome.moved = Moved::of_loadgen(&report);
        outcome.busy = report.get("seconds").and_then(Value::as_f64);
        outcome.command = shown(&command);
        outcome.report = report;
        Ok(outcome)
    }
}

/// A client's command that dies with us, on those cores, perhaps only when nobody else wants them.
fn pinned(cpus: &str, is_idle: bool) -> Process {
    let mut words = vec!["--pdeathsig", "KILL"];
    if !cpus.is_empty() {
        words.extend(["taskset", "-c", cpus]);
    }
    if is_idle {
        words.extend(["chrt", "--idle", "0"]);
    }
    let mut command = Process::new("setpriv");
    command.args(words).stdin(Stdio::null());
    command
}

fn of_tool(figures: Figures, messages: f64, record_bytes: f64, command: &Process) -> Outcome {
    let rate = figures.get("messages_per_second").copied().filter(|rate| *rate > 0.0);
    let bytes = messages * record_bytes;
    let moved = Moved { messages, bytes, written: bytes, requests: 0.0 };
    let busy = rate.map(|rate| messages / rate);
    let (moved, report) = (Some(moved), Value::Null);
    Outcome { figures, moved, busy, report, command: shown(command) }
}

/// The words of a command line without quotes.
pub fn words_of(text: &str) -> Vec<String> {
    text.split_whitespace().map(String::from).collect()
}

fn timed(pace: Pace) -> Vec<String> {
    words_of(&format!("--warmup {} --duration {}", pace.warmup, pace.seconds))
}

/// A command as a person would type it, without what only serves the experiment.
fn shown(command: &Process) -> String {
    let words = command.get_args().map(|word| word.to_string_lossy());
    let words: Vec<_> = words.skip_while(|word| word == "--pdeathsig" || word == "KILL").collect();
    words.join(" ")
}

/// The number behind an option.
fn option(options: &str, name: &str) -> Option<f64> {
    let mut words = options.split_whitespace().skip_while(|word| *word != name);
    words.nth(1)?.parse().ok()
}

/// The last line of kafka-producer-perf-test, and how many messages it sent.
fn producer_performance(text: &str) -> Option<(Figures, f64)> {
    let line = text.lines().rfind(|line| line.contains("99.9th"))?;
    let number_before = |unit: &str| {
        let (head, _) = line.split_once(unit)?;
        head.rsplit([' ', '(']).find(|word| !word.is_empty())?.parse::<f64>().ok()
    };
    let messages = number_before(" records sent")?;
    let mut figures = Figures::new();
    for (name, unit, scale) in [
        ("messages_per_second", " records/sec", 1.0),
        // It counts in MiB.
        ("megabytes_per_second", " MB/sec", 1.048_576),
        ("mean_us", " ms avg latency", 1e3),
        ("max_us", " ms max latency", 1e3),
        ("p50_us", " ms 50th", 1e3),
        ("p99_us", " ms 99th", 1e3),
        ("p999_us", " ms 99.9th", 1e3),
    ] {
        figures.insert(name.to_string(), number_before(unit)? * scale);
    }
    Some((figures, messages))
}

/// The table of kafka-consumer-perf-test, and how many messages it read.
fn consumer_performance(text: &str) -> Option<(Figures, f64)> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("start.time"));
    let names: Vec<&str> = lines.next()?.split(", ").map(str::trim).collect();
    let values: Vec<&str> = lines.next()?.split(", ").map(str::trim).collect();
    let value = |name: &str| {
        let at = names.iter().position(|known| *known == name)?;
        values.get(at)?.parse::<f64>().ok()
    };
    // What the fetching took, without the time to join the group.
    let rate = value("fetch.nMsg.sec")?;
    let megabytes = value("fetch.MB.sec")? * 1.048_576;
    let figures = [("messages_per_second", rate), ("megabytes_per_second", megabytes)];
    let figures = figures.map(|(name, value)| (name.to_string(), value)).into();
    Some((figures, value("data.consumed.in.nMsg")?))
}

/// What EndToEndLatency prints, in milliseconds.
fn end_to_end_latency(text: &str) -> Option<Figures> {
    let average = text.lines().find_map(|line| line.strip_prefix("Avg latency: "))?;
    let average: f64 = average.trim().trim_end_matches(" ms").parse().ok()?;
    let line = text.lines().find(|line| line.starts_with("Percentiles: "))?;
    let percentile = |name: &str| {
        let (_, rest) = line.split_once(&format!("{name} = "))?;
        rest.split(',').next()?.trim().parse::<f64>().ok()
    };
    let mut figures = Figures::from([("mean_us".to_string(), average * 1e3)]);
    for (name, place) in [("p50_us", "50th"), ("p99_us", "99th"), ("p999_us", "99.9th")] {
        figures.insert(name.to_string(), percentile(place)? * 1e3);
    }
    Some(figures)
}

#[cfg(test)]
#[path = "clients_test.rs"]
mod clients_test;
