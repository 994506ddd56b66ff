//! The consuming engine: connections to the leaders, each with fetches of its partitions under way.
//!
//! A connection's partitions are dealt out to its slots, one fetch under way for each slot, since
//! the next fetch of a partition begins where the last answer ended. Sessions are not used: every
//! request names its partitions, so a connection that is lost is simply made again.

use std::io::IoSlice;
use std::time::{Duration, Instant};

use mio::{Poll, Registry, Token};
use ringlog_wire::api::fetch::{API, AbortedTransaction, FetchResponse, ResponseView};
use ringlog_wire::api::list_offsets;
use ringlog_wire::message::Message;
use ringlog_wire::{ErrorCode, client, header};

mod fetches;
pub mod reader;

use crate::ack_log::AckCheck;
use crate::checker::{Checker, Verdict};
use crate::client::{Connection, Readiness};
use crate::cluster::Cluster;
use crate::control::CLIENT_ID;
use crate::drive::{self, Engine, TICK};
use crate::error::Error;
use crate::hdr_log;
use crate::interrupt;
use crate::lane::{self, Backoff};
use crate::live::Row;
use crate::meter::{Intended, WallClock};
use crate::options::{Common, ConsumeOptions, Consuming, From};
use crate::produce::flow::Outcome;
use crate::report::Report;
use crate::tally::Tally;
use fetches::{Lane, deal, request};
use reader::{Checks, Reader, Taken, Watch};

/// Runs `ringlog-loadgen consume`. An `Err` is a run that could not start; one that failed later
/// says so in its report.
pub fn run(options: &ConsumeOptions) -> Result<Report<ConsumeOptions>, Error> {
    options.check()?;
    let mut poll = Poll::new().map_err(|error| Error::io("poll", error))?;
    let registry = poll.registry().try_clone().map_err(|error| Error::io("poll", error))?;
    let cluster = Cluster::open(&options.common)?;
    let mut acks = options.check_acks.as_deref().map(AckCheck::read).transpose()?;
    let checks = |_| Checks { checker: Checker::new(true), acks: acks.take() };
    let checked = if options.common.verify { options.consumers } else { 0 };
    let watch = Watch::new((0..checked).map(checks).collect(), None);
    let plan = Plan {
        name: "fetch",
        consumers: options.consumers,
        connections: options.common.connections,
        from: options.from,
        to_end: options.common.duration.is_none() && options.common.messages.is_none(),
        repeat: options.repeat,
        exclusive: options.common.verify,
        fresh: false,
        first_token: 0,
    };
    let mut consumer =
        Consumer::open(&options.common, &options.consuming, plan, cluster, registry, watch)?;
    let log = hdr_log::open(&options.common, &WallClock::start())?;
    consumer.tally.meter.track = hdr_log::track(&log, "fetch");
    let mut result = drive::drive(&mut poll, &mut consumer, &options.common);
    if result.is_ok() && options.common.verify && !interrupt::was_asked() {
        result = consumer.check_count();
    }
    let mut report = consumer.tally.report("consume", 0, consumer.retries, options.clone());
    report.failure = result.err().map(|error| error.to_string());
    consumer.conclude(&mut report);
    report.finish(&log);
    Ok(report)
}

/// How the topic is read.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What the live view calls it.
    pub name: &'static str,
    /// How many consumers there are, each of which reads everything.
    pub consumers: usize,
    /// How many connections each of them has.
    pub connections: usize,
    /// Where they begin.
    pub from: From,
    /// Whether they stop at the end that the topic has now.
    pub to_end: bool,
    /// Whether they begin again there.
    pub repeat: bool,
    /// Whether no two connections of a consumer may read the same partition.
    pub exclusive: bool,
    /// Whether nothing was produced yet, so that every producer is seen from its first message.
    pub fresh: bool,
    /// The poll token of the first.
    pub first_token: usize,
}

/// The engine.
#[derive(Debug)]
pub struct Consumer {
    common: Common,
    options: Consuming,
    plan: Plan,
    version: i16,
    registry: Registry,
    cluster: Cluster,
    lanes: Vec<Lane>,
    /// What was counted.
    pub tally: Tally,
    /// What is checked.
    pub watch: Watch,
    /// Fetches made again after an error.
    pub retries: u64,
    begin_at: Instant,
    stop_at: Option<Instant>,
    look_at: Instant,
    stopping: bool,
    started: bool,
}

impl Consumer {
    /// Finds the positions and connects everything.
    pub fn open(
        common: &Common,
        options: &Consuming,
        plan: Plan,
        cluster: Cluster,
        registry: Registry,
        watch: Watch,
    ) -> Result<Consumer, Error> {
        let now = Instant::now();
        let mut consumer = Consumer {
            common: common.clone(),
            options: options.clone(),
            plan,
            version: options.fetch_version.unwrap_or(i16::MAX),
            registry,
            cluster,
            lanes: Vec::new(),
            tally: Tally::default(),
            watch,
            retries: 0,
            begin_at: now,
            stop_at: None,
            look_at: now,
            stopping: false,
            started: false,
        };
        consumer.open_lanes()?;
        for index in 0..consumer.lanes.len() {
            consumer.connect(index)?;
        }
        consumer.tally.versions.insert(API.name, consumer.version);
        let now = Instant::now();
        consumer.begin_at = now + Duration::from_secs_f64(common.warmup);
        let duration = common.duration.map(Duration::from_secs_f64);
        consumer.stop_at = duration.map(|duration| consumer.begin_at + duration);
        Ok(consumer)
    }

    fn open_lanes(&mut self) -> Result<(), Error> {
        let by_leader = self.cluster.by_leader();
        lane::check_connections(self.plan.connections, by_leader.len())?;
        let leaders = by_leader.len();
        let mut from_the_start = true;
        for (place, (leader, partitions)) in by_leader.into_iter().enumerate() {
            let readers = self.positions(leader, &partitions)?;
            from_the_start &= readers.iter().all(|reader| reader.start == 0);
            let share = self.plan.connections / leaders
                + usize::from(place < self.plan.connections % leaders);
            let exclusive = if self.plan.exclusive { share.min(readers.len()) } else { share };
            for consumer in 0..self.plan.consumers {
                let own = |reader: &Reader| Reader { consumer, ..reader.clone() };
                let readers: Vec<Reader> = readers.iter().map(own).collect();
                for index in 0..exclusive {
                    self.lanes.push(deal(leader, &readers, index, exclusive, self.common.inflight));
                }
            }
        }
        if self.plan.repeat && self.is_at_end() {
            let topic = self.cluster.topic();
            return Err(Error::Usage(format!("{topic} is empty: nothing to read repeatedly")));
        }
        if !from_the_start && !self.plan.fresh {
            for checks in &mut self.watch.checks {
                checks.checker = Checker::new(false);
            }
        }
        Ok(())
    }

    /// Where the reading of a leader's partitions begins and ends.
    fn positions(&self, leader: i32, partitions: &[i32]) -> Result<Vec<Reader>, Error> {
        let topic = self.cluster.topic().to_owned();
        let mut control = self.cluster.connect(leader)?;
        self.version_of(control.versions())?;
        let isolation = self.options.isolation;
        let mut offsets = |at| control.offsets(&topic, partitions, at, isolation);
        let (earliest, latest) = (offsets(list_offsets::EARLIEST)?, offsets(list_offsets::LATEST)?);
        let reader = |&partition: &i32| {
            let (first, last) = (earliest[&partition], latest[&partition]);
            let start = match self.plan.from {
                From::Earliest => first,
                From::Latest => last,
                From::Offset(offset) if (first..=last).contains(&offset) => offset,
                From::Offset(offset) => {
                    return Err(Error::Usage(format!(
                        "--from {offset}: partition {partition} has offsets {first} to {last}"
                    )));
                }
            };
            let end = (self.plan.to_end || self.plan.repeat).then_some(last);
            Ok(Reader { consumer: 0, partition, start, position: start, end })
        };
        partitions.iter().map(reader).collect()
    }

    fn version_of(&self, versions: &crate::control::Versions) -> Result<i16, Error> {
        versions.negotiate(&API, Some(self.version))
    }

    fn connect(&mut self, index: usize) -> Result<(), Error> {
        let control = self.cluster.connect(self.lanes[index].leader)?;
        self.version = self.version_of(control.versions())?;
        let peer = control.peer().to_owned();
        let token = Token(self.plan.first_token + index);
        let stream = control.into_stream();
        let connection = Connection::new(stream, &peer, &self.registry, token)?;
        self.lanes[index].connection = Some(connection);
        self.lanes[index].down_since = None;
        Ok(())
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.lanes.len()
    }

    /// Reading ends at these offsets of the partitions (by number).
    pub fn end_at(&mut self, ends: &[i64]) {
        for slot in self.lanes.iter_mut().flat_map(|lane| &mut lane.slots) {
            for reader in &mut slot.readers {
                let end = ends.get(reader.partition as usize).copied().unwrap_or(0);
                reader.end = Some(end.max(reader.start));
            }
        }
    }

    /// Whether every partition was read to its end.
    pub fn is_at_end(&self) -> bool {
        let mut slots = self.lanes.iter().flat_map(|lane| &lane.slots);
        slots.all(|slot| slot.readers.iter().all(Reader::is_done))
    }

    /// What is still to be read.
    pub fn unread(&self) -> i64 {
        let readers = self.lanes.iter().flat_map(|lane| &lane.slots).flat_map(|slot| &slot.readers);
        readers.map(|reader| reader.end.map_or(0, |end| (end - reader.position).max(0))).sum()
    }

    /// Moves what checking found into the report.
    pub fn conclude<O>(&mut self, report: &mut Report<O>) {
        let mut sum: Option<Verdict> = None;
        for checks in std::mem::take(&mut self.watch.checks) {
            let mut acknowledged = Verdict::default();
            // Of a run that was stopped the rest of what was acknowledged was not looked for.
            if let Some(acks) = checks.acks.filter(|_| !report.stopped) {
                acks.finish(&checks.checker, &mut acknowledged);
            }
            let sum = sum.get_or_insert_default();
            sum.add(checks.checker.finish());
            sum.add(acknowledged);
        }
        report.verification = sum;
    }

    /// Asks again wherever nothing is asked, and writes what is to be written.
    fn pump(&mut self, index: usize) -> Result<(), Error> {
        let now = self.tally.now;
        let (topic, topic_id) = (self.cluster.topic(), self.cluster.topic_id());
        let lane = &mut self.lanes[index];
        let Some(connection) = &mut lane.connection else { return Ok(()) };
        if lane.backoff.is_waiting() {
            return Ok(());
        }
        for (place, slot) in lane.slots.iter_mut().enumerate() {
            if slot.busy || self.stopping || slot.readers.iter().all(Reader::is_done) {
                continue;
            }
            lane.correlation_id = lane.correlation_id.wrapping_add(1);
            slot.correlation_id = lane.correlation_id;
            (slot.busy, slot.sent) = (true, now);
            let request = request(&self.options, topic, topic_id, &slot.readers);
            let (version, id) = (self.version, slot.correlation_id);
            client::encode_request_into(
                &API,
                version,
                id,
                Some(CLIENT_ID),
                &mut lane.output,
                |out| {
                    request.write(version, out);
                },
            );
            lane.answers.push_back(place);
        }
        while lane.written < lane.output.len() && connection.is_writable() {
            match connection.send(&[IoSlice::new(&lane.output[lane.written..])]) {
                Ok(bytes) => lane.written += bytes,
                Err(error) => return self.lost(index, error),
            }
        }
        if lane.written == lane.output.len() {
            lane.output.clear();
            lane.written = 0;
        }
        Ok(())
    }

    fn receive(&mut self, index: usize) -> Result<(), Error> {
        let mut lane = std::mem::replace(&mut self.lanes[index], Lane::empty());
        let mut connection = lane.connection.take();
        let mut received = Ok(());
        if let Some(connection) = &mut connection {
            received = connection.receive(|content| self.answer(&mut lane, content));
        }
        lane.connection = connection;
        self.lanes[index] = lane;
        received.or_else(|error| self.lost(index, error))
    }

    fn answer(&mut self, lane: &mut Lane, content: &[u8]) -> Result<(), Error> {
        self.tally.now = Instant::now();
        let version = self.version;
        let unreadable = |error| Error::protocol(format!("Fetch v{version}: {error}"));
        let (found, body) = header::parse_response(&API, version, content).map_err(unreadable)?;
        let slot = lane.answers.pop_front().and_then(|place| lane.slots.get_mut(place));
        let Some(slot) = slot.filter(|slot| slot.correlation_id == found) else {
            return Err(Error::protocol(format!("Fetch v{version}: an answer to request {found}")));
        };
        slot.busy = false;
        let view = ResponseView::parse(version, body).map_err(unreadable)?;
        let mut failed = view.error_code();
        let mut sum = Taken::default();
        for data in view.topics().flat_map(|topic| topic.partitions()) {
            let reader = slot.readers.iter_mut().find(|reader| reader.partition == data.index);
            let Some(reader) = reader else {
                return Err(Error::protocol(format!(
                    "Fetch v{version}: an answer for partition {}, which was not asked for",
                    data.index
                )));
            };
            if !data.error_code.is_none() {
                failed = data.error_code;
                continue;
            }
            let aborted = match data.aborted_count {
                0 => Vec::new(),
                _ => aborted(version, body, data.index)?,
            };
            let (watch, now) = (&mut self.watch, self.tally.now);
            sum.add(reader.take(data.records, &aborted, now, watch).map_err(|error| {
                let Reader { partition, position, .. } = reader;
                Error::protocol(format!("partition {partition} offset {position}: {error}"))
            })?);
            if self.plan.repeat && reader.is_done() {
                reader.position = reader.start;
            }
        }
        if sum.messages > 0 {
            self.tally.answered(&Intended::at(slot.sent), sum.messages, sum.bytes);
            lane.backoff = Backoff::default();
        } else if sum.left > 0 {
            return Err(Error::Broker(format!(
                "an answer of {} bytes holds no whole batch that was not read before: \
                 raise --partition-max-bytes and --fetch-max-bytes",
                sum.left
            )));
        }
        if failed.is_none() { Ok(()) } else { self.refused(lane, failed) }
    }

    fn refused(&mut self, lane: &mut Lane, code: ErrorCode) -> Result<(), Error> {
        self.tally.refused(code);
        if !crate::is_retriable(code) {
            return Err(Error::Broker(format!(
                "partitions {:?}: the broker refused the fetch with {code}",
                lane.partitions
            )));
        }
        self.retries += 1;
        lane.backoff.wait(self.tally.now);
        Ok(())
    }

    fn lost(&mut self, index: usize, error: Error) -> Result<(), Error> {
        if !error.is_connection_loss() {
            return Err(error);
        }
        self.tally.error("connection lost", || error.to_string());
        let lane = &mut self.lanes[index];
        lane.disconnect();
        lane.down_since = Some(self.tally.now);
        lane.backoff.wait(self.tally.now);
        Ok(())
    }

    fn mend(&mut self, index: usize) -> Result<(), Error> {
        let leader = self.cluster.leader_of(&self.lanes[index].partitions);
        let connected = leader.and_then(|leader| {
            let lane = &mut self.lanes[index];
            if lane.leader == leader && lane.connection.is_some() {
                return Ok(());
            }
            lane.disconnect();
            lane.leader = leader;
            self.connect(index)?;
            self.tally.reconnections += 1;
            Ok(())
        });
        match connected {
            Ok(()) => {
                self.lanes[index].backoff.stop();
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

    fn look(&mut self, now: Instant) -> Result<(), Error> {
        self.look_at = now + TICK;
        let patience =
            self.common.timeout() + Duration::from_millis(self.options.max_wait_ms as u64);
        for index in 0..self.lanes.len() {
            let lane = &self.lanes[index];
            let late = |since: Instant| now.saturating_duration_since(since) > patience;
            let down = lane.down_since.is_some_and(late);
            if down || lane.slots.iter().any(|slot| slot.busy && late(slot.sent)) {
                return Err(self.tally.timed_out("a fetch was not answered", self.common.timeout));
            }
            if lane.backoff.is_over(now) {
                self.mend(index)?;
            }
        }
        Ok(())
    }

    /// A check that was told how many messages to expect has seen them.
    fn check_count(&self) -> Result<(), Error> {
        let read = self.tally.meter.measured.messages;
        match self.common.messages {
            Some(expected) if read < expected => {
                Err(Error::Broker(format!("expected {expected} messages, found {read}")))
            }
            _ => Ok(()),
        }
    }

    fn has_enough(&self) -> bool {
        let enough = self.common.messages.is_some_and(|messages| {
            self.tally.meter.is_measuring() && self.tally.meter.measured.messages >= messages
        });
        enough || !self.plan.repeat && self.is_at_end()
    }
}

/// The transactions of a partition that are to be passed over. Few answers have any.
#[cold]
fn aborted(version: i16, body: &[u8], partition: i32) -> Result<Vec<AbortedTransaction>, Error> {
    let answer = FetchResponse::decode(version, body)
        .map_err(|error| Error::protocol(format!("Fetch v{version}: {error}")))?;
    let partitions = answer.responses.into_iter().flat_map(|topic| topic.partitions);
    let mut of_it = partitions.filter(|data| data.partition_index == partition);
    Ok(of_it.next().and_then(|data| data.aborted_transactions).unwrap_or_default())
}

impl Engine for Consumer {
    fn ready(&mut self, index: usize, ready: Readiness) -> Result<(), Error> {
        self.tally.now = Instant::now();
        if let Some(connection) = &mut self.lanes[index].connection {
            connection.note(ready);
        }
        if ready.readable {
            self.receive(index)?;
            self.stopping |= self.common.messages.is_some() && self.has_enough();
            self.tally.now = Instant::now();
        }
        self.pump(index)
    }

    fn tick(&mut self, now: Instant) -> Result<Option<Instant>, Error> {
        self.tally.tick(now);
        if !self.tally.meter.is_measuring() && now >= self.begin_at {
            self.tally.meter.begin(now);
        }
        self.stopping |= self.stop_at.is_some_and(|at| now >= at) || self.has_enough();
        if now >= self.look_at && !self.stopping {
            self.look(now)?;
        }
        if !self.started {
            self.started = true;
            for index in 0..self.lanes.len() {
                self.pump(index)?;
            }
        }
        Ok(None)
    }

    fn is_finished(&self) -> bool {
        self.stopping
    }

    fn stop(&mut self) {
        self.stopping = true;
    }

    fn progress(&mut self) -> Vec<Row> {
        self.tally.row(self.plan.name).into_iter().collect()
    }
}
