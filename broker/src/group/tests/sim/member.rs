//! A member as clients behave: it joins, assigns if it leads, syncs, heartbeats, commits; and it
//! goes on with stale knowledge after a stall.

use ringlog_wire::ErrorCode;
use ringlog_wire::api::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use ringlog_wire::api::sync_group::{
    SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse,
};

/// Partitions of the topic that all groups read.
pub const PARTITIONS: i32 = 6;

/// What a member does.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// It is about to join.
    Out,
    /// Its JoinGroup or SyncGroup waits.
    Waits,
    /// It knows its generation.
    Joined(Vec<SyncGroupRequestAssignment>),
    /// It knows its part.
    In,
    /// Another life of it has taken over.
    Fenced,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Member {
    pub number: usize,
    pub group: String,
    pub instance_id: Option<String>,
    pub version: i16,
    pub protocols: Vec<&'static str>,
    pub session_ms: i32,
    pub id: String,
    pub generation: i32,
    pub phase: Phase,
    pub partitions: Vec<i32>,
    pub stalls_until_ms: i64,
}

impl Member {
    /// As the invariants know it: static members are themselves over all their lives.
    pub fn owner(&self) -> String {
        self.instance_id.clone().unwrap_or_else(|| self.id.clone())
    }

    pub fn join(&self) -> JoinGroupRequest {
        let protocol = |name: &&str| JoinGroupRequestProtocol {
            name: (*name).to_owned(),
            metadata: b"\0\0\0\0\0\x01\0\x01a\0\0\0\0".to_vec(),
        };
        JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: self.session_ms,
            rebalance_timeout_ms: 2 * self.session_ms,
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            protocol_type: "consumer".to_owned(),
            protocols: self.protocols.iter().map(protocol).collect(),
            reason: None,
        }
    }

    pub fn sync(&self, assignments: Vec<SyncGroupRequestAssignment>) -> SyncGroupRequest {
        SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            assignments,
            ..Default::default()
        }
    }

    pub fn joined(&mut self, told: JoinGroupResponse) {
        if !told.error_code.is_none() {
            if told.error_code == ErrorCode::MemberIdRequired {
                self.id = told.member_id;
                self.phase = Phase::Out;
                return;
            }
            return self.failed(told.error_code);
        }
        (self.id, self.generation) = (told.member_id, told.generation_id);
        let assigns = told.leader == self.id && !told.skip_assignment;
        let ids = told.members.into_iter().map(|member| member.member_id);
        self.phase = Phase::Joined(if assigns { assign(ids.collect()) } else { Vec::new() });
    }

    pub fn synced(&mut self, told: &SyncGroupResponse) {
        if !told.error_code.is_none() {
            return self.failed(told.error_code);
        }
        self.partitions = told.assignment.iter().map(|at| i32::from(*at)).collect();
        self.phase = Phase::In;
    }

    /// What a client does after an error.
    pub fn failed(&mut self, error: ErrorCode) {
        self.phase = Phase::Out;
        self.partitions.clear();
        match error {
            ErrorCode::FencedInstanceId => self.phase = Phase::Fenced,
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => self.id.clear(),
            _ => {}
        }
    }
}

/// By range: each member gets its share of the partitions, one after the other.
fn assign(mut ids: Vec<String>) -> Vec<SyncGroupRequestAssignment> {
    ids.sort_unstable();
    let count = ids.len();
    let share = |place: usize| (place * PARTITIONS as usize / count) as u8;
    let part = |(place, member_id): (usize, String)| SyncGroupRequestAssignment {
        member_id,
        assignment: (share(place)..share(place + 1)).collect(),
    };
    ids.into_iter().enumerate().map(part).collect()
}
