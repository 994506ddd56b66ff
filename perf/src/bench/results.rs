//! What an experiment leaves: a folder with `experiment.json`, one line for each run in
//! `rows.jsonl`, and the reports made from them.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::figures::Figures;
use super::spec::{Experiment, Workload};
use crate::Failure;
use crate::machine::Machine;
use crate::place::Place;
use crate::process;
use crate::table::Spread;

const HEAD_FILE: &str = "experiment.json";
const ROWS_FILE: &str = "rows.jsonl";

/// One run of one workload on one broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub workload: String,
    /// Its name.
    pub broker: String,
    /// From 1. Round 0 counts system calls, which slows it: only those counts are taken from it.
    pub round: u32,
    /// What was found.
    pub figures: Figures,
    /// The client's own report; null where it has none.
    #[serde(default)]
    pub report: Value,
}

/// What the rows are rows of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Head {
    /// Where and on what.
    pub machine: Machine,
    /// The command line of `perf`.
    pub command: String,
    /// The version of Apache Kafka, where it took part.
    pub kafka: Option<String>,
    /// How each broker and each client was started, by `BROKER` and `BROKER · WORKLOAD`.
    pub commands: BTreeMap<String, String>,
    /// What was asked.
    pub experiment: Experiment,
}

/// An experiment and its rows.
#[derive(Clone, Debug)]
pub struct Results {
    /// What the rows are rows of.
    pub head: Head,
    /// In the order in which they were measured.
    pub rows: Vec<Row>,
}

impl Results {
    /// Reads a folder.
    ///
    /// # Errors
    /// When it is none of ours, or its lines are not what we write.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let in_folder = |error: serde_json::Error| format!("{}: {error}", folder.display());
        let head = serde_json::from_str(&read(HEAD_FILE)?).map_err(in_folder)?;
        let text = read(ROWS_FILE)?;
        let rows = text.lines().map(serde_json::from_str).collect::<Result<_, _>>();
        Ok(Self { head, rows: rows.map_err(in_folder)? })
    }

    /// Writes what the rows are rows of.
    pub fn write_head(&self, folder: &Path) -> Result<(), Failure> {
        fs::create_dir_all(folder)?;
        let text = serde_json::to_string_pretty(&self.head)?;
        process::write_file(&folder.join(HEAD_FILE), text.as_bytes())
    }

    /// Adds a row, on disk as well: what was measured stays, however the experiment ends.
    pub fn push(&mut self, folder: &Path, row: Row) -> Result<(), Failure> {
        let path = folder.join(ROWS_FILE);
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        writeln!(file, "{}", serde_json::to_string(&row)?)?;
        self.rows.push(row);
        Ok(())
    }

    /// The rows of a workload on a broker, in the order of rounds.
    pub fn rows_of(&self, workload: &str, broker: &str) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.workload == workload && row.broker == broker)
    }

    /// A figure's values, one for each round that has it.
    pub fn values(&self, workload: &str, broker: &str, figure: &str) -> Vec<f64> {
        let rows = self.rows_of(workload, broker);
        rows.filter_map(|row| row.figures.get(figure).copied()).collect()
    }

    /// Its median and range.
    pub fn spread(&self, workload: &str, broker: &str, figure: &str) -> Option<Spread> {
        Spread::of(self.values(workload, broker, figure))
    }

    /// The ratio of medians.
    pub fn ratio(
        &self,
        figure: &str,
        (workload, broker): (&str, &str),
        (base_workload, base_broker): (&str, &str),
    ) -> Option<f64> {
        let ours = self.spread(workload, broker, figure)?.median;
        let theirs = self.spread(base_workload, base_broker, figure)?.median;
        (theirs > 0.0).then_some(ours / theirs)
    }

    /// The workloads of which there is something to tell.
    pub fn workloads(&self) -> impl Iterator<Item = &Workload> {
        let is_measured = |w: &&Workload| self.rows.iter().any(|row| row.workload == w.name);
        self.head.experiment.workloads.iter().filter(is_measured)
    }

    /// What reports call a broker.
    pub fn title_of(&self, broker: &str) -> String {
        let found = self.head.experiment.broker(broker).ok();
        let title = found.map_or(broker, |broker| broker.title.as_str());
        match (&self.head.kafka, title) {
            (Some(version), "Apache Kafka") => format!("{title} {version}"),
            _ => title.to_string(),
        }
    }
}

/// `perf/results/DATE-NAME`, or the next free one; a quick run leaves nothing in the repository.
pub fn folder(
    place: &Place,
    machine: &Machine,
    is_quick: bool,
    name: &str,
) -> Result<PathBuf, Failure> {
    if is_quick {
        let folder = place.work().join(format!("quick-{name}"));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        return Ok(folder);
    }
    let results = place.root().join("perf/results");
    let name = format!("{}-{name}", machine.date);
    let numbered = (2..).map(|number| results.join(format!("{name}-{number}")));
    let mut all = std::iter::once(results.join(&name)).chain(numbered);
    all.find(|folder| !folder.exists()).ok_or_else(|| "no name is free for the results".into())
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::process::TemporaryFolder;

    /// Two brokers, one workload, the values of each broker's rounds.
    pub fn results(text: &str, figure: &str, values: &[(&str, &[f64])]) -> Results {
        let experiment = Experiment::parse("trial", text).unwrap();
        let workload = experiment.workloads[0].name.clone();
        let machine = Machine {
            cpu: "a CPU".into(),
            cores: 2,
            kernel: "6.18".into(),
            memory_gib: 24,
            commit: "0123456789".into(),
            date: "2026-11-21".into(),
        };
        let (command, commands) = ("perf run trial".into(), BTreeMap::new());
        let kafka = Some("4.3.1".into());
        let head = Head { machine, command, kafka, commands, experiment };
        let mut rows = Vec::new();
        for (broker, values) in values {
            for (round, value) in (1..).zip(*values) {
                rows.push(Row {
                    workload: workload.clone(),
                    broker: (*broker).to_string(),
                    round,
                    figures: Figures::from([(figure.to_string(), *value)]),
                    report: Value::Null,
                });
            }
        }
        Results { head, rows }
    }

    pub const TWO: &str = "brokers = ['ringlog', 'kafka']\n\
                           [[workload]]\nname = 'work'\ncommand = 'produce'\n";

    #[test]
    fn what_is_written_is_read() {
        let folder = TemporaryFolder::new(&std::env::temp_dir(), "perf-results").unwrap();
        let values: [(&str, &[f64]); 2] = [("ringlog", &[30.0, 10.0, 20.0]), ("kafka", &[4.0])];
        let made = results(TWO, "messages_per_second", &values);
        let mut written = Results { rows: Vec::new(), ..made.clone() };
        written.write_head(folder.path()).unwrap();
        for row in &made.rows {
            written.push(folder.path(), row.clone()).unwrap();
        }
        let read = Results::read(folder.path()).unwrap();
        assert_eq!(read.rows, made.rows);
        assert_eq!(read.head.experiment, made.head.experiment);
        let (ours, theirs) = (("work", "ringlog"), ("work", "kafka"));
        assert_eq!(read.ratio("messages_per_second", ours, theirs), Some(5.0));
        assert_eq!(read.ratio("p50_us", ours, theirs), None);
        assert_eq!(read.title_of("kafka"), "Apache Kafka 4.3.1");
        assert_eq!(read.workloads().count(), 1);
    }

    #[test]
    fn a_folder_that_is_none_of_ours_is_refused() {
        let folder = TemporaryFolder::new(&std::env::temp_dir(), "perf-no-results").unwrap();
        let text = Results::read(folder.path()).err().unwrap().to_string();
        assert!(text.contains("experiment.json"), "{text}");
        fs::write(folder.path().join("experiment.json"), "{}").unwrap();
        fs::write(folder.path().join("rows.jsonl"), "").unwrap();
        assert!(Results::read(folder.path()).is_err());
    }
}
