//! InitProducerId · key 22 · v0–5
//!
//! v2: flexible.  v3: a producer may keep its id.  v4: PRODUCER_FENCED.  v5: TRANSACTION_ABORTABLE.
//! Not done: v6 (two-phase commit), unstable in Kafka itself.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 22, name: "InitProducerId", min: 0, max: 5, advertised_min: 0, flexible_from: 2 };

messages! {
    /// Asks for a producer id.
    InitProducerIdRequest, flexible 2 {
        /// Null for a producer that is idempotent only.
        transactional_id: Option<String> => 0+, null 0+, default Some(String::new());
        /// After how long an open transaction is given up.
        transaction_timeout_ms: i32 => 0+;
        /// The id that the producer has, or -1.
        producer_id: i64 => 3+, default -1;
        /// Its epoch, or -1.
        producer_epoch: i16 => 3+, default -1;
    }

    /// The producer id.
    InitProducerIdResponse, flexible 2 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+ ignorable;
        /// The error.
        error_code: ErrorCode => 0+;
        /// The id.
        producer_id: i64 => 0+, default -1;
        /// Its epoch.
        producer_epoch: i16 => 0+;
    }
}
