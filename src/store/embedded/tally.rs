//! Counts per webhook: cached in memory, written in the same commit as what they count.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use crate::model::{AttemptOutcome, DeliveryState, Timestamp, WebhookKey};
use crate::store::Histogram;

pub(super) const HOUR_MS: i64 = 3_600_000;

#[derive(Debug, Default, Clone)]
struct Row {
    head: i64,
    states: [i64; 7],
    attempts: i64,
    attempts_failed: i64,
    duration_us: i64,
    timed: i64,
    hour: Hour,
    dirty: bool,
}

#[derive(Debug, Default, Clone)]
struct Hour {
    /// Hours since the epoch.
    number: i64,
    attempts: i64,
    attempts_failed: i64,
    succeeded: i64,
    failed: i64,
    dropped: i64,
    durations: Histogram,
    dirty: bool,
}

/// Rows are read when first touched, and forgotten when a commit fails.
#[derive(Default)]
pub(super) struct Tally {
    rows: HashMap<WebhookKey, Row>,
    dirty: Vec<WebhookKey>,
}

impl Tally {
    /// Makes `delivery` the newest of its webhook; answers the one before.
    pub(super) fn chain(&mut self, connection: &Connection, webhook: WebhookKey, delivery: i64) -> Result<i64, rusqlite::Error> {
        let row = self.row(connection, webhook)?;
        Ok(std::mem::replace(&mut row.head, delivery))
    }

    /// Counts a delivery from one state to another; `None` for one that is new.
    pub(super) fn moved(
        &mut self,
        connection: &Connection,
        webhook: WebhookKey,
        from: Option<DeliveryState>,
        to: DeliveryState,
        now: Timestamp,
    ) -> Result<(), rusqlite::Error> {
        let row = self.row(connection, webhook)?;
        if let Some(from) = from {
            row.states[from as usize] -= 1;
        }
        row.states[to as usize] += 1;
        if from == Some(to) {
            return Ok(());
        }
        let hour = row.hour(connection, webhook, now)?;
        match to {
            DeliveryState::Succeeded => hour.succeeded += 1,
            DeliveryState::Failed => hour.failed += 1,
            DeliveryState::Dropped => hour.dropped += 1,
            DeliveryState::Pending | DeliveryState::Retrying | DeliveryState::Held | DeliveryState::Cancelled => return Ok(()),
        }
        hour.dirty = true;
        Ok(())
    }

    /// `duration` is `None` when nothing was sent.
    pub(super) fn attempted(
        &mut self,
        connection: &Connection,
        webhook: WebhookKey,
        outcome: AttemptOutcome,
        duration: Option<Duration>,
        now: Timestamp,
    ) -> Result<(), rusqlite::Error> {
        let row = self.row(connection, webhook)?;
        let failed = i64::from(outcome == AttemptOutcome::Failed);
        row.attempts += 1;
        row.attempts_failed += failed;
        if let Some(duration) = duration {
            row.duration_us += i64::try_from(duration.as_micros()).unwrap_or(0);
            row.timed += 1;
        }
        let hour = row.hour(connection, webhook, now)?;
        hour.attempts += 1;
        hour.attempts_failed += failed;
        if let Some(duration) = duration {
            hour.durations.record(duration);
        }
        hour.dirty = true;
        Ok(())
    }

    pub(super) fn write(&mut self, connection: &Connection) -> Result<(), rusqlite::Error> {
        for webhook in self.dirty.drain(..) {
            let Some(row) = self.rows.get_mut(&webhook) else { continue };
            let s = row.states;
            let mut statement = connection.prepare_cached(
                "UPDATE webhooks SET head = ?2, pending = ?3, retrying = ?4, held = ?5, succeeded = ?6, failed = ?7,
                 cancelled = ?8, dropped = ?9, attempts = ?10, attempts_failed = ?11, duration_us = ?12, timed = ?13
                 WHERE key = ?1",
            )?;
            statement.execute(params![
                webhook.0,
                row.head,
                s[0],
                s[1],
                s[2],
                s[3],
                s[4],
                s[5],
                s[6],
                row.attempts,
                row.attempts_failed,
                row.duration_us,
                row.timed
            ])?;
            row.dirty = false;
            row.hour.write(connection, webhook)?;
        }
        Ok(())
    }

    /// After a failed commit memory says more than the file.
    pub(super) fn forget(&mut self) {
        self.rows.clear();
        self.dirty.clear();
    }

    fn row(&mut self, connection: &Connection, webhook: WebhookKey) -> Result<&mut Row, rusqlite::Error> {
        let row = match self.rows.entry(webhook) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(read_row(connection, webhook)?),
        };
        if !row.dirty {
            row.dirty = true;
            self.dirty.push(webhook);
        }
        Ok(row)
    }
}

impl Row {
    fn hour(&mut self, connection: &Connection, webhook: WebhookKey, now: Timestamp) -> Result<&mut Hour, rusqlite::Error> {
        let number = now.as_millis() / HOUR_MS;
        if self.hour.number != number {
            self.hour.write(connection, webhook)?;
            self.hour = read_hour(connection, webhook, number)?;
        }
        Ok(&mut self.hour)
    }
}

impl Hour {
    fn write(&mut self, connection: &Connection, webhook: WebhookKey) -> Result<(), rusqlite::Error> {
        if !self.dirty {
            return Ok(());
        }
        let mut statement = connection.prepare_cached(
            "INSERT OR REPLACE INTO hours(webhook, hour, attempts, attempts_failed, succeeded, failed, dropped, durations)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        let durations = self.durations.to_bytes();
        let (attempts, attempts_failed) = (self.attempts, self.attempts_failed);
        statement.execute(params![
            webhook.0,
            self.number,
            attempts,
            attempts_failed,
            self.succeeded,
            self.failed,
            self.dropped,
            durations
        ])?;
        self.dirty = false;
        Ok(())
    }
}

fn read_row(connection: &Connection, webhook: WebhookKey) -> Result<Row, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT head, pending, retrying, held, succeeded, failed, cancelled, dropped, attempts, attempts_failed, duration_us, timed
         FROM webhooks WHERE key = ?1",
    )?;
    let row = statement.query_row([webhook.0], |row| {
        let mut states = [0; 7];
        for (at, state) in states.iter_mut().enumerate() {
            *state = row.get(at + 1)?;
        }
        Ok(Row {
            head: row.get(0)?,
            states,
            attempts: row.get(8)?,
            attempts_failed: row.get(9)?,
            duration_us: row.get(10)?,
            timed: row.get(11)?,
            hour: Hour::default(),
            dirty: false,
        })
    });
    Ok(row.optional()?.unwrap_or_default())
}

fn read_hour(connection: &Connection, webhook: WebhookKey, number: i64) -> Result<Hour, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT attempts, attempts_failed, succeeded, failed, dropped, durations FROM hours WHERE webhook = ?1 AND hour = ?2",
    )?;
    let hour = statement.query_row((webhook.0, number), |row| {
        Ok(Hour {
            number,
            attempts: row.get(0)?,
            attempts_failed: row.get(1)?,
            succeeded: row.get(2)?,
            failed: row.get(3)?,
            dropped: row.get(4)?,
            durations: Histogram::from_bytes(&row.get::<_, Vec<u8>>(5)?),
            dirty: false,
        })
    });
    Ok(hour.optional()?.unwrap_or(Hour { number, ..Hour::default() }))
}
