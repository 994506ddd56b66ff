//! Seeded histories of a group that members of both protocols come to: it becomes a consumer group
//! and a classic group again, members stall, leave and die, the coordinator restarts. What holds:
//!
//! - *replay*: what the log has is what is here;
//! - *one answer*: every ticket is answered once ([`Bench`] looks);
//! - *epochs grow*: a group with members never goes back to an earlier generation, whatever its
//!   kind, but for what a restart forgets;
//! - *it settles*: left alone, everybody is in, and each partition has one owner.
//!
//! `RINGLOG_SEED=n cargo test -p ringlog group::tests::both` replays one history.

use ringlog_storage::sim::Random;
use ringlog_wire::api::consumer_group_heartbeat::TopicPartitions;
use ringlog_wire::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};

use super::consumers::{alive, first, given};
use super::*;

const SEEDS: u64 = 200;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Out,
    Joins(Ticket),
    Syncs(Ticket),
    In,
}

#[derive(Debug)]
struct Actor {
    id: String,
    classic: bool,
    epoch: i32,
    phase: Phase,
    owned: Vec<i32>,
}

#[derive(Debug, Default)]
struct Seen {
    upgrades: u32,
    downgrades: u32,
    restarts: u32,
}

struct Sim {
    bench: Bench,
    random: Random,
    actors: Vec<Actor>,
    names: u32,
    seen: Seen,
    /// The group's kind and number, while it has members.
    last: Option<(&'static str, i32)>,
}

fn subscription(owned: &[i32]) -> Vec<u8> {
    let owned_partitions =
        vec![TopicPartition { topic: "a".to_owned(), partitions: owned.to_vec() }];
    let topics = vec!["a".to_owned()];
    ConsumerProtocolSubscription { topics, owned_partitions, ..Default::default() }.to_bytes(1)
}

/// Each member gets its share of topic `a`.
fn assign(told: &JoinGroupResponse) -> Vec<SyncGroupRequestAssignment> {
    let count = told.members.len() as i32;
    let part = |(place, member): (i32, &String)| {
        let partitions = (0..4).filter(|at| at % count == place).collect();
        let assigned_partitions = vec![TopicPartition { topic: "a".to_owned(), partitions }];
        let assignment = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
        SyncGroupRequestAssignment { member_id: member.clone(), assignment: assignment.to_bytes(1) }
    };
    (0..).zip(told.members.iter().map(|member| &member.member_id)).map(part).collect()
}

impl Actor {
    fn reset(&mut self) {
        (self.epoch, self.phase) = (0, Phase::Out);
        self.owned.clear();
        if self.classic {
            self.id.clear();
        }
    }
}

impl Sim {
    fn new(seed: u64) -> Sim {
        let mut bench = Bench::of_consumers();
        bench.groups.config.initial_rebalance_delay_ms = 0;
        let (actors, seen) = (Vec::new(), Seen::default());
        Sim { bench, random: Random::new(seed), actors, names: 0, seen, last: None }
    }

    fn run(mut self) -> Seen {
        for _ in 0..300 {
            self.step();
            self.check();
        }
        self.add();
        for _ in 0..60 {
            for who in 0..self.actors.len() {
                self.act(who);
                self.check();
            }
            self.bench.pass(2_000);
        }
        self.bench.check_log();
        let mut all: Vec<i32> = self.actors.iter().flat_map(|actor| actor.owned.clone()).collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3], "each partition has an owner: {:?}", self.actors);
        assert!(self.actors.iter().all(|actor| actor.phase == Phase::In), "{:?}", self.actors);
        self.seen
    }

    fn step(&mut self) {
        match self.random.below(40) {
            0..=1 if self.actors.len() < 4 => self.add(),
            2 if !self.actors.is_empty() => {
                let who = self.random.index(self.actors.len());
                let gone = self.actors.swap_remove(who);
                if !gone.classic && gone.epoch > 0 && self.random.chance(1, 2) {
                    self.bench.beat(&alive(&gone.id, -1));
                }
            }
            3 => self.restart(),
            4..=9 => {
                let ms = self.random.pick(&[100, 3_000, 20_000]);
                self.bench.pass(ms);
            }
            _ if !self.actors.is_empty() => {
                let who = self.random.index(self.actors.len());
                self.act(who);
            }
            _ => self.add(),
        }
    }

    fn add(&mut self) {
        self.names += 1;
        let classic = self.random.chance(1, 2);
        let id = if classic { String::new() } else { format!("m{}", self.names) };
        self.actors.push(Actor { id, classic, epoch: 0, phase: Phase::Out, owned: Vec::new() });
    }

    fn restart(&mut self) {
        self.seen.restarts += 1;
        self.bench.check_log();
        self.bench.restart();
        self.last = None;
        for actor in &mut self.actors {
            if let Phase::Joins(ticket) | Phase::Syncs(ticket) = actor.phase
                && self.bench.waits(ticket)
            {
                actor.phase = Phase::Out;
            }
        }
    }

    fn check(&mut self) {
        let now = self.bench.groups.groups.get("g").filter(|group| !group.any().is_empty());
        let now = now.map(|group| match group {
            Group::Classic(group) => ("classic", group.written().generation),
            Group::Consumer(group) => ("consumer", group.epoch()),
        });
        if let (Some(last), Some(now)) = (self.last, now) {
            assert!(now.1 >= last.1, "epochs grow: {last:?}, {now:?}");
            self.seen.upgrades += u32::from(last.0 < now.0);
            self.seen.downgrades += u32::from(last.0 > now.0);
        }
        self.last = now;
        if self.random.chance(1, 5) {
            self.bench.check_log();
        }
    }

    fn act(&mut self, who: usize) {
        if self.actors[who].classic { self.act_classic(who) } else { self.act_consumer(who) }
    }

    fn act_consumer(&mut self, who: usize) {
        let actor = &mut self.actors[who];
        let mut request = match actor.epoch {
            0 => first(&actor.id, &["a"]),
            epoch => alive(&actor.id, epoch),
        };
        if actor.epoch > 0 {
            let (topic_id, partitions) = (uuid(1), actor.owned.clone());
            request.topic_partitions = Some(vec![TopicPartitions { topic_id, partitions }]);
        }
        let told = self.bench.beat(&request);
        match told.error_code {
            ErrorCode::None => {
                (actor.epoch, actor.phase) = (told.member_epoch, Phase::In);
                if told.assignment.is_some() {
                    actor.owned = given(&told);
                }
            }
            // A group whose members have parts of several generations is not converted.
            ErrorCode::UnknownMemberId
            | ErrorCode::FencedMemberEpoch
            | ErrorCode::GroupIdNotFound => actor.reset(),
            other => panic!("{other}: {:?}", told.error_message),
        }
    }

    fn act_classic(&mut self, who: usize) {
        let actor = &mut self.actors[who];
        match actor.phase {
            Phase::Out => {
                let asks = asks(&actor.id)
                    .with(|request| request.protocols[0].metadata = subscription(&actor.owned));
                actor.phase = Phase::Joins(self.bench.join(asks));
            }
            Phase::Joins(ticket) if !self.bench.waits(ticket) => {
                let told = self.bench.joined(ticket);
                match told.error_code {
                    ErrorCode::MemberIdRequired => {
                        (actor.id, actor.phase) = (told.member_id, Phase::Out);
                    }
                    ErrorCode::None => {
                        actor.epoch = told.generation_id;
                        let ticket = self.bench.sync_of(SyncGroupRequest {
                            group_id: "g".to_owned(),
                            generation_id: told.generation_id,
                            member_id: told.member_id.clone(),
                            assignments: assign(&told),
                            ..Default::default()
                        });
                        actor.phase = Phase::Syncs(ticket);
                    }
                    error => actor.failed(error),
                }
            }
            Phase::Syncs(ticket) if !self.bench.waits(ticket) => {
                let told = self.bench.synced(ticket);
                if !told.error_code.is_none() {
                    return actor.failed(told.error_code);
                }
                let part = ConsumerProtocolAssignment::from_bytes(&told.assignment);
                let topics = part.expect("a part").assigned_partitions.into_iter();
                actor.owned = topics.flat_map(|topic| topic.partitions).collect();
                actor.phase = Phase::In;
            }
            Phase::Joins(_) | Phase::Syncs(_) => {}
            Phase::In => {
                let (member_id, generation_id) = (actor.id.clone(), actor.epoch);
                let who = JoinGroupResponse { member_id, generation_id, ..Default::default() };
                let error = self.bench.heartbeat(&who);
                if !error.is_none() {
                    actor.failed(error);
                }
            }
        }
    }
}

impl Actor {
    fn failed(&mut self, error: ErrorCode) {
        match error {
            ErrorCode::RebalanceInProgress => self.phase = Phase::Out,
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => self.reset(),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn seeds() {
    let one = std::env::var("RINGLOG_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = one.map_or(0..SEEDS, |seed| seed..seed + 1);
    let (mut total, mut failed) = (Seen::default(), Vec::new());
    for seed in seeds {
        match std::panic::catch_unwind(|| Sim::new(seed).run()) {
            Ok(seen) => {
                total.upgrades += seen.upgrades;
                total.downgrades += seen.downgrades;
                total.restarts += seen.restarts;
            }
            Err(_) => {
                let test = "cargo test -p ringlog group::tests::both";
                eprintln!("FAILED   replay: RINGLOG_SEED={seed} {test}");
                failed.push(seed);
            }
        }
    }
    assert!(failed.is_empty(), "failed seeds: {failed:?}");
    let all = [total.upgrades, total.downgrades, total.restarts];
    assert!(one.is_some() || all.iter().all(|count| *count > 0), "never happens: {total:?}");
}
