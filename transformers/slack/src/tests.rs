//! Messages as Slack would get them, and proof that no data breaks its limits.

use proptest::prelude::*;
use serde_json::{Value, json};
use tenterhook_message::{
    testing::{self, event},
    units,
};
use tenterhook_transformer::{Body, Event, Outcome, Transformer, check_options};

use super::Slack;

fn render(events: &[Event], options: &Value) -> Value {
    let options = check_options::<Slack>(&options.to_string()).unwrap();
    let Outcome::Request(request) = Slack::transform(events, &options).unwrap() else { panic!("no request") };
    let Body::Text(text) = request.body else { panic!("no text") };
    serde_json::from_str(&text).unwrap()
}

/// Every limit that Slack documents for what we send.
fn assert_within_limits(message: &Value) {
    let blocks = message["blocks"].as_array().unwrap();
    assert!(!blocks.is_empty() && blocks.len() <= 50);
    let text_of = |value: &Value, max: usize| {
        let text = value["text"].as_str().unwrap();
        assert!(!text.trim().is_empty() && units(text) <= max, "{} of {max}: {text}", units(text));
        for (at, _) in text.match_indices('&') {
            let rest = &text[at..];
            assert!(["&amp;", "&lt;", "&gt;"].iter().any(|escape| rest.starts_with(escape)), "{rest}");
        }
    };
    text_of(message, 4_000);
    for block in blocks {
        match block["type"].as_str().unwrap() {
            "header" => text_of(&block["text"], 150),
            "section" => {
                if !block["text"].is_null() {
                    text_of(&block["text"], 3_000);
                }
                if let Some(fields) = block["fields"].as_array() {
                    assert!(!fields.is_empty() && fields.len() <= 10);
                    fields.iter().for_each(|field| text_of(field, 2_000));
                }
            }
            "context" => {
                let elements = block["elements"].as_array().unwrap();
                assert!(!elements.is_empty() && elements.len() <= 10);
                elements.iter().for_each(|element| text_of(element, 2_000));
            }
            other => panic!("unknown block {other}"),
        }
    }
}

#[test]
fn a_breaker_that_opened_is_a_message_with_headline_fields_and_details() {
    let data = r#"{"service":"payments & billing","errorRate":0.75,"message":"too many <timeouts>","last":{"status":503}}"#;
    let options = json!({ "channel": "#ops", "icon": ":bell:", "link": "https://status.test/{data.service}" });
    let message = render(&[event("circuit_breaker.opened", data)], &options);
    assert_within_limits(&message);
    let mrkdwn = |text: &str| json!({ "type": "mrkdwn", "text": text, "verbatim": true });
    assert_eq!(
        message,
        json!({
            "channel": "#ops",
            "icon_emoji": ":bell:",
            "text": "🔴 Circuit breaker opened: too many &lt;timeouts&gt;",
            "blocks": [
                { "type": "header", "text": { "type": "plain_text", "text": "🔴 Circuit breaker opened", "emoji": true } },
                { "type": "section", "text": mrkdwn("too many &lt;timeouts&gt;") },
                { "type": "section", "fields": [mrkdwn("*Service*\npayments &amp; billing"), mrkdwn("*Error rate*\n0.75")] },
                { "type": "section", "text": mrkdwn("```{\n  \"last\": {\n    \"status\": 503\n  }\n}```") },
                { "type": "section", "text": mrkdwn("<https://status.test/payments%20%26%20billing|Open ↗>") },
                { "type": "context", "elements": [mrkdwn(
                    "<!date^1769596245^{date_short_pretty} {time_secs}|2026-01-28T10:30:45.123Z> · `circuit_breaker.opened` · evt_0198"
                )] },
            ],
        })
    );
}

#[test]
fn a_batch_is_one_digest() {
    let events: Vec<Event> = (0..30).map(|n| event("job.failed", &format!("{{\"job\":{n}}}"))).collect();
    let message = render(&events, &json!({}));
    assert_within_limits(&message);
    assert_eq!(message["text"], "🔴 30 events: 30 × Job failed");
    assert_eq!(message["blocks"].as_array().unwrap().len(), 2 + 20 + 1);
    assert_eq!(message["blocks"][22]["elements"][0]["text"], "… and 10 more");
}

#[test]
fn mentions_and_fences_in_an_event_stay_text() {
    let data = json!({ "message": "<!channel> <@U1> <https://evil.test|safe>", "x": { "y": "```\n<!here>" } }).to_string();
    let text = render(&[event("a.b", &data)], &json!({})).to_string();
    assert!(!text.contains("<!channel") && !text.contains("<@") && !text.contains("<https") && !text.contains("<!here"));
    assert_eq!(text.matches("```").count(), 2);
}

#[test]
fn a_resolved_alert_is_green_and_its_address_is_the_link() {
    let data = r#"{"status":"resolved","labels":{"severity":"critical"},"html_url":"https://x.test/a?b=1&c=2"}"#;
    let message = render(&[event("alertmanager.alert", data)], &json!({}));
    assert_eq!(message["text"], "🟢 Alertmanager alert: Status: resolved");
    let link = "<https://x.test/a?b=1&amp;c=2|Open ↗>";
    assert!(message["blocks"].as_array().unwrap().iter().any(|block| block["text"]["text"] == link), "{message}");
}

#[test]
fn a_batch_about_one_thing_says_how_often_and_when() {
    let events: Vec<Event> = (0..240).map(|_| event("service.5xx", r#"{"service":"checkout","message":"HTTP 503"}"#)).collect();
    let message = render(&events, &json!({}));
    assert_within_limits(&message);
    let headline = "Service 5xx × 240 for checkout in 0 s, first 10:30, last 10:30 UTC";
    assert_eq!(message["text"], format!("🔴 240 events: {headline}"));
    let sample = message["blocks"][2]["text"]["text"].as_str().unwrap();
    assert!(sample.starts_with(&format!("🔴 *{headline}*")) && sample.ends_with("\nHTTP 503"), "{sample}");
}

#[test]
fn mistakes_in_options_are_named() {
    let error = |options: Value| check_options::<Slack>(&options.to_string()).unwrap_err();
    assert!(error(json!({ "chanel": "#ops" })).starts_with("unknown option `chanel`, did you mean `channel`?"));
    assert!(error(json!({ "icon": "bell" })).contains("`bell` is neither an emoji"));
    assert!(error(json!({ "title": "{nope}" })).starts_with("option `title`: `nope` names no value"));
    assert!(error(json!({ "severity": { "a.b": "bad" } })).starts_with("option `severity`: unknown variant `bad`"));
    assert!(error(json!({ "link": "javascript:x" })).contains("must begin with https://"));
}

#[test]
fn the_schema_names_the_options_that_there_are() {
    testing::assert_schema_names_every_option::<Slack>();
}

#[test]
fn the_golden_cases_hold() {
    testing::assert_golden_cases::<Slack>(env!("CARGO_MANIFEST_DIR"));
}

fn hostile_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[&<>`*_~@|\\n\\u{202e}\\u{200b}😀é]{0,40}",
        (1..5_000_usize).prop_map(|n| "&".repeat(n)),
        (1..3_000_usize).prop_map(|n| "😀".repeat(n)),
        Just("<!channel>```".to_owned()),
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
    fn whatever_the_data_the_message_is_within_limits(
        data in prop::collection::vec(hostile_data(), 1..30),
        title in hostile_text(),
    ) {
        let events: Vec<Event> = data.iter().map(|data| event("circuit_breaker.opened", &data.to_string())).collect();
        let title = title.replace(['{', '}'], "") + "{data.a}";
        assert_within_limits(&render(&events, &json!({ "title": title })));
        assert_within_limits(&render(&events[..1], &json!({ "title": title, "fields": ["data", "data.a", "type"] })));
    }
}
