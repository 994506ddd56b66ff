//! Produce responses, written as they become known, at the end of a byte vector.
//!
//! Invariant: as many topics and partitions are written as were announced; less or more is our bug.

use super::{API, NodeEndpoint};
use crate::api::leader::{put_endpoints, put_leader};
use crate::codec::Writer;
use crate::error::ErrorCode;
use crate::uuid::Uuid;

/// A record that was the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordError<'a> {
    /// Its index in the batch.
    pub batch_index: i32,
    /// The reason in words.
    pub message: Option<&'a str>,
}

/// A partition's answer. A version that lacks a field passes over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionResult<'a> {
    /// The partition's number.
    pub index: i32,
    /// Its error.
    pub error_code: ErrorCode,
    /// The first record's offset, or -1.
    pub base_offset: i64,
    /// The broker's timestamp, or -1 when the producer's stand.
    pub log_append_time_ms: i64,
    /// The log's first offset, or -1.
    pub log_start_offset: i64,
    /// Which records were the reason; v8.
    pub record_errors: &'a [RecordError<'a>],
    /// The error in words; v8.
    pub error_message: Option<&'a str>,
    /// Who leads, and in which epoch, when it is not us; v10.
    pub current_leader: Option<(i32, i32)>,
}

impl PartitionResult<'_> {
    /// Nothing but an error.
    pub fn error(index: i32, error_code: ErrorCode) -> PartitionResult<'static> {
        PartitionResult {
            index,
            error_code,
            base_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: -1,
            record_errors: &[],
            error_message: None,
            current_leader: None,
        }
    }

    /// The records are at `base_offset`.
    pub fn appended(
        index: i32,
        base_offset: i64,
        log_append_time_ms: i64,
        log_start_offset: i64,
    ) -> PartitionResult<'static> {
        PartitionResult {
            base_offset,
            log_append_time_ms,
            log_start_offset,
            ..PartitionResult::error(index, ErrorCode::None)
        }
    }
}

/// Writes one response's body, v3–13.
#[derive(Debug)]
pub struct ResponseWriter<'o> {
    out: &'o mut Vec<u8>,
    version: i16,
    topics_left: usize,
    partitions_left: usize,
}

impl<'o> ResponseWriter<'o> {
    /// Begins the body at the end of `out`, which holds the header already.
    pub fn new(version: i16, topics: usize, out: &'o mut Vec<u8>) -> ResponseWriter<'o> {
        assert!(API.serves(version), "the session refuses other versions");
        out.put_count(API.is_flexible(version), Some(topics));
        ResponseWriter { out, version, topics_left: topics, partitions_left: 0 }
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

    /// Answers for the topic's next partition.
    pub fn partition(&mut self, result: &PartitionResult<'_>) {
        assert!(self.partitions_left > 0, "more partitions than announced");
        self.partitions_left -= 1;
        let flexible = self.flexible();
        let out = &mut *self.out;
        out.put_i32(result.index);
        out.put_i16(result.error_code.code());
        out.put_i64(result.base_offset);
        out.put_i64(result.log_append_time_ms);
        if self.version >= 5 {
            out.put_i64(result.log_start_offset);
        }
        if self.version >= 8 {
            out.put_count(flexible, Some(result.record_errors.len()));
            for error in result.record_errors {
                out.put_i32(error.batch_index);
                out.put_string(flexible, error.message);
                if flexible {
                    out.put_uvarint(0);
                }
            }
            out.put_string(flexible, result.error_message);
        }
        if flexible {
            let leader = result.current_leader.filter(|_| self.version >= 10);
            out.put_uvarint(leader.is_some().into());
            if let Some((leader_id, leader_epoch)) = leader {
                put_leader(out, 0, leader_id, leader_epoch);
            }
            if self.partitions_left == 0 {
                out.put_uvarint(0);
            }
        }
    }

    /// Ends the body. `endpoints` are those of the leaders that were named; v10.
    pub fn finish(self, throttle_time_ms: i32, endpoints: &[NodeEndpoint]) {
        assert!(self.partitions_left == 0, "the last topic has partitions missing");
        assert!(self.topics_left == 0, "fewer topics than announced");
        self.out.put_i32(throttle_time_ms);
        if self.flexible() {
            let endpoints = if self.version >= 10 { endpoints } else { &[] };
            put_endpoints(self.out, self.version, endpoints);
        }
    }
}
