//! The one thread that writes: takes all commands that wait, runs them in one transaction, answers after its commit.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rusqlite::{Connection, ErrorCode, OptionalExtension};
use tokio::sync::watch;

use super::batches::OpenBatch;
pub(super) use super::command::Command;
use super::files::{self, OpenFiles};
use super::handover::Handover;
use super::inbox;
use super::recover::Unrecovered;
use super::reserve::Reserve;
use super::schema::PAGE_BYTES;
use super::seen::Seen;
use super::tally::Tally;
use super::wal::{self, Checkpointer, Wal};
use super::watch::Watch;
use crate::clock::Clock;
use crate::model::{Timestamp, WebhookKey};
use crate::store::keyring::Keyring;
use crate::store::{CommitObserver, Lease, StoreError};

/// Deliveries that the watermark may lag behind: what a restart scans at the least.
const WATERMARK_STEP: i64 = 4096;

/// Everything that the commands of a group do to memory once the group is durable.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) fresh: Vec<Lease>,
    pub(super) due: Vec<(WebhookKey, Timestamp)>,
    pub(super) settled: Vec<i64>,
    pub(super) cancelled: Vec<(WebhookKey, i64)>,
}

pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    pub(super) clock: Clock,
    pub(super) handover: Arc<Handover>,
    pub(super) keyring: Keyring,
    watch: Arc<Watch>,
    failure: watch::Sender<Option<StoreError>>,
    on_commit: Option<CommitObserver>,
    pub(super) counters: Counters,
    pub(super) tally: Tally,
    pub(super) seen: Seen,
    /// Webhooks that have ordered queues, or had since the start.
    pub(super) ordered_webhooks: HashSet<WebhookKey>,
    /// Batches that still take events.
    pub(super) batches: HashMap<WebhookKey, OpenBatch>,
    pub(super) effects: Effects,
    /// Deliveries handed over in memory and not settled: what a crash leaves to be found by the recovery.
    pub(super) outstanding: BTreeSet<i64>,
    /// Those of them that a start on a full disk could not make due.
    pub(super) unrecovered: BTreeMap<i64, Unrecovered>,
    pub(super) watermark: i64,
    pub(super) wal: Wal,
    pub(super) reserve: Reserve,
    files: OpenFiles,
}

/// The last numbers given out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counters {
    pub(super) event: i64,
    pub(super) delivery: i64,
    pub(super) attempt: i64,
    pub(super) request: i64,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        path: PathBuf,
        clock: Clock,
        handover: Arc<Handover>,
        watch: Arc<Watch>,
        failure: watch::Sender<Option<StoreError>>,
        on_commit: Option<CommitObserver>,
    ) -> Self {
        let counters = Counters { event: 0, delivery: 0, attempt: 0, request: 0 };
        let (reserve, files) = (Reserve::new(&path), OpenFiles::of(&path));
        Self {
            connection,
            path,
            clock,
            handover,
            keyring: Keyring::default(),
            watch,
            failure,
            on_commit,
            counters,
            tally: Tally::default(),
            seen: Seen::default(),
            ordered_webhooks: HashSet::new(),
            batches: HashMap::new(),
            effects: Effects::default(),
            outstanding: BTreeSet::new(),
            unrecovered: BTreeMap::new(),
            watermark: 0,
            wal: Wal::new(reserve.bytes()),
            reserve,
            files,
        }
    }

    pub(super) fn run(mut self, mut inbox: inbox::Receiver, checkpoints: Checkpointer) {
        wal::watch(&mut self.connection);
        while let Some(group) = inbox.take() {
            if group.iter().any(|command| matches!(command, Command::Close(_))) {
                // Commands that are in by now are written as well.
                inbox.close();
            }
            if !self.write(group) {
                return;
            }
            let now = Instant::now();
            self.wal.maintain(&self.connection, &checkpoints, now);
            self.reserve.refill(now);
        }
        drop(inbox);
        drop(checkpoints);
        self.finish();
    }

    /// After the last command.
    pub(super) fn finish(&mut self) {
        match self.advance_watermark(0).and_then(|()| wal::restart(&self.connection)) {
            Ok(()) => files::mark_closed(&self.path),
            Err(e) => tracing::warn!("the last store checkpoint failed, the next start repeats it: {e}"),
        }
    }

    /// Runs a group and answers it; `false` when the store cannot be trusted any longer.
    pub(super) fn write(&mut self, group: Vec<Command>) -> bool {
        let Err(poison) = self.commit_group(group) else { return true };
        tracing::error!(error = %poison, "the store failed: stopping");
        self.failure.send_replace(Some(poison));
        false
    }

    /// Runs a group in one commit and answers it. When one command breaks the group, each runs in a commit of its
    /// own, so that only the broken one fails. `Err` only when the store cannot be trusted any longer.
    fn commit_group(&mut self, group: Vec<Command>) -> Result<(), StoreError> {
        let started = Instant::now();
        let mut group = self.admit(group);
        if group.is_empty() {
            return Ok(());
        }
        let commands = group.len();
        match self.transact(&mut group) {
            Ok(()) => {
                if let Some(observe) = &self.on_commit {
                    observe(started.elapsed(), commands);
                }
                // Before the answer: a caller that sealed its secrets may read the disk right then.
                if group.iter().any(|command| matches!(command, Command::Rekey(_)))
                    && let Err(e) = wal::truncate(&self.connection)
                {
                    tracing::warn!("secrets as they were before may stay in the store's WAL until it is restarted: {e}");
                }
                group.into_iter().for_each(|command| command.answer(Ok(())));
                Ok(())
            }
            Err(poison @ StoreError::Poisoned { .. }) => {
                group.into_iter().for_each(|command| command.answer(Err(poison.clone())));
                Err(poison)
            }
            Err(full @ StoreError::Full { .. }) => self.answer_full(group, &full),
            Err(error @ StoreError::Unavailable { .. }) if commands == 1 => {
                tracing::error!(%error, "store command failed");
                group.into_iter().for_each(|command| command.answer(Err(error.clone())));
                Ok(())
            }
            Err(StoreError::Unavailable { .. }) => group.into_iter().try_for_each(|command| self.commit_group(vec![command])),
        }
    }

    /// Refuses events after the disk was full, until the database has free pages again, see [`super::reserve`].
    fn admit(&self, group: Vec<Command>) -> Vec<Command> {
        let is_append = |command: &Command| matches!(command, Command::Append(_));
        if !self.reserve.is_spent() || !group.iter().any(is_append) {
            return group;
        }
        let pages = self.connection.pragma_query_value(None, "freelist_count", |row| row.get::<_, u64>(0));
        // An error shows again, with an answer, when the group is run.
        if pages.is_ok_and(|pages| pages.saturating_mul(u64::from(PAGE_BYTES)) < self.reserve.bytes() / 2) {
            let (refused, admitted): (Vec<_>, Vec<_>) = group.into_iter().partition(is_append);
            let full = StoreError::Full { path: self.path.display().to_string() };
            refused.into_iter().for_each(|command| command.answer(Err(full.clone())));
            return admitted;
        }
        group
    }

    /// The disk is full: retention gets the reserved space, the others get the error.
    fn answer_full(&mut self, group: Vec<Command>, full: &StoreError) -> Result<(), StoreError> {
        let (removing, others): (Vec<_>, Vec<_>) = group.into_iter().partition(|command| matches!(command, Command::Prune(_)));
        others.into_iter().for_each(|command| command.answer(Err(full.clone())));
        if removing.is_empty() {
            self.wal.make_room(&self.connection, Instant::now());
            return Ok(());
        }
        if self.reserve.release() {
            tracing::warn!("the disk is full: retention uses the reserved space");
        }
        self.restart_wal_when_full();
        for mut command in removing {
            let result = self.transact(std::slice::from_mut(&mut command));
            command.answer(result.clone());
            if let Err(poison @ StoreError::Poisoned { .. }) = result {
                return Err(poison);
            }
            self.restart_wal_when_full();
        }
        Ok(())
    }

    fn restart_wal_when_full(&mut self) {
        if let Err(e) = self.wal.restart(&self.connection) {
            tracing::debug!("the WAL cannot be restarted on the full disk: {e}");
        }
    }

    fn transact(&mut self, group: &mut [Command]) -> Result<(), StoreError> {
        let result = self.transact_inner(group);
        if result.is_ok()
            && let Some(replaced) = self.files.replaced()
        {
            return Err(self.lost_file(replaced));
        }
        result.map_err(|e| {
            self.effects = Effects::default();
            self.tally.forget();
            self.seen.forget();
            self.batches.clear();
            if !self.connection.is_autocommit()
                && let Err(e) = self.connection.execute_batch("ROLLBACK")
            {
                let reason = format!("cannot roll back: {e}");
                return StoreError::Poisoned { path: self.path.display().to_string(), reason };
            }
            explain(&e, &self.path)
        })
    }

    /// What was committed is in a file that has no name any more. While the database has its own, a checkpoint saves it.
    fn lost_file(&self, replaced: &Path) -> StoreError {
        let name = replaced.display();
        let reason = if replaced == self.path {
            format!(
                "{name} was removed or replaced while the server ran; what it held ends with this process, unless it was only \
                 moved: put the moved file, or a backup, back and start again"
            )
        } else {
            match wal::restart(&self.connection) {
                Ok(()) => {
                    files::mark_closed(&self.path);
                    format!(
                        "{name} was removed or replaced while the server ran; what it held has been copied into the database: start again"
                    )
                }
                Err(e) => format!(
                    "{name} was removed or replaced while the server ran, and what it held cannot be copied into the database: {e}"
                ),
            }
        };
        StoreError::Poisoned { path: self.path.display().to_string(), reason }
    }

    fn transact_inner(&mut self, group: &mut [Command]) -> Result<(), rusqlite::Error> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        group.iter_mut().try_for_each(|command| command.run(self))?;
        self.tally.write(&self.connection)?;
        self.seen.write(&self.connection)?;
        self.spill_oldest()?;
        self.advance_watermark(WATERMARK_STEP)?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        for lease in &self.effects.fresh {
            self.outstanding.insert(lease.delivery.number);
        }
        for delivery in self.effects.settled.drain(..) {
            self.outstanding.remove(&delivery);
            self.unrecovered.remove(&delivery);
            self.watch.settled(delivery);
        }
        self.handover.publish(&mut self.effects);
        // A subscriber that comes after this check sees the commit in the file.
        if self.handover.commits.receiver_count() > 0 {
            self.handover.commits.send_replace(());
        }
        Ok(())
    }

    /// Every delivery before the watermark that waits is found through the index of the due ones.
    fn advance_watermark(&mut self, step: i64) -> Result<(), rusqlite::Error> {
        let lowest = self.outstanding.first().copied();
        let fresh = self.effects.fresh.first().map(|lease| lease.delivery.number);
        let next = lowest.into_iter().chain(fresh).min().unwrap_or(self.counters.delivery + 1);
        if next < self.watermark + step.max(1) {
            return Ok(());
        }
        self.watermark = next;
        self.save_meta("watermark", next)
    }

    pub(super) fn save_meta(&self, key: &str, value: i64) -> Result<(), rusqlite::Error> {
        let mut statement = self.connection.prepare_cached("INSERT OR REPLACE INTO meta(key, value) VALUES(?1, ?2)")?;
        statement.execute((key, value)).map(|_| ())
    }
}

/// What an error of SQLite means to the caller.
pub(super) fn explain(error: &rusqlite::Error, path: &Path) -> StoreError {
    let path = path.display().to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { path },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::SystemIoFailure | ErrorCode::ReadOnly) => {
            StoreError::Poisoned { path, reason: error.to_string() }
        }
        _ => StoreError::Unavailable { reason: error.to_string() },
    }
}

pub(super) fn meta(connection: &Connection, key: &str) -> Result<Option<i64>, rusqlite::Error> {
    connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()
}
