//! Webhooks of the API: the same judgement as of config.toml, with JSON pointers for places.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::config::{FieldProblem, Judge, Judged, Loaded, Origin, load_str};
use crate::model::{Timestamp, WebhookId};

fn loaded(text: &str) -> Loaded {
    load_str(text, &BTreeMap::new(), &|_| None).unwrap()
}

fn judge(config: &str, body: Value) -> Result<Judged, Vec<FieldProblem>> {
    let Value::Object(body) = body else { panic!("an object") };
    let id = WebhookId::parse("ops").unwrap();
    loaded(config).api_webhook(&id, &body, (Timestamp::from_millis(1), Timestamp::from_millis(2)), Judge::New)
}

fn problems(body: Value) -> Vec<(String, String)> {
    judge("", body).unwrap_err().into_iter().map(|problem| (problem.field, problem.message)).collect()
}

#[test]
fn what_opens_addresses_or_reads_files_is_for_the_file_alone() {
    let body = json!({
        "url": "https://example.com/hook", "events": ["*"], "network": {"allow": ["10.0.0.0/8"]},
        "tls": {"ca_file": "/etc/shadow"},
    });
    let told = problems(body);
    let fields: Vec<&str> = told.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["/network", "/tls"]);
    assert!(told.iter().all(|(_, message)| message.contains("only be set in config.toml")), "{told:?}");
}

#[test]
fn the_keys_of_the_file_work_and_mean_the_same() {
    let body = json!({
        "url": "https://example.com/hook", "events": ["order.*"], "filter": {"data": {"amount": {"$gt": 0.5}, "ü": "ö"}},
        "transform": {"use": "slack", "options": {"channel": "#ops"}}, "signature": ["standard", "github"],
        "headers": {"X-Api-Key": "k"}, "enabled": true, "description": "O\"ps\n2", "tenant": "acme",
        "retry": {"schedule": ["15s", "2m"]}, "retry_on": ["network", "5xx"], "success": ["2xx"], "timeout": "3s",
        "connect_timeout": "1s", "concurrency": 3, "metadata": {"team": "sre", "level": 2}, "secret": null,
    });
    let judged = judge("", body).unwrap().settings;
    let text = r##"
        [webhooks.ops]
        url = "https://example.com/hook"
        events = ["order.*"]
        filter = { data = { amount = { "$gt" = 0.5 }, "ü" = "ö" } }
        transform = { use = "slack", options = { channel = "#ops" } }
        signature = ["standard", "github"]
        headers = { X-Api-Key = "k" }
        enabled = true
        description = "O\"ps\n2"
        tenant = "acme"
        retry = { schedule = ["15s", "2m"] }
        retry_on = ["network", "5xx"]
        success = ["2xx"]
        timeout = "3s"
        connect_timeout = "1s"
        concurrency = 3
        metadata = { team = "sre", level = 2 }
    "##;
    let mut declared = (*loaded(text).settings.webhooks[&judged.id]).clone();
    assert_eq!(
        judged.origin,
        Origin::Api { created: Timestamp::from_millis(1), updated: Timestamp::from_millis(2), suspended: None }
    );
    (declared.place, declared.transform_places) = (judged.place.clone(), judged.transform_places.clone());
    declared.origin = judged.origin.clone();
    assert_eq!(judged, declared);
}

#[test]
fn problems_are_those_of_the_file_at_the_fields_of_the_body() {
    let found = problems(json!({
        "url": "http://example.com", "evnts": ["a"], "retry": {"max_retries": -1}, "timeout": 5, "headers": {"Host": "x"},
        "events": ["order.created", "a..b"], "filter": {"data": {"x": {"$gtt": 1}}},
    }));
    let at = |field: &str| -> &str {
        let found = found.iter().find(|(at, _)| at == field);
        found.map_or_else(|| panic!("nothing at {field} in {found:?}"), |(_, message)| message)
    };
    assert_eq!(at("/evnts"), "unknown key `evnts`, did you mean `events`?");
    assert!(at("/url").contains("`url` is refused"), "{}", at("/url"));
    assert!(at("/retry/max_retries").contains("max_retries"));
    assert!(at("/timeout").contains("a duration such as \"5s\""));
    assert!(at("/events/1").contains("empty segment"));
    assert!(at("/filter/data/x/$gtt").contains("$gtt"));
    assert!(found.iter().any(|(at, _)| at.starts_with("/headers")));
}

#[test]
fn what_is_missing_is_said_of_the_whole() {
    assert_eq!(problems(json!({"events": ["*"]})), [(String::new(), "the webhook `ops` has no `url`".to_owned())]);
}

#[test]
fn null_stands_for_the_default_and_nowhere_else() {
    assert!(judge("", json!({"url": "https://example.com", "events": ["*"], "timeout": null})).is_ok());
    let found = problems(json!({"url": "https://example.com", "events": ["*"], "metadata": {"a": [null]}}));
    assert_eq!(found[0].0, "/metadata/a/0");
}

#[test]
fn the_environment_is_not_for_clients() {
    let body = json!({"url": "https://example.com", "events": ["*"], "description": "${HOME} ${file:/etc/passwd}"});
    assert_eq!(judge("", body).unwrap().settings.description.as_deref(), Some("${HOME} ${file:/etc/passwd}"));
}

#[test]
fn defaults_of_the_file_hold_for_the_api_too() {
    let judged = judge("[defaults]\nconcurrency = 7", json!({"url": "https://example.com", "events": ["*"]})).unwrap();
    assert_eq!(judged.settings.concurrency, 7);
}

/// The author of `[defaults]` means their own endpoints: a tenant's own is somebody else's.
#[test]
fn a_tenants_webhook_inherits_no_credentials_and_addresses() {
    let config = "[network]\nallow = []\n[defaults]\ntimeout = \"9s\"\nheaders = { X-Gateway-Key = \"operator\", X-Team = \"sre\" }\n\
                  network = { allow = [\"10.0.0.0/8\"] }\ntls = { server_name = \"inner.example\" }\n";
    let body = |tenant: Option<&str>| json!({"url": "https://example.com/hook", "events": ["*"], "tenant": tenant});
    let operators = judge(config, body(None)).unwrap().settings;
    let names: Vec<&str> = operators.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-gateway-key", "x-team"]);
    assert!(!operators.egress.allow.is_empty() && operators.egress.tls.server_name.is_some());
    let tenants = judge(config, body(Some("acme"))).unwrap().settings;
    assert!(tenants.headers.is_empty(), "{:?}", tenants.headers);
    assert_eq!((tenants.egress.allow.len(), &tenants.egress.tls.server_name), (0, &None));
    assert_eq!(tenants.timeout, std::time::Duration::from_secs(9), "what is no secret holds for it too");
    // Its address is judged without what the defaults open.
    let inner = json!({"url": "https://10.0.0.7/hook", "events": ["*"], "tenant": "acme"});
    let problems = judge(config, inner).unwrap_err();
    assert!(problems.iter().any(|problem| problem.field == "/url" && problem.message.contains("10.0.0.7")), "{problems:?}");
}

#[test]
fn what_is_not_valid_any_more_is_suspended() {
    let loaded = loaded("");
    let Value::Object(body) = json!({"url": "http://10.0.0.1/x", "events": ["*"], "gone_key": 1}) else { panic!() };
    let id = WebhookId::parse("ops").unwrap();
    let judged = loaded.suspended(&id, &body, (Timestamp::default(), Timestamp::default())).unwrap();
    assert!(!judged.settings.enabled);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn metadata_comes_through_as_it_went_in(value in any_json()) {
        fn has_null(value: &Value) -> bool {
            match value {
                Value::Null => true,
                Value::Array(items) => items.iter().any(has_null),
                Value::Object(fields) => fields.values().any(has_null),
                Value::Number(number) => number.is_u64() && number.as_i64().is_none(),
                _ => false,
            }
        }
        let mut metadata = Map::new();
        metadata.insert("x".to_owned(), value.clone());
        match judge("", json!({"url": "https://example.com", "events": ["*"], "metadata": metadata})) {
            Ok(judged) => prop_assert_eq!(&judged.settings.metadata["x"], &value),
            Err(problems) => prop_assert!(has_null(&value), "{problems:?}"),
        }
    }
}
