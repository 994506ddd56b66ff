//! ListOffsets over the wire (rules 55 to 57), in plain and compressed batches; each answer was
//! Apache Kafka 4.3.1's first: see `records.rs`.

mod common;

use common::client::{Topic, offsets_request};
use common::oracle::Target;
use common::records::compressed;
use ringlog_wire::api::list_offsets::{self, ListOffsetsResponse};
use ringlog_wire::batch::{BatchBuilder, BatchOptions, Compression};

fn records_at(timestamps: &[i64]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for timestamp in timestamps {
        builder.push(*timestamp, None, Some(b"value"), &[]);
    }
    builder.finish()
}

/// Offsets 0 to 9 in three batches of this compression.
fn filled(target: &Target, codec: Compression) -> Topic {
    let topic = target.topic(&[]);
    let mut client = target.client();
    for timestamps in [&[100, 300, 200, 300][..], &[250, 900, 400], &[900, 50, 60]] {
        client.append(&topic, 0, compressed(&records_at(timestamps), codec, 3));
    }
    topic
}

fn ask(target: &Target, version: i16, topic: &Topic, timestamp: i64) -> String {
    let answer = target.client().offset_as(version, topic, 0, timestamp);
    let (code, epoch) = (answer.error_code.code(), answer.leader_epoch);
    format!("{code} @{} at {} of {epoch}", answer.offset, answer.timestamp)
}

#[test]
fn rule_56_the_first_record_not_the_batch() {
    let target = Target::start();
    let codecs = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];
    for codec in codecs {
        let topic = filled(&target, codec);
        let cases = [
            (0, "0 @0 at 100 of 0"),
            (100, "0 @0 at 100 of 0"),
            (101, "0 @1 at 300 of 0"),
            (300, "0 @1 at 300 of 0"),
            (301, "0 @5 at 900 of 0"),
            (900, "0 @5 at 900 of 0"),
            (901, "0 @-1 at -1 of -1"),
            (i64::MAX, "0 @-1 at -1 of -1"),
            (-3, "0 @5 at 900 of 0"),
            (-1, "0 @10 at -1 of 0"),
            (-2, "0 @0 at -1 of 0"),
            (-4, "0 @0 at -1 of 0"),
            (-5, "0 @-1 at -1 of -1"),
            (-6, "0 @-1 at -1 of -1"),
            (-7, "35 @-1 at -1 of -1"),
            (i64::MIN, "35 @-1 at -1 of -1"),
        ];
        for (timestamp, expected) in cases {
            let found = ask(&target, 11, &topic, timestamp);
            assert_eq!(found, expected, "{codec:?}: {timestamp}");
        }
    }
}

#[test]
fn rule_55_special_values_by_version() {
    let target = Target::start();
    let topic = filled(&target, Compression::None);
    for version in list_offsets::API.versions() {
        for (timestamp, from) in [(-1, 1), (-2, 1), (-3, 7), (-4, 8), (-5, 9), (-6, 11), (-7, 99)] {
            let found = ask(&target, version, &topic, timestamp);
            let refused = found.starts_with("35 ");
            assert_eq!(refused, version < from, "v{version} {timestamp}: {found}");
        }
    }
    let empty = target.topic(&[]);
    for (timestamp, expected) in [
        (-1, "0 @0 at -1 of 0"),
        (-2, "0 @0 at -1 of 0"),
        (-3, "0 @-1 at -1 of -1"),
        (-4, "0 @0 at -1 of 0"),
        (0, "0 @-1 at -1 of -1"),
    ] {
        assert_eq!(ask(&target, 11, &empty, timestamp), expected, "empty: {timestamp}");
    }
}

#[test]
fn rule_57_twice_named_and_epochs() {
    let target = Target::start();
    let topic = filled(&target, Compression::None);
    let mut client = target.client();
    let twice = offsets_request(&topic, &[(0, -1), (0, -2), (1, -1)]);
    let response: ListOffsetsResponse = client.call(&list_offsets::API, 6, &twice);
    let mut codes: Vec<_> = response
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .map(|told| (told.partition_index, told.error_code.code()))
        .collect();
    codes.sort_unstable();
    assert_eq!(codes, [(0, 42), (1, 3)], "told once");
    for (epoch, code) in [(-1, 0), (0, 0), (1, 75), (-2, 74)] {
        for timestamp in [-1, -2, -3, 100] {
            let mut request = offsets_request(&topic, &[(0, timestamp)]);
            request.topics[0].partitions[0].current_leader_epoch = epoch;
            let response: ListOffsetsResponse = client.call(&list_offsets::API, 7, &request);
            let found = response.topics[0].partitions[0].error_code.code();
            assert_eq!(found, code, "epoch {epoch}, timestamp {timestamp}");
        }
    }
    for isolation in [0, 1] {
        let mut request = offsets_request(&topic, &[(0, -1)]);
        request.isolation_level = isolation;
        let response: ListOffsetsResponse = client.call(&list_offsets::API, 7, &request);
        assert_eq!(response.topics[0].partitions[0].offset, 10, "isolation {isolation}");
    }
}
