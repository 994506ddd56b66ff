//! Properties of every answer, over random groups; and some answers in full.

use std::collections::{BTreeMap, BTreeSet};

use ringlog_wire::Uuid;

use super::{Assignor, GroupSpec, MemberSpec, Partitions};

fn topic(number: u8) -> Uuid {
    Uuid([number; 16])
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

/// Members with the topics that each is subscribed to.
fn group(members: &[(&str, &[u8])], topics: &[(u8, i32)]) -> GroupSpec {
    let mut spec = GroupSpec::default();
    for (id, subscribed) in members {
        let subscribed = subscribed.iter().map(|number| topic(*number)).collect();
        spec.members.insert(id.to_string(), MemberSpec { subscribed, ..MemberSpec::default() });
    }
    finish(&mut spec, topics.iter().map(|(number, count)| (topic(*number), *count)));
    spec
}

/// Keeps topics with subscribers, and finds out whether all are subscribed to the same.
fn finish(spec: &mut GroupSpec, topics: impl Iterator<Item = (Uuid, i32)>) {
    let subscribed: BTreeSet<Uuid> =
        spec.members.values().flat_map(|member| member.subscribed.clone()).collect();
    spec.topics = topics.filter(|(topic, _)| subscribed.contains(topic)).collect();
    for member in spec.members.values_mut() {
        member.subscribed.retain(|topic| spec.topics.contains_key(topic));
    }
    let mut sets = spec.members.values().map(|member| &member.subscribed);
    let first = sets.next().cloned().unwrap_or_default();
    spec.homogeneous = sets.all(|set| *set == first);
}

fn random_group(random: &mut Random) -> GroupSpec {
    let topics: Vec<(Uuid, i32)> =
        (0..1 + random.below(6)).map(|n| (topic(n as u8), random.below(12) as i32)).collect();
    let same = random.below(2) == 0;
    let mut spec = GroupSpec::default();
    for number in 0..1 + random.below(8) {
        let takes = |random: &mut Random| same || random.below(2) == 0;
        let subscribed = topics.iter().map(|(topic, _)| *topic).filter(|_| takes(random)).collect();
        let instance_id = (random.below(4) == 0).then(|| format!("i{number}"));
        let member = MemberSpec { instance_id, subscribed, ..MemberSpec::default() };
        spec.members.insert(format!("m{}{number}", random.below(100)), member);
    }
    finish(&mut spec, topics.into_iter());
    spec
}

fn size(partitions: &Partitions) -> usize {
    partitions.values().map(BTreeSet::len).sum()
}

/// What holds whatever the assignor: every partition once, only to subscribers, all members there.
fn check(spec: &GroupSpec, assignment: &BTreeMap<String, Partitions>) {
    assert!(spec.members.keys().eq(assignment.keys()), "every member has its entry");
    let mut seen = BTreeSet::new();
    for (id, partitions) in assignment {
        for (topic, of_topic) in partitions {
            assert!(spec.members[id].subscribed.contains(topic), "only what was subscribed to");
            assert!(!of_topic.is_empty(), "no empty topics");
            for &partition in of_topic {
                assert!((0..spec.topics[topic]).contains(&partition), "only what there is");
                assert!(seen.insert((*topic, partition)), "each partition once");
            }
        }
    }
    let all: i32 = spec.topics.values().sum();
    assert_eq!(seen.len() as i32, all, "every partition");
}

/// No subscriber of a topic could give another of its subscribers one of its partitions and be
/// better balanced with it.
fn check_balance(spec: &GroupSpec, assignment: &BTreeMap<String, Partitions>) {
    for (topic, _) in spec.topics.iter().filter(|(_, count)| **count > 0) {
        let subscribers: Vec<&String> = spec
            .members
            .iter()
            .filter(|(_, member)| member.subscribed.contains(topic))
            .map(|(id, _)| id)
            .collect();
        let least = subscribers.iter().map(|id| size(&assignment[*id])).min().expect("some");
        for id in subscribers.iter().filter(|id| assignment[**id].contains_key(topic)) {
            assert!(size(&assignment[*id]) <= least + 1, "{id} of {topic} has too many");
        }
    }
}

fn moved(spec: &GroupSpec, after: &BTreeMap<String, Partitions>) -> usize {
    let kept = |id: &String| {
        let before = &spec.members[id].assigned;
        let both = |(topic, of): (&Uuid, &BTreeSet<i32>)| {
            before.get(topic).map_or(0, |old| of.intersection(old).count())
        };
        after[id].iter().map(both).sum::<usize>()
    };
    let had: usize = spec.members.values().map(|member| size(&member.assigned)).sum();
    had - spec.members.keys().map(kept).sum::<usize>()
}

#[test]
fn rule_75_every_partition_has_one_subscriber() {
    for seed in 0..2_000 {
        let mut random = Random(seed);
        let mut spec = random_group(&mut random);
        for assignor in Assignor::ALL {
            let first = assignor.assign(&spec);
            check(&spec, &first);
            assert_eq!(first, assignor.assign(&spec), "the same input, the same answer");
            for (id, partitions) in first {
                spec.members.get_mut(&id).expect("a member").assigned = partitions;
            }
            let again = assignor.assign(&spec);
            check(&spec, &again);
            if assignor == Assignor::Uniform {
                check_balance(&spec, &again);
                assert_eq!(moved(&spec, &again), 0, "nothing moves without a reason");
            }
        }
    }
}

#[test]
fn rule_75_uniform_moves_no_more_than_it_must() {
    for seed in 0..2_000 {
        let mut random = Random(seed);
        let mut spec = random_group(&mut random);
        for (id, partitions) in Assignor::Uniform.assign(&spec) {
            spec.members.get_mut(&id).expect("a member").assigned = partitions;
        }
        // One member goes, or one more comes.
        if random.below(2) == 0 && spec.members.len() > 1 {
            let gone = spec.members.keys().nth(random.below(spec.members.len())).cloned();
            spec.members.remove(&gone.expect("a member"));
        } else {
            let subscribed = spec.topics.keys().copied().collect();
            let new = MemberSpec { subscribed, ..MemberSpec::default() };
            spec.members.insert("new".to_string(), new);
        }
        let topics = spec.topics.clone();
        finish(&mut spec, topics.into_iter());
        let after = Assignor::Uniform.assign(&spec);
        check(&spec, &after);
        if spec.homogeneous {
            check_balance(&spec, &after);
            let share = spec.topics.values().sum::<i32>() as usize / spec.members.len();
            let given = spec.members.contains_key("new");
            let most = if given { share + 1 } else { 0 };
            assert!(moved(&spec, &after) <= most, "seed {seed}: only what the new one gets");
        }
    }
}

#[test]
fn rule_75_uniform_evens_out_what_overlaps() {
    // Everybody may have topic 1; only the first two topic 2.
    let spec = group(&[("a", &[1, 2]), ("b", &[1, 2]), ("c", &[1])], &[(1, 6), (2, 6)]);
    assert!(!spec.homogeneous);
    let assignment = Assignor::Uniform.assign(&spec);
    check(&spec, &assignment);
    assert!(assignment.values().all(|partitions| size(partitions) == 4), "{assignment:?}");
}

#[test]
fn rule_75_range_gives_runs_static_members_first() {
    let mut spec = group(&[("a", &[1, 2]), ("b", &[1, 2]), ("c", &[1, 2])], &[(1, 7), (2, 7)]);
    spec.members.get_mut("c").expect("a member").instance_id = Some("z".to_string());
    let assignment = Assignor::Range.assign(&spec);
    for (id, run) in [("c", 0..3), ("a", 3..5), ("b", 5..7)] {
        let run: BTreeSet<i32> = run.collect();
        let expected = Partitions::from([(topic(1), run.clone()), (topic(2), run)]);
        assert_eq!(assignment[id], expected, "{id}");
    }
    // Fewer partitions than members: the last have none.
    let spec = group(&[("a", &[1]), ("b", &[1]), ("c", &[1])], &[(1, 2)]);
    let assignment = Assignor::Range.assign(&spec);
    let sizes: Vec<usize> = assignment.values().map(size).collect();
    assert_eq!(sizes, [1, 1, 0]);
}

#[test]
fn names_are_kafkas() {
    assert_eq!(Assignor::named("uniform"), Some(Assignor::Uniform));
    assert_eq!(Assignor::named("range"), Some(Assignor::Range));
    assert_eq!(Assignor::named("sticky"), None);
    assert!(Assignor::Range.assign(&GroupSpec::default()).is_empty());
}
