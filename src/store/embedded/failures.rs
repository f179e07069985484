//! Failed attempts by class, per webhook and hour, with the last of each: what a dashboard of retries shows. And what
//! waits, counted where it stands.

use std::borrow::Cow;
use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::Embedded;
use super::ordered::BLOCKED;
use super::rows::{invalid, timestamp};
use super::states::with_states;
use super::tally::HOUR_MS;
use super::writer::Writer;
use crate::model::{Attempt, AttemptOutcome, Timestamp, WebhookId, WebhookKey};
use crate::store::Histogram;
use crate::store::{FailureClass, StoreError, Waiting, WebhookCounts};

/// Characters of the last error that are kept.
const ERROR_CHARS_MAX: usize = 300;

/// The class of attempts whose answer was no success.
const STATUS_CLASS: &str = "status";

/// Hours rows_read back: a day.
const HOURS_SHOWN: i64 = 24;

/// Deliveries in memory looked at for the oldest.
const ROWS_READ_MAX: i64 = 20_000;

impl Writer {
    pub(super) fn count_failure(&self, webhook: WebhookKey, attempt: &Attempt, now: Timestamp) -> Result<(), rusqlite::Error> {
        let Some(class) = attempt.error_class.as_deref().filter(|_| attempt.outcome == AttemptOutcome::Failed) else {
            return Ok(());
        };
        // The answer's status is a cause of its own; there are some hundred of them at most.
        let class = match attempt.status.filter(|_| class == STATUS_CLASS) {
            Some(status) => Cow::Owned(format!("{class} {status}")),
            None => Cow::Borrowed(class),
        };
        let error: Option<String> = attempt.error.as_ref().map(|error| error.chars().take(ERROR_CHARS_MAX).collect());
        self.connection
            .prepare_cached(
                "INSERT INTO failures(webhook, hour, class, attempts, at, status, error) VALUES(?1, ?2, ?3, 1, ?4, ?5, ?6)
                 ON CONFLICT(webhook, hour, class) DO UPDATE SET attempts = attempts + 1, at = ?4, status = ?5, error = ?6",
            )?
            .execute(params![webhook.0, now.as_millis() / HOUR_MS, class, now.as_millis(), attempt.status, error])
            .map(|_| ())
    }
}

impl Embedded {
    /// Of the last 24 hours, for one webhook or for all.
    pub(in crate::store) async fn failures(&self, webhook: Option<WebhookId>) -> Result<Vec<FailureClass>, StoreError> {
        self.read(move |reader, shared| {
            let first = shared.clock.now().as_millis() / HOUR_MS - HOURS_SHOWN + 1;
            // SQLite gives bare columns the values of the row that has the greatest `at`.
            let mut statement = reader.prepare_cached(
                "SELECT w.id, f.class, sum(f.attempts), max(f.at), f.status, f.error FROM failures f
                 JOIN webhooks w ON w.key = f.webhook WHERE f.hour >= ?1 AND (?2 IS NULL OR w.id = ?2)
                 GROUP BY w.id, f.class ORDER BY w.id, f.class",
            )?;
            let id = webhook.as_ref().map(WebhookId::as_str);
            let rows = statement.query_map(params![first, id], |row| {
                let kept: String = row.get(1)?;
                let (class, status) = kept.split_once(' ').unwrap_or((kept.as_str(), ""));
                Ok(FailureClass {
                    webhook: WebhookId::parse(row.get_ref(0)?.as_str()?).map_err(|e| invalid(0, e))?,
                    class: class.to_owned(),
                    cause: if status.is_empty() { class.to_owned() } else { format!("HTTP {status}") },
                    attempts: row.get(2)?,
                    at: timestamp(row, 3)?,
                    status: row.get(4)?,
                    error: row.get(5)?,
                })
            })?;
            rows.collect()
        })
        .await
    }

    /// How long attempts took in the last 24 hours, of the webhooks that had any, in no order; of these alone, if given.
    pub(in crate::store) async fn durations(
        &self,
        only: Option<Vec<WebhookId>>,
    ) -> Result<Vec<(WebhookId, Histogram)>, StoreError> {
        self.read(move |reader, shared| {
            let first = shared.clock.now().as_millis() / HOUR_MS - HOURS_SHOWN + 1;
            let mut sums: HashMap<WebhookId, Histogram> = HashMap::new();
            let mut add = |id: WebhookId, bytes: &[u8]| sums.entry(id).or_default().merge(&Histogram::from_bytes(bytes));
            if let Some(only) = only {
                let sql = "SELECT durations FROM hours WHERE webhook = (SELECT key FROM webhooks WHERE id = ?1) AND hour >= ?2";
                let mut statement = reader.prepare_cached(sql)?;
                for id in only {
                    let mut rows = statement.query(params![id.as_str(), first])?;
                    while let Some(row) = rows.next()? {
                        add(id.clone(), row.get_ref(0)?.as_blob()?);
                    }
                }
            } else {
                let sql = "SELECT w.id, h.durations FROM hours h JOIN webhooks w ON w.key = h.webhook WHERE h.hour >= ?1";
                let mut statement = reader.prepare_cached(sql)?;
                let mut rows = statement.query([first])?;
                while let Some(row) = rows.next()? {
                    let id = WebhookId::parse(row.get_ref(0)?.as_str()?).map_err(|e| invalid(0, e))?;
                    add(id, row.get_ref(1)?.as_blob()?);
                }
            }
            Ok(sums.into_iter().collect())
        })
        .await
    }

    /// Counts of every webhook that the store knows of, in the order of their ids.
    pub(in crate::store) async fn webhook_counts(&self) -> Result<Vec<WebhookCounts>, StoreError> {
        self.read(|reader, _| {
            let mut statement = reader.prepare_cached(
                "SELECT id, pending, retrying, held, succeeded, failed, cancelled, dropped, attempts, attempts_failed,
                 (SELECT min(due) FROM deliveries WHERE webhook = w.key AND due < ?1) FROM webhooks w ORDER BY id",
            )?;
            let rows = statement.query_map([BLOCKED], |row| {
                let mut states = [0; 7];
                for (at, state) in states.iter_mut().enumerate() {
                    *state = row.get(at + 1)?;
                }
                Ok(WebhookCounts {
                    id: WebhookId::parse(row.get_ref(0)?.as_str()?).map_err(|e| invalid(0, e))?,
                    states,
                    attempts: row.get(8)?,
                    attempts_failed: row.get(9)?,
                    next_due: row.get::<_, Option<i64>>(10)?.map(Timestamp::from_millis),
                })
            })?;
            rows.collect()
        })
        .await
    }

    pub(in crate::store) async fn waiting(&self, webhook: Option<WebhookId>) -> Result<Waiting, StoreError> {
        self.read(move |reader, shared| {
            let key = match &webhook {
                Some(id) => {
                    let mut statement = reader.prepare_cached("SELECT key FROM webhooks WHERE id = ?1")?;
                    match statement.query_row([id.as_str()], |row| row.get::<_, i64>(0)).optional()? {
                        Some(key) => Some(key),
                        None => return Ok(Waiting::default()),
                    }
                }
                None => None,
            };
            waiting(reader, key, shared.clock.now())
        })
        .await
    }
}

fn waiting(connection: &Connection, key: Option<i64>, now: Timestamp) -> Result<Waiting, rusqlite::Error> {
    let open = "SELECT total(pending + retrying + held) FROM webhooks WHERE ?1 IS NULL OR key = ?1";
    let open: f64 = connection.prepare_cached(open)?.query_row([key], |row| row.get(0))?;
    let watermark = "SELECT value FROM meta WHERE key = 'watermark'";
    let watermark: i64 = connection.query_row(watermark, [], |row| row.get(0)).optional()?.unwrap_or(0);
    let in_memory = "SELECT e.received FROM deliveries d JOIN events e ON e.seq = d.event
         WHERE d.d >= ?2 AND d.d < ?2 + ?3 AND d.state = :pending AND d.due IS NULL AND (?1 IS NULL OR d.webhook = ?1) ORDER BY d.d LIMIT 1";
    let in_memory: Option<i64> = connection
        .prepare_cached(&with_states(in_memory))?
        .query_row(params![key, watermark, ROWS_READ_MAX], |row| row.get(0))
        .optional()?;
    let on_disk = "SELECT min(first) FROM (SELECT (SELECT min(due) FROM deliveries WHERE webhook = w.key AND due < ?2) AS first
         FROM webhooks w WHERE ?1 IS NULL OR w.key = ?1)";
    let on_disk: Option<i64> = connection.prepare_cached(on_disk)?.query_row(params![key, BLOCKED], |row| row.get(0))?;
    let overdue = on_disk.filter(|due| *due <= now.as_millis());
    let open = if open.is_finite() && open > 0.0 { format!("{open:.0}").parse().unwrap_or(0) } else { 0 };
    let oldest = [in_memory, overdue].into_iter().flatten().min().map(Timestamp::from_millis);
    Ok(Waiting { open, oldest, next_due: on_disk.map(Timestamp::from_millis) })
}
