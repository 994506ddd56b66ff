//! The groups of one partition of `__consumer_offsets`, of both kinds, and committed offsets.
//!
//! ```text
//!  replay (records, markers) ─► loaded ─► step, timer ─► Output: records, then commands
//!                                              ▲                     │ records in the log?
//!                                              └─── the runtime ◄────┘ then commands
//! ```
//!
//! * [`classic`], [`consumer`]: the state machines of one group; [`kind`]: a group of any kind.
//! * [`members`], [`consumers`]: what members ask for, on its way to their group.
//! * [`offsets`], [`commit`], [`fetch`], [`expire`]: offsets, from commit to end.
//! * [`admin`]: lists, descriptions, deletions.
//!
//! Invariants:
//! - No clock, no I/O, no random source: time and ids come in.
//! - A decision holds as soon as it is made, and is told when its records are durable. Who cannot
//!   make them durable throws everything away and reads the log again.
//! - What is in the log reads back as what is here: members of groups that are on their way to
//!   their next generation, and ids given out ahead, are not in the log, as in Kafka.
//! - Every ticket is answered once.
//! - What is kept is bounded by [`GroupConfig::memory_bytes_max`]; a member has at most one
//!   JoinGroup and one SyncGroup that wait.

mod admin;
pub mod assignor;
mod classic;
mod commit;
mod config;
pub mod consumer;
mod consumers;
mod event;
mod expire;
mod fetch;
mod kind;
mod members;
mod offsets;
mod records;
mod timers;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use ringlog_wire::Uuid;
use ringlog_wire::api::heartbeat::HeartbeatResponse;

pub use admin::Filters;
use classic::{ClassicGroup, Joining, Turn};
pub use config::GroupConfig;
use consumers::Beat;
pub use event::{Client, Command, DeletedTopic, Event, Output, Response};
use kind::Group;
use offsets::{Committed, Offsets};
pub use records::GroupRecord;
use timers::{Timer, Timers};

use crate::coordinator::{Ticket, TopicsView};

/// Timers that one call of [`Groups::timer`] handles; the rest is due at once again.
const TIMERS_PER_TURN: usize = 1_000;

/// How long a member's id may be, and a static member's name: they are kept in many tables and in
/// each record of the member. Kafka's own ids are 36 bytes, or a client id and 37.
pub(crate) const MEMBER_ID_BYTES_MAX: usize = 1 << 10;

/// When something happens, and what topics there are then.
#[derive(Clone, Copy)]
struct Now<'a> {
    now_ms: i64,
    topics: &'a dyn TopicsView,
}

/// The groups of one partition; see the module.
#[derive(Debug)]
pub struct Groups {
    config: GroupConfig,
    groups: BTreeMap<Arc<str>, Group>,
    groups_bytes: usize,
    offsets: Offsets,
    timers: Timers,
    sweep: expire::Sweep,
    /// Grows with the log.
    position: i64,
}

impl Groups {
    /// No groups, and nothing read yet.
    pub fn new(config: GroupConfig) -> Groups {
        Groups {
            config,
            groups: BTreeMap::new(),
            groups_bytes: 0,
            offsets: Offsets::default(),
            timers: Timers::default(),
            sweep: expire::Sweep::default(),
            position: -1,
        }
    }

    /// One record of the log, in its order. `producer` is its batch's, when that is transactional.
    pub fn replay(
        &mut self,
        record: GroupRecord,
        producer: Option<(i64, i16)>,
        offset: i64,
        _timestamp_ms: i64,
    ) {
        assert!(offset > self.position, "a log is read in its order");
        self.position = offset;
        self.apply(record, producer.map(|(producer_id, _)| producer_id));
    }

    /// One marker of the log, in its order.
    pub fn replay_marker(&mut self, producer_id: i64, committed: bool, offset: i64) {
        assert!(offset > self.position, "a log is read in its order");
        self.position = offset;
        self.offsets.end_transaction(producer_id, committed);
    }

    /// The log is read: the timers start.
    pub fn loaded(&mut self, now_ms: i64) -> Output {
        let mut out = Output::default();
        let Groups { config, groups, timers, .. } = self;
        for (id, group) in groups {
            match group {
                Group::Classic(group) => {
                    group.loaded(&mut Turn { now_ms, config, timers, out: &mut out });
                }
                Group::Consumer(group) => {
                    group.loaded(now_ms, config.consumer.session_timeout_ms);
                    consumers::set_timer(timers, id, group);
                }
            }
        }
        self.position += out.records.len() as i64;
        self.groups_bytes = self.groups.values().map(|group| group.any().bytes()).sum();
        let due_ms = now_ms.saturating_add(self.config.offsets_retention_check_ms.max(1));
        self.timers.set(Timer::Sweep, due_ms);
        out
    }

    /// Something happens.
    pub fn step(
        &mut self,
        now_ms: i64,
        event: Event,
        topics: &dyn TopicsView,
        ids: &mut dyn FnMut() -> Uuid,
    ) -> Output {
        let mut out = Output::default();
        let now = Now { now_ms, topics };
        match event {
            Event::Join { to, client, version, request } => {
                self.join(now, Joining::new(to, client, version, request), ids, &mut out);
            }
            Event::Sync { to, request } => self.sync(now, to, request, &mut out),
            Event::Heartbeat { to, request } => {
                let error_code = self.heartbeat(now, &request, &mut out);
                let response = HeartbeatResponse { error_code, ..Default::default() };
                out.reply(to, Response::Heartbeat(response));
            }
            Event::Leave { to, version, request } => {
                let response = self.leave(now, version, request, &mut out);
                out.reply(to, Response::Leave(response));
            }
            Event::ConsumerHeartbeat { to, client, version, request } => {
                let beat = Beat { client, version, request };
                let response = self.consumer_heartbeat(now, &beat, ids, &mut out);
                out.reply(to, Response::ConsumerHeartbeat(response));
            }
            Event::ConsumerDescribe { to, group_id } => {
                let response = self.describe_consumers(now, group_id);
                out.reply(to, Response::ConsumerDescribe(response));
            }
            Event::Commit { to, version, request } => {
                self.commit(now_ms, (to, version), request, topics, &mut out);
            }
            Event::TxnCommit { to, version, request } => {
                self.txn_commit(now_ms, (to, version), request, topics, &mut out);
            }
            Event::Fetch { to, version, require_stable, group } => {
                let response = self.fetch(version, require_stable, group, topics);
                out.reply(to, Response::Fetch(response));
            }
            Event::List { to, filters } => out.reply(to, Response::List(self.list(&filters))),
            Event::Describe { to, version, group_id } => {
                out.reply(to, Response::Describe(self.describe(version, group_id)));
            }
            Event::Delete { to, group_id } => {
                let response = self.delete(group_id, &mut out);
                out.reply(to, Response::Delete(response));
            }
            Event::DeleteOffsets { to, request } => {
                let response = self.delete_offsets(request, topics, &mut out);
                out.reply(to, Response::DeleteOffsets(response));
            }
            Event::EndTransaction { producer_id, committed, .. } => {
                self.position += 1;
                self.offsets.end_transaction(producer_id, committed);
            }
            Event::TopicsDeleted(deleted) => self.topics_deleted(now_ms, deleted),
        }
        out
    }

    /// What is due is done, or a bounded part of it.
    pub fn timer(&mut self, now_ms: i64, topics: &dyn TopicsView) -> Output {
        let mut out = Output::default();
        let (mut bytes, mut counted) = (0, 0);
        for _ in 0..TIMERS_PER_TURN {
            // Half a batch is left for what one timer may write.
            bytes += out.records[counted..].iter().map(records::bytes).sum::<usize>();
            counted = out.records.len();
            if bytes > self.config.batch_bytes_max / 2 {
                break;
            }
            let Some(timer) = self.timers.pop(now_ms) else { break };
            match timer {
                Timer::Sweep => {
                    self.sweep(now_ms, &mut out);
                    // It fills a batch.
                    break;
                }
                Timer::Join(id) => self.on_classic(now_ms, &id, &mut out, ClassicGroup::join_due),
                Timer::Sync(id) => self.on_classic(now_ms, &id, &mut out, ClassicGroup::sync_due),
                Timer::Member(id, member) => {
                    let due = |group: &mut ClassicGroup, turn: &mut Turn| {
                        group.member_due(turn, &member);
                    };
                    self.on_classic(now_ms, &id, &mut out, due);
                }
                Timer::Consumer(id) if !out.records.is_empty() => {
                    // It may fill a batch.
                    self.timers.set(Timer::Consumer(id), now_ms);
                    break;
                }
                Timer::Consumer(id) => {
                    if self.consumer_due(Now { now_ms, topics }, &id, &mut out) {
                        break;
                    }
                }
            }
        }
        out
    }

    /// When [`Groups::timer`] is to be called next.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.timers.next_ms()
    }

    /// Who waits: they are to be told that the coordinator is elsewhere.
    pub fn unload(&mut self) -> Vec<Ticket> {
        let groups = std::mem::take(&mut self.groups);
        self.groups_bytes = 0;
        let timers = &mut self.timers;
        groups
            .into_values()
            .flat_map(|group| match group {
                Group::Classic(group) => group.end(timers),
                Group::Consumer(group) => {
                    // Its members are answered at once: nobody waits.
                    timers.cancel(Timer::Consumer(group.id().into()));
                    Vec::new()
                }
            })
            .collect()
    }

    /// About how many bytes groups and offsets take in memory.
    pub fn bytes(&self) -> usize {
        self.groups_bytes + self.offsets.bytes()
    }

    /// From now on they may take so many ([`GroupConfig::memory_bytes_max`]).
    pub fn limit_bytes(&mut self, bytes_max: usize) {
        self.config.memory_bytes_max = bytes_max;
    }

    /// Records are decided: they hold at once.
    fn decide(&mut self, records: Vec<GroupRecord>, out: &mut Output) {
        let producer_id = out.transactional.map(|(producer_id, _)| producer_id);
        for record in &records {
            self.position += 1;
            self.apply(record.clone(), producer_id);
        }
        out.records.extend(records);
    }

    fn apply(&mut self, record: GroupRecord, producer_id: Option<i64>) {
        match record {
            GroupRecord::OffsetCommit { key, value: Some(value) }
            | GroupRecord::LegacyOffsetCommit { key, value: Some(value) } => {
                let group = self.group_of_commit(&key.group);
                let value = Committed::read(self.position, value);
                self.offsets.commit(&group, &key.topic, key.partition, value, producer_id);
            }
            GroupRecord::OffsetCommit { key, value: None }
            | GroupRecord::LegacyOffsetCommit { key, value: None } => {
                self.offsets.forget(&key.group, &key.topic, key.partition);
            }
            GroupRecord::GroupMetadata { key, value: Some(value) } => {
                let id: Arc<str> = key.group.into();
                self.remove_group(&id);
                self.insert(id.clone(), Group::Classic(Box::new(ClassicGroup::read(id, value))));
            }
            GroupRecord::GroupMetadata { key, value: None } => self.remove_group(&key.group),
            record => self.apply_consumer(&record),
        }
    }

    /// The group that a commit is for. One that is not there is made: it only has offsets.
    fn group_of_commit(&mut self, id: &str) -> Arc<str> {
        if let Some((id, _)) = self.groups.get_key_value(id) {
            return id.clone();
        }
        let id: Arc<str> = id.into();
        let group = ClassicGroup::new(id.clone(), None);
        self.insert(id.clone(), Group::Classic(Box::new(group)));
        id
    }

    fn insert(&mut self, id: Arc<str>, group: Group) {
        self.groups_bytes += group.any().bytes();
        let before = self.groups.insert(id, group);
        assert!(before.is_none(), "a group is there once");
    }

    /// A group goes; its offsets are another matter. Nobody waits in one that may go.
    fn remove_group(&mut self, id: &str) {
        let Some(group) = self.groups.remove(id) else { return };
        self.groups_bytes -= group.any().bytes();
        let waiting = match &group {
            Group::Classic(group) => group.end(&mut self.timers),
            Group::Consumer(_) => {
                self.timers.cancel(Timer::Consumer(id.into()));
                Vec::new()
            }
        };
        assert!(waiting.is_empty(), "who waits in a group keeps it");
    }

    /// Does something to a classic group that is there, and weighs it anew.
    fn on_classic(
        &mut self,
        now_ms: i64,
        id: &str,
        out: &mut Output,
        what: impl FnOnce(&mut ClassicGroup, &mut Turn),
    ) {
        let Groups { config, groups, timers, .. } = self;
        let Some(Group::Classic(group)) = groups.get_mut(id) else { return };
        let (bytes, records) = (group.bytes(), out.records.len());
        what(group, &mut Turn { now_ms, config, timers, out });
        self.groups_bytes = self.groups_bytes - bytes + group.bytes();
        self.position += (out.records.len() - records) as i64;
    }
}
