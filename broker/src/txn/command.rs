//! What goes out of the coordinator.

use ringlog_wire::api::add_offsets_to_txn::AddOffsetsToTxnResponse;
use ringlog_wire::api::add_partitions_to_txn::AddPartitionsToTxnResult;
use ringlog_wire::api::describe_transactions::TransactionState;
use ringlog_wire::api::end_txn::EndTxnResponse;
use ringlog_wire::api::init_producer_id::InitProducerIdResponse;
use ringlog_wire::api::list_transactions::ListTransactionsResponse;
use ringlog_wire::error::ErrorCode;
use ringlog_wire::records::TransactionRecord;

use crate::coordinator::Ticket;

/// What a step asks for.
#[derive(Debug, Default)]
pub struct Output {
    /// Appended to the log, as one batch.
    pub records: Vec<TransactionRecord>,
    /// Carried out when the records, and everything before them, are durable.
    pub commands: Vec<Command>,
}

impl Output {
    pub(super) fn reply(&mut self, to: Ticket, response: Response) {
        self.commands.push(Command::Reply { to, response });
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A request is answered.
    Reply {
        /// Which.
        to: Ticket,
        /// With what.
        response: Response,
    },
    /// Markers are to be written. Each partition's outcome comes back as one
    /// [`super::Event::MarkerWritten`], whatever it is, and not before it is certain that nothing
    /// of this command can still be written there: a late marker would end the next transaction.
    WriteMarkers {
        /// Whose.
        transactional_id: String,
        /// The producer's id.
        producer_id: i64,
        /// The markers' epoch.
        producer_epoch: i16,
        /// The coordinator's epoch.
        coordinator_epoch: i32,
        /// Committed or aborted.
        committed: bool,
        /// How the epoch is judged at the partition: 0, or 2 when it must be a new one (rule 35).
        transaction_version: i8,
        /// Where to.
        partitions: Vec<(String, i32)>,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// To [`super::Event::InitProducerId`].
    InitProducerId(InitProducerIdResponse),
    /// To [`super::Event::AddPartitions`]: one transaction of the response.
    AddPartitions(AddPartitionsToTxnResult),
    /// To [`super::Event::AddOffsets`].
    AddOffsets(AddOffsetsToTxnResponse),
    /// To [`super::Event::EndTxn`].
    EndTxn(EndTxnResponse),
    /// To [`super::Event::Verify`]: each partition that was asked about, in that order, with the
    /// coordinator's code. What a producer is told of it, `api/produce/verify.rs` says.
    Verify(Vec<(String, i32, ErrorCode)>),
    /// To [`super::Event::Describe`].
    Describe(TransactionState),
    /// To [`super::Event::List`]: what this partition has.
    List(ListTransactionsResponse),
}

impl Response {
    /// About how many bytes of memory it takes, where that may be many.
    pub fn bytes(&self) -> usize {
        let Response::Describe(told) = self else { return size_of::<Response>() };
        let topics = told.topics.iter();
        let topics = topics.map(|t| size_of_val(t) + t.topic.len() + 4 * t.partitions.len());
        size_of::<Response>() + topics.sum::<usize>()
    }
}
