//! DescribeGroups · key 15 · v0–6
//!
//! v1: throttle time.  v2: the broker answers before it is held back.  v3: what the client may do.
//! v4: static members.  v5: flexible.  v6: GROUP_ID_NOT_FOUND, and the error in words (KIP-1043).

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 15, name: "DescribeGroups", min: 0, max: 6, advertised_min: 0, flexible_from: 5 };

messages! {
    /// Asks about groups.
    DescribeGroupsRequest, flexible 5 {
        /// The groups.
        groups: Vec<String> => 0+;
        /// The answer tells what the client may do.
        include_authorized_operations: bool => 3+;
    }

    /// The groups.
    DescribeGroupsResponse, flexible 5 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 1+ ignorable;
        /// Group by group.
        groups: Vec<DescribedGroup> => 0+;
    }

    /// A group.
    DescribedGroup, flexible 5 {
        /// The group's error.
        error_code: ErrorCode => 0+;
        /// The error in words.
        error_message: Option<String> => 6+, null 6+;
        /// Its id.
        group_id: String => 0+;
        /// Its state's name, or empty.
        group_state: String => 0+;
        /// What kind of group it is, or empty.
        protocol_type: String => 0+;
        /// The chosen protocol's name, or empty.
        protocol_data: String => 0+;
        /// Its members.
        members: Vec<DescribedGroupMember> => 0+;
        /// What the client may do, a bit each; the smallest number where that was not asked.
        authorized_operations: i32 => 3+, default i32::MIN;
    }

    /// A member.
    DescribedGroupMember, flexible 5 {
        /// Its id.
        member_id: String => 0+;
        /// The static member's name, or null.
        group_instance_id: Option<String> => 4+ ignorable, null 4+;
        /// Its client id.
        client_id: String => 0+;
        /// Where it connects from.
        client_host: String => 0+;
        /// What it says in the chosen protocol.
        member_metadata: Vec<u8> => 0+;
        /// Its part.
        member_assignment: Vec<u8> => 0+;
    }
}
