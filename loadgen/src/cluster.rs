//! Who leads what: what Metadata said of one topic, asked for again when something moved.
//!
//! These conversations block. They precede the load, and they mend it: a run that meets an error
//! pauses for them, a run without one has none.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ringlog_wire::api;
use ringlog_wire::{ErrorCode, Uuid};

use api::create_topics::{CreatableTopic, CreateTopicsRequest, CreateTopicsResponse};
use api::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};

use crate::control::{CONTROL_TIMEOUT, Control, SETTLE_PAUSE, check};
use crate::error::Error;
use crate::options::Common;

/// Metadata is not asked for again sooner than this, however many connections fail at once.
pub const REFRESH_INTERVAL: Duration = Duration::from_millis(20);
/// Partitions that a topic is created with when the options do not say.
pub const PARTITIONS_DEFAULT: i32 = 4;

/// What Metadata says of one topic.
#[derive(Debug)]
pub struct Cluster {
    bootstrap: Vec<String>,
    topic: String,
    topic_id: Uuid,
    leaders: Vec<i32>,
    brokers: BTreeMap<i32, String>,
    refreshed: Option<Instant>,
}

impl Cluster {
    /// Asks for the topic, and creates it when it does not exist.
    pub fn open(common: &Common) -> Result<Cluster, Error> {
        let bootstrap = common.bootstrap.split(',').map(|address| address.trim().to_owned());
        let mut cluster = Cluster {
            bootstrap: bootstrap.collect(),
            topic: common.topic.clone(),
            topic_id: Uuid::ZERO,
            leaders: Vec::new(),
            brokers: BTreeMap::new(),
            refreshed: None,
        };
        let deadline = Instant::now() + common.timeout();
        let mut created = false;
        loop {
            let pending = match cluster.ask() {
                Ok(None) => match cluster.settled(created) {
                    Ok(()) => return Ok(cluster),
                    Err(_) => ErrorCode::NotLeaderOrFollower,
                },
                Ok(Some(ErrorCode::UnknownTopicOrPartition)) if !created => {
                    created = true;
                    cluster.create(common)?;
                    continue;
                }
                Ok(Some(code)) if code == ErrorCode::LeaderNotAvailable || created => code,
                Ok(Some(code)) => {
                    return Err(Error::Broker(format!("topic {}: {code}", common.topic)));
                }
                Err(error) => return Err(error),
            };
            if Instant::now() > deadline {
                return Err(Error::Broker(format!(
                    "topic {} has no leaders after {} s: {pending}",
                    common.topic, common.timeout
                )));
            }
            std::thread::sleep(SETTLE_PAUSE);
        }
    }

    /// Right after a topic's creation its leaders may not know yet that they lead.
    fn settled(&self, created: bool) -> Result<(), Error> {
        if created {
            for (leader, partitions) in self.by_leader() {
                let mut control = self.connect(leader)?;
                control.list_offsets(&self.topic, &partitions, api::list_offsets::LATEST)?;
            }
        }
        Ok(())
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The topic's id; zero when the broker does not know ids.
    pub fn topic_id(&self) -> Uuid {
        self.topic_id
    }

    /// How many partitions the topic has.
    pub fn partitions(&self) -> usize {
        self.leaders.len()
    }

    /// The partitions of each leader, in the order of the leaders' ids.
    pub fn by_leader(&self) -> BTreeMap<i32, Vec<i32>> {
        let mut by_leader: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for (partition, leader) in self.leaders.iter().enumerate() {
            by_leader.entry(*leader).or_default().push(partition as i32);
        }
        by_leader
    }

    /// Opens a connection to a leader.
    pub fn connect(&self, leader: i32) -> Result<Control, Error> {
        match self.brokers.get(&leader) {
            Some(address) => Control::connect(address),
            None => Err(Error::protocol(format!(
                "broker {leader} leads a partition of {} and is not among the brokers",
                self.topic
            ))),
        }
    }

    /// The leader of all of these partitions, as Metadata says it now.
    ///
    /// The partitions of one connection stay together: when they no longer have one leader, the run
    /// cannot go on, since its prebuilt requests name them together.
    pub fn leader_of(&mut self, partitions: &[i32]) -> Result<i32, Error> {
        if self.refreshed.is_none_or(|at| at.elapsed() > REFRESH_INTERVAL) {
            let answer = self.ask();
            self.refreshed = Some(Instant::now());
            if let Some(code) = answer? {
                let error = std::io::Error::other(code.name());
                return Err(Error::io(format!("metadata of {}", self.topic), error));
            }
        }
        let leaders = || partitions.iter().filter_map(|&place| self.leaders.get(place as usize));
        match leaders().next() {
            Some(first) if leaders().all(|leader| leader == first) => Ok(*first),
            _ => Err(Error::Broker(format!(
                "partitions {partitions:?} of {} moved to different leaders; start again",
                self.topic
            ))),
        }
    }

    /// Asks the first broker that answers. `Some` is an error that may pass.
    fn ask(&mut self) -> Result<Option<ErrorCode>, Error> {
        let mut control = self.any()?;
        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                topic_id: Uuid::ZERO,
                name: Some(self.topic.clone()),
            }]),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let answer: MetadataResponse = control.call(&api::metadata::API, &request)?;
        check(answer.error_code, || format!("Metadata at {}", control.peer()))?;
        let Some(topic) = answer.topics.first() else {
            return Err(Error::protocol(format!("Metadata of {} without the topic", self.topic)));
        };
        if !topic.error_code.is_none() {
            return Ok(Some(topic.error_code));
        }
        if !self.topic_id.is_zero() && self.topic_id != topic.topic_id {
            return Err(Error::Broker(format!(
                "topic {} was deleted and created again during the run",
                self.topic
            )));
        }
        let mut leaders = vec![-1; topic.partitions.len()];
        for partition in &topic.partitions {
            let place = usize::try_from(partition.partition_index).ok();
            match place.and_then(|place| leaders.get_mut(place)) {
                Some(leader) => *leader = partition.leader_id,
                None => {
                    return Err(Error::protocol(format!(
                        "Metadata of {}: partition {} of {}",
                        self.topic,
                        partition.partition_index,
                        topic.partitions.len()
                    )));
                }
            }
        }
        if leaders.is_empty() || leaders.contains(&-1) {
            return Ok(Some(ErrorCode::LeaderNotAvailable));
        }
        self.topic_id = topic.topic_id;
        self.leaders = leaders;
        let address = |broker: &api::metadata::MetadataResponseBroker| {
            (broker.node_id, format!("{}:{}", broker.host, broker.port))
        };
        self.brokers = answer.brokers.iter().map(address).collect();
        Ok(None)
    }

    fn create(&mut self, common: &Common) -> Result<(), Error> {
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: self.topic.clone(),
                num_partitions: common.partitions.unwrap_or(PARTITIONS_DEFAULT),
                replication_factor: common.replication_factor,
                ..CreatableTopic::default()
            }],
            timeout_ms: CONTROL_TIMEOUT.as_millis() as i32,
            validate_only: false,
        };
        let mut control = self.any()?;
        let answer: CreateTopicsResponse = control.call(&api::create_topics::API, &request)?;
        for topic in &answer.topics {
            // Another run may have created it since Metadata was asked.
            if !topic.error_code.is_none() && topic.error_code != ErrorCode::TopicAlreadyExists {
                return Err(Error::Broker(format!(
                    "create topic {}: {} {}",
                    topic.name,
                    topic.error_code,
                    topic.error_message.as_deref().unwrap_or_default()
                )));
            }
        }
        Ok(())
    }

    /// Opens a connection to the first broker that answers.
    pub fn any(&self) -> Result<Control, Error> {
        let mut last = None;
        for address in self.bootstrap.iter().chain(self.brokers.values()) {
            match Control::connect(address) {
                Ok(control) => return Ok(control),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::Usage("--bootstrap: expected HOST:PORT".into())))
    }
}
