//! `partition.metadata`: which topic a partition's directory belongs to. Kafka sets a directory
//! without it aside as
//! `-stray` and starts an empty one.
//!
//! ```text
//! version: 0
//! topic_id: pVEjKjV1QPuQGFpSpVmqrA        no final newline
//! ```

use super::{CheckpointError, utf8};

/// The file's name in a partition's directory.
pub const PARTITION_METADATA: &str = "partition.metadata";

/// Characters of an id: 16 bytes in base64url without padding.
pub const ID_CHARS: usize = 22;

/// The file's content. The id is kept as written: 22 characters of base64url.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// The topic's id, base64url without padding.
    pub topic_id: String,
}

impl PartitionMetadata {
    /// The file's bytes.
    pub fn render(&self) -> String {
        assert!(is_id(&self.topic_id), "a topic id is 22 characters of base64url");
        format!("version: 0\ntopic_id: {}", self.topic_id)
    }

    /// Reads a file's bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let text = utf8(bytes)?;
        let mut version = None;
        let mut topic_id = None;
        for (line, at) in text.strip_suffix('\n').unwrap_or(text).split('\n').zip(1usize..) {
            match line.split_once(": ") {
                Some(("version", "0")) if version.is_none() => version = Some(0),
                Some(("topic_id", id)) if topic_id.is_none() && is_id(id) => topic_id = Some(id),
                _ => {
                    let what =
                        "`version: 0` and `topic_id: <22 characters of base64url>`, once each";
                    return Err(CheckpointError::at(at, what, line));
                }
            }
        }
        match (version, topic_id) {
            (Some(_), Some(id)) => Ok(Self { topic_id: id.to_owned() }),
            (None, _) => Err(CheckpointError::at(1, "the version is missing", text)),
            (_, None) => Err(CheckpointError::at(2, "the topic id is missing", text)),
        }
    }
}

/// Whether `text` has the form of an id in base64url. The last character holds only two bits.
pub fn is_id(text: &str) -> bool {
    text.len() == ID_CHARS
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && text.ends_with(['A', 'Q', 'g', 'w'])
}
