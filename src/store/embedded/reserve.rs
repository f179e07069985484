//! Disk space reserved for retention and for the recovery at a start: on a full disk nothing else could make room.
//!
//! Removing rows needs room itself: for its commit in the WAL, and for the pages that a checkpoint appends to the database.
//! An allocated file holds that room. When the disk is full it is deleted for the step that removes rows; pages become free
//! within the database, and the WAL begins at its start again. Until the reserve could be made again, events are taken only
//! while the database has free pages: it does not grow, so the next checkpoint and the next removal need no room.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const NAME: &str = "reserve";

/// As much as the WAL holds when it is copied into the database (see `wal.rs`), twice: the pages, and a commit.
const RESERVE_BYTES_MAX: u64 = 64 << 20;

/// Several pages and their WAL frames.
const RESERVE_BYTES_MIN: u64 = 256 << 10;

/// Share of a small file system.
const SHARE: u64 = 16;

/// The reserve is made only while this many times as much is free.
const FREE_TIMES: u64 = 2;

/// Between two tries to make it again.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
    is_held: bool,
    /// The disk was full, and there has been no room to make it again since.
    is_spent: bool,
    try_at: Instant,
}

impl Reserve {
    /// Takes over the one of an earlier process; made by [`Reserve::refill`].
    pub(super) fn new(database: &Path) -> Self {
        let path = database.with_file_name(NAME);
        let bytes = space(database).map_or(RESERVE_BYTES_MAX, |space| wanted(space.total));
        let is_held = path.metadata().is_ok_and(|found| found.len() >= bytes);
        let is_spent = !is_held && space(database).is_some_and(|space| space.free < bytes);
        Self { path, bytes, is_held, is_spent, try_at: Instant::now() }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the database must not grow: nothing is left for the checkpoint that would follow.
    pub(super) fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// Gives its room to the file system; `false` when there is none.
    pub(super) fn release(&mut self) -> bool {
        (self.is_held, self.is_spent) = (false, true);
        std::fs::remove_file(&self.path).is_ok()
    }

    /// Makes it, when it is missing, it is time to try, and the disk has plenty of room.
    pub(super) fn refill(&mut self, now: Instant) {
        if self.is_held || now < self.try_at {
            return;
        }
        self.try_at = now + PAUSE;
        if space(&self.path).is_none_or(|space| space.free < self.bytes.saturating_mul(FREE_TIMES)) {
            return;
        }
        match self.make() {
            Ok(()) => (self.is_held, self.is_spent) = (true, false),
            Err(error) => {
                let _ = std::fs::remove_file(&self.path);
                tracing::debug!(file = %self.path.display(), %error, "cannot reserve disk space for retention");
            }
        }
    }

    /// Allocated, not only sized: a hole holds no room.
    fn make(&self) -> io::Result<()> {
        let mut options = File::options();
        options.create(true).truncate(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&self.path)?;
        #[cfg(unix)]
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, self.bytes)?;
        #[cfg(not(unix))]
        drop(file);
        Ok(())
    }
}

fn wanted(total: u64) -> u64 {
    (total / SHARE).clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX)
}

struct Space {
    total: u64,
    free: u64,
}

/// Of the file system that holds the directory of `path`.
#[cfg(unix)]
fn space(path: &Path) -> Option<Space> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = rustix::fs::statvfs(directory).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some(Space { total: bytes(found.f_blocks), free: bytes(found.f_bavail) })
}

/// Unknown: no reserve is made.
#[cfg(not(unix))]
fn space(_: &Path) -> Option<Space> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_disk_gives_a_small_share() {
        assert_eq!(wanted(4 << 20), RESERVE_BYTES_MIN);
        assert_eq!(wanted(32 << 20), 2 << 20);
        assert_eq!(wanted(1 << 40), RESERVE_BYTES_MAX);
    }

    #[test]
    fn the_reserve_is_made_once_released_and_made_again_after_a_pause() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("tenterhook.db");
        let mut reserve = Reserve { bytes: 300 << 10, ..Reserve::new(&database) };
        let start = reserve.try_at;
        reserve.refill(start);
        assert!(reserve.is_held);
        assert_eq!(directory.path().join(NAME).metadata().unwrap().len(), 300 << 10);
        assert!(reserve.release() && !reserve.is_held && reserve.is_spent());
        assert!(!reserve.release(), "there is none");
        reserve.refill(start);
        assert!(!reserve.is_held, "too early");
        reserve.refill(start + PAUSE);
        assert!(reserve.is_held && !reserve.is_spent());
    }
}
