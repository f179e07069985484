//! The event: what a producer published, byte for byte.

use std::fmt;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{EventId, Timestamp};

/// Of a tenant's name: events, webhooks and tokens are compared by it.
pub const TENANT_CHARS_MAX: usize = 100;

/// Product contract §1.
pub const EVENT_TYPE_CHARS_MAX: usize = 200;

/// A dot-separated name such as `circuit_breaker.opened`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(Arc<str>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event type {problem}")]
pub struct InvalidEventType {
    problem: String,
}

impl EventType {
    pub fn parse(text: &str) -> Result<Self, InvalidEventType> {
        let refuse = |problem: String| Err(InvalidEventType { problem });
        if text.is_empty() {
            return refuse("is empty: give a dotted name such as order.created".to_owned());
        }
        if text.len() > EVENT_TYPE_CHARS_MAX {
            return refuse(format!("has {} characters, {EVENT_TYPE_CHARS_MAX} are allowed", text.len()));
        }
        if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-:/".contains(*c))) {
            return refuse(format!(
                "`{}` contains {bad:?}: use letters, digits, _ - : / and dots between segments",
                text.escape_debug()
            ));
        }
        if text.split('.').any(str::is_empty) {
            return refuse(format!("`{text}` has an empty segment: dots stand between names, as in order.created"));
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Operational events live under these first segments; nobody else may publish them.
    pub fn is_reserved(&self) -> bool {
        matches!(self.0.split('.').next(), Some("webhook" | "tenterhook"))
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for EventType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EventType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        EventType::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A published event. `data` and `metadata` are the producer's own JSON text: never parsed and written again, so
/// key order, number spelling and escapes arrive as they were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: EventId,
    pub kind: EventType,
    /// When it happened, by the producer; the time of publishing when it gave none.
    pub timestamp: Timestamp,
    /// When it was taken in, by our clock.
    pub received: Timestamp,
    /// JSON text of any kind.
    pub data: Bytes,
    /// JSON text of an object.
    pub metadata: Option<Bytes>,
    pub tenant: Option<Arc<str>>,
}

impl Event {
    /// The body of a delivery without a transformer: `{"id","type","timestamp","data"}`, then `metadata` if any.
    pub fn envelope(&self) -> Bytes {
        let metadata_len = self.metadata.as_ref().map_or(0, Bytes::len);
        let mut out =
            BytesMut::with_capacity(self.data.len() + metadata_len + self.id.as_str().len() + self.kind.as_str().len() + 96);
        // Ids and types are of characters that JSON never escapes (their parsers see to it).
        out.put_slice(b"{\"id\":\"");
        out.put_slice(self.id.as_str().as_bytes());
        out.put_slice(b"\",\"type\":\"");
        out.put_slice(self.kind.as_str().as_bytes());
        out.put_slice(b"\",\"timestamp\":\"");
        out.put_slice(self.timestamp.to_string().as_bytes());
        out.put_slice(b"\",\"data\":");
        out.put_slice(&self.data);
        if let Some(metadata) = &self.metadata {
            out.put_slice(b",\"metadata\":");
            out.put_slice(metadata);
        }
        out.put_slice(b"}");
        out.freeze()
    }

    /// The body of several: a JSON array of their envelopes.
    pub fn envelopes(events: &[Self]) -> Bytes {
        let parts: Vec<Bytes> = events.iter().map(Self::envelope).collect();
        let mut out = BytesMut::with_capacity(parts.iter().map(|part| part.len() + 1).sum::<usize>() + 1);
        for (at, part) in parts.iter().enumerate() {
            out.put_u8(if at == 0 { b'[' } else { b',' });
            out.put_slice(part);
        }
        out.put_slice(if parts.is_empty() { b"[]" } else { b"]" });
        out.freeze()
    }

    /// Bytes held in memory by this event's payload.
    pub fn size(&self) -> usize {
        self.data.len() + self.metadata.as_ref().map_or(0, Bytes::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(data: &'static str, metadata: Option<&'static str>) -> Event {
        Event {
            id: EventId::parse("evt_1").unwrap(),
            kind: EventType::parse("order.created").unwrap(),
            timestamp: Timestamp::parse("2026-01-28T10:30:45.123Z").unwrap(),
            received: Timestamp::default(),
            data: Bytes::from_static(data.as_bytes()),
            metadata: metadata.map(|m| Bytes::from_static(m.as_bytes())),
            tenant: None,
        }
    }

    #[test]
    fn the_envelope_carries_data_byte_for_byte() {
        let body = event(r#"{"b": 1.00, "a":"\u00e9"}"#, None).envelope();
        let expected =
            r#"{"id":"evt_1","type":"order.created","timestamp":"2026-01-28T10:30:45.123Z","data":{"b": 1.00, "a":"\u00e9"}}"#;
        assert_eq!(body, expected.as_bytes());
    }

    #[test]
    fn metadata_follows_when_there_is_any() {
        let body = event("null", Some(r#"{"k":1}"#)).envelope();
        assert!(body.ends_with(br#""data":null,"metadata":{"k":1}}"#));
    }

    #[test]
    fn bad_types_are_refused_with_the_reason() {
        for (text, part) in [("", "is empty"), ("a..b", "empty segment"), (".a", "empty segment"), ("a b", "contains ' '")] {
            let error = EventType::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(EventType::parse(&"a".repeat(201)).is_err());
        assert!(EventType::parse("a:b/c-d_E.f").is_ok());
    }
}
