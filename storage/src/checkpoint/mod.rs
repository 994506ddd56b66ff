//! The small files beside the logs, as Kafka writes them: parse and render, nothing else.
//!
//! Invariants: no parser panics, loops or allocates beyond its input's size, whatever the bytes;
//! what is rendered parses back to the same value. A malformed file is an error that names the
//! line, never a guess: Kafka takes a whole log directory offline for one, so each is replaced as a
//! whole (tmp, fsync, rename, fsync of the directory).

pub mod clean_shutdown;
pub mod json;
pub mod meta;
pub mod offsets;
pub mod partition;
pub mod quorum;
pub mod text;

pub use clean_shutdown::CleanShutdown;
pub use meta::MetaProperties;
pub use offsets::OffsetCheckpoint;
pub use partition::PartitionMetadata;
pub use quorum::QuorumState;

/// Largest file any of these parsers takes.
pub const CHECKPOINT_BYTES_MAX: usize = 64 << 20;

/// What a small file should have held and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointError {
    /// The line, from 1; of a JSON file the byte, from 0.
    pub at: usize,
    /// What was expected, or is wrong.
    pub what: &'static str,
    /// What was found there, cut short.
    pub found: String,
}

impl CheckpointError {
    /// Most characters of a file quoted in an error.
    const FOUND_CHARS_MAX: usize = 60;

    pub(crate) fn at(at: usize, what: &'static str, found: &str) -> Self {
        Self { at, what, found: found.chars().take(Self::FOUND_CHARS_MAX).collect() }
    }
}

impl std::fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at {}: {}, found {:?}", self.at, self.what, self.found)
    }
}

impl std::error::Error for CheckpointError {}

pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, CheckpointError> {
    if bytes.len() > CHECKPOINT_BYTES_MAX {
        return Err(CheckpointError::at(0, "the file is too large", ""));
    }
    std::str::from_utf8(bytes)
        .map_err(|error| CheckpointError::at(error.valid_up_to(), "the file is not UTF-8", ""))
}

#[cfg(test)]
mod tests;
