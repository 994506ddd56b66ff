//! From bytes to requests: a connection's input is cut into frames, each frame goes to its API, and
//! what cannot go on now is held back and tried again in turn.
//!
//! Invariants: a frame that is whole in the receive buffer is handled there, without a copy; a
//! connection that is held back keeps at most what had already arrived (receiving is paused), and
//! gets its turn after those before it; one that has had its share of a turn ([`crate::fair`])
//! is held back until the others have had theirs.

use ringlog_shard::ConnId;
use ringlog_shard::buf::Slice;
use ringlog_wire::frame::{SIZE_BYTES, frame_size};
use ringlog_wire::header::{self, RequestHeader, RequestPrefix};

use super::{ShardCore, Shell};
use crate::api::{self, Outcome, Request};
use crate::metrics::Refused;
use crate::session::{
    INFLIGHT_PER_CONNECTION_MAX, OUTPUT_PER_CONNECTION_MAX, Reply, Session, Stall, Started,
};

/// What became of a frame.
enum Frame {
    Handled,
    /// Not looked at; try again later.
    Held(Stall),
    /// The connection is finished.
    Closed,
}

/// Replies behind an unanswered request that do not make their reader a stuck one, bytes.
const READY_SMALL: usize = 64 << 10;
/// Ticks without progress after which a reader counts as stuck.
const STUCK_TICKS: u32 = 5;
/// Memory that a request may need beyond its own size: a fresh chunk of the largest size for a few
/// partitions.
const MEMORY_RESERVE: usize = 4 << 20;

impl Shell {
    /// Bytes arrived on `conn`.
    pub(super) fn on_bytes(&mut self, core: &mut ShardCore, conn: ConnId, bytes: &[u8]) {
        let frame_max = self.frame_bytes_max();
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        session.active_ms = core.steady_ms();
        if session.closing || self.stopping {
            return;
        }
        if session.stalled.is_some() {
            return session.keep(bytes);
        }
        let mut rest = bytes;
        if session.input_bytes() > 0 {
            match session.complete(rest, frame_max) {
                Err(error) => return self.refuse(core, conn, &error.to_string()),
                Ok((_, false)) => return,
                Ok((moved, true)) => rest = &rest[moved..],
            }
            if !self.handle_input(core, conn) {
                if let Some(session) = self.sessions.get_mut(&conn) {
                    session.keep(rest);
                }
                return;
            }
        }
        let used = self.handle_frames(core, conn, rest);
        if let Some(session) = self.sessions.get_mut(&conn)
            && used < rest.len()
        {
            session.keep(&rest[used..]);
        }
    }

    /// Handles the frames that are whole in the held input. Says whether the connection may go on
    /// reading.
    fn handle_input(&mut self, core: &mut ShardCore, conn: ConnId) -> bool {
        let Some(session) = self.sessions.get_mut(&conn) else { return false };
        let (input, from) = session.take_input();
        let used = self.handle_frames(core, conn, &input[from..]);
        match self.sessions.get_mut(&conn) {
            Some(session) => {
                session.restore(input, from + used);
                session.stalled.is_none() && !session.closing
            }
            None => false,
        }
    }

    /// Handles whole frames from the front of `bytes`; says how many bytes they were.
    fn handle_frames(&mut self, core: &mut ShardCore, conn: ConnId, bytes: &[u8]) -> usize {
        let frame_max = self.frame_bytes_max();
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            let size = match frame_size(rest, frame_max) {
                Ok(Some(size)) if size <= rest.len() => size,
                Ok(_) => return used,
                Err(error) => {
                    self.refuse(core, conn, &error.to_string());
                    return bytes.len();
                }
            };
            match self.handle_frame(core, conn, &rest[SIZE_BYTES..size]) {
                Frame::Handled => {
                    used += size;
                    self.input_handled(conn);
                }
                Frame::Closed => return bytes.len(),
                Frame::Held(why) => {
                    self.stall(core, conn, why);
                    return used;
                }
            }
        }
    }

    /// One request: header, version, then its API.
    fn handle_frame(&mut self, core: &mut ShardCore, conn: ConnId, frame: &[u8]) -> Frame {
        let prefix = match header::parse_prefix(frame) {
            Ok(prefix) => prefix,
            Err(_) => return self.close_frame(core, conn, "a frame too short for a header"),
        };
        if let Some(why) = self.must_wait(core, conn, prefix.key, frame.len()) {
            return Frame::Held(why);
        }
        let Some(api) = ringlog_wire::api::find(prefix.key) else {
            let why = format!("unknown API key {}", prefix.key);
            return self.close_frame(core, conn, &why);
        };
        if !api.serves(prefix.version) {
            return self.unserved_version(core, conn, prefix, api.name);
        }
        let (header, body) = match RequestHeader::parse(api, frame) {
            Ok(parsed) => parsed,
            Err(error) => {
                let why = format!("malformed {} header: {error}", api.name);
                return self.close_frame(core, conn, &why);
            }
        };
        let Some(session) = self.sessions.get_mut(&conn) else { return Frame::Closed };
        let sequence = session.begin(Started { key: api.key, at: core.now() });
        self.counters.request(api.key, header.version);
        let request = Request {
            conn,
            sequence,
            api,
            version: header.version,
            correlation_id: header.correlation_id,
            client_id: header.client_id,
            body,
        };
        match api::dispatch(self, core, &request) {
            Outcome::Reply(reply) => self.reply(core, conn, sequence, Some(reply)),
            Outcome::Silence => self.reply(core, conn, sequence, None),
            Outcome::Parked => {}
            Outcome::Close(why) => return self.close_frame(core, conn, &why),
        }
        Frame::Handled
    }

    /// Rules 1 and 8: ApiVersions of any version is answered, anything else closes the connection.
    fn unserved_version(
        &mut self,
        core: &mut ShardCore,
        conn: ConnId,
        prefix: RequestPrefix,
        name: &str,
    ) -> Frame {
        if prefix.key != ringlog_wire::api::api_versions::API.key {
            let why = format!("{name} v{} is not served", prefix.version);
            return self.close_frame(core, conn, &why);
        }
        let Some(session) = self.sessions.get_mut(&conn) else { return Frame::Closed };
        let sequence = session.begin(Started { key: prefix.key, at: core.now() });
        self.counters.request(prefix.key, prefix.version);
        let reply = api::api_versions::unsupported_version(prefix.correlation_id);
        self.reply(core, conn, sequence, Some(reply.into()));
        Frame::Handled
    }

    /// Whether the next request of `conn`, of `bytes`, has to wait, and for what.
    fn must_wait(
        &mut self,
        core: &mut ShardCore,
        conn: ConnId,
        key: i16,
        bytes: usize,
    ) -> Option<Stall> {
        let session = self.sessions.get_mut(&conn)?;
        if session.inflight() >= INFLIGHT_PER_CONNECTION_MAX
            || !session.fetches.is_empty()
            || core.queued_bytes(conn) + session.ready_bytes() >= OUTPUT_PER_CONNECTION_MAX
        {
            return Some(Stall::Replies);
        }
        if !session.share.take(self.turn, bytes) {
            return Some(Stall::Turn);
        }
        // Only records need memory: everything else is answered however short it is.
        if key != ringlog_wire::api::produce::API.key {
            return None;
        }
        if self.outbox_bytes > (self.shared.config.memory_per_shard / 16) as usize {
            return Some(Stall::Memory);
        }
        // A request larger than all memory must not wait for ever: what does not fit is refused by
        // its log.
        let wanted = (bytes + MEMORY_RESERVE).min(core.pool().budget_bytes() / 2);
        let enough = self.make_room(core, wanted);
        (!enough).then_some(Stall::Memory)
    }

    /// Holds `conn` back: nothing more is received until its turn comes.
    pub(super) fn stall(&mut self, core: &mut ShardCore, conn: ConnId, why: Stall) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        if session.stalled.replace(why).is_none() {
            core.pause(conn);
            match why {
                Stall::Replies => {}
                Stall::Memory => self.stalled.push_back(conn),
                Stall::Turn => self.rotation.push(conn),
                Stall::Input => self.input.waiting.push_back(conn),
            }
        }
    }

    /// Lets `conn` go on, if what it waited for is there.
    pub(super) fn unstall(&mut self, core: &mut ShardCore, conn: ConnId) {
        if self.stopping {
            return;
        }
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        if session.stalled.take().is_none() {
            return;
        }
        let before = self.input_of(conn);
        if self.handle_input(core, conn) {
            core.resume(conn);
        }
        self.input_changed(core, conn, before);
    }

    /// Gives connections that have more than their share of this turn further ones, in rotation,
    /// and ends the turn.
    pub(super) fn rotate(&mut self, core: &mut ShardCore) {
        self.rotation.begin();
        while !self.stopping
            && let Some(conn) = self.rotation.next_turn()
        {
            if let Some(session) = self.sessions.get_mut(&conn) {
                session.share.renew();
            }
            self.unstall(core, conn);
            let had = self.sessions.get_mut(&conn).map(|session| session.share.renew());
            self.rotation.spend(had.unwrap_or_default());
        }
        self.turn += 1;
    }

    /// Gives connections that wait for memory their turn, first come first served.
    pub(super) fn resume_stalled(&mut self, core: &mut ShardCore) {
        for _ in 0..self.stalled.len() {
            if self.stopping || !self.make_room(core, 2 * MEMORY_RESERVE) {
                return;
            }
            let Some(conn) = self.stalled.pop_front() else { return };
            self.unstall(core, conn);
        }
    }

    /// All output of `conn` is out.
    pub(super) fn on_drained(&mut self, core: &mut ShardCore, conn: ConnId) {
        match self.sessions.get(&conn) {
            Some(session) if session.stalled == Some(Stall::Replies) => self.unstall(core, conn),
            _ => {}
        }
    }

    /// Answers request `sequence` of `conn`, and sends whatever is now in turn.
    pub(crate) fn reply(
        &mut self,
        core: &mut ShardCore,
        conn: ConnId,
        sequence: u64,
        mut reply: Option<Reply<Slice>>,
    ) {
        if reply.as_ref().is_some_and(|reply| reply.bytes.is_empty()) {
            return self.refuse(core, conn, "the answer is larger than a frame can be");
        }
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        let errors =
            reply.as_mut().map_or_else(Vec::new, |reply| std::mem::take(&mut reply.errors));
        let started = session.answer(sequence, reply);
        errors.into_iter().for_each(|code| self.counters.error(started.key, code));
        self.counters.answered(started.key, core.now().saturating_duration_since(started.at));
        while let Some(reply) = session.next_reply() {
            send(core, conn, reply);
        }
        let below = session.inflight() < INFLIGHT_PER_CONNECTION_MAX / 2;
        let quiet = session.inflight() == 0;
        if session.closing && quiet {
            core.close(conn);
        } else if session.stalled == Some(Stall::Replies)
            && below
            && session.fetches.is_empty()
            && core.queued_bytes(conn) + session.ready_bytes() < OUTPUT_PER_CONNECTION_MAX
        {
            // Not at once: this may be called from within the handling of another frame.
            session.stalled = Some(Stall::Memory);
            self.stalled.push_back(conn);
        }
    }

    fn close_frame(&mut self, core: &mut ShardCore, conn: ConnId, why: &str) -> Frame {
        self.refuse(core, conn, why);
        Frame::Closed
    }

    /// Closes a connection whose client broke the protocol, with one line that says how.
    pub(crate) fn refuse(&mut self, core: &mut ShardCore, conn: ConnId, why: &str) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        session.closing = true;
        self.counters.refused(Refused::Protocol);
        if self.lines.allow() {
            tracing::warn!(peer = %session.peer, why, "connection refused");
        }
        core.abort(conn);
    }

    /// Bytes of replies that `conn` holds: on their way, or behind one that is not there yet.
    pub(crate) fn output_of(&self, core: &ShardCore, conn: ConnId) -> usize {
        let ready = self.sessions.get(&conn).map_or(0, Session::ready_bytes);
        core.queued_bytes(conn) + ready
    }

    /// Closes connections whose clients take nothing of what is queued for them while the shard is
    /// short of memory, or let it wait behind an earlier request: what they hold on to is missed by
    /// everyone else.
    pub(super) fn close_stuck_readers(&mut self, core: &mut ShardCore) {
        let short = core.pool().free_bytes() < 2 * MEMORY_RESERVE;
        let mut stuck = Vec::new();
        for (conn, session) in &mut self.sessions {
            // A few short answers behind a slow write are not what is missed.
            let ready = Some(session.ready_bytes()).filter(|bytes| *bytes > READY_SMALL);
            let held = core.queued_bytes(*conn) + ready.unwrap_or(0);
            let (seen, ticks) = session.output_seen;
            let ticks = if held > 0 && held == seen { ticks + 1 } else { 0 };
            session.output_seen = (held, ticks);
            if short && ticks >= STUCK_TICKS {
                stuck.push(*conn);
            }
        }
        for conn in stuck {
            self.refuse(core, conn, "it reads nothing while the shard is short of memory");
        }
    }

    fn frame_bytes_max(&self) -> u32 {
        self.shared.config.defaults.socket_request_max_bytes as u32
    }

    /// Closes connections that have been silent for `connections.max.idle.ms`.
    pub(super) fn close_idle_connections(&mut self, core: &mut ShardCore) {
        let idle_ms = self.shared.config.defaults.connections_max_idle_ms;
        if idle_ms < 0 {
            return;
        }
        let before = core.steady_ms() - idle_ms;
        let is_idle =
            |session: &Session<Slice>| session.active_ms < before && session.inflight() == 0;
        let idle: Vec<ConnId> =
            self.sessions.iter().filter(|(_, s)| is_idle(s)).map(|(conn, _)| *conn).collect();
        self.counters.connections_closed.idle += idle.len() as u64;
        for conn in idle {
            core.abort(conn);
        }
    }
}

fn send(core: &mut ShardCore, conn: ConnId, reply: Reply<Slice>) {
    let mut sent = 0;
    for (at, slice) in reply.splices {
        core.send(conn, &reply.bytes[sent..at]);
        core.send_slice(conn, slice);
        sent = at;
    }
    core.send(conn, &reply.bytes[sent..]);
}
