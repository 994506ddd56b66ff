//! Questions about many partitions: each goes to the shard that owns its partition, the answers are
//! gathered, and when the last has come they are handed on in the order of the questions.
//!
//! Invariants: every question gets one answer; an owner answers at once, from memory, but for
//! markers, which are answered when every replica has them; one message per owner and request,
//! whatever the number of partitions.

use std::fmt;

use ringlog_storage::epochs::EpochEnd;
use ringlog_storage::producer::ProducerEntry;
use ringlog_storage::transaction::Marker;
use ringlog_wire::api::describe_producers::ProducerState;
use ringlog_wire::error::ErrorCode;
use ringlog_wire::message;

use super::{Outcome, PARTITIONS_MAX, Request};
use crate::config::Advertise;
use crate::memory::PoolMemory;
use crate::message::{Message, TopicPartition};
use crate::partition::{Acks, Advanced, Waiter, WaitsFor};
use crate::shell::{ShardCore, Shell};
use crate::slab::Key;
use crate::topics::Place;

/// Most producers that one owner tells in one answer: about 10 MiB.
pub const PRODUCERS_TOLD_MAX: usize = 1 << 18;

/// What is asked of a partition.
#[allow(missing_docs, reason = "each variant says what its fields are for")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Where leader epoch `epoch` ends, of one who believes in `current_epoch` (-1 = none).
    EpochEnd { current_epoch: i32, epoch: i32 },
    /// Delete everything before this offset, -1 = the high watermark.
    DeleteRecords { before: i64 },
    /// Who produces idempotently.
    Producers,
    /// Bytes of its segments.
    Size,
    /// End a producer's transaction, for a coordinator of that transaction version: one of this
    /// broker, or of whoever asks.
    WriteMarker { marker: Marker, version: i8, is_own: bool },
}

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Its place among the request's questions.
    pub entry: u32,
    /// About which partition.
    pub of: TopicPartition,
    /// What.
    pub question: Question,
}

/// An answer. Which one it is follows from the question.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To [`Question::EpochEnd`]; `None` when no such epoch is known.
    EpochEnd(Option<EpochEnd>),
    /// To [`Question::DeleteRecords`]: the first offset that is left.
    LowWatermark(i64),
    /// To [`Question::Producers`], ascending by id.
    Producers(Vec<ProducerState>),
    /// To [`Question::Size`], bytes.
    Size(u64),
    /// Bytes of the data directory's volume, all and free. Asked of no partition.
    Volume(u64, u64),
    /// To [`Question::WriteMarker`]: it is on every replica.
    Written,
}

/// An answer on its way.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The question's place.
    pub entry: u32,
    /// The answer, or Kafka's code.
    pub result: Result<Answer, ErrorCode>,
}

/// All answers, in the order of the questions.
pub type Answers = Vec<Result<Answer, ErrorCode>>;

/// What is done with them.
pub type Finish = Box<dyn FnOnce(&mut Shell, &mut ShardCore, Answers) + Send>;

/// A request whose answers are being gathered.
pub struct PendingAsks {
    answers: Answers,
    outstanding: usize,
    finish: Finish,
}

impl fmt::Debug for PendingAsks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answers, {} outstanding", self.answers.len(), self.outstanding)
    }
}

impl Shell {
    /// Which partition of the topic named `name` that is, and where; UNKNOWN_TOPIC_OR_PARTITION
    /// when there is none.
    pub(crate) fn placed(
        &self,
        name: &str,
        index: i32,
    ) -> Result<(TopicPartition, Place), ErrorCode> {
        let topic = self.topics.named(name).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let place = topic.place(index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        Ok((TopicPartition { topic: topic.name.id, index }, place))
    }

    /// Asks these questions for `request`, and replies what `respond` makes of the answers.
    pub(crate) fn ask_for<R: message::Message>(
        &mut self,
        core: &mut ShardCore,
        request: &Request<'_>,
        questions: Vec<Result<(TopicPartition, Place, Question), ErrorCode>>,
        respond: impl FnOnce(Answers) -> R + Send + 'static,
    ) -> Outcome {
        if questions.len() > PARTITIONS_MAX {
            return Outcome::too_many_partitions(request.api);
        }
        let to = request.reply_to();
        let finish = move |shell: &mut Shell, core: &mut ShardCore, answers| {
            to.send(shell, core, &respond(answers));
        };
        self.ask(core, questions, Box::new(finish));
        Outcome::Parked
    }

    /// Asks these questions, and calls `finish` with the answers, sooner or later. A question
    /// without a partition is answered with its code.
    pub(crate) fn ask(
        &mut self,
        core: &mut ShardCore,
        questions: Vec<Result<(TopicPartition, Place, Question), ErrorCode>>,
        finish: Finish,
    ) {
        let key = self.begin_asking(core, questions, false, finish);
        self.asks_done(core, key, 1);
    }

    /// The same for this process's own questions: with `advertise = shard` too, they reach every
    /// shard.
    pub(crate) fn ask_inside(
        &mut self,
        core: &mut ShardCore,
        questions: Vec<Result<(TopicPartition, Place, Question), ErrorCode>>,
        finish: Finish,
    ) {
        let key = self.begin_asking(core, questions, true, finish);
        self.asks_done(core, key, 1);
    }

    /// The same as [`Shell::ask`], and one answer more is to come by [`Message::Answers`], under
    /// the entry behind the last question.
    pub(crate) fn ask_and_wait(
        &mut self,
        core: &mut ShardCore,
        questions: Vec<Result<(TopicPartition, Place, Question), ErrorCode>>,
        finish: Finish,
    ) -> Key {
        let key = self.begin_asking(core, questions, false, finish);
        if let Some(pending) = self.asks.get_mut(key) {
            pending.answers.push(Err(ErrorCode::UnknownServerError));
        }
        key
    }

    /// One part more is outstanding than was sent, so that nothing ends too early.
    fn begin_asking(
        &mut self,
        core: &mut ShardCore,
        questions: Vec<Result<(TopicPartition, Place, Question), ErrorCode>>,
        is_inside: bool,
        finish: Finish,
    ) -> Key {
        let answers = vec![Err(ErrorCode::UnknownServerError); questions.len()];
        let key = self.asks.insert(PendingAsks { answers, outstanding: 1, finish });
        let mut remote: Vec<Vec<Ask>> = vec![Vec::new(); self.shared.config.shards];
        let mut told = 0;
        for (entry, question) in (0..).zip(questions) {
            let answer = match question {
                Err(code) => Some(Err(code)),
                Ok((of, Place::Remote(shard), question))
                    if is_inside || self.shared.config.advertise == Advertise::Node =>
                {
                    remote[shard].push(Ask { entry, of, question });
                    None
                }
                Ok((_, place, question @ Question::WriteMarker { .. })) => {
                    self.write_marker(core, (key, entry), place, question).err().map(Err)
                }
                Ok((_, place, question)) => {
                    Some(self.answer_here(core, place, question, &mut told))
                }
            };
            if let (Some(answer), Some(pending)) = (answer, self.asks.get_mut(key)) {
                pending.answers[entry as usize] = answer;
            }
        }
        if let Some(pending) = self.asks.get_mut(key) {
            pending.outstanding += remote.iter().filter(|asks| !asks.is_empty()).count();
        }
        for (shard, asks) in remote.into_iter().enumerate() {
            if !asks.is_empty() {
                self.post(core, shard, Message::Ask { request: key, asks });
            }
        }
        key
    }

    fn asks_done(&mut self, core: &mut ShardCore, key: Key, parts: usize) {
        let Some(pending) = self.asks.get_mut(key) else { return };
        pending.outstanding -= parts;
        if pending.outstanding == 0
            && let Some(PendingAsks { answers, finish, .. }) = self.asks.remove(key)
        {
            finish(self, core, answers);
        }
    }

    /// Another shard asks about partitions of this one.
    pub(crate) fn asked(&mut self, core: &mut ShardCore, from: usize, request: Key, asks: &[Ask]) {
        let question = |Ask { of, question, .. }: &Ask| {
            let place = self.topics.with_id(of.topic).and_then(|topic| topic.place(of.index));
            match place.ok_or(ErrorCode::UnknownTopicOrPartition)? {
                Place::Remote(_) => Err(ErrorCode::NotLeaderOrFollower),
                place => Ok((*of, place, *question)),
            }
        };
        let questions = asks.iter().map(question).collect();
        let entries: Vec<u32> = asks.iter().map(|ask| ask.entry).collect();
        let finish = move |shell: &mut Shell, core: &mut ShardCore, answers: Answers| {
            let answers = entries.into_iter().zip(answers);
            let answers = answers.map(|(entry, result)| Answered { entry, result }).collect();
            shell.post(core, from, Message::Answers { request, answers });
        };
        self.ask(core, questions, Box::new(finish));
    }

    /// A part of the answers has come.
    pub(crate) fn answered(&mut self, core: &mut ShardCore, key: Key, answers: Vec<Answered>) {
        let Some(pending) = self.asks.get_mut(key) else { return };
        for Answered { entry, result } in answers {
            pending.answers[entry as usize] = result;
        }
        self.asks_done(core, key, 1);
    }

    /// Writes a marker, and answers the question `entry` of `key` when every replica has it.
    fn write_marker(
        &mut self,
        core: &mut ShardCore,
        (key, entry): (Key, u32),
        place: Place,
        question: Question,
    ) -> Result<(), ErrorCode> {
        let Question::WriteMarker { mut marker, version, is_own } = question else {
            unreachable!("only this is answered later")
        };
        let slot = match place {
            Place::Open(slot) => slot,
            Place::Failed => return Err(ErrorCode::KafkaStorageError),
            Place::Opening | Place::Remote(_) => return Err(ErrorCode::NotLeaderOrFollower),
        };
        let now_ms = core.wall_ms();
        let hosted = self.logs.get_mut(slot).filter(|hosted| !hosted.doomed);
        let partition = &mut hosted.ok_or(ErrorCode::NotLeaderOrFollower)?.partition;
        if is_own && let Some(known) = partition.log.producers().get(marker.producer_id) {
            // On a single node there is no other coordinator: whatever epoch a client's marker has
            // claimed (WriteTxnMarkers), this one's are written, or its transaction never ends.
            marker.coordinator_epoch = marker.coordinator_epoch.max(known.coordinator_epoch);
        }
        let (memory, mut advanced) = (&mut PoolMemory(core.pool()), Advanced::default());
        let appended = partition.append_marker(now_ms, memory, &marker, version, &mut advanced)?;
        let waiter = Waiter {
            what: WaitsFor::Marker,
            shard: self.shard,
            request: key,
            entry,
            base_offset: appended.base_offset,
            log_append_time: -1,
        };
        partition.wait(Acks::All, appended.last_offset + 1, waiter);
        if let Some(pending) = self.asks.get_mut(key) {
            pending.outstanding += 1;
        }
        self.tell(core, slot, &mut advanced);
        self.touch(slot);
        Ok(())
    }

    /// `told` counts the producers told so far.
    fn answer_here(
        &mut self,
        core: &mut ShardCore,
        place: Place,
        question: Question,
        told: &mut usize,
    ) -> Result<Answer, ErrorCode> {
        let slot = match place {
            Place::Open(slot) => slot,
            Place::Failed => return Err(ErrorCode::KafkaStorageError),
            Place::Opening | Place::Remote(_) => return Err(ErrorCode::NotLeaderOrFollower),
        };
        let hosted = self.logs.get_mut(slot).filter(|hosted| !hosted.doomed);
        let partition = &mut hosted.ok_or(ErrorCode::NotLeaderOrFollower)?.partition;
        match question {
            Question::EpochEnd { current_epoch, epoch } => {
                partition.check_epoch(current_epoch)?;
                Ok(Answer::EpochEnd(partition.end_of_epoch(epoch)))
            }
            Question::DeleteRecords { before } => {
                let mut advanced = Advanced::default();
                let low = partition.delete_records(before, &mut advanced)?;
                self.tell(core, slot, &mut advanced);
                self.touch(slot);
                Ok(Answer::LowWatermark(low))
            }
            Question::Producers => {
                let producers = partition.log.producers();
                *told += producers.count();
                if *told > PRODUCERS_TOLD_MAX {
                    return Err(ErrorCode::UnknownServerError);
                }
                let mut found: Vec<_> =
                    producers.iter().map(|(id, entry)| producer_state(id, entry)).collect();
                found.sort_unstable_by_key(|state| state.producer_id);
                Ok(Answer::Producers(found))
            }
            Question::Size => Ok(Answer::Size(partition.log.size_bytes())),
            Question::WriteMarker { .. } => unreachable!("a marker is answered later"),
        }
    }
}

fn producer_state(producer_id: i64, entry: &ProducerEntry) -> ProducerState {
    ProducerState {
        producer_id,
        producer_epoch: i32::from(entry.epoch),
        last_sequence: entry.last().map_or(-1, |batch| batch.last_sequence),
        last_timestamp: entry.timestamp,
        coordinator_epoch: entry.coordinator_epoch,
        current_txn_start_offset: entry.transaction_first_offset.unwrap_or(-1),
    }
}
