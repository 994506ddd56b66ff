//! A segment's sparse indexes, byte for byte Kafka's (`%020d.index`, `%020d.timeindex`).
//!
//! ```text
//! .index      8 B   | 0 offset - base u32 | 4 position u32 |
//! .timeindex 12 B   | 0 timestamp i64     | 8 offset - base u32 |
//! ```
//!
//! Invariants: offsets and positions of an [`OffsetIndex`] strictly increase, timestamps and
//! offsets of a [`TimeIndex`] strictly increase; neither ever holds more than `segment.index.bytes`
//! allows (the time index holds one slot back, for the entry that closing always adds). Both live
//! in memory while the segment is hot and are written, trimmed, at the roll and at the stop. An
//! index is a hint: what `decode` refuses is rebuilt from the log.
//!
//! [`SegmentIndexes`] holds the rule of *when* an entry is made, so that appending and rebuilding
//! cannot differ.

/// `segment.index.bytes`: no index file grows past it.
pub const INDEX_BYTES_MAX: usize = 10_485_760;
/// Bytes of one entry of `.index`.
pub const OFFSET_ENTRY_BYTES: usize = size_of::<u32>() + size_of::<u32>();
/// Bytes of one entry of `.timeindex`.
pub const TIME_ENTRY_BYTES: usize = size_of::<i64>() + size_of::<u32>();
/// The timestamp of "no timestamp", and of an empty time index.
pub const NO_TIMESTAMP: i64 = -1;

const _: () = assert!(OFFSET_ENTRY_BYTES == 8 && TIME_ENTRY_BYTES == 12);
const _: () = assert!(INDEX_BYTES_MAX / TIME_ENTRY_BYTES > 1);

/// Why an index file cannot be trusted; the answer is always to rebuild it from the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexError {
    /// The file's size is no multiple of an entry's.
    Size {
        /// The file's length.
        bytes: usize,
        /// An entry's.
        entry_bytes: usize,
    },
    /// The file holds more entries than `segment.index.bytes` allows.
    TooMany {
        /// What it holds.
        entries: usize,
        /// What is allowed.
        entries_max: usize,
    },
    /// An entry does not lie after the one before it (zeros after the last entry end here).
    NotIncreasing {
        /// Which one, from 0.
        at: usize,
    },
    /// An entry points at or past the segment's end, or at its very start, where none is ever made.
    Position {
        /// Which one, from 0.
        at: usize,
        /// Where it points.
        position: u32,
    },
    /// An entry names an offset at or past the segment's end offset.
    Offset {
        /// Which one, from 0.
        at: usize,
        /// What it names.
        offset: i64,
    },
    /// An entry holds a negative timestamp, which is never indexed.
    Timestamp {
        /// Which one, from 0.
        at: usize,
        /// What it holds.
        timestamp: i64,
    },
}

impl std::fmt::Display for IndexError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Size { bytes, entry_bytes } => {
                write!(f, "index of {bytes} bytes is no multiple of {entry_bytes}")
            }
            Self::TooMany { entries, entries_max } => {
                write!(f, "index of {entries} entries, at most {entries_max} are allowed")
            }
            Self::NotIncreasing { at } => {
                write!(f, "index entry {at} is not after entry {}", at - 1)
            }
            Self::Position { at, position } => {
                write!(f, "index entry {at} points to {position}, outside the segment")
            }
            Self::Offset { at, offset } => {
                write!(f, "index entry {at} names offset {offset}, outside the segment")
            }
            Self::Timestamp { at, timestamp } => {
                write!(f, "index entry {at} has the timestamp {timestamp}")
            }
        }
    }
}

impl std::error::Error for IndexError {}

/// The index has no free slot; the segment must roll first (`is_full` says so ahead).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexFull;

/// One entry of an [`OffsetIndex`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetEntry {
    /// The last offset of the batch at `position`.
    pub offset: i64,
    /// Where the batch starts in the segment's file.
    pub position: u32,
}

/// Offset → file position, sparse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetIndex {
    base_offset: i64,
    entries: Vec<(u32, u32)>,
    entries_max: usize,
}

impl OffsetIndex {
    /// An empty index of the segment that starts at `base_offset`, bound by `bytes_max`
    /// (`segment.index.bytes`).
    pub fn new(base_offset: i64, bytes_max: usize) -> Self {
        assert!(base_offset >= 0, "offsets start at zero");
        Self { base_offset, entries: Vec::new(), entries_max: bytes_max / OFFSET_ENTRY_BYTES }
    }

    /// The number of entries.
    pub fn entries_count(&self) -> usize {
        self.entries.len()
    }

    /// Whether the next entry would not fit: the segment must roll before the next append.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= self.entries_max
    }

    /// Adds an entry; `offset` and `position` lie after the last entry's (ours to keep).
    pub fn append(&mut self, offset: i64, position: u32) -> Result<(), IndexFull> {
        if self.is_full() {
            return Err(IndexFull);
        }
        let relative = relative(self.base_offset, offset);
        if let Some(&(last, last_position)) = self.entries.last() {
            assert!(relative > last, "offsets of an index increase");
            assert!(position > last_position, "positions of an index increase");
        }
        self.entries.push((relative, position));
        Ok(())
    }

    /// The largest entry at or below `target`, else the segment's start.
    pub fn lookup(&self, target: i64) -> OffsetEntry {
        let count =
            self.entries.partition_point(|&(r, _)| self.base_offset + i64::from(r) <= target);
        self.entry_before(count)
    }

    /// The largest entry whose position is at or below `position`, else the segment's start.
    pub fn lookup_position(&self, position: u32) -> OffsetEntry {
        self.entry_before(self.entries.partition_point(|&(_, p)| p <= position))
    }

    /// The newest entry, or the segment's start.
    pub fn last(&self) -> OffsetEntry {
        self.entry_before(self.entries.len())
    }

    /// All entries, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = OffsetEntry> + '_ {
        (1..=self.entries.len()).map(|count| self.entry_before(count))
    }

    /// Forgets every entry at or above `offset`.
    pub fn truncate_to(&mut self, offset: i64) {
        let keep = self.entries.partition_point(|&(r, _)| self.base_offset + i64::from(r) < offset);
        self.entries.truncate(keep);
    }

    /// The file's bytes, trimmed to the entries.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.entries.len() * OFFSET_ENTRY_BYTES);
        for (relative, position) in &self.entries {
            out.extend_from_slice(&relative.to_be_bytes());
            out.extend_from_slice(&position.to_be_bytes());
        }
        out
    }

    /// Reads a file's bytes. `end_offset` is the segment's exclusive end, `segment_bytes` its true
    /// length.
    pub fn decode(
        base_offset: i64,
        bytes: &[u8],
        bytes_max: usize,
        end_offset: i64,
        segment_bytes: u64,
    ) -> Result<Self, IndexError> {
        let mut index = Self::new(base_offset, bytes_max);
        check_size(bytes.len(), OFFSET_ENTRY_BYTES, index.entries_max)?;
        index.entries.reserve_exact(bytes.len() / OFFSET_ENTRY_BYTES);
        for (at, entry) in bytes.chunks_exact(OFFSET_ENTRY_BYTES).enumerate() {
            let relative = u32_at(entry, 0);
            let position = u32_at(entry, 4);
            let offset = base_offset.saturating_add(i64::from(relative));
            if let Some(&(last, last_position)) = index.entries.last()
                && (relative <= last || position <= last_position)
            {
                return Err(IndexError::NotIncreasing { at });
            }
            if position == 0 || u64::from(position) >= segment_bytes {
                return Err(IndexError::Position { at, position });
            }
            if relative > i32::MAX as u32 || offset >= end_offset {
                return Err(IndexError::Offset { at, offset });
            }
            index.entries.push((relative, position));
        }
        Ok(index)
    }

    fn entry_before(&self, count: usize) -> OffsetEntry {
        match count.checked_sub(1).and_then(|at| self.entries.get(at)) {
            Some(&(relative, position)) => {
                OffsetEntry { offset: self.base_offset + i64::from(relative), position }
            }
            None => OffsetEntry { offset: self.base_offset, position: 0 },
        }
    }
}

/// One entry of a [`TimeIndex`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeEntry {
    /// The largest timestamp of the segment up to `offset`.
    pub timestamp: i64,
    /// The last offset of the batch that carried it.
    pub offset: i64,
}

/// Timestamp → offset, sparse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeIndex {
    base_offset: i64,
    entries: Vec<(i64, u32)>,
    entries_max: usize,
}

impl TimeIndex {
    /// An empty index of the segment that starts at `base_offset`, bound by `bytes_max`
    /// (`segment.index.bytes`).
    pub fn new(base_offset: i64, bytes_max: usize) -> Self {
        assert!(base_offset >= 0, "offsets start at zero");
        Self { base_offset, entries: Vec::new(), entries_max: bytes_max / TIME_ENTRY_BYTES }
    }

    /// The number of entries.
    pub fn entries_count(&self) -> usize {
        self.entries.len()
    }

    /// Whether only the slot that closing needs is left.
    pub fn is_full(&self) -> bool {
        self.entries.len() + 1 >= self.entries_max
    }

    /// Adds an entry if the timestamp grew; says whether it did.
    pub fn append(&mut self, timestamp: i64, offset: i64) -> Result<bool, IndexFull> {
        if self.is_full() { Err(IndexFull) } else { Ok(self.push(timestamp, offset)) }
    }

    /// Adds the entry that rolling and closing always add: it may use the slot held back.
    pub fn append_last(&mut self, timestamp: i64, offset: i64) -> bool {
        self.entries.len() < self.entries_max && self.push(timestamp, offset)
    }

    fn push(&mut self, timestamp: i64, offset: i64) -> bool {
        if timestamp <= self.last().timestamp {
            return false;
        }
        let relative = relative(self.base_offset, offset);
        if let Some(&(_, last)) = self.entries.last() {
            assert!(relative > last, "offsets of a time index increase");
        }
        self.entries.push((timestamp, relative));
        true
    }

    /// The largest entry at or below `target`, else (-1, the segment's base offset).
    pub fn lookup(&self, target: i64) -> TimeEntry {
        self.entry_before(self.entries.partition_point(|&(t, _)| t <= target))
    }

    /// The newest entry: once closed, the segment's largest timestamp.
    pub fn last(&self) -> TimeEntry {
        self.entry_before(self.entries.len())
    }

    /// All entries, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = TimeEntry> + '_ {
        (1..=self.entries.len()).map(|count| self.entry_before(count))
    }

    /// Forgets every entry at or above `offset`.
    pub fn truncate_to(&mut self, offset: i64) {
        let keep = self.entries.partition_point(|&(_, r)| self.base_offset + i64::from(r) < offset);
        self.entries.truncate(keep);
    }

    /// The file's bytes, trimmed to the entries.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.entries.len() * TIME_ENTRY_BYTES);
        for (timestamp, relative) in &self.entries {
            out.extend_from_slice(&timestamp.to_be_bytes());
            out.extend_from_slice(&relative.to_be_bytes());
        }
        out
    }

    /// Reads a file's bytes. `end_offset` is the segment's exclusive end.
    pub fn decode(
        base_offset: i64,
        bytes: &[u8],
        bytes_max: usize,
        end_offset: i64,
    ) -> Result<Self, IndexError> {
        let mut index = Self::new(base_offset, bytes_max);
        check_size(bytes.len(), TIME_ENTRY_BYTES, index.entries_max)?;
        index.entries.reserve_exact(bytes.len() / TIME_ENTRY_BYTES);
        for (at, entry) in bytes.chunks_exact(TIME_ENTRY_BYTES).enumerate() {
            let timestamp = i64::from(u32_at(entry, 0)) << 32 | i64::from(u32_at(entry, 4));
            let relative = u32_at(entry, 8);
            let offset = base_offset.saturating_add(i64::from(relative));
            if let Some(&(last_timestamp, last)) = index.entries.last()
                && (timestamp <= last_timestamp || relative <= last)
            {
                return Err(IndexError::NotIncreasing { at });
            }
            if timestamp < 0 {
                return Err(IndexError::Timestamp { at, timestamp });
            }
            if relative > i32::MAX as u32 || offset >= end_offset {
                return Err(IndexError::Offset { at, offset });
            }
            index.entries.push((timestamp, relative));
        }
        Ok(index)
    }

    fn entry_before(&self, count: usize) -> TimeEntry {
        match count.checked_sub(1).and_then(|at| self.entries.get(at)) {
            Some(&(timestamp, relative)) => {
                TimeEntry { timestamp, offset: self.base_offset + i64::from(relative) }
            }
            None => TimeEntry { timestamp: NO_TIMESTAMP, offset: self.base_offset },
        }
    }
}

/// Both indexes of one segment, and the rule of when they get an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentIndexes {
    /// Offset → position.
    pub offset: OffsetIndex,
    /// Timestamp → offset.
    pub time: TimeIndex,
    max: TimeEntry,
}

impl SegmentIndexes {
    /// Empty indexes of the segment that starts at `base_offset`.
    pub fn new(base_offset: i64, bytes_max: usize) -> Self {
        let offset = OffsetIndex::new(base_offset, bytes_max);
        let time = TimeIndex::new(base_offset, bytes_max);
        let max = time.last();
        Self { offset, time, max }
    }

    /// Indexes read from files; the largest timestamp is the time index's last (exact after a clean
    /// close).
    pub fn restored(offset: OffsetIndex, time: TimeIndex) -> Self {
        assert!(offset.base_offset == time.base_offset, "both belong to one segment");
        let max = time.last();
        Self { offset, time, max }
    }

    /// Whether the segment must roll before the next append.
    pub fn is_full(&self) -> bool {
        self.offset.is_full() || self.time.is_full()
    }

    /// The segment's largest timestamp and the last offset of the first batch that carried it.
    pub fn max_timestamp(&self) -> TimeEntry {
        self.max
    }

    /// A batch is being appended (or found, when rebuilding) at `position`. It gets an entry when
    /// more than
    /// `interval_bytes` lie between the last entry's position and its own.
    pub fn batch(
        &mut self,
        position: u32,
        last_offset: i64,
        max_timestamp: i64,
        interval_bytes: u32,
    ) -> Result<(), IndexFull> {
        if max_timestamp > self.max.timestamp {
            self.max = TimeEntry { timestamp: max_timestamp, offset: last_offset };
        }
        let last = self.offset.last().position;
        assert!(position >= last, "a segment grows at its end");
        if position - last > interval_bytes {
            self.offset.append(last_offset, position)?;
            self.time.append(self.max.timestamp, self.max.offset)?;
        }
        Ok(())
    }

    /// Forgets what lies at or above `offset`. The caller feeds the batches after the last entry
    /// that is left (`offset.last()`) again with [`Self::observe`], so that the largest timestamp
    /// is exact.
    pub fn truncate_to(&mut self, offset: i64) {
        self.offset.truncate_to(offset);
        self.time.truncate_to(offset);
        self.max = self.time.last();
    }

    /// Notes a batch's timestamp without making an entry.
    pub fn observe(&mut self, last_offset: i64, max_timestamp: i64) {
        if max_timestamp > self.max.timestamp {
            self.max = TimeEntry { timestamp: max_timestamp, offset: last_offset };
        }
    }

    /// The segment rolls or closes: the time index gets its last entry.
    pub fn close(&mut self) {
        self.time.append_last(self.max.timestamp, self.max.offset);
    }
}

fn relative(base_offset: i64, offset: i64) -> u32 {
    let relative = offset - base_offset;
    assert!(relative >= 0, "an index holds offsets of its own segment");
    assert!(relative <= i64::from(i32::MAX), "a segment spans at most 2^31 - 1 offsets");
    relative as u32
}

fn check_size(bytes: usize, entry_bytes: usize, entries_max: usize) -> Result<(), IndexError> {
    if !bytes.is_multiple_of(entry_bytes) {
        return Err(IndexError::Size { bytes, entry_bytes });
    }
    let entries = bytes / entry_bytes;
    if entries > entries_max {
        return Err(IndexError::TooMany { entries, entries_max });
    }
    Ok(())
}

/// `entry` comes from `chunks_exact`, so that the range is always there.
fn u32_at(entry: &[u8], at: usize) -> u32 {
    entry[at..at + 4].iter().fold(0, |value, &byte| value << 8 | u32::from(byte))
}

#[cfg(test)]
mod tests;
