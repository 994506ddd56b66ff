//! One member of a consumer group, as its records say it.

use std::collections::{BTreeMap, BTreeSet};

use ringlog_wire::Uuid;
use ringlog_wire::records::group::{
    ClassicMemberMetadata, ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataValue, TopicPartitions,
};

/// The epoch of a member that leaves, and of one whose assignment has been deleted.
pub const LEAVE_GROUP_EPOCH: i32 = -1;
/// The epoch of a static member that leaves for a while.
pub const LEAVE_GROUP_STATIC_EPOCH: i32 = -2;

/// Partitions, and the epoch at which the member was given each.
pub type Epochs = BTreeMap<Uuid, BTreeMap<i32, i32>>;

/// Where a member stands on its way to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It has what the target of its epoch gives it.
    Stable,
    /// It must first give partitions up.
    UnrevokedPartitions,
    /// It is in the target's epoch, and waits for partitions that other members have.
    UnreleasedPartitions,
    /// A state of a later Kafka, found in the log.
    Unknown,
}

impl MemberState {
    /// Kafka's number.
    pub const fn number(self) -> i8 {
        match self {
            MemberState::Stable => 0,
            MemberState::UnrevokedPartitions => 1,
            MemberState::UnreleasedPartitions => 2,
            MemberState::Unknown => 127,
        }
    }

    /// The state of a number; any other number is [`MemberState::Unknown`].
    pub const fn of_number(number: i8) -> MemberState {
        match number {
            0 => MemberState::Stable,
            1 => MemberState::UnrevokedPartitions,
            2 => MemberState::UnreleasedPartitions,
            _ => MemberState::Unknown,
        }
    }
}

/// See the module's head.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// Its epoch; [`LEAVE_GROUP_STATIC_EPOCH`] for a static member that is away.
    pub epoch: i32,
    /// The epoch before; a heartbeat with it is answered too, for the answer may have been lost.
    pub previous_epoch: i32,
    /// See [`MemberState`].
    pub state: MemberState,
    /// A static member's instance id.
    pub instance_id: Option<String>,
    /// Where it runs.
    pub rack_id: Option<String>,
    /// For how long it may take to give partitions up, in milliseconds; -1 before it has said so.
    pub rebalance_timeout_ms: i32,
    /// The client id of its last heartbeat.
    pub client_id: String,
    /// The address of its last heartbeat, as Java prints it: "/127.0.0.1".
    pub client_host: String,
    /// The topics that it names.
    pub topics: BTreeSet<String>,
    /// The expression that it subscribes by; `None` and empty both mean none.
    pub regex: Option<String>,
    /// The assignor that it would like.
    pub assignor: Option<String>,
    /// What it has.
    pub assigned: Epochs,
    /// What it has and must give up.
    pub revoking: Epochs,
    /// What a member of the classic protocol has said when it joined.
    pub classic: Option<ClassicMemberMetadata>,
}

impl Member {
    /// A member that has said nothing yet.
    pub fn new(id: &str) -> Member {
        Member {
            id: id.to_string(),
            epoch: 0,
            previous_epoch: -1,
            state: MemberState::Stable,
            instance_id: None,
            rack_id: None,
            rebalance_timeout_ms: -1,
            client_id: String::new(),
            client_host: String::new(),
            topics: BTreeSet::new(),
            regex: Some(String::new()),
            assignor: None,
            assigned: Epochs::new(),
            revoking: Epochs::new(),
            classic: None,
        }
    }

    /// Whether it speaks the classic protocol.
    pub fn is_classic(&self) -> bool {
        self.classic.is_some()
    }

    /// Its expression, if it has one.
    pub fn regex(&self) -> Option<&str> {
        self.regex.as_deref().filter(|regex| !regex.is_empty())
    }

    /// Whether it has arrived at that target.
    pub fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == target_epoch
    }

    /// Whether it is a static member that has left for a while.
    pub fn is_away(&self) -> bool {
        self.epoch == LEAVE_GROUP_STATIC_EPOCH
    }

    /// How many bytes it has said in the classic protocol.
    pub fn classic_bytes(&self) -> usize {
        let said = self.classic.iter().flat_map(|classic| &classic.supported_protocols);
        said.map(|protocol| protocol.name.len() + protocol.metadata.len()).sum()
    }

    /// Goes to an epoch, and remembers the one before.
    pub fn enter_epoch(&mut self, epoch: i32) {
        self.previous_epoch = self.epoch;
        self.epoch = epoch;
    }

    /// Whether the member has that partition, be it to give it up.
    pub fn holds(&self, topic: Uuid, partition: i32) -> bool {
        self.held_since(topic, partition).is_some()
    }

    /// The epoch at which the member was given a partition that it has.
    pub fn held_since(&self, topic: Uuid, partition: i32) -> Option<i32> {
        let of = |epochs: &Epochs| epochs.get(&topic).and_then(|of| of.get(&partition)).copied();
        of(&self.assigned).or_else(|| of(&self.revoking))
    }

    /// Takes over what its subscription's record says.
    pub fn apply_metadata(&mut self, value: &ConsumerGroupMemberMetadataValue) {
        self.instance_id = value.instance_id.clone();
        self.rack_id = value.rack_id.clone();
        self.client_id = value.client_id.clone();
        self.client_host = value.client_host.clone();
        self.topics = value.subscribed_topic_names.iter().cloned().collect();
        self.regex = value.subscribed_topic_regex.clone();
        self.rebalance_timeout_ms = value.rebalance_timeout_ms;
        self.assignor = value.server_assignor.clone();
        self.classic = value.classic_member_metadata.clone();
    }

    /// Takes over what its assignment's record says.
    pub fn apply_assignment(&mut self, value: &ConsumerGroupCurrentMemberAssignmentValue) {
        self.epoch = value.member_epoch;
        self.previous_epoch = value.previous_member_epoch;
        self.state = MemberState::of_number(value.state);
        self.assigned = epochs(&value.assigned_partitions, value.member_epoch);
        self.revoking = epochs(&value.partitions_pending_revocation, value.member_epoch);
    }

    /// Its assignment's record has been deleted.
    pub fn clear_assignment(&mut self) {
        self.epoch = LEAVE_GROUP_EPOCH;
        self.previous_epoch = LEAVE_GROUP_EPOCH;
        self.assigned.clear();
        self.revoking.clear();
    }

    /// What its subscription's record is to say.
    pub fn metadata_value(&self) -> ConsumerGroupMemberMetadataValue {
        ConsumerGroupMemberMetadataValue {
            instance_id: self.instance_id.clone(),
            rack_id: self.rack_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            subscribed_topic_names: self.topics.iter().cloned().collect(),
            subscribed_topic_regex: self.regex.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            server_assignor: self.assignor.clone(),
            classic_member_metadata: self.classic.clone(),
        }
    }

    /// What its assignment's record is to say.
    pub fn assignment_value(&self) -> ConsumerGroupCurrentMemberAssignmentValue {
        ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            state: self.state.number(),
            assigned_partitions: topic_partitions(&self.assigned),
            partitions_pending_revocation: topic_partitions(&self.revoking),
        }
    }
}

/// A record of an older Kafka has no epochs: the member's epoch stands for them.
fn epochs(topics: &[TopicPartitions], member_epoch: i32) -> Epochs {
    let mut all = Epochs::new();
    for topic in topics {
        let given = topic.assignment_epochs.as_deref().unwrap_or_default();
        let has_epochs = given.len() == topic.partitions.len();
        let of_topic = all.entry(topic.topic_id).or_default();
        for (index, &partition) in topic.partitions.iter().enumerate() {
            let epoch = if has_epochs { given[index] } else { member_epoch.max(0) };
            of_topic.insert(partition, epoch);
        }
    }
    all
}

fn topic_partitions(epochs: &Epochs) -> Vec<TopicPartitions> {
    let of_topic = |(topic, of): (&Uuid, &BTreeMap<i32, i32>)| TopicPartitions {
        topic_id: *topic,
        partitions: of.keys().copied().collect(),
        assignment_epochs: Some(of.values().copied().collect()),
    };
    epochs.iter().map(of_topic).collect()
}
