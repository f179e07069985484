//! What a new configuration or a switch means for what waits: a removed webhook's deliveries are cancelled, a disabled
//! one's are held, an enabled one's go on, slowly at first.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::attempt::{Context, Other};
use super::record::persist;
use crate::model::{OnGap, WebhookKey};
use crate::snapshot::Snapshot;
use crate::store::{KnownWebhook, StoreError, Sweep};

const WHAT_WAITS: &str = "what the configuration or a switch means for waiting deliveries";

/// In the background: what it has not reached yet is decided at the attempt, by the same rules.
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

/// `None`: the store failed for good.
async fn reconcile(context: &Context, snapshot: &Snapshot) -> Option<()> {
    for known in persist("a new configuration", || context.store.known_webhooks()).await? {
        if known.blocks && !blocks(snapshot, &known) {
            run(context, known.key, Sweep::Unblock).await?;
        }
        let Some(sweep) = needed(snapshot, &known) else { continue };
        // A later configuration may have changed its mind; its own reconciliation sees to that.
        if context.live.snapshot().generation != snapshot.generation {
            return Some(());
        }
        let deliveries = run(context, known.key, sweep).await?;
        if deliveries > 0 {
            tracing::info!(webhook = %known.id, deliveries, ?sweep, "waiting deliveries follow the configuration");
        }
    }
    Some(())
}

/// A long sweep may be overtaken by the next switch: then it gives way, and the one that is wanted by now follows, so
/// that two of them neither undo each other nor leave half behind.
async fn run(context: &Context, webhook: WebhookKey, sweep: Sweep) -> Option<u64> {
    if sweep == Sweep::Unblock {
        return persist(WHAT_WAITS, || unblock(context, webhook)).await;
    }
    let (mut sweep, mut total) = (sweep, 0);
    loop {
        if sweep == Sweep::Release {
            // Fails only when the loop has ended.
            let _ = context.others.send(Other::Released { webhook }).await;
        }
        let swept = || context.store.sweep_while(webhook, sweep, || wanted(context, webhook) == sweep);
        total += persist(WHAT_WAITS, swept).await?;
        let by_now = wanted(context, webhook);
        if by_now == sweep {
            return Some(total);
        }
        sweep = by_now;
    }
}

/// Unless a later configuration blocks again.
async fn unblock(context: &Context, webhook: WebhookKey) -> Result<u64, StoreError> {
    let snapshot = context.live.snapshot();
    let order = snapshot.by_key(webhook).and_then(|webhook| webhook.settings.lane.order.as_ref());
    if order.is_some_and(|order| order.on_gap == OnGap::Block) {
        return Ok(0);
    }
    context.store.sweep(webhook, Sweep::Unblock).await
}

/// What has to become of a webhook's waiting deliveries, as things stand.
fn wanted(context: &Context, webhook: WebhookKey) -> Sweep {
    let snapshot = context.live.snapshot();
    match snapshot.by_key(webhook) {
        None => Sweep::Cancel,
        Some(webhook) if snapshot.is_enabled(webhook) => Sweep::Release,
        Some(_) => Sweep::Hold,
    }
}

fn blocks(snapshot: &Snapshot, known: &KnownWebhook) -> bool {
    let order = snapshot.webhook(&known.id).and_then(|webhook| webhook.settings.lane.order.as_ref());
    order.is_some_and(|order| order.on_gap == OnGap::Block)
}

fn needed(snapshot: &Snapshot, known: &KnownWebhook) -> Option<Sweep> {
    match snapshot.webhook(&known.id) {
        None => (known.waiting + known.held > 0).then_some(Sweep::Cancel),
        Some(webhook) if snapshot.is_enabled(webhook) => (known.held > 0).then_some(Sweep::Release),
        Some(_) => (known.waiting > 0).then_some(Sweep::Hold),
    }
}
