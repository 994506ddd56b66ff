//! UnregisterBroker · key 64 · v0

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;

/// Numbers.
pub const API: Api =
    Api { key: 64, name: "UnregisterBroker", min: 0, max: 0, advertised_min: 0, flexible_from: 0 };

messages! {
    /// Asks for a broker to be forgotten.
    UnregisterBrokerRequest, flexible 0 {
        /// The broker.
        broker_id: i32 => 0+;
    }

    /// What became of it.
    UnregisterBrokerResponse, flexible 0 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 0+;
        /// Why it is not forgotten.
        error_code: ErrorCode => 0+;
        /// The error in words.
        error_message: Option<String> => 0+, null 0+, default Some(String::new());
    }
}
