//! Alerts as Opsgenie would get them, and proof that no data breaks its limits.

use proptest::prelude::*;
use serde_json::{Value, json};
use tenterhook_message::{
    testing::{self, event},
    units,
};
use tenterhook_transformer::{Body, Event, Outcome, Request, Transformer, check_options};

use super::Opsgenie;

fn outcome(events: &[Event], options: &Value) -> Result<Outcome, String> {
    let options = check_options::<Opsgenie>(&options.to_string()).unwrap();
    Opsgenie::transform(events, &options)
}

fn render(events: &[Event], options: &Value) -> (Request, Value) {
    let Outcome::Request(request) = outcome(events, options).unwrap() else { panic!("no request") };
    let Body::Text(text) = &request.body else { panic!("no text") };
    let body: Value = serde_json::from_str(text).unwrap();
    for (name, max) in
        [("message", 130), ("alias", 512), ("description", 15_000), ("entity", 512), ("source", 100), ("note", 25_000)]
    {
        assert!(body[name].as_str().is_none_or(|text| units(text) <= max), "{name}: {}", body[name]);
    }
    let details = body["details"].as_object().into_iter().flatten();
    assert!(details.map(|(key, value)| units(key) + units(value.as_str().unwrap())).sum::<usize>() <= 8_000);
    (request, body)
}

#[test]
fn a_breaker_that_opened_is_an_alert_that_its_closing_closes() {
    let data = r#"{"service":"payments","errorRate":0.75,"message":"too many timeouts","last":{"status":503}}"#;
    let options = json!({
        "api_key": "0f3c-key",
        "responders": [{ "type": "team", "name": "ops" }, { "type": "user", "username": "a@b.test" }],
        "tags": ["{data.service}", "{data.nope}"],
        "link": "https://a.test/{data.service}",
    });
    let (request, body) = render(&[event("circuit_breaker.opened", data)], &options);
    assert_eq!(request.url.as_deref(), Some("/v2/alerts"));
    assert_eq!(request.headers, [("authorization".to_owned(), "GenieKey 0f3c-key".to_owned())]);
    assert_eq!(
        body,
        json!({
            "message": "Circuit breaker opened",
            "alias": "circuit_breaker|service=payments",
            "description": "too many timeouts\n\nOpen: https://a.test/payments\n\n{\n  \"last\": {\n    \"status\": 503\n  }\n}",
            "responders": [{ "type": "team", "name": "ops" }, { "type": "user", "username": "a@b.test" }],
            "tags": ["payments"],
            "details": {
                "Error rate": "0.75", "Service": "payments", "event_id": "evt_0198", "event_type": "circuit_breaker.opened",
                "timestamp": "2026-01-28T10:30:45.123Z",
            },
            "entity": "payments",
            "source": "Tenterhook",
            "priority": "P2",
        })
    );
    let (request, body) = render(&[event("circuit_breaker.closed", r#"{"service":"payments"}"#)], &json!({}));
    assert_eq!(request.url.as_deref(), Some("/v2/alerts/circuit_breaker%7Cservice%3Dpayments/close?identifierType=alias"));
    assert_eq!(body, json!({ "source": "Tenterhook", "note": "Circuit breaker closed: Service: payments" }));
    let (request, _) = render(&[event("incident.acknowledged", "{}")], &json!({}));
    assert_eq!(request.url.as_deref(), Some("/v2/alerts/incident/acknowledge?identifierType=alias"));
}

#[test]
fn what_is_in_between_changes_nothing() {
    let Ok(Outcome::Drop(reason)) = outcome(&[event("circuit_breaker.half_open", "{}")], &json!({})) else { panic!("no drop") };
    assert_eq!(reason, "`circuit_breaker.half_open` neither opens nor closes an alert");
}

#[test]
fn priorities_follow_severities_and_the_options() {
    let priority = |kind: &str, options: Value| render(&[event(kind, "{}")], &options).1["priority"].clone();
    assert_eq!(priority("database.down", json!({})), "P1");
    assert_eq!(priority("order.created", json!({})), "P5");
    assert_eq!(priority("database.down", json!({ "priorities": { "critical": "P2" } })), "P2");
    assert_eq!(priority("order.created", json!({ "severity": { "order.*": "warning" } })), "P3");
}

#[test]
fn a_batch_is_one_alert_or_says_why_it_cannot_be() {
    let of = |kind: &str, service: &str| event(&format!("circuit_breaker.{kind}"), &format!(r#"{{"service":"{service}"}}"#));
    let (_, body) = render(&[of("opened", "a"), of("opened", "b")], &json!({}));
    assert_eq!(body["message"], "2 events: 2 × Circuit breaker opened");
    assert_eq!(body["description"], "Circuit breaker opened: Service: a\nCircuit breaker opened: Service: b");
    assert_eq!(body["alias"], "batch|circuit_breaker|service=a|circuit_breaker|service=b");
    let (request, _) = render(&[of("opened", "a"), of("closed", "a")], &json!({}));
    assert!(request.url.unwrap().contains("/close?"));
    let error = outcome(&[of("closed", "a"), of("closed", "b")], &json!({})).unwrap_err();
    assert!(error.starts_with("a batch closes 2 alerts"), "{error}");
}

#[test]
fn mistakes_in_options_are_named_and_keys_are_not_shown() {
    let error = |options: Value| check_options::<Opsgenie>(&options.to_string()).unwrap_err();
    let key = error(json!({ "api_key": "s3cret\n" }));
    assert!(key.contains("`api_key`") && !key.contains("s3cret"));
    assert!(error(json!({ "alias": "x", "alias_fields": [] })).contains("exclude each other"));
    assert!(error(json!({ "priorities": { "error": "P9" } })).starts_with("option `priorities`: unknown variant `P9`"));
    assert!(error(json!({ "responders": [{ "type": "user", "name": "x" }] })).contains("a user has `username` or `id`"));
    assert!(error(json!({ "apikey": "x" })).contains("did you mean `api_key`?"));
}

#[test]
fn the_schema_names_the_options_that_there_are() {
    testing::assert_schema_names_every_option::<Opsgenie>();
}

#[test]
fn the_golden_cases_hold() {
    testing::assert_golden_cases::<Opsgenie>(env!("CARGO_MANIFEST_DIR"));
}

fn hostile_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), (1..9_000_usize).prop_map(|n| "😀".repeat(n)), Just("\u{200b}".to_owned())]
}

fn hostile_data() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), any::<f64>().prop_map(Value::from), hostile_text().prop_map(Value::from)];
    leaf.prop_recursive(4, 60, 15, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..15).prop_map(Value::from),
            prop::collection::btree_map(hostile_text(), inner, 0..60).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_data_the_alert_is_within_limits(data in prop::collection::vec(hostile_data(), 1..20), title in hostile_text()) {
        let events: Vec<Event> = data.iter().map(|data| event("circuit_breaker.opened", &data.to_string())).collect();
        let title = title.replace(['{', '}'], "") + "{data.a}";
        render(&events, &json!({ "title": title, "tags": ["{data}"] }));
        render(&events[..1], &json!({ "title": title, "fields": ["data", "type"], "entity": "{data}", "source": "{data}" }));
    }
}
