//! From one generation to the next.

use std::collections::{BTreeMap, BTreeSet};

use ringlog_wire::ErrorCode;

use super::subscription::{self, CONSUMER};
use super::{ClassicGroup, InitialWait, State, Turn};
use crate::group::records;
use crate::group::timers::Timer;

impl ClassicGroup {
    /// A rebalance begins, or the one that is under way may be complete now.
    pub(super) fn rebalance_or_complete(&mut self, turn: &mut Turn) {
        if self.state == State::PreparingRebalance {
            self.complete_if_all_joined(turn);
        } else {
            self.prepare_rebalance(turn);
        }
    }

    /// A group that was empty waits its time in any case.
    pub(super) fn complete_if_all_joined(&mut self, turn: &mut Turn) {
        let may = self.state == State::PreparingRebalance && !self.from_empty;
        if may && self.all_joined() {
            self.complete_join(turn);
        }
    }

    /// Everybody has to join again.
    pub(super) fn prepare_rebalance(&mut self, turn: &mut Turn) {
        assert!(self.state != State::PreparingRebalance, "a rebalance is prepared once");
        if self.state == State::CompletingRebalance {
            for member in self.members.values_mut() {
                member.assignment = Vec::new();
            }
            self.answer_syncs(turn, ErrorCode::RebalanceInProgress);
        }
        self.pending_syncs.clear();
        turn.timers.cancel(Timer::Sync(self.id.clone()));
        self.from_empty = self.state == State::Empty;
        self.enter(State::PreparingRebalance, turn.now_ms);
        if self.from_empty {
            let delay_ms = i64::from(turn.config.initial_rebalance_delay_ms.max(0));
            let remaining_ms = (self.rebalance_timeout_ms() - delay_ms).max(0);
            self.initial_wait = Some(InitialWait { delay_ms, remaining_ms });
            turn.timers.set(Timer::Join(self.id.clone()), turn.now_ms + delay_ms);
        } else if self.all_joined() {
            self.complete_join(turn);
        } else {
            self.wait_for_joins(turn);
        }
    }

    fn wait_for_joins(&mut self, turn: &mut Turn) {
        self.initial_wait = None;
        let due_ms = turn.now_ms + self.rebalance_timeout_ms().max(1);
        turn.timers.set(Timer::Join(self.id.clone()), due_ms);
    }

    /// [`Timer::Join`].
    pub fn join_due(&mut self, turn: &mut Turn) {
        if self.state != State::PreparingRebalance {
            return;
        }
        match self.initial_wait {
            Some(wait) if self.newcomers && wait.remaining_ms != 0 => {
                // Somebody came while we waited: there may be more.
                self.newcomers = false;
                let initial_ms = i64::from(turn.config.initial_rebalance_delay_ms.max(0));
                let delay_ms = initial_ms.min(wait.remaining_ms);
                let remaining_ms = (wait.remaining_ms - wait.delay_ms).max(0);
                self.initial_wait = Some(InitialWait { delay_ms, remaining_ms });
                turn.timers.set(Timer::Join(self.id.clone()), turn.now_ms + delay_ms);
            }
            _ => self.complete_join(turn),
        }
    }

    /// The members that joined are the next generation; the dynamic ones that did not are out.
    pub(super) fn complete_join(&mut self, turn: &mut Turn) {
        assert!(self.state == State::PreparingRebalance, "members join while a rebalance prepares");
        turn.timers.cancel(Timer::Join(self.id.clone()));
        self.initial_wait = None;
        let late = self.members().filter(|m| m.join.is_none() && m.instance_id.is_none());
        let late: Vec<_> = late.map(|member| member.id.clone()).collect();
        for id in late {
            self.remove(turn, &id, ErrorCode::UnknownMemberId);
        }
        if !self.elect_leader_among_joined() && !self.members.is_empty() {
            // Only static members are left, and none came back yet: until their sessions end.
            return self.wait_for_joins(turn);
        }
        self.next_generation(turn.now_ms);
        if self.state == State::Empty {
            turn.out.records.push(records::group(&self.id, Some(self.written())));
            return;
        }
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let response = self.generation_for(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.is_new = false;
            if let Some(ticket) = member.join.take() {
                self.joining -= 1;
                turn.join_reply(ticket, response);
            }
            self.heard_of(turn, &id);
            self.pending_syncs.insert(id);
        }
        let due_ms = turn.now_ms + self.rebalance_timeout_ms().max(1);
        turn.timers.set(Timer::Sync(self.id.clone()), due_ms);
    }

    /// A leader that did not come back is replaced by somebody who did. False when nobody did.
    fn elect_leader_among_joined(&mut self) -> bool {
        let Some(leader) = &self.leader else { return false };
        if self.members[leader].join.is_some() {
            return true;
        }
        let joined = self.members().find(|member| member.join.is_some());
        let Some(joined) = joined.map(|member| member.id.clone()) else { return false };
        self.leader = Some(joined);
        true
    }

    fn next_generation(&mut self, now_ms: i64) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.pending_syncs.clear();
        if self.members.is_empty() {
            self.protocol_name = None;
            self.enter(State::Empty, now_ms);
        } else {
            self.protocol_name = Some(self.select_protocol());
            self.enter(State::CompletingRebalance, now_ms);
        }
        self.subscribed = self.read_subscriptions();
    }

    /// The protocol that most members like best among those that all can. Kafka leaves open which
    /// one wins when votes are equal; here it is the first by name.
    pub(super) fn select_protocol(&self) -> String {
        let everybody = self.members.len();
        let common = self.supported.iter().filter(|(_, count)| **count == everybody);
        let candidates: BTreeSet<&str> = common.map(|(name, _)| name.as_str()).collect();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for vote in self.members().filter_map(|member| member.vote(&candidates)) {
            *votes.entry(vote).or_default() += 1;
        }
        let best = votes.iter().rev().max_by_key(|(_, count)| **count);
        let (name, _) = best.expect("members have a protocol in common");
        (*name).to_owned()
    }

    /// The topics that all members read, if this is a group of consumers that say so.
    pub(super) fn read_subscriptions(&self) -> Option<BTreeSet<String>> {
        if self.protocol_type.as_deref() != Some(CONSUMER) {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol_name.as_deref()?;
        let mut all = BTreeSet::new();
        for member in self.members() {
            all.append(&mut subscription::topics(member.metadata(protocol))?);
        }
        Some(all)
    }

    pub(super) fn enter(&mut self, state: State, now_ms: i64) {
        self.state = state;
        self.state_since_ms = Some(now_ms);
    }

    /// [`Timer::Sync`]: who did not ask for its part is out.
    pub fn sync_due(&mut self, turn: &mut Turn) {
        let waits = matches!(self.state, State::CompletingRebalance | State::Stable);
        if !waits || self.pending_syncs.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.pending_syncs) {
            self.remove(turn, &id, ErrorCode::UnknownMemberId);
        }
        self.prepare_rebalance(turn);
    }

    /// [`Timer::Member`]: somebody was silent for too long. Who waits for us is not silent, unless
    /// it has never been in a generation.
    pub fn member_due(&mut self, turn: &mut Turn, id: &str) {
        if self.pending_joins.contains(id) {
            self.remove(turn, id, ErrorCode::UnknownMemberId);
            if self.state == State::PreparingRebalance && self.all_joined() {
                self.complete_join(turn);
            }
            return;
        }
        let Some(member) = self.members.get(id) else { return };
        if !member.is_new && (member.join.is_some() || member.sync.is_some()) {
            return;
        }
        self.remove(turn, id, ErrorCode::UnknownMemberId);
        match self.state {
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(turn),
            State::PreparingRebalance if self.all_joined() => self.complete_join(turn),
            State::PreparingRebalance | State::Empty => {}
        }
    }

    /// The log is read: members get a fresh session, and too many of them rebalance.
    pub fn loaded(&mut self, turn: &mut Turn) {
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in &ids {
            self.heard_of(turn, id);
        }
        if ids.len() > turn.config.members_max {
            self.prepare_rebalance(turn);
        }
    }
}
