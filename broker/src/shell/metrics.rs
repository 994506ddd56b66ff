//! Counting what the shard does, and telling it when asked.
//!
//! Invariant: a topic's counts stand with the partition where that is open here, so that the hot
//! path adds to what it has in hand; what cannot stand there is kept apart until the topic goes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::mpsc::Sender;

use ringlog_wire::Uuid;
use ringlog_wire::error::ErrorCode;

use super::logs::tail_cache_bytes_max;
use super::reads::READING_SHARE;
use super::{Seat, ShardCore, Shell};
use crate::message::{FetchAsk, Fetched};
use crate::metrics::snapshot::{Figures, MemoryUse};
use crate::metrics::{
    Detail, DiskBegun, PartitionFigures, Refused, Snapshot, TopicCounters, TopicFigures,
};
use crate::session::{Session, Stall};
use crate::slab::Key;
use crate::topics::Place;

/// One node keeps one replica of each partition.
const REPLICAS_IN_SYNC: i32 = 1;

impl Shell {
    /// The counts of a topic, where it is best to add to them.
    pub(crate) fn topic_counts(&mut self, place: Place, topic: Uuid) -> &mut TopicCounters {
        if let Place::Open(slot) = place
            && let Some(hosted) = self.logs.get_mut(slot)
        {
            return &mut hosted.counts;
        }
        match self.topics.with_id(topic).is_some() {
            true => self.counters.apart.entry(topic).or_default(),
            false => &mut self.counters.gone,
        }
    }

    /// A fetch is answered with this.
    pub(crate) fn count_fetched(
        &mut self,
        asks: &[(FetchAsk, Result<Place, ErrorCode>)],
        results: &[Fetched],
    ) {
        for ((ask, place), result) in asks.iter().zip(results) {
            let is_error = !result.error.is_none();
            let bytes = result.bytes() as u64;
            let counts = self.topic_counts(place.unwrap_or(Place::Failed), ask.from.topic);
            counts.fetch_requests += 1;
            counts.fetch_failed += u64::from(is_error);
            counts.bytes_out += bytes;
            if is_error {
                self.counters.error(ringlog_wire::api::fetch::API.key, result.error);
            }
        }
    }

    /// A disk operation has ended, with so many bytes if it ended well.
    pub(super) fn count_disk_end(
        &mut self,
        core: &ShardCore,
        begun: DiskBegun,
        bytes: Option<u32>,
    ) {
        self.counters.disk_ended(begun, core.now(), bytes.map(u64::from));
    }

    /// A connection was not taken in.
    pub(super) fn turned_away(&mut self, peer: SocketAddr, why: Refused) {
        self.counters.refused(why);
        if self.lines.allow() {
            let why = match why {
                Refused::Stopping => "the broker is stopping".to_string(),
                limit => format!("{} is reached", limit.name()),
            };
            tracing::warn!(%peer, why, "connection refused");
        }
    }

    /// Tells the control thread how this shard is.
    pub(super) fn answer_snapshot(
        &mut self,
        core: &mut ShardCore,
        detail: Detail,
        to: &Sender<Snapshot>,
    ) {
        let snapshot = self.snapshot(core, detail);
        // One that waits no more has its answer from elsewhere.
        let _ = to.send(snapshot);
    }

    fn is_failed(&self, slot: Key) -> bool {
        self.logs.get(slot).is_some_and(|hosted| hosted.partition.log.is_failed())
    }

    fn snapshot(&mut self, core: &mut ShardCore, detail: Detail) -> Snapshot {
        let (mut logs_opening, mut logs_failed) = (0, 0);
        for id in self.topics.ids() {
            let Some(topic) = self.topics.with_id(id) else { continue };
            for place in &topic.places {
                match place {
                    Place::Opening => logs_opening += 1,
                    Place::Failed => logs_failed += 1,
                    // It is opened anew in a moment; until then it serves nobody.
                    Place::Open(slot) if self.is_failed(*slot) => logs_failed += 1,
                    Place::Open(_) | Place::Remote(_) => {}
                }
            }
        }
        let image = &self.image;
        let controller = self.seat.as_ref().map(|seat| seat.figures(image));
        let figures = match detail {
            Detail::Health => None,
            Detail::All { partitions_max } => {
                let mut figures = self.figures(core, partitions_max);
                figures.partitions_offline += logs_opening + logs_failed;
                Some(Box::new(figures))
            }
        };
        let (shard, stopping) = (self.shard, self.stopping);
        Snapshot { shard, stopping, logs_opening, logs_failed, controller, figures }
    }

    fn figures(&mut self, core: &mut ShardCore, partitions_max: usize) -> Figures {
        let is_stalled =
            |session: &&Session<_>| session.stalled.is_some_and(|why| why != Stall::Turn);
        let counters = &self.counters;
        let mut figures = Figures {
            core: core.stats(),
            apis: counters.apis.clone(),
            errors: counters.errors.clone(),
            disk: counters.disk.to_vec(),
            connections_opened: counters.connections_opened,
            connections_closed: counters.connections_closed,
            connections_refused: counters.connections_refused.to_vec(),
            connections_stalled: self.sessions.values().filter(is_stalled).count(),
            requests_waiting: self.sessions.values().map(Session::inflight).sum(),
            messages_held: self.outbox.iter().map(|queue| queue.len()).sum(),
            memory: Vec::new(),
            log_failures: counters.log_failures,
            partitions_online: 0,
            partitions_offline: 0,
            partitions_under_min_insync: 0,
            topics: Vec::new(),
            gone: counters.gone,
            partitions: Vec::new(),
        };
        let cached = self.walk_logs(&mut figures, partitions_max);
        figures.memory = self.memory(core, cached);
        figures
    }

    /// Adds the figures of every log; says how many bytes of chunks are cache.
    fn walk_logs(&self, figures: &mut Figures, partitions_max: usize) -> u64 {
        let metadata = self.seat.as_ref().map(Seat::slot);
        let mut cached = 0;
        let mut by_topic: HashMap<Uuid, TopicCounters> = self.counters.apart.clone();
        for slot in self.logs.keys().filter(|slot| Some(*slot) != metadata) {
            let Some(hosted) = self.logs.get(slot) else { continue };
            let partition = &hosted.partition;
            cached += partition.log.clean_bytes();
            if hosted.doomed {
                figures.gone.add(&hosted.counts);
                continue;
            }
            by_topic.entry(hosted.of.topic).or_default().add(&hosted.counts);
            if partition.log.is_failed() {
                continue;
            }
            figures.partitions_online += 1;
            let is_short = partition.rules.min_insync_replicas > REPLICAS_IN_SYNC;
            figures.partitions_under_min_insync += usize::from(is_short);
            if figures.partitions.len() < partitions_max {
                figures.partitions.push(PartitionFigures {
                    topic: partition.topic.clone(),
                    index: partition.index,
                    end_offset: partition.log.end_offset(),
                    start_offset: partition.log.log_start_offset(),
                    size_bytes: partition.log.size_bytes(),
                    segments: partition.log.segments_count(),
                });
            }
        }
        for (id, counters) in by_topic {
            match self.topics.with_id(id) {
                Some(topic) => {
                    figures.topics.push(TopicFigures { name: topic.name.clone(), counters });
                }
                None => figures.gone.add(&counters),
            }
        }
        cached
    }

    fn memory(&mut self, core: &mut ShardCore, cached: u64) -> Vec<MemoryUse> {
        let all = self.shared.config.memory_per_shard;
        let share = |name, used, budget| MemoryUse { name, used, budget };
        let (used, budget) = (core.pool().used_bytes() as u64, core.pool().budget_bytes() as u64);
        let reading = core.pool().reading_bytes() as u64;
        let mut memory = vec![
            share("frames", self.input_held(core) as u64, self.input_budget() as u64),
            share("chunks", used, budget),
            share("tail_cache", cached, tail_cache_bytes_max(core) as u64),
            share("reads", reading, budget / READING_SHARE as u64),
            share("bus", self.outbox_bytes as u64, all / 16),
        ];
        if let Some(seat) = self.seat.as_mut() {
            let (used, budget) = seat.memory();
            memory.push(share("metadata_log", used, budget));
        }
        memory
    }
}
