//! Members go: they leave, or their time is up.

use std::collections::BTreeSet;

use ringlog_wire::records::group::GroupRecord;

use super::heartbeat::{Context, batch_bytes};
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
        let regexes: Vec<&str> = members.iter().filter_map(|member| member.regex()).collect();
        let all_go = |regex: &&str| {
            regexes.iter().filter(|other| *other == regex).count() == self.regex_members(regex)
        };
        regexes.iter().filter(|regex| all_go(regex)).map(|regex| regex.to_string()).collect()
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

    /// Does what is due: members whose time is up are fenced, expressions are resolved. What does
    /// not fit into one batch stays due.
    pub fn timer(&mut self, at: &Context<'_>) -> Answer<()> {
        let mut done = Answer::only(());
        while let Some((id, kind)) = self.timers.pop(at.now_ms) {
            if !self.is_due(&id, kind) {
                continue;
            }
            // A single member's end is small: what its ids and expression may be is limited.
            let Ok(fenced) = self.fence(at, &[id.clone()].into()) else {
                self.timers.set(&id, kind, at.now_ms + RETRY_MS);
                continue;
            };
            if fenced.downgrade.is_some() && !done.records.is_empty() {
                // It may fill a batch, and nothing of it is done yet.
                self.timers.set(&id, kind, at.now_ms);
                return done;
            }
            done.records.extend(fenced.records);
            done.downgrade = fenced.downgrade;
            if done.downgrade.is_some() || is_half_full(&done.records, at) {
                return done;
            }
        }
        if done.records.is_empty() {
            done.records = self.resolve_turn(at);
        }
        done
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

/// When a member is to be fenced again whose end did not fit into a batch.
const RETRY_MS: i64 = 1_000;

fn is_half_full(records: &[GroupRecord], at: &Context<'_>) -> bool {
    batch_bytes(records) > at.config.batch_bytes_max / 2
}
