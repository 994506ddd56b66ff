//! DeleteTopics · key 20 · v1–6
//!
//! v4: flexible.  v5: error messages; THROTTLING_QUOTA_EXCEEDED.  v6: topics by name or by id.

use super::Api;
use crate::error::ErrorCode;
use crate::message::messages;
use crate::uuid::Uuid;

/// Numbers.
pub const API: Api =
    Api { key: 20, name: "DeleteTopics", min: 1, max: 6, advertised_min: 1, flexible_from: 4 };

messages! {
    /// Asks for topics to be deleted.
    DeleteTopicsRequest, flexible 4 {
        /// The topics, from v6 on.
        topics: Vec<DeleteTopicState> => 6+;
        /// The topics' names, up to v5.
        topic_names: Vec<String> => 0-5 ignorable;
        /// How long the answer may take.
        timeout_ms: i32 => 0+;
    }

    /// A topic to delete, by name or by id.
    DeleteTopicState, flexible 4 {
        /// Null when meant by id.
        name: Option<String> => 6+, null 6+;
        /// Zero when meant by name.
        topic_id: Uuid => 6+;
    }

    /// What became of them.
    DeleteTopicsResponse, flexible 4 {
        /// For how long the client is held back.
        throttle_time_ms: i32 => 1+ ignorable;
        /// Topic by topic.
        responses: Vec<DeletableTopicResult> => 0+;
    }

    /// What became of a topic.
    DeletableTopicResult, flexible 4 {
        /// Its name; null when an unknown id was meant.
        name: Option<String> => 0+, null 6+, default Some(String::new());
        /// Its id.
        topic_id: Uuid => 6+ ignorable;
        /// The topic's error.
        error_code: ErrorCode => 0+;
        /// The error in words.
        error_message: Option<String> => 5+ ignorable, null 5+;
    }
}
