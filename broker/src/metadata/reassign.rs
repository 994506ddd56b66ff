//! Where a partition's replicas may be: what AlterPartitionReassignments checks, with the codes and
//! words of Kafka 4.3.1's controller. One node keeps every replica, so nothing ever moves: a
//! request for what is there already succeeds, and nothing is written.

use ringlog_wire::ErrorCode;
use ringlog_wire::api::create_topics::CreatableReplicaAssignment;

use super::create::{self, Refusal};
use super::image::{Image, PartitionImage};

/// Ok for a partition that is to stay where it is; `replicas` are node ids.
///
/// # Errors
/// Kafka's code and words for replicas that cannot be; for those that could be with more than one
/// node, INVALID_REPLICA_ASSIGNMENT.
pub fn check_move(
    image: &Image,
    index: i32,
    partition: &PartitionImage,
    replicas: &[i32],
    factor_may_change: bool,
) -> Result<(), Refusal> {
    let assignment =
        CreatableReplicaAssignment { partition_index: index, broker_ids: replicas.to_vec() };
    create::check_replicas(image, &assignment, None)?;
    let (old, new) = (partition.replicas.len(), replicas.len());
    if !factor_may_change && old != new {
        let text = format!("The replication factor is changed from {old} to {new}");
        return Err((ErrorCode::InvalidReplicationFactor, text));
    }
    match partition.replicas == replicas {
        true => Ok(()),
        false => Err(stays()),
    }
}

/// The refusal of a move that one node cannot make.
pub fn stays() -> Refusal {
    let text = "Partitions do not move: one node keeps every replica.";
    (ErrorCode::InvalidReplicaAssignment, text.into())
}
