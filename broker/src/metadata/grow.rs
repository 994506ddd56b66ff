//! CreatePartitions: a topic gets more partitions. Codes, words and order of the checks are those
//! of Kafka 4.3.1's controller, seen on a running one.
//!
//! Invariants: all the topics of a request that pass are written as one batch; a topic refused
//! changes nothing; the partitions that are there keep their numbers.
//!
//! Unlike Kafka, more partitions than one batch holds are refused with POLICY_VIOLATION, as by
//! CreateTopics: Kafka's controller fails with UNKNOWN_SERVER_ERROR.

use std::collections::BTreeMap;

use ringlog_wire::ErrorCode;
use ringlog_wire::api::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsResponse,
    CreatePartitionsTopic, CreatePartitionsTopicResult,
};
use ringlog_wire::api::create_topics::CreatableReplicaAssignment;
use ringlog_wire::records::MetadataRecord;

use super::command::{Command, Reply};
use super::controller::Controller;
use super::create::{self, PARTITIONS_MAX, PARTITIONS_PER_REQUEST_MAX, Refusal};

impl Controller {
    /// Adds partitions to topics. `token` comes back with the reply.
    pub fn create_partitions(
        &mut self,
        now_ms: i64,
        token: u64,
        request: &CreatePartitionsRequest,
    ) -> Vec<Command> {
        let mut out = Vec::new();
        if let Some(code) = self.refusal() {
            let response = refuse_all(request, &(code, Some(code.name().to_string())));
            return vec![Command::Reply(token, Reply::CreatePartitions(response))];
        }
        let mut records = Vec::new();
        let (once, mut results) = each_name_once(request);
        let present = self.staged.staged().partition_count();
        for topic in once {
            let grown = self.grow(topic, present, &mut records);
            results.push(result(&topic.name, grown.err()));
        }
        let mut response = CreatePartitionsResponse { throttle_time_ms: 0, results };
        if !request.validate_only
            && !records.is_empty()
            && self.append_atomic(now_ms, records, &mut out).is_err()
        {
            let (code, text) = create::too_large();
            response = refuse_all(request, &(code, Some(text)));
        }
        self.reply(token, Reply::CreatePartitions(response), &mut out);
        out
    }

    /// Adds one topic's new partitions to the records, or says why not. `all` is how many the
    /// cluster has.
    fn grow(
        &self,
        topic: &CreatePartitionsTopic,
        all: usize,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<(), Reason> {
        let image = self.staged.staged();
        let Some(present) = image.topic_named(&topic.name) else {
            return Err((ErrorCode::UnknownTopicOrPartition, None));
        };
        let first = present.partitions.len() as i32;
        let added = check_count(topic, first)?;
        if let Some(assignments) = &topic.assignments
            && assignments.len() != added
        {
            let given = assignments.len();
            let text = format!(
                "Attempted to add {added} additional partition(s), but only {given} assignment(s) \
                 were specified."
            );
            return Err((ErrorCode::InvalidReplicaAssignment, Some(text)));
        }
        let staged = records.len() + added;
        if staged as i64 > PARTITIONS_PER_REQUEST_MAX || all + staged > PARTITIONS_MAX {
            let text = "Excessively large number of partitions per request.";
            return Err((ErrorCode::PolicyViolation, Some(text.into())));
        }
        let factor = present.partitions.values().next().map_or(1, |one| one.replicas.len());
        let replicas = match &topic.assignments {
            None => self.place_replicas(factor as i16, added),
            Some(assignments) => self.assigned_after(first, factor, assignments),
        };
        let replicas = replicas.map_err(|(code, text)| (code, Some(text)))?;
        for (index, replicas) in (first..).zip(replicas) {
            records.push(self.partition_record(present.id, index, replicas));
        }
        Ok(())
    }

    /// Replicas as the request assigns them to the partitions from `first` on.
    fn assigned_after(
        &self,
        first: i32,
        factor: usize,
        assignments: &[CreatePartitionsAssignment],
    ) -> Result<Vec<Vec<i32>>, Refusal> {
        let check = |(index, assignment): (i32, &CreatePartitionsAssignment)| {
            let broker_ids = assignment.broker_ids.clone();
            let assignment = CreatableReplicaAssignment { partition_index: index, broker_ids };
            create::check_replicas(self.staged.staged(), &assignment, Some(factor))?;
            Ok(assignment.broker_ids)
        };
        (first..).zip(assignments).map(check).collect()
    }
}

/// Why a topic does not grow, with the words that Kafka has for it, if any.
type Reason = (ErrorCode, Option<String>);

/// How many partitions are to be added to the `present` ones.
fn check_count(topic: &CreatePartitionsTopic, present: i32) -> Result<usize, Reason> {
    let (name, count) = (&topic.name, topic.count);
    let refuse = |text| Err((ErrorCode::InvalidPartitions, Some(text)));
    if count == present {
        return refuse(format!("Topic already has {present} partition(s)."));
    }
    if count < present {
        return refuse(format!(
            "The topic {name} currently has {present} partition(s); {count} would not be an \
             increase."
        ));
    }
    Ok((count - present) as usize)
}

/// The topics whose names stand there once, and the refusal of those that stand there twice.
fn each_name_once(
    request: &CreatePartitionsRequest,
) -> (Vec<&CreatePartitionsTopic>, Vec<CreatePartitionsTopicResult>) {
    let mut seen = BTreeMap::<&str, usize>::new();
    for topic in &request.topics {
        *seen.entry(&topic.name).or_default() += 1;
    }
    let (mut once, mut refused) = (Vec::new(), Vec::new());
    for topic in &request.topics {
        match seen.remove(topic.name.as_str()) {
            None => {}
            Some(1) => once.push(topic),
            Some(_) => {
                let why = (ErrorCode::InvalidRequest, Some("Duplicate topic name.".to_string()));
                refused.push(result(&topic.name, Some(why)));
            }
        }
    }
    (once, refused)
}

fn refuse_all(request: &CreatePartitionsRequest, reason: &Reason) -> CreatePartitionsResponse {
    let (once, mut results) = each_name_once(request);
    results.extend(once.iter().map(|topic| result(&topic.name, Some(reason.clone()))));
    CreatePartitionsResponse { throttle_time_ms: 0, results }
}

fn result(name: &str, reason: Option<Reason>) -> CreatePartitionsTopicResult {
    let (error_code, error_message) = reason.unwrap_or_default();
    CreatePartitionsTopicResult { name: name.to_string(), error_code, error_message }
}
