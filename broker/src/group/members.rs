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
use super::event::{Output, Response};
use super::kind::Group;
use super::{Groups, records};
use crate::coordinator::Ticket;

/// Up to this version LeaveGroup names one member, and the answer has no list.
const LEAVE_VERSION_ONE_MEMBER: i16 = 2;
/// What a new group or member takes in memory at least, beside what it brings.
const NEWCOMER_BYTES: usize = 2_048;

impl Groups {
    pub(super) fn join(
        &mut self,
        now_ms: i64,
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
        let sessions = self.config.session_timeout_ms_min..=self.config.session_timeout_ms_max;
        if !sessions.contains(&asks.request.session_timeout_ms) {
            return out.reply(asks.to, refuse(ErrorCode::InvalidSessionTimeout));
        }
        let is_there = self.groups.contains_key(group_id.as_str());
        if !is_there && !id.is_empty() {
            return out.reply(asks.to, refuse(ErrorCode::UnknownMemberId));
        }
        if !self.has_room_for(&group_id, &asks) {
            return out.reply(asks.to, refuse(ErrorCode::CoordinatorNotAvailable));
        }
        if !is_there {
            let group = ClassicGroup::new(Arc::from(group_id.as_str()), Some(now_ms));
            // Kafka writes a new group before anybody is in it.
            out.records.push(records::group(&group_id, Some(group.written_new())));
            self.position += 1;
            self.insert(Group::Classic(group));
        }
        self.on_classic(now_ms, &group_id, out, |group, turn| group.join(turn, asks, ids));
    }

    /// Whether memory has room for who joins. Newcomers leave a quarter to those who are there.
    fn has_room_for(&self, group_id: &str, asks: &Joining) -> bool {
        let id = asks.request.member_id.as_str();
        let member = self.groups.get(group_id).and_then(|group| match group {
            Group::Classic(group) => group.member(id),
        });
        let bytes = asks.bytes();
        match member {
            Some(member) => {
                let before = classic::protocols_bytes(&member.protocols);
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
        now_ms: i64,
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
        if !self.groups.contains_key(group_id.as_str()) {
            return out.reply(to, refuse(ErrorCode::UnknownMemberId));
        }
        let room = self.config.memory_bytes_max.saturating_sub(self.bytes());
        self.on_classic(now_ms, &group_id, out, |group, turn| group.sync(turn, to, request, room));
    }

    pub(super) fn heartbeat(
        &mut self,
        now_ms: i64,
        request: &HeartbeatRequest,
        out: &mut Output,
    ) -> ErrorCode {
        if request.group_id.is_empty() {
            return ErrorCode::InvalidGroupId;
        }
        let Groups { config, groups, timers, .. } = self;
        match groups.get_mut(request.group_id.as_str()) {
            Some(Group::Classic(group)) => {
                group.heartbeat(&mut Turn { now_ms, config, timers, out }, request)
            }
            None => ErrorCode::UnknownMemberId,
        }
    }

    pub(super) fn leave(
        &mut self,
        now_ms: i64,
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
        if self.groups.contains_key(group_id.as_str()) {
            let leave = |group: &mut ClassicGroup, turn: &mut Turn| {
                response = group.leave(turn, members);
            };
            self.on_classic(now_ms, &group_id, out, leave);
        } else {
            let refuse = |who: MemberIdentity| MemberResponse {
                member_id: who.member_id,
                group_instance_id: who.group_instance_id,
                error_code: ErrorCode::UnknownMemberId,
            };
            response.members = members.into_iter().map(refuse).collect();
        }
        if one {
            let member = std::mem::take(&mut response.members).pop();
            response.error_code = member.map_or(ErrorCode::None, |member| member.error_code);
        }
        response
    }
}
