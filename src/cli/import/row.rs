//! One entry of an export. It remembers which members were read: what nobody read is noted, so that nothing of an export
//! is dropped without a word. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Say when an entry was written, and nothing about what it does.
const BOOKKEEPING: [&str; 4] = ["createdAt", "updatedAt", "created_at", "updated_at"];

/// Longer values are in the export.
const SHOWN_CHARS_MAX: usize = 60;

/// Parts of names whose values may be credentials.
const SENSITIVE: [&str; 8] = ["secret", "token", "password", "auth", "key", "cert", "url", "credential"];

pub(super) struct Row<'v> {
    fields: &'v Map<String, Value>,
    read: BTreeSet<&'v str>,
    /// Before the names of its members, such as `retry_config.`.
    prefix: String,
}

impl<'v> Row<'v> {
    pub(super) fn new(fields: &'v Map<String, Value>) -> Self {
        Self { fields, read: BTreeSet::new(), prefix: String::new() }
    }

    pub(super) fn get(&mut self, name: &str) -> Option<&'v Value> {
        let (name, value) = self.fields.get_key_value(name)?;
        self.read.insert(name);
        Some(value).filter(|value| !value.is_null())
    }

    /// The first of these with a value; the others are other names of it.
    pub(super) fn text(&mut self, names: &[&str]) -> Option<String> {
        let texts: Vec<&str> = names.iter().filter_map(|name| self.get(name)?.as_str()).collect();
        texts.into_iter().find(|text| !text.trim().is_empty()).map(str::to_owned)
    }

    pub(super) fn number(&mut self, names: &[&str]) -> Option<u64> {
        let numbers: Vec<u64> = names.iter().filter_map(|name| self.get(name)?.as_u64()).collect();
        numbers.into_iter().next()
    }

    /// An object within, to be read and finished by itself.
    pub(super) fn inner(&mut self, name: &str) -> Option<Row<'v>> {
        let fields = self.get(name)?.as_object()?;
        Some(Row { prefix: format!("{}{name}.", self.prefix), ..Row::new(fields) })
    }

    /// Members that say nothing about what the webhook does.
    pub(super) fn ignore(&mut self, names: &[&str]) {
        self.read.extend(names.iter().filter_map(|name| Some(self.fields.get_key_value(*name)?.0.as_str())));
    }

    /// A note for each member that was not read and has a value.
    pub(super) fn finish(self) -> Vec<String> {
        let unread = self.fields.iter().filter(|(name, value)| {
            !self.read.contains(name.as_str()) && !BOOKKEEPING.contains(&name.as_str()) && !is_empty(value)
        });
        unread
            .map(|(name, value)| format!("left out: {}{name}{} has no counterpart here", self.prefix, shown(name, value)))
            .collect()
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// ` = 3`; nothing for what is long or may be a credential.
fn shown(name: &str, value: &Value) -> String {
    let lower = name.to_ascii_lowercase();
    let is_sensitive = SENSITIVE.iter().any(|part| lower.contains(part)) && value.is_string();
    let text = value.to_string();
    let is_shown = !is_sensitive && !value.is_object() && !value.is_array() && text.chars().count() <= SHOWN_CHARS_MAX;
    if is_shown { format!(" = {text}") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_not_read_and_has_a_value_is_noted() {
        let entry = json!({"a": 1, "b": "x", "empty": [], "none": null, "updated_at": "2026", "off": false, "api_token": "t0p", "c": {"d": 1}});
        let mut row = Row::new(entry.as_object().unwrap());
        assert_eq!((row.number(&["a"]), row.text(&["nowhere", "b"]).as_deref()), (Some(1), Some("x")));
        let mut inner = row.inner("c").unwrap();
        inner.ignore(&["nothing"]);
        assert_eq!(inner.finish(), ["left out: c.d = 1 has no counterpart here"]);
        assert_eq!(
            row.finish(),
            ["left out: api_token has no counterpart here", "left out: off = false has no counterpart here"]
        );
    }
}
