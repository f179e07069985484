//! What the tests of the transformers share. Only with the feature `testing`, and in this crate's own tests.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tenterhook_transformer::{Body, Event, Outcome, Request, Transformer, check_options};

/// An event as the tests of all transformers know it.
pub fn event(event_type: &str, data: &str) -> Event {
    Event {
        id: "evt_0198".to_owned(),
        type_: event_type.to_owned(),
        timestamp: "2026-01-28T10:30:45.123Z".to_owned(),
        data: data.to_owned(),
        metadata: None,
        tenant: None,
    }
}

/// The same with metadata.
pub fn event_with(event_type: &str, data: &str, metadata: &str) -> Event {
    Event { metadata: Some(metadata.to_owned()), ..event(event_type, data) }
}

/// What the transformer makes with these options, given as JSON text.
pub fn run<T: Transformer>(events: &[Event], options: &str) -> Result<Outcome, String> {
    T::transform(events, &check_options::<T>(options)?)
}

/// The request that the transformer makes.
///
/// # Panics
/// If it makes none.
pub fn request<T: Transformer>(events: &[Event], options: &str) -> Request {
    match run::<T>(events, options) {
        Ok(Outcome::Request(request)) => request,
        other => panic!("no request but {other:?}"),
    }
}

/// The body of a request as text.
///
/// # Panics
/// If it is bytes.
pub fn text(request: &Request) -> &str {
    match &request.body {
        Body::Text(text) => text,
        Body::Bytes(bytes) => panic!("the body is {} bytes, no text", bytes.len()),
    }
}

/// What is said about bad options.
///
/// # Panics
/// If they are good.
pub fn options_error<T: Transformer>(options: &str) -> String {
    match check_options::<T>(options) {
        Ok(_) => panic!("the options are good: {options}"),
        Err(error) => error,
    }
}

/// That `options.schema.json` describes exactly the options that there are.
///
/// # Panics
/// If it does not.
pub fn assert_schema_names_every_option<T: Transformer>() {
    let schema: Value = serde_json::from_str(&T::describe().options_schema).expect("the schema is JSON");
    let error = options_error::<T>(r#"{"?":1}"#);
    let (_, known) = error.split_once("there are: ").expect("the error names the options");
    let mut known: Vec<&str> = known.split(", ").collect();
    known.sort_unstable();
    let properties = schema["properties"].as_object().expect("the schema has properties");
    let mut described: Vec<&str> = properties.keys().map(String::as_str).collect();
    described.sort_unstable();
    assert_eq!(described, known);
}

/// What a golden case leaves out, as the host fills it in.
const CASE_ID: &str = "evt_sample";
const CASE_TIMESTAMP: &str = "2026-01-28T10:30:45.123Z";

#[derive(Deserialize)]
struct Case<'a> {
    #[serde(borrow)]
    event: Option<CaseEvent<'a>>,
    #[serde(borrow)]
    events: Option<Vec<CaseEvent<'a>>>,
    #[serde(borrow)]
    options: Option<&'a RawValue>,
    expect: Option<Value>,
}

#[derive(Deserialize)]
struct CaseEvent<'a> {
    id: Option<String>,
    r#type: String,
    timestamp: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    tenant: Option<String>,
}

impl CaseEvent<'_> {
    fn event(self) -> Event {
        let text = |raw: &RawValue| raw.get().to_owned();
        Event {
            id: self.id.unwrap_or_else(|| CASE_ID.to_owned()),
            type_: self.r#type,
            timestamp: self.timestamp.unwrap_or_else(|| CASE_TIMESTAMP.to_owned()),
            data: self.data.map_or_else(|| "null".to_owned(), text),
            metadata: self.metadata.map(text),
            tenant: self.tenant,
        }
    }
}

/// That the transformer makes what its golden cases (`cases/*.json` of its crate) expect. The host holds the module to the
/// same files; here a mistake shows without WebAssembly. `UPDATE_CASES=1` writes what is made into them.
///
/// # Panics
/// If a case fails, or there is none.
pub fn assert_golden_cases<T: Transformer>(crate_dir: &str) {
    let dir = std::path::Path::new(crate_dir).join("cases");
    let mut paths: Vec<_> =
        std::fs::read_dir(&dir).expect("there are cases").map(|entry| entry.expect("a case").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", dir.display());
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a case is text");
        let case: Case<'_> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let events: Vec<Event> = case.events.into_iter().flatten().chain(case.event).map(CaseEvent::event).collect();
        let made = shown(&run::<T>(&events, case.options.map_or("{}", RawValue::get)));
        if std::env::var_os("UPDATE_CASES").is_some() && case.expect.as_ref() != Some(&made) {
            let (before, _) = text.split_once("\"expect\"").unwrap_or_else(|| panic!("{} expects nothing", path.display()));
            let pretty = serde_json::to_string_pretty(&made).expect("a value is JSON").replace('\n', "\n  ");
            std::fs::write(&path, format!("{before}\"expect\": {pretty}\n}}\n")).expect("a case can be written");
            continue;
        }
        assert_eq!(Some(made), case.expect, "{}", path.display());
    }
}

/// As the host shows what a call came to.
fn shown(made: &Result<Outcome, String>) -> Value {
    let event = |event: &Event| {
        let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
        let mut shown = json!({ "id": event.id, "type": event.type_, "timestamp": event.timestamp, "data": data });
        if let Some(metadata) = &event.metadata {
            shown["metadata"] = serde_json::from_str(metadata).unwrap_or_default();
        }
        shown
    };
    match made {
        Ok(Outcome::Request(request)) => json!({ "request": shown_request(request) }),
        Ok(Outcome::Event(made)) => json!({ "event": event(made) }),
        Ok(Outcome::Events(made)) => json!({ "events": made.iter().map(event).collect::<Vec<_>>() }),
        Ok(Outcome::Drop(reason)) => json!({ "drop": reason }),
        Err(error) => json!({ "error": error }),
    }
}

fn shown_request(request: &Request) -> Value {
    let mut shown = serde_json::Map::new();
    shown.extend(request.method.as_ref().map(|method| ("method".to_owned(), json!(method))));
    shown.extend(request.url.as_ref().map(|url| ("url".to_owned(), json!(url))));
    if !request.headers.is_empty() {
        let headers = request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), json!(value)));
        shown.insert("headers".to_owned(), Value::Object(headers.collect()));
    }
    let body = match &request.body {
        Body::Text(text) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        Body::Bytes(bytes) => panic!("no golden case has a body of {} bytes", bytes.len()),
    };
    shown.insert("body".to_owned(), body);
    Value::Object(shown)
}
