//! Records become state: of the steps that this group takes, and of a log that is read back.
//!
//! Invariant: no record stops the reading. A log of Kafka's, cut off or compacted anywhere, may
//! hold ends of what never began; those are passed over, as Kafka does.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use ringlog_wire::records::group::{ConsumerGroupTargetAssignmentMemberValue, GroupRecord};

use super::member::{Epochs, Member};
use super::{ConsumerGroup, Resolved, Subscribers};
use crate::group::assignor::Partitions;

impl ConsumerGroup {
    /// Applies one record. A record of another kind of group is none of ours and changes nothing.
    pub fn replay(&mut self, record: &GroupRecord) {
        match record {
            GroupRecord::ConsumerGroupMetadata { value: Some(value), .. } => {
                self.epoch = value.epoch;
                self.metadata_hash = value.metadata_hash;
            }
            GroupRecord::ConsumerGroupMetadata { value: None, .. } => {
                self.recorded = false;
                return;
            }
            GroupRecord::ConsumerGroupPartitionMetadata { value, .. } => {
                self.has_partition_metadata = value.is_some();
            }
            GroupRecord::ConsumerGroupMemberMetadata { key, value } => {
                let mut member = self.member_or_new(&key.member_id);
                match value {
                    Some(value) => {
                        member.apply_metadata(value);
                        self.put_member(member);
                    }
                    None => self.remove_member(&key.member_id),
                }
            }
            GroupRecord::ConsumerGroupTargetAssignmentMetadata { value, .. } => {
                let epoch_and_time = value
                    .as_ref()
                    .map(|value| (value.assignment_epoch, value.assignment_timestamp));
                (self.target_epoch, self.target_ms) = epoch_and_time.unwrap_or((-1, 0));
            }
            GroupRecord::ConsumerGroupTargetAssignmentMember { key, value } => match value {
                Some(value) => self.put_target(&key.member_id, Some(target(value))),
                None => self.put_target(&key.member_id, None),
            },
            GroupRecord::ConsumerGroupCurrentMemberAssignment { key, value: Some(value) } => {
                let mut member = self.member_or_new(&key.member_id);
                member.apply_assignment(value);
                self.put_member(member);
            }
            GroupRecord::ConsumerGroupCurrentMemberAssignment { key, value: None } => {
                if let Some(mut member) = self.members.get(&key.member_id).cloned() {
                    member.clear_assignment();
                    self.put_member(member);
                }
            }
            GroupRecord::ConsumerGroupRegularExpression { key, value } => {
                let resolved = value.as_ref().map(|value| Resolved {
                    topics: value.topics.iter().cloned().collect(),
                    version: value.version,
                    timestamp: value.timestamp,
                });
                self.put_resolved(&key.regular_expression, resolved);
            }
            _ => return,
        }
        self.recorded |= !is_tombstone(record);
    }

    fn member_or_new(&self, id: &str) -> Member {
        self.members.get(id).cloned().unwrap_or_else(|| Member::new(id))
    }

    pub(super) fn put_member(&mut self, member: Member) {
        if let Some(old) = self.members.remove(&member.id) {
            self.forget(&old);
        }
        self.remember(&member);
        self.members.insert(member.id.clone(), member);
    }

    fn remove_member(&mut self, id: &str) {
        if let Some(old) = self.members.remove(id) {
            self.forget(&old);
            self.timers.cancel_all(id);
        }
    }

    pub(super) fn put_target(&mut self, member: &str, target: Option<Partitions>) {
        let old = match target {
            Some(target) => {
                self.bytes += target_bytes(member, &target);
                self.target.insert(member.to_string(), target)
            }
            None => self.target.remove(member),
        };
        self.bytes -= old.map_or(0, |old| target_bytes(member, &old));
    }

    fn remember(&mut self, member: &Member) {
        self.bytes += member_bytes(member);
        for topic in &member.topics {
            self.topics.entry(topic.clone()).or_default().by_name += 1;
        }
        if let Some(regex) = member.regex() {
            *self.regexes.entry(regex.to_string()).or_default() += 1;
        }
        if let Some(assignor) = &member.assignor {
            *self.assignors.entry(assignor.clone()).or_default() += 1;
        }
        if let Some(instance) = &member.instance_id {
            self.static_members.insert(instance.clone(), member.id.clone());
        }
        if let Some(classic) = &member.classic {
            self.classic_members += 1;
            for protocol in &classic.supported_protocols {
                *self.classic_protocols.entry(protocol.name.clone()).or_default() += 1;
            }
        }
        let id: Arc<str> = member.id.as_str().into();
        for (topic, partition) in pairs(&member.assigned).chain(pairs(&member.revoking)) {
            self.owners.entry(topic).or_default().insert(partition, id.clone());
        }
    }

    fn forget(&mut self, member: &Member) {
        self.bytes -= member_bytes(member);
        for topic in &member.topics {
            self.unsubscribe(topic, |subscribers| &mut subscribers.by_name);
        }
        if let Some(regex) = member.regex() {
            decrement(&mut self.regexes, regex);
        }
        if let Some(assignor) = &member.assignor {
            decrement(&mut self.assignors, assignor);
        }
        if let Some(instance) = &member.instance_id
            && self.static_members.get(instance) == Some(&member.id)
        {
            self.static_members.remove(instance);
        }
        if let Some(classic) = &member.classic {
            self.classic_members -= 1;
            for protocol in &classic.supported_protocols {
                decrement(&mut self.classic_protocols, &protocol.name);
            }
        }
        for (topic, partition) in pairs(&member.assigned).chain(pairs(&member.revoking)) {
            let Some(owners) = self.owners.get_mut(&topic) else { continue };
            if owners.get(&partition).is_some_and(|id| **id == *member.id) {
                owners.remove(&partition);
            }
            if owners.is_empty() {
                self.owners.remove(&topic);
            }
        }
    }

    fn put_resolved(&mut self, regex: &str, resolved: Option<Resolved>) {
        if let Some(old) = self.resolved.remove(regex) {
            self.bytes -= resolved_bytes(regex, &old);
            for topic in &old.topics {
                self.unsubscribe(topic, |subscribers| &mut subscribers.by_regex);
            }
        }
        if let Some(resolved) = resolved {
            self.bytes += resolved_bytes(regex, &resolved);
            for topic in &resolved.topics {
                self.topics.entry(topic.clone()).or_default().by_regex += 1;
            }
            self.resolved.insert(regex.to_string(), resolved);
        }
    }

    fn unsubscribe(&mut self, topic: &str, which: fn(&mut Subscribers) -> &mut usize) {
        let subscribers = self.topics.get_mut(topic).expect("whoever subscribed was counted");
        *which(subscribers) -= 1;
        if *subscribers == Subscribers::default() {
            self.topics.remove(topic);
        }
    }
}

/// What a map's entry or a string takes besides what is in it.
const ENTRY_BYTES: usize = 64;
/// What a partition takes that a member has: its epoch, and its owner.
const PARTITION_BYTES: usize = 64;

fn texts<'a>(texts: impl IntoIterator<Item = &'a String>) -> usize {
    texts.into_iter().map(|text| text.len() + ENTRY_BYTES).sum()
}

fn member_bytes(member: &Member) -> usize {
    // The id is in several tables; each partition's owner is named by a pointer to one of them.
    let id = member.id.len() + ENTRY_BYTES;
    let partitions = pairs(&member.assigned).chain(pairs(&member.revoking)).count();
    let optional = [&member.instance_id, &member.rack_id, &member.regex, &member.assignor];
    let classic = member.classic.iter().flat_map(|classic| &classic.supported_protocols);
    let protocols: usize = classic.map(|p| p.name.len() + p.metadata.len() + ENTRY_BYTES).sum();
    let client = member.client_id.len() + member.client_host.len();
    8 * id
        + partitions * PARTITION_BYTES
        + 2 * texts(&member.topics)
        + 2 * texts(optional.into_iter().flatten())
        + protocols
        + client
}

fn target_bytes(member: &str, target: &Partitions) -> usize {
    let partitions: usize = target.values().map(|of_topic| 8 * of_topic.len() + ENTRY_BYTES).sum();
    member.len() + ENTRY_BYTES + partitions
}

fn resolved_bytes(regex: &str, resolved: &Resolved) -> usize {
    regex.len() + ENTRY_BYTES + 2 * texts(&resolved.topics)
}

fn pairs(epochs: &Epochs) -> impl Iterator<Item = (ringlog_wire::Uuid, i32)> + '_ {
    epochs.iter().flat_map(|(topic, of)| of.keys().map(|&partition| (*topic, partition)))
}

fn decrement(counts: &mut BTreeMap<String, usize>, key: &str) {
    let Entry::Occupied(mut count) = counts.entry(key.to_string()) else {
        panic!("{key} was counted");
    };
    *count.get_mut() -= 1;
    if *count.get() == 0 {
        count.remove();
    }
}

fn target(value: &ConsumerGroupTargetAssignmentMemberValue) -> Partitions {
    let topics = value.topic_partitions.iter();
    topics.map(|topic| (topic.topic_id, topic.partitions.iter().copied().collect())).collect()
}

fn is_tombstone(record: &GroupRecord) -> bool {
    match record {
        GroupRecord::ConsumerGroupMetadata { value, .. } => value.is_none(),
        GroupRecord::ConsumerGroupPartitionMetadata { value, .. } => value.is_none(),
        GroupRecord::ConsumerGroupMemberMetadata { value, .. } => value.is_none(),
        GroupRecord::ConsumerGroupTargetAssignmentMetadata { value, .. } => value.is_none(),
        GroupRecord::ConsumerGroupTargetAssignmentMember { value, .. } => value.is_none(),
        GroupRecord::ConsumerGroupCurrentMemberAssignment { value, .. } => value.is_none(),
        GroupRecord::ConsumerGroupRegularExpression { value, .. } => value.is_none(),
        _ => true,
    }
}
