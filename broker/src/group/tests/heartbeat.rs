//! Heartbeat and LeaveGroup: rules 70 and 71.

use ringlog_wire::api::leave_group::LeaveGroupResponse;

use super::*;

fn leave(bench: &mut Bench, version: i16, who: &[(&str, Option<&str>)]) -> LeaveGroupResponse {
    let to = bench.ticket();
    let member = |(id, instance_id): &(&str, Option<&str>)| MemberIdentity {
        member_id: (*id).to_owned(),
        group_instance_id: instance_id.map(str::to_owned),
        reason: None,
    };
    let request = LeaveGroupRequest {
        group_id: "g".to_owned(),
        member_id: who[0].0.to_owned(),
        members: who.iter().map(member).collect(),
    };
    bench.step(Event::Leave { to, version, request });
    match bench.answers.remove(&to) {
        Some(Response::Leave(response)) => response,
        other => panic!("who leaves is answered at once, not {other:?}"),
    }
}

fn codes(response: LeaveGroupResponse) -> Vec<ErrorCode> {
    assert_eq!(response.error_code, ErrorCode::None);
    response.members.into_iter().map(|member| member.error_code).collect()
}

#[test]
fn rule_70_a_heartbeat_says_where_the_group_is() {
    use ErrorCode::*;
    let mut bench = Bench::new();
    let members = bench.stable(2);
    let said = |generation_id: i32, member_id: &str| JoinGroupResponse {
        generation_id,
        member_id: member_id.to_owned(),
        ..Default::default()
    };
    let id = members[0].member_id.clone();
    let table =
        [(said(1, &id), None), (said(2, &id), IllegalGeneration), (said(1, ""), UnknownMemberId)];
    for (who, error) in table {
        assert_eq!(bench.heartbeat(&who), error);
    }
    bench.newcomer();
    assert_eq!(bench.heartbeat(&members[0]), RebalanceInProgress);
    let mut bench = Bench::new();
    assert_eq!(bench.heartbeat(&said(1, &id)), UnknownMemberId, "no group");
    let ticket = bench.join(asks("").version(4));
    let pending = bench.joined(ticket);
    assert_eq!(bench.heartbeat(&said(0, &pending.member_id)), UnknownMemberId, "no member yet");
}

#[test]
fn who_is_silent_for_a_session_is_out() {
    let mut bench = Bench::new();
    let members = bench.stable(2);
    bench.pass(i64::from(SESSION) - 1);
    assert_eq!(bench.heartbeat(&members[0]), ErrorCode::None);
    bench.pass(1);
    assert_eq!(bench.state(), "PreparingRebalance");
    assert_eq!(bench.heartbeat(&members[1]), ErrorCode::UnknownMemberId);
    assert_eq!(bench.heartbeat(&members[0]), ErrorCode::RebalanceInProgress);
    bench.pass(i64::from(SESSION));
    assert_eq!(bench.state(), "Empty");
    assert_eq!(written(&bench.groups)["g"].as_ref().map(|told| told.generation), Some(2));
}

#[test]
fn who_waits_for_its_part_is_not_silent() {
    let mut bench = Bench::new();
    let tickets = [bench.newcomer(), bench.newcomer()];
    bench.pass(6_000);
    let members = tickets.map(|ticket| bench.joined(ticket));
    let follower = usize::from(members[0].leader == members[0].member_id);
    let waiting = bench.sync(&members[follower], &[]);
    for _ in 0..3 {
        bench.heartbeat(&members[1 - follower]);
        bench.pass(9_000);
    }
    assert!(bench.waits(waiting));
    let first = bench.sync(&members[1 - follower], &[]);
    assert_eq!(bench.synced(first).error_code, ErrorCode::None);
    assert_eq!(bench.synced(waiting).error_code, ErrorCode::None);
    bench.pass(9_999);
    assert_eq!(bench.heartbeat(&members[follower]), ErrorCode::None, "a fresh session");
}

#[test]
fn rule_71_members_leave_by_id_or_by_static_name() {
    use ErrorCode::*;
    let mut bench = Bench::new();
    let fixed = bench.join(asks("").instance("i"));
    let dynamic = bench.newcomer();
    let pending = bench.join(asks("").version(4));
    let pending = bench.joined(pending).member_id;
    bench.pass(6_000);
    let _ = (bench.joined(fixed), bench.joined(dynamic).member_id);
    let who = bench.group().members().map(|member| member.id.to_string()).collect::<Vec<_>>();
    let fixed = who.iter().find(|id| id.starts_with("i-")).unwrap();
    let dynamic = who.iter().find(|id| id.starts_with("client-")).unwrap();
    type Who<'a> = (&'a str, Option<&'a str>);
    let table: &[(&[Who], &[ErrorCode])] = &[
        (&[("who", Option::None), ("", Option::None)], &[UnknownMemberId, UnknownMemberId]),
        (&[(dynamic, Some("i")), ("", Some("j"))], &[FencedInstanceId, UnknownMemberId]),
        (&[(fixed, Some("j"))], &[UnknownMemberId]),
        (&[(&pending, Option::None)], &[None]),
        (
            &[("", Some("i")), (dynamic, Option::None), (fixed, Option::None)],
            &[None, None, UnknownMemberId],
        ),
    ];
    for (who, told) in table {
        assert_eq!(codes(leave(&mut bench, 3, who)), *told, "{who:?}");
    }
    assert_eq!(bench.state(), "Empty");
}

#[test]
fn up_to_version_2_one_member_leaves_and_the_code_is_on_top() {
    let mut bench = Bench::new();
    let members = bench.stable(1);
    let who = [("who", None)];
    assert_eq!(leave(&mut bench, 2, &who).error_code, ErrorCode::UnknownMemberId);
    let told = leave(&mut bench, 2, &[(&members[0].member_id, None)]);
    assert_eq!(told, LeaveGroupResponse::default());
    assert_eq!(bench.state(), "Empty");
}

#[test]
fn who_leaves_a_group_that_is_not_there_is_unknown() {
    let mut bench = Bench::new();
    let who = [("m", None), ("n", None)];
    assert_eq!(codes(leave(&mut bench, 3, &who)), [ErrorCode::UnknownMemberId; 2]);
    assert!(bench.groups.groups.is_empty());
}

#[test]
fn who_leaves_while_it_joins_is_answered_too() {
    let mut bench = Bench::new();
    let members = bench.stable(2);
    let again = bench.join(asks(&members[0].member_id));
    leave(&mut bench, 3, &[(&members[0].member_id, None)]);
    assert_eq!(bench.joined(again).error_code, ErrorCode::UnknownMemberId);
    let other = bench.join(asks(&members[1].member_id));
    assert_eq!(bench.joined(other).leader, members[1].member_id);
}

#[test]
fn a_group_that_everybody_leaves_while_it_waits_for_more_is_empty_in_the_end() {
    let mut bench = Bench::new();
    let ticket = bench.join(asks("").instance("i"));
    leave(&mut bench, 3, &[("", Some("i"))]);
    assert_eq!(bench.joined(ticket).error_code, ErrorCode::UnknownMemberId);
    assert_eq!(bench.state(), "PreparingRebalance");
    bench.pass(3_000);
    assert_eq!(bench.state(), "Empty");
}
