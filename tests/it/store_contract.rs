//! The store's contract, for every backend.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tenterhook::clock::Clock;
use tenterhook::model::{
    Attempt, AttemptOutcome, BatchPolicy, Cause, DeliveryId, DeliveryState, Event, EventId, EventType, Intake, ReceivedResponse,
    SentRequest, Settlement, StorageKey, StorageKeys, Target, Timestamp, Timings, Trigger, WebhookId, WebhookKey,
};
use tenterhook::store::{
    Accepted, DeliveryFilter, EventFilter, Lease, NewEvent, Payload, Settle, Store, StoreOptions, StoredSecret, Sweep,
    TransformedRequest,
};

pub const NOW: &str = "2026-01-28T10:30:45.123Z";

pub struct Bench {
    pub store: Store,
    pub clock: Clock,
    pub _directory: Option<tempfile::TempDir>,
}

pub async fn open(path: &Path, clock: &Clock) -> Store {
    Store::open(StoreOptions { path: path.to_owned(), clock: clock.clone(), on_commit: None }).await.unwrap()
}

pub async fn bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::stopped_at(Timestamp::parse(NOW).unwrap());
    let store = open(directory.path(), &clock).await;
    Bench { store, clock, _directory: Some(directory) }
}

pub fn event(id: &str, data: &str) -> Event {
    Event {
        id: EventId::parse(id).unwrap(),
        kind: EventType::parse("order.created").unwrap(),
        timestamp: Timestamp::parse(NOW).unwrap(),
        received: Timestamp::parse(NOW).unwrap(),
        data: Bytes::copy_from_slice(data.as_bytes()),
        metadata: None,
        tenant: None,
    }
}

pub fn new_event(id: &str, targets: &[WebhookKey]) -> NewEvent {
    let event = Arc::new(event(id, r#"{"n":1}"#));
    NewEvent {
        event,
        targets: targets.iter().copied().map(Target::immediate).collect(),
        unmatched: Vec::new(),
        timestamp_given: false,
    }
}

pub async fn webhook(store: &Store, id: &str) -> WebhookKey {
    store.intern(vec![WebhookId::parse(id).unwrap()]).await.unwrap()[0]
}

pub fn attempt(number: u32, status: u16) -> Attempt {
    let outcome = if status < 300 { AttemptOutcome::Succeeded } else { AttemptOutcome::Failed };
    Attempt {
        number,
        at: Timestamp::parse(NOW).unwrap(),
        trigger: Trigger::Scheduled,
        outcome,
        status: Some(status),
        error_class: (status >= 300).then(|| Cause::Status(status).name().into()),
        error: (status >= 300).then(|| format!("the endpoint answered {status}")),
        duration: Duration::from_millis(12),
        request: Some(SentRequest {
            method: "POST".to_owned(),
            url: "https://example.com/".to_owned(),
            headers: vec![("webhook-id".to_owned(), "evt_1".to_owned())],
            hidden: Vec::new(),
        }),
        response: Some(ReceivedResponse { headers: Vec::new(), body: Bytes::from_static(b"\xffok"), truncated: true }),
        timings: Timings { first_byte_us: Some(900), ..Timings::default() },
        log: Vec::new(),
    }
}

pub fn settle(lease: &Lease, attempt: Option<Attempt>, settlement: Settlement) -> Settle {
    let made = attempt.is_some().then_some(Payload::Envelope);
    let batch = lease.batch.as_ref().map(|events| events.len());
    Settle {
        delivery: lease.delivery,
        webhook: lease.webhook,
        attempt,
        settlement,
        batch,
        retry_requests: Some(lease.retry_requests),
        reason: None,
        made,
    }
}

async fn states(store: &Store) -> Vec<(String, DeliveryState)> {
    let page = store.deliveries(DeliveryFilter::default(), None, 250).await.unwrap();
    page.rows.into_iter().map(|row| (row.event_id.to_string(), row.state)).collect()
}

#[tokio::test]
async fn an_appended_delivery_comes_from_memory_and_ends_when_it_is_settled() {
    let bench = bench().await;
    let hook = webhook(&bench.store, "a").await;
    let accepted = bench.store.append(vec![new_event("evt_1", &[hook])]).await.unwrap();
    let ready = bench.store.ready().await;
    assert_eq!(ready.fresh.len(), 1);
    let lease = &ready.fresh[0];
    assert_eq!(accepted, [Accepted::New { deliveries: vec![lease.delivery] }]);
    bench.store.settle(Arc::new(settle(lease, Some(attempt(1, 200)), Settlement::Succeed))).await.unwrap();

    let detail = bench.store.delivery(lease.delivery).await.unwrap().unwrap();
    assert_eq!(detail.record.state, DeliveryState::Succeeded);
    assert_eq!(detail.attempts.len(), 1);
    assert_eq!(detail.attempts[0].request_body, event("evt_1", r#"{"n":1}"#).envelope());
    let stored = &detail.attempts[0].attempt;
    assert_eq!(*stored, attempt(1, 200));
}

#[tokio::test]
async fn an_append_answers_with_the_ids_that_are_read_back() {
    let bench = bench().await;
    let (plain, batch) = (webhook(&bench.store, "plain").await, webhook(&bench.store, "batch").await);
    let policy = BatchPolicy { max_events: 2, ..BatchPolicy::default() };
    let targets = vec![Target { webhook: batch, intake: Some(Intake::Batched(policy)) }, Target::immediate(plain)];
    let events = ["evt_1", "evt_2", "evt_3"].map(|id| NewEvent { targets: targets.clone(), ..new_event(id, &[]) });
    let accepted = bench.store.append(events.to_vec()).await.unwrap();
    for (new, accepted) in events.iter().zip(&accepted) {
        let Accepted::New { deliveries } = accepted else { panic!("{accepted:?}") };
        let mut read: Vec<DeliveryId> = deliveries.clone();
        read.sort_unstable();
        let record = bench.store.event(new.event.id.clone()).await.unwrap().unwrap();
        assert_eq!(read, record.deliveries.iter().map(|(id, ..)| *id).collect::<Vec<_>>());
        let webhook = |id: DeliveryId| record.deliveries.iter().find(|(read, ..)| *read == id).unwrap().1.to_string();
        assert_eq!([webhook(deliveries[0]), webhook(deliveries[1])], ["batch", "plain"], "in the order of the targets");
    }
    let first = |accepted: &Accepted| if let Accepted::New { deliveries } = accepted { Some(deliveries[0]) } else { None };
    assert_eq!(first(&accepted[0]), first(&accepted[1]), "one batch");
    assert_ne!(first(&accepted[1]), first(&accepted[2]), "the next batch");
}

#[tokio::test]
async fn the_same_event_is_a_duplicate_and_another_under_its_id_a_conflict() {
    let bench = bench().await;
    let hook = webhook(&bench.store, "a").await;
    bench.store.append(vec![new_event("evt_1", &[hook])]).await.unwrap();
    // Routed elsewhere by now: the first answer still holds.
    let again = bench.store.append(vec![new_event("evt_1", &[])]).await.unwrap();
    assert_eq!(again, [Accepted::Duplicate { deliveries: 1 }]);
    let mut other = new_event("evt_1", &[hook]);
    other.event = Arc::new(event("evt_1", r#"{"n":2}"#));
    let accepted = bench.store.append(vec![new_event("evt_2", &[hook]), other]).await.unwrap();
    assert_eq!(accepted, [Accepted::New { deliveries: vec![] }, Accepted::Conflict]);
    assert!(bench.store.event(EventId::parse("evt_2").unwrap()).await.unwrap().is_none(), "all or nothing");
}

#[tokio::test]
async fn one_call_may_not_hold_two_contents_under_one_id() {
    let bench = bench().await;
    let mut other = new_event("evt_1", &[]);
    other.event = Arc::new(event("evt_1", "2"));
    let accepted = bench.store.append(vec![new_event("evt_1", &[]), other, new_event("evt_1", &[])]).await.unwrap();
    assert_eq!(accepted, [Accepted::New { deliveries: vec![] }, Accepted::Conflict, Accepted::Duplicate { deliveries: 0 }]);
}

#[tokio::test]
async fn a_timestamp_that_was_given_is_part_of_the_content() {
    let bench = bench().await;
    bench.store.append(vec![new_event("evt_1", &[])]).await.unwrap();
    let mut later = event("evt_1", r#"{"n":1}"#);
    later.timestamp = later.timestamp.after(Duration::from_secs(1));
    let with = |given| NewEvent { event: Arc::new(later.clone()), timestamp_given: given, ..new_event("evt_1", &[]) };
    assert_eq!(bench.store.append(vec![with(false)]).await.unwrap(), [Accepted::Duplicate { deliveries: 0 }]);
    assert_eq!(bench.store.append(vec![with(true)]).await.unwrap(), [Accepted::Conflict]);
}

#[tokio::test]
async fn what_was_leased_when_the_process_ended_is_claimable_again() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::stopped_at(Timestamp::parse(NOW).unwrap());
    let store = open(directory.path(), &clock).await;
    let hook = webhook(&store, "a").await;
    store.append((0..5).map(|n| new_event(&format!("evt_{n}"), &[hook])).collect()).await.unwrap();
    let ready = store.ready().await;
    store.settle(Arc::new(settle(&ready.fresh[0], Some(attempt(1, 200)), Settlement::Succeed))).await.unwrap();
    let later = clock.now().after(Duration::from_secs(60));
    store.settle(Arc::new(settle(&ready.fresh[1], Some(attempt(1, 500)), Settlement::RetryAt(later)))).await.unwrap();
    store.close().await;
    drop((store, ready));

    let store = open(directory.path(), &clock).await;
    let ready = store.ready().await;
    assert!(ready.fresh.is_empty());
    assert!(ready.due[&hook] <= clock.now());
    let claimed = store.claim(hook, 100, vec![]).await.unwrap();
    let ids: Vec<_> = claimed.leases.iter().map(|lease| lease.event.id.to_string()).collect();
    assert_eq!(ids, ["evt_2", "evt_3", "evt_4"]);
    assert_eq!(claimed.next_due, Some(later));
    assert!(!claimed.more);
}

#[tokio::test]
async fn a_retry_is_claimed_when_it_is_due_and_carries_the_bytes_that_were_made() {
    let bench = bench().await;
    let hook = webhook(&bench.store, "a").await;
    bench.store.append(vec![new_event("evt_1", &[hook])]).await.unwrap();
    let lease = bench.store.ready().await.fresh.remove(0);
    let made = Payload::Request(Arc::new(TransformedRequest {
        method: None,
        url: None,
        headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
        body: Bytes::from_static(b"hello"),
    }));
    let at = bench.clock.now().after(Duration::from_secs(1));
    let mut first = settle(&lease, Some(attempt(1, 500)), Settlement::RetryAt(at));
    first.made = Some(made.clone());
    bench.store.settle(Arc::new(first)).await.unwrap();

    assert_eq!(bench.store.ready().await.due[&hook], at);
    assert!(bench.store.claim(hook, 10, vec![]).await.unwrap().leases.is_empty(), "not before it is due");
    bench.clock.advance(Duration::from_secs(1));
    let again = bench.store.claim(hook, 10, vec![]).await.unwrap().leases.remove(0);
    assert_eq!((again.attempts_spent, again.attempt_count), (1, 1));
    assert_eq!(again.made, Some(made));
    assert!(bench.store.claim(hook, 10, vec![again.delivery.number]).await.unwrap().leases.is_empty(), "leased already");
    let detail = bench.store.delivery(again.delivery).await.unwrap().unwrap();
    assert_eq!(detail.attempts[0].request_body, "hello");
    assert_eq!(detail.record.state, DeliveryState::Retrying);
}

#[tokio::test]
async fn what_finds_no_room_in_memory_waits_on_disk_and_is_claimed_in_pieces() {
    let bench = bench().await;
    let hook = webhook(&bench.store, "a").await;
    for chunk in 0..20 {
        bench.store.append((0..100).map(|n| new_event(&format!("evt_{chunk}_{n}"), &[hook])).collect()).await.unwrap();
    }
    let ready = bench.store.ready().await;
    assert!(ready.fresh.len() <= 512, "{} in memory", ready.fresh.len());
    let claimed = bench.store.claim(hook, 256, vec![]).await.unwrap();
    assert_eq!(claimed.leases.len(), 256);
    assert!(claimed.more);
}

#[tokio::test]
async fn a_disabled_webhook_holds_its_deliveries_until_it_is_enabled() {
    let bench = bench().await;
    let hook = webhook(&bench.store, "a").await;
    bench.store.append(vec![new_event("evt_1", &[hook]), new_event("evt_2", &[hook])]).await.unwrap();
    let ready = bench.store.ready().await;
    bench
        .store
        .settle(Arc::new(settle(&ready.fresh[0], Some(attempt(1, 500)), Settlement::RetryAt(bench.clock.now()))))
        .await
        .unwrap();
    bench.store.settle(Arc::new(settle(&ready.fresh[1], None, Settlement::Hold))).await.unwrap();
    assert_eq!(bench.store.sweep(hook, Sweep::Hold).await.unwrap(), 1);
    assert!(states(&bench.store).await.iter().all(|(_, state)| *state == DeliveryState::Held));
    let known = bench.store.known_webhooks().await.unwrap();
    assert_eq!((known[0].waiting, known[0].held), (0, 2));

    assert_eq!(bench.store.sweep(hook, Sweep::Release).await.unwrap(), 2);
    assert!(bench.store.ready().await.due.contains_key(&hook));
    assert_eq!(bench.store.claim(hook, 10, vec![]).await.unwrap().leases.len(), 2);
    assert_eq!(bench.store.sweep(hook, Sweep::Cancel).await.unwrap(), 2);
    assert!(states(&bench.store).await.iter().all(|(_, state)| *state == DeliveryState::Cancelled));
}

#[tokio::test]
async fn a_cancelled_delivery_stays_so_unless_the_attempt_in_flight_arrives() {
    let bench = bench().await;
    let hook = webhook(&bench.store, "a").await;
    bench.store.append(vec![new_event("evt_1", &[hook]), new_event("evt_2", &[hook])]).await.unwrap();
    let ready = bench.store.ready().await;
    for lease in &ready.fresh {
        assert_eq!(bench.store.cancel(lease.delivery).await.unwrap(), Some(DeliveryState::Cancelled));
    }
    let soon = bench.clock.now();
    bench.store.settle(Arc::new(settle(&ready.fresh[0], Some(attempt(1, 500)), Settlement::RetryAt(soon)))).await.unwrap();
    bench.store.settle(Arc::new(settle(&ready.fresh[1], Some(attempt(1, 200)), Settlement::Succeed))).await.unwrap();
    let expected = [("evt_2".to_owned(), DeliveryState::Succeeded), ("evt_1".to_owned(), DeliveryState::Cancelled)];
    assert_eq!(states(&bench.store).await, expected);
}

#[tokio::test]
async fn a_manual_retry_does_not_spend_the_budget() {
    let bench = bench().await;
    let hook = webhook(&bench.store, "a").await;
    bench.store.append(vec![new_event("evt_1", &[hook])]).await.unwrap();
    let lease = bench.store.ready().await.fresh.remove(0);
    bench.store.settle(Arc::new(settle(&lease, Some(attempt(1, 500)), Settlement::Fail))).await.unwrap();
    assert_eq!(bench.store.retry(lease.delivery, false).await.unwrap(), Some(DeliveryState::Retrying));
    let again = bench.store.claim(hook, 10, vec![]).await.unwrap().leases.remove(0);
    assert_eq!(again.trigger, Trigger::Manual);
    assert_eq!((again.attempts_spent, again.attempt_count), (1, 1));
    let mut manual = attempt(2, 500);
    manual.trigger = Trigger::Manual;
    bench.store.settle(Arc::new(settle(&again, Some(manual), Settlement::RetryAt(bench.clock.now())))).await.unwrap();
    let scheduled = bench.store.claim(hook, 10, vec![]).await.unwrap().leases.remove(0);
    assert_eq!((scheduled.attempts_spent, scheduled.attempt_count), (1, 2), "made, and not spent");
    assert_eq!(scheduled.trigger, Trigger::Scheduled);
    bench
        .store
        .settle(Arc::new(settle(&scheduled, Some(attempt(3, 500)), Settlement::RetryAt(bench.clock.now()))))
        .await
        .unwrap();
    let last = bench.store.claim(hook, 10, vec![]).await.unwrap().leases.remove(0);
    assert_eq!((last.attempts_spent, last.attempt_count), (2, 3));
    let detail = bench.store.delivery(lease.delivery).await.unwrap().unwrap();
    let triggers: Vec<_> = detail.attempts.iter().map(|made| made.attempt.trigger).collect();
    assert_eq!(triggers, [Trigger::Scheduled, Trigger::Manual, Trigger::Scheduled]);
}

#[tokio::test]
async fn lists_are_newest_first_and_their_cursors_stay_right_while_rows_arrive() {
    let bench = bench().await;
    let (a, b) = (webhook(&bench.store, "a").await, webhook(&bench.store, "b").await);
    for n in 0..30 {
        let targets: &[WebhookKey] = if n % 3 == 0 { &[a, b] } else { &[b] };
        bench.store.append(vec![new_event(&format!("evt_{n}"), targets)]).await.unwrap();
    }
    let of_a = DeliveryFilter { webhook: Some(WebhookId::parse("a").unwrap()), ..DeliveryFilter::default() };
    for filter in [of_a, DeliveryFilter::default()] {
        let whole: Vec<_> = bench.store.deliveries(filter.clone(), None, 250).await.unwrap().rows.iter().map(|r| r.id).collect();
        assert!(whole.is_sorted_by(|x, y| x.number > y.number));
        let (mut pages, mut cursor) = (Vec::new(), None);
        loop {
            let page = bench.store.deliveries(filter.clone(), cursor, 4).await.unwrap();
            pages.extend(page.rows.iter().map(|row| row.id));
            bench.store.append(vec![new_event(&format!("late_{}", pages.len()), &[a, b])]).await.unwrap();
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let late = whole.len();
        assert_eq!(pages[..late], whole[..]);
    }
    let events = bench.store.events(EventFilter::default(), None, 5).await.unwrap();
    assert_eq!(events.rows.len(), 5);
    assert!(events.next.is_some());
}

#[tokio::test]
async fn statistics_equal_the_log() {
    let bench = bench().await;
    let hook = webhook(&bench.store, "a").await;
    bench.store.append((0..10).map(|n| new_event(&format!("evt_{n}"), &[hook])).collect()).await.unwrap();
    let leases = bench.store.ready().await.fresh;
    for (n, lease) in leases.iter().enumerate().take(8) {
        let (status, settlement) = if n < 5 { (200, Settlement::Succeed) } else { (400, Settlement::Fail) };
        bench.store.settle(Arc::new(settle(lease, Some(attempt(1, status)), settlement))).await.unwrap();
    }
    for webhook in [Some(WebhookId::parse("a").unwrap()), None] {
        let stats = bench.store.stats(webhook).await.unwrap();
        assert_eq!((stats.total(), stats.state(DeliveryState::Succeeded), stats.state(DeliveryState::Failed)), (10, 5, 3));
        assert_eq!((stats.state(DeliveryState::Pending), stats.attempts, stats.attempts_failed), (2, 8, 3));
        assert_eq!(stats.duration_us / stats.timed, 12_000);
        let hour = stats.hours.last().unwrap();
        assert_eq!((hour.attempts, hour.succeeded, hour.failed, hour.durations.count()), (8, 5, 3, 8));
    }
    assert_eq!(bench.store.backlog().await.unwrap().open, 2);
}

#[tokio::test]
async fn retention_removes_old_finished_events_and_dead_letters_later() {
    let bench = bench().await;
    let hook = webhook(&bench.store, "a").await;
    bench.store.append((0..300).map(|n| new_event(&format!("evt_{n}"), &[hook])).collect()).await.unwrap();
    let leases = bench.store.ready().await.fresh;
    for (n, lease) in leases.iter().enumerate().take(299) {
        let settlement = if n == 0 { Settlement::Fail } else { Settlement::Succeed };
        bench.store.settle(Arc::new(settle(lease, Some(attempt(1, 200)), settlement))).await.unwrap();
    }
    let day = Duration::from_secs(86_400);
    bench.clock.advance(8 * day);
    let now = bench.clock.now();
    assert_eq!(bench.store.prune(now.before(7 * day), now.before(30 * day)).await.unwrap(), 298);
    assert_eq!(states(&bench.store).await.len(), 2, "one failed, one still open");
    assert!(bench.store.delivery(leases[1].delivery).await.unwrap().is_none());
    bench.clock.advance(30 * day);
    let now = bench.clock.now();
    assert_eq!(bench.store.prune(now.before(7 * day), now.before(30 * day)).await.unwrap(), 1);
}

#[tokio::test]
async fn numbers_never_come_back_after_retention_and_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::stopped_at(Timestamp::parse(NOW).unwrap());
    let store = open(directory.path(), &clock).await;
    let hook = webhook(&store, "a").await;
    store.append(vec![new_event("evt_1", &[hook])]).await.unwrap();
    let lease = store.ready().await.fresh.remove(0);
    store.settle(Arc::new(settle(&lease, Some(attempt(1, 200)), Settlement::Succeed))).await.unwrap();
    clock.advance(Duration::from_secs(60));
    assert_eq!(store.prune(clock.now(), clock.now()).await.unwrap(), 1);
    store.close().await;
    drop(store);
    let store = open(directory.path(), &clock).await;
    store.append(vec![new_event("evt_2", &[hook])]).await.unwrap();
    assert!(store.ready().await.fresh[0].delivery.number > lease.delivery.number);
}

#[tokio::test]
async fn a_second_process_on_the_same_directory_is_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::System;
    let _first = open(directory.path(), &clock).await;
    let second = Store::open(StoreOptions { path: directory.path().to_owned(), clock, on_commit: None }).await;
    let message = second.err().unwrap().to_string();
    assert!(message.contains("another tenterhook is running") && message.contains("[storage] path"), "{message}");
}

#[tokio::test]
async fn a_generated_secret_stays_the_same() {
    let bench = bench().await;
    let hook = webhook(&bench.store, "a").await;
    let first = bench.store.secrets(vec![(hook, || "one".to_owned())]).await.unwrap();
    assert_eq!(bench.store.secrets(vec![(hook, || "two".to_owned())]).await.unwrap(), first);
}

fn texts(secrets: &[StoredSecret]) -> Vec<&str> {
    secrets.iter().map(|secret| secret.text.as_str()).collect()
}

#[tokio::test]
async fn during_the_overlap_of_a_rotation_old_secrets_live_on() {
    const HOUR: Duration = Duration::from_secs(3600);
    let bench = bench().await;
    let hook = webhook(&bench.store, "a").await;
    let made = || bench.store.secrets(vec![(hook, || "one".to_owned())]);
    let rotate = |text: &str, overlap| bench.store.rotate_secret(hook, text.to_owned().into(), overlap);
    made().await.unwrap();
    let live = rotate("two", HOUR).await.unwrap();
    assert_eq!(texts(&live), ["two", "one"]);
    assert_eq!((live[0].until, live[1].until), (None, Some(bench.clock.now().after(HOUR))));
    bench.clock.advance(HOUR / 2);
    let live = rotate("three", HOUR).await.unwrap();
    assert_eq!(texts(&live), ["three", "two", "one"]);
    assert_eq!(live[2].until, Some(bench.clock.now().after(HOUR / 2)), "a second rotation does not lengthen the first");
    bench.clock.advance(HOUR / 2);
    assert_eq!(texts(&made().await.unwrap()[0]), ["three", "two"]);
    for text in ["4", "5", "6", "7", "8", "9"] {
        rotate(text, HOUR).await.unwrap();
    }
    assert_eq!(texts(&made().await.unwrap()[0]), ["9", "8", "7", "6", "5"]);
    assert_eq!(texts(&rotate("10", Duration::ZERO).await.unwrap()), ["10"]);
}

#[tokio::test]
async fn sealed_secrets_are_nowhere_on_disk_and_another_key_takes_over() {
    let key = |byte: &str| StorageKey::parse(&byte.repeat(32)).unwrap();
    let keys = |current: Option<&str>, previous: &[&str]| StorageKeys {
        current: current.map(key),
        previous: previous.iter().map(|byte| key(byte)).collect(),
    };
    let directory = tempfile::tempdir().unwrap();
    let on_disk = |text: &str| {
        let files = std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file());
        let mut contents = files.map(|file| std::fs::read(file).unwrap());
        contents.any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    };
    let clock = Clock::System;
    const SECRET: &str = "a-secret-that-is-easy-to-find-on-disk";
    let store = open(directory.path(), &clock).await;
    let hook = webhook(&store, "a").await;
    let other = webhook(&store, "b").await;
    let stored = async |store: &Store| store.secrets(vec![(hook, || SECRET.to_owned()), (other, || "other".to_owned())]).await;
    assert_eq!(texts(&stored(&store).await.unwrap()[0]), [SECRET]);
    assert!(on_disk(SECRET), "without a key it can be read");

    assert_eq!(store.rekey(keys(Some("01"), &[])).await.unwrap(), 2);
    assert!(!on_disk(SECRET), "neither in the database nor in its WAL");
    assert_eq!(texts(&stored(&store).await.unwrap()[0]), [SECRET]);
    store.rotate_secret(hook, "rotated-and-also-easy-to-find".to_owned().into(), Duration::from_secs(60)).await.unwrap();
    assert!(!on_disk("rotated-and-also-easy-to-find"));
    store.close().await;
    drop(store);

    let store = open(directory.path(), &clock).await;
    let message = stored(&store).await.unwrap_err().to_string();
    assert!(message.contains(&format!("sealed with the storage key {}", key("01").id())), "{message}");
    let message = store.rekey(keys(Some("02"), &[])).await.unwrap_err().to_string();
    assert!(message.contains("add it to `[storage] previous_keys`"), "{message}");
    assert!(stored(&store).await.is_err(), "nothing has changed");
    assert_eq!(store.rekey(keys(Some("02"), &["01"])).await.unwrap(), 3);
    assert_eq!(store.rekey(keys(Some("02"), &[])).await.unwrap(), 0);
    assert_eq!(texts(&stored(&store).await.unwrap()[0]), ["rotated-and-also-easy-to-find", SECRET]);
    assert_eq!(store.rekey(keys(None, &["02"])).await.unwrap(), 3);
    assert_eq!(store.rekey(keys(None, &[])).await.unwrap(), 0);
    assert_eq!(texts(&stored(&store).await.unwrap()[1]), ["other"]);
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let bench = bench().await;
    bench.store.close().await;
    let message = bench.store.probe().await.unwrap_err().to_string();
    assert!(message.contains("shutting down"), "{message}");
}

#[tokio::test]
async fn what_stays_in_memory_for_long_does_not_keep_a_restart_looking() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::stopped_at(Timestamp::parse(NOW).unwrap());
    let store = open(directory.path(), &clock).await;
    let (paced, busy) = (webhook(&store, "paced").await, webhook(&store, "busy").await);
    store.append(vec![new_event("evt_paced", &[paced])]).await.unwrap();
    let held = store.ready().await.fresh.remove(0);
    for chunk in 0..18 {
        store.append((0..1000).map(|n| new_event(&format!("evt_{chunk}_{n}"), &[busy])).collect()).await.unwrap();
    }
    // It is on disk by now, and still ours: who claims passes over it, and it is settled as ever.
    let claimed = store.claim(paced, 10, vec![]).await.unwrap();
    assert_eq!(claimed.leases.len(), 1, "written as due");
    assert!(store.claim(paced, 10, vec![held.delivery.number]).await.unwrap().leases.is_empty());
    store.settle(Arc::new(settle(&held, Some(attempt(1, 200)), Settlement::Succeed))).await.unwrap();
    assert!(store.claim(paced, 10, vec![]).await.unwrap().leases.is_empty());
    store.close().await;
    let checked = Store::check(directory.path().to_owned(), clock.now()).await.unwrap();
    assert_eq!(checked.problems, Vec::<String>::new());
}

#[tokio::test]
async fn how_webhooks_stand_is_kept() {
    use tenterhook::model::{Condition, Disabled, DisabledBy, Open, WebhookStatus};
    use tenterhook::store::StatusChange;
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::stopped_at(Timestamp::parse(NOW).unwrap());
    let store = open(directory.path(), &clock).await;
    let (a, b) = (webhook(&store, "a").await, webhook(&store, "b").await);
    let disabled = Disabled { by: DisabledBy::Gone, reason: "410".to_owned(), at: clock.now(), endpoint: Some(7) };
    let open_until = Open { since: clock.now(), until: clock.now().after(Duration::from_secs(30)) };
    let condition = Condition { failing_since: Some(clock.now()), open: Some(open_until), endpoint: Some(u64::MAX) };
    let changes = vec![
        (a, StatusChange::Disabled(Some(disabled.clone()))),
        (a, StatusChange::Condition(condition)),
        (b, StatusChange::Condition(condition)),
        (b, StatusChange::Condition(Condition::default())),
    ];
    store.save_status(changes).await.unwrap();
    store.close().await;
    drop(store);
    let store = open(directory.path(), &clock).await;
    let statuses = store.webhook_statuses().await.unwrap();
    assert_eq!(statuses.len(), 1, "a webhook that is well is not stored");
    assert_eq!(statuses[&a], WebhookStatus { disabled: Some(disabled), condition });
    store.save_status(vec![(a, StatusChange::Disabled(None)), (a, StatusChange::Condition(Condition::default()))]).await.unwrap();
    assert!(store.webhook_statuses().await.unwrap().is_empty());
}
