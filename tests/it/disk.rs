//! A full disk: publishing says so and loses nothing, and goes on by itself when there is room again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tenterhook::clock::Clock;
use tenterhook::model::{Event, Settlement, Timestamp, WebhookKey};
use tenterhook::store::{NewEvent, Served, Store, StoreOptions};
use tenterhook::{DurableError, Received, StoreError, Tenterhook};

use crate::harness::{PATIENCE, Receiver, Server, head, webhook};
use crate::store_contract::{self, NOW, attempt, event, new_event, settle};

/// A small file system of its own, gone with the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where mounting is not allowed.
    fn mount(at: &Path) -> Option<Self> {
        Self::mount_sized(at, "4m")
    }

    fn mount_sized(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir(at).unwrap();
        let size = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output().ok()?;
        if !mounted.status.success() {
            eprintln!("\n!!! SKIPPED: mounting a small file system is not allowed here, a full disk was NOT tested\n");
            return None;
        }
        Some(Self(at.to_owned()))
    }

    /// Takes what is left.
    fn fill(&self) {
        let _ = std::fs::write(self.0.join("ballast"), vec![0; 64 << 20]);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_answered_with_507_and_nothing_accepted_is_lost() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let Some(disk) = SmallDisk::mount(&directory.path().join("data")) else { return };
    let receiver = Receiver::start().await;
    let config = head() + &webhook("w", &receiver.url("/in"), r#"["*"]"#, "");
    std::fs::write(directory.path().join("config.toml"), config).unwrap();
    let server = Server::start_in(Arc::clone(&directory)).await;
    let ballast = disk.0.join("ballast");
    let body = format!(r#"{{"type":"a.b","data":"{}"}}"#, "x".repeat(20_000));
    let mut accepted = 0;
    let problem = loop {
        let (status, answer) = server.http().post("/v1/events", body.clone()).await;
        match status {
            202 => accepted += 1,
            507 => break answer,
            // Attempts cannot be recorded either: publishers may be asked to wait.
            503 => {}
            other => panic!("{other}: {answer}"),
        }
        if accepted == 20 && !ballast.exists() {
            // The rest of the disk.
            let _ = std::fs::write(&ballast, vec![0; 8 << 20]);
        }
        assert!(accepted < 1000, "the disk never was full");
    };
    assert!(problem["detail"].as_str().unwrap().contains("[retention]"), "{problem}");
    std::fs::remove_file(&ballast).unwrap();
    server
        .eventually("publishing goes on", async || {
            server.http().post("/v1/events", r#"{"type":"after","data":1}"#).await.0 == 202
        })
        .await;
    receiver.wait_for("/in", accepted + 1).await;
    server
        .eventually("all is recorded", async || {
            let (_, stats) = server.http().get("/v1/stats").await;
            stats["deliveries"]["succeeded"].as_u64() >= Some(accepted as u64 + 1)
        })
        .await;
    drop(server.stop().await);
}

/// As above, for a program that Tenterhook is a part of: nobody waits for what it emitted, so that it stays queued and is tried again.
#[tokio::test]
async fn emitted_events_wait_while_the_disk_is_full_and_are_counted_if_lost() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let Some(disk) = SmallDisk::mount(&directory.path().join("data")) else { return };
    let config = directory.path().join("config.toml");
    std::fs::write(&config, "[server]\nshutdown_grace = \"1s\"\n").unwrap();
    let tenterhook = Tenterhook::builder().config(config).http_listener(false).queue(40).start().await.unwrap();
    let ballast = disk.0.join("ballast");
    let data = serde_json::Value::from("x".repeat(20_000));
    let fill = async || {
        let _ = std::fs::write(&ballast, vec![0; 8 << 20]);
        // A caller that waits gets the error; the file may still have some room within.
        for _ in 0..500 {
            if let Err(DurableError::Store(StoreError::Full { .. })) = tenterhook.emit_durable(("a.b", data.clone())).await {
                return;
            }
        }
        panic!("the disk never was full");
    };
    fill().await;
    let emitted = (0..100).filter(|_| tenterhook.emit(("emitted.now", data.clone())).is_ok()).count();
    assert_eq!(emitted, 40, "as many as the queue has places");
    assert!(matches!(tenterhook.emit_durable(("a.b", data.clone())).await, Err(DurableError::Store(_))));
    assert_eq!(tenterhook.stats().queued, 40);
    let mut stored = tenterhook.subscribe("emitted.now").unwrap();
    std::fs::remove_file(&ballast).unwrap();
    for _ in 0..40 {
        let heard = tokio::time::timeout(PATIENCE, stored.next()).await.expect("it goes on by itself");
        assert!(matches!(heard, Some(Received::Event(_))), "{heard:?}");
    }
    fill().await;
    for _ in 0..3 {
        tenterhook.emit(("emitted.last", data.clone())).unwrap();
    }
    let error = tenterhook.shutdown().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "3 events were emitted and could not be stored within `[server] shutdown_grace`: the log has the reason"
    );
}

const DAY: Duration = Duration::from_secs(86_400);

/// Publishes events of 20 KB and delivers them, until the disk is full.
async fn deliver_until_full(store: &Store, clock: &Clock, hook: WebhookKey, round: usize) -> usize {
    let data = format!("\"{}\"", "x".repeat(20_000));
    for n in 0..10_000 {
        let id = format!("evt_{round}_{n}");
        let event = Event { received: clock.now(), ..event(&id, &data) };
        match store.append(vec![NewEvent { event: Arc::new(event), ..new_event(&id, &[hook]) }]).await {
            Ok(_) => {}
            Err(StoreError::Full { .. }) => return n,
            Err(error) => panic!("{error}"),
        }
        for lease in store.ready().await.fresh {
            let settle = settle(&lease, Some(attempt(1, 200)), Settlement::Succeed);
            if let Err(error) = store.settle(Arc::new(settle)).await {
                assert!(matches!(error, StoreError::Full { .. }), "{error}");
                return n;
            }
        }
    }
    panic!("the disk never was full");
}

#[tokio::test]
async fn retention_makes_room_on_a_full_disk_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount_sized(&directory.path().join("data"), "32m") else { return };
    let clock = Clock::stopped_at(Timestamp::parse(NOW).unwrap());
    let store = store_contract::open(&disk.0, &clock).await;
    let hook = store_contract::webhook(&store, "a").await;
    let mut stored = Vec::new();
    for round in 0..4 {
        stored.push(deliver_until_full(&store, &clock, hook, round).await);
        disk.fill();
        clock.advance(8 * DAY);
        let removed = store.prune(clock.now().before(7 * DAY), clock.now().before(30 * DAY)).await.unwrap();
        assert!(removed > 0, "round {round} after {stored:?}");
    }
    assert!(stored.iter().all(|stored| *stored > 50), "each round has the room that the last one gave back: {stored:?}");
    store.close().await;
    let checked = Store::check(disk.0.clone(), clock.now()).await.unwrap();
    assert!(checked.problems.is_empty(), "{:?}", checked.problems);
}

#[tokio::test]
async fn a_store_opens_on_a_full_disk_with_what_was_in_memory() {
    for with_reserve in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let Some(disk) = SmallDisk::mount_sized(&directory.path().join("data"), "8m") else { return };
        let clock = Clock::stopped_at(Timestamp::parse(NOW).unwrap());
        let options = || StoreOptions { path: disk.0.clone(), clock: clock.clone(), on_commit: None };
        let first = store_contract::open(&disk.0, &clock).await;
        let hook = store_contract::webhook(&first, "a").await;
        first.close().await;
        drop(first);
        let crashed = Store::simulated(options(), Arc::new(|_| Served::default())).unwrap();
        let ids = (0..50).map(|n| format!("evt_{n}")).collect::<Vec<_>>();
        crashed.append(ids.iter().map(|id| new_event(id, &[hook])).collect()).await.unwrap();
        crashed.crash().await;
        if !with_reserve {
            let _ = std::fs::remove_file(disk.0.join("reserve"));
        }
        disk.fill();
        // The crashed one is not dropped: its connections would copy the WAL, which a crash does not.
        let store = Store::open(options()).await.expect("it opens although nothing can be written");
        let mut found: Vec<String> = store.ready().await.fresh.iter().map(|lease| lease.event.id.to_string()).collect();
        let claimed = store.claim(hook, 100, vec![]).await.unwrap().leases;
        found.extend(claimed.iter().map(|lease| lease.event.id.to_string()));
        found.sort_by_key(|id| id["evt_".len()..].parse::<u32>().unwrap());
        assert_eq!(found, ids, "with a reserve: {with_reserve}");
        // Once there is room they are due on disk, as after any other start.
        std::fs::remove_file(disk.0.join("ballast")).unwrap();
        store.probe().await.unwrap();
        drop(claimed);
        let due = store.claim(hook, 100, vec![]).await.unwrap().leases.len();
        assert_eq!(due, 50);
        store.close().await;
        drop(crashed);
    }
}
