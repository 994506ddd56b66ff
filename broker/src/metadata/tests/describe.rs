//! DescribeConfigs: values, sources and synonyms as Kafka 4.3.1 told them.

use std::sync::Arc;

use super::*;
use crate::metadata::broker_config::{self, Mode};
use crate::metadata::config_value::{Kind, LONG_MAX_TEXT};
use crate::metadata::describe::{Entry, Wanted};
use crate::metadata::image::{RESOURCE_BROKER, RESOURCE_TOPIC};
use crate::metadata::topic_config::Surroundings;
use crate::metadata::unused_config;

/// Kind, resource, name and value of Config records.
type Configs<'a> = &'a [(i8, &'a str, &'a str, &'a str)];

fn image(configs: Configs<'_>) -> Image {
    let mut image = Image::new("cluster");
    for (kind, resource, name, value) in configs {
        let own = image.configs.entry((*kind, resource.to_string())).or_default();
        Arc::make_mut(own).insert(name.to_string(), value.to_string());
    }
    image
}

/// `value source [source:name=value;…]`, as the probe of Kafka printed it.
fn line(entry: &Entry) -> String {
    let synonyms = entry.synonyms.iter().map(|synonym| {
        let value = synonym.value.as_deref().unwrap_or("null");
        format!("{}:{}={value};", synonym.source as i8, synonym.name)
    });
    let synonyms: String = synonyms.collect();
    let value = entry.value.as_deref().unwrap_or("null");
    format!("{value} {} [{synonyms}]", entry.source as i8)
}

fn told(configs: Configs<'_>, statics: &[(&str, &str)], topic: bool, name: &str) -> String {
    let image = image(configs);
    let statics = statics.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let statics = statics.collect();
    let around = Surroundings { image: &image, statics: &statics, node_id: 1 };
    let names = [name.to_string()];
    let wanted = Wanted::new(Some(&names));
    let entries =
        if topic { around.describe_topic("t", &wanted) } else { around.describe_broker(&wanted) };
    entries.first().map_or("none".into(), line)
}

#[test]
fn rule_63_sources_and_synonyms() {
    const T: i8 = RESOURCE_TOPIC;
    const B: i8 = RESOURCE_BROKER;
    let topic = |configs: Configs<'_>, name: &str| told(configs, &[], true, name);
    let broker = |configs: Configs<'_>, name: &str| told(configs, &[], false, name);
    assert_eq!(topic(&[], "compression.type"), "producer 5 [5:compression.type=producer;]");
    assert_eq!(topic(&[], "retention.ms"), "604800000 5 []");
    assert_eq!(topic(&[(T, "t", "retention.ms", "1")], "retention.ms"), "1 1 [1:retention.ms=1;]");
    assert_eq!(
        topic(&[(T, "t", "cleanup.policy", "")], "cleanup.policy"),
        " 1 [1:cleanup.policy=;5:log.cleanup.policy=delete;]"
    );
    let both = [(B, "1", "log.retention.ms", "5000"), (B, "", "log.retention.ms", "6000")];
    let expected = "5000 2 [2:log.retention.ms=5000;3:log.retention.ms=6000;\
                    5:log.retention.hours=168;]";
    assert_eq!(topic(&both, "retention.ms"), expected);
    assert_eq!(broker(&both, "log.retention.ms"), expected);
    assert_eq!(broker(&both, "log.retention.hours"), "168 5 [5:log.retention.hours=168;]");
    assert_eq!(broker(&both, "log.retention.minutes"), "null 5 []");
    assert_eq!(
        topic(&both[1..], "retention.ms"),
        "6000 3 [3:log.retention.ms=6000;5:log.retention.hours=168;]"
    );
    assert_eq!(
        topic(&[(B, "1", "log.flush.interval.ms", "500")], "flush.ms"),
        format!(
            "500 2 [2:log.flush.interval.ms=500;5:log.flush.scheduler.interval.ms={LONG_MAX_TEXT};]"
        )
    );
    assert_eq!(
        told(&[], &[("num.partitions", "4")], false, "num.partitions"),
        "4 4 [4:num.partitions=4;5:num.partitions=1;]"
    );
    // What holds comes from the hours, but Kafka does not say so.
    assert_eq!(told(&[], &[("log.retention.hours", "1")], true, "retention.ms"), "3600000 5 []");
    // What is not known may be a secret.
    assert_eq!(broker(&[(B, "1", "nope", "9")], "nope"), "null 2 [2:nope=null;]");
    assert_eq!(broker(&[], "nope"), "none");
    // Another broker's settings are not ours.
    let other = [(B, "2", "log.retention.ms", "9")];
    assert_eq!(broker(&other, "log.retention.ms"), "null 5 []");
}

#[test]
fn all_brokers_at_once_have_only_what_was_set() {
    let configs = [(4, "", "log.retention.ms", "6000"), (4, "", "nope", "1")];
    let (image, statics) = (image(&configs), BTreeMap::new());
    let around = Surroundings { image: &image, statics: &statics, node_id: 1 };
    let entries = around.describe_brokers(&Wanted::new(None));
    let lines: Vec<_> = entries.iter().map(line).collect();
    assert_eq!(lines, ["6000 3 [3:log.retention.ms=6000;]", "null 3 [3:nope=null;]"]);
    let flags: Vec<_> = entries.iter().map(|entry| (entry.read_only, entry.is_sensitive)).collect();
    assert_eq!(flags, [(false, false), (true, true)]);
}

#[test]
fn values_are_shown_as_kafka_shows_them() {
    for (kind, value, shown) in [
        (Kind::Boolean, "TRUE", "true"),
        (Kind::Long(0, 9999), " 5000 ", "5000"),
        (Kind::Int(0, 9999), "+5", "5"),
        (Kind::Ratio, ".25", "0.25"),
        (Kind::Ratio, "1", "1.0"),
        (Kind::Ratio, "0.0001", "1.0E-4"),
        (Kind::Double, "12500000", "1.25E7"),
        (Kind::List, "delete, compact, delete", "delete,compact"),
        (Kind::List, "", ""),
        (Kind::Text, " x ", "x"),
        (Kind::Int(0, 1), "what cannot be read", "what cannot be read"),
    ] {
        assert_eq!(kind.normal(value), shown, "{value}");
    }
}

#[test]
fn the_tables_of_broker_settings_are_sound() {
    assert!(broker_config::SETTINGS.is_sorted_by(|left, right| left.name < right.name));
    assert!(unused_config::DYNAMIC.is_sorted_by(|left, right| left.0 < right.0));
    assert!(unused_config::STATIC.is_sorted_by(|left, right| left < right));
    for setting in broker_config::SETTINGS {
        assert_eq!(broker_config::find(setting.name), Some(setting));
        assert_eq!(broker_config::is_static(setting.name), setting.mode == Mode::Static);
        assert!(!unused_config::is_static(setting.name), "{}", setting.name);
        assert!(unused_config::dynamic(setting.name).is_none(), "{}", setting.name);
        if let Some(default) = setting.default
            && setting.name != "broker.id"
        {
            assert_eq!(broker_config::check_one(setting.name, default), Ok(()));
        }
    }
    // Two are ours.
    let all = broker_config::SETTINGS.len() - 2
        + unused_config::DYNAMIC.len()
        + unused_config::STATIC.len();
    assert_eq!(all, KAFKA_SETTINGS);
}

/// Of `KafkaConfig`, and the three rates that only `DynamicConfig` has.
const KAFKA_SETTINGS: usize = 343;

#[test]
fn images_tell_which_topics_differ() {
    use crate::metadata::image::TopicImage;
    let mut old = image(&[(2, "a", "retention.ms", "1")]);
    for (number, name) in [(1, "a"), (2, "b")] {
        let topic = TopicImage { name: name.into(), id: id(number), partitions: BTreeMap::new() };
        old.topics.insert(topic.id, Arc::new(topic));
        old.topic_ids.insert(name.into(), id(number));
    }
    let differ = |new: &Image| new.difference(&old, 1).into_iter().collect::<Vec<_>>();
    let with = |kind: i8, resource: &str, name: &str, value: Option<&str>| {
        let mut new = old.clone();
        match value {
            Some(value) => {
                let own = new.configs.entry((kind, resource.into())).or_default();
                Arc::make_mut(own).insert(name.into(), value.into());
            }
            None => drop(new.configs.remove(&(kind, resource.to_string()))),
        }
        new
    };
    assert!(differ(&old.clone()).is_empty());
    assert_eq!(differ(&with(2, "a", "retention.ms", Some("2"))), [id(1)]);
    assert_eq!(differ(&with(2, "a", "retention.ms", None)), [id(1)]);
    assert_eq!(differ(&with(2, "b", "retention.ms", Some("2"))), [id(2)]);
    assert_eq!(differ(&with(4, "1", "log.roll.ms", Some("2"))), [id(1), id(2)]);
    assert_eq!(differ(&with(4, "", "log.roll.ms", Some("2"))), [id(1), id(2)]);
    assert!(differ(&with(4, "2", "log.roll.ms", Some("2"))).is_empty(), "another broker's");
    assert!(differ(&with(4, "1", "nobody.knows", Some("2"))).is_empty());
    let mut led = old.clone();
    Arc::make_mut(led.topics.get_mut(&id(2)).expect("b")).partitions.insert(0, Default::default());
    assert_eq!(differ(&led), [id(2)]);
}
