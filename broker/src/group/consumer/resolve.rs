//! Subscriptions by expression: which expressions a group has, and which topics they stand for.
//!
//! A member's expression is not resolved in its heartbeat: the heartbeat asks for it, the next
//! [`ConsumerGroup::timer`], due at once, does it, as Kafka's executor does. All expressions of a
//! group are resolved together, at most every [`REFRESH_MS_MIN`], [`STEPS_PER_TURN`] at a time, so
//! that a group with many of them, or with bad ones, does not hold its shard up.

use std::collections::{BTreeMap, BTreeSet};

use ringlog_wire::ErrorCode;
use ringlog_wire::records::group::GroupRecord;

use super::heartbeat::Context;
use super::target::Change;
use super::{ConsumerGroup, Refusal, Resolved, records, regex};

/// Expressions are not resolved more often than this.
const REFRESH_MS_MIN: i64 = 10_000;
/// What is done in one turn, in steps ([`regex::Expression::steps`]): about ten milliseconds if
/// each is taken, and few are.
const STEPS_PER_TURN: usize = 4_000_000;
/// What it takes to compile one byte of an expression, in steps.
const COMPILE_STEPS_PER_BYTE: usize = 1_000;

/// Expressions on their way to topics.
#[derive(Clone, Debug)]
pub(super) struct Resolving {
    /// When it was asked for.
    pub since_ms: i64,
    todo: BTreeSet<String>,
    current: Option<Current>,
    done: BTreeMap<String, BTreeSet<String>>,
    /// The topics' version, and the time, when the first was resolved.
    begun: Option<(i64, i64)>,
}

/// The expression whose turn it is.
#[derive(Clone, Debug)]
struct Current {
    pattern: String,
    /// `None` stands for no topic.
    regex: Option<regex::Expression>,
    topics: BTreeSet<String>,
    /// How many topics have been held against it.
    position: usize,
}

impl Current {
    fn new(pattern: String, steps: &mut usize) -> Current {
        *steps = steps.saturating_sub(pattern.len() * COMPILE_STEPS_PER_BYTE);
        // It was compiled when its member subscribed; a log of Kafka's may have another one.
        let regex = regex::compile(&pattern).ok();
        Current { pattern, regex, topics: BTreeSet::new(), position: 0 }
    }

    /// Goes through the topics while there are steps left; whether that was all of them.
    fn go_on(&mut self, at: &Context<'_>, steps: &mut usize) -> bool {
        let Some(regex) = &self.regex else { return true };
        for name in at.topics.names().skip(self.position) {
            if *steps == 0 {
                return false;
            }
            self.position += 1;
            *steps = steps.saturating_sub(regex.steps(name));
            if regex.is_match(name) {
                self.topics.insert(name.to_string());
            }
        }
        true
    }
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
        let (since_ms, done) = (at.now_ms, BTreeMap::new());
        let resolving = Resolving { since_ms, todo, current: None, done, begun: None };
        (refresh && !resolving.todo.is_empty()).then_some(resolving)
    }

    /// One turn of resolving; the records, already applied, once the last expression is resolved.
    pub(super) fn resolve_turn(&mut self, at: &Context<'_>) -> Vec<GroupRecord> {
        let Some(mut resolving) = self.resolving.take() else { return Vec::new() };
        let now = at.topics.version();
        let (version, begun_ms) = resolving.begun.get_or_insert((now, at.now_ms));
        if *version != now {
            // Where the topics change meanwhile some may be missed: version 0 resolves all again.
            *version = 0;
        }
        let (version, begun_ms) = (*version, *begun_ms);
        let mut steps = STEPS_PER_TURN;
        loop {
            let current = resolving.current.take();
            let next = || Some(Current::new(resolving.todo.pop_first()?, &mut steps));
            let Some(mut current) = current.or_else(next) else { break };
            if current.go_on(at, &mut steps) {
                resolving.done.insert(current.pattern, current.topics);
            } else {
                resolving.current = Some(current);
            }
            if steps == 0 && (resolving.current.is_some() || !resolving.todo.is_empty()) {
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
