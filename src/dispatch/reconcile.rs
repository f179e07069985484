//! What a new configuration or a switch means for waiting deliveries: those of a webhook that is missing from the
//! configuration are held for `[retention] removed` and then cancelled (at that time by `app::removed`), those of a
//! disabled one are held, those of an enabled one go on, slowly at first.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::messages::{Context, ControlMessage};
use super::record::persist;
use crate::model::{OnFailure, Timestamp, WebhookKey};
use crate::snapshot::Snapshot;
use crate::store::{KnownWebhook, StoreError, Sweep};

const SWEEP: &str = "a sweep over waiting deliveries";

/// In the background: deliveries that it has not reached yet are decided at the attempt, by the same rules.
pub(super) fn start(context: &Arc<Context>, running: &mut JoinSet<()>) {
    let context = Arc::clone(context);
    running.spawn(async move {
        let snapshot = context.live.snapshot();
        reconcile(&context, &snapshot).await;
    });
}

/// For one webhook that was switched on or off.
pub(super) fn switched(context: &Arc<Context>, running: &mut JoinSet<()>, webhook: WebhookKey) {
    let context = Arc::clone(context);
    running.spawn(async move {
        let snapshot = context.live.snapshot();
        let sweep = match snapshot.by_key(webhook) {
            None => return,
            Some(webhook) if snapshot.is_enabled(webhook) => Sweep::Release,
            Some(_) => Sweep::Hold,
        };
        run(&context, webhook, sweep).await;
    });
}

/// For a webhook one of whose deliveries waits again after an attempt: if it was removed or disabled in the meantime, the
/// delivery is treated like the others, instead of when it is due.
pub(super) async fn overtaken(context: &Context, webhook: WebhookKey) {
    let wanted = wanted(context, webhook);
    if wanted != Sweep::Release {
        run(context, webhook, wanted).await;
    }
}

/// `None`: the store failed for good.
async fn reconcile(context: &Context, snapshot: &Snapshot) -> Option<()> {
    for known in persist("a new configuration", || context.store.known_webhooks()).await? {
        let sweep = needed(snapshot, &known, context.clock.now());
        // A webhook that may come back still waits for what was given up.
        let is_over = snapshot.webhook(&known.id).is_some() || sweep == Some(Sweep::Cancel);
        if known.blocks && is_over && !blocks(snapshot, &known) {
            run(context, known.key, Sweep::Unblock).await?;
        }
        let Some(sweep) = sweep else { continue };
        // A later configuration may have changed its mind; its own reconciliation sees to that.
        if context.live.snapshot().generation != snapshot.generation {
            return Some(());
        }
        let deliveries = run(context, known.key, sweep).await?;
        if deliveries > 0 {
            tracing::info!(webhook = %known.id, deliveries, ?sweep, "waiting deliveries changed by the configuration");
        }
    }
    Some(())
}

/// A long sweep may be overtaken by the next switch: then it stops, and the sweep that is wanted by now follows, so that
/// two of them neither undo each other nor leave half of the deliveries behind.
async fn run(context: &Context, webhook: WebhookKey, sweep: Sweep) -> Option<u64> {
    if sweep == Sweep::Unblock {
        return persist(SWEEP, || unblock(context, webhook)).await;
    }
    let (mut sweep, mut total) = (sweep, 0);
    loop {
        if sweep == Sweep::Release {
            // Fails only when the loop has ended.
            let _ = context.control.send(ControlMessage::Released { webhook }).await;
        }
        let swept = || context.store.sweep_while(webhook, sweep, || is_wanted(context, webhook, sweep));
        total += persist(SWEEP, swept).await?;
        if is_wanted(context, webhook, sweep) {
            return Some(total);
        }
        sweep = wanted(context, webhook);
    }
}

/// Unless a later configuration blocks again.
async fn unblock(context: &Context, webhook: WebhookKey) -> Result<u64, StoreError> {
    let snapshot = context.live.snapshot();
    let order = snapshot.by_key(webhook).and_then(|webhook| webhook.settings.lane.order.as_ref());
    if order.is_some_and(|order| order.on_gap == OnFailure::Block) {
        return Ok(0);
    }
    context.store.sweep(webhook, Sweep::Unblock).await
}

/// A webhook that is missing stays so for a hold and for a cancellation alike.
fn is_wanted(context: &Context, webhook: WebhookKey, sweep: Sweep) -> bool {
    match sweep {
        Sweep::Cancel => context.live.snapshot().by_key(webhook).is_none(),
        _ => wanted(context, webhook) == sweep,
    }
}

/// What has to become of a webhook's waiting deliveries by now.
fn wanted(context: &Context, webhook: WebhookKey) -> Sweep {
    let snapshot = context.live.snapshot();
    match snapshot.by_key(webhook) {
        None if snapshot.status_board.is_deleted(webhook) => Sweep::Cancel,
        None => Sweep::HoldRemoved,
        Some(webhook) if snapshot.is_enabled(webhook) => Sweep::Release,
        Some(_) => Sweep::Hold,
    }
}

fn blocks(snapshot: &Snapshot, known: &KnownWebhook) -> bool {
    let order = snapshot.webhook(&known.id).and_then(|webhook| webhook.settings.lane.order.as_ref());
    order.is_some_and(|order| order.on_gap == OnFailure::Block)
}

fn needed(snapshot: &Snapshot, known: &KnownWebhook, now: Timestamp) -> Option<Sweep> {
    let is_over = |since: Timestamp| since.after(snapshot.settings.retention.removed) <= now;
    match snapshot.webhook(&known.id) {
        None if known.removed_since.is_some_and(is_over) => (known.waiting + known.held > 0).then_some(Sweep::Cancel),
        None => (known.waiting > 0).then_some(Sweep::HoldRemoved),
        Some(webhook) if snapshot.is_enabled(webhook) => (known.held > 0).then_some(Sweep::Release),
        Some(_) => (known.waiting > 0).then_some(Sweep::Hold),
    }
}
