//! What a shard counts while it works. Everything here only grows.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ringlog_wire::Uuid;
use ringlog_wire::error::ErrorCode;

use super::Histogram;

/// API keys that are counted one by one.
pub const API_KEYS_MAX: usize = 96;
/// Versions of an API that are counted one by one.
pub const VERSIONS_MAX: usize = 24;

/// What went through one topic, or through one partition of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicCounters {
    /// Records that were appended.
    pub messages_in: u64,
    /// Bytes of batches that were appended, as they came.
    pub bytes_in: u64,
    /// Bytes of batches that were sent to consumers.
    pub bytes_out: u64,
    /// Parts of produce requests.
    pub produce_requests: u64,
    /// Those of them that were refused.
    pub produce_failed: u64,
    /// Parts of fetch requests.
    pub fetch_requests: u64,
    /// Those of them that were answered with an error.
    pub fetch_failed: u64,
}

impl TopicCounters {
    /// Adds what another has counted.
    pub fn add(&mut self, other: &TopicCounters) {
        self.messages_in += other.messages_in;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.produce_requests += other.produce_requests;
        self.produce_failed += other.produce_failed;
        self.fetch_requests += other.fetch_requests;
        self.fetch_failed += other.fetch_failed;
    }

    /// One batch was appended.
    pub fn appended(&mut self, records: u64, bytes: usize) {
        self.produce_requests += 1;
        self.messages_in += records;
        self.bytes_in += bytes as u64;
    }

    /// One batch was refused.
    pub fn refused(&mut self) {
        self.produce_requests += 1;
        self.produce_failed += 1;
    }
}

/// One API.
#[derive(Clone, Debug, Default)]
pub struct ApiCounters {
    /// Requests by version.
    pub requests: [u64; VERSIONS_MAX],
    /// From the turn that read a request to the turn that answered it.
    pub latency: Histogram,
}

/// What a disk operation does, as far as operators tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskKindOf {
    /// Records are written, past the page cache unless the broker was told otherwise.
    Write,
    /// Records are written through the page cache because they are few (`io = auto`).
    WriteCached,
    /// Records are read.
    Read,
    /// Data is flushed.
    Flush,
    /// Files are made, grown, cut or removed.
    Other,
}

impl DiskKindOf {
    /// All of them, in the order of the tables.
    pub const ALL: [DiskKindOf; 5] = [
        DiskKindOf::Write,
        DiskKindOf::WriteCached,
        DiskKindOf::Read,
        DiskKindOf::Flush,
        DiskKindOf::Other,
    ];

    /// As labels say it.
    pub fn name(self) -> &'static str {
        match self {
            DiskKindOf::Write => "write",
            DiskKindOf::WriteCached => "write_cached",
            DiskKindOf::Read => "read",
            DiskKindOf::Flush => "flush",
            DiskKindOf::Other => "other",
        }
    }
}

/// A disk operation in flight.
#[derive(Clone, Copy, Debug)]
pub struct DiskBegun {
    /// What it does.
    pub kind: DiskKindOf,
    /// When it was handed out, on the turn's clock.
    pub at: Instant,
}

/// One kind of disk operation.
#[derive(Clone, Debug, Default)]
pub struct DiskCounters {
    /// Handed out.
    pub begun: u64,
    /// Ended with an error.
    pub failed: u64,
    /// Bytes of those that ended well.
    pub bytes: u64,
    /// From handing out to the end; its count is that of all that have ended.
    pub latency: Histogram,
}

/// Why a connection was turned away or ended by the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// `max.connections` is reached.
    Connections,
    /// `max.connections.per.ip` is reached.
    Address,
    /// The broker is about to stop.
    Stopping,
    /// The client broke the protocol or a limit.
    Protocol,
}

impl Refused {
    /// All of them, in the order of the table.
    pub const ALL: [Refused; 4] =
        [Refused::Connections, Refused::Address, Refused::Stopping, Refused::Protocol];

    /// As labels say it.
    pub fn name(self) -> &'static str {
        match self {
            Refused::Connections => "max.connections",
            Refused::Address => "max.connections.per.ip",
            Refused::Stopping => "stopping",
            Refused::Protocol => "protocol",
        }
    }
}

/// Connections that have ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Closed {
    /// All.
    pub all: u64,
    /// Those that had been silent for `connections.max.idle.ms`.
    pub idle: u64,
}

/// See the module's head.
#[derive(Debug)]
pub struct Counters {
    /// By API key.
    pub apis: Box<[ApiCounters]>,
    /// Errors that were answered, by API key and code. Bounded by APIs times codes.
    pub errors: HashMap<(i16, ErrorCode), u64>,
    /// By [`DiskKindOf`].
    pub disk: [DiskCounters; DiskKindOf::ALL.len()],
    /// Connections that were taken in.
    pub connections_opened: u64,
    /// Connections that have ended.
    pub connections_closed: Closed,
    /// By [`Refused`].
    pub connections_refused: [u64; Refused::ALL.len()],
    /// Logs that failed, or could not be opened.
    pub log_failures: u64,
    /// Counts of a topic that stand with none of this shard's open partitions. Bounded by topics:
    /// an entry goes with its topic.
    pub apart: HashMap<Uuid, TopicCounters>,
    /// Counts of topics that are gone or never were.
    pub gone: TopicCounters,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            apis: vec![ApiCounters::default(); API_KEYS_MAX].into(),
            errors: HashMap::new(),
            disk: Default::default(),
            connections_opened: 0,
            connections_closed: Closed::default(),
            connections_refused: [0; Refused::ALL.len()],
            log_failures: 0,
            apart: HashMap::new(),
            gone: TopicCounters::default(),
        }
    }
}

impl Counters {
    /// A request was read.
    pub fn request(&mut self, key: i16, version: i16) {
        let api = usize::try_from(key).ok().and_then(|key| self.apis.get_mut(key));
        let version = usize::try_from(version).ok();
        if let Some(count) = api.zip(version).and_then(|(api, at)| api.requests.get_mut(at)) {
            *count += 1;
        }
    }

    /// A request was answered, `after` it was read.
    pub fn answered(&mut self, key: i16, after: Duration) {
        if let Some(api) = usize::try_from(key).ok().and_then(|key| self.apis.get_mut(key)) {
            api.latency.record(after);
        }
    }

    /// An error was answered.
    pub fn error(&mut self, key: i16, code: ErrorCode) {
        *self.errors.entry((key, code)).or_default() += 1;
    }

    /// A connection was turned away.
    pub fn refused(&mut self, why: Refused) {
        self.connections_refused[why as usize] += 1;
    }

    /// A disk operation is handed out.
    pub fn disk_begun(&mut self, kind: DiskKindOf, at: Instant) -> DiskBegun {
        self.disk[kind as usize].begun += 1;
        DiskBegun { kind, at }
    }

    /// It has ended, with so many bytes, or failed.
    pub fn disk_ended(&mut self, begun: DiskBegun, now: Instant, bytes: Option<u64>) {
        let counters = &mut self.disk[begun.kind as usize];
        counters.latency.record(now.saturating_duration_since(begun.at));
        match bytes {
            Some(bytes) => counters.bytes += bytes,
            None => counters.failed += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_api_and_version_has_its_place() {
        for api in ringlog_wire::api::API_LIST {
            assert!((api.key as usize) < API_KEYS_MAX, "{}", api.name);
            assert!((api.max as usize) < VERSIONS_MAX, "{}", api.name);
        }
        let mut counters = Counters::default();
        for (key, version) in [(-1, 0), (0, -1), (i16::MAX, 3), (3, i16::MAX)] {
            counters.request(key, version);
            counters.answered(key, Duration::ZERO);
        }
        counters.request(3, 12);
        assert_eq!(counters.apis[3].requests[12], 1);
        assert_eq!(counters.apis.iter().flat_map(|api| &api.requests).sum::<u64>(), 1);
    }

    #[test]
    fn tables_are_in_the_order_of_their_kinds() {
        for (at, kind) in DiskKindOf::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
        }
        for (at, why) in Refused::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, at);
        }
    }
}
