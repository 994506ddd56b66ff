//! Markers.

use super::*;

/// A committed transaction of three partitions, its markers on their way.
fn committed() -> Desk {
    let mut desk = Desk::of(second(State::Ongoing));
    desk.verify((PID, 5), &[("a", 1), ("b", 0)], true);
    let told = desk.end(5, (PID, 5), true);
    assert!(told.contains("markers commit t 100/6 v2 [a-0 a-1 b-0]"), "{told}");
    desk
}

#[test]
fn rule_35_every_partition_answers_before_it_is_complete() {
    let mut desk = committed();
    assert_eq!(desk.machine.next_deadline_ms(), None, "there is nothing to do but wait");
    assert_eq!(desk.written((PID, 6), ("a", 1), ErrorCode::None), "");
    assert_eq!(desk.written((PID, 6), ("a", 1), ErrorCode::None), "", "told twice");
    assert_eq!(desk.written((PID, 6), ("a", 0), ErrorCode::None), "");
    let done = desk.written((PID, 6), ("b", 0), ErrorCode::None);
    assert_eq!(done, "t: CompleteCommit 100/6 [] v2");
    assert_eq!(desk.written((PID, 6), ("b", 0), ErrorCode::None), "", "it is over");
}

#[test]
fn rule_35_what_failed_is_tried_again_until_it_is_written() {
    let mut desk = committed();
    for code in [
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::NotEnoughReplicas,
        ErrorCode::NotEnoughReplicasAfterAppend,
        ErrorCode::RequestTimedOut,
        ErrorCode::KafkaStorageError,
        ErrorCode::UnknownServerError,
    ] {
        assert_eq!(desk.written((PID, 6), ("a", 0), code), "");
        assert_eq!(desk.written((PID, 6), ("b", 0), code), "");
        let before_ms = desk.now_ms;
        assert_eq!(desk.ring(), "markers commit t 100/6 v2 [a-0 b-0]", "{code}");
        assert_eq!(desk.now_ms, before_ms + 50);
        assert_eq!(desk.machine.next_deadline_ms(), None);
    }
    desk.written((PID, 6), ("a", 0), ErrorCode::None);
    desk.written((PID, 6), ("b", 0), ErrorCode::RequestTimedOut);
    desk.written((PID, 6), ("a", 1), ErrorCode::None);
    assert_eq!(desk.ring(), "markers commit t 100/6 v2 [b-0]");
    let done = desk.written((PID, 6), ("b", 0), ErrorCode::None);
    assert_eq!(done, "t: CompleteCommit 100/6 [] v2");
}

#[test]
fn rule_35_what_can_never_be_written_counts_as_done() {
    for code in [
        ErrorCode::InvalidProducerEpoch,
        ErrorCode::UnsupportedForMessageFormat,
        ErrorCode::UnsupportedVersion,
    ] {
        let mut desk = committed();
        desk.written((PID, 6), ("a", 0), ErrorCode::None);
        desk.written((PID, 6), ("a", 1), ErrorCode::None);
        let done = desk.written((PID, 6), ("b", 0), code);
        assert_eq!(done, "t: CompleteCommit 100/6 [] v2", "{code}");
    }
}

#[test]
fn rule_35_a_marker_that_is_fenced_is_tried_again() {
    let mut desk = committed();
    desk.written((PID, 6), ("a", 0), ErrorCode::None);
    desk.written((PID, 6), ("a", 1), ErrorCode::None);
    let fenced = ErrorCode::TransactionCoordinatorFenced;
    assert_eq!(desk.written((PID, 6), ("b", 0), fenced), "");
    assert!(desk.machine.next_deadline_ms().is_some());
    assert_eq!(desk.init(5, None), "InitProducerId CONCURRENT_TRANSACTIONS -1/-1");
}

#[test]
fn a_partition_whose_topic_is_gone_needs_no_marker() {
    let mut desk = committed();
    desk.written((PID, 6), ("b", 0), ErrorCode::None);
    let topics = vec!["a".to_owned(), "c".to_owned()];
    let done = desk.step(Event::TopicsDeleted { topics });
    assert_eq!(done, "t: CompleteCommit 100/6 [] v2");
    // Nobody said so: the first time, its shard may not know of it yet.
    let mut desk = committed();
    desk.written((PID, 6), ("b", 0), ErrorCode::None);
    desk.written((PID, 6), ("a", 0), ErrorCode::None);
    let unknown = ErrorCode::UnknownTopicOrPartition;
    assert_eq!(desk.written((PID, 6), ("a", 1), unknown), "");
    assert_eq!(desk.ring(), "markers commit t 100/6 v2 [a-1]");
    assert_eq!(desk.written((PID, 6), ("a", 1), ErrorCode::RequestTimedOut), "");
    assert_eq!(desk.ring(), "markers commit t 100/6 v2 [a-1]");
    assert_eq!(desk.written((PID, 6), ("a", 1), unknown), "", "not twice in a row");
    assert_eq!(desk.ring(), "markers commit t 100/6 v2 [a-1]");
    let done = desk.written((PID, 6), ("a", 1), unknown);
    assert_eq!(done, "t: CompleteCommit 100/6 [] v2");
}

#[test]
fn markers_of_another_transaction_say_nothing() {
    let mut desk = committed();
    for claim in [(PID, 5), (PID, 7), (PID + 1, 6)] {
        for at in [("a", 0), ("a", 1), ("b", 0)] {
            assert_eq!(desk.written(claim, at, ErrorCode::None), "", "{claim:?}");
        }
    }
    // Nor do those of the coordinator before: the ones of this coordinator are still to come.
    for at in [("a", 0), ("a", 1), ("b", 0)] {
        assert_eq!(desk.written_by(6, (PID, 6), at, ErrorCode::None), "");
    }
    assert_eq!(desk.written((PID, 6), ("c", 0), ErrorCode::None), "");
    assert_eq!(Desk::new().written((PID, 6), ("a", 0), ErrorCode::None), "");
    assert_eq!(desk.init(5, None), "InitProducerId CONCURRENT_TRANSACTIONS -1/-1");
}

#[test]
fn rule_35_a_restart_sends_every_marker_again() {
    let first = Transaction { client_version: 0, ..at(State::PrepareAbort) };
    let cases = [
        (second(State::PrepareCommit), "markers commit t 100/5 v2 [a-0]"),
        (second(State::PrepareAbort), "markers abort t 100/5 v2 [a-0]"),
        (first, "markers abort t 100/5 v0 [a-0]"),
        (second(State::Ongoing), ""),
        (second(State::CompleteCommit), ""),
    ];
    for (transaction, expected) in cases {
        let mut desk = Desk::new();
        let record = record_of("t", &transaction);
        desk.log.push(record.clone());
        desk.machine.replay(record).expect("a state");
        let output = desk.machine.loaded(START_MS, 7);
        assert_eq!(desk.tell(output), expected, "{transaction:?}");
    }
    // One without partitions is complete as soon as time goes on.
    let nothing = Transaction { partitions: Default::default(), ..second(State::PrepareAbort) };
    assert_eq!(Desk::of(nothing).ring_now(), "t: CompleteAbort 100/5 [] v2");
}
