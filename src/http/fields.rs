//! Bodies of management calls: one JSON object, its fields taken one by one, all problems at once.

use std::collections::BTreeMap;

use axum::body::Body;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::http::Context;
use crate::http::middleware::body::{self, Cap, Received};
use crate::http::problem::{Kind, Problem};
use crate::model::Timestamp;
use crate::publish;

/// A webhook with a thousand patterns and all its options fits four times.
const CAP: Cap = Cap { bytes: 1 << 20, because: "no management call needs more" };

/// The bytes of a body that is JSON, or none.
pub(crate) async fn read(shared: &Context, headers: &HeaderMap, body: Body) -> Result<Received, Problem> {
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
pub(crate) async fn object(shared: &Context, headers: &HeaderMap, body: Body) -> Result<Map<String, Value>, Problem> {
    let received = read(shared, headers, body).await?;
    values(members(&received)?)
}

/// The members of a body's object, their values as text; an empty body is an empty object.
///
/// # Errors
/// 400 when it is no JSON; 422 when it is another kind of JSON.
pub(crate) fn members(received: &Received) -> Result<BTreeMap<String, &RawValue>, Problem> {
    let bytes = &received.bytes;
    if bytes.is_empty() {
        return Ok(BTreeMap::new());
    }
    let raw: &RawValue = serde_json::from_slice(bytes)
        .map_err(|error| Problem::new(Kind::MalformedBody, format!("the body is not JSON: {error}")))?;
    if !raw.get().starts_with('{') {
        return Err(Problem::new(Kind::Invalid, "the body is not a JSON object: send { … }"));
    }
    serde_json::from_str(raw.get()).map_err(|error| match publish::check_json(raw.get().as_bytes(), "") {
        Err(unreadable) => Problem::new(Kind::Invalid, unreadable.to_string()),
        Ok(()) => Problem::new(Kind::MalformedBody, format!("the body is not JSON: {error}")),
    })
}

/// # Errors
/// 422 with the place of JSON that cannot be held.
pub(crate) fn values(members: BTreeMap<String, &RawValue>) -> Result<Map<String, Value>, Problem> {
    let mut errors = Vec::new();
    let mut fields = Map::new();
    for (name, text) in members {
        let value = match publish::check_json(text.get().as_bytes(), &name) {
            Ok(()) => serde_json::from_str(text.get()).map_err(|error| error.to_string()),
            Err(unreadable) => Err(unreadable.to_string()),
        };
        match value {
            Ok(value) => {
                fields.insert(name, value);
            }
            Err(message) => errors.push(json!({"field": format!("/{name}"), "message": message})),
        }
    }
    problem(errors).map_or(Ok(fields), Err)
}

/// The fields of an object, taken by name.
pub(crate) struct Fields {
    fields: Map<String, Value>,
    known: &'static [&'static str],
    errors: Vec<Value>,
}

impl Fields {
    pub(crate) fn new(fields: Map<String, Value>, known: &'static [&'static str]) -> Self {
        Self { fields, known, errors: Vec::new() }
    }

    pub(crate) fn refuse(&mut self, field: &str, message: impl Into<String>) {
        self.errors.push(json!({"field": format!("/{field}"), "message": message.into()}));
    }

    /// `None` when it is not there or null.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            _ => {
                self.refuse(name, format!("`{name}` must be a string"));
                None
            }
        }
    }

    pub(crate) fn boolean(&mut self, name: &str) -> bool {
        match self.take(name) {
            None => false,
            Some(Value::Bool(value)) => value,
            Some(_) => {
                self.refuse(name, format!("`{name}` must be true or false"));
                false
            }
        }
    }

    pub(crate) fn time(&mut self, name: &str) -> Option<Timestamp> {
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
    pub(crate) fn texts(&mut self, name: &str) -> Vec<String> {
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

    pub(crate) fn finish(mut self) -> Result<(), Problem> {
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
pub(crate) fn problem(errors: Vec<Value>) -> Option<Problem> {
    if errors.is_empty() {
        return None;
    }
    let texts: Vec<String> = errors.iter().filter_map(|error| error["message"].as_str().map(str::to_owned)).collect();
    Some(Problem::new(Kind::Invalid, texts.join("; ")).with("errors", errors))
}
