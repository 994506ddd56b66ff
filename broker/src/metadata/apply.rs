//! What each record does to an image: the table of `kraft.md` B4, one function a record.
//!
//! Invariant: a record is checked whole before it changes anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringlog_wire::Uuid;
use ringlog_wire::records::{
    BrokerRegistrationChangeRecord, ConfigRecord, FeatureLevelRecord, MetadataRecord,
    PartitionChangeRecord, PartitionRecord, ProducerIdsRecord, RegisterBrokerRecord,
    RegisterControllerRecord, TopicRecord,
};

use super::features;
use super::fold::FoldError;
use super::image::{
    BrokerImage, ControllerImage, DIRECTORY_MIGRATING, Endpoint, FeatureRange, Image,
    PartitionImage, RESOURCE_TOPIC, TopicImage,
};

/// PartitionChange's "the leader stays, and so does its epoch".
const LEADER_UNCHANGED: i32 = -2;

impl Image {
    /// Folds one record that is not part of a transaction's frame.
    pub(super) fn apply(&mut self, record: &MetadataRecord, offset: i64) -> Result<(), FoldError> {
        match record {
            MetadataRecord::RegisterBroker(record) => self.register_broker(record),
            MetadataRecord::UnregisterBroker(record) => {
                self.broker_at(record.broker_id, record.broker_epoch, offset)?;
                self.brokers.remove(&record.broker_id);
            }
            MetadataRecord::FenceBroker(record) => {
                self.broker_at(record.id, record.epoch, offset)?.fenced = true;
            }
            MetadataRecord::UnfenceBroker(record) => {
                self.broker_at(record.id, record.epoch, offset)?.fenced = false;
            }
            MetadataRecord::BrokerRegistrationChange(record) => {
                self.change_broker(record, offset)?
            }
            MetadataRecord::RegisterController(record) => self.register_controller(record),
            MetadataRecord::UnregisterController(record) => {
                self.controllers.remove(&record.controller_id);
            }
            MetadataRecord::Topic(record) => self.add_topic(record, offset)?,
            MetadataRecord::Partition(record) => self.put_partition(record, offset)?,
            MetadataRecord::PartitionChange(record) => self.change_partition(record, offset)?,
            MetadataRecord::RemoveTopic(record) => self.remove_topic(record.topic_id, offset)?,
            MetadataRecord::ClearElr(record) => self.clear_elr(&record.topic_name, offset)?,
            MetadataRecord::Config(record) => self.set_config(record),
            MetadataRecord::FeatureLevel(record) => self.set_feature(record, offset)?,
            MetadataRecord::ProducerIds(record) => self.set_producer_ids(record, offset)?,
            MetadataRecord::BeginTransaction(_)
            | MetadataRecord::EndTransaction(_)
            | MetadataRecord::AbortTransaction(_) => unreachable!("the fold frames transactions"),
            MetadataRecord::NoOp(_) | MetadataRecord::ZkMigrationState(_) => {}
            // Passed over until what they describe is served; the log keeps them.
            MetadataRecord::AccessControlEntry(_)
            | MetadataRecord::RemoveAccessControlEntry(_)
            | MetadataRecord::ClientQuota(_)
            | MetadataRecord::UserScramCredential(_)
            | MetadataRecord::RemoveUserScramCredential(_)
            | MetadataRecord::DelegationToken(_)
            | MetadataRecord::RemoveDelegationToken(_) => {}
        }
        Ok(())
    }

    fn register_broker(&mut self, record: &RegisterBrokerRecord) {
        let endpoints = record.end_points.iter().map(|endpoint| Endpoint {
            name: endpoint.name.clone(),
            host: endpoint.host.clone(),
            port: endpoint.port,
            security_protocol: endpoint.security_protocol,
        });
        let features = record.features.iter().map(|feature| FeatureRange {
            name: feature.name.clone(),
            min: feature.min_supported_version,
            max: feature.max_supported_version,
        });
        let broker = BrokerImage {
            id: record.broker_id,
            epoch: record.broker_epoch,
            incarnation: record.incarnation_id,
            endpoints: endpoints.collect(),
            features: features.collect(),
            rack: record.rack.clone(),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            directories: record.log_dirs.clone(),
            cordoned_directories: record.cordoned_log_dirs.clone().unwrap_or_default(),
        };
        self.brokers.insert(broker.id, broker);
    }

    fn register_controller(&mut self, record: &RegisterControllerRecord) {
        let endpoints = record.end_points.iter().map(|endpoint| Endpoint {
            name: endpoint.name.clone(),
            host: endpoint.host.clone(),
            port: endpoint.port,
            security_protocol: endpoint.security_protocol,
        });
        let features = record.features.iter().map(|feature| FeatureRange {
            name: feature.name.clone(),
            min: feature.min_supported_version,
            max: feature.max_supported_version,
        });
        let controller = ControllerImage {
            id: record.controller_id,
            incarnation: record.incarnation_id,
            endpoints: endpoints.collect(),
            features: features.collect(),
        };
        self.controllers.insert(controller.id, controller);
    }

    fn broker_at(
        &mut self,
        broker: i32,
        epoch: i64,
        offset: i64,
    ) -> Result<&mut BrokerImage, FoldError> {
        let registered = self.brokers.get_mut(&broker).filter(|image| image.epoch == epoch);
        registered.ok_or(FoldError::NoBroker { offset, broker, epoch })
    }

    fn change_broker(
        &mut self,
        record: &BrokerRegistrationChangeRecord,
        offset: i64,
    ) -> Result<(), FoldError> {
        let broker = self.broker_at(record.broker_id, record.broker_epoch, offset)?;
        match record.fenced {
            1 => broker.fenced = true,
            -1 => broker.fenced = false,
            _ => {}
        }
        if record.in_controlled_shutdown == 1 {
            broker.in_controlled_shutdown = true;
        }
        if !record.log_dirs.is_empty() {
            broker.directories.clone_from(&record.log_dirs);
        }
        if let Some(cordoned) = &record.cordoned_log_dirs {
            broker.cordoned_directories.clone_from(cordoned);
        }
        Ok(())
    }

    fn add_topic(&mut self, record: &TopicRecord, offset: i64) -> Result<(), FoldError> {
        let taken = |id: &Uuid| *id != record.topic_id;
        if self.topic_ids.get(record.name.as_str()).is_some_and(taken)
            || self.topics.get(&record.topic_id).is_some_and(|topic| *topic.name != record.name)
        {
            return Err(FoldError::TopicTwice { offset, topic: record.name.clone() });
        }
        let name: Arc<str> = record.name.as_str().into();
        let topic =
            TopicImage { name: name.clone(), id: record.topic_id, partitions: BTreeMap::new() };
        self.topic_ids.insert(name, record.topic_id);
        self.topics.insert(record.topic_id, Arc::new(topic));
        Ok(())
    }

    fn topic_mut(&mut self, topic: Uuid, offset: i64) -> Result<&mut TopicImage, FoldError> {
        let found = self.topics.get_mut(&topic).ok_or(FoldError::NoTopic { offset, topic })?;
        Ok(Arc::make_mut(found))
    }

    fn put_partition(&mut self, record: &PartitionRecord, offset: i64) -> Result<(), FoldError> {
        let replicas = record.replicas.len();
        let directories = if record.directories.is_empty() {
            vec![DIRECTORY_MIGRATING; replicas]
        } else {
            record.directories.clone()
        };
        if directories.len() != replicas {
            return Err(FoldError::Directories {
                offset,
                replicas,
                directories: directories.len(),
            });
        }
        let partition = PartitionImage {
            replicas: record.replicas.clone(),
            directories,
            isr: record.isr.clone(),
            removing: record.removing_replicas.clone(),
            adding: record.adding_replicas.clone(),
            leader: record.leader,
            leader_epoch: record.leader_epoch,
            partition_epoch: record.partition_epoch,
            leader_recovery_state: record.leader_recovery_state,
            elr: record.eligible_leader_replicas.clone().unwrap_or_default(),
            last_known_elr: record.last_known_elr.clone().unwrap_or_default(),
        };
        let topic = self.topic_mut(record.topic_id, offset)?;
        topic.partitions.insert(record.partition_id, partition);
        Ok(())
    }

    fn change_partition(
        &mut self,
        record: &PartitionChangeRecord,
        offset: i64,
    ) -> Result<(), FoldError> {
        let topic = self.topic_mut(record.topic_id, offset)?;
        let partition =
            topic.partitions.get_mut(&record.partition_id).ok_or(FoldError::NoPartition {
                offset,
                topic: record.topic_id,
                partition: record.partition_id,
            })?;
        let changed = partition.changed_by(record);
        let (replicas, directories) = (changed.replicas.len(), changed.directories.len());
        if replicas != directories {
            return Err(FoldError::Directories { offset, replicas, directories });
        }
        *partition = changed;
        Ok(())
    }

    fn remove_topic(&mut self, topic: Uuid, offset: i64) -> Result<(), FoldError> {
        let removed = self.topics.remove(&topic).ok_or(FoldError::NoTopic { offset, topic })?;
        self.topic_ids.remove(&removed.name);
        self.configs.remove(&(RESOURCE_TOPIC, removed.name.to_string()));
        Ok(())
    }

    /// The name `""` is every topic.
    fn clear_elr(&mut self, name: &str, offset: i64) -> Result<(), FoldError> {
        let ids: Vec<Uuid> = match self.topic_ids.get(name) {
            Some(id) => vec![*id],
            None if name.is_empty() => self.topics.keys().copied().collect(),
            None => return Err(FoldError::NoTopicNamed { offset, topic: name.to_string() }),
        };
        for id in ids {
            let holds_one = |partition: &PartitionImage| {
                !partition.elr.is_empty() || !partition.last_known_elr.is_empty()
            };
            if !self.topics[&id].partitions.values().any(holds_one) {
                continue;
            }
            for partition in self.topic_mut(id, offset)?.partitions.values_mut() {
                partition.elr.clear();
                partition.last_known_elr.clear();
            }
        }
        Ok(())
    }

    fn set_config(&mut self, record: &ConfigRecord) {
        let key = (record.resource_type, record.resource_name.clone());
        match &record.value {
            Some(value) => {
                let configs = Arc::make_mut(self.configs.entry(key).or_default());
                configs.insert(record.name.clone(), value.clone());
            }
            None => {
                let Some(configs) = self.configs.get_mut(&key) else { return };
                Arc::make_mut(configs).remove(&record.name);
                if configs.is_empty() {
                    self.configs.remove(&key);
                }
            }
        }
    }

    fn set_feature(&mut self, record: &FeatureLevelRecord, offset: i64) -> Result<(), FoldError> {
        let level = record.feature_level;
        if record.name == features::METADATA_VERSION && !features::knows_metadata_version(level) {
            return Err(FoldError::MetadataVersion { offset, level });
        }
        if level == 0 {
            self.features.remove(&record.name);
        } else {
            self.features.insert(record.name.clone(), level);
        }
        Ok(())
    }

    fn set_producer_ids(
        &mut self,
        record: &ProducerIdsRecord,
        offset: i64,
    ) -> Result<(), FoldError> {
        let (next, found) = (self.next_producer_id, record.next_producer_id);
        if found < next {
            return Err(FoldError::ProducerIds { offset, next, found });
        }
        self.next_producer_id = found;
        Ok(())
    }
}

impl PartitionImage {
    /// The partition after a change: absent fields keep, a named leader (even the same) starts an
    /// epoch.
    fn changed_by(&self, record: &PartitionChangeRecord) -> PartitionImage {
        fn put<T: Clone>(field: &mut Vec<T>, change: &Option<Vec<T>>) {
            if let Some(change) = change {
                field.clone_from(change);
            }
        }
        let mut next = self.clone();
        put(&mut next.isr, &record.isr);
        put(&mut next.replicas, &record.replicas);
        put(&mut next.removing, &record.removing_replicas);
        put(&mut next.adding, &record.adding_replicas);
        put(&mut next.directories, &record.directories);
        put(&mut next.elr, &record.eligible_leader_replicas);
        put(&mut next.last_known_elr, &record.last_known_elr);
        if record.replicas.is_some() && record.directories.is_none() {
            next.directories = self.directories_of(&next.replicas);
        }
        if record.leader != LEADER_UNCHANGED {
            next.leader = record.leader;
            next.leader_epoch += 1;
        }
        if record.leader_recovery_state != -1 {
            next.leader_recovery_state = record.leader_recovery_state;
        }
        next.partition_epoch += 1;
        next
    }

    /// The directories of a new replica list that came without any: known ones stay with their
    /// replica.
    fn directories_of(&self, replicas: &[i32]) -> Vec<Uuid> {
        let directory = |replica: &i32| {
            let at = self.replicas.iter().position(|old| old == replica);
            at.and_then(|at| self.directories.get(at).copied()).unwrap_or(DIRECTORY_MIGRATING)
        };
        replicas.iter().map(directory).collect()
    }
}
