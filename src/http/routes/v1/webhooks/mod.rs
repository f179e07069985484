//! All routes below `/v1/webhooks`, and the handlers that list and show webhooks, from config.toml and made over the API.

pub(crate) mod edit;
pub(crate) mod enable;
pub(crate) mod replay;
mod rotate_secret;
mod sample;
pub(crate) mod status;
mod test;

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::Uri;
use http::header::CACHE_CONTROL;
use serde_json::{Value, json};

use crate::http::middleware::auth::{Caller, MayManageOwn, MayReadOwn};
use crate::http::problem::{Kind, Problem};
use crate::http::query::Query;
use crate::http::routes::v1::stats;
use crate::http::shapes;
use crate::http::{PathId, Shared};
use crate::model::WebhookId;
use crate::snapshot::Webhook;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/v1/webhooks", get(list).post(edit::create))
        .route("/v1/webhooks/status", get(status::all))
        .route("/v1/webhooks/{id}", get(show).put(edit::replace).patch(edit::patch).delete(edit::delete))
        .route("/v1/webhooks/{id}/test", post(test::test))
        .route("/v1/webhooks/{id}/replay", post(replay::replay))
        .route("/v1/webhooks/{id}/secret", get(secret))
        .route("/v1/webhooks/{id}/rotate-secret", post(rotate_secret::rotate))
        .route("/v1/webhooks/{id}/enable", post(enable::enable))
        .route("/v1/webhooks/{id}/disable", post(enable::disable))
        .route("/v1/webhooks/{id}/stats", get(stats::webhook))
}

/// In the order of their ids.
pub(crate) async fn list(MayReadOwn(caller): MayReadOwn, State(_): State<Shared>, uri: Uri) -> Result<Json<Value>, Problem> {
    let mut query = Query::read(&uri, &["limit", "cursor"]);
    let window = query.names();
    query.finish()?;
    let (page, next) = window.page(own(&caller), |webhook| webhook.settings.id.as_str());
    let data: Vec<Value> = page.into_iter().map(|webhook| shapes::webhook::shape(webhook, &caller.snapshot)).collect();
    Ok(Json(json!({"data": data, "next": next})))
}

pub(crate) async fn show(MayReadOwn(caller): MayReadOwn, PathId(id): PathId) -> Result<Json<Value>, Problem> {
    let webhook = find(&caller, &id)?;
    Ok(Json(shapes::webhook::shape(webhook, &caller.snapshot)))
}

/// Shows the secret of an existing webhook; every call is in the audit log. (Create and rotate answer with it too.)
pub(crate) async fn secret(
    MayManageOwn(caller): MayManageOwn,
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

pub(crate) fn find<'c>(caller: &'c Caller, id: &str) -> Result<&'c Arc<Webhook>, Problem> {
    let known = WebhookId::parse(id).ok().and_then(|id| caller.snapshot.webhook(&id));
    known.filter(|webhook| caller.sees(webhook.settings.tenant.as_deref())).ok_or_else(|| Problem::not_found("webhook", id))
}

/// The webhooks that the caller sees, in the order of their ids.
pub(crate) fn own(caller: &Caller) -> impl Iterator<Item = &Arc<Webhook>> {
    caller.snapshot.webhooks().iter().filter(|webhook| caller.sees(webhook.settings.tenant.as_deref()))
}
