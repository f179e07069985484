//! `/v1/deliveries`: every event × webhook with its attempts, manual retry and cancellation.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};

use crate::http::fields::{self, Fields};
use crate::http::middleware::auth::{Caller, MayManageOwn, MayReadOwn};
use crate::http::problem::{Kind, Problem};
use crate::http::query::Query;
use crate::http::routes::v1::webhooks::enable;
use crate::http::shapes::{DeliveryShape, List};
use crate::http::{PathId, Shared};
use crate::model::{DeliveryId, DeliveryState, EventId, EventType, WebhookId};
use crate::store::{DeliveryDetail, DeliveryFilter};

const PARAMETERS: [&str; 9] = ["webhook", "state", "event_type", "event_id", "tenant", "since", "until", "limit", "cursor"];

pub(crate) async fn list(
    MayReadOwn(caller): MayReadOwn,
    State(shared): State<Shared>,
    uri: Uri,
) -> Result<Json<List<DeliveryShape>>, Problem> {
    let mut query = Query::read(&uri, &PARAMETERS);
    let mut filter = DeliveryFilter {
        webhook: query.take("webhook", WebhookId::parse),
        state: query.take("state", state),
        event_type: query.take("event_type", EventType::parse),
        event_id: query.take("event_id", EventId::parse),
        tenant: query.take("tenant", |text| Ok::<_, String>(text.to_owned())),
        since: query.time("since"),
        until: query.time("until"),
    };
    let window = query.window();
    query.finish()?;
    filter.tenant = caller.narrowed(filter.tenant)?;
    let page = shared.api.store.deliveries(filter, window.after, window.limit).await?;
    Ok(Json(List::of(&page, DeliveryShape::of)))
}

pub(crate) async fn show(
    MayReadOwn(caller): MayReadOwn,
    State(shared): State<Shared>,
    PathId(id): PathId,
) -> Result<Json<DeliveryShape>, Problem> {
    let detail = find(&shared, &caller, parse(&id)?, &id).await?;
    Ok(Json(DeliveryShape::detailed(&detail)))
}

/// 202: it is due now, whatever its state was; 409 while its webhook is disabled. With `{"retransform": true}` its bytes are
/// made again.
pub(crate) async fn retry(
    MayManageOwn(caller): MayManageOwn,
    State(shared): State<Shared>,
    PathId(id): PathId,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let delivery = parse(&id)?;
    let mut fields = Fields::new(fields::object(&shared, &headers, body).await?, &["retransform"]);
    let retransform = fields.boolean("retransform");
    fields.finish()?;
    check_webhook(&shared, &caller, delivery, &id).await?;
    let state = shared.api.store.retry(delivery, retransform).await?.ok_or_else(|| not_found(&id))?;
    tracing::info!(target: "audit", token = &*caller.token, delivery = %delivery, "delivery retried manually");
    Ok((StatusCode::ACCEPTED, Json(json!({"id": delivery, "state": state}))))
}

/// 200 with the state that it has then; 409 when it had ended before.
pub(crate) async fn cancel(
    MayManageOwn(caller): MayManageOwn,
    State(shared): State<Shared>,
    PathId(id): PathId,
) -> Result<Json<Value>, Problem> {
    let delivery = parse(&id)?;
    find(&shared, &caller, delivery, &id).await?;
    let state = shared.api.store.cancel(delivery).await?.ok_or_else(|| not_found(&id))?;
    if state != DeliveryState::Cancelled {
        let detail = format!("the delivery is {} already: there is nothing left to cancel", state.name());
        return Err(Problem::new(Kind::Conflict, detail).with("state", state.name()));
    }
    tracing::info!(target: "audit", token = &*caller.token, delivery = %delivery, "delivery cancelled manually");
    Ok(Json(json!({"id": delivery, "state": state})))
}

/// A retry for a webhook that is gone would only be cancelled again, one for a disabled webhook only be held.
async fn check_webhook(shared: &Shared, caller: &Caller, delivery: DeliveryId, id: &str) -> Result<(), Problem> {
    let detail = find(shared, caller, delivery, id).await?;
    let webhook = &detail.record.webhook;
    if let Some(webhook) = caller.snapshot.webhook(webhook) {
        return enable::check_enabled(caller, webhook, "retry");
    }
    let detail = format!("the webhook `{webhook}` is not declared any more: declare it again, then retry");
    Err(Problem::new(Kind::Conflict, detail).with("webhook", webhook.as_str()))
}

/// Of a query.
pub(crate) fn state(text: &str) -> Result<DeliveryState, String> {
    DeliveryState::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = DeliveryState::ALL.iter().map(|state| state.name()).collect();
        format!("is one of {}", names.join(", "))
    })
}

/// Another tenant's delivery is not found.
async fn find(shared: &Shared, caller: &Caller, delivery: DeliveryId, id: &str) -> Result<DeliveryDetail, Problem> {
    let found = shared.api.store.delivery(delivery).await?;
    found.filter(|detail| caller.sees(detail.record.tenant.as_deref())).ok_or_else(|| not_found(id))
}

fn parse(id: &str) -> Result<DeliveryId, Problem> {
    DeliveryId::parse(id).ok_or_else(|| not_found(id))
}

fn not_found(id: &str) -> Problem {
    Problem::not_found("delivery", id)
}
