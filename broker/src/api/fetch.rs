//! Fetch · key 1 · v4–18.  v12: diverging epochs (KIP-595).  v13: topics by id.  v16: who leads
//! instead (KIP-951). Not done yet: followers.
//!
//! The path: one *pass* reads what there is, from each partition's memory, from its files, or from
//! the owner's shard; if that is not enough yet, the fetch watches its partitions and another pass
//! runs when a high watermark moves (rule 45). Nothing polls. A connection has one fetch in
//! progress ([`crate::session::Stall::Replies`]), and one of many partitions rests between passes.
//! A fetch that another shard asks for is the same thing with another [`Origin`]; one that goes on
//! with a session (KIP-227) looks at less ([`sessions`]).

mod aborted;
mod enough;
mod sessions;

use std::collections::HashMap;
use std::collections::hash_map;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringlog_shard::buf::Slice;
use ringlog_storage::ReadPlan;
use ringlog_wire::api::fetch::{
    PartitionResult, PartitionView, RequestView, ResponseWriter, TopicView,
};
use ringlog_wire::error::ErrorCode;
use ringlog_wire::{Uuid, frame, header};

use super::{Outcome, PARTITIONS_MAX, ReplyTo, Request};
use crate::config::Advertise;
use crate::fetch_session::{EPOCH_FIRST, EPOCH_LAST};
use crate::message::{FetchAsk, FetchPart, Fetched, Message, TopicPartition};
use crate::metadata::names::TOPIC_NAME_BYTES_MAX;
use crate::partition::{Isolation, SessionWatcher, TopicName, Watcher};
use crate::session::{OUTPUT_PER_CONNECTION_MAX, Reply};
use crate::shell::{ColdRead, ReadFor, ShardCore, Shell, within_a_read};
use crate::slab::Key;
use crate::topics::Place;

/// Longest wait that a client may ask for; more is cut to it.
const FETCH_WAIT_MAX: Duration = Duration::from_secs(300);
/// A request of so many partitions is searched for one that is named twice; a larger one gets a
/// table for that.
const PARTITIONS_FEW: usize = 16;
/// A fetch of more partitions than this rests after a pass, [`REST_PER_PARTITION`] for each, rather
/// than looking at all of them whenever one moves.
const PARTITIONS_AT_ONCE: usize = 1000;
/// Several times what a pass takes.
const REST_PER_PARTITION: Duration = Duration::from_micros(1);

/// Who wants the records.
#[derive(Clone, Copy, Debug)]
enum Origin {
    Client(ReplyTo),
    /// Another shard's fetch, which wants to know once when there is more.
    Shard {
        shard: usize,
        request: Key,
        pass: u32,
        session: Option<Key>,
    },
}

/// How much of what it asks for the reader wants to be told (rule 49).
#[derive(Clone, Copy, Debug)]
enum Reader {
    /// All of it.
    Sessionless,
    /// All of it, and it would have a session from then on.
    New { by_id: bool },
    /// What is news to this session.
    Session(Key),
}

/// Topics, each with the number of its asks.
type Groups = Vec<(Arc<TopicName>, usize)>;

/// The topics, and their asks, each with its place.
type Planned = (Groups, Vec<(FetchAsk, Result<Place, ErrorCode>)>);

/// What is left to be read from files for an entry of a pass.
enum Cold {
    Records(ReadPlan<Slice>),
    /// The records are there: which of them are of aborted transactions.
    Aborted(aborted::Next),
}

/// A fetch in progress.
#[derive(Debug)]
pub struct PendingFetch {
    origin: Origin,
    reader: Reader,
    /// Each topic and how many of the asks are its.
    topics: Groups,
    asks: Vec<(FetchAsk, Result<Place, ErrorCode>)>,
    results: Vec<Fetched>,
    /// Reads and other shards that have not answered in this pass.
    outstanding: usize,
    pass: u32,
    bytes_min: usize,
    bytes_max: usize,
    /// Which records it wants to see; one of committed records is told of aborted transactions.
    isolation: Isolation,
    deadline: Instant,
    /// No pass begins before, but for the deadline's.
    rests_until: Instant,
    /// There is more since this pass began.
    woken: bool,
}

impl PendingFetch {
    /// Whether it need not wait for more (rules 45 and 46). What costs more is asked later.
    fn is_enough(&self, now: Instant) -> bool {
        let told = |r: &Fetched| !r.error.is_none() || r.diverging.is_some();
        let bytes: usize = self.results.iter().map(Fetched::bytes).sum();
        if bytes >= self.bytes_min || self.deadline <= now || self.results.iter().any(told) {
            return true;
        }
        let counted = self.asks.iter().zip(&self.results);
        let bytes: usize =
            counted.map(|((ask, _), it)| enough::bytes_available(ask, it, self.isolation)).sum();
        bytes >= self.bytes_min
    }
}

/// Answers a Fetch request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match RequestView::parse(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    let to = request.reply_to();
    let asked: usize = view.topics().map(|topic| 1 + topic.partitions().len()).sum();
    let forgotten: usize = view.forgotten_topics().map(|topic| 1 + topic.partitions().len()).sum();
    if asked + forgotten > PARTITIONS_MAX {
        return Outcome::too_many_partitions(request.api);
    }
    // No topic is called so, and no session remembers it.
    let is_odd = view.topics().any(|topic| topic.name.len() > TOPIC_NAME_BYTES_MAX);
    let reader = match view.session_epoch() {
        epoch if is_odd || matches!(epoch, EPOCH_FIRST | EPOCH_LAST) => {
            // Whatever session it had ends.
            shell.fetch_sessions.close(view.session_id());
            match epoch {
                EPOCH_FIRST if !is_odd => Reader::New { by_id: to.version >= 13 },
                _ => Reader::Sessionless,
            }
        }
        _ => match shell.go_on_with_session(core, &view) {
            Ok(Some(session)) => Reader::Session(session),
            Ok(None) => Reader::Sessionless,
            Err(code) => {
                let isolation = Isolation::Uncommitted;
                return Outcome::Reply(reply(to, (code, 0), isolation, &[], Vec::new(), shell));
            }
        },
    };
    let pending = plan(shell, core, to, &view, reader);
    let key = shell.fetches.insert(pending);
    if let Reader::Session(session) = reader
        && let Some(session) = shell.fetch_sessions.get_mut(session)
    {
        session.waiting = Some(key);
    }
    if let Some(session) = shell.sessions.get_mut(&to.conn) {
        session.fetches.push(key);
    }
    shell.fetch_pass(core, key);
    Outcome::Parked
}

fn plan(
    shell: &Shell,
    core: &ShardCore,
    to: ReplyTo,
    view: &RequestView<'_>,
    reader: Reader,
) -> PendingFetch {
    let at_least_0 = |n: i32| usize::try_from(n).unwrap_or(0);
    let wait = Duration::from_millis(at_least_0(view.max_wait_ms()) as u64).min(FETCH_WAIT_MAX);
    let bytes_max =
        at_least_0(view.max_bytes()).min(shell.shared.config.defaults.fetch_max_bytes as usize);
    let mut pending = PendingFetch {
        origin: Origin::Client(to),
        reader,
        topics: Vec::new(),
        asks: Vec::new(),
        results: Vec::new(),
        outstanding: 0,
        pass: 0,
        bytes_min: at_least_0(view.min_bytes()).min(bytes_max),
        bytes_max,
        isolation: Isolation::of(view.isolation_level()),
        deadline: core.now() + wait,
        rests_until: core.now(),
        woken: false,
    };
    // With a session, each pass asks that what it wants.
    if !matches!(reader, Reader::Session(_)) {
        plan_topics(shell, view, &mut pending);
    }
    pending
}

/// What a request without a session names. A partition that is named twice is what it is called
/// last, in its first place, as Kafka has it.
fn plan_topics(shell: &Shell, view: &RequestView<'_>, pending: &mut PendingFetch) {
    let by_id = view.version() >= 13;
    let count: usize = view.topics().map(|topic| topic.partitions().len()).sum();
    let mut table = (count > PARTITIONS_FEW).then(|| HashMap::with_capacity(count));
    for view in view.topics() {
        let topic = match by_id {
            true => shell.topics.with_id(view.topic_id),
            false => shell.topics.named(view.name),
        };
        let name = shell.topic_name(&view, by_id);
        let before = pending.asks.len();
        for partition in view.partitions() {
            let place = topic.and_then(|topic| topic.place(partition.index));
            let place = match (place, topic, by_id) {
                (Some(place), _, _) => Ok(place),
                (None, None, true) => Err(ErrorCode::UnknownTopicId),
                (None, _, _) => Err(ErrorCode::UnknownTopicOrPartition),
            };
            let from = TopicPartition { topic: name.id, index: partition.index };
            match earlier(&pending.asks, table.as_mut(), from) {
                Some(at) => pending.asks[at] = (ask(at, from, &partition), place),
                None => pending.asks.push((ask(pending.asks.len(), from, &partition), place)),
            }
        }
        match pending.asks.len() - before {
            0 => {}
            count => pending.topics.push((name, count)),
        }
    }
}

/// Where that partition is already. What nobody knows by its name may be told twice.
fn earlier(
    asks: &[(FetchAsk, Result<Place, ErrorCode>)],
    table: Option<&mut HashMap<TopicPartition, usize>>,
    from: TopicPartition,
) -> Option<usize> {
    if from.topic == Uuid::ZERO {
        return None;
    }
    let Some(table) = table else {
        return asks.iter().position(|(ask, _)| ask.from == from);
    };
    match table.entry(from) {
        hash_map::Entry::Occupied(at) => Some(*at.get()),
        hash_map::Entry::Vacant(free) => {
            free.insert(asks.len());
            None
        }
    }
}

fn ask(entry: usize, from: TopicPartition, view: &PartitionView) -> FetchAsk {
    FetchAsk {
        entry: entry as u32,
        from,
        leader_epoch: view.current_leader_epoch,
        offset: view.fetch_offset,
        last_fetched_epoch: view.last_fetched_epoch,
        bytes_max: usize::try_from(view.max_bytes).unwrap_or(0),
        place: 0,
    }
}

/// How long a fetch rests after a pass over so many. A session's passes look at what has moved.
fn rest_after(count: usize, reader: Reader) -> Duration {
    match reader {
        Reader::Sessionless | Reader::New { .. } if count > PARTITIONS_AT_ONCE => {
            REST_PER_PARTITION * count as u32
        }
        _ => Duration::ZERO,
    }
}

/// Bytes that a read from files, of `bytes_max` at most, may bring.
fn bytes_at_most(plan: &ReadPlan<Slice>, bytes_max: usize) -> usize {
    match plan {
        ReadPlan::Disk(plan) => plan.bytes.min(bytes_max),
        _ => bytes_max,
    }
}

/// Neighbours of the same topic go together.
fn group(names: impl Iterator<Item = Arc<TopicName>>) -> Groups {
    let mut groups: Groups = Vec::new();
    for name in names {
        match groups.last_mut() {
            Some((last, count)) if Arc::ptr_eq(last, &name) => *count += 1,
            _ => groups.push((name, 1)),
        }
    }
    groups
}

impl Shell {
    /// The names of the topic that a request names.
    fn topic_name(&self, view: &TopicView<'_>, by_id: bool) -> Arc<TopicName> {
        let topic = match by_id {
            true => self.topics.with_id(view.topic_id),
            false => self.topics.named(view.name),
        };
        match topic {
            Some(topic) => Arc::clone(&topic.name),
            None => Arc::new(TopicName { name: view.name.into(), id: view.topic_id }),
        }
    }

    /// Reads everything the fetch asks for, once.
    fn fetch_pass(&mut self, core: &mut ShardCore, key: Key) {
        let Some(reader) = self.fetches.get(key).map(|pending| pending.reader) else { return };
        let asks = match reader {
            Reader::Session(session) => Some(self.session_asks(session).unwrap_or_default()),
            _ => None,
        };
        let Some(pending) = self.fetches.get_mut(key) else { return };
        if let Some(asks) = asks {
            (pending.topics, pending.asks) = asks;
        }
        pending.pass = pending.pass.wrapping_add(1);
        pending.woken = false;
        let pass = pending.pass;
        let asks = std::mem::take(&mut pending.asks);
        let (bytes_max, isolation) = (pending.bytes_max, pending.isolation);
        let mut left = bytes_max;
        let mut results = Vec::with_capacity(asks.len());
        let mut colds = Vec::new();
        let mut remote: Vec<(usize, Vec<FetchAsk>)> = Vec::new();
        let mut found = false;
        for (at, (ask, place)) in asks.iter().enumerate() {
            let result = match *place {
                Ok(Place::Remote(shard)) if self.shared.config.advertise == Advertise::Node => {
                    let ask = FetchAsk { bytes_max: ask.bytes_max.min(left), ..*ask };
                    let result = Fetched::error(&ask, ErrorCode::None);
                    match remote.iter_mut().find(|(other, _)| *other == shard) {
                        Some((_, asks)) => asks.push(ask),
                        None => remote.push((shard, vec![ask])),
                    }
                    result
                }
                place => {
                    let bytes_max = ask.bytes_max.min(left);
                    let (result, cold) =
                        self.fetch_partition(ask, place, isolation, bytes_max, !found);
                    left = left.saturating_sub(result.bytes());
                    found |= result.bytes() > 0 || cold.is_some();
                    if let Some(Cold::Records(plan)) = &cold {
                        left = left.saturating_sub(bytes_at_most(plan, bytes_max));
                    }
                    colds.extend(cold.map(|cold| (at, bytes_max, cold)));
                    result
                }
            };
            results.push(result);
        }
        let Some(pending) = self.fetches.get_mut(key) else { return };
        pending.rests_until = core.now() + rest_after(asks.len(), reader);
        pending.asks = asks;
        pending.results = results;
        pending.outstanding = colds.len() + remote.len();
        let session = match reader {
            Reader::Session(session) => Some(session),
            _ => None,
        };
        for (shard, asks) in remote {
            // Each owner reads within the whole answer's limit; what is too much is dropped later.
            let part = FetchPart { request: key, pass, bytes_max, isolation, session, asks };
            self.post(core, shard, Message::Fetch(part));
        }
        for (at, bytes_max, cold) in colds {
            self.begin_cold(core, (key, pass, at), bytes_max, cold);
        }
        if self.fetches.get(key).is_some_and(|p| p.pass == pass && p.outstanding == 0) {
            self.fetch_pass_done(core, key);
        }
    }

    /// Reads what an entry of a pass wants from files.
    fn begin_cold(
        &mut self,
        core: &mut ShardCore,
        (request, pass, at): (Key, u32, usize),
        bytes_max: usize,
        cold: Cold,
    ) {
        let Some(pending) = self.fetches.get(request).filter(|p| p.pass == pass) else { return };
        let (ask, place) = pending.asks[at];
        let (from, upto) = (ask.offset, pending.results[at].readable(pending.isolation));
        let Ok(Place::Open(slot)) = place else { return };
        match cold {
            Cold::Records(plan) => {
                let purpose = ReadFor::Fetch { request, pass, at, from, upto, bytes_max };
                self.start_read(core, ColdRead { slot, purpose, plan });
            }
            Cold::Aborted(next) => {
                self.read_aborted(core, (request, pass, at), (from, slot), next);
            }
        }
    }

    /// One partition, as far as memory goes; what must be read from files comes as a plan.
    fn fetch_partition(
        &self,
        ask: &FetchAsk,
        place: Result<Place, ErrorCode>,
        isolation: Isolation,
        bytes_max: usize,
        min_one: bool,
    ) -> (Fetched, Option<Cold>) {
        let error = |code| (Fetched::error(ask, code), None);
        let slot = match place {
            Ok(Place::Open(slot)) => slot,
            Ok(Place::Failed) => return error(ErrorCode::KafkaStorageError),
            Ok(Place::Opening | Place::Remote(_)) => return error(ErrorCode::NotLeaderOrFollower),
            Err(code) => return error(code),
        };
        let Some(hosted) = self.logs.get(slot).filter(|hosted| !hosted.doomed) else {
            return error(ErrorCode::NotLeaderOrFollower);
        };
        let partition = &hosted.partition;
        if let Err(code) = partition.check_epoch(ask.leader_epoch) {
            return error(code);
        }
        let mut result = Fetched {
            high_watermark: partition.high_watermark(),
            last_stable: partition.last_stable_offset(),
            log_start: partition.log.log_start_offset(),
            ..Fetched::error(ask, ErrorCode::None)
        };
        result.diverging = partition.diverging(ask.last_fetched_epoch, ask.offset);
        if result.diverging.is_some() {
            return (result, None);
        }
        match partition.read(ask.offset, isolation, bytes_max, min_one) {
            Ok(ReadPlan::Empty) => (result, None),
            Ok(ReadPlan::Memory { slices, .. }) => {
                result.slices = slices;
                let next = self.add_aborted(ask, place, isolation, &mut result);
                (result, next.map(Cold::Aborted))
            }
            Ok(plan) => (result, Some(Cold::Records(within_a_read(plan)))),
            Err(code) => error(code),
        }
    }

    /// A read from files, for a fetch, has ended.
    pub(crate) fn fetch_read_done(
        &mut self,
        core: &mut ShardCore,
        (request, pass, at): (Key, u32, usize),
        slices: Result<Vec<Slice>, ErrorCode>,
    ) {
        let Some(pending) = self.fetches.get_mut(request).filter(|p| p.pass == pass) else {
            return;
        };
        match slices {
            Ok(slices) => {
                if slices.is_empty() {
                    // No memory to read into, or the log has changed: the client asks again.
                    pending.deadline = core.now();
                }
                pending.results[at].slices = slices;
                return self.search_aborted(core, (request, pass, at));
            }
            Err(code) => pending.results[at] = Fetched::error(&pending.asks[at].0, code),
        }
        self.fetch_part_done(core, request);
    }

    fn fetch_part_done(&mut self, core: &mut ShardCore, request: Key) {
        let Some(pending) = self.fetches.get_mut(request) else { return };
        pending.outstanding -= 1;
        if pending.outstanding == 0 {
            self.fetch_pass_done(core, request);
        }
    }

    /// Everything was read once: answer, or wait for more.
    fn fetch_pass_done(&mut self, core: &mut ShardCore, key: Key) {
        let Some(pending) = self.fetches.get(key) else { return };
        if let Origin::Shard { shard, request, pass, session } = pending.origin {
            return self.answer_shard(core, key, (shard, request, pass), session);
        }
        let has_session = match pending.reader {
            Reader::Session(session) => self.fetch_sessions.get(session).is_some(),
            _ => false,
        };
        let is_empty = pending.asks.is_empty() && !has_session;
        if is_empty || self.stopping || pending.is_enough(core.now()) {
            return self.answer_fetch(core, key);
        }
        let (deadline, rests_until) = (pending.deadline, pending.rests_until);
        // What is not enough yet is read again when there is more: memory is not held meanwhile.
        let moved = pending.woken
            || pending.asks.iter().zip(&pending.results).any(|((_, place), result)| {
                matches!(*place, Ok(Place::Open(slot)) if self.marks(slot) != Some(result.marks()))
            });
        if moved && rests_until <= core.now() {
            return self.fetch_pass(core, key);
        }
        if moved {
            self.deadlines.insert((rests_until, key));
        }
        match pending.reader {
            Reader::Session(session) => self.watch_session(key, session),
            _ => self.watch_all(key, Watcher { shard: self.shard, request: key }, true),
        }
        self.deadlines.insert((deadline, key));
        if let Some(pending) = self.fetches.get_mut(key) {
            pending.results.iter_mut().for_each(|result| result.clear());
        }
    }

    /// (high watermark, log start) as they are.
    fn marks(&self, slot: Key) -> Option<(i64, i64)> {
        let partition = &self.logs.get(slot)?.partition;
        Some((partition.high_watermark(), partition.log.log_start_offset()))
    }

    /// Begins or ends watching the partitions of fetch `key` that are here.
    fn watch_all(&mut self, key: Key, watcher: Watcher, begin: bool) {
        let Some(pending) = self.fetches.get(key) else { return };
        for (_, place) in &pending.asks {
            let Ok(Place::Open(slot)) = *place else { continue };
            let Some(hosted) = self.logs.get_mut(slot) else { continue };
            match begin {
                true => hosted.partition.watch(watcher),
                false => hosted.partition.unwatch(watcher),
            }
        }
    }

    /// A watched partition has more.
    pub(crate) fn wake_fetch(&mut self, core: &mut ShardCore, key: Key) {
        let Some(pending) = self.fetches.get_mut(key) else { return };
        match pending.outstanding {
            // Once rested, or woken no more, nobody misses the entry.
            0 if pending.rests_until > core.now() => {
                self.deadlines.insert((pending.rests_until, key));
            }
            0 => self.fetch_pass(core, key),
            _ => pending.woken = true,
        }
    }

    /// The client's patience is at its end: it gets what one more pass finds.
    pub(crate) fn expire_fetch(&mut self, core: &mut ShardCore, key: Key) {
        if self.fetches.get(key).is_some_and(|pending| pending.outstanding == 0) {
            self.fetch_pass(core, key);
        }
    }

    /// The client asks for something else already: it gets what there is.
    fn hurry_fetch(&mut self, core: &mut ShardCore, key: Key) {
        let now = core.now();
        let Some(pending) = self.fetches.get_mut(key) else { return };
        self.deadlines.remove(&(pending.deadline, key));
        pending.deadline = now;
        self.expire_fetch(core, key);
    }

    /// Nobody waits for this fetch any more.
    pub(crate) fn drop_fetch(&mut self, key: Key) {
        self.leave_session(key);
        self.watch_all(key, Watcher { shard: self.shard, request: key }, false);
        if let Some(pending) = self.fetches.remove(key) {
            self.deadlines.remove(&(pending.deadline, key));
        }
    }

    fn answer_fetch(&mut self, core: &mut ShardCore, key: Key) {
        self.watch_all(key, Watcher { shard: self.shard, request: key }, false);
        let Some(mut pending) = self.fetches.remove(key) else { return };
        self.deadlines.remove(&(pending.deadline, key));
        let Origin::Client(to) = pending.origin else { return };
        let results = std::mem::take(&mut pending.results);
        let mut results = within(results, &pending.asks, pending.bytes_max);
        if let Some(session) = self.sessions.get_mut(&to.conn) {
            session.fetches.retain(|other| *other != key);
        }
        // A client that does not read gets no more memory to hold on to: an empty answer is legal.
        if self.output_of(core, to.conn) >= OUTPUT_PER_CONNECTION_MAX {
            results.iter_mut().for_each(|result| result.clear());
        }
        self.count_fetched(&pending.asks, &results);
        let (topics, results, session) = match pending.reader {
            Reader::Sessionless => (pending.topics, results, 0),
            Reader::New { by_id } => {
                let session = self.begin_session(core, &pending, &results, by_id);
                (pending.topics, results, session)
            }
            Reader::Session(session) => self.tell_session((session, key), &pending, results),
        };
        let gone = session == 0 && matches!(pending.reader, Reader::Session(_));
        let error = if gone { ErrorCode::FetchSessionIdNotFound } else { ErrorCode::None };
        let reply = reply(to, (error, session), pending.isolation, &topics, results, self);
        self.reply(core, to.conn, to.sequence, Some(reply));
    }

    /// Another shard's fetch wants these partitions of this shard.
    pub(crate) fn fetch_for(&mut self, core: &mut ShardCore, shard: usize, part: FetchPart) {
        let FetchPart { request, pass, bytes_max, isolation, session, asks } = part;
        let place = |ask: &FetchAsk| {
            let topic = self.topics.with_id(ask.from.topic).ok_or(ErrorCode::UnknownTopicId)?;
            topic.place(ask.from.index).ok_or(ErrorCode::UnknownTopicOrPartition)
        };
        let places: Vec<_> = asks.iter().map(place).collect();
        let pending = PendingFetch {
            origin: Origin::Shard { shard, request, pass, session },
            reader: Reader::Sessionless,
            topics: Vec::new(),
            bytes_max,
            isolation,
            asks: asks.into_iter().zip(places).collect(),
            results: Vec::new(),
            outstanding: 0,
            pass: 0,
            bytes_min: 0,
            deadline: core.now(),
            rests_until: core.now(),
            woken: false,
        };
        let key = self.fetches.insert(pending);
        self.fetch_pass(core, key);
    }

    fn answer_shard(
        &mut self,
        core: &mut ShardCore,
        key: Key,
        (shard, request, pass): (usize, Key, u32),
        session: Option<Key>,
    ) {
        let Some(pending) = self.fetches.get(key) else { return };
        let moved: Vec<u32> = pending
            .asks
            .iter()
            .zip(&pending.results)
            .filter(|((_, place), result)| {
                matches!(*place, Ok(Place::Open(slot))
                    if result.high_watermark >= 0 && self.marks(slot) != Some(result.marks()))
            })
            .map(|((ask, _), _)| ask.place)
            .collect();
        match session {
            None => self.watch_all(key, Watcher { shard, request }, true),
            Some(session) => self.watch_places(key, shard, session),
        }
        let Some(pending) = self.fetches.remove(key) else { return };
        let results = pending.results;
        self.post(core, shard, Message::Fetched { request, pass, results });
        match session {
            _ if moved.is_empty() => {}
            None => self.post(core, shard, Message::Wake { request }),
            Some(session) => self.post(core, shard, Message::Moved { session, places: moved }),
        }
    }

    /// Another shard's session watches what fetch `key` has looked at here for it.
    fn watch_places(&mut self, key: Key, shard: usize, session: Key) {
        let Some(pending) = self.fetches.get(key) else { return };
        for (ask, place) in &pending.asks {
            let Ok(Place::Open(slot)) = *place else { continue };
            let Some(hosted) = self.logs.get_mut(slot) else { continue };
            let watcher = SessionWatcher { shard, session, place: ask.place };
            hosted.partition.watch_session(watcher);
        }
    }

    /// Another shard has read its part of a fetch of this one.
    pub(crate) fn fetched(
        &mut self,
        core: &mut ShardCore,
        request: Key,
        pass: u32,
        results: Vec<Fetched>,
    ) {
        let Some(pending) = self.fetches.get_mut(request).filter(|p| p.pass == pass) else {
            return;
        };
        for result in results {
            let entry = result.entry as usize;
            pending.results[entry] = result;
        }
        self.fetch_part_done(core, request);
    }
}

/// Keeps the answer within `bytes_max`, in request order; the first partition that has anything
/// gives at least what it has (rule 47). Only partitions read side by side on several shards can go
/// beyond.
fn within(
    mut results: Vec<Fetched>,
    asks: &[(FetchAsk, Result<Place, ErrorCode>)],
    bytes_max: usize,
) -> Vec<Fetched> {
    let mut left = bytes_max;
    let mut found = false;
    for (result, (ask, _)) in results.iter_mut().zip(asks) {
        let bytes = result.bytes();
        if found && bytes > left.min(ask.bytes_max) {
            result.clear();
            continue;
        }
        found |= bytes > 0;
        left = left.saturating_sub(bytes);
    }
    results
}

fn reply(
    to: ReplyTo,
    (error, session): (ErrorCode, i32),
    isolation: Isolation,
    topics: &[(Arc<TopicName>, usize)],
    results: Vec<Fetched>,
    shell: &Shell,
) -> Reply<Slice> {
    let mut out = Vec::with_capacity(128 + 64 * results.len());
    let start = header::begin_response(to.api, to.version, to.correlation_id, &mut out);
    let mut writer = ResponseWriter::new(to.version, 0, error, session, topics.len(), &mut out);
    let mut splices = Vec::new();
    let mut leaders = Vec::new();
    let is_committed = isolation == Isolation::Committed;
    let mut results = results.into_iter();
    for (topic, count) in topics {
        writer.topic(&topic.name, topic.id, *count);
        for fetched in results.by_ref().take(*count) {
            let index = fetched.index;
            let leader = match fetched.error {
                ErrorCode::NotLeaderOrFollower => shell.leader_of(topic.id, index),
                _ => None,
            };
            leaders.extend(leader.map(|(id, _)| id));
            let aborted = fetched.aborted.iter().map(|txn| (txn.producer_id, txn.first_offset));
            let aborted: Vec<_> = aborted.collect();
            let result = PartitionResult {
                last_stable_offset: fetched.last_stable,
                log_start_offset: fetched.log_start,
                high_watermark: fetched.high_watermark,
                // An empty list and none are not the same to readers (rule 49b).
                aborted_transactions: is_committed.then_some(&aborted[..]),
                diverging_epoch: fetched.diverging,
                current_leader: leader,
                ..PartitionResult::error(index, fetched.error)
            };
            let hole = writer.partition(&result, fetched.bytes());
            splices.extend(fetched.slices.into_iter().map(|slice| (hole, slice)));
        }
    }
    leaders.sort_unstable();
    leaders.dedup();
    let records_bytes = writer.finish(&shell.endpoints(&leaders));
    frame::end(&mut out, start, records_bytes);
    Reply { splices, ..Reply::from(out) }
}
