//! The reload loop over real files, with a watcher that reports nothing: only the slow check notices changes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::file_loop::FileLoop;
use super::stats::Stats;
use super::watch::{Watched, Watcher};
use super::{Hangup, Reloader, load};
use crate::clock::Clock;
use crate::control::{self, Control};
use crate::snapshot::{Live, StatusBoard};
use crate::store::{Store, StoreOptions};
use crate::telemetry::Metrics;
use crate::transform::{Host, HostOptions};

const PATIENCE: Duration = Duration::from_secs(30);

const WEBHOOK: &str = "[webhooks.w]\nurl = \"https://example.com/hook\"\nevents = [\"*\"]\n";

pub(super) async fn reloader(directory: &Path, config: &str) -> (Arc<Reloader>, Arc<Live>) {
    let path = directory.join("config.toml");
    std::fs::write(&path, config).unwrap();
    let loaded = load(&path).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    let options = StoreOptions { path: directory.join("data"), clock: Clock::System, on_commit: None };
    let store = Store::open(options).await.unwrap();
    let host = Host::new(HostOptions::default()).unwrap();
    let status_board = StatusBoard::new(HashMap::new());
    let reloader = Arc::new(Reloader::new(path, store, host, Clock::System, Arc::new(Metrics::new()), status_board));
    let live = Arc::new(Live::new(reloader.first(loaded).await.unwrap()));
    (reloader, live)
}

struct Running {
    directory: tempfile::TempDir,
    live: Arc<Live>,
    control: Control,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    #[expect(clippy::disallowed_methods, reason = "a test's tasks end with its runtime")]
    async fn start(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (reloader, live) = reloader(directory.path(), config).await;
        let (control, requests) = control::channel();
        let shutdown = CancellationToken::new();
        let files = FileLoop::new(reloader, Arc::clone(&live), Watcher::deaf());
        let task = tokio::spawn(files.run(Hangup::new(), requests, shutdown.clone()));
        Self { directory, live, control, shutdown, task }
    }

    fn save(&self, config: &str) {
        std::fs::write(self.directory.path().join("config.toml"), config).unwrap();
    }

    async fn generation(&self, generation: u64) {
        let mut generations = self.live.generations();
        let reached = generations.wait_for(|live| *live >= generation);
        drop(tokio::time::timeout(PATIENCE, reached).await.expect("in time").unwrap());
    }

    /// The names of all webhooks.
    fn webhooks(&self) -> Vec<String> {
        self.live.snapshot().webhooks().iter().map(|webhook| webhook.settings.id.to_string()).collect()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn the_slow_check_finds_what_no_watcher_reports() {
    let running = Running::start(WEBHOOK).await;
    running.save(&(WEBHOOK.to_owned() + &WEBHOOK.replace(".w]", ".x]")));
    running.generation(2).await;
    assert_eq!(running.webhooks(), ["w", "x"]);
    running.stop().await;
}

#[tokio::test]
async fn a_removal_goes_live_when_two_readings_agree() {
    let running = Running::start(&(WEBHOOK.to_owned() + &WEBHOOK.replace(".w]", ".x]"))).await;
    let saved = tokio::time::Instant::now();
    running.save(WEBHOOK);
    running.generation(2).await;
    assert_eq!(running.webhooks(), ["w"]);
    assert!(saved.elapsed() >= super::removal::CONFIRM_AFTER, "{:?}", saved.elapsed());
    running.stop().await;
}

#[tokio::test]
async fn a_request_applies_a_removal_at_once() {
    let running = Running::start(&(WEBHOOK.to_owned() + &WEBHOOK.replace(".w]", ".x]"))).await;
    running.save(WEBHOOK);
    running.control.reload(false).await.unwrap();
    assert_eq!(running.webhooks(), ["w"]);
    running.stop().await;
}

#[tokio::test]
async fn a_file_without_tables_is_refused_unless_forced() {
    let running = Running::start(WEBHOOK).await;
    running.save("# nothing\n");
    running.control.reload(false).await.unwrap();
    let error = running.live.last_error().expect("it is refused");
    assert!(error.problems[0].message.contains("has no table, and 1 webhook(s)"), "{error:?}");
    assert!(error.problems[0].help.as_deref().is_some_and(|help| help.contains("--force")), "{error:?}");
    assert_eq!(running.webhooks(), ["w"]);
    running.control.reload(true).await.unwrap();
    assert!(running.live.last_error().is_none() && running.webhooks().is_empty());
    running.save("# nothing either\n");
    running.control.reload(false).await.unwrap();
    assert!(running.live.last_error().is_none(), "nothing is live that it could remove");
    running.stop().await;
}

#[tokio::test]
async fn stats_tell_a_replaced_file_from_the_one_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    let watched = Watched::new([path.clone(), PathBuf::from("not-there")], [directory.path().to_owned()]);
    std::fs::write(&path, "a").unwrap();
    let before = Stats::of(&watched);
    assert_eq!(Stats::of(&watched), before);
    std::fs::write(directory.path().join("new"), "b").unwrap();
    let added = Stats::of(&watched);
    assert_ne!(added, before, "the directory has changed");
    std::fs::rename(directory.path().join("new"), &path).unwrap();
    assert_ne!(Stats::of(&watched), added, "the same size, another inode");
}

/// Not a limit, a figure: `cargo test --release -- --ignored --nocapture stats_of_ten_thousand`.
#[test]
#[ignore = "measures"]
fn stats_of_ten_thousand_files() {
    let directory = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = (0..10_000).map(|n| directory.path().join(format!("{n}.toml"))).collect();
    for file in &files {
        std::fs::write(file, "").unwrap();
    }
    let watched = Watched::new(files, [directory.path().to_owned()]);
    let started = std::time::Instant::now();
    for _ in 0..10 {
        assert_eq!(Stats::of(&watched), Stats::of(&watched));
    }
    println!("{:?} for a check of 10,000 files", started.elapsed() / 20);
}
