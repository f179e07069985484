//! What waits for a webhook that is missing from the configuration.

use std::time::Duration;

use tenterhook::clock::Clock;
use tenterhook::model::{DeliveryState, Timestamp, WebhookId};
use tenterhook::store::{ApiWebhook, DeliveryFilter, KnownWebhook, Store, Sweep};

use crate::store_contract::{NOW, bench, new_event, open, webhook};

async fn known(store: &Store) -> KnownWebhook {
    store.known_webhooks().await.unwrap().remove(0)
}

async fn first(store: &Store) -> (DeliveryState, Option<String>) {
    let row = store.deliveries(DeliveryFilter::default(), None, 1).await.unwrap().rows.remove(0);
    (row.state, row.reason)
}

#[tokio::test]
async fn the_time_of_a_removal_survives_reloads_and_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::stopped_at(Timestamp::parse(NOW).unwrap());
    let store = open(directory.path(), &clock).await;
    let hook = webhook(&store, "a").await;
    assert_eq!(known(&store).await.removed_since, None);
    let since = clock.now();
    store.save_removed(vec![(hook, Some(since))]).await.unwrap();
    clock.advance(Duration::from_secs(60));
    store.save_removed(vec![(hook, Some(clock.now()))]).await.unwrap();
    store.close().await;
    drop(store);
    let store = open(directory.path(), &clock).await;
    assert_eq!(known(&store).await.removed_since, Some(since));
    store.save_removed(vec![(hook, None)]).await.unwrap();
    assert_eq!(known(&store).await.removed_since, None);
    store.save_removed(vec![(hook, Some(clock.now()))]).await.unwrap();
    assert_eq!(known(&store).await.removed_since, Some(clock.now()), "another removal has a time of its own");
}

#[tokio::test]
async fn a_removed_webhook_s_deliveries_are_held_with_the_reason() {
    let bench = bench().await;
    let hook = webhook(&bench.store, "a").await;
    bench.store.append(vec![new_event("evt_1", &[hook])]).await.unwrap();
    // The one that was handed over in memory is put back first, as a restart would.
    let lease = bench.store.ready().await.fresh.remove(0);
    bench.store.retry(lease.delivery, false).await.unwrap();
    assert_eq!(bench.store.sweep(hook, Sweep::HoldRemoved).await.unwrap(), 1);
    let (state, reason) = first(&bench.store).await;
    assert_eq!(state, DeliveryState::Held);
    assert!(reason.as_deref().is_some_and(|reason| reason.contains("`[retention] removed`")), "{reason:?}");
    assert_eq!(bench.store.sweep(hook, Sweep::Release).await.unwrap(), 1);
    assert_eq!(first(&bench.store).await, (DeliveryState::Pending, None));
    bench.store.sweep(hook, Sweep::HoldRemoved).await.unwrap();
    assert_eq!(bench.store.sweep(hook, Sweep::Cancel).await.unwrap(), 1);
    assert_eq!(first(&bench.store).await.0, DeliveryState::Cancelled);
}

#[tokio::test]
async fn nobody_waits_for_a_webhook_that_was_deleted_over_the_api() {
    let bench = bench().await;
    let hook = webhook(&bench.store, "a").await;
    let id = WebhookId::parse("a").unwrap();
    let now = bench.clock.now();
    let webhook = ApiWebhook { id: id.clone(), body: serde_json::Map::new(), created: now, updated: now };
    bench.store.put_api_webhook(webhook, hook, None).await.unwrap();
    assert_eq!(known(&bench.store).await.removed_since, None);
    assert!(bench.store.delete_api_webhook(id, hook).await.unwrap());
    assert_eq!(known(&bench.store).await.removed_since, Some(Timestamp::default()));
}
