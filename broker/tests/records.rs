//! What becomes of a produced batch: Kafka's rules 14 to 28 (`shared/protocol.md`), over the wire,
//! with batches made by hand. Each case was put to Apache Kafka 4.3.1 first:
//! `RINGLOG_ORACLE=127.0.0.1:9092 cargo test -p ringlog --test records` does so again.

mod common;

use std::io::Write;

use common::client::{Topic, produce_request};
use common::now_ms;
use common::oracle::{Target, case, check};
use common::records::{batch, compressed, idempotent, rebodied, reheaded};
use flate2::write::GzEncoder;
use ringlog_wire::api::{list_offsets, produce};
use ringlog_wire::batch::{Batch, BatchBuilder, BatchOptions, Compression, HEADER_BYTES};

const CODECS: [Compression; 4] =
    [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// Records with these timestamps, and a key if their place says so.
fn records_at(timestamps: &[i64], has_key: impl Fn(usize) -> bool) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for (at, timestamp) in timestamps.iter().enumerate() {
        let key: Option<&[u8]> = has_key(at).then_some(b"key");
        builder.push(*timestamp, key, Some(b"value"), &[]);
    }
    builder.finish()
}

fn good() -> Vec<u8> {
    batch(&[b"one", b"two", b"three"])
}

#[test]
fn rule_14_one_batch_of_magic_2_and_zstd_from_v7_on() {
    let target = Target::start();
    let topic = target.topic(&[]);
    let changed = |at: usize, byte: u8| {
        let mut bytes = good();
        bytes[at] = byte;
        bytes
    };
    let cut = |bytes: usize| good()[..bytes].to_vec();
    check(
        &target,
        &topic,
        vec![
            case("good", good(), "0"),
            case("nothing", vec![], "87"),
            case("two batches", [good(), good()].concat(), "87"),
            case("a byte behind it", [good(), vec![0]].concat(), "0"),
            case("a batch cut behind it", [good(), cut(70)].concat(), "0"),
            case("magic 0", changed(16, 0), "87"),
            case("magic 1", changed(16, 1), "87"),
            case("magic 3", changed(16, 3), "2"),
            case("magic -1", changed(16, 0xff), "2"),
            case("half a header", cut(40), "87"),
            case("half a batch", cut(70), "87"),
            case("a short length", changed(11, 10), "2"),
            case("a negative length", changed(8, 0xff), "2"),
            case("a long length", changed(8, 1), "87"),
            case("zstd in v7", compressed(&good(), Compression::Zstd, 3), "0").version(7),
            case("zstd in v6", compressed(&good(), Compression::Zstd, 3), "76").version(6),
            case("gzip in v3", compressed(&good(), Compression::Gzip, 3), "0").version(3),
        ],
    );
}

type Change = fn(&mut ringlog_wire::batch::BatchHeader);

/// Three records, with another header.
fn header(change: Change) -> Vec<u8> {
    reheaded(&good(), change)
}

/// The same, compressed.
fn small(change: Change) -> Vec<u8> {
    reheaded(&compressed(&good(), Compression::Lz4, 0), change)
}

#[test]
fn rule_15_headers_that_contradict() {
    let target = Target::start();
    let topic = target.topic(&[]);
    let flipped = |at: usize| {
        let mut bytes = good();
        bytes[at] ^= 1;
        bytes
    };
    check(
        &target,
        &topic,
        vec![
            case("crc", flipped(17), "2"),
            case("crc of the attributes", flipped(22), "2"),
            case("crc of a record", flipped(HEADER_BYTES + 8), "2"),
            case("base offset 1", header(|h| h.base_offset = 1), "87"),
            case("base offset -1", header(|h| h.base_offset = -1), "87"),
            case("base offset max", header(|h| h.base_offset = i64::MAX), "87"),
            case("leader epoch 7", header(|h| h.partition_leader_epoch = 7), "0"),
            case("count 0", header(|h| h.records_count = 0), "87"),
            case("count -1", header(|h| h.records_count = -1), "87"),
            case("count 2", header(|h| h.records_count = 2), "87"),
            case(
                "count and delta for 2",
                header(|h| (h.records_count, h.last_offset_delta) = (2, 1)),
                "87",
            ),
            case(
                "count and delta for 4",
                header(|h| (h.records_count, h.last_offset_delta) = (4, 3)),
                "87",
            ),
            case("lz4, for 2", small(|h| (h.records_count, h.last_offset_delta) = (2, 1)), "87"),
            case("lz4, for 4", small(|h| (h.records_count, h.last_offset_delta) = (4, 3)), "87"),
            case(
                "lz4, for 2^31-1",
                small(|h| (h.records_count, h.last_offset_delta) = (i32::MAX, i32::MAX - 1)),
                "87",
            ),
        ],
    );
}

#[test]
fn rule_15_headers_that_promise_what_they_may_not() {
    let target = Target::start();
    let topic = target.topic(&[]);
    check(
        &target,
        &topic,
        vec![
            case("last offset delta -1", header(|h| h.last_offset_delta = -1), "87"),
            case("last offset delta 9", header(|h| h.last_offset_delta = 9), "87"),
            case("control", header(|h| h.attributes |= 0x20), "87"),
            case("log append time", header(|h| h.attributes |= 0x08), "0"),
            case("log append time, lz4", small(|h| h.attributes |= 0x08), "0"),
            case("delete horizon", header(|h| h.attributes |= 0x40), "0"),
            case("unknown attribute", header(|h| h.attributes |= 0x80), "0"),
            case("compression 5", header(|h| h.attributes |= 5), "76").but_kafka_says("-1"),
            case("compression 7", header(|h| h.attributes |= 7), "76").but_kafka_says("-1"),
            case(
                "producer without sequence",
                header(|h| (h.producer_id, h.producer_epoch) = (7_000_000, 0)),
                "87",
            ),
            case(
                "producer with sequence -2",
                header(|h| (h.producer_id, h.producer_epoch, h.base_sequence) = (7_000_000, 0, -2)),
                "87",
            ),
            case(
                "producer without epoch",
                header(|h| (h.producer_id, h.base_sequence) = (7_000_001, 0)),
                "87",
            )
            .but_kafka_says("0"),
            case(
                "producer -2",
                header(|h| (h.producer_id, h.producer_epoch, h.base_sequence) = (-2, 0, 0)),
                "87",
            )
            .but_kafka_says("0"),
            case("sequence without producer", header(|h| h.base_sequence = 5), "0"),
            case("max timestamp too small", header(|h| h.max_timestamp = 5), "0"),
            case("max timestamp too large", header(|h| h.max_timestamp = i64::MAX), "0"),
            case("max timestamp too large, lz4", small(|h| h.max_timestamp = 123_456), "0"),
            case(
                "base timestamp negative",
                header(|h| (h.base_timestamp, h.max_timestamp) = (-5000, -4998)),
                "0",
            ),
            case(
                "base timestamp min",
                header(|h| (h.base_timestamp, h.max_timestamp) = (i64::MIN, i64::MIN + 2)),
                "32 [0, 1, 2]",
            ),
            case("good", good(), "0"),
        ],
    );
}

/// A record of these bytes, without its length.
fn raw_body(records: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for record in records {
        assert!(record.len() < 64);
        body.push(record.len() as u8 * 2);
        body.extend_from_slice(record);
    }
    body
}

/// Three records of these bytes: attributes, timestamp delta, offset delta, key length, value
/// length, headers.
fn three(second: &[u8], third: &[u8]) -> Vec<u8> {
    rebodied(&good(), Compression::None, &raw_body(&[FIRST, second, third]))
}
const FIRST: &[u8] = &[0, 0, 0, 1, 2, b'v', 0];

#[test]
fn rule_15_records_that_contradict() {
    let target = Target::start();
    let topic = target.topic(&[]);
    let mut cases = Vec::new();
    for (what, bytes, expected) in contradictions() {
        let (batch, _) = Batch::parse(&bytes).unwrap();
        let gzip = gzipped(batch.body());
        let plain = case(what, bytes.clone(), expected);
        let gzip = case(what, rebodied(&good(), Compression::Gzip, &gzip), expected);
        // Kafka stores wrong offset deltas, or, in a compressed batch, fails on them.
        match what.starts_with("offset") {
            true => cases.extend([plain.but_kafka_says("0"), gzip.but_kafka_says("-1")]),
            false => cases.extend([plain, gzip]),
        }
    }
    check(&target, &topic, cases);
}

fn contradictions() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    vec![
        ("good", three(&[0, 0, 2, 1, 2, b'v', 0], &[0, 0, 4, 1, 2, b'v', 0]), "0"),
        ("offset delta twice", three(&[0, 0, 0, 1, 2, b'v', 0], &[0, 0, 4, 1, 2, b'v', 0]), "87"),
        ("offset delta skips", three(&[0, 0, 4, 1, 2, b'v', 0], &[0, 0, 6, 1, 2, b'v', 0]), "87"),
        (
            "offset delta negative",
            three(&[0, 0, 1, 1, 2, b'v', 0], &[0, 0, 4, 1, 2, b'v', 0]),
            "87",
        ),
        ("offsets from behind", three(&[0, 0, 4, 1, 2, b'v', 0], &[0, 0, 2, 1, 2, b'v', 0]), "87"),
        ("record attributes", three(&[9, 0, 2, 1, 2, b'v', 0], &[0, 0, 4, 1, 2, b'v', 0]), "0"),
        (
            "null header value",
            three(&[0, 0, 2, 1, 2, b'v', 2, 2, b'k', 1], &[0, 0, 4, 1, 2, b'v', 0]),
            "0",
        ),
        (
            "null header key",
            three(&[0, 0, 2, 1, 2, b'v', 2, 1, 1], &[0, 0, 4, 1, 2, b'v', 0]),
            "87",
        ),
        (
            "headers missing",
            three(&[0, 0, 2, 1, 2, b'v', 4, 2, b'k', 1], &[0, 0, 4, 1, 2, b'v', 0]),
            "87",
        ),
        ("headers negative", three(&[0, 0, 2, 1, 2, b'v', 1], &[0, 0, 4, 1, 2, b'v', 0]), "87"),
        ("value too long", three(&[0, 0, 2, 1, 20, b'v', 0], &[0, 0, 4, 1, 2, b'v', 0]), "87"),
        ("value length -2", three(&[0, 0, 2, 1, 3, b'v', 0], &[0, 0, 4, 1, 2, b'v', 0]), "87"),
        (
            "bytes left in a record",
            three(&[0, 0, 2, 1, 2, b'v', 0, 0], &[0, 0, 4, 1, 2, b'v', 0]),
            "87",
        ),
        ("an empty record", three(&[], &[0, 0, 4, 1, 2, b'v', 0]), "87"),
        (
            "a long varint",
            three(
                &[0, 0, 0x82, 0x80, 0x80, 0x80, 0x80, 0, 1, 2, b'v', 0],
                &[0, 0, 4, 1, 2, b'v', 0],
            ),
            "87",
        ),
        (
            "a record missing",
            rebodied(&good(), Compression::None, &raw_body(&[FIRST, &[0, 0, 2, 1, 2, b'v', 0]])),
            "87",
        ),
        (
            "a byte behind",
            rebodied(
                &good(),
                Compression::None,
                &[
                    raw_body(&[FIRST, &[0, 0, 2, 1, 2, b'v', 0], &[0, 0, 4, 1, 2, b'v', 0]]),
                    vec![0],
                ]
                .concat(),
            ),
            "87",
        ),
        ("no body", rebodied(&good(), Compression::None, &[]), "87"),
    ]
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn rule_20_streams_that_are_not_what_they_say() {
    let target = Target::start();
    let topic = target.topic(&[]);
    let mut cases = Vec::new();
    // What Kafka says to a stream that: is cut; has garbage behind it; has none of it; is empty;
    // comes twice. -1 makes an idempotent producer start over (rule 28), and what Java passes over
    // behind a stream other readers do not: 87 says that the batch is bad.
    let kafka = [
        (Compression::Gzip, ["-1", "0", "-1", "-1", "87"]),
        (Compression::Snappy, ["-1", "-1", "-1", "-1", "87"]),
        (Compression::Lz4, ["-1", "0", "-1", "-1", "0"]),
        (Compression::Zstd, ["-1", "-1", "-1", "87", "87"]),
    ];
    for (codec, [cut, more, garbage, empty, twice]) in kafka {
        let small = compressed(&good(), codec, 3);
        let body = &small[HEADER_BYTES..];
        let with = |body: &[u8]| rebodied(&good(), codec, body);
        let bad = |what, body: &[u8], kafka| case(what, with(body), "87").but_kafka_says(kafka);
        cases.extend([
            case("good", small.clone(), "0"),
            bad("half", &body[..body.len() / 2], cut),
            bad("a byte less", &body[..body.len() - 1], cut),
            bad("more", &[body, b"garbage behind it"].concat(), more),
            bad("garbage", b"this is not a stream of any codec", garbage),
            bad("empty", &[], empty),
            bad("twice", &[body, body].concat(), twice),
        ]);
    }
    check(&target, &topic, cases);
}

#[test]
fn rule_18_timestamps() {
    let target = Target::start();
    let now = now_ms();
    let hour = 3_600_000;
    for (settings, cases) in [
        (
            vec![],
            vec![
                case(
                    "two hours ahead",
                    records_at(&[now, now + 2 * hour, now], |_| true),
                    "32 [1]",
                ),
                case(
                    "two hours ahead in v7",
                    records_at(&[now, now + 2 * hour, now], |_| true),
                    "32",
                )
                .version(7),
                case("within the hour", records_at(&[now, now + hour / 2], |_| true), "0"),
                case("long ago", records_at(&[0, 1], |_| true), "0"),
                case("none", records_at(&[-1, -1], |_| true), "0"),
                case("negative", records_at(&[-2, -5], |_| true), "0"),
                case("the least", records_at(&[i64::MIN], |_| true), "32 [0]"),
                case("the most", records_at(&[i64::MAX], |_| true), "32 [0]"),
            ],
        ),
        (
            vec![("message.timestamp.before.max.ms", "60000")],
            vec![
                case("now", records_at(&[now, now - 1000], |_| true), "0"),
                case("two hours ago", records_at(&[now, now - 2 * hour, now], |_| true), "32 [1]"),
                case(
                    "lz4: two hours ago",
                    compressed(
                        &records_at(&[now, now - 2 * hour, now, 0], |_| true),
                        Compression::Lz4,
                        0,
                    ),
                    "32 [1, 3]",
                ),
                case("none", records_at(&[-1, -1], |_| true), "0"),
            ],
        ),
    ] {
        let topic = target.topic(&settings);
        check(&target, &topic, cases);
    }
}

#[test]
fn rule_18_timestamps_and_keys_of_compacted_topics() {
    let target = Target::start();
    let now = now_ms();
    for (settings, cases) in [
        (
            vec![("cleanup.policy", "compact"), ("message.timestamp.before.max.ms", "60000")],
            vec![
                case("keys", records_at(&[now, now], |_| true), "0"),
                case("no key", records_at(&[now, now, now], |at| at != 1), "87 [1]"),
                case("no key in v7", records_at(&[now, now, now], |at| at != 1), "87").version(7),
                case(
                    "no keys, zstd",
                    compressed(&records_at(&[now, now, now], |_| false), Compression::Zstd, 0),
                    "87 [0, 1, 2]",
                ),
                case(
                    "no key and a late one",
                    records_at(&[now, 0, now], |at| at == 1),
                    "32 [0, 1, 2]",
                ),
            ],
        ),
        (
            vec![("cleanup.policy", "compact,delete")],
            vec![
                case("no key", records_at(&[now, now, now], |at| at != 1), "87 [1]"),
                case(
                    "empty keys",
                    {
                        let mut b = BatchBuilder::new(BatchOptions::default());
                        b.push(now, Some(b""), None, &[]);
                        b.finish()
                    },
                    "0",
                ),
            ],
        ),
    ] {
        let topic = target.topic(&settings);
        check(&target, &topic, cases);
    }
}

/// The first stored batch of a topic at or after `offset`: its header.
fn stored(target: &Target, topic: &Topic, offset: i64) -> ringlog_wire::batch::BatchHeader {
    let mut client = target.client();
    let bytes = common::eventually("the batch can be fetched", || {
        client.fetch(topic, 0, offset).records.filter(|records| !records.is_empty())
    });
    let (batch, _) = Batch::parse(&bytes).expect("a whole batch");
    batch.verify_crc().expect("rewritten or not, its CRC is right");
    let mut codecs = ringlog_wire::batch::Codecs::new();
    batch.walk_opened(&mut codecs).expect("its records are right");
    *batch.header()
}

#[test]
fn rule_17_log_append_time() {
    let target = Target::start();
    let topic = target.topic(&[("message.timestamp.type", "LogAppendTime")]);
    let begun = now_ms();
    let once = idempotent(7_000_100, 0, 0, 2);
    let far = records_at(&[i64::MAX, 5, -1], |_| false);
    let marked = reheaded(&good(), |header| header.attributes |= 8);
    check(
        &target,
        &topic,
        vec![
            case("plain", good(), "0 +time"),
            case("lz4", compressed(&good(), Compression::Lz4, 0), "0 +time"),
            case("any timestamps", far, "0 +time"),
        ],
    );
    // The newest batch shall have a time of its own.
    std::thread::sleep(std::time::Duration::from_millis(5));
    check(
        &target,
        &topic,
        vec![
            case("once", once.clone(), "0 +time"),
            case("again", once.clone(), "0 @9 +time"),
            case("the broker's time from a client", marked, "32 [0, 1, 2]"),
        ],
    );
    for offset in [0, 3, 6] {
        let header = stored(&target, &topic, offset);
        assert_eq!(header.attributes & !7, 8, "{header:?}");
        assert!(header.max_timestamp >= begun && header.max_timestamp <= now_ms() + 1000);
        assert_eq!(header.base_offset, offset);
    }
    assert_eq!(stored(&target, &topic, 0).base_timestamp, 1000, "what the client sent is kept");
    // A duplicate is answered with the time of the original.
    let mut client = target.client();
    let original = stored(&target, &topic, 9).max_timestamp;
    std::thread::sleep(std::time::Duration::from_millis(20));
    let again = client.produce(&topic, 0, once);
    assert_eq!((again.base_offset, again.log_append_time_ms), (9, original));
    // By time: the batch's, for every record of it.
    let times = [0, 3, 6].map(|offset| stored(&target, &topic, offset).max_timestamp);
    let answer = client.offset_as(7, &topic, 0, times[0]);
    assert_eq!((answer.offset, answer.timestamp), (0, times[0]));
    let after = client.offset_as(7, &topic, 0, original + 60_000);
    assert_eq!((after.offset, after.timestamp), (-1, -1));
    let longest = client.offset_as(7, &topic, 0, list_offsets::MAX_TIMESTAMP);
    assert_eq!(longest.timestamp, original, "{longest:?}");
    assert_eq!(longest.offset, 9, "the first record of the newest batch");
}

#[test]
fn rule_17_create_time_repairs_the_largest_timestamp() {
    let target = Target::start();
    let topic = target.topic(&[]);
    let lying = |bytes: &[u8]| reheaded(bytes, |header| header.max_timestamp = 5);
    check(
        &target,
        &topic,
        vec![
            case("plain", lying(&good()), "0"),
            case("gzip", lying(&compressed(&good(), Compression::Gzip, 1)), "0"),
        ],
    );
    for offset in [0, 3] {
        assert_eq!(stored(&target, &topic, offset).max_timestamp, 1002);
    }
}

#[test]
fn rule_19_sizes() {
    let target = Target::start();
    let zeros = |bytes: usize| batch(&[&vec![0u8; bytes]]);
    let size = zeros(2000).len().to_string();
    let exact = target.topic(&[("max.message.bytes", &size)]);
    check(
        &target,
        &exact,
        vec![
            case("exact", zeros(2000), "0"),
            case("one more", zeros(2001), "10"),
            case("smaller when compressed", compressed(&zeros(5000), Compression::Gzip, 6), "0"),
            case(
                "wrong crc and too large",
                {
                    let mut b = zeros(2001);
                    b[17] ^= 1;
                    b
                },
                "10",
            ),
        ],
    );
    let opened =
        target.topic(&[("max.message.bytes", "2000"), ("compression.type", "uncompressed")]);
    check(
        &target,
        &opened,
        vec![
            case("too large when opened", compressed(&zeros(5000), Compression::Gzip, 6), "10"),
            case("small", compressed(&zeros(500), Compression::Gzip, 6), "0"),
        ],
    );
    let squeezed = target.topic(&[("max.message.bytes", "2000"), ("compression.type", "gzip")]);
    check(
        &target,
        &squeezed,
        vec![case("too large as sent", zeros(5000), "10"), case("small", zeros(500), "0")],
    );
    let segment = (1 << 20).to_string();
    let short = target.topic(&[("segment.bytes", &segment), ("max.message.bytes", "3000000")]);
    check(
        &target,
        &short,
        vec![
            case("larger than a segment", zeros(1_100_000), "18"),
            case("a segment would hold it", zeros(1_000_000), "0"),
            case("gzip", compressed(&zeros(1_100_000), Compression::Gzip, 6), "0"),
        ],
    );
}

/// A batch worth compressing, of an idempotent producer.
fn large() -> Vec<u8> {
    let now = now_ms();
    let text: Vec<Vec<u8>> = (0..200).map(|n| format!("value {n} of many").into_bytes()).collect();
    let mut builder = BatchBuilder::new(BatchOptions {
        producer_id: 7_000_200,
        producer_epoch: 3,
        base_sequence: 11,
        ..BatchOptions::default()
    });
    for (at, value) in text.iter().enumerate() {
        builder.push(now - 1000 + at as i64 % 7, Some(b"k"), Some(value), &[("h", None)]);
    }
    builder.finish()
}

#[test]
fn rule_20_recompression() {
    let target = Target::start();
    let plain = large();
    let (sent, _) = Batch::parse(&plain).unwrap();
    for (kind, codec) in [("uncompressed", 0), ("gzip", 1), ("snappy", 2), ("lz4", 3), ("zstd", 4)]
    {
        for from in [Compression::None].into_iter().chain(CODECS) {
            let topic = target.topic(&[("compression.type", kind)]);
            let bytes = compressed(&plain, from, 1);
            check(&target, &topic, vec![case(kind, bytes.clone(), "0")]);
            let header = stored(&target, &topic, 0);
            let want = *sent.header();
            assert_eq!(header.attributes, codec, "{kind} from {from:?}");
            let told = |header: &ringlog_wire::batch::BatchHeader| {
                (
                    header.last_offset_delta,
                    header.base_timestamp,
                    header.max_timestamp,
                    header.producer_id,
                    header.producer_epoch,
                    header.base_sequence,
                    header.records_count,
                )
            };
            assert_eq!(told(&header), told(&want), "{kind} from {from:?}");
            // The same codec is kept as it was sent.
            if from as i16 == codec {
                let (sent, _) = Batch::parse(&bytes).unwrap();
                assert_eq!(header.crc, sent.header().crc);
            }
        }
    }
    let topic =
        target.topic(&[("compression.type", "lz4"), ("message.timestamp.type", "LogAppendTime")]);
    check(&target, &topic, vec![case("both", plain.clone(), "0 +time")]);
    let header = stored(&target, &topic, 0);
    assert_eq!(header.attributes, 8 | 3);
    assert_eq!(header.base_timestamp, sent.header().base_timestamp);
    let topic = target.topic(&[
        ("compression.type", "gzip"),
        ("compression.gzip.level", "9"),
        ("cleanup.policy", "compact"),
    ]);
    check(&target, &topic, vec![case("no keys", good(), "87 [0, 1, 2]")]);
    // What is not idempotent has no sequence, before and after.
    let topic = target.topic(&[("compression.type", "zstd"), ("compression.zstd.level", "22")]);
    check(
        &target,
        &topic,
        vec![
            case("plain", good(), "0"),
            case(
                "bad count",
                reheaded(&good(), |h| (h.records_count, h.last_offset_delta) = (4, 3)),
                "87",
            ),
        ],
    );
    assert_eq!(stored(&target, &topic, 0).base_sequence, -1);
}

#[test]
fn rule_20_bombs() {
    let target = Target::start();
    let topic = target.topic(&[]);
    let gzip = |mebibytes: usize| {
        let plain = batch(&[&vec![0; mebibytes << 20]]);
        let (plain, _) = Batch::parse(&plain).unwrap();
        rebodied(&batch(&[b"one"]), Compression::Gzip, &gzipped(plain.body()))
    };
    check(
        &target,
        &topic,
        vec![
            case("gzip of 64 MiB", gzip(64), "0"),
            case("gzip of 101 MiB", gzip(101), "10").but_kafka_says("0"),
            case("a good one", good(), "0"),
        ],
    );
}

#[test]
fn rule_21_acks() {
    let target = Target::start();
    let topic = target.topic(&[]);
    let mut client = target.client();
    let asked = |client: &mut common::Client, acks, topic: &Topic| {
        client.produce_as(9, acks, topic, 0, good()).error_code.code()
    };
    for acks in [2, -2, i16::MAX] {
        assert_eq!(asked(&mut client, acks, &topic), 21, "acks {acks}");
    }
    assert_eq!(asked(&mut client, 1, &topic), 0);
    let strict = target.topic(&[("min.insync.replicas", "2")]);
    assert_eq!(asked(&mut client, -1, &strict), 19);
    assert_eq!(asked(&mut client, 1, &strict), 0);
    // acks = 0 has no answer; an error ends the connection.
    client.send(&produce::API, 9, &produce_request(0, &topic, 0, good()));
    client.send(&produce::API, 9, &produce_request(0, &topic, 0, vec![1]));
    assert!(client.is_closed(), "rule 11");
}

fn numbered(producer: i64, epoch: i16, sequence: i32, count: usize, codec: Compression) -> Vec<u8> {
    compressed(&idempotent(producer, epoch, sequence, count), codec, 1)
}

#[test]
fn rules_25_to_27_sequences() {
    let target = Target::start();
    let topic = target.topic(&[]);
    let id = 7_000_300;
    let one = |epoch, sequence, count| numbered(id, epoch, sequence, count, Compression::None);
    let lz4 = |epoch, sequence, count| numbered(id, epoch, sequence, count, Compression::Lz4);
    let mut cases = vec![
        case("rule 26: any first sequence", one(0, 5, 2), "0"),
        case("next", lz4(0, 7, 1), "0"),
        case("again", lz4(0, 7, 1), "0 @2 +time"),
        case("again in other bytes", one(0, 7, 1), "0 @2 +time"),
        case("again, but longer", one(0, 7, 2), "45"),
        case("a gap", one(0, 9, 1), "45"),
        case("before all that is known", one(0, 0, 1), "45"),
        case("inside what is known", one(0, 6, 1), "45"),
    ];
    for sequence in 8..13 {
        cases.push(case("rule 25: five more", one(0, sequence, 1), "0"));
    }
    cases.extend([
        case("the oldest of five", one(0, 8, 1), "0 @3 +time"),
        case("older than five", one(0, 7, 1), "45"),
        case(
            "a bad batch with an old sequence",
            reheaded(&one(0, 8, 1), |h| h.max_timestamp = 1),
            "0 @3 +time",
        ),
        case("a new epoch not from 0", one(1, 13, 1), "45"),
        case("a new epoch", one(1, 0, 1), "0"),
        case("the old epoch", one(0, 13, 1), "47"),
        case("an epoch far ahead", one(100, 0, 1), "0"),
        case("the last epoch", one(i16::MAX, 0, 1), "0"),
    ]);
    check(&target, &topic, cases);
    let id = 7_000_301;
    let one = |sequence, count| numbered(id, 0, sequence, count, Compression::None);
    check(
        &target,
        &topic,
        vec![
            case("rule 27: near the end", one(i32::MAX - 1, 1), "0"),
            case("past the end inside a batch", one(i32::MAX, 3), "0"),
            case("again", one(i32::MAX, 3), "0 @12 +time"),
            case("after it", one(2, 1), "0"),
            case("negative", one(-2, 1), "87"),
        ],
    );
    let id = 7_000_302;
    let one = |sequence, count| numbered(id, 0, sequence, count, Compression::None);
    check(
        &target,
        &topic,
        vec![
            case("the last", one(i32::MAX, 1), "0"),
            case("0 follows", one(0, 1), "0"),
            case("again", one(i32::MAX, 1), "0 @16 +time"),
        ],
    );
}
