//! The requests of one connection: filled, queued, sent, answered, and sent again when that helps.
//!
//! Invariants:
//! * A slot is free, or queued to be written, or awaits its answer, or waits to be sent again.
//!   Answers come in the order of the requests, so the first slot that awaits one gets it.
//! * After a retriable error nothing new is filled until every answer under way is in; then all
//!   that is left is sent again in the order in which it was filled. With an idempotent producer
//!   the sequences stay as they were, so nothing is lost, repeated or reordered.
//! * A partition's sequence counts its messages from 0, over all reconnections. The broker is told
//!   it less what it was when the producer's epoch began.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::Rc;
use std::time::Instant;

use ringlog_wire::ErrorCode;
use ringlog_wire::api::produce::{API, PartitionResultView, ResponseView};
use ringlog_wire::header;

use super::frames::{BatchStamp, Frame, Framing, HEAD_BYTES_MAX, Part, Pattern};
use super::records::{Maker, Order};
use crate::ack_log::Acknowledged;
use crate::client::SLICES_MAX;
use crate::error::Error;
use crate::meter::{Intended, WallClock};
use crate::payload::Stamp;

/// What all connections of a run share and nobody changes.
#[derive(Debug)]
pub struct Setup {
    /// How requests are framed.
    pub framing: Framing,
    /// The batches that the templates are made of.
    pub patterns: Vec<Pattern>,
    /// Messages in each full batch.
    pub batch_messages: u64,
    /// Makes the batches of requests that are not prebuilt.
    pub maker: RefCell<Maker>,
    /// How requests differ from the prebuilt ones.
    pub making: Making,
    /// Whether messages carry stamps.
    pub verify: bool,
    /// Whether the broker answers.
    pub answered: bool,
    /// Whether retries are told apart from new batches by their sequences.
    pub idempotent: bool,
    /// Whether requests belong to transactions.
    pub transactional: bool,
    /// The clock of the stamps.
    pub clock: WallClock,
}

/// How requests differ from the prebuilt ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Making {
    /// Not at all.
    Prebuilt,
    /// They are copies with other headers, or other stamps.
    Stamped,
    /// Their batches are made anew.
    Fresh,
}

/// What the engine does with the end of a request.
pub trait Outcome {
    /// A partition's batch is where the broker says.
    fn acknowledged(&mut self, batch: &Acknowledged, intended: &Intended);
    /// A partition's batch was not taken (this time).
    fn refused(&mut self, code: ErrorCode);
    /// A request was answered; so many of its messages were taken.
    fn answered(&mut self, intended: &Intended, messages: u64, bytes: u64);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    UnderWay,
    Waiting,
}

#[derive(Debug)]
struct SlotPart {
    partition: i32,
    first: u64,
    messages: u64,
    intended: Intended,
    done: bool,
}

/// A request that is under way, or could be.
#[derive(Debug)]
struct Slot {
    state: State,
    head: [u8; HEAD_BYTES_MAX],
    correlation_id: i32,
    template: usize,
    /// The frame, when it is not the template's own: stamped, or what is left of a request.
    own: Option<Frame>,
    parts: Vec<SlotPart>,
    /// Bytes of its batches.
    bytes: u64,
    order: u64,
    intended: Intended,
    filled: Instant,
}

/// The requests of one connection.
#[derive(Debug)]
pub struct Flow {
    setup: Rc<Setup>,
    templates: Rc<Vec<Frame>>,
    next_template: usize,
    slots: Vec<Slot>,
    free: Vec<usize>,
    queue: VecDeque<usize>,
    /// Bytes of the first queued request that are written already.
    written: usize,
    answers: VecDeque<usize>,
    order: u64,
    correlation_id: i32,
    sequences: Vec<u64>,
    /// The sequences when the producer's epoch began.
    bases: Vec<u64>,
    producer: u64,
    /// Id and epoch of the idempotent producer.
    pub identity: Option<(i64, i16)>,
    /// As long as the one in the templates.
    pub transactional_id: Option<String>,
    failing: bool,
    /// Requests sent again.
    pub retries: u64,
}

impl Flow {
    /// `templates` are sent in rotation, beginning with `first_template`; `producer` marks stamps.
    pub fn new(
        setup: Rc<Setup>,
        templates: Rc<Vec<Frame>>,
        first_template: usize,
        inflight: usize,
        producer: u64,
    ) -> Flow {
        assert!(!templates.is_empty(), "a connection has partitions");
        let now = Instant::now();
        let slot = |_| Slot {
            state: State::Free,
            head: [0; HEAD_BYTES_MAX],
            correlation_id: 0,
            template: 0,
            own: None,
            parts: Vec::new(),
            bytes: 0,
            order: 0,
            intended: Intended::at(now),
            filled: now,
        };
        let partitions = templates.iter().flat_map(|template| &template.parts);
        let count = partitions.map(|part| part.partition as usize + 1).max().unwrap_or(0);
        Flow {
            next_template: first_template % templates.len(),
            slots: (0..inflight).map(slot).collect(),
            free: (0..inflight).rev().collect(),
            queue: VecDeque::with_capacity(inflight),
            written: 0,
            answers: VecDeque::with_capacity(inflight),
            order: 0,
            correlation_id: 0,
            sequences: vec![0; count],
            bases: vec![0; count],
            producer,
            identity: None,
            transactional_id: None,
            failing: false,
            retries: 0,
            setup,
            templates,
        }
    }

    /// Whether a new request may be filled.
    pub fn can_fill(&self) -> bool {
        !self.failing && !self.free.is_empty()
    }

    /// Whether every request has been answered.
    pub fn is_idle(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    /// Whether an error was answered and requests wait to be sent again.
    pub fn is_failing(&self) -> bool {
        self.failing
    }

    /// Whether nothing is queued and no answer is awaited.
    pub fn is_quiet(&self) -> bool {
        self.queue.is_empty() && self.answers.is_empty()
    }

    /// Whether there is something to write.
    pub fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Requests filled so far.
    pub fn begun(&self) -> u64 {
        self.order
    }

    /// When the oldest unanswered request was filled.
    pub fn oldest(&self) -> Option<Instant> {
        let busy = self.slots.iter().filter(|slot| slot.state != State::Free);
        busy.map(|slot| slot.filled).min()
    }

    /// Messages that are not acknowledged yet.
    pub fn unanswered(&self) -> u64 {
        let busy = self.slots.iter().filter(|slot| slot.state != State::Free);
        let parts = busy.flat_map(|slot| &slot.parts).filter(|part| !part.done);
        parts.map(|part| part.messages).sum()
    }

    /// How many messages the next request holds at most.
    pub fn next_messages(&self) -> u64 {
        self.templates[self.next_template].parts.len() as u64 * self.setup.batch_messages
    }

    /// The partitions of the next request.
    pub fn next_partitions(&self) -> impl Iterator<Item = i32> {
        self.templates[self.next_template].parts.iter().map(|part| part.partition)
    }

    /// The producer goes on in another epoch, in which its sequences begin at 0 again.
    pub fn begin_epoch(&mut self, id: i64, epoch: i16) {
        assert!(self.is_idle(), "what is under way belongs to the epoch before");
        if self.identity != Some((id, epoch)) {
            self.identity = Some((id, epoch));
            self.bases.copy_from_slice(&self.sequences);
        }
    }

    /// Fills the next request and queues it; returns how many messages it holds. Only fresh
    /// requests can hold fewer `messages` than there is room for.
    pub fn fill(&mut self, intended: Intended, messages: u64, now: Instant) -> u64 {
        assert!(!self.failing, "nothing new while something waits to be sent again");
        let fresh = self.setup.making == Making::Fresh;
        assert!(fresh || messages == self.next_messages(), "prebuilt requests are full");
        assert!((1..=self.next_messages()).contains(&messages), "they fit and there are some");
        let at = self.free.pop().expect("the caller has asked whether a slot is free");
        let template = self.next_template;
        self.next_template = (template + 1) % self.templates.len();
        let slot = &mut self.slots[at];
        slot.parts.clear();
        let parts = &self.templates[template].parts;
        let mut begun = 0;
        // Fresh requests may have fewer messages than partitions: others have none each time.
        let shift = if fresh { self.order as usize } else { 0 };
        for place in 0..parts.len() {
            let part = &parts[(place + shift) % parts.len()];
            let end = messages * (place as u64 + 1) / parts.len() as u64;
            let share = end - begun;
            if share == 0 {
                continue;
            }
            let first = &mut self.sequences[part.partition as usize];
            let intended = intended.part(begun as u32, share as u32);
            let partition = part.partition;
            slot.parts.push(SlotPart {
                partition,
                first: *first,
                messages: share,
                intended,
                done: false,
            });
            *first += share;
            begun = end;
        }
        (slot.intended, slot.filled) = (intended, now);
        slot.order = self.order;
        self.order += 1;
        self.build(at, template);
        self.submit(at);
        messages
    }

    /// Gives a slot the frame of its parts.
    fn build(&mut self, at: usize, template: usize) {
        match self.setup.making {
            Making::Prebuilt => self.slots[at].own = None,
            Making::Stamped => {
                self.copy(at, template);
                self.stamp(at);
            }
            Making::Fresh => self.make(at),
        }
        let slot = &mut self.slots[at];
        slot.template = template;
        let frame = slot.own.as_ref().unwrap_or(&self.templates[template]);
        slot.bytes = frame.parts.iter().map(|part| part.range.len() as u64).sum();
        self.sign(at);
    }

    /// Copies the template, unless the slot has a copy of it already.
    fn copy(&mut self, at: usize, template: usize) {
        let slot = &mut self.slots[at];
        let source = &self.templates[template];
        match &mut slot.own {
            Some(own) if slot.template == template && own.parts.len() == source.parts.len() => {}
            Some(own) => {
                own.bytes.clone_from(&source.bytes);
                own.parts.clone_from(&source.parts);
                own.transactional_id.clone_from(&source.transactional_id);
            }
            None => slot.own = Some(source.clone()),
        }
    }

    fn stamp(&mut self, at: usize) {
        let Slot { own, parts, .. } = &mut self.slots[at];
        let own = own.as_mut().expect("a stamped request has its own frame");
        for (part, place) in parts.iter().zip(&own.parts) {
            let timestamp_ns = self.setup.clock.nanos(part.intended.first);
            let base = self.bases[part.partition as usize];
            let stamp = BatchStamp {
                timestamp_ms: (timestamp_ns / 1_000_000) as i64,
                producer: self.identity.map(|(id, epoch)| (id, epoch, wrap(part.first - base))),
                messages: self.setup.verify.then_some(Stamp {
                    producer: self.producer,
                    sequence: part.first,
                    timestamp_ns,
                    partition: part.partition as u32,
                }),
            };
            let pattern = &self.setup.patterns[place.pattern];
            pattern.stamp(&mut own.bytes[place.range.clone()], &stamp);
        }
    }

    fn make(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        let mut maker = self.setup.maker.borrow_mut();
        let batch = |part: &SlotPart| {
            let base = self.bases[part.partition as usize];
            let batch = maker.batch(&Order {
                messages: part.messages,
                intended: part.intended,
                producer: self.identity.map(|(id, epoch)| (id, epoch, wrap(part.first - base))),
                transactional: self.setup.transactional,
                stamp: self.setup.verify.then_some(Stamp {
                    producer: self.producer,
                    sequence: part.first,
                    timestamp_ns: 0,
                    partition: part.partition as u32,
                }),
            });
            (part.partition, batch)
        };
        let batches = slot.parts.iter().map(batch).collect();
        slot.own = Some(self.setup.framing.frame(batches));
    }

    /// Puts this connection's transactional id into a frame of its own.
    fn sign(&mut self, at: usize) {
        if let Some(id) = &self.transactional_id
            && let Some(own) = &mut self.slots[at].own
            && let Some(range) = own.transactional_id.clone()
        {
            own.bytes[range].copy_from_slice(id.as_bytes());
        }
    }

    /// Queues a filled slot under a new correlation id.
    fn submit(&mut self, at: usize) {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let head_bytes = self.setup.framing.head_bytes();
        let slot = &mut self.slots[at];
        let frame = slot.own.as_ref().unwrap_or(&self.templates[slot.template]);
        slot.head[..head_bytes].copy_from_slice(&frame.bytes[..head_bytes]);
        slot.head[head_bytes - size_of::<i32>()..head_bytes]
            .copy_from_slice(&self.correlation_id.to_be_bytes());
        slot.correlation_id = self.correlation_id;
        slot.state = State::UnderWay;
        self.queue.push_back(at);
    }

    /// What to write next, as far as one call takes it; returns how many slices.
    pub fn slices<'a>(&'a self, out: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let head_bytes = self.setup.framing.head_bytes();
        let mut count = 0;
        let mut skip = self.written;
        for &at in self.queue.iter().take(SLICES_MAX / 2) {
            let slot = &self.slots[at];
            let frame = slot.own.as_ref().unwrap_or(&self.templates[slot.template]);
            if skip < head_bytes {
                out[count] = IoSlice::new(&slot.head[skip..head_bytes]);
                out[count + 1] = IoSlice::new(&frame.bytes[head_bytes..]);
                count += 2;
            } else {
                out[count] = IoSlice::new(&frame.bytes[skip..]);
                count += 1;
            }
            skip = 0;
        }
        count
    }

    /// So many bytes were written.
    pub fn sent(&mut self, bytes: usize, outcome: &mut impl Outcome) {
        self.written += bytes;
        while let Some(&at) = self.queue.front() {
            let slot = &self.slots[at];
            let size = slot.own.as_ref().unwrap_or(&self.templates[slot.template]).bytes.len();
            if self.written < size {
                break;
            }
            self.written -= size;
            self.queue.pop_front();
            if self.setup.answered {
                self.answers.push_back(at);
            } else {
                self.complete(at, outcome);
            }
        }
    }

    /// One frame arrived, without its size.
    pub fn answer(&mut self, content: &[u8], outcome: &mut impl Outcome) -> Result<(), Error> {
        let Some(at) = self.answers.pop_front() else {
            return Err(Error::protocol("an answer that nothing was asked for"));
        };
        let setup = Rc::clone(&self.setup);
        let expected = self.slots[at].correlation_id;
        match setup.framing {
            Framing::Bare => {
                if content != expected.to_be_bytes() {
                    return Err(Error::protocol(format!(
                        "expected the correlation id {expected} alone, found {content:?}"
                    )));
                }
                self.slots[at].parts.iter_mut().for_each(|part| part.done = true);
                self.complete(at, outcome);
                Ok(())
            }
            Framing::Kafka { version, .. } => {
                let (found, body) = header::parse_response(&API, version, content)
                    .map_err(|error| Error::protocol(format!("Produce v{version}: {error}")))?;
                if found != expected {
                    return Err(Error::protocol(format!(
                        "Produce v{version}: expected the answer to request {expected}, \
                         found {found}"
                    )));
                }
                self.results(at, version, body, outcome)
            }
        }
    }

    fn results(
        &mut self,
        at: usize,
        version: i16,
        body: &[u8],
        outcome: &mut impl Outcome,
    ) -> Result<(), Error> {
        let unreadable = |error| Error::protocol(format!("Produce v{version}: {error}"));
        let view = ResponseView::parse(version, body).map_err(unreadable)?;
        let retry_sequences = self.setup.idempotent && self.failing;
        let producer = self.producer;
        let parts = &mut self.slots[at].parts;
        let mut next = 0;
        for result in view.topics().flat_map(|topic| topic.partitions()) {
            let part = answered_part(parts, &mut next, result.index, version)?;
            match judge(result.error_code, retry_sequences, self.setup.transactional) {
                Judgement::Taken => {
                    part.done = true;
                    let batch = Acknowledged {
                        producer,
                        partition: part.partition,
                        first: part.first,
                        last: part.first + part.messages - 1,
                        base_offset: result.base_offset,
                    };
                    outcome.acknowledged(&batch, &part.intended);
                }
                Judgement::Again => outcome.refused(result.error_code),
                Judgement::Never => {
                    outcome.refused(result.error_code);
                    return Err(refusal(part, &result));
                }
            }
        }
        if self.slots[at].parts.iter().all(|part| part.done) {
            self.complete(at, outcome);
        } else {
            self.slots[at].state = State::Waiting;
            self.failing = true;
        }
        Ok(())
    }

    fn complete(&mut self, at: usize, outcome: &mut impl Outcome) {
        let slot = &mut self.slots[at];
        slot.state = State::Free;
        let messages = slot.parts.iter().map(|part| part.messages).sum();
        outcome.answered(&slot.intended, messages, slot.bytes);
        self.free.push(at);
    }

    /// The connection is gone: all that was under way waits to be sent again.
    pub fn lost(&mut self) {
        self.queue.clear();
        self.answers.clear();
        self.written = 0;
        for slot in &mut self.slots {
            if slot.state == State::UnderWay {
                slot.state = State::Waiting;
            }
        }
        self.failing = true;
    }

    /// Queues all that waits, in the order in which it was filled.
    pub fn resubmit(&mut self) {
        assert!(self.is_quiet(), "what is under way comes first");
        self.failing = false;
        let waiting = |at: &usize| self.slots[*at].state == State::Waiting;
        let mut waiting: Vec<usize> = (0..self.slots.len()).filter(waiting).collect();
        waiting.sort_by_key(|&at| self.slots[at].order);
        self.retries += waiting.len() as u64;
        for at in waiting {
            self.reduce(at);
            self.submit(at);
        }
    }

    /// Makes the frame of a partly acknowledged request anew, of what is left.
    fn reduce(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        let frame = slot.own.as_ref().unwrap_or(&self.templates[slot.template]);
        let left = |part: &&SlotPart| !part.done;
        if frame.parts.len() == slot.parts.iter().filter(left).count() {
            return;
        }
        let batch = |part: &SlotPart| {
            let same = |place: &&Part| place.partition == part.partition;
            let place = frame.parts.iter().find(same).expect("what is left was in the request");
            (part.partition, frame.bytes[place.range.clone()].to_vec())
        };
        let batches = slot.parts.iter().filter(left).map(batch).collect();
        slot.own = Some(self.setup.framing.frame(batches));
        self.sign(at);
    }
}

/// The part of a request that an answer is about. Answers usually come in the request's order.
fn answered_part<'a>(
    parts: &'a mut [SlotPart],
    next: &mut usize,
    partition: i32,
    version: i16,
) -> Result<&'a mut SlotPart, Error> {
    while parts.get(*next).is_some_and(|part| part.done) {
        *next += 1;
    }
    let found = if parts.get(*next).is_some_and(|part| part.partition == partition) {
        Some(*next)
    } else {
        parts.iter().position(|part| part.partition == partition && !part.done)
    };
    match found {
        Some(place) => Ok(&mut parts[place]),
        None => Err(Error::protocol(format!(
            "Produce v{version}: an answer for partition {partition}, which was not asked for"
        ))),
    }
}

enum Judgement {
    Taken,
    Again,
    Never,
}

/// The one place that says which answers are errors, and which of them pass.
fn judge(code: ErrorCode, retry_sequences: bool, transactional: bool) -> Judgement {
    match code {
        ErrorCode::None | ErrorCode::DuplicateSequenceNumber => Judgement::Taken,
        // An earlier batch of this partition is to be sent again first.
        ErrorCode::OutOfOrderSequenceNumber if retry_sequences => Judgement::Again,
        // The markers of the transaction before are still being written.
        ErrorCode::ConcurrentTransactions if transactional => Judgement::Again,
        code if crate::is_retriable(code) => Judgement::Again,
        _ => Judgement::Never,
    }
}

fn refusal(part: &SlotPart, result: &PartitionResultView<'_>) -> Error {
    let detail = result.error_message.map(|text| format!(" ({text})")).unwrap_or_default();
    Error::Broker(format!(
        "partition {} sequence {}: the broker refused the batch with {}{detail}",
        part.partition, part.first, result.error_code
    ))
}

/// Kafka's sequence numbers count from 0 again after 2^31 - 1.
fn wrap(sequence: u64) -> i32 {
    (sequence & i32::MAX as u64) as i32
}

#[cfg(test)]
#[path = "flow_test.rs"]
mod flow_test;
