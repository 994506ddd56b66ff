//! A fast Kafka client that makes load, measures latency and checks what it reads.
//!
//! One thread, non-blocking sockets, requests that are built before the run (unless it is asked to
//! build them as a producer does). The workloads are [`produce::run`], [`consume::run`],
//! [`end_to_end::run`], [`mix::run`] and [`sweep::run`]; their options are those of the command
//! line ([`options`]), their result is a [`report::Report`] or a [`sweep::Sweep`]. What a producer
//! stamped into its messages ([`payload`]) a consumer checks ([`checker`]). [`sink`] is a server
//! that only takes in, to measure the client itself.
#![forbid(unsafe_code)]
// This program measures from outside: time, sockets and files are its business.
#![allow(clippy::disallowed_methods)]

use ringlog_wire::ErrorCode;

pub mod ack_log;
pub mod arrivals;
pub mod checker;
pub mod client;
pub mod cluster;
pub mod consume;
pub mod control;
pub mod drive;
pub mod end_to_end;
pub mod error;
pub mod hdr_log;
pub mod interrupt;
pub mod keys;
pub mod lane;
pub mod live;
pub mod machine;
pub mod meter;
pub mod mix;
pub mod options;
pub mod payload;
pub mod produce;
pub mod rate;
pub mod raw;
pub mod report;
pub mod sink;
pub mod sweep;
pub mod tally;

pub use error::Error;

/// Whether the same request may succeed later, perhaps at another broker.
pub fn is_retriable(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::UnknownTopicOrPartition
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::NotLeaderOrFollower
            | ErrorCode::RequestTimedOut
            | ErrorCode::BrokerNotAvailable
            | ErrorCode::ReplicaNotAvailable
            | ErrorCode::NetworkException
            | ErrorCode::NotEnoughReplicas
            | ErrorCode::NotEnoughReplicasAfterAppend
            | ErrorCode::KafkaStorageError
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::UnknownLeaderEpoch
            | ErrorCode::OffsetNotAvailable
            | ErrorCode::UnknownTopicId
            | ErrorCode::InconsistentTopicId
    )
}
