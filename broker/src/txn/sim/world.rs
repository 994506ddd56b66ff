//! The coordinator, its log, and everything on its way.

use std::collections::{BTreeMap, VecDeque};

use ringlog_wire::error::ErrorCode;
use ringlog_wire::records::TransactionRecord;

use super::Random;
use super::partitions::{DELETED, Marker, PARTITIONS, Partition, Write};
use super::producers::{Producer, What, id_name};
use crate::coordinator::Ticket;
use crate::txn::record::record_of;
use crate::txn::state::Transaction;
use crate::txn::{Command, Event, Output, Response, Transactions, TxnConfig};

const IDS: usize = 3;
const LIVE_MAX: usize = 6;
const TICKS: usize = 2000;

/// What happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub(super) commits: usize,
    pub(super) aborts: usize,
    pub(super) writes: usize,
    pub(super) fenced: usize,
    pub(super) crashes: usize,
    pub(super) lost_batches: usize,
    pub(super) failed_markers: usize,
    pub(super) rotations: usize,
    pub(super) waits: usize,
}

impl Figures {
    pub(super) fn add(&mut self, other: &Figures) {
        self.commits += other.commits;
        self.aborts += other.aborts;
        self.writes += other.writes;
        self.fenced += other.fenced;
        self.crashes += other.crashes;
        self.lost_batches += other.lost_batches;
        self.failed_markers += other.failed_markers;
        self.rotations += other.rotations;
        self.waits += other.waits;
    }

    /// A simulation in which something never happens proves nothing about it.
    pub(super) fn assert_everything_happened(&self) {
        let Figures { commits, aborts, writes, fenced, .. } = self;
        assert!(*commits > 1000 && *aborts > 1000 && *writes > 1000 && *fenced > 100, "{self:?}");
        let Figures { crashes, lost_batches, failed_markers, rotations, waits, .. } = self;
        assert!(*crashes > 100 && *lost_batches > 100 && *failed_markers > 100, "{self:?}");
        assert!(*rotations > 20 && *waits > 100, "{self:?}");
    }
}

/// A request that was sent.
pub(super) struct Asked {
    pub(super) who: usize,
    pub(super) what: What,
    pub(super) stepped: bool,
    pub(super) answered: bool,
    /// Another instance had its answer before the coordinator saw this.
    pub(super) zombie: bool,
}

pub(super) struct World {
    pub(super) rng: Random,
    pub(super) now_ms: i64,
    pub(super) config: TxnConfig,
    pub(super) machine: Transactions,
    pub(super) coordinator_epoch: i32,
    pub(super) log: Vec<Vec<TransactionRecord>>,
    pub(super) durable: usize,
    pub(super) pending: VecDeque<(usize, Vec<Command>)>,
    pub(super) requests: Vec<(Ticket, Event)>,
    pub(super) markers: Vec<Marker>,
    pub(super) results: Vec<Event>,
    pub(super) asked: Vec<Asked>,
    pub(super) partitions: Vec<Partition>,
    pub(super) producers: Vec<Producer>,
    owner: BTreeMap<usize, usize>,
    next_id: i64,
    txns: usize,
    pub(super) promised: BTreeMap<usize, bool>,
    pub(super) figures: Figures,
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        let mut rng = Random::new(seed);
        let config = TxnConfig {
            transactional_id_expiration_ms: 20_000,
            transaction_abort_timed_out_transaction_cleanup_interval_ms: 50,
            transaction_remove_expired_transaction_cleanup_interval_ms: 1000,
            transaction_version: if rng.once_in(4) { 0 } else { 2 },
            ..TxnConfig::default()
        };
        let mut log = Vec::new();
        // Some ids are about to run out of epochs.
        for id in 0..rng.below(IDS) {
            let producer_epoch = i16::MAX - 2 - rng.below(8) as i16;
            let old = Transaction::new(id as i64, 100, 0);
            let old = Transaction { producer_epoch, ..old };
            log.push(vec![record_of(&id_name(id), &old)]);
        }
        let mut world = World {
            rng,
            now_ms: 1000,
            machine: Transactions::new(config.clone()),
            config,
            coordinator_epoch: 0,
            durable: log.len(),
            log,
            pending: VecDeque::new(),
            requests: Vec::new(),
            markers: Vec::new(),
            results: Vec::new(),
            asked: Vec::new(),
            partitions: PARTITIONS.iter().map(|_| Partition::default()).collect(),
            producers: Vec::new(),
            owner: BTreeMap::new(),
            next_id: 100,
            txns: 0,
            promised: BTreeMap::new(),
            figures: Figures::default(),
        };
        world.load();
        world
    }

    pub(super) fn run(mut self) -> Figures {
        for id in 0..IDS {
            self.begin_producer(id);
        }
        for _ in 0..TICKS {
            self.tick();
        }
        self.drain();
        self.check();
        self.figures
    }

    fn tick(&mut self) {
        match self.rng.below(100) {
            0..30 => self.producer_acts(),
            30..52 => self.request_arrives(),
            52..72 => self.flush(),
            72..82 => self.marker_arrives(),
            82..92 => self.result_arrives(),
            92..95 => self.time_passes(),
            95 if self.producers.iter().filter(|old| !old.dead).count() < LIVE_MAX => {
                let id = self.rng.below(IDS);
                self.begin_producer(id);
            }
            97 if self.rng.once_in(2) => self.crash(),
            98 if self.rng.once_in(10) => self.delete_topic(),
            _ => self.compare_replayed(),
        }
    }

    fn begin_producer(&mut self, id: usize) {
        // The instance before it is gone, or does not know that it should be.
        if self.rng.once_in(2) {
            self.producers.iter_mut().filter(|old| old.id == id).for_each(|old| old.dead = true);
        }
        let second = self.config.transaction_version == 2 && !self.rng.once_in(3);
        self.producers.push(Producer::new(id, second));
    }

    fn producer_acts(&mut self) {
        let live = |&(_, producer): &(usize, &Producer)| !producer.dead;
        let live: Vec<usize> =
            self.producers.iter().enumerate().filter(live).map(|(who, _)| who).collect();
        if live.len() < 2 {
            let id = self.rng.below(IDS);
            return self.begin_producer(id);
        }
        let who = live[self.rng.below(live.len())];
        let producer = &mut self.producers[who];
        if let Some(ticket) = producer.waits_for {
            if self.rng.once_in(6) {
                producer.waits_for = None;
                // The second version stands a request that comes after its retry; in the first,
                // the closed connection must have taken it along.
                if !producer.second {
                    let dropped = self.requests.extract_if(.., |(to, _)| *to == ticket);
                    dropped.for_each(|(to, _)| self.asked[to.0 as usize].answered = true);
                }
            }
            return;
        }
        let what = producer.next(&mut self.rng, &mut self.txns);
        let what = match what {
            What::Write(write) if self.partitions[write.partition].is_open_for(&write) => {
                let code = self.partitions[write.partition].append(&write);
                self.figures.writes += 1;
                return self.producers[who].told(&mut self.rng, what, code, None);
            }
            What::Write(write) => {
                let guard = self.partitions[write.partition].markers(write.producer_id);
                What::Write(Write { guard, ..write })
            }
            what => what,
        };
        let to = Ticket(self.asked.len() as u64);
        let asked = Asked { who, what, stepped: false, answered: false, zombie: false };
        self.asked.push(asked);
        let producer = &mut self.producers[who];
        producer.waits_for = Some(to);
        self.requests.push((to, producer.event(to, what)));
    }

    pub(super) fn request_arrives(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let at = self.rng.below(self.requests.len());
        let (to, event) = self.requests.swap_remove(at);
        let asked = &mut self.asked[to.0 as usize];
        asked.stepped = true;
        let owner = self.owner.get(&self.producers[asked.who].id);
        asked.zombie = owner.is_some_and(|&owner| owner != asked.who);
        self.step(event);
    }

    fn step(&mut self, event: Event) {
        let World { machine, rng, next_id, now_ms, .. } = self;
        let may_wait = matches!(event, Event::Verify { .. });
        let output = machine.step(*now_ms, event, &mut || producer_id(rng, next_id));
        self.figures.waits += usize::from(may_wait && output.commands.is_empty());
        self.put(output);
    }

    pub(super) fn put(&mut self, output: Output) {
        let Output { records, commands } = output;
        if !records.is_empty() {
            self.log.push(records);
        }
        self.pending.push_back((self.log.len(), commands));
    }

    pub(super) fn flush(&mut self) {
        self.durable = self.log.len() - self.rng.below(self.log.len() - self.durable + 1);
        while self.pending.front().is_some_and(|(needs, _)| *needs <= self.durable) {
            let (_, commands) = self.pending.pop_front().expect("there is one");
            commands.into_iter().for_each(|command| self.carry_out(command));
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Reply { to, response } => {
                let (code, identity) = read(response);
                self.answer(to, code, identity);
            }
            Command::WriteMarkers {
                transactional_id,
                producer_id,
                producer_epoch,
                coordinator_epoch,
                committed,
                transaction_version,
                partitions,
            } => {
                let place = |(topic, index): (String, i32)| {
                    let at = PARTITIONS.iter().position(|&known| known == (&*topic, index));
                    at.expect("a partition that was added")
                };
                let marker = |partition| Marker {
                    transactional_id: transactional_id.clone(),
                    partition,
                    producer_id,
                    producer_epoch,
                    coordinator_epoch,
                    committed,
                    transaction_version,
                };
                self.markers.extend(partitions.into_iter().map(place).map(marker));
            }
        }
    }

    pub(super) fn answer(&mut self, to: Ticket, code: ErrorCode, identity: Option<(i64, i16)>) {
        let asked = &mut self.asked[to.0 as usize];
        assert!(!asked.answered, "a ticket is answered twice: {:?}", asked.what);
        asked.answered = true;
        let (who, what) = (asked.who, asked.what);
        let plain = matches!(what, What::Init { recovers: false });
        if asked.zombie && !plain {
            assert_ne!(code, ErrorCode::None, "a zombie is not fenced: {what:?}");
            self.figures.fenced += 1;
        }
        let mut code = code;
        if code == ErrorCode::None {
            match what {
                What::Init { recovers } => {
                    if !recovers {
                        self.owner.insert(self.producers[who].id, who);
                    }
                }
                What::Write(write) => {
                    self.figures.writes += 1;
                    code = self.partitions[write.partition].append(&write);
                }
                What::End { txn, committed } => {
                    self.figures.rotations += usize::from(identity.is_some_and(|(_, at)| at == 0));
                    let before = self.promised.insert(txn, committed);
                    assert!(before.is_none_or(|before| before == committed), "two decisions");
                    let figure = if committed {
                        &mut self.figures.commits
                    } else {
                        &mut self.figures.aborts
                    };
                    *figure += 1;
                }
                What::Add { .. } => {}
            }
        }
        let producer = &mut self.producers[who];
        if producer.waits_for == Some(to) && !producer.dead && !self.rng.once_in(10) {
            producer.told(&mut self.rng, what, code, identity);
        }
    }

    pub(super) fn marker_arrives(&mut self) {
        if self.markers.is_empty() {
            return;
        }
        let at = self.rng.below(self.markers.len());
        let marker = self.markers.swap_remove(at);
        let failure = self.rng.once_in(5);
        let written = !failure || self.rng.once_in(2);
        let mut result = ErrorCode::NotLeaderOrFollower;
        if written {
            result = self.partitions[marker.partition].mark(&marker);
        }
        if failure {
            // It may have been written all the same.
            self.figures.failed_markers += 1;
            result = ErrorCode::RequestTimedOut;
        }
        let (topic, partition) = PARTITIONS[marker.partition];
        self.results.push(Event::MarkerWritten {
            transactional_id: marker.transactional_id,
            producer_id: marker.producer_id,
            producer_epoch: marker.producer_epoch,
            coordinator_epoch: marker.coordinator_epoch,
            topic: topic.to_owned(),
            partition,
            result,
        });
    }

    pub(super) fn result_arrives(&mut self) {
        if !self.results.is_empty() {
            let at = self.rng.below(self.results.len());
            let event = self.results.swap_remove(at);
            self.step(event);
        }
    }

    pub(super) fn time_passes(&mut self) {
        self.now_ms += 1 + self.rng.below(60) as i64;
        self.ring();
    }

    fn ring(&mut self) {
        while self.machine.next_deadline_ms().is_some_and(|due_ms| due_ms <= self.now_ms) {
            let World { machine, rng, next_id, now_ms, .. } = self;
            let output = machine.timer(*now_ms, &mut || producer_id(rng, next_id));
            self.put(output);
        }
    }

    fn delete_topic(&mut self) {
        self.partitions[DELETED].deleted = true;
        // Whoever asks later learns it from the markers' results.
        if self.rng.once_in(2) {
            self.step(Event::TopicsDeleted { topics: vec!["gone".to_owned()] });
        }
    }
}

fn producer_id(rng: &mut Random, next_id: &mut i64) -> Option<i64> {
    (!rng.once_in(10)).then(|| {
        *next_id += 1;
        *next_id
    })
}

fn read(response: Response) -> (ErrorCode, Option<(i64, i16)>) {
    match response {
        Response::InitProducerId(told) => {
            (told.error_code, Some((told.producer_id, told.producer_epoch)))
        }
        Response::AddPartitions(told) => {
            let first = told.topic_results.first().and_then(|it| it.results_by_partition.first());
            (first.expect("the partition").partition_error_code, None)
        }
        Response::AddOffsets(told) => (told.error_code, None),
        Response::EndTxn(told) => (told.error_code, Some((told.producer_id, told.producer_epoch))),
        Response::Verify(told) => (told.first().expect("the partition").2, None),
        Response::Describe(_) | Response::List(_) => unreachable!("nobody asks"),
    }
}
