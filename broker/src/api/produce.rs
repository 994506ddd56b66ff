//! Produce · key 0 · v3–13, advertised from 0 (rule 5).  v8: error messages.  v10: who leads
//! instead (KIP-951).  v12: transactions of version 2.  v13: topics by id.
//!
//! The path: walk the request in place → for each partition, check the batch, append it to its log
//! (here, or on the owner's shard over the bus) → wait until each is durable → answer in one piece.
//! acks = 0 is answered by silence, and by closing the connection when anything went wrong (rule
//! 11). What all batches of a request open to is bounded on each shard by [`INFLATED_BYTES_MAX`],
//! and counts as the connection's share of the turn. A batch that begins a transaction in its
//! partition waits for the transaction's coordinator first ([`verify`]).

pub mod verify;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringlog_shard::ConnId;
use ringlog_storage::producer::Origin;
use ringlog_wire::api::produce::{
    PartitionResult, RecordError, RequestView, ResponseWriter, TopicView,
};
use ringlog_wire::batch::INFLATED_BYTES_MAX;
use ringlog_wire::error::ErrorCode;

use super::{Outcome, PARTITIONS_MAX, ReplyTo, Request};
use crate::config::Advertise;
use crate::memory::PoolMemory;
use crate::message::{Message, ProduceFor, ProducePart, Produced, TopicPartition};
use crate::metadata::names;
use crate::partition::{Acks, Guard, TopicName, Waiter, WaitsFor};
use crate::shell::{ShardCore, Shell};
use crate::slab::Key;
use crate::topics::Place;
use crate::validate::{self, Around, Refusal};
use verify::{Unverified, VERSION_2_FROM, producers_of};

/// One node keeps one replica of each partition.
const REPLICAS_IN_SYNC: i32 = 1;
/// Most records that one answer names as the reason for a refusal, whatever their batches: naming
/// one takes more bytes than sending it.
const RECORD_ERRORS_MAX: usize = 1000;

/// A produce request that waits for its partitions.
#[derive(Debug)]
pub struct PendingProduce {
    to: ReplyTo,
    acks: Acks,
    /// Each topic and how many of the entries are its.
    topics: Vec<(Arc<TopicName>, usize)>,
    entries: Vec<Entry>,
    /// Entries that are neither acknowledged nor refused yet.
    waiting: usize,
    /// When the client gives up.
    deadline: Instant,
}

/// One partition's answer in the making.
#[derive(Clone, Debug)]
struct Entry {
    index: i32,
    error: ErrorCode,
    /// What goes with the error.
    refusal: Option<Box<Refusal>>,
    base_offset: i64,
    log_append_time: i64,
    log_start: i64,
    /// The shard that owns the partition, where that is the error.
    leader: Option<usize>,
    done: bool,
}

impl Entry {
    fn refused(index: i32, error: ErrorCode) -> Entry {
        Entry {
            index,
            error,
            refusal: None,
            base_offset: -1,
            log_append_time: -1,
            log_start: -1,
            leader: None,
            done: true,
        }
    }

    fn refused_for(index: i32, refusal: Refusal) -> Entry {
        let error = refusal.code;
        Entry { refusal: Some(Box::new(refusal)), ..Entry::refused(index, error) }
    }

    fn waiting(index: i32) -> Entry {
        Entry { done: false, ..Entry::refused(index, ErrorCode::None) }
    }

    fn done(index: i32) -> Entry {
        Entry::refused(index, ErrorCode::None)
    }
}

/// On which terms a request's partitions are appended.
struct Terms {
    acks: Acks,
    version: i16,
    /// Records that its refusals may still name.
    problems_left: usize,
    transactional_id: Option<Arc<str>>,
    /// What waits for the transaction's coordinator.
    unverified: Vec<Unverified>,
}

impl Terms {
    fn new(acks: Acks, version: i16, transactional_id: Option<Arc<str>>) -> Terms {
        let (problems_left, unverified) = (RECORD_ERRORS_MAX, Vec::new());
        Terms { acks, version, problems_left, transactional_id, unverified }
    }
}

/// A request as it is taken apart.
struct Plan {
    pending: PendingProduce,
    /// The key under which the request will wait.
    key: Key,
    terms: Terms,
    refusal: Option<Refusal>,
    /// The reason, if it goes before whether a partition is there.
    refused_first: bool,
    /// Kafka's own tools may write to the coordinators' topics (rule 24).
    is_admin: bool,
    /// Parts for other shards, by shard.
    remote: Vec<(usize, Vec<ProducePart>)>,
}

/// Answers a Produce request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match RequestView::parse(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    if view.topics().map(|topic| 1 + topic.partitions().len()).sum::<usize>() > PARTITIONS_MAX {
        return Outcome::too_many_partitions(request.api);
    }
    let timeout_ms = u64::try_from(view.timeout_ms()).unwrap_or(0);
    let pending = PendingProduce {
        to: request.reply_to(),
        acks: acks_of(view.acks()).unwrap_or(Acks::Leader),
        topics: Vec::with_capacity(view.topics().len()),
        entries: Vec::new(),
        waiting: 0,
        deadline: core.now() + Duration::from_millis(timeout_ms),
    };
    let refused_first = refuse_transaction(&view);
    let transactional_id = view.transactional_id().map(Arc::from);
    let mut plan = Plan {
        terms: Terms::new(pending.acks, request.version, transactional_id),
        pending,
        key: shell.produces.next_key(),
        is_admin: request.client_id == Some("__admin_client"),
        refused_first: refused_first.is_some(),
        refusal: refused_first.or_else(|| refuse_all(&view)),
        remote: Vec::new(),
    };
    shell.codecs.allow(INFLATED_BYTES_MAX);
    for topic in view.topics() {
        shell.produce_topic(core, &mut plan, &topic);
    }
    let opened = INFLATED_BYTES_MAX - shell.codecs.left();
    if opened > 0
        && let Some(session) = shell.sessions.get_mut(&request.conn)
    {
        session.share.charge(opened as usize);
    }
    let Plan { pending, key, remote, mut terms, .. } = plan;
    let on_behalf = match pending.acks {
        Acks::None => ProduceFor::Nobody(request.conn),
        acks => ProduceFor::Request(key, acks),
    };
    let outcome = finish(shell, pending, key);
    for (shard, parts) in remote {
        let transactional_id = terms.transactional_id.clone();
        let version = terms.version;
        shell.post(core, shard, Message::Produce { on_behalf, version, transactional_id, parts });
    }
    shell.verify(core, on_behalf, &mut terms);
    outcome
}

fn acks_of(acks: i16) -> Option<Acks> {
    match acks {
        0 => Some(Acks::None),
        1 => Some(Acks::Leader),
        -1 => Some(Acks::All),
        _ => None,
    }
}

/// A reason to refuse every partition of a request.
fn refuse_all(view: &RequestView<'_>) -> Option<Refusal> {
    if acks_of(view.acks()).is_none() {
        return Some((ErrorCode::InvalidRequiredAcks, "acks must be 0, 1 or -1.").into());
    }
    None
}

/// What a request with transactional records must have: a transactional id, and one producer. K:
/// `KafkaApis.handleProduceRequest`, `ReplicaManager.handleProduceAppend`.
fn refuse_transaction(view: &RequestView<'_>) -> Option<Refusal> {
    let records = view.topics().flat_map(|topic| topic.partitions()).map(|it| it.records);
    let (is_transactional, _, several) = producers_of(records);
    if is_transactional && view.transactional_id().is_none() {
        let why = "Transactional records need a transactional id.";
        return Some((ErrorCode::TransactionalIdAuthorizationFailed, why).into());
    }
    if several {
        let why = "The transactional records are of more than one producer.";
        return Some((ErrorCode::InvalidProducerIdMapping, why).into());
    }
    None
}

/// Parks the request, or answers it when nothing is left to wait for.
fn finish(shell: &mut Shell, pending: PendingProduce, key: Key) -> Outcome {
    if pending.acks == Acks::None {
        return match pending.entries.iter().find(|entry| !entry.error.is_none()) {
            // The client hears of it in no other way.
            Some(entry) => Outcome::Close(unheard(entry.error)),
            None => Outcome::Silence,
        };
    }
    if pending.waiting == 0 {
        return Outcome::Reply(shell.produce_reply(&pending).into());
    }
    let inserted = shell.produces.insert(pending);
    assert!(inserted == key, "nothing was parked while the request was taken apart");
    Outcome::Parked
}

/// What the log says of a refusal that the client hears of by the end of its connection alone.
fn unheard(error: ErrorCode) -> String {
    format!("a produce with acks = 0 failed: {}", error.name())
}

impl Shell {
    fn produce_topic(&mut self, core: &mut ShardCore, plan: &mut Plan, view: &TopicView<'_>) {
        let by_id = plan.terms.version >= 13;
        let topic = match by_id {
            true => self.topics.with_id(view.topic_id).cloned(),
            false => self.topics.named(view.name).cloned(),
        };
        let name = match &topic {
            Some(topic) => Arc::clone(&topic.name),
            None => Arc::new(TopicName { name: view.name.into(), id: view.topic_id }),
        };
        let to = |index| TopicPartition { topic: name.id, index };
        let mut refusal = plan.refusal.clone();
        if refusal.is_none() && !plan.is_admin && names::is_internal(&name.name) {
            let why = "Clients may not write to this topic.";
            refusal = Some((ErrorCode::InvalidTopicException, why).into());
        }
        plan.pending.topics.push((Arc::clone(&name), view.partitions().len()));
        for partition in view.partitions() {
            let index = partition.index;
            let place = topic.as_ref().and_then(|topic| topic.place(index));
            // What is not there is not there, whatever else is wrong.
            let entry = match (place, &refusal) {
                (_, Some(refusal)) if plan.refused_first => {
                    Entry::refused_for(index, refusal.clone())
                }
                (None, _) if by_id && topic.is_none() => {
                    Entry::refused(index, ErrorCode::UnknownTopicId)
                }
                (None, _) => Entry::refused(index, ErrorCode::UnknownTopicOrPartition),
                (Some(_), Some(refusal)) => Entry::refused_for(index, refusal.clone()),
                (Some(place), None) => {
                    self.produce_partition(core, plan, place, to(index), partition.records)
                }
            };
            plan.pending.waiting += usize::from(!entry.done);
            plan.pending.entries.push(entry);
        }
    }

    /// One partition of a request: to its log, to its owner, or refused.
    fn produce_partition(
        &mut self,
        core: &mut ShardCore,
        plan: &mut Plan,
        place: Place,
        to: TopicPartition,
        records: Option<&[u8]>,
    ) -> Entry {
        let entry = plan.pending.entries.len() as u32;
        let acks = plan.pending.acks;
        match place {
            Place::Open(slot) => {
                let waiter = Waiter {
                    what: WaitsFor::Produce,
                    shard: self.shard,
                    request: plan.key,
                    entry,
                    base_offset: -1,
                    log_append_time: -1,
                };
                match self.append(core, slot, &mut plan.terms, records, waiter, None) {
                    Ok(()) if acks == Acks::None => Entry::done(to.index),
                    Ok(()) => Entry::waiting(to.index),
                    Err(refusal) => {
                        self.topic_counts(place, to.topic).refused();
                        Entry::refused_for(to.index, refusal)
                    }
                }
            }
            Place::Remote(shard) if self.shared.config.advertise == Advertise::Node => {
                let records = records.unwrap_or_default().to_vec();
                let part = ProducePart { entry, to, records };
                match plan.remote.iter_mut().find(|(other, _)| *other == shard) {
                    Some((_, parts)) => parts.push(part),
                    None => plan.remote.push((shard, vec![part])),
                }
                match acks {
                    Acks::None => Entry::done(to.index),
                    _ => Entry::waiting(to.index),
                }
            }
            Place::Remote(shard) => Entry {
                leader: Some(shard),
                ..Entry::refused(to.index, ErrorCode::NotLeaderOrFollower)
            },
            Place::Opening => Entry::refused(to.index, ErrorCode::NotLeaderOrFollower),
            Place::Failed => Entry::refused(to.index, ErrorCode::KafkaStorageError),
        }
    }

    /// Checks one partition's records and appends them; `waiter` hears of it when they are durable.
    /// Those that wait for a coordinator first are left in `terms`, but for those that come with
    /// its answer under the guard `verified`.
    fn append(
        &mut self,
        core: &mut ShardCore,
        slot: Key,
        terms: &mut Terms,
        records: Option<&[u8]>,
        waiter: Waiter,
        verified: Option<Guard>,
    ) -> Result<(), Refusal> {
        let left = self.codecs.left();
        let appended = self.check_and_append(core, slot, terms, records, waiter, verified);
        if self.codecs.left() != left || appended.is_err() {
            // The log has taken the batch: what it was opened in may go.
            self.codecs.trim();
        }
        if let Err(refusal) = &appended {
            terms.problems_left -= refusal.records.len();
        }
        appended
    }

    fn check_and_append(
        &mut self,
        core: &mut ShardCore,
        slot: Key,
        terms: &mut Terms,
        records: Option<&[u8]>,
        waiter: Waiter,
        verified: Option<Guard>,
    ) -> Result<(), Refusal> {
        let Terms { acks, version: produce_version, problems_left: problems_max, .. } = *terms;
        let gone = (ErrorCode::NotLeaderOrFollower, "The partition is being closed.");
        let hosted = self.logs.get_mut(slot).filter(|hosted| !hosted.doomed).ok_or(gone)?;
        let partition = &mut hosted.partition;
        let now_ms = core.wall_ms();
        if acks == Acks::All && partition.rules.min_insync_replicas > REPLICAS_IN_SYNC {
            let why = "Fewer replicas are in sync than min.insync.replicas asks for.";
            return Err((ErrorCode::NotEnoughReplicas, why).into());
        }
        let rules = &partition.rules;
        let around = Around { rules, produce_version, now_ms, problems_max };
        let batch = validate::check(records, around, &mut self.codecs)?;
        let header = *batch.header();
        let memory = &mut PoolMemory(core.pool());
        let appended = match verified {
            None if !partition.transaction_is_verified(&header) => {
                let why = "Too many transactions are being verified.";
                let guard = partition.begin_verification(&header).map_err(|code| (code, why))?;
                let producer = (header.producer_id, header.producer_epoch);
                let (of, records) = (hosted.of, records.unwrap_or_default().to_vec());
                let batch = Unverified { slot, of, waiter, guard, producer, records };
                return self.park_unverified(terms, batch);
            }
            None => partition.append(now_ms, memory, &batch),
            Some(guard) => {
                let is_second = produce_version >= VERSION_2_FROM;
                let origin = if is_second { Origin::ClientOfVersion2 } else { Origin::Client };
                partition.append_verified((guard, origin), now_ms, memory, &batch)
            }
        };
        let appended = appended.map_err(|error| (error, "The log did not take the batch."))?;
        let records = (appended.last_offset + 1 - appended.base_offset) as u64;
        hosted.counts.appended(records, header.size());
        self.pace.appended(header.size(), core.now());
        let waiter = Waiter {
            base_offset: appended.base_offset,
            log_append_time: appended.log_append_time,
            ..waiter
        };
        partition.wait(acks, appended.last_offset + 1, waiter);
        self.touch(slot);
        Ok(())
    }

    /// Another shard's parts of a produce request, for partitions of this one.
    pub(crate) fn produce_for(
        &mut self,
        core: &mut ShardCore,
        from: usize,
        on_behalf: ProduceFor,
        (version, transactional_id): (i16, Option<Arc<str>>),
        parts: Vec<ProducePart>,
    ) {
        let (request, acks) = match on_behalf {
            ProduceFor::Request(request, acks) => (request, acks),
            ProduceFor::Nobody(_) => (Key::from_u64(0), Acks::None),
        };
        let mut results = Vec::new();
        let mut terms = Terms::new(acks, version, transactional_id);
        self.codecs.allow(INFLATED_BYTES_MAX);
        for ProducePart { entry, to, records } in parts {
            let place = self.topics.with_id(to.topic).and_then(|topic| topic.place(to.index));
            let waiter = Waiter {
                what: WaitsFor::Produce,
                shard: from,
                request,
                entry,
                base_offset: -1,
                log_append_time: -1,
            };
            let appended = match place {
                Some(Place::Open(slot)) => {
                    self.append(core, slot, &mut terms, Some(&records), waiter, None)
                }
                Some(Place::Failed) => Err((ErrorCode::KafkaStorageError, "").into()),
                _ => Err((ErrorCode::NotLeaderOrFollower, "").into()),
            };
            if let Err(refusal) = appended {
                let place = place.unwrap_or(Place::Failed);
                self.topic_counts(place, to.topic).refused();
                results.push(Produced::failed(entry, refusal.code, Some(Box::new(refusal))));
            }
        }
        self.verify(core, on_behalf, &mut terms);
        let Some(first) = results.first() else { return };
        let message = match on_behalf {
            ProduceFor::Request(request, _) => Message::Produced { request, results },
            ProduceFor::Nobody(conn) => Message::Unheard { conn, error: first.error },
        };
        self.post(core, from, message);
    }

    /// Another shard has refused a part of a request of `conn` with acks = 0.
    pub(crate) fn produce_unheard(&mut self, core: &mut ShardCore, conn: ConnId, error: ErrorCode) {
        // Several shards may have refused.
        if self.sessions.get(&conn).is_some_and(|session| !session.closing) {
            self.refuse(core, conn, &unheard(error));
        }
    }

    /// Partitions of a parked request are acknowledged or refused; when none is left, it is
    /// answered.
    pub(crate) fn produced(
        &mut self,
        core: &mut ShardCore,
        request: Key,
        results: impl IntoIterator<Item = Produced>,
    ) {
        let Some(pending) = self.produces.get_mut(request) else { return };
        for result in results {
            let entry = &mut pending.entries[result.entry as usize];
            assert!(!entry.done, "a partition is acknowledged once");
            entry.done = true;
            entry.error = result.error;
            entry.refusal = result.refusal;
            entry.base_offset = result.base_offset;
            entry.log_append_time = result.log_append_time;
            entry.log_start = result.log_start;
            pending.waiting -= 1;
        }
        if pending.waiting == 0 {
            self.answer_produce(core, request);
        }
    }

    fn answer_produce(&mut self, core: &mut ShardCore, request: Key) {
        let Some(pending) = self.produces.remove(request) else { return };
        let reply = self.produce_reply(&pending);
        self.reply(core, pending.to.conn, pending.to.sequence, Some(reply.into()));
    }

    /// Answers requests whose clients have given up: what is not acknowledged by now may still
    /// become durable.
    pub(crate) fn expire_produces(&mut self, core: &mut ShardCore) {
        let now = core.now();
        let late: Vec<Key> = self
            .produces
            .keys()
            .filter(|key| self.produces.get(*key).is_some_and(|p| p.deadline <= now))
            .collect();
        for key in late {
            let Some(pending) = self.produces.get_mut(key) else { continue };
            for entry in pending.entries.iter_mut().filter(|entry| !entry.done) {
                entry.error = ErrorCode::RequestTimedOut;
                entry.done = true;
            }
            self.answer_produce(core, key);
        }
    }

    fn produce_reply(&mut self, pending: &PendingProduce) -> Vec<u8> {
        for entry in pending.entries.iter().filter(|entry| !entry.error.is_none()) {
            self.counters.error(pending.to.api.key, entry.error);
        }
        let version = pending.to.version;
        let mut leaders = Vec::new();
        let mut problems = Vec::new();
        let mut problems_left = RECORD_ERRORS_MAX;
        pending.to.frame(|out| {
            let mut writer = ResponseWriter::new(version, pending.topics.len(), out);
            let mut entries = pending.entries.iter();
            for (topic, count) in &pending.topics {
                writer.topic(&topic.name, topic.id, *count);
                for entry in entries.by_ref().take(*count) {
                    let leader = entry.leader.map(|shard| self.broker_of_shard(shard));
                    leaders.extend(leader);
                    let refusal = entry.refusal.as_deref();
                    problems.clear();
                    if let Some(refusal) = refusal {
                        let records = refusal.records.iter().take(problems_left);
                        problems.extend(records.map(|problem| RecordError {
                            batch_index: problem.index,
                            message: Some(&problem.why),
                        }));
                        problems_left -= problems.len();
                    }
                    writer.partition(&PartitionResult {
                        index: entry.index,
                        error_code: entry.error,
                        base_offset: entry.base_offset,
                        log_append_time_ms: entry.log_append_time,
                        log_start_offset: entry.log_start,
                        record_errors: &problems,
                        error_message: refusal.map(|it| it.why).filter(|why| !why.is_empty()),
                        current_leader: leader
                            .map(|id| (id, self.leader_epoch(topic.id, entry.index))),
                    });
                }
            }
            leaders.sort_unstable();
            leaders.dedup();
            writer.finish(0, &self.endpoints(&leaders));
        })
    }
}
