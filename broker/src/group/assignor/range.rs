//! `range`: members in order, each with a run of each topic's partitions. Static members stand
//! first, by instance id, so that a restart does not move their ranges; then the others, by id.

use std::collections::BTreeMap;

use ringlog_wire::Uuid;

use super::{GroupSpec, MemberSpec, Partitions};

/// How far a topic has been given out.
struct Cut {
    /// What each subscriber has at least.
    quota: i32,
    /// How many of the next subscribers have one more.
    extra: i32,
    /// The first partition that nobody has yet.
    next: i32,
}

pub(super) fn assign(group: &GroupSpec) -> BTreeMap<String, Partitions> {
    let mut subscribers: BTreeMap<Uuid, i32> = BTreeMap::new();
    for topic in group.members.values().flat_map(|member| &member.subscribed) {
        *subscribers.entry(*topic).or_default() += 1;
    }
    let mut cuts: BTreeMap<Uuid, Cut> = BTreeMap::new();
    for (topic, members) in subscribers {
        let count = group.topics[&topic];
        cuts.insert(topic, Cut { quota: count / members, extra: count % members, next: 0 });
    }
    let mut assignment = BTreeMap::new();
    for (id, member) in in_order(group) {
        let mut partitions = Partitions::new();
        for topic in &member.subscribed {
            let cut = cuts.get_mut(topic).expect("a subscribed topic has its cut");
            let mut size = cut.quota;
            if cut.extra > 0 {
                size += 1;
                cut.extra -= 1;
            }
            if size > 0 {
                partitions.insert(*topic, (cut.next..cut.next + size).collect());
            }
            cut.next += size;
        }
        assignment.insert(id.clone(), partitions);
    }
    assignment
}

fn in_order(group: &GroupSpec) -> Vec<(&String, &MemberSpec)> {
    let mut members: Vec<_> = group.members.iter().collect();
    members.sort_by_key(|(id, member)| match &member.instance_id {
        Some(instance) => (0, instance.clone(), String::new()),
        None => (1, String::new(), (*id).clone()),
    });
    members
}
