//! An event as a program writes it, validated by the same rules as one that comes over HTTP.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::model::{Event, EventId, Timestamp};
use crate::publish::{self, Draft, Refusal};

/// An event to be emitted. Only the type is needed; it is validated when it is emitted.
///
/// ```
/// use tenterhook::NewEvent;
///
/// let event = NewEvent::new("circuit_breaker.opened")
///     .data(&serde_json::json!({"routeId": "api-service", "errorRate": 0.75}))
///     .metadata(&serde_json::json!({"node": "eu-1"}));
/// // Or, for a type with data and nothing else:
/// let event = NewEvent::from(("rate_limit.exceeded", serde_json::json!({"client": "10.0.0.7"})));
/// ```
#[derive(Debug, Clone)]
#[must_use = "an event does nothing until it is emitted"]
pub struct NewEvent {
    kind: String,
    id: Option<String>,
    at: Option<Timestamp>,
    data: Result<Bytes, String>,
    metadata: Option<Result<Bytes, String>>,
    tenant: Option<String>,
}

impl NewEvent {
    /// A dotted name such as `order.created`; `webhook.…` and `tenterhook.…` are reserved.
    pub fn new(kind: impl Into<String>) -> Self {
        let data = Ok(Bytes::from_static(b"null"));
        Self { kind: kind.into(), id: None, at: None, data, metadata: None, tenant: None }
    }

    /// What receivers get as `data`; `null` by default.
    pub fn data(mut self, data: &impl Serialize) -> Self {
        self.data = serde_json::to_vec(data).map(Bytes::from).map_err(|error| error.to_string());
        self
    }

    /// `data` that is JSON text already: receivers get it byte for byte.
    pub fn raw_data(mut self, json: impl Into<Bytes>) -> Self {
        let json = json.into();
        // Without the white space around it.
        let value = serde_json::from_slice::<&RawValue>(&json).map(|raw| json.slice_ref(raw.get().as_bytes()));
        self.data = value.map_err(|error| error.to_string());
        self
    }

    /// Emitting it twice under one id counts once; by default an id is generated (`evt_…`).
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// When it happened; by default when it is emitted.
    pub fn at(mut self, at: SystemTime) -> Self {
        let millis = at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        self.at = Some(Timestamp::from_millis(millis));
        self
    }

    /// An object of your own, which filters see and receivers get beside `data`.
    pub fn metadata(mut self, metadata: &impl Serialize) -> Self {
        self.metadata = Some(serde_json::to_vec(metadata).map(Bytes::from).map_err(|error| error.to_string()));
        self
    }

    /// Only webhooks of this tenant get it.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// # Errors
    /// All that is wrong with it.
    pub(super) fn draft(self, now: Timestamp, event_bytes_max: usize) -> Result<Draft, Refusal> {
        let mut refusal = Refusal::default();
        let id = self.id.and_then(|id| EventId::parse(&id).map_err(|error| refusal.add("id", error.to_string())).ok());
        let kind = publish::kind(&self.kind, &mut refusal);
        let tenant = self.tenant.and_then(|tenant| publish::tenant(&tenant, &mut refusal));
        let data = self.data.map_err(|error| refusal.add("data", format!("`data` cannot be written as JSON: {error}"))).ok();
        let metadata = self.metadata.and_then(|metadata| match metadata {
            Ok(metadata) if metadata.starts_with(b"{") => Some(metadata),
            Ok(_) => {
                refusal.add("metadata", "`metadata` is not an object: give a map or a struct");
                None
            }
            Err(error) => {
                refusal.add("metadata", format!("`metadata` cannot be written as JSON: {error}"));
                None
            }
        });
        let bytes = data.as_ref().map_or(0, Bytes::len) + metadata.as_ref().map_or(0, Bytes::len);
        if let Some(detail) = publish::too_large(bytes, event_bytes_max) {
            refusal.add("data", detail);
        }
        let event = refusal.or(|| {
            Some(Event {
                id: id.unwrap_or_else(EventId::generate),
                kind: kind?,
                timestamp: self.at.unwrap_or(now),
                received: now,
                data: data?,
                metadata,
                tenant,
            })
        })?;
        Draft::new(event, self.at.is_some())
    }
}

/// A type and its data.
impl<K: Into<String>> From<(K, serde_json::Value)> for NewEvent {
    fn from((kind, data): (K, serde_json::Value)) -> Self {
        Self::new(kind).data(&data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_700_000_000_000;

    fn draft(event: NewEvent) -> Result<Draft, String> {
        event.draft(Timestamp::from_millis(NOW), 1_000).map_err(|refusal| refusal.detail())
    }

    #[test]
    fn an_event_needs_a_type_and_nothing_else() {
        let draft = draft(NewEvent::new("order.created")).unwrap();
        assert!(draft.event.id.as_str().starts_with("evt_"));
        assert_eq!((&draft.event.data[..], draft.timestamp_given), (&b"null"[..], false));
        assert_eq!((draft.event.timestamp.as_millis(), draft.event.received.as_millis()), (NOW, NOW));
        assert!(draft.event.metadata.is_none() && draft.event.tenant.is_none());
    }

    #[test]
    fn what_is_given_arrives_and_raw_json_byte_for_byte() {
        let at = UNIX_EPOCH + std::time::Duration::from_millis(1_600_000_000_123);
        let event = NewEvent::new("a.b").id("o-1").at(at).raw_data(" {\"b\": 1.00} \n").metadata(&json!({"k": 1})).tenant("acme");
        let draft = draft(event).unwrap();
        assert_eq!((draft.event.id.as_str(), &draft.event.data[..]), ("o-1", &b"{\"b\": 1.00}"[..]));
        assert_eq!((draft.event.timestamp.as_millis(), draft.timestamp_given), (1_600_000_000_123, true));
        assert_eq!(draft.event.metadata.as_deref(), Some(&b"{\"k\":1}"[..]));
        assert_eq!(draft.event.tenant.as_deref(), Some("acme"));
    }

    #[test]
    fn what_is_wrong_is_said_all_at_once() {
        for (event, parts) in [
            (NewEvent::new("webhook.mine"), vec!["event type `webhook.mine` is reserved"]),
            (
                NewEvent::new("a..b").id("a.b").tenant(""),
                vec!["event id `a.b` contains '.'", "has an empty segment", "`tenant` has 0 characters"],
            ),
            (NewEvent::new("a").raw_data("{"), vec!["`data` cannot be written as JSON: EOF"]),
            (NewEvent::new("a").raw_data("1 2"), vec!["`data` cannot be written as JSON: trailing characters"]),
            (NewEvent::new("a").raw_data(r#"{"t":"\ud83d"}"#), vec![r"`data.t` has \ud83d, one half of a surrogate pair"]),
            (NewEvent::new("a").raw_data("[1e400]"), vec!["`data[0]` is 1e400, a number beyond the range of a double"]),
            (NewEvent::new("a").raw_data("[".repeat(127) + &"]".repeat(127)), vec!["more than 126 levels deep"]),
            (NewEvent::new("a").metadata(&7), vec!["`metadata` is not an object: give a map or a struct"]),
            (NewEvent::new("a").data(&"x".repeat(2_000)), vec!["the event has 2002 bytes, 1000 are allowed"]),
            // No JSON: its keys are no texts.
            (NewEvent::new("a").data(&std::collections::BTreeMap::from([(vec![1], 2)])), vec!["key must be a string"]),
        ] {
            let said = draft(event).unwrap_err();
            for part in parts {
                assert!(said.contains(part), "{part}: {said}");
            }
        }
    }
}
