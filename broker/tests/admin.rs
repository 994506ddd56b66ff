//! What an operator asks: the cluster, more partitions, pages of topics, the quorum, features,
//! elections and reassignments, as Kafka 4.3.1 answers them ("rule" is a row of
//! `shared/protocol.md`).

mod common;

use common::client::Topic;
use common::records::{batch, values};
use common::{Broker, Client, Options};
use ringlog_broker::config::Advertise;
use ringlog_wire::api::alter_partition_reassignments::{
    self, AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
    ReassignablePartition, ReassignableTopic,
};
use ringlog_wire::api::alter_replica_log_dirs::{
    self, AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};
use ringlog_wire::api::api_versions::{self, ApiVersionsRequest, ApiVersionsResponse};
use ringlog_wire::api::create_partitions::{
    self, CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsResponse,
    CreatePartitionsTopic,
};
use ringlog_wire::api::describe_cluster::{self, DescribeClusterRequest, DescribeClusterResponse};
use ringlog_wire::api::describe_quorum::{
    self, DescribeQuorumRequest, DescribeQuorumResponse, PartitionAsked, TopicAsked,
};
use ringlog_wire::api::describe_topic_partitions::{
    self, Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicRequest,
};
use ringlog_wire::api::elect_leaders::{
    self, ElectLeadersRequest, ElectLeadersResponse, TopicPartitions,
};
use ringlog_wire::api::find_coordinator::{self, FindCoordinatorRequest, FindCoordinatorResponse};
use ringlog_wire::api::list_partition_reassignments::{
    self, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
    ListPartitionReassignmentsTopics,
};
use ringlog_wire::api::metadata::{self, MetadataRequest, MetadataRequestTopic, MetadataResponse};
use ringlog_wire::api::update_features::{
    self, FeatureUpdateKey, UpdateFeaturesRequest, UpdateFeaturesResponse,
};
use ringlog_wire::{ErrorCode, Uuid};

const CLUSTER_OPERATIONS: i32 = 8096;
const TOPIC_OPERATIONS: i32 = 3576;

// --- The cluster -----------------------------------------------------------------------------

#[test]
fn the_cluster_is_told_as_in_metadata() {
    for advertise in [Advertise::Node, Advertise::Shard] {
        let broker = Broker::start_with(Options::two_shards(advertise));
        let mut client = broker.client();
        let metadata: MetadataResponse =
            client.call(&metadata::API, 12, &MetadataRequest::default());
        let mut expected: Vec<_> =
            metadata.brokers.iter().map(|b| (b.node_id, b.host.clone(), b.port)).collect();
        expected.sort();
        for version in describe_cluster::API.versions() {
            let request = DescribeClusterRequest {
                include_cluster_authorized_operations: version % 2 == 1,
                include_fenced_brokers: true,
                ..DescribeClusterRequest::default()
            };
            let told: DescribeClusterResponse =
                client.call(&describe_cluster::API, version, &request);
            assert_eq!((told.error_code, told.error_message), (ErrorCode::None, None));
            let brokers: Vec<_> =
                told.brokers.iter().map(|b| (b.broker_id, b.host.clone(), b.port)).collect();
            assert_eq!(brokers, expected);
            assert!(told.brokers.iter().all(|broker| !broker.is_fenced));
            assert_eq!(Some(told.cluster_id), metadata.cluster_id);
            assert_eq!(told.controller_id, metadata.controller_id);
            let operations = if version % 2 == 1 { CLUSTER_OPERATIONS } else { i32::MIN };
            assert_eq!(told.cluster_authorized_operations, operations, "rule 60");
        }
    }
}

#[test]
fn a_broker_does_not_speak_for_controllers() {
    let broker = Broker::start();
    let mut client = broker.client();
    for (endpoint_type, code) in [(0, 115), (2, 114), (3, 115), (-1, 115)] {
        let request = DescribeClusterRequest { endpoint_type, ..Default::default() };
        let told: DescribeClusterResponse = client.call(&describe_cluster::API, 2, &request);
        assert_eq!(told.error_code.code(), code, "{told:?}");
        assert!(told.brokers.is_empty() && told.error_message.is_some());
    }
}

fn topic_operations(client: &mut Client, version: i16, topic: MetadataRequestTopic) -> (i32, i32) {
    let request = MetadataRequest {
        topics: Some(vec![topic]),
        allow_auto_topic_creation: false,
        include_cluster_authorized_operations: true,
        include_topic_authorized_operations: true,
    };
    let told: MetadataResponse = client.call(&metadata::API, version, &request);
    (told.cluster_authorized_operations, told.topics[0].topic_authorized_operations)
}

#[test]
fn rule_60_operations_are_told_to_who_asks() {
    let broker = Broker::start();
    let mut client = broker.client();
    client.create("t", 1);
    let named = |name: &str| MetadataRequestTopic {
        name: Some(name.into()),
        ..MetadataRequestTopic::default()
    };
    for version in 8..=13 {
        let cluster = if version <= 10 { CLUSTER_OPERATIONS } else { i32::MIN };
        let told = topic_operations(&mut client, version, named("t"));
        assert_eq!(told, (cluster, TOPIC_OPERATIONS), "v{version}");
    }
    let request = MetadataRequest { topics: None, ..MetadataRequest::default() };
    let told: MetadataResponse = client.call(&metadata::API, 10, &request);
    assert_eq!(told.cluster_authorized_operations, i32::MIN, "not asked for");
    assert_eq!(told.topics[0].topic_authorized_operations, i32::MIN);
}

// --- More partitions -------------------------------------------------------------------------

fn grow(name: &str, count: i32) -> CreatePartitionsTopic {
    CreatePartitionsTopic { name: name.into(), count, assignments: None }
}

fn create_partitions(
    client: &mut Client,
    version: i16,
    topics: Vec<CreatePartitionsTopic>,
    validate_only: bool,
) -> Vec<i16> {
    let request = CreatePartitionsRequest { topics, timeout_ms: 5000, validate_only };
    let told: CreatePartitionsResponse = client.call(&create_partitions::API, version, &request);
    told.results.iter().map(|topic| topic.error_code.code()).collect()
}

fn leaders(client: &mut Client, name: &str) -> Vec<i32> {
    let topic = MetadataRequestTopic { name: Some(name.into()), ..Default::default() };
    let request = MetadataRequest {
        topics: Some(vec![topic]),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    let told: MetadataResponse = client.call(&metadata::API, 12, &request);
    told.topics[0].partitions.iter().map(|partition| partition.leader_id).collect()
}

/// A client of the broker that leads the partition.
fn client_of(broker: &Broker, name: &str, index: i32) -> Client {
    let leader = leaders(&mut broker.client(), name)[index as usize];
    let shard = if leader >= 1024 { leader as usize - 1024 } else { 0 };
    Client::connect(broker.address(shard))
}

#[test]
fn new_partitions_are_there_for_everyone_when_the_answer_comes() {
    for advertise in [Advertise::Node, Advertise::Shard] {
        let broker = Broker::start_with(Options::two_shards(advertise));
        let mut client = broker.client();
        let topic = client.create("t", 1);
        client_of(&broker, "t", 0).append(&topic, 0, batch(&[b"first"]));
        let mut present = 1;
        for version in create_partitions::API.versions() {
            assert_eq!(
                create_partitions(&mut client, version, vec![grow("t", present)], false),
                [37]
            );
            let more = vec![grow("t", present + 3)];
            assert_eq!(create_partitions(&mut client, version, more.clone(), true), [0]);
            for shard in 0..2 {
                let seen = leaders(&mut Client::connect(broker.address(shard)), "t");
                assert_eq!(seen.len() as i32, present, "only checked");
            }
            assert_eq!(create_partitions(&mut client, version, more, false), [0]);
            for shard in 0..2 {
                let seen = leaders(&mut Client::connect(broker.address(shard)), "t");
                assert_eq!(seen.len() as i32, present + 3, "on every shard");
                assert!(seen.iter().all(|leader| *leader > 0));
            }
            for index in present..present + 3 {
                let mut client = client_of(&broker, "t", index);
                assert_eq!(client.append(&topic, index, batch(&[b"v"])), 0);
                let read = client.fetch(&topic, index, 0).records.expect("rule 44");
                assert_eq!(values(&read), [b"v"]);
            }
            present += 3;
        }
        // What was there keeps its place and its records, also over a restart.
        let before = leaders(&mut client, "t");
        drop(client);
        let broker = broker.restart();
        assert_eq!(leaders(&mut broker.client(), "t"), before);
        for index in 0..present {
            let read = client_of(&broker, "t", index).fetch(&topic, index, 0);
            assert_eq!(read.high_watermark, 1, "partition {index}");
        }
        let dirs = (0..present).map(|index| broker.dir().path().join(format!("t-{index}")));
        let dirs: Vec<_> = dirs.collect();
        assert!(dirs.iter().all(|dir| dir.is_dir()));
        broker.client().delete("t");
        assert!(!dirs.iter().any(|dir| dir.exists()), "deleted with all that was added");
    }
}

#[test]
fn growing_and_deleting_at_once_leaves_nothing_behind() {
    let broker = Broker::start_with(Options::two_shards(Advertise::Node));
    let mut grower = broker.client();
    let mut deleter = Client::connect(broker.address(1));
    for round in 0..20 {
        let topic = grower.create("t", 2);
        let request = CreatePartitionsRequest {
            topics: vec![grow("t", 9)],
            timeout_ms: 5000,
            validate_only: false,
        };
        let id = grower.send(&create_partitions::API, 3, &request);
        deleter.delete("t");
        let told: CreatePartitionsResponse = grower.receive(&create_partitions::API, 3, id);
        assert!(matches!(told.results[0].error_code.code(), 0 | 3), "round {round}: {told:?}");
        assert_ne!(topic.id, Uuid::ZERO);
        let left: Vec<_> =
            broker.dir().files().into_iter().filter(|(path, _)| path.starts_with("t-")).collect();
        assert!(left.is_empty(), "round {round}: {left:?}");
    }
}

#[test]
fn more_partitions_are_refused_with_kafkas_codes() {
    let broker = Broker::start_with(Options::two_shards(Advertise::Shard));
    let mut client = broker.client();
    client.create("t", 2);
    let assigned = |count: i32, ids: &[&[i32]]| {
        let one = |ids: &&[i32]| CreatePartitionsAssignment { broker_ids: ids.to_vec() };
        CreatePartitionsTopic {
            assignments: Some(ids.iter().map(one).collect()),
            ..grow("t", count)
        }
    };
    for (topics, codes) in [
        (vec![grow("nope", 3)], vec![3]),
        (vec![grow("t", 1)], vec![37]),
        (vec![grow("t", 20_000)], vec![44]),
        (vec![grow("t", 3), grow("t", 4)], vec![42]),
        (vec![assigned(3, &[])], vec![39]),
        (vec![assigned(3, &[&[]])], vec![39]),
        // Ids are the outside's: a node's own id, and a shard that there is not, are nobody's.
        (vec![assigned(3, &[&[1]])], vec![39]),
        (vec![assigned(3, &[&[1026]])], vec![39]),
        (vec![assigned(3, &[&[1024, 1025]])], vec![39]),
        (vec![assigned(3, &[&[1025]]), grow("nope", 1)], vec![0, 3]),
        (vec![], vec![]),
    ] {
        let text = format!("{topics:?}");
        assert_eq!(create_partitions(&mut client, 3, topics, false), codes, "{text}");
    }
    assert_eq!(leaders(&mut client, "t").len(), 3);
}

// --- Topics page by page ---------------------------------------------------------------------

fn page(
    client: &mut Client,
    names: &[&str],
    limit: i32,
    cursor: Option<(&str, i32)>,
) -> (String, Option<(String, i32)>) {
    let request = DescribeTopicPartitionsRequest {
        topics: names.iter().map(|name| TopicRequest { name: name.to_string() }).collect(),
        response_partition_limit: limit,
        cursor: cursor
            .map(|(topic, partition_index)| Cursor { topic_name: topic.into(), partition_index }),
    };
    let told: DescribeTopicPartitionsResponse =
        client.call(&describe_topic_partitions::API, 0, &request);
    let line = |topic: &describe_topic_partitions::DescribeTopicPartitionsResponseTopic| {
        let name = topic.name.as_deref().expect("a name");
        let indexes: Vec<_> = topic.partitions.iter().map(|p| p.partition_index).collect();
        match topic.error_code.code() {
            0 => format!("{name}{indexes:?}"),
            code => format!("{name}!{code}"),
        }
    };
    let lines: Vec<_> = told.topics.iter().map(line).collect();
    (lines.join(" "), told.next_cursor.map(|cursor| (cursor.topic_name, cursor.partition_index)))
}

#[test]
fn rule_66_topics_come_page_by_page() {
    let broker = Broker::start_with(Options::two_shards(Advertise::Shard));
    let mut client = broker.client();
    for (name, partitions) in [("pb", 3), ("pa", 3), ("pc", 1)] {
        client.create(name, partitions);
    }
    let all = &["pc", "pa", "pb", "pa"][..];
    // Names, limit, cursor; topics told, where the next page begins.
    type Place<'a> = Option<(&'a str, i32)>;
    let cases: &[(&[&str], i32, Place<'_>, &str, Place<'_>)] = &[
        (all, 2000, None, "pa[0, 1, 2] pb[0, 1, 2] pc[0]", None),
        (&[], 5000, None, "pa[0, 1, 2] pb[0, 1, 2] pc[0]", None),
        (all, 0, None, "pa[0]", Some(("pa", 1))),
        (all, -1, None, "pa[0]", Some(("pa", 1))),
        (all, 3, None, "pa[0, 1, 2]", Some(("pb", 0))),
        (all, 4, None, "pa[0, 1, 2] pb[0]", Some(("pb", 1))),
        (all, 2, Some(("pa", 1)), "pa[1, 2]", Some(("pb", 0))),
        (all, 2, Some(("pa", 9)), "pa[] pb[0, 1]", Some(("pb", 2))),
        (all, 2, Some(("pb", 2)), "pb[2] pc[0]", None),
        (all, 2, Some(("pc", 0)), "pc[0]", None),
        (&[], 2, Some(("pab", 1)), "pb[0, 1]", Some(("pb", 2))),
        (&[], 2, Some(("zz", 0)), "", None),
        // A page begins at a topic that is asked for, at a partition that could be.
        (all, 2, Some(("pd", 0)), "pa!42 pb!42 pc!42", None),
        (all, 2, Some(("pa", -1)), "pa!42 pb!42 pc!42", None),
        (&["nope", "a b", "..", "pa"], 9, None, "..!17 a b!17 nope!3 pa[0, 1, 2]", None),
        (&["pa", "aa", "zz"], 3, None, "aa!3 pa[0, 1, 2]", Some(("zz", 0))),
        (&["nope"], 9, Some(("nope", 1)), "nope!3", None),
    ];
    for &(names, limit, cursor, topics, next) in cases {
        let next = next.map(|(name, index)| (name.to_string(), index));
        let told = page(&mut client, names, limit, cursor);
        assert_eq!(told, (topics.to_string(), next), "{names:?} {limit} {cursor:?}");
    }
    // The whole of a page is what Metadata says, and operations are always told.
    let request = DescribeTopicPartitionsRequest {
        topics: vec![TopicRequest { name: "pb".into() }],
        ..DescribeTopicPartitionsRequest::default()
    };
    let told: DescribeTopicPartitionsResponse =
        client.call(&describe_topic_partitions::API, 0, &request);
    let topic = &told.topics[0];
    assert_eq!(topic.topic_authorized_operations, TOPIC_OPERATIONS);
    assert_ne!(topic.topic_id, Uuid::ZERO);
    let seen: Vec<_> = topic.partitions.iter().map(|p| p.leader_id).collect();
    assert_eq!(seen, leaders(&mut client, "pb"));
    for partition in &topic.partitions {
        assert_eq!(partition.replica_nodes, [partition.leader_id]);
        assert_eq!(partition.isr_nodes, [partition.leader_id]);
        assert_eq!(partition.eligible_leader_replicas, Some(Vec::new()));
        assert_eq!((partition.error_code, partition.leader_epoch), (ErrorCode::None, 0));
    }
}

// --- Coordinators ----------------------------------------------------------------------------

#[test]
fn coordinators_are_found_in_every_version() {
    let broker = Broker::start();
    let mut client = broker.client();
    let here = (1, i32::from(broker.address(0).port()));
    for version in find_coordinator::API.versions() {
        for (key_type, code, place) in [(0, 0, here), (1, 0, here), (7, 42, (-1, -1))] {
            if version == 0 && key_type != 0 {
                continue;
            }
            let request = FindCoordinatorRequest {
                key: "k".into(),
                key_type,
                coordinator_keys: vec!["k".into(), "l".into()],
            };
            let told: FindCoordinatorResponse =
                client.call(&find_coordinator::API, version, &request);
            if version < 4 {
                assert_eq!((told.error_code.code(), (told.node_id, told.port)), (code, place));
                continue;
            }
            let keys: Vec<_> = told.coordinators.iter().map(|c| c.key.as_str()).collect();
            assert_eq!(keys, ["k", "l"]);
            for one in &told.coordinators {
                assert_eq!((one.error_code.code(), (one.node_id, one.port)), (code, place));
            }
        }
    }
}

// --- The quorum and its features -------------------------------------------------------------

fn quorum(client: &mut Client, version: i16) -> DescribeQuorumResponse {
    let topic = TopicAsked {
        topic_name: "__cluster_metadata".into(),
        partitions: vec![PartitionAsked { partition_index: 0 }],
    };
    let request = DescribeQuorumRequest { topics: vec![topic] };
    client.call(&describe_quorum::API, version, &request)
}

#[test]
fn the_quorum_of_one_moves_with_its_log() {
    let broker = Broker::start_with(Options::two_shards(Advertise::Shard));
    // Asked on a shard that is not the controller's.
    let mut client = Client::connect(broker.address(1));
    let mut last = 0;
    for version in describe_quorum::API.versions() {
        client.create(&format!("t-{version}"), 1);
        let told = quorum(&mut client, version);
        assert_eq!(told.error_code, ErrorCode::None);
        let partition = &told.topics[0].partitions[0];
        assert_eq!((partition.error_code, partition.leader_id), (ErrorCode::None, 1));
        assert!(partition.leader_epoch >= 1 && partition.high_watermark > last);
        let voter = &partition.current_voters[0];
        assert_eq!((voter.replica_id, voter.log_end_offset), (1, partition.high_watermark));
        assert_eq!(voter.last_fetch_timestamp > 0, version >= 1);
        assert_eq!(voter.replica_directory_id == Uuid::ZERO, version < 2);
        assert_eq!(told.nodes.len(), usize::from(version >= 2));
        last = partition.high_watermark;
    }
    let epoch = quorum(&mut client, 2).topics[0].partitions[0].leader_epoch;
    let broker = broker.restart();
    let after = quorum(&mut broker.client(), 2).topics[0].partitions[0].leader_epoch;
    assert!(after > epoch, "a start is a new epoch");
}

#[test]
fn thousands_of_questions_that_waited_are_answered() {
    let broker = Broker::start();
    let mut first = broker.client();
    first.create("t", 1);
    let mut others: Vec<_> = (0..62).map(|_| broker.client()).collect();
    // The controller is busy while the others ask.
    let request = CreatePartitionsRequest {
        topics: vec![grow("t", 100)],
        timeout_ms: 60_000,
        validate_only: false,
    };
    let growing = first.send(&create_partitions::API, 3, &request);
    let question = DescribeQuorumRequest { topics: Vec::new() };
    let asked = others.iter_mut().flat_map(|client| {
        let ids = (0..64).map(|_| client.send(&describe_quorum::API, 2, &question));
        vec![ids.collect::<Vec<_>>()]
    });
    let asked: Vec<_> = asked.collect();
    let grown: CreatePartitionsResponse = first.receive(&create_partitions::API, 3, growing);
    assert_eq!(grown.results[0].error_code, ErrorCode::None);
    for (client, ids) in others.iter_mut().zip(asked) {
        for id in ids {
            let told: DescribeQuorumResponse = client.receive(&describe_quorum::API, 2, id);
            assert_eq!(told.error_code, ErrorCode::None);
        }
    }
}

#[test]
fn the_controller_is_not_asked_for_more_than_can_be_meant() {
    let broker = Broker::start();
    let mut client = broker.client();
    let request = |count| CreatePartitionsRequest {
        topics: (0..count).map(|number| grow(&number.to_string(), 2)).collect(),
        timeout_ms: 60_000,
        validate_only: true,
    };
    let told: CreatePartitionsResponse = client.call(&create_partitions::API, 3, &request(100_000));
    assert_eq!(told.results.len(), 100_000);
    client.send(&create_partitions::API, 3, &request(100_001));
    assert!(client.is_closed());
}

#[test]
fn a_long_name_is_not_repeated_for_each_partition() {
    let broker = Broker::start();
    let mut client = broker.client();
    let indexes: Vec<i32> = (0..100_000).collect();
    let name = "x".repeat(32_000);
    let told = elect(&mut client, 2, 0, Some(&[(&name, &indexes)]));
    assert!(told.len() < 64 << 20);
}

fn finalized(client: &mut Client) -> Vec<(String, i16)> {
    let request = ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1".into(),
    };
    let told: ApiVersionsResponse = client.call(&api_versions::API, 4, &request);
    told.finalized_features.into_iter().map(|f| (f.name, f.max_version_level)).collect()
}

#[test]
fn features_that_were_updated_are_told_at_once_and_after_a_restart() {
    let broker = Broker::start_with(Options::two_shards(Advertise::Node));
    let mut client = broker.client();
    let mut update = |feature: &str, level: i16, upgrade_type: i8| {
        let update = FeatureUpdateKey {
            feature: feature.into(),
            max_version_level: level,
            upgrade_type,
            ..FeatureUpdateKey::default()
        };
        let request = UpdateFeaturesRequest { feature_updates: vec![update], ..Default::default() };
        let told: UpdateFeaturesResponse = client.call(&update_features::API, 2, &request);
        told.error_code.code()
    };
    assert_eq!(update("transaction.version", 1, 1), 95);
    assert_eq!(update("transaction.version", 1, 2), 0);
    assert_eq!(update("metadata.version", 29, 3), 95);
    assert_eq!(update("kraft.version", 0, 3), 95);
    assert_eq!(update("group.version", 0, 3), 0);
    let told = finalized(&mut Client::connect(broker.address(1)));
    assert!(told.contains(&("transaction.version".into(), 1)));
    assert!(!told.iter().any(|(name, _)| name == "group.version"), "rule 6: not at level 0");
    let broker = broker.restart();
    assert_eq!(finalized(&mut broker.client()), told);
}

// --- Elections, reassignments, directories ---------------------------------------------------

fn elect(client: &mut Client, version: i16, kind: i8, asked: Option<&[(&str, &[i32])]>) -> String {
    let topic = |(name, partitions): &(&str, &[i32])| TopicPartitions {
        topic: name.to_string(),
        partitions: partitions.to_vec(),
    };
    let request = ElectLeadersRequest {
        election_type: kind,
        topic_partitions: asked.map(|asked| asked.iter().map(topic).collect()),
        timeout_ms: 5000,
    };
    let told: ElectLeadersResponse = client.call(&elect_leaders::API, version, &request);
    let mut text = told.error_code.code().to_string();
    for topic in &told.replica_election_results {
        let results: Vec<_> =
            topic.partition_result.iter().map(|p| (p.partition_id, p.error_code.code())).collect();
        text.push_str(&format!(" {}{results:?}", topic.topic));
    }
    text
}

#[test]
fn rule_65_no_election_is_needed() {
    let broker = Broker::start();
    let mut client = broker.client();
    client.create("a", 2);
    client.create("b", 1);
    for version in elect_leaders::API.versions() {
        for kind in [0, 1] {
            let mut check = |asked: Option<&[(&str, &[i32])]>, expected: &str| {
                assert_eq!(elect(&mut client, version, kind, asked), expected, "v{version}");
            };
            // All: none is told that needs none.
            check(None, "0 a[] b[]");
            check(Some(&[]), "0");
            check(Some(&[("a", &[0, 1, 0])]), "0 a[(0, 84), (1, 84), (0, 84)]");
            check(Some(&[("a", &[2, -1]), ("no", &[0])]), "0 a[(2, 3), (-1, 3)] no[(0, 3)]");
        }
    }
    assert_eq!(elect(&mut client, 2, 2, Some(&[("a", &[0])])), "42 a[(0, 42)]");
    assert_eq!(elect(&mut client, 2, -1, None), "42");
    assert_eq!(elect(&mut client, 2, 2, Some(&[])), "0");
}

fn reassign(
    client: &mut Client,
    version: i16,
    name: &str,
    asked: &[(i32, Option<&[i32]>)],
) -> Vec<i16> {
    let partition = |(index, replicas): &(i32, Option<&[i32]>)| ReassignablePartition {
        partition_index: *index,
        replicas: replicas.map(<[i32]>::to_vec),
    };
    let topic =
        ReassignableTopic { name: name.into(), partitions: asked.iter().map(partition).collect() };
    let request = AlterPartitionReassignmentsRequest { topics: vec![topic], ..Default::default() };
    let told: AlterPartitionReassignmentsResponse =
        client.call(&alter_partition_reassignments::API, version, &request);
    assert_eq!((told.error_code, told.error_message), (ErrorCode::None, None));
    told.responses[0].partitions.iter().map(|partition| partition.error_code.code()).collect()
}

#[test]
fn rule_65_partitions_stay_where_they_are() {
    for advertise in [Advertise::Node, Advertise::Shard] {
        let broker = Broker::start_with(Options::two_shards(advertise));
        let mut client = broker.client();
        client.create("t", 2);
        let homes = leaders(&mut client, "t");
        for version in alter_partition_reassignments::API.versions() {
            let cases: &[(i32, Option<&[i32]>, i16)] = &[
                (0, Some(&[homes[0]]), 0),
                (1, Some(&[homes[1]]), 0),
                (0, None, 85),
                (0, Some(&[]), 39),
                (0, Some(&[99]), 39),
                (0, Some(&[-1]), 39),
                (0, Some(&[homes[0], homes[0]]), 39),
                (0, Some(&[homes[0], 99]), 39),
                (2, Some(&[homes[0]]), 3),
                (-1, None, 3),
            ];
            let asked: Vec<_> = cases.iter().map(|&(index, ids, _)| (index, ids)).collect();
            let codes: Vec<_> = cases.iter().map(|&(_, _, code)| code).collect();
            assert_eq!(reassign(&mut client, version, "t", &asked), codes);
            assert_eq!(reassign(&mut client, version, "no", &[(0, None)]), [3]);
        }
        if advertise == Advertise::Shard {
            assert_eq!(reassign(&mut client, 1, "t", &[(0, Some(&[homes[1]]))]), [39]);
        }
        let topic =
            ListPartitionReassignmentsTopics { name: "t".into(), partition_indexes: vec![0, 7] };
        for topics in [None, Some(vec![]), Some(vec![topic])] {
            let request = ListPartitionReassignmentsRequest { timeout_ms: 5000, topics };
            let told: ListPartitionReassignmentsResponse =
                client.call(&list_partition_reassignments::API, 0, &request);
            assert_eq!((told.error_code, told.topics.len()), (ErrorCode::None, 0));
        }
    }
}

#[test]
fn there_is_one_directory() {
    let broker = Broker::start();
    let mut client = broker.client();
    let Topic { name, .. } = client.create("t", 1);
    let own = broker.dir().path().display().to_string();
    let dir = |path: &str| AlterReplicaLogDir {
        path: path.into(),
        topics: vec![
            AlterReplicaLogDirTopic { name: "no".into(), partitions: vec![0] },
            AlterReplicaLogDirTopic { name: name.clone(), partitions: vec![0, 1] },
        ],
    };
    for version in alter_replica_log_dirs::API.versions() {
        for (dirs, codes) in [
            (vec![dir(&own)], vec![3, 0, 3]),
            (vec![dir("/nowhere")], vec![57, 57, 57]),
            (vec![dir("")], vec![57, 57, 57]),
            (vec![dir(&own), dir("/nowhere")], vec![57, 57, 57]),
            (vec![dir("/nowhere"), dir(&own)], vec![3, 0, 3]),
            (vec![], vec![]),
        ] {
            let request = AlterReplicaLogDirsRequest { dirs };
            let told: AlterReplicaLogDirsResponse =
                client.call(&alter_replica_log_dirs::API, version, &request);
            let all = told.results.iter().flat_map(|topic| &topic.partitions);
            let told: Vec<_> = all.map(|partition| partition.error_code.code()).collect();
            assert_eq!(told, codes);
        }
    }
}
