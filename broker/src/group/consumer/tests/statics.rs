//! Static members: an instance id stays, member ids come and go.

use super::*;

fn static_join(member: &str, instance: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        instance_id: Some(instance.to_string()),
        ..join(member, &["a"])
    }
}

fn static_alive(member: &str, epoch: i32, instance: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        instance_id: Some(instance.to_string()),
        ..alive(member, epoch)
    }
}

#[test]
fn rule_75_a_static_member_comes_back_to_its_partitions() {
    let mut desk = Desk::new();
    let first = assigned(&desk.good(&static_join("m", "i")));
    assert_eq!(
        desk.bad(&static_join("n", "i")),
        (
            ErrorCode::UnreleasedInstanceId,
            "Static member n with instance id i cannot join the group because the instance id is \
             owned by m member."
                .to_string()
        )
    );
    let left = desk.good(&static_alive("m", -2, "i"));
    assert_eq!((left.member_epoch, left.member_id.as_deref()), (-2, Some("m")));
    assert_eq!(desk.group.epoch(), 2, "nothing is rebalanced");

    let request = static_join("n", "i");
    let answer = desk.step(|group, at, ids| group.heartbeat(at, &client(), 1, &request, ids));
    let expected = ["-current", "-target", "-member", "member", "target", "current", "current"];
    assert_eq!(kinds(&answer.records), expected);
    assert_eq!(assigned(&answer.response), first);
    assert_eq!((answer.response.member_epoch, desk.group.epoch()), (2, 2));
    assert_eq!(
        desk.bad(&static_alive("m", 2, "i")),
        (
            ErrorCode::FencedInstanceId,
            "Static member m with instance id i was fenced by member n.".to_string()
        )
    );
    assert_eq!(desk.bad(&static_alive("m", -2, "i")).0, ErrorCode::FencedInstanceId);
}

#[test]
fn rule_75_unknown_instances_are_told() {
    let mut desk = Desk::new();
    desk.good(&static_join("m", "i"));
    for epoch in [2, -1, -2] {
        assert_eq!(
            desk.bad(&static_alive("m", epoch, "j")),
            (ErrorCode::UnknownMemberId, "Instance id j is unknown.".to_string())
        );
    }
    // Leaving for good, as a static member too, makes room.
    desk.good(&static_alive("m", -1, "i"));
    assert!(desk.group.is_empty());
}

#[test]
fn rule_75_who_is_away_keeps_its_partitions_until_its_session_ends() {
    let mut desk = Desk::new();
    desk.good(&static_join("m", "i"));
    desk.good(&static_alive("m", -2, "i"));
    let other = desk.good(&join("n", &["a"]));
    assert_eq!(assigned(&other), Vec::new());
    desk.now_ms += 44_999;
    desk.good(&alive("n", 3));
    assert_eq!(desk.timer(), []);
    desk.now_ms += 1;
    assert_eq!(kinds(&desk.timer()), ["-current", "-target", "-member", "epoch"]);
    assert_eq!(assigned(&desk.good(&alive("n", 3))), desk.list(&[("a", &[0, 1, 2, 3])]));
}

#[test]
fn rule_75_a_replacement_may_want_something_else() {
    let mut desk = Desk::new();
    desk.good(&static_join("m", "i"));
    desk.good(&static_alive("m", -2, "i"));
    let mut request = static_join("n", "i");
    request.subscribed_topic_names = Some(vec!["b".to_string()]);
    let told = desk.good(&request);
    // It lists nothing, so that what it has no longer is free at once.
    assert_eq!((told.member_epoch, assigned(&told)), (3, desk.list(&[("b", &[0, 1])])));
    assert_eq!(desk.group.members().len(), 1);
}
