//! The records with which a node begins and ends its work (`kraft.md` B3, and Kafka 4.3.1's own
//! log).
//!
//! A fresh log: LeaderChange, KRaftVersion, Voters · the bootstrap transaction · RegisterController
//! · RegisterBroker (fenced) · unfence. A later start: LeaderChange · RegisterController ·
//! RegisterBroker · unfence, and every partition of the node is led again. A clean stop: every
//! partition without a leader, the broker fenced.
//!
//! Invariant: every start gives every partition a new leader epoch, so that (epoch, offset) never
//! names two records even if a crash took back what `durability = memory` had promised to nobody.
//!
//! Unlike Kafka, a start after a crash does not first take the leader away and back: one change
//! does both.

use ringlog_wire::Uuid;
use ringlog_wire::records::control::{
    KRaftVersionFeature, KRaftVersionRecord, LeaderChangeMessage, LeaderChangeVoter, Voter,
    VoterEndpoint, VotersRecord,
};
use ringlog_wire::records::{
    BeginTransactionRecord, BrokerEndpoint, BrokerFeature, BrokerRegistrationChangeRecord,
    ConfigRecord, ControlRecord, ControllerEndpoint, ControllerFeature, EndTransactionRecord,
    FeatureLevelRecord, MetadataRecord, PartitionChangeRecord, RegisterBrokerRecord,
    RegisterControllerRecord,
};

use super::features;
use super::image::{Endpoint, Image, NO_LEADER, PartitionImage, RESOURCE_BROKER};
use super::topic_config::MIN_INSYNC_REPLICAS;

const KRAFT_VERSION_MAX: i16 = 1;

/// Who this node is, for this start of its process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `node.id`.
    pub id: i32,
    /// The data directory's id, from `meta.properties`.
    pub directory: Uuid,
    /// Random, for the broker's registration.
    pub incarnation: Uuid,
    /// Random, for the controller's registration.
    pub controller_incarnation: Uuid,
    /// What clients are told, one for each listener.
    pub endpoints: Vec<Endpoint>,
    /// Where the quorum would reach this voter.
    pub controller_endpoint: Endpoint,
    /// Rack.
    pub rack: Option<String>,
}

/// The first record of an epoch.
pub fn leader_change(node: &Node) -> ControlRecord {
    let voter = || LeaderChangeVoter { voter_id: node.id, ..Default::default() };
    ControlRecord::LeaderChange(LeaderChangeMessage {
        leader_id: node.id,
        voters: vec![voter()],
        granting_voters: vec![voter()],
        ..Default::default()
    })
}

/// The quorum's version: voters are in the log.
pub fn kraft_version() -> ControlRecord {
    ControlRecord::KRaftVersion(KRaftVersionRecord {
        kraft_version: KRAFT_VERSION_MAX,
        ..Default::default()
    })
}

/// The one voter.
pub fn voters(node: &Node) -> ControlRecord {
    ControlRecord::KRaftVoters(VotersRecord {
        voters: vec![Voter {
            voter_id: node.id,
            voter_directory_id: node.directory,
            endpoints: vec![VoterEndpoint {
                name: node.controller_endpoint.name.clone(),
                host: node.controller_endpoint.host.clone(),
                port: node.controller_endpoint.port,
            }],
            kraft_version_feature: KRaftVersionFeature {
                min_supported_version: 0,
                max_supported_version: KRAFT_VERSION_MAX,
            },
        }],
        ..Default::default()
    })
}

/// The features of a fresh cluster.
pub fn feature_levels() -> impl Iterator<Item = MetadataRecord> {
    features::FRESH.iter().map(|&(name, level)| {
        MetadataRecord::FeatureLevel(FeatureLevelRecord { name: name.into(), feature_level: level })
    })
}

/// The bootstrap transaction: features, and the cluster's `min.insync.replicas`, which eligible
/// leader replicas need in the log.
pub fn bootstrap_transaction() -> Vec<MetadataRecord> {
    let begin = BeginTransactionRecord { name: Some("Bootstrap records".into()) };
    let config = ConfigRecord {
        resource_type: RESOURCE_BROKER,
        resource_name: String::new(),
        name: MIN_INSYNC_REPLICAS.into(),
        value: Some("1".into()),
    };
    let mut records = vec![MetadataRecord::BeginTransaction(begin)];
    records.extend(feature_levels());
    records.push(MetadataRecord::Config(config));
    records.push(MetadataRecord::EndTransaction(EndTransactionRecord::default()));
    records
}

/// The controller's registration.
pub fn register_controller(node: &Node) -> MetadataRecord {
    let endpoint = &node.controller_endpoint;
    let features = features::supported().into_iter().map(|range| ControllerFeature {
        name: range.name,
        min_supported_version: range.min,
        max_supported_version: range.max,
    });
    MetadataRecord::RegisterController(RegisterControllerRecord {
        controller_id: node.id,
        incarnation_id: node.controller_incarnation,
        end_points: vec![ControllerEndpoint {
            name: endpoint.name.clone(),
            host: endpoint.host.clone(),
            port: endpoint.port,
            security_protocol: endpoint.security_protocol,
        }],
        features: features.collect(),
        ..Default::default()
    })
}

/// The broker's registration, fenced. Its epoch is the offset at which it is about to be written.
pub fn register_broker(node: &Node, broker_epoch: i64) -> MetadataRecord {
    let endpoint = |endpoint: &Endpoint| BrokerEndpoint {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        security_protocol: endpoint.security_protocol,
    };
    let features = features::supported().into_iter().map(|range| BrokerFeature {
        name: range.name,
        min_supported_version: range.min,
        max_supported_version: range.max,
    });
    MetadataRecord::RegisterBroker(RegisterBrokerRecord {
        broker_id: node.id,
        incarnation_id: node.incarnation,
        broker_epoch,
        end_points: node.endpoints.iter().map(endpoint).collect(),
        features: features.collect(),
        rack: node.rack.clone(),
        fenced: true,
        log_dirs: vec![node.directory],
        ..Default::default()
    })
}

fn registration_change(node: &Node, broker_epoch: i64) -> BrokerRegistrationChangeRecord {
    BrokerRegistrationChangeRecord { broker_id: node.id, broker_epoch, ..Default::default() }
}

/// The broker may lead, and leads every partition it has a replica of.
pub fn unfence(node: &Node, broker_epoch: i64, image: &Image) -> Vec<MetadataRecord> {
    let change = registration_change(node, broker_epoch);
    let unfenced = BrokerRegistrationChangeRecord { fenced: -1, ..change };
    let mut records = vec![MetadataRecord::BrokerRegistrationChange(unfenced)];
    for (topic, number, partition) in partitions_of(node.id, image) {
        records.push(MetadataRecord::PartitionChange(lead_again(node, topic, number, partition)));
    }
    records
}

fn lead_again(
    node: &Node,
    topic_id: Uuid,
    partition_id: i32,
    partition: &PartitionImage,
) -> PartitionChangeRecord {
    let isr = vec![node.id];
    let directories: Vec<Uuid> = partition
        .replicas
        .iter()
        .zip(&partition.directories)
        .map(|(replica, known)| if *replica == node.id { node.directory } else { *known })
        .collect();
    PartitionChangeRecord {
        partition_id,
        topic_id,
        leader: node.id,
        isr: (partition.isr != isr).then_some(isr),
        eligible_leader_replicas: (!partition.elr.is_empty()).then(Vec::new),
        last_known_elr: (!partition.last_known_elr.is_empty()).then(Vec::new),
        directories: (partition.directories != directories).then_some(directories),
        ..Default::default()
    }
}

/// The broker is about to stop: nothing is led any more.
pub fn shut_down(node: &Node, broker_epoch: i64, image: &Image) -> Vec<MetadataRecord> {
    let change = registration_change(node, broker_epoch);
    let stopping = BrokerRegistrationChangeRecord { in_controlled_shutdown: 1, ..change };
    let eligible = image.features.contains_key(features::ELR_VERSION);
    let mut records = vec![MetadataRecord::BrokerRegistrationChange(stopping)];
    for (topic_id, partition_id, partition) in partitions_of(node.id, image) {
        if partition.leader != node.id {
            continue;
        }
        // With eligible leader replicas the last in-sync replica leaves too, and is remembered
        // there.
        records.push(MetadataRecord::PartitionChange(PartitionChangeRecord {
            partition_id,
            topic_id,
            leader: NO_LEADER,
            isr: eligible.then(Vec::new),
            eligible_leader_replicas: eligible.then(|| vec![node.id]),
            last_known_elr: eligible.then(|| vec![node.id]),
            ..Default::default()
        }));
    }
    records
}

/// The broker has stopped.
pub fn fence(node: &Node, broker_epoch: i64) -> MetadataRecord {
    let change = registration_change(node, broker_epoch);
    MetadataRecord::BrokerRegistrationChange(BrokerRegistrationChangeRecord { fenced: 1, ..change })
}

fn partitions_of(
    node_id: i32,
    image: &Image,
) -> impl Iterator<Item = (Uuid, i32, &PartitionImage)> {
    let all = image.topics.values().flat_map(|topic| {
        topic.partitions.iter().map(|(number, partition)| (topic.id, *number, partition))
    });
    all.filter(move |(_, _, partition)| partition.replicas.contains(&node_id))
}
