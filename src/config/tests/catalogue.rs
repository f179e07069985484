//! `catalogue`: presets of event types, what they hold, and that docs/event-types.md says the same.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{env, expect, lines, load, load_files, load_str, one, problems};
use crate::config::{EventTypeSettings, Loaded, PRESETS, Preset};
use crate::model::EventType;

fn declared<'l>(loaded: &'l Loaded, kind: &str) -> &'l EventTypeSettings {
    &loaded.settings.event_types[&EventType::parse(kind).unwrap()]
}

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.settings.event_types.keys().map(EventType::as_str).collect()
}

#[test]
fn every_preset_declares_its_types() {
    for (preset, types) in [
        (
            "gateway",
            "circuit_breaker.closed circuit_breaker.half_open circuit_breaker.opened health.check_failed health.check_recovered \
             proxy.request_completed proxy.request_failed proxy.request_started rate_limit.approaching rate_limit.exceeded",
        ),
        ("traffic", "rate.limit.exceeded route.matched upstream.timeout"),
        ("errors", "circuit.broken route.error service.5xx tls.handshake.fail"),
        ("config", "policy.updated route.created secret.rotated"),
        ("system", "system.error system.shutdown system.startup"),
        ("data", "data.created data.deleted data.updated"),
        ("process", "process.completed process.failed process.started"),
        ("monitoring", "alert.triggered health.check metric.threshold"),
    ] {
        let loaded = load(&format!("catalogue = [\"{preset}\"]"));
        assert_eq!(names(&loaded).join(" "), types, "{preset}");
        assert!(loaded.settings.event_types.values().all(|one| one.preset == Some(preset) && one.description.is_some()));
    }
    assert_eq!(PRESETS.len(), 8, "each is in the table above");
}

#[test]
fn all_presets_stand_beside_each_other_and_none_is_reserved() {
    let all: Vec<String> = PRESETS.iter().map(|preset| format!("\"{}\"", preset.name)).collect();
    let loaded = load(&format!("catalogue = [{}]", all.join(", ")));
    let types: Vec<&str> = PRESETS.iter().flat_map(|preset| preset.types).map(|one| one.name).collect();
    assert_eq!(types.iter().collect::<BTreeSet<_>>().len(), types.len(), "no two presets declare the same type");
    assert_eq!(loaded.settings.event_types.len(), types.len());
    assert!(
        loaded.settings.event_types.keys().all(|kind| !kind.is_reserved()),
        "the one who declares it must be able to publish it"
    );
}

/// The payloads as the documents of the systems have them.
#[test]
fn what_the_documents_show_is_taken() {
    let loaded = load("catalogue = [\"gateway\", \"errors\", \"data\"]");
    for (kind, data) in [
        (
            "circuit_breaker.opened",
            r#"{"routeId":"api-service","errorRate":0.75,"threshold":0.5,"failureCount":15,"state":"open"}"#,
        ),
        ("circuit_breaker.opened", "{}"),
        (
            "route.error",
            r#"{"request_id":"req_7h3k9m2p","path":"/api/v2/inventory","status_code":503,"upstream_service":"stock-manager","latency_ms":2450}"#,
        ),
        ("data.created", r#"{"id":"123","name":"Test Item"}"#),
        ("data.created", r#"{"id":7}"#),
    ] {
        let schema = declared(&loaded, kind).schema.as_ref().unwrap();
        assert_eq!(schema.problems(data.as_bytes()), [], "{kind} {data}");
    }
}

#[test]
fn what_nobody_can_mean_is_refused() {
    let loaded = load("catalogue = [\"gateway\", \"errors\", \"data\"]");
    for (kind, data, place) in [
        ("circuit_breaker.opened", r#"{"errorRate":"75%"}"#, "/errorRate"),
        ("circuit_breaker.opened", "null", ""),
        ("route.error", r#"{"status_code":5030}"#, "/status_code"),
        ("data.created", r#"{"id":null}"#, "/id"),
    ] {
        let problems = declared(&loaded, kind).schema.as_ref().unwrap().problems(data.as_bytes());
        assert_eq!(problems.iter().map(|(place, _)| place.as_str()).collect::<Vec<_>>(), [place], "{kind} {data}");
    }
}

#[test]
fn what_the_file_declares_itself_replaces_a_preset_s() {
    let loaded = load(
        "catalogue = [\"data\"]\n[event_types.\"data.created\"]\ndescription = \"Ours\"\n[event_types.\"data.moved\"]\n\
         description = \"Another\"",
    );
    assert_eq!(names(&loaded), ["data.created", "data.deleted", "data.moved", "data.updated"]);
    let ours = declared(&loaded, "data.created");
    assert_eq!((ours.description.as_deref(), ours.preset), (Some("Ours"), None));
    assert!(ours.schema.is_none(), "whole, the preset's schema included");
    assert_eq!(declared(&loaded, "data.updated").preset, Some("data"));
    let included = load_files(
        "catalogue = [\"data\"]\ninclude = \"types.toml\"",
        &[("types.toml", "[event_types.\"data.created\"]\ndescription = \"Elsewhere\"")],
    );
    assert_eq!(declared(&included.unwrap(), "data.created").description.as_deref(), Some("Elsewhere"));
}

#[test]
fn a_catalogue_that_cannot_be_read_is_refused_with_the_list() {
    const LIST: &str = "there are `gateway`, `traffic`, `errors`, `config`, `system`, `data`, `process` and `monitoring`";
    let cases = [
        ("catalogue = [\"gatway\"]", format!("1:14 unknown preset `gatway` | did you mean \"gateway\"? {LIST}")),
        ("catalogue = [\"gateway\", \"Datas\"]", format!("1:25 unknown preset `Datas` | did you mean \"data\"? {LIST}")),
        ("catalogue = [\"slack\"]", format!("1:14 unknown preset `slack` | {LIST}")),
        (
            "catalogue = \"gateway\"",
            "1:13 `catalogue` must be a list such as [\"gateway\"], found a string | put it in brackets: catalogue = [\"…\"]"
                .into(),
        ),
        (
            "catalogue = [1]",
            "1:14 `catalogue[]` must be a string such as \"gateway\", found the number 1 | write it in quotes: \"1\"".into(),
        ),
        ("catalog = [\"data\"]", "1:1 unknown key `catalog`, did you mean `catalogue`?".into()),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(text, message)| (*text, message.as_str())).collect();
    expect(&cases);
    // All of them at once, as everywhere.
    assert_eq!(lines(&problems("catalogue = [\"a\", \"b\"]")).len(), 2);
    let hidden = one("catalogue = [\"${WORD}\"]");
    assert!(!hidden.contains("environmental"), "{hidden}");
}

#[test]
fn a_key_of_the_top_level_below_a_header_is_led_back() {
    expect(&[
        (
            "[event_types.\"a.b\"]\ndescription = \"x\"\ncatalogue = [\"data\"]",
            "3:1 `catalogue` is in an event type, but belongs to the top level | write it above the first [table] of the file",
        ),
        (
            "[server]\ninclude = \"a.toml\"",
            "2:1 `include` is in [server], but belongs to the top level | write it above the first [table] of the file",
        ),
    ]);
}

#[test]
fn a_preset_listed_twice_is_a_warning_and_may_come_from_a_variable() {
    let loaded = load("catalogue = [\"data\", \"data\"]");
    assert_eq!(
        loaded.warnings.iter().map(|warning| warning.message.as_str()).collect::<Vec<_>>(),
        ["the preset `data` is listed twice"]
    );
    let from_env = load_str("catalogue = [\"${PRESET:-data}\"]", &std::collections::BTreeMap::new(), &env).unwrap();
    assert_eq!(from_env.settings.event_types.len(), 3);
}

/// docs/event-types.md as it is to be, from the code.
fn section(preset: &Preset) -> String {
    let mut text =
        format!("## `{}`\n\n{}.\n\n| type | when | `data` is checked for |\n|---|---|---|\n", preset.name, preset.summary);
    for one in preset.types {
        let schema: Option<Value> = one.schema.map(|text| serde_json::from_str(text).unwrap());
        let fields = schema.as_ref().and_then(|schema| schema["properties"].as_object()).into_iter().flatten();
        let fields: Vec<String> = fields.map(|(name, field)| format!("`{name}`: {}", words(field))).collect();
        text.push_str(&format!("| `{}` | {} | {} |\n", one.name, one.description, fields.join("; ")));
    }
    text
}

fn words(field: &Value) -> String {
    let kind = match &field["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        kind => kind.as_str().unwrap_or("anything").to_owned(),
    };
    match (field["minimum"].as_i64(), field["maximum"].as_i64()) {
        (Some(from), Some(to)) => format!("{kind}, {from} to {to}"),
        (Some(from), None) => format!("{kind}, at least {from}"),
        _ => kind,
    }
}

#[test]
fn the_documentation_has_every_preset_and_no_other() {
    let page = include_str!("../../../docs/event-types.md");
    let missing: Vec<String> = PRESETS.iter().map(section).filter(|section| !page.contains(section.as_str())).collect();
    assert!(missing.is_empty(), "docs/event-types.md should have\n\n{}", missing.join("\n"));
    assert_eq!(page.matches("\n## `").count(), PRESETS.len());
}

#[test]
fn editors_are_told_the_presets() {
    let schema = crate::config::schema();
    let choices = schema["properties"]["catalogue"]["items"]["anyOf"].as_array().unwrap();
    let offered: Vec<&str> = choices.iter().filter_map(|choice| choice["const"].as_str()).collect();
    assert_eq!(offered, PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>());
}
