//! The thin shell of one shard: it takes the shard's events, hands them to the state machines, and
//! carries out what they decide. Everything that decides is in [`crate::session`],
//! [`crate::partition`], [`crate::api`], [`crate::metadata`] and `storage`.
//!
//! Where a produce request goes: [`Service::received`] → `frames.rs` (whole frames) →
//! `api/produce.rs` (check, append, wait) → `logs.rs` at the turn's end (group commit) →
//! [`Service::disk_done`] → `logs.rs` (acknowledge) → the reply.

mod checkpoints;
mod closing;
mod control;
mod control_queue;
mod coordinators;
mod files;
mod frames;
mod input;
mod lifecycle;
mod logs;
mod metrics;
mod reads;
mod segment_file;
pub mod topology;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringlog_shard::buf::{Pool, ReadBuf, Slice};
use ringlog_shard::fs::{DataDir, Volume};
use ringlog_shard::{CloseReason, ConnId, Core, Service, ShardId};
use ringlog_storage::{FileId, Log};
use ringlog_wire::batch::Codecs;

pub use checkpoints::carry_out;
pub use control::{ControlAnswer, ControlAsk, Seat, append_batch, random_uuid};
pub use files::BlockingDisk;
pub use lifecycle::{ClosedLog, ClosedShard, METADATA_TOPIC_ID, OpenedLog, partition_dir};
pub use logs::Hosted;
pub use reads::{BlockingRead, ColdRead, ReadFor};
pub(crate) use reads::{Searches, within_a_read};
pub use segment_file::SegmentFile;

use crate::api::fetch::PendingFetch;
use crate::api::produce::PendingProduce;
use crate::api::produce::verify::PendingVerification;
use crate::api::{PendingAsks, PendingControl, PendingOffsets, ReplyTo};
use crate::config::Config;
use crate::connections::Connections;
use crate::fair::Rotation;
use crate::limiter::LineLimiter;
use crate::memory::LogMemory;
use crate::message::{Message, TopicPartition};
use crate::metadata::{Controller, Image};
use crate::metrics::{Counters, DiskBegun, Refused};
use crate::partition::Advanced;
use crate::session::Session;
use crate::slab::{Key, Slab};
use crate::topics::Topics;

/// A shard's core with our messages.
pub type ShardCore = Core<Message>;

/// How often produce timeouts, idle connections and checkpoints are looked at.
const TICK: Duration = Duration::from_secs(1);

/// How soon messages are tried again that found their lane full.
const OUTBOX_RETRY: Duration = Duration::from_millis(1);

/// What all shards of a process share; nothing in it changes while they run, but what they leave
/// behind at the end.
pub struct Shared {
    /// The configuration.
    pub config: Config,
    /// The data directory.
    pub data: DataDir,
    /// What it is on, from before the first write: it tells of all that failed since.
    pub volume: Arc<Volume>,
    /// Whether its file system allocates space ahead (fallocate).
    pub allocates: bool,
    /// The connections of all shards, and their limits.
    pub connections: Connections,
    /// Each shard adds what it leaves behind.
    pub closed: std::sync::Mutex<Vec<ClosedShard>>,
}

/// What a disk operation in flight belongs to.
#[derive(Debug)]
pub(crate) enum DiskWork {
    /// An operation of the log in that place.
    Log { slot: Key, id: u64, file: FileId, begun: DiskBegun },
    /// A read for a fetch or a search by time.
    Read(ColdRead, DiskBegun),
    /// The kernel begins to write back what it has cached of that segment.
    WriteBack { slot: Key, file: FileId },
}

/// One shard of the broker.
pub struct Shell {
    pub(crate) shared: Arc<Shared>,
    pub(crate) shard: usize,
    pub(crate) image: Arc<Image>,
    pub(crate) topics: Topics,
    /// The image in which topics last changed, and in which one was last created: offsets of the
    /// metadata log.
    topics_version: i64,
    topics_created_version: i64,
    /// The machine's name as a rack.
    rack: String,
    pub(crate) logs: Slab<Hosted>,
    pub(crate) sessions: HashMap<ConnId, Session<Slice>>,
    pub(crate) produces: Slab<PendingProduce>,
    /// What is asked of transactions' coordinators before records are appended.
    pub(crate) verifications: Slab<PendingVerification>,
    /// Bytes of records that wait for that.
    pub(crate) verifying_bytes: usize,
    /// What compressed batches are opened with, one at a time.
    pub(crate) codecs: Codecs,
    pub(crate) fetches: Slab<PendingFetch>,
    pub(crate) fetch_sessions: crate::fetch_session::Sessions,
    pub(crate) offsets: Slab<PendingOffsets>,
    pub(crate) searches: Searches,
    pub(crate) asks: Slab<PendingAsks>,
    pub(crate) controls: Slab<PendingControl>,
    pub(crate) disk_works: Slab<DiskWork>,
    /// Logs with something to write or to tell, looked at once at the turn's end.
    pub(crate) dirty: Vec<Key>,
    /// How much they take.
    pub(crate) pace: segment_file::Pace,
    /// Connections whose next request waits, in the order in which they get their turn.
    pub(crate) stalled: VecDeque<ConnId>,
    /// Connections that have had their share of the turn and have more.
    pub(crate) rotation: Rotation<ConnId>,
    /// The number of the shard's turn.
    pub(crate) turn: u64,
    /// Messages for other shards that found their lane full, by shard. Bounded by requests in
    /// flight.
    outbox: Vec<VecDeque<Message>>,
    /// Fetches by deadline.
    pub(crate) deadlines: BTreeSet<(Instant, Key)>,
    /// Producer ids that may be given out.
    pub(crate) producer_ids: std::ops::Range<i64>,
    /// InitProducerId requests that wait for a block of ids.
    pub(crate) waiting_for_ids: Vec<ReplyTo>,
    pub(crate) asked_for_ids: bool,
    /// The coordinators whose partitions are here.
    pub(crate) coordinators: coordinators::Coordinators,
    /// The controller, on shard 0.
    pub(crate) seat: Option<Seat>,
    /// Logs being opened or removed since the last image; when none is left, the image is applied.
    pub(crate) changing: usize,
    /// Logs that are being opened, or that the disk refused to open.
    pub(crate) opening: HashMap<TopicPartition, lifecycle::OpeningLog>,
    /// Those of them whose turn has not come, and how many the helper thread has.
    to_open: VecDeque<TopicPartition>,
    opens: usize,
    pub(crate) stopping: bool,
    stopped: bool,
    stop_by: Option<Instant>,
    pub(crate) lines: LineLimiter,
    pub(crate) counters: Counters,
    /// Memory for unfinished requests.
    input: input::Input,
    /// Bytes of records on their way to other shards that found their lane full.
    pub(crate) outbox_bytes: usize,
    /// A walk over all logs freed nothing: none is made before this.
    evict_after: Option<Instant>,
    /// Somebody wanted one nevertheless.
    evict_again: bool,
    /// Whose cached chunks are given up next.
    evict_from: usize,
    checkpoints: checkpoints::Checkpoints,
    pub(crate) advanced: Advanced,
    next_tick: Option<Instant>,
    last_checkpoint_ms: i64,
    /// What was opened before the start, and is taken in at the start.
    opened: Vec<OpenedLog>,
    controller: Option<(Controller, Log<LogMemory>, Pool)>,
}

impl Shell {
    /// A shard whose logs are open already.
    pub fn new(
        shared: Arc<Shared>,
        shard: usize,
        image: Arc<Image>,
        opened: Vec<OpenedLog>,
        controller: Option<(Controller, Log<LogMemory>, Pool)>,
    ) -> Shell {
        let shards = shared.config.shards;
        Shell {
            topics_version: image.applied.offset,
            topics_created_version: image.applied.offset,
            rack: topology::rack(&shared.config),
            shared,
            shard,
            image,
            topics: Topics::default(),
            logs: Slab::default(),
            sessions: HashMap::new(),
            produces: Slab::default(),
            verifications: Slab::default(),
            verifying_bytes: 0,
            codecs: Codecs::new(),
            fetches: Slab::default(),
            fetch_sessions: crate::fetch_session::Sessions::default(),
            offsets: Slab::default(),
            searches: Searches::default(),
            asks: Slab::default(),
            controls: Slab::default(),
            disk_works: Slab::default(),
            dirty: Vec::new(),
            pace: segment_file::Pace::default(),
            stalled: VecDeque::new(),
            rotation: Rotation::default(),
            turn: 1,
            outbox: (0..shards).map(|_| VecDeque::new()).collect(),
            deadlines: BTreeSet::new(),
            producer_ids: 0..0,
            waiting_for_ids: Vec::new(),
            asked_for_ids: false,
            coordinators: coordinators::Coordinators::default(),
            seat: None,
            changing: 0,
            opening: HashMap::new(),
            to_open: VecDeque::new(),
            opens: 0,
            stopping: false,
            stopped: false,
            stop_by: None,
            lines: LineLimiter::default(),
            counters: Counters::default(),
            input: input::Input::default(),
            outbox_bytes: 0,
            evict_after: None,
            evict_again: false,
            evict_from: 0,
            checkpoints: checkpoints::Checkpoints::default(),
            advanced: Advanced::default(),
            next_tick: None,
            last_checkpoint_ms: 0,
            opened,
            controller,
        }
    }

    /// Sends `message` to shard `to`, this one included, at once or as soon as the lane has room.
    pub(crate) fn post(&mut self, core: &mut ShardCore, to: usize, message: Message) {
        let queue = &mut self.outbox[to];
        let held = match to == self.shard || !queue.is_empty() {
            true => Err(message),
            false => core.post(ShardId(to as u16), message),
        };
        if let Err(message) = held {
            self.outbox_bytes += message.records_bytes();
            queue.push_back(message);
        }
    }

    fn flush_outbox(&mut self, core: &mut ShardCore) {
        for to in 0..self.outbox.len() {
            if to == self.shard {
                // What it says to itself is heard in the same turn; an answer may bring another
                // message.
                while let Some(message) = self.outbox[to].pop_front() {
                    self.outbox_bytes -= message.records_bytes();
                    self.handle_message(core, to, message);
                }
                continue;
            }
            while let Some(message) = self.outbox[to].pop_front() {
                self.outbox_bytes -= message.records_bytes();
                if let Err(message) = core.post(ShardId(to as u16), message) {
                    self.outbox_bytes += message.records_bytes();
                    self.outbox[to].push_front(message);
                    break;
                }
            }
        }
    }

    fn handle_message(&mut self, core: &mut ShardCore, from: usize, message: Message) {
        match message {
            Message::Produce { on_behalf, version, transactional_id, parts } => {
                self.produce_for(core, from, on_behalf, (version, transactional_id), parts);
            }
            Message::Unheard { conn, error } => self.produce_unheard(core, conn, error),
            Message::Produced { request, results } => self.produced(core, request, results),
            Message::Fetch(part) => self.fetch_for(core, from, part),
            Message::Fetched { request, pass, results } => {
                self.fetched(core, request, pass, results);
            }
            Message::Wake { request } => self.wake_fetch(core, request),
            Message::Moved { session, places } => self.session_moved(core, session, &places),
            Message::Offsets { request, asks, wanted } => {
                self.offsets_for(core, from, (request, wanted), asks);
            }
            Message::OffsetsFound { request, results } => {
                self.offsets_found(core, request, results)
            }
            Message::Ask { request, asks } => self.asked(core, from, request, &asks),
            Message::Answers { request, answers } => self.answered(core, request, answers),
            Message::Coordinate { request, of, ask } => {
                self.coordinator_asked(core, from, request, of, ask);
            }
            Message::Coordinated { request, answer } => self.coordinated(core, request, answer),
            Message::Control { request, ask, bytes } => {
                self.control_asked(core, from, request, ask, bytes);
            }
            Message::Controlled { request, answer } => self.controlled(core, request, answer),
            Message::Image(image) => self.apply_image(core, image),
            Message::Applied { offset } => self.image_applied(core, from, offset),
            Message::DiskDone { token, result } => self.blocking_done(core, token, result),
            Message::BlockingRead { read, result } => self.blocking_read_done(core, *read, result),
            Message::LogOpened { of, opened } => self.log_opened(core, of, *opened),
            Message::RecoveryPoints(ends) => self.recovery_points_came(ends),
            Message::CheckpointsWritten { done } => self.checkpoints_written(core, done),
            Message::LogRemoved => self.log_removed(core),
            Message::Snapshot { detail, to } => self.answer_snapshot(core, detail, &to),
            Message::Stop => self.begin_stop(core),
        }
    }

    fn tick(&mut self, core: &mut ShardCore) {
        self.expire_produces(core);
        self.close_idle_connections(core);
        self.close_stuck_readers(core);
        self.close_slow_writers(core);
        let now_ms = core.steady_ms();
        let interval = self.shared.config.defaults.log_flush_offset_checkpoint_interval_ms;
        if now_ms - self.last_checkpoint_ms >= interval {
            self.last_checkpoint_ms = now_ms;
            self.checkpoint_logs(core);
        }
        self.tell_recovery_points(core);
        self.write_checkpoints(core);
        self.tend_coordinators(core);
        self.reopen_failed_logs(core);
        self.lines.report();
    }

    /// The earliest moment at which something must happen by itself.
    fn schedule(&mut self, core: &mut ShardCore) {
        let fetch = self.deadlines.first().map(|(at, _)| *at);
        let tick = self.next_tick;
        // A full lane does not say when it has room again.
        let held = self.outbox.iter().any(|queue| !queue.is_empty());
        let again = held.then(|| core.now() + OUTBOX_RETRY);
        // Those in rotation go on at once, after what has arrived meanwhile.
        let turn = (!self.rotation.is_empty() && !self.stopping).then(|| core.now());
        // Memory may have become free after a walk that found none, and nothing else says so.
        let walk = (self.evict_again && !self.stalled.is_empty() && !self.stopping)
            .then(|| self.evict_after.unwrap_or(core.now()));
        let coordinator = self.coordinator_deadline(core);
        let own = fetch.into_iter().chain(coordinator).chain(tick);
        core.wake_at(own.chain(again).chain(turn).chain(walk).min());
    }

    /// Whether anything is going on that time alone may end.
    fn needs_tick(&self) -> bool {
        self.stopping
            || !self.sessions.is_empty()
            || !self.produces.is_empty()
            || self.lines.is_withholding()
            || self.logs_need_tick()
    }
}

impl Service for Shell {
    type Message = Message;

    fn start(&mut self, core: &mut ShardCore) {
        self.last_checkpoint_ms = core.steady_ms();
        self.place_all_topics(core);
        if let Some((machine, log, pool)) = self.controller.take() {
            self.take_seat(machine, log, pool);
        }
        self.load_coordinators(core);
    }

    fn accepted(
        &mut self,
        core: &mut ShardCore,
        conn: ConnId,
        _listener: usize,
        peer: SocketAddr,
    ) -> bool {
        let entered = match self.stopping {
            true => Err(Refused::Stopping),
            false => self.shared.connections.enter(peer.ip()),
        };
        if let Err(why) = entered {
            self.turned_away(peer, why);
            return false;
        }
        self.counters.connections_opened += 1;
        self.sessions.insert(conn, Session::new(peer, core.steady_ms()));
        true
    }

    fn received(&mut self, core: &mut ShardCore, conn: ConnId, bytes: &[u8]) {
        let before = self.input_of(conn);
        self.on_bytes(core, conn, bytes);
        self.input_changed(core, conn, before);
    }

    fn drained(&mut self, core: &mut ShardCore, conn: ConnId) {
        self.on_drained(core, conn);
    }

    fn closed(&mut self, _core: &mut ShardCore, conn: ConnId, why: CloseReason) {
        if let Some(session) = self.sessions.remove(&conn) {
            self.shared.connections.leave(session.peer.ip());
            self.counters.connections_closed.all += 1;
            self.input_left(&session);
            for key in &session.fetches {
                self.drop_fetch(*key);
            }
            for key in &session.searches {
                self.offsets.remove(*key);
            }
            tracing::debug!(peer = %session.peer, ?why, "connection closed");
        }
    }

    fn disk_done(
        &mut self,
        core: &mut ShardCore,
        token: u64,
        result: io::Result<u32>,
        read: Option<ReadBuf>,
    ) {
        match self.disk_works.remove(Key::from_u64(token)) {
            Some(DiskWork::Log { slot, id, begun, .. }) => {
                self.count_disk_end(core, begun, result.as_ref().ok().copied());
                self.log_done(slot, id, result);
            }
            Some(DiskWork::Read(cold, begun)) => {
                self.count_disk_end(core, begun, result.as_ref().ok().copied());
                self.read_done(core, cold, result, read);
            }
            Some(DiskWork::WriteBack { slot, file }) => self.write_back_done(slot, file, result),
            None => tracing::error!(token, "a disk operation ended that nobody began"),
        }
    }

    fn message(&mut self, core: &mut ShardCore, from: ShardId, message: Message) {
        self.handle_message(core, from.index(), message);
    }

    fn timer(&mut self, core: &mut ShardCore) {
        let now = core.now();
        while let Some(&(at, key)) = self.deadlines.first() {
            if at > now {
                break;
            }
            self.deadlines.pop_first();
            self.expire_fetch(core, key);
        }
        self.coordinator_timers(core);
        if self.next_tick.is_some_and(|at| at <= now) {
            self.next_tick = None;
            self.tick(core);
        }
    }

    fn turn_end(&mut self, core: &mut ShardCore) {
        self.rotate(core);
        self.load_coordinators(core);
        self.commit(core);
        self.resume_stalled(core);
        self.resume_inputs(core);
        self.flush_outbox(core);
        self.commit(core);
        self.trim_cache(core);
        if self.next_tick.is_none() && self.needs_tick() {
            self.next_tick = Some(core.now() + TICK);
        }
        if self.stopping {
            self.try_to_stop(core);
        }
        self.schedule(core);
    }
}
