//! The embedded modules through the host. What their messages look like is tested beside them, natively; here is that the
//! border carries them unharmed.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{event, host, patient};
use crate::transform::{EventInput, Host, Module, Output, Source};

async fn prebuilt(host: &Host, name: &str) -> Arc<Module> {
    host.load(name, Source::Prebuilt, patient(), None).await.unwrap()
}

async fn rendered(module: &Module, kind: &str, data: &str, options: &Value) -> Value {
    let event = event(kind, data);
    module.check(&options.to_string()).await.unwrap();
    let done = module.transform(&[EventInput::from(&event)], &options.to_string()).await;
    let Output::Request(request) = done.result.unwrap() else { panic!("no request") };
    serde_json::from_slice(&request.body).unwrap()
}

#[tokio::test]
async fn slack_makes_blocks() {
    let host = host();
    let slack = prebuilt(&host, "slack").await;
    let message =
        rendered(&slack, "circuit_breaker.opened", r#"{"service":"a<b","errorRate":0.75}"#, &json!({ "channel": "#ops" })).await;
    let mrkdwn = |text: &str| json!({ "type": "mrkdwn", "text": text, "verbatim": true });
    assert_eq!(
        message,
        json!({
            "channel": "#ops",
            "text": "🔴 Circuit breaker opened: Service: a&lt;b · Error rate: 0.75",
            "blocks": [
                { "type": "header", "text": { "type": "plain_text", "text": "🔴 Circuit breaker opened", "emoji": true } },
                { "type": "section", "fields": [mrkdwn("*Service*\na&lt;b"), mrkdwn("*Error rate*\n0.75")] },
                { "type": "context", "elements": [mrkdwn(
                    "<!date^1769596245^{date_short_pretty} {time_secs}|2026-01-28T10:30:45.123Z> · `circuit_breaker.opened` · evt_0198"
                )] },
            ],
        })
    );
}

#[tokio::test]
async fn discord_makes_an_embed() {
    let host = host();
    let discord = prebuilt(&host, "discord").await;
    let message =
        rendered(&discord, "circuit_breaker.closed", r#"{"service":"a_b","by":"@everyone"}"#, &json!({ "username": "Ops" }))
            .await;
    assert_eq!(
        message,
        json!({
            "username": "Ops",
            "embeds": [{
                "title": "Circuit breaker closed",
                "color": 0x2EA04D,
                "fields": [
                    { "name": "Service", "value": "a\\_b", "inline": true },
                    { "name": "By", "value": "@\u{200b}everyone", "inline": true },
                ],
                "footer": { "text": "circuit_breaker.closed · evt_0198" },
                "timestamp": "2026-01-28T10:30:45.123Z",
            }],
            "allowed_mentions": { "parse": [] },
        })
    );
}

#[tokio::test]
async fn pagerduty_triggers_and_resolves_one_incident() {
    let host = host();
    let pagerduty = prebuilt(&host, "pagerduty").await;
    let options = json!({ "routing_key": "0123456789abcdef0123456789abcdef" });
    let trigger = rendered(&pagerduty, "circuit_breaker.opened", r#"{"service":"a","failures":5}"#, &options).await;
    assert_eq!(
        trigger,
        json!({
            "routing_key": "0123456789abcdef0123456789abcdef",
            "event_action": "trigger",
            "dedup_key": "circuit_breaker|service=a",
            "client": "Tenterhook",
            "payload": {
                "summary": "Circuit breaker opened: Service: a · Failures: 5",
                "source": "a",
                "severity": "error",
                "timestamp": "2026-01-28T10:30:45.123Z",
                "component": "a",
                "class": "circuit_breaker.opened",
                "custom_details": {
                    "event_id": "evt_0198", "event_type": "circuit_breaker.opened", "service": "a", "failures": 5,
                },
            },
        })
    );
    let resolve = rendered(&pagerduty, "circuit_breaker.closed", r#"{"service":"a"}"#, &options).await;
    assert_eq!((&resolve["event_action"], &resolve["dedup_key"]), (&json!("resolve"), &trigger["dedup_key"]));
    let error = pagerduty.check("{}").await.unwrap_err().to_string();
    assert!(error.starts_with("transformer `pagerduty`: the option `routing_key` is required"), "{error}");
}

#[tokio::test]
async fn every_prebuilt_module_describes_its_options_and_refuses_a_misspelt_one() {
    let host = host();
    for name in crate::transform::prebuilt_names() {
        let module = prebuilt(&host, name).await;
        assert_eq!(module.description().name, name);
        let schema: Value = serde_json::from_str(&module.description().options_schema).unwrap();
        assert_eq!(schema["additionalProperties"], false, "{name}");
        let error = module.check(r#"{"titel":"x"}"#).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("transformer `{name}`: unknown option `titel`, did you mean `title`?")), "{error}");
    }
}
