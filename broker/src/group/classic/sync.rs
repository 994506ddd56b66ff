//! SyncGroup: the leader assigns, everybody hears its part (rule 69).

use std::collections::HashMap;

use ringlog_wire::ErrorCode;
use ringlog_wire::api::sync_group::{SyncGroupRequest, SyncGroupResponse};

use super::{ClassicGroup, State, Turn};
use crate::coordinator::Ticket;
use crate::group::records;
use crate::group::timers::Timer;

impl ClassicGroup {
    /// A member asks for its part; the leader brings everybody's. `room` is what assignments may
    /// take in memory.
    pub fn sync(&mut self, turn: &mut Turn, to: Ticket, request: SyncGroupRequest, room: usize) {
        if let Err(error) = self.check_sync(&request) {
            return turn.sync_error(to, error);
        }
        let id = request.member_id.as_str();
        match self.state {
            State::Empty => turn.sync_error(to, ErrorCode::UnknownMemberId),
            State::PreparingRebalance => turn.sync_error(to, ErrorCode::RebalanceInProgress),
            State::CompletingRebalance => {
                let Some(member) = self.members.get_mut(id) else { unreachable!("checked") };
                if let Some(ticket) = member.sync.replace(to) {
                    turn.sync_error(ticket, ErrorCode::RebalanceInProgress);
                }
                self.synced(turn, id);
                if self.is_leader(id) {
                    self.assign(turn, request, room);
                }
            }
            State::Stable => {
                self.synced(turn, id);
                turn.sync_reply(to, self.part_of(id));
            }
        }
    }

    fn check_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        self.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |said: &Option<String>, is: &Option<String>| said.is_some() && said != is;
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol_name)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn synced(&mut self, turn: &mut Turn, id: &str) {
        self.pending_syncs.remove(id);
        if self.pending_syncs.is_empty() {
            turn.timers.cancel(Timer::Sync(self.id.clone()));
        }
    }

    fn part_of(&self, id: &str) -> SyncGroupResponse {
        SyncGroupResponse {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignment: self.members.get(id).map(|m| m.assignment.clone()).unwrap_or_default(),
            ..Default::default()
        }
    }

    /// The leader's assignment makes the group stable, once it is in the log.
    fn assign(&mut self, turn: &mut Turn, request: SyncGroupRequest, room: usize) {
        let parts = request.assignments.into_iter();
        let mut parts: HashMap<String, Vec<u8>> =
            parts.map(|part| (part.member_id, part.assignment)).collect();
        for member in self.members.values_mut() {
            member.assignment = parts.remove(&*member.id).unwrap_or_default();
        }
        let (before, before_ms) = (self.state, self.state_since_ms);
        self.enter(State::Stable, turn.now_ms);
        let record = records::group(&self.id, Some(self.written()));
        let bytes = self.members().map(|member| member.assignment.len()).sum::<usize>();
        let fits = records::fit(std::slice::from_ref(&record), turn.config.batch_bytes_max);
        if fits && bytes <= room {
            turn.out.records.push(record);
            return self.answer_syncs(turn, ErrorCode::None);
        }
        // As where Kafka fails to write it: everybody is told, and joins again.
        (self.state, self.state_since_ms) = (before, before_ms);
        for member in self.members.values_mut() {
            member.assignment = Vec::new();
        }
        let error =
            if fits { ErrorCode::CoordinatorNotAvailable } else { ErrorCode::UnknownServerError };
        self.answer_syncs(turn, error);
        self.prepare_rebalance(turn);
    }

    /// Tells everybody who waits its part, or an error. Who waited gets a fresh session.
    pub(super) fn answer_syncs(&mut self, turn: &mut Turn, error: ErrorCode) {
        let waiting = self.members.values_mut();
        let waiting = waiting.filter_map(|m| m.sync.take().map(|ticket| (m.id.clone(), ticket)));
        let waiting: Vec<_> = waiting.collect();
        for (id, ticket) in waiting {
            match error {
                ErrorCode::None => turn.sync_reply(ticket, self.part_of(&id)),
                error => turn.sync_error(ticket, error),
            }
            self.heard_of(turn, &id);
        }
    }
}
