//! The way back: pieces dropped on any thread wait here until their pool takes them.
//!
//! A stack in a side table, one link per smallest unit. Anybody pushes, the pool takes all of it
//! at once; since nothing pops a single entry, there is no ABA.
//!
//! Invariant: a unit is pushed only by the one that dropped the last reference to the piece that
//! starts there, so it is in the list at most once.

#[cfg(ringlog_loom)]
use loom::sync::atomic::{AtomicU32, Ordering};
#[cfg(not(ringlog_loom))]
use std::sync::atomic::{AtomicU32, Ordering};

/// No unit.
const NONE: u32 = u32::MAX;

/// Units on their way back to the pool.
#[derive(Debug)]
pub struct Returns {
    head: AtomicU32,
    links: Box<[AtomicU32]>,
}

impl Returns {
    /// An empty list for units `0..units`.
    pub fn new(units: u32) -> Returns {
        assert!(units < NONE, "a unit has a number");
        let links = (0..units).map(|_| AtomicU32::new(NONE)).collect();
        Returns { head: AtomicU32::new(NONE), links }
    }

    /// Gives a unit back.
    pub fn push(&self, unit: u32) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            self.links[unit as usize].store(head, Ordering::Relaxed);
            // Release: whoever takes the list sees the link, and every use of the piece is over.
            match self.head.compare_exchange_weak(head, unit, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes everything that was given back, last first.
    pub fn take_all(&self, mut each: impl FnMut(u32)) {
        if self.head.load(Ordering::Relaxed) == NONE {
            return;
        }
        let mut unit = self.head.swap(NONE, Ordering::Acquire);
        while unit != NONE {
            let next = self.links[unit as usize].load(Ordering::Relaxed);
            each(unit);
            unit = next;
        }
    }
}

#[cfg(all(test, ringlog_loom))]
mod loom_tests {
    use super::Returns;
    use std::collections::BTreeSet;

    #[test]
    fn nothing_is_lost_or_doubled() {
        loom::model(|| {
            let list = loom::sync::Arc::new(Returns::new(3));
            let other = list.clone();
            let thread = loom::thread::spawn(move || {
                other.push(0);
                other.push(2);
            });
            list.push(1);
            let mut seen = Vec::new();
            list.take_all(|unit| seen.push(unit));
            thread.join().unwrap();
            list.take_all(|unit| seen.push(unit));
            assert_eq!(seen.len(), 3);
            assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), 3);
        });
    }
}
