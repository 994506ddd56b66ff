//! A transactional id as a record of `__transaction_state`, and back.
//!
//! The previous and next producer id and the client's transaction version are tagged fields,
//! written when they say something. `next_producer_epoch` (two-phase commit) is read over and never
//! written, as Kafka 4.3 does it.

use ringlog_wire::records::TransactionRecord;
use ringlog_wire::records::txn::{PartitionsSchema, TransactionLogKey, TransactionLogValue};

use super::state::{NO_PRODUCER_EPOCH, State, TopicPartitions, Transaction};

/// A record that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// No such state.
    UnknownState {
        /// Whose.
        transactional_id: String,
        /// Its number.
        id: i8,
    },
}

impl std::fmt::Display for ReplayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ReplayError::UnknownState { transactional_id, id } = self;
        write!(f, "transactional id {transactional_id:?} has the unknown state {id}")
    }
}

impl std::error::Error for ReplayError {}

/// The record that forgets an id.
pub(super) fn tombstone(id: &str) -> TransactionRecord {
    let key = TransactionLogKey { transactional_id: id.to_owned() };
    TransactionRecord::TransactionLog { key, value: None }
}

/// The record that says what is known of an id.
pub(super) fn record_of(id: &str, transaction: &Transaction) -> TransactionRecord {
    let key = TransactionLogKey { transactional_id: id.to_owned() };
    TransactionRecord::TransactionLog { key, value: Some(value_of(transaction)) }
}

/// Whether [`super::Transactions::replay`] takes a record.
pub fn check(record: &TransactionRecord) -> Result<(), ReplayError> {
    let TransactionRecord::TransactionLog { key, value: Some(value) } = record else {
        return Ok(());
    };
    transaction_of(&key.transactional_id, value).map(drop)
}

/// What a record's value says of an id.
pub(super) fn transaction_of(
    transactional_id: &str,
    value: &TransactionLogValue,
) -> Result<Transaction, ReplayError> {
    let id = value.transaction_status;
    let Some(state) = State::from_id(id) else {
        let transactional_id = transactional_id.to_owned();
        return Err(ReplayError::UnknownState { transactional_id, id });
    };
    let mut partitions = TopicPartitions::new();
    if state != State::Empty {
        for schema in value.transaction_partitions.iter().flatten() {
            let topic = partitions.entry(schema.topic.clone()).or_default();
            topic.extend(&schema.partition_ids);
        }
    }
    Ok(Transaction {
        state,
        producer_id: value.producer_id,
        previous_producer_id: value.previous_producer_id,
        next_producer_id: value.next_producer_id,
        producer_epoch: value.producer_epoch,
        last_producer_epoch: NO_PRODUCER_EPOCH,
        timeout_ms: value.transaction_timeout_ms,
        partitions,
        start_ms: value.transaction_start_timestamp_ms,
        update_ms: value.transaction_last_update_timestamp_ms,
        client_version: value.client_transaction_version,
    })
}

fn value_of(transaction: &Transaction) -> TransactionLogValue {
    let schema = |(topic, indexes): (&String, &std::collections::BTreeSet<i32>)| PartitionsSchema {
        topic: topic.clone(),
        partition_ids: indexes.iter().copied().collect(),
    };
    // Kafka: null before the first transaction, a list from then on.
    let partitions = transaction.partitions.iter().map(schema).collect();
    TransactionLogValue {
        producer_id: transaction.producer_id,
        previous_producer_id: transaction.previous_producer_id,
        next_producer_id: transaction.next_producer_id,
        producer_epoch: transaction.producer_epoch,
        transaction_timeout_ms: transaction.timeout_ms,
        transaction_status: transaction.state as i8,
        transaction_partitions: (transaction.state != State::Empty).then_some(partitions),
        transaction_last_update_timestamp_ms: transaction.update_ms,
        transaction_start_timestamp_ms: transaction.start_ms,
        client_transaction_version: transaction.client_version,
        ..TransactionLogValue::default()
    }
}
