//! `GET /v1/webhooks/status`: what needs a look. Every webhook with what waits, what was given up, what was left out
//! and why its attempts failed; and what was refused before it became an event.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use http::Uri;
use serde_json::{Map, Value, json};

use super::Shared;
use super::auth::Reader;
use super::problem::Problem;
use super::query::Query;
use super::webhook_shape;
use crate::model::{DeliveryState, WebhookId};
use crate::snapshot::{Snapshot, Webhook};
use crate::store::{FailureClass, WebhookCounts};

/// In the order of their ids; totals are of all of them.
pub(super) async fn all(Reader(caller): Reader, State(shared): State<Shared>, uri: Uri) -> Result<Json<Value>, Problem> {
    let mut query = Query::read(&uri, &["failing", "limit", "cursor"]);
    let failing = query.take("failing", |text| text.parse::<bool>().map_err(|_| "is true or false"));
    let window = query.names();
    query.finish()?;
    let store = &shared.api.store;
    let counts: HashMap<WebhookId, WebhookCounts> =
        store.webhook_counts().await?.into_iter().map(|counts| (counts.id.clone(), counts)).collect();
    let mut failures: HashMap<WebhookId, Vec<FailureClass>> = HashMap::new();
    for failure in store.failures(None).await? {
        failures.entry(failure.webhook.clone()).or_default().push(failure);
    }
    let snapshot = &caller.snapshot;
    let mut rows: Vec<Value> = Vec::new();
    let mut totals = Totals::default();
    for webhook in snapshot.webhooks() {
        let id = &webhook.settings.id;
        let row = row(snapshot, webhook, counts.get(id), failures.get(id).map_or(&[], Vec::as_slice));
        totals.add(&row);
        if failing.is_none_or(|failing| row["failing"] == json!(failing)) {
            rows.push(row);
        }
    }
    let (page, next) = window.page(rows, |row| row["id"].as_str().unwrap_or_default());
    let waiting = store.waiting(None).await?;
    Ok(Json(json!({
        "data": page,
        "next": next,
        "totals": {
            "webhooks": snapshot.webhooks().len(), "failing": totals.failing, "retrying": totals.retrying,
            "held": totals.held, "failed": totals.failed, "skipped": totals.skipped,
            "transform_failures": totals.transform_failures,
            "size_rejections": shared.api.metrics.size_rejections(),
            "backlog": waiting.open, "oldest_pending_at": waiting.oldest, "next_due": waiting.next_due,
        },
    })))
}

#[derive(Default)]
struct Totals {
    failing: u64,
    retrying: u64,
    held: u64,
    failed: u64,
    skipped: u64,
    transform_failures: u64,
}

impl Totals {
    fn add(&mut self, row: &Value) {
        let number = |name: &str| row[name].as_u64().unwrap_or(0);
        self.failing += u64::from(row["failing"] == true);
        self.retrying += number("retrying");
        self.held += number("held");
        self.failed += number("failed");
        self.skipped += number("skipped");
        self.transform_failures += number("transform_failures");
    }
}

/// `failing`: something waits for another try.
fn row(snapshot: &Snapshot, webhook: &Webhook, counts: Option<&WebhookCounts>, failures: &[FailureClass]) -> Value {
    let state = |state: DeliveryState| counts.map_or(0, |counts| counts.states[state as usize]);
    let classes: Map<String, Value> = failures.iter().map(|failure| (failure.class.clone(), failure.attempts.into())).collect();
    let last = failures.iter().max_by_key(|failure| failure.at);
    let transform = failures.iter().filter(|failure| failure.class == "transform").map(|failure| failure.attempts).sum::<u64>();
    let shape = webhook_shape::shape(webhook, snapshot);
    json!({
        "id": webhook.settings.id, "url": webhook.settings.url.masked(), "status": shape["status"], "origin": shape["origin"],
        "failing": state(DeliveryState::Retrying) > 0,
        "pending": state(DeliveryState::Pending), "retrying": state(DeliveryState::Retrying),
        "held": state(DeliveryState::Held), "succeeded": state(DeliveryState::Succeeded),
        "failed": state(DeliveryState::Failed), "cancelled": state(DeliveryState::Cancelled),
        "skipped": state(DeliveryState::Dropped),
        "attempts": counts.map_or(0, |counts| counts.attempts),
        "attempts_failed": counts.map_or(0, |counts| counts.attempts_failed),
        "transform_failures": transform,
        "failures_24h": classes,
        "last_failure": last.map(|last| json!({
            "at": last.at, "class": last.class, "status": last.status, "error": last.error,
        })),
        "next_due": counts.and_then(|counts| counts.next_due),
    })
}
