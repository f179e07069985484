//! `POST /v1/webhooks/{id}/test`: a sample event, sent now on the way that every event takes; the answer has the whole
//! attempt.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::config::EventTypeSettings;
use crate::http::fields::{self, Fields};
use crate::http::middleware::auth::MayManageOwn;
use crate::http::problem::{Kind, Problem};
use crate::http::routes::v1::events::publish;
use crate::http::routes::v1::webhooks::{self, enable, sample};
use crate::http::shapes::{AttemptShape, DeliveryShape};
use crate::http::{PathId, Shared};
use crate::model::{DeliveryState, Event, EventId, EventType, Timestamp};
use crate::publish::{Draft, Mode, Outcome, Publisher};
use crate::snapshot::{Snapshot, Webhook};

type EventTypes = BTreeMap<EventType, EventTypeSettings>;

const FIELDS: [&str; 3] = ["type", "data", "metadata"];

/// Beyond the webhook's own timeout: transformers, and what is ahead of it in its lane.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn test(
    MayManageOwn(caller): MayManageOwn,
    State(shared): State<Shared>,
    PathId(id): PathId,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let webhook = webhooks::find(&caller, &id)?;
    let received = fields::read(&shared, &headers, body).await?;
    let mut members = fields::members(&received)?;
    let data = members.remove("data").map(|data| Bytes::copy_from_slice(data.get().as_bytes()));
    let mut fields = Fields::new(fields::values(members)?, &FIELDS);
    let declared = &caller.snapshot.settings.event_types;
    let event = sample_event(&shared, webhook, declared, &mut fields, data.filter(|data| data != "null"));
    fields.finish()?;
    let Some(event) = event else { return Err(Problem::new(Kind::Invalid, "the event cannot be read")) };
    enable::check_enabled(&caller, webhook, "test it")?;
    let refusal = caller.snapshot.explain(webhook, &event);
    let draft = Draft::new(event.clone(), true).map(|draft| draft.only_for(webhook.key));
    let store = &shared.api.store;
    let publisher = Publisher::uncounted(store.clone());
    let delivery = match publisher.accept(&caller.snapshot, vec![draft], Mode::AllOrNothing).await.pop() {
        Some(Outcome::New { deliveries, .. }) => deliveries.first().copied(),
        Some(Outcome::Refused(refusal)) => return Err(publish::refused(&refusal)),
        Some(Outcome::Failed(error)) => return Err(error.into()),
        Some(Outcome::Duplicate { .. } | Outcome::Conflict { .. } | Outcome::Withheld { .. }) | None => None,
    };
    let Some(delivery) = delivery else { return Err(Problem::new(Kind::Internal, "the sample event was not stored")) };
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
    let Some(detail) = detail else {
        return Err(Problem::new(Kind::Internal, "the delivery was erased before its attempt was recorded"));
    };
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
    let open = snapshot.status_board.status(webhook.key).condition.open;
    if open.is_some_and(|open| open.until > now.after(patience)) { Duration::ZERO } else { patience }
}

/// What keeps it from being attempted, as far as the webhook's state and settings tell.
fn why_it_waits(snapshot: &Snapshot, webhook: &Webhook) -> String {
    let (id, lane) = (&webhook.settings.id, &webhook.settings.lane);
    if let Some(open) = snapshot.status_board.status(webhook.key).condition.open {
        let until = open.until;
        return format!(
            "the webhook's breaker is open, its next attempt goes at {until}: read the delivery then, or close the breaker (`tenterhook webhook enable {id}`)"
        );
    }
    match lane.rate_limit {
        Some(rate) => {
            format!(
                "it waits for its turn at the webhook's `rate_limit` of {rate}, behind others of this webhook: read the delivery later"
            )
        }
        None => "it waits behind others of this webhook: read the delivery later".to_owned(),
    }
}

/// What is not given is made up: a type that the webhook's patterns match, a declared one if there is one, and data as its
/// schema describes them.
fn sample_event(
    shared: &Shared,
    webhook: &Webhook,
    declared: &EventTypes,
    fields: &mut Fields,
    data: Option<Bytes>,
) -> Option<Event> {
    let kind = fields.text("type").unwrap_or_else(|| default_type(webhook, declared));
    let kind = match EventType::parse(&kind) {
        Ok(kind) => Some(kind),
        Err(error) => {
            fields.refuse("type", error.to_string());
            None
        }
    };
    let data = data.unwrap_or_else(|| {
        let schema = kind.as_ref().and_then(|kind| declared.get(kind)?.schema.as_ref());
        match schema {
            Some(schema) => Bytes::from(sample::of(&schema.json).to_string()),
            None => Bytes::from_static(br#"{"test":true,"message":"a test event from Tenterhook"}"#),
        }
    });
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
        data,
        metadata: Some(Bytes::from(Value::Object(metadata).to_string())),
        tenant: webhook.settings.tenant.clone(),
    })
}

fn default_type(webhook: &Webhook, declared: &EventTypes) -> String {
    let patterns = &webhook.settings.events;
    if let Some(kind) = declared.keys().find(|kind| patterns.iter().any(|pattern| pattern.matches(kind))) {
        return kind.to_string();
    }
    match webhook.settings.events.first().map(|pattern| pattern.as_str()) {
        None | Some("*" | "**") => "test.event".to_owned(),
        Some(pattern) => {
            let segments = pattern.split('.').map(|segment| if segment.starts_with('*') { "test" } else { segment });
            segments.collect::<Vec<_>>().join(".")
        }
    }
}
