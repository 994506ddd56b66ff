//! DescribeLogDirs · key 35 · v1–5
//!
//! v2: flexible.  v3: an error for the whole answer.  v4: the volume's size.  v5: whether new
//! partitions may come into the directory.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 35, name: "DescribeLogDirs", min: 1, max: 5, advertised_min: 1, flexible_from: 2 };

messages! {
    /// Asks what the data directories hold.
    DescribeLogDirsRequest, flexible 2 {
        /// The topics; null for all.
        topics: Option<Vec<DescribableLogDirTopic>> => 0+, null 0+, default Some(Vec::new());
    }

    /// A topic asked about.
    DescribableLogDirTopic, flexible 2 {
        /// Its name.
        topic: String => 0+;
        /// Its partitions.
        partitions: Vec<i32> => 0+;
    }

    /// What they hold.
    DescribeLogDirsResponse, flexible 2 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// The whole answer's error.
        error_code: ErrorCode => 3+ ignorable;
        /// The directories.
        results: Vec<DescribeLogDirsResult> => 0+;
    }

    /// A directory.
    DescribeLogDirsResult, flexible 2 {
        /// The directory's error.
        error_code: ErrorCode => 0+;
        /// Its absolute path.
        log_dir: String => 0+;
        /// The topics in it.
        topics: Vec<DescribeLogDirsTopic> => 0+;
        /// Bytes of the volume, or -1.
        total_bytes: i64 => 4+ ignorable, default -1;
        /// Bytes of the volume that are free to us, or -1.
        usable_bytes: i64 => 4+ ignorable, default -1;
        /// Whether no new partition comes into it.
        is_cordoned: bool => 5+ ignorable;
    }

    /// A topic in a directory.
    DescribeLogDirsTopic, flexible 2 {
        /// Its name.
        name: String => 0+;
        /// Its partitions.
        partitions: Vec<DescribeLogDirsPartition> => 0+;
    }

    /// A partition in a directory.
    DescribeLogDirsPartition, flexible 2 {
        /// Its number.
        partition_index: i32 => 0+;
        /// Bytes of its segments.
        partition_size: i64 => 0+;
        /// How far it is behind.
        offset_lag: i64 => 0+;
        /// Whether it is being moved here.
        is_future_key: bool => 0+;
    }
}
