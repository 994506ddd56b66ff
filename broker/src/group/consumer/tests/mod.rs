//! A group, its log and its topics, driven by hand; after every step the log read back must be the
//! group as it is (rule 76).

mod actor;
mod classic;
mod epochs;
mod hash;
mod heartbeat;
mod migrate;
mod offsets;
mod resolve;
mod sim;
mod statics;

use std::collections::{BTreeMap, BTreeSet};

use ringlog_wire::api::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use ringlog_wire::records::group::GroupRecord;
use ringlog_wire::{ErrorCode, Uuid};

use super::heartbeat::Context;
use super::{Answer, Client, ConsumerGroup, ConsumerGroupConfig};
use crate::coordinator::TopicsView;

/// The topics of a broker that exists in tests only.
#[derive(Clone, Debug, Default)]
struct World {
    topics: BTreeMap<String, (Uuid, i32)>,
    version: i64,
    created: i64,
}

impl World {
    fn create(&mut self, name: &str, partitions: i32) -> Uuid {
        self.version += 1;
        self.created = self.version;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.version.to_be_bytes());
        id[8..].copy_from_slice(&7i64.to_be_bytes());
        self.topics.insert(name.to_string(), (Uuid(id), partitions));
        Uuid(id)
    }

    fn delete(&mut self, name: &str) {
        self.version += 1;
        self.topics.remove(name);
    }

    fn grow(&mut self, name: &str, more: i32) {
        self.version += 1;
        self.topics.get_mut(name).expect("a topic").1 += more;
    }
}

impl TopicsView for World {
    fn named(&self, name: &str) -> Option<(Uuid, i32)> {
        self.topics.get(name).copied()
    }
    fn with_id(&self, id: Uuid) -> Option<(&str, i32)> {
        let found = self.topics.iter().find(|(_, topic)| topic.0 == id)?;
        Some((found.0, found.1.1))
    }
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.topics.keys().map(String::as_str))
    }
    fn version(&self) -> i64 {
        self.version
    }
    fn rack(&self) -> Option<&str> {
        None
    }
    fn created_version(&self) -> i64 {
        self.created
    }
}

fn client() -> Client {
    Client { id: "client".to_string(), host: "/127.0.0.1".to_string() }
}

/// One group and what is around it.
struct Desk {
    group: ConsumerGroup,
    log: Vec<GroupRecord>,
    world: World,
    config: ConsumerGroupConfig,
    now_ms: i64,
    ids: u8,
    steps: usize,
    /// After how many steps the log is read back.
    read_back_steps: usize,
}

impl Desk {
    /// A group of which nothing is known, and topics "a" with 4 partitions and "b" with 2. Targets
    /// are made as often as they are asked for.
    fn new() -> Desk {
        let mut world = World::default();
        world.create("a", 4);
        world.create("b", 2);
        let config = ConsumerGroupConfig { assignment_interval_ms: 0, ..Default::default() };
        let group = ConsumerGroup::new("g");
        Desk {
            group,
            log: Vec::new(),
            world,
            config,
            now_ms: 1_000_000,
            ids: 0,
            steps: 0,
            read_back_steps: 1,
        }
    }

    fn step<R>(
        &mut self,
        step: impl FnOnce(&mut ConsumerGroup, &Context<'_>, &mut dyn FnMut() -> Uuid) -> Answer<R>,
    ) -> Answer<R> {
        let at = Context { now_ms: self.now_ms, topics: &self.world, config: &self.config };
        let mut ids = || {
            self.ids += 1;
            Uuid([self.ids; 16])
        };
        let answer = step(&mut self.group, &at, &mut ids);
        self.log.extend(answer.records.iter().cloned());
        self.steps += 1;
        if answer.downgrade.is_none() && self.steps.is_multiple_of(self.read_back_steps) {
            assert_eq!(durable(&self.group), durable(&read_back(&self.log)), "rule 76");
        }
        answer
    }

    fn beat(&mut self, request: &ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        let answer = self.step(|group, at, ids| group.heartbeat(at, &client(), 1, request, ids));
        assert!(answer.downgrade.is_none(), "the group stays a consumer group");
        answer.response
    }

    /// A heartbeat that is answered without an error.
    fn good(&mut self, request: &ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        let response = self.beat(request);
        assert_eq!(response.error_message, None);
        assert_eq!(response.error_code, ErrorCode::None);
        response
    }

    /// The error of a heartbeat that is refused, and that nothing came of it.
    fn bad(&mut self, request: &ConsumerGroupHeartbeatRequest) -> (ErrorCode, String) {
        let before = (durable(&self.group), self.log.len());
        let response = self.beat(request);
        assert_eq!((durable(&self.group), self.log.len()), before, "a refusal changes nothing");
        (response.error_code, response.error_message.expect("an error has its words"))
    }

    fn timer(&mut self) -> Vec<GroupRecord> {
        self.step(|group, at, _| group.timer(at)).records
    }

    fn topic(&self, name: &str) -> Uuid {
        self.world.named(name).expect("a topic").0
    }

    /// Partitions as a heartbeat tells them.
    fn list(&self, topics: &[(&str, &[i32])]) -> Vec<TopicPartitions> {
        let one = |(name, partitions): &(&str, &[i32])| TopicPartitions {
            topic_id: self.topic(name),
            partitions: partitions.to_vec(),
        };
        topics.iter().map(one).collect()
    }
}

/// A heartbeat that says nothing but who it is from.
fn alive(member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: "g".to_string(),
        member_id: member.to_string(),
        member_epoch: epoch,
        ..Default::default()
    }
}

fn join(member: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(topics.iter().map(|topic| topic.to_string()).collect()),
        topic_partitions: Some(Vec::new()),
        ..alive(member, 0)
    }
}

fn owning(member: &str, epoch: i32, owned: Vec<TopicPartitions>) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest { topic_partitions: Some(owned), ..alive(member, epoch) }
}

fn assigned(response: &ConsumerGroupHeartbeatResponse) -> Vec<TopicPartitions> {
    response.assignment.clone().expect("an assignment").topic_partitions
}

fn read_back(log: &[GroupRecord]) -> ConsumerGroup {
    let mut group = ConsumerGroup::new("g");
    for record in log {
        group.replay(record);
    }
    group
}

impl ConsumerGroup {
    /// What a restart keeps of a group, in words that can be compared.
    pub(crate) fn durable(&self) -> String {
        let owners: BTreeMap<_, _> = self.owners.iter().collect();
        format!(
            "{:?}",
            (
                (self.recorded, self.epoch, self.metadata_hash, self.target_epoch),
                (self.target_ms, self.has_partition_metadata, &self.members),
                (&self.target, &self.resolved, &self.static_members, owners),
                (&self.topics, &self.regexes, &self.assignors),
                (self.classic_members, &self.classic_protocols, self.bytes),
            )
        )
    }
}

fn durable(group: &ConsumerGroup) -> String {
    group.durable()
}

/// What kinds of records, in order.
fn kinds(records: &[GroupRecord]) -> Vec<&'static str> {
    let kind = |record: &GroupRecord| match record {
        GroupRecord::ConsumerGroupMetadata { value: Some(_), .. } => "epoch",
        GroupRecord::ConsumerGroupMetadata { .. } => "-epoch",
        GroupRecord::ConsumerGroupPartitionMetadata { .. } => "-partitions",
        GroupRecord::ConsumerGroupMemberMetadata { value: Some(_), .. } => "member",
        GroupRecord::ConsumerGroupMemberMetadata { .. } => "-member",
        GroupRecord::ConsumerGroupTargetAssignmentMetadata { value: Some(_), .. } => "target epoch",
        GroupRecord::ConsumerGroupTargetAssignmentMetadata { .. } => "-target epoch",
        GroupRecord::ConsumerGroupTargetAssignmentMember { value: Some(_), .. } => "target",
        GroupRecord::ConsumerGroupTargetAssignmentMember { .. } => "-target",
        GroupRecord::ConsumerGroupCurrentMemberAssignment { value: Some(_), .. } => "current",
        GroupRecord::ConsumerGroupCurrentMemberAssignment { .. } => "-current",
        GroupRecord::ConsumerGroupRegularExpression { value: Some(_), .. } => "regex",
        GroupRecord::ConsumerGroupRegularExpression { .. } => "-regex",
        _ => "other",
    };
    records.iter().map(kind).collect()
}

/// No two members have one partition.
fn check_owners(group: &ConsumerGroup) {
    let mut seen = BTreeSet::new();
    for member in group.members.values() {
        for (topic, of_topic) in member.assigned.iter().chain(&member.revoking) {
            for partition in of_topic.keys() {
                assert!(seen.insert((*topic, *partition)), "{} has what another has", member.id);
            }
        }
    }
}
