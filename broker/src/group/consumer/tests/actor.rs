//! The clients of the simulated histories.

use ringlog_wire::api::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use ringlog_wire::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};

use super::*;

pub(super) type Owned = BTreeSet<(Uuid, i32)>;

/// splitmix64.
pub(super) struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A client.
#[derive(Debug, Default)]
pub(super) struct Actor {
    pub id: String,
    pub instance: Option<String>,
    pub classic: bool,
    pub topics: Vec<String>,
    pub regex: String,
    /// 0: it has to join.
    pub epoch: i32,
    pub owned: Owned,
    /// What it was told last that it has.
    pub told: Owned,
    /// Its next heartbeat says everything: an answer was lost, or it has changed its mind.
    pub full: bool,
    /// A classic member has to join again, or to fetch its assignment.
    pub rejoin: bool,
    pub sync: bool,
    pub dead: bool,
    /// It was fenced: a classic member that joins again may not have heard of it.
    pub fenced: bool,
    pub silent_until_ms: i64,
}

impl Actor {
    pub fn reset(&mut self) {
        self.epoch = 0;
        self.owned.clear();
        self.told.clear();
        self.full = true;
        self.rejoin = true;
        self.sync = false;
        self.fenced = false;
    }
}

pub(super) fn pairs<'a>(target: impl Iterator<Item = (&'a Uuid, &'a BTreeSet<i32>)>) -> Owned {
    target.flat_map(|(topic, of)| of.iter().map(|partition| (*topic, *partition))).collect()
}

pub(super) fn lists(owned: &Owned) -> Vec<TopicPartitions> {
    let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in owned {
        topics.entry(*topic).or_default().push(*partition);
    }
    let one = |(topic_id, partitions)| TopicPartitions { topic_id, partitions };
    topics.into_iter().map(one).collect()
}

pub(super) fn classic_join(actor: &Actor, world: &World) -> JoinGroupRequest {
    let owned = lists(&actor.owned).into_iter().filter_map(|topic| {
        let (name, _) = world.with_id(topic.topic_id)?;
        Some(TopicPartition { topic: name.to_string(), partitions: topic.partitions })
    });
    let subscription = ConsumerProtocolSubscription {
        topics: actor.topics.clone(),
        owned_partitions: owned.collect(),
        ..Default::default()
    };
    let metadata = subscription.to_bytes(1);
    JoinGroupRequest {
        group_id: "g".to_string(),
        member_id: actor.id.clone(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 20_000,
        protocol_type: "consumer".to_string(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".to_string(), metadata }],
        ..Default::default()
    }
}

pub(super) fn told_classic(assignment: &[u8], world: &World) -> Owned {
    let assignment = ConsumerProtocolAssignment::from_bytes(assignment).expect("an assignment");
    let mut told = Owned::new();
    for topic in assignment.assigned_partitions {
        let (id, _) = world.named(&topic.topic).expect("topics that exist");
        told.extend(topic.partitions.iter().map(|partition| (id, *partition)));
    }
    told
}
