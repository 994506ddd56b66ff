//! `uniform` where all members are subscribed to the same topics: no two members differ by more
//! than one partition, and a partition moves only when its member has too many or is gone.

use std::collections::{BTreeMap, BTreeSet};

use ringlog_wire::Uuid;

use super::{GroupSpec, Partitions, still_subscribed};

pub(super) fn assign(group: &GroupSpec) -> BTreeMap<String, Partitions> {
    let first = group.members.values().next().expect("a group with members");
    let mut free = unassigned(group, &first.subscribed);
    let total: usize = first.subscribed.iter().map(|topic| group.topics[topic] as usize).sum();
    let members = group.members.len();
    let quota = total / members;
    // How many members have one partition more than the quota.
    let mut extras = total % members;

    let mut assignment = BTreeMap::new();
    let mut unfilled: Vec<(&String, usize)> = Vec::new();
    for (index, (id, member)) in group.members.iter().enumerate() {
        let mut kept = still_subscribed(group, member);
        let mut extra = extras > 0;
        let surplus = cut_to(&mut kept, quota + usize::from(extra));
        free.extend(surplus);
        let mut room = quota + usize::from(extra) - count(&kept);
        // Who would have to be given its extra partition leaves it to a member that has one
        // already, unless there are no more members left than extras.
        if room > 0 && extra && members - index > extras {
            room -= 1;
            extra = false;
        }
        if room > 0 {
            unfilled.push((id, room));
        }
        extras -= usize::from(extra);
        assignment.insert(id.clone(), kept);
    }

    let mut free = free.into_iter();
    for (id, room) in unfilled {
        let partitions = assignment.get_mut(id).expect("every member is in it");
        for (topic, partition) in free.by_ref().take(room) {
            partitions.entry(topic).or_default().insert(partition);
        }
    }
    assert!(free.next().is_none(), "the members' room is the number of partitions");
    assignment
}

fn count(partitions: &Partitions) -> usize {
    partitions.values().map(BTreeSet::len).sum()
}

/// The subscribed partitions that no member has.
fn unassigned(group: &GroupSpec, subscribed: &BTreeSet<Uuid>) -> Vec<(Uuid, i32)> {
    let mut free = Vec::new();
    for topic in subscribed {
        let mut taken = BTreeSet::new();
        for member in group.members.values() {
            taken.extend(member.assigned.get(topic).into_iter().flatten().copied());
        }
        let all = 0..group.topics[topic];
        free.extend(all.filter(|partition| !taken.contains(partition)).map(|p| (*topic, p)));
    }
    free
}

/// Takes away what is more than `most`, and returns it.
fn cut_to(partitions: &mut Partitions, most: usize) -> Vec<(Uuid, i32)> {
    let mut left = most;
    let mut surplus = Vec::new();
    for (topic, of_topic) in partitions.iter_mut() {
        while of_topic.len() > left {
            let last = of_topic.pop_last().expect("more than none");
            surplus.push((*topic, last));
        }
        left -= of_topic.len();
    }
    partitions.retain(|_, of_topic| !of_topic.is_empty());
    surplus
}
