//! A full disk: publishing says so and loses nothing, and goes on by itself when there is room again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tenterhook::{DurableError, Heard, StoreError, Tenterhook};

use crate::harness::{PATIENCE, Receiver, Server, head, webhook};

/// A small file system of its own, gone with the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where mounting is not allowed.
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir(at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(at).output().ok()?;
        mounted.status.success().then(|| Self(at.to_owned()))
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
    let Some(disk) = SmallDisk::mount(&directory.path().join("data")) else {
        eprintln!("\n!!! SKIPPED: mounting a small file system is not allowed here, a full disk was NOT tested\n");
        return;
    };
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

/// As above, for a program that Tenterhook is a part of: nobody waits for what it emitted, so that it is kept and tried again.
#[tokio::test]
async fn what_was_emitted_waits_while_the_disk_is_full_and_is_counted_when_it_cannot_wait() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let Some(disk) = SmallDisk::mount(&directory.path().join("data")) else {
        eprintln!("\n!!! SKIPPED: mounting a small file system is not allowed here, a full disk was NOT tested\n");
        return;
    };
    let config = directory.path().join("config.toml");
    std::fs::write(&config, "[server]\nshutdown_grace = \"1s\"\n").unwrap();
    let tenterhook = Tenterhook::builder().config(config).http_listener(false).queue(40).start().await.unwrap();
    let ballast = disk.0.join("ballast");
    let data = serde_json::Value::from("x".repeat(20_000));
    let fill = async || {
        let _ = std::fs::write(&ballast, vec![0; 8 << 20]);
        // Who waits is told; the file may still have some room within.
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
        assert!(matches!(heard, Some(Heard::Event(_))), "{heard:?}");
    }
    fill().await;
    for _ in 0..3 {
        tenterhook.emit(("emitted.last", data.clone())).unwrap();
    }
    let error = tenterhook.shutdown().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "3 events were emitted and could not be stored within `shutdown_grace` of [server]: the log has the reason"
    );
}
