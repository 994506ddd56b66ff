//! The controller of a quorum of one: what a change to the metadata is, and when it is answered.
//!
//! Invariants:
//! - `staged` is the fold of everything that was appended, `durable` of what the log called
//!   durable; decisions are made on the first, shards see the second.
//! - A reply waits until everything staged when it was decided is durable, even when it changed
//!   nothing: an answer may rest on a record that is not safe yet.
//! - Appends leave in offset order, and each is one batch: whole or absent after a crash.
//! - After a failed append nothing more is written: what the log holds is not known until it is
//!   opened again.

use std::collections::VecDeque;
use std::sync::Arc;

use ringlog_wire::ErrorCode;
use ringlog_wire::records::{
    AbortTransactionRecord, ControlRecord, MetadataRecord, ProducerIdsRecord,
};

use super::batches::{self, BATCH_BYTES_MAX, BATCH_RECORDS_MAX, Stamp};
use super::bootstrap::{self, Node};
use super::command::{Append, Command, ProducerIds, Reply, Settings, StartError};
use super::fold::Fold;
use super::image::{Image, Position, Voter};

/// Most replies that wait for their records; a request beyond is turned away.
pub const WAITING_MAX: usize = 4096;
/// Producer ids handed out by one record.
pub const PRODUCER_IDS_BLOCK: i64 = 1000;

enum Records {
    Control(Vec<ControlRecord>),
    Data(Vec<MetadataRecord>),
}

struct Pending {
    at: Stamp,
    next_offset: i64,
    records: Records,
}

struct Waiting {
    /// Everything below must be durable first.
    below: i64,
    token: u64,
    reply: Reply,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Serving,
    Stopping,
    Stopped,
    Failed,
}

/// The controller.
pub struct Controller {
    pub(super) node: Node,
    pub(super) settings: Settings,
    pub(super) staged: Fold,
    durable: Fold,
    durable_end: i64,
    next_offset: i64,
    epoch: i32,
    broker_epoch: i64,
    pending: VecDeque<Pending>,
    waiting: VecDeque<Waiting>,
    state: State,
}

/// A batch over [`BATCH_BYTES_MAX`] or [`BATCH_RECORDS_MAX`].
pub(super) struct TooLarge;

impl Controller {
    /// Takes over a log that was folded to its end (an empty fold for a fresh one) in a raft epoch
    /// that no record and no vote has; `quorum-state` says so durably before the commands are
    /// carried out.
    ///
    /// # Errors
    /// When the log is another quorum's.
    pub fn start(
        now_ms: i64,
        node: Node,
        settings: Settings,
        fold: Fold,
        epoch: i32,
    ) -> Result<(Controller, Vec<Command>), StartError> {
        check_quorum(&node, fold.staged())?;
        let applied = fold.staged().applied;
        assert!(epoch > applied.epoch, "a start is a new epoch");
        let next_offset = applied.offset + 1;
        let mut controller = Controller {
            node,
            settings,
            durable: fold.clone(),
            staged: fold,
            durable_end: next_offset,
            next_offset,
            epoch,
            broker_epoch: -1,
            pending: VecDeque::new(),
            waiting: VecDeque::new(),
            state: State::Serving,
        };
        let commands = controller.begin(now_ms);
        Ok((controller, commands))
    }

    fn begin(&mut self, now_ms: i64) -> Vec<Command> {
        let mut out = Vec::new();
        let mut control = vec![bootstrap::leader_change(&self.node)];
        let quorum = &self.staged.staged().quorum;
        if quorum.kraft_version.is_none() {
            control.extend([bootstrap::kraft_version(), bootstrap::voters(&self.node)]);
        } else if quorum.voters != [own_voter(&self.node)] {
            control.push(bootstrap::voters(&self.node));
        }
        self.append_control(now_ms, control, &mut out);
        let mut records = Vec::new();
        if self.staged.in_transaction() {
            let reason = Some("a new controller found the transaction open".into());
            records.push(MetadataRecord::AbortTransaction(AbortTransactionRecord { reason }));
        }
        if self.staged.published().metadata_version().is_none() {
            records.extend(bootstrap::bootstrap_transaction());
        }
        if !records.is_empty() {
            self.append_split(now_ms, records, &mut out);
        }
        let controller = bootstrap::register_controller(&self.node);
        self.append_split(now_ms, vec![controller], &mut out);
        self.broker_epoch = self.next_offset;
        let broker = bootstrap::register_broker(&self.node, self.broker_epoch);
        self.append_split(now_ms, vec![broker], &mut out);
        let unfence = bootstrap::unfence(&self.node, self.broker_epoch, self.staged.staged());
        self.append_split(now_ms, unfence, &mut out);
        out
    }

    /// The epoch of this node's registration.
    pub fn broker_epoch(&self) -> i64 {
        self.broker_epoch
    }

    /// The raft epoch.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The end of what was appended.
    pub(super) fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// The end of what is durable.
    pub(super) fn durable_end(&self) -> i64 {
        self.durable_end
    }

    /// True once this node's registration is durable and unfenced: shards may serve.
    pub fn is_serving(&self) -> bool {
        let brokers = &self.durable.published().brokers;
        brokers
            .get(&self.node.id)
            .is_some_and(|broker| broker.epoch == self.broker_epoch && !broker.fenced)
    }

    /// Everything below `end` in the log is durable.
    pub fn committed(&mut self, end: i64) -> Vec<Command> {
        assert!(end <= self.next_offset, "the log is ahead of its only writer");
        self.durable_end = self.durable_end.max(end);
        let mut publish = false;
        while let Some(pending) = pop_if(&mut self.pending, |next| next.next_offset <= end) {
            apply(&mut self.durable, pending.at, &pending.records);
            publish = true;
        }
        let mut out = Vec::new();
        if publish && !self.durable.in_transaction() {
            out.push(Command::Publish(Arc::new(self.durable.published().clone())));
        }
        while let Some(next) = pop_if(&mut self.waiting, |next| next.below <= end) {
            out.push(Command::Reply(next.token, next.reply));
        }
        self.finish_stop(&mut out);
        out
    }

    /// An append failed: everyone who waits is told, and nothing is written again.
    pub fn failed(&mut self) -> Vec<Command> {
        self.state = State::Failed;
        self.pending.clear();
        let told = |waiting: Waiting| {
            let reply = waiting.reply.refused(ErrorCode::KafkaStorageError);
            Command::Reply(waiting.token, reply)
        };
        self.waiting.drain(..).map(told).collect()
    }

    /// A clean stop: partitions lose their leader, the broker is fenced; [`Command::Stopped`]
    /// follows.
    pub fn stop(&mut self, now_ms: i64) -> Vec<Command> {
        let mut out = Vec::new();
        if self.state != State::Serving {
            return out;
        }
        self.state = State::Stopping;
        let records = bootstrap::shut_down(&self.node, self.broker_epoch, self.staged.staged());
        self.append_split(now_ms, records, &mut out);
        let fence = bootstrap::fence(&self.node, self.broker_epoch);
        self.append_split(now_ms, vec![fence], &mut out);
        out
    }

    fn finish_stop(&mut self, out: &mut Vec<Command>) {
        if self.state == State::Stopping && self.pending.is_empty() {
            self.state = State::Stopped;
            out.push(Command::Stopped(self.broker_epoch));
        }
    }

    /// A block of producer ids.
    pub fn allocate_producer_ids(&mut self, now_ms: i64, token: u64) -> Vec<Command> {
        let mut out = Vec::new();
        if let Some(code) = self.refusal() {
            let code = if code == ErrorCode::RequestTimedOut {
                ErrorCode::CoordinatorLoadInProgress
            } else {
                code
            };
            return vec![Command::Reply(token, Reply::ProducerIds(Err(code)))];
        }
        let first = self.staged.staged().next_producer_id;
        let Some(next_producer_id) = first.checked_add(PRODUCER_IDS_BLOCK) else {
            let code = ErrorCode::UnknownServerError;
            return vec![Command::Reply(token, Reply::ProducerIds(Err(code)))];
        };
        let record = ProducerIdsRecord {
            broker_id: self.node.id,
            broker_epoch: self.broker_epoch,
            next_producer_id,
        };
        self.append_split(now_ms, vec![MetadataRecord::ProducerIds(record)], &mut out);
        let ids = ProducerIds { first, count: PRODUCER_IDS_BLOCK };
        self.reply(token, Reply::ProducerIds(Ok(ids)), &mut out);
        out
    }

    /// Why no request is taken now.
    pub(super) fn refusal(&self) -> Option<ErrorCode> {
        match self.state {
            State::Serving if self.waiting.len() < WAITING_MAX => None,
            State::Serving => Some(ErrorCode::RequestTimedOut),
            State::Stopping | State::Stopped => Some(ErrorCode::NotController),
            State::Failed => Some(ErrorCode::KafkaStorageError),
        }
    }

    /// Answers when everything staged is durable: now, if it is.
    pub(super) fn reply(&mut self, token: u64, reply: Reply, out: &mut Vec<Command>) {
        if self.durable_end == self.next_offset {
            out.push(Command::Reply(token, reply));
        } else {
            self.waiting.push_back(Waiting { below: self.next_offset, token, reply });
        }
    }

    fn append_control(&mut self, now_ms: i64, records: Vec<ControlRecord>, out: &mut Vec<Command>) {
        let at = self.stamp(now_ms);
        let batch = batches::control_batch(at, &records);
        self.stage(at, records.len(), Records::Control(records), batch, out);
    }

    /// Appends records that need not be atomic together, in as many batches as it takes.
    fn append_split(&mut self, now_ms: i64, records: Vec<MetadataRecord>, out: &mut Vec<Command>) {
        for part in records.chunks(BATCH_RECORDS_MAX) {
            let fits = self.append_atomic(now_ms, part.to_vec(), out).is_ok();
            assert!(fits, "a node's own records are small");
        }
    }

    /// Appends records as one batch, or not at all.
    pub(super) fn append_atomic(
        &mut self,
        now_ms: i64,
        records: Vec<MetadataRecord>,
        out: &mut Vec<Command>,
    ) -> Result<(), TooLarge> {
        if records.len() > BATCH_RECORDS_MAX {
            return Err(TooLarge);
        }
        let at = self.stamp(now_ms);
        let batch = batches::data_batch(at, &records);
        if batch.len() > BATCH_BYTES_MAX {
            return Err(TooLarge);
        }
        self.stage(at, records.len(), Records::Data(records), batch, out);
        Ok(())
    }

    fn stamp(&self, now_ms: i64) -> Stamp {
        Stamp { base_offset: self.next_offset, epoch: self.epoch, now_ms }
    }

    fn stage(
        &mut self,
        at: Stamp,
        count: usize,
        records: Records,
        batch: Vec<u8>,
        out: &mut Vec<Command>,
    ) {
        apply(&mut self.staged, at, &records);
        let next_offset = at.base_offset + count as i64;
        assert!(self.staged.staged().applied.offset + 1 == next_offset, "every record is folded");
        self.next_offset = next_offset;
        self.pending.push_back(Pending { at, next_offset, records });
        out.push(Command::Append(Append {
            base_offset: at.base_offset,
            next_offset,
            epoch: at.epoch,
            batch,
        }));
    }
}

fn pop_if<T>(queue: &mut VecDeque<T>, ready: impl Fn(&T) -> bool) -> Option<T> {
    if queue.front().is_some_and(ready) { queue.pop_front() } else { None }
}

fn apply(fold: &mut Fold, at: Stamp, records: &Records) {
    let position =
        |index: usize| Position { offset: at.base_offset + index as i64, epoch: at.epoch };
    let applied = match records {
        Records::Control(records) => records
            .iter()
            .enumerate()
            .try_for_each(|(index, record)| fold.apply_control(record, position(index))),
        Records::Data(records) => records
            .iter()
            .enumerate()
            .try_for_each(|(index, record)| fold.apply(record, position(index))),
    };
    if let Err(error) = applied {
        panic!("the controller wrote a record that does not fold: {error}");
    }
}

fn own_voter(node: &Node) -> Voter {
    let endpoint = &node.controller_endpoint;
    let endpoints = vec![(endpoint.name.clone(), endpoint.host.clone(), endpoint.port)];
    Voter { id: node.id, directory: node.directory, endpoints }
}

fn check_quorum(node: &Node, image: &Image) -> Result<(), StartError> {
    let quorum = &image.quorum;
    match quorum.kraft_version {
        None if image.applied == Position::START => return Ok(()),
        Some(1) => {}
        version => return Err(StartError::KraftVersion(version.unwrap_or(0))),
    }
    let own = own_voter(node);
    match quorum.voters.as_slice() {
        [voter] if (voter.id, voter.directory) == (own.id, own.directory) => Ok(()),
        voters => Err(StartError::Voters { voters: voters.to_vec(), node: own }),
    }
}
