//! Consumer groups (KIP-848): the members of one group, what each is to have, and how it gets
//! there.
//!
//! ```text
//! heartbeat ── validate ─ subscribe ─ group epoch ─ target ─ reconcile ─→ records, answer
//! leave/timers ── fence ────────────→ records
//! records ── replay ─→ the group's state
//! ```
//!
//! Three epochs, each growing: the group's (somebody wants something else, or a topic changed), the
//! target's (the assignor has answered to that group epoch), and each member's (it has given up
//! what the target of that epoch does not give it). A partition that the target moves goes first
//! out of the heartbeat answers of the member that has it, then, when that member no longer lists
//! it, into the answers of the member that is to have it.
//!
//! Invariants:
//! * What records say is all there is to a group: a step applies its own records by
//!   [`ConsumerGroup::replay`], as a restart does. Besides there are only timers, an expression
//!   being resolved, and whether the topics' hash is of today; each begins anew after a restart.
//! * No two members have one partition (`assigned` or `revoking`).
//! * A step that is refused changes nothing.
//!
//! Not done: nothing measures rebalances; assigning happens in the step, not on another thread
//! (Kafka's `group.consumer.assignor.offload.enable`).

mod check;
mod classic;
mod config;
mod describe;
mod fence;
mod hash;
mod heartbeat;
mod member;
mod migrate;
mod offsets;
mod reconcile;
mod records;
mod regex;
mod replay;
mod resolve;
mod subscription;
mod target;
#[cfg(test)]
mod tests;
mod timers;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ringlog_wire::records::group::GroupRecord;
use ringlog_wire::{ErrorCode, Uuid};

use super::Client;
use super::assignor::Partitions;
use timers::Timers;

pub use config::{ConsumerGroupConfig, MigrationPolicy};
pub use heartbeat::Context;
pub use member::{Epochs, LEAVE_GROUP_EPOCH, LEAVE_GROUP_STATIC_EPOCH, Member, MemberState};
pub use migrate::{ClassicMember, ClassicSnapshot, Downgrade};
pub use offsets::CommitCheck;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: ErrorCode,
    /// The reason in words, where the protocol has room for it.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }
}

/// What a step decided. Without `downgrade` the group has applied the records already.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<R> {
    /// Records to append, as one batch.
    pub records: Vec<GroupRecord>,
    /// To be sent once the records are durable.
    pub response: R,
    /// The group becomes a classic group: `records` end it, what is here takes its place.
    pub downgrade: Option<Downgrade>,
}

impl<R> Answer<R> {
    /// An answer with no records.
    pub(crate) fn only(response: R) -> Answer<R> {
        Answer { records: Vec::new(), response, downgrade: None }
    }
}

/// What an expression stood for when it was last resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    topics: BTreeSet<String>,
    version: i64,
    timestamp: i64,
}

/// By how many members' names, and by how many expressions, a topic is subscribed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subscribers {
    by_name: usize,
    by_regex: usize,
}

/// See the module's head.
#[derive(Debug)]
pub struct ConsumerGroup {
    id: String,
    /// Whether a record of it has been applied.
    recorded: bool,
    epoch: i32,
    metadata_hash: i64,
    target_epoch: i32,
    /// When the target was made, in milliseconds since 1970; 0 when it never was.
    target_ms: i64,
    members: BTreeMap<String, Member>,
    target: BTreeMap<String, Partitions>,
    resolved: BTreeMap<String, Resolved>,
    /// Whether the log has a record that Kafka wrote before 4.1, to be deleted.
    has_partition_metadata: bool,

    // What follows from the members.
    static_members: BTreeMap<String, String>,
    /// Who has a partition, be it to give it up.
    owners: HashMap<Uuid, BTreeMap<i32, Arc<str>>>,
    topics: BTreeMap<String, Subscribers>,
    regexes: BTreeMap<String, usize>,
    assignors: BTreeMap<String, usize>,
    classic_members: usize,
    classic_protocols: BTreeMap<String, usize>,
    /// About how many bytes all of this takes.
    bytes: usize,

    // What a restart forgets.
    /// The topics' version that `metadata_hash` was last compared at.
    compared_version: Option<i64>,
    resolving: Option<resolve::Resolving>,
    timers: Timers,
}

/// A group's state, as DescribeGroups and ListGroups name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// No members.
    Empty,
    /// The target is of an older epoch than the group.
    Assigning,
    /// Members are on their way to the target.
    Reconciling,
    /// Every member has what the target gives it.
    Stable,
}

impl GroupState {
    /// Kafka's name.
    pub const fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::Assigning => "Assigning",
            GroupState::Reconciling => "Reconciling",
            GroupState::Stable => "Stable",
        }
    }
}

impl ConsumerGroup {
    /// A group without members, of which the log knows nothing.
    pub fn new(id: &str) -> ConsumerGroup {
        ConsumerGroup {
            id: id.to_string(),
            recorded: false,
            epoch: 1,
            metadata_hash: 0,
            target_epoch: 1,
            target_ms: 0,
            members: BTreeMap::new(),
            target: BTreeMap::new(),
            resolved: BTreeMap::new(),
            has_partition_metadata: false,
            static_members: BTreeMap::new(),
            owners: HashMap::new(),
            topics: BTreeMap::new(),
            regexes: BTreeMap::new(),
            assignors: BTreeMap::new(),
            classic_members: 0,
            classic_protocols: BTreeMap::new(),
            bytes: 0,
            compared_version: None,
            resolving: None,
            timers: Timers::default(),
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the log knows it: a group made for a heartbeat that was refused is to be forgotten.
    pub fn is_recorded(&self) -> bool {
        self.recorded
    }

    /// Its epoch.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The epoch of its target assignment.
    pub fn target_epoch(&self) -> i32 {
        self.target_epoch
    }

    /// Its members, by id.
    pub fn members(&self) -> &BTreeMap<String, Member> {
        &self.members
    }

    /// What each member is to have.
    pub fn target(&self) -> &BTreeMap<String, Partitions> {
        &self.target
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether a member is subscribed to a topic, by name or expression. Offsets of such topics
    /// are not deleted (GROUP_SUBSCRIBED_TO_TOPIC) and do not expire.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// About how many bytes of memory it takes: what its members have told, mostly.
    pub fn memory_bytes(&self) -> usize {
        self.bytes + size_of::<ConsumerGroup>() + self.id.len()
    }

    /// See [`GroupState`].
    pub fn state(&self) -> GroupState {
        if self.members.is_empty() {
            GroupState::Empty
        } else if self.epoch > self.target_epoch {
            GroupState::Assigning
        } else if self.members.values().all(|member| member.is_reconciled_to(self.target_epoch)) {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }

    /// The owner of a partition, if a member has it.
    fn owner(&self, topic: Uuid, partition: i32) -> Option<&str> {
        self.owners.get(&topic)?.get(&partition).map(|id| &**id)
    }

    fn member(&self, id: &str) -> Result<&Member, Refusal> {
        self.members.get(id).ok_or_else(|| {
            let message = format!("Member {id} is not a member of group {}.", self.id);
            Refusal::new(ErrorCode::UnknownMemberId, message)
        })
    }

    fn static_member(&self, instance_id: &str) -> Option<&Member> {
        let id = self.static_members.get(instance_id)?;
        Some(self.members.get(id).expect("a static member is a member"))
    }
}
