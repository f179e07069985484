//! `GET /v1/webhooks`: what config.toml declares and what the API has made.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::Uri;
use http::header::CACHE_CONTROL;
use serde_json::{Value, json};

use super::auth::{Caller, TenantManager, TenantReader};
use super::problem::{Kind, Problem};
use super::query::Query;
use super::{PathId, Shared, webhook_shape};
use crate::model::WebhookId;
use crate::snapshot::Webhook;

/// In the order of their ids.
pub(super) async fn list(TenantReader(caller): TenantReader, State(_): State<Shared>, uri: Uri) -> Result<Json<Value>, Problem> {
    let mut query = Query::read(&uri, &["limit", "cursor"]);
    let window = query.names();
    query.finish()?;
    let (page, next) = window.page(own(&caller), |webhook| webhook.settings.id.as_str());
    let data: Vec<Value> = page.into_iter().map(|webhook| webhook_shape::shape(webhook, &caller.snapshot)).collect();
    Ok(Json(json!({"data": data, "next": next})))
}

pub(super) async fn show(TenantReader(caller): TenantReader, PathId(id): PathId) -> Result<Json<Value>, Problem> {
    let webhook = find(&caller, &id)?;
    Ok(Json(webhook_shape::shape(webhook, &caller.snapshot)))
}

/// The only place that shows a secret, and it leaves a trace.
pub(super) async fn secret(
    TenantManager(caller): TenantManager,
    PathId(id): PathId,
) -> Result<([(http::HeaderName, &'static str); 1], Json<Value>), Problem> {
    let webhook = find(&caller, &id)?;
    let Some(secret) = webhook.secret() else {
        let detail = format!("the webhook `{}` has no secret: its requests are not signed", webhook.settings.id);
        return Err(Problem::new(Kind::NotFound, detail));
    };
    tracing::info!(target: "audit", token = &*caller.token, webhook = %webhook.settings.id, "secret shown");
    let mut body = json!({"id": webhook.settings.id, "secret": secret.expose()});
    if let Some(key) = secret.public_key() {
        body["public_key"] = key.into();
    }
    let previous = webhook.previous_secrets().iter();
    let previous: Vec<Value> =
        previous.map(|live| json!({"secret_preview": live.secret.preview(), "until": live.until})).collect();
    if !previous.is_empty() {
        body["previous"] = previous.into();
    }
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)))
}

pub(super) fn find<'c>(caller: &'c Caller, id: &str) -> Result<&'c Arc<Webhook>, Problem> {
    let known = WebhookId::parse(id).ok().and_then(|id| caller.snapshot.webhook(&id));
    known.filter(|webhook| caller.sees(webhook.settings.tenant.as_deref())).ok_or_else(|| Problem::not_found("webhook", id))
}

/// The webhooks that the caller sees, in the order of their ids.
pub(super) fn own(caller: &Caller) -> impl Iterator<Item = &Arc<Webhook>> {
    caller.snapshot.webhooks().iter().filter(|webhook| caller.sees(webhook.settings.tenant.as_deref()))
}
