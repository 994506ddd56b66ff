//! What the group coordinators write to `__consumer_offsets`; see [`super::coordinator`] for the
//! framing.
//!
//! Share groups' and streams groups' records are [`GroupRecord::Unknown`].

use super::coordinator::coordinator_records;
use crate::message::{messages, nullable_struct};
use crate::uuid::Uuid;

/// As an offset's expire timestamp: the broker's retention decides.
pub const NO_EXPIRE_TIMESTAMP: i64 = -1;

/// As a member's state: it owns what it is to own.
pub const MEMBER_STABLE: i8 = 0;
/// As a member's state: it has partitions to give up.
pub const MEMBER_UNREVOKED_PARTITIONS: i8 = 1;
/// As a member's state: it waits for partitions that others still own.
pub const MEMBER_UNRELEASED_PARTITIONS: i8 = 2;

coordinator_records! {
    /// One record of `__consumer_offsets`.
    GroupRecord {
        /// A committed offset (old form; read only).
        0 LegacyOffsetCommit(OffsetCommitKey, OffsetCommitValue) 0-0, written |_| 0;
        /// A committed offset.
        1 OffsetCommit(OffsetCommitKey, OffsetCommitValue) 0-4, written |value| {
            if value.expire_timestamp == NO_EXPIRE_TIMESTAMP { 4 } else { 1 }
        };
        /// A classic group's generation.
        2 GroupMetadata(GroupMetadataKey, GroupMetadataValue) 0-4, written |_| 3;
        /// A consumer group's epoch.
        3 ConsumerGroupMetadata(ConsumerGroupMetadataKey, ConsumerGroupMetadataValue) 0-0,
            written |_| 0;
        /// The topics that a consumer group knows (old form; Kafka 4.3 writes only its end).
        4 ConsumerGroupPartitionMetadata(
            ConsumerGroupPartitionMetadataKey,
            ConsumerGroupPartitionMetadataValue
        ) 0-0, written |_| 0;
        /// What a consumer group's member wants.
        5 ConsumerGroupMemberMetadata(
            ConsumerGroupMemberMetadataKey,
            ConsumerGroupMemberMetadataValue
        ) 0-0, written |_| 0;
        /// The epoch of a consumer group's target assignment.
        6 ConsumerGroupTargetAssignmentMetadata(
            ConsumerGroupTargetAssignmentMetadataKey,
            ConsumerGroupTargetAssignmentMetadataValue
        ) 0-0, written |_| 0;
        /// What a consumer group's member is to own.
        7 ConsumerGroupTargetAssignmentMember(
            ConsumerGroupTargetAssignmentMemberKey,
            ConsumerGroupTargetAssignmentMemberValue
        ) 0-0, written |_| 0;
        /// What a consumer group's member owns.
        8 ConsumerGroupCurrentMemberAssignment(
            ConsumerGroupCurrentMemberAssignmentKey,
            ConsumerGroupCurrentMemberAssignmentValue
        ) 0-0, written |_| 0;
        /// The topics that a consumer group's regular expression stands for.
        16 ConsumerGroupRegularExpression(
            ConsumerGroupRegularExpressionKey,
            ConsumerGroupRegularExpressionValue
        ) 0-0, written |_| 0;
    }
}

messages! {
    /// Whose offset.
    OffsetCommitKey, flexible 32767 {
        /// The group.
        group: String => 0+;
        /// The topic.
        topic: String => 0+;
        /// The partition.
        partition: i32 => 0+;
    }

    /// A committed offset. v1: expiry.  v2: none.  v3: leader epoch.  v4: flexible, topic id.
    OffsetCommitValue, flexible 4 {
        /// The offset of the next record to read.
        offset: i64 => 0+;
        /// The leader's epoch of the last record read, or -1.
        leader_epoch: i32 => 3+ ignorable, default -1;
        /// What the client wants to remember with it.
        metadata: String => 0+;
        /// When it was committed, in milliseconds since 1970.
        commit_timestamp: i64 => 0+;
        /// When it is forgotten, in milliseconds since 1970, or [`NO_EXPIRE_TIMESTAMP`]. With one,
        /// the record is written in version 1, which has neither leader epoch nor topic id.
        expire_timestamp: i64 => 1-1 ignorable, default -1;
        /// The topic's id; zero where the client told only its name.
        topic_id: Uuid => 4+ ignorable, tag 0;
    }

    /// Which classic group.
    GroupMetadataKey, flexible 32767 {
        /// The group.
        group: String => 0+;
    }

    /// A classic group's generation. v1: rebalance timeout.  v2: timestamp.  v3: static members.
    /// v4: flexible; Kafka 4.3 writes v3.
    GroupMetadataValue, flexible 4 {
        /// What kind of group it is; empty in an empty group.
        protocol_type: String => 0+;
        /// The generation's number.
        generation: i32 => 0+;
        /// The chosen protocol, or null.
        protocol: Option<String> => 0+, null 0+;
        /// The member that assigns, or null.
        leader: Option<String> => 0+, null 0+;
        /// Since when its state is what it is, in milliseconds since 1970, or -1.
        current_state_timestamp: i64 => 2+ ignorable, default -1;
        /// The members.
        members: Vec<MemberMetadata> => 0+;
    }

    /// A classic group's member.
    MemberMetadata, flexible 4 {
        /// Its id.
        member_id: String => 0+;
        /// The static member's name, or null.
        group_instance_id: Option<String> => 3+ ignorable, null 3+;
        /// Its client id.
        client_id: String => 0+;
        /// Where it connects from.
        client_host: String => 0+;
        /// How many milliseconds it has to join again in a rebalance, or -1.
        rebalance_timeout: i32 => 1+ ignorable, default -1;
        /// After how many milliseconds without a heartbeat it is dead.
        session_timeout: i32 => 0+;
        /// What it says in the chosen protocol.
        subscription: Vec<u8> => 0+;
        /// Its part.
        assignment: Vec<u8> => 0+;
    }

    /// Which consumer group.
    ConsumerGroupMetadataKey, flexible 32767 {
        /// The group.
        group_id: String => 0+;
    }

    /// A consumer group's epoch.
    ConsumerGroupMetadataValue, flexible 0 {
        /// The epoch.
        epoch: i32 => 0+;
        /// The hash of all topics that it reads; 0 without any.
        metadata_hash: i64 => 0+, tag 0;
    }

    /// Which consumer group.
    ConsumerGroupPartitionMetadataKey, flexible 32767 {
        /// The group.
        group_id: String => 0+;
    }

    /// The topics that a consumer group knows.
    ConsumerGroupPartitionMetadataValue, flexible 0 {
        /// The topics.
        topics: Vec<TopicMetadata> => 0+;
    }

    /// A topic that a consumer group knows.
    TopicMetadata, flexible 0 {
        /// Its id.
        topic_id: Uuid => 0+;
        /// Its name.
        topic_name: String => 0+;
        /// How many partitions it has.
        num_partitions: i32 => 0+;
        /// Where its partitions are.
        partition_metadata: Vec<PartitionMetadata> => 0+;
    }

    /// Where a partition is.
    PartitionMetadata, flexible 0 {
        /// Its number.
        partition: i32 => 0+;
        /// The racks of its replicas.
        racks: Vec<String> => 0+;
    }

    /// Which member of which consumer group.
    ConsumerGroupMemberMetadataKey, flexible 32767 {
        /// The group.
        group_id: String => 0+;
        /// The member.
        member_id: String => 0+;
    }

    /// What a consumer group's member wants.
    ConsumerGroupMemberMetadataValue, flexible 0 {
        /// The static member's name, or null.
        instance_id: Option<String> => 0+, null 0+;
        /// Where it is, or null.
        rack_id: Option<String> => 0+, null 0+;
        /// Its client id.
        client_id: String => 0+;
        /// Where it connects from.
        client_host: String => 0+;
        /// The topics it wants.
        subscribed_topic_names: Vec<String> => 0+;
        /// The regular expression of the topics it wants, or null.
        subscribed_topic_regex: Option<String> => 0+, null 0+;
        /// How many milliseconds it has to give partitions up, or -1.
        rebalance_timeout_ms: i32 => 0+, default -1;
        /// The assignor it wants, or null.
        server_assignor: Option<String> => 0+, null 0+;
        /// What it said as a classic member; null when it speaks the new protocol.
        classic_member_metadata: Option<ClassicMemberMetadata> => 0+, null 0+, tag 0;
    }

    /// What a member of a consumer group said in the classic protocol.
    ClassicMemberMetadata, flexible 0 {
        /// After how many milliseconds without a heartbeat it is dead.
        session_timeout_ms: i32 => 0+;
        /// The protocols that it can, the preferred first.
        supported_protocols: Vec<ClassicProtocol> => 0+;
    }

    /// A protocol that a classic member can.
    ClassicProtocol, flexible 0 {
        /// Its name.
        name: String => 0+;
        /// What the member says in it.
        metadata: Vec<u8> => 0+;
    }

    /// Which consumer group.
    ConsumerGroupTargetAssignmentMetadataKey, flexible 32767 {
        /// The group.
        group_id: String => 0+;
    }

    /// The epoch of a consumer group's target assignment.
    ConsumerGroupTargetAssignmentMetadataValue, flexible 0 {
        /// The epoch.
        assignment_epoch: i32 => 0+;
        /// When it was made, in milliseconds since 1970; 0 where that is not known.
        assignment_timestamp: i64 => 0+ ignorable, tag 0;
    }

    /// Which member of which consumer group.
    ConsumerGroupTargetAssignmentMemberKey, flexible 32767 {
        /// The group.
        group_id: String => 0+;
        /// The member.
        member_id: String => 0+;
    }

    /// What a consumer group's member is to own.
    ConsumerGroupTargetAssignmentMemberValue, flexible 0 {
        /// Topic by topic.
        topic_partitions: Vec<TopicPartition> => 0+;
    }

    /// Partitions of a topic that a member is to own.
    TopicPartition, flexible 0 {
        /// The topic.
        topic_id: Uuid => 0+;
        /// Its partitions.
        partitions: Vec<i32> => 0+;
    }

    /// Which member of which consumer group.
    ConsumerGroupCurrentMemberAssignmentKey, flexible 32767 {
        /// The group.
        group_id: String => 0+;
        /// The member.
        member_id: String => 0+;
    }

    /// What a consumer group's member owns.
    ConsumerGroupCurrentMemberAssignmentValue, flexible 0 {
        /// Its epoch.
        member_epoch: i32 => 0+;
        /// Its epoch before that; the member may not have heard of the new one.
        previous_member_epoch: i32 => 0+;
        /// One of the constants above.
        state: i8 => 0+;
        /// What it owns.
        assigned_partitions: Vec<TopicPartitions> => 0+;
        /// What it has yet to give up.
        partitions_pending_revocation: Vec<TopicPartitions> => 0+;
    }

    /// Partitions of a topic that a member owns.
    TopicPartitions, flexible 0 {
        /// The topic.
        topic_id: Uuid => 0+;
        /// Its partitions.
        partitions: Vec<i32> => 0+;
        /// The member's epoch when it got each of them, or null: as many as there are partitions.
        assignment_epochs: Option<Vec<i32>> => 0+, null 0+, tag 0;
    }

    /// Which regular expression of which consumer group.
    ConsumerGroupRegularExpressionKey, flexible 32767 {
        /// The group.
        group_id: String => 0+;
        /// The expression.
        regular_expression: String => 0+;
    }

    /// The topics that a regular expression stands for.
    ConsumerGroupRegularExpressionValue, flexible 0 {
        /// The topics.
        topics: Vec<String> => 0+;
        /// The metadata's version that they are from.
        version: i64 => 0+;
        /// When they were looked up, in milliseconds since 1970.
        timestamp: i64 => 0+;
    }
}

nullable_struct!(ClassicMemberMetadata);
