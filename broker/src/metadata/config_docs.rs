//! What each setting is for, in a sentence or two: the documentation that DescribeConfigs tells.

use super::topic_config;

/// By name, ascending.
#[rustfmt::skip]
const TOPICS: &[(&str, &str)] = &[
    ("cleanup.policy", "What becomes of old records: `delete` drops whole segments by age and size, `compact` keeps the last record of each key, both do both, none keeps everything."),
];

/// Of a topic's setting.
pub fn of_topic(name: &str) -> Option<&'static str> {
    let at = TOPICS.binary_search_by(|(other, _)| (*other).cmp(name)).ok()?;
    TOPICS.get(at).map(|(_, text)| *text)
}

/// Of a broker's setting: that of the topic's for which it stands, or its own.
pub fn of_broker(name: &str) -> Option<String> {
    let stands = |setting: &&topic_config::Setting| {
        setting.brokers.iter().any(|(broker, _)| *broker == name)
    };
    let setting = topic_config::SETTINGS.iter().find(stands)?;
    let text = of_topic(setting.name)?;
    Some(format!("What topics have that do not set `{}`. {text}", setting.name))
}
