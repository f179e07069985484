//! Lists meet what retention has taken, and batches that were halved.

use std::sync::Arc;
use std::time::Duration;

use tenterhook::model::{DeliveryState, Event, Settlement, WebhookId, WebhookKey};
use tenterhook::store::{DeliveryFilter, NewEvent, Store};

use crate::store_contract::{attempt, bench, event, new_event, settle, webhook};
use crate::store_erase::leased_batch;

async fn all_states(store: &Store, filter: DeliveryFilter) -> Vec<(String, DeliveryState)> {
    let page = store.deliveries(filter, None, 250).await.unwrap();
    page.rows.into_iter().map(|row| (row.event_id.to_string(), row.state)).collect()
}

fn of(id: &str) -> DeliveryFilter {
    DeliveryFilter { webhook: Some(WebhookId::parse(id).unwrap()), ..DeliveryFilter::default() }
}

#[tokio::test]
async fn a_list_goes_on_behind_what_retention_has_taken_out_of_its_middle() {
    let bench = bench().await;
    let (a, b) = (webhook(&bench.store, "a").await, webhook(&bench.store, "b").await);
    for n in 0..12 {
        let targets: &[WebhookKey] = if n % 2 == 0 { &[a] } else { &[b] };
        bench.store.append(vec![new_event(&format!("evt_{n}"), targets)]).await.unwrap();
    }
    let leases = bench.store.ready().await.fresh;
    // The two oldest of each are dead letters, the newest stay open, the rest is done.
    for (n, lease) in leases.iter().enumerate().take(10) {
        let settlement = if n < 4 { Settlement::Fail } else { Settlement::Succeed };
        bench.store.settle(Arc::new(settle(lease, Some(attempt(1, 200)), settlement))).await.unwrap();
    }
    let day = Duration::from_secs(86_400);
    bench.clock.advance(8 * day);
    let now = bench.clock.now();
    assert_eq!(bench.store.prune(now.before(7 * day), now.before(30 * day)).await.unwrap(), 6);
    let failed = |id: &str| (id.to_owned(), DeliveryState::Failed);
    let of_a = all_states(&bench.store, of("a")).await;
    assert_eq!(of_a, [("evt_10".to_owned(), DeliveryState::Pending), failed("evt_2"), failed("evt_0")]);

    // Page by page as well, also from a cursor whose row is gone or another webhook's.
    let (mut rows, mut cursor) = (Vec::new(), None);
    loop {
        let page = bench.store.deliveries(of("a"), cursor, 1).await.unwrap();
        rows.extend(page.rows.iter().map(|row| row.event_id.to_string()));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(rows, ["evt_10", "evt_2", "evt_0"]);
    for lease in &leases[5..8] {
        let after = Some(tenterhook::store::Cursor(lease.delivery.number));
        let page = bench.store.deliveries(of("a"), after, 250).await.unwrap();
        assert_eq!(page.rows.len(), 2, "after {}", lease.event.id);
    }
}

#[tokio::test]
async fn a_batchs_half_does_not_end_a_list_by_time() {
    let bench = bench().await;
    let (hook, other) = (webhook(&bench.store, "a").await, webhook(&bench.store, "b").await);
    let lease = leased_batch(&bench.store, hook, bench.clock.now()).await;
    bench.clock.advance(Duration::from_secs(3600));
    let since = bench.clock.now();
    let late = |id: &str, hook| {
        let event = Event { received: since, ..event(id, "1") };
        NewEvent { event: Arc::new(event), ..new_event(id, &[hook]) }
    };
    bench.store.append(vec![late("late_a", hook), late("late_b", other)]).await.unwrap();
    // The half is the newest of all and holds the oldest events.
    bench.store.settle(Arc::new(settle(&lease, Some(attempt(1, 413)), Settlement::Halve))).await.unwrap();
    for (filter, expected) in [(of("a"), vec!["late_a"]), (DeliveryFilter::default(), vec!["late_b", "late_a"])] {
        let found = all_states(&bench.store, DeliveryFilter { since: Some(since), ..filter }).await;
        assert_eq!(found.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), expected);
    }
}
