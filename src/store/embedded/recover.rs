//! What a start finds: the counters, what was in memory when the last process ended, and who has work.

use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, params};

use super::idempotency;
use super::ordered::BLOCKED;
use super::rows::{self, EVENT_COLUMNS};
use super::states::with_states;
use super::writer::{Counters, Effects, Writer, explain, meta};
use crate::model::{DeliveryId, Timestamp, Trigger, WebhookKey};
use crate::store::{Lease, StoreError};

/// A delivery that a start on a full disk could not make due.
pub(super) struct Unrecovered {
    pub(super) webhook: WebhookKey,
    pub(super) received: Timestamp,
}

impl Writer {
    /// Reads the counters, and makes the deliveries due that were handed over in memory when the last process ended.
    pub(super) fn recover(&mut self) -> Result<(), StoreError> {
        self.recover_inner().map_err(|e| explain(&e, &self.path))
    }

    fn recover_inner(&mut self) -> Result<(), rusqlite::Error> {
        let last = |table: &str, column: &str, connection: &Connection| -> Result<i64, rusqlite::Error> {
            let saved = meta(connection, table)?.unwrap_or(0);
            let highest: Option<i64> =
                connection.query_row(&format!("SELECT max({column}) FROM {table}"), [], |row| row.get(0))?;
            Ok(saved.max(highest.unwrap_or(0)))
        };
        self.counters = Counters {
            event: last("events", "seq", &self.connection)?,
            // The event of a batch has a number of its own, and no delivery of that number.
            delivery: last("deliveries", "d", &self.connection)?.max(last("members", "m", &self.connection)?),
            attempt: last("attempts", "a", &self.connection)?,
            request: last("requests", "r", &self.connection)?,
        };
        self.watermark = meta(&self.connection, "watermark")?.unwrap_or(0);
        // Even if the numbers were lost: no delivery that is in memory alone may be below the watermark, where no recovery
        // reads.
        self.counters.delivery = self.counters.delivery.max(self.watermark - 1);
        match idempotency::recover(&self.connection) {
            // They wait for the next start; until then they expire by themselves.
            Err(e) if is_full(&e) => tracing::debug!("requests that were in flight stay claimed on the full disk"),
            other => other?,
        }
        let fresh = self.recover_in_memory_deliveries()?;
        self.recover_ordered_queues()?;
        let mut statement = self.connection.prepare(
            "SELECT w.key, (SELECT min(due) FROM deliveries WHERE webhook = w.key AND due < ?1) AS first
             FROM webhooks w WHERE first IS NOT NULL",
        )?;
        let rows = statement.query_map([BLOCKED], |row| Ok((WebhookKey(row.get(0)?), Timestamp::from_millis(row.get(1)?))))?;
        let due = rows.collect::<Result<Vec<_>, _>>()?;
        due.iter().for_each(|(webhook, _)| self.handover.spill(*webhook));
        self.handover.publish(&mut Effects { fresh, due, ..Effects::default() });
        Ok(())
    }

    /// Makes the deliveries due that were in memory when the last process ended. On a full disk, where nothing can be
    /// written, they are handed over in memory again; they answer those that fit.
    fn recover_in_memory_deliveries(&mut self) -> Result<Vec<Lease>, rusqlite::Error> {
        let mut recovered = self.make_handed_over_due();
        if recovered.as_ref().is_err_and(is_full) && self.reserve.release() {
            recovered = self.make_handed_over_due();
        }
        match recovered {
            Ok(deliveries) => {
                if deliveries > 0 {
                    tracing::info!(deliveries, "deliveries that were in memory when the last process ended are due again");
                }
                Ok(Vec::new())
            }
            Err(e) if is_full(&e) => {
                let fresh = self.hand_over_again()?;
                tracing::warn!(
                    deliveries = self.unrecovered.len(),
                    "the disk is full: deliveries that were in memory when the last process ended stay there"
                );
                Ok(fresh)
            }
            Err(e) => Err(e),
        }
    }

    fn make_handed_over_due(&self) -> Result<usize, rusqlite::Error> {
        // They were due at once. When the event was received is in the future if the clock was set back since.
        let sql = "UPDATE deliveries SET due = min((SELECT received FROM events WHERE seq = deliveries.event), ?2)
             WHERE d >= ?1 AND state = :pending AND due IS NULL";
        self.connection.execute(&with_states(sql), params![self.watermark, self.clock.now().as_millis()])
    }

    /// As they were handed over before the end. What finds no room in memory waits for the first commit that goes through.
    fn hand_over_again(&mut self) -> Result<Vec<Lease>, rusqlite::Error> {
        let sql = format!(
            "SELECT {EVENT_COLUMNS}, d.d, d.webhook FROM deliveries d JOIN events e ON e.seq = d.event
             WHERE d.d >= ?1 AND d.state = :pending AND d.due IS NULL ORDER BY d.d"
        );
        let mut statement = self.connection.prepare(&with_states(&sql))?;
        let mut found = statement.query(params![self.watermark])?;
        let mut fresh = Vec::new();
        while let Some(row) = found.next()? {
            let event = Arc::new(rows::event(row, 0)?);
            let (number, webhook) = (row.get(7)?, WebhookKey(row.get(8)?));
            self.outstanding.insert(number);
            self.unrecovered.insert(number, Unrecovered { webhook, received: event.received });
            let Some(slot) = self.handover.reserve(webhook, event.size()) else { continue };
            fresh.push(Lease {
                delivery: DeliveryId { created: event.received, number },
                webhook,
                event,
                batch: None,
                attempts_spent: 0,
                attempt_count: 0,
                trigger: Trigger::Scheduled,
                retry_requests: 0,
                edition: 0,
                made: None,
                slot: Some(slot),
            });
        }
        Ok(fresh)
    }
}

fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}
