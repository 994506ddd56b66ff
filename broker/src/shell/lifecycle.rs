//! Topics come and go while the shard runs: a new image opens and removes logs, a stop closes them
//! all.
//!
//! Invariant: an image counts as applied when every log that it adds is open (or known to be
//! unusable) and every log that it drops is gone from the disk.

use std::sync::Arc;
use std::time::Duration;

use ringlog_shard::buf::Pool;
use ringlog_storage::{Log, LogConfig, OpenError, RecoveryHint, RecoveryReport};
use ringlog_wire::Uuid;
use ringlog_wire::error::ErrorCode;

use super::closing::ClosingDisk;
use super::logs::Hosted;
use super::{BlockingDisk, Seat, ShardCore, Shared, Shell};
use crate::coordinator::Kind;
use crate::datadir;
use crate::datadir::PartitionEnd;
use crate::memory::LogMemory;
use crate::message::{Message, Opened, TopicPartition};
use crate::metadata::topic_config::Surroundings;
use crate::metadata::{Controller, Image, TopicImage, names, placement};
use crate::partition::{Advanced, Partition, TopicName};
use crate::rules::{self, TopicRules};
use crate::slab::Key;
use crate::topics::Place;

/// A log that was opened before its shard started.
pub struct OpenedLog {
    /// Whose log it is.
    pub of: TopicPartition,
    /// What was known of it: what the disk refused is tried again.
    pub hint: RecoveryHint,
    /// The log, or why there is none.
    pub opened: Opened,
}

/// What a shard leaves behind when it stops.
pub struct ClosedShard {
    /// Of each partition: its directory's name, recovery point and log start; `None` for one that
    /// is not clean.
    pub logs: Vec<ClosedLog>,
    /// The controller and its log, from shard 0.
    pub controller: Option<(Controller, Log<LogMemory>)>,
}

/// A log that is being opened on the helper thread, or is to be once more.
pub(crate) struct OpeningLog {
    pub(super) hint: RecoveryHint,
    /// An image counts as applied only after it.
    of_image: bool,
    /// It could not be opened; the shard's clock, milliseconds, from which it is tried again.
    pub(super) failed_ms: Option<i64>,
    /// Shard 0 knows the hint.
    pub(super) told: bool,
}

/// One log that was closed, or could not be.
#[derive(Clone, Debug)]
pub struct ClosedLog {
    /// What the checkpoints shall say of it.
    pub end: PartitionEnd,
    /// Whether everything is on disk as a clean stop leaves it.
    pub clean: bool,
}

/// How long a stop waits for clients to take their answers.
const STOP_WAIT_MAX: Duration = Duration::from_secs(2);

/// The metadata topic's own id (`kraft.md` A6).
pub const METADATA_TOPIC_ID: Uuid = Uuid(1u128.to_be_bytes());

/// Logs that the helper thread may have to open at once: what other logs want of it, a new segment
/// for one, waits behind these.
const OPENS_MAX: usize = 4;

/// When a log that could not be opened is tried again: what the disk refused, it may grant later;
/// nothing else mends itself.
fn tried_again_from(error: &OpenError, now_ms: i64) -> i64 {
    match error {
        OpenError::Disk { .. } => now_ms,
        _ => i64::MAX,
    }
}

/// The name of a partition's directory.
pub fn partition_dir(topic: &str, index: i32) -> String {
    format!("{topic}-{index}")
}

impl Shell {
    /// Shard 0 becomes the controller, with the metadata log among its logs.
    pub(super) fn take_seat(&mut self, machine: Controller, log: Log<LogMemory>, pool: Pool) {
        let name = TopicName { name: names::METADATA_TOPIC.into(), id: METADATA_TOPIC_ID };
        let of = TopicPartition { topic: METADATA_TOPIC_ID, index: 0 };
        let epoch = machine.epoch();
        let partition = Partition::new(Arc::new(name), 0, epoch, TopicRules::default(), log);
        let slot = self.logs.insert(Hosted::new(of, partition));
        let published = self.image.applied.offset;
        self.seat = Some(Seat::new(machine, slot, pool, published, self.shared.config.shards));
    }

    /// Where settings come from that a topic does not have itself.
    pub(crate) fn surroundings(&self) -> Surroundings<'_> {
        let (image, node_id) = (&*self.image, self.shared.config.node_id);
        Surroundings { image, statics: &self.shared.config.statics, node_id }
    }

    /// Puts a log that is open into the table of logs, and into its topic's place.
    pub(super) fn host(
        &mut self,
        of: TopicPartition,
        log: Log<LogMemory>,
        name: Arc<TopicName>,
    ) -> Key {
        let epoch = self.leader_epoch(of.topic, of.index);
        // The log may have been opened by settings that have changed since.
        let (rules, config) = self.settings_of(&name.name);
        let mut partition = Partition::new(name, of.index, epoch, rules, log);
        partition.log.reconfigure(config);
        let coordinates = Kind::of_topic(&partition.topic.name).is_some();
        let slot = self.logs.insert(Hosted::new(of, partition));
        if coordinates {
            self.coordinators.log_opened(slot);
        }
        self.touch(slot);
        slot
    }

    /// At the start: every topic's places, and the logs that were opened for this shard.
    pub(super) fn place_all_topics(&mut self, core: &ShardCore) {
        let image = Arc::clone(&self.image);
        for topic in image.topics.values() {
            self.add_topic(topic);
        }
        for OpenedLog { of, hint, opened } in std::mem::take(&mut self.opened) {
            if let Err(error) = &opened {
                let failed_ms = Some(tried_again_from(error, core.steady_ms()));
                let opening = OpeningLog { hint, of_image: false, failed_ms, told: false };
                self.opening.insert(of, opening);
            }
            self.place_opened(of, opened);
        }
    }

    /// Adds a topic or its new partitions; says which of them are this shard's.
    fn add_topic(&mut self, topic: &TopicImage) -> Vec<TopicPartition> {
        let shards = self.shared.config.shards;
        let name = TopicName { name: (&*topic.name).into(), id: topic.id };
        let entry = self.topics.add(Arc::new(name));
        let mut own = Vec::new();
        for index in entry.places.len() as i32..topic.partitions.len() as i32 {
            let home = placement::shard_of(topic.id, index, shards);
            entry.places.push(match home == self.shard {
                true => Place::Opening,
                false => Place::Remote(home),
            });
            if home == self.shard {
                own.push(TopicPartition { topic: topic.id, index });
            }
        }
        own
    }

    fn place_opened(&mut self, of: TopicPartition, opened: Opened) {
        let Some(topic) = self.topics.with_id(of.topic) else { return };
        let name = Arc::clone(&topic.name);
        let dir = partition_dir(&name.name, of.index);
        match opened {
            Ok((log, report)) => {
                say_what_recovery_did(&dir, &report);
                let slot = self.host(of, log, name);
                self.set_place(of, Place::Open(slot));
            }
            Err(error) => {
                // Said once: a log on a full disk is tried again every second.
                if self.topics.with_id(of.topic).and_then(|t| t.place(of.index))
                    != Some(Place::Failed)
                {
                    tracing::error!(partition = dir, %error, "the log cannot be opened");
                    self.counters.log_failures += 1;
                }
                self.set_place(of, Place::Failed);
            }
        }
    }

    /// The cluster's metadata has changed.
    pub(super) fn apply_image(&mut self, core: &mut ShardCore, image: Arc<Image>) {
        let old = std::mem::replace(&mut self.image, Arc::clone(&image));
        let gone: Vec<_> = self.topics.ids().filter(|id| image.topic(*id).is_none()).collect();
        let named = |id: &Uuid| self.topics.with_id(*id).map(|topic| Arc::clone(&topic.name));
        let names: Vec<_> = gone.iter().filter_map(named).collect();
        for id in gone {
            self.drop_topic(core, id);
            self.forget_deleted(core);
        }
        self.note_topics_version(&old, &image);
        if !names.is_empty() {
            self.tell_coordinators_of_deleted(core, &names);
        }
        for topic in image.topics.values() {
            // Images share what they have in common.
            if old.topic(topic.id).is_some_and(|known| Arc::ptr_eq(known, topic)) {
                continue;
            }
            for of in self.add_topic(topic) {
                self.changing += 1;
                self.open_log(
                    core,
                    of,
                    RecoveryHint { clean: false, recovery_point: 0, log_start: 0 },
                    true,
                );
            }
        }
        self.refresh_partitions(&old);
        self.say_applied(core);
    }

    /// What coordinators go by to see that topics have changed.
    fn note_topics_version(&mut self, old: &Image, new: &Image) {
        let offset = new.applied.offset;
        let is_new = |topic: &&Arc<TopicImage>| old.topic(topic.id).is_none();
        let partitions = |image: &Image| -> usize {
            image.topics.values().map(|topic| topic.partitions.len()).sum()
        };
        if new.topics.values().any(|topic| is_new(&topic)) {
            (self.topics_version, self.topics_created_version) = (offset, offset);
        } else if old.topics.len() != new.topics.len() || partitions(old) != partitions(new) {
            self.topics_version = offset;
        }
    }

    /// Open partitions of what the image changed work by it from now on.
    fn refresh_partitions(&mut self, old: &Image) {
        let image = Arc::clone(&self.image);
        let node_id = self.shared.config.node_id;
        let changed = image.difference(old, node_id);
        for id in changed {
            self.refresh_topic(id);
        }
    }

    fn refresh_topic(&mut self, id: Uuid) {
        let Some(topic) = self.topics.with_id(id).map(Arc::clone) else { return };
        let slots = topic.places.iter().filter_map(|place| match place {
            Place::Open(slot) => Some(*slot),
            _ => None,
        });
        let slots: Vec<Key> = slots.collect();
        if slots.is_empty() {
            return;
        }
        let (rules, config) = self.settings_of(&topic.name.name);
        for slot in slots {
            let Some(of) = self.logs.get(slot).map(|hosted| hosted.of) else { continue };
            let epoch = self.leader_epoch(of.topic, of.index);
            if let Some(hosted) = self.logs.get_mut(slot) {
                hosted.partition.reconfigure(epoch, rules, config.clone());
            }
            // A weaker durability may acknowledge what waits, a stronger one wants a flush.
            self.touch(slot);
        }
    }

    /// The rules of a topic's partitions, and the settings of their logs.
    fn settings_of(&self, topic: &str) -> (TopicRules, LogConfig) {
        let around = self.surroundings();
        let config = rules::log_config(around, &self.shared.config.defaults, topic);
        (TopicRules::of(around, topic), config)
    }

    fn say_applied(&mut self, core: &mut ShardCore) {
        if self.changing == 0 {
            let offset = self.image.applied.offset;
            self.post(core, 0, Message::Applied { offset });
        }
    }

    /// Opens a log on the helper thread, in its turn; `of_image` says that an image waits for it.
    pub(super) fn open_log(
        &mut self,
        core: &mut ShardCore,
        of: TopicPartition,
        hint: RecoveryHint,
        of_image: bool,
    ) {
        let opening = OpeningLog { hint, of_image, failed_ms: None, told: false };
        self.opening.insert(of, opening);
        self.to_open.push_back(of);
        self.open_next(core);
    }

    /// Gives the helper thread the next logs to open.
    fn open_next(&mut self, core: &mut ShardCore) {
        while self.opens < OPENS_MAX
            && let Some(of) = self.to_open.pop_front()
        {
            let Some(topic) = self.topics.with_id(of.topic) else {
                // Its topic was deleted meanwhile.
                if self.opening.remove(&of).is_some_and(|opening| opening.of_image) {
                    self.changed(core);
                }
                continue;
            };
            let Some(hint) = self.opening.get(&of).map(|opening| opening.hint) else { continue };
            self.opens += 1;
            let dir = partition_dir(&topic.name.name, of.index);
            let (_, config) = self.settings_of(&topic.name.name);
            let data = self.shared.data.clone();
            core.blocking(Box::new(move || {
                let opened = Log::open(&mut BlockingDisk(data), &dir, config, hint, of.topic);
                Message::LogOpened { of, opened: Box::new(opened) }
            }));
        }
    }

    pub(super) fn log_opened(&mut self, core: &mut ShardCore, of: TopicPartition, opened: Opened) {
        self.opens -= 1;
        self.open_next(core);
        let failed_ms =
            opened.as_ref().err().map(|error| tried_again_from(error, core.steady_ms()));
        self.place_opened(of, opened);
        let Some(mut opening) = self.opening.remove(&of) else { return };
        if std::mem::take(&mut opening.of_image) {
            self.changed(core);
        }
        if failed_ms.is_some() && self.topics.with_id(of.topic).is_some() {
            opening.failed_ms = failed_ms;
            self.opening.insert(of, opening);
        }
    }

    /// Tries logs again that could not be opened before `before_ms`.
    pub(super) fn open_failed_again(&mut self, core: &mut ShardCore, before_ms: i64) {
        let topics = &self.topics;
        // One that is being opened is waited for, whatever became of its topic.
        self.opening.retain(|of, opening| {
            opening.failed_ms.is_none() || topics.with_id(of.topic).is_some()
        });
        let is_due = |opening: &OpeningLog| opening.failed_ms.is_some_and(|at| at <= before_ms);
        let due: Vec<_> = self
            .opening
            .iter()
            .filter(|(_, opening)| is_due(opening))
            .map(|(of, opening)| (*of, opening.hint))
            .collect();
        for (of, hint) in due {
            self.open_log(core, of, hint, false);
        }
    }

    /// One of the changes that the latest image asked for is done.
    pub(super) fn changed(&mut self, core: &mut ShardCore) {
        assert!(self.changing > 0, "only what an image asked for is counted");
        self.changing -= 1;
        self.say_applied(core);
    }

    /// Partitions of this shard without an open log: the directory is not clean with them.
    fn unopened_logs(&self) -> Vec<ClosedLog> {
        let topics = self.topics.ids().filter_map(|id| self.topics.with_id(id));
        let unopened = topics.flat_map(|topic| {
            let places = topic.places.iter().zip(0..);
            let unopened =
                places.filter(|(place, _)| matches!(place, Place::Opening | Place::Failed));
            unopened.map(|(_, index)| {
                let of = TopicPartition { topic: topic.name.id, index };
                let hint = self.opening.get(&of).map(|opening| opening.hint);
                let hint = hint.unwrap_or_default();
                let end = PartitionEnd::unopened(&topic.name.name, index, hint);
                ClosedLog { end, clean: false }
            })
        });
        unopened.collect()
    }

    fn drop_topic(&mut self, core: &mut ShardCore, id: Uuid) {
        let Some(topic) = self.topics.remove(id) else { return };
        if let Some(counts) = self.counters.apart.remove(&id) {
            self.counters.gone.add(&counts);
        }
        let name = &topic.name;
        for (index, place) in (0..).zip(&topic.places) {
            let slot = match *place {
                Place::Remote(_) => continue,
                Place::Open(slot) => slot,
                Place::Opening | Place::Failed => {
                    // Whoever opens it now is done before the helper comes to this.
                    self.changing += 1;
                    self.remove_dir(core, partition_dir(&name.name, index), &name.name, index, id);
                    continue;
                }
            };
            let Some(hosted) = self.logs.get_mut(slot) else { continue };
            hosted.doomed = true;
            self.changing += 1;
            let mut advanced = Advanced::default();
            hosted.partition.fail(ErrorCode::UnknownTopicOrPartition, &mut advanced);
            self.tell(core, slot, &mut advanced);
            self.lose_coordinator(core, slot);
            self.touch(slot);
        }
    }

    /// Removes a doomed log that is quiet: renamed first, as Kafka does, so that a crash leaves no
    /// half of it.
    pub(super) fn remove_log(&mut self, core: &mut ShardCore, slot: Key) {
        let Some(hosted) = self.logs.remove(slot) else { return };
        self.counters.gone.add(&hosted.counts);
        let (name, TopicPartition { topic, index }) = (&hosted.partition.topic.name, hosted.of);
        self.remove_dir(core, partition_dir(name, index), name, index, topic);
    }

    fn remove_dir(
        &self,
        core: &mut ShardCore,
        dir: String,
        topic: &str,
        index: i32,
        topic_id: Uuid,
    ) {
        let marked = datadir::delete_dir(topic, index, topic_id);
        let data = self.shared.data.clone();
        core.blocking(Box::new(move || {
            let removed = data
                .rename(&dir, &marked)
                .and_then(|()| data.sync_dir(""))
                .and_then(|()| data.remove_dir_all(&marked));
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::error!(partition = dir, %error, "a deleted partition stays on disk");
                }
                _ => {}
            }
            Message::LogRemoved
        }));
    }

    pub(super) fn log_removed(&mut self, core: &mut ShardCore) {
        self.changed(core);
    }

    /// The process is to end: nothing new is begun.
    pub(super) fn begin_stop(&mut self, core: &mut ShardCore) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        let fetches: Vec<Key> = self.fetches.keys().collect();
        for key in fetches {
            self.expire_fetch(core, key);
        }
        self.lose_coordinators(core);
        let conns: Vec<_> = self.sessions.keys().copied().collect();
        for conn in conns {
            core.pause(conn);
        }
        for slot in self.logs.keys().collect::<Vec<_>>() {
            self.touch(slot);
        }
    }

    /// Once nothing is in flight: closes every log, leaves word of it, and ends the shard.
    pub(super) fn try_to_stop(&mut self, core: &mut ShardCore) {
        let busy = |slot: &Key| {
            self.logs.get(*slot).is_some_and(|hosted| hosted.partition.log.ops_in_flight() > 0)
        };
        let idle =
            self.dirty.is_empty() && self.changing == 0 && !self.logs.keys().any(|s| busy(&s));
        // Clients that wait for an answer get it: an acknowledgement that is lost costs them a
        // retry. One that does not read is waited for no longer than this.
        let deadline = *self.stop_by.get_or_insert(core.now() + STOP_WAIT_MAX);
        let unsent = self.sessions.keys().any(|conn| core.queued_bytes(*conn) > 0);
        let unsent = unsent && core.now() < deadline;
        if !idle || unsent || self.stopped {
            return;
        }
        self.stopped = true;
        let mut closed = ClosedShard { logs: Vec::new(), controller: None };
        let seat = self.seat.take();
        let metadata = seat.as_ref().map(|seat| seat.slot());
        let mut metadata_log = None;
        let mut logs = Vec::new();
        for slot in self.logs.keys().collect::<Vec<_>>() {
            let Some(hosted) = self.logs.remove(slot) else { continue };
            if Some(slot) == metadata {
                metadata_log = Some(hosted.partition.log);
            } else {
                logs.push(hosted);
            }
        }
        closed.logs = close_logs(&self.shared, logs);
        closed.logs.extend(self.unopened_logs());
        closed.controller = seat.map(Seat::into_machine).zip(metadata_log);
        self.shared.closed.lock().expect("no shard panics while it holds this").push(closed);
        core.stop();
    }
}

/// Closes logs, all of them with few flushes.
fn close_logs(shared: &Shared, logs: Vec<Hosted>) -> Vec<ClosedLog> {
    let mut disk = ClosingDisk::new(shared.data.clone(), shared.volume.clone());
    let mut closed = Vec::with_capacity(logs.len());
    for hosted in logs {
        let (topic, log) = (hosted.partition.topic.name.to_string(), hosted.partition.log);
        let recovery_point = log.recovery_point();
        let end = PartitionEnd {
            topic,
            partition: hosted.of.index,
            high_watermark: log.end_offset(),
            flushed: log.end_offset(),
            log_start: log.log_start_offset(),
            first_segment: log.first_segment_offset(),
        };
        closed.push((end, recovery_point, log.close(&mut disk)));
    }
    let finished = disk.finish();
    let told = closed.into_iter().map(|(mut end, recovery_point, closing)| {
        let closing = closing.and(finished);
        if let Err(error) = &closing {
            let dir = partition_dir(&end.topic, end.partition);
            tracing::error!(partition = dir, %error, "the log could not be closed cleanly");
            (end.high_watermark, end.flushed) = (recovery_point, recovery_point);
        }
        ClosedLog { end, clean: closing.is_ok() }
    });
    told.collect()
}

fn say_what_recovery_did(dir: &str, report: &RecoveryReport) {
    if let Some(cut) = &report.cut {
        let (offset, bytes, reason) = (cut.offset, cut.bytes, cut.reason);
        match report.is_loss() {
            true => tracing::warn!(
                partition = dir,
                offset,
                bytes,
                ?reason,
                "cut behind the last whole batch"
            ),
            false => tracing::info!(partition = dir, offset, bytes, ?reason, "cut unwritten space"),
        }
    }
    if report.lost_below_recovery_point {
        tracing::error!(partition = dir, "flushed records are gone: check the disk");
    }
    if !report.removed_segments.is_empty() {
        let segments = &report.removed_segments;
        tracing::error!(partition = dir, ?segments, "removed segments behind a corrupt batch");
    }
}
