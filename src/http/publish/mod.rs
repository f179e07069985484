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

use super::auth::{Caller, Publisher};
use super::body::{self, Cap};
use super::problem::{Kind, Problem};
use super::{Context, Shared};
use crate::model::{Event, EventId, Timestamp};
use crate::publish;
use crate::snapshot::Snapshot;
use crate::store::{Accepted, NewEvent};
use crate::telemetry::EventOutcome;
use draft::{Defaults, Draft, Refusal};
use parse::{Format, Parsed};

/// A request of many events may have as many bytes as this number of the greatest ones.
const EVENTS_OF_GREATEST_SIZE: usize = 16;

/// A greater body is read off the runtime: parsing it takes more than some 500 µs.
const INLINE_BYTES_MAX: usize = 256 * 1024;

/// Lines that go into one commit; when one of them collides, each of them gets its own.
const LINES_PER_COMMIT: usize = 256;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

pub(super) async fn publish(
    Publisher(caller): Publisher,
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let format = Format::of(&headers)?;
    let event_bytes_max = caller.snapshot.settings.server.max_event_size;
    let received = body::read(&shared.bodies, &headers, body, cap(&format, event_bytes_max)).await?;
    let defaults = Defaults { now: shared.api.clock.now(), key: idempotency_key(&headers, &caller)?, event_bytes_max };
    let parsed = match parsed(format, headers, received.bytes.clone(), defaults).await {
        Ok(parsed) => parsed,
        Err(problem) => {
            shared.api.metrics.event(EventOutcome::Refused);
            return Err(problem);
        }
    };
    let parsed = match &caller.tenant {
        Some(tenant) => parsed.of_tenant(tenant, &caller.token),
        None => parsed,
    };
    match judged(&caller.snapshot, parsed) {
        Parsed::One(draft) => one(&shared, &caller.snapshot, draft).await,
        Parsed::All(drafts) => all(&shared, &caller.snapshot, drafts).await,
        Parsed::Lines(drafts) => Ok(lines(&shared, &caller.snapshot, drafts).await),
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

/// Refuses what does not match the schema of its type.
fn judged(snapshot: &Snapshot, parsed: Parsed) -> Parsed {
    let judge = |draft: Result<Draft, Refusal>| publish::judge(snapshot, draft?);
    match parsed {
        Parsed::One(draft) => Parsed::One(judge(draft)),
        Parsed::All(drafts) => Parsed::All(drafts.into_iter().map(judge).collect()),
        Parsed::Lines(drafts) => Parsed::Lines(drafts.into_iter().map(judge).collect()),
    }
}

/// An event in our own form that is not to be published: `text` lies within `body`.
pub(super) fn event_of(text: &str, body: &Bytes, now: Timestamp, event_bytes_max: usize) -> Result<Event, Problem> {
    let defaults = Defaults { now, key: None, event_bytes_max };
    let draft = native::parse(text, body, &defaults, 0);
    draft
        .map(|draft| draft.event)
        .map_err(|refusal| Problem::new(Kind::Invalid, refusal.detail()).with("errors", refusal.errors()))
}

async fn append(context: &Context, events: Vec<NewEvent>) -> Result<Vec<Accepted>, Problem> {
    publish::append(&context.api.store, &context.api.metrics, events).await.map_err(Problem::from)
}

async fn one(context: &Context, snapshot: &Snapshot, draft: Result<Draft, Refusal>) -> Result<Response, Problem> {
    let draft = draft.map_err(|refusal| refused(context, &refusal))?;
    let id = draft.event.id.clone();
    let answers = append(context, vec![publish::routed(snapshot, draft)]).await?;
    let (status, body) = answer(&id, answers.first().copied())?;
    Ok((status, axum::Json(body)).into_response())
}

fn refused(context: &Context, refusal: &Refusal) -> Problem {
    context.api.metrics.event(EventOutcome::Refused);
    Problem::new(Kind::Invalid, refusal.detail()).with("errors", refusal.errors())
}

fn answer(id: &EventId, accepted: Option<Accepted>) -> Result<(StatusCode, Value), Problem> {
    match accepted {
        Some(Accepted::New { deliveries }) => Ok((StatusCode::ACCEPTED, json!({"id": id, "deliveries": deliveries}))),
        Some(Accepted::Duplicate { deliveries }) => Ok((StatusCode::OK, json!({"id": id, "deliveries": deliveries}))),
        Some(Accepted::Conflict) => Err(Problem::new(Kind::Conflict, conflict(id)).with("id", id.as_str())),
        None => Err(Problem::new(Kind::Internal, "the store gave no answer")),
    }
}

fn conflict(id: &EventId) -> String {
    format!("an event with the id `{id}` was published before with other content: give this one an id of its own")
}

async fn all(context: &Context, snapshot: &Snapshot, drafts: Vec<Result<Draft, Refusal>>) -> Result<Response, Problem> {
    let total = drafts.len();
    let mut errors = Vec::new();
    let mut good = Vec::with_capacity(total);
    for (index, draft) in drafts.into_iter().enumerate() {
        match draft {
            Ok(draft) => good.push(draft),
            Err(refusal) => errors.push(json!({"index": index, "detail": refusal.detail()})),
        }
    }
    if !errors.is_empty() {
        errors.iter().for_each(|_| context.api.metrics.event(EventOutcome::Refused));
        let detail = format!("{} of {total} events are not valid, and none was stored: mend those in `errors`", errors.len());
        return Err(Problem::new(Kind::Invalid, detail).with("errors", errors));
    }
    let ids: Vec<EventId> = good.iter().map(|draft| draft.event.id.clone()).collect();
    let answers = append(context, publish::all_routed(snapshot, good).await).await?;
    let pairs = || ids.iter().zip(&answers).enumerate();
    let conflicts: Vec<Value> = pairs()
        .filter(|(_, (_, accepted))| **accepted == Accepted::Conflict)
        .map(|(index, (id, _))| json!({"index": index, "id": id, "detail": conflict(id)}))
        .collect();
    if !conflicts.is_empty() {
        let detail = format!("{} of {total} events collide with others, and none was stored", conflicts.len());
        return Err(Problem::new(Kind::Conflict, detail).with("errors", conflicts));
    }
    let any_new = answers.iter().any(|accepted| matches!(accepted, Accepted::New { .. }));
    let data: Vec<Value> = pairs()
        .map(|(_, (id, accepted))| match accepted {
            Accepted::Duplicate { deliveries } => json!({"id": id, "deliveries": deliveries, "duplicate": true}),
            Accepted::New { deliveries } => json!({"id": id, "deliveries": deliveries}),
            Accepted::Conflict => json!({"id": id}),
        })
        .collect();
    let status = if any_new { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, axum::Json(json!({"data": data}))).into_response())
}

/// One line of answer for each line that is not blank; the request itself is 200 whatever they say.
async fn lines(context: &Context, snapshot: &Snapshot, drafts: Vec<Result<Draft, Refusal>>) -> Response {
    let mut answers: Vec<Value> = Vec::with_capacity(drafts.len());
    let mut drafts = drafts.into_iter().peekable();
    while drafts.peek().is_some() {
        let chunk: Vec<_> = drafts.by_ref().take(LINES_PER_COMMIT).collect();
        line_answers(context, snapshot, chunk, &mut answers).await;
    }
    let mut body = String::with_capacity(answers.len() * 80);
    for answer in answers {
        body.push_str(&answer.to_string());
        body.push('\n');
    }
    ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

async fn line_answers(context: &Context, snapshot: &Snapshot, chunk: Vec<Result<Draft, Refusal>>, answers: &mut Vec<Value>) {
    let mut places: Vec<Result<EventId, Value>> = Vec::with_capacity(chunk.len());
    let mut good = Vec::with_capacity(chunk.len());
    for draft in chunk {
        places.push(match draft {
            Ok(draft) => {
                let id = draft.event.id.clone();
                good.push(draft);
                Ok(id)
            }
            Err(refusal) => Err(refused(context, &refusal).to_json()),
        });
    }
    let events = publish::all_routed(snapshot, good).await;
    let results = publish::append_each(&context.api.store, &context.api.metrics, events).await;
    let mut results = results.into_iter();
    for place in places {
        answers.push(match place {
            Err(refused) => refused,
            Ok(id) => match results.next() {
                Some(Err(error)) => {
                    context.api.metrics.event(EventOutcome::Unavailable);
                    Problem::from(error).to_json()
                }
                accepted => match answer(&id, accepted.and_then(Result::ok)) {
                    Ok((status, mut body)) => {
                        body["status"] = status.as_u16().into();
                        body
                    }
                    Err(problem) => problem.to_json(),
                },
            },
        });
    }
}
