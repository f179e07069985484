//! One attempt, a straight line: make the bytes, sign, send, classify, decide, record.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::classify::{self, Verdict};
use super::conceal;
use super::health::News;
use super::record::{record, release};
use super::request::{self, Made as MadeNow, Prepared};
use super::simulation::Simulation;
use crate::clock::Clock;
use crate::model::lifecycle::{Lifetime, Tried as Over};
use crate::model::{
    Attempt, AttemptOutcome, Cause, DeliveryId, DeliveryState, Failure, Outcome, SentRequest, Settlement, Timestamp, Timings,
    WebhookKey,
};
use crate::operational::{FailedDelivery, Notice, Operational};
use crate::outbound::SendLimits;
use crate::snapshot::{Live, Snapshot, Webhook};
use crate::store::{Lease, Made, Settle, Settled, Slot, Store};
use crate::telemetry::Metrics;

/// Bytes of a response kept with the attempt: an error page's first screen, and
/// 1,000 endpoints failing at once still cost only 16 MiB.
const RESPONSE_BYTES_MAX: usize = 16 * 1024;

/// Before a delivery whose attempt broke on a fault of ours is tried again.
const REPAIR_DELAY: Duration = Duration::from_secs(60);

/// What attempts share.
pub(super) struct Context {
    pub(super) store: Store,
    pub(super) live: Arc<Live>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) others: mpsc::Sender<Other>,
    pub(super) operational: Operational,
    pub(super) simulation: Option<Simulation>,
}

/// What the loop has to know of an attempt.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    /// The request is over: the lane may begin another.
    Sent { webhook: WebhookKey, news: News },
    /// Recorded: the lease is over, and the delivery may be due `again`.
    Settled { webhook: WebhookKey, delivery: DeliveryId, again: Option<Timestamp> },
    /// It panicked, before or after the request was over.
    Broke { webhook: WebhookKey, delivery: DeliveryId, sent: bool },
}

/// What it has to know beside.
#[derive(Debug, Clone, Copy)]
pub(super) enum Other {
    /// What was held is about to go on.
    Released { webhook: WebhookKey },
    /// How webhooks stand is in the store.
    Kept,
}

/// Tells the loop, also when the attempt panics.
struct Place {
    context: Arc<Context>,
    webhook: WebhookKey,
    delivery: DeliveryId,
    sent: bool,
    settled: bool,
    /// Of the repair of one that broke: if that breaks too, the delivery is looked for again then.
    repaired: Option<Timestamp>,
}

impl Place {
    fn tell(&self, event: Event) {
        // There is room for all that attempts can send; it fails only when the loop has ended.
        let _ = self.context.events.try_send(event);
    }

    fn sent(&mut self, news: News) {
        self.sent = true;
        self.tell(Event::Sent { webhook: self.webhook, news });
    }

    fn settled(mut self, again: Option<Timestamp>) {
        self.settled = true;
        self.tell(Event::Settled { webhook: self.webhook, delivery: self.delivery, again });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (webhook, delivery) = (self.webhook, self.delivery);
        match self.repaired {
            _ if self.settled => {}
            Some(_) => self.tell(Event::Settled { webhook, delivery, again: self.repaired }),
            None => self.tell(Event::Broke { webhook, delivery, sent: self.sent }),
        }
    }
}

/// Whether an attempt would come to a request: what is only to be ended takes nothing from the webhook's rate.
pub(super) fn sends(webhook: &Webhook, lease: &Lease, now: Timestamp) -> bool {
    webhook.settings.tenant == lease.event.tenant && !lifetime(webhook).is_over(lease.trigger, lease.delivery.created, now)
}

/// How long it may wait before there is nothing left to attempt.
pub(super) fn left(webhook: &Webhook, lease: &Lease, now: Timestamp) -> Option<Duration> {
    lifetime(webhook).left(lease.trigger, lease.delivery.created, now)
}

pub(super) async fn run(context: Arc<Context>, mut lease: Lease) {
    let (webhook, delivery) = (lease.webhook, lease.delivery);
    let mut place = Place { context: Arc::clone(&context), webhook, delivery, sent: false, settled: false, repaired: None };
    // Given back with the lease, when the attempt is recorded.
    lease.slot.iter_mut().for_each(Slot::begin);
    let snapshot = context.live.snapshot();
    let now = context.clock.now();
    let Ended { settle, news, notice } = match snapshot.by_key(webhook) {
        None => Ended::untried(&lease, Settlement::Cancel { reason: "the webhook was removed".to_owned() }, None),
        // An id may have changed hands since the event was routed: one tenant's events never go to another's endpoint.
        Some(webhook) if webhook.settings.tenant != lease.event.tenant => {
            let reason = "the webhook belongs to another tenant than the event by now".to_owned();
            Ended::untried(&lease, Settlement::Cancel { reason }, None)
        }
        Some(webhook) if !snapshot.is_enabled(webhook) => {
            Ended::untried(&lease, Settlement::Hold, Some("the webhook is disabled".to_owned()))
        }
        Some(webhook) if lifetime(webhook).is_over(lease.trigger, delivery.created, now) => expired(&context, webhook, &lease),
        Some(webhook) => attempt(&context, &snapshot, webhook, &lease).await,
    };
    place.sent(news);
    let recorded = record(&context, settle).await;
    let held = recorded.state == Some(DeliveryState::Held);
    let snapshot = context.live.snapshot();
    if held && snapshot.by_key(webhook).is_some_and(|webhook| snapshot.is_enabled(webhook)) {
        // It was enabled between our look and the record: nobody else would release this one.
        release(&context, webhook).await;
    }
    // Nothing is told of what was erased meanwhile, nor is given up what somebody asked for again or cancelled.
    let failed = recorded.state == Some(DeliveryState::Failed);
    if let Some(notice) = notice.filter(|notice| recorded.kept && (failed || !is_end(notice))) {
        context.operational.raise(&notice).await;
    }
    place.settled(again(&recorded, now));
}

/// When to look for it again. What is held may have been released before anybody knew that it is no longer ours.
pub(super) fn again(recorded: &Settled, now: Timestamp) -> Option<Timestamp> {
    recorded.due.or((recorded.state == Some(DeliveryState::Held)).then_some(now))
}

fn is_end(notice: &Notice) -> bool {
    matches!(notice, Notice::DeliveryFailed(_))
}

/// After a panic: the delivery is ours no longer, and is tried again later.
pub(super) fn spawn_repair(context: &Arc<Context>, running: &mut JoinSet<()>, delivery: DeliveryId, webhook: WebhookKey) {
    let context = Arc::clone(context);
    let at = context.clock.now().after(REPAIR_DELAY);
    // Before anything that could break in its turn.
    let place = Place { context: Arc::clone(&context), webhook, delivery, sent: true, settled: false, repaired: Some(at) };
    running.spawn(async move {
        tracing::error!(%delivery, "an attempt broke on a fault of tenterhook's own; it is made again in a minute");
        let reason = Some("an attempt broke on a fault of tenterhook's own; see its log".to_owned());
        let settle = Settle::untried(delivery, webhook, Settlement::RetryAt(at));
        record(&context, Settle { reason, ..settle }).await;
        place.settled(Some(at));
    });
}

/// What is left to do after an attempt.
struct Ended {
    settle: Settle,
    news: News,
    notice: Option<Notice>,
}

impl Ended {
    fn untried(lease: &Lease, settlement: Settlement, reason: Option<String>) -> Self {
        let settle = Settle::untried(lease.delivery, lease.webhook, settlement);
        Self { settle: Settle { asks: Some(lease.asks), reason, ..settle }, news: News::NONE, notice: None }
    }
}

fn lifetime(webhook: &Webhook) -> Lifetime<'_> {
    Lifetime { retry: &webhook.settings.retry, expire_after: webhook.settings.lane.expire_after }
}

fn expired(context: &Context, webhook: &Webhook, lease: &Lease) -> Ended {
    let id = &webhook.settings.id;
    let reason = "expired: it is older than `expire_after`";
    tracing::warn!(webhook = %id, delivery = %lease.delivery, reason, "delivery failed");
    context.metrics.webhook(id).delivery(DeliveryState::Failed);
    let notice = failed(webhook, lease, lease.attempt_count, None, reason).map(Notice::DeliveryFailed);
    Ended { notice, ..Ended::untried(lease, Settlement::Expire, Some(reason.to_owned())) }
}

/// Nothing that happens to an operational event is told as another.
fn failed(webhook: &Webhook, lease: &Lease, attempts: u32, status: Option<u16>, error: &str) -> Option<FailedDelivery> {
    (!lease.event.kind.is_reserved()).then(|| FailedDelivery {
        webhook: webhook.settings.id.clone(),
        delivery: lease.delivery,
        event: Arc::clone(&lease.event),
        attempts,
        status,
        error: error.to_owned(),
    })
}

async fn attempt(context: &Context, snapshot: &Snapshot, webhook: &Webhook, lease: &Lease) -> Ended {
    let at = context.clock.now();
    let started = Instant::now();
    let _in_flight = context.metrics.webhook(&webhook.settings.id).begin();
    let prepared = request::prepare(webhook, lease, at).await;
    let Prepared { made, waited, timings, log } = prepared;
    // The endpoint has nothing to do with how long we wait for ourselves.
    let spent = started.elapsed().saturating_sub(waited);
    let (verdict, sent, made) = match made {
        MadeNow::Request { .. } if spent >= webhook.settings.timeout => {
            (Verdict::failed(Cause::Transform, too_late(spent)), None, None)
        }
        MadeNow::Request { request, kept } => {
            let sent = request::as_sent(webhook, &request);
            let limits = SendLimits {
                timeout: webhook.settings.timeout,
                spent,
                connect_timeout: webhook.settings.connect_timeout,
                response_bytes_max: RESPONSE_BYTES_MAX,
            };
            let answer = match &context.simulation {
                Some(simulation) => (simulation.endpoints)(*request, limits).await,
                None => snapshot.client.send_with(&webhook.egress, *request, limits).await,
            };
            let mut verdict = classify::answer(&webhook.settings.retry, answer, context.clock.now());
            conceal::conceal(webhook, &mut verdict);
            (verdict, Some(sent), kept)
        }
        MadeNow::Drop { reason } => (Verdict::dropped(reason), None, None),
        MadeNow::Failed { error } => (Verdict::failed(Cause::Transform, error), None, None),
    };
    let took = started.elapsed();
    let timings = merge(timings, verdict.timings);
    let tried = Tried { at, duration: took.saturating_sub(waited), took, sent, timings, log };
    conclude(context, webhook, lease, verdict, tried, made)
}

fn too_late(spent: Duration) -> String {
    let spent = spent.as_millis();
    format!("the transformers took {spent} ms, which is all of the webhook's `timeout`: raise it, or lower their `limits.cpu`")
}

struct Tried {
    at: Timestamp,
    duration: Duration,
    /// With what was waited for transformers: how long its place was taken.
    took: Duration,
    sent: Option<SentRequest>,
    timings: Timings,
    log: Vec<crate::model::LogLine>,
}

fn merge(transform: Timings, sent: Timings) -> Timings {
    Timings { transform_us: transform.transform_us, ..sent }
}

fn conclude(context: &Context, webhook: &Webhook, lease: &Lease, verdict: Verdict, tried: Tried, made: Option<Made>) -> Ended {
    let Verdict { outcome, status, error, response, asked, .. } = verdict;
    let over = Over {
        outcome: &outcome,
        trigger: lease.trigger,
        spent: lease.attempts_spent,
        created: lease.delivery.created,
        events: lease.batch.as_ref().map_or(1, |events| events.len()),
    };
    let (lifetime, now) = (lifetime(webhook), context.clock.now());
    let settlement = match &context.simulation {
        Some(simulation) => lifetime.after(&over, now, &mut *simulation.chance()),
        None => lifetime.after(&over, now, &mut rand::rng()),
    };
    let news = News::of(webhook, &outcome, asked, tried.took, lease.event.kind.is_reserved());
    let is_transform = matches!(&outcome, Outcome::Failed(Failure { cause: Cause::Transform, .. }));
    let shown = match &outcome {
        Outcome::Delivered { .. } => AttemptOutcome::Succeeded,
        Outcome::Dropped { .. } => AttemptOutcome::Dropped,
        Outcome::Failed(_) => AttemptOutcome::Failed,
    };
    context.metrics.webhook(&webhook.settings.id).attempt(shown, tried.duration);
    let error_class = match &outcome {
        Outcome::Failed(Failure { cause, .. }) => Some(Cow::Borrowed(cause.name())),
        Outcome::Delivered { .. } | Outcome::Dropped { .. } => None,
    };
    let attempt = Attempt {
        number: lease.attempt_count.saturating_add(1),
        at: tried.at,
        trigger: lease.trigger,
        outcome: shown,
        status,
        error_class,
        error: error.clone(),
        duration: tried.duration,
        request: tried.sent,
        response,
        timings: tried.timings,
        log: tried.log,
    };
    let reason = explain(&settlement, &attempt, error);
    report(context, webhook, lease, &settlement, &attempt);
    let told = || failed(webhook, lease, attempt.number, status, reason.as_deref().unwrap_or_default());
    let notice = match settlement {
        Settlement::Fail | Settlement::Expire => told().map(Notice::DeliveryFailed),
        Settlement::RetryAt(_) if is_transform => told().map(Notice::TransformFailed),
        _ => None,
    };
    let (delivery, webhook) = (lease.delivery, lease.webhook);
    let batch = lease.batch.as_ref().map(|events| events.len());
    let (attempt, asks) = (Some(attempt), Some(lease.asks));
    Ended { settle: Settle { delivery, webhook, attempt, settlement, batch, asks, reason, made }, news, notice }
}

/// The delivery's `reason`: why it is not delivered (yet).
fn explain(settlement: &Settlement, attempt: &Attempt, error: Option<String>) -> Option<String> {
    let error = error?;
    match settlement {
        Settlement::Fail if attempt.number > 1 => Some(format!("gave up after {} attempts: {error}", attempt.number)),
        Settlement::Expire => Some(format!("expired before the next attempt: {error}")),
        Settlement::Halve => Some(format!("halved: {error}")),
        _ => Some(error),
    }
}

/// One line per attempt that did not arrive; those that did are counted, not logged.
fn report(context: &Context, webhook: &Webhook, lease: &Lease, settlement: &Settlement, attempt: &Attempt) {
    let id = &webhook.settings.id;
    context.metrics.webhook(id).delivery(match settlement {
        Settlement::Succeed => DeliveryState::Succeeded,
        Settlement::Fail | Settlement::Expire => DeliveryState::Failed,
        Settlement::Drop { .. } => DeliveryState::Dropped,
        Settlement::RetryAt(_) | Settlement::Halve => DeliveryState::Retrying,
        Settlement::Hold => DeliveryState::Held,
        Settlement::Cancel { .. } => DeliveryState::Cancelled,
    });
    let error = attempt.error.as_deref().unwrap_or_default();
    match settlement {
        Settlement::RetryAt(at) => {
            tracing::info!(webhook = %id, delivery = %lease.delivery, attempt = attempt.number, %at, error, "attempt failed, to be retried");
        }
        Settlement::Fail | Settlement::Expire => {
            tracing::warn!(webhook = %id, delivery = %lease.delivery, attempt = attempt.number, error, "delivery failed");
        }
        _ => tracing::debug!(webhook = %id, delivery = %lease.delivery, attempt = attempt.number, "attempt over"),
    }
}
