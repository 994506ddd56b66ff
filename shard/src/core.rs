//! What a service can do: the shard's face towards it.
//!
//! Invariant: nothing here calls the service. What a call brings about (a closed connection, a
//! resumed one with bytes waiting) is noted and told to the service later in the turn.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use socket2::{Domain, Protocol, Socket, Type};

use crate::buf::{Pool, ReadBuf, Slice, WriteRange};
use crate::bus::{Bus, Mailbox};
use crate::conn::{Conn, Conns, Phase, Receiving};
use crate::fs::File;
use crate::helper::Helper;
use crate::output::Spares;
use crate::service::{CloseReason, ConnId, ShardId};
use crate::stats::{self, CoreStats, Counts};
use crate::uring::{Group, Ring};

/// Below this size a copy is cheaper than a zero-copy send.
const ZERO_COPY_BYTES_MIN: usize = 32 << 10;

/// A listening socket of this shard.
pub(crate) struct Listening {
    /// Its index in the configuration.
    pub(crate) index: usize,
    pub(crate) socket: Socket,
}

/// The limits of a shard that its loop must know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connections_max: usize,
    pub(crate) small_buffer_bytes: usize,
    pub(crate) large_buffers: usize,
    pub(crate) zero_copy: bool,
    pub(crate) spin: Duration,
}

/// A shard, as its service sees it.
pub struct Core<M> {
    pub(crate) ring: Ring,
    pub(crate) conns: Conns,
    pub(crate) spares: Spares,
    pub(crate) bus: Bus<M>,
    pub(crate) mailbox: Arc<Mailbox<M>>,
    pub(crate) listening: Vec<Listening>,
    pub(crate) limits: Limits,
    pub(crate) counts: Counts,
    pub(crate) wake_at: Option<Instant>,
    pub(crate) stopping: bool,
    /// Connections with something new to send.
    pub(crate) dirty: Vec<ConnId>,
    /// Connections whose end the service has not been told.
    pub(crate) closed: Vec<(ConnId, CloseReason)>,
    /// Resumed connections with bytes waiting.
    pub(crate) replay: Vec<ConnId>,
    /// Connections paused in this turn, whose receive is to be stopped unless they are resumed.
    pub(crate) pausing: Vec<ConnId>,
    /// Bytes that arrived for paused connections.
    pub(crate) stashed: usize,
    /// Connections that wait for receive buffers, in rotation.
    pub(crate) starved: VecDeque<ConnId>,
    /// Descriptors of ended connections, closed once all that names them is submitted.
    pub(crate) graveyard: Vec<OwnedFd>,
    pool: Pool,
    helper: Helper<M>,
    now: Instant,
    wall_ms: i64,
    /// When it was made, by both clocks.
    made: (Instant, i64),
}

/// The parts a [`Core`] is made of.
pub(crate) struct Parts<M> {
    pub(crate) ring: Ring,
    pub(crate) bus: Bus<M>,
    pub(crate) mailbox: Arc<Mailbox<M>>,
    pub(crate) helper: Helper<M>,
    pub(crate) pool: Pool,
    pub(crate) listening: Vec<Listening>,
    pub(crate) limits: Limits,
}

impl<M: Send + 'static> Core<M> {
    pub(crate) fn new(parts: Parts<M>) -> Core<M> {
        let mut core = Core {
            ring: parts.ring,
            conns: Conns::default(),
            spares: Spares::default(),
            bus: parts.bus,
            mailbox: parts.mailbox,
            listening: parts.listening,
            limits: parts.limits,
            counts: Counts::default(),
            wake_at: None,
            stopping: false,
            dirty: Vec::new(),
            closed: Vec::new(),
            replay: Vec::new(),
            pausing: Vec::new(),
            stashed: 0,
            starved: VecDeque::new(),
            graveyard: Vec::new(),
            pool: parts.pool,
            helper: parts.helper,
            now: Instant::now(),
            wall_ms: 0,
            made: (Instant::now(), 0),
        };
        core.tick();
        core.made = (core.now, core.wall_ms);
        core
    }

    /// Looks at the clocks; done once per turn.
    pub(crate) fn tick(&mut self) {
        self.now = Instant::now();
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        self.wall_ms = since.map_or(0, |since| since.as_millis() as i64);
    }

    /// This shard.
    pub fn shard(&self) -> ShardId {
        self.bus.me()
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.bus.shards()
    }

    /// When this turn began.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// When this turn began, in milliseconds since 1970.
    pub fn wall_ms(&self) -> i64 {
        self.wall_ms
    }

    /// The same for timeouts: it agreed with the wall clock when the shard started, and does not
    /// step when that is set.
    pub fn steady_ms(&self) -> i64 {
        let (made, wall_ms) = self.made;
        wall_ms + self.now.duration_since(made).as_millis() as i64
    }

    /// Chunk memory of this shard.
    pub fn pool(&mut self) -> &mut Pool {
        &mut self.pool
    }

    /// Connections of this shard, with those still being taken down.
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// What the loop has counted about itself. Costs a system call.
    pub fn stats(&self) -> CoreStats {
        let Counts { turns, turns_busy, messages, connections_refused } = self.counts;
        CoreStats {
            cpu: stats::thread_cpu(),
            turns,
            turns_busy,
            submissions: self.ring.submissions(),
            messages,
            messages_waiting: self.bus.waiting(),
            connections: self.connections(),
            connections_refused,
        }
    }

    /// Sends bytes, by copying them. All output of a turn leaves a connection together.
    pub fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        if let Some(found) = self.conns.get_mut(conn).filter(|found| found.is_open()) {
            found.output.push(bytes, &mut self.spares);
            self.mark_dirty(conn);
        }
    }

    /// Sends bytes without copying them, in order with [`Core::send`]; they are kept until sent.
    pub fn send_slice(&mut self, conn: ConnId, slice: Slice) {
        if let Some(found) = self.conns.get_mut(conn).filter(|found| found.is_open()) {
            found.output.push_slice(slice);
            self.mark_dirty(conn);
        }
    }

    /// Bytes of a connection's output that the kernel has not taken yet.
    pub fn queued_bytes(&self, conn: ConnId) -> usize {
        self.conns.get(conn).map_or(0, |found| found.output.bytes() + found.sending)
    }

    /// Stops receiving. No `received` is called until [`Core::resume`]; what the kernel has
    /// taken in already is kept until then.
    pub fn pause(&mut self, conn: ConnId) {
        let Some(found) = self.conns.get_mut(conn).filter(|found| !found.paused) else { return };
        found.paused = true;
        if found.receiving == Receiving::On {
            self.pausing.push(conn);
        }
    }

    /// Bytes that are kept for paused connections, of all together.
    pub fn stashed_bytes(&self) -> usize {
        self.stashed
    }

    /// Goes on receiving.
    pub fn resume(&mut self, conn: ConnId) {
        let Some(found) = self.conns.get_mut(conn).filter(|found| found.paused) else { return };
        found.paused = false;
        if found.ended || !found.stash.is_empty() {
            self.replay.push(conn);
        } else {
            self.arm(conn);
        }
    }

    /// Closes when all output queued so far has been sent. Nothing more is received from it, and
    /// what is sent after this call is dropped.
    pub fn close(&mut self, conn: ConnId) {
        let Some(found) = self.conns.get_mut(conn).filter(|found| found.is_open()) else { return };
        let unsent = found.output.bytes() + found.sending > 0;
        if unsent && found.phase == Phase::Open {
            found.phase = Phase::Flushing;
        } else {
            self.end(conn, CloseReason::Local);
        }
    }

    /// Closes at once; output not yet sent is dropped.
    pub fn abort(&mut self, conn: ConnId) {
        self.end(conn, CloseReason::Local);
    }

    /// Connects to a peer. The outcome is told by [`crate::Service::connected`] or
    /// [`crate::Service::closed`]; what is sent before waits for it.
    pub fn connect(&mut self, to: SocketAddr) -> io::Result<ConnId> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        let conn = self.conns.insert(Conn::new(socket.into(), Phase::Connecting));
        let fd = self.conns.get(conn).map(Conn::descriptor).expect("just inserted");
        self.ring.connect(Conns::key(conn), fd, to);
        Ok(conn)
    }

    /// Writes whole blocks to a file; see [`crate::Service::disk_done`].
    pub fn write(&mut self, file: &File, at: u64, range: WriteRange, token: u64) {
        self.ring.write(file.clone(), at, range, token);
    }

    /// Reads as many bytes as the buffer takes.
    pub fn read(&mut self, file: &File, at: u64, buf: ReadBuf, token: u64) {
        let bytes = buf.capacity();
        self.ring.read(file.clone(), at, buf, bytes, token);
    }

    /// Reads up to `bytes` into the start of the buffer.
    pub fn read_part(&mut self, file: &File, at: u64, buf: ReadBuf, bytes: usize, token: u64) {
        self.ring.read(file.clone(), at, buf, bytes, token);
    }

    /// Flushes a file's data (fdatasync).
    pub fn sync(&mut self, file: &File, token: u64) {
        self.ring.sync(file.clone(), token);
    }

    /// Waits for what of a file's `range` is being written back, tells whether that failed, and
    /// begins to write back the rest of what the page cache holds of it.
    pub fn write_back(&mut self, file: &File, range: Range<u64>, token: u64) {
        self.ring.write_back(file.clone(), range, token);
    }

    /// Allocates `from..to` of a file and extends its size.
    pub fn allocate(&mut self, file: &File, from: u64, to: u64, token: u64) {
        self.ring.allocate(file.clone(), from, to, token);
    }

    /// Sends a message to a shard. A full lane gives it back.
    pub fn post(&mut self, to: ShardId, message: M) -> Result<(), M> {
        self.bus.post(to, message)
    }

    /// Runs a job on this shard's helper thread, after those given before; its result arrives as
    /// a message from this shard itself. A job must not panic.
    pub fn blocking(&mut self, job: Box<dyn FnOnce() -> M + Send>) {
        self.helper.give(job);
    }

    /// Asks for [`crate::Service::timer`] at this time; the last call counts.
    pub fn wake_at(&mut self, at: Option<Instant>) {
        self.wake_at = at;
    }

    /// Ends this shard's loop after this turn. Connections are dropped; file operations in
    /// flight run to their end, unheard.
    pub fn stop(&mut self) {
        self.stopping = true;
    }
}

impl<M> Core<M> {
    pub(crate) fn mark_dirty(&mut self, conn: ConnId) {
        if let Some(found) = self.conns.get_mut(conn)
            && !found.dirty
        {
            found.dirty = true;
            self.dirty.push(conn);
        }
    }

    /// Starts receiving, if the connection is in a state to.
    pub(crate) fn arm(&mut self, conn: ConnId) {
        let Some(found) = self.conns.get_mut(conn) else { return };
        let wanted = found.phase == Phase::Open && !found.paused && !found.ended;
        if wanted && found.receiving == Receiving::Off {
            found.receiving = Receiving::On;
            self.ring.receive(Conns::key(conn), found.descriptor(), found.group);
        }
    }

    /// Stops the receive, to start it again on other buffers.
    pub(crate) fn move_to(&mut self, conn: ConnId, group: Group) {
        let Some(found) = self.conns.get_mut(conn) else { return };
        found.misfits = 0;
        found.group = group;
        if found.receiving == Receiving::On {
            found.receiving = Receiving::Stopping;
            self.ring.cancel_receive(Conns::key(conn));
        }
    }

    /// The connection is over. Its id is dead from here on; the service is told later.
    pub(crate) fn end(&mut self, conn: ConnId, why: CloseReason) {
        self.take_down(conn, Some(why));
    }

    /// A connection that the service never knew.
    pub(crate) fn forget(&mut self, conn: ConnId) {
        self.take_down(conn, None);
    }

    fn take_down(&mut self, conn: ConnId, why: Option<CloseReason>) {
        let Some(found) = self.conns.get_mut(conn) else { return };
        if found.phase == Phase::Dead {
            return;
        }
        found.phase = Phase::Dead;
        self.stashed -= std::mem::take(&mut found.stash).len();
        found.output.clear(&mut self.spares);
        if found.in_ring() {
            self.ring.cancel_all_of(found.descriptor());
        }
        if let Some(why) = why {
            self.closed.push((conn, why));
        }
        self.free_if_done(conn);
    }

    /// Frees a dead connection once the ring has nothing of it.
    pub(crate) fn free_if_done(&mut self, conn: ConnId) {
        let done = self.conns.get(conn).is_some_and(|c| c.phase == Phase::Dead && !c.in_ring());
        if done {
            self.graveyard.push(self.conns.remove(conn).fd);
        }
    }

    /// Hands new output to the ring.
    pub(crate) fn flush_output(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for conn in dirty.drain(..) {
            let Some(found) = self.conns.get_mut(conn) else { continue };
            found.dirty = false;
            let sends = matches!(found.phase, Phase::Open | Phase::Flushing);
            if !sends || found.sending > 0 {
                continue;
            }
            if let Some(batch) = found.output.take(&mut self.spares) {
                found.sending = batch.bytes();
                let zero_copy = self.limits.zero_copy && batch.bytes() >= ZERO_COPY_BYTES_MIN;
                self.ring.send(Conns::key(conn), found.descriptor(), batch, zero_copy);
            }
        }
        self.dirty = dirty;
    }

    /// Stops the receives of connections that were paused in this turn and still are: a pause that
    /// ends within its turn costs nothing.
    pub(crate) fn stop_paused(&mut self) {
        let mut pausing = std::mem::take(&mut self.pausing);
        for conn in pausing.drain(..) {
            let Some(found) = self.conns.get_mut(conn) else { continue };
            let is_alive = found.phase != Phase::Dead;
            if is_alive && found.paused && found.receiving == Receiving::On {
                found.receiving = Receiving::Stopping;
                self.ring.cancel_receive(Conns::key(conn));
            }
        }
        self.pausing = pausing;
    }

    /// Gives connections that ran out of buffers another try, a few at a time, in rotation.
    pub(crate) fn rearm_starved(&mut self) {
        for _ in 0..self.starved.len().min(self.limits.large_buffers) {
            let Some(conn) = self.starved.pop_front() else { break };
            let Some(found) = self.conns.get_mut(conn) else { continue };
            if found.receiving == Receiving::Starved {
                found.receiving = Receiving::Off;
                self.arm(conn);
            }
        }
    }
}
