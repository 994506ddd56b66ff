//! The fetches of one connection: which partitions are asked for together, and what is under way.

use std::collections::VecDeque;
use std::time::Instant;

use ringlog_wire::Uuid;
use ringlog_wire::api::fetch::{FetchPartition, FetchRequest, FetchTopic};

use super::reader::Reader;
use crate::client::Connection;
use crate::lane::Backoff;
use crate::options::Consuming;

/// Partitions that are asked for together, one fetch at a time.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) readers: Vec<Reader>,
    pub(super) correlation_id: i32,
    pub(super) busy: bool,
    pub(super) sent: Instant,
}

/// One connection and its fetches.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) leader: i32,
    pub(super) partitions: Vec<i32>,
    pub(super) connection: Option<Connection>,
    pub(super) slots: Vec<Slot>,
    pub(super) output: Vec<u8>,
    pub(super) written: usize,
    pub(super) answers: VecDeque<usize>,
    pub(super) backoff: Backoff,
    pub(super) down_since: Option<Instant>,
    pub(super) correlation_id: i32,
}

impl Lane {
    /// What was asked is forgotten: it is asked again, from the positions reached.
    pub(super) fn disconnect(&mut self) {
        self.connection = None;
        self.answers.clear();
        self.output.clear();
        self.written = 0;
        self.slots.iter_mut().for_each(|slot| slot.busy = false);
    }

    /// Stands in for a lane that is being stepped.
    pub(super) fn empty() -> Lane {
        Lane {
            leader: -1,
            partitions: Vec::new(),
            connection: None,
            slots: Vec::new(),
            output: Vec::new(),
            written: 0,
            answers: VecDeque::new(),
            backoff: Backoff::default(),
            down_since: None,
            correlation_id: 0,
        }
    }
}

/// The share of connection `index` among `count` that read the same leader's partitions.
pub(super) fn deal(
    leader: i32,
    readers: &[Reader],
    index: usize,
    count: usize,
    inflight: usize,
) -> Lane {
    let own: Vec<Reader> = if count <= readers.len() {
        readers.iter().skip(index).step_by(count).cloned().collect()
    } else {
        vec![readers[index % readers.len()].clone()]
    };
    let slots = inflight.min(own.len());
    let slot = |place: usize| Slot {
        readers: own.iter().skip(place).step_by(slots).cloned().collect(),
        correlation_id: 0,
        busy: false,
        sent: Instant::now(),
    };
    Lane {
        leader,
        partitions: own.iter().map(|reader| reader.partition).collect(),
        slots: (0..slots).map(slot).collect(),
        ..Lane::empty()
    }
}

/// The request for the next batches of these partitions.
pub(super) fn request(
    options: &Consuming,
    topic: &str,
    topic_id: Uuid,
    readers: &[Reader],
) -> FetchRequest {
    let open = readers.iter().filter(|reader| !reader.is_done());
    let partition = |reader: &Reader| FetchPartition {
        partition: reader.partition,
        fetch_offset: reader.position,
        partition_max_bytes: options.partition_max_bytes,
        ..FetchPartition::default()
    };
    FetchRequest {
        max_wait_ms: options.max_wait_ms,
        min_bytes: options.min_bytes,
        max_bytes: options.fetch_max_bytes,
        isolation_level: options.isolation.code(),
        topics: vec![FetchTopic {
            topic: topic.to_owned(),
            topic_id,
            partitions: open.map(partition).collect(),
        }],
        ..FetchRequest::default()
    }
}
