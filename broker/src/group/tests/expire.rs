//! What goes by itself.

use super::*;

const RETENTION: i64 = 7 * 24 * 60 * 60 * 1_000;
const CHECK: i64 = 600_000;
const NONE: ErrorCode = ErrorCode::None;

fn commit_as(bench: &mut Bench, who: &JoinGroupResponse, topic: &str) {
    let request = OffsetCommitRequest {
        generation_id_or_member_epoch: who.generation_id,
        member_id: who.member_id.clone(),
        ..commits(topic, &[(0, 7)])
    };
    assert_eq!(bench.commit(8, request), [(0, NONE)]);
}

#[test]
fn offsets_of_nobody_expire_after_their_commit() {
    let mut bench = Bench::new();
    bench.commit(8, commits("a", &[(0, 7)]));
    bench.pass(RETENTION - CHECK);
    bench.commit(8, commits("a", &[(1, 8)]));
    bench.pass(2 * CHECK);
    assert_eq!(bench.fetch("a", &[0, 1], true), [(-1, NONE), (8, NONE)]);
    bench.pass(RETENTION + CHECK);
    assert_eq!((bench.groups.groups.len(), bench.groups.bytes()), (0, 0));
    bench.restart();
    assert_eq!((bench.groups.groups.len(), bench.groups.bytes()), (0, 0));
}

#[test]
fn up_to_version_4_a_commit_says_when_it_expires() {
    let mut bench = Bench::new();
    let request = OffsetCommitRequest { retention_time_ms: 1_000, ..commits("a", &[(0, 7)]) };
    bench.commit(4, request);
    bench.commit(4, commits("a", &[(1, 8)]));
    bench.restart();
    bench.pass(2 * CHECK);
    assert_eq!(bench.fetch("a", &[0, 1], true), [(-1, NONE), (8, NONE)]);
}

#[test]
fn offsets_of_a_group_that_is_empty_expire_after_it_became_so() {
    let mut bench = Bench::new();
    let members = bench.stable(1);
    commit_as(&mut bench, &members[0], "a");
    let mut left = RETENTION;
    while left > 0 {
        assert_eq!(bench.heartbeat(&members[0]), NONE);
        bench.pass(9_000);
        left -= 9_000;
    }
    bench.pass(i64::from(SESSION));
    assert_eq!(bench.state(), "Empty");
    bench.pass(RETENTION - CHECK);
    bench.restart();
    assert_eq!(bench.fetch("a", &[0], true), [(7, NONE)], "it counts from the group's end");
    bench.pass(3 * CHECK);
    assert!(bench.groups.groups.is_empty());
}

#[test]
fn in_a_stable_group_only_what_nobody_reads_expires() {
    let mut bench = Bench::new();
    bench.groups.config.offsets_retention_ms = 1_000;
    let members = bench.stable(1);
    commit_as(&mut bench, &members[0], "a");
    commit_as(&mut bench, &members[0], "b");
    for _ in 0..80 {
        bench.heartbeat(&members[0]);
        bench.pass(9_000);
    }
    assert_eq!(bench.fetch("a", &[0], true), [(7, NONE)]);
    assert_eq!(bench.fetch("b", &[0], true), [(-1, NONE)]);
    // While a group rebalances nothing expires.
    commit_as(&mut bench, &members[0], "b");
    bench.newcomer();
    bench.groups.sweep(bench.now_ms + 5_000, &mut Output::default());
    assert_eq!(bench.fetch("b", &[0], true), [(7, NONE)]);
}

#[test]
fn rule_40_what_an_open_transaction_has_does_not_expire() {
    let mut bench = Bench::new();
    bench.groups.config.offsets_retention_ms = 1_000;
    bench.commit(8, commits("a", &[(0, 7), (1, 7)]));
    let value = Committed { position: 9, offset: 8, ..committed() };
    bench.groups.offsets.commit(&Arc::from("g"), "a", 0, value, Some(1));
    bench.pass(2 * CHECK);
    assert_eq!(bench.fetch("a", &[0, 1], false), [(7, NONE), (-1, NONE)]);
    bench.step(Event::EndTransaction { producer_id: 1, producer_epoch: 0, committed: false });
    bench.pass(CHECK);
    assert!(bench.groups.groups.is_empty());
}

fn committed() -> Committed {
    Committed {
        position: 0,
        offset: 0,
        leader_epoch: -1,
        metadata: String::new(),
        commit_ms: 0,
        expire_ms: -1,
        topic_id: Uuid::ZERO,
    }
}

#[test]
fn offsets_of_deleted_topics_go_in_bounded_batches() {
    let mut bench = Bench::new();
    for group in 0..3_000 {
        let mut request = commits("a", &[(0, 1), (1, 2)]);
        request.topics.extend(commits("b", &[(0, 3)]).topics);
        request.group_id = format!("group {group:04}");
        assert_eq!(bench.commit(8, request).len(), 3);
    }
    bench.groups.config.batch_bytes_max = 20_000;
    let mut by_id = commits("", &[(0, 4)]);
    by_id.topics[0].topic_id = uuid(1);
    bench.commit(10, by_id);
    bench.step(Event::TopicsDeleted(vec![
        DeletedTopic { name: "a".to_owned(), id: uuid(77) },
        DeletedTopic { name: "nowhere".to_owned(), id: uuid(78) },
    ]));
    let before = bench.log.len();
    let mut batches = 0;
    while bench.groups.next_deadline_ms().is_some_and(|due_ms| due_ms <= bench.now_ms) {
        let out = bench.groups.timer(bench.now_ms, &bench.topics);
        assert!(records::fit(&out.records, 20_000));
        batches += 1;
        bench.take(out);
    }
    assert_eq!(bench.log.len() - before, 6_000);
    assert!(batches > 10, "{batches}");
    assert_eq!(bench.fetch("a", &[0], true), [(4, NONE)], "of another topic of that name");
}

/// A topic is deleted and made again, and the walk has not come to the group yet: what is
/// committed by name since is of the new one.
#[test]
fn what_was_committed_since_a_topic_was_deleted_is_of_another() {
    let mut bench = Bench::new();
    bench.commit(8, commits("a", &[(0, 7), (1, 7)]));
    let deleted = DeletedTopic { name: "a".to_owned(), id: uuid(1) };
    bench.step(Event::TopicsDeleted(vec![deleted]));
    bench.commit(8, commits("a", &[(0, 1)]));
    bench.pass(1);
    assert_eq!(bench.fetch("a", &[0, 1], true), [(1, NONE), (-1, NONE)]);
    bench.restart();
    assert_eq!(bench.fetch("a", &[0, 1], true), [(1, NONE), (-1, NONE)]);
}

#[test]
fn rule_40_what_a_transaction_has_for_the_topic_made_again_stays() {
    let mut bench = Bench::new();
    bench.commit(8, commits("a", &[(0, 7)]));
    let deleted = DeletedTopic { name: "a".to_owned(), id: uuid(1) };
    let old = Committed { position: bench.groups.position, offset: 8, ..committed() };
    bench.groups.offsets.commit(&Arc::from("g"), "a", 2, old, Some(1));
    bench.step(Event::TopicsDeleted(vec![deleted]));
    for at in [0, 1] {
        let new = Committed { position: bench.groups.position + 1, offset: 2, ..committed() };
        bench.groups.offsets.commit(&Arc::from("g"), "a", at, new, Some(1));
    }
    bench.pass(1);
    bench.step(Event::EndTransaction { producer_id: 1, producer_epoch: 0, committed: true });
    assert_eq!(bench.fetch("a", &[0, 1, 2], true), [(2, NONE), (2, NONE), (-1, NONE)]);
}

#[test]
fn a_group_that_is_empty_and_has_nothing_goes() {
    let mut bench = Bench::new();
    bench.stable(1);
    bench.pass(i64::from(SESSION));
    assert_eq!(bench.state(), "Empty");
    bench.pass(CHECK);
    assert!(bench.groups.groups.is_empty());
    assert_eq!(bench.groups.timers.count(), 1, "only the walk is left");
}
