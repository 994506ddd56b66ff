//! What comes in, and what goes out.

use std::sync::Arc;

use ringlog_wire::Uuid;
use ringlog_wire::api::consumer_group_describe;
use ringlog_wire::api::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
};
use ringlog_wire::api::delete_groups::DeletableGroupResult;
use ringlog_wire::api::describe_groups::{DescribedGroup, DescribedGroupMember};
use ringlog_wire::api::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use ringlog_wire::api::join_group::{JoinGroupRequest, JoinGroupResponse};
use ringlog_wire::api::leave_group::{LeaveGroupRequest, LeaveGroupResponse};
use ringlog_wire::api::list_groups::ListGroupsResponse;
use ringlog_wire::api::offset_commit::{OffsetCommitRequest, OffsetCommitResponse};
use ringlog_wire::api::offset_delete::{OffsetDeleteRequest, OffsetDeleteResponse};
use ringlog_wire::api::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchResponseGroup, OffsetFetchResponseTopics,
};
use ringlog_wire::api::sync_group::{SyncGroupRequest, SyncGroupResponse};
use ringlog_wire::api::txn_offset_commit::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::admin::Filters;
use super::records::GroupRecord;
use crate::coordinator::Ticket;

/// Who sent a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The header's client id; empty for null.
    pub id: String,
    /// The address as Kafka writes it: a slash and the IP address.
    pub host: String,
}

/// A topic that is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTopic {
    /// Its name.
    pub name: String,
    /// Its id; offsets that were committed for another topic of this name stay.
    pub id: Uuid,
}

/// What happens to the groups of a partition.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// JoinGroup.
    Join {
        /// Who waits.
        to: Ticket,
        /// Who asks.
        client: Client,
        /// The request's version.
        version: i16,
        /// The request.
        request: JoinGroupRequest,
    },
    /// SyncGroup.
    Sync {
        /// Who waits.
        to: Ticket,
        /// The request.
        request: SyncGroupRequest,
    },
    /// Heartbeat.
    Heartbeat {
        /// Who waits.
        to: Ticket,
        /// The request.
        request: HeartbeatRequest,
    },
    /// LeaveGroup.
    Leave {
        /// Who waits.
        to: Ticket,
        /// The request's version: up to 2 the request names one member.
        version: i16,
        /// The request.
        request: LeaveGroupRequest,
    },
    /// ConsumerGroupHeartbeat.
    ConsumerHeartbeat {
        /// Who waits.
        to: Ticket,
        /// Who asks.
        client: Client,
        /// The request's version: from 1 members make their ids.
        version: i16,
        /// The request.
        request: ConsumerGroupHeartbeatRequest,
    },
    /// One group of a ConsumerGroupDescribe.
    ConsumerDescribe {
        /// Who waits.
        to: Ticket,
        /// The group.
        group_id: String,
    },
    /// OffsetCommit.
    Commit {
        /// Who waits.
        to: Ticket,
        /// The request's version.
        version: i16,
        /// The request.
        request: OffsetCommitRequest,
    },
    /// TxnOffsetCommit of a producer that the partition's log would take: the runtime has checked
    /// its epoch and its transaction, because what is decided here is not taken back.
    TxnCommit {
        /// Who waits.
        to: Ticket,
        /// The request's version.
        version: i16,
        /// The request.
        request: TxnOffsetCommitRequest,
    },
    /// One group of an OffsetFetch.
    Fetch {
        /// Who waits.
        to: Ticket,
        /// The request's version.
        version: i16,
        /// Offsets in open transactions are UNSTABLE_OFFSET_COMMIT.
        require_stable: bool,
        /// The group, and its topics; null is all.
        group: OffsetFetchRequestGroup,
    },
    /// ListGroups.
    List {
        /// Who waits.
        to: Ticket,
        /// Which groups are wanted; the same for all coordinators.
        filters: Arc<Filters>,
    },
    /// One group of a DescribeGroups.
    Describe {
        /// Who waits.
        to: Ticket,
        /// The request's version: from 6 an unknown group is an error.
        version: i16,
        /// The group.
        group_id: String,
    },
    /// One group of a DeleteGroups.
    Delete {
        /// Who waits.
        to: Ticket,
        /// The group.
        group_id: String,
    },
    /// OffsetDelete.
    DeleteOffsets {
        /// Who waits.
        to: Ticket,
        /// The request.
        request: OffsetDeleteRequest,
    },
    /// A marker is written to the partition's log; nobody waits here.
    EndTransaction {
        /// The producer.
        producer_id: i64,
        /// Its epoch.
        producer_epoch: i16,
        /// Commit, or abort.
        committed: bool,
    },
    /// Topics were deleted: so are their offsets.
    TopicsDeleted(Vec<DeletedTopic>),
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// To JoinGroup.
    Join(JoinGroupResponse),
    /// To SyncGroup.
    Sync(SyncGroupResponse),
    /// To Heartbeat.
    Heartbeat(HeartbeatResponse),
    /// To LeaveGroup.
    Leave(LeaveGroupResponse),
    /// To ConsumerGroupHeartbeat.
    ConsumerHeartbeat(ConsumerGroupHeartbeatResponse),
    /// To one group of a ConsumerGroupDescribe.
    ConsumerDescribe(consumer_group_describe::DescribedGroup),
    /// To OffsetCommit.
    Commit(OffsetCommitResponse),
    /// To TxnOffsetCommit.
    TxnCommit(TxnOffsetCommitResponse),
    /// To one group of an OffsetFetch.
    Fetch(OffsetFetchResponseGroup),
    /// To ListGroups.
    List(ListGroupsResponse),
    /// To one group of a DescribeGroups.
    Describe(DescribedGroup),
    /// To one group of a DeleteGroups.
    Delete(DeletableGroupResult),
    /// To OffsetDelete.
    DeleteOffsets(OffsetDeleteResponse),
}

impl Response {
    /// About how many bytes of memory it takes, where that may be many.
    pub fn bytes(&self) -> usize {
        let more = match self {
            Response::Fetch(told) => told.topics.iter().map(fetched_bytes).sum(),
            Response::Describe(told) => told.members.iter().map(described_bytes).sum(),
            Response::ConsumerDescribe(told) => told.members.iter().map(consumer_bytes).sum(),
            _ => 0,
        };
        size_of::<Response>() + more
    }
}

fn text_bytes<'a>(texts: impl IntoIterator<Item = &'a String>) -> usize {
    texts.into_iter().map(String::len).sum()
}

fn fetched_bytes(topic: &OffsetFetchResponseTopics) -> usize {
    let partitions = topic.partitions.iter();
    let partitions = partitions.map(|told| size_of_val(told) + text_bytes(&told.metadata));
    size_of_val(topic) + topic.name.len() + partitions.sum::<usize>()
}

fn described_bytes(member: &DescribedGroupMember) -> usize {
    let texts = [&member.member_id, &member.client_id, &member.client_host];
    let texts = text_bytes(texts) + text_bytes(&member.group_instance_id);
    size_of_val(member) + texts + member.member_metadata.len() + member.member_assignment.len()
}

fn consumer_bytes(member: &consumer_group_describe::Member) -> usize {
    let assigned = |assignment: &consumer_group_describe::Assignment| -> usize {
        let topics = assignment.topic_partitions.iter();
        topics.map(|t| size_of_val(t) + t.topic_name.len() + 4 * t.partitions.len()).sum()
    };
    let names = member.subscribed_topic_names.iter();
    let names: usize = names.map(|name| size_of_val(name) + name.len()).sum();
    let optional = [&member.instance_id, &member.rack_id, &member.subscribed_topic_regex];
    let texts = [&member.member_id, &member.client_id, &member.client_host];
    size_of_val(member)
        + names
        + text_bytes(texts)
        + text_bytes(optional.into_iter().flatten())
        + assigned(&member.assignment)
        + assigned(&member.target_assignment)
}

/// What the runtime does once the records are durable, and all records before them.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Answers a request.
    Reply {
        /// Who waits.
        to: Ticket,
        /// The answer.
        response: Response,
    },
}

/// What a step decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// For the log, as one batch; often none.
    pub records: Vec<GroupRecord>,
    /// The records are a transaction's, of this producer id and epoch.
    pub transactional: Option<(i64, i16)>,
    /// For afterwards, in this order.
    pub commands: Vec<Command>,
}

impl Output {
    /// Answers a request.
    pub(crate) fn reply(&mut self, to: Ticket, response: Response) {
        self.commands.push(Command::Reply { to, response });
    }
}
