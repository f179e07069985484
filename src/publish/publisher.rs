//! The one way into the store for events: schema, routes, a durable commit, and the count of what became of them.

use std::sync::Arc;

use super::{Destination, Draft, Refusal};
use crate::model::{DeliveryId, EventId, Target};
use crate::snapshot::Snapshot;
use crate::store::{Accepted, NewEvent, Store, StoreError};
use crate::telemetry::{EventOutcome, Metrics};

/// Events that are matched to webhooks before other tasks get their turn: some 100 µs.
const ROUTED_AT_ONCE: usize = 64;

/// Events of one commit in [`Mode::Each`]; when one of them collides, each of them gets its own.
const EVENTS_PER_COMMIT: usize = 256;

/// Stores events. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    store: Store,
    /// `None`: for events that no publisher sent, which the metrics of publishing leave out.
    metrics: Option<Arc<Metrics>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One commit for all of them, or none is stored.
    AllOrNothing,
    /// Each for itself, in their order, in as few commits as they allow.
    Each,
    /// As [`Mode::Each`], for a caller that retries what failed: a failure is not counted.
    EachRetried,
}

/// What became of one event.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Stored, with these deliveries.
    New { id: EventId, deliveries: Vec<DeliveryId> },
    /// Stored before with the same content.
    Duplicate { id: EventId, deliveries: u32 },
    /// Stored before with other content.
    Conflict { id: EventId },
    /// Not valid.
    Refused(Refusal),
    /// The store did not take it.
    Failed(StoreError),
    /// Valid and not stored, because another event of the same call was refused or collided.
    Withheld { id: EventId },
}

impl Publisher {
    pub fn new(store: Store, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics: Some(metrics) }
    }

    /// For operational events and tests of webhooks: they are not among the events that the metrics count as published.
    pub fn uncounted(store: Store) -> Self {
        Self { store, metrics: None }
    }

    /// Applies the schema of an event's type. [`Publisher::accept`] does so too, unless it was done here: for a caller that
    /// has to answer before the event is stored.
    ///
    /// # Errors
    /// It does not match; counted.
    pub fn judge(&self, snapshot: &Snapshot, draft: Result<Draft, Refusal>) -> Result<Draft, Refusal> {
        draft.and_then(|draft| validate_schema(snapshot, draft)).inspect_err(|_| self.count(EventOutcome::Refused))
    }

    /// One outcome per draft, in their order.
    pub async fn accept(&self, snapshot: &Snapshot, drafts: Vec<Result<Draft, Refusal>>, mode: Mode) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(drafts.len());
        if mode == Mode::AllOrNothing {
            outcomes = self.store_all(snapshot, drafts).await;
        } else {
            let mut drafts = drafts.into_iter().peekable();
            while drafts.peek().is_some() {
                let chunk = drafts.by_ref().take(EVENTS_PER_COMMIT).collect();
                outcomes.extend(self.store_each(snapshot, chunk).await);
            }
        }
        for outcome in &outcomes {
            match outcome {
                Outcome::New { .. } => self.count(EventOutcome::Accepted),
                Outcome::Duplicate { .. } => self.count(EventOutcome::Duplicate),
                Outcome::Conflict { .. } => self.count(EventOutcome::Conflict),
                Outcome::Refused(_) => self.count(EventOutcome::Refused),
                Outcome::Failed(_) if mode != Mode::EachRetried => self.count(EventOutcome::Unavailable),
                Outcome::Failed(_) | Outcome::Withheld { .. } => {}
            }
        }
        outcomes
    }

    /// Counts events that were refused before there were drafts, or that are no longer retried.
    pub fn count(&self, outcome: EventOutcome) {
        if let Some(metrics) = &self.metrics {
            metrics.event(outcome);
        }
    }

    async fn store_all(&self, snapshot: &Snapshot, drafts: Vec<Result<Draft, Refusal>>) -> Vec<Outcome> {
        let Prepared { slots, events } = self.prepare(snapshot, drafts).await;
        if slots.iter().any(|slot| matches!(slot, Err(Outcome::Refused(_) | Outcome::Conflict { .. } | Outcome::Failed(_)))) {
            return filled(slots, Vec::new()).map(Outcome::withheld).collect();
        }
        match self.append(events).await {
            Err(error) => vec![Outcome::Failed(error); slots.len()],
            // One collision: nothing was stored.
            Ok(answers) if answers.contains(&Accepted::Conflict) => {
                filled(slots, answers.into_iter().map(Ok).collect()).map(Outcome::withheld).collect()
            }
            Ok(answers) => filled(slots, answers.into_iter().map(Ok).collect()).collect(),
        }
    }

    async fn store_each(&self, snapshot: &Snapshot, drafts: Vec<Result<Draft, Refusal>>) -> Vec<Outcome> {
        let Prepared { slots, events } = self.prepare(snapshot, drafts).await;
        let answers = match self.append(events.clone()).await {
            Err(error) => vec![Err(error); events.len()],
            Ok(together) if !together.contains(&Accepted::Conflict) => together.into_iter().map(Ok).collect(),
            // One collision undoes them all.
            Ok(_) => {
                let mut answers = Vec::with_capacity(events.len());
                for event in events {
                    let answer = self.store.append(vec![event]).await;
                    answers.push(answer.map(|mut answers| answers.pop().unwrap_or(Accepted::Conflict)));
                }
                answers
            }
        };
        filled(slots, answers).collect()
    }

    async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Accepted>, StoreError> {
        if events.is_empty() { Ok(Vec::new()) } else { self.store.append(events).await }
    }

    /// Decides what can be decided without a commit; the rest becomes events with their targets.
    async fn prepare(&self, snapshot: &Snapshot, drafts: Vec<Result<Draft, Refusal>>) -> Prepared {
        let mut prepared = Prepared { slots: Vec::with_capacity(drafts.len()), events: Vec::with_capacity(drafts.len()) };
        for draft in drafts {
            let slot = match draft.and_then(|draft| validate_schema(snapshot, draft)) {
                Err(refusal) => Err(Outcome::Refused(refusal)),
                Ok(draft) => match self.former(&draft).await {
                    Some(decided) => Err(decided),
                    None => {
                        let id = draft.event.id.clone();
                        prepared.events.push(routed(snapshot, draft));
                        if prepared.events.len().is_multiple_of(ROUTED_AT_ONCE) {
                            tokio::task::yield_now().await;
                        }
                        Ok(id)
                    }
                },
            };
            prepared.slots.push(slot);
        }
        prepared
    }

    /// A CloudEvent that an earlier version stored under another id: a duplicate of that, or a collision with it.
    async fn former(&self, draft: &Draft) -> Option<Outcome> {
        let identity = draft.cloud_event.as_ref()?;
        let id = identity.former_event_id();
        let record = match self.store.event(id.clone()).await {
            Ok(record) => record?,
            Err(error) => return Some(Outcome::Failed(error)),
        };
        let is_it = record.event.metadata.as_deref().is_some_and(|metadata| identity.is_in(metadata));
        if !is_it || record.event.tenant != draft.event.tenant {
            return None;
        }
        let is_same = record.event.kind == draft.event.kind
            && record.event.data == draft.event.data
            && (!draft.timestamp_given || record.event.timestamp == draft.event.timestamp);
        Some(if is_same {
            Outcome::Duplicate { id, deliveries: u32::try_from(record.deliveries.len()).unwrap_or(u32::MAX) }
        } else {
            Outcome::Conflict { id }
        })
    }
}

/// Events of one call: an id stands for the answer of the store to the next of `events`.
struct Prepared {
    slots: Vec<Result<EventId, Outcome>>,
    events: Vec<NewEvent>,
}

fn filled(slots: Vec<Result<EventId, Outcome>>, answers: Vec<Result<Accepted, StoreError>>) -> impl Iterator<Item = Outcome> {
    let mut answers = answers.into_iter();
    slots.into_iter().map(move |slot| match slot {
        Err(decided) => decided,
        Ok(id) => match answers.next() {
            None => Outcome::Withheld { id },
            Some(Ok(Accepted::New { deliveries })) => Outcome::New { id, deliveries },
            Some(Ok(Accepted::Duplicate { deliveries })) => Outcome::Duplicate { id, deliveries },
            Some(Ok(Accepted::Conflict)) => Outcome::Conflict { id },
            Some(Err(error)) => Outcome::Failed(error),
        },
    })
}

impl Outcome {
    /// As part of a call of which nothing was stored.
    fn withheld(self) -> Self {
        match self {
            Self::New { id, .. } | Self::Duplicate { id, .. } => Self::Withheld { id },
            other => other,
        }
    }
}

fn validate_schema(snapshot: &Snapshot, mut draft: Draft) -> Result<Draft, Refusal> {
    if draft.is_judged {
        return Ok(draft);
    }
    draft.is_judged = true;
    let declared = snapshot.settings.event_types.get(&draft.event.kind);
    let Some(schema) = declared.and_then(|declared| declared.schema.as_ref()) else { return Ok(draft) };
    let mut refusal = Refusal::default();
    for (place, problem) in schema.problems(&draft.event.data) {
        refusal.add(&format!("data{place}"), format!("`data{place}` does not match the schema of its type: {problem}"));
    }
    refusal.or(|| Some(draft))
}

fn routed(snapshot: &Snapshot, draft: Draft) -> NewEvent {
    let (targets, unmatched) = match draft.destination {
        Destination::Matching => {
            let route = snapshot.route(&draft.event);
            (route.targets, route.unmatched)
        }
        Destination::Only(webhook) => (vec![Target::immediate(webhook)], Vec::new()),
    };
    NewEvent { event: Arc::new(draft.event), targets, unmatched, timestamp_given: draft.timestamp_given }
}
