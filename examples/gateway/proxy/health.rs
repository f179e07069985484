//! Health checks of the upstream: an event when it turns unhealthy, and one when it recovers.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::MissedTickBehavior;

use super::Shared;

#[derive(Debug, Clone)]
pub struct HealthOptions {
    pub path: String,
    pub interval: Duration,
    /// In a row, until it counts as bad.
    pub failures: u32,
}

pub async fn watch(shared: Arc<Shared>, options: HealthOptions) {
    let mut ticks = tokio::time::interval(options.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = 0_u32;
    loop {
        ticks.tick().await;
        let upstream = shared.upstream();
        match shared.ask(&options.path).await {
            Ok(()) => {
                if failures >= options.failures {
                    shared.tell("health.check_recovered", json!({"upstream": upstream, "failed_checks": failures}));
                }
                failures = 0;
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                if failures == options.failures {
                    shared.tell("health.check_failed", json!({"upstream": upstream, "failed_checks": failures, "error": error}));
                }
            }
        }
    }
}
