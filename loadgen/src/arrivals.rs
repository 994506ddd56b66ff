//! How long messages take from their producer to each consumer, when both run here.
//!
//! Nothing is written into the messages: an acknowledgement tells the offset of a batch, and a
//! consumer that reads a batch at that offset has read it. Either may come first. So it works with
//! prebuilt and with compressed batches, and costs the consumers nothing.
//!
//! Invariant: memory is bounded. Batches of other producers, which are read and never acknowledged
//! here, and those that a consumer is very late for, are forgotten, the oldest first.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::ack_log::Acknowledged;
use crate::meter::{Intended, Meter};

/// Batches of one partition that are remembered on each side.
pub const BATCHES_MAX: usize = 1 << 16;

/// Batches that are under way from a producer to the consumers.
#[derive(Debug)]
pub struct Arrivals {
    consumers: usize,
    partitions: Vec<Places>,
    /// Each message counts once for each consumer.
    pub meter: Meter,
}

#[derive(Debug, Default)]
struct Places {
    /// Acknowledged: when it was meant to be sent, and how many consumers are to read it.
    sent: BTreeMap<i64, (Intended, usize)>,
    /// Read before it was acknowledged.
    early: BTreeMap<i64, Vec<Read>>,
}

/// A batch that a consumer has read.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// When.
    pub at: Instant,
    /// How many messages it has.
    pub messages: u64,
    /// How many bytes.
    pub bytes: u64,
}

impl Arrivals {
    /// Every batch is read by so many consumers.
    pub fn new(consumers: usize) -> Arrivals {
        Arrivals { consumers, partitions: Vec::new(), meter: Meter::default() }
    }

    fn places(&mut self, partition: i32) -> Option<&mut Places> {
        let place = usize::try_from(partition).ok()?;
        if self.partitions.len() <= place {
            self.partitions.resize_with(place + 1, Places::default);
        }
        self.partitions.get_mut(place)
    }

    /// The broker says where a batch is.
    pub fn acknowledged(&mut self, batch: &Acknowledged, intended: &Intended) {
        // A duplicate may be acknowledged without its place.
        if batch.base_offset < 0 || self.consumers == 0 {
            return;
        }
        let consumers = self.consumers;
        let Some(places) = self.places(batch.partition) else { return };
        let early = places.early.remove(&batch.base_offset).unwrap_or_default();
        if early.len() < consumers {
            places.sent.insert(batch.base_offset, (*intended, consumers - early.len()));
            forget(&mut places.sent);
        }
        for read in early {
            self.meter.arrived(read.at, intended, read.messages, read.bytes);
        }
    }

    /// A consumer has read a batch.
    pub fn read(&mut self, partition: i32, base_offset: i64, read: Read) {
        let Some(places) = self.places(partition) else { return };
        let Some((intended, left)) = places.sent.get_mut(&base_offset) else {
            places.early.entry(base_offset).or_default().push(read);
            forget(&mut places.early);
            return;
        };
        let intended = *intended;
        *left -= 1;
        if *left == 0 {
            places.sent.remove(&base_offset);
        }
        self.meter.arrived(read.at, &intended, read.messages, read.bytes);
    }
}

fn forget<T>(batches: &mut BTreeMap<i64, T>) {
    if batches.len() > BATCHES_MAX {
        batches.pop_first();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn batch(base_offset: i64) -> Acknowledged {
        Acknowledged { producer: 1, partition: 3, first: 0, last: 9, base_offset }
    }

    #[test]
    fn each_consumer_counts_from_the_intended_time_whatever_comes_first() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let read = |at| Read { at: after(at), messages: 10, bytes: 100 };
        let mut arrivals = Arrivals::new(2);
        arrivals.meter.begin(start);
        arrivals.read(3, 70, read(5));
        arrivals.acknowledged(&batch(70), &Intended::at(after(1)));
        arrivals.read(3, 70, read(9));
        // Of another producer, and of another partition.
        arrivals.read(3, 80, read(9));
        arrivals.read(4, 70, read(9));
        arrivals.meter.end(after(10), 0);
        let latency = arrivals.meter.latency().unwrap();
        assert_eq!((latency.count, arrivals.meter.measured.messages), (20, 20));
        assert!((latency.max_us - 8_000.0).abs() < 10.0, "{latency:?}");
        assert!((latency.p50_us - 4_000.0).abs() < 10.0, "{latency:?}");
        assert!(arrivals.partitions[3].sent.is_empty());
        assert_eq!(arrivals.partitions[3].early.len(), 1);
    }

    #[test]
    fn what_is_never_matched_is_forgotten() {
        let mut arrivals = Arrivals::new(1);
        let now = Instant::now();
        for offset in 0..BATCHES_MAX as i64 + 10 {
            arrivals.acknowledged(&batch(offset), &Intended::at(now));
            arrivals.read(5, offset, Read { at: now, messages: 1, bytes: 1 });
        }
        assert_eq!(arrivals.partitions[3].sent.len(), BATCHES_MAX);
        assert_eq!(arrivals.partitions[5].early.len(), BATCHES_MAX);
        assert_eq!(arrivals.partitions[5].early.first_key_value().unwrap().0, &10);
    }
}
