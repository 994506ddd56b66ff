//! Record batches: what is built can be walked, read, checked and stamped; what is not right is
//! told apart.

use super::arbitrary::Rng;
use crate::batch::*;

/// A batch of `count` records with values of `value_bytes`, a key and a header here and there.
pub fn sample(count: usize, value_bytes: usize) -> Vec<u8> {
    let mut rng = Rng(count as u64);
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for index in 0..count {
        let value: Vec<u8> = (0..value_bytes).map(|_| rng.next() as u8).collect();
        let key = index.to_be_bytes();
        let key = (index % 2 == 0).then_some(&key[..]);
        let headers: &[(&str, Option<&[u8]>)] =
            if index % 3 == 0 { &[("a", None), ("b", Some(b"c"))] } else { &[] };
        builder.push(1_700_000_000_000 + (index as i64 % 7), key, Some(&value), headers);
    }
    builder.finish()
}

fn parse(bytes: &[u8]) -> Batch<'_> {
    let (batch, rest) = Batch::parse(bytes).expect("a good batch");
    assert!(rest.is_empty());
    batch
}

/// The batch with its CRC made right, for changes that only later checks are to see.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[test]
fn what_is_built_is_read() {
    let bytes = sample(20, 40);
    let batch = parse(&bytes);
    assert_eq!(batch.verify_crc(), Ok(()));
    assert_eq!(BatchHeader::parse(&batch.header().encode()), Ok(*batch.header()));
    assert_eq!(batch.header().encode()[..], bytes[..HEADER_BYTES]);
    let summary = batch.walk().expect("good records");
    let expected = WalkSummary {
        records: 20,
        min_timestamp: 1_700_000_000_000,
        max_timestamp: 1_700_000_000_006,
        max_timestamp_delta: 6,
        null_keys: 10,
    };
    assert_eq!(summary, expected);
    assert_eq!(batch.header().max_timestamp, summary.max_timestamp);
    assert_eq!(batch.header().next_offset(), 20);

    let records: Vec<_> = batch.records().collect::<Result<_, _>>().expect("good records");
    for (index, record) in records.iter().enumerate() {
        assert_eq!(record.offset_delta as usize, index);
        assert_eq!(record.timestamp_delta, index as i64 % 7);
        assert_eq!(record.key.is_some(), index % 2 == 0);
        assert_eq!(record.value.map(<[u8]>::len), Some(40));
        let headers: Vec<_> = record.headers().collect();
        let expected: &[(&[u8], Option<&[u8]>)] =
            if index % 3 == 0 { &[(b"a", None), (b"b", Some(b"c"))] } else { &[] };
        assert_eq!(headers, expected);
    }
}

#[test]
fn the_oracle_reads_our_batches_and_we_read_its() {
    use kafka_protocol::records::*;
    let bytes = sample(20, 40);
    let mut input = bytes.as_slice();
    let set = RecordBatchDecoder::decode(&mut input).expect("the oracle reads our batch");
    assert_eq!(set.records.len(), 20);
    assert_eq!(set.records[6].offset, 6);
    assert_eq!(set.records[6].timestamp, 1_700_000_000_006);
    assert_eq!(set.records[6].headers.len(), 2);

    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    let mut theirs = Vec::new();
    RecordBatchEncoder::encode(&mut theirs, &set.records, &options).expect("it writes them");
    let batch = parse(&theirs);
    assert_eq!(batch.verify_crc(), Ok(()));
    assert_eq!(batch.walk(), parse(&bytes).walk());
    assert_eq!(batch.body(), parse(&bytes).body());
}

#[test]
fn offset_and_epoch_lie_outside_the_crc() {
    let mut bytes = sample(3, 10);
    let first = bytes.first_chunk_mut().expect("sixteen bytes");
    encode_offset_and_epoch(first, 1_000_000_007, 42);
    let batch = parse(&bytes);
    assert_eq!(batch.verify_crc(), Ok(()));
    assert_eq!(batch.header().base_offset, 1_000_000_007);
    assert_eq!(batch.header().partition_leader_epoch, 42);
    assert_eq!(batch.header().last_offset(), 1_000_000_009);
}

#[test]
fn log_append_time_is_stamped_with_a_new_crc() {
    let bytes = sample(3, 10);
    let batch = parse(&bytes);
    let header = batch.header().stamped(TimestampType::LogAppendTime, 99);
    assert!(Batch::from_parts(header, batch.body()).verify_crc().is_err());
    let stamped = Batch::from_parts(header.sealed(batch.body()), batch.body());
    assert_eq!(stamped.verify_crc(), Ok(()));
    assert_eq!(stamped.header().timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(stamped.header().max_timestamp, 99);
    let back = stamped.header().stamped(TimestampType::CreateTime, batch.header().max_timestamp);
    assert_eq!(back.sealed(batch.body()), *batch.header());
}

#[test]
fn flags_and_numbers_are_kept() {
    let options = BatchOptions {
        base_offset: 5,
        partition_leader_epoch: 6,
        producer_id: 7,
        producer_epoch: 8,
        base_sequence: 9,
        timestamp_type: TimestampType::CreateTime,
        transactional: true,
        control: true,
    };
    let mut builder = BatchBuilder::new(options);
    builder.push(100, Some(&[0, 0, 0, 1]), Some(&[0, 0, 0, 0, 0, 0]), &[]);
    let bytes = builder.finish();
    let header = *parse(&bytes).header();
    assert!(header.is_control() && header.is_transactional() && header.has_producer_id());
    assert!(!header.has_delete_horizon());
    assert_eq!(header.compression(), Ok(Compression::None));
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (7, 8, 9));
    assert_eq!((header.base_offset, header.partition_leader_epoch), (5, 6));
    assert_eq!((header.base_timestamp, header.max_timestamp), (100, 100));
}

#[test]
fn broken_headers_are_told_apart() {
    let good = sample(2, 10);
    let check = |at: usize, value: u8, error: BatchError| {
        let mut bytes = good.clone();
        bytes[at] = value;
        assert_eq!(Batch::parse(&bytes).map(|_| ()), Err(error));
    };
    check(16, 1, BatchError::Magic(1));
    check(8, 0x80, BatchError::Length(i32::MIN | (good.len() as i32 - 12)));
    check(8, 1, BatchError::Truncated { need: (1 << 24) + good.len(), have: good.len() });
    check(11, 48, BatchError::Length(48));
    let (need, have) = (HEADER_BYTES, 60);
    assert_eq!(Batch::parse(&good[..60]).map(|_| ()), Err(BatchError::Truncated { need, have }));

    let mut bytes = good.clone();
    *bytes.last_mut().expect("not empty") ^= 1;
    assert!(matches!(parse(&bytes).verify_crc(), Err(BatchError::Crc { .. })));
}

#[test]
fn broken_records_are_told_apart() {
    let check = |change: &dyn Fn(&mut Vec<u8>), error: BatchError| {
        let mut bytes = sample(2, 10);
        change(&mut bytes);
        let length = bytes.len() as i32 - 12;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        let bytes = resealed(bytes);
        assert_eq!(parse(&bytes).walk(), Err(error));
    };
    // Two records: 61 length, 62 attributes, 63 timestamp delta, 64 offset delta, 65 key length.
    check(&|bytes| bytes[64] = 2, BatchError::OffsetDelta(0));
    check(&|bytes| bytes[61] += 2, BatchError::Record(0));
    check(&|bytes| bytes[65] = 3, BatchError::Record(0));
    check(&|bytes| bytes.truncate(80), BatchError::Record(0));
    check(&|bytes| bytes.push(0), BatchError::Trailing(1));
    check(&|bytes| bytes[60] = 3, BatchError::Record(2));
    check(&|bytes| bytes[57] = 0x80, BatchError::RecordsCount(i32::MIN + 2));
    check(&|bytes| bytes[22] = 4, BatchError::Compressed);
    check(&|bytes| bytes[22] = 5, BatchError::Compression(5));
    check(&|bytes| bytes[60] = 1, BatchError::Trailing(17));
}

#[test]
fn varints_of_every_width_are_walked() {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for timestamp in [0, 1, -1, 63, -65, 1 << 20, i64::MAX, i64::MIN, -(1 << 40)] {
        builder.push(timestamp, None, None, &[]);
    }
    builder.push(0, Some(&[7; 100]), Some(&[8; 20_000]), &[]);
    let bytes = builder.finish();
    let batch = parse(&bytes);
    let summary = batch.walk().expect("good records");
    assert_eq!((summary.min_timestamp, summary.max_timestamp), (i64::MIN, i64::MAX));
    assert_eq!((summary.max_timestamp_delta, summary.null_keys), (6, 9));
    assert_eq!(batch.records().count(), 10);
}

/// Prints what walking and checking cost: `cargo test -p ringlog-wire --profile fast -- --ignored
/// --nocapture figures`.
#[test]
#[ignore = "a measurement; run it optimised"]
#[allow(clippy::disallowed_methods, reason = "a measurement needs a clock")]
fn figures() {
    use std::hint::black_box;
    let per_second = |name: &str, bytes: usize, work: &dyn Fn()| {
        let mut best = f64::MAX;
        for _ in 0..200 {
            let begun = std::time::Instant::now();
            for _ in 0..20 {
                work();
            }
            best = best.min(begun.elapsed().as_secs_f64() / 20.0);
        }
        println!("{name}: {:.2} µs, {:.2} GB/s", best * 1e6, bytes as f64 / best / 1e9);
    };
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for index in 0..640 {
        builder.push(1_700_000_000_000 + index, None, Some(&[7; 100]), &[]);
    }
    let bytes = builder.finish();
    let batch = parse(&bytes);
    per_second("walk, 640 x 100 B", bytes.len(), &|| {
        black_box(black_box(&batch).walk()).expect("good records");
    });
    per_second("crc32c, 640 x 100 B", bytes.len(), &|| {
        black_box(black_box(&batch).verify_crc()).expect("a good crc");
    });

    use crate::api::produce::*;
    let records = sample(1, 880);
    let partition = |index| PartitionProduceData { index, records: Some(records.clone()) };
    let request = ProduceRequest {
        acks: 1,
        topic_data: vec![TopicProduceData {
            name: "a-topic".to_owned(),
            partition_data: (0..1000).map(partition).collect(),
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    let mut body = Vec::new();
    request.encode(9, &mut body);
    per_second("produce view, 1000 partitions, parse", body.len(), &|| {
        black_box(RequestView::parse(9, black_box(&body))).expect("well-formed");
    });
    per_second("produce view, 1000 partitions, parse and go through", body.len(), &|| {
        let view = RequestView::parse(9, black_box(&body)).expect("well-formed");
        let records = view.topics().flat_map(|topic| topic.partitions());
        black_box(records.map(|partition| partition.records.map_or(0, <[u8]>::len)).sum::<usize>());
    });
}
