//! From a body to events: which form it has, where one event ends and the next begins. Pure.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::de::DeserializeSeed;

use super::cloudevents;
use super::draft::{self, Defaults, Draft, Refusal};
use super::native::{self, Elements, ElementsUpTo};
use crate::http::middleware::auth::Caller;
use crate::http::problem::{Kind, Problem};

/// Events of one array: one commit of some 10 ms, and a list of problems that a person can still read.
pub(super) const ARRAY_EVENTS_MAX: usize = 1000;

/// Lines of one NDJSON request: they are answered when all of them are stored.
pub(super) const LINES_MAX: usize = 10_000;

/// How the body is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    /// One event or an array of them.
    Json,
    Lines,
    CloudEvent,
    CloudEventBatch,
    /// CloudEvents binary mode: attributes are headers, the body is `data` of this type.
    CloudEventBinary {
        content_type: Option<String>,
    },
}

/// What a body holds.
#[derive(Debug)]
pub(super) enum Parsed {
    One(Result<Draft, Refusal>),
    /// All or nothing.
    All(Vec<Result<Draft, Refusal>>),
    /// Each for itself.
    Lines(Vec<Result<Draft, Refusal>>),
}

impl Parsed {
    /// What a tenant's token publishes is that tenant's; what names another tenant is refused.
    pub(super) fn owned_by(self, caller: &Caller) -> Self {
        let Some(tenant) = &caller.tenant else { return self };
        let own = |draft: Result<Draft, Refusal>| draft.and_then(|draft| draft.of_tenant(tenant, &caller.token));
        match self {
            Self::One(draft) => Self::One(own(draft)),
            Self::All(drafts) => Self::All(drafts.into_iter().map(own).collect()),
            Self::Lines(drafts) => Self::Lines(drafts.into_iter().map(own).collect()),
        }
    }
}

impl Format {
    /// # Errors
    /// 415, naming the types that are understood.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
        let content_type = given.to_ascii_lowercase();
        let (essence, parameters) = content_type.split_once(';').unwrap_or((&content_type, ""));
        let essence = essence.trim();
        if headers.contains_key("ce-specversion") && !essence.starts_with("application/cloudevents") {
            return Ok(Self::CloudEventBinary { content_type: Some(given.to_owned()).filter(|given| !given.is_empty()) });
        }
        let format = match essence {
            "application/json" => Self::Json,
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => Self::Lines,
            "application/cloudevents+json" => Self::CloudEvent,
            "application/cloudevents-batch+json" => Self::CloudEventBatch,
            other => {
                let given =
                    if other.is_empty() { "no Content-Type was sent".to_owned() } else { format!("`{other}` is not understood") };
                return Err(Problem::new(
                    Kind::UnsupportedMediaType,
                    format!(
                        "{given}: send application/json, application/x-ndjson (or application/ndjson, application/jsonl, \
                         application/x-jsonlines), application/cloudevents+json or application/cloudevents-batch+json"
                    ),
                ));
            }
        };
        let charset = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("charset="));
        match charset.map(|charset| charset.trim_matches('"')) {
            None | Some("utf-8" | "utf8" | "us-ascii") => Ok(format),
            Some(other) => {
                let detail = format!("the charset `{other}` is not understood: JSON is UTF-8 (RFC 8259)");
                Err(Problem::new(Kind::UnsupportedMediaType, detail))
            }
        }
    }
}

/// # Errors
/// 400 when it is no JSON, with the place; 413 when there are too many events; 422 when it is another kind of JSON.
pub(super) fn parse(format: &Format, headers: &HeaderMap, body: &Bytes, defaults: &Defaults) -> Result<Parsed, Problem> {
    match format {
        Format::Lines => lines(body, defaults),
        Format::CloudEventBinary { content_type } => {
            Ok(Parsed::One(cloudevents::binary(headers, content_type.as_deref(), body, defaults)))
        }
        Format::Json if first_byte(body) == Some(b'[') => array(body, |text, index| native::parse(text, body, defaults, index)),
        Format::CloudEventBatch => array(body, |text, index| cloudevents::structured(text, body, defaults, index)),
        Format::Json => Ok(Parsed::One(native::parse(whole(body, defaults)?, body, defaults, 0))),
        Format::CloudEvent => Ok(Parsed::One(cloudevents::structured(whole(body, defaults)?, body, defaults, 0))),
    }
}

fn first_byte(body: &Bytes) -> Option<u8> {
    body.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

/// The body as text, known to be one JSON value of an event's size.
fn whole<'b>(body: &'b Bytes, defaults: &Defaults) -> Result<&'b str, Problem> {
    if first_byte(body).is_none() {
        let detail = "the body is empty: send an event such as {\"type\": \"order.created\", \"data\": {}}";
        return Err(Problem::new(Kind::MalformedBody, detail));
    }
    let raw: &serde_json::value::RawValue = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    match draft::too_large(raw.get().len(), defaults.event_bytes_max) {
        Some(detail) => Err(Problem::new(Kind::TooLarge, detail).with("limit", defaults.event_bytes_max)),
        None => Ok(raw.get()),
    }
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(Kind::MalformedBody, format!("the body is not JSON: {error}"))
        .with("line", error.line())
        .with("column", error.column())
}

fn array(body: &Bytes, parse: impl Fn(&str, usize) -> Result<Draft, Refusal>) -> Result<Parsed, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let elements: Elements<'_> = ElementsUpTo(ARRAY_EVENTS_MAX)
        .deserialize(&mut deserializer)
        .and_then(|elements| deserializer.end().map(|()| elements))
        .map_err(|error| malformed(&error))?;
    if elements.count > ARRAY_EVENTS_MAX {
        let detail = format!(
            "the array has {} events, {ARRAY_EVENTS_MAX} are allowed: send several arrays, or application/x-ndjson",
            elements.count
        );
        return Err(Problem::new(Kind::TooLarge, detail).with("limit", ARRAY_EVENTS_MAX));
    }
    if elements.count == 0 {
        return Err(Problem::new(Kind::Invalid, "the array is empty: nothing was published"));
    }
    Ok(Parsed::All(elements.texts.iter().enumerate().map(|(index, text)| parse(text.get(), index)).collect()))
}

fn lines(body: &Bytes, defaults: &Defaults) -> Result<Parsed, Problem> {
    let blank = |line: &&[u8]| !line.iter().all(u8::is_ascii_whitespace);
    let count = body.split(|byte| *byte == b'\n').filter(blank).count();
    if count > LINES_MAX {
        let detail = format!("there are {count} lines, {LINES_MAX} are allowed: send several requests");
        return Err(Problem::new(Kind::TooLarge, detail).with("limit", LINES_MAX));
    }
    if count == 0 {
        return Err(Problem::new(Kind::MalformedBody, "the body has no lines: send one event a line"));
    }
    let parse = |(index, line): (usize, &[u8])| match std::str::from_utf8(line) {
        Ok(text) => native::parse(text.trim_ascii(), body, defaults, index),
        Err(error) => Err(Refusal::of(format!("the line is not UTF-8: {error}"))),
    };
    Ok(Parsed::Lines(body.split(|byte| *byte == b'\n').filter(blank).enumerate().map(parse).collect()))
}
