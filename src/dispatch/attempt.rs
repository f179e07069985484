//! One attempt, a straight line: make the bytes, sign, send, classify, decide, record, report.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::classify::{self, Verdict};
use super::conceal;
use super::health::AttemptReport;
use super::messages::{AttemptGuard, Context};
use super::reconcile;
use super::record::{record, release};
use super::report;
use super::request::{self, Prepared, RequestOutcome};
use crate::model::lifecycle::{FinishedAttempt, Lifetime};
use crate::model::{
    Attempt, AttemptOutcome, Cause, DeliveryId, DeliveryState, Failure, LogLine, Outcome, SentRequest, Settlement, Timestamp,
    Timings, WebhookKey,
};
use crate::operational::{FailedDelivery, Notice};
use crate::outbound::{SendLimits, Shortage};
use crate::snapshot::{Snapshot, Webhook};
use crate::store::{Lease, Payload, Settle, Settled, Slot};

/// Bytes of a response stored with the attempt: an error page's first screen, and
/// 1,000 endpoints failing at once still cost only 16 MiB.
const RESPONSE_BYTES_MAX: usize = 16 * 1024;

/// Why a delivery of a webhook that is missing from the configuration is held.
const REMOVED: &str =
    "the webhook is missing from the configuration: declare it again, or it is cancelled after `[retention] removed`";

/// Before a delivery whose attempt panicked is tried again.
const REPAIR_DELAY: Duration = Duration::from_secs(60);

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
    let mut guard = AttemptGuard::new(&context, webhook, delivery);
    // Its memory is given back with the lease, when the attempt is recorded.
    lease.slot.iter_mut().for_each(Slot::begin);
    let before = context.live.snapshot();
    let now = context.clock.now();
    let declared = before.by_key(webhook);
    let ended = match declared {
        None if before.status_board.is_deleted(webhook) => {
            Ended::untried(&lease, Settlement::Cancel { reason: "the webhook was removed".to_owned() }, None)
        }
        None => Ended::untried(&lease, Settlement::Hold, Some(REMOVED.to_owned())),
        // An id may have changed hands since the event was routed: one tenant's events never go to another's endpoint.
        Some(webhook) if webhook.settings.tenant != lease.event.tenant => {
            let reason = "the webhook belongs to another tenant than the event by now".to_owned();
            Ended::untried(&lease, Settlement::Cancel { reason }, None)
        }
        Some(webhook) if !before.is_enabled(webhook) => {
            Ended::untried(&lease, Settlement::Hold, Some("the webhook is disabled".to_owned()))
        }
        Some(webhook) if lifetime(webhook).is_over(lease.trigger, delivery.created, now) => expired(webhook, &lease),
        Some(webhook) => match attempt(&context, &before, webhook, &lease).await {
            Ok(ended) => ended,
            Err(shortage) => return guard.put_back(lease, shortage),
        },
    };
    let Ended { settle, report, notice } = ended;
    guard.sent(report);
    let settle = Arc::new(settle);
    let recorded = record(&context, &settle).await;
    let held = recorded.state == Some(DeliveryState::Held);
    let snapshot = context.live.snapshot();
    // One that was removed during the attempt has no series any more.
    if let Some(id) = declared.map(|webhook| &webhook.settings.id).filter(|_| snapshot.by_key(webhook).is_some()) {
        report::report(&context.metrics.webhook(id), id, &settle, &recorded);
    }
    if held && snapshot.by_key(webhook).is_some_and(|webhook| snapshot.is_enabled(webhook)) {
        // It was enabled between our read and the record: nobody else would release this one.
        release(&context, webhook).await;
    }
    if recorded.due.is_some() {
        // A sweep that ran during the attempt passed over it.
        reconcile::overtaken(&context, webhook).await;
    }
    if let Some(notice) = notice.filter(|notice| report::is_true(notice, &recorded)) {
        context.operational.raise(&notice).await;
    }
    guard.settled(again(&recorded, now));
}

/// When to claim it again. A delivery that is held may have been released before anybody knew that it is no longer ours.
pub(super) fn again(recorded: &Settled, now: Timestamp) -> Option<Timestamp> {
    recorded.due.or((recorded.state == Some(DeliveryState::Held)).then_some(now))
}

/// After a panic: the lease is over, and the delivery is tried again later.
pub(super) fn spawn_repair(context: &Arc<Context>, running: &mut JoinSet<()>, delivery: DeliveryId, webhook: WebhookKey) {
    let context = Arc::clone(context);
    let at = context.clock.now().after(REPAIR_DELAY);
    // Before anything that could panic in its turn.
    let guard = AttemptGuard::of_repair(&context, webhook, delivery, at);
    running.spawn(async move {
        tracing::error!(%delivery, %at, "attempt panicked, retrying: a fault of tenterhook's own");
        let reason = Some("an attempt broke on a fault of tenterhook's own; see its log".to_owned());
        let settle = Settle::untried(delivery, webhook, Settlement::RetryAt(at));
        record(&context, &Arc::new(Settle { reason, ..settle })).await;
        guard.settled(Some(at));
    });
}

/// What is left to do after an attempt.
struct Ended {
    settle: Settle,
    report: AttemptReport,
    /// To be raised if the store agrees.
    notice: Option<Notice>,
}

impl Ended {
    fn untried(lease: &Lease, settlement: Settlement, reason: Option<String>) -> Self {
        let settle = Settle::untried(lease.delivery, lease.webhook, settlement);
        Self {
            settle: Settle { retry_requests: Some(lease.retry_requests), reason, ..settle },
            report: AttemptReport::NONE,
            notice: None,
        }
    }
}

fn lifetime(webhook: &Webhook) -> Lifetime<'_> {
    Lifetime { retry: &webhook.settings.retry, expire_after: webhook.settings.lane.expire_after }
}

fn expired(webhook: &Webhook, lease: &Lease) -> Ended {
    let reason = "expired: it is older than `expire_after`";
    let notice = failed(webhook, lease, lease.attempt_count, None, reason).map(Notice::DeliveryFailed);
    Ended { notice, ..Ended::untried(lease, Settlement::Expire, Some(reason.to_owned())) }
}

/// Nothing that happens to an operational event is raised as another.
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

/// `Err`: nothing was sent, for want of something that is this machine's.
async fn attempt(context: &Context, snapshot: &Snapshot, webhook: &Webhook, lease: &Lease) -> Result<Ended, Shortage> {
    let at = context.clock.now();
    let started = Instant::now();
    let _in_flight = context.metrics.webhook(&webhook.settings.id).begin();
    let prepared = request::prepare(webhook, lease, at, &context.metrics).await;
    let Prepared { outcome, waited, timings, log } = prepared;
    // The endpoint has nothing to do with how long we wait for ourselves.
    let spent = started.elapsed().saturating_sub(waited);
    let (verdict, sent, payload) = match outcome {
        RequestOutcome::Request { .. } if spent >= webhook.settings.timeout => {
            (Verdict::failed(Cause::Transform, too_late(spent)), None, None)
        }
        RequestOutcome::Request { request, payload } => {
            let sent = request::as_sent(webhook, &request);
            let limits = SendLimits {
                timeout: webhook.settings.timeout,
                spent,
                connect_timeout: webhook.settings.connect_timeout,
                response_bytes_max: RESPONSE_BYTES_MAX,
            };
            let uri = request.uri().clone();
            let answer = match &context.simulation {
                Some(simulation) => (simulation.endpoints)(*request, limits).await,
                None => snapshot.client.send_with(&webhook.egress, *request, limits).await,
            };
            if let Err(error) = &answer
                && let Some(shortage) = error.shortage
            {
                tracing::debug!(webhook = %webhook.settings.id, delivery = %lease.delivery, %error, "attempt put back");
                return Err(shortage);
            }
            let mut verdict = classify::answer(&webhook.settings.retry, answer, context.clock.now());
            conceal::conceal(webhook, &uri, &mut verdict);
            (verdict, Some(sent), payload)
        }
        RequestOutcome::Drop { reason } => (Verdict::dropped(reason), None, None),
        RequestOutcome::Failed { error } => (Verdict::failed(Cause::Transform, error), None, None),
    };
    let took = started.elapsed();
    let timings = merge(timings, verdict.timings);
    let tried = Tried { at, duration: took.saturating_sub(waited), took, sent, timings, log, payload };
    Ok(conclude(context, snapshot, webhook, lease, verdict, tried))
}

fn too_late(spent: Duration) -> String {
    let spent = spent.as_millis();
    format!("the transformers took {spent} ms, which is all of the webhook's `timeout`: raise it, or lower their `limits.cpu`")
}

/// What an attempt did.
struct Tried {
    at: Timestamp,
    duration: Duration,
    /// With what was waited for transformers: how long its permit was in use.
    took: Duration,
    sent: Option<SentRequest>,
    timings: Timings,
    log: Vec<LogLine>,
    payload: Option<Payload>,
}

fn merge(transform: Timings, sent: Timings) -> Timings {
    Timings { transform_us: transform.transform_us, ..sent }
}

/// What comes next for the delivery.
fn decide(context: &Context, snapshot: &Snapshot, webhook: &Webhook, lease: &Lease, outcome: &Outcome) -> Settlement {
    let finished = FinishedAttempt {
        outcome,
        trigger: lease.trigger,
        spent: lease.attempts_spent,
        created: lease.delivery.created,
        events: lease.batch.as_ref().map_or(1, |events| events.len()),
    };
    let (lifetime, now) = (lifetime(webhook), context.clock.now());
    if let Some(breaker) = &webhook.settings.lane.breaker
        && matches!(outcome, Outcome::Failed(_))
        && snapshot.status_board.status(webhook.key).condition.open.is_some()
        && let Some(settlement) = lifetime.after_open_breaker(&finished, breaker.cool_down, now)
    {
        return settlement;
    }
    match &context.simulation {
        Some(simulation) => lifetime.after(&finished, now, &mut *simulation.chance()),
        None => lifetime.after(&finished, now, &mut rand::rng()),
    }
}

fn conclude(context: &Context, snapshot: &Snapshot, webhook: &Webhook, lease: &Lease, verdict: Verdict, tried: Tried) -> Ended {
    let Verdict { outcome, status, error, response, asked, .. } = verdict;
    let settlement = decide(context, snapshot, webhook, lease, &outcome);
    let report = AttemptReport::of(webhook, &outcome, asked, tried.took, lease.event.kind.is_reserved());
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
    let failed = || failed(webhook, lease, attempt.number, status, reason.as_deref().unwrap_or_default());
    let notice = match settlement {
        Settlement::Fail | Settlement::Expire => failed().map(Notice::DeliveryFailed),
        Settlement::RetryAt(_) if is_transform => failed().map(Notice::TransformFailed),
        _ => None,
    };
    let (delivery, webhook, made) = (lease.delivery, lease.webhook, tried.payload);
    let batch = lease.batch.as_ref().map(|events| events.len());
    let (attempt, retry_requests) = (Some(attempt), Some(lease.retry_requests));
    Ended { settle: Settle { delivery, webhook, attempt, settlement, batch, retry_requests, reason, made }, report, notice }
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
