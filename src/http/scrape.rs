//! What `GET /metrics` reads for its answer: the backlog, the status of webhooks, the store's disk.

use std::time::Duration;

use super::Shared;
use crate::model::{DeliveryState, Timestamp};
use crate::snapshot::Snapshot;
use crate::store::{StoreError, WebhookCounts};
use crate::telemetry::{Backlog, Scrape, WebhookGauges};

pub(super) async fn scrape(shared: &Shared) -> Result<String, StoreError> {
    let (store, metrics) = (&shared.api.store, &shared.api.metrics);
    let counts = store.webhook_counts().await?;
    let (snapshot, now) = (shared.api.live.snapshot(), shared.api.clock.now());
    let oldest = store.backlog().await?.oldest_due;
    let disk = store.disk().await.map(|disk| crate::telemetry::Disk { store: disk.size, free: disk.free });
    let scrape = Scrape {
        backlog: counts.iter().map(backlog).fold(Backlog::default(), sum),
        oldest_pending_age: age(oldest, now),
        disk,
        webhooks: counts.iter().filter_map(|counts| gauges(counts, &snapshot, now)).collect(),
    };
    metrics.retain_webhooks(|id| snapshot.webhook(id).is_some());
    Ok(metrics.scrape(&scrape))
}

/// `None` for one that is gone, and for one that never had anything to do and is enabled: a hundred thousand of them would
/// make every answer as long as a book.
fn gauges(counts: &WebhookCounts, snapshot: &Snapshot, now: Timestamp) -> Option<WebhookGauges> {
    let webhook = snapshot.webhook(&counts.id)?;
    let is_disabled = !snapshot.is_enabled(webhook);
    let is_used = counts.states.iter().any(|count| *count > 0);
    (is_used || is_disabled).then(|| WebhookGauges {
        id: counts.id.clone(),
        backlog: backlog(counts),
        oldest_pending_age: age(counts.next_due, now),
        is_breaker_open: snapshot.status_board.status(webhook.key).condition.open.is_some(),
        is_disabled,
    })
}

/// How long it has been due.
fn age(due: Option<Timestamp>, now: Timestamp) -> Duration {
    due.map_or(Duration::ZERO, |due| due.until(now))
}

fn backlog(counts: &WebhookCounts) -> Backlog {
    let of = |state: DeliveryState| counts.states[state as usize];
    Backlog { pending: of(DeliveryState::Pending), retrying: of(DeliveryState::Retrying), held: of(DeliveryState::Held) }
}

fn sum(one: Backlog, other: Backlog) -> Backlog {
    Backlog { pending: one.pending + other.pending, retrying: one.retrying + other.retrying, held: one.held + other.held }
}
