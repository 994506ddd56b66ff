//! AlterReplicaLogDirs · key 34 · v1–2
//!
//! v2: flexible.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api = Api {
    key: 34,
    name: "AlterReplicaLogDirs",
    min: 1,
    max: 2,
    advertised_min: 1,
    flexible_from: 2,
};

messages! {
    /// Asks for partitions to move between this broker's directories.
    AlterReplicaLogDirsRequest, flexible 2 {
        /// Directory by directory.
        dirs: Vec<AlterReplicaLogDir> => 0+;
    }

    /// A directory, and what is to move there.
    AlterReplicaLogDir, flexible 2 {
        /// Its absolute path.
        path: String => 0+;
        /// What is to move there.
        topics: Vec<AlterReplicaLogDirTopic> => 0+;
    }

    /// Partitions of a topic.
    AlterReplicaLogDirTopic, flexible 2 {
        /// The topic's name.
        name: String => 0+;
        /// The partitions' numbers.
        partitions: Vec<i32> => 0+;
    }

    /// What became of them.
    AlterReplicaLogDirsResponse, flexible 2 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// Topic by topic.
        results: Vec<AlterReplicaLogDirTopicResult> => 0+;
    }

    /// What became of a topic.
    AlterReplicaLogDirTopicResult, flexible 2 {
        /// Its name.
        topic_name: String => 0+;
        /// Partition by partition.
        partitions: Vec<AlterReplicaLogDirPartitionResult> => 0+;
    }

    /// What became of a partition.
    AlterReplicaLogDirPartitionResult, flexible 2 {
        /// Its number.
        partition_index: i32 => 0+;
        /// Why it does not move.
        error_code: ErrorCode => 0+;
    }
}
