//! JoinGroup: rules 68 and 69.

use super::*;

#[test]
fn rule_68_an_id_comes_before_the_first_join() {
    let mut bench = Bench::new();
    let ticket = bench.join(asks("").version(4));
    let told = bench.joined(ticket);
    assert_eq!(told.error_code, ErrorCode::MemberIdRequired);
    assert_eq!(told.member_id, "client-00000000-0000-0000-0000-000000000001");
    assert_eq!((told.generation_id, bench.state()), (-1, "Empty"));
    let second = bench.join(asks(&told.member_id));
    assert!(bench.waits(second), "the initial delay");
    bench.pass(3_000);
    assert_eq!(bench.joined(second).generation_id, 1);
    // Before version 4 nobody asks twice.
    let third = bench.join(asks("").version(3));
    assert!(bench.waits(third));
}

#[test]
fn rule_68_an_id_that_nobody_comes_back_with_is_forgotten() {
    let mut bench = Bench::new();
    let ticket = bench.join(asks("").version(4));
    let told = bench.joined(ticket);
    bench.pass(i64::from(SESSION));
    assert_eq!(bench.join_error(asks(&told.member_id)), ErrorCode::UnknownMemberId);
}

#[test]
fn an_id_that_nobody_comes_back_with_holds_a_rebalance_up_for_its_session_only() {
    let mut bench = Bench::new();
    let members = bench.stable(1);
    let pending = bench.join(asks("").version(4));
    assert_eq!(bench.joined(pending).error_code, ErrorCode::MemberIdRequired);
    let again = bench.join(asks(&members[0].member_id));
    bench.pass(i64::from(SESSION) - 1);
    assert!(bench.waits(again));
    bench.pass(1);
    assert_eq!(bench.joined(again).generation_id, 2);
}

#[test]
fn rule_68_the_first_wait_is_prolonged_by_who_comes() {
    // (when others come, when the generation begins) after the first came, in milliseconds.
    let table: &[(&[i64], i64)] = &[
        (&[], 3_000),
        (&[1], 6_000),
        (&[1, 2, 3], 6_000),
        (&[1, 3_001, 6_001], 12_000),
        (&[2_999, 5_999, 8_999, 11_999], 15_000),
    ];
    for (come, begins) in table {
        let mut bench = Bench::new();
        let first = bench.newcomer();
        let start_ms = bench.now_ms;
        for at in *come {
            bench.pass(start_ms + at - bench.now_ms);
            bench.newcomer();
        }
        bench.pass(start_ms + begins - 1 - bench.now_ms);
        assert!(bench.waits(first), "{come:?}");
        bench.pass(1);
        assert_eq!(bench.joined(first).error_code, ErrorCode::None, "{come:?}");
    }
}

#[test]
fn the_first_wait_ends_with_the_rebalance_timeout() {
    let mut bench = Bench::new();
    let short = || asks("").version(3).with(|request| request.rebalance_timeout_ms = 7_000);
    let first = bench.join(short());
    for _ in 0..3 {
        bench.pass(2_000);
        bench.join(short());
    }
    bench.pass(999);
    assert!(bench.waits(first));
    bench.pass(1);
    assert_eq!(bench.joined(first).error_code, ErrorCode::None, "7 s are over");
}

#[test]
fn rule_68_who_may_not_join_is_told_why() {
    use ErrorCode::*;
    type Change = fn(Asks) -> Asks;
    let table: &[(Change, ErrorCode)] = &[
        (|asks| asks.with(|r| r.group_id = String::new()), InvalidGroupId),
        (|asks| asks.with(|r| r.session_timeout_ms = 5_999), InvalidSessionTimeout),
        (|asks| asks.with(|r| r.session_timeout_ms = 1_800_001), InvalidSessionTimeout),
        (|asks| asks.with(|r| r.protocol_type = "connect".to_owned()), InconsistentGroupProtocol),
        (|asks| asks.with(|r| r.protocol_type = String::new()), InconsistentGroupProtocol),
        (|asks| asks.protocols(&[]), InconsistentGroupProtocol),
        (|asks| asks.protocols(&["other"]), InconsistentGroupProtocol),
        (|asks| asks.with(|r| r.member_id = "who".to_owned()), UnknownMemberId),
        (|asks| asks.with(|r| r.member_id = "who".to_owned()).instance("i"), UnknownMemberId),
        (
            |asks| asks.with(|r| r.group_id = "new".to_owned()).protocols(&[]),
            InconsistentGroupProtocol,
        ),
        (
            |asks| asks.with(|r| (r.group_id, r.member_id) = ("new".to_owned(), "m".to_owned())),
            UnknownMemberId,
        ),
    ];
    for (row, (change, error)) in table.iter().enumerate() {
        let mut bench = Bench::new();
        bench.stable(2);
        assert_eq!(bench.join_error(change(asks("").version(0))), *error, "row {row}");
        assert_eq!(bench.state(), "Stable", "row {row}: nobody else notices");
    }
}

#[test]
fn rule_68_a_full_group_takes_nobody() {
    let config = GroupConfig { members_max: 2, ..Default::default() };
    let mut bench = Bench::with(config);
    let tickets = [bench.newcomer(), bench.newcomer()];
    assert_eq!(bench.join_error(asks("").version(0)), ErrorCode::GroupMaxSizeReached);
    bench.pass(6_000);
    let told = tickets.map(|ticket| bench.joined(ticket));
    assert_eq!(bench.join_error(asks("").version(0)), ErrorCode::GroupMaxSizeReached);
    let again = bench.join(asks(&told[0].member_id));
    assert!(!bench.waits(again), "who is in stays in");
}

#[test]
fn a_group_that_is_too_large_when_loaded_shrinks() {
    let mut bench = Bench::new();
    let members = bench.stable(3);
    bench.groups.config.members_max = 2;
    bench.restart();
    assert_eq!(bench.state(), "PreparingRebalance");
    let tickets = [0, 1].map(|at| bench.join(asks(&members[at].member_id)));
    let last = bench.join_error(asks(&members[2].member_id));
    assert_eq!(last, ErrorCode::GroupMaxSizeReached);
    bench.pass(i64::from(REBALANCE));
    assert_eq!(tickets.map(|ticket| bench.joined(ticket).generation_id), [2, 2]);
}

#[test]
fn rule_69_only_the_leader_is_told_of_the_members() {
    let mut bench = Bench::new();
    let tickets = [bench.newcomer(), bench.newcomer(), bench.newcomer()];
    bench.pass(i64::from(REBALANCE));
    for told in tickets.map(|ticket| bench.joined(ticket)) {
        assert_eq!(told.protocol_type.as_deref(), Some("consumer"));
        assert_eq!(told.protocol_name.as_deref(), Some("range"));
        let leads = told.leader == told.member_id;
        assert_eq!(told.members.len(), if leads { 3 } else { 0 });
        assert!(told.members.iter().all(|member| member.metadata.ends_with(b"range")));
    }
}

#[test]
fn the_protocol_is_voted_for_among_those_that_all_can() {
    let table: &[(&[&[&str]], &str)] = &[
        (&[&["x", "y"]], "x"),
        (&[&["x", "y"], &["y"]], "y"),
        (&[&["x", "y"], &["y", "x"], &["y", "x"]], "y"),
        (&[&["z", "x", "y"], &["z2", "x", "y"], &["y", "x"]], "x"),
        (&[&["x", "x", "y"], &["y", "x"], &["y", "x"]], "y"),
    ];
    for (members, chosen) in table {
        let mut bench = Bench::new();
        let join = |names: &&[&str]| bench.join(asks("").version(0).protocols(names));
        let tickets: Vec<_> = members.iter().map(join).collect();
        bench.pass(i64::from(REBALANCE));
        for ticket in tickets {
            assert_eq!(bench.joined(ticket).protocol_name.as_deref(), Some(*chosen), "{members:?}");
        }
    }
}

#[test]
fn who_does_not_join_again_in_time_is_out() {
    let mut bench = Bench::new();
    let members = bench.stable(2);
    let newcomer = bench.newcomer();
    assert_eq!(bench.heartbeat(&members[1]), ErrorCode::RebalanceInProgress);
    let mut again = None;
    for passed in 0..6 {
        // Heartbeats alone keep nobody in.
        bench.heartbeat(&members[0]);
        if passed == 0 {
            again = Some(bench.join(asks(&members[1].member_id)));
        }
        bench.pass(9_999);
    }
    assert!(bench.waits(newcomer));
    bench.pass(6);
    let told = bench.joined(newcomer);
    assert_eq!((told.generation_id, told.leader.as_str()), (2, members[1].member_id.as_str()));
    assert_eq!(bench.joined(again.unwrap()).members.len(), 2, "the leader is among who joined");
    assert_eq!(bench.heartbeat(&members[0]), ErrorCode::UnknownMemberId);
}

#[test]
fn a_newcomer_whose_join_nobody_hears_of_again_goes_after_five_minutes() {
    let mut bench = Bench::new();
    let members = bench.stable(1);
    let newcomer = bench.join(asks("").version(3));
    let long = bench
        .join(asks(&members[0].member_id).with(|request| request.rebalance_timeout_ms = 600_000));
    assert!(!bench.waits(long) && !bench.waits(newcomer), "both are in the next generation");
    let newcomer =
        bench.join(asks("").version(3).with(|request| request.rebalance_timeout_ms = 600_000));
    for _ in 0..30 {
        bench.heartbeat(&JoinGroupResponse { generation_id: 2, ..members[0].clone() });
        bench.pass(9_990);
    }
    assert!(bench.waits(newcomer));
    bench.heartbeat(&JoinGroupResponse { generation_id: 2, ..members[0].clone() });
    bench.pass(300);
    let told = bench.joined(newcomer);
    assert_eq!((told.error_code, told.member_id.as_str()), (ErrorCode::UnknownMemberId, ""));
}

#[test]
fn who_joins_again_is_told_or_makes_a_rebalance() {
    // (state, who: 0 leads, with another protocol) -> whether a rebalance begins
    let table = [
        ("CompletingRebalance", 0, false, false),
        ("CompletingRebalance", 1, false, false),
        ("CompletingRebalance", 1, true, true),
        ("Stable", 1, false, false),
        ("Stable", 1, true, true),
        ("Stable", 0, false, true),
    ];
    for (state, who, changed, rebalances) in table {
        let mut bench = Bench::new();
        let members = match state {
            "Stable" => bench.stable(2),
            _ => {
                let tickets = [bench.newcomer(), bench.newcomer()];
                bench.pass(6_000);
                let mut told = tickets.map(|ticket| bench.joined(ticket));
                told.sort_by_key(|member| member.leader != member.member_id);
                told.to_vec()
            }
        };
        assert_eq!(bench.state(), state);
        let names: &[&str] = if changed { &["range", "more"] } else { &["range"] };
        let ticket = bench.join(asks(&members[who].member_id).protocols(names));
        let row = (state, who, changed);
        assert_eq!(bench.waits(ticket), rebalances, "{row:?}");
        if rebalances {
            assert_eq!(bench.state(), "PreparingRebalance", "{row:?}");
        } else {
            let told = bench.joined(ticket);
            assert_eq!(told.generation_id, 1, "{row:?}");
            assert_eq!(told.members.len(), if who == 0 { 2 } else { 0 }, "{row:?}");
        }
    }
}

#[test]
fn a_join_that_is_asked_again_is_answered_too() {
    let mut bench = Bench::new();
    let members = bench.stable(2);
    let first = bench.join(asks(&members[0].member_id));
    let second = bench.join(asks(&members[0].member_id));
    assert_eq!(bench.joined(first).error_code, ErrorCode::RebalanceInProgress);
    let other = bench.join(asks(&members[1].member_id));
    assert_eq!(bench.joined(second).generation_id, 2);
    assert_eq!(bench.joined(other).generation_id, 2);
}
