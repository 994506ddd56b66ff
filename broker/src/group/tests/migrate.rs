//! A group of one kind becomes one of the other.

use ringlog_wire::consumer_protocol::{ConsumerProtocolAssignment, TopicPartition};

use super::consumers::{LONG, alive, first, given};
use super::*;
use crate::group::consumer::MigrationPolicy;

const NONE: ErrorCode = ErrorCode::None;

/// Partitions of topic `a`, as members tell each other.
fn part(partitions: &[i32]) -> Vec<u8> {
    let partitions = partitions.to_vec();
    let assigned_partitions = vec![TopicPartition { topic: "a".to_owned(), partitions }];
    ConsumerProtocolAssignment { assigned_partitions, user_data: None }.to_bytes(0)
}

/// A classic group `g` of two members of topic `a`, the leader first, each with a part.
fn two(bench: &mut Bench) -> Vec<JoinGroupResponse> {
    let tickets = [bench.newcomer(), bench.newcomer()];
    bench.pass(6_000);
    let mut told = tickets.map(|ticket| bench.joined(ticket));
    told.sort_by_key(|member| member.leader != member.member_id);
    let parts = [part(&[0, 1]), part(&[2, 3])];
    for who in &told {
        let ids = told.iter().map(|member| member.member_id.clone());
        let assignments = ids.zip(parts.clone());
        let assignments = assignments
            .map(|(member_id, assignment)| SyncGroupRequestAssignment { member_id, assignment });
        let ticket = bench.sync_of(SyncGroupRequest {
            group_id: "g".to_owned(),
            generation_id: who.generation_id,
            member_id: who.member_id.clone(),
            assignments: assignments.collect(),
            ..Default::default()
        });
        assert_eq!(bench.synced(ticket).error_code, NONE);
    }
    told.to_vec()
}

/// A member joins again and asks for its part: its answers.
fn again(bench: &mut Bench, id: &str) -> (JoinGroupResponse, Vec<i32>) {
    let ticket = bench.join(asks(id));
    let told = bench.joined(ticket);
    assert_eq!(told.error_code, NONE);
    let ticket = bench.sync(&told, &[]);
    let synced = bench.synced(ticket);
    assert_eq!(synced.error_code, NONE);
    let part = ConsumerProtocolAssignment::from_bytes(&synced.assignment).expect("a part");
    (told, part.assigned_partitions.into_iter().flat_map(|topic| topic.partitions).collect())
}

/// What the last records of the log are of.
fn last_kinds(bench: &Bench, count: usize) -> Vec<&'static str> {
    let kind = |entry: &Entry| match entry {
        Entry::Marker(..) => "marker",
        Entry::Record(record, _) => match &**record {
            GroupRecord::GroupMetadata { value: Some(_), .. } => "group",
            GroupRecord::GroupMetadata { .. } => "-group",
            GroupRecord::ConsumerGroupMetadata { value: Some(_), .. } => "epoch",
            GroupRecord::ConsumerGroupMetadata { .. } => "-epoch",
            GroupRecord::ConsumerGroupPartitionMetadata { .. } => "-partitions",
            GroupRecord::ConsumerGroupMemberMetadata { value: Some(_), .. } => "member",
            GroupRecord::ConsumerGroupMemberMetadata { .. } => "-member",
            GroupRecord::ConsumerGroupTargetAssignmentMetadata { value: Some(_), .. } => {
                "target epoch"
            }
            GroupRecord::ConsumerGroupTargetAssignmentMetadata { .. } => "-target epoch",
            GroupRecord::ConsumerGroupTargetAssignmentMember { value: Some(_), .. } => "target",
            GroupRecord::ConsumerGroupTargetAssignmentMember { .. } => "-target",
            GroupRecord::ConsumerGroupCurrentMemberAssignment { value: Some(_), .. } => "current",
            GroupRecord::ConsumerGroupCurrentMemberAssignment { .. } => "-current",
            _ => "other",
        },
    };
    bench.log[bench.log.len() - count..].iter().map(kind).collect()
}

#[test]
fn a_classic_group_that_nobody_is_in_makes_place() {
    let mut bench = Bench::of_consumers();
    bench.commit(8, commits("a", &[(0, 7)]));
    let told = bench.good_beat(&first("one", &["a"]));
    assert_eq!((told.member_epoch, bench.kind()), (2, Some("Consumer")));
    let expected = ["-group", "member", "epoch", "target", "target epoch", "current"];
    assert_eq!(last_kinds(&bench, 6), expected);
    assert_eq!(bench.fetch("a", &[0], true), [(7, NONE)], "its offsets stay");
    bench.check_log();
}

#[test]
fn a_consumer_group_that_nobody_is_in_makes_place() {
    let mut bench = Bench::of_consumers();
    bench.good_beat(&first("one", &["a"]));
    bench.good_beat(&alive("one", -1));
    assert_eq!(bench.join_error(asks("one")), ErrorCode::UnknownMemberId);
    assert_eq!(bench.kind(), Some("Consumer"));
    assert_eq!(bench.join_error(asks("")), ErrorCode::MemberIdRequired);
    assert_eq!(bench.kind(), Some("Classic"));
    assert_eq!(last_kinds(&bench, 4), ["-target epoch", "-partitions", "-epoch", "group"]);
    bench.check_log();
    bench.restart();
    assert_eq!(bench.state(), "Empty");
}

#[test]
fn a_classic_group_with_members_becomes_a_consumer_group() {
    let mut bench = Bench::of_consumers();
    let members = two(&mut bench);
    let told = bench.good_beat(&first("new", &["a"]));
    assert_eq!((told.member_epoch, given(&told)), (2, vec![]));
    let expected = [
        "-group",
        "member",
        "member",
        "epoch",
        "target",
        "target",
        "target epoch",
        "current",
        "current",
        "member",
        "epoch",
        "target",
        "target",
        "target epoch",
        "current",
    ];
    assert_eq!(last_kinds(&bench, 15), expected);
    bench.check_log();
    for member in &members {
        assert_eq!(bench.heartbeat(member), ErrorCode::RebalanceInProgress);
        assert_eq!(bench.commit(8, commit_as(member)), [(0, NONE)]);
    }
    // They join again, without waiting for each other, and give up what is too much.
    let mut all = Vec::new();
    for member in &members {
        let (_, mut part) = again(&mut bench, &member.member_id);
        all.append(&mut part);
    }
    assert!(all.len() < 4, "{all:?}");
    for _ in 0..3 {
        for member in &members {
            again(&mut bench, &member.member_id);
        }
        let epoch = bench.consumers().members()["new"].epoch;
        bench.good_beat(&alive("new", epoch));
    }
    assert_eq!(bench.consumers().state().name(), "Stable");
    bench.check_log();
    bench.restart();
    assert_eq!(bench.consumers().state().name(), "Stable");
}

fn commit_as(member: &JoinGroupResponse) -> OffsetCommitRequest {
    OffsetCommitRequest {
        generation_id_or_member_epoch: member.generation_id,
        member_id: member.member_id.clone(),
        ..commits("a", &[(0, 7)])
    }
}

#[test]
fn who_waits_in_a_group_that_is_converted_joins_again() {
    let mut bench = Bench::of_consumers();
    let members = two(&mut bench);
    let late = bench.newcomer();
    let waits = bench.join(asks(&members[0].member_id));
    assert!(bench.waits(late) && bench.waits(waits));
    bench.good_beat(&first("new", &["a"]));
    for ticket in [late, waits] {
        let told = bench.joined(ticket);
        assert_eq!(told.error_code, ErrorCode::RebalanceInProgress);
        assert!(bench.consumers().members().contains_key(&told.member_id));
    }
    bench.check_log();
    bench.pass(2 * LONG);
    assert!(bench.groups.timers.count() <= 2, "nothing of the classic group is due");
}

#[test]
fn a_group_that_cannot_be_converted_stays() {
    let forbids = [MigrationPolicy::Disabled, MigrationPolicy::Downgrade];
    for policy in forbids {
        let mut bench = Bench::of_consumers();
        bench.groups.config.consumer.migration_policy = policy;
        let members = two(&mut bench);
        let waits = bench.newcomer();
        let (log, told) = (bench.log.clone(), bench.beat(&first("new", &["a"])));
        assert_eq!(told.error_code, ErrorCode::GroupIdNotFound);
        assert!(bench.waits(waits) && bench.log == log && bench.kind() == Some("Classic"));
        assert_eq!(bench.heartbeat(&members[0]), ErrorCode::RebalanceInProgress);
    }
    // Whose members' assignments are nobody's that is known here.
    let mut bench = Bench::of_consumers();
    bench.stable(2);
    assert_eq!(bench.beat(&first("new", &["a"])).error_code, ErrorCode::GroupIdNotFound);
    assert_eq!(bench.state(), "Stable");
    // And one that is accepted as a group, but not as a member.
    let mut bench = Bench::of_consumers();
    two(&mut bench);
    let mut bad = first("new", &[]);
    bad.subscribed_topic_regex = Some("(".to_owned());
    assert_eq!(bench.beat(&bad).error_code, ErrorCode::InvalidRegularExpression);
    assert_eq!(bench.state(), "Stable");
}

#[test]
fn when_the_last_consumer_leaves_a_classic_group_is_left() {
    for leaves in [true, false] {
        let mut bench = Bench::of_consumers();
        let members = two(&mut bench);
        bench.good_beat(&first("new", &["a"]));
        let mut last = Vec::new();
        for member in &members {
            last.push(again(&mut bench, &member.member_id).0);
        }
        if leaves {
            bench.good_beat(&alive("new", -1));
        } else {
            bench.groups.config.consumer.session_timeout_ms = 1;
            let epoch = bench.consumers().members()["new"].epoch;
            bench.good_beat(&alive("new", epoch));
            bench.pass(1);
        }
        assert_eq!((bench.kind(), bench.state()), (Some("Classic"), "PreparingRebalance"));
        let expected = ["-partitions", "-epoch", "group"];
        assert_eq!(last_kinds(&bench, 3), expected);
        for member in &last {
            assert_eq!(bench.heartbeat(member), ErrorCode::RebalanceInProgress);
        }
        let tickets = [0, 1].map(|at| bench.join(asks(&last[at].member_id)));
        let told = tickets.map(|ticket| bench.joined(ticket));
        assert!(told.iter().all(|told| told.error_code.is_none()));
        assert!(told[0].generation_id > last[0].generation_id);
        assert_eq!(told.iter().map(|told| told.members.len()).sum::<usize>(), 2, "one leads");
        bench.restart();
        assert_eq!((bench.state(), bench.group().members().count()), ("Stable", 2));
    }
}

#[test]
fn without_leave_to_go_back_a_consumer_group_stays_one() {
    let mut bench = Bench::of_consumers();
    bench.groups.config.consumer.migration_policy = MigrationPolicy::Upgrade;
    let members = two(&mut bench);
    bench.good_beat(&first("new", &["a"]));
    bench.good_beat(&alive("new", -1));
    assert_eq!((bench.kind(), bench.consumers().members().len()), (Some("Consumer"), 2));
    for member in &members {
        again(&mut bench, &member.member_id);
    }
    bench.check_log();
    // Until nobody is left, and a classic group begins.
    let to = bench.ticket();
    let leaves = |member: &JoinGroupResponse| MemberIdentity {
        member_id: member.member_id.clone(),
        ..Default::default()
    };
    let request = LeaveGroupRequest {
        group_id: "g".to_owned(),
        members: members.iter().map(leaves).collect(),
        ..Default::default()
    };
    bench.step(Event::Leave { to, version: 3, request });
    let Some(Response::Leave(told)) = bench.answers.remove(&to) else {
        panic!("who leaves is answered at once")
    };
    assert!(told.members.iter().all(|told| told.error_code.is_none()) && told.members.len() == 2);
    assert_eq!(bench.consumers().state().name(), "Empty");
    assert_eq!(bench.join_error(asks("")), ErrorCode::MemberIdRequired);
    assert_eq!(bench.kind(), Some("Classic"));
    bench.check_log();
}

#[test]
fn a_static_member_that_returns_to_the_classic_protocol_ends_the_consumer_group() {
    let mut bench = Bench::of_consumers();
    let mut static_first = first("new", &["a"]);
    static_first.instance_id = Some("i".to_owned());
    bench.good_beat(&static_first);
    let mut away = alive("new", -2);
    away.instance_id = Some("i".to_owned());
    bench.good_beat(&away);
    let ticket = bench.join(asks("").instance("i"));
    let told = bench.joined(ticket);
    assert_eq!((told.error_code, bench.kind()), (NONE, Some("Classic")));
    assert_eq!(bench.group().members().count(), 1);
    bench.check_log();
    let ticket = bench.sync(&told, &[]);
    let synced = bench.synced(ticket);
    assert_eq!((synced.error_code, synced.assignment), (NONE, part(&[0, 1, 2, 3])));
    bench.restart();
    assert_eq!(bench.heartbeat(&told), NONE);
}

#[test]
fn who_is_not_of_a_consumer_group_is_told_so() {
    let mut bench = Bench::of_consumers();
    bench.good_beat(&first("one", &["a"]));
    let stranger =
        JoinGroupResponse { member_id: "one".to_owned(), generation_id: 2, ..Default::default() };
    let other = JoinGroupResponse { member_id: "who".to_owned(), ..stranger.clone() };
    for who in [&stranger, &other] {
        assert_eq!(bench.heartbeat(who), ErrorCode::UnknownMemberId);
        let ticket = bench.sync(who, &[]);
        assert_eq!(bench.synced(ticket).error_code, ErrorCode::UnknownMemberId);
    }
    let connect = asks("").with(|request| request.protocol_type = "connect".to_owned());
    assert_eq!(bench.join_error(connect), ErrorCode::InconsistentGroupProtocol);
    let to = bench.ticket();
    let (group_id, member_id) = ("g".to_owned(), "who".to_owned());
    let request = LeaveGroupRequest { group_id, member_id, ..Default::default() };
    bench.step(Event::Leave { to, version: 2, request });
    let Some(Response::Leave(told)) = bench.answers.remove(&to) else {
        panic!("who leaves is answered at once")
    };
    assert_eq!(told.error_code, ErrorCode::UnknownMemberId);
    bench.check_log();
}
