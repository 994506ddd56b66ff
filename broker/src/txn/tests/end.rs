//! EndTxn.

use super::*;

const FENCED: &str = "EndTxn PRODUCER_FENCED -1/-1";
const STATE: &str = "EndTxn INVALID_TXN_STATE -1/-1";
const WAITS: &str = "EndTxn CONCURRENT_TRANSACTIONS -1/-1";

/// A table's rows for the six states.
fn rows(outcomes: [&str; 6]) -> Vec<(State, &str)> {
    ALL.into_iter().zip(outcomes).collect()
}

#[test]
fn rule_34_the_first_version_keeps_the_epoch() {
    let done = "EndTxn NONE -1/-1";
    let commits = "t: PrepareCommit 100/5 [a-0] v0; markers commit t 100/5 v0 [a-0]; \
                   EndTxn NONE -1/-1";
    let aborts = "t: PrepareAbort 100/5 [a-0] v0; markers abort t 100/5 v0 [a-0]; \
                  EndTxn NONE -1/-1";
    let commit = rows([STATE, commits, WAITS, WAITS, done, STATE]);
    check(&commit, at, |desk| desk.end(4, (PID, 5), true));
    let abort = rows([STATE, aborts, WAITS, WAITS, STATE, done]);
    check(&abort, at, |desk| desk.end(4, (PID, 5), false));
    for epoch in [4, 6] {
        check(&rows([FENCED; 6]), at, |desk| desk.end(4, (PID, epoch), true));
    }
}

#[test]
fn rule_34_the_second_version_bumps_the_epoch_of_each_transaction() {
    let commits = "t: PrepareCommit 100/6 [a-0] v2; markers commit t 100/6 v2 [a-0]; \
                   EndTxn NONE 100/6";
    let aborts = "t: PrepareAbort 100/6 [a-0] v2; markers abort t 100/6 v2 [a-0]; \
                  EndTxn NONE 100/6";
    // An abort of nothing is done at once.
    let bumps = "t: PrepareAbort 100/6 [] v2; t: CompleteAbort 100/6 [] v2; EndTxn NONE 100/6";
    let commit = rows([STATE, commits, WAITS, WAITS, STATE, STATE]);
    check(&commit, second, |desk| desk.end(5, (PID, 5), true));
    let abort = rows([bumps, aborts, WAITS, WAITS, bumps, bumps]);
    check(&abort, second, |desk| desk.end(5, (PID, 5), false));
    // Whichever version began it: the request's decides.
    check(&commit, at, |desk| desk.end(5, (PID, 5), true));
}

#[test]
fn rule_34_a_retry_is_known_by_its_epoch() {
    let done = "EndTxn NONE 100/5";
    let commit = rows([FENCED, FENCED, WAITS, WAITS, done, STATE]);
    check(&commit, second, |desk| desk.end(5, (PID, 4), true));
    let abort = rows([FENCED, FENCED, WAITS, WAITS, STATE, done]);
    check(&abort, second, |desk| desk.end(5, (PID, 4), false));
    let fenced = rows([FENCED, FENCED, WAITS, WAITS, FENCED, FENCED]);
    for epoch in [3, 6] {
        check(&fenced, second, |desk| desk.end(5, (PID, epoch), true));
    }
    // An end of the first version gave no epoch: this one is of the instance before.
    for committed in [true, false] {
        check(&fenced, at, |desk| desk.end(5, (PID, 4), committed));
    }
}

#[test]
fn rule_34_used_up_epochs_give_a_new_id() {
    let last = i16::MAX - 1;
    let mut desk = Desk::of(Transaction { producer_epoch: last, ..second(State::Ongoing) });
    desk.ids = vec![];
    let none = "EndTxn COORDINATOR_LOAD_IN_PROGRESS -1/-1";
    assert_eq!(desk.end(5, (PID, last), true), none);
    desk.ids = vec![200];
    let commits = "t: PrepareCommit 100/32767 [a-0] v2 next 200; \
                   markers commit t 100/32767 v2 [a-0]; EndTxn NONE 200/0";
    assert_eq!(desk.end(5, (PID, last), true), commits);
    assert_eq!(desk.end(5, (PID, last), true), WAITS, "a retry while the markers are written");
    let done = desk.written((PID, i16::MAX), ("a", 0), ErrorCode::None);
    assert_eq!(done, "t: CompleteCommit 200/0 [] v2 before 100");
    assert_eq!(desk.end(5, (PID, last), true), "EndTxn NONE 200/0", "a retry after it");
    assert_eq!(desk.end(5, (PID, last), false), STATE);
    assert_eq!(desk.end(5, (PID, 3), true), "EndTxn INVALID_PRODUCER_ID_MAPPING -1/-1");
    // The next transaction runs under the new id; the old one is not known any more.
    desk.verify((200, 0), &[("a", 0)], true);
    assert_eq!(desk.end(5, (PID, last), true), "EndTxn INVALID_PRODUCER_ID_MAPPING -1/-1");
    assert!(desk.end(5, (200, 0), true).ends_with("EndTxn NONE 200/1"));
}

#[test]
fn rule_34_a_restart_keeps_the_id_that_comes_next() {
    let mut desk = Desk::of(Transaction { producer_epoch: 32766, ..second(State::Ongoing) });
    desk.end(5, (PID, 32766), false);
    let mut after = Desk::new();
    for record in &desk.log {
        after.machine.replay(record.clone()).expect("a state");
    }
    after.log = desk.log.clone();
    let output = after.machine.loaded(after.now_ms, 7);
    assert_eq!(after.tell(output), "markers abort t 100/32767 v2 [a-0]");
    let done = after.written((PID, 32767), ("a", 0), ErrorCode::None);
    assert_eq!(done, "t: CompleteAbort 200/0 [] v2 before 100");
    assert_eq!(after.end(5, (PID, 32766), false), "EndTxn NONE 200/0");
}

#[test]
fn rule_34_who_is_not_the_producer_ends_nothing() {
    let mapping = "EndTxn INVALID_PRODUCER_ID_MAPPING -1/-1";
    for (version, prepared) in [(4, mapping), (5, WAITS)] {
        let table = rows([mapping, mapping, prepared, prepared, mapping, mapping]);
        check(&table, second, |desk| desk.end(version, (PID + 1, 5), true));
        assert_eq!(Desk::new().end(version, (PID, 5), true), mapping);
        let request = EndTxnRequest::default();
        let told = Desk::new().step(Event::EndTxn { to: TICKET, version, request });
        assert_eq!(told, "EndTxn INVALID_REQUEST -1/-1");
    }
}

#[test]
fn rule_42_old_clients_know_no_producer_fenced() {
    for (version, code) in [(1, "INVALID_PRODUCER_EPOCH"), (2, "PRODUCER_FENCED")] {
        let told = Desk::of(at(State::Ongoing)).end(version, (PID, 4), true);
        assert_eq!(told, format!("EndTxn {code} -1/-1"));
    }
}
