//! The controller's seat on shard 0: requests queue here, go to the state machine one at a time,
//! its records go to the metadata log, and an answer leaves when its records are durable *and*
//! every shard works by the image they made.
//!
//! Invariants: a change of topics begins only when the one before it is applied everywhere, so a
//! partition's directory is never opened on one shard while another still removes its predecessor;
//! after an answer, every shard knows what it says.

use std::sync::Arc;

use ringlog_shard::buf::Pool;
use ringlog_storage::Log;
use ringlog_wire::api::create_partitions::CreatePartitionsRequest;
use ringlog_wire::api::create_topics::CreateTopicsRequest;
use ringlog_wire::api::delete_topics::DeleteTopicsRequest;
use ringlog_wire::api::describe_quorum::DescribeQuorumRequest;
use ringlog_wire::api::update_features::UpdateFeaturesRequest;
use ringlog_wire::batch::Batch;
use ringlog_wire::{ErrorCode, Uuid};

use super::control_queue::{Asked, Queue};
use super::{ShardCore, Shell};
use crate::memory::{LogMemory, PoolMemory};
use crate::message::Message;
use crate::metadata::alter::AlterAsk;
use crate::metadata::{Append, Command, Controller, Image, Reply};
use crate::metrics::snapshot::ControllerFigures;
use crate::slab::Key;

/// What a shard asks of the controller.
#[derive(Debug)]
pub enum ControlAsk {
    /// Create topics.
    CreateTopics(CreateTopicsRequest),
    /// Add partitions to topics.
    CreatePartitions(CreatePartitionsRequest),
    /// Delete topics.
    DeleteTopics(DeleteTopicsRequest),
    /// Change settings.
    AlterConfigs(AlterAsk),
    /// Say how the quorum stands.
    DescribeQuorum(DescribeQuorumRequest),
    /// Set feature levels, as a request of that version says it.
    UpdateFeatures(i16, UpdateFeaturesRequest),
    /// Producer ids that nobody has.
    ProducerIds,
}

/// The controller's answer, or Kafka's code for a controller that takes no requests.
pub type ControlAnswer = Result<Reply, ErrorCode>;

/// See the module's head.
pub struct Seat {
    machine: Controller,
    /// Where the metadata log is in the shard's table of logs.
    slot: Key,
    /// Memory for its records: a shard whose own is used up must not stop the controller.
    pool: Pool,
    queue: Queue,
    /// Whom the machine works for now.
    current: Option<(usize, Key)>,
    /// The machine's answer, while shards still take up the image.
    held: Option<Reply>,
    /// Offset of the last image that was given to the shards.
    published: i64,
    /// Offset of the image that each shard works by.
    applied: Vec<i64>,
    failed: bool,
}

impl Seat {
    /// The seat of a controller that serves, its log under `slot`.
    pub fn new(machine: Controller, slot: Key, pool: Pool, published: i64, shards: usize) -> Seat {
        Seat {
            machine,
            slot,
            pool,
            queue: Queue::default(),
            current: None,
            held: None,
            published,
            applied: vec![published; shards],
            failed: false,
        }
    }

    /// Where the metadata log is in the shard's table of logs.
    pub fn slot(&self) -> Key {
        self.slot
    }

    /// How the controller is.
    pub(super) fn figures(&self, image: &Image) -> ControllerFigures {
        ControllerFigures {
            is_serving: self.machine.is_serving(),
            is_failed: self.failed,
            topics: image.topics.len(),
            partitions: image.topics.values().map(|topic| topic.partitions.len()).sum(),
        }
    }

    /// Memory for the metadata log's records: bytes in use, bytes that there are.
    pub(super) fn memory(&mut self) -> (u64, u64) {
        (self.pool.used_bytes() as u64, self.pool.budget_bytes() as u64)
    }

    /// Gives the state machine back, for the stop.
    pub fn into_machine(self) -> Controller {
        self.machine
    }
}

impl Shell {
    /// Asks the controller; the answer comes to [`Shell::controlled`] with the same key. The ask
    /// holds about so many bytes.
    pub(crate) fn ask_controller(
        &mut self,
        core: &mut ShardCore,
        request: Key,
        ask: ControlAsk,
        bytes: usize,
    ) {
        self.post(core, 0, Message::Control { request, ask, bytes });
    }

    /// A shard asks the controller, which is here.
    pub(super) fn control_asked(
        &mut self,
        core: &mut ShardCore,
        from: usize,
        request: Key,
        ask: ControlAsk,
        bytes: usize,
    ) {
        let seat = self.seat.as_mut().expect("the controller is on shard 0");
        let asked = Asked { from, request, ask, bytes };
        let refusal = match () {
            () if seat.failed => Some(ErrorCode::KafkaStorageError),
            () if self.stopping => Some(ErrorCode::NotController),
            () if !seat.queue.push(asked) => Some(ErrorCode::RequestTimedOut),
            () => None,
        };
        if let Some(code) = refusal {
            return self.post(core, from, Message::Controlled { request, answer: Err(code) });
        }
        self.next_controls(core);
    }

    /// Gives the machine its next requests, until one has to wait for its records.
    fn next_controls(&mut self, core: &mut ShardCore) {
        // A loop: thousands of requests that are answered at once must not need a stack each.
        while let Some(commands) = self.next_control(core.wall_ms()) {
            self.run_commands(core, commands);
            self.release_held(core);
        }
    }

    /// Gives the machine its next request, if it has none; what it wants done for it.
    fn next_control(&mut self, now_ms: i64) -> Option<Vec<Command>> {
        let seat = self.seat.as_mut().filter(|seat| seat.current.is_none())?;
        let Asked { from, request, ask, .. } = seat.queue.pop()?;
        seat.current = Some((from, request));
        let token = request.to_u64();
        Some(match ask {
            ControlAsk::CreateTopics(create) => {
                seat.machine.create_topics(now_ms, token, &create, &mut random_uuid)
            }
            ControlAsk::CreatePartitions(create) => {
                seat.machine.create_partitions(now_ms, token, &create)
            }
            ControlAsk::DeleteTopics(delete) => seat.machine.delete_topics(now_ms, token, &delete),
            ControlAsk::AlterConfigs(alter) => seat.machine.alter_configs(now_ms, token, &alter),
            ControlAsk::DescribeQuorum(describe) => {
                seat.machine.describe_quorum(now_ms, token, &describe)
            }
            ControlAsk::UpdateFeatures(version, update) => {
                seat.machine.update_features(now_ms, token, version, &update)
            }
            ControlAsk::ProducerIds => seat.machine.allocate_producer_ids(now_ms, token),
        })
    }

    fn run_commands(&mut self, core: &mut ShardCore, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Append(append) => self.append_metadata(core, &append),
                Command::Publish(image) => {
                    if let Some(seat) = self.seat.as_mut() {
                        seat.published = image.applied.offset;
                    }
                    for shard in 0..self.shared.config.shards {
                        self.post(core, shard, Message::Image(Arc::clone(&image)));
                    }
                }
                Command::Reply(_, reply) => {
                    if let Some(seat) = self.seat.as_mut() {
                        seat.held = Some(reply);
                    }
                }
                Command::Stopped(_) => {}
            }
        }
    }

    fn append_metadata(&mut self, core: &mut ShardCore, append: &Append) {
        let now_ms = core.wall_ms();
        let Some(seat) = self.seat.as_mut() else { return };
        let slot = seat.slot;
        let Some(hosted) = self.logs.get_mut(slot) else { return };
        let log = &mut hosted.partition.log;
        // What is written already is read by nobody.
        log.evict(u64::MAX);
        match append_batch(log, now_ms, &mut PoolMemory(&mut seat.pool), append) {
            Ok(()) => self.touch(slot),
            Err(why) => self.controller_failed(core, &why),
        }
    }

    /// The metadata log has moved: what is durable now is told to the machine.
    pub(super) fn controller_progress(&mut self, core: &mut ShardCore) {
        let Some(seat) = self.seat.as_mut() else { return };
        let Some(hosted) = self.logs.get(seat.slot) else { return };
        if let Some(failure) = hosted.partition.log.failure() {
            let why = failure.to_string();
            return self.controller_failed(core, &why);
        }
        let durable = hosted.partition.log.durable_offset();
        let commands = seat.machine.committed(durable);
        self.run_commands(core, commands);
        self.release_held(core);
        self.next_controls(core);
    }

    /// The metadata log cannot be written: topics stay as they are until the process starts anew.
    fn controller_failed(&mut self, core: &mut ShardCore, why: &str) {
        let Some(seat) = self.seat.as_mut() else { return };
        if std::mem::replace(&mut seat.failed, true) {
            return;
        }
        tracing::error!(
            why,
            "the metadata log failed: no topic changes until the broker is restarted"
        );
        seat.machine.failed();
        let current = seat.current.take();
        let waiting = std::iter::from_fn(|| seat.queue.pop());
        let waiting: Vec<_> = waiting.map(|asked| (asked.from, asked.request)).collect();
        for (from, request) in current.into_iter().chain(waiting) {
            let answer = Err(ErrorCode::KafkaStorageError);
            self.post(core, from, Message::Controlled { request, answer });
        }
    }

    /// A shard works by the image of `offset` now.
    pub(super) fn image_applied(&mut self, core: &mut ShardCore, from: usize, offset: i64) {
        let Some(seat) = self.seat.as_mut() else { return };
        seat.applied[from] = seat.applied[from].max(offset);
        self.release_held(core);
        self.next_controls(core);
    }

    /// Sends the machine's answer, if every shard works by what it says.
    fn release_held(&mut self, core: &mut ShardCore) {
        let Some(seat) = self.seat.as_mut() else { return };
        if seat.applied.iter().any(|applied| *applied < seat.published) {
            return;
        }
        let Some(reply) = seat.held.take() else { return };
        let Some((from, request)) = seat.current.take() else { return };
        self.post(core, from, Message::Controlled { request, answer: Ok(reply) });
    }
}

/// Appends one of the controller's batches, whose place it has chosen.
///
/// # Errors
/// Says why the log did not take it.
pub fn append_batch(
    log: &mut Log<LogMemory>,
    now_ms: i64,
    memory: &mut PoolMemory<'_>,
    append: &Append,
) -> Result<(), String> {
    assert!(log.end_offset() == append.base_offset, "the controller is the log's only writer");
    let (batch, _) = Batch::parse(&append.batch).map_err(|error| error.to_string())?;
    let appended =
        log.append(now_ms, memory, &batch, append.epoch).map_err(|error| error.to_string())?;
    assert!(appended.last_offset + 1 == append.next_offset, "as many records as were staged");
    Ok(())
}

/// A random id that is none of Kafka's reserved ones (the controller draws again if it is).
pub fn random_uuid() -> Uuid {
    let mut bytes = [0; 16];
    ringlog_shard::fs::random(&mut bytes).expect("the kernel's random source works");
    Uuid(bytes)
}
