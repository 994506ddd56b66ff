//! `uniform` where members are subscribed to different topics: what is unassigned goes to the
//! subscriber with the least, then partitions move from who has the most to who has the least,
//! topic by topic, until no move helps (or [`ROUNDS_MAX`]).

use std::cmp::Ordering;
use std::collections::BTreeMap;

use ringlog_wire::Uuid;

use super::{GroupSpec, Partitions, still_subscribed};

/// How often the topics are gone through. Groups whose members overlap without being the same need
/// several rounds; each halves the imbalance or so.
const ROUNDS_MAX: usize = 16;

struct Builder<'a> {
    group: &'a GroupSpec,
    ids: Vec<&'a String>,
    /// Per topic, its subscribers, ascending.
    subscribers: BTreeMap<Uuid, Vec<usize>>,
    /// Per topic and partition, who is to have it.
    owners: BTreeMap<Uuid, Vec<Option<usize>>>,
    /// Per member, how many it is to have.
    sizes: Vec<i64>,
}

pub(super) fn assign(group: &GroupSpec) -> BTreeMap<String, Partitions> {
    let mut builder = Builder::new(group);
    builder.assign_remaining();
    builder.balance();
    builder.finish()
}

impl<'a> Builder<'a> {
    fn new(group: &'a GroupSpec) -> Builder<'a> {
        let ids: Vec<&String> = group.members.keys().collect();
        let mut subscribers: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
        for (index, member) in group.members.values().enumerate() {
            for topic in &member.subscribed {
                subscribers.entry(*topic).or_default().push(index);
            }
        }
        let mut owners: BTreeMap<Uuid, Vec<Option<usize>>> = subscribers
            .keys()
            .map(|topic| (*topic, vec![None; group.topics[topic] as usize]))
            .collect();
        let mut sizes = vec![0; ids.len()];
        for (index, member) in group.members.values().enumerate() {
            for (topic, partitions) in still_subscribed(group, member) {
                let owners = owners.get_mut(&topic).expect("a subscribed topic");
                for partition in partitions {
                    // A target that was read may give a partition to two: the first has it.
                    let owner = &mut owners[partition as usize];
                    if owner.is_none() {
                        *owner = Some(index);
                        sizes[index] += 1;
                    }
                }
            }
        }
        Builder { group, ids, subscribers, owners, sizes }
    }

    /// Topics by partitions per subscriber, most first; then fewest subscribers; then id.
    fn in_order(&self, topics: impl Iterator<Item = Uuid>) -> Vec<Uuid> {
        let mut topics: Vec<Uuid> = topics.collect();
        topics.sort_by(|a, b| {
            let (a_members, b_members) = (self.subscribers[a].len(), self.subscribers[b].len());
            let a_ratio = f64::from(self.group.topics[a]) / a_members as f64;
            let b_ratio = f64::from(self.group.topics[b]) / b_members as f64;
            let by_ratio = b_ratio.partial_cmp(&a_ratio).unwrap_or(Ordering::Equal);
            by_ratio.then(a_members.cmp(&b_members)).then(a.cmp(b))
        });
        topics
    }

    fn assign_remaining(&mut self) {
        let with_free = self.owners.iter().filter(|(_, owners)| owners.contains(&None));
        for topic in self.in_order(with_free.map(|(topic, _)| *topic)) {
            let mut balancer = Balancer::new(&self.subscribers[&topic], &self.sizes);
            for partition in 0..self.owners[&topic].len() {
                if self.owners[&topic][partition].is_none() {
                    let member = balancer.next_least_loaded(&self.sizes);
                    self.give(topic, partition, member);
                }
            }
        }
    }

    fn give(&mut self, topic: Uuid, partition: usize, member: usize) {
        let owners = self.owners.get_mut(&topic).expect("a subscribed topic");
        if let Some(before) = owners[partition].replace(member) {
            self.sizes[before] -= 1;
        }
        self.sizes[member] += 1;
    }

    /// Goes through the topics until a whole round has moved nothing.
    fn balance(&mut self) {
        let shared = self.subscribers.iter().filter(|(_, members)| members.len() >= 2);
        let topics = self.in_order(shared.map(|(topic, _)| *topic));
        let mut last_moved = None;
        for _ in 0..ROUNDS_MAX {
            for (index, topic) in topics.iter().enumerate() {
                if last_moved == Some(index) {
                    return;
                }
                if self.balance_topic(*topic) > 0 || last_moved.is_none() {
                    last_moved = Some(index);
                }
            }
        }
    }

    /// Moves partitions of one topic between its subscribers; says how many.
    fn balance_topic(&mut self, topic: Uuid) -> usize {
        let mut balancer = Balancer::new(&self.subscribers[&topic], &self.sizes);
        if balancer.imbalance <= 1 {
            return 0;
        }
        // What each member has of this topic when we begin; only that moves.
        let mut of_member: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (partition, owner) in self.owners[&topic].iter().enumerate() {
            let owner = owner.expect("all partitions are assigned by now");
            of_member.entry(owner).or_default().push(partition);
        }
        let mut moved = 0;
        while !balancer.is_balanced() {
            let Some(most) = balancer.next_most_loaded(&self.sizes) else { break };
            let Some(partition) = of_member.get_mut(&most).and_then(Vec::pop) else {
                balancer.exclude_most_loaded();
                continue;
            };
            let least = balancer.next_least_loaded(&self.sizes);
            if balancer.is_balanced() {
                break;
            }
            self.give(topic, partition, least);
            moved += 1;
        }
        moved
    }

    fn finish(self) -> BTreeMap<String, Partitions> {
        let mut assignment: BTreeMap<String, Partitions> =
            self.ids.iter().map(|id| ((*id).clone(), Partitions::new())).collect();
        for (topic, owners) in &self.owners {
            for (partition, owner) in owners.iter().enumerate() {
                let owner = owner.expect("all partitions are assigned");
                let partitions = assignment.get_mut(self.ids[owner]).expect("every member");
                partitions.entry(*topic).or_default().insert(partition as i32);
            }
        }
        assignment
    }
}

/// The subscribers of one topic by load, with a range of the least loaded that widens to the right
/// and a range of the most loaded that widens to the left. Loads within a range are equal when a
/// pass over it begins.
struct Balancer {
    sorted: Vec<usize>,
    imbalance: i64,
    least_end: usize,
    least_load: i64,
    least_next: usize,
    most_start: usize,
    most_end: usize,
    most_load: i64,
    /// One more than the place of the next of the most loaded; 0 when there is none.
    most_next: usize,
}

impl Balancer {
    fn new(members: &[usize], sizes: &[i64]) -> Balancer {
        let mut sorted = members.to_vec();
        sorted.sort_by_key(|&member| (sizes[member], member));
        let least = sizes[*sorted.first().expect("a topic with subscribers")];
        let most = sizes[*sorted.last().expect("a topic with subscribers")];
        let end = sorted.len();
        Balancer {
            sorted,
            imbalance: most - least,
            least_end: 0,
            least_load: least - 1,
            least_next: 0,
            most_start: end,
            most_end: end,
            most_load: most + 1,
            most_next: end,
        }
    }

    fn next_least_loaded(&mut self, sizes: &[i64]) -> usize {
        if self.least_next >= self.least_end {
            self.least_load += 1;
            while self.least_end < self.sorted.len()
                && sizes[self.sorted[self.least_end]] == self.least_load
            {
                self.least_end += 1;
            }
            self.least_next = 0;
        }
        let member = self.sorted[self.least_next];
        self.least_next += 1;
        member
    }

    fn next_most_loaded(&mut self, sizes: &[i64]) -> Option<usize> {
        if self.most_next <= self.most_start {
            if self.most_end <= self.most_start && self.most_start > 0 {
                // Everybody in the range has been excluded: it begins anew with the next.
                self.most_load = sizes[self.sorted[self.most_start - 1]];
            } else {
                self.most_load -= 1;
            }
            while self.most_start > 0 && sizes[self.sorted[self.most_start - 1]] == self.most_load {
                self.most_start -= 1;
            }
            self.most_next = self.most_end;
        }
        self.most_next = self.most_next.checked_sub(1)?;
        Some(self.sorted[self.most_next])
    }

    /// Takes who was returned last out of the range: it has nothing to give.
    fn exclude_most_loaded(&mut self) {
        self.sorted.swap(self.most_next, self.most_end - 1);
        self.most_end -= 1;
    }

    fn is_balanced(&self) -> bool {
        self.most_load - self.least_load <= 1
    }
}
