//! Behaviour that only shows from inside the module: a store that takes nothing.

use super::*;
use crate::store::StoreOptions;

async fn started(directory: &tempfile::TempDir) -> Tenterhook {
    let config = directory.path().join("config.toml");
    std::fs::write(&config, "").unwrap();
    Tenterhook::builder().config(config).http_listener(false).start().await.unwrap()
}

/// A store that answers every call with "unavailable".
async fn closed_store(directory: &tempfile::TempDir) -> Store {
    let path = directory.path().join("closed");
    let store = Store::open(StoreOptions { path, clock: Clock::System, on_commit: None }).await.unwrap();
    store.close().await;
    store
}

fn draft(n: i32) -> Draft {
    NewEvent::from(("a.b", n.into())).draft(Clock::System.now(), 1_000).unwrap()
}

#[tokio::test]
async fn while_the_store_takes_nothing_events_wait_and_emit_durable_fails() {
    let directory = tempfile::tempdir().unwrap();
    let tenterhook = started(&directory).await;
    let inner = &tenterhook.inner;
    let closing = CancellationToken::new();
    let parts = (Publisher::uncounted(closed_store(&directory).await), Arc::clone(&inner.live));
    let (queue, mut worker) = queue::queue(3, parts, closing.clone());
    let mut working = tokio::task::JoinSet::new();
    working.spawn(async move {
        worker.run().await;
    });
    for n in 0..3 {
        queue.emit(draft(n)).unwrap();
    }
    // Behind three that cannot be stored, and answered nevertheless, each time.
    for n in 0..3 {
        let outcome = queue.emit_durable(draft(n)).await.unwrap();
        assert!(matches!(outcome, Outcome::Failed(StoreError::Unavailable { .. })), "{outcome:?}");
    }
    assert_eq!(queue.stats(), EmitStats { queued: 3, ..EmitStats::default() });
    let error = queue.emit(draft(3)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the queue is full: 3 events wait to be stored; emit fewer, make it longer (`Builder::queue`), or await `emit_durable`"
    );
    assert_eq!(queue.stats().full, 1);
    // It keeps them until it is ended from outside.
    closing.cancel();
    let waited = tokio::time::timeout(std::time::Duration::from_secs(1), working.join_next()).await;
    assert!(waited.is_err(), "it does not end with three that are not stored");
    assert_eq!(queue.emit(draft(4)), Err(EmitError::Closed));
    working.shutdown().await;
    tenterhook.shutdown().await.unwrap();
}

#[tokio::test]
async fn after_the_end_nothing_is_accepted_and_nothing_received() {
    let directory = tempfile::tempdir().unwrap();
    let tenterhook = started(&directory).await;
    let mut subscription = tenterhook.subscribe("*").unwrap();
    tenterhook.inner.bus.subscribe(Pattern::parse("*").unwrap(), Clock::System.now()).unsubscribe();
    assert_eq!(tenterhook.inner.bus.subscriptions(), 1, "dropped ones are gone");
    tenterhook.shutdown().await.unwrap();
    assert_eq!(subscription.next().await, None);
    assert_eq!(tenterhook.subscribe("*").unwrap().next().await, None, "after the end there is nothing to receive");
    assert!(matches!(tenterhook.emit_durable(NewEvent::new("a")).await, Err(DurableError::Closed)));
    tenterhook.ended().await.unwrap();
}
