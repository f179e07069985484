//! Webhooks that are missing from the configuration: records since when, and cancels what waits for them when they have
//! been missing for `[retention] removed`. Until then their deliveries are held (`dispatch::reconcile`), and go on when
//! the webhook is declared again. One task does both, so that what is recorded is of the newest configuration.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::model::Timestamp;
use crate::snapshot::{Live, Snapshot};
use crate::store::{KnownWebhook, Store, StoreError, Sweep};

/// The longest sleep: a wall clock that was set is noticed after it.
const PAUSE_MAX: Duration = Duration::from_secs(10 * 60);

/// While something is left to cancel: an attempt that was in flight when its webhook was removed may come back.
const PAUSE_WITH_WORK: Duration = Duration::from_secs(60);

/// After a store that failed.
const RETRY_AFTER: Duration = Duration::from_secs(5);

pub(super) async fn run(store: Store, live: Arc<Live>, clock: Clock, shutdown: CancellationToken) {
    let mut generations = live.generations();
    loop {
        let round = tokio::select! {
            () = shutdown.cancelled() => return,
            round = round(&store, &live, clock.now()) => round,
        };
        let pause = round.unwrap_or_else(|error| {
            tracing::warn!(%error, "removed webhooks cannot be processed, trying again");
            RETRY_AFTER
        });
        tokio::select! {
            () = shutdown.cancelled() => return,
            Ok(()) = generations.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Answers when there is something to do again.
async fn round(store: &Store, live: &Live, now: Timestamp) -> Result<Duration, StoreError> {
    let snapshot = live.snapshot();
    let known = store.known_webhooks().await?;
    let changes: Vec<_> = known.iter().filter_map(|known| Some((known.key, change(&snapshot, known, now)?))).collect();
    if !changes.is_empty() {
        store.save_removed(changes).await?;
    }
    let mut pause = PAUSE_MAX;
    for known in known.iter().filter(|known| snapshot.webhook(&known.id).is_none() && known.waiting + known.held > 0) {
        pause = pause.min(PAUSE_WITH_WORK);
        let end = known.removed_since.unwrap_or(now).after(snapshot.settings.retention.removed);
        if end > now {
            pause = pause.min(now.until(end));
            continue;
        }
        let is_missing = || live.snapshot().webhook(&known.id).is_none();
        if known.blocks && is_missing() {
            store.sweep(known.key, Sweep::Unblock).await?;
        }
        let deliveries = store.sweep_while(known.key, Sweep::Cancel, is_missing).await?;
        if deliveries > 0 {
            tracing::info!(webhook = %known.id, deliveries, "deliveries of a removed webhook cancelled");
        }
    }
    Ok(pause)
}

/// What is to be recorded of a webhook, if anything.
fn change(snapshot: &Snapshot, known: &KnownWebhook, now: Timestamp) -> Option<Option<Timestamp>> {
    match (snapshot.webhook(&known.id), known.removed_since) {
        (Some(_), Some(_)) => Some(None),
        (None, None) => Some(Some(now)),
        (Some(_), None) | (None, Some(_)) => None,
    }
}
