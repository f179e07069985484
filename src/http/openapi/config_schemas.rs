//! As [`super::schemas`], of the configuration and what a refused file would change.
#![expect(dead_code, reason = "read by the macro alone, which makes their description of them")]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

#[derive(ToSchema)]
#[schema(example = json!({"fingerprint": "1b2c3d4e5f60718293a4b5c6d7e8f901", "generation": 3,
    "loaded_at": "2026-01-28T10:30:45.000Z", "webhooks": 2, "settings": {}, "at_next_start": [], "last_error": null}))]
pub(super) struct Configuration {
    fingerprint: String,
    generation: u64,
    #[schema(format = DateTime)]
    loaded_at: String,
    webhooks: u64,
    /// The tables of config.toml besides webhooks, without secrets.
    settings: BTreeMap<String, Value>,
    /// What the configuration says and the process, which started with another, cannot follow.
    at_next_start: Vec<NextStart>,
    /// Why the last reload was refused.
    #[schema(required)]
    last_error: Option<ConfigError>,
}

#[derive(ToSchema)]
#[schema(example = json!({"key": "server.listen", "running": "127.0.0.1:8080", "wanted": "0.0.0.0:8080"}))]
pub(super) struct NextStart {
    key: String,
    running: String,
    wanted: String,
}

#[derive(ToSchema)]
pub(super) struct ConfigError {
    message: String,
    #[schema(format = DateTime)]
    at: String,
    problems: Vec<ConfigProblem>,
}

#[derive(ToSchema)]
#[schema(example = json!({"file": "config.toml", "line": 3, "column": 1, "message": "unknown key `evnts`, did you mean `events`?"}))]
pub(super) struct ConfigProblem {
    file: String,
    line: u32,
    column: u32,
    message: String,
    help: Option<String>,
    /// The line underlined, as `tenterhook check` shows it, secrets hidden.
    rendered: Option<String>,
}

#[derive(ToSchema)]
#[schema(example = json!({"refused_at": "2026-01-28T10:30:45.000Z", "changes": {"webhooks": {"added": {}, "removed": [],
    "changed": {"ops": [{"key": "timeout", "before": "5s", "after": "10s", "hidden": false}]}, "unread": ["billing"]}, "tables": {},
    "only_unseen": false, "whole": true, "summary": {"added": 0, "changed": 1, "removed": 0, "unread": 1}}}))]
pub(super) struct RefusedChanges {
    #[schema(required, format = DateTime)]
    refused_at: Option<String>,
    #[schema(required)]
    changes: Option<PlannedChanges>,
}

#[derive(ToSchema)]
pub(super) struct PlannedChanges {
    /// `added` with their keys, `removed` with the number of deliveries that wait, `changed` key by key, and `unread`: those that have
    /// problems. At most 200 of each.
    webhooks: BTreeMap<String, Value>,
    /// By table, key by key.
    tables: BTreeMap<String, Value>,
    /// Nothing that can be shown differs: a comment, a hidden value, or a module.
    only_unseen: bool,
    /// Whether no file has syntax errors; then what is missing is removed, else it may not have been found.
    whole: bool,
    /// How many webhooks of each kind.
    summary: BTreeMap<String, u64>,
}

/// Optional, and so is the body.
#[derive(ToSchema)]
#[schema(example = json!({"force": true}))]
pub(super) struct Reloading {
    /// Accept a configuration without any table.
    #[schema(default = false)]
    force: Option<bool>,
}
