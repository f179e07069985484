//! The one thread that writes: takes whatever commands wait, runs them in one transaction, answers after its commit.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rusqlite::{Connection, ErrorCode, OptionalExtension};
use tokio::sync::watch;

use super::batches::OpenBatch;
use super::command::Done;
pub(super) use super::command::{Command, Reply};
use super::handover::Handover;
use super::idempotency;
use super::inbox;
use super::log::{self, Checkpointer, Log};
use super::ordered::PARKED;
use super::secrets::Keyring;
use super::seen::Seen;
use super::tally::Tally;
use super::watch::Watch;
use crate::clock::Clock;
use crate::model::{Timestamp, WebhookKey};
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
    path: PathBuf,
    pub(super) clock: Clock,
    pub(super) handover: Arc<Handover>,
    pub(super) keyring: Keyring,
    watch: Arc<Watch>,
    failure: watch::Sender<Option<StoreError>>,
    on_commit: Option<CommitObserver>,
    pub(super) counters: Counters,
    pub(super) tally: Tally,
    pub(super) seen: Seen,
    /// Webhooks that have deliveries in order, or had since the start.
    pub(super) lines: HashSet<WebhookKey>,
    /// Batches that still take events.
    pub(super) batches: HashMap<WebhookKey, OpenBatch>,
    pub(super) effects: Effects,
    /// Deliveries handed over in memory and not settled: what a crash leaves to be found by the recovery.
    pub(super) outstanding: BTreeSet<i64>,
    watermark: i64,
    pub(super) log: Log,
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
            lines: HashSet::new(),
            batches: HashMap::new(),
            effects: Effects::default(),
            outstanding: BTreeSet::new(),
            watermark: 0,
            log: Log::default(),
        }
    }

    /// Reads the counters, and makes due again what was handed over in memory when the process ended.
    pub(super) fn recover(&mut self) -> Result<(), StoreError> {
        self.recover_inner().map_err(|e| explain(&e, &self.path))
    }

    fn recover_inner(&mut self) -> Result<(), rusqlite::Error> {
        let last = |table: &str, column: &str, connection: &Connection| -> Result<i64, rusqlite::Error> {
            let kept = meta(connection, table)?.unwrap_or(0);
            let highest: Option<i64> =
                connection.query_row(&format!("SELECT max({column}) FROM {table}"), [], |row| row.get(0))?;
            Ok(kept.max(highest.unwrap_or(0)))
        };
        self.counters = Counters {
            event: last("events", "seq", &self.connection)?,
            // The event of a batch has a number of its own, and no delivery of that number.
            delivery: last("deliveries", "d", &self.connection)?.max(last("members", "m", &self.connection)?),
            attempt: last("attempts", "a", &self.connection)?,
            request: last("requests", "r", &self.connection)?,
        };
        self.watermark = meta(&self.connection, "watermark")?.unwrap_or(0);
        // Whatever became of the numbers: below the watermark nobody looks for a delivery that was in memory alone.
        self.counters.delivery = self.counters.delivery.max(self.watermark - 1);
        idempotency::recover(&self.connection)?;
        let recovered = self.connection.execute(
            "UPDATE deliveries SET due = (SELECT received FROM events WHERE seq = deliveries.event)
             WHERE d >= ?1 AND state = 0 AND due IS NULL",
            [self.watermark],
        )?;
        if recovered > 0 {
            tracing::info!(deliveries = recovered, "taking up deliveries that were in memory when the last process ended");
        }
        self.recover_lines()?;
        let mut statement = self.connection.prepare(
            "SELECT w.key, (SELECT min(due) FROM deliveries WHERE webhook = w.key AND due < ?1) AS first
             FROM webhooks w WHERE first IS NOT NULL",
        )?;
        let rows = statement.query_map([PARKED], |row| Ok((WebhookKey(row.get(0)?), Timestamp::from_millis(row.get(1)?))))?;
        let due = rows.collect::<Result<Vec<_>, _>>()?;
        due.iter().for_each(|(webhook, _)| self.handover.spill(*webhook));
        self.handover.publish(&mut Effects { due, ..Effects::default() });
        Ok(())
    }

    pub(super) fn run(mut self, mut inbox: inbox::Receiver, checkpoints: Checkpointer) {
        log::watch(&mut self.connection);
        while let Some(group) = inbox.take() {
            if group.iter().any(|command| matches!(command, Command::Close { .. })) {
                // What is in by now is written as well.
                inbox.close();
            }
            if !self.write(group) {
                return;
            }
            self.log.bound(&self.connection, &checkpoints, Instant::now());
        }
        drop(inbox);
        drop(checkpoints);
        self.finish();
    }

    /// After the last command.
    pub(super) fn finish(&mut self) {
        if let Err(e) = self.keep_watermark(0).and_then(|()| log::restart(&self.connection)) {
            tracing::warn!("the last checkpoint did not go through, the next start makes up for it: {e}");
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
        let commands = group.len();
        match self.transact(&group) {
            Ok(done) => {
                if let Some(observe) = &self.on_commit {
                    observe(started.elapsed(), commands);
                }
                // Before the answer: whoever sealed the secrets may look at the disk right then.
                if group.iter().any(|command| matches!(command, Command::Rekey { .. }))
                    && let Err(e) = log::truncate(&self.connection)
                {
                    tracing::warn!("secrets as they were before may stay in the store's log until it is next begun anew: {e}");
                }
                group.into_iter().zip(done).for_each(|(command, done)| command.answer(Ok(done)));
                Ok(())
            }
            Err(poison @ StoreError::Poisoned { .. }) => {
                group.into_iter().for_each(|command| command.answer(Err(poison.clone())));
                Err(poison)
            }
            Err(full @ StoreError::Full { .. }) => {
                group.into_iter().for_each(|command| command.answer(Err(full.clone())));
                Ok(())
            }
            Err(error @ StoreError::Unavailable { .. }) if commands == 1 => {
                tracing::error!(%error, "a command of the store failed");
                group.into_iter().for_each(|command| command.answer(Err(error.clone())));
                Ok(())
            }
            Err(StoreError::Unavailable { .. }) => group.into_iter().try_for_each(|command| self.commit_group(vec![command])),
        }
    }

    fn transact(&mut self, group: &[Command]) -> Result<Vec<Done>, StoreError> {
        let result = self.transact_inner(group);
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

    fn transact_inner(&mut self, group: &[Command]) -> Result<Vec<Done>, rusqlite::Error> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let done = group.iter().map(|command| self.run_command(command)).collect::<Result<Vec<_>, _>>()?;
        self.tally.write(&self.connection)?;
        self.seen.write(&self.connection)?;
        self.write_laggards()?;
        self.keep_watermark(WATERMARK_STEP)?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        for lease in &self.effects.fresh {
            self.outstanding.insert(lease.delivery.number);
        }
        for delivery in self.effects.settled.drain(..) {
            self.outstanding.remove(&delivery);
            self.watch.settled(delivery);
        }
        self.handover.publish(&mut self.effects);
        // Whoever subscribes after this look sees the commit in the file.
        if self.handover.commits.receiver_count() > 0 {
            self.handover.commits.send_replace(());
        }
        Ok(done)
    }

    fn run_command(&mut self, command: &Command) -> Result<Done, rusqlite::Error> {
        Ok(match command {
            Command::Append { events, .. } => Done::Append(self.append(events)?),
            Command::Settle { settle, .. } => Done::Settled(self.settle(settle)?),
            Command::Intern { ids, .. } => Done::Keys(self.intern(ids)?),
            Command::Sweep { webhook, sweep, .. } => Done::Count(self.sweep(*webhook, *sweep)?),
            Command::Seal { webhook, now, .. } => {
                self.seal(*webhook, *now);
                Done::Nothing
            }
            Command::Retry { delivery, retransform, .. } => Done::State(self.retry(*delivery, *retransform)?),
            Command::Cancel { delivery, .. } => Done::State(self.cancel(*delivery)?),
            Command::Secrets { webhooks, .. } => {
                Done::Secrets(webhooks.iter().map(|(webhook, make)| self.secrets(*webhook, *make)).collect::<Result<_, _>>()?)
            }
            Command::RotateSecret { webhook, text, overlap, .. } => {
                Done::Secrets(vec![self.rotate_secret(*webhook, text, *overlap)?])
            }
            Command::Rekey { keys, .. } => Done::Count(self.rekey(keys)?),
            Command::Prune { at, events_before, failed_before, .. } => {
                Done::Pruned(self.prune(*at, *events_before, *failed_before)?)
            }
            Command::Stand { changes, .. } => self.stand(changes).map(|()| Done::Nothing)?,
            Command::Once { step, .. } => Done::Begun(self.once(step)?),
            // An update, so that a commit really writes.
            Command::Probe { .. } => self.keep_meta("probe", self.clock.now().as_millis()).map(|()| Done::Nothing)?,
            Command::Work(work) => (work.run)(self).map(|()| Done::Nothing)?,
            Command::Close { .. } => Done::Nothing,
        })
    }

    /// Every delivery before the watermark that waits is found through the index of the due ones.
    fn keep_watermark(&mut self, step: i64) -> Result<(), rusqlite::Error> {
        let lowest = self.outstanding.first().copied();
        let fresh = self.effects.fresh.first().map(|lease| lease.delivery.number);
        let next = lowest.into_iter().chain(fresh).min().unwrap_or(self.counters.delivery + 1);
        if next < self.watermark + step.max(1) {
            return Ok(());
        }
        self.watermark = next;
        self.keep_meta("watermark", next)
    }

    pub(super) fn keep_meta(&self, key: &str, value: i64) -> Result<(), rusqlite::Error> {
        let mut statement = self.connection.prepare_cached("INSERT OR REPLACE INTO meta(key, value) VALUES(?1, ?2)")?;
        statement.execute((key, value)).map(|_| ())
    }
}

/// What an error of SQLite means to whoever asked.
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

fn meta(connection: &Connection, key: &str) -> Result<Option<i64>, rusqlite::Error> {
    connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()
}
