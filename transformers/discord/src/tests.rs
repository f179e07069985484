//! Messages as Discord would get them, and proof that no data breaks its limits.

use proptest::prelude::*;
use serde_json::{Value, json};
use tenterhook_message::{blank, testing, units};
use tenterhook_transformer::{Body, Event, Outcome, Transformer, check_options};

use super::Discord;

fn event(event_type: &str, data: &str) -> Event {
    Event { tenant: Some("acme".to_owned()), ..testing::event(event_type, data) }
}

fn render(events: &[Event], options: &Value) -> Value {
    let options = check_options::<Discord>(&options.to_string()).unwrap();
    let Outcome::Request(request) = Discord::transform(events, &options).unwrap() else { panic!("no request") };
    let Body::Text(text) = request.body else { panic!("no text") };
    serde_json::from_str(&text).unwrap()
}

/// Every limit that Discord documents for what we send.
fn assert_within_limits(message: &Value) {
    assert_eq!(message["allowed_mentions"], json!({ "parse": [] }));
    assert_eq!(message["embeds"].as_array().unwrap().len(), 1);
    let embed = &message["embeds"][0];
    let mut total = 0;
    let mut text = |value: &Value, max: usize| {
        let text = value.as_str().unwrap();
        assert!(units(text) <= max && !blank(text), "{} of {max}: {text:?}", units(text));
        total += units(text);
        assert!(!text.contains("@everyone") && !text.contains("@here"));
    };
    text(&embed["title"], 256);
    if !embed["description"].is_null() {
        text(&embed["description"], 4_096);
        assert!(embed["description"].as_str().unwrap().matches("```").count() <= 2);
    }
    text(&embed["footer"]["text"], 2_048);
    let none = Vec::new();
    let fields = embed["fields"].as_array().unwrap_or(&none);
    assert!(fields.len() <= 25);
    for field in fields {
        text(&field["name"], 256);
        text(&field["value"], 1_024);
    }
    assert!(total <= 6_000, "{total}");
}

#[test]
fn a_breaker_that_opened_is_an_embed_in_red() {
    let data = r#"{"service":"payments_api","errorRate":0.75,"message":"too many *timeouts* @everyone","last":{"status":503}}"#;
    let options = json!({ "username": "Ops", "link": "https://status.test/{data.service}" });
    let message = render(&[event("circuit_breaker.opened", data)], &options);
    assert_within_limits(&message);
    assert_eq!(
        message,
        json!({
            "username": "Ops",
            "embeds": [{
                "title": "Circuit breaker opened",
                "url": "https://status.test/payments_api",
                "description":
                    "too many \\*timeouts\\* @\u{200b}everyone\n```json\n{\n  \"last\": {\n    \"status\": 503\n  }\n}\n```",
                "color": 0xE03E3E,
                "fields": [
                    { "name": "Service", "value": "payments\\_api", "inline": true },
                    { "name": "Error rate", "value": "0.75", "inline": true },
                ],
                "footer": { "text": "circuit_breaker.opened · acme · evt_0198" },
                "timestamp": "2026-01-28T10:30:45.123Z",
            }],
            "allowed_mentions": { "parse": [] },
        })
    );
}

#[test]
fn a_batch_is_one_digest() {
    let events: Vec<Event> = (0..30).map(|n| event("job.failed", &format!("{{\"job\":{n}}}"))).collect();
    let message = render(&events, &json!({}));
    assert_within_limits(&message);
    let embed = &message["embeds"][0];
    assert_eq!((embed["title"].as_str(), embed["fields"].as_array().unwrap().len()), (Some("30 events"), 25));
    assert_eq!(embed["description"], "30 × Job failed\n… and 5 more");
    assert_eq!(embed["fields"][0], json!({ "name": "🔴 Job failed", "value": "Job: 0", "inline": false }));
}

#[test]
fn empty_values_do_not_make_empty_fields() {
    let message = render(&[event("a.b", r#"{"":"","x":" ","y":"\u200b"}"#)], &json!({}));
    assert_within_limits(&message);
    assert_eq!(message["embeds"][0]["fields"][0], json!({ "name": "—", "value": "—", "inline": true }));
}

#[test]
fn a_batch_about_one_thing_says_how_often_and_when() {
    let events: Vec<Event> = (0..240).map(|_| event("service.5xx", r#"{"service":"checkout","message":"HTTP 503"}"#)).collect();
    let message = render(&events, &json!({}));
    assert_within_limits(&message);
    let embed = &message["embeds"][0];
    let headline = "Service 5xx × 240 for checkout in 0 s, first 10:30, last 10:30 UTC";
    assert_eq!(embed["description"], headline);
    assert_eq!(embed["fields"], json!([{ "name": format!("🔴 {headline}"), "value": "HTTP 503", "inline": false }]));
}

#[test]
fn mistakes_in_options_are_named() {
    let error = |options: Value| check_options::<Discord>(&options.to_string()).unwrap_err();
    assert!(error(json!({ "user": "x" })).starts_with("unknown option `user`"));
    assert_eq!(error(json!({ "username": "My Discord bot" })), "option `username`: Discord refuses names that contain `discord`");
    assert!(error(json!({ "username": "x".repeat(81) })).contains("1 to 80"));
    assert!(error(json!({ "icon": ":bell:" })).contains("https URL"));
}

#[test]
fn the_schema_names_the_options_that_there_are() {
    testing::assert_schema_names_every_option::<Discord>();
}

#[test]
fn the_golden_cases_hold() {
    testing::assert_golden_cases::<Discord>(env!("CARGO_MANIFEST_DIR"));
}

fn hostile_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[&<>`*_~@|#\\\\\\[\\]()\\n\\u{202e}\\u{200b}😀é -]{0,40}",
        (1..5_000_usize).prop_map(|n| "*".repeat(n)),
        (1..3_000_usize).prop_map(|n| "😀".repeat(n)),
        Just("@everyone @here ```".to_owned()),
        Just("\u{200b}".to_owned()),
    ]
}

fn hostile_data() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), any::<f64>().prop_map(Value::from), hostile_text().prop_map(Value::from)];
    leaf.prop_recursive(4, 60, 30, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..15).prop_map(Value::from),
            prop::collection::btree_map(hostile_text(), inner, 0..30).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_the_data_the_message_is_within_limits(
        data in prop::collection::vec(hostile_data(), 1..30),
        title in hostile_text(),
    ) {
        let events: Vec<Event> = data.iter().map(|data| event("circuit_breaker.opened", &data.to_string())).collect();
        let title = title.replace(['{', '}'], "") + "{data.a}";
        assert_within_limits(&render(&events, &json!({ "title": title })));
        assert_within_limits(&render(&events[..1], &json!({ "title": title, "fields": vec!["data"; 30] })));
    }
}
