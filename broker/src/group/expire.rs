//! What goes by itself: offsets whose time is over, groups that nobody is in and that have none,
//! offsets of deleted topics.
//!
//! All groups are walked, in the order of their ids, a bounded part at a time: so that no batch is
//! too large, and nobody waits long.

use std::collections::HashMap;
use std::sync::Arc;

use ringlog_wire::Uuid;

use super::Groups;
use super::event::{DeletedTopic, Output};
use super::kind::Retention;
use super::offsets::Committed;
use super::records::{self, GroupRecord};
use super::timers::Timer;

/// Groups that one part of a walk looks at.
const GROUPS_PER_PART: usize = 2_000;
/// Topics whose deletion waits to be swept. Beyond it, their offsets stay until they expire.
const DELETED_TOPICS_MAX: usize = 10_000;

/// What is to be swept of a topic's name.
#[derive(Debug, Default)]
struct Deleted {
    /// The ids of the topics that had it.
    ids: Vec<Uuid>,
    /// The last position in the log when the last of them was deleted. A topic made since may have
    /// the name, and offsets committed by name do not say which of them they are of.
    position: i64,
}

impl Deleted {
    fn has(&self, committed: &Committed) -> bool {
        match committed.topic_id.is_zero() {
            true => committed.position <= self.position,
            false => self.ids.contains(&committed.topic_id),
        }
    }
}

/// Where the walk is.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// A walk is on its way.
    walks: bool,
    /// It goes on after this group.
    after: Option<Arc<str>>,
    /// The deleted topics that this walk looks for, by name.
    topics: HashMap<String, Deleted>,
    /// Those that the next walk looks for, each with the position of its deletion.
    topics_next: Vec<(i64, DeletedTopic)>,
}

impl Groups {
    /// Topics were deleted; the walk begins with the next [`Timer::Sweep`], at once.
    pub(super) fn topics_deleted(&mut self, now_ms: i64, topics: Vec<DeletedTopic>) {
        let room = DELETED_TOPICS_MAX.saturating_sub(self.sweep.topics_next.len());
        let topics = topics.into_iter().map(|topic| (self.position, topic));
        self.sweep.topics_next.extend(topics.take(room));
        self.timers.set(Timer::Sweep, now_ms);
    }

    /// The next part of a walk.
    pub(super) fn sweep(&mut self, now_ms: i64, out: &mut Output) {
        if !self.sweep.walks {
            self.sweep.walks = true;
            self.sweep.topics.clear();
            for (position, topic) in std::mem::take(&mut self.sweep.topics_next) {
                let deleted = self.sweep.topics.entry(topic.name).or_default();
                deleted.ids.push(topic.id);
                deleted.position = position;
            }
        }
        let after = self.sweep.after.take();
        let from = match after.clone() {
            Some(after) => (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded),
            None => (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded),
        };
        let ids = self.groups.range::<Arc<str>, _>(from).map(|(id, _)| id.clone());
        let ids: Vec<Arc<str>> = ids.take(GROUPS_PER_PART).collect();
        let mut more = ids.len() == GROUPS_PER_PART;
        let room = self.config.batch_bytes_max.saturating_sub(records::BATCH_OVERHEAD);
        let mut bytes: usize = out.records.iter().map(records::bytes).sum();
        let mut ends = Vec::new();
        let mut last = None;
        for id in ids {
            let mut full = false;
            for record in self.what_ends(now_ms, &id) {
                bytes += records::bytes(&record);
                if bytes > room && !ends.is_empty() {
                    full = true;
                    break;
                }
                ends.push(record);
            }
            if full {
                // What is left of this group comes first in the next part.
                more = true;
                break;
            }
            last = Some(id);
        }
        self.decide(ends, out);
        if more {
            self.sweep.after = last.or(after);
            return self.timers.set(Timer::Sweep, now_ms);
        }
        self.sweep.walks = false;
        let again_ms = self.config.offsets_retention_check_ms.max(1);
        let due_ms = if self.sweep.topics_next.is_empty() { now_ms + again_ms } else { now_ms };
        self.timers.set(Timer::Sweep, due_ms);
    }

    /// What is over of a group; the group itself last, when it has nothing left.
    fn what_ends(&self, now_ms: i64, id: &Arc<str>) -> Vec<GroupRecord> {
        let Some(group) = self.groups.get(id) else { return Vec::new() };
        let group = group.any();
        let retention = group.retention();
        let (mut ends, mut left) = (Vec::new(), 0);
        for (topic, partitions) in self.offsets.of_group(id).into_iter().flatten() {
            let reads = group.reads(topic);
            for (at, committed) in partitions {
                let expired = retention.is_some_and(|retention| {
                    !reads && self.is_expired(now_ms, committed, retention)
                });
                let open = self.offsets.is_open(id, topic, *at);
                let deleted = self.sweep.topics.get(&**topic).is_some_and(|deleted| {
                    deleted.has(committed) && self.is_pending_of(deleted, (id, topic, *at))
                });
                if (expired && !open) || deleted {
                    ends.push(records::offset(id, topic, *at, None));
                } else {
                    left += 1;
                }
            }
        }
        self.pending_of_deleted(id, &mut ends);
        let ends_too = retention.is_some() || self.offsets.of_group(id).is_none();
        if left == 0 && ends_too && group.is_empty() && !self.offsets.is_group_open(id) {
            ends.extend(group.tombstones());
        }
        ends
    }

    fn is_expired(&self, now_ms: i64, committed: &Committed, retention: Retention) -> bool {
        if committed.expire_ms != -1 {
            return now_ms >= committed.expire_ms;
        }
        let since_ms = match retention {
            Retention::SinceCommit => committed.commit_ms,
            Retention::Since(since_ms) => since_ms,
        };
        now_ms.saturating_sub(since_ms) >= self.config.offsets_retention_ms
    }

    /// Whether all that open transactions have for a partition is of deleted topics. One tombstone
    /// forgets all of a partition: where something is not, nothing is forgotten, and when its
    /// transaction commits it takes the place of what was there.
    fn is_pending_of(&self, deleted: &Deleted, (id, topic, at): (&str, &str, i32)) -> bool {
        self.offsets.pending(id, topic, at).all(|committed| deleted.has(committed))
    }

    /// Offsets of deleted topics that only open transactions have.
    fn pending_of_deleted(&self, id: &str, ends: &mut Vec<GroupRecord>) {
        let open = self.offsets.open_of_group(id).into_iter().flatten();
        for (topic, partitions) in open {
            let Some(deleted) = self.sweep.topics.get(&**topic) else { continue };
            for at in partitions.keys() {
                let only = self.offsets.get(id, topic, *at).is_none();
                if only && self.is_pending_of(deleted, (id, topic, *at)) {
                    ends.push(records::offset(id, topic, *at, None));
                }
            }
        }
    }
}
