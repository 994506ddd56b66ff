//! Server-side assignors of KIP-848: which member of a consumer group is to have which partition.
//!
//! An assignor is a function of the members, what each is subscribed to, what each was to have so
//! far, and how many partitions each topic has. The same input gives the same answer: members are
//! taken in the order of their ids, topics in the order of theirs. Kafka takes members in a hash
//! map's order; which of two equal members has the odd partition differs therefore, nothing else.
//!
//! Invariants of every answer: each partition of each topic with a subscriber has exactly one
//! member; no member has a partition of a topic that it is not subscribed to.

mod heterogeneous;
mod homogeneous;
mod range;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use ringlog_wire::Uuid;

/// Partitions, by topic. A topic without partitions does not stand in it.
pub type Partitions = BTreeMap<Uuid, BTreeSet<i32>>;

/// What an assignor knows of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberSpec {
    /// A static member's instance id.
    pub instance_id: Option<String>,
    /// The topics that it is subscribed to, those that exist.
    pub subscribed: BTreeSet<Uuid>,
    /// The target so far.
    pub assigned: Partitions,
}

/// What an assignor knows of a group.
#[derive(Clone, Debug, Default)]
pub struct GroupSpec {
    /// The members, by id.
    pub members: BTreeMap<String, MemberSpec>,
    /// Whether all of them are subscribed to the same topics.
    pub homogeneous: bool,
    /// How many partitions each topic has that a member is subscribed to.
    pub topics: BTreeMap<Uuid, i32>,
}

/// A way to assign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// Spreads partitions evenly over members, and moves as few as it can.
    Uniform,
    /// Gives each member a range of each topic, the same of topics with as many partitions.
    Range,
}

impl Assignor {
    /// All of them, Kafka's default first.
    pub const ALL: [Assignor; 2] = [Assignor::Uniform, Assignor::Range];

    /// The name that clients and `group.consumer.assignors` use.
    pub const fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    /// The assignor of that name.
    pub fn named(name: &str) -> Option<Assignor> {
        Assignor::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// What each member is to have: an entry for every member, an empty one for who has nothing.
    pub fn assign(self, group: &GroupSpec) -> BTreeMap<String, Partitions> {
        let subscribed = group.members.values().flat_map(|member| &member.subscribed);
        assert!(subscribed.clone().all(|topic| group.topics.contains_key(topic)));
        if group.members.is_empty() {
            return BTreeMap::new();
        }
        match (self, group.homogeneous) {
            (Assignor::Range, _) => range::assign(group),
            (Assignor::Uniform, true) => homogeneous::assign(group),
            (Assignor::Uniform, false) => heterogeneous::assign(group),
        }
    }
}

/// What is left of a member's target when topics that it is not subscribed to, and partitions that
/// do not exist, are taken away.
fn still_subscribed(group: &GroupSpec, member: &MemberSpec) -> Partitions {
    let mut kept = Partitions::new();
    for (topic, partitions) in &member.assigned {
        let Some(&count) = group.topics.get(topic) else { continue };
        if member.subscribed.contains(topic) {
            let partitions: BTreeSet<i32> = partitions.range(0..count).copied().collect();
            if !partitions.is_empty() {
                kept.insert(*topic, partitions);
            }
        }
    }
    kept
}
