//! DeleteTopics: by name (v1-5) or by name or id (v6), with Kafka's codes and words.

use std::collections::{BTreeMap, BTreeSet};

use ringlog_wire::api::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use ringlog_wire::records::{MetadataRecord, RemoveTopicRecord};
use ringlog_wire::{ErrorCode, Uuid};

use super::command::{Command, Reply};
use super::controller::Controller;
use super::create::Refusal;

/// Whom a request means.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Name(String),
    Id(Uuid),
}

impl Controller {
    /// Deletes topics. `token` comes back with the reply.
    pub fn delete_topics(
        &mut self,
        now_ms: i64,
        token: u64,
        request: &DeleteTopicsRequest,
    ) -> Vec<Command> {
        let mut out = Vec::new();
        if let Some(code) = self.refusal() {
            let refusal = (code, code.name().to_string());
            let responses =
                request_states(request).map(|state| refused(&state, &refusal)).collect();
            let reply =
                Reply::DeleteTopics(DeleteTopicsResponse { responses, throttle_time_ms: 0 });
            return vec![Command::Reply(token, reply)];
        }
        let mut records = Vec::new();
        let mut responses = Vec::new();
        let targets: Vec<_> = targets(request).collect();
        let twice = self.meant_twice(&targets);
        for (state, target) in targets {
            // A topic that is meant by its id and by its name is refused once, under its name.
            if matches!(target, Ok(Target::Id(id)) if twice.contains(&id)) {
                continue;
            }
            let found = target.and_then(|target| self.find_deletable(&target, &twice));
            responses.push(match found {
                Err(refusal) => {
                    let known = state.name.as_deref().and_then(|name| self.id_of(name));
                    let topic_id = known.filter(|id| twice.contains(id)).unwrap_or(state.topic_id);
                    refused(&DeleteTopicState { topic_id, ..state }, &refusal)
                }
                Ok((name, topic_id)) => {
                    records.push(MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id }));
                    DeletableTopicResult {
                        name: Some(name),
                        topic_id,
                        error_code: ErrorCode::None,
                        error_message: None,
                    }
                }
            });
        }
        if !records.is_empty() && self.append_atomic(now_ms, records, &mut out).is_err() {
            let text = "Unable to perform excessively large batch operation.";
            let refusal = (ErrorCode::PolicyViolation, text.to_string());
            responses = request_states(request).map(|state| refused(&state, &refusal)).collect();
        }
        let reply = Reply::DeleteTopics(DeleteTopicsResponse { responses, throttle_time_ms: 0 });
        self.reply(token, reply, &mut out);
        out
    }

    fn id_of(&self, name: &str) -> Option<Uuid> {
        Some(self.staged.staged().topic_named(name)?.id)
    }

    /// Topics that are meant by their id and by their name.
    fn meant_twice(
        &self,
        targets: &[(DeleteTopicState, Result<Target, Refusal>)],
    ) -> BTreeSet<Uuid> {
        let meant = || targets.iter().filter_map(|(_, target)| target.as_ref().ok());
        let by_id: BTreeSet<Uuid> = meant()
            .filter_map(|target| match target {
                Target::Id(id) => Some(*id),
                Target::Name(_) => None,
            })
            .collect();
        let by_name = meant().filter_map(|target| match target {
            Target::Name(name) => self.id_of(name),
            Target::Id(_) => None,
        });
        by_name.filter(|id| by_id.contains(id)).collect()
    }

    fn find_deletable(
        &self,
        target: &Target,
        twice: &BTreeSet<Uuid>,
    ) -> Result<(String, Uuid), Refusal> {
        let image = self.staged.staged();
        let refuse = |code: ErrorCode, text: &str| Err((code, text.to_string()));
        if !self.settings.delete_topic_enable {
            return refuse(ErrorCode::TopicDeletionDisabled, "Topic deletion is disabled.");
        }
        let (topic, code, text) = match target {
            Target::Name(name) => (
                image.topic_named(name),
                ErrorCode::UnknownTopicOrPartition,
                "This server does not host this topic-partition.",
            ),
            Target::Id(id) => (
                image.topic(*id),
                ErrorCode::UnknownTopicId,
                "This server does not host this topic ID.",
            ),
        };
        let Some(topic) = topic else { return refuse(code, text) };
        if twice.contains(&topic.id) {
            return refuse(
                ErrorCode::InvalidRequest,
                "The provided topic name maps to an ID that was already supplied.",
            );
        }
        Ok((topic.name.to_string(), topic.id))
    }
}

fn request_states(request: &DeleteTopicsRequest) -> impl Iterator<Item = DeleteTopicState> {
    let named = |name: &String| DeleteTopicState { name: Some(name.clone()), topic_id: Uuid::ZERO };
    request.topic_names.iter().map(named).chain(request.topics.iter().cloned())
}

/// Each name and each id once; what is named twice, in two ways at once or not at all is refused.
fn targets(
    request: &DeleteTopicsRequest,
) -> impl Iterator<Item = (DeleteTopicState, Result<Target, Refusal>)> {
    let refuse = |text: &str| Err((ErrorCode::InvalidRequest, text.to_string()));
    let target = move |state: &DeleteTopicState| match (&state.name, state.topic_id) {
        (None, Uuid::ZERO) => refuse("Neither topic name nor id were specified."),
        (None, id) => Ok(Target::Id(id)),
        (Some(name), Uuid::ZERO) => Ok(Target::Name(name.clone())),
        (Some(_), _) => refuse("You may not specify both topic name and topic id."),
    };
    let states: Vec<_> = request_states(request).map(|state| (target(&state), state)).collect();
    let mut times = BTreeMap::<Target, usize>::new();
    for target in states.iter().filter_map(|(target, _)| target.as_ref().ok()) {
        *times.entry(target.clone()).or_default() += 1;
    }
    states.into_iter().filter_map(move |(target, state)| match target {
        Err(refusal) => Some((state, Err(refusal))),
        Ok(target) => match (times.remove(&target)?, &target) {
            (1, _) => Some((state, Ok(target))),
            (_, Target::Name(_)) => Some((state, refuse("Duplicate topic name."))),
            (_, Target::Id(_)) => Some((state, refuse("Duplicate topic id."))),
        },
    })
}

fn refused(state: &DeleteTopicState, refusal: &Refusal) -> DeletableTopicResult {
    DeletableTopicResult {
        name: state.name.clone(),
        topic_id: state.topic_id,
        error_code: refusal.0,
        error_message: Some(refusal.1.clone()),
    }
}
