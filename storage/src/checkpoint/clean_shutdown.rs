//! `.kafka_cleanshutdown`: the last thing a clean stop writes and the first thing an open removes.
//!
//! `{"version":0,"brokerEpoch":17}`, no newline.

use super::CheckpointError;
use super::json::Json;

/// The file's name at the root of the data directory.
pub const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";

/// The file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanShutdown {
    /// The epoch under which the broker was registered when it stopped, or -1.
    pub broker_epoch: i64,
}

impl CleanShutdown {
    /// The file's bytes.
    pub fn render(&self) -> String {
        format!("{{\"version\":0,\"brokerEpoch\":{}}}", self.broker_epoch)
    }

    /// Reads a file's bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let json = Json::parse(bytes)?;
        let version = json.number::<i64>("version")?;
        if version != 0 {
            return Err(CheckpointError::at(0, "the version must be 0", &version.to_string()));
        }
        Ok(Self { broker_epoch: json.number("brokerEpoch")? })
    }
}
