//! AlterConfigs and IncrementalAlterConfigs: checks and records. Codes, words and order of the
//! checks are those of Kafka 4.3.1's broker and controller, seen on running ones.
//!
//! Invariants: a resource is changed whole or not at all; all the resources of a request that pass
//! are written as one batch. Only what differs is written.
//!
//! Kinds of resources that nothing here acts on are refused, so that nobody relies on them: client
//! metrics (telemetry is not served) and groups.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ringlog_wire::ErrorCode;
use ringlog_wire::records::{ClearElrRecord, ConfigRecord, MetadataRecord};

use super::command::{Command, Reply};
use super::config_value::words_of;
use super::controller::Controller;
use super::create::too_large;
use super::image::{RESOURCE_BROKER, RESOURCE_TOPIC};
use super::topic_config::MIN_INSYNC_REPLICAS;
use super::{broker_config, features, names, topic_config};

/// Kafka's number for the levels of a broker's log.
pub const RESOURCE_BROKER_LOGGER: i8 = 8;
/// Kafka's number for subscriptions to clients' metrics.
pub const RESOURCE_CLIENT_METRICS: i8 = 16;
/// Kafka's number for groups.
pub const RESOURCE_GROUP: i8 = 32;

/// Why a resource is not changed.
pub type Refusal = (ErrorCode, String);

/// What is to become of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// It gets the value.
    Set,
    /// It gets none.
    Delete,
    /// The words join its list.
    Append,
    /// The words leave its list.
    Subtract,
    /// A number that is no operation.
    Unknown(i8),
}

impl Op {
    /// The operation of that number on the wire.
    pub fn from_code(code: i8) -> Op {
        match code {
            0 => Op::Set,
            1 => Op::Delete,
            2 => Op::Append,
            3 => Op::Subtract,
            other => Op::Unknown(other),
        }
    }
}

/// A setting, what is to become of it, and the value for that.
pub type Change = (String, Op, Option<String>);

/// What is asked of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceChange {
    /// Kafka's number for the kind.
    pub kind: i8,
    /// Its name in the metadata log; for a broker that is not this one, why it cannot be changed.
    pub name: Result<String, String>,
    /// The changes.
    pub changes: Vec<Change>,
}

/// A request to change settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlterAsk {
    /// What is asked of each resource.
    pub resources: Vec<ResourceChange>,
    /// Settings that are not mentioned are forgotten (AlterConfigs).
    pub replace: bool,
    /// Only check.
    pub validate_only: bool,
}

type Configs = BTreeMap<String, String>;

fn refuse<T>(code: ErrorCode, text: impl Into<String>) -> Result<T, Refusal> {
    Err((code, text.into()))
}

impl Controller {
    /// Changes settings. `token` comes back with the reply, which has a result for each resource,
    /// in the request's order.
    pub fn alter_configs(&mut self, now_ms: i64, token: u64, ask: &AlterAsk) -> Vec<Command> {
        let mut out = Vec::new();
        if let Some(code) = self.refusal() {
            let results = refuse_all(ask, &(code, code.name().to_string()));
            return vec![Command::Reply(token, Reply::AlterConfigs(results))];
        }
        let mut times = HashMap::new();
        for resource in &ask.resources {
            *times.entry((resource.kind, &resource.name)).or_insert(0) += 1;
        }
        let mut records = Vec::new();
        let mut results = Vec::with_capacity(ask.resources.len());
        for resource in &ask.resources {
            results.push(if times[&(resource.kind, &resource.name)] > 1 {
                refuse(ErrorCode::InvalidRequest, "Each resource must appear at most once.")
            } else {
                let planned = self.plan_change(ask.replace, resource);
                planned.map(|mut changed| records.append(&mut changed))
            });
        }
        records.extend(self.clear_elr_for(&records));
        if ask.validate_only {
            if records.len() > super::batches::BATCH_RECORDS_MAX {
                results = refuse_all(ask, &too_large());
            }
        } else if !records.is_empty() && self.append_atomic(now_ms, records, &mut out).is_err() {
            results = refuse_all(ask, &too_large());
        }
        self.reply(token, Reply::AlterConfigs(results), &mut out);
        out
    }

    /// The records that change one resource.
    fn plan_change(
        &self,
        replace: bool,
        resource: &ResourceChange,
    ) -> Result<Vec<MetadataRecord>, Refusal> {
        check_form(resource)?;
        let name = match &resource.name {
            Ok(name) => name,
            Err(why) => return refuse(ErrorCode::InvalidRequest, why.clone()),
        };
        let existing = self.staged.staged().configs_of(resource.kind, name);
        let existing = existing.map(|configs| (**configs).clone()).unwrap_or_default();
        let start = if replace { Configs::new() } else { existing.clone() };
        let next = match resource.kind {
            RESOURCE_TOPIC => {
                let next = next_of(resource, start, &existing)?;
                self.check_topic(name, &next)?;
                next
            }
            RESOURCE_BROKER => {
                let next = next_of(resource, start, &existing)?;
                self.check_broker(name, resource, &existing, &next)?;
                next
            }
            RESOURCE_BROKER_LOGGER if !replace => {
                let text = "The levels of the log are set at the start, with RINGLOG_LOG.";
                return refuse(ErrorCode::InvalidRequest, text);
            }
            RESOURCE_CLIENT_METRICS => {
                let text = "Clients' metrics are not taken here: there are no subscriptions.";
                return refuse(ErrorCode::InvalidRequest, text);
            }
            RESOURCE_GROUP => {
                let text = "Groups have no settings of their own here.";
                return refuse(ErrorCode::InvalidRequest, text);
            }
            kind => {
                return refuse(ErrorCode::InvalidRequest, format!("Unknown resource type {kind}"));
            }
        };
        Ok(records_between(resource.kind, name, &existing, &next))
    }

    fn check_topic(&self, name: &str, next: &Configs) -> Result<(), Refusal> {
        if name.is_empty() {
            return refuse(ErrorCode::InvalidRequest, "Default topic resources are not allowed.");
        }
        names::check_topic_name(name)
            .map_err(|error| (ErrorCode::InvalidTopicException, error.to_string()))?;
        topic_config::check(self.surroundings(), &borrowed(next))
            .map_err(|text| (ErrorCode::InvalidConfig, text))?;
        if !self.staged.staged().topic_ids.contains_key(name) {
            let text = format!("The topic '{name}' does not exist.");
            return refuse(ErrorCode::UnknownTopicOrPartition, text);
        }
        Ok(())
    }

    /// The name `""` is every broker.
    fn check_broker(
        &self,
        name: &str,
        resource: &ResourceChange,
        existing: &Configs,
        next: &Configs,
    ) -> Result<(), Refusal> {
        let asked = resource.changes.iter().filter(|(_, op, _)| *op != Op::Delete);
        let asked: Vec<&str> = asked.map(|(name, _, _)| name.as_str()).collect();
        broker_config::check(&borrowed(next), &asked)
            .map_err(|text| (ErrorCode::InvalidRequest, text))?;
        if !self.has_elr() {
            return Ok(());
        }
        let mentioned = resource.changes.iter().any(|(name, _, _)| name == MIN_INSYNC_REPLICAS);
        let text = match name {
            "" if next.contains_key(MIN_INSYNC_REPLICAS) => return Ok(()),
            "" if mentioned || existing.contains_key(MIN_INSYNC_REPLICAS) => {
                "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."
            }
            "" => return Ok(()),
            _ if mentioned => {
                "Broker-level min.insync.replicas cannot be altered while ELR is enabled."
            }
            _ => return Ok(()),
        };
        refuse(ErrorCode::InvalidConfig, text)
    }

    fn has_elr(&self) -> bool {
        self.staged.staged().features.contains_key(features::ELR_VERSION)
    }

    /// Replicas that were eligible under another `min.insync.replicas` are so no more.
    fn clear_elr_for(&self, records: &[MetadataRecord]) -> Vec<MetadataRecord> {
        let mut topics = BTreeSet::new();
        if self.has_elr() {
            for record in records {
                match record {
                    MetadataRecord::Config(config) if config.name != MIN_INSYNC_REPLICAS => {}
                    MetadataRecord::Config(config) if config.resource_type == RESOURCE_TOPIC => {
                        topics.insert(config.resource_name.clone());
                    }
                    // Of every broker, so of every topic.
                    MetadataRecord::Config(config) if config.resource_name.is_empty() => {
                        topics = [String::new()].into();
                        break;
                    }
                    _ => {}
                }
            }
        }
        let record = |topic_name| MetadataRecord::ClearElr(ClearElrRecord { topic_name });
        topics.into_iter().map(record).collect()
    }
}

/// What Kafka refuses whatever the resource is.
fn check_form(resource: &ResourceChange) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    if !resource.changes.iter().all(|(name, _, _)| seen.insert(name)) {
        return refuse(ErrorCode::InvalidRequest, "Error due to duplicate config keys");
    }
    let nulls = resource.changes.iter();
    let nulls = nulls.filter(|(_, op, value)| *op != Op::Delete && value.is_none());
    let nulls: Vec<&str> = nulls.map(|(name, _, _)| name.as_str()).collect();
    if !nulls.is_empty() {
        let text = format!("Null value not supported for : {}", nulls.join(", "));
        return refuse(ErrorCode::InvalidRequest, text);
    }
    Ok(())
}

/// The settings after the changes.
fn next_of(
    resource: &ResourceChange,
    mut next: Configs,
    existing: &Configs,
) -> Result<Configs, Refusal> {
    for (name, op, value) in &resource.changes {
        let value = value.as_deref().unwrap_or_default();
        let changed = match op {
            Op::Set => Some(value.to_string()),
            Op::Delete => None,
            Op::Append | Op::Subtract => {
                let list = list_of(resource.kind, name, *op, existing)?;
                Some(changed_list(&list, *op == Op::Append, value))
            }
            Op::Unknown(code) => {
                let text = format!("Unknown operations type {code}");
                return refuse(ErrorCode::InvalidRequest, text);
            }
        };
        match changed {
            Some(value) => next.insert(name.clone(), value),
            None => next.remove(name),
        };
    }
    Ok(next)
}

/// The words of a list as it is: the resource's own, else Kafka's default.
fn list_of(kind: i8, name: &str, op: Op, existing: &Configs) -> Result<Vec<String>, Refusal> {
    let (setting, default) = match kind {
        RESOURCE_TOPIC => {
            let setting = topic_config::find(name);
            (setting.map(|setting| setting.kind), setting.map(|setting| setting.default))
        }
        _ => {
            let default = broker_config::find(name).and_then(|setting| setting.default);
            (broker_config::kind_of(name), default)
        }
    };
    if !setting.is_some_and(|kind| kind.is_list()) {
        let (loud, quiet) = match op {
            Op::Append => ("APPEND", "append"),
            _ => ("SUBTRACT", "subtract"),
        };
        let text = match kind {
            RESOURCE_TOPIC => {
                format!("Can't {loud} to key {name} because its type is not LIST.")
            }
            _ => format!("Config value {quiet} is not allowed for config key: {name}"),
        };
        return refuse(ErrorCode::InvalidConfig, text);
    }
    let value = existing.get(name).map(String::as_str).or(default).unwrap_or_default();
    Ok(words_of(value))
}

/// Appending leaves out words that are there; taking out takes the first of its equals, as often as
/// the word is given.
fn changed_list(list: &[String], append: bool, value: &str) -> String {
    let mut words: Vec<&str> = list.iter().map(String::as_str).collect();
    if append {
        let mut seen: HashSet<&str> = words.iter().copied().collect();
        words.extend(value.split(',').filter(|word| seen.insert(*word)));
    } else {
        let mut times = HashMap::<&str, usize>::new();
        value.split(',').for_each(|word| *times.entry(word).or_default() += 1);
        words.retain(|word| match times.get_mut(word) {
            Some(left) if *left > 0 => {
                *left -= 1;
                false
            }
            _ => true,
        });
    }
    words.join(",")
}

fn records_between(
    kind: i8,
    name: &str,
    existing: &Configs,
    next: &Configs,
) -> Vec<MetadataRecord> {
    let keys: BTreeSet<&String> = existing.keys().chain(next.keys()).collect();
    let changed = keys.into_iter().filter(|key| existing.get(*key) != next.get(*key));
    let record = |key: &String| {
        MetadataRecord::Config(ConfigRecord {
            resource_type: kind,
            resource_name: name.to_string(),
            name: key.clone(),
            value: next.get(key).cloned(),
        })
    };
    changed.map(record).collect()
}

fn borrowed(configs: &Configs) -> BTreeMap<&str, &str> {
    configs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn refuse_all(ask: &AlterAsk, refusal: &Refusal) -> Vec<Result<(), Refusal>> {
    ask.resources.iter().map(|_| Err(refusal.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_join_and_leave_a_list() {
        for (list, append, value, expected) in [
            ("a,b", true, "b,c,c,d", "a,b,c,d"),
            ("a,a", true, "a", "a,a"),
            ("", true, "", ""),
            ("a,b,a,c,a", false, "a,a,x", "b,c,a"),
            ("a,b", false, "b,a", ""),
        ] {
            assert_eq!(changed_list(&words_of(list), append, value), expected, "{list} {value}");
        }
    }

    #[test]
    fn a_long_list_takes_no_longer_for_each_word() {
        // 300,000 words against each other are 10^11 comparisons.
        let words: Vec<String> = (0..300_000).map(|number| number.to_string()).collect();
        let text = words.join(",");
        assert_eq!(changed_list(&[], true, &text), text);
        assert_eq!(changed_list(&words, false, &text), "");
        assert_eq!(super::super::config_value::Kind::List.normal(&text), text);
    }
}
