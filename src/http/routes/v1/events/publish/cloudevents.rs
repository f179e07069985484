//! CloudEvents 1.0 (JSON event format; HTTP binding: structured, batched, binary). `type` and `time` are the event's own,
//! `data` is carried byte for byte, the extension `tenant` is the tenant, and every other attribute is stored under
//! `metadata.cloudevents`, `id` and `source` included.
//!
//! `source` and `id` together identify a CloudEvent (§3.1), so the event's id is `ce_` and a hash of tenant, source and id:
//! publishing the same CloudEvent twice is publishing it once, and two sources may use the same ids.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::draft::{self, Defaults, Draft, Refusal};
use super::native::{members_of, text_of};
use crate::model::{Event, Timestamp};
use crate::publish::{self, CloudEventIdentity};

const VERSION: &str = "1.0";

/// In `metadata.cloudevents`: how `data` is to be read on the way out.
const DATA_ENCODING: &str = "dataencoding";
/// `data` is bytes, as Base64.
const BASE64: &str = "base64";
/// The event has no data; `data` is null only because an event of ours always has some.
const NONE: &str = "none";

/// What was read of an event, in whichever mode.
#[derive(Default)]
struct Attributes {
    id: Option<String>,
    kind: Option<String>,
    source: Option<String>,
    time: Option<String>,
    tenant: Option<String>,
    version: Option<String>,
    /// Everything else, for the metadata.
    others: Map<String, Value>,
}

/// Data that is not a JSON value of the event's own text.
enum Encoded<'a> {
    /// The body of the binary mode.
    Body(&'a Bytes),
    /// `data_base64`.
    Base64(String),
}

/// Reads one event of the JSON format, which lies within `body`.
pub(super) fn structured(text: &str, body: &Bytes, defaults: &Defaults, _index: usize) -> Result<Draft, Refusal> {
    if let Some(detail) = draft::too_large(text.len(), defaults.event_bytes_max) {
        return Err(Refusal::of(detail));
    }
    let members = members_of(text, "a CloudEvent")?;
    let mut refusal = Refusal::default();
    let mut attributes = Attributes::default();
    let (mut data, mut encoded): (Option<&RawValue>, Option<&RawValue>) = (None, None);
    for (name, value) in &members.0 {
        match &**name {
            "data" => data = Some(value),
            // JSON event format §2.2.1: null is as good as absent.
            _ if value.get() == "null" => {}
            "data_base64" => encoded = Some(value),
            name if !is_attribute_name(name) => refusal.add("attributes", bad_name(name)),
            "id" | "type" | "source" | "time" | "tenant" | "specversion" => {
                let text = text_of(name, value, &mut refusal);
                attributes.put(name, text.map(Value::from), &mut refusal);
            }
            name => match serde_json::from_str::<Value>(value.get()) {
                Ok(value @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => {
                    attributes.put(name, Some(value), &mut refusal);
                }
                _ => match publish::check_json(value.get().as_bytes(), name) {
                    Err(unreadable) => refusal.add(name, unreadable.to_string()),
                    Ok(()) => refusal.add(name, format!("the attribute `{name}` is not a string, a number or a boolean")),
                },
            },
        }
    }
    let data = match (data, encoded) {
        (Some(_), Some(_)) => {
            refusal.add("data", "`data` and `data_base64` are both given: send one of them");
            Bytes::new()
        }
        (Some(data), None) => draft::keep(body, data),
        (None, Some(encoded)) => match text_of("data_base64", encoded, &mut refusal) {
            Some(text) => attributes.decoded(Encoded::Base64(text), &mut refusal),
            None => Bytes::new(),
        },
        (None, None) => attributes.no_data(),
    };
    attributes.finish(data, defaults, refusal)
}

/// Reads an event of the binary mode: attributes are headers, the body is the data.
pub(super) fn binary(
    headers: &HeaderMap,
    content_type: Option<&str>,
    body: &Bytes,
    defaults: &Defaults,
) -> Result<Draft, Refusal> {
    let mut refusal = Refusal::default();
    if body.len() > defaults.event_bytes_max {
        refusal.add("data", format!("the data has {} bytes, {} are allowed", body.len(), defaults.event_bytes_max));
    }
    let mut attributes = Attributes::default();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix("ce-") else { continue };
        match decoded(value.as_bytes()) {
            Some(text) if is_attribute_name(name) => attributes.put(name, Some(text.into()), &mut refusal),
            Some(_) => refusal.add("attributes", bad_name(name)),
            None => refusal.add(name, format!("the header ce-{name} is not UTF-8 when its %-escapes are read")),
        }
    }
    if let Some(content_type) = content_type {
        attributes.others.insert("datacontenttype".to_owned(), content_type.into());
    }
    let data = if body.is_empty() { attributes.no_data() } else { attributes.decoded(Encoded::Body(body), &mut refusal) };
    attributes.finish(data, defaults, refusal)
}

impl Attributes {
    fn put(&mut self, name: &str, value: Option<Value>, refusal: &mut Refusal) {
        let Some(value) = value else { return };
        if matches!(name, "data" | DATA_ENCODING) {
            return refusal.add(name, format!("the attribute name `{name}` is reserved: choose another one for yours"));
        }
        let field = match name {
            "id" => &mut self.id,
            "type" => &mut self.kind,
            "source" => &mut self.source,
            "time" => &mut self.time,
            "tenant" => &mut self.tenant,
            "specversion" => &mut self.version,
            // §3.1: present means not empty; an event without them is what its producer meant.
            "subject" | "dataschema" | "datacontenttype" if value.as_str() == Some("") => return,
            other => {
                if self.others.insert(other.to_owned(), value).is_some() {
                    refusal.add(name, format!("the attribute `{name}` is given twice"));
                }
                return;
            }
        };
        if field.is_some() {
            refusal.add(name, format!("the attribute `{name}` is given twice"));
        }
        *field = value.as_str().map(str::to_owned);
    }

    fn no_data(&mut self) -> Bytes {
        self.others.insert(DATA_ENCODING.to_owned(), NONE.into());
        Bytes::from_static(b"null")
    }

    /// JSON and texts as what they are, by their type; the rest as Base64 text.
    fn decoded(&mut self, data: Encoded<'_>, refusal: &mut Refusal) -> Bytes {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        let content_type = self.others.get("datacontenttype").and_then(Value::as_str).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let (bytes, may_be_json) = match data {
            Encoded::Body(bytes) => (bytes.clone(), essence.is_empty()),
            Encoded::Base64(text) => match STANDARD.decode(&text) {
                Ok(bytes) => (Bytes::from(bytes), false),
                Err(error) => {
                    refusal.add("data_base64", format!("`data_base64` is not Base64: {error}"));
                    return Bytes::new();
                }
            },
        };
        let must_be_json = matches!(&*essence, "application/json" | "text/json") || essence.ends_with("+json");
        if must_be_json || may_be_json {
            match serde_json::from_slice::<&RawValue>(&bytes) {
                Ok(_) => return bytes,
                Err(error) if must_be_json => {
                    refusal.add("data", format!("the data is not JSON, as its type says: {error}"));
                    return Bytes::new();
                }
                Err(_) => {}
            }
        }
        match std::str::from_utf8(&bytes) {
            Ok(text) if essence.starts_with("text/") || essence.ends_with("xml") => Value::from(text).to_string().into(),
            _ => {
                self.others.insert(DATA_ENCODING.to_owned(), BASE64.into());
                Value::from(STANDARD.encode(&bytes)).to_string().into()
            }
        }
    }

    fn finish(self, data: Bytes, defaults: &Defaults, mut refusal: Refusal) -> Result<Draft, Refusal> {
        match self.version.as_deref() {
            Some(VERSION) => {}
            Some(other) => refusal.add("specversion", format!("`specversion` is {other:?}, {VERSION} is understood")),
            None => refusal.add("specversion", format!("`specversion` is missing: it is \"{VERSION}\"")),
        }
        let mut required = |name: &str, value: Option<String>| match value {
            Some(text) if !text.is_empty() => Some(text),
            _ => {
                refusal.add(name, format!("the attribute `{name}` is missing or empty"));
                None
            }
        };
        let (id, kind, source) = (required("id", self.id), required("type", self.kind), required("source", self.source));
        let kind = kind.and_then(|text| draft::kind(&text, &mut refusal));
        let timestamp =
            self.time.and_then(|text| Timestamp::parse(&text).map_err(|error| refusal.add("time", error.to_string())).ok());
        let tenant = self.tenant.and_then(|text| draft::tenant(&text, &mut refusal));
        let identity = source.zip(id).map(|(source, id)| CloudEventIdentity::new(source, id, &mut refusal));
        let mut others = self.others;
        let (event, identity) = refusal.or(|| {
            let identity = identity?;
            others.insert("id".to_owned(), identity.id.as_str().into());
            others.insert("source".to_owned(), identity.source.as_str().into());
            let metadata = Map::from_iter([("cloudevents".to_owned(), Value::Object(others))]);
            let event = Event {
                id: identity.event_id(tenant.as_deref()),
                kind: kind?,
                timestamp: timestamp.unwrap_or(defaults.now),
                received: defaults.now,
                data,
                metadata: Some(Value::Object(metadata).to_string().into()),
                tenant,
            };
            Some((event, identity))
        })?;
        let mut draft = Draft::new(event, timestamp.is_some())?;
        draft.cloud_event = Some(Arc::new(identity));
        Ok(draft)
    }
}

/// CloudEvents §3.1, attribute naming convention; at most 20 characters are a recommendation only.
fn is_attribute_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

fn bad_name(name: &str) -> String {
    let shown: String = name.chars().take(60).collect();
    format!("`{}` is no attribute name: CloudEvents has lower-case letters and digits", shown.escape_debug())
}

/// HTTP binding §3.1.3.2: header values are percent-encoded.
fn decoded(value: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((first, tail)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| tail.get(..2)).flatten();
        let byte = escaped.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match byte {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(out).ok()
}
