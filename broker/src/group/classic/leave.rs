//! LeaveGroup and Heartbeat (rules 70, 71).

use ringlog_wire::ErrorCode;
use ringlog_wire::api::heartbeat::HeartbeatRequest;
use ringlog_wire::api::leave_group::{LeaveGroupResponse, MemberIdentity, MemberResponse};

use super::{ClassicGroup, State, Turn};

impl ClassicGroup {
    /// A sign of life.
    pub fn heartbeat(&mut self, turn: &mut Turn, request: &HeartbeatRequest) -> ErrorCode {
        let instance_id = request.group_instance_id.as_deref();
        if let Err(error) = self.check_member(&request.member_id, instance_id) {
            return error;
        }
        if request.generation_id != self.generation {
            return ErrorCode::IllegalGeneration;
        }
        self.heard_of(turn, &request.member_id);
        match self.state {
            State::Empty => ErrorCode::UnknownMemberId,
            State::PreparingRebalance => ErrorCode::RebalanceInProgress,
            State::CompletingRebalance | State::Stable => ErrorCode::None,
        }
    }

    /// Members leave, or are made to leave by their static name.
    pub fn leave(&mut self, turn: &mut Turn, who: Vec<MemberIdentity>) -> LeaveGroupResponse {
        let mut members = Vec::with_capacity(who.len());
        for MemberIdentity { member_id, group_instance_id, .. } in who {
            let instance_id = group_instance_id.as_deref();
            let found = self.who_leaves(&member_id, instance_id);
            let error_code = match found {
                Ok(id) => {
                    self.remove(turn, &id, ErrorCode::UnknownMemberId);
                    ErrorCode::None
                }
                Err(error) => error,
            };
            members.push(MemberResponse { member_id, group_instance_id, error_code });
        }
        if members.iter().any(|member| member.error_code.is_none()) {
            match self.state {
                State::Stable | State::CompletingRebalance => self.prepare_rebalance(turn),
                State::PreparingRebalance => self.complete_if_all_joined(turn),
                State::Empty => {}
            }
        }
        LeaveGroupResponse { members, ..Default::default() }
    }

    fn who_leaves(&self, id: &str, instance_id: Option<&str>) -> Result<String, ErrorCode> {
        if id.is_empty() {
            let owner = instance_id.and_then(|instance_id| self.instances.get(instance_id));
            return owner.map(|id| id.to_string()).ok_or(ErrorCode::UnknownMemberId);
        }
        if !self.is_pending(id) {
            self.check_member(id, instance_id)?;
        }
        Ok(id.to_owned())
    }
}
