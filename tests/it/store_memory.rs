//! Memory is bounded whatever the backlog.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tenterhook::model::{Settlement, WebhookId, WebhookKey};
use tenterhook::store::{Lease, NewEvent, Payload, TransformedRequest};

use crate::store_contract::{attempt, bench, event, new_event, settle};

#[tokio::test]
async fn what_is_read_back_is_bounded_over_all_webhooks_and_each_gets_its_turn() {
    const MIB: usize = 1 << 20;
    let bench = bench().await;
    let ids = (0..200).map(|n| WebhookId::parse(&format!("hook-{n}")).unwrap()).collect();
    let hooks = bench.store.intern(ids).await.unwrap();
    let data = format!("\"{}\"", "x".repeat(MIB - 2));
    for id in ["evt_1", "evt_2"] {
        let new = NewEvent { event: Arc::new(event(id, &data)), ..new_event(id, &hooks) };
        bench.store.append(vec![new]).await.unwrap();
    }
    // What found room in memory is ours for good; the rest is on disk: for all but the first 63, two of 1 MiB each.
    let ready = bench.store.ready().await;
    assert!(ready.fresh.len() < 64, "{}", ready.fresh.len());
    let waiting = &hooks[64..];

    let claim = |hook: WebhookKey, leased: Vec<i64>| bench.store.claim(hook, 8, leased);
    let mut held: Vec<Vec<Lease>> = Vec::new();
    while held.iter().flatten().count() < 128 {
        let leases = claim(waiting[held.len()], vec![]).await.unwrap().leases;
        // As long as there is plenty, what there is; then each one, however little is left.
        let expected = if held.iter().flatten().count() < 62 { 2 } else { 1 };
        assert_eq!(leases.len(), expected, "after {}", held.len());
        held.push(leases);
    }
    let bytes: usize = held.iter().flatten().map(|lease| lease.event.data.len()).sum();
    assert!(bytes <= 128 * MIB, "{bytes}");

    // Those that have something go on with that.
    let first = held[0].iter().map(|lease| lease.delivery.number).collect();
    let claimed = claim(waiting[0], first).await.unwrap();
    assert!(claimed.leases.is_empty() && claimed.is_short && claimed.more);
    // One that has nothing gets something as soon as there is room, and not before.
    let mut next = Box::pin(claim(waiting[held.len()], vec![]));
    tokio::select! {
        biased;
        claimed = &mut next => panic!("{claimed:?}"),
        () = std::future::ready(()) => {}
    }
    held[3].pop();
    let claimed = tokio::time::timeout(crate::harness::PATIENCE, next).await.expect("there is room").unwrap();
    assert_eq!((claimed.leases.len(), claimed.more, claimed.is_short), (1, true, false));
    // What a request was made of counts as well: two of 1 MiB with 3 MiB each are more than one claim takes.
    drop((held, claimed));
    for _ in 0..2 {
        let lease = claim(waiting[0], vec![]).await.unwrap().leases.remove(0);
        let later = Settlement::RetryAt(bench.clock.now().after(Duration::from_secs(1)));
        let mut failed = settle(&lease, Some(attempt(1, 500)), later);
        let body = Bytes::from(vec![b'x'; 3 * MIB + 1]);
        failed.made = Some(Payload::Request(Arc::new(TransformedRequest { method: None, url: None, headers: vec![], body })));
        bench.store.settle(Arc::new(failed)).await.unwrap();
    }
    bench.clock.advance(Duration::from_secs(1));
    let claimed = claim(waiting[0], vec![]).await.unwrap();
    assert_eq!((claimed.leases.len(), claimed.more), (1, true));
}
