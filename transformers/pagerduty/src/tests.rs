//! Events as PagerDuty would get them, and proof that no data breaks its limits.

use proptest::prelude::*;
use serde_json::{Value, json};
use tenterhook_message::{
    testing::{self, event},
    units,
};
use tenterhook_transformer::{Body, Event, Outcome, Transformer, check_options};

use super::PagerDuty;

const KEY: &str = "0123456789abcdef0123456789ABCDEF";

fn outcome(events: &[Event], options: &Value) -> Result<Outcome, String> {
    let options = check_options::<PagerDuty>(&options.to_string()).unwrap();
    PagerDuty::transform(events, &options)
}

fn render(events: &[Event], options: &Value) -> Value {
    let Outcome::Request(request) = outcome(events, options).unwrap() else { panic!("no request") };
    let Body::Text(text) = request.body else { panic!("no text") };
    assert!(text.len() <= 512 * 1024);
    let message: Value = serde_json::from_str(&text).unwrap();
    assert_within_limits(&message);
    message
}

/// Every limit and rule that PagerDuty documents for what we send.
fn assert_within_limits(message: &Value) {
    let text = |value: &Value, max: usize| {
        let text = value.as_str().unwrap();
        assert!(!text.trim().is_empty() && units(text) <= max, "{} of {max}: {text:?}", units(text));
    };
    text(&message["dedup_key"], 255);
    text(&message["payload"]["summary"], 1_024);
    text(&message["payload"]["source"], 255);
    assert!(matches!(message["event_action"].as_str(), Some("trigger" | "acknowledge" | "resolve")));
    assert!(matches!(message["payload"]["severity"].as_str(), Some("critical" | "error" | "warning" | "info")));
    assert!(message["payload"]["custom_details"].is_object());
}

fn options() -> Value {
    json!({ "routing_key": KEY })
}

#[test]
fn a_breaker_that_closes_resolves_the_incident_of_its_opening() {
    let data = r#"{"service":"payments","errorRate":0.75,"message":"too many timeouts","last":{"status":503}}"#;
    let opened =
        render(&[event("circuit_breaker.opened", data)], &json!({ "routing_key": KEY, "link": "https://a.test/{data.service}" }));
    assert_eq!(
        opened,
        json!({
            "routing_key": KEY,
            "event_action": "trigger",
            "dedup_key": "circuit_breaker|service=payments",
            "client": "Tenterhook",
            "client_url": "https://a.test/payments",
            "links": [{ "href": "https://a.test/payments", "text": "Open" }],
            "payload": {
                "summary": "Circuit breaker opened: too many timeouts",
                "source": "payments",
                "severity": "error",
                "timestamp": "2026-01-28T10:30:45.123Z",
                "component": "payments",
                "class": "circuit_breaker.opened",
                "custom_details": {
                    "service": "payments", "errorRate": 0.75, "message": "too many timeouts", "last": { "status": 503 },
                    "event_id": "evt_0198", "event_type": "circuit_breaker.opened",
                },
            },
        })
    );
    let closed = render(&[event("circuit_breaker.closed", r#"{"service":"payments"}"#)], &options());
    assert_eq!((&closed["event_action"], &closed["dedup_key"]), (&json!("resolve"), &opened["dedup_key"]));
}

#[test]
fn a_half_open_breaker_changes_nothing_unless_the_options_say_so() {
    let half = [event("circuit_breaker.half_open", "{}")];
    let Ok(Outcome::Drop(reason)) = outcome(&half, &options()) else { panic!("no drop") };
    assert_eq!(reason, "`circuit_breaker.half_open` neither triggers nor resolves an incident");
    let acknowledging = json!({ "routing_key": KEY, "actions": { "**.half_open": "acknowledge" } });
    assert_eq!(render(&half, &acknowledging)["event_action"], "acknowledge");
}

#[test]
fn severities_can_be_said_by_pattern() {
    let options = json!({ "routing_key": KEY, "severity": { "circuit_breaker.*": "critical", "**": "success" } });
    assert_eq!(render(&[event("circuit_breaker.opened", "{}")], &options)["payload"]["severity"], "critical");
    assert_eq!(render(&[event("x.failed", "{}")], &options)["payload"]["severity"], "info");
}

#[test]
fn half_a_megabyte_is_not_exceeded_and_stays_valid() {
    let data = json!({ "service": "api", "log": "\u{1}é\"".repeat(400_000), "more": vec!["x"; 100_000], "end": 1 }).to_string();
    let message = render(&[event("job.failed", &data)], &options());
    let details = &message["payload"]["custom_details"];
    assert!(details["log"].as_str().unwrap().ends_with('…'));
    assert!(details["_cut"].as_str().unwrap().starts_with("values cut or left out: "));
}

#[test]
fn a_batch_about_one_incident_is_its_last_state() {
    let events = [event("circuit_breaker.opened", r#"{"service":"a"}"#), event("circuit_breaker.closed", r#"{"service":"a"}"#)];
    assert_eq!(render(&events, &options())["event_action"], "resolve");
}

#[test]
fn a_batch_about_one_incident_says_how_often_and_when() {
    let mut events: Vec<Event> =
        (0..240).map(|_| event("service.5xx", r#"{"service":"checkout","message":"HTTP 503"}"#)).collect();
    events[239].timestamp = "2026-01-28T10:36:00.000Z".to_owned();
    let message = render(&events, &options());
    let counts = "Service 5xx × 240 for checkout in 5 min, first 10:30, last 10:36 UTC";
    assert_eq!(message["payload"]["summary"], format!("Service 5xx: HTTP 503 ({counts})"));
    assert_eq!(message["payload"]["custom_details"]["batch"], counts);
    assert_eq!(message["dedup_key"], "service|service=checkout");
}

#[test]
fn a_value_of_the_data_decides_action_and_severity() {
    let options = json!({
        "routing_key": KEY, "action_from": "data.status", "severity_from": { "path": "data.labels.severity", "map": { "gold": "critical" } },
        "dedup_fields": ["data.labels.\"app.kubernetes.io/name\""], "link": "{data.generatorURL}",
    });
    let alert = |status: &str, severity: &str| {
        let labels = format!(r#"{{"severity":"{severity}","app.kubernetes.io/name":"web"}}"#);
        let data = format!(r#"{{"status":"{status}","labels":{labels},"generatorURL":"https://prom.test/graph?g0=up"}}"#);
        render(&[event("alertmanager.alert", &data)], &options)
    };
    let firing = alert("firing", "gold");
    assert_eq!((&firing["event_action"], &firing["payload"]["severity"]), (&json!("trigger"), &json!("critical")));
    assert_eq!(firing["dedup_key"], "alertmanager.alert|app.kubernetes.io/name=web");
    assert_eq!(firing["links"], json!([{ "href": "https://prom.test/graph?g0=up", "text": "Open" }]));
    let resolved = alert("resolved", "gold");
    assert_eq!((&resolved["event_action"], &resolved["dedup_key"]), (&json!("resolve"), &firing["dedup_key"]));
}

#[test]
fn operational_events_open_and_close_the_incident_of_their_webhook() {
    let action = |kind: &str, data: &str| render(&[event(kind, data)], &options())["event_action"].clone();
    assert_eq!(action("webhook.disabled", r#"{"webhook":"a"}"#), "trigger");
    assert_eq!(action("webhook.enabled", r#"{"webhook":"a"}"#), "resolve");
    assert_eq!(action("tenterhook.config.reloaded", r#"{"generation":2}"#), "resolve");
    for kind in ["webhook.created", "webhook.updated", "webhook.deleted"] {
        assert!(matches!(outcome(&[event(kind, r#"{"webhook":"a"}"#)], &options()), Ok(Outcome::Drop(_))), "{kind}");
    }
}

#[test]
fn a_batch_about_several_incidents_is_one_about_those_that_are_open() {
    let of = |kind: &str, service: &str| event(&format!("circuit_breaker.{kind}"), &format!(r#"{{"service":"{service}"}}"#));
    let events = [of("opened", "a"), of("opened", "b"), of("opened", "c"), of("closed", "c")];
    let message = render(&events, &options());
    assert_eq!(message["event_action"], "trigger");
    assert_eq!(message["payload"]["summary"], "4 events: 3 × Circuit breaker opened · 1 × Circuit breaker closed");
    assert_eq!(message["dedup_key"], "batch|circuit_breaker|service=a|circuit_breaker|service=b");
    let error = outcome(&[of("closed", "a"), of("closed", "b")], &options()).unwrap_err();
    assert_eq!(
        error,
        "a batch resolves 2 incidents, and a request to PagerDuty can resolve one: remove `batch` from this webhook"
    );
}

#[test]
fn mistakes_in_options_are_named_and_keys_are_not_shown() {
    let error = |options: Value| check_options::<PagerDuty>(&options.to_string()).unwrap_err();
    assert!(error(json!({})).starts_with("the option `routing_key` is required"));
    let short = error(json!({ "routing_key": "s3cret" }));
    assert!(short.contains("has 6 characters") && !short.contains("s3cret"));
    assert!(error(json!({ "routing_key": KEY, "dedup_key": "x", "dedup_fields": [] })).contains("exclude each other"));
    assert!(error(json!({ "routingkey": KEY })).contains("did you mean `routing_key`?"));
    assert!(
        error(json!({ "routing_key": KEY, "actions": { "a": "page" } })).starts_with("option `actions`: unknown variant `page`")
    );
    assert!(check_options::<PagerDuty>(r#"{"url":"/integration/x/enqueue"}"#).is_ok());
    assert!(error(json!({ "url": "ftp://x" })).contains("option `url`"));
}

#[test]
fn the_schema_names_the_options_that_there_are() {
    testing::assert_schema_names_every_option::<PagerDuty>();
}

#[test]
fn the_golden_cases_hold() {
    testing::assert_golden_cases::<PagerDuty>(env!("CARGO_MANIFEST_DIR"));
}

fn hostile_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        (1..5_000_usize).prop_map(|n| "\u{1}".repeat(n)),
        (1..3_000_usize).prop_map(|n| "😀".repeat(n)),
        Just("\u{200b}".to_owned()),
        Just("service".to_owned()),
    ]
}

fn hostile_data() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), any::<f64>().prop_map(Value::from), hostile_text().prop_map(Value::from)];
    leaf.prop_recursive(4, 60, 15, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..15).prop_map(Value::from),
            prop::collection::btree_map(hostile_text(), inner, 0..15).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_the_data_the_event_is_within_limits(
        data in prop::collection::vec(hostile_data(), 1..20),
        title in hostile_text(),
    ) {
        let events: Vec<Event> = data.iter().map(|data| event("circuit_breaker.opened", &data.to_string())).collect();
        let title = title.replace(['{', '}'], "") + "{data.a}";
        render(&events, &json!({ "routing_key": KEY, "title": title }));
        render(&events[..1], &json!({ "routing_key": KEY, "fields": ["data", "type"], "source": "{data}", "group": "{data}" }));
    }
}
