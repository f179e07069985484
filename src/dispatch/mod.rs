//! From the store to the endpoints: lanes per webhook, attempts, and what comes after them. Refuses to know of HTTP
//! requests that come in: the store is the only thing between.

mod attempt;
mod classify;
mod clock_watch;
mod conceal;
mod due;
mod health;
mod lane;
mod messages;
mod permits;
mod reconcile;
mod record;
mod report;
mod request;
mod simulation;
mod start;
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

use self::clock_watch::ClockWatch;
use self::due::DueIndex;
use self::health::{AttemptReport, Health};
use self::lane::Lane;
use self::messages::{AttemptMessage, Context, ControlMessage};
use self::permits::{ATTEMPTS_MAX, AttemptPermits};
pub use self::simulation::{Answering, Endpoints, Simulation};
use self::throttle::{Stagger, Throttle};
use crate::clock::Clock;
use crate::model::{Timestamp, WebhookKey};
use crate::operational::Operational;
use crate::outbound::{Shortage, descriptors};
use crate::snapshot::{Live, StatusBoard};
use crate::store::{Claimed, Lease, Ready, Store, StoreError};
use crate::telemetry::Metrics;

/// Control messages that wait: of the status saver, and of webhooks that are released.
const CONTROL_MAX: usize = 64;

/// Messages of attempts that are handled before anything new begins.
const MESSAGES_AT_ONCE: usize = 256;

/// The wall clock may be set while we sleep by the monotonic one: check again at least this often.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// A lane whose attempt this machine had no room for, rests for this long.
const SHORTAGE_PAUSE: Duration = Duration::from_secs(1);

/// A shortage that lasts is logged this often.
const SHORTAGE_LOG_EVERY: Duration = Duration::from_secs(10);

/// The dispatcher: one loop that owns all lanes, and a task per attempt.
pub struct Dispatcher {
    context: Arc<Context>,
    lanes: HashMap<WebhookKey, Lane>,
    /// Lanes that may start something, each once.
    runnable: VecDeque<WebhookKey>,
    due: DueIndex<Timestamp>,
    /// Lanes that have to wait, and when each may go on.
    paced: DueIndex<Duration>,
    throttle: Throttle,
    stagger: Stagger,
    health: Health,
    /// Whether the status of webhooks is on its way to the store.
    is_saving_status: bool,
    started: Instant,
    clock_watch: ClockWatch,
    permits: AttemptPermits,
    shortage_logged: Option<Duration>,
    /// Lanes that wait for a claim, each once.
    waiting_claims: VecDeque<WebhookKey>,
    running: JoinSet<()>,
    claims: JoinSet<(WebhookKey, Result<Claimed, StoreError>)>,
    attempt_messages: mpsc::Receiver<AttemptMessage>,
    control_messages: mpsc::Receiver<ControlMessage>,
}

impl Dispatcher {
    pub fn new(store: Store, live: Arc<Live>, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self::build(store, live, clock, metrics, descriptors().attempts(ATTEMPTS_MAX), None)
    }

    /// As [`Dispatcher::new`], without a network and without chance.
    pub fn simulated(store: Store, live: Arc<Live>, clock: Clock, metrics: Arc<Metrics>, simulation: Simulation) -> Self {
        Self::build(store, live, clock, metrics, ATTEMPTS_MAX, Some(simulation))
    }

    fn build(
        store: Store,
        live: Arc<Live>,
        clock: Clock,
        metrics: Arc<Metrics>,
        attempts_max: usize,
        simulation: Option<Simulation>,
    ) -> Self {
        // Each attempt sends at most two messages, so a send never waits; nobody else sends there.
        let (attempts, attempt_messages) = mpsc::channel(2 * attempts_max);
        let (control, control_messages) = mpsc::channel(CONTROL_MAX);
        metrics.declare_shortages(Shortage::ALL.map(Shortage::name));
        let health = Health::restored(&live.snapshot().status_board, clock.now());
        let operational = Operational::new(store.clone(), Arc::clone(&live), clock.clone());
        let clock_watch = ClockWatch::new(clock.now(), Duration::ZERO);
        Self {
            context: Arc::new(Context { store, live, clock, metrics, attempts, control, operational, simulation }),
            lanes: HashMap::new(),
            runnable: VecDeque::new(),
            due: DueIndex::default(),
            paced: DueIndex::default(),
            throttle: Throttle::default(),
            stagger: Stagger::default(),
            health,
            is_saving_status: false,
            started: Instant::now(),
            clock_watch,
            permits: AttemptPermits::new(attempts_max),
            shortage_logged: None,
            waiting_claims: VecDeque::new(),
            running: JoinSet::new(),
            claims: JoinSet::new(),
            attempt_messages,
            control_messages,
        }
    }

    /// Works until `shutdown`, then lets the attempts in flight finish for `grace`. Those that are cut off then are
    /// claimed again at the next start.
    pub async fn run(mut self, shutdown: CancellationToken, grace: impl Fn() -> Duration) {
        let mut generations = self.context.live.generations();
        let mut messages = Vec::with_capacity(MESSAGES_AT_ONCE);
        let board = Arc::clone(&self.context.live.snapshot().status_board);
        self.check_clock_at_start().await;
        self.reconfigured();
        loop {
            self.follow_clock();
            self.drain_messages();
            // Here, not only when the sleep below is over: while messages keep coming it may never be.
            self.wake_due();
            self.start_work();
            self.start_saving_status();
            let wake = self.next_wake();
            tokio::select! {
                // What is rare first; what comes all the time was handled above, so nothing waits behind the rest.
                biased;
                () = shutdown.cancelled() => break,
                Ok(()) = generations.changed() => self.reconfigured(),
                switched = board.switched() => switched.into_iter().for_each(|webhook| self.switched(webhook, &board)),
                ready = self.context.store.ready() => self.take(ready),
                _ = self.attempt_messages.recv_many(&mut messages, MESSAGES_AT_ONCE) => {
                    messages.drain(..).for_each(|message| self.handle(message));
                }
                Some(message) = self.control_messages.recv() => self.handle_control(message),
                Some(claimed) = self.claims.join_next() => self.claimed(claimed),
                Some(_) = self.running.join_next() => {}
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
        self.drain(grace()).await;
    }

    /// Messages and claims that came in the meantime.
    fn drain_messages(&mut self) {
        for _ in 0..MESSAGES_AT_ONCE {
            let Ok(message) = self.attempt_messages.try_recv() else { break };
            self.handle(message);
        }
        for _ in 0..CONTROL_MAX {
            let Ok(message) = self.control_messages.try_recv() else { break };
            self.handle_control(message);
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
            self.runnable.extend(lane.mark_runnable());
        }
        for (webhook, at) in ready.due {
            self.due.set(webhook, at);
        }
        for (webhook, delivery) in ready.cancelled {
            if let Some(lane) = self.lanes.get_mut(&webhook) {
                lane.cancel(delivery);
                self.runnable.extend(lane.mark_runnable());
            }
        }
    }

    /// A new configuration is live.
    fn reconfigured(&mut self) {
        let snapshot = self.context.live.snapshot();
        for webhook in self.health.heal(&snapshot, self.context.clock.now()) {
            self.throttle.start_slowly(webhook, self.started.elapsed());
        }
        self.context.metrics.retain_webhooks(|id| snapshot.webhook(id).is_some());
        reconcile::start(&self.context, &mut self.running);
        self.runnable.extend(self.lanes.values_mut().filter_map(Lane::mark_runnable));
    }

    fn switched(&mut self, key: WebhookKey, board: &StatusBoard) {
        let snapshot = self.context.live.snapshot();
        if self.is_saving_status || self.health.has_unsaved_switch(key) {
            self.health.switched(key, board);
        }
        if let Some(webhook) = snapshot.by_key(key).filter(|webhook| snapshot.is_enabled(webhook)) {
            self.health.forget(webhook, board, self.context.clock.now());
        }
        reconcile::switched(&self.context, &mut self.running, key);
        self.wake(key);
    }

    /// The store may hold deliveries that were due before the clock was set back, while nobody ran.
    async fn check_clock_at_start(&mut self) {
        // Without an answer nothing is shifted; what is due too late is clamped below.
        if let Ok(Some(newest)) = self.context.store.newest_record().await
            && let Some(step) = clock_watch::behind(newest, self.context.clock.now())
        {
            self.shift_back(step);
        }
        record::spawn_clamp(&self.context, &mut self.running);
    }

    fn follow_clock(&mut self) {
        if let Some(step) = self.clock_watch.step_back(self.context.clock.now(), self.started.elapsed()) {
            self.shift_back(step);
        }
    }

    fn shift_back(&mut self, step: Duration) {
        tracing::warn!(?step, "the clock was set back: what is due stays as far away as it was");
        self.due.shift_back(step);
        self.health.shift_back(step, &self.context.live.snapshot(), self.context.clock.now());
        record::spawn_shift(&self.context, &mut self.running, step);
    }

    /// An attempt reports on its endpoint.
    fn learn(&mut self, key: WebhookKey, report: AttemptReport) {
        let snapshot = self.context.live.snapshot();
        let Some(webhook) = snapshot.by_key(key) else { return };
        if self.health.learn(webhook, report, &snapshot.status_board, self.context.clock.now()) {
            self.throttle.start_slowly(key, self.started.elapsed());
        }
    }

    fn wake(&mut self, key: WebhookKey) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            self.runnable.extend(lane.mark_runnable());
        }
    }

    fn start_saving_status(&mut self) {
        if self.is_saving_status {
            return;
        }
        if let Some((changes, notices)) = self.health.take() {
            self.is_saving_status = true;
            record::spawn_status_saver(&self.context, &mut self.running, changes, notices);
        }
    }

    fn handle(&mut self, message: AttemptMessage) {
        match message {
            AttemptMessage::Sent { webhook, report } => {
                self.learn(webhook, report);
                self.sent(webhook, report);
            }
            AttemptMessage::Settled { webhook, delivery, again } => {
                let Some(lane) = self.lanes.get_mut(&webhook) else { return };
                self.permits.release();
                lane.settled(delivery.number);
                // The store has said so already, perhaps so early that a claim passed over it because it was leased.
                if let Some(at) = again {
                    self.due.set(webhook, at);
                }
                self.runnable.extend(lane.mark_runnable());
            }
            AttemptMessage::PutBack { lease, shortage } => self.put_back(*lease, shortage),
            AttemptMessage::Panicked { delivery, webhook, is_sent } => {
                attempt::spawn_repair(&self.context, &mut self.running, delivery, webhook);
                if !is_sent {
                    self.sent(webhook, AttemptReport::NONE);
                }
            }
        }
    }

    /// A request is over.
    fn sent(&mut self, key: WebhookKey, report: AttemptReport) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        self.permits.sent(lane.is_slow());
        lane.sent();
        if let Some(is_slow) = report.is_slow {
            lane.set_responsive(!is_slow || report.arrived == Some(true));
            if is_slow != lane.is_slow() {
                lane.set_slow(is_slow);
                self.permits.reclassify(is_slow, lane.in_flight());
                if lane.waits_for_permit() {
                    self.permits.wait(key, is_slow);
                }
            }
        }
        self.runnable.extend(lane.mark_runnable());
    }

    /// This machine had no room for an attempt: its delivery waits for some, and so do others if they need the same.
    fn put_back(&mut self, lease: Lease, shortage: Shortage) {
        let (key, now) = (lease.webhook, self.started.elapsed());
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        self.context.metrics.put_back(shortage.name());
        if self.shortage_logged.is_none_or(|last| now >= last + SHORTAGE_LOG_EVERY) {
            self.shortage_logged = Some(now);
            let (in_flight, advice) = (self.permits.in_use(), shortage.advice());
            tracing::warn!(shortage = shortage.name(), in_flight, advice, "attempts wait: {shortage}");
        }
        self.permits.sent(lane.is_slow());
        lane.put_back(lease, now + SHORTAGE_PAUSE);
        if shortage.is_of_the_process() {
            self.permits.lower(now);
        }
        self.permits.release();
        self.runnable.extend(lane.mark_runnable());
    }

    fn handle_control(&mut self, message: ControlMessage) {
        match message {
            ControlMessage::Released { webhook } => self.throttle.start_slowly(webhook, self.started.elapsed()),
            ControlMessage::StatusSaved => self.is_saving_status = false,
        }
    }

    /// Wakes the lanes whose time has come: those with work on disk claim it, those that had to wait go on.
    fn wake_due(&mut self) {
        let now = self.context.clock.now();
        while let Some(key) = self.due.pop(now) {
            let lane = self.lanes.entry(key).or_insert_with(|| Lane::new(key));
            lane.disk_has_work();
            self.runnable.extend(lane.mark_runnable());
        }
        let elapsed = self.started.elapsed();
        while let Some(key) = self.paced.pop(elapsed) {
            self.wake(key);
        }
        self.permits.rise(elapsed);
    }

    fn next_wake(&self) -> Option<Instant> {
        let due = self.due.first().map(|first| Instant::now() + self.context.clock.now().until(first).min(SLEEP_MAX));
        let paced = self.paced.first().into_iter().chain(self.permits.rises_at()).map(|at| self.started + at);
        due.into_iter().chain(paced).min()
    }

    /// Lets attempts finish, then cuts off the rest.
    async fn drain(mut self, grace: Duration) {
        self.lanes.clear();
        self.claims.abort_all();
        let in_flight = self.permits.in_use();
        if in_flight > 0 {
            tracing::info!(attempts = in_flight, "waiting for attempts in flight");
        }
        let finish = async {
            let mut messages = Vec::with_capacity(MESSAGES_AT_ONCE);
            while !self.running.is_empty() {
                tokio::select! {
                    biased;
                    _ = self.running.join_next() => {}
                    // Taken so that nobody waits to send one.
                    _ = self.attempt_messages.recv_many(&mut messages, MESSAGES_AT_ONCE) => messages.clear(),
                    Some(_) = self.control_messages.recv() => {}
                }
            }
        };
        if tokio::time::timeout(grace, finish).await.is_err() {
            tracing::warn!(attempts = self.running.len(), "the grace period is over: the next start makes these attempts again");
            self.running.shutdown().await;
        }
    }
}
