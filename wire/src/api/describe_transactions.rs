//! DescribeTransactions · key 65 · v0

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api = Api {
    key: 65,
    name: "DescribeTransactions",
    min: 0,
    max: 0,
    advertised_min: 0,
    flexible_from: 0,
};

messages! {
    /// Asks about transactional ids.
    DescribeTransactionsRequest, flexible 0 {
        /// The transactional ids.
        transactional_ids: Vec<String> => 0+;
    }

    /// What is known of them.
    DescribeTransactionsResponse, flexible 0 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// Id by id.
        transaction_states: Vec<TransactionState> => 0+;
    }

    /// What is known of a transactional id.
    TransactionState, flexible 0 {
        /// The id's error.
        error_code: ErrorCode => 0+;
        /// The id.
        transactional_id: String => 0+;
        /// Its state's name.
        transaction_state: String => 0+;
        /// After how many milliseconds an open transaction is given up.
        transaction_timeout_ms: i32 => 0+;
        /// When the open transaction began, in milliseconds since 1970; -1 without one.
        transaction_start_time_ms: i64 => 0+;
        /// The producer.
        producer_id: i64 => 0+;
        /// Its epoch.
        producer_epoch: i16 => 0+;
        /// What the open transaction has written to.
        topics: Vec<TopicData> => 0+;
    }

    /// A topic written to.
    TopicData, flexible 0 {
        /// Its name.
        topic: String => 0+;
        /// Its partitions.
        partitions: Vec<i32> => 0+;
    }
}
