//! Bounding SQLite's log: it is copied into the file in the background, begun anew when it has grown far beyond, and
//! emptied when what was erased still stands in it.

use std::cell::Cell;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

/// Pages of log (32 MiB) after which it is copied into the file; bounds the log and the time of a recovery.
const CHECKPOINT_PAGES: u32 = 4096;

/// How long publishers may wait for a reader that holds the log.
const RESTART_WAIT: Duration = Duration::from_millis(100);

/// Pages of log (256 MiB) after which the writer waits for the copying to be whole.
const RESTART_PAGES: u32 = 32_768;

/// Until the log is tried to be emptied again after a reader held it: a backup of minutes costs publishers a tenth of
/// their time at most.
const FORGET_PAUSE: Duration = Duration::from_secs(1);

thread_local! {
    /// Pages in the log, told by SQLite after each commit on this thread.
    static LOG_PAGES: Cell<u32> = const { Cell::new(0) };
}

/// Has the log's growth counted, for the connection that this thread writes on.
pub(super) fn watch(connection: &mut Connection) {
    if let Err(e) = connection.wal_hook(Some(count_pages)) {
        tracing::warn!("the log's growth cannot be watched, it is bounded only at the end: {e}");
    }
}

fn count_pages(_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int) -> Result<(), rusqlite::Error> {
    LOG_PAGES.set(u32::try_from(pages).unwrap_or(0));
    Ok(())
}

/// What is still to be done about the log.
pub(super) struct Log {
    /// Pages at which the writer waits for the copying to be whole.
    restart_at: u32,
    /// What was erased still stands in it: nothing of it is to stay on disk.
    forget: bool,
    /// A reader held it: it is let alone until then.
    forget_at: Option<Instant>,
}

impl Default for Log {
    fn default() -> Self {
        // An erasure may have ended right before the last process did.
        Self { restart_at: RESTART_PAGES, forget: true, forget_at: None }
    }
}

impl Log {
    /// Something was erased.
    pub(super) fn forget(&mut self) {
        self.forget = true;
    }

    /// Has the log copied in the background, and waits for it only when it has grown far beyond.
    pub(super) fn bound(&mut self, connection: &Connection, checkpoints: &Checkpointer, now: Instant) {
        if let Some(Err(e)) = self.empty(connection, now) {
            tracing::debug!("the log could not be emptied yet: {e}");
        }
        let pages = LOG_PAGES.get();
        if pages >= self.restart_at {
            match restart(connection) {
                Ok(()) => {
                    LOG_PAGES.set(0);
                    self.restart_at = RESTART_PAGES;
                }
                Err(e) => {
                    tracing::debug!("the log could not be begun anew yet: {e}");
                    self.restart_at = pages.saturating_add(CHECKPOINT_PAGES);
                }
            }
        } else if pages >= CHECKPOINT_PAGES {
            checkpoints.request();
        }
    }

    /// Empties it, if that is wanted and it is time to try. `None`: not tried.
    fn empty(&mut self, connection: &Connection, now: Instant) -> Option<Result<(), rusqlite::Error>> {
        if !self.forget || self.forget_at.is_some_and(|at| now < at) {
            return None;
        }
        let emptied = truncate(connection);
        if emptied.is_ok() {
            LOG_PAGES.set(0);
            (self.forget, self.forget_at) = (false, None);
        } else {
            self.forget_at = Some(now + FORGET_PAUSE);
        }
        Some(emptied)
    }
}

/// Copies what is left of the log and begins it anew. `Err` when a reader holds it.
pub(super) fn restart(connection: &Connection) -> Result<(), rusqlite::Error> {
    checkpoint(connection, "PRAGMA wal_checkpoint(RESTART)")
}

/// As [`restart`], and nothing of the old log stays on disk.
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

/// Copies the log into the file on a thread and a connection of its own, so that its fsyncs delay no commit.
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
                    tracing::warn!("a checkpoint of the store did not go through: {e}");
                }
            }
        })?;
        Ok(Self { requests })
    }

    /// At most one waits: a full channel means that one is asked for already.
    fn request(&self) {
        let _ = self.requests.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::schema;

    #[test]
    fn a_reader_that_stays_for_long_delays_few_commits_and_the_log_is_emptied_after_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tenterhook.db");
        let writer = schema::open_writer(&path).unwrap();
        let append = |n: i64| writer.execute("INSERT OR REPLACE INTO meta(key, value) VALUES('erased', ?1)", [n]).unwrap();
        append(0);
        let backup = schema::open_reader(&path).unwrap();
        backup.execute_batch("BEGIN; SELECT * FROM meta").unwrap();
        let mut log = Log::default();
        let start = Instant::now();
        let mut tried = |from: Instant| {
            let commits = (1..=50).map(|n| {
                append(n);
                log.empty(&writer, from + Duration::from_millis(n.unsigned_abs()))
            });
            commits.flatten().map(|emptied| emptied.is_ok()).collect::<Vec<_>>()
        };
        assert_eq!(tried(start), [false], "one commit in fifty waits for the reader");
        assert_eq!(tried(start + FORGET_PAUSE), [false], "and one in the next second");
        backup.execute_batch("COMMIT").unwrap();
        assert_eq!(tried(start + FORGET_PAUSE + Duration::from_millis(100)), [false; 0], "nobody waits before it is time");
        assert_eq!(tried(start + 3 * FORGET_PAUSE), [true], "once, and it is done");
        append(0);
        log.forget();
        assert_eq!(log.empty(&writer, start).map(|emptied| emptied.is_ok()), Some(true), "at once when no reader was in the way");
        assert_eq!(std::fs::metadata(directory.path().join("tenterhook.db-wal")).unwrap().len(), 0);
    }
}
