//! Starting the systems and taking the samples.

use std::collections::BTreeMap;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use super::{Pace, Sample, System, Work, settle};
use crate::Failure;
use crate::broker::{Brokers, Kind, Setup};
use crate::kafka::Kafka;
use crate::load::{Loadgen, Report};
use crate::place::Place;
use crate::process::{self, Plan, Server, TemporaryFolder};

const SERVER_CPU: &str = "0";
const LOAD_CPU: usize = 1;
/// Deleted logs leave the disk before the next row (60 s by default); produce does not touch it.
const KAFKA_DELETE_SOON: &str = "log.segment.delete.delay.ms=1000";
/// A rate that is at most this much above the last window's no longer rises.
const RISE_MAX: f64 = 1.03;
const KAFKA_WINDOWS_MIN: u32 = 3;
const MIB: f64 = 1024.0 * 1024.0;

const PRODUCE: &str = "--connections 4 --inflight 8 --message-bytes 100 --batch-messages 160 \
                       --partitions-per-request 4 --acks all";
const SINGLE: &str = "--connections 1 --inflight 1 --message-bytes 100 --batch-messages 1 \
                      --partitions-per-request 1 --acks all";
const FETCH: &str = "--connections 4 --inflight 1 --fetch-max-bytes 1048576 \
                     --partition-max-bytes 1048576 --repeat";

/// The experiment's state.
pub struct Bench<'a> {
    brokers: Brokers<'a>,
    kafka: &'a Kafka,
    kafka_server: Option<Server>,
    kafka_folder: TemporaryFolder,
    folder: TemporaryFolder,
    loadgen: Loadgen,
    pace: Pace,
    topics: u32,
    /// What was measured so far.
    pub samples: Vec<Sample>,
}

impl<'a> Bench<'a> {
    /// The programs are built already.
    pub fn new(place: &'a Place, kafka: &'a Kafka, pace: Pace) -> Result<Self, Failure> {
        Ok(Self {
            brokers: Brokers { kafka, binaries: place.binaries() },
            kafka,
            kafka_server: None,
            kafka_folder: TemporaryFolder::new(place.work(), "first-kafka")?,
            folder: TemporaryFolder::new(place.work(), "first")?,
            loadgen: Loadgen::new(place.binaries(), Some(LOAD_CPU)),
            pace,
            topics: 0,
            samples: Vec::new(),
        })
    }

    /// Starts Kafka some times to know how long it takes; the last one stays.
    pub fn start_kafka(&mut self) -> Result<(), Failure> {
        for start in 1..=self.pace.kafka_starts {
            self.kafka_server = None;
            let folder = self.kafka_folder.path();
            let port = process::free_ports(2)?;
            let server = self.kafka.start(folder, port, SERVER_CPU, &[KAFKA_DELETE_SOON])?;
            self.push_start(System::Kafka, start, &server)?;
            self.kafka_server = Some(server);
        }
        Ok(())
    }

    /// Runs each work until its rate stops rising.
    pub fn warm_kafka(&mut self) -> Result<(), Failure> {
        for work in [Work::Produce, Work::Fetch, Work::Single] {
            let mut last = 0.0;
            for window in 1..=self.pace.kafka_windows_max {
                let rate = self.kafka_row(work)?.0.messages_per_second;
                println!("Kafka warms up: {work:?}, {rate:.0} messages a second");
                if window >= KAFKA_WINDOWS_MIN && rate <= last * RISE_MAX {
                    break;
                }
                last = rate;
            }
        }
        Ok(())
    }

    /// All rows of one system in one round.
    pub fn measure(&mut self, system: System, round: u32) -> Result<(), Failure> {
        match system {
            System::Kafka => self.measure_kafka(round),
            System::Ringlog => self.measure_ringlog(round),
            System::Ceiling => self.measure_ceiling(round),
        }
    }

    fn measure_kafka(&mut self, round: u32) -> Result<(), Failure> {
        for work in [Work::Produce, Work::Fetch, Work::Single] {
            let (report, cpu) = self.kafka_row(work)?;
            let server = self.kafka_server.as_ref().ok_or("Kafka is not running")?;
            let resident = server.resident_bytes()? as f64 / MIB;
            self.push(System::Kafka, round, work, &report, cpu)?;
            self.add_figure("resident_mib", resident);
        }
        settle()?;
        let server = self.kafka_server.take().ok_or("Kafka is not running")?;
        self.push_idle(System::Kafka, round, &server)?;
        self.kafka_server = Some(server);
        Ok(())
    }

    fn kafka_row(&mut self, work: Work) -> Result<(Report, Duration), Failure> {
        self.topics += 1;
        let topic = format!("first-{}", self.topics);
        let server = self.kafka_server.as_mut().ok_or("Kafka is not running")?;
        server.check_alive()?;
        let result = row(&self.loadgen, self.pace, server, work, &topic)?;
        let mut command = self.kafka.tool("org.apache.kafka.tools.TopicCommand");
        command.args(["--bootstrap-server", &server.address.to_string()]);
        process::output_of(command.args(["--delete", "--topic", &topic]))?;
        // The files go a second after the topic.
        sleep(Duration::from_millis(1500));
        settle()?;
        Ok(result)
    }

    fn measure_ringlog(&mut self, round: u32) -> Result<(), Failure> {
        for works in [
            &[Work::Produce][..],
            &[Work::Start, Work::Idle, Work::Fetch, Work::Single],
            &[Work::ProduceWrongShard],
            &[Work::ProduceRightShard],
        ] {
            let mut server = self.start_ringlog(works[0])?;
            for &work in works {
                match work {
                    Work::Start => self.push_start(System::Ringlog, round, &server)?,
                    Work::Idle => self.push_idle(System::Ringlog, round, &server)?,
                    _ => {
                        let topic = format!("first-{work:?}");
                        let loadgen = match work {
                            Work::ProduceWrongShard | Work::ProduceRightShard => {
                                Loadgen::new(self.brokers.binaries, None)
                            }
                            _ => self.loadgen.clone(),
                        };
                        let (report, cpu) = row(&loadgen, self.pace, &server, work, &topic)?;
                        server.check_alive()?;
                        let resident = server.resident_bytes()? as f64 / MIB;
                        self.push(System::Ringlog, round, work, &report, cpu)?;
                        self.add_figure("resident_mib", resident);
                    }
                }
            }
            server.kill()?;
            self.empty_folder()?;
        }
        Ok(())
    }

    fn start_ringlog(&self, work: Work) -> Result<Server, Failure> {
        let (shards, advertise, cpus) = match work {
            Work::ProduceWrongShard => (2, "node", "0,1"),
            Work::ProduceRightShard => (2, "shard", "0,1"),
            _ => (1, "shard", SERVER_CPU),
        };
        self.brokers.start(&Setup {
            kind: Kind::Ringlog { shards, advertise: advertise.to_string() },
            folder: self.folder.path(),
            port: process::free_ports(8)?,
            cpus,
            settings: &[],
            arguments: &["--durability", "written", "--io", "direct"],
        })
    }

    fn measure_ceiling(&mut self, round: u32) -> Result<(), Failure> {
        for work in [Work::Produce, Work::Single] {
            let port = process::free_ports(1)?;
            let address = ([127, 0, 0, 1], port).into();
            let data = self.folder.path().join("data");
            fs::create_dir_all(&data)?;
            let program = self.brokers.binaries.join("ceiling").display().to_string();
            let listen = format!("127.0.0.1:{port}");
            let folder = data.display().to_string();
            let command = [&program, "--listen", &listen, "--cpu", SERVER_CPU, "--dir", &folder];
            let server = Server::start(Plan {
                name: "the ceiling",
                command: command.map(String::from).to_vec(),
                cpus: SERVER_CPU,
                address,
                log: self.folder.path().join("ceiling.log"),
            })?;
            let before = server.cpu_time()?;
            let words = [timed(self.pace), arguments_of(work)].concat();
            let words = [&words[..], &["--bare".to_string()]].concat();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let report = self.loadgen.run("produce", address, &words)?;
            let cpu = server.cpu_time()?.saturating_sub(before);
            server.kill()?;
            self.push(System::Ceiling, round, work, &report, cpu)?;
            self.empty_folder()?;
        }
        Ok(())
    }

    fn empty_folder(&self) -> Result<(), Failure> {
        fs::remove_dir_all(self.folder.path())?;
        fs::create_dir_all(self.folder.path())?;
        settle()
    }

    fn push(
        &mut self,
        system: System,
        round: u32,
        work: Work,
        report: &Report,
        cpu: Duration,
    ) -> Result<(), Failure> {
        let gigabytes = report.bytes_total() / 1e9;
        if gigabytes == 0.0 {
            return Err(format!("{system:?} {work:?} moved nothing").into());
        }
        let mut figures = BTreeMap::from([
            ("messages_per_second", report.messages_per_second),
            ("megabytes_per_second", report.megabytes_per_second),
            ("cpu_seconds_per_gb", cpu.as_secs_f64() / gigabytes),
        ]);
        if let Some(latency) = report.latency {
            figures.insert("p50_us", latency.p50_us);
            figures.insert("p99_us", latency.p99_us);
            figures.insert("p999_us", latency.p999_us);
        }
        println!(
            "  {system:?} {work:?}: {:.0} msg/s, {:.0} MB/s, {:.3} CPU s/GB",
            report.messages_per_second,
            report.megabytes_per_second,
            cpu.as_secs_f64() / gigabytes
        );
        self.samples.push(Sample { round, system, work, figures, report: report.raw.clone() });
        Ok(())
    }

    fn push_idle(&mut self, system: System, round: u32, server: &Server) -> Result<(), Failure> {
        sleep(Duration::from_secs(1));
        let before = server.running_time()?;
        sleep(Duration::from_secs_f64(self.pace.idle_seconds));
        let used = server.running_time()?.saturating_sub(before);
        let percent = used.as_secs_f64() / self.pace.idle_seconds * 100.0;
        let resident = server.resident_bytes()? as f64 / MIB;
        println!("  {system:?} idle: {percent:.2} % of a core, {resident:.0} MiB resident");
        let figures = BTreeMap::from([("cpu_percent", percent), ("resident_mib", resident)]);
        self.samples.push(Sample { round, system, work: Work::Idle, figures, report: Value::Null });
        Ok(())
    }

    fn push_start(&mut self, system: System, round: u32, server: &Server) -> Result<(), Failure> {
        let figures = BTreeMap::from([("start_ms", server.start_time.as_secs_f64() * 1e3)]);
        let report = Value::Null;
        self.samples.push(Sample { round, system, work: Work::Start, figures, report });
        Ok(())
    }

    fn add_figure(&mut self, name: &'static str, value: f64) {
        if let Some(sample) = self.samples.last_mut() {
            sample.figures.insert(name, value);
        }
    }
}

fn words_of(text: &str) -> Vec<String> {
    text.split_whitespace().map(String::from).collect()
}

fn arguments_of(work: Work) -> Vec<String> {
    let text = match work {
        Work::Produce => format!("--partitions 4 {PRODUCE}"),
        // Four partitions on each of the two shards, so that requests look alike in both modes.
        Work::ProduceWrongShard | Work::ProduceRightShard => format!("--partitions 8 {PRODUCE}"),
        Work::Single => format!("--partitions 1 {SINGLE}"),
        Work::Fetch => FETCH.to_string(),
        Work::Idle | Work::Start => unreachable!("no load is made for {work:?}"),
    };
    words_of(&text)
}

fn timed(pace: Pace) -> Vec<String> {
    words_of(&format!("--warmup {} --duration {}", pace.warmup_seconds, pace.seconds))
}

/// One row of a Kafka-compatible broker: the report and the CPU time that the broker took for it.
fn row(
    loadgen: &Loadgen,
    pace: Pace,
    server: &Server,
    work: Work,
    topic: &str,
) -> Result<(Report, Duration), Failure> {
    let run = |workload: &str, words: &[String]| {
        let mut all = vec!["--topic", topic];
        all.extend(words.iter().map(String::as_str));
        loadgen.run(workload, server.address, &all)
    };
    let workload = if work == Work::Fetch { "consume" } else { "produce" };
    if work == Work::Fetch {
        let count = words_of(&format!("--messages {}", pace.fetch_messages));
        run("produce", &[count, arguments_of(Work::Produce)].concat())?;
        settle()?;
    }
    let before = server.cpu_time()?;
    let report = run(workload, &[timed(pace), arguments_of(work)].concat())?;
    Ok((report, server.cpu_time()?.saturating_sub(before)))
}
