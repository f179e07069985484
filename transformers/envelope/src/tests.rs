//! Bodies as receivers of other systems know them.

use serde_json::{Value, json};
use tenterhook_message::testing;
use tenterhook_transformer::Event;

use super::Envelope;

fn event(metadata: Option<&str>) -> Event {
    let data = r#"{"b": 1.00,"a":{"c":[7]},"n":null}"#;
    Event { metadata: metadata.map(str::to_owned), ..testing::event("order.created", data) }
}

fn body_of(events: &[Event], options: &Value) -> String {
    testing::text(&testing::request::<Envelope>(events, &options.to_string())).to_owned()
}

fn body(options: &Value) -> String {
    body_of(&[event(None)], options)
}

#[test]
fn presets_are_the_shapes_of_other_systems() {
    assert_eq!(
        body(&json!({ "preset": "flexgate" })),
        r#"{"eventId":"evt_0198","eventType":"order.created","timestamp":"2026-01-28T10:30:45.123Z","data":{"b": 1.00,"a":{"c":[7]},"n":null}}"#
    );
    assert_eq!(
        body(&json!({ "preset": "fluxgate", "add": { "gateway_node": "us-east-1-prod-04" } })),
        r#"{"id":"evt_0198","type":"order.created","timestamp":"2026-01-28T10:30:45Z","gateway_node":"us-east-1-prod-04","data":{"b": 1.00,"a":{"c":[7]},"n":null}}"#
    );
    let fluxgate = body_of(&[event(Some(r#"{"gateway_node":"n1"}"#))], &json!({ "preset": "fluxgate" }));
    assert!(fluxgate.contains(r#""gateway_node":"n1""#), "{fluxgate}");
    assert_eq!(
        body(&json!({ "preset": "python" })),
        r#"{"id":"evt_0198","event":"order.created","timestamp":"2026-01-28T10:30:45Z","data":{"b": 1.00,"a":{"c":[7]},"n":null},"metadata":{}}"#
    );
    assert_eq!(body(&json!({ "preset": "data" })), r#"{"b": 1.00,"a":{"c":[7]},"n":null}"#);
}

#[test]
fn without_options_it_is_the_usual_envelope() {
    assert_eq!(
        body_of(&[event(Some(r#"{"x": 1}"#))], &json!({})),
        r#"{"id":"evt_0198","type":"order.created","timestamp":"2026-01-28T10:30:45.123Z","data":{"b": 1.00,"a":{"c":[7]},"n":null},"metadata":{"x": 1}}"#
    );
}

#[test]
fn fields_are_picked_renamed_added_and_wrapped() {
    let options = json!({
        "pick": ["type", "data.a.c", "data.b", "data.nope", "timestamp", "data.n"],
        "rename": { "type": "event", "c": "items" },
        "add": { "env": "prod-{data.b}", "typed": "{data.b}", "missing": "{data.nope}", "version": 2, "tags": ["x"] },
        "wrap": "payload.event", "timestamp": "millis",
    });
    assert_eq!(
        body(&options),
        r#"{"payload":{"event":{"event":"order.created","items":[7],"b":1.00,"timestamp":1769596245123,"n":null,"env":"prod-1.00","missing":null,"tags":["x"],"typed":1.00,"version":2}}}"#
    );
    assert!(body(&json!({ "timestamp": "seconds" })).contains(r#""timestamp":1769596245,"#));
}

#[test]
fn a_batch_is_an_array_or_has_a_key() {
    let events = [event(None), event(None)];
    let array: Value = serde_json::from_str(&body_of(&events, &json!({ "pick": ["id"] }))).unwrap();
    assert_eq!(array, json!([{ "id": "evt_0198" }, { "id": "evt_0198" }]));
    let keyed = body_of(&events, &json!({ "pick": ["id"], "batch_key": "events" }));
    assert_eq!(keyed, r#"{"events":[{"id":"evt_0198"},{"id":"evt_0198"}]}"#);
    assert_eq!(body(&json!({ "pick": ["id"], "batch_key": "events" })), r#"{"events":[{"id":"evt_0198"}]}"#);
}

#[test]
fn mistakes_in_options_are_named() {
    let error = |options: Value| testing::options_error::<Envelope>(&options.to_string());
    assert!(error(json!({ "preset": "svix" })).starts_with("option `preset`: unknown variant `svix`"));
    assert!(error(json!({ "preset": "data", "add": { "x": 1 } })).contains("the data alone"));
    assert!(error(json!({ "preset": "flexgate", "pick": ["id"] })).contains("exclude each other"));
    assert_eq!(
        error(json!({ "rename": { "event": "x" } })),
        "option `rename`: there is no field `event`; there are: id, type, timestamp, data, metadata"
    );
    assert!(error(json!({ "rename": { "id": "type" } })).starts_with("the field `type` would be there twice"));
    assert!(error(json!({ "pick": ["dta"] })).contains("`dta` names no value"));
    assert!(error(json!({ "add": { "x": "{nope}" } })).starts_with("option `add`: `nope` names no value"));
    assert!(error(json!({ "wrap": "a..b" })).contains("empty key"));
}

#[test]
fn the_schema_names_the_options_that_there_are() {
    testing::assert_schema_names_every_option::<Envelope>();
}

#[test]
fn the_golden_cases_hold() {
    testing::assert_golden_cases::<Envelope>(env!("CARGO_MANIFEST_DIR"));
}
