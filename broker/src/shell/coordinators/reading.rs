//! From a log to its coordinator, and from a long log to a short one.
//!
//! Invariants: a coordinator serves only when its log has been read to the end; what is written
//! again is the last value of each key up to that very place in the log, when no transaction is
//! open there.

use std::collections::VecDeque;

use ringlog_shard::buf::Slice;
use ringlog_storage::ReadPlan;
use ringlog_wire::error::ErrorCode;

use super::{Coordinator, ROOM_BYTES, Reader};
use crate::coordinator::{self, Command, Kind, Live, Machine, Replay, Replayed, Ticket};
use crate::partition::Advanced;
use crate::shell::reads::{ColdRead, ReadFor, within_a_read};
use crate::shell::{ShardCore, Shell};
use crate::slab::Key;

/// Bytes of a log that are read at a time.
const LOAD_BYTES: usize = 1 << 20;
/// After so long a log that could not be read is read anew, milliseconds: a disk may get well.
const RELOAD_MS: i64 = 30_000;
/// A log that is not larger is not looked at for what can be left out.
const REWRITE_BYTES_MIN: u64 = 16 << 20;
/// A log that has grown so far is not kept long by transactions: none begins in it before it is
/// short again (COORDINATOR_LOAD_IN_PROGRESS, which is tried again).
const SETTLE_BYTES: u64 = 16 * REWRITE_BYTES_MIN;
/// Instead of a size: the log is left as it is.
const UNREADABLE: u64 = u64::MAX;
/// Bytes of one batch when a log's content is written again.
const REWRITE_BATCH_BYTES: usize = 256 << 10;

impl Coordinator {
    /// Whether its log is to be written again.
    fn is_long(&self) -> bool {
        self.fresh_bytes > self.rewrite_at_bytes
    }

    /// Whether no transaction may begin in its log until that has been done. Not where it could
    /// not be done: whoever waits for it would wait for ever.
    pub(super) fn must_settle(&self) -> bool {
        self.is_long() && self.fresh_bytes > SETTLE_BYTES
    }

    /// It did not come to writing the log again: reading it takes time, so not before it has grown
    /// by a part.
    fn postpone_rewrite(&mut self) {
        let part = (self.fresh_bytes / 4).max(REWRITE_BYTES_MIN / 16);
        self.rewrite_at_bytes = self.fresh_bytes + part;
    }
}

impl Shell {
    /// Begins to rebuild the coordinators whose logs came open.
    pub(in crate::shell) fn load_coordinators(&mut self, core: &mut ShardCore) {
        for slot in std::mem::take(&mut self.coordinators.opened) {
            let Some(hosted) = self.logs.get(slot) else { continue };
            let Some(kind) = Kind::of_topic(&hosted.partition.topic.name) else { continue };
            if hosted.doomed || hosted.partition.log.is_failed() {
                continue;
            }
            let (of, next) = (hosted.of, hosted.partition.log.log_start_offset());
            self.coordinators.incarnations += 1;
            let coordinator = Coordinator {
                of,
                incarnation: self.coordinators.incarnations,
                machine: Machine::new(kind, &self.shared.config.defaults),
                bytes: 0,
                reader: Some(Reader { next, reading: false, live: None }),
                held: VecDeque::new(),
                fresh_bytes: hosted.partition.log.size_bytes(),
                rewrite_at_bytes: REWRITE_BYTES_MIN,
                deadline_ms: None,
            };
            self.coordinators.remove(slot);
            self.coordinators.by_log.insert(slot, coordinator);
            self.read_on(core, slot);
        }
    }

    /// Reads on in the log of a coordinator, until a read has to wait for the disk.
    pub(super) fn read_on(&mut self, core: &mut ShardCore, slot: Key) {
        loop {
            let Some(coordinator) = self.coordinators.by_log.get_mut(&slot) else { return };
            let Some(reader) = &mut coordinator.reader else { return };
            let Some(hosted) = self.logs.get(slot) else { return };
            if reader.reading {
                return;
            }
            let log = &hosted.partition.log;
            let (from, end) = (reader.next.max(log.log_start_offset()), log.end_offset());
            if from >= end {
                return self.read_to_the_end(core, slot);
            }
            // What is not durable yet counts only for those who append behind it.
            let upto = match reader.live {
                Some(_) => end,
                None => hosted.partition.high_watermark(),
            };
            if from >= upto {
                // Progress comes back here.
                return;
            }
            match log.read(from, upto, LOAD_BYTES, true) {
                Ok(ReadPlan::Memory { slices, .. }) => {
                    if !self.replay(core, slot, from, &slices) {
                        return;
                    }
                }
                Ok(ReadPlan::Empty) => return,
                Ok(plan) => {
                    reader.reading = true;
                    let purpose = ReadFor::Load { slot, from, upto, bytes_max: LOAD_BYTES };
                    let plan = within_a_read(plan);
                    return self.start_read(core, ColdRead { slot, purpose, plan });
                }
                Err(error) => return self.loading_failed(core, slot, &format!("{error:?}")),
            }
        }
    }

    /// A read of a coordinator's log has ended. Without slices there was no memory: the next tick
    /// tries again.
    pub(in crate::shell) fn load_read_done(
        &mut self,
        core: &mut ShardCore,
        slot: Key,
        from: i64,
        slices: Result<Vec<Slice>, ErrorCode>,
    ) {
        let Some(coordinator) = self.coordinators.by_log.get_mut(&slot) else { return };
        let Some(reader) = &mut coordinator.reader else { return };
        (reader.next, reader.reading) = (from, false);
        match slices {
            Ok(slices) if slices.is_empty() => {}
            Ok(slices) => {
                if self.replay(core, slot, from, &slices) {
                    self.read_on(core, slot);
                }
            }
            Err(code) => self.loading_failed(core, slot, &format!("{code:?}")),
        }
    }

    fn replay(&mut self, core: &mut ShardCore, slot: Key, from: i64, slices: &[Slice]) -> bool {
        let Some(coordinator) = self.coordinators.by_log.get_mut(&slot) else { return false };
        let Some(reader) = &mut coordinator.reader else { return false };
        // A batch may lie across the log's chunks.
        let bytes = slices.iter().map(|slice| &slice[..]).collect::<Vec<&[u8]>>().concat();
        let into: &mut dyn Replayed = match &mut reader.live {
            Some(live) => live,
            None => &mut coordinator.machine,
        };
        self.codecs.allow(u64::MAX);
        match coordinator::replay(into, &mut self.codecs, &bytes, from) {
            Ok(replayed) => {
                reader.next = replayed.next;
                self.coordinators.weigh(slot);
                self.tell_passed_over(slot, &replayed);
                true
            }
            Err(why) => {
                self.loading_failed(core, slot, &why);
                false
            }
        }
    }

    /// Says what was in a log and could not be made use of.
    fn tell_passed_over(&self, slot: Key, replayed: &Replay) {
        let Replay { unknown, unreadable, why, .. } = replayed;
        if *unknown == 0 && *unreadable == 0 {
            return;
        }
        let dir = self.logs.get(slot).map(|hosted| hosted.partition.log.dir().display());
        let dir = dir.map(|dir| dir.to_string()).unwrap_or_default();
        if *unknown > 0 {
            tracing::warn!(dir, unknown, "records of unknown types are passed over");
        }
        if *unreadable > 0 {
            let why = why.join("; ");
            tracing::error!(dir, unreadable, why, "unreadable records are passed over");
        }
    }

    /// Nothing is left to read.
    fn read_to_the_end(&mut self, core: &mut ShardCore, slot: Key) {
        let Some(coordinator) = self.coordinators.by_log.get_mut(&slot) else { return };
        let of = coordinator.of;
        let Some(reader) = coordinator.reader.take() else { return };
        match reader.live {
            Some(live) => self.rewrite(core, slot, live),
            None => {
                let epoch = self.leader_epoch(of.topic, of.index);
                self.decide(core, slot, |machine, around| machine.loaded(around, epoch));
            }
        }
    }

    /// Those whose logs could not be read, those that wait for memory to read theirs into, and
    /// logs that have grown beyond what they say.
    pub(in crate::shell) fn tend_coordinators(&mut self, core: &mut ShardCore) {
        let now_ms = core.steady_ms();
        let due = self.coordinators.unread.extract_if(.., |(again_ms, _)| *again_ms <= now_ms);
        let due: Vec<_> = due.map(|(_, slot)| slot).collect();
        for slot in due {
            if !self.stopping && !self.coordinators.by_log.contains_key(&slot) {
                self.coordinators.log_opened(slot);
            }
        }
        for slot in self.coordinators.by_log.keys().copied().collect::<Vec<_>>() {
            self.read_on(core, slot);
        }
        let is_busy = |it: &Coordinator| it.reader.is_some();
        if self.stopping || self.coordinators.by_log.values().any(is_busy) {
            return;
        }
        let is_settled = |slot: &Key| {
            let hosted = self.logs.get(*slot);
            hosted.is_some_and(|it| it.partition.log.producers().first_unstable_offset().is_none())
        };
        let is_due = |(slot, it): &(&Key, &Coordinator)| it.is_long() && is_settled(slot);
        let due = self.coordinators.by_log.iter().find(is_due);
        let Some((slot, bytes)) = due.map(|(slot, it)| (*slot, it.bytes)) else { return };
        if !self.make_room(core, bytes + ROOM_BYTES) {
            if let Some(coordinator) = self.coordinators.by_log.get_mut(&slot) {
                coordinator.postpone_rewrite();
            }
            return;
        }
        let Some(hosted) = self.logs.get(slot) else { return };
        let next = hosted.partition.log.log_start_offset();
        if let Some(coordinator) = self.coordinators.by_log.get_mut(&slot) {
            let live = Some(Live::new(coordinator.machine.kind()));
            coordinator.reader = Some(Reader { next, reading: false, live });
            self.read_on(core, slot);
        }
    }

    /// A coordinator's log has been read while it served: what still holds is written once more,
    /// and stands for all that came before.
    fn rewrite(&mut self, core: &mut ShardCore, slot: Key, live: Live) {
        let Some(hosted) = self.logs.get(slot) else { return };
        let from = hosted.partition.log.end_offset();
        let Some(coordinator) = self.coordinators.by_log.get_mut(&slot) else { return };
        let live_bytes = live.bytes();
        if !live.is_settled() {
            // What a transaction has open must not come before what is written now.
            return coordinator.postpone_rewrite();
        }
        coordinator.rewrite_at_bytes = (live_bytes as u64 * 4).max(REWRITE_BYTES_MIN);
        if !self.make_room(core, live_bytes + ROOM_BYTES) {
            if let Some(coordinator) = self.coordinators.by_log.get_mut(&slot) {
                coordinator.postpone_rewrite();
            }
            return;
        }
        let mut records = live.into_records().into_iter().peekable();
        while records.peek().is_some() {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            let size = |(key, value): &(Vec<u8>, Option<Vec<u8>>)| {
                key.len() + value.as_ref().map_or(0, Vec::len)
            };
            // A large record goes alone, as it came.
            while let Some(record) =
                records.next_if(|next| bytes == 0 || bytes + size(next) < REWRITE_BATCH_BYTES)
            {
                bytes += size(&record);
                batch.push(record);
            }
            if self.append_decision(core, slot, &batch, None).is_none() {
                self.lose_coordinator(core, slot);
                return self.coordinators.log_opened(slot);
            }
        }
        let Some(hosted) = self.logs.get(slot) else { return };
        let end = hosted.partition.log.end_offset();
        if let Some(coordinator) = self.coordinators.by_log.get_mut(&slot) {
            coordinator.fresh_bytes = 0;
            coordinator.held.push_back((end, vec![Command::DropBefore(from)]));
        }
        self.coordinator_progress(core, slot);
    }

    /// What lies before `offset` in a coordinator's log has been said again.
    pub(super) fn drop_before(&mut self, core: &mut ShardCore, slot: Key, offset: i64) {
        let Some(hosted) = self.logs.get_mut(slot) else { return };
        let mut advanced = Advanced::default();
        hosted.partition.drop_before(offset, &mut advanced);
        self.tell(core, slot, &mut advanced);
        self.touch(slot);
    }

    fn loading_failed(&mut self, core: &mut ShardCore, slot: Key, why: &str) {
        let dir = self.logs.get(slot).map(|hosted| hosted.partition.log.dir().to_path_buf());
        tracing::error!(partition = ?dir, why, "a coordinator's log cannot be read");
        let coordinator = self.coordinators.by_log.get_mut(&slot);
        match coordinator.filter(|coordinator| coordinator.is_serving()) {
            // It knows what it knows; only its log stays as long as it is.
            Some(serving) => {
                serving.reader = None;
                serving.rewrite_at_bytes = UNREADABLE;
            }
            None => {
                self.lose_coordinator(core, slot);
                let again_ms = core.steady_ms() + RELOAD_MS;
                self.coordinators.unread.push((again_ms, slot));
            }
        }
    }

    /// A coordinator is no more, or not now: whoever waits for it asks again elsewhere or later.
    pub(in crate::shell) fn lose_coordinator(&mut self, core: &mut ShardCore, slot: Key) {
        if !self.coordinators.remove(slot) {
            return;
        }
        let askers = &self.coordinators.askers;
        let waiting = askers.keys().filter(|key| askers.get(*key).is_some_and(|a| a.slot == slot));
        for key in waiting.collect::<Vec<_>>() {
            self.answer_asker(core, Ticket(key.to_u64()), Err(ErrorCode::NotCoordinator));
        }
    }

    /// All of them: the shard stops.
    pub(in crate::shell) fn lose_coordinators(&mut self, core: &mut ShardCore) {
        for slot in self.coordinators.by_log.keys().copied().collect::<Vec<_>>() {
            self.lose_coordinator(core, slot);
        }
    }
}
