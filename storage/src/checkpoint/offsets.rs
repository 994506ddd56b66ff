//! `recovery-point-offset-checkpoint`, `log-start-offset-checkpoint`,
//! `replication-offset-checkpoint`: an offset per partition, one line each: `topic partition
//! offset`.

use std::collections::BTreeMap;

use super::{CheckpointError, text};

/// All below is flushed, per partition.
pub const RECOVERY_POINT: &str = "recovery-point-offset-checkpoint";
/// Where logs start whose start lies inside their first segment.
pub const LOG_START: &str = "log-start-offset-checkpoint";
/// The high watermark per partition.
pub const HIGH_WATERMARK: &str = "replication-offset-checkpoint";

/// An offset per (topic, partition).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetCheckpoint {
    /// The lines, in the order of their rendering.
    pub offsets: BTreeMap<(String, i32), i64>,
}

impl OffsetCheckpoint {
    /// The file's bytes.
    pub fn render(&self) -> String {
        text::render(self.offsets.iter().map(|((topic, partition), offset)| {
            assert!(!topic.is_empty(), "a topic has a name");
            assert!(!topic.contains([' ', '\n']), "a topic's name has no white space");
            format!("{topic} {partition} {offset}")
        }))
    }

    /// Reads a file's bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let mut offsets = BTreeMap::new();
        for (number, line) in text::parse(bytes)? {
            let [topic, partition, offset] = text::fields(number, line)?;
            let partition = text::number::<i32>(number, "partition", partition)?;
            let offset = text::number::<i64>(number, "offset", offset)?;
            if offsets.insert((topic.to_owned(), partition), offset).is_some() {
                return Err(CheckpointError::at(number, "the partition is named twice", line));
            }
        }
        Ok(Self { offsets })
    }
}
