//! Transaction markers: a transaction's end in a partition's log.
//!
//! ```text
//! batch   transactional and control, no sequence, the producer's id and epoch, one record
//! record  key | i16 version | i16 type: 0 aborted, 1 committed |
//!         value | i16 version | i32 coordinator epoch |
//! ```

use super::{Batch, BatchBuilder, BatchOptions};
use crate::codec::{DecodeError, Result};
use crate::records::control::{ControlKey, ControlRecord, EndTxnMarker};

/// A transaction's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionEnd {
    /// The producer.
    pub producer_id: i64,
    /// Its epoch; in version 2 of transactions one more than the records'.
    pub producer_epoch: i16,
    /// True is committed, false aborted.
    pub committed: bool,
    /// The epoch of the transactions' coordinator that decided it.
    pub coordinator_epoch: i32,
    /// When it was written, in milliseconds since 1970.
    pub timestamp: i64,
}

impl TransactionEnd {
    /// The marker as a batch of one record. The log stamps its offset and leader epoch.
    pub fn to_batch(&self) -> Vec<u8> {
        let marker = EndTxnMarker { version: 0, coordinator_epoch: self.coordinator_epoch };
        let record = match self.committed {
            true => ControlRecord::Commit(marker),
            false => ControlRecord::Abort(marker),
        };
        let mut value = Vec::new();
        record.encode_value(&mut value);
        let mut builder = BatchBuilder::new(BatchOptions {
            control: true,
            ..BatchOptions::transactional(self.producer_id, self.producer_epoch, -1)
        });
        builder.push(self.timestamp, Some(&record.key().encode()), Some(&value), &[]);
        builder.finish()
    }

    /// The marker that a batch is, or none when it is something else: records, another control
    /// record, a batch that compaction has emptied. An error when it is a control batch whose
    /// record cannot be read.
    pub fn of_batch(batch: &Batch<'_>) -> Result<Option<TransactionEnd>> {
        let header = batch.header();
        if !header.is_control() || header.records_count == 0 {
            return Ok(None);
        }
        let record = batch.records().next().and_then(std::result::Result::ok);
        let record = record.ok_or(DecodeError::Truncated)?;
        let key = record.key.ok_or(DecodeError::Null)?;
        let (committed, value) = match ControlKey::decode(key) {
            Ok(ControlKey::Commit) => (true, record.value),
            Ok(ControlKey::Abort) => (false, record.value),
            Ok(_) => return Ok(None),
            Err(DecodeError::Unknown { version: 0.., .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let marker = match ControlRecord::decode(key, value.ok_or(DecodeError::Null)?)? {
            ControlRecord::Abort(marker) | ControlRecord::Commit(marker) => marker,
            _ => return Ok(None),
        };
        Ok(Some(TransactionEnd {
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            committed,
            coordinator_epoch: marker.coordinator_epoch,
            timestamp: header.max_timestamp,
        }))
    }
}
