//! The reload loop: takes changes of files, requests and SIGHUP one after the other, and decides when what the files say
//! goes live. A file that is still being written is not taken for finished: see [`super::writers`] and
//! [`super::removal`]. Nothing here waits for long: what has to wait is scheduled, and requests go on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::outcome::Outcome;
use super::reading::{self, Content, Known, Reading};
use super::removal::{Confirmation, Removals, Verdict};
use super::stats::{Checker, Stats};
use super::unused::UnusedModules;
use super::watch::{Targets, Watched, Watcher};
use super::{Hangup, QUIET, QUIET_WAIT_MAX, Reloader};
use crate::config::Loaded;
use crate::control::Request;
use crate::snapshot::{self, Live};

/// Before a configuration that could not go live for another reason than its content is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Why the files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trigger {
    /// Something has changed.
    Change,
    /// An operator says that they are finished. `force`: even a configuration without any table is meant.
    Request { force: bool },
}

/// When to read the files next.
#[derive(Debug, Default)]
struct Schedule {
    /// Of the changes since the last reading, the first.
    changed: Option<Instant>,
    due: Option<Instant>,
}

impl Schedule {
    /// Files must have been quiet for [`QUIET`]; those that never are get read within [`QUIET_WAIT_MAX`].
    fn changed(&mut self, now: Instant) {
        let first = *self.changed.get_or_insert(now);
        self.due = Some((now + QUIET).min(first + QUIET_WAIT_MAX));
    }

    fn at(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Cancel-safe.
    async fn due(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }
}

pub(super) struct FileLoop {
    reloader: Arc<Reloader>,
    live: Arc<Live>,
    watcher: Watcher,
    schedule: Schedule,
    confirmation: Confirmation,
    watched: Arc<Watched>,
    /// What the live configuration was read from; `watched` may be that of a refused one.
    live_files: Arc<Watched>,
    /// What the slow check compares with.
    stats: Stats,
    unused: UnusedModules,
}

impl FileLoop {
    pub(super) fn new(reloader: Arc<Reloader>, live: Arc<Live>, watcher: Watcher) -> Self {
        let unused = UnusedModules::new(reloader.host.clone());
        Self {
            reloader,
            live,
            watcher,
            schedule: Schedule::default(),
            confirmation: Confirmation::default(),
            watched: Arc::default(),
            live_files: Arc::default(),
            stats: Stats::default(),
            unused,
        }
    }

    pub(super) async fn run(mut self, mut hangup: Hangup, mut requests: mpsc::Receiver<Request>, shutdown: CancellationToken) {
        let mut secret_changes = self.live.secret_changes();
        let mut generations = self.live.generations();
        let mut checker = Checker::start();
        self.begin().await;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.watcher.changed() => self.schedule.changed(Instant::now()),
                () = self.schedule.due() => self.reload(Trigger::Change).await,
                stats = checker.next(&self.watched) => self.compare(stats),
                () = hangup.received() => {
                    tracing::info!("SIGHUP received: reloading the configuration");
                    self.reload(Trigger::Request { force: false }).await;
                }
                Some(request) = requests.recv() => self.answer(request).await,
                Ok(()) = secret_changes.changed() => {
                    let changes = *secret_changes.borrow_and_update();
                    self.reloader.renew_secrets(&self.live, changes).await;
                }
                Ok(()) = generations.changed() => self.unused.load(&self.live),
                loaded = self.unused.loaded() => self.unused.show(&self.live, loaded),
            }
        }
    }

    /// What has changed since the configuration was read for the start is found by reading it again.
    async fn begin(&mut self) {
        if let Some(good) = self.reloader.good() {
            let files = tokio::task::spawn_blocking(move || reading::watched(&good)).await;
            self.live_files = Arc::new(files.unwrap_or_default());
        }
        self.unused.load(&self.live);
        self.reload(Trigger::Change).await;
    }

    async fn answer(&mut self, request: Request) {
        match request {
            Request::Reload { force, reply } => {
                self.reload(Trigger::Request { force }).await;
                // The caller may have gone; what is live is live.
                let _ = reply.send(());
            }
            Request::Change { change, effect, tenant, reply } => {
                let _ = reply.send(self.reloader.change(&self.live, change, effect, tenant).await);
            }
            Request::Module { name, reply } => {
                let _ = reply.send(self.reloader.module(&self.live, &name).await);
            }
        }
    }

    fn compare(&mut self, stats: Stats) {
        if stats != self.stats {
            self.stats = stats;
            self.schedule.changed(Instant::now());
        }
    }

    async fn reload(&mut self, trigger: Trigger) {
        self.schedule = Schedule::default();
        if trigger == Trigger::Change
            && let Some(wait) = self.watcher.writers_wait()
        {
            // The close of the file is a change, too.
            self.schedule.at(Instant::now() + wait);
            return;
        }
        // Twice, if there are other files to watch now: what has changed before they were watched would be missed.
        let mut before = None;
        for _ in 0..2 {
            let current = self.live.snapshot();
            let known = Known {
                watched: Arc::clone(&self.watched),
                live_files: Arc::clone(&self.live_files),
                fingerprint: current.fingerprint.clone(),
                transformers_dir: current.settings.transformers_dir.clone(),
            };
            let Some(Reading { content, fingerprint, watched, missing, stats }) = self.reloader.read_stable(&known).await else {
                self.schedule.at(Instant::now() + RETRY_AFTER);
                return;
            };
            if trigger == Trigger::Change
                && let Some(wait) = self.watcher.writers_wait()
            {
                // Somebody began to write while the files were read.
                self.schedule.at(Instant::now() + wait);
                return;
            }
            self.stats = stats;
            let watched = Arc::new(watched);
            let is_known = before.replace(fingerprint.clone()).as_ref() == Some(&fingerprint);
            match content {
                _ if is_known => {}
                Content::Live => {
                    self.confirmation.clear();
                    self.live_files = Arc::clone(&watched);
                    self.reloader.unchanged(&self.live).await;
                }
                Content::Refused(problems) => {
                    // A file that is away for a moment is no mistake of somebody who edits.
                    if missing.is_empty() || self.is_confirmed(trigger, &fingerprint, || format!("{missing:?}")) {
                        let is_asked = trigger != Trigger::Change;
                        // Also those of transformers: nobody fixes one problem to be shown the next.
                        let problems = snapshot::check_transformers(problems, &self.reloader.host).await;
                        self.reloader.reject(&self.live, &problems, fingerprint, is_asked).await;
                    }
                }
                Content::New(loaded) => self.judge(trigger, *loaded, fingerprint, missing, &watched).await,
            }
            let is_same = watched == self.watched;
            self.watch(watched).await;
            if is_same {
                return;
            }
        }
    }

    /// Makes a new configuration live, unless it takes something away and is read for the first time.
    async fn judge(
        &mut self,
        trigger: Trigger,
        loaded: Loaded,
        fingerprint: String,
        missing: Vec<std::path::PathBuf>,
        watched: &Arc<Watched>,
    ) {
        let live = self.reloader.good();
        let removals = live.map(|live| Removals::between(&live, &loaded, missing)).unwrap_or_default();
        if removals.is_empty() {
            self.confirmation.clear();
        } else if !self.is_confirmed(trigger, &fingerprint, || removals.to_string()) {
            return;
        }
        let current = self.live.snapshot();
        let declares = !current.webhooks().is_empty() || !current.settings.tokens.is_empty();
        let is_asked = trigger != Trigger::Change;
        if !loaded.has_tables && declares && trigger != (Trigger::Request { force: true }) {
            let problems = self.reloader.blank(&loaded, &current);
            self.reloader.reject(&self.live, &problems, fingerprint, is_asked).await;
            return;
        }
        match self.reloader.take(&self.live, loaded, fingerprint, is_asked).await {
            Outcome::Live => self.live_files = Arc::clone(watched),
            Outcome::Refused => {}
            Outcome::Failed => self.schedule.at(Instant::now() + RETRY_AFTER),
        }
    }

    /// Whether the files have said this for long enough; otherwise they are read again when they have.
    fn is_confirmed(&mut self, trigger: Trigger, fingerprint: &str, what: impl FnOnce() -> String) -> bool {
        if trigger != Trigger::Change {
            self.confirmation.clear();
            return true;
        }
        match self.confirmation.judge(fingerprint, Instant::now()) {
            Verdict::Confirmed => true,
            Verdict::Wait { until, is_new } => {
                if is_new {
                    tracing::info!(
                        removes = what(),
                        "configuration change waits: it removes what is live and must be unchanged for 3 s; SIGHUP or `tenterhook reload` applies it now"
                    );
                }
                self.schedule.at(until);
                false
            }
        }
    }

    async fn watch(&mut self, watched: Arc<Watched>) {
        let of = Arc::clone(&watched);
        if let Ok(targets) = tokio::task::spawn_blocking(move || Targets::of(&of)).await {
            self.watcher.watch(targets);
        }
        if watched != self.watched {
            let of = Arc::clone(&watched);
            self.stats = tokio::task::spawn_blocking(move || Stats::of(&of)).await.unwrap_or_default();
            self.watched = watched;
        }
    }
}
