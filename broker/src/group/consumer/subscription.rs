//! Who is subscribed to what, now and after a change that is not applied yet.

use std::collections::{BTreeMap, BTreeSet};

use ringlog_wire::Uuid;

use super::member::Member;
use super::{ConsumerGroup, Subscribers, hash};
use crate::coordinator::TopicsView;

/// Subscribers, by topic.
pub(super) type Subscriptions = BTreeMap<String, Subscribers>;

/// A group's subscriptions, for the time after a change.
pub(super) struct After {
    pub topics: Subscriptions,
    /// Members, by expression.
    pub regexes: BTreeMap<String, usize>,
    /// How many members there are.
    pub members: usize,
}

impl After {
    fn add(&mut self, topics: &BTreeSet<String>, which: fn(&mut Subscribers) -> &mut usize) {
        for topic in topics {
            *which(self.topics.entry(topic.clone()).or_default()) += 1;
        }
    }

    fn take(&mut self, topics: &BTreeSet<String>, which: fn(&mut Subscribers) -> &mut usize) {
        for topic in topics {
            let Some(subscribers) = self.topics.get_mut(topic) else { continue };
            *which(subscribers) = which(subscribers).saturating_sub(1);
            if *subscribers == Subscribers::default() {
                self.topics.remove(topic);
            }
        }
    }

    /// What an expression stands for has changed.
    pub fn resolve(&mut self, old: &BTreeSet<String>, new: &BTreeSet<String>) {
        self.take(old, |subscribers| &mut subscribers.by_regex);
        self.add(new, |subscribers| &mut subscribers.by_regex);
    }

    /// Whether all members are subscribed to the same topics. By an expression and by names is not
    /// the same, even if it comes to the same topics.
    pub fn is_homogeneous(&self) -> bool {
        match self.regexes.values().next() {
            None => self.topics.values().all(|topic| topic.by_name == self.members),
            Some(&first) if first == self.members => {
                self.topics.values().all(|topic| topic.by_regex == 1 && topic.by_name == 0)
            }
            Some(_) => false,
        }
    }

    /// The hash of the topics that exist.
    pub fn hash(&self, view: &dyn TopicsView) -> i64 {
        let existing = self.topics.keys().filter_map(|name| {
            let (id, partitions) = view.named(name)?;
            Some(hash::Topic { id, name, partitions, rack: view.rack() })
        });
        hash::of_group(existing)
    }
}

impl ConsumerGroup {
    /// The subscriptions as they are.
    pub(super) fn subscriptions(&self) -> After {
        After {
            topics: self.topics.clone(),
            regexes: self.regexes.clone(),
            members: self.members.len(),
        }
    }

    /// The subscriptions when `new`, a member already or one that joins, has taken the place of
    /// `old`.
    pub(super) fn subscriptions_with(&self, old: &Member, new: &Member) -> After {
        let mut after = self.subscriptions();
        after.take(&old.topics, |subscribers| &mut subscribers.by_name);
        after.add(&new.topics, |subscribers| &mut subscribers.by_name);
        if old.regex() != new.regex() {
            if let Some(regex) = old.regex() {
                let left = self.regex_members(regex).saturating_sub(1);
                if left == 0 {
                    self.take_resolved(&mut after, regex);
                    after.regexes.remove(regex);
                } else {
                    after.regexes.insert(regex.to_string(), left);
                }
            }
            if let Some(regex) = new.regex() {
                *after.regexes.entry(regex.to_string()).or_default() += 1;
            }
        }
        let is_static = new.instance_id.as_ref().is_some_and(|id| self.has_static(id));
        after.members += usize::from(!self.members.contains_key(&new.id) && !is_static);
        after
    }

    /// The subscriptions without these members, and without the expressions that only they had.
    pub(super) fn subscriptions_without(
        &self,
        members: &[&Member],
        regexes: &BTreeSet<String>,
    ) -> After {
        let mut after = self.subscriptions();
        for member in members {
            after.take(&member.topics, |subscribers| &mut subscribers.by_name);
        }
        for regex in regexes {
            self.take_resolved(&mut after, regex);
        }
        after.members -= members.len();
        after
    }

    fn take_resolved(&self, after: &mut After, regex: &str) {
        if let Some(resolved) = self.resolved.get(regex) {
            after.take(&resolved.topics, |subscribers| &mut subscribers.by_regex);
        }
    }

    pub(super) fn has_static(&self, instance_id: &str) -> bool {
        self.static_members.contains_key(instance_id)
    }

    pub(super) fn regex_members(&self, regex: &str) -> usize {
        self.regexes.get(regex).copied().unwrap_or(0)
    }

    /// The topics that a member is subscribed to, those that exist, with their partitions. An
    /// expression that is not resolved yet stands for nothing.
    pub(super) fn subscribed_topics(
        &self,
        member: &Member,
        view: &dyn TopicsView,
    ) -> BTreeMap<Uuid, i32> {
        let resolved = member.regex().and_then(|regex| self.resolved.get(regex));
        let by_regex = resolved.into_iter().flat_map(|resolved| &resolved.topics);
        member.topics.iter().chain(by_regex).filter_map(|name| view.named(name)).collect()
    }
}
