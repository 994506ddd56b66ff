//! Record batches, format v2: what producers send, what the log keeps, what consumers get. The
//! bytes are the same everywhere.
//!
//! ```text
//! |  0 base offset i64        |  8 batch length i32      | 12 partition leader epoch i32 |
//! | 16 magic i8 = 2           | 17 crc32c u32            | 21 attributes i16             |
//! | 23 last offset delta i32  | 27 base timestamp i64    | 35 max timestamp i64          |
//! | 43 producer id i64        | 51 producer epoch i16    | 53 base sequence i32          |
//! | 57 records count i32      | 61 records ..            |
//!
//! batch length   counts what follows it: the whole batch is 12 bytes more
//! crc32c         covers the attributes and all that follows
//! attributes     0-2 compression, 3 timestamp is the broker's, 4 transactional, 5 control,
//!                6 base timestamp is the delete horizon
//! ```
//!
//! Invariants: base offset and leader epoch lie outside the CRC, so the log stamps them in place
//! ([`encode_offset_and_epoch`]). A [`Batch`] is as long as its header says and its format is 2;
//! that its CRC and its records are right is known only after [`Batch::verify_crc`] and
//! [`Batch::walk`].

use std::fmt;

mod builder;
mod deflate;
mod inflate;
mod marker;
mod record;
mod stream;

pub use builder::{BatchBuilder, BatchOptions};
pub use inflate::{Codecs, INFLATED_BYTES_MAX};
pub use marker::TransactionEnd;
pub use record::{Record, RecordHeaderIter, RecordIter, WalkSummary};
pub use stream::Seen;

use deflate::Encoder;
use record::walk_records;
use stream::{Walked, walk_stream};

const BASE_OFFSET_AT: usize = 0;
const LENGTH_AT: usize = BASE_OFFSET_AT + size_of::<i64>();
const LEADER_EPOCH_AT: usize = LENGTH_AT + size_of::<i32>();
const MAGIC_AT: usize = LEADER_EPOCH_AT + size_of::<i32>();
const CRC_AT: usize = MAGIC_AT + size_of::<i8>();
const ATTRIBUTES_AT: usize = CRC_AT + size_of::<u32>();
const LAST_OFFSET_DELTA_AT: usize = ATTRIBUTES_AT + size_of::<i16>();
const BASE_TIMESTAMP_AT: usize = LAST_OFFSET_DELTA_AT + size_of::<i32>();
const MAX_TIMESTAMP_AT: usize = BASE_TIMESTAMP_AT + size_of::<i64>();
const PRODUCER_ID_AT: usize = MAX_TIMESTAMP_AT + size_of::<i64>();
const PRODUCER_EPOCH_AT: usize = PRODUCER_ID_AT + size_of::<i64>();
const BASE_SEQUENCE_AT: usize = PRODUCER_EPOCH_AT + size_of::<i16>();
const RECORDS_COUNT_AT: usize = BASE_SEQUENCE_AT + size_of::<i32>();

/// The bytes of a batch before its records.
pub const HEADER_BYTES: usize = RECORDS_COUNT_AT + size_of::<i32>();
/// The bytes that the batch length does not count.
pub const OVERHEAD_BYTES: usize = LENGTH_AT + size_of::<i32>();
/// The only format that is written: v2.
pub const MAGIC: i8 = 2;
/// "No producer id": the batch is not idempotent.
pub const NO_PRODUCER_ID: i64 = -1;

const LENGTH_MIN: i32 = (HEADER_BYTES - OVERHEAD_BYTES) as i32;
const _: () = assert!(HEADER_BYTES == 61 && OVERHEAD_BYTES == 12 && LENGTH_MIN == 49);
const _: () = assert!(CRC_AT == 17 && ATTRIBUTES_AT == 21 && RECORDS_COUNT_AT == 57);

const COMPRESSION_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
const DELETE_HORIZON: i16 = 0x40;

/// Why bytes are not a good batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// The bytes end before the batch does.
    Truncated {
        /// Bytes that the batch has, as far as is known.
        need: usize,
        /// Bytes that are there.
        have: usize,
    },
    /// Not format 2.
    Magic(i8),
    /// A batch length that cannot hold a header.
    Length(i32),
    /// The bytes are not those that were sent.
    Crc {
        /// In the header.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// A compression number that is not Kafka's.
    Compression(u8),
    /// The records are compressed, so they cannot be looked at.
    Compressed,
    /// A record is not framed as the format says; the number is its index in the batch.
    Record(u32),
    /// A record's offset delta is not its index.
    OffsetDelta(u32),
    /// A negative count of records.
    RecordsCount(i32),
    /// Bytes follow the last record.
    Trailing(usize),
    /// The records cannot be decompressed; the codec's name.
    Corrupt(&'static str),
    /// The records open to more than a batch may hold.
    Inflated {
        /// [`INFLATED_BYTES_MAX`], of one batch or of those that came before it in its request.
        bytes_max: u64,
    },
    /// The records, compressed anew, are larger than they may be.
    Deflated {
        /// The limit that was given.
        bytes_max: usize,
    },
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BatchError::Truncated { need, have } => {
                write!(f, "the batch needs {need} bytes, {have} are there")
            }
            BatchError::Magic(magic) => {
                write!(f, "batch format {magic}; only format 2 is accepted")
            }
            BatchError::Length(length) => write!(f, "batch length {length} is not possible"),
            BatchError::Crc { stored, computed } => {
                write!(f, "crc32c is {computed:#010x}, the batch says {stored:#010x}")
            }
            BatchError::Compression(kind) => write!(f, "compression {kind} is not known"),
            BatchError::Compressed => write!(f, "the records are compressed"),
            BatchError::Record(index) => write!(f, "record {index} is malformed"),
            BatchError::OffsetDelta(index) => write!(f, "record {index} has another offset delta"),
            BatchError::RecordsCount(count) => write!(f, "{count} records are not possible"),
            BatchError::Trailing(bytes) => write!(f, "{bytes} bytes follow the last record"),
            BatchError::Corrupt(codec) => write!(f, "the records are not {codec}"),
            BatchError::Inflated { bytes_max } => {
                write!(f, "the records open to more than {bytes_max} bytes")
            }
            BatchError::Deflated { bytes_max } => {
                write!(f, "the records, compressed anew, are larger than {bytes_max} bytes")
            }
        }
    }
}

impl std::error::Error for BatchError {}

/// How the records are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Compression {
    /// Not at all.
    #[default]
    None = 0,
    /// gzip
    Gzip = 1,
    /// snappy
    Snappy = 2,
    /// LZ4 frames
    Lz4 = 3,
    /// Zstandard
    Zstd = 4,
}

/// Whose clock the timestamps are from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's, record by record.
    #[default]
    CreateTime,
    /// The broker's: the batch's max timestamp holds for every record.
    LogAppendTime,
}

/// A batch's header, as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The first record's offset; 0 from a producer.
    pub base_offset: i64,
    /// The bytes after this field.
    pub batch_length: i32,
    /// The epoch of the leader that appended the batch.
    pub partition_leader_epoch: i32,
    /// The format, 2.
    pub magic: i8,
    /// CRC32C from the attributes to the end.
    pub crc: u32,
    /// Compression and flags.
    pub attributes: i16,
    /// The last offset less the base offset; kept when compaction removes records.
    pub last_offset_delta: i32,
    /// What the records' timestamp deltas are added to.
    pub base_timestamp: i64,
    /// The largest timestamp, or the append time.
    pub max_timestamp: i64,
    /// The idempotent producer, or -1.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// The first record's sequence number, or -1.
    pub base_sequence: i32,
    /// How many records follow.
    pub records_count: i32,
}

macro_rules! field {
    ($head:ident, $at:ident, $kind:ty) => {{
        let mut bytes = [0u8; size_of::<$kind>()];
        bytes.copy_from_slice(&$head[$at..$at + size_of::<$kind>()]);
        <$kind>::from_be_bytes(bytes)
    }};
}

impl BatchHeader {
    /// Reads the first 61 bytes. The format and the length are checked, nothing else.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(BatchError::Truncated { need: HEADER_BYTES, have: bytes.len() });
        };
        let header = BatchHeader {
            base_offset: field!(head, BASE_OFFSET_AT, i64),
            batch_length: field!(head, LENGTH_AT, i32),
            partition_leader_epoch: field!(head, LEADER_EPOCH_AT, i32),
            magic: field!(head, MAGIC_AT, i8),
            crc: field!(head, CRC_AT, u32),
            attributes: field!(head, ATTRIBUTES_AT, i16),
            last_offset_delta: field!(head, LAST_OFFSET_DELTA_AT, i32),
            base_timestamp: field!(head, BASE_TIMESTAMP_AT, i64),
            max_timestamp: field!(head, MAX_TIMESTAMP_AT, i64),
            producer_id: field!(head, PRODUCER_ID_AT, i64),
            producer_epoch: field!(head, PRODUCER_EPOCH_AT, i16),
            base_sequence: field!(head, BASE_SEQUENCE_AT, i32),
            records_count: field!(head, RECORDS_COUNT_AT, i32),
        };
        if header.magic != MAGIC {
            return Err(BatchError::Magic(header.magic));
        }
        if header.batch_length < LENGTH_MIN {
            return Err(BatchError::Length(header.batch_length));
        }
        Ok(header)
    }

    /// The header's 61 bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut head = [0u8; HEADER_BYTES];
        let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
        put(BASE_OFFSET_AT, &self.base_offset.to_be_bytes());
        put(LENGTH_AT, &self.batch_length.to_be_bytes());
        put(LEADER_EPOCH_AT, &self.partition_leader_epoch.to_be_bytes());
        put(MAGIC_AT, &self.magic.to_be_bytes());
        put(CRC_AT, &self.crc.to_be_bytes());
        put(ATTRIBUTES_AT, &self.attributes.to_be_bytes());
        put(LAST_OFFSET_DELTA_AT, &self.last_offset_delta.to_be_bytes());
        put(BASE_TIMESTAMP_AT, &self.base_timestamp.to_be_bytes());
        put(MAX_TIMESTAMP_AT, &self.max_timestamp.to_be_bytes());
        put(PRODUCER_ID_AT, &self.producer_id.to_be_bytes());
        put(PRODUCER_EPOCH_AT, &self.producer_epoch.to_be_bytes());
        put(BASE_SEQUENCE_AT, &self.base_sequence.to_be_bytes());
        put(RECORDS_COUNT_AT, &self.records_count.to_be_bytes());
        head
    }

    /// The whole batch's bytes, header included.
    #[inline]
    pub fn size(&self) -> usize {
        assert!(self.batch_length >= LENGTH_MIN, "parse has checked the length");
        OVERHEAD_BYTES + self.batch_length as usize
    }

    /// The last record's offset.
    #[inline]
    pub fn last_offset(&self) -> i64 {
        self.base_offset.wrapping_add(i64::from(self.last_offset_delta))
    }

    /// The offset after the batch.
    #[inline]
    pub fn next_offset(&self) -> i64 {
        self.last_offset().wrapping_add(1)
    }

    /// This header before `body`: the length and the CRC are theirs.
    pub fn sealed(mut self, body: &[u8]) -> BatchHeader {
        let length = i32::try_from(HEADER_BYTES - OVERHEAD_BYTES + body.len());
        self.batch_length = length.expect("a batch is limited below 2 GiB");
        let head = crc32c::crc32c(&self.encode()[ATTRIBUTES_AT..]);
        self.crc = crc32c::crc32c_append(head, body);
        self
    }

    /// Timestamps of this type, the largest of them `max_timestamp`. The CRC is not right any more:
    /// see [`BatchHeader::sealed`].
    pub fn stamped(mut self, kind: TimestampType, max_timestamp: i64) -> BatchHeader {
        self.attributes = match kind {
            TimestampType::CreateTime => self.attributes & !LOG_APPEND_TIME,
            TimestampType::LogAppendTime => self.attributes | LOG_APPEND_TIME,
        };
        self.max_timestamp = max_timestamp;
        self
    }

    /// How the records are compressed.
    #[inline]
    pub fn compression(&self) -> Result<Compression, BatchError> {
        match (self.attributes & COMPRESSION_MASK) as u8 {
            0 => Ok(Compression::None),
            1 => Ok(Compression::Gzip),
            2 => Ok(Compression::Snappy),
            3 => Ok(Compression::Lz4),
            4 => Ok(Compression::Zstd),
            kind => Err(BatchError::Compression(kind)),
        }
    }

    /// True for batches of the broker's own: transaction markers, leader changes, snapshots' ends.
    #[inline]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// True when the batch belongs to a transaction.
    #[inline]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// True when the base timestamp is the time after which tombstones may go (set by compaction).
    #[inline]
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON != 0
    }

    /// True when the producer numbers its batches.
    #[inline]
    pub fn has_producer_id(&self) -> bool {
        self.producer_id != NO_PRODUCER_ID
    }

    /// Whose clock the timestamps are from.
    #[inline]
    pub fn timestamp_type(&self) -> TimestampType {
        match self.attributes & LOG_APPEND_TIME {
            0 => TimestampType::CreateTime,
            _ => TimestampType::LogAppendTime,
        }
    }
}

/// One whole batch: a header, and exactly as many bytes after it as it says.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    header: BatchHeader,
    body: &'a [u8],
}

impl<'a> Batch<'a> {
    /// The batch at the start of `bytes`, and what follows it.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Batch<'a>, &'a [u8]), BatchError> {
        let header = BatchHeader::parse(bytes)?;
        match bytes.split_at_checked(header.size()) {
            Some((bytes, rest)) => Ok((Batch { header, body: &bytes[HEADER_BYTES..] }, rest)),
            None => Err(BatchError::Truncated { need: header.size(), have: bytes.len() }),
        }
    }

    /// The header, as numbers.
    #[inline]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// A batch put together from its parts; the header is [`BatchHeader::sealed`] over the body.
    pub fn from_parts(header: BatchHeader, body: &'a [u8]) -> Batch<'a> {
        assert!(header.size() == HEADER_BYTES + body.len(), "the header says how long the body is");
        Batch { header, body }
    }

    /// The records' bytes, compressed or not.
    #[inline]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Compares the stored CRC with the bytes'.
    #[inline]
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let head = crc32c::crc32c(&self.header.encode()[ATTRIBUTES_AT..]);
        let computed = crc32c::crc32c_append(head, self.body);
        if computed == self.header.crc {
            Ok(())
        } else {
            Err(BatchError::Crc { stored: self.header.crc, computed })
        }
    }

    /// The records, one after the other. Compressed records give one error.
    pub fn records(&self) -> RecordIter<'a> {
        RecordIter::new(&self.header, self.body())
    }

    /// Checks every record's framing: lengths within bounds, offset deltas 0, 1, 2 and so on, the
    /// body used up to its last byte. The records must not be compressed.
    #[inline]
    pub fn walk(&self) -> Result<WalkSummary, BatchError> {
        walk_records(&self.header, self.body())
    }

    /// As [`Batch::walk`], and compressed records are opened.
    #[inline]
    pub fn walk_opened(&self, codecs: &mut Codecs) -> Result<WalkSummary, BatchError> {
        match self.header.compression()? {
            Compression::None => self.walk(),
            _ => self.walk_stream(codecs),
        }
    }

    #[cold]
    fn walk_stream(&self, codecs: &mut Codecs) -> Result<WalkSummary, BatchError> {
        let (mut stream, _) = codecs.open(self.header.compression()?, self.body())?;
        match walk_stream(&self.header, &mut stream, true, &mut |_| Ok(()), |_| false)? {
            Walked::Whole(summary) => Ok(summary),
            Walked::At(_) => unreachable!("nothing ends the walk"),
        }
    }

    /// The first record that is `wanted`, compressed or not. Offset deltas may have gaps.
    pub fn find(
        &self,
        codecs: &mut Codecs,
        wanted: impl FnMut(&Seen) -> bool,
    ) -> Result<Option<Seen>, BatchError> {
        let (mut stream, _) = codecs.open(self.header.compression()?, self.body())?;
        match walk_stream(&self.header, &mut stream, false, &mut |_| Ok(()), wanted)? {
            Walked::Whole(_) => Ok(None),
            Walked::At(seen) => Ok(Some(seen)),
        }
    }

    /// Walks the records, and compresses them anew on the way: the same header but for the
    /// compression, the length and the CRC, and a body of at most `bytes_max` bytes, which is
    /// [`Codecs::body`] until the next batch.
    pub fn recompress(
        &self,
        codecs: &mut Codecs,
        to: Compression,
        level: i32,
        bytes_max: usize,
    ) -> Result<(WalkSummary, BatchHeader), BatchError> {
        self.rewrite(codecs, (to, level), bytes_max, true)
    }

    /// The same records, not compressed. Unlike by [`Batch::recompress`], offset deltas may have
    /// gaps, as compaction leaves them.
    pub fn open(&self, codecs: &mut Codecs, bytes_max: usize) -> Result<BatchHeader, BatchError> {
        let (_, header) = self.rewrite(codecs, (Compression::None, -1), bytes_max, false)?;
        Ok(header)
    }

    fn rewrite(
        &self,
        codecs: &mut Codecs,
        (to, level): (Compression, i32),
        bytes_max: usize,
        gapless: bool,
    ) -> Result<(WalkSummary, BatchHeader), BatchError> {
        let bytes_max = bytes_max.min(i32::MAX as usize - HEADER_BYTES);
        let (mut stream, deflate) = codecs.open(self.header.compression()?, self.body())?;
        let mut encoder = Encoder::new(deflate, to, level, bytes_max)?;
        let mut tee = |bytes: &[u8]| encoder.put(bytes);
        let walked = walk_stream(&self.header, &mut stream, gapless, &mut tee, |_| false)?;
        let Walked::Whole(summary) = walked else { unreachable!("nothing ends the walk") };
        encoder.finish()?;
        let header = BatchHeader {
            attributes: self.header.attributes & !COMPRESSION_MASK | to as i16,
            ..self.header
        };
        Ok((summary, header.sealed(codecs.body())))
    }
}

/// Stamps base offset and leader epoch into a batch's first sixteen bytes. Both are outside the
/// CRC.
#[inline]
pub fn encode_offset_and_epoch(first: &mut [u8; 16], base_offset: i64, leader_epoch: i32) {
    first[BASE_OFFSET_AT..LENGTH_AT].copy_from_slice(&base_offset.to_be_bytes());
    first[LEADER_EPOCH_AT..MAGIC_AT].copy_from_slice(&leader_epoch.to_be_bytes());
}
