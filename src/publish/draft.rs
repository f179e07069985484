//! A valid event that is not stored yet, and all that is wrong with one that is not valid.

use std::sync::Arc;

use super::cloud_event::CloudEventIdentity;
use super::json;
use crate::model::{Event, EventType, TENANT_CHARS_MAX, WebhookKey};

/// A valid event, not stored yet.
#[derive(Debug, Clone)]
pub struct Draft {
    pub event: Event,
    pub timestamp_given: bool,
    pub destination: Destination,
    /// Of an event that came in as a CloudEvent.
    pub cloud_event: Option<Arc<CloudEventIdentity>>,
    /// Whether the schema of its type has been applied.
    pub(super) is_judged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// Every webhook that matches.
    Matching,
    /// This webhook alone, whether it matches or not.
    Only(WebhookKey),
}

impl Draft {
    /// # Errors
    /// `data` or `metadata` holds JSON that common parsers cannot hold, with the place.
    pub fn new(event: Event, timestamp_given: bool) -> Result<Self, Refusal> {
        let mut refusal = Refusal::default();
        for (field, text) in [("data", Some(&event.data)), ("metadata", event.metadata.as_ref())] {
            if let Some(Err(unreadable)) = text.map(|text| json::check(text, field)) {
                refusal.add(field, unreadable.to_string());
            }
        }
        refusal
            .or(|| Some(Self { event, timestamp_given, destination: Destination::Matching, cloud_event: None, is_judged: false }))
    }

    /// Sends it to this webhook alone, whether it matches or not.
    pub fn only_for(mut self, webhook: WebhookKey) -> Self {
        self.destination = Destination::Only(webhook);
        self
    }

    /// Makes it this tenant's. The id of a CloudEvent changes with it.
    pub fn set_tenant(&mut self, tenant: Arc<str>) {
        if let Some(identity) = &self.cloud_event {
            self.event.id = identity.event_id(Some(&tenant));
        }
        self.event.tenant = Some(tenant);
    }
}

/// Why something is no valid event: all of it, each with its field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal(Vec<(Option<String>, String)>);

impl Refusal {
    pub fn of(detail: impl Into<String>) -> Self {
        Self(vec![(None, detail.into())])
    }

    pub fn add(&mut self, field: &str, detail: impl Into<String>) {
        self.0.push((Some(field.to_owned()), detail.into()));
    }

    pub fn detail(&self) -> String {
        let texts: Vec<&str> = self.0.iter().map(|(_, detail)| detail.as_str()).collect();
        texts.join("; ")
    }

    /// Field, if it is about one, and what is wrong.
    pub fn faults(&self) -> impl Iterator<Item = (Option<&str>, &str)> {
        self.0.iter().map(|(field, detail)| (field.as_deref(), detail.as_str()))
    }

    /// `made`, when nothing is wrong.
    pub fn or<T>(self, made: impl FnOnce() -> Option<T>) -> Result<T, Self> {
        if !self.0.is_empty() {
            return Err(self);
        }
        made().ok_or_else(|| Self::of("this is no event"))
    }
}

/// The refusal of an event of this size; `None` when it is small enough.
pub fn too_large(bytes: usize, bytes_max: usize) -> Option<String> {
    let raise = "make it smaller, or raise `max_event_size` in [server]";
    (bytes > bytes_max).then(|| format!("the event has {bytes} bytes, {bytes_max} are allowed: {raise}"))
}

/// A type that anybody may publish.
pub fn kind(text: &str, refusal: &mut Refusal) -> Option<EventType> {
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

pub fn tenant(text: &str, refusal: &mut Refusal) -> Option<Arc<str>> {
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
