//! Fetch sessions (KIP-227): what a reader has asked for is kept, so that it names only what
//! changes, and is told only what has changed (rule 49).
//!
//! A session's partitions are *active* or idle. Active ones are looked at by the next fetch; one
//! that was looked at and has nothing to tell becomes idle, and somebody who sees it move makes it
//! active again ([`Sessions::activate`]). So a fetch costs what has moved, not what there is.
//!
//! Invariants: pure, of one shard; sessions, partitions of one, and partitions of all are bounded,
//! and beyond a bound there is no session, which readers take for what it is; an id names one
//! session of one shard; an epoch is used once, in order, and after the largest comes 1.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ringlog_wire::Uuid;
use ringlog_wire::error::ErrorCode;

use crate::partition::TopicName;
use crate::slab::{Key, Slab};

/// Sessions of one shard (`max.incremental.fetch.session.cache.slots`).
pub const SESSIONS_MAX: usize = 1000;
/// Partitions of all sessions of one shard, about 200 bytes each.
pub const PARTITIONS_MAX: usize = 1 << 18;
/// A session that was not used for so long makes room for any other, milliseconds; one that is as
/// old as this makes room for a larger one.
pub const EVICT_AFTER_MS: i64 = 120_000;

/// Asks for a new session.
pub const EPOCH_FIRST: i32 = 0;
/// Ends a session, or does without one.
pub const EPOCH_LAST: i32 = -1;

/// What a partition's high watermark is taken for that was never told.
const UNTOLD: i64 = -1;

/// How a topic is named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Named {
    /// By its name, up to version 12.
    Name(Arc<str>),
    /// By its id.
    Id(Uuid),
}

/// What a reader wants of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The leader epoch that it believes in, -1 = none.
    pub leader_epoch: i32,
    /// The first offset.
    pub offset: i64,
    /// The epoch of the last record read, -1 = none.
    pub last_fetched_epoch: i32,
    /// Most bytes.
    pub bytes_max: usize,
}

/// What a partition has for the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether there are records.
    pub has_records: bool,
    /// Whether there is an error, or the reader's log has diverged.
    pub is_told_always: bool,
    /// The high watermark.
    pub high_watermark: i64,
    /// The log's first offset.
    pub log_start: i64,
}

/// One partition of a session.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its topic, as it was known when it was named.
    pub topic: Arc<TopicName>,
    /// Its number.
    pub index: i32,
    /// What is wanted of it.
    pub wanted: Wanted,
    /// The high watermark and the log start that were told last.
    told: (i64, i64),
    /// Its place in the order of answers.
    turn: u64,
}

impl Entry {
    /// Whether the reader does not know this yet.
    pub fn has_news(&self, seen: &Seen) -> bool {
        let known = self.told == (seen.high_watermark, seen.log_start);
        seen.has_records || seen.is_told_always || !known
    }

    /// Whether there is nothing to look at before the partition moves, once this is told. One with
    /// records that the answer had no room for does not rest.
    pub fn may_rest(&self, seen: &Seen) -> bool {
        let is_behind = self.wanted.offset < seen.high_watermark;
        !seen.has_records && !seen.is_told_always && !is_behind
    }
}

/// A topic's partitions in a session.
#[derive(Debug)]
struct Member {
    name: Arc<TopicName>,
    places: HashMap<i32, u32>,
}

/// See the module's head.
#[derive(Debug)]
pub struct FetchSession {
    id: i32,
    epoch: i32,
    by_id: bool,
    created_ms: i64,
    used_ms: i64,
    topics: HashMap<Named, Member>,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    active: BTreeSet<(u64, u32)>,
    turns: u64,
    /// The fetch that is being answered.
    pub waiting: Option<Key>,
}

impl FetchSession {
    /// Its number on the wire.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// Whether its topics are named by id.
    pub fn is_by_id(&self) -> bool {
        self.by_id
    }

    /// How many partitions it has.
    pub fn count(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// The partition in that place.
    pub fn entry(&self, place: u32) -> Option<&Entry> {
        self.entries.get(place as usize)?.as_ref()
    }

    /// Where that partition is in the session.
    pub fn place_of(&self, named: &Named, index: i32) -> Option<u32> {
        self.topics.get(named)?.places.get(&index).copied()
    }

    /// The partitions to look at, in the order of the answer.
    pub fn active(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.active.iter().filter_map(|&(_, place)| Some((place, self.entry(place)?)))
    }

    /// A partition is wanted, new or otherwise than before.
    fn put(&mut self, named: &Named, name: &Arc<TopicName>, index: i32, wanted: Wanted) {
        if !self.topics.contains_key(named) {
            let member = Member { name: Arc::clone(name), places: HashMap::new() };
            self.topics.insert(named.clone(), member);
        }
        let member = self.topics.get_mut(named).expect("it is there now");
        if let Some(&place) = member.places.get(&index) {
            let entry = self.entries[place as usize].as_mut().expect("a place that is named");
            entry.wanted = wanted;
            self.active.insert((entry.turn, place));
            return;
        }
        let (topic, turn) = (Arc::clone(&member.name), self.turns);
        self.turns += 1;
        let told = (UNTOLD, UNTOLD);
        let entry = Some(Entry { topic, index, wanted, told, turn });
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.entries.push(None);
                (self.entries.len() - 1) as u32
            }
        };
        self.entries[place as usize] = entry;
        member.places.insert(index, place);
        self.active.insert((turn, place));
    }

    fn forget(&mut self, named: &Named, index: i32) {
        let Some(member) = self.topics.get_mut(named) else { return };
        let Some(place) = member.places.remove(&index) else { return };
        if member.places.is_empty() {
            self.topics.remove(named);
        }
        if let Some(entry) = self.entries[place as usize].take() {
            self.active.remove(&(entry.turn, place));
            self.free.push(place);
        }
    }

    fn activate(&mut self, place: u32) {
        if let Some(turn) = self.entry(place).map(|entry| entry.turn) {
            self.active.insert((turn, place));
        }
    }

    /// Nothing is to be told of that partition until it moves.
    pub fn rest(&mut self, place: u32) {
        if let Some(turn) = self.entry(place).map(|entry| entry.turn) {
            self.active.remove(&(turn, place));
        }
    }

    /// The reader is told this. What has records goes behind the others: all get their turn.
    pub fn tell(&mut self, place: u32, seen: &Seen) {
        let Some(Some(entry)) = self.entries.get_mut(place as usize) else { return };
        entry.told = (seen.high_watermark, seen.log_start);
        if seen.is_told_always {
            // Once the error is gone, that is news.
            entry.told.0 = UNTOLD;
        }
        if seen.has_records {
            let was_active = self.active.remove(&(entry.turn, place));
            entry.turn = self.turns;
            self.turns += 1;
            if was_active {
                self.active.insert((entry.turn, place));
            }
        }
    }
}

/// The sessions of a shard.
#[derive(Debug)]
pub struct Sessions {
    table: Slab<FetchSession>,
    by_id: HashMap<i32, Key>,
    partitions: usize,
    sessions_max: usize,
    partitions_max: usize,
}

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions::new(SESSIONS_MAX, PARTITIONS_MAX)
    }
}

/// A partition as a request names it.
pub type Asked = (Named, Arc<TopicName>, i32, Wanted);

impl Sessions {
    /// No sessions, of so many at most, with so many partitions together.
    pub fn new(sessions_max: usize, partitions_max: usize) -> Sessions {
        let (table, by_id) = (Slab::default(), HashMap::new());
        Sessions { table, by_id, partitions: 0, sessions_max, partitions_max }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.table.len()
    }

    /// The session under that key.
    pub fn get(&self, key: Key) -> Option<&FetchSession> {
        self.table.get(key)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut FetchSession> {
        self.table.get_mut(key)
    }

    /// A session with these partitions, if there is room. `draw` gives random numbers. Its id
    /// belongs to shard `shard` of `shards` alone.
    pub fn create(
        &mut self,
        now_ms: i64,
        draw: &mut dyn FnMut() -> u32,
        (shard, shards): (usize, usize),
        by_id: bool,
        asked: Vec<Asked>,
    ) -> Option<Key> {
        if !self.make_room(now_ms, asked.len()) || !self.make_place(now_ms, asked.len()) {
            return None;
        }
        let id = loop {
            let drawn = draw() as usize % (i32::MAX as usize / shards) * shards + shard;
            let id = i32::try_from(drawn).expect("below the largest");
            if id != 0 && !self.by_id.contains_key(&id) {
                break id;
            }
        };
        let mut session = FetchSession {
            id,
            epoch: next_epoch(EPOCH_FIRST),
            by_id,
            created_ms: now_ms,
            used_ms: now_ms,
            topics: HashMap::new(),
            entries: Vec::new(),
            free: Vec::new(),
            active: BTreeSet::new(),
            turns: 0,
            waiting: None,
        };
        for (named, name, index, wanted) in &asked {
            session.put(named, name, *index, *wanted);
        }
        self.partitions += session.count();
        let key = self.table.insert(session);
        self.by_id.insert(id, key);
        Some(key)
    }

    /// Room for so many more partitions, at the cost of sessions that nobody has used for a while.
    fn make_room(&mut self, now_ms: i64, size: usize) -> bool {
        while self.partitions + size > self.partitions_max {
            match self.stale(now_ms) {
                Some(key) if size <= self.partitions_max => self.remove(key),
                _ => return false,
            }
        }
        true
    }

    /// The session that has not been used for longest, if that is long enough.
    fn stale(&self, now_ms: i64) -> Option<Key> {
        let all = self.by_id.values().filter_map(|key| Some((*key, self.table.get(*key)?)));
        let (key, session) = all.min_by_key(|(_, session)| session.used_ms)?;
        (now_ms - session.used_ms > EVICT_AFTER_MS).then_some(key)
    }

    /// Kafka's rule: one that nobody has used for a while goes first, then one that has had its
    /// time and is smaller than the newcomer.
    fn make_place(&mut self, now_ms: i64, size: usize) -> bool {
        if self.table.len() < self.sessions_max {
            return true;
        }
        let all = || self.by_id.values().filter_map(|key| Some((*key, self.table.get(*key)?)));
        let old = all().filter(|(_, session)| now_ms - session.created_ms > EVICT_AFTER_MS);
        let small = old.min_by_key(|(_, session)| (session.count(), session.id));
        let small = small.filter(|(_, session)| session.count() < size);
        let small = small.map(|(key, _)| key);
        let Some(key) = self.stale(now_ms).or(small) else { return false };
        self.remove(key);
        true
    }

    /// Ends the session, whoever has it.
    pub fn remove(&mut self, key: Key) {
        if let Some(session) = self.table.remove(key) {
            self.by_id.remove(&session.id);
            self.partitions -= session.count();
        }
    }

    /// Ends the session with that id, if there is one.
    pub fn close(&mut self, id: i32) {
        if let Some(key) = self.by_id.get(&id).copied() {
            self.remove(key);
        }
    }

    /// The session that an incremental fetch goes on with.
    ///
    /// # Errors
    /// FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR.
    pub fn find(&self, id: i32, epoch: i32, by_id: bool) -> Result<Key, ErrorCode> {
        let key = self.by_id.get(&id).copied().ok_or(ErrorCode::FetchSessionIdNotFound)?;
        let session = self.table.get(key).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.by_id != by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        Ok(key)
    }

    /// The session goes on: these partitions are wanted, those are not any more. False when it has
    /// none left, or more than there is room for: then it is over.
    pub fn go_on(
        &mut self,
        key: Key,
        now_ms: i64,
        asked: &[Asked],
        forgotten: &[(Named, i32)],
    ) -> bool {
        let Some(session) = self.table.get_mut(key) else { return false };
        let before = session.count();
        for (named, name, index, wanted) in asked {
            session.put(named, name, *index, *wanted);
        }
        for (named, index) in forgotten {
            session.forget(named, *index);
        }
        session.used_ms = now_ms;
        session.epoch = next_epoch(session.epoch);
        let count = session.count();
        self.partitions = self.partitions + count - before;
        if count == 0 || !self.make_room(now_ms, 0) {
            self.remove(key);
            return false;
        }
        true
    }

    /// A partition of a session has moved; says which fetch waits for that.
    pub fn activate(&mut self, key: Key, place: u32) -> Option<Key> {
        let session = self.table.get_mut(key)?;
        session.activate(place);
        session.waiting
    }
}

/// The epoch after this one.
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [(Named, i32); 0] = [];

    fn asked(indexes: &[i32]) -> Vec<Asked> {
        let name = Arc::new(TopicName { name: "t".into(), id: Uuid([1; 16]) });
        let wanted = Wanted { leader_epoch: -1, offset: 0, last_fetched_epoch: -1, bytes_max: 9 };
        let one = |&index: &i32| (Named::Id(name.id), Arc::clone(&name), index, wanted);
        indexes.iter().map(one).collect()
    }

    fn counter() -> impl FnMut() -> u32 {
        let mut next = 0;
        move || {
            next += 1;
            next
        }
    }

    fn create(sessions: &mut Sessions, now_ms: i64, indexes: &[i32]) -> Option<Key> {
        sessions.create(now_ms, &mut counter(), (0, 1), true, asked(indexes))
    }

    fn active(sessions: &Sessions, key: Key) -> Vec<i32> {
        sessions.get(key).expect("a session").active().map(|(_, entry)| entry.index).collect()
    }

    fn seen(records: bool, high_watermark: i64) -> Seen {
        Seen { has_records: records, is_told_always: false, high_watermark, log_start: 0 }
    }

    #[test]
    fn epochs_follow_each_other_and_wrap() {
        let mut sessions = Sessions::default();
        let key = create(&mut sessions, 0, &[0]).expect("room");
        let id = sessions.get(key).unwrap().id();
        assert_eq!(sessions.find(id + 1, 1, true), Err(ErrorCode::FetchSessionIdNotFound));
        assert_eq!(sessions.find(id, 2, true), Err(ErrorCode::InvalidFetchSessionEpoch));
        assert_eq!(sessions.find(id, 1, false), Err(ErrorCode::FetchSessionTopicIdError));
        for (epoch, next) in [(1, 2), (2, 3), (i32::MAX, 1)] {
            sessions.get_mut(key).unwrap().epoch = epoch;
            assert_eq!(sessions.find(id, epoch, true), Ok(key));
            assert!(sessions.go_on(key, 0, &[], &NONE));
            assert_eq!(sessions.get(key).unwrap().epoch, next);
        }
        sessions.close(id);
        assert_eq!(sessions.find(id, 1, true), Err(ErrorCode::FetchSessionIdNotFound));
        assert_eq!((sessions.count(), sessions.partitions), (0, 0));
    }

    #[test]
    fn what_has_nothing_to_tell_rests_until_it_moves() {
        let mut sessions = Sessions::default();
        let key = create(&mut sessions, 0, &[0, 1, 2]).expect("room");
        let session = sessions.get_mut(key).unwrap();
        for place in 0..3 {
            assert!(session.entry(place).unwrap().has_news(&seen(false, 5)), "never told");
            session.tell(place, &seen(false, 5));
            assert!(!session.entry(place).unwrap().has_news(&seen(false, 5)));
            assert!(session.entry(place).unwrap().has_news(&seen(false, 6)));
            assert!(session.entry(place).unwrap().has_news(&seen(true, 5)));
            assert!(session.entry(place).unwrap().may_rest(&seen(false, 0)));
            assert!(!session.entry(place).unwrap().may_rest(&seen(false, 1)), "no room, not idle");
            session.rest(place);
        }
        assert!(active(&sessions, key).is_empty());
        assert_eq!(sessions.activate(key, 2), None);
        assert_eq!(sessions.activate(key, 9), None);
        assert_eq!(active(&sessions, key), [2]);
        // What is named again is looked at again, in its old place.
        assert!(sessions.go_on(key, 0, &asked(&[1]), &NONE));
        assert_eq!(active(&sessions, key), [1, 2]);
    }

    #[test]
    fn what_has_records_goes_behind_the_others_and_an_error_is_told_again() {
        let mut sessions = Sessions::default();
        let key = create(&mut sessions, 0, &[0, 1, 2]).expect("room");
        let session = sessions.get_mut(key).unwrap();
        session.tell(0, &seen(true, 5));
        session.tell(1, &Seen { is_told_always: true, ..seen(false, -1) });
        assert_eq!(active(&sessions, key), [1, 2, 0]);
        let entry = sessions.get(key).unwrap().entry(1).unwrap();
        assert!(entry.has_news(&seen(false, 0)), "the error is gone");
    }

    #[test]
    fn forgotten_partitions_leave_and_an_empty_session_is_over() {
        let mut sessions = Sessions::new(10, 4);
        let key = create(&mut sessions, 0, &[0, 1]).expect("room");
        let topic = Named::Id(Uuid([1; 16]));
        let gone = [(topic.clone(), 0), (topic.clone(), 7), (Named::Name("t".into()), 1)];
        assert!(sessions.go_on(key, 0, &asked(&[2]), &gone));
        assert_eq!((active(&sessions, key), sessions.partitions), (vec![1, 2], 2));
        assert!(!sessions.go_on(key, 0, &[], &[(topic.clone(), 1), (topic, 2)]));
        assert_eq!((sessions.count(), sessions.partitions), (0, 0));
        // Beyond the bound there is no session.
        assert_eq!(create(&mut sessions, 0, &[0, 1, 2, 3, 4]), None);
        let key = create(&mut sessions, 0, &[0, 1]).expect("room");
        assert!(!sessions.go_on(key, 0, &asked(&[2, 3, 4]), &NONE));
        assert_eq!((sessions.count(), sessions.partitions), (0, 0));
    }

    #[test]
    fn the_stale_and_then_the_small_make_room() {
        let mut sessions = Sessions::new(2, 100);
        let small = create(&mut sessions, 0, &[0]).expect("room");
        let large = create(&mut sessions, 0, &[0, 1, 2]).expect("room");
        // Both are young, then both are old and in use: only a larger one gets in.
        assert_eq!(create(&mut sessions, EVICT_AFTER_MS, &[0, 1]), None);
        let later = EVICT_AFTER_MS + 1;
        for key in [small, large] {
            assert!(sessions.go_on(key, later, &[], &NONE));
        }
        assert_eq!(create(&mut sessions, later, &[0]), None);
        let larger = create(&mut sessions, later, &[0, 1]).expect("the small one goes");
        assert!(sessions.get(small).is_none() && sessions.get(large).is_some());
        // One that nobody uses goes for anybody, and for room.
        assert!(sessions.go_on(larger, later + 1, &[], &NONE));
        assert!(create(&mut sessions, 2 * later, &[]).is_some());
        assert!(sessions.get(large).is_none() && sessions.get(larger).is_some());
        let mut sessions = Sessions::new(9, 4);
        let (a, b) = (create(&mut sessions, 0, &[0, 1]), create(&mut sessions, 9, &[0, 1]));
        assert_eq!(create(&mut sessions, EVICT_AFTER_MS, &[0]), None);
        assert_eq!(create(&mut sessions, 9 * EVICT_AFTER_MS, &[0, 1, 2, 3, 4]), None);
        let c = create(&mut sessions, EVICT_AFTER_MS + 1, &[0]).expect("the oldest goes");
        assert!(sessions.get(a.unwrap()).is_none() && sessions.get(b.unwrap()).is_some());
        assert!(sessions.go_on(c, 2 * EVICT_AFTER_MS, &asked(&[1, 2, 3]), &NONE), "so does b");
        assert_eq!((sessions.count(), sessions.partitions), (1, 4));
    }

    #[test]
    fn ids_tell_shards_apart() {
        let mut sessions = Sessions::default();
        for draw in [0, 1, u32::MAX, i32::MAX as u32] {
            let mut draws = [draw, 77].into_iter();
            let mut draw = || draws.next().expect("two are enough");
            let key = sessions.create(0, &mut draw, (2, 3), true, asked(&[0])).expect("room");
            let id = sessions.get(key).unwrap().id();
            assert!(id > 0 && id % 3 == 2, "{id}");
        }
    }
}
