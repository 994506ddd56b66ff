//! A static member comes back under a new id (rule 71).

use std::sync::Arc;

use ringlog_wire::ErrorCode;
use ringlog_wire::api::join_group::JoinGroupResponse;

use super::join::Joining;
use super::{ClassicGroup, State, Turn};
use crate::group::records;
use crate::group::timers::Timer;

/// From this version a leader can be told that it need not assign.
const VERSION_SKIP_ASSIGNMENT: i16 = 9;

impl ClassicGroup {
    /// The member that is known by the instance's name makes place for its next life. In a stable
    /// group nobody else hears of it, unless the chosen protocol would change.
    pub(super) fn replace_static(
        &mut self,
        turn: &mut Turn,
        asks: Joining,
        old_id: Arc<str>,
        new_id: Arc<str>,
    ) {
        let leader_before = self.leader.clone();
        if self.state == State::Stable && !self.replacement_fits(turn, &asks, &old_id, &new_id) {
            return turn.join_error(asks.to, "", ErrorCode::UnknownServerError);
        }
        self.rename(turn, &old_id, &new_id);
        let Joining { to, version, request, .. } = asks;
        self.update(turn, &new_id, request, Some(to));
        // In Kafka this is the session of the member's former life, which may have been shorter.
        self.heard_of(turn, &new_id);
        match self.state {
            State::Stable if self.protocol_name == Some(self.select_protocol()) => {
                turn.out.records.push(records::group(&self.id, Some(self.written())));
                let response = self.same_generation(&new_id, leader_before, version);
                let Some(member) = self.members.get_mut(&new_id) else { unreachable!("renamed") };
                member.join = None;
                self.joining -= 1;
                turn.join_reply(to, response);
            }
            // While the leader assigns it still knows the old id: the part would be nobody's.
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(turn),
            State::PreparingRebalance => self.complete_if_all_joined(turn),
            State::Empty => unreachable!("an empty group has no static members"),
        }
    }

    /// Whether the group can still be written with the member's new id and metadata.
    fn replacement_fits(&self, turn: &Turn, asks: &Joining, old: &str, new: &str) -> bool {
        let record = records::group(&self.id, Some(self.written()));
        let chosen = self.protocol_name.as_deref().unwrap_or_default();
        let protocols = &asks.request.protocols;
        let said = protocols.iter().find(|known| known.name == chosen);
        let growth = said.map_or(0, |known| known.metadata.len()) + 2 * new.len();
        let shrink = self.member(old).map_or(0, |member| member.metadata(chosen).len());
        let bytes = (records::bytes(&record) + growth).saturating_sub(shrink);
        bytes + records::BATCH_OVERHEAD <= turn.config.batch_bytes_max
    }

    /// Gives a member a new id. Whoever waits under the old one is fenced.
    fn rename(&mut self, turn: &mut Turn, old_id: &str, new_id: &Arc<str>) {
        let Some(mut member) = self.members.remove(old_id) else {
            unreachable!("a static name belongs to a member")
        };
        turn.timers.cancel(Timer::Member(self.id.clone(), member.id.clone()));
        if let Some(ticket) = member.join.take() {
            self.joining -= 1;
            let fenced = JoinGroupResponse {
                member_id: old_id.to_owned(),
                error_code: ErrorCode::FencedInstanceId,
                protocol_name: None,
                ..Default::default()
            };
            turn.join_reply(ticket, fenced);
        }
        if let Some(ticket) = member.sync.take() {
            turn.sync_error(ticket, ErrorCode::FencedInstanceId);
        }
        if self.is_leader(old_id) {
            self.leader = Some(new_id.clone());
        }
        if self.pending_syncs.remove(old_id) {
            self.pending_syncs.insert(new_id.clone());
        }
        if let Some(instance_id) = &member.instance_id {
            self.instances.insert(instance_id.clone(), new_id.clone());
        }
        member.id = new_id.clone();
        member.is_new = false;
        self.members.insert(new_id.clone(), member);
    }

    /// What the new life of a static member is told. Before version 9 a leader cannot be told that
    /// nothing is to be assigned; it is told that its former life leads, so that it follows.
    fn same_generation(
        &self,
        id: &str,
        leader_before: Option<Arc<str>>,
        version: i16,
    ) -> JoinGroupResponse {
        let mut response = self.generation_for(id);
        if version >= VERSION_SKIP_ASSIGNMENT {
            response.skip_assignment = self.is_leader(id);
        } else {
            response.leader = leader_before.as_deref().unwrap_or_default().to_owned();
            response.members = Vec::new();
        }
        response
    }
}
