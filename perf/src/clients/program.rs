//! Client programs: started with a time limit, and what they say.
//!
//! The contract: `PROGRAM --bootstrap HOST:PORT --prefix PREFIX` plays the checks of [`CHECKS`] and
//! prints a JSON object for each, one a line (see [`Line`]); its topics begin with the prefix; it
//! ends with success when it came to its end, whatever the broker answered. A check that it does
//! not speak of has failed. Beyond those it may play checks of [`MORE`], as far as its interface
//! goes; Kafka's command line classes have checks of their own, `cli/TOOL/CASE`, instead.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::process;

/// A program that is not done by then is stuck.
const TIME_MAX: Duration = Duration::from_secs(240);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Every check, in the order of reports; what stands before the slash is its family.
pub const CHECKS: [&str; 33] = [
    "codec/none",
    "codec/gzip",
    "codec/snappy",
    "codec/lz4",
    "codec/zstd",
    "acks/0",
    "acks/1",
    "acks/all",
    "idempotence",
    "headers",
    "nulls",
    "sizes",
    "partitions/1",
    "partitions/64",
    "seek/offset",
    "seek/timestamp",
    "seek/ends",
    "admin/create",
    "admin/describe",
    "admin/configs",
    "admin/partitions",
    "admin/offsets",
    "admin/delete-records",
    "admin/delete",
    "admin/cluster",
    "errors/unknown-topic",
    "errors/too-large",
    "errors/invalid-name",
    "errors/exists",
    "errors/out-of-range",
    "errors/bad-config",
    "errors/bad-partitions",
    "groups/eager",
];

/// What only some clients have an interface for, in the order of reports.
pub const MORE: [&str; 26] = [
    "admin/describe-many",
    "admin/configs-whole",
    "admin/configs-broker",
    "admin/config-resources",
    "admin/leader-epochs",
    "admin/log-dirs",
    "admin/producers",
    "admin/elect-leaders",
    "admin/reassignments",
    "admin/features",
    "admin/metadata-quorum",
    "groups/cooperative",
    "groups/static",
    "groups/consumer",
    "groups/consumer-range",
    "groups/consumer-static",
    "groups/migration",
    "groups/pattern",
    "groups/admin",
    "groups/admin-consumer",
    "transactions/commit",
    "transactions/abort",
    "transactions/offsets",
    "transactions/fencing",
    "transactions/timeout",
    "transactions/admin",
];

/// What the names of the command line classes' checks begin with.
pub const TOOLS: &str = "cli/";

/// What is said of a program that did all that is asked for, and did not end well.
const END: &str = "end";

/// Whether a check may have this name.
pub fn is_known(check: &str) -> bool {
    CHECKS.contains(&check) || MORE.contains(&check) || check.starts_with(TOOLS)
}

/// The checks that are asked for by their own names or by those of whole families.
pub fn named(asked: &[String]) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for name in asked {
        let is_meant = |check: &&&str| *check == name || family_of(check) == name;
        let meant: Vec<_> = CHECKS.iter().chain(&MORE).filter(is_meant).collect();
        names.extend(meant.iter().map(ToString::to_string));
        match (meant.is_empty(), is_known(name)) {
            (true, true) => names.push(name.clone()),
            (true, false) => return Err(format!("no such check: {name}").into()),
            _ => {}
        }
    }
    Ok(names)
}

/// The family of a check.
pub fn family_of(check: &str) -> &str {
    check.split_once('/').map_or(check, |(family, _)| family)
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// All went as it must.
    Pass,
    /// The client has no such feature.
    Absent,
    /// Anything else.
    Fail,
}

/// What a client says of one check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Which check.
    pub check: String,
    /// How it ended.
    pub result: Outcome,
    /// For a person: what is absent, or what went wrong.
    pub detail: String,
    /// What the broker answered, in words that two right brokers share.
    pub answer: String,
}

/// What one client says of each check, by its name.
pub type Said = BTreeMap<String, Line>;

/// A client as it is started.
pub struct Program {
    /// What reports call it.
    pub name: &'static str,
    /// The client library's version.
    pub version: String,
    /// The program and its first arguments; empty: kcat, which the harness itself drives.
    pub command: Vec<String>,
    /// Whether it plays [`CHECKS`]; the command line classes do not.
    pub has_scenario: bool,
    /// Whether it changes settings of the whole broker, and so must have it for itself.
    pub is_alone: bool,
}

/// The broker to talk to, and where to leave files.
pub struct Visit<'a> {
    /// The broker's first address.
    pub address: SocketAddr,
    /// A folder for files.
    pub folder: &'a Path,
    /// Only these checks; empty: all.
    pub only: &'a [String],
}

impl Visit<'_> {
    /// Whether a check is to be played.
    pub fn wants(&self, check: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == check)
    }
}

/// Runs a client program to its end and returns a line for each wanted check.
pub fn run(program: &Program, visit: &Visit<'_>) -> Said {
    let mut said = Said::new();
    let ended = play(program, visit, &mut said);
    let trouble = ended.as_ref().err().map_or("said nothing of it".into(), ToString::to_string);
    for check in CHECKS.iter().filter(|check| program.has_scenario && visit.wants(check)) {
        said.entry((*check).to_string()).or_insert_with(|| failed(check, &trouble));
    }
    if ended.is_err() && !said.values().any(|line| line.result == Outcome::Fail) {
        said.insert(END.to_string(), failed(END, &trouble));
    }
    said
}

/// A failure as a line.
pub fn failed(check: &str, detail: &str) -> Line {
    let (check, detail) = (check.to_string(), detail.to_string());
    Line { check, result: Outcome::Fail, detail, answer: String::new() }
}

fn play(program: &Program, visit: &Visit<'_>, said: &mut Said) -> Result<(), Failure> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).args(&program.command);
    command.args(["--bootstrap", &visit.address.to_string(), "--prefix", program.name]);
    if !visit.only.is_empty() {
        command.args(["--only", &visit.only.join(",")]);
    }
    let output = visit.folder.join(format!("{}.out", program.name));
    let errors = visit.folder.join(format!("{}.err", program.name));
    let status = await_end(&mut command, &output, &errors);
    let text = fs::read_to_string(&output)?;
    for line in text.lines().filter(|line| line.starts_with('{')) {
        let line: Line = serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))?;
        if !is_known(&line.check) {
            return Err(format!("speaks of an unknown check: {}", line.check).into());
        }
        if said.insert(line.check.clone(), line.clone()).is_some() {
            return Err(format!("speaks twice of {}", line.check).into());
        }
    }
    let complaints = fs::read_to_string(&errors)?;
    match status? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("ended with {status}: {}", process::tail(&complaints)).into()),
        None => Err(format!("not done after {TIME_MAX:?}: {}", process::tail(&complaints)).into()),
    }
}

/// `None` when the time was over and the program, with whatever it started, was killed.
fn await_end(
    command: &mut Command,
    output: &Path,
    errors: &Path,
) -> Result<Option<ExitStatus>, Failure> {
    command.stdin(Stdio::null()).stdout(File::create(output)?).stderr(File::create(errors)?);
    let mut child = command.process_group(0).spawn()?;
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() > TIME_MAX {
            process::run("kill", ["-KILL", "--", &format!("-{}", child.id())])?;
            child.wait()?;
            return Ok(None);
        }
        sleep(POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::TemporaryFolder;

    fn said_by(name: &'static str, script: &str) -> Said {
        let folder = TemporaryFolder::new(&std::env::temp_dir(), name).unwrap();
        let command = ["sh", "-c", script, "sh"].map(String::from).to_vec();
        let (version, has_scenario, is_alone) = (String::new(), true, false);
        let program = Program { name, version, command, has_scenario, is_alone };
        let only = ["nulls".to_string(), "sizes".to_string()];
        let address = ([127, 0, 0, 1], 1).into();
        run(&program, &Visit { address, folder: folder.path(), only: &only })
    }

    const NULLS: &str =
        r#"echo '{"check":"nulls","result":"pass","detail":"","answer":"a"}'; echo noise"#;

    #[test]
    fn what_a_program_does_not_say_has_failed() {
        let said = said_by("says-one", NULLS);
        assert_eq!(said["nulls"].result, Outcome::Pass);
        assert_eq!(said["sizes"], failed("sizes", "said nothing of it"));
        assert_eq!(said.len(), 2);
        let said = said_by("dies", &format!("{NULLS}; echo last words >&2; exit 3"));
        assert_eq!(said["nulls"].result, Outcome::Pass);
        assert!(said["sizes"].detail.contains("last words"), "{said:?}");
    }

    #[test]
    fn checks_are_named_alone_or_by_their_family() {
        let asked = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            named(&names).map_err(|failure| failure.to_string())
        };
        assert_eq!(asked(&["nulls", "seek/ends"]).unwrap(), ["nulls", "seek/ends"]);
        assert_eq!(asked(&["acks"]).unwrap(), ["acks/0", "acks/1", "acks/all"]);
        assert!(asked(&["groups"]).unwrap().contains(&"groups/static".to_string()));
        assert_eq!(asked(&["cli/kafka-topics/list"]).unwrap(), ["cli/kafka-topics/list"]);
        assert_eq!(asked(&["naughts"]).unwrap_err(), "no such check: naughts");
    }

    #[test]
    fn a_bad_end_after_all_is_said_is_a_failure() {
        let sizes = NULLS.replace("nulls", "sizes");
        let said = said_by("ends-well", &format!("{NULLS}; {sizes}"));
        assert_eq!(said.len(), 2, "{said:?}");
        let said = said_by("ends-badly", &format!("{NULLS}; {sizes}; exit 3"));
        assert_eq!(said[END].result, Outcome::Fail);
    }

    #[test]
    fn what_nobody_asked_for_is_a_failure() {
        let said = said_by("says-other", &NULLS.replace("nulls", "naughts"));
        assert!(said["nulls"].detail.contains("unknown check: naughts"));
        let said = said_by("says-twice", &format!("{NULLS}; {NULLS}"));
        assert!(said["sizes"].detail.contains("twice"));
    }
}
