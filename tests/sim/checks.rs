//! The promises.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::Value;
use tenterhook::model::{AttemptOutcome, DeliveryState, Trigger, WebhookId};
use tenterhook::store::{DeliveryDetail, DeliveryFilter};
use tokio::time::Instant;

use crate::disk::TROUBLE;
use crate::endpoints::{ANSWER_MAX, Call};
use crate::world::{SHORTAGE, TIMEOUT, World};

/// What a disk that stalls may add.
const SLACK: Duration = Duration::from_secs(1);

pub async fn all(world: &World, seed: u64) {
    world.check_store().await;
    for webhook in ["steady", "flaky", "ordered", "batched", "paced", "broken", "stuck", "expiring"] {
        let deliveries = deliveries(world, webhook).await;
        every_event_ended(world, webhook, &deliveries);
        attempts_are_recorded(world, webhook, &deliveries);
        nothing_is_early(world, webhook, &deliveries, seed);
    }
    for (webhook, most) in [("flaky", 3), ("stuck", 2), ("steady", 10)] {
        let seen = world.network.most_in_flight(&format!("/{webhook}"));
        assert!(seen <= most, "{webhook}: {seen} in flight at once");
    }
    each_key_is_in_order(world);
    the_rate_holds(world);
    nobody_waits_for_the_stuck_one(world);
    an_open_breaker_spares_its_endpoint(world);
}

async fn deliveries(world: &World, webhook: &str) -> Vec<DeliveryDetail> {
    let filter = DeliveryFilter { webhook: Some(WebhookId::parse(webhook).unwrap()), ..DeliveryFilter::default() };
    let page = world.store().deliveries(filter, None, 250).await.unwrap();
    let mut details = Vec::new();
    for record in page.rows {
        details.push(world.store().delivery(record.id).await.unwrap().unwrap());
    }
    details
}

/// Delivered, given up, dropped or cancelled; and an event that was accepted is in one of them.
fn every_event_ended(world: &World, webhook: &str, deliveries: &[DeliveryDetail]) {
    let mut ended: HashMap<String, DeliveryState> = HashMap::new();
    for detail in deliveries {
        assert!(!detail.record.state.is_open(), "{webhook}: {:?}", detail.record);
        let single = vec![detail.record.event_id.clone()];
        for event in detail.batch.as_ref().unwrap_or(&single) {
            assert!(ended.insert(event.to_string(), detail.record.state).is_none(), "{webhook}: {event} is in two deliveries");
        }
    }
    // While it was switched off it got nothing.
    let missing = world.published.iter().filter(|(id, ..)| !ended.contains_key(id.as_str())).count();
    assert!(missing == 0 || world.switched.contains(&webhook), "{webhook}: {missing} events are nowhere");
    assert!(webhook != "steady" || ended.values().all(|state| *state == DeliveryState::Succeeded), "{webhook}");
}

/// Every request that was made is on record, but for those that a restart cut off.
fn attempts_are_recorded(world: &World, webhook: &str, deliveries: &[DeliveryDetail]) {
    let recorded: usize = deliveries.iter().map(|detail| detail.attempts.len()).sum();
    let calls = world.network.calls(&format!("/{webhook}"));
    let (made, cut_off) = (calls.len(), calls.iter().filter(|call| may_be_cut_off(world, call)).count());
    assert!(recorded <= made, "{webhook}: {recorded} attempts on record, {made} made");
    assert!(recorded + cut_off >= made, "{webhook}: {recorded} attempts on record, {made} made, {cut_off} may be missing");
}

/// Whether a restart came before it can have been recorded.
fn may_be_cut_off(world: &World, call: &Call) -> bool {
    let takes = if call.status.is_some() { ANSWER_MAX } else { TIMEOUT };
    world.restarts.iter().any(|restart| {
        let trouble = if world.disk.was_in_trouble(call.at, *restart) { TROUBLE * 2 } else { Duration::ZERO };
        call.at <= *restart && *restart <= call.at + takes + SLACK + trouble
    })
}

fn nothing_is_early(world: &World, webhook: &str, deliveries: &[DeliveryDetail], seed: u64) {
    for detail in deliveries {
        // By a clock that was set, nobody can tell how long it was.
        if world.touched.contains(&detail.record.id.to_string()) || webhook == "batched" || world.clock_was_set {
            continue;
        }
        for (n, pair) in detail.attempts.windows(2).enumerate() {
            let [before, after] = pair else { continue };
            if before.attempt.outcome != AttemptOutcome::Failed || after.attempt.trigger != Trigger::Scheduled {
                continue;
            }
            // Being switched off and on makes what waited due at once.
            if world.switched.contains(&webhook) {
                continue;
            }
            let base = match webhook {
                "stuck" => 1000.0,
                "expiring" => 3000.0,
                // A failure while the breaker was open spent no retry: the delays after it are as if it had not been.
                "broken" => 200.0,
                _ => (200.0 * 2_f64.powi(i32::try_from(n).unwrap())).min(5000.0),
            };
            let hint = if before.attempt.status == Some(429) { 2000.0 } else { 0.0 };
            let least = (base * 0.8_f64).max(hint) + before.attempt.duration.as_secs_f64() * 1e3 - 1.0;
            let waited = before.attempt.at.until(after.attempt.at).as_secs_f64() * 1e3;
            assert!(waited >= least, "seed {seed}, {webhook}: attempt {} came {waited} ms after the last, not {least}", n + 2);
        }
    }
}

/// The first arrival of each, in the order of publishing; a repetition after a restart is no disorder, nor is what an
/// operator retried.
fn each_key_is_in_order(world: &World) {
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for call in world.network.calls("/ordered") {
        let event = serde_json::from_slice::<Value>(&call.body).unwrap();
        if world.touched.iter().any(|touched| event["id"] == **touched) {
            continue;
        }
        let data = &event["data"];
        let (key, n) = (data["key"].as_u64().unwrap(), data["n"].as_u64().unwrap());
        let before = last.entry(key).or_insert(n);
        assert!(n >= *before, "key {key}: {n} was attempted after {before}");
        *before = n;
    }
}

fn the_rate_holds(world: &World) {
    let calls = world.network.calls("/paced");
    for pair in calls.windows(2) {
        let gap = pair[1].at - pair[0].at;
        // A restart begins a new bucket.
        let restarted = world.restarts.iter().any(|restart| *restart >= pair[0].at && *restart <= pair[1].at);
        assert!(restarted || gap >= Duration::from_millis(189), "two within {gap:?}, the rate is five a second");
    }
}

fn nobody_waits_for_the_stuck_one(world: &World) {
    // A lane rests for a second after a shortage, and permits come back in steps; what failed on disk is tried again.
    let shortages = world.shortages.iter().map(|began| (*began, *began + SHORTAGE * 3));
    let troubles = world.disk.troubles().into_iter().map(|began| (began, began + TROUBLE * 2));
    let hindered: Vec<_> = shortages.chain(troubles).collect();
    let calls = world.network.calls("/steady");
    for (id, at, ..) in &world.published {
        let first = calls.iter().find(|call| serde_json::from_slice::<Value>(&call.body).unwrap()["id"] == id.as_str());
        let first = first.unwrap_or_else(|| panic!("{id} never came")).at;
        let waited = without(&hindered, *at, first);
        assert!(waited <= SLACK, "{id} waited {waited:?} of {:?} for nothing: its endpoint answers", first - *at);
    }
}

/// How long it was between these without the time in any of the spans.
fn without(spans: &[(Instant, Instant)], from: Instant, until: Instant) -> Duration {
    let mut spans = spans.to_vec();
    spans.sort();
    let (mut at, mut left) = (from, Duration::ZERO);
    for (begin, end) in spans {
        left += begin.min(until).saturating_duration_since(at);
        at = at.max(end);
    }
    left + until.saturating_duration_since(at)
}

/// After three failures in a row nothing comes for five seconds.
fn an_open_breaker_spares_its_endpoint(world: &World) {
    let failed = |call: &Call| !matches!(call.status, Some(200..=299 | 400));
    let mut stretch: Vec<Call> = Vec::new();
    for call in world.network.calls("/broken") {
        let last = stretch.last().map(|last| last.at);
        let restarted = world.restarts.iter().any(|at| last.is_some_and(|last| *at >= last) && *at <= call.at);
        if failed(&call) && !restarted {
            stretch.push(call);
        } else {
            was_spared(&stretch);
            stretch = if failed(&call) { vec![call] } else { Vec::new() };
        }
    }
    was_spared(&stretch);
}

/// Requests that failed, one after another: what opened the breaker with ten permits, and a probe every five seconds.
fn was_spared(stretch: &[Call]) {
    if let (Some(first), Some(last)) = (stretch.first(), stretch.last()) {
        let span = last.at - first.at;
        let most = 3 + 10 + usize::try_from(span.as_secs() / 5 + 1).unwrap();
        assert!(stretch.len() <= most, "{} attempts within {span:?} of failing", stretch.len());
    }
}
