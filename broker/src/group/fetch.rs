//! One group of an OffsetFetch (rules 40, 73).

use ringlog_wire::api::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponseGroup,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use ringlog_wire::{ErrorCode, Uuid};

use super::Groups;
use super::offsets::Committed;
use crate::coordinator::{ANSWER_BYTES_MAX, TopicsView};

/// From this version topics are named by their ids.
const VERSION_TOPIC_IDS: i16 = 10;

/// What there is of a partition that nothing was committed for, or that may not be told of.
fn nothing(partition_index: i32, error_code: ErrorCode) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(String::new()),
        error_code,
    }
}

fn something(partition_index: i32, committed: &Committed) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: committed.offset,
        committed_leader_epoch: committed.leader_epoch,
        metadata: Some(committed.metadata.clone()),
        error_code: ErrorCode::None,
    }
}

fn partition_bytes(told: &OffsetFetchResponsePartitions) -> usize {
    size_of_val(told) + told.metadata.as_ref().map_or(0, String::len)
}

/// True when an offset is of another topic than the one that is asked for: one of the same name
/// that was there before.
fn is_of_another(committed: &Committed, topic_id: Uuid) -> bool {
    !committed.topic_id.is_zero() && !topic_id.is_zero() && committed.topic_id != topic_id
}

impl Groups {
    pub(super) fn fetch(
        &self,
        version: i16,
        require_stable: bool,
        request: OffsetFetchRequestGroup,
        topics: &dyn TopicsView,
    ) -> OffsetFetchResponseGroup {
        let OffsetFetchRequestGroup { group_id, member_id, member_epoch, topics: asked } = request;
        let group = self.groups.get(group_id.as_str());
        let checked =
            group.map(|group| group.any().check_fetch(member_id.as_deref(), member_epoch));
        // Of a group that is not there nothing is committed, and that is no error.
        let is_there = checked.is_some();
        if let Some(Err(error_code)) = checked {
            return OffsetFetchResponseGroup { group_id, topics: Vec::new(), error_code };
        }
        let by_id = version >= VERSION_TOPIC_IDS;
        let ids = by_id.then_some(topics);
        let topics = match asked {
            Some(asked) => self.fetch_topics(&group_id, is_there, require_stable, ids, asked),
            None if is_there => Some(self.fetch_all(&group_id, require_stable, ids)),
            None => Some(Vec::new()),
        };
        let Some(topics) = topics else {
            let error_code = ErrorCode::UnknownServerError;
            return OffsetFetchResponseGroup { group_id, topics: Vec::new(), error_code };
        };
        OffsetFetchResponseGroup { group_id, topics, error_code: ErrorCode::None }
    }

    /// The topics asked for; those of unknown ids come last, as from Kafka. `None` if they would
    /// take more than [`ANSWER_BYTES_MAX`]: a partition is asked for in four bytes, as often as
    /// somebody likes, and its metadata told each time.
    fn fetch_topics(
        &self,
        group: &str,
        is_there: bool,
        require_stable: bool,
        ids: Option<&dyn TopicsView>,
        asked: Vec<OffsetFetchRequestTopics>,
    ) -> Option<Vec<OffsetFetchResponseTopics>> {
        let (mut told, mut unknown) = (Vec::with_capacity(asked.len()), Vec::new());
        let mut room = ANSWER_BYTES_MAX;
        for OffsetFetchRequestTopics { mut name, mut topic_id, partition_indexes } in asked {
            match ids.map(|topics| topics.with_id(topic_id)) {
                Some(Some((known, _))) => known.clone_into(&mut name),
                Some(None) => {
                    let code = ErrorCode::UnknownTopicId;
                    let partitions = partition_indexes.iter().map(|at| nothing(*at, code));
                    let partitions = partitions.collect();
                    unknown.push(OffsetFetchResponseTopics { name, topic_id, partitions });
                    continue;
                }
                None => topic_id = Uuid::ZERO,
            }
            let tell = |at: &i32| {
                if require_stable && is_there && self.offsets.is_open(group, &name, *at) {
                    return nothing(*at, ErrorCode::UnstableOffsetCommit);
                }
                let found = self.offsets.get(group, &name, *at).filter(|_| is_there);
                match found.filter(|committed| !is_of_another(committed, topic_id)) {
                    Some(committed) => something(*at, committed),
                    None => nothing(*at, ErrorCode::None),
                }
            };
            let mut partitions = Vec::with_capacity(partition_indexes.len());
            for partition in partition_indexes.iter().map(tell) {
                room = room.checked_sub(partition_bytes(&partition))?;
                partitions.push(partition);
            }
            told.push(OffsetFetchResponseTopics { name, topic_id, partitions });
        }
        told.append(&mut unknown);
        Some(told)
    }

    /// Everything that the group has committed. By ids, topics that are no more are left out.
    fn fetch_all(
        &self,
        group: &str,
        require_stable: bool,
        ids: Option<&dyn TopicsView>,
    ) -> Vec<OffsetFetchResponseTopics> {
        let mut told = Vec::new();
        for (name, partitions) in self.offsets.of_group(group).into_iter().flatten() {
            let topic_id = match ids {
                None => Uuid::ZERO,
                Some(topics) => {
                    let Some((id, _)) = topics.named(name) else { continue };
                    id
                }
            };
            let tell = |(at, committed): (&i32, &Committed)| {
                if require_stable && self.offsets.is_open(group, name, *at) {
                    return nothing(*at, ErrorCode::UnstableOffsetCommit);
                }
                something(*at, committed)
            };
            let partitions = partitions.iter().map(tell).collect();
            told.push(OffsetFetchResponseTopics { name: name.to_string(), topic_id, partitions });
        }
        told
    }
}
