//! Events as a consumer of CloudEvents would get them.

use serde_json::{Value, json};
use tenterhook_transformer::{Body, Event, Outcome, Request, Transformer, check_options};

use super::CloudEvents;

fn event(data: &str, metadata: Option<&str>) -> Event {
    Event {
        id: "evt_0198".to_owned(),
        type_: "order.created".to_owned(),
        timestamp: "2026-01-28T10:30:45.123Z".to_owned(),
        data: data.to_owned(),
        metadata: metadata.map(str::to_owned),
        tenant: None,
    }
}

fn request(events: &[Event], options: &Value) -> Request {
    let options = check_options::<CloudEvents>(&options.to_string()).unwrap();
    let Outcome::Request(request) = CloudEvents::transform(events, &options).unwrap() else { panic!("no request") };
    request
}

fn text(request: &Request) -> &str {
    let Body::Text(text) = &request.body else { panic!("no text") };
    text
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
    let error = |options: Value| check_options::<CloudEvents>(&options.to_string()).unwrap_err();
    assert!(error(json!({ "mode": "batch" })).starts_with("option `mode`: unknown variant `batch`"));
    assert!(error(json!({ "extensions": { "my_team": "x" } })).contains("`my_team` is no attribute name"));
    assert!(error(json!({ "extensions": { "source": "x" } })).contains("`source` is no extension"));
    assert!(error(json!({ "dataschema": "x" })).contains("must be a URI"));
    assert!(error(json!({ "sorce": "x" })).contains("did you mean `source`?"));
}

#[test]
fn the_schema_names_the_options_that_there_are() {
    let schema: Value = serde_json::from_str(&CloudEvents::describe().options_schema).unwrap();
    let error = check_options::<CloudEvents>(r#"{"?":1}"#).unwrap_err();
    let (_, known) = error.split_once("there are: ").unwrap();
    let mut known: Vec<&str> = known.split(", ").collect();
    known.sort_unstable();
    let mut described: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    described.sort_unstable();
    assert_eq!(described, known);
}
