//! A webhook that a program declares: the keys of config.toml, judged by the same parser as a file's.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::config::{toml_key, toml_value};

/// A webhook declared in code, beside those of the configuration: see [`Builder::webhook`](super::Builder::webhook).
///
/// ```
/// use serde_json::json;
/// use tenterhook::Webhook;
///
/// let webhook = Webhook::new("ops-slack", "https://hooks.slack.com/services/T000/B000/XXXX")
///     .events(["circuit_breaker.*", "rate_limit.exceeded"])
///     .transform("slack")
///     .set("filter", json!({"data": {"errorRate": {"$gt": 0.5}}}))
///     .set("retry", json!({"schedule": ["15s", "2m", "10m", "1h"]}));
/// ```
#[derive(Clone, PartialEq)]
#[must_use = "a webhook does nothing until it is given to a builder"]
pub struct Webhook {
    id: String,
    keys: BTreeMap<String, Value>,
}

impl Webhook {
    /// Of all events but those about Tenterhook itself; [`events`](Webhook::events) chooses.
    pub fn new(id: impl Into<String>, url: impl Into<String>) -> Self {
        Self { id: id.into(), keys: BTreeMap::new() }.set("url", Into::<String>::into(url)).events(["*"])
    }

    /// Only events whose types match one of these patterns.
    pub fn events<P: Into<String>>(self, patterns: impl IntoIterator<Item = P>) -> Self {
        self.set("events", patterns.into_iter().map(Into::into).collect::<Vec<String>>())
    }

    /// What its requests are signed with; without, one is generated and stored.
    pub fn secret(self, secret: impl Into<String>) -> Self {
        self.set("secret", Into::<String>::into(secret))
    }

    /// Only events of this tenant.
    pub fn tenant(self, tenant: impl Into<String>) -> Self {
        self.set("tenant", Into::<String>::into(tenant))
    }

    /// A transformer without options; others by [`set`](Webhook::set).
    pub fn transform(self, name: impl Into<String>) -> Self {
        self.set("transform", Into::<String>::into(name))
    }

    /// Any key of config.toml. Values are taken as they are: a `${…}` is not filled in.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.keys.insert(key.into(), value.into());
        self
    }

    pub(super) fn table(&self) -> String {
        let keys = self.keys.iter().filter_map(|(key, value)| Some(format!("{} = {}\n", toml_key(key), toml_value(value)?)));
        format!("[webhooks.{}]\n{}", toml_key(&self.id), keys.collect::<String>())
    }
}

/// Values may be secrets.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&String> = self.keys.keys().collect();
        f.debug_struct("Webhook").field("id", &self.id).field("keys", &keys).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_webhook_is_a_table_of_config_toml() {
        let webhook =
            Webhook::new("a", "https://a.example/?${HOME}").secret("s3cr3t-${X}").set("retry", json!({"max_retries": 0}));
        assert_eq!(
            webhook.table(),
            "[webhooks.a]\nevents = [\"*\"]\nretry = { max_retries = 0 }\nsecret = \"s3cr3t-$${X}\"\nurl = \"https://a.example/?$${HOME}\"\n"
        );
        assert!(!format!("{webhook:?}").contains("s3cr3t"), "{webhook:?}");
    }
}
