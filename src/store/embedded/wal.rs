//! The write-ahead log (WAL): checkpoints copy it into the database in the background, the writer restarts it before it grows
//! too large, and truncates it when erased data is still in it.

use std::cell::Cell;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

/// Pages of WAL (32 MiB) after which a checkpoint is requested; bounds the WAL and the time of a recovery.
const CHECKPOINT_PAGES: u32 = 4096;

/// On a small disk as well: fewer than this would checkpoint after every other commit.
const CHECKPOINT_PAGES_MIN: u32 = 16;

/// How long publishers may wait for a reader that holds the WAL.
const RESTART_WAIT: Duration = Duration::from_millis(100);

/// Pages of WAL (256 MiB) after which the writer waits for a whole checkpoint.
const RESTART_PAGES: u32 = 32_768;

/// Until the next try to truncate a WAL that a reader held: a backup of minutes costs publishers a tenth of their time at
/// most. Until the next try to restart it on a full disk, for the same reason.
const PAUSE: Duration = Duration::from_secs(1);

thread_local! {
    /// Pages in the WAL, counted by SQLite after each commit on this thread.
    static WAL_PAGES: Cell<u32> = const { Cell::new(0) };
}

/// Counts the WAL's pages, for the connection that this thread writes on.
pub(super) fn watch(connection: &mut Connection) {
    if let Err(e) = connection.wal_hook(Some(count_pages)) {
        tracing::warn!("the WAL's growth cannot be watched, only the last checkpoint bounds it: {e}");
    }
}

fn count_pages(_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int) -> Result<(), rusqlite::Error> {
    WAL_PAGES.set(u32::try_from(pages).unwrap_or(0));
    Ok(())
}

/// What is still to be done about the WAL.
pub(super) struct Wal {
    /// Pages at which a checkpoint is requested.
    checkpoint_at: u32,
    /// Pages at which the writer waits for a whole checkpoint.
    restart_at: u32,
    /// Erased data is still in it: it has to be truncated.
    has_erased: bool,
    /// A reader held it: no try before this.
    truncate_at: Option<Instant>,
    /// On a full disk: no try before this.
    make_room_at: Option<Instant>,
}

impl Wal {
    /// `reserve_bytes`: what a checkpoint may have to add to the database on a full disk.
    pub(super) fn new(reserve_bytes: u64) -> Self {
        let half = u32::try_from(reserve_bytes / 2 / u64::from(super::schema::PAGE_BYTES)).unwrap_or(u32::MAX);
        Self {
            checkpoint_at: half.clamp(CHECKPOINT_PAGES_MIN, CHECKPOINT_PAGES),
            restart_at: RESTART_PAGES,
            // An erasure may have ended right before the last process did.
            has_erased: true,
            truncate_at: None,
            make_room_at: None,
        }
    }

    /// Something was erased.
    pub(super) fn truncate_soon(&mut self) {
        self.has_erased = true;
    }

    /// After a commit: requests a checkpoint, and waits for it only when the WAL has grown far beyond.
    pub(super) fn maintain(&mut self, connection: &Connection, checkpoints: &Checkpointer, now: Instant) {
        if let Some(Err(e)) = self.truncate_erased(connection, now) {
            tracing::debug!("the WAL cannot be truncated yet: {e}");
        }
        let pages = WAL_PAGES.get();
        if pages >= self.restart_at {
            if let Err(e) = self.restart(connection) {
                tracing::debug!("the WAL cannot be restarted yet: {e}");
                self.restart_at = pages.saturating_add(CHECKPOINT_PAGES);
            }
        } else if pages >= self.checkpoint_at {
            checkpoints.request();
        }
    }

    /// The disk is full. A restarted WAL has room for the next commit; not more often than once in a [`PAUSE`].
    pub(super) fn make_room(&mut self, connection: &Connection, now: Instant) {
        if self.make_room_at.is_some_and(|at| now < at) {
            return;
        }
        self.make_room_at = Some(now + PAUSE);
        if let Err(e) = self.restart(connection) {
            tracing::debug!("the WAL cannot be restarted on the full disk: {e}");
        }
    }

    pub(super) fn restart(&mut self, connection: &Connection) -> Result<(), rusqlite::Error> {
        restart(connection)?;
        WAL_PAGES.set(0);
        self.restart_at = RESTART_PAGES;
        Ok(())
    }

    /// `None`: nothing is to be truncated, or it is too early to try.
    fn truncate_erased(&mut self, connection: &Connection, now: Instant) -> Option<Result<(), rusqlite::Error>> {
        if !self.has_erased || self.truncate_at.is_some_and(|at| now < at) {
            return None;
        }
        let truncated = truncate(connection);
        if truncated.is_ok() {
            WAL_PAGES.set(0);
            (self.has_erased, self.truncate_at) = (false, None);
        } else {
            self.truncate_at = Some(now + PAUSE);
        }
        Some(truncated)
    }
}

/// Copies what is left of the WAL; the next commit begins at its start. `Err` when a reader holds it.
pub(super) fn restart(connection: &Connection) -> Result<(), rusqlite::Error> {
    checkpoint(connection, "PRAGMA wal_checkpoint(RESTART)")
}

/// As [`restart`], and nothing of the old WAL stays on disk.
pub(super) fn truncate(connection: &Connection) -> Result<(), rusqlite::Error> {
    checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
}

fn checkpoint(connection: &Connection, pragma: &str) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(RESTART_WAIT)?;
    let busy = connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
    connection.busy_timeout(super::schema::BUSY_WAIT)?;
    let busy = busy?;
    if busy == 0 { Ok(()) } else { Err(rusqlite::Error::QueryReturnedNoRows) }
}

/// Runs checkpoints on a thread and a connection of its own, so that their fsyncs delay no commit.
pub(super) struct Checkpointer {
    requests: std_mpsc::SyncSender<()>,
}

impl Checkpointer {
    pub(super) fn start(connection: Connection) -> std::io::Result<Self> {
        let (requests, inbox) = std_mpsc::sync_channel::<()>(1);
        std::thread::Builder::new().name("store-checkpoint".to_owned()).spawn(move || {
            while inbox.recv().is_ok() {
                let result: Result<i64, _> = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(0));
                if let Err(e) = result {
                    tracing::warn!("store checkpoint failed: {e}");
                }
            }
        })?;
        Ok(Self { requests })
    }

    /// At most one waits: a full channel means that one is requested already.
    fn request(&self) {
        let _ = self.requests.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::schema;

    #[test]
    fn a_reader_that_stays_delays_few_commits_and_the_wal_is_truncated() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tenterhook.db");
        let writer = schema::open_writer(&path).unwrap();
        let append = |n: i64| writer.execute("INSERT OR REPLACE INTO meta(key, value) VALUES('erased', ?1)", [n]).unwrap();
        append(0);
        let backup = schema::open_reader(&path).unwrap();
        backup.execute_batch("BEGIN; SELECT * FROM meta").unwrap();
        let mut wal = Wal::new(u64::MAX);
        let start = Instant::now();
        let mut tried = |from: Instant| {
            let commits = (1..=50).map(|n| {
                append(n);
                wal.truncate_erased(&writer, from + Duration::from_millis(n.unsigned_abs()))
            });
            commits.flatten().map(|truncated| truncated.is_ok()).collect::<Vec<_>>()
        };
        assert_eq!(tried(start), [false], "one commit in fifty waits for the reader");
        assert_eq!(tried(start + PAUSE), [false], "and one in the next second");
        backup.execute_batch("COMMIT").unwrap();
        assert_eq!(tried(start + PAUSE + Duration::from_millis(100)), [false; 0], "nobody waits before it is time");
        assert_eq!(tried(start + 3 * PAUSE), [true], "once, and it is done");
        append(0);
        wal.truncate_soon();
        assert_eq!(
            wal.truncate_erased(&writer, start).map(|truncated| truncated.is_ok()),
            Some(true),
            "at once when no reader was in the way"
        );
        assert_eq!(std::fs::metadata(directory.path().join("tenterhook.db-wal")).unwrap().len(), 0);
    }
}
