//! Retention: old events go with their deliveries and attempts, in commits small enough not to be noticed.

use rusqlite::{OptionalExtension, params};

use super::tally::HOUR_MS;
use super::writer::Writer;
use crate::model::{DeliveryState, Timestamp, WebhookKey};

/// Events looked at in one commit: with ten deliveries each still some 10 ms.
const EVENTS_MAX: usize = 200;

/// Hourly counts are kept for a month.
const HOURS_KEPT: i64 = 31 * 24;

#[derive(Debug, Default)]
pub(super) struct PruneStep {
    pub(super) removed: u64,
    /// Where the next step begins; `None` at the end.
    pub(super) next: Option<i64>,
}

struct Old {
    seq: i64,
    first: i64,
    targets: i64,
}

impl Writer {
    /// Looks at the oldest events after number `after`. What is still open stays, and what failed stays until
    /// `failed_before`.
    pub(super) fn prune(
        &mut self,
        after: i64,
        events_before: Timestamp,
        failed_before: Timestamp,
    ) -> Result<PruneStep, rusqlite::Error> {
        let old = self.old_events(after, events_before)?;
        let Some(last) = old.last().map(|event| event.seq) else {
            self.prune_hours()?;
            self.prune_erased()?;
            return Ok(PruneStep::default());
        };
        // Numbers never come back, also when the newest rows go.
        for (table, number) in [
            ("events", self.counters.event),
            ("deliveries", self.counters.delivery),
            ("attempts", self.counters.attempt),
            ("requests", self.counters.request),
        ] {
            self.keep_meta(table, number)?;
        }
        let mut removed = 0;
        for event in &old {
            if self.is_spent(event, failed_before)? {
                self.remove(event)?;
                removed += 1;
            }
        }
        let next = (old.len() == EVENTS_MAX).then_some(last);
        Ok(PruneStep { removed, next })
    }

    fn old_events(&self, after: i64, before: Timestamp) -> Result<Vec<Old>, rusqlite::Error> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT seq, first, targets, received FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
        let rows = statement.query_map(params![after, EVENTS_MAX], |row| {
            Ok((Old { seq: row.get(0)?, first: row.get(1)?, targets: row.get(2)? }, row.get::<_, i64>(3)?))
        })?;
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        Ok(rows.into_iter().take_while(|(_, received)| *received < before.as_millis()).map(|(event, _)| event).collect())
    }

    fn is_spent(&self, event: &Old, failed_before: Timestamp) -> Result<bool, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT NOT EXISTS(SELECT 1 FROM deliveries WHERE d >= ?1 AND d < ?2
             AND (state <= ?3 OR (state = ?4 AND settled >= ?5)))
             AND NOT EXISTS(SELECT 1 FROM members m JOIN deliveries d ON d.d = m.d WHERE m.m >= ?1 AND m.m < ?2
             AND (d.state <= ?3 OR (d.state = ?4 AND d.settled >= ?5)))",
        )?;
        let (held, failed) = (DeliveryState::Held as u8, DeliveryState::Failed as u8);
        let end = event.first + event.targets;
        statement.query_row(params![event.first, end, held, failed, failed_before.as_millis()], |row| row.get(0))
    }

    fn remove(&mut self, event: &Old) -> Result<(), rusqlite::Error> {
        let end = event.first + event.targets;
        for delivery in self.own_deliveries(event)? {
            self.remove_attempts(delivery)?;
            self.connection.prepare_cached("DELETE FROM deliveries WHERE d = ?1")?.execute([delivery])?;
            // What it kept from going, a dead letter too, goes on.
            let line = self
                .connection
                .prepare_cached("SELECT webhook FROM ordered WHERE d = ?1")?
                .query_row([delivery], |row| row.get(0).map(WebhookKey))
                .optional()?;
            if let Some(webhook) = line {
                self.leave_line(webhook, delivery, DeliveryState::Cancelled)?;
            }
            self.connection.prepare_cached("DELETE FROM ordered WHERE d = ?1")?.execute([delivery])?;
        }
        self.connection.prepare_cached("DELETE FROM members WHERE m >= ?1 AND m < ?2")?.execute([event.first, end])?;
        self.connection.prepare_cached("DELETE FROM events WHERE seq = ?1")?.execute([event.seq])?;
        Ok(())
    }

    /// Those of its own, and the batches that begin with it; others go with their first event.
    fn own_deliveries(&self, event: &Old) -> Result<Vec<i64>, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT d FROM deliveries WHERE d >= ?1 AND d < ?2
             UNION SELECT m.d FROM members m JOIN deliveries d ON d.d = m.d WHERE m.m >= ?1 AND m.m < ?2 AND d.event = ?3",
        )?;
        let rows = statement.query_map([event.first, event.first + event.targets, event.seq], |row| row.get(0))?;
        rows.collect()
    }

    /// Attempts of a delivery, with the requests that they sent.
    pub(super) fn remove_attempts(&self, delivery: i64) -> Result<(), rusqlite::Error> {
        let mut last = self
            .connection
            .prepare_cached("SELECT last FROM deliveries WHERE d = ?1")?
            .query_row([delivery], |row| row.get::<_, i64>(0))
            .optional()?
            .unwrap_or(0);
        while last > 0 {
            let (prev, request): (i64, Option<i64>) = self
                .connection
                .prepare_cached("DELETE FROM attempts WHERE a = ?1 RETURNING prev, request")?
                .query_row([last], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?
                .unwrap_or((0, None));
            if let Some(request) = request {
                self.connection.prepare_cached("DELETE FROM requests WHERE r = ?1")?.execute([request])?;
            }
            last = prev;
        }
        Ok(())
    }

    /// What is left of erased deliveries older than every event.
    fn prune_erased(&self) -> Result<(), rusqlite::Error> {
        self.connection
            .prepare_cached(
                "DELETE FROM deliveries WHERE event = 0 AND d < coalesce((SELECT first FROM events ORDER BY seq LIMIT 1), 0)",
            )?
            .execute([])?;
        Ok(())
    }

    fn prune_hours(&self) -> Result<(), rusqlite::Error> {
        let oldest = self.clock.now().as_millis() / HOUR_MS - HOURS_KEPT;
        self.connection.prepare_cached("DELETE FROM hours WHERE hour < ?1")?.execute([oldest])?;
        Ok(())
    }
}
