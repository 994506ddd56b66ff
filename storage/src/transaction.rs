//! What ends transactions in a log, and what is kept of those that were aborted.
//!
//! A marker is a control batch ([`TransactionEnd`]) of the transaction's producer.
//!
//! A segment's `%020d.txnindex` names the aborted transactions whose markers lie in it, in the
//! order of the markers, 34 bytes each. There is none where none was aborted:
//!
//! ```text
//! | 0 version i16 = 0 | 2 producer id i64 | 10 first offset i64 | 18 the marker's offset i64
//! | 26 last stable offset at that time i64 |
//! ```
//!
//! Invariant: nothing before an entry's last stable offset is of a transaction that ends later. So
//! whoever looks for what is aborted below an offset may stop at the first entry that reaches it.

use ringlog_wire::batch::{Batch, TransactionEnd};

/// Most aborted transactions of one segment: the log rolls before there are more. They are in
/// memory while the segment is written, 2 MiB.
pub const ABORTED_PER_SEGMENT_MAX: usize = 1 << 16;
/// A longer `.txnindex` is no index. Other brokers roll later.
pub const TXN_INDEX_BYTES_MAX: u64 = 64 << 20;
/// Bytes of a marker, with room for what later versions of it may add.
pub(crate) const MARKER_BYTES_MAX: usize = 1024;

const VERSION: i16 = 0;

/// Bytes of an index's entry.
pub(crate) const TXN_ENTRY_BYTES: usize = 2 + 8 + 8 + 8 + 8;
const _: () = assert!(TXN_ENTRY_BYTES == 34);

/// The end of a producer's transaction in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The producer's id, at least 0.
    pub producer_id: i64,
    /// The epoch that the coordinator gives it: in version 2 one more than that of the records.
    pub producer_epoch: i16,
    /// Whether its records count.
    pub committed: bool,
    /// The epoch of the coordinator that decided it, at least 0.
    pub coordinator_epoch: i32,
}

impl Marker {
    /// The control batch that says it.
    pub fn encode(&self, now_ms: i64) -> Vec<u8> {
        let Marker { producer_id, producer_epoch, committed, coordinator_epoch } = *self;
        let timestamp = now_ms;
        TransactionEnd { producer_id, producer_epoch, committed, coordinator_epoch, timestamp }
            .to_batch()
    }

    /// What a control batch says, if it is a marker. Compaction may have left nothing in it.
    pub fn decode(batch: &Batch<'_>) -> Option<Marker> {
        let end = TransactionEnd::of_batch(batch).ok()??;
        let TransactionEnd { producer_id, producer_epoch, committed, coordinator_epoch, .. } = end;
        (producer_id >= 0 && producer_epoch >= 0).then_some(Marker {
            producer_id,
            producer_epoch,
            committed,
            coordinator_epoch,
        })
    }
}

/// An aborted transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTxn {
    /// Its producer.
    pub producer_id: i64,
    /// The offset of its first record.
    pub first_offset: i64,
    /// The offset of its marker.
    pub last_offset: i64,
    /// When it was aborted, everything below was decided.
    pub last_stable_offset: i64,
}

impl AbortedTxn {
    /// Whether a reader of `from..upto` meets records of it.
    pub fn overlaps(&self, from: i64, upto: i64) -> bool {
        self.last_offset >= from && self.first_offset < upto
    }
}

/// A transaction that a marker has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completed {
    /// What an index would say of it.
    pub txn: AbortedTxn,
    /// Whether its records count.
    pub committed: bool,
}

/// Why the bytes are no index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxnIndexError {
    /// Not a whole number of entries, or more than [`TXN_INDEX_BYTES_MAX`].
    Size {
        /// The file's length.
        bytes: u64,
    },
    /// An entry holds a value that no log gives.
    Entry {
        /// Which one, from 0.
        at: usize,
    },
}

impl std::fmt::Display for TxnIndexError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Size { bytes } => write!(f, "transaction index of {bytes} bytes is cut"),
            Self::Entry { at } => write!(f, "transaction index's entry {at} is impossible"),
        }
    }
}

impl std::error::Error for TxnIndexError {}

/// The bytes of a segment's index.
pub fn encode_index(aborted: &[AbortedTxn]) -> Vec<u8> {
    let mut out = Vec::with_capacity(aborted.len() * TXN_ENTRY_BYTES);
    for txn in aborted {
        out.extend_from_slice(&VERSION.to_be_bytes());
        for field in [txn.producer_id, txn.first_offset, txn.last_offset, txn.last_stable_offset] {
            out.extend_from_slice(&field.to_be_bytes());
        }
    }
    out
}

/// The index of the segment whose first offset is `base_offset`.
///
/// # Errors
/// The bytes are not an index of that segment.
pub fn decode_index(base_offset: i64, bytes: &[u8]) -> Result<Vec<AbortedTxn>, TxnIndexError> {
    check_index_size(bytes.len() as u64)?;
    let mut reader = Fields { bytes };
    let mut aborted = Vec::with_capacity(bytes.len() / TXN_ENTRY_BYTES);
    let mut last = base_offset - 1;
    while !reader.bytes.is_empty() {
        let error = TxnIndexError::Entry { at: aborted.len() };
        let txn = decode_entry(&mut reader).filter(|txn| txn.last_offset > last).ok_or(error)?;
        last = txn.last_offset;
        aborted.push(txn);
    }
    Ok(aborted)
}

/// Whether a file of this length may be an index.
pub(crate) fn check_index_size(bytes: u64) -> Result<(), TxnIndexError> {
    match bytes > TXN_INDEX_BYTES_MAX || !bytes.is_multiple_of(TXN_ENTRY_BYTES as u64) {
        true => Err(TxnIndexError::Size { bytes }),
        false => Ok(()),
    }
}

fn decode_entry(reader: &mut Fields<'_>) -> Option<AbortedTxn> {
    let version = i16::from_be_bytes(reader.take()?);
    let mut field = || Some(i64::from_be_bytes(reader.take()?));
    let (producer_id, first_offset) = (field()?, field()?);
    let (last_offset, last_stable_offset) = (field()?, field()?);
    let is_sane = version == VERSION
        && producer_id >= 0
        && (0..last_offset).contains(&first_offset)
        && (0..=last_offset.saturating_add(1)).contains(&last_stable_offset);
    is_sane.then_some(AbortedTxn { producer_id, first_offset, last_offset, last_stable_offset })
}

/// Fixed-size fields off the front of some bytes.
pub(crate) struct Fields<'a> {
    pub bytes: &'a [u8],
}

impl Fields<'_> {
    pub fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(*field)
    }
}

#[cfg(test)]
mod tests;
