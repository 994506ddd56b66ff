//! How records become an [`Image`] (`kraft.md` B4, B5): batch by batch, in the log's order.
//!
//! Invariants:
//! - Offsets only grow. What the image does not hold (ACLs, quotas, SCRAM, tokens) is passed over
//!   by name; a record that this build does not know is an error, never skipped.
//! - Between BeginTransaction and EndTransaction the published image stays what it was before;
//!   AbortTransaction goes back to it.
//! - An error leaves the fold unusable: the log and this build disagree, and the node must not go
//!   on.

use std::fmt;

use ringlog_wire::batch::{Batch, BatchError};
use ringlog_wire::records::MetadataRecord;
use ringlog_wire::records::control::{self, ControlRecord};
use ringlog_wire::{DecodeError, Uuid};

use super::features;
use super::image::{Image, Position, Voter};

/// Why a log cannot be folded.
#[derive(Clone, Debug, PartialEq)]
pub enum FoldError {
    /// The bytes at this offset are no record that this build knows.
    Record {
        /// The record's offset.
        offset: i64,
        /// What wire made of it.
        error: DecodeError,
    },
    /// The batch at this offset is not sound.
    Batch {
        /// The batch's base offset, or the one expected there.
        offset: i64,
        /// What is wrong with it.
        error: BatchError,
    },
    /// Offsets went back.
    Order {
        /// The record's offset.
        offset: i64,
        /// The last one before it.
        applied: i64,
    },
    /// A record of a topic that is not there.
    NoTopic {
        /// The record's offset.
        offset: i64,
        /// The topic's id.
        topic: Uuid,
    },
    /// A ClearElr record for a topic that is not there.
    NoTopicNamed {
        /// The record's offset.
        offset: i64,
        /// The topic's name.
        topic: String,
    },
    /// A change to a partition that is not there.
    NoPartition {
        /// The record's offset.
        offset: i64,
        /// The topic's id.
        topic: Uuid,
        /// The partition.
        partition: i32,
    },
    /// A change to a broker that is not registered under that epoch.
    NoBroker {
        /// The record's offset.
        offset: i64,
        /// The broker.
        broker: i32,
        /// The epoch it names.
        epoch: i64,
    },
    /// Not as many directories as replicas.
    Directories {
        /// The record's offset.
        offset: i64,
        /// Replicas.
        replicas: usize,
        /// Directories.
        directories: usize,
    },
    /// Producer ids went back.
    ProducerIds {
        /// The record's offset.
        offset: i64,
        /// The next one before it.
        next: i64,
        /// The next one it names.
        found: i64,
    },
    /// A topic created twice under one name or id.
    TopicTwice {
        /// The record's offset.
        offset: i64,
        /// The topic's name.
        topic: String,
    },
    /// A metadata.version outside of what this build folds.
    MetadataVersion {
        /// The record's offset.
        offset: i64,
        /// The level.
        level: i16,
    },
    /// Begin inside a transaction, or End or Abort outside of one.
    Transaction {
        /// The record's offset.
        offset: i64,
    },
}

impl fmt::Display for FoldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use FoldError::*;
        match self {
            Record { offset, error } => write!(
                f,
                "metadata record {offset} is none that this version of Ringlog knows ({error}); a \
                 newer version wrote it"
            ),
            Batch { offset, error } => write!(f, "metadata batch at offset {offset}: {error}"),
            Order { offset, applied } => write!(f, "metadata record {offset} follows {applied}"),
            NoTopic { offset, topic } => {
                write!(f, "metadata record {offset}: no topic has the id {topic}")
            }
            NoTopicNamed { offset, topic } => {
                write!(f, "metadata record {offset}: no topic has the name {topic}")
            }
            NoPartition { offset, topic, partition } => {
                write!(f, "metadata record {offset}: topic {topic} has no partition {partition}")
            }
            NoBroker { offset, broker, epoch } => write!(
                f,
                "metadata record {offset}: broker {broker} is not registered with epoch {epoch}"
            ),
            Directories { offset, replicas, directories } => write!(
                f,
                "metadata record {offset}: {replicas} replicas but {directories} directories"
            ),
            ProducerIds { offset, next, found } => {
                write!(
                    f,
                    "metadata record {offset}: next producer id goes back from {next} to {found}"
                )
            }
            TopicTwice { offset, topic } => {
                write!(f, "metadata record {offset}: topic {topic} is there already")
            }
            MetadataVersion { offset, level } => write!(
                f,
                "metadata record {offset}: metadata.version {level} is not known to this version \
                 of Ringlog (up to {})",
                features::METADATA_VERSION_LEVEL
            ),
            Transaction { offset } => {
                write!(
                    f,
                    "metadata record {offset}: a metadata transaction begins or ends out of turn"
                )
            }
        }
    }
}

impl std::error::Error for FoldError {}

/// The fold: an image and, inside a metadata transaction, the image before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fold {
    image: Image,
    before: Option<Box<Image>>,
}

impl Fold {
    /// Starts from an image: an empty one, or a snapshot's.
    pub fn new(image: Image) -> Fold {
        Fold { image, before: None }
    }

    /// The image that may be published: without the records of an open transaction.
    pub fn published(&self) -> &Image {
        self.before.as_deref().unwrap_or(&self.image)
    }

    /// The image with every record: what a controller decides on.
    pub fn staged(&self) -> &Image {
        &self.image
    }

    /// True between Begin and End.
    pub fn in_transaction(&self) -> bool {
        self.before.is_some()
    }

    /// Folds every batch in `bytes`: whole batches, ascending, as the log gives them. CRCs were
    /// checked by the log.
    pub fn apply_batches(&mut self, mut bytes: &[u8]) -> Result<(), FoldError> {
        while !bytes.is_empty() {
            let offset = self.image.applied.offset + 1;
            let parsed = Batch::parse(bytes).map_err(|error| FoldError::Batch { offset, error })?;
            self.apply_batch(&parsed.0)?;
            bytes = parsed.1;
        }
        Ok(())
    }

    /// Folds one batch.
    pub fn apply_batch(&mut self, batch: &Batch<'_>) -> Result<(), FoldError> {
        let header = *batch.header();
        let unsound = |error| FoldError::Batch { offset: header.base_offset, error };
        batch.walk().map_err(unsound)?;
        for record in batch.records() {
            let record = record.map_err(unsound)?;
            let offset = header.base_offset.saturating_add(record.offset_delta.into());
            let at = Position { offset, epoch: header.partition_leader_epoch };
            let fail = |error| FoldError::Record { offset, error };
            let value = record.value.ok_or(fail(DecodeError::Null))?;
            if header.is_control() {
                let key = record.key.ok_or(fail(DecodeError::Null))?;
                self.apply_control(&ControlRecord::decode(key, value).map_err(fail)?, at)?;
            } else {
                let (record, _version) = MetadataRecord::decode_value(value).map_err(fail)?;
                self.apply(&record, at)?;
            }
        }
        Ok(())
    }

    /// Folds a control record.
    pub fn apply_control(&mut self, record: &ControlRecord, at: Position) -> Result<(), FoldError> {
        self.step_to(at)?;
        // The quorum's own records are not part of a metadata transaction.
        let images = std::iter::once(&mut self.image).chain(self.before.as_deref_mut());
        for quorum in images.map(|image| &mut image.quorum) {
            match record {
                ControlRecord::LeaderChange(message) => quorum.leader = Some(message.leader_id),
                ControlRecord::KRaftVersion(message) => {
                    quorum.kraft_version = Some(message.kraft_version);
                }
                ControlRecord::KRaftVoters(message) => {
                    quorum.voters = message.voters.iter().map(voter).collect();
                }
                ControlRecord::SnapshotHeader(_) | ControlRecord::SnapshotFooter(_) => {}
                // Producers' transactions end in other topics; a marker here means nothing.
                ControlRecord::Abort(_) | ControlRecord::Commit(_) => {}
            }
        }
        Ok(())
    }

    /// Folds a metadata record.
    pub fn apply(&mut self, record: &MetadataRecord, at: Position) -> Result<(), FoldError> {
        let applied = self.image.applied;
        self.step_to(at)?;
        match record {
            MetadataRecord::BeginTransaction(_) if self.before.is_none() => {
                self.before = Some(Box::new(Image { applied, ..self.image.clone() }));
                Ok(())
            }
            MetadataRecord::EndTransaction(_) if self.before.is_some() => {
                self.before = None;
                Ok(())
            }
            MetadataRecord::AbortTransaction(_) => match self.before.take() {
                None => Err(FoldError::Transaction { offset: at.offset }),
                Some(before) => {
                    self.image = Image { applied: at, ..*before };
                    Ok(())
                }
            },
            MetadataRecord::BeginTransaction(_) | MetadataRecord::EndTransaction(_) => {
                Err(FoldError::Transaction { offset: at.offset })
            }
            record => self.image.apply(record, at.offset),
        }
    }

    fn step_to(&mut self, at: Position) -> Result<(), FoldError> {
        let applied = self.image.applied.offset;
        if at.offset <= applied {
            return Err(FoldError::Order { offset: at.offset, applied });
        }
        self.image.applied = at;
        Ok(())
    }
}

fn voter(voter: &control::Voter) -> Voter {
    let endpoints = voter.endpoints.iter();
    let endpoints = endpoints.map(|end| (end.name.clone(), end.host.clone(), end.port)).collect();
    Voter { id: voter.voter_id, directory: voter.voter_directory_id, endpoints }
}
