//! Memory for what has arrived of requests and is not handled yet: on one shard, of all connections
//! together.
//!
//! Invariants: beyond the budget (an eighth of the shard's memory) a connection that holds more
//! than [`INPUT_SMALL`] receives no more and waits, as it does for everything else here. Those that
//! wait go on in their order, each until its request is whole, as long as what they lack fits into
//! twice the budget; one of them goes on in any case, so somebody always does. Any other connection
//! that would grow beyond twice the budget is refused. While somebody waits, a client that takes
//! its time over a request is refused too.

use std::collections::VecDeque;

use ringlog_shard::ConnId;

use super::{ShardCore, Shell};
use crate::session::{Session, Stall};

/// A connection may hold this much whatever others hold, bytes.
const INPUT_SMALL: usize = 16 << 10;
/// Whoever sends less than this of a request in a second takes its time, bytes.
const SLOW_BYTES: usize = 16 << 10;
/// And after so many such seconds in a row has taken too much.
const SLOW_TICKS: u32 = 5;

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// Bytes that sessions hold.
    pub bytes: usize,
    /// Connections that wait for room.
    pub waiting: VecDeque<ConnId>,
    /// Bytes set aside for those that have waited and go on.
    reserved: usize,
}

impl Shell {
    /// What all connections may hold before some wait, bytes.
    pub(super) fn input_budget(&self) -> usize {
        (self.shared.config.memory_per_shard / 8) as usize
    }

    /// Bytes that all connections hold, with what arrived for them after they were held back.
    pub(super) fn input_held(&self, core: &ShardCore) -> usize {
        self.input.bytes + core.stashed_bytes()
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
        if now <= before || now <= INPUT_SMALL || session.reserved > 0 {
            return;
        }
        // One that is alone may send a request larger than the budget.
        let (held, budget) = (self.input_held(core), self.input_budget());
        let has_others = held > now;
        if has_others && held > 2 * budget {
            self.refuse(core, conn, "the shard's memory for unfinished requests is used up");
        } else if has_others && held > budget && session.stalled.is_none() && !session.closing {
            self.stall(core, conn, Stall::Input);
        }
    }

    /// A request of `conn` was handled: what was set aside for it is free again.
    pub(super) fn input_handled(&mut self, conn: ConnId) {
        if self.input.reserved > 0
            && let Some(session) = self.sessions.get_mut(&conn)
        {
            self.input.reserved -= std::mem::take(&mut session.reserved);
        }
    }

    /// The connection of `session` is gone.
    pub(super) fn input_left(&mut self, session: &Session<impl std::ops::Deref<Target = [u8]>>) {
        self.input.bytes -= session.input_bytes();
        self.input.reserved -= session.reserved;
    }

    /// Lets connections go on that wait for room.
    pub(super) fn resume_inputs(&mut self, core: &mut ShardCore) {
        while let Some(&conn) = self.input.waiting.front()
            && !self.stopping
        {
            let missing = self.sessions.get(&conn).map_or(0, Session::missing_bytes);
            let held = self.input_held(core) + self.input.reserved;
            if self.input.reserved > 0 && held + missing > 2 * self.input_budget() {
                return;
            }
            self.input.waiting.pop_front();
            if let Some(session) = self.sessions.get_mut(&conn) {
                // Never nothing: it says that the connection has waited.
                session.reserved = missing.max(1);
                self.input.reserved += session.reserved;
            }
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
            if somebody_waits && ticks >= SLOW_TICKS {
                slow.push(*conn);
            }
        }
        for conn in slow {
            self.refuse(core, conn, "it takes its time over a request while others wait");
        }
    }
}
