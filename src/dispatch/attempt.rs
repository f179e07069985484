//! One attempt, a straight line: make the bytes, sign, send, classify, decide, record.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::classify::{self, Verdict};
use super::request::{self, Made as MadeNow, Prepared};
use crate::clock::Clock;
use crate::model::{
    Attempt, AttemptOutcome, Cause, DeliveryId, DeliveryState, Failure, Outcome, RetryPolicy, SentRequest, Settlement, Timestamp,
    Timings, Trigger, WebhookKey,
};
use crate::outbound::SendLimits;
use crate::snapshot::{Live, Snapshot, Webhook};
use crate::store::{Lease, Made, Settle, Store, StoreError, Sweep};
use crate::telemetry::Metrics;

/// Bytes of a response kept with the attempt: an error page's first screen, and
/// 1,000 endpoints failing at once still cost only 16 MiB.
const RESPONSE_BYTES_MAX: usize = 16 * 1024;

/// Between two tries to record an attempt while the store cannot take it. Its place stays taken meanwhile: what
/// cannot be recorded should not be attempted either.
const RECORD_PAUSE: Duration = Duration::from_secs(1);

/// Before a delivery whose attempt broke on a fault of ours is tried again.
const REPAIR_DELAY: Duration = Duration::from_secs(60);

/// What attempts share.
pub(super) struct Context {
    pub(super) store: Store,
    pub(super) live: Arc<Live>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) events: mpsc::Sender<Event>,
}

/// What the loop has to know of an attempt.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    /// The request is over: the lane may begin another.
    Sent { webhook: WebhookKey },
    /// Recorded: the lease is over.
    Settled { webhook: WebhookKey, delivery: DeliveryId },
    /// It panicked, before or after the request was over.
    Broke { webhook: WebhookKey, delivery: DeliveryId, sent: bool },
}

/// Tells the loop, also when the attempt panics.
struct Place {
    context: Arc<Context>,
    webhook: WebhookKey,
    delivery: DeliveryId,
    sent: bool,
    settled: bool,
}

impl Place {
    fn tell(&self, event: Event) {
        // There is room for all that attempts can send; it fails only when the loop has ended.
        let _ = self.context.events.try_send(event);
    }

    fn sent(&mut self) {
        self.sent = true;
        self.tell(Event::Sent { webhook: self.webhook });
    }

    fn settled(mut self) {
        self.settled = true;
        self.tell(Event::Settled { webhook: self.webhook, delivery: self.delivery });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.settled {
            self.tell(Event::Broke { webhook: self.webhook, delivery: self.delivery, sent: self.sent });
        }
    }
}

pub(super) async fn run(context: Arc<Context>, mut lease: Lease) {
    let (webhook, delivery) = (lease.webhook, lease.delivery);
    let mut place = Place { context: Arc::clone(&context), webhook, delivery, sent: false, settled: false };
    drop(lease.slot.take());
    let snapshot = context.live.snapshot();
    let settle = match snapshot.by_key(webhook) {
        None => untried(&lease, Settlement::Cancel { reason: "the webhook was removed".to_owned() }),
        Some(webhook) if !webhook.settings.enabled => untried(&lease, Settlement::Hold),
        Some(webhook) => attempt(&context, &snapshot, webhook, &lease).await,
    };
    place.sent();
    let held = settle.settlement == Settlement::Hold;
    record(&context, settle).await;
    if held && context.live.snapshot().by_key(webhook).is_some_and(|webhook| webhook.settings.enabled) {
        // It was enabled between our look and the record: nobody else would release this one.
        release(&context, webhook).await;
    }
    place.settled();
}

/// After a panic: the delivery is ours no longer, and is tried again later.
pub(super) fn spawn_repair(context: &Arc<Context>, running: &mut JoinSet<()>, delivery: DeliveryId, webhook: WebhookKey) {
    let context = Arc::clone(context);
    running.spawn(async move {
        tracing::error!(%delivery, "an attempt broke on a fault of tenterhook's own; it is made again in a minute");
        let settlement = Settlement::RetryAt(context.clock.now().after(REPAIR_DELAY));
        let reason = Some("an attempt broke on a fault of tenterhook's own; see its log".to_owned());
        record(&context, Settle { delivery, webhook, attempt: None, settlement, reason, made: None }).await;
        let place = Place { context, webhook, delivery, sent: true, settled: false };
        place.settled();
    });
}

async fn record(context: &Context, settle: Settle) {
    let settle = Arc::new(settle);
    loop {
        match context.store.settle(Arc::clone(&settle)).await {
            Ok(()) => return,
            // Said once by the store; the process is about to stop.
            Err(StoreError::Poisoned { .. }) => return,
            Err(error) => {
                tracing::error!(delivery = %settle.delivery, %error, "an attempt cannot be recorded yet");
                tokio::time::sleep(RECORD_PAUSE).await;
            }
        }
    }
}

async fn release(context: &Context, webhook: WebhookKey) {
    if let Err(error) = context.store.sweep(webhook, Sweep::Release).await {
        tracing::error!(%error, "held deliveries cannot be released; the next reload tries again");
    }
}

fn untried(lease: &Lease, settlement: Settlement) -> Settle {
    let reason = matches!(settlement, Settlement::Hold).then(|| "the webhook is disabled".to_owned());
    Settle { delivery: lease.delivery, webhook: lease.webhook, attempt: None, settlement, reason, made: None }
}

async fn attempt(context: &Context, snapshot: &Snapshot, webhook: &Webhook, lease: &Lease) -> Settle {
    let at = context.clock.now();
    let started = Instant::now();
    let _in_flight = context.metrics.webhook(&webhook.settings.id).begin();
    let prepared = request::prepare(webhook, lease, at).await;
    let Prepared { made, timings, log } = prepared;
    let (verdict, sent, made) = match made {
        MadeNow::Request { request, kept } => {
            let sent = request::as_sent(webhook, &request);
            let limits = SendLimits {
                timeout: webhook.settings.timeout.saturating_sub(started.elapsed()),
                connect_timeout: webhook.settings.connect_timeout,
                response_bytes_max: RESPONSE_BYTES_MAX,
            };
            let answer = snapshot.client.send_with(&webhook.egress, *request, limits).await;
            (classify::answer(&webhook.settings.retry, answer, context.clock.now()), Some(sent), kept)
        }
        MadeNow::Drop { reason } => (Verdict::dropped(reason), None, None),
        MadeNow::Failed { error } => (Verdict::failed(Cause::Transform, error), None, None),
    };
    let tried = Tried { at, duration: started.elapsed(), sent, timings: merge(timings, verdict.timings), log };
    conclude(context, webhook, lease, verdict, tried, made)
}

struct Tried {
    at: Timestamp,
    duration: Duration,
    sent: Option<SentRequest>,
    timings: Timings,
    log: Vec<crate::model::LogLine>,
}

fn merge(transform: Timings, sent: Timings) -> Timings {
    Timings { transform_us: transform.transform_us, ..sent }
}

fn conclude(context: &Context, webhook: &Webhook, lease: &Lease, verdict: Verdict, tried: Tried, made: Option<Made>) -> Settle {
    let Verdict { outcome, status, error, response, .. } = verdict;
    let spent = lease.attempts_spent.saturating_add(u32::from(lease.trigger == Trigger::Scheduled)).max(1);
    let spent = NonZeroU32::new(spent).unwrap_or(NonZeroU32::MIN);
    let settlement = settle_with(&webhook.settings.retry, spent, &outcome, context.clock.now());
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
    Settle { delivery: lease.delivery, webhook: lease.webhook, attempt: Some(attempt), settlement, reason, made }
}

fn settle_with(policy: &RetryPolicy, spent: NonZeroU32, outcome: &Outcome, now: Timestamp) -> Settlement {
    policy.settle(spent, outcome, now, &mut rand::rng())
}

/// The delivery's `reason`: why it is not delivered (yet).
fn explain(settlement: &Settlement, attempt: &Attempt, error: Option<String>) -> Option<String> {
    let error = error?;
    match settlement {
        Settlement::Fail if attempt.number > 1 => Some(format!("gave up after {} attempts: {error}", attempt.number)),
        _ => Some(error),
    }
}

/// One line per attempt that did not arrive; those that did are counted, not logged.
fn report(context: &Context, webhook: &Webhook, lease: &Lease, settlement: &Settlement, attempt: &Attempt) {
    let id = &webhook.settings.id;
    context.metrics.webhook(id).delivery(match settlement {
        Settlement::Succeed => DeliveryState::Succeeded,
        Settlement::Fail => DeliveryState::Failed,
        Settlement::Drop { .. } => DeliveryState::Dropped,
        Settlement::RetryAt(_) => DeliveryState::Retrying,
        Settlement::Hold => DeliveryState::Held,
        Settlement::Cancel { .. } => DeliveryState::Cancelled,
    });
    let error = attempt.error.as_deref().unwrap_or_default();
    match settlement {
        Settlement::RetryAt(at) => {
            tracing::info!(webhook = %id, delivery = %lease.delivery, attempt = attempt.number, %at, error, "attempt failed, to be retried");
        }
        Settlement::Fail => {
            tracing::warn!(webhook = %id, delivery = %lease.delivery, attempt = attempt.number, error, "delivery failed");
        }
        _ => tracing::debug!(webhook = %id, delivery = %lease.delivery, attempt = attempt.number, "attempt over"),
    }
}
