//! What retention removes beside old events, and what does not stop it.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tenterhook::clock::Clock;
use tenterhook::model::{Event, EventId, Settlement, Timestamp, WebhookId, WebhookKey};
use tenterhook::store::{DeliveryFilter, JobSpec, JobStep, NewEvent, Store, Subject};

use crate::store_contract::{NOW, attempt, event, new_event, open, settle, webhook};

const DAY: Duration = Duration::from_secs(86_400);

async fn prune(store: &Store, clock: &Clock) -> u64 {
    store.prune(clock.now().before(7 * DAY), clock.now().before(30 * DAY)).await.unwrap()
}

/// Published at `at`, and ended.
async fn ended(store: &Store, hook: WebhookKey, at: Timestamp, ids: impl Iterator<Item = String>, settlement: Settlement) {
    let event = |id: &str| Arc::new(Event { received: at, ..event(id, "1") });
    let events: Vec<_> = ids.map(|id| NewEvent { event: event(&id), ..new_event(&id, &[hook]) }).collect();
    let count = events.len();
    store.append(events).await.unwrap();
    let leases = store.ready().await.fresh;
    assert_eq!(leases.len(), count);
    let outcome = if settlement == Settlement::Fail { 400 } else { 200 };
    let mut all = tokio::task::JoinSet::new();
    for lease in leases {
        let (store, settled) = (store.clone(), settle(&lease, Some(attempt(1, outcome)), settlement.clone()));
        all.spawn(async move { store.settle(Arc::new(settled)).await.unwrap() });
    }
    all.join_all().await;
}

async fn erase(store: &Store, id: &str) {
    let spec = JobSpec::Erase { subject: Subject::Tenant("t".to_owned()), until: Timestamp::parse(NOW).unwrap() };
    let job = store.create_job(spec, "test".to_owned(), None).await.unwrap();
    let step = JobStep { erase: vec![EventId::parse(id).unwrap()], ..JobStep::default() };
    assert_eq!(store.advance_job(job.number, step).await.unwrap().unwrap().done, 1);
}

fn one(id: &str) -> impl Iterator<Item = String> {
    std::iter::once(id.to_owned())
}

#[tokio::test]
async fn rows_beside_events_go_also_while_a_dead_letter_waits_for_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::stopped_at(Timestamp::parse(NOW).unwrap());
    let store = open(directory.path(), &clock).await;
    let hook = webhook(&store, "a").await;
    let file = Connection::open(directory.path().join("tenterhook.db")).unwrap();
    let count = |sql: &str| file.query_row(sql, [], |row| row.get::<_, u64>(0)).unwrap();
    ended(&store, hook, clock.now(), one("evt_erased"), Settlement::Succeed).await;
    erase(&store, "evt_erased").await;
    clock.advance(32 * DAY);
    ended(&store, hook, clock.now(), one("evt_dead"), Settlement::Fail).await;
    clock.advance(8 * DAY);
    // Hours from 40 days ago, far more than one commit takes, of this webhook and of many that had fewer.
    file.execute_batch(&format!(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5000)
         INSERT OR IGNORE INTO hours SELECT {}, n, 1, 0, 1, 0, 0, x'' FROM n;
         WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 3000)
         INSERT INTO webhooks(id) SELECT 'hook-' || n FROM n;
         INSERT INTO hours SELECT key, 1, 1, 0, 1, 0, 0, x'' FROM webhooks WHERE id LIKE 'hook-%';",
        hook.0
    ))
    .unwrap();
    assert_eq!((count("SELECT count(*) FROM hours"), count("SELECT count(*) FROM deliveries")), (8002, 2));
    assert_eq!(prune(&store, &clock).await, 0, "the dead letter has three weeks to go");
    assert_eq!(count("SELECT count(*) FROM hours"), 1, "the one of the dead letter");
    assert_eq!(count("SELECT count(*) FROM deliveries WHERE event = 0"), 0, "what was left of the erased one");
    assert_eq!(count("SELECT count(*) FROM deliveries"), 1);
}

#[tokio::test]
async fn an_open_delivery_stays_listed_and_sound_when_all_newer_ones_went() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::stopped_at(Timestamp::parse(NOW).unwrap());
    let store = open(directory.path(), &clock).await;
    let hook = webhook(&store, "a").await;
    store.append(vec![new_event("evt_open", &[hook])]).await.unwrap();
    let open_lease = store.ready().await.fresh.remove(0);
    ended(&store, hook, clock.now(), (0..3).map(|n| format!("evt_{n}")), Settlement::Succeed).await;
    clock.advance(8 * DAY);
    assert_eq!(prune(&store, &clock).await, 3);
    let of_it = DeliveryFilter { webhook: Some(WebhookId::parse("a").unwrap()), ..DeliveryFilter::default() };
    let listed = store.deliveries(of_it, None, 10).await.unwrap().rows;
    assert_eq!(listed.iter().map(|row| row.id.number).collect::<Vec<_>>(), [open_lease.delivery.number]);
    store.close().await;
    let checked = Store::check(directory.path().to_owned(), clock.now()).await.unwrap();
    assert_eq!(checked.problems, Vec::<String>::new());
}

#[tokio::test]
async fn events_of_a_clock_that_ran_ahead_do_not_keep_what_comes_after_them() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::stopped_at(Timestamp::parse(NOW).unwrap());
    let store = open(directory.path(), &clock).await;
    let hook = webhook(&store, "a").await;
    // More of them than one step reads.
    let ahead = clock.now().after(3650 * DAY);
    ended(&store, hook, ahead, (0..450).map(|n| format!("evt_ahead_{n}")), Settlement::Succeed).await;
    ended(&store, hook, clock.now(), (0..300).map(|n| format!("evt_{n}")), Settlement::Succeed).await;
    clock.advance(8 * DAY);
    ended(&store, hook, clock.now(), one("evt_young"), Settlement::Succeed).await;
    assert_eq!(prune(&store, &clock).await, 300);
    clock.advance(8 * DAY);
    assert_eq!(prune(&store, &clock).await, 1);
    clock.advance(3650 * DAY);
    assert_eq!(prune(&store, &clock).await, 450, "these when they say so");
}

#[tokio::test]
async fn numbers_never_come_back_after_an_erasure_retention_and_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::stopped_at(Timestamp::parse(NOW).unwrap());
    let store = open(directory.path(), &clock).await;
    let hook = webhook(&store, "a").await;
    let id = |n: usize| format!("evt_{n}");
    ended(&store, hook, clock.now(), (0..3).map(id), Settlement::Succeed).await;
    let given = store.deliveries(Default::default(), None, 1).await.unwrap().rows[0].id.number;
    for n in 0..3 {
        erase(&store, &id(n)).await;
    }
    // Goes to nobody: there is no delivery in the file once what is left of the erased ones is gone.
    store.append(vec![new_event("evt_unheard", &[])]).await.unwrap();
    assert_eq!(prune(&store, &clock).await, 0);
    store.close().await;
    drop(store);

    let store = open(directory.path(), &clock).await;
    store.append(vec![new_event("evt_new", &[hook])]).await.unwrap();
    let lease = store.ready().await.fresh.remove(0);
    assert!(lease.delivery.number > given, "{} after {given}", lease.delivery.number);
    // As after kill -9: what is on disk at this moment, opened elsewhere. A crash stops the writer and the files together. A copy
    // is taken of one after the other: a WAL that is truncated during it may end after an older commit, whose pages then
    // replace newer ones of the file. After its first commit the writer truncates once; the next answer comes after that.
    store.probe().await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    for name in ["tenterhook.db-wal", "tenterhook.db"] {
        std::fs::copy(directory.path().join(name), elsewhere.path().join(name)).unwrap();
    }
    let recovered = open(elsewhere.path(), &clock).await;
    let claimed = recovered.claim(hook, 10, vec![]).await.unwrap().leases;
    assert_eq!(claimed.iter().map(|lease| lease.event.id.to_string()).collect::<Vec<_>>(), ["evt_new"]);
}

#[tokio::test]
async fn lost_counters_give_out_no_number_that_a_recovery_would_not_find() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::stopped_at(Timestamp::parse(NOW).unwrap());
    let store = open(directory.path(), &clock).await;
    let hook = webhook(&store, "a").await;
    ended(&store, hook, clock.now(), one("evt_1"), Settlement::Succeed).await;
    store.close().await;
    drop(store);
    // As an earlier release may have left it.
    let file = Connection::open(directory.path().join("tenterhook.db")).unwrap();
    file.execute_batch("DELETE FROM deliveries; DELETE FROM attempts; DELETE FROM events").unwrap();
    let watermark = "SELECT value FROM meta WHERE key = 'watermark'";
    let watermark: i64 = file.query_row(watermark, [], |row| row.get(0)).unwrap();
    drop(file);
    let store = open(directory.path(), &clock).await;
    store.append(vec![new_event("evt_2", &[hook])]).await.unwrap();
    let lease = store.ready().await.fresh.remove(0);
    assert!(lease.delivery.number >= watermark, "{} before {watermark}", lease.delivery.number);
}
