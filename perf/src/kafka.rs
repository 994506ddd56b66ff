//! Apache Kafka from Maven Central: the peer of every comparison and the oracle of the client
//! matrix.
//!
//! It runs as one combined KRaft node on its defaults, with the JVM flags of `kafka-run-class.sh`,
//! G1 and the heap its operations guide recommends (as far as the machine goes). The only settings
//! beyond are what a single node needs: addresses, a data directory, replication factors of one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::place::Place;
use crate::process::{self, Plan, Server, TemporaryFolder};

/// The newest version of which every part is in Maven Central.
pub const VERSION: &str = "4.3.1";
const SCALA_VERSION: &str = "2.13";
const SLF4J_VERSION: &str = "1.7.36";
/// Any valid id will do; a fixed one keeps runs alike.
const CLUSTER_ID: &str = "cmluZ2xvZy1wZXJmLTAwMQ";
const JVM_FLAGS: [&str; 7] = [
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-XX:MaxInlineLevel=15",
    "-Djava.awt.headless=true",
];
/// Kafka's guide gives the broker 6 GB; half of a small machine stays for the page cache.
const HEAP_MIB_MAX: u64 = 4096;

/// Where Kafka's jars are.
pub struct Kafka {
    libraries: PathBuf,
}

impl Kafka {
    /// For experiments that run none of it.
    pub fn absent() -> Self {
        Self { libraries: PathBuf::new() }
    }

    /// Finds the jars in `perf/cache`, or has Maven bring them there.
    pub fn fetch(place: &Place) -> Result<Self, Failure> {
        let libraries = place.cache().join(format!("kafka-{VERSION}"));
        if !libraries.is_dir() {
            eprintln!("fetching Apache Kafka {VERSION} with Maven ...");
            let unfinished = place.cache().join(format!("kafka-{VERSION}.unfinished"));
            fs::create_dir_all(&unfinished)?;
            let folder = TemporaryFolder::new(&std::env::temp_dir(), "perf-maven")?;
            let pom = folder.path().join("pom.xml");
            process::write_file(&pom, pom_text().as_bytes())?;
            process::output_of(Command::new("mvn").current_dir(folder.path()).args([
                "--batch-mode",
                "--quiet",
                "dependency:copy-dependencies",
                &format!("-DoutputDirectory={}", unfinished.display()),
            ]))?;
            fs::rename(&unfinished, &libraries)?;
        }
        Ok(Self { libraries })
    }

    /// Formats an empty data directory and starts a broker on `address` = 127.0.0.1:port; its
    /// controller listens on the next port. `extra` holds further `key=value` settings.
    pub fn start(
        &self,
        folder: &Path,
        port: u16,
        cpus: &str,
        extra: &[&str],
    ) -> Result<Server, Failure> {
        let settings = folder.join("server.properties");
        let data = folder.join("data");
        process::write_file(&settings, settings_text(&data, port, extra).as_bytes())?;
        let settings = settings.display().to_string();
        if !data.join("meta.properties").exists() {
            let format = ["format", "-t", CLUSTER_ID, "-c", &settings, "--standalone"];
            process::output_of(self.tool("kafka.tools.StorageTool").args(format))?;
        }
        let mut command = broker_words()?;
        command.push("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn".into());
        command.extend(["-cp".into(), self.class_path(), "kafka.Kafka".into(), settings]);
        Server::start(Plan {
            name: "Apache Kafka",
            command,
            cpus,
            address: ([127, 0, 0, 1], port).into(),
            log: folder.join("kafka.log"),
        })
    }

    /// A prepared command for one of Kafka's classes; arguments are the caller's to add.
    pub fn tool(&self, class: &str) -> Command {
        let mut command = Command::new("java");
        command.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        command.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp"]);
        command.args([&self.class_path(), class]);
        command
    }

    /// The arguments of `java` for one of Kafka's performance tools, with the flags that
    /// `kafka-run-class.sh` gives them.
    pub fn performance_tool(&self, class: &str) -> Vec<String> {
        let mut words = vec!["-Xmx512M".to_string()];
        words.extend(JVM_FLAGS.map(String::from));
        words.push("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn".into());
        words.extend(["-cp".into(), self.class_path(), class.into()]);
        words
    }

    /// How a broker is started, without what differs from one folder to another.
    pub fn command_text(&self) -> Result<String, Failure> {
        Ok(format!("{} kafka.Kafka server.properties", broker_words()?.join(" ")))
    }

    /// All of Kafka's jars, as `java -cp` takes them.
    pub fn class_path(&self) -> String {
        format!("{}/*", self.libraries.display())
    }
}

fn broker_words() -> Result<Vec<String>, Failure> {
    let heap = heap_mib()?;
    let mut words = vec!["java".to_string(), format!("-Xms{heap}m"), format!("-Xmx{heap}m")];
    words.extend(JVM_FLAGS.map(String::from));
    Ok(words)
}

fn heap_mib() -> Result<u64, Failure> {
    let total = crate::machine::memory_bytes()? / (1024 * 1024);
    Ok(HEAP_MIB_MAX.min(total / 4))
}

fn settings_text(data: &Path, port: u16, extra: &[&str]) -> String {
    let controller = port + 1;
    let mut text = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\n\
         log.dirs={}\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n",
        data.display()
    );
    for setting in extra {
        text.push_str(setting);
        text.push('\n');
    }
    text
}

fn pom_text() -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>\n"
        )
    };
    let group = "org.apache.kafka";
    let dependencies = [
        dependency(group, &format!("kafka_{SCALA_VERSION}"), VERSION),
        dependency(group, "kafka-tools", VERSION),
        dependency("org.slf4j", "slf4j-simple", SLF4J_VERSION),
    ];
    format!(
        "<project><modelVersion>4.0.0</modelVersion>\n\
         <groupId>ringlog</groupId><artifactId>peers</artifactId><version>1</version>\n\
         <dependencies>\n{}</dependencies></project>\n",
        dependencies.concat()
    )
}
