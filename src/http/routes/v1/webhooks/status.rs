//! `GET /v1/webhooks/status`: what needs attention. Every webhook with what waits, what was given up, what was left out
//! and why its attempts failed; and what was refused before it became an event.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::Uri;
use serde_json::{Map, Value, json};

use crate::config::Origin;
use crate::http::Shared;
use crate::http::middleware::auth::MayRead;
use crate::http::problem::{Kind, Problem};
use crate::http::query::{Names, Query};
use crate::http::routes::v1::stats::{quantile, tally};
use crate::http::shapes;
use crate::model::{DeliveryState, Timestamp, WebhookId, WebhookStatus};
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

/// What was read of all webhooks, to choose rows from.
struct Overview {
    snapshot: Arc<Snapshot>,
    counts: Vec<WebhookCounts>,
    failures: Vec<FailureClass>,
    /// Of all webhooks; empty unless the order is by them.
    durations: Vec<(WebhookId, Histogram)>,
}

/// Which rows are wanted.
struct Choice {
    failing: Option<bool>,
    sort: Sort,
    window: Names,
}

/// The rows that were chosen, and what is said of all.
struct Page {
    ids: Vec<WebhookId>,
    rows: Vec<Value>,
    next: Option<String>,
    totals: Map<String, Value>,
}

/// In the order of their ids, or the first few in another; totals are of all of them.
pub(crate) async fn all(MayRead(caller): MayRead, State(shared): State<Shared>, uri: Uri) -> Result<Json<Value>, Problem> {
    let choice = choice(&uri)?;
    let store = &shared.api.store;
    let durations = if choice.sort == Sort::Slowest { store.durations(None).await? } else { Vec::new() };
    let (counts, failures) = (store.webhook_counts().await?, store.failures(None).await?);
    let overview = Overview { snapshot: caller.snapshot, counts, failures, durations };
    // Thousands of webhooks would hold up the runtime.
    let work = tokio::task::spawn_blocking(move || overview.page(&choice));
    let mut page = work.await.map_err(|_| Problem::new(Kind::Internal, "reading the webhooks' states broke on a fault"))?;
    let durations: HashMap<WebhookId, Histogram> = store.durations(Some(page.ids.clone())).await?.into_iter().collect();
    for (id, row) in page.ids.iter().zip(&mut page.rows) {
        let at = |share| durations.get(id).and_then(|durations| quantile(durations, share));
        row["duration_ms"] = json!({"p50": at(0.5), "p99": at(0.99)});
    }
    let waiting = store.waiting(None).await?;
    page.totals.extend([
        ("size_rejections".to_owned(), json!(shared.api.metrics.size_rejections())),
        ("backlog".to_owned(), json!(waiting.open)),
        ("oldest_pending_at".to_owned(), json!(waiting.oldest)),
    ]);
    Ok(Json(json!({"data": page.rows, "next": page.next, "totals": page.totals})))
}

fn choice(uri: &Uri) -> Result<Choice, Problem> {
    let mut query = Query::read(uri, &["failing", "sort", "limit", "cursor"]);
    let failing = query.take("failing", |text| text.parse::<bool>().map_err(|_| "is true or false"));
    let sort = query.take("sort", |text| match text {
        "id" => Ok(Sort::Id),
        "failures" => Ok(Sort::Failures),
        "slowest" => Ok(Sort::Slowest),
        _ => Err("is id, failures or slowest"),
    });
    let window = query.names();
    query.finish()?;
    Ok(Choice { failing, sort: sort.unwrap_or(Sort::Id), window })
}

/// When a webhook's next attempt may go: what is due waits behind an open breaker for its probe.
pub(crate) fn next_due(due: Option<Timestamp>, status: &WebhookStatus) -> Option<Timestamp> {
    due.map(|due| status.condition.open.map_or(due, |open| due.max(open.until)))
}

/// One webhook, and what is known of it.
struct Row<'l> {
    webhook: &'l Webhook,
    status: &'static str,
    next_due: Option<Timestamp>,
    counts: Option<&'l WebhookCounts>,
    failures: &'l [&'l FailureClass],
}

impl Overview {
    fn page(&self, choice: &Choice) -> Page {
        let counts: HashMap<&WebhookId, &WebhookCounts> = self.counts.iter().map(|counts| (&counts.id, counts)).collect();
        let mut failures: HashMap<&WebhookId, Vec<&FailureClass>> = HashMap::new();
        for failure in &self.failures {
            failures.entry(&failure.webhook).or_default().push(failure);
        }
        let rows = self.snapshot.webhooks().iter().map(|webhook| {
            let status = self.snapshot.status_board.status(webhook.key);
            let counts = counts.get(&webhook.settings.id).copied();
            Row {
                webhook,
                status: shapes::webhook::status(&webhook.settings, &status),
                next_due: next_due(counts.and_then(|counts| counts.next_due), &status),
                counts,
                failures: failures.get(&webhook.settings.id).map_or(&[], Vec::as_slice),
            }
        });
        let mut totals = Totals::default();
        let rows = rows.inspect(|row| totals.add(row));
        let rows: Vec<Row<'_>> = rows.filter(|row| choice.failing.is_none_or(|failing| row.failing() == failing)).collect();
        let (rows, next) = match choice.sort {
            Sort::Id => choice.window.page(rows, |row| row.id().as_str()),
            Sort::Failures => {
                (first(rows, choice.window.limit(), |row| Some(row.attempts_failed_24h()).filter(|it| *it > 0)), None)
            }
            Sort::Slowest => {
                let medians: HashMap<&WebhookId, Duration> =
                    self.durations.iter().filter_map(|(id, durations)| Some((id, durations.quantile(0.5)?))).collect();
                (first(rows, choice.window.limit(), |row| medians.get(row.id()).copied()), None)
            }
        };
        Page {
            ids: rows.iter().map(|row| row.id().clone()).collect(),
            rows: rows.iter().map(Row::shape).collect(),
            next,
            totals: totals.shape(self),
        }
    }
}

/// The `limit` rows with most of `what`, those that have none left out.
fn first<T, K: Ord + Copy>(rows: Vec<T>, limit: usize, what: impl Fn(&T) -> Option<K>) -> Vec<T> {
    let mut keyed: Vec<(K, T)> = rows.into_iter().filter_map(|row| Some((what(&row)?, row))).collect();
    keyed.sort_by_key(|(key, _)| Reverse(*key));
    keyed.into_iter().take(limit).map(|(_, row)| row).collect()
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
    next_due: Option<Timestamp>,
}

impl Totals {
    fn add(&mut self, row: &Row<'_>) {
        self.next_due = self.next_due.into_iter().chain(row.next_due).min();
        self.failing += u64::from(row.failing());
        self.retrying += row.in_state(DeliveryState::Retrying);
        self.held += row.in_state(DeliveryState::Held);
        self.failed += row.in_state(DeliveryState::Failed);
        self.skipped += row.in_state(DeliveryState::Dropped);
        self.breaker_open += u64::from(row.status == "breaker_open");
        self.disabled += u64::from(row.status == "disabled");
        self.transform_failures += row.transform_failures();
    }

    fn shape(&self, overview: &Overview) -> Map<String, Value> {
        let shape = json!({
            "webhooks": overview.snapshot.webhooks().len(), "failing": self.failing, "retrying": self.retrying,
            "held": self.held, "failed": self.failed, "skipped": self.skipped,
            "breaker_open": self.breaker_open, "disabled": self.disabled,
            "transform_failures": self.transform_failures, "next_due": self.next_due,
            "failures_24h": tally(&overview.failures, |failure| &failure.class),
            "causes_24h": tally(&overview.failures, |failure| &failure.cause),
        });
        match shape {
            Value::Object(shape) => shape,
            _ => Map::new(),
        }
    }
}

impl Row<'_> {
    fn id(&self) -> &WebhookId {
        &self.webhook.settings.id
    }

    fn in_state(&self, state: DeliveryState) -> u64 {
        self.counts.map_or(0, |counts| counts.states[state as usize])
    }

    /// Something waits for another try.
    fn failing(&self) -> bool {
        self.in_state(DeliveryState::Retrying) > 0
    }

    fn attempts_failed_24h(&self) -> u64 {
        self.failures.iter().map(|failure| failure.attempts).sum()
    }

    fn transform_failures(&self) -> u64 {
        self.failures.iter().filter(|failure| failure.class == "transform").map(|failure| failure.attempts).sum()
    }

    fn shape(&self) -> Value {
        let settings = &self.webhook.settings;
        let last = self.failures.iter().max_by_key(|failure| failure.at);
        let origin = if settings.origin == Origin::Config { "config" } else { "api" };
        json!({
            "id": settings.id, "url": settings.url.masked(), "status": self.status, "origin": origin,
            "failing": self.failing(),
            "pending": self.in_state(DeliveryState::Pending), "retrying": self.in_state(DeliveryState::Retrying),
            "held": self.in_state(DeliveryState::Held), "succeeded": self.in_state(DeliveryState::Succeeded),
            "failed": self.in_state(DeliveryState::Failed), "cancelled": self.in_state(DeliveryState::Cancelled),
            "skipped": self.in_state(DeliveryState::Dropped),
            "attempts": self.counts.map_or(0, |counts| counts.attempts),
            "attempts_failed": self.counts.map_or(0, |counts| counts.attempts_failed),
            "transform_failures": self.transform_failures(),
            "failures_24h": tally(self.failures.iter().copied(), |failure| &failure.class),
            "causes_24h": tally(self.failures.iter().copied(), |failure| &failure.cause),
            "last_failure": last.map(|last| json!({
                "at": last.at, "class": last.class, "status": last.status, "error": last.error,
            })),
            "next_due": self.next_due,
        })
    }
}
