//! What the metadata log means up to one of its offsets: topics, configs, brokers, features,
//! producer ids.
//!
//! Invariants:
//! - A topic is in `topics` under its id and in `topic_ids` under its name, or in neither.
//! - A partition has as many directories as replicas.
//! - Cloning shares every topic and every resource's settings; a change copies the one it touches.
//!
//! Passed over for now, kept in the log: ACLs, client quotas, SCRAM credentials, delegation tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringlog_wire::Uuid;

use super::broker_config;

/// `Config` records' number for a topic's settings.
pub const RESOURCE_TOPIC: i8 = 2;
/// `Config` records' number for a broker's settings; the name `""` is every broker.
pub const RESOURCE_BROKER: i8 = 4;
/// No leader.
pub const NO_LEADER: i32 = -1;
/// A directory that is not known: the partition is on its way from an old metadata version.
pub const DIRECTORY_MIGRATING: Uuid = Uuid::ZERO;

/// A place in the metadata log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The offset of a record; -1 before the first.
    pub offset: i64,
    /// The raft epoch it was written in.
    pub epoch: i32,
}

impl Position {
    /// Before the first record.
    pub const START: Position = Position { offset: -1, epoch: 0 };
}

/// The metadata of the cluster at one offset of its log.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// From `meta.properties`: the log does not say it.
    pub cluster_id: Arc<str>,
    /// The last record folded in.
    pub applied: Position,
    /// Topics by id.
    pub topics: BTreeMap<Uuid, Arc<TopicImage>>,
    /// Ids by name.
    pub topic_ids: BTreeMap<Arc<str>, Uuid>,
    /// Settings by kind and name of the resource; no resource is here without a setting.
    pub configs: BTreeMap<(i8, String), Arc<BTreeMap<String, String>>>,
    /// Registered brokers.
    pub brokers: BTreeMap<i32, BrokerImage>,
    /// Registered controllers.
    pub controllers: BTreeMap<i32, ControllerImage>,
    /// Finalised feature levels; a feature at level 0 is not here.
    pub features: BTreeMap<String, i16>,
    /// The first producer id that was never handed out.
    pub next_producer_id: i64,
    /// The quorum, from control records.
    pub quorum: QuorumImage,
}

/// A topic.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicImage {
    /// Its name.
    pub name: Arc<str>,
    /// Its id: a topic created again under the same name has another.
    pub id: Uuid,
    /// Its partitions by number.
    pub partitions: BTreeMap<i32, PartitionImage>,
}

/// A partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionImage {
    /// Node ids, the preferred leader first.
    pub replicas: Vec<i32>,
    /// The log directory of each replica.
    pub directories: Vec<Uuid>,
    /// In-sync replicas.
    pub isr: Vec<i32>,
    /// Replicas that a reassignment takes away.
    pub removing: Vec<i32>,
    /// Replicas that a reassignment adds.
    pub adding: Vec<i32>,
    /// Node id, or [`NO_LEADER`].
    pub leader: i32,
    /// Grows with every election.
    pub leader_epoch: i32,
    /// Grows with every change.
    pub partition_epoch: i32,
    /// 1 after an unclean election, until the leader says it has recovered.
    pub leader_recovery_state: i8,
    /// Eligible leader replicas.
    pub elr: Vec<i32>,
    /// The eligible leader replicas before the last unclean shutdown.
    pub last_known_elr: Vec<i32>,
}

/// An address under a listener's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener's name.
    pub name: String,
    /// Host or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

/// The levels of a feature that a node can work at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureRange {
    /// The feature.
    pub name: String,
    /// Lowest level.
    pub min: i16,
    /// Highest level.
    pub max: i16,
}

/// A registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerImage {
    /// Node id.
    pub id: i32,
    /// The epoch of its registration.
    pub epoch: i64,
    /// Random per start of the process.
    pub incarnation: Uuid,
    /// Where clients reach it.
    pub endpoints: Vec<Endpoint>,
    /// What it can work at.
    pub features: Vec<FeatureRange>,
    /// Rack.
    pub rack: Option<String>,
    /// True while it may not lead.
    pub fenced: bool,
    /// True from its wish to stop to its next registration.
    pub in_controlled_shutdown: bool,
    /// Its log directories' ids.
    pub directories: Vec<Uuid>,
    /// Directories that take no new replicas.
    pub cordoned_directories: Vec<Uuid>,
}

/// A registered controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerImage {
    /// Node id.
    pub id: i32,
    /// Random per start of the process.
    pub incarnation: Uuid,
    /// Where the quorum and brokers reach it.
    pub endpoints: Vec<Endpoint>,
    /// What it can work at.
    pub features: Vec<FeatureRange>,
}

/// A voter of the quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Node id.
    pub id: i32,
    /// The directory of its metadata log: a wiped disk is another voter.
    pub directory: Uuid,
    /// Listener, host and port where it is reached.
    pub endpoints: Vec<(String, String, u16)>,
}

/// The quorum as the log's control records tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuorumImage {
    /// 0: static voters, 1: voters in the log. `None` while the log has not said.
    pub kraft_version: Option<i16>,
    /// The latest voters.
    pub voters: Vec<Voter>,
    /// The latest epoch's leader.
    pub leader: Option<i32>,
}

impl Image {
    /// The image of an empty log.
    pub fn new(cluster_id: &str) -> Image {
        Image {
            cluster_id: cluster_id.into(),
            applied: Position::START,
            topics: BTreeMap::new(),
            topic_ids: BTreeMap::new(),
            configs: BTreeMap::new(),
            brokers: BTreeMap::new(),
            controllers: BTreeMap::new(),
            features: BTreeMap::new(),
            next_producer_id: 0,
            quorum: QuorumImage::default(),
        }
    }

    /// The topic of that id.
    pub fn topic(&self, id: Uuid) -> Option<&Arc<TopicImage>> {
        self.topics.get(&id)
    }

    /// The topic of that name.
    pub fn topic_named(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(self.topic_ids.get(name)?)
    }

    /// The partition.
    pub fn partition(&self, topic_id: Uuid, partition: i32) -> Option<&PartitionImage> {
        self.topics.get(&topic_id)?.partitions.get(&partition)
    }

    /// Topics, ascending by name.
    pub fn topics_by_name(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topic_ids.values().filter_map(|id| self.topics.get(id))
    }

    /// How many partitions there are.
    pub fn partition_count(&self) -> usize {
        self.topics.values().map(|topic| topic.partitions.len()).sum()
    }

    /// The topics whose partitions may have to work differently than by `old`: their own settings
    /// or records changed, or settings around them. Those that are new are among them.
    pub fn difference(&self, old: &Image, node_id: i32) -> BTreeSet<Uuid> {
        let node = node_id.to_string();
        // What no broker knows changes nothing.
        let around = |image: &Image| {
            let settings = ["", &node].map(|name| image.configs_of(RESOURCE_BROKER, name).cloned());
            let settings = settings.map(Option::unwrap_or_default);
            settings.map(|all| broker_config::known(&all))
        };
        if around(self) != around(old) {
            return self.topics.keys().copied().collect();
        }
        let mut changed = BTreeSet::new();
        // Images share what they have in common: a pointer says it.
        for (id, topic) in &self.topics {
            if !old.topics.get(id).is_some_and(|other| Arc::ptr_eq(topic, other)) {
                changed.insert(*id);
            }
        }
        let mut note = |key: &(i8, String)| {
            if key.0 == RESOURCE_TOPIC {
                changed.extend(self.topic_ids.get(key.1.as_str()));
            }
        };
        for (key, configs) in &self.configs {
            if !old.configs.get(key).is_some_and(|other| Arc::ptr_eq(configs, other)) {
                note(key);
            }
        }
        old.configs.keys().filter(|key| !self.configs.contains_key(*key)).for_each(note);
        changed
    }

    /// What a topic's own settings say.
    pub fn topic_config(&self, topic: &str, name: &str) -> Option<&str> {
        self.config(RESOURCE_TOPIC, topic, name)
    }

    /// What one broker's own settings say.
    pub fn broker_config(&self, node_id: i32, name: &str) -> Option<&str> {
        self.config(RESOURCE_BROKER, &node_id.to_string(), name)
    }

    /// What every broker's settings say.
    pub fn cluster_config(&self, name: &str) -> Option<&str> {
        self.config(RESOURCE_BROKER, "", name)
    }

    /// All settings of a resource, if it has any.
    pub fn configs_of(&self, kind: i8, resource: &str) -> Option<&Arc<BTreeMap<String, String>>> {
        self.configs.get(&(kind, resource.to_string()))
    }

    fn config(&self, kind: i8, resource: &str, name: &str) -> Option<&str> {
        self.configs_of(kind, resource)?.get(name).map(String::as_str)
    }

    /// The finalised metadata version's level.
    pub fn metadata_version(&self) -> Option<i16> {
        self.features.get(super::features::METADATA_VERSION).copied()
    }
}
