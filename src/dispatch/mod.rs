//! From the store to the endpoints: lanes per webhook, attempts, and what comes after them. Refuses to know of HTTP
//! requests that come in: the store is the only thing between.

mod attempt;
mod classify;
mod due;
mod lane;
mod reconcile;
mod request;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::attempt::{Context, Event};
use self::due::DueIndex;
use self::lane::Lane;
use crate::clock::Clock;
use crate::model::WebhookKey;
use crate::snapshot::Live;
use crate::store::{Claimed, Ready, Store, StoreError};
use crate::telemetry::Metrics;

/// Attempts under way or being recorded, over all webhooks: 16 KiB of kept response each is 64 MiB at the most.
const ATTEMPTS_MAX: usize = 4096;

/// Above this many, a lane gets only its even share of the rest, so that a few hundred hanging endpoints cannot
/// take every place.
const SHARED_FROM: usize = ATTEMPTS_MAX / 2;

/// Deliveries read from disk for one lane at once: amortises the look, and bounds what waits in memory.
const CLAIM_MAX: usize = 256;

/// Looks at the disk under way at once, over all lanes.
const CLAIMS_MAX: usize = 16;

/// The wall clock may be set while we sleep by the monotonic one: look again at least this often.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// After a look at the disk that failed.
const CLAIM_PAUSE: Duration = Duration::from_secs(1);

/// The dispatcher: one loop that owns all lanes, and a task per attempt.
pub struct Dispatcher {
    context: Arc<Context>,
    lanes: HashMap<WebhookKey, Lane>,
    /// Lanes that may start something, each once.
    runnable: VecDeque<WebhookKey>,
    due: DueIndex,
    /// Attempts whose places are taken.
    attempts: usize,
    running: JoinSet<()>,
    claims: JoinSet<(WebhookKey, Result<Claimed, StoreError>)>,
    events: mpsc::Receiver<Event>,
}

impl Dispatcher {
    pub fn new(store: Store, live: Arc<Live>, clock: Clock, metrics: Arc<Metrics>) -> Self {
        // Each attempt sends two events at the most, so a send never waits.
        let (sender, events) = mpsc::channel(2 * ATTEMPTS_MAX);
        Self {
            context: Arc::new(Context { store, live, clock, metrics, events: sender }),
            lanes: HashMap::new(),
            runnable: VecDeque::new(),
            due: DueIndex::default(),
            attempts: 0,
            running: JoinSet::new(),
            claims: JoinSet::new(),
            events,
        }
    }

    /// Works until `shutdown`, then lets the attempts under way finish for `grace`. What is cut off then, is
    /// claimed again at the next start.
    pub async fn run(mut self, shutdown: CancellationToken, grace: impl Fn() -> Duration) {
        let mut generations = self.context.live.generations();
        let mut events = Vec::with_capacity(256);
        reconcile::start(&self.context, &mut self.running);
        loop {
            self.start_work();
            let wake = self.next_wake();
            tokio::select! {
                () = shutdown.cancelled() => break,
                ready = self.context.store.ready() => self.take(ready),
                _ = self.events.recv_many(&mut events, 256) => events.drain(..).for_each(|event| self.note(event)),
                Some(claimed) = self.claims.join_next() => self.claimed(claimed),
                Some(_) = self.running.join_next() => {}
                changed = generations.changed() => {
                    if changed.is_ok() {
                        reconcile::start(&self.context, &mut self.running);
                        self.runnable.extend(self.lanes.values_mut().filter_map(Lane::queue_up));
                    }
                }
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => self.wake_due(),
            }
        }
        self.drain(grace()).await;
    }

    fn take(&mut self, ready: Ready) {
        for lease in ready.fresh {
            let key = lease.webhook;
            let lane = self.lanes.entry(key).or_insert_with(|| Lane::new(key));
            lane.push(lease);
            self.runnable.extend(lane.queue_up());
        }
        for (webhook, at) in ready.due {
            self.due.set(webhook, at);
        }
        for (webhook, delivery) in ready.cancelled {
            if let Some(lane) = self.lanes.get_mut(&webhook) {
                lane.cancel(delivery);
                self.runnable.extend(lane.queue_up());
            }
        }
    }

    fn note(&mut self, event: Event) {
        let key = match event {
            Event::Sent { webhook } | Event::Settled { webhook, .. } => webhook,
            Event::Broke { delivery, webhook, sent } => {
                attempt::spawn_repair(&self.context, &mut self.running, delivery, webhook);
                if sent {
                    return;
                }
                webhook
            }
        };
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        match event {
            Event::Sent { .. } | Event::Broke { .. } => lane.sent(),
            Event::Settled { delivery, .. } => {
                self.attempts -= 1;
                lane.settled(delivery.number);
            }
        }
        self.runnable.extend(lane.queue_up());
    }

    /// The webhooks whose time has come get a lane that looks at the disk.
    fn wake_due(&mut self) {
        let now = self.context.clock.now();
        while let Some(key) = self.due.pop(now) {
            let lane = self.lanes.entry(key).or_insert_with(|| Lane::new(key));
            lane.disk_has_work();
            self.runnable.extend(lane.queue_up());
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let first = self.due.first()?;
        Some(Instant::now() + self.context.clock.now().until(first).min(SLEEP_MAX))
    }

    fn claimed(&mut self, claimed: Result<(WebhookKey, Result<Claimed, StoreError>), tokio::task::JoinError>) {
        let (key, result) = match claimed {
            Ok(claimed) => claimed,
            Err(e) => {
                // The lane of a look that panicked stays marked as looking: say so, rather than look for ever.
                tracing::error!("a look at the store panicked: {e}");
                return;
            }
        };
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        match result {
            Ok(claimed) => {
                lane.claimed(claimed.leases, claimed.more);
                if let Some(at) = claimed.next_due {
                    self.due.set(key, at);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read waiting deliveries, trying again");
                lane.claimed(Vec::new(), false);
                self.due.set(key, self.context.clock.now().after(CLAIM_PAUSE));
            }
        }
        self.runnable.extend(lane.queue_up());
    }

    fn start_work(&mut self) {
        if self.runnable.is_empty() {
            return;
        }
        let snapshot = self.context.live.snapshot();
        let lanes = self.lanes.len();
        // Each lane once: what is still runnable afterwards waits for a place or for an answer, which queues it again.
        for _ in 0..self.runnable.len() {
            let Some(key) = self.runnable.pop_front() else { return };
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            lane.unqueue();
            let share = share(self.attempts, lanes);
            // A webhook that is gone or disabled sends nothing: its deliveries need no place in its lane.
            let allowed = match snapshot.by_key(key) {
                Some(webhook) if webhook.settings.enabled => webhook.settings.concurrency.min(share),
                _ => ATTEMPTS_MAX,
            };
            while self.attempts < ATTEMPTS_MAX
                && let Some(lease) = lane.start(allowed)
            {
                self.attempts += 1;
                self.running.spawn(attempt::run(Arc::clone(&self.context), lease));
            }
            if self.attempts >= ATTEMPTS_MAX && lane.has_queue() {
                self.runnable.extend(lane.queue_up());
            }
            if lane.wants_claim(allowed) && self.claims.len() < CLAIMS_MAX {
                let leased = lane.begin_claim();
                let store = self.context.store.clone();
                self.claims.spawn(async move { (key, store.claim(key, CLAIM_MAX, leased).await) });
            } else if lane.wants_claim(allowed) {
                self.runnable.extend(lane.queue_up());
            } else if lane.is_idle() {
                self.lanes.remove(&key);
            }
        }
    }

    /// Lets attempts finish, then cuts off the rest.
    async fn drain(mut self, grace: Duration) {
        self.lanes.clear();
        self.claims.abort_all();
        let under_way = self.attempts;
        if under_way > 0 {
            tracing::info!(attempts = under_way, "waiting for attempts under way");
        }
        let finish = async {
            let mut events = Vec::with_capacity(256);
            while !self.running.is_empty() {
                tokio::select! {
                    _ = self.running.join_next() => {}
                    // Taken so that nobody waits to send one.
                    _ = self.events.recv_many(&mut events, 256) => events.clear(),
                }
            }
        };
        if tokio::time::timeout(grace, finish).await.is_err() {
            tracing::warn!(attempts = self.running.len(), "the grace period is over: the next start makes these attempts again");
            self.running.shutdown().await;
        }
    }
}

/// How many attempts a lane may have: all it wants while there is plenty of room, an even share when there is not.
fn share(attempts: usize, lanes: usize) -> usize {
    if attempts < SHARED_FROM { ATTEMPTS_MAX } else { ((ATTEMPTS_MAX - SHARED_FROM) / lanes.max(1)).max(1) }
}
