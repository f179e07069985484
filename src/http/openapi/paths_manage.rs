//! Management, described: webhooks made and changed, tests, jobs, event types, audit. See [`super::paths`].
#![expect(dead_code, reason = "read by the macro alone, which makes their description of them")]

use utoipa::OpenApi;

use super::config_schemas::{Configuration, RefusedChanges, Reloading};
use super::manage_schemas::{
    AuditLog, Created, EraseWanted, Erased, EventTypes, Job, Jobs, Ran, ReplayWanted, Replayed, RunWanted, Statuses, TestWanted,
    Tested, WebhookInput, WebhookPatch,
};
use super::params::{AuditWanted, JobsWanted, Span, StatusWanted, Window};
use super::schemas::{Transformer, Webhook};

#[derive(OpenApi)]
#[openapi(paths(
    create_webhook,
    replace_webhook,
    patch_webhook,
    delete_webhook,
    status,
    test,
    replay,
    erase,
    list_jobs,
    show_job,
    cancel_job,
    event_types,
    audit,
    show_transformer,
    run,
    config_changes,
    reload
))]
struct Paths;

pub(super) fn all() -> utoipa::openapi::OpenApi {
    Paths::openapi()
}

/// Create a webhook
///
/// It is live when this answers, and this answer shows the secret, the one time. Keys and values are those of config.toml.
#[utoipa::path(post, path = "/v1/webhooks", tag = "webhooks", request_body = WebhookInput,
    responses((status = 201, description = "Created. `Location` has its address.", body = Created)))]
fn create_webhook() {}

/// Replace a webhook, or make it
///
/// The secret stays unless the body brings one. Webhooks of config.toml are changed there: `409` names file and line.
#[utoipa::path(put, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id", example = "ops")), request_body = WebhookInput,
    responses((status = 200, description = "Replaced.", body = Webhook), (status = 201, description = "Made.", body = Created)))]
fn replace_webhook() {}

/// Change a webhook
///
/// A merge patch (RFC 7396): `null` takes a key away.
#[utoipa::path(patch, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id", example = "ops")),
    request_body(content = WebhookPatch, content_type = "application/json"),
    responses((status = 200, description = "Changed.", body = Webhook)))]
fn patch_webhook() {}

/// Delete a webhook
///
/// What waits for it is cancelled.
#[utoipa::path(delete, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id", example = "ops")),
    responses((status = 204, description = "Deleted.")))]
fn delete_webhook() {}

/// What needs attention
///
/// Every webhook with what waits, what was given up and why attempts failed.
#[utoipa::path(get, path = "/v1/webhooks/status", tag = "statistics", params(StatusWanted, Window),
    responses((status = 200, description = "In the order of their ids; `totals` are of all of them.", body = Statuses)))]
fn status() {}

/// Test a webhook
///
/// A sample event, sent now on the way that every event takes; not retried. `202` when it still waits, with why in
/// `detail`; `409` while the webhook is disabled.
#[utoipa::path(post, path = "/v1/webhooks/{id}/test", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id", example = "ops-slack")),
    request_body(content = Option<TestWanted>, content_type = "application/json"),
    responses((status = 200, description = "The attempt.", body = Tested), (status = 202, description = "It waits.", body = Tested)))]
fn test() {}

/// Deliver again
///
/// Deliveries of this webhook that have ended are due again, as a job. `dry_run` only counts them.
#[utoipa::path(post, path = "/v1/webhooks/{id}/replay", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id", example = "ops-slack")), request_body = ReplayWanted,
    responses((status = 200, description = "With `dry_run`: what it would be.", body = Replayed),
        (status = 202, description = "The job. `Location` has its address.", body = Job)))]
fn replay() {}

/// Erase events
///
/// Those of a tenant, or with a value in their metadata, with everything that was made of them, as a job. With a tenant's
/// events go its webhooks that were made over the API, and their secrets.
#[utoipa::path(post, path = "/v1/erase", tag = "operation", request_body = EraseWanted,
    responses((status = 200, description = "With `dry_run`: how many.", body = Erased),
        (status = 202, description = "The job. `Location` has its address.", body = Job)))]
fn erase() {}

/// List jobs
#[utoipa::path(get, path = "/v1/jobs", tag = "operation", params(JobsWanted, Window),
    responses((status = 200, description = "Newest first.", body = Jobs)))]
fn list_jobs() {}

/// A job
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "operation",
    params(("id" = String, Path, description = "The job's id", example = "job_1")),
    responses((status = 200, description = "How far it is.", body = Job)))]
fn show_job() {}

/// Cancel a job
///
/// What it has done stays done.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", tag = "operation",
    params(("id" = String, Path, description = "The job's id", example = "job_1")),
    responses((status = 200, description = "It is cancelled.", body = Job)))]
fn cancel_job() {}

/// Event types
///
/// Declared in `[event_types]` or by a preset of `catalogue`, or published; with counts.
#[utoipa::path(get, path = "/v1/event-types", tag = "events", params(Window),
    responses((status = 200, description = "In the order of their names.", body = EventTypes)))]
fn event_types() {}

/// The audit log
///
/// Scope `manage`. Every call that changes something, and every read of a secret, refused calls included.
#[utoipa::path(get, path = "/v1/audit", tag = "operation", params(AuditWanted, Span, Window),
    responses((status = 200, description = "Newest first.", body = AuditLog)))]
fn audit() {}

/// Run a transformer
///
/// What it makes of an event; nothing is stored or sent.
#[utoipa::path(post, path = "/v1/transformers/{name}/run", tag = "transformers",
    params(("name" = String, Path, description = "The transformer's name", example = "slack")), request_body = RunWanted,
    responses((status = 200, description = "What it made.", body = Ran)))]
fn run() {}

/// A transformer
///
/// Loaded if it is not, so that its options' schema is known before a webhook uses it.
#[utoipa::path(get, path = "/v1/transformers/{name}", tag = "transformers",
    params(("name" = String, Path, description = "The transformer's name", example = "slack")),
    responses((status = 200, description = "The transformer.", body = Transformer)))]
fn show_transformer() {}

/// What the refused configuration would change
///
/// As `tenterhook plan` shows it, between the live configuration and the one that was not taken, as far as that could be read.
#[utoipa::path(get, path = "/v1/config/changes", tag = "operation",
    responses((status = 200, description = "The changes; null when nothing was refused.", body = RefusedChanges)))]
fn config_changes() {}

/// Read the configuration now
///
/// Without the wait for files that are still being written, and for a second reading of a change that removes something. A
/// configuration without any table is refused while webhooks are live, unless `force` is set. `422` with every problem when it
/// is not taken.
#[utoipa::path(post, path = "/v1/config/reload", tag = "operation",
    request_body(content = Option<Reloading>, content_type = "application/json"),
    responses((status = 200, description = "What the files say is live.", body = Configuration)))]
fn reload() {}
