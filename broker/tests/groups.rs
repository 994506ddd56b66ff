//! Groups and committed offsets of a real broker, by raw frames.

mod common;

use common::client::{Topic, produce_request};
use common::{Broker, Client, Options, eventually};
use ringlog_broker::config::Advertise;
use ringlog_wire::Uuid;
use ringlog_wire::api::delete_groups::{self, DeleteGroupsRequest, DeleteGroupsResponse};
use ringlog_wire::api::describe_groups::{self, DescribeGroupsRequest, DescribeGroupsResponse};
use ringlog_wire::api::find_coordinator::{
    self, FindCoordinatorRequest, FindCoordinatorResponse, KEY_GROUP,
};
use ringlog_wire::api::heartbeat::{self, HeartbeatRequest, HeartbeatResponse};
use ringlog_wire::api::join_group::{
    self, JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use ringlog_wire::api::leave_group::{self, LeaveGroupRequest, LeaveGroupResponse};
use ringlog_wire::api::list_groups::{self, ListGroupsRequest, ListGroupsResponse};
use ringlog_wire::api::offset_commit::{
    self, OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    OffsetCommitResponse,
};
use ringlog_wire::api::offset_fetch::{
    self, OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
    OffsetFetchResponse,
};
use ringlog_wire::api::produce::{self, ProduceResponse};
use ringlog_wire::api::sync_group::{
    self, SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse,
};
use ringlog_wire::batch::{BatchBuilder, BatchOptions};
use ringlog_wire::error::ErrorCode;

/// Members need not wait for each other.
const AT_ONCE: &str = "group.initial.rebalance.delay.ms=0";

fn options(shards: usize, advertise: Advertise) -> Options {
    Options { shards, advertise, set: vec![AT_ONCE], ..Options::default() }
}

/// A client of the group's coordinator, which may be created by this.
fn coordinator(broker: &Broker, group: &str) -> Client {
    let request = FindCoordinatorRequest {
        key_type: KEY_GROUP,
        coordinator_keys: vec![group.into()],
        ..FindCoordinatorRequest::default()
    };
    let found = eventually("a coordinator", || {
        let mut client = broker.client();
        let told: FindCoordinatorResponse = client.call(&find_coordinator::API, 4, &request);
        let found = told.coordinators.into_iter().next().expect("one was asked for");
        found.error_code.is_none().then_some(found)
    });
    let address = format!("{}:{}", found.host, found.port);
    Client::connect(address.parse().expect("an address"))
}

fn join(client: &mut Client, group: &str, member: &str) -> JoinGroupResponse {
    let request = JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: b"what I can".to_vec(),
        }],
        ..JoinGroupRequest::default()
    };
    // A coordinator may still be reading its log.
    eventually("an answer", || {
        let told: JoinGroupResponse = client.call(&join_group::API, 5, &request);
        (told.error_code != ErrorCode::CoordinatorLoadInProgress).then_some(told)
    })
}

/// Joins as a new member: rule 68 has it come twice.
fn join_new(client: &mut Client, group: &str) -> JoinGroupResponse {
    let first = join(client, group, "");
    assert_eq!(first.error_code, ErrorCode::MemberIdRequired);
    join(client, group, &first.member_id)
}

fn sync(client: &mut Client, group: &str, joined: &JoinGroupResponse) -> SyncGroupResponse {
    let assignments = joined.members.iter().map(|member| SyncGroupRequestAssignment {
        member_id: member.member_id.clone(),
        assignment: format!("part of {}", member.member_id).into_bytes(),
    });
    let request = SyncGroupRequest {
        group_id: group.into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        assignments: assignments.collect(),
        ..SyncGroupRequest::default()
    };
    client.call(&sync_group::API, 3, &request)
}

fn beat(client: &mut Client, group: &str, joined: &JoinGroupResponse) -> ErrorCode {
    let request = HeartbeatRequest {
        group_id: group.into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        ..HeartbeatRequest::default()
    };
    let told: HeartbeatResponse = client.call(&heartbeat::API, 3, &request);
    told.error_code
}

fn commit(
    client: &mut Client,
    group: &str,
    member: Option<&JoinGroupResponse>,
    offset: i64,
) -> ErrorCode {
    let request = OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: member.map_or(-1, |member| member.generation_id),
        member_id: member.map_or_else(String::new, |member| member.member_id.clone()),
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: 0,
                committed_offset: offset,
                committed_metadata: Some("note".into()),
                ..OffsetCommitRequestPartition::default()
            }],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    };
    let told: OffsetCommitResponse = client.call(&offset_commit::API, 7, &request);
    told.topics[0].partitions[0].error_code
}

/// The committed offset, its note and the code.
fn committed(client: &mut Client, group: &str) -> (i64, Option<String>, ErrorCode) {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.into(),
            topics: Some(vec![OffsetFetchRequestTopics {
                name: "t".into(),
                partition_indexes: vec![0],
                ..OffsetFetchRequestTopics::default()
            }]),
            ..OffsetFetchRequestGroup::default()
        }],
        ..OffsetFetchRequest::default()
    };
    let group = eventually("an answer", || {
        let told: OffsetFetchResponse = client.call(&offset_fetch::API, 8, &request);
        let group = told.groups.into_iter().next().expect("one was asked for");
        (group.error_code != ErrorCode::CoordinatorLoadInProgress).then_some(group)
    });
    match group.topics.into_iter().next() {
        Some(topic) => {
            let partition = topic.partitions.into_iter().next().expect("one was asked for");
            (partition.committed_offset, partition.metadata, partition.error_code)
        }
        None => (-1, None, group.error_code),
    }
}

#[test]
fn a_group_lives_in_every_mode() {
    for (shards, advertise) in [(1, Advertise::Node), (2, Advertise::Node), (2, Advertise::Shard)] {
        let broker = Broker::start_with(options(shards, advertise));
        broker.client().create("t", 1);
        // Both shards get some.
        for group in ["a", "b", "c", "d"] {
            let mut one = coordinator(&broker, group);
            let first = join_new(&mut one, group);
            assert_eq!((first.error_code, first.generation_id), (ErrorCode::None, 1));
            assert_eq!((&first.leader, first.members.len()), (&first.member_id, 1));
            let synced = sync(&mut one, group, &first);
            let mine = format!("part of {}", first.member_id).into_bytes();
            assert_eq!((synced.error_code, synced.assignment), (ErrorCode::None, mine));
            assert_eq!(beat(&mut one, group, &first), ErrorCode::None);
            assert_eq!(commit(&mut one, group, Some(&first), 7), ErrorCode::None);
            assert_eq!(committed(&mut one, group), (7, Some("note".into()), ErrorCode::None));
            // Whoever is none of it may not.
            assert_eq!(commit(&mut one, group, None, 9), ErrorCode::UnknownMemberId);
        }
    }
}

#[test]
fn rule_70_a_second_member_has_the_first_join_again() {
    let broker = Broker::start_with(options(1, Advertise::Node));
    let mut one = coordinator(&broker, "g");
    let first = join_new(&mut one, "g");
    sync(&mut one, "g", &first);
    let mut two = broker.client();
    let id = join(&mut two, "g", "").member_id;
    let second = std::thread::spawn(move || {
        let joined = join(&mut two, "g", &id);
        let synced = sync(&mut two, "g", &joined);
        (joined, synced)
    });
    eventually("the rebalance", || {
        (beat(&mut one, "g", &first) == ErrorCode::RebalanceInProgress).then_some(())
    });
    let again = join(&mut one, "g", &first.member_id);
    assert_eq!((again.error_code, again.generation_id), (ErrorCode::None, 2));
    assert_eq!(again.members.len(), 2, "the leader stays, and is told of all");
    sync(&mut one, "g", &again);
    let (joined, synced) = second.join().expect("the second member");
    assert_eq!((joined.generation_id, joined.members.len()), (2, 0));
    assert_eq!(synced.assignment, format!("part of {}", joined.member_id).into_bytes());
    assert_eq!(beat(&mut one, "g", &first), ErrorCode::IllegalGeneration);
}

#[test]
fn rule_76_a_restart_forgets_nothing() {
    for advertise in [Advertise::Node, Advertise::Shard] {
        let broker = Broker::start_with(options(2, advertise));
        broker.client().create("t", 1);
        let mut client = coordinator(&broker, "simple");
        for offset in 0..100 {
            assert_eq!(commit(&mut client, "simple", None, offset), ErrorCode::None);
        }
        let mut one = coordinator(&broker, "g");
        let first = join_new(&mut one, "g");
        sync(&mut one, "g", &first);
        assert_eq!(commit(&mut one, "g", Some(&first), 5), ErrorCode::None);
        let broker = broker.restart();
        let mut client = coordinator(&broker, "simple");
        assert_eq!(committed(&mut client, "simple").0, 99);
        let mut one = coordinator(&broker, "g");
        assert_eq!(committed(&mut one, "g").0, 5);
        // The member goes on where it was.
        assert_eq!(beat(&mut one, "g", &first), ErrorCode::None);
        assert_eq!(commit(&mut one, "g", Some(&first), 6), ErrorCode::None);
    }
}

/// Who calls itself an administrator may write anything where the groups are.
#[test]
fn rule_76_what_cannot_be_read_costs_no_group() {
    let broker = Broker::start_with(options(1, Advertise::Node));
    broker.client().create("t", 1);
    let mut client = coordinator(&broker, "g");
    assert_eq!(commit(&mut client, "g", None, 7), ErrorCode::None);
    let key = b"\0\x01\0\x01g\0\x01t\0\0\0\0";
    let mut junk = BatchBuilder::new(BatchOptions::default());
    // No such version; no value's end; no type; a share group; a group that is none.
    for (key, value) in [
        (&key[..], &b"\0\x63\0\0\0\0\0\0\0\x08"[..]),
        (key, b"\0\x03\0\0"),
        (b"?", b"?"),
        (b"\0\x0b\0\x01s", b"\0\0?"),
        (b"\0\x02\0\x01g", b"\0\x03?"),
    ] {
        junk.push(0, Some(key), Some(value), &[]);
    }
    let topic = Topic { name: "__consumer_offsets".into(), id: Uuid::ZERO };
    // The partition of "g": its letter's number modulo 50.
    let request = produce_request(-1, &topic, 3, junk.finish());
    let id = client.send_as("__admin_client", &produce::API, 9, &request);
    let told: ProduceResponse = client.receive(&produce::API, 9, id);
    let told = told.responses[0].partition_responses[0].error_code;
    assert_eq!(told, ErrorCode::None);
    let broker = broker.restart();
    let mut client = coordinator(&broker, "g");
    assert_eq!(committed(&mut client, "g").0, 7, "what stood before holds");
    assert_eq!(commit(&mut client, "g", None, 9), ErrorCode::None);
    let broker = broker.restart();
    assert_eq!(committed(&mut coordinator(&broker, "g"), "g").0, 9);
}

#[test]
fn rule_74_groups_are_listed_described_and_deleted() {
    let broker = Broker::start_with(options(2, Advertise::Node));
    broker.client().create("t", 1);
    let mut one = coordinator(&broker, "g");
    let first = join_new(&mut one, "g");
    sync(&mut one, "g", &first);
    assert_eq!(commit(&mut one, "simple", None, 3), ErrorCode::None);
    let list: ListGroupsResponse = one.call(&list_groups::API, 5, &ListGroupsRequest::default());
    let mut names: Vec<_> = list.groups.iter().map(|group| group.group_id.as_str()).collect();
    names.sort_unstable();
    assert_eq!((list.error_code, names), (ErrorCode::None, vec!["g", "simple"]));
    let request = DescribeGroupsRequest {
        groups: vec!["g".into(), "none".into()],
        ..DescribeGroupsRequest::default()
    };
    let told: DescribeGroupsResponse = one.call(&describe_groups::API, 6, &request);
    assert_eq!((told.groups[0].group_state.as_str(), told.groups[0].members.len()), ("Stable", 1));
    assert_eq!(told.groups[1].error_code, ErrorCode::GroupIdNotFound);
    let old: DescribeGroupsResponse = one.call(&describe_groups::API, 5, &request);
    assert_eq!(old.groups[1].group_state, "Dead");

    let delete = DeleteGroupsRequest { groups_names: vec!["g".into(), "simple".into()] };
    let told: DeleteGroupsResponse = one.call(&delete_groups::API, 2, &delete);
    let codes: Vec<_> = told.results.iter().map(|result| result.error_code).collect();
    assert_eq!(codes, [ErrorCode::NonEmptyGroup, ErrorCode::None]);
    let leave = LeaveGroupRequest {
        group_id: "g".into(),
        member_id: first.member_id.clone(),
        ..LeaveGroupRequest::default()
    };
    let told: LeaveGroupResponse = one.call(&leave_group::API, 2, &leave);
    assert_eq!(told.error_code, ErrorCode::None);
    let delete = DeleteGroupsRequest { groups_names: vec!["g".into()] };
    let told: DeleteGroupsResponse = one.call(&delete_groups::API, 2, &delete);
    assert_eq!(told.results[0].error_code, ErrorCode::None);
    let broker = broker.restart();
    let mut one = coordinator(&broker, "g");
    let list: ListGroupsResponse = eventually("the list", || {
        let list: ListGroupsResponse =
            one.call(&list_groups::API, 5, &ListGroupsRequest::default());
        list.error_code.is_none().then_some(list)
    });
    assert_eq!(list.groups, []);
}

#[test]
fn the_wrong_shard_is_no_coordinator() {
    let broker = Broker::start_with(options(2, Advertise::Shard));
    broker.client().create("t", 1);
    drop(coordinator(&broker, "g"));
    let codes: Vec<ErrorCode> = (0..2)
        .map(|shard| {
            let mut client = Client::connect(broker.address(shard));
            eventually("an answer", || {
                let code = commit(&mut client, "g", None, 1);
                (code != ErrorCode::CoordinatorLoadInProgress).then_some(code)
            })
        })
        .collect();
    assert!(codes.contains(&ErrorCode::None) && codes.contains(&ErrorCode::NotCoordinator));
}

/// Commits offsets of 200 partitions with notes of 4,000 bytes; each is written anew.
fn try_to_commit_much(client: &mut Client, group: &str, offset: i64) -> Vec<ErrorCode> {
    let partition = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: offset,
        committed_metadata: Some("x".repeat(4000)),
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: "wide".into(),
        partitions: (0..200).map(partition).collect(),
        ..OffsetCommitRequestTopic::default()
    };
    let request = OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: -1,
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    };
    let told: OffsetCommitResponse = client.call(&offset_commit::API, 7, &request);
    told.topics[0].partitions.iter().map(|partition| partition.error_code).collect()
}

fn commit_much(client: &mut Client, offset: i64) {
    let codes = try_to_commit_much(client, "wide", offset);
    assert!(codes.iter().all(|code| code.is_none()), "{codes:?}");
}

/// Fifty coordinators share what there is: no number of groups takes more, and those that are
/// there go on.
#[test]
fn groups_of_all_coordinators_share_one_limit_of_memory() {
    const LIMIT_BYTES: usize = 16 << 20;
    let broker = Broker::start_with(options(1, Advertise::Node));
    broker.client().create("wide", 200);
    let mut client = coordinator(&broker, "wide");
    commit_much(&mut client, 1);
    let mut taken = 0;
    for number in 0..2 * LIMIT_BYTES / (200 * 4000) {
        let codes = eventually("the coordinator is there", || {
            let codes = try_to_commit_much(&mut client, &format!("group-{number}"), 1);
            (!codes.contains(&ErrorCode::CoordinatorLoadInProgress)).then_some(codes)
        });
        let refused = [ErrorCode::None, ErrorCode::CoordinatorNotAvailable];
        assert!(codes.iter().all(|code| refused.contains(code)), "{codes:?}");
        taken += codes.iter().filter(|code| code.is_none()).count() * 4000;
    }
    assert!((LIMIT_BYTES / 2..LIMIT_BYTES).contains(&taken), "{taken} bytes of notes");
    commit_much(&mut client, 2);
    assert_eq!(try_to_commit_much(&mut client, "late", 1)[0], ErrorCode::CoordinatorNotAvailable);
}

/// All that is known of a group is told each time that it is named, as by Kafka; not without end.
#[test]
fn a_group_named_a_thousand_times_has_a_bounded_answer() {
    for shards in [1, 2] {
        let broker = Broker::start_with(options(shards, Advertise::Node));
        broker.client().create("wide", 200);
        let mut client = coordinator(&broker, "wide");
        commit_much(&mut client, 1);
        let mut ask = |count: usize| {
            let wide = OffsetFetchRequestGroup {
                group_id: "wide".into(),
                topics: None,
                ..Default::default()
            };
            let request = OffsetFetchRequest { groups: vec![wide; count], ..Default::default() };
            let told: OffsetFetchResponse = client.call(&offset_fetch::API, 8, &request);
            assert_eq!(told.groups.len(), count);
            let full = told.groups.iter().filter(|group| group.error_code.is_none()).count();
            for group in &told.groups {
                let partitions = group.topics.iter().map(|topic| topic.partitions.len());
                match group.error_code {
                    ErrorCode::None => assert_eq!(partitions.sum::<usize>(), 200),
                    code => assert_eq!(code, ErrorCode::UnknownServerError),
                }
            }
            full
        };
        assert_eq!(ask(10), 10);
        // 800,000 bytes each, and 64 MiB in all.
        let full = ask(1_000);
        assert!((70..=90).contains(&full), "{full}");
        assert_eq!(ask(10), 10);
    }
}

#[test]
fn rule_76_a_log_that_is_written_again_says_the_same() {
    let set = vec![AT_ONCE, "offsets.topic.num.partitions=1"];
    let broker = Broker::start_with(Options { set, ..Options::default() });
    broker.client().create("t", 1);
    broker.client().create("wide", 200);
    let mut client = coordinator(&broker, "wide");
    assert_eq!(commit(&mut client, "early", None, 5), ErrorCode::None);
    for offset in 1..=30 {
        commit_much(&mut client, offset);
    }
    let offsets = Topic { name: "__consumer_offsets".into(), id: Uuid::ZERO };
    let start = eventually("the log's start moves", || {
        let start = client.offset_as(7, &offsets, 0, -2).offset;
        (start > 0).then_some(start)
    });
    assert!(start > 5000, "nearly all was said again: {start}");
    commit_much(&mut client, 31);
    let check = |client: &mut Client| {
        assert_eq!(committed(client, "early").0, 5, "it was written once, long ago");
        let request = OffsetFetchRequest {
            groups: vec![OffsetFetchRequestGroup {
                group_id: "wide".into(),
                topics: None,
                ..OffsetFetchRequestGroup::default()
            }],
            ..OffsetFetchRequest::default()
        };
        let told: OffsetFetchResponse = client.call(&offset_fetch::API, 8, &request);
        let partitions = &told.groups[0].topics[0].partitions;
        assert_eq!(partitions.len(), 200);
        assert!(partitions.iter().all(|partition| partition.committed_offset == 31));
    };
    check(&mut client);
    let broker = broker.restart();
    check(&mut coordinator(&broker, "wide"));
}
