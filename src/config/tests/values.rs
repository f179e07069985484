//! What a good configuration comes to.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::{Scope, WebhookSettings};
use crate::model::{Limits, RetryPolicy, Schedule, WebhookId};
use crate::signing::Scheme;

fn only(loaded: &Loaded) -> &WebhookSettings {
    assert_eq!(loaded.settings.webhooks.len(), 1);
    loaded.settings.webhooks.values().next().unwrap()
}

#[test]
fn the_repositorys_own_file_loads_without_any_environment() {
    let text = include_str!("../../../config.toml");
    let loaded = load_str(text, &BTreeMap::new(), &|_| None).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.settings.server.listen.to_string(), "127.0.0.1:8080");
    let urls: Vec<String> = loaded.settings.webhooks.values().map(|webhook| webhook.url.to_string()).collect();
    assert_eq!(urls, ["http://127.0.0.1:9400/pagerduty", "http://127.0.0.1:9400/plain", "http://127.0.0.1:9400/slack"]);
}

#[test]
fn what_the_repositorys_own_file_has_commented_out_loads_too() {
    let text = include_str!("../../../config.toml");
    let is_setting = |line: &&str| {
        let Some(rest) = line.strip_prefix("# ") else { return true };
        rest.starts_with('[') || rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '))
    };
    let all: Vec<&str> = text.lines().filter(is_setting).map(|line| line.strip_prefix("# ").unwrap_or(line)).collect();
    let files = [("webhooks.d/a.toml", ""), ("secrets/everything", "whsec_dGVudGVyaG9vay1kZW1vLXBhZ2VyZHV0eS1rZXk=")];
    let files = files.map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).into();
    let loaded = load_str(&all.join("\n"), &files, &|name| Some(format!("value-of-{name}")))
        .unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    assert!(loaded.settings.webhooks.contains_key(&WebhookId::parse("everything").unwrap()));
    assert_eq!((loaded.settings.tokens.len(), loaded.settings.transformers.len()), (1, 1));
}

#[test]
fn an_empty_file_has_the_defaults_of_the_product() {
    let settings = load("").settings;
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!((settings.server.max_event_size, settings.server.shutdown_grace), (1 << 20, Duration::from_secs(10)));
    assert_eq!(settings.storage.path, Path::new("data"));
    assert_eq!(settings.retention.events, Duration::from_secs(7 * 86_400));
    assert_eq!(settings.retention.failed, Duration::from_secs(30 * 86_400));
    assert_eq!(settings.retention.removed, Duration::from_secs(3_600));
    assert_eq!(load("[retention]\nremoved = \"0s\"").settings.retention.removed, Duration::ZERO);
    assert!(settings.network.https_only && settings.network.allow.is_empty());
    assert_eq!(settings.transformers_dir, Path::new("transformers"));
}

#[test]
fn a_webhook_has_the_defaults_of_the_product() {
    let loaded = load(&webhook(""));
    let webhook = only(&loaded);
    assert_eq!((webhook.timeout, webhook.connect_timeout), (Duration::from_secs(5), Duration::from_secs(2)));
    assert_eq!((webhook.concurrency, webhook.enabled), (10, true));
    assert_eq!(webhook.retry, RetryPolicy::default());
    assert_eq!(webhook.signature.len(), 1);
    assert_eq!(webhook.signature[0].scheme, Scheme::STANDARD);
    assert!(webhook.secret.is_none() && webhook.filter.is_none() && webhook.transform.is_empty());
    assert_eq!((webhook.place.line, webhook.place.column), (1, 11));
}

#[test]
fn every_key_of_a_webhook_arrives() {
    let loaded = load(&webhook(
        r##"
filter.data.errorRate = { "$gt" = 0.5 }
transform = ["redact", { use = "slack", options = { channel = "#ops", at = 2026-01-28T10:30:45Z, n = [1, 2.5, true] } }]
secret = "${TOKEN}"
signature = ["github", { scheme = "sha256", header = "X-FlexGate-Signature" }]
headers = { "X-Api-Key" = "${TOKEN}" }
enabled = false
description = "Ops channel"
tenant = "acme"
retry = { schedule = ["15s", "2m"], jitter = 0 }
retry_on = ["timeout", "429"]
success = ["2xx", "304"]
timeout = "1m30s"
connect_timeout = "500ms"
concurrency = 3
metadata = { team = "sre", n = 1 }
"##,
    ));
    let webhook = only(&loaded);
    let steps: Vec<(&str, &str)> = webhook.transform.iter().map(|step| (step.name.as_str(), step.options.as_str())).collect();
    let options = r##"{"at":"2026-01-28T10:30:45Z","channel":"#ops","n":[1,2.5,true]}"##;
    assert_eq!(steps, [("redact", "{}"), ("slack", options)]);
    let places: Vec<(u32, u32)> = webhook.transform_places.iter().map(|place| (place.line, place.column)).collect();
    assert_eq!(places, [(6, 14), (6, 24)]);
    assert_eq!(webhook.secret.as_ref().unwrap().expose(), "tok-from-the-environment");
    assert_eq!(webhook.signature[0].scheme.name(), "github");
    assert_eq!(webhook.signature[1].header.as_ref().unwrap(), "x-flexgate-signature");
    assert_eq!(webhook.headers[0].0, "x-api-key");
    assert_eq!(webhook.headers[0].1, "tok-from-the-environment");
    assert!(!format!("{webhook:?}").contains("tok-from"));
    assert_eq!((webhook.enabled, webhook.concurrency), (false, 3));
    assert_eq!((webhook.description.as_deref(), webhook.tenant.as_deref()), (Some("Ops channel"), Some("acme")));
    assert_eq!(webhook.retry.schedule, Schedule::List(vec![Duration::from_secs(15), Duration::from_secs(120)]));
    assert_eq!(webhook.retry.jitter.share(), 0.0);
    assert!(webhook.retry.on.timeout && !webhook.retry.on.network && webhook.retry.on.statuses.contains(429));
    assert!(!webhook.retry.on.statuses.contains(500) && webhook.retry.success.contains(304));
    assert_eq!((webhook.timeout, webhook.connect_timeout), (Duration::from_secs(90), Duration::from_millis(500)));
    assert_eq!(serde_json::to_string(&webhook.metadata).unwrap(), r#"{"n":1,"team":"sre"}"#);
    assert!(webhook.filter.is_some());
}

#[test]
fn defaults_hold_where_a_webhook_is_silent_and_headers_are_merged_by_name() {
    let defaults = r#"
[defaults]
timeout = "3s"
connect_timeout = "1m"
retry = { max_retries = 9 }
headers = { X-A = "default", X-B = "default" }
transform = "slack"
signature = "none"
[webhooks.b]
url = "https://example.com/"
events = ["*"]
"#;
    let loaded = load(&(webhook("retry = { jitter = 0.5 }\nheaders = { x-a = \"own\" }\ntransform = []") + defaults));
    let a = &loaded.settings.webhooks[&WebhookId::parse("a").unwrap()];
    let b = &loaded.settings.webhooks[&WebhookId::parse("b").unwrap()];
    let headers = |webhook: &WebhookSettings| -> Vec<String> {
        let mut headers: Vec<String> =
            webhook.headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
        headers.sort();
        headers
    };
    assert_eq!(headers(a), ["x-a=own", "x-b=default"]);
    assert_eq!(headers(b), ["x-a=default", "x-b=default"]);
    // Not merged key by key: the webhook's own `retry` stands for itself.
    assert!(matches!(a.retry.schedule, Schedule::Curve(curve) if curve.max_retries() == 3) && a.retry.jitter.share() == 0.5);
    assert!(matches!(b.retry.schedule, Schedule::Curve(curve) if curve.max_retries() == 9) && b.retry.jitter.share() == 0.2);
    assert!(a.transform.is_empty() && b.transform[0].name == "slack");
    assert!(a.signature.is_empty());
    // No step of an attempt outlives the attempt.
    assert_eq!((a.timeout, a.connect_timeout), (Duration::from_secs(3), Duration::from_secs(3)));
}

#[test]
fn tokens_and_transformers_arrive() {
    let text = format!(
        "[tokens.ci]\ntoken = \"${{TOKEN}}\"\nscopes = [\"read\", \"publish\", \"read\"]\n\
         [transformers.a]\npath = \"plugins/a.wasm\"\nsha256 = \"{}\"\nlimits = {{ cpu = \"1s\" }}\n[transformers.b]\n",
        "0a".repeat(32)
    );
    let settings = load(&text).settings;
    assert_eq!(settings.tokens[0].scopes, [Scope::Publish, Scope::Read]);
    let a = &settings.transformers["a"];
    assert_eq!((a.path.as_deref(), a.sha256), (Some(Path::new("plugins/a.wasm")), Some([10; 32])));
    assert_eq!(a.limits, Limits { cpu: Duration::from_secs(1), ..Limits::default() });
    assert_eq!(settings.transformers["b"].limits, Limits::default());
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let text = webhook("secret = \"hunter22\"\nsignature = \"none\"") + "[tokens.a]\ntoken = \"short\"\nscopes = [\"read\"]\n";
    let warnings: Vec<String> =
        load(&text).warnings.iter().map(|warning| format!("{}: {}", warning.line, warning.message)).collect();
    assert_eq!(
        warnings,
        ["4: `secret` is not used: signature is \"none\"", "7: `token` has fewer than 16 characters and can be guessed"]
    );
    assert!(load(&text).warnings[0].render(false).starts_with("warning: "));
}

#[test]
fn strings_are_filled_in() {
    let path = |value: &str| load(&format!("[storage]\npath = '{value}'")).settings.storage.path;
    assert_eq!(path("x/${WORD}/y"), Path::new("x/environmental/y"));
    assert_eq!(path("${NOPE:-there}"), Path::new("there"));
    assert_eq!(path("${EMPTY:-there}"), Path::new("there"));
    assert_eq!(path("${WORD:-there}"), Path::new("environmental"));
    assert_eq!(path("$${WORD}"), Path::new("${WORD}"));
    assert_eq!(path("$5"), Path::new("$5"));
}

#[test]
fn an_option_that_a_message_names_is_underlined() {
    let stage = "{ use = \"slack\", options = { channel = \"#ops\", chanel = \"#x\", severity = { \"a.*\" = \"hgih\" } } }";
    let loaded = load(&webhook(&format!("transform = {stage}")));
    let place = &only(&loaded).transform_places[0];
    for (message, marked) in [
        ("transformer `slack`: unknown option `chanel`, did you mean `channel`?", "chanel = \"#x\""),
        ("transformer `slack`: option `severity`: unknown variant `hgih`", "severity = { \"a.*\" = \"hgih\" }"),
        ("transformer `slack`: the option `token` is required", stage),
        ("there is no transformer `slack`", stage),
    ] {
        let problem = loaded.problem_at(place, message.to_owned(), None);
        let rendered = problem.render(false);
        let underline = rendered.lines().find(|line| line.contains('^')).unwrap();
        assert_eq!(underline.matches('^').count(), marked.chars().count(), "{rendered}");
    }
}

#[test]
fn problems_of_transformers_join_the_others_in_order() {
    let text =
        format!("[defaults]\ntimeout = 5\n{}batch = 7\n", webhook("transform = { use = \"slack\", options = { chanel = 1 } }"));
    let refused = load_files(&text, &[]).unwrap_err();
    assert_eq!(refused.draft.unread, ["a"]);
    let (step, place) = refused.draft.unread_stages[0].clone();
    assert_eq!((step.name.as_str(), step.options.as_str()), ("slack", r#"{"chanel":1}"#));
    let twice =
        [(place.clone(), "unknown option `chanel`".to_owned(), None), (place, "unknown option `chanel`".to_owned(), None)];
    let lines: Vec<usize> = refused.with_later(twice).problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [2, 6, 7]);
}

#[test]
fn a_later_problem_is_shown_at_the_stage_it_is_about() {
    let loaded = load(&webhook("transform = [\"slack\", { use = \"pagerduty\", options = { routing_key = \"hunter22\" } }]"));
    let place = &only(&loaded).transform_places[1];
    let problem =
        loaded.problem_at(place, "the transformer `pagerduty` refuses its options".to_owned(), Some("see its docs".to_owned()));
    assert_eq!(
        problem.render(false),
        "\
error: the transformer `pagerduty` refuses its options
 --> config.toml:4:23
  |
4 | transform = [\"slack\", { use = \"pagerduty\", options = { routing_key = \"…\" } }]
  |                       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: see its docs
"
    );
    let refused = loaded.refused(vec![problem]);
    assert_eq!((refused.files, refused.fingerprint), (loaded.files, loaded.fingerprint));
}
