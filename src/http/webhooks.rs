//! `/v1/webhooks`: what config.toml declares. Read-only here: that file is where it is changed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::Uri;
use http::header::CACHE_CONTROL;
use serde_json::{Value, json};

use super::auth::{Caller, Manager, Reader};
use super::problem::{Kind, Problem};
use super::query::{Query, show_cursor};
use super::{PathId, Shared, webhook_shape};
use crate::model::WebhookId;
use crate::snapshot::Webhook;
use crate::store::Cursor;

/// In the order of their ids.
pub(super) async fn list(Reader(caller): Reader, State(_): State<Shared>, uri: Uri) -> Result<Json<Value>, Problem> {
    let mut query = Query::read(&uri, &["limit", "cursor"]);
    let window = query.window();
    query.finish()?;
    let webhooks = caller.snapshot.webhooks();
    let start = window.after.and_then(|cursor| usize::try_from(cursor.0).ok()).unwrap_or(0).min(webhooks.len());
    let end = start.saturating_add(window.limit).min(webhooks.len());
    let data: Vec<Value> = webhooks[start..end].iter().map(|webhook| webhook_shape::shape(webhook, &caller.snapshot)).collect();
    let next = (end < webhooks.len()).then(|| i64::try_from(end).ok().map(|end| show_cursor(Cursor(end)))).flatten();
    Ok(Json(json!({"data": data, "next": next})))
}

pub(super) async fn show(Reader(caller): Reader, PathId(id): PathId) -> Result<Json<Value>, Problem> {
    let webhook = find(&caller, &id)?;
    Ok(Json(webhook_shape::shape(webhook, &caller.snapshot)))
}

/// The only place that shows a secret, and it leaves a trace.
pub(super) async fn secret(
    Manager(caller): Manager,
    PathId(id): PathId,
) -> Result<([(http::HeaderName, &'static str); 1], Json<Value>), Problem> {
    let webhook = find(&caller, &id)?;
    let Some(secret) = &webhook.secret else {
        let detail = format!("the webhook `{}` has no secret: its requests are not signed", webhook.settings.id);
        return Err(Problem::new(Kind::NotFound, detail));
    };
    tracing::info!(target: "audit", token = &*caller.token, webhook = %webhook.settings.id, "secret shown");
    let mut body = json!({"id": webhook.settings.id, "secret": secret.expose()});
    if let Some(key) = secret.public_key() {
        body["public_key"] = key.into();
    }
    let previous = webhook.previous.iter();
    let previous: Vec<Value> =
        previous.map(|live| json!({"secret_preview": live.secret.preview(), "until": live.until})).collect();
    if !previous.is_empty() {
        body["previous"] = previous.into();
    }
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)))
}

pub(super) fn find<'c>(caller: &'c Caller, id: &str) -> Result<&'c Arc<Webhook>, Problem> {
    let known = WebhookId::parse(id).ok().and_then(|id| caller.snapshot.webhook(&id));
    known.ok_or_else(|| Problem::not_found("webhook", id))
}
