//! A group of members in threads of their own, and records that flow while something is awaited.
//!
//! Invariants, kept by [`Ledger`]: a partition has one owner at a time, and a record is taken by
//! the owner of its partition; all else is a complaint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use crate::broker::{Broker, Record, Reports, WAIT_MAX, send};
use crate::{Failure, expect};

pub const PARTITIONS: i32 = 6;
const DEADLINE: Duration = Duration::from_secs(25);
const INTERVAL: Duration = Duration::from_millis(20);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How many messages a member takes before it commits; it does, too, when there are none.
const COMMIT_EVERY: usize = 20;

/// A topic and a partition.
pub type Place = (String, i32);

/// Who owns which partition, and what was taken from it.
#[derive(Default)]
pub struct Ledger {
    owners: BTreeMap<Place, String>,
    served: BTreeSet<Place>,
    taken: BTreeMap<Place, BTreeSet<i64>>,
    changes: BTreeMap<String, usize>,
    zombies: BTreeSet<String>,
    complaints: Vec<String>,
}

impl Ledger {
    fn assigned(&mut self, member: &str, places: Vec<Place>) {
        if self.zombies.contains(member) || places.is_empty() {
            return;
        }
        *self.changes.entry(member.into()).or_default() += 1;
        for place in places {
            self.served.remove(&place);
            let owner = self.owners.entry(place.clone()).or_insert_with(|| member.into());
            if owner != member {
                self.complaints.push(format!("{member} is given {place:?} of {owner}"));
            }
        }
    }

    fn revoked(&mut self, member: &str, places: &[Place]) {
        if !places.is_empty() {
            *self.changes.entry(member.into()).or_default() += 1;
        }
        self.owners.retain(|place, owner| owner != member || !places.contains(place));
    }

    fn left(&mut self, member: &str) {
        self.owners.retain(|_, owner| owner != member);
    }

    fn took(&mut self, member: &str, place: Place, offset: i64) {
        self.taken.entry(place.clone()).or_default().insert(offset);
        if self.zombies.contains(member) {
            return;
        }
        if self.owners.get(&place).is_none_or(|owner| owner != member) {
            self.complaints.push(format!("{member} took of {place:?}, which is not its own"));
        }
        self.served.insert(place);
    }

    /// What a member owns, and how often that changed.
    pub fn of(&self, member: &str) -> (Vec<Place>, usize) {
        let held = self.owners.iter().filter(|(_, owner)| *owner == member);
        let changes = self.changes.get(member).copied().unwrap_or_default();
        (held.map(|(place, _)| place.clone()).collect(), changes)
    }

    /// How many partitions each owner has; those that it took nothing from yet not counted.
    fn shares(&self) -> Vec<usize> {
        let mut counts = BTreeMap::<&String, usize>::new();
        for owner in self.served.iter().filter_map(|place| self.owners.get(place)) {
            *counts.entry(owner).or_default() += 1;
        }
        let mut shares: Vec<usize> = counts.into_values().collect();
        shares.sort_unstable();
        shares
    }
}

/// Tells the ledger of what a member is given and what it loses.
struct Watcher {
    name: String,
    ledger: Arc<Mutex<Ledger>>,
}

impl Watcher {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no panic holds it")
    }
}

fn places(list: &TopicPartitionList) -> Vec<Place> {
    list.elements().iter().map(|one| (one.topic().to_string(), one.partition())).collect()
}

impl ClientContext for Watcher {}

impl ConsumerContext for Watcher {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => self.ledger().assigned(&self.name, places(list)),
            Rebalance::Revoke(list) => {
                // Whoever owns the partitions next takes again what this one cannot commit.
                let _ = consumer.commit_consumer_state(CommitMode::Sync);
                self.ledger().revoked(&self.name, &places(list));
            }
            Rebalance::Error(_) => {}
        }
    }
}

/// A member of a group: takes records, and commits what it took, until it has to leave.
pub struct Member {
    pub name: String,
    is_leaving: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), KafkaError>>>,
}

impl Member {
    fn start(
        name: &str,
        ledger: &Arc<Mutex<Ledger>>,
        config: ClientConfig,
        topics: &[String],
    ) -> Self {
        let watcher = Watcher { name: name.to_string(), ledger: Arc::clone(ledger) };
        let is_leaving = Arc::new(AtomicBool::new(false));
        let (leaving, topics) = (Arc::clone(&is_leaving), topics.to_vec());
        let (ledger, label) = (Arc::clone(ledger), name.to_string());
        let thread = thread::spawn(move || {
            let result = take(watcher, &config, &topics, &leaving);
            ledger.lock().expect("no panic holds it").left(&label);
            result
        });
        Self { name: name.to_string(), is_leaving, thread: Some(thread) }
    }

    /// Whether it ended of itself.
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Makes it leave, if it is not gone, and tells why it went.
    pub fn leave(mut self) -> Result<(), KafkaError> {
        self.is_leaving.store(true, Ordering::Relaxed);
        match self.thread.take() {
            Some(thread) => thread.join().expect("members do not panic"),
            None => Ok(()),
        }
    }
}

/// A member that nobody waits for leaves all the same.
impl Drop for Member {
    fn drop(&mut self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }
}

fn take(
    watcher: Watcher,
    config: &ClientConfig,
    topics: &[String],
    is_leaving: &AtomicBool,
) -> Result<(), KafkaError> {
    let (name, ledger) = (watcher.name.clone(), Arc::clone(&watcher.ledger));
    let consumer: BaseConsumer<Watcher> = config.create_with_context(watcher)?;
    consumer.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut taken = 0;
    while !is_leaving.load(Ordering::Relaxed) {
        let is_quiet = match consumer.poll(POLL_INTERVAL) {
            None => true,
            Some(message) => {
                let message = message?;
                let place = (message.topic().to_string(), message.partition());
                ledger.lock().expect("no panic holds it").took(&name, place, message.offset());
                taken += 1;
                false
            }
        };
        if is_quiet || taken % COMMIT_EVERY == 0 {
            commit(&consumer)?;
        }
    }
    commit(&consumer)?;
    ledger.lock().expect("no panic holds it").left(&name);
    Ok(())
}

/// Commits what was taken, or nothing while the group changes.
fn commit(consumer: &BaseConsumer<Watcher>) -> Result<(), KafkaError> {
    use RDKafkaErrorCode::{
        AssignmentLost, IllegalGeneration, NoOffset, RebalanceInProgress, StaleMemberEpoch,
        UnknownMemberId,
    };
    match consumer.commit_consumer_state(CommitMode::Sync) {
        Err(KafkaError::ConsumerCommit(
            AssignmentLost | IllegalGeneration | NoOffset | RebalanceInProgress | StaleMemberEpoch
            | UnknownMemberId,
        )) => Ok(()),
        other => other,
    }
}

/// A group over some topics, to which records go all the time while something is awaited.
pub struct Flow<'a> {
    broker: &'a Broker,
    pub group: String,
    pub topics: Vec<String>,
    pub ledger: Arc<Mutex<Ledger>>,
    pub members: Vec<Member>,
    producer: ThreadedProducer<Reports>,
    sent: i64,
}

impl<'a> Flow<'a> {
    pub fn new(broker: &'a Broker, check: &str, topics: usize) -> Result<Self, Failure> {
        let name = |number| broker.topic(&format!("{check}-{number}"), PARTITIONS, &[]);
        let topics = (0..topics).map(name).collect::<Result<Vec<String>, Failure>>()?;
        let (producer, _) = broker.producer(&[("linger.ms", "0")])?;
        let group = format!("{}-{check}", broker.prefix);
        let (ledger, members) = (Arc::default(), Vec::new());
        Ok(Self { broker, group, topics, ledger, members, producer, sent: 0 })
    }

    pub fn config(&self, settings: &[(&str, &str)]) -> ClientConfig {
        let mut config = Broker::config(&self.broker.bootstrap);
        config.set("group.id", &self.group).set("auto.offset.reset", "earliest");
        config.set("enable.auto.commit", "false").set("fetch.wait.max.ms", "50");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        config
    }

    pub fn join(&mut self, name: &str, settings: &[(&str, &str)]) {
        self.join_as(name, settings, &self.topics.clone());
    }

    /// With `^` at its beginning a topic is a regular expression.
    pub fn join_as(&mut self, name: &str, settings: &[(&str, &str)], topics: &[String]) {
        let member = Member::start(name, &self.ledger, self.config(settings), topics);
        self.members.push(member);
    }

    pub fn leave(&mut self, name: &str) -> Result<(), Failure> {
        Ok(self.remove(name)?.leave()?)
    }

    fn remove(&mut self, name: &str) -> Result<Member, Failure> {
        let at = self.members.iter().position(|member| member.name == name);
        Ok(self.members.remove(at.ok_or("no such member")?))
    }

    /// It will be fenced, and until it knows of that, it owns nothing, whatever it says.
    pub fn forsake(&mut self, name: &str) -> Result<Member, Failure> {
        let member = self.remove(name)?;
        let mut ledger = self.lock();
        ledger.left(name);
        ledger.zombies.insert(name.to_string());
        drop(ledger);
        Ok(member)
    }

    pub fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no panic holds it")
    }

    /// A record to each partition.
    pub fn send(&mut self) -> Result<(), Failure> {
        for topic in &self.topics {
            for partition in 0..PARTITIONS {
                let value = Some(self.sent.to_string().into_bytes());
                send(&self.producer, topic, &Record { partition, value, ..Record::default() })?;
            }
        }
        self.sent += 1;
        Ok(self.producer.flush(WAIT_MAX)?)
    }

    pub fn until(
        &mut self,
        what: &str,
        is_flowing: bool,
        condition: impl Fn(&Ledger) -> bool,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + DEADLINE;
        while !condition(&self.lock()) {
            if let Some(at) = self.members.iter().position(Member::is_over) {
                self.members.remove(at).leave()?;
            }
            let ledger = self.lock();
            if Instant::now() > deadline || !ledger.complaints.is_empty() {
                let (shares, complaints) = (ledger.shares(), &ledger.complaints);
                return Err(format!("no {what}; shares {shares:?}, {complaints:?}").into());
            }
            drop(ledger);
            if is_flowing {
                self.send()?;
            }
            thread::sleep(INTERVAL);
        }
        Ok(())
    }

    pub fn until_shared(&mut self, shares: &[usize]) -> Result<(), Failure> {
        self.until(&format!("shares {shares:?}"), true, |ledger| ledger.shares() == shares)
    }

    fn everything(&self, offsets: std::ops::Range<i64>) -> BTreeMap<Place, BTreeSet<i64>> {
        let of = |topic: &String| {
            let topic = topic.clone();
            (0..PARTITIONS).map(move |partition| (topic.clone(), partition))
        };
        let all = self.topics.iter().flat_map(of);
        all.map(|place| (place, offsets.clone().collect())).collect()
    }

    pub fn until_taken(&mut self) -> Result<(), Failure> {
        let all = self.everything(0..self.sent);
        self.until("end of what was sent", false, |ledger| ledger.taken == all)
    }

    /// All is taken, all leave, and what is committed is what was taken.
    pub fn finish(&mut self) -> Result<(), Failure> {
        self.until_taken()?;
        for member in std::mem::take(&mut self.members) {
            member.leave()?;
        }
        expect(format!("{:?}", self.lock().complaints), "[]")?;
        let wanted = vec![Some(self.sent); self.topics.len() * PARTITIONS as usize];
        expect(format!("{:?}", self.committed()?), &format!("{wanted:?}"))?;
        Ok(())
    }

    /// The committed offset of each partition.
    pub fn committed(&self) -> Result<Vec<Option<i64>>, Failure> {
        let mut list = TopicPartitionList::new();
        for topic in &self.topics {
            list.add_partition_range(topic, 0, PARTITIONS - 1);
        }
        let consumer: BaseConsumer = self.config(&[]).create()?;
        let found = consumer.committed_offsets(list, WAIT_MAX)?;
        let offset_of = |offset| match offset {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        Ok(found.elements().iter().map(|one| offset_of(one.offset())).collect())
    }

    /// A new member of the group reads what is new, and nothing old.
    pub fn fresh(&mut self, settings: &[(&str, &str)]) -> Result<(), Failure> {
        self.ledger = Arc::default();
        self.join("fresh", settings);
        self.send()?;
        let new = self.everything(self.sent - 1..self.sent);
        self.until("end of what is new", false, |ledger| ledger.taken.len() == new.len())?;
        self.leave("fresh")?;
        expect(format!("{:?}", self.lock().taken), &format!("{new:?}"))?;
        Ok(())
    }
}
