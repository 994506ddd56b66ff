//! Prebuilt Produce requests: everything but the correlation id stands before the run begins.
//!
//! ```text
//! Kafka: | 0 size i32 | 4 key i16 | 6 version i16 | 8 correlation id i32 | 12 client id, body ...
//! bare:  | 0 size i32 | 4 correlation id i32 | 8 batches ...
//! ```
//!
//! A frame is sent as two slices: its head, of which every request in flight has its own, and the
//! rest, which requests share unless they are stamped. Stamped batches are copies of a pattern, in
//! which the place of each value is computed once.

use std::ops::Range;

use ringlog_wire::api::produce::{
    API, PartitionProduceData, ProduceRequest, RequestView, TopicProduceData,
};
use ringlog_wire::batch::{Batch, BatchHeader, HEADER_BYTES, Record};
use ringlog_wire::header::RequestHeader;
use ringlog_wire::message::Message;
use ringlog_wire::{Uuid, client, frame};

use crate::control::CLIENT_ID;
use crate::payload::{self, Stamp};

/// The bytes of the longest head.
pub const HEAD_BYTES_MAX: usize = 12;

const BARE_HEAD_BYTES: usize = frame::SIZE_BYTES + size_of::<i32>();
const KAFKA_HEAD_BYTES: usize = BARE_HEAD_BYTES + 2 * size_of::<i16>();
/// What a request has beside its batches, about: more is made room for when it is needed.
const FRAME_OVERHEAD_BYTES: usize = 1024;
const CRC: Range<usize> = 17..21;
const _: () = assert!(KAFKA_HEAD_BYTES == HEAD_BYTES_MAX);

/// How requests are framed.
#[derive(Clone, Debug)]
pub enum Framing {
    /// Produce requests.
    Kafka {
        /// The negotiated version.
        version: i16,
        /// As the request spells it.
        acks: i16,
        /// How long the broker may take to replicate.
        timeout_ms: i32,
        /// The topic's name.
        topic: String,
        /// The topic's id.
        topic_id: Uuid,
        /// A transactional id, of which each connection puts its own in the place.
        transactional_id: Option<String>,
    },
    /// Batches back to back, for the ceiling server.
    Bare,
}

/// One partition's batch in a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The partition.
    pub partition: i32,
    /// Where its batch lies in the frame.
    pub range: Range<usize>,
    /// The pattern that its batch is a copy of.
    pub pattern: usize,
}

/// A whole request.
#[derive(Clone, Debug)]
pub struct Frame {
    /// All its bytes, size and head included.
    pub bytes: Vec<u8>,
    /// Its batches.
    pub parts: Vec<Part>,
    /// Where the transactional id stands, if there is one.
    pub transactional_id: Option<Range<usize>>,
}

impl Framing {
    /// How much of a frame is its head.
    pub fn head_bytes(&self) -> usize {
        match self {
            Framing::Kafka { .. } => KAFKA_HEAD_BYTES,
            Framing::Bare => BARE_HEAD_BYTES,
        }
    }

    /// Builds a request of one batch for each partition.
    pub fn frame(&self, batches: Vec<(i32, Vec<u8>)>) -> Frame {
        let Framing::Kafka { version, acks, timeout_ms, topic, topic_id, transactional_id } = self
        else {
            return bare_frame(&batches);
        };
        let batches_bytes: usize = batches.iter().map(|(_, batch)| batch.len()).sum();
        let data = |(index, batch)| PartitionProduceData { index, records: Some(batch) };
        let request = ProduceRequest {
            transactional_id: transactional_id.clone(),
            acks: *acks,
            timeout_ms: *timeout_ms,
            topic_data: vec![TopicProduceData {
                name: topic.clone(),
                topic_id: *topic_id,
                partition_data: batches.into_iter().map(data).collect(),
            }],
        };
        let mut bytes = Vec::with_capacity(batches_bytes + FRAME_OVERHEAD_BYTES);
        client::encode_request_into(&API, *version, 0, Some(CLIENT_ID), &mut bytes, |out| {
            request.write(*version, out);
        });
        kafka_frame(*version, bytes)
    }
}

/// Finds the batches of a frame that was just built, by reading it back.
fn kafka_frame(version: i16, bytes: Vec<u8>) -> Frame {
    let (_, body) = RequestHeader::parse(&API, &bytes[frame::SIZE_BYTES..])
        .expect("the frame was just encoded");
    let view = RequestView::parse(version, body).expect("the frame was just encoded");
    let part = |partition: ringlog_wire::api::produce::PartitionView<'_>| {
        let records = partition.records.expect("every partition was given a batch");
        Part { partition: partition.index, range: place(&bytes, records), pattern: 0 }
    };
    let parts = view.topics().flat_map(|topic| topic.partitions()).map(part).collect();
    let transactional_id = view.transactional_id().map(|id| place(&bytes, id.as_bytes()));
    Frame { parts, transactional_id, bytes }
}

fn bare_frame(batches: &[(i32, Vec<u8>)]) -> Frame {
    let batches_bytes: usize = batches.iter().map(|(_, batch)| batch.len()).sum();
    let mut bytes = Vec::with_capacity(batches_bytes + BARE_HEAD_BYTES);
    let start = frame::begin(&mut bytes);
    bytes.extend_from_slice(&[0; size_of::<i32>()]);
    let mut parts = Vec::new();
    for (partition, batch) in batches {
        let range = bytes.len()..bytes.len() + batch.len();
        parts.push(Part { partition: *partition, range, pattern: 0 });
        bytes.extend_from_slice(batch);
    }
    frame::end(&mut bytes, start, 0);
    Frame { bytes, parts, transactional_id: None }
}

/// Where `part` lies in `whole`, of which it is a slice.
fn place(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    assert!(start + part.len() <= whole.len(), "the part lies in the whole");
    start..start + part.len()
}

/// What is written into a batch before it is sent.
#[derive(Clone, Copy, Debug)]
pub struct BatchStamp {
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// Producer id, epoch and the first sequence, of an idempotent producer.
    pub producer: Option<(i64, i16, i32)>,
    /// The stamp of the first message; those that follow count its sequence up.
    pub messages: Option<Stamp>,
}

/// One prebuilt batch and where its values lie.
#[derive(Clone, Debug)]
pub struct Pattern {
    bytes: Vec<u8>,
    values: Vec<Range<usize>>,
}

impl Pattern {
    /// A batch that was just built. The values of a compressed one cannot be written over.
    pub fn new(bytes: Vec<u8>) -> Pattern {
        let (batch, _) = Batch::parse(&bytes).expect("the batch was just built");
        let value =
            |record: Record<'_>| place(&bytes, record.value.expect("every record has a value"));
        let values = batch.records().map_while(Result::ok).map(value).collect();
        Pattern { bytes, values }
    }

    /// The whole batch.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes the stamp into a copy of the batch, and its CRC anew.
    pub fn stamp(&self, batch: &mut [u8], stamp: &BatchStamp) {
        assert!(batch.len() == self.bytes.len(), "every batch is a copy of the pattern");
        if let Some(mut message) = stamp.messages {
            assert!(!self.values.is_empty(), "compressed batches with stamps are made anew");
            for value in &self.values {
                payload::write(&mut batch[value.clone()], &message);
                message.sequence += 1;
            }
        }
        let mut header = BatchHeader::parse(&self.bytes).expect("the batch was just built");
        header.base_timestamp = stamp.timestamp_ms;
        header.max_timestamp = stamp.timestamp_ms;
        if let Some((id, epoch, sequence)) = stamp.producer {
            header.producer_id = id;
            header.producer_epoch = epoch;
            header.base_sequence = sequence;
        }
        batch[..HEADER_BYTES].copy_from_slice(&header.encode());
        let crc = crc32c::crc32c(&batch[CRC.end..]);
        batch[CRC].copy_from_slice(&crc.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ringlog_wire::batch::Compression;

    use super::*;
    use crate::keys::Keys;
    use crate::meter::WallClock;
    use crate::produce::records::{Maker, Order, Recipe};

    const ID: &str = "transaction-01";

    fn kafka(version: i16) -> Framing {
        Framing::Kafka {
            version,
            acks: -1,
            timeout_ms: 1,
            topic: "t".to_owned(),
            topic_id: Uuid([7; 16]),
            transactional_id: Some(ID.to_owned()),
        }
    }

    fn batch(messages: u64, message_bytes: usize) -> Vec<u8> {
        let clock = WallClock::start();
        let recipe =
            Recipe { message_bytes, keys: Keys::None, compression: Compression::None, clock };
        Maker::new(recipe).batch(&Order::plain(messages, Instant::now()))
    }

    #[test]
    fn frames_hold_the_batches_where_they_say() {
        let (first, second) = (batch(3, 50), batch(2, 500));
        for framing in API.versions().map(kafka).chain([Framing::Bare]) {
            let frame = framing.frame(vec![(4, first.clone()), (6, second.clone())]);
            let size = frame::frame_size(&frame.bytes, u32::MAX / 2).unwrap().unwrap();
            assert_eq!(size, frame.bytes.len());
            let partitions: Vec<i32> = frame.parts.iter().map(|part| part.partition).collect();
            assert_eq!(partitions, [4, 6]);
            for (part, batch) in frame.parts.iter().zip([&first, &second]) {
                assert!(part.range.start >= framing.head_bytes());
                assert_eq!(&frame.bytes[part.range.clone()], batch);
            }
            let id = frame.transactional_id.map(|range| frame.bytes[range].to_vec());
            let expected = matches!(framing, Framing::Kafka { .. }).then(|| ID.into());
            assert_eq!(id, expected);
        }
    }

    #[test]
    fn a_stamped_batch_is_whole_and_says_what_it_was_given() {
        let pattern = Pattern::new(batch(5, 64));
        let mut bytes = pattern.bytes().to_vec();
        let first = Stamp { producer: 1, sequence: 10, timestamp_ns: 3, partition: 2 };
        let stamp =
            BatchStamp { timestamp_ms: 2_000, producer: Some((77, 1, 10)), messages: Some(first) };
        pattern.stamp(&mut bytes, &stamp);
        let (batch, rest) = Batch::parse(&bytes).unwrap();
        assert!(rest.is_empty());
        batch.verify_crc().unwrap();
        batch.walk().unwrap();
        let header = batch.header();
        assert_eq!((header.base_timestamp, header.max_timestamp), (2_000, 2_000));
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (77, 1, 10));
        for (place, record) in batch.records().enumerate() {
            let read = payload::read(record.unwrap().value.unwrap()).unwrap();
            assert_eq!(read, Stamp { sequence: 10 + place as u64, ..first });
        }
    }
}
