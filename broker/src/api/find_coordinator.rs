//! FindCoordinator · key 10 · v0–6.  v1: transactions.  v4: many keys at once.  v6: share groups.
//!
//! The coordinator of a group or transactional id is the shard that has its partition of the
//! coordinators' topic. That topic is created when somebody first asks, before the answer. There is
//! no coordinator of share groups yet: COORDINATOR_NOT_AVAILABLE, which clients take as "ask again
//! later". Kinds of keys that Kafka does not know are refused as there.

use ringlog_wire::Uuid;
use ringlog_wire::api::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ringlog_wire::api::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse, KEY_GROUP, KEY_SHARE,
    KEY_TRANSACTION,
};
use ringlog_wire::api::leader::NodeEndpoint;
use ringlog_wire::error::ErrorCode;

use super::{Outcome, PendingControl, ReplyTo, Request};
use crate::coordinator::{Kind, partition_of};
use crate::metadata::placement;
use crate::shell::{ControlAsk, ShardCore, Shell, topology};

/// Most keys of one request: each costs more memory than the bytes that name it.
const KEYS_MAX: usize = 100_000;

/// Kafka's words for a request that makes no sense.
const MALFORMED: &str = "This most likely occurs because of a request being malformed by the \
                         client library or the message was sent to an incompatible broker. See \
                         the broker logs for more details.";
/// And for a coordinator that cannot be found.
const NOT_AVAILABLE: &str = "The coordinator is not available.";
/// What stands where an error's words would be, up to version 3.
const NO_ERROR: &str = "NONE";

/// Answers a FindCoordinator request.
pub fn handle(shell: &mut Shell, core: &mut ShardCore, request: &Request<'_>) -> Outcome {
    let view = match FindCoordinatorRequest::decode(request.version, request.body) {
        Ok(view) => view,
        Err(error) => return Outcome::malformed(request.api, error),
    };
    if view.coordinator_keys.len() > KEYS_MAX {
        return Outcome::Close(format!("FindCoordinator names more than {KEYS_MAX} keys"));
    }
    let to = request.reply_to();
    let asks = request.version < 4 || !view.coordinator_keys.is_empty();
    if let Some(kind) = kind_of(view.key_type)
        && shell.topics.named(kind.topic()).is_none()
        && asks
        && !shell.stopping
    {
        let ask = ControlAsk::CreateTopics(creation(shell, kind));
        let key = shell.controls.insert(PendingControl::FindCoordinator(to, view));
        shell.ask_controller(core, key, ask, request.body.len());
        return Outcome::Parked;
    }
    Outcome::Reply(to.answer(&answer(request.version, view, &mut locator(shell))))
}

/// The controller has created the coordinators' topic, or not.
pub fn created(
    shell: &mut Shell,
    core: &mut ShardCore,
    to: ReplyTo,
    request: FindCoordinatorRequest,
) {
    let response = answer(to.version, request, &mut locator(shell));
    to.send(shell, core, &response);
}

fn kind_of(key_type: i8) -> Option<Kind> {
    match key_type {
        KEY_GROUP => Some(Kind::Groups),
        KEY_TRANSACTION => Some(Kind::Transactions),
        _ => None,
    }
}

/// The coordinators' topic, as Kafka creates it.
fn creation(shell: &Shell, kind: Kind) -> CreateTopicsRequest {
    let defaults = &shell.shared.config.defaults;
    let (partitions, segment_bytes, compression) = match kind {
        Kind::Groups => {
            ("offsets.topic.num.partitions", "offsets.topic.segment.bytes", "producer")
        }
        Kind::Transactions => (
            "transaction.state.log.num.partitions",
            "transaction.state.log.segment.bytes",
            "uncompressed",
        ),
    };
    let mut configs = vec![
        ("cleanup.policy", "compact".to_string()),
        ("compression.type", compression.to_string()),
        ("segment.bytes", defaults.text(segment_bytes)),
    ];
    if kind == Kind::Transactions {
        configs.push(("min.insync.replicas", "1".to_string()));
        configs.push(("unclean.leader.election.enable", "false".to_string()));
    }
    let config =
        |(name, value): (&str, _)| CreatableTopicConfig { name: name.into(), value: Some(value) };
    let topic = CreatableTopic {
        name: kind.topic().into(),
        num_partitions: i32::try_from(defaults.number(partitions)).expect("it was checked"),
        replication_factor: 1,
        configs: configs.into_iter().map(config).collect(),
        ..CreatableTopic::default()
    };
    CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() }
}

/// Says where the coordinator of a key is; `None` if there is none now.
fn locator(shell: &Shell) -> impl FnMut(Kind, &str) -> Option<NodeEndpoint> {
    let brokers = topology::brokers(&shell.shared.config);
    let shards = shell.shared.config.shards;
    move |kind, key| {
        let topic = shell.topics.named(kind.topic())?;
        let index = partition_of(key, i32::try_from(topic.places.len()).ok().filter(|n| *n > 0)?);
        let shard = placement::shard_of(topic.name.id, index, shards);
        // As one broker, the process has one entry.
        brokers.get(shard.min(brokers.len() - 1)).cloned()
    }
}

fn answer(
    version: i16,
    view: FindCoordinatorRequest,
    locate: &mut dyn FnMut(Kind, &str) -> Option<NodeEndpoint>,
) -> FindCoordinatorResponse {
    let kind = kind_of(view.key_type);
    if version < 4 {
        let (found, error_code, text) = match kind.map(|kind| locate(kind, &view.key)) {
            Some(Some(found)) => (found, ErrorCode::None, NO_ERROR),
            Some(None) => (nowhere(), ErrorCode::CoordinatorNotAvailable, NOT_AVAILABLE),
            None => (nowhere(), ErrorCode::InvalidRequest, MALFORMED),
        };
        return FindCoordinatorResponse {
            error_code,
            error_message: Some(text.into()),
            node_id: found.node_id,
            host: found.host,
            port: found.port,
            ..FindCoordinatorResponse::default()
        };
    }
    let mut one = |key: String| {
        let (found, error_code, text) = match kind.map(|kind| locate(kind, &key)) {
            Some(Some(found)) => (found, ErrorCode::None, ""),
            Some(None) => (nowhere(), ErrorCode::CoordinatorNotAvailable, ""),
            None if view.key_type == KEY_SHARE => match version >= 6 && is_share_key(&key) {
                true => (nowhere(), ErrorCode::CoordinatorNotAvailable, ""),
                false => (nowhere(), ErrorCode::InvalidRequest, ""),
            },
            None => (nowhere(), ErrorCode::InvalidRequest, MALFORMED),
        };
        let NodeEndpoint { node_id, host, port, .. } = found;
        Coordinator { key, node_id, host, port, error_code, error_message: Some(text.into()) }
    };
    let coordinators = view.coordinator_keys.into_iter().map(&mut one).collect();
    FindCoordinatorResponse { coordinators, ..FindCoordinatorResponse::default() }
}

fn nowhere() -> NodeEndpoint {
    NodeEndpoint { node_id: -1, host: String::new(), port: -1, rack: None }
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
            let response = answer(version, request, &mut |_, _| None);
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
        let none = answer(6, FindCoordinatorRequest::default(), &mut |_, _| None);
        assert_eq!((none.error_code, none.coordinators), (ErrorCode::None, vec![]));
    }

    #[test]
    fn a_coordinator_is_told_with_its_place() {
        let found = NodeEndpoint { node_id: 7, host: "h".into(), port: 9, rack: None };
        let mut locate = |kind, key: &str| {
            assert_eq!((kind, key), (Kind::Transactions, "t"));
            Some(found.clone())
        };
        let request = FindCoordinatorRequest {
            key: "t".into(),
            key_type: KEY_TRANSACTION,
            coordinator_keys: vec!["t".into()],
        };
        let old = answer(3, request.clone(), &mut locate);
        assert_eq!((old.node_id, old.host.as_str(), old.port), (7, "h", 9));
        assert_eq!((old.error_code, old.error_message.as_deref()), (ErrorCode::None, Some("NONE")));
        let new = &answer(4, request, &mut locate).coordinators[0];
        assert_eq!((new.node_id, new.host.as_str(), new.port), (7, "h", 9));
        assert_eq!((new.error_code, new.error_message.as_deref()), (ErrorCode::None, Some("")));
    }
}
