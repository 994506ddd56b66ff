//! A client: one connection, requests out, answers in.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use ringlog_wire::api::create_topics::{CreatableTopic, CreateTopicsRequest, CreateTopicsResponse};
use ringlog_wire::api::delete_topics::{
    DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use ringlog_wire::api::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData,
};
use ringlog_wire::api::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopic,
};
use ringlog_wire::api::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceData,
};
use ringlog_wire::api::{self, Api};
use ringlog_wire::client::encode_request;
use ringlog_wire::message::Message;
use ringlog_wire::{ErrorCode, Reader, Uuid, header};

use super::PATIENCE;

/// A topic's two names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub name: String,
    pub id: Uuid,
}

/// A connection to a broker.
pub struct Client {
    pub stream: TcpStream,
    correlation_id: i32,
}

impl Client {
    pub fn connect(to: SocketAddr) -> Client {
        let stream = TcpStream::connect(to).expect("the broker listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Client::of(stream)
    }

    /// On a connection that there is.
    pub fn of(stream: TcpStream) -> Client {
        Client { stream, correlation_id: 0 }
    }

    /// Sends a request; its correlation id comes back.
    pub fn send<Q: Message>(&mut self, api: &Api, version: i16, request: &Q) -> i32 {
        self.send_as("test", api, version, request)
    }

    /// The same, under another client id.
    pub fn send_as<Q: Message>(
        &mut self,
        client_id: &str,
        api: &Api,
        version: i16,
        request: &Q,
    ) -> i32 {
        self.correlation_id += 1;
        let id = self.correlation_id;
        let frame = encode_request(api, version, id, Some(client_id), |out| {
            request.write(version, out);
        });
        self.stream.write_all(&frame).expect("the broker reads");
        id
    }

    /// Reads the answer to request `id`; all of it must be read.
    pub fn receive<R: Message>(&mut self, api: &Api, version: i16, id: i32) -> R {
        let frame = self.frame().expect("an answer");
        let (found, body) = header::parse_response(api, version, &frame).expect("a header");
        assert_eq!(found, id, "answers come in the order of their requests");
        let mut input = Reader::new(body);
        let response = R::read_from(version, &mut input).expect("an answer in its version");
        assert_eq!(input.remaining(), 0, "{} v{version} says more than it should", api.name);
        response
    }

    /// One request and its answer.
    pub fn call<Q: Message, R: Message>(&mut self, api: &Api, version: i16, request: &Q) -> R {
        let id = self.send(api, version, request);
        self.receive(api, version, id)
    }

    /// The next frame without its size; `None` when the broker has closed the connection.
    pub fn frame(&mut self) -> Option<Vec<u8>> {
        let mut size = [0; 4];
        let mut frame = Vec::new();
        let got = self.stream.read_exact(&mut size).and_then(|()| {
            frame = vec![0; usize::try_from(i32::from_be_bytes(size)).expect("a size")];
            self.stream.read_exact(&mut frame)
        });
        match got {
            Ok(()) => Some(frame),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("neither an answer nor an end within {PATIENCE:?}")
            }
            Err(_) => None,
        }
    }

    /// Whether the broker closes the connection without another word.
    pub fn is_closed(&mut self) -> bool {
        self.frame().is_none()
    }

    /// Creates a topic; clients find it at once.
    pub fn create(&mut self, name: &str, partitions: i32) -> Topic {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: -1,
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
        let response: CreateTopicsResponse = self.call(&api::create_topics::API, 7, &request);
        assert_eq!(response.topics[0].error_code, ErrorCode::None, "{response:?}");
        Topic { name: name.into(), id: response.topics[0].topic_id }
    }

    /// Deletes a topic.
    pub fn delete(&mut self, name: &str) {
        let topics = vec![DeleteTopicState { name: Some(name.into()), topic_id: Uuid::ZERO }];
        let request =
            DeleteTopicsRequest { topics, timeout_ms: 10_000, ..DeleteTopicsRequest::default() };
        let response: DeleteTopicsResponse = self.call(&api::delete_topics::API, 6, &request);
        assert_eq!(response.responses[0].error_code, ErrorCode::None, "{response:?}");
    }

    /// Produces one batch with acks = all, in a version with names.
    pub fn produce(
        &mut self,
        topic: &Topic,
        index: i32,
        records: Vec<u8>,
    ) -> PartitionProduceResponse {
        self.produce_as(10, -1, topic, index, records)
    }

    /// Produces one batch.
    pub fn produce_as(
        &mut self,
        version: i16,
        acks: i16,
        topic: &Topic,
        index: i32,
        records: Vec<u8>,
    ) -> PartitionProduceResponse {
        let request = produce_request(acks, topic, index, records);
        let mut response: ProduceResponse = self.call(&api::produce::API, version, &request);
        response.responses.remove(0).partition_responses.remove(0)
    }

    /// Produces one batch that must be taken; its first offset.
    pub fn append(&mut self, topic: &Topic, index: i32, records: Vec<u8>) -> i64 {
        let response = self.produce(topic, index, records);
        assert_eq!(response.error_code, ErrorCode::None, "{response:?}");
        response.base_offset
    }

    /// Fetches one partition in one version.
    pub fn fetch_as(&mut self, version: i16, request: &FetchRequest) -> PartitionData {
        let mut response: FetchResponse = self.call(&api::fetch::API, version, request);
        assert_eq!(response.error_code, ErrorCode::None);
        response.responses.remove(0).partitions.remove(0)
    }

    /// Fetches one partition, without waiting.
    pub fn fetch(&mut self, topic: &Topic, index: i32, offset: i64) -> PartitionData {
        self.fetch_as(12, &fetch_request(topic, &[(index, offset)]))
    }

    /// Asks for an offset.
    pub fn offset_as(
        &mut self,
        version: i16,
        topic: &Topic,
        index: i32,
        timestamp: i64,
    ) -> ListOffsetsPartitionResponse {
        let request = offsets_request(topic, &[(index, timestamp)]);
        let mut response: ListOffsetsResponse =
            self.call(&api::list_offsets::API, version, &request);
        response.topics.remove(0).partitions.remove(0)
    }
}

/// One batch for one partition.
pub fn produce_request(acks: i16, topic: &Topic, index: i32, records: Vec<u8>) -> ProduceRequest {
    let data = PartitionProduceData { index, records: Some(records) };
    let topic = TopicProduceData {
        name: topic.name.clone(),
        topic_id: topic.id,
        partition_data: vec![data],
    };
    ProduceRequest { transactional_id: None, acks, timeout_ms: 5000, topic_data: vec![topic] }
}

/// Partitions of one topic, each from an offset on, without waiting.
pub fn fetch_request(topic: &Topic, from: &[(i32, i64)]) -> FetchRequest {
    let partition = |&(partition, fetch_offset): &(i32, i64)| FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    let topic = FetchTopic {
        topic: topic.name.clone(),
        topic_id: topic.id,
        partitions: from.iter().map(partition).collect(),
    };
    FetchRequest { min_bytes: 1, topics: vec![topic], ..FetchRequest::default() }
}

/// Partitions of one topic, each with a timestamp.
pub fn offsets_request(topic: &Topic, asks: &[(i32, i64)]) -> ListOffsetsRequest {
    let partition = |&(partition_index, timestamp): &(i32, i64)| ListOffsetsPartition {
        partition_index,
        timestamp,
        ..ListOffsetsPartition::default()
    };
    let topic = ListOffsetsTopic {
        name: topic.name.clone(),
        partitions: asks.iter().map(partition).collect(),
    };
    ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..ListOffsetsRequest::default() }
}
