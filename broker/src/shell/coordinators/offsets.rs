//! Offsets in a transaction: they are the producer's records in the log of the group's coordinator,
//! and wait as any other record of a transaction does until the transaction's coordinator has said
//! that it will end it here (rules 33, 34).
//!
//! Invariant: they are appended in the very turn in which the answer is found to be still true.

use ringlog_wire::error::ErrorCode;

use crate::coordinator::{Answer, Ask, Event, Kind, Ticket};
use crate::group;
use crate::partition::Guard;
use crate::shell::{ShardCore, Shell};
use crate::slab::Key;
use crate::txn;

/// From this version of TxnOffsetCommit on the group's partition joins the transaction by itself.
const ADDS_SINCE: i16 = 5;
/// From this one on clients know TRANSACTION_ABORTABLE.
const ABORTABLE_SINCE: i16 = 4;

impl Shell {
    /// Has a commit decided on when its transaction is known to be open here.
    pub(super) fn verify_offsets(
        &mut self,
        core: &mut ShardCore,
        slot: Key,
        ticket: Ticket,
        event: group::Event,
    ) {
        let group::Event::TxnCommit { request, version, .. } = &event else {
            unreachable!("only these are verified")
        };
        let (version, producer) = (*version, (request.producer_id, request.producer_epoch));
        let begun =
            self.logs.get_mut(slot).map(|it| it.partition.begin_own(producer.0, producer.1));
        let must_settle = self.coordinators.by_log.get(&slot).is_some_and(|it| it.must_settle());
        let guard = match begun.unwrap_or(Err(ErrorCode::NotCoordinator)) {
            Ok(Some(_)) if must_settle => {
                let code = ErrorCode::CoordinatorLoadInProgress;
                return self.answer_asker(core, ticket, Err(code));
            }
            Ok(Some(guard)) => guard,
            Ok(None) => return self.decide_offsets(core, slot, event),
            Err(code) => return self.answer_asker(core, ticket, Err(code)),
        };
        let id = request.transactional_id.clone();
        let partition = self.offsets_partition_of(&request.group_id);
        let transactional_id = id.clone();
        let verify = move |to| txn::Event::Verify {
            to,
            transactional_id,
            producer_id: producer.0,
            producer_epoch: producer.1,
            partitions: vec![(Kind::Groups.topic().to_string(), partition)],
            add: version >= ADDS_SINCE,
        };
        let finish = move |shell: &mut Shell, core: &mut ShardCore, answer: Result<Answer, _>| {
            if shell.coordinators.askers.get(Key::from_u64(ticket.0)).is_none() {
                // The coordinator was lost meanwhile, and whoever asked was told so.
                return;
            }
            match verified(answer, version).and_then(|()| shell.check_own(slot, producer, guard)) {
                Ok(()) => shell.decide_offsets(core, slot, event),
                Err(code) => shell.answer_asker(core, ticket, Err(code)),
            }
        };
        let ask = Ask::Transaction(Box::new(verify));
        self.coordinate_inside(core, Kind::Transactions, &id, ask, Box::new(finish));
    }

    fn decide_offsets(&mut self, core: &mut ShardCore, slot: Key, event: group::Event) {
        let event = Event::Group(event);
        self.decide(core, slot, |machine, around| machine.step(event, around));
    }

    fn check_own(&self, slot: Key, producer: (i64, i16), guard: Guard) -> Result<(), ErrorCode> {
        let hosted = self.logs.get(slot).ok_or(ErrorCode::NotCoordinator)?;
        hosted.partition.check_own(producer.0, producer.1, guard)
    }
}

/// What the transaction's coordinator says, in codes that clients of groups know.
fn verified(answer: Result<Answer, ErrorCode>, version: i16) -> Result<(), ErrorCode> {
    let code = match answer.map(Answer::into_transaction) {
        Ok(txn::Response::Verify(partitions)) => {
            partitions.first().map_or(ErrorCode::None, |(_, _, code)| *code)
        }
        Ok(_) => unreachable!("a coordinator answers what it is asked"),
        Err(code) => code,
    };
    match code {
        ErrorCode::None => Ok(()),
        // This one is of transactions: the client would look for the group's anew.
        ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
            Err(ErrorCode::CoordinatorLoadInProgress)
        }
        ErrorCode::TransactionAbortable if version < ABORTABLE_SINCE => {
            Err(ErrorCode::InvalidTxnState)
        }
        code => Err(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_other_coordinator_says_is_told_in_words_that_clients_of_groups_know() {
        use ErrorCode::*;
        let cases = [
            (NotCoordinator, 5, CoordinatorLoadInProgress),
            (CoordinatorNotAvailable, 5, CoordinatorLoadInProgress),
            (TransactionAbortable, 3, InvalidTxnState),
            (TransactionAbortable, 4, TransactionAbortable),
            (ConcurrentTransactions, 5, ConcurrentTransactions),
        ];
        for (said, version, told) in cases {
            let answer = txn::Response::Verify(vec![(String::new(), 0, said)]);
            assert_eq!(verified(Ok(Answer::Transaction(answer)), version), Err(told), "{said}");
            assert_eq!(verified(Err(said), version), Err(told), "{said}");
        }
    }
}
