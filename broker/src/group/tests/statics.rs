//! Static members: rule 71.

use super::*;

/// A stable group of the static members `i` and `j`; `i` leads.
fn stable() -> (Bench, Vec<JoinGroupResponse>) {
    let mut bench = Bench::new();
    let mut members = Vec::new();
    for name in ["i", "j"] {
        members.push(bench.join(asks("").instance(name)));
    }
    bench.pass(6_000);
    let members: Vec<_> = members.into_iter().map(|ticket| bench.joined(ticket)).collect();
    assert_eq!(members[0].leader, members[0].member_id);
    let parts = [(members[0].member_id.as_str(), "one"), (members[1].member_id.as_str(), "two")];
    let tickets = [0, 1].map(|at| bench.sync(&members[at], &parts));
    for ticket in tickets {
        bench.synced(ticket);
    }
    assert_eq!(bench.state(), "Stable");
    (bench, members)
}

#[test]
fn rule_71_a_static_member_comes_back_without_a_rebalance() {
    // (whose name, version) -> (skips, members told, is told to lead)
    let table = [
        ("i", 9, (true, 2, true)),
        ("j", 9, (false, 0, false)),
        ("i", 8, (false, 0, false)),
        ("j", 5, (false, 0, false)),
    ];
    for (name, version, expected) in table {
        let (mut bench, members) = stable();
        let records = bench.log.len();
        let ticket = bench.join(asks("").instance(name).version(version));
        let told = bench.joined(ticket);
        assert_eq!((told.error_code, told.generation_id), (ErrorCode::None, 1));
        let leads = told.leader == told.member_id;
        assert_eq!((told.skip_assignment, told.members.len(), leads), expected, "{name} {version}");
        assert_eq!((bench.state(), bench.log.len()), ("Stable", records + 1));
        // Its part is what it was, and its former life is fenced.
        let old = &members[usize::from(name == "j")];
        assert_ne!(old.member_id, told.member_id);
        let part = bench.sync(&told, &[]);
        let part = String::from_utf8(bench.synced(part).assignment).unwrap();
        assert_eq!(part, if name == "i" { "one" } else { "two" });
        assert_eq!(bench.heartbeat(old), ErrorCode::UnknownMemberId);
        let fenced = bench.join_error(asks(&old.member_id).instance(name));
        assert_eq!(fenced, ErrorCode::FencedInstanceId);
        // The log knows.
        bench.restart();
        assert_eq!(bench.heartbeat(&told), ErrorCode::None);
    }
}

#[test]
fn rule_71_another_protocol_makes_a_rebalance() {
    let mut bench = Bench::new();
    let both = || asks("").protocols(&["x", "y"]).instance("i");
    let first = bench.join(both());
    bench.pass(3_000);
    let told = bench.joined(first);
    let part = bench.sync(&told, &[]);
    bench.synced(part);
    assert_eq!(told.protocol_name.as_deref(), Some("x"));
    let again = bench.join(both().protocols(&["y", "x"]));
    assert_eq!(bench.state(), "CompletingRebalance", "it is alone, so all have joined");
    let told = bench.joined(again);
    assert_eq!((told.generation_id, told.protocol_name.as_deref()), (2, Some("y")));
}

#[test]
fn a_static_member_that_comes_back_while_the_leader_assigns_makes_a_rebalance() {
    let mut bench = Bench::new();
    let tickets = ["i", "j"].map(|name| bench.join(asks("").instance(name)));
    bench.pass(6_000);
    let members = tickets.map(|ticket| bench.joined(ticket));
    let waiting = bench.sync(&members[1], &[]);
    let again = bench.join(asks("").instance("j"));
    assert_eq!(bench.synced(waiting).error_code, ErrorCode::FencedInstanceId);
    assert!(bench.waits(again));
    assert_eq!(bench.state(), "PreparingRebalance");
    let other = bench.join(asks(&members[0].member_id).instance("i"));
    assert_eq!(bench.joined(other).generation_id, 2);
    assert_eq!(bench.joined(again).generation_id, 2);
}

#[test]
fn a_static_member_that_comes_back_while_it_joins_is_answered_twice_once_fenced() {
    let (mut bench, members) = stable();
    let first = bench.join(asks(&members[0].member_id).instance("i"));
    let second = bench.join(asks("").instance("i"));
    let told = bench.joined(first);
    assert_eq!(told.error_code, ErrorCode::FencedInstanceId);
    assert_eq!((told.member_id, told.protocol_name), (members[0].member_id.clone(), None));
    assert!(bench.waits(second));
    let other = bench.join(asks(&members[1].member_id).instance("j"));
    assert_eq!(bench.joined(second).generation_id, 2);
    assert_eq!(bench.joined(other).generation_id, 2);
}

#[test]
fn a_rebalance_goes_on_without_static_members_but_keeps_them_until_their_sessions_end() {
    let (mut bench, members) = stable();
    let long = |request: &mut JoinGroupRequest| {
        (request.session_timeout_ms, request.rebalance_timeout_ms) = (60_000, 6_000);
    };
    // Both come back with a session that outlives the rebalance.
    let tickets = ["i", "j"].map(|name| bench.join(asks("").instance(name).with(long)));
    let members_now = tickets.map(|ticket| bench.joined(ticket));
    assert!(members.iter().all(|old| members_now.iter().all(|new| new.member_id != old.member_id)));
    let leader = bench.join(asks(&members_now[0].member_id).instance("i").with(long));
    bench.pass(6_000);
    let told = bench.joined(leader);
    assert_eq!((told.generation_id, told.members.len()), (2, 2), "j keeps its place");
    // Nobody comes back: the rebalance waits until the sessions end.
    let part = bench.sync(&told, &[]);
    bench.synced(part);
    bench.pass(5_999);
    assert_eq!(bench.state(), "Stable");
    bench.pass(1);
    assert_eq!(bench.group().members().count(), 1, "j never asked for its part");
}

#[test]
fn a_rebalance_that_nobody_joins_waits_for_the_sessions_of_static_members() {
    let (mut bench, _) = stable();
    let long = |request: &mut JoinGroupRequest| {
        (request.session_timeout_ms, request.rebalance_timeout_ms) = (60_000, 6_000);
    };
    let tickets = ["i", "j"].map(|name| bench.join(asks("").instance(name).with(long)));
    for ticket in tickets {
        bench.joined(ticket);
    }
    let newcomer = bench.join(asks("").version(3).with(long));
    let to = bench.ticket();
    let id = bench.group().members().find(|member| member.instance_id.is_none());
    let member_id = id.unwrap().id.to_string();
    let request = LeaveGroupRequest { group_id: "g".to_owned(), member_id, ..Default::default() };
    bench.step(Event::Leave { to, version: 0, request });
    assert_eq!(bench.joined(newcomer).error_code, ErrorCode::UnknownMemberId);
    bench.pass(59_000);
    assert_eq!((bench.state(), bench.group().members().count()), ("PreparingRebalance", 2));
    bench.pass(1_000);
    assert_eq!(bench.state(), "Empty");
}
