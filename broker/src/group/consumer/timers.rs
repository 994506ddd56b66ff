//! What is due when, for a group's members.

use std::collections::{BTreeMap, BTreeSet};

/// What a member is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TimerKind {
    /// A sign of life.
    Session,
    /// That it leaves this epoch, by giving partitions up.
    Rebalance {
        /// The epoch.
        epoch: i32,
    },
    /// That it joins again (classic protocol).
    Join,
    /// That it fetches its assignment (classic protocol).
    Sync,
}

const KINDS: usize = 4;

impl TimerKind {
    fn slot(self) -> usize {
        match self {
            TimerKind::Session => 0,
            TimerKind::Rebalance { .. } => 1,
            TimerKind::Join => 2,
            TimerKind::Sync => 3,
        }
    }
}

/// At most one timer of each kind for each member.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(i64, String, TimerKind)>,
    of_member: BTreeMap<String, [Option<(i64, TimerKind)>; KINDS]>,
}

impl Timers {
    /// Sets a timer, in place of the member's last of that kind.
    pub fn set(&mut self, member: &str, kind: TimerKind, at_ms: i64) {
        self.cancel(member, kind);
        self.of_member.entry(member.to_string()).or_default()[kind.slot()] = Some((at_ms, kind));
        self.due.insert((at_ms, member.to_string(), kind));
    }

    /// Sets a timer unless there is one.
    pub fn set_if_absent(&mut self, member: &str, kind: TimerKind, at_ms: i64) {
        let slots = self.of_member.get(member);
        if slots.is_none_or(|slots| slots[kind.slot()].is_none()) {
            self.set(member, kind, at_ms);
        }
    }

    /// Takes a timer back.
    pub fn cancel(&mut self, member: &str, kind: TimerKind) {
        let Some(slots) = self.of_member.get_mut(member) else { return };
        if let Some((at_ms, kind)) = slots[kind.slot()].take() {
            assert!(self.due.remove(&(at_ms, member.to_string(), kind)), "what is set is due");
        }
        if slots.iter().all(Option::is_none) {
            self.of_member.remove(member);
        }
    }

    /// Takes all of a member's timers back.
    pub fn cancel_all(&mut self, member: &str) {
        let slots = self.of_member.remove(member).unwrap_or_default();
        for (at_ms, kind) in slots.into_iter().flatten() {
            assert!(self.due.remove(&(at_ms, member.to_string(), kind)), "what is set is due");
        }
    }

    /// When the next is due.
    pub fn next_ms(&self) -> Option<i64> {
        self.due.first().map(|(at_ms, _, _)| *at_ms)
    }

    /// Takes out one that is due.
    pub fn pop(&mut self, now_ms: i64) -> Option<(String, TimerKind)> {
        if self.next_ms()? > now_ms {
            return None;
        }
        let (_, member, kind) = self.due.first().cloned()?;
        self.cancel(&member, kind);
        Some((member, kind))
    }
}
