//! `POST /v1/webhooks/{id}/test`: a sample event, sent now on the way that every event takes; the answer has the whole
//! attempt.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::auth::TenantManager;
use super::fields::{self, Fields};
use super::problem::{Kind, Problem};
use super::shape::{AttemptShape, DeliveryShape};
use super::{PathId, Shared, switch, webhooks};
use crate::model::{DeliveryState, Event, EventId, EventType, Timestamp};
use crate::snapshot::{Snapshot, Webhook};
use crate::store::NewEvent;

const FIELDS: [&str; 3] = ["type", "data", "metadata"];

/// Beyond the webhook's own timeout: transformers, and what stands before it in its lane.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn test(
    TenantManager(caller): TenantManager,
    State(shared): State<Shared>,
    PathId(id): PathId,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let webhook = webhooks::find(&caller, &id)?;
    let mut fields = Fields::new(fields::object(&shared, &headers, body).await?, &FIELDS);
    let event = sample(&shared, webhook, &mut fields);
    fields.finish()?;
    let Some(event) = event else { return Err(Problem::new(Kind::Invalid, "the event cannot be read")) };
    switch::check_enabled(&caller, webhook, "test it")?;
    let refusal = caller.snapshot.explain(webhook, &event);
    let event = Arc::new(event);
    let new = NewEvent {
        event: Arc::clone(&event),
        targets: vec![webhook.key],
        apart: Vec::new(),
        unmatched: Vec::new(),
        timestamp_given: true,
    };
    let store = &shared.api.store;
    store.append(vec![new]).await?;
    let stored = store.event(event.id.clone()).await?;
    let Some((delivery, ..)) = stored.and_then(|record| record.deliveries.into_iter().next()) else {
        return Err(Problem::new(Kind::Internal, "the sample event was stored, but its delivery is not there"));
    };
    let patience = patience(&caller.snapshot, webhook, shared.api.clock.now());
    let attempted = tokio::time::timeout(patience, store.attempted(delivery)).await;
    let mut body = json!({
        "webhook": webhook.settings.id, "event_id": event.id, "event_type": event.kind, "delivery_id": delivery,
        "would_match": refusal.is_none(), "unmatched_reason": refusal, "attempt": null, "delivery": null,
    });
    let detail = match attempted {
        Ok(detail) => detail?,
        Err(_) => {
            body["detail"] = why_it_waits(&caller.snapshot, webhook).into();
            return Ok((StatusCode::ACCEPTED, Json(body)));
        }
    };
    let Some(detail) = detail else { return Err(Problem::new(Kind::Internal, "the delivery was erased meanwhile")) };
    // One attempt is all that a test is about.
    if matches!(detail.record.state, DeliveryState::Retrying | DeliveryState::Held | DeliveryState::Pending) {
        store.cancel(delivery).await?;
    }
    body["attempt"] = json!(detail.attempts.first().map(AttemptShape::of));
    body["delivery"] = json!(DeliveryShape::of(&detail.record));
    Ok((StatusCode::OK, Json(body)))
}

/// How long an answer may wait for the attempt: not at all while an open breaker lets nothing go in that time.
fn patience(snapshot: &Snapshot, webhook: &Webhook, now: Timestamp) -> Duration {
    let patience = webhook.settings.timeout + PATIENCE;
    let open = snapshot.switchboard.standing(webhook.key).condition.open;
    if open.is_some_and(|open| open.until > now.after(patience)) { Duration::ZERO } else { patience }
}

/// What keeps it from being attempted, as far as the webhook's state and settings tell.
fn why_it_waits(snapshot: &Snapshot, webhook: &Webhook) -> String {
    let (id, lane) = (&webhook.settings.id, &webhook.settings.lane);
    if let Some(open) = snapshot.switchboard.standing(webhook.key).condition.open {
        let until = open.until;
        return format!(
            "the webhook's breaker is open, its next attempt goes at {until}: look at the delivery then, or close the breaker (`tenterhook webhook enable {id}`)"
        );
    }
    match lane.rate_limit {
        Some(rate) => {
            format!(
                "it waits for its turn at the webhook's `rate_limit` of {rate}, behind others of this webhook: look at the delivery later"
            )
        }
        None => "it waits behind others of this webhook: look at the delivery later".to_owned(),
    }
}

/// What is not given is made up: a type that the webhook's patterns match.
fn sample(shared: &Shared, webhook: &Webhook, fields: &mut Fields) -> Option<Event> {
    let kind = fields.text("type").unwrap_or_else(|| default_type(webhook));
    let kind = match EventType::parse(&kind) {
        Ok(kind) => Some(kind),
        Err(error) => {
            fields.refuse("type", error.to_string());
            None
        }
    };
    let data = fields.take("data").unwrap_or_else(|| json!({"test": true, "message": "a test event from Tenterhook"}));
    let mut metadata = match fields.take("metadata") {
        None => serde_json::Map::new(),
        Some(Value::Object(metadata)) => metadata,
        Some(_) => {
            fields.refuse("metadata", "`metadata` must be an object");
            return None;
        }
    };
    metadata.insert("tenterhook_test".to_owned(), true.into());
    let now = shared.api.clock.now();
    Some(Event {
        id: EventId::generate(),
        kind: kind?,
        timestamp: now,
        received: now,
        data: Bytes::from(data.to_string()),
        metadata: Some(Bytes::from(Value::Object(metadata).to_string())),
        tenant: webhook.settings.tenant.clone(),
    })
}

fn default_type(webhook: &Webhook) -> String {
    match webhook.settings.events.first().map(|pattern| pattern.as_str()) {
        None | Some("*" | "**") => "test.event".to_owned(),
        Some(pattern) => {
            let segments = pattern.split('.').map(|segment| if segment.starts_with('*') { "test" } else { segment });
            segments.collect::<Vec<_>>().join(".")
        }
    }
}
