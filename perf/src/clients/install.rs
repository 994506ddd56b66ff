//! What the client programs need: registries' packages in pinned versions, and builds.
//!
//! All of it lies in `perf/cache/clients`, in folders whose names carry a hash of what they were
//! made from; a folder without the file `complete` is made anew.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::program::Program;
use crate::Failure;
use crate::kafka::Kafka;
use crate::place::Place;
use crate::process;

/// Brings everything up to date and returns the programs in the order of reports.
pub fn programs(place: &Place, kafka: &Kafka, wanted: &[String]) -> Result<Vec<Program>, Failure> {
    let workshop = Workshop { place, kafka, sources: place.root().join("perf/clients") };
    let mut programs = Vec::new();
    for (name, make) in MAKERS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            let (version, command) =
                make(&workshop).map_err(|failure| format!("client {name}: {failure}"))?;
            let has_scenario = name != KAFKA_CLI;
            let is_alone = ALONE.contains(&name);
            programs.push(Program { name, version, command, has_scenario, is_alone });
        }
    }
    for name in wanted {
        if !MAKERS.iter().any(|(known, _)| known == name) {
            return Err(format!("no such client: {name}").into());
        }
    }
    Ok(programs)
}

/// What the experiment `exactly-once` runs.
pub struct ExactlyOnce {
    /// The class path of its Java programs, of Kafka Streams and of Kafka Connect.
    pub class_path: String,
    /// The command that starts its Python program.
    pub python: Vec<String>,
}

/// Brings the programs of `exactly-once` up to date.
pub fn exactly_once(place: &Place) -> Result<ExactlyOnce, Failure> {
    let kafka = Kafka::absent();
    let workshop = Workshop { place, kafka: &kafka, sources: place.root().join("perf/clients") };
    let class_path = workshop.compiled("exactly-once")?;
    let (_, python) = workshop.python("confluent-kafka", "exactly_once.py")?;
    Ok(ExactlyOnce { class_path, python })
}

/// The version of a client library, and the command that starts its program.
type Made = Result<(String, Vec<String>), Failure>;

/// How a client's program comes about.
type Make = fn(&Workshop<'_>) -> Made;

/// The clients in the order of reports.
const MAKERS: [(&str, Make); 10] = [
    ("kcat", |_| Ok((kcat_version()?, Vec::new()))),
    ("rdkafka", |workshop| workshop.rdkafka()),
    ("confluent-kafka", |workshop| workshop.python("confluent-kafka", "confluent.py")),
    ("kafka-python", |workshop| workshop.python("kafka-python", "kafka_python.py")),
    ("aiokafka", |workshop| workshop.python("aiokafka", "aiokafka_client.py")),
    ("kafkajs", |workshop| workshop.kafkajs()),
    ("franz-go", |workshop| workshop.go("franz-go", "github.com/twmb/franz-go v")),
    ("sarama", |workshop| workshop.go("sarama", "github.com/IBM/sarama v")),
    ("java", |workshop| workshop.java()),
    (KAFKA_CLI, |workshop| workshop.kafka_cli()),
];

/// Kafka's own command line classes.
pub const KAFKA_CLI: &str = "kafka-cli";

/// They change settings of the whole broker, for a moment.
const ALONE: [&str; 3] = ["franz-go", "java", KAFKA_CLI];

struct Workshop<'a> {
    place: &'a Place,
    kafka: &'a Kafka,
    /// `perf/clients`.
    sources: PathBuf,
}

impl Workshop<'_> {
    /// A folder made from these files by `make`, or found as it was made before.
    fn made_from(
        &self,
        name: &str,
        files: &[PathBuf],
        make: impl FnOnce(&Path) -> Result<(), Failure>,
    ) -> Result<PathBuf, Failure> {
        let mut hasher = DefaultHasher::new();
        for file in files {
            fs::read(file)
                .map_err(|error| format!("{}: {error}", file.display()))?
                .hash(&mut hasher);
        }
        let folder = self.place.cache().join(format!("clients/{name}-{:016x}", hasher.finish()));
        let mark = folder.join("complete");
        if !mark.exists() {
            println!("installing {name} ...");
            if folder.exists() {
                fs::remove_dir_all(&folder)?;
            }
            fs::create_dir_all(&folder)?;
            make(&folder)?;
            process::write_file(&mark, b"")?;
        }
        Ok(folder)
    }

    fn python(&self, package: &str, script: &str) -> Made {
        let sources = self.sources.join("python");
        let requirements = sources.join("requirements.txt");
        let folder = self.made_from("python", std::slice::from_ref(&requirements), |folder| {
            process::output_of(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
            let mut pip = Command::new(folder.join("bin/pip"));
            pip.args(["install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]);
            pip.args(["--require-hashes", "--requirement"]).arg(&requirements);
            process::output_of(&mut pip).map(drop)
        })?;
        let version = version_after(&requirements, &format!("{package}=="))?;
        let python = folder.join("bin/python").display().to_string();
        // Without -B every run would leave compiled files among the sources.
        Ok((version, vec![python, "-B".into(), sources.join(script).display().to_string()]))
    }

    /// The librdkafka client is no member of the workspace; Cargo knows what is up to date.
    fn rdkafka(&self) -> Made {
        let program = self.place.build_rdkafka_client()?.display().to_string();
        let lock = self.sources.join("rdkafka/Cargo.lock");
        let version = version_after(&lock, "name = \"rdkafka\"\nversion = \"")?;
        Ok((version, vec![program]))
    }

    /// The Go clients are packages of one module, with another package that both use.
    fn go(&self, name: &str, module: &str) -> Made {
        let sources = self.sources.join("go");
        let mut files = vec![sources.join("go.mod"), sources.join("go.sum")];
        for package in [name, "scenario"] {
            files.extend(files_in(&sources.join(package))?);
        }
        let folder = self.made_from(name, &files, |folder| {
            let mut go = Command::new("go");
            go.args(["build", "-mod=readonly", "-trimpath", "-o"]).arg(folder.join(name));
            go.arg(format!("./{name}")).current_dir(&sources);
            process::output_of(&mut go).map(drop)
        })?;
        let version = version_after(&sources.join("go.mod"), module)?;
        Ok((version, vec![folder.join(name).display().to_string()]))
    }

    fn kafkajs(&self) -> Made {
        let sources = self.sources.join("kafkajs");
        let names = ["package.json", "package-lock.json"];
        let files = names.map(|name| sources.join(name));
        let folder = self.made_from("kafkajs", &files, |folder| {
            for (name, file) in names.iter().zip(&files) {
                fs::copy(file, folder.join(name))?;
            }
            let mut npm = Command::new("npm");
            npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
            process::output_of(npm.current_dir(folder)).map(drop)
        })?;
        // Node looks for packages beside a program, so the program moves there.
        for name in ["main.js", "groups.js"] {
            fs::copy(sources.join(name), folder.join(name))?;
        }
        let program = folder.join("main.js");
        let version = version_after(&files[0], "\"kafkajs\": \"")?;
        Ok((version, vec!["node".to_string(), program.display().to_string()]))
    }
}

const JVM: [&str; 4] = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"];

impl Workshop<'_> {
    /// The Java producer, consumer and Admin client.
    fn java(&self) -> Made {
        let path = self.compiled("java")?;
        let pom = self.sources.join("java/pom.xml");
        let version =
            version_after(&pom, "<artifactId>kafka-clients</artifactId>\n      <version>")?;
        let mut command = JVM.map(String::from).to_vec();
        command.extend([path, "ringlog.Main".to_string()]);
        Ok((version, command))
    }

    /// Compiles the Java programs of a folder of `perf/clients`; Maven brings what they need.
    /// Returns the class path.
    fn compiled(&self, name: &str) -> Result<String, Failure> {
        let sources = self.sources.join(name);
        let mut files = files_in(&sources.join("src/main/java/ringlog"))?;
        files.push(sources.join("pom.xml"));
        let folder = self.made_from(name, &files, |folder| {
            let mut maven = Command::new("mvn");
            maven.args(["--batch-mode", "--quiet", "compile"]);
            process::output_of(maven.current_dir(&sources))?;
            for name in ["classes", "libraries"] {
                fs::rename(sources.join("target").join(name), folder.join(name))?;
            }
            Ok(())
        })?;
        Ok(format!("{0}/classes:{0}/libraries/*", folder.display()))
    }

    /// Kafka's own command line classes, from the jars of the peer itself.
    fn kafka_cli(&self) -> Made {
        let sources = files_in(&self.sources.join("kafka-cli"))?;
        let libraries = self.kafka.class_path();
        let folder = self.made_from("kafka-cli", &sources, |folder| {
            let mut compiler = Command::new("javac");
            compiler.args(["-cp", &libraries, "-d"]).arg(folder).args(&sources);
            process::output_of(&mut compiler).map(drop)
        })?;
        let mut command = JVM.map(String::from).to_vec();
        command.extend([format!("{}:{libraries}", folder.display()), "KafkaCli".to_string()]);
        Ok((crate::kafka::VERSION.to_string(), command))
    }
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for file in fs::read_dir(folder)? {
        files.push(file?.path());
    }
    files.sort();
    Ok(files)
}

/// The version number that follows a text in a file.
fn version_after(file: &Path, before: &str) -> Result<String, Failure> {
    let text = fs::read_to_string(file)?;
    let (_, after) =
        text.split_once(before).ok_or_else(|| format!("{}: no {before}", file.display()))?;
    Ok(after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '.').collect())
}

fn kcat_version() -> Result<String, Failure> {
    let text = process::run("kcat", ["-V"])?;
    let version = text.lines().find_map(|line| line.strip_prefix("Version "));
    Ok(version.and_then(|text| text.split(' ').next()).ok_or("kcat has no version")?.to_string())
}
