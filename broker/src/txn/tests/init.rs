//! InitProducerId.

use super::*;

#[test]
fn rule_30_a_producer_without_transactional_id_gets_a_new_id_always() {
    let mut desk = Desk::new();
    let request = |producer_id, producer_epoch| Event::InitProducerId {
        to: TICKET,
        version: 5,
        request: InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 0,
            producer_id,
            producer_epoch,
        },
    };
    assert_eq!(desk.step(request(-1, -1)), "InitProducerId NONE 200/0");
    assert_eq!(desk.step(request(-1, -1)), "InitProducerId NONE 201/0");
    assert_eq!(desk.step(request(200, 4)), "InitProducerId NONE 202/0");
    assert_eq!(desk.step(request(200, -1)), "InitProducerId INVALID_REQUEST -1/-1");
    assert_eq!(desk.step(request(-1, 0)), "InitProducerId INVALID_REQUEST -1/-1");
    desk.ids.clear();
    let none = "InitProducerId COORDINATOR_LOAD_IN_PROGRESS -1/-1";
    assert_eq!(desk.step(request(-1, -1)), none);
}

#[test]
fn rule_30_the_first_and_the_next_epoch() {
    let mut desk = Desk::new();
    let first = "t: Empty 200/0 [] v0; InitProducerId NONE 200/0";
    assert_eq!(desk.init(0, None), first);
    assert_eq!(desk.init(0, None), "t: Empty 200/1 [] v0; InitProducerId NONE 200/1");
    desk.ids.clear();
    assert_eq!(desk.init(0, None), "t: Empty 200/2 [] v0; InitProducerId NONE 200/2");
    let mut desk = Desk::new();
    desk.ids.clear();
    assert_eq!(desk.init(0, None), "InitProducerId COORDINATOR_LOAD_IN_PROGRESS -1/-1");
    assert!(desk.machine.is_empty(), "nothing was begun");
}

#[test]
fn rule_32_what_is_asked_for_wrongly() {
    let cases = [
        ("", 60_000, "INVALID_REQUEST"),
        ("t", 0, "INVALID_TRANSACTION_TIMEOUT"),
        ("t", -1, "INVALID_TRANSACTION_TIMEOUT"),
        ("t", 15 * 60_000 + 1, "INVALID_TRANSACTION_TIMEOUT"),
        ("t", i32::MAX, "INVALID_TRANSACTION_TIMEOUT"),
        ("", 0, "INVALID_REQUEST"),
    ];
    for (id, transaction_timeout_ms, code) in cases {
        let request = InitProducerIdRequest {
            transactional_id: Some(id.to_owned()),
            transaction_timeout_ms,
            ..InitProducerIdRequest::default()
        };
        let told = Desk::new().step(Event::InitProducerId { to: TICKET, version: 5, request });
        assert_eq!(told, format!("InitProducerId {code} -1/-1"), "{id:?} {transaction_timeout_ms}");
    }
}

#[test]
fn rule_32_a_new_instance_fences_aborts_and_waits() {
    let given = "t: Empty 100/6 [] v0; InitProducerId NONE 100/6";
    let waits = "InitProducerId CONCURRENT_TRANSACTIONS -1/-1";
    let aborts = "t: PrepareAbort 100/6 [a-0] v2; markers abort t 100/6 v2 [a-0]; \
                  InitProducerId CONCURRENT_TRANSACTIONS -1/-1";
    let table = [
        (State::Empty, given),
        (State::Ongoing, aborts),
        (State::PrepareCommit, waits),
        (State::PrepareAbort, waits),
        (State::CompleteCommit, given),
        (State::CompleteAbort, given),
    ];
    check(&table, at, |desk| desk.init(5, None));
    // The same with the producer's own id and epoch.
    check(&table, at, |desk| desk.init(5, Some((PID, 5))));
}

#[test]
fn rule_32_the_client_that_waited_gets_the_epoch_after_the_abort() {
    let mut desk = Desk::of(at(State::Ongoing));
    desk.init(5, None);
    assert_eq!(desk.init(5, None), "InitProducerId CONCURRENT_TRANSACTIONS -1/-1");
    let done = desk.written((PID, 6), ("a", 0), ErrorCode::None);
    assert_eq!(done, "t: CompleteAbort 100/6 [] v2");
    assert_eq!(desk.init(5, None), "t: Empty 100/7 [] v2; InitProducerId NONE 100/7");
    // The instance before it is fenced, whatever it does.
    assert_eq!(desk.init(5, Some((PID, 5))), "InitProducerId PRODUCER_FENCED -1/-1");
    assert_eq!(desk.end(5, (PID, 5), true), "EndTxn PRODUCER_FENCED -1/-1");
    assert_eq!(desk.end(4, (PID, 5), true), "EndTxn PRODUCER_FENCED -1/-1");
    assert_eq!(desk.add(3, (PID, 5), &[("a", 0)]), "AddPartitions a-0:PRODUCER_FENCED");
    assert_eq!(desk.verify((PID, 5), &[("a", 0)], true), "Verify a-0:PRODUCER_FENCED");
}

#[test]
fn rule_32_under_the_first_transaction_version_the_fence_is_the_bump() {
    let mut desk = Desk::with(TxnConfig { transaction_version: 1, ..TxnConfig::default() });
    desk.know("t", at(State::Ongoing));
    let aborts = "t: PrepareAbort 100/6 [a-0] v0; markers abort t 100/6 v0 [a-0]; \
                  InitProducerId CONCURRENT_TRANSACTIONS -1/-1";
    assert_eq!(desk.init(5, None), aborts);
}

#[test]
fn rule_30_kip_360_a_producer_goes_on_after_an_error() {
    let bumped = "t: Empty 100/6 [] v0; InitProducerId NONE 100/6";
    let fenced = "InitProducerId PRODUCER_FENCED -1/-1";
    let mut desk = Desk::of(at(State::CompleteAbort));
    assert_eq!(desk.init(5, Some((PID, 4))), fenced, "an epoch of before");
    assert_eq!(desk.init(5, Some((PID, 6))), fenced, "an epoch that nobody was given");
    assert_eq!(desk.init(5, Some((PID + 1, 5))), fenced, "somebody else's id");
    assert_eq!(desk.init(5, Some((PID, 5))), bumped);
    assert_eq!(desk.init(5, Some((PID, 5))), bumped, "the answer was lost");
    assert_eq!(desk.init(5, Some((PID, 4))), fenced);
    // Another instance: the epoch of before is of no use any more.
    assert_eq!(desk.init(5, None), "t: Empty 100/7 [] v0; InitProducerId NONE 100/7");
    assert_eq!(desk.init(5, Some((PID, 6))), fenced);
    // The id is not known: the producer gets a new one.
    let fresh = "t: Empty 200/0 [] v0; InitProducerId NONE 200/0";
    assert_eq!(Desk::new().init(5, Some((PID, 5))), fresh);
}

#[test]
fn rule_30_used_up_epochs_give_a_new_id() {
    let exhausted = |state| Transaction { producer_epoch: i16::MAX - 1, ..at(state) };
    let rotated = "t: Empty 200/0 [] v0 before 100; InitProducerId NONE 200/0";
    let last = i16::MAX - 1;
    for expected in [None, Some((PID, last))] {
        let mut desk = Desk::of(exhausted(State::CompleteCommit));
        assert_eq!(desk.init(5, expected), rotated);
    }
    // The answer with the new id was lost: the same again, as long as nobody else came.
    let mut desk = Desk::of(exhausted(State::Empty));
    assert_eq!(desk.init(5, Some((PID, last))), rotated);
    let again = "t: Empty 200/0 [] v0; InitProducerId NONE 200/0";
    assert_eq!(desk.init(5, Some((PID, last))), again);
    assert_eq!(desk.init(5, Some((PID, 3))), "InitProducerId PRODUCER_FENCED -1/-1");
    let mut desk = Desk::of(exhausted(State::Empty));
    assert_eq!(desk.init(5, None), rotated);
    assert_eq!(desk.init(5, Some((PID, last))), "InitProducerId PRODUCER_FENCED -1/-1");
    // No id at hand: nothing has changed.
    let mut desk = Desk::of(exhausted(State::Empty));
    desk.ids.clear();
    assert_eq!(desk.init(5, None), "InitProducerId COORDINATOR_LOAD_IN_PROGRESS -1/-1");
    // One epoch is left to fence the last of the others with; it is given to nobody.
    let mut desk = Desk::of(Transaction { producer_epoch: i16::MAX - 2, ..at(State::Empty) });
    let max = "t: Empty 100/32766 [] v0; InitProducerId NONE 100/32766";
    assert_eq!(desk.init(5, None), max);
}

#[test]
fn rule_32_a_fence_at_the_last_epoch_rotates_the_id() {
    let ongoing = Transaction { producer_epoch: i16::MAX - 1, ..second(State::Ongoing) };
    let mut desk = Desk::of(ongoing);
    let aborts = "t: PrepareAbort 100/32767 [a-0] v2 next 200; \
                  markers abort t 100/32767 v2 [a-0]; \
                  InitProducerId CONCURRENT_TRANSACTIONS -1/-1";
    assert_eq!(desk.init(5, None), aborts);
    let done = desk.written((PID, i16::MAX), ("a", 0), ErrorCode::None);
    assert_eq!(done, "t: CompleteAbort 200/0 [] v2 before 100");
    // The producer that was aborted asks late, and is told how it goes on.
    assert_eq!(desk.end(5, (PID, i16::MAX - 1), false), "EndTxn NONE 200/0");
    let goes_on = "t: Empty 200/0 [] v2; InitProducerId NONE 200/0";
    assert_eq!(desk.init(5, Some((PID, i16::MAX - 1))), goes_on);
}

#[test]
fn rule_42_old_clients_know_no_producer_fenced() {
    for (version, code) in [(3, "INVALID_PRODUCER_EPOCH"), (4, "PRODUCER_FENCED")] {
        let told = Desk::of(at(State::Empty)).init(version, Some((PID, 1)));
        assert_eq!(told, format!("InitProducerId {code} -1/-1"));
    }
}
