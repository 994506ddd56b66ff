//! Single frames, for experiments that speak over sockets of their own.

use ringlog_wire::api::{self, api_versions, fetch, produce};
use ringlog_wire::batch::{BatchBuilder, BatchOptions};
use ringlog_wire::message::Message;
use ringlog_wire::{client, header};

use crate::control::CLIENT_ID;

/// Versions in which topics still have names.
const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 12;

fn frame<M: Message>(api: &api::Api, version: i16, correlation_id: i32, request: &M) -> Vec<u8> {
    client::encode_request(api, version, correlation_id, Some(CLIENT_ID), |out| {
        request.write(version, out);
    })
}

/// The question that every broker answers whatever its versions.
pub fn api_versions(correlation_id: i32) -> Vec<u8> {
    let request = api_versions::ApiVersionsRequest::default();
    frame(&api_versions::API, 0, correlation_id, &request)
}

/// A Produce request (acks = 1) of `records` records of `bytes` bytes each.
pub fn produce(topic: &str, partition: i32, records: usize, bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let value = vec![b'.'; bytes];
    (0..records).for_each(|_| builder.push(0, None, Some(&value), &[]));
    let request = produce::ProduceRequest {
        transactional_id: None,
        acks: 1,
        timeout_ms: 30_000,
        topic_data: vec![produce::TopicProduceData {
            name: topic.to_owned(),
            partition_data: vec![produce::PartitionProduceData {
                index: partition,
                records: Some(builder.finish()),
            }],
            ..Default::default()
        }],
    };
    frame(&produce::API, PRODUCE_VERSION, 1, &request)
}

/// The error of the first partition in the answer to [`produce`], a frame's content; `None`: it
/// cannot be read.
pub fn produce_error(content: &[u8]) -> Option<i16> {
    let (_, body) = header::parse_response(&produce::API, PRODUCE_VERSION, content).ok()?;
    let answer = produce::ProduceResponse::decode(PRODUCE_VERSION, body).ok()?;
    Some(answer.responses.first()?.partition_responses.first()?.error_code.code())
}

/// A Fetch request for partitions 0 to `partitions`, from their beginnings.
pub fn fetch(topic: &str, partitions: i32, bytes_max: i32) -> Vec<u8> {
    let partition = |partition| fetch::FetchPartition {
        partition,
        fetch_offset: 0,
        partition_max_bytes: bytes_max,
        ..Default::default()
    };
    let request = fetch::FetchRequest {
        replica_id: -1,
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: bytes_max,
        session_epoch: -1,
        topics: vec![fetch::FetchTopic {
            topic: topic.to_owned(),
            partitions: (0..partitions).map(partition).collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    frame(&fetch::API, FETCH_VERSION, 1, &request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_whole_and_readable() {
        for bytes in [api_versions(7), produce("t", 0, 2, 100), fetch("t", 3, 1 << 20)] {
            let size = ringlog_wire::frame::frame_size(&bytes, 1 << 20);
            assert_eq!(size, Ok(Some(bytes.len())));
            let prefix = header::parse_prefix(&bytes[4..]).unwrap();
            let api = api::find(prefix.key).unwrap();
            assert!(api.serves(prefix.version));
            let (_, body) = header::RequestHeader::parse(api, &bytes[4..]).unwrap();
            if *api == produce::API {
                let view = produce::RequestView::parse(prefix.version, body).unwrap();
                assert_eq!((view.acks(), view.topics().len()), (1, 1));
            }
        }
        assert_eq!(produce_error(&[0; 3]), None);
    }
}
