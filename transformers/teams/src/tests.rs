//! Cards as Teams would get them, and proof that no data breaks their size.

use proptest::prelude::*;
use serde_json::{Value, json};
use tenterhook_message::{
    blank,
    testing::{self, event},
};
use tenterhook_transformer::{Body, Event, Outcome, Transformer, check_options};

use super::Teams;

fn render(events: &[Event], options: &Value) -> Value {
    let options = check_options::<Teams>(&options.to_string()).unwrap();
    let Outcome::Request(request) = Teams::transform(events, &options).unwrap() else { panic!("no request") };
    let Body::Text(text) = request.body else { panic!("no text") };
    // As Teams counts it: as a string within Workflows' own message.
    let counted = serde_json::to_string(&text).unwrap().len();
    assert!(counted <= 28_672, "{counted}");
    serde_json::from_str(&text).unwrap()
}

fn card(message: &Value) -> &Value {
    assert_eq!(message["type"], "message");
    assert_eq!(message["attachments"][0]["contentType"], "application/vnd.microsoft.card.adaptive");
    &message["attachments"][0]["content"]
}

#[test]
fn a_breaker_that_opened_is_a_red_card_with_facts_and_buttons() {
    let data = r#"{"service":"payments_api","errorRate":0.75,"message":"too many *timeouts*","last":{"status":503}}"#;
    let options = json!({
        "link": "https://status.test/{data.service}",
        "links": [{ "text": "Runbook of {data.service}", "url": "https://wiki.test/{type}" }],
    });
    let message = render(&[event("circuit_breaker.opened", data)], &options);
    let card = card(&message);
    assert_eq!(card["body"][0]["style"], "attention");
    assert_eq!(card["body"][0]["items"][0]["text"], "🔴 Circuit breaker opened");
    assert_eq!(card["body"][1]["text"], "too many \\*timeouts\\*");
    assert_eq!(
        card["body"][2]["facts"],
        json!([{ "title": "Service", "value": "payments\\_api" }, { "title": "Error rate", "value": "0.75" }])
    );
    assert_eq!(card["body"][3]["fontType"], "Monospace");
    let small = "{{DATE(2026-01-28T10:30:45Z,SHORT)}} {{TIME(2026-01-28T10:30:45Z)}} · circuit\\_breaker.opened · evt\\_0198";
    assert_eq!(card["body"][4]["text"], small);
    assert_eq!(
        card["actions"],
        json!([
            { "type": "Action.OpenUrl", "title": "Open", "url": "https://status.test/payments_api" },
            { "type": "Action.OpenUrl", "title": "Runbook of payments_api", "url": "https://wiki.test/circuit_breaker.opened" },
        ])
    );
}

#[test]
fn what_is_escaped_twice_still_fits() {
    for text in ["\"", "\\", "<", "_", "{\"a\":1}", "Ж", "漢", "\n"] {
        let mut data = serde_json::Map::new();
        for n in 0..25 {
            data.insert(format!("k{n}"), json!(text.repeat(200)));
        }
        data.insert("message".to_owned(), json!(text.repeat(4_000)));
        data.insert("log".to_owned(), json!(text.repeat(9_000)));
        let links = vec![json!({ "text": "Runbook", "url": format!("https://x.test/{}", "a".repeat(1_980)) }); 6];
        let data = Value::Object(data).to_string();
        render(&[event("job.failed", &data)], &json!({}));
        render(&[event("job.failed", &data)], &json!({ "links": links }));
    }
}

#[test]
fn a_batch_about_one_thing_says_how_often_and_when() {
    let events: Vec<Event> = (0..30).map(|_| event("service.5xx", r#"{"service":"checkout","message":"HTTP 503"}"#)).collect();
    let message = render(&events, &json!({}));
    let headline = "Service 5xx × 30 for checkout in 0 s, first 10:30, last 10:30 UTC";
    assert_eq!(card(&message)["body"][1]["text"], headline);
    assert_eq!(card(&message)["body"][2]["facts"], json!([{ "title": format!("🔴 {headline}"), "value": "HTTP 503" }]));
}

#[test]
fn a_batch_is_one_card() {
    let events: Vec<Event> = (0..30).map(|n| event("job.failed", &format!("{{\"job\":{n}}}"))).collect();
    let message = render(&events, &json!({}));
    let card = card(&message);
    assert_eq!(card["body"][0]["items"][0]["text"], "🔴 30 events");
    assert_eq!(card["body"][2]["facts"].as_array().unwrap().len(), 20);
    assert_eq!(card["body"][3]["text"], "… and 10 more");
}

#[test]
fn mistakes_in_options_are_named() {
    let error = |options: Value| check_options::<Teams>(&options.to_string()).unwrap_err();
    assert!(error(json!({ "titel": "x" })).starts_with("unknown option `titel`, did you mean `title`?"));
    assert!(error(json!({ "link": "file:///x" })).contains("must begin with https://"));
    let links = vec![json!({ "text": "x", "url": "https://x.test" }); 7];
    assert_eq!(error(json!({ "links": links })), "option `links` has 7 links, 6 are allowed");
}

#[test]
fn the_schema_names_the_options_that_there_are() {
    testing::assert_schema_names_every_option::<Teams>();
}

#[test]
fn the_golden_cases_hold() {
    testing::assert_golden_cases::<Teams>(env!("CARGO_MANIFEST_DIR"));
}

fn hostile_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[&<>`*_~@|\\n\\u{202e}\\u{200b}😀é{}]{0,40}",
        (1..9_000_usize).prop_map(|n| "\u{1}*".repeat(n)),
        (1..9_000_usize).prop_map(|n| "😀".repeat(n)),
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
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_data_the_card_fits_and_shows_something(data in prop::collection::vec(hostile_data(), 1..30), title in hostile_text()) {
        let events: Vec<Event> = data.iter().map(|data| event("circuit_breaker.opened", &data.to_string())).collect();
        let title = title.replace(['{', '}'], "") + "{data.a}";
        for message in [render(&events, &json!({ "title": title })), render(&events[..1], &json!({ "title": title, "fields": ["data", "type"] }))] {
            for element in card(&message)["body"].as_array().unwrap() {
                for fact in element["facts"].as_array().into_iter().flatten() {
                    assert!(!blank(fact["title"].as_str().unwrap()) && !blank(fact["value"].as_str().unwrap()));
                }
            }
        }
    }
}
