//! The loop, one step at a time, where the order of what it hears matters.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::start::CLAIMS_MAX;
use super::*;
use crate::config;
use crate::model::{DeliveryId, Event, EventId, EventType, Settlement, Target, WebhookId};
use crate::outbound::{Client, ClientOptions};
use crate::snapshot::{self, Parts};
use crate::store::{NewEvent, Settle, StoreOptions, Sweep};
use crate::transform::{Host, HostOptions};

/// A dispatcher that nobody runs, and a webhook that the configuration does not know of.
async fn still(directory: &std::path::Path) -> (Dispatcher, WebhookKey) {
    let clock = Clock::stopped_at(Timestamp::parse("2026-01-28T10:30:45Z").unwrap());
    let options = StoreOptions { path: directory.to_owned(), clock: clock.clone(), on_commit: None };
    let store = Store::open(options).await.unwrap();
    let loaded = config::load_str("", &BTreeMap::new(), &|_| None).ok().unwrap();
    let host = Host::new(HostOptions { cache_dir: None, instances_max: 1 }).unwrap();
    let parts = Parts {
        client: Client::new(ClientOptions::new(loaded.settings.network.clone())).unwrap(),
        settings: loaded.settings,
        fingerprint: "still".to_owned(),
        generation: 1,
        loaded_at: clock.now(),
        keys: HashMap::new(),
        secrets: HashMap::new(),
        status_board: Arc::new(StatusBoard::new(HashMap::new())),
    };
    let live = Arc::new(Live::new(snapshot::build(parts, &host).await.unwrap()));
    let hook = store.intern(vec![WebhookId::parse("a").unwrap()]).await.unwrap()[0];
    (Dispatcher::new(store, live, clock, Arc::new(Metrics::new())), hook)
}

fn published(id: &str, hook: WebhookKey, now: Timestamp) -> NewEvent {
    let event = Event {
        id: EventId::parse(id).unwrap(),
        kind: EventType::parse("a.b").unwrap(),
        timestamp: now,
        received: now,
        data: Bytes::from_static(b"1"),
        metadata: None,
        tenant: None,
    };
    NewEvent { event: Arc::new(event), targets: vec![Target::immediate(hook)], unmatched: vec![], timestamp_given: false }
}

/// What the store has made ready since the last time.
async fn take_ready(dispatcher: &mut Dispatcher) {
    let ready = dispatcher.context.store.ready().await;
    dispatcher.take(ready);
}

/// An attempt of what waits first begins.
fn begin(dispatcher: &mut Dispatcher, hook: WebhookKey) -> DeliveryId {
    dispatcher.permits.acquire(false);
    dispatcher.lanes.get_mut(&hook).unwrap().start(1).unwrap().delivery
}

/// Every claim that is due, to its end.
async fn claim_due(dispatcher: &mut Dispatcher) {
    dispatcher.wake_due();
    dispatcher.start_work();
    while let Some(claimed) = dispatcher.claims.join_next().await {
        dispatcher.claimed(claimed);
    }
}

#[tokio::test]
async fn a_retry_that_is_due_before_its_lease_has_ended_is_claimed() {
    let directory = tempfile::tempdir().unwrap();
    let (mut dispatcher, hook) = still(directory.path()).await;
    let (store, now) = (dispatcher.context.store.clone(), dispatcher.context.clock.now());
    store.append(vec![published("evt_1", hook, now)]).await.unwrap();
    take_ready(&mut dispatcher).await;
    let delivery = begin(&mut dispatcher, hook);

    // The attempt is recorded, and due again at once; the loop hears of that before it hears that the lease is over.
    store.settle(Arc::new(Settle::untried(delivery, hook, Settlement::RetryAt(now)))).await.unwrap();
    take_ready(&mut dispatcher).await;
    claim_due(&mut dispatcher).await;
    assert!(!dispatcher.lanes[&hook].has_queue(), "it is ours still");
    assert_eq!(dispatcher.due.first(), None, "and the disk has nothing else");

    dispatcher.handle(AttemptMessage::Sent { webhook: hook, report: AttemptReport::NONE });
    dispatcher.handle(AttemptMessage::Settled { webhook: hook, delivery, again: Some(now) });
    claim_due(&mut dispatcher).await;
    assert_eq!(dispatcher.lanes[&hook].first().map(|lease| lease.delivery), Some(delivery));
}

#[tokio::test]
async fn a_release_during_an_attempt_is_not_lost() {
    let directory = tempfile::tempdir().unwrap();
    let (mut dispatcher, hook) = still(directory.path()).await;
    let (store, now) = (dispatcher.context.store.clone(), dispatcher.context.clock.now());
    store.append(vec![published("evt_1", hook, now)]).await.unwrap();
    let fresh = store.ready().await.fresh.remove(0);
    let again = |delivery| Arc::new(Settle::untried(delivery, hook, Settlement::RetryAt(now)));
    store.settle(again(fresh.delivery)).await.unwrap();
    take_ready(&mut dispatcher).await;
    claim_due(&mut dispatcher).await;
    let delivery = begin(&mut dispatcher, hook);

    // Held during the attempt, released right after that is recorded; the loop hears of the release first.
    store.sweep(hook, Sweep::Hold).await.unwrap();
    let recorded = store.settle(again(delivery)).await.unwrap();
    store.sweep(hook, Sweep::Release).await.unwrap();
    take_ready(&mut dispatcher).await;
    claim_due(&mut dispatcher).await;
    assert!(!dispatcher.lanes[&hook].has_queue(), "it is ours still");

    dispatcher.handle(AttemptMessage::Sent { webhook: hook, report: AttemptReport::NONE });
    dispatcher.handle(AttemptMessage::Settled { webhook: hook, delivery, again: attempt::again(&recorded, now) });
    claim_due(&mut dispatcher).await;
    assert_eq!(dispatcher.lanes[&hook].first().map(|lease| lease.delivery), Some(delivery));
}

#[tokio::test]
async fn a_lane_that_rests_gives_back_what_it_can_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let (dispatcher, hook) = still(directory.path()).await;
    let (store, now) = (dispatcher.context.store.clone(), dispatcher.context.clock.now());
    store.append(vec![published("evt_1", hook, now), published("evt_2", hook, now)]).await.unwrap();
    let mut lane = Lane::new(hook);
    for lease in store.ready().await.fresh {
        store.settle(Arc::new(Settle::untried(lease.delivery, hook, Settlement::RetryAt(now)))).await.unwrap();
    }
    let claimed = store.claim(hook, 10, vec![]).await.unwrap();
    assert_eq!(claimed.leases.len(), 2);
    lane.claimed(claimed.leases, claimed.more, claimed.is_short);
    store.append(vec![published("evt_3", hook, now)]).await.unwrap();
    let fresh = store.ready().await.fresh;
    assert_eq!(fresh.len(), 1, "nothing is behind it");
    fresh.into_iter().for_each(|lease| lane.push(lease));
    lane.shed();
    assert_eq!(lane.first().map(|lease| lease.event.id.as_str().to_owned()).as_deref(), Some("evt_3"), "it is nowhere else");
    assert!(lane.wants_claim(9));
    store.append(vec![published("evt_4", hook, now)]).await.unwrap();
    assert!(store.ready().await.fresh.is_empty(), "which overtakes nothing that waits on disk");
    assert_eq!(store.claim(hook, 10, lane.begin_claim()).await.unwrap().leases.len(), 3);
}

#[tokio::test]
async fn lanes_that_wait_for_a_claim_are_woken_when_there_is_one() {
    const LANES: i64 = 1000;
    let directory = tempfile::tempdir().unwrap();
    let (mut dispatcher, _) = still(directory.path()).await;
    let now = dispatcher.context.clock.now();
    (1..=LANES).for_each(|key| dispatcher.due.set(WebhookKey(key), now));
    dispatcher.wake_due();
    dispatcher.start_work();
    let waiting = usize::try_from(LANES).unwrap() - CLAIMS_MAX;
    assert_eq!((dispatcher.claims.len(), dispatcher.waiting_claims.len(), dispatcher.runnable.len()), (CLAIMS_MAX, waiting, 0));
    // Woken in between, they still wait once each.
    dispatcher.reconfigured();
    dispatcher.start_work();
    assert_eq!((dispatcher.waiting_claims.len(), dispatcher.runnable.len()), (waiting, 0));
    let claimed = dispatcher.claims.join_next().await.unwrap();
    dispatcher.claimed(claimed);
    dispatcher.start_work();
    assert_eq!((dispatcher.claims.len(), dispatcher.waiting_claims.len()), (CLAIMS_MAX, waiting - 1));
    while let Some(claimed) = dispatcher.claims.join_next().await {
        dispatcher.claimed(claimed);
        dispatcher.start_work();
    }
    assert!(dispatcher.lanes.is_empty(), "none is left behind");
}

/// What made the attempt panic may make the repair panic as well: a log that cannot be written did.
#[tokio::test]
async fn a_repair_that_panics_gives_its_permit_back_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (mut dispatcher, hook) = still(directory.path()).await;
    let (store, now) = (dispatcher.context.store.clone(), dispatcher.context.clock.now());
    store.append(vec![published("evt_1", hook, now)]).await.unwrap();
    take_ready(&mut dispatcher).await;
    let delivery = begin(&mut dispatcher, hook);
    dispatcher.handle(AttemptMessage::Panicked { webhook: hook, delivery, is_sent: false });
    dispatcher.running.shutdown().await;
    assert_eq!(dispatcher.permits.in_use(), 1);
    dispatcher.drain_messages();
    assert_eq!(dispatcher.permits.in_use(), 0, "others may start");
    assert!(dispatcher.due.first().is_some_and(|at| at > now), "and it is not forgotten");
}
