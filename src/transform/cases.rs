//! Golden cases: an event, options, and what a module must make of them, as JSON. People write them for their own modules
//! (`tenterhook transformer test`); the prebuilt ones are held to theirs by the same code.

use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{Output, RequestParts, TransformError};
use crate::model::{Event, EventId, EventType, Timestamp};

/// What an event has when its author does not care.
const ID: &str = "evt_sample";
const TIMESTAMP: &str = "2026-01-28T10:30:45.123Z";

/// Differences shown of one case; more are no help.
const DIFFERENCES_MAX: usize = 20;

/// A case as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Never none.
    pub events: Vec<Event>,
    /// JSON text of an object.
    pub options: String,
    /// What [`show`] must give; `None` when it is not known yet.
    pub expect: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseText<'a> {
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    events: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    options: Option<&'a RawValue>,
    expect: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventText<'a> {
    id: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    timestamp: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    tenant: Option<String>,
}

impl Case {
    /// # Errors
    /// What is wrong with it, for the person who wrote it.
    pub fn read(text: &str) -> Result<Self, String> {
        let case: CaseText<'_> = serde_json::from_str(text).map_err(|error| format!("the case cannot be read: {error}"))?;
        let events = match (case.event, case.events) {
            (Some(event), None) => vec![read_event(event.get())?],
            (None, Some(events)) if !events.is_empty() => {
                events.iter().map(|event| read_event(event.get())).collect::<Result<_, _>>()?
            }
            _ => return Err("a case has `event`, or `events` with one at least".to_owned()),
        };
        let options = case.options.map_or("{}", RawValue::get).to_owned();
        Ok(Self { events, options, expect: case.expect })
    }
}

/// An event as JSON: `type`, and if wanted `id`, `timestamp`, `data` (kept byte for byte), `metadata`, `tenant`.
///
/// # Errors
/// What is wrong with it.
pub fn read_event(text: &str) -> Result<Event, String> {
    let event: EventText<'_> = serde_json::from_str(text).map_err(|error| format!("the event cannot be read: {error}"))?;
    let timestamp = Timestamp::parse(event.timestamp.as_deref().unwrap_or(TIMESTAMP)).map_err(|error| error.to_string())?;
    let bytes = |raw: &RawValue| Bytes::copy_from_slice(raw.get().as_bytes());
    if event.metadata.is_some_and(|metadata| !metadata.get().starts_with('{')) {
        return Err("the event's `metadata` is no object".to_owned());
    }
    Ok(Event {
        id: EventId::parse(event.id.as_deref().unwrap_or(ID)).map_err(|error| error.to_string())?,
        kind: EventType::parse(&event.kind).map_err(|error| error.to_string())?,
        timestamp,
        received: timestamp,
        data: event.data.map_or(Bytes::from_static(b"null"), bytes),
        metadata: event.metadata.map(bytes),
        tenant: event.tenant.map(Arc::from),
    })
}

/// What a call came to, as JSON: `{"request": …}`, `{"event": …}`, `{"events": […]}`, `{"drop": reason}` or
/// `{"error": text}`.
pub fn show(result: &Result<Output, TransformError>) -> Value {
    match result {
        Ok(Output::Request(parts)) => json!({ "request": show_request(parts) }),
        Ok(Output::Event(event)) => json!({ "event": show_event(event) }),
        Ok(Output::Events(events)) => json!({ "events": events.iter().map(show_event).collect::<Vec<_>>() }),
        Ok(Output::Drop { reason }) => json!({ "drop": reason }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

fn show_request(parts: &RequestParts) -> Value {
    let mut shown = Map::new();
    if let Some(method) = &parts.method {
        shown.insert("method".to_owned(), json!(method.as_str()));
    }
    if let Some(url) = &parts.url {
        shown.insert("url".to_owned(), json!(url));
    }
    if !parts.headers.is_empty() {
        let header = |(name, value): &(http::HeaderName, http::HeaderValue)| {
            (name.as_str().to_owned(), json!(String::from_utf8_lossy(value.as_bytes())))
        };
        shown.insert("headers".to_owned(), Value::Object(parts.headers.iter().map(header).collect()));
    }
    shown.insert("body".to_owned(), show_bytes(&parts.body));
    Value::Object(shown)
}

/// JSON as JSON, text as a string, anything else as `{"base64": …}`.
fn show_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        Err(_) => json!({ "base64": base64::engine::general_purpose::STANDARD.encode(bytes) }),
    }
}

fn show_event(event: &Event) -> Value {
    serde_json::from_slice(&event.envelope()).unwrap_or_default()
}

/// The case with `expect` as its expectation: the other values stay byte for byte, order and layout become the usual ones.
///
/// # Errors
/// The text is no case.
pub fn with_expectation(text: &str, expect: &Value) -> Result<String, String> {
    let case: CaseText<'_> = serde_json::from_str(text).map_err(|error| format!("the case cannot be read: {error}"))?;
    let mut parts: Vec<(&str, String)> = Vec::new();
    parts.extend(case.event.map(|event| ("event", event.get().to_owned())));
    if let Some(events) = &case.events {
        let lines: Vec<&str> = events.iter().map(|event| event.get()).collect();
        parts.push(("events", format!("[\n    {}\n  ]", lines.join(",\n    "))));
    }
    parts.extend(case.options.map(|options| ("options", options.get().to_owned())));
    let pretty = serde_json::to_string_pretty(expect).map_err(|error| error.to_string())?;
    parts.push(("expect", pretty.replace('\n', "\n  ")));
    let lines: Vec<String> = parts.into_iter().map(|(key, value)| format!("  \"{key}\": {value}")).collect();
    Ok(format!("{{\n{}\n}}\n", lines.join(",\n")))
}

/// Where the two differ, each with its place: none if they are the same.
pub fn differences(expected: &Value, actual: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", expected, actual, &mut found);
    found.truncate(DIFFERENCES_MAX);
    found
}

fn compare(path: &str, expected: &Value, actual: &Value, found: &mut Vec<String>) {
    if found.len() > DIFFERENCES_MAX {
        return;
    }
    match (expected, actual) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                match new.get(key) {
                    Some(other) => compare(&format!("{path}/{key}"), value, other, found),
                    None => found.push(format!("{path}/{key}: expected {}, is not there", short(value))),
                }
            }
            let more = new.iter().filter(|(key, _)| !old.contains_key(*key));
            found.extend(more.map(|(key, value)| format!("{path}/{key}: not expected, is {}", short(value))));
        }
        (Value::Array(old), Value::Array(new)) => {
            for at in 0..old.len().max(new.len()) {
                match (old.get(at), new.get(at)) {
                    (Some(value), Some(other)) => compare(&format!("{path}/{at}"), value, other, found),
                    (Some(value), None) => found.push(format!("{path}/{at}: expected {}, is not there", short(value))),
                    (None, Some(value)) => found.push(format!("{path}/{at}: not expected, is {}", short(value))),
                    (None, None) => {}
                }
            }
        }
        _ if expected == actual => {}
        _ => found.push(format!(
            "{}: expected {}, is {}",
            if path.is_empty() { "/" } else { path },
            short(expected),
            short(actual)
        )),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    let end = text.floor_char_boundary(200);
    if end < text.len() { format!("{}…", &text[..end]) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_needs_little() {
        let case = Case::read(r#"{"event":{"type":"a.b","data":{"n": 1.00}},"expect":{"drop":"x"}}"#).unwrap();
        assert_eq!((case.events[0].data.as_ref(), case.options.as_str()), (&b"{\"n\": 1.00}"[..], "{}"));
        for (text, part) in [
            ("{}", "a case has `event`"),
            (r#"{"events":[]}"#, "a case has `event`"),
            (r#"{"event":{"type":"a b"}}"#, "event type `a b`"),
            (r#"{"event":{"typ":"a"}}"#, "unknown field `typ`"),
            (r#"{"event":{"type":"a","metadata":1}}"#, "`metadata` is no object"),
        ] {
            let error = Case::read(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_new_expectation_leaves_the_rest_as_it_was() {
        let text = r#"{"options":{"a": 1.0},"event":{"type":"a.b"}}"#;
        let updated = with_expectation(text, &json!({ "drop": "x" })).unwrap();
        assert_eq!(
            updated,
            "{\n  \"event\": {\"type\":\"a.b\"},\n  \"options\": {\"a\": 1.0},\n  \"expect\": {\n    \"drop\": \"x\"\n  }\n}\n"
        );
        assert_eq!(with_expectation(&updated, &json!({ "drop": "x" })).unwrap(), updated);
    }

    #[test]
    fn differences_are_named_with_their_place() {
        let expected = json!({ "request": { "body": { "a": 1, "b": [1, 2] }, "url": "/x" } });
        let actual = json!({ "request": { "body": { "a": 2, "b": [1], "c": null } } });
        assert_eq!(
            differences(&expected, &actual),
            [
                "/request/body/a: expected 1, is 2",
                "/request/body/b/1: expected 2, is not there",
                "/request/body/c: not expected, is null",
                "/request/url: expected \"/x\", is not there",
            ]
        );
        assert!(differences(&expected, &expected).is_empty());
        assert_eq!(differences(&json!(1), &json!("1")), ["/: expected 1, is \"1\""]);
    }
}
