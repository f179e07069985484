//! Bodies in, events out: what survives byte for byte, and what is refused with which words.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::draft::{Defaults, Draft, Refusal};
use super::parse::{ARRAY_EVENTS_MAX, Format, LINES_MAX, Parsed, parse};
use crate::model::{EventId, Timestamp};

fn defaults() -> Defaults {
    Defaults { now: Timestamp::from_millis(1_700_000_000_000), key: None, event_bytes_max: 10_000 }
}

fn one(text: &str) -> Result<Draft, String> {
    match parse(&Format::Json, &HeaderMap::new(), &Bytes::copy_from_slice(text.as_bytes()), &defaults()) {
        Ok(Parsed::One(draft)) => draft.map_err(|refusal| refusal.detail()),
        Ok(other) => panic!("{other:?}"),
        Err(problem) => Err(problem.to_json()["detail"].as_str().unwrap().to_owned()),
    }
}

fn many(format: &Format, text: &str) -> Result<Vec<Result<Draft, Refusal>>, (u16, String)> {
    match parse(format, &HeaderMap::new(), &Bytes::copy_from_slice(text.as_bytes()), &defaults()) {
        Ok(Parsed::All(drafts) | Parsed::Lines(drafts)) => Ok(drafts),
        Ok(other) => panic!("{other:?}"),
        Err(problem) => Err((problem.status().as_u16(), problem.to_json()["detail"].as_str().unwrap().to_owned())),
    }
}

#[test]
fn an_event_needs_a_type_and_nothing_else() {
    let draft = one(r#" {"type": "order.created"} "#).unwrap();
    assert!(draft.event.id.as_str().starts_with("evt_"));
    assert_eq!(draft.event.data, "null");
    assert_eq!((draft.event.timestamp, draft.timestamp_given), (defaults().now, false));
    assert_eq!((draft.event.metadata, draft.event.tenant), (None, None));
}

#[test]
fn data_and_metadata_are_the_producers_own_bytes() {
    let draft =
        one(r#"{"id":"o-1","type":"a.b","timestamp":"2026-01-28T12:30:45.123+02:00","data":{"b": 1.00,"a":"\u00e9", "a":1e2},
            "metadata":{"k" : 1},"tenant":"acme"}"#)
        .unwrap();
    assert_eq!(draft.event.id, EventId::parse("o-1").unwrap());
    assert_eq!(draft.event.data, r#"{"b": 1.00,"a":"\u00e9", "a":1e2}"#);
    assert_eq!(draft.event.metadata.unwrap(), r#"{"k" : 1}"#);
    assert_eq!(draft.event.timestamp.to_string(), "2026-01-28T10:30:45.123Z");
    assert!(draft.timestamp_given);
    assert_eq!(draft.event.tenant.as_deref(), Some("acme"));
}

#[test]
fn a_field_that_is_null_is_one_that_is_not_given() {
    let draft = one(r#"{"id":null,"type":"a","timestamp":null,"metadata":null,"tenant":null,"data":null}"#).unwrap();
    assert!(!draft.timestamp_given && draft.event.metadata.is_none() && draft.event.tenant.is_none());
    assert_eq!(draft.event.data, "null");
}

#[test]
fn everything_that_is_wrong_with_an_event_is_named_at_once() {
    let error =
        one(r#"{"id":"a.b","typ":1,"timestamp":"now","metadata":[],"tenant":"","data":1,"data":2,"colour":"red","a":{}}"#)
            .unwrap_err();
    for part in [
        "event id `a.b` contains '.'",
        "unknown field `typ`, did you mean `type`?",
        "`type` is missing: name what happened, such as \"order.created\"",
        "`now` is not an RFC 3339 time",
        "`metadata` is not an object",
        "`tenant` has 0 characters, 1 to 100 are allowed",
        "`data` is given twice",
        "unknown field `colour`: an event has id, type, timestamp, data, metadata, tenant; what is yours goes into data",
    ] {
        assert!(error.contains(part), "{part}\n{error}");
    }
    assert!(one(r#"{"type":"webhook.disabled"}"#).unwrap_err().contains("event type `webhook.disabled` is reserved: webhook.…"));
    assert!(one(r#"{"type":7}"#).unwrap_err().contains("`type` is not a string"));
    assert!(one(r#"{"type":"a","tenant":"a\u0000b"}"#).unwrap_err().contains("control character"));
}

#[test]
fn what_is_no_json_is_told_with_its_place() {
    assert_eq!(one("").unwrap_err(), "the body is empty: send an event such as {\"type\": \"order.created\", \"data\": {}}");
    assert_eq!(one("{\n  \"type\": oops}").unwrap_err(), "the body is not JSON: expected value at line 2 column 11");
    assert!(one("\"text\"").unwrap_err().starts_with("an event is a JSON object: invalid type: string"));
    assert!(one("{\"type\":\"a\"} x").unwrap_err().starts_with("the body is not JSON: trailing characters"));
    assert!(one("{\"type\":\"a\",\"data\":\"\u{1}\"}").unwrap_err().starts_with("the body is not JSON: control character"));
}

#[test]
fn an_event_over_the_limit_is_refused_with_the_key_to_raise() {
    let error = one(&format!(r#"{{"type":"a","data":"{}"}}"#, "x".repeat(10_000))).unwrap_err();
    assert_eq!(error, "the event has 10022 bytes, 10000 are allowed: make it smaller, or raise `max_event_size` in [server]");
}

#[test]
fn an_array_tells_its_events_apart() {
    let drafts = many(&Format::Json, r#" [{"type":"a","data":[1, 2]},{"type":"?"},7]"#).unwrap();
    assert_eq!(drafts[0].as_ref().unwrap().event.data, "[1, 2]");
    assert!(drafts[1].as_ref().unwrap_err().detail().contains("contains '?'"));
    assert!(drafts[2].as_ref().unwrap_err().detail().contains("an event is a JSON object"));
    assert_eq!(many(&Format::Json, "[]").unwrap_err(), (422, "the array is empty: nothing was published".to_owned()));
    let (status, detail) = many(&Format::Json, &format!("[{}1]", "1,".repeat(ARRAY_EVENTS_MAX))).unwrap_err();
    assert_eq!(status, 413);
    assert_eq!(detail, "the array has 1001 events, 1000 are allowed: send several arrays, or application/x-ndjson");
    assert_eq!(many(&Format::Json, "[{\"type\":\"a\"}").unwrap_err().0, 400);
    assert_eq!(many(&Format::Json, "[{\"type\":\"a\"}]]").unwrap_err().0, 400);
}

#[test]
fn lines_are_events_of_their_own_and_blank_ones_are_none() {
    let drafts = many(&Format::Lines, "{\"type\":\"a\"}\r\n\n  \nnonsense\n{\"type\":\"b\",\"data\":1}").unwrap();
    assert_eq!(drafts.len(), 3);
    assert!(drafts[0].is_ok() && drafts[2].is_ok());
    assert!(drafts[1].as_ref().unwrap_err().detail().starts_with("an event is a JSON object: expected"));
    assert_eq!(many(&Format::Lines, " \n").unwrap_err().0, 400);
    assert_eq!(many(&Format::Lines, &"1\n".repeat(LINES_MAX + 1)).unwrap_err().0, 413);
}

#[test]
fn the_same_idempotency_key_gives_the_same_ids_in_the_same_places() {
    let with = |key: Option<[u8; 32]>, place| Defaults { key, ..defaults() }.id(place);
    assert_eq!(with(Some([7; 32]), 0), with(Some([7; 32]), 0));
    assert_ne!(with(Some([7; 32]), 0), with(Some([7; 32]), 1));
    assert_ne!(with(Some([7; 32]), 0), with(Some([8; 32]), 0));
    assert_ne!(with(None, 0), with(None, 0));
    assert!(with(Some([7; 32]), 0).as_str().starts_with("evt_"));
}

#[test]
fn the_form_follows_from_the_content_type() {
    let of = |pairs: &[(&'static str, &'static str)]| {
        let headers: HeaderMap =
            pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
        Format::of(&headers)
            .map_err(|problem| (problem.status().as_u16(), problem.to_json()["detail"].as_str().unwrap().to_owned()))
    };
    assert_eq!(of(&[("content-type", "Application/JSON; charset=UTF-8")]), Ok(Format::Json));
    assert_eq!(of(&[("content-type", "application/x-ndjson")]), Ok(Format::Lines));
    assert_eq!(of(&[("content-type", "application/cloudevents+json")]), Ok(Format::CloudEvent));
    assert_eq!(of(&[("content-type", "application/cloudevents-batch+json")]), Ok(Format::CloudEventBatch));
    let binary = Format::CloudEventBinary { content_type: Some("text/plain".to_owned()) };
    assert_eq!(of(&[("content-type", "text/plain"), ("ce-specversion", "1.0")]), Ok(binary));
    let (status, detail) = of(&[("content-type", "application/x-www-form-urlencoded")]).unwrap_err();
    assert_eq!(status, 415);
    assert!(detail.starts_with("`application/x-www-form-urlencoded` is not understood: send application/json"), "{detail}");
    assert!(of(&[]).unwrap_err().1.starts_with("no Content-Type was sent: send application/json"));
    assert!(of(&[("content-type", "application/json; charset=latin1")]).unwrap_err().1.contains("JSON is UTF-8"));
    assert_eq!(CONTENT_TYPE, "content-type");
}

/// JSON text as some producer may write it: spaces anywhere, escapes, number spellings, keys twice.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?",
        "\"([a-z €]|\\\\u00[0-9a-f]{2}|\\\\[nrt\"\\\\/])*\"",
    ];
    let space = "[ \n\t\r]{0,2}";
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            (proptest::collection::vec(inner.clone(), 0..4), space)
                .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(&format!("{space},")))),
            (proptest::collection::vec(("\"[a-c]{1,2}\"", inner), 0..4), space).prop_map(|(fields, space)| {
                let fields: Vec<String> = fields.into_iter().map(|(key, value)| format!("{key}{space}:{space}{value}")).collect();
                format!("{{{space}{}}}", fields.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn data_survives_byte_for_byte(data in json_text(), space in "[ \n\t]{0,3}") {
        let text = format!("{{{space}\"data\"{space}:{space}{data}{space},\"type\":\"a\"}}");
        let draft = one(&text).unwrap();
        prop_assert_eq!(&draft.event.data[..], data.as_bytes());
        let array = format!("[{space}{text}{space},{text}]");
        for draft in many(&Format::Json, &array).unwrap() {
            prop_assert_eq!(&draft.unwrap().event.data[..], data.as_bytes());
        }
    }

    #[test]
    fn no_body_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), start in "[\\[{ ]?(\"type\":)?") {
        let mut body = start.into_bytes();
        body.extend(bytes);
        let body = Bytes::from(body);
        for format in [Format::Json, Format::Lines, Format::CloudEvent, Format::CloudEventBatch,
            Format::CloudEventBinary { content_type: None }] {
            let _ = parse(&format, &HeaderMap::new(), &body, &defaults());
        }
    }

    #[test]
    fn no_event_of_wrong_values_panics(values in proptest::collection::vec(json_text(), 6)) {
        let names = ["id", "type", "timestamp", "metadata", "tenant", "specversion"];
        let fields: Vec<String> = names.iter().zip(&values).map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let text = format!("{{{}}}", fields.join(","));
        let _ = one(&text);
        let _ = parse(&Format::CloudEvent, &HeaderMap::new(), &Bytes::from(text), &defaults());
    }

    #[test]
    fn deep_nesting_is_just_bytes_up_to_the_limit(depth in 1..4000_usize) {
        let data = "[".repeat(depth) + &"]".repeat(depth);
        let draft = one(&format!("{{\"type\":\"a\",\"data\":{data}}}"));
        prop_assert_eq!(draft.is_ok(), depth <= 126);
        if let Ok(draft) = draft {
            prop_assert_eq!(draft.event.data.len(), depth * 2);
        }
    }
}
