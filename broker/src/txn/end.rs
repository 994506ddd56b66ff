//! EndTxn, and the coordinator's own aborts.
//!
//! EndTxn v0-4 is the first transaction version: the epoch stays, and a retry is one of the same
//! epoch. v5 is the second: every end bumps the epoch, so the epoch tells a retry (one less than
//! now) from the end of another transaction (that of now). Kafka 4.3's tables:
//!
//! ```text
//!                    v0-4: the epoch of now     v5: one less          v5: the epoch of now
//!                    abort     commit           abort     commit      abort    commit
//! EMPTY              state     state            fenced    fenced      bump     state
//! ONGOING            end       end              fenced    fenced      end      end
//! PREPARE_*          concurrent                 concurrent            concurrent
//! COMPLETE_ABORT     none      state            none      state       bump     state
//! COMPLETE_COMMIT    state     none             state     none        bump     state
//! ```
//!
//! state: INVALID_TXN_STATE. bump: an abort of nothing, which gives the producer a new epoch. In
//! PREPARE_* nothing of v5 is judged: the producer may know the epoch that comes already, so that
//! it ends its next transaction, or find its id used up.
//!
//! One epoch less is a retry only behind an end of the second version: those of the first give no
//! new epoch, and there it is a zombie's. (Kafka 4.3 gives that zombie the epoch of now.)

use std::sync::Arc;

use ringlog_wire::api::end_txn::{EndTxnRequest, EndTxnResponse, VERSION_OF_EPOCHS_MIN};
use ringlog_wire::error::ErrorCode;

use super::command::{Output, Response};
use super::machine::Transactions;
use super::state::{
    EPOCH_BUMP_SINCE, EPOCH_EXHAUSTED, Ending, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, State,
    Transaction,
};
use super::{NO_PRODUCER_ID_AT_HAND, ProducerIds, fenced_since};
use crate::coordinator::Ticket;

/// What an EndTxn comes to, when it is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// It was done before.
    Done,
    /// It is done now.
    End,
}

impl Transactions {
    pub(super) fn end_txn(
        &mut self,
        now_ms: i64,
        to: Ticket,
        version: i16,
        request: EndTxnRequest,
        ids: ProducerIds<'_>,
        out: &mut Output,
    ) {
        let ended = self.try_end_txn(now_ms, version, &request, ids, out);
        let error_code = ended.err().unwrap_or(ErrorCode::None);
        let nothing = (NO_PRODUCER_ID, NO_PRODUCER_EPOCH);
        let bumps = version >= VERSION_OF_EPOCHS_MIN;
        let (producer_id, producer_epoch) = ended.ok().filter(|_| bumps).unwrap_or(nothing);
        out.reply(
            to,
            Response::EndTxn(EndTxnResponse {
                throttle_time_ms: 0,
                error_code: fenced_since(2, version, error_code),
                producer_id,
                producer_epoch,
            }),
        );
    }

    /// Ends a transaction. The id and epoch that the producer goes on with are returned.
    fn try_end_txn(
        &mut self,
        now_ms: i64,
        version: i16,
        request: &EndTxnRequest,
        ids: ProducerIds<'_>,
        out: &mut Output,
    ) -> Result<(i64, i16), ErrorCode> {
        if request.transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let (id, transaction) =
            self.find(&request.transactional_id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        let second = version >= VERSION_OF_EPOCHS_MIN;
        let decision = match second {
            true => decide_second(transaction, request)?,
            false => decide_first(transaction, request)?,
        };
        if decision == Decision::Done {
            return Ok((transaction.producer_id, transaction.producer_epoch));
        }
        let version = if second { EPOCH_BUMP_SINCE } else { 0 };
        let end = Ending { committed: request.committed, version, fence: false };
        self.end(now_ms, &id, end, ids, out)
    }

    /// Decides a transaction: PREPARE_*, and the markers go out. The id and epoch that the producer
    /// goes on with are returned.
    ///
    /// # Errors
    ///
    /// A new producer id is needed and there is none at hand. Nothing has changed.
    pub(super) fn end(
        &mut self,
        now_ms: i64,
        id: &Arc<str>,
        end: Ending,
        ids: ProducerIds<'_>,
        out: &mut Output,
    ) -> Result<(i64, i16), ErrorCode> {
        let before = &self.entries[id].transaction;
        let next_producer_id = match end.version >= EPOCH_BUMP_SINCE && before.is_exhausted() {
            true => ids().ok_or(NO_PRODUCER_ID_AT_HAND)?,
            false => NO_PRODUCER_ID,
        };
        let prepared = before.prepared(end, next_producer_id, now_ms);
        let identity = prepared.identity_after();
        let nowhere = prepared.partitions.is_empty();
        self.change(now_ms, id, prepared, out);
        match nowhere {
            true => self.complete(now_ms, id, out),
            false => self.send_markers(id, None, out),
        }
        Ok(identity)
    }
}

/// The first transaction version.
fn decide_first(transaction: &Transaction, request: &EndTxnRequest) -> Result<Decision, ErrorCode> {
    if transaction.producer_id != request.producer_id {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if transaction.producer_epoch != request.producer_epoch {
        return Err(ErrorCode::ProducerFenced);
    }
    match (transaction.state, request.committed) {
        (State::Ongoing, _) => Ok(Decision::End),
        (State::CompleteCommit, true) | (State::CompleteAbort, false) => Ok(Decision::Done),
        (State::PrepareCommit | State::PrepareAbort, _) => Err(ErrorCode::ConcurrentTransactions),
        _ => Err(ErrorCode::InvalidTxnState),
    }
}

/// The second transaction version.
fn decide_second(
    transaction: &Transaction,
    request: &EndTxnRequest,
) -> Result<Decision, ErrorCode> {
    if transaction.state.is_prepared() {
        return Err(ErrorCode::ConcurrentTransactions);
    }
    let epoch = transaction.producer_epoch;
    let same_producer = transaction.producer_id == request.producer_id;
    let current = same_producer && request.producer_epoch == epoch;
    // The epochs were used up, and the answer with the new id was lost.
    let overflowed = transaction.previous_producer_id == request.producer_id
        && request.producer_epoch == EPOCH_EXHAUSTED
        && epoch == 0;
    let gave_epoch = transaction.client_version >= EPOCH_BUMP_SINCE;
    let bumped =
        gave_epoch && same_producer && request.producer_epoch.checked_add(1) == Some(epoch);
    if !same_producer && !overflowed {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    match transaction.state {
        State::Ongoing if current => Ok(Decision::End),
        State::Empty if current && !request.committed => Ok(Decision::End),
        State::Empty if current => Err(ErrorCode::InvalidTxnState),
        State::CompleteCommit | State::CompleteAbort if bumped || overflowed => {
            match (transaction.state == State::CompleteCommit) == request.committed {
                true => Ok(Decision::Done),
                false => Err(ErrorCode::InvalidTxnState),
            }
        }
        State::CompleteCommit | State::CompleteAbort if current => match request.committed {
            true => Err(ErrorCode::InvalidTxnState),
            false => Ok(Decision::End),
        },
        _ => Err(ErrorCode::ProducerFenced),
    }
}
