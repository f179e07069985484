//! What is not the delivery's fault costs it nothing: an endpoint that is down behind a breaker, a machine that lacks
//! descriptors, a clock that is set back.

use std::time::Duration;

use tenterhook::model::{AttemptOutcome, DeliveryState, EventId, WebhookId};
use tenterhook::outbound::Shortage;
use tenterhook::store::{DeliveryDetail, DeliveryFilter};
use tokio::time::Instant;

use crate::world::{World, in_virtual_time, webhook};

const MINUTE: Duration = Duration::from_secs(60);

async fn publish(world: &World, prefix: &str, kind: &str, events: usize) {
    let event = |n| (EventId::parse(&format!("{prefix}_{n}")).unwrap(), kind.to_owned(), r#"{"key":1}"#.to_owned());
    world.append((0..events).map(event).collect()).await.unwrap();
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

fn in_state(deliveries: &[DeliveryDetail], state: DeliveryState) -> usize {
    deliveries.iter().filter(|detail| detail.record.state == state).count()
}

/// One retry, 64 deliveries and a probe every 30 s: each probe that cost a retry would be a dead letter.
#[test]
fn probes_that_fail_cost_their_deliveries_nothing() {
    in_virtual_time(async {
        let more = "breaker = { failures = 10, window = \"1m\", cool_down = \"30s\" }\nretry = { max_retries = 1 }";
        let mut world = World::new(7, webhook("down", "load.*", more)).await;
        world.network.set_down("/down", true);
        publish(&world, "evt", "load.x", 64).await;
        for _ in 0..3 {
            tokio::time::sleep(10 * MINUTE).await;
            world.restart_after(|_| {}).await;
        }
        tokio::time::sleep(10 * MINUTE).await;
        let waiting = deliveries(&world, "down").await;
        assert_eq!(in_state(&waiting, DeliveryState::Failed), 0, "dead letters while the breaker was open");
        let attempts: usize = waiting.iter().map(|detail| detail.attempts.len()).sum();
        assert!((70..110).contains(&attempts), "{attempts} attempts: ten to open it, then two a minute");
        // An attempt and its only retry have failed, and still it waits: the second was a probe.
        assert!(waiting.iter().any(|detail| detail.attempts.len() >= 2), "probes take the deliveries in turn");
        world.network.heal();
        tokio::time::sleep(5 * MINUTE).await;
        assert_eq!(in_state(&deliveries(&world, "down").await, DeliveryState::Succeeded), 64);
        world.close().await;
    });
}

#[test]
fn a_machine_without_descriptors_spends_no_attempt_and_no_breaker() {
    in_virtual_time(async {
        let more = "breaker = { failures = 2, window = \"1m\", cool_down = \"1h\" }\nretry = { max_retries = 0 }";
        let mut world = World::new(8, webhook("steady", "load.*", more) + &webhook("untried", "load.*", more)).await;
        world.network.run_short(Shortage::Files, 2 * MINUTE);
        publish(&world, "evt", "load.x", 40).await;
        tokio::time::sleep(MINUTE).await;
        for id in ["steady", "untried"] {
            let waiting = deliveries(&world, id).await;
            assert_eq!(in_state(&waiting, DeliveryState::Pending), 40, "{id}: as if nothing had been tried");
            assert!(waiting.iter().all(|detail| detail.attempts.is_empty()), "{id}");
        }
        let tries = world.network.put_back();
        assert!((10..600).contains(&tries), "{tries} tries in a minute: neither given up nor a busy loop");
        world.network.heal();
        tokio::time::sleep(2 * MINUTE).await;
        for id in ["steady", "untried"] {
            let done = deliveries(&world, id).await;
            assert_eq!(in_state(&done, DeliveryState::Succeeded), 40, "{id}");
            assert!(done.iter().all(|detail| detail.attempts.len() == 1), "{id}: one attempt each");
        }
        world.close().await;
    });
}

/// Ports run out towards one address; others go on.
#[test]
fn a_shortage_of_ports_rests_only_the_lane_that_met_it() {
    in_virtual_time(async {
        let mut world = World::new(9, webhook("steady", "good.*", "") + &webhook("crowded", "bad.*", "")).await;
        world.network.run_short_at("/crowded", Shortage::Ports, MINUTE);
        publish(&world, "bad", "bad.x", 100).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let began = Instant::now();
        publish(&world, "good", "good.x", 20).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let calls = world.network.calls("/steady");
        assert_eq!(calls.len(), 20);
        assert!(calls.iter().all(|call| call.at - began < Duration::from_secs(1)), "{calls:?}");
        world.network.heal();
        tokio::time::sleep(2 * MINUTE).await;
        assert_eq!(in_state(&deliveries(&world, "crowded").await, DeliveryState::Succeeded), 100);
        world.close().await;
    });
}

fn clock_set_back(seed: u64, while_stopped: bool) {
    in_virtual_time(async {
        const BACK: i64 = -3_600_000;
        let retry = "retry = { schedule = [\"4s\", \"4s\"], jitter = 0 }";
        let breaker = "breaker = { failures = 1, window = \"1m\", cool_down = \"4s\" }";
        let config = webhook("retried", "load.*", retry)
            + &webhook("batched", "load.*", "batch = { max_events = 9, max_wait = \"4s\" }")
            + &webhook("probed", "load.*", breaker);
        let mut world = World::new(seed, config).await;
        world.network.set_down("/retried", true);
        world.network.set_down("/probed", true);
        publish(&world, "before", "load.x", 1).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let calls = |world: &World| ["/retried", "/batched", "/probed"].map(|path| world.network.calls(path).len());
        assert_eq!(calls(&world), [1, 0, 1]);
        if while_stopped {
            world.restart_after(|clock| clock.set_by(BACK)).await;
        } else {
            world.clock().set_by(BACK);
        }
        world.network.heal();
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(calls(&world), [2, 1, 2], "what is due in four seconds is due in four seconds");
        // What comes afterwards is on time as well.
        publish(&world, "after", "load.x", 1).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(calls(&world), [3, 1, 3]);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(calls(&world), [3, 2, 3]);
        let attempts = deliveries(&world, "retried").await.into_iter().flat_map(|detail| detail.attempts);
        let outcomes: Vec<AttemptOutcome> = attempts.map(|record| record.attempt.outcome).collect();
        assert_eq!(outcomes.len(), 3, "{outcomes:?}");
        world.close().await;
    });
}

#[test]
fn a_clock_set_back_delays_no_retry_no_batch_and_no_probe() {
    clock_set_back(10, false);
}

#[test]
fn nor_does_one_that_was_set_back_while_nobody_ran() {
    clock_set_back(11, true);
}
