//! What clients are told of who leads what: the translation between the metadata log, which knows
//! nodes, and the outside, which with `advertise = shard` sees every shard as a broker
//! (architecture §3).

use ringlog_wire::Uuid;
use ringlog_wire::api::leader::NodeEndpoint;

use super::Shell;
use crate::config::{Advertise, Config};
use crate::metadata::{PartitionImage, placement};
use crate::topics::Place;

/// The id under which clients know shard `shard`.
pub fn broker_of_shard(config: &Config, shard: usize) -> i32 {
    match config.advertise {
        Advertise::Node => config.node_id,
        Advertise::Shard => placement::shard_broker_id(config.node_id, shard),
    }
}

/// The name of the machine as a rack: shards of one machine share their fate.
pub fn rack(config: &Config) -> String {
    format!("node-{}", config.node_id)
}

/// Every broker that clients are told of.
pub fn brokers(config: &Config) -> Vec<NodeEndpoint> {
    let shards = match config.advertise {
        Advertise::Node => 1,
        Advertise::Shard => config.shards,
    };
    (0..shards)
        .map(|shard| NodeEndpoint {
            node_id: broker_of_shard(config, shard),
            host: config.advertised_host.clone(),
            port: i32::from(config.listen_of(shard).port()),
            rack: Some(rack(config)),
        })
        .collect()
}

impl Shell {
    pub(crate) fn broker_of_shard(&self, shard: usize) -> i32 {
        broker_of_shard(&self.shared.config, shard)
    }

    /// Where the brokers of these ids are reached.
    pub(crate) fn endpoints(&self, ids: &[i32]) -> Vec<NodeEndpoint> {
        if ids.is_empty() {
            return Vec::new();
        }
        let mut brokers = brokers(&self.shared.config);
        brokers.retain(|broker| ids.contains(&broker.node_id));
        brokers
    }

    /// The leader epoch of a partition, 0 if the image does not know it.
    pub(crate) fn leader_epoch(&self, topic: Uuid, index: i32) -> i32 {
        self.image.partition(topic, index).map_or(0, |partition| partition.leader_epoch)
    }

    /// Who leads a partition instead of this shard, and in which epoch; `None` if it is this shard
    /// or nobody.
    pub(crate) fn leader_of(&self, topic: Uuid, index: i32) -> Option<(i32, i32)> {
        match self.topics.with_id(topic)?.place(index)? {
            Place::Remote(shard) => {
                Some((self.broker_of_shard(shard), self.leader_epoch(topic, index)))
            }
            _ => None,
        }
    }

    /// Node ids of the metadata log as clients see them, for a partition whose home is `home`.
    pub(crate) fn outside_ids(&self, home: usize, nodes: &[i32]) -> Vec<i32> {
        let config = &self.shared.config;
        let outside = |&node: &i32| match node == config.node_id {
            true => broker_of_shard(config, home),
            false => node,
        };
        nodes.iter().map(outside).collect()
    }

    /// Turns ids as clients know them into those of the metadata log. Every shard of this node
    /// stands for the node; what clients were never told of stays as it is, so that it is refused
    /// under the name it was given, or becomes -1 if it would pass for the node.
    pub(crate) fn make_inside_ids(&self, ids: &mut [i32]) {
        let config = &self.shared.config;
        if config.advertise != Advertise::Shard {
            return;
        }
        for id in ids {
            *id = match placement::node_and_shard(*id) {
                Some((node, shard)) if node == config.node_id && shard < config.shards => node,
                _ if *id == config.node_id => -1,
                _ => *id,
            };
        }
    }

    /// The leader of a partition as clients see it, -1 if it has none.
    pub(crate) fn outside_leader(&self, home: usize, partition: &PartitionImage) -> i32 {
        self.outside_ids(home, &[partition.leader])[0]
    }
}
