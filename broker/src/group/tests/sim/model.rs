//! What must hold, whatever happens.

use std::collections::BTreeMap;

use crate::group::records::GroupRecord;
use crate::group::tests::Entry;

/// A group, and how often it was deleted before: generations begin again after that.
type Life = (String, usize);
/// A group's partition.
type Place = (String, i32);

/// What was told to clients, as far as it binds the coordinator.
#[derive(Debug, Default)]
pub struct Model {
    /// Who owns a partition in a generation.
    owners: BTreeMap<(Life, i32, i32), String>,
    /// The last generation that somebody was told its part of.
    generations: BTreeMap<Life, i32>,
    /// What was acknowledged as committed.
    acked: BTreeMap<Place, i64>,
    /// Where in the log an offset was last deleted.
    deleted: BTreeMap<Place, usize>,
}

impl Model {
    /// Records were appended; the first of them at `at`.
    pub fn appended(&mut self, at: usize, entries: &[Entry]) -> usize {
        let mut count = 0;
        for (place, entry) in entries.iter().enumerate() {
            let Entry::Record(record, _) = entry else { continue };
            if let GroupRecord::OffsetCommit { key, value: None } = &**record {
                let key = (key.group.clone(), key.partition);
                self.acked.remove(&key);
                self.deleted.insert(key, at + place);
                count += 1;
            }
        }
        count
    }

    /// The log was cut.
    pub fn cut(&mut self, end: usize) {
        self.deleted.retain(|_, at| *at < end);
    }

    fn life(log: &[Entry], group: &str) -> Life {
        let ends = log.iter().filter(|entry| match entry {
            Entry::Record(record, _) => match &**record {
                GroupRecord::GroupMetadata { key, value: None } => key.group == group,
                _ => false,
            },
            Entry::Marker(..) => false,
        });
        (group.to_owned(), ends.count())
    }

    /// A member was told its part; `log` is what was durable then.
    pub fn part(
        &mut self,
        log: &[Entry],
        group: &str,
        generation: i32,
        owner: &str,
        partitions: &[i32],
    ) -> Result<(), String> {
        let life = Model::life(log, group);
        let last = self.generations.entry(life.clone()).or_insert(generation);
        if generation < *last {
            return Err(format!("generations grow: {group} told of {generation} after {last}"));
        }
        *last = generation;
        for partition in partitions {
            let key = (life.clone(), generation, *partition);
            let known = self.owners.entry(key).or_insert_with(|| owner.to_owned());
            if known != owner {
                return Err(format!(
                    "one owner: {group}-{partition} in generation {generation}: {known}, {owner}"
                ));
            }
        }
        Ok(())
    }

    /// A heartbeat was accepted.
    pub fn alive(&mut self, log: &[Entry], group: &str, generation: i32) -> Result<(), String> {
        match self.generations.get(&Model::life(log, group)) {
            Some(last) if generation < *last => {
                Err(format!("generations grow: a heartbeat of {generation} passes after {last}"))
            }
            _ => Ok(()),
        }
    }

    /// A commit at `at` in the log was acknowledged, or its transaction was.
    pub fn acked(&mut self, at: usize, place: &Place, offset: i64) {
        if self.deleted.get(place).is_none_or(|deleted| *deleted < at) {
            let acked = self.acked.entry(place.clone()).or_insert(offset);
            *acked = offset.max(*acked);
        }
    }

    /// Somebody was told an offset.
    pub fn read(&self, place: &Place, offset: i64) -> Result<(), String> {
        match self.acked.get(place) {
            Some(acked) if offset < *acked => {
                Err(format!("offsets stay: {place:?} is {offset} after {acked}"))
            }
            _ => Ok(()),
        }
    }
}
