//! Erasing an event with everything that was made of it. Its deliveries stay as empty rows, so that the chains through
//! them hold; they go when retention reaches them.

use rusqlite::{OptionalExtension, Row, params};

use super::Embedded;
use super::json::has_member;
use super::rows::invalid;
use super::states::with_states;
use super::writer::Writer;
use crate::model::{DeliveryState, EventId, Timestamp, WebhookKey};
use crate::store::{Cursor, Page, StoreError, Subject};

/// Rows read in one call: some 20 ms.
const ROWS_READ_MAX: usize = 5000;

impl Embedded {
    pub(in crate::store) async fn erasable(
        &self,
        subject: Subject,
        until: Timestamp,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<EventId>, StoreError> {
        self.read(move |reader, _| {
            let mut statement = reader.prepare_cached(
                "SELECT seq, id, received, tenant, metadata FROM events WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2",
            )?;
            let mut rows = statement.query(params![after.map_or(i64::MAX, |cursor| cursor.0), ROWS_READ_MAX])?;
            let mut page = Page { rows: Vec::new(), next: None };
            let mut rows_read = 0;
            while let Some(row) = rows.next()? {
                rows_read += 1;
                page.next = Some(Cursor(row.get(0)?));
                if row.get::<_, i64>(2)? <= until.as_millis() && is_about(row, &subject)? {
                    page.rows.push(EventId::parse(row.get_ref(1)?.as_str()?).map_err(|e| invalid(1, e))?);
                }
                if page.rows.len() == limit {
                    return Ok(page);
                }
            }
            if rows_read < ROWS_READ_MAX {
                page.next = None;
            }
            Ok(page)
        })
        .await
    }
}

fn is_about(row: &Row<'_>, subject: &Subject) -> Result<bool, rusqlite::Error> {
    Ok(match subject {
        Subject::Tenant(tenant) => row.get_ref(3)?.as_str_or_null()? == Some(tenant),
        Subject::Metadata { key, value } => {
            row.get_ref(4)?.as_blob_or_null()?.is_some_and(|metadata| has_member(metadata, key, value))
        }
    })
}

impl Writer {
    /// Answers whether there was such an event.
    pub(super) fn erase(&mut self, id: &EventId) -> Result<bool, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached("SELECT seq, first, targets FROM events WHERE id = ?1")?;
        let found: Option<(i64, i64, i64)> =
            statement.query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
        drop(statement);
        let Some((seq, first, targets)) = found else { return Ok(false) };
        self.erase_rows(seq, first, first + targets)?;
        Ok(true)
    }

    fn erase_rows(&mut self, seq: i64, first: i64, end: i64) -> Result<(), rusqlite::Error> {
        for delivery in first..end {
            if !self.erase_from_batch(seq, delivery)? {
                self.empty(delivery)?;
            }
        }
        self.connection.prepare_cached("DELETE FROM members WHERE m >= ?1 AND m < ?2")?.execute([first, end])?;
        self.connection.prepare_cached("DELETE FROM events WHERE seq = ?1")?.execute([seq])?;
        self.save_counters()
    }

    /// Takes the event out of the batch that it joined under this number. What was sent of the batch is removed, what
    /// is still to be sent is built again without it; a batch of this event alone is emptied. `false`: it joined none.
    fn erase_from_batch(&mut self, seq: i64, member: i64) -> Result<bool, rusqlite::Error> {
        let batch: Option<i64> = self
            .connection
            .prepare_cached("SELECT d FROM members WHERE m = ?1")?
            .query_row([member], |row| row.get(0))
            .optional()?;
        let Some(batch) = batch else { return Ok(false) };
        self.connection.prepare_cached("DELETE FROM members WHERE m = ?1")?.execute([member])?;
        let other: Option<i64> = self
            .connection
            .prepare_cached("SELECT event FROM members WHERE d = ?1 ORDER BY m LIMIT 1")?
            .query_row([batch], |row| row.get(0))
            .optional()?;
        let Some(other) = other else { return self.empty(batch).map(|()| true) };
        self.remove_attempts(batch)?;
        let (webhook, state) = self
            .connection
            .prepare_cached(
                "UPDATE deliveries SET event = CASE WHEN event = ?2 THEN ?3 ELSE event END, last = 0, count = 0, spent = 0,
                 request = NULL, reason = NULL, edition = edition + 1 WHERE d = ?1 RETURNING webhook, state",
            )?
            .query_row(params![batch, seq, other], |row| Ok((WebhookKey(row.get(0)?), super::rows::state(row, 1)?)))?;
        self.forget_errors(webhook)?;
        if state.is_open() {
            // A lane that has claimed it, with the event in it, claims it again; an attempt in flight stores nothing of it.
            self.close_changed_batch(webhook, batch);
            self.effects.cancelled.push((webhook, batch));
            self.make_due(webhook, self.clock.now());
        }
        Ok(true)
    }

    /// The last errors of a webhook may quote what was sent or answered.
    fn forget_errors(&self, webhook: WebhookKey) -> Result<(), rusqlite::Error> {
        let mut statement = self.connection.prepare_cached("UPDATE failures SET error = NULL WHERE webhook = ?1")?;
        statement.execute([webhook.0]).map(|_| ())
    }

    /// A delivery without anything in it: a link of its webhook's chain.
    fn empty(&mut self, delivery: i64) -> Result<(), rusqlite::Error> {
        let now = self.clock.now();
        let mut statement = self.connection.prepare_cached("SELECT webhook, state FROM deliveries WHERE d = ?1")?;
        let found =
            statement.query_row([delivery], |row| Ok((WebhookKey(row.get(0)?), super::rows::state(row, 1)?))).optional()?;
        drop(statement);
        let Some((webhook, state)) = found else { return Ok(()) };
        self.close_changed_batch(webhook, delivery);
        self.remove_attempts(delivery)?;
        self.forget_errors(webhook)?;
        if state.is_open() {
            self.tally.moved(&self.connection, webhook, Some(state), DeliveryState::Cancelled, now)?;
            self.effects.cancelled.push((webhook, delivery));
            self.effects.settled.push(delivery);
        }
        self.connection
            .prepare_cached(&with_states(
                "UPDATE deliveries SET event = 0, state = CASE WHEN state IN :open THEN ?2 ELSE state END, due = NULL, last = 0,
                 count = 0, spent = 0, request = NULL, reason = NULL, settled = ?3 WHERE d = ?1",
            ))?
            .execute(params![delivery, DeliveryState::Cancelled as u8, now.as_millis()])?;
        self.release_next(webhook, delivery, DeliveryState::Cancelled)
    }
}
