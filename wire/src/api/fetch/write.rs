//! Fetch responses, as header bytes in a vector with holes where the records belong.
//!
//! ```text
//! out:    | header, topic, partition .. length | tags, partition .. length | tags .. |
//! slices:                                      ^ records                   ^ records
//! ```
//!
//! The caller sends the bytes up to a hole, then that partition's slices, then goes on; nothing is
//! copied.
//!
//! Invariants: as many topics and partitions are written as were announced, and what is sent at a
//! hole is as long as was said; less or more is our bug. Without records the length is 0, never
//! null.

use super::{API, NodeEndpoint};
use crate::api::leader::{pair_bytes, put_endpoints, put_leader};
use crate::codec::Writer;
use crate::error::ErrorCode;
use crate::uuid::Uuid;

/// A partition's answer, but for its records. A version that lacks a field passes over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionResult<'a> {
    /// The partition's number.
    pub index: i32,
    /// Its error.
    pub error_code: ErrorCode,
    /// The high watermark, or -1.
    pub high_watermark: i64,
    /// Below it no transaction is open; or -1.
    pub last_stable_offset: i64,
    /// The log's first offset, or -1.
    pub log_start_offset: i64,
    /// Transactions to skip, as (producer id, first offset); none when uncommitted records were
    /// asked for.
    pub aborted_transactions: Option<&'a [(i64, i64)]>,
    /// Where to read instead, or -1; v11.
    pub preferred_read_replica: i32,
    /// The epoch at which the logs part, and where it ended; v12.
    pub diverging_epoch: Option<(i32, i64)>,
    /// Who leads, and in which epoch, when it is not us; v12.
    pub current_leader: Option<(i32, i32)>,
    /// The snapshot to fetch instead, as (end offset, epoch); v12.
    pub snapshot_id: Option<(i64, i32)>,
}

impl PartitionResult<'_> {
    /// Nothing but an error.
    pub fn error(index: i32, error_code: ErrorCode) -> PartitionResult<'static> {
        PartitionResult {
            index,
            error_code,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            aborted_transactions: None,
            preferred_read_replica: -1,
            diverging_epoch: None,
            current_leader: None,
            snapshot_id: None,
        }
    }

    /// A partition without open transactions.
    pub fn read(
        index: i32,
        high_watermark: i64,
        last_stable_offset: i64,
        log_start_offset: i64,
    ) -> PartitionResult<'static> {
        PartitionResult {
            high_watermark,
            last_stable_offset,
            log_start_offset,
            ..PartitionResult::error(index, ErrorCode::None)
        }
    }
}

/// Writes one response's body, v4–18.
#[derive(Debug)]
pub struct ResponseWriter<'o> {
    out: &'o mut Vec<u8>,
    version: i16,
    topics_left: usize,
    partitions_left: usize,
    records_bytes: usize,
}

impl<'o> ResponseWriter<'o> {
    /// Begins the body at the end of `out`, which holds the header already. The error and the
    /// session are the whole answer's; v7.
    pub fn new(
        version: i16,
        throttle_time_ms: i32,
        error_code: ErrorCode,
        session_id: i32,
        topics: usize,
        out: &'o mut Vec<u8>,
    ) -> ResponseWriter<'o> {
        assert!(API.serves(version), "the session refuses other versions");
        out.put_i32(throttle_time_ms);
        if version >= 7 {
            out.put_i16(error_code.code());
            out.put_i32(session_id);
        }
        out.put_count(API.is_flexible(version), Some(topics));
        ResponseWriter { out, version, topics_left: topics, partitions_left: 0, records_bytes: 0 }
    }

    fn flexible(&self) -> bool {
        API.is_flexible(self.version)
    }

    /// Begins a topic: by name up to v12, by id from v13 on.
    pub fn topic(&mut self, name: &str, topic_id: Uuid, partitions: usize) {
        assert!(self.partitions_left == 0, "the topic before has partitions missing");
        assert!(self.topics_left > 0, "more topics than announced");
        self.topics_left -= 1;
        let flexible = self.flexible();
        match self.version {
            13.. => self.out.put_uuid(topic_id),
            _ => self.out.put_string(flexible, Some(name)),
        }
        self.out.put_count(flexible, Some(partitions));
        self.partitions_left = partitions;
        if partitions == 0 && flexible {
            self.out.put_uvarint(0);
        }
    }

    /// Answers for the topic's next partition, with `records_bytes` of records. They are not
    /// written: what is returned is the position in `out` at which the caller sends them.
    pub fn partition(&mut self, result: &PartitionResult<'_>, records_bytes: usize) -> usize {
        self.fields(result);
        self.out.put_length(API.is_flexible(self.version), true, Some(records_bytes));
        self.records_bytes += records_bytes;
        let hole = self.out.len();
        self.tags(result);
        hole
    }

    /// As [`ResponseWriter::partition`], with the records written where they belong.
    pub fn partition_with(&mut self, result: &PartitionResult<'_>, records: &[u8]) {
        self.fields(result);
        self.out.put_bytes(API.is_flexible(self.version), Some(records));
        self.tags(result);
    }

    /// What comes before the records.
    fn fields(&mut self, result: &PartitionResult<'_>) {
        assert!(self.partitions_left > 0, "more partitions than announced");
        self.partitions_left -= 1;
        let flexible = self.flexible();
        let out = &mut *self.out;
        out.put_i32(result.index);
        out.put_i16(result.error_code.code());
        out.put_i64(result.high_watermark);
        out.put_i64(result.last_stable_offset);
        if self.version >= 5 {
            out.put_i64(result.log_start_offset);
        }
        out.put_count(flexible, result.aborted_transactions.map(<[_]>::len));
        for (producer_id, first_offset) in result.aborted_transactions.unwrap_or_default() {
            out.put_i64(*producer_id);
            out.put_i64(*first_offset);
            if flexible {
                out.put_uvarint(0);
            }
        }
        if self.version >= 11 {
            out.put_i32(result.preferred_read_replica);
        }
    }

    /// What comes after the records.
    fn tags(&mut self, result: &PartitionResult<'_>) {
        if !self.flexible() {
            return;
        }
        let out = &mut *self.out;
        let tags = u32::from(result.diverging_epoch.is_some())
            + u32::from(result.current_leader.is_some())
            + u32::from(result.snapshot_id.is_some());
        out.put_uvarint(tags);
        if let Some((epoch, end_offset)) = result.diverging_epoch {
            out.put_uvarint(0);
            out.put_uvarint(pair_bytes::<i64>());
            out.put_i32(epoch);
            out.put_i64(end_offset);
            out.put_uvarint(0);
        }
        if let Some((leader_id, leader_epoch)) = result.current_leader {
            put_leader(out, 1, leader_id, leader_epoch);
        }
        if let Some((end_offset, epoch)) = result.snapshot_id {
            out.put_uvarint(2);
            out.put_uvarint(pair_bytes::<i64>());
            out.put_i64(end_offset);
            out.put_i32(epoch);
            out.put_uvarint(0);
        }
        if self.partitions_left == 0 {
            out.put_uvarint(0);
        }
    }

    /// Ends the body, and gives the bytes of all holes: what [`crate::frame::end`] must be told.
    /// `endpoints` are those of the leaders that were named; v16.
    pub fn finish(self, endpoints: &[NodeEndpoint]) -> usize {
        assert!(self.partitions_left == 0, "the last topic has partitions missing");
        assert!(self.topics_left == 0, "fewer topics than announced");
        if self.flexible() {
            let endpoints = if self.version >= 16 { endpoints } else { &[] };
            put_endpoints(self.out, self.version, endpoints);
        }
        self.records_bytes
    }
}
