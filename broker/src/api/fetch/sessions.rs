//! Fetches of readers that have a session ([`crate::fetch_session`]): what a request changes in it,
//! what a pass looks at, what of that is told, and who wakes it.
//!
//! A pass looks at the session's active partitions only. The others are watched, here or on their
//! owner's shard, for as long as nothing moves: not by the fetch, which comes and goes, but by the
//! session.

use std::sync::Arc;

use ringlog_wire::api::fetch::RequestView;
use ringlog_wire::error::ErrorCode;

use super::{Groups, PendingFetch, Planned, Reader, group};
use crate::fetch_session::{Asked, Named, Seen, Wanted};
use crate::message::{FetchAsk, Fetched, TopicPartition};
use crate::partition::SessionWatcher;
use crate::shell::{ShardCore, Shell};
use crate::slab::Key;
use crate::topics::Place;

/// What a pass has seen of a partition, as the session understands it.
fn seen(fetched: &Fetched) -> Seen {
    Seen {
        has_records: fetched.bytes() > 0,
        is_told_always: !fetched.error.is_none() || fetched.diverging.is_some(),
        high_watermark: fetched.high_watermark,
        log_start: fetched.log_start,
    }
}

fn named(by_id: bool, name: &str, id: ringlog_wire::Uuid) -> Named {
    if by_id { Named::Id(id) } else { Named::Name(name.into()) }
}

impl Shell {
    /// Takes an incremental request into its session. `None`: the session is over with it, and the
    /// request stands for itself.
    ///
    /// # Errors
    /// The whole answer's code.
    pub(super) fn go_on_with_session(
        &mut self,
        core: &mut ShardCore,
        view: &RequestView<'_>,
    ) -> Result<Option<Key>, ErrorCode> {
        let by_id = view.version() >= 13;
        let key = self.fetch_sessions.find(view.session_id(), view.session_epoch(), by_id)?;
        // A reader that asks again does not wait for the answer before.
        let waiting = self.fetch_sessions.get_mut(key).and_then(|session| session.waiting.take());
        if let Some(fetch) = waiting {
            self.hurry_fetch(core, fetch);
        }
        let mut asked: Vec<Asked> = Vec::new();
        for topic in view.topics() {
            let named = named(by_id, topic.name, topic.topic_id);
            let name = self.topic_name(&topic, by_id);
            for partition in topic.partitions() {
                let wanted = Wanted {
                    leader_epoch: partition.current_leader_epoch,
                    offset: partition.fetch_offset,
                    last_fetched_epoch: partition.last_fetched_epoch,
                    bytes_max: usize::try_from(partition.max_bytes).unwrap_or(0),
                };
                asked.push((named.clone(), Arc::clone(&name), partition.index, wanted));
            }
        }
        let mut forgotten = Vec::new();
        for topic in view.forgotten_topics() {
            let named = named(by_id, topic.name, topic.topic_id);
            forgotten.extend(topic.partitions().map(|index| (named.clone(), index)));
        }
        let goes_on = self.fetch_sessions.go_on(key, core.steady_ms(), &asked, &forgotten);
        Ok(goes_on.then_some(key))
    }

    /// What the session wants looked at now; `None` when it is gone.
    pub(super) fn session_asks(&self, key: Key) -> Option<Planned> {
        let session = self.fetch_sessions.get(key)?;
        let mut names = Vec::new();
        let mut asks = Vec::new();
        for (place, entry) in session.active() {
            let topic = match session.is_by_id() {
                true => self.topics.with_id(entry.topic.id),
                false => self.topics.named(&entry.topic.name),
            };
            let found = topic.and_then(|topic| topic.place(entry.index));
            let found = found.ok_or(match topic.is_none() && session.is_by_id() {
                true => ErrorCode::UnknownTopicId,
                false => ErrorCode::UnknownTopicOrPartition,
            });
            let id = topic.map_or(entry.topic.id, |topic| topic.name.id);
            let ask = FetchAsk {
                entry: asks.len() as u32,
                from: TopicPartition { topic: id, index: entry.index },
                leader_epoch: entry.wanted.leader_epoch,
                offset: entry.wanted.offset,
                last_fetched_epoch: entry.wanted.last_fetched_epoch,
                bytes_max: entry.wanted.bytes_max,
                place,
            };
            asks.push((ask, found));
            names.push(Arc::clone(&entry.topic));
        }
        Some((group(names.into_iter()), asks))
    }

    /// Whether the partition is still as the pass has seen it. Those of other shards are watched
    /// there since they were looked at, and say so themselves.
    fn is_as_seen(&self, place: Result<Place, ErrorCode>, fetched: &Fetched) -> bool {
        match place {
            Ok(Place::Open(slot)) => self.marks(slot) == Some(fetched.marks()),
            _ => true,
        }
    }

    /// Nothing is enough yet: whatever moves makes itself known, and what has no news rests.
    pub(super) fn watch_session(&mut self, fetch: Key, session: Key) {
        let Some(pending) = self.fetches.get_mut(fetch) else { return };
        let looked_at = std::mem::take(&mut pending.asks);
        let results = std::mem::take(&mut pending.results);
        for ((ask, place), fetched) in looked_at.iter().zip(&results) {
            self.watch_place(session, ask, *place);
            let seen = seen(fetched);
            if let Some(session) = self.fetch_sessions.get_mut(session)
                && session
                    .entry(ask.place)
                    .is_some_and(|entry| !entry.has_news(&seen) && entry.may_rest(&seen))
            {
                session.rest(ask.place);
            }
        }
    }

    fn watch_place(&mut self, session: Key, ask: &FetchAsk, place: Result<Place, ErrorCode>) {
        let watcher = SessionWatcher { shard: self.shard, session, place: ask.place };
        if let Ok(Place::Open(slot)) = place
            && let Some(hosted) = self.logs.get_mut(slot)
        {
            hosted.partition.watch_session(watcher);
        }
    }

    /// These places of a session have moved.
    pub(crate) fn session_moved(&mut self, core: &mut ShardCore, session: Key, places: &[u32]) {
        let mut waiting = None;
        for place in places {
            waiting = self.fetch_sessions.activate(session, *place);
        }
        if let Some(fetch) = waiting {
            self.wake_fetch(core, fetch);
        }
    }

    /// The answer of a fetch that goes on with a session: what is news. Says the session's id.
    pub(super) fn tell_session(
        &mut self,
        (key, fetch): (Key, Key),
        pending: &PendingFetch,
        results: Vec<Fetched>,
    ) -> (Groups, Vec<Fetched>, i32) {
        let mut told = Vec::new();
        let mut names = Vec::new();
        for ((ask, place), fetched) in pending.asks.iter().zip(results) {
            let is_as_seen = !pending.woken && self.is_as_seen(*place, &fetched);
            let seen = seen(&fetched);
            let Some(session) = self.fetch_sessions.get_mut(key) else { continue };
            let Some(entry) = session.entry(ask.place) else { continue };
            let (has_news, may_rest) = (entry.has_news(&seen), entry.may_rest(&seen));
            let name = Arc::clone(&entry.topic);
            session.tell(ask.place, &seen);
            if is_as_seen && may_rest {
                session.rest(ask.place);
                self.watch_place(key, ask, *place);
            }
            if has_news {
                names.push(name);
                told.push(fetched);
            }
        }
        let session = self.fetch_sessions.get_mut(key);
        let id = session.map_or(0, |session| {
            // Another one may have taken its place meanwhile.
            session.waiting.take_if(|waiting| *waiting == fetch);
            session.id()
        });
        (group(names.into_iter()), told, id)
    }

    /// A session begins with the answer that says all of it. Its id, or 0 when there is no room.
    pub(super) fn begin_session(
        &mut self,
        core: &ShardCore,
        pending: &PendingFetch,
        results: &[Fetched],
        by_id: bool,
    ) -> i32 {
        let names =
            pending.topics.iter().flat_map(|(name, count)| std::iter::repeat_n(name, *count));
        let asked = names.zip(&pending.asks).map(|(name, (ask, _))| {
            let wanted = Wanted {
                leader_epoch: ask.leader_epoch,
                offset: ask.offset,
                last_fetched_epoch: ask.last_fetched_epoch,
                bytes_max: ask.bytes_max,
            };
            (named(by_id, &name.name, name.id), Arc::clone(name), ask.from.index, wanted)
        });
        let asked: Vec<Asked> = asked.collect();
        let places: Vec<_> =
            asked.iter().map(|(named, _, index, _)| (named.clone(), *index)).collect();
        let shards = (self.shard, self.shared.config.shards);
        let mut draw = || {
            let mut bytes = [0; 4];
            ringlog_shard::fs::random(&mut bytes).expect("the kernel's random source works");
            u32::from_le_bytes(bytes)
        };
        let created = self.fetch_sessions.create(core.steady_ms(), &mut draw, shards, by_id, asked);
        let Some(session) = created.and_then(|key| self.fetch_sessions.get_mut(key)) else {
            return 0;
        };
        for ((named, index), fetched) in places.iter().zip(results) {
            if let Some(place) = session.place_of(named, *index) {
                session.tell(place, &seen(fetched));
            }
        }
        session.id()
    }

    /// The fetch will not be answered.
    pub(super) fn leave_session(&mut self, fetch: Key) {
        if let Some(Reader::Session(key)) = self.fetches.get(fetch).map(|pending| pending.reader)
            && let Some(session) = self.fetch_sessions.get_mut(key)
            && session.waiting == Some(fetch)
        {
            session.waiting = None;
        }
    }
}
