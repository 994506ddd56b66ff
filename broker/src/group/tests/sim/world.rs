//! The coordinator with its log, its clients, and what befalls them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ringlog_storage::sim::Random;
use ringlog_wire::ErrorCode;

use super::member::{Member, PARTITIONS, Phase};
use super::model::Model;
use crate::coordinator::Ticket;
use crate::group::tests::{Entry, Topics, read, uuid, written};
use crate::group::{Command, Event, GroupConfig, Groups, Output, Response};

/// What happened, over all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    pub parts: u64,
    pub commits: u64,
    pub transactions: u64,
    pub fetches: u64,
    pub crashes: u64,
    pub lost: u64,
    pub fenced: u64,
    pub deleted: u64,
    pub records: u64,
}

impl Figures {
    pub fn add(&mut self, other: &Figures) {
        self.parts += other.parts;
        self.commits += other.commits;
        self.transactions += other.transactions;
        self.fetches += other.fetches;
        self.crashes += other.crashes;
        self.lost += other.lost;
        self.fenced += other.fenced;
        self.deleted += other.deleted;
        self.records += other.records;
    }
}

/// What a ticket is for.
#[derive(Clone, Debug)]
pub(super) enum Wait {
    Member(usize),
    Heartbeat(usize, i32),
    Commit((String, i32), i64, bool),
    Fetch(String),
    Other,
}

/// A transaction with one offset.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub producer_id: i64,
    pub place: (String, i32),
    pub offset: i64,
    pub at: usize,
}

pub struct World {
    pub(super) random: Random,
    pub(super) config: GroupConfig,
    pub(super) topics: Topics,
    pub(super) groups: Groups,
    pub(super) now_ms: i64,
    pub(super) log: Vec<Entry>,
    /// Decided, and not durable yet: where its records end, and what follows then.
    pub(super) flight: VecDeque<(usize, Vec<Command>)>,
    /// Where the durable part of the log ends.
    pub(super) durable: usize,
    pub(super) waits: BTreeMap<Ticket, Wait>,
    pub(super) members: Vec<Member>,
    pub(super) open: Vec<Open>,
    pub(super) model: Model,
    pub(super) numbers: u64,
    pub(super) offset: i64,
    pub(super) figures: Figures,
}

impl World {
    pub fn run(seed: u64) -> Result<Figures, String> {
        let mut world = World::new(seed);
        let steps = world.random.range(100..500);
        for _ in 0..steps {
            world.act()?;
            if world.random.chance(1, 2) {
                world.settle()?;
            }
            if world.random.chance(1, 10) {
                world.compare()?;
            }
        }
        world.crash()?;
        world.compare()?;
        world.figures.records = world.log.len() as u64;
        Ok(world.figures)
    }

    fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let config = GroupConfig {
            initial_rebalance_delay_ms: random.pick(&[0, 100, 3_000]),
            members_max: random.pick(&[2, 4, 1_000]),
            offsets_retention_ms: random.pick(&[20_000, 600_000, 1 << 40]),
            offsets_retention_check_ms: random.pick(&[5_000, 600_000]),
            ..GroupConfig::default()
        };
        let mut topics = Topics::new();
        topics.0.insert("a".to_owned(), (uuid(1), PARTITIONS));
        let count = random.range(2..10) as usize;
        let members = (0..count).map(|number| Member {
            number,
            group: random.pick(&["g", "g", "g", "h"]).to_owned(),
            instance_id: random.chance(1, 3).then(|| format!("i{}", random.below(3))),
            version: random.pick(&[3, 5, 8, 9]),
            protocols: random.pick(&[&["x"][..], &["x", "y"], &["y", "x"]]).to_vec(),
            session_ms: random.pick(&[6_000, 30_000]),
            id: String::new(),
            generation: -1,
            phase: Phase::Out,
            partitions: Vec::new(),
            stalls_until_ms: 0,
        });
        let members = members.collect();
        let mut groups = Groups::new(config.clone());
        groups.loaded(1_000_000);
        World {
            random,
            config,
            topics,
            groups,
            now_ms: 1_000_000,
            log: Vec::new(),
            flight: VecDeque::new(),
            durable: 0,
            waits: BTreeMap::new(),
            members,
            open: Vec::new(),
            model: Model::default(),
            numbers: 0,
            offset: 0,
            figures: Figures::default(),
        }
    }

    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn ticket(&mut self, wait: Wait) -> Ticket {
        let ticket = Ticket(self.number());
        self.waits.insert(ticket, wait);
        ticket
    }

    pub(super) fn step(&mut self, event: Event) {
        if let Event::EndTransaction { producer_id, committed, .. } = event {
            self.log.push(Entry::Marker(producer_id, committed));
        }
        let World { groups, topics, now_ms, numbers, .. } = self;
        let mut ids = || {
            *numbers += 1;
            uuid(u128::from(*numbers))
        };
        let out = groups.step(*now_ms, event, topics, &mut ids);
        self.decided(out);
    }

    pub(super) fn decided(&mut self, out: Output) {
        let (at, producer) = (self.log.len(), out.transactional);
        self.log.extend(out.records.into_iter().map(|record| Entry::record(record, producer)));
        self.figures.deleted += self.model.appended(at, &self.log[at..]) as u64;
        self.flight.push_back((self.log.len(), out.commands));
        self.groups.offsets.check();
    }

    /// Some of what was decided becomes durable, and is told.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        for _ in 0..self.random.below(self.flight.len() as u64 + 1) {
            let Some((end, commands)) = self.flight.pop_front() else { break };
            self.durable = end;
            for Command::Reply { to, response } in commands {
                let wait = self.waits.remove(&to);
                let wait = wait.ok_or_else(|| format!("one answer: {to:?} is answered twice"))?;
                self.told(end, wait, response)?;
            }
        }
        Ok(())
    }

    pub(super) fn told(
        &mut self,
        end: usize,
        wait: Wait,
        response: Response,
    ) -> Result<(), String> {
        match (wait, response) {
            (Wait::Member(who), Response::Join(told)) => {
                self.figures.fenced += u64::from(told.error_code == ErrorCode::FencedInstanceId);
                self.members[who].joined(told);
            }
            (Wait::Member(who), Response::Sync(told)) => {
                let member = &mut self.members[who];
                member.synced(&told);
                if told.error_code.is_none() {
                    self.figures.parts += 1;
                    let (log, owner) = (&self.log[..end], member.owner());
                    let Member { group, generation, partitions, .. } = member;
                    self.model.part(log, group, *generation, &owner, partitions)?;
                }
            }
            (Wait::Heartbeat(who, generation), Response::Heartbeat(told)) => {
                let member = &mut self.members[who];
                if told.error_code.is_none() {
                    self.model.alive(&self.log[..end], &member.group, generation)?;
                } else if member.phase == Phase::In && member.generation == generation {
                    member.failed(told.error_code);
                }
            }
            (Wait::Commit(place, offset, false), Response::Commit(told)) => {
                if told.topics[0].partitions[0].error_code.is_none() {
                    self.figures.commits += 1;
                    self.model.acked(end, &place, offset);
                }
            }
            (Wait::Commit(place, offset, true), Response::TxnCommit(told)) => {
                if !told.topics[0].partitions[0].error_code.is_none() {
                    self.open.retain(|open| open.place != place || open.offset != offset);
                }
            }
            (Wait::Fetch(group), Response::Fetch(told)) => {
                self.figures.fetches += 1;
                for told in told.topics.into_iter().flat_map(|topic| topic.partitions) {
                    if told.error_code.is_none() {
                        let place = (group.clone(), told.partition_index);
                        self.model.read(&place, told.committed_offset)?;
                    }
                }
            }
            (Wait::Other, _) => {}
            (wait, response) => return Err(format!("one answer: {wait:?} is told {response:?}")),
        }
        Ok(())
    }

    /// Something happens.
    fn act(&mut self) -> Result<(), String> {
        match self.random.below(100) {
            0..60 => self.member_acts(),
            60..68 => self.pass(),
            68..76 => self.fetch(),
            76..80 => self.commit_of_nobody(),
            80..86 => self.transaction(),
            86..90 => self.end_transaction()?,
            90..94 => self.stranger(),
            94..96 => self.admin(),
            96..98 => self.member_dies(),
            _ => self.crash()?,
        }
        Ok(())
    }

    pub(super) fn pass(&mut self) {
        let ms = self.random.pick(&[10, 1_000, 3_000, 7_000, 31_000, 61_000]);
        self.now_ms += self.random.below(ms) as i64;
        for _ in 0..1_000 {
            let due_ms = self.groups.next_deadline_ms();
            if due_ms.is_none_or(|due_ms| due_ms > self.now_ms) {
                return;
            }
            let out = self.groups.timer(self.now_ms, &self.topics);
            self.decided(out);
        }
        panic!("timers without end");
    }

    /// The coordinator dies: of what is not durable yet, the log keeps some. Nothing of it is told.
    pub(super) fn crash(&mut self) -> Result<(), String> {
        self.figures.crashes += 1;
        let mut left: BTreeSet<Ticket> = BTreeSet::new();
        let mut left_twice = |ticket: Ticket| match left.insert(ticket) {
            true => Ok(()),
            false => Err(format!("one answer: {ticket:?} is handed out twice")),
        };
        self.groups.unload().into_iter().try_for_each(&mut left_twice)?;
        let flight = std::mem::take(&mut self.flight);
        let kept = self.random.below(flight.len() as u64 + 1) as usize;
        let mut end = self.durable;
        for (place, (upto, commands)) in flight.into_iter().enumerate() {
            if place < kept {
                end = upto;
            }
            let tickets = commands.into_iter().map(|Command::Reply { to, .. }| to);
            tickets.into_iter().try_for_each(&mut left_twice)?;
        }
        self.figures.lost += (self.log.len() - end) as u64;
        self.log.truncate(end);
        self.durable = end;
        self.model.cut(end);
        self.open.retain(|open| open.at <= end);
        if !left.iter().eq(self.waits.keys()) {
            return Err(format!("one answer: {left:?} are left of {:?}", self.waits.keys()));
        }
        for wait in std::mem::take(&mut self.waits).into_values() {
            if let Wait::Member(who) = wait {
                self.members[who].failed(ErrorCode::NotCoordinator);
            }
        }
        self.groups = read(&self.config, &self.log);
        let out = self.groups.loaded(self.now_ms);
        self.decided(out);
        Ok(())
    }

    pub(super) fn compare(&self) -> Result<(), String> {
        let again = read(&self.config, &self.log);
        if again.offsets.all() != self.groups.offsets.all() {
            return Err("replay: the log has other offsets".to_owned());
        }
        let (here, there) = (written(&self.groups), written(&again));
        if !here.keys().eq(there.keys()) {
            return Err(format!("replay: {:?} here, {:?} there", here.keys(), there.keys()));
        }
        for (group, here) in here {
            let there = &there[&group];
            if here.is_some() && here != *there {
                return Err(format!("replay: {here:?} here, {there:?} there"));
            }
        }
        Ok(())
    }
}
