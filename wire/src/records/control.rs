//! Control records: what the log's leader writes into batches with the control flag.
//!
//! Invariants: key and value both start with their version. Quorum records' bodies are flexible; a
//! transaction marker's is not. A later format is read as far as it is known.

use crate::codec::{DecodeError, Reader, Result};
use crate::message::{Message, messages};
use crate::uuid::Uuid;

/// The bytes of a control record's key.
pub const KEY_BYTES: usize = size_of::<i16>() * 2;
const KEY_VERSION: i16 = 0;

/// A control record's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum ControlKey {
    /// A transaction is aborted.
    Abort = 0,
    /// A transaction is committed.
    Commit = 1,
    /// A leader begins its epoch.
    LeaderChange = 2,
    /// A snapshot begins.
    SnapshotHeader = 3,
    /// A snapshot ends.
    SnapshotFooter = 4,
    /// The quorum's protocol level.
    KRaftVersion = 5,
    /// Who votes.
    KRaftVoters = 6,
}

impl ControlKey {
    /// The key's bytes.
    pub fn encode(self) -> [u8; KEY_BYTES] {
        let [a, b] = KEY_VERSION.to_be_bytes();
        let [c, d] = (self as i16).to_be_bytes();
        [a, b, c, d]
    }

    /// Reads a key. A type that is not known is an error that names it.
    pub fn decode(key: &[u8]) -> Result<ControlKey> {
        let mut input = Reader::new(key);
        let (version, kind) = (input.i16()?, input.i16()?);
        if version < KEY_VERSION {
            return Err(DecodeError::Unknown { key: kind as u32, version });
        }
        Ok(match kind {
            0 => ControlKey::Abort,
            1 => ControlKey::Commit,
            2 => ControlKey::LeaderChange,
            3 => ControlKey::SnapshotHeader,
            4 => ControlKey::SnapshotFooter,
            5 => ControlKey::KRaftVersion,
            6 => ControlKey::KRaftVoters,
            _ => return Err(DecodeError::Unknown { key: kind as u32, version }),
        })
    }
}

messages! {
    /// A transaction's end.
    EndTxnMarker, flexible 32767 {
        /// The marker's format, 0.
        version: i16 => 0+;
        /// The coordinator's epoch.
        coordinator_epoch: i32 => 0+;
    }

    /// A leader begins its epoch: the first record in it. v1: directory ids.
    LeaderChangeMessage, flexible 0 {
        /// The message's format.
        version: i16 => 0+;
        /// The leader.
        leader_id: i32 => 0+;
        /// Who could vote.
        voters: Vec<LeaderChangeVoter> => 0+;
        /// Who voted for it.
        granting_voters: Vec<LeaderChangeVoter> => 0+;
    }

    /// A voter in a leader's first record.
    LeaderChangeVoter, flexible 0 {
        /// Its number.
        voter_id: i32 => 0+;
        /// Its directory.
        voter_directory_id: Uuid => 1+;
    }

    /// A snapshot begins.
    SnapshotHeaderRecord, flexible 0 {
        /// The record's format, 0.
        version: i16 => 0+;
        /// The time of the last record that the snapshot holds.
        last_contained_log_timestamp: i64 => 0+;
    }

    /// A snapshot ends.
    SnapshotFooterRecord, flexible 0 {
        /// The record's format, 0.
        version: i16 => 0+;
    }

    /// The quorum's protocol level.
    KRaftVersionRecord, flexible 0 {
        /// The record's format, 0.
        version: i16 => 0+;
        /// 0 voters are configured, 1 voters are in the log.
        kraft_version: i16 => 0+;
    }

    /// Who votes; in force once appended.
    VotersRecord, flexible 0 {
        /// The record's format, 0.
        version: i16 => 0+;
        /// The voters.
        voters: Vec<Voter> => 0+;
    }

    /// A voter.
    Voter, flexible 0 {
        /// Its number.
        voter_id: i32 => 0+;
        /// Its directory: another disk is another voter.
        voter_directory_id: Uuid => 0+;
        /// Where it is reached.
        endpoints: Vec<VoterEndpoint> => 0+;
        /// What levels it knows.
        kraft_version_feature: KRaftVersionFeature => 0+, default KRaftVersionFeature::default();
    }

    /// Where a voter is reached.
    VoterEndpoint, flexible 0 {
        /// The listener's name.
        name: String => 0+;
        /// The host.
        host: String => 0+;
        /// The port.
        port: u16 => 0+;
    }

    /// What levels of the quorum's protocol a voter knows.
    KRaftVersionFeature, flexible 0 {
        /// The smallest.
        min_supported_version: i16 => 0+;
        /// The largest.
        max_supported_version: i16 => 0+;
    }
}

/// A control record.
#[derive(Clone, Debug, PartialEq)]
pub enum ControlRecord {
    /// A transaction is aborted.
    Abort(EndTxnMarker),
    /// A transaction is committed.
    Commit(EndTxnMarker),
    /// A leader begins its epoch.
    LeaderChange(LeaderChangeMessage),
    /// A snapshot begins.
    SnapshotHeader(SnapshotHeaderRecord),
    /// A snapshot ends.
    SnapshotFooter(SnapshotFooterRecord),
    /// The quorum's protocol level.
    KRaftVersion(KRaftVersionRecord),
    /// Who votes.
    KRaftVoters(VotersRecord),
}

impl ControlRecord {
    /// The record's type.
    pub fn key(&self) -> ControlKey {
        match self {
            ControlRecord::Abort(_) => ControlKey::Abort,
            ControlRecord::Commit(_) => ControlKey::Commit,
            ControlRecord::LeaderChange(_) => ControlKey::LeaderChange,
            ControlRecord::SnapshotHeader(_) => ControlKey::SnapshotHeader,
            ControlRecord::SnapshotFooter(_) => ControlKey::SnapshotFooter,
            ControlRecord::KRaftVersion(_) => ControlKey::KRaftVersion,
            ControlRecord::KRaftVoters(_) => ControlKey::KRaftVoters,
        }
    }

    /// Appends the record's value; the record's `version` field says in which format.
    pub fn encode_value(&self, out: &mut Vec<u8>) {
        match self {
            ControlRecord::Abort(marker) | ControlRecord::Commit(marker) => {
                marker.encode(marker.version, out);
            }
            ControlRecord::LeaderChange(record) => record.encode(record.version, out),
            ControlRecord::SnapshotHeader(record) => record.encode(record.version, out),
            ControlRecord::SnapshotFooter(record) => record.encode(record.version, out),
            ControlRecord::KRaftVersion(record) => record.encode(record.version, out),
            ControlRecord::KRaftVoters(record) => record.encode(record.version, out),
        }
    }

    /// Reads a record. A later format is read as the last one known: formats only grow.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<ControlRecord> {
        let version = Reader::new(value).i16()?;
        let key = ControlKey::decode(key)?;
        if version < 0 {
            return Err(DecodeError::Unknown { key: key as u32, version });
        }
        Ok(match key {
            ControlKey::Abort => ControlRecord::Abort(Message::read(0, value)?),
            ControlKey::Commit => ControlRecord::Commit(Message::read(0, value)?),
            ControlKey::LeaderChange => {
                ControlRecord::LeaderChange(Message::read(version.min(1), value)?)
            }
            ControlKey::SnapshotHeader => ControlRecord::SnapshotHeader(Message::read(0, value)?),
            ControlKey::SnapshotFooter => ControlRecord::SnapshotFooter(Message::read(0, value)?),
            ControlKey::KRaftVersion => ControlRecord::KRaftVersion(Message::read(0, value)?),
            ControlKey::KRaftVoters => ControlRecord::KRaftVoters(Message::read(0, value)?),
        })
    }
}
