//! The producing engine: connections to the leaders, each with its flow of prebuilt requests.
//!
//! Closed loop: every connection keeps its requests in flight. Open loop: requests leave when the
//! schedule says, or as soon after as a slot is free. A connection that is lost is made again, and
//! its flow goes on where it was; a run ends well only when every request was acknowledged.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::IoSlice;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::{Poll, Registry, Token};
use ringlog_wire::api;

mod coordination;
pub mod flow;
pub mod frames;
pub mod records;
pub mod transactions;

use crate::ack_log::AckLog;
use crate::client::{Connection, Readiness, SLICES_MAX};
use crate::cluster::{Cluster, PARTITIONS_DEFAULT};
use crate::control::{self, Control};
use crate::drive::{self, Engine, TICK};
use crate::error::Error;
use crate::hdr_log::{self, HdrLog};
use crate::keys::Keys;
use crate::lane::{self, Backoff};
use crate::live::Row;
use crate::meter::{Intended, Meter, WallClock};
use crate::options::{Acks, Codec, Common, ProduceOptions, Producing};
use crate::rate::Schedule;
use crate::report::{Commits, Report};
use crate::tally::Tally;
use coordination::{Coordination, transactional_id};
use flow::{Flow, Making, Setup};
use frames::{Frame, Framing, Pattern};
use records::{Maker, Order, Recipe};
use transactions::{FEATURE_IMPLICIT, PRODUCE_IMPLICIT};

/// How many writes one connection makes before the others get their turn.
const WRITES_PER_TURN: usize = 16;
/// How many different batches are prebuilt where they differ, at most, and of how many bytes
/// together: what a processor's cache still holds.
const PATTERNS_MAX: usize = 64;
const PATTERN_BYTES_MAX: usize = 1024 * 1024;
/// The version of Produce from which batches may be compressed with zstd.
const PRODUCE_ZSTD: i16 = 7;

/// Runs `ringlog-loadgen produce`. An `Err` is a run that could not start; one that failed later
/// says so in its report.
pub fn run(options: &ProduceOptions) -> Result<Report<ProduceOptions>, Error> {
    options.check()?;
    let mut poll = Poll::new().map_err(|error| Error::io("poll", error))?;
    let registry = poll.registry().try_clone().map_err(|error| Error::io("poll", error))?;
    let run = Run { id: lane::run_id(), clock: WallClock::start() };
    let cluster = if options.bare { None } else { Some(Cluster::open(&options.common)?) };
    let log = hdr_log::open(&options.common, &run.clock)?;
    let mut producer = Producer::open(&options.common, &options.producing, cluster, registry, run)?;
    producer.log(&log);
    let result = drive::drive(&mut poll, &mut producer, &options.common);
    let mut report = producer.report(options.clone(), result.err());
    report.finish(&log);
    Ok(report)
}

/// What tells this run's messages from another's.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// The upper bits of every producer id.
    pub id: u64,
    /// The clock of the stamps.
    pub clock: WallClock,
}

/// A leader, its partitions, and the requests that go to it.
type Group = (i32, Rc<Vec<i32>>, Rc<Vec<Frame>>);

/// One connection and its requests.
#[derive(Debug)]
struct Lane {
    leader: i32,
    partitions: Rc<Vec<i32>>,
    connection: Option<Connection>,
    flow: Flow,
    backoff: Backoff,
    /// Since when there is no connection.
    down_since: Option<Instant>,
    /// Of a transactional producer.
    coordination: Option<Coordination>,
    /// The place of its next request in the schedule of all; of its next message when it lingers.
    next: u64,
    /// When it sends next if it lingers, however few messages it has then.
    ready_at: Instant,
    /// Requests begun before measuring.
    begun_before: u64,
}

/// The engine.
#[derive(Debug)]
pub struct Producer {
    options: Producing,
    common: Common,
    run: Run,
    registry: Registry,
    cluster: Option<Cluster>,
    setup: Rc<Setup>,
    lanes: Vec<Lane>,
    /// What was counted.
    pub tally: Tally,
    /// How long commits took.
    pub commits: Meter,
    schedule: Option<Schedule>,
    due: u64,
    again: Vec<usize>,
    begin_at: Instant,
    stop_at: Option<Instant>,
    remaining: Option<u64>,
    stopping: bool,
    is_closing: bool,
    look_at: Instant,
}

impl Producer {
    /// Connects everything. Without a cluster it speaks the bare protocol.
    pub fn open(
        common: &Common,
        options: &Producing,
        cluster: Option<Cluster>,
        registry: Registry,
        run: Run,
    ) -> Result<Producer, Error> {
        let by_leader = match &cluster {
            Some(cluster) => cluster.by_leader(),
            None => {
                let batches = options.partitions_per_request as i32;
                BTreeMap::from([(0, (0..batches.max(PARTITIONS_DEFAULT)).collect())])
            }
        };
        let leaders: Vec<i32> = by_leader.keys().copied().collect();
        lane::check_connections(common.connections, leaders.len())?;
        let mut tally = Tally::default();
        let framing = negotiate(common, options, &cluster, &leaders, run, &mut tally)?;
        let now = Instant::now();
        let setup = Rc::new(setup(common, options, framing, run));
        if let Some(path) = &options.ack_log {
            tally.ack_log = Some(AckLog::open(path)?);
        }
        let mut producer = Producer {
            options: options.clone(),
            common: common.clone(),
            run,
            registry,
            cluster,
            setup,
            lanes: Vec::new(),
            tally,
            commits: Meter::default(),
            schedule: None,
            due: 0,
            again: Vec::new(),
            begin_at: now,
            stop_at: None,
            remaining: common.messages,
            stopping: false,
            is_closing: false,
            look_at: now,
        };
        producer.connect_all(&by_leader)?;
        producer.start();
        Ok(producer)
    }

    /// Its latencies go there.
    pub fn log(&mut self, log: &Option<Rc<RefCell<HdrLog>>>) {
        self.tally.meter.track = hdr_log::track(log, "produce");
        if self.options.transactional.is_some() {
            self.commits.track = hdr_log::track(log, "end-txn");
        }
    }

    /// How many poll tokens it uses, from 0 on.
    pub fn tokens(common: &Common, options: &Producing) -> usize {
        common.connections * if options.transactional.is_some() { 2 } else { 1 }
    }

    fn connect_all(&mut self, by_leader: &BTreeMap<i32, Vec<i32>>) -> Result<(), Error> {
        let groups: Vec<Group> = by_leader
            .iter()
            .map(|(leader, partitions)| {
                let frames =
                    templates(&self.setup, partitions, self.options.partitions_per_request);
                (*leader, Rc::new(partitions.clone()), Rc::new(frames))
            })
            .collect();
        for index in 0..self.common.connections {
            let (leader, partitions, frames) = &groups[index % groups.len()];
            let flow = Flow::new(
                Rc::clone(&self.setup),
                Rc::clone(frames),
                index / groups.len(),
                self.common.inflight,
                self.run.id << 16 | index as u64,
            );
            self.lanes.push(Lane {
                leader: *leader,
                partitions: Rc::clone(partitions),
                connection: None,
                flow,
                backoff: Backoff::default(),
                down_since: None,
                coordination: None,
                next: index as u64,
                ready_at: Instant::now(),
                begun_before: 0,
            });
            self.connect(index)?;
        }
        Ok(())
    }

    fn start(&mut self) {
        let now = Instant::now();
        self.begin_at = now + Duration::from_secs_f64(self.common.warmup);
        let duration = self.common.duration.map(Duration::from_secs_f64);
        self.stop_at = duration.map(|duration| self.begin_at + duration);
        let requests = self.lanes.iter().map(|lane| lane.flow.next_messages() as f64);
        let mean = match self.options.linger_ms {
            Some(_) => 1.0,
            None => requests.sum::<f64>() / self.lanes.len() as f64,
        };
        self.schedule = self.options.rate.map(|rate| Schedule::new(now, rate, mean));
        self.again = (0..self.lanes.len()).collect();
    }

    /// Opens the connection of a lane to its leader.
    fn connect(&mut self, index: usize) -> Result<(), Error> {
        let lane = &mut self.lanes[index];
        let token = Token(index);
        let Some(cluster) = &self.cluster else {
            let address = &self.common.bootstrap;
            let stream = control::connect(address)?;
            lane.connection = Some(Connection::new(stream, address, &self.registry, token)?);
            return Ok(());
        };
        let mut control = cluster.connect(lane.leader)?;
        let negotiated =
            control.versions().negotiate(&api::produce::API, self.options.produce_version)?;
        if let Framing::Kafka { version, .. } = self.setup.framing
            && negotiated < version
        {
            return Err(Error::Broker(format!(
                "broker {} serves Produce up to {negotiated}, the run began with {version}; \
                 give --produce-version {negotiated}",
                lane.leader
            )));
        }
        if self.options.is_idempotent() && lane.flow.identity.is_none() {
            match self.options.transactional {
                None => lane.flow.identity = Some(control.init_producer_id(None)?),
                Some(requests) => self.enlist(index, requests)?,
            }
        }
        let peer = control.peer().to_owned();
        let stream = control.into_stream();
        let connection = Connection::new(stream, &peer, &self.registry, token)?;
        self.lanes[index].connection = Some(connection);
        Ok(())
    }

    /// The run's report.
    pub fn report<O: serde::Serialize>(&mut self, options: O, failure: Option<Error>) -> Report<O> {
        let retries = self.lanes.iter().map(|lane| lane.flow.retries).sum();
        let mut report = self.tally.report("produce", self.run.id, retries, options);
        let step = self.lanes.len() as u64;
        let begun: u64 = self.lanes.iter().map(|lane| lane.next / step).sum();
        report.unsent = self.due.saturating_sub(begun);
        if self.options.transactional.is_some() {
            self.commits.end(Instant::now(), 0);
            let (committed, latency) = (self.commits.measured.messages, self.commits.latency());
            report.transactions = Some(Commits { committed, latency });
        }
        let served = || self.lanes.iter().map(|lane| lane.flow.begun() - lane.begun_before);
        (report.served_least, report.served_most) = (served().min(), served().max());
        report.failure = failure.map(|error| error.to_string());
        report
    }

    /// Fills and writes as much as there is room for.
    fn pump(&mut self, index: usize) -> Result<(), Error> {
        for _ in 0..WRITES_PER_TURN {
            self.fill(index);
            self.coordinate(index);
            let lane = &mut self.lanes[index];
            let Some(connection) = &mut lane.connection else { return Ok(()) };
            if !lane.flow.has_queued() || !connection.is_writable() {
                return Ok(());
            }
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = lane.flow.slices(&mut slices);
            match connection.send(&slices[..count]) {
                Ok(bytes) => {
                    if !self.setup.answered {
                        self.tally.now = Instant::now();
                    }
                    lane.flow.sent(bytes, &mut self.tally);
                }
                Err(error) => return self.lost(index, error),
            }
        }
        self.again.push(index);
        Ok(())
    }

    fn fill(&mut self, index: usize) {
        let now = self.tally.now;
        while !self.stopping
            && self.lanes[index].connection.is_some()
            && self.lanes[index].flow.can_fill()
            && self.may_begin(index)
            && let Some((intended, messages)) = self.next_due(index, now)
        {
            let lane = &mut self.lanes[index];
            lane.flow.fill(intended, messages, now);
            if let Some(coordination) = &mut lane.coordination {
                coordination.transactions.begun();
            }
            if let Some(remaining) = &mut self.remaining
                && self.tally.meter.is_measuring()
            {
                *remaining = remaining.saturating_sub(messages);
                self.stopping |= *remaining == 0;
            }
        }
    }

    /// What a connection is to send now, if anything, and when that was meant to be sent.
    fn next_due(&mut self, index: usize, now: Instant) -> Option<(Intended, u64)> {
        let step = self.lanes.len() as u64;
        let lane = &mut self.lanes[index];
        let room = lane.flow.next_messages();
        let Some(schedule) = self.schedule else { return Some((Intended::at(now), room)) };
        let first = schedule.at(lane.next);
        let Some(linger) = self.options.linger() else {
            lane.next += step * u64::from(first <= now);
            return (first <= now).then_some((Intended::at(first), room));
        };
        // The places in the schedule from its own on, every `step`th, that have come.
        let arrived = schedule.due(now).saturating_sub(lane.next).div_ceil(step);
        let full = schedule.at(lane.next + (room - 1) * step);
        lane.ready_at = full.min(first + linger);
        if arrived < room && now < lane.ready_at || arrived == 0 {
            return None;
        }
        let count = arrived.min(room);
        lane.next += count * step;
        let interval = schedule.at(lane.next) - first;
        let intended = Intended { first, step: interval / count as u32, count: count as u32 };
        Some((intended, count))
    }

    fn receive(&mut self, index: usize) -> Result<(), Error> {
        let lane = &mut self.lanes[index];
        let Some(connection) = &mut lane.connection else { return Ok(()) };
        let (flow, tally) = (&mut lane.flow, &mut self.tally);
        let received = connection.receive(|content| flow.answer(content, tally));
        if let Some(log) = &mut self.tally.ack_log {
            log.flush()?;
        }
        match received {
            Ok(()) => {
                if lane.flow.is_failing() && lane.flow.is_quiet() && !lane.backoff.is_waiting() {
                    lane.backoff.wait(self.tally.now);
                } else if !lane.flow.is_failing() {
                    lane.backoff = Backoff::default();
                }
                Ok(())
            }
            Err(error) => self.lost(index, error),
        }
    }

    /// Handles a lost connection; other errors go on to the caller.
    fn lost(&mut self, index: usize, error: Error) -> Result<(), Error> {
        if !error.is_connection_loss() {
            return Err(error);
        }
        if !self.stopping || !self.lanes[index].flow.is_idle() {
            self.tally.error("connection lost", || error.to_string());
        }
        let lane = &mut self.lanes[index];
        lane.connection = None;
        lane.down_since.get_or_insert(self.tally.now);
        lane.flow.lost();
        lane.backoff.wait(self.tally.now);
        Ok(())
    }

    /// Sends again what waits for it, over a new connection if need be.
    fn mend(&mut self, index: usize) -> Result<(), Error> {
        let partitions = Rc::clone(&self.lanes[index].partitions);
        let leader = match &mut self.cluster {
            Some(cluster) => cluster.leader_of(&partitions),
            None => Ok(0),
        };
        let connected = leader.and_then(|leader| {
            let lane = &mut self.lanes[index];
            if lane.leader == leader && lane.connection.is_some() {
                return Ok(());
            }
            lane.leader = leader;
            lane.connection = None;
            self.connect(index)?;
            self.tally.reconnections += 1;
            Ok(())
        });
        match connected {
            Ok(()) => {
                self.lanes[index].backoff.stop();
                self.lanes[index].down_since = None;
                self.lanes[index].flow.resubmit();
                self.pump(index)
            }
            Err(error) if error.is_connection_loss() => {
                self.tally.error("reconnection failed", || error.to_string());
                self.lanes[index].backoff.wait(Instant::now());
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Looks after deadlines and backoffs.
    fn look(&mut self, now: Instant) -> Result<(), Error> {
        self.look_at = now + TICK;
        for index in 0..self.lanes.len() {
            let lane = &self.lanes[index];
            let late =
                |since: Instant| now.saturating_duration_since(since) > self.common.timeout();
            // One that was lost with all of its answers in awaits none.
            let is_needed = !self.stopping || !lane.flow.is_idle();
            if is_needed && lane.down_since.is_some_and(late) {
                let what = "a connection could not be made again";
                return Err(self.tally.timed_out(what, self.common.timeout));
            }
            if let Some(oldest) = lane.flow.oldest()
                && late(oldest)
            {
                let unanswered: u64 = self.lanes.iter().map(|lane| lane.flow.unanswered()).sum();
                let what = format!("{unanswered} messages were not acknowledged");
                return Err(self.tally.timed_out(&what, self.common.timeout));
            }
            if lane.backoff.is_over(now) {
                self.mend(index)?;
            }
            self.look_at_coordinator(index, now)?;
        }
        Ok(())
    }

    /// Steps the connections whose requests have come due.
    fn pump_due(&mut self, schedule: Schedule, now: Instant) -> Result<Instant, Error> {
        let due = schedule.due(now);
        let before = std::mem::replace(&mut self.due, due);
        if self.options.linger_ms.is_some() {
            return self.pump_ready(now);
        }
        let connections = self.lanes.len() as u64;
        for n in before.max(due.saturating_sub(connections))..due {
            self.pump((n % connections) as usize)?;
        }
        Ok(schedule.at(due))
    }

    /// Steps the connections that have lingered enough. One that has no room for another request
    /// is stepped when an answer makes some.
    fn pump_ready(&mut self, now: Instant) -> Result<Instant, Error> {
        let mut next = now + TICK;
        for index in 0..self.lanes.len() {
            if self.lanes[index].ready_at <= now {
                self.pump(index)?;
            }
            let ready_at = self.lanes[index].ready_at;
            if ready_at > now {
                next = next.min(ready_at);
            }
        }
        Ok(next)
    }
}

impl Engine for Producer {
    fn ready(&mut self, index: usize, ready: Readiness) -> Result<(), Error> {
        self.tally.now = Instant::now();
        if let Some(index) = index.checked_sub(self.lanes.len()) {
            self.coordinator_ready(index, ready)?;
            return self.pump(index);
        }
        if let Some(connection) = &mut self.lanes[index].connection {
            connection.note(ready);
        }
        if ready.readable {
            self.receive(index)?;
            self.tally.now = Instant::now();
        }
        self.pump(index)
    }

    fn tick(&mut self, now: Instant) -> Result<Option<Instant>, Error> {
        self.tally.tick(now);
        self.commits.tick(now, 0);
        if !self.tally.meter.is_measuring() && now >= self.begin_at {
            self.tally.meter.begin(now);
            self.commits.begin(now);
            self.lanes.iter_mut().for_each(|lane| lane.begun_before = lane.flow.begun());
        }
        self.stopping |= self.stop_at.is_some_and(|at| now >= at);
        if self.stopping && !std::mem::replace(&mut self.is_closing, true) {
            // The last transactions are to be committed, full or not.
            self.again = (0..self.lanes.len()).collect();
        }
        if now >= self.look_at {
            self.look(now)?;
        }
        for index in std::mem::take(&mut self.again) {
            self.pump(index)?;
        }
        let next = match self.schedule {
            Some(schedule) if !self.stopping => Some(self.pump_due(schedule, now)?),
            _ => None,
        };
        Ok(if self.again.is_empty() { next } else { Some(now) })
    }

    fn is_finished(&self) -> bool {
        let is_open = |coordination: &Coordination| coordination.transactions.is_open();
        let is_done =
            |lane: &Lane| lane.flow.is_idle() && !lane.coordination.as_ref().is_some_and(is_open);
        self.stopping && self.lanes.iter().all(is_done)
    }

    fn stop(&mut self) {
        self.stopping = true;
    }

    fn progress(&mut self) -> Vec<Row> {
        self.tally.row("produce").into_iter().collect()
    }
}

/// What the connections share.
fn setup(common: &Common, options: &Producing, framing: Framing, run: Run) -> Setup {
    let making = options.making(common);
    let recipe = Recipe {
        message_bytes: options.message_bytes,
        keys: options.keys,
        compression: options.compression.compression(),
        clock: run.clock,
    };
    let mut maker = Maker::new(recipe);
    // Of fresh requests only the partitions are prebuilt.
    let messages = if making == Making::Fresh { 1 } else { options.batch_messages as u64 };
    let transactional = options.transactional.is_some();
    let order = || Order { transactional, ..Order::plain(messages, Instant::now()) };
    let mut pattern = || Pattern::new(maker.batch(&order()));
    let mut patterns = vec![pattern()];
    if options.keys != Keys::None && making != Making::Fresh {
        let fit = PATTERN_BYTES_MAX / patterns[0].bytes().len();
        patterns.resize_with(fit.clamp(1, PATTERNS_MAX), pattern);
    }
    Setup {
        framing,
        patterns,
        batch_messages: options.batch_messages as u64,
        maker: RefCell::new(maker),
        making,
        verify: common.verify,
        answered: options.acks != Acks::None,
        idempotent: options.is_idempotent(),
        transactional: options.transactional.is_some(),
        clock: run.clock,
    }
}

/// One request for each group of a leader's partitions, and each pattern.
fn templates(setup: &Setup, partitions: &[i32], per_request: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    for (number, pattern) in setup.patterns.iter().enumerate() {
        for group in partitions.chunks(per_request) {
            let batch = |partition: &i32| (*partition, pattern.bytes().to_vec());
            let mut frame = setup.framing.frame(group.iter().map(batch).collect());
            frame.parts.iter_mut().for_each(|part| part.pattern = number);
            frames.push(frame);
        }
    }
    frames
}

/// The version of Produce that every leader speaks.
fn negotiate(
    common: &Common,
    options: &Producing,
    cluster: &Option<Cluster>,
    leaders: &[i32],
    run: Run,
    tally: &mut Tally,
) -> Result<Framing, Error> {
    let Some(cluster) = cluster else { return Ok(Framing::Bare) };
    let mut version = options.produce_version.unwrap_or(i16::MAX);
    for leader in leaders {
        let control: Control = cluster.connect(*leader)?;
        let known = control.versions();
        if options.transactional.is_some()
            && known.feature("transaction.version") < FEATURE_IMPLICIT
        {
            version = version.min(PRODUCE_IMPLICIT - 1);
        }
        version = known.negotiate(&api::produce::API, Some(version))?;
    }
    if options.compression == Codec::Zstd && version < PRODUCE_ZSTD {
        return Err(Error::Usage(format!(
            "--compression zstd needs Produce v{PRODUCE_ZSTD}, this run speaks v{version}"
        )));
    }
    tally.versions.insert(api::produce::API.name, version);
    Ok(Framing::Kafka {
        version,
        acks: options.acks.code(),
        timeout_ms: (common.timeout * 1e3) as i32,
        topic: cluster.topic().to_owned(),
        topic_id: cluster.topic_id(),
        transactional_id: options.transactional.map(|_| transactional_id(run.id, 0)),
    })
}
