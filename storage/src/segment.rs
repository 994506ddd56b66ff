//! One segment: a file of batches, its indexes, the part of it in memory, and how far its writing
//! is.
//!
//! Invariants of a [`Writer`]: `synced <= written <= submitted <= size`; the writes on their way
//! are in position order and cover `written..submitted` exactly; two of them that are with the
//! disk never share a block; `marks` holds every batch end above `written`.

use std::collections::VecDeque;
use std::path::PathBuf;

use ringlog_wire::batch::BatchHeader;

use crate::index::{IndexError, OffsetIndex, SegmentIndexes, TimeEntry, TimeIndex};
use crate::ops::{Chunk, FileId};
use crate::tail::{BatchAt, Tail, block_floor};
use crate::transaction::{AbortedTxn, encode_index};

/// A segment's files; the log itself goes last when they are removed.
pub(crate) const SEGMENT_SUFFIXES: [&str; 5] =
    ["index", "timeindex", "txnindex", "snapshot", "log"];

/// The file names of one segment, as Kafka names them.
pub(crate) fn file_name(base_offset: i64, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{base_offset:020}.{suffix}"))
}

/// The base offset in a segment file's name.
pub(crate) fn parse_name(name: &str, suffix: &str) -> Option<i64> {
    let stem = name.strip_suffix(suffix)?.strip_suffix('.')?;
    let digits = stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        return None;
    }
    stem.parse().ok()
}

/// A segment's indexes: in memory, or to be read when first needed.
pub(crate) enum Indexes {
    Loaded(Box<SegmentIndexes>),
    OnDisk,
}

/// The aborted transactions whose markers lie in a segment, in their order.
pub(crate) enum AbortedIndex {
    /// Always of an open segment.
    Loaded(Vec<AbortedTxn>),
    OnDisk,
}

/// See the module.
pub(crate) struct Segment<C: Chunk> {
    pub file: FileId,
    pub base_offset: i64,
    /// Bytes of whole batches, in memory or on disk.
    pub size: u64,
    pub indexes: Indexes,
    pub aborted: AbortedIndex,
    /// The largest timestamp, also while the indexes are on disk.
    pub max_timestamp: TimeEntry,
    /// The first batch's largest timestamp, or -1.
    pub first_timestamp: i64,
    /// When the first batch came, by the clock; unknown after a reopen.
    pub created_ms: Option<i64>,
    /// The producers' state at its base is durable in a snapshot of its own.
    pub has_snapshot: bool,
    pub tail: Tail<C>,
    /// Present until the file is closed.
    pub writer: Option<Writer>,
}

impl<C: Chunk> Segment<C> {
    /// A segment with nothing in it.
    pub fn empty(file: FileId, base_offset: i64, index_bytes_max: u64) -> Segment<C> {
        let indexes = SegmentIndexes::new(base_offset, index_bytes_max as usize);
        Segment {
            file,
            base_offset,
            size: 0,
            max_timestamp: indexes.max_timestamp(),
            indexes: Indexes::Loaded(Box::new(indexes)),
            aborted: AbortedIndex::Loaded(Vec::new()),
            first_timestamp: -1,
            created_ms: None,
            has_snapshot: false,
            tail: Tail::new(0, Vec::new()),
            writer: Some(Writer::new(0, base_offset)),
        }
    }

    pub fn log_name(&self) -> PathBuf {
        file_name(self.base_offset, "log")
    }

    /// The indexes of a segment that is being appended to or sealed.
    pub fn indexes_mut(&mut self) -> &mut SegmentIndexes {
        match &mut self.indexes {
            Indexes::Loaded(indexes) => indexes,
            Indexes::OnDisk => panic!("the indexes of an open segment are in memory"),
        }
    }

    /// The same, to look at.
    pub fn loaded(&self) -> Option<&SegmentIndexes> {
        match &self.indexes {
            Indexes::Loaded(indexes) => Some(indexes),
            Indexes::OnDisk => None,
        }
    }

    /// The aborted transactions of a segment that is being appended to or sealed.
    pub fn aborted_mut(&mut self) -> &mut Vec<AbortedTxn> {
        match &mut self.aborted {
            AbortedIndex::Loaded(aborted) => aborted,
            AbortedIndex::OnDisk => panic!("what an open segment aborts is in memory"),
        }
    }

    /// The same, to look at.
    pub fn aborted(&self) -> Option<&[AbortedTxn]> {
        match &self.aborted {
            AbortedIndex::Loaded(aborted) => Some(aborted),
            AbortedIndex::OnDisk => None,
        }
    }

    /// The files beside the log of an open segment, as they are now.
    pub fn index_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let base = self.base_offset;
        let indexes = self.loaded().expect("the indexes of an open segment are in memory");
        let mut files = vec![
            (file_name(base, "index"), indexes.offset.encode()),
            (file_name(base, "timeindex"), indexes.time.encode()),
        ];
        let aborted = self.aborted().expect("what an open segment aborts is in memory");
        if !aborted.is_empty() {
            files.push((file_name(base, "txnindex"), encode_index(aborted)));
        }
        files
    }

    /// Notes a batch that begins at the segment's end; used by append and by recovery alike.
    pub fn note(&mut self, header: &BatchHeader, index_interval_bytes: u64) {
        let position = u32::try_from(self.size).expect("segments stay below 2 GiB");
        if self.size == 0 {
            self.first_timestamp = header.max_timestamp;
        }
        let interval = u32::try_from(index_interval_bytes).unwrap_or(u32::MAX);
        let indexes = self.indexes_mut();
        let noted = indexes.batch(position, header.last_offset(), header.max_timestamp, interval);
        // Appending rolls before an index is full. A segment of another broker may have been
        // written with larger indexes: then lookups start further ahead, and nothing is lost.
        let _full_means_sparser = noted;
        self.max_timestamp = self.indexes_mut().max_timestamp();
        self.size += header.size() as u64;
    }

    /// Everything below this position is on disk in whole batches.
    pub fn clean_position(&self) -> u64 {
        match &self.writer {
            Some(writer) if writer.written == self.size => self.size,
            Some(writer) => writer.written_mark.position,
            None => self.size,
        }
    }
}

/// Reads both index files of a closed segment.
pub(crate) fn decode_indexes(
    base_offset: i64,
    files: (&[u8], &[u8]),
    index_bytes_max: u64,
    end_offset: i64,
    size: u64,
) -> Result<SegmentIndexes, IndexError> {
    let bytes_max = index_bytes_max.max(files.0.len() as u64) as usize;
    let offset = OffsetIndex::decode(base_offset, files.0, bytes_max, end_offset, size)?;
    let bytes_max = index_bytes_max.max(files.1.len() as u64 + 12) as usize;
    let time = TimeIndex::decode(base_offset, files.1, bytes_max, end_offset)?;
    Ok(SegmentIndexes::restored(offset, time))
}

/// Where a file is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileState {
    Absent,
    Opening,
    Open,
}

/// Where a write is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlightState {
    /// Its block is still being written by an earlier one.
    Waiting,
    /// With the disk.
    InFlight(u64),
    Done,
}

/// A write: from a block's start to `end`, which need not be a block's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    pub start: u64,
    pub end: u64,
    pub state: FlightState,
}

/// The steps of moving the recovery point.
pub(crate) struct Checkpoint {
    pub at: BatchAt,
    /// The producer state at that offset.
    pub snapshot: Vec<u8>,
    /// Files on their way, the indexes and then the snapshot; `None` while the data is not flushed
    /// yet.
    pub files: Option<usize>,
}

/// The steps of leaving a full segment behind.
pub(crate) struct Seal {
    pub next_base: i64,
    /// The producer state at that offset.
    pub snapshot: Vec<u8>,
    pub step: SealStep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SealStep {
    Draining,
    Truncating,
    Truncated,
    Syncing,
    Synced,
    /// The indexes, then the snapshot: so many on their way.
    Files(usize),
    Indexed,
    Filed,
    Closing,
}

/// How far the writing of a segment is.
pub(crate) struct Writer {
    pub state: FileState,
    /// The file's size, with its space.
    pub allocated: u64,
    pub allocating: bool,
    pub flights: VecDeque<Flight>,
    pub submitted: u64,
    pub written: u64,
    /// The last batch end at or below `written`.
    pub written_mark: BatchAt,
    /// Batch ends above `written`, oldest first.
    pub marks: VecDeque<BatchAt>,
    pub syncing: bool,
    /// The last batch end that is flushed.
    pub synced_mark: BatchAt,
    /// Bytes of `written` at the last recovery point.
    pub checkpointed: u64,
    pub checkpoint: Option<Checkpoint>,
    pub seal: Option<Seal>,
}

impl Writer {
    /// All of the file up to `size` is durable, and `offset` comes next.
    pub fn new(size: u64, offset: i64) -> Writer {
        let mark = BatchAt { offset, position: size };
        Writer {
            state: FileState::Absent,
            allocated: 0,
            allocating: false,
            flights: VecDeque::new(),
            submitted: size,
            written: size,
            written_mark: mark,
            marks: VecDeque::new(),
            syncing: false,
            synced_mark: mark,
            checkpointed: size,
            checkpoint: None,
            seal: None,
        }
    }

    /// Whether a write of this block is with the disk.
    pub fn block_is_in_flight(&self, block: u64) -> bool {
        self.flights.iter().any(|flight| {
            matches!(flight.state, FlightState::InFlight(_))
                && flight.start <= block
                && block < flight.end
        })
    }

    /// A write is done: what is contiguous counts as written.
    pub fn landed(&mut self, id: u64) {
        let flight = self.flights.iter_mut().find(|f| f.state == FlightState::InFlight(id));
        flight.expect("a write that is done was in flight").state = FlightState::Done;
        while let Some(first) = self.flights.front()
            && first.state == FlightState::Done
        {
            assert!(block_floor(self.written) == first.start, "writes follow one another");
            assert!(first.end > self.written, "a write brings something new");
            self.written = first.end;
            self.flights.pop_front();
        }
        self.settle_marks(self.written);
    }

    pub fn settle_marks(&mut self, written: u64) {
        while let Some(mark) = self.marks.front()
            && mark.position <= written
        {
            self.written_mark = *mark;
            self.marks.pop_front();
        }
    }
}
