//! What members ask for: JoinGroup, SyncGroup, Heartbeat, LeaveGroup, on their way to their group.

use std::sync::Arc;

use ringlog_wire::api::heartbeat::HeartbeatRequest;
use ringlog_wire::api::join_group::JoinGroupResponse;
use ringlog_wire::api::leave_group::{
    LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse,
};
use ringlog_wire::api::sync_group::{SyncGroupRequest, SyncGroupResponse};
use ringlog_wire::{ErrorCode, Uuid};

use super::classic::{self, ClassicGroup, Joining, Turn};
use super::consumer::{Answer, ConsumerGroup, Context, Member};
use super::event::{Output, Response};
use super::kind::Group;
use super::{Groups, MEMBER_ID_BYTES_MAX, Now, records};
use crate::coordinator::Ticket;

/// Up to this version LeaveGroup names one member, and the answer has no list.
const LEAVE_VERSION_ONE_MEMBER: i16 = 2;
/// What a new group or member takes in memory at least, beside what it brings.
const NEWCOMER_BYTES: usize = 2_048;

impl Groups {
    pub(super) fn join(
        &mut self,
        at: Now<'_>,
        asks: Joining,
        ids: &mut dyn FnMut() -> Uuid,
        out: &mut Output,
    ) {
        let (group_id, id) = (asks.request.group_id.clone(), asks.request.member_id.clone());
        let refuse = |error_code| {
            let member_id = id.clone();
            Response::Join(JoinGroupResponse { member_id, error_code, ..Default::default() })
        };
        if group_id.is_empty() {
            return out.reply(asks.to, refuse(ErrorCode::InvalidGroupId));
        }
        let instance_bytes = asks.request.group_instance_id.as_ref().map_or(0, String::len);
        if id.len().max(instance_bytes) > MEMBER_ID_BYTES_MAX {
            return out.reply(asks.to, refuse(ErrorCode::InvalidRequest));
        }
        let sessions = self.config.session_timeout_ms_min..=self.config.session_timeout_ms_max;
        if !sessions.contains(&asks.request.session_timeout_ms) {
            return out.reply(asks.to, refuse(ErrorCode::InvalidSessionTimeout));
        }
        let group = self.groups.get(group_id.as_str());
        let is_consumers = matches!(group, Some(Group::Consumer(_)));
        // A consumer group that nobody is in makes place for a classic one.
        let is_there = group.is_some_and(|group| !is_consumers || !group.any().is_empty());
        if !is_there && !id.is_empty() {
            return out.reply(asks.to, refuse(ErrorCode::UnknownMemberId));
        }
        if !self.has_room_for(&group_id, &asks) {
            return out.reply(asks.to, refuse(ErrorCode::CoordinatorNotAvailable));
        }
        if is_consumers && is_there {
            return self.join_consumers(at, asks, ids, out);
        }
        if let Some(group) = self.groups.get(group_id.as_str()).filter(|_| is_consumers) {
            let ends = group.any().tombstones();
            self.decide(ends, out);
        }
        if !is_there {
            let group = ClassicGroup::new(Arc::from(group_id.as_str()), Some(at.now_ms));
            // Kafka writes a new group before anybody is in it.
            out.records.push(records::group(&group_id, Some(group.written_new())));
            self.position += 1;
            self.insert(Arc::from(group_id.as_str()), Group::Classic(Box::new(group)));
        }
        self.on_classic(at.now_ms, &group_id, out, |group, turn| group.join(turn, asks, ids));
    }

    /// Somebody of the classic protocol joins a consumer group, and is answered at once.
    fn join_consumers(
        &mut self,
        at: Now<'_>,
        asks: Joining,
        ids: &mut dyn FnMut() -> Uuid,
        out: &mut Output,
    ) {
        let Joining { to, client, version, request } = asks;
        let join = |group: &mut ConsumerGroup, at: &Context<'_>| {
            group.classic_join(at, &client, version, &request, ids).unwrap_or_else(|refusal| {
                let member_id = request.member_id.clone();
                let error_code = refusal.code;
                Answer::only(JoinGroupResponse { member_id, error_code, ..Default::default() })
            })
        };
        let response = self.on_consumer(at, &request.group_id, out, join);
        out.reply(to, Response::Join(response));
    }

    /// Whether memory has room for who joins. Newcomers leave a quarter to those who are there.
    fn has_room_for(&self, group_id: &str, asks: &Joining) -> bool {
        let id = asks.request.member_id.as_str();
        let known = self.groups.get(group_id).and_then(|group| match group {
            Group::Classic(group) => {
                group.member(id).map(|member| classic::protocols_bytes(&member.protocols))
            }
            Group::Consumer(group) => group.members().get(id).map(Member::classic_bytes),
        });
        let bytes = asks.bytes();
        match known {
            Some(before) => {
                bytes <= before || self.bytes() + bytes - before <= self.config.memory_bytes_max
            }
            None => {
                let bytes = bytes + NEWCOMER_BYTES + 3 * group_id.len();
                self.bytes() + bytes <= self.config.memory_bytes_for_new()
            }
        }
    }

    pub(super) fn sync(
        &mut self,
        at: Now<'_>,
        to: Ticket,
        request: SyncGroupRequest,
        out: &mut Output,
    ) {
        let group_id = request.group_id.clone();
        let refuse =
            |error_code| Response::Sync(SyncGroupResponse { error_code, ..Default::default() });
        if group_id.is_empty() {
            return out.reply(to, refuse(ErrorCode::InvalidGroupId));
        }
        match self.groups.get(group_id.as_str()) {
            Some(Group::Classic(_)) => {}
            Some(Group::Consumer(_)) => {
                let sync = |group: &mut ConsumerGroup, at: &Context<'_>| {
                    let told = group.classic_sync(at, &request).map(Response::Sync);
                    Answer::only(told.unwrap_or_else(|refusal| refuse(refusal.code)))
                };
                let response = self.on_consumer(at, &group_id, out, sync);
                return out.reply(to, response);
            }
            None => return out.reply(to, refuse(ErrorCode::UnknownMemberId)),
        }
        let room = self.config.memory_bytes_max.saturating_sub(self.bytes());
        self.on_classic(at.now_ms, &group_id, out, |group, turn| {
            group.sync(turn, to, request, room)
        });
    }

    pub(super) fn heartbeat(
        &mut self,
        at: Now<'_>,
        request: &HeartbeatRequest,
        out: &mut Output,
    ) -> ErrorCode {
        if request.group_id.is_empty() {
            return ErrorCode::InvalidGroupId;
        }
        let Groups { config, groups, timers, .. } = self;
        match groups.get_mut(request.group_id.as_str()) {
            Some(Group::Classic(group)) => {
                group.heartbeat(&mut Turn { now_ms: at.now_ms, config, timers, out }, request)
            }
            Some(Group::Consumer(_)) => {
                let beat = |group: &mut ConsumerGroup, at: &Context<'_>| {
                    let told = group.classic_heartbeat(at, request);
                    Answer::only(told.map_or_else(|refusal| refusal.code, |told| told.error_code))
                };
                self.on_consumer(at, &request.group_id, out, beat)
            }
            None => ErrorCode::UnknownMemberId,
        }
    }

    pub(super) fn leave(
        &mut self,
        at: Now<'_>,
        version: i16,
        request: LeaveGroupRequest,
        out: &mut Output,
    ) -> LeaveGroupResponse {
        let LeaveGroupRequest { group_id, member_id, members } = request;
        if group_id.is_empty() {
            let error_code = ErrorCode::InvalidGroupId;
            return LeaveGroupResponse { error_code, ..Default::default() };
        }
        let one = version <= LEAVE_VERSION_ONE_MEMBER;
        let members =
            if one { vec![MemberIdentity { member_id, ..Default::default() }] } else { members };
        let mut response = LeaveGroupResponse::default();
        match self.groups.get(group_id.as_str()) {
            Some(Group::Classic(_)) => {
                let leave = |group: &mut ClassicGroup, turn: &mut Turn| {
                    response = group.leave(turn, members);
                };
                self.on_classic(at.now_ms, &group_id, out, leave);
            }
            Some(Group::Consumer(_)) => {
                response = self.leave_consumers(at, group_id, members, out);
            }
            None => {
                let refuse = |who: MemberIdentity| MemberResponse {
                    member_id: who.member_id,
                    group_instance_id: who.group_instance_id,
                    error_code: ErrorCode::UnknownMemberId,
                };
                response.members = members.into_iter().map(refuse).collect();
            }
        }
        if one {
            let member = std::mem::take(&mut response.members).pop();
            let told = member.map_or(ErrorCode::None, |member| member.error_code);
            if response.error_code.is_none() {
                response.error_code = told;
            }
        }
        response
    }

    fn leave_consumers(
        &mut self,
        at: Now<'_>,
        group_id: String,
        members: Vec<MemberIdentity>,
        out: &mut Output,
    ) -> LeaveGroupResponse {
        let request = LeaveGroupRequest { group_id, members, ..Default::default() };
        let leave = |group: &mut ConsumerGroup, at: &Context<'_>| {
            group.classic_leave(at, &request).unwrap_or_else(|refusal| {
                let error_code = refusal.code;
                Answer::only(LeaveGroupResponse { error_code, ..Default::default() })
            })
        };
        self.on_consumer(at, &request.group_id, out, leave)
    }
}
