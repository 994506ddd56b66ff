//! One member's next step from what it has to what the target gives it.
//!
//! ```text
//! STABLE ── target moved, nothing to give up ─→ STABLE / UNRELEASED_PARTITIONS, target's epoch
//!   │                                                       ↑
//!   └── something to give up ─→ UNREVOKED_PARTITIONS ── no longer listed by the member
//!                               (its old epoch)
//! ```
//!
//! Invariant: a member is given a partition only when nobody has it.

use std::collections::BTreeSet;

use ringlog_wire::api::consumer_group_heartbeat::TopicPartitions;
use ringlog_wire::{ErrorCode, Uuid};

use super::Refusal;
use super::member::{Epochs, Member, MemberState};
use crate::group::assignor::Partitions;

/// What a member is reconciled to.
pub(super) struct Goal<'a> {
    /// The target's epoch.
    pub epoch: i32,
    /// The member's part of the target.
    pub target: &'a Partitions,
    /// The topics that the member is subscribed to, those that exist.
    pub subscribed: BTreeSet<Uuid>,
    /// Whether its subscription has changed in this step.
    pub subscription_changed: bool,
    /// What the member says that it has; `None` is "as before".
    pub owned: Option<&'a [TopicPartitions]>,
    /// Whether some member has a partition.
    pub is_held: &'a dyn Fn(Uuid, i32) -> bool,
}

impl Goal<'_> {
    /// The step of a member that is not there yet, or whose subscription has changed.
    /// FENCED_MEMBER_EPOCH if it is in a state that this build does not know, and has not given
    /// everything up.
    pub fn reconcile(&self, member: &Member) -> Result<Member, Refusal> {
        Ok(match member.state {
            MemberState::Stable if member.epoch != self.epoch => self.next(member),
            MemberState::Stable => self.drop_unsubscribed(member),
            MemberState::UnrevokedPartitions if self.owns_any(&member.revoking) => {
                if self.subscription_changed {
                    self.drop_unsubscribed(member)
                } else {
                    member.clone()
                }
            }
            MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => {
                self.next(member)
            }
            MemberState::Unknown if self.owned.is_none_or(|owned| !owned.is_empty()) => {
                return Err(Refusal::new(
                    ErrorCode::FencedMemberEpoch,
                    "The consumer group member is in a unknown state. The member must abandon \
                     all its partitions and rejoin.",
                ));
            }
            MemberState::Unknown => {
                let mut known = member.clone();
                known.epoch = self.epoch;
                let mut next = self.next(&known);
                // The epoch before is the one that the member knows.
                next.previous_epoch = member.epoch;
                next
            }
        })
    }

    /// Whether the member has said of none of these that it no longer has them.
    fn owns_any(&self, partitions: &Epochs) -> bool {
        let Some(owned) = self.owned else { return true };
        owned.iter().any(|topic| {
            let of_topic = partitions.get(&topic.topic_id);
            of_topic.is_some_and(|of| topic.partitions.iter().any(|p| of.contains_key(p)))
        })
    }

    /// Takes topics away that the member is no longer subscribed to, and leaves the rest to the
    /// next target.
    fn drop_unsubscribed(&self, member: &Member) -> Member {
        let mut next = member.clone();
        next.assigned.retain(|topic, of| {
            let subscribed = self.subscribed.contains(topic);
            if !subscribed {
                next.revoking.entry(*topic).or_default().extend(of.iter());
            }
            subscribed
        });
        if next.assigned == member.assigned {
            return member.clone();
        }
        next.enter_epoch(member.epoch);
        if self.owns_any(&next.revoking) {
            next.state = MemberState::UnrevokedPartitions;
        } else {
            // The member has given them up already.
            next.revoking = member.revoking.clone();
        }
        next
    }

    fn next(&self, member: &Member) -> Member {
        let none = BTreeSet::new();
        let mut keeps = Epochs::new();
        let mut gives_up = Epochs::new();
        for (topic, of_topic) in &member.assigned {
            let subscribed = self.subscribed.contains(topic);
            let target = if subscribed { self.target.get(topic) } else { None };
            for (&partition, &epoch) in of_topic {
                let stays = target.unwrap_or(&none).contains(&partition);
                let side = if stays { &mut keeps } else { &mut gives_up };
                side.entry(*topic).or_default().insert(partition, epoch);
            }
        }
        let mut next = member.clone();
        if !gives_up.is_empty() && self.owns_any(&gives_up) {
            next.state = MemberState::UnrevokedPartitions;
            next.enter_epoch(member.epoch);
            next.assigned = keeps;
            next.revoking = gives_up;
            return next;
        }
        let waits = self.take_free(member, &mut keeps);
        next.state = if waits { MemberState::UnreleasedPartitions } else { MemberState::Stable };
        next.enter_epoch(self.epoch);
        next.assigned = keeps;
        next.revoking.clear();
        next
    }

    /// Gives the member what the target gives it and nobody has. Says whether something is left.
    fn take_free(&self, member: &Member, assigned: &mut Epochs) -> bool {
        let mut waits = false;
        for (topic, partitions) in self.target {
            if !self.subscribed.contains(topic) {
                continue;
            }
            for &partition in partitions {
                if assigned.get(topic).is_some_and(|of| of.contains_key(&partition)) {
                    continue;
                }
                // What the member itself was to give up, it may have back.
                let own = member.revoking.get(topic).is_some_and(|of| of.contains_key(&partition));
                if (self.is_held)(*topic, partition) && !own {
                    waits = true;
                } else {
                    assigned.entry(*topic).or_default().insert(partition, self.epoch);
                }
            }
        }
        waits
    }
}
