//! A full disk: publishing says so and loses nothing, and goes on by itself when there is room again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::harness::{Receiver, Server, head, webhook};

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
