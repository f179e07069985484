//! An event as it is being taken in, and everything that is wrong with it.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::model::{Event, EventId, EventType, Timestamp};

pub(super) const TENANT_CHARS_MAX: usize = 100;

/// A valid event, not stored yet.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) event: Event,
    pub(super) timestamp_given: bool,
}

/// Why something is no valid event: all of it, each with its field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refusal(Vec<(Option<String>, String)>);

/// What events take from their request when they do not say it themselves.
#[derive(Debug, Clone)]
pub(super) struct Defaults {
    pub(super) now: Timestamp,
    /// `Idempotency-Key`, bound to who sent it.
    pub(super) key: Option<[u8; 32]>,
    /// Bytes of one event.
    pub(super) event_bytes_max: usize,
}

impl Draft {
    pub(super) fn of_tenant(mut self, tenant: &Arc<str>, token: &str) -> Result<Self, Refusal> {
        match &self.event.tenant {
            Some(other) if other != tenant => {
                let mut refusal = Refusal::default();
                let detail = format!("the token `{token}` publishes for the tenant `{tenant}` only: leave `tenant` away");
                refusal.add("tenant", detail);
                Err(refusal)
            }
            _ => {
                self.event.tenant = Some(Arc::clone(tenant));
                Ok(self)
            }
        }
    }
}

impl Refusal {
    pub(super) fn of(detail: impl Into<String>) -> Self {
        Self(vec![(None, detail.into())])
    }

    pub(super) fn add(&mut self, field: &str, detail: impl Into<String>) {
        self.0.push((Some(field.to_owned()), detail.into()));
    }

    pub(super) fn detail(&self) -> String {
        let texts: Vec<&str> = self.0.iter().map(|(_, detail)| detail.as_str()).collect();
        texts.join("; ")
    }

    /// `[{"field", "detail"}]`.
    pub(super) fn errors(&self) -> Value {
        let error = |(field, detail): &(Option<String>, String)| match field {
            Some(field) => json!({"field": field, "detail": detail}),
            None => json!({"detail": detail}),
        };
        self.0.iter().map(error).collect()
    }

    /// `event`, when nothing is wrong.
    pub(super) fn or(self, event: impl FnOnce() -> Option<Draft>) -> Result<Draft, Self> {
        if !self.0.is_empty() {
            return Err(self);
        }
        event().ok_or_else(|| Self::of("this is no event"))
    }
}

impl Defaults {
    /// For an event without an id: the same for the same place in a request with the same `Idempotency-Key`, so that
    /// a request sent twice is one.
    pub(super) fn id(&self, place: usize) -> EventId {
        let Some(key) = &self.key else { return EventId::generate() };
        let digest = Sha256::new().chain_update(key).chain_update((place as u64).to_be_bytes()).finalize();
        EventId::parse(&format!("evt_{}", hex::encode(&digest[..16]))).unwrap_or_else(|_| EventId::generate())
    }
}

/// What to say of an event of so many bytes; `None` when it is small enough.
pub(super) fn too_large(bytes: usize, bytes_max: usize) -> Option<String> {
    let raise = "make it smaller, or raise `max_event_size` in [server]";
    (bytes > bytes_max).then(|| format!("the event has {bytes} bytes, {bytes_max} are allowed: {raise}"))
}

pub(super) fn kind(text: &str, refusal: &mut Refusal) -> Option<EventType> {
    match EventType::parse(text) {
        Ok(kind) if kind.is_reserved() => {
            let first = text.split('.').next().unwrap_or_default();
            refusal.add(
                "type",
                format!(
                    "event type `{kind}` is reserved: {first}.… are events about Tenterhook itself, choose another first segment"
                ),
            );
            None
        }
        Ok(kind) => Some(kind),
        Err(error) => {
            refusal.add("type", error.to_string());
            None
        }
    }
}

pub(super) fn tenant(text: &str, refusal: &mut Refusal) -> Option<Arc<str>> {
    let length = text.chars().count();
    if !(1..=TENANT_CHARS_MAX).contains(&length) {
        refusal.add("tenant", format!("`tenant` has {length} characters, 1 to {TENANT_CHARS_MAX} are allowed"));
        return None;
    }
    if text.chars().any(char::is_control) {
        refusal.add("tenant", "`tenant` contains a control character");
        return None;
    }
    Some(text.into())
}

/// The text of `part`, sharing the body where it makes up most of it, copied where keeping the whole body alive for
/// it would hold far more memory than the event is accounted for.
pub(super) fn keep(body: &Bytes, part: &RawValue) -> Bytes {
    let part = part.get().as_bytes();
    if part.len() >= body.len() / 2 { body.slice_ref(part) } else { Bytes::copy_from_slice(part) }
}
