//! FindCoordinator · key 10 · v0–6.  v1: transactions.  v4: many keys at once.  v6: share groups.
//!
//! There are no coordinators yet, neither of groups nor of transactions: every key is answered
//! COORDINATOR_NOT_AVAILABLE, which clients take as "ask again later". Kinds of keys that Kafka
//! does not know are refused as there.

use ringlog_wire::Uuid;
use ringlog_wire::api::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse, KEY_GROUP, KEY_SHARE,
    KEY_TRANSACTION,
};
use ringlog_wire::error::ErrorCode;

use super::{Outcome, Request};

/// Most keys of one request: each costs more memory than the bytes that name it.
const KEYS_MAX: usize = 100_000;

/// Kafka's words for a request that makes no sense.
const MALFORMED: &str = "This most likely occurs because of a request being malformed by the \
                         client library or the message was sent to an incompatible broker. See \
                         the broker logs for more details.";

/// Answers a FindCoordinator request.
pub fn handle(request: &Request<'_>) -> Outcome {
    let view = match FindCoordinatorRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    if view.coordinator_keys.len() > KEYS_MAX {
        return Outcome::Close(format!("FindCoordinator names more than {KEYS_MAX} keys"));
    }
    let response = answer(request.version, view);
    Outcome::Reply(request.reply_to().answer(&response))
}

fn answer(version: i16, view: FindCoordinatorRequest) -> FindCoordinatorResponse {
    if version < 4 {
        let (error_code, text) = match view.key_type {
            KEY_GROUP | KEY_TRANSACTION => {
                (ErrorCode::CoordinatorNotAvailable, "The coordinator is not available.")
            }
            _ => (ErrorCode::InvalidRequest, MALFORMED),
        };
        return FindCoordinatorResponse {
            error_code,
            error_message: Some(text.into()),
            node_id: -1,
            port: -1,
            ..FindCoordinatorResponse::default()
        };
    }
    let one = |key: String| {
        let (error_code, text) = match view.key_type {
            KEY_GROUP | KEY_TRANSACTION => (ErrorCode::CoordinatorNotAvailable, ""),
            KEY_SHARE if version >= 6 && is_share_key(&key) => {
                (ErrorCode::CoordinatorNotAvailable, "")
            }
            KEY_SHARE => (ErrorCode::InvalidRequest, ""),
            _ => (ErrorCode::InvalidRequest, MALFORMED),
        };
        let error_message = Some(text.into());
        Coordinator { key, node_id: -1, host: String::new(), port: -1, error_code, error_message }
    };
    let coordinators = view.coordinator_keys.into_iter().map(one).collect();
    FindCoordinatorResponse { coordinators, ..FindCoordinatorResponse::default() }
}

/// A share partition: `group:topic id:partition`.
fn is_share_key(key: &str) -> bool {
    let parts: Vec<&str> = key.split(':').collect();
    let &[group, topic, partition] = parts.as_slice() else { return false };
    !group.is_empty() && topic.parse::<Uuid>().is_ok() && partition.parse::<i32>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_key_has_kafkas_code() {
        use ErrorCode::{CoordinatorNotAvailable as Absent, InvalidRequest as Invalid};
        let share = "g:AAAAAAAAAAAAAAAAAAAAAA:0";
        for (version, key_type, key, code) in [
            (0, KEY_GROUP, "g", Absent),
            (1, KEY_TRANSACTION, "t", Absent),
            (3, KEY_GROUP, "", Absent),
            (3, KEY_SHARE, share, Invalid),
            (3, 3, "g", Invalid),
            (2, -1, "g", Invalid),
            (4, KEY_GROUP, "g", Absent),
            (4, KEY_TRANSACTION, "t", Absent),
            (5, KEY_SHARE, share, Invalid),
            (6, KEY_SHARE, share, Absent),
            (6, KEY_SHARE, "g:0", Invalid),
            (6, KEY_SHARE, ":AAAAAAAAAAAAAAAAAAAAAA:0", Invalid),
            (6, KEY_SHARE, "g:AAAAAAAAAAAAAAAAAAAAAA:x", Invalid),
            (6, KEY_SHARE, "g:x:0", Invalid),
            (6, 3, "g", Invalid),
        ] {
            let request = FindCoordinatorRequest {
                key: key.into(),
                key_type,
                coordinator_keys: vec![key.into(), key.into()],
            };
            let response = answer(version, request);
            if version < 4 {
                assert_eq!(response.error_code, code, "v{version} {key_type} {key}");
                assert_eq!((response.node_id, response.port), (-1, -1));
                continue;
            }
            assert_eq!(response.coordinators.len(), 2);
            for told in response.coordinators {
                assert_eq!((told.key.as_str(), told.error_code), (key, code), "v{version}");
                assert_eq!((told.node_id, told.port), (-1, -1));
            }
        }
        let none = answer(6, FindCoordinatorRequest::default());
        assert_eq!((none.error_code, none.coordinators), (ErrorCode::None, vec![]));
    }
}
