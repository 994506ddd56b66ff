//! Consumer groups among the groups of a partition: heartbeats, descriptions, and groups that
//! become ones of the other kind.
//!
//! Invariants:
//! - A consumer group's records hold in it before they are handed out: only what reads a log, and
//!   what ends groups, applies them here.
//! - Each consumer group with something due has its first deadline among the partition's timers.
//! - A group that a heartbeat makes, or changes the kind of, is put in only when the heartbeat is
//!   accepted; a refused one leaves everything as it was.

use std::sync::Arc;

use ringlog_wire::api::consumer_group_describe::DescribedGroup;
use ringlog_wire::api::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, EPOCH_JOIN, EPOCH_LEAVE,
};
use ringlog_wire::{ErrorCode, Uuid};

use super::classic::{ClassicGroup, Turn};
use super::consumer::{Answer, ConsumerGroup, Context, Downgrade, Member, Refusal};
use super::event::{Client, Output};
use super::kind::{AnyGroup, Group};
use super::records::{self, GroupRecord};
use super::timers::{Timer, Timers};
use super::{Groups, Now};

/// What a new member takes in memory at least, beside what it says.
const NEWCOMER_BYTES: usize = 2_048;
/// How often what a member says is kept: by member, by topic, in tables of both.
const COPIES: usize = 4;
/// What one text in a list takes beside its bytes.
const TEXT_BYTES: usize = 64;

/// A ConsumerGroupHeartbeat, and who sent it.
pub(super) struct Beat {
    pub client: Client,
    pub version: i16,
    pub request: ConsumerGroupHeartbeatRequest,
}

impl Beat {
    /// About how many bytes of its subscription are kept.
    fn said_bytes(&self) -> usize {
        let ConsumerGroupHeartbeatRequest {
            instance_id,
            rack_id,
            subscribed_topic_names,
            subscribed_topic_regex,
            server_assignor,
            ..
        } = &self.request;
        let topics = subscribed_topic_names.iter().flatten();
        let others = [instance_id, rack_id, subscribed_topic_regex, server_assignor];
        topics.chain(others.into_iter().flatten()).map(|text| text.len() + TEXT_BYTES).sum()
    }
}

/// As [`Beat::said_bytes`], of what a member has said before.
fn known_bytes(member: &Member) -> usize {
    let others = [&member.instance_id, &member.rack_id, &member.regex, &member.assignor];
    let texts = member.topics.iter().chain(others.into_iter().flatten());
    texts.map(|text| text.len() + TEXT_BYTES).sum()
}

fn not_found(message: String) -> Refusal {
    Refusal::new(ErrorCode::GroupIdNotFound, message)
}

impl Groups {
    pub(super) fn consumer_heartbeat(
        &mut self,
        now: Now<'_>,
        beat: &Beat,
        ids: &mut dyn FnMut() -> Uuid,
        out: &mut Output,
    ) -> ConsumerGroupHeartbeatResponse {
        self.try_heartbeat(now, beat, ids, out).unwrap_or_else(|refusal| {
            ConsumerGroupHeartbeatResponse {
                error_code: refusal.code,
                error_message: Some(refusal.message),
                ..Default::default()
            }
        })
    }

    fn try_heartbeat(
        &mut self,
        now: Now<'_>,
        beat: &Beat,
        ids: &mut dyn FnMut() -> Uuid,
        out: &mut Output,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let Beat { client, version, request } = beat;
        ConsumerGroup::check_heartbeat(*version, request, &self.config.consumer)?;
        let id = &request.group_id;
        if !self.has_room_for_beat(beat) {
            let message = "The coordinator has no room for more members.";
            return Err(Refusal::new(ErrorCode::CoordinatorNotAvailable, message));
        }
        let joins = request.member_epoch == EPOCH_JOIN;
        match self.groups.get(id.as_str()) {
            Some(Group::Consumer(_)) => Ok(self.on_consumer(now, id, out, |group, at| {
                group.heartbeat(at, client, *version, request, ids)
            })),
            _ if joins => self.begin_consumers(now, beat, ids, out),
            Some(Group::Classic(_)) => {
                Err(not_found(format!("Group {id} is not a consumer group.")))
            }
            None if request.member_epoch <= EPOCH_LEAVE => {
                Err(not_found(format!("Group {id} not found.")))
            }
            None => Err(not_found(format!("Consumer group {id} not found."))),
        }
    }

    /// Whether memory has room for what a heartbeat says. Newcomers leave a quarter to those who
    /// are there.
    fn has_room_for_beat(&self, beat: &Beat) -> bool {
        let request = &beat.request;
        if request.member_epoch <= EPOCH_LEAVE {
            return true;
        }
        let group = self.groups.get(request.group_id.as_str());
        let known = group.and_then(|group| match group {
            Group::Consumer(group) => group.members().get(&request.member_id),
            Group::Classic(_) => None,
        });
        let said = COPIES * beat.said_bytes();
        match known.map(|member| COPIES * known_bytes(member)) {
            Some(before) => {
                said <= before || self.bytes() + said - before <= self.config.memory_bytes_max
            }
            None => {
                let Client { id, host } = &beat.client;
                let names = request.group_id.len() + request.member_id.len();
                let bytes = NEWCOMER_BYTES + said + 8 * names + id.len() + host.len();
                self.bytes() + bytes <= self.config.memory_bytes_for_new()
            }
        }
    }

    /// Somebody joins what is no consumer group yet: one that is new, one that takes the place of
    /// a classic group that nobody is in, or one that a classic group with members becomes.
    fn begin_consumers(
        &mut self,
        now: Now<'_>,
        beat: &Beat,
        ids: &mut dyn FnMut() -> Uuid,
        out: &mut Output,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let Beat { client, version, request } = beat;
        let id = request.group_id.as_str();
        let at = Context { now_ms: now.now_ms, topics: now.topics, config: &self.config.consumer };
        let (mut group, mut records) = match self.groups.get(id) {
            Some(Group::Classic(classic)) if !AnyGroup::is_empty(&**classic) => {
                let (group, begins) = ConsumerGroup::from_classic(&at, &classic.snapshot())?;
                let mut records = classic.tombstones();
                records.extend(begins);
                (group, records)
            }
            Some(group) => (ConsumerGroup::new(id), group.any().tombstones()),
            None => (ConsumerGroup::new(id), Vec::new()),
        };
        let answer = group.heartbeat(&at, client, *version, request, ids);
        if !answer.response.error_code.is_none() {
            return Ok(answer.response);
        }
        assert!(answer.downgrade.is_none(), "who joins makes no classic group");
        assert!(group.is_recorded(), "who joins is written");
        records.extend(answer.records);
        if !records::fit(&records, self.config.batch_bytes_max) {
            let code = ErrorCode::UnknownServerError;
            return Err(Refusal::new(code, "The group's change is larger than a batch may be."));
        }
        self.make_way(now.now_ms, id, out);
        let id: Arc<str> = id.into();
        set_timer(&mut self.timers, &id, &group);
        self.insert(id, Group::Consumer(Box::new(group)));
        self.position += records.len() as i64;
        out.records.extend(records);
        Ok(answer.response)
    }

    /// A classic group goes, and who waits in it is told to join again.
    fn make_way(&mut self, now_ms: i64, id: &str, out: &mut Output) {
        let Some(group) = self.groups.remove(id) else { return };
        self.groups_bytes -= group.any().bytes();
        let Group::Classic(group) = group else { unreachable!("only classic groups make way") };
        let Groups { config, timers, .. } = self;
        group.make_way(&mut Turn { now_ms, config, timers, out });
    }

    /// Does something to a consumer group that is there, hands its records out, and weighs it anew.
    pub(super) fn on_consumer<R>(
        &mut self,
        now: Now<'_>,
        id: &str,
        out: &mut Output,
        what: impl FnOnce(&mut ConsumerGroup, &Context<'_>) -> Answer<R>,
    ) -> R {
        let Groups { config, groups, timers, .. } = self;
        let key = groups.get_key_value(id).map(|(key, _)| key.clone());
        let (Some(key), Some(Group::Consumer(group))) = (key, groups.get_mut(id)) else {
            unreachable!("it was looked up")
        };
        let at = Context { now_ms: now.now_ms, topics: now.topics, config: &config.consumer };
        let bytes = group.memory_bytes();
        let Answer { records, response, downgrade } = what(group, &at);
        self.groups_bytes = self.groups_bytes - bytes + group.memory_bytes();
        set_timer(timers, &key, group);
        self.position += records.len() as i64;
        out.records.extend(records);
        if let Some(downgrade) = downgrade {
            self.downgrade(now.now_ms, key, downgrade, out);
        }
        response
    }

    /// A consumer group has become a classic group; the records that end it are handed out.
    fn downgrade(&mut self, now_ms: i64, id: Arc<str>, downgrade: Downgrade, out: &mut Output) {
        self.remove_group(&id);
        let Downgrade { group, rebalance } = downgrade;
        let group = ClassicGroup::downgraded(id.clone(), group, now_ms);
        out.records.push(records::group(&id, Some(group.written())));
        self.position += 1;
        self.insert(id.clone(), Group::Classic(Box::new(group)));
        self.on_classic(now_ms, &id, out, |group, turn| group.follow(turn, rebalance));
    }

    /// [`Timer::Consumer`]. True when that may have taken a while.
    pub(super) fn consumer_due(&mut self, now: Now<'_>, id: &str, out: &mut Output) -> bool {
        let Some(Group::Consumer(group)) = self.groups.get(id) else { return false };
        let resolves = group.is_resolving();
        self.on_consumer(now, id, out, |group, at| group.timer(at));
        resolves
    }

    /// As ConsumerGroupDescribe shows a group.
    pub(super) fn describe_consumers(&self, now: Now<'_>, group_id: String) -> DescribedGroup {
        let refused = |error_code, message: String| {
            let group_id = group_id.clone();
            let error_message = Some(message).filter(|message| !message.is_empty());
            DescribedGroup { group_id, error_code, error_message, ..Default::default() }
        };
        if group_id.is_empty() {
            return refused(ErrorCode::InvalidGroupId, String::new());
        }
        let code = ErrorCode::GroupIdNotFound;
        match self.groups.get(group_id.as_str()) {
            Some(Group::Consumer(group)) => {
                let Now { now_ms, topics } = now;
                group.describe(&Context { now_ms, topics, config: &self.config.consumer })
            }
            Some(_) => refused(code, format!("Group {group_id} is not a consumer group.")),
            None => refused(code, format!("Group {group_id} not found.")),
        }
    }

    /// A record of a consumer group, as the log has it. What is written of a group makes it, in the
    /// place of one that only has offsets, or of one whose end was lost. An end of what is not
    /// there is passed over.
    pub(super) fn apply_consumer(&mut self, record: &GroupRecord) {
        let Some((id, has_value)) = group_of(record) else { return };
        if !matches!(self.groups.get(id), Some(Group::Consumer(_))) {
            if !has_value {
                return;
            }
            self.remove_group(id);
            self.insert(id.into(), Group::Consumer(Box::new(ConsumerGroup::new(id))));
        }
        if matches!(record, GroupRecord::ConsumerGroupMetadata { value: None, .. }) {
            return self.remove_group(id);
        }
        let Some(Group::Consumer(group)) = self.groups.get_mut(id) else {
            unreachable!("it was put in")
        };
        let bytes = group.memory_bytes();
        group.replay(record);
        self.groups_bytes = self.groups_bytes - bytes + group.memory_bytes();
    }
}

/// Puts a consumer group's first deadline among the partition's timers.
pub(super) fn set_timer(timers: &mut Timers, id: &Arc<str>, group: &ConsumerGroup) {
    match group.next_deadline_ms() {
        Some(at_ms) => timers.set(Timer::Consumer(id.clone()), at_ms),
        None => timers.cancel(Timer::Consumer(id.clone())),
    }
}

/// The consumer group that a record is of, and whether it has a value.
fn group_of(record: &GroupRecord) -> Option<(&str, bool)> {
    let (id, has_value) = match record {
        GroupRecord::ConsumerGroupMetadata { key, value } => (&key.group_id, value.is_some()),
        GroupRecord::ConsumerGroupPartitionMetadata { key, value } => {
            (&key.group_id, value.is_some())
        }
        GroupRecord::ConsumerGroupMemberMetadata { key, value } => (&key.group_id, value.is_some()),
        GroupRecord::ConsumerGroupTargetAssignmentMetadata { key, value } => {
            (&key.group_id, value.is_some())
        }
        GroupRecord::ConsumerGroupTargetAssignmentMember { key, value } => {
            (&key.group_id, value.is_some())
        }
        GroupRecord::ConsumerGroupCurrentMemberAssignment { key, value } => {
            (&key.group_id, value.is_some())
        }
        GroupRecord::ConsumerGroupRegularExpression { key, value } => {
            (&key.group_id, value.is_some())
        }
        _ => return None,
    };
    Some((id, has_value))
}
