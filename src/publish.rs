//! What publishing means, whoever asks for it: the HTTP API, or a program that Tenterhook is a part of. An event is
//! checked, judged by the schema of its type, matched to webhooks on the snapshot of the moment, and stored with its
//! deliveries. Refuses to know where an event came from and in which form.

use std::sync::Arc;

use crate::model::{Event, EventType, TENANT_CHARS_MAX};
use crate::snapshot::Snapshot;
use crate::store::{Accepted, NewEvent, Store, StoreError};
use crate::telemetry::{EventOutcome, Metrics};

/// Events that are matched to webhooks before other tasks get their turn: some 100 µs.
const ROUTED_AT_ONCE: usize = 64;

/// A valid event, not stored yet.
#[derive(Debug, Clone)]
pub struct Draft {
    pub event: Event,
    pub timestamp_given: bool,
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

    /// `event`, when nothing is wrong.
    pub fn or(self, event: impl FnOnce() -> Option<Draft>) -> Result<Draft, Self> {
        if !self.0.is_empty() {
            return Err(self);
        }
        event().ok_or_else(|| Self::of("this is no event"))
    }
}

/// What to say of an event of so many bytes; `None` when it is small enough.
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

/// Refuses what does not match the schema of its type.
pub fn judge(snapshot: &Snapshot, draft: Draft) -> Result<Draft, Refusal> {
    let declared = snapshot.settings.event_types.get(&draft.event.kind);
    let Some(schema) = declared.and_then(|declared| declared.schema.as_ref()) else { return Ok(draft) };
    let mut refusal = Refusal::default();
    for (place, problem) in schema.problems(&draft.event.data) {
        refusal.add(&format!("data{place}"), format!("`data{place}` does not match the schema of its type: {problem}"));
    }
    refusal.or(|| Some(draft))
}

/// Where an event goes.
pub fn routed(snapshot: &Snapshot, draft: Draft) -> NewEvent {
    let route = snapshot.route(&draft.event);
    NewEvent {
        event: Arc::new(draft.event),
        targets: route.targets,
        apart: route.apart,
        unmatched: route.unmatched,
        timestamp_given: draft.timestamp_given,
    }
}

pub async fn all_routed(snapshot: &Snapshot, drafts: Vec<Draft>) -> Vec<NewEvent> {
    let mut events = Vec::with_capacity(drafts.len());
    for draft in drafts {
        events.push(routed(snapshot, draft));
        if events.len().is_multiple_of(ROUTED_AT_ONCE) {
            tokio::task::yield_now().await;
        }
    }
    events
}

/// All or nothing: with a conflict among the answers none was stored.
pub async fn append(store: &Store, metrics: &Metrics, events: Vec<NewEvent>) -> Result<Vec<Accepted>, StoreError> {
    let count = events.len();
    let result = store.append(events).await;
    match &result {
        // Only the conflict itself is something that happened.
        Ok(answers) if answers.contains(&Accepted::Conflict) => metrics.event(EventOutcome::Conflict),
        Ok(answers) => answers.iter().for_each(|answer| metrics.event(outcome(*answer))),
        Err(_) => (0..count).for_each(|_| metrics.event(EventOutcome::Unavailable)),
    }
    result
}

/// Each for itself, in their order, in one commit where they allow it. As many answers as events; failures are left for the
/// caller to count, who may try again.
pub async fn append_each(store: &Store, metrics: &Metrics, events: Vec<NewEvent>) -> Vec<Result<Accepted, StoreError>> {
    if events.is_empty() {
        return Vec::new();
    }
    match store.append(events.clone()).await {
        Ok(together) if !together.contains(&Accepted::Conflict) => {
            together.iter().for_each(|answer| metrics.event(outcome(*answer)));
            together.into_iter().map(Ok).collect()
        }
        // One collision undoes them all.
        Ok(_) => {
            let mut answers = Vec::with_capacity(events.len());
            for event in events {
                let alone = store.append(vec![event]).await;
                let alone = alone.map(|answers| answers.first().copied().unwrap_or(Accepted::Conflict));
                answers.push(alone.inspect(|answer| metrics.event(outcome(*answer))));
            }
            answers
        }
        Err(error) => vec![Err(error); events.len()],
    }
}

fn outcome(accepted: Accepted) -> EventOutcome {
    match accepted {
        Accepted::New { .. } => EventOutcome::Accepted,
        Accepted::Duplicate { .. } => EventOutcome::Duplicate,
        Accepted::Conflict => EventOutcome::Conflict,
    }
}
