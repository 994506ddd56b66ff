//! Record batches: every way of reading one agrees with every other.

use ringlog_wire::batch::{
    Batch, BatchBuilder, BatchHeader, BatchOptions, Codecs, Compression, HEADER_BYTES,
    INFLATED_BYTES_MAX, OVERHEAD_BYTES, Record, TimestampType, TransactionEnd,
    encode_offset_and_epoch,
};

/// Batches, one after the other, as far as they are whole.
pub fn batch(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok((batch, after)) = Batch::parse(rest) {
        let (whole, _) = rest.split_at(rest.len() - after.len());
        rest = after;
        one(&batch, whole);
    }
}

fn one(batch: &Batch<'_>, bytes: &[u8]) {
    let header = batch.header();
    assert_eq!(header.encode(), bytes[..HEADER_BYTES]);
    assert_eq!((header.size(), batch.body()), (bytes.len(), &bytes[HEADER_BYTES..]));
    let _ = (header.compression(), header.last_offset(), header.next_offset());
    let _ = (header.is_control(), header.is_transactional(), header.has_delete_horizon());
    stamps(batch, bytes);
    opened(batch);
    marker(batch);
    let records: Vec<Record<'_>> = batch.records().map_while(Result::ok).collect();
    assert!(records.len() <= batch.body().len(), "each record takes a byte");
    let headers = records.iter().map(|record| record.headers().count()).sum::<usize>();
    assert!(headers <= batch.body().len(), "each header takes a byte");
    let Ok(summary) = batch.walk() else { return };
    assert_eq!(summary.records as usize, records.len(), "what can be walked can be read");
    assert!(records.iter().zip(0..).all(|(record, index)| record.offset_delta == index));
    let nulls = records.iter().filter(|record| record.key.is_none()).count();
    assert_eq!(summary.null_keys as usize, nulls);
    if !records.is_empty() {
        let largest = &records[summary.max_timestamp_delta as usize];
        assert_eq!(timestamp(header, largest), summary.max_timestamp);
    }
    rebuilt(header, &records);
}

/// A transaction's end that can be read is read again from what is written of it.
fn marker(batch: &Batch<'_>) {
    let Ok(Some(end)) = TransactionEnd::of_batch(batch) else { return };
    let bytes = end.to_batch();
    let (again, _) = Batch::parse(&bytes).expect("our own batch");
    assert_eq!(again.verify_crc(), Ok(()));
    assert_eq!(TransactionEnd::of_batch(&again), Ok(Some(end)));
}

/// What the log changes in a batch stays a batch.
fn stamps(batch: &Batch<'_>, whole: &[u8]) {
    let mut bytes = whole.to_vec();
    let good = batch.verify_crc().is_ok();
    let first = bytes.first_chunk_mut().expect("a batch has a header");
    encode_offset_and_epoch(first, 7, 3);
    let length = first[8..OVERHEAD_BYTES].to_vec();
    assert_eq!(length, whole[8..OVERHEAD_BYTES], "the length stays");
    let (moved, _) = Batch::parse(&bytes).expect("it stays a batch");
    assert_eq!((moved.header().base_offset, moved.header().partition_leader_epoch), (7, 3));
    assert_eq!(moved.verify_crc().is_ok(), good, "offset and epoch are outside the CRC");
    let header = moved.header().stamped(TimestampType::LogAppendTime, 11).sealed(moved.body());
    let bytes = [&header.encode()[..], moved.body()].concat();
    let (stamped, _) = Batch::parse(&bytes).expect("it stays a batch");
    assert_eq!(stamped.verify_crc(), Ok(()));
    assert_eq!(stamped.header().timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(stamped.header().max_timestamp, 11);
}

/// Whatever the body is, opening it ends; what is good is good in every other codec.
fn opened(batch: &Batch<'_>) {
    let mut codecs = Codecs::new();
    let Ok(summary) = batch.walk_opened(&mut codecs) else { return };
    for codec in [Compression::None, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let bytes_max = INFLATED_BYTES_MAX as usize + (1 << 20);
        let again = batch.recompress(&mut codecs, codec, 1, bytes_max).expect("it was good");
        assert_eq!(again.0, summary);
        let bytes = [&again.1.encode()[..], codecs.body()].concat();
        let (again, _) = Batch::parse(&bytes).expect("ours is whole");
        assert_eq!(again.verify_crc(), Ok(()));
        assert_eq!(again.walk_opened(&mut codecs), Ok(summary));
        codecs.trim();
    }
}

fn timestamp(header: &BatchHeader, record: &Record<'_>) -> i64 {
    header.base_timestamp.wrapping_add(record.timestamp_delta)
}

/// The same records in a batch of our own are the same records.
fn rebuilt(header: &BatchHeader, records: &[Record<'_>]) {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for record in records {
        let named = |(name, value)| Some((std::str::from_utf8(name).ok()?, value));
        let Some(headers) = record.headers().map(named).collect::<Option<Vec<_>>>() else {
            return;
        };
        builder.push(timestamp(header, record), record.key, record.value, &headers);
    }
    let bytes = builder.finish();
    let (batch, rest) = Batch::parse(&bytes).expect("ours is whole");
    assert!(rest.is_empty() && batch.verify_crc().is_ok() && batch.walk().is_ok());
    for (again, record) in batch.records().zip(records) {
        let again = again.expect("ours is good");
        assert_eq!((again.key, again.value), (record.key, record.value));
        assert_eq!(timestamp(batch.header(), &again), timestamp(header, record));
        assert!(again.headers().eq(record.headers()));
    }
}
