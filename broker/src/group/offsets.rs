//! Committed offsets, and those that wait for the end of their transaction.
//!
//! Invariants:
//! - `open` has exactly the partitions and producers of `pending`.
//! - No map in a map is empty.
//! - Of an offset committed in a transaction and one committed outside of it, the one that stands
//!   later in the log holds, whenever the marker comes: that is what a reader of the compacted log
//!   finds as well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringlog_wire::Uuid;

use super::records::OffsetCommitValue;

/// What an offset takes in memory beside its metadata.
const OFFSET_OVERHEAD: usize = 160;
/// What a topic of a group takes in memory beside its name.
const TOPIC_OVERHEAD: usize = 160;
/// What a group with offsets takes in memory beside its id.
const GROUP_OVERHEAD: usize = 192;

/// A committed offset.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Committed {
    /// Where its record is in the log; in a running coordinator, how many records came before.
    pub position: i64,
    /// The offset of the next record to read.
    pub offset: i64,
    /// The leader's epoch of the last record read, or -1.
    pub leader_epoch: i32,
    /// What the client wants to remember with it.
    pub metadata: String,
    /// When it was committed, in milliseconds since 1970.
    pub commit_ms: i64,
    /// When it is forgotten, in milliseconds since 1970; -1 leaves that to the broker's retention.
    pub expire_ms: i64,
    /// The topic's id, or zero.
    pub topic_id: Uuid,
}

impl Committed {
    /// As the log has it. What its version does not hold is not known here either.
    pub fn read(position: i64, value: OffsetCommitValue) -> Committed {
        let expires = value.expire_timestamp != -1;
        Committed {
            position,
            offset: value.offset,
            leader_epoch: if expires { -1 } else { value.leader_epoch },
            metadata: value.metadata,
            commit_ms: value.commit_timestamp,
            expire_ms: value.expire_timestamp,
            topic_id: if expires { Uuid::ZERO } else { value.topic_id },
        }
    }
}

/// Anything by topic and partition.
pub(crate) type ByPartition<T> = BTreeMap<Arc<str>, BTreeMap<i32, T>>;
type ByGroup<T> = BTreeMap<Arc<str>, ByPartition<T>>;

/// The offsets of a partition's groups.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    committed: ByGroup<Committed>,
    pending: BTreeMap<i64, ByGroup<Committed>>,
    open: ByGroup<BTreeSet<i64>>,
    bytes: usize,
}

/// What a thing takes in memory.
trait Weight {
    fn bytes(&self) -> usize;
}

impl Weight for Committed {
    fn bytes(&self) -> usize {
        OFFSET_OVERHEAD + self.metadata.len()
    }
}

impl Weight for BTreeSet<i64> {
    fn bytes(&self) -> usize {
        OFFSET_OVERHEAD
    }
}

fn get<'a, T>(map: &'a ByGroup<T>, group: &str, topic: &str, partition: i32) -> Option<&'a T> {
    map.get(group)?.get(topic)?.get(&partition)
}

/// Puts something in, and counts what it takes.
fn put<T: Weight>(
    map: &mut ByGroup<T>,
    (group, topic, partition): (&Arc<str>, &Arc<str>, i32),
    value: T,
    bytes: &mut usize,
) {
    let topics = map.entry(group.clone()).or_insert_with(|| {
        *bytes += GROUP_OVERHEAD + group.len();
        BTreeMap::new()
    });
    let partitions = topics.entry(topic.clone()).or_insert_with(|| {
        *bytes += TOPIC_OVERHEAD + topic.len();
        BTreeMap::new()
    });
    *bytes += value.bytes();
    if let Some(replaced) = partitions.insert(partition, value) {
        *bytes -= replaced.bytes();
    }
}

/// Takes something out, and what it took off the count.
fn take<T: Weight>(
    map: &mut ByGroup<T>,
    (group, topic, partition): (&str, &str, i32),
    bytes: &mut usize,
) -> Option<T> {
    let topics = map.get_mut(group)?;
    let partitions = topics.get_mut(topic)?;
    let value = partitions.remove(&partition)?;
    *bytes -= value.bytes();
    if partitions.is_empty() {
        topics.remove(topic);
        *bytes -= TOPIC_OVERHEAD + topic.len();
    }
    if topics.is_empty() {
        map.remove(group);
        *bytes -= GROUP_OVERHEAD + group.len();
    }
    Some(value)
}

#[cfg(test)]
fn weigh<T: Weight>(map: &ByGroup<T>) -> usize {
    let mut bytes = 0;
    for (group, topics) in map {
        assert!(!topics.is_empty(), "a group without topics");
        bytes += GROUP_OVERHEAD + group.len();
        for (topic, partitions) in topics {
            assert!(!partitions.is_empty(), "a topic without partitions");
            bytes += TOPIC_OVERHEAD + topic.len();
            bytes += partitions.values().map(Weight::bytes).sum::<usize>();
        }
    }
    bytes
}

impl Offsets {
    /// A committed offset.
    pub fn get(&self, group: &str, topic: &str, partition: i32) -> Option<&Committed> {
        get(&self.committed, group, topic, partition)
    }

    /// All committed offsets of a group.
    pub fn of_group(&self, group: &str) -> Option<&ByPartition<Committed>> {
        self.committed.get(group)
    }

    /// True when a transaction that is open has an offset for the partition.
    pub fn is_open(&self, group: &str, topic: &str, partition: i32) -> bool {
        get(&self.open, group, topic, partition).is_some()
    }

    /// True when a transaction that is open has an offset of the group.
    pub fn is_group_open(&self, group: &str) -> bool {
        self.open.contains_key(group)
    }

    /// The partitions of a group that open transactions have offsets for.
    pub fn open_of_group(&self, group: &str) -> Option<&ByPartition<BTreeSet<i64>>> {
        self.open.get(group)
    }

    /// What open transactions have for a partition.
    pub fn pending(
        &self,
        group: &str,
        topic: &str,
        partition: i32,
    ) -> impl Iterator<Item = &Committed> {
        let producers = get(&self.open, group, topic, partition).into_iter().flatten();
        producers.filter_map(move |producer_id| {
            get(self.pending.get(producer_id)?, group, topic, partition)
        })
    }

    /// About how many bytes they take in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// An offset is committed, at once or with its transaction.
    pub fn commit(
        &mut self,
        group: &Arc<str>,
        topic: &str,
        partition: i32,
        value: Committed,
        producer_id: Option<i64>,
    ) {
        let topic: Arc<str> = self.topic_name(group, topic);
        let key = (group, &topic, partition);
        let Some(producer_id) = producer_id else {
            return put(&mut self.committed, key, value, &mut self.bytes);
        };
        let topics = self.open.get_mut(group);
        match topics.and_then(|topics| topics.get_mut(&topic)?.get_mut(&partition)) {
            Some(producers) => {
                producers.insert(producer_id);
            }
            None => put(&mut self.open, key, BTreeSet::from([producer_id]), &mut self.bytes),
        }
        put(self.pending.entry(producer_id).or_default(), key, value, &mut self.bytes);
    }

    /// The same name is kept once per group, where that is easy.
    fn topic_name(&self, group: &str, topic: &str) -> Arc<str> {
        let known = self.committed.get(group).and_then(|topics| topics.get_key_value(topic));
        known.map_or_else(|| Arc::from(topic), |(name, _)| name.clone())
    }

    /// An offset is forgotten, and so is what open transactions have for the partition.
    pub fn forget(&mut self, group: &str, topic: &str, partition: i32) {
        let key = (group, topic, partition);
        take(&mut self.committed, key, &mut self.bytes);
        let producers = take(&mut self.open, key, &mut self.bytes);
        for producer_id in producers.into_iter().flatten() {
            let Some(groups) = self.pending.get_mut(&producer_id) else { continue };
            take(groups, key, &mut self.bytes);
            if groups.is_empty() {
                self.pending.remove(&producer_id);
            }
        }
    }

    /// A transaction ends: what it committed holds, or is as if it had never been.
    pub fn end_transaction(&mut self, producer_id: i64, committed: bool) {
        let Some(mut groups) = self.pending.remove(&producer_id) else { return };
        let mut keys = Vec::new();
        for (group, topics) in &groups {
            for (topic, partitions) in topics {
                keys.extend(partitions.keys().map(|at| (group.clone(), topic.clone(), *at)));
            }
        }
        for (group, topic, partition) in keys {
            let key = (&*group, &*topic, partition);
            let Some(value) = take(&mut groups, key, &mut self.bytes) else { continue };
            self.close(key, producer_id);
            let before = self.get(&group, &topic, partition).map(|old| old.position);
            if committed && before.is_none_or(|position| position < value.position) {
                self.commit(&group, &topic, partition, value, None);
            }
        }
    }

    fn close(&mut self, key: (&str, &str, i32), producer_id: i64) {
        let topics = self.open.get_mut(key.0);
        let producers = topics.and_then(|topics| topics.get_mut(key.1)?.get_mut(&key.2));
        let Some(producers) = producers else { unreachable!("what is pending is open") };
        producers.remove(&producer_id);
        if producers.is_empty() {
            take(&mut self.open, key, &mut self.bytes);
        }
    }

    /// Everything, for those who compare.
    #[cfg(test)]
    pub fn all(&self) -> (ByGroup<Committed>, BTreeMap<i64, ByGroup<Committed>>) {
        (self.committed.clone(), self.pending.clone())
    }

    /// What the invariants say.
    #[cfg(test)]
    pub fn check(&self) {
        let mut bytes = weigh(&self.committed) + weigh(&self.open);
        let mut open: ByGroup<BTreeSet<i64>> = BTreeMap::new();
        for (producer_id, groups) in &self.pending {
            assert!(!groups.is_empty(), "a producer without offsets");
            bytes += weigh(groups);
            for (group, topics) in groups {
                for (topic, partitions) in topics {
                    for partition in partitions.keys() {
                        let topics = open.entry(group.clone()).or_default();
                        let partitions = topics.entry(topic.clone()).or_default();
                        partitions.entry(*partition).or_default().insert(*producer_id);
                    }
                }
            }
        }
        assert_eq!(open, self.open, "what is pending is open");
        assert_eq!(bytes, self.bytes, "bytes are counted");
    }
}
