//! Seeded histories: members of both protocols that join, leave, die, stall, lose answers and
//! change their minds; topics that come, grow and go; a coordinator that crashes and reads its log.
//!
//! A member owns a partition from the answer that gives it until it no longer lists it in a
//! heartbeat that has arrived, or is fenced. Never two owners of a partition; epochs only grow;
//! when things have been quiet for a while, everybody has exactly what the target gives.
//!
//! `RINGLOG_SEED=n cargo test -p ringlog consumer::tests::sim` replays one history,
//! `RINGLOG_SEEDS=n` sets how many are tried.

use ringlog_wire::api::heartbeat::HeartbeatRequest;
use ringlog_wire::api::sync_group::SyncGroupRequest;

use super::actor::{Actor, Owned, Random, classic_join, lists, pairs, told_classic};
use super::*;
use crate::group::consumer::{GroupState, MigrationPolicy};

const SEEDS_DEFAULT: u64 = 300;
const STEPS: usize = 250;

struct Sim {
    desk: Desk,
    random: Random,
    actors: Vec<Actor>,
    quiet: bool,
    names: u32,
    epochs: (i32, i32),
}

impl Sim {
    fn new(seed: u64) -> Sim {
        let mut desk = Desk::new();
        let mut random = Random(seed);
        desk.read_back_steps = 25;
        desk.config.migration_policy = MigrationPolicy::Upgrade;
        desk.config.assignment_interval_ms = [0, 1_000][random.below(2) as usize];
        Sim { desk, random, actors: Vec::new(), quiet: false, names: 0, epochs: (0, 0) }
    }

    fn run(&mut self) {
        for _ in 0..STEPS {
            self.step();
        }
        // Members of the classic protocol alone would be a classic group by now.
        self.add_actor();
        let last = self.actors.len() - 1;
        self.actors[last].classic = false;
        self.quiet = true;
        for actor in &mut self.actors {
            actor.silent_until_ms = 0;
        }
        for _ in 0..80 {
            for index in 0..self.actors.len() {
                self.act(index);
            }
            self.pass(2_000);
        }
        self.check_settled();
    }

    fn step(&mut self) {
        match self.random.below(40) {
            0..=2 if self.actors.len() < 7 => self.add_actor(),
            3 => self.change_topics(),
            4 => self.restart(),
            5 => {
                let ms = self.random.below(20_000) as i64;
                self.pass(ms);
            }
            6..=9 => {
                let ms = self.random.below(3_000) as i64;
                self.pass(ms);
            }
            10..=12 if !self.actors.is_empty() => self.upset(),
            _ if !self.actors.is_empty() => {
                let index = self.random.below(self.actors.len() as u64) as usize;
                self.act(index);
            }
            _ => self.add_actor(),
        }
    }

    fn add_actor(&mut self) {
        self.names += 1;
        let mut actor = Actor { id: format!("m{}", self.names), ..Actor::default() };
        actor.classic = self.random.one_in(4);
        if !actor.classic && self.random.one_in(3) {
            actor.instance = Some(format!("i{}", self.names));
        }
        actor.reset();
        self.actors.push(actor);
        self.subscribe(self.actors.len() - 1);
    }

    fn subscribe(&mut self, index: usize) {
        let wanted = ["a", "b", "c"].into_iter().filter(|_| !self.random.one_in(3));
        let topics = wanted.map(str::to_string).collect();
        let regex = ["", "", "a|c", "[bc].*"][self.random.below(4) as usize];
        let actor = &mut self.actors[index];
        actor.topics = topics;
        actor.regex = if actor.classic { String::new() } else { regex.to_string() };
        actor.full = true;
        actor.rejoin = true;
    }

    fn change_topics(&mut self) {
        let name = ["a", "b", "c", "c2"][self.random.below(4) as usize];
        let world = &mut self.desk.world;
        match (world.topics.contains_key(name), self.random.below(3)) {
            (false, _) => {
                let partitions = 1 + self.random.below(5) as i32;
                world.create(name, partitions);
            }
            (true, 0) => world.delete(name),
            (true, _) => world.grow(name, 1),
        }
    }

    fn pass(&mut self, ms: i64) {
        self.desk.now_ms += ms;
        while self.desk.group.next_deadline_ms().is_some_and(|due| due <= self.desk.now_ms) {
            self.desk.timer();
            check_owners(&self.desk.group);
            // Who was fenced owns nothing any more, whether it knows or not.
            for actor in &mut self.actors {
                actor.fenced |= !self.desk.group.members().contains_key(&actor.id);
            }
        }
    }

    fn restart(&mut self) {
        self.desk.group = read_back(&self.desk.log);
        let session_ms = self.desk.config.session_timeout_ms;
        self.desk.group.loaded(self.desk.now_ms, session_ms);
    }

    /// Something happens to a client.
    fn upset(&mut self) {
        let index = self.random.below(self.actors.len() as u64) as usize;
        match self.random.below(5) {
            0 => self.actors[index].dead = true,
            1 => {
                let ms = self.random.below(90_000) as i64;
                self.actors[index].silent_until_ms = self.desk.now_ms + ms;
            }
            2 => self.leave(index),
            _ => self.subscribe(index),
        }
    }

    fn leave(&mut self, index: usize) {
        if self.actors[index].classic || self.actors[index].epoch == 0 {
            return;
        }
        let away = self.actors[index].instance.is_some() && self.random.one_in(2);
        let mut request = alive(&self.actors[index].id, if away { -2 } else { -1 });
        request.instance_id = self.actors[index].instance.clone();
        self.actors[index].reset();
        self.desk.beat(&request);
        self.names += 1;
        self.actors[index].id = format!("m{}", self.names);
    }

    fn act(&mut self, index: usize) {
        let actor = &mut self.actors[index];
        if actor.dead || actor.silent_until_ms > self.desk.now_ms {
            return;
        }
        if actor.owned.is_subset(&actor.told) || self.quiet || self.random.one_in(2) {
            let gives_up = !actor.owned.is_subset(&actor.told);
            actor.owned = &actor.owned & &actor.told;
            actor.rejoin |= gives_up;
            actor.full |= gives_up;
        }
        let lost = !self.quiet && self.random.one_in(12);
        if self.actors[index].classic {
            self.act_classic(index, lost);
        } else {
            self.act_consumer(index, lost);
        }
        let group = &self.desk.group;
        check_owners(group);
        assert!(group.epoch() >= group.target_epoch(), "the target answers to the group's epoch");
        if lost && self.random.one_in(2) {
            self.restart();
        }
        let epochs = (self.desk.group.epoch(), self.desk.group.target_epoch());
        assert!(epochs.0 >= self.epochs.0 && epochs.1 >= self.epochs.1, "epochs only grow");
        self.epochs = epochs;
    }

    fn act_consumer(&mut self, index: usize, lost: bool) {
        let actor = &mut self.actors[index];
        let mut request = alive(&actor.id, actor.epoch);
        request.instance_id = actor.instance.clone();
        if actor.full || actor.epoch == 0 {
            request.rebalance_timeout_ms = 20_000;
            request.subscribed_topic_names = Some(actor.topics.clone());
            request.subscribed_topic_regex = Some(actor.regex.clone());
            request.topic_partitions = Some(lists(&actor.owned));
        }
        actor.full = lost;
        // A crash may take with it what nobody was told of.
        let written = self.desk.log.len();
        let response = self.desk.beat(&request);
        if lost {
            if self.random.one_in(2) {
                self.desk.log.truncate(written);
                self.restart();
            }
            return;
        }
        let actor = &mut self.actors[index];
        match response.error_code {
            ErrorCode::None => {
                assert!(response.member_epoch >= actor.epoch, "epochs only grow");
                actor.epoch = response.member_epoch;
                if let Some(assignment) = response.assignment {
                    let told = assignment
                        .topic_partitions
                        .iter()
                        .flat_map(|topic| topic.partitions.iter().map(|p| (topic.topic_id, *p)));
                    self.give(index, told.collect());
                }
            }
            ErrorCode::UnreleasedInstanceId => assert!(actor.epoch == 0, "only who joins"),
            ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch => actor.reset(),
            other => panic!("{other}: {:?}", response.error_message),
        }
    }

    fn act_classic(&mut self, index: usize, lost: bool) {
        let at = Context {
            now_ms: self.desk.now_ms,
            topics: &self.desk.world,
            config: &self.desk.config,
        };
        let actor = &mut self.actors[index];
        let group = &mut self.desk.group;
        if group.is_empty() {
            // A classic group would begin; that is another machine's.
            return actor.reset();
        }
        if actor.epoch == 0 || actor.rejoin {
            let request = classic_join(actor, &self.desk.world);
            let answer = group.classic_join(&at, &client(), 9, &request, &mut || Uuid::ZERO);
            let answer = answer.expect("a join that fits");
            self.desk.log.extend(answer.records);
            if !lost {
                actor.epoch = answer.response.generation_id;
                (actor.rejoin, actor.sync) = (false, true);
            }
            return;
        }
        let (group_id, member_id) = ("g".to_string(), actor.id.clone());
        let generation_id = actor.epoch;
        let refused = if actor.sync {
            let request =
                SyncGroupRequest { group_id, member_id, generation_id, ..Default::default() };
            match group.classic_sync(&at, &request) {
                Ok(response) if !lost => {
                    actor.sync = false;
                    let told = told_classic(&response.assignment, &self.desk.world);
                    return self.give(index, told);
                }
                Ok(_) => return,
                Err(refusal) => refusal.code,
            }
        } else {
            let request =
                HeartbeatRequest { group_id, member_id, generation_id, ..Default::default() };
            match group.classic_heartbeat(&at, &request) {
                Ok(response) => response.error_code,
                Err(refusal) => refusal.code,
            }
        };
        match refused {
            ErrorCode::None => {}
            ErrorCode::RebalanceInProgress => actor.rejoin = true,
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => actor.reset(),
            other => panic!("{other}"),
        }
    }

    /// A client is told what it has: nobody else may own any of what is new.
    fn give(&mut self, index: usize, told: Owned) {
        let group = &self.desk.group;
        for (other, actor) in self.actors.iter().enumerate() {
            let member = group.members().get(&actor.id).filter(|_| !actor.fenced);
            let owned = member.map(|_| &actor.owned).filter(|_| other != index);
            let both: Vec<_> = owned.into_iter().flat_map(|owned| owned & &told).collect();
            assert!(both.is_empty(), "{} is given what {} owns: {both:?}", index, actor.id);
        }
        let actor = &mut self.actors[index];
        if std::mem::take(&mut actor.fenced) {
            actor.owned.clear();
        }
        actor.owned.extend(told.iter().copied());
        actor.told = told;
    }

    fn check_settled(&mut self) {
        let group = &self.desk.group;
        let living: Vec<&Actor> = self.actors.iter().filter(|actor| !actor.dead).collect();
        if group.is_empty() {
            assert!(living.iter().all(|actor| actor.classic), "who lives is in the group");
            return;
        }
        assert_eq!(group.state(), GroupState::Stable, "{:?}", group.members());
        assert_eq!(group.members().len(), living.len(), "who lives is in the group");
        for actor in living {
            let member = group.members().get(&actor.id);
            let member = member.unwrap_or_else(|| panic!("{actor:?} in {:?}", group.members()));
            // There is none before the group's first epoch after its beginning.
            let target = pairs(group.target().get(&actor.id).into_iter().flatten());
            let assigned: Owned = member
                .assigned
                .iter()
                .flat_map(|(topic, of)| of.keys().map(|partition| (*topic, *partition)))
                .collect();
            assert_eq!((&actor.owned, &assigned), (&target, &target), "{}", actor.id);
        }
        let given: Owned = pairs(group.target().values().flatten());
        for (name, (id, partitions)) in &self.desk.world.topics {
            let wanted = group.is_subscribed_to(name);
            for partition in 0..*partitions {
                assert_eq!(given.contains(&(*id, partition)), wanted, "{name}-{partition}");
            }
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn seeds() {
    let seeds = match number("RINGLOG_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RINGLOG_SEEDS").unwrap_or(SEEDS_DEFAULT),
    };
    let mut failed = Vec::new();
    for seed in seeds {
        let run = std::panic::catch_unwind(|| Sim::new(seed).run());
        if run.is_err() {
            eprintln!(
                "FAILED   replay: RINGLOG_SEED={seed} \
                 cargo test -p ringlog consumer::tests::sim"
            );
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "failed seeds: {failed:?}");
}
