//! `[webhooks.ID]` as text: keys with their values as TOML, notes as comments. Pure.

use serde_json::{Map, Value};

use crate::config::{VARIABLE, toml_key, toml_value};

/// The order that people write; what is not in it follows.
const ORDER: [&str; 21] = [
    "description",
    "url",
    "events",
    "filter",
    "transform",
    "secret",
    "signature",
    "headers",
    "enabled",
    "tenant",
    "retry",
    "retry_on",
    "success",
    "timeout",
    "connect_timeout",
    "concurrency",
    "rate_limit",
    "batch",
    "order_by",
    "breaker",
    "metadata",
];

/// One webhook as a table.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Webhook {
    pub(crate) id: String,
    pub(crate) keys: Map<String, Value>,
    /// What a person should know, one comment each.
    pub(crate) notes: Vec<String>,
}

impl Webhook {
    pub(crate) fn render(&self) -> String {
        let mut out = String::new();
        for note in &self.notes {
            out.push_str(&format!("# {}\n", note.replace(['\n', '\r'], " ")));
        }
        out.push_str(&format!("[webhooks.{}]\n", toml_key(&self.id)));
        let rest = self.keys.keys().map(String::as_str).filter(|key| !ORDER.contains(key));
        for name in ORDER.into_iter().filter(|key| self.keys.contains_key(*key)).chain(rest) {
            if let Some(text) = toml_value(&self.keys[name]) {
                out.push_str(&format!("{} = {text}\n", toml_key(name)));
            }
        }
        out
    }
}

/// The text `${NAME}`, to be filled in from the environment when the file is read.
pub(crate) fn filled_in(name: &str) -> Value {
    Value::String(format!("{VARIABLE}{{{name}}}"))
}

/// Letters, digits, `_` and `-`, at most 100, and none twice.
pub(crate) fn unique_id(wanted: &str, taken: &[Webhook]) -> String {
    let clean: String = wanted.chars().map(|c| if c.is_ascii_alphanumeric() || "_-".contains(c) { c } else { '-' }).collect();
    let clean: String = clean.trim_matches('-').chars().take(90).collect();
    let base = if clean.is_empty() { "webhook".to_owned() } else { clean };
    let is_free = |id: &str| taken.iter().all(|webhook| webhook.id != id);
    let numbered = (2..).map(|number| format!("{base}-{number}"));
    std::iter::once(base.clone()).chain(numbered).find(|id| is_free(id)).unwrap_or(base)
}

/// `OPS_SLACK_SECRET`: the variable for a key of a webhook.
pub(crate) fn variable(id: &str, key: &str) -> String {
    let text = format!("{id}_{key}").to_ascii_uppercase();
    let name: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("WEBHOOK_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn webhook(keys: Value) -> Webhook {
        Webhook { id: "a".to_owned(), keys: keys.as_object().unwrap().clone(), notes: vec!["from\nelsewhere".to_owned()] }
    }

    #[test]
    fn a_table_reads_as_people_write_it() {
        let keys = json!({
            "url": "https://a.example/", "events": ["a.*", "b"], "headers": {"X-Api Key": "a\"b\\c"}, "timeout": "5s", "tenant": null,
            "filter": {"data": {"n": {"$gt": 1.5}, "whole": {"$eq": 1e30}}}, "secret": filled_in("A_SECRET"), "description": "costs ${HOME}\n",
            "enabled": false, "x_new": 3,
        });
        assert_eq!(
            webhook(keys).render(),
            r#"# from elsewhere
[webhooks.a]
description = "costs $${HOME}\n"
url = "https://a.example/"
events = ["a.*", "b"]
filter = { data = { n = { "$gt" = 1.5 }, whole = { "$eq" = 1000000000000000000000000000000.0 } } }
secret = "${A_SECRET}"
headers = { "X-Api Key" = "a\"b\\c" }
enabled = false
timeout = "5s"
x_new = 3
"#
        );
    }

    #[test]
    fn ids_and_variables_are_made_of_any_text() {
        let taken = [Webhook { id: "ops".to_owned(), ..Webhook::default() }];
        assert_eq!(unique_id("ops", &taken), "ops-2");
        assert_eq!(unique_id("Ünïcode name!", &taken), "n-code-name");
        assert_eq!(unique_id("ops slack (prod)", &taken), "ops-slack--prod");
        assert_eq!(unique_id("", &taken), "webhook");
        assert_eq!(variable("ops-slack", "secret"), "OPS_SLACK_SECRET");
        assert_eq!(variable("1st", "url"), "WEBHOOK_1ST_URL");
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e15..1e15_f64).prop_map(Value::from),
            "[^\u{f0000}]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(".{0,6}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Another reader of TOML finds what was written; only `${` is escaped.
        #[test]
        fn what_is_written_reads_back(value in json_value()) {
            let text = webhook(json!({"metadata": {"v": value.clone()}})).render();
            let read: toml::Value = toml::from_str(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            let read = serde_json::to_value(&read["webhooks"]["a"]["metadata"]["v"]).unwrap();
            let plain = read.to_string().replace("$${", "${");
            prop_assert_eq!(plain, value.to_string());
        }
    }
}
