//! The embedded modules through the host. What their messages look like is tested beside them, natively; here is that the
//! border carries them unharmed.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{event, host, patient};
use crate::transform::cases::{self, Case};
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
        // The first option there is, with a letter too many.
        let option = schema["properties"].as_object().unwrap().keys().next().unwrap().clone();
        let error = module.check(&json!({ format!("{option}x"): "y" }).to_string()).await.unwrap_err().to_string();
        let expected = format!("transformer `{name}`: unknown option `{option}x`, did you mean `{option}`?");
        assert!(error.starts_with(&expected), "{error}");
    }
}

/// Cases lie beside each transformer: `transformers/NAME/cases/*.json`. With `UPDATE_CASES=1` in the environment what they
/// expect is written again.
#[tokio::test]
async fn every_prebuilt_module_makes_what_its_golden_cases_say() {
    let host = host();
    for name in crate::transform::prebuilt_names() {
        let module = prebuilt(&host, name).await;
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("transformers").join(name).join("cases");
        let mut paths: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "{} has no cases", dir.display());
        for path in paths {
            let text = std::fs::read_to_string(&path).unwrap();
            let case = Case::read(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            module.check(&case.options).await.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let inputs: Vec<EventInput<'_>> = case.events.iter().map(EventInput::from).collect();
            let actual = cases::show(&module.transform(&inputs, &case.options).await.result);
            if std::env::var_os("UPDATE_CASES").is_some() {
                let updated = cases::with_expectation(&text, &actual).unwrap();
                std::fs::write(&path, updated).unwrap();
                continue;
            }
            let expected = case.expect.unwrap_or_else(|| panic!("{} expects nothing", path.display()));
            let differences = cases::differences(&expected, &actual);
            assert!(differences.is_empty(), "{}:\n{}", path.display(), differences.join("\n"));
        }
    }
}
