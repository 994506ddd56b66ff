//! Settings of a topic: those that are its own, and changes of them.

use ringlog_wire::api::describe_configs::{
    self, DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse,
};
use ringlog_wire::api::incremental_alter_configs::{
    self, AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

use super::client::{Client, refusal};

/// `ConfigResource.Type` of a topic.
const RESOURCE_TOPIC: i8 = 2;
/// `ConfigSource` of a setting that is the topic's own.
const SOURCE_TOPIC: i8 = 1;
/// `AlterConfigOp`s.
const SET: i8 = 0;
const DELETE: i8 = 1;

/// Reads `KEY=VALUE`.
///
/// # Errors
/// It is none.
pub fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .filter(|(key, _)| !key.trim().is_empty())
        .ok_or_else(|| format!("--config: expected KEY=VALUE, found {text:?}"))?;
    Ok((key.trim().to_string(), value.trim().to_string()))
}

/// What `topic` has of its own, by name; all else is the broker's.
///
/// # Errors
/// The broker's refusal, or why there is no answer.
pub fn own(client: &mut Client, topic: &str) -> Result<Vec<(String, String)>, String> {
    let resource = DescribeConfigsResource {
        resource_type: RESOURCE_TOPIC,
        resource_name: topic.into(),
        configuration_keys: None,
    };
    let request =
        DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
    let answer: DescribeConfigsResponse = client.call(&describe_configs::API, &request)?;
    let result = answer.results.into_iter().next().ok_or("the broker's answer names no topic")?;
    if !result.error_code.is_none() {
        let why = refusal(result.error_code, result.error_message.as_deref());
        return Err(format!("topic {topic}: its settings are not told: {why}"));
    }
    let own = result.configs.into_iter().filter(|config| config.config_source == SOURCE_TOPIC);
    let mut own: Vec<_> =
        own.map(|config| (config.name, config.value.unwrap_or_default())).collect();
    own.sort();
    Ok(own)
}

/// Sets and deletes settings of `topic`: all of them or, where one is refused, none.
///
/// # Errors
/// The broker's refusal, or why there is no answer.
pub fn change(
    client: &mut Client,
    topic: &str,
    set: Vec<(String, String)>,
    delete: &[String],
) -> Result<(), String> {
    let set = set.into_iter().map(|(name, value)| (name, SET, Some(value)));
    let delete = delete.iter().map(|name| (name.trim().to_string(), DELETE, None));
    let configs = set
        .chain(delete)
        .map(|(name, config_operation, value)| AlterableConfig { name, config_operation, value })
        .collect();
    let resource = AlterConfigsResource {
        resource_type: RESOURCE_TOPIC,
        resource_name: topic.into(),
        configs,
    };
    let request =
        IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let answer: IncrementalAlterConfigsResponse =
        client.call(&incremental_alter_configs::API, &request)?;
    let result = answer.responses.first().ok_or("the broker's answer names no topic")?;
    match result.error_code.is_none() {
        true => Ok(()),
        false => {
            let why = refusal(result.error_code, result.error_message.as_deref());
            Err(format!("topic {topic} was not altered: {why}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::setting;

    #[test]
    fn settings_are_read_or_refused() {
        let pair = |key: &str, value: &str| Ok((key.to_string(), value.to_string()));
        assert_eq!(setting("retention.ms=5"), pair("retention.ms", "5"));
        assert_eq!(setting("cleanup.policy = compact"), pair("cleanup.policy", "compact"));
        assert_eq!(setting("x=a=b"), pair("x", "a=b"));
        assert_eq!(setting("x="), pair("x", ""));
        for bad in ["retention.ms", "=5", ""] {
            assert!(setting(bad).unwrap_err().contains("KEY=VALUE"), "{bad}");
        }
    }
}
