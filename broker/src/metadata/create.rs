//! CreateTopics, and automatic creation: checks and records. Codes, words and order of the checks
//! are those of Kafka 4.3.1's controller, seen on a running one.
//!
//! Invariants: all the topics of a request that pass are written as one batch; a topic refused
//! changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ringlog_wire::api::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfigs, CreatableTopicResult,
    CreateTopicsRequest, CreateTopicsResponse,
};
use ringlog_wire::records::{
    ClearElrRecord, ConfigRecord, MetadataRecord, PartitionRecord, TopicRecord,
};
use ringlog_wire::{ErrorCode, Uuid};

use super::command::{Command, Reply};
use super::controller::Controller;
use super::ids;
use super::image::{Image, RESOURCE_TOPIC};
use super::names::{self, METADATA_TOPIC};
use super::topic_config::{self, MIN_INSYNC_REPLICAS, Surroundings};

/// Most partitions that one request may create.
pub const PARTITIONS_PER_REQUEST_MAX: i64 = 10_000;
/// Most partitions of the whole cluster.
pub const PARTITIONS_MAX: usize = 1_000_000;

/// Why a topic is not created.
pub(super) type Refusal = (ErrorCode, String);

/// A topic that passed every check.
struct Plan {
    topic: Uuid,
    configs: BTreeMap<String, String>,
    /// The replicas of each partition, by number.
    partitions: Vec<Vec<i32>>,
}

impl Controller {
    /// Creates topics. `token` comes back with the reply, `ids` gives random topic ids.
    pub fn create_topics(
        &mut self,
        now_ms: i64,
        token: u64,
        request: &CreateTopicsRequest,
        ids: &mut dyn FnMut() -> Uuid,
    ) -> Vec<Command> {
        let mut out = Vec::new();
        let refused = self.refusal().map(|code| (code, code.name().to_string()));
        if let Some(refusal) = refused.or_else(|| self.check_partition_total(request).err()) {
            let response = refuse_all(request, &refusal);
            let reply = Reply::CreateTopics(response);
            self.reply_or_refuse(token, reply, &mut out);
            return out;
        }
        let mut records = Vec::new();
        let mut topics = Vec::new();
        let alike = Alike::of(self.staged.staged(), request);
        for (topic, once) in each_name_once(request) {
            let planned = once.and_then(|()| self.plan(topic, &alike, ids));
            topics.push(match planned {
                Err(refusal) => refused_topic(&topic.name, &refusal),
                Ok(plan) => {
                    let result = self.describe(&topic.name, &plan);
                    self.records_of(&topic.name, plan, &mut records);
                    result
                }
            });
        }
        let mut response = CreateTopicsResponse { throttle_time_ms: 0, topics };
        if request.validate_only {
            // Kafka's controller checks the size even so.
            if records.len() > super::batches::BATCH_RECORDS_MAX {
                response = refuse_all(request, &too_large());
            }
        } else if !records.is_empty() && self.append_atomic(now_ms, records, &mut out).is_err() {
            response = refuse_all(request, &too_large());
        }
        self.reply(token, Reply::CreateTopics(response), &mut out);
        out
    }

    /// A refusal of everything is not queued behind what made it so.
    fn reply_or_refuse(&mut self, token: u64, reply: Reply, out: &mut Vec<Command>) {
        match self.refusal() {
            Some(_) => out.push(Command::Reply(token, reply)),
            None => self.reply(token, reply, out),
        }
    }

    /// Where settings come from that a topic does not have itself.
    pub(super) fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            image: self.staged.staged(),
            statics: &self.settings.statics,
            node_id: self.node.id,
        }
    }

    fn check_partition_total(&self, request: &CreateTopicsRequest) -> Result<(), Refusal> {
        let count = |topic: &CreatableTopic| match (topic.assignments.len(), topic.num_partitions) {
            (0, -1) => i64::from(self.settings.num_partitions),
            (0, number) => i64::from(number.max(0)),
            (assigned, _) => assigned as i64,
        };
        let total = request.topics.iter().map(count).sum::<i64>();
        let policy = |text: &str| Err((ErrorCode::PolicyViolation, text.to_string()));
        if total > PARTITIONS_PER_REQUEST_MAX {
            return policy("Excessively large number of partitions per request.");
        }
        if self.staged.staged().partition_count() + total as usize > PARTITIONS_MAX {
            return policy("The cluster has no room for that many partitions more.");
        }
        Ok(())
    }

    fn plan(
        &self,
        topic: &CreatableTopic,
        alike: &Alike,
        ids: &mut dyn FnMut() -> Uuid,
    ) -> Result<Plan, Refusal> {
        let image = self.staged.staged();
        check_name(image, alike, &topic.name)?;
        let configs = check_configs(self.surroundings(), topic)?;
        let partitions =
            if topic.assignments.is_empty() { self.place(topic)? } else { assigned(image, topic)? };
        Ok(Plan { topic: ids::draw(ids, |id| image.topics.contains_key(id)), configs, partitions })
    }

    /// Replicas for a topic that leaves their place to us.
    fn place(&self, topic: &CreatableTopic) -> Result<Vec<Vec<i32>>, Refusal> {
        let factor = topic.replication_factor;
        if factor == 0 || factor < -1 {
            let text = "Replication factor must be larger than 0, or -1 to use the default value.";
            return Err((ErrorCode::InvalidReplicationFactor, text.into()));
        }
        let partitions = topic.num_partitions;
        if partitions == 0 || partitions < -1 {
            let text = "Number of partitions was set to an invalid non-positive value.";
            return Err((ErrorCode::InvalidPartitions, text.into()));
        }
        let factor = if factor == -1 { self.settings.replication_factor } else { factor };
        let partitions = if partitions == -1 { self.settings.num_partitions } else { partitions };
        assert!(partitions > 0, "num.partitions was checked at start");
        self.place_replicas(factor, partitions as usize)
    }

    /// Replicas of `count` partitions. One node: it holds every replica, whatever other brokers an
    /// old log registered.
    pub(super) fn place_replicas(
        &self,
        factor: i16,
        count: usize,
    ) -> Result<Vec<Vec<i32>>, Refusal> {
        if factor > 1 {
            let text = format!(
                "Unable to replicate the partition {factor} time(s): The target replication \
                 factor of {factor} cannot be reached because only 1 broker(s) are registered or \
                 some brokers have all their log directories cordoned."
            );
            return Err((ErrorCode::InvalidReplicationFactor, text));
        }
        Ok(vec![vec![self.node.id]; count])
    }

    fn describe(&self, name: &str, plan: &Plan) -> CreatableTopicResult {
        let around = self.surroundings();
        let config = |config: topic_config::Effective| CreatableTopicConfigs {
            name: config.name.to_string(),
            value: Some(config.value),
            read_only: false,
            config_source: config.source as i8,
            is_sensitive: false,
        };
        let configs = around.effective_all(Some(&plan.configs)).into_iter().map(config).collect();
        let factor = plan.partitions.first().map_or(0, Vec::len);
        CreatableTopicResult {
            name: name.to_string(),
            topic_id: plan.topic,
            error_code: ErrorCode::None,
            error_message: None,
            topic_config_error_code: ErrorCode::None,
            num_partitions: plan.partitions.len() as i32,
            replication_factor: factor as i16,
            configs: Some(configs),
        }
    }

    /// Topic, Config*, ClearElr if eligible leaders may change, Partition*: Kafka's order.
    fn records_of(&self, name: &str, plan: Plan, out: &mut Vec<MetadataRecord>) {
        let topic_id = plan.topic;
        out.push(MetadataRecord::Topic(TopicRecord { name: name.to_string(), topic_id }));
        let clears_elr = plan.configs.contains_key(MIN_INSYNC_REPLICAS);
        for (key, value) in plan.configs {
            out.push(MetadataRecord::Config(ConfigRecord {
                resource_type: RESOURCE_TOPIC,
                resource_name: name.to_string(),
                name: key,
                value: Some(value),
            }));
        }
        if clears_elr {
            out.push(MetadataRecord::ClearElr(ClearElrRecord { topic_name: name.to_string() }));
        }
        for (partition_id, replicas) in plan.partitions.into_iter().enumerate() {
            out.push(self.partition_record(topic_id, partition_id as i32, replicas));
        }
    }

    /// A new partition, led by the first of its replicas.
    pub(super) fn partition_record(
        &self,
        topic_id: Uuid,
        partition_id: i32,
        replicas: Vec<i32>,
    ) -> MetadataRecord {
        MetadataRecord::Partition(PartitionRecord {
            partition_id,
            topic_id,
            isr: replicas.clone(),
            leader: replicas[0],
            leader_epoch: 0,
            partition_epoch: 0,
            directories: vec![self.node.directory; replicas.len()],
            replicas,
            ..Default::default()
        })
    }
}

/// Each name once, in the request's order; a name that stands there twice is refused.
fn each_name_once(
    request: &CreateTopicsRequest,
) -> impl Iterator<Item = (&CreatableTopic, Result<(), Refusal>)> {
    let mut seen = BTreeMap::<&str, usize>::new();
    for topic in &request.topics {
        *seen.entry(&topic.name).or_default() += 1;
    }
    request.topics.iter().filter_map(move |topic| match seen.remove(topic.name.as_str())? {
        1 => Some((topic, Ok(()))),
        _ => Some((topic, Err((ErrorCode::InvalidRequest, "Duplicate topic name.".into())))),
    })
}

/// The topics that a request's names may be too much like, by their [`names::folded`] names: one
/// walk over all topics, however many names there are.
struct Alike(HashMap<String, Arc<str>>);

impl Alike {
    fn of(image: &Image, request: &CreateTopicsRequest) -> Alike {
        let mut found = HashMap::new();
        if request.topics.iter().any(|topic| names::may_collide(&topic.name)) {
            for name in image.topic_ids.keys().filter(|name| names::may_collide(name)) {
                found.entry(names::folded(name)).or_insert_with(|| Arc::clone(name));
            }
        }
        Alike(found)
    }
}

fn check_name(image: &Image, alike: &Alike, name: &str) -> Result<(), Refusal> {
    if name == METADATA_TOPIC {
        let text = format!("Creation of internal topic {METADATA_TOPIC} is prohibited.");
        return Err((ErrorCode::InvalidRequest, text));
    }
    names::check_topic_name(name)
        .map_err(|error| (ErrorCode::InvalidTopicException, error.to_string()))?;
    if image.topic_ids.contains_key(name) {
        return Err((ErrorCode::TopicAlreadyExists, format!("Topic '{name}' already exists.")));
    }
    // A request's own topics may collide with each other, as in Kafka.
    if names::may_collide(name)
        && let Some(other) = alike.0.get(&names::folded(name))
    {
        let text = format!("Topic '{name}' collides with existing topic: {other}");
        return Err((ErrorCode::InvalidTopicException, text));
    }
    Ok(())
}

fn check_configs(
    around: Surroundings<'_>,
    topic: &CreatableTopic,
) -> Result<BTreeMap<String, String>, Refusal> {
    let refuse = |text: String| (ErrorCode::InvalidConfig, text);
    let nulls = topic.configs.iter().filter(|config| config.value.is_none());
    let nulls: BTreeSet<&str> = nulls.map(|config| config.name.as_str()).collect();
    if !nulls.is_empty() {
        let names: Vec<&str> = nulls.into_iter().collect();
        let text = format!("Null value not supported for topic configs: {}", names.join(","));
        return Err(refuse(text));
    }
    let pairs = topic.configs.iter();
    let pairs = pairs.filter_map(|config| Some((config.name.as_str(), config.value.as_deref()?)));
    let configs: BTreeMap<&str, &str> = pairs.collect();
    topic_config::check(around, &configs).map_err(refuse)?;
    Ok(configs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
}

/// Replicas as the request assigns them.
fn assigned(image: &Image, topic: &CreatableTopic) -> Result<Vec<Vec<i32>>, Refusal> {
    let given_twice = |what: &str| {
        let text =
            format!("A manual partition assignment was specified, but {what} was not set to -1.");
        Err((ErrorCode::InvalidRequest, text))
    };
    if topic.replication_factor != -1 {
        return given_twice("replication factor");
    }
    if topic.num_partitions != -1 {
        return given_twice("numPartitions");
    }
    let refuse = |text: String| Err((ErrorCode::InvalidReplicaAssignment, text));
    let mut partitions = BTreeMap::<i32, Vec<i32>>::new();
    let mut factor = None;
    for assignment in &topic.assignments {
        let number = assignment.partition_index;
        if partitions.contains_key(&number) {
            return refuse(format!(
                "Found multiple manual partition assignments for partition {number}"
            ));
        }
        check_replicas(image, assignment, factor)?;
        factor = Some(assignment.broker_ids.len());
        partitions.insert(number, assignment.broker_ids.clone());
    }
    if !partitions.keys().copied().eq(0..partitions.len() as i32) {
        return refuse("partitions should be a consecutive 0-based integer sequence".into());
    }
    Ok(partitions.into_values().collect())
}

/// Ok for replicas that a partition may have; `factor` is how many the partitions before it have.
pub(super) fn check_replicas(
    image: &Image,
    assignment: &CreatableReplicaAssignment,
    factor: Option<usize>,
) -> Result<(), Refusal> {
    check_assignment(image, assignment, factor)
        .map_err(|text| (ErrorCode::InvalidReplicaAssignment, text))?;
    let active = |id: &i32| {
        let broker = image.brokers.get(id);
        broker.is_some_and(|broker| !broker.fenced && !broker.in_controlled_shutdown)
    };
    if assignment.broker_ids.iter().any(active) {
        return Ok(());
    }
    let text = format!(
        "All brokers specified in the manual partition assignment for partition {} are fenced or \
         in controlled shutdown.",
        assignment.partition_index
    );
    Err((ErrorCode::InvalidReplicaAssignment, text))
}

fn check_assignment(
    image: &Image,
    assignment: &CreatableReplicaAssignment,
    factor: Option<usize>,
) -> Result<(), String> {
    const HEAD: &str = "The manual partition assignment includes";
    let mut brokers = assignment.broker_ids.clone();
    brokers.sort_unstable();
    let count = brokers.len();
    if count == 0 {
        return Err(format!("{HEAD} an empty replica list."));
    }
    for (at, broker) in brokers.iter().enumerate() {
        if !image.brokers.contains_key(broker) {
            return Err(format!("{HEAD} broker {broker}, but no such broker is registered."));
        }
        if at > 0 && brokers[at - 1] == *broker {
            return Err(format!("{HEAD} the broker {broker} more than once."));
        }
    }
    match factor {
        Some(factor) if factor != count => Err(format!(
            "{HEAD} a partition with {count} replica(s), but this is not consistent with previous \
             partitions, which have {factor} replica(s)."
        )),
        _ => Ok(()),
    }
}

pub(super) fn too_large() -> Refusal {
    (ErrorCode::PolicyViolation, "Unable to perform excessively large batch operation.".into())
}

fn refuse_all(request: &CreateTopicsRequest, refusal: &Refusal) -> CreateTopicsResponse {
    let topics = each_name_once(request).map(|(topic, _)| refused_topic(&topic.name, refusal));
    CreateTopicsResponse { throttle_time_ms: 0, topics: topics.collect() }
}

fn refused_topic(name: &str, refusal: &Refusal) -> CreatableTopicResult {
    CreatableTopicResult {
        name: name.to_string(),
        error_code: refusal.0,
        error_message: Some(refusal.1.clone()),
        ..Default::default()
    }
}
