//! Group epoch, target epoch, member epochs, and what time does to them.

use super::*;
use crate::group::consumer::{GroupState, MemberState};

/// What a member has by now.
fn has(desk: &Desk, member: &str, topic: &str) -> Vec<i32> {
    let assigned = &desk.group.members()[member].assigned;
    assigned.get(&desk.topic(topic)).map(|of| of.keys().copied().collect()).unwrap_or_default()
}

#[test]
fn rule_75_a_partition_moves_when_its_owner_no_longer_lists_it() {
    let mut desk = Desk::new();
    desk.good(&join("m", &["a"]));
    // The second member is in the new epoch at once, and has nothing yet.
    let joined = desk.good(&join("n", &["a"]));
    assert_eq!((joined.member_epoch, assigned(&joined)), (3, Vec::new()));
    assert_eq!(desk.group.members()["n"].state, MemberState::UnreleasedPartitions);

    // The first is told to keep two, in its old epoch.
    let told = desk.good(&alive("m", 2));
    assert_eq!((told.member_epoch, assigned(&told)), (2, desk.list(&[("a", &[0, 1])])));
    assert_eq!(desk.group.members()["m"].state, MemberState::UnrevokedPartitions);
    // It still lists more: nothing moves.
    let all = desk.list(&[("a", &[0, 1, 2, 3])]);
    assert_eq!(desk.good(&owning("m", 2, all)).assignment, None);
    assert_eq!(desk.good(&alive("n", 3)).assignment, None);
    // It lists what it keeps: it is in the new epoch, and the other has the rest.
    let kept = desk.list(&[("a", &[0, 1])]);
    assert_eq!(desk.good(&owning("m", 2, kept)).member_epoch, 3);
    let given = desk.good(&alive("n", 3));
    assert_eq!(assigned(&given), desk.list(&[("a", &[2, 3])]));
    assert_eq!(desk.group.state(), GroupState::Stable);
    check_owners(&desk.group);
}

#[test]
fn rule_75_who_leaves_makes_room() {
    let mut desk = Desk::new();
    desk.good(&join("m", &["a"]));
    desk.good(&join("n", &["a"]));
    let request = alive("m", -1);
    let answer = desk.step(|group, at, ids| group.heartbeat(at, &client(), 1, &request, ids));
    assert_eq!(kinds(&answer.records), ["-current", "-target", "-member", "epoch"]);
    assert_eq!((answer.response.member_epoch, answer.response.assignment), (-1, None));
    assert_eq!(desk.group.state(), GroupState::Assigning);
    assert_eq!(assigned(&desk.good(&alive("n", 3))), desk.list(&[("a", &[0, 1, 2, 3])]));
    // The last one leaves an empty group, which its tombstones end.
    desk.good(&alive("n", -1));
    assert_eq!((desk.group.state(), desk.group.is_recorded()), (GroupState::Empty, true));
    let ends = desk.group.tombstones();
    assert_eq!(kinds(&ends), ["-target epoch", "-partitions", "-epoch"]);
    desk.log.extend(ends);
    assert!(!read_back(&desk.log).is_recorded());
}

#[test]
fn rule_75_null_is_unchanged_and_a_new_subscription_is_an_epoch() {
    let mut desk = Desk::new();
    desk.good(&join("m", &["a"]));
    let mut request = alive("m", 2);
    request.subscribed_topic_names = Some(vec!["b".to_string()]);
    request.rack_id = Some("r".to_string());
    // What is no longer wanted is taken away first.
    let told = desk.good(&request);
    assert_eq!((told.member_epoch, assigned(&told)), (2, Vec::new()));
    assert_eq!(desk.group.epoch(), 3);
    let told = desk.good(&owning("m", 2, Vec::new()));
    assert_eq!((told.member_epoch, assigned(&told)), (3, desk.list(&[("b", &[0, 1])])));
    let member = &desk.group.members()["m"];
    assert_eq!((member.rack_id.as_deref(), member.rebalance_timeout_ms), (Some("r"), 60_000));
    // The same set again, in another order and twice, is no change.
    request.member_epoch = 3;
    request.subscribed_topic_names = Some(vec!["b".to_string(), "b".to_string()]);
    desk.good(&request);
    assert_eq!(desk.group.epoch(), 3);
}

#[test]
fn rule_75_topics_that_come_grow_and_go_are_epochs() {
    let mut desk = Desk::new();
    desk.good(&join("m", &["a", "later"]));
    assert_eq!(desk.group.epoch(), 2);
    // A topic that nobody reads changes nothing.
    desk.world.create("other", 9);
    desk.good(&alive("m", 2));
    assert_eq!(desk.group.epoch(), 2);
    desk.world.create("later", 1);
    let told = desk.good(&alive("m", 2));
    let expected = desk.list(&[("a", &[0, 1, 2, 3]), ("later", &[0])]);
    assert_eq!((told.member_epoch, assigned(&told)), (3, expected));
    desk.world.grow("later", 1);
    desk.good(&alive("m", 3));
    assert_eq!((desk.group.epoch(), has(&desk, "m", "later")), (4, vec![0, 1]));
    let gone = desk.topic("later");
    desk.world.delete("later");
    let told = desk.good(&alive("m", 4));
    assert_eq!((told.member_epoch, assigned(&told).len()), (4, 1));
    assert!(desk.group.members()["m"].holds(gone, 0), "until it is no longer listed");
    let owned = desk.list(&[("a", &[0, 1, 2, 3])]);
    assert_eq!(desk.good(&owning("m", 4, owned)).member_epoch, 5);
    // A topic of the same name is another topic.
    desk.world.create("later", 1);
    desk.good(&alive("m", 5));
    assert_eq!(has(&desk, "m", "later"), [0]);
    // A restart looks at the topics again, and finds them as they were.
    desk.group = read_back(&desk.log);
    desk.good(&alive("m", 6));
    assert_eq!(desk.group.epoch(), 6);
}

#[test]
fn rule_75_targets_are_not_made_more_often_than_the_interval() {
    let mut desk = Desk::new();
    desk.config.assignment_interval_ms = 1_000;
    desk.good(&join("m", &["a"]));
    let joined = desk.good(&join("n", &["a"]));
    // The group is in epoch 3, its target still in 2.
    assert_eq!((joined.member_epoch, desk.group.epoch()), (2, 3));
    assert_eq!(desk.group.state(), GroupState::Assigning);
    desk.now_ms += 999;
    assert_eq!(desk.good(&alive("n", 2)).member_epoch, 2);
    desk.now_ms += 1;
    assert_eq!(desk.good(&alive("n", 2)).member_epoch, 3);
    assert_eq!(desk.group.state(), GroupState::Reconciling);
}

#[test]
fn rule_75_silent_members_are_fenced() {
    let mut desk = Desk::new();
    desk.good(&join("m", &["a"]));
    desk.good(&join("n", &["a"]));
    assert_eq!(desk.group.next_deadline_ms(), Some(desk.now_ms + 45_000));
    desk.now_ms += 30_000;
    desk.good(&alive("n", 3));
    assert_eq!(desk.timer(), []);
    desk.now_ms += 15_000;
    assert_eq!(kinds(&desk.timer()), ["-current", "-target", "-member", "epoch"]);
    assert_eq!(desk.bad(&alive("m", 2)).0, ErrorCode::UnknownMemberId);
    assert_eq!(desk.group.next_deadline_ms(), Some(desk.now_ms + 30_000));
    // After a restart everybody has the whole time.
    desk.group = read_back(&desk.log);
    assert_eq!(desk.group.next_deadline_ms(), None);
    desk.group.loaded(desk.now_ms, 45_000);
    assert_eq!(desk.group.next_deadline_ms(), Some(desk.now_ms + 45_000));
}

#[test]
fn rule_75_who_gives_nothing_up_is_fenced_after_its_rebalance_timeout() {
    let mut desk = Desk::new();
    let mut request = join("m", &["a"]);
    request.rebalance_timeout_ms = 10_000;
    desk.good(&request);
    desk.good(&join("n", &["a"]));
    let all = desk.list(&[("a", &[0, 1, 2, 3])]);
    desk.good(&owning("m", 2, all.clone()));
    desk.now_ms += 9_999;
    desk.good(&owning("m", 2, all.clone()));
    desk.good(&alive("n", 3));
    assert_eq!(desk.timer(), []);
    desk.now_ms += 1;
    assert_eq!(kinds(&desk.timer()), ["-current", "-target", "-member", "epoch"]);
    assert_eq!(desk.bad(&owning("m", 2, all)).0, ErrorCode::UnknownMemberId);
    assert_eq!(assigned(&desk.good(&alive("n", 3))), desk.list(&[("a", &[0, 1, 2, 3])]));
    // One that gives up in time is not.
    desk.good(&request);
    desk.good(&alive("n", 4));
    desk.now_ms += 5_000;
    let kept: Vec<i32> = has(&desk, "n", "a");
    let kept = desk.list(&[("a", &kept)]);
    desk.good(&owning("n", 4, kept));
    desk.now_ms += 30_000;
    assert_eq!(desk.timer(), []);
}

#[test]
fn rule_75_a_state_of_a_later_kafka_is_given_up() {
    let mut desk = Desk::new();
    desk.good(&join("m", &["a"]));
    let mut strange = desk.group.members()["m"].clone();
    strange.state = MemberState::Unknown;
    let record = crate::group::consumer::records::assignment("g", &strange);
    desk.log.push(record);
    desk.group = read_back(&desk.log);
    let (code, message) = desk.bad(&alive("m", 2));
    assert_eq!(code, ErrorCode::FencedMemberEpoch);
    assert!(message.starts_with("The consumer group member is in a unknown state."));
    assert_eq!(desk.good(&owning("m", 2, Vec::new())).member_epoch, 2);
    assert_eq!(desk.group.members()["m"].state, MemberState::Stable);
}

#[test]
fn rule_76_a_record_of_kafka_4_0_is_ended() {
    let mut desk = Desk::new();
    desk.good(&join("m", &["a"]));
    let key = ringlog_wire::records::group::ConsumerGroupPartitionMetadataKey {
        group_id: "g".to_string(),
    };
    let value = Some(Default::default());
    desk.log.push(GroupRecord::ConsumerGroupPartitionMetadata { key, value });
    desk.group = read_back(&desk.log);
    let request = alive("m", 2);
    let answer = desk.step(|group, at, ids| group.heartbeat(at, &client(), 1, &request, ids));
    assert_eq!(kinds(&answer.records), ["-partitions"]);
    assert_eq!(desk.good(&request).assignment, None);
}

#[test]
fn rule_75_members_that_fall_silent_together_go_together() {
    let mut desk = Desk::new();
    desk.read_back_steps = 1_000;
    for number in 0..300 {
        desk.good(&join(&format!("m{number}"), &["a"]));
    }
    desk.now_ms += 45_000;
    let records = desk.timer();
    assert_eq!(records.len(), 3 * 300 + 1, "an end for each, and one epoch");
    assert!(desk.group.is_empty());
    assert_eq!(desk.group.next_deadline_ms(), None);
}

#[test]
fn rule_75_what_ends_of_members_a_batch_does_not_hold_waits_for_the_next() {
    let mut desk = Desk::new();
    desk.read_back_steps = 1_000;
    for number in 0..300 {
        desk.good(&join(&format!("m{number}"), &["a"]));
    }
    desk.now_ms += 45_000;
    desk.config.batch_bytes_max = 20_000;
    let mut turns = 0;
    while desk.group.next_deadline_ms().is_some_and(|due_ms| due_ms <= desk.now_ms) {
        let records = desk.timer();
        assert!(super::super::heartbeat::batch_bytes(&records) <= 20_000);
        turns += 1;
    }
    assert!((2..20).contains(&turns), "{turns}");
    assert!(desk.group.is_empty());
}

#[test]
fn rule_75_all_partitions_of_a_member_share_its_id() {
    let mut desk = Desk::new();
    let long = "m".repeat(1_025);
    let refused = (ErrorCode::InvalidRequest, "MemberId can't be longer than 1024 bytes.");
    let (code, message) = desk.bad(&join(&long, &["a"]));
    assert_eq!((code, message.as_str()), refused);
    let mut named = join("m", &["a"]);
    named.instance_id = Some(long.clone());
    assert_eq!(desk.bad(&named).1, "InstanceId can't be longer than 1024 bytes.");

    desk.world.create("large", 2_000);
    let before = desk.group.memory_bytes();
    desk.good(&join(&long[1..], &["large"]));
    let owners: Vec<_> = desk.group.owners.values().flat_map(|of| of.values()).collect();
    assert_eq!(owners.len(), 2_000);
    assert!(owners.iter().all(|id| std::sync::Arc::ptr_eq(id, owners[0])));
    let bytes = desk.group.memory_bytes() - before;
    assert!((2_000 * 40..2_000 * 100).contains(&bytes), "{bytes}");
}
