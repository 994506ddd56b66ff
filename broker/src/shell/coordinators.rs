//! The coordinators of one shard: questions reach them here, their decisions go to their logs, and
//! what they decided is done when it is durable.
//!
//! Invariants: a coordinator serves only when its log has been read to the end; a decision's
//! records are one batch; its commands are carried out in the order of decisions, when everything
//! up to that batch is durable; everyone who asks is answered exactly once, with NOT_COORDINATOR if
//! the coordinator is lost meanwhile.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringlog_shard::buf::Slice;
use ringlog_storage::ReadPlan;
use ringlog_storage::transaction::Marker;
use ringlog_wire::batch::{Batch, BatchBuilder, BatchOptions};
use ringlog_wire::error::ErrorCode;

use super::reads::{ColdRead, ReadFor, within_a_read};
use super::{ShardCore, Shell, random_uuid};
use crate::api::asks::{Answers, Question};
use crate::api::init_producer_id;
use crate::config::Advertise;
use crate::coordinator::{
    self, Answer, Around, Ask, Command, Decision, Event, Kind, Live, Machine,
    Markers, Replayed, Ticket,
};
use crate::group;
use crate::memory::PoolMemory;
use crate::message::{Message, TopicPartition};
use crate::partition::{Advanced, TopicName};
use crate::slab::{Key, Slab};
use crate::topics::Place;
use crate::txn;

/// Bytes of a log that are read at a time while its coordinator is rebuilt.
const LOAD_BYTES: usize = 1 << 20;
/// Memory for records that must be free before a coordinator is asked anything.
const ROOM_BYTES: usize = 256 << 10;
/// What a coordinator decides at once must fit one batch, bytes.
const BATCH_BYTES_MAX: usize = 64 << 20;
/// A log that is not larger is not looked at for what can be left out.
const REWRITE_BYTES_MIN: u64 = 16 << 20;
/// Bytes of one batch when a log's content is written again.
const REWRITE_BATCH_BYTES: usize = 256 << 10;

/// What is done with a coordinator's answer.
pub(crate) type Finish =
    Box<dyn FnOnce(&mut Shell, &mut ShardCore, Result<Answer, ErrorCode>) + Send>;

/// What is done with the answers of several, in the order of the questions.
pub(crate) type FinishAll =
    Box<dyn FnOnce(&mut Shell, &mut ShardCore, Vec<Result<Answer, ErrorCode>>) + Send>;

/// One coordinator.
struct Coordinator {
    of: TopicPartition,
    machine: Machine,
    reader: Option<Reader>,
    /// What is done when everything below the offset is durable; ascending.
    held: VecDeque<(i64, Vec<Command>)>,
    /// When the log is larger, it is looked at for what can be left out.
    rewrite_above_bytes: u64,
    /// Its place in the order of deadlines, on the wall clock, milliseconds.
    deadline_ms: Option<i64>,
}

/// How far its log has been read.
struct Reader {
    next: i64,
    /// A read is under way.
    reading: bool,
    /// What is read goes there, while the coordinator serves; else into the machine itself, which
    /// does not serve before the end.
    live: Option<Live>,
}

impl Coordinator {
    fn is_serving(&self) -> bool {
        self.reader.as_ref().is_none_or(|reader| reader.live.is_some())
    }
}

/// Who waits for an answer.
struct Asker {
    shard: usize,
    request: Key,
    /// The coordinator's log.
    slot: Key,
}

/// Answers that are being gathered.
struct Gathering {
    answers: Vec<Result<Answer, ErrorCode>>,
    outstanding: usize,
    finish: FinishAll,
}

/// See the module's head.
#[derive(Default)]
pub(crate) struct Coordinators {
    by_log: HashMap<Key, Coordinator>,
    deadlines: BTreeSet<(i64, Key)>,
    askers: Slab<Asker>,
    /// This shard's questions. Bounded by requests in flight.
    asked: Slab<Finish>,
    gatherings: Slab<Gathering>,
    /// Logs whose coordinators are to be rebuilt.
    opened: Vec<Key>,
}

impl Coordinators {
    /// The earliest moment at which one has something to do.
    pub(super) fn deadline_ms(&self) -> Option<i64> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// A log of a coordinator's topic came open.
    pub(super) fn log_opened(&mut self, slot: Key) {
        self.opened.push(slot);
    }

    fn set_deadline(&mut self, slot: Key, at: Option<i64>) {
        let Some(coordinator) = self.by_log.get_mut(&slot) else { return };
        let before = std::mem::replace(&mut coordinator.deadline_ms, at);
        if before != at {
            if let Some(before) = before {
                self.deadlines.remove(&(before, slot));
            }
            if let Some(at) = at {
                self.deadlines.insert((at, slot));
            }
        }
    }
}

/// Asking.
impl Shell {
    /// Asks the coordinator of a group or transactional id, wherever it is, and calls `finish` with
    /// the answer, sooner or later. Questions of clients are not carried to another broker: with
    /// `advertise = shard` the wrong one says NOT_COORDINATOR.
    pub(crate) fn coordinate(
        &mut self,
        core: &mut ShardCore,
        kind: Kind,
        id: &str,
        ask: Ask,
        finish: Finish,
    ) {
        match self.coordinator_of(kind, id) {
            Ok((of, Place::Remote(_))) if self.shared.config.advertise == Advertise::Shard => {
                tracing::debug!(?of, "asked for a coordinator that another shard has");
                finish(self, core, Err(ErrorCode::NotCoordinator));
            }
            Ok((of, place)) => self.ask_coordinator(core, of, place, ask, finish),
            Err(code) => finish(self, core, Err(code)),
        }
    }

    /// The same for this process's own questions: they reach every shard.
    pub(crate) fn coordinate_inside(
        &mut self,
        core: &mut ShardCore,
        kind: Kind,
        id: &str,
        ask: Ask,
        finish: Finish,
    ) {
        match self.coordinator_of(kind, id) {
            Ok((of, place)) => self.ask_coordinator(core, of, place, ask, finish),
            Err(code) => finish(self, core, Err(code)),
        }
    }

    /// Asks several, and calls `finish` when the last has answered.
    pub(crate) fn coordinate_all(
        &mut self,
        core: &mut ShardCore,
        kind: Kind,
        asks: Vec<(String, Ask)>,
        finish: FinishAll,
    ) {
        let gathering = self.gather(asks.len(), finish);
        for (entry, (id, ask)) in asks.into_iter().enumerate() {
            self.coordinate(core, kind, &id, ask, gathered(gathering, entry));
        }
        self.gathered_one(core, gathering, None);
    }

    /// Asks every coordinator of a kind that clients find at this broker.
    pub(crate) fn coordinate_each(
        &mut self,
        core: &mut ShardCore,
        kind: Kind,
        ask: impl Fn() -> Ask,
        finish: FinishAll,
    ) {
        let mut places = Vec::new();
        if let Some(topic) = self.topics.named(kind.topic()) {
            let id = topic.name.id;
            for (index, place) in (0..).zip(&topic.places) {
                let elsewhere = matches!(place, Place::Remote(_))
                    && self.shared.config.advertise == Advertise::Shard;
                if !elsewhere {
                    places.push((TopicPartition { topic: id, index }, *place));
                }
            }
        }
        let gathering = self.gather(places.len(), finish);
        for (entry, (of, place)) in places.into_iter().enumerate() {
            self.ask_coordinator(core, of, place, ask(), gathered(gathering, entry));
        }
        self.gathered_one(core, gathering, None);
    }

    /// One answer more is outstanding than was asked for, so that nothing ends too early.
    fn gather(&mut self, count: usize, finish: FinishAll) -> Key {
        let answers = vec![Err(ErrorCode::UnknownServerError); count];
        let gathering = Gathering { answers, outstanding: count + 1, finish };
        self.coordinators.gatherings.insert(gathering)
    }

    fn gathered_one(
        &mut self,
        core: &mut ShardCore,
        key: Key,
        came: Option<(usize, Result<Answer, ErrorCode>)>,
    ) {
        let Some(gathering) = self.coordinators.gatherings.get_mut(key) else { return };
        if let Some((entry, answer)) = came {
            gathering.answers[entry] = answer;
        }
        gathering.outstanding -= 1;
        if gathering.outstanding == 0
            && let Some(gathering) = self.coordinators.gatherings.remove(key)
        {
            (gathering.finish)(self, core, gathering.answers);
        }
    }

    fn coordinator_of(&self, kind: Kind, id: &str) -> Result<(TopicPartition, Place), ErrorCode> {
        let topic = self.topics.named(kind.topic()).ok_or(ErrorCode::CoordinatorNotAvailable)?;
        let index = coordinator::partition_of(id, topic.places.len().max(1) as i32);
        let place = topic.place(index).ok_or(ErrorCode::CoordinatorNotAvailable)?;
        Ok((TopicPartition { topic: topic.name.id, index }, place))
    }

    fn ask_coordinator(
        &mut self,
        core: &mut ShardCore,
        of: TopicPartition,
        place: Place,
        ask: Ask,
        finish: Finish,
    ) {
        let shard = match place {
            Place::Remote(shard) => shard,
            Place::Open(_) => self.shard,
            Place::Opening => return finish(self, core, Err(ErrorCode::CoordinatorLoadInProgress)),
            Place::Failed => return finish(self, core, Err(ErrorCode::CoordinatorNotAvailable)),
        };
        let request = self.coordinators.asked.insert(finish);
        self.post(core, shard, Message::Coordinate { request, of, ask });
    }

    /// A coordinator has answered.
    pub(super) fn coordinated(
        &mut self,
        core: &mut ShardCore,
        request: Key,
        answer: Result<Answer, ErrorCode>,
    ) {
        if let Some(finish) = self.coordinators.asked.remove(request) {
            finish(self, core, answer);
        }
    }
}

fn gathered(gathering: Key, entry: usize) -> Finish {
    Box::new(move |shell, core, answer| shell.gathered_one(core, gathering, Some((entry, answer))))
}

/// Answering.
impl Shell {
    /// A shard asks a coordinator of this one.
    pub(super) fn coordinator_asked(
        &mut self,
        core: &mut ShardCore,
        from: usize,
        request: Key,
        of: TopicPartition,
        ask: Ask,
    ) {
        let refusal = match self.serving(of) {
            _ if self.stopping => Err(ErrorCode::NotCoordinator),
            Ok(_) if !self.make_room(core, ROOM_BYTES) => {
                Err(ErrorCode::CoordinatorLoadInProgress)
            }
            served => served,
        };
        let slot = match refusal {
            Ok(slot) => slot,
            Err(code) => {
                let answer = Err(code);
                return self.post(core, from, Message::Coordinated { request, answer });
            }
        };
        let asker = Asker { shard: from, request, slot };
        let ticket = Ticket(self.coordinators.askers.insert(asker).to_u64());
        let event = ask.event(ticket);
        if let Err(code) = self.may_decide(slot, &event) {
            return self.answer_asker(core, ticket, Err(code));
        }
        self.decide(core, slot, |machine, around| machine.step(event, around));
    }

    /// Offsets in a transaction are the producer's records in this log: what the log would not
    /// take is refused before anything is decided.
    fn may_decide(&self, slot: Key, event: &Event) -> Result<(), ErrorCode> {
        let Event::Group(group::Event::TxnCommit { request, .. }) = event else { return Ok(()) };
        let hosted = self.logs.get(slot).ok_or(ErrorCode::NotCoordinator)?;
        hosted.partition.check_own(request.producer_id, request.producer_epoch)
    }

    /// The log of a coordinator that serves.
    fn serving(&self, of: TopicPartition) -> Result<Key, ErrorCode> {
        let place = self.topics.with_id(of.topic).and_then(|topic| topic.place(of.index));
        match place {
            Some(Place::Open(slot)) => match self.coordinators.by_log.get(&slot) {
                Some(coordinator) if coordinator.is_serving() => Ok(slot),
                Some(_) => Err(ErrorCode::CoordinatorLoadInProgress),
                None => Err(ErrorCode::NotCoordinator),
            },
            Some(Place::Opening) => Err(ErrorCode::CoordinatorLoadInProgress),
            Some(Place::Failed) => Err(ErrorCode::CoordinatorNotAvailable),
            Some(Place::Remote(_)) | None => Err(ErrorCode::NotCoordinator),
        }
    }

    /// Lets a coordinator decide, and sees to what it decides.
    pub(super) fn decide(
        &mut self,
        core: &mut ShardCore,
        slot: Key,
        event: impl FnOnce(&mut Machine, Around<'_>) -> Decision,
    ) {
        let coordinator = self.coordinators.by_log.get_mut(&slot);
        let serving = coordinator.filter(|coordinator| coordinator.is_serving());
        let Some(coordinator) = serving else { return };
        let producer_ids = &mut self.producer_ids;
        let around = Around {
            now_ms: core.wall_ms(),
            topics: &*self.image,
            new_uuid: &mut random_uuid,
            next_producer_id: &mut || producer_ids.next(),
        };
        let decision = event(&mut coordinator.machine, around);
        let deadline = coordinator.machine.next_deadline_ms();
        // What is overdue has its turn again, but not in this one.
        let deadline = deadline.map(|at| at.max(core.wall_ms() + 1));
        self.coordinators.set_deadline(slot, deadline);
        self.keep_producer_ids(core);
        self.carry_out(core, slot, decision);
    }

    fn carry_out(&mut self, core: &mut ShardCore, slot: Key, decision: Decision) {
        let Decision { records, transactional, commands } = decision;
        let end = match records.is_empty() {
            true => self.logs.get(slot).map(|hosted| hosted.partition.log.end_offset()),
            false => self.append_decision(core, slot, &records, transactional),
        };
        let Some(end) = end else {
            self.lose_coordinator(core, slot);
            return self.coordinators.log_opened(slot);
        };
        let Some(coordinator) = self.coordinators.by_log.get_mut(&slot) else { return };
        coordinator.held.push_back((end, commands));
        self.coordinator_progress(core, slot);
    }

    /// Appends a decision's records as one batch; says where the log ends then. `None` if the log
    /// did not take it.
    fn append_decision(
        &mut self,
        core: &mut ShardCore,
        slot: Key,
        records: &[(Vec<u8>, Option<Vec<u8>>)],
        transactional: Option<(i64, i16)>,
    ) -> Option<i64> {
        let now_ms = core.wall_ms();
        let mut options = BatchOptions::default();
        if let Some((producer_id, producer_epoch)) = transactional {
            options = BatchOptions { producer_id, producer_epoch, transactional: true, ..options };
        }
        let mut builder = BatchBuilder::new(options);
        for (key, value) in records {
            builder.push(now_ms, Some(key), value.as_deref(), &[]);
        }
        if builder.size() > BATCH_BYTES_MAX {
            return None;
        }
        let bytes = builder.finish();
        self.make_room(core, bytes.len() + ROOM_BYTES);
        let (batch, _) = Batch::parse(&bytes).expect("it was just built");
        let partition = &mut self.logs.get_mut(slot)?.partition;
        let mut memory = PoolMemory(core.pool());
        match partition.append_own(now_ms, &mut memory, &batch) {
            Ok(appended) => {
                self.touch(slot);
                Some(appended.last_offset + 1)
            }
            Err(code) => {
                let dir = partition.log.dir().display();
                tracing::error!(partition = %dir, ?code, "the log did not take what was decided");
                None
            }
        }
    }

    /// The log of a coordinator has moved: what waits for that is done.
    pub(super) fn coordinator_progress(&mut self, core: &mut ShardCore, slot: Key) {
        loop {
            let Some(coordinator) = self.coordinators.by_log.get_mut(&slot) else { return };
            if !coordinator.is_serving() {
                return self.read_on(core, slot);
            }
            let Some(hosted) = self.logs.get(slot) else { return };
            let durable = hosted.partition.high_watermark();
            if coordinator.held.front().is_none_or(|(end, _)| *end > durable) {
                return;
            }
            let Some((_, commands)) = coordinator.held.pop_front() else { return };
            for command in commands {
                self.run_coordinator_command(core, slot, command);
            }
        }
    }

    fn run_coordinator_command(&mut self, core: &mut ShardCore, slot: Key, command: Command) {
        match command {
            Command::Reply { to, answer } => self.answer_asker(core, to, Ok(answer)),
            Command::WriteMarkers(markers) => self.write_markers(core, slot, markers),
            Command::DropBefore(offset) => self.drop_before(core, slot, offset),
        }
    }

    fn answer_asker(
        &mut self,
        core: &mut ShardCore,
        to: Ticket,
        answer: Result<Answer, ErrorCode>,
    ) {
        let asker = self.coordinators.askers.remove(Key::from_u64(to.0));
        let Some(Asker { shard, request, .. }) = asker else {
            return tracing::error!(?to, "a coordinator answered somebody twice");
        };
        self.post(core, shard, Message::Coordinated { request, answer });
    }

    /// The deadlines that have passed.
    pub(super) fn coordinator_timers(&mut self, core: &mut ShardCore) {
        let now_ms = core.wall_ms();
        while let Some(&(at, slot)) = self.coordinators.deadlines.first() {
            if at > now_ms {
                return;
            }
            if !self.make_room(core, ROOM_BYTES) {
                self.coordinators.set_deadline(slot, Some(now_ms + 100));
                continue;
            }
            self.decide(core, slot, |machine, around| machine.timer(around));
        }
    }

    /// When the shard must look at them, if nothing else happens.
    pub(super) fn coordinator_deadline(&self, core: &ShardCore) -> Option<Instant> {
        let at = self.coordinators.deadline_ms()?;
        let wait = u64::try_from(at - core.wall_ms()).unwrap_or(0);
        Some(core.now() + Duration::from_millis(wait))
    }

    /// Topics are gone: so is what coordinators know of them.
    pub(super) fn tell_coordinators_of_deleted(
        &mut self,
        core: &mut ShardCore,
        topics: &[Arc<TopicName>],
    ) {
        let serving = self.coordinators.by_log.iter().filter(|(_, it)| it.is_serving());
        let slots: Vec<_> = serving.map(|(slot, it)| (*slot, it.machine.kind())).collect();
        for (slot, kind) in slots {
            let names = topics.iter().map(|topic| (topic.name.to_string(), topic.id));
            let event = match kind {
                Kind::Groups => Event::Group(group::Event::TopicsDeleted(
                    names.map(|(name, id)| group::DeletedTopic { name, id }).collect(),
                )),
                Kind::Transactions => Event::Transaction(txn::Event::TopicsDeleted {
                    topics: names.map(|(name, _)| name).collect(),
                }),
            };
            self.decide(core, slot, |machine, around| machine.step(event, around));
        }
    }
}

/// Transactions.
impl Shell {
    /// Coordinators of transactions must not run out of producer ids.
    fn keep_producer_ids(&mut self, core: &mut ShardCore) {
        if self.producer_ids.is_empty() && !self.stopping {
            init_producer_id::ask_for_ids(self, core);
        }
    }

    /// Has a transaction's markers written, and tells its coordinator of each.
    fn write_markers(&mut self, core: &mut ShardCore, slot: Key, markers: Markers) {
        let Markers { producer_id, producer_epoch, coordinator_epoch, committed, .. } = markers;
        let marker = Marker { producer_id, producer_epoch, coordinator_epoch, committed };
        let version = markers.transaction_version;
        let question = |(topic, index): &(String, i32)| {
            let (of, place) = self.placed(topic, *index)?;
            Ok((of, place, Question::WriteMarker { marker, version }))
        };
        let questions = markers.partitions.iter().map(question).collect();
        let finish = move |shell: &mut Shell, core: &mut ShardCore, answers: Answers| {
            for ((topic, partition), answer) in markers.partitions.into_iter().zip(answers) {
                let event = txn::Event::MarkerWritten {
                    transactional_id: markers.transactional_id.clone(),
                    producer_id,
                    producer_epoch,
                    topic,
                    partition,
                    result: answer.err().unwrap_or(ErrorCode::None),
                };
                let event = Event::Transaction(event);
                shell.decide(core, slot, |machine, around| machine.step(event, around));
            }
        };
        self.ask_inside(core, questions, Box::new(finish));
    }
}

/// Coming and going.
impl Shell {
    /// Begins to rebuild the coordinators whose logs came open.
    pub(super) fn load_coordinators(&mut self, core: &mut ShardCore) {
        for slot in std::mem::take(&mut self.coordinators.opened) {
            let Some(hosted) = self.logs.get(slot) else { continue };
            let Some(kind) = Kind::of_topic(&hosted.partition.topic.name) else { continue };
            if hosted.doomed || hosted.partition.log.is_failed() {
                continue;
            }
            let (of, next) = (hosted.of, hosted.partition.log.log_start_offset());
            let coordinator = Coordinator {
                of,
                machine: Machine::new(kind, &self.shared.config.defaults),
                reader: Some(Reader { next, reading: false, live: None }),
                held: VecDeque::new(),
                rewrite_above_bytes: REWRITE_BYTES_MIN,
                deadline_ms: None,
            };
            self.coordinators.by_log.insert(slot, coordinator);
            self.read_on(core, slot);
        }
    }

    /// Reads on in the log of a coordinator, until a read has to wait for the disk.
    fn read_on(&mut self, core: &mut ShardCore, slot: Key) {
        loop {
            let Some(coordinator) = self.coordinators.by_log.get_mut(&slot) else { return };
            let Some(reader) = &mut coordinator.reader else { return };
            let Some(hosted) = self.logs.get(slot) else { return };
            if reader.reading {
                return;
            }
            let log = &hosted.partition.log;
            let (from, end) = (reader.next.max(log.log_start_offset()), log.end_offset());
            if from >= end {
                return self.read_to_the_end(core, slot);
            }
            // What is not durable yet counts only for those who append behind it.
            let upto = match reader.live {
                Some(_) => end,
                None => hosted.partition.high_watermark(),
            };
            if from >= upto {
                // Progress comes back here.
                return;
            }
            match log.read(from, upto, LOAD_BYTES, true) {
                Ok(ReadPlan::Memory { slices, .. }) => {
                    if !self.replay(core, slot, from, &slices) {
                        return;
                    }
                }
                Ok(ReadPlan::Empty) => return,
                Ok(plan) => {
                    reader.reading = true;
                    let purpose = ReadFor::Load { slot, from, upto, bytes_max: LOAD_BYTES };
                    let plan = within_a_read(plan);
                    return self.start_read(core, ColdRead { slot, purpose, plan });
                }
                Err(error) => return self.loading_failed(core, slot, &format!("{error:?}")),
            }
        }
    }

    /// A read of a coordinator's log has ended. Without slices there was no memory: the next tick
    /// tries again.
    pub(super) fn load_read_done(
        &mut self,
        core: &mut ShardCore,
        slot: Key,
        from: i64,
        slices: Result<Vec<Slice>, ErrorCode>,
    ) {
        let Some(coordinator) = self.coordinators.by_log.get_mut(&slot) else { return };
        let Some(reader) = &mut coordinator.reader else { return };
        (reader.next, reader.reading) = (from, false);
        match slices {
            Ok(slices) if slices.is_empty() => {}
            Ok(slices) => {
                if self.replay(core, slot, from, &slices) {
                    self.read_on(core, slot);
                }
            }
            Err(code) => self.loading_failed(core, slot, &format!("{code:?}")),
        }
    }

    fn replay(&mut self, core: &mut ShardCore, slot: Key, from: i64, slices: &[Slice]) -> bool {
        let Some(coordinator) = self.coordinators.by_log.get_mut(&slot) else { return false };
        let Some(reader) = &mut coordinator.reader else { return false };
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let into: &mut dyn Replayed = match &mut reader.live {
            Some(live) => live,
            None => &mut coordinator.machine,
        };
        self.codecs.allow(u64::MAX);
        match coordinator::replay(into, &mut self.codecs, &bytes, from) {
            Ok(next) => {
                reader.next = next;
                true
            }
            Err(why) => {
                self.loading_failed(core, slot, &why);
                false
            }
        }
    }

    /// Nothing is left to read.
    fn read_to_the_end(&mut self, core: &mut ShardCore, slot: Key) {
        let Some(coordinator) = self.coordinators.by_log.get_mut(&slot) else { return };
        let of = coordinator.of;
        let Some(reader) = coordinator.reader.take() else { return };
        match reader.live {
            Some(live) => self.rewrite(core, slot, live),
            None => {
                let epoch = self.leader_epoch(of.topic, of.index);
                self.decide(core, slot, |machine, around| machine.loaded(around, epoch));
            }
        }
    }

    /// Those that wait for memory to read their logs into, and logs that have grown beyond what
    /// they say.
    pub(super) fn tend_coordinators(&mut self, core: &mut ShardCore) {
        for slot in self.coordinators.by_log.keys().copied().collect::<Vec<_>>() {
            self.read_on(core, slot);
        }
        let is_busy = |it: &Coordinator| it.reader.is_some();
        if self.stopping || self.coordinators.by_log.values().any(is_busy) {
            return;
        }
        let is_large = |(slot, it): &(&Key, &Coordinator)| {
            let hosted = self.logs.get(**slot);
            hosted.is_some_and(|it_is| it_is.partition.log.size_bytes() > it.rewrite_above_bytes)
        };
        let Some(slot) = self.coordinators.by_log.iter().find(is_large).map(|(slot, _)| *slot)
        else {
            return;
        };
        let Some(hosted) = self.logs.get(slot) else { return };
        let next = hosted.partition.log.log_start_offset();
        if let Some(coordinator) = self.coordinators.by_log.get_mut(&slot) {
            let live = Some(Live::default());
            coordinator.reader = Some(Reader { next, reading: false, live });
            self.read_on(core, slot);
        }
    }

    /// A coordinator's log has been read while it served: what still holds is written once more,
    /// and stands for all that came before.
    fn rewrite(&mut self, core: &mut ShardCore, slot: Key, live: Live) {
        let Some(hosted) = self.logs.get(slot) else { return };
        let size = hosted.partition.log.size_bytes();
        let from = hosted.partition.log.end_offset();
        let Some(coordinator) = self.coordinators.by_log.get_mut(&slot) else { return };
        if !live.is_settled() {
            // What a transaction has open must not come before what is written now.
            coordinator.rewrite_above_bytes = size + REWRITE_BYTES_MIN / 16;
            return;
        }
        let live_bytes = live.bytes();
        // The first segment stays until all of it is behind the log's start.
        let rest = size.min(coordinator.rewrite_above_bytes);
        coordinator.rewrite_above_bytes = rest + (live_bytes as u64 * 4).max(REWRITE_BYTES_MIN);
        if !self.make_room(core, live_bytes + ROOM_BYTES) {
            return;
        }
        let mut records = live.into_records().into_iter().peekable();
        while records.peek().is_some() {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while bytes < REWRITE_BATCH_BYTES
                && let Some((key, value)) = records.next()
            {
                bytes += key.len() + value.as_ref().map_or(0, Vec::len);
                batch.push((key, value));
            }
            if self.append_decision(core, slot, &batch, None).is_none() {
                self.lose_coordinator(core, slot);
                return self.coordinators.log_opened(slot);
            }
        }
        let Some(hosted) = self.logs.get(slot) else { return };
        let end = hosted.partition.log.end_offset();
        if let Some(coordinator) = self.coordinators.by_log.get_mut(&slot) {
            coordinator.held.push_back((end, vec![Command::DropBefore(from)]));
        }
        self.coordinator_progress(core, slot);
    }

    /// What lies before `offset` in a coordinator's log has been said again.
    fn drop_before(&mut self, core: &mut ShardCore, slot: Key, offset: i64) {
        let Some(hosted) = self.logs.get_mut(slot) else { return };
        let mut advanced = Advanced::default();
        hosted.partition.drop_before(offset, &mut advanced);
        self.tell(core, slot, &mut advanced);
        self.touch(slot);
    }

    fn loading_failed(&mut self, core: &mut ShardCore, slot: Key, why: &str) {
        let dir = self.logs.get(slot).map(|hosted| hosted.partition.log.dir().to_path_buf());
        tracing::error!(partition = ?dir, why, "a coordinator's log cannot be read");
        let coordinator = self.coordinators.by_log.get_mut(&slot);
        match coordinator.filter(|coordinator| coordinator.is_serving()) {
            // It knows what it knows; only its log stays as long as it is.
            Some(serving) => {
                serving.reader = None;
                serving.rewrite_above_bytes = u64::MAX;
            }
            None => self.lose_coordinator(core, slot),
        }
    }

    /// A coordinator is no more, or not now: whoever waits for it asks again elsewhere or later.
    pub(super) fn lose_coordinator(&mut self, core: &mut ShardCore, slot: Key) {
        self.coordinators.set_deadline(slot, None);
        if self.coordinators.by_log.remove(&slot).is_none() {
            return;
        }
        let askers = &self.coordinators.askers;
        let waiting = askers.keys().filter(|key| askers.get(*key).is_some_and(|a| a.slot == slot));
        for key in waiting.collect::<Vec<_>>() {
            self.answer_asker(core, Ticket(key.to_u64()), Err(ErrorCode::NotCoordinator));
        }
    }

    /// All of them: the shard stops.
    pub(super) fn lose_coordinators(&mut self, core: &mut ShardCore) {
        for slot in self.coordinators.by_log.keys().copied().collect::<Vec<_>>() {
            self.lose_coordinator(core, slot);
        }
    }
}
