//! The coordinators of one shard: questions reach them here, their decisions go to their logs, and
//! what they decided is done when it is durable.
//!
//! Invariants: a coordinator serves only when its log has been read to the end; a decision's
//! records are one batch; its commands are carried out in the order of decisions, when everything
//! up to that batch is durable; everyone who asks is answered exactly once, with NOT_COORDINATOR if
//! the coordinator is lost meanwhile.

mod gather;
mod markers;
mod offsets;
mod reading;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringlog_wire::batch::{Batch, BatchBuilder, BatchOptions};
use ringlog_wire::error::ErrorCode;

use super::{ShardCore, Shell, random_uuid};
use crate::config::Advertise;
use crate::coordinator::{
    self, Answer, Around, Ask, Command, Decision, Event, ImageView, Kind, Live, Machine, Ticket,
};
use crate::group;
use crate::memory::PoolMemory;
use crate::message::{Message, TopicPartition};
use crate::partition::TopicName;
use crate::slab::{Key, Slab};
use crate::topics::Place;
use crate::txn;

/// Memory for records that must be free before a coordinator is asked anything: a decision of a
/// full batch (`max.message.bytes`), and some more.
const ROOM_BYTES: usize = (1 << 20) + (256 << 10);
/// What a coordinator decides at once must fit one batch, bytes.
const BATCH_BYTES_MAX: usize = 64 << 20;

/// What is done with a coordinator's answer.
pub(crate) type Finish =
    Box<dyn FnOnce(&mut Shell, &mut ShardCore, Result<Answer, ErrorCode>) + Send>;

/// What is done with the answers of several, in the order of the questions.
pub(crate) type FinishAll =
    Box<dyn FnOnce(&mut Shell, &mut ShardCore, Vec<Result<Answer, ErrorCode>>) + Send>;

/// One coordinator.
struct Coordinator {
    of: TopicPartition,
    /// How many there were on this shard before it.
    incarnation: u64,
    machine: Machine,
    /// Bytes of the machine when it was last looked at.
    bytes: usize,
    reader: Option<Reader>,
    /// What is done when everything below the offset is durable; ascending.
    held: VecDeque<(i64, Vec<Command>)>,
    /// Bytes of the log that came since it was last written again, and with how many of them it is
    /// looked at for what can be left out.
    fresh_bytes: u64,
    rewrite_at_bytes: u64,
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

/// See the module's head.
#[derive(Default)]
pub(crate) struct Coordinators {
    by_log: HashMap<Key, Coordinator>,
    /// The sum of their machines' bytes.
    bytes: usize,
    deadlines: BTreeSet<(i64, Key)>,
    askers: Slab<Asker>,
    /// This shard's questions. Bounded by requests in flight.
    asked: Slab<Finish>,
    gatherings: Slab<gather::Gathering>,
    /// Logs whose coordinators are to be rebuilt.
    opened: Vec<Key>,
    /// Logs that could not be read, and when that is tried again, on the wall clock, milliseconds.
    unread: Vec<(i64, Key)>,
    incarnations: u64,
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

    /// Tells a coordinator from one that had the same log before; `None` while there is none.
    fn incarnation_of(&self, slot: Key) -> Option<u64> {
        self.by_log.get(&slot).map(|coordinator| coordinator.incarnation)
    }

    /// What the coordinator with that log coordinates; `None` while there is none.
    fn kind_of(&self, slot: Key) -> Option<Kind> {
        self.by_log.get(&slot).map(|coordinator| coordinator.machine.kind())
    }

    /// Looks at how much a machine takes now.
    fn weigh(&mut self, slot: Key) {
        let Some(coordinator) = self.by_log.get_mut(&slot) else { return };
        let bytes = coordinator.machine.bytes();
        self.bytes = self.bytes - coordinator.bytes + bytes;
        coordinator.bytes = bytes;
    }

    /// Takes a coordinator out; says whether there was one.
    fn remove(&mut self, slot: Key) -> bool {
        self.set_deadline(slot, None);
        let removed = self.by_log.remove(&slot);
        self.bytes -= removed.as_ref().map_or(0, |coordinator| coordinator.bytes);
        removed.is_some()
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
            Ok(_) if !self.make_room(core, ROOM_BYTES) => Err(ErrorCode::CoordinatorLoadInProgress),
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
        match ask.event(ticket) {
            Event::Group(event @ group::Event::TxnCommit { .. }) => {
                self.verify_offsets(core, slot, ticket, event);
            }
            event => self.decide(core, slot, |machine, around| machine.step(event, around)),
        }
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
            now_ms: core.steady_ms(),
            topics: ImageView {
                image: &self.image,
                version: self.topics_version,
                created_version: self.topics_created_version,
                rack: &self.rack,
            },
            new_uuid: &mut random_uuid,
            next_producer_id: &mut || producer_ids.next(),
        };
        let is_of_transactions = coordinator.machine.kind() == Kind::Transactions;
        let others = self.coordinators.bytes - coordinator.bytes;
        let bytes_max = self.shared.config.coordinator_memory_per_shard().saturating_sub(others);
        coordinator.machine.limit_bytes(bytes_max);
        let decision = event(&mut coordinator.machine, around);
        let deadline = coordinator.machine.next_deadline_ms();
        // What is overdue has its turn again, but not in this one.
        let deadline = deadline.map(|at| at.max(core.steady_ms() + 1));
        self.coordinators.set_deadline(slot, deadline);
        self.coordinators.weigh(slot);
        if is_of_transactions {
            self.keep_producer_ids(core);
        }
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
        let now_ms = core.steady_ms();
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
                if let Some(coordinator) = self.coordinators.by_log.get_mut(&slot) {
                    coordinator.fresh_bytes += bytes.len() as u64;
                }
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
        let now_ms = core.steady_ms();
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
        let wait = u64::try_from(at - core.steady_ms()).unwrap_or(0);
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
