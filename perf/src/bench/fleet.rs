//! The brokers of an experiment: started for a run and gone after it, or, for Apache Kafka, kept.
//!
//! A JVM is slow until it has compiled what it runs, so that Kafka lives from run to run and its
//! topics are deleted; at most those that the current workload names are alive. Ringlog and the
//! ceiling start afresh, in an empty folder.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use super::spec::{Broker, Kind};
use crate::Failure;
use crate::kafka::Kafka;
use crate::place::Place;
use crate::process::{self, Plan, Server, TemporaryFolder};

/// Deleted logs leave the disk before the next run (60 s by default); produce does not touch it.
const KAFKA_DELETE_SOON: &str = "log.segment.delete.delay.ms=1000";
/// The files go a second after the topic.
const KAFKA_DELETE_WAIT: Duration = Duration::from_millis(1500);
/// Between runs: the disk's own queue empties, a JVM's collectors settle.
const PEACE: Duration = Duration::from_millis(500);
/// As many as a broker of eight shards needs; the next ones are a Kafka controller's.
const PORTS: u16 = 10;

/// A broker that serves.
pub struct Served {
    /// Its process; `None`: somebody else's.
    pub server: Option<Server>,
    /// Where clients go.
    pub address: SocketAddr,
    /// How it was started.
    pub command: String,
    folder: PathBuf,
}

/// All that is needed to start brokers, and those that are kept.
pub struct Fleet<'a> {
    place: &'a Place,
    kafka: &'a Kafka,
    folder: TemporaryFolder,
    kept: BTreeMap<String, Served>,
}

impl<'a> Fleet<'a> {
    /// The programs are built already.
    pub fn new(place: &'a Place, kafka: &'a Kafka) -> Result<Self, Failure> {
        let folder = TemporaryFolder::new(place.work(), "bench")?;
        Ok(Self { place, kafka, folder, kept: BTreeMap::new() })
    }

    /// Where its data lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A broker to run against: the kept one, or a new one.
    pub fn obtain(&mut self, broker: &Broker) -> Result<Served, Failure> {
        if let Some(mut served) = self.kept.remove(&broker.name) {
            if let Some(server) = &mut served.server {
                server.check_alive()?;
            }
            return Ok(served);
        }
        let folder = self.folder.path().join(&broker.name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(folder.join("data"))?;
        let port = process::free_ports(PORTS)?;
        let address = ([127, 0, 0, 1], port).into();
        self.start(broker, folder, address)
    }

    /// Starts it on its own data.
    pub fn restart(&mut self, broker: &Broker, served: Served) -> Result<Served, Failure> {
        let Some(server) = served.server else {
            return Err(format!("{}: not ours to start again", broker.name).into());
        };
        let log = server.log.clone();
        let status = server.stop()?;
        // A JVM reports the signal.
        if broker.kind == Kind::Ringlog && !status.success() {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let end = process::tail(&text);
            return Err(format!("a clean stop ended with {status}; its log:\n{end}").into());
        }
        self.start(broker, served.folder, served.address)
    }

    fn start(
        &self,
        broker: &Broker,
        folder: PathBuf,
        address: SocketAddr,
    ) -> Result<Served, Failure> {
        let cpus = broker.cpus.as_deref().unwrap_or_default();
        let served = |server, command| Served { server, address, command, folder: folder.clone() };
        let settings: Vec<&str> = broker.settings.iter().map(String::as_str).collect();
        match broker.kind {
            Kind::Kafka => {
                let settings = [&settings[..], &[KAFKA_DELETE_SOON]].concat();
                let server = self.kafka.start(&folder, address.port(), cpus, &settings)?;
                let command = format!("{} · {}", self.kafka.command_text()?, settings.join(" "));
                Ok(served(Some(server), command))
            }
            Kind::Ringlog | Kind::Ceiling => {
                let words = self.words(broker, cpus, &folder, address);
                let command = words.join(" ");
                let name = if broker.kind == Kind::Ringlog { "ringlog" } else { "the ceiling" };
                let log = folder.join("log");
                let plan = Plan { name, command: words, cpus, address, log };
                Ok(served(Some(Server::start(plan)?), command))
            }
            Kind::Address => {
                let address = broker.address.ok_or("a broker of kind address has none")?;
                let command = format!("(whatever listens at {address})");
                Ok(Served { server: None, address, command, folder })
            }
            Kind::Disk => Err("the disk is no server".into()),
        }
    }

    fn words(
        &self,
        broker: &Broker,
        cpus: &str,
        folder: &Path,
        address: SocketAddr,
    ) -> Vec<String> {
        let (name, directory, pin) = match broker.kind {
            Kind::Ceiling => ("ceiling", "--dir", "--cpu"),
            _ => ("ringlog", "--data-dir", "--cpus"),
        };
        let beside = || self.place.binaries().join(name);
        let program = broker.program.clone().unwrap_or_else(beside);
        let mut words = vec![program.display().to_string(), "--listen".into()];
        words.extend([address.to_string(), directory.into()]);
        words.push(folder.join("data").display().to_string());
        if !cpus.is_empty() {
            words.extend([pin.into(), cpus.into()]);
        }
        for setting in &broker.settings {
            words.extend(["--set".into(), setting.clone()]);
        }
        words.extend(broker.flags.iter().cloned());
        words
    }

    /// Ends a run: a broker that is kept loses the topic, another one its life and its data.
    pub fn give_back(
        &mut self,
        broker: &Broker,
        served: Served,
        topic: &str,
    ) -> Result<(), Failure> {
        match broker.kind {
            Kind::Kafka => {
                self.delete_topic(served.address, topic);
                self.kept.insert(broker.name.clone(), served);
                sleep(KAFKA_DELETE_WAIT);
            }
            Kind::Address => self.delete_topic(served.address, topic),
            _ => self.end(served)?,
        }
        settle()
    }

    /// Kills it and removes what it wrote.
    pub fn end(&mut self, served: Served) -> Result<(), Failure> {
        let folder = served.folder.clone();
        drop(served);
        fs::remove_dir_all(&folder)?;
        settle()
    }

    /// Ends the kept ones that are not among these.
    pub fn keep_only(&mut self, names: &[String]) -> Result<(), Failure> {
        let is_idle = |name: &&String| !names.contains(name);
        let idle: Vec<String> = self.kept.keys().filter(is_idle).cloned().collect();
        for name in idle {
            if let Some(served) = self.kept.remove(&name) {
                self.end(served)?;
            }
        }
        Ok(())
    }

    /// Makes a topic on any broker, with our own tool.
    pub fn create_topic(
        &self,
        address: SocketAddr,
        topic: &str,
        partitions: u32,
    ) -> Result<(), Failure> {
        let mut command = self.topic_tool("create", address, topic);
        process::output_of(command.args(["--partitions", &partitions.to_string()]))?;
        Ok(())
    }

    /// A run may have ended before it made its topic, so that failing is no failure.
    fn delete_topic(&self, address: SocketAddr, topic: &str) {
        let outcome = process::output_of(&mut self.topic_tool("delete", address, topic));
        if let Err(failure) = outcome {
            eprintln!("  topic {topic} was not deleted: {failure}");
        }
    }

    fn topic_tool(&self, what: &str, address: SocketAddr, topic: &str) -> Command {
        let mut command = Command::new(self.place.binaries().join("ringlog"));
        command.args(["topic", what, "--bootstrap-server", &address.to_string()]);
        command.args(["--topic", topic]);
        command
    }
}

/// Writes out what is dirty, so that one run's writes do not slow the next.
pub fn settle() -> Result<(), Failure> {
    process::run::<&str>("sync", [])?;
    sleep(PEACE);
    Ok(())
}

/// Empties the page cache, where the rights allow it.
pub fn drop_page_cache() -> Result<(), Failure> {
    settle()?;
    let refused = |error| format!("cold reads need the right to empty the page cache: {error}");
    Ok(fs::write("/proc/sys/vm/drop_caches", "1").map_err(refused)?)
}
