//! Consumer groups (KIP-848) of a real broker, by raw frames.

mod common;

use common::{Broker, Client, Options, eventually};
use ringlog_broker::config::Advertise;
use ringlog_wire::api::consumer_group_describe::{
    self, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup,
};
use ringlog_wire::api::consumer_group_heartbeat::{
    self, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use ringlog_wire::api::find_coordinator::{
    self, FindCoordinatorRequest, FindCoordinatorResponse, KEY_GROUP,
};
use ringlog_wire::api::join_group::{
    self, JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use ringlog_wire::api::list_groups::{self, ListGroupsRequest, ListGroupsResponse};
use ringlog_wire::api::offset_commit::{
    self, OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    OffsetCommitResponse,
};
use ringlog_wire::api::offset_fetch::{
    self, OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchResponse,
};
use ringlog_wire::consumer_protocol::ConsumerProtocolSubscription;
use ringlog_wire::error::ErrorCode;

const MODES: [(usize, Advertise); 3] =
    [(1, Advertise::Node), (2, Advertise::Node), (2, Advertise::Shard)];

fn broker(shards: usize, advertise: Advertise) -> Broker {
    Broker::start_with(Options { shards, advertise, ..Options::default() })
}

/// A client of the group's coordinator.
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

/// A member as clients behave: it beats, takes what it is given, and gives up what it is not.
struct Member {
    client: Client,
    group: String,
    id: String,
    epoch: i32,
    owned: Vec<TopicPartitions>,
    first: ConsumerGroupHeartbeatRequest,
    /// Its next heartbeat lists what it has.
    lists: bool,
}

impl Member {
    fn new(broker: &Broker, group: &str, id: &str, topics: &[&str], regex: Option<&str>) -> Member {
        let first = ConsumerGroupHeartbeatRequest {
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: Some(topics.iter().map(|topic| (*topic).into()).collect()),
            subscribed_topic_regex: regex.map(str::to_string),
            topic_partitions: Some(Vec::new()),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        let client = coordinator(broker, group);
        let (group, id) = (group.into(), id.into());
        Member { client, group, id, epoch: 0, owned: Vec::new(), first, lists: false }
    }

    fn send(&mut self, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: self.group.clone(),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            ..request
        };
        // A coordinator may still be reading its log.
        eventually("an answer", || {
            let told: ConsumerGroupHeartbeatResponse =
                self.client.call(&consumer_group_heartbeat::API, 1, &request);
            (told.error_code != ErrorCode::CoordinatorLoadInProgress).then_some(told)
        })
    }

    fn beat(&mut self) {
        let mut request = ConsumerGroupHeartbeatRequest::default();
        if self.epoch == 0 {
            request = self.first.clone();
        } else if std::mem::take(&mut self.lists) {
            request.topic_partitions = Some(self.owned.clone());
        }
        let told = self.send(request);
        assert_eq!((told.error_code, told.error_message.as_deref()), (ErrorCode::None, None));
        assert_eq!(told.heartbeat_interval_ms, 5_000);
        self.epoch = told.member_epoch;
        if let Some(assignment) = told.assignment {
            self.owned = assignment.topic_partitions;
            self.lists = true;
        }
    }

    fn count(&self) -> usize {
        self.owned.iter().map(|topic| topic.partitions.len()).sum()
    }

    fn leave(&mut self) {
        self.epoch = -1;
        let told = self.send(ConsumerGroupHeartbeatRequest::default());
        assert_eq!(told.error_code, ErrorCode::None);
    }

    fn commit(&mut self, epoch: i32, offset: i64) -> ErrorCode {
        let request = OffsetCommitRequest {
            group_id: self.group.clone(),
            generation_id_or_member_epoch: epoch,
            member_id: self.id.clone(),
            topics: vec![OffsetCommitRequestTopic {
                name: "t".into(),
                partitions: vec![OffsetCommitRequestPartition {
                    committed_offset: offset,
                    ..OffsetCommitRequestPartition::default()
                }],
                ..OffsetCommitRequestTopic::default()
            }],
            ..OffsetCommitRequest::default()
        };
        let told: OffsetCommitResponse = self.client.call(&offset_commit::API, 9, &request);
        told.topics[0].partitions[0].error_code
    }

    /// The first committed offset.
    fn committed(&mut self) -> i64 {
        let group = OffsetFetchRequestGroup {
            group_id: self.group.clone(),
            member_id: Some(self.id.clone()),
            member_epoch: self.epoch,
            topics: None,
        };
        let request = OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() };
        let told: OffsetFetchResponse = self.client.call(&offset_fetch::API, 9, &request);
        told.groups[0].topics[0].partitions[0].committed_offset
    }

    fn describe(&mut self) -> DescribedGroup {
        let request = ConsumerGroupDescribeRequest {
            group_ids: vec![self.group.clone()],
            ..ConsumerGroupDescribeRequest::default()
        };
        let told: ConsumerGroupDescribeResponse =
            self.client.call(&consumer_group_describe::API, 1, &request);
        told.groups.into_iter().next().expect("one was asked for")
    }
}

/// Lets both beat until each has so many partitions.
fn settle(one: &mut Member, two: &mut Member, counts: (usize, usize)) {
    eventually("everybody's part", || {
        one.beat();
        two.beat();
        ((one.count(), two.count()) == counts && one.epoch == two.epoch).then_some(())
    });
}

#[test]
fn rule_75_two_members_share_a_topic_in_every_mode() {
    for (shards, advertise) in MODES {
        let broker = broker(shards, advertise);
        broker.client().create("t", 4);
        for group in ["a", "b", "c"] {
            let mut one = Member::new(&broker, group, "one", &["t"], None);
            let mut two = Member::new(&broker, group, "two", &["t"], None);
            one.beat();
            assert_eq!((one.epoch, one.count()), (2, 4));
            settle(&mut one, &mut two, (2, 2));
            let mut all: Vec<i32> =
                [&one, &two].iter().flat_map(|member| member.owned[0].partitions.clone()).collect();
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2, 3]);
            let told = one.describe();
            assert_eq!((told.error_code, told.group_state.as_str()), (ErrorCode::None, "Stable"));
            assert_eq!((told.group_epoch, told.assignor_name.as_str()), (one.epoch, "uniform"));
            let ids: Vec<_> = told.members.iter().map(|member| member.member_id.as_str()).collect();
            assert_eq!(ids, ["one", "two"]);
            assert_eq!(told.members[0].client_host, "/127.0.0.1");
            let part = &told.members[0].assignment.topic_partitions[0];
            assert_eq!(
                (part.topic_name.as_str(), &part.partitions),
                ("t", &one.owned[0].partitions)
            );
            let epoch = one.epoch;
            assert_eq!(one.commit(epoch, 7), ErrorCode::None);
            assert_eq!(one.commit(epoch + 1, 8), ErrorCode::StaleMemberEpoch);
            assert_eq!(one.committed(), 7);
            two.leave();
            eventually("all of it", || {
                one.beat();
                (one.count() == 4).then_some(())
            });
        }
    }
}

#[test]
fn rule_76_members_go_on_over_a_restart() {
    for (shards, advertise) in MODES {
        let broker = broker(shards, advertise);
        broker.client().create("t", 4);
        let mut one = Member::new(&broker, "g", "one", &["t"], None);
        let mut two = Member::new(&broker, "g", "two", &["t"], None);
        settle(&mut one, &mut two, (2, 2));
        let epoch = one.epoch;
        assert_eq!(one.commit(epoch, 7), ErrorCode::None);
        let (before, owned) = (one.describe(), one.owned.clone());
        let broker = broker.restart();
        one.client = coordinator(&broker, "g");
        two.client = coordinator(&broker, "g");
        one.beat();
        two.beat();
        assert_eq!((one.epoch, &one.owned), (epoch, &owned), "nothing moves");
        assert_eq!(one.describe(), before);
        assert_eq!(one.committed(), 7);
    }
}

#[test]
fn an_expression_follows_the_topics() {
    let broker = broker(2, Advertise::Node);
    broker.client().create("orders-1", 2);
    broker.client().create("other", 2);
    let mut one = Member::new(&broker, "g", "one", &[], Some("orders-.*"));
    eventually("the topic that is there", || {
        one.beat();
        (one.count() == 2).then_some(())
    });
    let mut bad = Member::new(&broker, "g", "two", &[], Some("(orders"));
    let first = bad.first.clone();
    assert_eq!(bad.send(first).error_code, ErrorCode::InvalidRegularExpression);
    let broker = broker.restart();
    one.client = coordinator(&broker, "g");
    one.beat();
    assert_eq!(one.count(), 2);
}

#[test]
fn rule_74_groups_are_told_apart() {
    let broker = broker(2, Advertise::Node);
    broker.client().create("t", 1);
    let mut one = Member::new(&broker, "g", "one", &["t"], None);
    one.beat();
    for (kind, count) in [("consumer", 1), ("classic", 0)] {
        let types_filter = vec![kind.to_string()];
        let request = ListGroupsRequest { types_filter, ..ListGroupsRequest::default() };
        let told: ListGroupsResponse = eventually("the list", || {
            let told: ListGroupsResponse = one.client.call(&list_groups::API, 5, &request);
            told.error_code.is_none().then_some(told)
        });
        assert_eq!(told.groups.len(), count, "{kind}");
    }
    one.group = "none".into();
    let told = one.describe();
    assert_eq!(told.error_code, ErrorCode::GroupIdNotFound);
    assert_eq!(told.error_message.as_deref(), Some("Group none not found."));
}

#[test]
fn a_classic_group_is_upgraded_while_a_member_waits() {
    let broker = broker(1, Advertise::Node);
    broker.client().create("t", 2);
    let mut one = Member::new(&broker, "g", "one", &["t"], None);
    let mut client = coordinator(&broker, "g");
    let topics = vec!["t".to_string()];
    let subscription = ConsumerProtocolSubscription { topics, ..Default::default() };
    let mut request = JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: subscription.to_bytes(1),
        }],
        ..JoinGroupRequest::default()
    };
    let told: JoinGroupResponse = eventually("an id", || {
        let told: JoinGroupResponse = client.call(&join_group::API, 9, &request);
        (told.error_code == ErrorCode::MemberIdRequired).then_some(told)
    });
    request.member_id = told.member_id;
    // The group waits for more members, and one comes that speaks the new protocol.
    let id = client.send(&join_group::API, 9, &request);
    eventually("the group", || {
        let told: ListGroupsResponse =
            one.client.call(&list_groups::API, 5, &ListGroupsRequest::default());
        let preparing = |group: &list_groups::ListedGroup| group.group_state != "Empty";
        told.groups.iter().any(preparing).then_some(())
    });
    one.beat();
    let told: JoinGroupResponse = client.receive(&join_group::API, 9, id);
    assert_eq!(told.error_code, ErrorCode::RebalanceInProgress);
    let told: JoinGroupResponse = client.call(&join_group::API, 9, &request);
    assert_eq!(told.error_code, ErrorCode::None);
    let types: Vec<i8> = one.describe().members.iter().map(|member| member.member_type).collect();
    assert_eq!(types.len(), 2);
    assert!(types.contains(&0) && types.contains(&1));
    // When it goes, a classic group is left.
    one.leave();
    assert_eq!(one.describe().error_code, ErrorCode::GroupIdNotFound);
}
