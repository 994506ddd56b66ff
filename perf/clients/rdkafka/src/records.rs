//! Checks of what is sent and read.

use std::collections::BTreeMap;

use rdkafka::consumer::Consumer;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::Producer;
use rdkafka::{Offset, TopicPartitionList};

use crate::broker::{Broker, Record, WAIT_MAX, poll, poll_end, send};
use crate::{Answer, Check, Failure, expect};

pub const CHECKS: &[Check] = &[
    Check { name: "codec/none", run: |broker| codec(broker, "none") },
    Check { name: "codec/gzip", run: |broker| codec(broker, "gzip") },
    Check { name: "codec/snappy", run: |broker| codec(broker, "snappy") },
    Check { name: "codec/lz4", run: |broker| codec(broker, "lz4") },
    Check { name: "codec/zstd", run: |broker| codec(broker, "zstd") },
    Check { name: "acks/0", run: |broker| acks(broker, "0") },
    Check { name: "acks/1", run: |broker| acks(broker, "1") },
    Check { name: "acks/all", run: |broker| acks(broker, "all") },
    Check { name: "idempotence", run: idempotence },
    Check { name: "headers", run: headers },
    Check { name: "nulls", run: nulls },
    Check { name: "sizes", run: sizes },
    Check { name: "partitions/1", run: |broker| partitions(broker, 1) },
    Check { name: "partitions/64", run: |broker| partitions(broker, 64) },
    Check { name: "seek/offset", run: seek_offset },
    Check { name: "seek/timestamp", run: seek_timestamp },
    Check { name: "seek/ends", run: seek_ends },
];

/// The first of the timestamps that checks give; a topic with such keeps its records for ever.
pub const TIME_FIRST: i64 = 1_700_000_000_000;
const TIMED_RECORDS: usize = 100;
const TIMED_BATCH: usize = 10;

pub fn numbered(partitions: i32, count: usize) -> Vec<Record> {
    let record = |index: usize| Record {
        partition: (index % partitions as usize) as i32,
        key: Some(format!("key {index}").into_bytes()),
        value: Some(format!("record {index} ").repeat(12).into_bytes()),
        ..Record::default()
    };
    (0..count).map(record).collect()
}

/// Sends `count` records, record i to partition i % partitions, and compares all of them with what
/// it reads: contents and offsets.
fn round_trip(
    broker: &Broker,
    name: &str,
    partitions: i32,
    count: usize,
    settings: &[(&str, &str)],
) -> Answer {
    let topic = broker.topic(name, partitions, &[])?;
    let sent = numbered(partitions, count);
    broker.produce_all(&topic, &sent, settings)?;
    let mut next = BTreeMap::<i32, i64>::new();
    for message in broker.consume_all(&topic, partitions, count)? {
        let wanted = next.entry(message.partition()).or_default();
        let place = format!("partition {} offset {}", message.partition(), message.offset());
        if message.offset() != *wanted {
            return Err(format!("{place} where {wanted} was next").into());
        }
        let index = *wanted as usize * partitions as usize + message.partition() as usize;
        *wanted += 1;
        let original = &sent[index];
        if message.key() != original.key.as_deref() {
            return Err(format!("{place}: another key").into());
        }
        if message.payload() != original.value.as_deref() {
            return Err(format!("{place}: another value").into());
        }
    }
    Ok(format!("{count} records in {} partitions", next.len()))
}

fn codec(broker: &Broker, codec: &str) -> Answer {
    round_trip(broker, &format!("codec-{codec}"), 4, 1000, &[("compression.type", codec)])
}

fn acks(broker: &Broker, acks: &str) -> Answer {
    round_trip(broker, &format!("acks-{acks}"), 1, 100, &[("acks", acks)])
}

fn idempotence(broker: &Broker) -> Answer {
    let settings = [
        ("enable.idempotence", "true"),
        ("batch.num.messages", "10"),
        ("max.in.flight.requests.per.connection", "5"),
    ];
    round_trip(broker, "idempotence", 1, 400, &settings)
}

fn partitions(broker: &Broker, partitions: i32) -> Answer {
    round_trip(broker, &format!("partitions-{partitions}"), partitions, 640, &[])
}

fn shown(bytes: Option<&[u8]>) -> String {
    bytes.map_or("null".into(), |bytes| format!("'{}'", bytes.escape_ascii()))
}

fn headers(broker: &Broker) -> Answer {
    let topic = broker.topic("headers", 1, &[])?;
    let sent: [(&str, Option<&[u8]>); 7] = [
        ("plain", Some(b"value")),
        ("again", Some(b"first")),
        ("again", Some(b"second")),
        ("empty", Some(b"")),
        ("null", None),
        ("", Some(b"no key")),
        ("ключ", Some(&[0, 0xff, 0x80])),
    ];
    let mut headers = OwnedHeaders::new();
    for (key, value) in sent {
        headers = headers.insert(Header { key, value });
    }
    let mut records = numbered(1, 2);
    records[0].headers = Some(headers);
    broker.produce_all(&topic, &records, &[])?;
    let got = broker.consume_all(&topic, 1, 2)?;
    if got[1].headers().is_some_and(|headers| headers.count() > 0) {
        return Err("headers where none were sent".into());
    }
    let shown: Vec<String> = got[0].headers().map_or(Vec::new(), |headers| {
        headers.iter().map(|header| format!("{}={}", header.key, shown(header.value))).collect()
    });
    let wanted = "plain='value', again='first', again='second', empty='', null=null, \
                  ='no key', ключ='\\x00\\xff\\x80'";
    expect(shown.join(", "), wanted)
}

/// A key and a value.
type Pair = (Option<&'static [u8]>, Option<&'static [u8]>);

fn nulls(broker: &Broker) -> Answer {
    let topic = broker.topic("nulls", 1, &[])?;
    let pairs: [Pair; 6] = [
        (None, Some(b"value")),
        (Some(b"key"), None),
        (None, None),
        (Some(b""), Some(b"value")),
        (Some(b"key"), Some(b"")),
        (Some(b""), Some(b"")),
    ];
    let record = |(key, value): &Pair| Record {
        key: key.map(Vec::from),
        value: value.map(Vec::from),
        ..Record::default()
    };
    broker.produce_all(&topic, &pairs.iter().map(record).collect::<Vec<_>>(), &[])?;
    let got = broker.consume_all(&topic, 1, pairs.len())?;
    let pair = |message: &OwnedMessage| shown(message.key()) + ":" + &shown(message.payload());
    let answer: Vec<String> = got.iter().map(pair).collect();
    let wanted = "null:'value' 'key':null null:null '':'value' 'key':'' '':''";
    expect(answer.join(" "), wanted)
}

fn sizes(broker: &Broker) -> Answer {
    let settings = [("max.message.bytes", "4194304"), ("segment.bytes", "16777216")];
    let topic = broker.topic("sizes", 1, &settings)?;
    let mut records = Vec::new();
    for size in [1, 1 << 20, 1, 3 << 20, 1] {
        let value = (0..size).map(|at: usize| (at / 1000) as u8).collect();
        records.push(Record { value: Some(value), ..Record::default() });
    }
    broker.produce_all(&topic, &records, &[("message.max.bytes", "8388608")])?;
    let mut shown = Vec::new();
    for message in broker.consume_all(&topic, 1, records.len())? {
        if message.payload() != records[shown.len()].value.as_deref() {
            return Err(format!("record {} came back otherwise", shown.len()).into());
        }
        shown.push(message.payload().map_or(0, <[u8]>::len).to_string());
    }
    Ok(shown.join(" "))
}

/// Makes a topic with ten batches of ten records, one second apart.
pub fn timed(broker: &Broker, name: &str) -> Result<String, Failure> {
    let topic = broker.topic(name, 1, &[("retention.ms", "-1")])?;
    let (producer, _) = broker.producer(&[])?;
    let mut records = numbered(1, TIMED_RECORDS);
    for (index, record) in records.iter_mut().enumerate() {
        record.timestamp = Some(TIME_FIRST + index as i64 * 1000);
    }
    for batch in records.chunks(TIMED_BATCH) {
        for record in batch {
            send(&producer, &topic, record)?;
        }
        producer.flush(WAIT_MAX)?;
    }
    Ok(topic)
}

/// The offset of a message that says itself which it is.
fn offset_of(message: &OwnedMessage) -> Result<i64, Failure> {
    let key = format!("key {}", message.offset());
    if message.key() == Some(key.as_bytes()) {
        Ok(message.offset())
    } else {
        Err(format!("offset {} has {}", message.offset(), shown(message.key())).into())
    }
}

fn seek_offset(broker: &Broker) -> Answer {
    let topic = timed(broker, "seek-offset")?;
    let consumer = &broker.reader;
    broker.assign(&topic, &[(0, Offset::Beginning)])?;
    let mut shown = vec![offset_of(&poll(consumer, 1)?[0])?.to_string()];
    for offset in [99, 0, 1, 9, 55, 10] {
        consumer.seek(&topic, 0, Offset::Offset(offset), WAIT_MAX)?;
        shown.push(offset_of(&poll(consumer, 1)?[0])?.to_string());
    }
    consumer.unassign()?;
    expect(shown.join(" "), "0 99 0 1 9 55 10")
}

/// The offset of the first message at or after a time, as the broker says it.
pub fn offset_at(broker: &Broker, topic: &str, time: i64) -> Result<Offset, Failure> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_offset(topic, 0, Offset::Offset(time))?;
    let found = broker.reader.offsets_for_times(asked, WAIT_MAX)?;
    let element = found.find_partition(topic, 0).ok_or("no answer for the partition")?;
    element.error()?;
    Ok(element.offset())
}

fn seek_timestamp(broker: &Broker) -> Answer {
    let topic = timed(broker, "seek-timestamp")?;
    let mut shown = Vec::new();
    for after in [-1000, 0, 1, 1000, 9_999, 42_000, 42_001, 99_000] {
        let place = offset_at(broker, &topic, TIME_FIRST + after)?;
        let got = broker.consume(&topic, &[(0, place)], 1)?;
        shown.push(offset_of(&got[0])?.to_string());
    }
    let later = offset_at(broker, &topic, TIME_FIRST + 99_001)?;
    expect(format!("{}, later: {later:?}", shown.join(" ")), "0 0 1 1 10 42 43 99, later: End")
}

/// Starts at the beginning, a little before the end, and at the end, where only what is sent later
/// comes.
fn seek_ends(broker: &Broker) -> Answer {
    let topic = timed(broker, "seek-ends")?;
    let mut shown = Vec::new();
    for place in [Offset::Beginning, Offset::OffsetTail(3)] {
        shown.push(offset_of(&broker.consume(&topic, &[(0, place)], 1)?[0])?.to_string());
    }
    broker.assign(&topic, &[(0, Offset::End)])?;
    poll_end(&broker.reader)?;
    let key = Some(b"key 100".to_vec());
    broker.produce_all(&topic, &[Record { key, ..Record::default() }], &[])?;
    let late = poll(&broker.reader, 1)?;
    broker.reader.unassign()?;
    shown.push(offset_of(&late[0])?.to_string());
    expect(shown.join(" "), "0 97 100")
}
