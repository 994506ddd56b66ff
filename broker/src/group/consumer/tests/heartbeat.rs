//! What a heartbeat may say, and what members that do not keep to it are told.

use super::*;
use crate::group::assignor::Assignor;
use crate::group::consumer::GroupState;

type Edit = (&'static str, fn(&mut ConsumerGroupHeartbeatRequest));

#[test]
fn rule_75_malformed_heartbeats_are_refused() {
    let base = || join("m", &["a"]);
    let edits: &[Edit] = &[
        ("MemberId can't be empty.", |r| r.member_id = " ".to_string()),
        ("GroupId can't be empty.", |r| r.group_id = String::new()),
        ("InstanceId can't be empty.", |r| r.instance_id = Some(String::new())),
        ("RackId can't be empty.", |r| r.rack_id = Some(String::new())),
        ("RebalanceTimeoutMs must be provided in first request.", |r| {
            r.rebalance_timeout_ms = -1;
        }),
        ("TopicPartitions must be empty when (re-)joining.", |r| r.topic_partitions = None),
        ("TopicPartitions must be empty when (re-)joining.", |r| {
            r.topic_partitions = Some(vec![TopicPartitions::default()]);
        }),
        (
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when \
             (re-)joining.",
            |r| r.subscribed_topic_names = None,
        ),
        ("InstanceId can't be null.", |r| r.member_epoch = -2),
        ("MemberEpoch is invalid.", |r| r.member_epoch = -3),
    ];
    let mut desk = Desk::new();
    for (message, edit) in edits {
        let mut request = base();
        edit(&mut request);
        assert_eq!(desk.bad(&request), (ErrorCode::InvalidRequest, message.to_string()));
    }
    let mut request = base();
    request.server_assignor = Some("sticky".to_string());
    let message = "ServerAssignor sticky is not supported. Supported assignors: uniform, range.";
    assert_eq!(desk.bad(&request), (ErrorCode::UnsupportedAssignor, message.to_string()));
    assert!(!desk.group.is_recorded());
}

#[test]
fn rule_75_version_0_gets_its_member_id_from_the_broker() {
    let mut desk = Desk::new();
    let request = join("", &["a"]);
    let answer = desk.step(|group, at, ids| group.heartbeat(at, CLIENT, 0, &request, ids));
    assert_eq!(answer.response.error_code, ErrorCode::None);
    assert_eq!(answer.response.member_id, Some(Uuid([1; 16]).to_string()));
    assert!(desk.group.members().contains_key(&Uuid([1; 16]).to_string()));
}

#[test]
fn rule_75_a_join_writes_kafkas_records_and_is_answered_in_full() {
    let mut desk = Desk::new();
    let request = join("m", &["a", "b"]);
    let answer = desk.step(|group, at, ids| group.heartbeat(at, CLIENT, 1, &request, ids));
    assert_eq!(kinds(&answer.records), ["member", "epoch", "target", "target epoch", "current"]);
    let expected = desk.list(&[("a", &[0, 1, 2, 3]), ("b", &[0, 1])]);
    let response = answer.response;
    assert_eq!(assigned(&response), expected);
    // A new group is in epoch 1; somebody who joins makes it 2.
    assert_eq!((response.member_epoch, response.heartbeat_interval_ms), (2, 5_000));
    assert_eq!(response.member_id.as_deref(), Some("m"));
    assert_eq!(desk.group.state(), GroupState::Stable);

    // Nothing new, nothing told, nothing written.
    let written = desk.log.len();
    assert_eq!(desk.good(&alive("m", 2)).assignment, None);
    assert_eq!(desk.log.len(), written);
    // A request in full is answered in full.
    let mut full = join("m", &["a", "b"]);
    full.member_epoch = 2;
    full.topic_partitions = Some(expected.clone());
    assert_eq!(assigned(&desk.good(&full)), expected);
    // So is a second join: the answer to the first may have been lost.
    assert_eq!(assigned(&desk.good(&request)), expected);
    assert_eq!(desk.log.len(), written);
}

#[test]
fn rule_75_stale_and_unknown_members_are_told() {
    let mut desk = Desk::new();
    assert_eq!(
        desk.bad(&alive("m", 5)),
        (ErrorCode::UnknownMemberId, "Member m is not a member of group g.".to_string())
    );
    desk.good(&join("m", &["a"]));
    let fenced = |epoch, than| {
        let message = format!(
            "The consumer group member has a {than} member epoch ({epoch}) than the one known by \
             the group coordinator (2). The member must abandon all its partitions and rejoin."
        );
        (ErrorCode::FencedMemberEpoch, message)
    };
    assert_eq!(desk.bad(&alive("m", 3)), fenced(3, "greater"));
    assert_eq!(desk.bad(&alive("m", 1)), fenced(1, "smaller"));
    assert_eq!(desk.bad(&alive("x", -1)).0, ErrorCode::UnknownMemberId);

    // The epoch before is good while the member lists only what it has: its answer was lost.
    desk.good(&join("n", &["a"]));
    desk.good(&alive("m", 2));
    let owned = desk.list(&[("a", &[0, 1])]);
    let member = &desk.group.members()["m"];
    let kept: Vec<i32> = member.assigned[&owned[0].topic_id].keys().copied().collect();
    let before = desk.list(&[("a", &kept)]);
    assert_eq!(desk.good(&owning("m", 2, before.clone())).member_epoch, 3);
    assert_eq!(desk.good(&owning("m", 2, before.clone())).member_epoch, 3);
    let too_much = desk.list(&[("a", &[0, 1, 2, 3])]);
    assert_eq!(desk.bad(&owning("m", 2, too_much)).0, ErrorCode::FencedMemberEpoch);
    assert_eq!(desk.bad(&alive("m", 2)).0, ErrorCode::FencedMemberEpoch);
}

#[test]
fn rule_75_a_full_group_takes_nobody_in() {
    let mut desk = Desk::new();
    desk.config.members_max = 1;
    desk.good(&join("m", &["a"]));
    let message = "The consumer group has reached its maximum capacity of 1 members.";
    assert_eq!(desk.bad(&join("n", &["a"])), (ErrorCode::GroupMaxSizeReached, message.to_string()));
    desk.good(&join("m", &["a"]));
}

#[test]
fn rule_75_the_assignor_that_most_members_want() {
    let mut desk = Desk::new();
    let wants = |member: &str, assignor: Option<&str>| ConsumerGroupHeartbeatRequest {
        server_assignor: assignor.map(str::to_string),
        ..join(member, &["a"])
    };
    let name = |desk: &Desk| desk.group.assignor_name(Assignor::Uniform).to_string();
    desk.good(&wants("m", None));
    assert_eq!(name(&desk), "uniform");
    desk.good(&wants("n", Some("range")));
    assert_eq!(name(&desk), "range");
    desk.good(&wants("o", Some("uniform")));
    desk.good(&wants("p", Some("uniform")));
    assert_eq!(name(&desk), "uniform");
}

#[test]
fn rule_75_too_large_a_change_is_refused_and_changes_nothing() {
    let mut desk = Desk::new();
    desk.config.batch_bytes_max = 300;
    assert_eq!(desk.bad(&join("m", &["a"])).0, ErrorCode::UnknownServerError);
    assert!(!desk.group.is_recorded());
}

#[test]
fn describe_shows_what_members_have_and_are_to_have() {
    let mut desk = Desk::new();
    desk.good(&join("m", &["a"]));
    desk.good(&join("n", &["a"]));
    let at = Context { now_ms: desk.now_ms, topics: &desk.world, config: &desk.config };
    let described = desk.group.describe(&at);
    assert_eq!(described.group_state, "Reconciling");
    assert_eq!((described.group_epoch, described.assignment_epoch), (3, 3));
    assert_eq!(described.assignor_name, "uniform");
    let [m, n] = &described.members[..] else { panic!("two members") };
    assert_eq!(m.assignment.topic_partitions[0].partitions, [0, 1, 2, 3]);
    assert_eq!(m.assignment.topic_partitions[0].topic_name, "a");
    assert_eq!(m.target_assignment.topic_partitions[0].partitions.len(), 2);
    assert_eq!(n.target_assignment.topic_partitions[0].partitions.len(), 2);
    assert!(n.assignment.topic_partitions.is_empty());
    assert_eq!((m.member_type, n.member_epoch), (1, 3));
}
