//! Timeouts and expiry.

use super::*;

#[test]
fn rule_42_a_transaction_that_is_not_ended_is_aborted() {
    let mut desk = Desk::of(second(State::Ongoing));
    let aborts = "t: PrepareAbort 100/6 [a-0] v2; markers abort t 100/6 v2 [a-0]";
    assert_eq!(desk.ring(), aborts);
    // At the first pass after the timeout: passes are every ten seconds.
    assert_eq!(desk.now_ms, START_MS + 70_000);
    // Its producer may go on (second version), with the epoch that the abort has made.
    assert_eq!(desk.end(5, (PID, 5), true), "EndTxn CONCURRENT_TRANSACTIONS -1/-1");
    desk.written((PID, 6), ("a", 0), ErrorCode::None);
    assert_eq!(desk.end(5, (PID, 5), true), "EndTxn INVALID_TXN_STATE -1/-1");
    assert_eq!(desk.end(5, (PID, 5), false), "EndTxn NONE 100/6");
    let goes_on = "t: Empty 100/6 [] v2; InitProducerId NONE 100/6";
    assert_eq!(desk.init(5, Some((PID, 5))), goes_on);
}

#[test]
fn rule_42_a_client_of_the_first_version_is_shut_out_by_the_timeout() {
    for (transaction_version, version) in [(2, 2), (1, 0), (0, 0)] {
        let config = TxnConfig { transaction_version, ..TxnConfig::default() };
        let mut desk = Desk::with(config);
        desk.know("t", at(State::Ongoing));
        let aborts = format!(
            "t: PrepareAbort 100/6 [a-0] v{version}; markers abort t 100/6 v{version} [a-0]"
        );
        assert_eq!(desk.ring(), aborts);
        assert_eq!(desk.end(4, (PID, 5), true), "EndTxn PRODUCER_FENCED -1/-1");
        assert_eq!(desk.add(3, (PID, 5), &[("a", 0)]), "AddPartitions a-0:PRODUCER_FENCED");
    }
}

#[test]
fn rule_42_the_timeout_counts_from_the_first_partition() {
    let mut desk = Desk::of(at(State::Empty));
    desk.now_ms += 30_000;
    desk.add(3, (PID, 5), &[("a", 0)]);
    desk.now_ms += 30_000;
    desk.add(3, (PID, 5), &[("a", 1)]);
    assert_eq!(desk.machine.next_deadline_ms(), Some(START_MS + 100_000));
    // At its very end it may still be committed.
    desk.now_ms = START_MS + 99_999;
    assert_eq!(desk.ring_now(), "");
    assert!(desk.end(4, (PID, 5), true).ends_with("EndTxn NONE -1/-1"));
}

#[test]
fn rule_42_an_abort_without_a_producer_id_at_hand_is_tried_again() {
    let last = i16::MAX - 1;
    let mut desk = Desk::of(Transaction { producer_epoch: last, ..second(State::Ongoing) });
    desk.ids.clear();
    assert_eq!(desk.ring(), "");
    let before_ms = desk.now_ms;
    assert_eq!(desk.machine.next_deadline_ms(), Some(before_ms + 100));
    desk.ids.push(200);
    let aborts = "t: PrepareAbort 100/32767 [a-0] v2 next 200; markers abort t 100/32767 v2 [a-0]";
    assert_eq!(desk.ring(), aborts);
}

#[test]
fn rule_42_the_very_last_epoch_is_not_passed() {
    let mut desk = Desk::with(TxnConfig { transaction_version: 0, ..TxnConfig::default() });
    desk.know("t", Transaction { producer_epoch: i16::MAX, ..at(State::Ongoing) });
    let aborts = "t: PrepareAbort 100/32767 [a-0] v0; markers abort t 100/32767 v0 [a-0]";
    assert_eq!(desk.ring(), aborts);
}

#[test]
fn rule_42_an_idle_id_is_forgotten() {
    const WEEK_MS: i64 = 7 * 24 * 3_600_000;
    for state in [State::Empty, State::CompleteCommit, State::CompleteAbort] {
        let mut desk = Desk::of(at(state));
        // Passes are every hour.
        let hour_ms = 3_600_000;
        let due_ms = (START_MS + WEEK_MS + hour_ms - 1) / hour_ms * hour_ms;
        desk.now_ms = due_ms - 1;
        assert_eq!(desk.ring_now(), "", "{state:?}");
        assert_eq!(desk.ring(), "t: gone", "{state:?}");
        assert_eq!(desk.now_ms, due_ms);
        assert!(desk.machine.is_empty());
        assert_eq!(desk.machine.next_deadline_ms(), None);
        let unknown = "EndTxn INVALID_PRODUCER_ID_MAPPING -1/-1";
        assert_eq!(desk.end(4, (PID, 5), true), unknown);
        assert_eq!(desk.init(5, None), "t: Empty 200/0 [] v0; InitProducerId NONE 200/0");
    }
    for state in [State::PrepareCommit, State::PrepareAbort] {
        assert_eq!(Desk::of(at(state)).machine.next_deadline_ms(), None, "{state:?}");
    }
}

#[test]
fn times_that_cannot_be_are_survived() {
    for at_ms in [i64::MIN, i64::MAX] {
        for state in ALL {
            let strange = Transaction { start_ms: at_ms, update_ms: at_ms, ..at(state) };
            let mut desk = Desk::of(strange);
            desk.ring_now();
            desk.init(5, None);
        }
    }
}

#[test]
fn a_pass_is_bounded_and_the_next_one_follows_at_once() {
    let mut desk = Desk::new();
    for at_id in 0..3000 {
        desk.machine.replay(record_of(&format!("t{at_id}"), &at(State::Ongoing))).expect("a state");
    }
    desk.machine.loaded(START_MS, 7);
    desk.now_ms += 1_000_000;
    let mut aborted = 0;
    while desk.machine.next_deadline_ms().is_some_and(|due_ms| due_ms <= desk.now_ms) {
        let output = desk.machine.timer(desk.now_ms, &mut || None);
        let records = output.records.len();
        assert!((1..=super::super::config::TIMER_IDS_MAX).contains(&records));
        aborted += records;
    }
    assert_eq!(aborted, 3000);
}
