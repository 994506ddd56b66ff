//! DescribeQuorum: how the quorum of one stands. The metadata log's partition alone has a quorum,
//! and it is asked for alone; everything else is unknown, as in Kafka.

use ringlog_wire::ErrorCode;
use ringlog_wire::api::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState,
    TopicData,
};

use super::command::{Command, Reply};
use super::controller::Controller;
use super::names::METADATA_TOPIC;

impl Controller {
    /// Says how the quorum stands. `token` comes back with the reply.
    pub fn describe_quorum(
        &mut self,
        now_ms: i64,
        token: u64,
        request: &DescribeQuorumRequest,
    ) -> Vec<Command> {
        let response = match asks_for_the_quorum(request) {
            true => self.quorum(now_ms),
            false => unknown(request),
        };
        vec![Command::Reply(token, Reply::DescribeQuorum(response))]
    }

    fn quorum(&self, now_ms: i64) -> DescribeQuorumResponse {
        let voters = &self.staged.staged().quorum.voters;
        // The leader reads its own log: it has always just done so.
        let replica = |voter: &super::image::Voter| ReplicaState {
            replica_id: voter.id,
            replica_directory_id: voter.directory,
            log_end_offset: self.next_offset(),
            last_fetch_timestamp: now_ms,
            last_caught_up_timestamp: now_ms,
        };
        let partition = PartitionData {
            leader_id: self.node.id,
            leader_epoch: self.epoch(),
            high_watermark: self.durable_end(),
            current_voters: voters.iter().map(replica).collect(),
            ..PartitionData::default()
        };
        let listener = |(name, host, port): &(String, String, u16)| Listener {
            name: name.clone(),
            host: host.clone(),
            port: *port,
        };
        let nodes = voters.iter().map(|voter| Node {
            node_id: voter.id,
            listeners: voter.endpoints.iter().map(listener).collect(),
        });
        let topic = TopicData { topic_name: METADATA_TOPIC.into(), partitions: vec![partition] };
        DescribeQuorumResponse {
            topics: vec![topic],
            nodes: nodes.collect(),
            ..DescribeQuorumResponse::default()
        }
    }
}

fn asks_for_the_quorum(request: &DescribeQuorumRequest) -> bool {
    let [topic] = request.topics.as_slice() else { return false };
    let [partition] = topic.partitions.as_slice() else { return false };
    topic.topic_name == METADATA_TOPIC && partition.partition_index == 0
}

fn unknown(request: &DescribeQuorumRequest) -> DescribeQuorumResponse {
    let text = "This server does not host this topic-partition.";
    let partition = |partition_index| PartitionData {
        partition_index,
        error_code: ErrorCode::UnknownTopicOrPartition,
        error_message: Some(text.into()),
        ..PartitionData::default()
    };
    let topics = request.topics.iter().map(|topic| TopicData {
        topic_name: topic.topic_name.clone(),
        partitions: topic.partitions.iter().map(|asked| partition(asked.partition_index)).collect(),
    });
    DescribeQuorumResponse { topics: topics.collect(), ..DescribeQuorumResponse::default() }
}
