//! Writes to the store that are repeated until it takes them: attempts, and the status of webhooks.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::messages::{Context, ControlMessage};
use crate::config::WebhookSettings;
use crate::model::WebhookKey;
use crate::operational::Notice;
use crate::store::{Settle, Settled, StatusChange, StoreError, Sweep};

/// Between two tries while the store cannot take something. An attempt keeps its permit until then: what cannot be
/// recorded should not be attempted without end either.
const RECORD_PAUSE: Duration = Duration::from_secs(1);

/// Repeats `work` until the store takes it; `what` is logged as an error once. `None`: the store failed for good, has said
/// so, and the process is about to stop.
pub(super) async fn persist<T, W>(what: &str, work: impl Fn() -> W) -> Option<T>
where
    W: Future<Output = Result<T, StoreError>>,
{
    let mut is_logged = false;
    loop {
        match work().await {
            Ok(done) => return Some(done),
            Err(StoreError::Poisoned { .. }) => return None,
            Err(error) if is_logged => tracing::debug!(%error, what, "store write failed again, retrying"),
            Err(error) => {
                tracing::error!(%error, what, "store write failed, retrying");
                is_logged = true;
            }
        }
        tokio::time::sleep(RECORD_PAUSE).await;
    }
}

pub(super) async fn record(context: &Context, settle: &Arc<Settle>) -> Settled {
    let what = format!("an attempt of {}", settle.delivery);
    persist(&what, || context.store.settle(Arc::clone(settle))).await.unwrap_or_default()
}

pub(super) async fn release(context: &Context, webhook: WebhookKey) {
    persist("the release of held deliveries", || context.store.sweep(webhook, Sweep::Release)).await;
}

/// Saves the status of webhooks, then raises the notices; one such task at a time, so that the last word is saved last.
pub(super) fn spawn_status_saver(
    context: &Arc<Context>,
    running: &mut JoinSet<()>,
    changes: Vec<(WebhookKey, StatusChange)>,
    notices: Vec<Notice>,
) {
    let context = Arc::clone(context);
    running.spawn(async move {
        persist("the status of webhooks", || context.store.save_status(changes.clone())).await;
        for notice in notices {
            context.operational.raise(&notice).await;
        }
        // Fails only when the loop has ended.
        let _ = context.control.send(ControlMessage::StatusSaved).await;
    });
}

/// The clock was set back: what is due later is due as far from now as before. What the loop knows of is shifted there.
pub(super) fn spawn_shift(context: &Arc<Context>, running: &mut JoinSet<()>, step: Duration) {
    let context = Arc::clone(context);
    running.spawn(async move {
        let Some(known) = persist("the webhooks to shift", || context.store.known_webhooks()).await else { return };
        let mut shifted = 0;
        for webhook in known.into_iter().filter(|known| known.waiting > 0) {
            let mut after = None;
            loop {
                let work = || context.store.shift_due(webhook.key, after, step);
                let Some(done) = persist("due times after a clock step", work).await else { return };
                shifted += done.deliveries;
                after = done.next;
                if after.is_none() {
                    break;
                }
            }
        }
        tracing::info!(deliveries = shifted, ?step, "due times follow the clock that was set back");
    });
}

/// No delivery waits longer than its webhook's policy allows, whatever the clock showed when its due time was written.
pub(super) fn spawn_clamp(context: &Arc<Context>, running: &mut JoinSet<()>) {
    let context = Arc::clone(context);
    running.spawn(async move {
        let Some(known) = persist("the webhooks to check", || context.store.known_webhooks()).await else { return };
        let snapshot = context.live.snapshot();
        for known in known.into_iter().filter(|known| known.waiting > 0) {
            let Some(webhook) = snapshot.webhook(&known.id) else { continue };
            let latest = context.clock.now().after(longest_wait(&webhook.settings));
            let clamp = || context.store.clamp_due(known.key, latest);
            let Some(clamped) = persist("due times that are too late", clamp).await else { return };
            if clamped > 0 {
                tracing::warn!(webhook = %known.id, deliveries = clamped, %latest, "due times were later than the policy allows");
            }
        }
    });
}

/// From one attempt to the next, whatever the endpoint asks for and however often the breaker opens in between.
fn longest_wait(settings: &WebhookSettings) -> Duration {
    let lane = &settings.lane;
    let batch = lane.batch.as_ref().map_or(Duration::ZERO, |batch| batch.max_wait);
    let breaker = lane.breaker.as_ref().map_or(Duration::ZERO, |breaker| breaker.cool_down);
    settings.retry.longest_delay().max(batch).max(breaker)
}
