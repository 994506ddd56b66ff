//! Kafka's APIs, one file each: parse → place → plan → reply or park.
//!
//! A handler reads its request, decides, and either returns the reply or leaves something in one of
//! the shell's tables that will answer later; it never waits.

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod alter_configs;
pub mod alter_partition_reassignments;
pub mod alter_replica_log_dirs;
pub mod api_versions;
pub mod asks;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
mod control;
pub mod coordinators;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod describe_transactions;
pub mod elect_leaders;
pub mod end_txn;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod list_transactions;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod operations;
pub mod produce;
pub mod sync_group;
pub mod txn_offset_commit;
pub mod update_features;
pub mod write_txn_markers;

use ringlog_shard::ConnId;
use ringlog_shard::buf::Slice;
use ringlog_wire::Uuid;
use ringlog_wire::api::{self as wire_api, Api};
use ringlog_wire::codec::DecodeError;
use ringlog_wire::message::Message;
use ringlog_wire::{frame, header};

use crate::session::Reply;
use crate::shell::{ShardCore, Shell};

pub use asks::PendingAsks;
pub use list_offsets::PendingOffsets;

/// Most partitions of one request: each costs more memory than the bytes that name it.
pub const PARTITIONS_MAX: usize = 100_000;

/// Most topics, settings, partitions and replicas together of a request to the controller.
pub const ELEMENTS_MAX: usize = 100_000;
/// About how many bytes an element of a request needs beside those that came.
const ELEMENT_BYTES: usize = 64;

/// One request, its header read.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The connection it came on.
    pub conn: ConnId,
    /// Its place among that connection's requests.
    pub sequence: u64,
    /// Its API.
    pub api: &'static Api,
    /// A version that the API serves.
    pub version: i16,
    /// To be repeated in the reply.
    pub correlation_id: i32,
    /// Who asks, as it calls itself.
    pub client_id: Option<&'a str>,
    /// What follows the header.
    pub body: &'a [u8],
}

/// Where a reply that is made later goes, and how it is framed.
#[derive(Clone, Copy, Debug)]
pub struct ReplyTo {
    /// The connection.
    pub conn: ConnId,
    /// The request's place there.
    pub sequence: u64,
    /// The API.
    pub api: &'static Api,
    /// Its version.
    pub version: i16,
    /// To be repeated.
    pub correlation_id: i32,
}

/// A whole reply of `api` in `version`, whose body `body` writes. No bytes if it is larger than a
/// frame can be: the connection is closed for it.
pub fn frame_reply(
    api: &Api,
    version: i16,
    correlation_id: i32,
    body: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    let start = header::begin_response(api, version, correlation_id, &mut out);
    body(&mut out);
    finished(out, start, frame::SIZE_MAX)
}

fn finished(mut out: Vec<u8>, start: usize, size_max: usize) -> Vec<u8> {
    if out.len() - start - frame::SIZE_BYTES > size_max {
        return Vec::new();
    }
    frame::end(&mut out, start, 0);
    out
}

impl Request<'_> {
    /// About how many bytes it holds, read, with so many elements; `None` for more than
    /// [`ELEMENTS_MAX`].
    pub fn bytes_with(&self, elements: usize) -> Option<usize> {
        (elements <= ELEMENTS_MAX).then_some(self.body.len() + elements * ELEMENT_BYTES)
    }

    /// Where the reply goes.
    pub fn reply_to(&self) -> ReplyTo {
        ReplyTo {
            conn: self.conn,
            sequence: self.sequence,
            api: self.api,
            version: self.version,
            correlation_id: self.correlation_id,
        }
    }
}

impl ReplyTo {
    /// A whole reply whose body `body` writes.
    pub fn frame(&self, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        frame_reply(self.api, self.version, self.correlation_id, body)
    }

    /// The reply that says `response`.
    pub fn answer(&self, response: &impl Message) -> Reply<Slice> {
        let bytes = self.frame(|out| response.write(self.version, out));
        Reply { errors: response.errors(), ..Reply::from(bytes) }
    }

    /// Sends it.
    pub fn send(&self, shell: &mut Shell, core: &mut ShardCore, response: &impl Message) {
        shell.reply(core, self.conn, self.sequence, Some(self.answer(response)));
    }
}

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    /// Answered.
    Reply(Reply<Slice>),
    /// Done, and the protocol wants no answer.
    Silence,
    /// It will be answered later.
    Parked,
    /// The connection is of no use any more, and why.
    Close(String),
}

impl Outcome {
    /// A request whose body cannot be read ends its connection, as in Kafka.
    pub fn malformed(api: &Api, error: DecodeError) -> Outcome {
        Outcome::Close(format!("malformed {} request: {error}", api.name))
    }

    /// Nor is a connection that asks the controller for more than can be meant.
    pub fn too_many_elements(api: &Api) -> Outcome {
        Outcome::Close(format!("{} names more than {ELEMENTS_MAX} things", api.name))
    }

    /// Nor is a connection that asks for more partitions than anybody has.
    pub fn too_many_partitions(api: &Api) -> Outcome {
        Outcome::Close(format!("{} names more than {PARTITIONS_MAX} partitions", api.name))
    }
}

/// A request that waits for the controller.
#[derive(Debug)]
pub enum PendingControl {
    /// CreateTopics, and the names in it.
    CreateTopics(ReplyTo, Vec<String>),
    /// AlterConfigs or IncrementalAlterConfigs, and the resources in it.
    AlterConfigs(ReplyTo, Vec<alter_configs::Resource>),
    /// CreatePartitions, and the names in it.
    CreatePartitions(ReplyTo, Vec<String>),
    /// DeleteTopics, and the names and ids in it.
    DeleteTopics(ReplyTo, Vec<(Option<String>, Uuid)>),
    /// DescribeQuorum.
    DescribeQuorum(ReplyTo),
    /// UpdateFeatures.
    UpdateFeatures(ReplyTo),
    /// FindCoordinator that has the coordinators' topic created.
    FindCoordinator(ReplyTo, wire_api::find_coordinator::FindCoordinatorRequest),
    /// Metadata that lets topics be created.
    Metadata(ReplyTo, wire_api::metadata::MetadataRequest),
    /// This shard wants producer ids.
    ProducerIds,
}

/// Hands a request to its API.
pub fn dispatch(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    match request.api.key {
        0 => produce::handle(shell, core, request),
        1 => fetch::handle(shell, core, request),
        2 => list_offsets::handle(shell, core, request),
        3 => metadata::handle(shell, core, request),
        8 => offset_commit::handle(shell, core, request),
        9 => offset_fetch::handle(shell, core, request),
        10 => find_coordinator::handle(shell, core, request),
        11 => join_group::handle(shell, core, request),
        12 => heartbeat::handle(shell, core, request),
        13 => leave_group::handle(shell, core, request),
        14 => sync_group::handle(shell, core, request),
        15 => describe_groups::handle(shell, core, request),
        16 => list_groups::handle(shell, core, request),
        18 => api_versions::handle(shell, request),
        19 => create_topics::handle(shell, core, request),
        20 => delete_topics::handle(shell, core, request),
        21 => delete_records::handle(shell, core, request),
        22 => init_producer_id::handle(shell, core, request),
        23 => offset_for_leader_epoch::handle(shell, core, request),
        24 => add_partitions_to_txn::handle(shell, core, request),
        25 => add_offsets_to_txn::handle(shell, core, request),
        26 => end_txn::handle(shell, core, request),
        27 => write_txn_markers::handle(shell, core, request),
        28 => txn_offset_commit::handle(shell, core, request),
        32 => describe_configs::handle(shell, core, request),
        33 => alter_configs::replace(shell, core, request),
        34 => alter_replica_log_dirs::handle(shell, request),
        35 => describe_log_dirs::handle(shell, core, request),
        37 => create_partitions::handle(shell, core, request),
        42 => delete_groups::handle(shell, core, request),
        43 => elect_leaders::handle(shell, request),
        44 => alter_configs::change(shell, core, request),
        45 => alter_partition_reassignments::handle(shell, request),
        46 => list_partition_reassignments::handle(request),
        47 => offset_delete::handle(shell, core, request),
        55 => describe_quorum::handle(shell, core, request),
        57 => update_features::handle(shell, core, request),
        60 => describe_cluster::handle(shell, request),
        61 => describe_producers::handle(shell, core, request),
        65 => describe_transactions::handle(shell, core, request),
        66 => list_transactions::handle(shell, core, request),
        68 => consumer_group_heartbeat::handle(shell, core, request),
        69 => consumer_group_describe::handle(shell, core, request),
        74 => list_config_resources::handle(shell, core, request),
        75 => describe_topic_partitions::handle(shell, request),
        key => Outcome::Close(format!("API key {key} has no handler")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_larger_than_a_frame_is_none() {
        let framed = |bytes: usize| {
            let mut out = Vec::new();
            let start = frame::begin(&mut out);
            out.resize(frame::SIZE_BYTES + bytes, 7);
            finished(out, start, 3)
        };
        assert_eq!(framed(3), [0, 0, 0, 3, 7, 7, 7]);
        assert_eq!(framed(4), Vec::<u8>::new());
    }
}
