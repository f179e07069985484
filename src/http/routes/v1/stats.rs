//! `/v1/stats` and `/v1/webhooks/{id}/stats`: totals, rates, percentiles, and the last 24 hours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};

use crate::http::middleware::auth::MayReadOwn;
use crate::http::problem::{Kind, Problem};
use crate::http::routes::v1::webhooks::status;
use crate::http::shapes::millis;
use crate::http::{PathId, Shared};
use crate::model::DeliveryState;
use crate::store::{FailureClass, Histogram, HourStats, Stats, Waiting};

pub(crate) async fn all(MayReadOwn(caller): MayReadOwn, State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    let board = &caller.snapshot.status_board;
    if caller.tenant.is_none() {
        let (mut stats, waiting) = (shared.api.store.stats(None).await?, shared.api.store.waiting(None).await?);
        if board.has_open() {
            // An open breaker delays its webhook's next attempt, so the earliest must be found webhook by webhook.
            let counts = shared.api.store.webhook_counts().await?;
            let snapshot = Arc::clone(&caller.snapshot);
            let first = move || {
                let due = counts.iter().filter_map(|counts| {
                    let status = snapshot.webhook(&counts.id).map(|webhook| snapshot.status_board.status(webhook.key));
                    status::next_due(counts.next_due, &status.unwrap_or_default())
                });
                due.min()
            };
            let work = tokio::task::spawn_blocking(first);
            stats.next_due = work.await.map_err(|_| Problem::new(Kind::Internal, "finding the next due delivery failed"))?;
        }
        return Ok(Json(shape(&stats, &waiting)));
    }
    let (mut sum, mut waits) = (Stats::default(), Waiting::default());
    for webhook in crate::http::routes::v1::webhooks::own(&caller) {
        let mut stats = shared.api.store.stats(Some(webhook.settings.id.clone())).await?;
        stats.next_due = status::next_due(stats.next_due, &board.status(webhook.key));
        merge(&mut sum, stats);
        let one = shared.api.store.waiting(Some(webhook.settings.id.clone())).await?;
        waits.open += one.open;
        waits.oldest = waits.oldest.into_iter().chain(one.oldest).min();
    }
    Ok(Json(shape(&sum, &waits)))
}

/// Adds up what several webhooks did.
fn merge(sum: &mut Stats, one: Stats) {
    sum.states.iter_mut().zip(one.states).for_each(|(sum, one)| *sum += one);
    sum.attempts += one.attempts;
    sum.attempts_failed += one.attempts_failed;
    sum.duration_us += one.duration_us;
    sum.timed += one.timed;
    sum.next_due = sum.next_due.into_iter().chain(one.next_due).min();
    if sum.hours.len() < one.hours.len() {
        sum.hours = one.hours;
        return;
    }
    for (sum, one) in sum.hours.iter_mut().zip(&one.hours) {
        sum.attempts += one.attempts;
        sum.attempts_failed += one.attempts_failed;
        sum.succeeded += one.succeeded;
        sum.failed += one.failed;
        sum.dropped += one.dropped;
        sum.durations.merge(&one.durations);
    }
}

pub(crate) async fn webhook(
    MayReadOwn(caller): MayReadOwn,
    State(shared): State<Shared>,
    PathId(id): PathId,
) -> Result<Json<Value>, Problem> {
    let webhook = crate::http::routes::v1::webhooks::find(&caller, &id)?;
    let id = webhook.settings.id.clone();
    let waiting = shared.api.store.waiting(Some(id.clone())).await?;
    let failures = shared.api.store.failures(Some(id.clone())).await?;
    let mut stats = shared.api.store.stats(Some(id.clone())).await?;
    stats.next_due = status::next_due(stats.next_due, &caller.snapshot.status_board.status(webhook.key));
    let mut body = shape(&stats, &waiting);
    body["webhook"] = json!(id);
    body["status"] = crate::http::shapes::webhook::shape(webhook, &caller.snapshot)["status"].take();
    body["failures_24h"] = tally(&failures, |failure| &failure.class);
    body["causes_24h"] = tally(&failures, |failure| &failure.cause);
    Ok(Json(body))
}

/// Failed attempts by what they have in common.
pub(crate) fn tally<'f>(failures: impl IntoIterator<Item = &'f FailureClass>, of: impl Fn(&FailureClass) -> &String) -> Value {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for failure in failures {
        *sums.entry(of(failure).clone()).or_default() += failure.attempts;
    }
    json!(sums)
}

fn shape(stats: &Stats, waiting: &Waiting) -> Value {
    let mut deliveries = Map::new();
    deliveries.insert("total".to_owned(), stats.total().into());
    for state in DeliveryState::ALL {
        deliveries.insert(state.name().to_owned(), stats.state(state).into());
    }
    let mut durations = Histogram::default();
    stats.hours.iter().for_each(|hour| durations.merge(&hour.durations));
    json!({
        "deliveries": deliveries,
        "attempts": stats.attempts,
        "attempts_failed": stats.attempts_failed,
        "success_rate": rate(stats.state(DeliveryState::Succeeded), stats.state(DeliveryState::Failed)),
        "duration_ms": {
            "avg": average(stats.duration_us, stats.timed),
            "p50": quantile(&durations, 0.5),
            "p99": quantile(&durations, 0.99),
        },
        "rates": rates(&stats.hours),
        "backlog": waiting.open,
        "oldest_pending_at": waiting.oldest,
        "next_due": stats.next_due,
        "hours": stats.hours.iter().map(hour).collect::<Vec<_>>(),
    })
}

/// Of the last 24 hours: attempts per second on average, and the share of them that succeeded.
fn rates(hours: &[HourStats]) -> Value {
    let attempts: u64 = hours.iter().map(|hour| hour.attempts).sum();
    let failed: u64 = hours.iter().map(|hour| hour.attempts_failed).sum();
    let seconds = hours.len() as f64 * 3600.0;
    let per_second = if seconds > 0.0 { (attempts as f64 / seconds * 1e4).round() / 1e4 } else { 0.0 };
    json!({"attempts_per_second": per_second, "attempt_success_rate": rate(attempts.saturating_sub(failed), failed)})
}

fn hour(hour: &HourStats) -> Value {
    json!({
        "start": hour.start,
        "attempts": hour.attempts,
        "attempts_failed": hour.attempts_failed,
        "succeeded": hour.succeeded,
        "failed": hour.failed,
        "dropped": hour.dropped,
        "duration_ms": {"p50": quantile(&hour.durations, 0.5), "p99": quantile(&hour.durations, 0.99)},
    })
}

/// Of those that ended one way or the other, from 0 to 1; null before there are any.
fn rate(succeeded: u64, failed: u64) -> Option<f64> {
    let ended = succeeded + failed;
    (ended > 0).then(|| (succeeded as f64 / ended as f64 * 1e4).round() / 1e4)
}

fn average(sum_us: u64, count: u64) -> Option<f64> {
    sum_us.checked_div(count).map(|average| millis(Duration::from_micros(average)))
}

pub(crate) fn quantile(durations: &Histogram, share: f64) -> Option<f64> {
    durations.quantile(share).map(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_happened_yet_is_null_not_zero() {
        let body = shape(&Stats::default(), &Waiting::default());
        assert_eq!(body["success_rate"], Value::Null);
        assert_eq!(body["duration_ms"], json!({"avg": null, "p50": null, "p99": null}));
        assert_eq!(body["deliveries"]["total"], 0);
    }

    #[test]
    fn rates_and_averages_are_of_what_ended() {
        let mut stats = Stats { duration_us: 3_000, timed: 2, ..Stats::default() };
        stats.states[DeliveryState::Succeeded as usize] = 2;
        stats.states[DeliveryState::Failed as usize] = 1;
        stats.states[DeliveryState::Pending as usize] = 7;
        let body = shape(&stats, &Waiting::default());
        assert_eq!(body["success_rate"], json!(0.6667));
        assert_eq!(body["duration_ms"]["avg"], json!(1.5));
        assert_eq!(body["deliveries"]["total"], 10);
    }
}
