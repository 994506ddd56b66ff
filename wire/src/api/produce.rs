//! Produce · key 0 · v3–13, advertised from 0
//!
//! v3: transactional id.  v5: log start offset.  v7: zstd.  v8: record errors, error message.
//! v9: flexible.  v10: current leader and its endpoint.
//! v11, v12: transaction errors and one round trip less.  v13: topics by id.
//!
//! Two forms: owned structs for clients and tests, and for the data path [`RequestView`],
//! [`ResponseWriter`] and [`ResponseView`], which borrow, and allocate nothing per partition.

use super::Api;
pub use super::leader::{LeaderIdAndEpoch, NodeEndpoint};
use crate::error::ErrorCode;
use crate::message::messages;
use crate::uuid::Uuid;

mod response_view;
mod view;
mod write;

pub use response_view::{PartitionResultIter, PartitionResultView, ResponseTopicIter};
pub use response_view::{ResponseTopicView, ResponseView};
pub use view::{PartitionIter, PartitionView, RequestView, TopicIter, TopicView};
pub use write::{PartitionResult, RecordError, ResponseWriter};

/// Numbers.
pub const API: Api =
    Api { key: 0, name: "Produce", min: 3, max: 13, advertised_min: 0, flexible_from: 9 };

messages! {
    /// Records to append.
    ProduceRequest, flexible 9 {
        /// The transaction's producer, if any.
        transactional_id: Option<String> => 3+, null 3+;
        /// 0 none, 1 the leader, -1 every replica in sync.
        acks: i16 => 0+;
        /// How long the answer may take.
        timeout_ms: i32 => 0+;
        /// The topics.
        topic_data: Vec<TopicProduceData> => 0+;
    }

    /// A topic's records.
    TopicProduceData, flexible 9 {
        /// Its name.
        name: String => 0-12 ignorable;
        /// Its id.
        topic_id: Uuid => 13+ ignorable;
        /// Its partitions.
        partition_data: Vec<PartitionProduceData> => 0+;
    }

    /// A partition's records.
    PartitionProduceData, flexible 9 {
        /// Its number.
        index: i32 => 0+;
        /// One record batch.
        records: Option<Vec<u8>> => 0+, null 0+, default Some(Vec::new());
    }

    /// Where they are.
    ProduceResponse, flexible 9 {
        /// The topics.
        responses: Vec<TopicProduceResponse> => 0+;
        /// For how long the client is held back.
        throttle_time_ms: i32 => 1+ ignorable;
        /// Where the leaders that are named can be reached.
        node_endpoints: Vec<NodeEndpoint> => 10+, tag 0;
    }

    /// A topic's answer.
    TopicProduceResponse, flexible 9 {
        /// Its name.
        name: String => 0-12 ignorable;
        /// Its id.
        topic_id: Uuid => 13+ ignorable;
        /// Its partitions.
        partition_responses: Vec<PartitionProduceResponse> => 0+;
    }

    /// A partition's answer.
    PartitionProduceResponse, flexible 9 {
        /// Its number.
        index: i32 => 0+;
        /// The partition's error.
        error_code: ErrorCode => 0+;
        /// The first record's offset, or -1.
        base_offset: i64 => 0+;
        /// The broker's timestamp, or -1 when the producer's stand.
        log_append_time_ms: i64 => 2+ ignorable, default -1;
        /// The log's first offset.
        log_start_offset: i64 => 5+ ignorable, default -1;
        /// Which records were the reason.
        record_errors: Vec<BatchIndexAndErrorMessage> => 8+ ignorable;
        /// The error in words.
        error_message: Option<String> => 8+ ignorable, null 8+;
        /// Who leads, when it is not us.
        current_leader: LeaderIdAndEpoch => 10+, tag 0, default LeaderIdAndEpoch::default();
    }

    /// A record that was the reason.
    BatchIndexAndErrorMessage, flexible 9 {
        /// Its index in the batch.
        batch_index: i32 => 8+;
        /// The reason in words.
        batch_index_error_message: Option<String> => 8+, null 8+;
    }
}
