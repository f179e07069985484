//! CloudEvents of every mode: what is stored of them, and what is refused with which words.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::*;

fn defaults() -> Defaults {
    Defaults { now: Timestamp::from_millis(1_700_000_000_000), key: None, event_bytes_max: 10_000 }
}

fn read(text: &str) -> Result<Event, String> {
    let body = Bytes::copy_from_slice(text.as_bytes());
    let text = std::str::from_utf8(&body).unwrap();
    structured(text, &body, &defaults(), 0).map(|draft| draft.event).map_err(|refusal| refusal.detail())
}

/// A structured event with these members besides the required ones.
fn with(more: &str) -> Result<Event, String> {
    read(&format!(r#"{{"specversion":"1.0","id":"1","source":"/a","type":"a.b"{more}}}"#))
}

fn sent(headers: &[(&'static str, &'static str)], body: &'static [u8]) -> Result<Event, String> {
    let required = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/a"), ("ce-type", "a.b")];
    let headers: HeaderMap = required
        .iter()
        .chain(headers)
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    let content_type = headers.get("content-type").map(|value| value.to_str().unwrap().to_owned());
    let event = binary(&headers, content_type.as_deref(), &Bytes::from_static(body), &defaults());
    event.map(|draft| draft.event).map_err(|refusal| refusal.detail())
}

/// `metadata.cloudevents`, without what every event has.
fn attributes(event: &Event) -> Value {
    let metadata: Value = serde_json::from_slice(event.metadata.as_deref().unwrap()).unwrap();
    let mut attributes = metadata["cloudevents"].clone();
    assert_eq!((attributes["id"].take(), attributes["source"].take()), (json!("1"), json!("/a")));
    attributes.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    attributes
}

#[test]
fn a_structured_event_keeps_its_data_and_all_attributes() {
    let event = read(
        r#"{"specversion":"1.0","id":"A234-1234","source":"/mycontext","type":"com.example.someevent","time":"2026-04-05T17:31:00Z",
            "subject":"s1","comexampleext":7,"tenant":"acme","datacontenttype":"application/json","data":{"b": 1.00,"a":"\u00e9"}}"#,
    )
    .unwrap();
    assert_eq!(event.kind.as_str(), "com.example.someevent");
    assert_eq!(event.timestamp.to_string(), "2026-04-05T17:31:00.000Z");
    assert_eq!(event.data, r#"{"b": 1.00,"a":"\u00e9"}"#);
    assert_eq!(event.tenant.as_deref(), Some("acme"));
    let metadata: Value = serde_json::from_slice(&event.metadata.unwrap()).unwrap();
    let expected = json!({"comexampleext": 7, "datacontenttype": "application/json", "id": "A234-1234", "source": "/mycontext",
        "subject": "s1"});
    assert_eq!(metadata["cloudevents"], expected);
}

#[test]
fn source_and_id_are_the_identity_in_every_mode() {
    let id = |source: &str, id: &str| {
        let text = format!(r#"{{"specversion":"1.0","id":"{id}","source":"{source}","type":"a.b","data":1}}"#);
        read(&text).unwrap().id
    };
    assert_eq!(id("/a", "1"), with(r#","data":2"#).unwrap().id);
    assert_eq!(id("/a", "1"), sent(&[], b"1").unwrap().id);
    assert_ne!(id("/a", "1"), id("/b", "1"));
    assert_ne!(id("/a", "1"), id("/a", "2"));
    assert_ne!(id("/a", "1"), with(r#","tenant":"acme","data":1"#).unwrap().id);
    assert!(id("/a", "partition:0/offset:5").as_str().starts_with("ce_"));
}

#[test]
fn the_tenant_of_a_token_is_part_of_the_identity() {
    let text = r#"{"specversion":"1.0","id":"1","source":"/a","type":"a.b","data":1}"#;
    let body = Bytes::from_static(text.as_bytes());
    let draft = structured(text, &body, &defaults(), 0).unwrap();
    let of_acme = draft.of_tenant(&"acme".into(), "acme-token").unwrap();
    assert_eq!(of_acme.event.id, with(r#","tenant":"acme","data":1"#).unwrap().id);
}

#[test]
fn encoded_data_is_decoded_as_far_as_json_can_say_it() {
    let encoded =
        |kind: &str, data: &str| with(&format!(r#","datacontenttype":"{kind}","data_base64":"{data}""#)).map(|event| event.data);
    assert_eq!(encoded("application/json", "eyJhIjogMX0=").unwrap(), r#"{"a": 1}"#);
    assert_eq!(encoded("text/plain; charset=utf-8", "aGkgIg==").unwrap(), r#""hi \"""#);
    assert_eq!(encoded("application/octet-stream", "AAE=").unwrap(), r#""AAE=""#);
    assert!(encoded("application/json", "AAE=").unwrap_err().starts_with("the data is not JSON, as its type says"));
    assert!(encoded("text/plain", "%").unwrap_err().starts_with("`data_base64` is not Base64"));
    let half = encoded("application/json", "eyJhIjoiXHVkODNkIn0=").unwrap_err();
    assert!(half.contains(r"`data.a` has \ud83d"), "{half}");
}

#[test]
fn encoded_data_without_a_type_is_bytes() {
    for data in ["AP8=", "eyJhIjogMX0=", "aGk="] {
        let event = with(&format!(r#","data_base64":"{data}""#)).unwrap();
        assert_eq!(event.data, format!("\"{data}\""));
        assert_eq!(attributes(&event), json!({"dataencoding": "base64"}));
    }
    assert_eq!(sent(&[], b" {\"a\": 1}").unwrap().data, " {\"a\": 1}", "a body without a type is JSON where it can be");
    assert_eq!(attributes(&sent(&[], b"\x00\xff").unwrap()), json!({"dataencoding": "base64"}));
}

#[test]
fn no_data_is_not_null() {
    for event in [with("").unwrap(), sent(&[], b"").unwrap()] {
        assert_eq!((&event.data[..], attributes(&event)), (&b"null"[..], json!({"dataencoding": "none"})));
    }
    let typed = sent(&[("content-type", "text/plain")], b"").unwrap();
    assert_eq!(attributes(&typed), json!({"dataencoding": "none", "datacontenttype": "text/plain"}));
    assert_eq!(attributes(&with(r#","data":null"#).unwrap()), json!({}));
    assert_eq!(
        attributes(&sent(&[("content-type", "application/json")], b"null").unwrap()),
        json!({"datacontenttype": "application/json"})
    );
}

#[test]
fn a_content_type_keeps_its_parameters() {
    let event = sent(&[("content-type", "text/csv; charset=iso-8859-1")], b"caf\xe9;1").unwrap();
    assert_eq!(event.data, "\"Y2Fm6Tsx\"");
    let expected = json!({"datacontenttype": "text/csv; charset=iso-8859-1", "dataencoding": "base64"});
    assert_eq!(attributes(&event), expected);
    let event = sent(&[("content-type", "Application/JSON; charset=UTF-8")], b"{}").unwrap();
    assert_eq!(
        (&event.data[..], attributes(&event)),
        (&b"{}"[..], json!({"datacontenttype": "Application/JSON; charset=UTF-8"}))
    );
}

#[test]
fn empty_optional_attributes_are_left_out() {
    for event in [
        with(r#","subject":"","dataschema":"","ext":"","data":1"#).unwrap(),
        sent(&[("ce-subject", ""), ("ce-dataschema", ""), ("ce-ext", "")], b"1").unwrap(),
    ] {
        assert_eq!(attributes(&event), json!({"ext": ""}), "an extension may be empty");
    }
}

#[test]
fn everything_that_is_wrong_is_named() {
    let error = read(
        r#"{"specversion":"0.3","id":"","type":"webhook.x","time":"now","Bad-Name":1,"ext":{},"e2":"\ud800","data":1,"data_base64":""}"#,
    );
    let error = error.unwrap_err();
    for part in [
        "`specversion` is \"0.3\", 1.0 is understood",
        "the attribute `id` is missing or empty",
        "the attribute `source` is missing or empty",
        "event type `webhook.x` is reserved",
        "`now` is not an RFC 3339 time",
        "`Bad-Name` is no attribute name",
        "the attribute `ext` is not a string, a number or a boolean",
        r"`e2` has \ud800, one half of a surrogate pair",
        "`data` and `data_base64` are both given",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    for (more, part) in [
        (r#","source":"/b","data":1"#, "the attribute `source` is given twice"),
        (r#","dataencoding":"base64""#, "the attribute name `dataencoding` is reserved"),
        (r#","ext":1,"ext":2"#, "the attribute `ext` is given twice"),
        (r#","n":1e400"#, "`n` is 1e400, a number beyond the range of a double"),
    ] {
        let error = with(more).unwrap_err();
        assert!(error.contains(part), "{part}: {error}");
    }
    let error = sent(&[("ce-id", "2")], b"1").unwrap_err();
    assert!(error.contains("the attribute `id` is given twice"), "{error}");
}

#[test]
fn in_binary_mode_attributes_are_headers_and_the_body_is_the_data() {
    let headers = [("ce-ext", "/caf%C3%A9"), ("ce-subject", "100%"), ("content-type", "application/json")];
    let event = sent(&headers, b" {\"a\": 1} ").unwrap();
    assert_eq!(event.data, " {\"a\": 1} ");
    assert_eq!(attributes(&event), json!({"datacontenttype": "application/json", "ext": "/café", "subject": "100%"}));
    assert!(sent(&[("content-type", "application/json")], b"{").is_err());
}
