//! Recovery points and log starts, on their way to the checkpoint files at the root of the data directory.
//!
//! Each shard tells shard 0 when those of its logs have moved; shard 0 writes the files,
//! at most once a second, on its helper thread. A checkpoint is a hint: one that is late costs a
//! longer scan after a crash, no more.

use std::collections::BTreeMap;

use ringlog_shard::fs::DataDir;

use super::{ShardCore, Shell};
use crate::datadir::{self, PartitionEnd, Step};
use crate::message::Message;
use crate::slab::Key;

/// What shard 0 knows of every partition's recovery point.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    ends: BTreeMap<(String, i32), PartitionEnd>,
    dirty: bool,
    writing: bool,
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
            ends.push(PartitionEnd {
                topic: hosted.partition.topic.name.to_string(),
                partition: hosted.of.index,
                high_watermark: hosted.partition.high_watermark(),
                flushed,
                log_start,
                first_segment,
            });
        }
        if !ends.is_empty() {
            self.post(core, 0, Message::RecoveryPoints(ends));
        }
    }

    pub(super) fn recovery_points_came(&mut self, ends: Vec<PartitionEnd>) {
        self.checkpoints.dirty = true;
        for end in ends {
            self.checkpoints.ends.insert((end.topic.clone(), end.partition), end);
        }
    }

    /// Writes the checkpoint files, if something has moved.
    pub(super) fn write_checkpoints(&mut self, core: &mut ShardCore) {
        let checkpoints = &mut self.checkpoints;
        if !checkpoints.dirty || checkpoints.writing {
            return;
        }
        checkpoints.dirty = false;
        checkpoints.writing = true;
        let image = &self.image;
        checkpoints.ends.retain(|(topic, _), _| image.topic_named(topic).is_some());
        let ends: Vec<_> = checkpoints.ends.values().cloned().collect();
        let data = self.shared.data.clone();
        core.blocking(Box::new(move || {
            for step in datadir::checkpoint_steps(&ends) {
                if let Err(error) = carry_out(&data, &step) {
                    tracing::error!(%error, "a checkpoint could not be written");
                }
            }
            Message::CheckpointsWritten
        }));
    }

    /// A topic is deleted: what comes under its name later begins anew.
    pub(super) fn forget_checkpoints(&mut self, name: &str) {
        self.checkpoints.ends.retain(|(topic, _), _| topic != name);
    }

    pub(super) fn checkpoints_written(&mut self) {
        self.checkpoints.writing = false;
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
