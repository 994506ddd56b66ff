//! What comes into the coordinator.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use ringlog_wire::api::add_offsets_to_txn::AddOffsetsToTxnRequest;
use ringlog_wire::api::add_partitions_to_txn::AddPartitionsToTxnTransaction;
use ringlog_wire::api::end_txn::EndTxnRequest;
use ringlog_wire::api::init_producer_id::InitProducerIdRequest;
use ringlog_wire::error::ErrorCode;

use super::state::State;
use crate::coordinator::Ticket;

/// Partitions that a transaction cannot have, by topic, and why.
pub type Refused = BTreeMap<String, BTreeMap<i32, ErrorCode>>;

/// What happens to a coordinator.
#[derive(Clone, Debug)]
pub enum Event {
    /// A producer asks for its id and epoch.
    InitProducerId {
        /// Who is answered.
        to: Ticket,
        /// The request's version.
        version: i16,
        /// The request.
        request: InitProducerIdRequest,
    },
    /// Partitions are added to a transaction, or looked up in it.
    AddPartitions {
        /// Who is answered.
        to: Ticket,
        /// The request's version.
        version: i16,
        /// One transaction of the request; versions 0 to 3 have one only.
        transaction: AddPartitionsToTxnTransaction,
        /// Partitions that cannot be added, and why: unknown, or forbidden. One is enough to add
        /// none (rule 37).
        refused: Refused,
    },
    /// A group's offsets become part of a transaction.
    AddOffsets {
        /// Who is answered.
        to: Ticket,
        /// The request's version.
        version: i16,
        /// The request.
        request: AddOffsetsToTxnRequest,
        /// The partition of `__consumer_offsets` that is the group's.
        offsets_partition: i32,
    },
    /// A transaction is to end.
    EndTxn {
        /// Who is answered.
        to: Ticket,
        /// The request's version: from 5 on, each transaction has an epoch of its own.
        version: i16,
        /// The request.
        request: EndTxnRequest,
    },
    /// A partition's leader asks at Produce, or a group's coordinator at TxnOffsetCommit.
    Verify {
        /// Who is answered.
        to: Ticket,
        /// Whose transaction.
        transactional_id: String,
        /// The producer's id.
        producer_id: i64,
        /// Its epoch.
        producer_epoch: i16,
        /// The partitions.
        partitions: Vec<(String, i32)>,
        /// Add them (Produce v12+, TxnOffsetCommit v5+), or only look whether they were added.
        add: bool,
    },
    /// A partition has a marker, or could not be given it.
    MarkerWritten {
        /// Whose marker.
        transactional_id: String,
        /// The marker's producer id.
        producer_id: i64,
        /// The marker's epoch.
        producer_epoch: i16,
        /// The coordinator's epoch, of the [`super::Command::WriteMarkers`] that this answers. Of
        /// an earlier one the outcome says nothing: this coordinator's own marker is still on its
        /// way, and must not be let loose on the next transaction.
        coordinator_epoch: i32,
        /// The partition's topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The outcome. UNKNOWN_TOPIC_OR_PARTITION: there is no such partition where it was sought.
        result: ErrorCode,
    },
    /// What is known of a transactional id?
    Describe {
        /// Who is answered.
        to: Ticket,
        /// Whose.
        transactional_id: String,
    },
    /// Which transactional ids are there?
    List {
        /// Who is answered.
        to: Ticket,
        /// Which ones are wanted; the same for all coordinators.
        filters: Arc<Filters>,
    },
    /// Topics are gone: their partitions need no marker.
    TopicsDeleted {
        /// Their names.
        topics: Vec<String>,
    },
}

/// Which transactions are listed: those that pass all.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    /// States; without a set, all.
    pub states: Option<HashSet<State>>,
    /// Producer ids; empty for all.
    pub producer_ids: HashSet<i64>,
    /// Those that began more than so many milliseconds ago; negative for all.
    pub duration_ms: Option<i64>,
    /// Those whose transactional id passes.
    pub id: Option<IdFilter>,
}

/// The states of those names, as [`Filters::states`] has them, and the names that no state has,
/// each once.
pub fn states_named(names: Vec<String>) -> (Option<HashSet<State>>, Vec<String>) {
    if names.is_empty() {
        return (None, Vec::new());
    }
    let (mut states, mut unknown) = (HashSet::new(), BTreeSet::new());
    for name in names {
        match State::from_name(&name) {
            Some(state) => drop(states.insert(state)),
            None => drop(unknown.insert(name)),
        }
    }
    (Some(states), unknown.into_iter().collect())
}

/// A test of transactional ids, compiled by who received the pattern: no regular expressions here.
#[derive(Clone)]
pub struct IdFilter(pub Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl std::fmt::Debug for IdFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdFilter")
    }
}
