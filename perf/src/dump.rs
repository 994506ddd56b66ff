//! `kafka-dump-log` over every file of a stopped broker: does Kafka read what lies there?
//!
//! What the tool may say is listed here, line by line. Everything else is a complaint, so that a
//! warning which a later version words differently is not taken for success.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::kafka::Kafka;
use crate::process;

const TOOL: &str = "org.apache.kafka.tools.DumpLogSegments";
const METADATA_TOPIC: &str = "__cluster_metadata-0";
/// Of a sound file the tool says nothing but these. It takes -1 for the offset before every
/// segment, and so reports a gap (the line after `Non-consecutive`) in each that does not begin at
/// 0.
const EXPECTED_STARTS: [&str; 10] = [
    "Dumping ",
    "Log starting offset: ",
    "Snapshot end offset: ",
    "baseOffset: ",
    "| offset: ",
    "offset: ",
    "timestamp: ",
    "producerId: ",
    "Non-consecutive offsets in ",
    "  -1 is followed by ",
];
/// The active segment's index may be empty; it is sane then.
const EXPECTED_ENDS: [&str; 2] = [" passed sanity check.", " is empty."];
/// Linux takes arguments of 128 KiB; a path here has some 120 bytes.
const FILES_AT_ONCE: usize = 800;
const COMPLAINTS_SHOWN_MAX: usize = 5;

/// What was found.
#[derive(Debug, Default)]
pub struct Dumped {
    /// How many files were read.
    pub files: usize,
    /// Data records in the `.log` files of the topics to be counted.
    pub records: u64,
}

struct Check {
    name: &'static str,
    extensions: &'static [&'static str],
    flags: &'static [&'static str],
    is_metadata: bool,
}

const CHECKS: [Check; 5] = [
    Check { name: "log", extensions: &["log"], flags: &["--deep-iteration"], is_metadata: false },
    Check {
        name: "index",
        extensions: &["index", "timeindex"],
        flags: &["--verify-index-only"],
        is_metadata: false,
    },
    Check {
        name: "index sanity",
        extensions: &["index", "timeindex"],
        flags: &["--index-sanity-check"],
        is_metadata: false,
    },
    Check { name: "snapshot", extensions: &["snapshot"], flags: &[], is_metadata: false },
    Check {
        name: "metadata",
        extensions: &["log", "checkpoint"],
        flags: &["--cluster-metadata-decoder"],
        is_metadata: true,
    },
];

/// The names of the checks, for a report.
pub const CHECK_NAMES: [&str; 5] =
    [CHECKS[0].name, CHECKS[1].name, CHECKS[2].name, CHECKS[3].name, CHECKS[4].name];

/// Runs one check over all files it concerns. Records are counted in folders whose names begin with
/// one of `counted`.
pub fn check(kafka: &Kafka, data: &Path, name: &str, counted: &[&str]) -> Result<Dumped, Failure> {
    let check = CHECKS.iter().find(|check| check.name == name).ok_or("no such check")?;
    let files = files_of(data, check)?;
    if files.is_empty() {
        return Err(format!("no file to check under {}", data.display()).into());
    }
    let (is_success, text) = dumped(kafka, check, &files)?;
    let dumps = text.lines().filter(|line| line.starts_with("Dumping ")).count();
    let mut complaints: Vec<String> = text.lines().filter_map(complaint).collect();
    let is_pass = |line: &&str| EXPECTED_ENDS.iter().any(|end| line.ends_with(end));
    let passes = text.lines().filter(is_pass).count();
    let is_sanity = check.flags.contains(&"--index-sanity-check");
    let empties = text.lines().filter(|line| line.ends_with(" is empty.")).count();
    if empties == files.len() {
        complaints.push("every index is empty".to_string());
    }
    if !is_success {
        complaints.push("the tool failed".to_string());
    }
    if dumps != files.len() || (is_sanity && passes != files.len()) {
        complaints.push(format!("{dumps} dumped and {passes} passed of {} files", files.len()));
    }
    if complaints.is_empty() {
        let records = records_of(&text, data, counted);
        return Ok(Dumped { files: files.len(), records });
    }
    let count = complaints.len();
    complaints.truncate(COMPLAINTS_SHOWN_MAX);
    Err(format!("{count} complaints:\n  {}", complaints.join("\n  ")).into())
}

/// Runs the tool over all files, as many at a time as a command line holds.
fn dumped(kafka: &Kafka, check: &Check, files: &[PathBuf]) -> Result<(bool, String), Failure> {
    let (mut is_success, mut text) = (true, String::new());
    for files in files.chunks(FILES_AT_ONCE) {
        let list: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        let mut command = kafka.tool(TOOL);
        command.args(check.flags).args(["--files", &list.join(",")]);
        let (is_this_success, this) = process::everything_of(&mut command)?;
        is_success &= is_this_success;
        text.push_str(&this);
    }
    Ok((is_success, text))
}

/// How many records the tool has shown in folders whose names begin with one of `counted`.
fn records_of(text: &str, data: &Path, counted: &[&str]) -> u64 {
    let start = format!("Dumping {}/", data.display());
    let (mut records, mut is_counted) = (0, false);
    for line in text.lines() {
        if let Some(file) = line.strip_prefix(&start) {
            is_counted = counted.iter().any(|name| file.starts_with(name));
        }
        records += u64::from(is_counted && line.starts_with("| offset: "));
    }
    records
}

/// A line of the tool that is not part of a sound file's description, cut to a readable length.
fn complaint(line: &str) -> Option<String> {
    const LINE_CHARACTERS_MAX: usize = 300;
    let is_expected = line.is_empty()
        || EXPECTED_STARTS.iter().any(|start| line.starts_with(start))
        || EXPECTED_ENDS.iter().any(|end| line.ends_with(end));
    let is_invalid = line.starts_with("baseOffset: ") && !line.ends_with(" isvalid: true");
    (!is_expected || is_invalid).then(|| line.chars().take(LINE_CHARACTERS_MAX).collect())
}

fn files_of(data: &Path, check: &Check) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for folder in fs::read_dir(data)? {
        let folder = folder?.path();
        let name = folder.file_name().unwrap_or(OsStr::new("")).to_string_lossy().into_owned();
        let is_metadata = name == METADATA_TOPIC;
        // Kafka renames the folder of a deleted partition and empties it later.
        let is_deleted = name.ends_with("-delete");
        if !folder.is_dir() || is_deleted || is_metadata != check.is_metadata {
            continue;
        }
        for file in fs::read_dir(&folder)? {
            let file = file?.path();
            let extension = file.extension().and_then(OsStr::to_str).unwrap_or("");
            if check.extensions.contains(&extension) {
                files.push(file);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{complaint, records_of};

    #[test]
    fn records_are_counted_where_asked() {
        let text = "Dumping /d/a-1-0/0.log\nbaseOffset: 0\n| offset: 0\n| offset: 1\n\
                    Dumping /d/b-0/0.log\n| offset: 0\nDumping /d/c-0/0.log\n| offset: 0\n";
        assert_eq!(records_of(text, Path::new("/d"), &["a-", "c-"]), 3);
    }

    #[test]
    fn only_known_lines_pass() {
        for line in [
            "Dumping /x/00000000000000000000.log",
            "baseOffset: 0 lastOffset: 9 count: 10 crc: 7 isvalid: true",
            "/x/0.index passed sanity check.",
        ] {
            assert_eq!(complaint(line), None);
        }
        for line in [
            "baseOffset: 0 lastOffset: 9 count: 10 crc: 7 isvalid: false",
            "Mismatches in :/x/0.index",
            "  7 is followed by 9",
            "Found 12 invalid bytes at the end of 0.log",
        ] {
            assert!(complaint(line).is_some(), "{line}");
        }
    }
}
