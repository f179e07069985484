//! `POST /v1/events`: from bytes to a durable event with its deliveries. 202 only after the commit.

mod cloudevents;
mod draft;
mod native;
mod parse;
#[cfg(test)]
mod tests;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::http::Shared;
use crate::http::middleware::auth::{Caller, MayPublish};
use crate::http::middleware::body::{self, Cap};
use crate::http::problem::{Kind, Problem};
use crate::model::{Event, EventId, Timestamp};
use crate::publish::{Mode, Outcome, Refusal};
use crate::telemetry::EventOutcome;
use draft::Defaults;
use parse::{Format, Parsed};

/// A request of many events may have as many bytes as this number of the greatest ones.
const EVENTS_OF_GREATEST_SIZE: usize = 16;

/// A greater body is read off the runtime: parsing it takes more than some 500 µs.
const INLINE_BYTES_MAX: usize = 256 * 1024;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

pub(crate) async fn publish(
    MayPublish(caller): MayPublish,
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let format = Format::of(&headers)?;
    let event_bytes_max = caller.snapshot.settings.server.max_event_size;
    let received = body::read(&shared.bodies, &headers, body, cap(&format, event_bytes_max)).await?;
    let defaults = Defaults { now: shared.api.clock.now(), key: idempotency_key(&headers, &caller)?, event_bytes_max };
    let parsed = parsed(format, headers, received.bytes.clone(), defaults).await;
    let parsed = parsed.inspect_err(|_| shared.publisher.count(EventOutcome::Refused))?;
    let (publisher, snapshot) = (&shared.publisher, &caller.snapshot);
    match parsed.owned_by(&caller) {
        Parsed::One(draft) => {
            let outcome = publisher.accept(snapshot, vec![draft], Mode::AllOrNothing).await.pop();
            one(outcome.ok_or_else(|| Problem::new(Kind::Internal, "the store gave no answer"))?)
        }
        Parsed::All(drafts) => all(publisher.accept(snapshot, drafts, Mode::AllOrNothing).await),
        Parsed::Lines(drafts) => Ok(lines(publisher.accept(snapshot, drafts, Mode::Each).await)),
    }
}

fn cap(format: &Format, event_bytes_max: usize) -> Cap {
    match format {
        Format::CloudEvent | Format::CloudEventBinary { .. } => {
            Cap { bytes: event_bytes_max, because: "make the event smaller, or raise `max_event_size` in [server]" }
        }
        // Whether it is one event or an array shows only when it is here; a single one is measured again then.
        Format::Json | Format::Lines | Format::CloudEventBatch => Cap {
            bytes: event_bytes_max.saturating_mul(EVENTS_OF_GREATEST_SIZE),
            because: "send the events in several requests; the limit is 16 times `max_event_size` in [server]",
        },
    }
}

/// A digest of the key and of whose it is: two producers may use the same.
fn idempotency_key(headers: &HeaderMap, caller: &Caller) -> Result<Option<[u8; 32]>, Problem> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        let detail = format!("Idempotency-Key has {} bytes, 1 to {IDEMPOTENCY_KEY_BYTES_MAX} are allowed", key.len());
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    let digest = Sha256::new().chain_update(caller.token.as_bytes()).chain_update([0]).chain_update(key.as_bytes());
    Ok(Some(digest.finalize().into()))
}

async fn parsed(format: Format, headers: HeaderMap, body: Bytes, defaults: Defaults) -> Result<Parsed, Problem> {
    if body.len() <= INLINE_BYTES_MAX {
        return parse::parse(&format, &headers, &body, &defaults);
    }
    let work = tokio::task::spawn_blocking(move || parse::parse(&format, &headers, &body, &defaults));
    work.await.unwrap_or_else(|_| Err(Problem::new(Kind::Internal, "reading the body failed: nothing was stored")))
}

/// An event in our own form that is not to be published: `text` lies within `body`.
pub(crate) fn event_of(text: &str, body: &Bytes, now: Timestamp, event_bytes_max: usize) -> Result<Event, Problem> {
    let defaults = Defaults { now, key: None, event_bytes_max };
    let event = native::event(text, body, &defaults, 0);
    event.map(|(event, _)| event).map_err(|refusal| refused(&refusal))
}

/// 422 with everything that is wrong with an event.
pub(crate) fn refused(refusal: &Refusal) -> Problem {
    Problem::new(Kind::Invalid, refusal.detail()).with("errors", refusal.errors())
}

fn one(outcome: Outcome) -> Result<Response, Problem> {
    answer(outcome).map(|(status, body)| (status, axum::Json(body)).into_response())
}

/// The answer to an event by itself.
fn answer(outcome: Outcome) -> Result<(StatusCode, Value), Problem> {
    match outcome {
        Outcome::New { id, deliveries } => Ok((StatusCode::ACCEPTED, json!({"id": id, "deliveries": deliveries.len()}))),
        Outcome::Duplicate { id, deliveries } => Ok((StatusCode::OK, json!({"id": id, "deliveries": deliveries}))),
        Outcome::Conflict { id } => Err(Problem::new(Kind::Conflict, conflict(&id)).with("id", id.as_str())),
        Outcome::Refused(refusal) => Err(refused(&refusal)),
        Outcome::Failed(error) => Err(Problem::from(error)),
        Outcome::Withheld { .. } => Err(Problem::new(Kind::Internal, "the event was not stored: send it again")),
    }
}

fn conflict(id: &EventId) -> String {
    format!("an event with the id `{id}` was published before with other content: give this one an id of its own")
}

fn all(outcomes: Vec<Outcome>) -> Result<Response, Problem> {
    let total = outcomes.len();
    let (mut refused, mut conflicts, mut data) = (Vec::new(), Vec::new(), Vec::with_capacity(total));
    let mut status = StatusCode::OK;
    for (index, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Outcome::New { id, deliveries } => {
                status = StatusCode::ACCEPTED;
                data.push(json!({"id": id, "deliveries": deliveries.len()}));
            }
            Outcome::Duplicate { id, deliveries } => data.push(json!({"id": id, "deliveries": deliveries, "duplicate": true})),
            Outcome::Conflict { id } => conflicts.push(json!({"index": index, "id": id, "detail": conflict(&id)})),
            Outcome::Refused(refusal) => refused.push(json!({"index": index, "detail": refusal.detail()})),
            Outcome::Failed(error) => return Err(Problem::from(error)),
            Outcome::Withheld { .. } => {}
        }
    }
    if !refused.is_empty() {
        let detail = format!("{} of {total} events are not valid, and none was stored: fix those in `errors`", refused.len());
        return Err(Problem::new(Kind::Invalid, detail).with("errors", refused));
    }
    if !conflicts.is_empty() {
        let detail = format!("{} of {total} events collide with others, and none was stored", conflicts.len());
        return Err(Problem::new(Kind::Conflict, detail).with("errors", conflicts));
    }
    Ok((status, axum::Json(json!({"data": data}))).into_response())
}

/// One line of answer for each line that is not blank; the request itself is always 200.
fn lines(outcomes: Vec<Outcome>) -> Response {
    let mut body = String::with_capacity(outcomes.len() * 80);
    for outcome in outcomes {
        let line = match answer(outcome) {
            Ok((status, mut body)) => {
                body["status"] = status.as_u16().into();
                body
            }
            Err(problem) => problem.to_json(),
        };
        body.push_str(&line.to_string());
        body.push('\n');
    }
    ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}
