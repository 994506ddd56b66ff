//! The loop's turn: *take messages → reap completions → call the service → `turn_end` → submit*.
//!
//! Invariants: one system call per turn, and none while there is nothing to submit or to reap. What
//! another shard posted before it answered a client is heard before what that client sends next:
//! the kernel fills the completion queue only within the call that ends a turn, and messages are
//! taken after that call, before the queue is looked at.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::conn::{Conn, Conns, Phase, Receiving};
use crate::core::Core;
use crate::service::{CloseReason, ConnId, Service, ShardId};
use crate::uring::{Completion, Group, RawCompletion, Received, SendBatch, Wait};

/// Connections of one listener that are taken in a turn at most, before those that are there have
/// theirs.
const ACCEPTS_ARMED: usize = 8;
/// How long accepting rests when the process has no descriptors or memory left.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// At most one line about refused connections in this time.
const REFUSAL_LOG_EVERY: Duration = Duration::from_secs(10);

/// Receives that fit a small buffer, in a row, after which a connection moves to small ones.
const SMALL_RECEIVES_TO_MOVE: u8 = 64;

/// What a turn found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There was something to do.
    Busy,
    /// There was nothing.
    Idle,
    /// The shard is to stop.
    Stop,
}

/// A shard: a service and its core, and the turn that drives them.
pub(crate) struct Shard<S: Service> {
    service: S,
    pub(crate) core: Core<S::Message>,
    raw: Vec<RawCompletion>,
    messages: Vec<(ShardId, S::Message)>,
    /// Listeners to accept on again, and when.
    resting: Vec<usize>,
    resting_until: Option<Instant>,
    refused: u64,
    refusal_logged: Option<Instant>,
}

impl<S: Service> Shard<S> {
    pub(crate) fn new(service: S, core: Core<S::Message>) -> Shard<S> {
        Shard {
            service,
            core,
            raw: Vec::new(),
            messages: Vec::new(),
            resting: Vec::new(),
            resting_until: None,
            refused: 0,
            refusal_logged: None,
        }
    }

    /// Before the first turn.
    pub(crate) fn start(&mut self) {
        self.core.tick();
        self.service.start(&mut self.core);
        for listening in &self.core.listening {
            for _ in 0..ACCEPTS_ARMED {
                self.core.ring.accept(listening.index, listening.socket.as_raw_fd());
            }
        }
    }

    /// Has the ring tell of what other threads post.
    pub(crate) fn watch_mailbox(&mut self) {
        self.core.ring.poll(self.core.mailbox.bell.as_raw_fd());
    }

    /// One turn.
    pub(crate) fn turn(&mut self) -> io::Result<Turn> {
        self.core.tick();
        let mut busy = self.deliver_messages();
        busy |= self.completions();
        busy |= self.timers();
        busy |= self.deliver_replays();
        busy |= self.deliver_closed();
        self.service.turn_end(&mut self.core);
        self.core.stop_paused();
        self.core.flush_output();
        self.core.rearm_starved();
        let Core { bus, ring, .. } = &mut self.core;
        bus.bells(|descriptor| ring.ring_doorbell(descriptor));
        if ring.needs_submit() {
            ring.submit(Wait::No)?;
        }
        self.core.graveyard.clear();
        if self.core.stopping || self.core.mailbox.is_stopped() {
            return Ok(Turn::Stop);
        }
        self.core.counts.turns += 1;
        self.core.counts.turns_busy += u64::from(busy);
        Ok(if busy { Turn::Busy } else { Turn::Idle })
    }

    /// Whether the next turn would find something; no system call.
    pub(crate) fn has_work(&mut self) -> bool {
        let core = &mut self.core;
        core.ring.has_completions()
            || !core.bus.is_empty()
            || core.mailbox.is_waiting()
            || !core.closed.is_empty()
            || !core.replay.is_empty()
            || !core.starved.is_empty()
            || !core.dirty.is_empty()
    }

    /// How long the shard may sleep; `None`: for ever.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let deadlines = [self.core.wake_at, self.resting_until];
        let next = deadlines.into_iter().flatten().min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// How long the shard looks for work before it sleeps.
    pub(crate) fn spin(&self) -> Duration {
        self.core.limits.spin
    }

    /// Says that the shard is about to sleep. `false`: there is work after all.
    pub(crate) fn fall_asleep(&mut self) -> bool {
        self.core.bus.set_sleeping(true);
        let sleeps = !self.has_work() && !self.core.mailbox.is_stopped();
        if !sleeps {
            self.core.bus.set_sleeping(false);
        }
        sleeps
    }

    pub(crate) fn wake_up(&mut self) {
        self.core.bus.set_sleeping(false);
    }

    /// After the last turn: the service is told of nothing any more.
    pub(crate) fn finish(mut self) {
        for conn in self.core.conns.ids() {
            self.core.forget(conn);
        }
    }

    fn completions(&mut self) -> bool {
        let mut raw = std::mem::take(&mut self.raw);
        self.core.ring.reap(&mut raw);
        let busy = !raw.is_empty();
        for entry in raw.drain(..) {
            if let Some(completion) = self.core.ring.interpret(entry) {
                self.complete(completion);
            }
        }
        self.raw = raw;
        busy
    }

    fn complete(&mut self, completion: Completion) {
        match completion {
            Completion::Received { conn, result, more } => {
                let conn = self.core.conns.by_key(conn);
                self.received(conn, result, more);
            }
            Completion::Sent { conn, result, batch } => {
                let conn = self.core.conns.by_key(conn);
                self.sent(conn, result, batch);
            }
            Completion::Disk { token, result, read } => {
                self.service.disk_done(&mut self.core, token, result, read);
            }
            Completion::Accepted { listener, result } => {
                self.accepted(listener, result);
            }
            Completion::Connected { conn, result } => {
                let conn = self.core.conns.by_key(conn);
                self.connected(conn, result);
            }
            Completion::Readable { more } => {
                if !more {
                    self.watch_mailbox();
                }
            }
            Completion::Doorbell => {}
        }
    }

    fn received(&mut self, conn: ConnId, result: io::Result<Option<Received>>, more: bool) {
        if !more {
            let found = self.core.conns.get_mut(conn).expect("kept until the ring is done");
            found.receiving = Receiving::Off;
        }
        match result {
            Ok(Some(buffer)) => {
                self.bytes(conn, &buffer);
                self.fit_group(conn, &buffer);
                self.core.ring.recycle(buffer);
            }
            Ok(None) => self.input_ended(conn),
            Err(error) => self.receive_failed(conn, &error),
        }
        if !more {
            self.core.arm(conn);
            self.core.free_if_done(conn);
        }
    }

    fn bytes(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(found) = self.core.conns.get_mut(conn) else { return };
        if found.phase != Phase::Open {
            return;
        }
        if found.paused || !found.stash.is_empty() {
            found.stash.extend_from_slice(bytes);
            self.core.stashed += bytes.len();
        } else {
            self.service.received(&mut self.core, conn, bytes);
        }
    }

    fn input_ended(&mut self, conn: ConnId) {
        let Some(found) = self.core.conns.get_mut(conn) else { return };
        if found.paused || !found.stash.is_empty() {
            found.ended = true;
        } else {
            self.core.end(conn, CloseReason::Peer);
        }
    }

    fn receive_failed(&mut self, conn: ConnId, error: &io::Error) {
        match error.raw_os_error() {
            Some(libc::ENOBUFS) => {
                let Some(found) = self.core.conns.get_mut(conn) else { return };
                if found.phase == Phase::Open {
                    found.receiving = Receiving::Starved;
                    self.core.starved.push_back(conn);
                }
            }
            Some(libc::ECANCELED | libc::EINTR | libc::EAGAIN) => {}
            code => self.core.end(conn, CloseReason::Error(code.unwrap_or(libc::EIO))),
        }
    }

    /// Moves a connection between the large and the small receive buffers, by what it sends.
    fn fit_group(&mut self, conn: ConnId, buffer: &Received) {
        let small = self.core.limits.small_buffer_bytes;
        let Some(found) = self.core.conns.get_mut(conn) else { return };
        if found.phase != Phase::Open || found.group != buffer.group() {
            return;
        }
        match found.group {
            Group::Small if buffer.len() == small => self.core.move_to(conn, Group::Large),
            Group::Large if buffer.len() <= small / 2 => {
                found.misfits += 1;
                if found.misfits >= SMALL_RECEIVES_TO_MOVE {
                    self.core.move_to(conn, Group::Small);
                }
            }
            _ => found.misfits = 0,
        }
    }

    fn sent(&mut self, conn: ConnId, result: io::Result<usize>, batch: Option<Box<SendBatch>>) {
        let core = &mut self.core;
        let found = core.conns.get_mut(conn).expect("kept until the ring is done");
        let dead = found.phase == Phase::Dead;
        if let (Ok(bytes), Some(mut rest)) = (&result, batch) {
            rest.advance(*bytes);
            if rest.bytes() > 0 && !dead {
                found.sending = rest.bytes();
                core.ring.send(Conns::key(conn), found.descriptor(), rest, false);
                return;
            }
            core.spares.put_back(rest);
        }
        found.sending = 0;
        match result {
            _ if dead => core.free_if_done(conn),
            Err(error) => {
                let code = error.raw_os_error().unwrap_or(libc::EIO);
                core.end(conn, CloseReason::Error(code));
            }
            Ok(_) if found.output.bytes() > 0 => core.mark_dirty(conn),
            Ok(_) if found.phase == Phase::Flushing => core.end(conn, CloseReason::Local),
            Ok(_) => self.service.drained(core, conn),
        }
    }

    fn connected(&mut self, conn: ConnId, result: io::Result<()>) {
        let core = &mut self.core;
        let found = core.conns.get_mut(conn).expect("kept until the ring is done");
        found.connecting = false;
        if found.phase == Phase::Dead {
            return core.free_if_done(conn);
        }
        if let Err(error) = result {
            let code = error.raw_os_error().unwrap_or(libc::EIO);
            return core.end(conn, CloseReason::ConnectFailed(code));
        }
        found.phase = Phase::Open;
        core.mark_dirty(conn);
        self.start_receiving(conn);
        self.service.connected(&mut self.core, conn);
    }

    fn accepted(&mut self, listener: usize, result: io::Result<OwnedFd>) {
        if !matches!(&result, Err(error) if out_of_resources(error)) {
            self.accept_again(listener);
        }
        match result {
            Ok(fd) if self.core.conns.len() >= self.core.limits.connections_max => {
                drop(fd);
                self.refuse("connections_max is reached");
            }
            Ok(fd) => self.admit(listener, fd),
            Err(error) if out_of_resources(&error) => {
                self.resting.push(listener);
                self.resting_until = Some(self.core.now() + ACCEPT_REST);
                self.refuse("the process has no descriptors or memory left");
            }
            // The peer went away before it was accepted.
            Err(_) => {}
        }
    }

    fn accept_again(&mut self, listener: usize) {
        let found = self.core.listening.iter().find(|listening| listening.index == listener);
        let found = found.expect("a listener of this shard");
        self.core.ring.accept(listener, found.socket.as_raw_fd());
    }

    fn admit(&mut self, listener: usize, fd: OwnedFd) {
        let socket = socket2::Socket::from(fd);
        let peer = socket.peer_addr().ok().and_then(|addr| addr.as_socket());
        // No address: the peer has gone already.
        let Some(peer) = peer else { return };
        let conn = self.core.conns.insert(Conn::new(socket.into(), Phase::Open));
        if self.service.accepted(&mut self.core, conn, listener, peer) {
            self.start_receiving(conn);
        } else {
            self.core.forget(conn);
        }
    }

    /// With few connections all of them receive into large buffers from the start.
    fn start_receiving(&mut self, conn: ConnId) {
        let few = self.core.conns.len() <= self.core.limits.large_buffers;
        if let Some(found) = self.core.conns.get_mut(conn) {
            found.group = if few { Group::Large } else { Group::Small };
        }
        self.core.arm(conn);
    }

    fn refuse(&mut self, why: &str) {
        self.refused += 1;
        self.core.counts.connections_refused += 1;
        let now = self.core.now();
        if self.refusal_logged.is_none_or(|last| now - last >= REFUSAL_LOG_EVERY) {
            self.refusal_logged = Some(now);
            let shard = self.core.shard();
            tracing::warn!(%shard, refused = self.refused, "connections are refused: {why}");
        }
    }

    fn deliver_messages(&mut self) -> bool {
        let mut messages = std::mem::take(&mut self.messages);
        if self.core.mailbox.is_waiting() {
            let me = self.core.shard();
            let posted = self.core.mailbox.take();
            messages.extend(posted.into_iter().map(|message| (me, message)));
        }
        self.core.bus.take(&mut messages);
        let busy = !messages.is_empty();
        self.core.counts.messages += messages.len() as u64;
        for (from, message) in messages.drain(..) {
            self.service.message(&mut self.core, from, message);
        }
        self.messages = messages;
        busy
    }

    fn timers(&mut self) -> bool {
        let now = self.core.now();
        let mut busy = false;
        if self.resting_until.is_some_and(|at| at <= now) {
            self.resting_until = None;
            for listener in std::mem::take(&mut self.resting) {
                self.accept_again(listener);
            }
            busy = true;
        }
        if self.core.wake_at.is_some_and(|at| at <= now) {
            self.core.wake_at = None;
            self.service.timer(&mut self.core);
            busy = true;
        }
        busy
    }

    /// Gives resumed connections what arrived while they were paused.
    fn deliver_replays(&mut self) -> bool {
        let replay = std::mem::take(&mut self.core.replay);
        let busy = !replay.is_empty();
        for conn in replay {
            let Some(found) = self.core.conns.get_mut(conn) else { continue };
            if found.paused || found.phase != Phase::Open {
                continue;
            }
            let stash = std::mem::take(&mut found.stash);
            self.core.stashed -= stash.len();
            if !stash.is_empty() {
                self.service.received(&mut self.core, conn, &stash);
            }
            let Some(found) = self.core.conns.get_mut(conn) else { continue };
            if found.paused {
                continue;
            }
            if found.ended {
                self.core.end(conn, CloseReason::Peer);
            } else {
                self.core.arm(conn);
            }
        }
        busy
    }

    fn deliver_closed(&mut self) -> bool {
        if self.core.closed.is_empty() {
            return false;
        }
        for (conn, why) in std::mem::take(&mut self.core.closed) {
            self.service.closed(&mut self.core, conn, why);
        }
        true
    }
}

fn out_of_resources(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    matches!(code, Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
