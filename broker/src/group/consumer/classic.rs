//! Members of a consumer group that speak the classic protocol: a rolling upgrade, seen from the
//! group. They join and sync without waiting for each other; the broker assigns for them too.

use std::collections::BTreeSet;

use ringlog_wire::ErrorCode;
use ringlog_wire::Uuid;
use ringlog_wire::api::consumer_group_heartbeat::TopicPartitions;
use ringlog_wire::api::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use ringlog_wire::api::join_group::{JoinGroupRequest, JoinGroupResponse};
use ringlog_wire::api::leave_group::{
    LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse,
};
use ringlog_wire::api::sync_group::{SyncGroupRequest, SyncGroupResponse};
use ringlog_wire::consumer_protocol::{self, ConsumerProtocolSubscription, PROTOCOL_TYPE};
use ringlog_wire::records::group::{ClassicMemberMetadata, ClassicProtocol};

use super::heartbeat::{Context, Wish};
use super::member::{Member, MemberState};
use super::timers::TimerKind;
use super::{Answer, Client, ConsumerGroup, MigrationPolicy, Refusal, check, migrate};

/// The JoinGroup version from which on a dynamic member has its id before it joins.
const MEMBER_ID_REQUIRED_VERSION: i16 = 4;

/// A classic member's join, read.
struct Join<'a> {
    request: &'a JoinGroupRequest,
    client: &'a Client,
    subscription: ConsumerProtocolSubscription,
    owned: Vec<TopicPartitions>,
    rebalance_timeout_ms: i32,
}

impl ConsumerGroup {
    /// JoinGroup to a group that has members. (An empty group is ended by its
    /// [`ConsumerGroup::tombstones`], and a classic group begins.) INCONSISTENT_GROUP_PROTOCOL,
    /// GROUP_MAX_SIZE_REACHED, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID.
    pub fn classic_join(
        &mut self,
        at: &Context<'_>,
        client: &Client,
        version: i16,
        request: &JoinGroupRequest,
        ids: &mut dyn FnMut() -> Uuid,
    ) -> Result<Answer<JoinGroupResponse>, Refusal> {
        self.check_join(at, request)?;
        let is_new = request.member_id.is_empty();
        let id = if is_new { ids().to_string() } else { request.member_id.clone() };
        let instance_id = request.group_instance_id.as_deref();
        self.check_size(&id, instance_id, at.config)?;
        self.check_protocols(&id, request)?;
        if is_new && instance_id.is_none() && version >= MEMBER_ID_REQUIRED_VERSION {
            return Ok(Answer::only(JoinGroupResponse {
                error_code: ErrorCode::MemberIdRequired,
                member_id: id,
                ..JoinGroupResponse::default()
            }));
        }
        let mut records = Vec::new();
        let before = match instance_id {
            None => self.members.get(&id).cloned().unwrap_or_else(|| Member::new(&id)),
            Some(instance) if is_new => {
                self.joining_static_member(&id, instance, true, &mut records)?
            }
            Some(instance) => self.validated_static(&id, instance)?.clone(),
        };
        let replaced = instance_id.and_then(|instance| self.static_member(instance));
        let downgrades = replaced.is_some_and(|member| self.becomes_classic_with(at, member));
        let join = read_join(at, client, request)?;
        let after = joined(&before, &join);
        let owned = Some(join.owned.as_slice());
        let wish = Wish { before, after, owned, records, regex_bumps: true };
        if downgrades {
            return self.join_and_downgrade(at, wish);
        }
        let decided = self.decide(at, wish)?;
        self.check_batch(&decided.records, at.config)?;
        let (records, member) = self.carry_out(at, decided);
        self.expect_classic(at.now_ms, &member, &join);
        Ok(Answer { records, response: join_response(&member), downgrade: None })
    }

    fn check_join(&self, at: &Context<'_>, request: &JoinGroupRequest) -> Result<(), Refusal> {
        if at.config.migration_policy != MigrationPolicy::Disabled {
            return Ok(());
        }
        let message = format!(
            "Cannot join the consumer group {} with the classic protocol because the group \
             migration is disabled.",
            request.group_id
        );
        Err(Refusal::new(ErrorCode::InconsistentGroupProtocol, message))
    }

    fn check_protocols(&self, id: &str, request: &JoinGroupRequest) -> Result<(), Refusal> {
        let of_all = |name: &str| {
            self.classic_protocols.get(name).copied().unwrap_or(0) == self.classic_members
        };
        let supported = request.protocol_type == PROTOCOL_TYPE
            && request.protocols.iter().any(|protocol| of_all(&protocol.name));
        if supported {
            return Ok(());
        }
        let message = format!("Member {id}'s protocols are not supported.");
        Err(Refusal::new(ErrorCode::InconsistentGroupProtocol, message))
    }

    fn expect_classic(&mut self, now_ms: i64, member: &Member, join: &Join<'_>) {
        let session_ms = i64::from(join.request.session_timeout_ms);
        let sync_ms = i64::from(join.rebalance_timeout_ms);
        self.timers.cancel(&member.id, TimerKind::Join);
        self.timers.cancel(&member.id, TimerKind::Rebalance { epoch: 0 });
        self.timers.set(&member.id, TimerKind::Session, now_ms + session_ms);
        self.timers.set(&member.id, TimerKind::Sync, now_ms + sync_ms);
    }

    /// The last member of the new protocol, a static one, comes back with the classic protocol.
    fn join_and_downgrade(
        &mut self,
        at: &Context<'_>,
        wish: Wish<'_>,
    ) -> Result<Answer<JoinGroupResponse>, Refusal> {
        let subscribed = self.subscribe(at, &wish)?;
        let (mut records, mut member) = (subscribed.records, wish.after);
        let rebalance = self.target_epoch < subscribed.bumped.epoch;
        if !rebalance {
            let target = self.target_of(&member);
            let changed = subscribed.changed;
            let next =
                self.reconcile(at, &member, self.target_epoch, &target, changed, wish.owned)?;
            if next != member {
                records.push(super::records::assignment(&self.id, &next));
            }
            member = next;
        }
        let instance = member.instance_id.as_deref().expect("only static members are replaced");
        let replaced = self.static_member(instance).expect("there is one to replace");
        let tombstones = self.tombstones_with_replaced(Some((&replaced.id, &member.id)));
        records.extend(tombstones);
        self.check_batch(&records, at.config)?;
        let Some(mut downgrade) = self.downgraded(at, &BTreeSet::new(), Some(&member), &records)
        else {
            let message = format!("Cannot downgrade the classic group {}.", self.id);
            return Err(Refusal::new(ErrorCode::GroupIdNotFound, message));
        };
        downgrade.rebalance = rebalance;
        let response = join_response(&member);
        Ok(Answer { records, response, downgrade: Some(downgrade) })
    }

    /// SyncGroup: the member fetches what it has. UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID,
    /// ILLEGAL_GENERATION, INCONSISTENT_GROUP_PROTOCOL, REBALANCE_IN_PROGRESS.
    pub fn classic_sync(
        &mut self,
        at: &Context<'_>,
        request: &SyncGroupRequest,
    ) -> Result<SyncGroupResponse, Refusal> {
        let member =
            self.classic_member(&request.member_id, request.group_instance_id.as_deref())?.clone();
        check_generation(&member, request.generation_id)?;
        check_same_protocol(&member, request)?;
        let is_behind = self.target_epoch > member.epoch;
        if is_behind && member.state != MemberState::UnrevokedPartitions {
            self.expect_join(at.now_ms, &member);
            let message = format!(
                "A new rebalance is triggered in group {} and member {} should rejoin to catch up.",
                self.id, member.id
            );
            return Err(Refusal::new(ErrorCode::RebalanceInProgress, message));
        }
        let metadata = first_protocol(&member).map_or(&[][..], |protocol| &protocol.metadata);
        let version = consumer_protocol::read_version(metadata).unwrap_or(0);
        let held = migrate::without_epochs(&member.assigned);
        let assignment = migrate::assignment_bytes(&held, version, at.topics);
        self.timers.cancel(&member.id, TimerKind::Sync);
        self.expect_session(at.now_ms, &member);
        Ok(SyncGroupResponse {
            protocol_type: request.protocol_type.clone(),
            protocol_name: request.protocol_name.clone(),
            assignment,
            ..SyncGroupResponse::default()
        })
    }

    /// Heartbeat: REBALANCE_IN_PROGRESS in the answer asks the member to join again. Refused:
    /// UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION.
    pub fn classic_heartbeat(
        &mut self,
        at: &Context<'_>,
        request: &HeartbeatRequest,
    ) -> Result<HeartbeatResponse, Refusal> {
        let member =
            self.classic_member(&request.member_id, request.group_instance_id.as_deref())?.clone();
        check_generation(&member, request.generation_id)?;
        self.expect_session(at.now_ms, &member);
        // There may be nobody of the new protocol whose heartbeat makes the target of a new epoch:
        // then a join makes it, as soon as it may be made.
        let is_behind = member.epoch < self.target_epoch
            || (member.epoch < self.epoch && !self.is_target_fresh(at));
        let must_join = is_behind
            || member.state == MemberState::UnrevokedPartitions
            || (member.state == MemberState::UnreleasedPartitions && !self.is_waiting(&member));
        let mut response = HeartbeatResponse::default();
        if must_join {
            response.error_code = ErrorCode::RebalanceInProgress;
            self.expect_join(at.now_ms, &member);
        }
        Ok(response)
    }

    /// LeaveGroup, of some members at once (up to version 2, of one).
    pub fn classic_leave(
        &mut self,
        at: &Context<'_>,
        request: &LeaveGroupRequest,
    ) -> Result<Answer<LeaveGroupResponse>, Refusal> {
        let mut leaving = BTreeSet::new();
        let mut members = Vec::new();
        for identity in &request.members {
            let found = self.leaving_member(identity).map(|member| member.id.clone());
            members.push(MemberResponse {
                member_id: identity.member_id.clone(),
                group_instance_id: identity.group_instance_id.clone(),
                error_code: found.as_ref().err().map_or(ErrorCode::None, |refusal| refusal.code),
            });
            leaving.extend(found);
        }
        let fenced = self.fence(at, &leaving)?;
        let response = LeaveGroupResponse { members, ..LeaveGroupResponse::default() };
        Ok(Answer { records: fenced.records, response, downgrade: fenced.downgrade })
    }

    fn leaving_member(&self, identity: &MemberIdentity) -> Result<&Member, Refusal> {
        let Some(instance) = identity.group_instance_id.as_deref() else {
            return self.member(&identity.member_id);
        };
        let member =
            self.static_member(instance).ok_or_else(|| check::unknown_instance(instance))?;
        if !identity.member_id.is_empty() {
            check::instance_not_fenced(member, &identity.member_id, instance)?;
        }
        Ok(member)
    }

    fn validated_static(&self, id: &str, instance: &str) -> Result<&Member, Refusal> {
        let member =
            self.static_member(instance).ok_or_else(|| check::unknown_instance(instance))?;
        check::instance_not_fenced(member, id, instance)?;
        Ok(member)
    }

    fn classic_member(&self, id: &str, instance: Option<&str>) -> Result<&Member, Refusal> {
        let member = match instance {
            None => self.member(id)?,
            Some(instance) => self.validated_static(id, instance)?,
        };
        if member.is_classic() {
            return Ok(member);
        }
        let message = format!("Member {} does not use the classic protocol.", member.id);
        Err(Refusal::new(ErrorCode::UnknownMemberId, message))
    }

    fn expect_join(&mut self, now_ms: i64, member: &Member) {
        let at_ms = now_ms + i64::from(member.rebalance_timeout_ms);
        self.timers.set_if_absent(&member.id, TimerKind::Join, at_ms);
    }

    fn expect_session(&mut self, now_ms: i64, member: &Member) {
        let classic = member.classic.as_ref().expect("a member of the classic protocol");
        let at_ms = now_ms + i64::from(classic.session_timeout_ms);
        self.timers.set(&member.id, TimerKind::Session, at_ms);
    }

    /// Whether another member still has something that the target gives to this one.
    fn is_waiting(&self, member: &Member) -> bool {
        let target = self.target.get(&member.id).into_iter().flatten();
        target.flat_map(|(topic, of)| of.iter().map(move |p| (*topic, *p))).any(
            |(topic, partition)| {
                let has = member.assigned.get(&topic).is_some_and(|of| of.contains_key(&partition));
                !has && self.owner(topic, partition).is_some()
            },
        )
    }
}

fn read_join<'a>(
    at: &Context<'_>,
    client: &'a Client,
    request: &'a JoinGroupRequest,
) -> Result<Join<'a>, Refusal> {
    let metadata = request.protocols.first().map_or(&[][..], |protocol| &protocol.metadata);
    let subscription = ConsumerProtocolSubscription::from_bytes(metadata).map_err(|_| {
        Refusal::new(
            ErrorCode::InconsistentGroupProtocol,
            "Malformed embedded consumer protocol in subscription deserialization.",
        )
    })?;
    let owned = subscription.owned_partitions.iter().filter_map(|topic| {
        let (topic_id, _) = at.topics.named(&topic.topic)?;
        Some(TopicPartitions { topic_id, partitions: topic.partitions.clone() })
    });
    let owned = owned.collect();
    // Version 0 has no rebalance timeout: it was the session timeout then.
    let rebalance_timeout_ms = match request.rebalance_timeout_ms {
        -1 => request.session_timeout_ms,
        timeout_ms => timeout_ms,
    };
    Ok(Join { request, client, subscription, owned, rebalance_timeout_ms })
}

fn joined(before: &Member, join: &Join<'_>) -> Member {
    let mut member = before.clone();
    member.instance_id = join.request.group_instance_id.clone().or(member.instance_id);
    let rack_id = join.subscription.rack_id.clone().filter(|rack| !rack.is_empty());
    member.rack_id = rack_id.or(member.rack_id);
    member.rebalance_timeout_ms = join.rebalance_timeout_ms;
    member.topics = join.subscription.topics.iter().cloned().collect();
    member.regex = Some(String::new());
    member.client_id = join.client.id.clone();
    member.client_host = join.client.host.clone();
    let protocols = join.request.protocols.iter().map(|protocol| ClassicProtocol {
        name: protocol.name.clone(),
        metadata: protocol.metadata.clone(),
    });
    member.classic = Some(ClassicMemberMetadata {
        session_timeout_ms: join.request.session_timeout_ms,
        supported_protocols: protocols.collect(),
    });
    member
}

fn first_protocol(member: &Member) -> Option<&ClassicProtocol> {
    member.classic.as_ref()?.supported_protocols.first()
}

fn join_response(member: &Member) -> JoinGroupResponse {
    JoinGroupResponse {
        member_id: member.id.clone(),
        generation_id: member.epoch,
        protocol_type: Some(PROTOCOL_TYPE.to_string()),
        protocol_name: first_protocol(member).map(|protocol| protocol.name.clone()),
        ..JoinGroupResponse::default()
    }
}

fn check_generation(member: &Member, generation: i32) -> Result<(), Refusal> {
    if member.epoch == generation {
        return Ok(());
    }
    let message = format!(
        "The request generation id {generation} is not equal to the member epoch {} of member {}.",
        member.epoch, member.id
    );
    Err(Refusal::new(ErrorCode::IllegalGeneration, message))
}

fn check_same_protocol(member: &Member, request: &SyncGroupRequest) -> Result<(), Refusal> {
    let id = &member.id;
    let name = first_protocol(member).map_or("", |protocol| &protocol.name);
    let message = match (&request.protocol_type, &request.protocol_name) {
        (Some(received), _) if received != PROTOCOL_TYPE => format!(
            "The protocol type {received} from member {id} request is not equal to the group \
             protocol type {PROTOCOL_TYPE}."
        ),
        (_, Some(received)) if received != name => format!(
            "The protocol name {received} from member {id} request is not equal to the protocol \
             name {name} returned in the join response."
        ),
        _ => return Ok(()),
    };
    Err(Refusal::new(ErrorCode::InconsistentGroupProtocol, message))
}
