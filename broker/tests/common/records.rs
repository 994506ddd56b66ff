//! Record batches as a producer makes them, and as a consumer reads them.

use ringlog_wire::batch::{Batch, BatchBuilder, BatchHeader, BatchOptions, Codecs, Compression};

/// A batch of these values, with timestamps 1000, 1001, ...
pub fn batch(values: &[&[u8]]) -> Vec<u8> {
    batch_at(1000, values)
}

/// A batch of these values, with timestamps from `timestamp` on, one a millisecond.
pub fn batch_at(timestamp: i64, values: &[&[u8]]) -> Vec<u8> {
    build(BatchOptions::default(), timestamp, values)
}

/// A batch of one value of so many bytes.
pub fn batch_of_size(bytes: usize) -> Vec<u8> {
    batch(&[&vec![b'x'; bytes]])
}

/// An idempotent producer's batch of `count` records.
pub fn idempotent(producer: i64, epoch: i16, sequence: i32, count: usize) -> Vec<u8> {
    let options = BatchOptions {
        producer_id: producer,
        producer_epoch: epoch,
        base_sequence: sequence,
        ..BatchOptions::default()
    };
    let value: &[u8] = b"once";
    build(options, 1000, &vec![value; count])
}

/// A batch of these values that says of itself what `options` say.
pub fn build(options: BatchOptions, timestamp: i64, values: &[&[u8]]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for (at, value) in values.iter().enumerate() {
        builder.push(timestamp + at as i64, None, Some(value), &[]);
    }
    builder.finish()
}

/// This batch, its records compressed.
pub fn compressed(batch: &[u8], to: Compression, level: i32) -> Vec<u8> {
    let (batch, _) = Batch::parse(batch).expect("a good batch");
    let mut codecs = Codecs::new();
    let (_, header) = batch.recompress(&mut codecs, to, level, usize::MAX).expect("good records");
    [&header.encode()[..], codecs.body()].concat()
}

/// This batch with another header; length and CRC are right again.
pub fn reheaded(batch: &[u8], change: impl FnOnce(&mut BatchHeader)) -> Vec<u8> {
    let (batch, _) = Batch::parse(batch).expect("a good batch");
    let mut header = *batch.header();
    change(&mut header);
    [&header.sealed(batch.body()).encode()[..], batch.body()].concat()
}

/// This batch with another body; length and CRC are right again.
pub fn rebodied(batch: &[u8], compression: Compression, body: &[u8]) -> Vec<u8> {
    let (batch, _) = Batch::parse(batch).expect("a good batch");
    let attributes = batch.header().attributes & !7 | compression as i16;
    let header = BatchHeader { attributes, ..*batch.header() }.sealed(body);
    [&header.encode()[..], body].concat()
}

/// One record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub offset: i64,
    pub value: Vec<u8>,
}

/// All records of whole batches; each batch's CRC must be right.
pub fn read(mut bytes: &[u8]) -> Vec<Read> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (batch, rest) = Batch::parse(bytes).expect("whole batches");
        batch.verify_crc().expect("a batch as it was sent");
        for record in batch.records() {
            let record = record.expect("a good record");
            found.push(Read {
                offset: batch.header().base_offset + i64::from(record.offset_delta),
                value: record.value.unwrap_or_default().to_vec(),
            });
        }
        bytes = rest;
    }
    found
}

/// The values alone.
pub fn values(bytes: &[u8]) -> Vec<Vec<u8>> {
    read(bytes).into_iter().map(|record| record.value).collect()
}

/// Makes a batch that was changed look whole again: its CRC is right.
pub fn seal(batch: &mut [u8]) {
    let crc = crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// Castagnoli's CRC, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1)))
    };
    !bytes.iter().fold(!0, step)
}
