//! Rule 76: a restart gives what there was.

use super::*;

/// The records' bytes and back, as the log has them.
fn through_bytes(record: &GroupRecord) -> GroupRecord {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let has_value = record.encode(&mut key, &mut value);
    GroupRecord::decode(&key, has_value.then_some(&value[..])).expect("what is written is read")
}

#[test]
fn rule_76_members_go_on_over_a_restart() {
    let mut bench = Bench::new();
    let members = bench.stable(3);
    let before = written(&bench.groups);
    for entry in &mut bench.log {
        if let Entry::Record(record, _) = entry {
            **record = through_bytes(record);
        }
    }
    bench.pass(9_000);
    bench.restart();
    assert_eq!(written(&bench.groups), before);
    bench.pass(9_000);
    for member in &members {
        assert_eq!(bench.heartbeat(member), ErrorCode::None, "a fresh session");
        let part = bench.sync(member, &[]);
        assert_eq!(bench.synced(part).assignment, member.member_id.as_bytes());
    }
    bench.pass(i64::from(SESSION));
    assert_eq!(bench.state(), "Empty");
}

#[test]
fn rule_76_what_is_between_generations_is_as_it_was_before() {
    let mut bench = Bench::new();
    let members = bench.stable(1);
    let newcomer = bench.newcomer();
    let again = bench.join(asks(&members[0].member_id));
    assert_eq!(bench.joined(again).generation_id, 2);
    bench.joined(newcomer);
    bench.restart();
    assert_eq!((bench.state(), bench.group().members().count()), ("Stable", 1));
    assert_eq!(bench.heartbeat(&members[0]), ErrorCode::None);
}

#[test]
fn what_is_new_is_written_once_and_before_anybody_is_in() {
    let mut bench = Bench::new();
    let ticket = bench.join(asks("").version(4));
    bench.joined(ticket);
    let told = GroupMetadataValue {
        current_state_timestamp: bench.now_ms,
        ..GroupMetadataValue::default()
    };
    let expected = Entry::record(records::group("g", Some(told)), None);
    assert_eq!(bench.log, [expected]);
    bench.newcomer();
    assert_eq!(bench.log.len(), 1);
}

#[test]
fn groups_that_kafka_wrote_are_read() {
    let member = |id: &str, rebalance_timeout| ringlog_wire::records::group::MemberMetadata {
        member_id: id.to_owned(),
        rebalance_timeout,
        session_timeout: 6_000,
        ..Default::default()
    };
    let value = GroupMetadataValue {
        protocol_type: "connect".to_owned(),
        generation: 4,
        protocol: Some("default".to_owned()),
        leader: Some("two".to_owned()),
        members: vec![member("one", -1), member("two", 7_000)],
        ..Default::default()
    };
    let log = [Entry::record(records::group("g", Some(value)), None)];
    let groups = read(&GroupConfig::default(), &log);
    let told = written(&groups)["g"].clone().unwrap();
    assert_eq!((told.generation, told.leader.as_deref()), (4, Some("two")));
    assert_eq!(told.members[0].rebalance_timeout, 6_000, "of version 0: the session's");
    assert_eq!(told.current_state_timestamp, -1);
}

#[test]
fn records_of_other_kinds_are_passed_over() {
    let unknown = GroupRecord::Unknown { key: vec![0, 99], value: None };
    let groups = read(&GroupConfig::default(), &[Entry::record(unknown, None)]);
    assert_eq!(groups.bytes(), 0);
}

#[test]
fn who_waits_is_handed_out_when_the_coordinator_goes() {
    let mut bench = Bench::new();
    let members = bench.stable(3);
    let mut waiting = vec![bench.newcomer(), bench.join(asks(&members[1].member_id))];
    let mut told = bench.groups.unload();
    told.sort_unstable();
    waiting.sort_unstable();
    assert_eq!(told, waiting);
    assert_eq!(bench.groups.unload(), []);
}
