//! Bodies of management calls: one JSON object, its fields taken one by one, all problems at once.

use axum::body::Body;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use super::Context;
use super::body::{self, Cap, Received};
use super::problem::{Kind, Problem};
use crate::model::Timestamp;

/// A webhook with a thousand patterns and all its options fits four times.
const CAP: Cap = Cap { bytes: 1 << 20, because: "no management call needs more" };

/// The bytes of a body that is JSON, or none.
pub(super) async fn read(shared: &Context, headers: &HeaderMap, body: Body) -> Result<Received, Problem> {
    let received = body::read(&shared.bodies, headers, body, CAP).await?;
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    let is_json = media.eq_ignore_ascii_case("application/json") || media.to_ascii_lowercase().ends_with("+json");
    if !received.bytes.is_empty() && !is_json {
        let detail = "send the body as JSON, with the header Content-Type: application/json";
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    Ok(received)
}

/// The object of a body; an empty body is an empty object.
pub(super) async fn object(shared: &Context, headers: &HeaderMap, body: Body) -> Result<Map<String, Value>, Problem> {
    let received = read(shared, headers, body).await?;
    if received.bytes.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(&received.bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Problem::new(Kind::Invalid, "the body is not a JSON object: send { … }")),
        Err(error) => Err(Problem::new(Kind::MalformedBody, format!("the body is not JSON: {error}"))),
    }
}

/// The fields of an object, taken by name.
pub(super) struct Fields {
    fields: Map<String, Value>,
    known: &'static [&'static str],
    errors: Vec<Value>,
}

impl Fields {
    pub(super) fn new(fields: Map<String, Value>, known: &'static [&'static str]) -> Self {
        Self { fields, known, errors: Vec::new() }
    }

    pub(super) fn refuse(&mut self, field: &str, message: impl Into<String>) {
        self.errors.push(json!({"field": format!("/{field}"), "message": message.into()}));
    }

    /// `None` when it is not there or null.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            _ => {
                self.refuse(name, format!("`{name}` must be a string"));
                None
            }
        }
    }

    pub(super) fn boolean(&mut self, name: &str) -> bool {
        match self.take(name) {
            None => false,
            Some(Value::Bool(value)) => value,
            Some(_) => {
                self.refuse(name, format!("`{name}` must be true or false"));
                false
            }
        }
    }

    pub(super) fn time(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.text(name)?;
        match Timestamp::parse(&text) {
            Ok(time) => Some(time),
            Err(error) => {
                self.refuse(name, format!("`{name}`: {error}"));
                None
            }
        }
    }

    /// A string, or a list of strings.
    pub(super) fn texts(&mut self, name: &str) -> Vec<String> {
        let items = match self.take(name) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(one) => vec![one],
        };
        let texts: Vec<String> = items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect();
        if texts.len() < items.len() {
            self.refuse(name, format!("`{name}` must be a list of strings"));
        }
        texts
    }

    pub(super) fn finish(mut self) -> Result<(), Problem> {
        let unknown: Vec<String> = self.fields.keys().filter(|name| !self.known.contains(&name.as_str())).cloned().collect();
        for name in unknown {
            let shown: String = name.chars().take(60).collect();
            let message = format!("unknown field `{}`: there are {}", shown.escape_debug(), self.known.join(", "));
            self.refuse(&shown, message);
        }
        problem(self.errors).map_or(Ok(()), Err)
    }
}

/// 422 with everything that is wrong; `None` when nothing is.
pub(super) fn problem(errors: Vec<Value>) -> Option<Problem> {
    if errors.is_empty() {
        return None;
    }
    let texts: Vec<String> = errors.iter().filter_map(|error| error["message"].as_str().map(str::to_owned)).collect();
    Some(Problem::new(Kind::Invalid, texts.join("; ")).with("errors", errors))
}
