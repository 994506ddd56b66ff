//! A flow's states, one event at a time.

use ringlog_wire::Uuid;
use ringlog_wire::api::produce::{PartitionProduceResponse, ProduceResponse, TopicProduceResponse};
use ringlog_wire::api::produce::{ProduceRequest, RequestView};
use ringlog_wire::batch::{Batch, Compression};
use ringlog_wire::header::RequestHeader;
use ringlog_wire::message::Message;

use super::super::records::Recipe;
use super::*;
use crate::keys::Keys;

const VERSION: i16 = 13;
const MESSAGES: u64 = 3;

#[derive(Default)]
struct Seen {
    acknowledged: Vec<(i32, u64, i64)>,
    refused: Vec<ErrorCode>,
    messages: u64,
    bytes: u64,
}

impl Outcome for Seen {
    fn acknowledged(&mut self, batch: &Acknowledged, _intended: &Intended) {
        self.acknowledged.push((batch.partition, batch.first, batch.base_offset));
    }
    fn refused(&mut self, code: ErrorCode) {
        self.refused.push(code);
    }
    fn answered(&mut self, _intended: &Intended, messages: u64, bytes: u64) {
        self.messages += messages;
        self.bytes += bytes;
    }
}

/// A flow of requests to partitions 0 and 1 together.
fn flow(framing: Framing, idempotent: bool, answered: bool) -> Flow {
    let making = if idempotent { Making::Stamped } else { Making::Prebuilt };
    flow_of(framing, making, idempotent, answered)
}

fn flow_of(framing: Framing, making: Making, idempotent: bool, answered: bool) -> Flow {
    let clock = WallClock::start();
    let recipe = Recipe {
        message_bytes: 40,
        keys: Keys::Uniform(10),
        compression: Compression::None,
        clock,
    };
    let mut maker = Maker::new(recipe);
    let pattern = Pattern::new(maker.batch(&Order::plain(MESSAGES, Instant::now())));
    let batches = vec![(0, pattern.bytes().to_vec()), (1, pattern.bytes().to_vec())];
    let templates = Rc::new(vec![framing.frame(batches)]);
    let setup = Setup {
        framing,
        patterns: vec![pattern],
        batch_messages: MESSAGES,
        maker: RefCell::new(maker),
        making,
        verify: idempotent,
        answered,
        idempotent,
        transactional: false,
        clock,
    };
    let mut flow = Flow::new(Rc::new(setup), templates, 0, 4, 7);
    flow.identity = idempotent.then_some((500, 0));
    flow
}

fn kafka() -> Framing {
    named(None)
}

fn named(transactional_id: Option<String>) -> Framing {
    let (topic, topic_id) = ("t".into(), Uuid([1; 16]));
    Framing::Kafka { version: VERSION, acks: -1, timeout_ms: 0, topic, topic_id, transactional_id }
}

fn fill(flow: &mut Flow, requests: usize) {
    for _ in 0..requests {
        assert!(flow.can_fill());
        let now = Instant::now();
        assert_eq!(flow.fill(Intended::at(now), flow.next_messages(), now), 2 * MESSAGES);
    }
}

/// Writes all that is queued, `step` bytes at a time, and returns it.
fn write(flow: &mut Flow, step: usize, seen: &mut Seen) -> Vec<u8> {
    let mut all = Vec::new();
    while flow.has_queued() {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = flow.slices(&mut slices);
        let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
        let taken = step.min(bytes.len());
        all.extend_from_slice(&bytes[..taken]);
        flow.sent(taken, seen);
    }
    all
}

/// Of each request: its correlation id, and of each partition the first sequence of its batch.
fn requests(mut bytes: &[u8]) -> Vec<(i32, Vec<(i32, i32)>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let size = ringlog_wire::frame::frame_size(bytes, u32::MAX / 2).unwrap().unwrap();
        let (header, body) = RequestHeader::parse(&API, &bytes[4..size]).unwrap();
        ProduceRequest::read(VERSION, body).unwrap();
        let view = RequestView::parse(VERSION, body).unwrap();
        let mut parts = Vec::new();
        for partition in view.topics().flat_map(|topic| topic.partitions()) {
            let (batch, rest) = Batch::parse(partition.records.unwrap()).unwrap();
            batch.verify_crc().unwrap();
            assert!(rest.is_empty());
            parts.push((partition.index, batch.header().base_sequence));
        }
        found.push((header.correlation_id, parts));
        bytes = &bytes[size..];
    }
    found
}

fn answer(correlation_id: i32, codes: &[(i32, ErrorCode)]) -> Vec<u8> {
    let mut content = correlation_id.to_be_bytes().to_vec();
    content.push(0);
    let partition = |&(index, error_code): &(i32, ErrorCode)| PartitionProduceResponse {
        index,
        error_code,
        base_offset: 100,
        ..PartitionProduceResponse::default()
    };
    let topic = TopicProduceResponse {
        topic_id: Uuid([1; 16]),
        partition_responses: codes.iter().map(partition).collect(),
        ..TopicProduceResponse::default()
    };
    ProduceResponse { responses: vec![topic], ..ProduceResponse::default() }
        .write(VERSION, &mut content);
    content
}

const OK: ErrorCode = ErrorCode::None;
const MOVED: ErrorCode = ErrorCode::NotLeaderOrFollower;
const DISORDER: ErrorCode = ErrorCode::OutOfOrderSequenceNumber;

#[test]
fn requests_are_whole_however_they_are_written() {
    for step in [1, 5, 12, 13, 100, 10_000] {
        let (mut flow, mut seen) = (flow(kafka(), true, true), Seen::default());
        fill(&mut flow, 3);
        let bytes = write(&mut flow, step, &mut seen);
        let expected =
            [(1, vec![(0, 0), (1, 0)]), (2, vec![(0, 3), (1, 3)]), (3, vec![(0, 6), (1, 6)])];
        assert_eq!(requests(&bytes), expected, "step {step}");
    }
}

#[test]
fn answers_free_slots_in_order() {
    let (mut flow, mut seen) = (flow(kafka(), true, true), Seen::default());
    fill(&mut flow, 4);
    assert!(!flow.can_fill());
    write(&mut flow, 10_000, &mut seen);
    flow.answer(&answer(1, &[(1, OK), (0, OK)]), &mut seen).unwrap();
    assert_eq!(seen.acknowledged, [(1, 0, 100), (0, 0, 100)]);
    assert_eq!(seen.messages, 2 * MESSAGES);
    assert!(flow.can_fill());
    let error = flow.answer(&answer(3, &[(0, OK), (1, OK)]), &mut seen).unwrap_err();
    assert!(error.to_string().contains("expected the answer to request 2, found 3"), "{error}");
}

#[test]
fn what_was_refused_is_sent_again_in_order_with_its_sequences() {
    let (mut flow, mut seen) = (flow(kafka(), true, true), Seen::default());
    fill(&mut flow, 3);
    write(&mut flow, 10_000, &mut seen);
    flow.answer(&answer(1, &[(0, MOVED), (1, OK)]), &mut seen).unwrap();
    assert!(flow.is_failing() && !flow.is_quiet() && !flow.can_fill());
    flow.answer(&answer(2, &[(0, DISORDER), (1, OK)]), &mut seen).unwrap();
    flow.answer(&answer(3, &[(0, DISORDER), (1, MOVED)]), &mut seen).unwrap();
    assert_eq!(seen.refused, [MOVED, DISORDER, DISORDER, MOVED]);
    assert!(flow.is_quiet() && !flow.is_idle());
    assert_eq!(flow.unanswered(), 4 * MESSAGES);
    flow.resubmit();
    let bytes = write(&mut flow, 10_000, &mut seen);
    let expected = [(4, vec![(0, 0)]), (5, vec![(0, 3)]), (6, vec![(0, 6), (1, 6)])];
    assert_eq!(requests(&bytes), expected);
    flow.answer(&answer(4, &[(0, OK)]), &mut seen).unwrap();
    flow.answer(&answer(5, &[(0, OK)]), &mut seen).unwrap();
    flow.answer(&answer(6, &[(0, OK), (1, ErrorCode::DuplicateSequenceNumber)]), &mut seen)
        .unwrap();
    assert!(flow.is_idle() && flow.can_fill());
    assert_eq!((seen.messages, flow.retries), (6 * MESSAGES, 3));
    // A slot whose frame was cut down holds a whole request again.
    fill(&mut flow, 4);
    let bytes = write(&mut flow, 10_000, &mut seen);
    assert!(requests(&bytes).iter().all(|(_, parts)| parts.len() == 2));
}

#[test]
fn disorder_without_an_earlier_error_is_an_error() {
    let (mut flow, mut seen) = (flow(kafka(), true, true), Seen::default());
    fill(&mut flow, 1);
    write(&mut flow, 10_000, &mut seen);
    let error = flow.answer(&answer(1, &[(0, DISORDER), (1, OK)]), &mut seen).unwrap_err();
    assert!(error.to_string().contains("OUT_OF_ORDER_SEQUENCE_NUMBER"), "{error}");
}

#[test]
fn a_lost_connection_sends_all_again() {
    let (mut flow, mut seen) = (flow(kafka(), true, true), Seen::default());
    fill(&mut flow, 2);
    write(&mut flow, 10_000, &mut seen);
    flow.answer(&answer(1, &[(0, OK), (1, OK)]), &mut seen).unwrap();
    fill(&mut flow, 2);
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    assert_eq!(flow.slices(&mut slices), 4);
    flow.sent(20, &mut seen);
    flow.lost();
    assert!(flow.is_quiet() && !flow.can_fill());
    flow.resubmit();
    let bytes = write(&mut flow, 10_000, &mut seen);
    let expected =
        [(5, vec![(0, 3), (1, 3)]), (6, vec![(0, 6), (1, 6)]), (7, vec![(0, 9), (1, 9)])];
    assert_eq!(requests(&bytes), expected);
}

#[test]
fn without_acknowledgements_a_request_ends_when_it_is_written() {
    let (mut flow, mut seen) = (flow(kafka(), false, false), Seen::default());
    fill(&mut flow, 4);
    write(&mut flow, 7, &mut seen);
    assert!(flow.is_idle());
    assert_eq!(seen.messages, 8 * MESSAGES);
}

#[test]
fn the_bare_protocol_answers_with_the_correlation_id() {
    let (mut flow, mut seen) = (flow(Framing::Bare, false, true), Seen::default());
    fill(&mut flow, 2);
    let bytes = write(&mut flow, 10_000, &mut seen);
    assert_eq!(bytes[4..8], 1_i32.to_be_bytes());
    assert_eq!(bytes[bytes.len() / 2 + 4..][..4], 2_i32.to_be_bytes());
    flow.answer(&1_i32.to_be_bytes(), &mut seen).unwrap();
    assert_eq!(seen.messages, 2 * MESSAGES);
    assert!(flow.answer(&1_i32.to_be_bytes(), &mut seen).is_err());
}

#[test]
fn sequences_wrap_as_kafka_wraps_them() {
    assert_eq!(wrap(i32::MAX as u64), i32::MAX);
    assert_eq!(wrap(i32::MAX as u64 + 1), 0);
    assert_eq!(wrap(i32::MAX as u64 + 5), 4);
}

#[test]
fn fresh_requests_hold_as_many_messages_as_have_come() {
    for framing in [kafka(), Framing::Bare] {
        let (mut flow, mut seen) = (flow_of(framing, Making::Fresh, true, true), Seen::default());
        let now = Instant::now();
        let step = std::time::Duration::from_millis(1);
        for messages in [1, 5, 2, 6] {
            let intended = Intended { first: now, step, count: messages as u32 };
            assert_eq!(flow.fill(intended, messages, now), messages);
        }
        assert_eq!(flow.unanswered(), 14);
        let bytes = write(&mut flow, 33, &mut seen);
        if flow.setup.framing.head_bytes() == HEAD_BYTES_MAX {
            let parts: Vec<_> = requests(&bytes).into_iter().map(|(_, parts)| parts).collect();
            let firsts = |sequences: &[(i32, i32)]| sequences.to_vec();
            assert_eq!(parts[0], firsts(&[(1, 0)]));
            assert_eq!(parts[1], firsts(&[(1, 1), (0, 0)]));
            assert_eq!(parts[2], firsts(&[(0, 3), (1, 3)]));
            assert_eq!(parts[3], firsts(&[(1, 4), (0, 4)]));
            flow.answer(&answer(1, &[(1, OK)]), &mut seen).unwrap();
            assert_eq!((seen.messages, seen.acknowledged[0]), (1, (1, 0, 100)));
        } else {
            flow.answer(&1_i32.to_be_bytes(), &mut seen).unwrap();
            assert_eq!(seen.messages, 1);
        }
        assert_eq!(flow.unanswered(), 13);
        assert!(seen.bytes > 61 + 40, "{}", seen.bytes);
    }
}

#[test]
fn each_connection_signs_with_its_own_transactional_id() {
    let framing = named(Some("loadgen-00".into()));
    let (mut flow, mut seen) = (flow(framing, true, true), Seen::default());
    flow.transactional_id = Some("loadgen-17".into());
    fill(&mut flow, 1);
    let bytes = write(&mut flow, 10_000, &mut seen);
    let ids = |bytes: &[u8]| {
        let (_, body) = RequestHeader::parse(&API, &bytes[4..]).unwrap();
        RequestView::parse(VERSION, body).unwrap().transactional_id().map(str::to_owned)
    };
    assert_eq!(ids(&bytes), Some("loadgen-17".into()));
    // What is left of a refused request is signed too.
    flow.answer(&answer(1, &[(0, MOVED), (1, OK)]), &mut seen).unwrap();
    flow.resubmit();
    let bytes = write(&mut flow, 10_000, &mut seen);
    assert_eq!(ids(&bytes), Some("loadgen-17".into()));
    flow.answer(&answer(2, &[(0, OK)]), &mut seen).unwrap();
    // In a new epoch the broker counts from 0, the stamps go on.
    flow.begin_epoch(500, 1);
    fill(&mut flow, 1);
    let bytes = write(&mut flow, 10_000, &mut seen);
    assert_eq!(requests(&bytes), [(3, vec![(0, 0), (1, 0)])]);
    flow.answer(&answer(3, &[(0, OK), (1, OK)]), &mut seen).unwrap();
    assert_eq!(seen.acknowledged.last(), Some(&(1, MESSAGES, 100)));
}
