//! A field of an event by its path, as `order_by` names one, and the key that its value makes.

use serde_json::Value;

use super::FilterInput;
use super::reference::Reference;

/// Bytes of a value that make the key as they are; longer values are keyed by their digest.
const KEY_CHARS_MAX: usize = 200;

/// `data.account_id`, from the event's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath(Reference);

impl FieldPath {
    /// # Errors
    /// In words, when the text does not name one single value of an event.
    pub fn parse(text: &str) -> Result<Self, String> {
        Reference::parse_single(text).map(Self)
    }

    /// What is probably wrong with a path that is allowed.
    pub fn suspicion(&self) -> Option<String> {
        self.0.suspicion()
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
    fn a_key_is_found_in_data_that_serde_cannot_hold() {
        let deep = "[".repeat(500) + &"]".repeat(500);
        for odd in ["\"cut \\ud83d\"", "1e400", &"9".repeat(400), &deep] {
            let data = format!("{{\"odd\": {odd}, \"account\": \"a1\", \"labels\": {{\"k8s.io/name\": \"web\"}}}}");
            assert_eq!(key("data.account", &data).as_deref(), Some("a1"), "{odd}");
            assert_eq!(key("data.labels.'k8s.io/name'", &data).as_deref(), Some("web"), "{odd}");
        }
    }

    #[test]
    fn what_is_no_single_value_of_an_event_is_refused() {
        for (path, part) in [
            ("body.id", "begins with `body`"),
            ("data[$index]", "[$index]"),
            ("data.*", "more than one value"),
            ("", "empty part"),
        ] {
            let error = FieldPath::parse(path).unwrap_err();
            assert!(error.contains(part), "{path}: {error}");
        }
    }
}
