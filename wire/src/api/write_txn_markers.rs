//! WriteTxnMarkers · key 27 · v1–2
//!
//! v1: flexible.  v2: the transaction's version (KIP-1228).

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 27, name: "WriteTxnMarkers", min: 1, max: 2, advertised_min: 1, flexible_from: 1 };

messages! {
    /// Asks for the ends of transactions in the log.
    WriteTxnMarkersRequest, flexible 1 {
        /// The ends.
        markers: Vec<WritableTxnMarker> => 0+;
    }

    /// A transaction's end.
    WritableTxnMarker, flexible 1 {
        /// The producer.
        producer_id: i64 => 0+;
        /// Its epoch.
        producer_epoch: i16 => 0+;
        /// True is committed, false aborted.
        transaction_result: bool => 0+;
        /// The topics that the transaction wrote to.
        topics: Vec<WritableTxnMarkerTopic> => 0+;
        /// The epoch of the transactions' coordinator.
        coordinator_epoch: i32 => 0+;
        /// The transaction's version; from 2 on a marker's epoch is past its transaction's.
        transaction_version: i8 => 2+ ignorable;
    }

    /// A topic written to.
    WritableTxnMarkerTopic, flexible 1 {
        /// Its name.
        name: String => 0+;
        /// Its partitions.
        partition_indexes: Vec<i32> => 0+;
    }

    /// What became of them.
    WriteTxnMarkersResponse, flexible 1 {
        /// Transaction by transaction.
        markers: Vec<WritableTxnMarkerResult> => 0+;
    }

    /// What became of a transaction's end.
    WritableTxnMarkerResult, flexible 1 {
        /// The producer.
        producer_id: i64 => 0+;
        /// Topic by topic.
        topics: Vec<WritableTxnMarkerTopicResult> => 0+;
    }

    /// What became of it in a topic.
    WritableTxnMarkerTopicResult, flexible 1 {
        /// The topic's name.
        name: String => 0+;
        /// Partition by partition.
        partitions: Vec<WritableTxnMarkerPartitionResult> => 0+;
    }

    /// What became of it in a partition.
    WritableTxnMarkerPartitionResult, flexible 1 {
        /// The partition's number.
        partition_index: i32 => 0+;
        /// The partition's error.
        error_code: ErrorCode => 0+;
    }
}
