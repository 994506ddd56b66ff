//! Makes record batches: what prebuilt requests are made of, and what fresh ones hold.
//!
//! Values differ from message to message. Without compression they are random bytes; with it they
//! are words, which every codec makes smaller, as it does with text.

use std::time::Instant;

use ringlog_wire::batch::{Batch, BatchBuilder, BatchOptions, Codecs, Compression, HEADER_BYTES};

use crate::keys::{Keys, Random, Sampler};
use crate::meter::{Intended, WallClock};
use crate::payload::{self, Stamp};

/// Values begin anywhere in this many bytes of material, so that they repeat rarely.
const MATERIAL_BYTES: usize = 64 * 1024;
/// What a record has beside its key and its value, at most, or rarely more.
const RECORD_OVERHEAD_BYTES: usize = 16;
/// What Kafka's producers use where the codec has levels: gzip -1 is its 6, zstd 3.
const GZIP_LEVEL: i32 = 6;
const ZSTD_LEVEL: i32 = 3;

/// What all messages of a run have in common.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// Bytes of each value.
    pub message_bytes: usize,
    /// How keys are drawn.
    pub keys: Keys,
    /// How batches are compressed.
    pub compression: Compression,
    /// Tells the messages' times.
    pub clock: WallClock,
}

/// One batch to make.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// How many messages.
    pub messages: u64,
    /// When they were meant to be sent.
    pub intended: Intended,
    /// Producer id, epoch and the first sequence, of an idempotent producer.
    pub producer: Option<(i64, i16, i32)>,
    /// Whether it is part of a transaction.
    pub transactional: bool,
    /// The stamp of the first message, when messages carry stamps; the sequence counts up, and the
    /// time is each message's own.
    pub stamp: Option<Stamp>,
}

impl Order {
    /// Messages of no producer, without stamps.
    pub fn plain(messages: u64, at: Instant) -> Order {
        let intended = Intended::at(at);
        Order { messages, intended, producer: None, transactional: false, stamp: None }
    }
}

/// Makes batches.
pub struct Maker {
    recipe: Recipe,
    random: Random,
    sampler: Sampler,
    material: Vec<u8>,
    value: Vec<u8>,
    codecs: Codecs,
}

impl std::fmt::Debug for Maker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Maker").field("recipe", &self.recipe).finish_non_exhaustive()
    }
}

impl Maker {
    /// Makes by this recipe.
    pub fn new(recipe: Recipe) -> Maker {
        let bytes = MATERIAL_BYTES + recipe.message_bytes;
        let material = match recipe.compression {
            Compression::None => payload::fill(bytes),
            _ => payload::words(bytes),
        };
        Maker {
            recipe,
            random: Random::default(),
            sampler: Sampler::new(recipe.keys),
            material,
            value: Vec::new(),
            codecs: Codecs::new(),
        }
    }

    /// One whole batch.
    pub fn batch(&mut self, order: &Order) -> Vec<u8> {
        let mut options = BatchOptions { transactional: order.transactional, ..Default::default() };
        if let Some((id, epoch, sequence)) = order.producer {
            options.producer_id = id;
            options.producer_epoch = epoch;
            options.base_sequence = sequence;
        }
        let bytes = self.recipe.message_bytes;
        let record_bytes = bytes + self.recipe.keys.bytes() + RECORD_OVERHEAD_BYTES;
        let room = HEADER_BYTES + record_bytes * order.messages as usize;
        let mut builder = BatchBuilder::with_capacity(options, room);
        let mut nanos = self.recipe.clock.nanos(order.intended.first);
        for index in 0..order.messages {
            if order.intended.count > 1 {
                nanos = self.recipe.clock.nanos(order.intended.of(index as u32));
            }
            let start = self.random.below(MATERIAL_BYTES as u64) as usize;
            let mut value = &self.material[start..start + bytes];
            if let Some(first) = order.stamp {
                let sequence = first.sequence + index;
                self.value.clear();
                self.value.extend_from_slice(value);
                let stamp = Stamp { sequence, timestamp_ns: nanos, ..first };
                payload::write(&mut self.value, &stamp);
                value = &self.value;
            }
            let key = self.sampler.draw(&mut self.random);
            builder.push((nanos / 1_000_000) as i64, key, Some(value), &[]);
        }
        self.compress(builder.finish())
    }

    fn compress(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        let to = self.recipe.compression;
        if to == Compression::None {
            return bytes;
        }
        let (batch, _) = Batch::parse(&bytes).expect("the batch was just built");
        let level = if to == Compression::Gzip { GZIP_LEVEL } else { ZSTD_LEVEL };
        let (_, header) = batch
            .recompress(&mut self.codecs, to, level, usize::MAX)
            .expect("what was just built can be compressed");
        [&header.encode()[..], self.codecs.body()].concat()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::consume::reader::opened;

    fn maker(keys: &str, compression: Compression) -> Maker {
        let clock = WallClock::start();
        let keys = keys.parse().unwrap();
        Maker::new(Recipe { message_bytes: 100, keys, compression, clock })
    }

    #[test]
    fn every_codec_gives_batches_that_open_to_what_was_put_in() {
        use Compression::{Gzip, Lz4, None, Snappy, Zstd};
        let stamp = Stamp { producer: 9, sequence: 5, timestamp_ns: 0, partition: 3 };
        for compression in [None, Gzip, Snappy, Lz4, Zstd] {
            let mut maker = maker("uniform:100", compression);
            let start = Instant::now();
            let intended = Intended { first: start, step: Duration::from_millis(2), count: 200 };
            let order = Order {
                intended,
                producer: Some((7, 1, 40)),
                stamp: Some(stamp),
                transactional: true,
                ..Order::plain(200, start)
            };
            let bytes = maker.batch(&order);
            let (batch, rest) = Batch::parse(&bytes).unwrap();
            assert!(rest.is_empty());
            batch.verify_crc().unwrap();
            let header = batch.header();
            assert_eq!(header.compression(), Ok(compression));
            assert_eq!((header.producer_id, header.base_sequence), (7, 40));
            assert!(header.is_transactional());
            assert_eq!(header.max_timestamp - header.base_timestamp, 398);
            let mut codecs = Codecs::new();
            let summary = batch.walk_opened(&mut codecs).unwrap();
            assert_eq!((summary.records, summary.null_keys), (200, 0));
            let plain = opened(&batch, &mut codecs).unwrap();
            for (index, record) in plain.records().enumerate() {
                let record = record.unwrap();
                assert_eq!(record.key.unwrap().len(), 2);
                let read = payload::read(record.value.unwrap()).unwrap();
                let timestamp_ns = maker.recipe.clock.nanos(intended.of(index as u32));
                assert_eq!(read, Stamp { sequence: 5 + index as u64, timestamp_ns, ..stamp });
            }
        }
    }

    #[test]
    fn words_are_made_smaller_by_every_codec() {
        use Compression::{Gzip, Lz4, Snappy, Zstd};
        for compression in [Gzip, Snappy, Lz4, Zstd] {
            let bytes = maker("none", compression).batch(&Order::plain(640, Instant::now()));
            let ratio = 640.0 * 107.0 / bytes.len() as f64;
            assert!((1.3..8.0).contains(&ratio), "{compression:?}: {ratio}");
        }
    }

    #[test]
    fn values_and_keys_differ() {
        let bytes =
            maker("uniform:1000", Compression::None).batch(&Order::plain(100, Instant::now()));
        let (batch, _) = Batch::parse(&bytes).unwrap();
        let records: Vec<_> = batch.records().map(Result::unwrap).collect();
        let values: BTreeSet<_> = records.iter().map(|record| record.value).collect();
        let keys: BTreeSet<_> = records.iter().map(|record| record.key).collect();
        assert!(values.len() > 90 && keys.len() > 80, "{} {}", values.len(), keys.len());
    }
}
