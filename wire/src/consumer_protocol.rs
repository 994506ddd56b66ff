//! What members of classic groups of the type "consumer" tell each other through the broker: their
//! subscriptions (the metadata of JoinGroup) and assignments (of SyncGroup).
//!
//! ```text
//! | i16 version | message, never flexible |
//! ```
//!
//! The broker looks inside for two ends: which topics a group reads, and members that move between
//! the classic and the new protocol.
//!
//! Invariant: a later version is read as the last one known, as Kafka does: versions only grow.

use crate::codec::{DecodeError, Reader, Result, Writer};
use crate::message::{Message, messages};

/// The protocol type of such groups.
pub const PROTOCOL_TYPE: &str = "consumer";
/// The last version known, of both messages.
pub const VERSION_MAX: i16 = 3;

messages! {
    /// What a member wants. v1: what it owns.  v2: since when.  v3: its rack.
    ConsumerProtocolSubscription, flexible 32767 {
        /// The topics it wants.
        topics: Vec<String> => 0+;
        /// Whatever its assignor wants to tell, or null.
        user_data: Option<Vec<u8>> => 0+, null 0+;
        /// The partitions it owns.
        owned_partitions: Vec<TopicPartition> => 1+ ignorable;
        /// The generation it got them in, or -1.
        generation_id: i32 => 2+ ignorable, default -1;
        /// Where it is, or null.
        rack_id: Option<String> => 3+ ignorable, null 3+;
    }

    /// What a member is to own.
    ConsumerProtocolAssignment, flexible 32767 {
        /// Topic by topic.
        assigned_partitions: Vec<TopicPartition> => 0+;
        /// Whatever the assignor wants to tell, or null.
        user_data: Option<Vec<u8>> => 0+, null 0+;
    }

    /// Partitions of a topic.
    TopicPartition, flexible 32767 {
        /// The topic.
        topic: String => 0+;
        /// Its partitions.
        partitions: Vec<i32> => 0+;
    }
}

/// The version that bytes begin with, as it is read: at most [`VERSION_MAX`]. An error when it is
/// negative.
pub fn read_version(bytes: &[u8]) -> Result<i16> {
    version(&mut Reader::new(bytes))
}

fn version(input: &mut Reader<'_>) -> Result<i16> {
    match input.i16()? {
        version @ 0.. => Ok(version.min(VERSION_MAX)),
        version => Err(DecodeError::Unknown { key: 0, version }),
    }
}

fn read<M: Message>(bytes: &[u8]) -> Result<M> {
    let mut input = Reader::new(bytes);
    let version = version(&mut input)?;
    M::read_from(version, &mut input)
}

fn write(message: &impl Message, version: i16) -> Vec<u8> {
    assert!(version >= 0, "versions count from 0");
    let version = version.min(VERSION_MAX);
    let mut out = Vec::new();
    out.put_i16(version);
    message.write(version, &mut out);
    out
}

impl ConsumerProtocolSubscription {
    /// Reads a version and the message.
    pub fn from_bytes(bytes: &[u8]) -> Result<ConsumerProtocolSubscription> {
        read(bytes)
    }

    /// The version, at most [`VERSION_MAX`], and the message.
    pub fn to_bytes(&self, version: i16) -> Vec<u8> {
        write(self, version)
    }
}

impl ConsumerProtocolAssignment {
    /// Reads a version and the message.
    pub fn from_bytes(bytes: &[u8]) -> Result<ConsumerProtocolAssignment> {
        read(bytes)
    }

    /// The version, at most [`VERSION_MAX`], and the message.
    pub fn to_bytes(&self, version: i16) -> Vec<u8> {
        write(self, version)
    }
}
