//! What a producer may send: Kafka's checks of one partition's records, before the log sees them.
//!
//! Rules 14, 15, 17-20 of `shared/protocol.md`; K: `ProduceRequest.validateRecords`,
//! `UnifiedLog.analyzeAndValidateRecords`, `LogValidator`, in this order: is it one batch that the
//! version may carry → its header, size and CRC → its records, opened if they are compressed (with
//! `ringlog.validation=header`, compressed records are not opened) → stamped or compressed anew, if
//! the topic asks for it.
//!
//! Invariants: a batch that needs no change is not copied, and an uncompressed one is looked at
//! once; memory is bounded by [`Codecs`]; a batch is taken or refused as a whole.

use ringlog_wire::batch::{Batch, BatchError, BatchHeader, Codecs, Compression, HEADER_BYTES};
use ringlog_wire::batch::{
    MAGIC, NO_PRODUCER_ID, OVERHEAD_BYTES, Seen, TimestampType, WalkSummary,
};
use ringlog_wire::error::ErrorCode;

use crate::rules::{Recompress, TopicRules, Validation};

/// Most records of one batch that a refusal names.
pub const RECORD_PROBLEMS_MAX: usize = 100;
/// The timestamp of a record that has none; no limit applies to it.
const NO_TIMESTAMP: i64 = -1;
/// In every format, the batch's length and its magic stand at the same places.
const LENGTH_AT: usize = 8;
const MAGIC_AT: usize = 16;
/// The least length of any format's batch, bytes.
const LENGTH_MIN_ANY: usize = 14;
const _: () = assert!(LENGTH_AT + size_of::<i32>() == OVERHEAD_BYTES);
/// The first Produce version that may carry zstd.
const ZSTD_VERSION_MIN: i16 = 7;

/// A refusal: the code, and what goes with it from Produce v8 on (KIP-467).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Kafka's code.
    pub code: ErrorCode,
    /// Why, in a sentence; may be empty.
    pub why: &'static str,
    /// The records that are the reason, at most [`RECORD_PROBLEMS_MAX`].
    pub records: Vec<RecordProblem>,
}

/// A record that is the reason for a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordProblem {
    /// Its index in the batch.
    pub index: i32,
    /// What is wrong with it.
    pub why: String,
}

impl From<(ErrorCode, &'static str)> for Refusal {
    fn from((code, why): (ErrorCode, &'static str)) -> Refusal {
        Refusal { code, why, records: Vec::new() }
    }
}

/// Under which circumstances a batch is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// What its topic demands.
    pub rules: &'a TopicRules,
    /// The Produce version that carries it.
    pub produce_version: i16,
    /// Milliseconds since 1970.
    pub now_ms: i64,
    /// Most records that a refusal may name; never more than [`RECORD_PROBLEMS_MAX`].
    pub problems_max: usize,
}

/// Checks `records` and returns its one batch as it shall be stored.
///
/// # Errors
/// Kafka's code for the first rule that is broken.
pub fn check<'a>(
    records: Option<&'a [u8]>,
    around: Around<'_>,
    codecs: &'a mut Codecs,
) -> Result<Batch<'a>, Refusal> {
    let batch = only_batch(records.unwrap_or_default(), around.produce_version)?;
    check_header(&batch, around.rules)?;
    batch.verify_crc().map_err(refuse)?;
    check_promises(batch.header())?;
    let compression = batch.header().compression().map_err(refuse)?;
    match around.rules.recompress {
        Recompress::To(to, level) if to != compression => {
            recompressed(&batch, around, codecs, to, level)
        }
        _ if compression == Compression::None => {
            let summary = batch.walk().map_err(refuse)?;
            check_records(&batch, &summary, around, codecs)?;
            Ok(stamped(batch, around, summary.max_timestamp))
        }
        _ => {
            let max_timestamp = compressed(&batch, around, codecs)?;
            Ok(stamped(batch, around, max_timestamp))
        }
    }
}

/// Rule 14: exactly one batch, of a format and a compression that the version may carry. What
/// follows it and is no whole batch is passed over, as Kafka does.
fn only_batch(records: &[u8], produce_version: i16) -> Result<Batch<'_>, Refusal> {
    let Some((first, rest)) = next_batch(records)? else {
        return Err((ErrorCode::InvalidRecord, "Expected one record batch, found none.").into());
    };
    if first[MAGIC_AT] != MAGIC as u8 {
        return Err((ErrorCode::InvalidRecord, "Expected a record batch of magic 2.").into());
    }
    let (batch, _) = Batch::parse(first).map_err(refuse)?;
    let is_zstd = batch.header().compression() == Ok(Compression::Zstd);
    if is_zstd && produce_version < ZSTD_VERSION_MIN {
        return Err((ErrorCode::UnsupportedCompressionType, "zstd needs Produce v7.").into());
    }
    if !rest.is_empty() && next_batch(rest)?.is_some() {
        return Err((ErrorCode::InvalidRecord, "Expected exactly one record batch.").into());
    }
    Ok(batch)
}

type BatchAndRest<'a> = (&'a [u8], &'a [u8]);

/// The bytes of the batch at the start, whatever its format, and what follows. K:
/// `ByteBufferLogInputStream`.
fn next_batch(bytes: &[u8]) -> Result<Option<BatchAndRest<'_>>, Refusal> {
    let Some(&[a, b, c, d]) = bytes.get(LENGTH_AT..OVERHEAD_BYTES) else { return Ok(None) };
    let length = i32::from_be_bytes([a, b, c, d]);
    let corrupt = |why| Err((ErrorCode::CorruptMessage, why).into());
    let Some(length) = usize::try_from(length).ok().filter(|it| *it >= LENGTH_MIN_ANY) else {
        return corrupt("The batch's length is not possible.");
    };
    match bytes.get(MAGIC_AT) {
        None => return Ok(None),
        Some(0..=2) => {}
        Some(_) => return corrupt("The batch's magic is unknown."),
    }
    Ok(bytes.split_at_checked(OVERHEAD_BYTES + length))
}

fn check_header(batch: &Batch<'_>, rules: &TopicRules) -> Result<(), Refusal> {
    let header = batch.header();
    assert!(header.size() >= HEADER_BYTES, "parse() checked it");
    let refusal = if header.base_offset != 0 {
        (ErrorCode::InvalidRecord, "The base offset of a produced batch must be 0.")
    } else if header.size() > rules.message_bytes_max {
        (ErrorCode::MessageTooLarge, "The batch is larger than max.message.bytes.")
    } else {
        return Ok(());
    };
    Err(refusal.into())
}

/// What the header says of the records and their producer.
fn check_promises(header: &BatchHeader) -> Result<(), Refusal> {
    use ErrorCode::InvalidRecord;
    let count = header.records_count;
    let is_idempotent = header.producer_id >= 0;
    let refusal = if count <= 0 || header.last_offset_delta.checked_add(1) != Some(count) {
        (InvalidRecord, "The record count contradicts the last offset.")
    } else if header.is_control() {
        (InvalidRecord, "Clients may not write control records.")
    } else if header.producer_id < NO_PRODUCER_ID || is_idempotent && header.producer_epoch < 0 {
        (InvalidRecord, "The producer's id and epoch contradict.")
    } else if is_idempotent && header.base_sequence < 0 {
        (InvalidRecord, "An idempotent batch needs a base sequence.")
    } else {
        return Ok(());
    };
    Err(refusal.into())
}

/// Looks at compressed records that stay as they are. Returns their largest timestamp.
#[cold]
fn compressed(batch: &Batch<'_>, around: Around<'_>, codecs: &mut Codecs) -> Result<i64, Refusal> {
    if around.rules.validation == Validation::Header {
        check_stated_timestamps(batch.header(), around)?;
        return Ok(batch.header().max_timestamp);
    }
    let summary = batch.walk_opened(codecs).map_err(refuse)?;
    check_records(batch, &summary, around, codecs)?;
    Ok(summary.max_timestamp)
}

/// Rule 20: the records under the topic's own compression, checked on the way.
#[cold]
fn recompressed<'a>(
    batch: &Batch<'_>,
    around: Around<'_>,
    codecs: &'a mut Codecs,
    to: Compression,
    level: i32,
) -> Result<Batch<'a>, Refusal> {
    let bytes_max = around.rules.message_bytes_max.saturating_sub(HEADER_BYTES);
    let (summary, header) = batch.recompress(codecs, to, level, bytes_max).map_err(refuse)?;
    check_records(batch, &summary, around, codecs)?;
    Ok(stamped(Batch::from_parts(header, codecs.body()), around, summary.max_timestamp))
}

/// Rule 17, and Kafka's care for the header: the largest timestamp is what the records say, or the
/// broker's time.
#[inline]
fn stamped<'a>(batch: Batch<'a>, around: Around<'_>, max_timestamp: i64) -> Batch<'a> {
    let kind = around.rules.timestamp_type;
    let max_timestamp = match kind {
        TimestampType::CreateTime => max_timestamp.max(NO_TIMESTAMP),
        TimestampType::LogAppendTime => around.now_ms,
    };
    let header = batch.header();
    if header.timestamp_type() == kind && header.max_timestamp == max_timestamp {
        return batch;
    }
    let header = header.stamped(kind, max_timestamp).sealed(batch.body());
    Batch::from_parts(header, batch.body())
}

/// Rules 15 and 18, by what the walk found; only a batch that breaks one is looked at again, record
/// by record.
#[inline]
fn check_records(
    batch: &Batch<'_>,
    summary: &WalkSummary,
    around: Around<'_>,
    codecs: &mut Codecs,
) -> Result<(), Refusal> {
    let rules = around.rules;
    let is_ours = is_marked(batch.header(), rules);
    let lacks_keys = rules.compacted && summary.null_keys > 0;
    // Timestamps that wrapped round are looked at one by one.
    let has_wrapped = summary.min_timestamp > summary.max_timestamp;
    let is_off = rules.timestamp_type == TimestampType::CreateTime
        && (has_wrapped
            || summary.min_timestamp < around.now_ms.saturating_sub(rules.timestamp_before_max_ms)
            || summary.max_timestamp > around.now_ms.saturating_add(rules.timestamp_after_max_ms));
    if lacks_keys || is_off || is_ours { find_problems(batch, around, codecs) } else { Ok(()) }
}

/// Names the records that break a rule, if any does.
#[cold]
fn find_problems(
    batch: &Batch<'_>,
    around: Around<'_>,
    codecs: &mut Codecs,
) -> Result<(), Refusal> {
    let mut records = Vec::new();
    let mut code = None;
    let is_ours = is_marked(batch.header(), around.rules);
    let records_max = around.problems_max.min(RECORD_PROBLEMS_MAX);
    let note = |seen: &Seen| {
        if let Some(problem) = problem_of(seen, is_ours, around) {
            // One timestamp among the reasons makes it the reason.
            if code != Some(ErrorCode::InvalidTimestamp) {
                code = Some(problem.code());
            }
            if records.len() < records_max {
                records.push(RecordProblem { index: seen.index as i32, why: problem.why() });
            }
        }
        false
    };
    // The same bytes again: they are counted already. What `codecs` holds stays: a recompressed
    // body is stored from there.
    let left = codecs.left();
    codecs.allow(u64::MAX);
    let found = batch.find(codecs, note).map_err(refuse);
    codecs.allow(left);
    found?;
    let why = match code {
        None => return Ok(()),
        Some(ErrorCode::InvalidTimestamp) => "Records have timestamps that the topic refuses.",
        Some(_) => "Records without a key cannot be written to a compacted topic.",
    };
    Err(Refusal { code: code.expect("it was just matched"), why, records })
}

/// Rule 15: where the broker sets the time, a client must not say that it has. Where it does not,
/// the mark is taken away ([`stamped`]).
fn is_marked(header: &BatchHeader, rules: &TopicRules) -> bool {
    let ours = TimestampType::LogAppendTime;
    rules.timestamp_type == ours && header.timestamp_type() == ours
}

/// What is wrong with a record; the words are made only for those that are named.
enum Problem {
    NoKey,
    Marked,
    Untimely { timestamp: i64, low: i64, high: i64 },
}

impl Problem {
    fn code(&self) -> ErrorCode {
        match self {
            Problem::NoKey => ErrorCode::InvalidRecord,
            Problem::Marked | Problem::Untimely { .. } => ErrorCode::InvalidTimestamp,
        }
    }

    fn why(&self) -> String {
        match self {
            Problem::NoKey => "The record has no key.".into(),
            Problem::Marked => "Clients may not set the log append time.".into(),
            Problem::Untimely { timestamp, low, high } => {
                format!("The record's timestamp {timestamp} is not within {low} to {high}.")
            }
        }
    }
}

fn problem_of(seen: &Seen, is_ours: bool, around: Around<'_>) -> Option<Problem> {
    let Around { rules, now_ms, .. } = around;
    if rules.compacted && !seen.has_key {
        return Some(Problem::NoKey);
    }
    if is_ours {
        return Some(Problem::Marked);
    }
    let limits = rules.timestamp_type == TimestampType::CreateTime;
    if !limits || seen.timestamp == NO_TIMESTAMP || is_timely(seen.timestamp, around) {
        return None;
    }
    let (timestamp, low) = (seen.timestamp, now_ms.saturating_sub(rules.timestamp_before_max_ms));
    let high = now_ms.saturating_add(rules.timestamp_after_max_ms);
    Some(Problem::Untimely { timestamp, low, high })
}

/// Differences wrap, as Kafka's do.
fn is_timely(timestamp: i64, around: Around<'_>) -> bool {
    let age = around.now_ms.wrapping_sub(timestamp);
    age <= around.rules.timestamp_before_max_ms
        && age.wrapping_neg() <= around.rules.timestamp_after_max_ms
}

/// With records that are not opened, the header's word for their times is taken.
fn check_stated_timestamps(header: &BatchHeader, around: Around<'_>) -> Result<(), Refusal> {
    let limits = around.rules.timestamp_type == TimestampType::CreateTime;
    let is_off = |timestamp| timestamp != NO_TIMESTAMP && !is_timely(timestamp, around);
    if limits && (is_off(header.max_timestamp) || is_off(header.base_timestamp)) {
        let why = "The batch's timestamps are outside the topic's range.";
        return Err((ErrorCode::InvalidTimestamp, why).into());
    }
    Ok(())
}

/// Kafka's code for a batch that cannot be read: the place where batch errors get their codes.
fn refuse(error: BatchError) -> Refusal {
    let refusal = match error {
        BatchError::Crc { .. } => (ErrorCode::CorruptMessage, "The batch's CRC does not match."),
        BatchError::Compression(_) => {
            (ErrorCode::UnsupportedCompressionType, "Unknown compression type.")
        }
        BatchError::Truncated { .. } | BatchError::Length(_) => {
            (ErrorCode::CorruptMessage, "The batch's length contradicts the request's.")
        }
        BatchError::Magic(_) => (ErrorCode::InvalidRecord, "Expected a record batch of magic 2."),
        // The CRC was right: a client that sends it again sends the same. CORRUPT_MESSAGE would be
        // tried again until the client gives up.
        BatchError::Corrupt(_) => (ErrorCode::InvalidRecord, "The records cannot be opened."),
        BatchError::Inflated { .. } => {
            (ErrorCode::MessageTooLarge, "A request's records may open to 100 MiB.")
        }
        BatchError::Deflated { .. } => {
            let why = "The batch is larger than max.message.bytes in the topic's compression.";
            (ErrorCode::MessageTooLarge, why)
        }
        _ => (ErrorCode::InvalidRecord, "A record contradicts its batch."),
    };
    refusal.into()
}

#[cfg(test)]
mod tests {
    use ringlog_wire::batch::{BatchBuilder, BatchOptions};

    use super::*;

    fn rules() -> TopicRules {
        TopicRules { message_bytes_max: 1000, ..TopicRules::default() }
    }

    fn code(records: Option<&[u8]>, rules: &TopicRules, produce_version: i16) -> ErrorCode {
        let problems_max = RECORD_PROBLEMS_MAX;
        let around = Around { rules, produce_version, now_ms: 1000, problems_max };
        let mut codecs = Codecs::new();
        let checked = check(records, around, &mut codecs);
        checked.map_or_else(|refusal| refusal.code, |_| ErrorCode::None)
    }
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
        for bytes in [good(), batch(idempotent)] {
            assert_eq!(code(Some(&bytes), &rules(), 9), ErrorCode::None);
        }
        // The header's word is taken for what cannot be opened, if the topic says so.
        let trusting = TopicRules { validation: Validation::Header, ..rules() };
        for bytes in [sealed(22, 1), sealed(22, 2), sealed(22, 3), sealed(22, 4)] {
            assert_eq!(code(Some(&bytes), &trusting, 9), ErrorCode::None);
            assert_eq!(code(Some(&bytes), &rules(), 9), ErrorCode::InvalidRecord);
        }
    }

    #[test]
    fn each_refusal_has_its_code() {
        use ErrorCode::{
            CorruptMessage, InvalidRecord, InvalidTimestamp, MessageTooLarge,
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
            ("a new magic", changed(16, 3), CorruptMessage),
            ("half a header", good()[..40].to_vec(), InvalidRecord),
            ("half a batch", good()[..last].to_vec(), InvalidRecord),
            ("a short length", changed(11, 10), CorruptMessage),
            ("two batches", [good(), good()].concat(), InvalidRecord),
            ("more behind it", [good(), vec![0]].concat(), ErrorCode::None),
            ("garbage behind it", [good(), vec![0xff; 20]].concat(), CorruptMessage),
            ("a length below any header", changed(11, 48), CorruptMessage),
            ("a flipped bit", changed(last, 0), CorruptMessage),
            ("an unknown compression", sealed(22, 7), UnsupportedCompressionType),
            ("a compression that never was", sealed(22, 5), UnsupportedCompressionType),
            ("a base offset", offset, InvalidRecord),
            ("no records", empty, InvalidRecord),
            ("a wrong count", sealed(COUNT_AT + 3, 3), InvalidRecord),
            ("a negative count", sealed(COUNT_AT, 0xff), InvalidRecord),
            ("a wrong last offset", sealed(26, 9), InvalidRecord),
            ("a control batch", control, InvalidRecord),
            ("a broker's timestamp", stamped.clone(), ErrorCode::None),
            ("no sequence", no_sequence, InvalidRecord),
            ("a transaction", transactional, ErrorCode::None),
            ("a record's length", sealed(HEADER_BYTES, 0x7e), InvalidRecord),
            ("a record's offset", sealed(HEADER_BYTES + 3, 2), InvalidRecord),
        ];
        for (what, bytes, expected) in cases {
            assert_eq!(code(Some(&bytes), &rules(), 9), expected, "{what}");
        }
        let ours = TopicRules { timestamp_type: TimestampType::LogAppendTime, ..rules() };
        assert_eq!(code(Some(&stamped), &ours, 9), InvalidTimestamp);
        let small = TopicRules { message_bytes_max: good().len() - 1, ..rules() };
        assert_eq!(code(Some(&good()), &small, 9), MessageTooLarge);
        let exact = TopicRules { message_bytes_max: good().len(), ..rules() };
        assert_eq!(code(Some(&good()), &exact, 9), ErrorCode::None);
        assert_eq!(code(Some(&sealed(22, 4)), &rules(), 6), UnsupportedCompressionType);
        assert_eq!(code(None, &rules(), 9), InvalidRecord);
    }

    /// A batch of one record per timestamp, with `zeros` bytes each.
    fn at(base: i64, timestamps: &[i64], zeros: usize) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        let value = vec![0; zeros];
        timestamps.iter().for_each(|at| builder.push(*at, Some(b"k"), Some(&value), &[]));
        let bytes = builder.finish();
        let (batch, _) = Batch::parse(&bytes).expect("a good batch");
        let base = if base == 0 { batch.header().base_timestamp } else { base };
        let header = BatchHeader { base_timestamp: base, ..*batch.header() }.sealed(batch.body());
        [&header.encode()[..], batch.body()].concat()
    }

    fn compressed(bytes: &[u8], to: Compression) -> Vec<u8> {
        let (batch, _) = Batch::parse(bytes).expect("a good batch");
        let mut codecs = Codecs::new();
        let (_, header) = batch.recompress(&mut codecs, to, 1, usize::MAX).expect("it fits");
        [&header.encode()[..], codecs.body()].concat()
    }

    fn timely() -> TopicRules {
        TopicRules { timestamp_before_max_ms: 100, timestamp_after_max_ms: 100, ..rules() }
    }

    #[test]
    fn a_recompressed_body_outlives_the_second_look() {
        let plain = at(0, &[NO_TIMESTAMP; 9], 1 << 20);
        let rules = TopicRules {
            message_bytes_max: 16 << 20,
            recompress: Recompress::To(Compression::None, 0),
            ..timely()
        };
        let around = Around { rules: &rules, produce_version: 9, now_ms: 1000, problems_max: 9 };
        let mut codecs = Codecs::new();
        let small = compressed(&plain, Compression::Gzip);
        let checked = check(Some(&small), around, &mut codecs).expect("no time is no problem");
        assert_eq!(checked.body(), &plain[HEADER_BYTES..]);
        codecs.trim();
        assert!(codecs.kept_bytes() < 1 << 20, "it is given back once the log has it");
    }

    #[test]
    fn batches_of_a_request_share_what_they_may_open_to() {
        let rules = TopicRules { message_bytes_max: 1 << 20, ..rules() };
        let around = Around { rules: &rules, produce_version: 9, now_ms: 1000, problems_max: 9 };
        let plain = at(0, &[1000], 4 << 20);
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let small = compressed(&plain, codec);
            let mut codecs = Codecs::new();
            codecs.allow(9 << 20);
            let taken = |codecs: &mut Codecs| check(Some(&small), around, codecs).is_ok();
            let took = [(); 4].map(|()| taken(&mut codecs));
            assert_eq!((took, codecs.left() < 1 << 20), ([true, true, false, false], true));
            codecs.allow(9 << 20);
            assert!(taken(&mut codecs), "{codec:?}: another request");
        }
    }

    #[test]
    fn a_refusal_names_no_more_records_than_it_may() {
        let (bytes, rules) = (at(0, &[5000; 300], 1), timely());
        let rules = TopicRules { message_bytes_max: 1 << 20, ..rules };
        for (problems_max, named) in [(0, 0), (7, 7), (1000, RECORD_PROBLEMS_MAX)] {
            let around = Around { rules: &rules, produce_version: 9, now_ms: 1000, problems_max };
            let mut codecs = Codecs::new();
            let refusal = check(Some(&bytes), around, &mut codecs).expect_err("the future");
            assert_eq!(refusal.code, ErrorCode::InvalidTimestamp);
            assert_eq!(refusal.records.len(), named);
        }
    }

    #[test]
    fn timestamps_that_wrap_are_no_way_around_the_limits() {
        // The first is the largest there is, and one more is the smallest.
        let bytes = at(i64::MAX, &[1000, 1001], 1);
        assert_eq!(code(Some(&bytes), &timely(), 9), ErrorCode::InvalidTimestamp);
        assert_eq!(code(Some(&at(0, &[1000, 1001], 1)), &timely(), 9), ErrorCode::None);
    }
}
