//! Produce over the wire, beyond what becomes of one batch: offsets, epochs, headers, the
//! coordinators' topics, and what an idempotent producer can rely on (rules 11, 16, 23, 24, 28 to
//! 31, 58). Those of one shard were put to Apache Kafka 4.3.1 first: see `records.rs`.

mod common;

use std::time::Duration;

use common::client::{Client, Topic, produce_request};
use common::oracle::{Target, case, check};
use common::records::{self, batch, batch_of_size, compressed, idempotent, reheaded};
use common::{Broker, Options, eventually, now_ms};
use ringlog_broker::config::Advertise;
use ringlog_wire::api::create_topics::{self, CreateTopicsRequest, CreateTopicsResponse};
use ringlog_wire::api::delete_records::{
    self, DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use ringlog_wire::api::init_producer_id::{self, InitProducerIdRequest, InitProducerIdResponse};
use ringlog_wire::api::produce::{self, PartitionProduceData, ProduceRequest, ProduceResponse};
use ringlog_wire::batch::{Batch, BatchBuilder, BatchOptions, Codecs, Compression};
use ringlog_wire::client::encode_request;
use ringlog_wire::message::Message;
use ringlog_wire::{ErrorCode, Uuid};

/// Two shards, both ways of telling clients of them, and four.
fn brokers() -> Vec<Broker> {
    let four = Options { shards: 4, memory: "128M", ..Options::default() };
    let options = [Options::two_shards(Advertise::Node), four];
    options.into_iter().map(Broker::start_with).collect()
}

fn codes(response: &ProduceResponse) -> Vec<i16> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    partitions.map(|data| data.error_code.code()).collect()
}

// --- acks = 0 --------------------------------------------------------------------------------

/// One batch for each of these partitions.
fn produce_to(acks: i16, topic: &Topic, parts: &[(i32, Vec<u8>)]) -> ProduceRequest {
    let mut request = produce_request(acks, topic, 0, Vec::new());
    let data = |(index, records): &(i32, Vec<u8>)| PartitionProduceData {
        index: *index,
        records: Some(records.clone()),
    };
    request.topic_data[0].partition_data = parts.iter().map(data).collect();
    request
}

#[test]
fn rule_11_acks_0_ends_the_connection_whichever_shard_refuses() {
    for broker in brokers() {
        let mut good = broker.client();
        let topic = good.create("t", 8);
        // Partitions of every shard, whichever one the connection is on.
        for index in 0..8 {
            let mut client = broker.client();
            client.send(&produce::API, 7, &produce_request(0, &topic, index, batch(&[b"heard"])));
            // No answer before the next request's.
            assert_eq!(client.append(&topic, index, batch(&[b"loud"])), 1);
            client.send(&produce::API, 7, &produce_request(0, &topic, index, vec![1, 2]));
            assert!(client.is_closed(), "partition {index} of {}", broker.options.shards);
            // A gap in an idempotent producer's sequence is an error like any other.
            let mut client = broker.client();
            for (sequence, is_good) in [(0, true), (1, true), (5, false)] {
                let records = idempotent(9000 + i64::from(index), 0, sequence, 1);
                client.send(&produce::API, 7, &produce_request(0, &topic, index, records));
                if is_good {
                    let end = client.offset_as(4, &topic, index, -1).error_code;
                    assert_eq!(end, ErrorCode::None, "still open");
                }
            }
            assert!(client.is_closed(), "partition {index} of {}", broker.options.shards);
        }
        // All shards refuse at once; the good part of a request is taken all the same.
        let mut client = broker.client();
        let mut parts: Vec<_> = (0..7).map(|index| (index, vec![1, 2])).collect();
        parts.push((7, batch(&[b"good"])));
        client.send(&produce::API, 9, &produce_to(0, &topic, &parts));
        assert!(client.is_closed());
        eventually("the good part is written", || {
            (good.offset_as(4, &topic, 7, -1).offset == 5).then_some(())
        });
        for index in 0..8 {
            assert!(good.append(&topic, index, batch(&[b"v"])) >= 4, "others go on");
        }
    }
}

// --- What is stored --------------------------------------------------------------------------

fn fetched(client: &mut Client, topic: &Topic, offset: i64) -> Vec<u8> {
    client.fetch(topic, 0, offset).records.expect("rule 44")
}

#[test]
fn rule_16_offset_and_epoch_are_set_in_place_and_the_crc_stays() {
    let target = Target::start();
    let topic = target.topic(&[]);
    let mut client = target.client();
    let plain = batch(&[b"one", b"two", b"three"]);
    let mut sent = vec![plain.clone()];
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        sent.push(compressed(&plain, codec, 3));
    }
    // A client may say what it likes of the leader's epoch: the CRC does not cover it.
    for epoch in [-1, 0, 77, i32::MIN] {
        sent.push(reheaded(&plain, |header| header.partition_leader_epoch = epoch));
    }
    for (count, sent) in (0..).zip(&sent) {
        let offset = 3 * count;
        assert_eq!(client.append(&topic, 0, sent.clone()), offset);
        let stored = fetched(&mut client, &topic, offset);
        assert_eq!(stored[..8], offset.to_be_bytes(), "the base offset");
        assert_eq!(stored[8..12], sent[8..12], "the length");
        assert_eq!(stored[12..16], [0; 4], "the leader's epoch");
        assert_eq!(stored[16..], sent[16..], "magic, CRC and all that it covers");
        let (batch, rest) = Batch::parse(&stored).expect("one batch");
        assert!(rest.is_empty());
        batch.verify_crc().expect("the client's CRC");
    }
}

#[test]
fn rule_16_a_later_epoch_stands_in_later_batches_only() {
    let mut broker = Broker::start_with(Options::two_shards(Advertise::Node));
    let topic = broker.client().create("t", 2);
    for epoch in [0, 2, 4] {
        let mut client = broker.client();
        for index in 0..2 {
            client.append(&topic, index, batch(&[b"v"]));
            let stored = client.fetch(&topic, index, 0).records.unwrap();
            let mut rest = &stored[..];
            let mut epochs = Vec::new();
            while !rest.is_empty() {
                let (batch, after) = Batch::parse(rest).unwrap();
                batch.verify_crc().unwrap();
                epochs.push(batch.header().partition_leader_epoch);
                rest = after;
            }
            let expected: Vec<_> = (0..=epoch).step_by(2).collect();
            assert_eq!(epochs, expected, "Kafka's stop and start are an epoch each");
        }
        broker = broker.restart();
    }
}

/// A record as it is compared: time, key, value, headers.
type Told = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

fn records_of(bytes: &[u8]) -> Vec<Told> {
    let (batch, _) = Batch::parse(bytes).expect("a batch");
    let mut codecs = Codecs::new();
    let (_, header) =
        batch.recompress(&mut codecs, Compression::None, 0, 1 << 20).expect("good records");
    let plain = [&header.encode()[..], codecs.body()].concat();
    let (batch, _) = Batch::parse(&plain).expect("a batch");
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let told = batch.records().map(|record| {
        let record = record.expect("a good record");
        let headers = record
            .headers()
            .map(|(name, value)| (String::from_utf8(name.to_vec()).expect("text"), owned(value)));
        let time = header.base_timestamp + record.timestamp_delta;
        (time, owned(record.key), owned(record.value), headers.collect())
    });
    told.collect()
}

#[test]
fn rule_23_time_deltas_are_varlongs_and_headers_may_be_null() {
    let target = Target::start();
    let now = now_ms();
    // 50 years between neighbours: more than 32 bits of milliseconds, up and down.
    let times = [now, 0, 1 << 40, 1, now - (1 << 33), now];
    let long = vec![b'h'; 70_000];
    type Headers<'a> = &'a [(&'a str, Option<&'a [u8]>)];
    let headers: [Headers<'_>; 6] = [
        &[],
        &[("null", None)],
        &[("empty", Some(b"")), ("null", None), ("null", Some(b"twice"))],
        &[("", Some(b"no name"))],
        &[("long", Some(&long))],
        &[("a", None), ("b", None), ("c", None), ("d", None)],
    ];
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for (at, time) in times.iter().enumerate() {
        let key: Option<&[u8]> = [None, Some(&b""[..]), Some(b"key")][at % 3];
        let value: Option<&[u8]> = [Some(&b"value"[..]), None][at % 2];
        builder.push(*time, key, value, headers[at]);
    }
    let plain = builder.finish();
    let expected = records_of(&plain);
    assert_eq!(expected.iter().map(|told| told.0).collect::<Vec<_>>(), times);
    for kind in ["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"] {
        let topic = target.topic(&[("compression.type", kind)]);
        let mut client = target.client();
        for codec in [Compression::None, Compression::Lz4, Compression::Zstd] {
            let offset = client.append(&topic, 0, compressed(&plain, codec, 3));
            let stored = fetched(&mut client, &topic, offset);
            assert_eq!(records_of(&stored), expected, "{codec:?} to a topic of {kind}");
        }
        // By time: the first at or after, though its batch says another time in front.
        for (time, offset) in [(0, 0), (2, 0), (now + 1, -1), (1 << 50, -1)] {
            assert_eq!(client.offset_as(7, &topic, 0, time).offset, offset, "{kind}: {time}");
        }
    }
}

#[test]
fn rule_58_offsets_are_dense_and_the_end_is_the_last_plus_1() {
    let target = Target::start();
    let topic = target.topic(&[]);
    let mut client = target.client();
    let mut end = 0;
    for count in [1, 2, 100, 1, 7] {
        for (acks, codec) in
            [(1, Compression::None), (-1, Compression::Lz4), (0, Compression::Zstd)]
        {
            let plain = batch(&vec![b"v".as_slice(); count]);
            let request = produce_request(acks, &topic, 0, compressed(&plain, codec, 1));
            let id = client.send(&produce::API, 9, &request);
            if acks != 0 {
                let response: ProduceResponse = client.receive(&produce::API, 9, id);
                assert_eq!(response.responses[0].partition_responses[0].base_offset, end);
            }
            // Refusals leave no gap.
            let bad = client.produce(&topic, 0, reheaded(&plain, |header| header.crc = 1));
            assert_eq!(bad.error_code, ErrorCode::None, "a header's CRC is made right");
            let bad = client.produce(&topic, 0, idempotent(1, 0, -5, 1));
            assert!(!bad.error_code.is_none());
            end += 2 * count as i64;
            let told = client.offset_as(4, &topic, 0, -1).offset;
            assert_eq!(told, end, "the latest offset");
            let data = client.fetch(&topic, 0, end - 1);
            assert_eq!((data.high_watermark, data.last_stable_offset), (end, end));
        }
    }
    let mut next = 0;
    let mut codecs = Codecs::new();
    while next < end {
        let bytes = fetched(&mut client, &topic, next);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (found, after) = Batch::parse(rest).expect("whole batches");
            let header = *found.header();
            assert_eq!(header.base_offset, next);
            assert_eq!(header.records_count, header.last_offset_delta + 1);
            found.recompress(&mut codecs, Compression::None, 0, 1 << 20).expect("good records");
            next += i64::from(header.records_count);
            rest = after;
        }
    }
    assert_eq!(next, end);
}

// --- The coordinators' topics ------------------------------------------------------------------

/// Produces as a client of that name.
fn produce_named(
    client: &mut Client,
    name: Option<&str>,
    version: i16,
    request: &ProduceRequest,
) -> ProduceResponse {
    use std::io::Write;
    let frame = encode_request(&produce::API, version, 77, name, |out| request.write(version, out));
    client.stream.write_all(&frame).expect("the broker reads");
    client.receive(&produce::API, version, 77)
}

/// The topic of that name, which may be there already.
fn internal_topic(client: &mut Client, name: &str) -> Topic {
    let new = create_topics::CreatableTopic {
        name: name.into(),
        num_partitions: 2,
        replication_factor: 1,
        ..create_topics::CreatableTopic::default()
    };
    let request = CreateTopicsRequest {
        topics: vec![new],
        timeout_ms: 10_000,
        ..CreateTopicsRequest::default()
    };
    let created: CreateTopicsResponse = client.call(&create_topics::API, 7, &request);
    let topic = Topic { name: name.into(), id: created.topics[0].topic_id };
    assert_eq!(created.topics[0].error_code, ErrorCode::None, "{created:?}");
    eventually("the topic is served", || {
        (client.offset_as(4, &topic, 0, -1).error_code == ErrorCode::None).then_some(())
    });
    topic
}

#[test]
fn rule_24_clients_do_not_write_to_the_coordinators_topics() {
    for options in [Options::default(), Options::two_shards(Advertise::Node)] {
        let target = Target::start_with(options);
        let mut client = target.client();
        for name in ["__consumer_offsets", "__transaction_state"] {
            let ask = |topic: &Topic| {
                let mut builder = BatchBuilder::new(BatchOptions::default());
                builder.push(now_ms(), Some(b"key"), Some(b"value"), &[]);
                let records = builder.finish();
                produce_to(1, topic, &[(0, records.clone()), (1, records.clone()), (9, records)])
            };
            // What is not there is not there, whatever its name.
            let absent = Topic { name: name.into(), id: Uuid([9; 16]) };
            let response = produce_named(&mut client, Some("any"), 9, &ask(&absent));
            assert_eq!(codes(&response), [3, 3, 3], "{name}");
            let topic = internal_topic(&mut client, name);
            for version in produce::API.versions() {
                for who in [Some("any"), Some(""), Some("__admin_client2"), None] {
                    let response = produce_named(&mut client, who, version, &ask(&topic));
                    assert_eq!(codes(&response), [17, 17, 3], "v{version} as {who:?}");
                }
            }
            assert_eq!(client.offset_as(4, &topic, 0, -1).offset, 0, "nothing was written");
            let response = produce_named(&mut client, Some("__admin_client"), 9, &ask(&topic));
            assert_eq!(codes(&response), [0, 0, 3]);
            assert_eq!(client.offset_as(4, &topic, 0, -1).offset, 1);
            // Reading is no secret.
            assert!(!fetched(&mut client, &topic, 0).is_empty());
            let mut silent = target.client();
            silent.send(&produce::API, 9, &produce_request(0, &topic, 0, batch(&[b"v"])));
            assert!(silent.is_closed(), "acks = 0: rule 11");
            client.delete(name);
        }
    }
}

// --- Idempotence -------------------------------------------------------------------------------

/// Every code that an idempotent producer was answered with is one that it knows how to take.
fn check_codes(seen: &mut Vec<i16>, response: &ProduceResponse) {
    for code in codes(response) {
        assert_ne!(code, -1, "rule 28: {response:?}");
        if !seen.contains(&code) {
            seen.push(code);
        }
    }
}

/// Good, bad and impossible batches of producer 5.
fn idempotent_batches() -> Vec<Vec<u8>> {
    let good = |n| idempotent(5, 0, n, 1);
    let large = reheaded(&batch_of_size(1_100_000), |header| {
        (header.producer_id, header.producer_epoch, header.base_sequence) = (5, 0, 0);
    });
    vec![
        good(0),
        good(0),
        good(7),
        good(-3),
        records::rebodied(&good(1), Compression::Lz4, b"no frame"),
        [&good(1)[..60], &[0x55; 40]].concat(),
        idempotent(5, 1, 3, 1),
        idempotent(5, 3, 0, 1),
        idempotent(5, 2, 0, 1),
        idempotent(5, -1, 0, 1),
        idempotent(i64::MAX, i16::MAX, i32::MAX, 3),
        good(0)[..40].to_vec(),
        compressed(&good(1), Compression::Zstd, 1),
        reheaded(&good(1), |header| header.attributes |= 16),
        reheaded(&good(1), |header| header.attributes |= 32),
        reheaded(&good(1), |header| header.records_count = 9),
        large,
    ]
}

#[test]
fn rule_28_no_idempotent_batch_is_answered_with_an_unknown_error() {
    let mut seen = Vec::new();
    for advertise in [Advertise::Node, Advertise::Shard] {
        let options = Options::two_shards(advertise);
        let broker = Broker::start_with(options);
        let mut client = broker.client();
        let topic = client.create("t", 4);
        let batches = idempotent_batches();
        let good = |n| idempotent(5, 0, n, 1);
        for version in produce::API.versions() {
            for records in &batches {
                for (index, acks) in [(0, -1), (1, 1), (2, -1), (3, 1), (9, 1), (0, 7)] {
                    let mut request = produce_request(acks, &topic, index, records.clone());
                    request.timeout_ms = index - 1;
                    let response = client.call(&produce::API, version, &request);
                    check_codes(&mut seen, &response);
                }
            }
        }
        // While its topic comes and goes.
        for round in 0..20 {
            let topic = client.create("gone", 4);
            let mut ids = Vec::new();
            let mut admin = broker.client();
            for n in 0..40 {
                if n == 20 {
                    admin.delete("gone");
                }
                let request = produce_request(-1, &topic, n % 4, good(n / 4));
                let version = if round % 2 == 0 { 9 } else { 13 };
                ids.push((version, client.send(&produce::API, version, &request)));
            }
            for (version, id) in ids {
                check_codes(&mut seen, &client.receive(&produce::API, version, id));
            }
        }
        // While memory is short.
        let value = vec![b'x'; 900_000];
        let mut ids = Vec::new();
        for n in 0..60 {
            let options = BatchOptions {
                producer_id: 6,
                producer_epoch: 0,
                base_sequence: n / 4,
                ..BatchOptions::default()
            };
            let records = records::build(options, 1000, &[&value]);
            let request = produce_request(-1, &topic, n % 4, records);
            ids.push(client.send(&produce::API, 9, &request));
        }
        for id in ids {
            check_codes(&mut seen, &client.receive(&produce::API, 9, id));
        }
    }
    for expected in [0, 2, 3, 6, 10, 21, 45, 47, 76, 87, 100] {
        assert!(seen.contains(&expected), "{expected} was to be seen: {seen:?}");
    }
}

fn delete_before(client: &mut Client, topic: &Topic, before: i64) {
    let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset: before }];
    let topics = vec![DeleteRecordsTopic { name: topic.name.clone(), partitions }];
    let request = DeleteRecordsRequest { topics, timeout_ms: 1000 };
    let response: DeleteRecordsResponse = client.call(&delete_records::API, 2, &request);
    assert_eq!(response.topics[0].partitions[0].error_code, ErrorCode::None);
}

/// The producer of `rule_29_…` has written sequences 0 to 5, the last of them at `offset`. Kafka's
/// snapshots keep the last batch of a producer; those before it are known as long as it runs.
fn check_remembered(broker: &Broker, topic: &Topic, offset: i64, what: &str) {
    let mut client = broker.client();
    for (epoch, sequence, expected) in
        [(2, 5, (0, offset)), (2, 0, (45, -1)), (2, 8, (45, -1)), (1, 6, (47, -1))]
    {
        let answer = client.produce(topic, 0, idempotent(31, epoch, sequence, 1));
        let told = (answer.error_code.code(), answer.base_offset);
        assert_eq!(told, expected, "{what}: epoch {epoch}, sequence {sequence}");
    }
}

#[test]
fn rule_29_producers_are_remembered_over_restarts_crashes_and_deletions() {
    let options = Options { set: vec!["log.segment.bytes=1048576"], ..Options::default() };
    let mut broker = Broker::start_with(options.clone());
    let mut client = broker.client();
    let topic = client.create("t", 1);
    for sequence in 0..6 {
        let offset = client.append(&topic, 0, idempotent(31, 2, sequence, 1));
        assert_eq!(offset, i64::from(sequence));
    }
    check_remembered(&broker, &topic, 5, "at first");
    broker = broker.restart();
    check_remembered(&broker, &topic, 5, "after a stop");
    let crash = |broker: Broker| {
        let dir = broker.stop();
        std::fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
        Broker::start_on(dir, options.clone())
    };
    broker = crash(broker);
    check_remembered(&broker, &topic, 5, "after a crash");
    // Others fill segment after segment; then the producer's records go, and their segment.
    let mut client = broker.client();
    for _ in 0..8 {
        client.append(&topic, 0, batch_of_size(400_000));
    }
    check_remembered(&broker, &topic, 5, "segments later");
    delete_before(&mut client, &topic, 12);
    let first = || broker.dir().path().join("t-0/00000000000000000000.log");
    eventually("its segment leaves the disk", || (!first().exists()).then_some(()));
    check_remembered(&broker, &topic, 5, "after a deletion");
    broker = broker.restart();
    check_remembered(&broker, &topic, 5, "after a deletion and a stop");
    broker = crash(broker);
    check_remembered(&broker, &topic, 5, "after a deletion and a crash");
    // All records go.
    let mut client = broker.client();
    delete_before(&mut client, &topic, -1);
    check_remembered(&broker, &topic, 5, "without a record");
    broker = broker.restart();
    check_remembered(&broker, &topic, 5, "without a record, after a stop");
    assert_eq!(broker.client().append(&topic, 0, idempotent(31, 2, 6, 1)), 14);
}

#[test]
fn rule_29_a_producer_that_is_silent_for_long_is_forgotten() {
    let set = vec!["producer.id.expiration.ms=300", "log.flush.offset.checkpoint.interval.ms=100"];
    let broker = Broker::start_with(Options { set, ..Options::default() });
    let mut client = broker.client();
    let topic = client.create("t", 1);
    client.append(&topic, 0, idempotent(31, 2, 0, 1));
    let gap = client.produce(&topic, 0, idempotent(31, 2, 9, 1));
    assert_eq!(gap.error_code, ErrorCode::OutOfOrderSequenceNumber);
    std::thread::sleep(Duration::from_millis(300));
    // Rule 26: nothing is known of it, so any sequence and any epoch is its first.
    eventually("it is forgotten", || {
        client.produce(&topic, 0, idempotent(31, 0, 9, 1)).error_code.is_none().then_some(())
    });
}

#[test]
fn rule_30_producer_ids_are_new_whatever_the_producer_has() {
    let target = Target::start();
    let mut client = target.client();
    let mut seen = std::collections::BTreeSet::new();
    let mut ask = |version, producer_id, producer_epoch| {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 1000,
            producer_id,
            producer_epoch,
        };
        let told: InitProducerIdResponse = client.call(&init_producer_id::API, version, &request);
        (told.error_code.code(), told.producer_id, told.producer_epoch)
    };
    // Kafka has no ids to give at first.
    eventually("there are ids", || (ask(5, -1, -1).0 == 0).then_some(()));
    for version in init_producer_id::API.versions() {
        let (code, first, epoch) = ask(version, -1, -1);
        assert_eq!((code, epoch), (0, 0));
        assert!(seen.insert(first), "{first} is new");
        if version < 3 {
            continue;
        }
        // Kafka bumps nothing without a transactional id: a new id, which is what is wanted.
        for (id, epoch) in [(first, 0), (first, 5), (first, i16::MAX), (0, 0), (1 << 60, 3)] {
            let (code, new, new_epoch) = ask(version, id, epoch);
            assert_eq!((code, new_epoch), (0, 0), "v{version} {id} {epoch}");
            assert!(seen.insert(new), "{new} is new");
        }
        // One without the other is no producer's.
        for (id, epoch) in [(first, -1), (-1, 0), (-1, 7)] {
            assert_eq!(ask(version, id, epoch), (42, -1, -1), "v{version} {id} {epoch}");
        }
    }
}

#[test]
fn rule_31_a_pipeline_is_appended_in_its_order_on_every_shard() {
    const ROUNDS: i32 = 150;
    for broker in brokers() {
        let mut client = broker.client();
        let topic = client.create("t", 6);
        // Each request has a batch for each partition, some of several records, in every size; the
        // answers are read when all is sent, or a few behind.
        for (producer, lag) in [(1, ROUNDS as usize), (2, 7), (3, 64)] {
            let mut ids = std::collections::VecDeque::new();
            let mut sequences = [0; 6];
            let read = |client: &mut Client, (version, id)| {
                let response: ProduceResponse = client.receive(&produce::API, version, id);
                assert_eq!(codes(&response), [0; 6], "producer {producer}");
            };
            for round in 0..ROUNDS {
                let count = [1, 5, 2, 40][round as usize % 4];
                let part = |index: i32| {
                    let sequence = sequences[index as usize];
                    (index, idempotent(producer, 0, sequence, count))
                };
                let parts: Vec<_> = [3, 0, 5, 1, 4, 2].map(part).into();
                sequences.iter_mut().for_each(|sequence| *sequence += count as i32);
                let (version, acks) = [(9, -1), (9, 1), (13, -1)][round as usize % 3];
                let id = client.send(&produce::API, version, &produce_to(acks, &topic, &parts));
                ids.push_back((version, id));
                if ids.len() > lag {
                    read(&mut client, ids.pop_front().unwrap());
                }
            }
            ids.into_iter().for_each(|id| read(&mut client, id));
        }
        for index in 0..6 {
            let mut expected = 0;
            let mut next = 0;
            let end = client.offset_as(4, &topic, index, -1).offset;
            while next < end {
                let bytes = client.fetch(&topic, index, next).records.unwrap();
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let (found, after) = Batch::parse(rest).unwrap();
                    let header = found.header();
                    assert_eq!(header.base_offset, next);
                    if header.base_sequence == 0 {
                        expected = 0;
                    }
                    assert_eq!(header.base_sequence, expected);
                    expected += header.records_count;
                    next += i64::from(header.records_count);
                    rest = after;
                }
            }
        }
    }
}

#[test]
fn unknown_partitions_come_before_all_other_refusals() {
    let target = Target::start();
    let topic = target.topic(&[]);
    let mut client = target.client();
    let parts = [(0, batch(&[b"v"])), (1, batch(&[b"v"])), (-1, Vec::new())];
    let response: ProduceResponse = client.call(&produce::API, 9, &produce_to(5, &topic, &parts));
    assert_eq!(codes(&response), [21, 3, 3]);
    check(&target, &topic, vec![case("nothing was written", batch(&[b"v"]), "0")]);
    assert_eq!(client.offset_as(4, &topic, 0, -1).offset, 1);
}

/// One frame may name thousands of partitions, each with a few bytes that open to a hundred MiB.
#[test]
fn batches_of_a_request_open_to_a_hundred_mebibytes_together() {
    let broker = Broker::start();
    let mut client = broker.client();
    let topic = client.create("t", 4);
    let bomb = compressed(&batch(&[&vec![0; 30 << 20]]), Compression::Zstd, 1);
    let mut request = produce_request(-1, &topic, 0, bomb.clone());
    let data = |index| PartitionProduceData { index, records: Some(bomb.clone()) };
    request.topic_data[0].partition_data = (0..4).map(data).collect();
    for _ in 0..2 {
        let response: ProduceResponse = client.call(&produce::API, 9, &request);
        let codes = response.responses[0].partition_responses.iter().map(|told| told.error_code);
        let (none, large) = (ErrorCode::None, ErrorCode::MessageTooLarge);
        assert_eq!(codes.collect::<Vec<_>>(), [none, none, none, large]);
    }
}
