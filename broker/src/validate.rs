//! What a producer may send: Kafka's checks of one partition's records, before the log sees them.
//!
//! Rules 14, 15, 19 of `shared/protocol.md`; K: `ProduceRequest.validateRecords`, `LogValidator`,
//! `UnifiedLog.analyzeAndValidateRecords`. A compressed batch is checked by its header and CRC
//! alone and stored as it was sent; an uncompressed one is walked record by record.

use ringlog_wire::batch::{
    Batch, BatchError, Compression, HEADER_BYTES, NO_PRODUCER_ID, TimestampType,
};
use ringlog_wire::error::ErrorCode;

/// What a topic demands of its batches.
#[derive(Clone, Copy, Debug)]
pub struct BatchRules {
    /// `max.message.bytes`: largest batch as sent, bytes.
    pub message_bytes_max: usize,
    /// `message.timestamp.after.max.ms` from now, milliseconds since 1970.
    pub timestamp_max: i64,
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
    if header.producer_id < NO_PRODUCER_ID || header.producer_id >= 0 && header.producer_epoch < 0 {
        return Err((ErrorCode::InvalidRecord, "The producer's id and epoch contradict."));
    }
    if header.max_timestamp > rules.timestamp_max {
        return Err((ErrorCode::InvalidTimestamp, "A timestamp is too far in the future."));
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

#[cfg(test)]
mod tests {
    use ringlog_wire::batch::{BatchBuilder, BatchOptions};

    use super::*;

    const RULES: BatchRules =
        BatchRules { message_bytes_max: 1000, timestamp_max: i64::MAX, produce_version: 9 };
    const COUNT_AT: usize = HEADER_BYTES - 4;

    fn batch(options: BatchOptions) -> Vec<u8> {
        let mut builder = BatchBuilder::new(options);
        builder.push(1000, Some(b"key"), Some(b"value"), &[]);
        builder.push(1001, None, None, &[("header", None)]);
        builder.finish()
    }

    fn good() -> Vec<u8> {
        batch(BatchOptions::default())
    }

    /// A good batch with one byte changed, and its CRC made right again.
    fn sealed(at: usize, byte: u8) -> Vec<u8> {
        let mut bytes = good();
        bytes[at] = byte;
        let step = |crc: u32, byte: &u8| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1)))
        };
        let crc = !bytes[21..].iter().fold(!0, step);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    fn changed(at: usize, byte: u8) -> Vec<u8> {
        let mut bytes = good();
        bytes[at] = byte;
        bytes
    }

    #[test]
    fn what_is_good_is_taken_whole() {
        let idempotent = BatchOptions {
            producer_id: 7,
            producer_epoch: 0,
            base_sequence: 0,
            ..BatchOptions::default()
        };
        for bytes in [good(), batch(idempotent), sealed(22, 1), sealed(22, 3), sealed(22, 4)] {
            assert_eq!(
                check(Some(&bytes), RULES).map(|batch| batch.bytes().len()),
                Ok(bytes.len())
            );
        }
    }

    #[test]
    fn each_refusal_has_its_code() {
        use ErrorCode::{
            CorruptMessage, InvalidRecord, InvalidTimestamp, InvalidTxnState, MessageTooLarge,
            UnsupportedCompressionType,
        };
        let transactional = batch(BatchOptions { transactional: true, ..BatchOptions::default() });
        let control = batch(BatchOptions { control: true, ..BatchOptions::default() });
        let stamped = batch(BatchOptions {
            timestamp_type: TimestampType::LogAppendTime,
            ..BatchOptions::default()
        });
        let offset = batch(BatchOptions { base_offset: 5, ..BatchOptions::default() });
        let no_sequence = batch(BatchOptions { producer_id: 7, ..BatchOptions::default() });
        let empty = BatchBuilder::new(BatchOptions::default()).finish();
        let last = good().len() - 1;
        let cases = [
            ("nothing", vec![], InvalidRecord),
            ("an old magic", changed(16, 1), InvalidRecord),
            ("a new magic", changed(16, 3), InvalidRecord),
            ("half a header", good()[..40].to_vec(), CorruptMessage),
            ("half a batch", good()[..last].to_vec(), CorruptMessage),
            ("a short length", changed(11, 10), CorruptMessage),
            ("two batches", [good(), good()].concat(), InvalidRecord),
            ("more behind it", [good(), vec![0]].concat(), InvalidRecord),
            ("a flipped bit", changed(last, 0), CorruptMessage),
            ("an unknown compression", sealed(22, 7), UnsupportedCompressionType),
            ("a base offset", offset, InvalidRecord),
            ("no records", empty, InvalidRecord),
            ("a wrong count", sealed(COUNT_AT + 3, 3), InvalidRecord),
            ("a negative count", sealed(COUNT_AT, 0xff), InvalidRecord),
            ("a wrong last offset", sealed(26, 9), InvalidRecord),
            ("a control batch", control, InvalidRecord),
            ("a broker's timestamp", stamped, InvalidTimestamp),
            ("no sequence", no_sequence, InvalidRecord),
            ("a transaction", transactional, InvalidTxnState),
            ("a record's length", sealed(HEADER_BYTES, 0x7e), InvalidRecord),
            ("a record's offset", sealed(HEADER_BYTES + 3, 2), InvalidRecord),
        ];
        for (what, bytes, code) in cases {
            let refusal = check(Some(&bytes), RULES).map(|_| ());
            assert_eq!(refusal.map_err(|(code, _)| code), Err(code), "{what}");
        }
        let small = BatchRules { message_bytes_max: good().len() - 1, ..RULES };
        assert_eq!(check(Some(&good()), small).unwrap_err().0, MessageTooLarge);
        let exact = BatchRules { message_bytes_max: good().len(), ..RULES };
        assert!(check(Some(&good()), exact).is_ok());
        let old = BatchRules { produce_version: 6, ..RULES };
        assert_eq!(check(Some(&sealed(22, 4)), old).unwrap_err().0, UnsupportedCompressionType);
        assert_eq!(check(None, RULES).unwrap_err().0, InvalidRecord);
    }
}
