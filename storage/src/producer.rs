//! What each idempotent producer wrote last, so that a retried batch is recognised and a lost one
//! is noticed.
//!
//! Snapshot, version 1 (`%020d.snapshot`; the state *before* the offset in its name), big endian:
//!
//! ```text
//! | 0 version i16 | 2 crc32c of all that follows u32 | 6 count i32 | 10 count entries of 46 B |
//! entry: | 0 producer id i64 | 8 epoch i16 | 10 last sequence i32 | 14 last offset i64
//!        | 22 offset delta i32 | 26 timestamp i64 | 34 coordinator epoch i32
//!        | 38 first offset of the open transaction, or -1, i64 |
//! ```
//!
//! Invariants: a producer's batches are of its current epoch, at most [`BATCHES_MAX`], in sequence;
//! when there are more than `producers_max` producers, the longest silent ones go, as if they had
//! expired, but never one whose transaction is open: readers of committed records depend on it. New
//! batches are refused instead, so only a log of another broker, or one marker, goes beyond. The
//! table is a fold over the log: `replay` on the same batches
//! gives the same table, wherever the fold starts from a snapshot (which keeps only the last batch
//! of each producer).

use std::collections::{BTreeMap, HashMap};

use crate::transaction::{AbortedTxn, Completed, Fields, Marker};

/// Batches remembered per producer: as many as a Kafka client keeps in flight.
pub const BATCHES_MAX: usize = 5;
/// Default of `producers_max`: about 30 MiB.
pub const PRODUCERS_MAX: usize = 1 << 17;
/// The share of a full table that gives way at once, so that making room costs little per producer.
const EVICTED_SHARE: usize = 16;
/// A sequence, epoch or id that is not there.
const NONE: i32 = -1;

const VERSION: i16 = 1;
const CRC_AT: usize = size_of::<i16>();
const COUNT_AT: usize = CRC_AT + size_of::<u32>();
const ENTRIES_AT: usize = COUNT_AT + size_of::<i32>();
const ENTRY_BYTES: usize = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8;
const _: () = assert!(COUNT_AT == 6 && ENTRIES_AT == 10 && ENTRY_BYTES == 46);

/// What a batch's header says about its producer, and where the batch lies in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerBatch {
    /// The producer's id, at least 0.
    pub producer_id: i64,
    /// The producer's epoch.
    pub epoch: i16,
    /// The sequence of the first record; -1 in a coordinator's batch, which is not numbered.
    pub first_sequence: i32,
    /// Last offset - base offset; the sequence of the last record follows from it.
    pub offset_delta: i32,
    /// The offset of the first record: meaningful once the batch is in the log.
    pub base_offset: i64,
    /// The batch's largest timestamp, which is when the producer was last heard of.
    pub timestamp: i64,
    /// Whether the batch is part of a transaction.
    pub transactional: bool,
}

/// Who appends a batch: it decides what is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// A client: a batch follows on the one before, and one that is sent again is recognised.
    #[default]
    Client,
    /// A client of transaction version 2: as a client, but a transaction of which the log knows
    /// nothing begins at sequence 0 (rule 26).
    ClientOfVersion2,
    /// A coordinator: its records are numbered by nobody, their epoch alone counts.
    Coordinator,
}

/// One remembered batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchEntry {
    /// The sequence of its last record.
    pub last_sequence: i32,
    /// The offset of its last record.
    pub last_offset: i64,
    /// Last offset - base offset.
    pub offset_delta: i32,
    /// Its largest timestamp.
    pub timestamp: i64,
}

impl BatchEntry {
    /// The sequence of its first record.
    pub fn first_sequence(&self) -> i32 {
        sequence_before(self.last_sequence, self.offset_delta)
    }

    /// The offset of its first record.
    pub fn base_offset(&self) -> i64 {
        self.last_offset - i64::from(self.offset_delta)
    }
}

/// What is remembered of one producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    /// Its newest epoch.
    pub epoch: i16,
    /// The epoch of the coordinator that wrote its last marker, or -1.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins in this log.
    pub transaction_first_offset: Option<i64>,
    /// When it was last heard of.
    pub timestamp: i64,
    batches: [BatchEntry; BATCHES_MAX],
    batches_count: u8,
}

impl ProducerEntry {
    fn new(epoch: i16, timestamp: i64) -> Self {
        let none =
            BatchEntry { last_sequence: NONE, last_offset: -1, offset_delta: 0, timestamp: 0 };
        Self {
            epoch,
            coordinator_epoch: NONE,
            transaction_first_offset: None,
            timestamp,
            batches: [none; BATCHES_MAX],
            batches_count: 0,
        }
    }

    /// The remembered batches of the current epoch, oldest first.
    pub fn batches(&self) -> &[BatchEntry] {
        &self.batches[..usize::from(self.batches_count)]
    }

    /// The newest batch of the current epoch.
    pub fn last(&self) -> Option<&BatchEntry> {
        self.batches().last()
    }

    fn push(&mut self, batch: BatchEntry) {
        if usize::from(self.batches_count) == BATCHES_MAX {
            self.batches.rotate_left(1);
            self.batches_count -= 1;
        }
        self.batches[usize::from(self.batches_count)] = batch;
        self.batches_count += 1;
    }

    fn begin_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches_count = 0;
        }
    }
}

/// What to do with a batch that may be appended or answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// New: append it, then `update`.
    Append,
    /// It is in the log already: answer with its first offsets, append nothing.
    Duplicate(BatchEntry),
}

/// Why a batch must not be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProducerError {
    /// OUT_OF_ORDER_SEQUENCE_NUMBER.
    OutOfOrderSequence {
        /// The sequence that would have been taken.
        expected: i32,
        /// The batch's first sequence.
        found: i32,
    },
    /// INVALID_PRODUCER_EPOCH.
    InvalidEpoch {
        /// The producer's newest epoch.
        current: i16,
        /// The batch's epoch.
        found: i16,
    },
    /// INVALID_TXN_STATE: a batch outside of the producer's open transaction (rule 36).
    InvalidTxnState,
    /// TRANSACTION_COORDINATOR_FENCED.
    CoordinatorFenced {
        /// The epoch of the coordinator that wrote the producer's last marker.
        current: i32,
        /// The marker's.
        found: i32,
    },
    /// The table is full and every producer in it has a transaction open.
    TableFull,
}

impl std::fmt::Display for ProducerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OutOfOrderSequence { expected, found } => {
                write!(f, "sequence {found}, expected {expected}")
            }
            Self::InvalidEpoch { current, found } => {
                write!(f, "producer epoch {found}, the newest is {current}")
            }
            Self::InvalidTxnState => {
                f.write_str("the batch is not part of the producer's open transaction")
            }
            Self::CoordinatorFenced { current, found } => {
                write!(f, "coordinator epoch {found}, the newest is {current}")
            }
            Self::TableFull => f.write_str("the producer table is full of open transactions"),
        }
    }
}

impl std::error::Error for ProducerError {}

/// Why a snapshot cannot be used; the state is then rebuilt from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// Shorter than its header, or not as long as its count says.
    Size {
        /// The file's length.
        bytes: usize,
    },
    /// Not version 1.
    Version(i16),
    /// The checksum differs.
    Crc {
        /// As the file states it.
        stated: u32,
        /// As its bytes give it.
        computed: u32,
    },
    /// More producers than the table may hold.
    TooMany {
        /// As the file states it.
        count: usize,
    },
    /// An entry holds a value that no log gives (a negative id, a delta past its offset, an id
    /// twice).
    Entry {
        /// Which one, from 0.
        at: usize,
    },
}

impl std::fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Size { bytes } => {
                write!(f, "producer snapshot of {bytes} bytes is cut or padded")
            }
            Self::Version(version) => write!(f, "producer snapshot of version {version}, not 1"),
            Self::Crc { stated, computed } => {
                write!(f, "producer snapshot's CRC is {stated:08x}, its bytes give {computed:08x}")
            }
            Self::TooMany { count } => write!(f, "producer snapshot of {count} producers"),
            Self::Entry { at } => write!(f, "producer snapshot's entry {at} is impossible"),
        }
    }
}

impl std::error::Error for SnapshotError {}

/// The producers of one partition.
#[derive(Clone, Debug)]
pub struct ProducerTable {
    producers: HashMap<i64, ProducerEntry>,
    /// Open transactions: first offset → producer.
    open: BTreeMap<i64, i64>,
    producers_max: usize,
}

impl ProducerTable {
    /// An empty table of at most `producers_max` producers.
    pub fn new(producers_max: usize) -> Self {
        assert!(producers_max > 0, "a table holds at least one producer");
        Self { producers: HashMap::new(), open: BTreeMap::new(), producers_max }
    }

    /// The number of producers.
    pub fn count(&self) -> usize {
        self.producers.len()
    }

    /// What is known of a producer.
    pub fn get(&self, producer_id: i64) -> Option<&ProducerEntry> {
        self.producers.get(&producer_id)
    }

    /// All producers, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &ProducerEntry)> {
        self.producers.iter().map(|(&id, entry)| (id, entry))
    }

    /// Forgets everything (the log was truncated: load a snapshot and replay).
    pub fn clear(&mut self) {
        self.producers.clear();
        self.open.clear();
    }

    /// Whether a batch is next, a repetition, or wrong. Changes nothing.
    pub fn check(&self, batch: &ProducerBatch, origin: Origin) -> Result<Verdict, ProducerError> {
        assert!(batch.producer_id >= 0, "only idempotent batches are checked");
        let is_coordinator = origin == Origin::Coordinator;
        let Some(entry) = self.producers.get(&batch.producer_id) else {
            let of_version_2 = origin == Origin::ClientOfVersion2 && batch.transactional;
            return match self.has_room() {
                _ if of_version_2 && batch.first_sequence != 0 => {
                    let found = batch.first_sequence;
                    Err(ProducerError::OutOfOrderSequence { expected: 0, found })
                }
                true => Ok(Verdict::Append),
                false => Err(ProducerError::TableFull),
            };
        };
        if !is_coordinator
            && batch.epoch == entry.epoch
            && let Some(known) = entry.batches().iter().find(|known| same(known, batch))
        {
            return Ok(Verdict::Duplicate(*known));
        }
        if batch.epoch < entry.epoch {
            return Err(ProducerError::InvalidEpoch { current: entry.epoch, found: batch.epoch });
        }
        let expected = match entry.last() {
            Some(last) if batch.epoch == entry.epoch => sequence_after(last.last_sequence, 1),
            _ => 0,
        };
        if !is_coordinator && batch.first_sequence != expected {
            let found = batch.first_sequence;
            return Err(ProducerError::OutOfOrderSequence { expected, found });
        }
        if !batch.transactional && entry.transaction_first_offset.is_some() {
            return Err(ProducerError::InvalidTxnState);
        }
        Ok(Verdict::Append)
    }

    /// Whether there is room for this producer, or will be when one that is silent goes.
    pub fn may_take(&self, producer_id: i64) -> bool {
        self.producers.contains_key(&producer_id) || self.has_room()
    }

    /// Whether a coordinator may write this marker (rule 35). In version 2 it has given the
    /// producer a new epoch; the same epoch again, with nothing open, is a marker that is written
    /// again because nobody heard of the first. Changes nothing.
    pub fn check_marker(&self, marker: &Marker, version: i8) -> Result<(), ProducerError> {
        if !self.may_take(marker.producer_id) {
            return Err(ProducerError::TableFull);
        }
        let Some(entry) = self.producers.get(&marker.producer_id) else { return Ok(()) };
        let (current, found) = (entry.epoch, marker.producer_epoch);
        let is_again = found == current && entry.transaction_first_offset.is_none();
        let is_new = found > current || is_again || (version < 2 && found == current);
        if !is_new {
            return Err(ProducerError::InvalidEpoch { current, found });
        }
        let (current, found) = (entry.coordinator_epoch, marker.coordinator_epoch);
        if found < current {
            return Err(ProducerError::CoordinatorFenced { current, found });
        }
        Ok(())
    }

    /// Notes a batch that is now in the log. It was checked, or it comes from the log itself
    /// (`replay`): there it is taken as it is, for what is in the log has been accepted once.
    pub fn update(&mut self, batch: &ProducerBatch) {
        assert!(batch.producer_id >= 0, "only idempotent batches are noted");
        let entry = self.entry(batch.producer_id, batch.epoch, batch.timestamp);
        entry.begin_epoch(batch.epoch);
        entry.timestamp = batch.timestamp;
        if batch.first_sequence >= 0 {
            entry.push(BatchEntry {
                last_sequence: sequence_after(batch.first_sequence, batch.offset_delta),
                last_offset: batch.base_offset + i64::from(batch.offset_delta),
                offset_delta: batch.offset_delta,
                timestamp: batch.timestamp,
            });
        }
        if batch.transactional && entry.transaction_first_offset.is_none() {
            entry.transaction_first_offset = Some(batch.base_offset);
            self.open.insert(batch.base_offset, batch.producer_id);
        }
    }

    /// Completes what is remembered of each producer with batches that `earlier` saw before them:
    /// a snapshot names only the last one.
    pub fn extend_back(&mut self, earlier: &ProducerTable) {
        for (id, entry) in &mut self.producers {
            let Some(old) = earlier.get(*id).filter(|old| old.epoch == entry.epoch) else {
                continue;
            };
            let Some(first) = entry.batches().first().copied() else { continue };
            let joint = old.batches().iter().position(|b| b.last_offset == first.last_offset);
            let Some(joint) = joint else { continue };
            let known = entry.batches().to_vec();
            entry.batches_count = 0;
            for batch in old.batches()[..joint].iter().chain(&known) {
                entry.push(*batch);
            }
        }
    }

    /// Notes a marker that is now in the log at `offset`, and says which transaction it has ended,
    /// if one was open here.
    pub fn update_marker(
        &mut self,
        marker: &Marker,
        offset: i64,
        timestamp: i64,
    ) -> Option<Completed> {
        let producer_id = marker.producer_id;
        let entry = self.entry(producer_id, marker.producer_epoch, timestamp);
        entry.begin_epoch(marker.producer_epoch);
        entry.timestamp = timestamp;
        entry.coordinator_epoch = marker.coordinator_epoch;
        let first_offset = entry.transaction_first_offset.take()?;
        self.open.remove(&first_offset);
        let last_stable_offset = self.first_unstable_offset().unwrap_or(offset + 1);
        let txn = AbortedTxn { producer_id, first_offset, last_offset: offset, last_stable_offset };
        Some(Completed { txn, committed: marker.committed })
    }

    /// The first offset of the oldest open transaction: nothing from there on is decided.
    pub fn first_unstable_offset(&self) -> Option<i64> {
        self.open.first_key_value().map(|(&offset, _)| offset)
    }

    /// The open transactions, oldest first: (first offset, producer).
    pub fn open_transactions(&self) -> impl Iterator<Item = (i64, i64)> {
        self.open.iter().map(|(&offset, &id)| (offset, id))
    }

    /// Drops producers silent for `expiration_ms` (`producer.id.expiration.ms`) with no transaction
    /// open; says how many.
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) -> usize {
        let before = self.producers.len();
        self.producers.retain(|_, entry| {
            entry.transaction_first_offset.is_some()
                || now_ms.saturating_sub(entry.timestamp) < expiration_ms
        });
        before - self.producers.len()
    }

    /// The bytes of a snapshot: entries by producer id, so that equal tables give equal bytes.
    pub fn encode_snapshot(&self) -> Vec<u8> {
        let mut ids: Vec<_> = self.iter().collect();
        ids.sort_unstable_by_key(|&(id, _)| id);
        let mut out = Vec::with_capacity(ENTRIES_AT + ids.len() * ENTRY_BYTES);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&[0; COUNT_AT - CRC_AT]);
        out.extend_from_slice(&(ids.len() as i32).to_be_bytes());
        for (id, entry) in ids {
            encode_entry(&mut out, id, entry);
        }
        let crc = crc32c::crc32c(&out[COUNT_AT..]);
        out[CRC_AT..COUNT_AT].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// Reads a snapshot's bytes. Expired producers are the caller's to drop (`expire`).
    pub fn decode_snapshot(bytes: &[u8], producers_max: usize) -> Result<Self, SnapshotError> {
        let size = Err(SnapshotError::Size { bytes: bytes.len() });
        let mut reader = Fields { bytes };
        let (Some(version), Some(stated)) = (reader.take(), reader.take()) else { return size };
        let (version, stated) = (i16::from_be_bytes(version), u32::from_be_bytes(stated));
        if version != VERSION {
            return Err(SnapshotError::Version(version));
        }
        let computed = crc32c::crc32c(reader.bytes);
        if stated != computed {
            return Err(SnapshotError::Crc { stated, computed });
        }
        let Some(count) = reader.take().map(u32::from_be_bytes) else { return size };
        let count = count as usize;
        if count.checked_mul(ENTRY_BYTES) != Some(reader.bytes.len()) {
            return size;
        }
        if count > producers_max {
            return Err(SnapshotError::TooMany { count });
        }
        let mut table = Self::new(producers_max);
        table.producers.reserve(count);
        for at in 0..count {
            let (id, entry) = decode_entry(&mut reader).ok_or(SnapshotError::Entry { at })?;
            let first = entry.transaction_first_offset;
            let is_twice = first.is_some_and(|first| table.open.insert(first, id).is_some());
            if table.producers.insert(id, entry).is_some() || is_twice {
                return Err(SnapshotError::Entry { at });
            }
        }
        Ok(table)
    }

    fn has_room(&self) -> bool {
        self.producers.len() < self.producers_max || self.open.len() < self.producers.len()
    }

    fn entry(&mut self, id: i64, epoch: i16, timestamp: i64) -> &mut ProducerEntry {
        if self.producers.len() >= self.producers_max && !self.producers.contains_key(&id) {
            self.make_room();
        }
        self.producers.entry(id).or_insert_with(|| ProducerEntry::new(epoch, timestamp))
    }

    /// The longest silent go first; open transactions never.
    fn make_room(&mut self) {
        let closed = self.iter().filter(|(_, entry)| entry.transaction_first_offset.is_none());
        let mut ages: Vec<_> = closed.map(|(id, entry)| (entry.timestamp, id)).collect();
        let evicted = (self.producers.len() / EVICTED_SHARE).clamp(1, ages.len().max(1));
        if ages.is_empty() {
            return;
        }
        ages.select_nth_unstable(evicted - 1);
        for (_, id) in &ages[..evicted] {
            self.producers.remove(id);
        }
    }
}

fn same(known: &BatchEntry, batch: &ProducerBatch) -> bool {
    known.first_sequence() == batch.first_sequence
        && known.last_sequence == sequence_after(batch.first_sequence, batch.offset_delta)
}

/// `count` sequences on, from Int32.MAX to 0.
pub fn sequence_after(sequence: i32, count: i32) -> i32 {
    (i64::from(sequence) + i64::from(count)).rem_euclid(1 << 31) as i32
}

/// `count` sequences back, from 0 to Int32.MAX.
pub fn sequence_before(sequence: i32, count: i32) -> i32 {
    (i64::from(sequence) - i64::from(count)).rem_euclid(1 << 31) as i32
}

fn encode_entry(out: &mut Vec<u8>, id: i64, entry: &ProducerEntry) {
    let none = BatchEntry {
        last_sequence: NONE,
        last_offset: -1,
        offset_delta: 0,
        timestamp: entry.timestamp,
    };
    let last = entry.last().unwrap_or(&none);
    let start = out.len();
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&entry.epoch.to_be_bytes());
    out.extend_from_slice(&last.last_sequence.to_be_bytes());
    out.extend_from_slice(&last.last_offset.to_be_bytes());
    out.extend_from_slice(&last.offset_delta.to_be_bytes());
    out.extend_from_slice(&entry.timestamp.to_be_bytes());
    out.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
    out.extend_from_slice(&entry.transaction_first_offset.unwrap_or(-1).to_be_bytes());
    assert!(out.len() - start == ENTRY_BYTES, "the layout is as drawn");
}

fn decode_entry(reader: &mut Fields<'_>) -> Option<(i64, ProducerEntry)> {
    let id = i64::from_be_bytes(reader.take()?);
    let epoch = i16::from_be_bytes(reader.take()?);
    let last_sequence = i32::from_be_bytes(reader.take()?);
    let last_offset = i64::from_be_bytes(reader.take()?);
    let offset_delta = i32::from_be_bytes(reader.take()?);
    let timestamp = i64::from_be_bytes(reader.take()?);
    let coordinator_epoch = i32::from_be_bytes(reader.take()?);
    let transaction_first_offset = i64::from_be_bytes(reader.take()?);
    let mut entry = ProducerEntry::new(epoch, timestamp);
    entry.coordinator_epoch = coordinator_epoch;
    entry.transaction_first_offset =
        (transaction_first_offset >= 0).then_some(transaction_first_offset);
    if id < 0 || epoch < 0 || offset_delta < 0 {
        return None;
    }
    if last_offset >= 0 && last_sequence >= 0 {
        if i64::from(offset_delta) > last_offset {
            return None;
        }
        entry.push(BatchEntry { last_sequence, last_offset, offset_delta, timestamp });
    }
    Some((id, entry))
}

#[cfg(test)]
mod tests;
