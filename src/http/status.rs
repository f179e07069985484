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
use super::stats::{quantile, tally};
use super::webhook_shape;
use crate::config::Origin;
use crate::model::{DeliveryState, WebhookId};
use crate::snapshot::{Snapshot, Webhook};
use crate::store::{FailureClass, Histogram, WebhookCounts};

/// In which order the rows come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Id,
    /// Most failed attempts first.
    Failures,
    /// Highest median first.
    Slowest,
}

/// In the order of their ids, or the first few in another; totals are of all of them.
pub(super) async fn all(Reader(caller): Reader, State(shared): State<Shared>, uri: Uri) -> Result<Json<Value>, Problem> {
    let mut query = Query::read(&uri, &["failing", "sort", "limit", "cursor"]);
    let failing = query.take("failing", |text| text.parse::<bool>().map_err(|_| "is true or false"));
    let sort = query.take("sort", |text| match text {
        "id" => Ok(Sort::Id),
        "failures" => Ok(Sort::Failures),
        "slowest" => Ok(Sort::Slowest),
        _ => Err("is id, failures or slowest"),
    });
    let window = query.names();
    query.finish()?;
    let sort = sort.unwrap_or(Sort::Id);
    let store = &shared.api.store;
    let counts: HashMap<WebhookId, WebhookCounts> =
        store.webhook_counts().await?.into_iter().map(|counts| (counts.id.clone(), counts)).collect();
    let listed = store.failures(None).await?;
    let mut failures: HashMap<&WebhookId, Vec<&FailureClass>> = HashMap::new();
    for failure in &listed {
        failures.entry(&failure.webhook).or_default().push(failure);
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
    let (mut page, next) = match sort {
        Sort::Id => window.page(rows, |row| row["id"].as_str().unwrap_or_default()),
        Sort::Failures => {
            rows.retain(|row| failed(row) > 0);
            rows.sort_by_key(|row| std::cmp::Reverse(failed(row)));
            (first(rows, window.limit()), None)
        }
        Sort::Slowest => {
            let durations = medians(store.durations(None).await?);
            let median = |row: &Value| durations.get(row["id"].as_str().unwrap_or_default()).copied();
            rows.retain(|row| median(row).is_some());
            rows.sort_by(|a, b| median(b).unwrap_or(0.0).total_cmp(&median(a).unwrap_or(0.0)));
            (first(rows, window.limit()), None)
        }
    };
    let shown = page.iter().filter_map(|row| WebhookId::parse(row["id"].as_str()?).ok()).collect();
    let durations: HashMap<WebhookId, Histogram> = store.durations(Some(shown)).await?.into_iter().collect();
    for row in &mut page {
        let of = row["id"].as_str().and_then(|id| WebhookId::parse(id).ok()).and_then(|id| durations.get(&id));
        let at = |share| of.and_then(|durations| quantile(durations, share));
        row["duration_ms"] = json!({"p50": at(0.5), "p99": at(0.99)});
    }
    let waiting = store.waiting(None).await?;
    Ok(Json(json!({
        "data": page,
        "next": next,
        "totals": {
            "webhooks": snapshot.webhooks().len(), "failing": totals.failing, "retrying": totals.retrying,
            "held": totals.held, "failed": totals.failed, "skipped": totals.skipped,
            "breaker_open": totals.breaker_open, "disabled": totals.disabled,
            "transform_failures": totals.transform_failures,
            "failures_24h": tally(&listed, |failure| &failure.class),
            "causes_24h": tally(&listed, |failure| &failure.cause),
            "size_rejections": shared.api.metrics.size_rejections(),
            "backlog": waiting.open, "oldest_pending_at": waiting.oldest, "next_due": waiting.next_due,
        },
    })))
}

fn first(mut rows: Vec<Value>, limit: usize) -> Vec<Value> {
    rows.truncate(limit);
    rows
}

/// Failed attempts of a row, in the last 24 hours.
fn failed(row: &Value) -> u64 {
    row["failures_24h"].as_object().into_iter().flat_map(Map::values).filter_map(Value::as_u64).sum()
}

fn medians(durations: Vec<(WebhookId, Histogram)>) -> HashMap<String, f64> {
    durations.into_iter().filter_map(|(id, histogram)| Some((id.to_string(), quantile(&histogram, 0.5)?))).collect()
}

#[derive(Default)]
struct Totals {
    failing: u64,
    retrying: u64,
    held: u64,
    failed: u64,
    skipped: u64,
    breaker_open: u64,
    disabled: u64,
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
        self.breaker_open += u64::from(row["status"] == "breaker_open");
        self.disabled += u64::from(row["status"] == "disabled");
        self.transform_failures += number("transform_failures");
    }
}

/// `failing`: something waits for another try.
fn row(snapshot: &Snapshot, webhook: &Webhook, counts: Option<&WebhookCounts>, failures: &[&FailureClass]) -> Value {
    let state = |state: DeliveryState| counts.map_or(0, |counts| counts.states[state as usize]);
    let last = failures.iter().max_by_key(|failure| failure.at);
    let transform = failures.iter().filter(|failure| failure.class == "transform").map(|failure| failure.attempts).sum::<u64>();
    let status = webhook_shape::status(&webhook.settings, &snapshot.switchboard.standing(webhook.key));
    let origin = if webhook.settings.origin == Origin::Config { "config" } else { "api" };
    json!({
        "id": webhook.settings.id, "url": webhook.settings.url.masked(), "status": status, "origin": origin,
        "failing": state(DeliveryState::Retrying) > 0,
        "pending": state(DeliveryState::Pending), "retrying": state(DeliveryState::Retrying),
        "held": state(DeliveryState::Held), "succeeded": state(DeliveryState::Succeeded),
        "failed": state(DeliveryState::Failed), "cancelled": state(DeliveryState::Cancelled),
        "skipped": state(DeliveryState::Dropped),
        "attempts": counts.map_or(0, |counts| counts.attempts),
        "attempts_failed": counts.map_or(0, |counts| counts.attempts_failed),
        "transform_failures": transform,
        "failures_24h": tally(failures.iter().copied(), |failure| &failure.class),
        "causes_24h": tally(failures.iter().copied(), |failure| &failure.cause),
        "last_failure": last.map(|last| json!({
            "at": last.at, "class": last.class, "status": last.status, "error": last.error,
        })),
        "next_due": counts.and_then(|counts| counts.next_due),
    })
}
