//! ConsumerGroupHeartbeat · key 68 · v0–1 (KIP-848)
//!
//! v1: subscription by regular expression; the client makes its own member id (KIP-1082).

use super::Api;
use crate::error::ErrorCode;
use crate::message::{messages, nullable_struct};
use crate::uuid::Uuid;

/// Numbers.
pub const API: Api = Api {
    key: 68,
    name: "ConsumerGroupHeartbeat",
    min: 0,
    max: 1,
    advertised_min: 0,
    flexible_from: 0,
};

/// As a member's epoch: it joins.
pub const EPOCH_JOIN: i32 = 0;
/// As a member's epoch: it leaves for good.
pub const EPOCH_LEAVE: i32 = -1;
/// As a static member's epoch: it leaves and means to come back.
pub const EPOCH_LEAVE_STATIC: i32 = -2;

messages! {
    /// Joins, stays, tells what has changed, or leaves. Null is "as before".
    ConsumerGroupHeartbeatRequest, flexible 0 {
        /// The group.
        group_id: String => 0+;
        /// The member; from v1 on the client's own choice.
        member_id: String => 0+;
        /// Its epoch, or one of the constants above.
        member_epoch: i32 => 0+;
        /// The static member's name, or null.
        instance_id: Option<String> => 0+, null 0+;
        /// Where the member is, or null.
        rack_id: Option<String> => 0+, null 0+;
        /// How many milliseconds the member has to give partitions up, or -1.
        rebalance_timeout_ms: i32 => 0+, default -1;
        /// The topics it wants, or null.
        subscribed_topic_names: Option<Vec<String>> => 0+, null 0+;
        /// The regular expression of the topics it wants, or null; empty takes it back.
        subscribed_topic_regex: Option<String> => 1+, null 1+;
        /// The assignor it wants, or null.
        server_assignor: Option<String> => 0+, null 0+;
        /// The partitions it owns, or null.
        topic_partitions: Option<Vec<TopicPartitions>> => 0+, null 0+;
    }

    /// Partitions of a topic.
    TopicPartitions, flexible 0 {
        /// The topic.
        topic_id: Uuid => 0+;
        /// Its partitions.
        partitions: Vec<i32> => 0+;
    }

    /// What the member is to own.
    ConsumerGroupHeartbeatResponse, flexible 0 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// The error.
        error_code: ErrorCode => 0+;
        /// The error in words.
        error_message: Option<String> => 0+, null 0+;
        /// The member, or null.
        member_id: Option<String> => 0+, null 0+;
        /// Its epoch.
        member_epoch: i32 => 0+;
        /// After how many milliseconds the next heartbeat is due.
        heartbeat_interval_ms: i32 => 0+;
        /// What it is to own, or null: as before.
        assignment: Option<Assignment> => 0+, null 0+;
    }

    /// What a member is to own.
    Assignment, flexible 0 {
        /// Topic by topic.
        topic_partitions: Vec<TopicPartitions> => 0+;
    }
}

nullable_struct!(Assignment);
