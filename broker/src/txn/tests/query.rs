//! DescribeTransactions and ListTransactions.

use std::sync::Arc;

use ringlog_wire::api::describe_transactions::{TopicData, TransactionState};

use super::super::{Filters, IdFilter, states_named};
use super::*;

fn describe(desk: &mut Desk, id: &str) -> TransactionState {
    let event = Event::Describe { to: TICKET, transactional_id: id.to_owned() };
    let output = desk.machine.step(desk.now_ms, event, &mut || None);
    assert!(output.records.is_empty());
    match &output.commands[..] {
        [Command::Reply { to: TICKET, response: Response::Describe(state) }] => state.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn rule_43_a_transaction_is_described() {
    let mut desk = Desk::of(second(State::Ongoing));
    desk.verify((PID, 5), &[("a", 4), ("b", 0)], true);
    let topic = |topic: &str, partitions: &[i32]| TopicData {
        topic: topic.to_owned(),
        partitions: partitions.to_vec(),
    };
    let ongoing = TransactionState {
        error_code: ErrorCode::None,
        transactional_id: "t".to_owned(),
        transaction_state: "Ongoing".to_owned(),
        transaction_timeout_ms: 60_000,
        transaction_start_time_ms: START_MS,
        producer_id: PID,
        producer_epoch: 5,
        topics: vec![topic("a", &[0, 4]), topic("b", &[0])],
    };
    assert_eq!(describe(&mut desk, "t"), ongoing);
    desk.end(5, (PID, 5), true);
    desk.written((PID, 6), ("a", 4), ErrorCode::None);
    let prepared = TransactionState {
        transaction_state: "PrepareCommit".to_owned(),
        producer_epoch: 6,
        topics: vec![topic("a", &[0]), topic("b", &[0])],
        ..ongoing
    };
    assert_eq!(describe(&mut desk, "t"), prepared, "what still needs a marker");
    for (id, code) in [("", ErrorCode::InvalidRequest), ("u", ErrorCode::TransactionalIdNotFound)] {
        let state = describe(&mut desk, id);
        assert_eq!((&*state.transactional_id, state.error_code), (id, code));
    }
}

#[test]
fn rule_43_transactions_are_listed_by_what_is_asked_for() {
    let mut desk = Desk::new();
    for (place, state) in ALL.into_iter().enumerate() {
        let producer_id = place as i64;
        desk.know(&format!("t{place}"), Transaction { producer_id, ..at(state) });
    }
    desk.now_ms += 500;
    let mut check = |filters: Filters, ids: &str| {
        let event = Event::List { to: TICKET, filters: Arc::new(filters.clone()) };
        let output = desk.machine.step(desk.now_ms, event, &mut || None);
        let [Command::Reply { to: TICKET, response: Response::List(listed) }] =
            &output.commands[..]
        else {
            panic!("{output:?}")
        };
        let found = listed.transaction_states.iter().map(|state| &*state.transactional_id);
        assert_eq!(found.collect::<Vec<_>>().join(" "), ids, "{filters:?}");
        assert_eq!(listed.unknown_state_filters, [""; 0], "told by who asks, once");
        assert_eq!(listed.error_code, ErrorCode::None);
        for state in &listed.transaction_states {
            let place = state.producer_id as usize;
            assert_eq!(state.transaction_state, ALL[place].name());
        }
    };
    let all = "t0 t1 t2 t3 t4 t5";
    let states =
        |names: &[&str]| states_named(names.iter().map(|&name| name.to_owned()).collect()).0;
    let none = Filters::default();
    check(none.clone(), all);
    check(Filters { states: states(&["Ongoing", "CompleteAbort"]), ..none.clone() }, "t1 t5");
    let strange = states(&["ongoing", "PrepareCommit", "X"]);
    check(Filters { states: strange, ..none.clone() }, "t2");
    check(Filters { states: states(&["X"]), ..none.clone() }, "");
    check(Filters { states: states(&["Dead", "PrepareEpochFence"]), ..none.clone() }, "");
    check(Filters { producer_ids: [4, 0, 77].into(), ..none.clone() }, "t0 t4");
    check(Filters { duration_ms: Some(-1), ..none.clone() }, all);
    check(Filters { duration_ms: Some(499), ..none.clone() }, all);
    // As Kafka has it: what has not begun is older than anything.
    check(Filters { duration_ms: Some(500), ..none.clone() }, "t0");
    let even = IdFilter(Arc::new(|id| id.ends_with(['0', '2', '4'])));
    let even = Filters { id: Some(even), producer_ids: [2, 3].into(), ..none };
    check(even, "t2");
}

#[test]
fn names_of_states_are_read_once_and_unknown_ones_told_once() {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(states_named(Vec::new()), (None, Vec::new()), "no filter");
    let asked = names(&["X", "ongoing", "Ongoing", "X", "Ongoing", "Empty"]);
    let states = [State::Ongoing, State::Empty].into();
    assert_eq!(states_named(asked), (Some(states), names(&["X", "ongoing"])));
    assert_eq!(states_named(names(&["X"])), (Some([].into()), names(&["X"])), "nothing passes");
}

#[test]
fn states_are_named_and_numbered_as_kafka_does_it() {
    for (id, state) in State::ALL.into_iter().enumerate() {
        assert_eq!(State::from_id(id as i8), Some(state));
        assert_eq!(State::from_name(state.name()), Some(state));
        assert_eq!(state.name(), format!("{state:?}"));
    }
    assert_eq!(State::from_id(8), None);
    assert_eq!(State::from_id(-1), None);
}
