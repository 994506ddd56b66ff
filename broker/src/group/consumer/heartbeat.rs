//! ConsumerGroupHeartbeat: a member joins, stays, changes its mind, or leaves.

use std::collections::BTreeMap;

use ringlog_wire::api::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, EPOCH_JOIN,
    EPOCH_LEAVE, EPOCH_LEAVE_STATIC, TopicPartitions,
};
use ringlog_wire::records::group::GroupRecord;
use ringlog_wire::{ErrorCode, Uuid};

use super::member::{Epochs, LEAVE_GROUP_STATIC_EPOCH, Member, MemberState};
use super::reconcile::Goal;
use super::target::{Bumped, Change};
use super::timers::TimerKind;
use super::{Answer, Client, ConsumerGroup, ConsumerGroupConfig, Refusal, check, records, resolve};
use crate::coordinator::TopicsView;
use crate::group::assignor::Partitions;

/// When and where a step happens.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The time, in milliseconds since 1970.
    pub now_ms: i64,
    /// The topics.
    pub topics: &'a dyn TopicsView,
    /// The settings of this group.
    pub config: &'a ConsumerGroupConfig,
}

/// A step that has been decided.
pub(super) struct Decided {
    pub records: Vec<GroupRecord>,
    /// The member after it.
    pub member: Member,
    /// The member's assignment is not the one before.
    pub assignment_changed: bool,
    /// The member's current assignment was written.
    pub reconciled: bool,
    pub resolve: Option<resolve::Resolving>,
}

/// What a member is to be like, and what it says that it has.
pub(super) struct Wish<'a> {
    pub before: Member,
    pub after: Member,
    pub owned: Option<&'a [TopicPartitions]>,
    /// Records that come before.
    pub records: Vec<GroupRecord>,
    /// Any change of the expression begins an epoch, be it resolved or not.
    pub regex_bumps: bool,
}

/// The subscription's part of a step.
pub(super) struct Subscribed {
    pub records: Vec<GroupRecord>,
    pub bumped: Bumped,
    /// The member's subscription is another.
    pub changed: bool,
    pub resolve: Option<resolve::Resolving>,
}

impl ConsumerGroup {
    /// A heartbeat. A group made for it, and still not [`ConsumerGroup::is_recorded`] afterwards,
    /// is to be forgotten. `ids` makes member ids, for members that speak version 0.
    pub fn heartbeat(
        &mut self,
        at: &Context<'_>,
        client: &Client,
        version: i16,
        request: &ConsumerGroupHeartbeatRequest,
        ids: &mut dyn FnMut() -> Uuid,
    ) -> Answer<ConsumerGroupHeartbeatResponse> {
        let answer =
            Self::check_heartbeat(version, request, at.config).and_then(|()| {
                match request.member_epoch {
                    EPOCH_LEAVE | EPOCH_LEAVE_STATIC => self.leave(at, request),
                    _ => self.stay(at, client, request, ids),
                }
            });
        answer.unwrap_or_else(|refusal| {
            Answer::only(ConsumerGroupHeartbeatResponse {
                error_code: refusal.code,
                error_message: Some(refusal.message),
                ..ConsumerGroupHeartbeatResponse::default()
            })
        })
    }

    fn stay(
        &mut self,
        at: &Context<'_>,
        client: &Client,
        request: &ConsumerGroupHeartbeatRequest,
        ids: &mut dyn FnMut() -> Uuid,
    ) -> Result<Answer<ConsumerGroupHeartbeatResponse>, Refusal> {
        let joins = request.member_epoch == EPOCH_JOIN;
        self.check_size(&request.member_id, request.instance_id.as_deref(), at.config)?;
        let id = match request.member_id.as_str() {
            "" => ids().to_string(),
            id => id.to_string(),
        };
        let mut records = Vec::new();
        let before = match &request.instance_id {
            None => self.dynamic_member(&id, request)?,
            Some(instance) => self.joining_or_static(&id, instance, request, &mut records)?,
        };
        let after = updated(&before, client, request);
        let owned = request.topic_partitions.as_deref();
        let wish = Wish { before, after, owned, records, regex_bumps: false };
        let decided = self.decide(at, wish)?;
        self.check_batch(&decided.records, at.config)?;

        let member = &decided.member;
        let is_full = request.rebalance_timeout_ms != -1
            && (request.subscribed_topic_names.is_some()
                || request.subscribed_topic_regex.is_some())
            && request.topic_partitions.is_some();
        let tells = joins || is_full || decided.assignment_changed;
        let response = ConsumerGroupHeartbeatResponse {
            member_id: Some(member.id.clone()),
            member_epoch: member.epoch,
            heartbeat_interval_ms: at.config.heartbeat_interval_ms,
            assignment: tells.then(|| assignment(&member.assigned)),
            ..ConsumerGroupHeartbeatResponse::default()
        };
        let (records, member) = self.carry_out(at, decided);
        let session_ms = i64::from(at.config.session_timeout_ms);
        self.timers.set(&member.id, TimerKind::Session, at.now_ms + session_ms);
        self.timers.cancel(&member.id, TimerKind::Join);
        self.timers.cancel(&member.id, TimerKind::Sync);
        Ok(Answer { records, response, downgrade: None })
    }

    /// Writes what changes, from the subscription to the member's assignment.
    pub(super) fn decide(&self, at: &Context<'_>, wish: Wish<'_>) -> Result<Decided, Refusal> {
        let Wish { before, after, owned, .. } = &wish;
        let change = Change { before, after };
        let Subscribed { mut records, bumped, changed, resolve } = self.subscribe(at, &wish)?;
        let (target_epoch, target) = self.update_target(at, &bumped, change, &mut records);
        let member = self.reconcile(at, after, target_epoch, &target, changed, *owned)?;
        let reconciled = member != *after;
        if reconciled {
            records.push(records::assignment(&self.id, &member));
        }
        let assignment_changed = before.assigned != member.assigned;
        Ok(Decided { records, member, assignment_changed, reconciled, resolve })
    }

    /// Writes what changes of the subscription, and the group's epoch.
    pub(super) fn subscribe(
        &self,
        at: &Context<'_>,
        wish: &Wish<'_>,
    ) -> Result<Subscribed, Refusal> {
        let change = Change { before: &wish.before, after: &wish.after };
        let mut records = wish.records.clone();
        if wish.before != wish.after {
            records.push(records::member_metadata(&self.id, &wish.after));
        }
        let names_changed = wish.before.topics != wish.after.topics;
        let regex = self.change_regex(at, change, &mut records)?;
        let regex_bumps = if wish.regex_bumps { regex.changed } else { regex.resolved };
        let bumped = self.bump_epoch(at, change, names_changed || regex_bumps, &mut records);
        let changed = names_changed || regex.changed;
        Ok(Subscribed { records, bumped, changed, resolve: regex.resolve })
    }

    pub(super) fn reconcile(
        &self,
        at: &Context<'_>,
        member: &Member,
        target_epoch: i32,
        target: &Partitions,
        subscription_changed: bool,
        owned: Option<&[TopicPartitions]>,
    ) -> Result<Member, Refusal> {
        if !subscription_changed && member.is_reconciled_to(target_epoch) {
            return Ok(member.clone());
        }
        let goal = Goal {
            epoch: target_epoch,
            target,
            subscribed: self.subscribed_topics(member, at.topics).into_keys().collect(),
            subscription_changed,
            owned,
            is_held: &|topic, partition| self.owner(topic, partition).is_some(),
        };
        goal.reconcile(member)
    }

    /// Applies a decided step, and sets its timers but for the member's session.
    pub(super) fn carry_out(
        &mut self,
        at: &Context<'_>,
        decided: Decided,
    ) -> (Vec<GroupRecord>, Member) {
        let Decided { records, member, reconciled, resolve, .. } = decided;
        self.apply(&records);
        self.compared_version = Some(at.topics.version());
        self.resolving = self.resolving.take().or(resolve);
        if reconciled && !member.is_classic() {
            self.expect_rebalance(at.now_ms, &member);
        }
        (records, member)
    }

    /// Sets or takes back the time that a member has to give partitions up.
    pub(super) fn expect_rebalance(&mut self, now_ms: i64, member: &Member) {
        let kind = TimerKind::Rebalance { epoch: member.epoch };
        if member.state == MemberState::UnrevokedPartitions {
            let timeout_ms = i64::from(member.rebalance_timeout_ms);
            self.timers.set(&member.id, kind, now_ms + timeout_ms);
        } else {
            self.timers.cancel(&member.id, kind);
        }
    }

    pub(super) fn apply(&mut self, records: &[GroupRecord]) {
        for record in records {
            self.replay(record);
        }
    }

    fn dynamic_member(
        &self,
        id: &str,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<Member, Refusal> {
        let member = match self.members.get(id) {
            Some(member) => member.clone(),
            None if request.member_epoch == EPOCH_JOIN => return Ok(Member::new(id)),
            None => return Err(self.member(id).expect_err("there is no such member")),
        };
        check::member_epoch(&member, request.member_epoch, request.topic_partitions.as_deref())?;
        Ok(member)
    }

    fn joining_or_static(
        &self,
        id: &str,
        instance_id: &str,
        request: &ConsumerGroupHeartbeatRequest,
        records: &mut Vec<GroupRecord>,
    ) -> Result<Member, Refusal> {
        if request.member_epoch == EPOCH_JOIN {
            return self.joining_static_member(id, instance_id, false, records);
        }
        let existing =
            self.static_member(instance_id).ok_or_else(|| check::unknown_instance(instance_id))?;
        check::instance_not_fenced(existing, id, instance_id)?;
        let owned = request.topic_partitions.as_deref();
        check::member_epoch(existing, request.member_epoch, owned)?;
        Ok(existing.clone())
    }

    /// A static member joins: as a new one, or in the place of one that has left for a while. A
    /// member of the classic protocol, whichever side it is on, is replaced without having left.
    pub(super) fn joining_static_member(
        &self,
        id: &str,
        instance_id: &str,
        classic: bool,
        records: &mut Vec<GroupRecord>,
    ) -> Result<Member, Refusal> {
        let Some(existing) = self.static_member(instance_id) else {
            return Ok(self.members.get(id).cloned().unwrap_or_else(|| Member::new(id)));
        };
        if !classic && !existing.is_classic() {
            check::instance_released(existing, id, instance_id)?;
        }
        let mut member = existing.clone();
        member.id = id.to_string();
        member.epoch = 0;
        member.previous_epoch = 0;
        records::remove_member(&self.id, &existing.id, records);
        records.push(records::member_metadata(&self.id, &member));
        let target = self.target.get(&existing.id).cloned().unwrap_or_default();
        records.push(records::target(&self.id, id, &target));
        records.push(records::assignment(&self.id, &member));
        Ok(member)
    }

    fn leave(
        &mut self,
        at: &Context<'_>,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<Answer<ConsumerGroupHeartbeatResponse>, Refusal> {
        let member = match request.instance_id.as_deref() {
            None => self.member(&request.member_id)?,
            Some(instance) => {
                let member = self
                    .static_member(instance)
                    .ok_or_else(|| check::unknown_instance(instance))?;
                check::instance_not_fenced(member, &request.member_id, instance)?;
                member
            }
        };
        let response = ConsumerGroupHeartbeatResponse {
            member_id: Some(request.member_id.clone()),
            member_epoch: request.member_epoch,
            ..ConsumerGroupHeartbeatResponse::default()
        };
        if request.instance_id.is_some() && request.member_epoch == EPOCH_LEAVE_STATIC {
            let records = vec![records::assignment(&self.id, &gone_for_a_while(member))];
            self.apply(&records);
            return Ok(Answer { records, response, downgrade: None });
        }
        let gone = [member.id.clone()].into();
        let fenced = self.fence(at, &gone)?;
        Ok(Answer { records: fenced.records, response, downgrade: fenced.downgrade })
    }

    /// UNKNOWN_SERVER_ERROR, as Kafka answers RECORD_LIST_TOO_LARGE, if the log would not take the
    /// records: what is decided here cannot be taken back later.
    pub(super) fn check_batch(
        &self,
        records: &[GroupRecord],
        config: &ConsumerGroupConfig,
    ) -> Result<(), Refusal> {
        if batch_bytes(records) <= config.batch_bytes_max {
            return Ok(());
        }
        let code = ErrorCode::UnknownServerError;
        Err(Refusal::new(code, "The change of the group is larger than a batch may be."))
    }
}

/// About how many bytes the records take in a batch, rather more than less.
pub(super) fn batch_bytes(records: &[GroupRecord]) -> usize {
    /// A record's lengths, deltas and attributes.
    const RECORD_OVERHEAD: usize = 24;
    /// A batch's header.
    const BATCH_OVERHEAD: usize = 61;
    let mut bytes = Vec::new();
    for record in records {
        let mut value = Vec::new();
        record.encode(&mut bytes, &mut value);
        bytes.append(&mut value);
    }
    bytes.len() + records.len() * RECORD_OVERHEAD + BATCH_OVERHEAD
}

/// A static member that has left and means to come back keeps its partitions; those that it was to
/// give up are free.
fn gone_for_a_while(member: &Member) -> Member {
    let mut gone = member.clone();
    gone.epoch = LEAVE_GROUP_STATIC_EPOCH;
    gone.revoking.clear();
    for epoch in gone.assigned.values_mut().flat_map(|of_topic| of_topic.values_mut()) {
        *epoch = 0;
    }
    gone
}

fn updated(before: &Member, client: &Client, request: &ConsumerGroupHeartbeatRequest) -> Member {
    let mut member = before.clone();
    let or_before = |said: &Option<String>, before: Option<String>| said.clone().or(before);
    member.instance_id = or_before(&request.instance_id, member.instance_id);
    member.rack_id = or_before(&request.rack_id, member.rack_id);
    member.assignor = or_before(&request.server_assignor, member.assignor);
    member.regex = or_before(&request.subscribed_topic_regex, member.regex);
    if request.rebalance_timeout_ms != -1 {
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if let Some(topics) = &request.subscribed_topic_names {
        member.topics = topics.iter().cloned().collect();
    }
    member.client_id = client.id.clone();
    member.client_host = client.host.clone();
    member.classic = None;
    member
}

fn assignment(assigned: &Epochs) -> Assignment {
    let of_topic = |(topic, of): (&Uuid, &BTreeMap<i32, i32>)| TopicPartitions {
        topic_id: *topic,
        partitions: of.keys().copied().collect(),
    };
    Assignment { topic_partitions: assigned.iter().map(of_topic).collect() }
}
