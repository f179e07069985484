//! Into the store, until it takes it: attempts, and how webhooks stand.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::attempt::{Context, Event};
use crate::model::WebhookKey;
use crate::operational::Notice;
use crate::store::{Settle, Settled, StandingChange, StoreError, Sweep};

/// Between two tries to record an attempt while the store cannot take it. Its place stays taken meanwhile: what
/// cannot be recorded should not be attempted either.
const RECORD_PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn record(context: &Context, settle: Settle) -> Settled {
    let settle = Arc::new(settle);
    loop {
        match context.store.settle(Arc::clone(&settle)).await {
            Ok(settled) => return settled,
            // Said once by the store; the process is about to stop.
            Err(StoreError::Poisoned { .. }) => return Settled::default(),
            Err(error) => {
                tracing::error!(delivery = %settle.delivery, %error, "an attempt cannot be recorded yet");
                tokio::time::sleep(RECORD_PAUSE).await;
            }
        }
    }
}

pub(super) async fn release(context: &Context, webhook: WebhookKey) {
    if let Err(error) = context.store.sweep(webhook, Sweep::Release).await {
        tracing::error!(%error, "held deliveries cannot be released; the next reload tries again");
    }
}

/// Keeps how webhooks stand, then tells of it; one such task at a time, so that the last word is the last kept.
pub(super) fn spawn_keeper(
    context: &Arc<Context>,
    running: &mut JoinSet<()>,
    changes: Vec<(WebhookKey, StandingChange)>,
    notices: Vec<Notice>,
) {
    let context = Arc::clone(context);
    running.spawn(async move {
        loop {
            match context.store.stand(changes.clone()).await {
                Ok(()) | Err(StoreError::Poisoned { .. }) => break,
                Err(error) => {
                    tracing::error!(%error, "how webhooks stand cannot be kept yet");
                    tokio::time::sleep(RECORD_PAUSE).await;
                }
            }
        }
        for notice in notices {
            context.operational.raise(&notice).await;
        }
        // Fails only when the loop has ended.
        let _ = context.events.send(Event::Kept).await;
    });
}
