//! ListGroups, DescribeGroups, DeleteGroups, OffsetDelete (rule 74).

use std::collections::BTreeSet;

use ringlog_wire::ErrorCode;
use ringlog_wire::api::delete_groups::DeletableGroupResult;
use ringlog_wire::api::describe_groups::{DescribedGroup, DescribedGroupMember};
use ringlog_wire::api::list_groups::{ListGroupsRequest, ListGroupsResponse};
use ringlog_wire::api::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};

use super::Groups;
use super::classic::{ClassicGroup, Member, State};
use super::event::Output;
use super::kind::Group;
use super::records::{self, GroupRecord};
use crate::coordinator::TopicsView;

/// From this version a group that is not there is an error, and not "Dead".
const DESCRIBE_VERSION_NOT_FOUND: i16 = 6;

/// Which groups are listed: those that pass all. Names are compared without case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filters {
    /// Names of states, in small letters; empty for all.
    states: BTreeSet<String>,
    /// Names of kinds, likewise.
    kinds: BTreeSet<String>,
}

impl Filters {
    /// Those that a request names.
    pub fn of(request: &ListGroupsRequest) -> Filters {
        let lower = |names: &[String]| -> BTreeSet<String> {
            names.iter().map(|name| name.to_lowercase().trim().to_owned()).collect()
        };
        Filters { states: lower(&request.states_filter), kinds: lower(&request.types_filter) }
    }
}

impl Groups {
    pub(super) fn list(&self, filters: &Filters) -> ListGroupsResponse {
        let Filters { states, kinds } = filters;
        let wanted = |set: &BTreeSet<String>, name: &str| {
            set.is_empty() || set.contains(&name.to_lowercase())
        };
        let groups = self.groups.values().filter(|group| {
            let any = group.any();
            wanted(states, any.state_name()) && wanted(kinds, any.kind())
        });
        let groups = groups.map(Group::listed).collect();
        ListGroupsResponse { groups, ..Default::default() }
    }

    pub(super) fn describe(&self, version: i16, group_id: String) -> DescribedGroup {
        match self.groups.get(group_id.as_str()) {
            Some(Group::Classic(group)) => describe_classic(group_id, group),
            Some(Group::Consumer(_)) => not_described(
                version,
                format!("Group {group_id} is not a classic group."),
                group_id,
            ),
            None => not_described(version, format!("Group {group_id} not found."), group_id),
        }
    }

    /// A group and its offsets go, if nobody is in it.
    pub(super) fn delete(&mut self, group_id: String, out: &mut Output) -> DeletableGroupResult {
        let checked = match self.groups.get(group_id.as_str()) {
            Some(group) => group.any().check_delete(),
            None => Err(ErrorCode::GroupIdNotFound),
        };
        let told = |error_code| DeletableGroupResult {
            group_id: group_id.clone(),
            error_code,
            error_message: None,
        };
        if let Err(error) = checked {
            return told(error);
        }
        let mut keys: BTreeSet<(String, i32)> = BTreeSet::new();
        for (topic, partitions) in self.offsets.of_group(&group_id).into_iter().flatten() {
            keys.extend(partitions.keys().map(|at| (topic.to_string(), *at)));
        }
        for (topic, partitions) in self.offsets.open_of_group(&group_id).into_iter().flatten() {
            keys.extend(partitions.keys().map(|at| (topic.to_string(), *at)));
        }
        let room = self.config.batch_bytes_max.saturating_sub(records::BATCH_OVERHEAD);
        let mut bytes = 0;
        let mut take = |record: GroupRecord| {
            bytes += records::bytes(&record);
            (bytes <= room).then_some(record)
        };
        let ends = keys.iter().map(|(topic, at)| records::offset(&group_id, topic, *at, None));
        let group = self.groups.get(group_id.as_str()).map(|group| group.any().tombstones());
        let group = group.unwrap_or_default();
        let all = keys.len() + group.len();
        let ends: Vec<_> = ends.chain(group).map_while(&mut take).collect();
        // What does not fit into one batch goes when the client asks again, as it does.
        let complete = ends.len() == all;
        self.decide(ends, out);
        told(if complete { ErrorCode::None } else { ErrorCode::CoordinatorNotAvailable })
    }

    pub(super) fn delete_offsets(
        &mut self,
        request: OffsetDeleteRequest,
        topics: &dyn TopicsView,
        out: &mut Output,
    ) -> OffsetDeleteResponse {
        let group_id = request.group_id.as_str();
        let failed = |error_code| OffsetDeleteResponse { error_code, ..Default::default() };
        let (known, unknown): (Vec<_>, Vec<_>) =
            request.topics.into_iter().partition(|topic| topics.named(&topic.name).is_some());
        let (mut told, mut ends) = (Vec::new(), Vec::new());
        let room = self.config.batch_bytes_max.saturating_sub(records::BATCH_OVERHEAD);
        let mut bytes = 0;
        let mut tell = |name: String, codes: Vec<(i32, ErrorCode)>| {
            let partitions = codes.into_iter().map(|(partition_index, error_code)| {
                OffsetDeleteResponsePartition { partition_index, error_code }
            });
            told.push(OffsetDeleteResponseTopic { name, partitions: partitions.collect() });
        };
        for topic in unknown {
            let code = ErrorCode::UnknownTopicOrPartition;
            let codes = topic.partitions.iter().map(|asked| (asked.partition_index, code));
            tell(topic.name, codes.collect());
        }
        if !known.is_empty() {
            if group_id.is_empty() {
                return failed(ErrorCode::InvalidGroupId);
            }
            let Some(group) = self.groups.get(group_id) else {
                return failed(ErrorCode::GroupIdNotFound);
            };
            if let Err(error) = group.any().check_delete_offsets() {
                return failed(error);
            }
            for topic in known {
                let read = group.any().reads(&topic.name);
                let code = if read { ErrorCode::GroupSubscribedToTopic } else { ErrorCode::None };
                for at in topic.partitions.iter().map(|asked| asked.partition_index) {
                    let there = self.offsets.get(group_id, &topic.name, at).is_some()
                        || self.offsets.is_open(group_id, &topic.name, at);
                    if there && !read {
                        let end = records::offset(group_id, &topic.name, at, None);
                        bytes += records::bytes(&end);
                        if bytes > room {
                            return failed(ErrorCode::UnknownServerError);
                        }
                        ends.push(end);
                    }
                }
                let codes = topic.partitions.iter().map(|asked| (asked.partition_index, code));
                tell(topic.name, codes.collect());
            }
        }
        self.decide(ends, out);
        OffsetDeleteResponse { topics: told, ..Default::default() }
    }
}

fn not_described(version: i16, message: String, group_id: String) -> DescribedGroup {
    let mut told =
        DescribedGroup { group_id, group_state: "Dead".to_owned(), ..Default::default() };
    if version >= DESCRIBE_VERSION_NOT_FOUND {
        told.error_code = ErrorCode::GroupIdNotFound;
        told.error_message = Some(message);
    }
    told
}

fn describe_classic(group_id: String, group: &ClassicGroup) -> DescribedGroup {
    let protocol = match group.state() {
        State::Stable => group.protocol_name(),
        _ => None,
    };
    let tell = |member: &Member| DescribedGroupMember {
        member_id: member.id.to_string(),
        group_instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        member_metadata: protocol.map_or_else(Vec::new, |name| member.metadata(name).to_vec()),
        member_assignment: member.assignment.clone(),
    };
    DescribedGroup {
        group_id,
        group_state: group.state().name().to_owned(),
        protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
        protocol_data: protocol.unwrap_or_default().to_owned(),
        members: group.members().map(tell).collect(),
        ..Default::default()
    }
}
