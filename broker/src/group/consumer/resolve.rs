//! Subscriptions by expression: which expressions a group has, and which topics they stand for.
//!
//! A member's expression is not resolved in its heartbeat: the heartbeat asks for it, the next
//! [`ConsumerGroup::timer`], due at once, does it, as Kafka's executor does. All expressions of a
//! group are resolved together, at most every [`REFRESH_MS_MIN`], [`MATCHES_PER_TURN`] matches at
//! a time, so that a group with many of them does not hold its shard up.

use std::collections::{BTreeMap, BTreeSet};

use ringlog_wire::ErrorCode;
use ringlog_wire::records::group::GroupRecord;

use super::heartbeat::Context;
use super::target::Change;
use super::{ConsumerGroup, Refusal, Resolved, records, regex};

/// Expressions are not resolved more often than this.
const REFRESH_MS_MIN: i64 = 10_000;
/// How many topics are held against expressions in one turn.
const MATCHES_PER_TURN: usize = 20_000;

/// Expressions on their way to topics.
#[derive(Clone, Debug)]
pub(super) struct Resolving {
    /// When it was asked for.
    pub since_ms: i64,
    todo: BTreeSet<String>,
    done: BTreeMap<String, BTreeSet<String>>,
    /// The topics' version, and the time, when the first was resolved.
    begun: Option<(i64, i64)>,
}

/// What a step does to the group's expressions.
#[derive(Default)]
pub(super) struct RegexChange {
    /// The member's expression is another.
    pub changed: bool,
    /// What the new one stands for is known, or there is no new one.
    pub resolved: bool,
    /// Expressions are to be resolved.
    pub resolve: Option<Resolving>,
}

impl ConsumerGroup {
    /// What follows from a member's new expression. INVALID_REGULAR_EXPRESSION if it is none.
    pub(super) fn change_regex(
        &self,
        at: &Context<'_>,
        change: Change<'_>,
        records: &mut Vec<GroupRecord>,
    ) -> Result<RegexChange, Refusal> {
        let (old, new) = (change.before.regex(), change.after.regex());
        let mut result = RegexChange::default();
        let mut refresh = false;
        // Null and empty are two things here, as they are for Kafka.
        if change.before.regex != change.after.regex {
            result.changed = true;
            if let Some(old) = old
                && self.regex_members(old) == 1
            {
                records.push(records::regex_tombstone(&self.id, old));
            }
            match new {
                Some(new) if self.regex_members(new) == 0 => {
                    validate(new)?;
                    refresh = true;
                }
                Some(new) => result.resolved = self.resolved.contains_key(new),
                None => result.resolved = old.is_some(),
            }
        }
        result.resolve = self.refresh(at, old, new, refresh);
        Ok(result)
    }

    fn refresh(
        &self,
        at: &Context<'_>,
        old: Option<&str>,
        new: Option<&str>,
        must: bool,
    ) -> Option<Resolving> {
        if (!must && self.regexes.is_empty()) || self.resolving.is_some() {
            return None;
        }
        let last = self.resolved.values().next();
        let last_ms = last.map_or(i64::MIN, |resolved| resolved.timestamp);
        if at.now_ms <= last_ms.saturating_add(REFRESH_MS_MIN) {
            return None;
        }
        let mut todo: BTreeSet<String> = self.regexes.keys().cloned().collect();
        if let Some(old) = old
            && self.regex_members(old) <= 1
        {
            todo.remove(old);
        }
        todo.extend(new.map(str::to_string));
        let last_version = last.map_or(0, |resolved| resolved.version);
        let due = last_ms.saturating_add(at.config.regex_refresh_interval_ms);
        let refresh = must
            || todo.len() != self.resolved.len()
            || last_version < at.topics.created_version()
            || at.now_ms > due;
        let resolving = Resolving { since_ms: at.now_ms, todo, done: BTreeMap::new(), begun: None };
        (refresh && !resolving.todo.is_empty()).then_some(resolving)
    }

    /// One turn of resolving; the records, already applied, once the last expression is resolved.
    pub(super) fn resolve_turn(&mut self, at: &Context<'_>) -> Vec<GroupRecord> {
        let Some(mut resolving) = self.resolving.take() else { return Vec::new() };
        let (version, begun_ms) = *resolving.begun.get_or_insert((at.topics.version(), at.now_ms));
        let mut budget = MATCHES_PER_TURN;
        while let Some(pattern) = resolving.todo.pop_first() {
            let mut topics = BTreeSet::new();
            // It was compiled when its member subscribed; a log of Kafka's may have another one.
            if let Ok(regex) = regex::compile(&pattern) {
                for name in at.topics.names() {
                    budget = budget.saturating_sub(1);
                    if regex.is_match(name) {
                        topics.insert(name.to_string());
                    }
                }
            }
            resolving.done.insert(pattern, topics);
            if budget == 0 && !resolving.todo.is_empty() {
                self.resolving = Some(resolving);
                return Vec::new();
            }
        }
        let records = self.resolved_records(at, resolving.done, version, begun_ms);
        // What the log would not take is tried again with a later heartbeat, as Kafka does.
        if self.check_batch(&records, at.config).is_err() {
            return Vec::new();
        }
        self.apply(&records);
        self.compared_version = Some(at.topics.version());
        records
    }

    fn resolved_records(
        &self,
        at: &Context<'_>,
        done: BTreeMap<String, BTreeSet<String>>,
        version: i64,
        timestamp: i64,
    ) -> Vec<GroupRecord> {
        let mut records = Vec::new();
        let mut after = self.subscriptions();
        let mut bump = false;
        let nothing = BTreeSet::new();
        for (pattern, topics) in done {
            if self.regex_members(&pattern) == 0 {
                continue;
            }
            let old = self.resolved.get(&pattern).map_or(&nothing, |resolved| &resolved.topics);
            if *old != topics {
                bump = true;
                after.resolve(old, &topics);
            }
            let resolved = Resolved { topics, version, timestamp };
            records.push(records::regex(&self.id, &pattern, &resolved));
        }
        self.write_epoch(at, &after, bump, &mut records);
        records
    }
}

fn validate(pattern: &str) -> Result<(), Refusal> {
    match regex::compile(pattern) {
        Ok(_) => Ok(()),
        Err(description) => {
            let mut shown = pattern.to_string();
            shown.truncate(shown.floor_char_boundary(SHOWN_BYTES_MAX));
            let message = format!(
                "SubscribedTopicRegex `{shown}` is not a valid regular expression: {description}."
            );
            Err(Refusal::new(ErrorCode::InvalidRegularExpression, message))
        }
    }
}

/// How much of an expression an error message shows.
const SHOWN_BYTES_MAX: usize = 1024;
