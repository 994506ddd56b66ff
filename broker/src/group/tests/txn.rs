//! Offsets in transactions: rules 40 and 41.

use ringlog_wire::api::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};

use super::*;

const UNSTABLE: (i64, ErrorCode) = (-1, ErrorCode::UnstableOffsetCommit);

fn request(producer_id: i64, partitions: &[(i32, i64)]) -> TxnOffsetCommitRequest {
    let partition = |(at, offset): &(i32, i64)| TxnOffsetCommitRequestPartition {
        partition_index: *at,
        committed_offset: *offset,
        ..Default::default()
    };
    let partitions = partitions.iter().map(partition).collect();
    let topic =
        TxnOffsetCommitRequestTopic { name: "a".to_owned(), partitions, ..Default::default() };
    TxnOffsetCommitRequest {
        transactional_id: "t".to_owned(),
        group_id: "g".to_owned(),
        producer_id,
        topics: vec![topic],
        ..Default::default()
    }
}

fn commit(bench: &mut Bench, version: i16, request: TxnOffsetCommitRequest) -> Vec<ErrorCode> {
    let to = bench.ticket();
    bench.step(Event::TxnCommit { to, version, request });
    match bench.answers.remove(&to) {
        Some(Response::TxnCommit(told)) => {
            let partitions = told.topics.into_iter().flat_map(|topic| topic.partitions);
            partitions.map(|told| told.error_code).collect()
        }
        other => panic!("a commit is answered at once, not {other:?}"),
    }
}

fn end(bench: &mut Bench, producer_id: i64, committed: bool) {
    bench.step(Event::EndTransaction { producer_id, producer_epoch: 0, committed });
}

fn both_ways(bench: &mut Bench, expected: &[(i64, ErrorCode)], stable: &[(i64, ErrorCode)]) {
    for _ in 0..2 {
        assert_eq!(bench.fetch("a", &[0, 1], false), expected);
        assert_eq!(bench.fetch("a", &[0, 1], true), stable);
        bench.restart();
    }
}

#[test]
fn rule_40_offsets_in_a_transaction_hold_when_it_commits() {
    let none = |offset: i64| (offset, ErrorCode::None);
    for committed in [true, false] {
        let mut bench = Bench::new();
        bench.commit(8, commits("a", &[(0, 5)]));
        assert_eq!(commit(&mut bench, 3, request(1, &[(0, 6), (1, 7)])), [ErrorCode::None; 2]);
        both_ways(&mut bench, &[none(5), none(-1)], &[UNSTABLE, UNSTABLE]);
        end(&mut bench, 2, true);
        both_ways(&mut bench, &[none(5), none(-1)], &[UNSTABLE, UNSTABLE]);
        end(&mut bench, 1, committed);
        let expected = if committed { [none(6), none(7)] } else { [none(5), none(-1)] };
        both_ways(&mut bench, &expected, &expected);
    }
}

#[test]
fn rule_40_what_stands_later_in_the_log_holds() {
    let none = |offset: i64| (offset, ErrorCode::None);
    // A commit outside of the transaction after the transaction's, and before the marker.
    let mut bench = Bench::new();
    commit(&mut bench, 3, request(1, &[(0, 6)]));
    commit(&mut bench, 3, request(2, &[(0, 7), (1, 7)]));
    bench.commit(8, commits("a", &[(0, 8)]));
    commit(&mut bench, 3, request(3, &[(1, 9)]));
    end(&mut bench, 3, true);
    both_ways(&mut bench, &[none(8), none(9)], &[UNSTABLE, UNSTABLE]);
    end(&mut bench, 2, true);
    both_ways(&mut bench, &[none(8), none(9)], &[UNSTABLE, none(9)]);
    end(&mut bench, 1, true);
    both_ways(&mut bench, &[none(8), none(9)], &[none(8), none(9)]);
}

#[test]
fn rule_41_who_may_not_commit_is_told_why() {
    use ErrorCode::*;
    // (state, generation, member, instance) -> code
    let table: &[(&str, i32, &str, Option<&str>, ErrorCode)] = &[
        ("none", -1, "", Option::None, None),
        ("none", 0, "m", Option::None, IllegalGeneration),
        ("Stable", -1, "", Option::None, None),
        ("Stable", 1, "m", Option::None, None),
        ("Stable", 2, "m", Option::None, IllegalGeneration),
        ("Stable", 1, "who", Option::None, UnknownMemberId),
        ("Stable", 1, "who", Some("i"), FencedInstanceId),
        ("Stable", 1, "m", Some("j"), UnknownMemberId),
        ("CompletingRebalance", 2, "m", Option::None, None),
    ];
    for (row, (state, generation, member, instance, code)) in table.iter().enumerate() {
        let mut bench = Bench::new();
        let mut known = String::new();
        if *state != "none" {
            let ticket = bench.join(asks("").instance("i"));
            bench.pass(3_000);
            let told = bench.joined(ticket);
            let part = bench.sync(&told, &[]);
            bench.synced(part);
            known = told.member_id;
        }
        if *state == "CompletingRebalance" {
            bench.join(asks(&known));
            assert_eq!(bench.state(), *state);
        }
        let asked = TxnOffsetCommitRequest {
            generation_id_or_member_epoch: *generation,
            member_id: if *member == "m" { known } else { (*member).to_owned() },
            group_instance_id: instance.map(str::to_owned),
            ..request(1, &[(0, 7)])
        };
        assert_eq!(commit(&mut bench, 3, asked), [*code], "row {row}");
        assert_eq!(bench.groups.offsets.is_open("g", "a", 0), code.is_none(), "row {row}");
    }
    let mut bench = Bench::new();
    let nobody = TxnOffsetCommitRequest { group_id: String::new(), ..request(1, &[(0, 7)]) };
    assert_eq!(commit(&mut bench, 3, nobody), [InvalidGroupId]);
    assert_eq!(commit(&mut bench, 3, request(1, &[(9, 7)])), [UnknownTopicOrPartition]);
}

#[test]
fn rule_41_version_6_names_topics_by_their_ids() {
    let mut bench = Bench::new();
    let mut asked = request(1, &[(0, 7)]);
    asked.topics[0].topic_id = uuid(1);
    asked.topics[0].name.clear();
    asked.topics.push(TxnOffsetCommitRequestTopic { topic_id: uuid(9), ..asked.topics[0].clone() });
    let told = commit(&mut bench, 6, asked);
    assert_eq!(told, [ErrorCode::UnknownTopicId, ErrorCode::None]);
    end(&mut bench, 1, true);
    assert_eq!(bench.fetch("a", &[0], true), [(7, ErrorCode::None)]);
}

#[test]
fn what_is_deleted_takes_its_open_transactions_along() {
    let mut bench = Bench::new();
    commit(&mut bench, 3, request(1, &[(0, 6), (1, 6)]));
    let to = bench.ticket();
    bench.step(Event::Delete { to, group_id: "g".to_owned() });
    assert_eq!(bench.groups.bytes(), 0);
    end(&mut bench, 1, true);
    assert_eq!(bench.fetch("a", &[0], true), [(-1, ErrorCode::None)]);
    bench.restart();
    assert_eq!(bench.groups.bytes(), 0);
}
