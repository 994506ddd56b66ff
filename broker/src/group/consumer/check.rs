//! What a ConsumerGroupHeartbeat must be like, and who may send it.

use ringlog_wire::ErrorCode;
use ringlog_wire::api::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, EPOCH_JOIN, EPOCH_LEAVE, EPOCH_LEAVE_STATIC, TopicPartitions,
};

use super::member::{Epochs, Member};
use super::{ConsumerGroup, ConsumerGroupConfig, Refusal};
use crate::group::MEMBER_ID_BYTES_MAX;

/// The version from which on a member makes its own id (KIP-1082).
const OWN_MEMBER_ID_VERSION: i16 = 1;

impl ConsumerGroup {
    /// Whether a heartbeat is well formed: asked before the group is looked up. INVALID_REQUEST or
    /// UNSUPPORTED_ASSIGNOR if it is not.
    pub fn check_heartbeat(
        version: i16,
        request: &ConsumerGroupHeartbeatRequest,
        config: &ConsumerGroupConfig,
    ) -> Result<(), Refusal> {
        let epoch = request.member_epoch;
        if version >= OWN_MEMBER_ID_VERSION || epoch > EPOCH_JOIN || epoch == EPOCH_LEAVE {
            not_blank(Some(&request.member_id), "MemberId")?;
        }
        not_blank(Some(&request.group_id), "GroupId")?;
        not_blank(request.instance_id.as_deref(), "InstanceId")?;
        not_blank(request.rack_id.as_deref(), "RackId")?;
        not_long(Some(&request.member_id), "MemberId")?;
        not_long(request.instance_id.as_deref(), "InstanceId")?;
        match epoch {
            EPOCH_JOIN => joins_in_full(request)?,
            EPOCH_LEAVE_STATIC if request.instance_id.is_none() => {
                return Err(invalid("InstanceId can't be null."));
            }
            ..EPOCH_LEAVE_STATIC => return Err(invalid("MemberEpoch is invalid.")),
            _ => {}
        }
        let Some(wanted) = &request.server_assignor else { return Ok(()) };
        let names: Vec<&str> = config.assignors.iter().map(|assignor| assignor.name()).collect();
        if names.contains(&wanted.as_str()) {
            return Ok(());
        }
        let message = format!(
            "ServerAssignor {wanted} is not supported. Supported assignors: {}.",
            names.join(", ")
        );
        Err(Refusal::new(ErrorCode::UnsupportedAssignor, message))
    }

    /// GROUP_MAX_SIZE_REACHED if one more member would be too many.
    pub(super) fn check_size(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        config: &ConsumerGroupConfig,
    ) -> Result<(), Refusal> {
        let known = instance_id.is_some_and(|instance| self.has_static(instance))
            || self.members.contains_key(member_id);
        if known || self.members.len() < config.members_max {
            return Ok(());
        }
        let max = config.members_max;
        Err(Refusal::new(
            ErrorCode::GroupMaxSizeReached,
            format!("The consumer group has reached its maximum capacity of {max} members."),
        ))
    }
}

fn joins_in_full(request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refusal> {
    if request.rebalance_timeout_ms == -1 {
        return Err(invalid("RebalanceTimeoutMs must be provided in first request."));
    }
    if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) {
        return Err(invalid("TopicPartitions must be empty when (re-)joining."));
    }
    if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() {
        return Err(invalid(
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when \
             (re-)joining.",
        ));
    }
    Ok(())
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

fn not_blank(value: Option<&str>, field: &str) -> Result<(), Refusal> {
    match value {
        Some(text) if text.trim().is_empty() => Err(invalid(&format!("{field} can't be empty."))),
        _ => Ok(()),
    }
}

fn not_long(value: Option<&str>, field: &str) -> Result<(), Refusal> {
    match value {
        Some(text) if text.len() > MEMBER_ID_BYTES_MAX => {
            Err(invalid(&format!("{field} can't be longer than {MEMBER_ID_BYTES_MAX} bytes.")))
        }
        _ => Ok(()),
    }
}

/// A heartbeat's epoch against the member's. The epoch before is good too, as long as the member
/// lists nothing that it has not: the answer that told it the new epoch may have been lost.
pub(super) fn member_epoch(
    member: &Member,
    received: i32,
    owned: Option<&[TopicPartitions]>,
) -> Result<(), Refusal> {
    if received == EPOCH_JOIN || received == member.epoch {
        return Ok(());
    }
    let knows_last = received == member.previous_epoch && lists_only(owned, &member.assigned);
    if received < member.epoch && knows_last {
        return Ok(());
    }
    let compared = if received > member.epoch { "greater" } else { "smaller" };
    let message = format!(
        "The consumer group member has a {compared} member epoch ({received}) than the one known \
         by the group coordinator ({}). The member must abandon all its partitions and rejoin.",
        member.epoch
    );
    Err(Refusal::new(ErrorCode::FencedMemberEpoch, message))
}

fn lists_only(owned: Option<&[TopicPartitions]>, assigned: &Epochs) -> bool {
    let Some(owned) = owned else { return false };
    owned.iter().all(|topic| {
        let of_topic = assigned.get(&topic.topic_id);
        of_topic.is_some_and(|of| topic.partitions.iter().all(|p| of.contains_key(p)))
    })
}

pub(super) fn unknown_instance(instance_id: &str) -> Refusal {
    let message = format!("Instance id {instance_id} is unknown.");
    Refusal::new(ErrorCode::UnknownMemberId, message)
}

/// FENCED_INSTANCE_ID if another member has taken the instance id over.
pub(super) fn instance_not_fenced(
    member: &Member,
    received_id: &str,
    instance_id: &str,
) -> Result<(), Refusal> {
    if member.id == received_id {
        return Ok(());
    }
    let message = format!(
        "Static member {received_id} with instance id {instance_id} was fenced by member {}.",
        member.id
    );
    Err(Refusal::new(ErrorCode::FencedInstanceId, message))
}

/// UNRELEASED_INSTANCE_ID if the member has not left.
pub(super) fn instance_released(
    member: &Member,
    received_id: &str,
    instance_id: &str,
) -> Result<(), Refusal> {
    if member.is_away() {
        return Ok(());
    }
    let message = format!(
        "Static member {received_id} with instance id {instance_id} cannot join the group because \
         the instance id is owned by {} member.",
        member.id
    );
    Err(Refusal::new(ErrorCode::UnreleasedInstanceId, message))
}
