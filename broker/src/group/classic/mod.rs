//! One classic group: members join, the leader assigns, everybody is told; then heartbeats.
//!
//! ```text
//!            a member joins             all joined, or their time is up
//!    Empty ─────────────────► PreparingRebalance ─────────────────► CompletingRebalance
//!      ▲                        │    ▲        ▲                             │
//!      └────────────────────────┘    │        └──── a member comes, goes ───┤
//!            nobody is left          │              or wants something else │ the leader's
//!                                    └──────────────── Stable ◄─────────────┘ SyncGroup
//! ```
//!
//! Invariants:
//! - `joining` is the number of members whose JoinGroup waits, `instances` names the static ones.
//! - The members have at least one protocol in common; `supported` counts them by protocol.
//! - The leader is a member; without members there is none.
//! - A group is written to the log when it is Stable or Empty anew, and when a static member of a
//!   Stable one is replaced: what is Stable or Empty here reads the same from the log.
//!
//! Absent on purpose: Kafka's state Dead. A group that is deleted is gone, at once.

mod join;
mod leave;
mod member;
mod rebalance;
mod replay;
mod statics;
mod subscription;
mod sync;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringlog_wire::ErrorCode;
use ringlog_wire::api::join_group::JoinGroupResponse;
use ringlog_wire::api::sync_group::SyncGroupResponse;

pub(crate) use join::Joining;
pub(crate) use member::{Member, protocols_bytes};
use subscription::CONSUMER;

use super::config::GroupConfig;
use super::event::{Output, Response};
use super::timers::{Timer, Timers};
use crate::coordinator::Ticket;

/// What a group takes in memory beside its members.
const GROUP_OVERHEAD: usize = 768;
/// What a name in one of the group's sets takes in memory beside its bytes.
const NAME_OVERHEAD: usize = 128;

/// Where a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Without members.
    Empty,
    /// Members join.
    PreparingRebalance,
    /// The leader's assignment is awaited.
    CompletingRebalance,
    /// Everybody knows its part.
    Stable,
}

impl State {
    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

/// What a step on a group has at hand.
pub(crate) struct Turn<'a> {
    /// The time.
    pub now_ms: i64,
    /// The settings.
    pub config: &'a GroupConfig,
    /// All groups' timers.
    pub timers: &'a mut Timers,
    /// What is decided.
    pub out: &'a mut Output,
}

impl Turn<'_> {
    fn join_reply(&mut self, to: Ticket, response: JoinGroupResponse) {
        self.out.reply(to, Response::Join(response));
    }

    fn sync_reply(&mut self, to: Ticket, response: SyncGroupResponse) {
        self.out.reply(to, Response::Sync(response));
    }

    fn join_error(&mut self, to: Ticket, member_id: &str, error_code: ErrorCode) {
        let member_id = member_id.to_owned();
        self.join_reply(to, JoinGroupResponse { member_id, error_code, ..Default::default() });
    }

    fn sync_error(&mut self, to: Ticket, error_code: ErrorCode) {
        self.sync_reply(to, SyncGroupResponse { error_code, ..Default::default() });
    }
}

/// The first wait of a group that was empty: it is prolonged by members that come meanwhile.
#[derive(Clone, Copy, Debug, PartialEq)]
struct InitialWait {
    delay_ms: i64,
    remaining_ms: i64,
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClassicGroup {
    pub(crate) id: Arc<str>,
    state: State,
    /// Since when, where the log says it.
    state_since_ms: Option<i64>,
    protocol_type: Option<String>,
    protocol_name: Option<String>,
    generation: i32,
    leader: Option<Arc<str>>,
    members: BTreeMap<Arc<str>, Member>,
    instances: BTreeMap<String, Arc<str>>,
    /// Ids that were given out, and whose owners have not come back yet.
    pending_joins: BTreeSet<Arc<str>>,
    /// Members that were told of the generation, and have not asked for their part yet.
    pending_syncs: BTreeSet<Arc<str>>,
    joining: usize,
    supported: BTreeMap<String, usize>,
    /// The topics that the members read, where they can be known.
    subscribed: Option<BTreeSet<String>>,
    /// The rebalance that is being prepared began with an empty group.
    from_empty: bool,
    newcomers: bool,
    initial_wait: Option<InitialWait>,
}

impl ClassicGroup {
    /// A group that nobody is in. `since_ms` is none for one that only has offsets.
    pub fn new(id: Arc<str>, since_ms: Option<i64>) -> ClassicGroup {
        ClassicGroup {
            id,
            state: State::Empty,
            state_since_ms: since_ms,
            protocol_type: None,
            protocol_name: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending_joins: BTreeSet::new(),
            pending_syncs: BTreeSet::new(),
            joining: 0,
            supported: BTreeMap::new(),
            subscribed: None,
            from_empty: false,
            newcomers: false,
            initial_wait: None,
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    pub fn state_since_ms(&self) -> Option<i64> {
        self.state_since_ms
    }

    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    pub fn protocol_name(&self) -> Option<&str> {
        self.protocol_name.as_deref()
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub fn member(&self, id: &str) -> Option<&Member> {
        self.members.get(id)
    }

    pub fn is_pending(&self, id: &str) -> bool {
        self.pending_joins.contains(id)
    }

    pub fn is_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    fn all_joined(&self) -> bool {
        self.members.len() == self.joining && self.pending_joins.is_empty()
    }

    /// Whether members read a topic; unknown is yes for consumers, no for others.
    pub fn reads(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.is_consumers(),
        }
    }

    /// True when the topics that the members read are known.
    pub fn knows_topics(&self) -> bool {
        self.subscribed.is_some()
    }

    /// How long a rebalance may take.
    fn rebalance_timeout_ms(&self) -> i64 {
        let longest = self.members().map(|member| member.rebalance_timeout_ms).max();
        i64::from(longest.unwrap_or(0).max(0))
    }

    /// Whether somebody is a member, and the right one of its static name.
    pub fn check_member(&self, id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.instances.get(instance_id) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(owner) if &**owner != id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// Whether offsets may be committed (rule 70).
    pub fn check_commit(
        &self,
        id: &str,
        instance_id: Option<&str>,
        generation: i32,
        transactional: bool,
    ) -> Result<(), ErrorCode> {
        if generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        if generation >= 0 || !id.is_empty() || instance_id.is_some() {
            self.check_member(id, instance_id)?;
            if generation != self.generation {
                return Err(ErrorCode::IllegalGeneration);
            }
        } else if !transactional && self.state != State::Empty {
            return Err(ErrorCode::UnknownMemberId);
        }
        if !transactional && self.state == State::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// A commit is a sign of life, while members are not waiting for their assignment anyway.
    pub fn committed(&self, turn: &mut Turn, id: &str) {
        if matches!(self.state, State::Stable | State::PreparingRebalance) {
            self.heard_of(turn, id);
        }
    }

    /// A member gets a fresh session.
    fn heard_of(&self, turn: &mut Turn, id: &str) {
        let Some(member) = self.members.get(id) else { return };
        let due_ms = turn.now_ms.saturating_add(i64::from(member.session_timeout_ms.max(1)));
        turn.timers.set(Timer::Member(self.id.clone(), member.id.clone()), due_ms);
    }

    /// About how many bytes it takes in memory.
    pub fn bytes(&self) -> usize {
        let pending = self.pending_joins.iter().map(|id| NAME_OVERHEAD + 2 * id.len());
        let subscribed = self.subscribed.iter().flatten().map(|name| NAME_OVERHEAD + name.len());
        GROUP_OVERHEAD
            + 3 * self.id.len()
            + self.members().map(Member::bytes).sum::<usize>()
            + pending.sum::<usize>()
            + subscribed.sum::<usize>()
    }

    /// The group goes: nothing of it is due any more. Who waits is handed out.
    pub fn end(&self, timers: &mut Timers) -> Vec<Ticket> {
        timers.cancel(Timer::Join(self.id.clone()));
        timers.cancel(Timer::Sync(self.id.clone()));
        for id in self.members.keys().chain(&self.pending_joins) {
            timers.cancel(Timer::Member(self.id.clone(), id.clone()));
        }
        self.members().flat_map(|member| [member.join, member.sync]).flatten().collect()
    }
}
