//! DescribeQuorum: the quorum of one, and what is no quorum.

use super::*;
use ringlog_wire::ErrorCode;
use ringlog_wire::api::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, PartitionAsked, TopicAsked,
};

fn ask(controller: &mut Controller, topics: &[(&str, &[i32])]) -> DescribeQuorumResponse {
    let asked = |&partition_index: &i32| PartitionAsked { partition_index };
    let topic = |(name, partitions): &(&str, &[i32])| TopicAsked {
        topic_name: name.to_string(),
        partitions: partitions.iter().map(asked).collect(),
    };
    let request = DescribeQuorumRequest { topics: topics.iter().map(topic).collect() };
    let commands = controller.describe_quorum(NOW_MS, 1, &request);
    let [(1, Reply::DescribeQuorum(response))] = &replies(commands)[..] else { panic!() };
    response.clone()
}

#[test]
fn the_quorum_of_one() {
    let (mut controller, commands) = start(&[], 1);
    let end = end_of(&commands);
    let told = ask(&mut controller, &[("__cluster_metadata", &[0])]);
    let before = &told.topics[0].partitions[0];
    assert_eq!((before.high_watermark, before.current_voters[0].log_end_offset), (0, end));
    controller.committed(end);
    let told = ask(&mut controller, &[("__cluster_metadata", &[0])]);
    assert_eq!(told.error_code, ErrorCode::None);
    let partition = &told.topics[0].partitions[0];
    assert_eq!(partition.error_code, ErrorCode::None);
    assert_eq!((partition.leader_id, partition.leader_epoch), (1, 1));
    assert_eq!(partition.high_watermark, end);
    let [voter] = &partition.current_voters[..] else { panic!("{partition:?}") };
    assert_eq!((voter.replica_id, voter.replica_directory_id), (1, DIRECTORY));
    assert_eq!((voter.log_end_offset, voter.last_fetch_timestamp), (end, NOW_MS));
    assert_eq!(voter.last_caught_up_timestamp, NOW_MS);
    assert!(partition.observers.is_empty());
    let [node] = &told.nodes[..] else { panic!("{told:?}") };
    let listener = &node.listeners[0];
    assert_eq!((node.node_id, listener.name.as_str(), listener.port), (1, "CONTROLLER", 9093));
}

#[test]
fn what_is_no_quorum_is_unknown() {
    let (mut controller, _) = serving();
    for topics in [
        &[("__cluster_metadata", &[1][..])][..],
        &[("__cluster_metadata", &[0, 1])],
        &[("__cluster_metadata", &[0, 0])],
        &[("pa", &[0])],
        &[("pa", &[0]), ("__cluster_metadata", &[0])],
        &[("__cluster_metadata", &[0]), ("pa", &[0])],
    ] {
        let told = ask(&mut controller, topics);
        assert!(told.nodes.is_empty());
        assert_eq!(told.topics.len(), topics.len());
        for partition in told.topics.iter().flat_map(|topic| &topic.partitions) {
            assert_eq!(partition.error_code, ErrorCode::UnknownTopicOrPartition, "{topics:?}");
            assert!(partition.current_voters.is_empty());
        }
    }
    assert!(ask(&mut controller, &[]).topics.is_empty());
    assert!(ask(&mut controller, &[("__cluster_metadata", &[])]).topics[0].partitions.is_empty());
}
