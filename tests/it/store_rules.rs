//! What holds between retention, jobs, sweeps and what waits.

use std::sync::Arc;
use std::time::Duration;

use tenterhook::clock::Clock;
use tenterhook::model::{Attempt, DeliveryState, Event, Intake, OnFailure, Settlement, Target, Timestamp, Trigger};
use tenterhook::store::{DeliveryFilter, JobSpec, JobState, JobStep, NewEvent, Settle, Store, Sweep};

use crate::store_contract::{NOW, attempt, bench, event, new_event, open, settle, webhook};

#[tokio::test]
async fn a_dead_letter_that_retention_removes_lets_its_key_go_on() {
    let bench = bench().await;
    let hook = webhook(&bench.store, "a").await;
    let ordered = |id: &str, at: Timestamp| {
        let event = Event { received: at, ..event(id, "1") };
        let intake = Some(Intake::Ordered { key: "k".into(), on_gap: OnFailure::Block });
        NewEvent { event: Arc::new(event), targets: vec![Target { webhook: hook, intake }], ..new_event(id, &[]) }
    };
    bench.store.append(vec![ordered("evt_1", bench.clock.now())]).await.unwrap();
    let first = bench.store.ready().await.fresh.remove(0);
    bench.store.settle(Arc::new(settle(&first, Some(attempt(1, 400)), Settlement::Fail))).await.unwrap();
    let day = Duration::from_secs(86_400);
    bench.clock.advance(20 * day);
    let later = bench.clock.now();
    bench.store.append(vec![ordered("evt_2", later), ordered("evt_3", later)]).await.unwrap();
    assert!(bench.store.claim(hook, 10, vec![]).await.unwrap().leases.is_empty(), "it waits for an operator");
    bench.clock.advance(11 * day);
    let now = bench.clock.now();
    assert_eq!(bench.store.prune(now.before(7 * day), now.before(30 * day)).await.unwrap(), 1);
    let mut arrived = Vec::new();
    for _ in 0..2 {
        let next = bench.store.claim(hook, 10, vec![]).await.unwrap().leases.remove(0);
        arrived.push(next.event.id.to_string());
        bench.store.settle(Arc::new(settle(&next, Some(attempt(1, 200)), Settlement::Succeed))).await.unwrap();
    }
    assert_eq!(arrived, ["evt_2", "evt_3"]);
}

#[tokio::test]
async fn a_manual_retry_ahead_of_its_turn_waits_for_it_again() {
    let bench = bench().await;
    let hook = webhook(&bench.store, "a").await;
    let ordered = |id: &str| {
        let intake = Some(Intake::Ordered { key: "k".into(), on_gap: OnFailure::Skip });
        NewEvent { targets: vec![Target { webhook: hook, intake }], ..new_event(id, &[]) }
    };
    bench.store.append(vec![ordered("evt_1")]).await.unwrap();
    let first = bench.store.ready().await.fresh.remove(0);
    bench.store.append(vec![ordered("evt_2")]).await.unwrap();
    let second = bench.store.deliveries(DeliveryFilter::default(), None, 1).await.unwrap().rows.remove(0).id;
    bench.store.retry(second, false).await.unwrap();
    let manual_lease = bench.store.claim(hook, 10, vec![first.delivery.number]).await.unwrap().leases.remove(0);
    assert_eq!((manual_lease.delivery, manual_lease.trigger), (second, Trigger::Manual));
    let retry = Settlement::RetryAt(bench.clock.now());
    let ended = bench.store.settle(Arc::new(settle(&manual_lease, Some(attempt(1, 503)), retry))).await.unwrap();
    assert_eq!((ended.state, ended.due), (Some(DeliveryState::Retrying), None));
    assert!(bench.store.claim(hook, 10, vec![first.delivery.number]).await.unwrap().leases.is_empty(), "the first is not over");
    bench.store.settle(Arc::new(settle(&first, Some(attempt(1, 200)), Settlement::Succeed))).await.unwrap();
    let next = bench.store.claim(hook, 10, vec![]).await.unwrap().leases.remove(0);
    assert_eq!((next.delivery, next.trigger), (second, Trigger::Scheduled));
}

/// At once, so that they share commits.
async fn settle_all(store: &Store, settles: impl IntoIterator<Item = Settle>) {
    let mut all = tokio::task::JoinSet::new();
    for one in settles {
        let store = store.clone();
        all.spawn(async move { store.settle(Arc::new(one)).await.unwrap() });
    }
    all.join_all().await;
}

#[tokio::test]
async fn a_crash_while_many_keys_are_let_go_leaves_none_of_them_stuck() {
    const KEYS: usize = 600;
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::stopped_at(Timestamp::parse(NOW).unwrap());
    let store = open(directory.path(), &clock).await;
    let hook = webhook(&store, "a").await;
    let ordered = |n: usize, position: &str| {
        let key = format!("k{n}").as_str().into();
        let id = format!("evt_{n}_{position}");
        let intake = Some(Intake::Ordered { key, on_gap: OnFailure::Block });
        NewEvent { targets: vec![Target { webhook: hook, intake }], ..new_event(&id, &[]) }
    };
    store.append((0..KEYS).map(|n| ordered(n, "first")).collect()).await.unwrap();
    let mut heads = store.ready().await.fresh;
    let leased = heads.iter().map(|lease| lease.delivery.number).collect();
    heads.extend(store.claim(hook, KEYS, leased).await.unwrap().leases);
    assert_eq!(heads.len(), KEYS);
    settle_all(&store, heads.iter().map(|lease| settle(lease, Some(attempt(1, 400)), Settlement::Fail))).await;
    store.append((0..KEYS).map(|n| ordered(n, "second")).collect()).await.unwrap();
    let blocks = async |store: &Store| store.known_webhooks().await.unwrap()[0].blocks;
    assert!(blocks(&store).await && store.claim(hook, 10, vec![]).await.unwrap().leases.is_empty());

    let steps = std::sync::atomic::AtomicUsize::new(0);
    let one = || steps.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
    let freed = store.sweep_while(hook, Sweep::Unblock, one).await.unwrap();
    assert!(freed > 0 && freed < KEYS as u64, "{freed} in one step");
    store.close().await;
    drop(store);

    let store = open(directory.path(), &clock).await;
    assert!(blocks(&store).await, "so that it is gone on with");
    assert_eq!(store.sweep(hook, Sweep::Unblock).await.unwrap(), KEYS as u64 - freed);
    assert!(!blocks(&store).await, "and is over");
    let due = store.claim(hook, 2 * KEYS, vec![]).await.unwrap().leases;
    assert_eq!(due.len(), KEYS, "nothing is left that waits for what was given up");
    // What is given up from now on blocks no longer.
    settle_all(&store, due.iter().map(|lease| settle(lease, Some(attempt(1, 400)), Settlement::Fail))).await;
    store.append(vec![ordered(0, "third")]).await.unwrap();
    assert_eq!(store.ready().await.fresh.len(), 1);
    store.close().await;
    let checked = Store::check(directory.path().to_owned(), clock.now()).await.unwrap();
    assert_eq!(checked.problems, Vec::<String>::new());
}

#[tokio::test]
async fn a_jobs_last_step_ends_it_so_that_a_crash_repeats_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::stopped_at(Timestamp::parse(NOW).unwrap());
    let store = open(directory.path(), &clock).await;
    let hook = webhook(&store, "a").await;
    store.append(vec![new_event("evt_1", &[hook])]).await.unwrap();
    let lease = store.ready().await.fresh.remove(0);
    store.settle(Arc::new(settle(&lease, Some(attempt(1, 200)), Settlement::Succeed))).await.unwrap();
    let spec = JobSpec::Replay {
        webhook: "a".to_owned(),
        since: clock.now(),
        until: clock.now(),
        states: vec![],
        event_types: vec![],
        retransform: false,
    };
    let job = store.create_job(spec, "test".to_owned(), Some(1)).await.unwrap();
    let step = || JobStep { requeue: vec![lease.delivery], ..JobStep::default() };
    let ended = store.advance_job(job.number, step()).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.done, ended.ended), (JobState::Succeeded, 1, Some(clock.now())));
    // The process ends here, before anybody said that the job is over.
    store.close().await;
    drop(store);
    let store = open(directory.path(), &clock).await;
    assert!(store.jobs(Some(JobState::Running), None, 10).await.unwrap().rows.is_empty());
    let again = store.claim(hook, 10, vec![]).await.unwrap().leases.remove(0);
    store.settle(Arc::new(settle(&again, Some(attempt(2, 200)), Settlement::Succeed))).await.unwrap();
    assert!(store.advance_job(job.number, step()).await.unwrap().is_none(), "nor does a process that resumes it");
    assert!(store.claim(hook, 10, vec![]).await.unwrap().leases.is_empty());
}

#[tokio::test]
async fn a_sweep_gives_way_to_the_one_that_is_wanted_by_now() {
    let bench = bench().await;
    let hook = webhook(&bench.store, "a").await;
    for chunk in 0..9 {
        bench.store.append((0..500).map(|n| new_event(&format!("evt_{chunk}_{n}"), &[hook])).collect()).await.unwrap();
    }
    let fresh = bench.store.ready().await.fresh;
    let on_disk = 4500 - fresh.len() as u64;
    let held = async || bench.store.known_webhooks().await.unwrap()[0].held;
    assert_eq!(bench.store.sweep_while(hook, Sweep::Hold, || false).await.unwrap(), 0, "not wanted any longer");
    let steps = std::sync::atomic::AtomicUsize::new(0);
    let first_only = || steps.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
    assert_eq!(bench.store.sweep_while(hook, Sweep::Hold, first_only).await.unwrap(), 2000);
    assert_eq!(held().await, 2000);
    // Its opposite is not undone by what was left of it.
    assert_eq!(bench.store.sweep(hook, Sweep::Release).await.unwrap(), 2000);
    assert_eq!(held().await, 0);
    assert_eq!(bench.store.sweep_while(hook, Sweep::Hold, || true).await.unwrap(), on_disk);
}

#[tokio::test]
async fn a_manual_retry_outlives_an_older_lease_and_an_attempt_in_flight() {
    let bench = bench().await;
    let hook = webhook(&bench.store, "a").await;
    bench.store.append(vec![new_event("evt_1", &[hook])]).await.unwrap();
    let lease = bench.store.ready().await.fresh.remove(0);
    assert!(bench.store.retry(lease.delivery, true).await.unwrap().is_some());
    let revoked = bench.store.ready().await.cancelled;
    assert_eq!(revoked, [(hook, lease.delivery.number)], "the lease in memory is not the requested one");
    // That lease is in flight already, as a scheduled attempt; its end leaves the other one to come, built again.
    let ended = bench.store.settle(Arc::new(settle(&lease, Some(attempt(1, 200)), Settlement::Succeed))).await.unwrap();
    assert_eq!((ended.due, ended.kept), (Some(bench.clock.now()), true));
    let manual_lease = bench.store.claim(hook, 10, vec![]).await.unwrap().leases.remove(0);
    assert!(manual_lease.trigger == Trigger::Manual && manual_lease.made.is_none());
    // An operator's switch in between requests nothing.
    for sweep in [Sweep::Hold, Sweep::Release] {
        assert_eq!(bench.store.sweep(hook, sweep).await.unwrap(), 1);
    }
    let manual = Attempt { trigger: manual_lease.trigger, ..attempt(2, 200) };
    let ended = bench.store.settle(Arc::new(settle(&manual_lease, Some(manual), Settlement::Succeed))).await.unwrap();
    assert_eq!(ended.due, None, "and is not asked for again");
    // While the webhook is disabled nothing is attempted, and the request holds.
    bench.store.retry(manual_lease.delivery, false).await.unwrap();
    let manual_lease = bench.store.claim(hook, 10, vec![]).await.unwrap().leases.remove(0);
    let ended = bench.store.settle(Arc::new(settle(&manual_lease, None, Settlement::Hold))).await.unwrap();
    assert_eq!((ended.state, ended.due), (Some(DeliveryState::Held), None));
    assert_eq!(bench.store.sweep(hook, Sweep::Release).await.unwrap(), 1);
    let again = bench.store.claim(hook, 10, vec![]).await.unwrap().leases.remove(0);
    assert_eq!(again.trigger, Trigger::Manual);
    // What has ended was settled before: a second end, after a fault of ours, changes nothing.
    let ended = bench.store.settle(Arc::new(settle(&again, Some(attempt(3, 200)), Settlement::Succeed))).await.unwrap();
    assert_eq!(ended.state, Some(DeliveryState::Succeeded));
    let retry = Settlement::RetryAt(bench.clock.now());
    let ended = bench.store.settle(Arc::new(settle(&again, None, retry))).await.unwrap();
    assert_eq!((ended.state, ended.due, ended.kept), (Some(DeliveryState::Succeeded), None, false));
}

#[cfg(unix)]
#[tokio::test]
async fn store_files_are_for_their_owner_alone_also_older_ones() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::stopped_at(Timestamp::parse(NOW).unwrap());
    let files = ["tenterhook.db", "tenterhook.db-wal", "tenterhook.db-shm", "lock"];
    let mode = |file: &str| std::fs::metadata(directory.path().join(file)).unwrap().permissions().mode() & 0o777;
    for round in ["new", "old"] {
        let store = open(directory.path(), &clock).await;
        webhook(&store, "a").await;
        for file in files {
            assert_eq!(mode(file), 0o600, "{round}: {file}");
        }
        store.close().await;
        for file in ["tenterhook.db", "lock"] {
            std::fs::set_permissions(directory.path().join(file), std::fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
}
