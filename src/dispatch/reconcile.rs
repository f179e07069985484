//! What a new configuration means for what waits: a removed webhook's deliveries are cancelled, a disabled one's are
//! held, an enabled one's go on.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::attempt::Context;
use crate::snapshot::Snapshot;
use crate::store::{KnownWebhook, StoreError, Sweep};

/// In the background: what it has not reached yet is decided at the attempt, by the same rules.
pub(super) fn start(context: &Arc<Context>, running: &mut JoinSet<()>) {
    let context = Arc::clone(context);
    running.spawn(async move {
        let snapshot = context.live.snapshot();
        if let Err(error) = reconcile(&context, &snapshot).await {
            tracing::error!(%error, "waiting deliveries could not be brought in line with the configuration; the next reload tries again");
        }
    });
}

async fn reconcile(context: &Context, snapshot: &Snapshot) -> Result<(), StoreError> {
    for known in context.store.known_webhooks().await? {
        let Some(sweep) = needed(snapshot, &known) else { continue };
        // A later configuration may have changed its mind; its own reconciliation sees to that.
        if context.live.snapshot().generation != snapshot.generation {
            return Ok(());
        }
        let deliveries = context.store.sweep(known.key, sweep).await?;
        if deliveries > 0 {
            tracing::info!(webhook = %known.id, deliveries, ?sweep, "waiting deliveries follow the configuration");
        }
    }
    Ok(())
}

fn needed(snapshot: &Snapshot, known: &KnownWebhook) -> Option<Sweep> {
    match snapshot.webhook(&known.id) {
        None => (known.waiting + known.held > 0).then_some(Sweep::Cancel),
        Some(webhook) if webhook.settings.enabled => (known.held > 0).then_some(Sweep::Release),
        Some(_) => (known.waiting > 0).then_some(Sweep::Hold),
    }
}
