//! One request's questions to several coordinators, and the answers, in the order of the questions.
//!
//! A request names an id in a few bytes, and all that is known of it is copied for the answer; a
//! group that OffsetFetch names twice is answered twice, as Kafka does. So questions with
//! large answers are asked a few at a time, and no more are asked when their answers have taken
//! [`GATHERED_BYTES_MAX`]. What has no answer then is UNKNOWN_SERVER_ERROR, which no client takes
//! for a reason to ask the same again.

use std::collections::VecDeque;

use ringlog_wire::error::ErrorCode;

use super::{Finish, FinishAll};
use crate::config::Advertise;
use crate::coordinator::{ANSWER_BYTES_MAX, Answer, Ask, Kind};
use crate::message::TopicPartition;
use crate::shell::{ShardCore, Shell};
use crate::slab::Key;
use crate::topics::Place;

/// Bytes of memory that one request's answers may take, beside those that come last.
const GATHERED_BYTES_MAX: usize = ANSWER_BYTES_MAX;
/// How many questions with large answers are under way for one request.
const LARGE_AT_ONCE: usize = 4;

/// Whom to ask what.
enum Question {
    Of(Kind, String, Ask),
    At(TopicPartition, Place, Ask),
}

/// See the module's head.
pub(super) struct Gathering {
    questions: VecDeque<Question>,
    answers: Vec<Result<Answer, ErrorCode>>,
    /// Asked, and not answered.
    outstanding: usize,
    at_once: usize,
    /// Bytes that answers may still take.
    room: usize,
    /// Somebody is in [`Shell::ask_on`]: an answer that comes at once finds it there.
    asking: bool,
    finish: FinishAll,
}

impl Gathering {
    fn new(questions: VecDeque<Question>, at_once: usize, room: usize, finish: FinishAll) -> Self {
        let answers = vec![Err(ErrorCode::UnknownServerError); questions.len()];
        Gathering { questions, answers, outstanding: 0, at_once, room, asking: false, finish }
    }

    /// The next question, and whose answer it brings; `None` if nothing is to be asked now.
    fn next(&mut self) -> Option<(usize, Question)> {
        if self.outstanding >= self.at_once {
            return None;
        }
        let entry = self.answers.len() - self.questions.len();
        let question = self.questions.pop_front()?;
        self.outstanding += 1;
        Some((entry, question))
    }

    fn take(&mut self, entry: usize, answer: Result<Answer, ErrorCode>) {
        self.outstanding -= 1;
        if self.room == 0 {
            return;
        }
        self.room = self.room.saturating_sub(answer.as_ref().map_or(0, Answer::bytes));
        self.answers[entry] = answer;
        if self.room == 0 && !self.is_done() {
            let (all, unasked) = (self.answers.len(), self.questions.len());
            tracing::warn!(all, unasked, "a request asks for more than an answer may have");
            self.questions.clear();
        }
    }

    fn is_done(&self) -> bool {
        self.outstanding == 0 && self.questions.is_empty()
    }
}

impl Shell {
    /// Asks several, and calls `finish` when the last has answered. For small answers.
    pub(crate) fn coordinate_all(
        &mut self,
        core: &mut ShardCore,
        kind: Kind,
        asks: Vec<(String, Ask)>,
        finish: FinishAll,
    ) {
        let questions = asks.into_iter().map(|(id, ask)| Question::Of(kind, id, ask)).collect();
        self.gather(core, Gathering::new(questions, usize::MAX, usize::MAX, finish));
    }

    /// The same where an answer tells all that is known of an id: see the module's head.
    pub(crate) fn coordinate_large(
        &mut self,
        core: &mut ShardCore,
        kind: Kind,
        asks: Vec<(String, Ask)>,
        finish: FinishAll,
    ) {
        let questions = asks.into_iter().map(|(id, ask)| Question::Of(kind, id, ask)).collect();
        self.gather(core, Gathering::new(questions, LARGE_AT_ONCE, GATHERED_BYTES_MAX, finish));
    }

    /// Asks every coordinator of a kind that clients find at this broker.
    pub(crate) fn coordinate_each(
        &mut self,
        core: &mut ShardCore,
        kind: Kind,
        ask: impl Fn() -> Ask,
        finish: FinishAll,
    ) {
        let mut questions = VecDeque::new();
        if let Some(topic) = self.topics.named(kind.topic()) {
            let id = topic.name.id;
            for (index, place) in (0..).zip(&topic.places) {
                let elsewhere = matches!(place, Place::Remote(_))
                    && self.shared.config.advertise == Advertise::Shard;
                if !elsewhere {
                    let of = TopicPartition { topic: id, index };
                    questions.push_back(Question::At(of, *place, ask()));
                }
            }
        }
        self.gather(core, Gathering::new(questions, usize::MAX, usize::MAX, finish));
    }

    fn gather(&mut self, core: &mut ShardCore, gathering: Gathering) {
        let key = self.coordinators.gatherings.insert(gathering);
        self.ask_on(core, key);
    }

    /// Asks what may be asked now, and finishes what is done. A loop: answers that come at once
    /// would each go a level deeper.
    fn ask_on(&mut self, core: &mut ShardCore, key: Key) {
        while let Some(gathering) = self.coordinators.gatherings.get_mut(key) {
            gathering.asking = true;
            let Some((entry, question)) = gathering.next() else { break };
            let finish = gathered(key, entry);
            match question {
                Question::Of(kind, id, ask) => self.coordinate(core, kind, &id, ask, finish),
                Question::At(of, place, ask) => self.ask_coordinator(core, of, place, ask, finish),
            }
        }
        let Some(gathering) = self.coordinators.gatherings.get_mut(key) else { return };
        gathering.asking = false;
        if gathering.is_done()
            && let Some(gathering) = self.coordinators.gatherings.remove(key)
        {
            (gathering.finish)(self, core, gathering.answers);
        }
    }

    fn gathered_one(
        &mut self,
        core: &mut ShardCore,
        key: Key,
        entry: usize,
        answer: Result<Answer, ErrorCode>,
    ) {
        let Some(gathering) = self.coordinators.gatherings.get_mut(key) else { return };
        gathering.take(entry, answer);
        if !gathering.asking {
            self.ask_on(core, key);
        }
    }
}

fn gathered(gathering: Key, entry: usize) -> Finish {
    Box::new(move |shell, core, answer| shell.gathered_one(core, gathering, entry, answer))
}

#[cfg(test)]
mod tests {
    use ringlog_wire::api::offset_fetch::{
        OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
    };

    use super::*;
    use crate::group::{Event, Response};

    fn gathering(count: usize, room: usize) -> Gathering {
        let question = |to| Event::Describe { to, version: 0, group_id: String::new() };
        let ask = || Question::Of(Kind::Groups, "g".to_owned(), Ask::Group(Box::new(question)));
        let questions = (0..count).map(|_| ask()).collect();
        Gathering::new(questions, 4, room, Box::new(|_, _, _| ()))
    }

    fn of_bytes(bytes: usize) -> Result<Answer, ErrorCode> {
        let metadata = Some("m".repeat(bytes));
        let partition = OffsetFetchResponsePartitions { metadata, ..Default::default() };
        let topic = OffsetFetchResponseTopics { partitions: vec![partition], ..Default::default() };
        let group = OffsetFetchResponseGroup { topics: vec![topic], ..Default::default() };
        Ok(Answer::Group(Response::Fetch(group)))
    }

    #[test]
    fn the_same_group_named_ten_thousand_times_is_asked_until_the_answers_are_full() {
        let mut gathering = gathering(10_000, 1 << 20);
        let mut asked = VecDeque::new();
        let (mut most, mut told) = (0, 0);
        loop {
            while let Some((entry, _)) = gathering.next() {
                asked.push_back(entry);
            }
            most = most.max(asked.len());
            let Some(entry) = asked.pop_front() else { break };
            gathering.take(entry, of_bytes(64 << 10));
            told += 1;
        }
        assert!(gathering.is_done());
        assert_eq!(most, 4);
        assert!(told <= 16 + 4, "{told} were asked");
        let full = gathering.answers.iter().take_while(|answer| answer.is_ok()).count();
        assert!((10..=16).contains(&full), "{full} have answers");
        assert!(
            gathering.answers[full..]
                .iter()
                .all(|a| { a.as_ref().is_err_and(|code| *code == ErrorCode::UnknownServerError) })
        );
    }

    #[test]
    fn one_answer_has_room_however_large_it_is() {
        let mut gathering = gathering(1, 1 << 10);
        let (entry, _) = gathering.next().expect("a question");
        gathering.take(entry, of_bytes(1 << 20));
        assert!(gathering.is_done() && gathering.answers[0].is_ok());
    }

    #[test]
    fn all_small_answers_come_in_their_order() {
        let mut gathering = gathering(10, 1 << 20);
        while let Some((entry, _)) = gathering.next() {
            gathering.take(entry, Err(ErrorCode::NotCoordinator));
        }
        assert!(gathering.is_done());
        let told = |a: &Result<Answer, ErrorCode>| matches!(a, Err(ErrorCode::NotCoordinator));
        assert!(gathering.answers.iter().all(told));
    }
}
