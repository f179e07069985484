//! Jobs: what is to be done to many rows, a step per commit. A step and the position that it leads to are one commit,
//! so that a crash repeats nothing and skips nothing.

use rusqlite::{OptionalExtension, Row, params};

use super::Embedded;
use super::rows::{invalid, timestamp};
use super::writer::Writer;
use crate::model::lifecycle::Change;
use crate::model::{DeliveryId, Timestamp, Trigger, WebhookKey};
use crate::store::{Cursor, Job, JobSpec, JobState, JobStep, Page, StoreError};

const COLUMNS: &str = "j, spec, state, reason, by, created, updated, ended, position, done, total";

fn job(row: &Row<'_>) -> Result<Job, rusqlite::Error> {
    Ok(Job {
        number: row.get(0)?,
        spec: serde_json::from_str(row.get_ref(1)?.as_str()?).map_err(|e| invalid(1, e))?,
        state: JobState::from_name(row.get_ref(2)?.as_str()?).ok_or_else(|| invalid(2, "not a state of a job"))?,
        reason: row.get(3)?,
        by: row.get(4)?,
        created: timestamp(row, 5)?,
        updated: timestamp(row, 6)?,
        ended: row.get::<_, Option<i64>>(7)?.map(Timestamp::from_millis),
        position: row.get::<_, Option<i64>>(8)?.map(Cursor),
        done: row.get(9)?,
        total: row.get(10)?,
    })
}

impl Embedded {
    pub(in crate::store) async fn create_job(&self, spec: JobSpec, by: String, total: Option<u64>) -> Result<Job, StoreError> {
        let json = serde_json::to_string(&spec).map_err(|e| StoreError::Unavailable { reason: e.to_string() })?;
        self.write(move |writer| {
            let now = writer.clock.now().as_millis();
            let sql = format!(
                "INSERT INTO jobs(spec, state, by, created, updated, total) VALUES(?1, 'running', ?2, ?3, ?3, ?4) RETURNING {COLUMNS}"
            );
            writer.connection.prepare_cached(&sql)?.query_row(params![json, by, now, total], job)
        })
        .await
    }

    pub(in crate::store) async fn job(&self, number: i64) -> Result<Option<Job>, StoreError> {
        self.read(move |reader, _| {
            let mut statement = reader.prepare_cached(&format!("SELECT {COLUMNS} FROM jobs WHERE j = ?1"))?;
            statement.query_row([number], job).optional()
        })
        .await
    }

    /// Newest first.
    pub(in crate::store) async fn jobs(
        &self,
        state: Option<JobState>,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Job>, StoreError> {
        self.read(move |reader, _| {
            let sql = format!("SELECT {COLUMNS} FROM jobs WHERE j < ?1 AND (?2 IS NULL OR state = ?2) ORDER BY j DESC LIMIT ?3");
            let mut statement = reader.prepare_cached(&sql)?;
            let below = after.map_or(i64::MAX, |cursor| cursor.0);
            let rows = statement.query_map(params![below, state.map(JobState::name), limit + 1], job)?;
            let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
            let more = rows.len() > limit;
            rows.truncate(limit);
            let next = rows.last().filter(|_| more).map(|last| Cursor(last.number));
            Ok(Page { rows, next })
        })
        .await
    }

    /// Ends a running job; answers it as it is then. `None`: no such job.
    pub(in crate::store) async fn end_job(
        &self,
        number: i64,
        state: JobState,
        reason: Option<String>,
    ) -> Result<Option<Job>, StoreError> {
        self.write(move |writer| {
            let now = writer.clock.now().as_millis();
            writer
                .connection
                .prepare_cached(
                    "UPDATE jobs SET state = ?2, reason = ?3, updated = ?4, ended = ?4 WHERE j = ?1 AND ended IS NULL",
                )?
                .execute(params![number, state.name(), reason, now])?;
            let job = writer.job(number)?;
            if job.as_ref().is_some_and(|job| matches!(job.spec, JobSpec::Erase { .. })) {
                writer.wal.truncate_soon();
            }
            Ok(job)
        })
        .await
    }

    /// One step, and where the next begins. `None` when the job has ended: then nothing was done.
    pub(in crate::store) async fn advance_job(&self, number: i64, step: JobStep) -> Result<Option<Job>, StoreError> {
        self.write(move |writer| {
            if writer.job(number)?.is_none_or(|job| job.state != JobState::Running) {
                return Ok(None);
            }
            let mut done = 0_u64;
            for delivery in &step.requeue {
                done += u64::from(writer.requeue(*delivery, step.retransform)?);
            }
            for event in &step.erase {
                done += u64::from(writer.erase(event)?);
            }
            let now = writer.clock.now().as_millis();
            let position = step.position.map(|cursor| cursor.0);
            writer
                .connection
                .prepare_cached("UPDATE jobs SET done = done + ?2, position = ?3, updated = ?4 WHERE j = ?1")?
                .execute(params![number, done, position, now])?;
            if position.is_none() {
                // With the last step in one commit: a crash in between would start the whole job again.
                writer.connection.prepare_cached("UPDATE jobs SET state = ?2, ended = ?3 WHERE j = ?1")?.execute(params![
                    number,
                    JobState::Succeeded.name(),
                    now
                ])?;
                if !step.erase.is_empty() {
                    writer.wal.truncate_soon();
                }
            }
            writer.job(number)
        })
        .await
    }

    /// Deliveries of a webhook that are due now, counted up to `most`.
    pub(in crate::store) async fn due_count(&self, webhook: WebhookKey, most: usize) -> Result<usize, StoreError> {
        self.read(move |reader, shared| {
            let sql = "SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE webhook = ?1 AND due <= ?2 LIMIT ?3)";
            reader.prepare_cached(sql)?.query_row(params![webhook.0, shared.clock.now().as_millis(), most], |row| row.get(0))
        })
        .await
    }
}

impl Writer {
    fn job(&self, number: i64) -> Result<Option<Job>, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached(&format!("SELECT {COLUMNS} FROM jobs WHERE j = ?1"))?;
        statement.query_row([number], job).optional()
    }

    /// An ended delivery is due again, with a budget of its own. Answers whether it was one.
    fn requeue(&mut self, delivery: DeliveryId, retransform: bool) -> Result<bool, rusqlite::Error> {
        let Some((webhook, before)) = self.state_of(delivery)? else { return Ok(false) };
        if before.is_open() {
            return Ok(false);
        }
        self.change(delivery.number, webhook, before, Change::Retry)?;
        self.request_retry(webhook, delivery.number, Trigger::Replay, retransform)?;
        Ok(true)
    }
}
