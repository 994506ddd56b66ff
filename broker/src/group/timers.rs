//! What is due, and when.
//!
//! Invariant: a timer is in both maps at the same time, or in neither.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What becomes due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    /// Expired offsets, empty groups and offsets of deleted topics are looked for.
    Sweep,
    /// A group's members had their time to join.
    Join(Arc<str>),
    /// A group's members had their time to ask for their assignment.
    Sync(Arc<str>),
    /// A member, or one that was told its id, was not heard of: group, member.
    Member(Arc<str>, Arc<str>),
}

/// The timers of a partition's groups.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(i64, Timer)>,
    at: HashMap<Timer, i64>,
}

impl Timers {
    /// Sets a timer, or sets it anew.
    pub fn set(&mut self, timer: Timer, at_ms: i64) {
        match self.at.insert(timer.clone(), at_ms) {
            Some(old_ms) if old_ms == at_ms => return,
            Some(old_ms) => {
                let entry = (old_ms, timer);
                assert!(self.due.remove(&entry), "a timer is in both maps");
                self.due.insert((at_ms, entry.1));
            }
            None => {
                self.due.insert((at_ms, timer));
            }
        }
        assert!(self.due.len() == self.at.len(), "a timer is in both maps");
    }

    /// Forgets a timer, if there is one.
    pub fn cancel(&mut self, timer: Timer) {
        if let Some(at_ms) = self.at.remove(&timer) {
            assert!(self.due.remove(&(at_ms, timer)), "a timer is in both maps");
        }
    }

    /// The first of what is due.
    pub fn pop(&mut self, now_ms: i64) -> Option<Timer> {
        if self.next_ms()? > now_ms {
            return None;
        }
        let (_, timer) = self.due.pop_first()?;
        self.at.remove(&timer);
        Some(timer)
    }

    /// When something is due next.
    pub fn next_ms(&self) -> Option<i64> {
        self.due.first().map(|(at_ms, _)| *at_ms)
    }

    /// How many there are.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.due.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_due_once_at_its_last_time() {
        let mut timers = Timers::default();
        let join = |group: &str| Timer::Join(Arc::from(group));
        timers.set(join("a"), 10);
        timers.set(join("b"), 20);
        timers.set(join("a"), 30);
        timers.set(Timer::Sweep, 20);
        timers.cancel(Timer::Sweep);
        timers.cancel(Timer::Sweep);
        assert_eq!((timers.next_ms(), timers.count()), (Some(20), 2));
        assert_eq!(timers.pop(19), None);
        assert_eq!(timers.pop(30), Some(join("b")));
        assert_eq!(timers.pop(30), Some(join("a")));
        assert_eq!((timers.pop(i64::MAX), timers.next_ms()), (None, None));
    }
}
