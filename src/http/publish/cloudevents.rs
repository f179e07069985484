//! CloudEvents 1.0 (JSON event format; HTTP binding: structured, batched, binary). `id`, `type` and `time` are the
//! event's own, `data` is carried byte for byte, the extension `tenant` is the tenant, and every other attribute is
//! kept under `metadata.cloudevents`.
//!
//! An id that we cannot use as ours (dots, spaces, more than 128 characters) becomes `ce_` and a digest of `source`
//! and `id`: still the same for the same event, so that publishing it twice is publishing it once.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::draft::{self, Defaults, Draft, Refusal};
use super::native::{Members, text_of};
use crate::model::{Event, EventId, Timestamp};

const VERSION: &str = "1.0";

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

/// Reads one event of the JSON format, which lies within `body`.
pub(super) fn structured(text: &str, body: &Bytes, defaults: &Defaults, _place: usize) -> Result<Draft, Refusal> {
    if let Some(detail) = draft::too_large(text.len(), defaults.event_bytes_max) {
        return Err(Refusal::of(detail));
    }
    let members: Members<'_> =
        serde_json::from_str(text).map_err(|error| Refusal::of(format!("a CloudEvent is a JSON object: {error}")))?;
    let mut refusal = Refusal::default();
    let mut attributes = Attributes::default();
    let (mut data, mut encoded): (Option<&RawValue>, Option<&RawValue>) = (None, None);
    for (name, value) in &members.0 {
        match &**name {
            "data" => data = Some(value),
            "data_base64" => encoded = Some(value),
            // JSON event format §2.2.1: null is as good as absent.
            _ if value.get() == "null" => {}
            name if !is_attribute_name(name) => refusal.add("attributes", bad_name(name)),
            "id" | "type" | "source" | "time" | "tenant" | "specversion" => {
                let text = text_of(name, value, &mut refusal);
                attributes.put(name, text);
            }
            name => match serde_json::from_str::<Value>(value.get()) {
                Ok(value @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => {
                    attributes.others.insert(name.to_owned(), value);
                }
                _ => refusal.add(name, format!("the attribute `{name}` is not a text, a number or a boolean")),
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
            Some(text) => attributes.binary_data(Err(text), &mut refusal),
            None => Bytes::new(),
        },
        (None, None) => Bytes::from_static(b"null"),
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
            Some(text) if is_attribute_name(name) => attributes.put(name, Some(text)),
            Some(_) => refusal.add("attributes", bad_name(name)),
            None => refusal.add(name, format!("the header ce-{name} is not UTF-8 when its %-escapes are read")),
        }
    }
    if let Some(content_type) = content_type {
        attributes.others.insert("datacontenttype".to_owned(), content_type.into());
    }
    let data = if body.is_empty() { Bytes::from_static(b"null") } else { attributes.binary_data(Ok(body), &mut refusal) };
    attributes.finish(data, defaults, refusal)
}

impl Attributes {
    fn put(&mut self, name: &str, text: Option<String>) {
        match name {
            "id" => self.id = text,
            "type" => self.kind = text,
            "source" => self.source = text,
            "time" => self.time = text,
            "tenant" => self.tenant = text,
            "specversion" => self.version = text,
            other => {
                self.others.extend(text.map(|text| (other.to_owned(), Value::from(text))));
            }
        }
    }

    /// Data that came as bytes (`Ok`) or as Base64 (`Err`): JSON and texts as what they are, the rest as Base64 text.
    fn binary_data(&mut self, data: Result<&Bytes, String>, refusal: &mut Refusal) -> Bytes {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        let content_type = self.others.get("datacontenttype").and_then(Value::as_str).unwrap_or_default().to_owned();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let bytes = match data {
            Ok(bytes) => bytes.clone(),
            Err(text) => match STANDARD.decode(&text) {
                Ok(bytes) => Bytes::from(bytes),
                Err(error) => {
                    refusal.add("data_base64", format!("`data_base64` is not Base64: {error}"));
                    return Bytes::new();
                }
            },
        };
        if essence.is_empty() || essence == "application/json" || essence.ends_with("+json") {
            return match serde_json::from_slice::<&RawValue>(&bytes) {
                Ok(_) => bytes,
                Err(error) => {
                    refusal.add("data", format!("the data is not JSON, as its type says: {error}"));
                    Bytes::new()
                }
            };
        }
        match std::str::from_utf8(&bytes) {
            Ok(text) if essence.starts_with("text/") || essence.ends_with("xml") => Value::from(text).to_string().into(),
            _ => {
                self.others.insert("dataencoding".to_owned(), "base64".into());
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
        let mut others = self.others;
        refusal.or(|| {
            let (id, source) = (id?, source?);
            let own = EventId::parse(&id).ok();
            if own.is_none() {
                others.insert("id".to_owned(), id.as_str().into());
            }
            others.insert("source".to_owned(), source.as_str().into());
            let metadata = Map::from_iter([("cloudevents".to_owned(), Value::Object(others))]);
            let event = Event {
                id: own.unwrap_or_else(|| derived_id(&source, &id)),
                kind: kind?,
                timestamp: timestamp.unwrap_or(defaults.now),
                received: defaults.now,
                data,
                metadata: Some(Value::Object(metadata).to_string().into()),
                tenant,
            };
            Some(Draft { event, timestamp_given: timestamp.is_some() })
        })
    }
}

fn derived_id(source: &str, id: &str) -> EventId {
    let digest = Sha256::new().chain_update(source).chain_update([0]).chain_update(id).finalize();
    EventId::parse(&format!("ce_{}", hex::encode(&digest[..16]))).unwrap_or_else(|_| EventId::generate())
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

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn defaults() -> Defaults {
        Defaults { now: Timestamp::from_millis(1_700_000_000_000), key: None, event_bytes_max: 10_000 }
    }

    fn read(text: &str) -> Result<Event, String> {
        let body = Bytes::copy_from_slice(text.as_bytes());
        let text = std::str::from_utf8(&body).unwrap();
        structured(text, &body, &defaults(), 0).map(|draft| draft.event).map_err(|refusal| refusal.detail())
    }

    #[test]
    fn a_structured_event_keeps_its_data_and_all_attributes() {
        let event = read(
            r#"{"specversion":"1.0","id":"A234-1234","source":"/mycontext","type":"com.example.someevent","time":"2026-04-05T17:31:00Z",
                "subject":"s1","comexampleext":7,"tenant":"acme","datacontenttype":"application/json","data":{"b": 1.00,"a":"\u00e9"}}"#,
        )
        .unwrap();
        assert_eq!(event.id.as_str(), "A234-1234");
        assert_eq!(event.kind.as_str(), "com.example.someevent");
        assert_eq!(event.timestamp.to_string(), "2026-04-05T17:31:00.000Z");
        assert_eq!(event.data, r#"{"b": 1.00,"a":"\u00e9"}"#);
        assert_eq!(event.tenant.as_deref(), Some("acme"));
        let expected =
            r#"{"cloudevents":{"comexampleext":7,"datacontenttype":"application/json","source":"/mycontext","subject":"s1"}}"#;
        assert_eq!(event.metadata.unwrap(), expected);
    }

    #[test]
    fn an_id_that_we_cannot_use_is_derived_from_source_and_id() {
        let with = |source: &str| {
            read(&format!(r#"{{"specversion":"1.0","id":"1.2 3","source":"{source}","type":"a","data":1}}"#)).unwrap()
        };
        assert!(with("/a").id.as_str().starts_with("ce_"));
        assert_eq!(with("/a").id, with("/a").id);
        assert_ne!(with("/a").id, with("/b").id);
        assert_eq!(with("/a").metadata.unwrap(), r#"{"cloudevents":{"id":"1.2 3","source":"/a"}}"#);
    }

    #[test]
    fn encoded_data_is_decoded_as_far_as_json_can_say_it() {
        let with = |kind: &str, data: &str| {
            let text = format!(
                r#"{{"specversion":"1.0","id":"1","source":"/a","type":"a","datacontenttype":"{kind}","data_base64":"{data}"}}"#
            );
            read(&text).map(|event| event.data)
        };
        assert_eq!(with("application/json", "eyJhIjogMX0=").unwrap(), r#"{"a": 1}"#);
        assert_eq!(with("text/plain; charset=utf-8", "aGkgIg==").unwrap(), r#""hi \"""#);
        assert_eq!(with("application/octet-stream", "AAE=").unwrap(), r#""AAE=""#);
        assert!(with("application/json", "AAE=").unwrap_err().starts_with("the data is not JSON, as its type says"));
        assert!(with("text/plain", "%").unwrap_err().starts_with("`data_base64` is not Base64"));
    }

    #[test]
    fn everything_that_is_wrong_is_named() {
        let error = read(
            r#"{"specversion":"0.3","id":"","type":"webhook.x","time":"now","Bad-Name":1,"ext":{},"data":1,"data_base64":""}"#,
        );
        let error = error.unwrap_err();
        for part in [
            "`specversion` is \"0.3\", 1.0 is understood",
            "the attribute `id` is missing or empty",
            "the attribute `source` is missing or empty",
            "event type `webhook.x` is reserved",
            "`now` is not an RFC 3339 time",
            "`Bad-Name` is no attribute name",
            "the attribute `ext` is not a text, a number or a boolean",
            "`data` and `data_base64` are both given",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn in_binary_mode_attributes_are_headers_and_the_body_is_the_data() {
        let headers: HeaderMap = [
            ("ce-specversion", "1.0"),
            ("ce-id", "A-1"),
            ("ce-source", "/caf%C3%A9"),
            ("ce-type", "order.created"),
            ("ce-subject", "100%"),
            ("content-type", "application/json"),
        ]
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
        let body = Bytes::from_static(b" {\"a\": 1} ");
        let event = binary(&headers, Some("application/json"), &body, &defaults()).unwrap().event;
        assert_eq!(event.data, body);
        let expected = r#"{"cloudevents":{"datacontenttype":"application/json","source":"/café","subject":"100%"}}"#;
        assert_eq!(event.metadata.unwrap(), expected);
        assert_eq!(binary(&headers, None, &Bytes::new(), &defaults()).unwrap().event.data, "null");
        assert!(binary(&headers, None, &Bytes::from_static(b"{"), &defaults()).is_err());
    }
}
