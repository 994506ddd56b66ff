//! A group as ConsumerGroupDescribe and ListGroups show it.

use std::collections::{BTreeMap, BTreeSet};

use ringlog_wire::Uuid;
use ringlog_wire::api::consumer_group_describe::{
    Assignment, DescribedGroup, MEMBER_CLASSIC, MEMBER_CONSUMER, Member as DescribedMember,
    TopicPartitions,
};

use super::ConsumerGroup;
use super::Context;
use super::member::Member;
use crate::coordinator::TopicsView;
use crate::group::assignor::Partitions;

impl ConsumerGroup {
    /// The group, its members, and what they have and are to have. Topics that are gone are left
    /// out.
    pub fn describe(&self, at: &Context<'_>) -> DescribedGroup {
        let default = *at.config.assignors.first().expect("there is at least one assignor");
        DescribedGroup {
            group_id: self.id.clone(),
            group_state: self.state().name().to_string(),
            group_epoch: self.epoch,
            assignment_epoch: self.target_epoch,
            assignor_name: self.assignor_name(default).to_string(),
            members: self.members.values().map(|member| self.described(member, at)).collect(),
            ..DescribedGroup::default()
        }
    }

    fn described(&self, member: &Member, at: &Context<'_>) -> DescribedMember {
        // What a member is still to give up is its own until it has.
        let mut held: Partitions = BTreeMap::new();
        for (topic, of_topic) in member.assigned.iter().chain(&member.revoking) {
            held.entry(*topic).or_default().extend(of_topic.keys());
        }
        let nothing = Partitions::new();
        let target = self.target.get(&member.id).unwrap_or(&nothing);
        DescribedMember {
            member_id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            rack_id: member.rack_id.clone(),
            member_epoch: member.epoch,
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            subscribed_topic_names: member.topics.iter().cloned().collect(),
            subscribed_topic_regex: member.regex.clone(),
            assignment: described_assignment(&held, at.topics),
            target_assignment: described_assignment(target, at.topics),
            member_type: if member.is_classic() { MEMBER_CLASSIC } else { MEMBER_CONSUMER },
        }
    }
}

fn described_assignment(partitions: &Partitions, topics: &dyn TopicsView) -> Assignment {
    let of_topic = |(id, of): (&Uuid, &BTreeSet<i32>)| {
        let (name, _) = topics.with_id(*id)?;
        let partitions = of.iter().copied().collect();
        Some(TopicPartitions { topic_id: *id, topic_name: name.to_string(), partitions })
    };
    Assignment { topic_partitions: partitions.iter().filter_map(of_topic).collect() }
}
