//! AddPartitionsToTxn, AddOffsetsToTxn, Verify.

use std::time::{Duration, Instant};

use super::super::Refused;
use super::*;

#[test]
fn rule_33_partitions_are_added_by_request() {
    let begins = "t: Ongoing 100/5 [a-0] v0; AddPartitions a-0:NONE";
    let there = "AddPartitions a-0:NONE";
    let waits = "AddPartitions a-0:CONCURRENT_TRANSACTIONS";
    let table = [
        (State::Empty, begins),
        (State::Ongoing, there),
        (State::PrepareCommit, waits),
        (State::PrepareAbort, waits),
        (State::CompleteCommit, begins),
        (State::CompleteAbort, begins),
    ];
    check(&table, at, |desk| desk.add(3, (PID, 5), &[("a", 0)]));
    let more = "t: Ongoing 100/5 [a-0 a-1 b-7] v0; AddPartitions a-0:NONE a-1:NONE b-7:NONE";
    let wanted = [("b", 7), ("a", 1), ("a", 0), ("a", 1)];
    assert_eq!(Desk::of(at(State::Ongoing)).add(3, (PID, 5), &wanted), more);
}

#[test]
fn rule_33_who_is_not_the_producer_adds_nothing() {
    for state in ALL {
        for (claim, code) in [
            ((PID + 1, 5), "INVALID_PRODUCER_ID_MAPPING"),
            ((PID, 4), "PRODUCER_FENCED"),
            ((PID, 6), "PRODUCER_FENCED"),
        ] {
            let mut desk = Desk::of(at(state));
            let told = desk.add(3, claim, &[("a", 0)]);
            assert_eq!(told, format!("AddPartitions a-0:{code}"), "{state:?}");
            assert_eq!(desk.add_offsets(3, claim), format!("AddOffsets {code}"), "{state:?}");
            let told = desk.verify(claim, &[("a", 0)], true);
            assert_eq!(told, format!("Verify a-0:{code}"), "{state:?}");
            let told = desk.verify(claim, &[("a", 0)], false);
            assert_eq!(told, format!("Verify a-0:{code}"), "{state:?}");
        }
    }
    let told = Desk::new().add(3, (PID, 5), &[("a", 0)]);
    assert_eq!(told, "AddPartitions a-0:INVALID_PRODUCER_ID_MAPPING");
    let Event::AddPartitions { to, version, mut transaction, refused } =
        adding(3, (PID, 5), &[("a", 0)], false)
    else {
        unreachable!("it is one")
    };
    transaction.transactional_id.clear();
    let told = Desk::new().step(Event::AddPartitions { to, version, transaction, refused });
    assert_eq!(told, "AddPartitions a-0:INVALID_REQUEST");
}

#[test]
fn rule_33_a_leader_looks_whether_its_partition_was_added() {
    let absent = "Verify a-0:TRANSACTION_ABORTABLE a-1:TRANSACTION_ABORTABLE";
    let waits = "Verify a-0:CONCURRENT_TRANSACTIONS a-1:CONCURRENT_TRANSACTIONS";
    let table = [
        (State::Empty, absent),
        (State::Ongoing, "Verify a-0:NONE a-1:TRANSACTION_ABORTABLE"),
        (State::PrepareCommit, waits),
        (State::PrepareAbort, waits),
        (State::CompleteCommit, absent),
        (State::CompleteAbort, absent),
    ];
    check(&table, at, |desk| desk.verify((PID, 5), &[("a", 0), ("a", 1)], false));
    let by_request = |desk: &mut Desk| {
        let told = desk.step(adding(4, (PID, 5), &[("a", 0), ("a", 1)], true));
        told.replace("AddPartitions", "Verify")
    };
    check(&table, at, by_request);
}

#[test]
fn rule_34_a_leader_adds_its_partition() {
    let begins = "t: Ongoing 100/5 [a-0] v2; Verify a-0:NONE";
    let waits = "";
    let table = [
        (State::Empty, begins),
        (State::Ongoing, "Verify a-0:NONE"),
        (State::PrepareCommit, waits),
        (State::PrepareAbort, waits),
        (State::CompleteCommit, begins),
        (State::CompleteAbort, begins),
    ];
    check(&table, second, |desk| desk.verify((PID, 5), &[("a", 0)], true));
    let told = Desk::of(at(State::Empty)).add(4, (PID, 5), &[("a", 0)]);
    assert_eq!(told, "t: Ongoing 100/5 [a-0] v2; AddPartitions a-0:NONE");
}

#[test]
fn rule_34_a_leader_that_came_early_waits_for_the_markers() {
    let mut desk = Desk::of(second(State::Ongoing));
    desk.end(5, (PID, 5), true);
    assert_eq!(desk.verify((PID, 6), &[("b", 0), ("b", 1)], true), "");
    let told = desk.written((PID, 6), ("a", 0), ErrorCode::None);
    let goes_on = "t: CompleteCommit 100/6 [] v2; t: Ongoing 100/6 [b-0 b-1] v2; \
                   Verify b-0:NONE b-1:NONE";
    assert_eq!(told, goes_on);
    // It does not wait for ever.
    desk.end(5, (PID, 6), true);
    assert_eq!(desk.verify((PID, 7), &[("b", 0)], true), "");
    let before_ms = desk.now_ms;
    assert_eq!(desk.ring(), "Verify b-0:CONCURRENT_TRANSACTIONS");
    assert_eq!(desk.now_ms, before_ms + 100, "add.partitions.to.txn.retry.backoff.max.ms");
    // Who waits when the partition goes is handed back.
    desk.verify((PID, 7), &[("b", 0)], true);
    assert_eq!(desk.machine.unload(), [TICKET]);
    assert!(desk.machine.is_empty());
    assert_eq!(desk.machine.next_deadline_ms(), None);
}

#[test]
fn rule_34_the_new_id_waits_too() {
    let ongoing = Transaction { producer_epoch: i16::MAX - 1, ..second(State::Ongoing) };
    let mut desk = Desk::of(ongoing);
    let ends = desk.end(5, (PID, i16::MAX - 1), true);
    assert!(ends.ends_with("EndTxn NONE 200/0"), "{ends}");
    assert_eq!(desk.verify((200, 0), &[("b", 0)], true), "");
    let told = desk.written((PID, i16::MAX), ("a", 0), ErrorCode::None);
    let goes_on = "t: CompleteCommit 200/0 [] v2 before 100; t: Ongoing 200/0 [b-0] v2; \
                   Verify b-0:NONE";
    assert_eq!(told, goes_on);
}

#[test]
fn rule_37_one_bad_partition_and_none_is_added() {
    let mut desk = Desk::of(at(State::Empty));
    let Event::AddPartitions { to, version, transaction, .. } =
        adding(3, (PID, 5), &[("a", 0), ("a", 1), ("b", 0)], false)
    else {
        unreachable!("it is one")
    };
    let refused = Refused::from([
        ("a".to_owned(), [(1, ErrorCode::UnknownTopicOrPartition)].into()),
        ("b".to_owned(), [(0, ErrorCode::TopicAuthorizationFailed)].into()),
    ]);
    let told = desk.step(Event::AddPartitions { to, version, transaction, refused });
    let expected = "AddPartitions a-0:OPERATION_NOT_ATTEMPTED a-1:UNKNOWN_TOPIC_OR_PARTITION \
                    b-0:TOPIC_AUTHORIZATION_FAILED";
    assert_eq!(told, expected);
}

/// As many unknown partitions as a request may have, of a topic with the longest name: each is
/// found at once, and the name is not copied for each.
#[test]
#[allow(clippy::disallowed_methods, reason = "what takes minutes is told from what takes none")]
fn rule_37_many_bad_partitions_take_no_time() {
    let name = "a".repeat(i16::MAX as usize);
    let indexes = 0..crate::api::PARTITIONS_MAX as i32;
    let mut desk = Desk::of(at(State::Empty));
    let mut event = adding(3, (PID, 5), &[], false);
    let Event::AddPartitions { transaction, refused, .. } = &mut event else {
        unreachable!("it is one")
    };
    let partitions = indexes.clone().collect();
    transaction.topics = vec![AddPartitionsToTxnTopic { name: name.clone(), partitions }];
    let code = ErrorCode::UnknownTopicOrPartition;
    refused.insert(name, indexes.clone().map(|index| (index, code)).collect());
    let began = Instant::now();
    let output = desk.machine.step(desk.now_ms, event, &mut || None);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let [Command::Reply { response: Response::AddPartitions(told), .. }] = &output.commands[..]
    else {
        panic!("{output:?}")
    };
    let [topic] = &told.topic_results[..] else { panic!("one topic") };
    let told = topic
        .results_by_partition
        .iter()
        .map(|told| (told.partition_index, told.partition_error_code));
    assert!(told.eq(indexes.map(|index| (index, code))));
}

#[test]
fn rule_40_a_groups_offsets_are_a_partition_of_the_transaction() {
    let begins = "t: Ongoing 100/5 [__consumer_offsets-12] v0; AddOffsets NONE";
    let more = "t: Ongoing 100/5 [__consumer_offsets-12 a-0] v0; AddOffsets NONE";
    let waits = "AddOffsets CONCURRENT_TRANSACTIONS";
    let table = [
        (State::Empty, begins),
        (State::Ongoing, more),
        (State::PrepareCommit, waits),
        (State::PrepareAbort, waits),
        (State::CompleteCommit, begins),
        (State::CompleteAbort, begins),
    ];
    check(&table, at, |desk| desk.add_offsets(3, (PID, 5)));
    // They end like any other, by a marker: after a commit, an abort, a timeout.
    let all = "[__consumer_offsets-12 a-0]";
    let mut desk = Desk::of(at(State::Ongoing));
    desk.add_offsets(3, (PID, 5));
    assert!(desk.end(4, (PID, 5), true).contains(&format!("markers commit t 100/5 v0 {all}")));
    let mut desk = Desk::of(at(State::Ongoing));
    desk.add_offsets(3, (PID, 5));
    assert!(desk.end(4, (PID, 5), false).contains(&format!("markers abort t 100/5 v0 {all}")));
    let mut desk = Desk::of(at(State::Ongoing));
    desk.add_offsets(3, (PID, 5));
    assert!(desk.ring().contains(&format!("markers abort t 100/6 v2 {all}")));
}

#[test]
fn rule_42_old_clients_know_no_producer_fenced() {
    for (version, code) in [(1, "INVALID_PRODUCER_EPOCH"), (2, "PRODUCER_FENCED")] {
        let mut desk = Desk::of(at(State::Empty));
        let told = desk.add(version, (PID, 4), &[("a", 0)]);
        assert_eq!(told, format!("AddPartitions a-0:{code}"));
        assert_eq!(desk.add_offsets(version, (PID, 4)), format!("AddOffsets {code}"));
    }
}
