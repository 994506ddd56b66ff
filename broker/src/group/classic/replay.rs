//! A classic group as the log has it.

use std::sync::Arc;

use ringlog_wire::api::join_group::JoinGroupRequestProtocol;

use super::{ClassicGroup, Member, State};
use crate::group::records::{GroupMetadataValue, MemberMetadata};

impl ClassicGroup {
    /// What the log is told of it. Of its protocols a member keeps only the chosen one.
    pub fn written(&self) -> GroupMetadataValue {
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        let write = |member: &Member| MemberMetadata {
            member_id: member.id.to_string(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout: member.rebalance_timeout_ms,
            session_timeout: member.session_timeout_ms,
            subscription: member.metadata(protocol).to_vec(),
            assignment: member.assignment.clone(),
        };
        GroupMetadataValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol_name.clone(),
            leader: self.leader.as_deref().map(str::to_owned),
            current_state_timestamp: self.state_since_ms.unwrap_or(-1),
            members: self.members().map(write).collect(),
        }
    }

    /// What the log is told of a group that is new: Kafka writes it before anybody is in.
    pub fn written_new(&self) -> GroupMetadataValue {
        GroupMetadataValue {
            current_state_timestamp: self.state_since_ms.unwrap_or(-1),
            ..Default::default()
        }
    }

    /// The group that the log tells of.
    pub fn read(id: Arc<str>, value: GroupMetadataValue) -> ClassicGroup {
        let since_ms =
            (value.current_state_timestamp >= 0).then_some(value.current_state_timestamp);
        let mut group = ClassicGroup::new(id, since_ms);
        let protocol = value.protocol.clone().unwrap_or_default();
        for member in value.members {
            group.read_member(member, &value.protocol_type, &protocol);
        }
        group.state = if group.members.is_empty() { State::Empty } else { State::Stable };
        group.protocol_type = Some(value.protocol_type).filter(|kind| !kind.is_empty());
        group.protocol_name = value.protocol;
        group.generation = value.generation;
        let leader = value.leader.filter(|id| group.members.contains_key(id.as_str()));
        group.leader = match leader {
            Some(id) => Some(Arc::from(id)),
            None => group.members.keys().next().cloned(),
        };
        group.subscribed = group.read_subscriptions();
        group
    }

    fn read_member(&mut self, member: MemberMetadata, protocol_type: &str, protocol: &str) {
        if self.members.contains_key(member.member_id.as_str()) {
            return;
        }
        let rebalance_timeout_ms = match member.rebalance_timeout {
            -1 => member.session_timeout,
            timeout_ms => timeout_ms,
        };
        let name = protocol.to_owned();
        let member = Member {
            id: Arc::from(member.member_id),
            instance_id: member.group_instance_id,
            client_id: member.client_id,
            client_host: member.client_host,
            rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout,
            protocols: vec![JoinGroupRequestProtocol { name, metadata: member.subscription }],
            assignment: member.assignment,
            is_new: false,
            join: None,
            sync: None,
        };
        self.add(member, protocol_type);
    }
}
