//! Metadata records about topics, settings, features, and the log's own transactions.

use crate::message::messages;
use crate::uuid::Uuid;

/// [`PartitionChangeRecord::leader`]: keep the leader and its epoch.
pub const LEADER_KEEP: i32 = -2;

messages! {
    /// A topic is there.
    TopicRecord, flexible 0 {
        /// Its name.
        name: String => 0+;
        /// Its id.
        topic_id: Uuid => 0+;
    }

    /// A partition is there. v1: directories. v2: eligible leader replicas.
    PartitionRecord, flexible 0 {
        /// Its number.
        partition_id: i32 => 0+, default -1;
        /// Its topic.
        topic_id: Uuid => 0+;
        /// The brokers that keep it, the preferred leader first.
        replicas: Vec<i32> => 0+;
        /// Those in sync.
        isr: Vec<i32> => 0+;
        /// Those that a reassignment takes away.
        removing_replicas: Vec<i32> => 0+;
        /// Those that a reassignment adds.
        adding_replicas: Vec<i32> => 0+;
        /// The leader, or -1.
        leader: i32 => 0+, default -1;
        /// 1 while the leader recovers from an unclean election.
        leader_recovery_state: i8 => 0+, tag 0;
        /// Grows with each leader.
        leader_epoch: i32 => 0+, default -1;
        /// Grows with each change.
        partition_epoch: i32 => 0+, default -1;
        /// The replicas' directories, in their order.
        directories: Vec<Uuid> => 1+;
        /// Those out of sync that may lead without loss.
        eligible_leader_replicas: Option<Vec<i32>> => 2+, null 2+, tag 1;
        /// Those last known to be such.
        last_known_elr: Option<Vec<i32>> => 2+, null 2+, tag 2;
    }

    /// A partition has changed: what is null is kept. v1: directories. v2: eligible leader
    /// replicas.
    PartitionChangeRecord, flexible 0 {
        /// Its number.
        partition_id: i32 => 0+, default -1;
        /// Its topic.
        topic_id: Uuid => 0+;
        /// Those in sync.
        isr: Option<Vec<i32>> => 0+, null 0+, tag 0;
        /// The leader; any number but [`LEADER_KEEP`] begins a new epoch.
        leader: i32 => 0+, tag 1, default LEADER_KEEP;
        /// The brokers that keep it.
        replicas: Option<Vec<i32>> => 0+, null 0+, tag 2;
        /// Those that a reassignment takes away.
        removing_replicas: Option<Vec<i32>> => 0+, null 0+, tag 3;
        /// Those that a reassignment adds.
        adding_replicas: Option<Vec<i32>> => 0+, null 0+, tag 4;
        /// -1 keep, 0 recovered, 1 recovering.
        leader_recovery_state: i8 => 0+, tag 5, default -1;
        /// Those out of sync that may lead without loss.
        eligible_leader_replicas: Option<Vec<i32>> => 2+, null 2+, tag 6;
        /// Those last known to be such.
        last_known_elr: Option<Vec<i32>> => 2+, null 2+, tag 7;
        /// The replicas' directories.
        directories: Option<Vec<Uuid>> => 1+, null 1+, tag 8;
    }

    /// A topic is gone, and its settings with it.
    RemoveTopicRecord, flexible 0 {
        /// Its id.
        topic_id: Uuid => 0+;
    }

    /// Eligible leader replicas are forgotten.
    ClearElrRecord, flexible 0 {
        /// Of this topic; empty is of all.
        topic_name: String => 0+;
    }

    /// A setting.
    ConfigRecord, flexible 0 {
        /// 2 topic, 4 broker, 8 broker's loggers, 16 client metrics, 32 group.
        resource_type: i8 => 0+;
        /// Whose; a broker's "" is every broker's default.
        resource_name: String => 0+;
        /// Its name.
        name: String => 0+;
        /// Its value; null takes the setting away.
        value: Option<String> => 0+, null 0+, default Some(String::new());
    }

    /// A feature's level.
    FeatureLevelRecord, flexible 0 {
        /// The feature.
        name: String => 0+;
        /// The level; 0 takes the feature away.
        feature_level: i16 => 0+;
    }

    /// Producer ids are given out up to here.
    ProducerIdsRecord, flexible 0 {
        /// The broker that asked.
        broker_id: i32 => 0+;
        /// Its epoch.
        broker_epoch: i64 => 0+, default -1;
        /// The first id not given out.
        next_producer_id: i64 => 0+;
    }

    /// Nothing; the leader is alive.
    NoOpRecord, flexible 0 {}

    /// A leftover of ZooKeeper.
    ZkMigrationStateRecord, flexible 0 {
        /// How far it was.
        zk_migration_state: i8 => 0+;
    }

    /// What follows is published as one.
    BeginTransactionRecord, flexible 0 {
        /// What it is for.
        name: Option<String> => 0+, null 0+, tag 0;
    }

    /// What came since the begin is published.
    EndTransactionRecord, flexible 0 {}

    /// What came since the begin is dropped.
    AbortTransactionRecord, flexible 0 {
        /// Why.
        reason: Option<String> => 0+, null 0+, tag 0;
    }
}
