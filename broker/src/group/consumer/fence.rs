//! Members go: they leave, or their time is up.

use std::collections::{BTreeMap, BTreeSet};

use super::heartbeat::Context;
use super::member::Member;
use super::timers::TimerKind;
use super::{Answer, ConsumerGroup, Refusal, records};

impl ConsumerGroup {
    /// Takes members out of the group. When only members of the classic protocol are left, and
    /// settings allow it, the group becomes a classic group.
    pub(super) fn fence(
        &mut self,
        at: &Context<'_>,
        ids: &BTreeSet<String>,
    ) -> Result<Answer<()>, Refusal> {
        if ids.is_empty() {
            return Ok(Answer::only(()));
        }
        if self.becomes_classic_without(at, ids) {
            let records = self.tombstones();
            if let Some(downgrade) = self.downgraded(at, ids, None, &records) {
                return Ok(Answer { records, response: (), downgrade: Some(downgrade) });
            }
        }
        let members: Vec<&Member> = ids.iter().map(|id| &self.members[id]).collect();
        let mut records = Vec::new();
        for member in &members {
            records::remove_member(&self.id, &member.id, &mut records);
        }
        let regexes = self.regexes_of_only(&members);
        for regex in &regexes {
            records.push(records::regex_tombstone(&self.id, regex));
        }
        let after = self.subscriptions_without(&members, &regexes);
        self.write_epoch(at, &after, true, &mut records);
        self.check_batch(&records, at.config)?;
        self.apply(&records);
        Ok(Answer { records, response: (), downgrade: None })
    }

    fn regexes_of_only(&self, members: &[&Member]) -> BTreeSet<String> {
        let mut going: BTreeMap<&str, usize> = BTreeMap::new();
        for regex in members.iter().filter_map(|member| member.regex()) {
            *going.entry(regex).or_default() += 1;
        }
        let only = going.into_iter().filter(|(regex, count)| *count == self.regex_members(regex));
        only.map(|(regex, _)| regex.to_string()).collect()
    }

    /// After the log has been read: every member has its session's time from now on, and who has
    /// partitions to give up has its rebalance timeout.
    pub fn loaded(&mut self, now_ms: i64, session_timeout_ms: i32) {
        let members: Vec<Member> = self.members.values().cloned().collect();
        for member in members {
            let session_ms = now_ms + i64::from(session_timeout_ms);
            self.timers.set(&member.id, TimerKind::Session, session_ms);
            self.expect_rebalance(now_ms, &member);
        }
    }

    /// Whether [`ConsumerGroup::timer`] is to resolve expressions, which may take its time.
    pub fn is_resolving(&self) -> bool {
        self.resolving.is_some()
    }

    /// When [`ConsumerGroup::timer`] has something to do next.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        let resolving = self.resolving.as_ref().map(|resolving| resolving.since_ms);
        [resolving, self.timers.next_ms()].into_iter().flatten().min()
    }

    /// Does what is due: members whose time is up are fenced, all at once and with one new epoch,
    /// or expressions are resolved. What does not fit into one batch stays due.
    pub fn timer(&mut self, at: &Context<'_>) -> Answer<()> {
        let due = self.pop_due(at);
        if due.is_empty() {
            return Answer { records: self.resolve_turn(at), response: (), downgrade: None };
        }
        self.fence(at, &due.keys().cloned().collect()).unwrap_or_else(|_| {
            // Not even half a batch, in which they would fit: the log's settings are none.
            for (id, kind) in &due {
                self.timers.set(id, *kind, at.now_ms + RETRY_MS);
            }
            Answer::only(())
        })
    }

    /// Members whose time is up, as many as have an end in half a batch; at least one. What of
    /// them was due first.
    fn pop_due(&mut self, at: &Context<'_>) -> BTreeMap<String, TimerKind> {
        let (mut due, mut bytes) = (BTreeMap::new(), 0);
        while bytes < at.config.batch_bytes_max / 2
            && let Some((id, kind)) = self.timers.pop(at.now_ms)
        {
            if self.is_due(&id, kind) && !due.contains_key(&id) {
                bytes += self.end_bytes(&self.members[&id]);
                due.insert(id, kind);
            }
        }
        due
    }

    /// What a member's end takes in a batch at most: three records, and its expression's.
    fn end_bytes(&self, member: &Member) -> usize {
        let key = RECORD_BYTES + self.id.len();
        3 * (key + member.id.len()) + member.regex().map_or(0, |regex| key + regex.len())
    }

    fn is_due(&self, id: &str, kind: TimerKind) -> bool {
        let Some(member) = self.members.get(id) else { return false };
        match kind {
            TimerKind::Rebalance { epoch } => member.epoch == epoch,
            TimerKind::Session => true,
            TimerKind::Join | TimerKind::Sync => member.is_classic(),
        }
    }
}

/// When members are to be fenced again whose end did not fit into a batch.
const RETRY_MS: i64 = 1_000;
/// What a record without a value takes in a batch beside the names in its key.
const RECORD_BYTES: usize = 48;
