//! From the store to the endpoints: lanes per webhook, attempts, and what comes after them. Refuses to know of HTTP
//! requests that come in: the store is the only thing between.

mod attempt;
mod classify;
mod conceal;
mod due;
mod health;
mod lane;
mod places;
mod reconcile;
mod record;
mod request;
mod simulation;
#[cfg(test)]
mod tests;
mod throttle;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::attempt::{Context, Event, Other};
use self::due::DueIndex;
use self::health::{Health, News};
use self::lane::Lane;
use self::places::{ATTEMPTS_MAX, Places};
pub use self::simulation::{Answering, Endpoints, Simulation};
use self::throttle::{Throttle, Turns};
use crate::clock::Clock;
use crate::model::{Admission, Timestamp, WebhookKey};
use crate::operational::Operational;
use crate::snapshot::{Live, Snapshot, Switchboard};
use crate::store::{Claimed, Ready, Store, StoreError};
use crate::telemetry::Metrics;

/// Deliveries read from disk for one lane at once: amortises the look, and bounds what waits in memory. A lane that may
/// have few under way is given few.
const CLAIM_MAX: usize = 256;
const CLAIM_MIN: usize = 8;

/// A lane that may not go on for longer than this keeps nothing in memory that it can read again.
const READ_AHEAD_MAX: Duration = Duration::from_secs(1);

/// Of keepers, and of webhooks that are released, at once: more wait to be taken up.
const OTHERS_MAX: usize = 64;

/// Events taken up before anything new begins.
const EVENTS_AT_ONCE: usize = 256;

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
    due: DueIndex<Timestamp>,
    /// Lanes that are paced, and when each may go on.
    paced: DueIndex<Duration>,
    throttle: Throttle,
    turns: Turns,
    health: Health,
    /// Whether how webhooks stand is on its way to the store.
    keeping: bool,
    started: Instant,
    places: Places,
    /// Lanes that wait for a look at the disk, each once.
    looks: VecDeque<WebhookKey>,
    running: JoinSet<()>,
    claims: JoinSet<(WebhookKey, Result<Claimed, StoreError>)>,
    events: mpsc::Receiver<Event>,
    others: mpsc::Receiver<Other>,
}

impl Dispatcher {
    pub fn new(store: Store, live: Arc<Live>, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self::build(store, live, clock, metrics, None)
    }

    /// As [`Dispatcher::new`], without a network and without chance.
    pub fn simulated(store: Store, live: Arc<Live>, clock: Clock, metrics: Arc<Metrics>, simulation: Simulation) -> Self {
        Self::build(store, live, clock, metrics, Some(simulation))
    }

    fn build(store: Store, live: Arc<Live>, clock: Clock, metrics: Arc<Metrics>, simulation: Option<Simulation>) -> Self {
        // Each attempt sends two events at the most, so a send never waits; nobody else sends there.
        let (sender, events) = mpsc::channel(2 * ATTEMPTS_MAX);
        let (others, others_inbox) = mpsc::channel(OTHERS_MAX);
        let health = Health::restored(&live.snapshot().switchboard, clock.now());
        let operational = Operational::new(store.clone(), Arc::clone(&live), clock.clone());
        Self {
            context: Arc::new(Context { store, live, clock, metrics, events: sender, others, operational, simulation }),
            lanes: HashMap::new(),
            runnable: VecDeque::new(),
            due: DueIndex::default(),
            paced: DueIndex::default(),
            throttle: Throttle::default(),
            turns: Turns::default(),
            health,
            keeping: false,
            started: Instant::now(),
            places: Places::default(),
            looks: VecDeque::new(),
            running: JoinSet::new(),
            claims: JoinSet::new(),
            events,
            others: others_inbox,
        }
    }

    /// Works until `shutdown`, then lets the attempts under way finish for `grace`. What is cut off then, is
    /// claimed again at the next start.
    pub async fn run(mut self, shutdown: CancellationToken, grace: impl Fn() -> Duration) {
        let mut generations = self.context.live.generations();
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        let board = Arc::clone(&self.context.live.snapshot().switchboard);
        self.reconfigured();
        loop {
            self.take_up();
            // Here, not only when the sleep below is over: while events keep coming it may never be.
            self.wake_due();
            self.start_work();
            self.start_keeping();
            let wake = self.next_wake();
            tokio::select! {
                // What is rare first, and what comes all the time was taken up above, so nothing waits behind the rest.
                biased;
                () = shutdown.cancelled() => break,
                Ok(()) = generations.changed() => self.reconfigured(),
                switched = board.switched() => switched.into_iter().for_each(|webhook| self.switched(webhook, &board)),
                ready = self.context.store.ready() => self.take(ready),
                _ = self.events.recv_many(&mut events, EVENTS_AT_ONCE) => events.drain(..).for_each(|event| self.note(event)),
                Some(other) = self.others.recv() => self.note_other(other),
                Some(claimed) = self.claims.join_next() => self.claimed(claimed),
                Some(_) = self.running.join_next() => {}
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => self.wake_due(),
            }
        }
        self.drain(grace()).await;
    }

    /// What attempts and looks at the disk have told meanwhile.
    fn take_up(&mut self) {
        for _ in 0..EVENTS_AT_ONCE {
            let Ok(event) = self.events.try_recv() else { break };
            self.note(event);
        }
        for _ in 0..OTHERS_MAX {
            let Ok(other) = self.others.try_recv() else { break };
            self.note_other(other);
        }
        while let Some(claimed) = self.claims.try_join_next() {
            self.claimed(claimed);
        }
        while self.running.try_join_next().is_some() {}
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

    /// A new configuration is live.
    fn reconfigured(&mut self) {
        let snapshot = self.context.live.snapshot();
        for webhook in self.health.heal(&snapshot, self.context.clock.now()) {
            self.throttle.ramp(webhook, self.started.elapsed());
        }
        reconcile::start(&self.context, &mut self.running);
        self.runnable.extend(self.lanes.values_mut().filter_map(Lane::queue_up));
    }

    fn switched(&mut self, key: WebhookKey, board: &Switchboard) {
        let snapshot = self.context.live.snapshot();
        if self.keeping || self.health.is_unkept(key) {
            self.health.switched(key, board);
        }
        if let Some(webhook) = snapshot.by_key(key).filter(|webhook| snapshot.is_enabled(webhook)) {
            self.health.forget(webhook, board, self.context.clock.now());
        }
        reconcile::switched(&self.context, &mut self.running, key);
        self.wake(key);
    }

    /// An attempt says how its endpoint is.
    fn learn(&mut self, key: WebhookKey, news: News) {
        let snapshot = self.context.live.snapshot();
        let Some(webhook) = snapshot.by_key(key) else { return };
        if self.health.learn(webhook, news, &snapshot.switchboard, self.context.clock.now()) {
            self.throttle.ramp(key, self.started.elapsed());
        }
    }

    fn wake(&mut self, key: WebhookKey) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            self.runnable.extend(lane.queue_up());
        }
    }

    fn start_keeping(&mut self) {
        if self.keeping {
            return;
        }
        if let Some((changes, notices)) = self.health.take() {
            self.keeping = true;
            record::spawn_keeper(&self.context, &mut self.running, changes, notices);
        }
    }

    fn note(&mut self, event: Event) {
        let key = match event {
            Event::Sent { webhook, news } => {
                self.learn(webhook, news);
                webhook
            }
            Event::Settled { webhook, .. } => webhook,
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
            Event::Sent { .. } | Event::Broke { .. } => {
                self.places.sent(lane.is_slow());
                lane.sent();
                if let Event::Sent { news: News { slow: Some(slow), arrived, .. }, .. } = event {
                    lane.set_proven(!slow || arrived == Some(true));
                    if slow != lane.is_slow() {
                        lane.set_slow(slow);
                        self.places.turned(slow, lane.in_flight());
                        if lane.waits_for_place() {
                            self.places.wait(key, slow);
                        }
                    }
                }
            }
            Event::Settled { delivery, again, .. } => {
                self.places.leave();
                lane.settled(delivery.number);
                // The store has told of it already, perhaps so early that a look at the disk passed over it as ours.
                if let Some(at) = again {
                    self.due.set(key, at);
                }
            }
        }
        self.runnable.extend(lane.queue_up());
    }

    fn note_other(&mut self, other: Other) {
        match other {
            Other::Released { webhook } => self.throttle.ramp(webhook, self.started.elapsed()),
            Other::Kept => self.keeping = false,
        }
    }

    /// The webhooks whose time has come: those with work on disk look there, those that were paced go on.
    fn wake_due(&mut self) {
        let now = self.context.clock.now();
        while let Some(key) = self.due.pop(now) {
            let lane = self.lanes.entry(key).or_insert_with(|| Lane::new(key));
            lane.disk_has_work();
            self.runnable.extend(lane.queue_up());
        }
        let elapsed = self.started.elapsed();
        while let Some(key) = self.paced.pop(elapsed) {
            self.wake(key);
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let due = self.due.first().map(|first| Instant::now() + self.context.clock.now().until(first).min(SLEEP_MAX));
        let paced = self.paced.first().map(|first| self.started + first);
        due.into_iter().chain(paced).min()
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
                lane.claimed(claimed.leases, claimed.more, claimed.is_short);
                if let Some(at) = claimed.next_due {
                    self.due.set(key, at);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read waiting deliveries, trying again");
                lane.claimed(Vec::new(), false, false);
                self.due.set(key, self.context.clock.now().after(CLAIM_PAUSE));
            }
        }
        self.runnable.extend(lane.queue_up());
    }

    fn start_work(&mut self) {
        let mut snapshot = None;
        while let Some(key) = self.next_lane() {
            self.start_lane(key, snapshot.get_or_insert_with(|| self.context.live.snapshot()));
        }
    }

    /// Who waits for a place or a look that is free, before those that have only become runnable.
    fn next_lane(&mut self) -> Option<WebhookKey> {
        if let Some(key) = self.places.next() {
            self.lanes.get_mut(&key).into_iter().for_each(Lane::offer_place);
            return Some(key);
        }
        if let Some(key) = self.looks.pop_front_if(|_| self.claims.len() < CLAIMS_MAX) {
            self.lanes.get_mut(&key).into_iter().for_each(Lane::offer_look);
            return Some(key);
        }
        let key = self.runnable.pop_front()?;
        self.lanes.get_mut(&key).into_iter().for_each(Lane::unqueue);
        Some(key)
    }

    fn start_lane(&mut self, key: WebhookKey, snapshot: &Snapshot) {
        let lanes = self.lanes.len();
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        // A webhook that is gone or disabled sends nothing: its deliveries need no place in its lane.
        let webhook = snapshot.by_key(key).filter(|webhook| snapshot.is_enabled(webhook));
        let allowed = match webhook.map(|webhook| (webhook, self.health.admits(webhook, self.context.clock.now()))) {
            None => ATTEMPTS_MAX,
            Some((webhook, Admission::Everything)) => {
                webhook.settings.concurrency.min(self.places.allowance(lanes, lane.is_proven()))
            }
            Some((_, Admission::Probe)) => 1,
            Some((_, Admission::NotBefore(until))) => {
                self.due.set(key, until);
                0
            }
        };
        let rate = webhook.and_then(|webhook| webhook.settings.lane.rate_limit);
        while self.places.is_free(lane.is_slow()) && lane.may_start(allowed) {
            let now = self.started.elapsed();
            let wall = self.context.clock.now();
            let sends = webhook.zip(lane.first()).is_some_and(|(webhook, next)| attempt::sends(webhook, next, wall));
            if sends && let Some(at) = lane.awaits_turn(&mut self.turns, now, self.places.slow()) {
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
            self.places.take(lane.is_slow());
            self.running.spawn(attempt::run(Arc::clone(&self.context), lease));
        }
        if !self.places.is_free(lane.is_slow()) && lane.may_start(allowed) && lane.wait_for_place() {
            self.places.wait(key, lane.is_slow());
        }
        let now = self.started.elapsed();
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
            self.looks.extend(lane.wait_for_look());
        } else if lane.is_idle() {
            self.lanes.remove(&key);
        } else if !wait.is_zero() {
            self.paced.set(key, now + wait);
        }
    }

    /// Lets attempts finish, then cuts off the rest.
    async fn drain(mut self, grace: Duration) {
        self.lanes.clear();
        self.claims.abort_all();
        let under_way = self.places.taken();
        if under_way > 0 {
            tracing::info!(attempts = under_way, "waiting for attempts under way");
        }
        let finish = async {
            let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
            while !self.running.is_empty() {
                tokio::select! {
                    biased;
                    _ = self.running.join_next() => {}
                    // Taken so that nobody waits to send one.
                    _ = self.events.recv_many(&mut events, EVENTS_AT_ONCE) => events.clear(),
                    Some(_) = self.others.recv() => {}
                }
            }
        };
        if tokio::time::timeout(grace, finish).await.is_err() {
            tracing::warn!(attempts = self.running.len(), "the grace period is over: the next start makes these attempts again");
            self.running.shutdown().await;
        }
    }
}
