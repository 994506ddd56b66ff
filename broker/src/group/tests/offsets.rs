//! OffsetCommit, OffsetFetch, OffsetDelete, DeleteGroups, lists: rules 70, 73, 74.

use ringlog_wire::api::describe_groups::DescribedGroup;
use ringlog_wire::api::list_groups::ListGroupsRequest;
use ringlog_wire::api::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
};
use ringlog_wire::api::offset_fetch::OffsetFetchResponseGroup;

use super::*;

fn fetch_all(bench: &mut Bench, version: i16) -> OffsetFetchResponseGroup {
    let to = bench.ticket();
    let group =
        OffsetFetchRequestGroup { group_id: "g".to_owned(), topics: None, ..Default::default() };
    bench.step(Event::Fetch { to, version, require_stable: false, group });
    match bench.answers.remove(&to) {
        Some(Response::Fetch(response)) => response,
        other => panic!("a fetch is answered at once, not {other:?}"),
    }
}

fn delete(bench: &mut Bench) -> ErrorCode {
    let to = bench.ticket();
    bench.step(Event::Delete { to, group_id: "g".to_owned() });
    match bench.answers.remove(&to) {
        Some(Response::Delete(response)) => response.error_code,
        other => panic!("a deletion is answered at once, not {other:?}"),
    }
}

fn delete_offset(bench: &mut Bench, topic: &str, at: i32) -> OffsetDeleteResponse {
    let to = bench.ticket();
    let partitions = vec![OffsetDeleteRequestPartition { partition_index: at }];
    let topics = vec![OffsetDeleteRequestTopic { name: topic.to_owned(), partitions }];
    let request = OffsetDeleteRequest { group_id: "g".to_owned(), topics };
    bench.step(Event::DeleteOffsets { to, request });
    match bench.answers.remove(&to) {
        Some(Response::DeleteOffsets(response)) => response,
        other => panic!("a deletion is answered at once, not {other:?}"),
    }
}

fn describe(bench: &mut Bench, version: i16) -> DescribedGroup {
    let to = bench.ticket();
    bench.step(Event::Describe { to, version, group_id: "g".to_owned() });
    match bench.answers.remove(&to) {
        Some(Response::Describe(response)) => response,
        other => panic!("a description comes at once, not {other:?}"),
    }
}

fn list(bench: &mut Bench, states: &[&str], types: &[&str]) -> usize {
    let to = bench.ticket();
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let request = ListGroupsRequest { states_filter: owned(states), types_filter: owned(types) };
    bench.step(Event::List { to, filters: Arc::new(Filters::of(&request)) });
    match bench.answers.remove(&to) {
        Some(Response::List(response)) => response.groups.len(),
        other => panic!("a list comes at once, not {other:?}"),
    }
}

#[test]
fn rule_70_who_may_not_commit_is_told_why() {
    use ErrorCode::*;
    // (state, generation, member: 0 none, 1 a member, 2 somebody; version) -> code
    let table = [
        ("none", -1, 0, 8, None),
        ("none", 0, 1, 8, IllegalGeneration),
        ("none", 0, 1, 9, GroupIdNotFound),
        ("Empty", -1, 0, 8, None),
        ("Empty", -1, 2, 8, None),
        ("Empty", 1, 2, 9, UnknownMemberId),
        ("Stable", 1, 1, 8, None),
        ("Stable", 2, 1, 8, IllegalGeneration),
        ("Stable", 0, 1, 8, IllegalGeneration),
        ("Stable", -1, 1, 8, IllegalGeneration),
        ("Stable", 1, 2, 8, UnknownMemberId),
        ("Stable", -1, 0, 8, UnknownMemberId),
        ("PreparingRebalance", 1, 1, 8, None),
        ("CompletingRebalance", 2, 1, 8, RebalanceInProgress),
        ("CompletingRebalance", 1, 1, 8, IllegalGeneration),
    ];
    for (state, generation, who, version, code) in table {
        let mut bench = Bench::new();
        let mut member = String::new();
        if state != "none" {
            member = bench.stable(1)[0].member_id.clone();
        }
        match state {
            "Empty" => bench.pass(i64::from(SESSION)),
            "PreparingRebalance" => drop(bench.newcomer()),
            "CompletingRebalance" => drop(bench.join(asks(&member))),
            _ => {}
        }
        let request = OffsetCommitRequest {
            generation_id_or_member_epoch: generation,
            member_id: [String::new(), member, "who".to_owned()][who].clone(),
            ..commits("a", &[(0, 7)])
        };
        let row = (state, generation, who, version);
        assert_eq!(bench.commit(version, request), [(0, code)], "{row:?}");
        let committed = if code.is_none() { 7 } else { -1 };
        assert_eq!(bench.fetch("a", &[0], true), [(committed, None)], "{row:?}");
    }
}

#[test]
fn a_commit_is_a_sign_of_life() {
    let mut bench = Bench::new();
    let members = bench.stable(1);
    bench.pass(9_000);
    let request = OffsetCommitRequest {
        generation_id_or_member_epoch: 1,
        member_id: members[0].member_id.clone(),
        ..commits("a", &[(0, 7)])
    };
    bench.commit(8, request);
    bench.pass(9_000);
    assert_eq!(bench.heartbeat(&members[0]), ErrorCode::None);
}

#[test]
fn what_cannot_be_committed_is_told_partition_by_partition() {
    use ErrorCode::*;
    let mut bench = Bench::new();
    let mut request = commits("a", &[(0, 1), (4, 2), (-1, 3), (3, 4)]);
    request.topics.extend(commits("nowhere", &[(0, 5)]).topics);
    request.topics[0].partitions[3].committed_metadata = Some("é".repeat(4_097));
    request.topics[0].partitions[0].committed_metadata = Some("é".repeat(4_096));
    let told = bench.commit(8, request);
    let unknown = UnknownTopicOrPartition;
    let expected =
        [(4, unknown), (-1, unknown), (0, None), (3, OffsetMetadataTooLarge), (0, unknown)];
    assert_eq!(told, expected);
    assert_eq!(bench.commit(8, commits("nowhere", &[(0, 5)])), [(0, unknown)]);
    assert_eq!(bench.fetch("a", &[0, 3], false), [(1, None), (-1, None)]);
}

#[test]
fn rule_73_version_10_names_topics_by_their_ids() {
    use ErrorCode::*;
    let mut bench = Bench::new();
    let mut request = commits("", &[(0, 7)]);
    request.topics[0].topic_id = uuid(1);
    request
        .topics
        .push(OffsetCommitRequestTopic { topic_id: uuid(9), ..request.topics[0].clone() });
    assert_eq!(bench.commit(10, request), [(0, UnknownTopicId), (0, None)]);
    let told = fetch_all(&mut bench, 10);
    assert_eq!((told.topics.len(), told.topics[0].topic_id), (1, uuid(1)));
    let fetch = |bench: &mut Bench, id| {
        let to = bench.ticket();
        let topic = OffsetFetchRequestTopics {
            topic_id: id,
            partition_indexes: vec![0],
            ..Default::default()
        };
        let group = OffsetFetchRequestGroup {
            group_id: "g".to_owned(),
            topics: Some(vec![topic]),
            ..Default::default()
        };
        bench.step(Event::Fetch { to, version: 10, require_stable: true, group });
        match bench.answers.remove(&to) {
            Some(Response::Fetch(mut told)) => {
                let told = told.topics.remove(0).partitions.remove(0);
                (told.committed_offset, told.error_code)
            }
            other => panic!("a fetch is answered at once, not {other:?}"),
        }
    };
    assert_eq!(fetch(&mut bench, uuid(1)), (7, None));
    assert_eq!(fetch(&mut bench, uuid(9)), (-1, UnknownTopicId));
    // The topic is deleted and made anew: what was committed is of the old one.
    bench.topics.0.insert("a".to_owned(), (uuid(3), 4));
    assert_eq!(fetch(&mut bench, uuid(3)), (-1, None));
    assert_eq!(bench.fetch("a", &[0], true), [(7, None)], "who asks by name cannot tell");
    // By ids, topics that are no more cannot be told of.
    bench.topics.0.remove("a");
    assert_eq!(fetch_all(&mut bench, 10).topics, []);
    assert_eq!(fetch_all(&mut bench, 9).topics.len(), 1);
}

#[test]
fn rule_73_of_an_unknown_group_nothing_is_committed_and_that_is_no_error() {
    let mut bench = Bench::new();
    let nothing = (-1, ErrorCode::None);
    assert_eq!(bench.fetch("a", &[0, 99], true), [nothing, nothing]);
    assert_eq!(fetch_all(&mut bench, 8).topics, []);
    assert!(bench.groups.groups.is_empty());
}

#[test]
fn a_commit_that_the_log_cannot_hold_is_refused_whole() {
    let mut bench = Bench::new();
    bench.groups.config.batch_bytes_max = 200;
    let told = bench.commit(8, commits("a", &[(0, 1), (1, 2), (2, 3)]));
    assert!(told.iter().all(|(_, code)| *code == ErrorCode::UnknownServerError));
    assert_eq!((bench.log.len(), bench.groups.groups.len()), (0, 0));
}

#[test]
fn rule_74_groups_are_listed_and_described() {
    let mut bench = Bench::new();
    let told = describe(&mut bench, 5);
    assert_eq!((told.error_code, told.group_state.as_str()), (ErrorCode::None, "Dead"));
    let told = describe(&mut bench, 6);
    assert_eq!((told.error_code, told.group_state.as_str()), (ErrorCode::GroupIdNotFound, "Dead"));
    assert_eq!(told.error_message.as_deref(), Some("Group g not found."));
    bench.stable(2);
    let told = describe(&mut bench, 6);
    assert_eq!((told.group_state.as_str(), told.protocol_data.as_str()), ("Stable", "range"));
    assert_eq!(told.protocol_type, "consumer");
    for member in &told.members {
        assert_eq!(member.member_assignment, member.member_id.as_bytes());
        assert!(member.member_metadata.ends_with(b"range"));
        assert_eq!(
            (member.client_id.as_str(), member.client_host.as_str()),
            ("client", "/127.0.0.1")
        );
    }
    let counts = [
        (&[][..], &[][..], 1),
        (&["stable"], &[], 1),
        (&[" STABLE", "Empty"], &["CLASSIC"], 1),
        (&["Empty"], &[], 0),
        (&[], &["consumer"], 0),
        (&[], &["nonsense"], 0),
    ];
    for (states, types, count) in counts {
        assert_eq!(list(&mut bench, states, types), count, "{states:?} {types:?}");
    }
    bench.newcomer();
    let told = describe(&mut bench, 6);
    assert_eq!(
        (told.group_state.as_str(), told.protocol_data.as_str()),
        ("PreparingRebalance", "")
    );
    assert!(told.members.iter().all(|member| member.member_metadata.is_empty()));
}

#[test]
fn only_what_nobody_is_in_is_deleted_with_all_it_has() {
    let mut bench = Bench::new();
    assert_eq!(delete(&mut bench), ErrorCode::GroupIdNotFound);
    bench.stable(1);
    assert_eq!(delete(&mut bench), ErrorCode::NonEmptyGroup);
    bench.pass(i64::from(SESSION));
    bench.commit(8, commits("a", &[(0, 1), (1, 2)]));
    let records = bench.log.len();
    assert_eq!(delete(&mut bench), ErrorCode::None);
    assert_eq!((bench.log.len(), bench.groups.groups.len()), (records + 3, 0));
    assert_eq!(bench.groups.bytes(), 0, "nothing is left");
    bench.restart();
    assert_eq!(bench.groups.bytes(), 0, "nor in the log");
}

#[test]
fn a_group_with_more_offsets_than_a_batch_holds_is_deleted_in_parts() {
    let mut bench = Bench::new();
    bench.commit(8, commits("a", &[(0, 1), (1, 2), (2, 3), (3, 4)]));
    bench.groups.config.batch_bytes_max = 180;
    let mut told = Vec::new();
    while told.last() != Some(&ErrorCode::None) && told.len() < 10 {
        told.push(delete(&mut bench));
    }
    assert!(told.len() > 1 && told.len() < 10, "{told:?}");
    assert!(told.iter().rev().skip(1).all(|code| *code == ErrorCode::CoordinatorNotAvailable));
    assert_eq!(bench.groups.bytes(), 0);
}

#[test]
fn offsets_of_topics_that_nobody_reads_are_deleted_one_by_one() {
    use ErrorCode::*;
    let mut bench = Bench::new();
    assert_eq!(delete_offset(&mut bench, "a", 0).error_code, GroupIdNotFound);
    let told = delete_offset(&mut bench, "nowhere", 0);
    assert_eq!(
        (told.error_code, told.topics[0].partitions[0].error_code),
        (None, UnknownTopicOrPartition)
    );
    let members = bench.stable(1);
    let member = |request| OffsetCommitRequest {
        generation_id_or_member_epoch: 1,
        member_id: members[0].member_id.clone(),
        ..request
    };
    bench.commit(8, member(commits("a", &[(0, 1)])));
    bench.commit(8, member(commits("b", &[(0, 1)])));
    let records = bench.log.len();
    let told = delete_offset(&mut bench, "a", 0);
    assert_eq!(told.topics[0].partitions[0].error_code, GroupSubscribedToTopic);
    let told = delete_offset(&mut bench, "b", 0);
    assert_eq!(told.topics[0].partitions[0].error_code, None);
    let told = delete_offset(&mut bench, "b", 0);
    assert_eq!(told.topics[0].partitions[0].error_code, None, "it is gone already");
    assert_eq!(bench.log.len(), records + 1);
    assert_eq!(bench.fetch("b", &[0], true), [(-1, None)]);
    // Of others than consumers nobody knows what they read.
    let mut bench = Bench::new();
    let ticket = bench.join(asks("").version(0).with(|r| r.protocol_type = "connect".to_owned()));
    bench.pass(3_000);
    bench.joined(ticket);
    assert_eq!(delete_offset(&mut bench, "a", 0).error_code, NonEmptyGroup);
}
