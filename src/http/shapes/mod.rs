//! How events, deliveries and attempts look in answers. Payloads are shown byte for byte; what is not text is Base64.

pub(crate) mod settings;
pub(crate) mod webhook;

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::model::{
    Attempt, AttemptId, AttemptOutcome, DeliveryId, DeliveryState, EventId, EventType, LogLine, Timestamp, Timings,
};
use crate::model::{Trigger, Unmatched, WebhookId, hide_parts};
use crate::store::{AttemptRecord, DeliveryDetail, DeliveryRecord, EventRecord, FeedAttempt, Page};

/// One page of a list, newest first.
#[derive(Serialize)]
pub(crate) struct List<T> {
    pub(crate) data: Vec<T>,
    /// The `cursor` of the next page; null at the end.
    pub(crate) next: Option<String>,
}

impl<T> List<T> {
    pub(crate) fn of<R>(page: &Page<R>, shape: impl Fn(&R) -> T) -> Self {
        Self { data: page.rows.iter().map(shape).collect(), next: page.next.map(crate::http::query::show_cursor) }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "evt_0197f1c2a3b47c5d8e9f0a1b2c3d4e5f", "type": "circuit_breaker.opened",
    "timestamp": "2026-01-28T10:30:45.000Z", "received_at": "2026-01-28T10:30:45.012Z", "data": {"route": "/users", "errorRate": 0.62},
    "metadata": null, "tenant": null, "deliveries": [{"id": "dlv_0197f1c2a3b47c5d8000000000000001", "webhook": "ops-slack",
    "state": "succeeded"}], "unmatched": [{"webhook": "big-orders", "reason": "none of its patterns matches `circuit_breaker.opened`"}]}))]
#[schema(as = Event)]
pub(crate) struct EventShape {
    #[schema(value_type = String)]
    id: EventId,
    #[schema(value_type = String)]
    r#type: EventType,
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
    #[schema(value_type = Value)]
    data: Box<RawValue>,
    #[schema(value_type = Option<std::collections::BTreeMap<String, Value>>, required)]
    metadata: Box<RawValue>,
    #[schema(required)]
    tenant: Option<String>,
    deliveries: Vec<EventDelivery>,
    unmatched: Vec<UnmatchedShape>,
}

#[derive(Serialize, ToSchema)]
struct EventDelivery {
    #[schema(value_type = String)]
    id: DeliveryId,
    #[schema(value_type = String)]
    webhook: WebhookId,
    #[schema(value_type = crate::http::openapi::State)]
    state: DeliveryState,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Unmatched)]
struct UnmatchedShape {
    webhook: String,
    reason: String,
}

impl EventShape {
    pub(crate) fn of(record: &EventRecord) -> Self {
        let event = &record.event;
        let unmatched =
            |unmatched: &Unmatched| UnmatchedShape { webhook: unmatched.webhook.clone(), reason: unmatched.reason.clone() };
        Self {
            id: event.id.clone(),
            r#type: event.kind.clone(),
            timestamp: event.timestamp,
            received_at: event.received,
            data: raw(&event.data),
            metadata: event.metadata.as_deref().map_or_else(null, raw),
            tenant: event.tenant.as_deref().map(str::to_owned),
            deliveries: record
                .deliveries
                .iter()
                .map(|(id, webhook, state)| EventDelivery { id: *id, webhook: webhook.clone(), state: *state })
                .collect(),
            unmatched: record.unmatched.iter().map(unmatched).collect(),
        }
    }
}

/// JSON text as it was published.
fn raw(text: &[u8]) -> Box<RawValue> {
    serde_json::from_slice(text).unwrap_or_else(|_| null())
}

fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "dlv_0197f1c2a3b47c5d8000000000000001", "event_id": "evt_0197f1c2a3b47c5d8e9f0a1b2c3d4e5f",
    "event_type": "circuit_breaker.opened", "tenant": null, "webhook": "ops-slack", "state": "succeeded", "reason": null,
    "attempt_count": 1, "created_at": "2026-01-28T10:30:45.012Z", "next_attempt_at": null}))]
#[schema(as = Delivery)]
pub(crate) struct DeliveryShape {
    #[schema(value_type = String)]
    id: DeliveryId,
    #[schema(value_type = String)]
    event_id: EventId,
    #[schema(value_type = String)]
    event_type: EventType,
    #[schema(required)]
    tenant: Option<String>,
    #[schema(value_type = String)]
    webhook: WebhookId,
    #[schema(value_type = crate::http::openapi::State)]
    state: DeliveryState,
    #[schema(required)]
    reason: Option<String>,
    attempt_count: u32,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime, required)]
    next_attempt_at: Option<Timestamp>,
    /// Of a batch; in lists it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    batch: Option<Vec<EventId>>,
    /// In lists there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<Vec<AttemptShape>>,
}

impl DeliveryShape {
    pub(crate) fn of(record: &DeliveryRecord) -> Self {
        Self {
            id: record.id,
            event_id: record.event_id.clone(),
            event_type: record.event_type.clone(),
            tenant: record.tenant.as_deref().map(str::to_owned),
            webhook: record.webhook.clone(),
            state: record.state,
            reason: record.reason.clone(),
            attempt_count: record.attempt_count,
            created_at: record.created_at,
            next_attempt_at: record.next_attempt_at,
            batch: None,
            attempts: None,
        }
    }

    pub(crate) fn detailed(detail: &DeliveryDetail) -> Self {
        let attempts = Some(detail.attempts.iter().map(AttemptShape::of).collect());
        Self { batch: detail.batch.clone(), attempts, ..Self::of(&detail.record) }
    }
}

/// What every view of an attempt has.
#[derive(Serialize, ToSchema)]
#[schema(as = AttemptOutline)]
struct OutlineShape {
    #[schema(value_type = String)]
    id: AttemptId,
    number: u32,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    #[schema(value_type = crate::http::openapi::Trigger)]
    trigger: Trigger,
    #[schema(value_type = crate::http::openapi::Outcome)]
    outcome: AttemptOutcome,
    #[schema(required)]
    status: Option<u16>,
    #[schema(value_type = Option<String>, required)]
    error_class: Option<Cow<'static, str>>,
    #[schema(required)]
    error: Option<String>,
    duration_ms: f64,
}

#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "att_0197f1c2a3b47c5d8000000000000001", "number": 1, "at": "2026-01-28T10:30:45.013Z", "trigger": "scheduled",
    "outcome": "succeeded", "status": 200, "error_class": null, "error": null, "duration_ms": 12.346, "timings": {"connect_us": 412, "first_byte_us": 9120},
    "request": {"method": "POST", "url": "https://hooks.slack.com/services/…3f2a", "headers": {"content-type": "application/json"},
    "body": "{}"}, "response": {"headers": {}, "body": "ok", "truncated": false}, "log": []}))]
#[schema(as = Attempt)]
pub(crate) struct AttemptShape {
    #[serde(flatten)]
    outline: OutlineShape,
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    timings: Timings,
    #[schema(required)]
    request: Option<RequestShape>,
    #[schema(required)]
    response: Option<ResponseShape>,
    #[schema(value_type = Vec<crate::http::openapi::LogLine>)]
    log: Vec<LogLine>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SentRequest)]
struct RequestShape {
    method: String,
    url: String,
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    headers: Value,
    #[serde(flatten)]
    body: BodyShape,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ReceivedResponse)]
struct ResponseShape {
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    headers: Value,
    #[serde(flatten)]
    body: BodyShape,
    truncated: bool,
}

/// Text, or Base64 with a word that says so.
#[derive(Serialize, ToSchema)]
#[schema(as = BodyText)]
struct BodyShape {
    body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_encoding: Option<&'static str>,
}

/// `{body}`, and `body_encoding` when it is no text.
pub(crate) fn body(bytes: &[u8]) -> Value {
    serde_json::to_value(BodyShape::of(bytes, false)).unwrap_or(Value::Null)
}

impl BodyShape {
    /// A body that was cut may end within a character: that end is left away.
    fn of(bytes: &[u8], truncated: bool) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self { body: text.to_owned(), body_encoding: None },
            Err(error) if truncated && error.error_len().is_none() => {
                Self { body: String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned(), body_encoding: None }
            }
            Err(_) => Self { body: STANDARD.encode(bytes), body_encoding: Some("base64") },
        }
    }
}

impl AttemptShape {
    pub(crate) fn of(record: &AttemptRecord) -> Self {
        let Attempt { number, at, trigger, outcome, status, error_class, error, duration, request, response, timings, log } =
            &record.attempt;
        let outline = OutlineShape {
            id: record.id,
            number: *number,
            at: *at,
            trigger: *trigger,
            outcome: *outcome,
            status: *status,
            error_class: error_class.clone(),
            error: error.clone(),
            duration_ms: millis(*duration),
        };
        Self {
            outline,
            timings: *timings,
            request: request.as_ref().map(|request| RequestShape {
                method: request.method.clone(),
                url: request.url.clone(),
                headers: header_object(&request.headers),
                body: BodyShape::of(&hide_parts(&record.request_body, &request.hidden), false),
            }),
            response: response.as_ref().map(|response| ResponseShape {
                headers: header_object(&response.headers),
                body: BodyShape::of(&response.body, response.truncated),
                truncated: response.truncated,
            }),
            log: log.clone(),
        }
    }
}

/// An attempt as the stream reports it: with its delivery, without request and response.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "att_0197f1c2a3b47c5d8000000000000001", "delivery": {"id": "dlv_0197f1c2a3b47c5d8000000000000001", "event_id": "evt_0197f1c2a3b47c5d8e9f0a1b2c3d4e5f",
    "event_type": "circuit_breaker.opened", "tenant": null, "webhook": "ops-slack", "state": "succeeded", "reason": null,
    "attempt_count": 1, "created_at": "2026-01-28T10:30:45.012Z", "next_attempt_at": null}, "number": 1, "at": "2026-01-28T10:30:45.013Z",
    "trigger": "scheduled", "outcome": "succeeded", "status": 200, "error_class": null, "error": null, "duration_ms": 12.346}))]
#[schema(as = ToldAttempt)]
pub(crate) struct FeedAttemptShape {
    #[serde(flatten)]
    outline: OutlineShape,
    delivery: DeliveryShape,
}

impl FeedAttemptShape {
    pub(crate) fn of(attempt: &FeedAttempt) -> Self {
        let outline = OutlineShape {
            id: attempt.id,
            number: attempt.number,
            at: attempt.at,
            trigger: attempt.trigger,
            outcome: attempt.outcome,
            status: attempt.status,
            error_class: attempt.error_class.clone(),
            error: attempt.error.clone(),
            duration_ms: millis(attempt.duration),
        };
        Self { outline, delivery: DeliveryShape::of(&attempt.delivery) }
    }
}

/// A header that came several times has its values joined, as RFC 9110 §5.3 allows.
fn header_object(headers: &[(String, String)]) -> Value {
    let mut object = Map::new();
    for (name, value) in headers {
        match object.get_mut(name) {
            Some(Value::String(before)) => {
                before.push_str(", ");
                before.push_str(value);
            }
            _ => {
                object.insert(name.clone(), value.as_str().into());
            }
        }
    }
    Value::Object(object)
}

/// Milliseconds, to the microsecond.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_body_is_text_where_it_can_be() {
        let shape = |bytes: &[u8], truncated| serde_json::to_value(BodyShape::of(bytes, truncated)).unwrap();
        assert_eq!(shape(b"ok", false), json!({"body": "ok"}));
        assert_eq!(shape(b"\xff\x00", false), json!({"body": "/wA=", "body_encoding": "base64"}));
        assert_eq!(shape("aé".as_bytes().split_at(2).0, true), json!({"body": "a"}));
        assert_eq!(shape("aé".as_bytes().split_at(2).0, false), json!({"body": "YcM=", "body_encoding": "base64"}));
    }

    #[test]
    fn headers_that_came_twice_are_joined() {
        let headers = [("a", "1"), ("b", "2"), ("a", "3")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(header_object(&headers), json!({"a": "1, 3", "b": "2"}));
    }

    #[test]
    fn durations_have_microseconds() {
        assert_eq!(millis(Duration::from_nanos(12_345_678)), 12.346);
    }
}
