//! What clients see: negotiation, versions, and Kafka's rules (`shared/protocol.md`; "rule" below
//! is a row there).

mod common;

use common::client::{Topic, fetch_request, offsets_request, produce_request};
use common::records::{self, batch, batch_at, idempotent};
use common::{Broker, Client, Options};
use ringlog_broker::config::{Advertise, Executor};
use ringlog_wire::api::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use ringlog_wire::api::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use ringlog_wire::api::delete_topics::{
    DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use ringlog_wire::api::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ringlog_wire::api::list_offsets::{ListOffsetsResponse, MAX_TIMESTAMP};
use ringlog_wire::api::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use ringlog_wire::api::{
    self, api_versions, create_topics, delete_topics, fetch, init_producer_id, list_offsets,
    metadata, produce,
};
use ringlog_wire::batch::Compression;
use ringlog_wire::{ErrorCode, Uuid};
use std::io::Write;

/// A frame of a request whose body is `body`, whatever the key and version.
fn raw_frame(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend_from_slice(&(8 + body.len() as i32).to_be_bytes());
    frame.extend_from_slice(&key.to_be_bytes());
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&7i32.to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

// --- Negotiation -----------------------------------------------------------------------------

#[test]
fn rule_1_api_versions_of_any_version_is_answered() {
    let broker = Broker::start();
    let mut client = broker.client();
    for version in [5, 99, i16::MAX, -1, i16::MIN] {
        client.stream.write_all(&raw_frame(18, version, b"no body we know")).unwrap();
        let answer = client.frame().expect("rule 1: answered, in version 0");
        let expected = [&[0, 0, 0, 7, 0, 35, 0, 0, 0, 1][..], &[0, 18, 0, 0, 0, 4]].concat();
        assert_eq!(answer, expected, "version {version}");
    }
    // The connection lives on.
    client.create("t", 1);
}

#[test]
fn rules_3_to_7_api_versions_tell_what_is_served() {
    let broker = Broker::start();
    let mut client = broker.client();
    let request = ApiVersionsRequest {
        client_software_name: "ringlog-test".into(),
        client_software_version: "1.0".into(),
    };
    for version in api_versions::API.versions() {
        let response: ApiVersionsResponse = client.call(&api_versions::API, version, &request);
        let told: Vec<_> = response
            .api_keys
            .iter()
            .map(|api| (api.api_key, api.min_version, api.max_version))
            .collect();
        let served: Vec<_> = api::API_LIST
            .iter()
            .map(|api| (api.key, if api.key == 0 { 0 } else { api.min }, api.max))
            .collect();
        assert_eq!(told, served, "rule 5: Produce is told from 0 on");
        for required in [(0, 0, 13), (1, 4, 18), (3, 0, 13), (18, 0, 4), (22, 0, 5), (75, 0, 0)] {
            assert!(told.contains(&required), "{required:?}");
        }
        assert!(!told.iter().any(|(key, ..)| [71, 72].contains(key)), "rule 7: no telemetry");
        if version >= 3 {
            assert!(response.finalized_features_epoch >= 0, "rule 6");
            let features = &response.supported_features;
            assert!(version >= 4 || features.iter().all(|f| f.min_version > 0), "rule 4");
        }
    }
    let bad = ApiVersionsRequest { client_software_name: "a b".into(), ..request };
    let response: ApiVersionsResponse = client.call(&api_versions::API, 3, &bad);
    assert_eq!(response.error_code, ErrorCode::InvalidRequest, "rule 3");
}

#[test]
fn rule_2_api_versions_header_is_v0() {
    let broker = Broker::start();
    let mut client = broker.client();
    let id = client.send(
        &api_versions::API,
        3,
        &ApiVersionsRequest {
            client_software_name: "a".into(),
            client_software_version: "1".into(),
        },
    );
    let answer = client.frame().unwrap();
    assert_eq!(answer[..4], id.to_be_bytes());
    assert_eq!(answer[4..6], [0, 0], "rule 2: the error code, no tagged fields before it");
    assert_eq!(usize::from(answer[6]), api::API_LIST.len() + 1, "as a compact count");
}

#[test]
fn rule_8_what_is_not_served_ends_the_connection() {
    let broker = Broker::start();
    let mut frames = vec![];
    for key in [-1, 4, 7, 95, i16::MAX] {
        frames.push((format!("unknown key {key}"), raw_frame(key, 0, &[0, 0])));
    }
    for api in api::API_LIST.iter().filter(|api| api.key != 18) {
        for version in [api.min - 1, api.max + 1] {
            let text = format!("{} v{version}", api.name);
            frames.push((text, raw_frame(api.key, version, &[0, 0])));
        }
    }
    for (what, frame) in frames {
        let mut client = broker.client();
        client.stream.write_all(&frame).unwrap();
        assert!(client.is_closed(), "rule 8: {what}");
    }
    broker.client().create("t", 1);
}

#[test]
fn rule_11_pipelined_requests_are_answered_in_order() {
    let broker = Broker::start_with(Options::two_shards(Advertise::Node));
    let mut client = broker.client();
    let topic = client.create("t", 2);
    // More than may be in flight at once, cheap ones behind those that wait for the disk.
    let mut ids = Vec::new();
    for n in 0..200 {
        let request = produce_request(-1, &topic, n % 2, batch(&[b"v"]));
        ids.push((true, client.send(&produce::API, 9, &request)));
        ids.push((false, client.send(&metadata::API, 9, &MetadataRequest::default())));
    }
    for (is_produce, id) in ids {
        if is_produce {
            let response: produce::ProduceResponse = client.receive(&produce::API, 9, id);
            let partition = &response.responses[0].partition_responses[0];
            assert_eq!(partition.error_code, ErrorCode::None);
        } else {
            let _: MetadataResponse = client.receive(&metadata::API, 9, id);
        }
    }
    for index in 0..2 {
        assert_eq!(client.offset_as(1, &topic, index, -1).offset, 100);
    }
}

// --- Produce and Fetch -----------------------------------------------------------------------

#[test]
fn every_produce_version_is_read_by_every_fetch_version() {
    let broker = Broker::start();
    let mut client = broker.client();
    let topic = client.create("t", 1);
    let mut end = 0;
    for produce_version in produce::API.versions() {
        for acks in [1, -1] {
            let value = format!("by v{produce_version}");
            let sent = batch(&[value.as_bytes(), b"and another"]);
            let response = client.produce_as(produce_version, acks, &topic, 0, sent.clone());
            let log_start = if produce_version >= 5 { 0 } else { -1 };
            assert_eq!(response.error_code, ErrorCode::None);
            assert_eq!((response.base_offset, response.log_append_time_ms), (end, -1));
            assert_eq!(response.log_start_offset, log_start);
            for version in fetch::API.versions() {
                let data = client.fetch_as(version, &fetch_request(&topic, &[(0, end)]));
                let bytes = data.records.expect("rule 44");
                assert_eq!(bytes[16..], sent[16..], "the bytes that were sent");
                let read = records::read(&bytes);
                assert_eq!(read[0].value, value.as_bytes());
                assert_eq!((read.len(), read[0].offset), (2, end));
                assert_eq!((data.high_watermark, data.last_stable_offset), (end + 2, end + 2));
                assert_eq!(data.aborted_transactions, None, "rule 39: read uncommitted");
            }
            end += 2;
        }
    }
}

#[test]
fn rules_44_and_49b_records_are_empty_never_null_and_nothing_asked_for_is_missing() {
    let broker = Broker::start();
    let mut client = broker.client();
    let topic = client.create("t", 1);
    client.append(&topic, 0, batch(&[b"v"]));
    // At the end, out of range, no such partition.
    let cases = [(0, 1, 0), (0, 9, 1), (7, 0, 3)];
    for version in fetch::API.versions() {
        for (index, offset, code) in cases {
            let data = client.fetch_as(version, &fetch_request(&topic, &[(index, offset)]));
            assert_eq!(data.error_code.code(), code, "v{version} {index} {offset}");
            assert_eq!(data.records, Some(Vec::new()), "rule 44, v{version} {index} {offset}");
        }
        // Who reads what is committed is told of no aborted transactions: an empty list, not none.
        for (isolation_level, aborted) in [(0, None), (1, Some(0))] {
            let request = fetch_request(&topic, &[(0, 0)]);
            let request = fetch::FetchRequest { isolation_level, ..request };
            let data = client.fetch_as(version, &request);
            assert_eq!(data.aborted_transactions.map(|list| list.len()), aborted, "v{version}");
        }
        // Every partition asked for is in the answer (rule 49b).
        let request = fetch_request(&topic, &[(0, 0), (5, 0), (6, 1)]);
        let response: fetch::FetchResponse = client.call(&fetch::API, version, &request);
        assert_eq!(response.responses[0].partitions.len(), 3);
    }
}

#[test]
fn rule_11_acks_0_has_no_answer_and_its_errors_end_the_connection() {
    let broker = Broker::start();
    let mut client = broker.client();
    let topic = client.create("t", 1);
    client.send(&produce::API, 7, &produce_request(0, &topic, 0, batch(&[b"silent"])));
    // The next answer is the next request's (rule 11).
    assert_eq!(client.append(&topic, 0, batch(&[b"loud"])), 1);
    client.send(&produce::API, 7, &produce_request(0, &topic, 9, batch(&[b"nowhere"])));
    assert!(client.is_closed());
}

#[test]
fn produce_refuses_with_kafkas_codes() {
    let broker = Broker::start();
    let mut client = broker.client();
    let topic = client.create("t", 1);
    let unknown = Topic { name: "nope".into(), id: Uuid([9; 16]) };
    let corrupt = || {
        let mut bytes = batch(&[b"v"]);
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    let two = || [batch(&[b"a"]), batch(&[b"b"])].concat();
    let zstd = || records::compressed(&batch(&[b"v"]), Compression::Zstd, 3);
    let large = || records::batch_of_size(1_100_000);
    // version, acks, topic, index, records, code
    let cases = [
        (8, 2, &topic, 0, batch(&[b"v"]), 21),
        (8, 1, &unknown, 0, batch(&[b"v"]), 3),
        (13, 1, &unknown, 0, batch(&[b"v"]), 100),
        (8, 1, &topic, 1, batch(&[b"v"]), 3),
        (8, 1, &topic, -1, batch(&[b"v"]), 3),
        (13, 1, &topic, 1, batch(&[b"v"]), 3),
        (8, 1, &topic, 0, corrupt(), 2),
        (8, 1, &topic, 0, two(), 87),
        (8, 1, &topic, 0, Vec::new(), 87),
        (6, 1, &topic, 0, zstd(), 76),
        (8, 1, &topic, 0, large(), 10),
    ];
    for (at, (version, acks, topic, index, bytes, code)) in cases.into_iter().enumerate() {
        let response = client.produce_as(version, acks, topic, index, bytes);
        assert_eq!(response.error_code.code(), code, "case {at}: {response:?}");
        assert_eq!(response.base_offset, -1);
    }
    assert_eq!(client.append(&topic, 0, zstd()), 0, "nothing was appended; v7 may carry zstd");
}

#[test]
fn a_request_may_be_larger_than_what_is_free() {
    // 32 MiB of memory, a request of 40 MiB: it must be answered, somehow, in finite time.
    let broker = Broker::start_with(Options { memory: "32M", ..Options::default() });
    let mut client = broker.client();
    let topic = client.create("t", 40);
    let mut request = produce_request(-1, &topic, 0, Vec::new());
    let partition = |index| produce::PartitionProduceData {
        index,
        records: Some(records::batch_of_size(1 << 20)),
    };
    request.topic_data[0].partition_data = (0..40).map(partition).collect();
    let id = client.send(&produce::API, 9, &request);
    let response: produce::ProduceResponse = client.receive(&produce::API, 9, id);
    assert_eq!(response.responses[0].partition_responses.len(), 40);
}

// --- Metadata --------------------------------------------------------------------------------

fn ask_metadata(
    client: &mut Client,
    version: i16,
    names: &[&str],
    create: bool,
) -> MetadataResponse {
    let topic = |name: &&str| MetadataRequestTopic {
        name: Some(name.to_string()),
        ..MetadataRequestTopic::default()
    };
    let request = MetadataRequest {
        topics: Some(names.iter().map(topic).collect()),
        allow_auto_topic_creation: create,
        ..MetadataRequest::default()
    };
    client.call(&metadata::API, version, &request)
}

#[test]
fn metadata_in_every_version_creates_topics() {
    let broker =
        Broker::start_with(Options { set: vec!["num.partitions=3"], ..Options::default() });
    let mut client = broker.client();
    for version in metadata::API.versions() {
        let name = format!("auto-{version}");
        let declined = ask_metadata(&mut client, version.max(4), &[&name], false);
        assert_eq!(declined.topics[0].error_code, ErrorCode::UnknownTopicOrPartition);
        let response = ask_metadata(&mut client, version, &[&name], true);
        let topic = &response.topics[0];
        assert_eq!(topic.error_code, ErrorCode::None, "v{version}");
        assert_eq!((topic.name.as_deref(), topic.partitions.len()), (Some(name.as_str()), 3));
        assert_eq!(topic.topic_id == Uuid::ZERO, version < 10);
        for partition in &topic.partitions {
            assert_eq!((partition.leader_id, &partition.isr_nodes), (1, &vec![1]));
            assert_eq!(partition.leader_epoch, if version >= 7 { 0 } else { -1 });
        }
        let broker_told = &response.brokers[0];
        assert_eq!(broker_told.node_id, 1);
        assert_eq!(broker_told.host, "127.0.0.1");
        assert_eq!(broker_told.port, i32::from(broker.address(0).port()));
        assert_eq!(response.controller_id, if version >= 1 { 1 } else { -1 });
        assert_eq!(response.cluster_id.is_some(), version >= 2);
        // It can be produced to at once.
        let topic = Topic { name, id: topic.topic_id };
        assert_eq!(client.append(&topic, 2, batch(&[b"v"])), 0);
    }
    let bad = ask_metadata(&mut client, 12, &["a b", "", ".."], true);
    for topic in &bad.topics {
        assert_eq!(topic.error_code, ErrorCode::InvalidTopicException, "{topic:?}");
    }
}

#[test]
fn rule_59_metadata_of_all_of_none_and_by_id() {
    let broker = Broker::start();
    let mut client = broker.client();
    let (a, b) = (client.create("a", 1), client.create("b", 2));
    let all = MetadataRequest { topics: None, ..MetadataRequest::default() };
    let none = MetadataRequest::default();
    for version in metadata::API.versions() {
        let response: MetadataResponse = client.call(&metadata::API, version, &none);
        assert_eq!(response.topics.len(), if version == 0 { 2 } else { 0 }, "rule 59");
        let response: MetadataResponse = client.call(&metadata::API, version, &all);
        let names: Vec<_> = response.topics.iter().filter_map(|t| t.name.as_deref()).collect();
        assert_eq!(names, ["a", "b"]);
    }
    let by_id = |id| MetadataRequestTopic { topic_id: id, name: None };
    let request = MetadataRequest {
        topics: Some(vec![by_id(b.id), by_id(a.id), by_id(Uuid([7; 16]))]),
        ..MetadataRequest::default()
    };
    for version in [12, 13] {
        let response: MetadataResponse = client.call(&metadata::API, version, &request);
        let told: Vec<_> =
            response.topics.iter().map(|t| (t.name.as_deref(), t.error_code)).collect();
        let unknown = (None, ErrorCode::UnknownTopicId);
        let expected = [(Some("b"), ErrorCode::None), (Some("a"), ErrorCode::None), unknown];
        assert_eq!(told, expected);
    }
}

#[test]
fn rule_59_metadata_that_contradicts_itself_is_refused_topic_by_topic() {
    let broker = Broker::start();
    let mut client = broker.client();
    let known = client.create("t", 1);
    let topic = |topic_id, name: Option<&str>| MetadataRequestTopic {
        topic_id,
        name: name.map(str::to_string),
    };
    let cases = [
        (10, topic(known.id, Some("t")), 42),
        (11, topic(known.id, None), 42),
        (11, topic(Uuid::ZERO, None), 42),
        (10, topic(Uuid([7; 16]), Some("t")), 42),
        (12, topic(Uuid::ZERO, None), 42),
        (13, topic(Uuid::ZERO, None), 42),
        (12, topic(known.id, Some("other")), 0),
        (12, topic(Uuid([7; 16]), Some("t")), 100),
        (13, topic(Uuid([7; 16]), None), 100),
    ];
    for (version, asked, code) in cases {
        let request = MetadataRequest {
            topics: Some(vec![asked.clone()]),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let told: MetadataResponse = client.call(&metadata::API, version, &request);
        let [topic] = &told.topics[..] else { panic!("{told:?}") };
        assert_eq!(topic.error_code.code(), code, "v{version} {asked:?}");
        assert_eq!(told.brokers.is_empty(), code == 42);
        assert_eq!(told.error_code.is_none(), version < 13 || code != 42);
        let name = match code {
            0 => Some("t"),
            42 => Some(asked.name.as_deref().unwrap_or_default()),
            _ => None,
        };
        assert_eq!(topic.name.as_deref(), name, "v{version} {asked:?}");
    }
}

#[test]
fn rule_61_a_topic_that_comes_back_has_another_id() {
    let broker = Broker::start();
    let mut client = broker.client();
    let first = client.create("t", 1);
    let broker = broker.restart();
    let mut client = broker.client();
    let seen = ask_metadata(&mut client, 12, &["t"], false);
    assert_eq!(seen.topics[0].topic_id, first.id, "one incarnation, one id");
    client.append(&first, 0, batch(&[b"v"]));
    client.delete("t");
    let second = client.create("t", 1);
    assert_ne!(second.id, first.id);
    // Nothing of the first is left, and nothing reaches the second by the first one's id.
    assert_eq!(client.offset_as(4, &second, 0, -1).offset, 0);
    let refused = client.produce_as(13, -1, &first, 0, batch(&[b"v"]));
    assert_eq!(refused.error_code, ErrorCode::UnknownTopicId);
    let refused = client.fetch_as(13, &fetch_request(&first, &[(0, 0)]));
    assert_eq!(refused.error_code, ErrorCode::UnknownTopicId);
}

#[test]
fn rules_9_and_10_headers_and_tags_that_we_do_not_know() {
    let broker = Broker::start();
    let mut client = broker.client();
    client.create("t", 1);
    // Metadata v12: header v2 with a null client id and an unknown tag; unknown tags in the topic
    // and in the body too.
    let header = [&[0xff, 0xff][..], &[1, 9, 2, 0xaa, 0xbb]].concat();
    let topic = [&[0; 16][..], &[2, b't'], &[1, 7, 1, 0xcc]].concat();
    let body = [&header[..], &[2], &topic, &[0, 0], &[2, 5, 0, 200, 1, 1, 0xdd]].concat();
    client.stream.write_all(&raw_frame(3, 12, &body)).unwrap();
    let answer = client.frame().expect("what is not known is skipped");
    let (_, body) = ringlog_wire::header::parse_response(&metadata::API, 12, &answer).unwrap();
    let told = MetadataResponse::decode(12, body).unwrap();
    assert_eq!((told.topics.len(), told.topics[0].error_code), (1, ErrorCode::None));
    // Tags that do not ascend, or say more than there is, end the connection.
    for tags in [&[2, 5, 0, 5, 0][..], &[1, 5, 9]] {
        let body = [&header[..], &[1, 0, 0], tags].concat();
        let mut client = broker.client();
        client.stream.write_all(&raw_frame(3, 12, &body)).unwrap();
        assert!(client.is_closed(), "{tags:?}");
    }
}

// --- ListOffsets -----------------------------------------------------------------------------

#[test]
fn offsets_by_time_and_special_timestamps() {
    let broker = Broker::start();
    let mut client = broker.client();
    let topic = client.create("t", 1);
    let empty = client.offset_as(7, &topic, 0, MAX_TIMESTAMP);
    assert_eq!((empty.error_code, empty.offset, empty.timestamp), (ErrorCode::None, -1, -1));
    // Offsets 0-2 at 1000.., 3-4 at 5000.., 5 at 2000.
    client.append(&topic, 0, batch_at(1000, &[b"0", b"1", b"2"]));
    client.append(&topic, 0, batch_at(5000, &[b"3", b"4"]));
    client.append(&topic, 0, batch_at(2000, &[b"5"]));
    // (timestamp, first version, offset, timestamp of the answer)
    let cases = [
        (-1, 1, 6, -1),
        (-2, 1, 0, -1),
        (-3, 7, 4, 5001),
        (-4, 8, 0, -1),
        (-5, 9, -1, -1),
        (-6, 11, -1, -1),
        (-7, 99, -1, -1),
        (0, 1, 0, 1000),
        (1000, 1, 0, 1000),
        (1001, 1, 1, 1001),
        (1003, 1, 3, 5000),
        (5000, 1, 3, 5000),
        (5001, 1, 4, 5001),
        (5002, 1, -1, -1),
        (i64::MAX, 1, -1, -1),
    ];
    for version in list_offsets::API.versions() {
        for (timestamp, from, offset, found) in cases {
            let answer = client.offset_as(version, &topic, 0, timestamp);
            if version < from {
                assert_eq!(answer.error_code, ErrorCode::UnsupportedVersion, "rule 55");
                continue;
            }
            let told = (answer.error_code, answer.offset, answer.timestamp);
            assert_eq!(told, (ErrorCode::None, offset, found), "v{version} {timestamp}");
            let epoch = if version >= 4 && offset >= 0 { 0 } else { -1 };
            assert_eq!(answer.leader_epoch, epoch, "v{version} {timestamp}");
        }
    }
}

#[test]
fn offsets_refuse_with_kafkas_codes() {
    let broker = Broker::start();
    let mut client = broker.client();
    let topic = client.create("t", 1);
    let unknown = Topic { name: "nope".into(), id: Uuid::ZERO };
    let cases = [(&unknown, 0), (&topic, 1), (&topic, -1)];
    for (topic, index) in cases {
        let code = client.offset_as(4, topic, index, -1).error_code;
        assert_eq!(code, ErrorCode::UnknownTopicOrPartition);
    }
    let twice = offsets_request(&topic, &[(0, -1), (0, -2)]);
    let response: ListOffsetsResponse = client.call(&list_offsets::API, 4, &twice);
    let told: Vec<_> = response.topics[0].partitions.iter().map(|it| it.error_code).collect();
    assert_eq!(told, [ErrorCode::InvalidRequest], "rule 57");
    for (epoch, code) in [(-1, 0), (0, 0), (1, 75)] {
        let mut request = offsets_request(&topic, &[(0, -1)]);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let response: ListOffsetsResponse = client.call(&list_offsets::API, 4, &request);
        assert_eq!(response.topics[0].partitions[0].error_code.code(), code);
    }
}

// --- CreateTopics and DeleteTopics -----------------------------------------------------------

fn topic(name: &str, partitions: i32, factor: i16) -> CreatableTopic {
    CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: factor,
        ..CreatableTopic::default()
    }
}

fn create(client: &mut Client, version: i16, topics: Vec<CreatableTopic>) -> CreateTopicsResponse {
    let request = CreateTopicsRequest { topics, ..CreateTopicsRequest::default() };
    client.call(&create_topics::API, version, &request)
}

#[test]
fn topics_are_created_and_deleted_in_every_version() {
    let broker = Broker::start_with(Options::two_shards(Advertise::Shard));
    let mut client = broker.client();
    for version in create_topics::API.versions() {
        for delete_version in delete_topics::API.versions() {
            let name = format!("t-{version}-{delete_version}");
            let created = create(&mut client, version, vec![topic(&name, 2, 1)]);
            let told = &created.topics[0];
            assert_eq!(told.error_code, ErrorCode::None, "{told:?}");
            assert_eq!(told.num_partitions, if version >= 5 { 2 } else { -1 });
            assert_eq!(told.topic_id == Uuid::ZERO, version < 7);
            let again = create(&mut client, version, vec![topic(&name, 2, 1)]);
            assert_eq!(again.topics[0].error_code, ErrorCode::TopicAlreadyExists);
            let seen = ask_metadata(&mut client, 12, &[&name], false);
            let id = seen.topics[0].topic_id;
            let state = match delete_version {
                // By name and by id in turn.
                6 if version % 2 == 0 => DeleteTopicState { name: None, topic_id: id },
                _ => DeleteTopicState { name: Some(name.clone()), topic_id: Uuid::ZERO },
            };
            let request = DeleteTopicsRequest {
                topics: vec![state],
                topic_names: vec![name.clone()],
                timeout_ms: 5000,
            };
            let request = match delete_version {
                6 => DeleteTopicsRequest { topic_names: Vec::new(), ..request },
                _ => DeleteTopicsRequest { topics: Vec::new(), ..request },
            };
            let deleted: DeleteTopicsResponse =
                client.call(&delete_topics::API, delete_version, &request);
            let told = &deleted.responses[0];
            assert_eq!((told.error_code, told.name.as_deref()), (ErrorCode::None, Some(&*name)));
            let seen = ask_metadata(&mut client, 12, &[&name], false);
            assert_eq!(seen.topics[0].error_code, ErrorCode::UnknownTopicOrPartition);
        }
    }
}

#[test]
fn rule_62_topics_are_refused_with_kafkas_codes() {
    let broker = Broker::start();
    let mut client = broker.client();
    client.create("a.b", 1);
    let with_config = |name: &str, value: &str| CreatableTopic {
        configs: vec![CreatableTopicConfig { name: name.into(), value: Some(value.into()) }],
        ..topic("configured", 1, 1)
    };
    let cases = [
        (topic("a.b", 1, 1), 36),
        (topic("a_b", 1, 1), 17),
        (topic("", 1, 1), 17),
        (topic("a/b", 1, 1), 17),
        (topic("..", 1, 1), 17),
        (topic(&"x".repeat(250), 1, 1), 17),
        (topic("t", 0, 1), 37),
        (topic("t", -2, 1), 37),
        (topic("t", 20_000, 1), 44),
        (topic("t", 1, 0), 38),
        (topic("t", 1, 3), 38),
        (with_config("no.such.setting", "1"), 40),
        (with_config("segment.bytes", "few"), 40),
        (topic("__cluster_metadata", 1, 1), 42),
        (topic(&"x".repeat(249), -1, -1), 0),
    ];
    for (topic, code) in cases {
        let name = topic.name.clone();
        let response = create(&mut client, 7, vec![topic]);
        let told = &response.topics[0];
        assert_eq!((told.name.as_str(), told.error_code.code()), (&*name, code), "{told:?}");
    }
    let twice = create(&mut client, 7, vec![topic("d", 1, 1), topic("d", 2, 1), topic("e", 1, 1)]);
    let told: Vec<_> = twice.topics.iter().map(|t| (&*t.name, t.error_code.code())).collect();
    assert_eq!(told, [("d", 42), ("e", 0)], "rule 62");
    let check = CreateTopicsRequest {
        topics: vec![topic("only-checked", 1, 1)],
        validate_only: true,
        ..CreateTopicsRequest::default()
    };
    let response: CreateTopicsResponse = client.call(&create_topics::API, 7, &check);
    assert_eq!(response.topics[0].error_code, ErrorCode::None);
    let seen = ask_metadata(&mut client, 12, &["only-checked"], false);
    assert_eq!(seen.topics[0].error_code, ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn deletions_are_refused_with_kafkas_codes() {
    let broker = Broker::start();
    let mut client = broker.client();
    let (a, id) = (client.create("a", 1), Uuid([3; 16]));
    let named = |name: &str| DeleteTopicState { name: Some(name.into()), topic_id: Uuid::ZERO };
    let cases = [
        (vec![named("nope")], vec![3]),
        (vec![DeleteTopicState { name: None, topic_id: id }], vec![100]),
        (vec![DeleteTopicState { name: None, topic_id: Uuid::ZERO }], vec![42]),
        (vec![DeleteTopicState { name: Some("a".into()), topic_id: a.id }], vec![42]),
        (vec![named("a"), named("a")], vec![42]),
        (vec![named("a")], vec![0]),
        (vec![named("a")], vec![3]),
    ];
    for (topics, codes) in cases {
        let request = DeleteTopicsRequest { topics, ..DeleteTopicsRequest::default() };
        let response: DeleteTopicsResponse = client.call(&delete_topics::API, 6, &request);
        let told: Vec<_> = response.responses.iter().map(|t| t.error_code.code()).collect();
        assert_eq!(told, codes, "{response:?}");
    }
    // What is deleted is gone for producers and consumers alike.
    assert_eq!(client.produce(&a, 0, batch(&[b"v"])).error_code.code(), 3);
    assert_eq!(client.fetch(&a, 0, 0).error_code.code(), 3);
    assert_eq!(client.fetch_as(13, &fetch_request(&a, &[(0, 0)])).error_code.code(), 100);
}

// --- Producers -------------------------------------------------------------------------------

fn producer_id(client: &mut Client, version: i16, transaction: Option<&str>) -> (i16, i64, i16) {
    let request = InitProducerIdRequest {
        transactional_id: transaction.map(str::to_string),
        transaction_timeout_ms: 1000,
        ..InitProducerIdRequest::default()
    };
    let response: InitProducerIdResponse = client.call(&init_producer_id::API, version, &request);
    (response.error_code.code(), response.producer_id, response.producer_epoch)
}

#[test]
fn rule_30_producer_ids_are_new_on_every_shard_and_after_a_restart() {
    let mut broker = Broker::start_with(Options::two_shards(Advertise::Shard));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..2 {
        for version in init_producer_id::API.versions() {
            for shard in 0..2 {
                let mut client = Client::connect(broker.address(shard));
                let (code, id, epoch) = producer_id(&mut client, version, None);
                assert_eq!((code, epoch), (0, 0));
                assert!(id >= 0 && seen.insert(id), "rule 30: {id} is new");
                assert_eq!(producer_id(&mut client, version, Some("tx")), (15, -1, -1));
                assert_eq!(producer_id(&mut client, version, Some("")), (42, -1, -1));
            }
        }
        broker = broker.restart();
    }
}

#[test]
fn rules_25_to_27_the_window_of_five_recognises_duplicates() {
    let broker = Broker::start();
    let mut client = broker.client();
    let topic = client.create("t", 1);
    let (_, id, _) = producer_id(&mut client, 5, None);
    // (epoch, sequence, records) -> (code, base offset): rules 25 to 27.
    let cases = [
        ((0, 0, 2), (0, 0)),
        ((0, 2, 1), (0, 2)),
        ((0, 3, 1), (0, 3)),
        ((0, 4, 1), (0, 4)),
        ((0, 5, 1), (0, 5)),
        ((0, 0, 2), (0, 0)),
        ((0, 3, 1), (0, 3)),
        ((0, 6, 1), (0, 6)),
        ((0, 0, 2), (45, -1)),
        ((0, 9, 1), (45, -1)),
        ((1, 1, 1), (45, -1)),
        ((1, 0, 1), (0, 7)),
        ((0, 7, 1), (47, -1)),
        ((1, 1, 3), (0, 8)),
        ((1, 1, 3), (0, 8)),
    ];
    for (at, ((epoch, sequence, count), expected)) in cases.into_iter().enumerate() {
        let response = client.produce(&topic, 0, idempotent(id, epoch, sequence, count));
        let told = (response.error_code.code(), response.base_offset);
        assert_eq!(told, expected, "case {at}: {response:?}");
    }
    assert_eq!(client.offset_as(4, &topic, 0, -1).offset, 11);
}

#[test]
fn rules_27_and_31_sequences_wrap_and_a_pipeline_keeps_its_order() {
    let broker = Broker::start_with(Options::two_shards(Advertise::Node));
    let mut client = broker.client();
    let topic = client.create("t", 2);
    let (_, id, _) = producer_id(&mut client, 5, None);
    // Nothing is known of the producer: any first sequence is taken (rule 26); MAX is followed by 0
    // (rule 27).
    assert_eq!(client.append(&topic, 0, idempotent(id, 0, i32::MAX - 1, 2)), 0);
    assert_eq!(client.append(&topic, 0, idempotent(id, 0, 0, 1)), 2);
    assert_eq!(client.append(&topic, 0, idempotent(id, 0, 1, 1)), 3);
    // Rule 31, here and over the bus.
    let (_, id, _) = producer_id(&mut client, 5, None);
    let mut ids = Vec::new();
    for sequence in 0..50 {
        for index in 0..2 {
            let records = idempotent(id, 0, sequence, 1);
            ids.push(client.send(&produce::API, 9, &produce_request(-1, &topic, index, records)));
        }
    }
    for id in ids {
        let response: produce::ProduceResponse = client.receive(&produce::API, 9, id);
        let code = response.responses[0].partition_responses[0].error_code;
        assert_eq!(code, ErrorCode::None);
    }
}

// --- The other host --------------------------------------------------------------------------

#[test]
fn the_same_under_glommio() {
    let options = Options { executor: Executor::Glommio, ..Options::two_shards(Advertise::Node) };
    let broker = Broker::start_with(options);
    let mut client = broker.client();
    let topic = client.create("t", 4);
    for index in 0..4 {
        assert_eq!(client.append(&topic, index, batch(&[b"v"])), 0);
        let data = client.fetch(&topic, index, 0);
        assert_eq!(records::values(&data.records.unwrap()), [b"v"]);
    }
    let broker = broker.restart();
    assert_eq!(broker.client().fetch(&topic, 3, 0).high_watermark, 1);
}
