//! A group of any kind, as those see it that do not care for its kind: commits, fetches, lists,
//! deletions, expiry.

use ringlog_wire::api::list_groups::ListedGroup;
use ringlog_wire::consumer_protocol::PROTOCOL_TYPE;
use ringlog_wire::{ErrorCode, Uuid};

use super::classic::{ClassicGroup, State};
use super::consumer::{CommitCheck, ConsumerGroup, GroupState};
use super::records::{self, GroupRecord};

/// Who commits, and as what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Committer<'a> {
    /// The member's id; empty for none.
    pub member_id: &'a str,
    /// Its static name.
    pub instance_id: Option<&'a str>,
    /// Its generation, or the member's epoch; negative for none.
    pub generation: i32,
    /// In a transaction.
    pub transactional: bool,
    /// The request's version.
    pub version: i16,
}

/// From when an offset's retention counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retention {
    /// From its commit.
    SinceCommit,
    /// From a time, in milliseconds since 1970.
    Since(i64),
}

/// What every kind of group answers.
pub(crate) trait AnyGroup {
    /// Kafka's name of the kind.
    fn kind(&self) -> &'static str;
    /// Kafka's name of the state.
    fn state_name(&self) -> &'static str;
    /// The protocol type; empty without one.
    fn protocol_type(&self) -> &str;
    /// Nobody is in it.
    fn is_empty(&self) -> bool;
    /// Members read the topic.
    fn reads(&self, topic: &str) -> bool;
    /// Whether somebody may commit.
    fn check_commit(&self, who: Committer) -> Result<(), ErrorCode>;
    /// Whether that somebody may commit for a partition of the topic of that id.
    fn check_commit_of(&self, who: Committer, topic: Uuid, partition: i32)
    -> Result<(), ErrorCode>;
    /// Whether somebody may fetch; `epoch` is -1 for a member of the classic protocol.
    fn check_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), ErrorCode>;
    /// Whether its offsets may be deleted one by one.
    fn check_delete_offsets(&self) -> Result<(), ErrorCode>;
    /// Whether it may be deleted.
    fn check_delete(&self) -> Result<(), ErrorCode>;
    /// The records that end it, its offsets' not among them.
    fn tombstones(&self) -> Vec<GroupRecord>;
    /// Whether its offsets expire while it is as it is.
    fn retention(&self) -> Option<Retention>;
    /// About how many bytes it takes in memory.
    fn bytes(&self) -> usize;
}

/// A group.
#[allow(clippy::large_enum_variant, reason = "most groups are classic: a box for each costs more")]
#[derive(Debug)]
pub(crate) enum Group {
    /// Of the classic protocol, or of nobody who only commits.
    Classic(Box<ClassicGroup>),
    /// Of the consumer protocol (KIP-848); some of its members may speak the classic one.
    Consumer(Box<ConsumerGroup>),
}

impl Group {
    /// The group, whatever its kind.
    pub fn any(&self) -> &dyn AnyGroup {
        match self {
            Group::Classic(group) => &**group,
            Group::Consumer(group) => &**group,
        }
    }

    /// The group's id.
    pub fn id(&self) -> &str {
        match self {
            Group::Classic(group) => &group.id,
            Group::Consumer(group) => group.id(),
        }
    }

    /// How ListGroups shows it.
    pub fn listed(&self) -> ListedGroup {
        let any = self.any();
        ListedGroup {
            group_id: self.id().to_owned(),
            protocol_type: any.protocol_type().to_owned(),
            group_state: any.state_name().to_owned(),
            group_type: any.kind().to_owned(),
        }
    }
}

impl AnyGroup for ClassicGroup {
    fn kind(&self) -> &'static str {
        "Classic"
    }

    fn state_name(&self) -> &'static str {
        self.state().name()
    }

    fn protocol_type(&self) -> &str {
        self.protocol_type().unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.state() == State::Empty
    }

    fn reads(&self, topic: &str) -> bool {
        self.reads(topic)
    }

    fn check_commit(&self, who: Committer) -> Result<(), ErrorCode> {
        self.check_commit(who.member_id, who.instance_id, who.generation, who.transactional)
    }

    fn check_commit_of(&self, _: Committer, _: Uuid, _: i32) -> Result<(), ErrorCode> {
        Ok(())
    }

    fn check_fetch(&self, _member_id: Option<&str>, _epoch: i32) -> Result<(), ErrorCode> {
        Ok(())
    }

    fn check_delete_offsets(&self) -> Result<(), ErrorCode> {
        // Of consumers it is known what they read; of others it is not.
        if AnyGroup::is_empty(self) || self.is_consumers() {
            return Ok(());
        }
        Err(ErrorCode::NonEmptyGroup)
    }

    fn check_delete(&self) -> Result<(), ErrorCode> {
        if AnyGroup::is_empty(self) { Ok(()) } else { Err(ErrorCode::NonEmptyGroup) }
    }

    fn tombstones(&self) -> Vec<GroupRecord> {
        vec![records::group(&self.id, None)]
    }

    fn retention(&self) -> Option<Retention> {
        if self.protocol_type().is_none() {
            return Some(Retention::SinceCommit);
        }
        match self.state() {
            State::Empty => {
                Some(self.state_since_ms().map_or(Retention::SinceCommit, Retention::Since))
            }
            State::Stable if self.is_consumers() && self.knows_topics() => {
                Some(Retention::SinceCommit)
            }
            _ => None,
        }
    }

    fn bytes(&self) -> usize {
        self.bytes()
    }
}

impl AnyGroup for ConsumerGroup {
    fn kind(&self) -> &'static str {
        "Consumer"
    }

    fn state_name(&self) -> &'static str {
        self.state().name()
    }

    fn protocol_type(&self) -> &str {
        PROTOCOL_TYPE
    }

    fn is_empty(&self) -> bool {
        self.state() == GroupState::Empty
    }

    fn reads(&self, topic: &str) -> bool {
        self.is_subscribed_to(topic)
    }

    fn check_commit(&self, who: Committer) -> Result<(), ErrorCode> {
        self.check_committer(who).map(|_| ())
    }

    fn check_commit_of(
        &self,
        who: Committer,
        topic: Uuid,
        partition: i32,
    ) -> Result<(), ErrorCode> {
        let checked = self.check_committer(who)?.partition("", topic, partition);
        checked.map_err(|refusal| refusal.code)
    }

    fn check_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), ErrorCode> {
        self.check_fetch(member_id, epoch).map_err(|refusal| refusal.code)
    }

    fn check_delete_offsets(&self) -> Result<(), ErrorCode> {
        Ok(())
    }

    fn check_delete(&self) -> Result<(), ErrorCode> {
        if AnyGroup::is_empty(self) { Ok(()) } else { Err(ErrorCode::NonEmptyGroup) }
    }

    fn tombstones(&self) -> Vec<GroupRecord> {
        self.tombstones()
    }

    fn retention(&self) -> Option<Retention> {
        // Members or not: what they read does not expire.
        Some(Retention::SinceCommit)
    }

    fn bytes(&self) -> usize {
        self.memory_bytes()
    }
}

impl ConsumerGroup {
    fn check_committer(&self, who: Committer) -> Result<CommitCheck<'_>, ErrorCode> {
        let Committer { member_id, instance_id, generation, transactional, version } = who;
        let checked = self.check_commit(member_id, instance_id, generation, transactional, version);
        checked.map_err(|refusal| refusal.code)
    }
}
