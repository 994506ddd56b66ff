//! The group's epoch and the target assignment that answers to it.

use std::collections::BTreeMap;

use ringlog_wire::records::group::GroupRecord;

use super::heartbeat::Context;
use super::member::Member;
use super::subscription::After;
use super::{ConsumerGroup, records};
use crate::group::assignor::{Assignor, GroupSpec, MemberSpec, Partitions};

/// A member that changes: as it is, and as it will be.
#[derive(Clone, Copy)]
pub(super) struct Change<'a> {
    pub before: &'a Member,
    pub after: &'a Member,
}

/// The group's epoch after a step, and what the assignor must know of its subscriptions.
pub(super) struct Bumped {
    pub epoch: i32,
    /// Whether all members are subscribed to the same topics; `None`: as the group stands.
    pub homogeneous: Option<bool>,
}

impl ConsumerGroup {
    /// Whether topics have changed since the hash was compared.
    pub(super) fn is_hash_old(&self, at: &Context<'_>) -> bool {
        self.compared_version != Some(at.topics.version())
    }

    /// A new group epoch where the subscription or a topic of it has changed.
    pub(super) fn bump_epoch(
        &self,
        at: &Context<'_>,
        change: Change<'_>,
        subscription_changed: bool,
        records: &mut Vec<GroupRecord>,
    ) -> Bumped {
        if !subscription_changed && !self.is_hash_old(at) {
            return Bumped { epoch: self.epoch, homogeneous: None };
        }
        let after = self.subscriptions_with(change.before, change.after);
        let homogeneous = Some(after.is_homogeneous());
        let epoch = self.write_epoch(at, &after, subscription_changed, records);
        if self.has_partition_metadata {
            records.push(records::partition_metadata_tombstone(&self.id));
        }
        Bumped { epoch, homogeneous }
    }

    /// Writes the next epoch if `bump`, or if the topics' hash is another. Returns the group's
    /// epoch.
    pub(super) fn write_epoch(
        &self,
        at: &Context<'_>,
        after: &After,
        bump: bool,
        records: &mut Vec<GroupRecord>,
    ) -> i32 {
        let hash = after.hash(at.topics);
        if !bump && hash == self.metadata_hash {
            return self.epoch;
        }
        // Used up in 60 years at the earliest, but a log may say anything: then it stays.
        let epoch = self.epoch.saturating_add(1);
        records.push(records::group_epoch(&self.id, epoch, hash));
        epoch
    }

    /// Whether it is too soon for another target.
    pub(super) fn is_target_fresh(&self, at: &Context<'_>) -> bool {
        let interval_ms = i64::from(at.config.assignment_interval_ms);
        self.target_ms != 0
            && interval_ms != 0
            && at.now_ms < self.target_ms.saturating_add(interval_ms)
    }

    /// The target's epoch and what it gives to the member that changes: computed anew when the
    /// group's epoch is newer, and the last time is not too short ago.
    pub(super) fn update_target(
        &self,
        at: &Context<'_>,
        bumped: &Bumped,
        change: Change<'_>,
        records: &mut Vec<GroupRecord>,
    ) -> (i32, Partitions) {
        if self.target_epoch >= bumped.epoch || self.is_target_fresh(at) {
            return (self.target_epoch, self.target_of(change.after));
        }
        let homogeneous =
            bumped.homogeneous.unwrap_or_else(|| self.subscriptions().is_homogeneous());
        let spec = self.group_spec(at, homogeneous, change.after);
        let assignor = self.preferred_assignor(at, change);
        let mut assignment = assignor.assign(&spec);
        for (id, partitions) in &assignment {
            if self.target.get(id) != Some(partitions) {
                records.push(records::target(&self.id, id, partitions));
            }
        }
        records.push(records::target_epoch(&self.id, bumped.epoch, at.now_ms));
        let own = assignment.remove(&change.after.id).expect("every member is in the target");
        (bumped.epoch, own)
    }

    /// The target of a member; of a static member that replaces another, the other's.
    pub(super) fn target_of(&self, member: &Member) -> Partitions {
        let id = match &member.instance_id {
            None => Some(&member.id),
            Some(instance) => self.static_members.get(instance),
        };
        id.and_then(|id| self.target.get(id)).cloned().unwrap_or_default()
    }

    fn group_spec(&self, at: &Context<'_>, homogeneous: bool, changed: &Member) -> GroupSpec {
        let replaced =
            changed.instance_id.as_ref().and_then(|instance| self.static_members.get(instance));
        let others = self
            .members
            .values()
            .filter(|member| member.id != changed.id && Some(&member.id) != replaced);
        let mut spec = GroupSpec { homogeneous, ..GroupSpec::default() };
        for member in others.chain([changed]) {
            let topics = self.subscribed_topics(member, at.topics);
            let assigned = if member.id == changed.id {
                let id = replaced.unwrap_or(&member.id);
                self.target.get(id).cloned().unwrap_or_default()
            } else {
                self.target.get(&member.id).cloned().unwrap_or_default()
            };
            let instance_id = member.instance_id.clone();
            let subscribed = topics.keys().copied().collect();
            spec.topics.extend(topics);
            spec.members
                .insert(member.id.clone(), MemberSpec { instance_id, subscribed, assigned });
        }
        spec
    }

    /// The assignor that most members want; without any, or if it is not to be had, the default.
    fn preferred_assignor(&self, at: &Context<'_>, change: Change<'_>) -> Assignor {
        let mut wanted: BTreeMap<&str, usize> =
            self.assignors.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        if let Some(count) = change.before.assignor.as_deref().and_then(|a| wanted.get_mut(a)) {
            *count = count.saturating_sub(1);
        }
        if let Some(assignor) = change.after.assignor.as_deref() {
            *wanted.entry(assignor).or_default() += 1;
        }
        wanted.retain(|_, count| *count > 0);
        let default = *at.config.assignors.first().expect("there is at least one assignor");
        let most = wanted.iter().rev().max_by_key(|(_, count)| **count);
        let preferred = most.and_then(|(name, _)| Assignor::named(name));
        preferred.filter(|assignor| at.config.assignors.contains(assignor)).unwrap_or(default)
    }

    /// The name of the assignor in force, for descriptions.
    pub(super) fn assignor_name(&self, default: Assignor) -> &str {
        let most = self.assignors.iter().rev().max_by_key(|(_, count)| **count);
        most.map_or(default.name(), |(name, _)| name)
    }
}
