//! Events as a consumer of CloudEvents would get them.

use serde_json::{Value, json};
use tenterhook_message::testing::{self, text};
use tenterhook_transformer::{Body, Event, Request};

use super::CloudEvents;

fn event(data: &str, metadata: Option<&str>) -> Event {
    Event { metadata: metadata.map(str::to_owned), ..testing::event("order.created", data) }
}

fn request(events: &[Event], options: &Value) -> Request {
    testing::request::<CloudEvents>(events, &options.to_string())
}

#[test]
fn structured_keeps_the_data_byte_for_byte() {
    let request = request(&[event(r#"{"b": 1.00,"a":"\u00e9"}"#, None)], &json!({ "source": "https://shop.test/{type}" }));
    assert_eq!(
        text(&request),
        r#"{"specversion":"1.0","id":"evt_0198","source":"https://shop.test/order.created","type":"order.created","time":"2026-01-28T10:30:45.123Z","datacontenttype":"application/json","data":{"b": 1.00,"a":"\u00e9"}}"#
    );
    assert_eq!(request.headers, [("content-type".to_owned(), "application/cloudevents+json; charset=utf-8".to_owned())]);
}

#[test]
fn binary_puts_attributes_into_headers() {
    let options = json!({
        "mode": "binary", "type": "test.shop.{type}", "subject": "Bestellung Nr. {data.n} für Zoë", "dataschema": "https://shop.test/order.json",
        "extensions": { "team": "{metadata.team}", "absent": "{data.nope}" },
    });
    let request = request(&[event(r#"{"n":7}"#, Some(r#"{"team":"sre"}"#))], &options);
    assert_eq!(text(&request), r#"{"n":7}"#);
    let expected = [
        ("ce-specversion", "1.0"),
        ("ce-id", "evt_0198"),
        ("ce-source", "/tenterhook"),
        ("ce-type", "test.shop.order.created"),
        ("ce-time", "2026-01-28T10:30:45.123Z"),
        ("ce-subject", "Bestellung%20Nr.%207%20f%C3%BCr%20Zo%C3%AB"),
        ("ce-dataschema", "https://shop.test/order.json"),
        ("ce-team", "sre"),
        ("content-type", "application/json"),
    ];
    assert_eq!(request.headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn an_event_that_was_published_as_a_cloudevent_goes_out_as_it_came() {
    let metadata =
        r#"{"cloudevents":{"id":"1.2 3","source":"/a","subject":"s","comext":7,"flag":true,"datacontenttype":"text/plain"}}"#;
    let event = Event { tenant: Some("acme".to_owned()), ..event(r#""hi \"there\"""#, Some(metadata)) };
    let structured: Value = serde_json::from_str(text(&request(std::slice::from_ref(&event), &json!({})))).unwrap();
    assert_eq!(
        structured,
        json!({
            "specversion": "1.0", "id": "1.2 3", "source": "/a", "type": "order.created", "time": "2026-01-28T10:30:45.123Z",
            "subject": "s", "tenant": "acme", "comext": 7, "flag": true, "datacontenttype": "text/plain", "data": "hi \"there\"",
        })
    );
    let binary = request(&[event], &json!({ "mode": "binary" }));
    assert_eq!(text(&binary), "hi \"there\"");
    assert!(binary.headers.contains(&("ce-comext".to_owned(), "7".to_owned())));
}

#[test]
fn bytes_come_out_as_bytes() {
    let metadata = r#"{"cloudevents":{"source":"/a","datacontenttype":"application/octet-stream","dataencoding":"base64"}}"#;
    let event = event(r#""AAH/""#, Some(metadata));
    let structured: Value = serde_json::from_str(text(&request(std::slice::from_ref(&event), &json!({})))).unwrap();
    assert_eq!((&structured["data_base64"], &structured["data"]), (&json!("AAH/"), &Value::Null));
    let binary = request(&[event], &json!({ "mode": "binary" }));
    let Body::Bytes(bytes) = binary.body else { panic!("no bytes") };
    assert_eq!(bytes, [0, 1, 255]);
}

#[test]
fn bytes_without_a_type_come_out_as_bytes_without_a_type() {
    let event = event(r#""AAH/""#, Some(r#"{"cloudevents":{"source":"/a","dataencoding":"base64"}}"#));
    let structured: Value = serde_json::from_str(text(&request(std::slice::from_ref(&event), &json!({})))).unwrap();
    assert_eq!((&structured["data_base64"], structured.get("datacontenttype")), (&json!("AAH/"), None));
    let binary = request(&[event], &json!({ "mode": "binary" }));
    assert_eq!(binary.headers.last().unwrap().1, "application/octet-stream");
    assert!(matches!(binary.body, Body::Bytes(bytes) if bytes == [0, 1, 255]));
}

#[test]
fn no_data_stays_no_data() {
    for (metadata, content_type) in [
        (r#"{"cloudevents":{"source":"/a","dataencoding":"none"}}"#, None),
        (r#"{"cloudevents":{"source":"/a","dataencoding":"none","datacontenttype":"text/plain"}}"#, Some("text/plain")),
    ] {
        let event = event("null", Some(metadata));
        let structured: Value = serde_json::from_str(text(&request(std::slice::from_ref(&event), &json!({})))).unwrap();
        assert_eq!((structured.get("data"), structured["datacontenttype"].as_str()), (None, content_type));
        let binary = request(&[event], &json!({ "mode": "binary" }));
        assert!(matches!(&binary.body, Body::Bytes(bytes) if bytes.is_empty()));
        assert_eq!(binary.headers.last().unwrap().1, content_type.unwrap_or("application/octet-stream"));
    }
    let null = request(&[event("null", None)], &json!({}));
    assert!(text(&null).ends_with(r#""datacontenttype":"application/json","data":null}"#), "null that was published is data");
}

#[test]
fn a_source_is_a_uri_reference_and_a_subject_is_not_empty() {
    let options = json!({ "source": "/x/{data.name}" });
    let own: Value = serde_json::from_str(text(&request(&[event(r#"{"name":"s \u00fc"}"#, None)], &options))).unwrap();
    assert_eq!(own["source"], "/x/s%20%C3%BC");
    let published = event("1", Some(r#"{"cloudevents":{"source":"/s \u00fc","subject":"","dataschema":""}}"#));
    let stored: Value = serde_json::from_str(text(&request(&[published], &json!({})))).unwrap();
    assert_eq!((&stored["source"], stored.get("subject"), stored.get("dataschema")), (&json!("/s%20%C3%BC"), None, None));
}

#[test]
fn a_source_is_always_a_uri_reference() {
    for (source, expected) in [
        ("/s ü", "/s%20%C3%BC"),
        ("https://x.test/a?b=c#d", "https://x.test/a?b=c#d"),
        ("/kafka/orders#p#1", "/kafka/orders#p%231"),
        ("/a%20b%zz", "/a%20b%25zz"),
        ("/a[0]<b>", "/a%5B0%5D%3Cb%3E"),
    ] {
        let made = request(&[event("1", None)], &json!({ "source": source }));
        let structured: Value = serde_json::from_str(text(&made)).unwrap();
        assert_eq!(structured["source"], expected);
    }
}

#[test]
fn several_events_are_a_batch_in_either_mode() {
    for mode in ["structured", "binary"] {
        let request = request(&[event("1", None), event("2", None)], &json!({ "mode": mode }));
        let batch: Value = serde_json::from_str(text(&request)).unwrap();
        assert_eq!((&batch[0]["data"], &batch[1]["data"]), (&json!(1), &json!(2)));
        assert_eq!(request.headers[0].1, "application/cloudevents-batch+json; charset=utf-8");
    }
}

#[test]
fn mistakes_in_options_are_named() {
    let error = |options: Value| testing::options_error::<CloudEvents>(&options.to_string());
    assert!(error(json!({ "mode": "batch" })).starts_with("option `mode`: unknown variant `batch`"));
    assert!(error(json!({ "extensions": { "my_team": "x" } })).contains("`my_team` is no attribute name"));
    assert!(error(json!({ "extensions": { "source": "x" } })).contains("`source` is no extension"));
    assert!(error(json!({ "dataschema": "x" })).contains("must be a URI"));
    assert!(error(json!({ "sorce": "x" })).contains("did you mean `source`?"));
}

#[test]
fn the_schema_names_the_options_that_there_are() {
    testing::assert_schema_names_every_option::<CloudEvents>();
}

#[test]
fn the_golden_cases_hold() {
    testing::assert_golden_cases::<CloudEvents>(env!("CARGO_MANIFEST_DIR"));
}
