//! Which leader epoch began at which offset (`leader-epoch-checkpoint`).
//!
//! Invariant: both columns strictly increase. The table is small (an entry per leader change) and
//! bounded; when it is in doubt it is rebuilt from the batches' headers, never guessed: a lost
//! table means silent divergence.

use crate::checkpoint::CheckpointError;
use crate::checkpoint::text;

/// Most entries kept: one per leader change of the data that is retained.
pub const EPOCHS_MAX: usize = 1 << 20;

/// Where a leader epoch began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    /// The leader epoch.
    pub epoch: i32,
    /// The first offset written in it.
    pub start_offset: i64,
}

/// Where a leader epoch ended: the exclusive end, which is the start of the next or the log's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch answered for: the largest known one at or below the requested one.
    pub epoch: i32,
    /// Its exclusive end.
    pub end_offset: i64,
}

/// The table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Vec<EpochEntry>,
}

impl EpochCache {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// The entries, oldest first.
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The newest entry.
    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    /// The epoch that `offset` was written in.
    pub fn epoch_for_offset(&self, offset: i64) -> Option<i32> {
        let count = self.entries.partition_point(|e| e.start_offset <= offset);
        count.checked_sub(1).and_then(|at| self.entries.get(at)).map(|e| e.epoch)
    }

    /// `epoch` begins at `start_offset`. Entries that would break the order (epochs that got no
    /// data, a history that was overwritten) give way. Says whether the table changed, so that it
    /// is written only then.
    pub fn assign(&mut self, epoch: i32, start_offset: i64) -> bool {
        assert!(epoch >= 0, "a leader epoch is never negative");
        assert!(start_offset >= 0, "an offset is never negative");
        if let Some(last) = self.latest()
            && last.epoch == epoch
            && last.start_offset <= start_offset
        {
            return false;
        }
        let keep = self
            .entries
            .iter()
            .position(|e| e.epoch >= epoch || e.start_offset >= start_offset)
            .unwrap_or(self.entries.len());
        self.entries.truncate(keep);
        if self.entries.len() == EPOCHS_MAX {
            self.entries.drain(..EPOCHS_MAX / 2); // older than any replica that could still ask
        }
        self.entries.push(EpochEntry { epoch, start_offset });
        true
    }

    /// Where the largest known epoch at or below `requested` ends. `None`: unknown (no entry, or a
    /// newer epoch than any known). Below the first entry: the requested epoch itself, ending where
    /// the first one starts.
    pub fn end_offset_for_epoch(&self, requested: i32, log_end_offset: i64) -> Option<EpochEnd> {
        let latest = self.latest()?;
        if requested < 0 || requested > latest.epoch {
            return None;
        }
        if requested == latest.epoch {
            return Some(EpochEnd { epoch: requested, end_offset: log_end_offset });
        }
        let above = self.entries.partition_point(|e| e.epoch <= requested);
        let end_offset = self.entries.get(above)?.start_offset;
        let epoch = match above.checked_sub(1).and_then(|at| self.entries.get(at)) {
            Some(floor) => floor.epoch,
            None => requested,
        };
        Some(EpochEnd { epoch, end_offset })
    }

    /// The log now ends at `end_offset`: epochs that begin there or later never were. Says whether
    /// anything changed.
    pub fn truncate_from_end(&mut self, end_offset: i64) -> bool {
        let keep = self.entries.partition_point(|e| e.start_offset < end_offset);
        let changed = keep < self.entries.len();
        self.entries.truncate(keep);
        changed
    }

    /// The log now starts at `start_offset`: the epoch that holds it begins there. Says whether
    /// anything changed.
    pub fn truncate_from_start(&mut self, start_offset: i64) -> bool {
        let covered = self.entries.partition_point(|e| e.start_offset <= start_offset);
        let Some(last) = covered.checked_sub(1) else { return false };
        if last == 0 && self.entries[0].start_offset == start_offset {
            return false;
        }
        self.entries.drain(..last);
        self.entries[0].start_offset = start_offset;
        true
    }

    /// The bytes of `leader-epoch-checkpoint`.
    pub fn render(&self) -> String {
        text::render(self.entries.iter().map(|e| format!("{} {}", e.epoch, e.start_offset)))
    }

    /// Reads `leader-epoch-checkpoint`.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let lines = text::parse(bytes)?;
        let mut cache = Self::new();
        for (number, line) in lines {
            let [epoch, start_offset] = text::fields(number, line)?;
            let epoch = text::number::<i32>(number, "leader epoch", epoch)?;
            let start_offset = text::number::<i64>(number, "start offset", start_offset)?;
            if let Some(last) = cache.latest()
                && (epoch <= last.epoch || start_offset <= last.start_offset)
            {
                return Err(CheckpointError::at(number, "epochs and offsets must increase", line));
            }
            if cache.entries.len() == EPOCHS_MAX {
                return Err(CheckpointError::at(number, "too many epochs", line));
            }
            cache.entries.push(EpochEntry { epoch, start_offset });
        }
        Ok(cache)
    }
}

#[cfg(test)]
mod tests;
