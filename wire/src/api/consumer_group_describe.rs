//! ConsumerGroupDescribe · key 69 · v0–1 (KIP-848)
//!
//! v1: which protocol the member speaks.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;
use crate::uuid::Uuid;

/// Numbers.
pub const API: Api = Api {
    key: 69,
    name: "ConsumerGroupDescribe",
    min: 0,
    max: 1,
    advertised_min: 0,
    flexible_from: 0,
};

/// As a member's type: it speaks the classic protocol.
pub const MEMBER_CLASSIC: i8 = 0;
/// As a member's type: it speaks the new consumer protocol.
pub const MEMBER_CONSUMER: i8 = 1;

messages! {
    /// Asks about groups of the new consumer protocol.
    ConsumerGroupDescribeRequest, flexible 0 {
        /// The groups.
        group_ids: Vec<String> => 0+;
        /// The answer tells what the client may do.
        include_authorized_operations: bool => 0+;
    }

    /// The groups.
    ConsumerGroupDescribeResponse, flexible 0 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// Group by group.
        groups: Vec<DescribedGroup> => 0+;
    }

    /// A group.
    DescribedGroup, flexible 0 {
        /// The group's error.
        error_code: ErrorCode => 0+;
        /// The error in words.
        error_message: Option<String> => 0+, null 0+;
        /// Its id.
        group_id: String => 0+;
        /// Its state's name, or empty.
        group_state: String => 0+;
        /// Its epoch.
        group_epoch: i32 => 0+;
        /// The epoch that its target assignment was made in.
        assignment_epoch: i32 => 0+;
        /// The assignor in force.
        assignor_name: String => 0+;
        /// Its members.
        members: Vec<Member> => 0+;
        /// What the client may do, a bit each; the smallest number where that was not asked.
        authorized_operations: i32 => 0+, default i32::MIN;
    }

    /// A member.
    Member, flexible 0 {
        /// Its id.
        member_id: String => 0+;
        /// The static member's name, or null.
        instance_id: Option<String> => 0+, null 0+;
        /// Where it is, or null.
        rack_id: Option<String> => 0+, null 0+;
        /// Its epoch.
        member_epoch: i32 => 0+;
        /// Its client id.
        client_id: String => 0+;
        /// Where it connects from.
        client_host: String => 0+;
        /// The topics it wants.
        subscribed_topic_names: Vec<String> => 0+;
        /// The regular expression of the topics it wants, or null.
        subscribed_topic_regex: Option<String> => 0+, null 0+;
        /// What it owns.
        assignment: Assignment => 0+;
        /// What it is to own.
        target_assignment: Assignment => 0+;
        /// One of the constants above; -1 is not known.
        member_type: i8 => 1+ ignorable, default -1;
    }

    /// What a member owns.
    Assignment, flexible 0 {
        /// Topic by topic.
        topic_partitions: Vec<TopicPartitions> => 0+;
    }

    /// Partitions of a topic.
    TopicPartitions, flexible 0 {
        /// The topic's id.
        topic_id: Uuid => 0+;
        /// The topic's name.
        topic_name: String => 0+;
        /// Its partitions.
        partitions: Vec<i32> => 0+;
    }
}
