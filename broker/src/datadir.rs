//! What the data directory is at start, what is to be done to it, and how it is left at a clean
//! stop.
//!
//! The directory is laid out as Kafka's (`kraft.md` A), with one private file at its root, which
//! Kafka ignores:
//!
//! ```text
//! ringlog.properties      format.version=1
//!                         state=formatting | ready       first and last write of formatting
//! ```
//!
//! Invariants:
//! - A directory that is neither empty nor ours is refused before anything in it is touched.
//! - Formatting is a list of steps, each atomic. Cut anywhere, it is recognised and begun again:
//!   until `state=ready` is durable nothing else was ever written there.
//! - The clean marker is read, then removed durably, before any log is opened; it is written last.
//!
//! Pure: the shell lists, reads, and carries out [`Step`]s in order, each durable (file and
//! directory) before the next.

mod start;
mod stop;

use std::collections::BTreeMap;
use std::fmt;

use ringlog_storage::checkpoint::MetaProperties;
use ringlog_storage::checkpoint::meta::META_PROPERTIES;
use ringlog_wire::Uuid;

use crate::metadata::bootstrap::Node;
use crate::metadata::{format, ids};

pub use start::{
    Found, LivePartition, OwnedFiles, Placement, Root, next_epoch, open, place, quorum_state_step,
};
pub use stop::{PartitionEnd, StopPlan, checkpoint_steps, delete_dir, stop_plan, stray_dir};

/// The private file that says the directory is ours.
pub const RINGLOG_PROPERTIES: &str = "ringlog.properties";
/// The version of the directory's layout that this build reads and writes.
pub const FORMAT_VERSION: i32 = 1;
/// The lock's file: there is one as soon as someone looked at the directory.
pub const LOCK: &str = ".lock";
/// Where features of a new cluster stand.
pub const BOOTSTRAP_CHECKPOINT: &str = "bootstrap.checkpoint";
/// The metadata log's directory.
pub const METADATA_DIR: &str = "__cluster_metadata-0";
/// The metadata log's first snapshot.
pub const QUORUM_CHECKPOINT: &str = "00000000000000000000-0000000000.checkpoint";
/// What a file is called while it is being replaced.
pub const TMP_SUFFIX: &str = ".tmp";
/// Names of strangers told in a refusal.
const STRANGERS_TOLD_MAX: usize = 3;

/// Something at the root of the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// True for a directory.
    pub is_dir: bool,
}

/// Something to do, atomic and durable before the next. Paths are relative to the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a directory, unless it is there.
    CreateDir(String),
    /// Put a file in place whole: `.tmp`, flush, rename, flush the directory.
    Replace(String, Vec<u8>),
    /// Remove a file, if it is there.
    Remove(String),
    /// Rename a directory.
    Rename(String, String),
}

/// What a directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing is there, or a formatting that did not end: carry out [`format_steps`].
    Blank,
    /// Ours: [`open`] it.
    Ours,
}

/// Why a directory is not taken. It was not touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Apache Kafka formatted it.
    Kafka,
    /// It holds what is neither ours nor Kafka's.
    Foreign {
        /// A few of the names in it.
        names: Vec<String>,
    },
    /// Formatting did not end, yet there is more than formatting writes.
    Unfinished {
        /// A few of the names in it.
        names: Vec<String>,
    },
    /// A version of Ringlog wrote it that this one does not know.
    Version {
        /// What it says.
        found: String,
    },
    /// One of its files is damaged.
    Damaged {
        /// The file.
        file: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// It belongs to another node.
    NodeId {
        /// The node it belongs to.
        found: i32,
        /// This node.
        expected: i32,
    },
    /// A directory in it is not a partition's; Kafka would not start on it either.
    Stranger {
        /// Its name.
        name: String,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Kafka => f.write_str(
                "Apache Kafka wrote this data directory (it has a meta.properties and no \
                 ringlog.properties). Taking over Kafka's data is not supported yet: choose \
                 another --data-dir. Nothing was touched.",
            ),
            Refusal::Foreign { names } => write!(
                f,
                "the data directory is neither empty nor Ringlog's (it has {}): choose another \
                 --data-dir. Nothing was touched.",
                names.join(", ")
            ),
            Refusal::Unfinished { names } => write!(
                f,
                "formatting of the data directory was interrupted, and since then {} came into \
                 it: remove what is not Ringlog's, or choose another --data-dir. Nothing was \
                 touched.",
                names.join(", ")
            ),
            Refusal::Version { found } => write!(
                f,
                "the data directory has format.version {found} (in {RINGLOG_PROPERTIES}), this \
                 version of Ringlog reads {FORMAT_VERSION}: start the version that wrote it. \
                 Nothing was touched."
            ),
            Refusal::Damaged { file, why } => write!(
                f,
                "{file} in the data directory is damaged: {why}. Restore it from a backup. \
                 Nothing was touched."
            ),
            Refusal::NodeId { found, expected } => write!(
                f,
                "the data directory belongs to node.id {found}, this node is {expected}: start \
                 with --node-id {found} or choose another --data-dir. Nothing was touched."
            ),
            Refusal::Stranger { name } => write!(
                f,
                "the directory {name} in the data directory is no partition (topic-number): move \
                 it away. Nothing was touched."
            ),
        }
    }
}

impl std::error::Error for Refusal {}

/// What the directory is. `ours` is the content of [`RINGLOG_PROPERTIES`] where there is one.
///
/// # Errors
/// When the directory is not to be touched.
pub fn classify(entries: &[Entry], ours: Option<&[u8]>) -> Result<Kind, Refusal> {
    let Some(ours) = ours else {
        if has(entries, META_PROPERTIES) {
            return Err(Refusal::Kafka);
        }
        let first_write = format!("{RINGLOG_PROPERTIES}{TMP_SUFFIX}");
        let names = strangers(entries, &[LOCK, &first_write]);
        return if names.is_empty() { Ok(Kind::Blank) } else { Err(Refusal::Foreign { names }) };
    };
    let keys = properties(ours);
    match keys.get("format.version").map(String::as_str) {
        Some(version) if version == FORMAT_VERSION.to_string() => {}
        Some(version) => return Err(Refusal::Version { found: version.to_string() }),
        None => return Err(damaged(RINGLOG_PROPERTIES, "format.version is missing".into())),
    }
    match keys.get("state").map(String::as_str) {
        Some("ready") => Ok(Kind::Ours),
        Some("formatting") => {
            let files = [RINGLOG_PROPERTIES, META_PROPERTIES, BOOTSTRAP_CHECKPOINT];
            let being_written = files.map(|file| format!("{file}{TMP_SUFFIX}"));
            let mut known = vec![LOCK, METADATA_DIR];
            known.extend(files);
            known.extend(being_written.iter().map(String::as_str));
            let names = strangers(entries, &known);
            if names.is_empty() { Ok(Kind::Blank) } else { Err(Refusal::Unfinished { names }) }
        }
        state => {
            let found = state.unwrap_or("nothing");
            let why = format!("state must be formatting or ready, found {found}");
            Err(damaged(RINGLOG_PROPERTIES, why))
        }
    }
}

fn has(entries: &[Entry], name: &str) -> bool {
    entries.iter().any(|entry| entry.name == name)
}

fn strangers(entries: &[Entry], known: &[&str]) -> Vec<String> {
    let stranger = |entry: &&Entry| !known.contains(&entry.name.as_str());
    let mut names: Vec<String> =
        entries.iter().filter(stranger).map(|entry| entry.name.clone()).collect();
    names.sort();
    names.truncate(STRANGERS_TOLD_MAX);
    names
}

fn damaged(file: &'static str, why: String) -> Refusal {
    Refusal::Damaged { file, why }
}

fn properties(bytes: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(bytes);
    let pair = |line: &str| {
        let (key, value) = line.split_once('=')?;
        Some((key.trim().to_string(), value.trim().to_string()))
    };
    text.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(pair).collect()
}

fn ringlog_properties(state: &str) -> Vec<u8> {
    let head = "# Written by Ringlog; Apache Kafka ignores this file.";
    format!("{head}\nformat.version={FORMAT_VERSION}\nstate={state}\n").into_bytes()
}

/// A new cluster's and directory's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// 22 characters of base64url.
    pub cluster_id: String,
    /// The directory's id.
    pub directory: Uuid,
}

impl Identity {
    /// Draws from a source of random ids, passing over those that Kafka's own tools avoid.
    pub fn draw(source: &mut dyn FnMut() -> Uuid) -> Identity {
        Identity {
            cluster_id: ids::draw(source, |_| false).to_string(),
            directory: ids::draw(source, |_| false),
        }
    }
}

/// Makes a blank directory ours, as `kafka-storage format --standalone` would: the ids of `node`
/// and `cluster_id` are new ([`Identity::draw`]), also when an earlier formatting did not end.
pub fn format_steps(now_ms: i64, node: &Node, cluster_id: &str) -> Vec<Step> {
    let meta = MetaProperties {
        cluster_id: cluster_id.to_string(),
        node_id: node.id,
        directory_id: Some(node.directory.to_string()),
        others: BTreeMap::new(),
    };
    let quorum = format!("{METADATA_DIR}/{QUORUM_CHECKPOINT}");
    vec![
        Step::Replace(RINGLOG_PROPERTIES.into(), ringlog_properties("formatting")),
        Step::CreateDir(METADATA_DIR.into()),
        Step::Replace(quorum, format::quorum_checkpoint(now_ms, node)),
        Step::Replace(BOOTSTRAP_CHECKPOINT.into(), format::bootstrap_checkpoint(now_ms)),
        Step::Replace(META_PROPERTIES.into(), meta.render().into_bytes()),
        Step::Replace(RINGLOG_PROPERTIES.into(), ringlog_properties("ready")),
    ]
}

#[cfg(test)]
mod tests;
