//! Records as the batches that the metadata log holds (`kraft.md` B1, B2).
//!
//! Invariants: uncompressed, no producer, CreateTime; `partition_leader_epoch` is the raft epoch;
//! control records never share a batch with others. Every record is written in the version that
//! metadata.version 4.3-IV0 asks for, BrokerRegistrationChange in the lowest that holds it.

use ringlog_wire::batch::{BatchBuilder, BatchOptions};
use ringlog_wire::records::{ControlRecord, MetadataRecord};

/// Largest batch of the metadata log: what a Kafka node takes.
pub const BATCH_BYTES_MAX: usize = 8 << 20;
/// Most records written as one atomic batch, as in Kafka's controller.
pub const BATCH_RECORDS_MAX: usize = 10_000;

/// A batch's place and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The first record's offset.
    pub base_offset: i64,
    /// The raft epoch.
    pub epoch: i32,
    /// Wall clock, milliseconds.
    pub now_ms: i64,
}

/// The version in which a record is written.
pub fn version_of(record: &MetadataRecord) -> i16 {
    match record {
        MetadataRecord::RegisterBroker(_) => 4,
        MetadataRecord::Partition(_) | MetadataRecord::PartitionChange(_) => 2,
        MetadataRecord::BrokerRegistrationChange(_) => record.version_lowest(),
        _ => 0,
    }
}

/// One batch of metadata records.
pub fn data_batch(stamp: Stamp, records: &[MetadataRecord]) -> Vec<u8> {
    let mut batch = builder(stamp, false);
    let mut value = Vec::new();
    for record in records {
        value.clear();
        record.encode_value(version_of(record), &mut value);
        batch.push(stamp.now_ms, None, Some(&value), &[]);
    }
    finish(batch)
}

/// One batch of control records.
pub fn control_batch(stamp: Stamp, records: &[ControlRecord]) -> Vec<u8> {
    let mut batch = builder(stamp, true);
    let mut value = Vec::new();
    for record in records {
        value.clear();
        record.encode_value(&mut value);
        batch.push(stamp.now_ms, Some(&record.key().encode()), Some(&value), &[]);
    }
    finish(batch)
}

fn builder(stamp: Stamp, control: bool) -> BatchBuilder {
    assert!(stamp.base_offset >= 0, "a batch has a place");
    BatchBuilder::new(BatchOptions {
        base_offset: stamp.base_offset,
        partition_leader_epoch: stamp.epoch,
        control,
        ..BatchOptions::default()
    })
}

fn finish(batch: BatchBuilder) -> Vec<u8> {
    assert!(batch.count() > 0, "a batch has a record");
    batch.finish()
}
