//! Noticing that files may have changed. Directories are watched, never files: after an atomic rename a watch on the
//! file is dead, and a ConfigMap swap never names it. What changed is found out by reading.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::Watched;

pub(super) struct Watcher {
    /// `None` where the system cannot watch: SIGHUP still works.
    inner: Option<RecommendedWatcher>,
    changes: mpsc::Receiver<()>,
    /// Kept so that the channel stays open also without a watcher.
    _sender: mpsc::Sender<()>,
    dirs: BTreeSet<PathBuf>,
}

impl Watcher {
    pub(super) fn start() -> Self {
        // One waiting change says all there is to say.
        let (sender, changes) = mpsc::channel(1);
        let notify = sender.clone();
        let inner = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Our own reading of the files is no change.
            if event.is_ok_and(|event| event.kind.is_access() && !is_close_after_write(&event.kind)) {
                return;
            }
            let _ = notify.try_send(());
        });
        let inner = inner.map_err(|e| tracing::warn!("files cannot be watched, send SIGHUP after a change: {e}")).ok();
        Self { inner, changes, _sender: sender, dirs: BTreeSet::new() }
    }

    /// Watches the directories of all these files, as named and as resolved. Repeating it is cheap, and renews the
    /// watch of a directory that was replaced.
    pub(super) fn watch(&mut self, watched: &Watched) {
        let Some(inner) = &mut self.inner else { return };
        let mut dirs: BTreeSet<PathBuf> = BTreeSet::new();
        for file in &watched.files {
            dirs.extend(ways_to(file));
        }
        for dir in &watched.dirs {
            dirs.insert(dir.clone());
            // Watched for the day when the directory itself is made or replaced.
            dirs.extend(ways_to(dir));
        }
        for gone in self.dirs.difference(&dirs) {
            let _ = inner.unwatch(gone);
        }
        for dir in dirs.iter().filter(|dir| dir.is_dir()) {
            if let Err(e) = inner.watch(dir, RecursiveMode::NonRecursive) {
                tracing::warn!("{} cannot be watched, send SIGHUP after a change there: {e}", dir.display());
            }
        }
        self.dirs = dirs;
    }

    /// Cancel-safe.
    pub(super) async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until nothing has changed for `quiet`, at most `wait_max`.
    pub(super) async fn quiet(&mut self, quiet: Duration, wait_max: Duration) {
        let end = Instant::now() + wait_max;
        while timeout_at((Instant::now() + quiet).min(end), self.changed()).await.is_ok() {
            if Instant::now() >= end {
                return;
            }
        }
    }
}

fn is_close_after_write(kind: &notify::EventKind) -> bool {
    use notify::event::{AccessKind, AccessMode};
    matches!(kind, notify::EventKind::Access(AccessKind::Close(AccessMode::Write)))
}

/// The parent of the path, and of every link on the way to what it leads to (`config.toml` → `..data/config.toml` →
/// `..2026_01_28/config.toml`).
fn ways_to(path: &Path) -> Vec<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut ways = vec![parent(path)];
    let mut current = path.to_owned();
    // A chain of links longer than this is a loop.
    for _ in 0..8 {
        let Ok(target) = std::fs::read_link(&current) else { break };
        current = parent(&current).join(target);
        ways.push(parent(&current));
    }
    if let Ok(resolved) = path.canonicalize() {
        ways.push(parent(&resolved));
    }
    ways
}

/// SIGHUP: the operator asks for a reload. Made first of all at start: until then the signal ends the process, and
/// from then on one that comes early is kept until somebody waits for it.
pub struct Hangup {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangup {
    /// Takes the signal over. Within a runtime.
    #[expect(clippy::new_without_default, reason = "it changes what the process does with a signal")]
    pub fn new() -> Self {
        #[cfg(unix)]
        let signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())
            .map_err(|e| tracing::warn!("SIGHUP will not reload the configuration: {e}"))
            .ok();
        Self {
            #[cfg(unix)]
            signal,
        }
    }

    /// Cancel-safe.
    pub(super) async fn received(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}
