//! A Kafka Connect cluster: its workers, and the two connectors that it is asked to run.

use std::net::SocketAddr;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Ground;
use super::broker::Broker;
use super::rest;
use crate::Failure;
use crate::process::{self, Plan, Server};

/// What the source reads at most for one transaction.
pub const BATCH_LINES: u64 = 500;
const HEAP_MIB: u32 = 384;
const ASK_INTERVAL: Duration = Duration::from_millis(200);
/// Until a cluster that rebalances takes a new connector.
const CREATE_WAIT_MAX: Duration = Duration::from_secs(120);

/// A worker of the cluster.
pub struct Worker {
    /// The process.
    pub server: Server,
    index: u16,
}

impl Worker {
    /// Starts it; returns when its REST interface listens.
    pub fn start(ground: &Ground<'_>, broker: &Broker<'_>, index: u16) -> Result<Self, Failure> {
        let folder = broker.setup.folder;
        let address: SocketAddr = ([127, 0, 0, 1], broker.spare_port(index)).into();
        let settings = folder.join(format!("worker-{index}.properties"));
        let text = settings_text(broker.setup.address(), address);
        process::write_file(&settings, text.as_bytes())?;
        let settings = settings.display().to_string();
        let class = "org.apache.kafka.connect.cli.ConnectDistributed";
        let server = Server::start(Plan {
            name: "a worker of Kafka Connect",
            command: ground.programs.java(HEAP_MIB, folder, class, &[&settings]),
            cpus: "",
            address,
            log: folder.join(format!("worker-{index}.log")),
        })?;
        Ok(Self { server, index })
    }

    /// `kill -9`, and a new one in its place.
    pub fn kill(self, ground: &Ground<'_>, broker: &Broker<'_>) -> Result<Self, Failure> {
        self.server.kill()?;
        Self::start(ground, broker, self.index)
    }

    /// Whether the source connector's task runs here, as far as is known here.
    pub fn has_source(&self) -> bool {
        let status = rest::call(self.server.address, "GET", "/connectors/source/status", None);
        let Ok((200, status)) = status else { return false };
        status["tasks"][0]["worker_id"] == self.server.address.to_string()
    }
}

fn settings_text(bootstrap: SocketAddr, address: SocketAddr) -> String {
    format!(
        "bootstrap.servers={bootstrap}\n\
         listeners=http://{address}\n\
         group.id=connect\n\
         config.storage.topic=connect-configs\n\
         offset.storage.topic=connect-offsets\n\
         status.storage.topic=connect-status\n\
         config.storage.replication.factor=1\n\
         offset.storage.replication.factor=1\n\
         status.storage.replication.factor=1\n\
         offset.storage.partitions=5\n\
         status.storage.partitions=2\n\
         key.converter=org.apache.kafka.connect.storage.StringConverter\n\
         value.converter=org.apache.kafka.connect.storage.StringConverter\n\
         plugin.discovery=service_load\n\
         exactly.once.source.support=enabled\n\
         consumer.isolation.level=read_committed\n\
         session.timeout.ms=6000\n\
         heartbeat.interval.ms=1000\n\
         scheduled.rebalance.max.delay.ms=1000\n\
         offset.flush.interval.ms=1000\n"
    )
}

/// Has the cluster copy `source` into the topic and the topic into `sink`.
pub fn create(worker: &mut Worker, topic: &str, source: &Path, sink: &Path) -> Result<(), Failure> {
    put(
        worker,
        "source",
        &json!({
            "connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector",
            "tasks.max": "1",
            "file": source,
            "topic": topic,
            "batch.size": BATCH_LINES.to_string(),
            "exactly.once.support": "required",
        }),
    )?;
    put(
        worker,
        "sink",
        &json!({
            "connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector",
            "tasks.max": "1",
            "file": sink,
            "topics": topic,
        }),
    )
}

/// A cluster that has just begun, or rebalances, says so; then it is asked again.
fn put(worker: &mut Worker, name: &str, settings: &Value) -> Result<(), Failure> {
    let started = Instant::now();
    let path = format!("/connectors/{name}/config");
    loop {
        worker.server.check_alive()?;
        let answer = rest::call(worker.server.address, "PUT", &path, Some(settings));
        let why = match answer {
            Ok((200 | 201, _)) => return Ok(()),
            Ok((status, said)) => format!("{status} {said}"),
            Err(failure) => failure.to_string(),
        };
        if started.elapsed() > CREATE_WAIT_MAX {
            return Err(worker.server.failure(&format!("takes no connector: {why}")));
        }
        sleep(ASK_INTERVAL);
    }
}
