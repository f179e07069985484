//! `POST /v1/transformers/{name}/run`: what a transformer makes of an event. Nothing is stored or sent.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::auth::Manager;
use super::problem::{Kind, Problem};
use super::shape::millis;
use super::{PathId, Shared, fields, publish, transformers};
use crate::model::Event;
use crate::transform::{Output, Pipeline, RequestParts};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked<'b> {
    #[serde(borrow)]
    event: &'b RawValue,
    #[serde(default)]
    options: Option<Map<String, Value>>,
}

pub(super) async fn run(
    Manager(caller): Manager,
    State(shared): State<Shared>,
    PathId(name): PathId,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
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
    let mut answer = match done.result {
        Ok(Output::Request(parts)) => request(&parts),
        Ok(Output::Event(event)) => json!({"outcome": "event", "event": envelope(&event)}),
        Ok(Output::Events(events)) => {
            let envelopes: Box<RawValue> =
                serde_json::from_slice(&Event::envelopes(&events)).unwrap_or_else(|_| RawValue::NULL.to_owned());
            json!({"outcome": "events", "events": envelopes})
        }
        Ok(Output::Drop { reason }) => json!({"outcome": "drop", "reason": reason}),
        Err(error) => json!({"outcome": "error", "error": error.to_string()}),
    };
    answer["transformer"] = name.into();
    answer["duration_ms"] = json!(millis(done.duration));
    answer["log"] = json!(done.log);
    Ok(Json(answer))
}

fn envelope(event: &Event) -> Box<RawValue> {
    serde_json::from_slice(&event.envelope()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn request(parts: &RequestParts) -> Value {
    let headers: Map<String, Value> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let body = super::shape::body(&parts.body);
    let mut request = json!({
        "method": parts.method.as_ref().map_or("POST", |method| method.as_str()), "url": parts.url, "headers": headers,
    });
    if let (Value::Object(request), Value::Object(body)) = (&mut request, body) {
        request.extend(body);
    }
    json!({"outcome": "request", "request": request})
}
