//! InitProducerId: an id and an epoch for a producer, and the end of those before it.
//!
//! With a producer id and epoch of its own (KIP-360), a producer asks for the next epoch after an
//! error. It is refused when another one was begun under the same transactional id since.

use std::sync::Arc;

use ringlog_wire::api::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ringlog_wire::error::ErrorCode;

use super::command::{Output, Response};
use super::machine::{Transactions, entry_bytes};
use super::state::{
    EPOCH_EXHAUSTED, Ending, Given, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, State, TopicPartitions,
    Transaction,
};
use super::{NO_PRODUCER_ID_AT_HAND, ProducerIds, fenced_since};
use crate::coordinator::Ticket;

/// What a producer says it has: its id and epoch.
type Expected = Option<(i64, i16)>;

impl Transactions {
    pub(super) fn init_producer_id(
        &mut self,
        now_ms: i64,
        to: Ticket,
        version: i16,
        request: InitProducerIdRequest,
        ids: ProducerIds<'_>,
        out: &mut Output,
    ) {
        let given = self.initialize(now_ms, &request, ids, out);
        let error_code = given.err().unwrap_or(ErrorCode::None);
        let (producer_id, producer_epoch) = given.unwrap_or((NO_PRODUCER_ID, NO_PRODUCER_EPOCH));
        out.reply(
            to,
            Response::InitProducerId(InitProducerIdResponse {
                throttle_time_ms: 0,
                error_code: fenced_since(4, version, error_code),
                producer_id,
                producer_epoch,
            }),
        );
    }

    fn initialize(
        &mut self,
        now_ms: i64,
        request: &InitProducerIdRequest,
        ids: ProducerIds<'_>,
        out: &mut Output,
    ) -> Result<(i64, i16), ErrorCode> {
        let expected = match (request.producer_id, request.producer_epoch) {
            (NO_PRODUCER_ID, NO_PRODUCER_EPOCH) => None,
            (NO_PRODUCER_ID, _) | (_, NO_PRODUCER_EPOCH) => return Err(ErrorCode::InvalidRequest),
            both => Some(both),
        };
        let timeout_ms = request.transaction_timeout_ms;
        let Some(id) = &request.transactional_id else {
            return ids().map(|id| (id, 0)).ok_or(NO_PRODUCER_ID_AT_HAND);
        };
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        if timeout_ms <= 0 || timeout_ms > self.config.transaction_max_timeout_ms {
            return Err(ErrorCode::InvalidTransactionTimeout);
        }
        let (id, before) = match self.find(id) {
            Some((id, transaction)) => (id, transaction.clone()),
            None => self.first_seen(now_ms, id, timeout_ms, ids)?,
        };
        if before.state.is_prepared() {
            // The producer may know the id or epoch that comes.
            return Err(ErrorCode::ConcurrentTransactions);
        }
        if !expected.is_none_or(|expected| holds(&before, expected)) {
            return Err(ErrorCode::ProducerFenced);
        }
        match before.state {
            State::Ongoing => {
                // The epoch of this abort is given to nobody: the client asks again, and that
                // gives it the one after.
                let version = self.config.transaction_version;
                let end = Ending { committed: false, version, fence: true };
                self.end(now_ms, &id, end, ids, out)?;
                Err(ErrorCode::ConcurrentTransactions)
            }
            _ => {
                let given = next(&before, expected, ids)?;
                self.change(now_ms, &id, before.initialized(given, timeout_ms, now_ms), out);
                Ok((given.producer_id, given.producer_epoch))
            }
        }
    }

    fn first_seen(
        &self,
        now_ms: i64,
        id: &str,
        timeout_ms: i32,
        ids: ProducerIds<'_>,
    ) -> Result<(Arc<str>, Transaction), ErrorCode> {
        let full = self.len() >= self.config.transactional_ids_max;
        if full || !self.has_room(entry_bytes(id, &TopicPartitions::new())) {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let producer_id = ids().ok_or(NO_PRODUCER_ID_AT_HAND)?;
        Ok((Arc::from(id), Transaction::new(producer_id, timeout_ms, now_ms)))
    }
}

/// True when a producer with that id may go on. Its epoch is looked at later.
fn holds(transaction: &Transaction, (producer_id, producer_epoch): (i64, i16)) -> bool {
    transaction.producer_epoch == NO_PRODUCER_EPOCH
        || transaction.producer_id == producer_id
        // Its epochs were used up, and the answer with the new id was lost.
        || transaction.previous_producer_id == producer_id && producer_epoch >= EPOCH_EXHAUSTED
}

/// The id and epoch that come next.
fn next(
    before: &Transaction,
    expected: Expected,
    ids: ProducerIds<'_>,
) -> Result<Given, ErrorCode> {
    let epoch = before.producer_epoch;
    let keeps = expected.is_none_or(|(_, expected)| expected == epoch);
    if before.is_exhausted() && keeps {
        let producer_id = ids().ok_or(NO_PRODUCER_ID_AT_HAND)?;
        let last_producer_epoch = expected.map_or(NO_PRODUCER_EPOCH, |_| epoch);
        return Ok(Given { producer_id, producer_epoch: 0, last_producer_epoch });
    }
    let (producer_epoch, last_producer_epoch) = match expected {
        None => (epoch + 1, NO_PRODUCER_EPOCH),
        Some(_) if keeps || epoch == NO_PRODUCER_EPOCH => (epoch + 1, epoch),
        // The answer was lost: the same again.
        Some((_, expected)) if expected == before.last_producer_epoch => (epoch, expected),
        Some(_) => return Err(ErrorCode::ProducerFenced),
    };
    Ok(Given { producer_id: before.producer_id, producer_epoch, last_producer_epoch })
}
