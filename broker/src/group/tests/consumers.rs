//! Consumer groups among a partition's groups.

use ringlog_wire::api::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
};
use ringlog_wire::api::list_groups::ListGroupsRequest;
use ringlog_wire::api::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use ringlog_wire::api::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use ringlog_wire::records::group::{
    ConsumerGroupMetadataKey, ConsumerGroupTargetAssignmentMetadataKey,
};

use super::*;
use crate::group::consumer::ConsumerGroup;

const NONE: ErrorCode = ErrorCode::None;
/// A consumer group's session, in milliseconds.
pub(super) const LONG: i64 = 45_000;

/// A heartbeat of group `g` that says nothing but who it is from.
pub(super) fn alive(member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: "g".to_owned(),
        member_id: member.to_owned(),
        member_epoch: epoch,
        ..Default::default()
    }
}

/// The first heartbeat of a member of group `g`.
pub(super) fn first(member: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        rebalance_timeout_ms: REBALANCE,
        subscribed_topic_names: Some(topics.iter().map(|topic| (*topic).to_owned()).collect()),
        topic_partitions: Some(Vec::new()),
        ..alive(member, 0)
    }
}

/// What an answer gives, partitions of all topics.
pub(super) fn given(told: &ConsumerGroupHeartbeatResponse) -> Vec<i32> {
    let topics = told.assignment.iter().flat_map(|told| &told.topic_partitions);
    topics.flat_map(|topic| topic.partitions.iter().copied()).collect()
}

impl Bench {
    /// As [`Bench::new`], but targets are made as often as they are asked for.
    pub fn of_consumers() -> Bench {
        let mut config = GroupConfig::default();
        config.consumer.assignment_interval_ms = 0;
        Bench::with(config)
    }

    pub fn beat(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> ConsumerGroupHeartbeatResponse {
        let to = self.ticket();
        let client = Client { id: "client".to_owned(), host: "/127.0.0.1".to_owned() };
        let request = request.clone();
        self.step(Event::ConsumerHeartbeat { to, client, version: 1, request });
        match self.answers.remove(&to) {
            Some(Response::ConsumerHeartbeat(response)) => response,
            other => panic!("a heartbeat is answered at once, not {other:?}"),
        }
    }

    pub fn good_beat(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> ConsumerGroupHeartbeatResponse {
        let told = self.beat(request);
        assert_eq!((told.error_code, told.error_message.as_deref()), (NONE, None));
        told
    }

    pub fn consumers(&self) -> &ConsumerGroup {
        match &self.groups.groups["g"] {
            Group::Consumer(group) => group,
            Group::Classic(_) => panic!("g is a classic group"),
        }
    }

    pub fn kind(&self) -> Option<&'static str> {
        self.groups.groups.get("g").map(|group| group.any().kind())
    }

    /// What is here is what the log has (rule 76).
    pub fn check_log(&self) {
        let again = read(&self.groups.config, &self.log);
        assert_eq!(written_consumers(&again), written_consumers(&self.groups));
        for (id, told) in written(&self.groups) {
            let there = written(&again).remove(&id);
            assert!(told.is_none() || there == Some(told), "{id}: {there:?}");
        }
    }

    fn listed(&mut self, kinds: &[&str], states: &[&str]) -> Vec<(String, String)> {
        let to = self.ticket();
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let (types_filter, states_filter) = (texts(kinds), texts(states));
        let request = ListGroupsRequest { types_filter, states_filter };
        self.step(Event::List { to, filters: Arc::new(Filters::of(&request)) });
        match self.answers.remove(&to) {
            Some(Response::List(told)) => {
                told.groups.into_iter().map(|group| (group.group_id, group.group_state)).collect()
            }
            other => panic!("a list is answered at once, not {other:?}"),
        }
    }

    fn delete(&mut self) -> ErrorCode {
        let to = self.ticket();
        self.step(Event::Delete { to, group_id: "g".to_owned() });
        match self.answers.remove(&to) {
            Some(Response::Delete(told)) => told.error_code,
            other => panic!("a deletion is answered at once, not {other:?}"),
        }
    }

    /// Deletes the offset of a topic's first partition.
    fn delete_offset(&mut self, topic: &str) -> ErrorCode {
        let to = self.ticket();
        let partitions = vec![OffsetDeleteRequestPartition { partition_index: 0 }];
        let topics = vec![OffsetDeleteRequestTopic { name: topic.to_owned(), partitions }];
        let request = OffsetDeleteRequest { group_id: "g".to_owned(), topics };
        self.step(Event::DeleteOffsets { to, request });
        match self.answers.remove(&to) {
            Some(Response::DeleteOffsets(told)) => match told.topics.first() {
                Some(topic) => topic.partitions[0].error_code,
                None => told.error_code,
            },
            other => panic!("a deletion is answered at once, not {other:?}"),
        }
    }
}

fn commit_of(member: &str, epoch: i32, topic: &str, at: i32) -> OffsetCommitRequest {
    OffsetCommitRequest {
        generation_id_or_member_epoch: epoch,
        member_id: member.to_owned(),
        ..commits(topic, &[(at, 7)])
    }
}

#[test]
fn rule_75_a_first_heartbeat_makes_a_group_and_others_share_it() {
    let mut bench = Bench::of_consumers();
    let told = bench.good_beat(&first("one", &["a"]));
    assert_eq!((told.member_epoch, given(&told)), (2, vec![0, 1, 2, 3]));
    let told = bench.good_beat(&first("two", &["a"]));
    assert_eq!((told.member_epoch, given(&told)), (3, vec![]), "nothing is free yet");
    let told = bench.good_beat(&alive("one", 2));
    assert_eq!((told.member_epoch, given(&told).len()), (2, 2), "it is to give two up");
    let mut owns = alive("one", 2);
    let left = told.assignment.expect("an assignment").topic_partitions;
    owns.topic_partitions = Some(left);
    assert_eq!(bench.good_beat(&owns).member_epoch, 3);
    assert_eq!(given(&bench.good_beat(&alive("two", 3))).len(), 2);
    assert_eq!(bench.consumers().state().name(), "Stable");
    bench.check_log();
}

#[test]
fn a_heartbeat_that_is_refused_leaves_nothing() {
    let mut bench = Bench::of_consumers();
    let table = [
        (alive("one", 5), ErrorCode::GroupIdNotFound, "Consumer group g not found."),
        (alive("one", -1), ErrorCode::GroupIdNotFound, "Group g not found."),
        (alive("", 0), ErrorCode::InvalidRequest, "MemberId can't be empty."),
    ];
    for (request, code, message) in table {
        let told = bench.beat(&request);
        assert_eq!((told.error_code, told.error_message.as_deref()), (code, Some(message)));
    }
    let mut bad = first("one", &[]);
    bad.subscribed_topic_regex = Some("[".to_owned());
    assert_eq!(bench.beat(&bad).error_code, ErrorCode::InvalidRegularExpression);
    assert_eq!((bench.groups.bytes(), bench.log.len(), bench.kind()), (0, 0, None));
    bench.commit(8, commits("a", &[(0, 1)]));
    assert_eq!(bench.beat(&bad).error_code, ErrorCode::InvalidRegularExpression);
    assert_eq!(bench.kind(), Some("Classic"));
    assert_eq!(bench.beat(&alive("one", 5)).error_code, ErrorCode::GroupIdNotFound);
}

#[test]
fn members_that_fall_silent_are_out_and_a_restart_gives_them_time() {
    let mut bench = Bench::of_consumers();
    bench.good_beat(&first("one", &["a"]));
    bench.good_beat(&first("two", &["a"]));
    bench.pass(LONG - 1_000);
    bench.good_beat(&alive("two", 3));
    bench.restart();
    bench.check_log();
    bench.pass(LONG - 1_000);
    bench.good_beat(&alive("two", 3));
    bench.pass(1_000);
    assert_eq!(bench.consumers().members().keys().collect::<Vec<_>>(), ["two"]);
    assert_eq!(bench.beat(&alive("one", 2)).error_code, ErrorCode::UnknownMemberId);
    bench.good_beat(&alive("two", 3));
    bench.pass(LONG);
    assert_eq!(bench.consumers().state().name(), "Empty");
    bench.check_log();
}

#[test]
fn an_expression_is_resolved_in_its_own_time() {
    let mut bench = Bench::of_consumers();
    let mut request = first("one", &[]);
    request.subscribed_topic_regex = Some("a|b".to_owned());
    assert_eq!(given(&bench.good_beat(&request)).len(), 0);
    assert_eq!(bench.groups.next_deadline_ms(), Some(bench.now_ms));
    bench.pass(1);
    let epoch = bench.consumers().members()["one"].epoch;
    assert_eq!(given(&bench.good_beat(&alive("one", epoch))).len(), 5);
    bench.topics.0.insert("b".to_owned(), (uuid(2), 3));
    bench.pass(1_000);
    let epoch = bench.consumers().members()["one"].epoch;
    assert_eq!(given(&bench.good_beat(&alive("one", epoch))).len(), 7, "partitions that are new");
    bench.check_log();
}

#[test]
fn many_groups_that_fall_silent_are_done_bit_by_bit() {
    let mut bench = Bench::of_consumers();
    for group in 0..50 {
        let group_id = format!("group {group}");
        bench.good_beat(&ConsumerGroupHeartbeatRequest { group_id, ..first("one", &["a"]) });
    }
    bench.now_ms += LONG;
    for _ in 0..50 {
        let before = bench.log.len();
        let out = bench.groups.timer(bench.now_ms, &bench.topics);
        bench.take(out);
        assert!(bench.log.len() - before < 10, "one group's members go in one batch");
    }
    assert!(bench.groups.groups.values().all(|group| group.any().is_empty()));
    assert!(bench.groups.next_deadline_ms() > Some(bench.now_ms));
    bench.check_log();
}

#[test]
fn rule_74_groups_of_both_kinds_are_listed_by_kind_and_state() {
    let mut bench = Bench::of_consumers();
    bench.good_beat(&first("one", &["a"]));
    let other = asks("").version(3).with(|request| request.group_id = "classic".to_owned());
    bench.join(other);
    let told = |names: &[(&str, &str)]| -> Vec<(String, String)> {
        names.iter().map(|(id, state)| ((*id).to_owned(), (*state).to_owned())).collect()
    };
    let both = told(&[("classic", "PreparingRebalance"), ("g", "Stable")]);
    assert_eq!(bench.listed(&[], &[]), both);
    assert_eq!(bench.listed(&["Consumer"], &[]), both[1..]);
    assert_eq!(bench.listed(&["classic"], &[]), both[..1]);
    assert_eq!(bench.listed(&["consumer"], &["stable"]), both[1..]);
    assert_eq!(bench.listed(&["consumer"], &["empty"]), []);
}

#[test]
fn rule_74_each_kind_has_its_own_description() {
    let mut bench = Bench::of_consumers();
    bench.good_beat(&first("one", &["a"]));
    bench.join(asks("").version(3).with(|request| request.group_id = "classic".to_owned()));
    for (id, code, words) in [
        ("g", NONE, None),
        ("classic", ErrorCode::GroupIdNotFound, Some("Group classic is not a consumer group.")),
        ("none", ErrorCode::GroupIdNotFound, Some("Group none not found.")),
        ("", ErrorCode::InvalidGroupId, None),
    ] {
        let to = bench.ticket();
        bench.step(Event::ConsumerDescribe { to, group_id: id.to_owned() });
        let Some(Response::ConsumerDescribe(told)) = bench.answers.remove(&to) else {
            panic!("a description is answered at once")
        };
        assert_eq!((told.error_code, told.error_message.as_deref()), (code, words), "{id}");
        assert_eq!((told.group_id.as_str(), told.members.len()), (id, usize::from(id == "g")));
    }
    for (version, code, state, words) in [
        (6, ErrorCode::GroupIdNotFound, "Dead", Some("Group g is not a classic group.")),
        (5, NONE, "Dead", None),
    ] {
        let to = bench.ticket();
        bench.step(Event::Describe { to, version, group_id: "g".to_owned() });
        let Some(Response::Describe(told)) = bench.answers.remove(&to) else {
            panic!("a description is answered at once")
        };
        assert_eq!((told.error_code, told.group_state.as_str()), (code, state), "{version}");
        assert_eq!(told.error_message.as_deref(), words);
    }
}

#[test]
fn rule_70_members_commit_in_their_epoch_and_what_they_had_before() {
    let mut bench = Bench::of_consumers();
    bench.good_beat(&first("one", &["a"]));
    bench.good_beat(&first("two", &["b"]));
    bench.good_beat(&alive("one", 2));
    for (version, member, epoch, topic, code) in [
        (9, "one", 3, "a", NONE),
        (9, "one", 2, "a", NONE),
        (9, "one", 2, "b", ErrorCode::StaleMemberEpoch),
        (9, "one", 1, "a", ErrorCode::StaleMemberEpoch),
        (9, "one", 4, "a", ErrorCode::StaleMemberEpoch),
        (9, "who", 3, "a", ErrorCode::UnknownMemberId),
        (9, "", -1, "a", ErrorCode::UnknownMemberId),
        (8, "one", 3, "a", ErrorCode::UnsupportedVersion),
    ] {
        let told = bench.commit(version, commit_of(member, epoch, topic, 0));
        assert_eq!(told, [(0, code)], "{version} {member} {epoch} {topic}");
    }
    let mut by_id = commit_of("one", 2, "", 1);
    by_id.topics[0].topic_id = uuid(1);
    assert_eq!(bench.commit(10, by_id), [(1, NONE)]);
    assert_eq!(bench.fetch("a", &[0, 1], true), [(7, NONE), (7, NONE)]);
    bench.check_log();
}

#[test]
fn rule_41_producers_commit_for_members_of_consumer_groups() {
    let mut bench = Bench::of_consumers();
    bench.good_beat(&first("one", &["a"]));
    bench.good_beat(&first("two", &["b"]));
    bench.good_beat(&alive("one", 2));
    for (version, member_id, generation_id, topic, code) in [
        (5, "one", 3, "a", NONE),
        (5, "", -1, "a", NONE),
        (5, "one", 4, "a", ErrorCode::IllegalGeneration),
        (5, "one", 2, "b", ErrorCode::IllegalGeneration),
        (5, "one", 2, "a", NONE),
        (5, "who", 2, "a", ErrorCode::UnknownMemberId),
    ] {
        let to = bench.ticket();
        let partitions = vec![TxnOffsetCommitRequestPartition::default()];
        let name = topic.to_owned();
        let request = TxnOffsetCommitRequest {
            group_id: "g".to_owned(),
            member_id: member_id.to_owned(),
            generation_id_or_member_epoch: generation_id,
            topics: vec![TxnOffsetCommitRequestTopic { name, partitions, ..Default::default() }],
            ..Default::default()
        };
        bench.step(Event::TxnCommit { to, version, request });
        let Some(Response::TxnCommit(told)) = bench.answers.remove(&to) else {
            panic!("a commit is answered at once")
        };
        let told = told.topics[0].partitions[0].error_code;
        assert_eq!(told, code, "{version} {member_id} {generation_id} {topic}");
    }
}

#[test]
fn members_fetch_in_their_epoch() {
    let mut bench = Bench::of_consumers();
    bench.good_beat(&first("one", &["a"]));
    for (member_id, member_epoch, code) in [
        (None, -1, NONE),
        (Some("one"), 2, NONE),
        (Some("one"), 1, ErrorCode::StaleMemberEpoch),
        (Some("who"), 2, ErrorCode::UnknownMemberId),
    ] {
        let to = bench.ticket();
        let member = member_id.map(str::to_owned);
        let group = OffsetFetchRequestGroup {
            group_id: "g".to_owned(),
            member_id: member,
            member_epoch,
            topics: None,
        };
        bench.step(Event::Fetch { to, version: 9, require_stable: true, group });
        let Some(Response::Fetch(told)) = bench.answers.remove(&to) else {
            panic!("a fetch is answered at once")
        };
        assert_eq!(told.error_code, code, "{member_id:?} {member_epoch}");
    }
}

#[test]
fn rule_74_only_an_empty_group_is_deleted_and_only_offsets_that_nobody_reads() {
    let mut bench = Bench::of_consumers();
    bench.good_beat(&first("one", &["a"]));
    assert_eq!(bench.commit(9, commit_of("one", 2, "a", 0)), [(0, NONE)]);
    assert_eq!(bench.commit(9, commit_of("one", 2, "b", 0)), [(0, NONE)]);
    assert_eq!(bench.delete_offset("a"), ErrorCode::GroupSubscribedToTopic);
    assert_eq!(bench.delete_offset("b"), NONE);
    assert_eq!(bench.fetch("b", &[0], true), [(-1, NONE)]);
    assert_eq!(bench.delete(), ErrorCode::NonEmptyGroup);
    bench.good_beat(&alive("one", -1));
    bench.check_log();
    assert_eq!(bench.delete(), NONE);
    assert_eq!((bench.groups.bytes(), bench.groups.groups.len()), (0, 0));
    bench.restart();
    assert_eq!((bench.groups.bytes(), bench.groups.groups.len()), (0, 0));
    assert_eq!(bench.delete(), ErrorCode::GroupIdNotFound);
}

#[test]
fn what_is_read_does_not_expire_and_an_empty_group_ends() {
    let mut bench = Bench::of_consumers();
    let retention_ms = bench.groups.config.offsets_retention_ms;
    bench.groups.config.consumer.session_timeout_ms = i32::MAX;
    bench.good_beat(&first("one", &["a"]));
    bench.commit(9, commit_of("one", 2, "a", 0));
    bench.commit(9, commit_of("one", 2, "b", 0));
    bench.pass(retention_ms + 1_200_000);
    assert_eq!(bench.fetch("a", &[0], true), [(7, NONE)]);
    assert_eq!(bench.fetch("b", &[0], true), [(-1, NONE)]);
    bench.good_beat(&alive("one", -1));
    bench.pass(1_200_000);
    assert_eq!((bench.kind(), bench.groups.bytes()), (None, 0));
    bench.restart();
    assert_eq!((bench.kind(), bench.groups.bytes()), (None, 0));
}

#[test]
fn offsets_of_deleted_topics_go_from_groups_with_members() {
    let mut bench = Bench::of_consumers();
    bench.good_beat(&first("one", &["a"]));
    bench.commit(9, commit_of("one", 2, "a", 0));
    let (id, _) = bench.topics.0.remove("a").expect("a topic");
    bench.step(Event::TopicsDeleted(vec![DeletedTopic { name: "a".to_owned(), id }]));
    bench.pass(1);
    assert_eq!(bench.fetch("a", &[0], true), [(-1, NONE)]);
    assert_eq!(bench.kind(), Some("Consumer"));
    bench.check_log();
}

#[test]
fn newcomers_are_refused_where_memory_ends_and_members_go_on() {
    let config = GroupConfig { memory_bytes_max: 1 << 20, ..Default::default() };
    let mut bench = Bench::with(config);
    bench.good_beat(&first("one", &["a"]));
    let mut refused = 0;
    for group in 0..10_000 {
        let group_id = format!("group {group}");
        let name = "t".repeat(200);
        let request = ConsumerGroupHeartbeatRequest { group_id, ..first("m", &["a", &name]) };
        match bench.beat(&request).error_code {
            ErrorCode::CoordinatorNotAvailable => refused += 1,
            code => assert_eq!(code, NONE),
        }
        if refused > 100 {
            break;
        }
    }
    assert!(refused > 100);
    assert!(bench.groups.bytes() <= bench.groups.config.memory_bytes_for_new());
    bench.good_beat(&alive("one", 2));
    let mut grows = alive("one", 2);
    grows.subscribed_topic_names = Some((0..5_000).map(|at| format!("topic {at}")).collect());
    assert_eq!(bench.beat(&grows).error_code, ErrorCode::CoordinatorNotAvailable);
    grows.subscribed_topic_names = Some(vec!["b".to_owned()]);
    bench.good_beat(&grows);
    bench.good_beat(&alive("one", -1));
}

#[test]
fn the_log_has_groups_after_their_offsets_and_ends_of_what_never_began() {
    let mut bench = Bench::of_consumers();
    bench.good_beat(&first("one", &["a"]));
    bench.commit(9, commit_of("one", 2, "a", 0));
    let before = written_consumers(&bench.groups);
    // As a log that was compacted has them.
    let offset = bench.log.pop().expect("the commit");
    let mut log = vec![offset];
    log.append(&mut bench.log);
    let epoch = ConsumerGroupMetadataKey { group_id: "h".to_owned() };
    let target = ConsumerGroupTargetAssignmentMetadataKey { group_id: "h".to_owned() };
    for record in [
        GroupRecord::ConsumerGroupTargetAssignmentMetadata { key: target, value: None },
        GroupRecord::ConsumerGroupMetadata { key: epoch, value: None },
    ] {
        log.push(Entry::record(record, None));
    }
    bench.log = log;
    bench.restart();
    assert_eq!(written_consumers(&bench.groups), before);
    assert_eq!(bench.groups.groups.len(), 1);
    assert_eq!(bench.fetch("a", &[0], true), [(7, NONE)]);
}
