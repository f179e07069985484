//! Exports of other systems become tables, and nothing of them is lost without a note.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

fn imported(from: System, documents: &[Value]) -> String {
    let Imported { webhooks, notes } = convert(from, documents, false).unwrap();
    render(&notes, &webhooks)
}

/// Those of the keys that this version of the parser knows are right.
#[track_caller]
fn loads(text: &str) {
    if let Err(problems) = config::load_str(text, &BTreeMap::new(), &|_| None) {
        let serious: Vec<&str> = problems
            .problems
            .iter()
            .map(|problem| problem.message.as_str())
            .filter(|text| !text.contains("not available in this version"))
            .collect();
        assert!(serious.is_empty(), "{serious:?} in\n{text}");
    }
}

#[test]
fn flexgate_s_webhooks_keep_their_retries_secret_and_shape() {
    let export = json!([{
        "id": "wh_1", "url": "https://app.example.com/webhook", "events": ["circuit_breaker.opened", "rate_limit.exceeded"], "enabled": true,
        "description": "Test webhook", "secret": "s3cr3t-of-flexgate",
        "retryConfig": {"maxRetries": 5, "initialDelay": 1500, "backoffMultiplier": 2.5},
        "createdAt": "2026-01-28T10:30:45.123Z", "updatedAt": "2026-01-28T10:30:45.123Z",
    }, {"id": "wh_1", "url": "https://b.example.com/", "events": [], "enabled": false, "secret": ""}]);
    let text = imported(System::Flexgate, &[export]);
    assert_eq!(
        text,
        r#"[webhooks.wh_1]
description = "Test webhook"
url = "https://app.example.com/webhook"
events = ["circuit_breaker.opened", "rate_limit.exceeded"]
transform = { use = "envelope", options = { preset = "flexgate" } }
secret = "s3cr3t-of-flexgate"
signature = "sha256"
retry = { max_retries = 5, initial_delay = "1500ms", multiplier = 2.5 }

# the export has no secret: add secret = "…", or one is generated
[webhooks.wh_1-2]
url = "https://b.example.com/"
events = ["*"]
transform = { use = "envelope", options = { preset = "flexgate" } }
signature = "sha256"
enabled = false
"#
    );
    loads(&text);
}

#[test]
fn the_python_systems_rows_are_read_from_its_api_and_its_database() {
    let api = json!({"webhooks": [{
        "id": "a", "url": "https://api.example.com/webhook", "events": ["*"], "secret": "secret-key-of-it", "active": true, "retry_count": 3,
        "retry_delay": 5, "timeout": 30, "headers": {"X-API-Key": "key"}, "metadata": {"team": "sre"},
    }]});
    let row = json!([{
        "id": "b", "url": "https://db.example.com/", "events": "[\"order.created\"]", "secret": null, "active": 0, "retry_count": 0,
        "retry_delay": 5, "timeout": 30, "headers": "{}", "metadata": "{\"n\": 1}",
    }]);
    let text = imported(System::Python, &[api, row]);
    assert_eq!(
        text,
        r#"[webhooks.a]
url = "https://api.example.com/webhook"
events = ["*"]
transform = { use = "envelope", options = { preset = "python" } }
secret = "secret-key-of-it"
signature = "sha256"
headers = { X-API-Key = "key" }
retry = { schedule = ["5s", "10s", "15s"] }
timeout = "30s"
metadata = { team = "sre" }

# the export has no secret: add secret = "…", or one is generated
[webhooks.b]
url = "https://db.example.com/"
events = ["order.created"]
transform = { use = "envelope", options = { preset = "python" } }
signature = "sha256"
enabled = false
retry = { max_retries = 0 }
timeout = "30s"
metadata = { n = 1 }
"#
    );
    loads(&text);
}

#[test]
fn svix_s_endpoints_keep_their_types_limits_and_channels() {
    let export = json!({"data": [{
        "id": "ep_1srOrx2ZWZBpBUvZwXKQmoEYga2", "uid": "orders", "url": "https://example.com/webhook/", "description": "An example endpoint",
        "filterTypes": ["user.signup", "user.deleted", "not a type"], "channels": ["project_123"], "disabled": true, "rateLimit": 50,
        "metadata": {"k": "v"}, "version": 1, "createdAt": "2019-08-24T14:15:22Z", "updatedAt": "2019-08-24T14:15:22Z",
    }, {
        "id": "ep_2", "uid": null, "url": "https://two.example.com/", "description": "", "filterTypes": null, "channels": null,
        "disabled": false, "rateLimit": null, "metadata": {}, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    }, {
        "id": "ep_3", "url": "https://three.example.com/", "description": "", "eventTypes": ["ä b"], "throttleRate": 7, "metadata": {},
    }], "iterator": "x", "done": true});
    let webhooks = convert(System::Svix, &[export], false).unwrap().webhooks;
    let text = render(&[], &webhooks);
    for part in [
        "[webhooks.orders]\n",
        "events = [\"user.signup\", \"user.deleted\"]\n",
        "left out: `not a type`",
        "rate_limit = \"50/s\"\n",
        "filter = { metadata = { channel = { \"$in\" = [\"project_123\"] } } }\n",
        "enabled = false\n",
        "metadata = { k = \"v\" }\n",
        "[webhooks.ep_2]\n",
        "events = [\"*\"]\n",
        "secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n",
        "retry = { schedule = [\"5s\", \"5m\", \"30m\", \"2h\", \"5h\", \"10h\", \"10h\"] }\n",
        "preset = \"data\"",
        "rate_limit = \"7/s\"\n",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    // Nothing that it asked for can be had: better nothing than everything.
    assert_eq!(webhooks[2].keys["enabled"], false);
    assert!(webhooks[2].notes.iter().any(|note| note.starts_with("disabled: ")));
    loads(&text);
}

#[test]
fn convoy_s_endpoints_are_joined_with_their_subscriptions() {
    let endpoints = json!({"status": true, "message": "Endpoints fetched successfully", "data": {"content": [{
        "uid": "01HENDPOINT", "name": "shop", "url": "https://shop.example.com/in", "description": "", "status": "active",
        "secrets": [{"value": "old-secret-of-it", "expires_at": "2024-01-01T00:00:00Z"}, {"value": "new-secret-of-it"}],
        "http_timeout": 10, "rate_limit": 100, "rate_limit_duration": 60, "advanced_signatures": true,
        "authentication": {"type": "api_key", "api_key": {"header_name": "X-Key", "header_value": "abc"}},
    }, {"uid": "01HOTHER", "title": "other", "target_url": "https://other.example.com/", "status": "paused", "rate_limit": 0}]}});
    let subscriptions = json!({"data": {"content": [{
        "uid": "01HSUB", "name": "shop-orders", "endpoint_metadata": {"uid": "01HENDPOINT"},
        "filter_config": {"event_types": ["order.created"], "filter": {"headers": {"x": 1}, "body": {"total": {"$gt": 5}}}},
        "retry_config": {"type": "exponential", "duration": "10s", "retry_count": 4},
    }, {
        "uid": "01HSUB2", "name": "shop-refunds", "endpoint_id": "01HENDPOINT", "filter_config": {"event_types": ["*"], "filter": {"body": {}}},
        "retry_config": {"type": "linear", "duration": 20, "retry_count": 2},
    }]}});
    let text = imported(System::Convoy, &[endpoints.clone(), subscriptions.clone()]);
    for part in [
        "[webhooks.shop-orders]\n",
        "events = [\"order.created\"]\n",
        "filter = { data = { total = { \"$gt\" = 5 } } }\n",
        "filter on headers was left out",
        "secret = \"new-secret-of-it\"\n",
        "timeout = \"10s\"\n",
        "rate_limit = \"100/m\"\n",
        "headers = { X-Key = \"abc\" }\n",
        "content = \"{timestamp},{body}\"",
        "retry = { max_retries = 4, initial_delay = \"10s\", multiplier = 2 }\n",
        "[webhooks.shop-refunds]\n",
        "retry = { max_retries = 2, initial_delay = \"20s\", multiplier = 1 }\n",
        "[webhooks.other]\n",
        "there is no subscription for it",
        "template = \"{signature}\"",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert!(!text.contains("old-secret"), "{text}");
    let one = json!({"endpoints": endpoints, "subscriptions": subscriptions});
    assert_eq!(imported(System::Convoy, &[one]), text);
    loads(&text);
}

#[test]
fn what_is_no_export_is_refused_in_words() {
    let refused = |document: Value| format!("{:#}", convert(System::Flexgate, &[document], false).err().unwrap());
    assert!(refused(json!("x")).contains("no list of webhooks"));
    assert!(refused(json!({"error": "unauthorized"})).contains("under webhooks, data"));
    assert!(refused(json!([1])).contains("entry 1 is no object"));
    assert!(refused(json!([{"id": "a"}])).contains("without a `url`"));
    assert!(refused(json!([])).contains("no webhook in it"));
}

#[test]
fn nothing_of_an_export_is_filled_in_from_the_environment() {
    let text = imported(
        System::Flexgate,
        &[json!([{"id": "a", "url": "https://a.example/?${HOME}", "events": ["*"], "secret": "${SECRET}-long-enough"}])],
    );
    assert!(text.contains("secret = \"$${SECRET}-long-enough\"") && text.contains("$${HOME}"), "{text}");
    loads(&text);
}

#[test]
fn what_the_api_hides_is_left_to_be_filled_in() {
    let row = json!({
        "id": "ops-slack", "origin": "api", "created_at": "x", "status": "enabled", "url": "https://hooks.slack.com/services/…3f2a",
        "events": ["a.*"], "filter": null, "transform": [{"use": "pagerduty", "options": {"routing_key": "…CDEF", "class": "x"}}],
        "headers": {"x-api-key": "…9b1c"}, "retry": {"max_retries": 5, "jitter": 0.2}, "disable_after": null, "batch": null, "metadata": {},
        "timeout": "5s", "concurrency": 20,
        "secret_preview": "whsec_…3f2a", "description": "and so on…",
    });
    let webhook = export::of_api(row.as_object().unwrap().clone(), &export::Defaults::own().unwrap());
    assert_eq!(
        webhook.render(),
        r#"# headers_x-api-key: set OPS_SLACK_HEADERS_X_API_KEY (it is …9b1c)
# transform_1_options_routing_key: set OPS_SLACK_TRANSFORM_1_OPTIONS_ROUTING_KEY (it is …CDEF)
# url: set OPS_SLACK_URL (it is https://hooks.slack.com/services/…3f2a)
# secret: set OPS_SLACK_SECRET (it is whsec_…3f2a)
[webhooks.ops-slack]
description = "and so on…"
url = "${OPS_SLACK_URL}"
events = ["a.*"]
transform = [{ use = "pagerduty", options = { class = "x", routing_key = "${OPS_SLACK_TRANSFORM_1_OPTIONS_ROUTING_KEY}" } }]
secret = "${OPS_SLACK_SECRET}"
headers = { x-api-key = "${OPS_SLACK_HEADERS_X_API_KEY}" }
retry = { max_retries = 5 }
concurrency = 20
disable_after = false
"#
    );
}

#[test]
fn a_page_without_the_others_is_refused_unless_it_is_wanted_so() {
    let svix = |done: bool, id: &str| json!({"data": [{"id": id, "url": format!("https://{id}.example/")}], "iterator": "ep_9", "done": done});
    let error = convert(System::Svix, &[svix(false, "ep_1")], false).err().unwrap().to_string();
    assert!(error.contains("`done` is false (iterator: ep_9)") && error.contains("--partial"), "{error}");
    let Imported { webhooks, notes } = convert(System::Svix, &[svix(false, "ep_1")], true).unwrap();
    assert!(render(&notes, &webhooks).starts_with("# webhooks of the pages that were not given are missing: `done` is false"));
    assert_eq!(convert(System::Svix, &[svix(false, "ep_1"), svix(true, "ep_2")], false).unwrap().webhooks.len(), 2);
    let endpoints =
        json!({"data": {"content": [{"uid": "1", "url": "https://a.example/"}], "pagination": {"has_next_page": true}}});
    let subscriptions = json!({"data": {"content": [{"uid": "s", "endpoint_id": "1"}], "pagination": {"has_next_page": false}}});
    let error = convert(System::Convoy, &[endpoints, subscriptions], false).err().unwrap().to_string();
    assert!(error.starts_with("endpoints are missing, `has_next_page` is true"), "{error}");
}

#[test]
fn nothing_of_an_export_is_dropped_without_a_note() {
    let endpoint = json!({"uid": "1", "name": "shop", "url": "https://a.example/", "owner_id": "acme", "support_email": "a@a.example",
        "slack_webhook_url": "https://hooks.example/T0/SECRET", "content_type": "application/x-www-form-urlencoded", "created_at": "2024",
        "mtls_client_cert": {"client_key": "PEM"}});
    let subscription = json!({"uid": "s", "name": "shop-orders", "endpoint_id": "1", "function": "function transform(p) { return p; }",
        "source_metadata": {"uid": "src"}, "rate_limit_config": {"count": 3, "duration": 60},
        "filter_config": {"event_types": ["*"], "filter": {"body": {"event.type": "created", "venues.$.lat": {"$gte": 9}}, "query": {"a": 1}}},
        "retry_config": {"type": "linear", "duration": 20, "retry_count": 2, "interval_seconds": 7}});
    let text = imported(System::Convoy, &[json!({"endpoints": [endpoint], "subscriptions": [subscription]})]);
    for part in [
        "# left out: owner_id = \"acme\"",
        "# left out: support_email = \"a@a.example\"",
        "# left out: slack_webhook_url has no counterpart",
        "# left out: content_type = \"application/x-www-form-urlencoded\"",
        "# left out: mtls_client_cert has",
        "# left out: source_metadata has",
        "# left out: rate_limit_config has",
        "# left out: retry_config.interval_seconds = 7",
        "# disabled: its `function` is code",
        "# disabled: its filter on query was left out",
        "# positions in lists",
        "enabled = false\n",
        "filter = { data = { event = { type = \"created\" }, venues = { lat = { \"$gte\" = 9 } } } }\n",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert!(!text.contains("SECRET") && !text.contains("PEM") && !text.contains("2024"), "{text}");
    loads(&text);
    let row = json!([{"id": "a", "url": "https://a.example/", "events": ["*"], "batchSize": 10, "retryConfig": {"maxRetries": 3, "maxDelay": 9}}]);
    let text = imported(System::Flexgate, &[row]);
    assert!(text.contains("# left out: batchSize = 10") && text.contains("# left out: retryConfig.maxDelay = 9"), "{text}");
}

#[test]
fn subscriptions_without_their_endpoint_are_counted() {
    let lists = json!({"endpoints": [{"uid": "1", "url": "https://a.example/"}], "subscriptions": [{"endpoint_id": "2", "filter_config": {}}]});
    let Imported { webhooks, notes } = convert(System::Convoy, &[lists], false).unwrap();
    assert_eq!(notes, ["1 subscriptions were left out: their endpoints are not in the export"]);
    assert_eq!(webhooks[0].keys["enabled"], false, "there it received nothing");
}
