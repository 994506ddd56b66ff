//! A classic group becomes a consumer group when a member joins with the new protocol, and a
//! consumer group a classic group when the last such member has gone
//! (`group.consumer.migration.policy`).

use std::collections::{BTreeMap, BTreeSet};

use ringlog_wire::consumer_protocol::{
    self, ConsumerProtocolAssignment, ConsumerProtocolSubscription, PROTOCOL_TYPE, TopicPartition,
};
use ringlog_wire::records::group::{ClassicMemberMetadata, ClassicProtocol, GroupRecord};
use ringlog_wire::{ErrorCode, Uuid};

use super::heartbeat::Context;
use super::member::{Epochs, Member};
use super::timers::TimerKind;
use super::{ConsumerGroup, Refusal, records};
use crate::coordinator::TopicsView;
use crate::group::assignor::Partitions;

/// A classic group, as far as it becomes a consumer group or was one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassicSnapshot {
    /// Its id.
    pub group_id: String,
    /// Its generation; the consumer group's epoch.
    pub generation: i32,
    /// The type of its protocol; only "consumer" becomes a consumer group.
    pub protocol_type: Option<String>,
    /// The protocol that its members have agreed on.
    pub protocol_name: Option<String>,
    /// Its members, with what they have.
    pub members: Vec<ClassicMember>,
}

/// A member of a classic group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassicMember {
    /// Its id.
    pub member_id: String,
    /// A static member's instance id.
    pub instance_id: Option<String>,
    /// Its client id.
    pub client_id: String,
    /// Its address.
    pub client_host: String,
    /// How long it may take to join again, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent, in milliseconds.
    pub session_timeout_ms: i32,
    /// The protocols that it can, the best first, and its subscription in each.
    pub protocols: Vec<ClassicProtocol>,
    /// What it has, as a serialized assignment; empty for a member that has never synced.
    pub assignment: Vec<u8>,
}

/// What a consumer group leaves behind when it becomes a classic group: a stable group, whose
/// members have what the target gave them.
#[derive(Clone, Debug, PartialEq)]
pub struct Downgrade {
    /// The group; its record has still to be written.
    pub group: ClassicSnapshot,
    /// Its members have to join again, for the target was not of the last epoch.
    pub rebalance: bool,
}

impl ConsumerGroup {
    /// The consumer group that a classic group becomes, and the records that make it; the records
    /// that end the classic group come before them. Who waits for a join or a sync of the classic
    /// group is told REBALANCE_IN_PROGRESS. GROUP_ID_NOT_FOUND if the group cannot become one.
    pub fn from_classic(
        at: &Context<'_>,
        classic: &ClassicSnapshot,
    ) -> Result<(ConsumerGroup, Vec<GroupRecord>), Refusal> {
        check_upgrade(at, classic)?;
        let mut group = ConsumerGroup::new(&classic.group_id);
        for member in &classic.members {
            let member = upgraded(at, classic, member)?;
            if pairs(&member.assigned).any(|(topic, p)| group.owner(topic, p).is_some()) {
                return Err(cannot_upgrade(classic, "two members have one partition."));
            }
            group.put_target(&member.id, Some(without_epochs(&member.assigned)));
            group.put_member(member);
        }
        let id = &classic.group_id;
        let members = || group.members.values();
        let mut records: Vec<GroupRecord> =
            members().map(|member| records::member_metadata(id, member)).collect();
        let hash = group.subscriptions().hash(at.topics);
        records.push(records::group_epoch(id, classic.generation, hash));
        records.extend(group.target.iter().map(|(member, of)| records::target(id, member, of)));
        records.push(records::target_epoch(id, classic.generation, 0));
        records.extend(members().map(|member| records::assignment(id, member)));
        group.apply(&records);
        for member in &classic.members {
            let session_ms = i64::from(member.session_timeout_ms);
            group.timers.set(&member.member_id, TimerKind::Session, at.now_ms + session_ms);
        }
        Ok((group, records))
    }

    /// Whether only classic members are left when these have gone, and may be a classic group.
    pub(super) fn becomes_classic_without(&self, at: &Context<'_>, ids: &BTreeSet<String>) -> bool {
        let classic = ids.iter().filter(|id| self.members[*id].is_classic()).count();
        let left = self.members.len() - ids.len();
        left > 0
            && self.classic_members - classic == left
            && at.config.migration_policy.allows_downgrade()
            && left <= at.config.classic_members_max
    }

    /// Whether only classic members are left when this one has been replaced by another.
    pub(super) fn becomes_classic_with(&self, at: &Context<'_>, replaced: &Member) -> bool {
        !replaced.is_classic()
            && self.classic_members == self.members.len() - 1
            && at.config.migration_policy.allows_downgrade()
            && self.members.len() <= at.config.classic_members_max
    }

    /// The classic group of the members that stay, and of one that joins in the place of the
    /// static member with its instance id. `ends`: the records that come before it. `None` if what
    /// members have said cannot be read, or if the change is larger than a batch may be.
    pub(super) fn downgraded(
        &self,
        at: &Context<'_>,
        leaving: &BTreeSet<String>,
        joining: Option<&Member>,
        ends: &[GroupRecord],
    ) -> Option<Downgrade> {
        let is_replaced =
            |member: &Member| joining.is_some_and(|new| new.instance_id == member.instance_id);
        let staying = self.members.values().filter(|m| !leaving.contains(&m.id) && !is_replaced(m));
        let mut members = Vec::new();
        for member in staying.chain(joining) {
            members.push(classic_member(member)?);
        }
        let protocol = select_protocol(&members)?;
        for (member, state) in members.iter_mut().map(|member| {
            let state = joining.filter(|new| new.id == member.member_id);
            (member, state)
        }) {
            let target = match state {
                Some(joining) => self.target_of(joining),
                None => self.target.get(&member.member_id).cloned().unwrap_or_default(),
            };
            let metadata = &member.protocols.iter().find(|own| own.name == protocol)?.metadata;
            let version = consumer_protocol::read_version(metadata).ok()?;
            member.assignment = assignment_bytes(&target, version, at.topics);
        }
        let ends = super::heartbeat::batch_bytes(ends) + GROUP_BYTES + 2 * self.id.len();
        if ends + members.iter().map(about_bytes).sum::<usize>() > at.config.batch_bytes_max {
            return None;
        }
        let group = ClassicSnapshot {
            group_id: self.id.clone(),
            generation: self.epoch,
            protocol_type: Some(PROTOCOL_TYPE.to_string()),
            protocol_name: Some(protocol),
            members,
        };
        Some(Downgrade { group, rebalance: true })
    }
}

/// What a classic group's record takes besides its members and its id.
const GROUP_BYTES: usize = 256;

/// What a member takes in its group's record, rather more than less: it may lead, and its protocol
/// may be the group's.
fn about_bytes(member: &ClassicMember) -> usize {
    let protocol = |protocol: &ClassicProtocol| protocol.name.len() + protocol.metadata.len();
    let protocols: usize = member.protocols.iter().map(protocol).sum();
    let instance = member.instance_id.as_ref().map_or(0, String::len);
    let names = 2 * member.member_id.len() + instance;
    let names = names + member.client_id.len() + member.client_host.len();
    names + protocols + member.assignment.len() + 64
}

fn check_upgrade(at: &Context<'_>, classic: &ClassicSnapshot) -> Result<(), Refusal> {
    let why = if !at.config.migration_policy.allows_upgrade() {
        "online upgrade is disabled."
    } else if classic.protocol_type.as_deref() != Some(PROTOCOL_TYPE) {
        "the group does not use the consumer embedded protocol."
    } else if classic.members.len() > at.config.members_max {
        "the group size exceeds the consumer group maximum size."
    } else {
        return Ok(());
    };
    Err(cannot_upgrade(classic, why))
}

fn cannot_upgrade(classic: &ClassicSnapshot, why: &str) -> Refusal {
    let id = &classic.group_id;
    let message = format!("Cannot upgrade classic group {id} to consumer group because {why}");
    Refusal::new(ErrorCode::GroupIdNotFound, message)
}

/// A classic member with its part of the last generation, in which it is stable.
fn upgraded(
    at: &Context<'_>,
    classic: &ClassicSnapshot,
    old: &ClassicMember,
) -> Result<Member, Refusal> {
    let malformed = || cannot_upgrade(classic, "the embedded consumer protocol is malformed.");
    let agreed = classic.protocol_name.as_ref();
    let protocol = agreed.and_then(|name| old.protocols.iter().find(|own| own.name == *name));
    let protocol = protocol.or(old.protocols.first()).ok_or_else(malformed)?;
    let subscription =
        ConsumerProtocolSubscription::from_bytes(&protocol.metadata).map_err(|_| malformed())?;
    let mut assigned = Epochs::new();
    if !old.assignment.is_empty() {
        let assignment =
            ConsumerProtocolAssignment::from_bytes(&old.assignment).map_err(|_| malformed())?;
        if assignment.user_data.is_some_and(|data| !data.is_empty()) {
            return Err(cannot_upgrade(
                classic,
                "an unsupported custom assignor is in use. Please refer to the documentation or \
                 switch to a default assignor before re-attempting the upgrade.",
            ));
        }
        for topic in assignment.assigned_partitions {
            let Some((id, count)) = at.topics.named(&topic.topic) else { continue };
            let existing = topic.partitions.into_iter().filter(|p| (0..count).contains(p));
            let of_topic: BTreeMap<i32, i32> = existing.map(|p| (p, classic.generation)).collect();
            if !of_topic.is_empty() {
                assigned.insert(id, of_topic);
            }
        }
    }
    let mut member = Member::new(&old.member_id);
    member.epoch = classic.generation;
    member.previous_epoch = classic.generation;
    member.instance_id = old.instance_id.clone();
    member.rack_id = subscription.rack_id.filter(|rack| !rack.is_empty());
    member.rebalance_timeout_ms = old.rebalance_timeout_ms;
    member.client_id = old.client_id.clone();
    member.client_host = old.client_host.clone();
    member.topics = subscription.topics.into_iter().collect();
    member.assigned = assigned;
    member.classic = Some(ClassicMemberMetadata {
        session_timeout_ms: old.session_timeout_ms,
        supported_protocols: old.protocols.clone(),
    });
    Ok(member)
}

fn classic_member(member: &Member) -> Option<ClassicMember> {
    let classic = member.classic.as_ref()?;
    Some(ClassicMember {
        member_id: member.id.clone(),
        instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        session_timeout_ms: classic.session_timeout_ms,
        protocols: classic.supported_protocols.clone(),
        assignment: Vec::new(),
    })
}

/// The protocol that all members can and most of them like best.
fn select_protocol(members: &[ClassicMember]) -> Option<String> {
    let can = |member: &ClassicMember, name: &str| member.protocols.iter().any(|p| p.name == name);
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    for member in members {
        let mut names = member.protocols.iter().map(|protocol| protocol.name.as_str());
        let best = names.find(|name| members.iter().all(|other| can(other, name)))?;
        *votes.entry(best).or_default() += 1;
    }
    let most = votes.into_iter().rev().max_by_key(|(_, count)| *count);
    most.map(|(name, _)| name.to_string())
}

/// Partitions without the epochs at which a member was given them.
pub(super) fn without_epochs(epochs: &Epochs) -> Partitions {
    epochs.iter().map(|(topic, of)| (*topic, of.keys().copied().collect())).collect()
}

fn pairs(epochs: &Epochs) -> impl Iterator<Item = (Uuid, i32)> + '_ {
    epochs.iter().flat_map(|(topic, of)| of.keys().map(|&partition| (*topic, partition)))
}

/// Partitions as a classic member is told them. Topics that are gone are left out.
pub(super) fn assignment_bytes(
    partitions: &Partitions,
    version: i16,
    topics: &dyn TopicsView,
) -> Vec<u8> {
    let named = partitions.iter().filter_map(|(id, of)| {
        let (name, _) = topics.with_id(*id)?;
        Some(TopicPartition { topic: name.to_string(), partitions: of.iter().copied().collect() })
    });
    let assigned_partitions = named.collect();
    ConsumerProtocolAssignment { assigned_partitions, user_data: None }.to_bytes(version)
}
