//! A producer's transactions, one event at a time.

use ringlog_wire::api::Api;
use ringlog_wire::header::RequestHeader;

use super::*;

const EXPLICIT: Dialect = Dialect { add: 3, end: 3, is_implicit: false };
const IMPLICIT: Dialect = Dialect { add: 3, end: 5, is_implicit: true };

fn transactions(dialect: Dialect) -> Transactions {
    Transactions::new("id".into(), "t".into(), dialect, 2)
}

/// What is asked, as the API's name and its partitions.
fn asked(transactions: &mut Transactions) -> Option<(&'static str, Vec<i32>)> {
    let mut out = Vec::new();
    transactions.ask(7, 1, &mut out);
    let content = out.get(4..)?;
    let key = i16::from_be_bytes([content[0], content[1]]);
    let version = i16::from_be_bytes([content[2], content[3]]);
    let api: &Api = if key == add::API.key { &add::API } else { &end::API };
    let (_, body) = RequestHeader::parse(api, content).unwrap();
    if key == add::API.key {
        let request = add::AddPartitionsToTxnRequest::read(version, body).unwrap();
        assert_eq!(request.v3_and_below_transactional_id, "id");
        let topics = request.v3_and_below_topics;
        return Some((api.name, topics.into_iter().flat_map(|topic| topic.partitions).collect()));
    }
    let request = end::EndTxnRequest::read(version, body).unwrap();
    assert_eq!((request.producer_id, request.producer_epoch, request.committed), (7, 1, true));
    Some((api.name, Vec::new()))
}

fn content(correlation_id: i32, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut content = correlation_id.to_be_bytes().to_vec();
    content.push(0);
    write(&mut content);
    content
}

fn added(correlation_id: i32, codes: &[(i32, ErrorCode)]) -> Vec<u8> {
    let partition = |&(partition_index, partition_error_code): &(i32, ErrorCode)| {
        add::AddPartitionsToTxnPartitionResult { partition_index, partition_error_code }
    };
    let topic = add::AddPartitionsToTxnTopicResult {
        name: "t".into(),
        results_by_partition: codes.iter().map(partition).collect(),
    };
    let answer = add::AddPartitionsToTxnResponse {
        results_by_topic_v3_and_below: vec![topic],
        ..Default::default()
    };
    content(correlation_id, |out| answer.write(EXPLICIT.add, out))
}

fn ended(correlation_id: i32, version: i16, error_code: ErrorCode) -> Vec<u8> {
    let answer =
        end::EndTxnResponse { error_code, producer_id: 7, producer_epoch: 2, ..Default::default() };
    content(correlation_id, |out| answer.write(version, out))
}

const OK: ErrorCode = ErrorCode::None;

fn pair() -> impl Iterator<Item = i32> {
    [4, 5].into_iter()
}

#[test]
fn partitions_are_added_before_they_are_written_to_and_committed_after() {
    let mut one = transactions(EXPLICIT);
    assert!(!one.is_open() && !one.allows(pair()));
    one.wonder(true, false, pair());
    assert_eq!(asked(&mut one), Some(("AddPartitionsToTxn", vec![4, 5])));
    assert_eq!(asked(&mut one), None, "one thing at a time");
    assert_eq!(one.answer(&added(1, &[(4, OK), (5, OK)])).unwrap(), Answered::Added);
    for _ in 0..2 {
        assert!(one.allows(pair()));
        one.begun();
    }
    assert!(!one.allows(pair()), "two requests make a transaction");
    one.wonder(false, false, pair());
    assert_eq!(asked(&mut one), None, "not everything is acknowledged");
    one.wonder(true, false, pair());
    assert_eq!(asked(&mut one), Some(("EndTxn", vec![])));
    assert_eq!(one.answer(&ended(2, 3, OK)).unwrap(), Answered::Committed(None));
    assert!(!one.is_open());
    one.wonder(true, false, pair());
    assert!(asked(&mut one).is_some(), "the next transaction adds them anew");
}

#[test]
fn newer_brokers_need_no_adding_and_tell_the_next_epoch() {
    let mut one = transactions(IMPLICIT);
    one.wonder(true, false, pair());
    assert_eq!(asked(&mut one), None);
    assert!(one.allows(pair()));
    one.begun();
    one.wonder(true, false, pair());
    assert_eq!(asked(&mut one), None, "there is room for another request");
    one.wonder(true, true, pair());
    assert_eq!(asked(&mut one), Some(("EndTxn", vec![])), "a run's last one is committed early");
    assert_eq!(one.answer(&ended(1, 5, OK)).unwrap(), Answered::Committed(Some((7, 2))));
}

#[test]
fn errors_that_pass_are_asked_again_and_others_end_the_run() {
    let mut one = transactions(EXPLICIT);
    one.wonder(true, false, pair());
    asked(&mut one);
    let busy = ErrorCode::ConcurrentTransactions;
    let answer = added(1, &[(4, ErrorCode::OperationNotAttempted), (5, busy)]);
    assert_eq!(one.answer(&answer).unwrap(), Answered::Again(busy));
    assert!(asked(&mut one).is_some());
    one.lost();
    assert!(asked(&mut one).is_some(), "over another connection");
    let moved = ErrorCode::NotCoordinator;
    assert_eq!(one.answer(&added(3, &[(4, moved)])).unwrap(), Answered::Elsewhere(moved));
    asked(&mut one);
    let fenced = added(4, &[(4, ErrorCode::ProducerFenced), (5, busy)]);
    let error = one.answer(&fenced).unwrap_err().to_string();
    assert!(error.contains("AddPartitionsToTxn of id"), "{error}");
    assert!(error.contains("PRODUCER_FENCED"), "{error}");
    assert!(one.answer(&fenced).is_err(), "nothing was asked");
}
