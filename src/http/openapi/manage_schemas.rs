//! Bodies and answers of management: see [`super::schemas`].
#![expect(dead_code, reason = "read by the macro alone, which makes their description of them")]

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::schemas::{LogLine, Origin, Status};
use crate::http::shapes::{AttemptShape, DeliveryShape};

/// The keys of config.toml (their schemas are added from the registry of keys); `url` and `events` are required.
#[derive(ToSchema)]
#[schema(example = json!({"id": "ops", "url": "https://example.com/hook", "events": ["circuit_breaker.*"],
    "retry": {"schedule": ["15s", "2m"]}}))]
pub(super) struct WebhookInput {
    /// Made when absent.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,100}$")]
    id: Option<String>,
    /// Only judge it.
    dry_run: Option<bool>,
}

/// Any of the keys (added from the registry of keys); `null` takes one away.
#[derive(ToSchema)]
#[schema(example = json!({"description": "Ops channel", "timeout": "3s"}))]
pub(super) struct WebhookPatch {}

/// A webhook, with its secret.
#[derive(ToSchema)]
#[schema(example = json!({"id": "ops", "url": "https://example.com/hook", "events": ["circuit_breaker.*"], "origin": "api",
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "secret_preview": "whsec_…LaSw", "status": "enabled"}))]
pub(super) struct Created {
    id: String,
    url: String,
    events: Vec<String>,
    origin: Origin,
    /// Shown this one time; null when nothing is signed.
    #[schema(required)]
    secret: Option<String>,
    #[schema(required)]
    secret_preview: Option<String>,
    status: Status,
}

#[derive(ToSchema)]
#[schema(example = json!({"data": [{"id": "ops-slack", "url": "https://hooks.slack.com/services/…3f2a", "status": "enabled",
    "origin": "config", "failing": false, "pending": 0, "retrying": 0, "held": 0, "succeeded": 2, "failed": 1, "cancelled": 0,
    "skipped": 0, "attempts": 6, "attempts_failed": 4, "transform_failures": 0, "failures_24h": {"status": 4}, "causes_24h": {"HTTP 503": 3, "HTTP 500": 1},
    "duration_ms": {"p50": 12.5, "p99": 48.8},
    "last_failure": {"at": "2026-01-28T10:30:45.000Z", "class": "status", "status": 503, "error": "status 503"}, "next_due": null}],
    "next": null, "totals": {"webhooks": 1, "failing": 0}}))]
pub(super) struct Statuses {
    data: Vec<StatusRow>,
    #[schema(required)]
    next: Option<String>,
    totals: BTreeMap<String, Value>,
}

#[derive(ToSchema)]
pub(super) struct Percentiles {
    #[schema(required)]
    p50: Option<f64>,
    #[schema(required)]
    p99: Option<f64>,
}

#[derive(ToSchema)]
pub(super) struct StatusRow {
    id: String,
    url: String,
    status: Status,
    origin: Origin,
    failing: bool,
    pending: u64,
    retrying: u64,
    held: u64,
    succeeded: u64,
    failed: u64,
    cancelled: u64,
    /// Dropped by a transformer.
    skipped: u64,
    attempts: u64,
    attempts_failed: u64,
    transform_failures: u64,
    /// By error class.
    failures_24h: BTreeMap<String, u64>,
    /// As `failures_24h`, but responses separated by status: `HTTP 503`.
    causes_24h: BTreeMap<String, u64>,
    /// Of the attempts of the last 24 hours.
    duration_ms: Percentiles,
    #[schema(required)]
    last_failure: Option<BTreeMap<String, Value>>,
    #[schema(required, format = DateTime)]
    next_due: Option<String>,
}

/// All of it is optional, and so is the body.
#[derive(ToSchema)]
#[schema(example = json!({"type": "circuit_breaker.opened", "data": {"route": "/users"}}))]
pub(super) struct TestWanted {
    r#type: Option<String>,
    data: Option<Value>,
    metadata: Option<BTreeMap<String, Value>>,
}

#[derive(ToSchema)]
#[schema(example = json!({"webhook": "ops-slack", "event_id": "evt_0197f1c2a3b47c5d8e9f0a1b2c3d4e5f", "event_type": "test.event",
    "delivery_id": "dlv_0197f1c2a3b47c5d8000000000000001", "would_match": true, "unmatched_reason": null, "attempt": null,
    "delivery": null, "detail": "it waits behind others of this webhook: read the delivery later"}))]
pub(super) struct Tested {
    webhook: String,
    event_id: String,
    event_type: String,
    delivery_id: String,
    /// Whether pattern and filter would have let it through.
    would_match: bool,
    #[schema(required)]
    unmatched_reason: Option<String>,
    #[schema(required)]
    attempt: Option<AttemptShape>,
    #[schema(required)]
    delivery: Option<DeliveryShape>,
    detail: Option<String>,
}

#[derive(ToSchema)]
#[schema(example = json!({"since": "2026-01-28T00:00:00Z", "state": "failed", "dry_run": true}))]
pub(super) struct ReplayWanted {
    #[schema(format = DateTime)]
    since: String,
    #[schema(format = DateTime)]
    until: Option<String>,
    /// `succeeded`, `failed`, `cancelled`, `dropped`, or a list of these; all of them when absent.
    state: Option<Value>,
    /// Patterns.
    event_types: Option<Vec<String>>,
    /// Made again, by the current transformers.
    retransform: Option<bool>,
    dry_run: Option<bool>,
}

#[derive(ToSchema)]
#[schema(example = json!({"dry_run": true, "matching": 12, "complete": true, "sample": []}))]
pub(super) struct Replayed {
    dry_run: bool,
    matching: u64,
    /// Whether all could be counted in time.
    complete: bool,
    sample: Vec<DeliveryShape>,
}

/// Either `tenant` or `metadata`.
#[derive(ToSchema)]
#[schema(example = json!({"metadata": {"user_id": "u-1"}, "dry_run": true}))]
pub(super) struct EraseWanted {
    tenant: Option<String>,
    /// One key with its value.
    metadata: Option<BTreeMap<String, Value>>,
    dry_run: Option<bool>,
}

#[derive(ToSchema)]
#[schema(example = json!({"dry_run": true, "matching": 12, "complete": true, "webhooks": 1}))]
pub(super) struct Erased {
    dry_run: bool,
    matching: u64,
    complete: bool,
    /// Of the tenant, made over the API: they go too, with their secrets.
    webhooks: u64,
}

#[derive(ToSchema)]
#[schema(example = json!({"id": "job_1", "kind": "replay", "state": "running", "reason": null, "created_by": "admin",
    "created_at": "2026-01-28T10:30:45.000Z", "updated_at": "2026-01-28T10:30:46.000Z", "ended_at": null,
    "progress": {"done": 150, "total": 1200}, "webhook": "ops-slack"}))]
pub(super) struct Job {
    id: String,
    kind: JobKind,
    state: JobState,
    #[schema(required)]
    reason: Option<String>,
    created_by: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    #[schema(required, format = DateTime)]
    ended_at: Option<String>,
    progress: Progress,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum JobKind {
    Replay,
    Erase,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case", example = "running")]
pub(crate) enum JobState {
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

#[derive(ToSchema)]
pub(super) struct Progress {
    done: u64,
    /// Null when counting would have taken too long.
    #[schema(required)]
    total: Option<u64>,
}

#[derive(ToSchema)]
#[schema(example = json!({"type": "order.created", "declared": true, "description": "An order was placed", "schema": null,
    "preset": null, "events": 12, "first_seen_at": "2026-01-28T10:30:45.000Z", "last_seen_at": "2026-01-28T10:30:45.000Z"}))]
pub(super) struct EventType {
    r#type: String,
    declared: bool,
    #[schema(required)]
    description: Option<String>,
    /// A JSON Schema, or null.
    schema: Value,
    /// The preset of `catalogue` that declares it.
    #[schema(required)]
    preset: Option<String>,
    events: u64,
    #[schema(required, format = DateTime)]
    first_seen_at: Option<String>,
    #[schema(required, format = DateTime)]
    last_seen_at: Option<String>,
}

#[derive(ToSchema)]
#[schema(example = json!({"id": "aud_7", "at": "2026-01-28T10:30:45.000Z", "token": "admin", "peer": "127.0.0.1",
    "request_id": "req_0197f1c2a3b47c5d8e9f0a1b2c3d4e5f", "method": "POST", "path": "/v1/webhooks", "action": "POST /v1/webhooks",
    "status": 201, "detail": null}))]
pub(super) struct AuditEntry {
    id: String,
    #[schema(format = DateTime)]
    at: String,
    token: String,
    peer: Option<String>,
    request_id: String,
    method: String,
    path: String,
    action: String,
    status: u16,
    /// Why it was refused.
    detail: Option<String>,
}

/// `event` as it is published.
#[derive(ToSchema)]
#[schema(example = json!({"event": {"type": "circuit_breaker.opened", "data": {"route": "/users"}}, "options": {}}))]
pub(super) struct RunWanted {
    event: super::schemas::NewEvent,
    options: Option<BTreeMap<String, Value>>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RunOutcome {
    Request,
    Event,
    Events,
    Drop,
    Error,
}

#[derive(ToSchema)]
#[schema(example = json!({"transformer": "slack", "outcome": "request", "request": {"method": "POST", "url": null, "headers": {},
    "body": "{\"text\":\"circuit_breaker.opened\"}"}, "duration_ms": 0.412, "log": []}))]
pub(super) struct Ran {
    transformer: String,
    outcome: RunOutcome,
    request: Option<BTreeMap<String, Value>>,
    event: Option<BTreeMap<String, Value>>,
    events: Option<Vec<Value>>,
    reason: Option<String>,
    error: Option<String>,
    duration_ms: f64,
    log: Vec<LogLine>,
}

macro_rules! lists {
    ($($list:ident of $row:ty;)*) => {$(
        #[derive(ToSchema)]
        pub(super) struct $list {
            data: Vec<$row>,
            /// `cursor` of the next page; null at the end.
            #[schema(required)]
            next: Option<String>,
        }
    )*};
}
lists! {
    Jobs of Job;
    EventTypes of EventType;
    AuditLog of AuditEntry;
}
