//! The hash that tells whether a group's topics have changed (KIP-1101), as Kafka computes it: the
//! log may go from one broker to the other, and a group is not to be rebalanced for that.
//!
//! ```text
//! topic  XXH3-64 of | 0 u8 | id, two longs | name | partitions i32 |, then for each partition
//!                   | index i32 |, then for each of its racks, sorted | length i32 | rack |
//! group  XXH3-64 of each topic's hash, by the topic's name; 0 when there is no topic
//! ```
//!
//! Numbers are little-endian, the id's two longs too. A name is its UTF-16 units, little-endian,
//! and then their number as an i32. (The id is read as two big-endian longs first.)

use ringlog_wire::Uuid;
use twox_hash::XxHash3_64;

/// A topic, as far as a change of it concerns a group.
pub(super) struct Topic<'a> {
    pub id: Uuid,
    pub name: &'a str,
    pub partitions: i32,
    /// The rack of the broker that has all partitions.
    pub rack: Option<&'a str>,
}

impl Topic<'_> {
    fn hash(&self) -> u64 {
        let mut bytes = vec![0u8];
        let (most, least) = self.id.as_bytes().split_at(8);
        bytes.extend(most.iter().rev());
        bytes.extend(least.iter().rev());
        put_string(&mut bytes, self.name);
        bytes.extend(self.partitions.to_le_bytes());
        for partition in 0..self.partitions {
            bytes.extend(partition.to_le_bytes());
            if let Some(rack) = self.rack {
                let units = rack.encode_utf16().count() as i32;
                bytes.extend(units.to_le_bytes());
                put_string(&mut bytes, rack);
            }
        }
        XxHash3_64::oneshot(&bytes)
    }
}

fn put_string(bytes: &mut Vec<u8>, text: &str) {
    let before = bytes.len();
    bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    let units = (bytes.len() - before) / 2;
    bytes.extend((units as i32).to_le_bytes());
}

/// The hash of a group's topics, which come in the order of their names.
pub(super) fn of_group<'a>(topics: impl Iterator<Item = Topic<'a>>) -> i64 {
    let mut bytes = Vec::new();
    for topic in topics {
        bytes.extend(topic.hash().to_le_bytes());
    }
    if bytes.is_empty() { 0 } else { XxHash3_64::oneshot(&bytes) as i64 }
}
