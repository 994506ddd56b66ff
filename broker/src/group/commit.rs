//! OffsetCommit and TxnOffsetCommit (rules 40, 41, 70).

use std::collections::HashMap;

use ringlog_wire::api::offset_commit::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};
use ringlog_wire::api::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
};
use ringlog_wire::{ErrorCode, Uuid};

use super::event::{Output, Response};
use super::kind::{Committer, Group};
use super::records::{self, GroupRecord, OffsetCommitValue};
use super::{Groups, classic};
use crate::coordinator::{Ticket, TopicsView};

/// From this version topics are named by their ids.
const COMMIT_VERSION_TOPIC_IDS: i16 = 10;
/// From this version a group that is not there is called so.
const COMMIT_VERSION_GROUP_NOT_FOUND: i16 = 9;
/// From this version topics are named by their ids, in transactions.
const TXN_VERSION_TOPIC_IDS: i16 = 6;

/// What a new offset may take in memory beside its topic's name, twice, and its metadata.
const COMMIT_BYTES: usize = 768;
/// What a new group with offsets may take in memory beside its id, and how often that is kept.
const GROUP_BYTES: usize = 2_048;
const GROUP_COPIES: usize = 6;

/// One partition's commit, of either request.
struct Asked {
    partition: i32,
    offset: i64,
    leader_epoch: i32,
    metadata: Option<String>,
}

/// One topic's commits, of either request.
struct AskedTopic {
    name: String,
    id: Uuid,
    /// The id that it has, whether the request says it or not.
    known_id: Uuid,
    by_id: bool,
    partitions: Vec<Asked>,
}

/// What one topic is told: name, id, and a code per partition.
type Told = (String, Uuid, Vec<(i32, ErrorCode)>);

/// What a commit is about, beside its topics.
struct Frame<'a> {
    now_ms: i64,
    group_id: &'a str,
    expire_ms: i64,
    who: Committer<'a>,
}

impl Groups {
    pub(super) fn commit(
        &mut self,
        now_ms: i64,
        (to, version): (Ticket, i16),
        request: OffsetCommitRequest,
        topics: &dyn TopicsView,
        out: &mut Output,
    ) {
        let by_id = version >= COMMIT_VERSION_TOPIC_IDS;
        let asked = request.topics.into_iter().map(|topic| AskedTopic {
            name: topic.name,
            id: topic.topic_id,
            known_id: Uuid::ZERO,
            by_id,
            partitions: topic
                .partitions
                .into_iter()
                .map(|p| Asked {
                    partition: p.partition_index,
                    offset: p.committed_offset,
                    leader_epoch: p.committed_leader_epoch,
                    metadata: p.committed_metadata,
                })
                .collect(),
        });
        let retention_ms = request.retention_time_ms;
        let frame = Frame {
            now_ms,
            group_id: &request.group_id,
            expire_ms: if retention_ms == -1 { -1 } else { now_ms.saturating_add(retention_ms) },
            who: Committer {
                member_id: &request.member_id,
                instance_id: request.group_instance_id.as_deref(),
                generation: request.generation_id_or_member_epoch,
                transactional: false,
                version,
            },
        };
        let told = self.commit_topics(&frame, asked.collect(), topics, out);
        let tell = |(name, topic_id, partitions): Told| OffsetCommitResponseTopic {
            name,
            topic_id,
            partitions: partitions
                .into_iter()
                .map(|(partition_index, error_code)| OffsetCommitResponsePartition {
                    partition_index,
                    error_code,
                })
                .collect(),
        };
        let topics = told.into_iter().map(tell).collect();
        out.reply(to, Response::Commit(OffsetCommitResponse { topics, ..Default::default() }));
    }

    pub(super) fn txn_commit(
        &mut self,
        now_ms: i64,
        (to, version): (Ticket, i16),
        request: TxnOffsetCommitRequest,
        topics: &dyn TopicsView,
        out: &mut Output,
    ) {
        let by_id = version >= TXN_VERSION_TOPIC_IDS;
        let asked = request.topics.into_iter().map(|topic| AskedTopic {
            name: topic.name,
            id: topic.topic_id,
            known_id: Uuid::ZERO,
            by_id,
            partitions: topic
                .partitions
                .into_iter()
                .map(|p| Asked {
                    partition: p.partition_index,
                    offset: p.committed_offset,
                    leader_epoch: p.committed_leader_epoch,
                    metadata: p.committed_metadata,
                })
                .collect(),
        });
        let frame = Frame {
            now_ms,
            group_id: &request.group_id,
            expire_ms: -1,
            who: Committer {
                member_id: &request.member_id,
                instance_id: request.group_instance_id.as_deref(),
                generation: request.generation_id_or_member_epoch,
                transactional: true,
                version,
            },
        };
        out.transactional = Some((request.producer_id, request.producer_epoch));
        let told = self.commit_topics(&frame, asked.collect(), topics, out);
        if out.records.is_empty() {
            out.transactional = None;
        }
        let tell = |(name, topic_id, partitions): Told| TxnOffsetCommitResponseTopic {
            name,
            topic_id,
            partitions: partitions
                .into_iter()
                .map(|(partition_index, error_code)| TxnOffsetCommitResponsePartition {
                    partition_index,
                    error_code,
                })
                .collect(),
        };
        let topics = told.into_iter().map(tell).collect();
        let response = TxnOffsetCommitResponse { topics, ..Default::default() };
        out.reply(to, Response::TxnCommit(response));
    }

    /// Commits what may be committed, and says what of it was: as Kafka, topics with a partition
    /// that is not there come first.
    fn commit_topics(
        &mut self,
        frame: &Frame,
        mut asked: Vec<AskedTopic>,
        topics: &dyn TopicsView,
        out: &mut Output,
    ) -> Vec<Told> {
        let mut told = Vec::new();
        if frame.who.transactional && frame.group_id.is_empty() {
            refuse(&mut told, asked, ErrorCode::InvalidGroupId);
            return told;
        }
        asked.retain_mut(|topic| keep_known(topic, topics, &mut told));
        if asked.is_empty() {
            return told;
        }
        if let Err(error) = self.check_committer(frame) {
            refuse(&mut told, asked, error);
            return told;
        }
        self.committed_by(frame, out);
        let mut results = Vec::with_capacity(asked.len());
        let room = self.config.batch_bytes_max.saturating_sub(records::BATCH_OVERHEAD);
        let (mut group_bytes, mut bytes) = (0, 0);
        for mut topic in asked {
            let partitions = std::mem::take(&mut topic.partitions);
            let mut codes = Vec::with_capacity(partitions.len());
            for partition in partitions {
                let at = partition.partition;
                if bytes > room {
                    // No more records than a batch holds are made, whatever a request repeats.
                    codes.push((at, ErrorCode::UnknownServerError));
                    continue;
                }
                let made = self.make_commit(frame, &topic, partition, &mut group_bytes);
                codes.push((at, made.as_ref().err().copied().unwrap_or(ErrorCode::None)));
                bytes += made.as_ref().map_or(0, records::bytes);
                out.records.extend(made.ok());
            }
            results.push((topic.name, topic.id, codes));
        }
        if bytes > room {
            // As where Kafka's log refuses the batch.
            out.records.clear();
            let codes = results.iter_mut().flat_map(|(_, _, codes)| codes);
            codes.for_each(|(_, code)| *code = ErrorCode::UnknownServerError);
        }
        let made = std::mem::take(&mut out.records);
        self.decide(made, out);
        merge(&mut told, results);
        told
    }

    fn check_committer(&self, frame: &Frame) -> Result<(), ErrorCode> {
        let Some(group) = self.groups.get(frame.group_id) else {
            // Who is no member of anything commits for a group that only has offsets.
            return match frame.who {
                Committer { generation: ..0, .. } => Ok(()),
                Committer { transactional: false, version, .. }
                    if version >= COMMIT_VERSION_GROUP_NOT_FOUND =>
                {
                    Err(ErrorCode::GroupIdNotFound)
                }
                _ => Err(ErrorCode::IllegalGeneration),
            };
        };
        group.any().check_commit(frame.who).map_err(|error| told_to(frame.who, error))
    }

    fn committed_by(&mut self, frame: &Frame, out: &mut Output) {
        if frame.who.transactional {
            return;
        }
        let Groups { config, timers, groups, .. } = self;
        if let Some(Group::Classic(group)) = groups.get(frame.group_id) {
            let mut turn = classic::Turn { now_ms: frame.now_ms, config, timers, out };
            group.committed(&mut turn, frame.who.member_id);
        }
    }

    /// The record of one partition's commit. What is new needs room in memory.
    fn make_commit(
        &self,
        frame: &Frame,
        topic: &AskedTopic,
        asked: Asked,
        added: &mut usize,
    ) -> Result<GroupRecord, ErrorCode> {
        let metadata = asked.metadata.unwrap_or_default();
        let max = self.config.offset_metadata_max;
        if metadata.len() > max && metadata.encode_utf16().count() > max {
            return Err(ErrorCode::OffsetMetadataTooLarge);
        }
        if let Some(group) = self.groups.get(frame.group_id) {
            let checked = group.any().check_commit_of(frame.who, topic.known_id, asked.partition);
            checked.map_err(|error| told_to(frame.who, error))?;
        }
        let topic_id = topic.id;
        let topic = topic.name.as_str();
        let known = self.offsets.get(frame.group_id, topic, asked.partition).is_some();
        if !known || frame.who.transactional {
            let group =
                if *added == 0 { GROUP_BYTES + GROUP_COPIES * frame.group_id.len() } else { 0 };
            let bytes = group + COMMIT_BYTES + 2 * topic.len() + metadata.len();
            if self.bytes() + *added + bytes > self.config.memory_bytes_for_new() {
                return Err(ErrorCode::CoordinatorNotAvailable);
            }
            *added += bytes;
        }
        let value = OffsetCommitValue {
            offset: asked.offset,
            leader_epoch: asked.leader_epoch,
            metadata,
            commit_timestamp: frame.now_ms,
            expire_timestamp: frame.expire_ms,
            topic_id,
        };
        Ok(records::offset(frame.group_id, topic, asked.partition, Some(value)))
    }
}

/// Before a producer could be told of member epochs it was told of generations.
fn told_to(who: Committer, error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::StaleMemberEpoch if who.transactional && who.version < TXN_VERSION_TOPIC_IDS => {
            ErrorCode::IllegalGeneration
        }
        error => error,
    }
}

fn refuse(told: &mut Vec<Told>, asked: Vec<AskedTopic>, error: ErrorCode) {
    let refused = asked.into_iter().map(|topic| {
        let codes = topic.partitions.iter().map(|asked| (asked.partition, error));
        (topic.name, topic.id, codes.collect())
    });
    merge(told, refused.collect());
}

/// Puts what was decided after what was refused; partitions of one topic stand together.
fn merge(told: &mut Vec<Told>, results: Vec<Told>) {
    let refused = told.iter().enumerate();
    let refused: HashMap<(String, Uuid), usize> =
        refused.map(|(place, (name, id, _))| ((name.clone(), *id), place)).collect();
    for (name, id, codes) in results {
        let key = (name, id);
        match refused.get(&key) {
            Some(place) => told[*place].2.extend(codes),
            None => told.push((key.0, key.1, codes)),
        }
    }
}

/// Looks a topic up, and leaves its partitions that exist. False when none is left. Who named a
/// topic by its name has said nothing of its id, and none is remembered.
fn keep_known(topic: &mut AskedTopic, topics: &dyn TopicsView, told: &mut Vec<Told>) -> bool {
    let (count, unknown) = if topic.by_id {
        match topics.with_id(topic.id) {
            Some((name, count)) => {
                name.clone_into(&mut topic.name);
                topic.known_id = topic.id;
                (count, ErrorCode::UnknownTopicOrPartition)
            }
            None => (0, ErrorCode::UnknownTopicId),
        }
    } else {
        topic.id = Uuid::ZERO;
        let (known_id, count) = topics.named(&topic.name).unwrap_or((Uuid::ZERO, 0));
        topic.known_id = known_id;
        (count, ErrorCode::UnknownTopicOrPartition)
    };
    let mut codes = Vec::new();
    topic.partitions.retain(|asked| {
        let known = (0..count).contains(&asked.partition);
        if !known {
            codes.push((asked.partition, unknown));
        }
        known
    });
    if !codes.is_empty() {
        told.push((topic.name.clone(), topic.id, codes));
    }
    !topic.partitions.is_empty()
}
