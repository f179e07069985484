//! `POST /v1/webhooks/{id}/enable` and `/disable`: an operator's switch beside what config.toml says. It outlives
//! restarts and reloads; what waits for a disabled webhook is held, and goes on when it is enabled again. Enabling one
//! whose breaker is open closes that.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::HeaderMap;
use serde_json::Value;

use crate::config::Origin;
use crate::http::middleware::auth::{Caller, MayManageOwn};
use crate::http::middleware::body::{self, Cap};
use crate::http::problem::{Kind, Problem};
use crate::http::routes::v1::webhooks;
use crate::http::shapes;
use crate::http::{PathId, Shared};
use crate::model::{Condition, Disabled, DisabledBy, WebhookStatus};
use crate::operational::{Notice, Operational};
use crate::snapshot::Webhook;
use crate::store::StatusChange;

/// Characters of a reason: a sentence or two.
const REASON_CHARS_MAX: usize = 500;
const BODY_BYTES_MAX: usize = 4096;

/// Enabling an enabled webhook is no error.
pub(crate) async fn enable(
    MayManageOwn(caller): MayManageOwn,
    State(shared): State<Shared>,
    PathId(id): PathId,
) -> Result<Json<Value>, Problem> {
    let webhook = webhooks::find(&caller, &id)?;
    check_declared(webhook, "")?;
    let board = &caller.snapshot.status_board;
    let WebhookStatus { disabled, condition } = board.status(webhook.key);
    if disabled.is_some() || condition.open.is_some() {
        switch(&shared, &caller, webhook, None).await?;
    }
    if condition.open.is_some() {
        // The dispatcher owns breakers: it closes this one, stores that and reports it. Until then the board shows the result.
        board.set_condition(webhook.key, Condition::default());
    }
    if disabled.is_some() {
        let reason = format!("by the token `{}`", caller.token);
        raise(&shared, Notice::Enabled { webhook: webhook.settings.id.clone(), reason }).await;
    }
    Ok(Json(shapes::webhook::shape(webhook, &caller.snapshot)))
}

/// A manual request goes nowhere while the webhook is disabled: the refusal says so, and how to enable it. `then` is what was
/// asked for.
pub(crate) fn check_enabled(caller: &Caller, webhook: &Webhook, then: &str) -> Result<(), Problem> {
    check_declared(webhook, then)?;
    let Some(disabled) = caller.snapshot.status_board.status(webhook.key).disabled else { return Ok(()) };
    let (id, reason) = (&webhook.settings.id, disabled.reason);
    let detail = format!(
        "the webhook `{id}` is disabled ({reason}): enable it (`POST /v1/webhooks/{id}/enable`, `tenterhook webhook enable {id}`), then {then}"
    );
    Err(Problem::new(Kind::Conflict, detail).with("webhook", id.as_str()))
}

/// What a switch cannot enable: it is declared so.
fn check_declared(webhook: &Webhook, then: &str) -> Result<(), Problem> {
    let settings = &webhook.settings;
    if settings.enabled {
        return Ok(());
    }
    let id = &settings.id;
    let then = if then.is_empty() { String::new() } else { format!(", then {then}") };
    let (file, line) = (settings.place.file.display(), settings.place.line);
    Err(match &settings.origin {
        Origin::Config => {
            let detail = format!("`{id}` has enabled = false in {file} (line {line}): change it there{then}");
            Problem::new(Kind::Conflict, detail).with("file", file.to_string()).with("line", line)
        }
        Origin::Api { suspended: Some(why), .. } => {
            let detail = format!("the webhook `{id}` is suspended until it fits the configuration again: {why}");
            Problem::new(Kind::Conflict, detail).with("webhook", id.as_str())
        }
        Origin::Api { suspended: None, .. } => {
            let detail = format!(
                "`{id}` was made with `enabled` false: change that (`PATCH /v1/webhooks/{id}` with {{\"enabled\": true}}){then}"
            );
            Problem::new(Kind::Conflict, detail).with("webhook", id.as_str())
        }
    })
}

/// `{"reason": "…"}` is optional. What is disabled already keeps its first reason, unless a new one is given.
pub(crate) async fn disable(
    MayManageOwn(caller): MayManageOwn,
    State(shared): State<Shared>,
    PathId(id): PathId,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let webhook = webhooks::find(&caller, &id)?;
    let cap = Cap { bytes: BODY_BYTES_MAX, because: "a reason is a sentence or two" };
    let given = reason(&body::read(&shared.bodies, &headers, body, cap).await?.bytes)?;
    if given.is_some() || !caller.snapshot.status_board.is_disabled(webhook.key) {
        let reason = given.unwrap_or_else(|| format!("switched off by the token `{}`", caller.token));
        let disabled = Disabled { by: DisabledBy::Operator, reason, at: shared.api.clock.now(), endpoint: None };
        switch(&shared, &caller, webhook, Some(disabled.clone())).await?;
        raise(&shared, Notice::Disabled { webhook: webhook.settings.id.clone(), disabled }).await;
    }
    Ok(Json(shapes::webhook::shape(webhook, &caller.snapshot)))
}

/// Durable first, then in force.
async fn switch(shared: &Shared, caller: &Caller, webhook: &Arc<Webhook>, disabled: Option<Disabled>) -> Result<(), Problem> {
    shared.api.store.save_status(vec![(webhook.key, StatusChange::Disabled(disabled.clone()))]).await?;
    let to = if disabled.is_some() { "off" } else { "on" };
    caller.snapshot.status_board.switch(webhook.key, disabled);
    tracing::info!(target: "audit", token = &*caller.token, webhook = %webhook.settings.id, to, "webhook switched by an operator");
    Ok(())
}

async fn raise(shared: &Shared, notice: Notice) {
    let api = &shared.api;
    Operational::new(api.store.clone(), Arc::clone(&api.live), api.clock.clone()).raise(&notice).await;
}

fn reason(body: &[u8]) -> Result<Option<String>, Problem> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Given {
        reason: Option<String>,
    }
    if body.is_empty() {
        return Ok(None);
    }
    let read: Given = serde_json::from_slice(body)
        .map_err(|error| Problem::new(Kind::Invalid, format!("the body is not {{\"reason\": \"…\"}}: {error}")))?;
    match read.reason {
        Some(reason) if reason.trim().is_empty() || reason.chars().count() > REASON_CHARS_MAX => {
            Err(Problem::new(Kind::Invalid, format!("`reason` must be 1 to {REASON_CHARS_MAX} characters, or left out")))
        }
        reason => Ok(reason),
    }
}
