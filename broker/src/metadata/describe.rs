//! DescribeConfigs: what settings hold for a topic or a broker, where each comes from, and what
//! else stands for it.
//!
//! Invariant: the order of synonyms, and which of them are told, is that of Kafka 4.3.1: sources
//! from the strongest on, names of one meaning within a source, and nothing before the first that
//! has the name asked for. So `retention.ms` has no synonyms while only `log.retention.hours` is
//! set, though that is what holds.

use std::collections::{BTreeMap, BTreeSet};

use super::config_docs;
use super::config_value::Kind;
use super::image::{RESOURCE_BROKER, RESOURCE_TOPIC};
use super::topic_config::{self, Source, Surroundings};
use super::{broker_config, unused_config};

/// A place that has a value for a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The setting's name there.
    pub name: String,
    /// The value; `None` when it is not told.
    pub value: Option<String>,
    /// The place.
    pub source: Source,
}

/// One setting in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its value; `None` when there is none, or when it is not told.
    pub value: Option<String>,
    /// It cannot be changed while the broker runs.
    pub read_only: bool,
    /// Where the value comes from.
    pub source: Source,
    /// Its value is not told.
    pub is_sensitive: bool,
    /// Every place that has a value, strongest first.
    pub synonyms: Vec<Synonym>,
    /// Kafka's number for its type.
    pub config_type: i8,
    /// What it is for.
    pub documentation: Option<String>,
}

type Configs = BTreeMap<String, String>;

impl Surroundings<'_> {
    fn dynamic(&self, resource: &str) -> Option<&Configs> {
        self.image.configs_of(RESOURCE_BROKER, resource).map(|configs| &**configs)
    }

    /// What this broker was told of one of its settings, if it was.
    pub fn broker_value(&self, name: &str) -> Option<&str> {
        let found = self.image.broker_config(self.node_id, name);
        let found = found.or_else(|| self.image.cluster_config(name));
        found.or_else(|| self.statics.get(name).map(String::as_str))
    }

    /// Every place that has a value for a broker's setting.
    fn broker_synonyms(&self, name: &str) -> Vec<Synonym> {
        let node = self.node_id.to_string();
        let (broker, cluster) = (self.dynamic(&node), self.dynamic(""));
        let names = broker_config::synonyms_of(name);
        let mut found = Vec::new();
        for source in [Source::Broker, Source::Cluster, Source::Static, Source::Default] {
            for name in &names {
                let value = match source {
                    Source::Broker => broker.and_then(|configs| configs.get(*name)),
                    Source::Cluster => cluster.and_then(|configs| configs.get(*name)),
                    Source::Static => self.statics.get(*name),
                    _ => None,
                };
                let value = value.map(String::as_str);
                let value = value.or_else(|| match source {
                    Source::Default => broker_config::find(name)?.default,
                    _ => None,
                });
                if let Some(value) = value {
                    let value = broker_config::kind_of(name).map(|kind| kind.normal(value));
                    found.push(Synonym { name: name.to_string(), value, source });
                }
            }
        }
        let first = found.iter().position(|synonym| synonym.name == name);
        found.split_off(first.unwrap_or(found.len()))
    }

    /// A topic's settings, all or those named.
    pub fn describe_topic(&self, topic: &str, wanted: &Wanted<'_>) -> Vec<Entry> {
        let own = self.image.configs_of(RESOURCE_TOPIC, topic).map(|configs| &**configs);
        let settings = topic_config::SETTINGS.iter().filter(|setting| wanted.has(setting.name));
        let entry = |setting: &topic_config::Setting| {
            let effective = self.effective(own, setting);
            let mut synonyms = Vec::new();
            if let Some(value) = own.and_then(|own| own.get(setting.name)) {
                let value = Some(setting.kind.normal(value));
                let name = setting.name.to_string();
                synonyms.push(Synonym { name, value, source: Source::Topic });
            }
            if let Some((broker, _)) = setting.brokers.first() {
                synonyms.extend(self.broker_synonyms(broker));
            }
            Entry {
                name: setting.name.to_string(),
                value: Some(setting.kind.normal(&effective.value)),
                read_only: false,
                source: synonyms.first().map_or(Source::Default, |first| first.source),
                is_sensitive: false,
                synonyms,
                config_type: setting.kind.config_type(),
                documentation: config_docs::of_topic(setting.name).map(str::to_string),
            }
        };
        settings.map(entry).collect()
    }

    /// This broker's settings, all or those named: what means something here, and whatever else
    /// was set while it ran.
    pub fn describe_broker(&self, wanted: &Wanted<'_>) -> Vec<Entry> {
        let node = self.node_id.to_string();
        let dynamic = [self.dynamic(&node), self.dynamic("")];
        let served = broker_config::SETTINGS.iter().map(|setting| setting.name);
        let set = dynamic.into_iter().flatten().flat_map(|configs| configs.keys());
        let names: BTreeSet<&str> = served.chain(set.map(String::as_str)).collect();
        let names = names.into_iter().filter(|name| wanted.has(name));
        names.map(|name| self.broker_entry(name, self.broker_synonyms(name))).collect()
    }

    /// What was set for all brokers at once.
    pub fn describe_brokers(&self, wanted: &Wanted<'_>) -> Vec<Entry> {
        let names = self.dynamic("").into_iter().flat_map(|configs| configs.keys());
        let names = names.filter(|name| wanted.has(name));
        let entry = |name: &String| {
            let mut synonyms = self.broker_synonyms(name);
            synonyms.retain(|synonym| synonym.source == Source::Cluster);
            self.broker_entry(name, synonyms)
        };
        names.map(entry).collect()
    }

    fn broker_entry(&self, name: &str, synonyms: Vec<Synonym>) -> Entry {
        let kind: Option<Kind> = broker_config::kind_of(name);
        let own = synonyms.iter().find(|synonym| synonym.name == name);
        Entry {
            name: name.to_string(),
            value: own.and_then(|synonym| synonym.value.clone()),
            read_only: match broker_config::find(name) {
                Some(_) => broker_config::is_static(name),
                None => unused_config::dynamic(name).is_none(),
            },
            source: synonyms.first().map_or(Source::Default, |first| first.source),
            // What is not known may be anything, so it may be a secret.
            is_sensitive: kind.is_none(),
            synonyms,
            config_type: kind.map_or(0, Kind::config_type),
            documentation: config_docs::of_broker(name),
        }
    }
}

/// Which settings were asked for.
#[derive(Clone, Debug)]
pub struct Wanted<'a>(Option<BTreeSet<&'a str>>);

impl<'a> Wanted<'a> {
    /// Those; none is all.
    pub fn new(names: Option<&'a [String]>) -> Wanted<'a> {
        let names = names.filter(|names| !names.is_empty());
        Wanted(names.map(|names| names.iter().map(String::as_str).collect()))
    }

    /// True for a setting that was asked for.
    pub fn has(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.contains(name))
    }
}
