//! The brokers an experiment may run, behind one way to start and stop them.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::kafka::Kafka;
use crate::place::Place;
use crate::process::{self, Plan, Server};

/// A way of running a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Apache Kafka on its defaults.
    Kafka,
    /// Ringlog with this many shards, showing itself as `node` or `shard`.
    Ringlog {
        /// One pinned thread each.
        shards: u16,
        /// `--advertise`.
        advertise: String,
    },
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Kafka => write!(f, "Apache Kafka {}", crate::kafka::VERSION),
            Kind::Ringlog { shards, advertise } => {
                let plural = if *shards == 1 { "" } else { "s" };
                write!(f, "{shards} shard{plural}, {advertise}")
            }
        }
    }
}

/// How a broker is to be started; starting twice with one plan is a restart on the same data.
pub struct Setup<'a> {
    /// Which broker.
    pub kind: Kind,
    /// Its folder: configuration, log file and `data`.
    pub folder: &'a Path,
    /// Its first port.
    pub port: u16,
    /// Cores to pin to, as `taskset` takes them; empty: no pinning.
    pub cpus: &'a str,
    /// Broker defaults by Kafka's names, as `key=value`.
    pub settings: &'a [&'a str],
    /// Further arguments of `ringlog`.
    pub arguments: &'a [&'a str],
}

/// What is needed to start brokers: Kafka's jars and the built `ringlog`.
pub struct Brokers<'a> {
    /// Kafka's jars and tools.
    pub kafka: &'a Kafka,
    /// The folder with our own programs.
    pub binaries: &'a Path,
}

impl<'a> Brokers<'a> {
    /// Builds `ringlog`.
    pub fn build(place: &'a Place, kafka: &'a Kafka, kinds: &[Kind]) -> Result<Self, Failure> {
        let is_ours = |kind: &Kind| matches!(kind, Kind::Ringlog { .. });
        let binaries = if kinds.iter().any(is_ours) {
            place.build(&[("ringlog", "ringlog")])?
        } else {
            place.binaries()
        };
        Ok(Self { kafka, binaries })
    }

    /// Starts a broker; returns when it accepts connections.
    pub fn start(&self, setup: &Setup<'_>) -> Result<Server, Failure> {
        match &setup.kind {
            Kind::Kafka => self.kafka.start(setup.folder, setup.port, setup.cpus, setup.settings),
            Kind::Ringlog { shards, advertise } => {
                start_ringlog(self.binaries, setup, *shards, advertise)
            }
        }
    }
}

impl Setup<'_> {
    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The address that clients are given.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Stops the broker cleanly; Ringlog must then report success (a JVM reports the signal).
    pub fn stop(&self, server: Server) -> Result<(), Failure> {
        let log = server.log.clone();
        let status = server.stop()?;
        if matches!(self.kind, Kind::Ringlog { .. }) && !status.success() {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let end = process::tail(&text);
            return Err(format!("a clean stop ended with {status}; its log:\n{end}").into());
        }
        Ok(())
    }
}

fn start_ringlog(
    binaries: &Path,
    setup: &Setup<'_>,
    shards: u16,
    advertise: &str,
) -> Result<Server, Failure> {
    let mut command = vec![binaries.join("ringlog").display().to_string()];
    let options = [
        ("--data-dir", setup.data().display().to_string()),
        ("--listen", setup.address().to_string()),
        ("--shards", shards.to_string()),
        ("--advertise", advertise.to_string()),
    ];
    for (flag, value) in options {
        command.extend([flag.to_string(), value]);
    }
    if !setup.cpus.is_empty() {
        command.extend(["--cpus".to_string(), setup.cpus.to_string()]);
    }
    for setting in setup.settings {
        command.extend(["--set".to_string(), (*setting).to_string()]);
    }
    command.extend(setup.arguments.iter().map(|text| (*text).to_string()));
    Server::start(Plan {
        name: "ringlog",
        command,
        cpus: setup.cpus,
        address: setup.address(),
        log: setup.folder.join("ringlog.log"),
    })
}
