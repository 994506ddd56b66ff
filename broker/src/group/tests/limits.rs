//! Bad input: a million group ids, members that never come back, endless metadata.

use super::*;

fn small() -> GroupConfig {
    GroupConfig { memory_bytes_max: 1 << 20, ..Default::default() }
}

#[test]
fn a_million_group_ids_do_not_fit_and_the_others_go_on() {
    let mut bench = Bench::with(small());
    let members = bench.stable(1);
    let member = |request| OffsetCommitRequest {
        generation_id_or_member_epoch: 1,
        member_id: members[0].member_id.clone(),
        ..request
    };
    bench.commit(8, member(commits("a", &[(0, 1)])));
    let mut refused = 0;
    for group in 0..100_000 {
        let id = format!("group {group}");
        let error = match group % 3 {
            0 => bench.join_error(asks("").with(|request| request.group_id = id)),
            1 => bench.join_error(asks("").protocols(&[]).with(|request| request.group_id = id)),
            _ => {
                bench.commit(8, OffsetCommitRequest { group_id: id, ..commits("a", &[(0, 1)]) })[0]
                    .1
            }
        };
        match error {
            ErrorCode::CoordinatorNotAvailable => refused += 1,
            ErrorCode::MemberIdRequired | ErrorCode::None => {}
            ErrorCode::InconsistentGroupProtocol => {}
            other => panic!("{other:?}"),
        }
        if refused > 100 {
            break;
        }
    }
    assert!(refused > 100);
    assert!(bench.groups.bytes() <= bench.groups.config.memory_bytes_for_new());
    // The group that was there notices nothing.
    assert_eq!(bench.heartbeat(&members[0]), ErrorCode::None);
    assert_eq!(bench.commit(8, member(commits("a", &[(0, 2)]))), [(0, ErrorCode::None)]);
    let again = bench.join(asks(&members[0].member_id));
    let told = bench.joined(again);
    assert_eq!((told.error_code, told.generation_id), (ErrorCode::None, 2));
    let part = bench.sync(&told, &[(&told.member_id, "part")]);
    assert_eq!(bench.synced(part).assignment, b"part");
    // And what comes to nothing goes with time, so that there is room again.
    let retention_ms = bench.groups.config.offsets_retention_ms;
    bench.pass(retention_ms + 2 * bench.groups.config.offsets_retention_check_ms);
    assert_eq!(bench.groups.bytes(), 0);
}

#[test]
fn ids_given_out_ahead_are_counted() {
    let mut bench = Bench::with(small());
    let mut given = 0;
    while bench.join_error(asks("")) == ErrorCode::MemberIdRequired {
        given += 1;
        assert!(given < 10_000);
    }
    assert!(given > 100, "{given}");
    assert!(bench.groups.bytes() <= bench.groups.config.memory_bytes_for_new());
    bench.pass(i64::from(SESSION));
    assert_eq!(bench.join_error(asks("")), ErrorCode::MemberIdRequired);
}

#[test]
fn members_do_not_grow_without_end() {
    let mut bench = Bench::with(small());
    let members = bench.stable(2);
    let large = |bytes: usize| {
        asks(&members[0].member_id).with(|request| request.protocols[0].metadata = vec![0; bytes])
    };
    assert_eq!(bench.join_error(large(2 << 20)), ErrorCode::CoordinatorNotAvailable);
    let fits = bench.join(large(900_000));
    assert!(bench.waits(fits));
    assert_eq!(bench.join_error(asks("")), ErrorCode::CoordinatorNotAvailable);
    let other = bench.join(asks(&members[1].member_id));
    let told = [fits, other].map(|ticket| bench.joined(ticket));
    let waiting = bench.sync(&told[1], &[]);
    let large = "x".repeat(300_000);
    let leader = usize::from(told[0].leader != told[0].member_id);
    assert_eq!(leader, 0);
    let part = bench.sync(&told[0], &[(&told[1].member_id, &large)]);
    assert_eq!(bench.synced(part).error_code, ErrorCode::UnknownServerError, "no batch holds it");
    assert_eq!(bench.synced(waiting).error_code, ErrorCode::UnknownServerError);
    assert!(bench.groups.bytes() <= bench.groups.config.memory_bytes_max);
}

#[test]
fn offsets_in_transactions_are_counted() {
    use ringlog_wire::api::txn_offset_commit::{
        TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
    };
    let mut bench = Bench::with(small());
    let mut refused = false;
    for producer_id in 0..100_000 {
        let partition = TxnOffsetCommitRequestPartition::default();
        let topic = TxnOffsetCommitRequestTopic {
            name: "a".to_owned(),
            partitions: vec![partition],
            ..Default::default()
        };
        let request = TxnOffsetCommitRequest {
            group_id: "g".to_owned(),
            producer_id,
            topics: vec![topic],
            ..Default::default()
        };
        let to = bench.ticket();
        let Bench { groups, topics, now_ms, .. } = &mut bench;
        let out =
            groups.step(*now_ms, Event::TxnCommit { to, version: 3, request }, topics, &mut || {
                unreachable!("nobody joins")
            });
        if out.records.is_empty() {
            assert_eq!(out.transactional, None);
            refused = true;
            break;
        }
    }
    assert!(refused);
    assert!(bench.groups.bytes() <= bench.groups.config.memory_bytes_for_new());
}

#[test]
fn a_partition_named_endlessly_is_not_told_endlessly() {
    let mut bench = Bench::new();
    let mut request = commits("a", &[(0, 7)]);
    request.topics[0].partitions[0].committed_metadata = Some("m".repeat(4_096));
    bench.commit(8, request);
    assert_eq!(bench.fetch("a", &[0; 100], true), [(7, ErrorCode::None); 100]);
    let to = bench.ticket();
    let topic = OffsetFetchRequestTopics {
        name: "a".to_owned(),
        partition_indexes: vec![0; 100_000],
        ..Default::default()
    };
    let group = OffsetFetchRequestGroup {
        group_id: "g".to_owned(),
        topics: Some(vec![topic]),
        ..Default::default()
    };
    bench.step(Event::Fetch { to, version: 8, require_stable: false, group });
    let told = bench.answers.remove(&to).expect("it is answered");
    assert!(told.bytes() < 1_000);
    let Response::Fetch(told) = told else { panic!("{told:?}") };
    assert_eq!((told.error_code, told.topics.len()), (ErrorCode::UnknownServerError, 0));
}

#[test]
fn long_ids_are_refused_and_none_is_given_out() {
    let mut bench = Bench::new();
    let long = "i".repeat(1_025);
    assert_eq!(bench.join_error(asks(&long)), ErrorCode::InvalidRequest);
    assert_eq!(bench.join_error(asks("").instance(&long)), ErrorCode::InvalidRequest);
    // Clients with a long name are given ids that they can use.
    let to = bench.ticket();
    let client = Client { id: "\u{e9}".repeat(16_000), host: String::new() };
    bench.step(Event::Join { to, client, version: 9, request: asks("").request });
    let told = bench.joined(to);
    assert_eq!(told.error_code, ErrorCode::MemberIdRequired);
    let waits = bench.join(asks(&told.member_id));
    assert!(bench.waits(waits));
    let waits = bench.join(asks("").instance(&long[1..]));
    assert!(bench.waits(waits));
}
