//! DeleteTopics: who is meant, and what is written.

use super::*;
use ringlog_wire::api::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ringlog_wire::api::delete_topics::{DeleteTopicState, DeleteTopicsRequest};

fn with_topics(names: &[&str]) -> Controller {
    let (mut controller, _) = serving();
    let config = CreatableTopicConfig { name: "retention.ms".into(), value: Some("5".into()) };
    let topic = |name: &&str| CreatableTopic {
        name: name.to_string(),
        num_partitions: 1,
        replication_factor: 1,
        configs: vec![config.clone()],
        ..Default::default()
    };
    let request =
        CreateTopicsRequest { topics: names.iter().map(topic).collect(), ..Default::default() };
    let commands = controller.create_topics(NOW_MS, 0, &request, &mut ids(1));
    controller.committed(end_of(&commands));
    controller
}

fn state(name: Option<&str>, topic_id: Uuid) -> DeleteTopicState {
    DeleteTopicState { name: name.map(str::to_string), topic_id }
}

fn by_state(topics: Vec<DeleteTopicState>) -> DeleteTopicsRequest {
    DeleteTopicsRequest { topics, ..Default::default() }
}

/// Deletes and gives, topic by topic, `name code message`, and what was written.
fn delete(
    controller: &mut Controller,
    request: &DeleteTopicsRequest,
) -> (Vec<String>, Vec<String>) {
    let mut commands = controller.delete_topics(NOW_MS, 1, request);
    let log = dump(&bytes_of(&commands));
    if !log.is_empty() {
        commands = controller.committed(end_of(&commands));
    }
    let [(1, Reply::DeleteTopics(response))] = &replies(commands)[..] else { panic!() };
    let line = |topic: &ringlog_wire::api::delete_topics::DeletableTopicResult| {
        let name = topic.name.as_deref().unwrap_or("-");
        let message = topic.error_message.as_deref().unwrap_or("");
        format!("{name} {} {message}", topic.error_code).trim_end().to_string()
    };
    (response.responses.iter().map(line).collect(), log)
}

#[test]
fn topics_go_with_their_settings() {
    let mut controller = with_topics(&["a", "b"]);
    let request = by_state(vec![state(Some("a"), Uuid::ZERO), state(None, id(2))]);
    let (lines, log) = delete(&mut controller, &request);
    assert_eq!(lines, ["a NONE", "b NONE"]);
    assert_eq!(log[1..], ["20 v0 RemoveTopic", "| epoch 1"]);
    let image = controller.staged.staged();
    assert!(image.topics.is_empty() && image.topic_ids.is_empty());
    assert_eq!(image.topic_config("a", "retention.ms"), None);
}

#[test]
fn names_of_old_versions() {
    let mut controller = with_topics(&["a", "b"]);
    let request = DeleteTopicsRequest {
        topic_names: ["a", "x", "b", "b"].map(str::to_string).to_vec(),
        ..Default::default()
    };
    let (lines, _) = delete(&mut controller, &request);
    assert_eq!(
        lines,
        [
            "a NONE",
            "x UNKNOWN_TOPIC_OR_PARTITION This server does not host this topic-partition.",
            "b INVALID_REQUEST Duplicate topic name.",
        ]
    );
    assert!(controller.staged.staged().topic_named("b").is_some());
}

#[test]
fn who_is_not_clearly_meant_stays() {
    let mut controller = with_topics(&["a", "b"]);
    let request = by_state(vec![
        state(None, Uuid::ZERO),
        state(Some("a"), id(1)),
        state(None, id(77)),
        state(None, id(88)),
        state(None, id(88)),
        state(Some("b"), Uuid::ZERO),
        state(None, id(2)),
    ]);
    let (lines, log) = delete(&mut controller, &request);
    assert_eq!(
        lines,
        [
            "- INVALID_REQUEST Neither topic name nor id were specified.",
            "a INVALID_REQUEST You may not specify both topic name and topic id.",
            "- UNKNOWN_TOPIC_ID This server does not host this topic ID.",
            "- INVALID_REQUEST Duplicate topic id.",
            "b INVALID_REQUEST The provided topic name maps to an ID that was already supplied.",
        ]
    );
    assert!(log.is_empty());
}

#[test]
fn deletion_can_be_disabled() {
    let mut controller = with_topics(&["a"]);
    controller.settings.delete_topic_enable = false;
    let (lines, log) = delete(&mut controller, &by_state(vec![state(Some("a"), Uuid::ZERO)]));
    assert_eq!(lines, ["a TOPIC_DELETION_DISABLED Topic deletion is disabled."]);
    assert!(log.is_empty());
}
