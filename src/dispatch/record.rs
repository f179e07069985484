//! Into the store, until it takes it: attempts, and how webhooks stand.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::attempt::{Context, Other};
use crate::model::WebhookKey;
use crate::operational::Notice;
use crate::store::{Settle, Settled, StandingChange, StoreError, Sweep};

/// Between two tries while the store cannot take something. An attempt's place among all stays taken meanwhile: what
/// cannot be recorded should not be attempted without end either.
const RECORD_PAUSE: Duration = Duration::from_secs(1);

/// Does `work` over and over until the store takes it; `what` is told once, if it does not at first. `None`: the store
/// failed for good, has said so, and the process is about to stop.
pub(super) async fn persist<T, W>(what: &str, work: impl Fn() -> W) -> Option<T>
where
    W: Future<Output = Result<T, StoreError>>,
{
    let mut told = false;
    loop {
        match work().await {
            Ok(done) => return Some(done),
            Err(StoreError::Poisoned { .. }) => return None,
            Err(error) if told => tracing::debug!(%error, "still, {what} cannot be stored"),
            Err(error) => {
                tracing::error!(%error, "{what} cannot be stored yet, trying again");
                told = true;
            }
        }
        tokio::time::sleep(RECORD_PAUSE).await;
    }
}

pub(super) async fn record(context: &Context, settle: Settle) -> Settled {
    let settle = Arc::new(settle);
    persist(&format!("an attempt of {}", settle.delivery), || context.store.settle(Arc::clone(&settle))).await.unwrap_or_default()
}

pub(super) async fn release(context: &Context, webhook: WebhookKey) {
    persist("the release of what was held", || context.store.sweep(webhook, Sweep::Release)).await;
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
        persist("how webhooks stand", || context.store.stand(changes.clone())).await;
        for notice in notices {
            context.operational.raise(&notice).await;
        }
        // Fails only when the loop has ended.
        let _ = context.others.send(Other::Kept).await;
    });
}
