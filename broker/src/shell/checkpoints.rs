//! Recovery points and log starts, on their way to the checkpoint files at the root of the data
//! directory.
//!
//! Each shard tells shard 0 when those of its logs have moved; shard 0 writes the files,
//! at most once a second, on its helper thread. A checkpoint that is late costs a longer scan after
//! a crash, no more.
//!
//! Invariant: the files name partitions by topic and index, so a line outlives its topic unless it
//! is taken out: a change that deletes topics is not applied before the files are without them.
//! A topic of the same name would begin where the old one's log did.

use std::collections::HashMap;

use ringlog_shard::fs::DataDir;

use super::{ShardCore, Shell};
use crate::datadir::{self, PartitionEnd, Step};
use crate::message::{Message, TopicPartition};
use crate::slab::Key;

/// What shard 0 knows of every partition's recovery point.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    ends: HashMap<TopicPartition, PartitionEnd>,
    dirty: bool,
    writing: bool,
    /// An image waits for files without what it deletes.
    owed: bool,
    /// The files that are being written are what it waits for.
    paying: bool,
}

impl Shell {
    /// Tells shard 0 of recovery points and log starts that have moved since it was last told.
    pub(super) fn tell_recovery_points(&mut self, core: &mut ShardCore) {
        let metadata = self.seat.as_ref().map(|seat| seat.slot());
        let mut ends = Vec::new();
        for slot in self.logs.keys().collect::<Vec<Key>>() {
            let Some(hosted) = self.logs.get_mut(slot) else { continue };
            let log = &hosted.partition.log;
            let (flushed, log_start) = (log.recovery_point(), log.log_start_offset());
            let told = (hosted.told_recovery_point, hosted.told_log_start);
            if Some(slot) == metadata || hosted.doomed || told == (flushed, log_start) {
                continue;
            }
            (hosted.told_recovery_point, hosted.told_log_start) = (flushed, log_start);
            let first_segment = hosted.partition.log.first_segment_offset();
            let end = PartitionEnd {
                topic: hosted.partition.topic.name.to_string(),
                partition: hosted.of.index,
                high_watermark: hosted.partition.high_watermark(),
                flushed,
                log_start,
                first_segment,
            };
            ends.push((hosted.of, end));
        }
        self.add_unopened(&mut ends);
        if !ends.is_empty() {
            self.post(core, 0, Message::RecoveryPoints(ends));
        }
    }

    /// A log that could not be opened keeps what was known of it.
    fn add_unopened(&mut self, ends: &mut Vec<(TopicPartition, PartitionEnd)>) {
        let untold = self.opening.iter_mut().filter(|(_, it)| it.failed_ms.is_some() && !it.told);
        for (of, opening) in untold {
            let Some(topic) = self.topics.with_id(of.topic) else { continue };
            opening.told = true;
            ends.push((*of, PartitionEnd::unopened(&topic.name.name, of.index, opening.hint)));
        }
    }

    pub(super) fn recovery_points_came(&mut self, ends: Vec<(TopicPartition, PartitionEnd)>) {
        self.checkpoints.dirty = true;
        self.checkpoints.ends.extend(ends);
    }

    /// Writes the checkpoint files, if something has moved.
    pub(super) fn write_checkpoints(&mut self, core: &mut ShardCore) {
        let checkpoints = &mut self.checkpoints;
        if checkpoints.writing || !checkpoints.dirty && !checkpoints.owed {
            return;
        }
        checkpoints.dirty = false;
        checkpoints.paying = std::mem::take(&mut checkpoints.owed);
        checkpoints.writing = true;
        // A shard may have told of a topic before it knew of its end.
        let image = &self.image;
        checkpoints.ends.retain(|of, _| image.topic(of.topic).is_some());
        let ends: Vec<_> = checkpoints.ends.values().cloned().collect();
        let data = self.shared.data.clone();
        core.blocking(Box::new(move || {
            let mut steps = datadir::checkpoint_steps(&ends).into_iter();
            let written = steps.try_for_each(|step| carry_out(&data, &step));
            if let Err(error) = &written {
                tracing::error!(%error, "the checkpoints could not be written");
            }
            Message::CheckpointsWritten { done: written.is_ok() }
        }));
    }

    /// Topics are deleted: what comes under their names later begins anew. The image waits until
    /// the files say so.
    pub(super) fn forget_deleted(&mut self, core: &mut ShardCore) {
        if self.shard == 0 && !std::mem::replace(&mut self.checkpoints.owed, true) {
            self.changing += 1;
            self.write_checkpoints(core);
        }
    }

    /// The files are written, or were not: then they are tried again at the next tick.
    pub(super) fn checkpoints_written(&mut self, core: &mut ShardCore, done: bool) {
        self.checkpoints.writing = false;
        let paying = std::mem::take(&mut self.checkpoints.paying);
        match done {
            true if paying => self.changed(core),
            true => {}
            false => {
                self.checkpoints.dirty = true;
                self.checkpoints.owed |= paying;
                return;
            }
        }
        if self.checkpoints.owed {
            self.write_checkpoints(core);
        }
    }
}

/// Does what a step says, durably.
///
/// # Errors
/// The system's.
pub fn carry_out(data: &DataDir, step: &Step) -> std::io::Result<()> {
    match step {
        Step::CreateDir(dir) => {
            match data.create_dir(dir) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                created => created?,
            }
            data.sync_dir("")
        }
        Step::Replace(path, bytes) => data.replace(path, bytes),
        Step::Remove(path) => match data.remove(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| data.sync_dir("")),
        },
        Step::Rename(from, to) => data.rename(from, to).and_then(|()| data.sync_dir("")),
    }
}
