//! What goes between the controller and the shell: settings in, commands and replies out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ringlog_wire::ErrorCode;
use ringlog_wire::api::create_partitions::CreatePartitionsResponse;
use ringlog_wire::api::create_topics::CreateTopicsResponse;
use ringlog_wire::api::delete_topics::DeleteTopicsResponse;
use ringlog_wire::api::describe_quorum::DescribeQuorumResponse;
use ringlog_wire::api::update_features::UpdateFeaturesResponse;

use super::image::{Image, Voter};

/// What the broker's configuration says about topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub replication_factor: i16,
    /// `delete.topic.enable`.
    pub delete_topic_enable: bool,
    /// What the user set, under the broker's names: topics without a setting of their own show it.
    pub statics: BTreeMap<String, String>,
}

/// A batch for the metadata log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Where the log must put it.
    pub base_offset: i64,
    /// What follows it.
    pub next_offset: i64,
    /// The raft epoch, already in the batch.
    pub epoch: i32,
    /// The whole batch.
    pub batch: Vec<u8>,
}

/// Producer ids that were never given before, and never will be again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIds {
    /// The first.
    pub first: i64,
    /// How many.
    pub count: i64,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To [`super::Controller::create_topics`].
    CreateTopics(CreateTopicsResponse),
    /// To [`super::Controller::create_partitions`].
    CreatePartitions(CreatePartitionsResponse),
    /// To [`super::Controller::delete_topics`].
    DeleteTopics(DeleteTopicsResponse),
    /// To [`super::Controller::describe_quorum`].
    DescribeQuorum(DescribeQuorumResponse),
    /// To [`super::Controller::update_features`].
    UpdateFeatures(UpdateFeaturesResponse),
    /// To [`super::Controller::allocate_producer_ids`].
    ProducerIds(Result<ProducerIds, ErrorCode>),
}

/// What the shell is to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Append to the metadata log, make it durable (flushed), then tell
    /// [`super::Controller::committed`].
    Append(Append),
    /// Give this image to every shard.
    Publish(Arc<Image>),
    /// Answer the request of that token.
    Reply(u64, Reply),
    /// Every record of [`super::Controller::stop`] is durable; the clean marker names this broker
    /// epoch.
    Stopped(i64),
}

/// Why a node cannot be the controller of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The log's voters are others than this node with this directory.
    Voters {
        /// Who the log says votes.
        voters: Vec<Voter>,
        /// Who this node is.
        node: Voter,
    },
    /// The log uses static voters.
    KraftVersion(i16),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Voters { voters, node } => {
                let name = |voter: &Voter| format!("{}@{}", voter.id, voter.directory);
                let voters: Vec<String> = voters.iter().map(name).collect();
                write!(
                    f,
                    "the metadata log belongs to the voters {}, but this node is {}: check \
                     --node-id and --data-dir",
                    voters.join(", "),
                    name(node)
                )
            }
            StartError::KraftVersion(version) => {
                write!(
                    f,
                    "the metadata log has kraft.version {version}; this version of Ringlog needs 1"
                )
            }
        }
    }
}

impl std::error::Error for StartError {}

impl Reply {
    /// The same answer with every success turned into an error.
    pub(super) fn refused(self, code: ErrorCode) -> Reply {
        match self {
            Reply::ProducerIds(_) => Reply::ProducerIds(Err(code)),
            // It changed nothing.
            Reply::DescribeQuorum(response) => Reply::DescribeQuorum(response),
            Reply::UpdateFeatures(mut response) => {
                if response.error_code.is_none() {
                    response = UpdateFeaturesResponse { error_code: code, ..Default::default() };
                }
                Reply::UpdateFeatures(response)
            }
            Reply::CreateTopics(mut response) => {
                for topic in response.topics.iter_mut().filter(|topic| topic.error_code.is_none()) {
                    topic.error_code = code;
                }
                Reply::CreateTopics(response)
            }
            Reply::CreatePartitions(mut response) => {
                for topic in response.results.iter_mut().filter(|topic| topic.error_code.is_none())
                {
                    topic.error_code = code;
                }
                Reply::CreatePartitions(response)
            }
            Reply::DeleteTopics(mut response) => {
                for topic in
                    response.responses.iter_mut().filter(|topic| topic.error_code.is_none())
                {
                    topic.error_code = code;
                }
                Reply::DeleteTopics(response)
            }
        }
    }
}
