//! `POST /v1/transformers/{name}/run`: what a transformer makes of an event. Nothing is stored or sent.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::http::middleware::auth::MayManage;
use crate::http::problem::{Kind, Problem};
use crate::http::routes::v1::events::publish;
use crate::http::routes::v1::transformers;
use crate::http::shapes::{self, millis};
use crate::http::{PathId, Shared, fields};
use crate::model::{Event, LogLine};
use crate::transform::{Output, Pipeline, RequestParts, TransformError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked<'b> {
    #[serde(borrow)]
    event: &'b RawValue,
    #[serde(default)]
    options: Option<Map<String, Value>>,
}

pub(crate) async fn run(
    MayManage(caller): MayManage,
    State(shared): State<Shared>,
    PathId(name): PathId,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Answer>, Problem> {
    let received = fields::read(&shared, &headers, body).await?;
    let asked: Asked<'_> = serde_json::from_slice(&received.bytes).map_err(|error| {
        Problem::new(Kind::Invalid, format!("send {{\"event\": {{…}}, \"options\": {{…}}}}, `options` may be left out: {error}"))
    })?;
    let event_bytes_max = caller.snapshot.settings.server.max_event_size;
    let event = publish::event_of(asked.event.get(), &received.bytes, shared.api.clock.now(), event_bytes_max)?;
    let module = transformers::load(&shared, &name).await?;
    let options = Value::Object(asked.options.unwrap_or_default()).to_string();
    if let Err(error) = module.check(&options).await {
        return Err(Problem::new(Kind::Invalid, format!("the options are refused: {error}")));
    }
    let done = Pipeline { stages: vec![(module, Arc::from(options))] }.run(&event).await;
    Ok(Json(Answer { result: Outcome::of(done.result), transformer: name, duration_ms: millis(done.duration), log: done.log }))
}

/// Written as it is, never by way of [`Value`]: an event may hold JSON that a [`Value`] cannot.
#[derive(Serialize)]
pub(crate) struct Answer {
    #[serde(flatten)]
    result: Outcome,
    transformer: String,
    duration_ms: f64,
    log: Vec<LogLine>,
}

#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
enum Outcome {
    Request { request: Value },
    Event { event: Box<RawValue> },
    Events { events: Box<RawValue> },
    Drop { reason: String },
    Error { error: String },
}

impl Outcome {
    fn of(result: Result<Output, TransformError>) -> Self {
        let raw = |json: &[u8]| serde_json::from_slice(json).unwrap_or_else(|_| RawValue::NULL.to_owned());
        match result {
            Ok(Output::Request(parts)) => Self::Request { request: request(&parts) },
            Ok(Output::Event(event)) => Self::Event { event: raw(&event.envelope()) },
            Ok(Output::Events(events)) => Self::Events { events: raw(&Event::envelopes(&events)) },
            Ok(Output::Drop { reason }) => Self::Drop { reason },
            Err(error) => Self::Error { error: error.to_string() },
        }
    }
}

fn request(parts: &RequestParts) -> Value {
    let headers: Map<String, Value> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let body = shapes::body(&parts.body);
    let mut request = json!({
        "method": parts.method.as_ref().map_or("POST", |method| method.as_str()), "url": parts.url, "headers": headers,
    });
    if let (Value::Object(request), Value::Object(body)) = (&mut request, body) {
        request.extend(body);
    }
    request
}
