//! SyncGroup.

use super::*;

/// Two members that know their generation: the leader first.
fn completing() -> (Bench, Vec<JoinGroupResponse>) {
    let mut bench = Bench::new();
    let tickets = [bench.newcomer(), bench.newcomer()];
    bench.pass(6_000);
    let mut told = tickets.map(|ticket| bench.joined(ticket)).to_vec();
    told.sort_by_key(|member| member.leader != member.member_id);
    assert_eq!(bench.state(), "CompletingRebalance");
    (bench, told)
}

fn of(who: &JoinGroupResponse) -> SyncGroupRequest {
    SyncGroupRequest {
        group_id: "g".to_owned(),
        generation_id: who.generation_id,
        member_id: who.member_id.clone(),
        ..Default::default()
    }
}

#[test]
fn the_leaders_parts_are_everybodys() {
    let (mut bench, members) = completing();
    let (leader, follower) = (members[0].member_id.clone(), members[1].member_id.clone());
    let waiting = bench.sync(&members[1], &[(&leader, "ignored")]);
    assert!(bench.waits(waiting));
    let records = bench.log.len();
    let first = bench.sync(&members[0], &[(&follower, "two"), ("who", "three")]);
    let told = bench.synced(waiting);
    assert_eq!((told.error_code, told.assignment.as_slice()), (ErrorCode::None, &b"two"[..]));
    assert_eq!(told.protocol_name.as_deref(), Some("range"));
    assert_eq!(bench.synced(first).assignment, b"", "who is not named has an empty part");
    assert_eq!((bench.state(), bench.log.len()), ("Stable", records + 1));
    // In a stable group everybody can ask again.
    let again = bench.sync(&members[1], &[]);
    assert_eq!(bench.synced(again).assignment, b"two");
    assert_eq!(bench.log.len(), records + 1);
}

#[test]
fn rule_69_who_may_not_sync_is_told_why() {
    use ErrorCode::*;
    type Change = fn(&mut SyncGroupRequest);
    let table: &[(Change, ErrorCode)] = &[
        (|r| r.group_id = String::new(), InvalidGroupId),
        (|r| r.group_id = "new".to_owned(), UnknownMemberId),
        (|r| r.member_id = "who".to_owned(), UnknownMemberId),
        (|r| r.generation_id = 2, IllegalGeneration),
        (|r| r.generation_id = -1, IllegalGeneration),
        (|r| r.group_instance_id = Some("i".to_owned()), UnknownMemberId),
        (|r| r.protocol_type = Some("connect".to_owned()), InconsistentGroupProtocol),
        (|r| r.protocol_name = Some("roundrobin".to_owned()), InconsistentGroupProtocol),
    ];
    for (row, (change, error)) in table.iter().enumerate() {
        let (mut bench, members) = completing();
        let mut request = of(&members[0]);
        change(&mut request);
        let ticket = bench.sync_of(request);
        assert_eq!(bench.synced(ticket).error_code, *error, "row {row}");
        assert_eq!(bench.state(), "CompletingRebalance", "row {row}");
    }
}

#[test]
fn a_rebalance_takes_the_parts_back() {
    let (mut bench, members) = completing();
    let waiting = bench.sync(&members[1], &[]);
    bench.newcomer();
    assert_eq!(bench.synced(waiting).error_code, ErrorCode::RebalanceInProgress);
    let late = bench.sync(&members[0], &[]);
    assert_eq!(bench.synced(late).error_code, ErrorCode::RebalanceInProgress);
}

#[test]
fn a_sync_that_is_asked_again_or_whose_member_leaves_is_answered_too() {
    let (mut bench, members) = completing();
    let first = bench.sync(&members[1], &[]);
    let second = bench.sync(&members[1], &[]);
    assert_eq!(bench.synced(first).error_code, ErrorCode::RebalanceInProgress);
    let to = bench.ticket();
    let request = LeaveGroupRequest {
        group_id: "g".to_owned(),
        member_id: members[1].member_id.clone(),
        ..Default::default()
    };
    bench.step(Event::Leave { to, version: 2, request });
    assert_eq!(bench.synced(second).error_code, ErrorCode::UnknownMemberId);
}

#[test]
fn who_never_asks_for_its_part_is_out_when_its_time_is_up() {
    for leader_syncs in [true, false] {
        let (mut bench, members) = completing();
        let (here, gone) = if leader_syncs { (0, 1) } else { (1, 0) };
        let waiting = bench.sync(&members[here], &[]);
        for _ in 0..6 {
            assert_eq!(bench.heartbeat(&members[gone]), ErrorCode::None);
            bench.pass(9_999);
            bench.heartbeat(&members[here]);
        }
        assert_eq!(bench.heartbeat(&members[gone]), ErrorCode::None);
        bench.pass(6);
        assert_eq!(bench.heartbeat(&members[gone]), ErrorCode::UnknownMemberId);
        assert_eq!(bench.state(), "PreparingRebalance");
        let told = bench.synced(waiting).error_code;
        let expected = if leader_syncs { ErrorCode::None } else { ErrorCode::RebalanceInProgress };
        assert_eq!(told, expected);
    }
}

#[test]
fn parts_that_the_log_cannot_hold_are_refused_and_everybody_joins_again() {
    let (mut bench, members) = completing();
    bench.groups.config.batch_bytes_max = 2_000;
    let waiting = bench.sync(&members[1], &[]);
    let records = bench.log.len();
    let large = "x".repeat(2_000);
    let first = bench.sync(&members[0], &[(&members[1].member_id, &large)]);
    assert_eq!(bench.synced(first).error_code, ErrorCode::UnknownServerError);
    assert_eq!(bench.synced(waiting).error_code, ErrorCode::UnknownServerError);
    assert_eq!((bench.state(), bench.log.len()), ("PreparingRebalance", records));
}
