//! A field of an event by its path, as `order_by` names one: the same syntax as `$ref`, for exactly one place.

use serde_json::Value;

use super::FilterInput;
use super::reference::Reference;

/// Characters of a value that stand for themselves in a key; longer ones are keyed by their digest.
const KEY_CHARS_MAX: usize = 200;

/// `data.account_id`, from the event's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath(Reference);

impl FieldPath {
    /// # Errors
    /// In words, when the text does not name one single place in an event.
    pub fn parse(text: &str) -> Result<Self, String> {
        const FIELDS: [&str; 6] = ["id", "type", "timestamp", "data", "metadata", "tenant"];
        let path = Reference::parse(text)?;
        if !FIELDS.contains(&path.field()) {
            return Err(format!("an event has no field `{}`: it has {}", path.field(), FIELDS.join(", ")));
        }
        if path.has_index() {
            return Err(format!("`{text}` has `[$index]`, which stands for no position here: write a number"));
        }
        Ok(Self(path))
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The value there as a key: equal for equal values. `None` when there is none, or null, or the event cannot be read.
    pub fn key(&self, input: &FilterInput<'_>) -> Option<String> {
        let value = self.0.resolve(input.value().ok()?, &[])?;
        let text = match value {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if text.len() <= KEY_CHARS_MAX {
            return Some(text);
        }
        use sha2::Digest;
        Some(format!("sha256:{}", hex::encode(sha2::Sha256::digest(text.as_bytes()))))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::model::{Event, EventId, EventType, Timestamp};

    fn key(path: &str, data: &str) -> Option<String> {
        let event = Event {
            id: EventId::parse("evt_1").unwrap(),
            kind: EventType::parse("a.b").unwrap(),
            timestamp: Timestamp::default(),
            received: Timestamp::default(),
            data: Bytes::copy_from_slice(data.as_bytes()),
            metadata: None,
            tenant: Some(Arc::from("acme")),
        };
        FieldPath::parse(path).unwrap().key(&FilterInput::new(&event))
    }

    #[test]
    fn the_value_at_a_path_is_the_key() {
        assert_eq!(key("data.account_id", r#"{"account_id":"a1"}"#).as_deref(), Some("a1"));
        assert_eq!(key("data.account_id", r#"{"account_id":17}"#).as_deref(), Some("17"));
        assert_eq!(key("tenant", "1").as_deref(), Some("acme"));
        assert_eq!(key("data.account_id", r#"{"other":1}"#), None);
        assert_eq!(key("data.account_id", r#"{"account_id":null}"#), None);
        let long = key("data", &format!("\"{}\"", "x".repeat(5000))).unwrap();
        assert!(long.starts_with("sha256:") && long.len() < 100);
    }

    #[test]
    fn what_is_no_single_place_of_an_event_is_refused() {
        for (path, part) in [
            ("body.id", "no field `body`"),
            ("data[$index]", "[$index]"),
            ("data.*", "single place"),
            ("", "begins with no field"),
        ] {
            let error = FieldPath::parse(path).unwrap_err();
            assert!(error.contains(part), "{path}: {error}");
        }
    }
}
