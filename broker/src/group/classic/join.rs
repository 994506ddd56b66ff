//! JoinGroup (rule 68).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringlog_wire::api::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse, JoinGroupResponseMember,
};
use ringlog_wire::{ErrorCode, Uuid};

use super::member::protocols_bytes;
use super::{ClassicGroup, Member, State, Turn};
use crate::coordinator::Ticket;
use crate::group::MEMBER_ID_BYTES_MAX;
use crate::group::config::GroupConfig;
use crate::group::event::Client;
use crate::group::timers::Timer;

/// From this version a member must know its id before it is let in.
const VERSION_MEMBER_ID_REQUIRED: i16 = 4;

/// A JoinGroup on its way through a group.
pub(crate) struct Joining {
    pub to: Ticket,
    pub client: Client,
    pub version: i16,
    pub request: JoinGroupRequest,
}

impl Joining {
    /// Takes the request in as Kafka does: version 0 has one timeout for both, and a protocol
    /// counts once.
    pub fn new(to: Ticket, client: Client, version: i16, mut request: JoinGroupRequest) -> Joining {
        if version == 0 {
            request.rebalance_timeout_ms = request.session_timeout_ms;
        }
        let mut seen = BTreeSet::new();
        request.protocols.retain(|protocol| seen.insert(protocol.name.clone()));
        Joining { to, client, version, request }
    }

    /// About what the member will take in memory.
    pub fn bytes(&self) -> usize {
        protocols_bytes(&self.request.protocols)
            + self.client.id.len()
            + self.request.group_instance_id.as_ref().map_or(0, String::len)
    }
}

/// `prefix` and an id, as Kafka names members. Of a very long prefix only the beginning, so that
/// the member may use the id that it is given.
fn member_id(prefix: &str, id: Uuid) -> Arc<str> {
    const PREFIX_BYTES_MAX: usize = MEMBER_ID_BYTES_MAX / 2;
    let mut text = format!("{}-", &prefix[..prefix.floor_char_boundary(PREFIX_BYTES_MAX)]);
    for (place, byte) in id.0.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text.into()
}

/// Counts who supports which protocol: one more, or one less.
fn count(
    supported: &mut BTreeMap<String, usize>,
    protocols: &[JoinGroupRequestProtocol],
    more: bool,
) {
    for JoinGroupRequestProtocol { name, .. } in protocols {
        match (supported.get_mut(name), more) {
            (Some(count), true) => *count += 1,
            (None, true) => {
                supported.insert(name.clone(), 1);
            }
            (Some(count), false) if *count > 1 => *count -= 1,
            (_, false) => {
                supported.remove(name);
            }
        }
    }
}

impl ClassicGroup {
    /// A member joins, or joins again.
    pub fn join(&mut self, turn: &mut Turn, asks: Joining, ids: &mut dyn FnMut() -> Uuid) {
        let id = asks.request.member_id.clone();
        if !self.has_room_for(&id, turn.config) {
            self.remove(turn, &id, ErrorCode::GroupMaxSizeReached);
            return turn.join_error(asks.to, "", ErrorCode::GroupMaxSizeReached);
        }
        if !self.supports(&asks.request.protocol_type, &asks.request.protocols) {
            return turn.join_error(asks.to, &id, ErrorCode::InconsistentGroupProtocol);
        }
        if !id.is_empty() {
            return self.join_known(turn, asks);
        }
        match asks.request.group_instance_id.clone() {
            Some(instance_id) => {
                let new_id = member_id(&instance_id, ids());
                match self.instances.get(&instance_id).cloned() {
                    Some(old_id) => self.replace_static(turn, asks, old_id, new_id),
                    None => self.add_and_rebalance(turn, asks, new_id),
                }
            }
            None => {
                let new_id = member_id(&asks.client.id, ids());
                if asks.version < VERSION_MEMBER_ID_REQUIRED {
                    return self.add_and_rebalance(turn, asks, new_id);
                }
                let due_ms = turn.now_ms + i64::from(asks.request.session_timeout_ms.max(1));
                turn.timers.set(Timer::Member(self.id.clone(), new_id.clone()), due_ms);
                turn.join_error(asks.to, &new_id, ErrorCode::MemberIdRequired);
                self.pending_joins.insert(new_id);
            }
        }
    }

    /// Whether one more may come in. While members join, those who wait count: the last to come
    /// back to a group that is too large stay out.
    fn has_room_for(&self, id: &str, config: &GroupConfig) -> bool {
        let member = self.members.get(id);
        match self.state {
            State::Empty => true,
            State::PreparingRebalance => {
                member.is_some_and(|member| member.join.is_some())
                    || self.joining < config.members_max
            }
            State::CompletingRebalance | State::Stable => {
                member.is_some() || self.members.len() < config.members_max
            }
        }
    }

    /// Whether somebody with these protocols has one in common with everybody.
    fn supports(&self, protocol_type: &str, protocols: &[JoinGroupRequestProtocol]) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let common =
            |name: &str| self.supported.get(name).copied().unwrap_or(0) == self.members.len();
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|protocol| common(&protocol.name))
    }

    /// Somebody who has an id.
    fn join_known(&mut self, turn: &mut Turn, asks: Joining) {
        let request = &asks.request;
        if let Some(id) = self.pending_joins.get(&*request.member_id).cloned() {
            if request.group_instance_id.is_some() {
                // Ids are given out ahead to dynamic members only.
                let error = ErrorCode::UnknownServerError;
                return turn.join_error(asks.to, &request.member_id, error);
            }
            return self.add_and_rebalance(turn, asks, id);
        }
        let instance_id = request.group_instance_id.as_deref();
        if let Err(error_code) = self.check_member(&request.member_id, instance_id) {
            let member_id = request.member_id.clone();
            let error = JoinGroupResponse {
                member_id,
                error_code,
                protocol_name: None,
                ..Default::default()
            };
            return turn.join_reply(asks.to, error);
        }
        let same = self.members[&*request.member_id].protocols == request.protocols;
        match self.state {
            State::PreparingRebalance => self.update_and_rebalance(turn, asks),
            State::CompletingRebalance if same => {
                // Its answer was lost on the way.
                let response = self.generation_for(&request.member_id);
                turn.join_reply(asks.to, response);
            }
            State::Stable if same && !self.is_leader(&request.member_id) => {
                let response = self.generation_for(&request.member_id);
                turn.join_reply(asks.to, response);
            }
            // A leader that joins again wants a rebalance: what it assigns has changed.
            State::CompletingRebalance | State::Stable => self.update_and_rebalance(turn, asks),
            State::Empty => {
                turn.join_error(asks.to, &request.member_id, ErrorCode::UnknownMemberId);
            }
        }
    }

    /// What a member is told of the generation; the leader hears of all members.
    pub(super) fn generation_for(&self, id: &str) -> JoinGroupResponse {
        JoinGroupResponse {
            member_id: id.to_owned(),
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.as_deref().unwrap_or_default().to_owned(),
            members: if self.is_leader(id) { self.told_to_leader() } else { Vec::new() },
            ..Default::default()
        }
    }

    pub(super) fn told_to_leader(&self) -> Vec<JoinGroupResponseMember> {
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        let tell = |member: &Member| JoinGroupResponseMember {
            member_id: member.id.to_string(),
            group_instance_id: member.instance_id.clone(),
            metadata: member.metadata(protocol).to_vec(),
        };
        self.members().map(tell).collect()
    }

    /// A new member comes in, and everybody joins again.
    fn add_and_rebalance(&mut self, turn: &mut Turn, asks: Joining, id: Arc<str>) {
        let Joining { to, client, request, .. } = asks;
        if self.state == State::PreparingRebalance && self.from_empty {
            self.newcomers = true;
        }
        let member = Member {
            id: id.clone(),
            instance_id: request.group_instance_id,
            client_id: client.id,
            client_host: client.host,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: request.protocols,
            assignment: Vec::new(),
            is_new: true,
            join: Some(to),
            sync: None,
        };
        self.add(member, &request.protocol_type);
        // It cannot heartbeat before it knows its generation, and its connection is held back, so
        // nothing tells that it is gone. One that is still there will ask again.
        let due_ms = turn.now_ms + GroupConfig::NEW_MEMBER_TIMEOUT_MS;
        turn.timers.set(Timer::Member(self.id.clone(), id), due_ms);
        self.rebalance_or_complete(turn);
    }

    fn update_and_rebalance(&mut self, turn: &mut Turn, asks: Joining) {
        let Joining { to, request, .. } = asks;
        let id = request.member_id.clone();
        self.update(turn, &id, request, Some(to));
        self.rebalance_or_complete(turn);
    }

    /// Puts a member in.
    pub(super) fn add(&mut self, member: Member, protocol_type: &str) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.to_owned());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        if let Some(instance_id) = &member.instance_id {
            self.instances.insert(instance_id.clone(), member.id.clone());
        }
        self.joining += usize::from(member.join.is_some());
        count(&mut self.supported, &member.protocols, true);
        self.pending_joins.remove(&member.id);
        let before = self.members.insert(member.id.clone(), member);
        assert!(before.is_none(), "a member comes in once");
    }

    /// A member says anew what it can. A JoinGroup of it that still waits is told to come again:
    /// Kafka forgets it, but here everybody is answered.
    pub(super) fn update(
        &mut self,
        turn: &mut Turn,
        id: &str,
        request: JoinGroupRequest,
        to: Option<Ticket>,
    ) {
        let Some(member) = self.members.get_mut(id) else { unreachable!("only members update") };
        let old_ticket = std::mem::replace(&mut member.join, to);
        let old_protocols = std::mem::replace(&mut member.protocols, request.protocols);
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
        member.session_timeout_ms = request.session_timeout_ms;
        count(&mut self.supported, &old_protocols, false);
        count(&mut self.supported, &member.protocols, true);
        self.joining = self.joining + usize::from(to.is_some()) - usize::from(old_ticket.is_some());
        if let Some(ticket) = old_ticket {
            turn.join_error(ticket, id, ErrorCode::RebalanceInProgress);
        }
    }

    /// Takes a member, or an id that was given out, away. What of it waits is told `error`.
    pub(super) fn remove(&mut self, turn: &mut Turn, id: &str, error: ErrorCode) {
        if let Some(pending) = self.pending_joins.take(id) {
            turn.timers.cancel(Timer::Member(self.id.clone(), pending));
        }
        self.pending_syncs.remove(id);
        let Some(member) = self.members.remove(id) else { return };
        turn.timers.cancel(Timer::Member(self.id.clone(), member.id));
        count(&mut self.supported, &member.protocols, false);
        if let Some(instance_id) = &member.instance_id {
            self.instances.remove(instance_id);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        if let Some(ticket) = member.join {
            self.joining -= 1;
            turn.join_error(ticket, "", error);
        }
        if let Some(ticket) = member.sync {
            turn.sync_error(ticket, error);
        }
    }
}
