//! Retention: removes old events, deliveries, audit entries and jobs, in the background.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::RetentionSettings;
use crate::model::Timestamp;
use crate::snapshot::Live;
use crate::store::{Store, StoreError};

/// Between two rounds: retention is counted in days, and an idle server should be idle.
const PAUSE: Duration = Duration::from_secs(10 * 60);

pub(super) async fn run(store: Store, live: Arc<Live>, clock: Clock, shutdown: CancellationToken) {
    loop {
        let retention = live.snapshot().settings.retention.clone();
        let now = clock.now();
        let pruned = tokio::select! {
            () = shutdown.cancelled() => return,
            pruned = prune(&store, &retention, now) => pruned,
        };
        match pruned {
            Ok(0) => {}
            Ok(events) => tracing::info!(events, "events removed by retention"),
            Err(error) => tracing::warn!(%error, "retention failed, trying again later"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn prune(store: &Store, retention: &RetentionSettings, now: Timestamp) -> Result<u64, StoreError> {
    store.prune_management(now.before(retention.audit), now.before(retention.failed)).await?;
    store.prune(now.before(retention.events), now.before(retention.failed)).await
}
