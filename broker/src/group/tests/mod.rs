//! What the tests stand on: a clock, topics, ids, a log, and who waits.

mod both;
mod consumers;
mod expire;
mod heartbeat;
mod join;
mod junk;
mod limits;
mod migrate;
mod offsets;
mod replay;
mod sim;
mod statics;
mod sync;
mod txn;

use std::collections::BTreeMap;

use ringlog_wire::api::heartbeat::HeartbeatRequest;
use ringlog_wire::api::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use ringlog_wire::api::leave_group::{LeaveGroupRequest, MemberIdentity};
use ringlog_wire::api::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ringlog_wire::api::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use ringlog_wire::api::sync_group::{
    SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse,
};
use ringlog_wire::{ErrorCode, Uuid};

use super::classic::ClassicGroup;
use super::kind::Group;
use super::records::GroupMetadataValue;
use super::*;

/// A session, in milliseconds.
pub(super) const SESSION: i32 = 10_000;
/// What a rebalance may take, in milliseconds.
pub(super) const REBALANCE: i32 = 60_000;

/// Topics `a` (4 partitions), `b` (1): ids 1 and 2.
pub(super) struct Topics(pub BTreeMap<String, (Uuid, i32)>);

impl Topics {
    pub fn new() -> Topics {
        Topics(BTreeMap::from([("a".to_owned(), (uuid(1), 4)), ("b".to_owned(), (uuid(2), 1))]))
    }
}

impl TopicsView for Topics {
    fn named(&self, name: &str) -> Option<(Uuid, i32)> {
        self.0.get(name).copied()
    }

    fn with_id(&self, id: Uuid) -> Option<(&str, i32)> {
        let mut all = self.0.iter();
        all.find(|(_, (known, _))| *known == id).map(|(name, (_, count))| (name.as_str(), *count))
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.0.keys().map(String::as_str))
    }

    fn version(&self) -> i64 {
        self.0.values().map(|(_, count)| i64::from(*count)).sum()
    }

    fn created_version(&self) -> i64 {
        self.0.len() as i64
    }

    fn rack(&self) -> Option<&str> {
        None
    }
}

pub(super) fn uuid(number: u128) -> Uuid {
    Uuid(number.to_be_bytes())
}

/// What the log holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Entry {
    Record(Box<GroupRecord>, Option<(i64, i16)>),
    Marker(i64, bool),
}

impl Entry {
    pub fn record(record: GroupRecord, producer: Option<(i64, i16)>) -> Entry {
        Entry::Record(Box::new(record), producer)
    }
}

/// Reads a log.
pub(super) fn read(config: &GroupConfig, log: &[Entry]) -> Groups {
    let mut groups = Groups::new(config.clone());
    for (offset, entry) in log.iter().enumerate() {
        match entry.clone() {
            Entry::Record(record, producer) => groups.replay(*record, producer, offset as i64, 0),
            Entry::Marker(producer_id, committed) => {
                groups.replay_marker(producer_id, committed, offset as i64);
            }
        }
    }
    groups
}

/// What the log has of the classic groups: none for those that are between two generations.
pub(super) fn written(groups: &Groups) -> BTreeMap<String, Option<GroupMetadataValue>> {
    let tell = |group: &Group| match group {
        Group::Classic(group) => {
            let told = matches!(group.state().name(), "Empty" | "Stable");
            Some((group.id.to_string(), told.then(|| group.written())))
        }
        Group::Consumer(_) => None,
    };
    groups.groups.values().filter_map(tell).collect()
}

/// All that the log has of the consumer groups, in words.
pub(super) fn written_consumers(groups: &Groups) -> BTreeMap<String, String> {
    let tell = |group: &Group| match group {
        Group::Classic(_) => None,
        Group::Consumer(group) => Some((group.id().to_owned(), group.durable())),
    };
    groups.groups.values().filter_map(tell).collect()
}

/// One partition's groups, alone.
pub(super) struct Bench {
    pub groups: Groups,
    pub topics: Topics,
    pub now_ms: i64,
    pub log: Vec<Entry>,
    pub answers: BTreeMap<Ticket, Response>,
    tickets: u64,
    ids: u128,
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(GroupConfig::default())
    }

    pub fn with(config: GroupConfig) -> Bench {
        let mut bench = Bench {
            groups: Groups::new(config),
            topics: Topics::new(),
            now_ms: 1_000_000,
            log: Vec::new(),
            answers: BTreeMap::new(),
            tickets: 0,
            ids: 0,
        };
        let out = bench.groups.loaded(bench.now_ms);
        bench.take(out);
        bench
    }

    fn take(&mut self, out: Output) {
        let producer = out.transactional;
        assert!(producer.is_none() || !out.records.is_empty(), "a transaction of nothing");
        self.log.extend(out.records.into_iter().map(|record| Entry::record(record, producer)));
        for Command::Reply { to, response } in out.commands {
            assert!(to.0 <= self.tickets, "{to:?} was never given out");
            assert!(self.answers.insert(to, response).is_none(), "{to:?} is answered twice");
        }
        self.check();
    }

    /// What holds between any two steps.
    pub fn check(&self) {
        self.groups.offsets.check();
        let bytes: usize = self.groups.groups.values().map(|group| group.any().bytes()).sum();
        assert_eq!(bytes, self.groups.groups_bytes, "groups are weighed");
    }

    pub fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    pub fn step(&mut self, event: Event) {
        if let Event::EndTransaction { producer_id, committed, .. } = event {
            self.log.push(Entry::Marker(producer_id, committed));
        }
        let Bench { groups, topics, now_ms, ids, .. } = self;
        let mut ids = || {
            *ids += 1;
            uuid(*ids)
        };
        let out = groups.step(*now_ms, event, topics, &mut ids);
        self.take(out);
    }

    /// Time goes by, and what is due is done when it is.
    pub fn pass(&mut self, ms: i64) {
        let end_ms = self.now_ms + ms;
        while let Some(due_ms) = self.groups.next_deadline_ms().filter(|due_ms| *due_ms <= end_ms) {
            self.now_ms = self.now_ms.max(due_ms);
            let out = self.groups.timer(self.now_ms, &self.topics);
            self.take(out);
        }
        self.now_ms = end_ms;
    }

    /// The coordinator dies, and another reads the log.
    pub fn restart(&mut self) {
        let config = self.groups.config.clone();
        self.groups = read(&config, &self.log);
        let out = self.groups.loaded(self.now_ms);
        self.take(out);
    }

    pub fn join(&mut self, asks: Asks) -> Ticket {
        let to = self.ticket();
        let client = Client { id: "client".to_owned(), host: "/127.0.0.1".to_owned() };
        self.step(Event::Join { to, client, version: asks.version, request: asks.request });
        to
    }

    /// The answer to a JoinGroup.
    pub fn joined(&mut self, ticket: Ticket) -> JoinGroupResponse {
        match self.answers.remove(&ticket) {
            Some(Response::Join(response)) => response,
            other => panic!("{ticket:?} waits for its generation, and has {other:?}"),
        }
    }

    pub fn join_error(&mut self, asks: Asks) -> ErrorCode {
        let ticket = self.join(asks);
        self.joined(ticket).error_code
    }

    pub fn waits(&self, ticket: Ticket) -> bool {
        !self.answers.contains_key(&ticket)
    }

    pub fn sync(&mut self, who: &JoinGroupResponse, parts: &[(&str, &str)]) -> Ticket {
        let part = |(id, part): &(&str, &str)| SyncGroupRequestAssignment {
            member_id: (*id).to_owned(),
            assignment: part.as_bytes().to_vec(),
        };
        self.sync_of(SyncGroupRequest {
            group_id: "g".to_owned(),
            generation_id: who.generation_id,
            member_id: who.member_id.clone(),
            assignments: parts.iter().map(part).collect(),
            ..Default::default()
        })
    }

    pub fn sync_of(&mut self, request: SyncGroupRequest) -> Ticket {
        let to = self.ticket();
        self.step(Event::Sync { to, request });
        to
    }

    /// The answer to a SyncGroup.
    pub fn synced(&mut self, ticket: Ticket) -> SyncGroupResponse {
        match self.answers.remove(&ticket) {
            Some(Response::Sync(response)) => response,
            other => panic!("{ticket:?} waits for its part, and has {other:?}"),
        }
    }

    /// A member of version 3, which needs no second request.
    pub fn newcomer(&mut self) -> Ticket {
        self.join(asks("").version(3))
    }

    /// A stable group `g` of so many members: the answers to their JoinGroups, the leader first.
    pub fn stable(&mut self, count: usize) -> Vec<JoinGroupResponse> {
        let tickets: Vec<Ticket> = (0..count).map(|_| self.newcomer()).collect();
        self.pass(6_000);
        let mut told: Vec<_> = tickets.into_iter().map(|ticket| self.joined(ticket)).collect();
        told.sort_by_key(|member| member.leader != member.member_id);
        let ids: Vec<String> = told.iter().map(|member| member.member_id.clone()).collect();
        let parts: Vec<_> = ids.iter().map(|id| (id.as_str(), id.as_str())).collect();
        let syncs: Vec<Ticket> = told.iter().map(|member| self.sync(member, &parts)).collect();
        for (ticket, id) in syncs.into_iter().zip(&ids) {
            assert_eq!(self.synced(ticket).assignment, id.as_bytes());
        }
        assert_eq!(self.state(), "Stable");
        told
    }

    pub fn group(&self) -> &ClassicGroup {
        match &self.groups.groups["g"] {
            Group::Classic(group) => group,
            Group::Consumer(_) => panic!("g is a consumer group"),
        }
    }

    pub fn state(&self) -> &'static str {
        self.group().state().name()
    }

    pub fn heartbeat(&mut self, who: &JoinGroupResponse) -> ErrorCode {
        let to = self.ticket();
        let request = HeartbeatRequest {
            group_id: "g".to_owned(),
            generation_id: who.generation_id,
            member_id: who.member_id.clone(),
            ..Default::default()
        };
        self.step(Event::Heartbeat { to, request });
        match self.answers.remove(&to) {
            Some(Response::Heartbeat(response)) => response.error_code,
            other => panic!("a heartbeat is answered at once, not {other:?}"),
        }
    }

    /// Commits, and says what each partition is told.
    pub fn commit(&mut self, version: i16, request: OffsetCommitRequest) -> Vec<(i32, ErrorCode)> {
        let to = self.ticket();
        self.step(Event::Commit { to, version, request });
        match self.answers.remove(&to) {
            Some(Response::Commit(response)) => {
                let partitions = response.topics.into_iter().flat_map(|topic| topic.partitions);
                partitions.map(|told| (told.partition_index, told.error_code)).collect()
            }
            other => panic!("a commit is answered at once, not {other:?}"),
        }
    }

    /// What is told of partitions of a topic.
    pub fn fetch(
        &mut self,
        topic: &str,
        partitions: &[i32],
        stable: bool,
    ) -> Vec<(i64, ErrorCode)> {
        let to = self.ticket();
        let topic = OffsetFetchRequestTopics {
            name: topic.to_owned(),
            partition_indexes: partitions.to_vec(),
            ..Default::default()
        };
        let group = OffsetFetchRequestGroup {
            group_id: "g".to_owned(),
            topics: Some(vec![topic]),
            ..Default::default()
        };
        self.step(Event::Fetch { to, version: 8, require_stable: stable, group });
        match self.answers.remove(&to) {
            Some(Response::Fetch(response)) => {
                let partitions = response.topics.into_iter().flat_map(|topic| topic.partitions);
                partitions.map(|told| (told.committed_offset, told.error_code)).collect()
            }
            other => panic!("a fetch is answered at once, not {other:?}"),
        }
    }
}

/// A JoinGroup in the making.
pub(super) struct Asks {
    pub version: i16,
    pub request: JoinGroupRequest,
}

/// A JoinGroup of group `g` of a consumer that can `range`, in the last version.
pub(super) fn asks(member_id: &str) -> Asks {
    let request = JoinGroupRequest {
        group_id: "g".to_owned(),
        session_timeout_ms: SESSION,
        rebalance_timeout_ms: REBALANCE,
        member_id: member_id.to_owned(),
        protocol_type: "consumer".to_owned(),
        ..Default::default()
    };
    Asks { version: 9, request }.protocols(&["range"])
}

impl Asks {
    pub fn version(self, version: i16) -> Asks {
        Asks { version, ..self }
    }

    pub fn protocols(mut self, names: &[&str]) -> Asks {
        let protocol = |name: &&str| JoinGroupRequestProtocol {
            name: (*name).to_owned(),
            metadata: format!("\0\0\0\0\0\x01\0\x01a\0\0\0\0{name}").into_bytes(),
        };
        self.request.protocols = names.iter().map(protocol).collect();
        self
    }

    pub fn instance(mut self, name: &str) -> Asks {
        self.request.group_instance_id = Some(name.to_owned());
        self
    }

    pub fn with(mut self, change: impl FnOnce(&mut JoinGroupRequest)) -> Asks {
        change(&mut self.request);
        self
    }
}

/// An OffsetCommit of nobody for group `g`.
pub(super) fn commits(topic: &str, partitions: &[(i32, i64)]) -> OffsetCommitRequest {
    let partition = |(at, offset): &(i32, i64)| OffsetCommitRequestPartition {
        partition_index: *at,
        committed_offset: *offset,
        ..Default::default()
    };
    let partitions = partitions.iter().map(partition).collect();
    let topic =
        OffsetCommitRequestTopic { name: topic.to_owned(), partitions, ..Default::default() };
    OffsetCommitRequest { group_id: "g".to_owned(), topics: vec![topic], ..Default::default() }
}
