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

/// Where the walk is.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// A walk is on its way.
    walks: bool,
    /// It goes on after this group.
    after: Option<Arc<str>>,
    /// The deleted topics that this walk looks for: their ids by name.
    topics: HashMap<String, Vec<Uuid>>,
    /// Those that the next walk looks for.
    topics_next: Vec<DeletedTopic>,
}

impl Groups {
    /// Topics were deleted; the walk begins with the next [`Timer::Sweep`], at once.
    pub(super) fn topics_deleted(&mut self, now_ms: i64, topics: Vec<DeletedTopic>) {
        let room = DELETED_TOPICS_MAX.saturating_sub(self.sweep.topics_next.len());
        self.sweep.topics_next.extend(topics.into_iter().take(room));
        self.timers.set(Timer::Sweep, now_ms);
    }

    /// The next part of a walk.
    pub(super) fn sweep(&mut self, now_ms: i64, out: &mut Output) {
        if !self.sweep.walks {
            self.sweep.walks = true;
            self.sweep.topics.clear();
            for DeletedTopic { name, id } in std::mem::take(&mut self.sweep.topics_next) {
                self.sweep.topics.entry(name).or_default().push(id);
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
                if (expired && !open) || self.is_of_deleted(topic, committed) {
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

    fn is_of_deleted(&self, topic: &str, committed: &Committed) -> bool {
        let Some(ids) = self.sweep.topics.get(topic) else { return false };
        committed.topic_id.is_zero() || ids.contains(&committed.topic_id)
    }

    /// Offsets of deleted topics in open transactions. One tombstone forgets all of a partition.
    fn pending_of_deleted(&self, id: &str, ends: &mut Vec<GroupRecord>) {
        for (topic, partitions) in self.offsets.open_of_group(id).into_iter().flatten() {
            if !self.sweep.topics.contains_key(&**topic) {
                continue;
            }
            for at in partitions.keys() {
                if self.offsets.get(id, topic, *at).is_none() {
                    ends.push(records::offset(id, topic, *at, None));
                }
            }
        }
    }
}
