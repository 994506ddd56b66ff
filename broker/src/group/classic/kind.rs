//! A classic group becomes a consumer group, or was one.

use std::sync::Arc;

use ringlog_wire::ErrorCode;
use ringlog_wire::api::join_group::JoinGroupRequestProtocol;
use ringlog_wire::records::group::ClassicProtocol;

use super::{ClassicGroup, Member, State, Turn};
use crate::group::consumer::{ClassicMember, ClassicSnapshot};

impl ClassicGroup {
    /// What a consumer group can be made from.
    pub fn snapshot(&self) -> ClassicSnapshot {
        let tell = |member: &Member| ClassicMember {
            member_id: member.id.to_string(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            protocols: member.protocols.iter().cloned().map(told).collect(),
            assignment: member.assignment.clone(),
        };
        ClassicSnapshot {
            group_id: self.id.to_string(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            members: self.members().map(tell).collect(),
        }
    }

    /// Another group takes its place: nothing of it is due any more, and who waits joins again.
    pub fn make_way(&self, turn: &mut Turn) {
        for member in self.members() {
            if let Some(ticket) = member.join {
                turn.join_error(ticket, &member.id, ErrorCode::RebalanceInProgress);
            }
            if let Some(ticket) = member.sync {
                turn.sync_error(ticket, ErrorCode::RebalanceInProgress);
            }
        }
        self.end(turn.timers);
    }

    /// The stable group that a consumer group leaves behind.
    pub fn downgraded(id: Arc<str>, group: ClassicSnapshot, now_ms: i64) -> ClassicGroup {
        let ClassicSnapshot { generation, protocol_type, protocol_name, members, .. } = group;
        assert!(!members.is_empty(), "somebody is left");
        let kind = protocol_type.unwrap_or_default();
        let mut classic = ClassicGroup::new(id, Some(now_ms));
        for member in members {
            let member = Member {
                id: Arc::from(member.member_id),
                instance_id: member.instance_id,
                client_id: member.client_id,
                client_host: member.client_host,
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                session_timeout_ms: member.session_timeout_ms,
                protocols: member.protocols.into_iter().map(known).collect(),
                assignment: member.assignment,
                is_new: false,
                join: None,
                sync: None,
            };
            classic.add(member, &kind);
        }
        classic.state = State::Stable;
        classic.protocol_name = protocol_name;
        classic.generation = generation;
        classic.subscribed = classic.read_subscriptions();
        classic
    }

    /// It takes a consumer group's place: members get a fresh session, and join again if they must.
    pub fn follow(&mut self, turn: &mut Turn, rebalance: bool) {
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in &ids {
            self.heard_of(turn, id);
        }
        if rebalance {
            self.prepare_rebalance(turn);
        }
    }
}

fn told(JoinGroupRequestProtocol { name, metadata }: JoinGroupRequestProtocol) -> ClassicProtocol {
    ClassicProtocol { name, metadata }
}

fn known(ClassicProtocol { name, metadata }: ClassicProtocol) -> JoinGroupRequestProtocol {
    JoinGroupRequestProtocol { name, metadata }
}
