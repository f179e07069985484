//! Answers and bodies that are no types of their own elsewhere: what is made as JSON is described here, and a live
//! server is held against it.
#![expect(dead_code, reason = "read by the macro alone, which makes their description of them")]

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// RFC 9457. What else there is depends on the problem.
#[derive(ToSchema)]
#[schema(example = json!({"type": "urn:tenterhook:problem:not-found", "title": "There is no such thing", "status": 404,
    "detail": "there is no event `nope`", "request_id": "req_0197f1c2a3b47c5d8e9f0a1b2c3d4e5f"}))]
pub(super) struct Problem {
    r#type: String,
    title: String,
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong, and how to fix it.
    detail: String,
    request_id: Option<String>,
    /// Everything that is wrong, where there can be several things.
    errors: Option<Vec<Value>>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case", example = "succeeded")]
pub(crate) enum State {
    Pending,
    Retrying,
    Held,
    Succeeded,
    Failed,
    Cancelled,
    Dropped,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case", example = "succeeded")]
pub(crate) enum Outcome {
    Succeeded,
    Failed,
    Dropped,
}

/// Why it was made: by schedule, manually, or by a replay.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case", example = "scheduled")]
pub(crate) enum Trigger {
    Scheduled,
    Manual,
    Replay,
}

/// What a transformer had to say.
#[derive(ToSchema)]
#[schema(example = json!({"level": "warn", "message": "no severity in the event"}))]
pub(crate) struct LogLine {
    level: String,
    message: String,
}

/// An event to be published.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"type": "circuit_breaker.opened", "data": {"route": "/users", "errorRate": 0.62}}))]
pub(super) struct NewEvent {
    /// Made when absent. The same id with the same content again is answered as the first time.
    #[schema(pattern = "^[A-Za-z0-9_:/~=+@-]{1,128}$")]
    id: Option<String>,
    /// Dotted segments; `webhook.` and `tenterhook.` are reserved.
    #[schema(pattern = r"^[A-Za-z0-9_:/-]+(\.[A-Za-z0-9_:/-]+)*$", max_length = 200)]
    r#type: String,
    #[schema(format = DateTime)]
    timestamp: Option<String>,
    /// Any JSON; delivered byte for byte.
    data: Option<Value>,
    metadata: Option<BTreeMap<String, Value>>,
    #[schema(min_length = 1, max_length = 100)]
    tenant: Option<String>,
}

/// One event, or an array of them: all or nothing.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Publication {
    One(NewEvent),
    Several(Vec<NewEvent>),
}

#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "evt_0197f1c2a3b47c5d8e9f0a1b2c3d4e5f", "deliveries": 2}))]
pub(super) struct Accepted {
    id: String,
    /// How many webhooks get it.
    deliveries: u32,
    /// It was published before. Said of several; of one, the status says it.
    duplicate: Option<bool>,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum AcceptedAll {
    One(Accepted),
    Several(AcceptedList),
}

#[derive(Serialize, ToSchema)]
pub(super) struct AcceptedList {
    data: Vec<Accepted>,
}

#[derive(ToSchema)]
#[schema(example = json!({"id": "dlv_0197f1c2a3b47c5d8000000000000001", "state": "retrying"}))]
pub(super) struct DeliveryState {
    id: String,
    state: State,
}

/// The keys of config.toml, credentials masked (their schemas are added from the registry of keys), and its status.
#[derive(ToSchema)]
#[schema(example = json!({"id": "ops-slack", "url": "https://hooks.slack.com/services/…3f2a", "events": ["circuit_breaker.*"],
    "filter": null, "transform": [{"use": "slack", "options": {"channel": "#ops"}}], "signature": "standard", "headers": {},
    "enabled": true, "description": "Ops channel", "tenant": null, "retry": {"max_retries": 3, "initial_delay": "1s",
    "multiplier": 2.0, "max_delay": "1h", "jitter": 0.2}, "retry_on": ["network", "timeout", "408", "425", "429", "5xx"],
    "success": ["2xx"], "timeout": "5s", "connect_timeout": "2s", "concurrency": 10, "rate_limit": "50/s", "batch": null,
    "order_by": null, "breaker": null, "disable_after": "5d", "expire_after": null, "metadata": {}, "origin": "config",
    "file": "config.toml", "line": 12, "created_at": "2026-01-28T10:30:45.000Z", "updated_at": "2026-01-28T10:30:45.000Z",
    "secret_preview": "whsec_…3f2a", "status": "enabled"}))]
pub(super) struct Webhook {
    #[schema(pattern = "^[A-Za-z0-9_-]{1,100}$")]
    id: String,
    origin: Origin,
    /// Where config.toml declares it.
    file: Option<String>,
    line: Option<u32>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    #[schema(required)]
    secret_preview: Option<String>,
    status: Status,
    /// Switched off by an operator, by failures or by `410 Gone`: `by`, `reason`, `at`.
    disabled: Option<BTreeMap<String, Value>>,
    #[schema(format = DateTime)]
    failing_since: Option<String>,
    /// `since`, `probe_at`.
    breaker_open: Option<BTreeMap<String, Value>>,
    /// Why it is disabled although it was made enabled: it does not fit the configuration of now.
    suspended: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum Origin {
    Config,
    Api,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum Status {
    Enabled,
    Disabled,
    BreakerOpen,
}

#[derive(ToSchema)]
#[schema(example = json!({"id": "ops-slack", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}))]
pub(super) struct Secret {
    id: String,
    secret: String,
}

/// Optional, and so is the body.
#[derive(ToSchema)]
#[schema(example = json!({"retransform": true}))]
pub(super) struct Retry {
    retransform: Option<bool>,
}

/// Both are optional, and so is the body.
#[derive(ToSchema)]
#[schema(example = json!({"overlap": "24h"}))]
pub(super) struct Rotation {
    secret: Option<String>,
    /// How long the old one signs too; at most 30 days.
    #[schema(pattern = "^([0-9]+(ms|s|m|h|d))+$")]
    overlap: Option<String>,
}

/// A secret that signs until then, and no more.
#[derive(ToSchema)]
pub(super) struct Previous {
    secret_preview: String,
    #[schema(required, format = DateTime)]
    until: Option<String>,
}

#[derive(ToSchema)]
#[schema(example = json!({"id": "ops-slack", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "secret_preview": "whsec_…LaSw",
    "previous_until": "2026-01-29T10:30:45.000Z",
    "previous": [{"secret_preview": "whsec_…3f2a", "until": "2026-01-29T10:30:45.000Z"}]}))]
pub(super) struct Rotated {
    id: String,
    secret: String,
    secret_preview: String,
    #[schema(required, format = DateTime)]
    previous_until: Option<String>,
    /// Those that sign beside the new one, newest first, and how long; at most four. All others sign no more.
    previous: Vec<Previous>,
    /// Of a `whsk_` key.
    public_key: Option<String>,
}

/// Optional, and so is the body.
#[derive(ToSchema)]
#[schema(example = json!({"reason": "the receiver moves to another data centre"}))]
pub(super) struct Disabling {
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

#[derive(ToSchema)]
#[schema(example = json!({"deliveries": {"total": 3, "pending": 0, "retrying": 0, "held": 0, "succeeded": 2, "failed": 1,
    "cancelled": 0, "dropped": 0}, "attempts": 6, "attempts_failed": 4, "success_rate": 0.6667,
    "duration_ms": {"avg": 12.5, "p50": 10.1, "p99": 40.0}, "rates": {"attempts_per_second": 0.0001,
    "attempt_success_rate": 0.3333}, "backlog": 0, "oldest_pending_at": null, "next_due": null, "hours": []}))]
pub(super) struct Stats {
    /// By state, and `total`.
    deliveries: BTreeMap<String, u64>,
    attempts: u64,
    attempts_failed: u64,
    /// Of what ended, from 0 to 1.
    #[schema(required, minimum = 0, maximum = 1)]
    success_rate: Option<f64>,
    duration_ms: Durations,
    #[schema(required, format = DateTime)]
    next_due: Option<String>,
    /// Of the last 24 hours: `attempts_per_second`, `attempt_success_rate`.
    rates: BTreeMap<String, Value>,
    /// Deliveries that are not finished.
    backlog: u64,
    #[schema(required, format = DateTime)]
    oldest_pending_at: Option<String>,
    /// The last 24, oldest first.
    hours: Vec<Hour>,
    /// The webhook that it is about.
    webhook: Option<String>,
    status: Option<String>,
    /// By error class.
    failures_24h: Option<BTreeMap<String, u64>>,
    /// As `failures_24h`, but responses separated by status: `HTTP 503`.
    causes_24h: Option<BTreeMap<String, u64>>,
}

#[derive(ToSchema)]
pub(super) struct Durations {
    avg: Option<f64>,
    #[schema(required)]
    p50: Option<f64>,
    #[schema(required)]
    p99: Option<f64>,
}

#[derive(ToSchema)]
#[schema(example = json!({"start": "2026-01-28T10:00:00.000Z", "attempts": 6, "attempts_failed": 4, "succeeded": 2, "failed": 1,
    "dropped": 0, "duration_ms": {"p50": 10.1, "p99": 40.0}}))]
pub(super) struct Hour {
    #[schema(format = DateTime)]
    start: String,
    attempts: u64,
    attempts_failed: u64,
    succeeded: u64,
    failed: u64,
    dropped: u64,
    duration_ms: Durations,
}

#[derive(ToSchema)]
#[schema(example = json!({"name": "slack", "loaded": true, "error": null, "version": "0.1.0", "summary": "Slack messages",
    "options_schema": {"type": "object"}, "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "limits": {"memory_bytes": 67108864, "cpu_ms": 100.0, "output_bytes": 2097152}, "used_by": ["ops-slack"]}))]
pub(super) struct Transformer {
    name: String,
    /// One that is not has no more than its name and, when it is broken, the error.
    loaded: bool,
    #[schema(required)]
    error: Option<String>,
    version: Option<String>,
    summary: Option<String>,
    options_schema: Option<Value>,
    sha256: Option<String>,
    limits: Option<BTreeMap<String, f64>>,
    size_bytes: Option<u64>,
    wit_version: Option<String>,
    usage: Option<Usage>,
    used_by: Option<Vec<String>>,
}

/// Since the module was loaded.
#[derive(ToSchema)]
#[schema(example = json!({"calls": 120, "errors": 2, "p50_us": 27, "p99_us": 140}))]
pub(super) struct Usage {
    calls: u64,
    errors: u64,
    /// Microseconds of a call; null before the first.
    #[schema(required)]
    p50_us: Option<u64>,
    #[schema(required)]
    p99_us: Option<u64>,
}

#[derive(ToSchema)]
#[schema(example = json!({"status": "ready", "generation": 1}))]
pub(super) struct Health {
    status: String,
    generation: Option<u64>,
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
    EventList of crate::http::shapes::EventShape;
    DeliveryList of crate::http::shapes::DeliveryShape;
    WebhookList of Webhook;
    TransformerList of Transformer;
}
