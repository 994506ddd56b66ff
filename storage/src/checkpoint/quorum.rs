//! `quorum-state` of the metadata log: whom this node voted for and in which epoch. Written before
//! a vote is answered; losing it may let a node vote twice in one epoch.
//!
//! Two versions exist. A node of a dynamic quorum writes version 0 until it has read that version
//! from its log, so both are read; version 1 is written.

use super::CheckpointError;
use super::json::{Json, quote};

/// The file's name in the metadata log's directory.
pub const QUORUM_STATE: &str = "quorum-state";
/// The directory id of "voted for nobody", and what version 0 cannot say.
pub const NO_DIRECTORY: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// The file's content. -1 means "nobody".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumState {
    /// The leader of the epoch, or -1.
    pub leader_id: i32,
    /// The epoch.
    pub leader_epoch: i32,
    /// Who got this node's vote in the epoch, or -1.
    pub voted_id: i32,
    /// The directory id of who got the vote, base64url; `NO_DIRECTORY` when nobody or unknown.
    pub voted_directory_id: String,
    /// The voters, which only version 0 names.
    pub voters: Option<Vec<i32>>,
}

impl QuorumState {
    /// The bytes of version 1; `voters` has no place there.
    pub fn render(&self) -> String {
        format!(
            "{{\"leaderId\":{},\"leaderEpoch\":{},\"votedId\":{},\
             \"votedDirectoryId\":{},\"data_version\":1}}",
            self.leader_id,
            self.leader_epoch,
            self.voted_id,
            quote(&self.voted_directory_id)
        )
    }

    /// Reads a file's bytes, version 0 or 1.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let json = Json::parse(bytes)?;
        let version = json.number::<i64>("data_version")?;
        let (voted_directory_id, voters) = match version {
            0 => (NO_DIRECTORY.to_owned(), Some(voters(&json)?)),
            1 => (json.string("votedDirectoryId")?.to_owned(), None),
            _ => {
                let found = version.to_string();
                return Err(CheckpointError::at(0, "the version must be 0 or 1", &found));
            }
        };
        if !super::partition::is_id(&voted_directory_id) {
            let what = "a directory id is 22 characters of base64url";
            return Err(CheckpointError::at(0, what, &voted_directory_id));
        }
        let state = Self {
            leader_id: json.number("leaderId")?,
            leader_epoch: json.number("leaderEpoch")?,
            voted_id: json.number("votedId")?,
            voted_directory_id,
            voters,
        };
        if state.leader_epoch < 0 || state.leader_id < -1 || state.voted_id < -1 {
            return Err(CheckpointError::at(0, "ids are at least -1, epochs at least 0", ""));
        }
        Ok(state)
    }
}

fn voters(json: &Json) -> Result<Vec<i32>, CheckpointError> {
    match json.get("currentVoters") {
        Some(Json::Array(items)) => items.iter().map(|item| item.number("voterId")).collect(),
        _ => Err(CheckpointError::at(0, "an array must be there", "currentVoters")),
    }
}
