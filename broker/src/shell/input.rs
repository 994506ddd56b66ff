//! Memory for what has arrived of requests and is not handled yet: on one shard, of all connections
//! together.
//!
//! Invariants: beyond the budget (an eighth of the shard's memory) a connection that holds more
//! than [`INPUT_SMALL`] receives no more until there is room again, so a client that sends too much
//! waits, as it does for everything else here. One of those that wait goes on whatever the others
//! hold, until its request is whole: somebody always gets on, and that request is all that is held
//! beyond twice the budget, for any other connection that would grow then is refused. While
//! somebody waits, a client that takes its time over a request is refused too.

use std::collections::VecDeque;

use ringlog_shard::ConnId;

use super::frames::STUCK_TICKS;
use super::{ShardCore, Shell};
use crate::session::{Session, Stall};

/// A connection may hold this much whatever others hold, bytes.
const INPUT_SMALL: usize = 16 << 10;
/// What a connection is expected to receive in a turn when it may go on, bytes.
const INPUT_STEP: usize = 64 << 10;
/// Whoever sends less than this of a request in a second takes its time, bytes.
const SLOW_BYTES: usize = 64 << 10;

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// Bytes that all connections hold.
    pub bytes: usize,
    /// Connections that wait for room.
    pub waiting: VecDeque<ConnId>,
    /// The one that goes on whatever the others hold.
    first: Option<ConnId>,
}

impl Input {
    /// A request of `conn` was handled.
    pub fn got_on(&mut self, conn: ConnId) {
        self.first = self.first.filter(|first| *first != conn);
    }

    /// `conn` is gone, with the `bytes` that it held.
    pub fn left(&mut self, conn: ConnId, bytes: usize) {
        self.bytes -= bytes;
        self.got_on(conn);
    }
}

impl Shell {
    /// What all connections may hold before some wait, bytes.
    pub(super) fn input_budget(&self) -> usize {
        (self.shared.config.memory_per_shard / 8) as usize
    }

    /// Bytes that `conn` holds.
    pub(super) fn input_of(&self, conn: ConnId) -> usize {
        self.sessions.get(&conn).map_or(0, Session::input_bytes)
    }

    /// `conn` held `before` bytes: keeps what all hold within the budget.
    pub(super) fn input_changed(&mut self, core: &mut ShardCore, conn: ConnId, before: usize) {
        let Some(session) = self.sessions.get(&conn) else { return };
        let now = session.input_bytes();
        self.input.bytes = self.input.bytes + now - before;
        if now <= before || now <= INPUT_SMALL || self.input.first == Some(conn) {
            return;
        }
        // One that is alone may send a request larger than the budget.
        let others = self.input.bytes - now;
        let budget = self.input_budget();
        if others > 0 && self.input.bytes > 2 * budget {
            self.refuse(core, conn, "the shard's memory for unfinished requests is used up");
        } else if others > 0 && self.input.bytes > budget && !session.closing {
            self.stall(core, conn, Stall::Input);
        }
    }

    /// Lets connections go on that wait for room.
    pub(super) fn resume_inputs(&mut self, core: &mut ShardCore) {
        if self.stopping {
            return;
        }
        let room = self.input_budget().saturating_sub(self.input.bytes);
        for _ in 0..room / INPUT_STEP {
            let Some(conn) = self.input.waiting.pop_front() else { return };
            self.unstall(core, conn);
        }
        if self.input.first.is_some() {
            return;
        }
        // Who holds most is likely to need the least, and its end frees the most.
        let held = |at: &usize| self.input_of(self.input.waiting[*at]);
        let most = (0..self.input.waiting.len()).max_by_key(held);
        if let Some(conn) = most.and_then(|at| self.input.waiting.remove(at)) {
            self.input.first = Some(conn).filter(|conn| self.sessions.contains_key(conn));
            self.unstall(core, conn);
        }
    }

    /// Closes connections that take their time over a request while others wait for the memory.
    /// To be called every second.
    pub(super) fn close_slow_writers(&mut self, core: &mut ShardCore) {
        let somebody_waits = !self.input.waiting.is_empty();
        let mut slow = Vec::new();
        for (conn, session) in &mut self.sessions {
            let now = session.input_bytes();
            let (seen, ticks) = session.input_seen;
            let is_slow = session.stalled.is_none()
                && now > INPUT_SMALL
                && (seen..seen + SLOW_BYTES).contains(&now);
            let ticks = if is_slow { ticks + 1 } else { 0 };
            session.input_seen = (now, ticks);
            if somebody_waits && ticks >= STUCK_TICKS {
                slow.push(*conn);
            }
        }
        for conn in slow {
            self.refuse(core, conn, "it takes its time over a request while others wait");
        }
    }
}
