//! Who may commit and fetch a group's offsets.

use ringlog_wire::{ErrorCode, Uuid};

use super::member::Member;
use super::{ConsumerGroup, Refusal};

/// The OffsetCommit version that tells a member's epoch.
const COMMIT_WITH_EPOCH_VERSION: i16 = 9;

/// What a commit may be of.
#[derive(Clone, Copy, Debug)]
pub enum CommitCheck<'a> {
    /// Of any partition.
    Any,
    /// Of those that the member was given in this epoch or before: it is behind, but what it has
    /// it may commit.
    HeldSince {
        /// Who commits.
        member: &'a Member,
        /// The epoch that it knows.
        epoch: i32,
    },
}

impl CommitCheck<'_> {
    /// Whether a partition may be committed. STALE_MEMBER_EPOCH, or ILLEGAL_GENERATION for a
    /// member of the classic protocol, if not.
    pub fn partition(&self, topic: &str, id: Uuid, partition: i32) -> Result<(), Refusal> {
        let CommitCheck::HeldSince { member, epoch } = self else { return Ok(()) };
        let message = match member.held_since(id, partition) {
            Some(since) if *epoch >= since => return Ok(()),
            Some(since) => {
                let what = if member.is_classic() { "generation id" } else { "member epoch" };
                format!(
                    "Received {what} {epoch} is older than assignment epoch {since} for partition \
                     {topic}-{partition}."
                )
            }
            None => format!(
                "Partition {topic}-{partition} is not assigned or pending revocation for member."
            ),
        };
        Err(Refusal::new(stale(member), message))
    }
}

fn stale(member: &Member) -> ErrorCode {
    if member.is_classic() { ErrorCode::IllegalGeneration } else { ErrorCode::StaleMemberEpoch }
}

impl ConsumerGroup {
    /// Whether a member may commit offsets: OffsetCommit in a version, or TxnOffsetCommit.
    /// UNKNOWN_MEMBER_ID, UNSUPPORTED_VERSION, STALE_MEMBER_EPOCH, ILLEGAL_GENERATION.
    pub fn check_commit(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        epoch: i32,
        transactional: bool,
        version: i16,
    ) -> Result<CommitCheck<'_>, Refusal> {
        // Who does not take part in the group commits while nobody does.
        if epoch < 0 && self.members.is_empty() {
            return Ok(CommitCheck::Any);
        }
        // Producers need not tell who they are.
        if transactional && epoch == -1 && member_id.is_empty() && instance_id.is_none() {
            return Ok(CommitCheck::Any);
        }
        let member = self.member(member_id)?;
        if !transactional && !member.is_classic() && version < COMMIT_WITH_EPOCH_VERSION {
            return Err(Refusal::new(
                ErrorCode::UnsupportedVersion,
                "OffsetCommit version 9 or above must be used by members using the consumer \
                 group protocol",
            ));
        }
        if epoch == member.epoch {
            return Ok(CommitCheck::Any);
        }
        if epoch < member.epoch {
            return Ok(CommitCheck::HeldSince { member, epoch });
        }
        let what = if member.is_classic() { "generation id" } else { "member epoch" };
        let current = member.epoch;
        let message =
            format!("Received {what} {epoch} is newer than current member epoch {current}.");
        Err(Refusal::new(stale(member), message))
    }

    /// Whether a member may fetch offsets; `None` and a negative epoch is whoever does not say who
    /// it is. UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH, ILLEGAL_GENERATION.
    pub fn check_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), Refusal> {
        if member_id.is_none() && epoch < 0 {
            return Ok(());
        }
        let member = self.member(member_id.unwrap_or_default())?;
        if epoch == member.epoch {
            return Ok(());
        }
        let what = if member.is_classic() { "generation id" } else { "member epoch" };
        let message = format!(
            "The received {what} {epoch} does not match the expected member epoch {}.",
            member.epoch
        );
        Err(Refusal::new(stale(member), message))
    }
}
