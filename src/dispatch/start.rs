//! Which lanes may start attempts or claim from disk, and how many.

use std::sync::Arc;
use std::time::Duration;

use super::lane::Lane;
use super::{Dispatcher, attempt};
use crate::model::{Admission, WebhookKey};
use crate::snapshot::{Snapshot, Webhook};
use crate::store::{Claimed, StoreError};

/// Deliveries read from disk for one lane at once: amortises the claim, and bounds what waits in memory. A lane that may
/// have few in flight is given few.
const CLAIM_MAX: usize = 256;
const CLAIM_MIN: usize = 8;

/// A lane that may not go on for longer than this keeps nothing in memory that it can read again.
const READ_AHEAD_MAX: Duration = Duration::from_secs(1);

/// Claims that run at once, over all lanes.
pub(super) const CLAIMS_MAX: usize = 16;

/// After a claim that failed.
const CLAIM_PAUSE: Duration = Duration::from_secs(1);

impl Dispatcher {
    pub(super) fn start_work(&mut self) {
        let mut snapshot = None;
        while let Some(key) = self.next_lane() {
            self.start_lane(key, snapshot.get_or_insert_with(|| self.context.live.snapshot()));
        }
    }

    /// Lanes that waited for a permit or a claim that is free, before those that have only become runnable.
    fn next_lane(&mut self) -> Option<WebhookKey> {
        if let Some(key) = self.permits.next() {
            self.lanes.get_mut(&key).into_iter().for_each(Lane::offer_permit);
            return Some(key);
        }
        if let Some(key) = self.waiting_claims.pop_front_if(|_| self.claims.len() < CLAIMS_MAX) {
            self.lanes.get_mut(&key).into_iter().for_each(Lane::offer_claim);
            return Some(key);
        }
        let key = self.runnable.pop_front()?;
        self.lanes.get_mut(&key).into_iter().for_each(Lane::unmark_runnable);
        Some(key)
    }

    fn start_lane(&mut self, key: WebhookKey, snapshot: &Snapshot) {
        // A webhook that is gone or disabled sends nothing: its deliveries need no permit of its lane.
        let webhook = snapshot.by_key(key).filter(|webhook| snapshot.is_enabled(webhook)).map(|webhook| &**webhook);
        let Some(allowed) = self.allowed(key, webhook) else { return };
        self.start_attempts(key, webhook, allowed);
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if !self.permits.is_free(lane.is_slow()) && lane.may_start(allowed) && lane.wait_for_permit() {
            self.permits.wait(key, lane.is_slow());
        }
        let now = self.started.elapsed();
        let rate = webhook.and_then(|webhook| webhook.settings.lane.rate_limit);
        let wait = webhook.map_or(Duration::ZERO, |_| self.throttle.wait(key, rate, now)).max(lane.wait(now));
        let rests = wait > READ_AHEAD_MAX || allowed == 0;
        if rests {
            lane.shed();
        }
        let wants_claim = !rests && lane.wants_claim(allowed);
        if wants_claim && self.claims.len() < CLAIMS_MAX {
            let leased = lane.begin_claim();
            let store = self.context.store.clone();
            let limit = allowed.saturating_mul(CLAIM_MIN).clamp(CLAIM_MIN, CLAIM_MAX);
            self.claims.spawn(async move { (key, store.claim(key, limit, leased).await) });
        } else if wants_claim {
            self.waiting_claims.extend(lane.wait_for_claim());
        } else if lane.is_idle() {
            self.lanes.remove(&key);
        } else if !wait.is_zero() {
            self.paced.set(key, now + wait);
        }
    }

    /// How many attempts the lane may have in flight; `None`: there is no lane.
    fn allowed(&mut self, key: WebhookKey, webhook: Option<&Webhook>) -> Option<usize> {
        let lanes = self.lanes.len();
        let lane = self.lanes.get_mut(&key)?;
        let Some(webhook) = webhook else { return Some(self.permits.max()) };
        Some(match self.health.admits(webhook, self.context.clock.now()) {
            Admission::Everything => webhook.settings.concurrency.min(self.permits.allowance(lanes, lane.is_responsive())),
            Admission::Probe => 1,
            Admission::NotBefore(until) => {
                self.due.set(key, until);
                0
            }
        })
    }

    fn start_attempts(&mut self, key: WebhookKey, webhook: Option<&Webhook>, allowed: usize) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let rate = webhook.and_then(|webhook| webhook.settings.lane.rate_limit);
        while self.permits.is_free(lane.is_slow()) && lane.may_start(allowed) {
            let now = self.started.elapsed();
            let wall = self.context.clock.now();
            let sends = webhook.zip(lane.first()).is_some_and(|(webhook, next)| attempt::sends(webhook, next, wall));
            if sends && let Some(at) = lane.not_before(&mut self.stagger, now, self.permits.slow(), self.permits.slow_max()) {
                self.paced.set(key, at);
                break;
            }
            if let Some((webhook, next)) = webhook.zip(lane.first())
                && sends
                && let Err(wait) = self.throttle.take(key, rate, now)
            {
                let left = attempt::left(webhook, next, wall).unwrap_or(wait);
                self.paced.set(key, now + wait.min(left));
                break;
            }
            let Some(lease) = lane.start(allowed) else { break };
            self.permits.acquire(lane.is_slow());
            self.running.spawn(attempt::run(Arc::clone(&self.context), lease));
        }
    }

    pub(super) fn claimed(&mut self, claimed: Result<(WebhookKey, Result<Claimed, StoreError>), tokio::task::JoinError>) {
        let (key, result) = match claimed {
            Ok(claimed) => claimed,
            Err(e) => {
                // The lane of a claim that panicked stays marked as claiming: say so, rather than claim without end.
                tracing::error!("a claim panicked, its webhook waits for a restart: {e}");
                return;
            }
        };
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        match result {
            Ok(claimed) => {
                lane.claimed(claimed.leases, claimed.more, claimed.is_short);
                if let Some(at) = claimed.next_due {
                    self.due.set(key, at);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "claim failed, retrying");
                lane.claimed(Vec::new(), false, false);
                self.due.set(key, self.context.clock.now().after(CLAIM_PAUSE));
            }
        }
        self.runnable.extend(lane.mark_runnable());
    }
}
