//! The slow check: size, inode and modification time of everything that was read, every two seconds. It finds what the
//! watcher cannot see: a file that is mounted by itself and edited on the host, a switched link in a directory above,
//! changes that another machine makes on a network file system.
//!
//! It costs one `stat` per file, on a blocking thread. Nothing is read and
//! nothing wakes up unless a result differs from the one before.

use std::fs::Metadata;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior};

use super::watch::Watched;

/// As the contract says; each check of a usual configuration is a dozen system calls.
const PERIOD: Duration = Duration::from_secs(2);

/// What the file system says of each watched path, in their order; `None`: it is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stats(Vec<Option<Stat>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    inode: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
}

impl Stats {
    /// Blocks: a network file system may take its time.
    pub(super) fn of(watched: &Watched) -> Self {
        let stat = |path: &std::path::PathBuf| {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            // Through links: where one leads is what was read.
            std::fs::metadata(path).ok().as_ref().map(stat)
        };
        Self(watched.files.iter().chain(&watched.dirs).map(stat).collect())
    }
}

#[cfg(unix)]
fn stat(metadata: &Metadata) -> Stat {
    use std::os::unix::fs::MetadataExt as _;
    let inode = (metadata.dev(), metadata.ino());
    Stat { inode, bytes: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
}

#[cfg(not(unix))]
fn stat(metadata: &Metadata) -> Stat {
    let since = metadata.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
    let modified = (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), i64::from(since.subsec_nanos()));
    Stat { inode: (0, 0), bytes: metadata.len(), modified }
}

/// Takes the stats again and again.
pub(super) struct Checker {
    ticks: Interval,
    /// One at a time: a file system that hangs holds up this check alone.
    running: Option<JoinHandle<Stats>>,
}

impl Checker {
    pub(super) fn start() -> Self {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, running: None }
    }

    /// The next stats of `watched`, or of what was watched when the check began. Cancel-safe.
    pub(super) async fn next(&mut self, watched: &Arc<Watched>) -> Stats {
        loop {
            let running = match &mut self.running {
                Some(running) => running,
                None => {
                    self.ticks.tick().await;
                    let watched = Arc::clone(watched);
                    self.running.insert(tokio::task::spawn_blocking(move || Stats::of(&watched)))
                }
            };
            let stats = running.await;
            self.running = None;
            if let Ok(stats) = stats {
                return stats;
            }
        }
    }
}
