//! The records that a consumer group writes, exactly those of Kafka 4.3.

use std::collections::BTreeSet;

use ringlog_wire::Uuid;
use ringlog_wire::records::group::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupMemberMetadataKey,
    ConsumerGroupMetadataKey, ConsumerGroupMetadataValue, ConsumerGroupPartitionMetadataKey,
    ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue,
    ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue,
    GroupRecord, TopicPartition,
};

use super::member::Member;
use super::{ConsumerGroup, Resolved};
use crate::group::assignor::Partitions;

pub(super) fn group_epoch(group: &str, epoch: i32, metadata_hash: i64) -> GroupRecord {
    let key = ConsumerGroupMetadataKey { group_id: group.to_string() };
    let value = Some(ConsumerGroupMetadataValue { epoch, metadata_hash });
    GroupRecord::ConsumerGroupMetadata { key, value }
}

fn group_epoch_tombstone(group: &str) -> GroupRecord {
    let key = ConsumerGroupMetadataKey { group_id: group.to_string() };
    GroupRecord::ConsumerGroupMetadata { key, value: None }
}

/// Ends the record of Kafka before 4.1 that held what the hash stands for today.
pub(super) fn partition_metadata_tombstone(group: &str) -> GroupRecord {
    let key = ConsumerGroupPartitionMetadataKey { group_id: group.to_string() };
    GroupRecord::ConsumerGroupPartitionMetadata { key, value: None }
}

fn member_key(group: &str, member: &str) -> ConsumerGroupMemberMetadataKey {
    let (group_id, member_id) = (group.to_string(), member.to_string());
    ConsumerGroupMemberMetadataKey { group_id, member_id }
}

pub(super) fn member_metadata(group: &str, member: &Member) -> GroupRecord {
    let key = member_key(group, &member.id);
    GroupRecord::ConsumerGroupMemberMetadata { key, value: Some(member.metadata_value()) }
}

fn member_metadata_tombstone(group: &str, member: &str) -> GroupRecord {
    GroupRecord::ConsumerGroupMemberMetadata { key: member_key(group, member), value: None }
}

pub(super) fn target_epoch(group: &str, epoch: i32, now_ms: i64) -> GroupRecord {
    let key = ConsumerGroupTargetAssignmentMetadataKey { group_id: group.to_string() };
    let value = ConsumerGroupTargetAssignmentMetadataValue {
        assignment_epoch: epoch,
        assignment_timestamp: now_ms,
    };
    GroupRecord::ConsumerGroupTargetAssignmentMetadata { key, value: Some(value) }
}

fn target_epoch_tombstone(group: &str) -> GroupRecord {
    let key = ConsumerGroupTargetAssignmentMetadataKey { group_id: group.to_string() };
    GroupRecord::ConsumerGroupTargetAssignmentMetadata { key, value: None }
}

fn target_key(group: &str, member: &str) -> ConsumerGroupTargetAssignmentMemberKey {
    let (group_id, member_id) = (group.to_string(), member.to_string());
    ConsumerGroupTargetAssignmentMemberKey { group_id, member_id }
}

pub(super) fn target(group: &str, member: &str, partitions: &Partitions) -> GroupRecord {
    let of_topic = |(topic, of): (&Uuid, &BTreeSet<i32>)| TopicPartition {
        topic_id: *topic,
        partitions: of.iter().copied().collect(),
    };
    let topic_partitions = partitions.iter().map(of_topic).collect();
    let value = Some(ConsumerGroupTargetAssignmentMemberValue { topic_partitions });
    GroupRecord::ConsumerGroupTargetAssignmentMember { key: target_key(group, member), value }
}

fn target_tombstone(group: &str, member: &str) -> GroupRecord {
    let key = target_key(group, member);
    GroupRecord::ConsumerGroupTargetAssignmentMember { key, value: None }
}

fn assignment_key(group: &str, member: &str) -> ConsumerGroupCurrentMemberAssignmentKey {
    let (group_id, member_id) = (group.to_string(), member.to_string());
    ConsumerGroupCurrentMemberAssignmentKey { group_id, member_id }
}

pub(super) fn assignment(group: &str, member: &Member) -> GroupRecord {
    let key = assignment_key(group, &member.id);
    let value = Some(member.assignment_value());
    GroupRecord::ConsumerGroupCurrentMemberAssignment { key, value }
}

fn assignment_tombstone(group: &str, member: &str) -> GroupRecord {
    let key = assignment_key(group, member);
    GroupRecord::ConsumerGroupCurrentMemberAssignment { key, value: None }
}

fn regex_key(group: &str, regex: &str) -> ConsumerGroupRegularExpressionKey {
    let (group_id, regular_expression) = (group.to_string(), regex.to_string());
    ConsumerGroupRegularExpressionKey { group_id, regular_expression }
}

pub(super) fn regex(group: &str, regex: &str, resolved: &Resolved) -> GroupRecord {
    let value = ConsumerGroupRegularExpressionValue {
        topics: resolved.topics.iter().cloned().collect(),
        version: resolved.version,
        timestamp: resolved.timestamp,
    };
    let key = regex_key(group, regex);
    GroupRecord::ConsumerGroupRegularExpression { key, value: Some(value) }
}

pub(super) fn regex_tombstone(group: &str, regex: &str) -> GroupRecord {
    GroupRecord::ConsumerGroupRegularExpression { key: regex_key(group, regex), value: None }
}

/// A member is gone.
pub(super) fn remove_member(group: &str, member: &str, records: &mut Vec<GroupRecord>) {
    records.push(assignment_tombstone(group, member));
    records.push(target_tombstone(group, member));
    records.push(member_metadata_tombstone(group, member));
}

impl ConsumerGroup {
    /// The tombstones that end the group: DeleteGroups, a classic member that joins when the group
    /// is empty, a downgrade.
    pub fn tombstones(&self) -> Vec<GroupRecord> {
        self.tombstones_with_replaced(None)
    }

    /// `replaced`: a member id, and the one that has taken its place in records not applied yet.
    pub(super) fn tombstones_with_replaced(
        &self,
        replaced: Option<(&str, &str)>,
    ) -> Vec<GroupRecord> {
        let members = || {
            self.members.keys().map(|id| match replaced {
                Some((old, new)) if old == id => new,
                _ => id.as_str(),
            })
        };
        let mut records = Vec::new();
        records.extend(members().map(|member| assignment_tombstone(&self.id, member)));
        records.extend(members().map(|member| target_tombstone(&self.id, member)));
        records.push(target_epoch_tombstone(&self.id));
        records.extend(members().map(|member| member_metadata_tombstone(&self.id, member)));
        records.extend(self.resolved.keys().map(|regex| regex_tombstone(&self.id, regex)));
        records.push(partition_metadata_tombstone(&self.id));
        records.push(group_epoch_tombstone(&self.id));
        records
    }
}
