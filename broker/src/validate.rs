//! What a producer may send: Kafka's checks of one partition's records, before the log sees them.
//!
//! Rules 14, 15, 19 of `shared/protocol.md`; K: `ProduceRequest.validateRecords`, `LogValidator`,
//! `UnifiedLog.analyzeAndValidateRecords`. A compressed batch is checked by its header and CRC
//! alone and stored as it was sent; an uncompressed one is walked record by record.

use ringlog_wire::batch::{Batch, BatchError, Compression, HEADER_BYTES, TimestampType};
use ringlog_wire::error::ErrorCode;

/// What a topic demands of its batches.
#[derive(Clone, Copy, Debug)]
pub struct BatchRules {
    /// `max.message.bytes`: largest batch as sent, bytes.
    pub message_bytes_max: usize,
    /// First Produce version that may carry zstd is 7.
    pub produce_version: i16,
}

/// A refusal: the code, and the sentence that goes with it from Produce v8 on.
pub type Refusal = (ErrorCode, &'static str);

/// Checks `records` and returns its one batch.
///
/// # Errors
/// Kafka's code for the first rule that is broken.
pub fn check(records: Option<&[u8]>, rules: BatchRules) -> Result<Batch<'_>, Refusal> {
    let records = records.unwrap_or_default();
    if records.is_empty() {
        return Err((ErrorCode::InvalidRecord, "Expected one record batch, found none."));
    }
    // The magic byte stands at the same place in every format, so an old one is told apart from
    // garbage.
    if records.len() > 16 && records[16] < 2 {
        return Err((ErrorCode::InvalidRecord, "Expected a record batch of magic 2."));
    }
    let (batch, rest) = Batch::parse(records).map_err(refuse)?;
    if !rest.is_empty() {
        return Err((ErrorCode::InvalidRecord, "Expected exactly one record batch."));
    }
    check_header(&batch, rules)?;
    batch.verify_crc().map_err(refuse)?;
    if batch.header().compression().map_err(refuse)? == Compression::None {
        batch.walk().map_err(refuse)?;
    }
    Ok(batch)
}

fn check_header(batch: &Batch<'_>, rules: BatchRules) -> Result<(), Refusal> {
    let header = batch.header();
    assert!(header.size() >= HEADER_BYTES, "parse() checked it");
    if header.size() > rules.message_bytes_max {
        return Err((ErrorCode::MessageTooLarge, "The batch is larger than max.message.bytes."));
    }
    if header.compression().map_err(refuse)? == Compression::Zstd && rules.produce_version < 7 {
        return Err((ErrorCode::UnsupportedCompressionType, "zstd needs Produce v7."));
    }
    if header.base_offset != 0 {
        return Err((ErrorCode::InvalidRecord, "The base offset of a produced batch must be 0."));
    }
    let count = header.records_count;
    if count <= 0 || header.last_offset_delta.checked_add(1) != Some(count) {
        return Err((ErrorCode::InvalidRecord, "The record count contradicts the last offset."));
    }
    if header.is_control() {
        return Err((ErrorCode::InvalidRecord, "Clients may not write control records."));
    }
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return Err((ErrorCode::InvalidTimestamp, "Clients may not set the log append time."));
    }
    if header.producer_id >= 0 && header.base_sequence < 0 {
        return Err((ErrorCode::InvalidRecord, "An idempotent batch needs a base sequence."));
    }
    if header.is_transactional() {
        return Err((ErrorCode::InvalidTxnState, "This broker does not serve transactions yet."));
    }
    Ok(())
}

/// Kafka's code for a batch that cannot be read: the place where batch errors get their codes.
fn refuse(error: BatchError) -> Refusal {
    match error {
        BatchError::Crc { .. } => (ErrorCode::CorruptMessage, "The batch's CRC does not match."),
        BatchError::Compression(_) => {
            (ErrorCode::UnsupportedCompressionType, "Unknown compression type.")
        }
        BatchError::Truncated { .. } | BatchError::Length(_) => {
            (ErrorCode::CorruptMessage, "The batch's length contradicts the request's.")
        }
        BatchError::Magic(_) => (ErrorCode::InvalidRecord, "Expected a record batch of magic 2."),
        _ => (ErrorCode::InvalidRecord, "A record contradicts its batch."),
    }
}
