//! ListOffsets · key 2 · v1–11.  v4: leader epochs.  v7: -3, the record with the largest timestamp.
//! v8: -4.  v9: -5. v11: -6.
//!
//! Nothing is tiered, so -4 is the earliest offset and -5, -6 are "none" (rule 55). A time is
//! answered by the first record at or after it, or by -1 without an error (rule 56). Readers of
//! committed records are told of nothing at or after the last stable offset. What is not in
//! memory is read from the index and the segment, step by step, without waiting; a compressed batch
//! is opened on the helper thread. A search ends with its client's connection.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Weak};

use ringlog_storage::{DiskPlan, ReadError, ReadPlan, TimeAnswer, TimePlan, TimeStep};
use ringlog_wire::api::list_offsets::{
    EARLIEST, EARLIEST_LOCAL, EARLIEST_PENDING_UPLOAD, LATEST, LATEST_TIERED,
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse, MAX_TIMESTAMP,
};
use ringlog_wire::batch::BatchError;
use ringlog_wire::error::ErrorCode;

use super::{Outcome, PARTITIONS_MAX, ReplyTo, Request};
use crate::config::Advertise;
use crate::message::{Message, OffsetAsk, OffsetFound, TopicPartition};
use crate::partition::{Isolation, read_error};
use crate::shell::{ColdRead, ReadFor, ShardCore, Shell};
use crate::slab::Key;
use crate::topics::Place;

/// An answer for an ask: (offset, timestamp, leader epoch); `None` when there is no such record.
pub type Found = Option<(i64, i64, i32)>;

/// Who asks.
#[derive(Debug)]
enum Origin {
    /// With what is there for as long as the answer is wanted.
    Client(ReplyTo, Vec<(Arc<str>, Vec<i32>)>, Arc<()>),
    Shard(usize, Key, Weak<()>),
}

/// A ListOffsets request, or another shard's part of one.
#[derive(Debug)]
pub struct PendingOffsets {
    origin: Origin,
    asks: Vec<OffsetAsk>,
    results: Vec<OffsetFound>,
    outstanding: usize,
}

impl OffsetFound {
    fn error(ask: &OffsetAsk, error: ErrorCode) -> OffsetFound {
        OffsetFound { entry: ask.entry, error, offset: -1, timestamp: -1, leader_epoch: -1 }
    }

    fn of(ask: &OffsetAsk, found: Found) -> OffsetFound {
        let (offset, timestamp, leader_epoch) = found.unwrap_or((-1, -1, -1));
        OffsetFound { entry: ask.entry, error: ErrorCode::None, offset, timestamp, leader_epoch }
    }
}

/// Answers a ListOffsets request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match ListOffsetsRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    if view.topics.iter().map(|topic| topic.partitions.len()).sum::<usize>() > PARTITIONS_MAX {
        return Outcome::Close(format!("ListOffsets names more than {PARTITIONS_MAX} partitions"));
    }
    let mut topics = Vec::with_capacity(view.topics.len());
    let mut asks = Vec::new();
    let mut places = Vec::new();
    let isolation = Isolation::of(view.isolation_level);
    let twice = named_twice(&view);
    let mut told = HashSet::new();
    for topic in &view.topics {
        let known = shell.topics.named(&topic.name);
        let name: Arc<str> = topic.name.as_str().into();
        let mut indexes = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let index = partition.partition_index;
            let named = (topic.name.as_str(), index);
            // Told once that it was named twice.
            if twice.contains(&named) && !told.insert(named) {
                continue;
            }
            indexes.push(index);
            let of = TopicPartition {
                topic: known.map_or(ringlog_wire::Uuid::ZERO, |topic| topic.name.id),
                index,
            };
            asks.push(OffsetAsk {
                entry: asks.len() as u32,
                of,
                leader_epoch: partition.current_leader_epoch,
                timestamp: partition.timestamp,
                isolation,
            });
            let place = known.and_then(|topic| topic.place(index));
            places.push(match place {
                _ if twice.contains(&named) => Err(ErrorCode::InvalidRequest),
                _ if !speaks(request.version, partition.timestamp) => {
                    Err(ErrorCode::UnsupportedVersion)
                }
                Some(place) => Ok(place),
                None => Err(ErrorCode::UnknownTopicOrPartition),
            });
        }
        topics.push((name, indexes));
    }
    let origin = Origin::Client(request.reply_to(), topics, Arc::new(()));
    shell.look_up_offsets(core, origin, asks, places);
    Outcome::Parked
}

/// Partitions that a request names more than once: none of these is answered (rule 57).
fn named_twice(view: &ListOffsetsRequest) -> HashSet<(&str, i32)> {
    let mut seen = HashSet::new();
    let mut twice = HashSet::new();
    for topic in &view.topics {
        for partition in &topic.partitions {
            let named = (topic.name.as_str(), partition.partition_index);
            if !seen.insert(named) {
                twice.insert(named);
            }
        }
    }
    twice
}

/// Whether a version knows a special timestamp (rule 55).
fn speaks(version: i16, timestamp: i64) -> bool {
    match timestamp {
        0.. | LATEST | EARLIEST => true,
        MAX_TIMESTAMP => version >= 7,
        EARLIEST_LOCAL => version >= 8,
        LATEST_TIERED => version >= 9,
        EARLIEST_PENDING_UPLOAD => version >= 11,
        _ => false,
    }
}

impl Shell {
    fn look_up_offsets(
        &mut self,
        core: &mut ShardCore,
        origin: Origin,
        asks: Vec<OffsetAsk>,
        places: Vec<Result<Place, ErrorCode>>,
    ) {
        let mut results: Vec<_> =
            asks.iter().map(|ask| OffsetFound::error(ask, ErrorCode::None)).collect();
        let mut remote: Vec<(usize, Vec<OffsetAsk>)> = Vec::new();
        let mut searches = Vec::new();
        for (at, (ask, place)) in asks.iter().zip(&places).enumerate() {
            match *place {
                Err(code) => results[at] = OffsetFound::error(ask, code),
                Ok(Place::Open(slot)) => match self.offset_here(ask, slot) {
                    Ok(Ok(found)) => results[at] = OffsetFound::of(ask, found),
                    Ok(Err(search)) => searches.push((at, slot, search)),
                    Err(code) => results[at] = OffsetFound::error(ask, code),
                },
                Ok(Place::Remote(shard)) if self.shared.config.advertise == Advertise::Node => {
                    match remote.iter_mut().find(|(other, _)| *other == shard) {
                        Some((_, asks)) => asks.push(*ask),
                        None => remote.push((shard, vec![*ask])),
                    }
                }
                Ok(Place::Remote(_) | Place::Opening) => {
                    results[at] = OffsetFound::error(ask, ErrorCode::NotLeaderOrFollower);
                }
                Ok(Place::Failed) => {
                    results[at] = OffsetFound::error(ask, ErrorCode::KafkaStorageError);
                }
            }
        }
        // One more than there is, so that nothing that ends at once answers too early.
        let outstanding = remote.len() + searches.len() + 1;
        let (conn, wanted) = match &origin {
            Origin::Client(to, _, wanted) => (Some(to.conn), Arc::downgrade(wanted)),
            Origin::Shard(_, _, wanted) => (None, Weak::clone(wanted)),
        };
        let key = self.offsets.insert(PendingOffsets { origin, asks, results, outstanding });
        if let Some(session) = conn.and_then(|conn| self.sessions.get_mut(&conn)) {
            session.searches.push(key);
        }
        for (shard, asks) in remote {
            let wanted = Weak::clone(&wanted);
            self.post(core, shard, Message::Offsets { request: key, asks, wanted });
        }
        for (at, slot, (target, from, upto)) in searches {
            let purpose = ReadFor::Offsets { request: key, at, target, from, upto };
            self.time_read_again(core, ColdRead { slot, purpose, plan: ReadPlan::Empty });
        }
        self.offset_part_done(core, key);
    }

    /// An offset that memory knows, or a search: (target, from, upto).
    #[allow(clippy::type_complexity)]
    fn offset_here(
        &self,
        ask: &OffsetAsk,
        slot: Key,
    ) -> Result<Result<Found, (i64, i64, i64)>, ErrorCode> {
        let hosted = self.logs.get(slot).ok_or(ErrorCode::NotLeaderOrFollower)?;
        let partition = &hosted.partition;
        partition.check_epoch(ask.leader_epoch)?;
        let start = partition.log.log_start_offset();
        let high = partition.readable_offset(ask.isolation);
        // The present epoch begins at the end of the log, with or without a record.
        let epoch_at = |offset| match partition.log.epochs().epoch_for_offset(offset) {
            None if offset == partition.log.end_offset() => partition.leader_epoch,
            epoch => epoch.unwrap_or(-1),
        };
        Ok(match ask.timestamp {
            LATEST => Ok(Some((high, -1, partition.leader_epoch))),
            EARLIEST | EARLIEST_LOCAL => Ok(Some((start, -1, epoch_at(start)))),
            LATEST_TIERED | EARLIEST_PENDING_UPLOAD => Ok(None),
            MAX_TIMESTAMP => match partition.log.max_timestamp(start, high) {
                Some(largest) => Err((largest, start, high)),
                None => Ok(None),
            },
            target => Err((target, start, high)),
        })
    }

    /// Asks the log where to look next for a time.
    pub(crate) fn time_read_again(&mut self, core: &mut ShardCore, mut read: ColdRead) {
        let ReadFor::Offsets { request, at, target, from, upto } = read.purpose else { return };
        if !self.is_wanted(request) {
            return self.offset_search_done(core, request, at, Err(ErrorCode::NetworkException));
        }
        let Some(hosted) = self.logs.get(read.slot) else {
            return self.end_read(core, read.purpose, Err(ErrorCode::NotLeaderOrFollower));
        };
        let found = match hosted.partition.log.offset_for_timestamp(target, from, upto) {
            TimePlan::Found(answer) => Some((answer.offset, answer.timestamp, answer.leader_epoch)),
            TimePlan::NotFound => None,
            TimePlan::Open(batch) => return self.search_batch(core, read, batch),
            TimePlan::Disk(plan) => {
                read.plan = ReadPlan::Disk(plan);
                return self.start_read(core, read);
            }
            TimePlan::Index(plan) => {
                // The segments before this one have nothing. Asked again from further back, they
                // would want their own indexes again, and push this one out: for ever.
                let from = from.max(segment_base(&plan.index));
                read.purpose = ReadFor::Offsets { request, at, target, from, upto };
                read.plan = ReadPlan::Index(plan);
                return self.start_read(core, read);
            }
        };
        self.offset_search_done(core, request, at, Ok(found));
    }

    /// Whether the client that asked is still there.
    fn is_wanted(&self, request: Key) -> bool {
        match self.offsets.get(request).map(|pending| &pending.origin) {
            Some(Origin::Client(..)) => true,
            Some(Origin::Shard(_, _, wanted)) => wanted.strong_count() > 0,
            None => false,
        }
    }

    /// Bytes for a search by time came.
    pub(crate) fn time_read_came(
        &mut self,
        core: &mut ShardCore,
        mut read: ColdRead,
        plan: &DiskPlan,
        raw: &[u8],
    ) {
        let ReadFor::Offsets { request, at, target, from, upto } = read.purpose else { return };
        let Some(hosted) = self.logs.get(read.slot) else {
            return self.end_read(core, read.purpose, Err(ErrorCode::NotLeaderOrFollower));
        };
        let log = &hosted.partition.log;
        match log.finish_offset_for_timestamp(plan, target, from, upto, raw) {
            Ok(TimeStep::Found(answer)) => {
                let found = Some((answer.offset, answer.timestamp, answer.leader_epoch));
                self.offset_search_done(core, request, at, Ok(found));
            }
            Ok(TimeStep::Open(batch)) => self.search_batch(core, read, batch),
            Ok(TimeStep::NotFound) => self.offset_search_done(core, request, at, Ok(None)),
            Ok(TimeStep::Continue { from }) => {
                read.purpose = ReadFor::Offsets { request, at, target, from, upto };
                self.time_read_again(core, read);
            }
            Err(ReadError::NeedMore(plan)) => {
                read.plan = ReadPlan::Disk(plan);
                self.start_read(core, read);
            }
            Err(ReadError::Continue { from }) => {
                read.purpose = ReadFor::Offsets { request, at, target, from, upto };
                self.time_read_again(core, read);
            }
            Err(ReadError::Stale) => self.time_read_again(core, read),
            Err(error) => self.end_read(core, read.purpose, Err(read_error(error))),
        }
    }

    /// A compressed batch was opened for a search by time.
    pub(crate) fn batch_searched(
        &mut self,
        core: &mut ShardCore,
        mut read: ColdRead,
        found: Result<Result<TimeAnswer, i64>, BatchError>,
    ) {
        let ReadFor::Offsets { request, at, target, upto, .. } = read.purpose else { return };
        match found {
            Ok(Ok(answer)) => {
                let found = (answer.offset, answer.timestamp, answer.leader_epoch);
                let found = Some(found).filter(|_| answer.offset < upto);
                self.offset_search_done(core, request, at, Ok(found));
            }
            Ok(Err(from)) => {
                read.purpose = ReadFor::Offsets { request, at, target, from, upto };
                self.time_read_again(core, read);
            }
            // Stored unopened, by a topic whose rules ask for no more than its header.
            Err(_) => self.end_read(core, read.purpose, Err(ErrorCode::CorruptMessage)),
        }
    }

    /// A search by time has ended.
    pub(crate) fn offset_search_done(
        &mut self,
        core: &mut ShardCore,
        request: Key,
        at: usize,
        found: Result<Found, ErrorCode>,
    ) {
        let Some(pending) = self.offsets.get_mut(request) else { return };
        let ask = &pending.asks[at];
        pending.results[at] = match found {
            Ok(found) => OffsetFound::of(ask, found),
            Err(code) => OffsetFound::error(ask, code),
        };
        self.offset_part_done(core, request);
    }

    fn offset_part_done(&mut self, core: &mut ShardCore, request: Key) {
        let Some(pending) = self.offsets.get_mut(request) else { return };
        pending.outstanding -= 1;
        if pending.outstanding > 0 {
            return;
        }
        let Some(PendingOffsets { origin, results, .. }) = self.offsets.remove(request) else {
            return;
        };
        match origin {
            Origin::Shard(shard, request, _) => {
                self.post(core, shard, Message::OffsetsFound { request, results });
            }
            Origin::Client(to, topics, _) => {
                if let Some(session) = self.sessions.get_mut(&to.conn) {
                    session.searches.retain(|other| *other != request);
                }
                let response = response(&topics, &results);
                to.send(self, core, &response);
            }
        }
    }

    /// Another shard asks for offsets of partitions of this one.
    pub(crate) fn offsets_for(
        &mut self,
        core: &mut ShardCore,
        from: usize,
        (request, wanted): (Key, Weak<()>),
        asks: Vec<OffsetAsk>,
    ) {
        let place = |ask: &OffsetAsk| {
            let place = self.topics.with_id(ask.of.topic).and_then(|t| t.place(ask.of.index));
            place.ok_or(ErrorCode::UnknownTopicOrPartition)
        };
        let places = asks.iter().map(place).collect();
        self.look_up_offsets(core, Origin::Shard(from, request, wanted), asks, places);
    }

    /// Another shard has found its part.
    pub(crate) fn offsets_found(
        &mut self,
        core: &mut ShardCore,
        request: Key,
        results: Vec<OffsetFound>,
    ) {
        let Some(pending) = self.offsets.get_mut(request) else { return };
        for result in results {
            let entry = result.entry as usize;
            pending.results[entry] = result;
        }
        self.offset_part_done(core, request);
    }
}

/// The first offset of the segment whose index file this is; 0 if its name does not say.
fn segment_base(index: &Path) -> i64 {
    let stem = index.file_stem().and_then(|stem| stem.to_str());
    stem.and_then(|stem| stem.parse().ok()).unwrap_or(0)
}

fn response(topics: &[(Arc<str>, Vec<i32>)], results: &[OffsetFound]) -> ListOffsetsResponse {
    let mut results = results.iter();
    let topics = topics.iter().map(|(name, indexes)| ListOffsetsTopicResponse {
        name: name.to_string(),
        partitions: indexes
            .iter()
            .zip(results.by_ref())
            .map(|(index, found)| ListOffsetsPartitionResponse {
                partition_index: *index,
                error_code: found.error,
                timestamp: found.timestamp,
                offset: found.offset,
                leader_epoch: found.leader_epoch,
            })
            .collect(),
    });
    ListOffsetsResponse { throttle_time_ms: 0, topics: topics.collect() }
}
