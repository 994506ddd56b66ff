//! Where a partition lives inside a node, and what the node's shards are called outside.
//!
//! The metadata log knows nodes only: a replica is a `node.id`, so that the log stays Kafka's and
//! the number of shards may change between two starts. Inside the node, a partition's home is
//! computed, never stored.
//!
//! Invariants:
//! - [`shard_of`] depends on its arguments alone, so every shard computes the same home without
//!   asking.
//! - Consecutive partitions of a topic live on consecutive shards: a topic of `shards × k`
//!   partitions puts exactly `k` on each. Where it starts is a hash of the topic's id, so topics of
//!   one partition spread too.
//! - With `advertise = shard`, shard `i` of node `n` is called `n × 1024 + i`; node and shard can
//!   be read back from it.

use ringlog_wire::Uuid;

/// Most shards in one node: the room between two nodes' advertised ids.
pub const SHARDS_MAX: usize = 1024;
/// Largest `node.id` for which every shard's advertised id is an `i32`.
pub const NODE_ID_MAX: i32 = i32::MAX / SHARDS_MAX as i32;

const _: () =
    assert!(NODE_ID_MAX as i64 * SHARDS_MAX as i64 + SHARDS_MAX as i64 - 1 <= i32::MAX as i64);
const _: () = assert!(SHARDS_MAX.is_power_of_two());

/// The `node.id` is negative, or too large for its shards to have ids of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeIdOutOfRange {
    /// What was configured.
    pub node_id: i32,
}

impl std::fmt::Display for NodeIdOutOfRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node.id must be between 0 and {NODE_ID_MAX}, found {}", self.node_id)
    }
}

impl std::error::Error for NodeIdOutOfRange {}

/// Ok for every `node.id` whose shards can be advertised.
pub fn check_node_id(node_id: i32) -> Result<(), NodeIdOutOfRange> {
    if (0..=NODE_ID_MAX).contains(&node_id) { Ok(()) } else { Err(NodeIdOutOfRange { node_id }) }
}

/// The shard that owns a partition, of `shards` in this node.
///
/// # Panics
/// On zero shards or a negative partition: both are checked where they enter.
pub fn shard_of(topic_id: Uuid, partition: i32, shards: usize) -> usize {
    assert!((1..=SHARDS_MAX).contains(&shards), "a node has between 1 and 1024 shards");
    assert!(partition >= 0, "a partition's number is not negative");
    (first_shard(topic_id, shards) + partition as usize % shards) % shards
}

/// Where partition 0 of a topic lives.
fn first_shard(topic_id: Uuid, shards: usize) -> usize {
    let bits = u128::from_be_bytes(topic_id.0);
    let mixed = mix((bits >> 64) as u64 ^ mix(bits as u64));
    // The high half of a multiplication spreads evenly over any number of shards, where a remainder
    // of the low bits would follow the id's own structure.
    ((u128::from(mixed) * shards as u128) >> 64) as usize
}

/// A bijection on 64 bits whose every output bit depends on every input bit (the finaliser of
/// SplitMix64).
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The id under which shard `shard` of node `node_id` is a broker of its own (`advertise = shard`).
///
/// # Panics
/// When either is out of its range: the configuration checked them ([`check_node_id`]).
pub fn shard_broker_id(node_id: i32, shard: usize) -> i32 {
    assert!(check_node_id(node_id).is_ok(), "node.id was checked at start");
    assert!(shard < SHARDS_MAX, "a node has at most 1024 shards");
    node_id * SHARDS_MAX as i32 + shard as i32
}

/// Node and shard behind an advertised id; `None` for a negative one. The shard may be one the node
/// does not have.
pub fn node_and_shard(broker_id: i32) -> Option<(i32, usize)> {
    if broker_id < 0 {
        return None;
    }
    Some((broker_id / SHARDS_MAX as i32, (broker_id % SHARDS_MAX as i32) as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_go_round_the_shards() {
        for shards in [1usize, 2, 3, 7, 16] {
            let id = Uuid(7u128.to_be_bytes());
            let first = shard_of(id, 0, shards);
            for partition in 0..64 {
                assert_eq!(shard_of(id, partition, shards), (first + partition as usize) % shards);
            }
        }
        assert!(shard_of(Uuid::ZERO, i32::MAX, 1024) < 1024);
    }

    #[test]
    fn topics_of_one_partition_spread() {
        for shards in [2usize, 3, 8, 12] {
            let mut homes = vec![0usize; shards];
            for id in 0..12_000u128 {
                homes[shard_of(Uuid(id.to_be_bytes()), 0, shards)] += 1;
            }
            let fair = 12_000 / shards;
            for home in homes {
                assert!(home.abs_diff(fair) < fair / 6, "{home} of {fair} over {shards} shards");
            }
        }
    }

    #[test]
    fn advertised_ids_are_read_back() {
        for (node, shard, id) in
            [(0, 0, 0), (1, 0, 1024), (1, 3, 1027), (NODE_ID_MAX, 1023, i32::MAX)]
        {
            assert_eq!(shard_broker_id(node, shard), id);
            assert_eq!(node_and_shard(id), Some((node, shard)));
        }
        assert_eq!(node_and_shard(-1), None);
    }

    #[test]
    fn node_ids_are_bounded() {
        assert_eq!(check_node_id(NODE_ID_MAX), Ok(()));
        for node_id in [-1, NODE_ID_MAX + 1, i32::MIN] {
            assert_eq!(check_node_id(node_id), Err(NodeIdOutOfRange { node_id }));
        }
    }
}
