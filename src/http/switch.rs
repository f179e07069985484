//! `POST /v1/webhooks/{id}/enable` and `/disable`: an operator's switch beside what config.toml says. It outlives
//! restarts and reloads; what waits for a disabled webhook is held, and goes on when it is enabled again.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::HeaderMap;
use serde_json::Value;

use super::auth::{Caller, TenantManager};
use super::body::{self, Cap};
use super::problem::{Kind, Problem};
use super::{PathId, Shared, webhook_shape, webhooks};
use crate::model::{Disabled, DisabledBy};
use crate::operational::{Notice, Operational};
use crate::snapshot::Webhook;
use crate::store::StandingChange;

/// Characters of a reason: a sentence or two.
const REASON_CHARS_MAX: usize = 500;
const BODY_BYTES_MAX: usize = 4096;

/// Again is no error: it is enabled then.
pub(super) async fn enable(
    TenantManager(caller): TenantManager,
    State(shared): State<Shared>,
    PathId(id): PathId,
) -> Result<Json<Value>, Problem> {
    let webhook = webhooks::find(&caller, &id)?;
    let settings = &webhook.settings;
    if !settings.enabled {
        let (file, line) = (settings.place.file.display(), settings.place.line);
        let detail = format!("`{}` has enabled = false in {file} (line {line}): change it there", settings.id);
        return Err(Problem::new(Kind::Conflict, detail).with("file", file.to_string()).with("line", line));
    }
    let board = &caller.snapshot.switchboard;
    if board.is_disabled(webhook.key) {
        switch(&shared, &caller, webhook, None).await?;
        let reason = format!("by the token `{}`", caller.token);
        raise(&shared, Notice::Enabled { webhook: settings.id.clone(), reason }).await;
    }
    Ok(Json(webhook_shape::shape(webhook, &caller.snapshot)))
}

/// `{"reason": "…"}` is optional. What is disabled already keeps its first reason, unless a new one is given.
pub(super) async fn disable(
    TenantManager(caller): TenantManager,
    State(shared): State<Shared>,
    PathId(id): PathId,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let webhook = webhooks::find(&caller, &id)?;
    let cap = Cap { bytes: BODY_BYTES_MAX, because: "a reason is a sentence or two" };
    let given = reason(&body::read(&shared.bodies, &headers, body, cap).await?.bytes)?;
    if given.is_some() || !caller.snapshot.switchboard.is_disabled(webhook.key) {
        let reason = given.unwrap_or_else(|| format!("switched off by the token `{}`", caller.token));
        let disabled = Disabled { by: DisabledBy::Operator, reason, at: shared.api.clock.now(), endpoint: None };
        switch(&shared, &caller, webhook, Some(disabled.clone())).await?;
        raise(&shared, Notice::Disabled { webhook: webhook.settings.id.clone(), disabled }).await;
    }
    Ok(Json(webhook_shape::shape(webhook, &caller.snapshot)))
}

/// Durable first, then in force.
async fn switch(shared: &Shared, caller: &Caller, webhook: &Arc<Webhook>, disabled: Option<Disabled>) -> Result<(), Problem> {
    shared.api.store.stand(vec![(webhook.key, StandingChange::Disabled(disabled.clone()))]).await?;
    let to = if disabled.is_some() { "off" } else { "on" };
    caller.snapshot.switchboard.switch(webhook.key, disabled);
    tracing::info!(target: "audit", token = &*caller.token, webhook = %webhook.settings.id, to, "webhook switched by hand");
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
