//! Noticing that files may have changed. Directories are watched, never files: after an atomic rename a watch on the
//! file is dead, and a ConfigMap swap never names it. What has changed is found out by reading.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::writers::Writers;

/// A chain of links longer than this is a loop.
const LINKS_MAX: usize = 8;

/// What has to be watched for changes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Watched {
    /// Sorted, each once.
    pub(super) files: Vec<PathBuf>,
    pub(super) dirs: Vec<PathBuf>,
}

impl Watched {
    pub(super) fn new(files: impl IntoIterator<Item = PathBuf>, dirs: impl IntoIterator<Item = PathBuf>) -> Self {
        let sorted = |paths: BTreeSet<PathBuf>| paths.into_iter().collect();
        Self { files: sorted(files.into_iter().collect()), dirs: sorted(dirs.into_iter().collect()) }
    }
}

pub(super) struct Watcher {
    /// `None` where the system cannot watch: the slow check and SIGHUP still work.
    inner: Option<RecommendedWatcher>,
    changes: mpsc::Receiver<()>,
    /// Keeps the channel open also without a watcher.
    _sender: mpsc::Sender<()>,
    writers: Writers,
    targets: Targets,
}

impl Watcher {
    pub(super) fn start() -> Self {
        // One waiting change says all there is to say.
        let (sender, changes) = mpsc::channel(1);
        let (notify, writers) = (sender.clone(), Writers::default());
        let noted = writers.clone();
        let inner = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if let Ok(event) = &event {
                noted.note(event, Instant::now());
                // Our own reading of the files is no change.
                if event.kind.is_access() && !is_close_after_write(&event.kind) {
                    return;
                }
            }
            let _ = notify.try_send(());
        });
        let inner =
            inner.map_err(|error| tracing::warn!(%error, "files cannot be watched: changes are noticed within seconds")).ok();
        Self { inner, changes, _sender: sender, writers, targets: Targets::default() }
    }

    /// One that notices nothing, as on a file system whose changes the system does not report.
    #[cfg(test)]
    pub(super) fn deaf() -> Self {
        let (sender, changes) = mpsc::channel(1);
        Self { inner: None, changes, _sender: sender, writers: Writers::default(), targets: Targets::default() }
    }

    /// Repeating it is cheap, and renews the watch of a directory that was replaced.
    pub(super) fn watch(&mut self, targets: Targets) {
        let Some(inner) = &mut self.inner else { return };
        for gone in self.targets.dirs.difference(&targets.dirs) {
            let _ = inner.unwatch(gone);
        }
        for dir in &targets.dirs {
            if let Err(error) = inner.watch(dir, RecursiveMode::NonRecursive) {
                tracing::warn!(dir = %dir.display(), %error, "directory cannot be watched: changes there are noticed within seconds");
            }
        }
        self.targets = targets;
    }

    /// Cancel-safe.
    pub(super) async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// How much longer to wait for programs that are writing watched files; `None`: nobody is.
    pub(super) fn writers_wait(&self) -> Option<Duration> {
        self.writers.wait(Instant::now(), |path| self.targets.concern(path))
    }
}

fn is_close_after_write(kind: &notify::EventKind) -> bool {
    use notify::event::{AccessKind, AccessMode};
    matches!(kind, notify::EventKind::Access(AccessKind::Close(AccessMode::Write)))
}

/// What is watched, as the system names it in its events: with all names that links give it.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// Directories that exist: the parents of all files, of the links on the way to them, and of what those lead to.
    dirs: BTreeSet<PathBuf>,
    files: HashSet<PathBuf>,
    /// Directories whose every file matters.
    whole: BTreeSet<PathBuf>,
}

impl Targets {
    /// Blocks: it follows links.
    pub(super) fn of(watched: &Watched) -> Self {
        let mut ways = Ways::default();
        for file in &watched.files {
            ways.follow(file);
        }
        let files = std::mem::take(&mut ways.paths);
        let mut whole = BTreeSet::new();
        for dir in &watched.dirs {
            let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
            whole.insert(dir.to_owned());
            whole.extend(dir.canonicalize());
            // Watched for the day when the directory itself is made or replaced.
            ways.follow(dir);
        }
        let mut dirs = ways.dirs;
        dirs.extend(whole.iter().cloned());
        dirs.retain(|dir| dir.is_dir());
        Self { dirs, files, whole }
    }

    fn concern(&self, path: &Path) -> bool {
        self.files.contains(path) || path.parent().is_some_and(|dir| self.whole.contains(dir))
    }
}

/// The ways to files: `config.toml` → `..data/config.toml` → `..2026_01_28/config.toml`.
#[derive(Default)]
struct Ways {
    /// Each name that the file has on its way.
    paths: HashSet<PathBuf>,
    dirs: BTreeSet<PathBuf>,
    /// Where directories lead to: thousands of files share one.
    canonical: BTreeMap<PathBuf, Option<PathBuf>>,
}

impl Ways {
    fn follow(&mut self, path: &Path) {
        let mut current = path.to_owned();
        for _ in 0..LINKS_MAX {
            self.add(&current);
            let Ok(target) = std::fs::read_link(&current) else { break };
            current = parent(&current).join(target);
        }
        let dir = parent(&current);
        let resolved = self.canonical.entry(dir).or_insert_with_key(|dir| dir.canonicalize().ok());
        if let (Some(dir), Some(name)) = (resolved.clone(), current.file_name()) {
            self.add(&dir.join(name));
        }
    }

    fn add(&mut self, path: &Path) {
        let dir = parent(path);
        if let Some(name) = path.file_name() {
            self.paths.insert(dir.join(name));
        }
        self.dirs.insert(dir);
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_known_by_every_name_that_links_give_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().canonicalize().unwrap().join(name);
        fs::create_dir_all(at("releases/2")).unwrap();
        fs::create_dir(at("conf")).unwrap();
        fs::write(at("releases/2/config.toml"), "").unwrap();
        symlink("releases/2", at("current")).unwrap();
        symlink(at("current/config.toml"), at("conf/config.toml")).unwrap();
        let targets = Targets::of(&Watched::new([at("conf/config.toml")], [at("current"), at("not-there")]));
        let dirs = ["", "conf", "current", "releases", "releases/2"].map(at);
        assert_eq!(targets.dirs, dirs.map(|dir| dir.components().collect()).into());
        for name in ["conf/config.toml", "current/config.toml", "releases/2/config.toml", "current/any", "releases/2/any"] {
            assert!(targets.concern(&at(name)), "{name}");
        }
        assert!(!targets.concern(&at("conf/any")) && !targets.concern(&at("any")));
    }

    #[test]
    fn a_name_without_a_directory_is_in_the_working_directory() {
        let targets = Targets::of(&Watched::new([PathBuf::from("config.toml")], [PathBuf::new()]));
        assert!(targets.dirs.contains(Path::new(".")));
        assert!(targets.concern(Path::new("./config.toml")) && targets.concern(Path::new("./any")));
    }
}
