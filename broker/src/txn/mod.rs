//! The transaction coordinator of one partition of `__transaction_state`.
//!
//! ```text
//! config    settings by Kafka's names, limits        machine   the ids, their deadlines, replay
//! state     one id and how it changes                init      InitProducerId
//! record    __transaction_state's records            add       AddPartitions, AddOffsets, Verify
//! event     what comes in                            end       EndTxn, fencing, completion
//! command   what goes out                            markers   markers written, failed, gone
//! query     DescribeTransactions, ListTransactions
//! ```
//!
//! A pure state machine: events and the time come in, records and commands go out. It applies its
//! own decision at once; the commands of an [`Output`] are carried out when its records, and all
//! before them, are durable. If they cannot be, the machine is thrown away and rebuilt from the
//! log.
//!
//! Promises: a transaction's partitions all get the decision that its PREPARE_* record says. A
//! producer whose epoch is not the last one is refused. Every ticket is answered exactly once.
//! The records replayed in order give the same [`Transaction`]s, but for `last_producer_epoch`,
//! which Kafka's record has no place for.
//!
//! Facts follow Kafka 4.3.1 (kafka.coordinator.transaction). Different on purpose: a change needs
//! no pending state, so a request that follows one in flight is judged by its outcome instead of
//! being told CONCURRENT_TRANSACTIONS; a produce request that adds its partition waits here for
//! the markers instead of asking again; and memory has limits.

mod add;
mod command;
pub mod config;
mod end;
mod event;
mod init;
mod machine;
mod markers;
mod query;
pub mod record;
pub mod state;

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;

pub use command::{Command, Output, Response};
pub use config::TxnConfig;
pub use event::{Event, Filters, IdFilter, Refused, states_named};
pub use machine::Transactions;
pub use record::ReplayError;
pub use state::{State, Transaction};

use ringlog_wire::error::ErrorCode;
pub use ringlog_wire::records::TransactionRecord;

/// Where producer ids come from: the next one, or nothing when none is at hand.
pub type ProducerIds<'a> = &'a mut dyn FnMut() -> Option<i64>;

/// No producer id is at hand: Kafka's code for it, which clients retry.
const NO_PRODUCER_ID_AT_HAND: ErrorCode = ErrorCode::CoordinatorLoadInProgress;

/// Clients whose request is older than PRODUCER_FENCED know only INVALID_PRODUCER_EPOCH (rule 42).
fn fenced_since(first: i16, version: i16, error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced if version < first => ErrorCode::InvalidProducerEpoch,
        error => error,
    }
}
