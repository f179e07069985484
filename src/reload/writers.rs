//! Files that a program is writing right now: written to, and not closed since. Known where the system reports the close
//! of a written file (inotify); elsewhere every file counts as closed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, Watcher, WatcherKind};

/// A writer that has not closed its file after this time is not waited for any more: a copy over a slow line takes
/// seconds, and a program that keeps its file open for ever must not hold up reloads for ever.
pub(super) const OPEN_TIME_MAX: Duration = Duration::from_secs(30);

/// Files tracked at once. A directory of the configuration may hold files of others; more writers than this at the same
/// moment are not followed.
const FILES_MAX: usize = 1024;

/// Cheap to clone: the watcher's thread writes what the reload loop reads.
#[derive(Clone, Default)]
pub(super) struct Writers(Arc<Mutex<HashMap<PathBuf, Instant>>>);

impl Writers {
    pub(super) fn note(&self, event: &Event, now: Instant) {
        if notify::RecommendedWatcher::kind() != WatcherKind::Inotify {
            return;
        }
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if event.need_rescan() {
            // Events were lost, and the closes may be among them.
            open.clear();
        }
        for path in &event.paths {
            match event.kind {
                EventKind::Modify(ModifyKind::Data(_)) if open.len() < FILES_MAX => {
                    open.entry(path.clone()).or_insert(now);
                }
                EventKind::Access(AccessKind::Close(AccessMode::Write))
                | EventKind::Modify(ModifyKind::Name(_))
                | EventKind::Remove(_) => {
                    open.remove(path);
                }
                _ => {}
            }
        }
    }

    /// How much longer to wait for the writers of the files that `concerns` names; `None`: for nobody.
    pub(super) fn wait(&self, now: Instant, concerns: impl Fn(&Path) -> bool) -> Option<Duration> {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |since: &Instant| OPEN_TIME_MAX.checked_sub(now.saturating_duration_since(*since));
        let waits = open.iter().filter(|(path, _)| concerns(path)).filter_map(|(_, since)| left(since));
        waits.filter(|left| !left.is_zero()).max()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use notify::event::{CreateKind, DataChange, Flag, RemoveKind, RenameMode};

    use super::*;

    const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));

    fn event(kind: EventKind, path: &str) -> Event {
        Event::new(kind).add_path(PathBuf::from(path))
    }

    #[test]
    fn a_written_file_is_waited_for_until_it_is_closed() {
        let (writers, now) = (Writers::default(), Instant::now());
        let wait = |after: u64| writers.wait(now + Duration::from_secs(after), |path| path != Path::new("log"));
        writers.note(&event(EventKind::Create(CreateKind::File), "config.toml"), now);
        assert_eq!(wait(0), None, "a file that was only made may be a link, which nobody closes");
        writers.note(&event(WRITTEN, "config.toml"), now);
        writers.note(&event(WRITTEN, "config.toml"), now + Duration::from_secs(9));
        writers.note(&event(WRITTEN, "log"), now);
        assert_eq!(wait(10), Some(Duration::from_secs(20)), "the time runs from the first write");
        assert_eq!(wait(30), None);
        writers.note(&event(CLOSED, "config.toml"), now);
        assert_eq!(wait(0), None);
    }

    #[test]
    fn a_file_that_is_replaced_or_removed_has_no_writer() {
        let now = Instant::now();
        for end in [EventKind::Remove(RemoveKind::File), EventKind::Modify(ModifyKind::Name(RenameMode::To))] {
            let writers = Writers::default();
            writers.note(&event(WRITTEN, "config.toml"), now);
            writers.note(&event(end, "config.toml"), now);
            assert_eq!(writers.wait(now, |_| true), None, "{end:?}");
        }
        let writers = Writers::default();
        writers.note(&event(WRITTEN, "config.toml"), now);
        writers.note(&Event::new(EventKind::Other).set_flag(Flag::Rescan), now);
        assert_eq!(writers.wait(now, |_| true), None, "lost events may hide the close");
    }
}
