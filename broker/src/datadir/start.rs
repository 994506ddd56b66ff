//! A start on our own directory: what the files at its root say, and which directories are which
//! partitions.
//!
//! Invariants:
//! - A checkpoint is a hint: a malformed one is told and treated as absent. Identity is no hint: a
//!   malformed `meta.properties` is refused.
//! - A directory is a partition's only if its `partition.metadata` names the topic that the image
//!   has under that name, and this node is among the partition's replicas; otherwise it is set
//!   aside as `-stray`, never removed.

use std::collections::{BTreeMap, BTreeSet};

use ringlog_storage::checkpoint::clean_shutdown::CLEAN_SHUTDOWN;
use ringlog_storage::checkpoint::meta::META_PROPERTIES;
use ringlog_storage::checkpoint::offsets::{HIGH_WATERMARK, LOG_START, RECOVERY_POINT};
use ringlog_storage::checkpoint::quorum::{NO_DIRECTORY, QUORUM_STATE};
use ringlog_storage::checkpoint::{
    CheckpointError, CleanShutdown, MetaProperties, OffsetCheckpoint, QuorumState,
};
use ringlog_wire::Uuid;

use super::stop::{DELETE_SUFFIX, STRAY_SUFFIX, stray_dir};
use super::{Entry, METADATA_DIR, Refusal, Step, damaged};
use crate::metadata::image::Image;
use crate::metadata::names::check_topic_name;

/// A replica on its way between two directories of one broker: Ringlog has one directory, so it
/// leaves them alone.
const FUTURE_SUFFIX: &str = "-future";
/// Kafka's tiered storage keeps indexes here, beside the partitions.
const REMOTE_INDEX_DIR: &str = "remote-log-index-cache";

/// The contents of the files at the root that a start reads; `None` where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedFiles {
    /// `meta.properties`.
    pub meta: Option<Vec<u8>>,
    /// `.kafka_cleanshutdown`.
    pub marker: Option<Vec<u8>>,
    /// `recovery-point-offset-checkpoint`.
    pub recovery_points: Option<Vec<u8>>,
    /// `log-start-offset-checkpoint`.
    pub log_starts: Option<Vec<u8>>,
    /// `replication-offset-checkpoint`.
    pub high_watermarks: Option<Vec<u8>>,
    /// `quorum-state` of the metadata log.
    pub quorum_state: Option<Vec<u8>>,
}

/// What the root says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The cluster's id.
    pub cluster_id: String,
    /// This directory's id.
    pub directory: Uuid,
    /// The broker epoch of the last clean stop; `None`: the logs are to be recovered.
    pub clean: Option<i64>,
    /// Everything below is flushed, by topic and partition.
    pub recovery_points: OffsetCheckpoint,
    /// Where logs start that start inside a segment.
    pub log_starts: OffsetCheckpoint,
    /// High watermarks.
    pub high_watermarks: OffsetCheckpoint,
    /// The last epoch and leader this node knew.
    pub quorum_state: Option<QuorumState>,
    /// To be carried out before any log is opened: the marker goes.
    pub steps: Vec<Step>,
    /// What was malformed and is treated as absent.
    pub warnings: Vec<String>,
}

/// Reads the root of a directory that is ours.
///
/// # Errors
/// When it is another node's, or its identity cannot be read.
pub fn open(node_id: i32, files: &OwnedFiles) -> Result<Root, Refusal> {
    let meta = files.meta.as_deref();
    let meta = meta.ok_or_else(|| damaged(META_PROPERTIES, "it is missing".into()))?;
    let meta =
        MetaProperties::parse(meta).map_err(|error| damaged(META_PROPERTIES, error.to_string()))?;
    if meta.node_id != node_id {
        return Err(Refusal::NodeId { found: meta.node_id, expected: node_id });
    }
    let directory = meta.directory_id.as_deref().and_then(|id| id.parse().ok());
    let directory =
        directory.ok_or_else(|| damaged(META_PROPERTIES, "directory.id is missing".into()))?;
    let mut warnings = Vec::new();
    let marker = hint(CLEAN_SHUTDOWN, &files.marker, CleanShutdown::parse, &mut warnings);
    let mut offsets =
        |name, bytes| hint(name, bytes, OffsetCheckpoint::parse, &mut warnings).unwrap_or_default();
    let recovery_points = offsets(RECOVERY_POINT, &files.recovery_points);
    let log_starts = offsets(LOG_START, &files.log_starts);
    let high_watermarks = offsets(HIGH_WATERMARK, &files.high_watermarks);
    let quorum_state = hint(QUORUM_STATE, &files.quorum_state, QuorumState::parse, &mut warnings);
    Ok(Root {
        cluster_id: meta.cluster_id,
        directory,
        clean: marker.map(|marker| marker.broker_epoch),
        recovery_points,
        log_starts,
        high_watermarks,
        quorum_state,
        steps: vec![Step::Remove(CLEAN_SHUTDOWN.into())],
        warnings,
    })
}

fn hint<T>(
    name: &str,
    bytes: &Option<Vec<u8>>,
    parse: impl Fn(&[u8]) -> Result<T, CheckpointError>,
    warnings: &mut Vec<String>,
) -> Option<T> {
    match parse(bytes.as_deref()?) {
        Ok(value) => Some(value),
        Err(error) => {
            warnings.push(format!("{name} is malformed and treated as absent: {error}"));
            None
        }
    }
}

/// The epoch in which this node leads next: above every epoch it voted in, led in, or has a record
/// of.
pub fn next_epoch(state: Option<&QuorumState>, log_epoch: i32) -> i32 {
    state.map_or(0, |state| state.leader_epoch).max(log_epoch).max(0) + 1
}

/// Says durably that this node leads in `epoch`: before the epoch's first record is written.
pub fn quorum_state_step(node_id: i32, epoch: i32) -> Step {
    let state = QuorumState {
        leader_id: node_id,
        leader_epoch: epoch,
        voted_id: -1,
        voted_directory_id: NO_DIRECTORY.into(),
        voters: None,
    };
    Step::Replace(format!("{METADATA_DIR}/{QUORUM_STATE}"), state.render().into_bytes())
}

/// The directories at the root, by what their names say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Partitions: the directory's name, topic, number. Their `partition.metadata` is read next,
    /// for [`place`].
    pub partitions: Vec<(String, String, i32)>,
    /// Deleted topics' directories: to be removed, with all they hold, when there is time.
    pub deleted: Vec<String>,
    /// Set aside before: left alone.
    pub set_aside: Vec<String>,
}

impl Found {
    /// Sorts the directories of a listing.
    ///
    /// # Errors
    /// When one is no partition's: Kafka would not start on it either.
    pub fn sort(entries: &[Entry]) -> Result<Found, Refusal> {
        let mut found = Found::default();
        for entry in entries.iter().filter(|entry| entry.is_dir && entry.name != METADATA_DIR) {
            let name = entry.name.clone();
            if name == REMOTE_INDEX_DIR {
                continue;
            } else if name.ends_with(DELETE_SUFFIX) {
                found.deleted.push(name);
            } else if name.ends_with(STRAY_SUFFIX) || name.ends_with(FUTURE_SUFFIX) {
                found.set_aside.push(name);
            } else if let Some((topic, number)) = topic_and_number(&name) {
                found.partitions.push((name.clone(), topic.to_string(), number));
            } else {
                return Err(Refusal::Stranger { name });
            }
        }
        Ok(found)
    }
}

/// `topic-number`, the number in its shortest form.
fn topic_and_number(name: &str) -> Option<(&str, i32)> {
    let (topic, number) = name.rsplit_once('-')?;
    let parsed = number.parse::<i32>().ok().filter(|parsed| *parsed >= 0)?;
    (check_topic_name(topic).is_ok() && parsed.to_string() == number).then_some((topic, parsed))
}

/// A partition of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivePartition {
    /// The topic's id.
    pub topic_id: Uuid,
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// Its directory.
    pub dir: String,
    /// False when the directory is not there: the partition was created just before a stop, or its
    /// data is lost.
    pub exists: bool,
}

/// Which directory belongs to which partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Every partition that the image gives this node, ascending by topic's name and number.
    pub live: Vec<LivePartition>,
    /// Renames of directories that belong to no partition of this node, to `-stray`.
    pub steps: Vec<Step>,
}

/// Matches directories to the partitions that the image gives this node. `topic_ids` is what each
/// directory's `partition.metadata` says, by the directory's name; absent where there is no
/// readable one. `ids` gives random ids, for the names of strays.
pub fn place(
    found: &Found,
    topic_ids: &BTreeMap<String, Uuid>,
    image: &Image,
    node_id: i32,
    ids: &mut dyn FnMut() -> Uuid,
) -> Placement {
    let mut placement = Placement::default();
    let mut taken = BTreeSet::new();
    for (dir, topic, number) in &found.partitions {
        let own = image.topic_named(topic).filter(|topic| topic_ids.get(dir) == Some(&topic.id));
        let own = own.and_then(|topic| topic.partitions.get(number));
        if own.is_some_and(|partition| partition.replicas.contains(&node_id)) {
            taken.insert(dir.as_str());
        } else {
            let stray = stray_dir(topic, *number, ids());
            placement.steps.push(Step::Rename(dir.clone(), stray));
        }
    }
    for topic in image.topics_by_name() {
        for (number, partition) in &topic.partitions {
            if !partition.replicas.contains(&node_id) {
                continue;
            }
            let dir = format!("{}-{number}", topic.name);
            placement.live.push(LivePartition {
                topic_id: topic.id,
                topic: topic.name.to_string(),
                partition: *number,
                exists: taken.contains(dir.as_str()),
                dir,
            });
        }
    }
    placement
}
